/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How often things may happen, or be looked at, for a direct context: arithmetic
 * only, for sdxi_faults.c, sdxi_wake.c and their unit test. Times are in ns.
 */
#ifndef SHARQ_SDXI_PACE_H
#define SHARQ_SDXI_PACE_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#include "sharq_ioctl.h"

/* What one fault costs, of all that a context may have in a second. */
#define SDXI_FAULT_COST (1000000000ULL / SHARQ_SDXI_FAULTS_PER_S)

/*
 * Is there one left at @now? @paid: when those that happened will be paid for; 0 at
 * first.
 */
static inline bool sdxi_pace_fault(unsigned long long *paid,
				   unsigned long long now)
{
	unsigned long long from = *paid > now ? *paid : now;

	if (from - now > (SHARQ_SDXI_FAULTS - 1) * SDXI_FAULT_COST)
		return false;
	*paid = from + SDXI_FAULT_COST;
	return true;
}

#define SDXI_LOOK_MIN 50000ULL
#define SDXI_LOOK_MAX 4000000ULL

/*
 * When to look again, after @waited in vain: soon in proportion, so that few looks
 * are needed and little is slept too long.
 */
static inline unsigned long long sdxi_pace_look(unsigned long long waited)
{
	unsigned long long ns = waited / 8;

	if (ns < SDXI_LOOK_MIN)
		return SDXI_LOOK_MIN;
	return ns < SDXI_LOOK_MAX ? ns : SDXI_LOOK_MAX;
}

#endif /* SHARQ_SDXI_PACE_H */
