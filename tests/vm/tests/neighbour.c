// SPDX-License-Identifier: MIT
#include "neighbour.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "queue.h"

#define SMALL 256U
#define LARGE (16 * KIB)

/* Shared by both processes. */
struct neighbour_page {
	unsigned int rounds;
	bool stop;
};

/* Source and destination lie between bytes that stay as they are. */
static void verify(const uint8_t *dst, const uint8_t *src, uint32_t len)
{
	ck_assert_msg(!memcmp(dst + PAGE, src, len), "wrong data");
	ck_assert_msg(filled_with(dst, 0xa5, PAGE) &&
			      filled_with(dst + PAGE + LARGE, 0xa5, PAGE),
		      "bytes beside the destination changed");
}

static void round_of(struct queue *q, struct rng *r, uint8_t *src, uint8_t *dst)
{
	uint32_t len = rng_next(r) & 1 ? SMALL : LARGE;
	struct sharq_desc copy = desc_copy(dst + PAGE, src, len);
	struct sharq_desc crc = desc_crc(src, SMALL);
	struct sharq_cqe cqe;

	rng_fill(r, src, len);
	copy.user_data = rng_next(r);
	cqe = queue_run(q, &copy);
	ck_assert_uint_eq(cqe.user_data, copy.user_data);
	ck_assert_uint_eq(cqe.status, SHARQ_OK);
	verify(dst, src, len);
	cqe = queue_run(q, &crc);
	ck_assert_uint_eq(cqe.status, SHARQ_OK);
	ck_assert_uint_eq(cqe.crc, crc32c(src, SMALL));
}

static void live(struct neighbour_page *page, struct queue q)
{
	uint8_t *src = memory(LARGE), *dst = memory(LARGE + 2 * PAGE);
	struct rng r = { (uint64_t)getpid() };

	memset(dst, 0xa5, LARGE + 2 * PAGE);
	do
		round_of(&q, &r, src, dst);
	while (neighbour_again(page));
	queue_free(&q);
}

static void live_shadow(struct neighbour_page *page)
{
	live(page, queue_new(8));
}

static void live_direct(struct neighbour_page *page)
{
	live(page, queue_new_direct(8));
}

bool neighbour_again(struct neighbour_page *page)
{
	__atomic_add_fetch(&page->rounds, 1, __ATOMIC_RELEASE);
	return !__atomic_load_n(&page->stop, __ATOMIC_ACQUIRE);
}

struct neighbour neighbour_start_as(void (*life)(struct neighbour_page *page))
{
	struct neighbour n = {
		.page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0),
	};

	ck_assert(n.page != MAP_FAILED);
	n.pid = spawn();
	if (!n.pid) {
		life(n.page);
		_exit(0);
	}
	neighbour_advances(&n, 1);
	return n;
}

struct neighbour neighbour_start(void)
{
	return neighbour_start_as(live_shadow);
}

struct neighbour neighbour_start_direct(void)
{
	return neighbour_start_as(live_direct);
}

void neighbour_advances(const struct neighbour *n, unsigned int rounds)
{
	unsigned int begin =
		__atomic_load_n(&n->page->rounds, __ATOMIC_ACQUIRE);
	uint64_t end = now_ms() + PATIENCE_MS;

	while (__atomic_load_n(&n->page->rounds, __ATOMIC_ACQUIRE) - begin <
	       rounds) {
		ck_assert_msg(now_ms() < end, "the neighbour stands still");
		poll(NULL, 0, 1);
	}
}

void neighbour_stop(struct neighbour *n)
{
	__atomic_store_n(&n->page->stop, true, __ATOMIC_RELEASE);
	reap_well(n->pid);
	ck_assert(!munmap(n->page, PAGE));
}
