// SPDX-License-Identifier: MIT
/*
 * Submission: from the caller's entries to the ring.
 *
 * Held back. An entry that waits for earlier ones (FENCE, or the one before
 * has LINK) is not published while results of earlier ones must still be
 * copied out: its own operands would be copied in too early, and on a CHECKED
 * queue that copy may yet fail and cancel it. Nor is an entry for which there
 * is no staging memory while others are in flight. What stands behind waits
 * too. Each completion taken is an occasion to go on.
 *
 * Replaced. A command that fails here (a source that faults, no memory) is
 * replaced in the ring by one that every device refuses, with the same FENCE
 * and LINK: so order and chains stay the device's business. When that comes
 * back as BAD_DESCRIPTOR its record's own status is reported; CANCELED or
 * RESET stand.
 */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void knock(struct sharq_queue *q)
{
	if (q->kicker) {
		kick(q);
		return;
	}
	q->counts.syscalls++;
	if (send(q->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 &&
	    (errno == EPIPE || errno == ECONNRESET))
		queue_dead(q, QUEUE_GONE);
}

static void knock_if_asked(struct sharq_queue *q)
{
	uint32_t flags =
		__atomic_load_n(&q->ring->device_flags, __ATOMIC_SEQ_CST);

	if (flags & SHARQ_DEVICE_DEAD)
		queue_dead(q, flags & SHARQ_DEVICE_DEAD);
	else if (flags & SHARQ_DEVICE_NEED_KNOCK)
		knock(q);
}

static bool ring_full(struct sharq_queue *q)
{
	if (q->sq_tail - q->sq_head < q->depth)
		return false;
	q->sq_head = __atomic_load_n(&q->ring->sq_head, __ATOMIC_ACQUIRE);
	return q->sq_tail - q->sq_head >= q->depth;
}

static void replace(struct sharq_desc *out, const struct sharq_desc *desc,
		    struct record *r, enum sharq_status status)
{
	*out = (struct sharq_desc){
		.op = SHARQ_OP_NOP,
		.flags = desc->flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK),
		.len = 1, /* a NOP has none: refused */
		.user_data = out->user_data,
	};
	r->failed = status;
}

/*
 * Make @out, a copy of @desc, such that the device can reach all of it.
 * Return: false when it has to wait for memory.
 */
static bool make_reachable(struct sharq_queue *q, const struct sharq_desc *desc,
			   struct sharq_desc *out, struct record *r,
			   struct stage *stages)
{
	bool grow = !q->starved || !q->in_ring;
	enum sharq_field field;
	int n;

	/* The device says what is wrong with a malformed one. */
	if (sharq_check(desc, &q->caps, &field) != SHARQ_OK)
		return true;
	n = stage_in(q, out, stages, true, grow, &r->addr);
	if (n == -EFAULT) {
		r->flags = SHARQ_CQE_ADDR_VALID;
		replace(out, desc, r, SHARQ_FAULT_READ);
		return true;
	}
	if (n == -ENOMEM) {
		q->starved = true;
		if (q->in_ring)
			return false;
		replace(out, desc, r, SHARQ_DENIED);
		return true;
	}
	r->staged = n;
	for (int i = 0; i < n; i++)
		r->writes |= stages[i].write;
	q->counts.staged += n > 0;
	q->staged_writes += r->writes;
	return true;
}

/*
 * Does all of it lie in regions already, as far as it can be said? Then there
 * is nothing to do, and the device will say what else may be wrong.
 */
static bool reachable(struct sharq_queue *q, const struct sharq_desc *desc)
{
	struct sharq_operand ops[SHARQ_MAX_OPERANDS];
	unsigned int n;

	/* The kernel reaches all that this process does. */
	if (q->kicker || desc->op >= SHARQ_OP_COUNT)
		return true;
	n = sharq_operands(desc, ops);
	for (unsigned int i = 0; i < n; i++)
		if (!region_holds(q->s, &q->region_hint, ops[i].addr,
				  ops[i].len))
			return false;
	return true;
}

static bool small(const struct sharq_queue *q, const struct sharq_desc *desc)
{
	return q->flags & SHARQ_QUEUE_INLINE && desc->len <= q->inline_max &&
	       desc->dst_len <= q->inline_max &&
	       !(desc->flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK));
}

/*
 * Write an entry to the ring, field by field, as sharq_prep_*() wrote it: a
 * wider load would have to wait until narrower stores have left the store
 * buffer, where they queue behind those to the ring's far-away lines. Atomic,
 * so that the compiler doesn't widen them.
 */
static void put_entry(struct sharq_desc *out, const struct sharq_desc *desc,
		      uint64_t user_data)
{
#define PUT(field, value) __atomic_store_n(&out->field, value, __ATOMIC_RELAXED)
	PUT(op, desc->op);
	PUT(param, desc->param);
	PUT(flags, desc->flags);
	PUT(len, desc->len);
	PUT(user_data, user_data);
	PUT(src, desc->src);
	PUT(dst, desc->dst);
	PUT(src2, desc->src2);
	PUT(dst_len, desc->dst_len);
	PUT(seed, desc->seed);
	PUT(ext, desc->ext);
	PUT(session, desc->session);
	PUT(level, desc->level);
	for (unsigned int i = 0; i < sizeof(desc->reserved); i++)
		PUT(reserved[i], desc->reserved[i]);
#undef PUT
}

/* Return: false when @desc has to wait. */
static bool push_one(struct sharq_queue *q, const struct sharq_desc *desc)
{
	bool ordered = q->prev_link || (desc->flags & SHARQ_DESC_FENCE);
	struct sharq_desc *out;
	struct record *r;
	uint32_t slot;
	uint16_t id;

	if (!q->ring || (!q->prev_link && !q->ordering && small(q, desc))) {
		run_inline(q, desc);
		goto pushed;
	}
	if ((ordered && q->staged_writes) || ring_full(q))
		return false;
	id = q->free[q->nfree - 1];
	r = &q->records[id];
	slot = sharq_ring_slot(q->sq_tail, q->depth);
	out = &q->sq[slot];
	put_entry(out, desc, id);
	*r = (struct record){ .user_data = desc->user_data };
	if (q->cancel_next)
		replace(out, desc, r, SHARQ_CANCELED);
	else if (!reachable(q, desc) &&
		 !make_reachable(q, desc, out, r, q->stages[id]))
		return false;
	q->cancel_next = false;
	r->busy = true;
	r->link = desc->flags & SHARQ_DESC_LINK;
	r->orders = desc->flags & (SHARQ_DESC_FENCE | SHARQ_DESC_LINK);
	q->ordering += r->orders;
	q->nfree--;
	q->slots[slot] = id;
	q->sq_tail++;
	q->in_ring++;
pushed:
	q->prev_link = desc->flags & SHARQ_DESC_LINK;
	return true;
}

void submit_by_call(struct sharq_front *front)
{
	/* Nobody writes there. */
	static const struct sharq_ring dead = {
		.device_flags = SHARQ_DEVICE_CLOSED,
	};

	front->ring = (struct sharq_ring *)&dead;
}

static void prepare_in(struct sharq_queue *q, void *entries)
{
	q->front.entries = entries;
	q->front.mask = q->depth - 1;
}

void push_by_call(struct sharq_queue *q)
{
	submit_by_call(&q->front);
	if (q->sdxi)
		sdxi_leave_slots(q->sdxi, true);
	/* What a dead queue's device still has to complete stands in the ring. */
	prepare_in(q, q->sqes);
}

void push_in_place(struct sharq_queue *q, void *bell)
{
	if (q->flags & SHARQ_QUEUE_INLINE)
		return;
	q->in_place = true;
	q->front.index = &q->ring->sq_tail;
	q->front.bell = bell;
	prepare_in(q, q->sq);
	if (q->sdxi)
		sdxi_serve(q->sdxi, &q->front);
	else
		q->front.ring = q->ring;
}

/* The entries stand there. */
static void publish_in_place(struct sharq_queue *q)
{
	__atomic_store_n(&q->ring->sq_tail, published(q), __ATOMIC_RELEASE);
	kick(q);
}

bool fill_ring(struct sharq_queue *q)
{
	uint32_t published = q->sq_tail;

	while (not_pushed(q) &&
	       push_one(q,
			&q->sqes[sharq_ring_slot(q->push_tail, q->depth)].desc))
		q->push_tail++;
	if (q->sq_tail == published)
		return false;
	/*
	 * Sequentially consistent, as the look at NEED_KNOCK that follows, and
	 * as at the device, which sets that, then looks at sq_tail: one of us
	 * sees the other.
	 */
	__atomic_store_n(&q->ring->sq_tail, q->sq_tail, __ATOMIC_SEQ_CST);
	return true;
}

void push(struct sharq_queue *q)
{
	if (fill_ring(q))
		knock_if_asked(q);
}

static int refuse(struct sharq_queue *q, uint32_t dropped)
{
	const char *why = "the daemon and its engine are gone";

	q->front.prep_tail -= dropped;
	if (q->dead & SHARQ_DEVICE_QUARANTINED)
		why = q->kicker ? "quarantined: its commands hang the device "
				  "or fault too often"
				: "quarantined: one of its commands took the "
				  "engine down twice";
	else if (q->dead & SHARQ_DEVICE_BROKEN)
		why = "broken: its ring's indices were out of step, something "
		      "in this process wrote there";
	else if (q->dead & SHARQ_DEVICE_CLOSED)
		why = "killed by its owner or the administrator";
	return fail(q->s, -ESHUTDOWN,
		    "queue %llu is dead (%s): close it and open another",
		    (unsigned long long)q->info.id, why);
}

int accept_prepared(struct sharq_queue *q)
{
	uint32_t n = (uint32_t)(q->front.prep_tail - q->front.submit_tail);
	uint32_t flags;

	if (q->ring && !q->dead) {
		flags = __atomic_load_n(&q->ring->device_flags,
					__ATOMIC_ACQUIRE);
		if (flags & SHARQ_DEVICE_DEAD)
			queue_dead(q, flags & SHARQ_DEVICE_DEAD);
	}
	if (q->dead)
		return refuse(q, n);
	q->front.submit_tail = q->front.prep_tail;
	q->counts.submitted += n;
	return (int)n;
}

int sharq_submit_any(struct sharq_queue *q)
{
	int n;

	if (!guarded(q->s))
		return -EPERM;
	if (q->front.prep_tail != q->front.submit_tail && q->sdxi &&
	    sdxi_leave_slots(q->sdxi, false)) {
		submit_by_call(&q->front);
		prepare_in(q, q->sq);
	}
	n = accept_prepared(q);
	if (n < 0)
		return n;
	if (!q->in_place)
		push(q);
	else if (n)
		publish_in_place(q);
	return n;
}
