// SPDX-License-Identifier: MIT
/* The soft device's direct path: no system call, no pin, the client's own faults. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "direct.h"
#include "fuse.h"
#include "gate.h"
#include "guest.h"
#include "handover.h"
#include "neighbour.h"
#include "swap.h"
#include "victim.h"

#define KILLS 50
#define NEIGHBOURS 8

static void direct_free_is(unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (queue_device().direct_free != n)
		ck_assert_msg(now_ms() < end, "%u contexts are free, not %u",
			      queue_device().direct_free, n);
}

/* Not by poll(): the file of one that is dead is ready anyway. */
static void wait_tail(const struct queue *q, uint32_t tail)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (__atomic_load_n(&q->ring->cq_tail, __ATOMIC_ACQUIRE) != tail)
		ck_assert_msg(now_ms() < end, "completion %u doesn't come",
			      tail);
}

/* ---- who gets it ---- */

START_TEST(p2_every_context_taken_is_busy_or_a_shadow_queue)
{
	struct sharq_ctl_device d = queue_device();
	unsigned int n = d.direct_free;
	struct queue *q = calloc(n, sizeof(*q));
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	struct sharq_desc nop = desc_nop();
	int fd;

	ck_assert(d.paths & 1U << SHARQ_BIND_DIRECT);
	ck_assert_uint_ge(n, 2);
	for (unsigned int i = 0; i < n; i++)
		q[i] = queue_new_direct(8);
	d = queue_device();
	ck_assert_uint_eq(d.direct_free, 0);
	ck_assert_uint_eq(d.direct_used, n);

	fd = queue_file(&request);
	bind.path = SHARQ_BIND_DIRECT;
	ck_assert_int_eq(queue_bind(fd, &bind), -EBUSY);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_BUSY);
	ck_assert_uint_eq(queue_seen(request.id).state, SHARQ_QUEUE_UNBOUND);
	bind = queue_bind_request();
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_BUSY);
	ck_assert(bind.flags & SHARQ_BOUND_SYNC_ONLY);
	ck_assert_uint_eq(queue_seen(request.id).reason, SHARQ_REASON_BUSY);
	close(fd);

	for (unsigned int i = 0; i < n; i++)
		ck_assert_uint_eq(queue_run(&q[i], &nop).status, SHARQ_OK);
	queue_free(&q[--n]);
	direct_free_is(1);
	q[n] = queue_new_direct(8);
	for (unsigned int i = 0; i <= n; i++)
		queue_free(&q[i]);
	direct_all_gone();
	free(q);
}
END_TEST

START_TEST(p3_client_is_told_that_it_has_the_direct_path)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	int fd = queue_file(&request);
	struct sharq_ctl_queue seen;

	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_DIRECT);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_NONE);
	ck_assert(!(bind.flags & SHARQ_BOUND_SYNC_ONLY));
	ck_assert_uint_ne(bind.bell_offset, bind.map_offset);
	seen = queue_seen(request.id);
	ck_assert_uint_eq(seen.path, SHARQ_BIND_DIRECT);
	ck_assert_uint_eq(seen.reason, SHARQ_REASON_NONE);
	ck_assert_int_eq(queue_ioctl_kick(fd, 1), -EOPNOTSUPP);
	close(fd);
	direct_all_gone();
}
END_TEST

/* Built before there was a doorbell in the answer. */
START_TEST(p3_client_that_knows_no_doorbell_gets_a_shadow_queue)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_bind bind = { .size = SHARQ_BIND_SIZE_SHADOW,
				   .path = SHARQ_BIND_DIRECT };
	int fd = queue_file(&request);

	ck_assert_int_eq(queue_bind(fd, &bind), -EINVAL);
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_REQUESTED);
	close(fd);
}
END_TEST

/* ---- memory ---- */

static void *untouched(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	return p;
}

static bool present(void *p)
{
	unsigned char there;

	ck_assert(!mincore(p, PAGE, &there));
	return there & 1;
}

static void copies(struct queue *q, const void *dst, const void *src,
		   uint32_t len)
{
	struct sharq_desc d = desc_copy(dst, src, len);

	ck_assert_uint_eq(queue_run(q, &d).status, SHARQ_OK);
}

static void faults(struct queue *q, const void *dst, const void *src,
		   uint32_t len, enum sharq_status status, const void *at)
{
	struct sharq_desc d = desc_copy(dst, src, len);
	struct sharq_cqe cqe = queue_run(q, &d);

	ck_assert_uint_eq(cqe.status, status);
	ck_assert(cqe.flags & SHARQ_CQE_ADDR_VALID);
	ck_assert_uint_eq(cqe.addr, (uintptr_t)at);
}

START_TEST(p3_device_touches_pages_that_nobody_touched)
{
	struct queue q = queue_new_direct(8);
	uint8_t *src = memory(MIB), *dst = untouched(MIB), *zero;

	memset(src, 0x5a, MIB);
	ck_assert(!present(dst + 100 * PAGE));
	copies(&q, dst + 100, src, MIB - PAGE);
	ck_assert(present(dst + 100 * PAGE));
	ck_assert(filled_with(dst, 0, 100));
	ck_assert(!memcmp(dst + 100, src, MIB - PAGE));
	zero = untouched(MIB);
	copies(&q, dst, zero, MIB);
	ck_assert(filled_with(dst, 0, MIB));
	queue_free(&q);
}
END_TEST

START_TEST(p3_device_copies_on_write)
{
	struct queue q = queue_new_direct(8);
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	int go[2];
	pid_t pid;
	char byte;

	memset(dst, 1, PAGE);
	memset(src, 2, PAGE);
	ck_assert(!pipe2(go, O_CLOEXEC));
	pid = spawn();
	if (!pid) {
		CHILD_EXPECT(read(go[0], &byte, 1) == 1);
		CHILD_EXPECT(filled_with(dst, 1, PAGE));
		_exit(0);
	}
	copies(&q, dst, src, PAGE);
	ck_assert(filled_with(dst, 2, PAGE));
	ck_assert(write(go[1], "", 1) == 1);
	reap_well(pid);
	close(go[0]);
	close(go[1]);
	queue_free(&q);
}
END_TEST

START_TEST(p3_what_the_client_may_not_do_is_a_fault)
{
	struct queue q = queue_new_direct(8);
	uint8_t *src = memory(4 * PAGE), *dst = memory(4 * PAGE);

	memset(src, 0x77, 4 * PAGE);
	ck_assert(!mprotect(dst + 2 * PAGE, PAGE, PROT_READ));
	faults(&q, dst + 10, src, 3 * PAGE, SHARQ_FAULT_WRITE, dst + 2 * PAGE);
	ck_assert(filled_with(dst + 2 * PAGE, 0, PAGE));
	ck_assert(!munmap(src + PAGE, PAGE));
	faults(&q, dst, src + 5, 2 * PAGE, SHARQ_FAULT_READ, src + PAGE);
	faults(&q, dst, src + PAGE + 5, 8, SHARQ_FAULT_READ, src + PAGE + 5);
	/* Mapped anew at the same address. */
	ck_assert(mmap(src + PAGE, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		       0) == src + PAGE);
	memset(src + PAGE, 0x78, PAGE);
	copies(&q, dst, src, 2 * PAGE);
	ck_assert(filled_with(dst, 0x77, PAGE));
	ck_assert(filled_with(dst + PAGE, 0x78, PAGE));
	queue_free(&q);
}
END_TEST

START_TEST(p3_swapped_pages_are_brought_back)
{
	struct queue q = queue_new_direct(8);
	uint8_t *src = untouched(64 * PAGE), *dst = untouched(64 * PAGE);
	uint8_t *want = memory(64 * PAGE);
	struct rng r = { 3 };

	swap_begin();
	ck_assert(!madvise(src, 64 * PAGE, MADV_NOHUGEPAGE));
	ck_assert(!madvise(dst, 64 * PAGE, MADV_NOHUGEPAGE));
	rng_fill(&r, want, 64 * PAGE);
	memcpy(src, want, 64 * PAGE);
	memset(dst, 0x33, 64 * PAGE);
	swap_out(src, 64);
	swap_out(dst, 64);
	copies(&q, dst + 10, src, 63 * PAGE);
	ck_assert_uint_eq(swapped(src, 63) + swapped(dst, 64), 0);
	ck_assert(filled_with(dst, 0x33, 10));
	ck_assert(!memcmp(dst + 10, want, 63 * PAGE));
	ck_assert(filled_with(dst + 10 + 63 * PAGE, 0x33, PAGE - 10));
	queue_free(&q);
	swap_end();
}
END_TEST

/* ---- fork ---- */

static void refused_everywhere(struct queue *q)
{
	struct sharq_bind bind = queue_bind_request();
	struct sharq_eventfd event = { .size = sizeof(event), .fd = -1 };
	const int rw = PROT_READ | PROT_WRITE;

	CHILD_EXPECT(queue_poll(q->fd, POLLIN) & POLLERR);
	CHILD_EXPECT(queue_bind(q->fd, &bind) == -EPERM);
	CHILD_EXPECT(queue_ioctl_kick(q->fd, 1) == -EPERM);
	CHILD_EXPECT(ioctl(q->fd, SHARQ_EVENTFD, &event) && errno == EPERM);
	CHILD_EXPECT(ioctl(q->fd, SHARQ_STOP, 0) && errno == EPERM);
	CHILD_EXPECT(mmap(NULL, q->bind.map_size, rw, MAP_SHARED, q->fd,
			  (off_t)q->bind.map_offset) == MAP_FAILED);
	CHILD_EXPECT(errno == EPERM);
	CHILD_EXPECT(mmap(NULL, PAGE, rw, MAP_SHARED, q->fd,
			  (off_t)q->bind.bell_offset) == MAP_FAILED);
	CHILD_EXPECT(errno == EPERM);
}

START_TEST(p4_fork_with_commands_in_flight)
{
	struct queue q = queue_new_direct(16);
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc copy = desc_copy(dst, src, PAGE);
	struct gate g = gate_new();
	unsigned char there;
	pid_t pid;

	memset(src, 0x66, PAGE);
	ck_assert(madvise((void *)q.bell, PAGE, MADV_DOFORK));
	gate_put(&g, &q);
	copy.flags = SHARQ_DESC_FENCE;
	queue_put(&q, &copy);
	direct_submit(&q);
	fuse_wait(&g.fuse);
	pid = spawn();
	if (!pid) {
		CHILD_EXPECT(mincore(q.map, PAGE, &there) && errno == ENOMEM);
		CHILD_EXPECT(mincore((void *)q.bell, PAGE, &there) &&
			     errno == ENOMEM);
		refused_everywhere(&q);
		CHILD_EXPECT(filled_with(dst, 0, PAGE));
		_exit(0);
	}
	reap_well(pid);
	ck_assert_uint_eq(queue_completed(&q), 0);
	fuse_free(&g.fuse);
	gate_take(&q);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert(filled_with(dst, 0x66, PAGE));
	queue_free(&q);
	direct_all_gone();
}
END_TEST

START_TEST(p4_who_is_handed_the_file_is_refused)
{
	struct queue q = queue_new_direct(8);
	struct sharq_desc nop = desc_nop();
	int pair[2];
	pid_t pid;

	handover_pair(pair);
	pid = spawn();
	if (!pid) {
		q.fd = handover_receive(pair[1]);
		refused_everywhere(&q);
		_exit(0);
	}
	handover_send(pair[0], q.fd);
	reap_well(pid);
	ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
	close(pair[0]);
	close(pair[1]);
	queue_free(&q);
}
END_TEST

/* ---- ends ---- */

#define HANGING 2

/* A queue whose device will hang in a page fault. */
static struct queue hanging_queue(uint8_t *at, bool write_to_it)
{
	struct queue q = queue_new_direct(8);
	uint8_t *mine = memory(64 * KIB);
	struct sharq_desc d = write_to_it ? desc_copy(at, mine, 5000)
					  : desc_copy(mine, at, 5000);

	queue_put(&q, &d);
	direct_put_nops(&q, 3);
	direct_submit(&q);
	return q;
}

/* Its queues hang; then it ends, or waits to be killed. */
static void hanging_client(const struct fuse *f, int flags, bool write_to_it,
			   enum end how, int go)
{
	uint8_t *map = fuse_map(f, flags);
	struct queue q[HANGING];
	char byte;

	for (int i = 0; i < HANGING; i++)
		q[i] = hanging_queue(map + i * FUSE_FILE_SIZE / HANGING + 100,
				     write_to_it);
	CHILD_EXPECT(read(go, &byte, 1) == 1);
	for (int i = 0; i < HANGING; i++)
		CHILD_EXPECT(!queue_completed(&q[i]));
	if (how == BY_EXIT_WITHOUT_FILE)
		close(q[1].fd);
	end_by(how, q[0].fd);
}

static void hang_and_end(int flags, bool write_to_it, enum end how)
{
	struct neighbour other = neighbour_start_direct();
	struct neighbour shadow = neighbour_start();
	struct fuse f = fuse_new(FUSE_READ);
	int go[2];
	pid_t pid;

	ck_assert(!pipe2(go, O_CLOEXEC));
	pid = spawn();
	if (!pid)
		hanging_client(&f, flags, write_to_it, how, go[0]);
	for (int i = 0; i < HANGING; i++)
		fuse_wait(&f);
	neighbour_advances(&other, 20);
	neighbour_advances(&shadow, 20);
	ck_assert(write(go[1], "", 1) == 1);
	reap_end(pid, how);
	queues_left(2);
	neighbour_advances(&other, 20);
	fuse_free(&f);
	neighbour_stop(&other);
	neighbour_stop(&shadow);
	close(go[0]);
	close(go[1]);
	direct_all_gone();
}

START_TEST(p13_fuse_never_answers_and_the_client_is_killed)
{
	hang_and_end(MAP_PRIVATE, false, BY_KILL);
	hang_and_end(MAP_SHARED, true, BY_KILL);
}
END_TEST

START_TEST(p13_fuse_never_answers_and_the_client_execs)
{
	hang_and_end(MAP_SHARED, false, BY_EXEC);
}
END_TEST

START_TEST(p13_fuse_never_answers_and_the_client_exits)
{
	hang_and_end(MAP_SHARED, false, BY_EXIT);
	hang_and_end(MAP_PRIVATE, true, BY_EXIT_WITHOUT_FILE);
}
END_TEST

/* The controller ends what hangs; the client is told of each command. */
START_TEST(p14_kill_completes_what_hangs)
{
	struct fuse f = fuse_new(FUSE_READ);
	struct queue q = queue_new_direct(8);
	uint8_t *map = fuse_map(&f, MAP_SHARED);
	struct sharq_desc d = desc_copy(map, memory(PAGE), PAGE);
	struct sharq_cqe cqe;

	d.user_data = 42;
	queue_put(&q, &d);
	direct_put_nops(&q, 3);
	direct_submit(&q);
	fuse_wait(&f);
	queue_control(q.id, SHARQ_CTL_KILL);
	wait_tail(&q, 4);
	cqe = queue_take(&q);
	ck_assert_uint_eq(cqe.user_data, 42);
	ck_assert_uint_eq(cqe.status, SHARQ_RESET);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_CANCELED);
	ck_assert_uint_eq(queue_stats(q.id).in_flight, 0);
	ck_assert(q.ring->device_flags & SHARQ_DEVICE_CLOSED);
	/* A doorbell that nobody hears is harmless. */
	queue_ring(&q);
	queue_free(&q);
	fuse_free(&f);
	direct_all_gone();
}
END_TEST

START_TEST(p5_killed_with_commands_in_flight_beside_8_others)
{
	unsigned int kills = guest_parameter("kills", KILLS);
	struct neighbour others[NEIGHBOURS];

	victim_file_new();
	for (int i = 0; i < NEIGHBOURS; i++)
		others[i] = i & 1 ? neighbour_start()
				  : neighbour_start_direct();
	for (unsigned int i = 0; i < kills; i++)
		victim_kill(i, queue_new_direct);
	queues_left(NEIGHBOURS);
	for (int i = 0; i < NEIGHBOURS; i++) {
		neighbour_advances(&others[i], 1);
		neighbour_stop(&others[i]);
	}
	direct_all_gone();
	victim_file_remove();
	printf("%u clients killed\n", kills);
}
END_TEST

START_TEST(p11_closing_one_of_two_queues_disturbs_nothing_in_the_other)
{
	struct queue mine = queue_new_direct(16);
	uint8_t *src = memory(64 * KIB), *dst = memory(64 * KIB);
	struct rng r = { 9 };

	victim_file_new();
	for (unsigned int i = 0; i < 20; i++) {
		struct queue other = queue_new_direct(16);
		struct sharq_desc d = desc_copy(dst, src, 64 * KIB);

		rng_fill(&r, src, 64 * KIB);
		victim_put_mix(&other, i);
		direct_submit(&other);
		for (int n = 0; n < 8; n++)
			queue_put(&mine, &d);
		direct_submit(&mine);
		queue_free(&other);
		queue_wait(&mine, 8);
		for (int n = 0; n < 8; n++)
			ck_assert_uint_eq(queue_take(&mine).status, SHARQ_OK);
		ck_assert(!memcmp(src, dst, 64 * KIB));
	}
	queue_free(&mine);
	direct_all_gone();
	victim_file_remove();
}
END_TEST

/* ---- rings ---- */

START_TEST(p6_ring_unmapped_mid_run_ends_nobody_but_its_client)
{
	struct neighbour other = neighbour_start_direct();

	victim_file_new();
	for (unsigned int i = 0; i < 20; i++) {
		struct queue q = queue_new_direct(16);

		victim_put_mix(&q, i);
		direct_submit(&q);
		ck_assert(!munmap(q.map, q.bind.map_size));
		ck_assert(!munmap((void *)q.bell, PAGE));
		ck_assert(!close(q.fd));
	}
	neighbour_advances(&other, 20);
	neighbour_stop(&other);
	direct_all_gone();
	victim_file_remove();
}
END_TEST

START_TEST(p14_link_and_fence_keep_their_order)
{
	struct queue q = queue_new_direct(8);
	uint8_t *a = memory(PAGE), *b = memory(PAGE);
	struct sharq_desc bad = desc_copy(b, NULL, 8), d = desc_copy(b, a, 64);
	const enum sharq_status expected[] = {
		SHARQ_FAULT_READ,     SHARQ_CANCELED, SHARQ_CANCELED, SHARQ_OK,
		SHARQ_BAD_DESCRIPTOR, SHARQ_CANCELED, SHARQ_OK,
	};
	struct sharq_desc wrong = desc_nop();

	memset(a, 3, PAGE);
	bad.flags = SHARQ_DESC_LINK;
	queue_put(&q, &bad);
	d.flags = SHARQ_DESC_LINK;
	queue_put(&q, &d);
	d.flags = SHARQ_DESC_FENCE;
	queue_put(&q, &d);
	direct_put_nops(&q, 1);
	wrong.len = 1;
	wrong.flags = SHARQ_DESC_LINK;
	queue_put(&q, &wrong);
	queue_put(&q, &d);
	d.flags = SHARQ_DESC_FENCE;
	queue_put(&q, &d);
	direct_submit(&q);
	queue_wait(&q, 7);
	for (int i = 0; i < 7; i++)
		ck_assert_uint_eq(queue_take(&q).status, expected[i]);
	ck_assert(filled_with(b, 3, 64));
	queue_free(&q);
}
END_TEST

START_TEST(statistics_add_up)
{
	struct queue q = queue_new_direct(8);
	uint8_t *a = memory(PAGE), *b = memory(PAGE);
	struct sharq_desc bad = desc_copy(b, NULL, 8);
	struct sharq_ctl_stats s;

	direct_put_nops(&q, 2);
	queue_kick(&q);
	queue_wait(&q, 2);
	queue_take(&q);
	queue_take(&q);
	copies(&q, b, a, 1000);
	ck_assert_uint_eq(queue_run(&q, &bad).status, SHARQ_FAULT_READ);
	s = queue_stats(q.id);
	ck_assert_uint_eq(s.commands, 4);
	ck_assert_uint_eq(s.bytes, 1000);
	ck_assert_uint_eq(s.by_status[SHARQ_OK], 3);
	ck_assert_uint_eq(s.by_status[SHARQ_FAULT_READ], 1);
	ck_assert_uint_eq(s.kicks, 0);
	ck_assert_uint_eq(s.in_flight, 0);
	ck_assert_uint_eq(s.pinned, 0);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("direct");

	GUEST_ADD(s, p2_every_context_taken_is_busy_or_a_shadow_queue, 60);
	GUEST_ADD(s, p3_client_is_told_that_it_has_the_direct_path, 60);
	GUEST_ADD(s, p3_client_that_knows_no_doorbell_gets_a_shadow_queue, 60);
	GUEST_ADD(s, p3_device_touches_pages_that_nobody_touched, 60);
	GUEST_ADD(s, p3_device_copies_on_write, 60);
	GUEST_ADD(s, p3_what_the_client_may_not_do_is_a_fault, 60);
	GUEST_ADD(s, p3_swapped_pages_are_brought_back, 60);
	GUEST_ADD(s, p4_fork_with_commands_in_flight, 60);
	GUEST_ADD(s, p4_who_is_handed_the_file_is_refused, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_is_killed, 120);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_execs, 120);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_exits, 120);
	GUEST_ADD(s, p14_kill_completes_what_hangs, 60);
	GUEST_ADD(s, p5_killed_with_commands_in_flight_beside_8_others, 300);
	GUEST_ADD(s,
		  p11_closing_one_of_two_queues_disturbs_nothing_in_the_other,
		  60);
	GUEST_ADD(s, p6_ring_unmapped_mid_run_ends_nobody_but_its_client, 60);
	GUEST_ADD(s, p14_link_and_fence_keep_their_order, 60);
	GUEST_ADD(s, statistics_add_up, 60);
	return s;
}
