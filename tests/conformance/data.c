/* SPDX-License-Identifier: MIT */
/*
 * What each operation does to its data: every size, alignment and kind of
 * memory, against results that are computed here independently.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "suite.h"
#include "verify.h"

static const uint32_t small[] = { 0, 1, 63, 64, 65, 4095, 4096, 4097 };

static void all_sizes(unsigned int op)
{
	struct session c;
	struct rng r = { op };
	struct arena a;

	session_open(&c, 8, 0);
	for (unsigned int kind = 0; kind < MEMORY_KINDS; kind++) {
		arena_open(&a, &c, kind, MIB, &r);
		for (size_t i = 0; i < ARRAY_SIZE(small); i++)
			verify(&a, op, small[i], 0, 0);
		verify(&a, op, MIB, 0, 0);
		arena_close(&a);
	}
	session_close(&c);
}

/*
 * Of alignments each is tested with every size, in the one kind of memory or the
 * other, in turn: where a kind makes a difference, it makes it for all of them, and
 * all_sizes() sees that.
 */
static bool turn_of(unsigned int kind, size_t size, unsigned int at)
{
	return (size + at) % MEMORY_STACK == kind;
}

/*
 * All 64 on one side, then on the other; 16 seeded pairs for the long one, 1 where
 * that takes long.
 */
static void all_alignments(unsigned int op)
{
	bool codec = op == SHARQ_OP_COMPRESS || op == SHARQ_OP_DECOMPRESS;
	struct session c;
	struct rng r = { 100 + op };
	struct arena a;

	session_open(&c, 8, 0);
	for (unsigned int kind = 0; kind < MEMORY_STACK; kind++) {
		arena_open(&a, &c, kind, MIB, &r);
		for (size_t i = 0; i < ARRAY_SIZE(small); i++) {
			for (unsigned int at = 0; at < 64; at++) {
				if (!turn_of(kind, i, at))
					continue;
				verify(&a, op, small[i], at, 0);
				verify(&a, op, small[i], 0, at);
			}
		}
		for (unsigned int i = 0; i < (codec ? 1 : 16); i++)
			verify(&a, op, MIB - rng_below(&r, 4096),
			       rng_below(&r, 64), rng_below(&r, 64));
		arena_close(&a);
	}
	session_close(&c);
}

static void copy_all_pairs(void)
{
	struct session c;
	struct rng r = { 7 };
	struct arena a;

	session_open(&c, 64, 0);
	for (unsigned int kind = 0; kind < MEMORY_STACK; kind++) {
		arena_open(&a, &c, kind, 64 * 8 * KIB, &r);
		for (size_t i = 0; i < ARRAY_SIZE(small); i++)
			for (unsigned int at = 0; at < 64; at++)
				if (turn_of(kind, i, at))
					verify_copies(&a, small[i], at);
		arena_close(&a);
	}
	session_close(&c);
}

/* Source from one kind of memory, destination in another. */
static void mixed_memory(void)
{
	struct session c;
	struct rng r = { 8 };
	uint8_t *shared, *heap;

	session_open(&c, 8, 0);
	shared = xalloc(c.s, 8 * MIB);
	heap = xmalloc(8 * MIB);
	for (unsigned int op = SHARQ_OP_COPY; op < SHARQ_OP_COUNT; op++) {
		for (unsigned int mix = 0; mix < 16; mix++) {
			struct arena a = { .c = &c, .r = &r, .size = MIB };

			if ((mix & 2 && op != SHARQ_OP_COMPARE) ||
			    (mix & 8 && op != SHARQ_OP_DUALCAST))
				continue;
			a.src = (mix & 1 ? heap : shared);
			a.src2 = (mix & 2 ? heap : shared) + 2 * MIB;
			a.dst = (mix & 4 ? heap : shared) + 4 * MIB;
			a.dst2 = (mix & 8 ? heap : shared) + 6 * MIB;
			verify(&a, op, 5000, 3, 9);
			verify(&a, op, MIB - 11, 60, 1);
		}
	}
	sharq_free(c.s, shared);
	free(heap);
	session_close(&c);
}

#define PER_OP(name, op)                                                       \
	static void name##_sizes(void)                                         \
	{                                                                      \
		all_sizes(op);                                                 \
	}                                                                      \
	static void name##_alignments(void)                                    \
	{                                                                      \
		all_alignments(op);                                            \
	}

PER_OP(copy, SHARQ_OP_COPY)
PER_OP(fill, SHARQ_OP_FILL)
PER_OP(compare, SHARQ_OP_COMPARE)
PER_OP(crc32c, SHARQ_OP_CRC32C)
PER_OP(copy_crc32c, SHARQ_OP_COPY_CRC32C)
PER_OP(dualcast, SHARQ_OP_DUALCAST)
PER_OP(compress, SHARQ_OP_COMPRESS)
PER_OP(decompress, SHARQ_OP_DECOMPRESS)

static void nop(void)
{
	struct session c;
	struct sharq_cqe cqe;

	session_open(&c, 8, 0);
	sharq_prep_nop(sqe_get(c.q));
	cqe = run_one(c.q);
	expect_status(&cqe, SHARQ_OK, "NOP");
	EXPECT(!cqe.consumed && !cqe.produced && !cqe.crc && !cqe.user_data,
	       "NOP's completion says more than OK");
	session_close(&c);
}

/* Source that can't be written: nothing may try to. */
static void readonly_source(void)
{
	struct session c;
	struct rng r = { 9 };
	struct arena a;

	session_open(&c, 8, 0);
	arena_open(&a, &c, MEMORY_HEAP, MIB, &r);
	for (unsigned int op = SHARQ_OP_COPY; op < SHARQ_OP_COUNT; op++) {
		if (op == SHARQ_OP_FILL)
			continue;
		verify_readonly(&a, op, 4097);
		verify_readonly(&a, op, 700 * KIB);
	}
	arena_close(&a);
	session_close(&c);
}

#define TESTS(name, seconds)                                                   \
	{ #name "_sizes", name##_sizes, seconds, 0 },                          \
	{                                                                      \
#name "_alignments", name##_alignments, seconds, 0             \
	}

const struct test data_tests[] = {
	{ "nop", nop, 10, 0 },
	TESTS(copy, 60),
	TESTS(fill, 60),
	TESTS(compare, 60),
	TESTS(crc32c, 60),
	TESTS(copy_crc32c, 60),
	TESTS(dualcast, 60),
	TESTS(compress, 90),
	TESTS(decompress, 90),
	{ "copy_all_alignment_pairs", copy_all_pairs, 120, 0 },
	{ "mixed_memory", mixed_memory, 60, 0 },
	{ "readonly_source", readonly_source, 60, 0 },
	{ NULL, NULL, 0, 0 },
};
