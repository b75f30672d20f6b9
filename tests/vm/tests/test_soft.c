// SPDX-License-Identifier: MIT
/*
 * The module's own device against the reference: proto/exec.c, which the
 * embedded engine runs, does the same command on a copy of the same memory.
 */
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "exec.h"
#include "guest.h"
#include "queue.h"

#define ARENA (512 * KIB)
#define RUNS 600

/* Commands' addresses are in @here; the reference works on @there. */
static uint8_t *here, *there;
/* One with slices as short as can be, one as is usual. */
static struct queue queues[2];
static struct rng rng = { .state = 20 };
static struct sharq_codec *codec;

static uint32_t up_to(uint32_t n)
{
	return (uint32_t)(rng_next(&rng) % (n + 1ULL));
}

static void setup(void)
{
	static const uint16_t weights[] = { SHARQ_WEIGHT_MIN,
					    SHARQ_WEIGHT_DEFAULT };

	here = memory(ARENA);
	there = memory(ARENA);
	for (int i = 0; i < 2; i++) {
		struct sharq_ctl_create c = queue_request(64);

		c.weight = weights[i];
		queues[i] = queue_make(&c);
	}
	ck_assert(!sharq_codec_new(&codec));
}

static void finish(void)
{
	codec = sharq_codec_free(codec);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(queue_stats(queues[i].id).pinned, 0);
		queue_free(&queues[i]);
	}
	queues_left(0);
}

/* Short ones mostly, now and then a long one. */
static uint32_t some_len(void)
{
	static const uint32_t most[] = {
		16, 300, 4096, 10000, 70000, ARENA / 4
	};

	return up_to(most[up_to(5)]);
}

/* A range of @len bytes in the @part-th quarter of the arena. */
static uint64_t place(unsigned int part, uint32_t len)
{
	uint32_t room = ARENA / 4 - len, at = up_to(room);

	/* Often at a page's begin or end. */
	if (!up_to(2) && room > PAGE)
		at = (up_to(room - PAGE) & ~(PAGE - 1)) +
		     (up_to(1) ? PAGE - len % PAGE : 0);
	return (uintptr_t)here + part * (ARENA / 4) + at;
}

/* Source and destination overlap one way or the other. */
static void overlap(struct sharq_desc *d)
{
	uint32_t shift = up_to(1) ? up_to(d->len) : up_to(64);

	d->src = (uintptr_t)here + ARENA / 4 + up_to(PAGE);
	d->dst = up_to(1) ? d->src + shift : d->src - shift;
}

static struct sharq_desc random_command(void)
{
	struct sharq_desc d = { .op = (__u8)up_to(SHARQ_OP_DUALCAST),
				.len = some_len(),
				.user_data = rng_next(&rng) };

	switch (d.op) {
	case SHARQ_OP_NOP:
		d.len = 0;
		return d;
	case SHARQ_OP_FILL:
		d.param = (__u8)(1 + up_to(SHARQ_MAX_PATTERN - 1));
		rng_fill(&rng, &d.pattern, d.param);
		d.dst = place(1, d.len);
		return d;
	case SHARQ_OP_CRC32C:
		d.seed = (__u32)rng_next(&rng);
		d.src = place(0, d.len);
		return d;
	case SHARQ_OP_COMPARE:
		d.src = place(0, d.len);
		d.src2 = place(2, d.len);
		return d;
	case SHARQ_OP_COPY_CRC32C:
		d.seed = (__u32)rng_next(&rng);
		break;
	case SHARQ_OP_DUALCAST:
		d.dst2 = place(2, d.len);
		break;
	}
	d.src = place(0, d.len);
	d.dst = place(1, d.len);
	if (d.op == SHARQ_OP_COPY && up_to(1))
		overlap(&d);
	return d;
}

static uint8_t *reference(uint64_t addr)
{
	return addr ? there + (addr - (uintptr_t)here) : NULL;
}

static void expect_same(const struct sharq_desc *d, const struct sharq_cqe *is,
			const struct sharq_cqe *want)
{
	ck_assert_msg(!memcmp(is, want, sizeof(*is)),
		      "op %u len %u dst_len %u src %#llx dst %#llx: "
		      "status %u crc %#x consumed %u produced %u, "
		      "not %u %#x %u %u",
		      d->op, d->len, d->dst_len, d->src, d->dst, is->status,
		      is->crc, is->consumed, is->produced, want->status,
		      want->crc, want->consumed, want->produced);
}

/* For COMPARE: equal up to somewhere. */
static void make_alike(const struct sharq_desc *d)
{
	memcpy(reference(d->src2), reference(d->src), d->len);
	if (d->len && up_to(3))
		reference(d->src2)[up_to(d->len - 1)] ^= 1;
	memcpy(here, there, ARENA);
}

START_TEST(same_as_reference)
{
	setup();
	rng_fill(&rng, there, ARENA);
	memcpy(here, there, ARENA);
	for (unsigned int i = 0; i < RUNS; i++) {
		struct sharq_desc d = random_command();
		const struct sharq_mem m = { reference(d.src),
					     reference(d.src2),
					     reference(d.dst),
					     reference(d.dst2) };
		struct sharq_cqe is, want;

		if (d.op == SHARQ_OP_COMPARE)
			make_alike(&d);
		sharq_exec_run(&d, &m, NULL, &want);
		is = queue_run(&queues[i & 1], &d);
		expect_same(&d, &is, &want);
		ck_assert_msg(!memcmp(here, there, ARENA),
			      "op %u len %u src %#llx dst %#llx: data", d.op,
			      d.len, d.src, d.dst);
	}
	finish();
}
END_TEST

/* Sources: the first quarter. Nothing, noise, one byte, words. */
static void some_data(uint32_t len)
{
	static const char words[] = "the quick brown fox jumps over a dog ";

	switch (up_to(2)) {
	case 0:
		rng_fill(&rng, here, len);
		break;
	case 1:
		memset(here, (int)up_to(255), len);
		break;
	default:
		for (uint32_t i = 0; i < len; i++)
			here[i] = (uint8_t)words[(i + up_to(1)) % 37];
	}
}

static struct sharq_desc compress_desc(uint8_t format, uint32_t len,
				       uint32_t room)
{
	return (struct sharq_desc){ .op = SHARQ_OP_COMPRESS,
				    .param = format,
				    .level = (__u8)up_to(SHARQ_MAX_LEVEL),
				    .len = len,
				    .dst_len = room,
				    .src = (uintptr_t)here,
				    .dst = (uintptr_t)here + ARENA / 2 +
					   up_to(PAGE) };
}

static struct sharq_desc decompress_desc(uint8_t format, uint64_t src,
					 uint32_t len, uint32_t room)
{
	return (struct sharq_desc){ .op = SHARQ_OP_DECOMPRESS,
				    .param = format,
				    .len = len,
				    .dst_len = room,
				    .src = src,
				    .dst = (uintptr_t)here + ARENA / 4 +
					   up_to(PAGE) };
}

/* zlib, in one go, as the third opinion. */
static void expect_inflates(uint8_t format, const uint8_t *p, uint32_t n,
			    uint32_t len, bool ends)
{
	static const int bits[] = { -15, 15, 31 };
	z_stream z = { .next_in = (uint8_t *)p,
		       .avail_in = n,
		       .next_out = there,
		       .avail_out = ARENA };

	ck_assert_int_eq(inflateInit2(&z, bits[format]), Z_OK);
	ck_assert_int_eq(inflate(&z, Z_SYNC_FLUSH), ends ? Z_STREAM_END : Z_OK);
	ck_assert_uint_eq(z.total_out, len);
	ck_assert_uint_eq(z.avail_in, 0);
	ck_assert(!memcmp(there, here, len));
	inflateEnd(&z);
}

START_TEST(compresses)
{
	setup();
	for (unsigned int i = 0; i < 100; i++) {
		uint32_t len = up_to(up_to(1) ? 100000 : 3000);
		uint8_t format = (uint8_t)up_to(2);
		struct sharq_desc d = compress_desc(format, len, ARENA / 3);
		struct sharq_cqe c;

		some_data(len);
		c = queue_run(&queues[i & 1], &d);
		ck_assert_uint_eq(c.status, SHARQ_OK);
		ck_assert_uint_eq(c.consumed, len);
		expect_inflates(format, (uint8_t *)(uintptr_t)d.dst, c.produced,
				len, true);
		/* Room to the byte; one byte less. */
		d.dst_len = c.produced;
		c = queue_run(&queues[i & 1], &d);
		ck_assert_uint_eq(c.status, SHARQ_OK);
		ck_assert_uint_eq(c.produced, d.dst_len);
		expect_inflates(format, (uint8_t *)(uintptr_t)d.dst, c.produced,
				len, true);
		((uint8_t *)(uintptr_t)d.dst)[--d.dst_len] = 0x5a;
		c = queue_run(&queues[i & 1], &d);
		ck_assert_uint_eq(c.status, SHARQ_NO_SPACE);
		ck_assert_uint_eq(((uint8_t *)(uintptr_t)d.dst)[d.dst_len],
				  0x5a);
	}
	finish();
}
END_TEST

/* Pieces with MORE, joined, are one stream. */
START_TEST(compresses_in_pieces)
{
	setup();
	for (unsigned int i = 0; i < 100; i++) {
		uint32_t len = up_to(100000), done = 0, made = 0;

		some_data(len);
		for (unsigned int pieces = 4; pieces; pieces--) {
			uint32_t n = pieces > 1 ? up_to(len - done)
						: len - done;
			struct sharq_desc d = compress_desc(0, n, ARENA / 3);
			struct sharq_cqe c;

			d.src += done;
			d.dst = (uintptr_t)here + ARENA / 2 + made;
			d.flags = pieces > 1 ? SHARQ_DESC_MORE : 0;
			c = queue_run(&queues[i & 1], &d);
			ck_assert_uint_eq(c.status, SHARQ_OK);
			ck_assert_uint_eq(c.consumed, n);
			done += n;
			made += c.produced;
			expect_inflates(0, here + ARENA / 2, made, done,
					pieces == 1);
		}
	}
	finish();
}
END_TEST

/* A stream as others make it, in the second half. Return: its length. */
static uint32_t make_stream(uint8_t format, uint32_t len)
{
	static const int bits[] = { -15, 15, 31 };
	static uint8_t extra[300];
	gz_header head = { .text = 1, .hcrc = (int)up_to(1) };
	z_stream z = { .next_in = here,
		       .avail_in = len,
		       .next_out = here + ARENA / 2,
		       .avail_out = ARENA / 2 };

	ck_assert_int_eq(deflateInit2(&z, (int)up_to(9), Z_DEFLATED,
				      bits[format], 1 + (int)up_to(8),
				      (int)up_to(Z_FIXED)),
			 Z_OK);
	if (format == SHARQ_FORMAT_GZIP) {
		head.name = up_to(1) ? (uint8_t *)"a name" : NULL;
		head.comment = up_to(1) ? (uint8_t *)"" : NULL;
		head.extra = up_to(1) ? extra : NULL;
		head.extra_len = up_to(sizeof(extra));
		ck_assert_int_eq(deflateSetHeader(&z, &head), Z_OK);
	}
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	deflateEnd(&z);
	return (uint32_t)z.total_out;
}

/* On queue and reference; what is compared ends at @produced. */
static struct sharq_cqe decompress(struct queue *q, const struct sharq_desc *d)
{
	const struct sharq_mem m = { (uint8_t *)(uintptr_t)d->src, NULL, there,
				     NULL };
	struct sharq_cqe is, want;

	sharq_exec_run(d, &m, codec, &want);
	is = queue_run(q, d);
	if (want.status != SHARQ_OK) {
		/* Which byte it stumbles over is its own affair. */
		ck_assert_msg(is.status == want.status,
			      "format %u len %u dst_len %u: %u, not %u",
			      d->param, d->len, d->dst_len, is.status,
			      want.status);
		return is;
	}
	expect_same(d, &is, &want);
	ck_assert(!memcmp((uint8_t *)(uintptr_t)d->dst, there, is.produced));
	return is;
}

START_TEST(decompresses)
{
	setup();
	for (unsigned int i = 0; i < 100; i++) {
		struct queue *q = &queues[i & 1];
		uint32_t len = up_to(up_to(1) ? 100000 : 3000), n;
		uint8_t format = (uint8_t)up_to(2);
		struct sharq_desc d;
		struct sharq_cqe c;

		some_data(len);
		n = make_stream(format, len);
		d = decompress_desc(format, (uintptr_t)here + ARENA / 2, n,
				    ARENA / 4 - PAGE);
		c = decompress(q, &d);
		ck_assert_uint_eq(c.status, SHARQ_OK);
		ck_assert_uint_eq(c.produced, len);
		ck_assert_uint_eq(c.consumed, n);
		/* What follows the stream is left alone. */
		d.len += 1 + up_to(5000);
		ck_assert_uint_eq(decompress(q, &d).consumed, n);
		/* Room to the byte; one byte less; a byte of the stream less. */
		d.len = n;
		d.dst_len = len;
		ck_assert_uint_eq(decompress(q, &d).status, SHARQ_OK);
		if (len) {
			d.dst_len = len - 1;
			c = decompress(q, &d);
			ck_assert_uint_eq(c.status, SHARQ_NO_SPACE);
		}
		d.dst_len = ARENA / 4 - PAGE;
		d.len = up_to(n - 1);
		c = decompress(q, &d);
		ck_assert_uint_eq(c.status, SHARQ_BAD_DATA);
	}
	finish();
}
END_TEST

/* Checksums are checked; noise is refused or ends somewhere, all the same. */
START_TEST(refuses_bad_streams)
{
	setup();
	for (unsigned int i = 0; i < 300; i++) {
		uint8_t *stream = here + ARENA / 2;
		uint8_t format = (uint8_t)up_to(2);
		uint32_t len = 1 + up_to(5000), n;
		struct sharq_desc d;

		some_data(len);
		n = make_stream(format, len);
		d = decompress_desc(format, (uintptr_t)stream, n,
				    ARENA / 4 - PAGE);
		if (format == SHARQ_FORMAT_RAW || i % 4) {
			stream[up_to(n - 1)] ^= (uint8_t)(1 << up_to(7));
			queue_run(&queues[i & 1], &d);
			continue;
		}
		stream[n - 1 - up_to(3)] ^= 1;
		ck_assert_uint_eq(decompress(&queues[i & 1], &d).status,
				  SHARQ_BAD_DATA);
	}
	finish();
}
END_TEST

/* A request that isn't finished goes behind the others of its queue. */
START_TEST(small_command_overtakes_a_big_one)
{
	struct queue q = queue_new(4);
	uint8_t *src = memory(16 * MIB), *dst = memory(16 * MIB);
	struct sharq_desc d = desc_copy(dst, src, 16 * MIB);

	d.user_data = 1;
	queue_put(&q, &d);
	d = desc_crc(src, PAGE);
	d.user_data = 2;
	queue_put(&q, &d);
	queue_kick(&q);
	queue_wait(&q, 2);
	ck_assert_uint_eq(queue_take(&q).user_data, 2);
	ck_assert_uint_eq(queue_take(&q).user_data, 1);
	queue_free(&q);
	munmap(src, 16 * MIB);
	munmap(dst, 16 * MIB);
}
END_TEST

/* Not at the kick, as small ones otherwise are. */
START_TEST(small_source_is_read_after_what_it_waits_for)
{
	struct queue q = queue_new(4);
	uint8_t *src = memory(64 * KIB), *dst = memory(PAGE);
	struct sharq_desc fill = desc_fill(src, 0x77, 64 * KIB);
	struct sharq_desc copy = desc_copy(dst, src, 100);

	copy.flags = SHARQ_DESC_FENCE;
	queue_put(&q, &fill);
	queue_put(&q, &copy);
	queue_kick(&q);
	queue_wait(&q, 2);
	ck_assert(filled_with(dst, 0x77, 100));
	queue_free(&q);
	munmap(src, 64 * KIB);
	munmap(dst, PAGE);
}
END_TEST

/* A kick of many, among them a wrong one and one that orders. */
START_TEST(nops_and_what_is_among_them_complete_once)
{
	const unsigned int nops = 200, wrong = 130, odd = 170;
	struct queue q = queue_new(256);
	struct sharq_ctl_stats s;

	/* The second time the ring ends among them. */
	for (int round = 0; round < 2; round++) {
		bool seen[200] = { false };

		for (unsigned int i = 0; i < nops; i++) {
			struct sharq_desc d = desc_nop();

			if (i == odd)
				d.flags = SHARQ_DESC_FENCE;
			d.reserved[2] = i == wrong;
			d.user_data = i;
			queue_put(&q, &d);
		}
		queue_kick(&q);
		queue_wait(&q, nops);
		for (unsigned int i = 0; i < nops; i++) {
			struct sharq_cqe c = queue_take(&q);

			ck_assert_uint_lt(c.user_data, nops);
			ck_assert(!seen[c.user_data]);
			seen[c.user_data] = true;
			ck_assert_uint_eq(c.status,
					  c.user_data == wrong
						  ? SHARQ_BAD_DESCRIPTOR
						  : SHARQ_OK);
		}
	}
	s = queue_stats(q.id);
	ck_assert_uint_eq(s.commands, 2 * nops);
	ck_assert_uint_eq(s.by_status[SHARQ_OK], 2 * (nops - 1));
	ck_assert_uint_eq(s.in_flight, 0);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("soft");

	GUEST_ADD(s, same_as_reference, 120);
	GUEST_ADD(s, compresses, 120);
	GUEST_ADD(s, compresses_in_pieces, 120);
	GUEST_ADD(s, decompresses, 120);
	GUEST_ADD(s, refuses_bad_streams, 120);
	/* A direct queue's commands are done one after the other. */
	if (queue_bind_request().path == SHARQ_BIND_SHADOW)
		GUEST_ADD(s, small_command_overtakes_a_big_one, 60);
	GUEST_ADD(s, small_source_is_read_after_what_it_waits_for, 60);
	GUEST_ADD(s, nops_and_what_is_among_them_complete_once, 60);
	return s;
}
