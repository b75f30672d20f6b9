/* SPDX-License-Identifier: MIT */
/* Counting completions into a queue's journal. Under queue.cq_lock. */
#ifndef SHARQ_QUEUE_STATS_H
#define SHARQ_QUEUE_STATS_H

#include "journal.h"

/* One writer at a time; the daemon reads while we write. */
static inline void stat_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter,
			 __atomic_load_n(counter, __ATOMIC_RELAXED) + n,
			 __ATOMIC_RELAXED);
}

static inline void stats_count(struct sharq_journal_stats *s,
			       const struct sharq_desc *desc,
			       const struct sharq_cqe *cqe)
{
	stat_add(&s->commands, 1);
	switch (cqe->status) {
	case SHARQ_OK:
		stat_add(&s->bytes, desc->len);
		break;
	case SHARQ_MISMATCH:
		stat_add(&s->bytes, cqe->consumed);
		break;
	case SHARQ_FAULT_READ:
	case SHARQ_FAULT_WRITE:
		stat_add(&s->faults, 1);
		break;
	case SHARQ_BAD_DESCRIPTOR:
	case SHARQ_UNSUPPORTED:
	case SHARQ_DENIED:
		stat_add(&s->refused, 1);
		break;
	case SHARQ_RESET:
		stat_add(&s->resets, 1);
		stat_add(&s->failed, 1);
		break;
	default:
		stat_add(&s->failed, 1);
	}
}

#endif /* SHARQ_QUEUE_STATS_H */
