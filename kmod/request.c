// SPDX-License-Identifier: GPL-2.0-only
/* Requests: made, completed; completions posted. */
#include "provider.h"

#include <linux/ktime.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "trace.h"

/* So many sleepers are woken by whoever has something to tell. */
#define FEW 16
/* Some pollers report these as they are: HUP only of what is dead. */
#define TOLD (EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM)

/*
 * Not each queue's own: for as many as one may have in flight they would be more than
 * an idle one may cost (16 KiB). The cache's fast path takes no lock.
 */
static struct kmem_cache *requests;

int sharq_request_init(void)
{
	requests = KMEM_CACHE(sharq_request, SLAB_ACCOUNT);
	return requests ? 0 : -ENOMEM;
}

void sharq_request_exit(void)
{
	kmem_cache_destroy(requests);
}

struct sharq_request *sharq_request_new(struct sharq_queue *q,
					const struct sharq_desc *desc)
{
	struct sharq_request *r = kmem_cache_zalloc(requests, GFP_KERNEL);

	if (!r)
		return NULL;
	INIT_LIST_HEAD(&r->node);
	r->queue = sharq_queue_get(q);
	r->desc = *desc;
	r->cost = 1;
	r->cqe.user_data = desc->user_data;
	return r;
}

u32 sharq_request_extra(const struct sharq_queue *q,
			const struct sharq_desc *desc)
{
	const struct sharq_device_ops *ops = q->dev->ops;

	return ops->extra ? ops->extra(desc) : 0;
}

int sharq_request_arm(struct sharq_request *r)
{
	const struct sharq_device_ops *ops = r->queue->dev->ops;
	u32 extra = sharq_request_extra(r->queue, &r->desc);

	if (ops->cost)
		r->cost = ops->cost(&r->desc);
	if (!extra)
		return 0;
	/* In one piece half as much again, or more, would be taken than is counted. */
	r->priv = __vmalloc(extra, GFP_KERNEL_ACCOUNT);
	if (!r->priv)
		return -ENOMEM;
	r->extra = extra;
	atomic64_add(extra, &r->queue->pinned);
	return 0;
}

static void disarm(struct sharq_request *r)
{
	vfree(r->priv);
	atomic64_sub(r->extra, &r->queue->pinned);
}

void sharq_request_cancel(struct sharq_request *r)
{
	struct sharq_queue *q = r->queue;

	disarm(r);
	kmem_cache_free(requests, r);
	sharq_queue_put(q);
}

/*
 * cq_lock held; room was reserved by counting them in in_flight. A kick of NOPs
 * spends much of its time here.
 */
static void post(struct sharq_queue *q, const struct sharq_cqe *cqes,
		 unsigned int n)
{
	struct sharq_cqe *cq = q->cq;
	u64 *by_status = q->stats.by_status;
	u32 tail = q->cq_tail, depth = q->depth;

	for (unsigned int i = 0; i < n; i++) {
		cq[sharq_ring_slot(tail++, depth)] = cqes[i];
		by_status[cqes[i].status]++;
		trace_sharq_complete(q, &cqes[i]);
	}
	q->cq_tail = tail;
	q->stats.commands += n;
	q->in_flight -= n;
	q->short_kick = false;
	/* The client reads them after it. */
	smp_store_release(&q->rings->cq_tail, tail);
}

static __poll_t told(const struct sharq_queue *q)
{
	return TOLD | (sharq_state_dead(READ_ONCE(q->state)) ? EPOLLHUP : 0);
}

/*
 * Return: false if there are many; or one (an epoll, which has no private) that may
 * have any number of sleepers of its own; or somebody who wakes many has the lock.
 */
static bool wake_few(struct sharq_queue *q)
{
	struct wait_queue_head *wait = &q->wait;
	struct wait_queue_entry *entry;
	unsigned int n = 0;
	unsigned long flags;

	if (!spin_trylock_irqsave(&wait->lock, flags))
		return false;
	list_for_each_entry(entry, &wait->head, entry)
		if (!entry->private || ++n > FEW) {
			n = FEW + 1;
			break;
		}
	if (n <= FEW)
		wake_up_locked_poll(wait, told(q));
	spin_unlock_irqrestore(&wait->lock, flags);
	return n <= FEW;
}

void sharq_tell(struct sharq_queue *q)
{
	/* A full barrier, for q->event too. */
	bool later = wq_has_sleeper(&q->wait) && !wake_few(q);

	if (later || READ_ONCE(q->event))
		sharq_queue_later(q);
}

void sharq_tell_all(struct sharq_queue *q)
{
	mutex_lock(&q->event_lock);
	if (q->event)
		compat_eventfd_signal(q->event);
	mutex_unlock(&q->event_lock);
	if (wq_has_sleeper(&q->wait))
		wake_up_poll(&q->wait, told(q));
}

void sharq_post(struct sharq_queue *q, const struct sharq_cqe *cqes,
		unsigned int n)
{
	spin_lock(&q->cq_lock);
	post(q, cqes, n);
	spin_unlock(&q->cq_lock);
	sharq_tell(q);
}

/* cq_lock held. */
static void count(struct sharq_queue *q, const struct sharq_request *r)
{
	struct sharq_ctl_stats *s = &q->stats;

	if (r->cqe.status == SHARQ_OK)
		s->bytes += r->desc.len;
	else if (r->cqe.status == SHARQ_MISMATCH)
		s->bytes += r->cqe.consumed;
	if (!r->device_ns)
		return;
	s->wait_hist[sharq_hist_bucket(r->device_ns - r->accepted_ns)]++;
	s->device_hist[sharq_hist_bucket(ktime_get_ns() - r->device_ns)]++;
}

void sharq_request_complete(struct sharq_request *r, bool tell)
{
	struct sharq_queue *q = r->queue;

	/* First, so that who sees the completion finds the limit free again. */
	for (unsigned int i = 0; i < r->nbufs; i++)
		sharq_mem_put(q, &r->buf[i], r->begun && r->buf[i].op.write);
	disarm(r);

	spin_lock(&q->cq_lock);
	count(q, r);
	post(q, &r->cqe, 1);
	spin_unlock(&q->cq_lock);
	if (tell)
		sharq_tell(q);

	sharq_sched_done(r);
	if (r->batch)
		sharq_batch_put(r->batch);
	kmem_cache_free(requests, r);
	sharq_queue_put(q);
}
