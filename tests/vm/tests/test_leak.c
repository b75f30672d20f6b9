// SPDX-License-Identifier: MIT
/* What queues cost, and that it comes back. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define ROUNDS 4
#define LOOPS (4096U / ROUNDS)
#define IDLE 1000U

/* Of /proc/meminfo, in KiB. */
static long meminfo(const char *name)
{
	char line[128], key[64];
	long value, found = -1;
	FILE *f = fopen("/proc/meminfo", "r");

	ck_assert(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[^:]: %ld", key, &value) == 2 &&
		    !strcmp(key, name))
			found = value;
	fclose(f);
	ck_assert_msg(found >= 0, "no %s", name);
	return found;
}

/* What the kernel holds for itself, but caches that it gives back. */
static long kernel_memory(void)
{
	ck_assert_int_eq(broker_write("/proc/sys/vm/drop_caches", "3"), 0);
	return meminfo("SUnreclaim") + meminfo("VmallocUsed") +
	       meminfo("KernelStack") + meminfo("PageTables");
}

static void churn(unsigned int loops)
{
	struct sharq_ctl_event e;

	for (unsigned int i = 0; i < loops; i++) {
		struct queue q = queue_new(64);

		/* Each eighth has run a command. */
		if (i % 8 == 0) {
			uint8_t byte = 1, copy = 0;
			struct sharq_desc d = desc_copy(&copy, &byte, 1);

			ck_assert_uint_eq(queue_run(&q, &d).status, SHARQ_OK);
			ck_assert_uint_eq(copy, 1);
		}
		queue_free(&q);
	}
	queues_left(0);
	/* What the kernel keeps for the controller isn't lost. */
	while (queue_event(&e))
		;
}

/*
 * A leak grows in each round, other things in some: the least counts. 64 bytes
 * a queue would be 64 KiB.
 */
START_TEST(p5_4096_queues_leave_nothing_behind)
{
	long before, after, least = LONG_MAX;

	churn(LOOPS);
	before = kernel_memory();
	for (int i = 0; i < ROUNDS; i++) {
		churn(LOOPS);
		after = kernel_memory();
		printf("%u queues later: %ld KiB more\n", LOOPS,
		       after - before);
		if (after - before < least)
			least = after - before;
		before = after;
	}
	ck_assert_msg(least <= 40, "%ld KiB are gone each time", least);
}
END_TEST

START_TEST(p5_idle_queue_costs_at_most_16_kib)
{
	static struct queue queues[IDLE];
	long before, after, each;

	churn(100);
	before = meminfo("MemAvailable");
	for (unsigned int i = 0; i < IDLE; i++)
		queues[i] = queue_new(64);
	after = meminfo("MemAvailable");
	each = (before - after) * 1024 / (long)IDLE;
	printf("an idle queue costs %ld bytes\n", each);
	ck_assert_int_gt(each, 0);
	ck_assert_msg(each <= 16 * 1024, "an idle queue costs %ld bytes", each);
	for (unsigned int i = 0; i < IDLE; i++)
		queue_free(&queues[i]);
	queues_left(0);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("leak");

	GUEST_ADD(s, p5_4096_queues_leave_nothing_behind, 600);
	GUEST_ADD(s, p5_idle_queue_costs_at_most_16_kib, 300);
	return s;
}
