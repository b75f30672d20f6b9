/* SPDX-License-Identifier: MIT */
/* Queues of the module: their control, what they count for, their end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "cases.h"
#include "daemon.h"
#include "help.h"
#include "neighbour.h"
#include "peer.h"
#include "sharq_ioctl.h"

#define BIND_MS 10000 /* what sharqd gives a client (module_queue.c) */

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

void control(void)
{
	control_path(SHARQ_PATH_SHADOW);
}

void p14_control_of_a_direct_queue(void)
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

/* An unbound queue takes the user's only place as long as its file is open. */
static void counts_until_closed(struct peer *p, struct sharq *s, int fd)
{
	struct queue_seen seen;
	struct sharq_queue *q;

	CHECK_EQ(peer_queues(p, &seen, 1), 1);
	CHECK_EQ(seen.state, SHARQ__PB__QUEUE_STATE__QUEUE_UNBOUND);
	open_fails(s, &(struct sharq_queue_opts){ 0 }, -EDQUOT,
		   "queues-per-user");
	close(fd);
	EVENTUALLY(!peer_queues(p, NULL, 0), 5000);
	q = open_path(s, 8, SHARQ_PATH_ANY);
	must_work(s, q);
	sharq_queue_close(q);
}

/* A queue counts until its file is closed, and not a moment longer. */
void quota_follows_the_file(void)
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
	counts_until_closed(&p, s, fd);
	sharq_disconnect(s);
	peer_close(&p);
	daemon_stop(&d);
}

/* ---- a queue that nobody binds ---- */

/* Nothing tells of the deadline: the time itself is what is waited for. */
static void outwait_deadline(int fd)
{
	struct pollfd file = { .fd = fd };

	CHECK_EQ(poll(&file, 1, BIND_MS + 100), 0);
}

/* It is no use any more, and as long as it is kept it counts. */
void p4_queue_is_not_bound_after_its_deadline(void)
{
	struct sharq_bind bind = { .size = sizeof(bind),
				   .path = SHARQ_BIND_SHADOW };
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int fd;

	daemon_start_auto(&d, "[limits]\nqueues-per-user = 1\n");
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	fd = unbound_queue(&p);
	outwait_deadline(fd);
	CHECK_EQ(ioctl(fd, SHARQ_BIND, &bind), -1);
	CHECK_EQ(errno, ETIMEDOUT);
	counts_until_closed(&p, s, fd);
	sharq_disconnect(s);
	peer_close(&p);
	daemon_stop(&d);
}

/* ---- totals ---- */

#define DISK_FILE "/disk/sharq-test/totals"
#define FILE_SIZE 8192

struct totals {
	uint64_t commands, kicks, short_kicks, pinned, copied, staged;
};

static struct totals totals(struct peer *p)
{
	Sharq__Pb__StatsGet get = SHARQ__PB__STATS_GET__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__QueueStats *sum;
	struct totals t;

	req.body_case = SHARQ__PB__REQUEST__BODY_STATS;
	req.stats = &get;
	m = peer_call(p, &req, NULL, NULL);
	CHECK(m && !m->reply->code && m->reply->stats, "no statistics");
	sum = m->reply->stats->total;
	t = (struct totals){ sum->commands, sum->kicks,	 sum->short_kicks,
			     sum->pinned,   sum->copied, sum->staged };
	sharq__pb__server_message__free_unpacked(m, NULL);
	return t;
}

/* A source that is copied at the kick, a destination that is staged. */
static void write_file(struct sharq_queue *q, void *file)
{
	static const char text[] = "copied at the kick";

	sharq_prep_copy(must_sqe(q), file, text, sizeof(text));
	must_submit(q, 1);
	CHECK_EQ(must_reap(q, 10000).status, SHARQ_OK);
}

/* Kicks may come after the last completion, nothing else. */
static void all_kept(const struct totals *live, const struct totals *ended)
{
	CHECK_EQ(ended->commands, live->commands);
	CHECK(ended->kicks >= live->kicks, "kicks went from %llu to %llu",
	      (unsigned long long)live->kicks,
	      (unsigned long long)ended->kicks);
	CHECK(ended->short_kicks >= live->short_kicks,
	      "short kicks went from %llu to %llu",
	      (unsigned long long)live->short_kicks,
	      (unsigned long long)ended->short_kicks);
	CHECK_EQ(ended->copied, live->copied);
	CHECK_EQ(ended->staged, live->staged);
	CHECK_EQ(ended->pinned, 0);
}

/* @sum: of the queues before. */
static void totals_round(const struct daemon *d, struct peer *p, void *file,
			 struct totals *sum)
{
	struct sharq *s = must_connect(d->socket);
	struct sharq_queue *q = open_path(s, 64, SHARQ_PATH_SHADOW);
	struct totals live;
	struct load l;

	load_make(&l, s);
	load_submit(&l, q);
	load_reap(&l, q);
	write_file(q, file);
	live = totals(p);
	CHECK(live.kicks > sum->kicks && live.short_kicks > sum->short_kicks &&
		      live.copied > sum->copied && live.staged > sum->staged,
	      "%llu kicks, %llu short, %llu copied, %llu staged",
	      (unsigned long long)live.kicks,
	      (unsigned long long)live.short_kicks,
	      (unsigned long long)live.copied, (unsigned long long)live.staged);
	load_free(&l, s);
	sharq_queue_close(q);
	sharq_disconnect(s);
	EVENTUALLY(!peer_queues(p, NULL, 0), 5000);
	*sum = totals(p);
	all_kept(&live, sum);
}

void totals_keep_what_ended_queues_did(void)
{
	int fd = open(DISK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct totals sum = { 0 };
	struct daemon d;
	struct peer p;
	void *file;

	CHECK(fd >= 0 && !ftruncate(fd, FILE_SIZE), "%s: %s", DISK_FILE,
	      strerror(errno));
	file = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(file != MAP_FAILED, "mapping it: %s", strerror(errno));
	unlink(DISK_FILE);
	/* Little memory makes short kicks. */
	daemon_start_auto(&d, "[module]\npin-per-queue = 8M\n");
	peer_open(&p, d.socket);
	totals_round(&d, &p, file, &sum);
	totals_round(&d, &p, file, &sum);
	shows_stats(&d, (const char *[]){ "kicks by clients", "of them short",
					  "copied at the kick",
					  "copied by their threads", NULL });
	peer_close(&p);
	daemon_stop(&d);
	munmap(file, FILE_SIZE);
	close(fd);
}
