/* SPDX-License-Identifier: MIT */
/*
 * Loads for the SDXI function: COMMANDS copies, each to be answered once, whatever
 * becomes of the function meanwhile.
 */
#ifndef SDXI_LOAD_H
#define SDXI_LOAD_H

#include "guest.h"
#include "queue.h"
#include "sdxi_ring.h"

#define COMMANDS 32

/* A shadow queue with room for a load. */
struct queue sdxi_queue(unsigned int depth);
/* Nobody is served by it any more, and everybody is told. */
void sdxi_queue_is_dead(const struct queue *q);

/* struct load - by a shadow queue. @by_status: how many were answered so */
struct load {
	struct queue q;
	uint32_t len;
	uint8_t *src;
	uint8_t *dst;
	unsigned int by_status[SHARQ_STATUS_COUNT];
};

/* Each copy is of @len bytes. */
struct load load_new(uint32_t len);
void load_kick(struct load *l);
/* Each once; an OK was copied. A dead queue's file isn't asked. */
void load_take(struct load *l);
void load_take_all_ok(struct load *l);
/* The function went away: take what there is; the queue is dead. */
void load_is_gone(struct load *l);
void load_free(struct load *l);
/* A load of its own is done. */
void load_works(void);

/* struct ring_load - by a direct queue */
struct ring_load {
	struct sdxi_ring r;
	uint8_t *src;
	uint8_t *dst;
};

/* A batch of COMMANDS copies of @len bytes, one behind the other. */
void ring_put_copies(struct sdxi_ring *r, uint8_t *dst, const uint8_t *src,
		     uint32_t len);
/*
 * It, into zeros: what is done comes first, then, if the queue died, one that may
 * be, then ones that never will. How many were done.
 */
unsigned int ring_take_copies(struct sdxi_ring *r, const uint8_t *dst,
			      const uint8_t *src, uint32_t len);
/* A queue whose batch stays in flight until the function behaves. */
struct sdxi_ring ring_new_hung(uint8_t *dst, const uint8_t *src, uint32_t len);
/* All that it has room for, at random places in 9 MiB; to be rung. */
void ring_fill(struct sdxi_ring *r, struct rng *random, uint8_t *dst,
	       const uint8_t *src);
void ring_is_dead(struct sdxi_ring *r);

struct ring_load ring_load_new(void);
void ring_load_put(struct ring_load *l);
unsigned int ring_load_take(struct ring_load *l);
/* @done of them were; what was canceled or reset isn't done later either. */
void ring_load_free(struct ring_load *l, unsigned int done);
/* The function went away: settled, taken and freed. How many were done. */
unsigned int ring_load_is_gone(struct ring_load *l);
void ring_load_works(void);

#endif /* SDXI_LOAD_H */
