/* SPDX-License-Identifier: MIT */
/*
 * An SDXI context as a queue's device: see struct sharq_sdxi. It needs nothing but
 * memory, makes no system call, and belongs to its queue's thread.
 */
#ifndef SHARQ_CLIENT_SDXI_H
#define SHARQ_CLIENT_SDXI_H

#include <stdbool.h>
#include <stdint.h>

#pragma GCC visibility push(default)
#include "sharq.h"
#pragma GCC visibility pop

#include "check.h"
#include "sharq_ioctl.h"

struct sdxi;

/* Of the notes, which lie before the area: see sharq_inline.h. */
#define SDXI_NOTES_SIZE (SHARQ_NOTES - SHARQ_SDXI_RING)

/*
 * struct sdxi_memory - what it works on, all the caller's
 * @ring, @sq, @cq: the queue's, of @depth entries
 * @area, @entries: the context's; SDXI_NOTES_SIZE bytes of zeroes before it are ours
 * @bell:           its doorbell
 */
struct sdxi_memory {
	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	uint32_t depth, entries;
	struct sharq_caps caps;
	void *area;
	__u64 *bell;
};

/* Bytes of an area. */
uint64_t sdxi_area_size(uint32_t entries);
int sdxi_new(struct sdxi **s, const struct sdxi_memory *memory);
struct sdxi *sdxi_free(struct sdxi *s);

/*
 * Entries may be prepared and submitted in the context's slots themselves, while all
 * of them are plain and nothing is held back; @front says where, and has nothing
 * prepared now. Others go through the SQ.
 *
 * sdxi_serve - @front is the queue's, for as long as it lives
 * sdxi_leave_slots - have entries prepared in the SQ, those too that have been but
 *   aren't submitted yet: @front is to be made to. sdxi_put() goes back
 *   @for_good: unless the queue is dead
 *   Return: whether it did something
 */
void sdxi_serve(struct sdxi *s, struct sharq_front *front);
bool sdxi_leave_slots(struct sdxi *s, bool for_good);
/* How many commands were submitted and aren't held back. */
uint32_t sdxi_consumed(const struct sdxi *s);

/*
 * sdxi_put - hand on to the context what is published, and may be begun
 * sdxi_take - publish the completions of what has ended
 * sdxi_idle - has all ended that was handed on?
 */
void sdxi_put(struct sdxi *s);
void sdxi_take(struct sdxi *s);
bool sdxi_idle(const struct sdxi *s);

#endif /* SHARQ_CLIENT_SDXI_H */
