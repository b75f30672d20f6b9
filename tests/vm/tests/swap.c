// SPDX-License-Identifier: MIT
#include "swap.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define SWAP_FILE DISK_DIR "/swap"
#define PAGES 1024

/* What mkswap makes. */
static void make_swap_file(unsigned int pages)
{
	uint8_t *page = memory(PAGE);
	uint32_t *head = (void *)(page + 1024);
	int fd = open(SWAP_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert(fd >= 0);
	for (unsigned int i = 0; i < pages; i++)
		ck_assert(pwrite(fd, page, PAGE, (off_t)i * PAGE) == PAGE);
	head[0] = 1;
	head[1] = pages - 1;
	memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
	ck_assert(pwrite(fd, page, PAGE, 0) == PAGE);
	ck_assert(!fsync(fd));
	close(fd);
	ck_assert(!munmap(page, PAGE));
}

void swap_begin(void)
{
	int e;

	make_swap_file(PAGES);
	e = broker_swap_on(SWAP_FILE);
	ck_assert_msg(!e, "swapon: %s", strerror(-e));
}

void swap_end(void)
{
	ck_assert(!broker_swap_off(SWAP_FILE));
	ck_assert(!unlink(SWAP_FILE));
}

unsigned int swapped(const void *p, unsigned int n)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int there = 0;
	uint64_t entry;

	ck_assert(fd >= 0);
	for (uintptr_t i = 0; i < n; i++) {
		ck_assert(pread(fd, &entry, 8,
				(off_t)(((uintptr_t)p / PAGE + i) * 8)) == 8);
		there += entry >> 62 & 1;
	}
	close(fd);
	return there;
}

void swap_out(void *p, unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (swapped(p, n) < n) {
		ck_assert(!madvise(p, n * PAGE, MADV_PAGEOUT));
		ck_assert_msg(now_ms() < end, "%u of %u pages are swapped out",
			      swapped(p, n), n);
	}
}
