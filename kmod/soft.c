// SPDX-License-Identifier: GPL-2.0-only
/*
 * The soft provider: a device of kernel threads, so that sharq works on any
 * machine. A thread takes a pushed request, does its slice, answers.
 */
#include "soft.h"

#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/wait.h>

#include "provider.h"

#define SOFT_MAX_THREADS 4

/*
 * struct soft - the one device
 * @lock:       taken under dev->lock in push(); protects @work to @resets
 * @work:       pushed, not yet taken by a thread
 * @unanswered: pushed, and sharq_slice_done() hasn't returned
 * @resets:     how many there were: a thread that sees it change answers RESET
 * @wake:       threads wait for @work
 * @idle:       drain waits for @unanswered to be 0
 */
static struct soft {
	struct sharq_device dev;
	struct task_struct *threads[SOFT_MAX_THREADS];
	spinlock_t lock; /* innermost */
	struct list_head work;
	unsigned int unanswered;
	unsigned int resets;
	wait_queue_head_t wake;
	wait_queue_head_t idle;
} soft;

static struct sharq_request *take(unsigned int *resets)
{
	struct sharq_request *r;

	spin_lock(&soft.lock);
	r = list_first_entry_or_null(&soft.work, struct sharq_request, node);
	if (r)
		list_del_init(&r->node);
	*resets = soft.resets;
	spin_unlock(&soft.lock);
	return r;
}

static bool was_reset(unsigned int resets)
{
	bool reset;

	spin_lock(&soft.lock);
	reset = soft.resets != resets;
	spin_unlock(&soft.lock);
	return reset;
}

static void answer(struct sharq_request *r, u32 bytes, bool finished)
{
	bool idle;

	sharq_slice_done(r, bytes, finished);
	spin_lock(&soft.lock);
	idle = !--soft.unanswered;
	spin_unlock(&soft.lock);
	if (idle)
		wake_up(&soft.idle);
}

static void answer_reset(struct sharq_request *r)
{
	r->cqe = (struct sharq_cqe){ .user_data = r->desc.user_data,
				     .status = SHARQ_RESET };
	answer(r, 0, true);
}

static int run(void *unused)
{
	struct sharq_request *r;
	unsigned int resets;

	while (!kthread_should_stop()) {
		u32 bytes = 0;
		bool done;

		wait_event_idle_exclusive(soft.wake,
					  !list_empty(&soft.work) ||
						  kthread_should_stop());
		r = take(&resets);
		if (!r)
			continue;
		done = soft_exec(r, &bytes);
		if (was_reset(resets))
			answer_reset(r);
		else
			answer(r, bytes, done);
		cond_resched();
	}
	return 0;
}

static void soft_push(struct sharq_device *dev, struct sharq_request *r)
{
	spin_lock(&soft.lock);
	list_add_tail(&r->node, &soft.work);
	soft.unanswered++;
	spin_unlock(&soft.lock);
	wake_up(&soft.wake);
}

static int soft_drain(struct sharq_device *dev, unsigned long timeout)
{
	return wait_event_timeout(soft.idle, !READ_ONCE(soft.unanswered),
				  timeout)
		       ? 0
		       : -ETIMEDOUT;
}

static void soft_reset(struct sharq_device *dev)
{
	struct sharq_request *r, *next;
	LIST_HEAD(work);

	spin_lock(&soft.lock);
	soft.resets++;
	list_splice_init(&soft.work, &work);
	spin_unlock(&soft.lock);
	list_for_each_entry_safe(r, next, &work, node)
		answer_reset(r);
}

static const struct sharq_device_ops soft_ops = {
	.extra = soft_codec_size,
	.cost = soft_codec_cost,
	.push = soft_push,
	.drain = soft_drain,
	.reset = soft_reset,
};

static void stop_threads(void)
{
	for (unsigned int i = 0; i < soft.dev.slots; i++)
		kthread_stop(soft.threads[i]);
}

static int start_threads(void)
{
	/* A CPU is left to the clients where there are two. */
	unsigned int want = clamp_t(unsigned int, num_online_cpus() - 1, 1,
				    SOFT_MAX_THREADS);

	while (soft.dev.slots < want) {
		struct task_struct *t;

		t = kthread_run(run, NULL, "sharq-soft/%u", soft.dev.slots);
		if (IS_ERR(t)) {
			stop_threads();
			return PTR_ERR(t);
		}
		soft.threads[soft.dev.slots++] = t;
	}
	return 0;
}

int sharq_soft_init(void)
{
	int err;

	soft.dev = (struct sharq_device){
		.name = "soft0",
		.provider = "soft",
		.ops = &soft_ops,
		.caps = { .ops = SHARQ_OPS_ALL, .max_transfer = 16 << 20 },
		.direct = &soft_direct_ops,
		.direct_max = SOFT_DIRECT_MAX,
	};
	spin_lock_init(&soft.lock);
	INIT_LIST_HEAD(&soft.work);
	init_waitqueue_head(&soft.wake);
	init_waitqueue_head(&soft.idle);
	err = start_threads();
	if (err)
		return err;
	err = sharq_device_register(&soft.dev);
	if (err)
		stop_threads();
	return err;
}

void sharq_soft_exit(void)
{
	sharq_device_unregister(&soft.dev);
	stop_threads();
}
