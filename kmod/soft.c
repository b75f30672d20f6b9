// SPDX-License-Identifier: GPL-2.0-only
/*
 * The soft provider: a device of kernel threads, so that sharq works on any
 * machine. A thread takes a pushed request, does its slice, answers.
 */
#include "soft.h"

#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/sched.h>

#include "provider.h"

#define SOFT_MAX_THREADS 4

/*
 * struct worker - a thread
 * @node: in soft.idle while it is about to sleep or sleeps
 */
struct worker {
	struct list_head node;
	struct task_struct *task;
};

/*
 * struct soft - the one device
 * @lock:    taken under dev->lock in push(); protects @work and @idle
 * @work:    pushed, not yet taken by a thread
 * @idle:    threads that want to be woken for work, the last to sleep first
 * @workers: dev.slots of them
 */
static struct soft {
	struct sharq_device dev;
	spinlock_t lock; /* innermost */
	struct list_head work;
	struct list_head idle;
	struct worker workers[SOFT_MAX_THREADS];
} soft;

/* NULL: there is none; @w is idle and no longer TASK_RUNNING. */
static struct sharq_request *take(struct worker *w)
{
	struct sharq_request *r;

	spin_lock(&soft.lock);
	r = list_first_entry_or_null(&soft.work, struct sharq_request, node);
	if (r) {
		list_del_init(&r->node);
	} else {
		set_current_state(TASK_IDLE);
		list_move(&w->node, &soft.idle);
	}
	spin_unlock(&soft.lock);
	return r;
}

static void sleep(void)
{
	if (!kthread_should_stop())
		schedule();
	__set_current_state(TASK_RUNNING);
}

static int run(void *worker)
{
	while (!kthread_should_stop()) {
		struct sharq_request *r = take(worker);
		u32 bytes = 0;
		bool done;

		if (!r) {
			sleep();
			continue;
		}
		done = soft_exec(r, &bytes);
		sharq_slice_done(r, bytes, done);
		cond_resched();
	}
	return 0;
}

/*
 * No wait queue: its lock is held while a thread is woken, which takes it too, and
 * may run and spin for it before its waker has done.
 */
static void soft_push(struct sharq_device *dev, struct sharq_request *r)
{
	struct worker *w;

	spin_lock(&soft.lock);
	list_add_tail(&r->node, &soft.work);
	w = list_first_entry_or_null(&soft.idle, struct worker, node);
	if (w)
		list_del_init(&w->node);
	spin_unlock(&soft.lock);
	if (w)
		wake_up_process(w->task);
}

static const struct sharq_device_ops soft_ops = {
	.extra = soft_codec_size,
	.cost = soft_codec_cost,
	.push = soft_push,
};

static void stop_threads(void)
{
	for (unsigned int i = 0; i < soft.dev.slots; i++)
		kthread_stop(soft.workers[i].task);
}

static int start_threads(void)
{
	/* A CPU is left to the clients where there are two. */
	unsigned int want = clamp_t(unsigned int, num_online_cpus() - 1, 1,
				    SOFT_MAX_THREADS);

	while (soft.dev.slots < want) {
		struct worker *w = &soft.workers[soft.dev.slots];
		struct task_struct *t;

		INIT_LIST_HEAD(&w->node);
		t = kthread_run(run, w, "sharq-soft/%u", soft.dev.slots);
		if (IS_ERR(t)) {
			stop_threads();
			return PTR_ERR(t);
		}
		w->task = t;
		soft.dev.slots++;
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
	INIT_LIST_HEAD(&soft.idle);
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
