// SPDX-License-Identifier: MIT
/*
 * Copies of pages that aren't there yet, run by tests/vm/bench: by a device, whose
 * faults the kernel or the IOMMU must have served, beside a CPU that touches and
 * copies. Sides are run in turn, as in bench.c, and each of the three is measured
 * without and with sharq_prefetch(); a mapping is new in each copy.
 */
#include <fcntl.h>
#include <sharq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "median.h"
#include "queue.h"
#include "sdxi_ring.h"

#define DEPTH 64
#define LENGTH MIB
/* Of a side in a round. */
#define COPIES 8
#define ROUNDS_MAX 99
/* No power of two of pages lies between source and destination: see bench.c. */
#define GAP (68 * PAGE)

enum device {
	CPU,
	SOFT,
	SDXI
};
enum help {
	NONE,
	PREFETCH
};
enum source {
	WRITTEN,
	FILE_PAGES
};

/*
 * struct bench
 * @none: what sharq_prefetch() belongs to
 * @file: LENGTH bytes in the page cache
 * @src:  the same bytes, present
 */
struct bench {
	struct queue soft;
	struct sdxi_ring sdxi;
	bool has_sdxi;
	struct sharq *none;
	int file;
	uint8_t *src;
};

static void *map(size_t size, int prot, int flags, int fd)
{
	void *p = mmap(NULL, size, prot, flags, fd, 0);

	expect(p != MAP_FAILED, "no memory");
	return p;
}

/* Page by page: with huge pages there would be one fault. */
static uint8_t *small_pages(size_t size)
{
	uint8_t *p = map(size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1);

	expect(!madvise(p, size, MADV_NOHUGEPAGE), "madvise()");
	return p;
}

/* Who spins has a CPU that the faults need. */
static void wait_a_little(void)
{
	const struct timespec t = { .tv_nsec = 20000 };

	nanosleep(&t, NULL);
}

static void copy_soft(struct queue *q, void *dst, const void *src)
{
	const struct sharq_desc d = desc_copy(dst, src, LENGTH);

	queue_put(q, &d);
	queue_publish(q);
	queue_ring(q);
	while (!queue_completed(q))
		wait_a_little();
	expect(queue_take(q).status == SHARQ_OK, "a COPY by soft failed");
}

static void copy_sdxi(struct sdxi_ring *r, void *dst, const void *src)
{
	sdxi_put(r, sdxi_copy(dst, src, LENGTH));
	sdxi_bell(r);
	while (!sdxi_done(r))
		wait_a_little();
	expect(sdxi_take(r) == SHARQ_OK, "a COPY by the function failed");
}

static void copy(struct bench *b, enum device device, void *dst,
		 const void *src)
{
	if (device == SOFT)
		copy_soft(&b->soft, dst, src);
	else if (device == SDXI)
		copy_sdxi(&b->sdxi, dst, src);
	else
		memcpy(dst, src, LENGTH);
}

struct side {
	enum device device;
	enum source source;
	enum help help;
};

/* Seconds, of which maps and what looks at the copy are no part. */
static double one_copy(struct bench *b, const struct side *side)
{
	uint8_t *src = b->src, *dst = small_pages(LENGTH + GAP);
	double begin, seconds;

	if (side->source == FILE_PAGES)
		src = map(LENGTH, PROT_READ, MAP_SHARED, b->file);
	begin = now_s();
	if (side->help == PREFETCH) {
		expect(!sharq_prefetch(b->none, dst + GAP, LENGTH, true) &&
			       !sharq_prefetch(b->none, src, LENGTH, false),
		       "sharq_prefetch()");
	}
	copy(b, side->device, dst + GAP, src);
	seconds = now_s() - begin;
	expect(!memcmp(dst + GAP, b->src, LENGTH), "the copy is wrong");
	expect(!munmap(dst, LENGTH + GAP), "munmap()");
	if (src != b->src)
		expect(!munmap(src, LENGTH), "munmap()");
	return seconds;
}

static double measure(struct bench *b, const struct side *side)
{
	double seconds = 0;

	for (unsigned int i = 0; i < COPIES; i++)
		seconds += one_copy(b, side);
	return seconds / COPIES;
}

/* ---- the table ---- */

/* Comparisons with the CPU on the same source, without help. 0: context. */
static const struct row {
	const char *name;
	struct side side;
	double target;
} rows[] = {
	{ "(new pages: soft, direct / CPU)", { SOFT, WRITTEN, NONE }, 0 },
	{ "new pages, prefetched: soft / CPU", { SOFT, WRITTEN, PREFETCH }, 3 },
	{ "(from a file: soft, direct / CPU)", { SOFT, FILE_PAGES, NONE }, 0 },
	{ "a file, prefetched: soft / CPU", { SOFT, FILE_PAGES, PREFETCH }, 3 },
	{ "(new pages: sdxi, direct / CPU)", { SDXI, WRITTEN, NONE }, 0 },
	{ "new pages, prefetched: sdxi / CPU", { SDXI, WRITTEN, PREFETCH }, 3 },
	{ "(from a file: sdxi, direct / CPU)", { SDXI, FILE_PAGES, NONE }, 0 },
	{ "a file, prefetched: sdxi / CPU", { SDXI, FILE_PAGES, PREFETCH }, 3 },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

/* Seconds by round. The CPU's come right before those that they stand beside. */
struct result {
	double cpu[ROUNDS_MAX], device[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

static void print_row(const struct row *row, struct result *r,
		      unsigned int rounds)
{
	double ratio = median(r->ratio, rounds);

	printf("| %-37s %-5s %8.0f %8.0f %6.2f", row->name, "us",
	       1e6 * median(r->cpu, rounds), 1e6 * median(r->device, rounds),
	       ratio);
	if (row->target > 0)
		printf(" <= %.1f %s", row->target,
		       ratio <= row->target ? "ok" : "NO");
	printf("\n");
}

static void run_row(struct bench *b, const struct row *row, struct result *r,
		    unsigned int at)
{
	const struct side cpu = { CPU, row->side.source, NONE };

	r->cpu[at] = measure(b, &cpu);
	r->device[at] = measure(b, &row->side);
	r->ratio[at] = r->device[at] / r->cpu[at];
}

static void open_all(struct bench *b)
{
	b->soft = queue_new_direct(DEPTH);
	b->has_sdxi = guest_parameter("sdxi", 0);
	if (b->has_sdxi)
		b->sdxi = sdxi_ring_new();
	b->src = memset(small_pages(LENGTH), 1, LENGTH);
	b->file = memfd_create("cold", MFD_CLOEXEC);
	ck_assert(write(b->file, b->src, LENGTH) == LENGTH);
	ck_assert_int_eq(sharq_connect_none(&b->none), 0);
}

static void close_all(struct bench *b)
{
	sharq_disconnect(b->none);
	close(b->file);
	ck_assert(!munmap(b->src, LENGTH));
	if (b->has_sdxi)
		sdxi_ring_free(&b->sdxi);
	queue_free(&b->soft);
}

START_TEST(cold_pages)
{
	static struct result results[ROWS];
	unsigned int rounds = guest_parameter("rounds", 7);
	struct bench b = {};

	ck_assert(rounds >= 5 && rounds <= ROUNDS_MAX);
	open_all(&b);
	/* Round 0 warms up. */
	for (unsigned int round = 0; round <= rounds; round++)
		for (unsigned int i = 0; i < ROWS; i++)
			if (rows[i].side.device != SDXI || b.has_sdxi)
				run_row(&b, &rows[i], &results[i],
					round ? round - 1 : 0);
	printf("| %-37s %-5s %8s %8s %6s target\n",
	       "COPY 1 MiB, the first touch of:", "", "CPU", "device", "ratio");
	for (unsigned int i = 0; i < ROWS; i++)
		if (rows[i].side.device != SDXI || b.has_sdxi)
			print_row(&rows[i], &results[i], rounds);
	close_all(&b);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("bench_cold");

	GUEST_ADD(s, cold_pages, 600);
	return s;
}
