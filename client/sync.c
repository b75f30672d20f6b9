// SPDX-License-Identifier: MIT
/*
 * One-call helpers. What exceeds a piece is cut and run piece by piece; a
 * piece is at most what the device takes, and small enough that staging it
 * asks for little memory.
 */
#include "client.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

#define PIECE (8U << 20)

static uint64_t addr(const void *p)
{
	return (uintptr_t)p;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int start(struct sharq_queue *q)
{
	if (!guarded(q->s))
		return -EPERM;
	if (outstanding(q))
		return fail(q->s, -EBUSY,
			    "%u entries are outstanding on this queue: a "
			    "synchronous call wants none",
			    outstanding(q));
	return 0;
}

static int run(struct sharq_queue *q, const struct sharq_desc *desc,
	       struct sharq_cqe *out)
{
	struct sharq_sqe *sqe = sharq_get_sqe(q);
	const struct sharq_cqe *cqe;
	int rc;

	sharq_prep_raw(sqe, desc);
	rc = sharq_submit(q);
	if (rc < 0)
		return rc;
	do
		rc = sharq_wait_cqe(q, &cqe, -1);
	while (rc == -EINTR);
	if (rc)
		return rc;
	*out = *cqe;
	sharq_cqe_seen(q, cqe);
	return 0;
}

static size_t piece_of(const struct sharq_queue *q)
{
	return min_size(q->caps.max_transfer, PIECE);
}

/* Do these overlap so that only backwards is right? */
static bool backwards(const struct sharq_desc *d, size_t len)
{
	return d->op == SHARQ_OP_COPY && d->dst > d->src &&
	       d->dst - d->src < len;
}

static bool overlap(uint64_t a, uint64_t b, size_t len)
{
	return a < b ? b - a < len : a - b < len;
}

/* The device sees pieces only: what must be disjoint is checked whole here. */
static enum sharq_field check_whole(const struct sharq_desc *d, size_t len)
{
	if (d->op != SHARQ_OP_COPY_CRC32C && d->op != SHARQ_OP_DUALCAST)
		return SHARQ_FIELD_NONE;
	if (overlap(d->src, d->dst, len))
		return SHARQ_FIELD_DST;
	if (d->op == SHARQ_OP_DUALCAST &&
	    (overlap(d->src, d->dst2, len) || overlap(d->dst, d->dst2, len)))
		return SHARQ_FIELD_DST2;
	return SHARQ_FIELD_NONE;
}

/*
 * Run @whole, whose length is @len, in pieces of at most @piece. @last is set
 * to the last one's completion and @done to the bytes before it.
 */
static int run_pieces(struct sharq_queue *q, const struct sharq_desc *whole,
		      size_t len, size_t piece, struct sharq_cqe *last,
		      size_t *done)
{
	bool back = backwards(whole, len);
	struct sharq_desc d = *whole;
	size_t at = 0;
	int rc = start(q);

	if (rc)
		return rc;
	if (len > piece && check_whole(whole, len)) {
		*last = (struct sharq_cqe){ .status = SHARQ_BAD_DESCRIPTOR };
		return 0;
	}
	for (;;) {
		size_t n = min_size(len - at, piece);
		uint64_t offset = back ? len - at - n : at;

		d.len = (uint32_t)n;
		if (whole->op != SHARQ_OP_FILL)
			d.src = whole->src + offset;
		if (whole->op != SHARQ_OP_COMPARE &&
		    whole->op != SHARQ_OP_CRC32C)
			d.dst = whole->dst + offset;
		if (whole->op == SHARQ_OP_COMPARE ||
		    whole->op == SHARQ_OP_DUALCAST)
			d.src2 = whole->src2 + offset;
		rc = run(q, &d, last);
		*done = at;
		at += n;
		if (rc || last->status != SHARQ_OK || at == len)
			return rc;
		if (d.op == SHARQ_OP_CRC32C || d.op == SHARQ_OP_COPY_CRC32C)
			d.seed = last->crc;
	}
}

static int run_plain(struct sharq_queue *q, const struct sharq_desc *desc,
		     size_t len, uint32_t *crc, unsigned int *status)
{
	struct sharq_cqe last;
	size_t done;
	int rc = run_pieces(q, desc, len, piece_of(q), &last, &done);

	if (rc)
		return rc;
	*status = last.status;
	if (crc && last.status == SHARQ_OK)
		*crc = last.crc;
	return 0;
}

int sharq_copy(struct sharq_queue *q, void *dst, const void *src, size_t len,
	       unsigned int *status)
{
	struct sharq_desc d = { .op = SHARQ_OP_COPY,
				.src = addr(src),
				.dst = addr(dst) };

	return run_plain(q, &d, len, NULL, status);
}

int sharq_fill(struct sharq_queue *q, void *dst, size_t len,
	       const void *pattern, unsigned int pattern_len,
	       unsigned int *status)
{
	size_t piece = piece_of(q), done;
	struct sharq_sqe sqe;
	struct sharq_cqe last;
	int rc;

	sharq_prep_fill(&sqe, dst, 0, pattern, pattern_len);
	/* Every piece starts with the pattern's first byte. */
	if (pattern_len && pattern_len < piece)
		piece -= piece % pattern_len;
	rc = run_pieces(q, &sqe.desc, len, piece, &last, &done);
	if (!rc)
		*status = last.status;
	return rc;
}

int sharq_compare(struct sharq_queue *q, const void *a, const void *b,
		  size_t len, size_t *offset, unsigned int *status)
{
	struct sharq_desc d = { .op = SHARQ_OP_COMPARE,
				.src = addr(a),
				.src2 = addr(b) };
	struct sharq_cqe last;
	size_t done;
	int rc = run_pieces(q, &d, len, piece_of(q), &last, &done);

	if (rc)
		return rc;
	*status = last.status;
	if (offset && last.status == SHARQ_MISMATCH)
		*offset = done + last.consumed;
	return 0;
}

int sharq_crc32c(struct sharq_queue *q, const void *src, size_t len,
		 uint32_t seed, uint32_t *crc, unsigned int *status)
{
	struct sharq_desc d = { .op = SHARQ_OP_CRC32C,
				.src = addr(src),
				.seed = seed };

	return run_plain(q, &d, len, crc, status);
}

int sharq_copy_crc32c(struct sharq_queue *q, void *dst, const void *src,
		      size_t len, uint32_t seed, uint32_t *crc,
		      unsigned int *status)
{
	struct sharq_desc d = { .op = SHARQ_OP_COPY_CRC32C,
				.src = addr(src),
				.dst = addr(dst),
				.seed = seed };

	return run_plain(q, &d, len, crc, status);
}

int sharq_dualcast(struct sharq_queue *q, void *dst1, void *dst2,
		   const void *src, size_t len, unsigned int *status)
{
	struct sharq_desc d = { .op = SHARQ_OP_DUALCAST,
				.src = addr(src),
				.dst = addr(dst1),
				.dst2 = addr(dst2) };

	return run_plain(q, &d, len, NULL, status);
}

/*
 * What grows most is a device's fixed Huffman code: 9 bits for 8. The rest pays
 * for headers, trailers and pieces' ends.
 */
#define BOUND_EXTRA 1024

size_t sharq_compress_bound(size_t len)
{
	return len > SIZE_MAX / 2 ? SIZE_MAX : len + len / 8 + BOUND_EXTRA;
}

/* Where the whole is too long for one transfer: the bound must be one. */
static size_t compress_piece(const struct sharq_queue *q, size_t len)
{
	size_t max = q->caps.max_transfer;

	if (len <= max)
		return max;
	return max > 2 * BOUND_EXTRA ? (max - BOUND_EXTRA) / 9 * 8
				     : max / 2 + 1;
}

/*
 * A zlib stream of several pieces: header, raw pieces, Adler-32 of the whole.
 * ISA-L's header says "fastest", and so does ours.
 */
static const uint8_t zlib_header[2] = { 0x78, 0x01 };
#define ZLIB_TRAILER 4

static void zlib_trailer(uint8_t *at, const void *src, size_t len)
{
	uint32_t adler = isal_adler32(1, src, len);

	for (int i = 0; i < ZLIB_TRAILER; i++)
		at[i] = (uint8_t)(adler >> (24 - 8 * i));
}

static int compress_pieces(struct sharq_queue *q, struct sharq_desc *d,
			   uint8_t *dst, size_t room, size_t *produced,
			   const void *src, size_t len, size_t piece,
			   unsigned int *status)
{
	size_t at = 0, out = 0;
	struct sharq_cqe cqe;
	int rc;

	do {
		d->len = (uint32_t)min_size(len - at, piece);
		d->src = addr(src) + at;
		d->dst = addr(dst) + out;
		d->dst_len =
			(uint32_t)min_size(room - out, q->caps.max_transfer);
		d->flags = at + d->len < len && d->param == SHARQ_FORMAT_RAW
				   ? SHARQ_DESC_MORE
				   : 0;
		rc = run(q, d, &cqe);
		if (rc)
			return rc;
		at += d->len;
		out += cqe.produced;
	} while (cqe.status == SHARQ_OK && at < len);
	*status = cqe.status;
	*produced = cqe.status == SHARQ_OK ? out : 0;
	return 0;
}

int sharq_compress(struct sharq_queue *q, void *dst, size_t *out_len,
		   const void *src, size_t len, unsigned int format,
		   unsigned int level, unsigned int *status)
{
	size_t piece, head = 0, tail = 0, out;
	struct sharq_sqe sqe;
	uint8_t *to = dst;
	int rc = start(q);

	if (rc)
		return rc;
	sharq_prep_compress(&sqe, NULL, 0, NULL, 0, format, level);
	piece = compress_piece(q, len);
	if (len > piece && format == SHARQ_FORMAT_ZLIB) {
		head = sizeof(zlib_header);
		tail = ZLIB_TRAILER;
		if (*out_len < head + tail) {
			*status = SHARQ_NO_SPACE;
			*out_len = 0;
			return 0;
		}
		sqe.desc.param = SHARQ_FORMAT_RAW;
		memcpy(to, zlib_header, head);
	}
	rc = compress_pieces(q, &sqe.desc, to + head, *out_len - head - tail,
			     &out, src, len, piece, status);
	if (rc)
		return rc;
	if (tail && *status == SHARQ_OK)
		zlib_trailer(to + head + out, src, len);
	*out_len = *status == SHARQ_OK ? head + out + tail : 0;
	return 0;
}

/* On the caller's CPU, for what one command can't hold. */
static int decompress_here(struct sharq_queue *q, uint8_t *dst, size_t room,
			   size_t *produced, const uint8_t *src, size_t len,
			   size_t *consumed, unsigned int format,
			   unsigned int *status)
{
	size_t used, made;
	bool end = false, full;
	uint8_t spare;

	if (!q->codec && sharq_codec_new(&q->codec))
		return fail(q->s, -ENOMEM, "out of memory");
	sharq_inflate_init(q->codec, format);
	*produced = *consumed = 0;
	do {
		/* Room is out: is there one byte more, or was that the end? */
		full = *produced == room;
		/* ISA-L counts in 32 bits. */
		*status = sharq_inflate(
			q->codec, src + *consumed,
			min_size(len - *consumed, 1U << 30), &used,
			full ? &spare : dst + *produced,
			full ? 1 : min_size(room - *produced, 1U << 30), &made,
			&end);
		*consumed += used;
		if (full && made) {
			*status = SHARQ_NO_SPACE;
			return 0;
		}
		*produced += made;
	} while (*status == SHARQ_OK && !end && (used || made));
	if (*status == SHARQ_OK && !end)
		*status = SHARQ_BAD_DATA;
	return 0;
}

int sharq_decompress(struct sharq_queue *q, void *dst, size_t *out_len,
		     const void *src, size_t len, size_t *consumed,
		     unsigned int format, unsigned int *status)
{
	size_t max = q->caps.max_transfer, used = 0, made = 0;
	struct sharq_sqe sqe;
	struct sharq_cqe cqe;
	int rc = start(q);

	if (rc)
		return rc;
	if ((len > max || *out_len > max) && format < SHARQ_FORMAT_COUNT) {
		rc = decompress_here(q, dst, *out_len, &made, src, len, &used,
				     format, status);
	} else {
		sharq_prep_decompress(&sqe, dst,
				      (uint32_t)min_size(*out_len, max), src,
				      (uint32_t)min_size(len, max), format);
		rc = run(q, &sqe.desc, &cqe);
		if (!rc) {
			*status = cqe.status;
			used = cqe.consumed;
			made = cqe.produced;
		}
	}
	if (rc)
		return rc;
	if (*status != SHARQ_OK)
		used = made = 0;
	*out_len = made;
	if (consumed)
		*consumed = used;
	return 0;
}
