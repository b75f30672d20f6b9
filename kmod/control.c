// SPDX-License-Identifier: GPL-2.0-only
#include <linux/capability.h>
#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "ioctl.h"
#include "provider.h"

#define BIND_MS_MAX 600000

/*
 * What the controller will hear of a queue, made with it so that telling never
 * fails.
 * @node:  in events.list while there is something to tell
 * @queue: NULL when it has ended; then the notice is the list's
 */
struct sharq_notice {
	struct list_head node;
	struct sharq_queue *queue;
	struct sharq_ctl_event event;
};

/* All queues by id. Under its lock, one that is found isn't freed yet. */
static DEFINE_XARRAY(queues);
static atomic64_t last_id;
static atomic_t live;

/* What the controller hasn't fetched; @lock protects it and every notice. */
static struct {
	spinlock_t lock; /* innermost */
	struct list_head list;
	wait_queue_head_t wait;
	bool open;
} events = {
	.lock = __SPIN_LOCK_UNLOCKED(events.lock),
	.list = LIST_HEAD_INIT(events.list),
	.wait = __WAIT_QUEUE_HEAD_INITIALIZER(events.wait),
};

/* The queue with the lowest id that is at least @id: a reference, or NULL. */
static struct sharq_queue *queue_next(u64 id)
{
	struct sharq_queue *q;
	unsigned long index;

	xa_lock(&queues);
	xa_for_each_start(&queues, index, q, id) {
		if (kref_get_unless_zero(&q->refs))
			break;
	}
	xa_unlock(&queues);
	return q;
}

static struct sharq_queue *queue_find(u64 id)
{
	struct sharq_queue *q = queue_next(id);

	if (!q || q->id == id)
		return q;
	sharq_queue_put(q);
	return NULL;
}

/* events.lock held. */
static void tell(struct sharq_notice *n)
{
	if (events.open && list_empty(&n->node))
		list_add_tail(&n->node, &events.list);
}

void sharq_control_changed(struct sharq_queue *q)
{
	spin_lock(&events.lock);
	tell(q->notice);
	spin_unlock(&events.lock);
	wake_up_poll(&events.wait, EPOLLIN);
}

int sharq_control_add(struct sharq_queue *q)
{
	struct sharq_notice *n;
	int ret;

	n = kzalloc(sizeof(*n), GFP_KERNEL_ACCOUNT);
	if (!n)
		return -ENOMEM;
	INIT_LIST_HEAD(&n->node);
	n->queue = q;
	q->id = atomic64_inc_return(&last_id);
	q->notice = n;
	n->event.id = q->id;
	n->event.uid = from_kuid(&init_user_ns, q->uid);
	memcpy(n->event.cookie, q->cookie, sizeof(q->cookie));
	ret = xa_insert(&queues, q->id, q, GFP_KERNEL_ACCOUNT);
	if (ret) {
		kfree(n);
		return ret;
	}
	atomic_inc(&live);
	return 0;
}

void sharq_control_remove(struct sharq_queue *q)
{
	struct sharq_notice *n = q->notice;
	struct sharq_ctl_stats stats;

	xa_erase(&queues, q->id);
	atomic_dec(&live);
	sharq_queue_stats(q, &stats);
	spin_lock(&events.lock);
	n->queue = NULL;
	n->event.ended = 1;
	n->event.state = q->state;
	n->event.commands = stats.commands;
	n->event.bytes = stats.bytes;
	memcpy(n->event.by_status, stats.by_status, sizeof(stats.by_status));
	n->event.kicks = stats.kicks;
	n->event.short_kicks = stats.short_kicks;
	n->event.copied = stats.copied;
	n->event.staged = stats.staged;
	tell(n);
	if (list_empty(&n->node))
		kfree(n);
	spin_unlock(&events.lock);
	wake_up_poll(&events.wait, EPOLLIN);
}

static void end_each(struct sharq_device *dev,
		     int (*end)(struct sharq_queue *q,
				enum sharq_queue_state state))
{
	struct sharq_queue *q;
	u64 id = 0;

	while ((q = queue_next(id))) {
		id = q->id + 1;
		if (q->dev == dev)
			end(q, SHARQ_QUEUE_GONE);
		sharq_queue_put(q);
	}
}

/* A hostile client's may take a second each: all at once, then wait for each. */
void sharq_control_end_device(struct sharq_device *dev)
{
	end_each(dev, sharq_queue_end_soon);
	end_each(dev, sharq_queue_end);
}

/* A call's struct, and the file that it makes. */
struct call {
	union {
		struct sharq_ctl_info info;
		struct sharq_ctl_device device;
		struct sharq_ctl_dma dma;
		struct sharq_ctl_create create;
		struct sharq_ctl_queue queue;
		struct sharq_ctl_stats stats;
		struct sharq_ctl_control control;
		struct sharq_ctl_event event;
	};
	struct file *file;
};

static int ctl_info(struct call *c)
{
	struct sharq_ctl_info *i = &c->info;

	if (i->reserved)
		return -EINVAL;
	i->abi = SHARQ_ABI_VERSION;
	i->devices = sharq_device_count();
	i->queues = atomic_read(&live);
	i->max_depth = SHARQ_MAX_DEPTH;
	strscpy_pad(i->version, THIS_MODULE->version, sizeof(i->version));
	return 0;
}

static int ctl_device(struct call *c)
{
	struct sharq_ctl_device *d = &c->device;
	struct sharq_device *dev;

	if (d->reserved)
		return -EINVAL;
	dev = sharq_device_next(d->id);
	if (!dev)
		return -ENOENT;
	d->id = dev->id;
	d->paths = 1 << SHARQ_BIND_SHADOW;
	if (dev->direct)
		d->paths |= 1 << SHARQ_BIND_DIRECT;
	d->reason = dev->no_direct;
	d->ops = dev->caps.ops;
	d->max_transfer = dev->caps.max_transfer;
	d->queues = READ_ONCE(dev->queues);
	d->direct_used = READ_ONCE(dev->direct_used);
	d->direct_free = dev->direct_max - d->direct_used;
	strscpy_pad(d->name, dev->name, sizeof(d->name));
	strscpy_pad(d->provider, dev->provider, sizeof(d->provider));
	sharq_device_put(dev);
	return 0;
}

static int ctl_dma(struct call *c)
{
	struct sharq_ctl_dma *d = &c->dma;
	struct sharq_device *dev = sharq_device_get(d->id);
	u32 size = d->size, id = d->id;

	if (!dev)
		return -ENOENT;
	*d = dev->dma;
	d->size = size;
	d->id = id;
	sharq_device_put(dev);
	return 0;
}

static bool well_formed(const struct sharq_ctl_create *c)
{
	return sharq_depth_valid(c->depth) && c->sqe_shift == SHARQ_SQE_SHIFT &&
	       c->cqe_shift == SHARQ_CQE_SHIFT &&
	       c->weight <= SHARQ_WEIGHT_MAX &&
	       c->in_device <= SHARQ_MAX_DEPTH && c->bind_ms &&
	       c->bind_ms <= BIND_MS_MAX && !c->reserved &&
	       memchr(c->label, '\0', sizeof(c->label));
}

static int ctl_create(struct call *c)
{
	kuid_t uid = make_kuid(&init_user_ns, c->create.uid);
	struct sharq_queue *q;
	int ret;

	if (!well_formed(&c->create) || !uid_valid(uid))
		return -EINVAL;
	ret = sharq_queue_new(&c->create, uid, &q);
	if (ret)
		return ret;
	c->create.id = q->id;
	ret = sharq_file_new(q, &c->file);
	if (ret < 0)
		return ret;
	c->create.fd = ret;
	return 0;
}

static int ctl_queue(struct call *c)
{
	struct sharq_ctl_queue *out = &c->queue;
	struct sharq_queue *q = queue_next(out->id);

	if (!q)
		return -ENOENT;
	out->id = q->id;
	out->device = q->dev->id;
	out->depth = q->depth;
	out->ops = q->caps.ops;
	out->uid = from_kuid(&init_user_ns, q->uid);
	out->weight = q->weight;
	memcpy(out->cookie, q->cookie, sizeof(out->cookie));
	memcpy(out->label, q->label, sizeof(out->label));
	spin_lock(&q->cq_lock);
	out->state = q->state;
	out->path = q->path;
	out->reason = q->reason;
	out->reason_errno = q->reason_errno;
	out->pid = pid_vnr(q->tgid);
	spin_unlock(&q->cq_lock);
	sharq_queue_put(q);
	return 0;
}

static int ctl_stats(struct call *c)
{
	u32 size = c->stats.size;
	struct sharq_queue *q;

	if (c->stats.reserved)
		return -EINVAL;
	q = queue_find(c->stats.id);
	if (!q)
		return -ENOENT;
	sharq_queue_stats(q, &c->stats);
	c->stats.size = size;
	sharq_queue_put(q);
	return 0;
}

static int act(struct sharq_queue *q, u32 action)
{
	switch (action) {
	case SHARQ_CTL_PAUSE:
		return sharq_queue_pause(q);
	case SHARQ_CTL_RESUME:
		return sharq_queue_resume(q);
	case SHARQ_CTL_KILL:
		return sharq_queue_end_soon(q, SHARQ_QUEUE_CLOSED);
	default:
		return -EINVAL;
	}
}

static int ctl_control(struct call *c)
{
	struct sharq_queue *q = queue_find(c->control.id);
	int ret;

	if (!q)
		return -ENOENT;
	ret = act(q, c->control.action);
	sharq_queue_put(q);
	return ret;
}

static int ctl_event(struct call *c)
{
	u32 size = c->event.size;
	struct sharq_notice *n;

	spin_lock(&events.lock);
	n = list_first_entry_or_null(&events.list, struct sharq_notice, node);
	if (n) {
		list_del_init(&n->node);
		c->event = n->event;
		if (n->queue)
			c->event.state = READ_ONCE(n->queue->state);
		else
			kfree(n);
	}
	spin_unlock(&events.lock);
	c->event.size = size;
	return n ? 0 : -EAGAIN;
}

/* By number. */
static const struct {
	unsigned int cmd;
	u32 size;
	int (*run)(struct call *c);
	u32 min; /* if it has grown */
} calls[] = {
	{ SHARQ_CTL_INFO, sizeof(struct sharq_ctl_info), ctl_info },
	{ SHARQ_CTL_DEVICE, sizeof(struct sharq_ctl_device), ctl_device },
	{ SHARQ_CTL_CREATE, sizeof(struct sharq_ctl_create), ctl_create },
	{ SHARQ_CTL_QUEUE, sizeof(struct sharq_ctl_queue), ctl_queue,
	  SHARQ_CTL_QUEUE_SIZE_FIRST },
	{ SHARQ_CTL_STATS, sizeof(struct sharq_ctl_stats), ctl_stats },
	{ SHARQ_CTL_CONTROL, sizeof(struct sharq_ctl_control), ctl_control },
	{ SHARQ_CTL_EVENT, sizeof(struct sharq_ctl_event), ctl_event,
	  SHARQ_CTL_EVENT_SIZE_FIRST },
	{ SHARQ_CTL_DMA, sizeof(struct sharq_ctl_dma), ctl_dma },
};

/* Tell the caller; only then does the file that was made become visible. */
static int answer(struct call *c, void __user *user, u32 size)
{
	int ret = sharq_arg_put(user, c, size);

	if (!c->file)
		return ret;
	if (!ret) {
		fd_install(c->create.fd, c->file);
		return 0;
	}
	put_unused_fd(c->create.fd);
	fput(c->file);
	return ret;
}

static long control_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	void __user *user = (void __user *)arg;
	unsigned int nr = _IOC_NR(cmd);
	struct call c = {};
	int ret;

	if (nr >= ARRAY_SIZE(calls) || calls[nr].cmd != cmd)
		return -ENOTTY;
	ret = sharq_arg_get(&c, calls[nr].size, calls[nr].min ?: calls[nr].size,
			    user);
	if (ret)
		return ret;
	ret = calls[nr].run(&c);
	if (ret)
		return ret;
	return answer(&c, user, calls[nr].size);
}

static __poll_t control_poll(struct file *file, poll_table *wait)
{
	__poll_t mask;

	poll_wait(file, &events.wait, wait);
	spin_lock(&events.lock);
	mask = list_empty(&events.list) ? 0 : EPOLLIN | EPOLLRDNORM;
	spin_unlock(&events.lock);
	return mask;
}

static int control_open(struct inode *inode, struct file *file)
{
	int ret = 0;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	spin_lock(&events.lock);
	if (events.open)
		ret = -EBUSY;
	else
		events.open = true;
	spin_unlock(&events.lock);
	return ret;
}

static int control_release(struct inode *inode, struct file *file)
{
	struct sharq_notice *n, *next;

	spin_lock(&events.lock);
	events.open = false;
	list_for_each_entry_safe(n, next, &events.list, node) {
		list_del_init(&n->node);
		if (!n->queue)
			kfree(n);
	}
	spin_unlock(&events.lock);
	return 0;
}

static const struct file_operations control_ops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.release = control_release,
	.poll = control_poll,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "sharq",
	.mode = 0600,
	.fops = &control_ops,
};

int sharq_control_init(void)
{
	return misc_register(&control_device);
}

void sharq_control_exit(void)
{
	misc_deregister(&control_device);
}
