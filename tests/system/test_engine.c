/* SPDX-License-Identifier: MIT */
/* What an engine process may, and what it costs idle and busy. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

/* As the engine's own user: its memory and descriptors stay closed. */
static void intruder(void *arg)
{
	static const char *const files[] = { "mem", "fd", "maps", "environ" };
	pid_t engine = *(pid_t *)arg;
	char path[64];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/%s", engine, files[i]);
		fd = open(path, O_RDONLY);
		CHECK(fd < 0 && errno == EACCES, "%s: %s", path,
		      fd < 0 ? strerror(errno) : "opened");
	}
}

static bool fd_names(pid_t pid, const char *needle)
{
	char path[300], target[300];
	struct dirent *e;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	CHECK(dir, "%s: %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = '\0';
			found |= strstr(target, needle) != NULL;
		}
	}
	closedir(dir);
	return found;
}

static void p13_engine_confined(void)
{
	uid_t uid = geteuid() ? geteuid() : UID_A;
	struct neighbour n;
	struct daemon d;
	struct stat st;
	struct peer p;
	char path[64];
	pid_t engine;

	daemon_start(&d, NULL);
	neighbour_start(&n, d.socket, uid);
	peer_open(&p, d.socket);
	engine = peer_engine(&p, n.state->queue);
	CHECK_EQ(proc_status(engine, "Uid", 10), uid);
	CHECK_EQ(proc_status(engine, "NoNewPrivs", 10), 1);
	CHECK_EQ(proc_status(engine, "CapInh", 16), 0);
	CHECK_EQ(proc_status(engine, "CapPrm", 16), 0);
	CHECK_EQ(proc_status(engine, "CapEff", 16), 0);
	CHECK_EQ(proc_status(engine, "CapAmb", 16), 0);
	/* Only root's by owner: not dumpable. */
	snprintf(path, sizeof(path), "/proc/%d/mem", engine);
	CHECK_EQ(stat(path, &st), 0);
	CHECK_EQ(st.st_uid, 0);
	join(spawn(uid, intruder, &engine), 5000);
	/* Neither the neighbour's process nor any like it has a journal. */
	CHECK(!fd_names(n.pid, "journal"), "a client holds a journal");
#ifdef SHARQ_SANITIZE
	printf("  seccomp is off in sanitized builds: not looked at\n");
#else
	CHECK_EQ(proc_status(engine, "Seccomp", 10), 2);
#endif
	neighbour_stop(&n, false);
	daemon_stop(&d);
}

/* Clients with uid 0 are not served by a privileged engine. */
static void p13_no_engine_for_root(void)
{
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t engine;

	need_root();
	daemon_start(&d, NULL);
	s = must_connect(d.socket);
	q = must_open(s, 8);
	peer_open(&p, d.socket);
	engine = peer_engine(&p, queue_id(q));
	CHECK(proc_status(engine, "Uid", 10) > 0, "the engine is root");
	CHECK_EQ(proc_status(engine, "CapEff", 16), 0);
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static unsigned long long all_switches(struct daemon *d, pid_t engine)
{
	return proc_switches(d->pid) + proc_switches(engine);
}

/* Wait until both have been still for a moment, then watch for two seconds. */
static void p3_idle_wakes_nobody(void)
{
	unsigned long long before, after = 0;
	int64_t still = now_ms(), until;
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t engine;

	daemon_start(&d, "[engine]\nworkers = 2\n");
	s = must_connect(d.socket);
	q = must_open(s, 64);
	must_work(s, q);
	peer_open(&p, d.socket);
	engine = peer_engine(&p, queue_id(q));
	peer_close(&p);
	before = all_switches(&d, engine);
	until = now_ms() + 5000 * SCALE;
	while (now_ms() - still < 200) {
		after = all_switches(&d, engine);
		if (after != before)
			still = now_ms();
		before = after;
		CHECK(now_ms() < until, "no peace in 5 s");
		usleep(10000);
	}
	/* The promise is about time that passes: here it must pass. */
	usleep(2000000);
	after = all_switches(&d, engine);
	CHECK(after == before, "idle, but %llu wake-ups in 2 s",
	      after - before);
#ifndef SHARQ_SANITIZE
	printf("  sharqd %lld KiB, engine %lld KiB\n",
	       proc_status(d.pid, "VmRSS", 10),
	       proc_status(engine, "VmRSS", 10));
	CHECK(proc_status(d.pid, "VmRSS", 10) < 8192, "sharqd is too big");
	CHECK(proc_status(engine, "VmRSS", 10) < 8192, "the engine is too big");
#endif
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* 64-byte copies, many in flight; the client polls and never sleeps. */
static void busy(struct sharq *s, struct sharq_queue *q, unsigned int ops)
{
	unsigned char *mem = must_alloc(s, 8192);
	unsigned int sent = 0, done = 0, i, n;
	const struct sharq_cqe *cqe;
	int64_t until = now_ms() + 60000 * SCALE;

	while (done < ops) {
		for (n = 0; n < 32 && sent + n < ops; n++) {
			struct sharq_sqe *sqe = sharq_get_sqe(q);

			if (!sqe)
				break;
			sharq_prep_copy(sqe, mem + 4096, mem, 64);
		}
		for (i = 0; i < n;) {
			int r = sharq_submit(q);

			CHECK(r > 0, "submit: %d", r);
			i += (unsigned int)r;
		}
		sent += n;
		while (sharq_peek_cqe(q, &cqe) == 0) {
			CHECK_EQ(cqe->status, SHARQ_OK);
			sharq_cqe_seen(q, cqe);
			done++;
		}
		CHECK((done & 1023) || now_ms() < until, "too slow");
	}
	sharq_free(s, mem);
}

/*
 * On a machine with other work the scheduler takes the CPU from either side,
 * and the other one rightly goes to sleep: hence the best of a few tries. One
 * call for each command, or for each batch of 32, fails all of them.
 */
#define TRIES 8

static bool busy_once(struct sharq *s, struct sharq_queue *q, struct daemon *d,
		      pid_t engine)
{
	const unsigned int ops = 200000;
	struct sharq_queue_counts before, after;
	unsigned long long switches, calls;

	CHECK_EQ(sharq_queue_counts(q, &before), 0);
	switches = all_switches(d, engine);
	busy(s, q, ops);
	switches = all_switches(d, engine) - switches;
	CHECK_EQ(sharq_queue_counts(q, &after), 0);
	calls = after.syscalls - before.syscalls;
	printf("  %u operations: %llu calls by the client, %llu sleeps of "
	       "engine and daemon\n",
	       ops, calls, switches);
	CHECK_EQ(after.completed - before.completed, ops);
	CHECK_EQ(after.staged - before.staged, 0);
	return calls < ops / 100 && switches < ops / 100;
}

static void p3_busy_without_system_calls(void)
{
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t engine;
	int i;

	daemon_start(&d, "[engine]\nworkers = 1\n");
	s = must_connect(d.socket);
	q = must_open(s, 256);
	peer_open(&p, d.socket);
	engine = peer_engine(&p, queue_id(q));
	busy(s, q, 1000);
	for (i = 0; !busy_once(s, q, &d, engine); i++)
		CHECK(i < TRIES, "busy, and yet system calls");
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* "% time seconds usecs/call calls errors syscall", the last line: total. */
static unsigned long strace_total(const char *path)
{
	char *text = file_text(path), *line;
	unsigned long calls = 0;

	CHECK(text, "strace wrote nothing");
	line = strstr(text, "total");
	if (line) {
		while (line > text && line[-1] != '\n')
			line--;
		CHECK(sscanf(line, "%*f %*f %*s %lu", &calls) == 1,
		      "strace's total can't be read: %s", line);
	}
	free(text);
	return calls;
}

static unsigned long busy_traced(struct sharq *s, struct sharq_queue *q,
				 pid_t engine, unsigned int ops)
{
	const char *out = tmp_path("strace");
	char pid_text[16];
	pid_t tracer;

	snprintf(pid_text, sizeof(pid_text), "%d", engine);
	tracer = fork();
	if (tracer == 0) {
		execl("/usr/bin/strace", "strace", "-f", "-qq", "-c", "-o", out,
		      "-p", pid_text, (char *)NULL);
		_exit(127);
	}
	EVENTUALLY(proc_status(engine, "TracerPid", 10) == tracer, 10000);
	busy(s, q, ops);
	kill(tracer, SIGINT);
	CHECK_EQ(waitpid(tracer, NULL, 0), tracer);
	return strace_total(tmp_path("strace"));
}

/* The same, counted by strace: every call of every thread of the engine. */
static void p3_busy_counted_by_strace(void)
{
	const unsigned int ops = 200000;
	struct sharq_queue *q;
	unsigned long calls;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	pid_t engine;
	int i;

	need_root();
	if (access("/usr/bin/strace", X_OK))
		skip("strace is not installed");
	daemon_start(&d, "[engine]\nworkers = 1\n");
	s = must_connect(d.socket);
	q = must_open(s, 256);
	peer_open(&p, d.socket);
	engine = peer_engine(&p, queue_id(q));
	for (i = 0;; i++) {
		calls = busy_traced(s, q, engine, ops);
		printf("  %u operations: %lu system calls of the engine\n", ops,
		       calls);
		if (calls < ops / 100)
			break;
		CHECK(i < TRIES, "busy, and yet system calls");
	}
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p13_engine_confined", p13_engine_confined, 30 },
		{ "p13_no_engine_for_root", p13_no_engine_for_root, 30 },
		{ "p3_idle_wakes_nobody", p3_idle_wakes_nobody, 30 },
		{ "p3_busy_without_system_calls", p3_busy_without_system_calls,
		  90 },
		{ "p3_busy_counted_by_strace", p3_busy_counted_by_strace, 90 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
