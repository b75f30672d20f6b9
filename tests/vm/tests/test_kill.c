// SPDX-License-Identifier: MIT
/* P5, P13, P14: clients that die, and rings of every kind. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "gate.h"
#include "guest.h"
#include "handover.h"
#include "neighbour.h"
#include "pins.h"
#include "queue.h"
#include "slow.h"
#include "victim.h"

#define KILLS 50

/* ---- SIGKILL ---- */

START_TEST(p5_killed_with_commands_in_flight)
{
	unsigned int kills = guest_parameter("kills", KILLS);
	long pinned = pins_held();
	struct neighbour other = neighbour_start();

	victim_file_new();
	for (unsigned int i = 0; i < kills; i++)
		victim_kill(i, queue_new);
	queues_left(1);
	neighbour_advances(&other, 1);
	neighbour_stop(&other);
	queues_left(0);
	ck_assert_int_eq(pins_held(), pinned);
	victim_file_remove();
	printf("%u clients killed\n", kills);
}
END_TEST

/* ---- exec ---- */

/* It succeeds while nothing that was accepted can complete. */
static void exec_with(unsigned int flags, uint32_t kick_flags)
{
	struct gate g = gate_new();
	pid_t pid = spawn();

	if (!pid) {
		struct queue q = queue_new(16);
		struct sharq_desc d = desc_fill(memory(PAGE), 1, PAGE);
		struct io_uring ring;

		CHILD_EXPECT(!io_uring_queue_init(8, &ring, 0));
		gate_put(&g, &q);
		d.flags = SHARQ_DESC_FENCE;
		queue_put(&q, &d);
		queue_publish(&q);
		uring_prep(&ring, q.fd, 2, kick_flags)->flags |= flags;
		CHILD_EXPECT(io_uring_submit(&ring) == 1);
		guest_exec("nothing", -1);
	}
	reap_well(pid);
	queues_left(0);
	gate_free(&g);
}

START_TEST(p5_exec_with_a_kick_outstanding)
{
	exec_with(0, 0);
	exec_with(IOSQE_ASYNC, 0);
	exec_with(0, SHARQ_KICK_WAIT);
	exec_with(IOSQE_ASYNC, SHARQ_KICK_WAIT);
}
END_TEST

/* ---- closing ---- */

enum order {
	RING_THEN_FILE,
	FILE_THEN_RING
};

static void close_in(enum order order, bool unmap_first, uint32_t flags)
{
	struct queue q = queue_new(16);
	struct sharq_desc d = desc_fill(memory(MIB), 1, MIB);
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(8, &ring, 0));
	slow_put(&q);
	for (int i = 0; i < 4; i++)
		queue_put(&q, &d);
	queue_publish(&q);
	uring_prep(&ring, q.fd, 5, flags);
	uring_prep(&ring, q.fd, 5, flags)->flags |= IOSQE_ASYNC;
	ck_assert_int_eq(io_uring_submit(&ring), 2);
	if (unmap_first)
		ck_assert(!munmap(q.map, q.bind.map_size));
	if (order == RING_THEN_FILE)
		io_uring_queue_exit(&ring);
	ck_assert(!close(q.fd));
	if (order == FILE_THEN_RING)
		io_uring_queue_exit(&ring);
	if (!unmap_first)
		ck_assert(!munmap(q.map, q.bind.map_size));
	queues_left(0);
}

START_TEST(p5_ring_and_file_closed_in_both_orders)
{
	for (int i = 0; i < 8; i++)
		close_in(i & 1 ? RING_THEN_FILE : FILE_THEN_RING, i & 2,
			 i & 4 ? SHARQ_KICK_WAIT : 0);
}
END_TEST

/* ---- a page fault that never ends ---- */

enum way {
	BY_IOCTL,
	BY_URING,
	BY_IO_WQ
};

/*
 * Private: the kick itself faults. Shared: the stager does, to copy in or out.
 * @advice: MADV_RANDOM: who faults asks for the page itself, and can't be killed
 * @say: io_uring has taken the kick, and went on without its end.
 */
static void hang(const struct fuse *f, int flags, int advice, bool write_to_it,
		 enum way way, int say)
{
	struct queue q = queue_new(8);
	uint8_t *map = fuse_map(f, flags), *mine = memory(64 * KIB);
	struct sharq_desc d = write_to_it ? desc_copy(map + 100, mine, 5000)
					  : desc_copy(mine, map + 100, 5000);
	struct io_uring ring;

	CHILD_EXPECT(!madvise(map, FUSE_FILE_SIZE, advice));
	ck_assert(!io_uring_queue_init(8, &ring, 0));
	queue_put(&q, &d);
	queue_publish(&q);
	if (way == BY_IOCTL) {
		queue_ioctl_kick(q.fd, 1);
	} else {
		uring_prep(&ring, q.fd, 1, 0)->flags |=
			way == BY_IO_WQ ? IOSQE_ASYNC : 0;
		CHILD_EXPECT(io_uring_submit(&ring) == 1);
		peer_tell(say);
	}
	for (;;)
		pause();
}

static void hang_advised(int flags, int advice, bool write_to_it, enum way way)
{
	struct neighbour other = neighbour_start();
	struct fuse f = fuse_new(FUSE_READ);
	int say[2], status;
	pid_t pid;

	ck_assert(!pipe2(say, O_CLOEXEC));
	pid = spawn();
	if (!pid)
		hang(&f, flags, advice, write_to_it, way, say[1]);
	fuse_wait(&f);
	if (way != BY_IOCTL)
		peer_hear(say[0]);
	neighbour_advances(&other, 20);
	ck_assert(!kill(pid, SIGKILL));
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	if (advice == MADV_NORMAL)
		queues_left(1);
	neighbour_advances(&other, 20);
	close(say[0]);
	close(say[1]);
	fuse_free(&f);
	neighbour_stop(&other);
	queues_left(0);
}

static void hang_and_kill(int flags, bool write_to_it, enum way way)
{
	hang_advised(flags, MADV_NORMAL, write_to_it, way);
}

START_TEST(p13_fuse_never_answers_a_kick)
{
	hang_and_kill(MAP_PRIVATE, false, BY_IOCTL);
	hang_and_kill(MAP_PRIVATE, true, BY_IOCTL);
}
END_TEST

START_TEST(p13_fuse_never_answers_a_kick_in_io_uring)
{
	hang_and_kill(MAP_PRIVATE, false, BY_URING);
	hang_and_kill(MAP_PRIVATE, true, BY_URING);
}
END_TEST

START_TEST(p13_fuse_never_answers_a_kick_in_io_wq)
{
	hang_and_kill(MAP_PRIVATE, false, BY_IO_WQ);
	hang_and_kill(MAP_PRIVATE, true, BY_IO_WQ);
}
END_TEST

START_TEST(p13_fuse_never_answers_the_stager)
{
	hang_and_kill(MAP_SHARED, false, BY_IOCTL);
	hang_and_kill(MAP_SHARED, true, BY_IOCTL);
	hang_and_kill(MAP_SHARED, true, BY_URING);
}
END_TEST

/* Then its memory and the queue stay until the server goes; the client doesn't. */
START_TEST(p13_fuse_never_answers_a_stager_that_cannot_be_killed)
{
	hang_advised(MAP_SHARED, MADV_RANDOM, false, BY_IOCTL);
	hang_advised(MAP_SHARED, MADV_RANDOM, true, BY_IOCTL);
}
END_TEST

/* Closing everything, as a living client, hangs no more than dying does. */
START_TEST(p13_fuse_hangs_no_close)
{
	struct fuse f = fuse_new(FUSE_READ);
	struct queue q = queue_new(8);
	uint8_t *map = fuse_map(&f, MAP_SHARED);
	struct sharq_desc d = desc_copy(map, memory(PAGE), PAGE);

	queue_put(&q, &d);
	queue_kick(&q);
	fuse_wait(&f);
	queue_free(&q);
	queues_left(0);
	fuse_free(&f);
}
END_TEST

/*
 * The stager alone keeps a dead client's memory, which keeps its queue: nothing
 * but the stager's own looking finds out. It doesn't take as long as a copy may.
 */
START_TEST(p13_fuse_hangs_no_dead_client_whose_file_others_hold)
{
	struct fuse f = fuse_new(FUSE_READ);
	uint64_t end, id;
	int pair[2], fd;
	pid_t pid;

	handover_pair(pair);
	pid = spawn();
	if (!pid) {
		struct queue q = queue_new(8);
		struct sharq_desc d =
			desc_copy(memory(PAGE), fuse_map(&f, MAP_SHARED), PAGE);

		queue_put(&q, &d);
		queue_kick(&q);
		handover_send(pair[1], q.fd);
		/* Or closing it would tell, at the end. */
		CHILD_EXPECT(!close(q.fd));
		CHILD_EXPECT(write(pair[1], &q.id, sizeof(q.id)) ==
			     sizeof(q.id));
		for (;;)
			pause();
	}
	fd = handover_receive(pair[0]);
	ck_assert(read(pair[0], &id, sizeof(id)) == sizeof(id));
	fuse_wait(&f);
	ck_assert(!kill(pid, SIGKILL));
	reap(pid);
	for (end = now_ms() + PATIENCE_MS;
	     queue_seen(id).state != SHARQ_QUEUE_GONE; poll(NULL, 0, 5))
		ck_assert_msg(now_ms() < end, "its memory is kept");
	close(fd);
	queues_left(0);
	fuse_free(&f);
}
END_TEST

/* Longer than the kernel's thread goes without a look at its client. */
#define SLOW_MS 2500

static void *wait_for_slow_page(void *leader)
{
	struct pollfd p = { .events = POLLIN };
	struct gate g;
	struct queue q;

	CHILD_EXPECT(!pthread_join(*(pthread_t *)leader, NULL));
	g = gate_new();
	q = queue_new(8);
	gate_put(&g, &q);
	queue_kick(&q);
	fuse_wait(&g.fuse);
	p.fd = q.fd;
	CHILD_EXPECT(!poll(&p, 1, SLOW_MS));
	gate_free(&g);
	gate_take(&q);
	queue_free(&q);
	_exit(0);
}

START_TEST(p13_slow_page_is_waited_for_while_any_thread_of_the_client_lives)
{
	static pthread_t leader;
	pthread_t thread;
	pid_t pid = spawn();

	if (!pid) {
		leader = pthread_self();
		CHILD_EXPECT(!pthread_create(&thread, NULL, wait_for_slow_page,
					     &leader));
		/* pthread_exit() wants a library that the lab lacks. */
		syscall(SYS_exit, 0);
	}
	reap_well(pid);
	queues_left(0);
}
END_TEST

/* ---- rings of every kind ---- */

/* A kick that waits leaves nothing to wait for. */
static void serves(struct io_uring *ring, int fd, unsigned int sqe_flags,
		   uint32_t kick_flags, struct queue *q)
{
	uint8_t *src = memory(64 * KIB), *dst = memory(64 * KIB);
	struct rng r = { 17 };
	int submitted;

	rng_fill(&r, src, 64 * KIB);
	for (int round = 0; round < 10; round++) {
		memset(dst, 0, 64 * KIB);
		for (uint32_t i = 0; i < 4; i++) {
			struct sharq_desc d = desc_copy(dst + i * 16 * KIB,
							src + i * 16 * KIB,
							16 * KIB);

			queue_put(q, &d);
		}
		queue_publish(q);
		uring_prep(ring, fd, 4, kick_flags)->flags |= sqe_flags;
		submitted = io_uring_submit(ring);
		/* The thread of SQPOLL gives a slot back after its completion. */
		if (ring->flags & IORING_SETUP_SQPOLL && submitted == 2)
			submitted = 1;
		ck_assert_int_eq(submitted, 1);
		ck_assert_int_eq(uring_result(ring), 4);
		if (kick_flags & SHARQ_KICK_WAIT)
			ck_assert_uint_eq(queue_completed(q), 4);
		queue_wait(q, 4);
		for (int i = 0; i < 4; i++)
			ck_assert_uint_eq(queue_take(q).status, SHARQ_OK);
		ck_assert(!memcmp(dst, src, 64 * KIB));
	}
	munmap(src, 64 * KIB);
	munmap(dst, 64 * KIB);
}

static void ring_kicks(unsigned int flags, bool fixed, unsigned int sqe_flags,
		       uint32_t kick_flags)
{
	struct queue q = queue_new(8);
	struct io_uring ring;
	int r = io_uring_queue_init(8, &ring, flags);

	ck_assert_msg(!r, "a ring with %#x: %s", flags, strerror(-r));
	if (fixed) {
		ck_assert(!io_uring_register_files(&ring, &q.fd, 1));
		serves(&ring, 0, IOSQE_FIXED_FILE | sqe_flags, kick_flags, &q);
	} else {
		serves(&ring, q.fd, sqe_flags, kick_flags, &q);
	}
	io_uring_queue_exit(&ring);
	queue_free(&q);
	queues_left(0);
}

static void ring_with(unsigned int flags, bool fixed, unsigned int sqe_flags)
{
	ring_kicks(flags, fixed, sqe_flags, 0);
	if (kernel_cancels())
		ring_kicks(flags, fixed, sqe_flags, SHARQ_KICK_WAIT);
}

START_TEST(p5_plain_ring)
{
	ring_with(0, false, 0);
	ring_with(0, false, IOSQE_ASYNC);
}
END_TEST

START_TEST(p5_registered_files)
{
	ring_with(0, true, 0);
	ring_with(0, true, IOSQE_ASYNC);
}
END_TEST

START_TEST(p5_sqpoll_ring)
{
	ring_with(IORING_SETUP_SQPOLL, false, 0);
	ring_with(IORING_SETUP_SQPOLL, true, 0);
}
END_TEST

START_TEST(p5_defer_taskrun_ring)
{
	ring_with(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		  false, 0);
	ring_with(IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, true,
		  IOSQE_ASYNC);
}
END_TEST

START_TEST(p5_ring_with_128_byte_entries)
{
	ring_with(IORING_SETUP_SQE128, false, 0);
	ring_with(IORING_SETUP_CQE32, false, 0);
}
END_TEST

/* The file is registered, closed, and the ring alone keeps it. */
START_TEST(p5_registered_file_outlives_its_descriptor)
{
	struct queue q = queue_new(8);
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(8, &ring, 0));
	ck_assert(!io_uring_register_files(&ring, &q.fd, 1));
	ck_assert(!close(q.fd));
	slow_put(&q);
	queue_publish(&q);
	uring_prep(&ring, 0, 1, 0)->flags |= IOSQE_FIXED_FILE;
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(uring_result(&ring), 1);
	io_uring_queue_exit(&ring);
	ck_assert(!munmap(q.map, q.bind.map_size));
	queues_left(0);
}
END_TEST

static void forbid_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };

	CHILD_EXPECT(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHILD_EXPECT(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

START_TEST(p5_ioctl_kick_where_io_uring_is_forbidden)
{
	pid_t pid = spawn();

	if (!pid) {
		struct queue q;
		struct io_uring ring;
		uint8_t *src = memory(PAGE), *dst = memory(PAGE);
		struct sharq_desc d = desc_copy(dst, src, PAGE);

		forbid_io_uring();
		CHILD_EXPECT(io_uring_queue_init(4, &ring, 0) == -EPERM);
		q = queue_new(8);
		memset(src, 0x42, PAGE);
		CHILD_EXPECT(queue_run(&q, &d).status == SHARQ_OK);
		CHILD_EXPECT(!memcmp(src, dst, PAGE));
		queue_free(&q);
		_exit(0);
	}
	reap_well(pid);
}
END_TEST

/* ---- a kick that completes with its batch ---- */

START_TEST(p14_waiting_kick_completes_with_its_batch)
{
	struct queue q = queue_new(8);
	struct io_uring ring;
	int r;

	ck_assert(!io_uring_queue_init(8, &ring, 0));
	slow_put(&q);
	slow_put(&q);
	r = uring_kick(&ring, &q, SHARQ_KICK_WAIT);
	if (!kernel_cancels()) {
		ck_assert_int_eq(r, -EOPNOTSUPP);
		ck_assert_uint_eq(q.ring->sq_head, 0);
	} else {
		ck_assert_int_eq(r, 2);
		ck_assert_uint_eq(queue_completed(&q), 2);
	}
	io_uring_queue_exit(&ring);
	queue_free(&q);
	queues_left(0);
}
END_TEST

/* The commands go on and complete; the kick is gone with its ring. */
START_TEST(p14_waiting_kick_is_answered_once_whatever_its_ring_does)
{
	struct gate g = gate_new();
	struct queue q = queue_new(8);
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(8, &ring, 0));
	gate_put(&g, &q);
	queue_publish(&q);
	uring_prep(&ring, q.fd, 1, SHARQ_KICK_WAIT);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	if (!kernel_cancels()) {
		ck_assert_int_eq(uring_result(&ring), -EOPNOTSUPP);
		queue_kick(&q);
	}
	fuse_wait(&g.fuse);
	io_uring_queue_exit(&ring);
	ck_assert_uint_eq(queue_completed(&q), 0);
	gate_free(&g);
	gate_take(&q);
	queue_free(&q);
	queues_left(0);
}
END_TEST

/* If it weren't, it would hold the queue's file, and that the queue. */
START_TEST(p14_waiting_kick_holds_no_queue)
{
	struct gate g = gate_new();
	struct queue q = queue_new(8);
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(8, &ring, 0));
	gate_put(&g, &q);
	queue_publish(&q);
	uring_prep(&ring, q.fd, 1, SHARQ_KICK_WAIT);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	if (kernel_cancels())
		fuse_wait(&g.fuse);
	io_uring_queue_exit(&ring);
	queue_free(&q);
	queues_left(0);
	gate_free(&g);
}
END_TEST

/* ---- notice ---- */

START_TEST(eventfd_says_when_there_is_a_completion)
{
	struct queue q = queue_new(8);
	struct sharq_eventfd event = { .size = sizeof(event),
				       .fd = eventfd(0, EFD_CLOEXEC |
								EFD_NONBLOCK) };
	struct pollfd p = { .fd = event.fd, .events = POLLIN };
	struct sharq_desc nop = desc_nop();
	uint64_t n;

	ck_assert(!ioctl(q.fd, SHARQ_EVENTFD, &event));
	slow_put(&q);
	queue_kick(&q);
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert(read(event.fd, &n, sizeof(n)) == sizeof(n));
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(queue_completed(&q), 1);
	/* Let go of it: silence. */
	event.fd = -1;
	ck_assert(!ioctl(q.fd, SHARQ_EVENTFD, &event));
	queue_put(&q, &nop);
	queue_kick(&q);
	queue_wait(&q, 2);
	ck_assert(read(p.fd, &n, sizeof(n)) == -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(p.fd);
	queue_free(&q);
}
END_TEST

/* io_uring hands on what it was woken with. */
START_TEST(ring_s_poll_says_no_more_than_is_so)
{
	struct queue q = queue_new(8);
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int got;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, q.fd, POLLIN);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	slow_put(&q);
	queue_kick(&q);
	got = uring_result(&ring);
	ck_assert_msg(got & POLLIN && !(got & (POLLHUP | POLLERR)), "poll: %#x",
		      (unsigned int)got);
	slow_take(&q);
	io_uring_queue_exit(&ring);
	queue_free(&q);
}
END_TEST

/* As many as wait are to be woken: that isn't done for each. */
START_TEST(p13_chain_that_is_let_go_tells_seldom)
{
	struct gate g = gate_new();
	struct queue q = queue_new(64);
	struct sharq_eventfd event = { .size = sizeof(event),
				       .fd = eventfd(0, EFD_CLOEXEC) };
	struct sharq_desc nop = desc_nop();
	uint64_t n;

	ck_assert(!ioctl(q.fd, SHARQ_EVENTFD, &event));
	gate_put(&g, &q);
	nop.flags = SHARQ_DESC_FENCE;
	for (int i = 1; i < 64; i++)
		queue_put(&q, &nop);
	queue_kick(&q);
	gate_open(&g, &q);
	queue_wait(&q, 64);
	/* The last notice comes after what it is of. */
	queue_free(&q);
	queues_left(0);
	ck_assert(read(event.fd, &n, sizeof(n)) == sizeof(n));
	/* The gate's end, the chain's in parts, the queue's. */
	ck_assert_uint_ge(n, 1);
	ck_assert_uint_lt(n, 10);
	close(event.fd);
}
END_TEST

/* What is of kicks, or has its like in test_direct.c. */
static void add_shadow_only(Suite *s)
{
	GUEST_ADD(s, p5_killed_with_commands_in_flight, 900);
	GUEST_ADD(s, p5_exec_with_a_kick_outstanding, 120);
	GUEST_ADD(s, p5_ring_and_file_closed_in_both_orders, 120);
	GUEST_ADD(s, p13_fuse_never_answers_a_kick, 120);
	GUEST_ADD(s, p13_fuse_never_answers_a_kick_in_io_uring, 120);
	GUEST_ADD(s, p13_fuse_never_answers_a_kick_in_io_wq, 120);
	GUEST_ADD(s, p13_fuse_never_answers_the_stager, 120);
	GUEST_ADD(s, p13_fuse_never_answers_a_stager_that_cannot_be_killed,
		  120);
	GUEST_ADD(s, p5_plain_ring, 60);
	GUEST_ADD(s, p5_registered_files, 60);
	GUEST_ADD(s, p5_sqpoll_ring, 60);
	GUEST_ADD(s, p5_defer_taskrun_ring, 60);
	GUEST_ADD(s, p5_ring_with_128_byte_entries, 60);
	GUEST_ADD(s, p5_registered_file_outlives_its_descriptor, 60);
	GUEST_ADD(s, p5_ioctl_kick_where_io_uring_is_forbidden, 60);
	GUEST_ADD(s, p14_waiting_kick_completes_with_its_batch, 60);
	GUEST_ADD(s, p14_waiting_kick_is_answered_once_whatever_its_ring_does,
		  60);
	GUEST_ADD(s, p14_waiting_kick_holds_no_queue, 60);
	GUEST_ADD(s, ring_s_poll_says_no_more_than_is_so, 60);
	GUEST_ADD(s, p13_chain_that_is_let_go_tells_seldom, 60);
}

Suite *guest_suite(void)
{
	Suite *s = suite_create("kill");

	GUEST_ADD(s, p13_fuse_hangs_no_close, 120);
	GUEST_ADD(s, p13_fuse_hangs_no_dead_client_whose_file_others_hold, 60);
	GUEST_ADD(
		s,
		p13_slow_page_is_waited_for_while_any_thread_of_the_client_lives,
		60);
	GUEST_ADD(s, eventfd_says_when_there_is_a_completion, 60);
	if (queue_bind_request().path == SHARQ_BIND_SHADOW)
		add_shadow_only(s);
	return s;
}
