// SPDX-License-Identifier: MIT
/*
 * P11: page tables that the kernel freed while a PASID was bound, and that are in
 * use anew. Who still went by them would follow entries that a client wrote.
 *
 * All runs on one processor: what is freed there is what is allocated next.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_ring.h"

#define HUGE_PAGE (2UL * MIB)
/* Of them each page table maps one. */
#define TABLES 32
/* Nothing else has a page table for what is mapped here. */
#define FAR_AWAY ((void *)0x100000000000)
/* proc_pid_pagemap(5), and the kernel's Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_PFN ((1ULL << 55) - 1)
#define KPF_PGTABLE (1ULL << 26)
/* Present, writable, the user's, accessed, dirty: for the processor and the IOMMU. */
#define ENTRY_BITS 0x67
#define SPRAY 16
#define ROUNDS 20

static uint64_t word(int fd, uint64_t index)
{
	uint64_t value;

	ck_assert(pread(fd, &value, sizeof(value), (off_t)(index * 8)) ==
		  sizeof(value));
	return value;
}

static uint64_t frame(int pagemap, const void *p)
{
	uint64_t value = word(pagemap, (uintptr_t)p / PAGE);

	ck_assert(value & PAGEMAP_PRESENT);
	ck_assert(value & PAGEMAP_PFN);
	return value & PAGEMAP_PFN;
}

/* Of all page frames, whether it is a page table. */
static bool *tables_now(int kpageflags, size_t *n)
{
	uint64_t flags[512];
	bool *is = NULL;
	ssize_t got;

	*n = 0;
	while ((got = pread(kpageflags, flags, sizeof(flags),
			    (off_t)(*n * 8))) > 0) {
		size_t more = (size_t)got / 8;

		is = realloc(is, *n + more);
		ck_assert(is);
		for (size_t i = 0; i < more; i++)
			is[*n + i] = flags[i] & KPF_PGTABLE;
		*n += more;
	}
	ck_assert(is);
	return is;
}

/* Of small pages, none present: each page table of it is to be made. */
static uint8_t *far_away(void)
{
	uint8_t *p = mmap(FAR_AWAY, TABLES * HUGE_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			  0);

	ck_assert(p == FAR_AWAY);
	ck_assert(!madvise(p, TABLES * HUGE_PAGE, MADV_NOHUGEPAGE));
	return p;
}

/* The device goes by @n of them, whose frames are in the set that is returned. */
static bool *used_tables(struct sdxi_ring *r, uint8_t *at, int kpageflags,
			 size_t *n)
{
	bool *before = tables_now(kpageflags, n), *after;
	static uint8_t mine[64];
	unsigned int found = 0;

	for (unsigned int i = 0; i < TABLES; i++)
		ck_assert_uint_eq(sdxi_run(r, sdxi_copy(at + i * HUGE_PAGE,
							mine, sizeof(mine))),
				  SHARQ_OK);
	after = tables_now(kpageflags, n);
	for (size_t i = 0; i < *n; i++) {
		after[i] &= !before[i];
		found += after[i];
	}
	ck_assert_uint_ge(found, TABLES);
	free(before);
	return after;
}

/* After a grace period of the kernel's. */
static void wait_freed(int kpageflags, const bool *used, size_t n)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	unsigned int freed;

	do {
		ck_assert_msg(now_ms() < end, "no page table is freed");
		freed = 0;
		for (size_t i = 0; i < n; i++)
			freed += used[i] &&
				 !(word(kpageflags, i) & KPF_PGTABLE);
	} while (freed < TABLES);
}

/* Its rings are the kernel's pages, and a client's to write to: with entries for
 * @secret. How many of them are in @used. */
static unsigned int fill_with_entries(const struct queue *q, int pagemap,
				      uint64_t secret, const bool *used,
				      size_t n)
{
	uint64_t *entries = q->map;
	unsigned int found = 0;

	for (size_t i = 0; i < q->bind.map_size / 8; i++)
		__atomic_store_n(&entries[i], secret * PAGE | ENTRY_BITS,
				 __ATOMIC_RELAXED);
	for (size_t at = 0; at < q->bind.map_size; at += PAGE) {
		uint64_t is = frame(pagemap, (uint8_t *)q->map + at);

		found += is < n && used[is];
	}
	return found;
}

/*
 * The device goes by page tables; they are freed; their pages have other contents.
 * Then it tries once more. How many page tables were in use anew.
 */
static unsigned int try_tables(struct sdxi_ring *r, int kpageflags, int pagemap,
			       uint64_t secret)
{
	struct queue spray[SPRAY];
	uint8_t *at = far_away();
	unsigned int found = 0;
	bool *used;
	size_t n;

	used = used_tables(r, at, kpageflags, &n);
	ck_assert(!munmap(at, TABLES * HUGE_PAGE));
	wait_freed(kpageflags, used, n);
	for (unsigned int i = 0; i < SPRAY; i++) {
		spray[i] = queue_new(SHARQ_MAX_DEPTH);
		found += fill_with_entries(&spray[i], pagemap, secret, used, n);
	}
	for (unsigned int i = 0; i < TABLES; i++)
		sdxi_unreachable(r, (uintptr_t)at + i * HUGE_PAGE);
	for (unsigned int i = 0; i < SPRAY; i++)
		queue_free(&spray[i]);
	free(used);
	return found;
}

static int open_of(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = broker_open(path, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Its page at @p is nobody else's, and stays as it was. */
static pid_t owner_of_a_secret(uint8_t *p, int over)
{
	pid_t pid = spawn();
	char byte;

	if (!pid) {
		CHILD_EXPECT(read(over, &byte, 1) == 1);
		CHILD_EXPECT(filled_with(p, 0x99, PAGE));
		_exit(0);
	}
	return pid;
}

/*
 * struct secret - a page that is @owner's alone, and mustn't change
 * @frame: of it
 */
struct secret {
	pid_t owner;
	int over[2];
	uint64_t frame;
};

static struct secret secret_new(int pagemap)
{
	uint8_t *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct secret s;

	ck_assert(p != MAP_FAILED);
	ck_assert(!pipe(s.over));
	memset(p, 0x99, PAGE);
	s.frame = frame(pagemap, p);
	s.owner = owner_of_a_secret(p, s.over[0]);
	ck_assert(!munmap(p, PAGE));
	return s;
}

static void secret_kept(const struct secret *s)
{
	ck_assert(write(s->over[1], "", 1) == 1);
	reap_well(s->owner);
	close(s->over[0]);
	close(s->over[1]);
}

START_TEST(p11_page_tables_freed_and_used_anew_lead_nowhere)
{
	struct sdxi_ring r = sdxi_ring_new();
	int kpageflags = broker_open("/proc/kpageflags", O_RDONLY);
	int pagemap = open_of(getpid(), "pagemap");
	struct secret secret = secret_new(pagemap);
	unsigned int anew = 0;

	ck_assert_int_ge(kpageflags, 0);
	for (unsigned int i = 0; i < ROUNDS && !anew; i++)
		anew = try_tables(&r, kpageflags, pagemap, secret.frame);
	ck_assert_msg(anew, "no page table's page was used anew");
	secret_kept(&secret);
	close(kpageflags);
	close(pagemap);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* ---- the kernel's own, by ../kerneltable ---- */

#define KERNELTABLE "/sys/kernel/debug/kerneltable"

static uint64_t mapped_by_it(void)
{
	char text[32] = "";
	int fd = broker_open(KERNELTABLE, O_RDONLY);
	uint64_t at;

	ck_assert_int_ge(fd, 0);
	ck_assert(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	at = strtoull(text, NULL, 10);
	ck_assert(at >> 63);
	return at;
}

static void none_is_reached(struct sdxi_ring *r, uint64_t at)
{
	for (uint64_t i = 0; i < HUGE_PAGE; i += HUGE_PAGE / 8)
		sdxi_unreachable(r, at + i);
}

START_TEST(p11_the_kernels_page_tables_freed_and_used_anew_lead_nowhere)
{
	struct sdxi_ring r = sdxi_ring_new();
	int pagemap = open_of(getpid(), "pagemap"), ret;
	struct secret secret = secret_new(pagemap);
	char text[32];
	uint64_t at;

	for (unsigned int i = 0; i < 4; i++) {
		ret = broker_load("kerneltable", "");
		ck_assert_msg(!ret, "kerneltable: %s", strerror(-ret));
		at = mapped_by_it();
		/* The function's walk goes by it, as far as the page. */
		none_is_reached(&r, at);
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)secret.frame);
		ret = broker_write(KERNELTABLE, text);
		ck_assert_msg(!ret, "the page table: %s", strerror(-ret));
		none_is_reached(&r, at);
		ck_assert(!broker_unload("kerneltable"));
		none_is_reached(&r, at);
	}
	secret_kept(&secret);
	close(pagemap);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi tables");

	GUEST_ADD(s, p11_page_tables_freed_and_used_anew_lead_nowhere, 60);
	GUEST_ADD(s,
		  p11_the_kernels_page_tables_freed_and_used_anew_lead_nowhere,
		  60);
	return s;
}
