/* SPDX-License-Identifier: MIT */
/* Run one command and check all that it did, and that it did no more. */
#ifndef VERIFY_H
#define VERIFY_H

#include "suite.h"

/* Bytes around each destination that must stay as they were. */
#define GUARD 64

enum memory {
	MEMORY_SHARED, /* sharq_alloc() */
	MEMORY_HEAP,
	MEMORY_STACK, /* limited to 64 KiB: longer ones are left out */
	MEMORY_KINDS
};

/*
 * struct arena - four buffers, each with room for an operand of any length up
 * to @size at any alignment, its guards, and deflate's growth
 */
struct arena {
	struct session *c;
	struct rng *r;
	unsigned int kind;
	uint32_t size;
	uint8_t *src, *src2, *dst, *dst2;
};

void arena_open(struct arena *a, struct session *c, unsigned int kind,
		uint32_t size, struct rng *r);
void arena_close(struct arena *a);

/*
 * verify - run @op over @len bytes, sources @src_at and destinations @dst_at
 * bytes beyond a multiple of 64
 */
void verify(struct arena *a, unsigned int op, uint32_t len, unsigned int src_at,
	    unsigned int dst_at);
/*
 * verify_copies - in one batch, copy @len bytes, at most 4097, from @src_at to
 * each of the 64 alignments; the arena has 8 KiB for each
 */
void verify_copies(struct arena *a, uint32_t len, unsigned int src_at);
/* The same as verify() with the sources in a read-only mapping. */
void verify_readonly(struct arena *a, unsigned int op, uint32_t len);

#endif /* VERIFY_H */
