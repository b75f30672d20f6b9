/* SPDX-License-Identifier: MIT */
/*
 * Histogram of nanoseconds: 64 steps to each power of two, so that a value is
 * told within 1.6 %, from 0 to centuries, in fixed memory.
 */
#ifndef SHARQ_CTL_HIST_H
#define SHARQ_CTL_HIST_H

#include <stdint.h>

#define HIST_STEPS 64
#define HIST_BUCKETS (HIST_STEPS * (64 - 6 + 1))

struct hist {
	uint64_t count;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *to, const struct hist *from);
/* The value that @percent of all don't exceed; 0 without any. */
double hist_percentile(const struct hist *h, double percent);

#endif /* SHARQ_CTL_HIST_H */
