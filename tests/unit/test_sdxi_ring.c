/* SPDX-License-Identifier: MIT */
/*
 * The library on an SDXI context, with a function of the test's own that checks
 * what it is given, and runs it when it is told to.
 */
#include "../../client/sdxi.h"
#include "ring.h"
#include "sdxi_hw.h"
#include "sharq_ioctl.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* libcheck's assertions write to a file, whatever comes of them. */
#define MUST(condition)                                                        \
	do {                                                                   \
		if (!(condition))                                              \
			ck_abort_msg("%s", #condition);                        \
	} while (0)

#define DEPTH 64
#define ENTRIES 16
#define LAST_MOMENTS 4000

/*
 * struct bench - a queue, its context and who works on them
 * @sq_tail, @cq_head: the client's
 * @first: the function has run all descriptors below
 * @ran:   and these, by slot
 */
struct bench {
	struct sharq_ring ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	uint32_t depth, entries;
	uint32_t sq_tail, cq_head;

	struct sharq_sdxi *area;
	union sdxi_dsc *dscs;
	struct sdxi_cst_blk *blocks;
	__u64 *words;
	__u64 bell;
	uint64_t first;
	bool *ran;

	struct sdxi *s;
};

static struct bench *bench_new(uint32_t depth, uint32_t entries)
{
	struct bench *b = aligned_alloc(SHARQ_CACHE_LINE, sizeof(*b));
	size_t size = (sdxi_area_size(entries) + 4095) & ~(size_t)4095;
	struct sdxi_memory m;

	memset(b, 0, sizeof(*b));
	b->depth = depth;
	b->entries = entries;
	b->sq = calloc(depth, sizeof(*b->sq));
	b->cq = calloc(depth, sizeof(*b->cq));
	b->ran = calloc(entries, sizeof(*b->ran));
	b->area = aligned_alloc(4096, size);
	memset(b->area, 0, size);
	b->dscs = (void *)((char *)b->area + SHARQ_SDXI_RING);
	b->blocks = (void *)(b->dscs + entries);
	b->words = (void *)(b->blocks + entries);
	m = (struct sdxi_memory){
		.ring = &b->ring,
		.sq = b->sq,
		.cq = b->cq,
		.depth = depth,
		.entries = entries,
		/* More than a context has: it must know better. */
		.caps = { .ops = SHARQ_OPS_ALL, .max_transfer = 1 << 24 },
		.area = b->area,
		.bell = &b->bell,
	};
	ck_assert_int_eq(sdxi_new(&b->s, &m), 0);
	return b;
}

static void bench_free(struct bench *b)
{
	/* Nothing came that nobody expected. */
	ck_assert_uint_eq(b->ring.cq_tail, b->cq_head);
	sdxi_free(b->s);
	free(b->area);
	free(b->ran);
	free(b->cq);
	free(b->sq);
	free(b);
}

/* The client's. Its user_data are the commands' numbers. */
static struct sharq_desc *add(struct bench *b, unsigned int op,
			      unsigned int flags)
{
	struct sharq_desc *d = &b->sq[sharq_ring_slot(b->sq_tail, b->depth)];

	MUST(b->sq_tail - b->cq_head < b->depth);
	*d = (struct sharq_desc){ .op = op,
				  .flags = flags,
				  .user_data = b->sq_tail++ };
	return d;
}

static void add_copy(struct bench *b, unsigned int flags, void *dst,
		     const void *src, uint32_t len)
{
	struct sharq_desc *d = add(b, SHARQ_OP_COPY, flags);

	d->dst = (uintptr_t)dst;
	d->src = (uintptr_t)src;
	d->len = len;
}

static void publish(struct bench *b)
{
	__atomic_store_n(&b->ring.sq_tail, b->sq_tail, __ATOMIC_RELEASE);
	sdxi_put(b->s);
}

/* As the library does when it looks for completions. */
static void look(struct bench *b)
{
	sdxi_take(b->s);
	sdxi_put(b->s);
}

static bool next(struct bench *b, struct sharq_cqe *c)
{
	look(b);
	if (b->cq_head == b->ring.cq_tail)
		return false;
	MUST(b->ring.cq_tail - b->cq_head <= b->depth);
	*c = b->cq[sharq_ring_slot(b->cq_head++, b->depth)];
	return true;
}

static void nothing(struct bench *b)
{
	struct sharq_cqe c;

	ck_assert(!next(b, &c));
}

/* Commands complete in order, whatever the function does. */
static void expect(struct bench *b, unsigned int status, uint32_t consumed)
{
	uint64_t user_data = b->cq_head;
	struct sharq_cqe c;

	ck_assert(next(b, &c));
	ck_assert_uint_eq(c.user_data, user_data);
	ck_assert_uint_eq(c.status, status);
	ck_assert_uint_eq(c.consumed, consumed);
	ck_assert_uint_eq(c.produced, status == SHARQ_OK ? consumed : 0);
	ck_assert_uint_eq(c.flags, 0);
	ck_assert_uint_eq(c.addr, 0);
	ck_assert_uint_eq(c.crc, 0);
}

/* The function's. */
static uint64_t written(const struct bench *b)
{
	return __atomic_load_n(&b->area->write_index, __ATOMIC_ACQUIRE);
}

static uint32_t opcode_of(struct bench *b, uint64_t i)
{
	return le32toh(b->dscs[i % b->entries].generic.opcode);
}

/* Is @i put, and nothing behind it? */
static void last_put(struct bench *b, uint64_t i)
{
	ck_assert_uint_eq(written(b), i + 1);
	ck_assert_uint_eq(b->bell, i + 1);
}

static bool is_zero(const void *p, size_t n)
{
	const char *c = p;

	while (n && !c[n - 1])
		n--;
	return !n;
}

static void check_dsc(struct bench *b, const union sdxi_dsc *d, uint64_t i)
{
	uint32_t opcode = le32toh(d->generic.opcode);
	const struct sdxi_cst_blk *block = &b->blocks[i % b->entries];

	MUST(opcode & SDXI_DSC_VL);
	MUST(!(opcode & ~(uint32_t)(SDXI_DSC_VL | SDXI_DSC_FE |
				    SDXI_DSC_SUBTYPE | SDXI_DSC_TYPE)));
	MUST(FIELD_GET(SDXI_DSC_TYPE, opcode) == SDXI_TYPE_DMA);
	MUST(le64toh(d->generic.csb_ptr) == (uintptr_t)block);
	MUST(le64toh(block->signal) == 1);
	MUST(!block->flags);
	if (FIELD_GET(SDXI_DSC_SUBTYPE, opcode) == SDXI_DMA_NOP) {
		MUST(is_zero(d->generic.operation,
			     sizeof(d->generic.operation)));
		return;
	}
	MUST(FIELD_GET(SDXI_DSC_SUBTYPE, opcode) == SDXI_DMA_COPY);
	MUST(!d->copy.attr);
	MUST(d->copy.akey_src == htole16(SHARQ_SDXI_AKEY));
	MUST(d->copy.akey_dst == htole16(SHARQ_SDXI_AKEY));
	MUST(is_zero(d->copy.rsvd0, sizeof(d->copy.rsvd0)));
	MUST(is_zero(d->copy.rsvd1, sizeof(d->copy.rsvd1)));
}

/* Take @i up: VL goes. */
static union sdxi_dsc begin(struct bench *b, uint64_t i)
{
	union sdxi_dsc *at = &b->dscs[i % b->entries], d;

	MUST(i < written(b));
	MUST(!b->ran[i % b->entries]);
	/* Its first word before the rest, as it was put after it. */
	d.generic.opcode =
		__atomic_load_n(&at->generic.opcode, __ATOMIC_ACQUIRE);
	memcpy((char *)&d + 4, (char *)at + 4, sizeof(d) - 4);
	check_dsc(b, &d, i);
	if (le32toh(d.generic.opcode) & SDXI_DSC_FE)
		MUST(i == b->first);
	__atomic_store_n(&at->generic.opcode,
			 d.generic.opcode & htole32(~(uint32_t)SDXI_DSC_VL),
			 __ATOMIC_RELAXED);
	return d;
}

static void end(struct bench *b, uint64_t i, uint32_t flags)
{
	struct sdxi_cst_blk *block = &b->blocks[i % b->entries];

	b->ran[i % b->entries] = true;
	while (b->ran[b->first % b->entries]) {
		b->ran[b->first % b->entries] = false;
		b->first++;
	}
	block->flags = htole32(flags);
	__atomic_store_n(&block->signal, 0, __ATOMIC_RELEASE);
}

static void execute(const union sdxi_dsc *d)
{
	char *dst = (char *)(uintptr_t)le64toh(d->copy.addr_dst);
	const char *src = (const char *)(uintptr_t)le64toh(d->copy.addr_src);
	size_t len = (size_t)le32toh(d->copy.size) + 1;

	if (FIELD_GET(SDXI_DSC_SUBTYPE, le32toh(d->generic.opcode)) ==
	    SDXI_DMA_NOP)
		return;
	MUST(dst + len <= src || src + len <= dst);
	memcpy(dst, src, len);
}

static void run(struct bench *b, uint64_t i)
{
	union sdxi_dsc d = begin(b, i);

	execute(&d);
	end(b, i, 0);
}

static void fault(struct bench *b, uint64_t i)
{
	begin(b, i);
	end(b, i, SDXI_CST_BLK_ER);
}

/* The kernel's. */
static void say(struct bench *b, uint64_t i, unsigned int status)
{
	__atomic_store_n(&b->words[i % b->entries], SHARQ_SDXI_FAULT(i, status),
			 __ATOMIC_RELEASE);
}

static void set_flags(struct bench *b, uint32_t flags)
{
	__atomic_store_n(&b->ring.device_flags, flags, __ATOMIC_RELEASE);
}

START_TEST(copies_complete_in_order_whatever_the_functions)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char src[3][8] = { "first", "second", "third" }, dst[3][8] = { "" };

	for (int i = 0; i < 3; i++)
		add_copy(b, 0, dst[i], src[i], 6 + i);
	publish(b);
	last_put(b, 2);
	ck_assert_uint_eq(b->ring.sq_head, 3);
	run(b, 2);
	run(b, 1);
	nothing(b);
	ck_assert(!sdxi_idle(b->s));
	run(b, 0);
	for (int i = 0; i < 3; i++) {
		expect(b, SHARQ_OK, 6 + i);
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

	add(b, SHARQ_OP_NOP, 0);
	add(b, SHARQ_OP_NOP, SHARQ_DESC_FENCE);
	add_copy(b, SHARQ_DESC_FENCE, mem, mem + 4, 4);
	add(b, SHARQ_OP_FILL, SHARQ_DESC_FENCE);
	add_copy(b, SHARQ_DESC_FENCE, mem, mem + 1, 4);
	publish(b);
	last_put(b, 4);
	ck_assert(!(opcode_of(b, 0) & SDXI_DSC_FE));
	for (int i = 1; i < 5; i++)
		ck_assert(opcode_of(b, i) & SDXI_DSC_FE);
	for (int i = 0; i < 5; i++)
		run(b, i);
	expect(b, SHARQ_OK, 0);
	expect(b, SHARQ_OK, 0);
	expect(b, SHARQ_OK, 4);
	expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	nothing(b);
	run(b, 5);
	expect(b, SHARQ_OK, 4);
	bench_free(b);
}
END_TEST

START_TEST(link_holds_back_what_follows)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	add(b, SHARQ_OP_NOP, 0);
	add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK);
	add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK);
	add(b, SHARQ_OP_NOP, 0);
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	last_put(b, 1);
	run(b, 1);
	look(b);
	last_put(b, 1);
	run(b, 0);
	look(b);
	last_put(b, 2);
	run(b, 2);
	look(b);
	last_put(b, 4);
	run(b, 4);
	run(b, 3);
	for (int i = 0; i < 5; i++)
		expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(failed_link_cancels_to_the_chains_end)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "unmoved";

	add_copy(b, SHARQ_DESC_LINK, mem + 4, mem, 4);
	add_copy(b, SHARQ_DESC_LINK, mem + 4, mem, 4);
	publish(b);
	fault(b, 0);
	say(b, 0, SHARQ_FAULT_WRITE);
	expect(b, SHARQ_FAULT_WRITE, 0);
	run(b, 1);
	expect(b, SHARQ_CANCELED, 0);
	/* The chain goes on in another batch, one of it malformed. */
	add(b, SHARQ_OP_FILL, SHARQ_DESC_LINK);
	add_copy(b, 0, mem + 4, mem, 4);
	add_copy(b, 0, mem, mem + 4, 4);
	publish(b);
	run(b, 2);
	expect(b, SHARQ_CANCELED, 0);
	run(b, 3);
	run(b, 4);
	expect(b, SHARQ_CANCELED, 0);
	expect(b, SHARQ_OK, 4);
	ck_assert_mem_eq(mem, "ved\0ved", 8);
	bench_free(b);
}
END_TEST

START_TEST(refused_link_cancels_too)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	add(b, SHARQ_OP_NOP, SHARQ_DESC_LINK)->len = 1;
	add(b, SHARQ_OP_NOP, 0);
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	last_put(b, 0);
	run(b, 0);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	run(b, 1);
	run(b, 2);
	expect(b, SHARQ_CANCELED, 0);
	expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(refused_ones_say_their_field_in_their_turn)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[8] = "";

	add(b, SHARQ_OP_NOP, 0);
	add_copy(b, 0, mem + 4, mem, 4);
	b->sq[1].reserved[2] = 1;
	add_copy(b, 0, (void *)-8UL, mem, 8);
	add_copy(b, 0, mem, (void *)-1UL, 2);
	add_copy(b, 0, mem, (void *)(1UL << 30), (1 << 24) + 1);
	add(b, SHARQ_OP_CRC32C, 0);
	add(b, 200, 0);
	add_copy(b, 1 << 15, mem + 4, mem, 4);
	publish(b);
	last_put(b, 7);
	for (int i = 1; i < 8; i++)
		run(b, i);
	nothing(b);
	run(b, 0);
	expect(b, SHARQ_OK, 0);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_RESERVED);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_DST);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_SRC);
	expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_LEN);
	expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	expect(b, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_FLAGS);
	bench_free(b);
}
END_TEST

START_TEST(copy_of_nothing_touches_nothing)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	add_copy(b, 0, (void *)1, (void *)2, 0);
	publish(b);
	ck_assert_uint_eq(FIELD_GET(SDXI_DSC_SUBTYPE, opcode_of(b, 0)),
			  SDXI_DMA_NOP);
	run(b, 0);
	expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

/* Run what is put until @b has a completion. */
static void run_to_completion(struct bench *b)
{
	for (int i = 0; b->ring.cq_tail == b->cq_head; i++) {
		ck_assert_int_lt(i, 1000);
		while (b->first != written(b))
			run(b, b->first);
		look(b);
	}
}

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
		add_copy(b, 0, dst, src, len);
		publish(b);
		run_to_completion(b);
		expect(b, SHARQ_OK, len);
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

	add_copy(b, 0, other, "xyz", 3);
	add_copy(b, SHARQ_DESC_LINK, mem + 1, mem, 8);
	add_copy(b, 0, more, more + 1, 8);
	add_copy(b, 0, other, other, 3);
	publish(b);
	/* Its first step needn't wait, all behind that does. */
	last_put(b, 1);
	run(b, 1);
	look(b);
	last_put(b, 1);
	run(b, 0);
	expect(b, SHARQ_OK, 3);
	last_put(b, 2);
	ck_assert_str_eq(mem, "0123456789");
	run(b, 2);
	ck_assert_str_eq(mem, "0012345679");
	expect(b, SHARQ_OK, 8);
	last_put(b, 3);
	run_to_completion(b);
	expect(b, SHARQ_OK, 8);
	ck_assert_str_eq(more, "bcdefghiij");
	run_to_completion(b);
	expect(b, SHARQ_OK, 3);
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

		add_copy(b, SHARQ_DESC_LINK, mem + 1, mem, (1 << 20) - 1);
		add(b, SHARQ_OP_NOP, 0);
		publish(b);
		for (unsigned int i = 0; i < step; i++) {
			run(b, first + i);
			nothing(b);
		}
		fault(b, first + step);
		nothing(b);
		say(b, first + step, SHARQ_FAULT_READ + step % 2);
		expect(b, SHARQ_FAULT_READ + step % 2, 0);
		run(b, first + step + 1);
		expect(b, SHARQ_CANCELED, 0);
		/* Nothing of it is left. */
		memcpy(mem, "abc", 4);
		add_copy(b, 0, mem + 1, mem, 4);
		publish(b);
		run_to_completion(b);
		expect(b, SHARQ_OK, 4);
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

		add(b, SHARQ_OP_NOP, 0);
		add(b, SHARQ_OP_NOP, 0);
		publish(b);
		if (i & 1)
			say(b, b->first, status);
		run(b, b->first + 1);
		nothing(b);
		fault(b, b->first);
		if (!(i & 1)) {
			nothing(b);
			say(b, b->first - 2, status);
		}
		expect(b, status, 0);
		expect(b, SHARQ_OK, 0);
	}
	bench_free(b);
}
END_TEST

START_TEST(words_of_others_are_none)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	for (int i = 0; i < ENTRIES; i++) {
		add(b, SHARQ_OP_NOP, 0);
		publish(b);
		fault(b, i);
		say(b, i, SHARQ_FAULT_READ);
		expect(b, SHARQ_FAULT_READ, 0);
	}
	/* That of the slot's former owner is still there. */
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	fault(b, ENTRIES);
	nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_OK);
	nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_STATUS_COUNT);
	nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_RESET) & ~0x80ULL;
	nothing(b);
	b->words[0] = SHARQ_SDXI_FAULT(ENTRIES, SHARQ_RESET) | 1ULL << 63;
	nothing(b);
	say(b, ENTRIES, SHARQ_RESET);
	expect(b, SHARQ_RESET, 0);
	/* And a word without an error says nothing. */
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	say(b, ENTRIES + 1, SHARQ_FAULT_READ);
	run(b, ENTRIES + 1);
	expect(b, SHARQ_OK, 0);
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
		add_copy(b, 0, dst + i * 64, src, 64);
	}
	publish(b);
	last_put(b, 1023);
	ck_assert_uint_eq(b->ring.sq_head, 1024);
	/* What is done but stands behind something makes no room. */
	for (int i = 1; i < 1024; i++)
		run(b, i);
	look(b);
	last_put(b, 1023);
	run(b, 0);
	for (; got < 1024; got++)
		expect(b, SHARQ_OK, 64);
	for (; got < SHARQ_MAX_DEPTH; got++) {
		last_put(b, got + 1023 < SHARQ_MAX_DEPTH ? got + 1023
							 : SHARQ_MAX_DEPTH - 1);
		run(b, got);
		expect(b, SHARQ_OK, 64);
	}
	free(dst);
	bench_free(b);
}
END_TEST

START_TEST(nothing_is_begun_in_a_pause)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);
	char mem[] = "0123456789";

	add_copy(b, 0, mem + 1, mem, 8);
	publish(b);
	set_flags(b, SHARQ_DEVICE_PAUSED);
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	run_to_completion(b);
	expect(b, SHARQ_OK, 8);
	nothing(b);
	ck_assert_uint_eq(b->ring.sq_head, 1);
	set_flags(b, 0);
	look(b);
	run(b, 2);
	expect(b, SHARQ_OK, 0);
	bench_free(b);
}
END_TEST

START_TEST(death_tells_done_begun_and_untouched)
{
	struct bench *b = bench_new(DEPTH, ENTRIES);

	for (int i = 0; i < 9; i++)
		add(b, SHARQ_OP_NOP, 0);
	add(b, SHARQ_OP_NOP, 0)->len = 1;
	add(b, SHARQ_OP_NOP, 0)->len = 1;
	publish(b);
	fault(b, 4);
	b->dscs[4].generic.opcode |= htole32(SDXI_DSC_VL);
	fault(b, 5);
	say(b, 5, SHARQ_FAULT_READ);
	run(b, 6);
	begin(b, 3);
	run(b, 7);
	run(b, 9);
	set_flags(b, SHARQ_DEVICE_BROKEN);
	/* What isn't taken up yet never is: its owner cancels it. */
	add(b, SHARQ_OP_NOP, 0);
	publish(b);
	last_put(b, 10);
	nothing(b);
	/* The hardware hasn't stopped yet. */
	run(b, 0);
	expect(b, SHARQ_OK, 0);
	nothing(b);
	set_flags(b, SHARQ_DEVICE_BROKEN | SHARQ_DEVICE_SETTLED);
	/* The first may have been begun without a trace. */
	expect(b, SHARQ_RESET, 0);
	expect(b, SHARQ_CANCELED, 0);
	expect(b, SHARQ_RESET, 0);
	expect(b, SHARQ_RESET, 0);
	expect(b, SHARQ_FAULT_READ, 0);
	expect(b, SHARQ_OK, 0);
	expect(b, SHARQ_OK, 0);
	expect(b, SHARQ_CANCELED, 0);
	expect(b, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	expect(b, SHARQ_CANCELED, 0);
	nothing(b);
	ck_assert_uint_eq(b->ring.sq_head, 11);
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
		run(l->b, i - 1);
		set_flags(l->b, SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
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
		set_flags(b, 0);
		add(b, SHARQ_OP_NOP, 0);
		publish(b);
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

		add_copy(b, 0, mem + 1, mem, 8);
		add(b, SHARQ_OP_NOP, 0);
		publish(b);
		if (steps > 0)
			run(b, 0);
		/* Noticed by the client only later: 1. */
		if (steps > 1)
			look(b);
		if (done)
			run(b, 1);
		set_flags(b, SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
		look(b);
		expect(b, status[steps], done ? 8 : 0);
		nothing(b);
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
	return i != b->first && opcode_of(b, i) & SDXI_DSC_FE;
}

/* Which of those that may be run? */
static uint64_t choose(struct machine *m)
{
	struct bench *b = m->b;
	uint64_t i = b->first, end = written(b);
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
		if (b->first == written(b)) {
			sched_yield();
		} else {
			i = choose(m);
			if (rand_r(&m->seed) % 8) {
				run(b, i);
			} else if (owed == UINT64_MAX) {
				fault(b, i);
				owed = i;
			}
		}
		if (owed != UINT64_MAX && rand_r(&m->seed) % 2) {
			say(b, owed, SHARQ_FAULT_READ);
			owed = UINT64_MAX;
		}
	}
	set_flags(b, SHARQ_DEVICE_CLOSED);
	sched_yield();
	if (b->first != written(b))
		begin(b, choose(m));
	set_flags(b, SHARQ_DEVICE_CLOSED | SHARQ_DEVICE_SETTLED);
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
		add(b, SHARQ_OP_NOP, flags);
		break;
	case 1:
		add(b, SHARQ_OP_FILL, flags);
		break;
	case 2:
		add_copy(b, flags, mem, mem + 64, 64);
		break;
	default:
		add_copy(b, flags, mem + 128, mem + 130, 64);
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
			publish(b);
			while (next(b, &c)) {
				MUST(c.user_data == b->cq_head - 1);
				seen[c.status]++;
			}
			sched_yield();
		} while (!(__atomic_load_n(&b->ring.device_flags,
					   __ATOMIC_ACQUIRE) &
			   SHARQ_DEVICE_SETTLED));
		pthread_join(t, NULL);
		while (next(b, &c)) {
			MUST(c.user_data == b->cq_head - 1);
			seen[c.status]++;
		}
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
	Suite *suite = suite_create("sdxi ring");

	UNIT_ADD(suite, copies_complete_in_order_whatever_the_functions);
	UNIT_ADD(suite, fence_is_the_functions);
	UNIT_ADD(suite, link_holds_back_what_follows);
	UNIT_ADD(suite, failed_link_cancels_to_the_chains_end);
	UNIT_ADD(suite, refused_link_cancels_too);
	UNIT_ADD(suite, refused_ones_say_their_field_in_their_turn);
	UNIT_ADD(suite, copy_of_nothing_touches_nothing);
	UNIT_ADD(suite, copy_onto_itself_is_a_memmove);
	UNIT_ADD(suite, copy_onto_itself_is_one_command_among_others);
	UNIT_ADD(suite, copy_onto_itself_ends_with_its_first_fault);
	UNIT_ADD(suite, error_waits_for_its_word);
	UNIT_ADD(suite, words_of_others_are_none);
	UNIT_ADD(suite, full_context_takes_what_it_can_around_and_around);
	UNIT_ADD(suite, nothing_is_begun_in_a_pause);
	UNIT_ADD(suite, death_tells_done_begun_and_untouched);
	UNIT_ADD(suite, what_was_done_before_the_end_counts);
	UNIT_ADD(suite, death_within_a_copy_onto_itself);
	UNIT_ADD(suite, each_command_completes_once_beside_a_running_function);
	return suite;
}
