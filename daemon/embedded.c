// SPDX-License-Identifier: MIT
/*
 * Embedded queues: the memory and the sockets that make one. The client gets
 * the rings and its end of the socket; the journal only ever goes to engines.
 */
#include <errno.h>
#include <fcntl.h>
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

uint32_t embedded_ring_bytes(uint32_t depth)
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

int embedded_attach(struct session *session)
{
	int ret = engine_need(session->user);

	if (ret || session->attached)
		return ret;
	session->attached = true;
	channel_session_add(session);
	return 0;
}

static int make_parts(struct queue *q)
{
	int ends[2];
	int ret;

	ret = memfd_sealed("sharq-rings", embedded_ring_bytes(q->depth),
			   &q->rings);
	if (!ret)
		ret = journal_new(q->depth, &q->journal);
	if (!ret &&
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		       ends))
		ret = -errno;
	if (ret)
		return ret;
	q->client_end = ends[0];
	q->engine_end = ends[1];
	return 0;
}

/* The engine's answer is what the client gets. */
static int create(struct session *session, const struct device *device,
		  Sharq__Pb__Path path, uint32_t depth,
		  const struct answer *answer)
{
	struct server *server = session->user->server;
	struct queue *q;
	int ret;

	(void)device;
	(void)path;
	ret = embedded_attach(session);
	if (!ret)
		ret = queue_new(session, &provider_embedded,
				spawn_fresh_id(server, &server->queues,
					       &server->next_queue),
				depth, &q);
	if (ret)
		return ret;
	ret = make_parts(q);
	if (ret) {
		queue_free(q);
		return ret;
	}
	q->created = *answer;
	channel_queue_add(q);
	return 0;
}

/* Seals first: what has them has no server that fstat() could wait for. */
bool memfd_fits(int fd, uint64_t size)
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

static bool is_unix_stream(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) &&
	       domain == AF_UNIX && type == SOCK_STREAM;
}

/* An engine may have been taken over by its client: look at what it gives. */
int embedded_adopt(struct session *session, uint64_t id, uint32_t depth,
		   const int fds[3], struct queue **out)
{
	struct sharq_journal head;
	struct queue *q;
	int ret;

	if (!id || !sharq_depth_valid(depth) ||
	    !memfd_fits(fds[0], embedded_ring_bytes(depth)) ||
	    !memfd_fits(fds[1], sharq_journal_size(depth)) ||
	    pread(fds[1], &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    head.magic != SHARQ_JOURNAL_MAGIC || !is_unix_stream(fds[2]))
		return -EPROTO;
	ret = queue_new(session, &provider_embedded, id, depth, &q);
	if (ret)
		return ret;
	q->rings = fds[0];
	q->journal = fds[1];
	q->engine_end = fds[2];
	q->state = state_of_flags(head.state);
	*out = q;
	return 0;
}

void embedded_refresh_state(struct queue *q)
{
	struct sharq_journal head;

	if (pread(q->journal, &head, sizeof(head), 0) ==
		    (ssize_t)sizeof(head) &&
	    head.state & SHARQ_DEVICE_DEAD)
		queue_set_state(q, state_of_flags(head.state));
}

static int figures(const struct queue *q, struct figures *f)
{
	struct sharq_journal head;
	ssize_t n;

	/* Read, not mapped: it costs no memory and can't raise SIGBUS. */
	n = pread(q->journal, &head, sizeof(head), 0);
	if (n != (ssize_t)sizeof(head))
		return n < 0 ? -errno : -EIO;
	f->stats = head.stats;
	f->in_flight = head.sq_seq > head.cq_seq ? head.sq_seq - head.cq_seq
						 : 0;
	f->has_module = false;
	return 0;
}

static Sharq__Pb__QueueState state(const struct queue *q)
{
	if (q->state <= SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED &&
	    !engine_running(q->session->user))
		return SHARQ__PB__QUEUE_STATE__QUEUE_RECOVERING;
	return q->state;
}

static const char *reason(Sharq__Pb__QueueState state)
{
	switch (state) {
	case SHARQ__PB__QUEUE_STATE__QUEUE_BROKEN:
		return "its client's indices were out of step";
	case SHARQ__PB__QUEUE_STATE__QUEUE_QUARANTINED:
		return "one of its descriptors took an engine down twice";
	case SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED:
		return "it was killed";
	case SHARQ__PB__QUEUE_STATE__QUEUE_RECOVERING:
		return "its engine died; a new one is on its way";
	default:
		return NULL;
	}
}

static void describe(const struct queue *q, Sharq__Pb__Queue *to)
{
	const struct engine *engine = q->session->user->engine;

	to->path = SHARQ__PB__PATH__PATH_EMBEDDED;
	to->state = state(q);
	to->reason = (char *)reason(to->state);
	if (engine && engine->pid > 0) {
		to->has_engine_pid = true;
		to->engine_pid = engine->pid;
	}
}

static void destroy(struct queue *q, const struct answer *answer)
{
	struct session *s = q->session;
	struct answer now = *answer;

	q->removing = true;
	if (channel_queue_remove(q, answer))
		return;
	event_emit(s->user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_GONE, q->id,
		   s->id, NULL);
	queue_free(q);
	answer_code(s->user->server, &now, 0, NULL);
}

static void control(struct queue *q, Sharq__Pb__QueueAction action,
		    const struct answer *answer)
{
	static const Sharq__Engine__Action actions[] = {
		[SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE] =
			SHARQ__ENGINE__ACTION__PAUSE,
		[SHARQ__PB__QUEUE_ACTION__ACTION_RESUME] =
			SHARQ__ENGINE__ACTION__RESUME,
		[SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN] =
			SHARQ__ENGINE__ACTION__DRAIN,
		[SHARQ__PB__QUEUE_ACTION__ACTION_KILL] =
			SHARQ__ENGINE__ACTION__KILL,
	};
	struct server *server = q->session->user->server;
	struct answer now = *answer;

	if (q->state > SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED)
		answer_code(server, &now, -ESHUTDOWN,
			    "the queue is out of service for good: its owner "
			    "can only close it");
	else if (!engine_running(q->session->user))
		answer_code(server, &now, -EAGAIN,
			    "the queue's engine is being replaced: try again "
			    "in a moment");
	else
		channel_queue_control(q, actions[action], answer);
}

const struct provider provider_embedded = {
	.create = create,
	.destroy = destroy,
	.control = control,
	.state = state,
	.describe = describe,
	.figures = figures,
};
