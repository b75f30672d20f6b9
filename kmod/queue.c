// SPDX-License-Identifier: GPL-2.0-only
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/sched/isolation.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "provider.h"

#define PIN_BYTES_DEFAULT (64ULL << 20)

/* What the client reads in its rings' device_flags: every batch takes a kick. */
static const u32 device_flags[SHARQ_QUEUE_STATE_COUNT] = {
	[SHARQ_QUEUE_PAUSED] = SHARQ_DEVICE_PAUSED,
	[SHARQ_QUEUE_BROKEN] = SHARQ_DEVICE_BROKEN,
	[SHARQ_QUEUE_QUARANTINED] = SHARQ_DEVICE_QUARANTINED,
	[SHARQ_QUEUE_CLOSED] = SHARQ_DEVICE_CLOSED,
	[SHARQ_QUEUE_GONE] = SHARQ_DEVICE_CLOSED,
};

/*
 * Freeing waits for devices and clients, ending for hardware; nobody's completions
 * wait for these, nor for memory that they give back.
 */
static struct workqueue_struct *free_queue, *end_queue, *later_queue;

int sharq_queue_init(void)
{
	const unsigned int later_flags = COMPAT_WQ_PERCPU | WQ_CPU_INTENSIVE |
					 WQ_MEM_RECLAIM;

	free_queue = alloc_workqueue("sharq-free", WQ_UNBOUND, 0);
	end_queue = alloc_workqueue("sharq-end", WQ_UNBOUND, 0);
	later_queue = alloc_workqueue("sharq-later", later_flags, 0);
	if (free_queue && end_queue && later_queue)
		return 0;
	sharq_queue_exit();
	return -ENOMEM;
}

static void destroy(struct workqueue_struct *queue)
{
	if (queue)
		destroy_workqueue(queue);
}

void sharq_queue_exit(void)
{
	/* The last item may have something queued on the next. */
	destroy(end_queue);
	destroy(later_queue);
	destroy(free_queue);
}

/* cq_lock held, or nobody else knows the queue. */
static void set_state(struct sharq_queue *q, enum sharq_queue_state state)
{
	/* What was set before is seen by who sees the state. */
	smp_store_release(&q->state, state);
	WRITE_ONCE(q->rings->device_flags,
		   SHARQ_DEVICE_NEED_KNOCK | device_flags[state]);
}

static void wake(struct sharq_queue *q)
{
	sharq_tell(q);
	sharq_control_changed(q);
}

/*
 * Takes over a reference to the device. The module stays for as long as a queue
 * does, which its requests may hold when its file is gone.
 */
static void join_device(struct sharq_queue *q, struct sharq_device *dev)
{
	__module_get(THIS_MODULE);
	q->dev = dev;
	spin_lock(&dev->lock);
	dev->queues++;
	spin_unlock(&dev->lock);
}

static void leave_device(struct sharq_queue *q)
{
	spin_lock(&q->dev->lock);
	q->dev->queues--;
	spin_unlock(&q->dev->lock);
	sharq_device_put(q->dev);
	/* Who unloads it waits for the work item that this may run in. */
	module_put(THIS_MODULE);
}

static bool take_context(struct sharq_queue *q)
{
	struct sharq_device *dev = q->dev;

	spin_lock(&dev->lock);
	q->has_context = dev->direct_used < dev->direct_max;
	dev->direct_used += q->has_context;
	spin_unlock(&dev->lock);
	return q->has_context;
}

void sharq_context_done(struct sharq_queue *q)
{
	struct sharq_device *dev = q->dev;

	spin_lock(&dev->lock);
	dev->direct_used -= q->has_context;
	q->has_context = false;
	spin_unlock(&dev->lock);
}

/* Sets @b's reason if there is none. */
static int start_direct(struct sharq_queue *q, struct sharq_bind *b)
{
	const struct sharq_direct_ops *ops = q->dev->direct;
	enum sharq_reason reason = SHARQ_REASON_NONE;
	int ret;

	if (!ops) {
		b->reason = q->dev->no_direct;
		b->reason_errno = q->dev->no_direct_errno;
		return -EOPNOTSUPP;
	}
	if (!take_context(q)) {
		b->reason = SHARQ_REASON_BUSY;
		return -EBUSY;
	}
	ret = ops->start(q, &reason);
	if (!ret)
		return 0;
	sharq_context_done(q);
	if (!reason)
		return ret;
	b->reason = reason;
	b->reason_errno = ret;
	return reason == SHARQ_REASON_BUSY || reason == SHARQ_REASON_NOT_NOW
		       ? -EBUSY
		       : -EOPNOTSUPP;
}

const struct sharq_direct_ops *sharq_queue_direct(const struct sharq_queue *q)
{
	return READ_ONCE(q->path) == SHARQ_BIND_DIRECT ? q->dev->direct : NULL;
}

/* cq_lock held. */
static void get_stats(struct sharq_queue *q, struct sharq_ctl_stats *stats)
{
	const struct sharq_direct_ops *direct = sharq_queue_direct(q);

	*stats = q->stats;
	stats->in_flight = q->in_flight;
	if (q->direct && direct && direct->stats)
		direct->stats(q, stats);
}

static void stop_direct(struct sharq_queue *q)
{
	if (!q->direct)
		return;
	/* Its last figures, for those who ask later. */
	spin_lock(&q->cq_lock);
	get_stats(q, &q->stats);
	spin_unlock(&q->cq_lock);
	q->dev->direct->stop(q);
	q->direct = NULL;
	vfree(q->area);
	q->area = NULL;
	sharq_context_done(q);
}

static void queue_free(struct work_struct *work)
{
	struct sharq_queue *q =
		container_of(work, struct sharq_queue, free_work);

	/* The notifier first: it kills what stop_direct() frees. */
	if (q->bound)
		mmu_notifier_unregister(&q->mn, q->mn.mm);
	stop_direct(q);
	if (q->bound && q->dev->ops->detach)
		q->dev->ops->detach(q->dev, q);
	sharq_stager_free(q);
	sharq_control_remove(q);
	if (q->event)
		eventfd_ctx_put(q->event);
	put_pid(q->tgid);
	iput(q->inode);
	vfree(q->rings);
	leave_device(q);
	kfree(q);
}

static void queue_unused(struct kref *refs)
{
	struct sharq_queue *q = container_of(refs, struct sharq_queue, refs);

	queue_work(free_queue, &q->free_work);
}

struct sharq_queue *sharq_queue_get(struct sharq_queue *q)
{
	kref_get(&q->refs);
	return q;
}

void sharq_queue_put(struct sharq_queue *q)
{
	kref_put(&q->refs, queue_unused);
}

static void do_later(struct work_struct *work)
{
	struct sharq_queue *q =
		container_of(work, struct sharq_queue, later_work);

	sharq_sched_go_on(q);
	sharq_batch_answer(q);
	sharq_tell_all(q);
	sharq_queue_put(q);
}

/*
 * Not where the caller runs, which most often is a device's thread: to tell many is
 * done with interrupts off, and if the scheduler had put that here, the thread could
 * neither run nor be moved meanwhile.
 */
static int elsewhere(void)
{
	int here = raw_smp_processor_id(), cpu;

	for_each_cpu_wrap(cpu, housekeeping_cpumask(HK_TYPE_WQ), here)
		if (cpu != here && cpu_online(cpu))
			return cpu;
	return here;
}

void sharq_queue_later(struct sharq_queue *q)
{
	/* On another, if that one goes off meanwhile. */
	if (kref_get_unless_zero(&q->refs) &&
	    !queue_work_on(elsewhere(), later_queue, &q->later_work))
		sharq_queue_put(q);
}

static void do_end(struct work_struct *work);

static void queue_init(struct sharq_queue *q)
{
	kref_init(&q->refs);
	INIT_WORK(&q->free_work, queue_free);
	INIT_WORK(&q->later_work, do_later);
	INIT_WORK(&q->end_work, do_end);
	mutex_init(&q->bind_lock);
	mutex_init(&q->kick_lock);
	mutex_init(&q->event_lock);
	spin_lock_init(&q->cq_lock);
	init_waitqueue_head(&q->wait);
	INIT_LIST_HEAD(&q->active);
	INIT_LIST_HEAD(&q->pending);
	INIT_LIST_HEAD(&q->ready);
	INIT_LIST_HEAD(&q->ended);
	init_llist_head(&q->answers);
}

static void bake_in(struct sharq_queue *q, const struct sharq_ctl_create *c,
		    kuid_t uid)
{
	q->caps = q->dev->caps;
	if (c->ops)
		q->caps.ops = c->ops;
	q->depth = c->depth;
	q->weight = c->weight ?: SHARQ_WEIGHT_DEFAULT;
	q->max_in_device = c->in_device ?: SHARQ_IN_DEVICE_DEFAULT;
	q->uid = uid;
	q->pin_bytes = c->pin_bytes ?: PIN_BYTES_DEFAULT;
	q->unbound_until = get_jiffies_64() + msecs_to_jiffies(c->bind_ms);
	memcpy(q->cookie, c->cookie, sizeof(q->cookie));
	memcpy(q->label, c->label, sizeof(q->label));
}

static int make_rings(struct sharq_queue *q)
{
	struct sharq_ring_layout l = sharq_ring_layout(q->depth);

	q->map_size = PAGE_ALIGN(l.size);
	q->rings = vmalloc_user(q->map_size);
	if (!q->rings)
		return -ENOMEM;
	q->sq = (void *)q->rings + l.sq_offset;
	q->cq = (void *)q->rings + l.cq_offset;
	set_state(q, SHARQ_QUEUE_UNBOUND);
	return 0;
}

int sharq_queue_new(const struct sharq_ctl_create *c, kuid_t uid,
		    struct sharq_queue **out)
{
	struct sharq_device *dev = sharq_device_get(c->device);
	struct sharq_queue *q;
	int ret;

	if (!dev)
		return -ENODEV;
	ret = -EINVAL;
	if (c->ops & ~dev->caps.ops)
		goto err_device;
	ret = -ENOMEM;
	q = kzalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
	if (!q)
		goto err_device;
	queue_init(q);
	join_device(q, dev);
	bake_in(q, c, uid);
	ret = make_rings(q);
	if (ret)
		goto err_queue;
	ret = sharq_control_add(q);
	if (ret)
		goto err_rings;
	/* From here on others may hold it. */
	if (READ_ONCE(dev->gone)) {
		sharq_queue_put(q);
		return -ENODEV;
	}
	*out = q;
	return 0;

err_rings:
	vfree(q->rings);
err_queue:
	leave_device(q);
	kfree(q);
	return ret;
err_device:
	sharq_device_put(dev);
	return ret;
}

int sharq_queue_enter(const struct sharq_queue *q)
{
	/* Pairs with set_state(): who sees RUNNING sees whose it is. */
	enum sharq_queue_state state = smp_load_acquire(&q->state);
	const struct mm_struct *mm = READ_ONCE(q->mm);

	if (mm && mm != current->mm)
		return -EPERM;
	if (sharq_state_dead(state))
		return -ESHUTDOWN;
	return state == SHARQ_QUEUE_UNBOUND ? -ENOTCONN : 0;
}

static void client_gone(struct mmu_notifier *mn, struct mm_struct *mm)
{
	sharq_queue_end(container_of(mn, struct sharq_queue, mn),
			SHARQ_QUEUE_GONE);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = client_gone,
};

static int may_bind(const struct sharq_queue *q, struct sharq_bind *b)
{
	int ret = sharq_queue_enter(q);

	if (ret != -ENOTCONN)
		return ret ?: -EBUSY;
	if (b->flags || b->reserved || b->path > SHARQ_BIND_SHADOW)
		return -EINVAL;
	if (!current->mm || !uid_eq(current_euid(), q->uid))
		return -EPERM;
	if (time_after64(get_jiffies_64(), q->unbound_until))
		return -ETIMEDOUT;
	b->reason = SHARQ_REASON_NONE;
	b->reason_errno = 0;
	return 0;
}

/* Has the caller heard of what the device's direct path takes? */
static bool knows_direct(const struct sharq_queue *q,
			 const struct sharq_bind *b)
{
	const struct sharq_direct_ops *direct = q->dev->direct;

	if (direct && direct->ring != SHARQ_RING_SHARQ)
		return b->size >= offsetofend(struct sharq_bind, area_size);
	return b->size >= offsetofend(struct sharq_bind, bell_offset);
}

/* The direct path, if it is wanted and can be had; else the reason in @b. */
static int choose_path(struct sharq_queue *q, struct sharq_bind *b)
{
	bool knows = knows_direct(q, b);
	int ret;

	if (b->path == SHARQ_BIND_SHADOW || (!b->path && !knows)) {
		b->reason = SHARQ_REASON_REQUESTED;
		return 0;
	}
	if (!knows)
		return -EINVAL;
	ret = start_direct(q, b);
	if (b->path == SHARQ_BIND_ANY && (ret == -EOPNOTSUPP || ret == -EBUSY))
		return 0;
	return ret;
}

static int attach(struct sharq_queue *q, struct sharq_bind *b)
{
	const struct sharq_device_ops *ops = q->dev->ops;
	int ret;

	ret = ops->attach ? ops->attach(q->dev, q) : 0;
	if (ret)
		return ret;
	ret = choose_path(q, b);
	if (ret)
		goto err_detach;
	/* Last: notifiers run in the reverse order. */
	q->mn.ops = &notifier_ops;
	ret = mmu_notifier_register(&q->mn, current->mm);
	if (ret)
		goto err_direct;
	q->bound = true;
	return 0;

err_direct:
	stop_direct(q);
	/* It may have been lowered for a path that the next BIND doesn't get. */
	q->caps.max_transfer = q->dev->caps.max_transfer;
err_detach:
	if (ops->detach)
		ops->detach(q->dev, q);
	/* Notifiers give up for any signal: so that none disturbs a BIND. */
	return ret == -EINTR ? -ERESTARTNOINTR : ret;
}

/* From here on it is the caller's; the notifier holds the mm. */
static int publish(struct sharq_queue *q, const struct sharq_bind *b)
{
	int ret = -ESHUTDOWN;

	spin_lock(&q->cq_lock);
	if (q->state == SHARQ_QUEUE_UNBOUND) {
		q->path = q->direct ? SHARQ_BIND_DIRECT : SHARQ_BIND_SHADOW;
		q->reason = b->reason;
		q->reason_errno = b->reason_errno;
		q->tgid = get_pid(task_tgid(current));
		WRITE_ONCE(q->mm, current->mm);
		set_state(q, SHARQ_QUEUE_RUNNING);
		ret = 0;
	}
	spin_unlock(&q->cq_lock);
	return ret;
}

static void describe(const struct sharq_queue *q, struct sharq_bind *b)
{
	struct sharq_ring_layout l = sharq_ring_layout(q->depth);

	b->flags = q->direct ? 0 : SHARQ_BOUND_SYNC_ONLY;
	b->path = q->path;
	b->reason = q->reason;
	b->depth = q->depth;
	b->sqe_shift = SHARQ_SQE_SHIFT;
	b->cqe_shift = SHARQ_CQE_SHIFT;
	b->ops = q->caps.ops;
	b->max_transfer = q->caps.max_transfer;
	b->sq_offset = l.sq_offset;
	b->cq_offset = l.cq_offset;
	b->map_size = q->map_size;
	b->map_offset = 0;
	b->id = q->id;
	b->bell_offset = q->direct ? sharq_bell_offset(q) : 0;
	b->ring = q->direct ? q->dev->direct->ring : SHARQ_RING_SHARQ;
	b->entries = q->area ? q->area_entries : 0;
	b->area_offset = q->area ? sharq_area_offset(q) : 0;
	b->area_size = q->area ? q->area_size : 0;
}

int sharq_queue_bind(struct sharq_queue *q, struct sharq_bind *b)
{
	int ret;

	if (mutex_lock_killable(&q->bind_lock))
		return -EINTR;
	ret = may_bind(q, b);
	if (!ret && !q->bound)
		ret = attach(q, b);
	if (!ret)
		ret = publish(q, b);
	mutex_unlock(&q->bind_lock);
	if (ret)
		return ret;
	describe(q, b);
	sharq_control_changed(q);
	return 0;
}

static int change_state(struct sharq_queue *q, enum sharq_queue_state state)
{
	const struct sharq_direct_ops *direct;
	int ret = 0;

	spin_lock(&q->cq_lock);
	if (sharq_state_dead(q->state))
		ret = -ESHUTDOWN;
	else if (q->state == SHARQ_QUEUE_UNBOUND)
		ret = -ENOTCONN;
	else
		set_state(q, state);
	spin_unlock(&q->cq_lock);
	if (ret)
		return ret;
	direct = sharq_queue_direct(q);
	if (direct && direct->pause)
		direct->pause(q);
	wake(q);
	return 0;
}

int sharq_queue_pause(struct sharq_queue *q)
{
	return change_state(q, SHARQ_QUEUE_PAUSED);
}

int sharq_queue_resume(struct sharq_queue *q)
{
	return change_state(q, SHARQ_QUEUE_RUNNING);
}

void sharq_queue_settled(struct sharq_queue *q)
{
	/* What the hardware wrote is seen by who sees this. */
	smp_store_release(&q->rings->device_flags,
			  SHARQ_DEVICE_NEED_KNOCK | SHARQ_DEVICE_SETTLED |
				  device_flags[q->state]);
}

/* Both also when it was dead: BROKEN and CLOSED leave something over. */
static void cut_short(struct sharq_queue *q, enum sharq_queue_state state)
{
	/* Of one that isn't bound yet BIND fails, and never will be. */
	const struct sharq_direct_ops *direct = sharq_queue_direct(q);

	if (state != SHARQ_QUEUE_BROKEN) {
		sharq_sched_cancel(q);
		sharq_stager_kill(q);
	}
	/* What accepted means, only SHARQ_RING_SHARQ says. */
	if (direct &&
	    (state != SHARQ_QUEUE_BROKEN || direct->ring != SHARQ_RING_SHARQ))
		direct->kill(q);
}

static int set_dead(struct sharq_queue *q, enum sharq_queue_state state)
{
	int ret = -ESHUTDOWN;

	spin_lock(&q->cq_lock);
	if (!sharq_state_dead(q->state)) {
		set_state(q, state);
		ret = 0;
	}
	spin_unlock(&q->cq_lock);
	return ret;
}

int sharq_queue_end(struct sharq_queue *q, enum sharq_queue_state state)
{
	int ret = set_dead(q, state);

	cut_short(q, state);
	if (!ret)
		wake(q);
	return ret;
}

static void do_end(struct work_struct *work)
{
	struct sharq_queue *q =
		container_of(work, struct sharq_queue, end_work);

	cut_short(q, SHARQ_QUEUE_CLOSED);
	wake(q);
	sharq_queue_put(q);
}

int sharq_queue_end_soon(struct sharq_queue *q, enum sharq_queue_state state)
{
	int ret = set_dead(q, state);

	if (kref_get_unless_zero(&q->refs) &&
	    !queue_work(end_queue, &q->end_work))
		sharq_queue_put(q);
	return ret;
}

void sharq_queue_stats(struct sharq_queue *q, struct sharq_ctl_stats *stats)
{
	spin_lock(&q->cq_lock);
	get_stats(q, stats);
	spin_unlock(&q->cq_lock);
	stats->id = q->id;
	stats->pinned = atomic64_read(&q->pinned);
}
