/* SPDX-License-Identifier: MIT */
/* P4: what fork and exec do to a connection. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "daemon.h"
#include "neighbour.h"
#include "peer.h"

struct parent {
	const char *socket;
	struct sharq *s;
	struct sharq_queue *q;
	unsigned char *mem;
};

static void child_refused(void *arg)
{
	struct parent *p = arg;
	const struct sharq_cqe *cqe;
	struct sharq_queue *q;
	struct sharq_device dev;
	unsigned int status;
	char byte = 0;

	CHECK(sharq_get_sqe(p->q) == NULL, "get_sqe");
	CHECK_EQ(sharq_submit(p->q), -EPERM);
	CHECK_EQ(sharq_peek_cqe(p->q, &cqe), -EPERM);
	CHECK_EQ(sharq_wait_cqe(p->q, &cqe, 1000), -EPERM);
	CHECK_EQ(sharq_queue_fd(p->q), -EPERM);
	CHECK_EQ(sharq_queue_open(p->s, NULL, &q), -EPERM);
	CHECK_EQ(sharq_devices(p->s, &dev, 1), -EPERM);
	CHECK(sharq_alloc(p->s, 4096) == NULL, "alloc");
	CHECK_EQ(sharq_copy(p->q, &byte, &byte, 1, &status), -EPERM);
	/* Frees the child's copies and disturbs nothing. */
	sharq_queue_close(p->q);
	sharq_disconnect(p->s);
}

static void p4_child_refused_parent_goes_on(void)
{
	struct parent p;
	struct daemon d;
	unsigned int i;

	daemon_start(&d, NULL);
	p.socket = d.socket;
	p.s = must_connect(d.socket);
	p.q = must_open(p.s, 64);
	p.mem = must_alloc(p.s, 64 << 20);
	rnd_fill(p.mem, 1 << 20, 9);
	for (i = 1; i < 64; i++)
		sharq_prep_copy(must_sqe(p.q), p.mem + ((size_t)i << 20), p.mem,
				1 << 20);
	must_submit(p.q, 63);
	join(spawn(geteuid(), child_refused, &p), 10000);
	for (i = 1; i < 64; i++)
		CHECK_EQ(must_reap(p.q, 10000).status, SHARQ_OK);
	for (i = 1; i < 64; i++)
		CHECK(memcmp(p.mem, p.mem + ((size_t)i << 20), 1 << 20) == 0,
		      "piece %u is wrong", i);
	must_work(p.s, p.q);
	sharq_free(p.s, p.mem);
	sharq_queue_close(p.q);
	sharq_disconnect(p.s);
	daemon_stop(&d);
}

/* The parent's shared memory isn't in the child, nor are the rings. */
static void p4_memory_not_inherited(void)
{
	struct daemon d;
	struct sharq *s;
	struct sharq_queue *q;
	unsigned char *mem;
	char line[512];
	int status;
	pid_t pid;

	daemon_start(&d, NULL);
	s = must_connect(d.socket);
	q = must_open(s, 64);
	mem = must_alloc(s, 8192);
	mem[0] = 1;
	pid = fork();
	if (pid == 0) {
		FILE *maps = fopen("/proc/self/maps", "re");

		while (maps && fgets(line, sizeof(line), maps))
			if (strstr(line, "/memfd:"))
				FAIL("inherited: %s", line);
		/* The fault ends it quietly, sanitizer or not. */
		signal(SIGSEGV, SIG_DFL);
		*(volatile unsigned char *)mem = 2;
		_exit(0);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
	      "the child's store ended with %x", status);
	CHECK_EQ(mem[0], 1);
	must_work(s, q);
	sharq_free(s, mem);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static void child_afresh(void *arg)
{
	struct parent *p = arg;
	struct sharq *s = must_connect(p->socket);
	struct sharq_queue *q = must_open(s, 64);

	CHECK(queue_id(q) != 0, "no id");
	must_work(s, q);
	CHECK_EQ(sharq_submit(p->q), -EPERM);
	sharq_queue_close(q);
	sharq_disconnect(s);
}

static void p4_child_connects_afresh(void)
{
	struct parent p;
	struct daemon d;
	int i;

	daemon_start(&d, NULL);
	p.socket = d.socket;
	p.s = must_connect(d.socket);
	p.q = must_open(p.s, 64);
	for (i = 0; i < 5; i++) {
		join(spawn(geteuid(), child_afresh, &p), 10000);
		must_work(p.s, p.q);
	}
	sharq_queue_close(p.q);
	sharq_disconnect(p.s);
	daemon_stop(&d);
}

/* The parent dies, its child lives on with copies of all its descriptors. */
static void parent_main(void *arg)
{
	struct parent *p = arg;
	struct sharq *s = must_connect(p->socket);
	struct sharq_queue *q = must_open(s, 64);
	pid_t pid;

	must_work(s, q);
	pid = fork();
	if (pid == 0) {
		close(0);
		for (;;)
			pause();
	}
	*(pid_t *)p->mem = pid;
	raise(SIGKILL);
}

static void p4_p5_parent_gone_child_holds_fds(void)
{
	struct parent p;
	struct daemon d;
	struct peer peer;
	int status;
	pid_t pid;

	daemon_start(&d, NULL);
	p.socket = d.socket;
	p.mem = shared_alloc(4096);
	pid = spawn(geteuid(), parent_main, &p);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	      "the parent ended with %x", status);
	peer_open(&peer, d.socket);
	/* The child's copies must not keep the queue alive. */
	EVENTUALLY(peer_queues(&peer, NULL, 0) == 0, 10000);
	kill(*(pid_t *)p.mem, SIGKILL);
	daemon_stop(&d);
}

static void p4_exec_closes_all(void)
{
	bool before[256] = { false };
	struct sharq_queue *q[3];
	struct daemon d;
	struct sharq *s;
	int fd, found = 0, i;
	void *mem;

	daemon_start(&d, NULL);
	for (fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	s = must_connect(d.socket);
	mem = must_alloc(s, 1 << 20);
	for (i = 0; i < 3; i++) {
		q[i] = must_open(s, 64);
		CHECK(sharq_queue_fd(q[i]) >= 0, "queue fd");
	}
	for (fd = 0; fd < 256; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags < 0 || before[fd])
			continue;
		found++;
		CHECK(flags & FD_CLOEXEC, "fd %d survives exec", fd);
	}
	CHECK(found >= 4, "only %d descriptors found", found);
	for (i = 0; i < 3; i++)
		sharq_queue_close(q[i]);
	sharq_free(s, mem);
	sharq_disconnect(s);
	for (fd = 0; fd < 256; fd++)
		CHECK(before[fd] == (fcntl(fd, F_GETFD) >= 0),
		      "fd %d was left open", fd);
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p4_child_refused_parent_goes_on",
		  p4_child_refused_parent_goes_on, 30 },
		{ "p4_memory_not_inherited", p4_memory_not_inherited, 30 },
		{ "p4_child_connects_afresh", p4_child_connects_afresh, 30 },
		{ "p4_p5_parent_gone_child_holds_fds",
		  p4_p5_parent_gone_child_holds_fds, 30 },
		{ "p4_exec_closes_all", p4_exec_closes_all, 30 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
