/* SPDX-License-Identifier: MIT */
/*
 * A direct queue on the SDXI function used bare: the client's half of struct
 * sharq_sdxi, for honest clients and for others, who reach past these functions.
 * What fails that should not ends the test.
 */
#ifndef SDXI_RING_H
#define SDXI_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "queue.h"
#include "sdxi_hw.h"

/*
 * struct sdxi_ring - such a queue
 * @rings:  the core's, of which only the flags count here
 * @area, and in it @status, @dsc, @block, @word
 * @bell:   the doorbell's page
 * @next:   number of the next descriptor; they begin with 0
 * @taken:  of the next completion to be taken, as @area has it
 * @undone: one was taken that wasn't done: the queue is dead
 */
struct sdxi_ring {
	int fd;
	uint64_t id;
	struct sharq_bind bind;
	struct sharq_ring *rings;
	struct sharq_sdxi *area;
	struct sdxi_cxt_sts *status;
	union sdxi_dsc *dsc;
	struct sdxi_cst_blk *block;
	uint64_t *word;
	volatile uint64_t *bell;
	uint32_t entries;
	uint64_t next;
	uint64_t taken;
	bool undone;
};

/* The file of a queue on the function, not bound yet; *@id is the queue's. */
int sdxi_ring_file(uint64_t *id);
/* Bound and mapped, not started. */
struct sdxi_ring sdxi_ring_bound(void);
/* SHARQ_START at @addr: 0 or -errno. */
int sdxi_ring_start(const struct sdxi_ring *r, const void *addr);
struct sdxi_ring sdxi_ring_new(void);
/* The others' queues are 64 deep. */
struct sdxi_ring sdxi_ring_new_deep(uint32_t depth);
/* Unmap, close. */
void sdxi_ring_free(struct sdxi_ring *r);

union sdxi_dsc sdxi_nop(void);
union sdxi_dsc sdxi_copy(const void *dst, const void *src, uint32_t len);

/* Into the ring; published with the next bell. There must be room. */
void sdxi_put(struct sdxi_ring *r, union sdxi_dsc dsc);
void sdxi_bell(struct sdxi_ring *r);
/* Is @taken done? */
bool sdxi_done(const struct sdxi_ring *r);
/* Wait for @taken, and take it: what it ended with. */
enum sharq_status sdxi_take(struct sdxi_ring *r);
enum sharq_status sdxi_run(struct sdxi_ring *r, union sdxi_dsc dsc);
/* No copy to or from there: faults, and nothing else happens. */
void sdxi_unreachable(struct sdxi_ring *r, uint64_t addr);
/* Say that this client sleeps, or doesn't. */
void sdxi_want_event(struct sdxi_ring *r, bool want);

/* It is dead, and settled. */
void sdxi_wait_settled(const struct sdxi_ring *r);
/* The number of its context, for sdxi_misbehave(). Nothing may be in flight. */
unsigned int sdxi_context(struct sdxi_ring *r);

#endif /* SDXI_RING_H */
