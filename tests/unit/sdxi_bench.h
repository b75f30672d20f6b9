/* SPDX-License-Identifier: MIT */
/*
 * The library on an SDXI context, with a function of the test's own that checks
 * what it is given, and runs it when it is told to.
 */
#ifndef SDXI_BENCH_H
#define SDXI_BENCH_H

#include "../../client/sdxi.h"
#include "ring.h"
#include "sdxi_hw.h"
#include "sharq_ioctl.h"
#include "unit.h"

/* libcheck's assertions write to a file, whatever comes of them. */
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			ck_abort_msg("%s", #condition);                        \
	} while (0)

#define DEPTH 64
#define ENTRIES 16

/*
 * struct bench - a queue, its context and who works on them
 * @sq_tail, @cq_head: the client's
 * @first: the function has run all descriptors below
 * @ran:   and these, by slot
 */
struct bench {
	struct sharq_ring ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	uint32_t depth, entries;
	uint32_t sq_tail, cq_head;

	uint8_t *notes;
	struct sharq_sdxi *area;
	union sdxi_dsc *dscs;
	struct sdxi_cst_blk *blocks;
	__u64 *words;
	__u64 bell;
	uint64_t first;
	bool *ran;

	struct sdxi *s;
};

struct bench *bench_new(uint32_t depth, uint32_t entries);
/* The queue may have only @ops. */
struct bench *bench_new_ops(uint32_t depth, uint32_t entries, uint32_t ops);
void bench_free(struct bench *b);
/* The client's. Its user_data are the commands' numbers. */
struct sharq_desc *bench_add(struct bench *b, unsigned int op,
			     unsigned int flags);
void bench_add_copy(struct bench *b, unsigned int flags, void *dst,
		    const void *src, uint32_t len);
void bench_publish(struct bench *b);
/* As the library does when it looks for completions. */
void bench_look(struct bench *b);
bool bench_next(struct bench *b, struct sharq_cqe *c);
void bench_nothing(struct bench *b);
/* Commands complete in order, whatever the function does. */
void bench_expect(struct bench *b, unsigned int status, uint32_t consumed);
/* The function's. */
uint64_t bench_written(const struct bench *b);
uint32_t bench_opcode_of(struct bench *b, uint64_t i);
/* Is @i put, and nothing behind it? */
void bench_last_put(struct bench *b, uint64_t i);
/* Take @i up: VL goes. */
union sdxi_dsc bench_begin(struct bench *b, uint64_t i);
void bench_run(struct bench *b, uint64_t i);
/* Run what is put until @b has a completion. */
void bench_run_to_completion(struct bench *b);
void bench_fault(struct bench *b, uint64_t i);
/* The kernel's. */
void bench_say(struct bench *b, uint64_t i, unsigned int status);
void bench_set_flags(struct bench *b, uint32_t flags);

#endif /* SDXI_BENCH_H */
