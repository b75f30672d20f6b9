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
#define EXIT_SKIPPED 77
#define EXIT_NOT_FOR_IT 78
#define EXIT_FAILED 1

struct suite suite = {
	.path = SHARQ_PATH_ANY,
};

static const struct test *const tables[] = {
	api_tests,  data_tests,	 edge_tests,  codec_tests,  stream_tests,
	desc_tests, order_tests, ring_tests,  helper_tests, fault_tests,
	fork_tests, multi_tests, uring_tests, silent_tests,
};

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
	if (t->beside && suite.path == SHARQ_PATH_INLINE)
		suite_skip("inline commands are done when submit returns");
	t->run();
	exit(0);
}

/* Return: its wait status, -1 when it took too long and was killed. */
static int wait_for(pid_t pid, unsigned int seconds)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, pid, 0),
			    .events = POLLIN };
	int status, n;

	if (p.fd < 0) {
		perror("pidfd_open");
		exit(2);
	}
	n = poll(&p, 1, (int)(seconds * SLOWNESS * 1000));
	close(p.fd);
	/* What the test forked and left goes with it. */
	kill(-pid, SIGKILL);
	if (n == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return n == 0 ? -1 : status;
}

/* Return: EXIT_SKIPPED, EXIT_NOT_FOR_IT, EXIT_FAILED or 0. */
static int run(const struct test *t)
{
	char why[1024] = "";
	double start = now();
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	fflush(NULL);
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) || (pid = fork()) < 0) {
		perror("starting a test");
		exit(2);
	}
	if (!pid) {
		close(fds[0]);
		child(t, fds[1]);
	}
	close(fds[1]);
	status = wait_for(pid, t->seconds);
	n = read(fds[0], why, sizeof(why) - 1);
	why[n > 0 ? n : 0] = 0;
	close(fds[0]);
	if (status < 0)
		snprintf(why, sizeof(why), "still running after %u s",
			 t->seconds * SLOWNESS);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "killed by signal %s",
			 strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == 0)
		return printf("ok   %-36s %.2f s\n", t->name, now() - start), 0;
	else if (WEXITSTATUS(status) == EXIT_SKIPPED)
		return printf("SKIP %-36s %s\n", t->name, why), EXIT_SKIPPED;
	else if (WEXITSTATUS(status) == EXIT_NOT_FOR_IT)
		return printf("n/a  %-36s %s\n", t->name, why), EXIT_NOT_FOR_IT;
	else if (!*why)
		snprintf(why, sizeof(why), "exited with code %d",
			 WEXITSTATUS(status));
	printf("FAIL %-36s %s\n", t->name, why);
	return EXIT_FAILED;
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

static bool parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "path", required_argument, NULL, 'p' },
		{ "socket", required_argument, NULL, 's' },
		{ "device", required_argument, NULL, 'd' },
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
		case 'l':
			list = true;
			break;
		default:
			printf("usage: sharq-conformance [--path "
			       "embedded|inline|shadow|direct|any]\n"
			       "       [--socket PATH] [--device NAME] "
			       "[--list] "
			       "[PATTERN...]\n");
			exit(c == 'h' ? 0 : 2);
		}
	}
	return list;
}

int main(int argc, char **argv)
{
	bool list = parse_options(argc, argv);
	unsigned int passed = 0, failed = 0, skipped = 0, others = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		for (const struct test *t = tables[i]; t->name; t++) {
			if (!wanted(t->name, argv + optind))
				continue;
			if (list) {
				puts(t->name);
				continue;
			}
			switch (run(t)) {
			case 0:
				passed++;
				break;
			case EXIT_SKIPPED:
				skipped++;
				break;
			case EXIT_NOT_FOR_IT:
				others++;
				break;
			default:
				failed++;
			}
		}
	}
	if (list)
		return 0;
	printf("%u passed, %u failed, %u skipped", passed, failed, skipped);
	if (others)
		printf(", %u not for this device", others);
	putchar('\n');
	/* A pattern that matches nothing proves nothing. */
	return failed || !(passed + skipped) ? 1 : 0;
}
