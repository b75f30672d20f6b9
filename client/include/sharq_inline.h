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
 * cache line, and all zeroes in a child that has inherited it
 * @entries: where they are prepared, number i at i & @mask: of a direct queue in its
 *           ring. On an SDXI context that is the context's own, if @entries has
 *           SHARQ_IN_SLOT
 * @ring:    of a direct queue that can be submitted to here; others have that of a
 *           dead device
 * @index, @bell: where such a one is told what is submitted; if that is 8 bytes, a
 *           queue that is no SDXI context's ignores the upper half
 * @prep_tail, @submit_tail: how many entries were prepared, and submitted
 * @limit:   how many may be prepared
 */
struct sharq_front {
	char *entries;
	struct sharq_ring *ring;
	void *index, *bell;
	uint64_t prep_tail, submit_tail, limit;
	uint32_t mask;
};

/*
 * An entry of an SDXI context that one plain descriptor does, a NOP or a COPY without
 * flags, is written there at once: struct sharq_slot. What the descriptor has no room
 * for stands in a struct sharq_note, as far before each slot as before any other. For
 * all else the library gives out a struct sharq_desc: sharq_sqe_desc().
 *
 * The entry's address has SHARQ_IN_SLOT then.
 */
#define SHARQ_IN_SLOT 1U
#define SHARQ_IS_SLOT(sqe) ((uintptr_t)(sqe)&SHARQ_IN_SLOT)
#define SHARQ_SLOT(sqe)                                                        \
	((struct sharq_slot *)(void *)((char *)(sqe)-SHARQ_IN_SLOT))
#define SHARQ_NOTE(sqe)                                                        \
	((struct sharq_note *)(void *)((char *)SHARQ_SLOT(sqe) - SHARQ_NOTES))
/* Any other is one. */
#define SHARQ_DESC(sqe) ((struct sharq_desc *)(void *)(sqe))
/* For an assignment, which leaves more in registers than memset() does. */
#ifdef __cplusplus
#define SHARQ_NOTHING sharq_desc()
#else
#define SHARQ_NOTHING ((struct sharq_desc){ 0 })
#endif
/* So many bytes: the notes of the deepest queue, and what a ring begins behind. */
#define SHARQ_NOTES (64 * SHARQ_MAX_DEPTH + 4096)
#define SHARQ_SLOT_NOP 0x00010101ULL
#define SHARQ_SLOT_COPY 0x00010301ULL
/* Of a plain COPY. What is longer costs other things than its submission. */
#define SHARQ_SLOT_COPY_MAX (1U << 20)

/*
 * struct sharq_slot - the first half of a COPY's or NOP's descriptor (SDXI 1.0, 6.3)
 * @head: opcode, and in the upper half a COPY's length less 1. 0: it is free, or the
 *        entry is what sharq_sqe_desc() gave out
 * @src, @dst: of a free one 0
 */
struct sharq_slot {
	uint64_t head, keys, src, dst;
} __attribute__((__may_alias__));

/*
 * struct sharq_note - what a slot's entry has beside
 * @op, @zero, @len, @user_data: as struct sharq_desc has them; of a free slot 0
 * @front, @desc: the queue's, and the library's descriptor; they stay
 */
struct sharq_note {
	uint8_t op, zero[3];
	uint32_t len;
	uint64_t user_data;
	struct sharq_front *front;
	struct sharq_desc *desc;
} __attribute__((__may_alias__));

/* Slots are little-endian, and 8 bytes are told by one store. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && __SIZEOF_POINTER__ == 8
#define SHARQ_SLOTS 1
#define SHARQ_TELL(at, index)                                                  \
	__atomic_store_n((uint64_t *)(at), (index), __ATOMIC_RELEASE)
#else
#define SHARQ_SLOTS 0
#define SHARQ_TELL(at, index)                                                  \
	__atomic_store_n((uint32_t *)(at), (uint32_t)(index), __ATOMIC_RELEASE)
#endif

/* The entry as a descriptor, but for its user_data. */
struct sharq_desc *sharq_sqe_desc(struct sharq_sqe *sqe);
/* sharq_submit() for all queues. */
int sharq_submit_any(struct sharq_queue *q);

SHARQ_INLINE void sharq_sqe_set_data64(struct sharq_sqe *sqe, uint64_t data)
{
	if (SHARQ_IS_SLOT(sqe))
		SHARQ_NOTE(sqe)->user_data = data;
	else
		SHARQ_DESC(sqe)->user_data = data;
}

SHARQ_INLINE void sharq_sqe_set_data(struct sharq_sqe *sqe, void *data)
{
	sharq_sqe_set_data64(sqe, (uintptr_t)data);
}

SHARQ_INLINE void sharq_sqe_set_flags(struct sharq_sqe *sqe, unsigned int flags)
{
	struct sharq_desc *desc = SHARQ_DESC(sqe);

	if (SHARQ_IS_SLOT(sqe)) {
		if (!flags && SHARQ_SLOT(sqe)->head)
			return;
		desc = sharq_sqe_desc(sqe);
	}
	desc->flags = (uint16_t)flags;
}

SHARQ_INLINE void sharq_prep_nop(struct sharq_sqe *sqe)
{
	if (SHARQ_IS_SLOT(sqe)) {
		SHARQ_NOTE(sqe)->user_data = 0;
		/* As sharq_get_sqe() gave it out? */
		if (SHARQ_SLOT(sqe)->head == SHARQ_SLOT_NOP)
			return;
		SHARQ_SLOT(sqe)->head = SHARQ_SLOT_NOP;
		SHARQ_SLOT(sqe)->src = SHARQ_SLOT(sqe)->dst = 0;
		SHARQ_NOTE(sqe)->op = SHARQ_OP_NOP;
		SHARQ_NOTE(sqe)->len = 0;
	} else {
		*SHARQ_DESC(sqe) = SHARQ_NOTHING;
	}
}

SHARQ_INLINE void sharq_prep_copy(struct sharq_sqe *sqe, void *dst,
				  const void *src, uint32_t len)
{
	const uint64_t from = (uintptr_t)src, to = (uintptr_t)dst;
	/* One store: who reads it soon as a whole would wait for several. */
	const struct {
		uint8_t op, param;
		uint16_t flags;
		uint32_t len;
	} head = { SHARQ_OP_COPY, 0, 0, len };
	struct sharq_desc *desc = SHARQ_DESC(sqe);

	if (SHARQ_IS_SLOT(sqe)) {
		SHARQ_SLOT(sqe)->head = SHARQ_SLOT_COPY | (uint64_t)(len - 1)
								  << 32;
		SHARQ_SLOT(sqe)->src = from;
		SHARQ_SLOT(sqe)->dst = to;
		__builtin_memcpy(SHARQ_NOTE(sqe), &head, sizeof(head));
		SHARQ_NOTE(sqe)->user_data = 0;
		/* None or too much, overlapping, or in the upper half of all
		 * addresses, where an end might wrap: not plain. */
		if (len - 1 >= SHARQ_SLOT_COPY_MAX ||
		    to - from + len - 1 < 2ULL * len - 1 || (from | to) >> 63)
			sharq_sqe_desc(sqe);
	} else {
		*desc = SHARQ_NOTHING;
		__builtin_memcpy(desc, &head, sizeof(head));
		desc->src = from;
		desc->dst = to;
	}
}

SHARQ_INLINE struct sharq_sqe *sharq_get_sqe(struct sharq_queue *q)
{
	struct sharq_front *f = (struct sharq_front *)(void *)q;
	uint64_t tail = f->prep_tail;
	char *entry = &f->entries[(tail & f->mask) << SHARQ_SQE_SHIFT];
	struct sharq_sqe *sqe = (struct sharq_sqe *)(void *)entry;

	if (__builtin_expect(tail == f->limit, 0))
		return NULL;
	f->prep_tail = tail + 1;
	/* Whoever prepares nothing has a NOP. */
	if (SHARQ_IS_SLOT(sqe))
		SHARQ_SLOT(sqe)->head = SHARQ_SLOT_NOP;
	else
		*SHARQ_DESC(sqe) = SHARQ_NOTHING;
	return sqe;
}

SHARQ_INLINE int sharq_submit(struct sharq_queue *q)
{
	struct sharq_front *f = (struct sharq_front *)(void *)q;
	struct sharq_ring *ring = f->ring;
	uint64_t tail = f->prep_tail, n = tail - f->submit_tail;

	if (__builtin_expect(
		    !n || __atomic_load_n(&ring->device_flags,
					  __ATOMIC_RELAXED) &
				    (SHARQ_DEVICE_DEAD | SHARQ_DEVICE_PAUSED),
		    0))
		return sharq_submit_any(q);
	f->submit_tail = tail;
	/* In this order. What sleeps looks at the first once it has taken the
	 * doorbell's page away, which waits for stores to it. */
	SHARQ_TELL(f->index, tail);
	SHARQ_TELL(f->bell, tail);
	return (int)n;
}

#endif /* SHARQ_INLINE_H */
