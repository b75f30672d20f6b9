// SPDX-License-Identifier: MIT
/* P4: a queue is its binder's, whoever else holds its file. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "gate.h"
#include "guest.h"
#include "handover.h"
#include "queue.h"
#include "slow.h"

/* ---- every entry point, from a process that isn't the binder ---- */

static void refused_ioctls(int fd, int error)
{
	struct sharq_bind bind = queue_bind_request();
	struct sharq_eventfd event = { .size = sizeof(event),
				       .fd = eventfd(0, EFD_CLOEXEC) };

	CHILD_EXPECT(event.fd >= 0);
	CHILD_EXPECT(queue_ioctl_kick(fd, 0) == error);
	CHILD_EXPECT(queue_ioctl_kick(fd, 1) == error);
	CHILD_EXPECT(queue_bind(fd, &bind) == error);
	CHILD_EXPECT(ioctl(fd, SHARQ_EVENTFD, &event) == -1);
	CHILD_EXPECT(errno == -error);
	event.fd = -1;
	CHILD_EXPECT(ioctl(fd, SHARQ_EVENTFD, &event) == -1);
	CHILD_EXPECT(errno == -error);
	CHILD_EXPECT(ioctl(fd, SHARQ_STOP, 0) == -1);
	CHILD_EXPECT(errno == -error);
}

static void refused_uring(int fd, int error)
{
	struct io_uring ring;

	CHILD_EXPECT(!io_uring_queue_init(4, &ring, 0));
	uring_prep(&ring, fd, 1, 0);
	CHILD_EXPECT(io_uring_submit(&ring) == 1);
	CHILD_EXPECT(uring_result(&ring) == error);
	uring_prep(&ring, fd, 1, 0)->flags |= IOSQE_ASYNC;
	CHILD_EXPECT(io_uring_submit(&ring) == 1);
	CHILD_EXPECT(uring_result(&ring) == error);
	io_uring_queue_exit(&ring);
}

static void refused(int fd, const struct sharq_bind *bind, int error)
{
	short seen = queue_poll(fd, POLLIN | POLLOUT);

	CHILD_EXPECT(seen & POLLERR);
	CHILD_EXPECT(!(seen & (POLLIN | POLLOUT)));
	refused_ioctls(fd, error);
	refused_uring(fd, error);
	CHILD_EXPECT(mmap(NULL, bind->map_size, PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd,
			  (off_t)bind->map_offset) == MAP_FAILED);
	CHILD_EXPECT(errno == -error);
}

/* The queue works for its binder as if nothing had been. */
static void still_serves(struct queue *q)
{
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc copy = desc_copy(dst, src, PAGE);

	memset(src, 0x3c, PAGE);
	ck_assert_uint_eq(queue_run(q, &copy).status, SHARQ_OK);
	ck_assert(!memcmp(src, dst, PAGE));
}

/* Touching @p kills. */
static void expect_no_memory(volatile uint8_t *p)
{
	pid_t pid = fork();
	int status;

	CHILD_EXPECT(pid >= 0);
	if (!pid) {
		/* Check's handler would say that the test failed. */
		signal(SIGSEGV, SIG_DFL);
		_exit(*p & 0);
	}
	CHILD_EXPECT(waitpid(pid, &status, 0) == pid);
	CHILD_EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

START_TEST(p4_fork_child_has_no_ring)
{
	struct queue q = queue_new(8);
	unsigned char there;
	pid_t pid;

	ck_assert(!mincore(q.map, PAGE, &there));
	pid = spawn();
	if (!pid) {
		CHILD_EXPECT(mincore(q.map, PAGE, &there) == -1);
		CHILD_EXPECT(errno == ENOMEM);
		expect_no_memory(q.map);
		_exit(0);
	}
	reap_well(pid);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

START_TEST(p4_fork_child_is_refused)
{
	struct queue q = queue_new(8);
	pid_t pid = spawn();

	if (!pid) {
		refused(q.fd, &q.bind, -EPERM);
		_exit(0);
	}
	reap_well(pid);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

/* The child kicks with the ring that it inherited: it acts for itself. */
START_TEST(p4_fork_child_is_refused_through_the_parent_s_uring)
{
	struct queue q = queue_new(8);
	struct sharq_desc nop = desc_nop();
	struct io_uring ring;
	pid_t pid;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	queue_put(&q, &nop);
	queue_publish(&q);
	pid = spawn();
	if (!pid) {
		uring_prep(&ring, q.fd, 1, 0);
		CHILD_EXPECT(io_uring_submit(&ring) == 1);
		_exit(0);
	}
	reap_well(pid);
	ck_assert_int_eq(uring_result(&ring), -EPERM);
	ck_assert_uint_eq(q.ring->sq_head, 0);
	io_uring_queue_exit(&ring);
	queue_kick(&q);
	queue_wait(&q, 1);
	queue_take(&q);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

/* A child may have a queue of its own; its end ends nothing of the parent's. */
START_TEST(p4_fork_child_may_have_its_own)
{
	struct queue q = queue_new(8);
	pid_t pid = spawn();

	if (!pid) {
		struct queue own = queue_new(8);

		still_serves(&own);
		queue_free(&own);
		close(q.fd);
		_exit(0);
	}
	reap_well(pid);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

#define COUNT 8U
#define SIZE (64 * KIB)

/*
 * Sources and destinations of commands that wait for the device while the
 * process forks and both sides write to them.
 */
static void fork_in_flight(unsigned int attempt)
{
	struct queue q = queue_new(16);
	uint8_t *src = memory(COUNT * SIZE), *dst = memory(COUNT * SIZE);
	uint8_t *expected = memory(COUNT * SIZE);
	struct rng r = { attempt };
	struct gate g = gate_new();
	pid_t pid;
	int go[2];

	rng_fill(&r, src, COUNT * SIZE);
	memcpy(expected, src, COUNT * SIZE);
	gate_put(&g, &q);
	for (unsigned int i = 0; i < COUNT; i++) {
		struct sharq_desc d =
			desc_copy(dst + i * SIZE, src + i * SIZE, SIZE);

		d.flags = SHARQ_DESC_FENCE;
		queue_put(&q, &d);
	}
	queue_kick(&q);
	ck_assert(!pipe(go));
	pid = spawn();
	if (!pid) {
		char byte;

		memset(src, 0xcc, COUNT * SIZE);
		memset(dst, 0xcd, COUNT * SIZE);
		close(go[1]);
		CHILD_EXPECT(read(go[0], &byte, 1) == 1);
		CHILD_EXPECT(filled_with(src, 0xcc, COUNT * SIZE));
		CHILD_EXPECT(filled_with(dst, 0xcd, COUNT * SIZE));
		refused(q.fd, &q.bind, -EPERM);
		_exit(0);
	}
	/* A write here must not give this process another page than that
	 * which the device has. */
	for (unsigned int i = 0; i < COUNT * SIZE; i += PAGE)
		dst[i] = 0xee;
	gate_open(&g, &q);
	gate_take(&q);
	queue_wait(&q, COUNT);
	for (unsigned int i = 0; i < COUNT; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert_msg(!memcmp(dst, expected, COUNT * SIZE),
		      "data went elsewhere");
	ck_assert_msg(!memcmp(src, expected, COUNT * SIZE), "a source changed");
	ck_assert(write(go[1], "", 1) == 1);
	reap_well(pid);
	close(go[0]);
	close(go[1]);
	queue_free(&q);
	munmap(src, COUNT * SIZE);
	munmap(dst, COUNT * SIZE);
	munmap(expected, COUNT * SIZE);
}

START_TEST(p4_fork_in_flight_leaves_data_to_the_parent)
{
	for (unsigned int i = 0; i < 3; i++)
		fork_in_flight(i);
}
END_TEST

/* ---- the mapping ---- */

START_TEST(p4_madvise_dofork_is_refused)
{
	struct queue q = queue_new(64);
	unsigned char there;
	pid_t pid;

	ck_assert_int_eq(madvise(q.map, q.bind.map_size, MADV_DOFORK), -1);
	ck_assert_int_eq(errno, EINVAL);
	pid = spawn();
	if (!pid) {
		CHILD_EXPECT(mincore(q.map, PAGE, &there) == -1);
		_exit(0);
	}
	reap_well(pid);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

START_TEST(p4_mremap_is_refused)
{
	struct queue q = queue_new(256);
	size_t size = q.bind.map_size;
	void *elsewhere =
		mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(mremap(q.map, size, 2 * size, MREMAP_MAYMOVE) == MAP_FAILED);
	ck_assert(mremap(q.map, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			 elsewhere) == MAP_FAILED);
	ck_assert(mremap(q.map, size, size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP,
			 NULL) == MAP_FAILED);
	/* Old size 0: a second mapping of the same. */
	ck_assert(mremap(q.map, 0, size, MREMAP_MAYMOVE) == MAP_FAILED);
	ck_assert(mremap(q.map, size, PAGE, 0) == MAP_FAILED);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

START_TEST(p4_the_mapping_cannot_be_cut)
{
	struct queue q = queue_new(256);
	uint8_t *map = q.map;

	ck_assert_int_eq(munmap(map + PAGE, PAGE), -1);
	ck_assert_int_eq(munmap(map, PAGE), -1);
	ck_assert_int_eq(mprotect(map + PAGE, PAGE, PROT_NONE), -1);
	ck_assert_int_eq(madvise(map, PAGE, MADV_DOFORK), -1);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

/* ---- other holders of the file ---- */

START_TEST(p4_another_process_that_was_given_the_file_is_refused)
{
	int pair[2];
	pid_t pid;
	struct queue q;

	handover_pair(pair);
	pid = spawn();
	if (!pid) {
		struct sharq_bind bind;
		int fd = handover_receive(pair[1]);

		CHILD_EXPECT(read(pair[1], &bind, sizeof(bind)) ==
			     sizeof(bind));
		refused(fd, &bind, -EPERM);
		_exit(0);
	}
	q = queue_new(8);
	handover_send(pair[0], q.fd);
	ck_assert(write(pair[0], &q.bind, sizeof(q.bind)) == sizeof(q.bind));
	reap_well(pid);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

/* exec gives the process another address space: it is no binder any more. */
START_TEST(p4_file_kept_across_exec_is_refused)
{
	pid_t pid = spawn();

	if (!pid) {
		struct queue q = queue_new(8);

		slow_put(&q);
		queue_kick(&q);
		CHILD_EXPECT(!fcntl(q.fd, F_SETFD, 0));
		guest_exec("refused", q.fd);
	}
	reap_well(pid);
	queues_left(0);
}
END_TEST

/* Its queue ended with the address space that bound it, or refuses this one. */
static void execed_is_refused(int fd)
{
	struct sharq_bind bind = queue_bind_request();
	struct io_uring ring;
	int r;

	CHILD_EXPECT(queue_poll(fd, POLLIN) & (POLLERR | POLLHUP));
	r = queue_ioctl_kick(fd, 1);
	CHILD_EXPECT(r == -EPERM || r == -ESHUTDOWN);
	r = queue_bind(fd, &bind);
	CHILD_EXPECT(r == -EPERM || r == -ESHUTDOWN);
	CHILD_EXPECT(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0) == MAP_FAILED);
	CHILD_EXPECT(!io_uring_queue_init(4, &ring, 0));
	uring_prep(&ring, fd, 1, 0);
	CHILD_EXPECT(io_uring_submit(&ring) == 1);
	r = uring_result(&ring);
	CHILD_EXPECT(r == -EPERM || r == -ESHUTDOWN);
	io_uring_queue_exit(&ring);
}

int guest_execed(const char *what, int fd)
{
	if (strcmp(what, "refused"))
		return 1;
	execed_is_refused(fd);
	return 0;
}

/* ---- BIND ---- */

START_TEST(p4_bind_by_another_user_is_refused)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	int fd;

	request.uid = getuid() + 1;
	fd = queue_file(&request);
	ck_assert_int_eq(queue_bind(fd, &bind), -EPERM);
	close(fd);
	request.uid = 0;
	request.id = 0;
	fd = queue_file(&request);
	ck_assert_int_eq(queue_bind(fd, &bind), -EPERM);
	close(fd);
}
END_TEST

START_TEST(p4_bind_happens_once)
{
	struct queue q = queue_new(8);
	struct sharq_bind bind = queue_bind_request();

	ck_assert_int_eq(queue_bind(q.fd, &bind), -EBUSY);
	still_serves(&q);
	queue_free(&q);
}
END_TEST

START_TEST(p4_bind_after_the_deadline_is_refused)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	int fd;

	request.bind_ms = 1;
	fd = queue_file(&request);
	/* The time itself is what is waited for; jiffies are up to 10 ms. */
	poll(NULL, 0, 30);
	ck_assert_int_eq(queue_bind(fd, &bind), -ETIMEDOUT);
	close(fd);
}
END_TEST

START_TEST(p4_unbound_queue_does_nothing)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_eventfd event = { .size = sizeof(event), .fd = -1 };
	int fd = queue_file(&request);

	ck_assert_int_eq(queue_ioctl_kick(fd, 1), -ENOTCONN);
	ck_assert_int_eq(ioctl(fd, SHARQ_EVENTFD, &event), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	ck_assert(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
		  MAP_FAILED);
	ck_assert_int_eq(errno, ENOTCONN);
	close(fd);
}
END_TEST

/* Whoever of that user binds it has it, this process not any more. */
START_TEST(p4_the_binder_is_the_owner_not_the_one_who_asked)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	int fd = queue_file(&request);
	pid_t pid = spawn();

	if (!pid) {
		CHILD_EXPECT(!queue_bind(fd, &bind));
		CHILD_EXPECT(queue_ioctl_kick(fd, 0) == 0);
		_exit(0);
	}
	reap_well(pid);
	ck_assert_int_lt(queue_ioctl_kick(fd, 0), 0);
	ck_assert_int_lt(queue_bind(fd, &bind), 0);
	close(fd);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("fork");

	GUEST_ADD(s, p4_fork_child_has_no_ring, 60);
	GUEST_ADD(s, p4_fork_child_is_refused, 60);
	GUEST_ADD(s, p4_fork_child_is_refused_through_the_parent_s_uring, 60);
	GUEST_ADD(s, p4_fork_child_may_have_its_own, 60);
	GUEST_ADD(s, p4_fork_in_flight_leaves_data_to_the_parent, 60);
	GUEST_ADD(s, p4_madvise_dofork_is_refused, 60);
	GUEST_ADD(s, p4_mremap_is_refused, 60);
	GUEST_ADD(s, p4_the_mapping_cannot_be_cut, 60);
	GUEST_ADD(s, p4_another_process_that_was_given_the_file_is_refused, 60);
	GUEST_ADD(s, p4_file_kept_across_exec_is_refused, 60);
	GUEST_ADD(s, p4_bind_by_another_user_is_refused, 60);
	GUEST_ADD(s, p4_bind_happens_once, 60);
	GUEST_ADD(s, p4_bind_after_the_deadline_is_refused, 60);
	GUEST_ADD(s, p4_unbound_queue_does_nothing, 60);
	GUEST_ADD(s, p4_the_binder_is_the_owner_not_the_one_who_asked, 60);
	return s;
}
