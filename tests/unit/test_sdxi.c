/* SPDX-License-Identifier: MIT */
/* The pure parts of the SDXI model: what isn't seen through a whole function. */
#include "../vm/device/descriptor.h"
#include "../vm/device/errlog.h"
#include "../vm/device/ring.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static const struct op_limits client = {
	.groups = SDXI_OPB_INTR,
	.max_buffer = 4096,
};

static const struct op_limits admin = {
	.admin = true,
	.max_buffer = 4096,
};

/* Bytes as the function fetches them. */
static union sdxi_dsc dsc(uint32_t opcode, uint64_t csb)
{
	union sdxi_dsc d = { 0 };

	d.generic.opcode = htole32(opcode);
	d.generic.csb_ptr = htole64(csb);
	return d;
}

static void put16(union sdxi_dsc *d, size_t offset, uint16_t value)
{
	value = htole16(value);
	memcpy((char *)d + offset, &value, sizeof(value));
}

static void put64(union sdxi_dsc *d, size_t offset, uint64_t value)
{
	value = htole64(value);
	memcpy((char *)d + offset, &value, sizeof(value));
}

START_TEST(copy_is_read_from_its_bytes)
{
	union sdxi_dsc d = dsc(0x00010301, 0x12345678abcde0ULL);
	struct op op;

	put16(&d, 4, 99);
	put16(&d, 12, 0x1122);
	put16(&d, 14, 0x3344);
	put64(&d, 16, 0x1000);
	put64(&d, 24, 0xfffffffffffff000ULL);
	ck_assert_int_eq(op_decode(&op, &d, &client), 0);
	ck_assert_int_eq(op.kind, OP_COPY);
	ck_assert_uint_eq(op.len, 100);
	ck_assert_uint_eq(op.akey[0], 0x1122);
	ck_assert_uint_eq(op.akey[1], 0x3344);
	ck_assert_uint_eq(op.addr[0], 0x1000);
	ck_assert_uint_eq(op.addr[1], 0xfffffffffffff000ULL);
	ck_assert(op.has_csb);
	ck_assert(!op.simple_csb);
	ck_assert_uint_eq(op.csb, 0x12345678abcde0ULL);
}
END_TEST

START_TEST(copy_is_bounded)
{
	union sdxi_dsc d = dsc(0x00010301, 1);
	struct op op;

	put16(&d, 4, 4095);
	ck_assert_int_eq(op_decode(&op, &d, &client), 0);
	put64(&d, 24, 0xfffffffffffff000ULL);
	ck_assert_int_eq(op_decode(&op, &d, &client), 0);
	put64(&d, 24, 0xfffffffffffff001ULL);
	ck_assert_int_eq(op_decode(&op, &d, &client), -EINVAL);
	put64(&d, 24, 0);
	put16(&d, 4, 4096);
	ck_assert_int_eq(op_decode(&op, &d, &client), -EINVAL);
}
END_TEST

/* The failure is to be told by it. */
START_TEST(completion_block_is_known_whatever_the_rest_is)
{
	union sdxi_dsc d = dsc(0xffffffff, 0x1000);
	struct op op;

	ck_assert_int_eq(op_decode(&op, &d, &client), -EINVAL);
	ck_assert(op.has_csb);
	ck_assert_uint_eq(op.csb, 0x1000);
	d = dsc(0x00010101, 0x1001);
	ck_assert_int_eq(op_decode(&op, &d, &client), 0);
	ck_assert(!op.has_csb);
}
END_TEST

START_TEST(admin_commands_are_read_from_their_bytes)
{
	union sdxi_dsc d = dsc(0x00020405, 1);
	struct op op;

	((uint8_t *)&d)[5] = 0x20;
	put16(&d, 8, 3);
	put16(&d, 10, 7);
	ck_assert_int_eq(op_decode(&op, &d, &admin), 0);
	ck_assert_int_eq(op.kind, OP_STOP);
	ck_assert(op.hard);
	ck_assert_uint_eq(op.first, 3);
	ck_assert_uint_eq(op.last, 7);
	ck_assert_int_eq(op_decode(&op, &d, &client), -EINVAL);
	put16(&d, 10, 2);
	ck_assert_int_eq(op_decode(&op, &d, &admin), -EINVAL);

	d = dsc(0x00020305, 1);
	((uint8_t *)&d)[5] = 0x40;
	put64(&d, 16, 55);
	ck_assert_int_eq(op_decode(&op, &d, &admin), 0);
	ck_assert_int_eq(op.kind, OP_START);
	ck_assert(op.has_doorbell);
	ck_assert_uint_eq(op.doorbell, 55);
	/* For another function. */
	((uint8_t *)&d)[5] = 0x80;
	ck_assert_int_eq(op_decode(&op, &d, &admin), -EINVAL);
	/* Without the fence. */
	d = dsc(0x00020301, 1);
	ck_assert_int_eq(op_decode(&op, &d, &admin), -EINVAL);

	d = dsc(0x00020601, 1);
	((uint8_t *)&d)[4] = 1;
	ck_assert_int_eq(op_decode(&op, &d, &admin), 0);
	ck_assert_int_eq(op.kind, OP_SYNC);
	ck_assert_int_eq(op.filter, SDXI_SYNC_STOP);
	((uint8_t *)&d)[4] = 5;
	ck_assert_int_eq(op_decode(&op, &d, &admin), -EINVAL);
}
END_TEST

START_TEST(ring_ends_where_both_indices_and_its_size_allow)
{
	ck_assert_uint_eq(ring_limit(5, 5, 5, 1024), 5);
	ck_assert_uint_eq(ring_limit(5, 9, 7, 1024), 9);
	ck_assert_uint_eq(ring_limit(5, 7, 9, 1024), 9);
	ck_assert_uint_eq(ring_limit(5, 6, ~0ULL, 1024), 1029);
	ck_assert_uint_eq(ring_limit(~0ULL - 1, ~0ULL, 0, 1024), ~0ULL);
	ck_assert_uint_eq(ring_limit(9, 8, 7, 1024), 9);
	ck_assert_uint_eq(ring_slot(0x1000, 3001, 1500), 0x1040);
}
END_TEST

START_TEST(error_entry_has_its_bytes)
{
	const struct fault fault = {
		.step = SDXI_STEP_DSC_BUF,
		.sub_step = SDXI_SUB_TRANSLATION,
		.reaction = SDXI_RE_CXT_STOPPED,
		.has_context = true,
		.context = 0x1234,
		.has_index = true,
		.index = 0x1122334455667788ULL,
		.has_buffer = true,
		.buffer = 1,
	};
	static const uint8_t bytes[16] = {
		0x01, 0x0a, 0xf7, 0x07, 0x17, 0x11, 0x34, 0x12,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	};
	static const uint8_t zeroes[48];
	struct sdxi_errlog_ent entry;

	errlog_encode(&entry, &fault);
	ck_assert_mem_eq(&entry, bytes, sizeof(bytes));
	ck_assert_mem_eq((char *)&entry + 16, zeroes, sizeof(zeroes));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sdxi");

	UNIT_ADD(suite, copy_is_read_from_its_bytes);
	UNIT_ADD(suite, copy_is_bounded);
	UNIT_ADD(suite, completion_block_is_known_whatever_the_rest_is);
	UNIT_ADD(suite, admin_commands_are_read_from_their_bytes);
	UNIT_ADD(suite, ring_ends_where_both_indices_and_its_size_allow);
	UNIT_ADD(suite, error_entry_has_its_bytes);
	return suite;
}
