// SPDX-License-Identifier: MIT
/*
 * The control protocol: requests to an engine, its answers and notices.
 * Nothing here waits; an engine that doesn't answer in time is killed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "info.pb-c.h"
#include "log.h"
#include "ring.h"

#define PACKETS_PER_TURN 64

/* ---- calls ---- */

static uint64_t hung_at(const struct engine *e, const struct call *call)
{
	uint64_t since = call->sent_ms > e->heard_ms ? call->sent_ms
						     : e->heard_ms;

	return since + ENGINE_HUNG_MS;
}

static uint64_t next_deadline(const struct engine *e)
{
	uint64_t next = e->stop_by_ms ? e->stop_by_ms : UINT64_MAX;
	const struct call *call;

	TAILQ_FOREACH(call, &e->calls, link)
	{
		uint64_t at = call->soft_ms ? call->sent_ms + call->soft_ms
					    : hung_at(e, call);

		next = at < next ? at : next;
	}
	return next;
}

void channel_arm(struct engine *e)
{
	uint64_t next = next_deadline(e), now = now_ms();
	struct timeval tv = { 0 };

	if (next == UINT64_MAX) {
		event_del(e->timer);
		return;
	}
	if (next > now) {
		tv.tv_sec = (next - now) / 1000;
		tv.tv_usec = (next - now) % 1000 * 1000;
	}
	event_add(e->timer, &tv);
}

static void call_end(struct engine *e, struct call *call, int code,
		     const char *text)
{
	TAILQ_REMOVE(&e->calls, call, link);
	call->done(e, call, code, text);
	free(call);
}

void channel_timer(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	uint64_t now = now_ms();
	struct call *call, *next;

	(void)fd;
	(void)what;
	if (e->stop_by_ms && now >= e->stop_by_ms) {
		engine_kill(e, e->state == ENGINE_STOPPING
				       ? "it doesn't stop"
				       : "it doesn't say what it holds");
		return;
	}
	for (call = TAILQ_FIRST(&e->calls); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (!call->soft_ms && now >= hung_at(e, call)) {
			engine_kill(e, "it doesn't answer");
			return;
		}
		if (call->soft_ms && now >= call->sent_ms + call->soft_ms)
			call_end(
				e, call, -ETIMEDOUT,
				"commands are still in flight; the queue stays "
				"paused");
	}
	channel_arm(e);
}

void channel_fail_calls(struct engine *e, int code, const char *text)
{
	while (!TAILQ_EMPTY(&e->calls))
		call_end(e, TAILQ_FIRST(&e->calls), code, text);
}

/*
 * A call that can't be sent ends with the engine's end, as do all others. One
 * to an engine that was killed isn't even tried.
 */
static void call_send(struct engine *e, Sharq__Engine__Request *req,
		      const struct call *what, const int *fds,
		      unsigned int nfds)
{
	struct call *call = malloc(sizeof(*call));
	int ret = -ENOMEM;

	if (call) {
		*call = *what;
		call->id = req->id = e->next_call++;
		call->sent_ms = now_ms();
		TAILQ_INSERT_TAIL(&e->calls, call, link);
		if (e->state == ENGINE_DYING)
			return;
		ret = outq_send(&e->out, &req->base, fds, nfds);
	}
	if (ret)
		engine_kill(e, strerror(-ret));
	else if (what->soft_ms || !evtimer_pending(e->timer, NULL))
		channel_arm(e);
}

static void ignore_answer(struct engine *e, struct call *call, int code,
			  const char *text)
{
	(void)call;
	if (code && code != -ECONNRESET)
		log_warning("the engine of uid %u: %s", e->user->uid,
			    text ? text : strerror(-code));
}

/* ---- the engine itself ---- */

static void started(struct engine *e, struct call *call, int code,
		    const char *text)
{
	(void)call;
	if (code == -ECONNRESET)
		return;
	if (code)
		engine_kill(e, text ? text : "it refuses to start");
	else if (e->state == ENGINE_STARTING)
		engine_up(e, true);
}

void channel_start(struct engine *e)
{
	const struct config *c = &e->user->server->config;
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__Start start = SHARQ__ENGINE__START__INIT;
	const struct call call = { .done = started };

	start.workers = c->workers;
	start.slice = c->slice;
	start.spin_us = c->spin_us;
	start.max_transfer = c->max_transfer;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_START;
	req.start = &start;
	call_send(e, &req, &call, NULL, 0);
}

void channel_shutdown(struct engine *e, unsigned int drain_ms)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__Shutdown m = SHARQ__ENGINE__SHUTDOWN__INIT;
	/* stop_by_ms is what bounds it. */
	const struct call call = { .done = ignore_answer,
				   .soft_ms = drain_ms + ENGINE_HUNG_MS };

	m.has_drain_ms = true;
	m.drain_ms = drain_ms;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_SHUTDOWN;
	req.shutdown = &m;
	call_send(e, &req, &call, NULL, 0);
}

static void adopted(struct engine *e, struct call *call, int code,
		    const char *text)
{
	(void)call;
	if (code == -ECONNRESET || e->state != ENGINE_ADOPTING)
		return;
	if (code) {
		engine_kill(e, text ? text : "it can't be adopted");
		return;
	}
	engine_up(e, false);
	adopt_finished(e);
}

void channel_adopt(struct engine *e)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__Adopt m = SHARQ__ENGINE__ADOPT__INIT;
	const struct call call = { .done = adopted };

	req.body_case = SHARQ__ENGINE__REQUEST__BODY_ADOPT;
	req.adopt = &m;
	call_send(e, &req, &call, NULL, 0);
}

/* ---- sessions ---- */

static struct session *own_session(struct engine *e, uint64_t id)
{
	struct session *s = idmap_find(&e->user->server->sessions, id);

	return s && s->user == e->user ? s : NULL;
}

static void session_added(struct engine *e, struct call *call, int code,
			  const char *text)
{
	struct session *s = own_session(e, call->object);

	if (!code || code == -ECONNRESET || !s)
		return;
	log_err("the engine of uid %u refuses session %llu: %s", e->user->uid,
		(unsigned long long)s->id, text ? text : strerror(-code));
	if (s->conn)
		conn_doom(s->conn, NULL);
	else
		session_end(s);
}

void channel_session_add(struct session *s)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__SessionAdd m = SHARQ__ENGINE__SESSION_ADD__INIT;
	Sharqd__SessionInfo info = SHARQD__SESSION_INFO__INIT;
	const struct call call = { .done = session_added, .object = s->id };
	struct engine *e = s->user->engine;
	uint8_t bytes[256]; /* a program's name and six numbers */

	if (!engine_running(s->user))
		return;
	info.uid = s->user->uid;
	info.pid = s->pid;
	info.token = s->token;
	info.program = s->program;
	info.has_born_ms = true;
	info.born_ms = s->born_ms;
	info.has_max_transfer = true;
	info.max_transfer = e->max_transfer;
	info.has_seal = true;
	info.seal = seal_id(&s->user->server->seal_key, SEAL_SESSION,
			    s->user->uid, s->id);
	m.session = s->id;
	m.has_info = true;
	m.info.data = bytes;
	m.info.len = sharqd__session_info__pack(&info, bytes);
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_SESSION_ADD;
	req.session_add = &m;
	call_send(e, &req, &call, &s->pidfd, s->pidfd >= 0);
}

static void session_removed(struct engine *e, struct call *call, int code,
			    const char *text)
{
	struct session *s = own_session(e, call->object);

	(void)code;
	(void)text;
	if (s)
		session_gone(s);
}

bool channel_session_remove(struct session *s)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__SessionRemove m = SHARQ__ENGINE__SESSION_REMOVE__INIT;
	const struct call call = { .done = session_removed, .object = s->id };

	if (!s->attached || !engine_running(s->user))
		return false;
	m.session = s->id;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_SESSION_REMOVE;
	req.session_remove = &m;
	call_send(s->user->engine, &req, &call, NULL, 0);
	return true;
}

/* ---- regions ---- */

static struct region *own_region(struct engine *e, const struct call *call)
{
	struct session *s = own_session(e, call->session);

	return s ? region_find(s, call->object) : NULL;
}

static void region_added(struct engine *e, struct call *call, int code,
			 const char *text)
{
	struct server *server = e->user->server;
	struct region *r = own_region(e, call);
	Sharq__Pb__RegionCreated body = SHARQ__PB__REGION_CREATED__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;

	if (!r || code == -ECONNRESET)
		return;
	if (code) {
		log_warning("the engine of uid %u refuses region %llu: %s",
			    e->user->uid, (unsigned long long)r->id,
			    text ? text : strerror(-code));
		answer_code(server, &r->created, code,
			    text ? text : "the engine refuses the region");
		region_free(r);
		return;
	}
	body.region = r->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_REGION_CREATED;
	reply.region_created = &body;
	answer_reply(server, &r->created, &reply, &r->fd, 1);
}

void channel_region_add(struct region *r)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__RegionAdd m = SHARQ__ENGINE__REGION_ADD__INIT;
	const struct call call = { .done = region_added,
				   .object = r->id,
				   .session = r->session->id };

	if (!engine_running(r->session->user))
		return;
	m.session = r->session->id;
	m.region = r->id;
	m.address = r->base;
	m.size = r->size;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_REGION_ADD;
	req.region_add = &m;
	call_send(r->session->user->engine, &req, &call, &r->fd, 1);
}

static void region_removed(struct engine *e, struct call *call, int code,
			   const char *text)
{
	struct region *r = own_region(e, call);

	(void)code;
	(void)text;
	if (r)
		region_free(r);
	answer_code(e->user->server, &call->answer, 0, NULL);
}

bool channel_region_remove(struct region *r, const struct answer *answer)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__RegionRemove m = SHARQ__ENGINE__REGION_REMOVE__INIT;
	const struct call call = { .done = region_removed,
				   .object = r->id,
				   .session = r->session->id,
				   .answer = *answer };

	if (!engine_holds(r->session->user))
		return false;
	m.session = r->session->id;
	m.region = r->id;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_REGION_REMOVE;
	req.region_remove = &m;
	call_send(r->session->user->engine, &req, &call, NULL, 0);
	return true;
}

/* ---- queues ---- */

static struct queue *own_queue(struct engine *e, uint64_t id)
{
	struct queue *q = idmap_find(&e->user->server->queues, id);

	return q && q->session->user == e->user &&
			       q->provider == &provider_embedded
		       ? q
		       : NULL;
}

/* Out of existence; whoever waited for it hears @code. */
static void queue_gone(struct queue *q, int code, const char *text)
{
	struct user *user = q->session->user;

	answer_code(user->server, &q->created, code, text);
	event_emit(user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_GONE, q->id,
		   q->session->id, NULL);
	queue_free(q);
}

static void hand_over(struct engine *e, struct queue *q)
{
	const struct sharq_ring_layout layout = sharq_ring_layout(q->depth);
	const int fds[] = { q->rings, q->client_end };
	struct server *server = e->user->server;
	Sharq__Pb__QueueCreated body = SHARQ__PB__QUEUE_CREATED__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;

	body.queue = q->id;
	body.device = DEVICE_EMBEDDED;
	body.path = SHARQ__PB__PATH__PATH_EMBEDDED;
	body.depth = q->depth;
	body.sqe_shift = SHARQ_SQE_SHIFT;
	body.cqe_shift = SHARQ_CQE_SHIFT;
	body.sq_offset = layout.sq_offset;
	body.cq_offset = layout.cq_offset;
	body.size = embedded_ring_bytes(q->depth);
	body.ops = SHARQ_OPS_ALL;
	body.max_transfer = e->max_transfer;
	body.reason = (char *)embedded_note(server);
	reply.body_case = SHARQ__PB__REPLY__BODY_QUEUE_CREATED;
	reply.queue_created = &body;
	answer_reply(server, &q->created, &reply, fds, 2);
	/* Only the client may hold it: its end must mean the client's end. */
	closer_close(e->user->closer, q->client_end);
	q->client_end = -1;
	event_emit(e->user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_CREATED, q->id,
		   q->session->id, NULL);
}

static void queue_added(struct engine *e, struct call *call, int code,
			const char *text)
{
	struct queue *q = own_queue(e, call->object);

	if (!q || code == -ECONNRESET)
		return;
	text = text ? text : "the engine refuses the queue";
	if (code) {
		log_warning("the engine of uid %u refuses queue %llu: %s",
			    e->user->uid, (unsigned long long)q->id, text);
		queue_gone(q, code, text);
	} else if (q->client_end >= 0) {
		hand_over(e, q);
	} else {
		embedded_refresh_state(q);
	}
}

void channel_queue_add(struct queue *q)
{
	const int fds[] = { q->rings, q->journal, q->engine_end };
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__QueueAdd m = SHARQ__ENGINE__QUEUE_ADD__INIT;
	Sharqd__QueueInfo info = SHARQD__QUEUE_INFO__INIT;
	const struct call call = { .done = queue_added, .object = q->id };
	uint8_t bytes[32];

	if (!engine_running(q->session->user))
		return;
	info.has_born_ms = true;
	info.born_ms = q->born_ms;
	info.has_seal = true;
	info.seal = seal_id(&q->session->user->server->seal_key, SEAL_QUEUE,
			    q->session->user->uid, q->id);
	m.session = q->session->id;
	m.queue = q->id;
	m.depth = q->depth;
	m.has_paused = true;
	m.paused = q->state == SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED;
	m.has_info = true;
	m.info.data = bytes;
	m.info.len = sharqd__queue_info__pack(&info, bytes);
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_QUEUE_ADD;
	req.queue_add = &m;
	call_send(q->session->user->engine, &req, &call, fds, 3);
}

static void queue_removed(struct engine *e, struct call *call, int code,
			  const char *text)
{
	struct queue *q = own_queue(e, call->object);

	(void)code;
	(void)text;
	if (q)
		queue_gone(q, 0, NULL);
	answer_code(e->user->server, &call->answer, 0, NULL);
}

bool channel_queue_remove(struct queue *q, const struct answer *answer)
{
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__QueueRemove m = SHARQ__ENGINE__QUEUE_REMOVE__INIT;
	const struct call call = { .done = queue_removed,
				   .object = q->id,
				   .answer = *answer };

	if (!engine_holds(q->session->user))
		return false;
	m.queue = q->id;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_QUEUE_REMOVE;
	req.queue_remove = &m;
	call_send(q->session->user->engine, &req, &call, NULL, 0);
	return true;
}

static void queue_controlled(struct engine *e, struct call *call, int code,
			     const char *text)
{
	static const Sharq__Pb__QueueState states[] = {
		[SHARQ__ENGINE__ACTION__PAUSE] =
			SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED,
		[SHARQ__ENGINE__ACTION__RESUME] =
			SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING,
		[SHARQ__ENGINE__ACTION__DRAIN] =
			SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED,
		[SHARQ__ENGINE__ACTION__KILL] =
			SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED,
	};
	struct queue *q = own_queue(e, call->object);

	if (code == -ECONNRESET) {
		code = -EAGAIN;
		text = "the queue's engine died meanwhile: try again";
	}
	if (!code && q && q->state <= SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED)
		queue_set_state(q, states[call->action]);
	answer_code(e->user->server, &call->answer, code,
		    text ? text : "the engine refuses");
}

void channel_queue_control(struct queue *q, Sharq__Engine__Action action,
			   const struct answer *answer)
{
	struct user *user = q->session->user;
	Sharq__Engine__Request req = SHARQ__ENGINE__REQUEST__INIT;
	Sharq__Engine__QueueControl m = SHARQ__ENGINE__QUEUE_CONTROL__INIT;
	struct call call = { .done = queue_controlled,
			     .object = q->id,
			     .action = action,
			     .answer = *answer };

	if (action == SHARQ__ENGINE__ACTION__DRAIN) {
		call.soft_ms = user->server->config.drain_ms + 1;
		queue_set_state(q, SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED);
	}
	m.queue = q->id;
	m.action = action;
	req.body_case = SHARQ__ENGINE__REQUEST__BODY_QUEUE_CONTROL;
	req.queue_control = &m;
	call_send(user->engine, &req, &call, NULL, 0);
}

/* ---- what engines say ---- */

static void on_reply(struct engine *e, const Sharq__Engine__Reply *reply)
{
	struct call *call;

	TAILQ_FOREACH(call, &e->calls, link)
	if (call->id == reply->id)
		break;
	/* A call that timed out softly may be answered later. */
	if (!call)
		return;
	/* -ECONNRESET is ours, for the engine's death. */
	call_end(e, call, reply->code == -ECONNRESET ? -EIO : reply->code,
		 reply->text);
	if (TAILQ_EMPTY(&e->calls))
		channel_arm(e);
}

static void on_queue_gone(struct engine *e, uint64_t id)
{
	struct queue *q = own_queue(e, id);

	/* One that is being removed ends with the answer to that. */
	if (q && !q->removing)
		queue_gone(q, -EPIPE, "the client's end was closed");
}

static void on_session_gone(struct engine *e, uint64_t id)
{
	struct session *s = own_session(e, id);

	if (!s || s->ending)
		return;
	if (s->conn)
		conn_doom(s->conn, NULL);
	session_gone(s);
}

static void on_queue_state(struct engine *e,
			   const Sharq__Engine__QueueStateNotice *m)
{
	struct queue *q = own_queue(e, m->queue);

	if (!q || m->state >= SHARQ__PB__QUEUE_STATE__QUEUE_RECOVERING ||
	    m->state == q->state)
		return;
	if (user_may_log(e->user))
		log_notice("queue %llu of uid %u: state is now %u",
			   (unsigned long long)q->id, e->user->uid, m->state);
	queue_set_state(q, m->state);
}

static void handle(struct engine *e, const Sharq__Engine__EngineMessage *msg)
{
	switch (msg->body_case) {
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_REPLY:
		on_reply(e, msg->reply);
		break;
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_HELLO:
		adopt_hello(e, msg->hello);
		break;
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_ADOPTED:
		adopt_one(e, msg->adopted);
		break;
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_QUEUE_GONE:
		on_queue_gone(e, msg->queue_gone->queue);
		break;
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_SESSION_GONE:
		on_session_gone(e, msg->session_gone->session);
		break;
	case SHARQ__ENGINE__ENGINE_MESSAGE__BODY_QUEUE_STATE:
		on_queue_state(e, msg->queue_state);
		break;
	default:
		/* A newer engine's notice that this daemon can't use. */
		break;
	}
}

/* Its control socket ended: it is dead, or as good as. */
static void hung_up(struct engine *e)
{
	if (e->state == ENGINE_STOPPING)
		event_del(e->read);
	else
		engine_kill(e, NULL);
}

/* What nobody took: nobody knows what they are. */
static void drop_fds(struct engine *e)
{
	struct sharq_frame *frame = &e->user->server->frame;

	for (unsigned int i = 0; i < frame->nfds; i++)
		closer_close(e->user->closer, frame->fds[i]);
	frame->nfds = 0;
}

void channel_readable(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	struct sharq_frame *frame = &e->user->server->frame;
	Sharq__Engine__EngineMessage *msg;

	(void)what;
	for (int i = 0; i < PACKETS_PER_TURN; i++) {
		const char *why = NULL;
		/* Once it serves, an engine has no descriptors to give. */
		unsigned int max_fds = e->fresh ? SHARQ_FRAME_MAX_FDS : 0;
		int ret = sharq_frame_take(fd, frame, max_fds, true, &why);

		if (ret == -EAGAIN || ret == -EINTR)
			return;
		if (ret == -EPIPE || ret == -ECONNRESET) {
			hung_up(e);
			return;
		}
		if (ret) {
			drop_fds(e);
			engine_kill(e, why ? why : strerror(-ret));
			return;
		}
		e->heard_ms = now_ms();
		msg = sharq__engine__engine_message__unpack(
			NULL, frame->body_len, frame->body);
		if (msg)
			handle(e, msg);
		else
			engine_kill(e, "it says what isn't in engine.proto");
		if (msg)
			sharq__engine__engine_message__free_unpacked(msg, NULL);
		drop_fds(e);
		if (e->state == ENGINE_DYING || e->state == ENGINE_DOWN)
			return;
	}
}

void channel_writable(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	int ret;

	(void)fd;
	(void)what;
	ret = outq_flush(&e->out);
	if (ret)
		engine_kill(e, strerror(-ret));
}
