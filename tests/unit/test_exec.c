/* SPDX-License-Identifier: MIT */
/* Slices: however a command is cut, the result is that of doing it at once. */
#include <stdlib.h>
#include <string.h>

#include "exec.h"
#include "unit.h"

#define ROOM 4000U
/* Small ones, so that a few hundred bytes are many slices. */
static const uint32_t slices[] = { 1,  2,   3,	 7,   8,    63,
				   64, 100, 255, 256, 1000, 0xffffffff };
static const uint32_t lens[] = { 0, 1, 2, 63, 64, 65, 300, 777 };
#define EACH(i, array)                                                         \
	for (size_t i = 0; i < sizeof(array) / sizeof((array)[0]); i++)

static uint8_t src[ROOM], src2[ROOM], dst[ROOM], dst2[ROOM], want[ROOM];

static void noise(uint8_t *p, size_t len, unsigned int seed)
{
	srand(seed);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)rand();
}

static struct sharq_cqe in_slices(const struct sharq_desc *d,
				  const struct sharq_mem *m, uint32_t slice)
{
	struct sharq_exec x;
	unsigned int steps = 0;

	sharq_exec_init(&x, d, NULL);
	while (!sharq_exec_step(&x, d, m, slice))
		if (++steps > 10000)
			ck_abort_msg("slices don't end");
	/* A slice bounds what a step does. */
	if (d->len && slice < d->len && x.cqe.status == SHARQ_OK)
		ck_assert_uint_ge(steps + 1, d->len / slice);
	ck_assert_uint_eq(x.cqe.user_data, d->user_data);
	return x.cqe;
}

static struct sharq_desc make(unsigned int op, uint32_t len)
{
	return (struct sharq_desc){ .op = (__u8)op,
				    .len = len,
				    .user_data = 42 };
}

static void guard(void)
{
	memset(dst, 0xa5, sizeof(dst));
	memset(dst2, 0xa5, sizeof(dst2));
}

static void expect_guard(const uint8_t *p, size_t len)
{
	static uint8_t pattern[ROOM];

	memset(pattern, 0xa5, sizeof(pattern));
	ck_assert_mem_eq(p, pattern, len);
}

static void expect_dst(const uint8_t *is, uint32_t len)
{
	ck_assert_mem_eq(is, src, len);
	expect_guard(is + len, ROOM - len);
}

START_TEST(copies)
{
	const struct sharq_mem m = { src, src2, dst, dst2 };

	noise(src, ROOM, 1);
	EACH(i, lens) EACH(j, slices)
	{
		struct sharq_desc d = make(SHARQ_OP_COPY, lens[i]);
		struct sharq_cqe c;

		guard();
		c = in_slices(&d, &m, slices[j]);
		ck_assert_uint_eq(c.status, SHARQ_OK);
		ck_assert_uint_eq(c.consumed, lens[i]);
		ck_assert_uint_eq(c.produced, lens[i]);
		expect_dst(dst, lens[i]);
		guard();
		d.op = SHARQ_OP_DUALCAST;
		c = in_slices(&d, &m, slices[j]);
		ck_assert_uint_eq(c.produced, lens[i]);
		expect_dst(dst, lens[i]);
		expect_dst(dst2, lens[i]);
	}
}
END_TEST

/* From the end that isn't overwritten before it is read. */
START_TEST(overlap)
{
	static const int distances[] = { -700, -65, -64, -8, -1, 0,
					 1,    7,   63,	 64, 65, 700 };

	EACH(i, lens) EACH(j, slices) EACH(k, distances)
	{
		const struct sharq_desc d = make(SHARQ_OP_COPY, lens[i]);
		uint8_t *from = dst + 1000, *to = from + distances[k];
		const struct sharq_mem m = { .src = from, .dst = to };

		noise(dst, ROOM, 2);
		memcpy(want, dst, ROOM);
		memmove(want + (to - dst), want + (from - dst), lens[i]);
		in_slices(&d, &m, slices[j]);
		ck_assert_mem_eq(dst, want, ROOM);
	}
}
END_TEST

START_TEST(fill)
{
	const struct sharq_mem m = { .dst = dst };

	for (unsigned int n = 1; n <= 8; n++)
		EACH(i, lens) EACH(j, slices)
		{
			struct sharq_desc d = make(SHARQ_OP_FILL, lens[i]);
			struct sharq_cqe c;

			d.param = (__u8)n;
			memcpy(&d.pattern, "ABCDEFGH", n);
			guard();
			c = in_slices(&d, &m, slices[j]);
			ck_assert_uint_eq(c.consumed, 0);
			ck_assert_uint_eq(c.produced, lens[i]);
			for (uint32_t at = 0; at < lens[i]; at++)
				ck_assert_uint_eq(dst[at], 'A' + at % n);
			expect_guard(dst + lens[i], ROOM - lens[i]);
		}
}
END_TEST

START_TEST(compare)
{
	const struct sharq_mem m = { .src = src, .src2 = src2 };
	const struct sharq_desc d = make(SHARQ_OP_COMPARE, 777);

	noise(src, ROOM, 3);
	memcpy(src2, src, ROOM);
	EACH(j, slices)
	{
		struct sharq_cqe c = in_slices(&d, &m, slices[j]);

		ck_assert_uint_eq(c.status, SHARQ_OK);
		ck_assert_uint_eq(c.consumed, 777);
		for (uint32_t at = 0; at < 777; at += 7) {
			src2[at] ^= 1;
			src2[776] ^= 2;
			c = in_slices(&d, &m, slices[j]);
			src2[at] ^= 1;
			src2[776] ^= 2;
			ck_assert_uint_eq(c.status, SHARQ_MISMATCH);
			ck_assert_uint_eq(c.consumed, at);
		}
	}
}
END_TEST

static uint32_t bitwise(uint32_t seed, const uint8_t *p, size_t len)
{
	uint32_t crc = ~seed;

	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

START_TEST(crc)
{
	const struct sharq_mem m = { .src = src, .dst = dst };

	noise(src, ROOM, 4);
	ck_assert_uint_eq(sharq_crc32c_raw(0, "123456789", 9), 0xe3069283);
	EACH(i, lens) EACH(j, slices)
	{
		struct sharq_desc d = make(SHARQ_OP_CRC32C, lens[i]);
		struct sharq_cqe c;

		for (d.seed = 0; d.seed < 3; d.seed++) {
			uint32_t is = bitwise(d.seed, src, lens[i]);

			d.op = SHARQ_OP_CRC32C;
			c = in_slices(&d, &m, slices[j]);
			ck_assert_uint_eq(c.crc, is);
			ck_assert_uint_eq(c.produced, 0);
			d.op = SHARQ_OP_COPY_CRC32C;
			guard();
			c = in_slices(&d, &m, slices[j]);
			ck_assert_uint_eq(c.crc, is);
			ck_assert_uint_eq(c.produced, lens[i]);
			expect_dst(dst, lens[i]);
		}
	}
}
END_TEST

START_TEST(nop)
{
	const struct sharq_desc d = make(SHARQ_OP_NOP, 0);
	const struct sharq_mem m = { NULL, NULL, NULL, NULL };
	struct sharq_cqe c;

	sharq_exec_run(&d, &m, NULL, &c);
	ck_assert_uint_eq(c.status, SHARQ_OK);
	ck_assert_uint_eq(c.user_data, 42);
	ck_assert(!sharq_exec_needs_codec(&d));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("exec");

	UNIT_ADD(s, copies);
	UNIT_ADD(s, overlap);
	UNIT_ADD(s, fill);
	UNIT_ADD(s, compare);
	UNIT_ADD(s, crc);
	UNIT_ADD(s, nop);
	return s;
}
