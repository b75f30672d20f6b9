// SPDX-License-Identifier: MIT
#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <string.h>

#include "codec.h"

#define GZIP_PLAIN_HEADER 10U
#define GZIP_TRAILER 8U
#define GZIP_FEXTRA 4
/* Room before the device's output for what our header is longer than its. */
#define LEAD 64U

const uint8_t sq_field[6] = { 12, 0, 'S', 'Q', 8, 0 };

/*
 * @last:  RAW and ZLIB: the piece that ends the stream was put in
 * @adler: ZLIB: of what was written out so far
 */
struct deflate {
	struct flow *flow;
	struct input *in;
	struct output *out;
	unsigned int format;
	unsigned int level;
	bool last;
	uint32_t adler;
};

/* Turn the plain header of a member into ours, just before its body. */
static int write_member(struct deflate *d, struct flow_slot *s,
			struct failure *f)
{
	uint32_t grow = SQ_HEADER_SIZE - GZIP_PLAIN_HEADER;
	uint32_t size = s->cqe.produced + grow;
	uint8_t *dev = s->buf[1] + LEAD, *own = dev - grow;

	if (s->cqe.produced < GZIP_PLAIN_HEADER + GZIP_TRAILER ||
	    dev[0] != 0x1f || dev[1] != 0x8b || dev[2] != 8 || dev[3])
		return fail(f, -EIO,
			    "%s: the device's output is no plain gzip "
			    "member",
			    d->in->name);
	memmove(own, dev, GZIP_PLAIN_HEADER);
	own[3] = GZIP_FEXTRA;
	memcpy(own + SQ_FIELD_AT, sq_field, sizeof(sq_field));
	put_le32(own + SQ_FIELD_AT + 6, size);
	put_le32(own + SQ_FIELD_AT + 10, s->desc.len);
	return output_write(d->out, own, size, f);
}

static int write_piece(struct deflate *d, struct flow_slot *s,
		       struct failure *f)
{
	if (s->cqe.status != SHARQ_OK)
		return flow_status(d->in->name, s, f);
	if (d->format == SHARQ_FORMAT_GZIP)
		return write_member(d, s, f);
	if (d->format == SHARQ_FORMAT_ZLIB)
		d->adler = isal_adler32(d->adler, s->buf[0], s->desc.len);
	return output_write(d->out, s->buf[1] + LEAD, s->cqe.produced, f);
}

/* Put the next piece into the slot; *end: there is none. */
static int fill_slot(struct deflate *d, struct flow_slot *s, bool *end,
		     struct failure *f)
{
	size_t piece = FLOW_PIECE, room = CODEC_PACKED_SIZE - LEAD, got;
	bool gzip = d->format == SHARQ_FORMAT_GZIP;
	bool first = !d->in->offset;
	int err;

	if (room > flow_max_transfer(d->flow))
		room = flow_max_transfer(d->flow);
	while (sharq_compress_bound(piece) > room)
		piece /= 2;
	err = input_read(d->in, s->buf[0], piece, &got, f);
	if (err)
		return err;
	/* An empty file is one empty member; after pieces it is the end. A
	 * stream ends with the first piece that isn't full, perhaps empty. */
	*end = d->last || (gzip && !got && !first);
	if (*end)
		return 0;
	d->last = got < piece;
	s->desc.op = SHARQ_OP_COMPRESS;
	s->desc.param = gzip ? SHARQ_FORMAT_GZIP : SHARQ_FORMAT_RAW;
	s->desc.flags = gzip || d->last ? 0 : SHARQ_DESC_MORE;
	s->desc.level = d->level;
	s->desc.len = got;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.dst = (uintptr_t)s->buf[1] + LEAD;
	s->desc.dst_len = sharq_compress_bound(piece);
	return flow_put(d->flow, f);
}

static int write_zlib_header(struct deflate *d, struct failure *f)
{
	/* 32-KiB window; FLEVEL is for people; the check makes it % 31 == 0. */
	uint8_t h[2] = { 0x78, d->level ? d->level >= 6 ? 0x9c : 0x5e : 0x01 };

	return output_write(d->out, h, sizeof(h), f);
}

static int write_zlib_trailer(struct deflate *d, struct failure *f)
{
	uint8_t t[4] = { d->adler >> 24, d->adler >> 16, d->adler >> 8,
			 d->adler };

	return output_write(d->out, t, sizeof(t), f);
}

int deflate_file(struct flow *flow, struct input *in, struct output *out,
		 unsigned int format, unsigned int level, struct progress *p,
		 struct failure *f)
{
	struct deflate d = { .flow = flow,
			     .in = in,
			     .out = out,
			     .format = format,
			     .level = level,
			     .adler = 1 };
	struct flow_slot *s;
	bool end = false;
	int err = 0;

	if (format == SHARQ_FORMAT_ZLIB)
		err = write_zlib_header(&d, f);
	while (!err) {
		s = end ? NULL : flow_next(flow);
		if (s)
			err = fill_slot(&d, s, &end, f);
		if (err)
			break;
		err = flow_take(flow, !s, &s, f);
		if (err || (!s && end && !flow_busy(flow)))
			break;
		if (!s)
			continue;
		err = write_piece(&d, s, f);
		flow_drop(flow);
		progress_update(p, in->offset);
	}
	if (!err && format == SHARQ_FORMAT_ZLIB)
		err = write_zlib_trailer(&d, f);
	return err;
}
