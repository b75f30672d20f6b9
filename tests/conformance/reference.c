/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "suite.h"

/* splitmix64: each seed gives the same run on every machine. */
uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return (uint32_t)(rng_next(r) % n);
}

void rng_fill(struct rng *r, void *p, size_t len)
{
	uint8_t *at = p;

	while (len) {
		uint64_t v = rng_next(r);
		size_t n = len < sizeof(v) ? len : sizeof(v);

		memcpy(at, &v, n);
		at += n;
		len -= n;
	}
}

void rng_text(struct rng *r, void *p, size_t len)
{
	static const char words[][8] = { "queue ", "ring ", "copy ", "fence ",
					 "link\n", "crc ",  "page ", "inflate" };
	uint8_t *at = p;

	while (len) {
		uint64_t v = rng_next(r);
		const char *word = words[v % ARRAY_SIZE(words)];
		size_t n = 1 + (v >> 8) % 7;

		if (n > len)
			n = len;
		if ((v >> 16) % 8)
			memcpy(at, word, n);
		else
			rng_fill(r, at, n);
		at += n;
		len -= n;
	}
}

static uint32_t crc_table[8][256];

/* Bit by bit: polynomial 0x1edc6f41, reflected (RFC 3720); and with zeros behind. */
static void crc_table_make(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ 0x82f63b78 : v >> 1;
		crc_table[0][i] = v;
	}
	for (int zeros = 1; zeros < 8; zeros++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t v = crc_table[zeros - 1][i];

			crc_table[zeros][i] = v >> 8 ^ crc_table[0][v & 0xff];
		}
}

uint32_t ref_crc32c(uint32_t seed, const void *p, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const uint8_t *at = p;
	uint32_t crc = ~seed;

	pthread_once(&once, crc_table_make);
	for (; len >= 8; len -= 8, at += 8) {
		uint32_t next = 0;

		for (int i = 0; i < 8; i++) {
			uint8_t byte = i < 4 ? at[i] ^ (uint8_t)(crc >> 8 * i)
					     : at[i];

			next ^= crc_table[7 - i][byte];
		}
		crc = next;
	}
	while (len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *at++) & 0xff];
	return ~crc;
}

static int window_bits(unsigned int format)
{
	return format == SHARQ_FORMAT_RAW    ? -15
	       : format == SHARQ_FORMAT_ZLIB ? 15
					     : 15 + 16;
}

size_t ref_deflate_bound(size_t len)
{
	return compressBound(len) + 64;
}

size_t ref_deflate(void *dst, size_t room, const void *src, size_t len,
		   unsigned int format, int level)
{
	z_stream z = { .next_in = (Bytef *)src,
		       .avail_in = (uInt)len,
		       .next_out = dst,
		       .avail_out = (uInt)room };

	EXPECT_EQ(deflateInit2(&z, level, Z_DEFLATED, window_bits(format), 8,
			       Z_DEFAULT_STRATEGY),
		  Z_OK, "zlib's deflateInit2");
	EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END, "zlib's deflate");
	deflateEnd(&z);
	return z.total_out;
}

size_t ref_inflate(void *dst, size_t room, const void *src, size_t len,
		   unsigned int format)
{
	z_stream z = { .next_in = (Bytef *)src,
		       .avail_in = (uInt)len,
		       .next_out = dst,
		       .avail_out = (uInt)room };
	int r;

	EXPECT_EQ(inflateInit2(&z, window_bits(format)), Z_OK,
		  "zlib's inflateInit2");
	r = inflate(&z, Z_FINISH);
	EXPECT(r == Z_STREAM_END, "zlib can't read the stream: %d, %s", r,
	       z.msg ? z.msg : "no message");
	inflateEnd(&z);
	EXPECT_EQ(z.avail_in, 0, "input that zlib left over");
	return z.total_out;
}

void *xmalloc(size_t size)
{
	void *p = malloc(size ? size : 1);

	EXPECT(p, "no memory for %zu bytes", size);
	return p;
}

void *xalloc(struct sharq *s, size_t size)
{
	char text[256];
	void *p = sharq_alloc(s, size);

	EXPECT(p, "sharq_alloc of %zu bytes: %s", size,
	       sharq_error(s, text, sizeof(text)));
	return p;
}
