/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "check.h"
#include "unit.h"

#define MAX 1000000U
#define SRC 0x1000000000ULL
#define DST 0x2000000000ULL
#define THIRD 0x3000000000ULL
#define FAR(op) ((op) == SHARQ_OP_COMPRESS || (op) == SHARQ_OP_DECOMPRESS)

static const struct sharq_caps caps = { SHARQ_OPS_ALL, MAX };

static struct sharq_desc good(unsigned int op)
{
	struct sharq_desc d = { .op = (__u8)op, .user_data = ~0ULL };

	if (op == SHARQ_OP_NOP)
		return d;
	d.len = 100;
	if (op != SHARQ_OP_FILL)
		d.src = SRC;
	if (op != SHARQ_OP_COMPARE && op != SHARQ_OP_CRC32C)
		d.dst = DST;
	if (op == SHARQ_OP_FILL) {
		d.param = 3;
		memcpy(&d.pattern, "abc", 3);
	}
	if (op == SHARQ_OP_COMPARE || op == SHARQ_OP_DUALCAST)
		d.src2 = THIRD;
	if (FAR(op))
		d.dst_len = 200;
	return d;
}

static void expect(const struct sharq_desc *d, unsigned int status,
		   unsigned int field, const char *what)
{
	enum sharq_field f = SHARQ_FIELD_COUNT;
	enum sharq_status s = sharq_check(d, &caps, &f);

	ck_assert_msg(s == status && f == field,
		      "op %u, %s: status %u of field %u, expected %u of %u",
		      d->op, what, s, f, status, field);
}

/* @set applied to a good descriptor of @op gives that verdict. */
#define BAD(set, f)                                                            \
	do {                                                                   \
		struct sharq_desc d = good(op);                                \
		set;                                                           \
		expect(&d, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_##f, #set);       \
	} while (0)
#define GOOD(set)                                                              \
	do {                                                                   \
		struct sharq_desc d = good(op);                                \
		set;                                                           \
		expect(&d, SHARQ_OK, SHARQ_FIELD_NONE, #set);                  \
	} while (0)

#define FOR_EACH_OP for (unsigned int op = 0; op < SHARQ_OP_COUNT; op++)

START_TEST(good_ones)
{
	FOR_EACH_OP
	{
		GOOD(d.user_data = 0);
		GOOD(d.flags = SHARQ_DESC_FENCE);
		GOOD(d.flags = SHARQ_DESC_LINK | SHARQ_DESC_FENCE);
		if (op != SHARQ_OP_NOP)
			GOOD(d.len = 0);
	}
}
END_TEST

START_TEST(ops)
{
	struct sharq_desc d = good(SHARQ_OP_NOP);

	for (unsigned int op = SHARQ_OP_COUNT; op < 256; op++) {
		d.op = (__u8)op;
		expect(&d, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP, "unknown");
	}
	FOR_EACH_OP
	{
		const struct sharq_caps without = {
			SHARQ_OPS_ALL & ~SHARQ_OP_BIT(op), MAX
		};
		enum sharq_field f;

		d = good(op);
		ck_assert_uint_eq(sharq_check(&d, &without, &f),
				  SHARQ_UNSUPPORTED);
		ck_assert_uint_eq(f, SHARQ_FIELD_OP);
	}
}
END_TEST

START_TEST(params)
{
	FOR_EACH_OP
	{
		for (unsigned int p = 0; p < 256; p++) {
			int ok = op == SHARQ_OP_FILL ? p >= 1 && p <= 8
				 : FAR(op)	     ? p <= 2
						     : p == 0;

			/* A shorter pattern must have a shorter content. */
			if (ok && op == SHARQ_OP_FILL)
				GOOD(d.param = (__u8)p; d.pattern = 0);
			else if (ok)
				GOOD(d.param = (__u8)p);
			else
				BAD(d.param = (__u8)p, PARAM);
		}
	}
}
END_TEST

START_TEST(flags)
{
	FOR_EACH_OP
	{
		for (unsigned int f = 0; f < 0x10000; f++) {
			unsigned int may = SHARQ_DESC_FENCE | SHARQ_DESC_LINK;

			if (op == SHARQ_OP_COMPRESS)
				may |= SHARQ_DESC_MORE;
			if (f & ~may)
				BAD(d.flags = (__u16)f, FLAGS);
			else
				GOOD(d.flags = (__u16)f);
		}
	}
	for (unsigned int op = SHARQ_OP_COMPRESS, p = 1; p < 3; p++)
		BAD(d.flags = SHARQ_DESC_MORE; d.param = (__u8)p, FLAGS);
}
END_TEST

START_TEST(unused_scalars)
{
	FOR_EACH_OP
	{
		if (op == SHARQ_OP_NOP)
			BAD(d.len = 1, LEN);
		if (!FAR(op))
			BAD(d.dst_len = 1, DST_LEN);
		if (op == SHARQ_OP_CRC32C || op == SHARQ_OP_COPY_CRC32C)
			GOOD(d.seed = 0xffffffff);
		else
			BAD(d.seed = 0x80000000, SEED);
		BAD(d.ext = 1ULL << 63, EXT);
		BAD(d.session = 1U << 31, SESSION);
		for (unsigned int level = 1; level < 256; level++) {
			if (op == SHARQ_OP_COMPRESS && level <= 9)
				GOOD(d.level = (__u8)level);
			else
				BAD(d.level = (__u8)level, LEVEL);
		}
		for (unsigned int i = 0; i < 3; i++)
			for (unsigned int bit = 0; bit < 8; bit++)
				BAD(d.reserved[i] = (__u8)(1U << bit),
				    RESERVED);
	}
}
END_TEST

START_TEST(unused_addresses)
{
	FOR_EACH_OP
	{
		const struct sharq_desc is = good(op);

		if (!is.src)
			BAD(d.src = 1ULL << 63, SRC);
		if (!is.dst)
			BAD(d.dst = 1, DST);
		if (op == SHARQ_OP_NOP)
			BAD(d.pattern = 1, PATTERN);
		else if (FAR(op))
			BAD(d.dst2 = 1, DST2);
		else if (op == SHARQ_OP_COPY || op == SHARQ_OP_CRC32C ||
			 op == SHARQ_OP_COPY_CRC32C)
			BAD(d.src2 = 1, SRC2);
	}
}
END_TEST

/* Bytes of the pattern beyond its length, each of them. */
START_TEST(pattern_tail)
{
	const unsigned int op = SHARQ_OP_FILL;

	for (unsigned int n = 1; n <= 8; n++) {
		for (unsigned int i = 0; i < 8; i++) {
			__u64 pattern = 0;

			((unsigned char *)&pattern)[i] = 1;
			if (i < n)
				GOOD(d.param = (__u8)n; d.pattern = pattern);
			else
				BAD(d.param = (__u8)n;
				    d.pattern = pattern, PATTERN);
		}
	}
}
END_TEST

/* Address plus length may not pass the end of the address space. */
START_TEST(wraps)
{
	FOR_EACH_OP
	{
		const struct sharq_desc is = good(op);

		if (is.src) {
			BAD(d.src = -(__u64)99, SRC);
			BAD(d.src = ~0ULL, SRC);
			GOOD(d.src = -(__u64)101);
			GOOD(d.src = ~0ULL; d.len = 0);
		}
		if (is.dst) {
			__u64 n = FAR(op) ? 200 : 100;

			BAD(d.dst = -(n - 1), DST);
			GOOD(d.dst = -(n + 1));
		}
		if (op == SHARQ_OP_COMPARE)
			BAD(d.src2 = -(__u64)99, SRC2);
		if (op == SHARQ_OP_DUALCAST)
			BAD(d.dst2 = -(__u64)99, DST2);
	}
}
END_TEST

START_TEST(overlaps)
{
	FOR_EACH_OP
	{
		__u64 n = FAR(op) ? 200 : 100;

		if (op == SHARQ_OP_COPY) {
			GOOD(d.dst = d.src);
			GOOD(d.dst = d.src + 50);
			GOOD(d.dst = d.src - 50);
		}
		if (op != SHARQ_OP_COPY_CRC32C && op != SHARQ_OP_DUALCAST &&
		    !FAR(op))
			continue;
		BAD(d.dst = d.src, DST);
		BAD(d.dst = d.src + 99, DST);
		BAD(d.dst = d.src - n + 1, DST);
		GOOD(d.dst = d.src + 100);
		GOOD(d.dst = d.src - n);
		GOOD(d.dst = d.src; d.len = 0;
		     d.dst_len = FAR(op) ? d.dst_len : 0);
	}
	for (unsigned int op = SHARQ_OP_DUALCAST; op == SHARQ_OP_DUALCAST;
	     op++) {
		BAD(d.dst2 = d.dst + 99, DST2);
		BAD(d.dst2 = d.dst - 99, DST2);
		BAD(d.dst2 = d.src + 99, DST2);
		BAD(d.dst2 = d.src - 99, DST2);
		GOOD(d.dst2 = d.dst + 100);
		GOOD(d.dst2 = d.src - 100);
	}
	for (unsigned int op = SHARQ_OP_COMPARE; op == SHARQ_OP_COMPARE; op++)
		GOOD(d.src2 = d.src + 1);
}
END_TEST

START_TEST(largest)
{
	FOR_EACH_OP
	{
		struct sharq_desc d = good(op);

		if (op == SHARQ_OP_NOP)
			continue;
		GOOD(d.len = MAX);
		d.len = MAX + 1;
		expect(&d, SHARQ_UNSUPPORTED, SHARQ_FIELD_LEN, "one more");
		d.len = 0xffffffff;
		expect(&d, SHARQ_UNSUPPORTED, SHARQ_FIELD_LEN, "2^32 - 1");
		if (!FAR(op))
			continue;
		GOOD(d.dst_len = MAX);
		d = good(op);
		d.dst_len = MAX + 1;
		expect(&d, SHARQ_UNSUPPORTED, SHARQ_FIELD_DST_LEN, "one more");
	}
}
END_TEST

/* What is wrong on any device is named before what is only too long here. */
START_TEST(wrong_before_long)
{
	struct sharq_desc d = good(SHARQ_OP_COPY);

	d.len = MAX + 1;
	d.level = 1;
	expect(&d, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEVEL, "both");
}
END_TEST

static void operand(const struct sharq_operand *o, __u64 addr, __u32 len,
		    int write, unsigned int field)
{
	ck_assert_uint_eq(o->addr, addr);
	ck_assert_uint_eq(o->len, len);
	ck_assert_int_eq(!!o->write, write);
	ck_assert_uint_eq(o->field, field);
}

START_TEST(operands)
{
	struct sharq_operand o[SHARQ_MAX_OPERANDS];

	FOR_EACH_OP
	{
		struct sharq_desc d = good(op);
		unsigned int n = sharq_operands(&d, o), at = 0;

		if (d.src)
			operand(&o[at++], SRC, 100, 0, SHARQ_FIELD_SRC);
		if (op == SHARQ_OP_COMPARE)
			operand(&o[at++], THIRD, 100, 0, SHARQ_FIELD_SRC2);
		if (d.dst)
			operand(&o[at++], DST, FAR(op) ? 200 : 100, 1,
				SHARQ_FIELD_DST);
		if (op == SHARQ_OP_DUALCAST)
			operand(&o[at++], THIRD, 100, 1, SHARQ_FIELD_DST2);
		ck_assert_uint_eq(n, at);
		d.len = 0;
		d.dst_len = 0;
		ck_assert_uint_eq(sharq_operands(&d, o), 0);
	}
}
END_TEST

/* The quick accept: a verdict is the rules' own, whatever the device can do. */
static void expect_rules(const struct sharq_desc *d)
{
	const struct sharq_caps devices[] = {
		caps,
		{ SHARQ_OPS_ALL & ~SHARQ_OP_BIT(SHARQ_OP_NOP), MAX },
		{ SHARQ_OP_BIT(SHARQ_OP_NOP), 0 },
		{ 0, 0 },
	};

	for (unsigned int i = 0; i < 4; i++) {
		enum sharq_field f = SHARQ_FIELD_COUNT, ruled = f;
		enum sharq_status s = sharq_check(d, &devices[i], &f);

		ck_assert_uint_eq(s, sharq_check_rules(d, &devices[i], &ruled));
		ck_assert_uint_eq(f, ruled);
	}
}

static void flip(struct sharq_desc *d, unsigned int bit)
{
	((unsigned char *)d)[bit / 8] ^= (unsigned char)(1U << bit % 8);
}

static int in_user_data(unsigned int bit)
{
	unsigned int first = 8 * offsetof(struct sharq_desc, user_data);

	return bit >= first && bit < first + 64;
}

#define BITS (8 * sizeof(struct sharq_desc))

START_TEST(bare_nop_is_what_the_rules_accept)
{
	struct sharq_desc d = { .op = SHARQ_OP_NOP };

	ck_assert(sharq_is_bare_nop(&d));
	expect_rules(&d);
	for (unsigned int bit = 0; bit < BITS; bit++) {
		flip(&d, bit);
		ck_assert_msg(!sharq_is_bare_nop(&d) == !in_user_data(bit),
			      "bit %u", bit);
		expect_rules(&d);
		flip(&d, bit);
	}
}
END_TEST

START_TEST(quick_accept_changes_no_verdict)
{
	FOR_EACH_OP
	{
		struct sharq_desc d = good(op);

		expect_rules(&d);
		for (unsigned int bit = 0; bit < BITS; bit++) {
			flip(&d, bit);
			expect_rules(&d);
			flip(&d, bit);
		}
	}
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("check");

	UNIT_ADD(s, good_ones);
	UNIT_ADD(s, ops);
	UNIT_ADD(s, params);
	UNIT_ADD(s, flags);
	UNIT_ADD(s, unused_scalars);
	UNIT_ADD(s, unused_addresses);
	UNIT_ADD(s, pattern_tail);
	UNIT_ADD(s, wraps);
	UNIT_ADD(s, overlaps);
	UNIT_ADD(s, largest);
	UNIT_ADD(s, wrong_before_long);
	UNIT_ADD(s, operands);
	UNIT_ADD(s, bare_nop_is_what_the_rules_accept);
	UNIT_ADD(s, quick_accept_changes_no_verdict);
	return s;
}
