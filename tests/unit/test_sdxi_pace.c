/* SPDX-License-Identifier: MIT */
/* How many faults a direct context may have, and how its sleepers are watched. */
#include "../../kmod/sdxi_pace.h"
#include "unit.h"

#define S 1000000000ULL

/* How many of @n that come at once at @now are allowed. */
static unsigned int burst(unsigned long long *paid, unsigned long long now,
			  unsigned int n)
{
	unsigned int allowed = 0;

	while (n--)
		allowed += sdxi_pace_fault(paid, now);
	return allowed;
}

START_TEST(faults_at_once)
{
	unsigned long long paid = 0;

	ck_assert_uint_eq(burst(&paid, 5 * S, 2 * SHARQ_SDXI_FAULTS),
			  SHARQ_SDXI_FAULTS);
}
END_TEST

/* Whatever came before, and however long ago, it isn't more than that. */
START_TEST(faults_after_a_rest)
{
	unsigned long long paid = 0, now = S;

	burst(&paid, now, SHARQ_SDXI_FAULTS);
	now += S;
	ck_assert_uint_eq(burst(&paid, now, SHARQ_SDXI_FAULTS),
			  SHARQ_SDXI_FAULTS_PER_S);
	now += 3600 * S;
	ck_assert_uint_eq(burst(&paid, now, 2 * SHARQ_SDXI_FAULTS),
			  SHARQ_SDXI_FAULTS);
}
END_TEST

START_TEST(faults_for_ever)
{
	unsigned long long paid = 0, now = S;

	for (unsigned int i = 0; i < 100000; i++) {
		ck_assert(sdxi_pace_fault(&paid, now));
		now += S / SHARQ_SDXI_FAULTS_PER_S;
	}
}
END_TEST

/* A little faster than that, and it ends, but no sooner than it must. */
START_TEST(faults_too_fast)
{
	unsigned long long paid = 0, now = S;
	unsigned int n = 0;

	while (sdxi_pace_fault(&paid, now)) {
		n++;
		now += S / (2 * SHARQ_SDXI_FAULTS_PER_S);
		ck_assert_uint_lt(n, 3 * SHARQ_SDXI_FAULTS);
	}
	ck_assert_uint_ge(n, 2 * SHARQ_SDXI_FAULTS - 2);
}
END_TEST

/* Until something that takes @ns is seen. */
static unsigned int looks(unsigned long long ns, unsigned long long *late)
{
	unsigned long long waited = 0;
	unsigned int n = 0;

	while (waited < ns) {
		waited += sdxi_pace_look(waited);
		n++;
	}
	*late = waited - ns;
	return n;
}

/* Seen soon, for its length, and without looking often. */
START_TEST(looks_are_few_and_soon)
{
	for (unsigned long long ns = 1; ns < 20 * S; ns += ns / 7 + 1) {
		unsigned long long late;
		unsigned int n = looks(ns, &late);

		ck_assert_uint_le(late, ns / 8 > 50000 ? ns / 8 : 50000);
		ck_assert_uint_le(late, 4000000);
		ck_assert_uint_le(n, 40 + ns / 4000000);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("sdxi_pace");

	UNIT_ADD(s, faults_at_once);
	UNIT_ADD(s, faults_after_a_rest);
	UNIT_ADD(s, faults_for_ever);
	UNIT_ADD(s, faults_too_fast);
	UNIT_ADD(s, looks_are_few_and_soon);
	return s;
}
