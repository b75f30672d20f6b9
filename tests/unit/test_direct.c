/* SPDX-License-Identifier: MIT */
/*
 * The library's direct queues on plain memory, with the test as their device: what
 * is prepared in the ring itself, by functions that are inline.
 */
#include "../bench/plain.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

static struct plain p;

static void begin(bool sdxi)
{
	ck_assert_int_eq(plain_new(&p, sdxi), 0);
}

static uint32_t bell(void)
{
	return *(volatile uint32_t *)p.bell;
}

static struct sharq_sqe *get(void)
{
	struct sharq_sqe *sqe = sharq_get_sqe(p.q);

	if (!sqe)
		ck_abort_msg("no entry");
	return sqe;
}

static void prepare(uint64_t user_data)
{
	struct sharq_sqe *sqe = get();

	sharq_prep_nop(sqe);
	sharq_sqe_set_data64(sqe, user_data);
}

static void submit(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		prepare(i);
	ck_assert_int_eq(sharq_submit(p.q), n);
}

static void expect(uint64_t user_data, unsigned int status)
{
	const struct sharq_cqe *cqe;

	ck_assert_int_eq(sharq_peek_cqe(p.q, &cqe), 0);
	ck_assert_uint_eq(cqe->user_data, user_data);
	ck_assert_uint_eq(cqe->status, status);
	sharq_cqe_seen(p.q, cqe);
}

static void expect_none(void)
{
	const struct sharq_cqe *cqe;

	ck_assert_int_eq(sharq_peek_cqe(p.q, &cqe), -EAGAIN);
}

START_TEST(entries_stand_in_the_ring_until_they_are_submitted)
{
	char from[8], to[8];
	struct sharq_sqe *sqe;

	begin(false);
	prepare(7);
	sqe = get();
	sharq_prep_copy(sqe, to, from, 8);
	sharq_sqe_set_flags(sqe, SHARQ_DESC_FENCE);
	sharq_sqe_set_data(sqe, to);
	ck_assert_uint_eq(p.ring->sq_tail, 0);
	ck_assert_uint_eq(bell(), 0);
	ck_assert_int_eq(sharq_submit(p.q), 2);
	ck_assert_uint_eq(p.ring->sq_tail, 2);
	ck_assert_uint_eq(bell(), 2);
	ck_assert_uint_eq(p.sq[0].user_data, 7);
	ck_assert_uint_eq(p.sq[1].op, SHARQ_OP_COPY);
	ck_assert_uint_eq(p.sq[1].flags, SHARQ_DESC_FENCE);
	ck_assert_uint_eq(p.sq[1].len, 8);
	ck_assert_uint_eq(p.sq[1].src, (uintptr_t)from);
	ck_assert_uint_eq(p.sq[1].dst, (uintptr_t)to);
	plain_complete(&p, 2);
	expect(7, SHARQ_OK);
	expect((uintptr_t)to, SHARQ_OK);
	expect_none();
	plain_free(&p);
}
END_TEST

/* A device that is told of nothing again and again never sleeps. */
START_TEST(submit_of_nothing_tells_nobody)
{
	for (int sdxi = 0; sdxi < 2; sdxi++) {
		begin(sdxi);
		submit(1);
		*(volatile uint32_t *)p.bell = 99;
		ck_assert_int_eq(sharq_submit(p.q), 0);
		ck_assert_uint_eq(p.ring->sq_tail, 1);
		ck_assert_uint_eq(bell(), 99);
		plain_complete(&p, 1);
		expect(0, SHARQ_OK);
		plain_free(&p);
	}
}
END_TEST

START_TEST(there_are_as_many_entries_as_the_queue_is_deep)
{
	for (int sdxi = 0; sdxi < 2; sdxi++) {
		begin(sdxi);
		submit(PLAIN_DEPTH);
		ck_assert_ptr_null(sharq_get_sqe(p.q));
		plain_complete(&p, PLAIN_DEPTH);
		ck_assert_ptr_null(sharq_get_sqe(p.q));
		expect(0, SHARQ_OK);
		ck_assert_uint_eq(sharq_queue_outstanding(p.q),
				  PLAIN_DEPTH - 1);
		submit(1);
		ck_assert_ptr_null(sharq_get_sqe(p.q));
		plain_complete(&p, 1);
		for (unsigned int i = 1; i < PLAIN_DEPTH; i++)
			expect(i, SHARQ_OK);
		expect(0, SHARQ_OK);
		expect_none();
		plain_free(&p);
	}
}
END_TEST

START_TEST(what_a_dead_device_never_took_is_canceled_once)
{
	struct sharq_queue_counts counts;

	begin(false);
	submit(8);
	plain_complete(&p, 3);
	p.ring->sq_head = 5;
	p.ring->device_flags |= SHARQ_DEVICE_CLOSED;
	prepare(99);
	ck_assert_int_eq(sharq_submit(p.q), -ESHUTDOWN);
	for (unsigned int i = 0; i < 3; i++)
		expect(i, SHARQ_OK);
	for (unsigned int i = 5; i < 8; i++)
		expect(i, SHARQ_CANCELED);
	expect_none();
	/* What it took it ends, and dies once more. */
	p.ring->device_flags |= SHARQ_DEVICE_QUARANTINED;
	expect_none();
	plain_complete(&p, 2);
	expect(3, SHARQ_OK);
	expect(4, SHARQ_OK);
	expect_none();
	ck_assert_int_eq(sharq_queue_counts(p.q, &counts), 0);
	ck_assert_uint_eq(counts.submitted, 8);
	ck_assert_uint_eq(counts.completed, 8);
	/* For ever, whatever the ring says. */
	p.ring->device_flags = SHARQ_DEVICE_NEED_KNOCK;
	prepare(99);
	ck_assert_int_eq(sharq_submit(p.q), -ESHUTDOWN);
	ck_assert_uint_eq(sharq_queue_outstanding(p.q), 0);
	plain_free(&p);
}
END_TEST

/* One is in a context, those behind it aren't: they end before it. */
START_TEST(p14_what_a_dead_context_holds_is_not_overwritten)
{
	struct sharq_sqe *sqe;

	begin(true);
	sqe = get();
	sharq_prep_nop(sqe);
	sharq_sqe_set_flags(sqe, SHARQ_DESC_LINK);
	sharq_sqe_set_data64(sqe, 100);
	for (unsigned int i = 1; i < PLAIN_DEPTH; i++)
		prepare(100 + i);
	ck_assert_int_eq(sharq_submit(p.q), PLAIN_DEPTH);
	ck_assert_uint_eq(p.ring->sq_head, 1);
	p.ring->device_flags |= SHARQ_DEVICE_CLOSED;
	for (unsigned int i = 1; i < PLAIN_DEPTH; i++) {
		expect(100 + i, SHARQ_CANCELED);
		prepare(99);
		ck_assert_int_eq(sharq_submit(p.q), -ESHUTDOWN);
	}
	expect_none();
	p.ring->device_flags |= SHARQ_DEVICE_SETTLED;
	expect(100, SHARQ_RESET);
	expect_none();
	plain_free(&p);
}
END_TEST

static bool late_done;

static void *be_late(void *unused)
{
	const struct timespec t = { .tv_nsec = 100000000 };

	nanosleep(&t, NULL);
	late_done = true;
	plain_complete(&p, 2);
	return unused;
}

/* What the device took is done to the caller's memory, though others are canceled. */
START_TEST(p14_close_waits_for_what_a_dead_device_took)
{
	pthread_t device;

	begin(false);
	submit(4);
	p.ring->sq_head = 2;
	p.ring->device_flags |= SHARQ_DEVICE_CLOSED;
	expect(2, SHARQ_CANCELED);
	expect(3, SHARQ_CANCELED);
	expect_none();
	ck_assert_int_eq(pthread_create(&device, NULL, be_late, NULL), 0);
	sharq_queue_close(p.q);
	ck_assert(late_done);
	pthread_join(device, NULL);
	sharq_disconnect(p.s);
}
END_TEST

START_TEST(no_memory_of_absurd_size)
{
	begin(false);
	ck_assert_ptr_null(sharq_alloc(p.s, SIZE_MAX));
	ck_assert_ptr_null(sharq_alloc(p.s, SIZE_MAX - 4095));
	ck_assert_ptr_null(sharq_alloc(p.s, SIZE_MAX / 2));
	plain_free(&p);
}
END_TEST

START_TEST(more_completions_than_commands_are_not_believed)
{
	begin(false);
	submit(2);
	p.ring->cq_tail = 3;
	expect_none();
	p.ring->cq_tail = 0;
	plain_complete(&p, 2);
	expect(0, SHARQ_OK);
	expect(1, SHARQ_OK);
	plain_free(&p);
}
END_TEST

START_TEST(child_gets_and_submits_nothing)
{
	int status;
	pid_t pid;

	begin(false);
	prepare(0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(sharq_get_sqe(p.q) || sharq_submit(p.q) != -EPERM ||
		      p.ring->sq_tail);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(sharq_submit(p.q), 1);
	plain_complete(&p, 1);
	expect(0, SHARQ_OK);
	plain_free(&p);
}
END_TEST

/* As programs do that can't include the inline ones. */
START_TEST(the_same_functions_are_in_the_library)
{
	struct sharq_sqe *(*volatile entry)(struct sharq_queue *) =
		sharq_get_sqe;
	void (*volatile nop)(struct sharq_sqe *) = sharq_prep_nop;
	void (*volatile data)(struct sharq_sqe *, uint64_t) =
		sharq_sqe_set_data64;
	int (*volatile sub)(struct sharq_queue *) = sharq_submit;
	struct sharq_sqe *sqe;

	begin(false);
	sqe = entry(p.q);
	ck_assert_ptr_eq(sqe, p.sq);
	nop(sqe);
	data(sqe, 5);
	ck_assert_int_eq(sub(p.q), 1);
	ck_assert_uint_eq(bell(), 1);
	plain_complete(&p, 1);
	expect(5, SHARQ_OK);
	plain_free(&p);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("direct");

	UNIT_ADD(suite, entries_stand_in_the_ring_until_they_are_submitted);
	UNIT_ADD(suite, submit_of_nothing_tells_nobody);
	UNIT_ADD(suite, there_are_as_many_entries_as_the_queue_is_deep);
	UNIT_ADD(suite, what_a_dead_device_never_took_is_canceled_once);
	UNIT_ADD(suite, p14_what_a_dead_context_holds_is_not_overwritten);
	UNIT_ADD(suite, p14_close_waits_for_what_a_dead_device_took);
	UNIT_ADD(suite, no_memory_of_absurd_size);
	UNIT_ADD(suite, more_completions_than_commands_are_not_believed);
	UNIT_ADD(suite, child_gets_and_submits_nothing);
	UNIT_ADD(suite, the_same_functions_are_in_the_library);
	return suite;
}
