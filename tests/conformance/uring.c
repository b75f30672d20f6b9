/* SPDX-License-Identifier: MIT */
/*
 * Kicks of shadow queues: in rings of the application's own, and without
 * io_uring. On another path there is nothing to kick, and that is said.
 */
#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sharq_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "suite.h"

#define N 32
#define LEN 4096

static void refused(struct session *c)
{
	struct io_uring_sqe sqe = { .user_data = 1 }, before = sqe;
	char text[256];

	EXPECT_EQ(sharq_prep_kick(c->q, &sqe), -EOPNOTSUPP, "sharq_prep_kick");
	sharq_error(c->s, text, sizeof(text));
	EXPECT(strstr(text, sharq_path_name(c->info.path)),
	       "'%s' doesn't name the path", text);
	EXPECT_EQ(sharq_prep_kick_wait(c->q, &sqe), -EOPNOTSUPP,
		  "sharq_prep_kick_wait");
	EXPECT_EQ(sharq_kicked(c->q, 0), -EOPNOTSUPP, "sharq_kicked");
	EXPECT_EQ(sharq_kick_fd(c->q), -EOPNOTSUPP, "sharq_kick_fd");
	EXPECT(!memcmp(&sqe, &before, sizeof(sqe)), "the entry was touched");
}

static void prepare(struct session *c, uint8_t *dst, const uint8_t *src)
{
	memset(dst, 0, N * LEN);
	for (size_t i = 0; i < N; i++)
		sharq_prep_copy(sqe_get(c->q), dst + i * LEN, src + i, LEN);
}

static void expect_copies(struct session *c, const uint8_t *dst,
			  const uint8_t *src)
{
	for (unsigned int i = 0; i < N; i++) {
		struct sharq_cqe cqe = cqe_take(c->q);

		expect_status(&cqe, SHARQ_OK, "COPY");
	}
	for (size_t i = 0; i < N; i++)
		EXPECT(!memcmp(dst + i * LEN, src + i, LEN),
		       "copy %zu is other data", i);
	EXPECT_EQ(sharq_queue_outstanding(c->q), 0, "outstanding");
}

static int ring_result(struct io_uring *ring, uint64_t data)
{
	struct io_uring_cqe *cqe;
	int res;

	do
		res = io_uring_submit_and_wait(ring, 1);
	while (res == -EINTR);
	EXPECT(res >= 0, "io_uring_submit_and_wait: %s", strerror(-res));
	EXPECT_EQ(io_uring_wait_cqe(ring, &cqe), 0, "io_uring_wait_cqe");
	EXPECT_EQ(cqe->user_data, data, "the kick's user_data");
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static void in_own_ring(unsigned int setup, bool registered)
{
	static uint8_t src[N + LEN], dst[N * LEN];
	struct io_uring ring;
	struct rng r = { 31 };
	struct session c;
	int fd, rc;

	session_open(&c, N, 0);
	if (c.info.path != SHARQ_PATH_SHADOW) {
		refused(&c);
		session_close(&c);
		return;
	}
	rng_fill(&r, src, sizeof(src));
	rc = io_uring_queue_init(4, &ring, setup);
	EXPECT(!rc, "io_uring_queue_init: %s", strerror(-rc));
	fd = sharq_kick_fd(c.q);
	EXPECT(fd >= 0, "sharq_kick_fd: %d", fd);
	if (registered)
		EXPECT_EQ(io_uring_register_files(&ring, &fd, 1), 0,
			  "io_uring_register_files");
	for (uint64_t round = 1; round <= 100; round++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		prepare(&c, dst, src);
		sqe->user_data = round;
		EXPECT_EQ(sharq_prep_kick(c.q, sqe), N, "sharq_prep_kick");
		EXPECT_EQ(sqe->user_data, round, "user_data of the entry");
		if (registered) {
			sqe->flags |= IOSQE_FIXED_FILE;
			sqe->fd = 0;
		}
		rc = ring_result(&ring, round);
		EXPECT_EQ(rc, N, "descriptors that the kick consumed");
		EXPECT_EQ(sharq_kicked(c.q, rc), 0, "sharq_kicked");
		expect_copies(&c, dst, src);
	}
	io_uring_queue_exit(&ring);
	session_close(&c);
}

static void own_ring(void)
{
	in_own_ring(0, false);
}

static void registered_file(void)
{
	in_own_ring(0, true);
}

static void sqpoll(void)
{
	in_own_ring(IORING_SETUP_SQPOLL, false);
}

static void defer_taskrun(void)
{
	in_own_ring(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		    false);
}

static void large_entries(void)
{
	in_own_ring(IORING_SETUP_SQE128, true);
}

/* All are done when the kick is; where that can't be had, that is said. */
static void waiting_kick(void)
{
	static uint8_t src[N + LEN], dst[N * LEN];
	struct io_uring ring;
	struct utsname name;
	struct session c;
	char text[256];
	int rc;

	session_open(&c, N, 0);
	if (c.info.path != SHARQ_PATH_SHADOW) {
		refused(&c);
		session_close(&c);
		return;
	}
	EXPECT_EQ(uname(&name), 0, "uname");
	EXPECT_EQ(io_uring_queue_init(4, &ring, 0), 0, "io_uring_queue_init");
	prepare(&c, dst, src);
	EXPECT_EQ(sharq_prep_kick_wait(c.q, io_uring_get_sqe(&ring)), N,
		  "sharq_prep_kick_wait");
	rc = ring_result(&ring, 0);
	if (!strncmp(name.release, "6.1.", 4)) {
		EXPECT_EQ(rc, -EOPNOTSUPP, "the kick's result");
		EXPECT_EQ(sharq_kicked(c.q, rc), -EOPNOTSUPP, "sharq_kicked");
		sharq_error(c.s, text, sizeof(text));
		EXPECT(strstr(text, "sharq_prep_kick()"),
		       "'%s' doesn't say what to do", text);
	} else {
		const struct sharq_cqe *cqe;

		EXPECT_EQ(rc, N, "descriptors that the kick consumed");
		EXPECT_EQ(sharq_kicked(c.q, rc), 0, "sharq_kicked");
		EXPECT_EQ(sharq_peek_cqe(c.q, &cqe), 0, "peek after the kick");
		EXPECT(!memcmp(dst + (N - 1) * LEN, src + N - 1, LEN),
		       "the last copy isn't done");
	}
	/* What such a kick left behind isn't lost. */
	expect_copies(&c, dst, src);
	io_uring_queue_exit(&ring);
	session_close(&c);
}

/* A kick that never gets into a ring is made up for by who waits. */
static void kick_dropped(void)
{
	static uint8_t src[N + LEN], dst[N * LEN];
	struct io_uring_sqe sqe;
	struct session c;

	session_open(&c, N, 0);
	if (c.info.path != SHARQ_PATH_SHADOW) {
		refused(&c);
	} else {
		prepare(&c, dst, src);
		EXPECT_EQ(sharq_prep_kick(c.q, &sqe), N, "sharq_prep_kick");
		expect_copies(&c, dst, src);
		EXPECT_EQ(sharq_kicked(c.q, -ECANCELED), 0, "sharq_kicked");
	}
	session_close(&c);
}

static unsigned int rings_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *d;
	char target[64];
	unsigned int n = 0;

	EXPECT(dir, "/proc/self/fd");
	while ((d = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), d->d_name, target,
					 sizeof(target));

		n += len > 0 && memmem(target, (size_t)len, "io_uring", 8);
	}
	closedir(dir);
	return n;
}

/* From now on @nr gives -EPERM. */
static void forbid(unsigned int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { ARRAY_SIZE(code), code };

	EXPECT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog),
	       "seccomp: %s", strerror(errno));
}

static void copy_rounds(struct session *c)
{
	static uint8_t src[N + LEN], dst[N * LEN];
	struct rng r = { 32 };

	rng_fill(&r, src, sizeof(src));
	for (int round = 0; round < 20; round++) {
		prepare(c, dst, src);
		submit_all(c->q, N);
		expect_copies(c, dst, src);
	}
}

static void expect_rings(struct session *c, unsigned int shadow)
{
	EXPECT_EQ(rings_open(), c->info.path == SHARQ_PATH_SHADOW ? shadow : 0,
		  "rings of the library's");
}

static void without(bool env)
{
	struct session c;

	if (env)
		EXPECT(!setenv("SHARQ_NO_URING", "1", 1), "setenv");
	else
		forbid(SYS_io_uring_setup);
	session_open(&c, N, 0);
	expect_rings(&c, 0);
	copy_rounds(&c);
	session_close(&c);
}

static void not_wanted(void)
{
	without(true);
}

static void no_setup(void)
{
	without(false);
}

/* Forbidden when the queue has its ring already. */
static void no_enter(void)
{
	struct session c;

	session_open(&c, N, 0);
	expect_rings(&c, 1);
	copy_rounds(&c);
	forbid(SYS_io_uring_enter);
	copy_rounds(&c);
	expect_rings(&c, 0);
	session_close(&c);
}

const struct test uring_tests[] = {
	{ "uring_own_ring", own_ring, 30, 0 },
	{ "uring_registered_file", registered_file, 30, 0 },
	{ "uring_sqpoll", sqpoll, 60, 0 },
	{ "uring_defer_taskrun", defer_taskrun, 30, 0 },
	{ "uring_large_entries", large_entries, 30, 0 },
	{ "uring_waiting_kick", waiting_kick, 30, 0 },
	{ "uring_kick_dropped", kick_dropped, 30, 0 },
	{ "uring_not_wanted", not_wanted, 30, 0 },
	{ "uring_no_setup", no_setup, 30, 0 },
	{ "uring_no_enter", no_enter, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
