// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread of ours takes on a client's address space, to copy with page faults
 * as if the client did it. A fault may wait as long as the client's files let it:
 * so the thread serves this client alone, and can be killed in its middle.
 */
#include <linux/cred.h>
#include <linux/kthread.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "sharq.h"

/* So often it is seen whether the client is still there. */
#define LOOK HZ

/* Ends the page fault that the thread may be in. */
static void interrupt(struct sharq_borrow *b)
{
	send_sig(SIGKILL, b->task, 1);
}

/*
 * Does a thread of the client's have the address space? Their number of users
 * says nothing: other threads of ours may be among them.
 */
static bool client_lives(const struct sharq_borrow *b)
{
	struct task_struct *leader, *t;
	bool lives = false;

	rcu_read_lock();
	leader = pid_task(b->client, PIDTYPE_TGID);
	if (leader)
		for_each_thread(leader, t) {
			lives = READ_ONCE(t->mm) == b->mm;
			if (lives)
				break;
		}
	rcu_read_unlock();
	return lives;
}

/* A client that is dead but for our hold on its memory is let go at once. */
static void watchdog_expired(struct timer_list *timer)
{
	struct sharq_borrow *b =
		container_of(timer, struct sharq_borrow, watchdog);
	bool late = b->limit && time_after_eq(jiffies, b->since + b->limit);

	if (late || !client_lives(b))
		interrupt(b);
	/* There may be another fault behind the one that this ends. */
	mod_timer(timer, jiffies + LOOK);
}

void sharq_borrow_init(struct sharq_borrow *b, struct pid *client,
		       unsigned long limit)
{
	mmgrab(current->mm);
	b->mm = current->mm;
	b->client = get_pid(client);
	b->cred = get_current_cred();
	b->limit = limit;
	timer_setup(&b->watchdog, watchdog_expired, 0);
}

void sharq_borrow_fini(struct sharq_borrow *b)
{
	put_cred(b->cred);
	put_pid(b->client);
	mmdrop(b->mm);
}

int sharq_borrow_begin(struct sharq_borrow *b)
{
	if (READ_ONCE(b->killed) || !mmget_not_zero(b->mm))
		return -ESHUTDOWN;
	kthread_use_mm(b->mm);
	b->since = jiffies;
	mod_timer(&b->watchdog, jiffies + LOOK);
	/* A fault allocates blocks: root's would get past quotas and reserves. */
	b->ours = override_creds(b->cred);
	return 0;
}

void sharq_borrow_end(struct sharq_borrow *b)
{
	revert_creds(b->ours);
	timer_delete_sync(&b->watchdog);
	kthread_unuse_mm(b->mm);
	/* A signal that came late must not end the next copy. */
	flush_signals(current);
	mmput(b->mm);
}

void sharq_borrow_kill(struct sharq_borrow *b)
{
	WRITE_ONCE(b->killed, true);
	interrupt(b);
}
