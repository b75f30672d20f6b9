/* SPDX-License-Identifier: MIT */
#include "seal.h"
#include "unit.h"

/* The example of SipHash's paper. */
START_TEST(hash_is_siphash)
{
	struct seal_key key;
	uint8_t bytes[16];

	for (int i = 0; i < 16; i++)
		bytes[i] = i;
	memcpy(&key, bytes, sizeof(key));
	ck_assert_uint_eq(seal_hash(&key, bytes, 15), 0xa129ca6149be45e5);
}
END_TEST

START_TEST(p13_seal_is_of_one_users_one_id)
{
	const struct seal_key key = { { 1, 2 } }, other = { { 1, 3 } };
	const uint64_t seal = seal_id(&key, SEAL_SESSION, 1000, 7);

	ck_assert_uint_eq(seal_id(&key, SEAL_SESSION, 1000, 7), seal);
	ck_assert_uint_ne(seal_id(&key, SEAL_QUEUE, 1000, 7), seal);
	ck_assert_uint_ne(seal_id(&key, SEAL_SESSION, 1001, 7), seal);
	ck_assert_uint_ne(seal_id(&key, SEAL_SESSION, 1000, 8), seal);
	ck_assert_uint_ne(seal_id(&other, SEAL_SESSION, 1000, 7), seal);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("seal");

	UNIT_ADD(suite, hash_is_siphash);
	UNIT_ADD(suite, p13_seal_is_of_one_users_one_id);
	return suite;
}
