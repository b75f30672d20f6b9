/* SPDX-License-Identifier: MIT */
/* P3: on the direct path the library makes no system call. */
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define COMMANDS 100000U
#define BATCH 40U
/* After so many the client pauses until a device that sleeps does. */
#define PAUSE_AFTER 5000U
#define LEN 512

/*
 * struct talk - shared with the client, which can say nothing else
 * @path:   the queue's
 * @sleeper: its device sleeps
 * @pauses: how many it has begun
 * @go_on:  how many it may end
 * @wrong:  the line that found something wrong
 * @command, @status: the last completion that it took
 */
struct talk {
	unsigned int path;
	bool sleeper;
	unsigned int pauses, go_on, completed;
	int wrong;
	unsigned int command, status;
};

/* Its own end apart. */
static void forbid_all(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog prog = { ARRAY_SIZE(code), code };

	EXPECT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog),
	       "seccomp: %s", strerror(errno));
}

#define SILENT(cond)                                                           \
	do {                                                                   \
		if (!(cond)) {                                                 \
			t->wrong = __LINE__;                                   \
			_exit(1);                                              \
		}                                                              \
	} while (0)

/* One of each kind that is more than a copy to the library, and copies. */
static void prepare_one(struct sharq_sqe *sqe, unsigned int i, uint8_t *dst,
			const uint8_t *src)
{
	struct sharq_desc bad = { .op = SHARQ_OP_NOP, .len = 1 };

	dst += (size_t)i * LEN;
	src += (size_t)i * LEN;
	switch (i % 8) {
	case 0:
		sharq_prep_nop(sqe);
		break;
	case 1:
		sharq_prep_raw(sqe, &bad);
		break;
	case 2:
		sharq_prep_copy(sqe, dst + 1, dst, LEN - 1);
		break;
	default:
		sharq_prep_copy(sqe, dst, src, LEN);
	}
	if (i % 8 == 4)
		sharq_sqe_set_flags(sqe, SHARQ_DESC_FENCE);
	if (i % 8 == 5)
		sharq_sqe_set_flags(sqe, SHARQ_DESC_LINK);
	sharq_sqe_set_data64(sqe, i);
}

static void silent_batch(struct session *c, struct talk *t, uint8_t *dst,
			 const uint8_t *src)
{
	const struct sharq_cqe *cqe;
	uint64_t seen = 0, all = (1ULL << BATCH) - 1;

	for (unsigned int i = 0; i < BATCH; i++)
		prepare_one(sharq_get_sqe(c->q), i, dst, src);
	SILENT(sharq_submit(c->q) == (int)BATCH);
	while (seen != all) {
		int r = sharq_peek_cqe(c->q, &cqe);
		unsigned int want = SHARQ_OK;

		if (r == -EAGAIN)
			continue;
		SILENT(!r && cqe->user_data < BATCH);
		t->command = (unsigned int)cqe->user_data;
		t->status = cqe->status;
		SILENT(!(seen & 1ULL << cqe->user_data));
		seen |= 1ULL << cqe->user_data;
		if (cqe->user_data % 8 == 1)
			want = SHARQ_BAD_DESCRIPTOR;
		SILENT(cqe->status == want);
		sharq_cqe_seen(c->q, cqe);
	}
	t->completed += BATCH;
}

static void silent_rounds(struct session *c, struct talk *t, uint8_t *dst,
			  uint8_t *src)
{
	for (unsigned int i = 0; i < COMMANDS; i += BATCH) {
		if (i % PAUSE_AFTER == 0) {
			unsigned int n = t->pauses + 1;

			__atomic_store_n(&t->pauses, n, __ATOMIC_RELEASE);
			while (__atomic_load_n(&t->go_on, __ATOMIC_ACQUIRE) < n)
				;
		}
		memset(src, (int)(i / BATCH), BATCH * LEN);
		silent_batch(c, t, dst, src);
		for (unsigned int k = 0; k < BATCH; k++)
			SILENT(k % 8 < 3 ||
			       !memcmp(dst + k * LEN, src + k * LEN, LEN));
	}
}

static void client(struct talk *t)
{
	uint8_t *dst = xmalloc(BATCH * LEN), *src = xmalloc(BATCH * LEN);
	struct session c;

	memset(dst, 0, BATCH * LEN);
	session_open(&c, 64, 0);
	t->path = c.info.path;
	t->sleeper = session_is_on(&c, "soft");
	if (t->path != SHARQ_PATH_DIRECT)
		_exit(0);
	forbid_all();
	silent_rounds(&c, t, dst, src);
	_exit(0);
}

/* A line of its one queue's fdinfo. Return: whether there is a queue. */
static bool fdinfo(pid_t pid, const char *name, unsigned long long *value)
{
	char path[300], line[128];
	size_t len = strlen(name);
	bool found = false;
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	EXPECT(dir, "%s: %s", path, strerror(errno));
	while (!found && (d = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid,
			 d->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f)) {
			if (strncmp(line, name, len) || line[len] != ':')
				continue;
			*value = strtoull(line + len + 1, NULL, 10);
			found = true;
		}
		if (f)
			fclose(f);
	}
	closedir(dir);
	return found;
}

/* Return: whether the client is alive, and then that @value is at least @n. */
static bool wait_for(pid_t pid, const unsigned int *value, unsigned int n)
{
	siginfo_t info = { 0 };

	while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < n) {
		EXPECT(!waitid(P_PID, (id_t)pid, &info,
			       WEXITED | WNOHANG | WNOWAIT),
		       "waitid");
		if (info.si_pid)
			return false;
		usleep(100);
	}
	return true;
}

static void let_sleep(pid_t pid)
{
	unsigned long long asleep = 0;

	while (!asleep) {
		EXPECT(fdinfo(pid, "sharq-asleep", &asleep),
		       "fdinfo has no sharq-asleep");
		usleep(100);
	}
}

static void makes_no_system_call(void)
{
	struct talk *t = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int pauses = COMMANDS / PAUSE_AFTER;
	unsigned long long before = 0, after = 0;
	int status;
	pid_t pid;

	EXPECT(t != MAP_FAILED, "mmap");
	pid = fork();
	EXPECT(pid >= 0, "fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		client(t);
	}
	for (unsigned int n = 1; wait_for(pid, &t->pauses, n); n++) {
		if (t->sleeper)
			let_sleep(pid);
		else
			usleep(1000);
		if (n == 1)
			fdinfo(pid, "sharq-sleeps", &before);
		fdinfo(pid, "sharq-sleeps", &after);
		__atomic_store_n(&t->go_on, n, __ATOMIC_RELEASE);
	}
	EXPECT(waitpid(pid, &status, 0) == pid, "waitpid");
	if (!status)
		suite_needs_path(t->path, SHARQ_PATH_DIRECT);
	EXPECT(!WIFSIGNALED(status), "killed by signal %d (%s) after %u",
	       WTERMSIG(status),
	       WTERMSIG(status) == SIGSYS ? "a system call" : "not a call",
	       t->completed);
	EXPECT(!status,
	       "line %d says it's wrong, after %u and command %u with status "
	       "%s",
	       t->wrong, t->completed, t->command,
	       sharq_status_name(t->status));
	EXPECT_EQ(t->completed, COMMANDS, "commands");
	EXPECT_EQ(t->pauses, pauses, "pauses");
	/* Each pause but the first one was one. */
	if (t->sleeper)
		EXPECT(after - before >= pauses - 1,
		       "the device slept %llu times", after - before);
	munmap(t, sizeof(*t));
}

const struct test silent_tests[] = {
	{ "p3_library_makes_no_system_call", makes_no_system_call, 120, 0 },
	{ NULL, NULL, 0, 0 },
};
