/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "idmap.h"
#include "unit.h"

START_TEST(objects_are_found_by_id)
{
	struct idmap map = { 0 };
	int objects[3];

	ck_assert_int_eq(idmap_add(&map, 5, &objects[1]), 0);
	ck_assert_int_eq(idmap_add(&map, UINT64_MAX, &objects[2]), 0);
	ck_assert_int_eq(idmap_add(&map, 1, &objects[0]), 0);
	ck_assert_int_eq(idmap_add(&map, 5, &objects[0]), -EEXIST);
	ck_assert_ptr_eq(idmap_find(&map, 1), &objects[0]);
	ck_assert_ptr_eq(idmap_find(&map, 5), &objects[1]);
	ck_assert_ptr_eq(idmap_find(&map, UINT64_MAX), &objects[2]);
	ck_assert_ptr_null(idmap_find(&map, 4));
	ck_assert_uint_eq(idmap_after(&map, 1), 1);
	idmap_remove(&map, 5);
	idmap_remove(&map, 5);
	ck_assert_ptr_null(idmap_find(&map, 5));
	ck_assert_uint_eq(map.count, 2);
	idmap_fini(&map);
}
END_TEST

/* An engine that was adopted may have said of its first that it is the last. */
START_TEST(p13_fresh_ids_go_on_after_the_last)
{
	struct idmap map = { 0 };
	int object;

	ck_assert_uint_eq(idmap_fresh(&map, 1), 1);
	ck_assert_uint_eq(idmap_fresh(&map, 7), 7);
	ck_assert_uint_eq(idmap_fresh(&map, 0), 1);
	ck_assert_uint_eq(idmap_fresh(&map, ID_MAX), ID_MAX);
	ck_assert_uint_eq(idmap_fresh(&map, ID_MAX + 1), 1);
	ck_assert_uint_eq(idmap_fresh(&map, UINT64_MAX), 1);
	ck_assert_int_eq(idmap_add(&map, ID_MAX, &object), 0);
	ck_assert_int_eq(idmap_add(&map, 1, &object), 0);
	ck_assert_int_eq(idmap_add(&map, 2, &object), 0);
	ck_assert_uint_eq(idmap_fresh(&map, ID_MAX), 3);
	idmap_fini(&map);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("idmap");

	UNIT_ADD(suite, objects_are_found_by_id);
	UNIT_ADD(suite, p13_fresh_ids_go_on_after_the_last);
	return suite;
}
