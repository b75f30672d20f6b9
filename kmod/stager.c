// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client's own thread, for memory that can't be pinned: copies with page
 * faults as if the client did it, and may wait as long as the client's files let
 * it. So it serves this client alone, and can be killed in the middle of a fault.
 *
 * It holds no reference to its queue: the requests that it is given do. It ends
 * when the queue is freed.
 */
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/uaccess.h>

#include "sharq.h"
#include "trace.h"

/*
 * No request's copying takes longer, in one direction, as far as a signal can
 * end it. So often it is seen whether anybody but us still wants the copy.
 */
#define COPY_LIMIT (30 * HZ)
#define COPY_LOOK HZ

/*
 * struct sharq_stager
 * @cred:     the client's, when it first needed the thread
 * @watchdog: runs during a copy, which is @mm's and must end by @until (jiffies)
 * @killed:   nothing is copied any more
 * @in, @out: requests to copy in and out
 */
struct sharq_stager {
	struct task_struct *task;
	const struct cred *cred;
	struct timer_list watchdog;
	struct mm_struct *mm;
	unsigned long until;
	bool killed;
	wait_queue_head_t wait;
	spinlock_t lock; /* what follows */
	struct list_head in;
	struct list_head out;
};

/* Ends the page fault that the thread may be in. */
static void interrupt_copy(struct sharq_stager *s)
{
	send_sig(SIGKILL, s->task, 1);
}

/* A client that is dead but for our hold on its memory is let go at once. */
static void watchdog_expired(struct timer_list *timer)
{
	struct sharq_stager *s =
		container_of(timer, struct sharq_stager, watchdog);

	if (time_before(jiffies, s->until) && atomic_read(&s->mm->mm_users) > 1)
		mod_timer(timer, jiffies + COPY_LOOK);
	else
		interrupt_copy(s);
}

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
	struct mm_struct *mm = r->queue->mm;
	const struct cred *kernel;
	int ret;

	if (READ_ONCE(s->killed) || !mmget_not_zero(mm))
		return -ESHUTDOWN;
	kthread_use_mm(mm);
	s->mm = mm;
	s->until = jiffies + COPY_LIMIT;
	mod_timer(&s->watchdog, jiffies + COPY_LOOK);
	/* A fault allocates blocks: root's would get past quotas and reserves. */
	kernel = override_creds(s->cred);
	ret = copy_bufs(r, write, fault);
	revert_creds(kernel);
	timer_delete_sync(&s->watchdog);
	kthread_unuse_mm(mm);
	/* A signal that came late must not end the next copy. */
	flush_signals(current);
	mmput(mm);
	return ret == -EINTR && READ_ONCE(s->killed) ? -ESHUTDOWN : ret;
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

	if (q->stager)
		return 0;
	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return -ENOMEM;
	s->cred = get_current_cred();
	timer_setup(&s->watchdog, watchdog_expired, 0);
	init_waitqueue_head(&s->wait);
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->in);
	INIT_LIST_HEAD(&s->out);
	s->task = kthread_run(stager_thread, s, "sharq-stage/%llu", q->id);
	if (IS_ERR(s->task)) {
		put_cred(s->cred);
		kfree(s);
		return -ENOMEM;
	}
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
	if (!s)
		return;
	WRITE_ONCE(s->killed, true);
	interrupt_copy(s);
}

void sharq_stager_free(struct sharq_queue *q)
{
	if (!q->stager)
		return;
	kthread_stop(q->stager->task);
	put_cred(q->stager->cred);
	kfree(q->stager);
	q->stager = NULL;
}
