/* SPDX-License-Identifier: MIT */
/* Which device and path the daemon chooses. */
#include <errno.h>
#include <string.h>

#include "device.h"
#include "sharq_abi.h"
#include "unit.h"

#define BIT(path) (1U << (path))
enum {
	ANY,
	DIRECT,
	SHADOW,
	EMBEDDED
};
#define COPY SHARQ_OP_BIT(SHARQ_OP_COPY)
#define CRC SHARQ_OP_BIT(SHARQ_OP_CRC32C)
#define FILL SHARQ_OP_BIT(SHARQ_OP_FILL)

static const struct device all[] = {
	{ .id = 2,
	  .paths = BIT(SHADOW),
	  .ops = COPY | CRC,
	  .name = "soft0",
	  .note = "no IOMMU" },
	{ .id = 3,
	  .paths = BIT(DIRECT) | BIT(SHADOW),
	  .ops = COPY,
	  .direct_free = 1,
	  .name = "sdxi0" },
	{ .id = 1,
	  .paths = BIT(EMBEDDED),
	  .ops = COPY | CRC | FILL,
	  .name = "embedded0",
	  .note = "no module" },
};
#define N (sizeof(all) / sizeof(all[0]))
static struct device list[N];

static char err[256];
static uint32_t got;

static void fresh(void)
{
	memcpy(list, all, sizeof(all));
}

static int choose(uint32_t device, uint32_t ops, uint32_t path)
{
	int i;

	got = path;
	err[0] = 0;
	i = device_choose(list, N, device, ops, &got, err, sizeof(err));
	return i < 0 ? i : (int)list[i].id;
}

static void refused(int want, uint32_t device, uint32_t ops, uint32_t path,
		    const char *says)
{
	int ret = choose(device, ops, path);

	ck_assert_msg(ret == want, "%d, expected %d: %s", ret, want, err);
	ck_assert_msg(strstr(err, says) != NULL, "'%s' lacks '%s'", err, says);
}

/* The best path wins, whatever the order of devices. */
START_TEST(best_path_first)
{
	fresh();
	ck_assert_int_eq(choose(0, COPY, ANY), 3);
	ck_assert_uint_eq(got, DIRECT);
	list[1].direct_free = 0;
	ck_assert_int_eq(choose(0, COPY, ANY), 2);
	ck_assert_uint_eq(got, SHADOW);
	ck_assert_int_eq(choose(3, 0, ANY), 3);
	ck_assert_uint_eq(got, SHADOW);
	ck_assert_int_eq(choose(1, 0, ANY), 1);
	ck_assert_uint_eq(got, EMBEDDED);
}
END_TEST

START_TEST(path_as_asked)
{
	fresh();
	ck_assert_int_eq(choose(0, 0, SHADOW), 2);
	ck_assert_int_eq(choose(3, 0, SHADOW), 3);
	ck_assert_uint_eq(got, SHADOW);
	ck_assert_int_eq(choose(0, 0, DIRECT), 3);
	ck_assert_int_eq(choose(0, 0, EMBEDDED), 1);
	ck_assert_uint_eq(got, EMBEDDED);
}
END_TEST

/* Who names nothing gets a device that lacks nothing, if it has the path. */
START_TEST(all_operations_first)
{
	fresh();
	list[0].ops = SHARQ_OPS_ALL;
	ck_assert_int_eq(choose(0, 0, ANY), 2);
	ck_assert_uint_eq(got, SHADOW);
	ck_assert_int_eq(choose(0, 0, DIRECT), 3);
	ck_assert_int_eq(choose(3, 0, ANY), 3);
	ck_assert_uint_eq(got, DIRECT);
}
END_TEST

START_TEST(operations_decide)
{
	fresh();
	ck_assert_int_eq(choose(0, COPY | CRC, ANY), 2);
	ck_assert_int_eq(choose(0, FILL, ANY), 1);
	ck_assert_uint_eq(got, EMBEDDED);
	refused(-ENODEV, 0, SHARQ_OP_BIT(SHARQ_OP_COMPRESS), ANY, "no device");
	refused(-ENODEV, 2, FILL, ANY, "device 2 (soft0) has the operations");
	refused(-ENODEV, 9, 0, ANY, "no device 9");
}
END_TEST

START_TEST(refusals_say_why)
{
	fresh();
	refused(-EOPNOTSUPP, 2, 0, DIRECT, "no direct path to soft0: no IOMMU");
	refused(-EOPNOTSUPP, 0, CRC, DIRECT, "no IOMMU");
	refused(-EOPNOTSUPP, 0, FILL, SHADOW, "embedded0: no module");
	refused(-EOPNOTSUPP, 2, 0, EMBEDDED, "no embedded path to soft0");
	refused(-EINVAL, 0, 0, 4, "path is 4");
	list[1].direct_free = 0;
	refused(-EBUSY, 0, 0, DIRECT, "every hardware queue of sdxi0");
	list[1].paths = BIT(DIRECT);
	refused(-EBUSY, 3, 0, ANY, "every hardware queue of sdxi0");
	got = ANY;
	ck_assert_int_eq(device_choose(list, 0, 0, 0, &got, err, sizeof(err)),
			 -ENODEV);
	ck_assert_str_eq(err, "there is no device");
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("device");

	UNIT_ADD(s, best_path_first);
	UNIT_ADD(s, path_as_asked);
	UNIT_ADD(s, all_operations_first);
	UNIT_ADD(s, operations_decide);
	UNIT_ADD(s, refusals_say_why);
	return s;
}
