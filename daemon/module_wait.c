// SPDX-License-Identifier: MIT
/* Draining and ending the module's queues: looked at until done, or too late. */
#include <errno.h>
#include <stdlib.h>

#include "module_queue.h"

#define TICK_MS 10

/*
 * @ended: for its end, else for its being drained
 * @by_ms: not longer
 */
struct module_wait {
	TAILQ_ENTRY(module_wait) link;
	uint64_t queue;
	struct answer answer;
	uint64_t by_ms;
	bool ended;
};

static void arm(struct module *m)
{
	static const struct timeval tv = { .tv_usec = TICK_MS * 1000 };

	if (!TAILQ_EMPTY(&m->waits) || (m->stopping && !m->stopped))
		event_add(m->tick, &tv);
}

static void wait_end(struct module *m, struct module_wait *w, int code,
		     const char *text)
{
	TAILQ_REMOVE(&m->waits, w, link);
	answer_code(m->server, &w->answer, code, text);
	free(w);
}

static bool drained(const struct module *m, const struct queue *q)
{
	struct sharq_ctl_stats stats;

	return !module_stats(m->fd, q->module_id, &stats) && !stats.in_flight;
}

static void wait_add(struct module *m, struct queue *q, bool ended,
		     unsigned int ms, const struct answer *answer)
{
	struct module_wait *w = calloc(1, sizeof(*w));
	struct answer now = *answer;

	if (!w) {
		answer_code(m->server, &now, -ENOMEM,
			    "sharqd is out of memory");
		return;
	}
	w->queue = q->id;
	w->answer = now;
	w->by_ms = now_ms() + ms;
	w->ended = ended;
	q->removing = ended;
	TAILQ_INSERT_TAIL(&m->waits, w, link);
	arm(m);
}

void module_wait_drained(struct module *m, struct queue *q,
			 const struct answer *answer)
{
	struct answer now = *answer;

	if (drained(m, q))
		answer_code(m->server, &now, 0, NULL);
	else
		wait_add(m, q, false, m->server->config.drain_ms, answer);
}

void module_wait_ended(struct module *m, struct queue *q,
		       const struct answer *answer)
{
	wait_add(m, q, true, MODULE_DESTROY_MS, answer);
}

void module_wait_over(struct module *m, uint64_t queue)
{
	struct module_wait *w, *next;

	for (w = TAILQ_FIRST(&m->waits); w; w = next) {
		next = TAILQ_NEXT(w, link);
		if (w->queue == queue)
			wait_end(m, w, 0, NULL);
	}
}

/* Too late. */
static void expire(struct module *m, struct module_wait *w, struct queue *q)
{
	if (!w->ended) {
		wait_end(m, w, -ETIMEDOUT,
			 "commands are still in flight; the queue stays "
			 "paused");
		return;
	}
	module_control(m->fd, q->module_id, SHARQ_CTL_KILL);
	/* It is still there and still counts: let it be seen again. */
	q->removing = false;
	wait_end(m, w, -EBUSY,
		 "the queue was killed, but somebody has its file open: it "
		 "counts until that is closed");
}

static void check_waits(struct module *m)
{
	struct module_wait *w, *next;
	uint64_t now = now_ms();

	for (w = TAILQ_FIRST(&m->waits); w; w = next) {
		struct queue *q = idmap_find(&m->server->queues, w->queue);

		next = TAILQ_NEXT(w, link);
		if (!w->ended && drained(m, q))
			wait_end(m, w, 0, NULL);
		else if (now >= w->by_ms)
			expire(m, w, q);
	}
}

/* ---- the service stops ---- */

static void control_all(struct module *m, enum sharq_ctl_action action)
{
	for (size_t i = 0; i < m->queues.count; i++) {
		const struct queue *q = m->queues.entries[i].object;

		/* One that is dead or gone needs none. */
		module_control(m->fd, q->module_id, action);
	}
}

static bool all_drained(const struct module *m)
{
	for (size_t i = 0; i < m->queues.count; i++)
		if (!drained(m, m->queues.entries[i].object))
			return false;
	return true;
}

static void check_stop(struct module *m)
{
	if (!m->stopping || m->stopped ||
	    (now_ms() < m->stop_by_ms && !all_drained(m)))
		return;
	control_all(m, SHARQ_CTL_KILL);
	m->stopped = true;
	server_check_stopped(m->server);
}

void module_stop(struct module *m, unsigned int ms)
{
	m->stopping = true;
	m->stop_by_ms = now_ms() + ms;
	control_all(m, SHARQ_CTL_PAUSE);
	check_stop(m);
	arm(m);
}

void module_tick(evutil_socket_t fd, short what, void *arg)
{
	struct module *m = arg;

	(void)fd;
	(void)what;
	module_catch_up(m);
	check_waits(m);
	check_stop(m);
	arm(m);
}

void module_waits_free(struct module *m)
{
	while (!TAILQ_EMPTY(&m->waits))
		wait_end(m, TAILQ_FIRST(&m->waits), -ESHUTDOWN,
			 "sharqd is stopping");
}
