// SPDX-License-Identifier: MIT
/*
 * Requests to the daemon: one at a time, each within REQUEST_TIMEOUT_MS. The
 * daemon may go and come back meanwhile: the next request says hello to the
 * new one with the session that the old one gave us.
 */
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void reply_free(Sharq__Pb__ServerMessage *msg)
{
	if (msg)
		sharq__pb__server_message__free_unpacked(msg, NULL);
}

static void hang_up(struct sharq *s)
{
	close(s->sock);
	s->sock = -1;
}

/* Has the daemon gone since the last request? Perhaps another is there now. */
static bool hung_up(struct sharq *s)
{
	struct pollfd p = { .fd = s->sock };

	return poll(&p, 1, 0) == 1 && p.revents & (POLLHUP | POLLERR);
}

static int wait_for(struct sharq *s, short events, int64_t deadline)
{
	struct pollfd p = { .fd = s->sock, .events = events };
	int64_t left;
	int n;

	do {
		left = deadline - now_ms();
		if (left <= 0)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)left);
	} while (!n || (n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

static int send_request(struct sharq *s, const Sharq__Pb__Request *req,
			int64_t deadline)
{
	int rc;

	for (;;) {
		rc = sharq_frame_send_msg(s->sock, &req->base, NULL, 0, true);
		if (rc != -EAGAIN)
			return rc;
		rc = wait_for(s, POLLOUT, deadline);
		if (rc)
			return rc;
	}
}

/*
 * Memory that comes after we gave up asking for it goes back. The answer to
 * that will be passed over: its id is as old.
 */
static int decline(struct sharq *s, const Sharq__Pb__Reply *late,
		   int64_t deadline)
{
	Sharq__Pb__RegionDestroy destroy = SHARQ__PB__REGION_DESTROY__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	destroy.region = late->region_created->region;
	req.id = late->id;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_DESTROY;
	req.region_destroy = &destroy;
	return send_request(s, &req, deadline);
}

/*
 * The reply to request @id. Events and replies to requests that were given up
 * are passed over; their descriptors are closed, which ends a queue.
 */
static int receive_reply(struct sharq *s, uint64_t id, int64_t deadline,
			 Sharq__Pb__ServerMessage **out)
{
	Sharq__Pb__ServerMessage *msg;
	const char *why;
	int rc;

	for (;;) {
		rc = sharq_frame_recv(s->sock, s->frame, SHARQ_FRAME_MAX_FDS,
				      true, &why);
		if (rc == -EAGAIN) {
			rc = wait_for(s, POLLIN, deadline);
			if (rc)
				return rc;
			continue;
		}
		if (rc)
			return rc;
		msg = sharq__pb__server_message__unpack(
			NULL, s->frame->body_len, s->frame->body);
		if (!msg ||
		    msg->body_case == SHARQ__PB__SERVER_MESSAGE__BODY__NOT_SET)
			rc = -EPROTO;
		else if (msg->body_case ==
			 SHARQ__PB__SERVER_MESSAGE__BODY_REPLY)
			rc = msg->reply->id > id ? -EPROTO : 1;
		if (rc == 1 && (msg->reply->id == id || !msg->reply->id)) {
			*out = msg;
			return 0;
		}
		sharq_frame_close_fds(s->frame);
		if (rc == 1 && msg->reply->body_case ==
				       SHARQ__PB__REPLY__BODY_REGION_CREATED)
			rc = decline(s, msg->reply, deadline);
		reply_free(msg);
		if (rc < 0)
			return rc;
	}
}

static bool is_gone(int rc)
{
	return rc == -EPIPE || rc == -ECONNRESET || rc == -ENOTCONN;
}

static int exchange(struct sharq *s, Sharq__Pb__Request *req,
		    Sharq__Pb__ServerMessage **msg)
{
	int64_t deadline = now_ms() + REQUEST_TIMEOUT_MS;
	int rc;

	req->id = ++s->next_id;
	rc = send_request(s, req, deadline);
	/* Who hung up may have said why. */
	if (!rc || is_gone(rc))
		rc = receive_reply(s, req->id, deadline, msg);
	return rc;
}

static int dial(struct sharq *s)
{
	struct timeval limit = { .tv_sec = REQUEST_TIMEOUT_MS / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(s->path);
	int rc;

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, s->path, len);
	s->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->sock < 0) {
		s->sock = -1;
		return -errno;
	}
	/* Bounds connect(), which waits where the backlog is full. */
	if (setsockopt(s->sock, SOL_SOCKET, SO_SNDTIMEO, &limit,
		       sizeof(limit)) ||
	    connect(s->sock, (struct sockaddr *)&addr, sizeof(addr))) {
		rc = -errno;
		hang_up(s);
		if (rc == -EPROTOTYPE)
			return -EPROTO;
		return rc == -EAGAIN ? -ETIMEDOUT : rc;
	}
	return 0;
}

/* May we go on with what the daemon's hello says of our session? */
static int take_session(struct sharq *s, const Sharq__Pb__HelloReply *hello)
{
	if (hello->version < SHARQ_PROTOCOL_MIN ||
	    hello->version > SHARQ_PROTOCOL_MAX)
		return -EPROTONOSUPPORT;
	if (s->session && hello->session != s->session &&
	    (s->queues || atomic_load(&s->map_used)))
		return -ESTALE;
	s->session = hello->session;
	s->token = hello->token;
	return 0;
}

int wire_connect(struct sharq *s)
{
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg = NULL;
	char program[64];
	int rc = dial(s);

	if (rc)
		return rc;
	strncpy(program, program_invocation_short_name, sizeof(program) - 1);
	program[sizeof(program) - 1] = '\0';
	hello.version_min = SHARQ_PROTOCOL_MIN;
	hello.version_max = SHARQ_PROTOCOL_MAX;
	hello.program = program;
	if (s->session) {
		hello.has_session = hello.has_token = 1;
		hello.session = s->session;
		hello.token = s->token;
	}
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	rc = exchange(s, &req, &msg);
	if (is_gone(rc))
		rc = -EPROTO;
	if (!rc) {
		sharq_frame_close_fds(s->frame);
		if (msg->reply->code)
			rc = msg->reply->code < 0 ? msg->reply->code : -EPROTO;
		else if (msg->reply->body_case != SHARQ__PB__REPLY__BODY_HELLO)
			rc = -EPROTO;
		else
			rc = take_session(s, msg->reply->hello);
	}
	reply_free(msg);
	if (rc)
		hang_up(s);
	return rc;
}

static int reconnect(struct sharq *s)
{
	char why[512];
	int rc = wire_connect(s);

	if (!rc)
		return 0;
	if (rc == -ESTALE)
		return fail(s, -ENOTCONN,
			    "sharqd at %s was started anew and doesn't know "
			    "this connection any more: close its queues and "
			    "connect again with sharq_connect()",
			    s->path);
	sharq_connect_strerror(rc, s->path, why, sizeof(why));
	return fail(s, -ENOTCONN,
		    "sharqd is away and isn't back yet (%s); open queues go on "
		    "working",
		    why);
}

static int explain(struct sharq *s, int rc)
{
	/* Unlike -ENOTCONN: it may have done what we asked for. */
	if (is_gone(rc))
		return fail(s, -ECONNRESET,
			    "sharqd (socket %s) went away before it answered; "
			    "open queues go on working; try again when it is "
			    "back",
			    s->path);
	if (rc == -ETIMEDOUT)
		return fail(s, rc,
			    "sharqd (socket %s) didn't answer within %d s",
			    s->path, REQUEST_TIMEOUT_MS / 1000);
	if (rc == -EMSGSIZE)
		return fail(s, rc, "the request is too large for one message");
	return fail(s, rc, "sharqd (socket %s) broke the protocol: %s", s->path,
		    strerror(-rc));
}

/* What the daemon said, when it said no; or that it forgot what we need. */
static int refuse(struct sharq *s, const Sharq__Pb__Reply *reply,
		  unsigned int want_fds)
{
	if (reply->code)
		return fail(s, reply->code < 0 ? reply->code : -EPROTO, "%s",
			    reply->text ? reply->text
					: strerror(abs(reply->code)));
	if (!reply->id)
		return fail(s, -EPROTO,
			    "sharqd answered without saying which request");
	if (s->frame->nfds != want_fds)
		return fail(s, -EPROTO,
			    "sharqd sent %u file descriptors, expected %u",
			    s->frame->nfds, want_fds);
	return 0;
}

int request(struct sharq *s, Sharq__Pb__Request *req, unsigned int want_fds,
	    int *fds, Sharq__Pb__ServerMessage **msg)
{
	int rc = 0;

	*msg = NULL;
	if (!s->path)
		return fail(s, -ENOTCONN,
			    "this connection has no daemon "
			    "(sharq_connect_none): it can open inline queues "
			    "only");
	pthread_mutex_lock(&s->wire_lock);
	if (s->sock >= 0 && hung_up(s))
		hang_up(s);
	if (s->sock < 0)
		rc = reconnect(s);
	if (rc)
		goto out;
	rc = exchange(s, req, msg);
	if (rc) {
		/* A late reply is told by its id; anything else ends it. */
		if (rc != -ETIMEDOUT && rc != -EMSGSIZE)
			hang_up(s);
		rc = explain(s, rc);
		goto out;
	}
	/* A queue that we bind ourselves is one file. */
	if (want_fds == 2 &&
	    (*msg)->reply->body_case == SHARQ__PB__REPLY__BODY_QUEUE_CREATED &&
	    (*msg)->reply->queue_created->bind)
		want_fds = 1;
	rc = refuse(s, (*msg)->reply, want_fds);
	if (rc) {
		sharq_frame_close_fds(s->frame);
		reply_free(*msg);
		*msg = NULL;
	} else {
		for (unsigned int i = 0; i < want_fds; i++)
			fds[i] = s->frame->fds[i];
	}
out:
	pthread_mutex_unlock(&s->wire_lock);
	return rc;
}
