/* SPDX-License-Identifier: MIT */
/* The scheduler's arithmetic, played through as kmod/sched.c does it. */
#include <stdbool.h>

#include "../../kmod/drr.h"
#include "unit.h"

#define QUEUES 16

/* Where there are a million: one of Check's that holds makes a system call. */
#define EXPECT(cond)                                                           \
	do {                                                                   \
		if (!(cond))                                                   \
			ck_abort_msg("%s", #cond);                             \
	} while (0)

/*
 * struct flow - a queue that never runs dry
 * @len:     of each of its commands
 * @rest:    of the one that is served now
 * @cost:    of each byte
 * @deficit, @weight: as in struct sharq_queue
 * @served:  bytes in all
 */
struct flow {
	unsigned int weight;
	unsigned int len;
	unsigned int rest;
	unsigned int cost;
	long long deficit;
	unsigned long long served;
};

static void join(struct flow *f, unsigned int weight, unsigned int len)
{
	*f = (struct flow){ .weight = weight,
			    .len = len,
			    .rest = len,
			    .cost = 1,
			    .deficit = sharq_drr_quantum(weight) };
}

/* Serve one visit. Return: bytes. */
static unsigned int visit(struct flow *f)
{
	unsigned int slice, bytes, sum = 0;

	while ((slice = sharq_drr_slice(f->deficit, f->rest, f->cost))) {
		unsigned int cost = slice * f->cost;

		EXPECT((long long)cost <= f->deficit);
		EXPECT(cost <= SHARQ_SLICE_MAX);
		bytes = slice < f->rest ? slice : f->rest;
		f->deficit -= cost;
		f->rest -= bytes;
		if (!f->rest)
			f->rest = f->len;
		sum += bytes;
	}
	f->deficit += sharq_drr_quantum(f->weight);
	f->served += sum;
	return sum;
}

static void rounds(struct flow *flows, unsigned int n, unsigned int count)
{
	while (count--)
		for (unsigned int i = 0; i < n; i++)
			visit(&flows[i]);
}

static bool slice_is_right(long long deficit, unsigned int rest,
			   unsigned int cost)
{
	unsigned int slice = sharq_drr_slice(deficit, rest, cost);

	if (deficit < SHARQ_COST_MIN)
		return !slice;
	if (!slice || slice * cost > deficit ||
	    slice * cost > SHARQ_SLICE_MAX || slice * cost < SHARQ_COST_MIN)
		return false;
	/* All, or as much as there may be. */
	if (slice >= rest)
		return true;
	return slice == (deficit > SHARQ_SLICE_MAX ? SHARQ_SLICE_MAX
						   : (unsigned int)deficit) /
				cost;
}

/* A slice is within all limits, and never none while there is a quantum. */
START_TEST(slices)
{
	static const unsigned int rests[] = { 0,	  1,	     4095,
					      4096,	  4097,	     65535,
					      65536,	  65537,     16U << 20,
					      0x7fffffff, 0xffffffff };

	for (long long d = -5000; d <= SHARQ_SLICE_MAX + 5000; d += 7)
		for (unsigned int i = 0; i < sizeof(rests) / sizeof(*rests);
		     i++)
			for (unsigned int cost = 1; cost <= 64; cost *= 4)
				if (!slice_is_right(d, rests[i], cost))
					ck_abort_msg(
						"deficit %lld, %u bytes at %u",
						d, rests[i], cost);
	ck_assert_uint_ge(sharq_drr_quantum(1), SHARQ_COST_MIN);
	ck_assert_uint_le(sharq_drr_quantum(256), SHARQ_SLICE_MAX);
}
END_TEST

/* Whatever came before, a visit is at most a slice, but for a kept rest. */
START_TEST(visits_are_bounded)
{
	for (unsigned int weight = 1; weight <= 256; weight++) {
		struct flow f;

		join(&f, weight, weight * 977 + 13);
		for (unsigned int i = 0; i < 1000; i++)
			EXPECT(visit(&f) <
			       sharq_drr_quantum(weight) + SHARQ_COST_MIN);
	}
}
END_TEST

/* One with 16-MiB commands, the others with modest ones: equal bytes. */
START_TEST(equal_shares)
{
	struct flow flows[QUEUES];
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < QUEUES; i++)
		join(&flows[i], 64, i ? 20000 * i : 16U << 20);
	rounds(flows, QUEUES, 1000);
	for (unsigned int i = 0; i < QUEUES; i++) {
		sum += flows[i].served;
		squares += (double)flows[i].served * flows[i].served;
	}
	/* Jain's index. */
	ck_assert_double_ge(sum * sum / (QUEUES * squares), 0.999);
}
END_TEST

/*
 * Bytes are as weights, whatever the commands' lengths: within the promised
 * tenth, as what is left of a cut command costs more than its bytes.
 */
START_TEST(weighted_shares)
{
	static const unsigned int weights[] = { 1, 2, 3, 64, 100, 255, 256 };
	static const unsigned int lens[] = { 4096, 50000, 100001, 1U << 20 };

	for (unsigned int i = 0; i < 7; i++) {
		for (unsigned int j = 0; j < 4; j++) {
			struct flow f[2];
			double share;

			join(&f[0], 1, 128 << 10);
			join(&f[1], weights[i], lens[j]);
			rounds(f, 2, 2000);
			share = (double)f[1].served / f[0].served / weights[i];
			ck_assert_double_ge(share, 0.9);
			ck_assert_double_le(share, 1.1);
		}
	}
}
END_TEST

/* Who only has tiny commands pays for each what the least costs. */
START_TEST(tiny_commands_cost)
{
	struct flow f;

	join(&f, 64, 8);
	ck_assert_uint_eq(visit(&f),
			  sharq_drr_quantum(64) / SHARQ_COST_MIN * 8);
}
END_TEST

/* Who computes more for each byte gets fewer of them. */
START_TEST(bytes_cost)
{
	struct flow f[2];

	join(&f[0], 64, 1U << 20);
	join(&f[1], 64, 1U << 20);
	f[1].cost = 32;
	rounds(f, 2, 2000);
	ck_assert_double_ge(32.0 * f[1].served / f[0].served, 0.99);
	ck_assert_double_le(32.0 * f[1].served / f[0].served, 1.01);
}
END_TEST

/* What was too much comes out of what is next. */
START_TEST(debts_are_paid)
{
	struct flow f;

	join(&f, 64, 1U << 20);
	f.deficit -= 3 * sharq_drr_quantum(64);
	ck_assert_uint_eq(visit(&f), 0);
	ck_assert_uint_eq(visit(&f), 0);
	ck_assert_uint_eq(visit(&f), 0);
	ck_assert_uint_eq(visit(&f), sharq_drr_quantum(64));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("drr");

	UNIT_ADD(s, slices);
	UNIT_ADD(s, visits_are_bounded);
	UNIT_ADD(s, equal_shares);
	UNIT_ADD(s, weighted_shares);
	UNIT_ADD(s, tiny_commands_cost);
	UNIT_ADD(s, bytes_cost);
	UNIT_ADD(s, debts_are_paid);
	return s;
}
