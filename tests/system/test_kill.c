/* SPDX-License-Identifier: MIT */
/* Clients and engines that are killed at work. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

#define IN_FLIGHT 1000
#define PIECE 65536
#define SOURCES 16

struct victim {
	const char *socket;
	int ready;
};

/* Four queues full of work, and memory; then waits to be killed. */
static void victim_main(void *arg)
{
	struct victim *v = arg;
	struct sharq *s = must_connect(v->socket);
	unsigned char *mem = must_alloc(s, 32 << 20);
	unsigned int i, k;

	rnd_fill(mem, 1 << 20, 1);
	for (i = 0; i < 4; i++) {
		struct sharq_queue *q = must_open(s, 64);

		for (k = 0; k < 64; k++) {
			unsigned char *dst =
				mem + ((1 + (i * 4 + k % 4)) << 20);

			if (k % 16 == 3)
				sharq_prep_compress(must_sqe(q), dst, 1 << 20,
						    mem, 1 << 19,
						    SHARQ_FORMAT_RAW, 1);
			else
				sharq_prep_copy(must_sqe(q), dst, mem, 1 << 20);
		}
		must_submit(q, 64);
	}
	CHECK(write(v->ready, "r", 1) == 1, "pipe");
	pause();
}

/* What is left of clients in their engine and in the daemon. */
struct held {
	unsigned int daemon_fds, engine_fds, engine_maps;
};

static unsigned int memfd_maps(pid_t pid)
{
	char path[64], *text, *at;
	unsigned int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	text = file_text(path);
	CHECK(text, "%s: %s", path, strerror(errno));
	for (at = text; (at = strstr(at, "memfd:sharq")); at++)
		n++;
	free(text);
	return n;
}

/* Of an engine only root may see that much. */
static struct held held_by(pid_t daemon, pid_t engine)
{
	struct held h = { .daemon_fds = proc_fds(daemon) };

	if (geteuid() == 0) {
		h.engine_fds = proc_fds(engine);
		h.engine_maps = memfd_maps(engine);
	}
	return h;
}

static bool held_equal(struct held a, struct held b)
{
	return a.daemon_fds == b.daemon_fds && a.engine_fds == b.engine_fds &&
	       a.engine_maps == b.engine_maps;
}

static void p5_client_killed(void)
{
	bool root = geteuid() == 0;
	struct neighbour same, other;
	struct stats_seen before, now;
	struct held held;
	struct daemon d;
	struct peer p;
	pid_t engine;
	int round;

	/* Were a dead client's quota not given back, round 2 would fail. */
	daemon_start(&d, "[limits]\nqueues-per-user = 6\n"
			 "arena-per-user = 160M\n");
	peer_open(&p, d.socket);
	neighbour_start(&same, d.socket, root ? UID_A : geteuid());
	if (root)
		neighbour_start(&other, d.socket, UID_B);
	before = peer_stats(&p);
	engine = peer_engine(&p, same.state->queue);
	held = held_by(d.pid, engine);
	for (round = 0; round < 20; round++) {
		struct victim v = { .socket = d.socket };
		int fds[2];
		pid_t pid;
		char c;

		CHECK_EQ(pipe(fds), 0);
		v.ready = fds[1];
		pid = spawn(root ? UID_A : geteuid(), victim_main, &v);
		close(fds[1]);
		CHECK(read(fds[0], &c, 1) == 1, "round %d: no victim", round);
		close(fds[0]);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		EVENTUALLY((now = peer_stats(&p),
			    now.queues == before.queues &&
				    now.clients == before.clients &&
				    now.arena_bytes == before.arena_bytes),
			   10000);
		EVENTUALLY(held_equal(held_by(d.pid, engine), held), 10000);
		neighbour_advances(&same, 3, 10000);
		if (root)
			neighbour_advances(&other, 3, 10000);
	}
	CHECK_EQ(peer_stats(&p).engine_deaths, 0);
	neighbour_stop(&same, false);
	if (root)
		neighbour_stop(&other, false);
	EVENTUALLY(peer_stats(&p).queues == 0, 5000);
	daemon_stop(&d);
}

struct load {
	struct sharq *s;
	struct sharq_queue *q;
	unsigned char *src, *dst;
	unsigned int round;
};

static const unsigned char *load_source(const struct load *l, uint64_t i)
{
	return l->src + (i + l->round) % SOURCES * PIECE;
}

static void load_open(struct load *l, const char *socket)
{
	l->round = 0;
	l->s = must_connect(socket);
	l->q = must_open(l->s, 1024);
	l->src = must_alloc(l->s, SOURCES * PIECE);
	l->dst = must_alloc(l->s, (size_t)IN_FLIGHT * PIECE);
	rnd_fill(l->src, SOURCES * PIECE, 7);
}

static void load_close(struct load *l)
{
	sharq_free(l->s, l->src);
	sharq_free(l->s, l->dst);
	sharq_queue_close(l->q);
	sharq_disconnect(l->s);
}

static void load_submit(struct load *l)
{
	unsigned int i;

	/* No command comes twice: else it could be blamed for two crashes. */
	l->round++;
	memset(l->dst, 0, (size_t)IN_FLIGHT * PIECE);
	for (i = 0; i < IN_FLIGHT; i++) {
		struct sharq_sqe *sqe = must_sqe(l->q);

		sharq_prep_copy(sqe, l->dst + (size_t)i * PIECE,
				load_source(l, i), PIECE);
		sharq_sqe_set_data64(sqe, 0xabcd000000ULL + i);
	}
	must_submit(l->q, IN_FLIGHT);
}

/* The engine is at it: something is done, most is not. */
static void load_begun(struct load *l)
{
	const struct sharq_cqe *cqe;

	CHECK_EQ(sharq_wait_cqe(l->q, &cqe, 10000), 0);
}

/*
 * Every command exactly once, OK ones with their data. Return: resets.
 * @cancel_ok: with nobody left, what no engine had taken is canceled.
 */
static unsigned int load_reap(struct load *l, bool cancel_ok)
{
	static unsigned char seen[IN_FLIGHT];
	const struct sharq_cqe *extra;
	unsigned int i, resets = 0;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < IN_FLIGHT; i++) {
		struct sharq_cqe c = must_reap(l->q, 20000);
		uint64_t k = c.user_data - 0xabcd000000ULL;

		CHECK(k < IN_FLIGHT, "user_data %llx was never given",
		      (unsigned long long)c.user_data);
		CHECK(!seen[k], "command %llu completed twice",
		      (unsigned long long)k);
		seen[k] = 1;
		if (c.status == SHARQ_RESET) {
			resets++;
			continue;
		}
		if (c.status == SHARQ_CANCELED && cancel_ok)
			continue;
		CHECK_EQ(c.status, SHARQ_OK);
		CHECK(memcmp(l->dst + k * PIECE, load_source(l, k), PIECE) == 0,
		      "command %llu is OK but its data is wrong",
		      (unsigned long long)k);
	}
	CHECK_EQ(sharq_peek_cqe(l->q, &extra), -EAGAIN);
	CHECK_EQ(sharq_queue_outstanding(l->q), 0);
	return resets;
}

static void engine_killed(bool other_users)
{
	struct neighbour other;
	unsigned int round, resets = 0;
	pid_t other_engine = 0;
	struct daemon d;
	struct load l;
	struct peer p;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	if (other_users) {
		neighbour_start(&other, d.socket, UID_B);
		other_engine = peer_engine(&p, other.state->queue);
	}
	load_open(&l, d.socket);
	for (round = 0; round < 5; round++) {
		pid_t engine = peer_engine(&p, queue_id(l.q));

		CHECK(engine != other_engine, "two users share an engine");
		load_submit(&l);
		load_begun(&l);
		kill(engine, SIGKILL);
		resets += load_reap(&l, false);
		must_work(l.s, l.q);
		CHECK(peer_engine(&p, queue_id(l.q)) != engine,
		      "the engine has the dead one's pid");
		if (other_users)
			neighbour_advances(&other, 3, 10000);
	}
	CHECK(resets > 0, "in no round was anything in flight");
	CHECK_EQ(peer_stats(&p).engine_deaths, 5);
	if (other_users) {
		CHECK_EQ(peer_engine(&p, other.state->queue), other_engine);
		neighbour_stop(&other, false);
	}
	load_close(&l);
	daemon_stop(&d);
}

static void p14_engine_killed(void)
{
	engine_killed(false);
}

static void p13_engine_killed_others_untouched(void)
{
	need_root();
	engine_killed(true);
}

/* The client's own death right after the engine's: neither may leak. */
static void p14_engine_and_client_killed(void)
{
	struct stats_seen now;
	struct daemon d;
	struct peer p;
	int round;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	for (round = 0; round < 4; round++) {
		struct victim v = { .socket = d.socket };
		struct queue_seen q;
		int fds[2];
		pid_t pid;
		char c;

		CHECK_EQ(pipe(fds), 0);
		v.ready = fds[1];
		pid = spawn(geteuid(), victim_main, &v);
		close(fds[1]);
		CHECK(read(fds[0], &c, 1) == 1, "no victim");
		close(fds[0]);
		CHECK_EQ(peer_queues(&p, &q, 1), 4);
		kill(q.engine_pid, SIGKILL);
		kill(pid, SIGKILL);
		CHECK_EQ(waitpid(pid, NULL, 0), pid);
		EVENTUALLY((now = peer_stats(&p),
			    now.queues == 0 && now.arena_bytes == 0),
			   10000);
	}
	daemon_stop(&d);
}

static void quarantine_submit(struct sharq_queue *q, unsigned char *src,
			      unsigned char *dst)
{
	sharq_prep_compress(must_sqe(q), dst, 1U << 30, src, 1U << 30,
			    SHARQ_FORMAT_GZIP, 3);
	must_submit(q, 1);
}

static void p13_quarantine(void)
{
	struct sharq_queue *bad, *good;
	unsigned char *src, *dst;
	struct queue_seen seen;
	char id[32], buf[256];
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int k;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	bad = must_open(s, 8);
	good = must_open(s, 8);
	src = must_alloc(s, 1U << 30);
	dst = must_alloc(s, 1U << 30);
	/* Not all zeros, or an engine could be done with it too soon. */
	rnd_fill(src, 256 << 20, 3);
	for (k = 1; k <= 2; k++) {
		pid_t engine = peer_engine(&p, queue_id(bad));
		unsigned long long ticks = proc_cpu_ticks(engine);

		quarantine_submit(bad, src, dst);
		/* It works, and there is nothing else to work on. */
		EVENTUALLY(proc_cpu_ticks(engine) >= ticks + 3, 5000);
		kill(engine, SIGKILL);
		CHECK_EQ(must_reap(bad, 20000).status, SHARQ_RESET);
		/* Not by one crash. */
		if (k == 1)
			must_work(s, bad);
	}
	EVENTUALLY(peer_queue(&p, queue_id(bad), &seen) &&
			   seen.state ==
				   SHARQ__PB__QUEUE_STATE__QUEUE_QUARANTINED,
		   10000);
	sharq_prep_nop(must_sqe(bad));
	CHECK_EQ(sharq_submit(bad), -ESHUTDOWN);
	CHECK(strstr(sharq_error(s, buf, sizeof(buf)), "quarantin"),
	      "the error doesn't say why: %s", buf);
	must_work(s, good);
	snprintf(id, sizeof(id), "%llu", (unsigned long long)queue_id(bad));
	{
		char *argv[] = { (char *)bin_path("sharqctl"),
				 (char *)"--socket",
				 d.socket,
				 (char *)"show",
				 (char *)"queue",
				 id,
				 NULL };
		const char *out = tmp_path("show");

		CHECK_EQ(run_program(argv, out, NULL, 10000), 0);
		CHECK(file_has(out, "quarantined"),
		      "sharqctl doesn't say quarantined");
	}
	sharq_queue_close(bad);
	bad = must_open(s, 8);
	must_work(s, bad);
	sharq_queue_close(bad);
	sharq_queue_close(good);
	sharq_free(s, src);
	sharq_free(s, dst);
	sharq_disconnect(s);
	daemon_stop(&d);
}

#define SHARERS 6
#define SHARED_WORK (256U << 20)

/*
 * Queues take turns on one worker, each with a command begun. At a crash it was
 * at one of them: at most one queue can have been executing at both crashes.
 */
static void p13_quarantine_spares_those_that_wait(void)
{
	struct sharq_queue *q[SHARERS];
	unsigned char *src, *dst;
	unsigned int i, dead = 0;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int crash;

	daemon_start(&d, "[engine]\nworkers = 1\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	src = must_alloc(s, SHARED_WORK);
	dst = must_alloc(s, SHARED_WORK);
	rnd_fill(src, SHARED_WORK, 3);
	for (i = 0; i < SHARERS; i++)
		q[i] = must_open(s, 8);
	for (crash = 1; crash <= 2; crash++) {
		pid_t engine = peer_engine(&p, queue_id(q[0]));
		unsigned long long ticks = proc_cpu_ticks(engine);

		for (i = 0; i < SHARERS; i++) {
			sharq_prep_compress(must_sqe(q[i]), dst, SHARED_WORK,
					    src, SHARED_WORK, SHARQ_FORMAT_RAW,
					    3);
			must_submit(q[i], 1);
		}
		/* Long enough for some turns of each. */
		EVENTUALLY(proc_cpu_ticks(engine) >= ticks + 20, 10000);
		kill(engine, SIGKILL);
		for (i = 0; i < SHARERS; i++)
			CHECK_EQ(must_reap(q[i], 20000).status, SHARQ_RESET);
	}
	for (i = 0; i < SHARERS; i++) {
		sharq_prep_nop(must_sqe(q[i]));
		dead += sharq_submit(q[i]) == -ESHUTDOWN;
		sharq_queue_close(q[i]);
	}
	CHECK(dead <= 1, "%u queues are quarantined", dead);
	sharq_free(s, src);
	sharq_free(s, dst);
	sharq_disconnect(s);
	daemon_stop(&d);
}

#define DEATHS 5

/* sharqd's clock, libevent's: up to a tick behind now_ms(). */
static int64_t coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Kill the engine that serves @queue. Return: ms until there is another. */
static int64_t replace_engine(struct peer *p, uint64_t queue)
{
	pid_t engine = peer_engine(p, queue);
	int64_t began = coarse_ms();

	kill(engine, SIGKILL);
	EVENTUALLY(peer_engine(p, queue) != engine, 10000);
	return coarse_ms() - began;
}

/* An engine that dies again and again is started anew, but not ever faster. */
static void p13_engine_that_dies_often_waits(void)
{
	struct sharq_queue *q;
	int64_t soon = 0, late;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int i;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	q = must_open(s, 8);
	for (i = 0; i < DEATHS; i++)
		soon += replace_engine(&p, queue_id(q));
	late = replace_engine(&p, queue_id(q));
	printf("  %d engines were replaced in %lld ms, the next in %lld ms\n",
	       DEATHS, (long long)soon, (long long)late);
	CHECK(soon < DEATHS * 1000, "each of the first had to wait");
	CHECK(late >= 1000, "the next didn't wait");
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* An event loop that begins with it now doesn't spin. */
static void nothing_to_poll_for(struct sharq_queue *q)
{
	struct pollfd p = { .fd = sharq_queue_fd(q), .events = POLLIN };
	const struct sharq_cqe *cqe;

	CHECK(p.fd >= 0, "no descriptor");
	CHECK_EQ(sharq_peek_cqe(q, &cqe), -EAGAIN);
	CHECK_EQ(poll(&p, 1, 0), 0);
}

static void p14_both_killed(void)
{
	unsigned int resets, i;
	struct sharq_queue *q;
	char buf[256];
	struct daemon d;
	struct load l;
	struct peer p;
	pid_t engine;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	load_open(&l, d.socket);
	engine = peer_engine(&p, queue_id(l.q));
	load_submit(&l);
	load_begun(&l);
	/* Stopped first, so that the daemon can't start another engine. */
	kill(d.pid, SIGSTOP);
	kill(engine, SIGKILL);
	daemon_kill(&d);
	resets = load_reap(&l, true);
	CHECK(resets > 0, "nothing was in flight");
	for (i = 0; i < 3; i++) {
		sharq_prep_nop(must_sqe(l.q));
		CHECK_EQ(sharq_submit(l.q), -ESHUTDOWN);
	}
	nothing_to_poll_for(l.q);
	CHECK(strlen(sharq_error(l.s, buf, sizeof(buf))) > 8, "no sentence");
	CHECK_EQ(sharq_queue_outstanding(l.q), 0);
	/* A new daemon finds nothing to adopt, says so, and serves. */
	daemon_spawn(&d);
	CHECK_EQ(sharq_queue_open(l.s, NULL, &q), -ENOTCONN);
	CHECK(strstr(sharq_error(l.s, buf, sizeof(buf)), "anew"),
	      "the sentence doesn't say why: %s", buf);
	load_close(&l);
	load_open(&l, d.socket);
	must_work(l.s, l.q);
	load_close(&l);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p5_client_killed", p5_client_killed, 120 },
		{ "p14_engine_killed", p14_engine_killed, 60 },
		{ "p13_engine_killed_others_untouched",
		  p13_engine_killed_others_untouched, 60 },
		{ "p14_engine_and_client_killed", p14_engine_and_client_killed,
		  60 },
		{ "p13_quarantine", p13_quarantine, 120 },
		{ "p13_quarantine_spares_those_that_wait",
		  p13_quarantine_spares_those_that_wait, 120 },
		{ "p13_engine_that_dies_often_waits",
		  p13_engine_that_dies_often_waits, 60 },
		{ "p14_both_killed", p14_both_killed, 60 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
