// SPDX-License-Identifier: GPL-2.0-only
/*
 * Order within a queue, shares between queues. See drr.h for the arithmetic.
 *
 * A request is in q->pending until order lets it go; then with the stager or in
 * q->ready; then in the device. A queue is in dev->active while it has ready
 * requests.
 */
#include "provider.h"

#include <linux/ktime.h>

#include "drr.h"
#include "trace.h"

/*
 * So many are completed or handed on at once; by a thread that others need fewer, for
 * it isn't charged to the queue.
 */
#define RELEASE_MAX 256
#define RELEASE_FEW 16
/* So many are made ready in one go, while others wait for the lock. */
#define READY_MAX 64
/* To let go of more pages takes as long as copying many of them. */
#define FEW_PAGES 64

/* How much there is left to do, at most. */
static u32 rest(const struct sharq_request *r)
{
	u64 total = r->desc.len;

	if (r->desc.op == SHARQ_OP_COMPRESS ||
	    r->desc.op == SHARQ_OP_DECOMPRESS)
		total += r->desc.dst_len;
	return min_t(u64, total - r->served, U32_MAX);
}

/* dev->lock held. */
static void push(struct sharq_device *dev, struct sharq_queue *q,
		 struct sharq_request *r)
{
	list_del_init(&r->node);
	if (list_empty(&q->ready))
		list_del_init(&q->active);
	q->deficit -= r->budget * r->cost;
	q->stats.served += min(r->budget, rest(r));
	q->in_device++;
	dev->busy++;
	if (!r->device_ns)
		r->device_ns = ktime_get_ns();
	trace_sharq_push(r, r->budget);
	dev->ops->push(dev, r);
}

/* The next in the round that may have one more in the device. dev->lock held. */
static struct sharq_queue *next_queue(struct sharq_device *dev)
{
	struct sharq_queue *q;

	list_for_each_entry(q, &dev->active, active)
		if (q->in_device < q->max_in_device)
			return q;
	return NULL;
}

/* Fill the device. dev->lock held. */
static void dispatch(struct sharq_device *dev)
{
	struct sharq_queue *q;

	while (dev->busy < dev->slots && (q = next_queue(dev))) {
		struct sharq_request *r;

		r = list_first_entry(&q->ready, struct sharq_request, node);
		r->budget = sharq_drr_slice(q->deficit, rest(r), r->cost);
		if (r->budget) {
			push(dev, q, r);
		} else {
			q->deficit += sharq_drr_quantum(q->weight);
			list_move_tail(&q->active, &dev->active);
		}
	}
}

/* dev->lock held. */
static void make_ready(struct sharq_device *dev, struct sharq_request *r)
{
	struct sharq_queue *q = r->queue;

	list_add_tail(&r->node, &q->ready);
	if (list_empty(&q->active)) {
		/* A rest isn't kept over a pause, what is owed is. */
		q->deficit = min_t(s64, q->deficit, 0) +
			     sharq_drr_quantum(q->weight);
		list_add_tail(&q->active, &dev->active);
	}
}

static void settle(struct sharq_request *r, enum sharq_status status)
{
	r->cqe = (struct sharq_cqe){ .user_data = r->desc.user_data,
				     .status = status };
	r->settled = true;
}

/* What a dead queue's request ends as. */
static void settle_dead(struct sharq_request *r)
{
	settle(r, r->begun ? SHARQ_RESET : SHARQ_CANCELED);
}

/*
 * Take the first of q->pending if it may start, as far as those before it go.
 * dev->lock held.
 */
static struct sharq_request *take_pending(struct sharq_queue *q)
{
	struct sharq_request *r;

	r = list_first_entry_or_null(&q->pending, struct sharq_request, node);
	if (!r)
		return NULL;
	if (!q->canceled &&
	    (q->link_wait ||
	     (r->desc.flags & SHARQ_DESC_FENCE && q->unfinished)))
		return NULL;
	list_del_init(&r->node);
	q->unfinished++;
	if (q->canceled || q->link_failed)
		settle(r, SHARQ_CANCELED);
	q->link_failed = false;
	q->link_wait = r->desc.flags & SHARQ_DESC_LINK;
	return r;
}

/* Letting go of its memory is better not done by a thread that others need. */
static bool is_heavy(const struct sharq_request *r)
{
	unsigned int pages = 0;

	for (unsigned int i = 0; i < r->nbufs; i++)
		if (r->buf[i].kind == SHARQ_BUF_PINNED ||
		    r->buf[i].kind == SHARQ_BUF_STAGED)
			pages += r->buf[i].nr;
	return pages > FEW_PAGES;
}

/* dev->lock held. */
static void complete_later(struct sharq_queue *q, struct sharq_request *r)
{
	r->settled = true;
	list_add_tail(&r->node, &q->ended);
	/* Not after the lock was let go: both may be gone then. */
	sharq_queue_later(q);
}

/*
 * Let go what order allows. dev->lock held; dropped meanwhile, and then what is
 * completed may get here again: it leaves the work to the first, or a chain
 * would take as much stack as it is long. This may be a thread that others need,
 * and the client adds to the chain as fast as it is emptied.
 */
static void empty_pending(struct sharq_device *dev, struct sharq_queue *q,
			  unsigned int max) __must_hold(&dev->lock)
{
	struct sharq_request *r;
	unsigned int n = 0, ready = 0;
	bool posted = false;

	if (q->releasing)
		return;
	q->releasing = true;
	while (n < max && (r = take_pending(q))) {
		if (!r->settled && !r->staged) {
			make_ready(dev, r);
			if (++ready % READY_MAX == 0) {
				spin_unlock(&dev->lock);
				cond_resched();
				spin_lock(&dev->lock);
			}
			continue;
		}
		if (r->settled && is_heavy(r)) {
			complete_later(q, r);
			n++;
			continue;
		}
		posted |= r->settled;
		spin_unlock(&dev->lock);
		if (r->settled)
			sharq_request_complete(r, false);
		else
			sharq_stager_in(r);
		n++;
		cond_resched();
		spin_lock(&dev->lock);
	}
	q->rest = n == max;
	q->releasing = q->rest;
	if (q->rest)
		sharq_queue_later(q);
	if (!posted)
		return;
	spin_unlock(&dev->lock);
	sharq_tell(q);
	spin_lock(&dev->lock);
}

/* dev->lock held, as in empty_pending(). */
static void release(struct sharq_device *dev, struct sharq_queue *q,
		    unsigned int max)
{
	empty_pending(dev, q, max);
	dispatch(dev);
}

void sharq_sched_go_on(struct sharq_queue *q)
{
	struct sharq_device *dev = q->dev;
	struct sharq_request *r, *next;
	LIST_HEAD(ended);

	spin_lock(&dev->lock);
	list_splice_init(&q->ended, &ended);
	if (q->rest) {
		q->rest = false;
		q->releasing = false;
		release(dev, q, RELEASE_MAX);
	}
	spin_unlock(&dev->lock);
	list_for_each_entry_safe(r, next, &ended, node) {
		if (!r->settled)
			settle_dead(r);
		sharq_request_complete(r, false);
		cond_resched();
	}
}

void sharq_sched_add(struct sharq_queue *q, struct list_head *requests)
{
	struct sharq_device *dev = q->dev;
	struct sharq_request *r;

	list_for_each_entry(r, requests, node)
		if (r->desc.flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK))
			atomic_inc(&q->ordered);
	spin_lock(&dev->lock);
	if (trace_sharq_accept_enabled())
		list_for_each_entry(r, requests, node)
			trace_sharq_accept(r);
	list_splice_tail_init(requests, &q->pending);
	release(dev, q, RELEASE_MAX);
	spin_unlock(&dev->lock);
}

void sharq_sched_staged(struct sharq_request *r)
{
	struct sharq_queue *q = r->queue;
	struct sharq_device *dev = q->dev;

	spin_lock(&dev->lock);
	if (q->canceled && !r->settled)
		settle_dead(r);
	if (!r->settled) {
		make_ready(dev, r);
		dispatch(dev);
		r = NULL;
	}
	spin_unlock(&dev->lock);
	if (r)
		sharq_request_complete(r, true);
}

void sharq_sched_done(const struct sharq_request *r)
{
	struct sharq_queue *q = r->queue;
	struct sharq_device *dev = q->dev;
	u16 flags = r->desc.flags;

	spin_lock(&dev->lock);
	dev->busy -= r->has_slot;
	/* A dead queue's requests don't wait for each other. */
	if (flags & SHARQ_DESC_LINK && !q->canceled) {
		q->link_wait = false;
		q->link_failed = r->cqe.status != SHARQ_OK;
	}
	q->unfinished--;
	if (flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK)) {
		/* Who sees none left must see how the last one ended. */
		smp_mb__before_atomic();
		atomic_dec(&q->ordered);
	}
	release(dev, q, RELEASE_FEW);
	spin_unlock(&dev->lock);
}

void sharq_sched_cancel(struct sharq_queue *q)
{
	struct sharq_device *dev = q->dev;

	spin_lock(&dev->lock);
	q->canceled = true;
	if (!list_empty(&q->ready))
		sharq_queue_later(q);
	list_splice_tail_init(&q->ready, &q->ended);
	list_del_init(&q->active);
	release(dev, q, RELEASE_FEW);
	spin_unlock(&dev->lock);
}

bool sharq_sched_idle_order(const struct sharq_queue *q, u16 flags)
{
	bool idle;

	/* Without an uncompleted LINK or FENCE nothing pending holds it back. */
	if (flags & SHARQ_DESC_LINK || atomic_read_acquire(&q->ordered) ||
	    READ_ONCE(q->link_failed))
		return false;
	if (!(flags & SHARQ_DESC_FENCE))
		return true;
	spin_lock(&q->dev->lock);
	idle = list_empty(&q->pending) && !q->unfinished;
	spin_unlock(&q->dev->lock);
	return idle;
}

/* What a slice did beyond its budget. dev->lock held. */
static void charge(struct sharq_queue *q, const struct sharq_request *r,
		   u32 bytes)
{
	q->deficit -= (u64)bytes * r->cost;
	q->stats.served += bytes;
}

void sharq_slice_done(struct sharq_request *r, u32 bytes, bool finished)
{
	struct sharq_queue *q = r->queue;
	struct sharq_device *dev = q->dev;
	bool heavy;

	spin_lock(&dev->lock);
	if (bytes > r->budget)
		charge(q, r, bytes - r->budget);
	r->served += bytes;
	r->begun = true;
	q->in_device--;
	if (!finished && q->canceled) {
		settle_dead(r);
		finished = true;
	}
	heavy = finished && !r->staged && is_heavy(r);
	if (heavy)
		complete_later(q, r);
	if (!finished)
		make_ready(dev, r);
	/*
	 * A completion comes before others get more: then its slot is kept until it
	 * is posted.
	 */
	if (!finished || r->staged || heavy) {
		dev->busy--;
		dispatch(dev);
	} else {
		r->has_slot = true;
	}
	spin_unlock(&dev->lock);
	if (!finished || heavy)
		return;
	if (r->staged)
		sharq_stager_out(r);
	else
		sharq_request_complete(r, true);
}
