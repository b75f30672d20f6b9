/* SPDX-License-Identifier: MIT */
/*
 * COMPRESS and DECOMPRESS against zlib: each reads what the other writes, in
 * every format, at every level.
 */
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* Beyond any slice, and not a multiple of anything. */
#define LONG (700 * KIB + 13)

/* A format is a frame around the same: at each level one is enough for much data. */
static uint32_t len_for(unsigned int format, unsigned int level)
{
	return level % SHARQ_FORMAT_COUNT == format ? LONG : 5000;
}

static const char *const format_names[] = { "raw", "zlib", "gzip" };

struct codec {
	struct session c;
	struct rng r;
	uint8_t *plain, *packed, *back;
	size_t room;
};

static void codec_open(struct codec *k, size_t len)
{
	session_open(&k->c, 8, 0);
	k->r.state = 4242;
	k->room = sharq_compress_bound(len) + ref_deflate_bound(len);
	k->plain = xalloc(k->c.s, k->room);
	k->packed = xalloc(k->c.s, k->room);
	k->back = xalloc(k->c.s, k->room);
	rng_text(&k->r, k->plain, len);
}

static void codec_close(struct codec *k)
{
	sharq_free(k->c.s, k->plain);
	sharq_free(k->c.s, k->packed);
	sharq_free(k->c.s, k->back);
	session_close(&k->c);
}

static uint32_t pack(struct codec *k, uint32_t len, unsigned int format,
		     unsigned int level)
{
	struct sharq_cqe cqe;

	sharq_prep_compress(sqe_get(k->c.q), k->packed,
			    (uint32_t)sharq_compress_bound(len), k->plain, len,
			    format, level);
	cqe = run_one(k->c.q);
	expect_status(&cqe, SHARQ_OK, "COMPRESS");
	EXPECT_EQ(cqe.consumed, len, "consumed");
	return cqe.produced;
}

static void unpack(struct codec *k, uint32_t packed, uint32_t len,
		   unsigned int format)
{
	struct sharq_cqe cqe;

	memset(k->back, 0x5a, len + 1);
	sharq_prep_decompress(sqe_get(k->c.q), k->back, len, k->packed, packed,
			      format);
	cqe = run_one(k->c.q);
	expect_status(&cqe, SHARQ_OK, "DECOMPRESS");
	EXPECT_EQ(cqe.consumed, packed, "consumed");
	EXPECT_EQ(cqe.produced, len, "produced");
	EXPECT(!memcmp(k->back, k->plain, len), "other data came back");
	EXPECT_EQ(k->back[len], 0x5a, "the byte beyond the destination");
}

static void zlib_reads_ours(void)
{
	struct codec k;

	codec_open(&k, LONG);
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++) {
		for (unsigned int level = 0; level <= SHARQ_MAX_LEVEL;
		     level++) {
			uint32_t len = len_for(format, level);
			uint32_t n = pack(&k, len, format, level);

			EXPECT(n < len * 9 / 10,
			       "%s level %u: %u bytes became %u",
			       format_names[format], level, len, n);
			EXPECT_EQ(ref_inflate(k.back, k.room, k.packed, n,
					      format),
				  len, "zlib's length");
			EXPECT(!memcmp(k.back, k.plain, len),
			       "%s level %u: zlib read other data",
			       format_names[format], level);
		}
	}
	codec_close(&k);
}

static void we_read_zlibs(void)
{
	struct codec k;

	codec_open(&k, LONG);
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++) {
		for (unsigned int level = 0; level <= 9; level++) {
			uint32_t len = len_for(format, level);
			size_t n = ref_deflate(k.packed, k.room, k.plain, len,
					       format, (int)level);

			unpack(&k, (uint32_t)n, len, format);
		}
	}
	codec_close(&k);
}

static void round_trip(void)
{
	static const uint32_t lens[] = { 0, 1, 2, 100, 65535, 65536 };
	struct codec k;

	codec_open(&k, LONG);
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++) {
		for (unsigned int level = 0; level <= SHARQ_MAX_LEVEL;
		     level++) {
			uint32_t len = len_for(format, level);

			for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
				unpack(&k, pack(&k, lens[i], format, level),
				       lens[i], format);
			unpack(&k, pack(&k, len, format, level), len, format);
		}
	}
	codec_close(&k);
}

/* Data that can't shrink must fit sharq_compress_bound(), and does it exactly
 * as many bytes as it said? One byte less is NO_SPACE. */
static void incompressible_and_no_space(void)
{
	static const uint32_t lens[] = { 0, 1, 64, 4097, 65536, LONG };
	struct codec k;

	codec_open(&k, LONG);
	rng_fill(&k.r, k.plain, LONG);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned int level = 0; level <= SHARQ_MAX_LEVEL;
		     level++) {
			unsigned int format = level % SHARQ_FORMAT_COUNT;
			uint32_t n = pack(&k, lens[i], format, level);
			struct sharq_cqe cqe;

			memset(k.packed, 0x5a, n + 1);
			sharq_prep_compress(sqe_get(k.c.q), k.packed, n - 1,
					    k.plain, lens[i], format, level);
			cqe = run_one(k.c.q);
			expect_status(&cqe, SHARQ_NO_SPACE,
				      "COMPRESS with a byte too few");
			EXPECT_EQ(k.packed[n - 1], 0x5a,
				  "the byte beyond the destination");
		}
	}
	codec_close(&k);
}

static void decompress_no_space(void)
{
	static const uint32_t lens[] = { 1, 2, 300, 65536, LONG };
	struct codec k;

	codec_open(&k, LONG);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		const uint32_t len = lens[i];

		for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++) {
			size_t n = ref_deflate(k.packed, k.room, k.plain, len,
					       f, 6);
			struct sharq_cqe cqe;

			k.back[len - 1] = 0x5a;
			sharq_prep_decompress(sqe_get(k.c.q), k.back, len - 1,
					      k.packed, (uint32_t)n, f);
			cqe = run_one(k.c.q);
			expect_status(&cqe, SHARQ_NO_SPACE,
				      "DECOMPRESS with a byte too few");
			EXPECT_EQ(k.back[len - 1], 0x5a,
				  "the byte beyond the destination");
			unpack(&k, (uint32_t)n, len, f);
		}
	}
	codec_close(&k);
}

/* What follows the stream isn't consumed, however far a decoder reads ahead. */
static void trailing_garbage(void)
{
	static const uint32_t lens[] = { 0, 1, 50, 4096, LONG };
	struct codec k;

	codec_open(&k, LONG);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++) {
			size_t n = ref_deflate(k.packed, k.room, k.plain,
					       lens[i], f, 6);

			for (uint32_t extra = 1; extra < 20; extra++) {
				struct sharq_cqe cqe;

				memset(k.packed + n, 0xff, extra);
				sharq_prep_decompress(sqe_get(k.c.q), k.back,
						      lens[i], k.packed,
						      (uint32_t)n + extra, f);
				cqe = run_one(k.c.q);
				expect_status(&cqe, SHARQ_OK,
					      "DECOMPRESS before garbage");
				EXPECT_EQ(cqe.consumed, n, format_names[f]);
				EXPECT_EQ(cqe.produced, lens[i], "produced");
			}
		}
	}
	codec_close(&k);
}

const struct test codec_tests[] = {
	{ "zlib_reads_ours", zlib_reads_ours, 60, 0 },
	{ "we_read_zlibs", we_read_zlibs, 60, 0 },
	{ "codec_round_trip", round_trip, 60, 0 },
	{ "compress_incompressible", incompressible_and_no_space, 60, 0 },
	{ "decompress_no_space", decompress_no_space, 60, 0 },
	{ "decompress_trailing_garbage", trailing_garbage, 60, 0 },
	{ NULL, NULL, 0, 0 },
};
