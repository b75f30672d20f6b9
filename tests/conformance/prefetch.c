/* SPDX-License-Identifier: MIT */
/* sharq_prefetch(): pages are there, and nothing else has changed. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define PAGES 64U
#define PRESENT (1ULL << 63)

static size_t page;

static uint8_t *map(size_t pages, int prot, int flags, int fd)
{
	void *p = mmap(NULL, pages * page, prot, flags, fd, 0);

	EXPECT(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

/* Page by page. */
static uint8_t *new_pages(size_t pages)
{
	uint8_t *p = map(pages, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	EXPECT(!madvise(p, pages * page, MADV_NOHUGEPAGE), "madvise: %s",
	       strerror(errno));
	return p;
}

/* @pages of random bytes, in memory and in a file. */
static uint8_t *new_file(size_t pages, int *fd)
{
	uint8_t *p = xmalloc(pages * page);
	struct rng r = { 7 };

	rng_fill(&r, p, pages * page);
	*fd = memfd_create("prefetch", MFD_CLOEXEC);
	EXPECT(*fd >= 0, "memfd_create: %s", strerror(errno));
	EXPECT_EQ(write(*fd, p, pages * page), pages * page, "write()");
	return p;
}

/* How many pages from the one at @p on are in this process's page table. */
static unsigned int present(const uint8_t *p, unsigned int pages)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int n = 0;
	uint64_t entry;

	EXPECT(fd >= 0, "pagemap: %s", strerror(errno));
	for (unsigned int i = 0; i < pages; i++) {
		off_t at = (off_t)((uintptr_t)p / page + i) * 8;

		EXPECT_EQ(pread(fd, &entry, 8, at), 8, "pread() of pagemap");
		n += !!(entry & PRESENT);
	}
	close(fd);
	return n;
}

static void begin(struct session *c)
{
	page = (size_t)sysconf(_SC_PAGESIZE);
	session_open(c, 8, 0);
}

static void prefetched_pages_are_there(void)
{
	struct session c;
	uint8_t *bytes, *src, *dst;
	struct sharq_cqe cqe;
	int fd;

	begin(&c);
	bytes = new_file(PAGES, &fd);
	src = map(PAGES, PROT_READ, MAP_SHARED, fd);
	dst = new_pages(PAGES);
	EXPECT_EQ(present(dst, PAGES), 0, "pages present before");
	EXPECT_EQ(sharq_prefetch(c.s, src, PAGES * page, false), 0, "read");
	EXPECT_EQ(sharq_prefetch(c.s, dst, PAGES * page, true), 0, "write");
	EXPECT_EQ(present(src, PAGES), PAGES, "pages of the source");
	EXPECT_EQ(present(dst, PAGES), PAGES, "pages of the destination");
	sharq_prep_copy(sqe_get(c.q), dst, src, PAGES * (uint32_t)page);
	cqe = run_one(c.q);
	expect_status(&cqe, SHARQ_OK, "COPY");
	EXPECT(!memcmp(dst, bytes, PAGES * page), "the copy is wrong");
	free(bytes);
	session_close(&c);
}

/* From the middle of a page to that of another: whole pages, and no others. */
static void prefetch_takes_any_bytes(void)
{
	struct session c;
	uint8_t *p;

	begin(&c);
	p = new_pages(8);
	EXPECT_EQ(sharq_prefetch(c.s, p + 2 * page - 1, page + 2, true), 0,
		  "prefetch");
	EXPECT_EQ(present(p + page, 3), 3, "pages that were asked for");
	EXPECT_EQ(present(p, 8), 3, "pages in all");
	EXPECT_EQ(sharq_prefetch(c.s, p + 1, 0, true), 0,
		  "prefetch of nothing");
	EXPECT_EQ(present(p, 8), 3, "pages after nothing");
	session_close(&c);
}

/* Of a private map of a file, too, of which @write makes copies. */
static void prefetch_changes_no_byte(void)
{
	struct session c;
	uint8_t *bytes, *copy, *used;
	int fd;

	begin(&c);
	bytes = new_file(PAGES, &fd);
	copy = map(PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	used = memcpy(new_pages(PAGES), bytes, PAGES * page);
	for (int write = 0; write < 2; write++) {
		EXPECT_EQ(sharq_prefetch(c.s, used, PAGES * page, write), 0,
			  "memory in use");
		EXPECT_EQ(sharq_prefetch(c.s, copy, PAGES * page, write), 0,
			  "a private map");
		EXPECT(!memcmp(used, bytes, PAGES * page), "memory changed");
		EXPECT(!memcmp(copy, bytes, PAGES * page), "the map changed");
	}
	free(bytes);
	session_close(&c);
}

static void prefetch_says_what_cannot_be(void)
{
	struct session c;
	uint8_t *hole, *readable, *file;
	int fd;

	begin(&c);
	hole = new_pages(3);
	EXPECT(!munmap(hole + page, page), "munmap: %s", strerror(errno));
	EXPECT_EQ(sharq_prefetch(c.s, hole, 3 * page, true), -ENOMEM, "a hole");
	EXPECT_EQ(sharq_prefetch(c.s, hole, -page, true), -ENOMEM, "too much");
	EXPECT_EQ(sharq_prefetch(c.s, hole + page, SIZE_MAX, true), -ENOMEM,
		  "beyond the last address");
	free(new_file(1, &fd));
	readable = map(1, PROT_READ, MAP_SHARED, fd);
	EXPECT_EQ(sharq_prefetch(c.s, readable, page, true), -EINVAL,
		  "to write where that is forbidden");
	EXPECT_EQ(sharq_prefetch(c.s, readable, page, false), 0, "to read");
	file = map(2, PROT_READ, MAP_SHARED, fd);
	EXPECT_EQ(sharq_prefetch(c.s, file, 2 * page, false), -EFAULT,
		  "beyond a file's end");
	session_close(&c);
}

static void p4_prefetch_in_a_child_is_refused(void)
{
	struct session c;
	int status;
	pid_t pid;

	begin(&c);
	pid = fork();
	EXPECT(pid >= 0, "fork: %s", strerror(errno));
	if (!pid)
		_exit(sharq_prefetch(c.s, &c, sizeof(c), true) != -EPERM);
	EXPECT_EQ(waitpid(pid, &status, 0), pid, "waitpid()");
	EXPECT_EQ(status, 0, "the child's status");
	session_close(&c);
}

const struct test prefetch_tests[] = {
	{ "prefetched_pages_are_there", prefetched_pages_are_there, 30, 0 },
	{ "prefetch_takes_any_bytes", prefetch_takes_any_bytes, 30, 0 },
	{ "prefetch_changes_no_byte", prefetch_changes_no_byte, 30, 0 },
	{ "prefetch_says_what_cannot_be", prefetch_says_what_cannot_be, 30, 0 },
	{ "p4_prefetch_in_a_child_is_refused",
	  p4_prefetch_in_a_child_is_refused, 30, 0 },
	{}
};
