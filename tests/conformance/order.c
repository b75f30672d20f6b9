/* SPDX-License-Identifier: MIT */
/* FENCE and LINK. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define BIG (8 * MIB)

static void flagged(struct sharq_sqe *sqe, unsigned int flags, uint64_t data)
{
	sharq_sqe_set_flags(sqe, flags);
	sharq_sqe_set_data64(sqe, data);
}

/*
 * A long command, then a fenced one that reads what it writes last. Without the
 * fence a second worker would read before the first has written.
 */
static void fence_orders(void)
{
	const uint32_t max_rounds = 30;
	struct session c;
	uint8_t *a, *b, *tags, *out;
	uint32_t len;

	session_open(&c, 16, 0);
	len = c.info.max_transfer < BIG ? c.info.max_transfer : BIG;
	a = xalloc(c.s, len);
	b = xalloc(c.s, len);
	tags = xmalloc(len);
	out = xalloc(c.s, 64);
	for (uint32_t round = 0; round < max_rounds; round++) {
		struct sharq_sqe *sqe;
		uint8_t tag = (uint8_t)(round + 1);

		memset(a, 0, len);
		memset(out, 0xff, 64);
		if (suite_has(SHARQ_OP_FILL)) {
			sharq_prep_fill(sqe_get(c.q), a, len, &tag, 1);
		} else {
			memset(tags, tag, len);
			sharq_prep_copy(sqe_get(c.q), a, tags, len);
		}
		sqe = sqe_get(c.q);
		sharq_prep_copy(sqe, b, a, len);
		flagged(sqe, SHARQ_DESC_FENCE, 1);
		sqe = sqe_get(c.q);
		sharq_prep_copy(sqe, out, b + len - 64, 64);
		flagged(sqe, SHARQ_DESC_FENCE, 2);
		submit_all(c.q, 3);
		for (uint64_t i = 0; i < 3; i++) {
			struct sharq_cqe cqe = cqe_take(c.q);

			expect_status(&cqe, SHARQ_OK, "a fenced command");
			EXPECT_EQ(cqe.user_data, i, "order of completions");
		}
		for (int i = 0; i < 64; i++)
			EXPECT_EQ(out[i], tag, "a byte read behind the fence");
	}
	sharq_free(c.s, a);
	sharq_free(c.s, b);
	free(tags);
	sharq_free(c.s, out);
	session_close(&c);
}

/* Each behind the other by LINK: each sees what the one before wrote. */
static void link_success(void)
{
	const uint32_t len = 256 * KIB;
	struct session c;
	uint8_t *step[9], *last;
	uint32_t crc;

	session_open(&c, 16, 0);
	for (size_t i = 0; i < ARRAY_SIZE(step); i++)
		step[i] = xalloc(c.s, len);
	last = xalloc(c.s, len);
	for (int round = 0; round < 50; round++) {
		struct rng r = { (uint64_t)round };

		rng_fill(&r, step[0], len);
		crc = ref_crc32c(0, step[0], len);
		for (unsigned int i = 0; i + 1 < ARRAY_SIZE(step); i++) {
			struct sharq_sqe *sqe = sqe_get(c.q);

			sharq_prep_copy(sqe, step[i + 1], step[i], len);
			flagged(sqe, SHARQ_DESC_LINK, i);
		}
		if (suite_has(SHARQ_OP_CRC32C))
			sharq_prep_crc32c(sqe_get(c.q), step[8], len, 0);
		else
			sharq_prep_copy(sqe_get(c.q), last, step[8], len);
		submit_all(c.q, ARRAY_SIZE(step));
		for (unsigned int i = 0; i < ARRAY_SIZE(step); i++) {
			struct sharq_cqe cqe = cqe_take(c.q);

			expect_status(&cqe, SHARQ_OK, "a linked command");
			if (i == 8 && suite_has(SHARQ_OP_CRC32C))
				EXPECT_EQ(cqe.crc, crc, "the chain's crc");
			else if (i == 8)
				EXPECT(!memcmp(last, step[0], len),
				       "the chain's data");
			else
				EXPECT_EQ(cqe.user_data, i,
					  "order of completions");
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(step); i++)
		sharq_free(c.s, step[i]);
	sharq_free(c.s, last);
	session_close(&c);
}

/* Every device refuses it. */
static void prep_bad(struct sharq_sqe *sqe)
{
	const struct sharq_desc bad = { .op = SHARQ_OP_NOP, .len = 1 };

	sharq_prep_raw(sqe, &bad);
}

/* What fails on this device. Return: its status. */
static unsigned int prep_failing(struct sharq_sqe *sqe)
{
	static const uint8_t a[8] = { 1 }, b[8] = { 2 };

	if (suite_has(SHARQ_OP_COMPARE)) {
		sharq_prep_compare(sqe, a, b, 8);
		return SHARQ_MISMATCH;
	}
	prep_bad(sqe);
	return SHARQ_BAD_DESCRIPTOR;
}

/* Ways to fail: the first is every device's, the others those of whole ones. */
static const unsigned int failures[] = { SHARQ_BAD_DESCRIPTOR, SHARQ_MISMATCH,
					 SHARQ_NO_SPACE };

static size_t failure_count(void)
{
	return suite_has_all() ? ARRAY_SIZE(failures) : 1;
}

/*
 * A chain of @n whose member @bad ends with @status: those before are OK, those
 * behind CANCELED and without effect, and what follows the chain runs.
 */
static void chain(struct session *c, unsigned int n, unsigned int bad,
		  unsigned int status, bool one_by_one)
{
	static uint8_t src[256], dst[16][256];
	struct sharq_sqe *sqe;

	memset(src, 7, sizeof(src));
	memset(dst, 0, sizeof(dst));
	for (unsigned int i = 0; i < n; i++) {
		sqe = sqe_get(c->q);
		if (i != bad)
			sharq_prep_copy(sqe, dst[i], src, 256);
		else if (status == SHARQ_MISMATCH)
			sharq_prep_compare(sqe, src, dst[15], 256);
		else if (status == SHARQ_BAD_DESCRIPTOR)
			prep_bad(sqe);
		else
			sharq_prep_compress(sqe, dst[i], 1, src, 256, 0, 1);
		flagged(sqe, i + 1 < n ? SHARQ_DESC_LINK : 0, i);
		if (one_by_one)
			submit_all(c->q, 1);
	}
	sqe = sqe_get(c->q);
	sharq_prep_copy(sqe, dst[14], src, 256);
	flagged(sqe, 0, n);
	submit_all(c->q, one_by_one ? 1 : n + 1);
	for (unsigned int seen = 0; seen <= n; seen++) {
		struct sharq_cqe cqe = cqe_take(c->q);
		unsigned int i = (unsigned int)cqe.user_data;
		unsigned int want = i == bad	       ? status
				    : i > bad && i < n ? SHARQ_CANCELED
						       : SHARQ_OK;

		EXPECT(i <= n, "user_data");
		EXPECT(cqe.status == want,
		       "member %u of %u, of which %u fails: %s, expected %s", i,
		       n, bad, sharq_status_name(cqe.status),
		       sharq_status_name(want));
		if (i > bad && i < n)
			EXPECT(!dst[i][0] && !dst[i][255],
			       "a canceled COPY has written");
	}
	EXPECT_EQ(dst[14][255], 7, "what follows the chain");
}

static void link_failure(void)
{
	struct session c;

	session_open(&c, 16, 0);
	for (size_t h = 0; h < failure_count(); h++)
		for (unsigned int n = 2; n <= 8; n++)
			for (unsigned int bad = 0; bad < n; bad++)
				chain(&c, n, bad, failures[h], false);
	session_close(&c);
}

static void link_across_submits(void)
{
	struct session c;

	session_open(&c, 16, 0);
	for (size_t h = 0; h < failure_count(); h++)
		for (unsigned int bad = 0; bad < 4; bad++)
			chain(&c, 4, bad, failures[h], true);
	session_close(&c);
}

/* The first half of a chain has long failed when the second half comes. */
static void link_late_second_half(void)
{
	static const uint8_t a[8] = { 1 };
	uint8_t dst[8] = { 0 };
	struct session c;

	session_open(&c, 2, 0);
	for (int fails = 0; fails < 2; fails++) {
		struct sharq_sqe *sqe = sqe_get(c.q);
		unsigned int status = SHARQ_OK;
		struct sharq_cqe cqe;

		if (fails)
			status = prep_failing(sqe);
		else
			sharq_prep_copy(sqe, dst, a, 8);
		flagged(sqe, SHARQ_DESC_LINK, 0);
		cqe = run_one(c.q);
		expect_status(&cqe, status, "the first half");
		sqe = sqe_get(c.q);
		sharq_prep_copy(sqe, dst, a, 8);
		flagged(sqe, SHARQ_DESC_LINK, 0);
		cqe = run_one(c.q);
		expect_status(&cqe, fails ? SHARQ_CANCELED : SHARQ_OK,
			      "the second half");
		sharq_prep_nop(sqe_get(c.q));
		cqe = run_one(c.q);
		expect_status(&cqe, fails ? SHARQ_CANCELED : SHARQ_OK,
			      "the chain's end");
		sharq_prep_nop(sqe_get(c.q));
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "what follows the chain");
	}
	session_close(&c);
}

/* FENCE within a chain that is canceled neither hangs nor revives it. */
static void fence_and_link(void)
{
	struct session c;

	session_open(&c, 16, 0);
	for (int round = 0; round < 200; round++) {
		struct sharq_sqe *sqe = sqe_get(c.q);
		unsigned int status = prep_failing(sqe);

		flagged(sqe, SHARQ_DESC_LINK, status);
		sqe = sqe_get(c.q);
		sharq_prep_nop(sqe);
		flagged(sqe, SHARQ_DESC_LINK | SHARQ_DESC_FENCE,
			SHARQ_CANCELED);
		sqe = sqe_get(c.q);
		sharq_prep_nop(sqe);
		flagged(sqe, SHARQ_DESC_FENCE, SHARQ_CANCELED);
		sqe = sqe_get(c.q);
		sharq_prep_nop(sqe);
		flagged(sqe, SHARQ_DESC_FENCE, SHARQ_OK);
		submit_all(c.q, 4);
		for (int i = 0; i < 4; i++) {
			struct sharq_cqe cqe = cqe_take(c.q);

			expect_status(&cqe, (unsigned int)cqe.user_data,
				      "a command of the chain");
		}
	}
	session_close(&c);
}

#define LONGS 48

/* Take what is complete without waiting. Return: how many changed their CRC. */
static unsigned int take_complete(struct sharq_queue *q, uint32_t old)
{
	const struct sharq_cqe *cqe;
	unsigned int changed = 0;

	while (!sharq_peek_cqe(q, &cqe)) {
		expect_status(cqe, SHARQ_OK, "a long CRC32C");
		changed += cqe->crc != old;
		sharq_cqe_seen(q, cqe);
	}
	return changed;
}

/*
 * Long commands on one queue read what a short one on another changes at their
 * end: their results tell how many ended before it was served, and how many
 * after. So it doesn't matter when we come to look.
 *
 * Return: false if this tells nothing: most were done when the short one came.
 */
static bool overtakes(struct session *c, struct sharq_queue *other,
		      uint8_t *big, uint32_t len)
{
	const uint8_t tag = 1;
	unsigned int changed, left;
	struct sharq_cqe cqe;
	uint32_t old;

	memset(big, 0, len);
	sharq_prep_crc32c(sqe_get(c->q), big, len, 0);
	old = run_one(c->q).crc;
	for (unsigned int i = 0; i < LONGS; i++)
		sharq_prep_crc32c(sqe_get(c->q), big, len, 0);
	submit_all(c->q, LONGS);
	sharq_prep_fill(sqe_get(other), big + len - 64, 64, &tag, 1);
	submit_all(other, 1);
	changed = take_complete(c->q, old);
	left = sharq_queue_outstanding(c->q);
	cqe = cqe_take(other);
	expect_status(&cqe, SHARQ_OK, "a short FILL");
	while (sharq_queue_outstanding(c->q)) {
		cqe = cqe_take(c->q);
		expect_status(&cqe, SHARQ_OK, "a long CRC32C");
		changed += cqe.crc != old;
	}
	if (left < LONGS / 2)
		return false;
	EXPECT(changed >= left / 2,
	       "a short command came when %u long ones of %u bytes were left, "
	       "and was served when %u were",
	       left, len, changed);
	return true;
}

/* A short command doesn't wait behind a long one, unless told to. */
static void short_before_long(void)
{
	struct sharq_queue *other;
	struct session c;
	uint8_t *big;
	uint32_t len;

	session_open(&c, 64, 0);
	other = suite_open(c.s, 64, 0);
	len = c.info.max_transfer < 64 * MIB ? c.info.max_transfer : 64 * MIB;
	big = xalloc(c.s, len);
	while (!overtakes(&c, other, big, len))
		;
	sharq_free(c.s, big);
	sharq_queue_close(other);
	session_close(&c);
}

const struct test order_tests[] = {
	{ "fence_orders", fence_orders, 60, 0 },
	{ "link_success", link_success, 60, 0 },
	{ "link_failure_cancels", link_failure, 30, 0 },
	{ "link_across_submits", link_across_submits, 30, 0 },
	{ "link_late_second_half", link_late_second_half, 30, 0 },
	{ "fence_and_link", fence_and_link, 30, 0 },
	{ "short_before_long", short_before_long, 120, BESIDE },
	{ NULL, NULL, 0, 0 },
};
