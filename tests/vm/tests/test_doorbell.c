// SPDX-License-Identifier: MIT
/* The soft device's doorbell: falling asleep, and being woken without a call. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "direct.h"
#include "guest.h"

/* ---- no system call ---- */

#define COMMANDS 100000U
#define BATCH 50U
/* After so many the client pauses until the device sleeps. */
#define PAUSE_AFTER 5000U

/*
 * struct talk - shared with the client, which can say nothing else
 * @pauses:  how many it has begun
 * @go_on:   how many it may end
 */
struct talk {
	int fd;
	unsigned int pauses;
	unsigned int go_on;
	unsigned int completed;
	bool wrong;
	bool done;
};

static void silent_batch(struct queue *q, struct talk *t, uint8_t *src,
			 uint8_t *dst)
{
	struct sharq_desc copy = desc_copy(dst, src, 64);

	direct_put_nops(q, BATCH - 1);
	queue_put(q, &copy);
	src[0]++;
	direct_submit(q);
	while (queue_completed(q) < BATCH)
		;
	for (unsigned int i = 0; i < BATCH; i++)
		if (queue_take(q).status != SHARQ_OK)
			t->wrong = true;
	if (dst[0] != src[0])
		t->wrong = true;
	t->completed += BATCH;
}

static void silent_client(struct talk *t)
{
	struct queue q = queue_new_direct(64);
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);

	t->fd = q.fd;
	forbid_calls();
	for (unsigned int i = 0; i < COMMANDS; i += BATCH) {
		if (i % PAUSE_AFTER == 0) {
			unsigned int n = t->pauses + 1;

			__atomic_store_n(&t->pauses, n, __ATOMIC_RELEASE);
			while (__atomic_load_n(&t->go_on, __ATOMIC_ACQUIRE) < n)
				;
		}
		silent_batch(&q, t, src, dst);
	}
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	for (;;)
		;
}

/* Let its client go on when the device sleeps. */
static void watch_pause(pid_t pid, struct talk *t, unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (__atomic_load_n(&t->pauses, __ATOMIC_ACQUIRE) < n)
		ck_assert_msg(now_ms() < end, "%u commands, then nothing",
			      t->completed);
	direct_wait_asleep(pid, t->fd);
	__atomic_store_n(&t->go_on, n, __ATOMIC_RELEASE);
}

START_TEST(p3_direct_makes_no_system_call)
{
	struct talk *t = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const unsigned int pauses = COMMANDS / PAUSE_AFTER;
	uint64_t end;
	int status;
	pid_t pid;

	ck_assert(t != MAP_FAILED);
	pid = spawn();
	if (!pid)
		silent_client(t);
	for (unsigned int i = 1; i <= pauses; i++)
		watch_pause(pid, t, i);
	end = now_ms() + PATIENCE_MS;
	while (!__atomic_load_n(&t->done, __ATOMIC_ACQUIRE))
		ck_assert_msg(now_ms() < end, "%u commands", t->completed);
	ck_assert_uint_eq(t->completed, COMMANDS);
	ck_assert(!t->wrong);
	ck_assert_uint_ge(direct_sleeps(pid, t->fd), pauses);
	/* It can't even exit. */
	ck_assert(!kill(pid, SIGKILL));
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	direct_all_gone();
}
END_TEST

/* ---- no wake-up is lost ---- */

/* Turns of an empty loop that take several times as long as the device polls. */
#define TURNS 64000U
#define PARTY_MS 5000U
#define SLEEPS 5U
#define THREADS 4U
#define MAPPINGS 10U

/*
 * struct party - threads that use one queue
 * @lock:   taken to publish, not to ring
 * @rounds: that all have done
 * @failed: what went wrong, or NULL
 */
struct party {
	struct queue q;
	pthread_mutex_t lock;
	unsigned int rounds;
	uint64_t seed;
	bool over;
	const char *failed;
};

static void dawdle(struct rng *r)
{
	volatile unsigned int turns = 0;

	if (rng_next(r) & 1)
		turns = (unsigned int)(rng_next(r) % TURNS);
	while (turns)
		turns--;
}

/* Return: the tail with it. */
static uint32_t publish_nop(struct party *p)
{
	struct queue *q = &p->q;
	uint32_t tail;

	pthread_mutex_lock(&p->lock);
	__atomic_store_n(&q->ring->cq_head,
			 __atomic_load_n(&q->ring->cq_tail, __ATOMIC_ACQUIRE),
			 __ATOMIC_RELEASE);
	direct_put_nops(q, 1);
	queue_publish(q);
	tail = q->tail;
	pthread_mutex_unlock(&p->lock);
	return tail;
}

static bool completes(const struct queue *q, uint32_t tail)
{
	uint64_t end = 0;

	while ((int32_t)(__atomic_load_n(&q->ring->cq_tail, __ATOMIC_ACQUIRE) -
			 tail) < 0) {
		if (!end)
			end = now_ms() + PATIENCE_MS;
		if (now_ms() > end)
			return false;
	}
	return true;
}

/* The doorbell may come when the command is done, and the device sleeps. */
static void *take_part(void *arg)
{
	struct party *p = arg;
	struct rng r = { __atomic_add_fetch(&p->seed, 1, __ATOMIC_RELAXED) };

	while (!__atomic_load_n(&p->over, __ATOMIC_RELAXED)) {
		uint32_t tail;

		dawdle(&r);
		tail = publish_nop(p);
		dawdle(&r);
		*p->q.bell = tail;
		if (!completes(&p->q, tail)) {
			__atomic_store_n(&p->failed, "a command is left undone",
					 __ATOMIC_RELEASE);
			break;
		}
		__atomic_add_fetch(&p->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* A while, and until the device has slept often. Return: how often. */
static uint64_t let_it_go_on(const struct party *p)
{
	uint64_t before = direct_sleeps(getpid(), p->q.fd), slept;
	uint64_t begin = now_ms();

	do {
		poll(NULL, 0, 10);
		slept = direct_sleeps(getpid(), p->q.fd) - before;
		if (__atomic_load_n(&p->failed, __ATOMIC_ACQUIRE))
			break;
	} while (now_ms() < begin + PARTY_MS ||
		 (slept < SLEEPS && now_ms() < begin + 2 * PATIENCE_MS));
	return slept;
}

static void party(unsigned int threads)
{
	struct party p = { .q = queue_new_direct(2 * THREADS),
			   .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread[THREADS];
	uint64_t slept;

	for (unsigned int i = 0; i < threads; i++)
		ck_assert(!pthread_create(&thread[i], NULL, take_part, &p));
	slept = let_it_go_on(&p);
	__atomic_store_n(&p.over, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < threads; i++)
		ck_assert(!pthread_join(thread[i], NULL));
	ck_assert_msg(!p.failed, "%s", p.failed);
	printf("the device fell asleep %u times in %u rounds\n",
	       (unsigned int)slept, p.rounds);
	ck_assert_uint_ge(slept, SLEEPS);
	/* Each sleep is ended by a command or by a doorbell. */
	ck_assert_uint_le(slept, 2 * p.rounds + 1);
	queue_free(&p.q);
	direct_all_gone();
}

START_TEST(p3_no_wake_up_is_lost)
{
	party(1);
}
END_TEST

START_TEST(p3_no_wake_up_of_many_threads_is_lost)
{
	party(THREADS);
}
END_TEST

/*
 * Who stores may be put aside at any place in the fault, for long: whether it is
 * mapped first or the device is woken, the second store must wake it, too.
 */
static void ring_new_mappings(void)
{
	struct party p = { .q = queue_new_direct(8),
			   .lock = PTHREAD_MUTEX_INITIALIZER };

	/* What serves the queue stays as it is. */
	CHILD_EXPECT(!setpriority(PRIO_PROCESS, 0, 10));
	for (unsigned int i = 0; i < MAPPINGS; i++) {
		volatile uint32_t *bell = direct_map_bell(&p.q);

		CHILD_EXPECT(bell != MAP_FAILED);
		for (unsigned int n = 0; n < 2; n++) {
			uint32_t tail;

			direct_wait_asleep(getpid(), p.q.fd);
			tail = publish_nop(&p);
			*bell = tail;
			CHILD_EXPECT(completes(&p.q, tail));
		}
		direct_unmap_bell(bell);
	}
	queue_free(&p.q);
	_exit(0);
}

START_TEST(p3_first_store_to_a_mapping_is_no_lost_wake_up)
{
	unsigned int n = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	pid_t busy[n], pid;

	for (unsigned int i = 0; i < n; i++) {
		busy[i] = spawn();
		while (!busy[i])
			;
	}
	pid = spawn();
	if (!pid)
		ring_new_mappings();
	reap_well(pid);
	for (unsigned int i = 0; i < n; i++) {
		ck_assert(!kill(busy[i], SIGKILL));
		reap(busy[i]);
	}
	direct_all_gone();
}
END_TEST

/* ---- what else concerns it ---- */

START_TEST(p6_only_the_doorbell_s_page_can_be_mapped)
{
	struct queue q = queue_new_direct(64), shadow = queue_new(64);
	off_t at = (off_t)q.bind.bell_offset;
	const int rw = PROT_READ | PROT_WRITE;

	ck_assert(mmap(NULL, PAGE, rw, MAP_PRIVATE, q.fd, at) == MAP_FAILED);
	ck_assert(mmap(NULL, 2 * PAGE, rw, MAP_SHARED, q.fd, at) == MAP_FAILED);
	ck_assert(mmap(NULL, PAGE, rw, MAP_SHARED, q.fd, at + PAGE) ==
		  MAP_FAILED);
	ck_assert(mremap((void *)q.bell, PAGE, 2 * PAGE, MREMAP_MAYMOVE) ==
		  MAP_FAILED);
	ck_assert(mmap(NULL, PAGE, rw, MAP_SHARED, shadow.fd, at) ==
		  MAP_FAILED);
	queue_free(&shadow);
	queue_free(&q);
}
END_TEST

START_TEST(p6_a_full_cq_is_never_overwritten)
{
	struct queue q = queue_new_direct(4);
	struct sharq_desc nop = desc_nop();

	for (uint32_t i = 0; i < 6; i++) {
		nop.user_data = i;
		queue_put(&q, &nop);
		if (i == 3)
			queue_kick(&q);
	}
	direct_submit(&q);
	direct_wait_asleep(getpid(), q.fd);
	ck_assert_uint_eq(q.ring->sq_head, 4);
	for (uint32_t i = 0; i < 6; i++) {
		queue_wait(&q, 1);
		ck_assert_uint_eq(queue_take(&q).user_data, i);
		queue_ring(&q);
	}
	queue_free(&q);
}
END_TEST

START_TEST(p14_pause_stops_and_resume_needs_no_doorbell)
{
	struct queue q = queue_new_direct(8);

	queue_control(q.id, SHARQ_CTL_PAUSE);
	direct_put_nops(&q, 4);
	direct_submit(&q);
	direct_wait_asleep(getpid(), q.fd);
	ck_assert_uint_eq(q.ring->sq_head, 0);
	ck_assert_uint_eq(queue_stats(q.id).in_flight, 0);
	ck_assert(q.ring->device_flags & SHARQ_DEVICE_PAUSED);
	queue_control(q.id, SHARQ_CTL_RESUME);
	queue_wait(&q, 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("doorbell");

	GUEST_ADD(s, p3_direct_makes_no_system_call, 120);
	GUEST_ADD(s, p3_no_wake_up_is_lost, 120);
	GUEST_ADD(s, p3_no_wake_up_of_many_threads_is_lost, 120);
	GUEST_ADD(s, p3_first_store_to_a_mapping_is_no_lost_wake_up, 120);
	GUEST_ADD(s, p6_only_the_doorbell_s_page_can_be_mapped, 60);
	GUEST_ADD(s, p6_a_full_cq_is_never_overwritten, 60);
	GUEST_ADD(s, p14_pause_stops_and_resume_needs_no_doorbell, 60);
	return s;
}
