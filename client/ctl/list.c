// SPDX-License-Identifier: MIT
/* The commands that show queues, clients, stats. */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "reason.h"
#include "sharq.h"
#include "sharq_ioctl.h"
#include "view.h"

static void put_user(struct table *t, unsigned int column, uint32_t uid)
{
	struct passwd *pw = getpwuid(uid);
	char buf[16];

	snprintf(buf, sizeof(buf), "%u", uid);
	table_text(t, column, pw ? pw->pw_name : buf);
}

static const struct column queue_columns[] = {
	{ "id", "ID", COLUMN_NUMBER, 0 },
	{ "user", "USER", COLUMN_TEXT, WRAP_CUT },
	{ "pid", "PID", COLUMN_NUMBER, 0 },
	{ "program", "PROGRAM", COLUMN_TEXT, WRAP_CUT },
	{ "path", "PATH", COLUMN_TEXT, 0 },
	{ "depth", "DEPTH", COLUMN_NUMBER, 0 },
	{ "state", "STATE", COLUMN_TEXT, 0 },
	{ "in_flight", "BUSY", COLUMN_NUMBER, 0 },
	{ "commands", "COMMANDS", COLUMN_NUMBER, 0 },
	{ "bytes", "BYTES", COLUMN_BYTES, 0 },
	{ "age_ms", "AGE", COLUMN_AGE, 0 },
	{ "reason", NULL, COLUMN_TEXT, 0 },
};

/* For people, below the list: why a queue has no better path, or its state. */
static const struct column reason_columns[] = {
	{ "id", "ID", COLUMN_NUMBER, 0 },
	{ "path", "PATH", COLUMN_TEXT, 0 },
	{ "reason", "REASON", COLUMN_TEXT, 60 },
};

static void put_reason(struct table *t, unsigned int column,
		       const Sharq__Pb__Queue *q)
{
	char text[200];

	sharq_reason_say(q->reason ? q->reason : "",
			 q->has_reason_errno ? q->reason_errno : 0, text,
			 sizeof(text));
	table_text(t, column, text);
}

static void reason_row(struct table *t, const Sharq__Pb__Queue *q)
{
	table_row(t);
	table_value(t, 0, q->id);
	table_text(t, 1, sharq_path_name(q->path));
	put_reason(t, 2, q);
}

/* Who asked for a path knows why the queue has it. */
static bool tells(const char *reason)
{
	return reason &&
	       strcmp(reason, sharq_reason_text(SHARQ_REASON_REQUESTED)) != 0;
}

static const Sharq__Pb__QueueStats no_stats = SHARQ__PB__QUEUE_STATS__INIT;

static void queue_row(struct table *t, const Sharq__Pb__Queue *q)
{
	const Sharq__Pb__QueueStats *s = q->stats ? q->stats : &no_stats;

	table_row(t);
	table_value(t, 0, q->id);
	put_user(t, 1, q->uid);
	table_value(t, 2, q->pid);
	table_text(t, 3, q->program ? q->program : "");
	table_text(t, 4, sharq_path_name(q->path));
	table_value(t, 5, q->depth);
	table_text(t, 6, daemon_state_name(q->state));
	table_value(t, 7, s->in_flight);
	table_value(t, 8, s->commands);
	table_value(t, 9, s->bytes);
	table_value(t, 10, q->age_ms);
	put_reason(t, 11, q);
	if (table_below(t) && tells(q->reason))
		reason_row(table_below(t), q);
}

/*
 * struct listing - what the daemon lists page by page
 * @below: the columns of the table below, if there is one
 * @page: ask for what follows @after and put it into the table; sets @after to
 *        the last one's id and @more if there are more
 */
struct listing {
	const char *name;
	const struct column *columns;
	unsigned int n;
	const struct column *below;
	unsigned int n_below;
	int (*page)(struct table *t, struct daemon *d, uint64_t *after,
		    bool *more, struct failure *f);
};

static int show_listing(const struct listing *l, bool json, struct daemon *d,
			struct failure *f)
{
	uint64_t after = 0, before;
	struct table *t;
	bool more = true;
	int err;

	err = view_begin(&t, l->name, l->columns, l->n, json, false, f);
	if (err)
		return err;
	if (l->below)
		table_add_below(t, l->below, l->n_below);
	while (more) {
		before = after;
		err = l->page(t, d, &after, &more, f);
		if (err) {
			table_free(t);
			return err;
		}
		/* Only forwards: a daemon that repeats itself ends the list. */
		more = more && after > before;
	}
	return view_finish(t, f);
}

static int queues_page(struct table *t, struct daemon *d, uint64_t *after,
		       bool *more, struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__QueuesGet get = SHARQ__PB__QUEUES_GET__INIT;
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__Queues *list;
	int err;

	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUES;
	req.queues = &get;
	get.has_after = 1;
	get.after = *after;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, &m, f);
	if (err)
		return err;
	if (m->reply->body_case != SHARQ__PB__REPLY__BODY_QUEUES)
		return view_odd_reply(m, f);
	list = m->reply->queues;
	for (size_t i = 0; i < list->n_queue; i++) {
		queue_row(t, list->queue[i]);
		*after = list->queue[i]->id;
	}
	*more = list->more;
	daemon_free(m);
	return 0;
}

static int show_queues(const struct view *v, struct daemon *d,
		       struct failure *f)
{
	static const struct listing queues = {
		.name = "queues",
		.columns = queue_columns,
		.n = N(queue_columns),
		.below = reason_columns,
		.n_below = N(reason_columns),
		.page = queues_page,
	};

	return show_listing(&queues, v->json, d, f);
}

static const struct column client_columns[] = {
	{ "session", "SESSION", COLUMN_NUMBER, 0 },
	{ "user", "USER", COLUMN_TEXT, WRAP_CUT },
	{ "pid", "PID", COLUMN_NUMBER, 0 },
	{ "program", "PROGRAM", COLUMN_TEXT, WRAP_CUT },
	{ "queues", "QUEUES", COLUMN_NUMBER, 0 },
	{ "arena_bytes", "ARENA", COLUMN_BYTES, 0 },
	{ "connected", "CONNECTED", COLUMN_FLAG, 0 },
	{ "age_ms", "AGE", COLUMN_AGE, 0 },
};

static void client_row(struct table *t, const Sharq__Pb__Client *c)
{
	table_row(t);
	table_value(t, 0, c->session);
	put_user(t, 1, c->uid);
	table_value(t, 2, c->pid);
	table_text(t, 3, c->program ? c->program : "");
	table_value(t, 4, c->queues);
	table_value(t, 5, c->arena_bytes);
	table_value(t, 6, c->connected);
	table_value(t, 7, c->age_ms);
}

static int clients_page(struct table *t, struct daemon *d, uint64_t *after,
			bool *more, struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ClientsGet get = SHARQ__PB__CLIENTS_GET__INIT;
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__Clients *list;
	int err;

	req.body_case = SHARQ__PB__REQUEST__BODY_CLIENTS;
	req.clients = &get;
	get.has_after = 1;
	get.after = *after;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, &m, f);
	if (err)
		return err;
	if (m->reply->body_case != SHARQ__PB__REPLY__BODY_CLIENTS)
		return view_odd_reply(m, f);
	list = m->reply->clients;
	for (size_t i = 0; i < list->n_client; i++) {
		client_row(t, list->client[i]);
		*after = list->client[i]->session;
	}
	*more = list->more;
	daemon_free(m);
	return 0;
}

static int show_clients(const struct view *v, struct daemon *d,
			struct failure *f)
{
	static const struct listing clients = {
		.name = "clients",
		.columns = client_columns,
		.n = N(client_columns),
		.page = clients_page,
	};

	return show_listing(&clients, v->json, d, f);
}

static const struct column stats_columns[] = {
	{ "uptime_ms", "daemon runs for", COLUMN_AGE, 0 },
	{ "clients", "clients", COLUMN_NUMBER, 0 },
	{ "queues", "queues", COLUMN_NUMBER, 0 },
	{ "queues_ended", "queues that ended", COLUMN_NUMBER, 0 },
	{ "engines", "engines", COLUMN_NUMBER, 0 },
	{ "engine_deaths", "engines that died", COLUMN_NUMBER, 0 },
	{ "arena_bytes", "shared memory", COLUMN_BYTES, 0 },
	{ "peers_dropped", "peers dropped", COLUMN_NUMBER, 0 },
	{ "commands", "commands completed", COLUMN_NUMBER, 0 },
	{ "bytes", "bytes", COLUMN_BYTES, 0 },
	{ "faults", "  of them faults", COLUMN_NUMBER, 0 },
	{ "refused", "  refused", COLUMN_NUMBER, 0 },
	{ "failed", "  failed", COLUMN_NUMBER, 0 },
	{ "resets", "  of these resets", COLUMN_NUMBER, 0 },
	{ "in_flight", "in flight", COLUMN_NUMBER, 0 },
	{ "knocks", "knocks by clients", COLUMN_NUMBER, 0 },
	{ "events", "events to clients", COLUMN_NUMBER, 0 },
	/* Only once the module has had queues. */
	{ "kicks", "kicks by clients", COLUMN_NUMBER, 0 },
	{ "short_kicks", "  of them short", COLUMN_NUMBER, 0 },
	{ "pinned", "their memory held now", COLUMN_BYTES, 0 },
	{ "copied", "copied at the kick", COLUMN_BYTES, 0 },
	{ "staged", "copied by their threads", COLUMN_BYTES, 0 },
};

#define MODULE_STATS_COLUMN 17

static void put_stats(struct table *t, unsigned int column,
		      const Sharq__Pb__QueueStats *s)
{
	if (!s)
		s = &no_stats;
	table_value(t, column++, s->commands);
	table_value(t, column++, s->bytes);
	table_value(t, column++, s->faults);
	table_value(t, column++, s->refused);
	table_value(t, column++, s->failed);
	table_value(t, column++, s->resets);
	table_value(t, column++, s->in_flight);
	table_value(t, column++, s->knocks);
	table_value(t, column, s->events);
}

static void put_module_stats(struct table *t, unsigned int column,
			     const Sharq__Pb__QueueStats *s)
{
	table_value(t, column++, s->kicks);
	table_value(t, column++, s->short_kicks);
	table_value(t, column++, s->pinned);
	table_value(t, column++, s->copied);
	table_value(t, column, s->staged);
}

static int show_stats(const struct view *v, struct daemon *d, struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__StatsGet get = SHARQ__PB__STATS_GET__INIT;
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__Stats *s;
	struct table *t;
	bool module;
	int err;

	req.body_case = SHARQ__PB__REQUEST__BODY_STATS;
	req.stats = &get;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, &m, f);
	if (err)
		return err;
	if (m->reply->body_case != SHARQ__PB__REPLY__BODY_STATS)
		return view_odd_reply(m, f);
	s = m->reply->stats;
	module = s->total && s->total->has_kicks;
	err = view_begin(&t, "stats", stats_columns,
			 module ? N(stats_columns) : MODULE_STATS_COLUMN,
			 v->json, true, f);
	if (!err) {
		table_row(t);
		table_value(t, 0, s->uptime_ms);
		table_value(t, 1, s->clients);
		table_value(t, 2, s->queues);
		table_value(t, 3, s->queues_ended);
		table_value(t, 4, s->engines);
		table_value(t, 5, s->engine_deaths);
		table_value(t, 6, s->arena_bytes);
		table_value(t, 7, s->peers_dropped);
		put_stats(t, 8, s->total);
		if (module)
			put_module_stats(t, MODULE_STATS_COLUMN, s->total);
	}
	daemon_free(m);
	return err ? err : view_finish(t, f);
}

static const struct column one_columns[] = {
	{ "id", "queue", COLUMN_NUMBER, 0 },
	{ "user", "user", COLUMN_TEXT, 0 },
	{ "pid", "process", COLUMN_NUMBER, 0 },
	{ "program", "program", COLUMN_TEXT, 0 },
	{ "session", "session", COLUMN_NUMBER, 0 },
	{ "device", "device", COLUMN_NUMBER, 0 },
	{ "path", "path", COLUMN_TEXT, 0 },
	{ "reason", "why not a better path", COLUMN_TEXT, 50 },
	{ "depth", "depth", COLUMN_NUMBER, 0 },
	{ "state", "state", COLUMN_TEXT, 0 },
	{ "engine_pid", "engine's process", COLUMN_NUMBER, 0 },
	{ "age_ms", "age", COLUMN_AGE, 0 },
	{ "commands", "commands completed", COLUMN_NUMBER, 0 },
	{ "bytes", "bytes", COLUMN_BYTES, 0 },
	{ "faults", "  of them faults", COLUMN_NUMBER, 0 },
	{ "refused", "  refused", COLUMN_NUMBER, 0 },
	{ "failed", "  failed", COLUMN_NUMBER, 0 },
	{ "resets", "  of these resets", COLUMN_NUMBER, 0 },
	{ "in_flight", "in flight", COLUMN_NUMBER, 0 },
	{ "knocks", "knocks by the client", COLUMN_NUMBER, 0 },
	{ "events", "events to the client", COLUMN_NUMBER, 0 },
	/* Of the module's queues only, from MODULE_COLUMN on. */
	{ "kicks", "kicks by the client", COLUMN_NUMBER, 0 },
	{ "short_kicks", "  of them short", COLUMN_NUMBER, 0 },
	{ "pinned", "its memory held now", COLUMN_BYTES, 0 },
	{ "copied", "copied at the kick", COLUMN_BYTES, 0 },
	{ "staged", "copied by its thread", COLUMN_BYTES, 0 },
	{ "wait_p50_us", "time to the device, p50", COLUMN_NUMBER, 0 },
	{ "wait_p99_us", "  p99", COLUMN_NUMBER, 0 },
	{ "device_p50_us", "time in the device, p50", COLUMN_NUMBER, 0 },
	{ "device_p99_us", "  p99", COLUMN_NUMBER, 0 },
};

#define MODULE_COLUMN 21
#define TIMES_COLUMN 26

/* In which bucket @percent of all are reached; @n if there are none. */
static size_t percentile(const uint64_t *hist, size_t n, unsigned int percent)
{
	uint64_t all = 0, seen = 0;
	size_t i;

	for (i = 0; i < n; i++)
		all += hist[i];
	for (i = 0; i < n; i++) {
		seen += hist[i];
		if (seen && seen * 100 >= all * percent)
			break;
	}
	return i;
}

/* Bucket i ends at 2^i us, the last nowhere: JSON has its beginning. */
static void put_time(struct table *t, unsigned int column, const uint64_t *hist,
		     size_t n, unsigned int percent, bool json)
{
	size_t bucket = percentile(hist, n, percent);
	bool last = bucket == n - 1;
	uint64_t us;
	char text[32];

	if (bucket >= n || bucket > 63)
		return;
	us = 1ULL << bucket >> last;
	snprintf(text, sizeof(text), "%s %" PRIu64 " us", last ? ">=" : "<",
		 us);
	if (json)
		table_value(t, column, us);
	else
		table_text(t, column, text);
}

static void put_module(struct table *t, const Sharq__Pb__QueueStats *s,
		       bool json)
{
	unsigned int c = TIMES_COLUMN;

	put_module_stats(t, MODULE_COLUMN, s);
	put_time(t, c++, s->wait_hist, s->n_wait_hist, 50, json);
	put_time(t, c++, s->wait_hist, s->n_wait_hist, 99, json);
	put_time(t, c++, s->device_hist, s->n_device_hist, 50, json);
	put_time(t, c++, s->device_hist, s->n_device_hist, 99, json);
}

static int show_one(const struct view *v, struct daemon *d, struct failure *f)
{
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__Queue *q;
	struct table *t;
	bool module;
	int err;

	err = daemon_queue(d, v->id, &m, f);
	if (err)
		return err;
	q = m->reply->queues->queue[0];
	module = q->stats && q->stats->has_kicks;
	err = view_begin(&t, "queue", one_columns,
			 module ? N(one_columns) : MODULE_COLUMN, v->json, true,
			 f);
	if (!err) {
		table_row(t);
		table_value(t, 0, q->id);
		put_user(t, 1, q->uid);
		table_value(t, 2, q->pid);
		table_text(t, 3, q->program ? q->program : "");
		table_value(t, 4, q->session);
		table_value(t, 5, q->device);
		table_text(t, 6, sharq_path_name(q->path));
		put_reason(t, 7, q);
		table_value(t, 8, q->depth);
		table_text(t, 9, daemon_state_name(q->state));
		if (q->has_engine_pid)
			table_value(t, 10, q->engine_pid);
		table_value(t, 11, q->age_ms);
		put_stats(t, 12, q->stats);
		if (module)
			put_module(t, q->stats, v->json);
	}
	daemon_free(m);
	return err ? err : view_finish(t, f);
}

int cmd_queues(struct ctl *c, int argc, char **argv)
{
	return view_simple(c, argc, argv, show_queues,
			   "Lists your queues (root: all). BUSY: commands in "
			   "flight; COMMANDS: completed.\nBelow: why a queue "
			   "has no better path, unless its own was asked for, "
			   "or why it\nis in its state.");
}

int cmd_clients(struct ctl *c, int argc, char **argv)
{
	return view_simple(c, argc, argv, show_clients,
			   "Lists your connected programs (root: all). ARENA: "
			   "memory shared with the device.");
}

int cmd_stats(struct ctl *c, int argc, char **argv)
{
	return view_simple(c, argc, argv, show_stats,
			   "Shows totals over your queues (root: all), living "
			   "and ended.");
}

int cmd_show(struct ctl *c, int argc, char **argv)
{
	struct view v = { .show = NULL };

	if (c->help) {
		puts("Usage: sharqctl show queue|device ID [--socket PATH] "
		     "[--json] [--watch [SECS]]\n\n"
		     "Shows all about one queue or device. 'sharqctl queues' "
		     "and 'sharqctl devices'\nlist ids.");
		return CTL_OK;
	}
	if (argc == 3 && !strcmp(argv[1], "queue"))
		v.show = show_one;
	else if (argc == 3 && !strcmp(argv[1], "device"))
		v.show = view_device;
	else
		return ctl_usage("show", "expected 'show queue ID' or 'show "
					 "device ID'");
	if (ctl_parse_size(argv[2], &v.id))
		return ctl_usage("show",
				 "'%s' is no %s's id, expected a number",
				 argv[2], argv[1]);
	return view_run(c, &v);
}
