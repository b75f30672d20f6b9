// SPDX-License-Identifier: MIT
/* P6: what a client may write into its queue, and what comes of it. */
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files.h"
#include "gate.h"
#include "guest.h"
#include "neighbour.h"
#include "queue.h"
#include "sdxi_function.h"

/* Sizes that are copied at the kick, that fit two pages, that need more. */
static const uint32_t sizes[] = { 100, 5000, 64 * KIB };

#define KERNEL_ADDRESS 0xffff888000000000ULL
/* How long two threads race. */
#define RACE_MS 5000
#define LONELY 0x200000000000ULL
#define NOT_CANONICAL 0x0000800000000000ULL

/* ---- a thread that rewrites ---- */

/* Both say the same but for their first word: which of them holds is seen. */
struct rewriter {
	struct queue *q;
	uint64_t words[2];
	bool stop;
};

static void *rewrite(void *arg)
{
	struct rewriter *r = arg;

	for (unsigned int i = 0; !__atomic_load_n(&r->stop, __ATOMIC_RELAXED);
	     i++)
		for (uint32_t slot = 0; slot < r->q->depth; slot++)
			__atomic_store_n((uint64_t *)&r->q->sq[slot],
					 r->words[(i + slot) & 1],
					 __ATOMIC_RELAXED);
	return NULL;
}

/*
 * Short: a copy that can be done. Long: more than the device takes, so it must
 * be refused; if it were checked as short and used as long, it would fault or
 * write beyond.
 */
START_TEST(p6_rewriting_thread_changes_no_checked_copy)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(64);
	uint8_t *src = memory(PAGE), *dst = memory(2 * PAGE);
	struct sharq_desc brief = desc_copy(dst, src, 64), lengthy = brief;
	struct rewriter r = { .q = &q };
	unsigned int brief_ones = 0, lengthy_ones = 0;
	uint64_t begin;
	pthread_t thread;

	ck_assert_uint_lt(q.bind.max_transfer, SHARQ_MAX_TRANSFER);
	lengthy.len = SHARQ_MAX_TRANSFER;
	memcpy(&r.words[0], &brief, sizeof(uint64_t));
	memcpy(&r.words[1], &lengthy, sizeof(uint64_t));
	ck_assert(!mprotect(dst + PAGE, PAGE, PROT_NONE));
	brief.dst = lengthy.dst = (uintptr_t)(dst + PAGE - 64);
	for (uint32_t i = 0; i < q.depth; i++)
		q.sq[i] = brief;
	ck_assert(!pthread_create(&thread, NULL, rewrite, &r));
	/* A while, and until both were met often. */
	begin = now_ms();
	while (now_ms() < begin + RACE_MS || brief_ones < 1000 ||
	       lengthy_ones < 1000) {
		ck_assert_msg(now_ms() < begin + 2 * PATIENCE_MS,
			      "met %u and %u times", brief_ones, lengthy_ones);
		q.tail += q.depth;
		queue_kick(&q);
		queue_wait(&q, q.depth);
		for (uint32_t i = 0; i < q.depth; i++) {
			struct sharq_cqe cqe = queue_take(&q);

			if (cqe.status == SHARQ_OK) {
				ck_assert_uint_eq(cqe.consumed, 64);
				ck_assert_uint_eq(cqe.produced, 64);
				brief_ones++;
			} else {
				ck_assert_uint_eq(cqe.status,
						  SHARQ_UNSUPPORTED);
				ck_assert_uint_eq(cqe.consumed,
						  SHARQ_FIELD_LEN);
				lengthy_ones++;
			}
		}
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	ck_assert(!pthread_join(thread, NULL));
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

/* Random descriptors, rewritten at random: nothing but the arena changes. */
struct chaos {
	struct queue *q;
	uint64_t seed;
	uint64_t places[8];
	bool stop;
};

static void scribble(struct chaos *c, struct rng *r)
{
	struct sharq_desc d = { 0 };
	uint8_t *bytes = (uint8_t *)&c->q->sq[rng_next(r) % c->q->depth];

	if (rng_next(r) % 4) {
		d.op = (uint8_t)(rng_next(r) % (SHARQ_OP_COUNT + 1));
		d.len = (uint32_t)(rng_next(r) % (16 * KIB));
		d.src = c->places[rng_next(r) % 8];
		d.dst = c->places[rng_next(r) % 8];
		d.src2 = c->places[rng_next(r) % 8];
		d.flags = (uint16_t)(rng_next(r) % 8 ? 0 : rng_next(r) % 16);
		if (d.op >= SHARQ_OP_COMPRESS)
			d.dst_len = d.len;
		memcpy(bytes, &d, sizeof(d));
	} else {
		/* One byte: it passes as a word of nobody's making. */
		bytes[rng_next(r) % sizeof(d)] = (uint8_t)rng_next(r);
	}
}

static void *scribbler(void *arg)
{
	struct chaos *c = arg;
	struct rng r = { c->seed };

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED))
		scribble(c, &r);
	return NULL;
}

START_TEST(p6_random_descriptors_touch_only_their_own_memory)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(32);
	/* Far from all else: a byte rewritten in an address doesn't make it
	 * that of other memory of ours. */
	uint8_t *room = mmap((void *)LONELY, 4 * MIB, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
			     -1, 0);
	uint8_t *arena = room + MIB;
	struct chaos c = { .q = &q, .seed = 7 };
	uint64_t seen[SHARQ_STATUS_COUNT] = { 0 };
	pthread_t thread;

	ck_assert(room != MAP_FAILED);
	ck_assert(!mprotect(arena, 64 * KIB, PROT_READ | PROT_WRITE));
	for (int i = 0; i < 4; i++)
		c.places[i] = (uintptr_t)arena + (unsigned int)i * 16 * KIB;
	c.places[4] = (uintptr_t)arena + 64 * KIB - 100;
	c.places[5] = KERNEL_ADDRESS;
	c.places[6] = 0;
	c.places[7] = UINT64_MAX - 5000;
	ck_assert(!pthread_create(&thread, NULL, scribbler, &c));
	for (int i = 0; i < 500; i++) {
		q.tail += q.depth;
		queue_kick(&q);
		queue_wait(&q, q.depth);
		for (uint32_t n = 0; n < q.depth; n++) {
			struct sharq_cqe cqe = queue_take(&q);

			ck_assert_uint_lt(cqe.status, SHARQ_STATUS_COUNT);
			seen[cqe.status]++;
		}
	}
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	ck_assert(!pthread_join(thread, NULL));
	ck_assert_uint_gt(seen[SHARQ_OK], 0);
	ck_assert_uint_gt(seen[SHARQ_FAULT_READ], 0);
	ck_assert_uint_gt(seen[SHARQ_FAULT_WRITE], 0);
	ck_assert_uint_gt(seen[SHARQ_BAD_DESCRIPTOR], 0);
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

/* ---- fields ---- */

struct wrong {
	const char *what;
	size_t offset;
	uint64_t value;
	size_t size;
	enum sharq_status status;
	enum sharq_field field;
};

#define WRONG(f, v, s, n)                                                      \
	{                                                                      \
		.what = #f " = " #v, .offset = offsetof(struct sharq_desc, f), \
		.value = (v), .size = sizeof(((struct sharq_desc *)0)->f),     \
		.status = SHARQ_##s, .field = SHARQ_FIELD_##n                  \
	}

static const struct wrong nop_wrongs[] = {
	WRONG(op, SHARQ_OP_COUNT, UNSUPPORTED, OP),
	WRONG(op, 255, UNSUPPORTED, OP),
	WRONG(param, 1, BAD_DESCRIPTOR, PARAM),
	WRONG(flags, SHARQ_DESC_EXT, BAD_DESCRIPTOR, FLAGS),
	WRONG(flags, SHARQ_DESC_MORE, BAD_DESCRIPTOR, FLAGS),
	WRONG(flags, 0x8000, BAD_DESCRIPTOR, FLAGS),
	WRONG(len, 1, BAD_DESCRIPTOR, LEN),
	WRONG(src, 1, BAD_DESCRIPTOR, SRC),
	WRONG(dst, 1, BAD_DESCRIPTOR, DST),
	WRONG(pattern, 1, BAD_DESCRIPTOR, PATTERN),
	WRONG(dst_len, 1, BAD_DESCRIPTOR, DST_LEN),
	WRONG(seed, 1, BAD_DESCRIPTOR, SEED),
	WRONG(ext, 1, BAD_DESCRIPTOR, EXT),
	WRONG(session, 1, BAD_DESCRIPTOR, SESSION),
	WRONG(level, 1, BAD_DESCRIPTOR, LEVEL),
	WRONG(reserved[0], 1, BAD_DESCRIPTOR, RESERVED),
	WRONG(reserved[2], 1, BAD_DESCRIPTOR, RESERVED),
};

static const struct wrong copy_wrongs[] = {
	WRONG(param, 1, BAD_DESCRIPTOR, PARAM),
	WRONG(src2, 1, BAD_DESCRIPTOR, SRC2),
	WRONG(src, UINT64_MAX - 50, BAD_DESCRIPTOR, SRC),
	WRONG(dst, UINT64_MAX - 50, BAD_DESCRIPTOR, DST),
	WRONG(len, SHARQ_MAX_TRANSFER, UNSUPPORTED, LEN),
	WRONG(dst_len, 100, BAD_DESCRIPTOR, DST_LEN),
	WRONG(seed, 1, BAD_DESCRIPTOR, SEED),
};

static void put_wrong(struct queue *q, const struct sharq_desc *good,
		      const struct wrong *w, uint64_t tag)
{
	struct sharq_desc d = *good;

	memcpy((uint8_t *)&d + w->offset, &w->value, w->size);
	d.user_data = tag;
	queue_put(q, &d);
}

static void expect_wrong(const struct sharq_cqe *cqe, const struct wrong *w)
{
	ck_assert_msg(cqe->status == w->status && cqe->consumed == w->field,
		      "%s: status %u, field %u", w->what, cqe->status,
		      cqe->consumed);
}

/* All in one batch, a good one after each: order of completion is free. */
static void refuse(struct queue *q, const struct sharq_desc *good,
		   const struct wrong *wrongs, uint32_t n)
{
	bool seen[64] = { false };

	for (uint32_t i = 0; i < n; i++) {
		struct sharq_desc d = *good;

		put_wrong(q, good, &wrongs[i], 2 * i);
		d.user_data = 2 * i + 1;
		queue_put(q, &d);
	}
	queue_kick(q);
	queue_wait(q, 2 * n);
	for (uint32_t i = 0; i < 2 * n; i++) {
		struct sharq_cqe cqe = queue_take(q);

		ck_assert_uint_lt(cqe.user_data, 2 * n);
		ck_assert_msg(!seen[cqe.user_data], "completed twice");
		seen[cqe.user_data] = true;
		if (cqe.user_data & 1)
			ck_assert_uint_eq(cqe.status, SHARQ_OK);
		else
			expect_wrong(&cqe, &wrongs[cqe.user_data / 2]);
	}
}

START_TEST(p6_each_wrong_field_is_named)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(64);
	struct sharq_desc nop = desc_nop();
	struct sharq_desc copy = desc_copy(memory(PAGE), memory(PAGE), 100);

	refuse(&q, &nop, nop_wrongs, sizeof(nop_wrongs) / sizeof(*nop_wrongs));
	refuse(&q, &copy, copy_wrongs,
	       sizeof(copy_wrongs) / sizeof(*copy_wrongs));
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

START_TEST(p6_operations_outside_the_queue_s_set_are_refused)
{
	struct sharq_ctl_create request = queue_request(4);
	struct sharq_desc copy = desc_copy(memory(PAGE), memory(PAGE), 100);
	struct sharq_desc crc = desc_crc(memory(PAGE), 100);
	struct sharq_cqe cqe;
	struct queue q;

	request.ops = SHARQ_OP_BIT(SHARQ_OP_COPY);
	q = queue_make(&request);
	ck_assert_uint_eq(q.bind.ops, SHARQ_OP_BIT(SHARQ_OP_COPY));
	cqe = queue_run(&q, &copy);
	ck_assert_uint_eq(cqe.status, SHARQ_OK);
	cqe = queue_run(&q, &crc);
	ck_assert_uint_eq(cqe.status, SHARQ_UNSUPPORTED);
	ck_assert_uint_eq(cqe.consumed, SHARQ_FIELD_OP);
	queue_free(&q);
}
END_TEST

/* ---- indices ---- */

/* Publishes nothing: what is in the ring is looked at as it is. */
static void look_at_indices(struct queue *q)
{
	if (q->bell)
		queue_ring(q);
	else
		queue_ioctl_kick(q->fd, q->depth);
}

static void expect_broken(struct queue *q)
{
	struct pollfd p = { .fd = q->fd };

	ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
	ck_assert(p.revents & POLLHUP);
	ck_assert_int_eq(queue_ioctl_kick(q->fd, 1), -ESHUTDOWN);
	ck_assert(q->ring->device_flags & SHARQ_DEVICE_BROKEN);
	ck_assert_uint_eq(queue_seen(q->id).state, SHARQ_QUEUE_BROKEN);
}

/* A good command before it is done nevertheless. */
static void put_copy(struct queue *q, uint8_t *dst)
{
	uint8_t *src = memory(MIB);
	struct sharq_desc copy = desc_copy(dst, src, MIB);

	memset(src, 0x5a, MIB);
	queue_put(q, &copy);
	queue_kick(q);
}

static void expect_copied(struct queue *q, const uint8_t *dst)
{
	struct sharq_cqe cqe;

	for (uint64_t end = now_ms() + PATIENCE_MS; !queue_completed(q);)
		ck_assert_msg(now_ms() < end, "an accepted command is lost");
	cqe = queue_take(q);
	ck_assert_uint_eq(cqe.status, SHARQ_OK);
	ck_assert(dst[0] == 0x5a && dst[MIB - 1] == 0x5a);
}

START_TEST(p6_sq_tail_out_of_step_breaks_the_queue)
{
	struct neighbour other = neighbour_start();
	const uint32_t steps[] = { 9, 1U << 31, UINT32_MAX };

	for (unsigned int i = 0; i < 3; i++) {
		struct queue q = queue_new(8);
		uint8_t *dst = memory(MIB);

		put_copy(&q, dst);
		__atomic_store_n(&q.ring->sq_tail, q.tail + steps[i],
				 __ATOMIC_RELEASE);
		look_at_indices(&q);
		expect_broken(&q);
		expect_copied(&q, dst);
		queue_free(&q);
	}
	neighbour_stop(&other);
}
END_TEST

START_TEST(p6_cq_head_out_of_step_breaks_the_queue)
{
	/* The first: taken is one that there never was. */
	const uint32_t steps[] = { 1, 9, 1U << 31, -9U };
	struct sharq_desc nop = desc_nop();

	for (unsigned int i = 0; i < 4; i++) {
		struct queue q = queue_new(8);

		__atomic_store_n(&q.ring->cq_head, steps[i], __ATOMIC_RELEASE);
		queue_put(&q, &nop);
		queue_publish(&q);
		look_at_indices(&q);
		expect_broken(&q);
		queue_free(&q);
	}
}
END_TEST

/* Not by poll() or queue_completed(), which what is in the ring would mislead. */
static void wait_cq_tail(const struct queue *q, uint32_t tail)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (__atomic_load_n(&q->ring->cq_tail, __ATOMIC_ACQUIRE) != tail)
		ck_assert_msg(now_ms() < end, "completion %u doesn't come",
			      tail);
}

START_TEST(p6_what_the_kernel_writes_is_never_read_back)
{
	struct queue q = queue_new(8);
	struct sharq_desc nop = desc_nop();
	struct sharq_cqe cqe;

	for (uint32_t i = 0; i < 20; i++) {
		q.ring->sq_head = 0x12345678;
		q.ring->cq_tail = 0x87654321;
		q.ring->device_flags = ~0U;
		nop.user_data = i;
		queue_put(&q, &nop);
		queue_publish(&q);
		look_at_indices(&q);
		wait_cq_tail(&q, i + 1);
		ck_assert_uint_eq(q.ring->sq_head, i + 1);
		cqe = queue_take(&q);
		ck_assert_uint_eq(cqe.user_data, i);
		ck_assert_uint_eq(cqe.status, SHARQ_OK);
	}
	queue_free(&q);
}
END_TEST

START_TEST(p6_a_full_cq_is_never_overwritten)
{
	struct queue q = queue_new(4);
	struct sharq_desc nop = desc_nop();

	for (uint32_t i = 0; i < 4; i++) {
		nop.user_data = i;
		queue_put(&q, &nop);
	}
	queue_kick(&q);
	nop.user_data = 4;
	queue_put(&q, &nop);
	queue_publish(&q);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), 0);
	ck_assert(!(queue_poll(q.fd, POLLOUT) & POLLOUT));
	for (uint32_t i = 0; i < 4; i++)
		ck_assert_uint_eq(queue_take(&q).user_data, i);
	ck_assert(queue_poll(q.fd, POLLOUT) & POLLOUT);
	queue_kick(&q);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).user_data, 4);
	queue_free(&q);
}
END_TEST

/* Room for the completions of what is in flight is taken, too. */
START_TEST(p6_no_more_is_in_flight_than_the_cq_holds)
{
	struct gate g = gate_new();
	struct queue q = queue_new(4);
	struct sharq_desc nop = desc_nop();

	nop.flags = SHARQ_DESC_FENCE;
	gate_put(&g, &q);
	for (int i = 0; i < 3; i++)
		queue_put(&q, &nop);
	queue_kick(&q);
	ck_assert(!(queue_poll(q.fd, POLLOUT) & POLLOUT));
	queue_put(&q, &nop);
	queue_publish(&q);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), 0);
	gate_open(&g, &q);
	gate_take(&q);
	queue_kick(&q);
	queue_wait(&q, 4);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

/* ---- addresses ---- */

static void expect_fault(struct queue *q, const struct sharq_desc *d,
			 enum sharq_status status, uint64_t addr,
			 const char *what)
{
	struct sharq_cqe cqe = queue_run(q, d);

	ck_assert_msg(cqe.status == status, "%s, %u bytes: status %u", what,
		      d->len, cqe.status);
	ck_assert_msg(cqe.flags & SHARQ_CQE_ADDR_VALID, "%s: no address", what);
	ck_assert_msg(cqe.addr == addr, "%s, %u bytes: %#llx, not %#llx", what,
		      d->len, (unsigned long long)cqe.addr,
		      (unsigned long long)addr);
}

/* From @addr on nothing can be read: from there, and running into it. */
static void no_source(struct queue *q, uint64_t addr, bool before,
		      const char *what)
{
	static uint8_t out[64 * KIB];

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct sharq_desc d = desc_copy(out, NULL, sizes[i]);

		d.src = addr;
		expect_fault(q, &d, SHARQ_FAULT_READ, addr, what);
		d = desc_crc(NULL, sizes[i]);
		d.src = addr + 10;
		expect_fault(q, &d, SHARQ_FAULT_READ, addr + 10, what);
		if (!before)
			continue;
		d.src = addr - sizes[i] + 10;
		expect_fault(q, &d, SHARQ_FAULT_READ, addr, what);
	}
}

static void no_destination(struct queue *q, uint64_t addr, bool before,
			   const char *what)
{
	static uint8_t in[64 * KIB];

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct sharq_desc d = desc_copy(NULL, in, sizes[i]);

		d.dst = addr;
		expect_fault(q, &d, SHARQ_FAULT_WRITE, addr, what);
		d = desc_fill(NULL, 1, sizes[i]);
		d.dst = addr + 10;
		expect_fault(q, &d, SHARQ_FAULT_WRITE, addr + 10, what);
		if (!before)
			continue;
		d.dst = addr - sizes[i] + 10;
		expect_fault(q, &d, SHARQ_FAULT_WRITE, addr, what);
	}
}

/* Memory of 64 KiB, then as much that is changed by the test. */
static uint8_t *cliff(void)
{
	return (uint8_t *)memory(128 * KIB) + 64 * KIB;
}

START_TEST(p6_unmapped_memory_is_a_fault_at_its_address)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(4);
	uint8_t *edge = cliff();

	ck_assert(!munmap(edge, 64 * KIB));
	no_source(&q, (uintptr_t)edge, true, "unmapped source");
	no_destination(&q, (uintptr_t)edge, true, "unmapped destination");
	no_source(&q, 0, false, "NULL source");
	no_destination(&q, 0, false, "NULL destination");
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

START_TEST(p6_kernel_addresses_are_a_fault)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(4);
	const uint64_t places[] = { KERNEL_ADDRESS, NOT_CANONICAL,
				    0xffffffff81000000ULL,
				    0xffffffffff600000ULL };

	for (unsigned int i = 0; i < 4; i++) {
		no_source(&q, places[i], false, "kernel source");
		no_destination(&q, places[i], false, "kernel destination");
	}
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

START_TEST(p6_prot_none_is_a_fault)
{
	struct queue q = queue_new(4);
	uint8_t *edge = cliff();

	ck_assert(!mprotect(edge, 64 * KIB, PROT_NONE));
	no_source(&q, (uintptr_t)edge, true, "PROT_NONE source");
	no_destination(&q, (uintptr_t)edge, true, "PROT_NONE destination");
	queue_free(&q);
}
END_TEST

START_TEST(p6_read_only_memory_is_no_destination)
{
	struct queue q = queue_new(4);
	uint8_t *edge = cliff();

	memset(edge, 0x77, 64 * KIB);
	ck_assert(!mprotect(edge, 64 * KIB, PROT_READ));
	no_destination(&q, (uintptr_t)edge, true, "read-only destination");
	ck_assert(filled_with(edge, 0x77, 64 * KIB));
	queue_free(&q);
}
END_TEST

/* The program's own text: private, read-only, backed by a file of root's. */
START_TEST(p6_program_text_is_no_destination)
{
	struct queue q = queue_new(4);
	uint64_t text = (uintptr_t)queue_run & ~(uint64_t)(PAGE - 1);

	no_destination(&q, text, false, "text");
	queue_free(&q);
}
END_TEST

/* The rings are mapped as MMIO would be; so is the kernel's clock page. */
START_TEST(p6_device_mappings_are_a_fault)
{
	struct neighbour other = neighbour_start();
	struct queue q = queue_new(4096), victim = queue_new(4096);
	uint64_t vdso = getauxval(AT_SYSINFO_EHDR);

	ck_assert_uint_ge(q.bind.map_size, 64 * KIB);
	no_source(&q, (uintptr_t)q.map, false, "own ring");
	no_destination(&q, (uintptr_t)q.map, false, "own ring");
	no_source(&q, (uintptr_t)victim.map, false, "another ring");
	no_destination(&q, (uintptr_t)victim.map, false, "another ring");
	ck_assert_uint_ne(vdso, 0);
	no_destination(&q, vdso, false, "vdso");
	queue_free(&victim);
	queue_free(&q);
	neighbour_stop(&other);
}
END_TEST

/* Half of it there, and then registers. */
static void registers_behind(struct queue *q, uint8_t *edge, const char *what)
{
	int fd = sdxi_open_test_block();
	void *p = mmap(edge, SDXI_TEST_SIZE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, fd, 0);

	ck_assert(p == edge);
	ck_assert_uint_eq(*(volatile uint64_t *)p, SDXI_TEST_ID);
	close(fd);
	no_source(q, (uintptr_t)edge, true, what);
	no_destination(q, (uintptr_t)edge, true, what);
	ck_assert_uint_eq(*(volatile uint64_t *)p, SDXI_TEST_ID);
}

/* Behind memory that is pinned, and behind what is staged. */
START_TEST(p6_registers_of_a_device_are_a_fault)
{
	struct queue q = queue_new(4);
	int fd = file_new(DISK_FILE, 128 * KIB);
	uint8_t *file = file_map(fd, 128 * KIB, MAP_SHARED);

	registers_behind(&q, cliff(), "registers");
	registers_behind(&q, file + 64 * KIB, "registers behind a file");
	munmap(file, 128 * KIB);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&q);
}
END_TEST

START_TEST(p6_ranges_that_wrap_are_refused)
{
	struct queue q = queue_new(4);
	uint8_t *good = memory(64 * KIB);

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct sharq_desc d = desc_copy(good, NULL, sizes[i]);
		struct sharq_cqe cqe;

		d.src = UINT64_MAX - sizes[i] + 2;
		cqe = queue_run(&q, &d);
		ck_assert_uint_eq(cqe.status, SHARQ_BAD_DESCRIPTOR);
		ck_assert_uint_eq(cqe.consumed, SHARQ_FIELD_SRC);
		d = desc_copy(NULL, good, sizes[i]);
		d.dst = UINT64_MAX - sizes[i] + 2;
		cqe = queue_run(&q, &d);
		ck_assert_uint_eq(cqe.status, SHARQ_BAD_DESCRIPTOR);
		ck_assert_uint_eq(cqe.consumed, SHARQ_FIELD_DST);
	}
	queue_free(&q);
}
END_TEST

/* What depends on kicks, on pinning, or has its like in test_direct.c. */
static void add_shadow_only(Suite *s)
{
	GUEST_ADD(s, p6_a_full_cq_is_never_overwritten, 60);
	GUEST_ADD(s, p6_no_more_is_in_flight_than_the_cq_holds, 60);
	GUEST_ADD(s, p6_device_mappings_are_a_fault, 60);
	GUEST_ADD(s, p6_registers_of_a_device_are_a_fault, 60);
}

Suite *guest_suite(void)
{
	Suite *s = suite_create("hostile");

	GUEST_ADD(s, p6_rewriting_thread_changes_no_checked_copy, 120);
	GUEST_ADD(s, p6_random_descriptors_touch_only_their_own_memory, 120);
	GUEST_ADD(s, p6_each_wrong_field_is_named, 60);
	GUEST_ADD(s, p6_operations_outside_the_queue_s_set_are_refused, 60);
	GUEST_ADD(s, p6_unmapped_memory_is_a_fault_at_its_address, 60);
	GUEST_ADD(s, p6_kernel_addresses_are_a_fault, 60);
	GUEST_ADD(s, p6_prot_none_is_a_fault, 60);
	GUEST_ADD(s, p6_read_only_memory_is_no_destination, 60);
	GUEST_ADD(s, p6_program_text_is_no_destination, 60);
	GUEST_ADD(s, p6_ranges_that_wrap_are_refused, 60);
	GUEST_ADD(s, p6_what_the_kernel_writes_is_never_read_back, 60);
	GUEST_ADD(s, p6_cq_head_out_of_step_breaks_the_queue, 60);
	GUEST_ADD(s, p6_sq_tail_out_of_step_breaks_the_queue, 60);
	if (queue_bind_request().path == SHARQ_BIND_SHADOW)
		add_shadow_only(s);
	return s;
}
