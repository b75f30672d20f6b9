// SPDX-License-Identifier: GPL-2.0-only
/*
 * The soft provider's direct path: a kernel thread plays the hardware queue. It
 * reads the client's ring without being called, executes in order, as the client
 * (sharq_borrow_begin()) for one burst at a time, and falls asleep when nothing
 * comes. A store to the doorbell page wakes it: its page-table entry is away
 * while the thread sleeps, and the fault handler wakes.
 *
 * No lock between the two: the handler maps, then rings; the thread clears the
 * ring, then takes the entry away, then looks at the ring's tail once more. A
 * store that went through without a fault went through before the entry was
 * taken, and its tail is seen; an entry that is put back later is followed by a
 * wake-up.
 */
#include "soft.h"

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "provider.h"
#include "trace.h"

/*
 * So long it looks at an empty ring before it sleeps; so often between two looks
 * at the clock, which take longer.
 */
#define POLL_NS (50 * NSEC_PER_USEC)
#define LOOKS 16
/* Commands taken, and completions posted, together. */
#define BURST 32

/*
 * struct soft_direct - in q->direct; the thread's but for what is said
 * @client: with the thread
 * @bell:   the doorbell page; what is in it doesn't matter
 * @rung:   set by the fault handler
 * @as_client: in this burst the address space was taken on
 * @chain_failed: the last one had LINK and was not OK
 * @ended:  what was taken shall not start any more
 * @desc:   what was taken; never looked at in the ring again
 * @post:   @posts of them are to be posted
 */
struct soft_direct {
	struct sharq_queue *q;
	struct sharq_borrow client;
	struct soft_user *user;
	struct page *bell;
	bool rung;
	bool as_client;
	bool chain_failed;
	bool ended;
	struct sharq_desc desc[BURST];
	unsigned int posts;
	struct sharq_cqe post[BURST];
};

/* ---- commands ---- */

static void post(struct soft_direct *d)
{
	if (d->posts)
		sharq_post(d->q, d->post, d->posts);
	d->posts = 0;
}

static void count(struct sharq_queue *q, const struct sharq_desc *desc,
		  const struct sharq_cqe *cqe)
{
	/* Of a direct queue nobody else writes these. */
	if (cqe->status == SHARQ_OK)
		q->stats.bytes += desc->len;
	else if (cqe->status == SHARQ_MISMATCH)
		q->stats.bytes += cqe->consumed;
	q->stats.served += desc->len;
}

/* BROKEN is no reason. For each command it would take too long. */
static void look_for_end(struct soft_direct *d)
{
	d->ended = READ_ONCE(d->q->state) > SHARQ_QUEUE_BROKEN;
}

static void execute(struct soft_direct *d, const struct sharq_desc *desc,
		    struct sharq_cqe *cqe)
{
	struct sharq_queue *q = d->q;

	if (!d->as_client && sharq_borrow_begin(&d->client)) {
		cqe->status = SHARQ_CANCELED;
		return;
	}
	d->as_client = true;
	soft_user_exec(d->user, desc, cqe);
	if (cqe->flags & SHARQ_CQE_ADDR_VALID)
		trace_sharq_fault(q, desc->user_data, cqe->addr,
				  cqe->status == SHARQ_FAULT_WRITE);
	count(q, desc, cqe);
	look_for_end(d);
}

static void serve_one(struct soft_direct *d, const struct sharq_desc *desc)
{
	enum sharq_field field;
	enum sharq_status status = sharq_check(desc, &d->q->caps, &field);
	struct sharq_cqe *cqe;

	trace_sharq_check(d->q, desc, status, field);
	/* Who waits for those before it shan't wait for this one, too. */
	if (desc->len > PAGE_SIZE)
		post(d);
	cqe = &d->post[d->posts++];
	*cqe = (struct sharq_cqe){ .user_data = desc->user_data,
				   .status = status };
	if (d->chain_failed || d->ended)
		cqe->status = SHARQ_CANCELED;
	else if (status != SHARQ_OK)
		cqe->consumed = field;
	else if (desc->op != SHARQ_OP_NOP)
		execute(d, desc, cqe);
	d->chain_failed = desc->flags & SHARQ_DESC_LINK &&
			  cqe->status != SHARQ_OK;
}

/* Accept the next @n: from here on each has a completion. */
static void take(struct soft_direct *d, unsigned int n)
{
	struct sharq_queue *q = d->q;

	/* Fetched one after the other, each would be waited for. */
	for (unsigned int i = 0; i < n; i++)
		READ_ONCE(q->sq[sharq_ring_slot(q->sq_head + i, q->depth)].op);
	for (unsigned int i = 0; i < n; i++)
		memcpy(&d->desc[i],
		       &q->sq[sharq_ring_slot(q->sq_head++, q->depth)],
		       sizeof(d->desc[i]));
	/* The client may fill them again, and knows that they were taken. */
	smp_store_release(&q->rings->sq_head, q->sq_head);
	/*
	 * Before look_for_end(): a client that reads of the end, and then an older
	 * sq_head, may believe that what is beyond it never starts.
	 */
	smp_mb();
}

static void burst(struct soft_direct *d)
{
	u32 wanted = BURST;
	int n = sharq_reserve(d->q, &wanted);

	if (n == -EPROTO)
		sharq_queue_end(d->q, SHARQ_QUEUE_BROKEN);
	if (n <= 0)
		return;
	take(d, n);
	look_for_end(d);
	for (unsigned int i = 0; i < n; i++)
		serve_one(d, &d->desc[i]);
	post(d);
	if (d->as_client)
		sharq_borrow_end(&d->client);
	d->as_client = false;
}

/* ---- the thread ---- */

/* Is there something that sharq_reserve() may give, or breaks the queue for? */
static bool has_work(const struct soft_direct *d)
{
	const struct sharq_queue *q = d->q;

	return READ_ONCE(q->rings->sq_tail) != q->sq_head &&
	       READ_ONCE(q->state) == SHARQ_QUEUE_RUNNING &&
	       q->cq_tail - READ_ONCE(q->rings->cq_head) != q->depth;
}

/* Return: whether something came. */
static bool poll(const struct soft_direct *d)
{
	u64 end = local_clock() + POLL_NS;

	do {
		for (unsigned int i = 0; i < LOOKS; i++) {
			if (has_work(d))
				return true;
			cpu_relax();
		}
		cond_resched();
	} while (local_clock() < end && !kthread_should_stop());
	return false;
}

static bool shall_wake(const struct soft_direct *d)
{
	return READ_ONCE(d->rung) || has_work(d) || kthread_should_stop();
}

static void doze(struct soft_direct *d)
{
	struct sharq_queue *q = d->q;

	/* Before the entry goes: who rings afterwards isn't overwritten. */
	smp_store_mb(d->rung, false);
	unmap_mapping_range(q->inode->i_mapping, sharq_bell_offset(q),
			    PAGE_SIZE, 1);
	/* wait_event_idle() looks too; but what doesn't sleep isn't counted. */
	if (has_work(d))
		return;
	q->sleeps++;
	WRITE_ONCE(q->asleep, true);
	/* A resume and an end wake q->wait. */
	wait_event_idle(q->wait, shall_wake(d));
	WRITE_ONCE(q->asleep, false);
}

static int direct_thread(void *arg)
{
	struct soft_direct *d = arg;

	allow_kernel_signal(SIGKILL);
	while (!kthread_should_stop()) {
		if (has_work(d) || poll(d))
			burst(d);
		else
			doze(d);
		cond_resched();
	}
	return 0;
}

static vm_fault_t ring_bell(struct sharq_queue *q, struct vm_fault *vmf)
{
	struct soft_direct *d = q->direct;
	vm_fault_t ret;

	ret = vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(d->bell));
	WRITE_ONCE(d->rung, true);
	wake_up_process(d->client.task);
	return ret;
}

/* ---- its life ---- */

static void direct_free(struct soft_direct *d)
{
	if (d->bell)
		__free_page(d->bell);
	soft_user_free(d->user);
	sharq_borrow_fini(&d->client);
	kfree(d);
}

static int start(struct sharq_queue *q, enum sharq_reason *reason)
{
	struct soft_direct *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	struct task_struct *task;
	int ret;

	if (!d)
		return -ENOMEM;
	d->q = q;
	sharq_borrow_init(&d->client, task_tgid(current), 0);
	ret = soft_user_new(&d->user);
	if (ret)
		goto err;
	ret = -ENOMEM;
	d->bell = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!d->bell)
		goto err;
	task = kthread_create(direct_thread, d, "sharq-direct/%llu", q->id);
	ret = PTR_ERR_OR_ZERO(task);
	if (ret)
		goto err;
	/* Its work is the client's. */
	set_user_nice(task, task_nice(current));
	d->client.task = task;
	q->direct = d;
	wake_up_process(task);
	return 0;

err:
	direct_free(d);
	return ret;
}

static void kill(struct sharq_queue *q)
{
	struct soft_direct *d = q->direct;

	sharq_borrow_kill(&d->client);
}

static void stop(struct sharq_queue *q)
{
	struct soft_direct *d = q->direct;

	kthread_stop(d->client.task);
	direct_free(d);
}

const struct sharq_direct_ops soft_direct_ops = {
	.start = start,
	.kill = kill,
	.stop = stop,
	.bell = ring_bell,
};
