// SPDX-License-Identifier: MIT
/*
 * Direct queues on the SDXI function, by PASID: who gets one, what it copies, and
 * how its client sleeps. Nothing here is a fault in the kernel's log.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

#define BINDS 300
#define SLEEPS 10000U
#define SLOW_MS 300

static struct rng rng = { .state = 11 };

static void copies(struct sdxi_ring *r, const void *dst, const void *src,
		   uint32_t len)
{
	ck_assert_uint_eq(sdxi_run(r, sdxi_copy(dst, src, len)), SHARQ_OK);
}

/* ---- who gets it ---- */

START_TEST(p3_client_is_told_that_it_has_the_direct_path)
{
	struct sharq_ctl_device d = sdxi_device();
	struct sharq_bind bind = queue_bind_request();
	struct sharq_ctl_queue seen;
	uint64_t id;
	int fd = sdxi_ring_file(&id);

	ck_assert_uint_eq(d.paths,
			  1U << SHARQ_BIND_DIRECT | 1U << SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(d.reason, SHARQ_REASON_NONE);
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_DIRECT);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_NONE);
	ck_assert_int_eq(bind.reason_errno, 0);
	ck_assert(!(bind.flags & SHARQ_BOUND_SYNC_ONLY));
	ck_assert_uint_eq(bind.ring, SHARQ_RING_SDXI);
	ck_assert_uint_ge(bind.entries, SDXI_RING_ENTRIES_MIN);
	ck_assert_uint_eq(bind.ops, d.ops);
	seen = queue_seen(id);
	ck_assert_uint_eq(seen.path, SHARQ_BIND_DIRECT);
	ck_assert_uint_eq(seen.reason, SHARQ_REASON_NONE);
	ck_assert_int_eq(queue_ioctl_kick(fd, 1), -EOPNOTSUPP);
	close(fd);
	sdxi_all_gone();
}
END_TEST

/* Built before there was another kind of ring. */
START_TEST(p3_client_that_knows_no_sdxi_ring_gets_a_shadow_queue)
{
	struct sharq_bind bind = { .size = offsetof(struct sharq_bind, ring),
				   .path = SHARQ_BIND_DIRECT };
	uint64_t id;
	int fd = sdxi_ring_file(&id);

	ck_assert_int_eq(queue_bind(fd, &bind), -EINVAL);
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_REQUESTED);
	close(fd);
	sdxi_all_gone();
}
END_TEST

START_TEST(p3_doorbell_can_be_touched_once_it_is_started)
{
	struct sdxi_ring r = sdxi_ring_bound();
	int status;
	pid_t pid = spawn();

	if (!pid) {
		struct sdxi_ring mine = sdxi_ring_bound();

		*mine.bell = 0;
		_exit(0);
	}
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	ck_assert_int_eq(sdxi_ring_start(&r, (uint8_t *)r.area + 64), -EINVAL);
	ck_assert_int_eq(sdxi_ring_start(&r, r.area), 0);
	ck_assert_int_eq(sdxi_ring_start(&r, r.area), -EBUSY);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p2_every_context_taken_is_busy_or_a_shadow_queue)
{
	unsigned int n = sdxi_device().direct_free;
	struct sdxi_ring *r = calloc(n, sizeof(*r));
	struct sharq_bind bind = queue_bind_request();
	struct sharq_ctl_device d;
	uint64_t id;
	int fd;

	ck_assert_uint_ge(n, 2);
	for (unsigned int i = 0; i < n; i++)
		r[i] = sdxi_ring_new();
	d = sdxi_device();
	ck_assert_uint_eq(d.direct_free, 0);
	ck_assert_uint_eq(d.direct_used, n);

	fd = sdxi_ring_file(&id);
	bind.path = SHARQ_BIND_DIRECT;
	ck_assert_int_eq(queue_bind(fd, &bind), -EBUSY);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_BUSY);
	bind = queue_bind_request();
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_BUSY);
	ck_assert_uint_eq(queue_seen(id).reason, SHARQ_REASON_BUSY);
	close(fd);

	for (unsigned int i = 0; i < n; i++)
		ck_assert_uint_eq(sdxi_run(&r[i], sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r[--n]);
	sdxi_wait_free(1);
	r[n] = sdxi_ring_new();
	for (unsigned int i = 0; i <= n; i++)
		sdxi_ring_free(&r[i]);
	sdxi_all_gone();
	free(r);
}
END_TEST

#define MANY 500
#define FEW 4

/* Bound, it says so, and waits until all are. */
static void one_of_many(uint8_t n, const int up[2], const int go[2])
{
	struct sharq_ctl_create c = queue_request(4);
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc copy = desc_copy(dst, src, PAGE);
	struct queue q;
	char byte;

	close(go[1]);
	c.device = sdxi_device().id;
	q = queue_make(&c);
	CHILD_EXPECT(write(up[1], "", 1) == 1);
	CHILD_EXPECT(read(go[0], &byte, 1) == 0);
	for (uint8_t i = 0; i < 10; i++) {
		memset(src, n + i, PAGE);
		CHILD_EXPECT(queue_run(&q, &copy).status == SHARQ_OK);
		CHILD_EXPECT(filled_with(dst, (uint8_t)(n + i), PAGE));
	}
	_exit(0);
}

START_TEST(p2_500_shadow_clients_beside_4_direct_ones)
{
	struct neighbour direct[FEW];
	static pid_t pids[MANY];
	int up[2], go[2];
	char byte;

	for (int i = 0; i < FEW; i++)
		direct[i] = sdxi_neighbour_start();
	ck_assert(!pipe2(up, O_CLOEXEC) && !pipe2(go, O_CLOEXEC));
	for (int i = 0; i < MANY; i++) {
		pids[i] = spawn();
		if (!pids[i])
			one_of_many((uint8_t)i, up, go);
	}
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(read(up[0], &byte, 1), 1);
	queues_left(MANY + FEW);
	ck_assert_uint_eq(sdxi_device().direct_used, FEW);
	close(go[1]);
	for (int i = 0; i < MANY; i++)
		reap_well(pids[i]);
	for (int i = 0; i < FEW; i++) {
		neighbour_advances(&direct[i], 20);
		neighbour_stop(&direct[i]);
	}
	close(go[0]);
	close(up[0]);
	close(up[1]);
	sdxi_all_gone();
}
END_TEST

/* Each ends in its own way. */
static void short_life(unsigned int i)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);

	memset(src, (int)i, PAGE);
	copies(&r, dst, src, PAGE);
	CHILD_EXPECT(filled_with(dst, (uint8_t)i, PAGE));
	end_by(i % ENDS, r.fd);
}

/*
 * A process that has the address space of a client that is no more. Its own fork
 * without a copy, by hand: it returns nowhere.
 */
static int outlive(void *unused)
{
	(void)unused;
	do
		pause();
	while (1);
	return 0;
}

static pid_t heir_of_a_client(void)
{
	pid_t *heir = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid, found;

	ck_assert(heir != MAP_FAILED);
	pid = spawn();
	if (!pid) {
		struct sdxi_ring r = sdxi_ring_new();
		uint8_t *stack = memory(64 * KIB);

		CHILD_EXPECT(sdxi_run(&r, sdxi_nop()) == SHARQ_OK);
		sdxi_ring_free(&r);
		*heir = clone(outlive, stack + 64 * KIB, CLONE_VM | SIGCHLD,
			      NULL);
		_exit(*heir <= 0);
	}
	reap_well(pid);
	found = *heir;
	ck_assert(!munmap(heir, PAGE));
	return found;
}

START_TEST(p4_contexts_and_pasids_come_back)
{
	unsigned int n = sdxi_device().direct_free;
	struct sharq_ctl_dma dma = { .size = sizeof(dma),
				     .id = sdxi_device().id };
	pid_t heir = heir_of_a_client();

	ck_assert(!broker_ctl(SHARQ_CTL_DMA, &dma));
	ck_assert_uint_lt(dma.pasids, BINDS);
	for (unsigned int i = 0; i < BINDS; i++) {
		pid_t pid = spawn();

		if (!pid)
			short_life(i);
		reap_end(pid, i % ENDS);
	}
	ck_assert(!kill(heir, SIGKILL));
	sdxi_all_gone();
	ck_assert_uint_eq(sdxi_device().direct_free, n);
}
END_TEST

/* ---- copies ---- */

#define BATCH_MOST 1024U
#define COPIED (8 * KIB)

/* A batch as large as the ring has room for: to be done in order. */
static void batch(struct sdxi_ring *r, uint8_t *dst, const uint8_t *src,
		  unsigned int n)
{
	static uint16_t from[BATCH_MOST], len[BATCH_MOST];

	ck_assert_uint_le(n, BATCH_MOST);
	for (unsigned int i = 0; i < n; i++) {
		len[i] = (uint16_t)(1 + rng_next(&rng) % (COPIED / 2));
		from[i] = (uint16_t)(rng_next(&rng) % (COPIED / 2));
		sdxi_put(r, sdxi_copy(dst + (size_t)i * COPIED, src + from[i],
				      len[i]));
	}
	sdxi_bell(r);
	for (unsigned int i = 0; i < n; i++) {
		ck_assert_uint_eq(sdxi_take(r), SHARQ_OK);
		ck_assert(!memcmp(dst + (size_t)i * COPIED, src + from[i],
				  len[i]));
		ck_assert_uint_eq(dst[(size_t)i * COPIED + len[i]], 0);
	}
	memset(dst, 0, (size_t)n * COPIED);
}

START_TEST(p3_copies_are_right_all_around_the_ring)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(COPIED);
	uint8_t *dst = memory((size_t)BATCH_MOST * COPIED);

	ck_assert_uint_eq(r.entries, BATCH_MOST);
	rng_fill(&rng, src, COPIED);
	for (unsigned int i = 1; i <= BATCH_MOST; i *= 2)
		batch(&r, dst, src, i);
	/* Beginning anywhere. */
	for (unsigned int i = 0; i < 3; i++) {
		batch(&r, dst, src, 333);
		batch(&r, dst, src, BATCH_MOST);
	}
	ck_assert_uint_gt(r.next, 4 * BATCH_MOST);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

static void run_beside_each_other(struct neighbour (*start)(void),
				  unsigned int n)
{
	struct neighbour others[10];

	for (unsigned int i = 0; i < n; i++)
		others[i] = start();
	for (unsigned int i = 0; i < n; i++)
		neighbour_advances(&others[i], 50);
	for (unsigned int i = 0; i < n; i++)
		neighbour_stop(&others[i]);
	sdxi_all_gone();
}

START_TEST(p10_two_processes_copy_their_own)
{
	run_beside_each_other(sdxi_neighbour_start, 2);
}
END_TEST

START_TEST(p10_ten_processes_copy_their_own)
{
	run_beside_each_other(sdxi_neighbour_start, 10);
}
END_TEST

#define COMMANDS 100000U
#define SILENT_BATCH 50U

/* What its client can say, who may make no call. */
struct talk {
	unsigned int completed;
	bool wrong;
	bool done;
};

static void silent_client(struct talk *t)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);

	forbid_calls();
	while (t->completed < COMMANDS) {
		src[0]++;
		for (unsigned int i = 0; i < SILENT_BATCH - 1; i++)
			sdxi_put(&r, sdxi_nop());
		sdxi_put(&r, sdxi_copy(dst, src, 64));
		sdxi_bell(&r);
		for (unsigned int i = 0; i < SILENT_BATCH; i++) {
			/* Else sdxi_take() would sleep. */
			while (!sdxi_done(&r))
				;
			if (sdxi_take(&r) != SHARQ_OK)
				t->wrong = true;
		}
		if (dst[0] != src[0])
			t->wrong = true;
		t->completed += SILENT_BATCH;
	}
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	for (;;)
		;
}

START_TEST(p3_direct_makes_no_system_call)
{
	struct talk *t = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t end = now_ms() + 2 * PATIENCE_MS;
	int status;
	pid_t pid;

	ck_assert(t != MAP_FAILED);
	pid = spawn();
	if (!pid)
		silent_client(t);
	while (!__atomic_load_n(&t->done, __ATOMIC_ACQUIRE)) {
		ck_assert_msg(now_ms() < end, "%u commands", t->completed);
		poll(NULL, 0, 1);
	}
	ck_assert_uint_eq(t->completed, COMMANDS);
	ck_assert(!t->wrong);
	/* It can't even exit. */
	ck_assert(!kill(pid, SIGKILL));
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	sdxi_all_gone();
}
END_TEST

/* ---- sleep ---- */

static uint64_t processor_us(void)
{
	struct rusage u;

	ck_assert(!getrusage(RUSAGE_SELF, &u));
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* Whether @fd, the queue's or an eventfd, says so when a slow one is done. */
static void sleep_for_a_slow_one(struct sdxi_ring *r, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t begin = now_ms(), used = processor_us();

	sdxi_put(r, sdxi_nop());
	sdxi_bell(r);
	sdxi_want_event(r, true);
	/* It arms the eventfd, too. */
	ck_assert(!(queue_poll(r->fd, POLLIN) & POLLIN));
	ck_assert(!sdxi_done(r));
	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(p.revents, POLLIN);
	ck_assert(sdxi_done(r));
	ck_assert_uint_ge(now_ms() - begin, SLOW_MS / 2);
	used = processor_us() - used;
	ck_assert_msg(used < SLOW_MS * 1000 / 4,
		      "sleeping took %lu us of the processor", used);
	sdxi_want_event(r, false);
	ck_assert_uint_eq(sdxi_take(r), SHARQ_OK);
}

START_TEST(p3_who_sleeps_is_woken_and_costs_nothing)
{
	struct sdxi_ring r = sdxi_ring_new();
	unsigned int cxt = sdxi_context(&r);
	struct sharq_eventfd event = { .size = sizeof(event),
				       .fd = eventfd(0, EFD_CLOEXEC |
								EFD_NONBLOCK) };
	uint64_t count;

	sdxi_misbehave(cxt, SDXI_TEST_DELAY, SLOW_MS);
	for (int i = 0; i < 3; i++)
		sleep_for_a_slow_one(&r, r.fd);
	ck_assert(!ioctl(r.fd, SHARQ_EVENTFD, &event));
	for (int i = 0; i < 3; i++) {
		sleep_for_a_slow_one(&r, event.fd);
		ck_assert(read(event.fd, &count, 8) == 8);
	}
	sdxi_behave();
	close(event.fd);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* Gaps of all lengths before and after the bell: a wake-up that is lost leaves the
 * client asleep. */
START_TEST(p3_no_wake_up_is_lost)
{
	struct sdxi_ring r = sdxi_ring_new();
	struct pollfd p = { .fd = r.fd, .events = POLLIN };
	uint8_t *src = memory(256 * KIB), *dst = memory(256 * KIB);
	unsigned int slept = 0;

	for (unsigned int i = 0; i < SLEEPS; i++) {
		uint32_t len = (uint32_t)(1 + rng_next(&rng) % (256 * KIB));

		sdxi_put(&r,
			 sdxi_copy(dst, src, len >> rng_next(&rng) % 12 | 1));
		for (volatile uint64_t n = rng_next(&rng) % 1000; n; n--)
			;
		sdxi_bell(&r);
		for (volatile uint64_t n = rng_next(&rng) % 10000; n; n--)
			;
		sdxi_want_event(&r, true);
		if (!sdxi_done(&r)) {
			slept++;
			ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1,
				      "round %u is lost", i);
			if (p.revents != POLLIN || !sdxi_done(&r))
				ck_abort_msg("round %u: woken for nothing", i);
		}
		/* To leave it set must do no harm. */
		if (rng_next(&rng) & 1)
			sdxi_want_event(&r, false);
		if (sdxi_take(&r) != SHARQ_OK)
			ck_abort_msg("round %u", i);
	}
	printf("slept %u times in %u rounds\n", slept, SLEEPS);
	ck_assert_uint_gt(slept, SLEEPS / 10);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

struct sleeper {
	struct sdxi_ring *r;
	pid_t tid;
	bool woken;
};

static void *sleep_idle(void *arg)
{
	struct sleeper *s = arg;
	struct pollfd p = { .fd = s->r->fd, .events = POLLIN };

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->woken = poll(&p, 1, PATIENCE_MS) == 1 && p.revents == POLLIN &&
		   sdxi_done(s->r);
	return NULL;
}

/* Its state, as /proc has it. */
static char state_of(pid_t tid)
{
	char path[64], line[256];
	const char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	f = fopen(path, "re");
	ck_assert(f && fgets(line, sizeof(line), f));
	fclose(f);
	at = strrchr(line, ')');
	ck_assert(at && at[1]);
	return at[2];
}

static void wait_until_it_sleeps(struct sleeper *s)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	pid_t tid;

	while (!(tid = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE)) ||
	       state_of(tid) != 'S')
		ck_assert_msg(now_ms() < end, "the other doesn't sleep");
}

/* Nothing is in flight when it falls asleep. */
START_TEST(p3_idle_sleeper_is_woken_by_what_others_submit)
{
	struct sdxi_ring r = sdxi_ring_new();

	sdxi_want_event(&r, true);
	for (int i = 0; i < 50; i++) {
		struct sleeper s = { .r = &r };
		pthread_t thread;

		ck_assert(!pthread_create(&thread, NULL, sleep_idle, &s));
		wait_until_it_sleeps(&s);
		poll(NULL, 0, i);
		sdxi_put(&r, sdxi_nop());
		sdxi_bell(&r);
		ck_assert(!pthread_join(thread, NULL));
		ck_assert_msg(s.woken, "round %d: nobody woke it", i);
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	}
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi direct");

	GUEST_ADD(s, p3_client_is_told_that_it_has_the_direct_path, 30);
	GUEST_ADD(s, p3_client_that_knows_no_sdxi_ring_gets_a_shadow_queue, 30);
	GUEST_ADD(s, p3_doorbell_can_be_touched_once_it_is_started, 30);
	GUEST_ADD(s, p3_copies_are_right_all_around_the_ring, 60);
	GUEST_ADD(s, p3_direct_makes_no_system_call, 60);
	GUEST_ADD(s, p10_two_processes_copy_their_own, 60);
	GUEST_ADD(s, p10_ten_processes_copy_their_own, 60);
	GUEST_ADD(s, p2_500_shadow_clients_beside_4_direct_ones, 120);
	GUEST_ADD(s, p2_every_context_taken_is_busy_or_a_shadow_queue, 60);
	GUEST_ADD(s, p4_contexts_and_pasids_come_back, 60);
	GUEST_ADD(s, p3_who_sleeps_is_woken_and_costs_nothing, 30);
	GUEST_ADD(s, p3_no_wake_up_is_lost, 60);
	GUEST_ADD(s, p3_idle_sleeper_is_woken_by_what_others_submit, 30);
	return s;
}
