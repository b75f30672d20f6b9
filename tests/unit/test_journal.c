/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "../../daemon/engine/journal.h"
#include "unit.h"

/* A new daemon and an old engine share it: what stands where is fixed. */
START_TEST(layout)
{
	ck_assert_uint_eq(sizeof(struct sharq_journal_slot), 128);
	ck_assert_uint_eq(offsetof(struct sharq_journal, magic), 0);
	ck_assert_uint_eq(offsetof(struct sharq_journal, depth), 8);
	ck_assert_uint_eq(offsetof(struct sharq_journal, state), 12);
	ck_assert_uint_eq(offsetof(struct sharq_journal, sq_seq), 16);
	ck_assert_uint_eq(offsetof(struct sharq_journal, cq_seq), 24);
	ck_assert_uint_eq(offsetof(struct sharq_journal, slots) % 64, 0);
	ck_assert_uint_eq(offsetof(struct sharq_journal_slot, desc), 0);
}
END_TEST

START_TEST(sizes)
{
	for (uint32_t depth = 2; depth <= 4096; depth *= 2)
		ck_assert_uint_eq(sharq_journal_size(depth),
				  offsetof(struct sharq_journal, slots) +
					  depth * 128);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("journal");

	UNIT_ADD(s, layout);
	UNIT_ADD(s, sizes);
	return s;
}
