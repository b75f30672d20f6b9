/* SPDX-License-Identifier: MIT */
/* Deflate and inflate in slices, and as a stream, against zlib. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "exec.h"
#include "unit.h"

#define PLAIN 30000U
#define ROOM (2 * PLAIN)

static const uint32_t slices[] = { 1, 7, 100, 4096, PLAIN, 0xffffffff };
#define EACH(i, array)                                                         \
	for (size_t i = 0; i < sizeof(array) / sizeof((array)[0]); i++)

static uint8_t plain[PLAIN], packed[ROOM], back[ROOM];
static struct sharq_codec *codec;

static void setup(void)
{
	srand(9);
	for (uint32_t i = 0; i < PLAIN; i++)
		plain[i] =
			(uint8_t)(rand() % 4 ? "sharq queue "[i % 12] : rand());
	ck_assert_int_eq(sharq_codec_new(&codec), 0);
}

static void teardown(void)
{
	ck_assert_ptr_null(sharq_codec_free(codec));
	ck_assert_ptr_null(sharq_codec_free(NULL));
}

static int bits(unsigned int format)
{
	return format == SHARQ_FORMAT_RAW    ? -15
	       : format == SHARQ_FORMAT_ZLIB ? 15
					     : 31;
}

static uint32_t zlib_pack(unsigned int format, int level)
{
	z_stream z = { .next_in = plain,
		       .avail_in = PLAIN,
		       .next_out = packed,
		       .avail_out = ROOM };

	ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, bits(format), 8,
				      Z_DEFAULT_STRATEGY),
			 Z_OK);
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return (uint32_t)z.total_out;
}

static void zlib_unpack(uint32_t n, unsigned int format)
{
	z_stream z = { .next_in = packed,
		       .avail_in = n,
		       .next_out = back,
		       .avail_out = ROOM };

	ck_assert_int_eq(inflateInit2(&z, bits(format)), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
	inflateEnd(&z);
	ck_assert_uint_eq(z.total_out, PLAIN);
	ck_assert_uint_eq(z.avail_in, 0);
	ck_assert_mem_eq(back, plain, PLAIN);
}

static struct sharq_cqe run(const struct sharq_desc *d, const void *src,
			    void *dst, uint32_t slice)
{
	const struct sharq_mem m = { .src = src, .dst = dst };
	struct sharq_exec x;
	unsigned int steps = 0;

	ck_assert(sharq_exec_needs_codec(d));
	sharq_exec_init(&x, d, codec);
	while (!sharq_exec_step(&x, d, &m, slice))
		if (++steps > 10 * ROOM)
			ck_abort_msg("slices don't end");
	if (slice == SHARQ_MAX_TRANSFER)
		ck_assert_uint_le(steps, 2);
	return x.cqe;
}

START_TEST(deflates)
{
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++)
		for (unsigned int level = 0; level <= 9; level++)
			EACH(i, slices)
			{
				const struct sharq_desc d = {
					.op = SHARQ_OP_COMPRESS,
					.len = PLAIN,
					.dst_len = ROOM,
					.param = (__u8)format,
					.level = (__u8)level
				};
				struct sharq_cqe c =
					run(&d, plain, packed, slices[i]);

				ck_assert_uint_eq(c.status, SHARQ_OK);
				ck_assert_uint_eq(c.consumed, PLAIN);
				zlib_unpack(c.produced, format);
			}
}
END_TEST

START_TEST(inflates)
{
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++)
		for (int level = 0; level <= 9; level += 3)
			EACH(i, slices)
			{
				uint32_t n = zlib_pack(format, level);
				/* With garbage behind it. */
				const struct sharq_desc d = {
					.op = SHARQ_OP_DECOMPRESS,
					.len = n + 9,
					.dst_len = PLAIN,
					.param = (__u8)format
				};
				struct sharq_cqe c;

				memset(packed + n, 0xff, 9);
				memset(back, 0xa5, ROOM);
				c = run(&d, packed, back, slices[i]);
				ck_assert_uint_eq(c.status, SHARQ_OK);
				ck_assert_uint_eq(c.consumed, n);
				ck_assert_uint_eq(c.produced, PLAIN);
				ck_assert_mem_eq(back, plain, PLAIN);
				ck_assert_uint_eq(back[PLAIN], 0xa5);
			}
}
END_TEST

START_TEST(failures)
{
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++)
		EACH(i, slices)
		{
			uint32_t n = zlib_pack(format, 6);
			struct sharq_desc d = { .op = SHARQ_OP_DECOMPRESS,
						.len = n,
						.dst_len = PLAIN - 1,
						.param = (__u8)format };

			back[PLAIN - 1] = 0xa5;
			ck_assert_uint_eq(
				run(&d, packed, back, slices[i]).status,
				SHARQ_NO_SPACE);
			ck_assert_uint_eq(back[PLAIN - 1], 0xa5);
			d.dst_len = ROOM;
			d.len = n - 1;
			ck_assert_uint_eq(
				run(&d, packed, back, slices[i]).status,
				SHARQ_BAD_DATA);
			d.dst_len = PLAIN;
			ck_assert_uint_eq(
				run(&d, packed, back, slices[i]).status,
				SHARQ_BAD_DATA);
			d.len = 0;
			ck_assert_uint_eq(
				run(&d, packed, back, slices[i]).status,
				SHARQ_BAD_DATA);
			d = (struct sharq_desc){ .op = SHARQ_OP_COMPRESS,
						 .len = PLAIN,
						 .dst_len = 1000,
						 .param = (__u8)format,
						 .level = 1 };
			packed[1000] = 0xa5;
			ck_assert_uint_eq(
				run(&d, plain, packed, slices[i]).status,
				SHARQ_NO_SPACE);
			ck_assert_uint_eq(packed[1000], 0xa5);
		}
}
END_TEST

/* Pieces with MORE, whatever the slices, join to one stream. */
START_TEST(more)
{
	EACH(i, slices)
	{
		uint32_t made = 0;

		for (uint32_t at = 0; at < PLAIN; at += PLAIN / 3) {
			const struct sharq_desc d = {
				.op = SHARQ_OP_COMPRESS,
				.len = PLAIN / 3,
				.dst_len = ROOM - made,
				.flags = at < 2 * (PLAIN / 3) ? SHARQ_DESC_MORE
							      : 0
			};
			struct sharq_cqe c =
				run(&d, plain + at, packed + made, slices[i]);

			ck_assert_uint_eq(c.status, SHARQ_OK);
			made += c.produced;
		}
		zlib_unpack(made, SHARQ_FORMAT_RAW);
	}
}
END_TEST

/* Streaming, in and out in small pieces. */
START_TEST(stream)
{
	for (unsigned int format = 0; format < SHARQ_FORMAT_COUNT; format++)
		EACH(i, slices)
		{
			uint32_t n = zlib_pack(format, 6), at = 0, made = 0;
			enum sharq_status status = SHARQ_OK;
			bool end = false;

			sharq_inflate_init(codec, format);
			while (!end && status == SHARQ_OK) {
				size_t in = n - at, out = ROOM - made;
				size_t used, got;

				if (in > slices[i])
					in = slices[i];
				if (out > slices[i])
					out = slices[i];
				status = sharq_inflate(codec, packed + at, in,
						       &used, back + made, out,
						       &got, &end);
				ck_assert(used || got || end);
				at += (uint32_t)used;
				made += (uint32_t)got;
			}
			ck_assert_uint_eq(status, SHARQ_OK);
			ck_assert_uint_eq(made, PLAIN);
			ck_assert_uint_eq(at, n);
			ck_assert_mem_eq(back, plain, PLAIN);
		}
}
END_TEST

static void add(Suite *s, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 120);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test);
	suite_add_tcase(s, c);
}

Suite *unit_suite(void)
{
	Suite *s = suite_create("codec");

	add(s, "deflates", deflates);
	add(s, "inflates", inflates);
	add(s, "failures", failures);
	add(s, "more", more);
	add(s, "stream", stream);
	return s;
}
