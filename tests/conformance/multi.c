/* SPDX-License-Identifier: MIT */
/* Threads, many queues, memory from many threads, and loading twice. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

#define THREADS 4

struct worker {
	struct sharq *s;
	unsigned int n;
};

static void run_threads(void *(*body)(void *), struct sharq *s)
{
	struct worker w[THREADS];
	pthread_t t[THREADS];

	for (unsigned int i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .s = s, .n = i };
		EXPECT(!pthread_create(&t[i], NULL, body, &w[i]), "thread");
	}
	for (unsigned int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
}

/* Different data in each thread: an answer that strays is noticed. */
static void copies_and_crcs(struct sharq *s, struct sharq_queue *q,
			    unsigned int n)
{
	enum {
		BATCH = 16,
		LEN = 3000
	};
	bool with_crc = suite_has(SHARQ_OP_COPY_CRC32C);
	struct rng r = { n };
	uint8_t *shared = xalloc(s, BATCH * LEN);
	uint8_t *src = xmalloc(LEN), *dst = xmalloc(BATCH * LEN);

	for (unsigned int round = 0; round < 200; round++) {
		uint32_t crc;

		rng_fill(&r, src, LEN);
		crc = ref_crc32c(n, src, LEN);
		for (unsigned int i = 0; i < BATCH; i++) {
			struct sharq_sqe *sqe = sqe_get(q);
			uint8_t *to = (i % 2 ? shared : dst) + i * LEN;

			if (with_crc)
				sharq_prep_copy_crc32c(sqe, to, src, LEN, n);
			else
				sharq_prep_copy(sqe, to, src, LEN);
			sharq_sqe_set_data(sqe, to);
		}
		submit_all(q, BATCH);
		for (unsigned int i = 0; i < BATCH; i++) {
			struct sharq_cqe cqe = cqe_take(q);

			expect_status(&cqe, SHARQ_OK, "a copy");
			EXPECT_EQ(cqe.crc, with_crc ? crc : 0, "crc");
			EXPECT(!memcmp((void *)(uintptr_t)cqe.user_data, src,
				       LEN),
			       "thread %u got other data", n);
		}
	}
	sharq_free(s, shared);
	free(src);
	free(dst);
}

static void *own_queue(void *arg)
{
	struct worker *w = arg;
	struct sharq_queue *q = suite_open(w->s, 16, 0);

	copies_and_crcs(w->s, q, w->n);
	sharq_queue_close(q);
	return NULL;
}

static void *own_connection(void *arg)
{
	struct worker *w = arg;
	struct session c;

	session_open(&c, 16, 0);
	copies_and_crcs(c.s, c.q, w->n);
	session_close(&c);
	return NULL;
}

static void threads_shared_connection(void)
{
	struct sharq *s = suite_connect();

	run_threads(own_queue, s);
	sharq_disconnect(s);
}

static void threads_own_connections(void)
{
	run_threads(own_connection, NULL);
}

/* Open and close while others work. */
static void *open_and_close(void *arg)
{
	struct worker *w = arg;

	for (unsigned int i = 0; i < 50; i++) {
		struct sharq_queue *q = suite_open(w->s, 2U << i % 6, 0);
		struct sharq_cqe cqe;

		sharq_prep_nop(sqe_get(q));
		cqe = run_one(q);
		expect_status(&cqe, SHARQ_OK, "NOP");
		sharq_queue_close(q);
	}
	return NULL;
}

static void threads_open_and_close(void)
{
	struct sharq *s = suite_connect();

	run_threads(open_and_close, s);
	sharq_disconnect(s);
}

static void *alloc_and_free(void *arg)
{
	struct worker *w = arg;
	struct rng r = { w->n };
	struct {
		uint8_t *p;
		uint32_t len;
	} slot[32] = { { 0 } };

	for (unsigned int i = 0; i < 4000; i++) {
		unsigned int at = rng_below(&r, 32);
		uint32_t len =
			1 + rng_below(&r, rng_below(&r, 8) ? 3000 : 300000);

		if (slot[at].p) {
			uint8_t tag = (uint8_t)(w->n * 32 + at);

			EXPECT(slot[at].p[0] == tag &&
				       slot[at].p[slot[at].len - 1] == tag,
			       "two pieces of memory overlap");
			sharq_free(w->s, slot[at].p);
		}
		slot[at].p = xalloc(w->s, len);
		slot[at].len = len;
		EXPECT(!((uintptr_t)slot[at].p % (len < 4096 ? 64 : 4096)),
		       "%u bytes at %p aren't aligned", len,
		       (void *)slot[at].p);
		memset(slot[at].p, (int)(w->n * 32 + at), len);
	}
	for (unsigned int i = 0; i < 32; i++)
		sharq_free(w->s, slot[i].p);
	return NULL;
}

static void threads_alloc(void)
{
	struct sharq *s = suite_connect();

	run_threads(alloc_and_free, s);
	sharq_free(s, NULL);
	sharq_disconnect(s);
}

/*
 * A device may have fewer hardware queues than that: one who insists on one of
 * them is told so, one who doesn't gets a shadow queue.
 */
static struct sharq_queue *open_or_shadow(struct sharq *s)
{
	struct sharq_queue_opts opts = { .path = suite.path, .depth = 8 };
	struct sharq_queue_info info;
	struct sharq_queue *q;
	int r = sharq_queue_open(s, &opts, &q);

	if (r != -EBUSY || suite.path != SHARQ_PATH_DIRECT) {
		EXPECT_EQ(r, 0, "sharq_queue_open");
		return q;
	}
	opts.path = SHARQ_PATH_ANY;
	EXPECT_EQ(sharq_queue_open(s, &opts, &q), 0, "opening any");
	EXPECT_EQ(sharq_queue_info(q, &info), 0, "sharq_queue_info");
	EXPECT_EQ(info.path, SHARQ_PATH_SHADOW, "the path");
	return q;
}

static void two_hundred_queues(void)
{
	enum {
		QUEUES = 200,
		ROUNDS = 10
	};
	struct sharq *s = suite_connect();
	struct sharq_queue *q[QUEUES];
	uint8_t src[QUEUES], dst[QUEUES];

	for (unsigned int i = 0; i < QUEUES; i++)
		q[i] = open_or_shadow(s);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		memset(dst, 0, sizeof(dst));
		for (unsigned int i = 0; i < QUEUES; i++) {
			struct sharq_sqe *sqe = sqe_get(q[i]);

			src[i] = (uint8_t)(i + round + 1);
			sharq_prep_copy(sqe, &dst[i], &src[i], 1);
			sharq_sqe_set_data64(sqe, i);
			submit_all(q[i], 1);
		}
		for (unsigned int i = QUEUES; i-- > 0;) {
			struct sharq_cqe cqe = cqe_take(q[i]);

			expect_status(&cqe, SHARQ_OK, "COPY");
			EXPECT_EQ(cqe.user_data, i, "user_data");
			EXPECT_EQ(dst[i], src[i], "the byte copied");
		}
	}
	for (unsigned int i = 0; i < QUEUES; i++)
		sharq_queue_close(q[i]);
	sharq_disconnect(s);
}

/* Closing with commands in flight harms nobody, this queue's memory included. */
static void close_in_flight(void)
{
	struct sharq *s = suite_connect();
	uint8_t *p = xalloc(s, MIB);
	struct sharq_queue *other = suite_open(s, 8, 0);

	for (int round = 0; round < 12; round++) {
		struct sharq_queue *q = suite_open(s, 64, 0);
		struct sharq_cqe cqe;

		for (int i = 0; i < 64; i++)
			sharq_prep_crc32c(sqe_get(q), p, MIB, 0);
		submit_all(q, 64);
		EXPECT(!sharq_queue_close(q), "close doesn't return NULL");
		sharq_prep_nop(sqe_get(other));
		cqe = run_one(other);
		expect_status(&cqe, SHARQ_OK, "NOP of another queue");
	}
	sharq_queue_close(other);
	sharq_free(s, p);
	sharq_disconnect(s);
}

/* The loader takes a file for what it is: a copy is another library. */
static void copy_library(char *to)
{
	char buf[64 * KIB];
	Dl_info where;
	size_t n;
	FILE *in, *out;
	int fd = mkstemp(to);

	EXPECT(dladdr((void *)(uintptr_t)&sharq_connect, &where),
	       "where is libsharq?");
	in = fopen(where.dli_fname, "re");
	EXPECT(in, "%s can't be opened", where.dli_fname);
	EXPECT(fd >= 0 && (out = fdopen(fd, "w")), "mkstemp");
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		EXPECT(fwrite(buf, 1, n, out) == n, "fwrite");
	fclose(in);
	EXPECT(!fclose(out), "fclose");
}

/* Two copies of the library in one process know nothing of each other. */
static void load_twice(void)
{
	char path[] = "/tmp/libsharq-copy-XXXXXX";
	struct session c;

	session_open(&c, 8, 0);
	copy_library(path);
	for (int i = 0; i < 3; i++) {
		void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		int (*connect)(struct sharq **, const char *);
		int (*connect_none)(struct sharq **);
		struct sharq *(*disconnect)(struct sharq *);
		struct sharq_cqe cqe;
		struct sharq *b;

		if (!lib)
			unlink(path);
		EXPECT(lib, "dlopen: %s", dlerror());
		*(void **)&connect = dlsym(lib, "sharq_connect");
		*(void **)&connect_none = dlsym(lib, "sharq_connect_none");
		*(void **)&disconnect = dlsym(lib, "sharq_disconnect");
		EXPECT(connect && connect != sharq_connect,
		       "the copy isn't a library of its own");
		EXPECT_EQ(suite.path == SHARQ_PATH_INLINE
				  ? connect_none(&b)
				  : connect(&b, suite.socket),
			  0, "connect by the second copy");
		EXPECT(!disconnect(b), "disconnect");
		EXPECT(!dlclose(lib), "dlclose");
		sharq_prep_nop(sqe_get(c.q));
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "NOP by the first copy");
	}
	unlink(path);
	session_close(&c);
}

/* Opened twice and closed once: the other goes on. */
static void connect_twice(void)
{
	struct session a, b;
	struct sharq_cqe cqe;

	session_open(&a, 8, 0);
	session_open(&b, 8, 0);
	session_close(&a);
	sharq_prep_nop(sqe_get(b.q));
	cqe = run_one(b.q);
	expect_status(&cqe, SHARQ_OK, "NOP");
	session_close(&b);
}

const struct test multi_tests[] = {
	{ "threads_shared_connection", threads_shared_connection, 60, 0 },
	{ "threads_own_connections", threads_own_connections, 60, 0 },
	{ "threads_open_and_close", threads_open_and_close, 60, 0 },
	{ "threads_alloc", threads_alloc, 60, 0 },
	{ "p2_two_hundred_queues", two_hundred_queues, 60, ALONE },
	{ "close_in_flight", close_in_flight, 60, 0 },
	{ "connect_twice", connect_twice, 30, 0 },
	{ "load_twice", load_twice, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
