// SPDX-License-Identifier: MIT
#include "module_queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"
#include "reason.h"

/* How long a client may take to bind the queue that it asked for. */
#define BIND_MS 10000
#define EVENTS_PER_TURN 256

static Sharq__Pb__QueueState state_of(uint32_t state)
{
	static const Sharq__Pb__QueueState states[] = {
		[SHARQ_QUEUE_UNBOUND] = SHARQ__PB__QUEUE_STATE__QUEUE_UNBOUND,
		[SHARQ_QUEUE_RUNNING] = SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING,
		[SHARQ_QUEUE_PAUSED] = SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED,
		[SHARQ_QUEUE_BROKEN] = SHARQ__PB__QUEUE_STATE__QUEUE_BROKEN,
		[SHARQ_QUEUE_QUARANTINED] =
			SHARQ__PB__QUEUE_STATE__QUEUE_QUARANTINED,
		[SHARQ_QUEUE_CLOSED] = SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED,
		[SHARQ_QUEUE_GONE] = SHARQ__PB__QUEUE_STATE__QUEUE_GONE,
	};

	return state < SHARQ_QUEUE_STATE_COUNT
		       ? states[state]
		       : SHARQ__PB__QUEUE_STATE__QUEUE_GONE;
}

static const char *state_reason(Sharq__Pb__QueueState state)
{
	switch (state) {
	case SHARQ__PB__QUEUE_STATE__QUEUE_BROKEN:
		return "its client's indices were out of step";
	case SHARQ__PB__QUEUE_STATE__QUEUE_QUARANTINED:
		return "its commands hang the device, or fault too often";
	case SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED:
		return "it was killed";
	case SHARQ__PB__QUEUE_STATE__QUEUE_GONE:
		return "its client or its device is gone";
	default:
		return NULL;
	}
}

static struct module *module_of(const struct queue *q)
{
	return q->session->user->server->module;
}

/* ---- the provider ---- */

static void hand_over(struct queue *q, const struct device *device,
		      Sharq__Pb__Path path, int fd, const struct answer *answer)
{
	struct user *user = q->session->user;
	Sharq__Pb__QueueCreated body = SHARQ__PB__QUEUE_CREATED__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	struct answer now = *answer;

	body.queue = q->id;
	body.device = device->id;
	body.path = path;
	body.depth = q->depth;
	body.sqe_shift = SHARQ_SQE_SHIFT;
	body.cqe_shift = SHARQ_CQE_SHIFT;
	body.ops = device->ops;
	body.max_transfer = device->max_transfer;
	body.reason = (char *)device->note;
	body.has_bind = body.bind = true;
	reply.body_case = SHARQ__PB__REPLY__BODY_QUEUE_CREATED;
	reply.queue_created = &body;
	answer_reply(user->server, &now, &reply, &fd, 1);
	event_emit(user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_CREATED, q->id,
		   q->session->id, NULL);
}

static int create(struct session *s, const struct device *device,
		  Sharq__Pb__Path path, uint32_t depth,
		  const struct answer *answer)
{
	struct server *server = s->user->server;
	const struct config *config = &server->config;
	struct sharq_ctl_create c = {
		.device = device->id - DEVICE_EMBEDDED,
		.depth = depth,
		.sqe_shift = SHARQ_SQE_SHIFT,
		.cqe_shift = SHARQ_CQE_SHIFT,
		.weight = config->weight,
		.uid = s->user->uid,
		.bind_ms = BIND_MS,
		.pin_bytes = config->pin_per_queue,
	};
	struct queue *q;
	int ret;

	ret = queue_new(
		s, &provider_module,
		spawn_fresh_id(server, &server->queues, &server->next_queue),
		depth, &q);
	if (ret)
		return ret;
	q->device = device->id;
	q->state = SHARQ__PB__QUEUE_STATE__QUEUE_UNBOUND;
	module_cookie_pack(&(struct module_cookie){ s->id, s->token, q->id,
						    q->born_ms, s->pid },
			   c.cookie);
	snprintf(c.label, sizeof(c.label), "%.*s", SHARQ_LABEL_LEN - 1,
		 s->program);
	ret = module_create(server->module->fd, &c);
	if (!ret) {
		ret = idmap_add(&server->module->queues, c.id, q);
		if (ret)
			close(c.fd);
	}
	if (ret) {
		queue_free(q);
		return ret;
	}
	q->module_id = c.id;
	hand_over(q, device, path, c.fd, answer);
	/* Only the client may hold it: its end must mean the queue's end. */
	close(c.fd);
	return 0;
}

static void destroy(struct queue *q, const struct answer *answer)
{
	module_wait_ended(module_of(q), q, answer);
}

static const char *refusal(int err)
{
	switch (-err) {
	case ESHUTDOWN:
		return "the queue is out of service for good: its owner can "
		       "only close it";
	case ENOTCONN:
		return "the queue's client hasn't bound it yet";
	case ENOENT:
		return "the queue has just ended";
	default:
		return "the module refuses";
	}
}

static void control(struct queue *q, Sharq__Pb__QueueAction action,
		    const struct answer *answer)
{
	static const enum sharq_ctl_action actions[] = {
		[SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE] = SHARQ_CTL_PAUSE,
		[SHARQ__PB__QUEUE_ACTION__ACTION_RESUME] = SHARQ_CTL_RESUME,
		[SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN] = SHARQ_CTL_PAUSE,
		[SHARQ__PB__QUEUE_ACTION__ACTION_KILL] = SHARQ_CTL_KILL,
	};
	struct module *m = module_of(q);
	struct answer now = *answer;
	int ret = module_control(m->fd, q->module_id, actions[action]);

	if (!ret && action == SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN)
		module_wait_drained(m, q, answer);
	else
		answer_code(m->server, &now, ret, refusal(ret));
}

static Sharq__Pb__QueueState state(const struct queue *q)
{
	return q->state;
}

static void describe(const struct queue *q, Sharq__Pb__Queue *to)
{
	const struct module *m = module_of(q);
	struct sharq_ctl_queue k;

	to->state = SHARQ__PB__QUEUE_STATE__QUEUE_GONE;
	if (!module_queue(m->fd, q->module_id, &k) && k.id == q->module_id) {
		to->state = state_of(k.state);
		to->path = (Sharq__Pb__Path)k.path;
		if (k.path && k.reason)
			to->reason = (char *)sharq_reason_text(k.reason);
		to->has_reason_errno = k.path && k.reason_errno;
		to->reason_errno = k.reason_errno;
	}
	if (state_reason(to->state)) {
		to->reason = (char *)state_reason(to->state);
		to->has_reason_errno = false;
	}
}

static int figures(const struct queue *q, struct figures *f)
{
	int ret = module_stats(module_of(q)->fd, q->module_id, &f->module);

	if (ret)
		return ret;
	module_sum(&f->stats, f->module.commands, f->module.bytes,
		   f->module.by_status);
	f->in_flight = f->module.in_flight;
	f->has_module = true;
	return 0;
}

const struct provider provider_module = {
	.create = create,
	.destroy = destroy,
	.control = control,
	.state = state,
	.describe = describe,
	.figures = figures,
};

/* ---- what the module says ---- */

static void queue_ended(struct module *m, struct queue *q,
			const struct sharq_ctl_event *e)
{
	struct figures last = { .has_module = true };
	struct session *s = q->session;
	uint64_t id = q->id;

	module_sum(&last.stats, e->commands, e->bytes, e->by_status);
	last.module.kicks = e->kicks;
	last.module.short_kicks = e->short_kicks;
	last.module.copied = e->copied;
	last.module.staged = e->staged;
	queue_account(q, &last);
	idmap_remove(&m->queues, q->module_id);
	event_emit(s->user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_GONE, id, s->id,
		   NULL);
	queue_free(q);
	session_put(s);
	module_wait_over(m, id);
}

static void handle(struct module *m, const struct sharq_ctl_event *e)
{
	struct queue *q = idmap_find(&m->queues, e->id);

	if (!q)
		return;
	if (e->ended) {
		queue_ended(m, q, e);
		return;
	}
	if (e->state == SHARQ_QUEUE_BROKEN ||
	    e->state == SHARQ_QUEUE_QUARANTINED)
		log_notice("queue %llu of uid %u: %s",
			   (unsigned long long)q->id, q->session->user->uid,
			   state_reason(state_of(e->state)));
	queue_set_state(q, state_of(e->state));
}

void module_catch_up(struct module *m)
{
	struct sharq_ctl_event e;

	for (int i = 0; i < EVENTS_PER_TURN; i++) {
		int ret = module_event(m->fd, &e);

		if (ret == -EAGAIN)
			return;
		if (ret) {
			log_err("the module gives no events any more: %s",
				strerror(-ret));
			event_del(m->events);
			return;
		}
		handle(m, &e);
	}
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	module_catch_up(arg);
}

/* ---- the queues of an earlier sharqd ---- */

static int adopt_session(struct user *user, const struct sharq_ctl_queue *k,
			 const struct module_cookie *c, struct session **out)
{
	struct server *server = user->server;
	struct session *s = idmap_find(&server->sessions, c->session);
	int ret;

	if (s) {
		*out = s;
		return s->user == user && s->token == c->token ? 0 : -EEXIST;
	}
	ret = session_new(user, &s, c->session);
	if (ret)
		return ret;
	s->token = c->token;
	s->pid = c->pid;
	s->born_ms = c->born_ms;
	snprintf(s->program, sizeof(s->program), "%.*s", SHARQ_LABEL_LEN - 1,
		 k->label);
	if (s->id >= server->next_session)
		server->next_session = s->id + 1;
	*out = s;
	return 0;
}

static int adopt_queue(struct module *m, const struct sharq_ctl_queue *k)
{
	struct server *server = m->server;
	struct module_cookie c;
	struct session *s = NULL;
	struct queue *q = NULL;
	struct user *user;
	int ret;

	if (!module_cookie_unpack(&c, k->cookie))
		return -EEXIST;
	ret = user_get(server, k->uid, &user);
	if (!ret)
		ret = adopt_session(user, k, &c, &s);
	if (!ret)
		ret = queue_new(s, &provider_module, c.queue, k->depth, &q);
	if (!ret)
		ret = idmap_add(&m->queues, k->id, q);
	if (ret) {
		if (q)
			queue_free(q);
		if (s)
			session_put(s);
		return ret;
	}
	q->module_id = k->id;
	q->device = DEVICE_EMBEDDED + k->device;
	q->state = state_of(k->state);
	q->born_ms = c.born_ms;
	if (q->id >= server->next_queue)
		server->next_queue = q->id + 1;
	return 0;
}

static int adopt(struct module *m)
{
	struct sharq_ctl_queue k = { .id = 0 };
	unsigned int ours = 0, others = 0;
	int ret;

	while (!(ret = module_queue(m->fd, k.id + 1, &k))) {
		ret = adopt_queue(m, &k);
		if (ret && ret != -EEXIST)
			return ret;
		ours += !ret;
		others += ret == -EEXIST;
	}
	if (ours)
		log_info("took over %u queues from the module", ours);
	if (others)
		log_warning("left alone %u queues of the module that no sharqd "
			    "made",
			    others);
	return ret == -ENOENT ? 0 : ret;
}

/* ---- beginning and end ---- */

static int module_new(struct server *server, int fd, uint32_t max_depth)
{
	struct module *m = calloc(1, sizeof(*m));

	if (!m) {
		close(fd);
		return -ENOMEM;
	}
	m->server = server;
	m->fd = fd;
	m->max_depth = max_depth;
	TAILQ_INIT(&m->waits);
	server->module = m;
	m->events =
		event_new(server->base, fd, EV_READ | EV_PERSIST, on_event, m);
	m->tick = evtimer_new(server->base, module_tick, m);
	if (!m->events || !m->tick || event_add(m->events, NULL))
		return -ENOMEM;
	return adopt(m);
}

int module_start(struct server *server)
{
	enum config_engine engine = server->config.engine;
	struct sharq_ctl_info info;
	int fd, ret;

	if (engine == CONFIG_ENGINE_EMBEDDED) {
		snprintf(server->note, sizeof(server->note),
			 "the embedded engine serves: sharqd was told to use "
			 "it (--engine embedded)");
		return 0;
	}
	ret = module_open(&fd, &info);
	if (ret && engine == CONFIG_ENGINE_MODULE) {
		log_err("--engine module: %s", module_why(ret));
		return ret;
	}
	if (ret) {
		snprintf(server->note, sizeof(server->note),
			 "%s; the embedded engine serves", module_why(ret));
		return 0;
	}
	snprintf(server->note, sizeof(server->note),
		 "the module sharq.ko %s serves%s", info.version,
		 engine == CONFIG_ENGINE_AUTO
			 ? ", and the embedded engine beside it"
			 : "");
	ret = module_new(server, fd, info.max_depth);
	if (ret)
		log_err("can't take over the module: %s", strerror(-ret));
	return ret;
}

struct module *module_free(struct module *m)
{
	if (!m)
		return NULL;
	module_waits_free(m);
	if (m->events)
		event_free(m->events);
	if (m->tick)
		event_free(m->tick);
	close(m->fd);
	idmap_fini(&m->queues);
	free(m);
	return NULL;
}
