// SPDX-License-Identifier: GPL-2.0-only
/*
 * COMPRESS and DECOMPRESS by the kernel's zlib. It knows raw and zlib streams;
 * gzip's header and trailer are made and read here.
 *
 * zlib works on the client's pages, which may change under it. It reads input
 * once, and takes nothing but data back from output.
 */
#include <asm/byteorder.h>
#include <linux/crc32.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/zlib.h>

#include "soft.h"

/* Parts of a gzip member, in their order. */
enum gzip_part {
	GZIP_FIXED,
	GZIP_EXTRA_LEN,
	GZIP_EXTRA,
	GZIP_NAME,
	GZIP_COMMENT,
	GZIP_HEAD_CRC,
	GZIP_BODY,
	GZIP_TRAILER,
	GZIP_END,
};

#define GZIP_FLAG_HEAD_CRC 0x02
#define GZIP_FLAG_EXTRA 0x04
#define GZIP_FLAG_NAME 0x08
#define GZIP_FLAG_COMMENT 0x10
#define GZIP_FLAG_RESERVED 0xe0

static const u8 gzip_head[10] = { 0x1f, 0x8b, Z_DEFLATED, [9] = 0xff };

/*
 * struct codec - a stream's state between slices, in r->priv
 * @part:  gzip, reading: where it is
 * @at:    bytes of @part so far
 * @flags: of the header
 * @word:  a number of @part, least byte first
 * @crc:   gzip: of the header, then of the uncompressed data; inverted
 * @spare: room when the client's is out: does something come that doesn't fit?
 */
struct codec {
	z_stream z;
	enum gzip_part part;
	u32 at;
	u8 flags;
	u8 spare;
	u32 crc;
	u64 word;
	u8 workspace[] __aligned(8);
};

/* What zlib gets at once: at its slowest still some ten milliseconds. */
#define RUN_BYTES 4096

/* Beside enum sharq_status: not done yet. */
#define GO_ON (-1)

u32 soft_codec_size(const struct sharq_desc *desc)
{
	u32 size = sizeof(struct codec);

	switch (desc->op) {
	case SHARQ_OP_COMPRESS:
		size += zlib_deflate_workspacesize(MAX_WBITS, MAX_MEM_LEVEL);
		return PAGE_ALIGN(size);
	case SHARQ_OP_DECOMPRESS:
		size += zlib_inflate_workspacesize();
		return PAGE_ALIGN(size);
	default:
		return 0;
	}
}

/* Roughly, of ordinary data on ordinary machines. */
u32 soft_codec_cost(const struct sharq_desc *desc)
{
	if (desc->op == SHARQ_OP_DECOMPRESS)
		return 4;
	if (desc->op != SHARQ_OP_COMPRESS)
		return 1;
	return desc->level <= 3 ? 8 : desc->level <= 6 ? 16 : 32;
}

static bool is_gzip(const struct sharq_request *r)
{
	return r->desc.param == SHARQ_FORMAT_GZIP;
}

static int window_bits(const struct sharq_request *r)
{
	return r->desc.param == SHARQ_FORMAT_ZLIB ? MAX_WBITS : -MAX_WBITS;
}

static struct codec *start(struct sharq_request *r)
{
	struct codec *c = r->priv;

	*c = (struct codec){ .z.workspace = c->workspace, .crc = ~0U };
	return c;
}

/* The input, or room for output, that is next: together, and at most @limit. */
static void *next_run(const struct sharq_request *r, enum sharq_field field,
		      u32 at, u32 len, u32 limit, u32 *n)
{
	const struct sharq_buf *buf;

	*n = min(len - at, limit);
	if (!*n)
		return NULL;
	buf = soft_operand(r, field);
	return buf->kind == SHARQ_BUF_WINDOW ? soft_window_at(buf->data, at, n)
					     : sharq_mem_at(buf, at, n);
}

static const u8 *next_in(const struct sharq_request *r, u32 limit, u32 *n)
{
	return next_run(r, SHARQ_FIELD_SRC, r->cqe.consumed, r->desc.len, limit,
			n);
}

static u8 *next_out(const struct sharq_request *r, u32 limit, u32 *n)
{
	return next_run(r, SHARQ_FIELD_DST, r->cqe.produced, r->desc.dst_len,
			limit, n);
}

/* Output of our own. Return: false: it didn't fit. */
static bool put(struct sharq_request *r, const u8 *data, u32 len)
{
	while (len) {
		u32 n;
		u8 *out = next_out(r, len, &n);

		if (!n)
			return false;
		memcpy(out, data, n);
		r->cqe.produced += n;
		data += n;
		len -= n;
	}
	return true;
}

static bool put_trailer(struct sharq_request *r)
{
	struct codec *c = r->priv;
	__le32 trailer[2] = { cpu_to_le32(~c->crc),
			      cpu_to_le32(r->cqe.consumed) };

	return put(r, (const u8 *)trailer, sizeof(trailer));
}

static int deflate_start(struct sharq_request *r)
{
	struct codec *c = start(r);
	/* The CPU is everybody's: fast unless the client wants it small. */
	int level = r->desc.level ? r->desc.level : 1;

	zlib_deflateInit2(&c->z, level, Z_DEFLATED, window_bits(r),
			  MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
	return is_gzip(r) && !put(r, gzip_head, sizeof(gzip_head))
		       ? SHARQ_NO_SPACE
		       : GO_ON;
}

static int deflate_run(struct sharq_request *r, u32 limit)
{
	bool more = r->desc.flags & SHARQ_DESC_MORE, last;
	struct codec *c = r->priv;
	z_stream *z = &c->z;
	u32 n, room, made;
	const u8 *in = next_in(r, min(limit, RUN_BYTES), &n);
	u8 *out = next_out(r, U32_MAX, &room);
	int ret;

	last = r->cqe.consumed + n == r->desc.len;
	z->next_in = in;
	z->avail_in = n;
	z->next_out = room ? out : &c->spare;
	z->avail_out = room ? room : 1;
	ret = zlib_deflate(z, !last  ? Z_NO_FLUSH
			      : more ? Z_SYNC_FLUSH
				     : Z_FINISH);
	n -= z->avail_in;
	made = (room ? room : 1) - z->avail_out;
	r->cqe.consumed += n;
	if (is_gzip(r))
		c->crc = crc32_le(c->crc, in, n);
	if (!room && made)
		return SHARQ_NO_SPACE;
	r->cqe.produced += made;
	if (ret == Z_STREAM_END)
		return is_gzip(r) && !put_trailer(r) ? SHARQ_NO_SPACE
						     : SHARQ_OK;
	/* A flush that just filled the room may not be whole: then once more. */
	if (last && more && !z->avail_in && z->avail_out)
		return SHARQ_OK;
	return n || made ? GO_ON : SHARQ_NO_SPACE;
}

static int inflate_start(struct sharq_request *r)
{
	struct codec *c = start(r);

	zlib_inflateInit2(&c->z, window_bits(r));
	c->part = is_gzip(r) ? GZIP_FIXED : GZIP_BODY;
	return GO_ON;
}

/* To the next part of the header that is there. */
static void next_part(struct codec *c)
{
	static const u8 flag[] = {
		[GZIP_EXTRA_LEN] = GZIP_FLAG_EXTRA,
		[GZIP_EXTRA] = GZIP_FLAG_EXTRA,
		[GZIP_NAME] = GZIP_FLAG_NAME,
		[GZIP_COMMENT] = GZIP_FLAG_COMMENT,
		[GZIP_HEAD_CRC] = GZIP_FLAG_HEAD_CRC,
	};
	u64 extra = c->part == GZIP_EXTRA_LEN ? c->word : 0;

	do {
		c->part++;
	} while (c->part < GZIP_BODY && (!(c->flags & flag[c->part]) ||
					 (c->part == GZIP_EXTRA && !extra)));
	c->at = 0;
	/* EXTRA needs its length. */
	if (c->part != GZIP_EXTRA)
		c->word = 0;
	if (c->part == GZIP_BODY)
		c->crc = ~0U;
}

/* A byte of the header or the trailer. Return: is it right so far? */
static bool wrapper_byte(struct sharq_request *r, u8 byte)
{
	struct codec *c = r->priv;
	u32 at = c->at++;

	if (c->part < GZIP_HEAD_CRC)
		c->crc = crc32_le(c->crc, &byte, 1);
	if (c->part == GZIP_EXTRA_LEN || c->part >= GZIP_HEAD_CRC)
		c->word |= (u64)byte << (8 * at);
	switch (c->part) {
	case GZIP_FIXED:
		if (at < 3 && byte != gzip_head[at])
			return false;
		if (at == 3)
			c->flags = byte;
		if (at == sizeof(gzip_head) - 1)
			next_part(c);
		return !(c->flags & GZIP_FLAG_RESERVED);
	case GZIP_EXTRA_LEN:
		if (at == 1)
			next_part(c);
		return true;
	case GZIP_EXTRA:
		if (c->at == c->word)
			next_part(c);
		return true;
	case GZIP_HEAD_CRC:
		if (at < 1)
			return true;
		if ((u16)c->word != (u16)~c->crc)
			return false;
		next_part(c);
		return true;
	case GZIP_TRAILER:
		if (at < 7)
			return true;
		c->part = GZIP_END;
		return c->word == ((u64)r->cqe.produced << 32 | (u32)~c->crc);
	default:
		if (!byte)
			next_part(c);
		return true;
	}
}

/* Header or trailer. */
static int wrapper_run(struct sharq_request *r, u32 limit)
{
	struct codec *c = r->priv;
	u32 n;
	const u8 *in = next_in(r, limit, &n);

	if (!n)
		return SHARQ_BAD_DATA;
	for (u32 i = 0; i < n && c->part != GZIP_BODY && c->part != GZIP_END;
	     i++) {
		r->cqe.consumed++;
		if (!wrapper_byte(r, READ_ONCE(in[i])))
			return SHARQ_BAD_DATA;
	}
	return c->part == GZIP_END ? SHARQ_OK : GO_ON;
}

static int inflate_run(struct sharq_request *r, u32 limit)
{
	struct codec *c = r->priv;
	z_stream *z = &c->z;
	u32 n, room, made;
	u8 *out;
	int ret;

	if (c->part != GZIP_BODY)
		return wrapper_run(r, limit);
	/* What it reads and what it writes count both. */
	limit = min(DIV_ROUND_UP(limit, 2), RUN_BYTES);
	z->next_in = next_in(r, limit, &n);
	z->avail_in = n;
	out = next_out(r, limit, &room);
	/* When room is out: is there one byte more, or was that the end? */
	z->next_out = room ? out : &c->spare;
	z->avail_out = room ? room : 1;
	ret = zlib_inflate(z, Z_NO_FLUSH);
	n -= z->avail_in;
	made = (room ? room : 1) - z->avail_out;
	r->cqe.consumed += n;
	if (!room && made)
		return SHARQ_NO_SPACE;
	r->cqe.produced += made;
	if (is_gzip(r))
		c->crc = crc32_le(c->crc, out, made);
	if (ret == Z_STREAM_END && is_gzip(r))
		c->part = GZIP_TRAILER;
	else if (ret == Z_STREAM_END)
		return SHARQ_OK;
	else if ((ret != Z_OK && ret != Z_BUF_ERROR) || (!n && !made))
		return SHARQ_BAD_DATA;
	return GO_ON;
}

static bool step(struct sharq_request *r, u32 *bytes,
		 int (*begin)(struct sharq_request *r),
		 int (*run)(struct sharq_request *r, u32 limit))
{
	u64 before = (u64)r->cqe.consumed + r->cqe.produced;
	int status = r->begun ? GO_ON : begin(r);

	*bytes = (u64)r->cqe.consumed + r->cqe.produced - before;
	while (status == GO_ON && *bytes < r->budget) {
		status = run(r, r->budget - *bytes);
		*bytes = (u64)r->cqe.consumed + r->cqe.produced - before;
		cond_resched();
	}
	if (status == GO_ON)
		return false;
	r->cqe.status = status;
	return true;
}

bool soft_compress(struct sharq_request *r, u32 *bytes)
{
	return step(r, bytes, deflate_start, deflate_run);
}

bool soft_decompress(struct sharq_request *r, u32 *bytes)
{
	return step(r, bytes, inflate_start, inflate_run);
}
