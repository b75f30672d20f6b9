// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watching over direct contexts.
 *
 * A context of which the oldest descriptor isn't done for long, because it hangs or
 * because its completion was lost, is stopped, and its queue is quarantined. How
 * long that may take is for the slowest page that a client may have.
 *
 * All that is read is the client's: who lies ends his own queue, or is left alone
 * with it.
 */
#include "sdxi_watch.h"

#include <linux/jiffies.h>
#include <linux/module.h>

#include "sdxi_direct.h"

static unsigned int sdxi_direct_hang_ms = 60000;
module_param(sdxi_direct_hang_ms, uint, 0644);
MODULE_PARM_DESC(sdxi_direct_hang_ms,
		 "for so long a direct queue's command may not be done");

#define LOOK_EVERY HZ

static bool waits(const struct sdxi_direct *d)
{
	return READ_ONCE(d->started) &&
	       READ_ONCE(d->q->state) == SHARQ_QUEUE_RUNNING &&
	       !sdxi_direct_idle(d) && !sdxi_direct_done(d);
}

/* direct_lock held. */
static void look(struct sdxi_direct *d)
{
	unsigned int limit = READ_ONCE(sdxi_direct_hang_ms);
	u64 taken = READ_ONCE(d->area->taken);
	struct sdxi_watch *w = &d->watch;
	bool before = w->waits && w->taken == taken;

	w->waits = waits(d);
	if (!w->waits)
		return;
	if (!before) {
		w->taken = taken;
		w->since = jiffies;
		return;
	}
	if (time_after_eq(jiffies, w->since + msecs_to_jiffies(limit)))
		WRITE_ONCE(w->late, true);
	schedule_work(&w->work);
}

long sdxi_watch(struct sdxi *s)
{
	long left = s->looked + LOOK_EVERY - jiffies;

	if (!s->dev.direct)
		return MAX_SCHEDULE_TIMEOUT;
	if (left > 0)
		return left;
	s->looked = jiffies;
	spin_lock(&s->direct_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->direct); i++)
		if (s->direct[i])
			look(s->direct[i]);
	spin_unlock(&s->direct_lock);
	return LOOK_EVERY;
}

static void act(struct work_struct *work)
{
	struct sdxi_direct *d =
		container_of(work, struct sdxi_direct, watch.work);

	/* The client may have been stopped between its index and its doorbell. */
	if (!READ_ONCE(d->watch.late)) {
		sdxi_direct_ring(d);
		return;
	}
	dev_warn_ratelimited(&d->s->pdev->dev,
			     "context %u of queue %llu stands still at %llu\n",
			     d->num, d->q->id, READ_ONCE(d->area->taken));
	sharq_queue_end(d->q, SHARQ_QUEUE_QUARANTINED);
}

void sdxi_watch_init(struct sdxi_direct *d)
{
	INIT_WORK(&d->watch.work, act);
}

void sdxi_watch_exit(struct sdxi_direct *d)
{
	cancel_work_sync(&d->watch.work);
}
