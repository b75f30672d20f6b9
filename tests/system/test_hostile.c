/* SPDX-License-Identifier: MIT */
/* Peers of the daemon's socket that don't keep to the protocol. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

/* Another client is served, quickly, and the daemon holds no more than before.
 */
static void unharmed(struct daemon *d, unsigned int fds)
{
	int64_t began = now_ms();
	struct peer p;

	CHECK(pid_alive(d->pid), "the daemon died");
	peer_open(&p, d->socket);
	peer_stats(&p);
	peer_close(&p);
	CHECK(now_ms() - began < 2000 * SCALE, "others waited %lld ms",
	      (long long)(now_ms() - began));
	EVENTUALLY(proc_fds(d->pid) == fds, 5000);
}

static void put_header(uint8_t *buf, uint32_t magic, uint16_t version,
		       uint16_t fds, uint32_t length)
{
	memcpy(buf, &magic, 4);
	memcpy(buf + 4, &version, 2);
	memcpy(buf + 6, &fds, 2);
	memcpy(buf + 8, &length, 4);
}

static void send_with_fds(int sock, const void *data, size_t len,
			  unsigned int n)
{
	int fds[64];

	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	for (unsigned int i = 1; i < n; i++)
		fds[i] = fds[0];
	peer_send_fds(sock, data, len, fds, n);
	close(fds[0]);
}

/* A packet of a valid hello, for attacks that begin right. */
static size_t hello_packet(uint8_t *buf, size_t size, uint16_t fds,
			   uint32_t min, uint32_t max)
{
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	int n;

	hello.version_min = min;
	hello.version_max = max;
	req.id = 1;
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	n = sharq_frame_pack(&req.base, fds, buf, size);
	CHECK(n > 0, "packing: %d", n);
	return (size_t)n;
}

enum attack {
	GARBAGE,
	SHORT,
	BAD_MAGIC,
	BAD_FRAME_VERSION,
	WRONG_LENGTH,
	HUGE_LENGTH,
	OVERSIZED,
	JUNK_BODY,
	NO_BODY,
	FDS_UNANNOUNCED,
	FDS_ANNOUNCED,
	MANY_FDS,
	FDS_MISSING,
	ATTACKS
};

static const char *const attack_names[] = {
	"garbage",	"short packet",	  "bad magic",	  "frame version",
	"wrong length", "huge length",	  "oversized",	  "junk protobuf",
	"no body",	"unannounced fd", "announced fd", "many fds",
	"missing fd",
};

static void attack(int sock, enum attack kind)
{
	static uint8_t buf[100000];
	size_t n = 512;

	rnd_fill(buf, sizeof(buf), 42 + kind);
	switch (kind) {
	case SHORT:
		n = 5;
		put_header(buf, SHARQ_FRAME_MAGIC, 1, 0, 0);
		break;
	case BAD_MAGIC:
		n = hello_packet(buf, sizeof(buf), 0, 1, 1);
		buf[0] ^= 0xff;
		break;
	case BAD_FRAME_VERSION:
		n = hello_packet(buf, sizeof(buf), 0, 1, 1);
		buf[4] = 77;
		break;
	case WRONG_LENGTH:
		n = hello_packet(buf, sizeof(buf), 0, 1, 1);
		buf[8]++;
		break;
	case HUGE_LENGTH:
		n = hello_packet(buf, sizeof(buf), 0, 1, 1);
		memset(buf + 8, 0xff, 4);
		break;
	case OVERSIZED:
		n = sizeof(buf);
		put_header(buf, SHARQ_FRAME_MAGIC, 1, 0,
			   sizeof(buf) - SHARQ_FRAME_HEADER);
		break;
	case JUNK_BODY:
		put_header(buf, SHARQ_FRAME_MAGIC, 1, 0,
			   512 - SHARQ_FRAME_HEADER);
		break;
	case NO_BODY:
		n = SHARQ_FRAME_HEADER;
		put_header(buf, SHARQ_FRAME_MAGIC, 1, 0, 0);
		break;
	case FDS_UNANNOUNCED:
		n = hello_packet(buf, sizeof(buf), 0, 1, 1);
		send_with_fds(sock, buf, n, 1);
		return;
	case FDS_ANNOUNCED:
		n = hello_packet(buf, sizeof(buf), 1, 1, 1);
		send_with_fds(sock, buf, n, 1);
		return;
	case MANY_FDS:
		n = hello_packet(buf, sizeof(buf), 4, 1, 1);
		send_with_fds(sock, buf, n, 64);
		return;
	case FDS_MISSING:
		n = hello_packet(buf, sizeof(buf), 2, 1, 1);
		break;
	default:
		break;
	}
	CHECK(send(sock, buf, n, MSG_NOSIGNAL) == (ssize_t)n, "send: %s",
	      strerror(errno));
}

/* Each kind as the first packet, and again after a proper hello. */
static void p6_malformed_packets(void)
{
	unsigned int kind, fds, after;
	uint64_t dropped;
	struct daemon d;
	struct peer p, hostile;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	peer_open(&p, d.socket);
	dropped = peer_stats(&p).peers_dropped;
	peer_close(&p);
	for (kind = 0; kind < ATTACKS; kind++) {
		for (after = 0; after < 2; after++) {
			if (after)
				peer_open(&hostile, d.socket);
			else
				hostile.sock = peer_socket(d.socket);
			attack(hostile.sock, kind);
			CHECK(peer_ended(hostile.sock, 5000),
			      "%s%s: the connection goes on",
			      attack_names[kind], after ? " after hello" : "");
			peer_close(&hostile);
			unharmed(&d, fds);
		}
	}
	peer_open(&p, d.socket);
	CHECK(peer_stats(&p).peers_dropped >= dropped + 2 * ATTACKS,
	      "not all were counted: %llu",
	      (unsigned long long)peer_stats(&p).peers_dropped);
	peer_close(&p);
	daemon_stop(&d);
}

static void p6_never_reads(void)
{
	unsigned int fds, i;
	struct daemon d;
	struct peer p;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	peer_open(&p, d.socket);
	for (i = 0; i < 10000; i++) {
		Sharq__Pb__DevicesGet get = SHARQ__PB__DEVICES_GET__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
		int r;

		req.id = i + 2;
		req.body_case = SHARQ__PB__REQUEST__BODY_DEVICES;
		req.devices = &get;
		r = sharq_frame_send_msg(p.sock, &req.base, NULL, 0, false);
		if (r == -EPIPE || r == -ECONNRESET)
			break;
		CHECK(r == 0, "request %u: %s", i, strerror(-r));
	}
	/* Not by reading: that would be what it never does. */
	{
		struct pollfd pfd = { .fd = p.sock, .events = 0 };

		EVENTUALLY(poll(&pfd, 1, 10) == 1 && pfd.revents & POLLHUP,
			   10000);
	}
	peer_close(&p);
	unharmed(&d, fds);
	daemon_stop(&d);
}

/* Replies with descriptors: small, and yet a connection may let wait only few. */
static void p13_unread_replies_hold_few_descriptors(void)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	unsigned int fds, most = 0;
	struct daemon d;
	struct peer p;
	int i, r = 0;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	peer_open(&p, d.socket);
	create.depth = 4;
	for (i = 0; i < 2000 && !r; i++) {
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
		struct timeval patience = { .tv_sec = 5 };
		unsigned int now;

		setsockopt(p.sock, SOL_SOCKET, SO_SNDTIMEO, &patience,
			   sizeof(patience));
		req.id = i + 2;
		req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
		req.queue_create = &create;
		r = sharq_frame_send_msg(p.sock, &req.base, NULL, 0, false);
		now = proc_fds(d.pid);
		most = now > most ? now : most;
	}
	/* Its queues have some, too. */
	CHECK(most < fds + 2000, "it holds %u descriptors", most - fds);
	peer_close(&p);
	/* The engine stays a while. */
	EVENTUALLY(proc_fds(d.pid) < fds + 16, 10000);
	daemon_stop(&d);
}

/* The engine stands still, and what it is to answer piles up at the client. */
static void p13_unanswered_requests_are_few(void)
{
	Sharq__Pb__QueueControl control = SHARQ__PB__QUEUE_CONTROL__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	unsigned int sent = 0, answered = 0;
	static struct sharq_frame frame;
	const char *why = "";
	struct daemon d;
	struct rawq q;
	struct peer p;
	pid_t engine;
	int r = 0;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	rawq_open(&p, 4, &q);
	engine = peer_engine(&p, q.id);
	control.queue = q.id;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CONTROL;
	req.queue_control = &control;
	kill(engine, SIGSTOP);
	while (sent < 5000 && !r) {
		struct pollfd room = { .fd = p.sock, .events = POLLOUT };

		/* Only one who isn't read from for so long. */
		r = poll(&room, 1, 500) == 1 ? 0 : -EAGAIN;
		req.id = sent + 1000;
		control.action =
			sent % 2 ? SHARQ__PB__QUEUE_ACTION__ACTION_RESUME
				 : SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE;
		if (!r)
			r = sharq_frame_send_msg(p.sock, &req.base, NULL, 0,
						 true);
		sent += !r;
	}
	kill(engine, SIGCONT);
	CHECK(r == -EAGAIN, "%u requests were read: %s", sent, strerror(-r));
	for (; answered < sent; answered++) {
		r = sharq_frame_recv(p.sock, &frame, 0, false, &why);
		CHECK(!r, "%u of %u answers: %s %s", answered, sent,
		      strerror(-r), why);
	}
	rawq_close(&q);
	peer_close(&p);
	daemon_stop(&d);
}

/* Each has its line but for a flood, of which it is counted how many there were. */
static void p13_log_is_not_flooded(void)
{
	enum {
		MANY = 300
	};
	char line[512];
	unsigned int lines = 0, fds;
	struct daemon d;
	struct peer p;
	FILE *log;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	for (int i = 0; i < MANY; i++) {
		p.sock = peer_socket(d.socket);
		attack(p.sock, BAD_MAGIC);
		CHECK(peer_ended(p.sock, 5000), "the connection goes on");
		peer_close(&p);
	}
	unharmed(&d, fds);
	log = fopen(d.log, "r");
	CHECK(log, "%s: %s", d.log, strerror(errno));
	while (fgets(line, sizeof(line), log))
		lines++;
	fclose(log);
	CHECK(lines > 1 && lines < MANY / 2, "%u lines", lines);
	daemon_stop(&d);
}

static Sharq__Pb__ServerMessage *next_event(struct peer *p)
{
	static struct sharq_frame frame;
	Sharq__Pb__ServerMessage *m;
	const char *why = "";
	int r = sharq_frame_recv(p->sock, &frame, 0, false, &why);

	CHECK(r == 0, "waiting for an event: %s %s", strerror(-r), why);
	m = sharq__pb__server_message__unpack(NULL, frame.body_len, frame.body);
	CHECK(m && m->body_case == SHARQ__PB__SERVER_MESSAGE__BODY_EVENT,
	      "no event");
	return m;
}

/* How many events come until one of @kind does. */
static unsigned int events_until(struct peer *p, Sharq__Pb__EventKind kind)
{
	unsigned int n = 0;
	bool found = false;

	while (!found) {
		Sharq__Pb__ServerMessage *m = next_event(p);

		found = m->event->kind == kind;
		n += !found;
		sharq__pb__server_message__free_unpacked(m, NULL);
	}
	return n;
}

/* A subscriber that reads late loses events, is told so, and nothing else. */
static void p13_slow_subscriber_loses_events(void)
{
	const unsigned int visits = 2000;
	Sharq__Pb__Subscribe subscribe = SHARQ__PB__SUBSCRIBE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	struct peer slow, visitor;
	unsigned int i, got;
	struct daemon d;

	daemon_start(&d, NULL);
	peer_open(&slow, d.socket);
	req.body_case = SHARQ__PB__REQUEST__BODY_SUBSCRIBE;
	req.subscribe = &subscribe;
	CHECK_EQ(peer_code(&slow, &req), 0);
	for (i = 0; i < visits; i++) {
		peer_open(&visitor, d.socket);
		peer_close(&visitor);
	}
	got = events_until(&slow, SHARQ__PB__EVENT_KIND__EVENT_LOST);
	CHECK(got > 0 && got < 2 * visits, "%u events of %u came", got,
	      2 * visits);
	/* From then on it misses none. */
	for (i = 0; i < 3; i++) {
		peer_open(&visitor, d.socket);
		peer_close(&visitor);
		events_until(&slow,
			     SHARQ__PB__EVENT_KIND__EVENT_CLIENT_CONNECTED);
		events_until(&slow, SHARQ__PB__EVENT_KIND__EVENT_CLIENT_GONE);
	}
	peer_close(&slow);
	daemon_stop(&d);
}

static void p6_requests_before_hello(void)
{
	struct daemon d;
	struct peer p = { .next_id = 1 };
	Sharq__Pb__ServerMessage *m;
	unsigned int fds;
	int i;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	for (i = 0; i < 2; i++) {
		Sharq__Pb__StatsGet get = SHARQ__PB__STATS_GET__INIT;
		Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

		create.depth = 64;
		if (i == 0) {
			req.body_case = SHARQ__PB__REQUEST__BODY_STATS;
			req.stats = &get;
		} else {
			req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
			req.queue_create = &create;
		}
		p.sock = peer_socket(d.socket);
		m = peer_call(&p, &req, NULL, NULL);
		if (m) {
			CHECK(m->reply->code < 0, "served without a hello");
			sharq__pb__server_message__free_unpacked(m, NULL);
		}
		peer_close(&p);
		unharmed(&d, fds);
	}
	daemon_stop(&d);
}

/* Talk without a hello doesn't put its deadline off. */
static void p13_hello_has_a_deadline(void)
{
	Sharq__Pb__StatsGet get = SHARQ__PB__STATS_GET__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	struct daemon d;
	struct peer p = { .next_id = 1 };
	int64_t began;

	daemon_start(&d, NULL);
	req.body_case = SHARQ__PB__REQUEST__BODY_STATS;
	req.stats = &get;
	began = now_ms();
	p.sock = peer_socket(d.socket);
	for (;;) {
		Sharq__Pb__ServerMessage *m = peer_call(&p, &req, NULL, NULL);

		if (!m)
			break;
		sharq__pb__server_message__free_unpacked(m, NULL);
		CHECK(now_ms() - began < 5000 + 3000 * SCALE,
		      "it talks on without a hello");
		usleep(2000);
	}
	peer_close(&p);
	CHECK(file_has(d.log, "it said no hello"), "ended for another reason");
	daemon_stop(&d);
}

static void p6_second_hello(void)
{
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	struct daemon d;
	unsigned int fds;
	struct peer p;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	peer_open(&p, d.socket);
	hello.version_min = hello.version_max = 1;
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	m = peer_call(&p, &req, NULL, NULL);
	if (m) {
		CHECK(m->reply->code < 0, "a second hello was welcome");
		sharq__pb__server_message__free_unpacked(m, NULL);
	}
	peer_close(&p);
	unharmed(&d, fds);
	daemon_stop(&d);
}

static void other_version_refused(void)
{
	static const uint32_t ranges[][2] = { { 99, 99 }, { 0, 0 }, { 5, 2 } };
	struct daemon d;
	unsigned int fds;
	size_t i;

	daemon_start(&d, NULL);
	fds = proc_fds(d.pid);
	for (i = 0; i < 3; i++) {
		Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
		Sharq__Pb__ServerMessage *m;
		struct peer p = { .next_id = 1 };

		p.sock = peer_socket(d.socket);
		hello.version_min = ranges[i][0];
		hello.version_max = ranges[i][1];
		req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
		req.hello = &hello;
		m = peer_call(&p, &req, NULL, NULL);
		CHECK(m, "the connection ended without a word");
		CHECK(m->reply->code < 0, "versions %u to %u were accepted",
		      ranges[i][0], ranges[i][1]);
		if (i == 0) {
			CHECK_EQ(m->reply->code, -EPROTONOSUPPORT);
			CHECK(strstr(m->reply->text, "99") &&
				      strstr(m->reply->text, "version"),
			      "the sentence names no version: %s",
			      m->reply->text);
		}
		sharq__pb__server_message__free_unpacked(m, NULL);
		peer_close(&p);
		unharmed(&d, fds);
	}
	daemon_stop(&d);
}

/* libsharq's side of it: what answers is no sharqd. */
static void library_names_what_it_met(void)
{
	const char *path = tmp_path("file");
	char buf[300], file[128];
	struct sharq *s = NULL;
	int r;

	snprintf(file, sizeof(file), "%s", path);
	file_write(file, "not a socket");
	r = sharq_connect(&s, file);
	CHECK(r < 0, "connected to a file");
	CHECK(strstr(sharq_connect_strerror(r, file, buf, sizeof(buf)), file),
	      "the sentence doesn't name it: %s", buf);
	CHECK(strstr(buf, "no socket"), "it doesn't say what it is: %s", buf);
	snprintf(file, sizeof(file), "%s", tmp_path("nothing"));
	CHECK_EQ(sharq_connect(&s, file), -ENOENT);
	CHECK(strstr(sharq_connect_strerror(-ENOENT, file, buf, sizeof(buf)),
		     file),
	      "the sentence doesn't name it: %s", buf);
}

struct flood {
	const char *socket;
	unsigned int n;
	uint32_t *done, *stop;
};

static void flood_main(void *arg)
{
	struct flood *f = arg;
	unsigned int i;

	for (i = 0; i < f->n; i++)
		(void)!peer_socket(f->socket); /* open until the exit */
	__atomic_store_n(f->done, 1, __ATOMIC_RELEASE);
	EVENTUALLY(__atomic_load_n(f->stop, __ATOMIC_ACQUIRE), 20000);
}

static void refused_main(void *arg)
{
	const struct flood *f = arg;
	char why[256];
	struct sharq *s;

	CHECK_EQ(sharq_connect(&s, f->socket), -EDQUOT);
	sharq_connect_strerror(-EDQUOT, f->socket, why, sizeof(why));
	CHECK(strstr(why, "clients-per-user"), "%s", why);
}

/* Connections that never say hello, up to the user's limit and beyond. */
static void p13_half_open_flood(void)
{
	bool root = geteuid() == 0;
	uint32_t *shared = shared_alloc(4096);
	struct flood f = { .n = 200, .done = shared, .stop = shared + 1 };
	unsigned int fds;
	struct daemon d;
	struct peer p;
	pid_t pid;

	daemon_start(&d, "[limits]\nclients-per-user = 16\nclients = 64\n");
	fds = proc_fds(d.pid);
	f.socket = d.socket;
	pid = spawn(root ? UID_A : geteuid(), flood_main, &f);
	EVENTUALLY(__atomic_load_n(f.done, __ATOMIC_ACQUIRE), 20000);
	join(spawn(root ? UID_A : geteuid(), refused_main, &f), 5000);
	CHECK(proc_fds(d.pid) <= fds + 64, "no limit holds: %u descriptors",
	      proc_fds(d.pid));
	if (root) {
		struct neighbour n;

		neighbour_start(&n, d.socket, UID_B);
		neighbour_advances(&n, 3, 5000);
		neighbour_stop(&n, false);
	}
	__atomic_store_n(f.stop, 1, __ATOMIC_RELEASE);
	join(pid, 30000);
	/* What it held is given back. */
	EVENTUALLY(peer_try(&p, d.socket), 5000);
	peer_close(&p);
	if (root) {
		struct neighbour n;

		neighbour_start(&n, d.socket, UID_A);
		neighbour_stop(&n, false);
	}
	daemon_stop(&d);
}

struct stranger {
	const char *socket;
	uint64_t queue, session, token;
};

static void stranger_main(void *arg)
{
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	struct stranger *st = arg;
	struct queue_seen seen;
	struct peer p;
	int action;

	peer_open(&p, st->socket);
	CHECK(!peer_queue(&p, st->queue, &seen), "another's queue is shown");
	CHECK_EQ(peer_queues(&p, &seen, 1), 0);
	CHECK_EQ(peer_stats(&p).queues, 0);
	CHECK_EQ(peer_stats(&p).arena_bytes, 0);
	for (action = 0; action < 4; action++) {
		CHECK_EQ(peer_control(&p, st->queue, action), -ENOENT);
		CHECK_EQ(peer_control(&p, 999999, action), -ENOENT);
	}
	CHECK_EQ(peer_destroy(&p, st->queue), -ENOENT);
	peer_close(&p);

	/* Not even with the token: the session is another user's. */
	p.next_id = 1;
	p.sock = peer_socket(st->socket);
	hello.version_min = hello.version_max = 1;
	hello.has_session = hello.has_token = 1;
	hello.session = st->session;
	hello.token = st->token;
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	m = peer_call(&p, &req, NULL, NULL);
	if (m && m->reply->code == 0)
		CHECK(m->reply->hello->session != st->session,
		      "another's session was handed over");
	if (m)
		sharq__pb__server_message__free_unpacked(m, NULL);
	peer_close(&p);
}

/*
 * Their engine doesn't let go of them, and their region can't be: gone from the
 * count of connections they are in another.
 */
static void p13_clients_that_are_gone_count_until_done_with(void)
{
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	unsigned int visits = 0;
	struct daemon d;
	struct peer p, keeper;
	struct rawq q;
	pid_t engine;

	daemon_start(&d, "[limits]\nclients-per-user = 8\n");
	peer_open(&keeper, d.socket);
	rawq_open(&keeper, 8, &q);
	engine = peer_engine(&keeper, q.id);
	create.address = create.size = 4096;
	req.id = 1000;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	kill(engine, SIGSTOP);
	while (visits < 100 && peer_try(&p, d.socket)) {
		CHECK_EQ(
			sharq_frame_send_msg(p.sock, &req.base, NULL, 0, false),
			0);
		shutdown(p.sock, SHUT_WR);
		CHECK(peer_ended(p.sock, 5000), "it is kept");
		peer_close(&p);
		visits++;
	}
	CHECK_EQ(visits, 8);
	kill(engine, SIGCONT);
	EVENTUALLY(peer_try(&p, d.socket), 5000);
	peer_close(&p);
	rawq_close(&q);
	peer_close(&keeper);
	daemon_stop(&d);
}

struct owner {
	const char *socket;
	struct stranger *st;
	uint32_t *ready, *stop;
};

static void owner_main(void *arg)
{
	struct owner *o = arg;
	struct sharq_desc nop = { .user_data = 5 };
	struct sharq_cqe cqe;
	struct peer p;
	struct rawq q;

	peer_open(&p, o->socket);
	rawq_open(&p, 8, &q);
	peer_region(&p, 1 << 20, NULL, NULL);
	o->st->queue = q.id;
	o->st->session = p.session;
	o->st->token = p.token;
	__atomic_store_n(o->ready, 1, __ATOMIC_RELEASE);
	EVENTUALLY(__atomic_load_n(o->stop, __ATOMIC_ACQUIRE), 20000);
	rawq_push(&q, &nop, 1);
	CHECK(rawq_reap(&q, &cqe, 5000), "the queue was hurt");
	CHECK_EQ(cqe.user_data, 5);
	CHECK_EQ(rawq_flags(&q) & ~SHARQ_DEVICE_NEED_KNOCK, 0);
	rawq_close(&q);
	peer_close(&p);
}

static void p13_others_queues_invisible(void)
{
	uint32_t *shared;
	struct stranger *st;
	struct owner o;
	struct queue_seen seen;
	struct daemon d;
	struct peer p;
	pid_t pid;

	need_root();
	shared = shared_alloc(4096);
	st = shared_alloc(4096);
	daemon_start(&d, NULL);
	st->socket = o.socket = d.socket;
	o.st = st;
	o.ready = shared;
	o.stop = shared + 1;
	pid = spawn(UID_A, owner_main, &o);
	EVENTUALLY(__atomic_load_n(o.ready, __ATOMIC_ACQUIRE), 10000);
	join(spawn(UID_B, stranger_main, st), 10000);
	/* Root sees it. */
	peer_open(&p, d.socket);
	CHECK(peer_queue(&p, st->queue, &seen), "root doesn't see the queue");
	CHECK_EQ(seen.uid, UID_A);
	CHECK_EQ(peer_control(&p, st->queue,
			      SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE),
		 0);
	EVENTUALLY(peer_queue(&p, st->queue, &seen) &&
			   seen.state == SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED,
		   5000);
	CHECK_EQ(peer_control(&p, st->queue,
			      SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 0);
	__atomic_store_n(o.stop, 1, __ATOMIC_RELEASE);
	join(pid, 20000);
	peer_close(&p);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p6_malformed_packets", p6_malformed_packets, 60 },
		{ "p6_never_reads", p6_never_reads, 60 },
		{ "p13_unread_replies_hold_few_descriptors",
		  p13_unread_replies_hold_few_descriptors, 60 },
		{ "p13_unanswered_requests_are_few",
		  p13_unanswered_requests_are_few, 60 },
		{ "p13_log_is_not_flooded", p13_log_is_not_flooded, 60 },
		{ "p13_slow_subscriber_loses_events",
		  p13_slow_subscriber_loses_events, 60 },
		{ "p6_requests_before_hello", p6_requests_before_hello, 30 },
		{ "p13_hello_has_a_deadline", p13_hello_has_a_deadline, 60 },
		{ "p6_second_hello", p6_second_hello, 30 },
		{ "other_version_refused", other_version_refused, 30 },
		{ "library_names_what_it_met", library_names_what_it_met, 30 },
		{ "p13_half_open_flood", p13_half_open_flood, 60 },
		{ "p13_clients_that_are_gone_count_until_done_with",
		  p13_clients_that_are_gone_count_until_done_with, 60 },
		{ "p13_others_queues_invisible", p13_others_queues_invisible,
		  30 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
