// SPDX-License-Identifier: MIT
/*
 * P10, P13, P14: what an SDXI function may do wrong to a direct queue: its owner gets
 * the right status in time, and nobody else loses anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

/* More than a command takes on a machine that is busy otherwise. */
#define HANG_MS 3000U
/* In what time more its owner knows. */
#define MORE_MS 5000U
/* More than the driver's patience with its own context, and for a reset. */
#define ADMIN_MS 5500U
/* Less than that patience. */
#define LATE_MS 50U

static struct rng rng = { .state = 31 };

/* ---- those beside it ---- */

struct others {
	struct neighbour direct;
	struct neighbour shadow;
};

static struct others others_start(void)
{
	return (struct others){ .direct = sdxi_neighbour_start(),
				.shadow = sdxi_neighbour_start_shadow() };
}

static void others_are_well(const struct others *o)
{
	neighbour_advances(&o->direct, 10);
	neighbour_advances(&o->shadow, 5);
}

static void others_stop(struct others *o)
{
	others_are_well(o);
	neighbour_stop(&o->direct);
	neighbour_stop(&o->shadow);
}

/* ---- the one that it happens to ---- */

/* A batch of copies of a page. */
struct victim {
	struct sdxi_ring r;
	unsigned int cxt;
	uint8_t *src;
	uint8_t *dst;
};

static struct victim victim_new(void)
{
	struct victim v = { .r = sdxi_ring_new(),
			    .src = memory(COMMANDS * PAGE),
			    .dst = memory(COMMANDS * PAGE) };

	rng_fill(&rng, v.src, COMMANDS * PAGE);
	v.cxt = sdxi_context(&v.r);
	return v;
}

static void victim_put(struct victim *v, enum sdxi_test_cmd cmd, uint64_t arg)
{
	sdxi_misbehave(v->cxt, cmd, arg);
	ring_put_copies(&v->r, v->dst, v->src, PAGE);
}

static void victim_is(struct victim *v, enum sharq_queue_state state)
{
	sdxi_wait_settled(&v->r);
	ck_assert_uint_eq(queue_seen(v->r.id).state, state);
	ring_is_dead(&v->r);
}

/* Its copies @from to the last but @to end so. */
static void victim_takes(struct victim *v, unsigned int from, unsigned int to,
			 enum sharq_status status)
{
	for (unsigned int i = from; i < to; i++) {
		enum sharq_status got = sdxi_take(&v->r);

		ck_assert_msg(got == status, "copy %u: status %u", i, got);
		if (status == SHARQ_OK)
			ck_assert(!memcmp(v->dst + (size_t)i * PAGE,
					  v->src + (size_t)i * PAGE, PAGE));
	}
}

static void victim_free(struct victim *v)
{
	sdxi_ring_free(&v->r);
	ck_assert(!munmap(v->src, COMMANDS * PAGE));
	ck_assert(!munmap(v->dst, COMMANDS * PAGE));
}

/* ---- standing still ---- */

/* Its owner but waits. */
START_TEST(p13_hung_context_is_ended_in_time_and_alone)
{
	struct others others = others_start();
	struct victim v = victim_new();
	struct pollfd p = { .fd = v.r.fd, .events = POLLIN };
	uint64_t begin = now_ms();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	victim_put(&v, SDXI_TEST_HANG, 0);
	sdxi_want_event(&v.r, true);
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert(p.revents & POLLHUP);
	ck_assert_uint_ge(now_ms() - begin, HANG_MS / 2);
	ck_assert_uint_le(now_ms() - begin, HANG_MS + MORE_MS);
	victim_is(&v, SHARQ_QUEUE_QUARANTINED);
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_CANCELED);
	sdxi_behave();
	others_stop(&others);
	ck_assert(filled_with(v.dst, 0, COMMANDS * PAGE));
	victim_free(&v);
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

START_TEST(p13_hung_context_that_hears_no_stop_is_ended_in_time)
{
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct victim v = victim_new();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	sdxi_misbehave(v.cxt, SDXI_TEST_IGNORE_STOP, 0);
	victim_put(&v, SDXI_TEST_HANG, 0);
	victim_is(&v, SHARQ_QUEUE_QUARANTINED);
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_CANCELED);
	sdxi_behave();
	neighbour_advances(&shadow, 5);
	neighbour_stop(&shadow);
	victim_free(&v);
	ring_load_works();
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

/* The controller has others to serve. */
START_TEST(p13_kill_of_a_context_that_hears_no_stop_returns_at_once)
{
	struct victim v = victim_new();

	sdxi_misbehave(v.cxt, SDXI_TEST_IGNORE_STOP, 0);
	victim_put(&v, SDXI_TEST_HANG, 0);
	queue_control(v.r.id, SHARQ_CTL_KILL);
	ck_assert(v.r.rings->device_flags & SHARQ_DEVICE_CLOSED);
	ck_assert(!(v.r.rings->device_flags & SHARQ_DEVICE_SETTLED));
	victim_is(&v, SHARQ_QUEUE_CLOSED);
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_CANCELED);
	sdxi_behave();
	victim_free(&v);
	ring_load_works();
	sdxi_all_gone();
}
END_TEST

START_TEST(p13_lost_completion_ends_its_queue_and_no_other_command)
{
	struct others others = others_start();
	struct victim v = victim_new();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	victim_put(&v, SDXI_TEST_DROP, 1);
	victim_is(&v, SHARQ_QUEUE_QUARANTINED);
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_OK);
	others_stop(&others);
	victim_free(&v);
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

/* All of them together take longer than one may. */
START_TEST(p13_late_completions_cost_time_only)
{
	struct others others = others_start();
	struct victim v = victim_new();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	victim_put(&v, SDXI_TEST_DELAY, 2 * HANG_MS / COMMANDS);
	victim_takes(&v, 0, COMMANDS, SHARQ_OK);
	sdxi_behave();
	ck_assert_uint_eq(sdxi_run(&v.r, sdxi_nop()), SHARQ_OK);
	others_stop(&others);
	victim_free(&v);
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

/* The one that hangs shows how late it is for the others. */
START_TEST(p13_who_is_paused_or_idle_or_takes_nothing_is_not_ended)
{
	struct victim idle = victim_new(), done = victim_new();
	struct victim paused = victim_new(), hung = victim_new();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	ring_put_copies(&done.r, done.dst, done.src, PAGE);
	while (!sdxi_done(&done.r))
		;
	victim_put(&paused, SDXI_TEST_HANG, 0);
	queue_control(paused.r.id, SHARQ_CTL_PAUSE);
	victim_put(&hung, SDXI_TEST_HANG, 0);
	victim_is(&hung, SHARQ_QUEUE_QUARANTINED);
	ck_assert_uint_eq(queue_seen(paused.r.id).state, SHARQ_QUEUE_PAUSED);
	ck_assert_uint_eq(sdxi_run(&idle.r, sdxi_nop()), SHARQ_OK);
	victim_takes(&done, 0, COMMANDS, SHARQ_OK);
	ck_assert_uint_eq(sdxi_run(&done.r, sdxi_nop()), SHARQ_OK);
	queue_control(paused.r.id, SHARQ_CTL_RESUME);
	victim_is(&paused, SHARQ_QUEUE_QUARANTINED);
	sdxi_behave();
	victim_free(&idle);
	victim_free(&done);
	victim_free(&paused);
	victim_free(&hung);
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

/* Or is stopped there for long. */
START_TEST(p14_client_that_never_comes_to_its_doorbell_is_served)
{
	struct victim v = victim_new();

	sdxi_put(&v.r, sdxi_copy(v.dst, v.src, PAGE));
	__atomic_store_n(&v.r.area->write_index, v.r.next, __ATOMIC_RELEASE);
	victim_takes(&v, 0, 1, SHARQ_OK);
	victim_free(&v);
	sdxi_all_gone();
}
END_TEST

/* ---- failing ---- */

START_TEST(p13_error_is_its_owners_and_names_the_operand)
{
	struct others others = others_start();
	struct victim v = victim_new();

	victim_put(&v, SDXI_TEST_FAIL_COPY, 1000);
	victim_takes(&v, 0, 1, SHARQ_FAULT_WRITE);
	victim_takes(&v, 1, COMMANDS, SHARQ_OK);
	ck_assert_uint_eq(sdxi_run(&v.r, sdxi_nop()), SHARQ_OK);
	others_stop(&others);
	victim_free(&v);
	sdxi_all_gone();
}
END_TEST

/* What the context goes by after an error; else nobody does. */
static void fails_and_goes_on_at(uint64_t index, enum sharq_queue_state state)
{
	struct victim v = victim_new();

	sdxi_misbehave(v.cxt, SDXI_TEST_FAIL_COPY, 1000);
	victim_put(&v, SDXI_TEST_CORRUPT_INDEX, index);
	victim_takes(&v, 0, 1, SHARQ_FAULT_WRITE);
	victim_is(&v, state);
	victim_takes(&v, 1, 2, SHARQ_RESET);
	victim_takes(&v, 2, COMMANDS, SHARQ_CANCELED);
	ck_assert(filled_with(v.dst + 2 * PAGE, 0, (COMMANDS - 2) * PAGE));
	victim_free(&v);
}

START_TEST(p13_corrupt_index_after_an_error_ends_its_queue_alone)
{
	struct others others = others_start();

	sdxi_lose_patience(SDXI_DIRECT_HANG, HANG_MS);
	fails_and_goes_on_at(1ULL << 40, SHARQ_QUEUE_BROKEN);
	/* It waits for a descriptor that it has done. */
	fails_and_goes_on_at(0, SHARQ_QUEUE_QUARANTINED);
	others_stop(&others);
	sdxi_be_patient();
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_function_in_error_state_settles_all_and_is_started_again)
{
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct victim idle = victim_new(), v = victim_new();

	victim_put(&v, SDXI_TEST_HANG, 0);
	sdxi_misbehave(0, SDXI_TEST_FATAL, 0);
	victim_is(&v, SHARQ_QUEUE_GONE);
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_CANCELED);
	victim_is(&idle, SHARQ_QUEUE_GONE);
	sdxi_behave();
	neighbour_advances(&shadow, 5);
	neighbour_stop(&shadow);
	victim_free(&idle);
	victim_free(&v);
	ring_load_works();
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_vanished_function_settles_all)
{
	struct ring_load l = ring_load_new();
	struct sharq_ctl_device d;
	uint64_t end = now_ms() + PATIENCE_MS;

	sdxi_misbehave(sdxi_context(&l.r), SDXI_TEST_HANG, 0);
	ring_load_put(&l);
	sdxi_misbehave(0, SDXI_TEST_VANISH, 0);
	ring_load_is_gone(&l);
	while (sdxi_find(&d)) {
		ck_assert(now_ms() < end);
		poll(NULL, 0, 1);
	}
	sdxi_behave();
	sdxi_unbind();
	sdxi_bind_again();
	ring_load_works();
	sdxi_all_gone();
}
END_TEST

/* ---- the admin context, which the driver alone has ---- */

/* One who starts contexts: after so many the function doesn't obey, and it is told. */
static pid_t newcomer_refused(unsigned int after)
{
	pid_t pid = spawn();

	if (!pid) {
		struct sdxi_ring r = sdxi_ring_bound();
		uint64_t begin = now_ms();

		while (after--)
			sdxi_ring_new();
		CHILD_EXPECT(sdxi_ring_start(&r, r.area) == -EIO);
		CHILD_EXPECT(now_ms() - begin < ADMIN_MS);
		sdxi_wait_settled(&r);
		CHILD_EXPECT(queue_seen(r.id).state == SHARQ_QUEUE_GONE);
		sdxi_ring_free(&r);
		_exit(0);
	}
	return pid;
}

/* What is in flight meanwhile is answered; then all are served again. */
static void admin_is_reset(enum sdxi_test_cmd cmd, uint64_t arg,
			   unsigned int after)
{
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct victim idle = victim_new(), v = victim_new();
	pid_t pid;

	victim_put(&v, SDXI_TEST_HANG, 0);
	sdxi_misbehave(0, cmd, arg);
	pid = newcomer_refused(after);
	victim_is(&v, SHARQ_QUEUE_GONE);
	victim_is(&idle, SHARQ_QUEUE_GONE);
	/* While the driver tries to start what it has reset. */
	sdxi_behave();
	victim_takes(&v, 0, 1, SHARQ_RESET);
	victim_takes(&v, 1, COMMANDS, SHARQ_CANCELED);
	reap_well(pid);
	neighbour_advances(&shadow, 5);
	neighbour_stop(&shadow);
	victim_free(&idle);
	victim_free(&v);
	ring_load_works();
	load_works();
	sdxi_all_gone();
}

START_TEST(p14_admin_context_that_hangs_is_reset)
{
	admin_is_reset(SDXI_TEST_HANG, 0, 0);
}
END_TEST

START_TEST(p14_lost_completion_of_the_admin_context_resets_it)
{
	admin_is_reset(SDXI_TEST_DROP, 1, 0);
}
END_TEST

START_TEST(p14_corrupt_index_of_the_admin_context_resets_it)
{
	/* With the end of a command: the next one finds it. */
	admin_is_reset(SDXI_TEST_CORRUPT_INDEX, 1ULL << 40, 1);
}
END_TEST

START_TEST(p13_late_admin_context_costs_time_only)
{
	struct others others = others_start();
	struct sdxi_ring r = sdxi_ring_new();

	sdxi_misbehave(0, SDXI_TEST_DELAY, LATE_MS);
	/* Starts, stops; an error, after which its context is started again. */
	ring_load_works();
	ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(NULL, NULL, 1)),
			  SHARQ_FAULT_READ);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_behave();
	others_stop(&others);
	sdxi_all_gone();
}
END_TEST

/* ---- using what it should have forgotten ---- */

/* Other pages at the same address. */
static void renew(uint8_t *at, uint8_t byte)
{
	ck_assert(!munmap(at, PAGE));
	ck_assert(mmap(at, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == at);
	memset(at, byte, PAGE);
}

#define CHANGES 10

/* Has memory of its own at the same address; it changes each time that it is told. */
static void live_at(uint8_t *at, int down, int up)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *dst = memory(PAGE);

	for (;;) {
		peer_hear(down);
		for (uint8_t i = 0; i < CHANGES; i++) {
			renew(at, i);
			CHILD_EXPECT(sdxi_run(&r, sdxi_copy(dst, at, PAGE)) ==
				     SHARQ_OK);
			CHILD_EXPECT(filled_with(dst, i, PAGE));
		}
		peer_tell(up);
	}
}

struct same_address {
	pid_t pid;
	int down[2], up[2];
};

static struct same_address same_address_start(uint8_t *at)
{
	struct same_address s;

	ck_assert(!pipe2(s.down, O_CLOEXEC) && !pipe2(s.up, O_CLOEXEC));
	s.pid = spawn();
	if (!s.pid)
		live_at(at, s.down[0], s.up[1]);
	return s;
}

static void same_address_is_well(const struct same_address *s)
{
	peer_tell(s->down[1]);
	peer_hear(s->up[0]);
}

static void same_address_stop(struct same_address *s)
{
	same_address_is_well(s);
	ck_assert(!kill(s->pid, SIGKILL));
	reap_end(s->pid, BY_KILL);
	for (int i = 0; i < 2; i++) {
		close(s->down[i]);
		close(s->up[i]);
	}
}

/* A page of 'o' that stays what it is when it isn't mapped any more. */
static uint8_t *old_page(int *fd)
{
	uint8_t *p;

	*fd = memfd_create("old", MFD_CLOEXEC);
	ck_assert(*fd >= 0 && !ftruncate(*fd, PAGE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	ck_assert(p != MAP_FAILED);
	memset(p, 'o', PAGE);
	return p;
}

/* What its owner reads then only the function could prevent. */
START_TEST(p10_stale_translation_is_its_owners_alone)
{
	struct others others = others_start();
	int fd;
	uint8_t *src = old_page(&fd), *dst = memory(PAGE);
	struct same_address same = same_address_start(src);
	struct sdxi_ring r = sdxi_ring_new();

	same_address_is_well(&same);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(dst, src, PAGE)), SHARQ_OK);
	sdxi_misbehave(sdxi_context(&r), SDXI_TEST_STALE, 0);
	renew(src, 'n');
	same_address_is_well(&same);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(dst, src, PAGE)), SHARQ_OK);
	ck_assert_msg(filled_with(dst, 'o', PAGE), "nothing was stale");
	same_address_is_well(&same);
	others_are_well(&others);
	sdxi_behave();
	ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(dst, src, PAGE)), SHARQ_OK);
	ck_assert(filled_with(dst, 'n', PAGE));
	same_address_stop(&same);
	others_stop(&others);
	sdxi_ring_free(&r);
	close(fd);
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi misbehaviour");

	GUEST_ADD(s, p13_hung_context_is_ended_in_time_and_alone, 60);
	GUEST_ADD(s, p13_hung_context_that_hears_no_stop_is_ended_in_time, 60);
	GUEST_ADD(s, p13_kill_of_a_context_that_hears_no_stop_returns_at_once,
		  60);
	GUEST_ADD(s, p13_lost_completion_ends_its_queue_and_no_other_command,
		  60);
	GUEST_ADD(s, p13_late_completions_cost_time_only, 60);
	GUEST_ADD(s, p13_who_is_paused_or_idle_or_takes_nothing_is_not_ended,
		  60);
	GUEST_ADD(s, p14_client_that_never_comes_to_its_doorbell_is_served, 30);
	GUEST_ADD(s, p13_error_is_its_owners_and_names_the_operand, 30);
	GUEST_ADD(s, p13_corrupt_index_after_an_error_ends_its_queue_alone, 60);
	GUEST_ADD(s,
		  p14_function_in_error_state_settles_all_and_is_started_again,
		  60);
	GUEST_ADD(s, p14_vanished_function_settles_all, 60);
	GUEST_ADD(s, p14_admin_context_that_hangs_is_reset, 60);
	GUEST_ADD(s, p14_lost_completion_of_the_admin_context_resets_it, 60);
	GUEST_ADD(s, p14_corrupt_index_of_the_admin_context_resets_it, 60);
	GUEST_ADD(s, p13_late_admin_context_costs_time_only, 60);
	GUEST_ADD(s, p10_stale_translation_is_its_owners_alone, 30);
	return s;
}
