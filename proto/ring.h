/* SPDX-License-Identifier: MIT */
/*
 * Ring arithmetic: pure functions on free-running 32-bit indices, right across
 * the wrap at 2^32. depth is a power of two.
 */
#ifndef SHARQ_RING_H
#define SHARQ_RING_H

#include "sharq_abi.h"

static inline int sharq_depth_valid(__u32 depth)
{
	return depth >= SHARQ_MIN_DEPTH && depth <= SHARQ_MAX_DEPTH &&
	       !(depth & (depth - 1));
}

static inline __u32 sharq_ring_slot(__u32 index, __u32 depth)
{
	return index & (depth - 1);
}

/* Entries between the reader's and the writer's index. */
static inline __u32 sharq_ring_used(__u32 head, __u32 tail)
{
	return tail - head;
}

/* Could an honest peer have written these? If not, they are out of step. */
static inline int sharq_ring_in_step(__u32 head, __u32 tail, __u32 depth)
{
	return tail - head <= depth;
}

static inline __u32 sharq_ring_free(__u32 head, __u32 tail, __u32 depth)
{
	return depth - (tail - head);
}

/* Layout of a queue's memory: struct sharq_ring, then SQ, then CQ. */
struct sharq_ring_layout {
	__u32 sq_offset;
	__u32 cq_offset;
	__u32 size;
};

static inline struct sharq_ring_layout sharq_ring_layout(__u32 depth)
{
	struct sharq_ring_layout l;

	l.sq_offset = sizeof(struct sharq_ring);
	l.cq_offset = l.sq_offset + (depth << SHARQ_SQE_SHIFT);
	l.size = l.cq_offset + (depth << SHARQ_CQE_SHIFT);
	return l;
}

/* Arrays that lie in the mapping, apart from each other and from the indices? */
static inline int sharq_layout_valid(__u32 depth, __u32 sq_offset,
				     __u32 cq_offset, __u32 size)
{
	__u32 sq = depth << SHARQ_SQE_SHIFT, cq = depth << SHARQ_CQE_SHIFT;

	return sharq_depth_valid(depth) &&
	       !((sq_offset | cq_offset) & (SHARQ_CACHE_LINE - 1)) &&
	       sq_offset >= sizeof(struct sharq_ring) &&
	       cq_offset >= sizeof(struct sharq_ring) && sq_offset <= size &&
	       sq <= size - sq_offset && cq_offset <= size &&
	       cq <= size - cq_offset &&
	       (sq_offset < cq_offset ? sq <= cq_offset - sq_offset
				      : cq <= sq_offset - cq_offset);
}

#endif /* SHARQ_RING_H */
