// SPDX-License-Identifier: MIT
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "broker.h"
#include "queue.h"

#define ORDINARY_USER 1000
#define MAX_FILES 8192
#define EXECED "--execed"

static char **words;

void guest_add(Suite *suite, const char *name, const TTest *test, int seconds)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, seconds);
	tcase_add_test(c, test);
	suite_add_tcase(suite, c);
}

void guest_exec(const char *what, int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	execl("/proc/self/exe", "guest", EXECED, what, number, NULL);
	perror("exec");
	_exit(1);
}

__attribute__((weak)) int guest_execed(const char *what, int fd)
{
	return strcmp(what, "nothing") || fd != -1;
}

unsigned int guest_parameter(const char *name, unsigned int otherwise)
{
	size_t len = strlen(name);

	for (char **w = words; *w; w++)
		if (!strncmp(*w, name, len) && (*w)[len] == '=')
			return (unsigned int)strtoul(*w + len + 1, NULL, 0);
	return otherwise;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void expect(bool good, const char *what)
{
	if (!good)
		ck_abort_msg("%s", what);
}

bool kernel_cancels(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname u;

	ck_assert(!uname(&u));
	ck_assert(sscanf(u.release, "%u.%u", &major, &minor) == 2);
	return major > 6 || (major == 6 && minor >= 7);
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void rng_fill(struct rng *r, void *p, size_t size)
{
	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t v = rng_next(r);
		size_t n = size - i < sizeof(v) ? size - i : sizeof(v);

		memcpy((uint8_t *)p + i, &v, n);
	}
}

void *memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	ck_assert_msg(p != MAP_FAILED, "no memory");
	return p;
}

bool filled_with(const void *p, uint8_t byte, size_t size)
{
	const uint8_t *bytes = p;

	return !size ||
	       (bytes[0] == byte && !memcmp(bytes, bytes + 1, size - 1));
}

uint32_t crc32c(const void *p, size_t size)
{
	const uint8_t *bytes = p;
	uint32_t crc = ~0U;

	while (size--) {
		crc ^= *bytes++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

void peer_tell(int fd)
{
	CHILD_EXPECT(write(fd, "", 1) == 1);
}

void peer_hear(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	CHILD_EXPECT(poll(&p, 1, PATIENCE_MS) == 1);
	CHILD_EXPECT(read(fd, &byte, 1) == 1);
}

void forbid_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { 1, code };

	CHILD_EXPECT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHILD_EXPECT(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

pid_t spawn(void)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

int reap(pid_t pid)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0),
			    .events = POLLIN };
	int status, n;

	ck_assert(p.fd >= 0);
	n = poll(&p, 1, PATIENCE_MS);
	ck_assert_msg(n == 1, "process %d isn't gone", pid);
	close(p.fd);
	ck_assert(waitpid(pid, &status, 0) == pid);
	return status;
}

void reap_well(pid_t pid)
{
	int status = reap(pid);

	ck_assert_msg(status == 0, "a child ended with status %#x", status);
}

void end_by(enum end how, int fd)
{
	if (how == BY_EXIT_WITHOUT_FILE)
		close(fd);
	if (how == BY_EXEC)
		guest_exec("nothing", -1);
	if (how == BY_KILL)
		raise(SIGKILL);
	_exit(0);
}

void reap_end(pid_t pid, enum end how)
{
	int status = reap(pid);

	if (how == BY_KILL)
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		ck_assert_int_eq(status, 0);
}

/* What only root can prepare, then for good an ordinary user. */
static void become_ordinary(void)
{
	struct rlimit files = { MAX_FILES, MAX_FILES };

	if (setrlimit(RLIMIT_NOFILE, &files) || setgroups(0, NULL) ||
	    setresgid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER) ||
	    setresuid(ORDINARY_USER, ORDINARY_USER, ORDINARY_USER) ||
	    /* /proc/self is ours again. */
	    prctl(PR_SET_DUMPABLE, 1)) {
		perror("guest test, to be started as root");
		exit(2);
	}
}

START_TEST(execed)
{
	ck_assert_int_eq(guest_execed(words[1], atoi(words[2])), 0);
}
END_TEST

/* In this process: it is the one that went through exec. */
static int run_execed(void)
{
	Suite *suite = suite_create("execed");
	SRunner *runner = srunner_create(suite);
	int failed;

	GUEST_ADD(suite, execed, 60);
	srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}

static int run(void)
{
	SRunner *runner = srunner_create(guest_suite());
	int failed;

	srunner_set_fork_status(runner, CK_FORK);
	/* As it goes, for when it is stopped; the summary has the counts. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	srunner_set_tap(runner, "-");
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	if (!srunner_ntests_run(runner))
		failed = 1;
	srunner_free(runner);
	return failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	int r;

	words = argv + 1;
	if (argc == 4 && !strcmp(argv[1], EXECED))
		return run_execed();
	broker_start();
	become_ordinary();
	r = run();
	broker_stop();
	return r;
}
