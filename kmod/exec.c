// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations on the pages of a request: the statuses and the data are those of
 * ../proto/exec.c, where the embedded engine has them.
 */
#include <linux/crc32c.h>
#include <linux/string.h>

#include "soft.h"

const struct sharq_buf *soft_operand(const struct sharq_request *r,
				     enum sharq_field field)
{
	for (unsigned int i = 0; i < r->nbufs; i++)
		if (r->buf[i].op.field == field)
			return &r->buf[i];
	return NULL;
}

void soft_fill(u8 *dst, u32 len, const u8 *pattern, u32 pattern_len, u32 phase)
{
	u8 block[128 + SHARQ_MAX_PATTERN];
	u32 period = 128 / pattern_len * pattern_len;

	if (pattern_len == 1) {
		memset(dst, pattern[0], len);
		return;
	}
	for (u32 i = 0; i < period; i++)
		block[i] = pattern[(phase + i) % pattern_len];
	while (len) {
		u32 n = min(len, period);

		memcpy(dst, block, n);
		dst += n;
		len -= n;
	}
}

u32 soft_first_difference(const u8 *a, const u8 *b, u32 len)
{
	u32 at = 0;

	while (len - at > 256 && !memcmp(a + at, b + at, 256))
		at += 256;
	while (at < len && a[at] == b[at])
		at++;
	return at;
}

u32 soft_crc32c(u32 seed, const u8 *p, u32 len)
{
	return ~crc32c(~seed, p, len);
}

/* The operands of a command; others than the operation's are NULL. */
struct operands {
	const struct sharq_buf *src;
	const struct sharq_buf *src2;
	const struct sharq_buf *dst;
	const struct sharq_buf *dst2;
};

static struct operands operands(const struct sharq_request *r)
{
	return (struct operands){
		.src = soft_operand(r, SHARQ_FIELD_SRC),
		.src2 = soft_operand(r, SHARQ_FIELD_SRC2),
		.dst = soft_operand(r, SHARQ_FIELD_DST),
		.dst2 = soft_operand(r, SHARQ_FIELD_DST2),
	};
}

static void *run_at(const struct sharq_buf *buf, u32 at, u32 *n)
{
	return buf ? sharq_mem_at(buf, at, n) : NULL;
}

/*
 * Operands may overlap, which is rare: memmove() may be many times slower than
 * memcpy(), by what kernel and processor make of them.
 */
static void copy(u8 *dst, const u8 *src, u32 len)
{
	if (dst + len <= src || src + len <= dst)
		memcpy(dst, src, len);
	else
		memmove(dst, src, len);
}

/*
 * At most *@n bytes from @at; *@n becomes how many of them lie together in all
 * operands. Return: how many of these were done; fewer: COMPARE differs there.
 */
static u32 run_bytes(struct sharq_request *r, const struct operands *o, u32 at,
		     u32 *n)
{
	const struct sharq_desc *desc = &r->desc;
	const u8 *src = run_at(o->src, at, n), *src2 = run_at(o->src2, at, n);
	u8 *dst = run_at(o->dst, at, n), *dst2 = run_at(o->dst2, at, n);

	switch (desc->op) {
	case SHARQ_OP_COPY:
		copy(dst, src, *n);
		break;
	case SHARQ_OP_FILL:
		soft_fill(dst, *n, (const u8 *)&desc->pattern, desc->param,
			  at % desc->param);
		break;
	case SHARQ_OP_COMPARE:
		return soft_first_difference(src, src2, *n);
	case SHARQ_OP_CRC32C:
		r->cqe.crc = soft_crc32c(r->cqe.crc, src, *n);
		break;
	case SHARQ_OP_COPY_CRC32C:
		memcpy(dst, src, *n);
		/* Of what was copied: the source may change meanwhile. */
		r->cqe.crc = soft_crc32c(r->cqe.crc, dst, *n);
		break;
	case SHARQ_OP_DUALCAST:
		memcpy(dst, src, *n);
		memcpy(dst2, src, *n);
		break;
	}
	return *n;
}

/* Return: how many bytes were done, as run_bytes(). */
static u32 forward(struct sharq_request *r, u32 at, u32 len)
{
	struct operands o = operands(r);
	u32 done = 0;

	while (done < len) {
		u32 n = len - done;
		u32 ok = run_bytes(r, &o, at + done, &n);

		done += ok;
		if (ok < n)
			break;
	}
	return done;
}

/* How many of the bytes before @end are in one page with the last of them. */
static u32 run_before(const struct sharq_buf *buf, u32 end)
{
	return offset_in_page(buf->offset + end - 1) + 1;
}

/* A COPY whose destination begins within its source. */
static void backward(struct sharq_request *r, u32 at, u32 len)
{
	struct operands o = operands(r);

	while (len) {
		u32 n = min3(len, run_before(o.src, at + len),
			     run_before(o.dst, at + len));

		const u8 *src;
		u8 *dst;

		len -= n;
		src = sharq_mem_at(o.src, at + len, &n);
		dst = sharq_mem_at(o.dst, at + len, &n);
		copy(dst, src, n);
	}
}

/* A source that was copied at the kick doesn't overlap any more. */
static bool overlaps(const struct sharq_request *r)
{
	const struct sharq_desc *desc = &r->desc;

	return desc->op == SHARQ_OP_COPY && desc->dst - desc->src < desc->len &&
	       soft_operand(r, SHARQ_FIELD_SRC)->kind != SHARQ_BUF_COPY;
}

void soft_bytes_result(const struct sharq_desc *desc, u32 done,
		       struct sharq_cqe *cqe)
{
	bool writes =
		SHARQ_OP_BIT(desc->op) &
		(SHARQ_OP_BIT(SHARQ_OP_COPY) | SHARQ_OP_BIT(SHARQ_OP_FILL) |
		 SHARQ_OP_BIT(SHARQ_OP_COPY_CRC32C) |
		 SHARQ_OP_BIT(SHARQ_OP_DUALCAST));

	cqe->status = done < desc->len ? SHARQ_MISMATCH : SHARQ_OK;
	cqe->consumed = desc->op == SHARQ_OP_FILL ? 0 : done;
	cqe->produced = writes ? done : 0;
}

static bool exec_bytes(struct sharq_request *r, u32 *bytes)
{
	const struct sharq_desc *desc = &r->desc;
	u32 left = desc->len - r->served;
	u32 n = min(left, r->budget), done = n;

	if (!r->begun)
		r->cqe.crc = desc->seed;
	if (overlaps(r))
		backward(r, left - n, n);
	else
		done = forward(r, r->served, n);
	*bytes = done;
	if (done == n && n < left)
		return false;
	soft_bytes_result(desc, r->served + done, &r->cqe);
	return true;
}

bool soft_exec(struct sharq_request *r, u32 *bytes)
{
	switch (r->desc.op) {
	case SHARQ_OP_COMPRESS:
		return soft_compress(r, bytes);
	case SHARQ_OP_DECOMPRESS:
		return soft_decompress(r, bytes);
	default:
		return exec_bytes(r, bytes);
	}
}
