// SPDX-License-Identifier: MIT
/* P13: what each queue gets of a device, in bytes, never in time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "files.h"
#include "gate.h"
#include "guest.h"
#include "queue.h"
#include "trace.h"

#define EVENTS "events/sharq/"
#define MAX_QUEUES 16U

/*
 * A queue that always has commands waiting: to copy @size bytes from @src to
 * @dst; with @compress to compress them; or with @dst NULL to checksum them,
 * which takes the device long and the test little.
 */
struct load {
	struct queue q;
	uint32_t size;
	uint8_t *src, *dst;
	bool compress;
	uint64_t served;
};

static struct sharq_desc load_desc(const struct load *l)
{
	if (l->compress)
		return desc_compress(l->dst, 2 * l->size, l->src, l->size);
	return l->dst ? desc_copy(l->dst, l->src, l->size)
		      : desc_crc(l->src, l->size);
}

/* As many as there is room for; @flags for the first. */
static void fill(struct load *l, uint16_t flags)
{
	while (l->q.tail - l->q.head < l->q.depth) {
		struct sharq_desc d = load_desc(l);

		d.flags = flags;
		flags = 0;
		queue_put(&l->q, &d);
	}
	queue_kick(&l->q);
}

static struct load load_new(unsigned int depth, uint32_t size,
			    unsigned int weight)
{
	struct sharq_ctl_create request = queue_request(depth);
	struct load l = { .size = size, .src = memory(size) };

	request.weight = (uint16_t)weight;
	request.pin_bytes = 1024ULL * MIB;
	l.q = queue_make(&request);
	return l;
}

static struct load copies_new(unsigned int depth, uint32_t size)
{
	struct load l = load_new(depth, size, 0);

	l.dst = memory(size);
	return l;
}

/* Of what can't be, which takes longest. */
static struct load compressing_new(unsigned int depth, uint32_t size)
{
	struct load l = load_new(depth, size, 0);
	struct rng r = { 23 };

	l.compress = true;
	l.dst = memory(2 * size);
	rng_fill(&r, l.src, size);
	return l;
}

static void load_free(struct load *l)
{
	queue_free(&l->q);
	munmap(l->src, l->size);
	if (l->dst)
		munmap(l->dst, l->compress ? 2 * l->size : l->size);
}

/* Add what @l was served by now. Return: whether it still has work. */
static bool add_served(const struct load *l, uint64_t *sum)
{
	struct sharq_ctl_stats s = queue_stats(l->q.id);

	*sum += s.served;
	return s.in_flight > 0;
}

/*
 * What each was served by now, twice: who is asked first gets asked last, too,
 * as they can't be asked all at once. Return: whether all still have work.
 */
static bool look(const struct load *loads, unsigned int n, uint64_t *served)
{
	bool busy = true;

	memset(served, 0, n * sizeof(*served));
	for (unsigned int i = 0; i < n; i++)
		busy &= add_served(&loads[i], &served[i]);
	for (unsigned int i = n; i--;)
		busy &= add_served(&loads[i], &served[i]);
	return busy;
}

/*
 * All are filled behind one gate, then served until the first runs dry: what
 * each had got just before. So nothing depends on how fast a test fills them.
 */
static void compete(struct load *loads, unsigned int n)
{
	struct gate g = gate_new();
	uint64_t begin[MAX_QUEUES], now[MAX_QUEUES];
	unsigned int looks = 0;

	for (unsigned int i = 0; i < n; i++) {
		gate_put(&g, &loads[i].q);
		fill(&loads[i], SHARQ_DESC_FENCE);
	}
	gate_open(&g, &loads[0].q);
	/* The gates of all queues have been passed. */
	for (unsigned int i = 0; i < n; i++)
		gate_take(&loads[i].q);
	ck_assert(look(loads, n, begin));
	while (look(loads, n, now)) {
		for (unsigned int i = 0; i < n; i++)
			loads[i].served = now[i] - begin[i];
		looks++;
	}
	ck_assert_msg(looks > 3, "it was over after %u looks", looks);
}

static double jain(const struct load *loads, unsigned int n)
{
	double sum = 0, squares = 0;

	for (unsigned int i = 0; i < n; i++) {
		double x = (double)loads[i].served;

		sum += x;
		squares += x * x;
	}
	return sum * sum / (n * squares);
}

START_TEST(p13_one_greedy_queue_gets_no_more_than_15_modest_ones)
{
	struct load loads[MAX_QUEUES];
	double index;

	/* 256 commands of 1 MiB against 64 of 512 KiB. */
	loads[0] = load_new(256, MIB, 0);
	for (unsigned int i = 1; i < MAX_QUEUES; i++)
		loads[i] = load_new(64, 512 * KIB, 0);
	compete(loads, MAX_QUEUES);
	index = jain(loads, MAX_QUEUES);
	printf("Jain's index %.4f\n", index);
	ck_assert_msg(index >= 0.95, "Jain's index is %.4f", index);
	for (unsigned int i = 0; i < MAX_QUEUES; i++)
		load_free(&loads[i]);
}
END_TEST

START_TEST(p13_weights_are_respected_within_10_percent)
{
	const unsigned int weights[] = { 16, 32, 64, 128 };
	struct load loads[4];
	double unit = 0;

	for (unsigned int i = 0; i < 4; i++)
		loads[i] = load_new(256, 512 * KIB, weights[i]);
	compete(loads, 4);
	for (unsigned int i = 0; i < 4; i++)
		unit += (double)loads[i].served;
	unit /= 16 + 32 + 64 + 128;
	for (unsigned int i = 0; i < 4; i++) {
		double share = (double)loads[i].served / (unit * weights[i]);

		printf("weight %u: %.3f of its share\n", weights[i], share);
	}
	for (unsigned int i = 0; i < 4; i++) {
		double share = (double)loads[i].served / (unit * weights[i]);

		ck_assert_msg(share > 0.9 && share < 1.1,
			      "weight %u got %.3f of its share", weights[i],
			      share);
	}
	for (unsigned int i = 0; i < 4; i++)
		load_free(&loads[i]);
}
END_TEST

/* ---- what a byte costs ---- */

/* The module's, in codec.c, for the highest level; and in drr.h, for a slice. */
#define COMPRESS_COST 32
#define COST_MIN 4096

/* How much more of the device than its share @a got, @each for what was served. */
static void expect_alike(const char *what, const struct load *a, double each,
			 const struct load *b)
{
	double ratio = (double)a->served * each / (double)b->served;

	printf("%s: %.3f of its share\n", what, ratio);
	ck_assert_msg(ratio > 0.9 && ratio < 1.1, "%s: %.3f of its share", what,
		      ratio);
}

/* What it reads and what it writes count, and both more than copying does. */
START_TEST(p13_compressing_is_served_by_what_it_costs)
{
	struct load loads[2] = { compressing_new(16, 128 * KIB),
				 load_new(256, 256 * KIB, 0) };

	compete(loads, 2);
	expect_alike("compressing", &loads[0], COMPRESS_COST, &loads[1]);
	for (int i = 0; i < 2; i++)
		load_free(&loads[i]);
}
END_TEST

/* Many tiny ones keep the device as busy as what they are charged for. */
START_TEST(p13_tiny_commands_are_served_by_what_they_cost)
{
	const uint32_t tiny = 64, weight = 4;
	struct load loads[2] = { load_new(4096, tiny, 1),
				 load_new(256, 512 * KIB, weight) };

	compete(loads, 2);
	expect_alike("tiny commands", &loads[0], weight * COST_MIN / tiny,
		     &loads[1]);
	for (int i = 0; i < 2; i++)
		load_free(&loads[i]);
}
END_TEST

/* ---- slices ---- */

#define SMALL_ONES 50U
#define TAG 0xabcd0000U

static void refill(struct load *l)
{
	while (queue_completed(&l->q))
		ck_assert_uint_eq(queue_take(&l->q).status, SHARQ_OK);
	fill(l, 0);
}

/* Of acceptances and completions, only the small commands'. */
static void trace_setup(void)
{
	char filter[64];

	snprintf(filter, sizeof(filter), "user_data >= %u", TAG);
	trace_write("tracing_on", "0");
	trace_write("current_tracer", "nop");
	/* What happens on two processors is in one order. */
	trace_write("trace_clock", "counter");
	trace_write("buffer_size_kb", "4096");
	trace_write(EVENTS "sharq_accept/filter", filter);
	trace_write(EVENTS "sharq_complete/filter", filter);
	trace_write(EVENTS "sharq_accept/enable", "1");
	trace_write(EVENTS "sharq_push/enable", "1");
	trace_write(EVENTS "sharq_complete/enable", "1");
}

static void trace_end(void)
{
	trace_write(EVENTS "enable", "0");
	trace_write("trace_clock", "global");
	trace_write(EVENTS "sharq_accept/filter", "0");
	trace_write(EVENTS "sharq_complete/filter", "0");
	trace_write("tracing_on", "1");
}

/*
 * What others were pushed while the small command was there.
 * @open:   accepted, not completed
 * @pushed: of each other queue, bytes; with what the device, which is always
 *          busy, was at when the small one came
 * @last, @budget: the push before this line: whose, how much
 */
struct window {
	bool open;
	unsigned int closed;
	uint64_t pushed[MAX_QUEUES];
	uint64_t most;
	int last;
	unsigned int budget;
};

static void window_push(struct window *w, int i, unsigned int budget)
{
	w->pushed[i] += budget;
	if (w->pushed[i] > w->most)
		w->most = w->pushed[i];
}

static int index_of(const struct load *loads, unsigned int n, uint64_t id)
{
	for (unsigned int i = 0; i < n; i++)
		if (loads[i].q.id == id)
			return (int)i;
	return -1;
}

static void window_line(struct window *w, const char *line,
			const struct load *loads, unsigned int n, uint64_t own)
{
	unsigned long long queue, tag;
	const char *p;

	p = strstr(line, "sharq_accept: ");
	if (p &&
	    sscanf(p, "sharq_accept: queue=%llu user_data=%llx", &queue,
		   &tag) == 2 &&
	    queue == own) {
		w->open = true;
		memset(w->pushed, 0, sizeof(w->pushed));
		if (w->last >= 0)
			window_push(w, w->last, w->budget);
		return;
	}
	p = strstr(line, "sharq_complete: ");
	if (p && sscanf(p, "sharq_complete: queue=%llu", &queue) == 1 &&
	    queue == own) {
		ck_assert(w->open);
		w->open = false;
		w->closed++;
		return;
	}
	p = strstr(line, "sharq_push: ");
	if (!p)
		return;
	ck_assert_int_eq(sscanf(p,
				"sharq_push: queue=%llu user_data=%llx "
				"device=%*u served=%*u budget=%u",
				&queue, &tag, &w->budget),
			 3);
	w->last = index_of(loads, n, queue);
	if (w->open && w->last >= 0)
		window_push(w, w->last, w->budget);
}

static void window_read(struct window *w, const struct load *loads,
			unsigned int n, uint64_t own)
{
	int fd = trace_open();
	FILE *file;
	char line[256];

	file = fdopen(fd, "r");
	ck_assert(file);
	w->last = -1;
	while (fgets(line, sizeof(line), file))
		window_line(w, line, loads, n, own);
	fclose(file);
}

/*
 * One small command after the other beside @n busy queues. While one is there,
 * each of the others may have been given at most one slice: the share of a
 * round that its weight allows.
 */
static void small_beside(struct load *loads, unsigned int n, uint64_t slice)
{
	struct load small = copies_new(4, 256);
	struct window w = { .last = -1 };
	uint64_t now[MAX_QUEUES];
	struct sharq_desc d = load_desc(&small);

	trace_setup();
	for (unsigned int i = 0; w.closed < SMALL_ONES; i++) {
		ck_assert_uint_lt(i, 3 * SMALL_ONES);
		trace_write("trace", "");
		for (unsigned int k = 0; k < n; k++)
			refill(&loads[k]);
		d.user_data = TAG + i;
		trace_write("tracing_on", "1");
		ck_assert_uint_eq(queue_run(&small.q, &d).status, SHARQ_OK);
		trace_write("tracing_on", "0");
		/* With one that ran dry it proves nothing. */
		if (!look(loads, n, now))
			continue;
		window_read(&w, loads, n, small.q.id);
		ck_assert(!w.open);
		ck_assert_msg(w.most <= slice,
			      "%llu bytes of one queue came before",
			      (unsigned long long)w.most);
	}
	trace_end();
	printf("at most %llu of %llu bytes of another came before\n",
	       (unsigned long long)w.most, (unsigned long long)slice);
	/* Nothing beside it would prove nothing. */
	ck_assert_uint_gt(w.most, 0);
	load_free(&small);
}

/* The quantum for the weight that all have: the module's, in drr.h. */
#define SLICE (256 * KIB)

START_TEST(p13_small_command_waits_for_one_slice_of_each)
{
	struct load loads[15];

	for (unsigned int i = 0; i < 15; i++)
		loads[i] = load_new(64, 256 * KIB, 0);
	small_beside(loads, 15, SLICE);
	for (unsigned int i = 0; i < 15; i++)
		load_free(&loads[i]);
}
END_TEST

START_TEST(p13_small_command_waits_for_one_slice_of_16_mib_copies)
{
	struct load load = copies_new(16, 16 * MIB);

	small_beside(&load, 1, SLICE);
	load_free(&load);
}
END_TEST

/* ---- what a completion brings with it ---- */

/* The completions of two queues, in their order. */
static void trace_completions(void)
{
	trace_write("tracing_on", "0");
	trace_write("current_tracer", "nop");
	trace_write("trace_clock", "counter");
	trace_write("buffer_size_kb", "4096");
	trace_write("trace", "");
	trace_write(EVENTS "sharq_complete/enable", "1");
	trace_write("tracing_on", "1");
}

/*
 * Read them. Return: how many of @other's were there between the first of @own's
 * and either the last of these or, if there is one, the mark.
 */
static unsigned int completed_between(uint64_t own, uint64_t other)
{
	unsigned int since = 0, between = 0;
	bool begun = false, marked = false;
	unsigned long long id;
	char line[256];
	FILE *file;

	trace_write("tracing_on", "0");
	file = fdopen(trace_open(), "r");
	ck_assert(file);
	while (!marked && fgets(line, sizeof(line), file)) {
		const char *p = strstr(line, "sharq_complete: queue=");

		marked = strstr(line, "tracing_mark_write");
		id = p ? strtoull(p + strlen("sharq_complete: queue="), NULL,
				  10)
		       : 0;
		begun |= id == own;
		since += begun && id == other;
		if (id == own || marked)
			between = since;
	}
	fclose(file);
	trace_end();
	return between;
}

#define CHAINS 4

/* Of @other's that were completed while a chain of many ended. */
static unsigned int beside_chain(struct load *other)
{
	struct load chain = copies_new(4096, 64);
	struct sharq_desc d = load_desc(&chain);
	unsigned int between;

	trace_completions();
	refill(other);
	while (chain.q.tail - chain.q.head < chain.q.depth) {
		d.flags = SHARQ_DESC_LINK;
		queue_put(&chain.q, &d);
		d = desc_nop();
	}
	queue_kick(&chain.q);
	queue_wait(&chain.q, chain.q.depth);
	between = completed_between(chain.q.id, other->q.id);
	printf("%u of the other's while a chain of %u ended\n", between,
	       chain.q.depth);
	load_free(&chain);
	return between;
}

/* Each command's workspace takes 268 KiB of the kernel's. A debug kernel has less
 * memory, and takes longer for each. */
static unsigned int most_compressing(void)
{
	struct sysinfo i;

	ck_assert(!sysinfo(&i));
	return (uint64_t)i.freeram * i.mem_unit > 1200 * MIB ? 2048 : 1024;
}

/* On both of a guest's processors, of which one has the device's thread; several
 * times, for the host may not run that one for a while. */
START_TEST(p13_chain_that_waited_keeps_nobody_waiting)
{
	struct load other = compressing_new(most_compressing(), 2 * KIB);
	unsigned int without = 0;

	for (int i = 0; i < CHAINS; i++)
		without += !beside_chain(&other);
	ck_assert_uint_le(without, CHAINS / 2);
	load_free(&other);
}
END_TEST

#define STAGED 15
#define STAGED_SIZE (4 * MIB)

/* What was allocated for commands on files is let go when they are canceled. */
START_TEST(p13_canceled_commands_on_files_keep_nobody_waiting)
{
	struct load other = load_new(1024, 64 * KIB, 0);
	struct load own = compressing_new(64, 64 * KIB);
	int file = file_new(DISK_FILE, STAGED_SIZE);
	uint8_t *map = file_map(file, STAGED_SIZE, MAP_SHARED);
	struct sharq_desc d = load_desc(&own);
	unsigned int between;

	trace_completions();
	fill(&other, 0);
	queue_put(&own.q, &d);
	/* It is refused when its turn comes, and all that follow with it. */
	d = desc_nop();
	d.len = 1;
	d.flags = SHARQ_DESC_FENCE | SHARQ_DESC_LINK;
	queue_put(&own.q, &d);
	for (int i = 0; i < STAGED; i++) {
		d = desc_crc(map, STAGED_SIZE);
		d.flags = SHARQ_DESC_LINK;
		queue_put(&own.q, &d);
	}
	queue_kick(&own.q);
	queue_wait(&own.q, STAGED + 2);
	between = completed_between(own.q.id, other.q.id);
	printf("%u of the other's while %u were canceled\n", between, STAGED);
	ck_assert_uint_gt(between, 0);
	ck_assert_uint_eq(queue_take(&own.q).status, SHARQ_OK);
	ck_assert_uint_eq(queue_take(&own.q).status, SHARQ_BAD_DESCRIPTOR);
	for (int i = 0; i < STAGED; i++)
		ck_assert_uint_eq(queue_take(&own.q).status, SHARQ_CANCELED);
	munmap(map, STAGED_SIZE);
	close(file);
	load_free(&own);
	load_free(&other);
}
END_TEST

#define EPOLLS 25
#define WATCHES 800

/* @fd itself, and under as many numbers as there may be. */
static int watch_often(int fd)
{
	struct epoll_event e = { .events = EPOLLIN };
	struct rlimit files;
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int number, base;

	ck_assert(!getrlimit(RLIMIT_NOFILE, &files));
	ck_assert_uint_gt(files.rlim_cur, WATCHES + 100);
	base = (int)files.rlim_cur - WATCHES;
	ck_assert_int_ge(epoll, 0);
	ck_assert(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
	for (int i = 0; i < WATCHES; i++) {
		number = dup2(fd, base + i);
		ck_assert_int_eq(number, base + i);
		ck_assert(!epoll_ctl(epoll, EPOLL_CTL_ADD, number, &e));
		/* What is watched is the file, which stays open. */
		close(number);
	}
	return epoll;
}

/* The one that began to wait first is told last. */
START_TEST(p13_telling_many_sleepers_keeps_nobody_waiting)
{
	struct load other = load_new(1024, 64 * KIB, 0);
	struct load own = copies_new(4, 64);
	struct sharq_desc d = load_desc(&own);
	struct epoll_event e;
	int epolls[EPOLLS], mark = trace_marker();
	unsigned int between;

	for (int i = 0; i < EPOLLS; i++)
		epolls[i] = watch_often(own.q.fd);
	trace_completions();
	fill(&other, 0);
	queue_put(&own.q, &d);
	queue_kick(&own.q);
	ck_assert_int_eq(epoll_wait(epolls[0], &e, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(write(mark, "told", 4), 4);
	between = completed_between(own.q.id, other.q.id);
	printf("%u of the other's while %u sleepers were told\n", between,
	       EPOLLS * (WATCHES + 1));
	ck_assert_uint_gt(between, 3);
	for (int i = 0; i < EPOLLS; i++) {
		ck_assert_int_eq(epoll_wait(epolls[i], &e, 1, PATIENCE_MS), 1);
		close(epolls[i]);
	}
	close(mark);
	load_free(&own);
	load_free(&other);
}
END_TEST

/* The same of the eventfd of a ring, of which a kick waits for its batch. */
START_TEST(p13_telling_a_rings_many_sleepers_keeps_nobody_waiting)
{
	struct load other = load_new(1024, 64 * KIB, 0);
	struct load own = copies_new(4, 64);
	struct sharq_desc d = load_desc(&own);
	int epolls[EPOLLS], mark = trace_marker(), event = eventfd(0, 0);
	struct io_uring ring;
	struct epoll_event e;
	unsigned int between;

	/* Its completions are told by whoever has them. */
	ck_assert(!io_uring_queue_init(8, &ring,
				       IORING_SETUP_SINGLE_ISSUER |
					       IORING_SETUP_DEFER_TASKRUN));
	ck_assert_int_ge(event, 0);
	ck_assert(!io_uring_register_eventfd(&ring, event));
	for (int i = 0; i < EPOLLS; i++)
		epolls[i] = watch_often(event);
	trace_completions();
	fill(&other, 0);
	queue_put(&own.q, &d);
	queue_publish(&own.q);
	uring_prep(&ring, own.q.fd, 1, SHARQ_KICK_WAIT);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(epoll_wait(epolls[0], &e, 1, PATIENCE_MS), 1);
	ck_assert_int_eq(write(mark, "told", 4), 4);
	between = completed_between(own.q.id, other.q.id);
	if (!kernel_cancels()) {
		ck_assert_int_eq(uring_result(&ring), -EOPNOTSUPP);
		queue_kick(&own.q);
	} else {
		printf("%u of the other's while %u sleepers were told\n",
		       between, EPOLLS * (WATCHES + 1));
		ck_assert_uint_gt(between, 3);
		ck_assert_int_eq(uring_result(&ring), 1);
	}
	queue_wait(&own.q, 1);
	for (int i = 0; i < EPOLLS; i++)
		close(epolls[i]);
	io_uring_queue_exit(&ring);
	close(event);
	close(mark);
	load_free(&own);
	load_free(&other);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("fair");

	GUEST_ADD(s, p13_one_greedy_queue_gets_no_more_than_15_modest_ones,
		  100);
	GUEST_ADD(s, p13_weights_are_respected_within_10_percent, 100);
	GUEST_ADD(s, p13_compressing_is_served_by_what_it_costs, 100);
	GUEST_ADD(s, p13_tiny_commands_are_served_by_what_they_cost, 100);
	GUEST_ADD(s, p13_small_command_waits_for_one_slice_of_each, 100);
	GUEST_ADD(s, p13_small_command_waits_for_one_slice_of_16_mib_copies,
		  100);
	GUEST_ADD(s, p13_chain_that_waited_keeps_nobody_waiting, 60);
	GUEST_ADD(s, p13_canceled_commands_on_files_keep_nobody_waiting, 60);
	GUEST_ADD(s, p13_telling_many_sleepers_keeps_nobody_waiting, 100);
	GUEST_ADD(s, p13_telling_a_rings_many_sleepers_keeps_nobody_waiting,
		  100);
	return s;
}
