/* SPDX-License-Identifier: MIT */
#include "sdxi_bench.h"

#include <stdlib.h>
#include <string.h>

struct bench *bench_new(uint32_t depth, uint32_t entries)
{
	/* More than a context has: it must know better. */
	return bench_new_ops(depth, entries, SHARQ_OPS_ALL);
}

struct bench *bench_new_ops(uint32_t depth, uint32_t entries, uint32_t ops)
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
	b->notes = aligned_alloc(4096, SDXI_NOTES_SIZE + size);
	memset(b->notes, 0, SDXI_NOTES_SIZE + size);
	b->area = (void *)(b->notes + SDXI_NOTES_SIZE);
	b->dscs = (void *)((char *)b->area + SHARQ_SDXI_RING);
	b->blocks = (void *)(b->dscs + entries);
	b->words = (void *)(b->blocks + entries);
	m = (struct sdxi_memory){
		.ring = &b->ring,
		.sq = b->sq,
		.cq = b->cq,
		.depth = depth,
		.entries = entries,
		.caps = { .ops = ops, .max_transfer = 1 << 24 },
		.area = b->area,
		.bell = &b->bell,
	};
	ck_assert_int_eq(sdxi_new(&b->s, &m), 0);
	return b;
}

void bench_free(struct bench *b)
{
	/* Nothing came that nobody expected. */
	ck_assert_uint_eq(b->ring.cq_tail, b->cq_head);
	sdxi_free(b->s);
	free(b->notes);
	free(b->ran);
	free(b->cq);
	free(b->sq);
	free(b);
}

/* The client's. Its user_data are the commands' numbers. */
struct sharq_desc *bench_add(struct bench *b, unsigned int op,
			     unsigned int flags)
{
	struct sharq_desc *d = &b->sq[sharq_ring_slot(b->sq_tail, b->depth)];

	MUST(b->sq_tail - b->cq_head < b->depth);
	*d = (struct sharq_desc){ .op = op,
				  .flags = flags,
				  .user_data = b->sq_tail++ };
	return d;
}

void bench_add_copy(struct bench *b, unsigned int flags, void *dst,
		    const void *src, uint32_t len)
{
	struct sharq_desc *d = bench_add(b, SHARQ_OP_COPY, flags);

	d->dst = (uintptr_t)dst;
	d->src = (uintptr_t)src;
	d->len = len;
}

void bench_publish(struct bench *b)
{
	__atomic_store_n(&b->ring.sq_tail, b->sq_tail, __ATOMIC_RELEASE);
	sdxi_put(b->s);
}

/* As the library does when it looks for completions. */
void bench_look(struct bench *b)
{
	sdxi_take(b->s);
	sdxi_put(b->s);
}

bool bench_next(struct bench *b, struct sharq_cqe *c)
{
	bench_look(b);
	if (b->cq_head == b->ring.cq_tail)
		return false;
	MUST(b->ring.cq_tail - b->cq_head <= b->depth);
	*c = b->cq[sharq_ring_slot(b->cq_head++, b->depth)];
	return true;
}

void bench_nothing(struct bench *b)
{
	struct sharq_cqe c;

	ck_assert(!bench_next(b, &c));
}

/* Commands complete in order, whatever the function does. */
void bench_expect(struct bench *b, unsigned int status, uint32_t consumed)
{
	uint64_t user_data = b->cq_head;
	struct sharq_cqe c;

	ck_assert(bench_next(b, &c));
	ck_assert_uint_eq(c.user_data, user_data);
	ck_assert_uint_eq(c.status, status);
	ck_assert_uint_eq(c.consumed, consumed);
	ck_assert_uint_eq(c.produced, status == SHARQ_OK ? consumed : 0);
	ck_assert_uint_eq(c.flags, 0);
	ck_assert_uint_eq(c.addr, 0);
	ck_assert_uint_eq(c.crc, 0);
}

/* The function's. */
uint64_t bench_written(const struct bench *b)
{
	return __atomic_load_n(&b->area->write_index, __ATOMIC_ACQUIRE);
}

uint32_t bench_opcode_of(struct bench *b, uint64_t i)
{
	return le32toh(b->dscs[i % b->entries].generic.opcode);
}

/* Is @i put, and nothing behind it? */
void bench_last_put(struct bench *b, uint64_t i)
{
	ck_assert_uint_eq(bench_written(b), i + 1);
	ck_assert_uint_eq(b->bell, i + 1);
}

static bool bench_is_zero(const void *p, size_t n)
{
	const char *c = p;

	while (n && !c[n - 1])
		n--;
	return !n;
}

static void bench_check_dsc(struct bench *b, const union sdxi_dsc *d,
			    uint64_t i)
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
		MUST(bench_is_zero(d->generic.operation,
				   sizeof(d->generic.operation)));
		return;
	}
	MUST(FIELD_GET(SDXI_DSC_SUBTYPE, opcode) == SDXI_DMA_COPY);
	MUST(!d->copy.attr);
	MUST(d->copy.akey_src == htole16(SHARQ_SDXI_AKEY));
	MUST(d->copy.akey_dst == htole16(SHARQ_SDXI_AKEY));
	MUST(bench_is_zero(d->copy.rsvd0, sizeof(d->copy.rsvd0)));
	MUST(bench_is_zero(d->copy.rsvd1, sizeof(d->copy.rsvd1)));
}

/* Take @i up: VL goes. */
union sdxi_dsc bench_begin(struct bench *b, uint64_t i)
{
	union sdxi_dsc *at = &b->dscs[i % b->entries], d;

	MUST(i < bench_written(b));
	MUST(!b->ran[i % b->entries]);
	/* Its first word before the rest, as it was put after it. */
	d.generic.opcode =
		__atomic_load_n(&at->generic.opcode, __ATOMIC_ACQUIRE);
	memcpy((char *)&d + 4, (char *)at + 4, sizeof(d) - 4);
	bench_check_dsc(b, &d, i);
	if (le32toh(d.generic.opcode) & SDXI_DSC_FE)
		MUST(i == b->first);
	__atomic_store_n(&at->generic.opcode,
			 d.generic.opcode & htole32(~(uint32_t)SDXI_DSC_VL),
			 __ATOMIC_RELAXED);
	return d;
}

static void bench_end(struct bench *b, uint64_t i, uint32_t flags)
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

static void bench_execute(const union sdxi_dsc *d)
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

void bench_run(struct bench *b, uint64_t i)
{
	union sdxi_dsc d = bench_begin(b, i);

	bench_execute(&d);
	bench_end(b, i, 0);
}

void bench_fault(struct bench *b, uint64_t i)
{
	bench_begin(b, i);
	bench_end(b, i, SDXI_CST_BLK_ER);
}

/* The kernel's. */
void bench_say(struct bench *b, uint64_t i, unsigned int status)
{
	__atomic_store_n(&b->words[i % b->entries], SHARQ_SDXI_FAULT(i, status),
			 __ATOMIC_RELEASE);
}

void bench_set_flags(struct bench *b, uint32_t flags)
{
	__atomic_store_n(&b->ring.device_flags, flags, __ATOMIC_RELEASE);
}

void bench_run_to_completion(struct bench *b)
{
	for (int i = 0; b->ring.cq_tail == b->cq_head; i++) {
		ck_assert_int_lt(i, 1000);
		while (b->first != bench_written(b))
			bench_run(b, b->first);
		bench_look(b);
	}
}
