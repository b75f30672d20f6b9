// SPDX-License-Identifier: MIT
/*
 * The module's speed, run by tests/vm/bench. All sides are run in turn, several
 * rounds of it; a round's ratio compares neighbours in time, and the median of
 * the ratios is what counts. Lines of the table begin with "| "; one that misses
 * its target ends with NO. Check's assertions write to a file each: none are in
 * what is measured.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "calls.h"
#include "guest.h"
#include "median.h"
#include "queue.h"

#define DEPTH 64
#define KICK 32U    /* descriptors of a kick */
#define COPIES 64U  /* in one go */
#define HALF 4U	    /* of what is in flight of them */
#define BATCHES 16U /* in one go */
#define LENGTH MIB  /* of a COPY; membench's, too */
#define SHORT 64U   /* of a COPY in batches */
#define HUGE (2 * MIB)
/*
 * A destination doesn't lie a power of two of pages, 64 or more, from its source,
 * as it would if both were aligned: the emulator has a TLB of so many entries, and
 * an entry for all pages that far apart. A copy that has both in one entry takes
 * four times as long and more. membench does the same.
 */
#define GAP (68 * PAGE)
#define SIDE_S 0.2 /* how long one side of one round takes */
#define ROUNDS_MAX 99

/*
 * struct pair - what is copied, and where to
 * struct bench
 * @q:      a shadow queue
 * @small, @huge: to copy from and to, in pages of 4 KiB, and in a huge page each
 * @copy_s, @kick_s: of COPYs one by one: all, and what their kicks took
 */
struct pair {
	void *src;
	void *dst;
};

struct bench {
	struct queue q;
	struct queue direct;
	struct io_uring ring;
	int null;
	int memcpy;
	struct pair small;
	struct pair huge;
	double copy_s;
	double kick_s;
};

static void put(struct queue *q, const struct sharq_desc *desc, unsigned int n)
{
	while (n--)
		queue_put(q, desc);
	queue_publish(q);
}

/* They have completed: look at them where they are, hand the room back at once. */
static void take(struct queue *q, unsigned int n)
{
	const struct sharq_cqe *cq = q->cq;
	uint32_t head = q->head, mask = q->depth - 1;

	while (n--)
		expect(cq[head++ & mask].status == SHARQ_OK,
		       "a command failed");
	q->head = head;
	__atomic_store_n(&q->ring->cq_head, head, __ATOMIC_RELEASE);
}

static struct io_uring_sqe *get_sqe(struct bench *b, unsigned int op, int fd)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&b->ring);

	expect(sqe, "no SQE");
	io_uring_prep_rw(op, sqe, fd, NULL, 0, 0);
	return sqe;
}

static void submit(struct bench *b, int result)
{
	struct io_uring_cqe *cqe;

	expect(io_uring_submit(&b->ring) == 1, "io_uring_enter()");
	expect(!io_uring_peek_cqe(&b->ring, &cqe) && cqe->res == result,
	       "an SQE's result");
	io_uring_cqe_seen(&b->ring, cqe);
}

static void kick_ring(struct bench *b, unsigned int count, unsigned int there)
{
	struct sharq_uring_kick kick = { .count = count };
	struct io_uring_sqe *sqe = get_sqe(b, IORING_OP_URING_CMD, b->q.fd);

	sqe->cmd_op = SHARQ_URING_KICK;
	memcpy(sqe->cmd, &kick, sizeof(kick));
	submit(b, (int)there);
}

/* ---- the sides: each does its work once ---- */

static void nops_by_ioctl(struct bench *b)
{
	const struct sharq_desc nop = desc_nop();

	put(&b->q, &nop, KICK);
	expect(queue_ioctl_kick(b->q.fd, KICK) == KICK, "a kick");
	take(&b->q, KICK);
}

static void nops_by_ring(struct bench *b)
{
	const struct sharq_desc nop = desc_nop();

	put(&b->q, &nop, KICK);
	kick_ring(b, KICK, KICK);
	take(&b->q, KICK);
}

static void nops_one_by_one(struct bench *b)
{
	const struct sharq_desc nop = desc_nop();

	for (unsigned int i = 0; i < KICK; i++) {
		put(&b->q, &nop, 1);
		expect(queue_ioctl_kick(b->q.fd, 1) == 1, "a kick");
		take(&b->q, 1);
	}
}

static void writes(struct bench *b)
{
	const struct sharq_desc nop = desc_nop();

	for (unsigned int i = 0; i < KICK; i++)
		expect(write(b->null, &nop, sizeof(nop)) == sizeof(nop),
		       "write()");
}

static void empty_kick(struct bench *b)
{
	kick_ring(b, KICK, 0);
}

static void null_command(struct bench *b)
{
	get_sqe(b, IORING_OP_URING_CMD, b->null);
	submit(b, 0);
}

static void ring_nop(struct bench *b)
{
	get_sqe(b, IORING_OP_NOP, -1);
	submit(b, 0);
}

/* Sleep until there are completions: who spins may have the device's CPU. */
static void finish(struct queue *q, unsigned int n)
{
	struct pollfd p = { .fd = q->fd, .events = POLLIN };

	while (n) {
		unsigned int done = queue_completed(q);

		done = done < n ? done : n;
		if (done)
			take(q, done);
		else
			expect(poll(&p, 1, PATIENCE_MS) == 1, "no completion");
		n -= done;
	}
}

static void start_copies(struct bench *b, const struct pair *p, unsigned int n)
{
	const struct sharq_desc copy = desc_copy(p->dst, p->src, LENGTH);

	put(&b->q, &copy, n);
	expect(queue_ioctl_kick(b->q.fd, n) == (int)n, "a kick");
}

/* While the device copies one half, the other is kicked. */
static void copies(struct bench *b, const struct pair *p)
{
	start_copies(b, p, HALF);
	for (unsigned int i = 1; i < COPIES / HALF; i++) {
		start_copies(b, p, HALF);
		finish(&b->q, HALF);
	}
	finish(&b->q, HALF);
}

static void copies_small(struct bench *b)
{
	copies(b, &b->small);
}

static void copies_huge(struct bench *b)
{
	copies(b, &b->huge);
}

static void copies_one_by_one(struct bench *b)
{
	for (unsigned int i = 0; i < COPIES; i++) {
		double begin = now_s(), kicked;

		start_copies(b, &b->small, 1);
		kicked = now_s();
		finish(&b->q, 1);
		b->kick_s += kicked - begin;
		b->copy_s += now_s() - begin;
	}
}

static void kernel_memcpy(struct bench *b)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", COPIES);

	expect(write(b->memcpy, text, (size_t)n) == n, "membench");
}

/* Of the same pages. */
static void kernel_memcpy_small(struct bench *b)
{
	char text[80];
	int n = snprintf(text, sizeof(text), "%u %lu %lu", COPIES,
			 (unsigned long)b->small.dst,
			 (unsigned long)b->small.src);

	expect(write(b->memcpy, text, (size_t)n) == n, "membench");
}

static void put_batch(struct queue *q, const struct bench *b, uint32_t len,
		      unsigned int n)
{
	struct sharq_desc d = desc_nop();

	if (len)
		d = desc_copy(b->small.dst, b->small.src, len);
	put(q, &d, n);
}

static void take_batch(struct queue *q, unsigned int n)
{
	while (queue_completed(q) < n)
		__builtin_ia32_pause();
	take(q, n);
}

static void start_batch(struct queue *q, struct bench *b, uint32_t len,
			unsigned int n)
{
	put_batch(q, b, len, n);
	if (q == &b->direct)
		queue_ring(&b->direct);
	else
		expect(queue_ioctl_kick(q->fd, n) == (int)n, "a kick");
}

/* As with copies(), two batches are in flight. */
static void batches(struct queue *q, struct bench *b, uint32_t len,
		    unsigned int n)
{
	start_batch(q, b, len, n);
	for (unsigned int i = 1; i < BATCHES; i++) {
		start_batch(q, b, len, n);
		take_batch(q, n);
	}
	take_batch(q, n);
}

static void shadow_batches(struct bench *b, uint32_t len, unsigned int n)
{
	batches(&b->q, b, len, n);
}

static void direct_batches(struct bench *b, uint32_t len, unsigned int n)
{
	batches(&b->direct, b, len, n);
}

enum side_name {
	NOPS_IOCTL,
	NOPS_RING,
	NOPS_ONE_BY_ONE,
	WRITES,
	EMPTY_KICK,
	NULL_COMMAND,
	RING_NOP,
	SHADOW_NOP_1,
	SHADOW_NOP_8,
	SHADOW_NOP_32,
	SHADOW_COPY_1,
	SHADOW_COPY_8,
	SHADOW_COPY_32,
	DIRECT_NOP_1,
	DIRECT_NOP_8,
	DIRECT_NOP_32,
	DIRECT_COPY_1,
	DIRECT_COPY_8,
	DIRECT_COPY_32,
	COPIES_SMALL,
	MEMCPY_SMALL,
	COPIES_HUGE,
	COPIES_ONE_BY_ONE,
	MEMCPY,
	SIDES
};

/*
 * @ops:   how many operations one call of @run is
 * @batch: instead of @run, of batches, with the length of COPYs; 0: NOPs
 */
static const struct side {
	void (*run)(struct bench *b);
	unsigned int ops;
	void (*batch)(struct bench *b, uint32_t len, unsigned int n);
	uint32_t len;
} sides[SIDES] = {
	[NOPS_IOCTL] = { nops_by_ioctl, KICK },
	[NOPS_RING] = { nops_by_ring, KICK },
	[NOPS_ONE_BY_ONE] = { nops_one_by_one, KICK },
	[WRITES] = { writes, KICK },
	[EMPTY_KICK] = { empty_kick, 1 },
	[NULL_COMMAND] = { null_command, 1 },
	[RING_NOP] = { ring_nop, 1 },
	[SHADOW_NOP_1] = { NULL, 1, shadow_batches, 0 },
	[SHADOW_NOP_8] = { NULL, 8, shadow_batches, 0 },
	[SHADOW_NOP_32] = { NULL, 32, shadow_batches, 0 },
	[SHADOW_COPY_1] = { NULL, 1, shadow_batches, SHORT },
	[SHADOW_COPY_8] = { NULL, 8, shadow_batches, SHORT },
	[SHADOW_COPY_32] = { NULL, 32, shadow_batches, SHORT },
	[DIRECT_NOP_1] = { NULL, 1, direct_batches, 0 },
	[DIRECT_NOP_8] = { NULL, 8, direct_batches, 0 },
	[DIRECT_NOP_32] = { NULL, 32, direct_batches, 0 },
	[DIRECT_COPY_1] = { NULL, 1, direct_batches, SHORT },
	[DIRECT_COPY_8] = { NULL, 8, direct_batches, SHORT },
	[DIRECT_COPY_32] = { NULL, 32, direct_batches, SHORT },
	[COPIES_SMALL] = { copies_small, COPIES },
	[MEMCPY_SMALL] = { kernel_memcpy_small, COPIES },
	[COPIES_HUGE] = { copies_huge, COPIES },
	[COPIES_ONE_BY_ONE] = { copies_one_by_one, COPIES },
	[MEMCPY] = { kernel_memcpy, COPIES },
};

static void run_side(struct bench *b, const struct side *side)
{
	if (side->batch)
		side->batch(b, side->len, side->ops);
	else
		side->run(b);
}

/* Operations per second. The clock may be dear here: it is asked seldom. */
static double measure(struct bench *b, const struct side *side)
{
	bool batch = side->batch;
	unsigned int often = batch || side >= &sides[COPIES_SMALL] ? 1 : 16;
	unsigned int ops = side->ops * (batch ? BATCHES : 1);
	double begin = now_s(), end;
	unsigned long n = 0;

	do {
		for (unsigned int i = 0; i < often; i++)
			run_side(b, side);
		n += often;
		end = now_s();
	} while (end - begin < SIDE_S);
	return (double)(n * ops) / (end - begin);
}

/* ---- the table ---- */

/*
 * struct comparison
 * @unit, @scale: rates are shown as rate / scale; scale 0: as ns per operation
 * @target:       the module's rate over the bare one must reach this; 0: context
 */
static const struct comparison {
	const char *name;
	enum side_name bare;
	enum side_name sharq;
	const char *unit;
	double scale;
	double target;
} comparisons[] = {
	{ "NOP, 32 per ioctl / ioctl each", NOPS_ONE_BY_ONE, NOPS_IOCTL,
	  "kop/s", 1e3, 5 },
	{ "NOP, 32 per ioctl / write(2) each", WRITES, NOPS_IOCTL, "kop/s", 1e3,
	  5 },
	{ "NOP, 32 per io_uring / ioctl each", NOPS_ONE_BY_ONE, NOPS_RING,
	  "kop/s", 1e3, 5 },
	{ "NOP, 32 per io_uring / write(2) each", WRITES, NOPS_RING, "kop/s",
	  1e3, 5 },
	{ "empty kick / URING_CMD to /dev/null", NULL_COMMAND, EMPTY_KICK, "ns",
	  0, 0.5 },
	{ "(empty kick / io_uring's own NOP)", RING_NOP, EMPTY_KICK, "ns", 0,
	  0 },
	{ "COPY 1 MiB, 4-KiB pages / memcpy", MEMCPY_SMALL, COPIES_SMALL,
	  "MiB/s", 1, 0.8 },
	{ "(4-KiB pages / memcpy of one piece)", MEMCPY, COPIES_SMALL, "MiB/s",
	  1, 0 },
	{ "COPY 1 MiB, huge pages / memcpy", MEMCPY, COPIES_HUGE, "MiB/s", 1,
	  0.8 },
	{ "(4-KiB pages, one by one / memcpy)", MEMCPY_SMALL, COPIES_ONE_BY_ONE,
	  "MiB/s", 1, 0 },
	{ "NOP, one by one: direct / shadow", SHADOW_NOP_1, DIRECT_NOP_1,
	  "kop/s", 1e3, 1 },
	{ "NOP, 8: direct / shadow", SHADOW_NOP_8, DIRECT_NOP_8, "kop/s", 1e3,
	  1 },
	{ "NOP, 32: direct / shadow", SHADOW_NOP_32, DIRECT_NOP_32, "kop/s",
	  1e3, 1 },
	{ "COPY 64, one by one: direct / shadow", SHADOW_COPY_1, DIRECT_COPY_1,
	  "kop/s", 1e3, 1 },
	{ "COPY 64, 8: direct / shadow", SHADOW_COPY_8, DIRECT_COPY_8, "kop/s",
	  1e3, 1 },
	{ "COPY 64, 32: direct / shadow", SHADOW_COPY_32, DIRECT_COPY_32,
	  "kop/s", 1e3, 1 },
};
#define COMPARISONS (sizeof(comparisons) / sizeof(*comparisons))

/* A time's ratio is one of times. */
static double shown(const struct comparison *c, double rate)
{
	return c->scale > 0 ? rate / c->scale : 1e9 / rate;
}

static double shown_ratio(const struct comparison *c, double ratio)
{
	return c->scale > 0 ? ratio : 1 / ratio;
}

static void print_comparison(const struct comparison *c,
			     double rate[SIDES][ROUNDS_MAX],
			     unsigned int rounds)
{
	double bare[ROUNDS_MAX], mine[ROUNDS_MAX], ratio[ROUNDS_MAX], middle;

	for (unsigned int i = 0; i < rounds; i++) {
		bare[i] = rate[c->bare][i];
		mine[i] = rate[c->sharq][i];
		ratio[i] = mine[i] / bare[i];
	}
	middle = median(ratio, rounds);
	printf("| %-37s %-5s %8.1f %8.1f %6.2f", c->name, c->unit,
	       shown(c, median(bare, rounds)), shown(c, median(mine, rounds)),
	       shown_ratio(c, middle));
	if (c->target > 0)
		printf(" %s %.1f %s",
		       c->scale > 0 ? ">=" : "<=", shown_ratio(c, c->target),
		       middle >= c->target ? "ok" : "NO");
	printf("\n");
}

static void *map(size_t size, int flags)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	ck_assert_msg(p != MAP_FAILED, "no memory");
	return p;
}

static void *small_pages(size_t size)
{
	void *p = map(size, 0);

	ck_assert(!madvise(p, size, MADV_NOHUGEPAGE));
	return memset(p, 1, size);
}

/* From the pool that the lab's guest has. */
static void *huge_page(void)
{
	return map(HUGE, MAP_HUGETLB | MAP_POPULATE);
}

static void open_all(struct bench *b)
{
	b->q = queue_new(DEPTH);
	b->direct = queue_new_direct(DEPTH);
	b->null = open("/dev/null", O_RDWR);
	b->memcpy = broker_open("/sys/kernel/debug/membench", O_WRONLY);
	b->small = (struct pair){ small_pages(LENGTH),
				  small_pages(LENGTH + GAP) + GAP };
	b->huge = (struct pair){ huge_page(), huge_page() + GAP };
	ck_assert_int_ge(b->null, 0);
	ck_assert_int_ge(b->memcpy, 0);
	ck_assert_int_eq(io_uring_queue_init(8, &b->ring, 0), 0);
}

static void close_all(struct bench *b)
{
	io_uring_queue_exit(&b->ring);
	ck_assert(!munmap(b->huge.dst - GAP, HUGE));
	ck_assert(!munmap(b->huge.src, HUGE));
	ck_assert(!munmap(b->small.dst - GAP, LENGTH + GAP));
	ck_assert(!munmap(b->small.src, LENGTH));
	close(b->memcpy);
	close(b->null);
	queue_free(&b->direct);
	queue_free(&b->q);
}

START_TEST(speed)
{
	static double rate[SIDES][ROUNDS_MAX];
	unsigned int rounds = guest_parameter("rounds", 7);
	struct bench b = {};

	ck_assert(rounds >= 5 && rounds <= ROUNDS_MAX);
	/*
	 * Round 0 warms up: pages, caches, the translator's code. Each has queues of
	 * its own: where two pages that a thread needs at once share an entry of the
	 * emulator's TLB, one pair of rings takes twice as long as another.
	 */
	for (unsigned int round = 0; round <= rounds; round++) {
		open_all(&b);
		for (unsigned int s = 0; s < SIDES; s++)
			rate[s][round ? round - 1 : 0] = measure(&b, &sides[s]);
		close_all(&b);
	}
	printf("| %-37s %-5s %8s %8s %6s target\n", "", "", "bare", "sharq",
	       "ratio");
	for (unsigned int i = 0; i < COMPARISONS; i++)
		print_comparison(&comparisons[i], rate, rounds);
	printf("| of a COPY in 4-KiB pages, one by one, the kick, which pins: "
	       "%.0f %%\n",
	       100 * b.kick_s / b.copy_s);
}
END_TEST

/* ---- system calls, counted by a tracer ---- */

#define TRACED_KICKS 100U

static void traced(void (*kick)(struct bench *b))
{
	struct bench b = {};

	open_all(&b);
	if (calls_begin())
		_exit(1);
	calls_mark();
	for (unsigned int i = 0; i < TRACED_KICKS; i++)
		kick(&b);
	calls_mark();
	_exit(0);
}

static void count_calls(const char *how, void (*kick)(struct bench *b))
{
	unsigned int calls = 0;
	pid_t pid = spawn();

	if (!pid)
		traced(kick);
	ck_assert_int_eq(calls_follow(pid, &calls), 0);
	printf("| system calls per kick of 32, by %s: %.2f, target 1 %s\n", how,
	       (double)calls / TRACED_KICKS,
	       calls == TRACED_KICKS ? "ok" : "NO");
}

START_TEST(system_calls)
{
	count_calls("ioctl", nops_by_ioctl);
	count_calls("io_uring", nops_by_ring);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("bench");

	GUEST_ADD(s, speed, 600);
	GUEST_ADD(s, system_calls, 120);
	return s;
}
