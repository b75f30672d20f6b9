// SPDX-License-Identifier: MIT
/*
 * sharq-bench-submit: what it costs to submit to a direct queue, beside storing
 * the same 64 bytes and index by hand. No device: rings, index and doorbell are
 * plain memory. A stretch fills the ring, batch by batch; only that is timed.
 * Then the benchmark completes it all, and the library's side takes that.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

#include "bench.h"
#include "median.h"
#include "plain.h"

#define ROUNDS 7U
#define STRETCHES 2001U
#define LENGTH 64U

static uint8_t from[LENGTH], to[LENGTH];

void die(const char *format, ...)
{
	va_list args;

	fputs("sharq-bench-submit: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* Ticks; nothing before it is still to be done, nothing after it begun. */
static inline uint64_t ticks(void)
{
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

/* ---- the sides: each fills the ring ---- */

struct work {
	struct plain *p;
	uint64_t next;
};

static inline __attribute__((always_inline)) void
by_library(struct work *w, bool copy, unsigned int batch)
{
	struct sharq_queue *q = w->p->q;
	uint64_t next = w->next;

	for (unsigned int n = 0; n < PLAIN_DEPTH; n += batch) {
		for (unsigned int i = 0; i < batch; i++, next++) {
			struct sharq_sqe *sqe = sharq_get_sqe(q);

			if (!sqe)
				die("the queue is full");
			if (copy)
				sharq_prep_copy(sqe, to, from, LENGTH);
			else
				sharq_prep_nop(sqe);
			sharq_sqe_set_data64(sqe, next);
		}
		if (sharq_submit(q) != (int)batch)
			die("not all were accepted");
	}
	w->next = next;
}

/* All in registers, and each entry in its place at once. */
static inline __attribute__((always_inline)) void
by_hand(struct work *w, bool copy, unsigned int batch)
{
	struct sharq_ring *ring = w->p->ring;
	struct sharq_desc *sq = w->p->sq;
	uint32_t *bell = w->p->bell;
	uint64_t next = w->next;

	for (unsigned int n = 0; n < PLAIN_DEPTH; n += batch) {
		for (unsigned int i = 0; i < batch; i++, next++) {
			struct sharq_desc *d = &sq[next % PLAIN_DEPTH];

			memset(d, 0, sizeof(*d));
			d->op = copy ? SHARQ_OP_COPY : SHARQ_OP_NOP;
			d->user_data = next;
			if (!copy)
				continue;
			d->src = (uintptr_t)from;
			d->dst = (uintptr_t)to;
			d->len = LENGTH;
		}
		__atomic_store_n(&ring->sq_tail, (uint32_t)next,
				 __ATOMIC_RELEASE);
		__atomic_store_n(bell, (uint32_t)next, __ATOMIC_RELEASE);
	}
	w->next = next;
}

/* The standard's, and no completion block, of which each command needs one. */
static inline __attribute__((always_inline)) void
by_hand_sdxi(struct work *w, bool copy, unsigned int batch)
{
	const uint32_t op = FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA) |
			    SDXI_DSC_VL |
			    FIELD_PREP(SDXI_DSC_SUBTYPE,
				       copy ? SDXI_DMA_COPY : SDXI_DMA_NOP);
	struct sharq_sdxi *area = w->p->area;
	struct sdxi_cst_blk *blocks = w->p->blocks;
	union sdxi_dsc *dscs = w->p->dscs;
	uint64_t *bell = w->p->bell, next = w->next;

	for (unsigned int n = 0; n < PLAIN_DEPTH; n += batch) {
		for (unsigned int i = 0; i < batch; i++, next++) {
			union sdxi_dsc *d = &dscs[next % PLAIN_DEPTH];

			memset(d, 0, sizeof(*d));
			d->generic.csb_ptr =
				(uintptr_t)&blocks[next % PLAIN_DEPTH];
			if (copy) {
				d->copy.size = LENGTH - 1;
				d->copy.akey_src = SHARQ_SDXI_AKEY;
				d->copy.akey_dst = SHARQ_SDXI_AKEY;
				d->copy.addr_src = (uintptr_t)from;
				d->copy.addr_dst = (uintptr_t)to;
			}
			__atomic_store_n(&d->generic.opcode, op,
					 __ATOMIC_RELEASE);
		}
		__atomic_store_n(&area->write_index, next, __ATOMIC_RELEASE);
		__atomic_store_n(bell, next, __ATOMIC_RELEASE);
	}
	w->next = next;
}

#define SIDE(name, how, copy)                                                  \
	static __attribute__((noinline)) void name##_1(struct work *w)         \
	{                                                                      \
		how(w, copy, 1);                                               \
	}                                                                      \
	static __attribute__((noinline)) void name##_32(struct work *w)        \
	{                                                                      \
		how(w, copy, 32);                                              \
	}
SIDE(nop_by_library, by_library, false)
SIDE(copy_by_library, by_library, true)
SIDE(nop_by_hand, by_hand, false)
SIDE(copy_by_hand, by_hand, true)
SIDE(sdxi_nop_by_hand, by_hand_sdxi, false)
SIDE(sdxi_copy_by_hand, by_hand_sdxi, true)

static void nothing(struct work *w)
{
	(void)w;
}

/* ---- measuring ---- */

static void take_all(struct plain *p)
{
	const struct sharq_cqe *cqe;
	unsigned int n;

	for (n = 0; !sharq_peek_cqe(p->q, &cqe); n++) {
		if (cqe->status != SHARQ_OK)
			die("a command failed");
		sharq_cqe_seen(p->q, cqe);
	}
	if (n != PLAIN_DEPTH)
		die("%u of %u commands completed", n, PLAIN_DEPTH);
}

/* Ticks of a stretch: of those that nothing interrupts, whatever happens to others. */
static double measure(struct work *w, void (*side)(struct work *w),
		      bool library)
{
	static double stretch[STRETCHES];

	for (unsigned int i = 0; i < STRETCHES; i++) {
		uint64_t begin = ticks();

		side(w);
		stretch[i] = (double)(ticks() - begin);
		if (side != nothing)
			plain_complete(w->p, PLAIN_DEPTH);
		if (library)
			take_all(w->p);
	}
	return median(stretch, STRETCHES);
}

static double ns_of_a_tick(void)
{
	uint64_t begin = ticks();
	double start = now();

	while (now() - start < 0.1)
		;
	return (now() - start) * 1e9 / (double)(ticks() - begin);
}

static const struct row {
	const char *name;
	bool sdxi;
	void (*hand)(struct work *w);
	void (*library)(struct work *w);
} rows[] = {
	{ "NOP, one by one: sharq's ring", false, nop_by_hand_1,
	  nop_by_library_1 },
	{ "NOP, 32: sharq's ring", false, nop_by_hand_32, nop_by_library_32 },
	{ "COPY 64, one by one: sharq's ring", false, copy_by_hand_1,
	  copy_by_library_1 },
	{ "COPY 64, 32: sharq's ring", false, copy_by_hand_32,
	  copy_by_library_32 },
	{ "NOP, one by one: SDXI's ring", true, sdxi_nop_by_hand_1,
	  nop_by_library_1 },
	{ "NOP, 32: SDXI's ring", true, sdxi_nop_by_hand_32,
	  nop_by_library_32 },
	{ "COPY 64, one by one: SDXI's ring", true, sdxi_copy_by_hand_1,
	  copy_by_library_1 },
	{ "COPY 64, 32: SDXI's ring", true, sdxi_copy_by_hand_32,
	  copy_by_library_32 },
};
#define ROWS (sizeof(rows) / sizeof(*rows))
#define TARGET 1.5

struct result {
	double hand[ROUNDS], library[ROUNDS], ratio[ROUNDS];
};

static struct plain hands[2], libraries[2];

static void run_row(const struct row *row, struct result *r, unsigned int at)
{
	struct work hand = { &hands[row->sdxi], hands[row->sdxi].taken };
	struct work library = { &libraries[row->sdxi], 0 };
	double clock = measure(&hand, nothing, false);

	r->hand[at] = measure(&hand, row->hand, false) - clock;
	r->library[at] = measure(&library, row->library, true) - clock;
	r->ratio[at] = r->library[at] / r->hand[at];
}

static bool print_row(const struct row *row, struct result *r, double tick)
{
	double ratio = median(r->ratio, ROUNDS);

	printf("%-34s %-5s %7.2f %7.2f %6.2f <= %.1f %s\n", row->name, "ns",
	       tick * median(r->hand, ROUNDS) / PLAIN_DEPTH,
	       tick * median(r->library, ROUNDS) / PLAIN_DEPTH, ratio, TARGET,
	       ratio <= TARGET ? "ok" : "NO");
	return ratio <= TARGET;
}

int main(void)
{
	static struct result results[ROWS];
	double tick = ns_of_a_tick();
	bool met = true;

	for (int sdxi = 0; sdxi < 2; sdxi++)
		if (plain_new(&hands[sdxi], sdxi) ||
		    plain_new(&libraries[sdxi], sdxi))
			die("no queue could be made");
	/* Round 0 warms up. */
	for (unsigned int round = 0; round <= ROUNDS; round++)
		for (unsigned int i = 0; i < ROWS; i++)
			run_row(&rows[i], &results[i], round ? round - 1 : 0);
	printf("%-34s %-5s %7s %7s %6s target\n", "Submission, direct", "",
	       "by hand", "sharq", "ratio");
	for (unsigned int i = 0; i < ROWS; i++)
		met &= print_row(&rows[i], &results[i], tick);
	return met ? 0 : 3;
}
