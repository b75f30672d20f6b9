/* SPDX-License-Identifier: MIT */
/*
 * Descriptors with one thing wrong: the status and the field must say so, and
 * the queue must serve the next command.
 */
#include <stdio.h>
#include <string.h>

#include "suite.h"

static uint8_t mem[4][4096];

/* A descriptor that is right, for each operation. */
static struct sharq_desc good(unsigned int op)
{
	struct sharq_desc d = { .op = (__u8)op, .user_data = 1234 };

	if (op == SHARQ_OP_NOP)
		return d;
	d.len = 64;
	if (op != SHARQ_OP_FILL)
		d.src = (uintptr_t)mem[0];
	if (op != SHARQ_OP_COMPARE && op != SHARQ_OP_CRC32C)
		d.dst = (uintptr_t)mem[1];
	if (op == SHARQ_OP_FILL) {
		d.param = 4;
		d.pattern = 0;
		memcpy(&d.pattern, "abcd", 4);
	}
	if (op == SHARQ_OP_COMPARE || op == SHARQ_OP_DUALCAST)
		d.src2 = (uintptr_t)mem[2];
	if (op == SHARQ_OP_COMPRESS || op == SHARQ_OP_DECOMPRESS)
		d.dst_len = 4096;
	return d;
}

static void refused(struct session *c, const struct sharq_desc *d,
		    unsigned int status, unsigned int field, const char *what)
{
	struct sharq_cqe cqe = run_desc(c->q, d);

	EXPECT(cqe.status == status && cqe.consumed == field,
	       "%s, %s: %s of field %s, expected %s of %s",
	       sharq_op_name(d->op), what, sharq_status_name(cqe.status),
	       sharq_field_name(cqe.consumed), sharq_status_name(status),
	       sharq_field_name(field));
	EXPECT(cqe.user_data == d->user_data && !cqe.produced && !cqe.crc &&
		       !cqe.addr && !cqe.flags,
	       "%s, %s: the completion says more", sharq_op_name(d->op), what);
}

static bool has_seed(unsigned int op)
{
	return op == SHARQ_OP_CRC32C || op == SHARQ_OP_COPY_CRC32C;
}

static bool has_codec(unsigned int op)
{
	return op == SHARQ_OP_COMPRESS || op == SHARQ_OP_DECOMPRESS;
}

#define BAD(set, field)                                                        \
	do {                                                                   \
		struct sharq_desc d = good(op);                                \
		set;                                                           \
		refused(c, &d, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_##field,      \
			#set);                                                 \
	} while (0)

static void each_scalar(struct session *c, unsigned int op)
{
	if (op == SHARQ_OP_FILL) {
		BAD(d.param = 0, PARAM);
		BAD(d.param = 9, PARAM);
		BAD(d.param = 3, PATTERN);
	} else if (has_codec(op)) {
		BAD(d.param = SHARQ_FORMAT_COUNT, PARAM);
		BAD(d.param = 255, PARAM);
	} else {
		BAD(d.param = 1, PARAM);
	}
	BAD(d.flags = SHARQ_DESC_EXT, FLAGS);
	for (unsigned int bit = 4; bit < 16; bit++)
		BAD(d.flags = (__u16)(1U << bit), FLAGS);
	if (op == SHARQ_OP_COMPRESS)
		BAD(d.flags = SHARQ_DESC_MORE;
		    d.param = SHARQ_FORMAT_ZLIB, FLAGS);
	else
		BAD(d.flags = SHARQ_DESC_MORE, FLAGS);
	if (op == SHARQ_OP_NOP)
		BAD(d.len = 1, LEN);
	if (!has_codec(op))
		BAD(d.dst_len = 1, DST_LEN);
	if (!has_seed(op))
		BAD(d.seed = 1, SEED);
	BAD(d.ext = 1, EXT);
	BAD(d.session = 1, SESSION);
	if (op == SHARQ_OP_COMPRESS)
		BAD(d.level = SHARQ_MAX_LEVEL + 1, LEVEL);
	else
		BAD(d.level = 1, LEVEL);
	BAD(d.reserved[0] = 1, RESERVED);
	BAD(d.reserved[1] = 0x80, RESERVED);
	BAD(d.reserved[2] = 1, RESERVED);
}

static void each_address(struct session *c, unsigned int op)
{
	const struct sharq_desc is = good(op);

	if (!is.src)
		BAD(d.src = (uintptr_t)mem[0], SRC);
	else
		BAD(d.src = -(__u64)63, SRC);
	if (!is.dst)
		BAD(d.dst = (uintptr_t)mem[1], DST);
	else
		BAD(d.dst = -(__u64)63, DST);
	if (op == SHARQ_OP_COMPARE)
		BAD(d.src2 = -(__u64)63, SRC2);
	else if (op == SHARQ_OP_DUALCAST)
		BAD(d.dst2 = -(__u64)63, DST2);
	else if (has_codec(op))
		BAD(d.dst2 = 1, DST2);
	else if (op == SHARQ_OP_NOP)
		BAD(d.pattern = 1, PATTERN);
	else if (op != SHARQ_OP_FILL)
		BAD(d.src2 = 1, SRC2);
}

/* Where source and destination must be disjoint: touching is fine. */
static void each_overlap(struct session *c, unsigned int op)
{
	if (op == SHARQ_OP_COPY_CRC32C || op == SHARQ_OP_DUALCAST ||
	    has_codec(op)) {
		BAD(d.dst = d.src, DST);
		BAD(d.dst = d.src + 63, DST);
		BAD(d.src = d.dst + 63, DST);
	}
	if (op == SHARQ_OP_DUALCAST) {
		BAD(d.dst2 = d.dst + 63, DST2);
		BAD(d.dst2 = d.src + 63, DST2);
		BAD(d.dst2 = d.dst, DST2);
	}
	if (op == SHARQ_OP_COPY_CRC32C || op == SHARQ_OP_DUALCAST) {
		struct sharq_desc d = good(op);
		struct sharq_cqe cqe;

		d.dst = d.src + 64;
		cqe = run_desc(c->q, &d);
		expect_status(&cqe, SHARQ_OK, "operands that touch");
	}
}

static void each_field(void)
{
	struct session c;

	session_open(&c, 8, 0);
	for (unsigned int op = 0; op < SHARQ_OP_COUNT; op++) {
		struct sharq_desc d = good(op);
		struct sharq_cqe cqe;

		if (!suite_has(op)) {
			refused(&c, &d, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP,
				"a good one, which the device lacks");
			continue;
		}
		each_scalar(&c, op);
		each_address(&c, op);
		each_overlap(&c, op);
		if (op == SHARQ_OP_DECOMPRESS)
			d.len = (__u32)ref_deflate(mem[0], sizeof(mem[0]), "x",
						   1, 0, 6);
		cqe = run_desc(c.q, &d);
		expect_status(&cqe,
			      op == SHARQ_OP_COMPARE ? SHARQ_MISMATCH
						     : SHARQ_OK,
			      "a good command afterwards");
		memset(mem, 0, sizeof(mem));
		mem[2][0] = 1;
	}
	session_close(&c);
}

static void unknown_op(void)
{
	struct session c;

	session_open(&c, 8, 0);
	for (unsigned int op = SHARQ_OP_COUNT; op < 256; op++) {
		struct sharq_desc d = { .op = (__u8)op, .user_data = op };

		refused(&c, &d, SHARQ_UNSUPPORTED, SHARQ_FIELD_OP,
			"unknown operation");
	}
	session_close(&c);
}

/* Any bytes at all: some status, exactly one completion, the queue lives. */
static void random_descriptors(void)
{
	struct rng r = { 31337 };
	struct session c;

	session_open(&c, 64, 0);
	for (int i = 0; i < 20000; i++) {
		struct sharq_desc d;
		struct sharq_cqe cqe;

		rng_fill(&r, &d, sizeof(d));
		d.op %= SHARQ_OP_COUNT + 1;
		/* Never right: what it names is anybody's memory. */
		d.reserved[1] |= 1;
		d.flags &= (__u16)~SHARQ_DESC_LINK;
		cqe = run_desc(c.q, &d);
		EXPECT(cqe.status == SHARQ_BAD_DESCRIPTOR ||
			       cqe.status == SHARQ_UNSUPPORTED,
		       "a random descriptor gives %s",
		       sharq_status_name(cqe.status));
		EXPECT(cqe.user_data == d.user_data, "user_data");
		EXPECT(cqe.consumed > 0 && cqe.consumed < SHARQ_FIELD_COUNT,
		       "field %u", cqe.consumed);
	}
	session_close(&c);
}

/* Levels: 0 to 9 are right for COMPRESS in each format. */
static void levels_and_formats(void)
{
	struct session c;

	session_open(&c, 8, 0);
	suite_needs(SHARQ_OP_COMPRESS);
	for (unsigned int i = 0; i < 10 * SHARQ_FORMAT_COUNT; i++) {
		struct sharq_desc d = good(SHARQ_OP_COMPRESS);
		struct sharq_cqe cqe;

		d.level = i % 10;
		d.param = (__u8)(i / 10);
		cqe = run_desc(c.q, &d);
		expect_status(&cqe, SHARQ_OK, "COMPRESS");
	}
	session_close(&c);
}

/* Handed back to the bit, whatever the status. */
static void user_data(void)
{
	static const uint64_t values[] = {
		0, 1, UINT64_MAX, 1ULL << 63, 0x123456789abcdef0, 0xffffffff
	};
	struct session c;
	struct rng r = { 2 };

	session_open(&c, 8, 0);
	for (size_t i = 0; i < 500; i++) {
		uint64_t v = i < ARRAY_SIZE(values) ? values[i] : rng_next(&r);
		struct sharq_sqe *sqe = sqe_get(c.q);

		if (i % 3)
			sharq_prep_copy(sqe, mem[0], mem[1], 100);
		else
			sharq_prep_fill(sqe, mem[0], 100, "x", 9);
		sharq_sqe_set_data64(sqe, v);
		EXPECT(run_one(c.q).user_data == v, "user_data");
	}
	sharq_prep_nop(sqe_get(c.q));
	EXPECT(run_one(c.q).user_data == 0, "user_data that nobody set");
	session_close(&c);
}

const struct test desc_tests[] = {
	{ "descriptor_each_field", each_field, 30, 0 },
	{ "descriptor_unknown_op", unknown_op, 30, 0 },
	{ "descriptor_random", random_descriptors, 30, 0 },
	{ "descriptor_levels", levels_and_formats, 30, 0 },
	{ "user_data", user_data, 10, 0 },
	{ NULL, NULL, 0, 0 },
};
