// SPDX-License-Identifier: MIT
/*
 * How direct queues on the SDXI function end: with their files and mappings, by the
 * controller, with the driver; and what others see of it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "direct.h"
#include "fuse.h"
#include "guest.h"
#include "neighbour.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

static struct rng rng = { .state = 21 };

/* ---- the end of a queue ---- */

static void let_go(struct sdxi_ring *r, unsigned int which)
{
	switch (which) {
	case 0:
		ck_assert(!close(r->fd));
		break;
	case 1:
		ck_assert(!munmap(r->area, r->bind.area_size));
		break;
	case 2:
		ck_assert(!munmap((void *)r->bell, PAGE));
		break;
	case 3:
		ck_assert(!munmap(r->rings, r->bind.map_size));
	}
}

/* Under way, and hung. */
START_TEST(p5_files_and_mappings_are_let_go_in_each_order)
{
	uint8_t *src = memory(COMMANDS * PAGE), *dst = memory(COMMANDS * PAGE);
	struct neighbour other = sdxi_neighbour_start();
	unsigned int all = sdxi_device().direct_free;

	for (unsigned int code = 0; code < 2 * 256; code++) {
		unsigned int seen = 0;
		struct sdxi_ring r;

		for (int i = 0; i < 4; i++)
			seen |= 1U << (code >> 2 * i & 3);
		if (seen != 15)
			continue;
		if (code & 256) {
			r = ring_new_hung(dst, src, PAGE);
		} else {
			r = sdxi_ring_new();
			ring_put_copies(&r, dst, src, PAGE);
		}
		for (int i = 0; i < 4; i++)
			let_go(&r, code >> 2 * i & 3);
		sdxi_wait_free(all);
		sdxi_behave();
	}
	neighbour_advances(&other, 5);
	neighbour_stop(&other);
	sdxi_all_gone();
}
END_TEST

START_TEST(p11_closing_one_of_two_queues_disturbs_nothing_in_the_other)
{
	const uint32_t len = 16 * KIB;
	struct sdxi_ring mine = sdxi_ring_new();
	uint8_t *src = memory(COMMANDS * len), *dst = memory(COMMANDS * len);
	uint8_t *load = memory(18 * MIB);

	for (unsigned int i = 0; i < 20; i++) {
		struct sdxi_ring other = sdxi_ring_new();

		rng_fill(&rng, src, COMMANDS * len);
		ring_fill(&other, &rng, load, load + 9 * MIB);
		sdxi_bell(&other);
		ring_put_copies(&mine, dst, src, len);
		sdxi_ring_free(&other);
		for (int n = 0; n < COMMANDS; n++)
			ck_assert_uint_eq(sdxi_take(&mine), SHARQ_OK);
		ck_assert(!memcmp(src, dst, COMMANDS * len));
	}
	sdxi_ring_free(&mine);
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_pause_stops_and_resume_needs_no_doorbell)
{
	uint8_t *src = memory(COMMANDS * PAGE), *dst = memory(COMMANDS * PAGE);
	struct sdxi_ring r = sdxi_ring_new(), other = sdxi_ring_new();

	rng_fill(&rng, src, COMMANDS * PAGE);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	queue_control(r.id, SHARQ_CTL_PAUSE);
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_PAUSED);
	ring_put_copies(&r, dst, src, PAGE);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(sdxi_run(&other, sdxi_nop()), SHARQ_OK);
	ck_assert(!sdxi_done(&r));
	queue_control(r.id, SHARQ_CTL_RESUME);
	for (int i = 0; i < COMMANDS; i++)
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	ck_assert(!memcmp(src, dst, COMMANDS * PAGE));
	/* And it hears again. */
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_ring_free(&other);
	sdxi_all_gone();
}
END_TEST

/* And the function could still say so. */
START_TEST(p14_stop_ends_a_queue_that_is_mapped)
{
	struct sdxi_ring r = sdxi_ring_new();

	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	ck_assert_uint_ne(r.status->state & SDXI_CXT_STS_STATE,
			  SDXI_CXT_STOP_SW);
	ck_assert(!ioctl(r.fd, SHARQ_STOP, 0));
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_SETTLED);
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_CLOSED);
	ck_assert_uint_eq(r.status->state & SDXI_CXT_STS_STATE,
			  SDXI_CXT_STOP_SW);
	ck_assert(ioctl(r.fd, SHARQ_STOP, 0) && errno == ESHUTDOWN);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_kill_settles_what_hangs)
{
	uint8_t *src = memory(COMMANDS * PAGE), *dst = memory(COMMANDS * PAGE);
	unsigned int all = sdxi_device().direct_free;
	struct sdxi_ring r;

	memset(src, 5, COMMANDS * PAGE);
	r = ring_new_hung(dst, src, PAGE);
	ck_assert_uint_eq(sdxi_device().direct_free, all - 1);
	queue_control(r.id, SHARQ_CTL_KILL);
	sdxi_wait_settled(&r);
	/* Though the client keeps it. */
	ck_assert_uint_eq(sdxi_device().direct_free, all);
	ck_assert_uint_eq(ring_take_copies(&r, dst, src, PAGE), 0);
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_CLOSED);
	sdxi_behave();
	ring_is_dead(&r);
	ring_load_works();
	ck_assert(filled_with(dst + PAGE, 0, (COMMANDS - 1) * PAGE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_kill_settles_what_fuse_never_answers)
{
	struct fuse f = fuse_new(FUSE_READ);
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *map = fuse_map(&f, MAP_SHARED);

	sdxi_put(&r, sdxi_copy(map, memory(PAGE), PAGE));
	sdxi_put(&r, sdxi_nop());
	sdxi_bell(&r);
	fuse_wait(&f);
	queue_control(r.id, SHARQ_CTL_KILL);
	sdxi_wait_settled(&r);
	ck_assert_uint_eq(sdxi_take(&r), SHARQ_RESET);
	ck_assert_uint_eq(sdxi_take(&r), SHARQ_CANCELED);
	fuse_free(&f);
	ck_assert(!munmap(map, FUSE_FILE_SIZE));
	sdxi_ring_free(&r);
	ring_load_works();
	sdxi_all_gone();
}
END_TEST

/* The module's limit of bonds that wait to be undone, in sdxi_bond.c, and more. */
#define MANY_BONDS 300

/* A thread of the module's has the client's memory nearly always. */
static void keep_busy(struct neighbour_page *page)
{
	struct sharq_desc copy =
		desc_copy(memory(16 * MIB), memory(16 * MIB), 16 * MIB);
	struct queue q = queue_new_direct(64);
	struct sdxi_ring r = sdxi_ring_new();

	do {
		while (queue_completed(&q))
			ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
		while (q.tail - q.head < q.depth)
			queue_put(&q, &copy);
		direct_submit(&q);
		queue_wait(&q, 1);
	} while (neighbour_again(page));
	sdxi_ring_free(&r);
	queue_free(&q);
}

START_TEST(p11_bonds_are_undone_beside_a_thread_that_has_the_memory)
{
	struct neighbour busy = neighbour_start_as(keep_busy);

	neighbour_advances(&busy, 3);
	for (int i = 0; i < MANY_BONDS; i++) {
		pid_t pid = spawn();

		if (!pid) {
			struct sdxi_ring r = sdxi_ring_new();

			CHILD_EXPECT(sdxi_run(&r, sdxi_nop()) == SHARQ_OK);
			_exit(0);
		}
		reap_well(pid);
	}
	neighbour_stop(&busy);
	sdxi_all_gone();
}
END_TEST

/* ---- the end of the function ---- */

/* Files and mappings stay meanwhile, and don't hold it up. */
START_TEST(p14_unbind_under_load_settles_all)
{
	for (int round = 0; round < 5; round++) {
		struct ring_load a = ring_load_new(), b = ring_load_new();
		struct sharq_ctl_device gone;

		ring_load_put(&a);
		ring_load_put(&b);
		sdxi_unbind();
		ck_assert(!sdxi_find(&gone));
		sdxi_wait_settled(&a.r);
		sdxi_wait_settled(&b.r);
		sdxi_bind_again();
		ring_load_works();
		ring_load_is_gone(&a);
		ring_load_is_gone(&b);
	}
	sdxi_all_gone();
}
END_TEST

/* As hot-unplug ends. */
START_TEST(p14_removal_under_load_settles_all)
{
	for (int round = 0; round < 3; round++) {
		struct ring_load l = ring_load_new();

		ring_load_put(&l);
		ck_assert(
			!broker_write(PCI_DEVICES SDXI_ADDRESS "/remove", "1"));
		ring_load_is_gone(&l);
		ck_assert(!broker_write("/sys/bus/pci/rescan", "1"));
		ring_load_works();
	}
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi ends");

	GUEST_ADD(s, p5_files_and_mappings_are_let_go_in_each_order, 60);
	GUEST_ADD(s,
		  p11_closing_one_of_two_queues_disturbs_nothing_in_the_other,
		  60);
	GUEST_ADD(s, p14_pause_stops_and_resume_needs_no_doorbell, 30);
	GUEST_ADD(s, p14_stop_ends_a_queue_that_is_mapped, 30);
	GUEST_ADD(s, p14_kill_settles_what_hangs, 30);
	GUEST_ADD(s, p14_kill_settles_what_fuse_never_answers, 60);
	GUEST_ADD(s, p11_bonds_are_undone_beside_a_thread_that_has_the_memory,
		  100);
	GUEST_ADD(s, p14_unbind_under_load_settles_all, 60);
	GUEST_ADD(s, p14_removal_under_load_settles_all, 60);
	return s;
}
