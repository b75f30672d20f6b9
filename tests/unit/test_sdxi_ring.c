/* SPDX-License-Identifier: MIT */
/* What the library makes of commands on an SDXI context. */
#include "sdxi_bench.h"

#include <stdlib.h>
#include <string.h>

START_TEST(copies_complete_in_order_whatever_the_functions)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char src[3][8] = { "first", "second", "third" }, dst[3][8] = { "" };

	for (int i = 0; i < 3; i++)
		bench_add_copy(b, 0, dst[i], src[i], 6 + i);
	bench_publish(b);
	bench_last_put(b, 2);
	ck_assert_uint_eq(b->ring.sq_head, 3);
	bench_run(b, 2);
	bench_run(b, 1);
	bench_nothing(b);
	ck_assert(!sdxi_idle(b->s));
	bench_run(b, 0);
	for (int i = 0; i < 3; i++) {
		bench_expect(b, SHARQ_OK, 6 + i);
		ck_assert_mem_eq(dst[i], src[i], 6 + i);
	}
	ck_assert_uint_eq(b->area->taken, 3);
	ck_assert(sdxi_idle(b->s));
	bench_free(b);
}
END_TEST

START_TEST(fence_is_the_functions)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "";

	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, SHARQ_DESC_FENCE);
	bench_add_copy(b, SHARQ_DESC_FENCE, mem, mem + 4, 4);
	bench_add(b, SHARQ_OP_FILL, SHARQ_DESC_FENCE);
	bench_add_copy(b, SHARQ_DESC_FENCE, mem, mem + 1, 4);
	bench_publish(b);
	bench_last_put(b, 4);
	ck_assert(!(bench_opcode_of(b, 0) & SDXI_DSC_FE));
	for (int i = 1; i < 5; i++)
		ck_assert(bench_opcode_of(b, i) & SDXI_DSC_FE);
	for (int i = 0; i < 5; i++)
		bench_run(b, i);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_OK, 4);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	bench_nothing(b);
	bench_run(b, 5);
	bench_expect(b, SHARQ_OK, 4);
	bench_free(b);
}
END_TEST

START_TEST(link_holds_back_what_follows)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK);
	bench_add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_last_put(b, 1);
	bench_run(b, 1);
	bench_look(b);
	bench_last_put(b, 1);
	bench_run(b, 0);
	bench_look(b);
	bench_last_put(b, 2);
	bench_run(b, 2);
	bench_look(b);
	bench_last_put(b, 4);
	bench_run(b, 4);
	bench_run(b, 3);
	for (int i = 0; i < 5; i++)
		bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(link_holds_for_what_is_published_later)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	bench_add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK);
	bench_publish(b);
	bench_add(b, SHARQ_OP_FILL, SHARQ_DESC_LINK);
	bench_publish(b);
	bench_last_put(b, 0);
	bench_run(b, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_run(b, 1);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_run(b, 2);
	bench_run(b, 3);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(failed_link_cancels_to_the_chains_end)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "unmoved";

	bench_add_copy(b, SHARQ_DESC_LINK, mem + 4, mem, 4);
	bench_add_copy(b, SHARQ_DESC_LINK, mem + 4, mem, 4);
	bench_publish(b);
	bench_fault(b, 0);
	bench_say(b, 0, SHARQ_FAULT_WRITE);
	bench_expect(b, SHARQ_FAULT_WRITE, 0);
	bench_run(b, 1);
	bench_expect(b, SHARQ_CANCELED, 0);
	/* The chain goes on in another batch, one of it malformed. */
	bench_add(b, SHARQ_OP_FILL, SHARQ_DESC_LINK);
	bench_add_copy(b, 0, mem + 4, mem, 4);
	bench_add_copy(b, 0, mem, mem + 4, 4);
	bench_publish(b);
	bench_run(b, 2);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_run(b, 3);
	bench_run(b, 4);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_expect(b, SHARQ_OK, 4);
	ck_assert_mem_eq(mem, "ved\0ved", 8);
	bench_free(b);
}
END_TEST

START_TEST(refused_link_cancels_too)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	bench_add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK)->len = 1;
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_last_put(b, 0);
	bench_run(b, 0);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	bench_run(b, 1);
	bench_run(b, 2);
	bench_expect(b, SHARQ_CANCELED, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(refused_ones_say_their_field_in_their_turn)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "";

	bench_add(b, SHARQ_OP_NOP, 0);
	bench_add_copy(b, 0, mem + 4, mem, 4);
	b->sq[1].reserved[2] = 1;
	bench_add_copy(b, 0, (void *)-8UL, mem, 8);
	bench_add_copy(b, 0, mem, (void *)-1UL, 2);
	bench_add_copy(b, 0, mem, (void *)(1UL << 30), (1 << 24) + 1);
	bench_add(b, SHARQ_OP_CRC32C, 0);
	bench_add(b, 200, 0);
	bench_add_copy(b, 1 << 15, mem + 4, mem, 4);
	bench_publish(b);
	bench_last_put(b, 7);
	for (int i = 1; i < 8; i++)
		bench_run(b, i);
	bench_nothing(b);
	bench_run(b, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_RESERVED);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_DST);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_SRC);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_LEN);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	bench_expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_FLAGS);
	bench_free(b);
}
END_TEST

/* What comes first of all that is published is looked at in another way. */
START_TEST(refused_ones_are_refused_alone_too)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "";
	const struct {
		void *dst, *src;
		uint32_t len;
		unsigned int status, field;
	} copies[] = {
		{ (void *)-8UL, mem, 8, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_DST },
		{ mem, (void *)-1UL, 2, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_SRC },
		{ mem, (void *)(1UL << 30), (1 << 24) + 1, SHARQ_UNSUPPORTED,
		  SHARQ_FIELD_LEN },
	};

	for (uint64_t i = 0; i < 3; i++) {
		bench_add_copy(b, 0, copies[i].dst, copies[i].src,
			       copies[i].len);
		bench_publish(b);
		bench_run(b, i);
		bench_expect(b, copies[i].status, copies[i].field);
	}
	bench_free(b);
}
END_TEST

START_TEST(what_the_queue_may_not_do_is_refused)
{
	struct bench *b =
		bench_new_ops(DEPTH, ENTRIES, SHARQ_OP_BIT(SHARQ_OP_COPY));

	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_run(b, 0);
	bench_expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	bench_free(b);
}
END_TEST

START_TEST(copy_of_nothing_touches_nothing)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	bench_add_copy(b, 0, (void *)1, (void *)2, 0);
	bench_publish(b);
	ck_assert_uint_eq(FIELD_GET(SDXI_DSC_SUBTYPE, bench_opcode_of(b, 0)),
			  SDXI_DMA_NOP);
	bench_run(b, 0);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(copy_onto_itself_is_a_memmove)
{
	static const uint32_t lens[] = { 2, 100, 256 << 10, (256 << 10) + 1,
					 1 << 20 };
	static const int32_t distances[] = { 0, 1, -1, 77, -77 };
	struct bench *b = bench_new(DEPTH, ENTRIES);
	size_t size = (1 << 20) + 256;
	char *mem = malloc(size), *want = malloc(size);

	for (unsigned int i = 0; i < 5 * 5; i++) {
		uint32_t len = lens[i / 5];
		char *src = mem + 128, *dst = src + distances[i % 5];

		for (size_t k = 0; k < size; k++)
			mem[k] = (char)(k * 7 + k / 251 + i);
		memcpy(want, mem, size);
		memmove(want + (dst - mem), want + 128, len);
		bench_add_copy(b, 0, dst, src, len);
		bench_publish(b);
		bench_run_to_completion(b);
		bench_expect(b, SHARQ_OK, len);
		ck_assert(!memcmp(mem, want, size));
	}
	free(mem);
	free(want);
	bench_free(b);
}
END_TEST

START_TEST(copy_onto_itself_is_one_command_among_others)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[] = "0123456789", more[] = "abcdefghij", other[4] = "";

	bench_add_copy(b, 0, other, "xyz", 3);
	bench_add_copy(b, SHARQ_DESC_LINK, mem + 1, mem, 8);
	bench_add_copy(b, 0, more, more + 1, 8);
	bench_add_copy(b, 0, other, other, 3);
	bench_publish(b);
	/* Its first step needn't wait, all behind that does. */
	bench_last_put(b, 1);
	bench_run(b, 1);
	bench_look(b);
	bench_last_put(b, 1);
	bench_run(b, 0);
	bench_expect(b, SHARQ_OK, 3);
	bench_last_put(b, 2);
	ck_assert_str_eq(mem, "0123456789");
	bench_run(b, 2);
	ck_assert_str_eq(mem, "0012345679");
	bench_expect(b, SHARQ_OK, 8);
	bench_last_put(b, 3);
	bench_run_to_completion(b);
	bench_expect(b, SHARQ_OK, 8);
	ck_assert_str_eq(more, "bcdefghiij");
	bench_run_to_completion(b);
	bench_expect(b, SHARQ_OK, 3);
	ck_assert_str_eq(other, "xyz");
	bench_free(b);
}
END_TEST

START_TEST(copy_onto_itself_ends_with_its_first_fault)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char *mem = malloc(1 << 20);

	memset(mem, 1, 1 << 20);
	for (unsigned int step = 0; step < 4; step++) {
		uint64_t first = b->first;

		bench_add_copy(b, SHARQ_DESC_LINK, mem + 1, mem, (1 << 20) - 1);
		bench_add(b, SHARQ_OP_NOP, 0);
		bench_publish(b);
		for (unsigned int i = 0; i < step; i++) {
			bench_run(b, first + i);
			bench_nothing(b);
		}
		bench_fault(b, first + step);
		bench_nothing(b);
		bench_say(b, first + step, SHARQ_FAULT_READ + step % 2);
		bench_expect(b, SHARQ_FAULT_READ + step % 2, 0);
		bench_run(b, first + step + 1);
		bench_expect(b, SHARQ_CANCELED, 0);
		/* Nothing of it is left. */
		memcpy(mem, "abc", 4);
		bench_add_copy(b, 0, mem + 1, mem, 4);
		bench_publish(b);
		bench_run_to_completion(b);
		bench_expect(b, SHARQ_OK, 4);
		ck_assert_str_eq(mem, "aabc");
	}
	free(mem);
	bench_free(b);
}
END_TEST

START_TEST(error_waits_for_its_word)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	static const unsigned int statuses[] = { SHARQ_FAULT_READ,
						 SHARQ_FAULT_WRITE,
						 SHARQ_RESET };

	/* Twice around, for slots that have old words. */
	for (int i = 0; i < 3 * ENTRIES; i++) {
		unsigned int status = statuses[i % 3];

		bench_add(b, SHARQ_OP_NOP, 0);
		bench_add(b, SHARQ_OP_NOP, 0);
		bench_publish(b);
		if (i & 1)
			bench_say(b, b->first, status);
		bench_run(b, b->first + 1);
		bench_nothing(b);
		bench_fault(b, b->first);
		if (!(i & 1)) {
			bench_nothing(b);
			bench_say(b, b->first - 2, status);
		}
		bench_expect(b, status, 0);
		bench_expect(b, SHARQ_OK, 0);
	}
	bench_free(b);
}
END_TEST

START_TEST(words_of_others_are_none)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	for (int i = 0; i < ENTRIES; i++) {
		bench_add(b, SHARQ_OP_NOP, 0);
		bench_publish(b);
		bench_fault(b, i);
		bench_say(b, i, SHARQ_FAULT_READ);
		bench_expect(b, SHARQ_FAULT_READ, 0);
	}
	/* That of the slot's former owner is still there. */
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_fault(b, ENTRIES);
	bench_nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_OK);
	bench_nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_STATUS_COUNT);
	bench_nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_RESET) & ~0x80ULL;
	bench_nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_RESET) | 1ULL << 63;
	bench_nothing(b);
	bench_say(b, ENTRIES, SHARQ_RESET);
	bench_expect(b, SHARQ_RESET, 0);
	/* And a word without an error says nothing. */
	bench_add(b, SHARQ_OP_NOP, 0);
	bench_publish(b);
	bench_say(b, ENTRIES + 1, SHARQ_FAULT_READ);
	bench_run(b, ENTRIES + 1);
	bench_expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(full_context_takes_what_it_can_around_and_around)
{
	struct bench *b = bench_new(SHARQ_MAX_DEPTH, 1024);
	char src[64], *dst = calloc(SHARQ_MAX_DEPTH, 64);
	unsigned int got = 0;

	for (uint32_t i = 0; i < SHARQ_MAX_DEPTH; i++) {
		memset(src, (int)i, sizeof(src));
		bench_add_copy(b, 0, dst + i * 64, src, 64);
	}
	bench_publish(b);
	bench_last_put(b, 1023);
	ck_assert_uint_eq(b->ring.sq_head, 1024);
	/* What is done but stands behind something makes no room. */
	for (int i = 1; i < 1024; i++)
		bench_run(b, i);
	bench_look(b);
	bench_last_put(b, 1023);
	bench_run(b, 0);
	for (; got < 1024; got++)
		bench_expect(b, SHARQ_OK, 64);
	for (; got < SHARQ_MAX_DEPTH; got++) {
		bench_last_put(b, got + 1023 < SHARQ_MAX_DEPTH
					  ? got + 1023
					  : SHARQ_MAX_DEPTH - 1);
		bench_run(b, got);
		bench_expect(b, SHARQ_OK, 64);
	}
	free(dst);
	bench_free(b);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sdxi ring");

	UNIT_ADD(suite, copies_complete_in_order_whatever_the_functions);
	UNIT_ADD(suite, fence_is_the_functions);
	UNIT_ADD(suite, link_holds_back_what_follows);
	UNIT_ADD(suite, link_holds_for_what_is_published_later);
	UNIT_ADD(suite, failed_link_cancels_to_the_chains_end);
	UNIT_ADD(suite, refused_link_cancels_too);
	UNIT_ADD(suite, refused_ones_say_their_field_in_their_turn);
	UNIT_ADD(suite, refused_ones_are_refused_alone_too);
	UNIT_ADD(suite, what_the_queue_may_not_do_is_refused);
	UNIT_ADD(suite, copy_of_nothing_touches_nothing);
	UNIT_ADD(suite, copy_onto_itself_is_a_memmove);
	UNIT_ADD(suite, copy_onto_itself_is_one_command_among_others);
	UNIT_ADD(suite, copy_onto_itself_ends_with_its_first_fault);
	UNIT_ADD(suite, error_waits_for_its_word);
	UNIT_ADD(suite, words_of_others_are_none);
	UNIT_ADD(suite, full_context_takes_what_it_can_around_and_around);
	return suite;
}
