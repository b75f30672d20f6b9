// SPDX-License-Identifier: MIT
/*
 * An SDXI function is taken out of the running machine, with commands in flight,
 * and put in again.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"
#include "sdxi_slot.h"

#define SHADOW_CONTEXT 1

/* As the driver of the other function found at its start. */
static bool has_direct(void)
{
	struct sharq_ctl_device d;

	sdxi_choose(SDXI_ADDRESS);
	d = sdxi_device();
	return d.reason == SHARQ_REASON_NONE;
}

/* ---- who works beside it, on the other function and on soft0 ---- */

struct others {
	unsigned int n;
	struct neighbour all[4];
};

static struct others others_start(bool direct)
{
	struct others o = { 0 };

	sdxi_choose(SDXI_ADDRESS);
	o.all[o.n++] = neighbour_start();
	o.all[o.n++] = neighbour_start_direct();
	o.all[o.n++] = sdxi_neighbour_start_shadow();
	if (direct)
		o.all[o.n++] = sdxi_neighbour_start();
	return o;
}

static void others_advance(const struct others *o)
{
	for (unsigned int i = 0; i < o->n; i++)
		neighbour_advances(&o->all[i], 2);
}

static void others_stop(struct others *o)
{
	for (unsigned int i = 0; i < o->n; i++)
		neighbour_stop(&o->all[i]);
}

/* ---- the function in the slot ---- */

static void expect_no_device(void)
{
	struct sharq_ctl_device gone;

	ck_assert(!sdxi_find(&gone));
	ck_assert(access(PCI_DEVICES SDXI_SLOT, F_OK) && errno == ENOENT);
}

static void plugged_works(bool direct)
{
	load_works();
	if (direct)
		ring_load_works();
}

/* What is in flight when the function is pulled. */
struct flight {
	bool direct;
	struct load shadow[2];
	struct ring_load ring[2];
};

enum how {
	BUSY,
	HANGING,
	VANISHED
};

static struct flight take_off(bool direct, enum how how)
{
	struct flight f = { .direct = direct };

	for (int i = 0; i < 2; i++) {
		f.shadow[i] = load_new(i ? 3000 : 256 * KIB);
		if (direct)
			f.ring[i] = ring_load_new();
	}
	if (how != BUSY)
		sdxi_misbehave(SHADOW_CONTEXT, SDXI_TEST_HANG, 0);
	for (int i = 0; direct && i < 2; i++) {
		if (how != BUSY)
			sdxi_misbehave(sdxi_context(&f.ring[i].r),
				       SDXI_TEST_HANG, 0);
		ring_load_put(&f.ring[i]);
	}
	for (int i = 0; i < 2; i++)
		load_kick(&f.shadow[i]);
	if (how == VANISHED)
		sdxi_misbehave(0, SDXI_TEST_VANISH, 0);
	return f;
}

/* The driver gives it time, and may have found out whose command hung at last. */
static void crash_hanging(struct load *l)
{
	load_take(l);
	ck_assert_uint_le(l->by_status[SHARQ_TIMEOUT], 1);
	ck_assert_uint_eq(l->by_status[SHARQ_TIMEOUT] +
				  l->by_status[SHARQ_RESET] +
				  l->by_status[SHARQ_CANCELED],
			  COMMANDS);
	sdxi_queue_is_dead(&l->q);
	ck_assert_uint_eq(queue_seen(l->q.id).state, SHARQ_QUEUE_GONE);
}

static void crash_shadow(struct load *l, enum how how)
{
	if (how == HANGING)
		crash_hanging(l);
	else
		load_is_gone(l);
	ck_assert(how == BUSY || !l->by_status[SHARQ_OK]);
	load_free(l);
}

/* All are answered once; what hung wasn't done. */
static void crash(struct flight *f, enum how how)
{
	for (int i = 0; i < 2; i++) {
		crash_shadow(&f->shadow[i], how);
		if (f->direct)
			ck_assert(!ring_load_is_gone(&f->ring[i]) ||
				  how == BUSY);
	}
}

/* The clients' files and mappings stay until it has come back. */
static void unplug_in_flight(enum how how)
{
	bool direct = has_direct();
	struct others others = others_start(direct);

	sdxi_slot_plug(NULL);
	plugged_works(direct);
	for (int round = 0; round < (how == BUSY ? 2 : 1); round++) {
		struct flight f = take_off(direct, how);

		sdxi_slot_unplug();
		expect_no_device();
		others_advance(&others);
		sdxi_slot_plug(NULL);
		plugged_works(direct);
		crash(&f, how);
	}
	sdxi_slot_unplug();
	expect_no_device();
	others_advance(&others);
	others_stop(&others);
	queues_left(0);
}

START_TEST(p14_unplug_under_load_answers_all)
{
	unplug_in_flight(BUSY);
}
END_TEST

START_TEST(p14_unplug_of_a_hanging_function_answers_all)
{
	unplug_in_flight(HANGING);
}
END_TEST

/* Pulled before anybody could be asked. */
START_TEST(p14_unplug_of_a_vanished_function_answers_all)
{
	unplug_in_flight(VANISHED);
}
END_TEST

/* What it may have kept of one client's tables it would use for the next. */
START_TEST(p10_function_that_takes_no_updates_has_no_direct_queues)
{
	struct sharq_ctl_device d;

	sdxi_slot_plug("\"updates\": 0");
	d = sdxi_device();
	/* That the kernel refuses SVA, a driver without a process doesn't hear. */
	ck_assert_uint_eq(d.reason, SHARQ_REASON_DEVICE);
	ck_assert_uint_eq(d.direct_free, 0);
	load_works();
	sdxi_slot_unplug();
	expect_no_device();
}
END_TEST

/* @option of a function, and as many entries as a context of it may have. */
static void deepest_has(const char *option, uint32_t entries)
{
	struct sdxi_ring r;

	sdxi_slot_plug(option);
	r = sdxi_ring_new_deep(SHARQ_MAX_DEPTH);
	ck_assert_uint_eq(r.entries, entries);
	for (uint32_t i = 0; i < 2 * entries; i++) {
		while (r.next - r.taken == entries)
			ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
		sdxi_put(&r, sdxi_nop());
		sdxi_bell(&r);
	}
	while (r.taken != r.next)
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_slot_unplug();
	expect_no_device();
}

START_TEST(p1_context_has_as_many_entries_as_its_queue_or_the_function)
{
	/* Elsewhere nobody has a context. */
	if (!has_direct())
		return;
	deepest_has("\"max-ring\": 0", 1024);
	deepest_has("\"max-ring\": 1", 2048);
	deepest_has(NULL, SHARQ_MAX_DEPTH);
}
END_TEST

/* ---- what the standard leaves open ---- */

#define FAULTS 20

/* Between commands that are done. How many descriptors the function did for that. */
static uint64_t faults_are_answers(struct sdxi_ring *r)
{
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	uint64_t before = sdxi_counter(SDXI_TEST_REG_DESCRIPTORS);

	for (int i = 0; i < FAULTS; i++) {
		memset(src, i, PAGE);
		sdxi_put(r, sdxi_copy(dst, NULL, 8));
		sdxi_put(r, sdxi_copy(NULL, src, 8));
		sdxi_put(r, sdxi_copy(dst, src, PAGE));
		sdxi_bell(r);
		ck_assert_uint_eq(sdxi_take(r), SHARQ_FAULT_READ);
		ck_assert_uint_eq(sdxi_take(r), SHARQ_FAULT_WRITE);
		ck_assert_uint_eq(sdxi_take(r), SHARQ_OK);
		ck_assert(filled_with(dst, (uint8_t)i, PAGE));
	}
	munmap(src, PAGE);
	munmap(dst, PAGE);
	return sdxi_counter(SDXI_TEST_REG_DESCRIPTORS) - before;
}

static void error_ends_its_queue(struct sdxi_ring *r)
{
	union sdxi_dsc bad = sdxi_nop();

	bad.generic.opcode |= htole32(SDXI_DSC_CH);
	sdxi_put(r, bad);
	sdxi_bell(r);
	sdxi_wait_settled(r);
	ck_assert_uint_eq(queue_seen(r->id).state, SHARQ_QUEUE_BROKEN);
	ring_is_dead(r);
}

/* Amid page requests. */
static void client_is_killed(void)
{
	int up[2];
	pid_t pid;

	ck_assert(!pipe2(up, O_CLOEXEC));
	pid = spawn();
	if (!pid) {
		uint8_t *cold = mmap(NULL, 18 * MIB, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		struct sdxi_ring r = sdxi_ring_new();
		struct rng rng = { .state = 5 };

		CHILD_EXPECT(cold != MAP_FAILED);
		CHILD_EXPECT(!madvise(cold, 18 * MIB, MADV_NOHUGEPAGE));
		ring_fill(&r, &rng, cold, cold + 9 * MIB);
		sdxi_bell(&r);
		peer_tell(up[1]);
		end_by(BY_KILL, -1);
	}
	peer_hear(up[0]);
	reap_end(pid, BY_KILL);
	close(up[0]);
	close(up[1]);
}

/* It hangs: only a stop with hs ends that. */
static void hung_context_is_stopped(void)
{
	uint8_t *buf = memory(2 * COMMANDS * PAGE);
	struct sdxi_ring r = ring_new_hung(buf, buf + COMMANDS * PAGE, PAGE);

	sdxi_ring_free(&r);
	sdxi_behave();
	munmap(buf, 2 * COMMANDS * PAGE);
}

/* struct kind - of functions, and what is so with it */
struct kind {
	const char *option;
	bool goes_on_after_errors;
	bool stops_softly_only;
};

/* Where errors stop a context, the admin context has it started again. */
static void client_is_served(const struct kind *k)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint64_t done = faults_are_answers(&r);

	ck_assert_uint_ge(done, 3 * FAULTS);
	ck_assert((done == 3 * FAULTS) == k->goes_on_after_errors);
	error_ends_its_queue(&r);
	sdxi_ring_free(&r);
}

/*
 * What happens to one is nothing to others. Many rounds: of who is heard only when
 * the driver looks, once a second, they take too long.
 */
static void serves(const struct kind *k)
{
	struct neighbour direct, shadow;

	if (!has_direct())
		return;
	sdxi_slot_plug(k->option);
	client_is_served(k);
	direct = sdxi_neighbour_start();
	shadow = sdxi_neighbour_start_shadow();
	client_is_killed();
	if (!k->stops_softly_only)
		hung_context_is_stopped();
	plugged_works(true);
	neighbour_advances(&direct, 40);
	neighbour_advances(&shadow, 5);
	neighbour_stop(&direct);
	neighbour_stop(&shadow);
	sdxi_all_gone();
	sdxi_slot_unplug();
	expect_no_device();
}

START_TEST(p13_function_that_stops_softly_only_serves)
{
	serves(&(struct kind){ "\"hard-stop\": 0", .stops_softly_only = true });
}
END_TEST

START_TEST(p13_function_that_goes_on_after_errors_serves)
{
	serves(&(struct kind){ "\"stop-on-error\": 0",
			       .goes_on_after_errors = true });
}
END_TEST

START_TEST(p13_function_that_keeps_no_tables_serves_doorbells_far_apart)
{
	serves(&(struct kind){ "\"keep-tables\": 0, \"db-stride\": 2", false,
			       false });
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi hotplug");

	GUEST_ADD(s, p14_unplug_under_load_answers_all, 60);
	GUEST_ADD(s, p14_unplug_of_a_hanging_function_answers_all, 60);
	GUEST_ADD(s, p14_unplug_of_a_vanished_function_answers_all, 60);
	GUEST_ADD(s, p10_function_that_takes_no_updates_has_no_direct_queues,
		  60);
	GUEST_ADD(s,
		  p1_context_has_as_many_entries_as_its_queue_or_the_function,
		  60);
	GUEST_ADD(s, p13_function_that_stops_softly_only_serves, 60);
	GUEST_ADD(s, p13_function_that_goes_on_after_errors_serves, 60);
	GUEST_ADD(s,
		  p13_function_that_keeps_no_tables_serves_doorbells_far_apart,
		  60);
	return s;
}
