/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Watching over direct contexts: one that stands still doesn't for ever. The
 * function's thread looks; what takes longer is done by a work item of the context's
 * own.
 */
#ifndef SHARQ_SDXI_WATCH_H
#define SHARQ_SDXI_WATCH_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct sdxi_direct;

/*
 * struct sdxi_watch - in struct sdxi_direct; the thread's, under s->direct_lock
 * @waits: at the last look descriptor @taken was published, and not done,
 * @since: and had been so since (jiffies)
 * @late:  for too long: @work ends the queue
 */
struct sdxi_watch {
	struct work_struct work;
	bool waits;
	bool late;
	u64 taken;
	unsigned long since;
};

void sdxi_watch_init(struct sdxi_direct *d);
/* It is in s->direct no more: waits. */
void sdxi_watch_exit(struct sdxi_direct *d);

#endif /* SHARQ_SDXI_WATCH_H */
