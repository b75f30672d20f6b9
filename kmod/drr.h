/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Deficit round robin: arithmetic only, for sched.c and its unit test.
 *
 * A queue gets a quantum when it joins the round and each time that its visit
 * is over; a visit serves at most what it has. A rest too small for a slice is
 * kept for the next visit, so that it is lost to nobody.
 */
#ifndef SHARQ_DRR_H
#define SHARQ_DRR_H

/* A slice is at most this long; the quantum for a weight of 1. */
#define SHARQ_SLICE_MAX (256 * 1024)
#define SHARQ_QUANTUM 1024
/* What a slice costs at least, in bytes: less than any quantum. */
#define SHARQ_COST_MIN 256

static inline unsigned int sharq_drr_quantum(unsigned int weight)
{
	return weight * SHARQ_QUANTUM;
}

/*
 * The slice for a command that has @rest bytes to go, in a queue that has
 * @deficit: what it costs, too. 0: the visit is over.
 */
static inline unsigned int sharq_drr_slice(unsigned int deficit,
					   unsigned int rest)
{
	unsigned int slice = rest > SHARQ_COST_MIN ? rest : SHARQ_COST_MIN;

	if (deficit < SHARQ_COST_MIN)
		return 0;
	if (slice > deficit)
		slice = deficit;
	return slice < SHARQ_SLICE_MAX ? slice : SHARQ_SLICE_MAX;
}

#endif /* SHARQ_DRR_H */
