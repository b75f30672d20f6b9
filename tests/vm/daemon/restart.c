/* SPDX-License-Identifier: MIT */
/* sharqd is killed, or told to stop, with work in flight. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>

#include "cases.h"
#include "daemon.h"
#include "help.h"
#include "module.h"
#include "neighbour.h"
#include "peer.h"

/* ---- the controller dies ---- */

#define ROUNDS 2

/* How far the client is, and how far the test. */
struct steps {
	uint32_t client, test;
	uint64_t a, c;
	uint64_t accepted;
};

static void step(uint32_t *mine)
{
	__atomic_fetch_add(mine, 1, __ATOMIC_RELEASE);
}

#define AWAIT(other, n)                                                        \
	EVENTUALLY(__atomic_load_n(&(other), __ATOMIC_ACQUIRE) >= (n), 60000)

struct client {
	const char *socket;
	struct steps *steps;
};

static void killed_client(void *arg)
{
	const struct client *cl = arg;
	struct sharq_queue_opts opts = { .depth = 8 };
	struct sharq *s = must_connect(cl->socket);
	struct sharq_queue *a = open_path(s, 64, SHARQ_PATH_SHADOW);
	struct sharq_queue *b = open_path(s, 8, SHARQ_PATH_SHADOW);
	struct sharq_queue *c;
	struct steps *st = cl->steps;
	struct load l;

	load_make(&l, s);
	st->a = queue_id(a);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		load_submit(&l, a);
		step(&st->client);
		AWAIT(st->test, 3 * round + 1);
		/* The daemon is dead. */
		open_fails(s, &opts, -ENOTCONN, "sharqd");
		load_reap(&l, a);
		must_work(s, a);
		must_work(s, b);
		step(&st->client);
		AWAIT(st->test, 3 * round + 2);
		/* The next one knows the session and counts its queues. */
		EVENTUALLY(!sharq_queue_open(s, &opts, &c), 5000);
		CHECK(queue_id(c) != queue_id(a) && queue_id(c) != queue_id(b),
		      "a queue's id was given twice");
		open_fails(s, &opts, -EDQUOT, "queues-per-user");
		st->c = queue_id(c);
		must_work(s, c);
		must_work(s, a);
		step(&st->client);
		AWAIT(st->test, 3 * round + 3);
		sharq_queue_close(c);
	}
	sharq_queue_close(a);
	sharq_queue_close(b);
	load_free(&l, s);
	sharq_disconnect(s);
}

void p14_controller_killed(void)
{
	struct client cl = { .steps = shared_alloc(sizeof(struct steps)) };
	struct steps *st = cl.steps;
	struct queue_seen before, after;
	struct daemon d;
	struct peer p;
	pid_t pid;

	daemon_start_auto(&d, "[limits]\nqueues-per-user = 3\n");
	cl.socket = d.socket;
	pid = spawn(UID_A, killed_client, &cl);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		AWAIT(st->client, 3 * round + 1);
		peer_open(&p, d.socket);
		/* A kick may still be on its way. */
		EVENTUALLY(peer_queue(&p, st->a, &before) && before.in_flight,
			   10000);
		peer_close(&p);
		daemon_kill(&d);
		step(&st->test);
		AWAIT(st->client, 3 * round + 2);
		daemon_spawn(&d);
		peer_open(&p, d.socket);
		CHECK(peer_queue(&p, st->a, &after), "the queue is lost");
		CHECK_EQ(after.uid, UID_A);
		CHECK_EQ(after.pid, pid);
		CHECK_EQ(after.session, before.session);
		CHECK_EQ(after.state, SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING);
		CHECK_EQ(after.path, SHARQ_PATH_SHADOW);
		CHECK_EQ(after.in_flight, 0);
		CHECK(after.commands >= before.commands + before.in_flight,
		      "its figures began anew");
		step(&st->test);
		AWAIT(st->client, 3 * round + 3);
		CHECK(peer_queue(&p, st->c, &after), "the new one isn't there");
		CHECK_EQ(after.session, before.session);
		peer_close(&p);
		step(&st->test);
	}
	join(pid, 20000);
	peer_open(&p, d.socket);
	EVENTUALLY(!peer_queues(&p, NULL, 0), 5000);
	EVENTUALLY(peer_stats(&p).clients == 1, 5000);
	peer_close(&p);
	daemon_stop(&d);
}

static void holding_client(void *arg)
{
	const struct client *cl = arg;
	struct sharq *s = must_connect(cl->socket);
	struct sharq_queue *q = open_path(s, 8, SHARQ_PATH_SHADOW);

	must_work(s, q);
	cl->steps->a = queue_id(q);
	step(&cl->steps->client);
	pause();
}

/* A client that dies while no daemon looks isn't adopted; one that dies later
 * is noticed, without a connection to notice it by. */
void p5_clients_end_without_daemon(void)
{
	struct client cl[2];
	struct daemon d;
	struct peer p;
	pid_t pid[2];

	daemon_start_auto(&d, NULL);
	for (int i = 0; i < 2; i++) {
		cl[i].socket = d.socket;
		cl[i].steps = shared_alloc(sizeof(struct steps));
		pid[i] = spawn(UID_A, holding_client, &cl[i]);
		AWAIT(cl[i].steps->client, 1);
	}
	daemon_kill(&d);
	kill(pid[0], SIGKILL);
	EVENTUALLY(!pid_alive(pid[0]), 5000);
	daemon_spawn(&d);
	peer_open(&p, d.socket);
	EVENTUALLY(peer_queues(&p, NULL, 0) == 1, 5000);
	CHECK_EQ(peer_stats(&p).clients, 2);
	kill(pid[1], SIGKILL);
	EVENTUALLY(peer_queues(&p, NULL, 0) == 0, 5000);
	EVENTUALLY(peer_stats(&p).clients == 1, 5000);
	CHECK_EQ(peer_stats(&p).commands, 1);
	peer_close(&p);
	daemon_stop(&d);
}

/* ---- told to stop ---- */

static void stopped_client(void *arg)
{
	const struct client *cl = arg;
	struct sharq *s = must_connect(cl->socket);
	struct sharq_queue *q = open_path(s, 64, SHARQ_PATH_SHADOW);
	struct steps *st = cl->steps;
	struct load l;
	int r;

	load_make(&l, s);
	load_submit(&l, q);
	step(&st->client);
	AWAIT(st->test, 1);
	/* What was accepted is done. */
	CHECK_EQ(load_reap_some(&l, q), st->accepted);
	sharq_prep_nop(must_sqe(q));
	r = sharq_submit(q);
	CHECK(r < 0, "a queue of a service that has stopped takes commands");
	sharq_queue_close(q);
	load_free(&l, s);
	sharq_disconnect(s);
}

/* What the only queue has done, of which it cancelled nothing. */
static uint64_t drained_commands(void)
{
	int fd = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC);
	struct sharq_ctl_queue q;
	struct sharq_ctl_stats stats;

	CHECK(fd >= 0, "%s: %s", SHARQ_CONTROL_PATH, strerror(errno));
	CHECK_EQ(module_queue(fd, 0, &q), 0);
	CHECK_EQ(q.state, SHARQ_QUEUE_CLOSED);
	CHECK_EQ(module_stats(fd, q.id, &stats), 0);
	CHECK_EQ(stats.in_flight, 0);
	CHECK_EQ(stats.by_status[SHARQ_CANCELED], 0);
	close(fd);
	return stats.commands;
}

void p14_sigterm_drains_and_ends(void)
{
	struct client cl = { .steps = shared_alloc(sizeof(struct steps)) };
	struct queue_seen seen;
	struct daemon d;
	struct peer p;
	pid_t pid;

	daemon_start_auto(&d, "drain-ms = 30000\n");
	cl.socket = d.socket;
	pid = spawn(UID_A, stopped_client, &cl);
	AWAIT(cl.steps->client, 1);
	peer_open(&p, d.socket);
	EVENTUALLY(peer_queues(&p, &seen, 1) == 1 && seen.in_flight, 10000);
	peer_close(&p);
	kill(d.pid, SIGTERM);
	CHECK_EQ(daemon_wait(&d, 40000), 0);
	cl.steps->accepted = drained_commands();
	step(&cl.steps->test);
	join(pid, 30000);
}

void sigusr2_leaves_queues(void)
{
	struct queue_seen seen;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;

	daemon_start_auto(&d, NULL);
	s = must_connect(d.socket);
	q = open_path(s, 8, SHARQ_PATH_ANY);
	kill(d.pid, SIGUSR2);
	CHECK_EQ(daemon_wait(&d, 5000), 0);
	must_work(s, q);
	daemon_spawn(&d);
	peer_open(&p, d.socket);
	CHECK(peer_queue(&p, queue_id(q), &seen), "the queue is lost");
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	peer_close(&p);
	daemon_stop(&d);
}
