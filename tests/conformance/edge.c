/* SPDX-License-Identifier: MIT */
/* Overlap, known CRCs, patterns, and the device's largest transfer. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "suite.h"

/* Sanitizers need a multiple of it, 32-bit programs have no more. */
#if defined(SHARQ_SANITIZE) || !defined(__LP64__)
#define ROOM (1024 * MIB)
#else
#define ROOM SHARQ_MAX_TRANSFER
#endif

static void overlap_at(struct session *c, uint8_t *buf, uint8_t *want,
		       uint32_t len, uint32_t distance, bool up)
{
	struct rng r = { len + distance };
	size_t total = (size_t)len + distance;
	uint8_t *src = up ? buf : buf + distance;
	uint8_t *dst = up ? buf + distance : buf;
	struct sharq_cqe cqe;

	rng_fill(&r, buf, total);
	memcpy(want, buf, total);
	memmove(want + (dst - buf), want + (src - buf), len);
	sharq_prep_copy(sqe_get(c->q), dst, src, len);
	cqe = run_one(c->q);
	expect_status(&cqe, SHARQ_OK, "overlapping COPY");
	EXPECT(!memcmp(buf, want, total),
	       "COPY of %u bytes by %u %s isn't what memmove does", len,
	       distance, up ? "upwards" : "downwards");
}

/* Sizes beyond any slice, distances on both sides of slices' sizes. */
static void copy_overlap(void)
{
	static const uint32_t lens[] = { 2,	64,	 65,	     4097,
					 65536, 1048577, 3 * MIB + 5 };
	static const uint32_t distances[] = { 0,    1,	   7,	   8,
					      63,   64,	   65,	   4095,
					      4096, 65537, 262144, 1048576 };
	const size_t room = 5 * MIB;
	uint8_t *want = xmalloc(room), *heap = xmalloc(room), *shared;
	struct session c;

	session_open(&c, 8, 0);
	shared = xalloc(c.s, room);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(distances); j++) {
			for (int up = 0; up < 2; up++) {
				overlap_at(&c, shared, want, lens[i],
					   distances[j], up);
				overlap_at(&c, heap, want, lens[i],
					   distances[j], up);
			}
		}
	}
	sharq_free(c.s, shared);
	free(want);
	free(heap);
	session_close(&c);
}

/* RFC 3720, B.4. */
static void crc32c_rfc3720(void)
{
	static const uint8_t read_pdu[48] = {
		0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0,	0, 0, 0, 0,
		0x14, 0,    0, 0, 0, 0, 4, 0, 0,    0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, 0,    0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0,	0, 0, 0, 0,
	};
	uint8_t vectors[4][32];
	static const uint32_t want[4] = { 0x8a9136aa, 0x62a8ab43, 0x46dd794e,
					  0x113fdb5c };
	struct sharq_cqe cqe;
	struct session c;

	memset(vectors[0], 0, 32);
	memset(vectors[1], 0xff, 32);
	for (uint8_t i = 0; i < 32; i++) {
		vectors[2][i] = i;
		vectors[3][i] = 31 - i;
	}
	session_open(&c, 8, 0);
	for (int i = 0; i < 4; i++) {
		sharq_prep_crc32c(sqe_get(c.q), vectors[i], 32, 0);
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "CRC32C");
		EXPECT(cqe.crc == want[i], "vector %d: %08x, expected %08x", i,
		       cqe.crc, want[i]);
	}
	sharq_prep_crc32c(sqe_get(c.q), read_pdu, 48, 0);
	cqe = run_one(c.q);
	EXPECT(cqe.crc == 0xd9963a56, "iSCSI read PDU: %08x", cqe.crc);
	/* In two pieces, the second seeded by the first. */
	sharq_prep_crc32c(sqe_get(c.q), read_pdu, 17, 0);
	cqe = run_one(c.q);
	sharq_prep_crc32c(sqe_get(c.q), read_pdu + 17, 31, cqe.crc);
	cqe = run_one(c.q);
	EXPECT(cqe.crc == 0xd9963a56, "in two pieces: %08x", cqe.crc);
	session_close(&c);
}

static void fill_patterns(void)
{
	static const uint8_t pattern[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	const uint32_t len = 2 * MIB + 13;
	struct session c;
	uint8_t *p;

	session_open(&c, 8, 0);
	p = xalloc(c.s, len);
	for (unsigned int n = 1; n <= SHARQ_MAX_PATTERN; n++) {
		struct sharq_cqe cqe;

		sharq_prep_fill(sqe_get(c.q), p, len, pattern, n);
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "FILL");
		for (uint32_t i = 0, at = 0; i < len; i++) {
			EXPECT(p[i] == pattern[at],
			       "pattern of %u: byte %u is %u", n, i, p[i]);
			at = at + 1 == n ? 0 : at + 1;
		}
	}
	sharq_free(c.s, p);
	session_close(&c);
}

/* Every offset around the places where an implementation changes step. */
static void compare_offsets(void)
{
	static const uint32_t around[] = { 0,	  64,	  256,	   4096,
					   65536, 262144, 1048576, 1500000 };
	const uint32_t len = 1500007;
	struct rng r = { 3 };
	struct session c;
	uint8_t *a, *b;

	session_open(&c, 8, 0);
	a = xalloc(c.s, len);
	b = xmalloc(len);
	rng_fill(&r, a, len);
	memcpy(b, a, len);
	for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
		for (int d = -2; d <= 2; d++) {
			uint32_t at = around[i] + (uint32_t)d;
			struct sharq_cqe cqe;

			if (at >= len)
				continue;
			b[at] ^= 1;
			b[len - 1] ^= 2;
			sharq_prep_compare(sqe_get(c.q), a, b, len);
			cqe = run_one(c.q);
			b[at] ^= 1;
			b[len - 1] ^= 2;
			expect_status(&cqe, SHARQ_MISMATCH, "COMPARE");
			EXPECT_EQ(cqe.consumed, at, "first difference");
		}
	}
	sharq_free(c.s, a);
	free(b);
	session_close(&c);
}

/* Beyond this a device's largest transfer is tested by few operations. */
#define EVERY_OP_MAX (64 * MIB)

/* At what sharq_alloc() or, without a daemon, the heap gives. */
struct largest {
	struct session c;
	uint32_t max;
	uint8_t *a, *b;
};

static uint8_t *largest_memory(struct largest *l, size_t size)
{
	void *p;

	if (suite.path != SHARQ_PATH_INLINE)
		return xalloc(l->c.s, size);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	EXPECT(p != MAP_FAILED, "no room for %zu bytes", size);
	return p;
}

static void largest_free(struct largest *l, uint8_t *p, size_t size)
{
	if (suite.path != SHARQ_PATH_INLINE)
		sharq_free(l->c.s, p);
	else
		munmap(p, size);
}

static bool largest_open(struct largest *l)
{
	session_open(&l->c, 8, 0);
	l->max = l->c.info.max_transfer;
	return l->max > EVERY_OP_MAX;
}

static void largest_run(struct largest *l, unsigned int status,
			uint32_t consumed, uint32_t produced, const char *what)
{
	struct sharq_cqe cqe = run_one(l->c.q);

	expect_status(&cqe, status, what);
	EXPECT_EQ(cqe.consumed, consumed, what);
	EXPECT_EQ(cqe.produced, produced, what);
}

/* One buffer, so that a device of 1 GiB can be tested on a small machine. */
static void largest_one_buffer(struct largest *l)
{
	static const uint8_t pattern[3] = { 0xaa, 0xbb, 0xcc };
	const uint32_t max = l->max;
	struct sharq_queue *q = l->c.q;
	uint8_t out[128 * KIB];
	struct sharq_cqe cqe;

	l->a = largest_memory(l, (size_t)max + 64);
	sharq_prep_fill(sqe_get(q), l->a, max, pattern, 3);
	largest_run(l, SHARQ_OK, 0, max, "the largest FILL");
	for (uint32_t i = 0; i < 4096; i++) {
		uint32_t at = max - 4096 + i;

		EXPECT(l->a[i] == pattern[i % 3] && l->a[at] == pattern[at % 3],
		       "FILL is wrong near an end");
	}
	sharq_prep_compare(sqe_get(q), l->a, l->a + 3, max - 3);
	largest_run(l, SHARQ_OK, max - 3, 0, "COMPARE with itself, shifted");
	l->a[max - 1] ^= 1;
	sharq_prep_compare(sqe_get(q), l->a, l->a + 3, max - 3);
	largest_run(l, SHARQ_MISMATCH, max - 4, 0, "COMPARE");
	sharq_prep_crc32c(sqe_get(q), l->a, max, 5);
	cqe = run_one(q);
	expect_status(&cqe, SHARQ_OK, "the largest CRC32C");
	EXPECT_EQ(cqe.crc, ref_crc32c(5, l->a, max), "its crc");
	sharq_prep_copy(sqe_get(q), l->a + 1, l->a, max);
	largest_run(l, SHARQ_OK, max, max, "the largest COPY, overlapping");
	EXPECT_EQ(ref_crc32c(5, l->a + 1, max), cqe.crc, "crc after the COPY");
	/* Zeros shrink a thousandfold: but does the tail fit here? */
	memset(l->a, 0, max);
	sharq_prep_compress(sqe_get(q), out, sizeof(out), l->a,
			    max < 16 * MIB ? max : 16 * MIB, SHARQ_FORMAT_GZIP,
			    1);
	cqe = run_one(q);
	expect_status(&cqe, SHARQ_OK, "COMPRESS of zeros");
	largest_free(l, l->a, (size_t)max + 64);
}

static void one_more(struct largest *l)
{
	static const uint8_t pattern = 1;
	const uint32_t more = l->max + 1;
	struct sharq_queue *q = l->c.q;
	/* Nobody's memory: it is refused before that is touched. */
	uint8_t *a = (uint8_t *)(uintptr_t)4096;
	uint8_t *b = a + more, *b2 = b + more;
	const uint32_t n = SHARQ_FIELD_LEN;

	sharq_prep_copy(sqe_get(q), b, a, more);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "COPY of one more");
	sharq_prep_fill(sqe_get(q), b, more, &pattern, 1);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "FILL of one more");
	sharq_prep_compare(sqe_get(q), a, b, more);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "COMPARE of one more");
	sharq_prep_crc32c(sqe_get(q), a, more, 0);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "CRC32C of one more");
	sharq_prep_copy_crc32c(sqe_get(q), b, a, more, 0);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "COPY_CRC32C of one more");
	sharq_prep_dualcast(sqe_get(q), b, b2, a, more);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "DUALCAST of one more");
	sharq_prep_compress(sqe_get(q), b, 10, a, more, 0, 1);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "COMPRESS of one more");
	sharq_prep_decompress(sqe_get(q), b, 10, a, more, 0);
	largest_run(l, SHARQ_UNSUPPORTED, n, 0, "DECOMPRESS of one more");
	sharq_prep_decompress(sqe_get(q), b, more, a, 10, 0);
	largest_run(l, SHARQ_UNSUPPORTED, SHARQ_FIELD_DST_LEN, 0,
		    "DECOMPRESS into one more");
	sharq_prep_nop(sqe_get(q));
	largest_run(l, SHARQ_OK, 0, 0, "NOP afterwards");
}

static void largest(void)
{
	struct largest l;

	if (largest_open(&l) && l.max > ROOM)
		suite_skip("the device's largest transfer, %u bytes, is more "
			   "than %u bytes, which this build may use",
			   l.max, ROOM);
	largest_one_buffer(&l);
	session_close(&l.c);
}

static void largest_and_one_more(void)
{
	struct largest l;

	largest_open(&l);
	if (l.max == SHARQ_MAX_TRANSFER)
		suite_skip("one more than this device's largest transfer is "
			   "beyond 32 bits");
	one_more(&l);
	session_close(&l.c);
}

static void largest_copies(struct largest *l)
{
	struct sharq_queue *q = l->c.q;
	const uint32_t max = l->max;
	uint8_t *a = largest_memory(l, max), *b = largest_memory(l, max);
	uint8_t *b2 = largest_memory(l, max);
	struct rng r = { 77 };
	struct sharq_cqe cqe;

	rng_text(&r, a, max);
	sharq_prep_copy(sqe_get(q), b, a, max);
	largest_run(l, SHARQ_OK, max, max, "the largest COPY");
	EXPECT(!memcmp(a, b, max), "the largest COPY isn't right");
	memset(b, 0, max);
	sharq_prep_copy_crc32c(sqe_get(q), b, a, max, 9);
	cqe = run_one(q);
	expect_status(&cqe, SHARQ_OK, "the largest COPY_CRC32C");
	EXPECT_EQ(cqe.crc, ref_crc32c(9, a, max), "its crc");
	EXPECT(!memcmp(a, b, max), "the largest COPY_CRC32C isn't right");
	memset(b, 0, max);
	sharq_prep_dualcast(sqe_get(q), b, b2, a, max);
	largest_run(l, SHARQ_OK, max, max, "the largest DUALCAST");
	EXPECT(!memcmp(a, b, max) && !memcmp(a, b2, max),
	       "the largest DUALCAST isn't right");
	/* Room as large as the device allows, and the way back. */
	sharq_prep_compress(sqe_get(q), b, max, a, max, SHARQ_FORMAT_ZLIB, 1);
	cqe = run_one(q);
	expect_status(&cqe, SHARQ_OK, "the largest COMPRESS");
	EXPECT_EQ(ref_inflate(b2, max, b, cqe.produced, SHARQ_FORMAT_ZLIB), max,
		  "what zlib made of it");
	EXPECT(!memcmp(a, b2, max), "the largest COMPRESS isn't right");
	memset(b2, 0, max);
	sharq_prep_decompress(sqe_get(q), b2, max, b, cqe.produced,
			      SHARQ_FORMAT_ZLIB);
	largest_run(l, SHARQ_OK, cqe.produced, max, "the largest DECOMPRESS");
	EXPECT(!memcmp(a, b2, max), "the largest DECOMPRESS isn't right");
	largest_free(l, a, max);
	largest_free(l, b, max);
	largest_free(l, b2, max);
}

static void largest_every_op(void)
{
	struct largest l;

	if (largest_open(&l))
		suite_skip(
			"the device's largest transfer, %u bytes, is beyond "
			"the %u that this takes time for; 'largest' covers it",
			l.max, EVERY_OP_MAX);
	largest_copies(&l);
	session_close(&l.c);
}

const struct test edge_tests[] = {
	{ "copy_overlap", copy_overlap, 90, 0 },
	{ "crc32c_rfc3720", crc32c_rfc3720, 10, 0 },
	{ "fill_patterns", fill_patterns, 30, 0 },
	{ "compare_offsets", compare_offsets, 30, 0 },
	{ "largest", largest, 300, ALONE },
	{ "largest_and_one_more", largest_and_one_more, 60, ALONE },
	{ "largest_every_op", largest_every_op, 120, ALONE },
	{ NULL, NULL, 0, 0 },
};
