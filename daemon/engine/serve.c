// SPDX-License-Identifier: MIT
/* From the ring to the completion: what workers do with descriptors. */
#include <string.h>

#include "engine.h"

/*
 * Where a command's operands lie. The client can't change that under us: the
 * descriptor is our copy, regions change only with the world stopped.
 */
static enum sharq_status resolve(const struct queue *q,
				 const struct sharq_desc *desc,
				 struct sharq_mem *mem, uint64_t *fault)
{
	struct sharq_operand ops[SHARQ_MAX_OPERANDS];
	unsigned int n = sharq_operands(desc, ops);

	*mem = (struct sharq_mem){ 0 };
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *p = session_resolve(q->session, ops[i].addr,
					     ops[i].len, fault);

		if (!p)
			return ops[i].write ? SHARQ_FAULT_WRITE
					    : SHARQ_FAULT_READ;
		switch (ops[i].field) {
		case SHARQ_FIELD_SRC:
			mem->src = p;
			break;
		case SHARQ_FIELD_SRC2:
			mem->src2 = p;
			break;
		case SHARQ_FIELD_DST:
			mem->dst = p;
			break;
		default:
			mem->dst2 = p;
		}
	}
	return SHARQ_OK;
}

static void faulted(struct sharq_cqe *cqe, const struct sharq_desc *desc,
		    enum sharq_status status, uint64_t addr)
{
	*cqe = (struct sharq_cqe){
		.user_data = desc->user_data,
		.status = (uint16_t)status,
		.flags = SHARQ_CQE_ADDR_VALID,
		.addr = addr,
	};
}

static void set_executing(struct sharq_journal_slot *slot, uint32_t by)
{
	__atomic_store_n(&slot->executing, by, __ATOMIC_RELEASE);
}

/*
 * A job stays marked between its slices, too, for as long as its worker turns
 * to nothing else: the system calls are there, and a kill that comes during one
 * must find what the engine is at.
 */
static void mark_job(struct worker *w, struct sharq_journal_slot *slot)
{
	if (w->marked != slot)
		worker_unmark(w);
	w->marked = slot;
	set_executing(slot, worker_number(w));
}

void worker_unmark(struct worker *w)
{
	uint32_t own = worker_number(w);

	if (!w->marked)
		return;
	/* Unless another worker took the job over, or it is long done. */
	__atomic_compare_exchange_n(&w->marked->executing, &own, 0, false,
				    __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	w->marked = NULL;
}

/*
 * Complete an accepted command at once if that is quick. Return: false if it
 * has to become a job.
 */
static bool run_now(struct worker *w, struct queue *q,
		    struct sharq_journal_slot *slot, struct sharq_cqe *cqe)
{
	const struct sharq_desc *desc = &slot->desc;
	enum sharq_status status;
	enum sharq_field field;
	struct sharq_mem mem;
	uint64_t fault;

	if (atomic_load_explicit(&q->link_failed, memory_order_relaxed)) {
		*cqe = (struct sharq_cqe){ .user_data = desc->user_data,
					   .status = SHARQ_CANCELED };
		return true;
	}
	status = sharq_check(desc, &w->engine->caps, &field);
	if (status != SHARQ_OK) {
		*cqe = (struct sharq_cqe){ .user_data = desc->user_data,
					   .status = (uint16_t)status,
					   .consumed = field };
		return true;
	}
	status = resolve(q, desc, &mem, &fault);
	if (status != SHARQ_OK) {
		faulted(cqe, desc, status, fault);
		return true;
	}
	if (desc->len > ENGINE_SMALL || sharq_exec_needs_codec(desc))
		return false;
	worker_unmark(w);
	set_executing(slot, worker_number(w));
	sharq_exec_run(desc, &mem, NULL, cqe);
	set_executing(slot, 0);
	return true;
}

/* The poller's way to what cq_lock protects. Return: to be given to cq_unlock. */
static bool cq_lock(struct queue *q)
{
	bool alone = !atomic_load_explicit(&q->jobs_out, memory_order_acquire);

	if (!alone)
		pthread_mutex_lock(&q->cq_lock);
	return alone;
}

static void cq_unlock(struct queue *q, bool alone)
{
	if (!alone)
		pthread_mutex_unlock(&q->cq_lock);
}

static struct command *take_command(struct queue *q)
{
	struct command *c = q->free_local;

	if (!c) {
		bool alone = cq_lock(q);

		c = q->free_shared;
		q->free_shared = NULL;
		cq_unlock(q, alone);
	}
	q->free_local = c->next;
	return c;
}

/*
 * Room for completions. cq_head is the client's: it may lag or be nonsense,
 * but what it lets us do is bounded by the depth.
 */
static uint32_t cq_room(struct queue *q, bool *broken)
{
	uint32_t used = (uint32_t)q->sq_seq - q->seen_cq_head;
	uint32_t head;

	if (used < q->depth)
		return q->depth - used;
	head = __atomic_load_n(&q->ring->cq_head, __ATOMIC_ACQUIRE);
	if (!sharq_ring_in_step(head, (uint32_t)atomic_load(&q->cq_seq),
				q->depth)) {
		*broken = true;
		return 0;
	}
	q->seen_cq_head = head;
	used = (uint32_t)q->sq_seq - head;
	return used < q->depth ? q->depth - used : 0;
}

static void accept_command(struct queue *q, struct sharq_journal_slot *slot)
{
	struct sharq_journal *j = q->journal;
	uint64_t seq = q->sq_seq;

	/* In this order: see journal.h. */
	__atomic_store_n(&slot->accepted, seq + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->done, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->executing, 0, __ATOMIC_RELAXED);
	slot->started = 0;
	if (slot->desc.flags & SHARQ_DESC_LINK)
		__atomic_store_n(&j->link_open[seq & 1], seq + 1,
				 __ATOMIC_RELEASE);
	q->sq_seq = seq + 1;
	__atomic_store_n(&j->sq_seq, seq + 1, __ATOMIC_RELEASE);
}

static void make_job(struct engine *e, struct queue *q, struct command *c)
{
	const struct sharq_desc *desc = &queue_slot(q, c)->desc;

	if (desc->flags & SHARQ_DESC_LINK)
		atomic_store(&q->link_wait, true);
	atomic_fetch_add(&q->jobs_out, 1);
	sharq_exec_init(&c->exec, desc, NULL);
	job_push(e, q, c, false);
}

/* May the next descriptor start, as far as those before it go? */
static bool must_wait(struct queue *q, const struct sharq_desc *desc)
{
	return atomic_load(&q->link_wait) ||
	       (desc->flags & SHARQ_DESC_FENCE && queue_in_flight(q));
}

static void give_back(struct queue *q, struct command *c)
{
	c->next = q->free_local;
	q->free_local = c;
}

/*
 * The lines come from the client's cache: all at once, rather than one after
 * the other as the commands get to them.
 */
static void prefetch_batch(const struct queue *q, uint32_t n)
{
	uint32_t seq = (uint32_t)q->sq_seq;

	for (uint32_t i = 1; i < n; i++)
		__builtin_prefetch(&q->sq[sharq_ring_slot(seq + i, q->depth)]);
	for (uint32_t i = 0; i < n; i += 2)
		__builtin_prefetch(&q->cq[sharq_ring_slot(seq + i, q->depth)],
				   1);
}

unsigned int queue_serve(struct worker *w, struct queue *q)
{
	struct engine *e = w->engine;
	struct command *done[ENGINE_BATCH];
	struct sharq_cqe cqes[ENGINE_BATCH];
	unsigned int taken = 0, n_done = 0;
	uint32_t slot = sharq_ring_slot((uint32_t)q->sq_seq, q->depth);
	uint32_t avail, room;
	bool broken = false;

	/* While sq_tail is on its way: a command that comes alone needs them next. */
	__builtin_prefetch(&q->sq[slot]);
	__builtin_prefetch(&q->cq[slot], 1);
	avail = __atomic_load_n(&q->ring->sq_tail, __ATOMIC_ACQUIRE) -
		(uint32_t)q->sq_seq;
	if (!avail || atomic_load_explicit(&q->flags, memory_order_relaxed) &
			      (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD))
		return 0;
	room = cq_room(q, &broken);
	if (avail > q->depth || broken) {
		queue_set_flags(q, SHARQ_DEVICE_BROKEN, 0);
		engine_notify_main(e);
		return 0;
	}
	if (avail > room)
		avail = room;
	if (avail > ENGINE_BATCH)
		avail = ENGINE_BATCH;

	prefetch_batch(q, avail);
	while (taken < avail) {
		struct command *c = take_command(q);
		struct sharq_journal_slot *slot = queue_slot(q, c);

		slot->desc =
			q->sq[sharq_ring_slot((uint32_t)q->sq_seq, q->depth)];
		/* From here on only the copy: the compiler must not look again. */
		__asm__ __volatile__("" ::: "memory");
		if (must_wait(q, &slot->desc)) {
			give_back(q, c);
			/* What only waits for this batch goes on next round. */
			if (!n_done)
				atomic_store(&q->stalled, true);
			break;
		}
		accept_command(q, slot);
		taken++;
		if (!run_now(w, q, slot, &cqes[n_done])) {
			make_job(e, q, c);
			continue;
		}
		atomic_store_explicit(&q->link_failed,
				      slot->desc.flags & SHARQ_DESC_LINK &&
					      cqes[n_done].status != SHARQ_OK,
				      memory_order_relaxed);
		done[n_done++] = c;
	}
	if (taken)
		__atomic_store_n(&q->ring->sq_head, (uint32_t)q->sq_seq,
				 __ATOMIC_RELEASE);
	if (n_done) {
		bool alone = cq_lock(q);

		queue_post(q, done, cqes, n_done);
		cq_unlock(q, alone);
		queue_notify(q);
		q->event_due = true;
	}
	return taken;
}

/* After the last slice: hand over, let go on what waited for it. */
static void job_done(struct engine *e, struct queue *q, struct command *c,
		     struct sharq_cqe *cqe)
{
	bool link = queue_slot(q, c)->desc.flags & SHARQ_DESC_LINK;

	if (c->exec.codec)
		codec_put(e, c->exec.codec);
	c->exec.codec = NULL;
	pthread_mutex_lock(&q->cq_lock);
	queue_post(q, &c, cqe, 1);
	pthread_mutex_unlock(&q->cq_lock);
	atomic_fetch_sub(&q->jobs_out, 1);
	queue_notify_surely(q);
	if (link) {
		atomic_store(&q->link_failed, cqe->status != SHARQ_OK);
		atomic_store(&q->link_wait, false);
	}
	if (atomic_exchange(&q->stalled, false))
		queue_activate(e, q);
	if (atomic_load(&q->draining) || atomic_load(&e->stopping))
		engine_notify_main(e);
}

void job_run(struct worker *w, struct queue *q, struct command *c)
{
	struct engine *e = w->engine;
	struct sharq_journal_slot *slot = queue_slot(q, c);
	const struct sharq_desc *desc = &slot->desc;
	enum sharq_status status;
	struct sharq_mem mem;
	uint64_t fault;
	bool done;

	/* Anew for each slice: regions may have gone meanwhile. */
	status = resolve(q, desc, &mem, &fault);
	if (status != SHARQ_OK) {
		struct sharq_cqe cqe;

		faulted(&cqe, desc, status, fault);
		job_done(e, q, c, &cqe);
		return;
	}
	if (sharq_exec_needs_codec(desc) && !c->exec.codec) {
		c->exec.codec = codec_get(e);
		if (!c->exec.codec) {
			c->exec.cqe.status = SHARQ_DENIED;
			job_done(e, q, c, &c->exec.cqe);
			return;
		}
	}
	slot->started = 1;
	mark_job(w, slot);
	done = sharq_exec_step(&c->exec, desc, &mem, e->slice);
	if (!done) {
		job_push(e, q, c, true);
		return;
	}
	worker_unmark(w);
	job_done(e, q, c, &c->exec.cqe);
}
