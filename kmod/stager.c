// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client's own thread, for memory that can't be pinned: copies as the client.
 *
 * It holds no reference to its queue: the requests that it is given do. It ends
 * when the queue is freed.
 */
#include <linux/kthread.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "sharq.h"
#include "trace.h"

/*
 * No request's copying takes longer, in one direction, as far as a signal can
 * end it.
 */
#define COPY_LIMIT (30 * HZ)

/*
 * struct sharq_stager
 * @client:   begun when it first needed the thread
 * @in, @out: requests to copy in and out
 */
struct sharq_stager {
	struct sharq_borrow client;
	wait_queue_head_t wait;
	spinlock_t lock; /* what follows */
	struct list_head in;
	struct list_head out;
};

static bool copy_piece(const struct sharq_buf *buf, u32 at, u32 n)
{
	void __user *user = u64_to_user_ptr(buf->op.addr + at);
	void *kernel = sharq_mem_at(buf, at, &n);

	return buf->op.write ? copy_to_user(user, kernel, n)
			     : copy_from_user(kernel, user, n);
}

/* Page by page, so that @fault is exact. Pages of ours begin where theirs do. */
static int copy_buf(const struct sharq_buf *buf, u32 len, u64 *fault)
{
	u32 n;

	for (u32 at = 0; at < len; at += n) {
		u64 addr = buf->op.addr + at;
		bool bad;

		n = min_t(u32, len - at, PAGE_SIZE - offset_in_page(addr));
		bad = copy_piece(buf, at, n);
		if (fatal_signal_pending(current))
			return -EINTR;
		if (bad) {
			*fault = addr;
			return -EFAULT;
		}
		cond_resched();
	}
	return 0;
}

static int copy_bufs(struct sharq_request *r, bool write, u64 *fault)
{
	for (unsigned int i = 0; i < r->nbufs; i++) {
		const struct sharq_buf *buf = &r->buf[i];
		u32 len = buf->op.len;
		int ret;

		if (buf->kind != SHARQ_BUF_STAGED || buf->op.write != write)
			continue;
		if (write)
			len = min(len, r->cqe.produced);
		ret = copy_buf(buf, len, fault);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * Copy in or (@write) out what is staged, with the client's address space taken
 * on no longer than that: an exiting client waits for it.
 */
static int copy_as_client(struct sharq_stager *s, struct sharq_request *r,
			  bool write, u64 *fault)
{
	int ret = sharq_borrow_begin(&s->client);

	if (ret)
		return ret;
	ret = copy_bufs(r, write, fault);
	sharq_borrow_end(&s->client);
	return ret == -EINTR && READ_ONCE(s->client.killed) ? -ESHUTDOWN : ret;
}

/* Write into r->cqe why the copying failed. */
static void set_failed(struct sharq_request *r, int error, bool write,
		       u64 fault)
{
	r->cqe = (struct sharq_cqe){ .user_data = r->desc.user_data };
	switch (error) {
	case -EFAULT:
		r->cqe.status = write ? SHARQ_FAULT_WRITE : SHARQ_FAULT_READ;
		r->cqe.flags = SHARQ_CQE_ADDR_VALID;
		r->cqe.addr = fault;
		trace_sharq_fault(r->queue, r->desc.user_data, fault, write);
		break;
	case -EINTR:
		r->cqe.status = SHARQ_TIMEOUT;
		break;
	default:
		r->cqe.status = SHARQ_RESET;
	}
}

static void serve_in(struct sharq_stager *s, struct sharq_request *r)
{
	u64 fault = 0;
	int ret = 0;

	/* A killed queue's is canceled next, and takes no copying. */
	if (!READ_ONCE(r->queue->canceled))
		ret = copy_as_client(s, r, false, &fault);
	if (ret) {
		set_failed(r, ret, false, fault);
		r->settled = true;
	}
	sharq_sched_staged(r);
}

static void serve_out(struct sharq_stager *s, struct sharq_request *r)
{
	u64 fault = 0;
	int ret = 0;

	if (r->cqe.status == SHARQ_OK)
		ret = copy_as_client(s, r, true, &fault);
	if (ret)
		set_failed(r, ret, true, fault);
	sharq_request_complete(r, true);
}

static struct sharq_request *take(struct sharq_stager *s,
				  struct list_head *list)
{
	struct sharq_request *r;

	spin_lock(&s->lock);
	r = list_first_entry_or_null(list, struct sharq_request, node);
	if (r)
		list_del_init(&r->node);
	spin_unlock(&s->lock);
	return r;
}

static bool has_work(const struct sharq_stager *s)
{
	return !list_empty(&s->in) || !list_empty(&s->out);
}

static int stager_thread(void *arg)
{
	struct sharq_stager *s = arg;
	struct sharq_request *r;

	allow_kernel_signal(SIGKILL);
	while (!kthread_should_stop()) {
		wait_event_idle(s->wait, has_work(s) || kthread_should_stop());
		r = take(s, &s->out);
		if (r)
			serve_out(s, r);
		r = take(s, &s->in);
		if (r)
			serve_in(s, r);
	}
	return 0;
}

int sharq_stager_need(struct sharq_queue *q)
{
	struct sharq_stager *s;
	struct task_struct *task;

	if (q->stager)
		return 0;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	sharq_borrow_init(&s->client, q->tgid, COPY_LIMIT);
	init_waitqueue_head(&s->wait);
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->in);
	INIT_LIST_HEAD(&s->out);
	task = kthread_create(stager_thread, s, "sharq-stage/%llu", q->id);
	if (IS_ERR(task)) {
		sharq_borrow_fini(&s->client);
		kfree(s);
		return -ENOMEM;
	}
	s->client.task = task;
	wake_up_process(task);
	/*
	 * With sharq_stager_kill(): one of the two sees what the other wrote.
	 * Whatever the queue died of, all that there is to stage is new.
	 */
	smp_store_mb(q->stager, s);
	if (sharq_state_dead(READ_ONCE(q->state)))
		sharq_stager_kill(q);
	return 0;
}

static void give(struct sharq_request *r, struct list_head *list)
{
	struct sharq_stager *s = r->queue->stager;

	spin_lock(&s->lock);
	list_add_tail(&r->node, list);
	/* Not later: once it is unlocked, @r may complete and all this be freed. */
	wake_up(&s->wait);
	spin_unlock(&s->lock);
}

void sharq_stager_in(struct sharq_request *r)
{
	give(r, &r->queue->stager->in);
}

void sharq_stager_out(struct sharq_request *r)
{
	give(r, &r->queue->stager->out);
}

void sharq_stager_kill(struct sharq_queue *q)
{
	struct sharq_stager *s;

	smp_mb(); /* after q->state; see sharq_stager_need() */
	s = READ_ONCE(q->stager);
	if (s)
		sharq_borrow_kill(&s->client);
}

void sharq_stager_free(struct sharq_queue *q)
{
	if (!q->stager)
		return;
	kthread_stop(q->stager->client.task);
	sharq_borrow_fini(&q->stager->client);
	kfree(q->stager);
	q->stager = NULL;
}
