/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"

#ifdef SHARQ_SANITIZE
#define SLOWNESS 8
#else
#define SLOWNESS 2
#endif
#define JOBS_MAX 16
#define EXIT_SKIPPED 77
#define EXIT_NOT_FOR_IT 78
#define EXIT_FAILED 1

struct suite suite = {
	.path = SHARQ_PATH_ANY,
	.jobs = 1,
};

static const struct test *const tables[] = {
	api_tests,    data_tests,   edge_tests,	    codec_tests,
	stream_tests, desc_tests,   order_tests,    ring_tests,
	helper_tests, fault_tests,  fork_tests,	    multi_tests,
	uring_tests,  silent_tests, prefetch_tests, syscall_tests,
};

/*
 * struct job - a test's process
 * @end: a pidfd
 * @why: where it says why it failed or was skipped
 */
static struct job {
	const struct test *test;
	pid_t pid;
	int end;
	int why;
	double begin;
} jobs[JOBS_MAX];
static unsigned int running;

/* @others: not for this device */
static struct {
	unsigned int passed, failed, skipped, others;
} count;

/* Where a test's process says why it failed or was skipped. */
static int verdict = -1;

static void say_and_exit(int code, const char *where, const char *fmt,
			 va_list ap) __attribute__((noreturn));

/* Any thread may come here; the first one's words count. */
static void say_and_exit(int code, const char *where, const char *fmt,
			 va_list ap)
{
	static int said;
	char text[768];
	int n = snprintf(text, sizeof(text), "%s", where);

	vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	if (!__atomic_exchange_n(&said, 1, __ATOMIC_SEQ_CST) &&
	    write(verdict, text, strlen(text)) < 0)
		perror("verdict");
	_exit(code);
}

void suite_fail(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char where[64];
	va_list ap;

	snprintf(where, sizeof(where), "%s:%d: ", base ? base + 1 : file, line);
	va_start(ap, fmt);
	say_and_exit(EXIT_FAILED, where, fmt, ap);
}

void suite_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_and_exit(EXIT_SKIPPED, "", fmt, ap);
}

static void not_for_device(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_and_exit(EXIT_NOT_FOR_IT, "", fmt, ap);
}

void suite_needs(unsigned int op)
{
	if (!suite_has(op))
		not_for_device("the device lacks %s", sharq_op_name(op));
}

void suite_needs_path(unsigned int is, unsigned int path)
{
	if (is != path)
		not_for_device("it is about the %s path",
			       sharq_path_name(path));
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void child(const struct test *t, int fd)
{
	/* A suite that is killed leaves no test behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	verdict = fd;
	if (t->flags & BESIDE && suite.path == SHARQ_PATH_INLINE)
		suite_skip("inline commands are done when submit returns");
	t->run();
	exit(0);
}

static void start(const struct test *t)
{
	struct job *j = &jobs[running];
	int fds[2];

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) || (j->pid = fork()) < 0) {
		perror("starting a test");
		exit(2);
	}
	if (!j->pid) {
		close(fds[0]);
		child(t, fds[1]);
	}
	close(fds[1]);
	j->test = t;
	j->why = fds[0];
	j->begin = now();
	j->end = (int)syscall(SYS_pidfd_open, j->pid, 0);
	if (j->end < 0) {
		perror("pidfd_open");
		exit(2);
	}
	running++;
}

static double left(const struct job *j)
{
	return j->begin + j->test->seconds * SLOWNESS - now();
}

static void report(const struct job *j, int status, bool late)
{
	const char *name = j->test->name;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
	char why[1024] = "";
	ssize_t n = read(j->why, why, sizeof(why) - 1);

	why[n > 0 ? n : 0] = 0;
	if (late)
		snprintf(why, sizeof(why), "still running after %u s",
			 j->test->seconds * SLOWNESS);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "killed by signal %s",
			 strsignal(WTERMSIG(status)));
	else if (!*why)
		snprintf(why, sizeof(why), "exited with code %d", code);
	switch (late ? EXIT_FAILED : code) {
	case 0:
		printf("ok   %-36s %.2f s\n", name, now() - j->begin);
		count.passed++;
		break;
	case EXIT_SKIPPED:
		printf("SKIP %-36s %s\n", name, why);
		count.skipped++;
		break;
	case EXIT_NOT_FOR_IT:
		printf("n/a  %-36s %s\n", name, why);
		count.others++;
		break;
	default:
		printf("FAIL %-36s %s\n", name, why);
		count.failed++;
	}
}

/* It has ended, or has had its time. */
static void finish(struct job *j, bool late)
{
	int status;

	/* What the test forked and left goes with it. */
	kill(-j->pid, SIGKILL);
	if (late)
		kill(j->pid, SIGKILL);
	while (waitpid(j->pid, &status, 0) < 0 && errno == EINTR)
		;
	report(j, status, late);
	close(j->end);
	close(j->why);
	*j = jobs[--running];
}

/* Wait until at least one is finished. */
static void finish_some(void)
{
	struct pollfd ended[JOBS_MAX];
	double least = left(&jobs[0]);

	for (unsigned int i = 0; i < running; i++) {
		ended[i] =
			(struct pollfd){ .fd = jobs[i].end, .events = POLLIN };
		if (left(&jobs[i]) < least)
			least = left(&jobs[i]);
	}
	poll(ended, running, least > 0 ? (int)(least * 1000) + 1 : 0);
	for (unsigned int i = running; i-- > 0;)
		if (ended[i].revents || left(&jobs[i]) <= 0)
			finish(&jobs[i], !ended[i].revents);
}

static void run(const struct test *t)
{
	while (running && (running == suite.jobs || t->flags & ALONE ||
			   jobs[0].test->flags & ALONE))
		finish_some();
	start(t);
}

static bool wanted(const char *name, char *const *patterns)
{
	if (!*patterns)
		return true;
	for (; *patterns; patterns++)
		if (!fnmatch(*patterns, name, 0))
			return true;
	return false;
}

static unsigned int parse_path(const char *name)
{
	if (!strcmp(name, "any"))
		return SHARQ_PATH_ANY;
	for (unsigned int p = SHARQ_PATH_DIRECT; p <= SHARQ_PATH_INLINE; p++)
		if (!strcmp(name, sharq_path_name(p)))
			return p;
	fprintf(stderr,
		"sharq-conformance: --path is '%s', expected embedded, inline, "
		"shadow, direct or any\n",
		name);
	exit(2);
}

static unsigned int parse_jobs(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (n >= 1 && n <= JOBS_MAX && !*end)
		return (unsigned int)n;
	fprintf(stderr, "sharq-conformance: --jobs is '%s', expected 1 to %d\n",
		text, JOBS_MAX);
	exit(2);
}

static bool parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "path", required_argument, NULL, 'p' },
		{ "socket", required_argument, NULL, 's' },
		{ "device", required_argument, NULL, 'd' },
		{ "jobs", required_argument, NULL, 'j' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	bool list = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			suite.path = parse_path(optarg);
			break;
		case 's':
			suite.socket = optarg;
			break;
		case 'd':
			suite.device = optarg;
			break;
		case 'j':
			suite.jobs = parse_jobs(optarg);
			break;
		case 'l':
			list = true;
			break;
		default:
			printf("usage: sharq-conformance [--path "
			       "embedded|inline|shadow|direct|any]\n"
			       "       [--socket PATH] [--device NAME] "
			       "[--jobs N] [--list]\n       "
			       "[PATTERN...]\n");
			exit(c == 'h' ? 0 : 2);
		}
	}
	return list;
}

int main(int argc, char **argv)
{
	bool list = parse_options(argc, argv);

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct test *t = tables[i]; t->name; t++) {
			if (!wanted(t->name, argv + optind))
				continue;
			if (list)
				puts(t->name);
			else
				run(t);
		}
	}
	if (list)
		return 0;
	while (running)
		finish_some();
	printf("%u passed, %u failed, %u skipped", count.passed, count.failed,
	       count.skipped);
	if (count.others)
		printf(", %u not for this device", count.others);
	putchar('\n');
	/* A pattern that matches nothing proves nothing. */
	return count.failed || !(count.passed + count.skipped) ? 1 : 0;
}
