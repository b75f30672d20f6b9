// SPDX-License-Identifier: MIT
#include "direct.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

/* A line of a queue's fdinfo. */
static uint64_t fdinfo(pid_t pid, int fd, const char *name)
{
	uint64_t value = UINT64_MAX;
	char path[64], line[128];
	size_t len = strlen(name);
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, fd);
	f = fopen(path, "re");
	ck_assert_msg(f, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = strtoull(line + len + 1, NULL, 10);
	fclose(f);
	ck_assert_msg(value != UINT64_MAX, "fdinfo has no %s", name);
	return value;
}

uint64_t direct_sleeps(pid_t pid, int fd)
{
	return fdinfo(pid, fd, "sharq-sleeps");
}

void direct_wait_asleep(pid_t pid, int fd)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (!fdinfo(pid, fd, "sharq-asleep"))
		ck_assert_msg(now_ms() < end, "the device doesn't sleep");
}

void direct_all_gone(void)
{
	struct sharq_ctl_device d;

	queues_left(0);
	d = queue_device();
	ck_assert_uint_eq(d.direct_used, 0);
	ck_assert_uint_gt(d.direct_free, 0);
}

void direct_put_nops(struct queue *q, uint32_t n)
{
	struct sharq_desc nop = desc_nop();

	while (n--)
		queue_put(q, &nop);
}

void direct_submit(struct queue *q)
{
	queue_publish(q);
	queue_ring(q);
}

/* The doorbell's page is in the middle of so much. */
#define APART (4 * MIB)

volatile uint32_t *direct_map_bell(const struct queue *q)
{
	uint8_t *room = mmap(NULL, APART, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *bell;
	int error;

	if (room == MAP_FAILED)
		return MAP_FAILED;
	bell = mmap(room + APART / 2, PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, q->fd, (off_t)q->bind.bell_offset);
	error = errno;
	if (bell == MAP_FAILED)
		ck_assert(!munmap(room, APART));
	errno = error;
	return bell;
}

void direct_unmap_bell(volatile uint32_t *bell)
{
	ck_assert(!munmap((uint8_t *)bell - APART / 2, APART));
}
