/* SPDX-License-Identifier: MIT */
/*
 * What of sharq.h runs in the program itself, for commands take but a few
 * nanoseconds on the direct path. libsharq has the same functions for all who
 * can't include this. Part of its ABI, and for no program to look into.
 */
#ifndef SHARQ_INLINE_H
#define SHARQ_INLINE_H

#ifndef SHARQ_INLINE
#define SHARQ_INLINE extern __inline__ __attribute__((__gnu_inline__))
#endif

/*
 * struct sharq_front - how struct sharq_queue begins: what submission needs, in one
 * cache line
 * @guard:   all ones; in a child that has inherited it, nothing
 * @entries: where they are prepared: of a direct queue in its ring
 * @ring, @bell: of a direct queue that can be submitted to here; others have a ring
 *           of a dead device
 * @prep_tail, @submit_tail, @seen: how many entries were prepared, submitted, and
 *           seen completed; the first is at most @depth ahead of the last
 */
struct sharq_front {
	const uint32_t *guard;
	struct sharq_desc *entries;
	struct sharq_ring *ring;
	uint32_t *bell;
	uint32_t depth, prep_tail, submit_tail, seen;
};

/* sharq_submit() for all queues. */
int sharq_submit_any(struct sharq_queue *q);

SHARQ_INLINE struct sharq_sqe *sharq_get_sqe(struct sharq_queue *q)
{
	struct sharq_front *f = (struct sharq_front *)(void *)q;
	uint32_t tail = f->prep_tail, depth = f->depth;
	struct sharq_desc *desc = &f->entries[tail & (depth - 1)];

	/* So many are free; in a child none. */
	if (tail - f->seen >=
	    (depth & __atomic_load_n(f->guard, __ATOMIC_RELAXED)))
		return NULL;
	f->prep_tail = tail + 1;
	__builtin_memset(desc, 0, sizeof(*desc));
	return (struct sharq_sqe *)(void *)desc;
}

SHARQ_INLINE void sharq_prep_nop(struct sharq_sqe *sqe)
{
	struct sharq_desc *desc = (struct sharq_desc *)(void *)sqe;

	__builtin_memset(desc, 0, sizeof(*desc));
	desc->op = SHARQ_OP_NOP;
}

SHARQ_INLINE void sharq_prep_copy(struct sharq_sqe *sqe, void *dst,
				  const void *src, uint32_t len)
{
	struct sharq_desc *desc = (struct sharq_desc *)(void *)sqe;
	const struct {
		uint8_t op, param;
		uint16_t flags;
		uint32_t len;
	} head = { SHARQ_OP_COPY, 0, 0, len };

	__builtin_memset(desc, 0, sizeof(*desc));
	/* One store: who reads it soon as a whole would wait for several. */
	__builtin_memcpy(desc, &head, sizeof(head));
	desc->src = (uintptr_t)src;
	desc->dst = (uintptr_t)dst;
}

SHARQ_INLINE void sharq_sqe_set_flags(struct sharq_sqe *sqe, unsigned int flags)
{
	((struct sharq_desc *)(void *)sqe)->flags = (uint16_t)flags;
}

SHARQ_INLINE void sharq_sqe_set_data64(struct sharq_sqe *sqe, uint64_t data)
{
	((struct sharq_desc *)(void *)sqe)->user_data = data;
}

SHARQ_INLINE void sharq_sqe_set_data(struct sharq_sqe *sqe, void *data)
{
	((struct sharq_desc *)(void *)sqe)->user_data = (uintptr_t)data;
}

SHARQ_INLINE int sharq_submit(struct sharq_queue *q)
{
	struct sharq_front *f = (struct sharq_front *)(void *)q;
	struct sharq_ring *ring = f->ring;
	uint32_t tail = f->prep_tail;
	uint32_t n = (tail - f->submit_tail) &
		     __atomic_load_n(f->guard, __ATOMIC_RELAXED);

	if (!n || __atomic_load_n(&ring->device_flags, __ATOMIC_ACQUIRE) &
			  SHARQ_DEVICE_DEAD)
		return sharq_submit_any(q);
	f->submit_tail = tail;
	/* In this order. What sleeps looks at the first once it has taken the
	 * doorbell's page away, which waits for stores to it. */
	__atomic_store_n(&ring->sq_tail, tail, __ATOMIC_RELEASE);
	__atomic_store_n(f->bell, tail, __ATOMIC_RELEASE);
	return (int)n;
}

#endif /* SHARQ_INLINE_H */
