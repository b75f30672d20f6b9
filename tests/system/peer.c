/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

int peer_socket(const char *socket_path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval tv = { .tv_sec = 10 * SCALE };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0, "socket: %s", strerror(errno));
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", socket_path);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

bool peer_try(struct peer *p, const char *socket_path)
{
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	bool ok;

	p->next_id = 1;
	p->sock = peer_socket(socket_path);
	if (p->sock < 0)
		return false;
	hello.version_min = SHARQ_PROTOCOL_MIN;
	hello.version_max = SHARQ_PROTOCOL_MAX;
	hello.program = (char *)"test";
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	m = peer_call(p, &req, NULL, NULL);
	ok = m && m->reply->code == 0 &&
	     m->reply->body_case == SHARQ__PB__REPLY__BODY_HELLO;
	if (ok) {
		p->session = m->reply->hello->session;
		p->token = m->reply->hello->token;
	} else {
		peer_close(p);
	}
	if (m)
		sharq__pb__server_message__free_unpacked(m, NULL);
	return ok;
}

void peer_open(struct peer *p, const char *socket_path)
{
	CHECK(peer_try(p, socket_path), "no service at %s", socket_path);
}

void peer_close(struct peer *p)
{
	close(p->sock);
	p->sock = -1;
}

void peer_send_fds(int sock, const void *data, size_t len, const int *fds,
		   unsigned int n)
{
	union {
		char buf[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr align;
	} u = { 0 };
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = u.buf,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	CHECK(sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)len, "sendmsg: %s",
	      strerror(errno));
}

bool peer_ended(int sock, int ms)
{
	int64_t until = now_ms() + (int64_t)ms * SCALE;
	char buf[4096];

	for (;;) {
		struct pollfd pfd = { .fd = sock, .events = POLLIN };
		int64_t left = until - now_ms();
		ssize_t n;

		if (left <= 0)
			return false;
		poll(&pfd, 1, (int)left);
		n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return true;
	}
}

Sharq__Pb__ServerMessage *peer_call(struct peer *p, Sharq__Pb__Request *req,
				    int *fds, unsigned int *nfds)
{
	static struct sharq_frame frame;
	Sharq__Pb__ServerMessage *m;
	const char *why = "";
	int r;

	req->id = p->next_id++;
	r = sharq_frame_send_msg(p->sock, &req->base, NULL, 0, false);
	if (r == -EPIPE || r == -ECONNRESET)
		return NULL;
	CHECK(r == 0, "sending a request: %s", strerror(-r));
	for (;;) {
		r = sharq_frame_recv(p->sock, &frame, SHARQ_FRAME_MAX_FDS,
				     false, &why);
		if (r == -EPIPE || r == -ECONNRESET)
			return NULL;
		CHECK(r == 0, "waiting for a reply: %s %s", strerror(-r), why);
		m = sharq__pb__server_message__unpack(NULL, frame.body_len,
						      frame.body);
		CHECK(m, "the daemon's message can't be read");
		if (m->body_case == SHARQ__PB__SERVER_MESSAGE__BODY_REPLY &&
		    m->reply->id == req->id)
			break;
		sharq__pb__server_message__free_unpacked(m, NULL);
		sharq_frame_close_fds(&frame);
	}
	if (m->reply->code)
		CHECK(m->reply->text && strlen(m->reply->text) > 8,
		      "code %d came without a sentence", m->reply->code);
	if (fds) {
		memcpy(fds, frame.fds, frame.nfds * sizeof(int));
		*nfds = frame.nfds;
	} else {
		sharq_frame_close_fds(&frame);
	}
	return m;
}

int peer_code(struct peer *p, Sharq__Pb__Request *req)
{
	Sharq__Pb__ServerMessage *m = peer_call(p, req, NULL, NULL);
	int code;

	CHECK(m, "the daemon ended the connection");
	code = m->reply->code;
	sharq__pb__server_message__free_unpacked(m, NULL);
	return code;
}

int peer_control(struct peer *p, uint64_t queue, Sharq__Pb__QueueAction action)
{
	Sharq__Pb__QueueControl control = SHARQ__PB__QUEUE_CONTROL__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	control.queue = queue;
	control.action = action;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CONTROL;
	req.queue_control = &control;
	return peer_code(p, &req);
}

int peer_destroy(struct peer *p, uint64_t queue)
{
	Sharq__Pb__QueueDestroy destroy = SHARQ__PB__QUEUE_DESTROY__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	destroy.queue = queue;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_DESTROY;
	req.queue_destroy = &destroy;
	return peer_code(p, &req);
}

static void see_queue(const Sharq__Pb__Queue *q, struct queue_seen *out)
{
	memset(out, 0, sizeof(*out));
	out->id = q->id;
	out->session = q->session;
	out->uid = q->uid;
	out->pid = q->pid;
	out->state = q->state;
	out->path = q->path;
	out->engine_pid = q->has_engine_pid ? q->engine_pid : 0;
	if (q->stats) {
		out->in_flight = q->stats->in_flight;
		out->bytes = q->stats->bytes;
		out->commands = q->stats->commands;
	}
	if (q->reason)
		snprintf(out->reason, sizeof(out->reason), "%s", q->reason);
}

bool peer_queue(struct peer *p, uint64_t id, struct queue_seen *out)
{
	Sharq__Pb__QueuesGet get = SHARQ__PB__QUEUES_GET__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	bool found = false;

	get.has_queue = 1;
	get.queue = id;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUES;
	req.queues = &get;
	m = peer_call(p, &req, NULL, NULL);
	CHECK(m, "the daemon ended the connection");
	if (m->reply->code) {
		CHECK_EQ(m->reply->code, -ENOENT);
	} else {
		CHECK_EQ(m->reply->queues->n_queue, 1);
		CHECK_EQ(m->reply->queues->queue[0]->id, id);
		see_queue(m->reply->queues->queue[0], out);
		found = true;
	}
	sharq__pb__server_message__free_unpacked(m, NULL);
	return found;
}

unsigned int peer_queues(struct peer *p, struct queue_seen *out, unsigned int n)
{
	uint64_t after = 0;
	unsigned int count = 0;
	bool more = true;

	while (more) {
		Sharq__Pb__QueuesGet get = SHARQ__PB__QUEUES_GET__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
		Sharq__Pb__ServerMessage *m;
		size_t i;

		get.has_after = 1;
		get.after = after;
		req.body_case = SHARQ__PB__REQUEST__BODY_QUEUES;
		req.queues = &get;
		m = peer_call(p, &req, NULL, NULL);
		CHECK(m && m->reply->code == 0 && m->reply->queues,
		      "listing queues failed");
		for (i = 0; i < m->reply->queues->n_queue; i++) {
			Sharq__Pb__Queue *q = m->reply->queues->queue[i];

			CHECK(q->id > after, "ids are out of order");
			after = q->id;
			if (count < n)
				see_queue(q, &out[count]);
			count++;
		}
		more = m->reply->queues->has_more && m->reply->queues->more;
		sharq__pb__server_message__free_unpacked(m, NULL);
	}
	return count;
}

struct stats_seen peer_stats(struct peer *p)
{
	Sharq__Pb__StatsGet get = SHARQ__PB__STATS_GET__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	struct stats_seen s;

	req.body_case = SHARQ__PB__REQUEST__BODY_STATS;
	req.stats = &get;
	m = peer_call(p, &req, NULL, NULL);
	CHECK(m && m->reply->code == 0 && m->reply->stats, "no statistics");
	s.queues = m->reply->stats->queues;
	s.clients = m->reply->stats->clients;
	s.engines = m->reply->stats->engines;
	s.engine_deaths = m->reply->stats->engine_deaths;
	s.arena_bytes = m->reply->stats->arena_bytes;
	s.peers_dropped = m->reply->stats->peers_dropped;
	s.commands = m->reply->stats->total->commands;
	sharq__pb__server_message__free_unpacked(m, NULL);
	return s;
}

pid_t peer_engine(struct peer *p, uint64_t queue)
{
	struct queue_seen q = { 0 };

	EVENTUALLY(peer_queue(p, queue, &q) && q.engine_pid > 0 &&
			   pid_alive(q.engine_pid) &&
			   q.state != SHARQ__PB__QUEUE_STATE__QUEUE_RECOVERING,
		   10000);
	return q.engine_pid;
}

void rawq_open(struct peer *p, uint32_t depth, struct rawq *q)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	int fds[SHARQ_FRAME_MAX_FDS];
	unsigned int nfds;
	uint8_t *base;

	create.depth = depth;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
	req.queue_create = &create;
	m = peer_call(p, &req, fds, &nfds);
	CHECK(m, "the daemon ended the connection");
	CHECK(m->reply->code == 0, "creating a queue: %s",
	      m->reply->text ? m->reply->text : "?");
	/* The rings and the socket, never the journal. */
	CHECK_EQ(nfds, 2);
	q->id = m->reply->queue_created->queue;
	q->depth = depth;
	q->size = m->reply->queue_created->size;
	q->rings_fd = fds[0];
	q->sock = fds[1];
	base = mmap(NULL, q->size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0],
		    0);
	CHECK(base != MAP_FAILED, "mapping the rings: %s", strerror(errno));
	q->ring = (struct sharq_ring *)base;
	q->sq = (struct sharq_desc *)(base +
				      m->reply->queue_created->sq_offset);
	q->cq = (struct sharq_cqe *)(base + m->reply->queue_created->cq_offset);
	sharq__pb__server_message__free_unpacked(m, NULL);
}

void rawq_close(struct rawq *q)
{
	munmap(q->ring, q->size);
	close(q->rings_fd);
	close(q->sock);
}

void rawq_knock(struct rawq *q)
{
	char byte = 1;

	/* Orders what was published before the look at the flags. */
	__atomic_fetch_add(&q->ring->sq_tail, 0, __ATOMIC_SEQ_CST);
	if (rawq_flags(q) & SHARQ_DEVICE_NEED_KNOCK)
		send(q->sock, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void rawq_push(struct rawq *q, const struct sharq_desc *d, unsigned int n)
{
	uint32_t tail = q->ring->sq_tail;
	unsigned int i;

	for (i = 0; i < n; i++)
		q->sq[sharq_ring_slot(tail + i, q->depth)] = d[i];
	__atomic_store_n(&q->ring->sq_tail, tail + n, __ATOMIC_RELEASE);
	rawq_knock(q);
}

bool rawq_reap(struct rawq *q, struct sharq_cqe *cqe, int ms)
{
	int64_t until = now_ms() + (int64_t)ms * SCALE;
	uint32_t head = q->ring->cq_head;

	while (__atomic_load_n(&q->ring->cq_tail, __ATOMIC_ACQUIRE) == head) {
		if (now_ms() > until)
			return false;
		rawq_knock(q);
		sched_yield();
	}
	*cqe = q->cq[sharq_ring_slot(head, q->depth)];
	__atomic_store_n(&q->ring->cq_head, head + 1, __ATOMIC_RELEASE);
	rawq_knock(q);
	return true;
}

uint32_t rawq_flags(const struct rawq *q)
{
	return __atomic_load_n(&q->ring->device_flags, __ATOMIC_ACQUIRE);
}

void *peer_region(struct peer *p, size_t size, int *fd, uint64_t *id)
{
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	int fds[SHARQ_FRAME_MAX_FDS];
	unsigned int nfds;
	void *base, *at;

	base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(base != MAP_FAILED, "reserving: %s", strerror(errno));
	create.address = (uintptr_t)base;
	create.size = size;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	m = peer_call(p, &req, fds, &nfds);
	CHECK(m, "the daemon ended the connection");
	CHECK(m->reply->code == 0, "creating a region: %s",
	      m->reply->text ? m->reply->text : "?");
	CHECK_EQ(nfds, 1);
	at = mmap(base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		  fds[0], 0);
	CHECK(at == base, "mapping the region: %s", strerror(errno));
	if (id)
		*id = m->reply->region_created->region;
	if (fd)
		*fd = fds[0];
	else
		close(fds[0]);
	sharq__pb__server_message__free_unpacked(m, NULL);
	return base;
}
