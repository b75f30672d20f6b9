// SPDX-License-Identifier: MIT
#include "exec.h"

#include <errno.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct sharq_codec {
	union {
		struct isal_zstream deflate;
		struct inflate_state inflate;
	};
	/* Holds the largest level's. */
	uint8_t level_buf[ISAL_DEF_LVL3_DEFAULT];
};

int sharq_codec_new(struct sharq_codec **codec)
{
	*codec = malloc(sizeof(**codec));
	return *codec ? 0 : -ENOMEM;
}

struct sharq_codec *sharq_codec_free(struct sharq_codec *codec)
{
	free(codec);
	return NULL;
}

bool sharq_exec_needs_codec(const struct sharq_desc *desc)
{
	return desc->op == SHARQ_OP_COMPRESS || desc->op == SHARQ_OP_DECOMPRESS;
}

void sharq_exec_init(struct sharq_exec *x, const struct sharq_desc *desc,
		     struct sharq_codec *codec)
{
	x->codec = codec;
	x->cqe = (struct sharq_cqe){ .user_data = desc->user_data };
	x->done = 0;
	x->started = false;
	x->backward = false;
}

/* ISA-L takes an int; 1 GiB pieces keep any length within it. */
uint32_t sharq_crc32c_raw(uint32_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t crc = ~seed;

	while (len) {
		size_t n = len < (1U << 30) ? len : 1U << 30;

		crc = crc32_iscsi((unsigned char *)p, (int)n, crc);
		p += n;
		len -= n;
	}
	return ~crc;
}

static void fill(uint8_t *dst, uint32_t len, const uint8_t *pattern,
		 uint32_t pattern_len, uint32_t phase)
{
	uint8_t block[512 + SHARQ_MAX_PATTERN];
	uint32_t period = 512 / pattern_len * pattern_len;

	if (pattern_len == 1) {
		memset(dst, pattern[0], len);
		return;
	}
	for (uint32_t i = 0; i < period; i++)
		block[i] = pattern[(phase + i) % pattern_len];
	while (len) {
		uint32_t n = len < period ? len : period;

		memcpy(dst, block, n);
		dst += n;
		len -= n;
	}
}

static uint32_t first_difference(const uint8_t *a, const uint8_t *b,
				 uint32_t len)
{
	uint32_t at = 0;

	while (len - at > 256 && !memcmp(a + at, b + at, 256))
		at += 256;
	while (at < len && a[at] == b[at])
		at++;
	return at;
}

static uint32_t copy_crc(uint8_t *dst, const uint8_t *src, uint32_t len,
			 uint32_t crc)
{
	while (len) {
		uint32_t n = len < 8192 ? len : 8192;

		memcpy(dst, src, n);
		/* Of what was copied: the source may change meanwhile. */
		crc = sharq_crc32c_raw(crc, dst, n);
		dst += n;
		src += n;
		len -= n;
	}
	return crc;
}

/*
 * The bytes from @at to @at + @n of an operation that is a run of bytes.
 * Return: how many of them were done; fewer: COMPARE differs there.
 */
static inline uint32_t run_bytes(const struct sharq_desc *desc,
				 const struct sharq_mem *mem, uint32_t at,
				 uint32_t n, uint32_t *crc)
{
	if (!n)
		return 0;
	switch (desc->op) {
	case SHARQ_OP_COPY:
		memmove(mem->dst + at, mem->src + at, n);
		break;
	case SHARQ_OP_FILL:
		fill(mem->dst + at, n, (const uint8_t *)&desc->pattern,
		     desc->param, at % desc->param);
		break;
	case SHARQ_OP_COMPARE:
		return first_difference(mem->src + at, mem->src2 + at, n);
	case SHARQ_OP_CRC32C:
		*crc = sharq_crc32c_raw(*crc, mem->src + at, n);
		break;
	case SHARQ_OP_COPY_CRC32C:
		*crc = copy_crc(mem->dst + at, mem->src + at, n, *crc);
		break;
	case SHARQ_OP_DUALCAST:
		memcpy(mem->dst + at, mem->src + at, n);
		memcpy(mem->dst2 + at, mem->src + at, n);
		break;
	}
	return n;
}

/* @done: bytes that COMPARE found equal, else all. */
static inline void bytes_result(const struct sharq_desc *desc, uint32_t done,
				uint32_t crc, struct sharq_cqe *cqe)
{
	bool writes =
		SHARQ_OP_BIT(desc->op) &
		(SHARQ_OP_BIT(SHARQ_OP_COPY) | SHARQ_OP_BIT(SHARQ_OP_FILL) |
		 SHARQ_OP_BIT(SHARQ_OP_COPY_CRC32C) |
		 SHARQ_OP_BIT(SHARQ_OP_DUALCAST));

	*cqe = (struct sharq_cqe){
		.user_data = desc->user_data,
		.status = done < desc->len ? SHARQ_MISMATCH : SHARQ_OK,
		.crc = crc,
		.consumed = desc->op == SHARQ_OP_FILL ? 0 : done,
		.produced = writes ? done : 0,
	};
}

/* Operations whose slices are runs of bytes. Return: done? */
static bool step_bytes(struct sharq_exec *x, const struct sharq_desc *desc,
		       const struct sharq_mem *mem, uint32_t slice)
{
	uint32_t left = desc->len - x->done;
	uint32_t n = left < slice ? left : slice;
	uint32_t at, ok;

	if (!x->started) {
		x->cqe.crc = desc->seed;
		x->backward = desc->op == SHARQ_OP_COPY &&
			      (uintptr_t)mem->dst - (uintptr_t)mem->src <
				      desc->len;
		x->started = true;
	}
	at = x->backward ? left - n : x->done;
	ok = run_bytes(desc, mem, at, n, &x->cqe.crc);
	x->done += ok;
	if (ok == n && x->done < desc->len)
		return false;
	bytes_result(desc, x->done, x->cqe.crc, &x->cqe);
	return true;
}

/*
 * ISA-L's level 0 is left out: it codes with one fixed table, and what doesn't
 * suit that grows by a quarter and more.
 */
static uint32_t isal_level(unsigned int level)
{
	static const uint8_t of[SHARQ_MAX_LEVEL + 1] = { 1, 1, 1, 1, 1,
							 2, 2, 2, 3, 3 };

	return of[level];
}

static void deflate_start(struct sharq_codec *c, const struct sharq_desc *desc)
{
	static const uint16_t wrapper[SHARQ_FORMAT_COUNT] = {
		[SHARQ_FORMAT_RAW] = IGZIP_DEFLATE,
		[SHARQ_FORMAT_ZLIB] = IGZIP_ZLIB,
		[SHARQ_FORMAT_GZIP] = IGZIP_GZIP,
	};

	isal_deflate_init(&c->deflate);
	c->deflate.level = isal_level(desc->level);
	c->deflate.level_buf = c->level_buf;
	c->deflate.level_buf_size = sizeof(c->level_buf);
	c->deflate.gzip_flag = wrapper[desc->param];
}

static bool finish(struct sharq_exec *x, enum sharq_status status)
{
	x->cqe.status = status;
	return true;
}

static bool step_deflate(struct sharq_exec *x, const struct sharq_desc *desc,
			 const struct sharq_mem *mem, uint32_t slice)
{
	struct isal_zstream *z = &x->codec->deflate;
	uint32_t left = desc->len - x->done;
	uint32_t n = left < slice ? left : slice;
	bool last = n == left;
	bool more = desc->flags & SHARQ_DESC_MORE;

	if (!x->started) {
		deflate_start(x->codec, desc);
		x->started = true;
	}
	z->next_in = (uint8_t *)mem->src + x->done;
	z->avail_in = n;
	z->next_out = mem->dst + x->cqe.produced;
	z->avail_out = desc->dst_len - x->cqe.produced;
	z->end_of_stream = last && !more;
	z->flush = last && more ? SYNC_FLUSH : NO_FLUSH;
	isal_deflate(z);
	x->done += n - z->avail_in;
	x->cqe.produced = desc->dst_len - z->avail_out;
	x->cqe.consumed = x->done;
	if (last && z->internal_state.state == ZSTATE_END)
		return true;
	/* With MORE nothing tells a flush that just fitted from one cut off. */
	if (!z->avail_out)
		return finish(x, SHARQ_NO_SPACE);
	return last && more;
}

static void inflate_start(struct sharq_codec *c, unsigned int format)
{
	static const uint32_t wrapper[SHARQ_FORMAT_COUNT] = {
		[SHARQ_FORMAT_RAW] = ISAL_DEFLATE,
		[SHARQ_FORMAT_ZLIB] = ISAL_ZLIB,
		[SHARQ_FORMAT_GZIP] = ISAL_GZIP,
	};

	isal_inflate_init(&c->inflate);
	c->inflate.crc_flag = wrapper[format];
}

/*
 * One call of ISA-L's. *end: the stream is whole and its checksum right.
 * *in_used is negative when the stream ended in the input of an earlier call:
 * ISA-L reads up to eight bytes ahead.
 */
static enum sharq_status inflate_call(struct inflate_state *s, const void *in,
				      uint32_t in_len, void *out,
				      uint32_t out_len, int64_t *in_used,
				      uint32_t *out_used, bool *end)
{
	int r;

	s->next_in = (uint8_t *)in;
	s->avail_in = in_len;
	s->next_out = out;
	s->avail_out = out_len;
	r = isal_inflate(s);
	*in_used = (int64_t)in_len - s->avail_in;
	*out_used = out_len - s->avail_out;
	*end = r == ISAL_DECOMP_OK && s->block_state == ISAL_BLOCK_FINISH;
	if (*end)
		*in_used -= s->read_in_length / 8;
	return r < 0 || r == ISAL_NEED_DICT ? SHARQ_BAD_DATA : SHARQ_OK;
}

static bool step_inflate(struct sharq_exec *x, const struct sharq_desc *desc,
			 const struct sharq_mem *mem, uint32_t slice)
{
	struct inflate_state *s = &x->codec->inflate;
	uint32_t room = desc->dst_len - x->cqe.produced;
	uint32_t n = room < slice ? room : slice;
	uint32_t left = desc->len - x->done;
	uint32_t out_used;
	int64_t in_used;
	enum sharq_status status;
	uint8_t spare;
	bool end;

	if (!x->started) {
		inflate_start(x->codec, desc->param);
		x->started = true;
	}
	/*
	 * Input is sliced too: empty blocks take time and make no output. When
	 * room is out: is there one byte more, or was that the end?
	 */
	status = inflate_call(s, mem->src + x->done,
			      left < slice ? left : slice,
			      room ? mem->dst + x->cqe.produced : &spare,
			      room ? n : 1, &in_used, &out_used, &end);
	x->done += (uint32_t)in_used;
	x->cqe.consumed = x->done;
	if (!room && out_used)
		return finish(x, SHARQ_NO_SPACE);
	x->cqe.produced += out_used;
	if (status != SHARQ_OK)
		return finish(x, status);
	if (end)
		return true;
	if (!in_used && !out_used)
		return finish(x, SHARQ_BAD_DATA);
	return false;
}

bool sharq_exec_step(struct sharq_exec *x, const struct sharq_desc *desc,
		     const struct sharq_mem *mem, uint32_t slice)
{
	switch (desc->op) {
	case SHARQ_OP_COMPRESS:
		return step_deflate(x, desc, mem, slice);
	case SHARQ_OP_DECOMPRESS:
		return step_inflate(x, desc, mem, slice);
	default:
		return step_bytes(x, desc, mem, slice);
	}
}

void sharq_exec_run(const struct sharq_desc *desc, const struct sharq_mem *mem,
		    struct sharq_codec *codec, struct sharq_cqe *cqe)
{
	uint32_t crc = desc->seed, done;
	struct sharq_exec x;

	if (!sharq_exec_needs_codec(desc)) {
		/* Built in registers: reading x.cqe back at once would stall. */
		done = run_bytes(desc, mem, 0, desc->len, &crc);
		bytes_result(desc, done, crc, cqe);
		return;
	}
	sharq_exec_init(&x, desc, codec);
	while (!sharq_exec_step(&x, desc, mem, SHARQ_MAX_TRANSFER))
		;
	*cqe = x.cqe;
}

void sharq_inflate_init(struct sharq_codec *codec, unsigned int format)
{
	inflate_start(codec, format);
}

enum sharq_status sharq_inflate(struct sharq_codec *codec, const void *in,
				size_t in_len, size_t *in_used, void *out,
				size_t out_len, size_t *out_used, bool *end)
{
	enum sharq_status status;
	uint32_t made;
	int64_t used;

	status = inflate_call(&codec->inflate, in,
			      in_len < INT_MAX ? (uint32_t)in_len : INT_MAX,
			      out,
			      out_len < INT_MAX ? (uint32_t)out_len : INT_MAX,
			      &used, &made, end);
	*in_used = used > 0 ? (size_t)used : 0;
	*out_used = made;
	return status;
}
