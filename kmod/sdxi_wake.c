// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waking who sleeps on a direct context.
 *
 * While something is in flight a timer looks at the client's own completion block,
 * less and less often. While nothing is, the doorbell's page is taken away: the next
 * store there faults, and starts the timer. A store that came through before that
 * has left its index in the area, which is looked at after it.
 *
 * All that is read is the client's: what it says of itself decides when it is woken,
 * and nothing else.
 */
#include "sdxi_wake.h"

#include <linux/ktime.h>

#include "compat.h"
#include "sdxi_direct.h"
#include "sdxi_pace.h"

static struct sdxi_direct *of_timer(struct hrtimer *timer)
{
	return container_of(timer, struct sdxi_direct, waker.timer);
}

static bool is_wanted(const struct sdxi_direct *d)
{
	return READ_ONCE(d->q->rings->client_flags) & SHARQ_CLIENT_WANT_EVENT &&
	       !sharq_state_dead(READ_ONCE(d->q->state));
}

/* lock held. */
static void watch(struct sdxi_waker *w)
{
	w->state = SDXI_WAKER_WATCHES;
	w->since = ktime_get_ns();
	hrtimer_start(&w->timer, ns_to_ktime(sdxi_pace_look(0)),
		      HRTIMER_MODE_REL_SOFT);
}

bool sdxi_waker_ready(struct sharq_queue *q)
{
	struct sdxi_direct *d = q->direct;
	struct sdxi_waker *w = &d->waker;

	if (sdxi_direct_done(d))
		return true;
	if (!is_wanted(d))
		return false;
	spin_lock_bh(&w->lock);
	if (w->state == SDXI_WAKER_OFF)
		watch(w);
	spin_unlock_bh(&w->lock);
	return false;
}

void sdxi_waker_bell(struct sdxi_direct *d)
{
	struct sdxi_waker *w = &d->waker;

	spin_lock_bh(&w->lock);
	if (w->state == SDXI_WAKER_LISTENS)
		watch(w);
	spin_unlock_bh(&w->lock);
}

/* lock held; WATCHES. What to do next. */
static enum sdxi_waker_state look(struct sdxi_direct *d)
{
	if (!is_wanted(d))
		return SDXI_WAKER_OFF;
	if (sdxi_direct_idle(d))
		return SDXI_WAKER_LISTENS;
	if (!sdxi_direct_done(d))
		return SDXI_WAKER_WATCHES;
	d->waker.tell = true;
	return SDXI_WAKER_OFF;
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct sdxi_direct *d = of_timer(timer);
	struct sdxi_waker *w = &d->waker;
	enum hrtimer_restart again = HRTIMER_NORESTART;
	u64 next;

	spin_lock(&w->lock);
	if (w->state == SDXI_WAKER_WATCHES)
		w->state = look(d);
	if (w->state == SDXI_WAKER_WATCHES) {
		next = sdxi_pace_look(ktime_get_ns() - w->since);
		hrtimer_forward_now(timer, ns_to_ktime(next));
		again = HRTIMER_RESTART;
	} else if (w->tell || w->state == SDXI_WAKER_LISTENS) {
		schedule_work(&w->work);
	}
	spin_unlock(&w->lock);
	return again;
}

static void listen(struct sdxi_direct *d)
{
	struct sdxi_waker *w = &d->waker;
	struct sharq_queue *q = d->q;

	unmap_mapping_range(q->inode->i_mapping, sharq_bell_offset(q),
			    PAGE_SIZE, 1);
	/* Pairs with the client's stores: the index, then the doorbell. */
	smp_mb();
	if (sdxi_direct_idle(d))
		return;
	spin_lock_bh(&w->lock);
	if (w->state == SDXI_WAKER_LISTENS)
		watch(w);
	spin_unlock_bh(&w->lock);
}

static void work(struct work_struct *work)
{
	struct sdxi_direct *d =
		container_of(work, struct sdxi_direct, waker.work);
	struct sdxi_waker *w = &d->waker;
	bool tell, listens;

	spin_lock_bh(&w->lock);
	tell = w->tell;
	w->tell = false;
	listens = w->state == SDXI_WAKER_LISTENS;
	spin_unlock_bh(&w->lock);
	if (tell)
		sharq_tell(d->q);
	if (listens)
		listen(d);
}

void sdxi_waker_init(struct sdxi_direct *d)
{
	struct sdxi_waker *w = &d->waker;

	spin_lock_init(&w->lock);
	INIT_WORK(&w->work, work);
	compat_hrtimer_setup(&w->timer, tick, CLOCK_MONOTONIC,
			     HRTIMER_MODE_REL_SOFT);
}

void sdxi_waker_exit(struct sdxi_direct *d)
{
	struct sdxi_waker *w = &d->waker;

	spin_lock_bh(&w->lock);
	w->state = SDXI_WAKER_ENDED;
	spin_unlock_bh(&w->lock);
	hrtimer_cancel(&w->timer);
	cancel_work_sync(&w->work);
}
