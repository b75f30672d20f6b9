// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "exec.h"

#define STREAM_IN (256U << 10)
#define STREAM_OUT (256U << 10)

static const char *const format_names[] = { "raw deflate", "zlib", "gzip" };

struct inflate {
	struct flow *flow;
	struct input *in;
	struct output *out;
	struct progress *p;
	unsigned int format;
	struct sharq_codec *codec;
	uint8_t *plain;
};

/* Write out the oldest member; without @wait only if it is complete. */
static int write_oldest(struct inflate *x, bool wait, bool *wrote,
			struct failure *f)
{
	struct flow_slot *s;
	int err;

	*wrote = false;
	err = flow_take(x->flow, wait, &s, f);
	if (err || !s)
		return err;
	if (s->cqe.status == SHARQ_BAD_DATA ||
	    s->cqe.status == SHARQ_NO_SPACE ||
	    (s->cqe.status == SHARQ_OK &&
	     (s->cqe.consumed != s->desc.len || s->cqe.produced != s->plain)))
		return fail(f, -EBADMSG,
			    "%s: corrupt: the gzip member at byte "
			    "%" PRIu64 " doesn't decompress to what its header "
			    "tells",
			    x->in->name, s->tag);
	if (s->cqe.status != SHARQ_OK)
		return flow_status(x->in->name, s, f);
	err = output_write(x->out, s->buf[1], s->cqe.produced, f);
	flow_drop(x->flow);
	progress_update(x->p, x->in->offset);
	*wrote = true;
	return err;
}

static int drain(struct inflate *x, struct failure *f)
{
	bool wrote = true;
	int err = 0;

	while (!err && wrote)
		err = write_oldest(x, true, &wrote, f);
	return err;
}

/* Sizes from a header of ours, if they are such that a slot can hold them. */
static bool own_member(const struct inflate *x, const uint8_t *h, size_t len,
		       uint32_t *packed, uint32_t *plain)
{
	if (x->format != SHARQ_FORMAT_GZIP || len < SQ_HEADER_SIZE ||
	    h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 || h[3] != 4 ||
	    memcmp(h + SQ_FIELD_AT, sq_field, sizeof(sq_field)))
		return false;
	*packed = get_le32(h + SQ_FIELD_AT + 6);
	*plain = get_le32(h + SQ_FIELD_AT + 10);
	return *packed >= SQ_HEADER_SIZE + 8 && *packed <= CODEC_PACKED_SIZE &&
	       *plain <= CODEC_PLAIN_SIZE &&
	       *packed <= flow_max_transfer(x->flow) &&
	       *plain <= flow_max_transfer(x->flow);
}

static void prep(struct inflate *x, struct flow_slot *s, uint32_t packed,
		 uint32_t room)
{
	s->desc.op = SHARQ_OP_DECOMPRESS;
	s->desc.param = x->format;
	s->desc.len = packed;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.dst = (uintptr_t)s->buf[1];
	s->desc.dst_len = room;
}

static int put_own(struct inflate *x, uint32_t packed, uint32_t plain,
		   struct failure *f)
{
	struct flow_slot *s;
	uint64_t at = x->in->offset;
	bool wrote;
	size_t got;
	int err = 0;

	while (!(s = flow_next(x->flow))) {
		err = write_oldest(x, true, &wrote, f);
		if (err)
			return err;
	}
	err = input_read(x->in, s->buf[0], packed, &got, f);
	if (err)
		return err;
	if (got < packed)
		return fail(f, -EBADMSG,
			    "%s: truncated: the gzip member at "
			    "byte %" PRIu64 " has %zu of its %u bytes",
			    x->in->name, at, got, packed);
	s->tag = at;
	s->plain = plain;
	prep(x, s, packed, plain ? plain : 1);
	err = flow_put(x->flow, f);
	return err ? err : write_oldest(x, false, &wrote, f);
}

/*
 * One command for a stream that fits, input seen whole and output hoped to
 * fit. *done is false when it didn't work out: streaming then says why.
 */
static int try_command(struct inflate *x, bool *done, struct failure *f)
{
	struct flow_slot *s;
	const uint8_t *data;
	size_t got;
	int err;

	*done = false;
	err = input_peek(x->in, INFLATE_WINDOW, &data, &got, f);
	if (err || got == INFLATE_WINDOW || got > flow_max_transfer(x->flow))
		return err;
	s = flow_next(x->flow);
	memcpy(s->buf[0], data, got);
	prep(x, s, got,
	     CODEC_PLAIN_SIZE < flow_max_transfer(x->flow)
		     ? CODEC_PLAIN_SIZE
		     : flow_max_transfer(x->flow));
	err = flow_put(x->flow, f);
	if (!err)
		err = flow_take(x->flow, true, &s, f);
	if (err)
		return err;
	if (s->cqe.status == SHARQ_OK && s->cqe.consumed <= got) {
		err = output_write(x->out, s->buf[1], s->cqe.produced, f);
		input_skip(x->in, s->cqe.consumed);
		*done = true;
	} else if (s->cqe.status != SHARQ_BAD_DATA &&
		   s->cqe.status != SHARQ_NO_SPACE) {
		err = flow_status(x->in->name, s, f);
	}
	flow_drop(x->flow);
	return err;
}

static int stream(struct inflate *x, struct failure *f)
{
	uint64_t at = x->in->offset;
	const char *name = format_names[x->format];
	enum sharq_status status;
	const uint8_t *data;
	size_t got, in_used, out_used;
	bool end = false;
	int err;

	sharq_inflate_init(x->codec, x->format);
	while (!end) {
		err = input_peek(x->in, STREAM_IN, &data, &got, f);
		if (err)
			return err;
		status = sharq_inflate(x->codec, data, got, &in_used, x->plain,
				       STREAM_OUT, &out_used, &end);
		if (status != SHARQ_OK)
			return fail(f, -EBADMSG,
				    "%s: corrupt: the %s stream "
				    "at byte %" PRIu64 " can't be decompressed",
				    x->in->name, name, at);
		input_skip(x->in, in_used);
		err = output_write(x->out, x->plain, out_used, f);
		if (err)
			return err;
		if (!end && !in_used && !out_used)
			return fail(f, -EBADMSG,
				    "%s: truncated: the %s stream "
				    "at byte %" PRIu64 " has no end",
				    x->in->name, name, at);
		progress_update(x->p, x->in->offset);
	}
	return 0;
}

static int foreign(struct inflate *x, struct failure *f)
{
	bool done;
	int err;

	err = drain(x, f);
	if (!err)
		err = try_command(x, &done, f);
	if (!err && !done)
		err = stream(x, f);
	return err;
}

/* After a stream: nothing, or for gzip the zeros that tapes pad with. */
static int check_rest(struct inflate *x, struct failure *f)
{
	uint64_t at = x->in->offset;
	const uint8_t *data;
	size_t got, i;
	int err;

	do {
		err = input_peek(x->in, STREAM_IN, &data, &got, f);
		if (err)
			return err;
		for (i = 0; i < got; i++)
			if (data[i] || x->format != SHARQ_FORMAT_GZIP)
				return fail(f, -EBADMSG,
					    "%s: garbage after "
					    "the end of the %s data at byte "
					    "%" PRIu64,
					    x->in->name,
					    format_names[x->format], at);
		input_skip(x->in, got);
	} while (got);
	return 0;
}

static int inflate_all(struct inflate *x, struct failure *f)
{
	bool gzip = x->format == SHARQ_FORMAT_GZIP, first = true;
	uint32_t packed, plain;
	const uint8_t *h;
	size_t got;
	int err;

	for (;; first = false) {
		err = input_peek(x->in, SQ_HEADER_SIZE, &h, &got, f);
		if (err)
			return err;
		if (!got && first)
			return fail(f, -EBADMSG,
				    "%s: is empty, expected %s "
				    "data",
				    x->in->name, format_names[x->format]);
		if (!first && (!gzip || !got || h[0] != 0x1f ||
			       (got > 1 && h[1] != 0x8b)))
			break;
		if (gzip && (h[0] != 0x1f || (got > 1 && h[1] != 0x8b)))
			return fail(f, -EBADMSG, "%s: is not in gzip format",
				    x->in->name);
		err = own_member(x, h, got, &packed, &plain)
			      ? put_own(x, packed, plain, f)
			      : foreign(x, f);
		if (err)
			return err;
	}
	err = drain(x, f);
	return err ? err : check_rest(x, f);
}

int inflate_file(struct flow *flow, struct input *in, struct output *out,
		 unsigned int format, struct progress *p, struct failure *f)
{
	struct inflate x = {
		.flow = flow, .in = in, .out = out, .p = p, .format = format
	};
	int err;

	x.plain = malloc(STREAM_OUT);
	if (!x.plain || sharq_codec_new(&x.codec))
		err = fail(f, -ENOMEM, "out of memory");
	else
		err = inflate_all(&x, f);
	sharq_codec_free(x.codec);
	free(x.plain);
	return err;
}
