// SPDX-License-Identifier: MIT
/*
 * Kicks: how a shadow queue's entries reach the kernel. A direct queue has a
 * doorbell instead, which is stored to, by sdxi.c where that belongs to an SDXI
 * context; its file is asked for nothing but sleep, and what it could say of its end
 * is in the ring's flags, too.
 *
 * A kick asks for all that is published. It is one system call: io_uring_enter
 * on a small ring of the queue's own, or ioctl where io_uring can't be had.
 * One that must sleep, for a page fault, goes on in a thread of the kernel's
 * and tells its result later; until then there is no other. One may be short:
 * the file's POLLOUT, or a completion, says when it is worth another.
 */
#include "client.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sharq_ioctl.h"

/*
 * struct kicker - a shadow queue's kicks, a direct queue's doorbell
 * @bell:     NULL: shadow. Of the others below a direct queue uses @file_events
 * @has_ring: they go through @ring, else by ioctl
 * @pending:  one is out, its result will come to @ring
 * @stuck:    the last one left something that stood there when it began
 * @upto:     sq_tail then
 * @theirs:   kicks that the application has in rings of its own
 * @file_events, @ring_events: what the queue's epoll waits for; 0: not in it
 */
struct kicker {
	uint32_t *bell;
	struct io_uring ring;
	bool has_ring, pending, stuck;
	uint32_t upto;
	unsigned int theirs;
	uint32_t file_events, ring_events;
};

static bool ring_new(struct io_uring *ring)
{
	const char *no = getenv("SHARQ_NO_URING");

	if ((no && *no) || io_uring_queue_init(1, ring, 0))
		return false;
	if (!io_uring_ring_dontfork(ring))
		return true;
	io_uring_queue_exit(ring);
	return false;
}

int kicker_new(struct kicker **out, uint32_t *bell)
{
	struct kicker *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;
	k->bell = bell;
	k->has_ring = !bell && ring_new(&k->ring);
	*out = k;
	return 0;
}

struct kicker *kicker_free(struct kicker *k, bool ours)
{
	if (!k)
		return NULL;
	/* A child's ring isn't mapped: others' memory may lie there now. */
	if (k->has_ring && ours)
		io_uring_queue_exit(&k->ring);
	else if (k->has_ring)
		close(k->ring.ring_fd);
	if (k->bell && ours)
		munmap(k->bell, (size_t)sysconf(_SC_PAGESIZE));
	free(k);
	return NULL;
}

static uint32_t unconsumed(const struct sharq_queue *q)
{
	return published(q) - consumed(q);
}

static uint32_t device_flags(const struct sharq_queue *q)
{
	return __atomic_load_n(&q->ring->device_flags, __ATOMIC_ACQUIRE);
}

static void file_dead(struct sharq_queue *q)
{
	uint32_t why = device_flags(q) & SHARQ_DEVICE_DEAD;

	/* Nobody says why when the device itself went away. */
	queue_dead(q, why ? why : SHARQ_DEVICE_CLOSED);
}

static void note_result(struct sharq_queue *q, int res)
{
	uint32_t left = unconsumed(q);

	/* What was published after it had begun makes it no short one. */
	q->kicker->stuck = left > q->sq_tail - q->kicker->upto;
	if (res == -ESHUTDOWN)
		file_dead(q);
}

void kick_reap(struct sharq_queue *q)
{
	struct kicker *k = q->kicker;
	struct io_uring_cqe *cqe;
	int res;

	if (!k->pending || io_uring_peek_cqe(&k->ring, &cqe))
		return;
	res = cqe->res;
	io_uring_cqe_seen(&k->ring, cqe);
	k->pending = false;
	note_result(q, res);
}

bool kick_pending(const struct sharq_queue *q)
{
	return q->kicker->pending;
}

void kick_fill(const struct sharq_queue *q, struct io_uring_sqe *sqe,
	       uint32_t flags)
{
	const struct sharq_uring_kick kick = { .count = q->depth,
					       .flags = flags };

	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, q->fd, NULL, 0, 0);
	sqe->cmd_op = SHARQ_URING_KICK;
	memcpy(sqe->cmd, &kick, sizeof(kick));
}

static bool kick_by_ring(struct sharq_queue *q)
{
	struct kicker *k = q->kicker;

	kick_fill(q, io_uring_get_sqe(&k->ring), 0);
	q->counts.syscalls++;
	if (io_uring_submit(&k->ring) == 1) {
		k->pending = true;
		kick_reap(q);
		return true;
	}
	/* Forbidden since it was made, by a seccomp filter. */
	io_uring_queue_exit(&k->ring);
	k->has_ring = false;
	k->ring_events = 0;
	return false;
}

static void kick_by_ioctl(struct sharq_queue *q)
{
	struct sharq_kick kick = { .size = sizeof(kick), .count = q->depth };
	int res;

	q->counts.syscalls++;
	res = ioctl(q->fd, SHARQ_KICK, &kick);
	note_result(q, res < 0 ? -errno : res);
}

void kick(struct sharq_queue *q)
{
	struct kicker *k = q->kicker;

	if (q->sdxi) {
		sdxi_put(q->sdxi);
		kick_watch(q);
		return;
	}
	if (k->bell) {
		/* sq_tail before it. What sleeps looks there once it has taken
		 * the page away, which waits for stores to it. */
		__atomic_store_n(k->bell, published(q), __ATOMIC_RELEASE);
		return;
	}
	kick_reap(q);
	if (k->pending || q->dead)
		return;
	k->upto = q->sq_tail;
	if (!k->has_ring || !kick_by_ring(q))
		kick_by_ioctl(q);
	kick_watch(q);
}

static void heed(struct sharq_queue *q, short revents)
{
	if (revents & (POLLHUP | POLLERR | POLLNVAL))
		file_dead(q);
	else if (revents & POLLOUT)
		q->kicker->stuck = false;
}

void kick_look(struct sharq_queue *q)
{
	struct pollfd p = { .fd = q->fd, .events = POLLOUT };

	if (q->kicker->bell) {
		if (device_flags(q) & SHARQ_DEVICE_DEAD)
			file_dead(q);
		return;
	}
	kick_reap(q);
	q->counts.syscalls++;
	if (poll(&p, 1, 0) == 1)
		heed(q, p.revents);
}

bool kick_wanted(const struct sharq_queue *q)
{
	return unconsumed(q) && !q->dead && !q->kicker->pending &&
	       !q->kicker->theirs && !(device_flags(q) & SHARQ_DEVICE_PAUSED);
}

void kick_again(struct sharq_queue *q)
{
	if (q->kicker->stuck)
		kick_look(q);
	if (!q->kicker->stuck && kick_wanted(q))
		kick(q);
}

/* A context isn't given more in a pause: its file says when that is over. */
static bool in_pause(const struct sharq_queue *q)
{
	return q->sdxi && unconsumed(q) &&
	       device_flags(q) & SHARQ_DEVICE_PAUSED;
}

int kick_sleep(struct sharq_queue *q, int ms)
{
	struct kicker *k = q->kicker;
	bool dead = q->dead || device_flags(q) & SHARQ_DEVICE_DEAD;
	bool more = !k->bell && unconsumed(q) && !k->pending && !dead;
	struct pollfd p[2] = {
		{ .fd = q->fd,
		  .events = POLLIN | (more || in_pause(q) ? POLLOUT : 0) },
		{ .fd = k->pending ? k->ring.ring_fd : -1, .events = POLLIN },
	};

	/* An application that waits here is in no hurry with its own kicks. */
	if (more && !k->stuck) {
		kick(q);
		return 0;
	}
	/* A dead file is ready for ever, though completions may yet come. */
	if (dead) {
		p[0].fd = -1;
		ms = ms > 1 ? 1 : ms;
	}
	q->counts.syscalls++;
	if (poll(p, 2, ms) < 0)
		return -errno;
	heed(q, p[0].revents);
	return 0;
}

static int watch(struct sharq_queue *q, int fd, uint32_t *is, uint32_t want)
{
	struct epoll_event e = { .events = want };
	int op = !*is ? EPOLL_CTL_ADD : want ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	if (*is == want)
		return 0;
	q->counts.syscalls++;
	if (epoll_ctl(q->epoll, op, fd, &e))
		return -errno;
	*is = want;
	return 0;
}

int kick_watch(struct sharq_queue *q)
{
	struct kicker *k = q->kicker;
	uint32_t file = EPOLLIN | (k->stuck || in_pause(q) ? EPOLLOUT : 0);
	int rc;

	if (q->epoll < 0)
		return 0;
	/* Its POLLHUP is for ever: nobody could poll for anything else. */
	if (q->dead && !in_flight(q))
		file = 0;
	rc = watch(q, q->fd, &k->file_events, file);
	if (!rc && k->has_ring)
		rc = watch(q, k->ring.ring_fd, &k->ring_events,
			   k->pending && unconsumed(q) ? EPOLLIN : 0);
	return rc;
}

bool kick_arm(struct sharq_queue *q)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };

	if (!q->sdxi || q->dead)
		return false;
	q->counts.syscalls++;
	return poll(&p, 1, 0) == 1;
}

/* Will it leave alone what it hasn't consumed? */
static bool stands_still(const struct sharq_queue *q)
{
	return !q->kicker->bell ||
	       device_flags(q) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD);
}

static bool quiet(struct sharq_queue *q)
{
	/* A dead queue's have been canceled already. */
	uint32_t left = !q->dead && stands_still(q) ? unconsumed(q) : 0;

	/* A context has nothing that it isn't given. */
	if (q->sdxi) {
		sdxi_take(q->sdxi);
		return sdxi_idle(q->sdxi);
	}
	kick_reap(q);
	take_completions(q);
	return !q->kicker->pending && in_flight(q) <= left;
}

void kick_quiesce(struct sharq_queue *q)
{
	for (int ms = 0; ms < QUIESCE_MS && !quiet(q); ms++)
		poll(NULL, 0, 1);
	/* While the area is mapped; of one that is dead it fails, which is as good. */
	ioctl(q->fd, SHARQ_STOP, 0);
}

void kick_lend(struct sharq_queue *q)
{
	q->kicker->upto = q->sq_tail;
	q->kicker->theirs++;
}

int kick_lent(struct sharq_queue *q, int res)
{
	if (q->kicker->theirs)
		q->kicker->theirs--;
	note_result(q, res);
	kick_watch(q);
	return unconsumed(q) ? -EAGAIN : 0;
}
