/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define EXIT_SKIP 77

static char tmp_dir[64];

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void fail_at(const char *file, int line, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "  %s:%d: ", base ? base + 1 : file, line);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	fflush(NULL);
	_exit(1);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "  skipped: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	fflush(NULL);
	_exit(EXIT_SKIP);
}

void need_root(void)
{
	if (geteuid() != 0)
		skip("needs root, to act as several users");
}

/* Results live in a few rotating buffers: for use within one expression. */
static char *scratch(void)
{
	static char bufs[8][4096];
	static unsigned int next;

	return bufs[next++ % 8];
}

const char *tmp_path(const char *name)
{
	char *buf = scratch();

	snprintf(buf, 4096, "%s/%s", tmp_dir, name);
	return buf;
}

const char *bin_path(const char *name)
{
	char *buf = scratch();
	char *slash;
	ssize_t n;

	n = readlink("/proc/self/exe", buf, 4000);
	CHECK(n > 0, "reading /proc/self/exe: %s", strerror(errno));
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	snprintf(slash + 1, 4096 - (size_t)(slash + 1 - buf), "%s", name);
	return buf;
}

void *shared_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "shared memory: %s", strerror(errno));
	return p;
}

char *file_text(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text;
	size_t n;

	if (!f)
		return NULL;
	text = malloc(65536);
	n = fread(text, 1, 65535, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

void file_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	CHECK(f, "%s: %s", path, strerror(errno));
	fputs(text, f);
	CHECK(fclose(f) == 0, "%s: %s", path, strerror(errno));
}

bool file_has(const char *path, const char *needle)
{
	char *text = file_text(path);
	bool has = text && strstr(text, needle);

	free(text);
	return has;
}

static int wait_status(pid_t pid, int timeout_ms)
{
	int64_t until = now_ms() + (int64_t)timeout_ms * SCALE;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() > until) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			FAIL("process %d took longer than %d ms", pid,
			     timeout_ms * SCALE);
		}
		usleep(2000);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int run_program(char *const argv[], const char *stdout_path,
		const char *stderr_path, int timeout_ms)
{
	pid_t pid = fork();

	if (pid == 0) {
		int out = open(stdout_path ? stdout_path : "/dev/null",
			       O_WRONLY | O_CREAT | O_TRUNC, 0600);
		int err = open(stderr_path ? stderr_path : "/dev/null",
			       O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(out, 1);
		dup2(err, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	CHECK(pid > 0, "fork: %s", strerror(errno));
	return wait_status(pid, timeout_ms);
}

void join(pid_t pid, int timeout_ms)
{
	int status = wait_status(pid, timeout_ms);

	CHECK(status == 0, "helper %d ended with %d", pid, status);
}

bool pid_alive(pid_t pid)
{
	char path[64], *text, *state;
	bool alive;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	text = file_text(path);
	if (!text)
		return false;
	state = strrchr(text, ')');
	alive = state && state[2] != 'Z' && state[2] != 'X';
	free(text);
	return alive;
}

long long proc_status(pid_t pid, const char *key, int base)
{
	char path[64], want[64], *text, *p;
	long long value = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	snprintf(want, sizeof(want), "\n%s:", key);
	text = file_text(path);
	p = text ? strstr(text, want) : NULL;
	if (p)
		value = strtoll(p + strlen(want), NULL, base);
	free(text);
	return value;
}

unsigned long long proc_switches(pid_t pid)
{
	unsigned long long sum = 0;
	char path[300];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	CHECK(dir, "%s: %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		char *text, *p;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid,
			 e->d_name);
		text = file_text(path);
		p = text ? strstr(text, "\nvoluntary_ctxt_switches:") : NULL;
		if (p)
			sum += strtoull(p + 25, NULL, 10);
		free(text);
	}
	closedir(dir);
	return sum;
}

unsigned long long proc_cpu_ticks(pid_t pid)
{
	unsigned long long user = 0, sys = 0;
	char path[64], *text, *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	text = file_text(path);
	p = text ? strrchr(text, ')') : NULL;
	if (p)
		sscanf(p,
		       ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
		       "%llu %llu",
		       &user, &sys);
	free(text);
	return user + sys;
}

unsigned int proc_fds(pid_t pid)
{
	char path[64];
	struct dirent *e;
	unsigned int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	CHECK(dir, "%s: %s", path, strerror(errno));
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

void become(uid_t uid)
{
	if (uid == geteuid())
		return;
	CHECK(setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 &&
		      setresuid(uid, uid, uid) == 0,
	      "becoming uid %u: %s", uid, strerror(errno));
	/* Else /proc/self would belong to root, unlike a real user's. */
	prctl(PR_SET_DUMPABLE, 1);
}

uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void rnd_fill(void *p, size_t n, uint64_t seed)
{
	unsigned char *b = p;

	while (n) {
		uint64_t v = rnd(&seed);
		size_t k = n < sizeof(v) ? n : sizeof(v);

		memcpy(b, &v, k);
		b += k;
		n -= k;
	}
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/*
 * The runner is a subreaper: what a test leaves becomes its child. Ends all of
 * these; those that end by themselves within a moment are not counted.
 */
static unsigned int end_orphans(bool kill_now)
{
	int64_t until = now_ms() + (kill_now ? 0 : 3000 * SCALE);
	unsigned int killed = 0;
	char path[64], *text, *p, *next;
	pid_t r;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	for (;;) {
		while ((r = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (r < 0)
			return killed;
		if (now_ms() < until) {
			usleep(2000);
			continue;
		}
		text = file_text(path);
		for (p = text; p && *p; p = next) {
			pid_t pid = (pid_t)strtol(p, &next, 10);

			if (next == p)
				break;
			if (pid_alive(pid)) {
				kill(pid, SIGKILL);
				killed++;
			}
		}
		free(text);
		usleep(1000);
	}
}

/* Runs one test; its exit status, -1: time ran out. */
static int run_test(const struct test *t, unsigned int *orphans)
{
	int64_t until = now_ms() + (int64_t)t->seconds * 1000 * SCALE;
	int status = 0;
	bool late = false;
	pid_t pid, r;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		return 1;
	}
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		t->run();
		fflush(NULL);
		_exit(0);
	}
	for (;;) {
		int s;

		r = waitpid(-1, &s, WNOHANG);
		if (r == pid) {
			status = s;
			break;
		}
		if (r == 0) {
			if (!late && now_ms() > until) {
				late = true;
				kill(pid, SIGKILL);
			}
			usleep(2000);
		}
	}
	*orphans = end_orphans(late || status);
	if (late)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void show_log(void)
{
	char *text = file_text(tmp_path("sharqd.log"));

	if (text && *text) {
		size_t n = strlen(text);

		fprintf(stderr, "  the end of sharqd's log:\n%s\n",
			n > 3000 ? text + n - 3000 : text);
	}
	free(text);
}

static bool wanted(const char *name, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (fnmatch(argv[i], name, 0) == 0)
			return true;
	return argc < 2;
}

int harness_main(int argc, char **argv, const struct test *tests, size_t n)
{
	unsigned int passed = 0, failed = 0, skipped = 0, orphans;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (i = 0; i < n; i++) {
		int64_t began = now_ms();
		int r;

		if (!wanted(tests[i].name, argc, argv))
			continue;
		snprintf(tmp_dir, sizeof(tmp_dir), "/tmp/sharq-test.XXXXXX");
		if (!mkdtemp(tmp_dir) || chmod(tmp_dir, 0755)) {
			perror(tmp_dir);
			return 1;
		}
		r = run_test(&tests[i], &orphans);
		if (r == 0 && orphans) {
			fprintf(stderr, "  left %u processes behind\n",
				orphans);
			r = 1;
		}
		if (r == -1)
			fprintf(stderr, "  not done after %u s\n",
				tests[i].seconds * SCALE);
		else if (r >= 128)
			fprintf(stderr, "  died of signal %d\n", r - 128);
		if (r && r != EXIT_SKIP)
			show_log();
		if (r == 0)
			passed++;
		else if (r == EXIT_SKIP)
			skipped++;
		else
			failed++;
		printf("%s %s (%lld ms)\n",
		       r == 0		? "pass"
		       : r == EXIT_SKIP ? "skip"
					: "FAIL",
		       tests[i].name, (long long)(now_ms() - began));
		nftw(tmp_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
	if (passed + failed + skipped == 0) {
		fprintf(stderr, "no test has such a name\n");
		return 1;
	}
	return failed ? 1 : 0;
}
