/* SPDX-License-Identifier: MIT */
/* What the daemon leaves with the kernel module, and makes of its figures. */
#include <string.h>

#include "idmap.h"
#include "module.h"
#include "unit.h"

START_TEST(cookie_comes_back)
{
	const struct module_cookie in = {
		.session = 7,
		.token = 0xfedcba9876543210,
		.queue = ID_MAX,
		.born_ms = UINT64_C(4000000000) * 1000,
		.pid = 4194304,
	};
	struct module_cookie out;
	__u64 cookie[SHARQ_COOKIES];

	module_cookie_pack(&in, cookie);
	ck_assert(module_cookie_unpack(&out, cookie));
	ck_assert_uint_eq(out.session, in.session);
	ck_assert_uint_eq(out.token, in.token);
	ck_assert_uint_eq(out.queue, in.queue);
	ck_assert_uint_eq(out.born_ms, in.born_ms);
	ck_assert_int_eq(out.pid, in.pid);
}
END_TEST

START_TEST(others_cookies_are_refused)
{
	struct module_cookie out;
	__u64 good[SHARQ_COOKIES], cookie[SHARQ_COOKIES] = { 0 };

	ck_assert(!module_cookie_unpack(&out, cookie));
	memset(cookie, 0xff, sizeof(cookie));
	ck_assert(!module_cookie_unpack(&out, cookie));
	module_cookie_pack(&(struct module_cookie){ 1, 2, 3, 4, 5 }, good);
	ck_assert(module_cookie_unpack(&out, good));
	memcpy(cookie, good, sizeof(good));
	cookie[0] = 0;
	ck_assert(!module_cookie_unpack(&out, cookie));
	cookie[0] = UINT64_MAX;
	ck_assert(!module_cookie_unpack(&out, cookie));
	memcpy(cookie, good, sizeof(good));
	cookie[2] &= ~ID_MAX;
	ck_assert(!module_cookie_unpack(&out, cookie));
	cookie[2] = 3;
	ck_assert(!module_cookie_unpack(&out, cookie));
}
END_TEST

/* Each status counts once, under the heading that sharq.proto gives it. */
START_TEST(statuses_are_sorted)
{
	struct sharq_journal_stats sum;
	__u64 by_status[16] = { 0 };

	for (unsigned int i = 0; i < 16; i++)
		by_status[i] = 1ULL << i;
	module_sum(&sum, 0xffff, 99, by_status);
	ck_assert_uint_eq(sum.commands, 0xffff);
	ck_assert_uint_eq(sum.bytes, 99);
	ck_assert_uint_eq(sum.faults,
			  1U << SHARQ_FAULT_READ | 1U << SHARQ_FAULT_WRITE);
	ck_assert_uint_eq(sum.refused, 1U << SHARQ_BAD_DESCRIPTOR |
					       1U << SHARQ_UNSUPPORTED |
					       1U << SHARQ_DENIED);
	ck_assert_uint_eq(sum.resets, 1U << SHARQ_RESET);
	ck_assert_uint_eq(sum.failed + sum.faults + sum.refused +
				  (1U << SHARQ_OK) + (1U << SHARQ_MISMATCH),
			  0xffff);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("module");

	UNIT_ADD(s, cookie_comes_back);
	UNIT_ADD(s, others_cookies_are_refused);
	UNIT_ADD(s, statuses_are_sorted);
	return s;
}
