// SPDX-License-Identifier: MIT
#include "sdxi_load.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"
#include "sdxi_function.h"

#define RING_LEN (64 * KIB)

static struct rng rng = { .state = 4 };

/* ---- by a shadow queue ---- */

struct queue sdxi_queue(unsigned int depth)
{
	struct sharq_ctl_create c = queue_request(depth);

	c.device = sdxi_device().id;
	c.pin_bytes = 256 * MIB;
	c.in_device = COMMANDS;
	return queue_make(&c);
}

void sdxi_queue_is_dead(const struct queue *q)
{
	ck_assert(queue_poll(q->fd, 0) & POLLHUP);
	ck_assert_int_eq(queue_ioctl_kick(q->fd, 1), -ESHUTDOWN);
}

struct load load_new(uint32_t len)
{
	struct load l = { .q = sdxi_queue(COMMANDS), .len = len };

	l.src = memory((size_t)COMMANDS * len);
	l.dst = memory((size_t)COMMANDS * len);
	rng_fill(&rng, l.src, (size_t)COMMANDS * len);
	return l;
}

void load_kick(struct load *l)
{
	memset(l->dst, 0, (size_t)COMMANDS * l->len);
	memset(l->by_status, 0, sizeof(l->by_status));
	for (unsigned int i = 0; i < COMMANDS; i++) {
		size_t at = (size_t)i * l->len;
		struct sharq_desc d =
			desc_copy(l->dst + at, l->src + at, l->len);

		d.user_data = i;
		queue_put(&l->q, &d);
	}
	queue_kick(&l->q);
}

static unsigned int completed(const struct load *l)
{
	return __atomic_load_n(&l->q.ring->cq_tail, __ATOMIC_ACQUIRE) -
	       l->q.head;
}

void load_take(struct load *l)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	uint64_t seen = 0;

	while (completed(l) < COMMANDS) {
		ck_assert_msg(now_ms() < end, "%u of %u completions",
			      completed(l), COMMANDS);
		poll(NULL, 0, 1);
	}
	ck_assert_uint_eq(completed(l), COMMANDS);
	for (unsigned int i = 0; i < COMMANDS; i++) {
		struct sharq_cqe cqe = queue_take(&l->q);
		size_t at = (size_t)cqe.user_data * l->len;

		ck_assert_uint_lt(cqe.user_data, COMMANDS);
		ck_assert(!(seen & 1ULL << cqe.user_data));
		seen |= 1ULL << cqe.user_data;
		ck_assert_uint_lt(cqe.status, SHARQ_STATUS_COUNT);
		l->by_status[cqe.status]++;
		if (cqe.status != SHARQ_OK)
			continue;
		ck_assert_uint_eq(cqe.produced, l->len);
		ck_assert(!memcmp(l->src + at, l->dst + at, l->len));
	}
}

void load_take_all_ok(struct load *l)
{
	load_take(l);
	ck_assert_uint_eq(l->by_status[SHARQ_OK], COMMANDS);
}

void load_is_gone(struct load *l)
{
	load_take(l);
	ck_assert_uint_eq(l->by_status[SHARQ_OK] + l->by_status[SHARQ_RESET] +
				  l->by_status[SHARQ_CANCELED],
			  COMMANDS);
	sdxi_queue_is_dead(&l->q);
	ck_assert_uint_eq(queue_seen(l->q.id).state, SHARQ_QUEUE_GONE);
}

void load_free(struct load *l)
{
	queue_free(&l->q);
	munmap(l->src, (size_t)COMMANDS * l->len);
	munmap(l->dst, (size_t)COMMANDS * l->len);
}

void load_works(void)
{
	struct load l = load_new(10000);

	load_kick(&l);
	load_take_all_ok(&l);
	load_free(&l);
}

/* ---- by a direct queue ---- */

void ring_put_copies(struct sdxi_ring *r, uint8_t *dst, const uint8_t *src,
		     uint32_t len)
{
	for (int i = 0; i < COMMANDS; i++)
		sdxi_put(r, sdxi_copy(dst + (size_t)i * len,
				      src + (size_t)i * len, len));
	sdxi_bell(r);
}

unsigned int ring_take_copies(struct sdxi_ring *r, const uint8_t *dst,
			      const uint8_t *src, uint32_t len)
{
	unsigned int by_status[SHARQ_STATUS_COUNT] = { 0 };

	for (unsigned int i = 0; i < COMMANDS; i++) {
		enum sharq_status status = sdxi_take(r);
		const uint8_t *to = dst + (size_t)i * len;

		by_status[status]++;
		if (status == SHARQ_OK) {
			ck_assert_uint_eq(by_status[SHARQ_OK], i + 1);
			ck_assert(!memcmp(to, src + (size_t)i * len, len));
		} else if (status == SHARQ_CANCELED) {
			ck_assert(filled_with(to, 0, len));
		}
	}
	ck_assert_uint_le(by_status[SHARQ_RESET], 1);
	ck_assert_uint_eq(by_status[SHARQ_OK] + by_status[SHARQ_RESET] +
				  by_status[SHARQ_CANCELED],
			  COMMANDS);
	return by_status[SHARQ_OK];
}

struct sdxi_ring ring_new_hung(uint8_t *dst, const uint8_t *src, uint32_t len)
{
	struct sdxi_ring r = sdxi_ring_new();

	sdxi_misbehave(sdxi_context(&r), SDXI_TEST_HANG, 0);
	ring_put_copies(&r, dst, src, len);
	return r;
}

void ring_fill(struct sdxi_ring *r, struct rng *random, uint8_t *dst,
	       const uint8_t *src)
{
	for (unsigned int i = 0; i < r->entries; i++) {
		uint32_t at = (uint32_t)(rng_next(random) % (8 * MIB));

		sdxi_put(r, sdxi_copy(dst + at, src + at, 16 * KIB));
	}
}

void ring_is_dead(struct sdxi_ring *r)
{
	ck_assert(queue_poll(r->fd, 0) & POLLHUP);
	ck_assert_int_eq(sdxi_ring_start(r, r->area), -ESHUTDOWN);
	/* A doorbell that nobody hears is harmless. */
	sdxi_bell(r);
}

struct ring_load ring_load_new(void)
{
	struct ring_load l = { .r = sdxi_ring_new(),
			       .src = memory(COMMANDS * RING_LEN),
			       .dst = memory(COMMANDS * RING_LEN) };

	rng_fill(&rng, l.src, COMMANDS * RING_LEN);
	return l;
}

void ring_load_put(struct ring_load *l)
{
	memset(l->dst, 0, COMMANDS * RING_LEN);
	ring_put_copies(&l->r, l->dst, l->src, RING_LEN);
}

unsigned int ring_load_take(struct ring_load *l)
{
	return ring_take_copies(&l->r, l->dst, l->src, RING_LEN);
}

void ring_load_free(struct ring_load *l, unsigned int done)
{
	for (unsigned int i = done + 1; i < COMMANDS; i++)
		ck_assert(filled_with(l->dst + (size_t)i * RING_LEN, 0,
				      RING_LEN));
	sdxi_ring_free(&l->r);
	munmap(l->src, COMMANDS * RING_LEN);
	munmap(l->dst, COMMANDS * RING_LEN);
}

unsigned int ring_load_is_gone(struct ring_load *l)
{
	unsigned int done;

	sdxi_wait_settled(&l->r);
	done = ring_load_take(l);
	ring_is_dead(&l->r);
	ck_assert_uint_eq(queue_seen(l->r.id).state, SHARQ_QUEUE_GONE);
	ring_load_free(l, done);
	return done;
}

void ring_load_works(void)
{
	struct ring_load l = ring_load_new();

	ring_load_put(&l);
	ck_assert_uint_eq(ring_load_take(&l), COMMANDS);
	ring_load_free(&l, COMMANDS);
}
