/* SPDX-License-Identifier: MIT */
/* Peers of the daemon's socket that don't keep to the protocol. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

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
			daemon_unharmed(&d, fds);
		}
	}
	peer_open(&p, d.socket);
	CHECK(peer_stats(&p).peers_dropped >= dropped + 2 * ATTACKS,
	      "not all were counted: %llu",
	      (unsigned long long)peer_stats(&p).peers_dropped);
	peer_close(&p);
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
		daemon_unharmed(&d, fds);
	}
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
	daemon_unharmed(&d, fds);
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
		daemon_unharmed(&d, fds);
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
		{ "p6_requests_before_hello", p6_requests_before_hello, 30 },
		{ "p6_second_hello", p6_second_hello, 30 },
		{ "other_version_refused", other_version_refused, 30 },
		{ "library_names_what_it_met", library_names_what_it_met, 30 },
		{ "p13_others_queues_invisible", p13_others_queues_invisible,
		  30 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
