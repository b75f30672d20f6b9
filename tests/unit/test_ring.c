/* SPDX-License-Identifier: MIT */
#include "ring.h"
#include "unit.h"

START_TEST(depths)
{
	for (__u64 d = 0; d <= 20000; d++) {
		int want = d == 2 || d == 4 || d == 8 || d == 16 || d == 32 ||
			   d == 64 || d == 128 || d == 256 || d == 512 ||
			   d == 1024 || d == 2048 || d == 4096;

		ck_assert_msg(!!sharq_depth_valid((__u32)d) == want, "%llu",
			      (unsigned long long)d);
	}
	ck_assert(!sharq_depth_valid(1U << 31));
	ck_assert(!sharq_depth_valid(0xffffffff));
}
END_TEST

/* Around the wrap, each index, each fill level: against 64-bit numbers. */
START_TEST(wrap)
{
	for (__u32 depth = 2; depth <= 64; depth *= 2) {
		for (__u64 i = 0; i < 4 * depth; i++) {
			__u64 head = 0x100000000ULL - 2 * depth + i;

			ck_assert_uint_eq(sharq_ring_slot((__u32)head, depth),
					  head % depth);
			for (__u32 used = 0; used <= depth; used++) {
				__u32 h = (__u32)head;
				__u32 t = (__u32)(head + used);

				ck_assert_uint_eq(sharq_ring_used(h, t), used);
				ck_assert_uint_eq(sharq_ring_free(h, t, depth),
						  depth - used);
				ck_assert(sharq_ring_in_step(h, t, depth));
			}
		}
	}
}
END_TEST

/* One too many or one too few is out of step, wherever the indices stand. */
START_TEST(out_of_step)
{
	static const __u32 heads[] = { 0,	   1,	       63,
				       0x7fffffff, 0x80000000, 0xffffffff };

	for (unsigned int i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		for (__u32 depth = 2; depth <= 4096; depth *= 2) {
			__u32 h = heads[i];

			ck_assert(sharq_ring_in_step(h, h, depth));
			ck_assert(sharq_ring_in_step(h, h + depth, depth));
			ck_assert(!sharq_ring_in_step(h, h + depth + 1, depth));
			ck_assert(!sharq_ring_in_step(h, h - 1, depth));
			ck_assert(
				!sharq_ring_in_step(h, h + 0x80000000, depth));
		}
	}
}
END_TEST

/* Consecutive indices use every slot in turn, across the wrap too. */
START_TEST(slots_in_turn)
{
	__u32 index = 0xffffff00, before = sharq_ring_slot(index - 1, 16);

	for (int i = 0; i < 1024; i++, index++) {
		__u32 slot = sharq_ring_slot(index, 16);

		ck_assert_uint_eq(slot, (before + 1) % 16);
		before = slot;
	}
}
END_TEST

START_TEST(layout)
{
	for (__u32 depth = 2; depth <= 4096; depth *= 2) {
		struct sharq_ring_layout l = sharq_ring_layout(depth);

		ck_assert_uint_eq(l.sq_offset, 384);
		ck_assert_uint_eq(l.cq_offset, 384 + depth * 64);
		ck_assert_uint_eq(l.size, 384 + depth * 96);
		ck_assert_uint_eq(l.cq_offset % SHARQ_CACHE_LINE, 0);
	}
}
END_TEST

/* Against what the kernel says of a queue's mapping: each bound, one beyond. */
START_TEST(layout_valid)
{
	for (__u32 depth = 2; depth <= 4096; depth *= 2) {
		__u32 sq = 384, cq = 384 + depth * 64, size = cq + depth * 32;
		__u32 far = size + 64;

		ck_assert(sharq_layout_valid(depth, sq, cq, size));
		/* The other way round, and with gaps. */
		ck_assert(
			sharq_layout_valid(depth, 384 + depth * 32, 384, size));
		ck_assert(
			sharq_layout_valid(depth, sq + 64, cq + 128, far + 64));
		ck_assert(!sharq_layout_valid(depth, sq, cq, size - 1));
		ck_assert(!sharq_layout_valid(depth, 384 + depth * 32, 384,
					      size - 1));
		ck_assert(!sharq_layout_valid(depth, sq - 64, cq, size));
		ck_assert(!sharq_layout_valid(depth, cq, sq - 64,
					      far + depth * 64));
		ck_assert(!sharq_layout_valid(depth, sq + 64, cq, far));
		ck_assert(!sharq_layout_valid(depth, cq, cq, 2 * size));
		ck_assert(!sharq_layout_valid(depth, sq + depth * 32 - 64, sq,
					      far + depth * 64));
		ck_assert(!sharq_layout_valid(depth, sq, cq + 8, far));
		ck_assert(!sharq_layout_valid(depth, sq + 4, cq + 64, far));
		ck_assert(!sharq_layout_valid(depth, sq, 0xffffffc0, far));
		ck_assert(!sharq_layout_valid(depth, 0xffffffc0, sq, far));
		ck_assert(!sharq_layout_valid(depth, sq, cq, 0));
		ck_assert(!sharq_layout_valid(depth + 1, sq, cq + 128,
					      far + 1024));
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("ring");

	UNIT_ADD(s, depths);
	UNIT_ADD(s, wrap);
	UNIT_ADD(s, out_of_step);
	UNIT_ADD(s, slots_in_turn);
	UNIT_ADD(s, layout);
	UNIT_ADD(s, layout_valid);
	return s;
}
