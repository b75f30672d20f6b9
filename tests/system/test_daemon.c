/* SPDX-License-Identifier: MIT */
/* The daemon's own life: killed, replaced, told to stop, told to reload. */
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

#define N 200
#define PIECE (1U << 20)

static void submit_copies(struct sharq_queue *q, unsigned char *dst,
			  const unsigned char *src)
{
	unsigned int i;

	memset(dst, 0, (size_t)N * PIECE);
	for (i = 0; i < N; i++) {
		struct sharq_sqe *sqe = must_sqe(q);

		sharq_prep_copy(sqe, dst + (size_t)i * PIECE, src, PIECE);
		sharq_sqe_set_data64(sqe, i);
	}
	must_submit(q, N);
}

/* Each exactly once; returns how many were not OK but @allowed. */
static unsigned int reap_copies(struct sharq_queue *q, unsigned char *dst,
				const unsigned char *src, int allowed)
{
	unsigned char seen[N] = { 0 };
	unsigned int i, other = 0;

	for (i = 0; i < N; i++) {
		struct sharq_cqe c = must_reap(q, 20000);

		CHECK(c.user_data < N && !seen[c.user_data],
		      "command %llu: strange or twice",
		      (unsigned long long)c.user_data);
		seen[c.user_data] = 1;
		if (c.status != SHARQ_OK) {
			CHECK_EQ(c.status, allowed);
			other++;
			continue;
		}
		CHECK(memcmp(dst + c.user_data * PIECE, src, PIECE) == 0,
		      "data of command %llu is wrong",
		      (unsigned long long)c.user_data);
	}
	return other;
}

static bool dir_empty(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	bool empty = true;

	if (!dir)
		return errno == ENOENT;
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			empty = false;
	closedir(dir);
	return empty;
}

static void p14_daemon_killed_and_replaced(void)
{
	struct sharq_queue_opts opts = { .depth = 256 };
	struct sharq_queue *a, *b, *c, *none;
	unsigned char *src, *dst;
	const struct sharq_cqe *first;
	struct queue_seen qa, qb;
	struct daemon d;
	char buf[256];
	struct sharq *s;
	struct peer p;
	pid_t engine;
	int round;

	daemon_start(&d, "[limits]\nqueues-per-user = 3\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	a = must_open(s, 256);
	b = must_open(s, 256);
	src = must_alloc(s, PIECE);
	dst = must_alloc(s, (size_t)N * PIECE);
	rnd_fill(src, PIECE, 5);
	engine = peer_engine(&p, queue_id(a));
	CHECK(peer_queue(&p, queue_id(a), &qa), "not listed");

	for (round = 0; round < 2; round++) {
		/* What was accepted completes, and the queues go on. */
		submit_copies(a, dst, src);
		daemon_kill(&d);
		CHECK_EQ(reap_copies(a, dst, src, SHARQ_OK), 0);
		must_work(s, a);
		must_work(s, b);
		CHECK(pid_alive(engine), "the engine died with its daemon");

		/* What needs the daemon says so. */
		CHECK_EQ(sharq_queue_open(s, &opts, &none), -ENOTCONN);
		sharq_error(s, buf, sizeof(buf));
		CHECK(strstr(buf, "sharqd") || strstr(buf, "daemon"),
		      "the sentence doesn't name the daemon: '%s'", buf);

		daemon_spawn(&d);
		peer_close(&p);
		peer_open(&p, d.socket);
		EVENTUALLY(peer_queue(&p, queue_id(a), &qb), 5000);
		CHECK_EQ(qb.uid, qa.uid);
		CHECK_EQ(qb.pid, getpid());
		CHECK_EQ(qb.session, qa.session);
		EVENTUALLY(peer_queue(&p, queue_id(b), &qb), 5000);
		CHECK_EQ(peer_engine(&p, queue_id(a)), engine);

		/* The old connection's session goes on, its quota counted. */
		EVENTUALLY(sharq_queue_open(s, &opts, &c) == 0, 5000);
		CHECK(peer_queue(&p, queue_id(c), &qb), "not listed");
		CHECK_EQ(qb.session, qa.session);
		CHECK(queue_id(c) != queue_id(a) && queue_id(c) != queue_id(b),
		      "a queue's id was given twice");
		CHECK_EQ(sharq_queue_open(s, &opts, &none), -EDQUOT);
		must_work(s, c);
		must_work(s, a);
		sharq_queue_close(c);
		EVENTUALLY(peer_queues(&p, NULL, 0) == 2, 5000);
	}

	/* The new daemon recovers an engine that it didn't start. */
	submit_copies(a, dst, src);
	CHECK_EQ(sharq_wait_cqe(a, &first, 10000), 0);
	kill(engine, SIGKILL);
	CHECK(reap_copies(a, dst, src, SHARQ_RESET) > 0, "none in flight");
	must_work(s, a);
	must_work(s, b);
	CHECK(peer_engine(&p, queue_id(a)) != engine, "same engine");

	sharq_queue_close(a);
	sharq_queue_close(b);
	EVENTUALLY(peer_queues(&p, NULL, 0) == 0, 5000);
	sharq_free(s, src);
	sharq_free(s, dst);
	sharq_disconnect(s);
	EVENTUALLY(peer_stats(&p).arena_bytes == 0, 5000);
	daemon_stop(&d);
}

/* A client that dies while no daemon looks must not be adopted for ever. */
static void client_main(void *arg)
{
	struct peer p;
	struct rawq q;

	peer_open(&p, arg);
	rawq_open(&p, 64, &q);
	peer_region(&p, 1 << 20, NULL, NULL);
	raise(SIGSTOP);
	/* Continued by the test when the daemon is gone. */
}

static void p5_client_gone_without_daemon(void)
{
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t client;

	daemon_start(&d, NULL);
	s = must_connect(d.socket);
	q = must_open(s, 8);
	peer_open(&p, d.socket);
	client = spawn(geteuid(), client_main, d.socket);
	EVENTUALLY(peer_queues(&p, NULL, 0) == 2, 5000);
	daemon_kill(&d);
	kill(client, SIGKILL);
	EVENTUALLY(!pid_alive(client), 5000);
	daemon_spawn(&d);
	peer_close(&p);
	peer_open(&p, d.socket);
	EVENTUALLY(peer_queues(&p, NULL, 0) == 1, 10000);
	must_work(s, q);
	EVENTUALLY(peer_stats(&p).clients == 2, 5000);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static int create_region(struct peer *p, uint64_t address)
{
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	create.address = address;
	create.size = 8192;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	return peer_code(p, &req);
}

/* The engine has it, the next daemon learns of it, and its client doesn't. */
static void p14_region_asked_for_in_vain_leaves_its_address_free(void)
{
	const uint64_t at = UINT64_C(1) << 40;
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Hello hello = SHARQ__PB__HELLO__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	struct peer p, other;
	struct daemon d;
	struct rawq q;
	pid_t engine;

	/* Nor does it count. */
	daemon_start(&d, "[limits]\nregions-per-client = 1\n");
	peer_open(&other, d.socket);
	peer_open(&p, d.socket);
	rawq_open(&p, 8, &q);
	engine = peer_engine(&p, q.id);
	kill(engine, SIGSTOP);
	create.address = at;
	create.size = 4096;
	req.id = 1000;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	CHECK_EQ(sharq_frame_send_msg(p.sock, &req.base, NULL, 0, false), 0);
	/* Counted, it is on its way to the engine. */
	EVENTUALLY(peer_stats(&other).arena_bytes == 4096, 5000);
	daemon_kill(&d);
	kill(engine, SIGCONT);
	daemon_spawn(&d);
	peer_close(&other);
	peer_close(&p);
	peer_open(&other, d.socket);
	CHECK_EQ(peer_stats(&other).arena_bytes, 4096);
	peer_close(&other);

	p.next_id = 1;
	p.sock = peer_socket(d.socket);
	hello.version_min = hello.version_max = 1;
	hello.has_session = hello.has_token = 1;
	hello.session = p.session;
	hello.token = p.token;
	req.body_case = SHARQ__PB__REQUEST__BODY_HELLO;
	req.hello = &hello;
	CHECK_EQ(peer_code(&p, &req), 0);
	CHECK_EQ(create_region(&p, at - 4096), 0);
	CHECK_EQ(peer_stats(&p).arena_bytes, 8192);
	/* Of this one it knows. */
	CHECK_EQ(create_region(&p, at - 4096), -EEXIST);
	rawq_close(&q);
	peer_close(&p);
	daemon_stop(&d);
}

#define LATE_SIZE (32U << 20)

static void *alloc_main(void *s)
{
	return sharq_alloc(s, LATE_SIZE);
}

/*
 * A daemon that stands still for longer than a request waits: memory that comes
 * too late goes back, and what it takes away late isn't used any more.
 */
static void late_answers_leak_nothing(void)
{
	struct sharq *frees, *allocs;
	unsigned char *mem, *more;
	struct sharq_queue *q;
	unsigned int status;
	pthread_t thread;
	struct daemon d;
	struct peer p;
	void *none;

	daemon_start(&d, "[limits]\narena-per-user = 64M\n");
	peer_open(&p, d.socket);
	frees = must_connect(d.socket);
	allocs = must_connect(d.socket);
	q = must_open(frees, 8);
	mem = must_alloc(frees, LATE_SIZE);
	kill(d.pid, SIGSTOP);
	CHECK_EQ(pthread_create(&thread, NULL, alloc_main, allocs), 0);
	sharq_free(frees, mem);
	CHECK_EQ(pthread_join(thread, &none), 0);
	CHECK(!none, "memory from a daemon that stands still");
	kill(d.pid, SIGCONT);

	/* The late answer is found when the next is awaited. */
	EVENTUALLY(sharq_devices(allocs, NULL, 0) > 0 &&
			   peer_stats(&p).arena_bytes == 0,
		   5000);
	mem = must_alloc(frees, LATE_SIZE);
	more = must_alloc(allocs, LATE_SIZE);
	rnd_fill(mem, LATE_SIZE / 2, 6);
	CHECK_EQ(
		sharq_copy(q, mem + LATE_SIZE / 2, mem, LATE_SIZE / 2, &status),
		0);
	CHECK_EQ(status, SHARQ_OK);
	sharq_free(frees, mem);
	sharq_free(allocs, more);
	EVENTUALLY(peer_stats(&p).arena_bytes == 0, 5000);
	sharq_queue_close(q);
	sharq_disconnect(frees);
	sharq_disconnect(allocs);
	daemon_stop(&d);
}

static void send_request(struct peer *p, Sharq__Pb__Request *req)
{
	req->id = p->next_id++;
	CHECK_EQ(sharq_frame_send_msg(p->sock, &req->base, NULL, 0, false), 0);
}

static void send_destroys(struct peer *p, uint64_t queue, uint64_t region)
{
	Sharq__Pb__QueueDestroy qd = SHARQ__PB__QUEUE_DESTROY__INIT;
	Sharq__Pb__RegionDestroy rd = SHARQ__PB__REGION_DESTROY__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

	qd.queue = queue;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_DESTROY;
	req.queue_destroy = &qd;
	send_request(p, &req);
	rd.region = region;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_DESTROY;
	req.region_destroy = &rd;
	send_request(p, &req);
}

/* Two packets, the answers to them. */
static void expect_destroyed(struct peer *p)
{
	static struct sharq_frame frame;
	const char *why = "";
	int i;

	for (i = 0; i < 2; i++) {
		Sharq__Pb__ServerMessage *m;
		int r = sharq_frame_recv(p->sock, &frame, 0, false, &why);

		CHECK(r == 0, "waiting for an answer: %s %s", strerror(-r),
		      why);
		m = sharq__pb__server_message__unpack(NULL, frame.body_len,
						      frame.body);
		CHECK(m && m->reply && m->reply->code == 0, "not destroyed");
		sharq__pb__server_message__free_unpacked(m, NULL);
	}
}

static void wait_stop(pid_t pid, int event)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, __WALL), pid);
	CHECK(WIFSTOPPED(status) && status >> 16 == event, "status %x", status);
}

/*
 * An engine that was killed and isn't dead yet may still write to what it had:
 * what is destroyed meanwhile is not called gone before its end. A tracer holds
 * the engine up, first alive, then dying.
 */
static void p5_nothing_is_gone_before_its_engine(void)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	struct peer p, prompter;
	uint64_t region;
	struct pollfd pfd;
	struct daemon d;
	struct rawq q;
	pid_t engine;

	need_root();
	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	peer_open(&prompter, d.socket);
	rawq_open(&p, 8, &q);
	peer_region(&p, 1 << 20, NULL, &region);
	engine = peer_engine(&p, q.id);
	CHECK_EQ(ptrace(PTRACE_SEIZE, engine, 0, PTRACE_O_TRACEEXIT), 0);
	CHECK_EQ(ptrace(PTRACE_INTERRUPT, engine, 0, 0), 0);
	wait_stop(engine, PTRACE_EVENT_STOP);
	/* Something that it should answer, and doesn't. */
	create.depth = 8;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
	req.queue_create = &create;
	send_request(&prompter, &req);
	wait_stop(engine, PTRACE_EVENT_EXIT);

	send_destroys(&p, q.id, region);
	pfd = (struct pollfd){ .fd = p.sock, .events = POLLIN };
	CHECK(poll(&pfd, 1, 300) == 0, "gone before the engine is");
	CHECK_EQ(ptrace(PTRACE_CONT, engine, 0, 0), 0);
	expect_destroyed(&p);
	CHECK(!pid_alive(engine), "gone before the engine is");
	peer_close(&prompter);
	rawq_close(&q);
	peer_close(&p);
	daemon_stop(&d);
}

#define DRAINED 40
#define DRAINED_SIZE (4U << 20)

static void p14_sigterm_drains(void)
{
	unsigned char *src, *dst;
	struct queue_seen seen;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int64_t began;
	pid_t engine;
	int i;

	daemon_start(&d, "drain-ms = 10000\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	q = must_open(s, 64);
	src = must_alloc(s, DRAINED_SIZE);
	dst = must_alloc(s, DRAINED * DRAINED_SIZE);
	rnd_fill(src, DRAINED_SIZE / 2, 5);
	engine = peer_engine(&p, queue_id(q));
	for (i = 0; i < DRAINED; i++)
		sharq_prep_compress(must_sqe(q), dst + (size_t)i * DRAINED_SIZE,
				    DRAINED_SIZE, src, DRAINED_SIZE,
				    SHARQ_FORMAT_RAW, 3);
	must_submit(q, DRAINED);
	/* Once all are accepted, all must be done. */
	EVENTUALLY(peer_queue(&p, queue_id(q), &seen) &&
			   seen.in_flight + seen.commands == DRAINED,
		   5000);
	CHECK(seen.in_flight > 0, "too fast to be drained");
	began = now_ms();
	kill(d.pid, SIGTERM);
	CHECK_EQ(daemon_wait(&d, 12000), 0);
	printf("  drained for %lld ms\n", (long long)(now_ms() - began));
	EVENTUALLY(!pid_alive(engine), 3000);
	CHECK(access(d.socket, F_OK) != 0, "the socket is still there");
	CHECK(dir_empty(daemon_engines_dir(&d)), "engines' sockets remain");
	for (i = 0; i < DRAINED; i++)
		CHECK_EQ(must_reap(q, 5000).status, SHARQ_OK);
	sharq_prep_nop(must_sqe(q));
	CHECK_EQ(sharq_submit(q), -ESHUTDOWN);
	sharq_queue_close(q);
	sharq_disconnect(s);
}

static void sigterm_stops_within_bound(void)
{
	struct sharq_queue *q;
	unsigned char *mem;
	struct daemon d;
	struct sharq *s;
	int64_t began;
	int i;

	/* Far more work than fits the time to drain. */
	daemon_start(&d, "drain-ms = 300\n");
	s = must_connect(d.socket);
	q = must_open(s, 64);
	mem = must_alloc(s, 512 << 20);
	rnd_fill(mem, 32 << 20, 4);
	for (i = 0; i < 64; i++)
		sharq_prep_compress(must_sqe(q), mem + (256 << 20), 256 << 20,
				    mem, 256 << 20, SHARQ_FORMAT_RAW, 3);
	must_submit(q, 64);
	began = now_ms();
	kill(d.pid, SIGTERM);
	CHECK_EQ(daemon_wait(&d, 8000), 0);
	CHECK(now_ms() - began < 4000 * SCALE, "took %lld ms",
	      (long long)(now_ms() - began));
	for (i = 0; i < 64; i++) {
		unsigned int status = must_reap(q, 10000).status;

		CHECK(status == SHARQ_OK || status == SHARQ_RESET ||
			      status == SHARQ_CANCELED,
		      "status %u", status);
	}
	sharq_queue_close(q);
	sharq_disconnect(s);
}

static void sigusr2_leaves_engines(void)
{
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t engine;
	void *keep;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	q = must_open(s, 8);
	/* Keeps a region alive: without sharqd there is no new one. */
	keep = must_alloc(s, 64);
	engine = peer_engine(&p, queue_id(q));
	kill(d.pid, SIGUSR2);
	CHECK_EQ(daemon_wait(&d, 5000), 0);
	CHECK(pid_alive(engine), "the engine is gone");
	must_work(s, q);
	daemon_spawn(&d);
	peer_close(&p);
	peer_open(&p, d.socket);
	CHECK_EQ(peer_engine(&p, queue_id(q)), engine);
	must_work(s, q);
	sharq_free(s, keep);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
	EVENTUALLY(!pid_alive(engine), 3000);
}

static int try_open(const char *socket, unsigned int n)
{
	struct sharq *s = must_connect(socket);
	struct sharq_queue *q[8] = { NULL };
	unsigned int i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		r = sharq_queue_open(s, NULL, &q[i]);
	while (i--)
		if (i < n)
			sharq_queue_close(q[i]);
	sharq_disconnect(s);
	return r;
}

static void sighup_reloads(void)
{
	struct daemon d;

	daemon_start(&d, "[limits]\nqueues-per-user = 4\n");
	CHECK_EQ(try_open(d.socket, 4), 0);
	daemon_config(&d, "[limits]\nqueues-per-user = 1\n");
	kill(d.pid, SIGHUP);
	EVENTUALLY(try_open(d.socket, 2) == -EDQUOT, 5000);
	/* A bad one is named and changes nothing. */
	daemon_config(&d, "[limits]\nqueues-per-user = lots\n");
	kill(d.pid, SIGHUP);
	EVENTUALLY(file_has(d.log, "queues-per-user"), 5000);
	CHECK(file_has(d.log, "sharqd.conf"), "the file isn't named");
	CHECK_EQ(try_open(d.socket, 2), -EDQUOT);
	CHECK_EQ(try_open(d.socket, 1), 0);
	daemon_config(&d, "[limits]\nqueues-per-user = 4\n");
	kill(d.pid, SIGHUP);
	EVENTUALLY(try_open(d.socket, 4) == 0, 5000);
	daemon_stop(&d);
}

static int check(const char *conf, const char *err)
{
	char *argv[] = { (char *)bin_path("sharqd"), (char *)"--check",
			 (char *)"--config", (char *)tmp_path("c"), NULL };

	file_write(tmp_path("c"), conf);
	return run_program(argv, NULL, err, 5000);
}

static void check_option(void)
{
	static const struct {
		const char *conf, *line, *key;
	} bad[] = {
		{ "[limits]\nqueues = many\n", ":2", "queues" },
		{ "[limits]\n\ndepth = 3000\n", ":3", "depth" },
		{ "[engine]\nslice = -1\n", ":2", "slice" },
		{ "[engine]\ntype = quantum\n", ":2", "type" },
		{ "[engine]\nwerkers = 2\n", ":2", "werkers" },
		{ "[nothing]\nx = 1\n", ":2", "nothing" },
		{ "[daemon]\nsocket-mode = 999\n", ":2", "socket-mode" },
	};
	const char *err = tmp_path("err");
	char errfile[128];
	size_t i;

	snprintf(errfile, sizeof(errfile), "%s", err);
	CHECK_EQ(check("[limits]\nqueues = 77\n[engine]\nworkers = 2\n",
		       errfile),
		 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *text;

		CHECK(check(bad[i].conf, errfile) != 0, "accepted: %s",
		      bad[i].conf);
		text = file_text(errfile);
		CHECK(text && strstr(text, tmp_path("c")) &&
			      strstr(text, bad[i].line) &&
			      strstr(text, bad[i].key),
		      "file, line or key is missing: '%s'", text);
		free(text);
	}
	{
		char *argv[] = { (char *)bin_path("sharqd"), (char *)"--check",
				 (char *)"--config",
				 (char *)tmp_path("missing"), NULL };

		CHECK(run_program(argv, NULL, errfile, 5000) != 0, "missing");
		CHECK(file_has(errfile, "missing"), "the file isn't named");
	}
}

/* Also where there was no module to open with it. */
static void p6_sys_admin_is_given_up(void)
{
	struct daemon d;

	daemon_start(&d, NULL);
	CHECK(!(proc_status(d.pid, "CapPrm", 16) & 1LL << CAP_SYS_ADMIN),
	      "CAP_SYS_ADMIN is there");
	daemon_stop(&d);
}

static void second_daemon_refused(void)
{
	const char *err = tmp_path("err");
	struct daemon d;

	daemon_start(&d, NULL);
	{
		char *argv[] = { (char *)bin_path("sharqd"),
				 (char *)"--foreground", (char *)"--socket",
				 d.socket, NULL };

		CHECK(run_program(argv, NULL, err, 5000) != 0,
		      "a second daemon took the socket");
		CHECK(file_has(tmp_path("err"), d.socket),
		      "the socket isn't named");
	}
	CHECK_EQ(try_open(d.socket, 1), 0);
	daemon_stop(&d);
}

/*
 * What an engine was sealed ids with stays, and so no id may have a second owner:
 * not even where nothing is left of the first.
 */
static void p13_ids_are_never_given_twice(void)
{
	uint64_t session, queue;
	struct daemon d;
	struct peer p;
	struct rawq q;
	pid_t engine;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	rawq_open(&p, 8, &q);
	session = p.session;
	queue = q.id;
	engine = peer_engine(&p, q.id);
	daemon_kill(&d);
	kill(engine, SIGKILL);
	EVENTUALLY(!pid_alive(engine), 5000);
	rawq_close(&q);
	peer_close(&p);
	daemon_spawn(&d);
	peer_open(&p, d.socket);
	rawq_open(&p, 8, &q);
	CHECK(p.session > session, "session %llu, before %llu",
	      (unsigned long long)p.session, (unsigned long long)session);
	CHECK(q.id > queue, "queue %llu, before %llu", (unsigned long long)q.id,
	      (unsigned long long)queue);
	rawq_close(&q);
	peer_close(&p);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p14_region_asked_for_in_vain_leaves_its_address_free",
		  p14_region_asked_for_in_vain_leaves_its_address_free, 30 },
		{ "p13_ids_are_never_given_twice",
		  p13_ids_are_never_given_twice, 60 },
		{ "p14_daemon_killed_and_replaced",
		  p14_daemon_killed_and_replaced, 60 },
		{ "p5_client_gone_without_daemon",
		  p5_client_gone_without_daemon, 60 },
		{ "late_answers_leak_nothing", late_answers_leak_nothing, 60 },
		{ "p5_nothing_is_gone_before_its_engine",
		  p5_nothing_is_gone_before_its_engine, 60 },
		{ "p14_sigterm_drains", p14_sigterm_drains, 30 },
		{ "sigterm_stops_within_bound", sigterm_stops_within_bound,
		  30 },
		{ "sigusr2_leaves_engines", sigusr2_leaves_engines, 30 },
		{ "sighup_reloads", sighup_reloads, 30 },
		{ "check_option", check_option, 30 },
		{ "p6_sys_admin_is_given_up", p6_sys_admin_is_given_up, 30 },
		{ "second_daemon_refused", second_daemon_refused, 30 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
