/* SPDX-License-Identifier: MIT */
/* The one-call helpers, also beyond the device's largest transfer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "suite.h"

/* What a helper splits isn't tried where it takes long to be split. */
#define SPLIT_MAX MIB

struct helper {
	struct session c;
	struct rng r;
	uint8_t *a, *b, *b2;
	size_t len;
};

/* Three transfers and a bit, if that is anything to ask for. */
static void helper_open(struct helper *h)
{
	session_open(&h->c, 16, 0);
	h->r.state = 55;
	h->len = 3 * MIB + 777;
	if (h->c.info.max_transfer <= SPLIT_MAX)
		h->len = 3 * (size_t)h->c.info.max_transfer + 777;
	h->a = xmalloc(h->len + 64);
	h->b = xmalloc(h->len + 64);
	h->b2 = xmalloc(h->len + 64);
	rng_text(&h->r, h->a, h->len);
}

static void helper_close(struct helper *h)
{
	free(h->a);
	free(h->b);
	free(h->b2);
	session_close(&h->c);
}

#define OK(call)                                                               \
	do {                                                                   \
		unsigned int status = 99;                                      \
		EXPECT_EQ(call, 0, #call);                                     \
		EXPECT(status == SHARQ_OK, "%s: %s", #call,                    \
		       sharq_status_name(status));                             \
	} while (0)

static void copies(void)
{
	struct helper h;
	uint32_t crc = 0;

	helper_open(&h);
	OK(sharq_copy(h.c.q, h.b, h.a, h.len, &status));
	EXPECT(!memcmp(h.a, h.b, h.len), "sharq_copy: other data");
	memset(h.b, 0, h.len);
	OK(sharq_copy_crc32c(h.c.q, h.b, h.a, h.len, 3, &crc, &status));
	EXPECT_EQ(crc, ref_crc32c(3, h.a, h.len), "sharq_copy_crc32c's crc");
	EXPECT(!memcmp(h.a, h.b, h.len), "sharq_copy_crc32c: other data");
	memset(h.b, 0, h.len);
	OK(sharq_dualcast(h.c.q, h.b, h.b2, h.a, h.len, &status));
	EXPECT(!memcmp(h.a, h.b, h.len) && !memcmp(h.a, h.b2, h.len),
	       "sharq_dualcast: other data");
	crc = 0;
	OK(sharq_crc32c(h.c.q, h.a, h.len, 3, &crc, &status));
	EXPECT_EQ(crc, ref_crc32c(3, h.a, h.len), "sharq_crc32c's crc");
	helper_close(&h);
}

/* Pieces of an overlapping copy must be taken from the right end. */
static void copy_overlap(void)
{
	static const size_t by[] = { 1, 63, 4097, 1048576, 1500000 };
	struct helper h;

	helper_open(&h);
	for (size_t i = 0; i < ARRAY_SIZE(by); i++) {
		size_t n = h.len - by[i];

		memcpy(h.b, h.a, h.len);
		OK(sharq_copy(h.c.q, h.b + by[i], h.b, n, &status));
		EXPECT(!memcmp(h.b + by[i], h.a, n), "upwards by %zu", by[i]);
		memcpy(h.b, h.a, h.len);
		OK(sharq_copy(h.c.q, h.b, h.b + by[i], n, &status));
		EXPECT(!memcmp(h.b, h.a + by[i], n), "downwards by %zu", by[i]);
	}
	helper_close(&h);
}

/* A pattern goes on where the piece before it ended. */
static void fill(void)
{
	static const uint8_t pattern[] = "ABCDEFGH";
	struct helper h;

	helper_open(&h);
	for (unsigned int n = 1; n <= SHARQ_MAX_PATTERN; n++) {
		size_t at = 0;

		h.b[h.len] = 0x77;
		OK(sharq_fill(h.c.q, h.b, h.len, pattern, n, &status));
		for (size_t i = 0; i < h.len; i++) {
			EXPECT(h.b[i] == pattern[at], "pattern of %u: byte %zu",
			       n, i);
			at = at + 1 == n ? 0 : at + 1;
		}
		EXPECT_EQ(h.b[h.len], 0x77, "the byte beyond");
	}
	helper_close(&h);
}

static void compare(void)
{
	unsigned int status;
	struct helper h;
	size_t offset;

	helper_open(&h);
	memcpy(h.b, h.a, h.len);
	OK(sharq_compare(h.c.q, h.a, h.b, h.len, &offset, &status));
	for (int i = 0; i < 12; i++) {
		size_t at = i == 0   ? 0
			    : i == 1 ? h.len - 1
			    : i == 2 && h.c.info.max_transfer < h.len
				    ? h.c.info.max_transfer
				    : rng_next(&h.r) % h.len;

		h.b[at] ^= 1;
		EXPECT_EQ(
			sharq_compare(h.c.q, h.a, h.b, h.len, &offset, &status),
			0, "sharq_compare");
		h.b[at] ^= 1;
		EXPECT_EQ(status, SHARQ_MISMATCH, "status");
		EXPECT_EQ(offset, at, "offset");
	}
	helper_close(&h);
}

/* What zlib makes of gzip members one after the other. */
static size_t inflate_members(uint8_t *dst, size_t room, const uint8_t *src,
			      size_t len, unsigned int format)
{
	z_stream z = { .next_in = (Bytef *)src, .avail_in = (uInt)len };
	size_t made = 0;
	int bits = format == SHARQ_FORMAT_RAW	 ? -15
		   : format == SHARQ_FORMAT_ZLIB ? 15
						 : 31;

	do {
		EXPECT_EQ(inflateInit2(&z, bits), Z_OK, "inflateInit2");
		z.next_out = dst + made;
		z.avail_out = (uInt)(room - made);
		EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END,
			  "zlib's inflate");
		made = (size_t)(z.next_out - dst);
		inflateEnd(&z);
	} while (z.avail_in && format == SHARQ_FORMAT_GZIP);
	EXPECT_EQ(z.avail_in, 0, "input left over");
	return made;
}

static void compress_one(struct helper *h, unsigned int format,
			 unsigned int level, size_t len)
{
	size_t bound = sharq_compress_bound(len), n = bound;
	uint8_t *packed = xmalloc(bound + 1);
	size_t at = 0, made = 0;

	packed[bound] = 0x77;
	OK(sharq_compress(h->c.q, packed, &n, h->a, len, format, level,
			  &status));
	EXPECT(n <= bound, "%zu bytes beyond the bound", n - bound);
	EXPECT_EQ(packed[bound], 0x77, "the byte beyond");
	EXPECT_EQ(inflate_members(h->b, h->len + 64, packed, n, format), len,
		  "zlib's length");
	EXPECT(!memcmp(h->a, h->b, len), "zlib read other data");
	memset(h->b, 0, len);
	while (at < n || !at) {
		size_t out = h->len + 64 - made, used = 0;

		OK(sharq_decompress(h->c.q, h->b + made, &out, packed + at,
				    n - at, &used, format, &status));
		EXPECT(used, "no input was consumed");
		made += out;
		at += used;
	}
	EXPECT_EQ(made, len, "our length");
	EXPECT(!memcmp(h->a, h->b, len), "we read other data");
	free(packed);
}

static void codec(void)
{
	struct helper h;

	helper_open(&h);
	for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++) {
		compress_one(&h, f, 1, 0);
		compress_one(&h, f, 0, 1000);
		compress_one(&h, f, 1, h.len);
		compress_one(&h, f, 6, h.len);
	}
	rng_fill(&h.r, h.a, h.len);
	for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++)
		compress_one(&h, f, 1, h.len);
	helper_close(&h);
}

static void codec_failures(void)
{
	struct helper h;
	unsigned int status;
	size_t n, out;

	helper_open(&h);
	for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++) {
		n = 100;
		EXPECT_EQ(sharq_compress(h.c.q, h.b, &n, h.a, h.len, f, 1,
					 &status),
			  0, "sharq_compress");
		EXPECT_EQ(status, SHARQ_NO_SPACE, "status with 100 bytes");
		n = ref_deflate(h.b, h.len, h.a, h.len, f, 1);
		out = h.len - 1;
		EXPECT_EQ(sharq_decompress(h.c.q, h.b2, &out, h.b, n, NULL, f,
					   &status),
			  0, "sharq_decompress");
		EXPECT_EQ(status, SHARQ_NO_SPACE, "status with a byte too few");
		out = h.len;
		EXPECT_EQ(sharq_decompress(h.c.q, h.b2, &out, h.b, n - 1, NULL,
					   f, &status),
			  0, "sharq_decompress");
		EXPECT_EQ(status, SHARQ_BAD_DATA, "status of a cut stream");
	}
	/* And a status of a wrong argument comes back too. */
	EXPECT_EQ(sharq_fill(h.c.q, h.b, 100, "x", 9, &status), 0, "fill");
	EXPECT_EQ(status, SHARQ_BAD_DESCRIPTOR, "status of a pattern of 9");
	helper_close(&h);
}

static void zero_length(void)
{
	uint32_t crc = 1;
	size_t offset;
	struct helper h;

	helper_open(&h);
	OK(sharq_copy(h.c.q, h.b, h.a, 0, &status));
	OK(sharq_fill(h.c.q, h.b, 0, "x", 1, &status));
	OK(sharq_compare(h.c.q, h.a, h.b, 0, &offset, &status));
	OK(sharq_crc32c(h.c.q, h.a, 0, 0xabcd, &crc, &status));
	EXPECT_EQ(crc, 0xabcd, "crc of nothing");
	OK(sharq_copy_crc32c(h.c.q, h.b, h.a, 0, 7, &crc, &status));
	EXPECT_EQ(crc, 7, "crc of nothing");
	OK(sharq_dualcast(h.c.q, h.b, h.b2, h.a, 0, &status));
	helper_close(&h);
}

static void busy(void)
{
	unsigned int status;
	struct helper h;
	uint32_t crc;

	helper_open(&h);
	sharq_prep_nop(sqe_get(h.c.q));
	EXPECT_EQ(sharq_crc32c(h.c.q, h.a, 10, 0, &crc, &status), -EBUSY,
		  "with one prepared");
	submit_all(h.c.q, 1);
	EXPECT_EQ(sharq_copy(h.c.q, h.b, h.a, 10, &status), -EBUSY,
		  "with one in flight");
	cqe_take(h.c.q);
	OK(sharq_copy(h.c.q, h.b, h.a, 10, &status));
	helper_close(&h);
}

const struct test helper_tests[] = {
	{ "helper_copies", copies, 60, 0 },
	{ "helper_copy_overlap", copy_overlap, 60, 0 },
	{ "helper_fill", fill, 60, 0 },
	{ "helper_compare", compare, 60, 0 },
	{ "helper_codec", codec, 120, 0 },
	{ "helper_codec_failures", codec_failures, 60, 0 },
	{ "helper_zero_length", zero_length, 30, 0 },
	{ "helper_busy", busy, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
