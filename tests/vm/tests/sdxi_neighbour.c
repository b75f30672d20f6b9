// SPDX-License-Identifier: MIT
#include "sdxi_neighbour.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_ring.h"

#define LARGE (16 * KIB)
#define COPIES 4
#define AROUND 0xa5
/* A little less than SHARQ_SDXI_FAULTS_PER_S of them. */
#define BETWEEN_FAULTS_MS 20

/* Destinations lie between bytes that stay as they are. */
struct work {
	struct rng rng;
	uint8_t *src;
	uint8_t *dst;
	uint32_t len[COPIES];
	uint32_t from[COPIES];
};

static uint8_t *dst_of(const struct work *w, int i)
{
	return w->dst + (size_t)i * 2 * LARGE + PAGE / 2;
}

static struct work work_new(void)
{
	struct work w = { .rng = { (uint64_t)getpid() },
			  .src = memory(2 * LARGE),
			  .dst = memory((size_t)COPIES * 2 * LARGE) };

	memset(w.dst, AROUND, (size_t)COPIES * 2 * LARGE);
	return w;
}

static void work_plan(struct work *w)
{
	rng_fill(&w->rng, w->src, 2 * LARGE);
	for (int i = 0; i < COPIES; i++) {
		w->len[i] = (uint32_t)(1 + rng_next(&w->rng) % LARGE);
		w->from[i] = (uint32_t)(rng_next(&w->rng) % LARGE);
	}
}

static void work_verify(struct work *w)
{
	for (int i = 0; i < COPIES; i++) {
		uint8_t *dst = dst_of(w, i);

		ck_assert_msg(!memcmp(dst, w->src + w->from[i], w->len[i]),
			      "wrong data");
		ck_assert_msg(
			filled_with(dst - PAGE / 2, AROUND, PAGE / 2) &&
				filled_with(dst + w->len[i], AROUND, PAGE),
			"bytes beside the destination changed");
		memset(dst, AROUND, w->len[i]);
	}
}

static void direct_round(struct sdxi_ring *r, struct work *w)
{
	work_plan(w);
	for (int i = 0; i < COPIES; i++)
		sdxi_put(r, sdxi_copy(dst_of(w, i), w->src + w->from[i],
				      w->len[i]));
	sdxi_bell(r);
	for (int i = 0; i < COPIES; i++)
		ck_assert_uint_eq(sdxi_take(r), SHARQ_OK);
	work_verify(w);
}

static void live(struct neighbour_page *page)
{
	struct sdxi_ring r = sdxi_ring_new();
	struct work w = work_new();

	do
		direct_round(&r, &w);
	while (neighbour_again(page));
	sdxi_ring_free(&r);
}

/* RESET is for where nobody knows: with others' faults, what was logged may be
 * lost, but not that there was something. */
static void live_faulting(struct neighbour_page *page)
{
	struct sdxi_ring r = sdxi_ring_new();
	struct work w = work_new();

	do {
		enum sharq_status status =
			sdxi_run(&r, sdxi_copy(w.dst, NULL, 8));

		ck_assert_msg(status == SHARQ_FAULT_READ ||
				      status == SHARQ_RESET,
			      "a fault ended with status %u", status);
		direct_round(&r, &w);
		poll(NULL, 0, BETWEEN_FAULTS_MS);
	} while (neighbour_again(page));
	sdxi_ring_free(&r);
}

static void shadow_round(struct queue *q, struct work *w)
{
	work_plan(w);
	for (int i = 0; i < COPIES; i++) {
		struct sharq_desc d =
			desc_copy(dst_of(w, i), w->src + w->from[i], w->len[i]);

		queue_put(q, &d);
	}
	queue_kick(q);
	queue_wait(q, COPIES);
	for (int i = 0; i < COPIES; i++)
		ck_assert_uint_eq(queue_take(q).status, SHARQ_OK);
	work_verify(w);
}

static void live_shadow(struct neighbour_page *page)
{
	struct sharq_ctl_create c = queue_request(COPIES);
	struct work w = work_new();
	struct queue q;

	c.device = sdxi_device().id;
	q = queue_make(&c);
	do
		shadow_round(&q, &w);
	while (neighbour_again(page));
	queue_free(&q);
}

struct neighbour sdxi_neighbour_start(void)
{
	return neighbour_start_as(live);
}

struct neighbour sdxi_neighbour_start_faulting(void)
{
	return neighbour_start_as(live_faulting);
}

struct neighbour sdxi_neighbour_start_shadow(void)
{
	return neighbour_start_as(live_shadow);
}
