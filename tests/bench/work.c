// SPDX-License-Identifier: MIT
/* The same work through sharq: path embedded, no inline execution. */
#include <errno.h>
#include <string.h>

#include "bench.h"

static struct sharq_queue *open_queue(struct bench *b, uint32_t depth)
{
	struct sharq_queue_opts opts = { .path = SHARQ_PATH_EMBEDDED,
					 .depth = depth };
	struct sharq_queue *q;
	char text[256];

	if (sharq_queue_open(b->s, &opts, &q))
		die("%s", sharq_error(b->s, text, sizeof(text)));
	return q;
}

static void expect_ok(const struct sharq_cqe *cqe)
{
	if (cqe->status != SHARQ_OK)
		die("a command completed as %s",
		    sharq_status_name(cqe->status));
}

double sharq_nop(struct bench *b)
{
	struct sharq_queue *q = open_queue(b, DEPTH);
	const struct sharq_cqe *cqe;
	double begin = now(), end;
	uint64_t n = 0;

	do {
		for (int i = 0; i < 1000; i++, n++) {
			sharq_prep_nop(sharq_get_sqe(q));
			if (sharq_submit(q) != 1)
				die("a NOP was not accepted");
			while (sharq_peek_cqe(q, &cqe) == -EAGAIN)
				;
			expect_ok(cqe);
			sharq_cqe_seen(q, cqe);
		}
		end = now();
	} while (end - begin < b->seconds);
	sharq_queue_close(q);
	return n / (end - begin);
}

/* Take what has completed. Return: how many. */
static unsigned int reap(struct sharq_queue *q)
{
	const struct sharq_cqe *cqe;
	unsigned int n;

	for (n = 0; !sharq_peek_cqe(q, &cqe); n++) {
		expect_ok(cqe);
		sharq_cqe_seen(q, cqe);
	}
	return n;
}

double sharq_copies(struct bench *b, uint32_t size)
{
	struct sharq_queue *q = open_queue(b, DEPTH);
	double begin = now(), end = begin;
	struct sharq_sqe *sqe;
	uint64_t ops = 0;
	uint32_t next = 0, prepared;
	int taken;

	for (uint32_t turn = 1;; turn++) {
		for (prepared = 0; (sqe = sharq_get_sqe(q)); prepared++) {
			uint32_t slot = next++ % DEPTH;

			sharq_prep_copy(sqe, b->room + slot * size,
					b->set + slot * size, size);
		}
		taken = prepared ? sharq_submit(q) : 0;
		if (taken < 0 || (uint32_t)taken != prepared)
			die("submit took %d of %u commands", taken, prepared);
		ops += reap(q);
		if (turn % 1024 == 0) {
			end = now();
			if (end - begin >= b->seconds)
				break;
		}
	}
	while (sharq_queue_outstanding(q))
		reap(q);
	sharq_queue_close(q);
	return ops / (end - begin);
}

/* Pieces of a set, @depth of them in flight; sleeping while there is nothing
 * to take. Return: bytes per second. */
static double
pieces(struct bench *b, uint32_t set, uint32_t piece, uint32_t depth,
       void (*prep)(struct bench *, struct sharq_sqe *, uint32_t, uint32_t))
{
	struct sharq_queue *q = open_queue(b, depth);
	double begin = now(), end = begin;
	const struct sharq_cqe *cqe;
	uint64_t done = 0, goal = set / piece, started = 0;
	struct sharq_sqe *sqe;

	while (done < goal) {

		while (started < goal && started - done < depth &&
		       (sqe = sharq_get_sqe(q))) {
			prep(b, sqe, started * piece % set, started % depth);
			started++;
		}
		if (sharq_submit(q) < 0)
			die("submit failed");
		if (sharq_wait_cqe(q, &cqe, 10000))
			die("no completion within 10 s");
		expect_ok(cqe);
		sharq_cqe_seen(q, cqe);
		done++;
		end = now();
		if (done == goal && end - begin < b->seconds)
			goal += set / piece;
	}
	sharq_queue_close(q);
	return (double)done * piece / (end - begin);
}

static void prep_crc(struct bench *b, struct sharq_sqe *sqe, uint32_t at,
		     uint32_t slot)
{
	(void)slot;
	sharq_prep_crc32c(sqe, b->set + at, CRC_PIECE, 0);
}

double sharq_crcs(struct bench *b)
{
	return pieces(b, CRC_SET, CRC_PIECE, 16, prep_crc);
}

/* Out of order completion may hand a slot out twice: what is written there is
 * thrown away, as it is in the baseline. */
static void prep_deflate(struct bench *b, struct sharq_sqe *sqe, uint32_t at,
			 uint32_t slot)
{
	sharq_prep_compress(sqe, b->room + slot * DEFLATE_ROOM, DEFLATE_ROOM,
			    b->set + at, DEFLATE_PIECE, SHARQ_FORMAT_RAW,
			    DEFLATE_LEVEL);
}

double sharq_deflates(struct bench *b)
{
	return pieces(b, DEFLATE_SET, DEFLATE_PIECE, DEFLATE_DEPTH,
		      prep_deflate);
}
