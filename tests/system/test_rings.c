/* SPDX-License-Identifier: MIT */
/* Clients that abuse what they share with the engine. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

/*
 * The scene of most tests: a hostile session in this process; neighbours of
 * the same user (hence the same engine) and, as root, of another one.
 */
struct scene {
	struct daemon d;
	struct peer p;
	struct rawq bad, good;
	unsigned char *mem, *good_mem;
	int mem_fd;
	struct neighbour same, other;
	bool root;
	pid_t engine;
};

#define DEPTH 64
#define MEM (4U << 20)

static void scene_open(struct scene *sc)
{
	sc->root = geteuid() == 0;
	daemon_start(&sc->d, NULL);
	neighbour_start(&sc->same, sc->d.socket, geteuid());
	if (sc->root)
		neighbour_start(&sc->other, sc->d.socket, UID_B);
	peer_open(&sc->p, sc->d.socket);
	rawq_open(&sc->p, DEPTH, &sc->bad);
	rawq_open(&sc->p, DEPTH, &sc->good);
	sc->mem = peer_region(&sc->p, MEM, &sc->mem_fd, NULL);
	sc->good_mem = peer_region(&sc->p, 8192, NULL, NULL);
	sc->engine = peer_engine(&sc->p, sc->bad.id);
	CHECK_EQ(peer_engine(&sc->p, sc->same.state->queue), sc->engine);
}

static void others_go_on(struct scene *sc)
{
	neighbour_advances(&sc->same, 5, 10000);
	if (sc->root)
		neighbour_advances(&sc->other, 5, 10000);
}

/* The session's other queue still does right. */
static void good_works(struct scene *sc)
{
	struct sharq_desc d = { .op = SHARQ_OP_COPY,
				.len = 4096,
				.user_data = 77,
				.src = (uintptr_t)sc->good_mem,
				.dst = (uintptr_t)sc->good_mem + 4096 };
	struct sharq_cqe c;

	rnd_fill(sc->good_mem, 4096, 8);
	memset(sc->good_mem + 4096, 0, 4096);
	rawq_push(&sc->good, &d, 1);
	CHECK(rawq_reap(&sc->good, &c, 10000), "the good queue is stuck");
	CHECK_EQ(c.user_data, 77);
	CHECK_EQ(c.status, SHARQ_OK);
	CHECK(memcmp(sc->good_mem, sc->good_mem + 4096, 4096) == 0,
	      "the good queue's data is wrong");
}

static void scene_close(struct scene *sc)
{
	others_go_on(sc);
	good_works(sc);
	CHECK_EQ(peer_engine(&sc->p, sc->good.id), sc->engine);
	CHECK_EQ(peer_stats(&sc->p).engine_deaths, 0);
	CHECK(sc->same.state->worst_ms < 3000 * SCALE,
	      "the neighbour's slowest round took %u ms",
	      sc->same.state->worst_ms);
	rawq_close(&sc->bad);
	rawq_close(&sc->good);
	peer_close(&sc->p);
	neighbour_stop(&sc->same, false);
	if (sc->root)
		neighbour_stop(&sc->other, false);
	daemon_stop(&sc->d);
}

static void expect_broken(struct scene *sc)
{
	struct queue_seen seen;

	rawq_knock(&sc->bad);
	EVENTUALLY((rawq_knock(&sc->bad),
		    rawq_flags(&sc->bad) & SHARQ_DEVICE_BROKEN),
		   5000);
	EVENTUALLY(peer_queue(&sc->p, sc->bad.id, &seen) &&
			   seen.state == SHARQ__PB__QUEUE_STATE__QUEUE_BROKEN,
		   5000);
	CHECK(!(rawq_flags(&sc->good) & SHARQ_DEVICE_DEAD),
	      "the good queue is dead");
}

static void p6_wild_sq_tail(void)
{
	static const uint32_t jumps[] = { DEPTH + 1, 0x7fffffff, 0x80000000,
					  0xffffffff };
	struct scene sc;
	size_t i;

	scene_open(&sc);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		__atomic_store_n(&sc.bad.ring->sq_tail,
				 sc.bad.ring->sq_head + jumps[i],
				 __ATOMIC_RELEASE);
		expect_broken(&sc);
		good_works(&sc);
		CHECK_EQ(peer_destroy(&sc.p, sc.bad.id), 0);
		rawq_close(&sc.bad);
		rawq_open(&sc.p, DEPTH, &sc.bad);
	}
	scene_close(&sc);
}

static void p6_wild_cq_head(void)
{
	static const uint32_t jumps[] = { 1, DEPTH, 0x80000000, 0xffffff00 };
	struct sharq_desc nop = { 0 };
	struct scene sc;
	size_t i;

	scene_open(&sc);
	for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
		/* Completions taken that were never given. */
		__atomic_store_n(&sc.bad.ring->cq_head,
				 sc.bad.ring->cq_tail + jumps[i],
				 __ATOMIC_RELEASE);
		rawq_push(&sc.bad, &nop, 1);
		expect_broken(&sc);
		good_works(&sc);
		CHECK_EQ(peer_destroy(&sc.p, sc.bad.id), 0);
		rawq_close(&sc.bad);
		rawq_open(&sc.p, DEPTH, &sc.bad);
	}
	scene_close(&sc);
}

static void p6_addresses_outside(void)
{
	struct scene sc;
	struct sharq_cqe c;
	size_t i;

	scene_open(&sc);
	{
		uint64_t in = (uintptr_t)sc.mem, end = in + MEM;
		const struct {
			uint64_t src, dst;
			uint32_t len;
			unsigned int status;
		} cases[] = {
			{ 0x1000, in, 64, SHARQ_FAULT_READ },
			{ in, 0x1000, 64, SHARQ_FAULT_WRITE },
			{ in - 1, in + 4096, 64, SHARQ_FAULT_READ },
			{ in, end, 64, SHARQ_FAULT_WRITE },
			{ in, end - 63, 64, SHARQ_FAULT_WRITE },
			{ end - 63, in, 64, SHARQ_FAULT_READ },
			{ in, 0xffffffff80000000ULL, 64, SHARQ_FAULT_WRITE },
			{ in, in + 4096, 0x7fffffff, SHARQ_FAULT_READ },
			/* Of this process, but not shared. */
			{ (uintptr_t)&sc, in, 64, SHARQ_FAULT_READ },
			{ in, (uintptr_t)&sc, 64, SHARQ_FAULT_WRITE },
			{ in, (uintptr_t)sc.bad.ring, 64, SHARQ_FAULT_WRITE },
			{ in, end - 64, 64, SHARQ_OK },
		};

		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			struct sharq_desc d = { .op = SHARQ_OP_COPY,
						.src = cases[i].src,
						.dst = cases[i].dst,
						.len = cases[i].len };

			rawq_push(&sc.bad, &d, 1);
			CHECK(rawq_reap(&sc.bad, &c, 5000), "case %zu: lost",
			      i);
			if (c.status == SHARQ_UNSUPPORTED)
				CHECK(cases[i].len > 1U << 30, "case %zu", i);
			else
				CHECK(c.status == cases[i].status,
				      "case %zu: status %u, expected %u", i,
				      c.status, cases[i].status);
			if (c.flags & SHARQ_CQE_ADDR_VALID)
				CHECK(c.addr < in || c.addr >= end,
				      "case %zu blames a good address", i);
		}
	}
	scene_close(&sc);
}

struct vandal {
	struct scene *sc;
	uint32_t stop;
	uint64_t turns;
};

static void *rewrite_thread(void *arg)
{
	struct vandal *v = arg;
	struct scene *sc = v->sc;
	uint64_t seed = 99;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		uint64_t r = rnd(&seed);
		volatile struct sharq_desc *d = &sc->bad.sq[r % DEPTH];

		switch (r >> 32 & 7) {
		case 0:
			d->dst = r;
			break;
		case 1:
			d->len = (uint32_t)r;
			break;
		case 2:
			d->op = r >> 40 & 15;
			break;
		case 3:
			d->src = (uintptr_t)sc->mem + (r >> 40) % MEM;
			break;
		case 4:
			d->dst = (uintptr_t)sc->mem + (r >> 40) % (MEM / 2);
			break;
		case 5:
			d->len = r >> 40 & 0xffff;
			break;
		case 6:
			d->dst_len = r >> 40 & 0xffff;
			break;
		default:
			d->flags = r >> 40 & 3;
			break;
		}
		v->turns++;
	}
	return NULL;
}

/* Descriptors that change while they are read: each still completes, once. */
static void p6_descriptors_rewritten(void)
{
	struct scene sc;
	struct vandal v = { .sc = &sc };
	uint64_t pushed = 0, reaped = 0;
	pthread_t thread;
	int64_t until;

	scene_open(&sc);
	CHECK_EQ(pthread_create(&thread, NULL, rewrite_thread, &v), 0);
	until = now_ms() + 2000;
	while (now_ms() < until || reaped < pushed) {
		struct sharq_desc d = { .op = SHARQ_OP_COPY,
					.len = 512,
					.src = (uintptr_t)sc.mem,
					.dst = (uintptr_t)sc.mem + 8192 };
		struct sharq_cqe c;

		while (now_ms() < until && pushed - reaped < DEPTH) {
			rawq_push(&sc.bad, &d, 1);
			pushed++;
		}
		CHECK(rawq_reap(&sc.bad, &c, 10000),
		      "%llu pushed, only %llu completed",
		      (unsigned long long)pushed, (unsigned long long)reaped);
		CHECK(c.status < SHARQ_STATUS_COUNT && c.status != SHARQ_RESET,
		      "status %u", c.status);
		reaped++;
	}
	__atomic_store_n(&v.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("  %llu descriptors, %llu rewrites\n",
	       (unsigned long long)pushed, (unsigned long long)v.turns);
	scene_close(&sc);
}

static void *scribble_thread(void *arg)
{
	struct vandal *v = arg;
	struct scene *sc = v->sc;
	uint32_t *ring = (uint32_t *)sc->bad.ring;
	uint64_t seed = 17;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		uint64_t r = rnd(&seed);

		*(volatile uint32_t *)&ring[(r >> 8) % (sc->bad.size / 4)] =
			(uint32_t)(r >> 40);
		*(volatile unsigned char *)&sc->mem[(r >> 20) % (MEM / 2)] =
			(unsigned char)r;
		if (v->turns++ % 64 == 0)
			rawq_knock(&sc->bad);
	}
	return NULL;
}

/* The same, but no index is left alone long enough for the queue to break. */
static void *scribble_gently_thread(void *arg)
{
	struct vandal *v = arg;
	struct scene *sc = v->sc;
	size_t first = sizeof(struct sharq_ring) / 4;
	uint32_t *ring = (uint32_t *)sc->bad.ring;
	uint64_t seed = 18;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		uint64_t r = rnd(&seed);

		*(volatile uint32_t
			  *)&ring[first + (r >> 8) % (sc->bad.size / 4 - first)] =
			(uint32_t)(r >> 40);
		*(volatile unsigned char *)&sc->mem[(r >> 20) % (MEM / 2)] =
			(unsigned char)r;
		/* Says that it published and took whatever there is. */
		__atomic_store_n(&sc->bad.ring->cq_head,
				 __atomic_load_n(&sc->bad.ring->cq_tail,
						 __ATOMIC_ACQUIRE),
				 __ATOMIC_RELEASE);
		__atomic_store_n(&sc->bad.ring->sq_tail,
				 __atomic_load_n(&sc->bad.ring->sq_head,
						 __ATOMIC_ACQUIRE) +
					 (uint32_t)(r >> 59),
				 __ATOMIC_RELEASE);
		if (v->turns++ % 64 == 0)
			rawq_knock(&sc->bad);
	}
	return NULL;
}

static void scribble(void *(*fn)(void *))
{
	struct sharq_desc work[DEPTH] = { 0 };
	struct scene sc;
	struct vandal v = { .sc = &sc };
	pthread_t thread;
	int64_t until;
	int i;

	scene_open(&sc);
	for (i = 0; i < DEPTH; i++) {
		work[i].op = i & 1 ? SHARQ_OP_COMPRESS : SHARQ_OP_DECOMPRESS;
		work[i].src = (uintptr_t)sc.mem + (i << 12);
		work[i].dst = (uintptr_t)sc.mem + (1 << 20);
		work[i].len = 65536;
		work[i].dst_len = 65536;
	}
	rnd_fill(sc.mem, MEM / 2, 12);
	rawq_push(&sc.bad, work, DEPTH);
	CHECK_EQ(pthread_create(&thread, NULL, fn, &v), 0);
	until = now_ms() + 1500;
	while (now_ms() < until) {
		good_works(&sc);
		neighbour_advances(&sc.same, 1, 10000);
	}
	others_go_on(&sc);
	__atomic_store_n(&v.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	printf("  %llu stores\n", (unsigned long long)v.turns);
	scene_close(&sc);
}

static void p13_scribble_everywhere(void)
{
	scribble(scribble_thread);
}

static void p13_scribble_entries(void)
{
	scribble(scribble_gently_thread);
}

static void p13_punched_holes(void)
{
	struct sharq_desc d = { .op = SHARQ_OP_COPY, .len = 1 << 20 };
	struct sharq_cqe c;
	struct scene sc;
	int i, k;

	scene_open(&sc);
	d.src = (uintptr_t)sc.mem;
	d.dst = (uintptr_t)sc.mem + (1 << 20);
	for (i = 0; i < 200; i++) {
		for (k = 0; k < 8; k++)
			rawq_push(&sc.bad, &d, 1);
		CHECK(fallocate(sc.mem_fd,
				FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
				2 << 20) == 0,
		      "punching: %s", strerror(errno));
		for (k = 0; k < 8; k++) {
			CHECK(rawq_reap(&sc.bad, &c, 10000), "lost");
			CHECK_EQ(c.status, SHARQ_OK);
		}
	}
	/* And the rings themselves, with work in them. */
	for (k = 0; k < 8; k++)
		rawq_push(&sc.bad, &d, 1);
	CHECK(fallocate(sc.bad.rings_fd,
			FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			(off_t)sc.bad.size) == 0,
	      "punching: %s", strerror(errno));
	rawq_knock(&sc.bad);
	others_go_on(&sc);
	scene_close(&sc);
}

static void p13_seals(void)
{
	struct scene sc;
	int fds[2], i;

	scene_open(&sc);
	fds[0] = sc.bad.rings_fd;
	fds[1] = sc.mem_fd;
	for (i = 0; i < 2; i++) {
		int seals = fcntl(fds[i], F_GET_SEALS);
		int want = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

		CHECK((seals & want) == want, "seals are %x", seals);
		CHECK(fcntl(fds[i], F_ADD_SEALS, F_SEAL_WRITE) < 0 &&
			      errno == EPERM,
		      "a seal was added");
		CHECK(fcntl(fds[i], F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0 &&
			      errno == EPERM,
		      "a seal was added");
		CHECK(ftruncate(fds[i], 0) < 0 && errno == EPERM, "shrunk");
		CHECK(ftruncate(fds[i], 1 << 30) < 0 && errno == EPERM,
		      "grown");
	}
	scene_close(&sc);
}

/* WANT_EVENT for ever, blocking sockets, and nobody reads. */
static void p13_notifications_unread(void)
{
	struct sharq_desc nops[32] = { 0 };
	struct sharq_cqe c;
	struct scene sc;
	int i, k, flags;

	scene_open(&sc);
	flags = fcntl(sc.bad.sock, F_GETFL);
	CHECK_EQ(fcntl(sc.bad.sock, F_SETFL, flags & ~O_NONBLOCK), 0);
	__atomic_store_n(&sc.bad.ring->client_flags, SHARQ_CLIENT_WANT_EVENT,
			 __ATOMIC_SEQ_CST);
	for (i = 0; i < 5000; i++) {
		rawq_push(&sc.bad, nops, 32);
		for (k = 0; k < 32; k++)
			CHECK(rawq_reap(&sc.bad, &c, 10000),
			      "stuck in round %d", i);
	}
	scene_close(&sc);
}

static void *knock_thread(void *arg)
{
	static const char bytes[4096];
	struct vandal *v = arg;

	while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
		send(v->sc->bad.sock, bytes, sizeof(bytes),
		     MSG_DONTWAIT | MSG_NOSIGNAL);
		v->turns++;
	}
	return NULL;
}

static void p13_knock_flood(void)
{
	struct sharq_desc nop = { 0 };
	struct scene sc;
	struct vandal v = { .sc = &sc };
	struct sharq_cqe c;
	pthread_t thread;
	int64_t until;

	scene_open(&sc);
	CHECK_EQ(pthread_create(&thread, NULL, knock_thread, &v), 0);
	until = now_ms() + 1500;
	while (now_ms() < until) {
		good_works(&sc);
		rawq_push(&sc.bad, &nop, 1);
		CHECK(rawq_reap(&sc.bad, &c, 10000), "its own queue is stuck");
		neighbour_advances(&sc.same, 1, 10000);
	}
	others_go_on(&sc);
	__atomic_store_n(&v.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	scene_close(&sc);
}

/* A chain without an end, then the same of fences. */
static void p13_endless_chains(void)
{
	static const uint16_t flags[] = { SHARQ_DESC_LINK, SHARQ_DESC_FENCE,
					  SHARQ_DESC_LINK | SHARQ_DESC_FENCE };
	struct sharq_desc d = { .op = SHARQ_OP_COPY, .len = 4096 };
	struct sharq_cqe c;
	struct scene sc;
	unsigned int k;
	uint64_t sent, got;

	scene_open(&sc);
	d.src = (uintptr_t)sc.mem;
	d.dst = (uintptr_t)sc.mem + 4096;
	for (k = 0; k < 3; k++) {
		int64_t until = now_ms() + 1000;

		d.flags = flags[k];
		for (sent = got = 0; now_ms() < until || got < sent; got++) {
			while (now_ms() < until && sent - got < DEPTH) {
				d.user_data = sent++;
				rawq_push(&sc.bad, &d, 1);
			}
			CHECK(rawq_reap(&sc.bad, &c, 10000),
			      "flags %x: stuck after %llu", flags[k],
			      (unsigned long long)got);
			CHECK_EQ(c.status, SHARQ_OK);
			CHECK_EQ(c.user_data, got);
		}
		others_go_on(&sc);
	}
	/* An open end: the chain waits for a next one, nobody else does. */
	d.flags = SHARQ_DESC_LINK;
	rawq_push(&sc.bad, &d, 1);
	CHECK(rawq_reap(&sc.bad, &c, 10000), "lost");
	scene_close(&sc);
}

/* Completions that are never taken hold up only their own queue. */
static void p13_completions_never_taken(void)
{
	struct sharq_desc nops[DEPTH] = { 0 };
	struct sharq_cqe c;
	struct scene sc;
	unsigned int i;

	scene_open(&sc);
	rawq_push(&sc.bad, nops, DEPTH);
	EVENTUALLY(__atomic_load_n(&sc.bad.ring->cq_tail, __ATOMIC_ACQUIRE) ==
			   DEPTH,
		   5000);
	rawq_push(&sc.bad, nops, DEPTH);
	others_go_on(&sc);
	good_works(&sc);
	CHECK_EQ(__atomic_load_n(&sc.bad.ring->cq_tail, __ATOMIC_ACQUIRE),
		 DEPTH);
	for (i = 0; i < 2 * DEPTH; i++) {
		CHECK(rawq_reap(&sc.bad, &c, 5000), "completion %u is lost", i);
		CHECK_EQ(c.status, SHARQ_OK);
	}
	scene_close(&sc);
}

/* The memory goes while commands are at it. */
static void p13_region_removed_at_work(void)
{
	struct scene sc;
	struct sharq_cqe c;
	int i, k;

	scene_open(&sc);
	for (i = 0; i < 20; i++) {
		Sharq__Pb__RegionDestroy destroy =
			SHARQ__PB__REGION_DESTROY__INIT;
		Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
		uint64_t id;
		unsigned char *m = peer_region(&sc.p, 16 << 20, NULL, &id);
		struct sharq_desc d = { .op = SHARQ_OP_COPY,
					.len = 8 << 20,
					.src = (uintptr_t)m,
					.dst = (uintptr_t)m + (8 << 20) };

		for (k = 0; k < 8; k++)
			rawq_push(&sc.bad, &d, 1);
		destroy.region = id;
		req.body_case = SHARQ__PB__REQUEST__BODY_REGION_DESTROY;
		req.region_destroy = &destroy;
		CHECK_EQ(peer_code(&sc.p, &req), 0);
		munmap(m, 16 << 20);
		for (k = 0; k < 8; k++) {
			CHECK(rawq_reap(&sc.bad, &c, 10000), "lost");
			CHECK(c.status == SHARQ_OK ||
				      c.status == SHARQ_FAULT_READ ||
				      c.status == SHARQ_FAULT_WRITE,
			      "status %u", c.status);
		}
	}
	scene_close(&sc);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p6_wild_sq_tail", p6_wild_sq_tail, 60 },
		{ "p6_wild_cq_head", p6_wild_cq_head, 60 },
		{ "p6_addresses_outside", p6_addresses_outside, 60 },
		{ "p6_descriptors_rewritten", p6_descriptors_rewritten, 60 },
		{ "p13_scribble_everywhere", p13_scribble_everywhere, 60 },
		{ "p13_scribble_entries", p13_scribble_entries, 60 },
		{ "p13_punched_holes", p13_punched_holes, 60 },
		{ "p13_seals", p13_seals, 60 },
		{ "p13_notifications_unread", p13_notifications_unread, 60 },
		{ "p13_knock_flood", p13_knock_flood, 60 },
		{ "p13_endless_chains", p13_endless_chains, 60 },
		{ "p13_completions_never_taken", p13_completions_never_taken,
		  60 },
		{ "p13_region_removed_at_work", p13_region_removed_at_work,
		  60 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
