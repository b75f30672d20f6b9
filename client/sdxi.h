/* SPDX-License-Identifier: MIT */
/*
 * An SDXI context as a queue's device: see struct sharq_sdxi. It needs nothing but
 * memory, makes no system call, and belongs to its queue's thread.
 */
#ifndef SHARQ_CLIENT_SDXI_H
#define SHARQ_CLIENT_SDXI_H

#include <stdbool.h>
#include <stdint.h>

#include "check.h"

struct sdxi;

/*
 * struct sdxi_memory - what it works on, all the caller's
 * @ring, @sq, @cq: the queue's, of @depth entries
 * @area, @entries: the context's
 * @bell:           its doorbell
 */
struct sdxi_memory {
	struct sharq_ring *ring;
	const struct sharq_desc *sq;
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
 * sdxi_put - hand on to the context what is published, and may be begun
 * sdxi_take - publish the completions of what has ended
 * sdxi_idle - has all ended that was handed on?
 */
void sdxi_put(struct sdxi *s);
void sdxi_take(struct sdxi *s);
bool sdxi_idle(const struct sdxi *s);

#endif /* SHARQ_CLIENT_SDXI_H */
