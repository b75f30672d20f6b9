/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that take long to close: sent to whom they don't belong, so that it
 * is the daemon that has to close them.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

static bool all_stopped(pid_t pid)
{
	char path[300], *text;
	bool stopped = true;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	CHECK(dir, "%s: %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid,
			 e->d_name);
		text = file_text(path);
		stopped &= text && strstr(text, "State:\tT");
		free(text);
	}
	closedir(dir);
	return stopped;
}

/* SIGSTOP reaches its other threads only by and by. */
static void stand_still(pid_t pid)
{
	kill(pid, SIGSTOP);
	EVENTUALLY(all_stopped(pid), 5000);
}

/* Longer than any request here may take. */
#define LINGER_S 100

/*
 * A TCP socket whose last close lasts: it lingers, and its peer, which is @peer,
 * doesn't read.
 */
static int lingering(int *peer)
{
	struct linger linger = { .l_onoff = 1, .l_linger = LINGER_S };
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char data[65536];
	const int little = 4096, more = 16384;

	/*
	 * Of thousands of them the kernel has to keep what was sent. More than the
	 * peer has room for, or all of it would arrive, and nothing linger.
	 */
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &more, sizeof(more));
	CHECK(!bind(listener, (struct sockaddr *)&addr, len) &&
		      !listen(listener, 1) &&
		      !getsockname(listener, (struct sockaddr *)&addr, &len) &&
		      !connect(sock, (struct sockaddr *)&addr, len),
	      "no TCP on the loopback: %s", strerror(errno));
	*peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(*peer >= 0, "accept: %s", strerror(errno));
	close(listener);
	CHECK(!setsockopt(sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
	      "SO_LINGER: %s", strerror(errno));
	while (send(sock, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	CHECK_EQ(errno, EAGAIN);
	return sock;
}

static size_t region_packet(uint8_t *buf, size_t size, unsigned int fds)
{
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	int n;

	create.address = 1 << 20;
	create.size = 4096;
	req.id = 1000;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	n = sharq_frame_pack(&req.base, fds, buf, size);
	CHECK(n > 0, "packing: %d", n);
	return (size_t)n;
}

/*
 * The last descriptor of it is on its way: whoever may receive it stands still, or
 * the last close would perhaps be our own. Return: the peer, who could read.
 */
static int give_away(int sock, const void *data, size_t len, unsigned int n)
{
	int peer, fds[64];

	fds[0] = lingering(&peer);
	for (unsigned int i = 1; i < n; i++)
		fds[i] = fds[0];
	peer_send_fds(sock, data, len, fds, n);
	close(fds[0]);
	return peer;
}

/* Where a region's descriptor could be, and more than any message may have. */
static void p13_lingering_descriptor_stops_nobody(void)
{
	uint8_t buf[256];
	struct daemon d;
	struct peer p;
	size_t len;

	daemon_start(&d, NULL);
	for (unsigned int n = 1; n <= 64; n += 63) {
		peer_open(&p, d.socket);
		len = region_packet(buf, sizeof(buf), n == 1 ? 1 : 4);
		stand_still(d.pid);
		give_away(p.sock, buf, len, n);
		kill(d.pid, SIGCONT);
		CHECK(peer_ended(p.sock, 5000), "%u: the connection goes on",
		      n);
		peer_close(&p);
		daemon_serves(&d);
	}
	daemon_stop(&d);
}

/* It comes after what ends the connection: nobody ever looks at it. */
static void p13_lingering_descriptor_unread_stops_nobody(void)
{
	struct daemon d;

	daemon_start(&d, NULL);
	/* An empty packet looks like the end. */
	for (unsigned int len = 0; len <= 1; len++) {
		int sock;

		stand_still(d.pid);
		sock = peer_socket(d.socket);
		CHECK_EQ(send(sock, "?", len, MSG_NOSIGNAL), len);
		give_away(sock, "?", len, 1);
		kill(d.pid, SIGCONT);
		CHECK(peer_ended(sock, 5000), "%u: the connection goes on",
		      len);
		close(sock);
		daemon_serves(&d);
	}
	daemon_stop(&d);
}

/* Of one whose connection is one too many. */
static void p13_lingering_descriptor_refused_stops_nobody(void)
{
	struct daemon d;
	struct peer p;
	int sock;

	daemon_start(&d, "[limits]\nclients-per-user = 1\n");
	peer_open(&p, d.socket);
	stand_still(d.pid);
	sock = peer_socket(d.socket);
	give_away(sock, "?", 1, 1);
	kill(d.pid, SIGCONT);
	CHECK(peer_ended(sock, 5000), "the connection goes on");
	close(sock);
	peer_stats(&p);
	peer_close(&p);
	daemon_stop(&d);
}

/*
 * What a client sends to its engine. The daemon has the engine's end, too, for the
 * next one, and closes it when all others are gone.
 */
static void p13_lingering_descriptor_in_a_queue_stops_nobody(void)
{
	struct peer p, other;
	struct daemon d;
	struct rawq q;
	pid_t engine;

	daemon_start(&d, NULL);
	peer_open(&other, d.socket);
	peer_open(&p, d.socket);
	rawq_open(&p, 8, &q);
	engine = peer_engine(&p, q.id);
	/* Or it would receive it. */
	stand_still(engine);
	give_away(q.sock, "?", 1, 1);
	rawq_close(&q);
	peer_close(&p);
	/* The engine hangs and is killed. */
	EVENTUALLY(!peer_stats(&other).queues, 20000);
	CHECK(!pid_alive(engine), "its engine lives");
	daemon_serves(&d);
	peer_close(&other);
	daemon_stop(&d);
}

static bool refused(const char *socket)
{
	struct peer p;
	bool ok = peer_try(&p, socket);

	if (ok)
		peer_close(&p);
	return !ok;
}

/* The daemon's limit; of those that it refuses, too, it keeps twice as many. */
#define CLOSING_MAX 1024
#define FLOOD (3 * CLOSING_MAX)

/* @step: of the two sides in turn, what they have done */
struct pile {
	const char *socket;
	uint32_t *step;
};

static void step_done(const struct pile *pile, uint32_t step)
{
	__atomic_store_n(pile->step, step, __ATOMIC_RELEASE);
}

static bool step_is(const struct pile *pile, uint32_t step)
{
	return __atomic_load_n(pile->step, __ATOMIC_ACQUIRE) == step;
}

/* On a connection that there was before. Return: the error that they end with, or 0. */
static int make_queues(struct peer *p)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	create.depth = 8;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
	req.queue_create = &create;
	for (int i = 0; i < 2 * CLOSING_MAX; i++) {
		Sharq__Pb__ServerMessage *msg = peer_call(p, &req, NULL, NULL);
		int code = msg ? msg->reply->code : -EPIPE;
		uint64_t id = msg && !code ? msg->reply->queue_created->queue
					   : 0;

		if (msg)
			sharq__pb__server_message__free_unpacked(msg, NULL);
		if (code)
			return code;
		/* Its socket wasn't taken from the answer: it may be gone already. */
		code = peer_destroy(p, id);
		CHECK(!code || code == -ENOENT, "destroying it: %d", code);
	}
	return 0;
}

static void pile_up(void *arg)
{
	static int socks[FLOOD], slow[FLOOD];
	const struct pile *pile = arg;
	const char *socket = pile->socket;
	int sock, first;
	struct rlimit lim;
	struct rawq q;
	struct peer p;

	/* So many may be in flight. */
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	peer_open(&p, socket);
	/* An engine that is started later may have the last copy, and give it up. */
	rawq_open(&p, 8, &q);
	rawq_close(&q);
	step_done(pile, 1);
	EVENTUALLY(step_is(pile, 2), 5000);
	sock = peer_socket(socket);
	first = give_away(sock, "?", 1, 1);
	close(sock);
	step_done(pile, 3);
	/* Behind the first: the other ends of queues. */
	CHECK_EQ(make_queues(&p), -EDQUOT);
	CHECK(refused(socket), "there is room for another connection");
	step_done(pile, 4);
	EVENTUALLY(step_is(pile, 5), 5000);
	/* And what connections bring that are refused. Each would linger. */
	for (int i = 0; i < FLOOD; i++) {
		socks[i] = peer_socket(socket);
		slow[i] = give_away(socks[i], "?", 1, 1);
	}
	step_done(pile, 6);
	for (int i = 0; i < FLOOD; i++)
		CHECK(peer_ended(socks[i], 10000), "%d isn't refused", i);
	step_done(pile, 7);
	/* Reset by their peers they don't linger any more, and all end. */
	close(first);
	for (int i = 0; i < FLOOD; i++)
		close(slow[i]);
	EVENTUALLY(!refused(socket), 5000);
}

/* What can't be closed piles up to a limit, which is its own user's. */
static void p13_what_cant_be_closed_is_bounded(void)
{
	struct daemon d;
	struct pile pile = { d.socket, shared_alloc(4096) };
	unsigned int fds, now, most = 0;
	pid_t pid;

	need_root();
	daemon_start(&d, NULL);
	pid = spawn(UID_A, pile_up, &pile);
	EVENTUALLY(step_is(&pile, 1), 5000);
	stand_still(d.pid);
	step_done(&pile, 2);
	EVENTUALLY(step_is(&pile, 3), 5000);
	kill(d.pid, SIGCONT);
	for (int i = 0; i < 20; i++)
		daemon_serves(&d);
	EVENTUALLY(step_is(&pile, 4), 20000);
	stand_still(d.pid);
	fds = proc_fds(d.pid);
	CHECK(fds > CLOSING_MAX, "%u descriptors: nothing piled up", fds);
	step_done(&pile, 5);
	EVENTUALLY(step_is(&pile, 6), 20000);
	kill(d.pid, SIGCONT);
	while (!step_is(&pile, 7) && pid_alive(pid)) {
		now = proc_fds(d.pid);
		most = now > most ? now : most;
	}
	/* Twice the limit, and what is being accepted. */
	CHECK(most < fds + CLOSING_MAX + 128, "%u descriptors, before %u", most,
	      fds);
	join(pid, 20000);
	daemon_serves(&d);
	daemon_stop(&d);
}

/* More connections than are accepted before it stops; the last brings it. */
static void p13_lingering_descriptor_unaccepted_stops_no_end(void)
{
	int socks[200];
	struct daemon d;

	daemon_start(&d, NULL);
	stand_still(d.pid);
	for (int i = 0; i < 200; i++)
		socks[i] = peer_socket(d.socket);
	give_away(socks[199], "?", 1, 1);
	kill(d.pid, SIGTERM);
	kill(d.pid, SIGCONT);
	CHECK_EQ(daemon_wait(&d, 10000), 0);
	for (int i = 0; i < 200; i++)
		close(socks[i]);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p13_lingering_descriptor_stops_nobody",
		  p13_lingering_descriptor_stops_nobody, 60 },
		{ "p13_lingering_descriptor_unread_stops_nobody",
		  p13_lingering_descriptor_unread_stops_nobody, 60 },
		{ "p13_lingering_descriptor_refused_stops_nobody",
		  p13_lingering_descriptor_refused_stops_nobody, 60 },
		{ "p13_lingering_descriptor_in_a_queue_stops_nobody",
		  p13_lingering_descriptor_in_a_queue_stops_nobody, 60 },
		{ "p13_what_cant_be_closed_is_bounded",
		  p13_what_cant_be_closed_is_bounded, 60 },
		{ "p13_lingering_descriptor_unaccepted_stops_no_end",
		  p13_lingering_descriptor_unaccepted_stops_no_end, 60 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
