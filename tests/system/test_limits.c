/* SPDX-License-Identifier: MIT */
/* Peers that keep to the protocol and want more than their share. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

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
	daemon_unharmed(&d, fds);
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
		/* No message of sharq's. */
		CHECK_EQ(send(p.sock, "?", 1, MSG_NOSIGNAL), 1);
		CHECK(peer_ended(p.sock, 5000), "the connection goes on");
		peer_close(&p);
	}
	daemon_unharmed(&d, fds);
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

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p6_never_reads", p6_never_reads, 60 },
		{ "p13_unread_replies_hold_few_descriptors",
		  p13_unread_replies_hold_few_descriptors, 60 },
		{ "p13_unanswered_requests_are_few",
		  p13_unanswered_requests_are_few, 60 },
		{ "p13_log_is_not_flooded", p13_log_is_not_flooded, 60 },
		{ "p13_slow_subscriber_loses_events",
		  p13_slow_subscriber_loses_events, 60 },
		{ "p13_hello_has_a_deadline", p13_hello_has_a_deadline, 60 },
		{ "p13_half_open_flood", p13_half_open_flood, 60 },
		{ "p13_clients_that_are_gone_count_until_done_with",
		  p13_clients_that_are_gone_count_until_done_with, 60 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
