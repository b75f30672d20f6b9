/* SPDX-License-Identifier: MIT */
/* P4: what a child may do with its parent's connections and queues: nothing. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUITE_ASKS_FOR_ALL
#include "suite.h"

/* Runs @body in a child, whose failed expectations are this test's. */
static void in_child(void (*body)(struct session *, void *), struct session *c,
		     void *arg)
{
	pid_t pid = fork();
	int status;

	EXPECT(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		body(c, arg);
		/* What the parent holds is no leak of the child's. */
		_exit(0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid, "waitpid");
	EXPECT(status != 256, "failed in the child");
	EXPECT(!status, "the child ended with status %#x", status);
}

static void expect_works(struct sharq_queue *q, const char *whose)
{
	uint8_t src[300], dst[300] = { 0 };
	struct sharq_cqe cqe;

	memset(src, 0x42, sizeof(src));
	sharq_prep_copy(sqe_get(q), dst, src, sizeof(src));
	cqe = run_one(q);
	expect_status(&cqe, SHARQ_OK, whose);
	EXPECT(!memcmp(src, dst, sizeof(src)), "%s: other data", whose);
}

static void call_everything(struct session *c, void *arg)
{
	const struct sharq_queue_opts opts = { .device = suite_device_id,
					       .path = suite.path };
	struct sharq_queue *q = c->q, *q2;
	struct sharq_queue_counts counts;
	struct sharq_queue_info info;
	const struct sharq_cqe *cqe;
	struct sharq_device dev;
	unsigned int status;
	size_t n = 8;
	uint32_t crc;
	uint8_t b[8] = { 0 }, b2[8], b3[64];
	char text[256];

	(void)arg;
	EXPECT(!sharq_get_sqe(q), "the child got a submission entry");
	EXPECT(!sharq_alloc(c->s, 100), "the child got memory");
#define REFUSED(call) EXPECT_EQ(call, -EPERM, #call)
	REFUSED(sharq_submit(q));
	REFUSED(sharq_peek_cqe(q, &cqe));
	REFUSED(sharq_wait_cqe(q, &cqe, 0));
	REFUSED(sharq_wait_cqe(q, &cqe, -1));
	REFUSED(sharq_queue_fd(q));
	REFUSED(sharq_queue_info(q, &info));
	REFUSED(sharq_queue_counts(q, &counts));
	REFUSED(sharq_devices(c->s, &dev, 1));
	REFUSED(sharq_queue_open(c->s, &opts, &q2));
	REFUSED(sharq_copy(q, b, b2, 8, &status));
	REFUSED(sharq_fill(q, b, 8, "x", 1, &status));
	REFUSED(sharq_compare(q, b, b2, 8, &n, &status));
	REFUSED(sharq_crc32c(q, b, 8, 0, &crc, &status));
	REFUSED(sharq_copy_crc32c(q, b, b2, 8, 0, &crc, &status));
	REFUSED(sharq_dualcast(q, b, b2, b3, 8, &status));
	n = sizeof(b3);
	REFUSED(sharq_compress(q, b3, &n, b, 8, 0, 1, &status));
	REFUSED(sharq_decompress(q, b3, &n, b, 8, NULL, 0, &status));
#undef REFUSED
	EXPECT(strlen(sharq_error(c->s, text, sizeof(text))) > 10,
	       "no sentence says why");
}

static void p4_child_is_refused(void)
{
	struct session c;

	session_open(&c, 8, 0);
	expect_works(c.q, "the parent before");
	in_child(call_everything, &c, NULL);
	expect_works(c.q, "the parent after");
	session_close(&c);
}

static void close_all(struct session *c, void *arg)
{
	(void)arg;
	EXPECT(!sharq_queue_close(c->q), "close");
	EXPECT(!sharq_disconnect(c->s), "disconnect");
}

/* The child frees its copies; the parent notices nothing. */
static void p4_child_closes(void)
{
	struct session c;

	session_open(&c, 8, 0);
	for (int i = 0; i < 10; i++) {
		in_child(close_all, &c, NULL);
		expect_works(c.q, "the parent after");
	}
	session_close(&c);
}

static void connect_afresh(struct session *c, void *arg)
{
	struct session own;

	(void)c;
	(void)arg;
	session_open(&own, 8, 0);
	expect_works(own.q, "the child's own queue");
	session_close(&own);
}

static void p4_child_connects_afresh(void)
{
	struct session c;

	session_open(&c, 8, 0);
	for (int i = 0; i < 5; i++) {
		in_child(connect_afresh, &c, NULL);
		expect_works(c.q, "the parent after");
	}
	session_close(&c);
}

/* In a grandchild, and after the child has closed its copies. */
static void nested(struct session *c, void *arg)
{
	call_everything(c, arg);
	in_child(call_everything, c, arg);
	connect_afresh(c, arg);
	close_all(c, arg);
	connect_afresh(c, arg);
}

static void p4_grandchild_is_refused(void)
{
	struct session c;

	session_open(&c, 8, 0);
	in_child(nested, &c, NULL);
	expect_works(c.q, "the parent after");
	session_close(&c);
}

/* mincore() tells whether anything is mapped there, without touching it. */
static void not_mapped(struct session *c, void *arg)
{
	unsigned char vec;

	(void)c;
	errno = 0;
	EXPECT(mincore(arg, 4096, &vec) == -1 && errno == ENOMEM,
	       "memory from sharq_alloc() is mapped in the child");
}

/* Memory that no device shares is as any other: the child has a copy. */
static void scribble(struct session *c, void *arg)
{
	(void)c;
	memset(arg, 2, 4 * MIB);
}

static void p4_memory_is_not_inherited(void)
{
	struct session c;
	uint8_t *p;

	session_open(&c, 8, 0);
	p = xalloc(c.s, 4 * MIB);
	memset(p, 1, 4 * MIB);
	if (suite.path == SHARQ_PATH_INLINE) {
		in_child(scribble, &c, p);
	} else {
		in_child(not_mapped, &c, p);
		in_child(not_mapped, &c, p + 4 * MIB - 4096);
	}
	EXPECT_EQ(p[0], 1, "the parent's memory");
	EXPECT_EQ(p[4 * MIB - 1], 1, "the parent's memory");
	sharq_free(c.s, p);
	session_close(&c);
}

/* Commands in flight across a fork: the parent's data, and only the parent's. */
static void p4_in_flight_across_fork(void)
{
	enum {
		N = 32,
		LEN = 512 * KIB
	};
	uint8_t *src = xmalloc(LEN), *dst = xmalloc((size_t)N * LEN);
	struct rng r = { 21 };
	struct session c;

	session_open(&c, N, 0);
	for (int round = 0; round < 5; round++) {
		pid_t pid;
		int status;

		rng_fill(&r, src, LEN);
		memset(dst, 0, (size_t)N * LEN);
		for (size_t i = 0; i < N; i++)
			sharq_prep_copy(sqe_get(c.q), dst + i * LEN, src, LEN);
		submit_all(c.q, N);
		pid = fork();
		EXPECT(pid >= 0, "fork");
		if (!pid) {
			/* Break the sharing of pages, as children do. */
			memset(src, 0xee, LEN);
			memset(dst, 0xee, (size_t)N * LEN);
			_exit(0);
		}
		for (int i = 0; i < N; i++) {
			struct sharq_cqe cqe = cqe_take(c.q);

			expect_status(&cqe, SHARQ_OK, "COPY across fork");
		}
		for (size_t i = 0; i < N; i++)
			EXPECT(!memcmp(dst + i * LEN, src, LEN),
			       "copy %zu is other data in the parent", i);
		EXPECT(waitpid(pid, &status, 0) == pid && !status, "the child");
	}
	free(src);
	free(dst);
	session_close(&c);
}

/* What was prepared before the fork is still only the parent's to submit. */
static void p4_prepared_across_fork(void)
{
	uint8_t src[64], dst[64] = { 0 };
	struct sharq_cqe cqe;
	struct session c;

	memset(src, 9, sizeof(src));
	session_open(&c, 8, 0);
	sharq_prep_copy(sqe_get(c.q), dst, src, sizeof(src));
	in_child(call_everything, &c, NULL);
	cqe = run_one(c.q);
	expect_status(&cqe, SHARQ_OK, "COPY prepared before the fork");
	EXPECT_EQ(dst[63], 9, "the last byte");
	session_close(&c);
}

/* Anything open in a process that isn't close-on-exec, but 0, 1 and 2. */
static int inheritable(void)
{
	int n = 0;

	for (int fd = 3; fd < 1024; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && !(flags & FD_CLOEXEC))
			n++;
	}
	return n;
}

static void p4_exec_closes_all(void)
{
	int before = inheritable();
	struct session c;
	void *p;

	session_open(&c, 8, 0);
	p = xalloc(c.s, MIB);
	EXPECT_EQ(inheritable(), before,
		  "descriptors that an exec would hand on");
	sharq_free(c.s, p);
	session_close(&c);
}

/* A child that let go of its copies has a life of its own. */
static void survive(struct session *c, void *arg)
{
	char byte = 0;
	int *pipes = arg;

	close_all(c, NULL);
	connect_afresh(c, NULL);
	EXPECT(write(pipes[1], &byte, 1) == 1, "write");
}

static void p4_closed_then_afresh(void)
{
	struct session c;
	int pipes[2];
	char byte;

	EXPECT(!pipe(pipes), "pipe");
	session_open(&c, 8, 0);
	in_child(survive, &c, pipes);
	session_close(&c);
	EXPECT(read(pipes[0], &byte, 1) == 1, "the child said nothing");
	close(pipes[0]);
	close(pipes[1]);
}

const struct test fork_tests[] = {
	{ "p4_child_is_refused", p4_child_is_refused, 30, 0 },
	{ "p4_child_closes", p4_child_closes, 30, 0 },
	{ "p4_child_connects_afresh", p4_child_connects_afresh, 30, 0 },
	{ "p4_grandchild_is_refused", p4_grandchild_is_refused, 30, 0 },
	{ "p4_memory_is_not_inherited", p4_memory_is_not_inherited, 30, 0 },
	{ "p4_in_flight_across_fork", p4_in_flight_across_fork, 60, 0 },
	{ "p4_prepared_across_fork", p4_prepared_across_fork, 30, 0 },
	{ "p4_exec_closes_all", p4_exec_closes_all, 30, 0 },
	{ "p4_closed_then_afresh", p4_closed_then_afresh, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
