// SPDX-License-Identifier: MIT
/* What there is: devices, queues, clients, statistics. In pages. */
#include <errno.h>
#include <stdlib.h>

#include "engine.h"

#define QUEUES_PER_PAGE 100
#define CLIENTS_PER_PAGE 200

/* ---- devices ---- */

struct device_entry {
	Sharq__Pb__Device device;
	Sharq__Pb__Dma dma;
	Sharq__Pb__Path paths[3];
};

static uint64_t queues_on(const struct conn *conn, uint32_t device)
{
	const struct idmap *map = &conn->server->queues;
	uint64_t n = 0;

	for (size_t i = 0; i < map->count; i++) {
		const struct queue *q = map->entries[i].object;

		n += q->device == device &&
		     conn_may_see(conn, q->session->user);
	}
	return n;
}

static void fill_dma(struct device_entry *e, const struct sharq_ctl_dma *d)
{
	if (!(d->flags & SHARQ_DMA_ADDRESSES))
		return;
	sharq__pb__dma__init(&e->dma);
	if (d->flags & SHARQ_DMA_GROUP) {
		e->dma.has_group = e->dma.has_address_bits = true;
		e->dma.group = d->group;
		e->dma.owner = (char *)d->owner;
		e->dma.address_bits = d->address_bits;
	}
	e->dma.coherent = d->flags & SHARQ_DMA_COHERENT;
	e->dma.pasids = d->pasids;
	e->dma.ats = d->flags & SHARQ_DMA_ATS;
	e->dma.pri = d->flags & SHARQ_DMA_PRI;
	e->device.dma = &e->dma;
}

static void fill_device(struct device_entry *e, const struct device *d,
			const struct conn *conn)
{
	sharq__pb__device__init(&e->device);
	e->device.id = d->id;
	e->device.name = (char *)d->name;
	e->device.provider = (char *)d->provider;
	e->device.ops = d->ops;
	e->device.max_transfer = d->max_transfer;
	e->device.max_depth = d->max_depth;
	e->device.paths = e->paths;
	for (unsigned int path = SHARQ__PB__PATH__PATH_DIRECT;
	     path <= SHARQ__PB__PATH__PATH_EMBEDDED; path++)
		if (d->paths & 1U << path)
			e->paths[e->device.n_paths++] = path;
	e->device.has_queues_used = true;
	e->device.queues_used = queues_on(conn, d->id);
	e->device.has_queues_free = true;
	e->device.queues_free = user_queues_free(conn->user);
	e->device.note = (char *)d->note;
	fill_dma(e, &d->dma);
	if (!(d->paths & 1U << SHARQ__PB__PATH__PATH_DIRECT))
		return;
	e->device.has_direct_used = e->device.has_direct_free = true;
	e->device.direct_used = d->direct_used;
	e->device.direct_free = d->direct_free;
}

void lists_devices(struct conn *conn, const Sharq__Pb__Request *req)
{
	struct device devices[DEVICES_MAX];
	struct device_entry entries[DEVICES_MAX];
	Sharq__Pb__Device *list[DEVICES_MAX];
	Sharq__Pb__Devices body = SHARQ__PB__DEVICES__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;

	body.n_device = devices_list(conn->server, devices);
	body.device = list;
	for (size_t i = 0; i < body.n_device; i++) {
		fill_device(&entries[i], &devices[i], conn);
		list[i] = &entries[i].device;
	}
	reply.id = req->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_DEVICES;
	reply.devices = &body;
	conn_reply(conn, &reply, NULL, 0);
}

/* ---- queues ---- */

struct queue_entry {
	Sharq__Pb__Queue queue;
	Sharq__Pb__QueueStats stats;
	struct figures figures;
};

/* What only the module knows. */
static void fill_module_stats(Sharq__Pb__QueueStats *to,
			      const struct sharq_ctl_stats *from)
{
	to->has_kicks = to->has_short_kicks = to->has_pinned = true;
	to->has_copied = to->has_staged = true;
	to->kicks = from->kicks;
	to->short_kicks = from->short_kicks;
	to->pinned = from->pinned;
	to->copied = from->copied;
	to->staged = from->staged;
}

static void fill_stats(Sharq__Pb__QueueStats *to, const struct figures *f)
{
	const struct sharq_journal_stats *from = &f->stats;

	sharq__pb__queue_stats__init(to);
	to->has_commands = to->has_bytes = to->has_faults = true;
	to->has_refused = to->has_failed = to->has_resets = true;
	to->has_in_flight = to->has_knocks = to->has_events = true;
	to->commands = from->commands;
	to->bytes = from->bytes;
	to->faults = from->faults;
	to->refused = from->refused;
	to->failed = from->failed;
	to->resets = from->resets;
	to->in_flight = f->in_flight;
	to->knocks = from->knocks;
	to->events = from->events;
	if (f->has_module)
		fill_module_stats(to, &f->module);
}

static void fill_times(Sharq__Pb__QueueStats *to,
		       const struct sharq_ctl_stats *from)
{
	to->n_wait_hist = to->n_device_hist = SHARQ_HIST_BUCKETS;
	to->wait_hist = (uint64_t *)from->wait_hist;
	to->device_hist = (uint64_t *)from->device_hist;
}

/* @alone: nothing else travels in the packet, so there is room for more. */
static void fill_queue(struct queue_entry *e, const struct queue *q, bool alone)
{
	const struct session *s = q->session;

	sharq__pb__queue__init(&e->queue);
	e->queue.id = q->id;
	e->queue.uid = s->user->uid;
	e->queue.pid = s->pid;
	e->queue.session = s->id;
	e->queue.program = (char *)s->program;
	e->queue.device = q->device;
	e->queue.depth = q->depth;
	e->queue.has_age_ms = true;
	e->queue.age_ms = now_ms() - q->born_ms;
	q->provider->describe(q, &e->queue);
	if (q->provider->figures(q, &e->figures))
		return;
	fill_stats(&e->stats, &e->figures);
	if (e->figures.has_module && alone)
		fill_times(&e->stats, &e->figures.module);
	e->queue.stats = &e->stats;
}

static bool listed(const struct conn *conn, const struct queue *q)
{
	return !q->removing && !q->created.conn &&
	       conn_may_see(conn, q->session->user);
}

void lists_queues(struct conn *conn, const Sharq__Pb__Request *req)
{
	const Sharq__Pb__QueuesGet *get = req->queues;
	const struct idmap *map = &conn->server->queues;
	Sharq__Pb__Queues queues = SHARQ__PB__QUEUES__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	Sharq__Pb__Queue *list[QUEUES_PER_PAGE];
	struct queue_entry *entries;
	size_t n = 0, i;

	if (get->has_queue && !request_queue(conn, req->id, get->queue))
		return;
	entries = calloc(QUEUES_PER_PAGE, sizeof(*entries));
	if (!entries) {
		conn_error(conn, req->id, -ENOMEM, "sharqd is out of memory");
		return;
	}
	i = get->has_queue ? idmap_after(map, get->queue) - 1
			   : idmap_after(map, get->after);
	for (; i < map->count; i++) {
		const struct queue *q = map->entries[i].object;

		if (!listed(conn, q))
			continue;
		if (n == QUEUES_PER_PAGE) {
			queues.has_more = queues.more = true;
			break;
		}
		fill_queue(&entries[n], q, get->has_queue);
		list[n] = &entries[n].queue;
		n++;
		if (get->has_queue)
			break;
	}
	queues.n_queue = n;
	queues.queue = list;
	reply.id = req->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_QUEUES;
	reply.queues = &queues;
	conn_reply(conn, &reply, NULL, 0);
	free(entries);
}

/* ---- clients ---- */

static void fill_client(Sharq__Pb__Client *c, const struct session *s)
{
	const struct queue *q;
	const struct region *r;

	sharq__pb__client__init(c);
	c->session = s->id;
	c->uid = s->user->uid;
	c->pid = s->pid;
	c->program = (char *)s->program;
	LIST_FOREACH(q, &s->queues, link)
	c->queues++;
	LIST_FOREACH(r, &s->regions, link)
	c->arena_bytes += r->size;
	c->has_age_ms = true;
	c->age_ms = now_ms() - s->born_ms;
	c->has_connected = true;
	c->connected = s->conn != NULL;
}

void lists_clients(struct conn *conn, const Sharq__Pb__Request *req)
{
	const struct idmap *map = &conn->server->sessions;
	Sharq__Pb__Clients clients = SHARQ__PB__CLIENTS__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	Sharq__Pb__Client *list[CLIENTS_PER_PAGE];
	Sharq__Pb__Client *entries;
	size_t n = 0;

	entries = calloc(CLIENTS_PER_PAGE, sizeof(*entries));
	if (!entries) {
		conn_error(conn, req->id, -ENOMEM, "sharqd is out of memory");
		return;
	}
	for (size_t i = idmap_after(map, req->clients->after); i < map->count;
	     i++) {
		const struct session *s = map->entries[i].object;

		if (s->ending || !conn_may_see(conn, s->user))
			continue;
		if (n == CLIENTS_PER_PAGE) {
			clients.has_more = clients.more = true;
			break;
		}
		fill_client(&entries[n], s);
		list[n] = &entries[n];
		n++;
	}
	clients.n_client = n;
	clients.client = list;
	reply.id = req->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_CLIENTS;
	reply.clients = &clients;
	conn_reply(conn, &reply, NULL, 0);
	free(entries);
}

/* ---- statistics ---- */

struct totals {
	struct figures sum;
	uint64_t queues, clients, engines, arena;
};

static void add_session(struct totals *t, const struct session *s)
{
	const struct queue *q;

	t->clients += !s->ending;
	LIST_FOREACH(q, &s->queues, link)
	{
		struct figures f;

		if (q->provider->figures(q, &f))
			continue;
		figures_add(&t->sum, &f);
		t->queues += !q->removing;
	}
}

static void add_user(struct totals *t, const struct user *user)
{
	const struct session *s;

	LIST_FOREACH(s, &user->sessions, link)
	add_session(t, s);
	t->arena += user->arena;
	t->engines += user->engine && user->engine->state != ENGINE_DOWN;
}

void lists_stats(struct conn *conn, const Sharq__Pb__Request *req)
{
	const struct server *server = conn->server;
	bool all = !conn->user->uid;
	const struct ended *ended = all ? &server->ended : &conn->user->ended;
	Sharq__Pb__QueueStats sum;
	Sharq__Pb__Stats stats = SHARQ__PB__STATS__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	struct totals t = { .sum = ended->sum };
	const struct user *user;

	LIST_FOREACH(user, &server->users, link)
	if (conn_may_see(conn, user))
		add_user(&t, user);
	fill_stats(&sum, &t.sum);
	stats.total = &sum;
	stats.has_queues = stats.has_queues_ended = stats.has_clients = true;
	stats.has_engines = stats.has_engine_deaths = true;
	stats.has_arena_bytes = stats.has_uptime_ms = true;
	stats.has_peers_dropped = true;
	stats.queues = t.queues;
	stats.queues_ended = ended->queues;
	stats.clients = t.clients;
	stats.engines = t.engines;
	stats.engine_deaths = all ? server->engine_deaths
				  : conn->user->engine_deaths;
	stats.arena_bytes = t.arena;
	stats.uptime_ms = now_ms() - server->started_ms;
	stats.peers_dropped = all ? server->peers_dropped
				  : conn->user->peers_dropped;
	reply.id = req->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_STATS;
	reply.stats = &stats;
	conn_reply(conn, &reply, NULL, 0);
}
