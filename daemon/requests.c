// SPDX-License-Identifier: MIT
/* Requests of clients: checked against policy and quota, then carried out. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "ring.h"

#define PAGE 4096
/* User addresses end below this on every 64-bit Linux. */
#define ADDRESS_END (UINT64_C(1) << 56)

bool conn_may_see(const struct conn *conn, const struct user *user)
{
	return !conn->user->uid || conn->user == user;
}

uint64_t user_queues_free(const struct user *user)
{
	const struct server *server = user->server;
	uint64_t own = server->config.queues_per_user;
	uint64_t all = server->config.queues;
	uint64_t used = server->queues.count;

	own = own > user->queues ? own - user->queues : 0;
	all = all > used ? all - used : 0;
	return own < all ? own : all;
}

/* ---- Hello ---- */

void copy_program(char to[PROGRAM_MAX + 1], const char *from)
{
	size_t i;

	for (i = 0; from && from[i] && i < PROGRAM_MAX; i++)
		to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
	to[i] = 0;
}

/* The session that outlived its daemon, if it is this peer's. */
static struct session *resume(struct conn *conn, const Sharq__Pb__Hello *hello)
{
	struct session *s;

	if (!hello->has_session || !hello->has_token)
		return NULL;
	s = idmap_find(&conn->server->sessions, hello->session);
	if (!s || s->ending || s->conn || s->user != conn->user ||
	    s->token != hello->token || s->pid != conn->pid)
		return NULL;
	return s;
}

static int open_session(struct conn *conn, const Sharq__Pb__Hello *hello,
			struct session **out)
{
	struct server *server = conn->server;
	struct session *s;
	int ret;

	/* Those that have a client, and those that are being done with. */
	if (conn->user->session_count >= 2 * server->config.clients_per_user)
		return -EDQUOT;
	ret = session_new(conn->user, &s,
			  spawn_fresh_id(server, &server->sessions,
					 &server->next_session));
	if (ret)
		return ret;
	s->pid = conn->pid;
	copy_program(s->program, hello->program);
	*out = s;
	return 0;
}

static void do_hello(struct conn *conn, const Sharq__Pb__Request *req)
{
	const Sharq__Pb__Hello *hello = req->hello;
	Sharq__Pb__HelloReply body = SHARQ__PB__HELLO_REPLY__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	struct session *s;
	int ret;

	if (conn->session) {
		conn_error(conn, req->id, -EALREADY,
			   "hello was said on this connection already");
		return;
	}
	if (hello->version_min > SHARQ_PROTOCOL_MAX ||
	    hello->version_max < SHARQ_PROTOCOL_MIN ||
	    hello->version_min > hello->version_max) {
		conn_error(conn, req->id, -EPROTONOSUPPORT,
			   "this sharqd speaks versions %d to %d of the "
			   "protocol, the client %u to %u",
			   SHARQ_PROTOCOL_MIN, SHARQ_PROTOCOL_MAX,
			   hello->version_min, hello->version_max);
		return;
	}
	s = resume(conn, hello);
	ret = s ? 0 : open_session(conn, hello, &s);
	if (ret) {
		conn_error(conn, req->id, ret,
			   ret == -EDQUOT
				   ? "your user has too many clients "
				     "(clients-per-user)"
				   : "sharqd is out of memory for another "
				     "client");
		return;
	}
	s->conn = conn;
	conn->session = s;
	/* One that the module's queues brought back has none. */
	if (s->pidfd < 0) {
		s->pidfd = conn->pidfd;
		conn->pidfd = -1;
	}
	/* From here on it may be silent for as long as it likes. */
	event_del(conn->hello);
	body.version = hello->version_max < SHARQ_PROTOCOL_MAX
			       ? hello->version_max
			       : SHARQ_PROTOCOL_MAX;
	body.server = (char *)"sharqd " SHARQ_VERSION;
	body.session = s->id;
	body.token = s->token;
	body.engine = conn->server->note;
	reply.id = req->id;
	reply.body_case = SHARQ__PB__REPLY__BODY_HELLO;
	reply.hello = &body;
	conn_reply(conn, &reply, NULL, 0);
	event_emit(conn->user, SHARQ__PB__EVENT_KIND__EVENT_CLIENT_CONNECTED, 0,
		   s->id, s->program);
}

/* ---- queues and regions ---- */

/* May this user have anything new of an engine here at all? */
static bool served(struct conn *conn, uint64_t request)
{
	struct server *server = conn->server;

	if (server->stopping) {
		conn_error(conn, request, -ESHUTDOWN, "sharqd is stopping");
		return false;
	}
	/* Each queue leaves one more to be closed. */
	if (closer_count(conn->user->closer) >= USER_CLOSING_MAX) {
		conn_error(conn, request, -EDQUOT,
			   "too much that your user sent to sharqd can't be "
			   "closed: the limit is %d",
			   USER_CLOSING_MAX);
		return false;
	}
	if (server->root || conn->user->uid == server->uid)
		return true;
	conn_error(conn, request, -EPERM,
		   "this sharqd runs as uid %u and serves only that user, not "
		   "uid %u; a sharqd that runs as root serves all",
		   server->uid, conn->user->uid);
	return false;
}

static bool check_depth(struct conn *conn, uint64_t request, uint32_t depth,
			uint32_t max)
{
	if (sharq_depth_valid(depth) && depth <= max)
		return true;
	conn_error(conn, request, -EINVAL,
		   "depth is %u, expected a power of two from %d to %u", depth,
		   SHARQ_MIN_DEPTH, max);
	return false;
}

static bool check_queue_quota(struct conn *conn, uint64_t request)
{
	const struct config *c = &conn->server->config;

	if (conn->user->queues >= c->queues_per_user) {
		conn_error(conn, request, -EDQUOT,
			   "your user has %u queues, the limit is %u "
			   "(queues-per-user): close some first",
			   conn->user->queues, c->queues_per_user);
		return false;
	}
	if (conn->server->queues.count >= c->queues) {
		conn_error(conn, request, -EBUSY,
			   "all %u queues of this sharqd are taken (queues)",
			   c->queues);
		return false;
	}
	return true;
}

static void do_queue_create(struct conn *conn, const Sharq__Pb__Request *req)
{
	const Sharq__Pb__QueueCreate *m = req->queue_create;
	const struct answer answer = { conn->id, req->id };
	struct device devices[DEVICES_MAX];
	const struct provider *provider = &provider_module;
	uint32_t path = m->path;
	char text[256];
	int i, ret;

	if (!served(conn, req->id))
		return;
	i = device_choose(devices, devices_list(conn->server, devices),
			  m->device, m->ops, &path, text, sizeof(text));
	if (i < 0) {
		conn_error(conn, req->id, i, "%s", text);
		return;
	}
	if (!check_depth(conn, req->id, m->depth, devices[i].max_depth) ||
	    !check_queue_quota(conn, req->id))
		return;
	if (path == SHARQ__PB__PATH__PATH_EMBEDDED)
		provider = &provider_embedded;
	ret = provider->create(conn->session, &devices[i], path, m->depth,
			       &answer);
	if (ret)
		conn_error(conn, req->id, ret, "the queue can't be made: %s",
			   strerror(-ret));
}

/* A queue that removing has begun for is gone already, for its owner. */
struct queue *request_queue(struct conn *conn, uint64_t request, uint64_t id)
{
	struct queue *q = idmap_find(&conn->server->queues, id);

	if (q && !q->removing && !q->created.conn &&
	    conn_may_see(conn, q->session->user))
		return q;
	conn_error(conn, request, -ENOENT, "no queue %llu%s",
		   (unsigned long long)id, conn->user->uid ? " of yours" : "");
	return NULL;
}

static void do_queue_destroy(struct conn *conn, const Sharq__Pb__Request *req)
{
	const struct answer answer = { conn->id, req->id };
	struct queue *q =
		request_queue(conn, req->id, req->queue_destroy->queue);

	if (q)
		q->provider->destroy(q, &answer);
}

static void do_queue_control(struct conn *conn, const Sharq__Pb__Request *req)
{
	const Sharq__Pb__QueueControl *m = req->queue_control;
	const struct answer answer = { conn->id, req->id };
	struct queue *q = request_queue(conn, req->id, m->queue);

	if (!q)
		return;
	if ((unsigned int)m->action > SHARQ__PB__QUEUE_ACTION__ACTION_KILL)
		conn_error(conn, req->id, -EINVAL,
			   "action is %d, expected 0 (pause) to 3 (kill)",
			   (int)m->action);
	else
		q->provider->control(q, m->action, &answer);
}

static bool overlaps(const struct region *r, uint64_t address, uint64_t size)
{
	return address < r->base + r->size && r->base < address + size;
}

/*
 * A region whose client was to hear of it from the last daemon, and didn't: it let go
 * of the address, and has come to use it again. The engine obeys in order.
 */
static void forget_adopted(struct session *s, const Sharq__Pb__RegionCreate *m)
{
	const struct answer nobody = { 0 };
	struct region *r, *next;

	for (r = LIST_FIRST(&s->regions); r; r = next) {
		next = LIST_NEXT(r, link);
		if (!r->adopted || r->removing ||
		    !overlaps(r, m->address, m->size))
			continue;
		r->removing = true;
		region_uncount(r);
		if (!channel_region_remove(r, &nobody))
			region_free(r);
	}
}

int region_check_place(const struct session *s, uint64_t address, uint64_t size,
		       char *err, size_t len)
{
	const struct region *r;

	if (!address || address % PAGE || address >= ADDRESS_END) {
		snprintf(err, len,
			 "the region's address is 0x%llx, expected a non-zero "
			 "multiple of %d below 2^56",
			 (unsigned long long)address, PAGE);
		return -EINVAL;
	}
	if (!size || size % PAGE || size > ADDRESS_END - address) {
		snprintf(err, len,
			 "the region's size is %llu, expected a non-zero "
			 "multiple of %d that ends below 2^56",
			 (unsigned long long)size, PAGE);
		return -EINVAL;
	}
	LIST_FOREACH(r, &s->regions, link)
	{
		if (r->adopted || !overlaps(r, address, size))
			continue;
		snprintf(err, len,
			 "the region overlaps your region %llu at 0x%llx",
			 (unsigned long long)r->id,
			 (unsigned long long)r->base);
		return -EEXIST;
	}
	return 0;
}

int region_check_quota(const struct session *s, uint64_t size,
		       unsigned int regions, uint64_t arena, char *err,
		       size_t len)
{
	if (s->region_count >= regions) {
		snprintf(err, len,
			 "you have %u regions, the limit is %u "
			 "(regions-per-client)",
			 s->region_count, regions);
		return -EDQUOT;
	}
	if (s->user->arena > arena || size > arena - s->user->arena) {
		snprintf(err, len,
			 "your user has %llu bytes of regions and the limit is "
			 "%llu (arena-per-user): %llu more don't fit",
			 (unsigned long long)s->user->arena,
			 (unsigned long long)arena, (unsigned long long)size);
		return -EDQUOT;
	}
	return 0;
}

/* As idmap_fresh(): regions are a session's own. */
static uint64_t fresh_region(struct session *s)
{
	uint64_t id = s->user->server->next_region;

	if (id > ID_MAX)
		id = 1;
	while (region_find(s, id))
		id = id < ID_MAX ? id + 1 : 1;
	return id;
}

static void do_region_create(struct conn *conn, const Sharq__Pb__Request *req)
{
	const Sharq__Pb__RegionCreate *m = req->region_create;
	struct server *server = conn->server;
	const struct config *c = &server->config;
	struct session *s = conn->session;
	struct region *r;
	char text[256];
	int fd, ret;

	if (!served(conn, req->id))
		return;
	ret = region_check_place(s, m->address, m->size, text, sizeof(text));
	if (ret) {
		conn_error(conn, req->id, ret, "%s", text);
		return;
	}
	if (server->config.engine == CONFIG_ENGINE_MODULE) {
		conn_error(conn, req->id, -EOPNOTSUPP,
			   "regions are for the embedded engine, and sharqd "
			   "was told to use the module alone (--engine "
			   "module), which reaches all of your memory");
		return;
	}
	/* First: what is forgotten doesn't count. */
	forget_adopted(s, m);
	ret = region_check_quota(s, m->size, c->regions_per_client,
				 c->arena_per_user, text, sizeof(text));
	if (ret) {
		conn_error(conn, req->id, ret, "%s", text);
		return;
	}
	ret = embedded_attach(s);
	if (!ret)
		ret = memfd_sealed("sharq-region", m->size, &fd);
	if (!ret) {
		ret = region_new(s, &r, fresh_region(s), m->address, m->size,
				 fd);
		if (ret)
			close(fd);
	}
	if (ret) {
		conn_error(conn, req->id, ret, "the region can't be made: %s",
			   strerror(-ret));
		return;
	}
	server->next_region = r->id + 1;
	r->created = (struct answer){ conn->id, req->id };
	channel_region_add(r);
}

static void do_region_destroy(struct conn *conn, const Sharq__Pb__Request *req)
{
	struct answer answer = { conn->id, req->id };
	struct region *r =
		region_find(conn->session, req->region_destroy->region);

	if (!r || r->created.conn || r->removing) {
		conn_error(conn, req->id, -ENOENT, "no region %llu of yours",
			   (unsigned long long)req->region_destroy->region);
		return;
	}
	r->removing = true;
	if (channel_region_remove(r, &answer))
		return;
	region_free(r);
	answer_code(conn->server, &answer, 0, NULL);
}

static void do_subscribe(struct conn *conn, const Sharq__Pb__Request *req)
{
	struct answer answer = { conn->id, req->id };

	conn->server->subscribers += !conn->subscribed;
	conn->subscribed = true;
	answer_code(conn->server, &answer, 0, NULL);
}

void request_handle(struct conn *conn, const Sharq__Pb__Request *req)
{
	if (!conn->session &&
	    req->body_case != SHARQ__PB__REQUEST__BODY_HELLO) {
		conn_error(conn, req->id, -EPROTO,
			   "the first request of a connection must be hello");
		return;
	}
	switch (req->body_case) {
	case SHARQ__PB__REQUEST__BODY_HELLO:
		do_hello(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_DEVICES:
		lists_devices(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUE_CREATE:
		do_queue_create(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUE_DESTROY:
		do_queue_destroy(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_REGION_CREATE:
		do_region_create(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_REGION_DESTROY:
		do_region_destroy(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUES:
		lists_queues(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_CLIENTS:
		lists_clients(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_STATS:
		lists_stats(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUE_CONTROL:
		do_queue_control(conn, req);
		break;
	case SHARQ__PB__REQUEST__BODY_SUBSCRIBE:
		do_subscribe(conn, req);
		break;
	default:
		conn_error(conn, req->id, -ENOSYS,
			   "this sharqd doesn't know the request");
	}
}
