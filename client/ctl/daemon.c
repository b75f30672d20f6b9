// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "frame.h"
#include "sharq.h"

/*
 * @early: an event that came while a reply was awaited; more than that one are
 *         dropped: only the reply to Subscribe can be overtaken, and shortly
 */
struct daemon {
	int sock;
	uint64_t next_id;
	Sharq__Pb__ServerMessage *early;
	struct sharq_frame frame;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static int wait_readable(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t left = deadline < 0 ? 0 : deadline - now_ms();
	struct timespec t = { left / 1000, left % 1000 * 1000000L };
	sigset_t all, old;
	int n, err;

	if (deadline >= 0 && left <= 0)
		return -ETIMEDOUT;
	/* No signal may come between the look at ctl_stop and the wait. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	errno = EINTR;
	n = ctl_stop ? -1 : ppoll(&p, 1, deadline < 0 ? NULL : &t, &old);
	err = n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

void daemon_free(Sharq__Pb__ServerMessage *msg)
{
	if (msg)
		sharq__pb__server_message__free_unpacked(msg, NULL);
}

static int receive(struct daemon *d, int64_t deadline,
		   Sharq__Pb__ServerMessage **msg, struct failure *f)
{
	const char *why = "";
	int err;

	for (;;) {
		err = wait_readable(d->sock, deadline);
		if (err == -ETIMEDOUT)
			return fail(f, err,
				    "sharqd doesn't answer; 'sharqctl "
				    "stats' or its log may tell why");
		if (err == -EINTR)
			return fail(f, err, "interrupted");
		if (err)
			return fail(f, err, "waiting for sharqd: %s",
				    strerror(-err));
		err = sharq_frame_recv(d->sock, &d->frame, 0, true, &why);
		if (err != -EAGAIN)
			break;
	}
	if (err == -EPIPE || err == -ECONNRESET)
		return fail(f, -ENOTCONN,
			    "sharqd ended the connection: it "
			    "stops or was restarted; try again");
	if (err == -EPROTO || err == -EPROTONOSUPPORT)
		return fail(f, err,
			    "what answers is no sharqd of this "
			    "version: %s",
			    why);
	if (err)
		return fail(f, err, "reading from sharqd: %s", strerror(-err));
	*msg = sharq__pb__server_message__unpack(NULL, d->frame.body_len,
						 d->frame.body);
	if (!*msg)
		return fail(f, -EPROTO,
			    "sharqd sent a message that can't be "
			    "read: is it another version?");
	return 0;
}

static int send_request(struct daemon *d, Sharq__Pb__Request *req,
			struct failure *f)
{
	uint8_t buf[4096];
	int n;

	n = sharq_frame_pack(&req->base, 0, buf, sizeof(buf));
	if (n >= 0)
		n = sharq_frame_send(d->sock, buf, n, NULL, 0, false);
	/* What it said before it hung up, if anything, is for who receives. */
	if (n < 0 && n != -EPIPE && n != -ECONNRESET)
		return fail(f, n, "writing to sharqd: %s", strerror(-n));
	return 0;
}

int daemon_call(struct daemon *d, Sharq__Pb__Request *req, int timeout_ms,
		Sharq__Pb__ServerMessage **reply, struct failure *f)
{
	int64_t deadline = now_ms() + timeout_ms;
	Sharq__Pb__ServerMessage *msg;
	Sharq__Pb__Reply *r;
	int err;

	req->id = d->next_id++;
	err = send_request(d, req, f);
	while (!err) {
		err = receive(d, deadline, &msg, f);
		if (err)
			break;
		if (msg->body_case == SHARQ__PB__SERVER_MESSAGE__BODY_EVENT &&
		    !d->early) {
			d->early = msg;
			continue;
		}
		r = msg->body_case == SHARQ__PB__SERVER_MESSAGE__BODY_REPLY
			    ? msg->reply
			    : NULL;
		if (!r || (r->id != req->id && r->id)) {
			daemon_free(msg);
			continue;
		}
		if (r->code || !r->id) {
			err = r->code < 0 && r->code > -4096 ? r->code
							     : -EPROTO;
			fail(f, err, "%s",
			     r->text && *r->text ? r->text : strerror(-err));
			daemon_free(msg);
			break;
		}
		if (reply)
			*reply = msg;
		else
			daemon_free(msg);
		return 0;
	}
	return err;
}

int daemon_event(struct daemon *d, Sharq__Pb__ServerMessage **event,
		 struct failure *f)
{
	Sharq__Pb__ServerMessage *msg = d->early;
	int err;

	d->early = NULL;
	while (!msg) {
		err = receive(d, -1, &msg, f);
		if (err)
			return err;
		if (msg->body_case != SHARQ__PB__SERVER_MESSAGE__BODY_EVENT) {
			daemon_free(msg);
			msg = NULL;
		}
	}
	*event = msg;
	return 0;
}

static int say_hello(struct daemon *d, struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;

	hello.version_min = SHARQ_PROTOCOL_MIN;
	hello.version_max = SHARQ_PROTOCOL_MAX;
	hello.program = (char *)"sharqctl";
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	return daemon_call(d, &req, DAEMON_TIMEOUT_MS, NULL, f);
}

static int connect_to(int sock, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval t = { .tv_sec = DAEMON_TIMEOUT_MS / 1000 };

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	/* Bounds connect() and send(); receiving polls. */
	setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return errno == EAGAIN	     ? -ETIMEDOUT
		       : errno == EPROTOTYPE ? -EPROTO
					     : -errno;
	return 0;
}

int daemon_open(struct daemon **out, const char *socket_path, struct failure *f)
{
	const char *path = socket_path ? socket_path : getenv("SHARQ_SOCKET");
	struct daemon *d;
	int err;

	if (!path || !*path)
		path = SHARQ_DEFAULT_SOCKET;
	d = calloc(1, sizeof(*d));
	if (!d)
		return fail(f, -ENOMEM, "out of memory");
	d->next_id = 1;
	d->sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	err = d->sock < 0 ? -errno : connect_to(d->sock, path);
	if (err == -EINTR)
		fail(f, err, "interrupted");
	else if (err)
		ctl_connect_fail(f, err, socket_path);
	else
		err = say_hello(d, f);
	if (err) {
		daemon_close(d);
		return err;
	}
	*out = d;
	return 0;
}

struct daemon *daemon_close(struct daemon *d)
{
	if (d) {
		if (d->sock >= 0)
			close(d->sock);
		daemon_free(d->early);
		free(d);
	}
	return NULL;
}

int daemon_queue(struct daemon *d, uint64_t id,
		 Sharq__Pb__ServerMessage **reply, struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__QueuesGet get = SHARQ__PB__QUEUES_GET__INIT;
	Sharq__Pb__Reply *r;
	int err;

	get.has_queue = 1;
	get.queue = id;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUES;
	req.queues = &get;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, reply, f);
	if (err)
		return err;
	r = (*reply)->reply;
	if (r->body_case == SHARQ__PB__REPLY__BODY_QUEUES &&
	    r->queues->n_queue == 1)
		return 0;
	daemon_free(*reply);
	*reply = NULL;
	return fail(f, -ENOENT,
		    "there is no queue %" PRIu64 " that you may "
		    "see; 'sharqctl queues' lists them",
		    id);
}

static const char *const state_names[] = { "running", "paused",
					   "broken",  "quarantined",
					   "killed",  "recovering",
					   "unbound", "gone" };

const char *daemon_state_name(unsigned int state)
{
	return state < sizeof(state_names) / sizeof(state_names[0])
		       ? state_names[state]
		       : "unknown";
}
