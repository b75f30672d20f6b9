// SPDX-License-Identifier: MIT
/*
 * Completions: from the ring, or made here, to the caller.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SPIN_NS 50000
/* Looks at the ring between two looks at the clock. */
#define SPIN_ROUNDS 64
/*
 * A sleep is cut into pieces: an engine that dies after it has published a
 * completion and before it has sent the event leaves nothing to wake us.
 */
#define NAP_MS 1000
/* Peeks in vain until the socket is asked whether anybody is there. */
#define IDLE_PEEKS 65536

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#endif
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void deliver(struct sharq_queue *q, const struct sharq_cqe *cqe)
{
	q->done[sharq_ring_slot(q->done_tail++, q->depth)] = *cqe;
	q->counts.completed++;
}

void complete_local(struct sharq_queue *q, const struct sharq_cqe *cqe)
{
	uint64_t one = 1;

	deliver(q, cqe);
	if (q->event >= 0) {
		q->counts.syscalls++;
		/* Can only fail when it is readable already. */
		if (write(q->event, &one, sizeof(one)) < 0)
			return;
	}
}

static void finish_special(struct sharq_queue *q, struct record *r,
			   struct stage *stages, struct sharq_cqe *c)
{
	bool was_ok = c->status == SHARQ_OK;

	if (r->failed && c->status == SHARQ_BAD_DESCRIPTOR) {
		c->status = r->failed;
		c->flags = r->flags;
		c->addr = r->flags & SHARQ_CQE_ADDR_VALID ? r->addr : 0;
		c->consumed = 0;
	}
	if (!r->staged)
		return;
	stage_out(q, stages, r->staged, c);
	stage_free(q, stages, r->staged, true);
	q->staged_writes -= r->writes;
	q->starved = false;
	/* Its successor was held back for this, see push.c. */
	if (r->link && was_ok && c->status != SHARQ_OK)
		q->cancel_next = true;
}

static void finish(struct sharq_queue *q, uint64_t id, struct sharq_cqe *c)
{
	struct record *r = &q->records[id];
	struct sharq_cqe *out =
		&q->done[sharq_ring_slot(q->done_tail, q->depth)];

	if (r->staged || r->failed)
		finish_special(q, r, q->stages[id], c);
	r->busy = false;
	q->free[q->nfree++] = (uint16_t)id;
	q->in_ring--;
	q->ordering -= r->orders;
	deliver(q, c);
	/* In its place, not in @c: that would be read back before it is stored. */
	out->user_data = r->user_data;
}

/* Take what the device has completed. Return: whether there was something. */
bool take_completions(struct sharq_queue *q)
{
	uint32_t tail, from = q->cq_head;

	if (q->sdxi) {
		sdxi_take(q->sdxi);
		/* What stood behind these, and what is left of one. */
		sdxi_put(q->sdxi);
	}
	__builtin_prefetch(&q->cq[sharq_ring_slot(from, q->depth)]);
	tail = __atomic_load_n(&q->ring->cq_tail, __ATOMIC_SEQ_CST);
	/* Out of step: somebody wrote there. Nothing in it can be believed. */
	if (tail == from || !sharq_ring_in_step(from, tail, q->depth) ||
	    (q->in_place && tail - from > in_flight(q)))
		return false;
	for (uint32_t i = from + 2; i - from < tail - from; i += 2)
		__builtin_prefetch(&q->cq[sharq_ring_slot(i, q->depth)]);
	while (q->cq_head != tail) {
		struct sharq_cqe c =
			q->cq[sharq_ring_slot(q->cq_head++, q->depth)];

		if (q->in_place)
			deliver(q, &c);
		else if (c.user_data < q->depth && q->records[c.user_data].busy)
			finish(q, c.user_data, &c);
	}
	__atomic_store_n(&q->ring->cq_head, tail, __ATOMIC_RELEASE);
	q->idle_peeks = 0;
	return true;
}

static bool held_back(const struct sharq_queue *q)
{
	return !q->in_place && not_pushed(q) && !q->dead;
}

/* The same; what was held back may go on then. */
static bool harvest(struct sharq_queue *q)
{
	if (!take_completions(q))
		return false;
	if (held_back(q))
		push(q);
	/* What made a kick short may have been these. */
	if (q->kicker && kick_wanted(q))
		kick(q);
	return true;
}

static void end_one(struct sharq_queue *q, uint16_t id,
		    enum sharq_status status)
{
	struct sharq_cqe c = { .status = status };

	finish(q, id, &c);
}

static void cancel_slot(struct sharq_queue *q, uint32_t slot)
{
	struct sharq_cqe c = { .user_data = q->sq[slot].user_data,
			       .status = SHARQ_CANCELED };

	if (!q->in_place && q->records[q->slots[slot]].busy)
		end_one(q, q->slots[slot], SHARQ_CANCELED);
	else if (q->in_place && in_flight(q))
		deliver(q, &c);
}

/*
 * The queue takes nothing any more. What was held back is CANCELED, and so is
 * what a device that said so never consumed; the rest the device completes, or,
 * when nobody is left, is RESET.
 */
void queue_dead(struct sharq_queue *q, uint32_t why)
{
	uint64_t one = 1;
	uint32_t head;

	/* A kick that is out may take some more: it'll be looked at then. */
	if ((q->dead & why) == why || (q->kicker && kick_pending(q)))
		return;
	why |= q->dead |
	       (__atomic_load_n(&q->ring->device_flags, __ATOMIC_ACQUIRE) &
		SHARQ_DEVICE_DEAD);
	take_completions(q);
	head = consumed(q);
	/* A device that was killed may have taken more than it had time to say. */
	if (why & SHARQ_DEVICE_DEAD && !(q->in_place && q->dead) &&
	    sharq_ring_in_step(head, published(q), q->depth)) {
		for (uint32_t i = head; i != published(q); i++)
			cancel_slot(q, sharq_ring_slot(i, q->depth));
	}
	for (; !q->in_place && not_pushed(q); q->push_tail++) {
		uint32_t slot = sharq_ring_slot(q->push_tail, q->depth);
		struct sharq_cqe c = {
			.user_data = q->sqes[slot].desc.user_data,
			.status = SHARQ_CANCELED,
		};

		deliver(q, &c);
	}
	for (uint32_t i = 0; why & QUEUE_GONE && i < q->depth; i++)
		if (q->records[i].busy)
			end_one(q, (uint16_t)i, SHARQ_RESET);
	q->dead = why;
	push_by_call(q);
	if (q->event < 0)
		return;
	/* An end of file is readable for ever: nobody could poll for more. */
	if (q->kicker) {
		kick_watch(q);
	} else if (why & QUEUE_GONE) {
		q->counts.syscalls++;
		epoll_ctl(q->epoll, EPOLL_CTL_DEL, q->fd, NULL);
	}
	q->counts.syscalls++;
	if (write(q->event, &one, sizeof(one)) < 0)
		return;
}

/* Read events away; learn whether the other end is still there. */
static void drain_events(struct sharq_queue *q)
{
	char bytes[256];
	ssize_t n;

	if (q->dead & QUEUE_GONE)
		return;
	if (q->kicker) {
		kick_look(q);
		return;
	}
	do {
		n = recv(q->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		q->counts.syscalls++;
	} while (n == sizeof(bytes) || (n < 0 && errno == EINTR));
	if (!n || (n < 0 && errno != EAGAIN))
		queue_dead(q, QUEUE_GONE);
}

static bool knock_wanted(const struct sharq_queue *q, uint32_t flags)
{
	if (q->kicker)
		return kick_wanted(q);
	flags &= SHARQ_DEVICE_NEED_KNOCK | SHARQ_DEVICE_PAUSED;
	return flags == SHARQ_DEVICE_NEED_KNOCK &&
	       __atomic_load_n(&q->ring->sq_head, __ATOMIC_ACQUIRE) !=
		       q->sq_tail;
}

/* Nothing in the ring: is the device dead, asleep, or gone? */
static void attend(struct sharq_queue *q)
{
	uint32_t flags;

	if (q->kicker)
		kick_reap(q);
	flags = __atomic_load_n(&q->ring->device_flags, __ATOMIC_ACQUIRE);
	if (flags & SHARQ_DEVICE_DEAD)
		queue_dead(q, flags & SHARQ_DEVICE_DEAD);
	/* While polling ever more rarely: it may only want a CPU. */
	else if ((q->armed || !(q->idle_peeks & (q->idle_peeks - 1))) &&
		 knock_wanted(q, flags)) {
		if (q->kicker)
			kick_again(q);
		else
			knock(q);
	}
	if (++q->idle_peeks >= IDLE_PEEKS) {
		q->idle_peeks = 0;
		drain_events(q);
	}
}

static void set_want(struct sharq_queue *q, bool want)
{
	q->armed = want;
	/* And take() looks at cq_tail, as the device stores it, then looks here:
	 * all sequentially consistent, so one of us sees the other. */
	__atomic_store_n(&q->ring->client_flags,
			 want ? SHARQ_CLIENT_WANT_EVENT : 0, __ATOMIC_SEQ_CST);
}

static bool have(const struct sharq_queue *q)
{
	return q->done_head != q->done_tail;
}

/* Make sharq_queue_fd() unreadable until something comes. */
static void arm(struct sharq_queue *q)
{
	uint64_t count, one = 1;

	q->counts.syscalls++;
	if (read(q->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	if (!q->ring || q->dead & QUEUE_GONE)
		return;
	drain_events(q);
	set_want(q, true);
	harvest(q);
	if (q->kicker) {
		if (kick_wanted(q))
			kick_again(q);
		kick_watch(q);
	}
	if (have(q) || !kick_arm(q))
		return;
	q->counts.syscalls++;
	if (write(q->event, &one, sizeof(one)) < 0)
		return;
}

static bool busy(const struct sharq_queue *q)
{
	return in_flight(q) || held_back(q);
}

/* Look for completions. Return: whether there are some. */
static bool collect(struct sharq_queue *q)
{
	if (have(q))
		return true;
	if (!busy(q))
		return false;
	if (harvest(q)) {
		/* Events for what we look at anyway would cost the device. */
		if (q->armed)
			set_want(q, false);
	} else {
		attend(q);
		if (held_back(q))
			push(q);
	}
	return have(q);
}

static int first(struct sharq_queue *q, const struct sharq_cqe **cqe)
{
	*cqe = &q->done[sharq_ring_slot(q->done_head, q->depth)];
	return 0;
}

int sharq_peek_cqe(struct sharq_queue *q, const struct sharq_cqe **cqe)
{
	if (!guarded(q->s))
		return -EPERM;
	if (collect(q))
		return first(q, cqe);
	if (q->event >= 0) {
		arm(q);
		if (have(q))
			return first(q, cqe);
	}
	return -EAGAIN;
}

/* Poll the ring for a moment, at most until @deadline. */
static bool spin(struct sharq_queue *q, int64_t start, int64_t deadline)
{
	int64_t end = start + SPIN_NS;

	if (deadline < end)
		end = deadline;
	do {
		for (unsigned int i = 0; i < SPIN_ROUNDS; i++) {
			if (harvest(q))
				return collect(q);
			cpu_relax();
		}
		attend(q);
		if (have(q))
			return true;
	} while (now_ns() < end && busy(q));
	return false;
}

static int socket_sleep(struct sharq_queue *q, int ms)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };
	int n;

	q->counts.syscalls++;
	n = poll(&p, 1, ms);
	if (n < 0)
		return -errno;
	if (n)
		drain_events(q);
	return 0;
}

/* Sleep until an event, at most until @deadline. Return: 0 or -EINTR. */
static int doze(struct sharq_queue *q, int64_t now, int64_t deadline)
{
	int64_t ms = (deadline - now + 999999) / 1000000;
	int rc = 0;

	set_want(q, true);
	if (!collect(q) && busy(q)) {
		ms = ms < NAP_MS ? ms : NAP_MS;
		rc = q->kicker ? kick_sleep(q, (int)ms)
			       : socket_sleep(q, (int)ms);
	}
	/* Who polls sharq_queue_fd() goes on to want them. */
	if (q->event < 0)
		set_want(q, false);
	return rc;
}

int sharq_wait_cqe(struct sharq_queue *q, const struct sharq_cqe **cqe,
		   int timeout_ms)
{
	int64_t start, deadline, now;
	int rc;

	if (!guarded(q->s))
		return -EPERM;
	if (collect(q))
		return first(q, cqe);
	start = now_ns();
	deadline = timeout_ms < 0 ? INT64_MAX : start + timeout_ms * 1000000LL;
	for (now = start; busy(q); now = now_ns()) {
		if (spin(q, now, deadline) || collect(q))
			return first(q, cqe);
		now = now_ns();
		if (now >= deadline)
			return -ETIME;
		rc = doze(q, now, deadline);
		if (collect(q))
			return first(q, cqe);
		if (rc)
			return rc;
	}
	return have(q) ? first(q, cqe) : -ENOENT;
}

void sharq_cqe_seen(struct sharq_queue *q, const struct sharq_cqe *cqe)
{
	/* Only the completion that was given can be given back. */
	if (!guarded(q->s) || !have(q) ||
	    cqe != &q->done[sharq_ring_slot(q->done_head, q->depth)])
		return;
	q->done_head++;
	q->front.limit++;
}

static int poll_set_new(struct sharq_queue *q)
{
	struct epoll_event e = { .events = EPOLLIN };
	int rc;

	q->epoll = epoll_create1(EPOLL_CLOEXEC);
	q->event = eventfd(have(q), EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->epoll < 0 || q->event < 0 ||
	    epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->event, &e)) {
		rc = -errno;
	} else if (q->kicker) {
		rc = kick_watch(q);
	} else {
		/* An end of file is readable for ever. */
		rc = q->ring && !(q->dead & QUEUE_GONE) &&
				     epoll_ctl(q->epoll, EPOLL_CTL_ADD, q->fd,
					       &e)
			     ? -errno
			     : 0;
	}
	if (!rc)
		return 0;
	if (q->epoll >= 0)
		close(q->epoll);
	if (q->event >= 0)
		close(q->event);
	q->epoll = q->event = -1;
	return rc;
}

int sharq_queue_fd(struct sharq_queue *q)
{
	uint64_t one = 1;
	int rc;

	if (!guarded(q->s))
		return -EPERM;
	if (q->epoll >= 0)
		return q->epoll;
	rc = poll_set_new(q);
	if (rc)
		return rc;
	if (!q->ring || q->dead & QUEUE_GONE)
		return q->epoll;
	set_want(q, true);
	/* What came before that was without an event: make it readable. */
	if ((collect(q) || kick_arm(q)) &&
	    write(q->event, &one, sizeof(one)) < 0)
		return -errno;
	return q->epoll;
}
