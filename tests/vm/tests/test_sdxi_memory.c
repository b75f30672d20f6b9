// SPDX-License-Identifier: MIT
/*
 * What a direct queue's device finds in memory that nobody prepared for it: no
 * page is touched by its client first, but asked for by page requests.
 *
 * The kernel logs no fault of all this: for those see test_sdxi_hostile.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_ring.h"
#include "swap.h"

#define DISK_FILE DISK_DIR "/sdxi"
#define HUGE_PAGE (2 * MIB)

static struct rng rng = { .state = 12 };

static void copies(struct sdxi_ring *r, const void *dst, const void *src,
		   uint32_t len)
{
	ck_assert_uint_eq(sdxi_run(r, sdxi_copy(dst, src, len)), SHARQ_OK);
}

static uint64_t page_requests(void)
{
	return sdxi_counter(SDXI_TEST_REG_PAGE_REQUESTS);
}

/* Untouched, of small pages. */
static void *cold(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(p != MAP_FAILED);
	ck_assert(!madvise(p, size, MADV_NOHUGEPAGE));
	return p;
}

static void faults(struct sdxi_ring *r, const void *dst, const void *src,
		   uint32_t len, enum sharq_status status)
{
	enum sharq_status is = sdxi_run(r, sdxi_copy(dst, src, len));

	ck_assert_msg(is == status, "status %u, not %u", is, status);
}

START_TEST(p3_pages_that_nobody_touched_are_asked_for)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(64 * PAGE), *dst = cold(64 * PAGE);
	uint8_t *zeros = cold(64 * PAGE);
	uint64_t before = page_requests();

	rng_fill(&rng, src, 64 * PAGE);
	copies(&r, dst + 100, src + 5, 63 * PAGE);
	ck_assert_uint_ge(page_requests(), before + 64);
	ck_assert(filled_with(dst, 0, 100));
	ck_assert(!memcmp(dst + 100, src + 5, 63 * PAGE));
	ck_assert(filled_with(dst + 100 + 63 * PAGE, 0, PAGE - 100));
	before = page_requests();
	copies(&r, dst, zeros, 64 * PAGE);
	ck_assert_uint_ge(page_requests(), before + 64);
	ck_assert(filled_with(dst, 0, 64 * PAGE));
	/* Now they are there, and the function knows where. */
	before = page_requests();
	copies(&r, dst, src, PAGE);
	ck_assert_uint_eq(page_requests(), before);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* Both have both: the parent's device writes to one, the child's to the other. */
START_TEST(p4_device_copies_on_write)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *a = memory(4 * PAGE), *b = memory(4 * PAGE);
	uint8_t *src = memory(4 * PAGE);
	int down[2], up[2];
	uint64_t before;
	pid_t pid;

	memset(a, 1, 4 * PAGE);
	memset(b, 2, 4 * PAGE);
	memset(src, 3, 4 * PAGE);
	/* The function has translations that fork makes read-only. */
	copies(&r, a, a + 2 * PAGE, PAGE);
	copies(&r, b, b + 2 * PAGE, PAGE);
	ck_assert(!pipe2(down, O_CLOEXEC) && !pipe2(up, O_CLOEXEC));
	pid = spawn();
	if (!pid) {
		struct sdxi_ring mine = sdxi_ring_new();

		copies(&mine, b, src, 4 * PAGE);
		peer_tell(up[1]);
		peer_hear(down[0]);
		CHILD_EXPECT(filled_with(a, 1, 4 * PAGE));
		CHILD_EXPECT(filled_with(b, 3, 4 * PAGE));
		sdxi_ring_free(&mine);
		_exit(0);
	}
	peer_hear(up[0]);
	before = page_requests();
	copies(&r, a, src, 4 * PAGE);
	ck_assert_uint_ge(page_requests(), before + 4);
	ck_assert(filled_with(a, 3, 4 * PAGE));
	ck_assert(filled_with(b, 2, 4 * PAGE));
	peer_tell(down[1]);
	reap_well(pid);
	copies(&r, src, b, 4 * PAGE);
	ck_assert(filled_with(src, 2, 4 * PAGE));
	for (int i = 0; i < 2; i++) {
		close(down[i]);
		close(up[i]);
	}
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p3_what_the_client_may_not_do_is_a_fault)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(4 * PAGE), *dst = memory(4 * PAGE);
	uint8_t *none = cold(4 * PAGE), *gone = memory(PAGE);

	memset(src, 0x77, 4 * PAGE);
	ck_assert(!mprotect(none, 4 * PAGE, PROT_NONE));
	ck_assert(!munmap(gone, PAGE));
	/* Known to the function as one that can be written. */
	copies(&r, dst, src, 4 * PAGE);
	memset(dst, 0, 4 * PAGE);
	ck_assert(!mprotect(dst + 2 * PAGE, PAGE, PROT_READ));
	faults(&r, dst, src, 3 * PAGE, SHARQ_FAULT_WRITE);
	ck_assert(filled_with(dst + 2 * PAGE, 0, PAGE));
	copies(&r, src, dst + 2 * PAGE, PAGE);
	faults(&r, dst, none + PAGE, 8, SHARQ_FAULT_READ);
	faults(&r, none + PAGE, src, 8, SHARQ_FAULT_WRITE);
	faults(&r, dst, gone, PAGE, SHARQ_FAULT_READ);
	faults(&r, gone + 9, src, 8, SHARQ_FAULT_WRITE);
	faults(&r, dst, NULL, 1, SHARQ_FAULT_READ);
	faults(&r, NULL, src, 1, SHARQ_FAULT_WRITE);
	/* The source's is the first that is met. */
	faults(&r, gone, none, PAGE, SHARQ_FAULT_READ);
	copies(&r, dst, src + PAGE, PAGE);
	ck_assert(filled_with(dst, 0x77, PAGE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p3_commands_behind_a_fault_are_done)
{
	enum {
		N = 200
	};
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(N * PAGE);

	rng_fill(&rng, src, PAGE);
	for (int i = 0; i < N; i++) {
		const void *from = i % 50 == 7 ? NULL : src;
		void *to = i % 50 == 8 ? NULL : dst + i * PAGE;

		sdxi_put(&r, sdxi_copy(to, from, PAGE));
	}
	sdxi_bell(&r);
	for (int i = 0; i < N; i++) {
		enum sharq_status status = sdxi_take(&r);

		if (i % 50 == 7)
			ck_assert_uint_eq(status, SHARQ_FAULT_READ);
		else if (i % 50 == 8)
			ck_assert_uint_eq(status, SHARQ_FAULT_WRITE);
		else
			ck_assert_msg(
				!status && !memcmp(dst + i * PAGE, src, PAGE),
				"command %d: status %u", i, status);
	}
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

static void map_anew(void *at, size_t size)
{
	ck_assert(mmap(at, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
}

START_TEST(p3_what_is_mapped_anew_is_found)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(2 * PAGE), *dst = memory(2 * PAGE);

	for (int i = 1; i < 100; i++) {
		map_anew(src, 2 * PAGE);
		memset(src, i, 2 * PAGE);
		copies(&r, dst, src, 2 * PAGE);
		ck_assert(filled_with(dst, (uint8_t)i, 2 * PAGE));
		map_anew(dst, 2 * PAGE);
		copies(&r, dst, src, PAGE);
		ck_assert(filled_with(dst, (uint8_t)i, PAGE));
		ck_assert(filled_with(dst + PAGE, 0, PAGE));
	}
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* Bytes in huge pages of the mapping at @p. */
static unsigned long huge_bytes(const void *p)
{
	unsigned long begin, end, kib = 0;
	bool here = false;
	char line[256];
	FILE *f = fopen("/proc/self/smaps", "re");

	ck_assert(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
			here = begin <= (uintptr_t)p && (uintptr_t)p < end;
		else if (here && sscanf(line, "AnonHugePages: %lu", &kib) == 1)
			break;
	}
	fclose(f);
	return kib * KIB;
}

START_TEST(p3_huge_pages_are_made_used_and_split)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(MIB), *dst, *room;

	room = mmap(NULL, 4 * HUGE_PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(room != MAP_FAILED);
	dst = room + (-(uintptr_t)room & (HUGE_PAGE - 1));
	ck_assert(!madvise(dst, 2 * HUGE_PAGE, MADV_HUGEPAGE));
	rng_fill(&rng, src, MIB);
	copies(&r, dst + HUGE_PAGE - 77, src, MIB);
	ck_assert_uint_ge(huge_bytes(dst), HUGE_PAGE);
	ck_assert(!memcmp(dst + HUGE_PAGE - 77, src, MIB));
	ck_assert(!mprotect(dst + HUGE_PAGE + PAGE, PAGE, PROT_READ));
	faults(&r, dst + HUGE_PAGE, src, MIB, SHARQ_FAULT_WRITE);
	ck_assert(!munmap(dst + HUGE_PAGE + 2 * PAGE, PAGE));
	faults(&r, src, dst + HUGE_PAGE, MIB, SHARQ_FAULT_READ);
	copies(&r, src, dst + HUGE_PAGE, 2 * PAGE);
	ck_assert(!memcmp(src, dst + HUGE_PAGE, 2 * PAGE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* Into a file by the mapping, from there by read(), and back. */
static void through_file(struct sdxi_ring *r, int fd)
{
	const uint32_t size = 64 * KIB;
	uint8_t *src = memory(size), *got = memory(size), *map;
	uint64_t before = page_requests();

	ck_assert(fd >= 0 && !ftruncate(fd, size));
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	rng_fill(&rng, src, size);
	copies(r, map + 7, src + 7, size - 7);
	ck_assert_uint_ge(page_requests(), before + size / PAGE);
	ck_assert(pread(fd, got, size, 0) == size);
	ck_assert(!memcmp(got + 7, src + 7, size - 7));
	memset(got, 0, size);
	copies(r, got, map, size);
	ck_assert(!memcmp(got + 7, src + 7, size - 7));
	/* Beyond its end there is nothing. */
	ck_assert(!ftruncate(fd, 8 * PAGE));
	faults(r, got, map, size, SHARQ_FAULT_READ);
	faults(r, map, src, size, SHARQ_FAULT_WRITE);
	ck_assert(!munmap(map, size));
}

START_TEST(p7_memfd_is_written_as_by_the_client)
{
	struct sdxi_ring r = sdxi_ring_new();
	int fd = memfd_create("sdxi", MFD_CLOEXEC);

	through_file(&r, fd);
	close(fd);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* What is on the disk, not what is in the page cache. */
static void on_disk(const uint8_t *want, size_t size)
{
	int fd = open(DISK_FILE, O_RDONLY | O_DIRECT | O_CLOEXEC);
	uint8_t *got = memory(size);

	ck_assert(fd >= 0);
	ck_assert(pread(fd, got, size, 0) == (ssize_t)size);
	ck_assert(!memcmp(got, want, size));
	ck_assert(!munmap(got, size));
	close(fd);
}

/* Written back it is clean; written to again, dirty, though nobody unmapped it. */
START_TEST(p7_file_is_written_back_each_time)
{
	struct sdxi_ring r = sdxi_ring_new();
	int fd = open(DISK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint8_t *src = memory(8 * PAGE), *map;

	through_file(&r, fd);
	map = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	for (int i = 0; i < 10; i++) {
		rng_fill(&rng, src, 8 * PAGE);
		copies(&r, map, src, 8 * PAGE);
		ck_assert(!fsync(fd));
		on_disk(src, 8 * PAGE);
	}
	ck_assert(!munmap(map, 8 * PAGE));
	close(fd);
	ck_assert(!unlink(DISK_FILE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p3_swapped_pages_are_brought_back)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = cold(64 * PAGE), *dst = cold(64 * PAGE);
	uint8_t *want = memory(64 * PAGE);
	uint64_t before;

	swap_begin();
	rng_fill(&rng, want, 64 * PAGE);
	memcpy(src, want, 64 * PAGE);
	memset(dst, 0x33, 64 * PAGE);
	/* The function knows where they are, until they go. */
	copies(&r, dst, src, 64 * PAGE);
	memset(dst, 0x33, 64 * PAGE);
	swap_out(src, 64);
	swap_out(dst, 64);
	before = page_requests();
	copies(&r, dst + 10, src, 63 * PAGE);
	ck_assert_uint_ge(page_requests(), before + 127);
	ck_assert(filled_with(dst, 0x33, 10));
	ck_assert(!memcmp(dst + 10, want, 63 * PAGE));
	ck_assert(filled_with(dst + 10 + 63 * PAGE, 0x33, PAGE - 10));
	sdxi_ring_free(&r);
	swap_end();
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi memory");

	GUEST_ADD(s, p3_pages_that_nobody_touched_are_asked_for, 30);
	GUEST_ADD(s, p4_device_copies_on_write, 30);
	GUEST_ADD(s, p3_what_the_client_may_not_do_is_a_fault, 30);
	GUEST_ADD(s, p3_commands_behind_a_fault_are_done, 30);
	GUEST_ADD(s, p3_what_is_mapped_anew_is_found, 30);
	GUEST_ADD(s, p3_huge_pages_are_made_used_and_split, 30);
	GUEST_ADD(s, p7_memfd_is_written_as_by_the_client, 30);
	GUEST_ADD(s, p7_file_is_written_back_each_time, 30);
	GUEST_ADD(s, p3_swapped_pages_are_brought_back, 60);
	return s;
}
