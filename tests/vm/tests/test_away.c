// SPDX-License-Identifier: MIT
/* P6: memory that goes away, with commands to it in flight. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files.h"
#include "gate.h"
#include "guest.h"
#include "queue.h"

#define AWAY_SIZE (4 * MIB)

/* Behind a gate, a FILL of @dst with 0xbb. */
static struct gate fill_late(struct queue *q, uint8_t *dst)
{
	struct sharq_desc d = desc_fill(dst, 0xbb, AWAY_SIZE);
	struct gate g = gate_new();

	d.flags = SHARQ_DESC_FENCE;
	gate_put(&g, q);
	queue_put(q, &d);
	queue_kick(q);
	return g;
}

/* Another process's memory, which gets the pages that were let go. */
struct stranger {
	pid_t pid;
	int ask[2], reply[2];
};

static void stranger_lives(const struct stranger *s)
{
	size_t size = 4 * AWAY_SIZE;
	uint8_t *p = file_map(-1, size, MAP_PRIVATE | MAP_ANONYMOUS);
	char byte;

	CHILD_EXPECT(read(s->ask[0], &byte, 1) == 1);
	memset(p, 0x44, size);
	CHILD_EXPECT(write(s->reply[1], "", 1) == 1);
	CHILD_EXPECT(read(s->ask[0], &byte, 1) == 1);
	CHILD_EXPECT(filled_with(p, 0x44, size));
	_exit(0);
}

static struct stranger stranger_new(void)
{
	struct stranger s;

	ck_assert(!pipe(s.ask) && !pipe(s.reply));
	s.pid = spawn();
	if (!s.pid)
		stranger_lives(&s);
	return s;
}

static void stranger_fills(struct stranger *s)
{
	char byte;

	ck_assert(write(s->ask[1], "", 1) == 1);
	ck_assert(read(s->reply[0], &byte, 1) == 1);
}

static void stranger_is_untouched(struct stranger *s)
{
	ck_assert(write(s->ask[1], "", 1) == 1);
	reap_well(s->pid);
	for (int i = 0; i < 2; i++) {
		close(s->ask[i]);
		close(s->reply[i]);
	}
}

/* Old pages, or a fault that says where; nothing else. */
static void expect_fault_or_old_pages(struct gate *g, struct queue *q,
				      uint8_t *dst)
{
	struct sharq_cqe cqe;

	gate_open(g, q);
	gate_take(q);
	queue_wait(q, 1);
	cqe = queue_take(q);
	if (cqe.status == SHARQ_OK)
		return;
	ck_assert_uint_eq(cqe.status, SHARQ_FAULT_WRITE);
	if (cqe.flags & SHARQ_CQE_ADDR_VALID)
		ck_assert(cqe.addr >= (uintptr_t)dst &&
			  cqe.addr < (uintptr_t)dst + AWAY_SIZE);
}

static void unmap_in_flight(uint8_t *dst)
{
	struct stranger s = stranger_new();
	struct queue q = queue_new(8);
	struct gate g = fill_late(&q, dst);

	ck_assert(!munmap(dst, AWAY_SIZE));
	stranger_fills(&s);
	expect_fault_or_old_pages(&g, &q, dst);
	stranger_is_untouched(&s);
	queue_free(&q);
}

START_TEST(p6_munmap_in_flight_harms_nobody_else)
{
	for (int i = 0; i < 3; i++)
		unmap_in_flight(memory(AWAY_SIZE));
}
END_TEST

START_TEST(p6_munmap_of_a_shared_file_in_flight_harms_nobody_else)
{
	int fd = file_new(DISK_FILE, AWAY_SIZE);
	uint8_t *map = file_map(fd, AWAY_SIZE, MAP_SHARED);

	memset(map, 0, AWAY_SIZE);
	unmap_in_flight(map);
	close(fd);
	unlink(DISK_FILE);
}
END_TEST

/* What is mapped at that place afterwards isn't what the command was for. */
START_TEST(p6_memory_mapped_anew_in_flight_stays_as_it_is)
{
	struct queue q = queue_new(8);
	uint8_t *dst = memory(AWAY_SIZE), *anew;
	struct gate g = fill_late(&q, dst);

	anew = mmap(dst, AWAY_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1,
		    0);
	ck_assert(anew == dst);
	expect_fault_or_old_pages(&g, &q, dst);
	ck_assert(filled_with(anew, 0, AWAY_SIZE));
	queue_free(&q);
}
END_TEST

static void truncate_in_flight(const char *path)
{
	struct stranger s = stranger_new();
	struct queue q = queue_new(8);
	int fd = file_new(path, AWAY_SIZE);
	uint8_t *map = file_map(fd, AWAY_SIZE, MAP_SHARED);
	uint8_t *got = memory(AWAY_SIZE);
	struct gate g;

	memset(map, 0, AWAY_SIZE);
	g = fill_late(&q, map);
	ck_assert(!ftruncate(fd, 0));
	stranger_fills(&s);
	expect_fault_or_old_pages(&g, &q, map);
	stranger_is_untouched(&s);
	/* Cut off is cut off: grown again, there are zeros. */
	ck_assert(!ftruncate(fd, AWAY_SIZE));
	ck_assert(pread(fd, got, AWAY_SIZE, 0) == AWAY_SIZE);
	ck_assert(filled_with(got, 0, AWAY_SIZE));
	munmap(map, AWAY_SIZE);
	munmap(got, AWAY_SIZE);
	close(fd);
	unlink(path);
	queue_free(&q);
}

START_TEST(p6_truncate_on_ext4_in_flight_is_a_fault)
{
	truncate_in_flight(DISK_FILE);
}
END_TEST

START_TEST(p6_truncate_on_tmpfs_in_flight_harms_nobody)
{
	truncate_in_flight(TMPFS_FILE);
}
END_TEST

/* Beyond a file's end there is nothing to reach. */
START_TEST(p6_beyond_a_file_s_end_is_a_fault)
{
	struct queue q = queue_new(8);
	int fd = file_new(DISK_FILE, PAGE);
	uint8_t *map = file_map(fd, 2 * PAGE, MAP_SHARED), *mine = memory(PAGE);
	struct sharq_desc to = desc_copy(map + PAGE - 100, mine, 200);
	struct sharq_desc from = desc_copy(mine, map + PAGE - 100, 200);
	struct sharq_cqe cqe;

	cqe = queue_run(&q, &to);
	ck_assert_uint_eq(cqe.status, SHARQ_FAULT_WRITE);
	ck_assert_uint_eq(cqe.addr, (uintptr_t)map + PAGE);
	cqe = queue_run(&q, &from);
	ck_assert_uint_eq(cqe.status, SHARQ_FAULT_READ);
	ck_assert_uint_eq(cqe.addr, (uintptr_t)map + PAGE);
	munmap(map, 2 * PAGE);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("away");

	GUEST_ADD(s, p6_munmap_in_flight_harms_nobody_else, 60);
	GUEST_ADD(s, p6_munmap_of_a_shared_file_in_flight_harms_nobody_else,
		  60);
	GUEST_ADD(s, p6_truncate_on_ext4_in_flight_is_a_fault, 60);
	GUEST_ADD(s, p6_truncate_on_tmpfs_in_flight_harms_nobody, 60);
	GUEST_ADD(s, p6_beyond_a_file_s_end_is_a_fault, 60);
	/* A direct queue's commands go to what is mapped when they are done. */
	if (queue_bind_request().path == SHARQ_BIND_SHADOW)
		GUEST_ADD(s, p6_memory_mapped_anew_in_flight_stays_as_it_is,
			  60);
	return s;
}
