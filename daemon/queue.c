// SPDX-License-Identifier: MIT
/*
 * Queues: the memory and the sockets that make one. The client gets the rings
 * and its end of the socket; the journal only ever goes to engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "ring.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static uint64_t page_align(uint64_t size)
{
	return (size + 4095) & ~UINT64_C(4095);
}

uint32_t queue_ring_bytes(uint32_t depth)
{
	return page_align(sharq_ring_layout(depth).size);
}

int memfd_sealed(const char *name, uint64_t size, int *out)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size) || fcntl(fd, F_ADD_SEALS, SEALS)) {
		ret = -errno;
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

static int journal_new(uint32_t depth, int *out)
{
	struct sharq_journal head = {
		.magic = SHARQ_JOURNAL_MAGIC,
		.depth = depth,
	};
	int fd, ret;
	ssize_t n;

	ret = memfd_sealed("sharq-journal", sharq_journal_size(depth), &fd);
	if (ret)
		return ret;
	n = pwrite(fd, &head, sizeof(head), 0);
	if (n != (ssize_t)sizeof(head)) {
		ret = n < 0 ? -errno : -ENOMEM;
		close(fd);
		return ret;
	}
	*out = fd;
	return 0;
}

static int queue_new(struct session *session, uint64_t id, uint32_t depth,
		     struct queue **out)
{
	struct queue *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return -ENOMEM;
	ret = idmap_add(&session->user->server->queues, id, q);
	if (ret) {
		free(q);
		return ret;
	}
	q->session = session;
	q->id = id;
	q->depth = depth;
	q->rings = q->journal = q->engine_end = q->client_end = -1;
	q->state = SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING;
	q->born_ms = now_ms();
	LIST_INSERT_HEAD(&session->queues, q, link);
	session->user->queues++;
	*out = q;
	return 0;
}

int queue_create(struct session *session, uint32_t depth, struct queue **out)
{
	struct server *server = session->user->server;
	struct queue *q;
	int ends[2];
	int ret;

	ret = queue_new(session, server->next_queue, depth, &q);
	if (ret)
		return ret;
	ret = memfd_sealed("sharq-rings", queue_ring_bytes(depth), &q->rings);
	if (!ret)
		ret = journal_new(depth, &q->journal);
	if (!ret &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       ends))
		ret = -errno;
	if (ret) {
		queue_free(q);
		return ret;
	}
	q->client_end = ends[0];
	q->engine_end = ends[1];
	server->next_queue++;
	*out = q;
	return 0;
}

/* An engine may have been taken over by its client: look at what it gives. */
static bool memfd_fits(int fd, uint64_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && !fstat(fd, &st) &&
	       (uint64_t)st.st_size == size;
}

static Sharq__Pb__QueueState state_of_flags(uint32_t flags)
{
	if (flags & SHARQ_DEVICE_QUARANTINED)
		return SHARQ__PB__QUEUE_STATE__QUEUE_QUARANTINED;
	if (flags & SHARQ_DEVICE_BROKEN)
		return SHARQ__PB__QUEUE_STATE__QUEUE_BROKEN;
	if (flags & SHARQ_DEVICE_CLOSED)
		return SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED;
	if (flags & SHARQ_DEVICE_PAUSED)
		return SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED;
	return SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING;
}

int queue_adopt(struct session *session, uint64_t id, uint32_t depth,
		const int fds[3], struct queue **out)
{
	struct sharq_journal head;
	struct queue *q;
	int ret;

	if (!id || !sharq_depth_valid(depth) ||
	    !memfd_fits(fds[0], queue_ring_bytes(depth)) ||
	    !memfd_fits(fds[1], sharq_journal_size(depth)) ||
	    pread(fds[1], &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    head.magic != SHARQ_JOURNAL_MAGIC)
		return -EPROTO;
	ret = queue_new(session, id, depth, &q);
	if (ret)
		return ret;
	q->rings = fds[0];
	q->journal = fds[1];
	q->engine_end = fds[2];
	q->state = state_of_flags(head.state);
	*out = q;
	return 0;
}

void queue_refresh_state(struct queue *q)
{
	struct sharq_journal head;

	if (pread(q->journal, &head, sizeof(head), 0) ==
		    (ssize_t)sizeof(head) &&
	    head.state & SHARQ_DEVICE_DEAD)
		queue_set_state(q, state_of_flags(head.state));
}

void stats_add(struct sharq_journal_stats *sum,
	       const struct sharq_journal_stats *more)
{
	sum->commands += more->commands;
	sum->bytes += more->bytes;
	sum->faults += more->faults;
	sum->refused += more->refused;
	sum->failed += more->failed;
	sum->resets += more->resets;
	sum->knocks += more->knocks;
	sum->events += more->events;
}

int queue_stats(const struct queue *q, struct sharq_journal_stats *stats,
		uint64_t *in_flight)
{
	struct sharq_journal head;
	ssize_t n;

	/* Read, not mapped: it costs no memory and can't raise SIGBUS. */
	n = pread(q->journal, &head, sizeof(head), 0);
	if (n != (ssize_t)sizeof(head))
		return n < 0 ? -errno : -EIO;
	*stats = head.stats;
	*in_flight = head.sq_seq > head.cq_seq ? head.sq_seq - head.cq_seq : 0;
	return 0;
}

static void account_end(const struct queue *q)
{
	struct user *user = q->session->user;
	struct sharq_journal_stats stats;
	uint64_t in_flight;

	if (q->journal < 0 || queue_stats(q, &stats, &in_flight))
		return;
	stats_add(&user->ended.stats, &stats);
	stats_add(&user->server->ended.stats, &stats);
	user->ended.queues++;
	user->server->ended.queues++;
}

struct queue *queue_free(struct queue *q)
{
	const int *fds[] = { &q->rings, &q->journal, &q->engine_end,
			     &q->client_end };
	struct user *user = q->session->user;

	account_end(q);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	LIST_REMOVE(q, link);
	user->queues--;
	idmap_remove(&user->server->queues, q->id);
	free(q);
	return NULL;
}

Sharq__Pb__QueueState queue_state(const struct queue *q)
{
	if (q->state <= SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED &&
	    !engine_running(q->session->user))
		return SHARQ__PB__QUEUE_STATE__QUEUE_RECOVERING;
	return q->state;
}

void queue_set_state(struct queue *q, Sharq__Pb__QueueState state)
{
	if (q->state == state)
		return;
	q->state = state;
	event_queue_state(q);
}
