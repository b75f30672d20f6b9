// SPDX-License-Identifier: MIT
/* P7: memory of every kind, and what a filesystem stands behind. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "broker.h"
#include "files.h"
#include "gate.h"
#include "guest.h"
#include "pins.h"
#include "queue.h"

#define PINCHECK "/sys/kernel/debug/pincheck"
#define HUGE_PAGE (2 * MIB)

static void drop_caches(void)
{
	ck_assert_int_eq(broker_write("/proc/sys/vm/drop_caches", "3"), 0);
}

/* What the disk has, past the page cache. */
static void expect_on_disk(const char *path, const uint8_t *expected,
			   size_t size)
{
	uint8_t *got = memory(size);
	int fd;

	drop_caches();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(fd >= 0);
	ck_assert(pread(fd, got, size, 0) == (ssize_t)size);
	ck_assert_msg(!memcmp(got, expected, size), "the file is wrong");
	close(fd);
	munmap(got, size);
}

static void run_ok(struct queue *q, const struct sharq_desc *d)
{
	struct sharq_cqe cqe = queue_run(q, d);

	ck_assert_msg(cqe.status == SHARQ_OK, "status %u", cqe.status);
}

/* ---- a shared mapping on ext4 ---- */

static void shared_on_ext4(size_t offset, uint32_t len)
{
	struct queue q = queue_new(8);
	size_t size = 2 * MIB;
	int fd = file_new(DISK_FILE, size);
	uint8_t *map = file_map(fd, size, MAP_SHARED);
	uint8_t *src = memory(size), *expected = memory(size);
	struct sharq_desc copy = desc_copy(map + offset, src, len);
	struct rng r = { len };

	rng_fill(&r, src, len);
	memcpy(expected + offset, src, len);
	run_ok(&q, &copy);
	ck_assert(!memcmp(map, expected, size));
	ck_assert(!msync(map, size, MS_SYNC));
	ck_assert(!munmap(map, size));
	ck_assert(!fsync(fd));
	close(fd);
	expect_on_disk(DISK_FILE, expected, size);
	queue_free(&q);
	munmap(src, size);
	munmap(expected, size);
	unlink(DISK_FILE);
}

START_TEST(p7_shared_ext4_destination_reaches_the_disk)
{
	shared_on_ext4(0, 100);
	shared_on_ext4(4090, 5000);
	shared_on_ext4(12345, 1 * MIB);
	shared_on_ext4(0, 2 * MIB);
}
END_TEST

/* All that this user may still have of the disk, in an unnamed file. */
static int fill_disk(void)
{
	int fd = open(DISK_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	off_t at = 0;

	ck_assert(fd >= 0);
	for (off_t size = 64 * MIB; size;) {
		if (!fallocate(fd, 0, at, size)) {
			at += size;
		} else {
			ck_assert_int_eq(errno, ENOSPC);
			size /= 2;
		}
	}
	return fd;
}

/* The thread that copies to it is the kernel's, and root's: the client isn't. */
START_TEST(p7_copying_to_a_hole_takes_no_blocks_that_are_root_s)
{
	struct queue q = queue_new(8);
	int fd = file_new(DISK_FILE, MIB), filler;
	uint8_t *map = file_map(fd, MIB, MAP_SHARED);
	struct sharq_desc copy = desc_copy(map, memory(MIB), MIB);
	struct sharq_cqe cqe;
	struct statvfs s;

	filler = fill_disk();
	ck_assert(!fstatvfs(fd, &s));
	/* Root could. */
	ck_assert_uint_ge(s.f_bfree * s.f_frsize, 4 * MIB);
	cqe = queue_run(&q, &copy);
	ck_assert_uint_eq(cqe.status, SHARQ_FAULT_WRITE);
	ck_assert(cqe.flags & SHARQ_CQE_ADDR_VALID);
	ck_assert(cqe.addr - (uintptr_t)map < MIB);
	close(filler);
	run_ok(&q, &copy);
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&q);
}
END_TEST

/* Once, though the kick is tried twice: it may not sleep at first. */
START_TEST(p7_what_is_staged_is_counted_once)
{
	struct queue q = queue_new(8);
	int fd = file_new(DISK_FILE, MIB);
	uint8_t *map = file_map(fd, MIB, MAP_SHARED), *src = memory(MIB);
	struct sharq_desc staged = desc_copy(map, src, 64 * KIB);
	struct sharq_desc copied = desc_copy(src, src + MIB / 2, 100);
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	queue_put(&q, &staged);
	ck_assert_int_eq(uring_kick(&ring, &q, 0), 1);
	queue_put(&q, &copied);
	ck_assert_int_eq(uring_kick(&ring, &q, 0), 1);
	queue_wait(&q, 2);
	ck_assert_uint_eq(queue_stats(q.id).staged, 64 * KIB);
	ck_assert_uint_eq(queue_stats(q.id).copied, 100);
	io_uring_queue_exit(&ring);
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&q);
}
END_TEST

/* There was room for more than came: that is no result. */
START_TEST(p7_shared_ext4_destination_changes_as_far_as_the_result_goes)
{
	struct queue q = queue_new(8);
	int fd = file_new(DISK_FILE, MIB);
	uint8_t *map = file_map(fd, MIB, MAP_SHARED);
	struct sharq_desc d =
		desc_compress(map, MIB, memory(64 * KIB), 64 * KIB);
	struct sharq_cqe cqe;

	memset(map, 0x6b, MIB);
	cqe = queue_run(&q, &d);
	ck_assert_uint_eq(cqe.status, SHARQ_OK);
	ck_assert_uint_gt(cqe.produced, 0);
	ck_assert_uint_lt(cqe.produced, MIB);
	ck_assert(!filled_with(map, 0x6b, cqe.produced));
	ck_assert(filled_with(map + cqe.produced, 0x6b, MIB - cqe.produced));
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&q);
}
END_TEST

/* Writeback makes pages read-only and clean, again and again. */
struct writeback {
	int fd;
	uint8_t *map;
	size_t size;
	unsigned int rounds;
	bool stop;
};

static void *write_back(void *arg)
{
	struct writeback *w = arg;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		if (msync(w->map, w->size, MS_SYNC) ||
		    sync_file_range(w->fd, 0, (off_t)w->size,
				    SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER) ||
		    fdatasync(w->fd))
			return "writeback failed";
		__atomic_add_fetch(&w->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

START_TEST(p7_shared_ext4_destination_is_right_under_writeback)
{
	struct queue q = queue_new(8);
	struct writeback w = { .size = MIB };
	uint8_t *src = memory(MIB), *expected = memory(MIB);
	struct rng r = { 5 };
	pthread_t thread;
	void *failed;

	w.fd = file_new(DISK_FILE, w.size);
	w.map = file_map(w.fd, w.size, MAP_SHARED);
	ck_assert(!pthread_create(&thread, NULL, write_back, &w));
	for (unsigned int i = 0;
	     i < 200 || __atomic_load_n(&w.rounds, __ATOMIC_RELAXED) < 20;
	     i++) {
		uint32_t len = (uint32_t)(1 + rng_next(&r) % (64 * KIB));
		uint32_t at = (uint32_t)(rng_next(&r) % (MIB - len));
		struct sharq_desc copy = desc_copy(w.map + at, src, len);

		rng_fill(&r, src, len);
		memcpy(expected + at, src, len);
		run_ok(&q, &copy);
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	ck_assert(!pthread_join(thread, &failed));
	ck_assert_msg(!failed, "%s", (const char *)failed);
	/* fsync alone: that the pages are dirty must be known to ext4. */
	ck_assert(!munmap(w.map, w.size));
	ck_assert(!fsync(w.fd));
	close(w.fd);
	expect_on_disk(DISK_FILE, expected, MIB);
	queue_free(&q);
	unlink(DISK_FILE);
}
END_TEST

/* ---- pins, as the kernel counts them ---- */

static unsigned int pinned_pages(const char *path)
{
	unsigned int cached = 0, pinned = 0;
	char text[64] = "";
	int r = broker_load("pincheck", ""), fd;

	ck_assert_msg(!r || r == -EEXIST, "pincheck: %s", strerror(-r));
	fd = broker_open(PINCHECK, O_RDWR);
	ck_assert_msg(fd >= 0, "%s: %s", PINCHECK, strerror(-fd));
	ck_assert(write(fd, path, strlen(path)) == (ssize_t)strlen(path));
	ck_assert(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	ck_assert_int_eq(sscanf(text, "cached %u pinned %u", &cached, &pinned),
			 2);
	ck_assert_msg(cached > 0, "%s has nothing in the cache", path);
	return pinned;
}

/*
 * Commands to and from the mappings @dst and @src of @path, either may be NULL,
 * held in flight. Return: how many of its pages are pinned then.
 */
static unsigned int pinned_in_flight(const char *path, uint8_t *dst,
				     const uint8_t *src)
{
	struct gate g = gate_new();
	struct queue q = queue_new(8);
	uint8_t *mine = memory(MIB);
	struct sharq_desc d[] = {
		desc_copy(dst, mine, 64 * KIB),
		desc_copy(dst + MIB / 4, mine, 100),
		desc_copy(mine + MIB / 2, src + MIB / 2, 64 * KIB),
	};
	unsigned int pinned, first = dst ? 0 : 2, end = src ? 3 : 2;

	gate_put(&g, &q);
	for (unsigned int i = first; i < end; i++) {
		d[i].flags = SHARQ_DESC_FENCE;
		queue_put(&q, &d[i]);
	}
	queue_kick(&q);
	pinned = pinned_pages(path);
	ck_assert_int_ge(pins_held(), pinned);
	gate_open(&g, &q);
	gate_take(&q);
	queue_wait(&q, end - first);
	for (unsigned int i = first; i < end; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
	munmap(mine, MIB);
	return pinned;
}

START_TEST(p7_shared_ext4_page_is_never_pinned)
{
	int fd = file_new(DISK_FILE, MIB);
	uint8_t *map = file_map(fd, MIB, MAP_SHARED);

	memset(map, 1, MIB);
	ck_assert_uint_eq(pinned_in_flight(DISK_FILE, map, map), 0);
	/* Nor when it can be written only after an mprotect(). */
	ck_assert(!mprotect(map + MIB / 2, MIB / 2, PROT_READ));
	ck_assert_uint_eq(pinned_in_flight(DISK_FILE, map, map), 0);
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);
}
END_TEST

/* Whatever mapping a source is in: it is the shared one's page. */
START_TEST(p7_shared_ext4_page_is_never_pinned_through_another_mapping)
{
	int fd = file_new(DISK_FILE, MIB), other;
	uint8_t *map = file_map(fd, MIB, MAP_SHARED), *private, *readable;

	memset(map, 1, MIB);
	private = file_map(fd, MIB, MAP_PRIVATE);
	ck_assert_uint_eq(pinned_in_flight(DISK_FILE, NULL, private), 0);
	/* What is written is the client's own page, not the file's. */
	ck_assert_uint_eq(pinned_in_flight(DISK_FILE, private, NULL), 0);
	ck_assert(filled_with(map, 1, MIB));
	other = open(DISK_FILE, O_RDONLY | O_CLOEXEC);
	readable = mmap(NULL, MIB, PROT_READ, MAP_SHARED, other, 0);
	ck_assert(readable != MAP_FAILED);
	ck_assert_uint_eq(pinned_in_flight(DISK_FILE, NULL, readable), 0);
	munmap(readable, MIB);
	munmap(private, MIB);
	munmap(map, MIB);
	close(other);
	close(fd);
	unlink(DISK_FILE);
}
END_TEST

/* That the question can be answered with yes. */
START_TEST(p7_pinned_pages_of_tmpfs_are_seen)
{
	int fd = file_new(TMPFS_FILE, MIB);
	uint8_t *map = file_map(fd, MIB, MAP_SHARED);
	long before = pins_held();

	memset(map, 1, MIB);
	ck_assert_uint_ge(pinned_in_flight(TMPFS_FILE, map, map), 32);
	ck_assert_int_eq(pins_held(), before);
	ck_assert_uint_eq(pinned_pages(TMPFS_FILE), 0);
	munmap(map, MIB);
	close(fd);
	unlink(TMPFS_FILE);
}
END_TEST

#define HALF (64 * KIB)

/* Each operand in the file's first pages and beyond its end. */
static void fault_beyond(struct queue *q, uint8_t *map)
{
	uint8_t *mine = memory(2 * HALF);
	const struct sharq_desc d[] = {
		desc_copy(mine, map, 2 * HALF),
		desc_copy(map, mine, 2 * HALF),
		desc_copy(mine, map + HALF - 2 * PAGE, 3 * PAGE),
		desc_copy(map + HALF - 2 * PAGE, mine, 3 * PAGE),
	};

	for (unsigned int i = 0; i < 4; i++) {
		struct sharq_cqe cqe = queue_run(q, &d[i]);

		ck_assert_uint_eq(cqe.status,
				  i & 1 ? SHARQ_FAULT_WRITE : SHARQ_FAULT_READ);
		ck_assert_uint_eq(cqe.addr, (uintptr_t)map + HALF);
	}
	munmap(mine, 2 * HALF);
}

/* What comes first is there, and pinned, when what follows can't be had. */
START_TEST(p7_nothing_stays_pinned_after_a_fault)
{
	int fd = file_new(TMPFS_FILE, HALF);
	uint8_t *map = file_map(fd, 2 * HALF, MAP_SHARED);
	struct queue q = queue_new(8);
	long before = pins_held();

	memset(map, 1, HALF);
	fault_beyond(&q, map);
	ck_assert_int_eq(pins_held(), before);
	ck_assert_uint_eq(pinned_pages(TMPFS_FILE), 0);
	queue_free(&q);
	munmap(map, 2 * HALF);
	close(fd);
	unlink(TMPFS_FILE);
}
END_TEST

/* What comes first is there, and pinned, when the kick would have to sleep. */
START_TEST(p7_nothing_stays_pinned_of_a_kick_that_is_tried_again)
{
	int fd = file_new(TMPFS_FILE, 2 * HALF);
	uint8_t *map = file_map(fd, 2 * HALF, MAP_SHARED);
	uint8_t *mine = file_map(-1, 2 * HALF, MAP_PRIVATE | MAP_ANONYMOUS);
	struct sharq_desc d = desc_copy(mine, map, 2 * HALF);
	struct queue q = queue_new(8);
	long before = pins_held();
	struct io_uring ring;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	memset(map, 1, HALF);
	memset(mine, 1, HALF);
	queue_put(&q, &d);
	ck_assert_int_eq(uring_kick(&ring, &q, 0), 1);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert(!memcmp(mine, map, 2 * HALF));
	ck_assert_int_eq(pins_held(), before);
	io_uring_queue_exit(&ring);
	queue_free(&q);
	munmap(mine, 2 * HALF);
	munmap(map, 2 * HALF);
	close(fd);
	unlink(TMPFS_FILE);
}
END_TEST

/* ---- other kinds of memory ---- */

/* Each size, to it and from it. */
static void there_and_back(uint8_t *map, size_t size)
{
	const uint32_t sizes[] = { 100, 5000, 64 * KIB, MIB };
	struct queue q = queue_new(8);
	uint8_t *src = memory(MIB), *back = memory(MIB);
	struct rng r = { 9 };

	for (unsigned int i = 0; i < 4; i++) {
		size_t at = sizes[i] < size / 2 ? size / 2 - 50 : 0;
		struct sharq_desc to = desc_copy(map + at, src, sizes[i]);
		struct sharq_desc from = desc_copy(back, map + at, sizes[i]);

		ck_assert_uint_le(at + sizes[i], size);
		rng_fill(&r, src, sizes[i]);
		run_ok(&q, &to);
		ck_assert(!memcmp(map + at, src, sizes[i]));
		run_ok(&q, &from);
		ck_assert(!memcmp(back, src, sizes[i]));
	}
	queue_free(&q);
	munmap(src, MIB);
	munmap(back, MIB);
}

START_TEST(p7_tmpfs_works)
{
	int fd = file_new(TMPFS_FILE, 2 * MIB);
	uint8_t *map = file_map(fd, 2 * MIB, MAP_SHARED),
		*got = memory(2 * MIB);

	there_and_back(map, 2 * MIB);
	ck_assert(pread(fd, got, 2 * MIB, 0) == 2 * MIB);
	ck_assert(!memcmp(got, map, 2 * MIB));
	munmap(map, 2 * MIB);
	close(fd);
	unlink(TMPFS_FILE);
}
END_TEST

START_TEST(p7_memfd_works)
{
	int fd = memfd_create("sharq-test", MFD_CLOEXEC);
	uint8_t *map, *got = memory(2 * MIB);

	ck_assert(fd >= 0);
	ck_assert(!ftruncate(fd, 2 * MIB));
	map = file_map(fd, 2 * MIB, MAP_SHARED);
	there_and_back(map, 2 * MIB);
	ck_assert(pread(fd, got, 2 * MIB, 0) == 2 * MIB);
	ck_assert(!memcmp(got, map, 2 * MIB));
	munmap(map, 2 * MIB);
	close(fd);
}
END_TEST

START_TEST(p7_hugetlb_works)
{
	uint8_t *map = file_map(-1, 2 * HUGE_PAGE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB);

	there_and_back(map, 2 * HUGE_PAGE);
	munmap(map, 2 * HUGE_PAGE);
	map = file_map(-1, 2 * HUGE_PAGE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB);
	there_and_back(map, 2 * HUGE_PAGE);
	munmap(map, 2 * HUGE_PAGE);
}
END_TEST

/* Of this process, in KiB. */
static unsigned int huge_memory(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	unsigned int kib = 0;
	char line[128];

	ck_assert(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %u", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

START_TEST(p7_transparent_huge_pages_work)
{
	uint8_t *room =
		file_map(-1, 3 * HUGE_PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
	uint8_t *map = (uint8_t *)(((uintptr_t)room + HUGE_PAGE - 1) &
				   ~(uintptr_t)(HUGE_PAGE - 1));

	ck_assert(!madvise(map, 2 * HUGE_PAGE, MADV_HUGEPAGE));
	there_and_back(map, 2 * HUGE_PAGE);
	ck_assert_msg(huge_memory() > 0, "there were no huge pages");
	munmap(room, 3 * HUGE_PAGE);
}
END_TEST

/* The copy is the process's, the file stays as it was. */
START_TEST(p7_private_mapping_leaves_its_file_alone)
{
	int fd = file_new(DISK_FILE, 2 * MIB);
	uint8_t *map, *before = memory(2 * MIB);
	struct rng r = { 11 };

	rng_fill(&r, before, 2 * MIB);
	ck_assert(pwrite(fd, before, 2 * MIB, 0) == 2 * MIB);
	ck_assert(!fsync(fd));
	map = file_map(fd, 2 * MIB, MAP_PRIVATE);
	/* The file's own pages are mapped now. */
	ck_assert(!memcmp(map, before, 2 * MIB));
	there_and_back(map, 2 * MIB);
	ck_assert(memcmp(map, before, 2 * MIB));
	munmap(map, 2 * MIB);
	close(fd);
	expect_on_disk(DISK_FILE, before, 2 * MIB);
	unlink(DISK_FILE);
}
END_TEST

/* A file that can only be read, and memory that was never touched. */
START_TEST(p7_sources_need_not_be_present)
{
	struct queue q = queue_new(8);
	int fd = file_new(DISK_FILE, MIB);
	uint8_t *expected = memory(MIB), *dst = memory(MIB), *map;
	struct sharq_desc copy;
	struct rng r = { 13 };

	rng_fill(&r, expected, MIB);
	ck_assert(pwrite(fd, expected, MIB, 0) == MIB);
	ck_assert(!fsync(fd));
	close(fd);
	drop_caches();
	fd = open(DISK_FILE, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	copy = desc_copy(dst, map, MIB);
	run_ok(&q, &copy);
	ck_assert(!memcmp(dst, expected, MIB));
	munmap(map, MIB);
	close(fd);
	unlink(DISK_FILE);

	map = file_map(-1, MIB, MAP_PRIVATE | MAP_ANONYMOUS);
	copy = desc_copy(dst, map, MIB);
	run_ok(&q, &copy);
	ck_assert(filled_with(dst, 0, MIB));
	munmap(map, MIB);
	map = file_map(-1, MIB, MAP_PRIVATE | MAP_ANONYMOUS);
	copy = desc_copy(map, expected, MIB);
	run_ok(&q, &copy);
	ck_assert(!memcmp(map, expected, MIB));
	munmap(map, MIB);
	queue_free(&q);
}
END_TEST

/* What is of staging and pinning. */
static void add_shadow_only(Suite *s)
{
	GUEST_ADD(s, p7_what_is_staged_is_counted_once, 60);
	GUEST_ADD(s, p7_shared_ext4_page_is_never_pinned, 60);
	GUEST_ADD(s,
		  p7_shared_ext4_page_is_never_pinned_through_another_mapping,
		  60);
	GUEST_ADD(s, p7_pinned_pages_of_tmpfs_are_seen, 60);
	GUEST_ADD(s, p7_nothing_stays_pinned_after_a_fault, 60);
	GUEST_ADD(s, p7_nothing_stays_pinned_of_a_kick_that_is_tried_again, 60);
}

Suite *guest_suite(void)
{
	Suite *s = suite_create("files");

	GUEST_ADD(s, p7_shared_ext4_destination_reaches_the_disk, 60);
	GUEST_ADD(s, p7_shared_ext4_destination_is_right_under_writeback, 60);
	GUEST_ADD(s,
		  p7_shared_ext4_destination_changes_as_far_as_the_result_goes,
		  60);
	GUEST_ADD(s, p7_copying_to_a_hole_takes_no_blocks_that_are_root_s, 60);
	GUEST_ADD(s, p7_tmpfs_works, 60);
	GUEST_ADD(s, p7_memfd_works, 60);
	GUEST_ADD(s, p7_hugetlb_works, 60);
	GUEST_ADD(s, p7_transparent_huge_pages_work, 60);
	GUEST_ADD(s, p7_private_mapping_leaves_its_file_alone, 60);
	GUEST_ADD(s, p7_sources_need_not_be_present, 60);
	if (queue_bind_request().path == SHARQ_BIND_SHADOW)
		add_shadow_only(s);
	return s;
}
