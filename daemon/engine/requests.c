// SPDX-License-Identifier: MIT
/* sharqd's requests, one function each. Main thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control.h"

/* Longest drain that is accepted, so that no wait is without a bound. */
#define MAX_DRAIN_MS 600000
/* Answered later. */
#define LATER 1

static struct session *find_session(struct engine *e, uint64_t id)
{
	struct session *s = e->sessions;

	while (s && s->id != id)
		s = s->next;
	return s;
}

static struct queue *find_queue(struct engine *e, uint64_t id)
{
	struct queue *q = e->queues;

	while (q && q->id != id)
		q = q->next;
	return q;
}

static int take_fd(struct sharq_frame *frame, unsigned int i)
{
	int fd;

	if (i >= frame->nfds)
		return -1;
	fd = frame->fds[i];
	frame->fds[i] = -1;
	return fd;
}

bool engine_busy(const struct engine *e)
{
	for (const struct queue *q = e->queues; q; q = q->next)
		if (queue_in_flight(q))
			return true;
	return false;
}

void queue_remove(struct engine *e, struct queue *q)
{
	struct queue **at = &e->queues;

	if (atomic_load(&q->draining))
		control_reply(e, q->drain_request, -ESHUTDOWN,
			      "the queue ended while it drained");
	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	jobs_drop(e, q);
	queue_deactivate(e, q);
	if (!atomic_load(&q->hup))
		epoll_ctl(e->worker_epfd, EPOLL_CTL_DEL, q->sock, NULL);
	queue_free(q);
}

void session_remove(struct engine *e, struct session *s)
{
	struct session **at = &e->sessions;

	for (struct queue *q = e->queues, *next; q; q = next) {
		next = q->next;
		if (q->session == s)
			queue_remove(e, q);
	}
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (s->pidfd >= 0)
		epoll_ctl(e->epfd, EPOLL_CTL_DEL, s->pidfd, NULL);
	session_free(s);
}

static int do_start(struct engine *e, const Sharq__Engine__Start *m,
		    const char **why)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int r;

	*why = "the engine runs already";
	if (e->worker_count)
		return -EALREADY;
	*why = "workers, slice or max_transfer is out of range";
	if (!m->workers || m->workers > ENGINE_MAX_WORKERS || m->slice < 4096 ||
	    m->spin_us > 1000000 || !m->max_transfer)
		return -EINVAL;
	e->caps.ops = SHARQ_OPS_ALL;
	e->caps.max_transfer = m->max_transfer;
	e->slice = m->slice;
	e->spin_ns = m->spin_us * 1000ULL;
	e->worker_count = m->workers;
	*why = "the workers can't be started";
	if (epoll_ctl(e->worker_epfd, EPOLL_CTL_ADD, e->wake_event, &ev))
		return -errno;
	r = workers_start(e);
	if (r) {
		e->worker_count = 0;
		return r;
	}
	*why = "the system call filter can't be installed";
	return sandbox_filter();
}

static int do_session_add(struct engine *e, const Sharq__Engine__SessionAdd *m,
			  struct sharq_frame *frame)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct session *s;
	int pidfd, r;

	if (find_session(e, m->session))
		return -EEXIST;
	pidfd = take_fd(frame, 0);
	r = session_new(&s, m->session, pidfd, m->info.data, m->info.len);
	if (r) {
		if (pidfd >= 0)
			close(pidfd);
		return r;
	}
	ev.data.ptr = s;
	if (pidfd >= 0 && epoll_ctl(e->epfd, EPOLL_CTL_ADD, pidfd, &ev)) {
		r = -errno;
		session_free(s);
		return r;
	}
	s->next = e->sessions;
	e->sessions = s;
	return 0;
}

static int do_session_remove(struct engine *e, uint64_t id)
{
	struct session *s = find_session(e, id);

	if (!s)
		return -ENOENT;
	world_stop(e);
	session_remove(e, s);
	world_go(e);
	return 0;
}

static int do_region_add(struct engine *e, const Sharq__Engine__RegionAdd *m,
			 struct sharq_frame *frame)
{
	struct session *s = find_session(e, m->session);
	int fd, r;

	if (!s)
		return -ENOENT;
	fd = take_fd(frame, 0);
	if (fd < 0)
		return -EBADF;
	world_stop(e);
	r = session_add_region(s, m->region, m->address, m->size, fd);
	world_go(e);
	if (r)
		close(fd);
	return r;
}

static int do_region_remove(struct engine *e,
			    const Sharq__Engine__RegionRemove *m)
{
	struct session *s = find_session(e, m->session);
	int r;

	if (!s)
		return -ENOENT;
	world_stop(e);
	r = session_remove_region(s, m->region);
	world_go(e);
	return r;
}

/* Room in engine.active for one more queue. World stopped. */
static int grow_active(struct engine *e)
{
	struct queue *_Atomic *active;
	uint32_t cap = e->active_cap ? e->active_cap * 2 : 16;
	uint32_t queues = 0;

	for (struct queue *q = e->queues; q; q = q->next)
		queues++;
	if (queues < e->active_cap)
		return 0;
	active = realloc(e->active, cap * sizeof(*active));
	if (!active)
		return -ENOMEM;
	e->active = active;
	e->active_cap = cap;
	return 0;
}

static int add_queue(struct engine *e, struct session *s,
		     const Sharq__Engine__QueueAdd *m, const int fds[3])
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP };
	struct queue *q;
	int r = grow_active(e);

	if (!r)
		r = queue_new(&q, s, m->queue, m->depth, fds[0], fds[1], fds[2],
			      m->info.data, m->info.len);
	if (r)
		return r;
	if (m->has_paused && m->paused)
		queue_set_flags(q, SHARQ_DEVICE_PAUSED, 0);
	q->next = e->queues;
	e->queues = q;
	ev.data.ptr = q;
	if (epoll_ctl(e->worker_epfd, EPOLL_CTL_ADD, q->sock, &ev))
		atomic_store(&q->hup, true);
	queue_activate(e, q);
	return 0;
}

static int do_queue_add(struct engine *e, const Sharq__Engine__QueueAdd *m,
			struct sharq_frame *frame, const char **why)
{
	struct session *s = find_session(e, m->session);
	int r, fds[3];

	*why = "there is no such session";
	if (!s)
		return -ENOENT;
	*why = "there is such a queue already";
	if (find_queue(e, m->queue))
		return -EEXIST;
	*why = "three descriptors are wanted: rings, journal, socket";
	if (frame->nfds != 3)
		return -EBADF;
	*why = "depth, memory or journal isn't as it must be";
	for (int i = 0; i < 3; i++)
		fds[i] = take_fd(frame, i);
	world_stop(e);
	r = add_queue(e, s, m, fds);
	world_go(e);
	for (int i = 0; r && i < 3; i++)
		close(fds[i]);
	return r;
}

static int do_queue_remove(struct engine *e, uint64_t id)
{
	struct queue *q = find_queue(e, id);

	if (!q)
		return -ENOENT;
	world_stop(e);
	queue_remove(e, q);
	world_go(e);
	return 0;
}

static int do_queue_control(struct engine *e, uint64_t request,
			    const Sharq__Engine__QueueControl *m,
			    const char **why)
{
	struct queue *q = find_queue(e, m->queue);
	int r = 0;

	*why = "there is no such queue";
	if (!q)
		return -ENOENT;
	world_stop(e);
	switch (m->action) {
	case SHARQ__ENGINE__ACTION__PAUSE:
		queue_set_flags(q, SHARQ_DEVICE_PAUSED, 0);
		break;
	case SHARQ__ENGINE__ACTION__RESUME:
		queue_set_flags(q, 0, SHARQ_DEVICE_PAUSED);
		queue_activate(e, q);
		break;
	case SHARQ__ENGINE__ACTION__DRAIN:
		*why = "the queue drains already, for another request";
		if (atomic_load(&q->draining)) {
			r = -EBUSY;
			break;
		}
		queue_set_flags(q, SHARQ_DEVICE_PAUSED, 0);
		if (queue_in_flight(q)) {
			q->drain_request = request;
			atomic_store(&q->draining, true);
			r = LATER;
		}
		break;
	case SHARQ__ENGINE__ACTION__KILL:
		jobs_drop(e, q);
		queue_kill(q);
		/* Were a drain waiting, nothing would tell it. */
		engine_notify_main(e);
		break;
	default:
		*why = "there is no such action";
		r = -EINVAL;
	}
	world_go(e);
	return r;
}

/* Everything that this engine holds, so that a new daemon can go on with it. */
static int do_adopt(struct engine *e)
{
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;
	Sharq__Engine__Adopted adopted;

	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_ADOPTED;
	msg.adopted = &adopted;
	for (struct session *s = e->sessions; s; s = s->next) {
		Sharq__Engine__SessionAdd m = SHARQ__ENGINE__SESSION_ADD__INIT;

		m.session = s->id;
		m.has_info = 1;
		m.info.data = s->info;
		m.info.len = s->info_len;
		sharq__engine__adopted__init(&adopted);
		adopted.session = &m;
		control_send(e, &msg, &s->pidfd, s->pidfd >= 0);
		for (unsigned int i = 0; i < s->region_count; i++) {
			Sharq__Engine__RegionAdd r =
				SHARQ__ENGINE__REGION_ADD__INIT;

			r.session = s->id;
			r.region = s->regions[i].id;
			r.address = s->regions[i].base;
			r.size = s->regions[i].size;
			sharq__engine__adopted__init(&adopted);
			adopted.region = &r;
			control_send(e, &msg, &s->regions[i].fd, 1);
		}
	}
	for (struct queue *q = e->queues; q; q = q->next) {
		Sharq__Engine__QueueAdd m = SHARQ__ENGINE__QUEUE_ADD__INIT;
		int fds[3] = { q->ring_fd, q->journal_fd, q->sock };

		m.session = q->session->id;
		m.queue = q->id;
		m.depth = q->depth;
		m.has_paused = 1;
		m.paused = !!(atomic_load(&q->flags) & SHARQ_DEVICE_PAUSED);
		m.has_info = 1;
		m.info.data = q->info;
		m.info.len = q->info_len;
		sharq__engine__adopted__init(&adopted);
		adopted.queue = &m;
		control_send(e, &msg, fds, 3);
	}
	return 0;
}

static int do_shutdown(struct engine *e, uint64_t request,
		       const Sharq__Engine__Shutdown *m)
{
	uint32_t ms = m->drain_ms < MAX_DRAIN_MS ? m->drain_ms : MAX_DRAIN_MS;

	world_stop(e);
	for (struct queue *q = e->queues; q; q = q->next)
		queue_set_flags(q, SHARQ_DEVICE_PAUSED, 0);
	world_go(e);
	e->stopping = true;
	e->stop_request = request;
	e->stop_deadline_ns = engine_now_ns() + ms * 1000000ULL;
	return LATER;
}

void request_handle(struct engine *e, const Sharq__Engine__Request *req,
		    struct sharq_frame *frame)
{
	const char *why = NULL;
	int r;

	switch (req->body_case) {
	case SHARQ__ENGINE__REQUEST__BODY_START:
		r = do_start(e, req->start, &why);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_SESSION_ADD:
		r = do_session_add(e, req->session_add, frame);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_SESSION_REMOVE:
		r = do_session_remove(e, req->session_remove->session);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_REGION_ADD:
		r = do_region_add(e, req->region_add, frame);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_REGION_REMOVE:
		r = do_region_remove(e, req->region_remove);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_QUEUE_ADD:
		r = do_queue_add(e, req->queue_add, frame, &why);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_QUEUE_REMOVE:
		r = do_queue_remove(e, req->queue_remove->queue);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_QUEUE_CONTROL:
		r = do_queue_control(e, req->id, req->queue_control, &why);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_ADOPT:
		r = do_adopt(e);
		break;
	case SHARQ__ENGINE__REQUEST__BODY_SHUTDOWN:
		r = do_shutdown(e, req->id, req->shutdown);
		break;
	default:
		why = "the engine doesn't know this request";
		r = -ENOSYS;
	}
	if (r != LATER)
		control_reply(e, req->id, r,
			      r ? why ? why : strerror(-r) : NULL);
}
