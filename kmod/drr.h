/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deficit round robin: arithmetic only, for sched.c and its unit test.
 *
 * A queue gets a quantum when it joins the round and each time that its visit
 * is over; a visit serves at most what it has. A rest too small for a slice is
 * kept for the next visit, so that it is lost to nobody. What a slice did beyond
 * its budget is owed: the deficit is negative, then.
 */
#ifndef SHARQ_DRR_H
#define SHARQ_DRR_H

/* A slice costs at most this: the quantum for the greatest weight. */
#define SHARQ_SLICE_MAX (1024 * 1024)
/* For a weight of 1. */
#define SHARQ_QUANTUM 4096
/*
 * What a slice costs at least: no more than any quantum. To push and complete
 * one takes as long as to copy some ten KiB: tiny commands are to pay for that.
 */
#define SHARQ_COST_MIN 4096

static inline unsigned int sharq_drr_quantum(unsigned int weight)
{
	return weight * SHARQ_QUANTUM;
}

/*
 * The slice, in bytes, for a command that has @rest of them to go at @cost each,
 * 1 to 64, in a queue that has @deficit. It is charged for all of them, even if
 * it is more than @rest. 0: the visit is over.
 */
static inline unsigned int sharq_drr_slice(long long deficit, unsigned int rest,
					   unsigned int cost)
{
	unsigned int least = SHARQ_COST_MIN / cost;
	unsigned int slice = rest > least ? rest : least;

	if (deficit < SHARQ_COST_MIN)
		return 0;
	if (deficit > SHARQ_SLICE_MAX)
		deficit = SHARQ_SLICE_MAX;
	if (slice > (unsigned int)deficit / cost)
		slice = (unsigned int)deficit / cost;
	return slice;
}

#endif /* SHARQ_DRR_H */
