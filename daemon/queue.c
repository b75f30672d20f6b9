// SPDX-License-Identifier: MIT
/* Queues of every provider: where they are listed and what they have done. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine.h"

int queue_new(struct session *session, const struct provider *provider,
	      uint64_t id, uint32_t depth, struct queue **out)
{
	struct queue *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return -ENOMEM;
	ret = idmap_add(&session->user->server->queues, id, q);
	if (ret) {
		free(q);
		return ret;
	}
	q->session = session;
	q->provider = provider;
	q->id = id;
	q->device = DEVICE_EMBEDDED;
	q->depth = depth;
	q->rings = q->journal = q->engine_end = q->client_end = -1;
	q->state = SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING;
	q->born_ms = now_ms();
	LIST_INSERT_HEAD(&session->queues, q, link);
	session->user->queues++;
	*out = q;
	return 0;
}

static void stats_add(struct sharq_journal_stats *sum,
		      const struct sharq_journal_stats *more)
{
	sum->commands += more->commands;
	sum->bytes += more->bytes;
	sum->faults += more->faults;
	sum->refused += more->refused;
	sum->failed += more->failed;
	sum->resets += more->resets;
	sum->knocks += more->knocks;
	sum->events += more->events;
}

void figures_add(struct figures *sum, const struct figures *more)
{
	stats_add(&sum->stats, &more->stats);
	sum->in_flight += more->in_flight;
	if (!more->has_module)
		return;
	sum->has_module = true;
	sum->module.kicks += more->module.kicks;
	sum->module.short_kicks += more->module.short_kicks;
	sum->module.pinned += more->module.pinned;
	sum->module.copied += more->module.copied;
	sum->module.staged += more->module.staged;
}

void queue_account(const struct queue *q, const struct figures *last)
{
	struct user *user = q->session->user;

	figures_add(&user->ended.sum, last);
	figures_add(&user->server->ended.sum, last);
	user->ended.queues++;
	user->server->ended.queues++;
}

/* What an embedded queue did stands in its journal. */
static void account_journal(const struct queue *q)
{
	struct figures f;

	if (q->journal < 0 || q->provider->figures(q, &f))
		return;
	/* Its engine is gone, or has let go of it. */
	f.in_flight = 0;
	queue_account(q, &f);
}

/* Whoever has the other end may have sent us anything. */
static void close_end(struct user *user, int sock)
{
	if (sock < 0)
		return;
	if (user->server->leaving)
		closer_close(user->closer, sock);
	else
		closer_close_socket(user->closer, sock);
}

struct queue *queue_free(struct queue *q)
{
	struct user *user = q->session->user;

	account_journal(q);
	if (q->rings >= 0)
		close(q->rings);
	if (q->journal >= 0)
		close(q->journal);
	close_end(user, q->engine_end);
	close_end(user, q->client_end);
	LIST_REMOVE(q, link);
	user->queues--;
	idmap_remove(&user->server->queues, q->id);
	free(q);
	return NULL;
}

void queue_set_state(struct queue *q, Sharq__Pb__QueueState state)
{
	if (q->state == state)
		return;
	q->state = state;
	event_queue_state(q);
}
