/* SPDX-License-Identifier: MIT */
/* An SDXI context that pauses, dies, or works while the library does. */
#include "sdxi_bench.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define LAST_MOMENTS 4000

START_TEST(nothing_is_begun_in_a_pause)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[] = "0123456789";

	bench_add_copy(b, 0, mem + 1, mem, 8);
	bench_publish(b);
	bench_set_flags(b, SHARQ_DEVICE_PAUSED);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_run_to_completion(b);
	bench_expect(b, SHARQ_OK, 8);
	bench_nothing(b);
	ck_assert_uint_eq(b->ring.sq_head, 1);
	bench_set_flags(b, 0);
	bench_look(b);
	bench_run(b, 2);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(death_tells_done_begun_and_untouched)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	for (int i = 0; i < 9; i++)
		bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, 0)->len = 1;
	bench_add(b, SHARQ_OP_NOP, 0)->len = 1;
	bench_publish(b);
	bench_fault(b, 4);
	b->dscs[4].generic.opcode |= htole32(SDXI_DSC_VL);
	bench_fault(b, 5);
	bench_say(b, 5, SHARQ_FAULT_READ);
	bench_run(b, 6);
	bench_begin(b, 3);
	bench_run(b, 7);
	bench_run(b, 9);
	bench_set_flags(b, SHARQ_DEVICE_BROKEN);
	/* What isn't taken up yet never is: its owner cancels it. */
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_last_put(b, 10);
	bench_nothing(b);
	/* The hardware hasn't stopped yet. */
	bench_run(b, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_nothing(b);
	bench_set_flags(b, SHARQ_DEVICE_BROKEN | SHARQ_DEVICE_SETTLED);
	/* The first may have been begun without a trace. */
	bench_expect(b, SHARQ_RESET, 0);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_expect(b, SHARQ_RESET, 0);
	bench_expect(b, SHARQ_RESET, 0);
	bench_expect(b, SHARQ_FAULT_READ, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_nothing(b);
	ck_assert_uint_eq(b->ring.sq_head, 11);
	bench_free(b);
}
END_TEST

static struct bench *looked_at;
static uint64_t taken_at_first_store;

static void let_store(int sig)
{
	(void)sig;
	taken_at_first_store = looked_at->area->taken;
	mprotect((char *)looked_at->area + SHARQ_SDXI_RING, 4096,
		 PROT_READ | PROT_WRITE);
}

/* Who is stopped in between would look as if its context stood still. */
START_TEST(p13_oldest_block_is_new_when_it_is_the_oldest_no_more)
{
	const struct sigaction sa = { .sa_handler = let_store };
	struct bench *b = looked_at = bench_new(DEPTH, ENTRIES);

	for (int i = 0; i < 2; i++)
		bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_run(b, 0);
	bench_run(b, 1);
	ck_assert_int_eq(sigaction(SIGSEGV, &sa, NULL), 0);
	/* Its ring and its blocks. */
	ck_assert_int_eq(
		mprotect((char *)b->area + SHARQ_SDXI_RING, 4096, PROT_READ),
		0);
	sdxi_take(b->s);
	ck_assert_uint_eq(taken_at_first_store, 2);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

struct last_moment {
	struct bench *b;
	unsigned int go;
};

static void *finish_and_settle(void *arg)
{
	struct last_moment *l = arg;

	for (unsigned int i = 1; i <= LAST_MOMENTS; i++) {
		while (__atomic_load_n(&l->go, __ATOMIC_ACQUIRE) != i)
			sched_yield();
		bench_run(l->b, i - 1);
		bench_set_flags(l->b,
				SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
	}
	return NULL;
}

START_TEST(what_was_done_before_the_end_counts)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	struct last_moment l = { .b = b };
	pthread_t t;

	pthread_create(&t, NULL, finish_and_settle, &l);
	for (unsigned int i = 1; i <= LAST_MOMENTS; i++) {
		bench_set_flags(b, 0);
		bench_add(b, SHARQ_OP_NOP, 0);
		bench_publish(b);
		__atomic_store_n(&l.go, i, __ATOMIC_RELEASE);
		do
			sdxi_take(b->s);
		while (!sdxi_idle(b->s));
		while (!__atomic_load_n(&b->ring.device_flags,
					__ATOMIC_RELAXED))
			sched_yield();
		MUST(b->cq[b->cq_head++ % DEPTH].status == SHARQ_OK);
	}
	pthread_join(t, NULL);
	bench_free(b);
}
END_TEST

START_TEST(death_within_a_copy_onto_itself)
{
	static const unsigned int status[] = { SHARQ_RESET, SHARQ_RESET,
					       SHARQ_RESET, SHARQ_OK };
	char mem[] = "0123456789";

	for (int steps = 0; steps < 4; steps++) {
		struct bench *b = bench_new(DEPTH, ENTRIES);
		bool done = status[steps] == SHARQ_OK;

		bench_add_copy(b, 0, mem + 1, mem, 8);
		bench_add(b, SHARQ_OP_NOP, 0);
		bench_publish(b);
		if (steps > 0)
			bench_run(b, 0);
		/* Noticed by the client only later: 1. */
		if (steps > 1)
			bench_look(b);
		if (done)
			bench_run(b, 1);
		bench_set_flags(b, SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
		bench_look(b);
		bench_expect(b, status[steps], done ? 8 : 0);
		bench_nothing(b);
		ck_assert_uint_eq(b->ring.sq_head, 1);
		bench_free(b);
	}
}
END_TEST

/* A function of its own thread; the kernel's part is done by it, too. */
struct machine {
	struct bench *b;
	uint64_t die_at;
	unsigned int seed;
};

static bool barred(struct bench *b, uint64_t i)
{
	return i != b->first && bench_opcode_of(b, i) & SDXI_DSC_FE;
}

/* Which of those that may be run? */
static uint64_t choose(struct machine *m)
{
	struct bench *b = m->b;
	uint64_t i = b->first, end = bench_written(b);
	int skips = rand_r(&m->seed) % 4;

	for (uint64_t j = i; j < end && !barred(b, j); j++) {
		if (b->ran[j % b->entries])
			continue;
		i = j;
		if (!skips--)
			break;
	}
	return i;
}

static void *machine_main(void *arg)
{
	struct machine *m = arg;
	struct bench *b = m->b;
	uint64_t owed = UINT64_MAX, i;

	while (b->first < m->die_at) {
		if (b->first == bench_written(b)) {
			sched_yield();
		} else {
			i = choose(m);
			if (rand_r(&m->seed) % 8) {
				bench_run(b, i);
			} else if (owed == UINT64_MAX) {
				bench_fault(b, i);
				owed = i;
			}
		}
		if (owed != UINT64_MAX && rand_r(&m->seed) % 2) {
			bench_say(b, owed, SHARQ_FAULT_READ);
			owed = UINT64_MAX;
		}
	}
	bench_set_flags(b, SHARQ_DEVICE_CLOSED);
	sched_yield();
	if (b->first != bench_written(b))
		bench_begin(b, choose(m));
	bench_set_flags(b, SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
	return NULL;
}

static void add_some(struct bench *b, unsigned int *seed, char *mem)
{
	unsigned int flags = 0;

	if (!(rand_r(seed) % 8))
		flags |= SHARQ_DESC_FENCE;
	if (!(rand_r(seed) % 8))
		flags |= SHARQ_DESC_LINK;
	switch (rand_r(seed) % 4) {
	case 0:
		bench_add(b, SHARQ_OP_NOP, flags);
		break;
	case 1:
		bench_add(b, SHARQ_OP_FILL, flags);
		break;
	case 2:
		bench_add_copy(b, flags, mem, mem + 64, 64);
		break;
	default:
		bench_add_copy(b, flags, mem + 128, mem + 130, 64);
	}
}

START_TEST(each_command_completes_once_beside_a_running_function)
{
	for (unsigned int round = 0; round < 50; round++) {
		struct bench *b = bench_new(DEPTH, ENTRIES);
		struct machine m = { b, 100 + round * 7, round };
		unsigned int seed = round + 1000,
			     seen[SHARQ_STATUS_COUNT] = { 0 };
		struct sharq_cqe c;
		char mem[256] = "";
		pthread_t t;

		pthread_create(&t, NULL, machine_main, &m);
		do {
			if (b->sq_tail - b->cq_head < DEPTH)
				add_some(b, &seed, mem);
			bench_publish(b);
			while (bench_next(b, &c)) {
				MUST(c.user_data == b->cq_head - 1);
				seen[c.status]++;
			}
			sched_yield();
		} while (!(__atomic_load_n(&b->ring.device_flags,
					   __ATOMIC_ACQUIRE) &
			   SHARQ_DEVICE_SETTLED));
		pthread_join(t, NULL);
		/* A step of a copy onto itself may have no completion. */
		do {
			while (bench_next(b, &c)) {
				MUST(c.user_data == b->cq_head - 1);
				seen[c.status]++;
			}
		} while (!sdxi_idle(b->s));
		/* All that was taken up, and no more. */
		ck_assert_uint_eq(b->cq_head, b->ring.sq_head);
		ck_assert(sdxi_idle(b->s));
		ck_assert_uint_gt(seen[SHARQ_OK], 0);
		ck_assert_uint_gt(seen[SHARQ_FAULT_READ], 0);
		ck_assert_uint_gt(seen[SHARQ_UNSUPPORTED], 0);
		ck_assert_uint_le(seen[SHARQ_RESET], 3);
		bench_free(b);
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sdxi end");

	UNIT_ADD(suite, nothing_is_begun_in_a_pause);
	UNIT_ADD(suite, p13_oldest_block_is_new_when_it_is_the_oldest_no_more);
	UNIT_ADD(suite, death_tells_done_begun_and_untouched);
	UNIT_ADD(suite, what_was_done_before_the_end_counts);
	UNIT_ADD(suite, death_within_a_copy_onto_itself);
	UNIT_ADD(suite, each_command_completes_once_beside_a_running_function);
	return suite;
}
