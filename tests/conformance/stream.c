/* SPDX-License-Identifier: MIT */
/* Streams that are damaged, and streams made of pieces (MORE). */
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define PLAIN 20000U

struct stream {
	struct session c;
	uint8_t plain[PLAIN], packed[2 * PLAIN], back[2 * PLAIN];
	uint32_t n;
	unsigned int format;
};

static struct stream *stream_new(void)
{
	struct stream *k = xmalloc(sizeof(*k));
	struct rng r = { 99 };

	session_open(&k->c, 64, 0);
	rng_text(&r, k->plain, PLAIN);
	return k;
}

static void stream_free(struct stream *k)
{
	session_close(&k->c);
	free(k);
}

static void pack_by_zlib(struct stream *k, unsigned int format)
{
	k->format = format;
	k->n = (uint32_t)ref_deflate(k->packed, sizeof(k->packed), k->plain,
				     PLAIN, format, 6);
}

static struct sharq_cqe unpack(struct stream *k, uint32_t n,
			       unsigned int format)
{
	sharq_prep_decompress(sqe_get(k->c.q), k->back, sizeof(k->back),
			      k->packed, n, format);
	return run_one(k->c.q);
}

static void truncated(void)
{
	struct stream *k = stream_new();

	for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++) {
		pack_by_zlib(k, f);
		for (uint32_t n = 0; n < k->n;
		     n += n < 64 || n + 64 > k->n ? 1 : 61) {
			struct sharq_cqe cqe = unpack(k, n, f);

			EXPECT(cqe.status == SHARQ_BAD_DATA,
			       "%u of %u bytes of format %u: %s", n, k->n, f,
			       sharq_status_name(cqe.status));
		}
	}
	stream_free(k);
}

/* The trailer holds the checksum (and gzip's length): each bit counts. */
static void wrong_checksum(void)
{
	struct stream *k = stream_new();

	for (unsigned int f = SHARQ_FORMAT_ZLIB; f < SHARQ_FORMAT_COUNT; f++) {
		uint32_t trailer = f == SHARQ_FORMAT_ZLIB ? 4 : 8;

		pack_by_zlib(k, f);
		for (uint32_t bit = 0; bit < trailer * 8; bit++) {
			uint8_t *at = &k->packed[k->n - 1 - bit / 8];
			struct sharq_cqe cqe;

			*at ^= 1U << bit % 8;
			cqe = unpack(k, k->n, f);
			*at ^= 1U << bit % 8;
			EXPECT(cqe.status == SHARQ_BAD_DATA,
			       "format %u, trailer bit %u flipped: %s", f, bit,
			       sharq_status_name(cqe.status));
		}
	}
	stream_free(k);
}

/* With a checksum, no damage to what it covers goes unnoticed. */
static void corrupt(void)
{
	struct stream *k = stream_new();
	struct rng r = { 5 };

	for (unsigned int f = SHARQ_FORMAT_ZLIB; f < SHARQ_FORMAT_COUNT; f++) {
		uint32_t header = f == SHARQ_FORMAT_ZLIB ? 2 : 10;

		pack_by_zlib(k, f);
		for (int i = 0; i < 500; i++) {
			uint32_t at = header + rng_below(&r, k->n - 8 - header);
			uint8_t bits = (uint8_t)(1 + rng_below(&r, 255));
			struct sharq_cqe cqe;

			k->packed[at] ^= bits;
			cqe = unpack(k, k->n, f);
			k->packed[at] ^= bits;
			EXPECT(cqe.status == SHARQ_BAD_DATA ||
				       cqe.status == SHARQ_NO_SPACE,
			       "format %u, byte %u ^ %#x: %s", f, at, bits,
			       sharq_status_name(cqe.status));
		}
	}
	stream_free(k);
}

static void wrong_format(void)
{
	struct stream *k = stream_new();

	for (unsigned int is = 0; is < SHARQ_FORMAT_COUNT; is++) {
		pack_by_zlib(k, is);
		for (unsigned int as = 0; as < SHARQ_FORMAT_COUNT; as++) {
			struct sharq_cqe cqe;

			/* A zlib header may be raw deflate by accident. */
			if (as == is || as == SHARQ_FORMAT_RAW)
				continue;
			cqe = unpack(k, k->n, as);
			EXPECT(cqe.status == SHARQ_BAD_DATA,
			       "format %u read as %u: %s", is, as,
			       sharq_status_name(cqe.status));
		}
	}
	/* Block type 3 doesn't exist. */
	k->packed[0] = 0x07;
	EXPECT_EQ(unpack(k, 100, SHARQ_FORMAT_RAW).status, SHARQ_BAD_DATA,
		  "status of a reserved block type");
	/* Nothing, where a stream should be. */
	for (unsigned int f = 0; f < SHARQ_FORMAT_COUNT; f++)
		EXPECT_EQ(unpack(k, 0, f).status, SHARQ_BAD_DATA,
			  "status of no input at all");
	stream_free(k);
}

/* Random bytes give some status or other and leave the queue usable. */
static void noise(void)
{
	struct stream *k = stream_new();
	struct rng r = { 6 };

	for (int i = 0; i < 3000; i++) {
		uint32_t n = rng_below(&r, 600);
		struct sharq_cqe cqe;

		rng_fill(&r, k->packed, n);
		if (i % 2)
			memcpy(k->packed, "\x1f\x8b\x08\x00", 4);
		cqe = unpack(k, n, (unsigned int)i % SHARQ_FORMAT_COUNT);
		EXPECT(cqe.status == SHARQ_OK || cqe.status == SHARQ_BAD_DATA ||
			       cqe.status == SHARQ_NO_SPACE,
		       "noise gives %s", sharq_status_name(cqe.status));
	}
	pack_by_zlib(k, SHARQ_FORMAT_GZIP);
	EXPECT_EQ(unpack(k, k->n, SHARQ_FORMAT_GZIP).status, SHARQ_OK,
		  "status of a good stream afterwards");
	stream_free(k);
}

/* Pieces compressed on their own, in flight together, joined to one stream. */
static void more(void)
{
	struct stream *k = stream_new();
	static const uint32_t cuts[] = { 0, 1, 1, 5000, 5003, 19999, PLAIN };
	uint32_t at = 0, room = 8 * KIB;
	const unsigned int pieces = ARRAY_SIZE(cuts) - 1;
	uint8_t *out = xmalloc(pieces * room);
	uint32_t made[ARRAY_SIZE(cuts)];

	for (unsigned int level = 0; level <= SHARQ_MAX_LEVEL; level++) {
		for (unsigned int i = 0; i < pieces; i++) {
			struct sharq_sqe *sqe = sqe_get(k->c.q);

			EXPECT(sharq_compress_bound(cuts[i + 1] - cuts[i]) <=
				       room * 3,
			       "the test's pieces are too long");
			sharq_prep_compress(
				sqe, out + i * room, room, k->plain + cuts[i],
				cuts[i + 1] - cuts[i], SHARQ_FORMAT_RAW, level);
			if (i + 1 < pieces)
				sharq_sqe_set_flags(sqe, SHARQ_DESC_MORE);
			sharq_sqe_set_data64(sqe, i);
		}
		submit_all(k->c.q, pieces);
		for (unsigned int i = 0; i < pieces; i++) {
			struct sharq_cqe cqe = cqe_take(k->c.q);

			expect_status(&cqe, SHARQ_OK, "a piece");
			EXPECT(cqe.user_data < pieces, "user_data");
			made[cqe.user_data] = cqe.produced;
		}
		at = 0;
		for (unsigned int i = 0; i < pieces; i++) {
			memcpy(k->packed + at, out + i * room, made[i]);
			at += made[i];
		}
		EXPECT_EQ(ref_inflate(k->back, sizeof(k->back), k->packed, at,
				      SHARQ_FORMAT_RAW),
			  PLAIN, "length of the joined pieces");
		EXPECT(!memcmp(k->back, k->plain, PLAIN),
		       "the joined pieces are other data");
	}
	free(out);
	stream_free(k);
}

/* A piece ends as RFC 1951 says: an empty stored block, on a byte boundary. */
static void more_ends_on_boundary(void)
{
	struct stream *k = stream_new();
	struct sharq_sqe *sqe = sqe_get(k->c.q);
	struct sharq_cqe cqe;

	sharq_prep_compress(sqe, k->packed, sizeof(k->packed), k->plain, PLAIN,
			    SHARQ_FORMAT_RAW, 1);
	sharq_sqe_set_flags(sqe, SHARQ_DESC_MORE);
	cqe = run_one(k->c.q);
	expect_status(&cqe, SHARQ_OK, "a piece");
	EXPECT(cqe.produced > 4 &&
		       !memcmp(k->packed + cqe.produced - 4, "\0\0\xff\xff", 4),
	       "a piece doesn't end with an empty stored block");
	stream_free(k);
}

const struct test stream_tests[] = {
	{ "decompress_truncated", truncated, 60, 0 },
	{ "decompress_wrong_checksum", wrong_checksum, 30, 0 },
	{ "decompress_corrupt", corrupt, 60, 0 },
	{ "decompress_wrong_format", wrong_format, 30, 0 },
	{ "decompress_noise", noise, 60, 0 },
	{ "compress_more", more, 30, 0 },
	{ "compress_more_boundary", more_ends_on_boundary, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
