// SPDX-License-Identifier: MIT
#include "control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A daemon that says nothing at the start, or takes nothing, is hung. */
#define TALK_TIMEOUT_MS 10000

/* What main's epoll waits for: these, or a session (its pidfd). */
static char tag_control, tag_listener, tag_news;

static struct sharq_frame frame;
static int own_pidfd = -1;
/* Asked for once: the system call filter doesn't let us ask again. */
static uint32_t own_pid, own_uid;

static void drop_daemon(struct engine *e)
{
	if (e->ctl >= 0)
		close(e->ctl);
	e->ctl = -1;
	/* Who asked isn't there any more. */
	for (struct queue *q = e->queues; q; q = q->next)
		atomic_store(&q->draining, false);
}

void control_send(struct engine *e, Sharq__Engine__EngineMessage *msg,
		  const int *fds, unsigned int nfds)
{
	int r;

	if (e->ctl < 0)
		return;
	r = sharq_frame_send_msg(e->ctl, &msg->base, fds, nfds, false);
	if (r)
		drop_daemon(e);
}

void control_reply(struct engine *e, uint64_t id, int code, const char *text)
{
	Sharq__Engine__Reply reply = SHARQ__ENGINE__REPLY__INIT;
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;

	reply.id = id;
	reply.code = code;
	reply.text = (char *)text;
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_REPLY;
	msg.reply = &reply;
	control_send(e, &msg, NULL, 0);
}

void control_queue_gone(struct engine *e, struct queue *q)
{
	Sharq__Engine__QueueGone gone = SHARQ__ENGINE__QUEUE_GONE__INIT;
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;

	gone.queue = q->id;
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_QUEUE_GONE;
	msg.queue_gone = &gone;
	queue_remove(e, q);
	control_send(e, &msg, NULL, 0);
}

static void tell_broken(struct engine *e, struct queue *q)
{
	Sharq__Engine__QueueStateNotice notice =
		SHARQ__ENGINE__QUEUE_STATE_NOTICE__INIT;
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;

	notice.queue = q->id;
	notice.state = 2; /* sharq.pb.QUEUE_BROKEN */
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_QUEUE_STATE;
	msg.queue_state = &notice;
	control_send(e, &msg, NULL, 0);
}

static void session_gone(struct engine *e, struct session *s)
{
	Sharq__Engine__SessionGone gone = SHARQ__ENGINE__SESSION_GONE__INIT;
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;

	world_stop(e);
	for (struct queue *q = e->queues, *next; q; q = next) {
		next = q->next;
		if (q->session == s)
			control_queue_gone(e, q);
	}
	gone.session = s->id;
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_SESSION_GONE;
	msg.session_gone = &gone;
	session_remove(e, s);
	world_go(e);
	control_send(e, &msg, NULL, 0);
}

/* A worker said that some queue wants looking at. */
static void look_at_queues(struct engine *e)
{
	uint64_t count;

	if (read(e->main_event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	atomic_store(&e->news, false);
	world_stop(e);
	for (struct queue *q = e->queues, *next; q; q = next) {
		next = q->next;
		if (atomic_load(&q->hup)) {
			control_queue_gone(e, q);
			continue;
		}
		if (atomic_load(&q->flags) & SHARQ_DEVICE_BROKEN && !q->told) {
			q->told = true;
			tell_broken(e, q);
		}
		if (atomic_load(&q->draining) && !queue_in_flight(q)) {
			atomic_store(&q->draining, false);
			control_reply(e, q->drain_request, 0, NULL);
		}
	}
	world_go(e);
}

static int watch(struct engine *e, int fd, void *tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = tag };

	return epoll_ctl(e->epfd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int greet(struct engine *e)
{
	Sharq__Engine__Hello hello = SHARQ__ENGINE__HELLO__INIT;
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;
	const struct timeval timeout = { .tv_sec = TALK_TIMEOUT_MS / 1000 };
	int r;

	if (setsockopt(e->ctl, SOL_SOCKET, SO_SNDTIMEO, &timeout,
		       sizeof(timeout)))
		return -errno;
	r = watch(e, e->ctl, &tag_control);
	if (r)
		return r;
	hello.version = SHARQ_PROTOCOL_MAX;
	hello.pid = (int32_t)own_pid;
	hello.uid = own_uid;
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_HELLO;
	msg.hello = &hello;
	control_send(e, &msg, &own_pidfd, 1);
	return e->ctl < 0 ? -EPIPE : 0;
}

/* A new daemon. Its directory lets nobody else in; the kernel's word on top. */
static void accept_daemon(struct engine *e)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    (peer.uid != 0 && peer.uid != e->owner_uid)) {
		close(fd);
		return;
	}
	drop_daemon(e);
	e->ctl = fd;
	if (greet(e))
		drop_daemon(e);
}

static int obey(struct engine *e)
{
	Sharq__Engine__Request *req;
	const char *why;
	int r;

	r = sharq_frame_recv(e->ctl, &frame, SHARQ_FRAME_MAX_FDS, true, &why);
	if (r == -EAGAIN)
		return 0;
	if (r)
		return r;
	req = sharq__engine__request__unpack(NULL, frame.body_len, frame.body);
	if (!req) {
		sharq_frame_close_fds(&frame);
		return -EPROTO;
	}
	request_handle(e, req, &frame);
	sharq__engine__request__free_unpacked(req, NULL);
	sharq_frame_close_fds(&frame);
	return 0;
}

int control_start(struct engine *e)
{
	struct pollfd pfd = { .fd = e->ctl, .events = POLLIN };
	int r;

	own_pid = (uint32_t)getpid();
	own_uid = geteuid();
	own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (own_pidfd < 0)
		return -errno;
	r = watch(e, e->listener, &tag_listener);
	if (!r)
		r = watch(e, e->main_event, &tag_news);
	if (!r)
		r = greet(e);
	if (r)
		return r;
	if (poll(&pfd, 1, TALK_TIMEOUT_MS) != 1)
		return -ETIMEDOUT;
	r = obey(e);
	if (!r && !e->worker_count)
		r = -EPROTO;
	return r;
}

/* Done with what was accepted, or out of time: end what is left, tell. */
static bool stop_now(struct engine *e)
{
	bool busy;

	world_stop(e);
	busy = engine_busy(e);
	if (busy && engine_now_ns() < e->stop_deadline_ns) {
		world_go(e);
		return false;
	}
	for (struct queue *q = e->queues; q; q = q->next) {
		jobs_drop(e, q);
		queue_kill(q);
	}
	control_reply(e, e->stop_request, busy ? -ETIMEDOUT : 0,
		      busy ? "commands were cut off at the time limit" : NULL);
	return true;
}

static int stop_timeout(const struct engine *e)
{
	uint64_t now = engine_now_ns();

	if (!e->stopping)
		return -1;
	return now >= e->stop_deadline_ns
		       ? 0
		       : (int)((e->stop_deadline_ns - now) / 1000000 + 1);
}

int control_run(struct engine *e)
{
	while (e->ctl >= 0 || e->sessions) {
		struct epoll_event ev;
		/* One at a time: handling it may end what a second one names. */
		int n = epoll_wait(e->epfd, &ev, 1, stop_timeout(e));

		if (n < 0 && errno != EINTR)
			return 1;
		if (n == 1 && ev.data.ptr == &tag_control) {
			if (obey(e))
				drop_daemon(e);
		} else if (n == 1 && ev.data.ptr == &tag_listener) {
			accept_daemon(e);
		} else if (n == 1 && ev.data.ptr == &tag_news) {
			look_at_queues(e);
		} else if (n == 1) {
			session_gone(e, ev.data.ptr);
		}
		if (e->stopping && stop_now(e))
			return 0;
	}
	return 0;
}
