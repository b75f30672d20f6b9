// SPDX-License-Identifier: GPL-2.0-only
#include <linux/slab.h>

#include "compat.h"
#include "sharq.h"

#ifdef COMPAT_URING_CANCEL

static void batch_free(struct kref *life)
{
	kfree(container_of(life, struct sharq_batch, life));
}

static struct sharq_batch **batch_of(struct io_uring_cmd *cmd)
{
	return io_uring_cmd_to_pdu(cmd, struct sharq_batch *);
}

/* Return: the command, for who gets here first; else NULL. */
static struct io_uring_cmd *take_cmd(struct sharq_batch *batch)
{
	struct io_uring_cmd *cmd;

	spin_lock(&batch->lock);
	cmd = batch->cmd;
	batch->cmd = NULL;
	spin_unlock(&batch->lock);
	return cmd;
}

/* After done() no cancel can come: it takes the command off io_uring's list. */
static void answer(struct io_uring_cmd *cmd, int ret, unsigned int issue_flags)
{
	struct sharq_batch *batch = *batch_of(cmd);

	compat_uring_done(cmd, ret, issue_flags);
	kref_put(&batch->life, batch_free);
}

static void answer_consumed(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	answer(cmd, (*batch_of(cmd))->consumed, issue_flags);
}

COMPAT_URING_ANSWER(answer_in_task, answer_consumed)

static void answer_batch(struct sharq_batch *batch)
{
	struct io_uring_cmd *cmd = take_cmd(batch);

	if (cmd)
		io_uring_cmd_complete_in_task(cmd, answer_in_task);
	kref_put(&batch->life, batch_free);
}

static void answer_now(struct kref *refs)
{
	answer_batch(container_of(refs, struct sharq_batch, refs));
}

/* The ring may have an eventfd, and this who knows how many sleepers. */
static void answer_later(struct kref *refs)
{
	struct sharq_batch *batch =
		container_of(refs, struct sharq_batch, refs);

	llist_add(&batch->node, &batch->queue->answers);
	sharq_queue_later(batch->queue);
}

void sharq_batch_put(struct sharq_batch *batch)
{
	kref_put(&batch->refs, answer_later);
}

void sharq_batch_answer(struct sharq_queue *q)
{
	struct llist_node *done = llist_del_all(&q->answers);
	struct sharq_batch *batch, *next;

	done = llist_reverse_order(done);
	llist_for_each_entry_safe(batch, next, done, node) answer_batch(batch);
}

/* Not by the client: io_uring's lock is held, current may be anybody. */
static int cancel(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	if (take_cmd(*batch_of(cmd)))
		answer(cmd, -ECANCELED, issue_flags);
	return 0;
}

static int kick_and_wait(struct sharq_queue *q, struct io_uring_cmd *cmd,
			 u32 count, unsigned int issue_flags)
{
	struct sharq_batch *batch;
	int ret;

	batch = kzalloc(sizeof(*batch), GFP_KERNEL_ACCOUNT);
	if (!batch)
		return -ENOMEM;
	kref_init(&batch->refs);
	kref_init(&batch->life);
	spin_lock_init(&batch->lock);
	batch->queue = q;
	ret = sharq_kick(q, count, issue_flags & IO_URING_F_NONBLOCK, batch);
	if (ret > 0) {
		batch->consumed = ret;
		batch->cmd = cmd;
		kref_get(&batch->life);
		*batch_of(cmd) = batch;
		io_uring_cmd_mark_cancelable(cmd, issue_flags);
		ret = -EIOCBQUEUED;
	}
	kref_put(&batch->refs, answer_now);
	return ret;
}

#else

void sharq_batch_put(struct sharq_batch *batch)
{
}

void sharq_batch_answer(struct sharq_queue *q)
{
}

static int kick_and_wait(struct sharq_queue *q, struct io_uring_cmd *cmd,
			 u32 count, unsigned int issue_flags)
{
	return -EOPNOTSUPP;
}

#endif

int sharq_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags)
{
	struct sharq_queue *q = cmd->file->private_data;
	const struct sharq_uring_kick *user;
	u32 count, flags;
	int ret;

#ifdef COMPAT_URING_CANCEL
	if (issue_flags & IO_URING_F_CANCEL)
		return cancel(cmd, issue_flags);
#endif
	ret = sharq_queue_enter(q);
	if (ret)
		return ret;
	if (cmd->cmd_op != SHARQ_URING_KICK)
		return -ENOTTY;
	user = compat_uring_payload(cmd);
	count = READ_ONCE(user->count);
	flags = READ_ONCE(user->flags);
	if (flags & ~SHARQ_KICK_WAIT || READ_ONCE(user->reserved))
		return -EINVAL;
	if (flags & SHARQ_KICK_WAIT)
		return kick_and_wait(q, cmd, count, issue_flags);
	ret = sharq_kick(q, count, issue_flags & IO_URING_F_NONBLOCK, NULL);
	if (ret <= 0)
		return ret;
	/* 6.1 takes a number returned for an error, and loses it in io-wq. */
	compat_uring_done(cmd, ret, issue_flags);
	return -EIOCBQUEUED;
}
