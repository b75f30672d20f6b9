// SPDX-License-Identifier: MIT
#include "hist.h"

#define STEP_BITS 6

/* Values below two times HIST_STEPS have a bucket each. */
void hist_add(struct hist *h, uint64_t ns)
{
	unsigned int shift = 0;

	if (ns >= 2 * HIST_STEPS)
		shift = 63 - __builtin_clzll(ns) - STEP_BITS;
	h->bucket[shift * HIST_STEPS + (ns >> shift)]++;
	h->count++;
}

void hist_merge(struct hist *to, const struct hist *from)
{
	unsigned int i;

	for (i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->count += from->count;
}

/* The middle of a bucket. */
static double value(unsigned int i)
{
	unsigned int shift;

	if (i < 2 * HIST_STEPS)
		return i;
	shift = i / HIST_STEPS - 1;
	return ((double)(i - shift * HIST_STEPS) + 0.5) *
	       (double)(1ULL << shift);
}

double hist_percentile(const struct hist *h, double percent)
{
	uint64_t want = (uint64_t)((double)h->count * percent / 100);
	uint64_t seen = 0;
	unsigned int i;

	if (!h->count)
		return 0;
	for (i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += h->bucket[i];
		if (seen > want || seen == h->count)
			break;
	}
	return value(i);
}
