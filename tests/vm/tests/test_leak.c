// SPDX-License-Identifier: MIT
/* What queues cost, and that it comes back. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define LOOPS 4096U
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
}

/* 64 bytes a queue would be 256 KiB. */
START_TEST(p5_4096_queues_leave_nothing_behind)
{
	uint64_t end;
	long before, grown;

	churn(LOOPS / 4);
	before = kernel_memory();
	churn(LOOPS);
	/* What is freed after a grace period comes back a little later. */
	end = now_ms() + PATIENCE_MS;
	while ((grown = kernel_memory() - before) > 192 && now_ms() < end)
		poll(NULL, 0, 50);
	printf("%u queues later: %ld KiB more\n", LOOPS, grown);
	ck_assert_msg(grown <= 192, "%ld KiB are gone", grown);
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
