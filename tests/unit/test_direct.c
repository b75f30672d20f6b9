/* SPDX-License-Identifier: MIT */
/*
 * The library's direct queues on plain memory, with the test as their device: what
 * is prepared in the ring itself, by functions that are inline.
 */
#include "../bench/plain.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
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
		ck_assert_uint_eq(sdxi ? p.area->write_index : p.ring->sq_tail,
				  1);
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

static void child_does_nothing(void)
{
	uint64_t before = bell();
	int status;
	pid_t pid;

	prepare(0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(sharq_get_sqe(p.q) || sharq_submit(p.q) != -EPERM ||
		      sharq_queue_outstanding(p.q) || bell() != before);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(sharq_submit(p.q), 1);
	plain_complete(&p, 1);
	expect(0, SHARQ_OK);
}

START_TEST(p4_child_gets_and_submits_nothing)
{
	for (int sdxi = 0; sdxi < 2; sdxi++) {
		begin(sdxi);
		child_does_nothing();
		child_does_nothing();
		plain_free(&p);
	}
}
END_TEST

/* ---- entries in a context's own slots ---- */

static void expect_slot(uint64_t i, uint32_t op, uint64_t src, uint64_t dst,
			uint32_t len)
{
	const union sdxi_dsc want = {
		.copy = { .opcode = htole32(0x10001 | op << 8),
			  .size = htole32(len ? len - 1 : 0),
			  .akey_src = htole16(SHARQ_SDXI_AKEY),
			  .akey_dst = htole16(SHARQ_SDXI_AKEY),
			  .addr_src = htole64(src),
			  .addr_dst = htole64(dst),
			  .csb_ptr = htole64((uintptr_t)&p.blocks[i]) },
	};

	ck_assert_mem_eq(&p.dscs[i], &want, sizeof(want));
	ck_assert_uint_eq(le64toh(p.blocks[i].signal), 1);
	ck_assert_uint_eq(p.blocks[i].flags, 0);
}

START_TEST(plain_entries_stand_in_a_contexts_slots)
{
	char from[8], to[8];
	struct sharq_sqe *sqe;

	begin(true);
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < PLAIN_DEPTH; i += 2) {
			prepare(7);
			sqe = get();
			sharq_prep_copy(sqe, to, from, 8);
			sharq_sqe_set_data(sqe, to);
		}
		ck_assert_uint_eq(p.area->write_index, round * PLAIN_DEPTH);
		ck_assert_int_eq(sharq_submit(p.q), PLAIN_DEPTH);
		ck_assert_uint_eq(p.area->write_index,
				  (round + 1) * PLAIN_DEPTH);
		ck_assert_uint_eq(bell(), (round + 1) * PLAIN_DEPTH);
		for (unsigned int i = 0; i < PLAIN_DEPTH; i += 2) {
			expect_slot(i, SDXI_DMA_NOP, 0, 0, 0);
			expect_slot(i + 1, SDXI_DMA_COPY, (uintptr_t)from,
				    (uintptr_t)to, 8);
		}
		plain_complete(&p, PLAIN_DEPTH);
		for (unsigned int i = 0; i < PLAIN_DEPTH; i += 2) {
			expect(7, SHARQ_OK);
			expect((uintptr_t)to, SHARQ_OK);
		}
	}
	plain_free(&p);
}
END_TEST

enum kind {
	NOP,
	COPY,
	ONTO_ITSELF,
	RAW,
	FILL,
	NOTHING,
	KINDS
};

static void prepare_kind(struct sharq_sqe *sqe, unsigned int kind, char *to,
			 char *from)
{
	const struct sharq_desc bad = { .op = SHARQ_OP_COUNT, .user_data = 9 };

	if (kind == NOP)
		sharq_prep_nop(sqe);
	else if (kind == COPY)
		sharq_prep_copy(sqe, to, from, 8);
	else if (kind == ONTO_ITSELF)
		sharq_prep_copy(sqe, to, to + 1, 8);
	else if (kind == RAW)
		sharq_prep_raw(sqe, &bad);
	else if (kind == FILL)
		sharq_prep_fill(sqe, to, 8, "x", 1);
}

/* The only one that is submitted. */
static void expect_kind(unsigned int kind, char *to, char *from)
{
	static const uint16_t status[KINDS] = {
		[RAW] = SHARQ_UNSUPPORTED, [FILL] = SHARQ_UNSUPPORTED
	};
	uint64_t at = p.taken % PLAIN_DEPTH;

	ck_assert_uint_eq(p.area->write_index, p.taken + 1);
	if (kind == COPY)
		expect_slot(at, SDXI_DMA_COPY, (uintptr_t)from, (uintptr_t)to,
			    8);
	else if (kind != ONTO_ITSELF)
		expect_slot(at, SDXI_DMA_NOP, 0, 0, 0);
	plain_complete(&p, 1);
	if (kind == ONTO_ITSELF) {
		expect_none();
		plain_complete(&p, 1);
	}
	expect(5, status[kind]);
	expect_none();
}

/* Of whatever kind both are, and whether it had flags meanwhile. */
START_TEST(entry_that_is_prepared_again_is_the_latter)
{
	char to[64], from[64];

	begin(true);
	for (unsigned int i = 0; i < 2 * KINDS * KINDS; i++) {
		unsigned int first = i / 2 / KINDS, second = i / 2 % KINDS;
		struct sharq_sqe *sqe = get();

		prepare_kind(sqe, first, to, from);
		if (i % 2)
			sharq_sqe_set_flags(sqe, SHARQ_DESC_FENCE);
		prepare_kind(sqe, second, to, from);
		sharq_sqe_set_flags(sqe, 0);
		sharq_sqe_set_data64(sqe, 5);
		ck_assert_int_eq(sharq_submit(p.q), 1);
		expect_kind(second == NOTHING ? first : second, to, from);
	}
	plain_free(&p);
}
END_TEST

static uint32_t below(uint32_t n)
{
	static uint64_t state = 29;

	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)((state >> 33) % n);
}

#define ARENA 96U
#define COMMANDS 200000U

/* One command of many, and what has to come of it. */
struct command {
	unsigned int status, consumed;
};

static uint8_t arena[ARENA], model[ARENA];
static struct command commands[PLAIN_DEPTH];
static uint64_t made, ended;
static bool chain, broken;

/* As the function: whatever is put, as it is put. */
static void run_one(void)
{
	const struct sdxi_dsc_copy *d = &p.dscs[p.taken % PLAIN_DEPTH].copy;
	uint32_t op = le32toh(d->opcode);

	ck_assert_uint_eq(op & SDXI_DSC_VL, SDXI_DSC_VL);
	if (FIELD_GET(SDXI_DSC_SUBTYPE, op) == SDXI_DMA_COPY)
		memcpy((void *)(uintptr_t)le64toh(d->addr_dst),
		       (void *)(uintptr_t)le64toh(d->addr_src),
		       le32toh(d->size) + 1);
	plain_complete(&p, 1);
}

static void check_completions(void)
{
	const struct sharq_cqe *cqe;

	for (; !sharq_peek_cqe(p.q, &cqe); ended++) {
		const struct command *c = &commands[ended % PLAIN_DEPTH];

		ck_assert_uint_eq(cqe->user_data, ended);
		ck_assert_uint_eq(cqe->status, c->status);
		ck_assert_uint_eq(cqe->consumed, c->consumed);
		sharq_cqe_seen(p.q, cqe);
	}
}

/* What it does to the model, in order, as all do. */
static void note_command(unsigned int kind, uint32_t to, uint32_t from,
			 uint32_t len, unsigned int flags)
{
	struct command *c = &commands[made++ % PLAIN_DEPTH];
	bool canceled = chain && broken;

	*c = (struct command){ canceled ? SHARQ_CANCELED : SHARQ_OK, 0 };
	if (!canceled && kind == 2)
		*c = (struct command){ SHARQ_UNSUPPORTED, SHARQ_FIELD_OP };
	else if (!canceled && kind == 3)
		*c = (struct command){ SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN };
	else if (!canceled && kind == 1)
		c->consumed = len;
	if (!canceled && kind == 1)
		memmove(model + to, model + from, len);
	chain = flags & SHARQ_DESC_LINK;
	broken = c->status != SHARQ_OK;
}

/* @plain: it can stand in a slot */
static void make_command(bool plain)
{
	const struct sharq_desc bad = { .len = 1 };
	unsigned int flags = plain || below(4) ? 0 : below(4);
	unsigned int kind = below(plain ? 2 : 4);
	uint32_t len = (plain ? 1 : 0) + below(ARENA / 3);
	uint32_t from = below(ARENA / 6), to = below(ARENA / 6);
	struct sharq_sqe *sqe = get();

	if (plain || below(2))
		*(below(2) ? &from : &to) += ARENA / 2;
	if (kind == 1)
		sharq_prep_copy(sqe, arena + to, arena + from, len);
	else if (kind == 2)
		sharq_prep_fill(sqe, arena, 4, "z", 1);
	else if (kind == 3)
		sharq_prep_raw(sqe, &bad);
	else if (below(2))
		sharq_prep_nop(sqe);
	if (flags)
		sharq_sqe_set_flags(sqe, flags);
	sharq_sqe_set_data64(sqe, made);
	note_command(kind, to, from, len, flags);
}

static void run_all(void)
{
	while (ended < made) {
		while (p.taken != p.area->write_index)
			run_one();
		check_completions();
	}
}

/* Plain and other commands, and pauses, in whatever order: each ends once, in order,
 * and as if they had been done one by one. */
START_TEST(p3_contexts_commands_of_every_kind_end_in_order)
{
	begin(true);
	for (unsigned int i = 0; i < ARENA; i++)
		arena[i] = model[i] = (uint8_t)i;
	while (made < COMMANDS) {
		unsigned int n = below(6) ? below(4) : below(PLAIN_DEPTH);
		unsigned int rough = below(16) ? 1000 : 2;

		for (; n && sharq_queue_outstanding(p.q) < PLAIN_DEPTH; n--)
			make_command(below(rough));
		if (!below(64))
			p.ring->device_flags |= SHARQ_DEVICE_PAUSED;
		if (below(4))
			ck_assert_int_ge(sharq_submit(p.q), 0);
		for (n = below(PLAIN_DEPTH);
		     n && p.taken != p.area->write_index; n--)
			run_one();
		if (below(2))
			check_completions();
		if (below(16))
			continue;
		p.ring->device_flags &= ~SHARQ_DEVICE_PAUSED;
		ck_assert_int_ge(sharq_submit(p.q), 0);
		run_all();
		ck_assert_uint_eq(sharq_queue_outstanding(p.q), 0);
	}
	p.ring->device_flags &= ~SHARQ_DEVICE_PAUSED;
	ck_assert_int_ge(sharq_submit(p.q), 0);
	run_all();
	ck_assert_mem_eq(arena, model, ARENA);
	expect_none();
	plain_free(&p);
}
END_TEST

START_TEST(nothing_is_put_into_a_context_in_a_pause)
{
	begin(true);
	submit(1);
	prepare(1);
	p.ring->device_flags |= SHARQ_DEVICE_PAUSED;
	ck_assert_int_eq(sharq_submit(p.q), 1);
	submit(2);
	ck_assert_uint_eq(p.area->write_index, 1);
	ck_assert_uint_eq(bell(), 1);
	plain_complete(&p, 1);
	expect(0, SHARQ_OK);
	expect_none();
	ck_assert_uint_eq(p.area->write_index, 1);
	p.ring->device_flags &= ~SHARQ_DEVICE_PAUSED;
	expect_none();
	ck_assert_uint_eq(p.area->write_index, 4);
	ck_assert_uint_eq(bell(), 4);
	plain_complete(&p, 3);
	expect(1, SHARQ_OK);
	expect(0, SHARQ_OK);
	expect(1, SHARQ_OK);
	expect_none();
	plain_free(&p);
}
END_TEST

/* Prepared and not submitted when the queue dies: never done, and never reported. */
START_TEST(p14_dead_context_takes_nothing_that_is_prepared)
{
	begin(true);
	submit(3);
	plain_complete(&p, 1);
	prepare(99);
	p.ring->device_flags |= SHARQ_DEVICE_CLOSED;
	expect(0, SHARQ_OK);
	expect_none();
	prepare(99);
	ck_assert_int_eq(sharq_submit(p.q), -ESHUTDOWN);
	ck_assert_uint_eq(p.area->write_index, 3);
	p.ring->device_flags |= SHARQ_DEVICE_SETTLED;
	expect(1, SHARQ_RESET);
	expect(2, SHARQ_CANCELED);
	expect_none();
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

/* Nor does what it took before, by whatever way, run once more. */
START_TEST(p14_dead_context_does_nothing_twice)
{
	const struct sharq_cqe *cqe;
	struct sharq_sqe *sqe;

	begin(true);
	for (unsigned int i = 0; i < PLAIN_DEPTH; i++) {
		sqe = get();
		sharq_prep_nop(sqe);
		sharq_sqe_set_flags(sqe, SHARQ_DESC_FENCE);
		sharq_sqe_set_data64(sqe, i);
	}
	ck_assert_int_eq(sharq_submit(p.q), PLAIN_DEPTH);
	plain_complete(&p, PLAIN_DEPTH);
	for (unsigned int i = 0; i < PLAIN_DEPTH; i++)
		expect(i, SHARQ_OK);
	submit(3);
	plain_hang_up(&p);
	ck_assert_int_eq(sharq_wait_cqe(p.q, &cqe, 20), -ETIME);
	ck_assert_uint_eq(p.area->write_index, PLAIN_DEPTH + 3);
	plain_complete(&p, 3);
	for (unsigned int i = 0; i < 3; i++)
		expect(i, SHARQ_OK);
	expect_none();
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
	UNIT_ADD(suite, p14_dead_context_does_nothing_twice);
	UNIT_ADD(suite, no_memory_of_absurd_size);
	UNIT_ADD(suite, more_completions_than_commands_are_not_believed);
	UNIT_ADD(suite, p4_child_gets_and_submits_nothing);
	UNIT_ADD(suite, plain_entries_stand_in_a_contexts_slots);
	UNIT_ADD(suite, entry_that_is_prepared_again_is_the_latter);
	UNIT_ADD(suite, p3_contexts_commands_of_every_kind_end_in_order);
	UNIT_ADD(suite, nothing_is_put_into_a_context_in_a_pause);
	UNIT_ADD(suite, p14_dead_context_takes_nothing_that_is_prepared);
	UNIT_ADD(suite, the_same_functions_are_in_the_library);
	return suite;
}
