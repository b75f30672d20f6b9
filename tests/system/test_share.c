/* SPDX-License-Identifier: MIT */
/* Many share one engine: small beside big, limits, and a queue's control. */
#include <errno.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

#define BIG (1U << 30)
#define BIGS 6

struct bigs {
	struct sharq *s;
	struct sharq_queue *q;
	unsigned char *src, *dst;
};

/* More 1-GiB commands than there are workers. Fast to do nothing with: the
 * pages exist, their contents don't matter. */
static void bigs_start(struct bigs *b, const char *socket)
{
	unsigned int i;

	b->s = must_connect(socket);
	b->q = must_open(b->s, 16);
	b->src = must_alloc(b->s, BIG);
	b->dst = must_alloc(b->s, BIG / 4);
	rnd_fill(b->src, 64 << 20, 6);
	for (i = 0; i < BIGS; i++) {
		struct sharq_sqe *sqe = must_sqe(b->q);

		sharq_prep_compress(sqe, b->dst, BIG / 4, b->src, BIG,
				    SHARQ_FORMAT_RAW, 1);
		sharq_sqe_set_data64(sqe, 100 + i);
	}
	must_submit(b->q, BIGS);
}

static void bigs_finish(struct bigs *b)
{
	unsigned int i;

	for (i = 0; i < BIGS; i++)
		CHECK_EQ(must_reap(b->q, 120000).status, SHARQ_OK);
	sharq_free(b->s, b->src);
	sharq_free(b->s, b->dst);
	sharq_queue_close(b->q);
	sharq_disconnect(b->s);
}

static bool none_done(struct sharq_queue *q)
{
	const struct sharq_cqe *cqe;

	return sharq_peek_cqe(q, &cqe) == -EAGAIN;
}

/* Every one of a hundred small ones is done before any of the big ones. */
static void p13_small_beside_big(void)
{
	unsigned char *mem;
	struct sharq_queue *q;
	struct daemon d;
	struct bigs b;
	int64_t worst = 0;
	int i;

	daemon_start(&d, "[engine]\nworkers = 2\n");
	bigs_start(&b, d.socket);
	q = must_open(b.s, 8);
	mem = must_alloc(b.s, 4096);
	for (i = 0; i < 100; i++) {
		int64_t began = now_ms();

		memset(mem, i, 64);
		sharq_prep_copy(must_sqe(q), mem + 64, mem, 64);
		must_submit(q, 1);
		CHECK_EQ(must_reap(q, 10000).status, SHARQ_OK);
		CHECK(memcmp(mem, mem + 64, 64) == 0, "the copy is wrong");
		if (now_ms() - began > worst)
			worst = now_ms() - began;
		CHECK(i > 0 || none_done(b.q),
		      "64 bytes waited behind a gigabyte");
	}
	printf("  slowest 64-byte command: %lld ms\n", (long long)worst);
	CHECK(worst < 500 * SCALE, "took %lld ms", (long long)worst);
	sharq_queue_close(q);
	bigs_finish(&b);
	daemon_stop(&d);
}

static void p13_small_behind_big_same_queue(void)
{
	struct sharq_sqe *sqe;
	unsigned char *mem;
	struct sharq_cqe c;
	struct daemon d;
	struct bigs b;

	daemon_start(&d, "[engine]\nworkers = 2\n");
	bigs_start(&b, d.socket);
	mem = must_alloc(b.s, 4096);
	memset(mem, 7, 64);
	sqe = must_sqe(b.q);
	sharq_prep_copy(sqe, mem + 64, mem, 64);
	sharq_sqe_set_data64(sqe, 1);
	must_submit(b.q, 1);
	c = must_reap(b.q, 60000);
	CHECK_EQ(c.user_data, 1);
	CHECK_EQ(c.status, SHARQ_OK);
	CHECK(memcmp(mem, mem + 64, 64) == 0, "the copy is wrong");
	bigs_finish(&b);
	daemon_stop(&d);
}

static void p13_small_of_another_user(void)
{
	struct neighbour n;
	struct daemon d;
	struct bigs b;

	need_root();
	daemon_start(&d, "[engine]\nworkers = 2\n");
	bigs_start(&b, d.socket);
	neighbour_start(&n, d.socket, UID_B);
	neighbour_advances(&n, 20, 10000);
	CHECK(none_done(b.q), "the neighbour waited behind gigabytes");
	CHECK(n.state->worst_ms < 1000 * SCALE, "a round took %u ms",
	      n.state->worst_ms);
	neighbour_stop(&n, false);
	bigs_finish(&b);
	daemon_stop(&d);
}

static void limits_are_named(void)
{
	struct sharq_queue_opts deep = { .depth = 256 };
	struct sharq_queue *q[5], *none;
	struct daemon d;
	struct sharq *s;
	char buf[256];
	void *a, *b;
	int i;

	daemon_start(&d, "[limits]\nqueues-per-user = 4\ndepth = 128\n"
			 "arena-per-user = 64M\n");
	s = must_connect(d.socket);
	CHECK_EQ(sharq_queue_open(s, &deep, &none), -EINVAL);
	CHECK(strstr(sharq_error(s, buf, sizeof(buf)), "128"),
	      "the limit isn't named: %s", buf);
	for (i = 0; i < 4; i++)
		q[i] = must_open(s, 64);
	CHECK_EQ(sharq_queue_open(s, NULL, &none), -EDQUOT);
	CHECK(strstr(sharq_error(s, buf, sizeof(buf)), "4"),
	      "the limit isn't named: %s", buf);
	sharq_queue_close(q[3]);
	EVENTUALLY(sharq_queue_open(s, NULL, &q[3]) == 0, 5000);

	a = must_alloc(s, 40 << 20);
	b = sharq_alloc(s, 40 << 20);
	CHECK(b == NULL, "the arena has no limit");
	CHECK(strlen(sharq_error(s, buf, sizeof(buf))) > 8, "no sentence");
	must_work(s, q[0]);
	sharq_free(s, a);
	EVENTUALLY((b = sharq_alloc(s, 40 << 20)) != NULL, 5000);
	sharq_free(s, b);
	for (i = 0; i < 4; i++)
		sharq_queue_close(q[i]);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* Processes share the device to its last queue: only then is it busy. */
static void p2_busy_only_when_all_is_taken(void)
{
	bool root = geteuid() == 0;
	struct sharq_queue *q[2], *none;
	struct neighbour same, other;
	struct daemon d;
	struct sharq *s;
	char buf[256];

	daemon_start(&d, "[limits]\nqueues = 4\nqueues-per-user = 4\n");
	neighbour_start(&same, d.socket, geteuid());
	neighbour_start(&other, d.socket, root ? UID_B : geteuid());
	s = must_connect(d.socket);
	q[0] = must_open(s, 8);
	q[1] = must_open(s, 8);
	CHECK_EQ(sharq_queue_open(s, NULL, &none), root ? -EBUSY : -EDQUOT);
	CHECK(strstr(sharq_error(s, buf, sizeof(buf)), "4"),
	      "the limit isn't named: %s", buf);
	must_work(s, q[0]);
	must_work(s, q[1]);
	neighbour_advances(&same, 3, 10000);
	neighbour_advances(&other, 3, 10000);
	neighbour_stop(&other, false);
	EVENTUALLY(sharq_queue_open(s, NULL, &none) == 0, 5000);
	must_work(s, none);
	sharq_queue_close(none);
	neighbour_stop(&same, false);
	sharq_queue_close(q[0]);
	sharq_queue_close(q[1]);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static void bad_requests_are_named(void)
{
	static const struct {
		uint64_t address, size;
	} bad[] = {
		{ 0x10000001, 4096 },	    { 0x10000000, 4095 },
		{ 0x10000000, 0 },	    { 0xfffffffffffff000, 8192 },
		{ 0x10000000, 1ULL << 62 },
	};
	static const uint32_t depths[] = { 0, 1, 3, 8192, 0x80000000U };
	struct daemon d;
	struct peer p;
	size_t i;

	daemon_start(&d, NULL);
	peer_open(&p, d.socket);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		Sharq__Pb__RegionCreate rc = SHARQ__PB__REGION_CREATE__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

		rc.address = bad[i].address;
		rc.size = bad[i].size;
		req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
		req.region_create = &rc;
		CHECK(peer_code(&p, &req) < 0, "region %zu was made", i);
	}
	for (i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		Sharq__Pb__QueueCreate qc = SHARQ__PB__QUEUE_CREATE__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;

		qc.depth = depths[i];
		req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
		req.queue_create = &qc;
		CHECK_EQ(peer_code(&p, &req), -EINVAL);
	}
	CHECK_EQ(peer_destroy(&p, 12345), -ENOENT);
	CHECK_EQ(peer_stats(&p).queues, 0);
	CHECK_EQ(peer_stats(&p).arena_bytes, 0);
	peer_close(&p);
	daemon_stop(&d);
}

static void nops(struct sharq_queue *q, unsigned int n)
{
	while (n--)
		sharq_prep_nop(must_sqe(q));
}

static void control_of_a_queue(void)
{
	const struct sharq_cqe *cqe;
	struct queue_seen seen;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	uint64_t id;
	int i;

	daemon_start(&d, NULL);
	s = must_connect(d.socket);
	q = must_open(s, 64);
	id = queue_id(q);
	peer_open(&p, d.socket);

	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE),
		 0);
	nops(q, 10);
	must_submit(q, 10);
	CHECK_EQ(sharq_wait_cqe(q, &cqe, 200), -ETIME);
	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 0);
	for (i = 0; i < 10; i++)
		CHECK_EQ(must_reap(q, 5000).status, SHARQ_OK);

	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN),
		 0);
	CHECK(peer_queue(&p, id, &seen), "gone");
	CHECK_EQ(seen.in_flight, 0);
	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_RESUME),
		 0);
	must_work(s, q);

	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE),
		 0);
	nops(q, 10);
	must_submit(q, 10);
	CHECK_EQ(peer_control(&p, id, SHARQ__PB__QUEUE_ACTION__ACTION_KILL), 0);
	for (i = 0; i < 10; i++)
		CHECK_EQ(must_reap(q, 5000).status, SHARQ_CANCELED);
	nops(q, 1);
	CHECK_EQ(sharq_submit(q), -ESHUTDOWN);
	sharq_queue_close(q);
	q = must_open(s, 64);
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p13_small_beside_big", p13_small_beside_big, 180 },
		{ "p13_small_behind_big_same_queue",
		  p13_small_behind_big_same_queue, 180 },
		{ "p13_small_of_another_user", p13_small_of_another_user, 180 },
		{ "p2_busy_only_when_all_is_taken",
		  p2_busy_only_when_all_is_taken, 60 },
		{ "limits_are_named", limits_are_named, 30 },
		{ "bad_requests_are_named", bad_requests_are_named, 30 },
		{ "control_of_a_queue", control_of_a_queue, 30 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
