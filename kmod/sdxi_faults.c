// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors of direct contexts.
 *
 * An operand that the client can't reach is an answer to its command, and the
 * context goes on: the function has stopped it, and it is started again. Anything
 * else is against the rules, and so are too many of these: it ends the queue.
 *
 * What is read in the client's area may change at any time. It decides only what is
 * written there; indices are taken modulo the ring.
 */
#include "sdxi_faults.h"

#include <linux/ktime.h>

#include "sdxi_direct.h"
#include "sdxi_pace.h"

/* Bits of @todo. */
#define START_AGAIN 0
#define FIND_LOST 1
#define END_BROKEN 2
#define END_QUARANTINED 3

/* direct_lock held. */
static void want(struct sdxi_direct *d, unsigned int what)
{
	set_bit(what, &d->faults.todo);
	schedule_work(&d->faults.work);
}

/* ---- the thread ---- */

static void tell_client(struct sdxi_direct *d, u64 index,
			enum sharq_status status)
{
	WRITE_ONCE(d->words[index % d->entries],
		   SHARQ_SDXI_FAULT(index, status));
}

/* direct_lock held. */
static void take(struct sdxi_direct *d, const struct sdxi_errlog_ent *e)
{
	unsigned int step = FIELD_GET(SDXI_ERRLOG_STEP, le32_to_cpu(e->head));
	u16 flags = le16_to_cpu(e->flags);

	if (!sdxi_pace_fault(&d->faults.paid, ktime_get_ns())) {
		want(d, END_QUARANTINED);
		return;
	}
	if (step != SDXI_STEP_DSC_BUF || !(flags & SDXI_ERRLOG_DIV) ||
	    !(flags & SDXI_ERRLOG_BV)) {
		want(d, END_BROKEN);
		return;
	}
	tell_client(d, le64_to_cpu(e->dsc_index),
		    FIELD_GET(SDXI_ERRLOG_BUF, flags) ? SHARQ_FAULT_WRITE
						      : SHARQ_FAULT_READ);
	if (FIELD_GET(SDXI_ERRLOG_RE, flags) != SDXI_RE_INFORMATIVE)
		want(d, START_AGAIN);
}

void sdxi_faults_error(struct sdxi *s, const struct sdxi_errlog_ent *e)
{
	u16 num = le16_to_cpu(e->cxt_num);
	struct sdxi_direct *d;

	spin_lock(&s->direct_lock);
	d = num < ARRAY_SIZE(s->direct) ? s->direct[num] : NULL;
	if (d)
		take(d, e);
	spin_unlock(&s->direct_lock);
}

void sdxi_faults_lost(struct sdxi *s)
{
	spin_lock(&s->direct_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->direct); i++)
		if (s->direct[i])
			want(s->direct[i], FIND_LOST);
	spin_unlock(&s->direct_lock);
}

/* ---- the work item ---- */

static const struct sdxi_cxt_sts *status(const struct sdxi_direct *d)
{
	return (const struct sdxi_cxt_sts *)d->area->status;
}

/* Of those that the client hasn't taken: who failed without a word gets one. */
static void find_lost(struct sdxi_direct *d)
{
	u64 taken = READ_ONCE(d->area->taken);
	/* Blocks that were used before are new before the index says so. */
	u64 n = smp_load_acquire(&d->area->write_index) - taken;

	for (u64 i = taken; i - taken < min_t(u64, n, d->entries); i++) {
		const struct sdxi_cst_blk *b = &d->blocks[i % d->entries];
		u64 word = READ_ONCE(d->words[i % d->entries]);

		if (!READ_ONCE(b->signal) &&
		    le32_to_cpu(READ_ONCE(b->flags)) & SDXI_CST_BLK_ER &&
		    (word | 0x7f) != SHARQ_SDXI_FAULT(i, 0x7f))
			tell_client(d, i, SHARQ_RESET);
	}
}

/* life held. Its read index, which is the client's, says where it goes on. */
static int start_again(struct sdxi_direct *d)
{
	int ret = sdxi_cxt_halt(d->s, d->num, sdxi_direct_status(d), NULL);

	if (ret)
		return ret;
	ret = sdxi_cxt_run(d->s, d->num);
	if (!ret)
		sdxi_direct_ring(d);
	return ret;
}

static bool runs(const struct sdxi_direct *d)
{
	return FIELD_GET(SDXI_CXT_STS_STATE, READ_ONCE(status(d)->state)) ==
	       SDXI_CXT_RUN;
}

static void repair(struct sdxi_direct *d, unsigned long todo)
{
	int ret = 0;

	mutex_lock(&d->life);
	if (d->started && !READ_ONCE(d->over)) {
		if (todo & BIT(FIND_LOST))
			find_lost(d);
		if (todo & BIT(START_AGAIN) || !runs(d))
			ret = start_again(d);
	}
	mutex_unlock(&d->life);
	/* A reset ends it as it sees fit. */
	if (ret == -ETIMEDOUT)
		sharq_queue_end(d->q, SHARQ_QUEUE_QUARANTINED);
	else if (ret == -EIO && !READ_ONCE(d->over))
		sharq_queue_end(d->q, SHARQ_QUEUE_BROKEN);
}

static void serve(struct work_struct *work)
{
	struct sdxi_direct *d =
		container_of(work, struct sdxi_direct, faults.work);
	unsigned long todo = xchg(&d->faults.todo, 0);

	if (todo & BIT(END_QUARANTINED))
		sharq_queue_end(d->q, SHARQ_QUEUE_QUARANTINED);
	else if (todo & BIT(END_BROKEN))
		sharq_queue_end(d->q, SHARQ_QUEUE_BROKEN);
	else if (todo)
		repair(d, todo);
}

void sdxi_faults_init(struct sdxi_direct *d)
{
	INIT_WORK(&d->faults.work, serve);
}

void sdxi_faults_exit(struct sdxi_direct *d)
{
	cancel_work_sync(&d->faults.work);
}
