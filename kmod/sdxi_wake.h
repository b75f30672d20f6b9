/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who sleeps until a command of a direct context is done is woken from here: the
 * context has no interrupt. Nothing costs anything but while somebody sleeps.
 */
#ifndef SHARQ_SDXI_WAKE_H
#define SHARQ_SDXI_WAKE_H

#include <linux/hrtimer.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

struct sdxi_direct;
struct sharq_queue;

enum sdxi_waker_state {
	SDXI_WAKER_OFF,
	SDXI_WAKER_WATCHES, /* @timer looks at the block of @taken */
	SDXI_WAKER_LISTENS, /* nothing is in flight: for the doorbell */
	SDXI_WAKER_ENDED,
};

/*
 * struct sdxi_waker - in struct sdxi_direct
 * @work:  does what can't be done in @timer
 * @lock:  softirqs take it; protects what follows
 * @tell:  @work is to wake those who sleep
 * @since: when @timer began
 */
struct sdxi_waker {
	struct hrtimer timer;
	struct work_struct work;
	spinlock_t lock; /* innermost */
	enum sdxi_waker_state state;
	bool tell;
	u64 since;
};

void sdxi_waker_init(struct sdxi_direct *d);
/* Nobody polls, and nobody's doorbell is mapped, any more: waits. */
void sdxi_waker_exit(struct sdxi_direct *d);
/*
 * Is descriptor @taken done? If not, and the client wants an event, there will be
 * one when it is. Process context, no lock held.
 */
bool sdxi_waker_ready(struct sharq_queue *q);
/* A fault in the doorbell's page; the store behind it follows, maybe. */
void sdxi_waker_bell(struct sdxi_direct *d);

#endif /* SHARQ_SDXI_WAKE_H */
