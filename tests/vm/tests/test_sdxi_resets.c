// SPDX-License-Identifier: MIT
/*
 * P5, P13: a context of the SDXI function that has to be reset with the function:
 * who waits for that, and who isn't to blame.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

#define MODULE "sharq"
#define SHADOW_CONTEXT 1
/* More than it takes to blame somebody. */
#define RESETS 3

/* It hears no stop, and has something to do. */
static struct sdxi_ring unstoppable(unsigned int *cxt)
{
	struct sdxi_ring r = sdxi_ring_new();

	*cxt = sdxi_context(&r);
	sdxi_misbehave(*cxt, SDXI_TEST_HANG, 0);
	sdxi_misbehave(*cxt, SDXI_TEST_IGNORE_STOP, 0);
	sdxi_put(&r, sdxi_nop());
	sdxi_bell(&r);
	return r;
}

static void reload(const char *options)
{
	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(broker_unload(MODULE), 0);
	ck_assert_int_eq(broker_load(MODULE, options), 0);
	ck_assert_int_eq(broker_take(), 0);
}

/* Its command is at the head whenever a client's context brings a reset about. */
START_TEST(p13_shadow_queue_is_not_blamed_for_others_resets)
{
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc d = desc_copy(dst, src, PAGE);
	struct sharq_ctl_create c = queue_request(4);
	struct sdxi_ring r[RESETS];
	unsigned int cxt;
	struct queue q;

	/* Standing still is nothing that it could be blamed for. */
	reload("sdxi_hang_ms=600000");
	c.device = sdxi_device().id;
	q = queue_make(&c);
	memset(src, 0x5a, PAGE);
	sdxi_misbehave(SHADOW_CONTEXT, SDXI_TEST_HANG, 0);
	queue_put(&q, &d);
	queue_kick(&q);
	for (int i = 0; i < RESETS; i++) {
		r[i] = unstoppable(&cxt);
		queue_control(r[i].id, SHARQ_CTL_KILL);
		sdxi_wait_settled(&r[i]);
		/* The next may have the same. */
		sdxi_misbehave(cxt, SDXI_TEST_BEHAVE_ALONE, 0);
		ck_assert_uint_eq(queue_completed(&q), 0);
		ck_assert_uint_eq(queue_seen(q.id).state, SHARQ_QUEUE_RUNNING);
	}
	sdxi_behave();
	for (int i = 0; i < RESETS; i++)
		sdxi_ring_free(&r[i]);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert(filled_with(dst, 0x5a, PAGE));
	queue_free(&q);
	sdxi_all_gone();
	reload("");
}
END_TEST

/* The client, which dies as soon as it knows that its queue is being killed. */
static void die_while_killed(int ready)
{
	unsigned int cxt;
	struct sdxi_ring r = unstoppable(&cxt);
	const uint32_t *flags = &r.rings->device_flags;

	CHILD_EXPECT(write(ready, &r.id, sizeof(r.id)) == sizeof(r.id));
	while (!(__atomic_load_n(flags, __ATOMIC_ACQUIRE) &
		 SHARQ_DEVICE_CLOSED))
		;
	raise(SIGKILL);
	_exit(1);
}

/* It waits for the reset that the end which the controller wants waits for. */
START_TEST(p5_client_is_gone_only_when_its_context_is_whoever_stops_it)
{
	uint64_t live = sdxi_counter(SDXI_TEST_REG_LIVE), id;
	pid_t client, controller;
	int ready[2], status;

	ck_assert(!pipe(ready));
	client = spawn();
	if (!client)
		die_while_killed(ready[1]);
	ck_assert(read(ready[0], &id, sizeof(id)) == sizeof(id));
	ck_assert_uint_gt(sdxi_counter(SDXI_TEST_REG_LIVE), live);
	controller = spawn();
	if (!controller) {
		queue_control(id, SHARQ_CTL_KILL);
		_exit(0);
	}
	status = reap(client);
	ck_assert_uint_le(sdxi_counter(SDXI_TEST_REG_LIVE), live);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	reap_well(controller);
	sdxi_behave();
	sdxi_all_gone();
	close(ready[0]);
	close(ready[1]);
}
END_TEST

/* Its queue dies under load, before it is stopped. */
static void live_until_reset(struct neighbour_page *page)
{
	struct ring_load l = ring_load_new();
	unsigned int done;

	for (;;) {
		ring_load_put(&l);
		done = ring_load_take(&l);
		if (done < COMMANDS)
			break;
		CHILD_EXPECT(neighbour_again(page));
	}
	sdxi_wait_settled(&l.r);
	CHILD_EXPECT(queue_seen(l.r.id).state == SHARQ_QUEUE_GONE);
	ring_is_dead(&l.r);
	ring_load_free(&l, done);
}

START_TEST(p13_context_that_ignores_its_stop_resets_the_function)
{
	unsigned int all = sdxi_device().direct_free;
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct neighbour direct[3];
	int up[2];
	pid_t pid;

	ck_assert(!pipe2(up, O_CLOEXEC));
	pid = spawn();
	if (!pid) {
		uint8_t *buf = memory(2 * COMMANDS * PAGE);
		struct sdxi_ring r = sdxi_ring_new();
		unsigned int cxt = sdxi_context(&r);

		sdxi_misbehave(cxt, SDXI_TEST_HANG, 0);
		sdxi_misbehave(cxt, SDXI_TEST_IGNORE_STOP, 0);
		ring_put_copies(&r, buf, buf + COMMANDS * PAGE, PAGE);
		peer_tell(up[1]);
		for (;;)
			pause();
	}
	peer_hear(up[0]);
	for (int i = 0; i < 3; i++)
		direct[i] = neighbour_start_as(live_until_reset);
	ck_assert(!kill(pid, SIGKILL));
	reap(pid);
	sdxi_wait_free(all);
	sdxi_behave();
	for (int i = 0; i < 3; i++)
		neighbour_stop(&direct[i]);
	neighbour_advances(&shadow, 5);
	ring_load_works();
	neighbour_stop(&shadow);
	close(up[0]);
	close(up[1]);
	sdxi_all_gone();
}
END_TEST

/* A context that is started and stopped, in how many ms; it couldn't be: for ever. */
static uint64_t started_in(void)
{
	struct sdxi_ring r = sdxi_ring_bound();
	uint64_t begin = now_ms();
	int e = sdxi_ring_start(&r, r.area);

	sdxi_ring_free(&r);
	return e ? UINT64_MAX : now_ms() - begin;
}

/* Who hears no stop is waited for a second; others wait for the reset alone. */
START_TEST(p13_others_start_and_stop_while_one_hears_no_stop)
{
	unsigned int cxt, n = 0;
	struct sdxi_ring r = unstoppable(&cxt);
	uint64_t begin = now_ms(), now;

	queue_control(r.id, SHARQ_CTL_KILL);
	do {
		now = now_ms();
		n++;
	} while (started_in() < 600);
	printf("%u were started in %u ms\n", n, (unsigned int)(now - begin));
	ck_assert_uint_ge(now - begin, 500);
	sdxi_wait_settled(&r);
	sdxi_behave();
	sdxi_ring_free(&r);
	ring_load_works();
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi resets");

	GUEST_ADD(s, p13_shadow_queue_is_not_blamed_for_others_resets, 120);
	GUEST_ADD(s,
		  p5_client_is_gone_only_when_its_context_is_whoever_stops_it,
		  60);
	GUEST_ADD(s, p13_context_that_ignores_its_stop_resets_the_function, 60);
	GUEST_ADD(s, p13_others_start_and_stop_while_one_hears_no_stop, 60);
	return s;
}
