/* SPDX-License-Identifier: MIT */
/* The scheduler's arithmetic, played through as kmod/sched.c does it. */
#include "../../kmod/drr.h"
#include "unit.h"

#define QUEUES 16

/*
 * struct flow - a queue that never runs dry
 * @len:     of each of its commands
 * @rest:    of the one that is served now
 * @deficit, @weight: as in struct sharq_queue
 * @served:  bytes in all
 */
struct flow {
	unsigned int weight;
	unsigned int len;
	unsigned int rest;
	unsigned int deficit;
	unsigned long long served;
};

static void join(struct flow *f, unsigned int weight, unsigned int len)
{
	*f = (struct flow){ .weight = weight,
			    .len = len,
			    .rest = len,
			    .deficit = sharq_drr_quantum(weight) };
}

/* Serve one visit. Return: bytes. */
static unsigned int visit(struct flow *f)
{
	unsigned int slice, bytes, sum = 0;

	while ((slice = sharq_drr_slice(f->deficit, f->rest))) {
		ck_assert_uint_le(slice, f->deficit);
		ck_assert_uint_le(slice, SHARQ_SLICE_MAX);
		bytes = slice < f->rest ? slice : f->rest;
		f->deficit -= slice;
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

/* A slice is within all limits, and never none while there is a quantum. */
START_TEST(slices)
{
	static const unsigned int rests[] = {
		0,    1,     255,   256,   257,	      1023,	  1024,
		1025, 65535, 65536, 65537, 16U << 20, 0x7fffffff, 0xffffffff
	};

	for (unsigned int d = 0; d <= SHARQ_SLICE_MAX + 1024; d++) {
		for (unsigned int i = 0; i < sizeof(rests) / sizeof(*rests);
		     i++) {
			unsigned int s = sharq_drr_slice(d, rests[i]);
			unsigned int want = rests[i];

			if (want < SHARQ_COST_MIN)
				want = SHARQ_COST_MIN;
			if (want > SHARQ_SLICE_MAX)
				want = SHARQ_SLICE_MAX;
			if (d < SHARQ_COST_MIN)
				want = 0;
			else if (want > d)
				want = d;
			ck_assert_uint_eq(s, want);
		}
	}
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
			ck_assert_uint_lt(visit(&f), sharq_drr_quantum(weight) +
							     SHARQ_COST_MIN);
	}
}
END_TEST

/* One with 16-MiB commands, the others with modest ones: equal bytes. */
START_TEST(equal_shares)
{
	struct flow flows[QUEUES];
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < QUEUES; i++)
		join(&flows[i], 64, i ? 300 * i + 256 : 16U << 20);
	rounds(flows, QUEUES, 1000);
	for (unsigned int i = 0; i < QUEUES; i++) {
		sum += flows[i].served;
		squares += (double)flows[i].served * flows[i].served;
	}
	/* Jain's index. */
	ck_assert_double_ge(sum * sum / (QUEUES * squares), 0.9999);
}
END_TEST

/*
 * Bytes are as weights, whatever the commands' lengths: within the promised
 * tenth, as what is left of a cut command costs more than its bytes.
 */
START_TEST(weighted_shares)
{
	static const unsigned int weights[] = { 1, 2, 3, 64, 100, 255, 256 };
	static const unsigned int lens[] = { 256, 4096, 5000, 1U << 20 };

	for (unsigned int i = 0; i < 7; i++) {
		for (unsigned int j = 0; j < 4; j++) {
			struct flow f[2];
			double share;

			join(&f[0], 1, 100000);
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

Suite *unit_suite(void)
{
	Suite *s = suite_create("drr");

	UNIT_ADD(s, slices);
	UNIT_ADD(s, visits_are_bounded);
	UNIT_ADD(s, equal_shares);
	UNIT_ADD(s, weighted_shares);
	UNIT_ADD(s, tiny_commands_cost);
	return s;
}
