/* SPDX-License-Identifier: MIT */
/*
 * sharqd as the module's controller, in the guest, as root; clients are
 * ordinary users.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "daemon.h"
#include "module.h"
#include "neighbour.h"
#include "peer.h"

#define PIECE (1U << 20)
#define COPIES 32
#define PACKS 4
#define CAP_SYS_ADMIN_BIT (1LL << 21)
#define MODULE_DEVICE 2 /* the first of the module's */

static struct sharq_queue *open_path(struct sharq *s, uint32_t depth,
				     uint32_t path)
{
	struct sharq_queue_opts opts = { .depth = depth, .path = path };
	struct sharq_queue_info info;
	struct sharq_queue *q;
	char why[256];
	int r = sharq_queue_open(s, &opts, &q);

	CHECK(!r, "opening a queue: %d, %s", r,
	      sharq_error(s, why, sizeof(why)));
	CHECK_EQ(sharq_queue_info(q, &info), 0);
	CHECK_EQ(info.path, path ? path : SHARQ_PATH_DIRECT);
	return q;
}

static void open_fails(struct sharq *s, const struct sharq_queue_opts *opts,
		       int code, const char *says)
{
	struct sharq_queue *q;
	char why[256];

	CHECK_EQ(sharq_queue_open(s, opts, &q), code);
	sharq_error(s, why, sizeof(why));
	CHECK(strstr(why, says), "'%s' lacks '%s'", why, says);
}

static void daemon_start_auto(struct daemon *d, const char *conf)
{
	daemon_engine("auto");
	daemon_start(d, conf);
}

/* ---- work in flight ---- */

struct load {
	unsigned char *src;
	unsigned char *dst;
	unsigned char *packed;
	size_t room;
};

static void load_make(struct load *l, struct sharq *s)
{
	l->room = sharq_compress_bound(PIECE);
	l->src = must_alloc(s, PIECE);
	l->dst = must_alloc(s, (size_t)COPIES * PIECE);
	l->packed = must_alloc(s, PACKS * l->room);
	rnd_fill(l->src, PIECE, 5);
}

static void load_free(struct load *l, struct sharq *s)
{
	sharq_free(s, l->src);
	sharq_free(s, l->dst);
	sharq_free(s, l->packed);
}

/* Compressions, which take their time, and copies. */
static void load_submit(struct load *l, struct sharq_queue *q)
{
	memset(l->dst, 0, (size_t)COPIES * PIECE);
	for (unsigned int i = 0; i < PACKS + COPIES; i++) {
		struct sharq_sqe *sqe = must_sqe(q);

		if (i < PACKS)
			sharq_prep_compress(sqe, l->packed + i * l->room,
					    (uint32_t)l->room, l->src, PIECE,
					    SHARQ_FORMAT_RAW, 9);
		else
			sharq_prep_copy(sqe, l->dst + (i - PACKS) * PIECE,
					l->src, PIECE);
		sharq_sqe_set_data64(sqe, i);
	}
	must_submit(q, PACKS + COPIES);
}

/*
 * Each exactly once, and right. What was never accepted, because the queue died
 * before, is CANCELED. Return: how many are OK.
 */
static unsigned int load_reap_some(struct load *l, struct sharq_queue *q)
{
	unsigned char seen[PACKS + COPIES] = { 0 };
	const struct sharq_cqe *more;
	unsigned int ok = 0;

	for (unsigned int i = 0; i < PACKS + COPIES; i++) {
		struct sharq_cqe c = must_reap(q, 60000);

		CHECK(c.user_data < sizeof(seen) && !seen[c.user_data],
		      "command %llu: strange, or twice",
		      (unsigned long long)c.user_data);
		seen[c.user_data] = 1;
		if (c.status == SHARQ_CANCELED)
			continue;
		CHECK_EQ(c.status, SHARQ_OK);
		ok++;
		CHECK(c.user_data < PACKS ||
			      !memcmp(l->dst + (c.user_data - PACKS) * PIECE,
				      l->src, PIECE),
		      "data of command %llu is wrong",
		      (unsigned long long)c.user_data);
	}
	CHECK(sharq_peek_cqe(q, &more) == -EAGAIN, "one completion too many");
	return ok;
}

static void load_reap(struct load *l, struct sharq_queue *q)
{
	CHECK_EQ(load_reap_some(l, q), PACKS + COPIES);
}

/* ---- what serves, and why not the better ---- */

struct insist {
	char dir[128];
	const char *says;
};

/* A sharqd that insists on the module says why it can't have it, and ends. */
static void insist_main(void *arg)
{
	const struct insist *in = arg;
	char socket[160], err[160];
	char *const argv[] = { (char *)bin_path("sharqd"),
			       "--foreground",
			       "--socket",
			       socket,
			       "--engine",
			       "module",
			       NULL };

	snprintf(socket, sizeof(socket), "%s/s", in->dir);
	snprintf(err, sizeof(err), "%s/err", in->dir);
	CHECK_EQ(run_program(argv, NULL, err, 10000), 1);
	CHECK(file_has(err, in->says), "it doesn't say '%s' but: %s", in->says,
	      file_text(err));
}

static void insisting_fails(uid_t uid, const char *says)
{
	static unsigned int n;
	struct insist in = { .says = says };
	char name[16];

	snprintf(name, sizeof(name), "insist%u", n++);
	snprintf(in.dir, sizeof(in.dir), "%s", tmp_path(name));
	CHECK(!mkdir(in.dir, 0700) && !chown(in.dir, uid, uid), "%s: %s",
	      in.dir, strerror(errno));
	join(spawn(uid, insist_main, &in), 20000);
}

/* sharqd's devices; the library's own comes first in its list. */
static int devices(struct sharq *s, struct sharq_device dev[8])
{
	struct sharq_device all[9];
	int n = sharq_devices(s, all, 9);

	CHECK(n >= 2 && n <= 9 && !all[0].id, "%d devices", n);
	memcpy(dev, all + 1, sizeof(all) - sizeof(all[0]));
	return n - 1;
}

/* One that doesn't tells its log and its clients, and serves. */
static void embedded_because(const char *says)
{
	struct sharq_device dev[8];
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;

	daemon_start_auto(&d, NULL);
	CHECK(file_has(d.log, says), "the log lacks '%s'", says);
	s = must_connect(d.socket);
	CHECK_EQ(devices(s, dev), 1);
	CHECK(strstr(dev[0].note, says), "the note is '%s'", dev[0].note);
	open_fails(s, &(struct sharq_queue_opts){ .path = SHARQ_PATH_SHADOW },
		   -EOPNOTSUPP, says);
	q = must_open(s, 8);
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* A /dev without it, in a mount namespace that ends with the test. */
static void module_not_loaded(void)
{
	static const char says[] = "no /dev/sharq: the module isn't loaded";

	CHECK(!unshare(CLONE_NEWNS) &&
		      !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		      !mount("none", "/dev", "tmpfs", 0, NULL) &&
		      !mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)) &&
		      !chmod("/dev/null", 0666),
	      "an empty /dev: %s", strerror(errno));
	insisting_fails(0, says);
	embedded_because(says);
}

static void module_held_by_another(void)
{
	static const char says[] = "another program controls the module";
	int fd = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0, "%s: %s", SHARQ_CONTROL_PATH, strerror(errno));
	insisting_fails(0, says);
	embedded_because(says);
	close(fd);
}

static void module_is_for_root(void)
{
	insisting_fails(UID_A, "is for root with CAP_SYS_ADMIN");
}

/* What it needs to open /dev/sharq, and nothing after that. */
static void capability_is_given_up(void)
{
	struct daemon d;

	daemon_start_auto(&d, NULL);
	CHECK(proc_status(getpid(), "CapPrm", 16) & CAP_SYS_ADMIN_BIT,
	      "it had none to give up");
	CHECK_EQ(proc_status(d.pid, "CapPrm", 16) & CAP_SYS_ADMIN_BIT, 0);
	CHECK_EQ(proc_status(d.pid, "CapEff", 16) & CAP_SYS_ADMIN_BIT, 0);
	daemon_stop(&d);
}

/* ---- devices and paths ---- */

static void devices_and_paths(void)
{
	const uint32_t all = SHARQ_OP_BIT(SHARQ_OP_COPY) |
			     SHARQ_OP_BIT(SHARQ_OP_CRC32C);
	struct sharq_queue *q, *e;
	struct sharq_device dev[8];
	struct queue_seen seen;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int n;

	daemon_start_auto(&d, NULL);
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	n = devices(s, dev);
	CHECK(n >= 2, "%d devices", n);
	CHECK_EQ(dev[0].id, MODULE_DEVICE);
	CHECK(!strcmp(dev[0].provider, "soft"), "'%s'", dev[0].provider);
	CHECK_EQ(dev[0].paths,
		 1U << SHARQ_PATH_DIRECT | 1U << SHARQ_PATH_SHADOW);
	CHECK(!dev[0].note[0], "why no better path than the best: '%s'",
	      dev[0].note);
	CHECK_EQ(dev[n - 1].id, 1);
	CHECK_EQ(dev[n - 1].paths, 1U << SHARQ_PATH_EMBEDDED);

	/* The best path, unless another one or a device is named. */
	q = open_path(s, 8, SHARQ_PATH_ANY);
	e = open_path(s, 8, SHARQ_PATH_EMBEDDED);
	must_work(s, q);
	must_work(s, e);
	CHECK_EQ(devices(s, dev), n);
	CHECK_EQ(dev[0].queues_used, 1);
	CHECK_EQ(dev[n - 1].queues_used, 1);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.path, SHARQ_PATH_DIRECT);
	CHECK(!seen.reason[0], "a reason why it isn't direct: '%s'",
	      seen.reason);
	CHECK_EQ(seen.commands, 1);
	open_fails(s,
		   &(struct sharq_queue_opts){ .device = 1,
					       .path = SHARQ_PATH_DIRECT },
		   -EOPNOTSUPP, "embedded0");
	open_fails(s,
		   &(struct sharq_queue_opts){ .device = 1,
					       .path = SHARQ_PATH_SHADOW },
		   -EOPNOTSUPP, "embedded0");
	open_fails(s, &(struct sharq_queue_opts){ .device = 99 }, -ENODEV,
		   "no device 99");
	sharq_queue_close(q);
	CHECK(!sharq_queue_open(s,
				&(struct sharq_queue_opts){
					.device = MODULE_DEVICE, .ops = all },
				&q),
	      "the module's device, by its id and operations");
	sharq_queue_close(q);
	sharq_queue_close(e);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* What sharqctl shows of a queue. */
static void shows(const struct daemon *d, uint64_t queue,
		  const char *const *words)
{
	char id[24], *text;
	char *args[] = { (char *)bin_path("sharqctl"),
			 "--socket",
			 (char *)d->socket,
			 "show",
			 "queue",
			 id,
			 NULL };

	snprintf(id, sizeof(id), "%llu", (unsigned long long)queue);
	CHECK_EQ(run_program(args, tmp_path("shown"), NULL, 10000), 0);
	text = file_text(tmp_path("shown"));
	for (; *words; words++)
		CHECK(strstr(text, *words), "no '%s' in:\n%s", *words, text);
	free(text);
}

static void sharqctl_shows_path(void)
{
	struct sharq_queue *direct, *shadow;
	struct daemon d;
	struct sharq *s;

	daemon_start_auto(&d, NULL);
	s = must_connect(d.socket);
	direct = open_path(s, 8, SHARQ_PATH_DIRECT);
	must_work(s, direct);
	shows(&d, queue_id(direct), (const char *[]){ "direct", NULL });
	shadow = open_path(s, 8, SHARQ_PATH_SHADOW);
	must_work(s, shadow);
	shows(&d, queue_id(shadow),
	      (const char *[]){ "shadow", "the shadow path was asked for",
				"p99 <", NULL });
	sharq_queue_close(shadow);
	sharq_queue_close(direct);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* Every hardware queue is taken, however many there are. */
static void direct_is_busy(void)
{
	const struct sharq_queue_opts insist = { .depth = 8,
						 .path = SHARQ_PATH_DIRECT };
	static const char says[] = "every hardware queue";
	struct sharq_queue *q[128], *more;
	struct sharq_queue_info info;
	unsigned int n = 0;
	struct daemon d;
	struct sharq *s;
	int r;

	daemon_start_auto(&d, NULL);
	s = must_connect(d.socket);
	while (!(r = sharq_queue_open(s, &insist, &q[n])))
		CHECK(++n < 128, "no end of hardware queues");
	CHECK_EQ(r, -EBUSY);
	CHECK(n >= 2, "%u hardware queues", n);
	open_fails(s, &insist, -EBUSY, says);
	CHECK(!sharq_queue_open(s, NULL, &more), "nor a shadow queue");
	CHECK_EQ(sharq_queue_info(more, &info), 0);
	CHECK_EQ(info.path, SHARQ_PATH_SHADOW);
	CHECK(strstr(info.reason, says), "'%s' lacks '%s'", info.reason, says);
	CHECK(info.flags & SHARQ_INFO_SYNC_ONLY, "no SYNC_ONLY");
	shows(&d, queue_id(more), (const char *[]){ "shadow", says, NULL });
	must_work(s, more);
	sharq_queue_close(more);
	/* One is free as soon as it is closed. */
	for (int i = 0; i < 20; i++) {
		sharq_queue_close(q[n - 1]);
		q[n - 1] = open_path(s, 8, SHARQ_PATH_DIRECT);
	}
	while (n)
		sharq_queue_close(q[--n]);
	sharq_disconnect(s);
	daemon_stop(&d);
}

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

static void p14_controller_killed(void)
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
static void p5_clients_end_without_daemon(void)
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

static void p14_sigterm_drains_and_ends(void)
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

static void sigusr2_leaves_queues(void)
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

/* ---- control ---- */

static unsigned int completed(struct sharq_queue *q)
{
	const struct sharq_cqe *cqe;

	return sharq_peek_cqe(q, &cqe) == 0;
}

static void control_path(uint32_t path)
{
	struct queue_seen seen;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	struct load l;

	daemon_start_auto(&d, "drain-ms = 30000\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	q = open_path(s, 64, path);
	load_make(&l, s);

	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE),
		 0);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED);
	load_submit(&l, q);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.in_flight, 0);
	CHECK(!completed(q), "a paused queue serves");
	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 0);
	load_reap(&l, q);

	/* Drained means that nothing is in flight, and nothing follows. */
	load_submit(&l, q);
	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN),
		 0);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.in_flight, 0);
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED);
	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 0);
	load_reap(&l, q);

	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_KILL),
		 0);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED);
	CHECK_EQ(peer_control(&p, queue_id(q),
			      SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 -ESHUTDOWN);
	sharq_queue_close(q);
	load_free(&l, s);
	sharq_disconnect(s);
	CHECK_EQ(peer_queues(&p, NULL, 0), 0);
	peer_close(&p);
	daemon_stop(&d);
}

static void control(void)
{
	control_path(SHARQ_PATH_SHADOW);
}

static void control_direct(void)
{
	control_path(SHARQ_PATH_DIRECT);
}

/* The file of a queue that nobody binds. */
static int unbound_queue(struct peer *p)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	int fds[SHARQ_FRAME_MAX_FDS];
	unsigned int nfds;

	create.depth = 8;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
	req.queue_create = &create;
	m = peer_call(p, &req, fds, &nfds);
	CHECK(m && !m->reply->code && nfds == 1 &&
		      m->reply->queue_created->bind,
	      "no queue to bind");
	sharq__pb__server_message__free_unpacked(m, NULL);
	return fds[0];
}

/* A queue counts until its file is closed, and not a moment longer. */
static void quota_follows_the_file(void)
{
	struct queue_seen seen;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p, raw;
	int fd;

	daemon_start_auto(&d, "[limits]\nqueues-per-user = 1\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	for (int i = 0; i < 200; i++) {
		q = open_path(s, 8, SHARQ_PATH_ANY);
		sharq_queue_close(q);
	}

	/* Not destroyed by somebody's saying so while it is open: but killed. */
	q = open_path(s, 8, SHARQ_PATH_ANY);
	CHECK_EQ(peer_destroy(&p, queue_id(q)), -EBUSY);
	CHECK(peer_queue(&p, queue_id(q), &seen), "it isn't seen any more");
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_CLOSED);
	open_fails(s, &(struct sharq_queue_opts){ 0 }, -EDQUOT,
		   "queues-per-user");
	sharq_queue_close(q);
	q = open_path(s, 8, SHARQ_PATH_ANY);
	sharq_queue_close(q);

	/* Its client's connection is gone, its file is not. */
	peer_open(&raw, d.socket);
	fd = unbound_queue(&raw);
	peer_close(&raw);
	EVENTUALLY(peer_stats(&p).clients == 2, 5000);
	CHECK_EQ(peer_queues(&p, &seen, 1), 1);
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_UNBOUND);
	open_fails(s, &(struct sharq_queue_opts){ 0 }, -EDQUOT,
		   "queues-per-user");
	close(fd);
	EVENTUALLY(!peer_queues(&p, NULL, 0), 5000);
	q = open_path(s, 8, SHARQ_PATH_ANY);
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	peer_close(&p);
	daemon_stop(&d);
}

static const struct test tests[] = {
	{ "module_not_loaded", module_not_loaded, 60 },
	{ "module_held_by_another", module_held_by_another, 60 },
	{ "module_is_for_root", module_is_for_root, 60 },
	{ "capability_is_given_up", capability_is_given_up, 60 },
	{ "devices_and_paths", devices_and_paths, 60 },
	{ "p3_sharqctl_shows_path", sharqctl_shows_path, 60 },
	{ "p2_direct_is_busy", direct_is_busy, 60 },
	{ "p14_controller_killed", p14_controller_killed, 120 },
	{ "p5_clients_end_without_daemon", p5_clients_end_without_daemon, 60 },
	{ "p14_sigterm_drains_and_ends", p14_sigterm_drains_and_ends, 120 },
	{ "sigusr2_leaves_queues", sigusr2_leaves_queues, 60 },
	{ "control", control, 120 },
	{ "p14_control_of_a_direct_queue", control_direct, 60 },
	{ "quota_follows_the_file", quota_follows_the_file, 120 },
};

int main(int argc, char **argv)
{
	return harness_main(argc, argv, tests, sizeof(tests) / sizeof(*tests));
}
