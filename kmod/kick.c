// SPDX-License-Identifier: GPL-2.0-only
/* The kick: descriptors are taken out of the ring, checked and handed over. */
#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/sizes.h>

#include "sharq.h"
#include "trace.h"

/* With so much to do the device begins while the kick goes on. */
#define HAND_OVER SZ_256K

/*
 * struct kick - one kick; kick_lock is held
 * @idle:     nothing makes the next command wait, but its own FENCE
 * @now:      when its first request was accepted, or 0
 * @accepted: for the scheduler; of so many @bytes
 * @posts:    how many of q->posts are to be posted
 */
struct kick {
	struct sharq_queue *q;
	struct sharq_batch *batch;
	bool nonblock;
	bool idle;
	u64 now;
	struct list_head accepted;
	u64 bytes;
	unsigned int posts;
};

/* Hand back the slots of what was consumed, post what is done. */
static void publish(struct kick *k)
{
	/* The client fills them again: they were read. */
	smp_store_release(&k->q->rings->sq_head, k->q->sq_head);
	if (k->posts)
		sharq_post(k->q, k->q->posts, k->posts);
	k->posts = 0;
}

/* What was accepted may begin. */
static void hand_over(struct kick *k)
{
	if (!list_empty(&k->accepted))
		sharq_sched_add(k->q, &k->accepted);
	k->bytes = 0;
}

/* Would a descriptor that comes now have nothing to wait for? */
static bool is_next(const struct kick *k, u16 flags)
{
	if (!k->idle)
		return false;
	if (!(flags & SHARQ_DESC_FENCE))
		return true;
	return list_empty(&k->accepted) && sharq_sched_idle_order(k->q, flags);
}

/* Only of what is accepted: a kick that would sleep is tried again. */
static void count_operands(struct sharq_queue *q, const struct sharq_request *r)
{
	for (unsigned int i = 0; i < r->nbufs; i++) {
		const struct sharq_buf *buf = &r->buf[i];

		if (buf->kind == SHARQ_BUF_COPY)
			q->stats.copied += buf->op.len;
		else if (buf->kind == SHARQ_BUF_STAGED)
			q->stats.staged += buf->op.len;
	}
}

static void accept_request(struct kick *k, struct sharq_request *r)
{
	count_operands(k->q, r);
	if (!k->now)
		k->now = ktime_get_ns();
	r->accepted_ns = k->now;
	r->batch = k->batch;
	if (r->batch)
		kref_get(&r->batch->refs);
	if (r->desc.flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK))
		k->idle = false;
	list_add_tail(&r->node, &k->accepted);
	k->bytes += r->desc.len;
}

/* Accept what is done already, and has to wait for its turn. */
static noinline int accept_done(struct kick *k, const struct sharq_desc *desc,
				const struct sharq_cqe *cqe)
{
	struct sharq_request *r = sharq_request_new(k->q, desc);

	if (!r)
		return -ENOMEM;
	r->cqe = *cqe;
	r->settled = true;
	accept_request(k, r);
	return 0;
}

static void put_operands(struct sharq_request *r)
{
	while (r->nbufs)
		sharq_mem_put(r->queue, &r->buf[--r->nbufs], false);
	r->staged = false;
}

static void settle_fault(struct sharq_request *r, bool write, u64 addr)
{
	r->cqe.status = write ? SHARQ_FAULT_WRITE : SHARQ_FAULT_READ;
	r->cqe.flags = SHARQ_CQE_ADDR_VALID;
	r->cqe.addr = addr;
	r->settled = true;
	trace_sharq_fault(r->queue, r->desc.user_data, addr, write);
}

static int get_operand(struct kick *k, struct sharq_request *r,
		       const struct sharq_operand *op, bool may_copy)
{
	struct sharq_buf *buf = &r->buf[r->nbufs];
	u64 fault;
	int ret;

	buf->op = *op;
	ret = sharq_mem_get(k->q, buf, may_copy, k->nonblock, &fault);
	if (ret == -EFAULT)
		settle_fault(r, op->write, fault);
	if (ret)
		return ret;
	r->nbufs++;
	if (buf->kind != SHARQ_BUF_STAGED)
		return 0;
	r->staged = true;
	/* Making a thread sleeps. */
	return !k->q->stager && k->nonblock ? -EAGAIN : sharq_stager_need(k->q);
}

/*
 * Make reachable what a command names, or settle it. Return: 0, or why it can't
 * be accepted now.
 */
static int resolve(struct kick *k, struct sharq_request *r, bool may_copy)
{
	struct sharq_operand ops[SHARQ_MAX_OPERANDS];
	unsigned int n = sharq_operands(&r->desc, ops);
	u64 size = sharq_request_extra(k->q, &r->desc);
	int ret = 0;

	for (unsigned int i = 0; i < n; i++)
		size += sharq_mem_size(&ops[i]);
	if (size > k->q->pin_bytes) {
		r->cqe.status = SHARQ_DENIED;
		r->settled = true;
		return 0;
	}
	/* Only kicks raise it, and they hold kick_lock. */
	if (atomic64_read(&k->q->pinned) + size > k->q->pin_bytes)
		return -EBUSY;
	for (unsigned int i = 0; i < n && !ret; i++)
		ret = get_operand(k, r, &ops[i], may_copy);
	if (!ret)
		ret = sharq_request_arm(r);
	if (ret)
		put_operands(r);
	return r->settled ? 0 : ret;
}

static noinline int accept_command(struct kick *k,
				   const struct sharq_desc *desc, bool may_copy)
{
	struct sharq_request *r = sharq_request_new(k->q, desc);
	int ret;

	if (!r)
		return -ENOMEM;
	ret = resolve(k, r, may_copy);
	if (ret) {
		sharq_request_cancel(r);
		return ret;
	}
	accept_request(k, r);
	return 0;
}

/*
 * Consume one descriptor. Return: 0, or why it can't be consumed now. @desc is
 * written at once: the kernel's clearing it before would only take time.
 */
static int consume(struct kick *k)
{
	struct sharq_queue *q = k->q;
	struct sharq_desc desc __uninitialized;
	struct sharq_cqe *cqe;
	enum sharq_status status;
	enum sharq_field field;
	bool next;

	memcpy(&desc, &q->sq[sharq_ring_slot(q->sq_head, q->depth)],
	       sizeof(desc));
	/* From here on only the copy: the compiler must not look again. */
	barrier();

	status = sharq_check(&desc, &q->caps, &field);
	trace_sharq_check(q, &desc, status, field);
	next = is_next(k, desc.flags);
	/* The source of one that waits may be what it waits for. */
	if (status == SHARQ_OK && desc.op != SHARQ_OP_NOP)
		return accept_command(k, &desc, next);

	if (k->posts == SHARQ_POSTS)
		publish(k);
	cqe = &q->posts[k->posts];
	*cqe = (struct sharq_cqe){
		.user_data = desc.user_data,
		.status = status,
		.consumed = field,
	};
	if (!next || desc.flags & SHARQ_DESC_LINK)
		return accept_done(k, &desc, cqe);
	k->posts++;
	return 0;
}

int sharq_reserve(struct sharq_queue *q, u32 *wanted)
{
	u32 avail, head, busy;
	int ret;

	/* The client has written the descriptors before it. */
	avail = smp_load_acquire(&q->rings->sq_tail) - q->sq_head;
	if (avail > q->depth)
		return -EPROTO;
	*wanted = min(*wanted, avail);

	spin_lock(&q->cq_lock);
	/* And read the completions before it, which are written over. */
	head = smp_load_acquire(&q->rings->cq_head);
	busy = q->in_flight + sharq_ring_used(head, q->cq_tail);
	if (sharq_state_dead(q->state))
		ret = -ESHUTDOWN;
	else if (!sharq_ring_in_step(head, q->cq_tail, q->depth))
		ret = -EPROTO;
	else if (q->state != SHARQ_QUEUE_RUNNING || busy >= q->depth)
		ret = 0;
	else
		ret = min(*wanted, q->depth - busy);
	if (ret > 0)
		q->in_flight += ret;
	spin_unlock(&q->cq_lock);
	return ret;
}

/*
 * Give back what was reserved and not consumed. Return: whether something is in
 * flight whose end will tell that it is worth another try; only then EPOLLOUT
 * waits for that.
 */
static bool give_back(struct sharq_queue *q, u32 unused, bool shortage)
{
	bool in_flight;

	spin_lock(&q->cq_lock);
	q->in_flight -= unused;
	in_flight = q->in_flight;
	if (shortage && in_flight)
		q->short_kick = true;
	spin_unlock(&q->cq_lock);
	wake_up_interruptible_poll(&q->wait, EPOLLOUT);
	return in_flight;
}

/* Consume what was reserved. Return: how many, or why not even one. */
static int consume_all(struct kick *k, u32 reserved)
{
	struct sharq_queue *q = k->q;
	u32 n = 0;
	int ret = 0;

	k->idle = sharq_sched_idle_order(q, 0);
	while (n < reserved && READ_ONCE(q->state) == SHARQ_QUEUE_RUNNING) {
		ret = consume(k);
		if (ret)
			break;
		q->sq_head++;
		n++;
		if (k->bytes >= HAND_OVER) {
			publish(k);
			hand_over(k);
		}
	}
	if (n)
		publish(k);
	if (n < reserved) {
		bool shortage = ret == -EBUSY || ret == -ENOMEM;
		bool in_flight = give_back(q, reserved - n, shortage);

		if (ret == -EBUSY || (ret == -ENOMEM && in_flight))
			ret = 0;
	}
	/* Only now: their completions undo what give_back() noted. */
	hand_over(k);
	return n ? n : ret;
}

static int kick_locked(struct kick *k, u32 wanted)
{
	int ret = sharq_reserve(k->q, &wanted);

	if (ret > 0)
		ret = consume_all(k, ret);
	/* Another thread makes it, and counts it, from the start. */
	if (ret != -EAGAIN)
		k->q->stats.kicks++;
	if (ret >= 0 && ret < wanted)
		k->q->stats.short_kicks++;
	return ret;
}

int sharq_kick(struct sharq_queue *q, u32 count, bool nonblock,
	       struct sharq_batch *batch)
{
	struct kick k = {
		.q = q,
		.batch = batch,
		.nonblock = nonblock,
		.accepted = LIST_HEAD_INIT(k.accepted),
	};
	int ret;

	/* Its consumer is another, and knows nothing of kick_lock. */
	if (q->path == SHARQ_BIND_DIRECT)
		return -EOPNOTSUPP;
	if (!nonblock)
		ret = mutex_lock_killable(&q->kick_lock);
	else
		ret = mutex_trylock(&q->kick_lock) ? 0 : -EAGAIN;
	if (ret)
		return ret;
	ret = kick_locked(&k, count);
	mutex_unlock(&q->kick_lock);

	if (ret == -EPROTO) {
		sharq_queue_end(q, SHARQ_QUEUE_BROKEN);
		ret = -ESHUTDOWN;
	}
	trace_sharq_kick(q, count, ret);
	return ret;
}
