/* SPDX-License-Identifier: MIT */
/* Full rings, indices that wrap, and how to wait. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

/* As many as the queue is deep, then NULL, until a completion is seen. */
static void full_ring(unsigned int depth)
{
	struct session c;
	uint8_t *seen = calloc(depth, 1);

	EXPECT(seen, "no memory");
	session_open(&c, depth, 0);
	EXPECT_EQ(c.info.depth, depth, "the queue's depth");
	for (int round = 0; round < 3; round++) {
		memset(seen, 0, depth);
		for (unsigned int i = 0; i < depth; i++) {
			struct sharq_sqe *sqe = sqe_get(c.q);

			sharq_prep_nop(sqe);
			sharq_sqe_set_data64(sqe, i);
		}
		EXPECT(!sharq_get_sqe(c.q), "an entry beyond the depth");
		EXPECT_EQ(sharq_queue_outstanding(c.q), depth, "outstanding");
		submit_all(c.q, depth);
		EXPECT(!sharq_get_sqe(c.q), "an entry with all in flight");
		for (unsigned int i = 0; i < depth; i++) {
			struct sharq_cqe cqe = cqe_take(c.q);

			expect_status(&cqe, SHARQ_OK, "NOP");
			EXPECT(cqe.user_data < depth && !seen[cqe.user_data],
			       "completed twice");
			seen[cqe.user_data] = 1;
		}
		EXPECT_EQ(sharq_queue_outstanding(c.q), 0, "outstanding");
	}
	free(seen);
	session_close(&c);
}

static void full_rings(void)
{
	for (unsigned int depth = SHARQ_MIN_DEPTH; depth <= SHARQ_MAX_DEPTH;
	     depth *= 2)
		full_ring(depth);
}

/* Not yet seen counts as outstanding: completions can't overflow. */
static void unseen_holds_entry(void)
{
	const struct sharq_cqe *cqe, *again;
	struct session c;

	session_open(&c, 2, 0);
	for (int i = 0; i < 100; i++) {
		sharq_prep_nop(sqe_get(c.q));
		sharq_prep_nop(sqe_get(c.q));
		submit_all(c.q, 2);
		EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, WAIT_MS), 0, "wait");
		EXPECT_EQ(sharq_peek_cqe(c.q, &again), 0, "peek");
		EXPECT(again == cqe, "peek passed what wasn't seen");
		EXPECT(!sharq_get_sqe(c.q), "an entry with both unseen");
		sharq_cqe_seen(c.q, cqe);
		EXPECT_EQ(sharq_queue_outstanding(c.q), 1, "outstanding");
		cqe_take(c.q);
		EXPECT_EQ(sharq_peek_cqe(c.q, &cqe), -EAGAIN, "peek");
	}
	session_close(&c);
}

/* Through the ring's end thousands of times, at every fill level. */
static void many_wraps(void)
{
	const unsigned int total = 200000;
	unsigned int sent = 0, done = 0;
	struct rng r = { 1 };
	uint64_t sum = 0;
	struct session c;

	session_open(&c, 16, 0);
	while (done < total) {
		unsigned int n = 0, want = 1 + rng_below(&r, 16);
		struct sharq_sqe *sqe;
		const struct sharq_cqe *cqe;

		while (n < want && sent < total &&
		       (sqe = sharq_get_sqe(c.q)) != NULL) {
			sharq_prep_nop(sqe);
			sharq_sqe_set_data64(sqe, sent++);
			n++;
		}
		submit_all(c.q, n);
		want = 1 + rng_below(&r, 16);
		while (want-- && sharq_queue_outstanding(c.q)) {
			EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, WAIT_MS), 0,
				  "sharq_wait_cqe");
			EXPECT_EQ(cqe->status, SHARQ_OK, "NOP's status");
			sum += cqe->user_data;
			sharq_cqe_seen(c.q, cqe);
			done++;
		}
	}
	EXPECT_EQ(sum, (uint64_t)total * (total - 1) / 2, "sum of user_data");
	session_close(&c);
}

/*
 * More than staging memory may hold at once: a short count is normal, and all
 * of it is done in the end.
 */
static void back_pressure(void)
{
	const unsigned int depth = 256, total = 600;
	unsigned int prepared = 0, accepted = 0, done = 0;
	struct session c;
	uint8_t *src, *dst;
	uint32_t len = 2 * MIB;
	struct rng r = { 4 };

	session_open(&c, depth, 0);
	if (len > c.info.max_transfer)
		len = c.info.max_transfer;
	src = xmalloc(len);
	dst = xmalloc((size_t)len * depth);
	rng_fill(&r, src, len);
	while (done < total) {
		struct sharq_sqe *sqe;
		struct sharq_cqe cqe;
		int n;

		while (prepared < total && (sqe = sharq_get_sqe(c.q))) {
			unsigned int slot = prepared % depth;

			sharq_prep_copy(sqe, dst + (size_t)slot * len, src,
					len);
			sharq_sqe_set_data64(sqe, prepared++);
		}
		n = sharq_submit(c.q);
		EXPECT(n >= 0, "sharq_submit: %s", strerror(-n));
		accepted += (unsigned int)n;
		EXPECT(accepted > done || done == total,
		       "nothing in flight, and nothing was accepted");
		cqe = cqe_take(c.q);
		expect_status(&cqe, SHARQ_OK, "COPY");
		done++;
	}
	for (unsigned int i = 0; i < depth; i++)
		EXPECT(!memcmp(dst + (size_t)i * len, src, len),
		       "copy %u isn't right", i);
	free(src);
	free(dst);
	session_close(&c);
}

/* The same by poll() and peeks alone: what was left is asked for again. */
static void back_pressure_polled(void)
{
	enum {
		DEPTH = 256,
		LEN = 512 * KIB
	};
	uint8_t *src = xmalloc(LEN), *dst = xmalloc((size_t)LEN * DEPTH);
	struct rng r = { 5 };
	struct session c;
	struct pollfd p;

	session_open(&c, DEPTH, 0);
	rng_fill(&r, src, LEN);
	p = (struct pollfd){ .fd = sharq_queue_fd(c.q), .events = POLLIN };
	for (size_t i = 0; i < DEPTH; i++)
		sharq_prep_copy(sqe_get(c.q), dst + i * LEN, src, LEN);
	submit_all(c.q, DEPTH);
	while (sharq_queue_outstanding(c.q)) {
		const struct sharq_cqe *cqe;

		EXPECT_EQ(poll(&p, 1, WAIT_MS), 1, "poll");
		while (!sharq_peek_cqe(c.q, &cqe)) {
			expect_status(cqe, SHARQ_OK, "COPY");
			sharq_cqe_seen(c.q, cqe);
		}
	}
	for (size_t i = 0; i < DEPTH; i++)
		EXPECT(!memcmp(dst + i * LEN, src, LEN), "copy %zu", i);
	free(src);
	free(dst);
	session_close(&c);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A command that takes a while, so that waiting for it is waiting. */
static uint8_t *submit_long(struct session *c, unsigned int n)
{
	uint32_t len = c->info.max_transfer < 256 * MIB ? c->info.max_transfer
							: 256 * MIB;
	uint8_t *p = xalloc(c->s, len);

	memset(p, 1, len);
	for (unsigned int i = 0; i < n; i++)
		sharq_prep_crc32c(sqe_get(c->q), p, len, 0);
	submit_all(c->q, n);
	return p;
}

static void nothing_in_flight(void)
{
	const struct sharq_cqe *cqe;
	struct session c;

	session_open(&c, 8, 0);
	EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, -1), -ENOENT, "wait for nothing");
	EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, 0), -ENOENT, "wait for nothing");
	EXPECT_EQ(sharq_peek_cqe(c.q, &cqe), -EAGAIN, "peek at nothing");
	EXPECT_EQ(sharq_submit(c.q), 0, "submit of nothing");
	/* Prepared but not submitted isn't in flight. */
	sharq_prep_nop(sqe_get(c.q));
	EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, 0), -ENOENT,
		  "wait for what wasn't submitted");
	submit_all(c.q, 1);
	cqe_take(c.q);
	EXPECT_EQ(sharq_wait_cqe(c.q, &cqe, -1), -ENOENT, "wait for nothing");
	session_close(&c);
}

static void timeouts(void)
{
	const struct sharq_cqe *cqe;
	const unsigned int n = 32;
	struct session c;
	double start;
	uint8_t *p;
	int r;

	session_open(&c, n, 0);
	p = submit_long(&c, n);
	r = sharq_wait_cqe(c.q, &cqe, 0);
	EXPECT(r == -ETIME || r == 0, "wait of 0 ms: %d", r);
	for (unsigned int i = 0; i < n; i++)
		cqe_take(c.q);
	sharq_free(c.s, p);
	/* The whole timeout, and not much more: nothing comes meanwhile. */
	p = submit_long(&c, n);
	start = now();
	r = sharq_wait_cqe(c.q, &cqe, 1);
	if (r == -ETIME)
		EXPECT(now() - start >= 0.0009, "it returned too early");
	for (unsigned int i = 0; i < n; i++)
		cqe_take(c.q);
	sharq_free(c.s, p);
	session_close(&c);
}

/* poll() until there is something; then all of it, until -EAGAIN. */
static void with_poll(void)
{
	const unsigned int total = 5000;
	unsigned int sent = 0, done = 0;
	struct session c;
	struct pollfd p;

	session_open(&c, 32, 0);
	p = (struct pollfd){ .fd = sharq_queue_fd(c.q), .events = POLLIN };
	EXPECT(p.fd >= 0, "sharq_queue_fd: %d", p.fd);
	while (done < total) {
		const struct sharq_cqe *cqe;
		struct sharq_sqe *sqe;
		unsigned int n = 0;

		/* One at a time every other time: that's when it can sleep. */
		while (sent < total && (n == 0 || sent % 64 > 31) &&
		       (sqe = sharq_get_sqe(c.q))) {
			sharq_prep_nop(sqe);
			sent++;
			n++;
		}
		submit_all(c.q, n);
		EXPECT_EQ(poll(&p, 1, WAIT_MS), 1, "poll");
		EXPECT_EQ(p.revents, POLLIN, "poll's events");
		while (!sharq_peek_cqe(c.q, &cqe)) {
			sharq_cqe_seen(c.q, cqe);
			done++;
		}
	}
	EXPECT_EQ(poll(&p, 1, 0), 0, "poll with nothing to take");
	session_close(&c);
}

static void with_epoll(void)
{
	struct session c[4];
	unsigned int done[4] = { 0 }, all = 0;
	const unsigned int rounds = 500;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	EXPECT(ep >= 0, "epoll_create1");
	for (unsigned int i = 0; i < 4; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };
		const struct sharq_cqe *cqe;

		session_open(&c[i], 8, 0);
		EXPECT(!epoll_ctl(ep, EPOLL_CTL_ADD, sharq_queue_fd(c[i].q),
				  &e),
		       "epoll_ctl");
		EXPECT_EQ(sharq_peek_cqe(c[i].q, &cqe), -EAGAIN, "peek");
		sharq_prep_nop(sqe_get(c[i].q));
		submit_all(c[i].q, 1);
	}
	while (all < 4 * rounds) {
		struct epoll_event e;
		const struct sharq_cqe *cqe;
		struct session *s;

		EXPECT_EQ(epoll_wait(ep, &e, 1, WAIT_MS), 1, "epoll_wait");
		s = &c[e.data.u32];
		while (!sharq_peek_cqe(s->q, &cqe)) {
			sharq_cqe_seen(s->q, cqe);
			all++;
			if (++done[e.data.u32] >= rounds)
				continue;
			sharq_prep_nop(sqe_get(s->q));
			submit_all(s->q, 1);
		}
	}
	close(ep);
	for (int i = 0; i < 4; i++)
		session_close(&c[i]);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A signal ends a wait with -EINTR, and the completion comes all the same. */
static void interrupted(void)
{
	const struct itimerval often = { { 0, 500 }, { 0, 500 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm };
	unsigned int interrupts = 0;
	struct session c;

	session_open(&c, 8, 0);
	sigaction(SIGALRM, &sa, NULL);
	for (int tries = 0; tries < 500 && !interrupts; tries++) {
		const struct sharq_cqe *cqe;
		uint8_t *p = submit_long(&c, 8);

		setitimer(ITIMER_REAL, &often, NULL);
		while (sharq_queue_outstanding(c.q)) {
			int r = sharq_wait_cqe(c.q, &cqe, WAIT_MS);

			EXPECT(r == 0 || r == -EINTR, "wait: %d", r);
			if (r)
				interrupts++;
			else
				sharq_cqe_seen(c.q, cqe);
		}
		setitimer(ITIMER_REAL, &never, NULL);
		sharq_free(c.s, p);
	}
	EXPECT(interrupts, "no wait was interrupted");
	session_close(&c);
}

const struct test ring_tests[] = {
	{ "ring_full", full_rings, 30, 0 },
	{ "ring_unseen_holds_entry", unseen_holds_entry, 30, 0 },
	{ "ring_many_wraps", many_wraps, 90, 0 },
	{ "ring_back_pressure", back_pressure, 120, 0 },
	{ "ring_back_pressure_polled", back_pressure_polled, 120, 0 },
	{ "wait_nothing_in_flight", nothing_in_flight, 30, 0 },
	{ "wait_timeout", timeouts, 60, BESIDE },
	{ "wait_poll", with_poll, 60, 0 },
	{ "wait_epoll", with_epoll, 60, 0 },
	{ "wait_interrupted", interrupted, 90, BESIDE },
	{ NULL, NULL, 0, 0 },
};
