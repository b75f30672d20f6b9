/* SPDX-License-Identifier: MIT */
#include "verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_MAX (64 * KIB)

/* One command: where its operands are and what its completion must say. */
struct run {
	struct arena *a;
	unsigned int op;
	uint32_t len;
	const uint8_t *src, *src2;
	uint8_t *dst, *dst2;
	char what[96];
};

static size_t buffer_size(uint32_t size)
{
	return ref_deflate_bound(size) + sharq_compress_bound(size) + 4 * GUARD;
}

void arena_open(struct arena *a, struct session *c, unsigned int kind,
		uint32_t size, struct rng *r)
{
	uint8_t **buffers[] = { &a->src, &a->src2, &a->dst, &a->dst2 };

	*a = (struct arena){ .c = c, .r = r, .kind = kind, .size = size };
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		void *p;

		if (kind == MEMORY_SHARED) {
			p = xalloc(c->s, buffer_size(size));
		} else {
			EXPECT(!posix_memalign(&p, 64, buffer_size(size)),
			       "no memory");
		}
		EXPECT(!((uintptr_t)p & 63), "memory not aligned to 64 bytes");
		*buffers[i] = p;
	}
}

void arena_close(struct arena *a)
{
	uint8_t *buffers[] = { a->src, a->src2, a->dst, a->dst2 };

	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		if (a->kind == MEMORY_SHARED)
			sharq_free(a->c->s, buffers[i]);
		else
			free(buffers[i]);
	}
}

static void guard(uint8_t *p, size_t len)
{
	memset(p - GUARD, 0xa5, len + 2 * GUARD);
}

static void expect_guard(const uint8_t *p, size_t len, const char *what)
{
	for (size_t i = 0; i < GUARD; i++) {
		EXPECT(p[-1 - (ptrdiff_t)i] == 0xa5,
		       "%s: byte %zu before the destination was written", what,
		       i + 1);
		EXPECT(p[len + i] == 0xa5,
		       "%s: byte %zu beyond the destination was written", what,
		       i);
	}
}

static void expect_same(const void *is, const void *want, size_t len,
			const char *what)
{
	const uint8_t *a = is, *b = want;
	size_t i = 0;

	if (!memcmp(is, want, len))
		return;
	while (a[i] == b[i])
		i++;
	EXPECT(false, "%s: byte %zu of %zu is %#x, expected %#x", what, i, len,
	       a[i], b[i]);
}

static void expect_counts(const struct sharq_cqe *cqe, uint32_t consumed,
			  uint32_t produced, const char *what)
{
	expect_status(cqe, SHARQ_OK, what);
	EXPECT(cqe->consumed == consumed && cqe->produced == produced,
	       "%s: consumed %u, produced %u, expected %u and %u", what,
	       cqe->consumed, cqe->produced, consumed, produced);
}

static void check_copy(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	struct sharq_cqe cqe;

	guard(v->dst, v->len);
	sharq_prep_copy(sqe_get(q), v->dst, v->src, v->len);
	cqe = run_one(q);
	expect_counts(&cqe, v->len, v->len, v->what);
	EXPECT_EQ(cqe.crc, 0, "COPY's crc");
	expect_same(v->dst, v->src, v->len, v->what);
	expect_guard(v->dst, v->len, v->what);
}

static void check_fill(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	unsigned int n = 1 + rng_below(v->a->r, SHARQ_MAX_PATTERN);
	uint8_t pattern[SHARQ_MAX_PATTERN];
	struct sharq_cqe cqe;

	rng_fill(v->a->r, pattern, sizeof(pattern));
	guard(v->dst, v->len);
	sharq_prep_fill(sqe_get(q), v->dst, v->len, pattern, n);
	cqe = run_one(q);
	expect_counts(&cqe, 0, v->len, v->what);
	for (uint32_t i = 0, at = 0; i < v->len; i++) {
		EXPECT(v->dst[i] == pattern[at],
		       "%s: byte %u is %#x, expected %#x (pattern of %u)",
		       v->what, i, v->dst[i], pattern[at], n);
		at = at + 1 == n ? 0 : at + 1;
	}
	expect_guard(v->dst, v->len, v->what);
}

static struct sharq_cqe compare(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;

	sharq_prep_compare(sqe_get(q), v->src, v->src2, v->len);
	return run_one(q);
}

static void check_compare(struct run *v)
{
	const uint32_t spots[] = { 0, v->len / 2, v->len - 1,
				   v->len ? rng_below(v->a->r, v->len) : 0 };
	struct sharq_cqe cqe = compare(v);

	expect_counts(&cqe, v->len, 0, v->what);
	/* A read-only second source can't be made to differ. */
	if (!v->len || v->src2 == v->src)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(spots); i++) {
		uint8_t *b = (uint8_t *)v->src2;

		b[spots[i]] ^= 0x80;
		b[v->len - 1] ^= 0x01;
		cqe = compare(v);
		b[v->len - 1] ^= 0x01;
		b[spots[i]] ^= 0x80;
		expect_status(&cqe, SHARQ_MISMATCH, v->what);
		EXPECT(cqe.consumed == spots[i],
		       "%s: first difference at %u, expected %u", v->what,
		       cqe.consumed, spots[i]);
	}
}

static void check_crc(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	uint32_t seed = (uint32_t)rng_next(v->a->r);
	bool copies = v->op == SHARQ_OP_COPY_CRC32C;
	struct sharq_cqe cqe;

	guard(v->dst, v->len);
	if (copies)
		sharq_prep_copy_crc32c(sqe_get(q), v->dst, v->src, v->len,
				       seed);
	else
		sharq_prep_crc32c(sqe_get(q), v->src, v->len, seed);
	cqe = run_one(q);
	expect_counts(&cqe, v->len, copies ? v->len : 0, v->what);
	EXPECT(cqe.crc == ref_crc32c(seed, v->src, v->len),
	       "%s: crc %08x, expected %08x", v->what, cqe.crc,
	       ref_crc32c(seed, v->src, v->len));
	if (copies)
		expect_same(v->dst, v->src, v->len, v->what);
	expect_guard(v->dst, v->len, v->what);
}

static void check_dualcast(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	struct sharq_cqe cqe;

	guard(v->dst, v->len);
	guard(v->dst2, v->len);
	sharq_prep_dualcast(sqe_get(q), v->dst, v->dst2, v->src, v->len);
	cqe = run_one(q);
	expect_counts(&cqe, v->len, v->len, v->what);
	expect_same(v->dst, v->src, v->len, v->what);
	expect_same(v->dst2, v->src, v->len, v->what);
	expect_guard(v->dst, v->len, v->what);
	expect_guard(v->dst2, v->len, v->what);
}

static void check_compress(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	unsigned int format = rng_below(v->a->r, SHARQ_FORMAT_COUNT);
	unsigned int level = rng_below(v->a->r, SHARQ_MAX_LEVEL + 1);
	uint32_t room = (uint32_t)sharq_compress_bound(v->len);
	uint8_t *back = xmalloc(v->len + 1);
	struct sharq_cqe cqe;

	guard(v->dst, room);
	sharq_prep_compress(sqe_get(q), v->dst, room, v->src, v->len, format,
			    level);
	cqe = run_one(q);
	expect_counts(&cqe, v->len, cqe.produced, v->what);
	EXPECT_EQ(ref_inflate(back, v->len + 1, v->dst, cqe.produced, format),
		  v->len, "what zlib made of it");
	expect_same(back, v->src, v->len, v->what);
	expect_guard(v->dst, room, v->what);
	free(back);
}

static void check_decompress(struct run *v)
{
	struct sharq_queue *q = v->a->c->q;
	unsigned int format = rng_below(v->a->r, SHARQ_FORMAT_COUNT);
	int level = (int)rng_below(v->a->r, 10);
	uint8_t *stream = (uint8_t *)v->src2;
	struct sharq_cqe cqe;
	size_t n;

	n = ref_deflate(stream, ref_deflate_bound(v->len), v->src, v->len,
			format, level);
	guard(v->dst, v->len);
	sharq_prep_decompress(sqe_get(q), v->dst, v->len, stream, (uint32_t)n,
			      format);
	cqe = run_one(q);
	expect_counts(&cqe, (uint32_t)n, v->len, v->what);
	expect_same(v->dst, v->src, v->len, v->what);
	expect_guard(v->dst, v->len, v->what);
}

/* What a device lacks it refuses, and touches nothing. */
static void check_lacking(struct run *v)
{
	const struct sharq_desc d = { .op = (__u8)v->op,
				      .len = v->len,
				      .src = (uintptr_t)v->src,
				      .dst = (uintptr_t)v->dst };
	struct sharq_cqe cqe;

	guard(v->dst, v->len);
	cqe = run_desc(v->a->c->q, &d);
	expect_status(&cqe, SHARQ_UNSUPPORTED, v->what);
	EXPECT_EQ(cqe.consumed, SHARQ_FIELD_OP, "the field that is refused");
	for (uint32_t i = 0; i < v->len; i++)
		EXPECT(v->dst[i] == 0xa5, "%s: byte %u was written", v->what,
		       i);
	expect_guard(v->dst, v->len, v->what);
}

static void check(struct run *v)
{
	if (!suite_has(v->op)) {
		check_lacking(v);
		return;
	}
	switch (v->op) {
	case SHARQ_OP_COPY:
		check_copy(v);
		break;
	case SHARQ_OP_FILL:
		check_fill(v);
		break;
	case SHARQ_OP_COMPARE:
		check_compare(v);
		break;
	case SHARQ_OP_CRC32C:
	case SHARQ_OP_COPY_CRC32C:
		check_crc(v);
		break;
	case SHARQ_OP_DUALCAST:
		check_dualcast(v);
		break;
	case SHARQ_OP_COMPRESS:
		check_compress(v);
		break;
	case SHARQ_OP_DECOMPRESS:
		check_decompress(v);
		break;
	default:
		EXPECT(false, "no check for operation %u", v->op);
	}
}

static void name(struct run *v, unsigned int src_at, unsigned int dst_at)
{
	snprintf(v->what, sizeof(v->what), "%s of %u bytes, at %u to %u, %s",
		 sharq_op_name(v->op), v->len, src_at, dst_at,
		 v->a->kind == MEMORY_SHARED ? "shared"
		 : v->a->kind == MEMORY_HEAP ? "heap"
					     : "stack");
}

static void on_stack(struct run *v, unsigned int src_at, unsigned int dst_at)
{
	uint8_t mem[4][STACK_MAX + 8 * GUARD] __attribute__((aligned(64)));

	memcpy(mem[0] + src_at, v->src, v->len);
	memcpy(mem[1] + src_at, v->src2, v->len);
	v->src = mem[0] + src_at;
	v->src2 = mem[1] + src_at;
	v->dst = mem[2] + GUARD + dst_at;
	v->dst2 = mem[3] + GUARD + dst_at;
	check(v);
}

void verify(struct arena *a, unsigned int op, uint32_t len, unsigned int src_at,
	    unsigned int dst_at)
{
	struct run v = { .a = a, .op = op, .len = len };

	if (a->kind == MEMORY_STACK &&
	    sharq_compress_bound(len) + ref_deflate_bound(len) > STACK_MAX)
		return;
	rng_text(a->r, a->src + src_at, len);
	memcpy(a->src2 + src_at, a->src + src_at, len);
	v.src = a->src + src_at;
	v.src2 = a->src2 + src_at;
	v.dst = a->dst + GUARD + dst_at;
	v.dst2 = a->dst2 + GUARD + dst_at;
	name(&v, src_at, dst_at);
	if (a->kind == MEMORY_STACK)
		on_stack(&v, src_at, dst_at);
	else
		check(&v);
}

void verify_copies(struct arena *a, uint32_t len, unsigned int src_at)
{
	struct run v = { .a = a, .op = SHARQ_OP_COPY, .len = len };
	struct sharq_queue *q = a->c->q;
	uint8_t *dst[64];

	v.src = a->src + src_at;
	rng_text(a->r, a->src + src_at, len);
	for (unsigned int at = 0; at < 64; at++) {
		struct sharq_sqe *sqe = sqe_get(q);

		dst[at] = a->dst + at * 8 * KIB + GUARD + at;
		guard(dst[at], len);
		sharq_prep_copy(sqe, dst[at], v.src, len);
		sharq_sqe_set_data64(sqe, at);
	}
	submit_all(q, 64);
	for (unsigned int i = 0; i < 64; i++) {
		struct sharq_cqe cqe = cqe_take(q);

		EXPECT(cqe.user_data < 64 && dst[cqe.user_data],
		       "a completion of no command, or a second one");
		name(&v, src_at, (unsigned int)cqe.user_data);
		expect_counts(&cqe, len, len, v.what);
		EXPECT_EQ(cqe.crc, 0, "COPY's crc");
		expect_same(dst[cqe.user_data], v.src, len, v.what);
		expect_guard(dst[cqe.user_data], len, v.what);
		dst[cqe.user_data] = NULL;
	}
}

void verify_readonly(struct arena *a, unsigned int op, uint32_t len)
{
	struct run v = { .a = a, .op = op, .len = len };
	uint8_t *map = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(map != MAP_FAILED, "no memory");
	rng_text(a->r, map, len);
	EXPECT(!mprotect(map, len, PROT_READ), "mprotect");
	v.src = map;
	v.src2 = op == SHARQ_OP_DECOMPRESS ? a->src2 : map;
	v.dst = a->dst + GUARD;
	v.dst2 = a->dst2 + GUARD;
	name(&v, 0, 0);
	check(&v);
	munmap(map, len);
}
