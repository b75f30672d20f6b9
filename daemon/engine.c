// SPDX-License-Identifier: MIT
/* Life and death of engine processes. */
#include "engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define STOP_GRACE_MS 1000

uid_t engine_uid(const struct user *user)
{
	return user->uid ? user->uid : user->server->root_engine_uid;
}

gid_t engine_gid(const struct user *user)
{
	return user->uid ? user->gid : user->server->root_engine_gid;
}

bool engine_running(const struct user *user)
{
	return user->engine && user->engine->state == ENGINE_RUNNING;
}

bool engine_holds(const struct user *user)
{
	return user->engine && (user->engine->state == ENGINE_RUNNING ||
				user->engine->state == ENGINE_STOPPING ||
				user->engine->state == ENGINE_DYING);
}

static bool wanted(const struct user *user)
{
	const struct session *s;

	LIST_FOREACH(s, &user->sessions, link)
	if (s->attached)
		return true;
	return false;
}

static void add_timer(struct event *ev, unsigned int ms)
{
	const struct timeval tv = { .tv_sec = ms / 1000,
				    .tv_usec = ms % 1000 * 1000 };

	event_add(ev, &tv);
}

/* Let go of process and socket, whether it is dead or lives on without us. */
static void disconnect(struct engine *e)
{
	if (e->read)
		event_free(e->read);
	if (e->exited)
		event_free(e->exited);
	e->read = e->exited = NULL;
	outq_fini(&e->out);
	event_del(e->timer);
	if (e->sock >= 0)
		closer_close_socket(e->user->closer, e->sock);
	if (e->pidfd >= 0)
		close(e->pidfd);
	e->sock = e->pidfd = -1;
	e->pid = 0;
	e->stop_by_ms = 0;
	e->state = ENGINE_DOWN;
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	siginfo_t si = { 0 };
	char how[64] = "it ended";

	(void)what;
	/* An adopted engine is no child of ours: nothing to learn there. */
	if (!waitid(P_PIDFD, fd, &si, WEXITED | WNOHANG) && si.si_pid)
		snprintf(how, sizeof(how), "%s %d",
			 si.si_code == CLD_EXITED ? "exit status" : "signal",
			 si.si_status);
	engine_ended(e, how);
}

int engine_watch(struct engine *e, int sock)
{
	struct event_base *base = e->user->server->base;

	e->sock = sock;
	e->heard_ms = now_ms();
	e->read = event_new(base, sock, EV_READ | EV_PERSIST, channel_readable,
			    e);
	if (!e->read || event_add(e->read, NULL) ||
	    outq_init(&e->out, base, sock, e->user->closer, channel_writable,
		      e))
		return -ENOMEM;
	return 0;
}

int engine_watch_pid(struct engine *e, int pidfd)
{
	e->pidfd = pidfd;
	e->exited = event_new(e->user->server->base, pidfd,
			      EV_READ | EV_PERSIST, on_exited, e);
	return e->exited && !event_add(e->exited, NULL) ? 0 : -ENOMEM;
}

/* Those who wait for something from an engine that can't be started. */
static void fail_pending(struct user *user, const char *how)
{
	struct session *s;
	char text[160];

	snprintf(text, sizeof(text),
		 "the engine of uid %u can't be started: %s; sharqd's log may "
		 "say why",
		 user->uid, how);
	LIST_FOREACH(s, &user->sessions, link)
	{
		struct region *r, *next_region;
		struct queue *q, *next_queue;
		bool left = false;

		for (q = LIST_FIRST(&s->queues); q; q = next_queue) {
			next_queue = LIST_NEXT(q, link);
			if (!q->created.conn) {
				left |= q->provider == &provider_embedded;
				continue;
			}
			answer_code(user->server, &q->created, -EIO, text);
			queue_free(q);
		}
		for (r = LIST_FIRST(&s->regions); r; r = next_region) {
			next_region = LIST_NEXT(r, link);
			if (!r->created.conn)
				continue;
			answer_code(user->server, &r->created, -EIO, text);
			region_free(r);
		}
		if (!left && LIST_EMPTY(&s->regions))
			s->attached = false;
	}
}

static int launch(struct engine *e)
{
	int sock, pidfd, ret;

	ret = spawn_engine(e, &sock, &pidfd);
	if (ret) {
		log_err("can't start an engine for uid %u: %s", e->user->uid,
			strerror(-ret));
		return ret;
	}
	e->told_to_stop = false;
	e->fresh = true;
	e->state = ENGINE_STARTING;
	e->max_transfer = e->user->server->config.max_transfer;
	ret = engine_watch_pid(e, pidfd);
	if (!ret)
		ret = engine_watch(e, sock);
	else
		close(sock);
	if (ret) {
		pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
		waitid(P_PIDFD, pidfd, NULL, WEXITED);
		disconnect(e);
		return ret;
	}
	channel_start(e);
	return 0;
}

/* Due: a restart after a death, or the end of an engine that nobody uses. */
static void on_later(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	int ret;

	(void)fd;
	(void)what;
	if (e->state == ENGINE_RUNNING && !wanted(e->user)) {
		engine_stop(e, 0);
		return;
	}
	if (e->state != ENGINE_DOWN || !wanted(e->user))
		return;
	ret = launch(e);
	if (ret) {
		fail_pending(e->user, strerror(-ret));
		add_timer(e->later, ENGINE_BACKOFF_MS);
	}
}

/* Whether the next start has to wait. */
static bool dies_often(struct engine *e)
{
	uint64_t now = now_ms();
	uint64_t *slot = &e->deaths[e->death_count % ENGINE_DEATHS];
	bool often = e->death_count >= ENGINE_DEATHS &&
		     now - *slot < ENGINE_DEATHS_WINDOW_MS;

	*slot = now;
	e->death_count++;
	return often;
}

bool engine_forgettable(const struct engine *e)
{
	const uint64_t last =
		e->death_count ? e->deaths[(e->death_count - 1) % ENGINE_DEATHS]
			       : 0;

	return e->state == ENGINE_DOWN &&
	       (!last || now_ms() - last >= ENGINE_DEATHS_WINDOW_MS);
}

static void count_death(struct engine *e, const char *how)
{
	struct user *user = e->user;

	log_warning("the engine of uid %u, pid %d died: %s", user->uid, e->pid,
		    how);
	user->engine_deaths++;
	user->server->engine_deaths++;
	event_emit(user, SHARQ__PB__EVENT_KIND__EVENT_ENGINE_DIED, 0, 0, how);
}

void engine_ended(struct engine *e, const char *how)
{
	struct user *user = e->user;
	struct server *server = user->server;
	bool adopting = e->state == ENGINE_ADOPTING;
	bool death = !e->told_to_stop && !server->stopping;
	bool often = death && dies_often(e);

	if (death)
		count_death(e, how);
	disconnect(e);
	spawn_unlink(server, user->uid);
	if (death && e->fresh)
		fail_pending(user, how);
	channel_fail_calls(e, -ECONNRESET, "the engine died");
	if (adopting)
		adopt_finished(e);
	/* Often: also for those who want one only later. */
	if (!server->stopping && (often || wanted(user)))
		add_timer(e->later, often ? ENGINE_BACKOFF_MS : 0);
	server_reap_later(server);
}

void engine_kill(struct engine *e, const char *why)
{
	if (e->state == ENGINE_DOWN || e->state == ENGINE_DYING)
		return;
	if (why)
		log_warning("killing the engine of uid %u, pid %d: %s",
			    e->user->uid, e->pid, why);
	if (e->pidfd < 0) {
		engine_ended(e, why ? why : "it hung up");
		return;
	}
	if (e->state == ENGINE_ADOPTING)
		adopt_finished(e);
	e->state = ENGINE_DYING;
	event_del(e->read);
	event_del(e->out.write);
	event_del(e->timer);
	if (pidfd_send_signal(e->pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
		log_err("can't kill the engine of uid %u: %s", e->user->uid,
			strerror(errno));
}

void engine_stop(struct engine *e, unsigned int drain_ms)
{
	event_del(e->later);
	if (e->state == ENGINE_DOWN)
		return;
	e->told_to_stop = true;
	if (e->state != ENGINE_RUNNING) {
		engine_kill(e, NULL);
		return;
	}
	e->state = ENGINE_STOPPING;
	e->stop_by_ms = now_ms() + drain_ms + STOP_GRACE_MS;
	channel_shutdown(e, drain_ms);
	channel_arm(e);
}

void engine_check_idle(struct user *user)
{
	if (engine_running(user) && !wanted(user))
		add_timer(user->engine->later, ENGINE_IDLE_MS);
}

void engine_up(struct engine *e, bool replay)
{
	struct session *s;

	e->state = ENGINE_RUNNING;
	e->fresh = false;
	e->stop_by_ms = 0;
	log_info("the engine of uid %u is pid %d%s", e->user->uid, e->pid,
		 replay ? "" : ", adopted");
	event_emit(e->user, SHARQ__PB__EVENT_KIND__EVENT_ENGINE_STARTED, 0, 0,
		   NULL);
	LIST_FOREACH(s, &e->user->sessions, link)
	{
		struct region *r;
		struct queue *q;

		if (!replay || !s->attached || s->ending)
			continue;
		channel_session_add(s);
		LIST_FOREACH(r, &s->regions, link)
		channel_region_add(r);
		LIST_FOREACH(q, &s->queues, link)
		if (q->provider == &provider_embedded)
			channel_queue_add(q);
	}
	engine_check_idle(e->user);
}

int engine_new(struct user *user)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->user = user;
	e->sock = e->pidfd = -1;
	e->next_call = 1;
	TAILQ_INIT(&e->calls);
	e->timer = evtimer_new(user->server->base, channel_timer, e);
	e->later = evtimer_new(user->server->base, on_later, e);
	if (!e->timer || !e->later) {
		if (e->timer)
			event_free(e->timer);
		free(e);
		return -ENOMEM;
	}
	user->engine = e;
	return 0;
}

struct engine *engine_free(struct engine *e)
{
	if (!e)
		return NULL;
	disconnect(e);
	channel_fail_calls(e, -ECONNRESET, "sharqd lets go of the engine");
	event_free(e->timer);
	event_free(e->later);
	free(e);
	return NULL;
}

int engine_need(struct user *user)
{
	struct engine *e;
	int ret;

	if (!user->engine) {
		ret = engine_new(user);
		if (ret)
			return ret;
	}
	e = user->engine;
	if (e->state == ENGINE_RUNNING)
		event_del(e->later);
	/* After a death the timer starts it. */
	if (e->state != ENGINE_DOWN || evtimer_pending(e->later, NULL))
		return 0;
	return launch(e);
}
