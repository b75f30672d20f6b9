// SPDX-License-Identifier: MIT
/* Sessions and their regions. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "engine.h"

int session_new(struct user *user, struct session **out, uint64_t id)
{
	struct session *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	if (getrandom(&s->token, sizeof(s->token), 0) !=
	    (ssize_t)sizeof(s->token)) {
		free(s);
		return -EIO;
	}
	ret = idmap_add(&user->server->sessions, id, s);
	if (ret) {
		free(s);
		return ret;
	}
	s->user = user;
	s->id = id;
	s->pidfd = -1;
	s->born_ms = now_ms();
	LIST_INIT(&s->regions);
	LIST_INIT(&s->queues);
	LIST_INSERT_HEAD(&user->sessions, s, link);
	user->session_count++;
	*out = s;
	return 0;
}

struct session *session_free(struct session *s)
{
	struct user *user = s->user;

	while (!LIST_EMPTY(&s->queues))
		queue_free(LIST_FIRST(&s->queues));
	while (!LIST_EMPTY(&s->regions))
		region_free(LIST_FIRST(&s->regions));
	if (s->conn)
		s->conn->session = NULL;
	if (s->pidfd >= 0)
		close(s->pidfd);
	user->ending -= s->ending;
	user->session_count--;
	LIST_REMOVE(s, link);
	idmap_remove(&user->server->sessions, s->id);
	free(s);
	server_reap_later(user->server);
	return NULL;
}

void session_put(struct session *s)
{
	if (!s->conn && !s->attached && LIST_EMPTY(&s->queues))
		session_free(s);
}

static void free_embedded(struct session *s)
{
	struct queue *q, *next;

	for (q = LIST_FIRST(&s->queues); q; q = next) {
		next = LIST_NEXT(q, link);
		if (q->provider != &provider_embedded)
			continue;
		event_emit(s->user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_GONE,
			   q->id, s->id, NULL);
		queue_free(q);
	}
	while (!LIST_EMPTY(&s->regions))
		region_free(LIST_FIRST(&s->regions));
}

static void set_ending(struct session *s)
{
	s->user->ending += !s->ending;
	s->ending = true;
	if (s->conn)
		s->conn->session = NULL;
	s->conn = NULL;
}

void session_gone(struct session *s)
{
	struct user *user = s->user;

	free_embedded(s);
	event_emit(user, SHARQ__PB__EVENT_KIND__EVENT_CLIENT_GONE, 0, s->id,
		   NULL);
	set_ending(s);
	s->attached = false;
	session_put(s);
	engine_check_idle(user);
	server_reap_later(user->server);
}

void session_end(struct session *s)
{
	if (s->ending)
		return;
	set_ending(s);
	if (!channel_session_remove(s))
		session_gone(s);
}

int region_new(struct session *session, struct region **out, uint64_t id,
	       uint64_t base, uint64_t size, int fd)
{
	struct region *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->session = session;
	r->id = id;
	r->base = base;
	r->size = size;
	r->fd = fd;
	LIST_INSERT_HEAD(&session->regions, r, link);
	session->region_count++;
	session->user->arena += size;
	*out = r;
	return 0;
}

void region_uncount(struct region *r)
{
	if (r->uncounted)
		return;
	r->uncounted = true;
	r->session->region_count--;
	r->session->user->arena -= r->size;
}

struct region *region_free(struct region *r)
{
	close(r->fd);
	LIST_REMOVE(r, link);
	region_uncount(r);
	free(r);
	return NULL;
}

struct region *region_find(struct session *session, uint64_t id)
{
	struct region *r;

	LIST_FOREACH(r, &session->regions, link)
	if (r->id == id)
		return r;
	return NULL;
}
