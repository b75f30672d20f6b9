/* SPDX-License-Identifier: MIT */
/*
 * P3: the library's system calls on the shadow path: one for each kick, and it
 * counts what it makes. A tracer counts them, too.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "calls.h"
#include "suite.h"

#define N 32
#define LEN 4096
#define ROUNDS 4U
/* Until one is waited for: by a slow client a fast device may be done each time. */
#define ROUNDS_MAX 500U

/*
 * struct told - by the client: its queue's path, how often it submitted, what the
 * library counted
 */
struct told {
	unsigned int path;
	unsigned int rounds;
	uint64_t counted;
};

static void *map(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       flags | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

static void prepare(struct session *c, uint8_t *dst, const uint8_t *src)
{
	for (size_t i = 0; i < N; i++)
		sharq_prep_copy(sqe_get(c->q), dst + i * LEN, src + i * LEN,
				LEN);
}

static void submit_counted(struct session *c)
{
	int n;

	calls_mark();
	n = sharq_submit(c->q);
	calls_mark();
	EXPECT_EQ(n, N, "sharq_submit");
}

static uint64_t counted(const struct session *c)
{
	struct sharq_queue_counts counts;

	EXPECT_EQ(sharq_queue_counts(c->q, &counts), 0, "sharq_queue_counts");
	return counts.syscalls;
}

static void be_traced(void)
{
	EXPECT(!calls_begin(), "ptrace: %s", strerror(errno));
}

/* Only of what submits. */
static void submitter(struct session *c, struct told *t)
{
	uint8_t *src = map(N * LEN, MAP_PRIVATE | MAP_POPULATE);
	uint8_t *dst = map(N * LEN, MAP_PRIVATE | MAP_POPULATE);
	uint64_t before;

	be_traced();
	for (unsigned int i = 0; i < ROUNDS; i++) {
		prepare(c, dst, src);
		before = counted(c);
		submit_counted(c);
		t->counted += counted(c) - before;
		for (unsigned int k = 0; k < N; k++) {
			struct sharq_cqe cqe = cqe_take(c->q);

			expect_status(&cqe, SHARQ_OK, "COPY");
		}
	}
}

static int take_counted(struct session *c, bool wait)
{
	const struct sharq_cqe *cqe;
	int r;

	calls_mark();
	r = wait ? sharq_wait_cqe(c->q, &cqe, WAIT_MS)
		 : sharq_peek_cqe(c->q, &cqe);
	calls_mark();
	if (r)
		return r;
	expect_status(cqe, SHARQ_OK, "COPY");
	sharq_cqe_seen(c->q, cqe);
	return 0;
}

/*
 * Of all that submits, looks and waits, with a descriptor to poll. The memory isn't
 * there yet: the kick's result is waited for, too.
 */
static void poller(struct session *c, struct told *t)
{
	struct pollfd p = { .fd = sharq_queue_fd(c->q), .events = POLLIN };
	uint64_t before;
	unsigned int i;

	EXPECT(p.fd >= 0, "sharq_queue_fd");
	be_traced();
	before = counted(c);
	for (i = 0; i < ROUNDS || (t->counted == i && i < ROUNDS_MAX); i++) {
		uint8_t *src = map(N * LEN, MAP_PRIVATE);
		uint8_t *dst = map(N * LEN, MAP_PRIVATE);

		prepare(c, dst, src);
		submit_counted(c);
		for (unsigned int k = 0; k < N;) {
			int r = take_counted(c, i & 1);

			k += !r;
			EXPECT(!r || r == -EAGAIN || r == -EINTR, "%s",
			       strerror(-r));
			if (r == -EAGAIN)
				EXPECT_EQ(poll(&p, 1, WAIT_MS), 1, "poll");
		}
		munmap(src, N * LEN);
		munmap(dst, N * LEN);
		t->counted = counted(c) - before;
	}
	t->rounds = i;
}

static unsigned int calls_of(void (*life)(struct session *c, struct told *t),
			     struct told *t)
{
	unsigned int calls = 0;
	struct session c;
	int status;
	pid_t pid;

	pid = fork();
	EXPECT(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		session_open(&c, N, 0);
		t->path = c.info.path;
		if (t->path == SHARQ_PATH_SHADOW)
			life(&c, t);
		_exit(0);
	}
	status = calls_follow(pid, &calls);
	EXPECT(status != -1, "ptrace: %s", strerror(errno));
	EXPECT(!status, "the client ended with status %#x", status);
	suite_needs_path(t->path, SHARQ_PATH_SHADOW);
	return calls;
}

static struct told *new_told(void)
{
	return map(sizeof(struct told), MAP_SHARED);
}

static void one_per_submit(void)
{
	struct told *t = new_told();
	unsigned int calls = calls_of(submitter, t);

	EXPECT_EQ(calls, ROUNDS, "calls of so many submissions");
	EXPECT_EQ(t->counted, calls, "what the library counted");
}

static void one_ioctl_per_submit(void)
{
	EXPECT(!setenv("SHARQ_NO_URING", "1", 1), "setenv");
	one_per_submit();
}

static void all_are_counted(void)
{
	struct told *t = new_told();
	unsigned int calls = calls_of(poller, t);

	EXPECT(calls > t->rounds, "it made only %u in %u rounds", calls,
	       t->rounds);
	EXPECT_EQ(t->counted, calls, "what the library counted");
}

const struct test syscall_tests[] = {
	{ "p3_one_system_call_per_kick", one_per_submit, 60, 0 },
	{ "p3_one_ioctl_per_kick", one_ioctl_per_submit, 60, 0 },
	{ "p3_library_counts_its_system_calls", all_are_counted, 60, 0 },
	{ NULL, NULL, 0, 0 },
};
