// SPDX-License-Identifier: MIT
/* What queues cost, and that it comes back. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "files.h"
#include "guest.h"
#include "pins.h"
#include "queue.h"

/*
 * Twice the 4,096 of the promise: kernels since 6.9 keep freed address
 * ranges for a while, as many as 5,461 of ours (mm/vmalloc.c, lazy_max_pages()
 * with 2 CPUs). What is lost would be there for each.
 */
#define LOOPS (2 * 4096)
/* So many that what else the kernel takes and keeps meanwhile counts little. */
#define IDLE 4000U
#define MAX_CACHES 512
#define STAGED 48 /* times a MiB */

/* How many objects each of the kernel's caches has handed out. */
struct slabs {
	char name[MAX_CACHES][64];
	long objects[MAX_CACHES];
	unsigned int n;
	long available;
};

static void set_sysctl(const char *path, const char *value)
{
	int r = broker_write(path, value);

	ck_assert_msg(!r, "%s: %s", path, strerror(-r));
}

/*
 * The CPUs keep few free pages to themselves, which don't count as available. What one
 * has kept already, from tests before this, it gives back as it is used and freed.
 */
static void keep_few(void)
{
	const size_t size = 128 * MIB;
	cpu_set_t all, one;
	void *used;

	set_sysctl("/proc/sys/vm/percpu_pagelist_high_fraction", "1000000");
	ck_assert(!sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		ck_assert(!sched_setaffinity(0, sizeof(one), &one));
		used = memory(size);
		memset(used, 1, size);
		munmap(used, size);
	}
	ck_assert(!sched_setaffinity(0, sizeof(all), &all));
}

static void slabs_read(struct slabs *s)
{
	char line[512];
	FILE *f;
	int fd;

	s->available = memory_available();
	fd = broker_open("/proc/slabinfo", O_RDONLY);
	ck_assert_msg(fd >= 0, "slabinfo: %s", strerror(-fd));
	f = fdopen(fd, "r");
	ck_assert(f);
	s->n = 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", s->name[s->n],
			   &s->objects[s->n]) == 2) {
			s->n++;
			ck_assert_uint_lt(s->n, MAX_CACHES);
		}
	fclose(f);
	ck_assert_uint_gt(s->n, 10);
}

static long objects(const struct slabs *s, const char *name)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (!strcmp(s->name[i], name))
			return s->objects[i];
	return 0;
}

/* Make, bind, map, use and close. */
static void churn(int loops)
{
	struct sharq_ctl_event e;
	uint8_t byte = 1, copy = 0;
	struct sharq_desc d = desc_copy(&copy, &byte, 1);

	for (int i = 0; i < loops; i++) {
		struct queue q = queue_new(64);

		copy = 0;
		ck_assert_uint_eq(queue_run(&q, &d).status, SHARQ_OK);
		ck_assert_uint_eq(copy, 1);
		queue_free(&q);
	}
	queues_left(0);
	/* What the kernel keeps for the controller isn't lost. */
	while (queue_event(&e))
		;
}

/* Whatever a queue leaves is there each time: an object of whatever size, or
 * pages. */
START_TEST(p5_4096_queues_leave_nothing_behind)
{
	static struct slabs before, after;
	long gone;

	keep_few();
	churn(100);
	slabs_read(&before);
	churn(LOOPS);
	slabs_read(&after);
	for (unsigned int i = 0; i < after.n; i++) {
		long more = after.objects[i] - objects(&before, after.name[i]);

		ck_assert_msg(more < LOOPS / 4 * 3, "%s: %ld more",
			      after.name[i], more);
	}
	gone = before.available - after.available;
	printf("%d queues later: %ld KiB less\n", LOOPS, gone);
	ck_assert_msg(gone < LOOPS * 2, "%ld KiB are gone", gone);
}
END_TEST

START_TEST(p5_idle_queue_costs_at_most_16_kib)
{
	static struct queue queues[IDLE];
	long before, after, each;

	keep_few();
	churn(100);
	before = memory_available();
	for (unsigned int i = 0; i < IDLE; i++)
		queues[i] = queue_new(64);
	after = memory_available();
	each = (before - after) * 1024 / (long)IDLE;
	printf("an idle queue costs %ld bytes\n", each);
	ck_assert_int_gt(each, 0);
	ck_assert_msg(each <= 16 * 1024, "an idle queue costs %ld bytes", each);
	for (unsigned int i = 0; i < IDLE; i++)
		queue_free(&queues[i]);
	queues_left(0);
}
END_TEST

/*
 * A kick that may not sleep lets go of what it has staged, and is tried again where
 * it may: the first one of a queue always, for it needs a thread.
 */
START_TEST(p7_staging_of_a_kick_that_is_tried_again_comes_back)
{
	int fd = file_new(DISK_FILE, MIB);
	uint8_t *map = file_map(fd, MIB, MAP_SHARED), *src = memory(MIB);
	struct sharq_desc d = desc_copy(map, src, MIB);
	struct io_uring ring;
	long before, gone;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	keep_few();
	before = memory_available();
	for (int i = 0; i < STAGED; i++) {
		struct queue q = queue_new(4);

		queue_put(&q, &d);
		ck_assert_int_eq(uring_kick(&ring, &q, 0), 1);
		queue_wait(&q, 1);
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
		queue_free(&q);
	}
	queues_left(0);
	gone = before - memory_available();
	printf("%d MiB were staged, and again: %ld KiB less\n", STAGED, gone);
	ck_assert_msg(gone < STAGED * (long)KIB / 4, "%ld KiB are gone", gone);
	io_uring_queue_exit(&ring);
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("leak");

	/* First: what the other frees comes back while this one weighs. */
	GUEST_ADD(s, p5_idle_queue_costs_at_most_16_kib, 120);
	GUEST_ADD(s, p7_staging_of_a_kick_that_is_tried_again_comes_back, 60);
	GUEST_ADD(s, p5_4096_queues_leave_nothing_behind, 300);
	return s;
}
