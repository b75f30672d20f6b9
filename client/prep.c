// SPDX-License-Identifier: MIT
/* Entries. What is inline elsewhere is here for those that call it. */
#define SHARQ_INLINE
#include <string.h>

#include "client.h"

static uint64_t addr(const void *p)
{
	return (uintptr_t)p;
}

struct sharq_desc *sharq_sqe_desc(struct sharq_sqe *sqe)
{
	struct sharq_slot *slot = SHARQ_SLOT(sqe);
	struct sharq_note *note = SHARQ_NOTE(sqe);

	if (!((uintptr_t)sqe & SHARQ_IN_SLOT))
		return &sqe->desc;
	if (slot->head) {
		*note->desc = (struct sharq_desc){ .op = note->op,
						   .len = note->len,
						   .src = slot->src,
						   .dst = slot->dst };
		slot->head = 0;
		submit_by_call(note->front);
	}
	return note->desc;
}

static struct sharq_desc *start(struct sharq_sqe *sqe, enum sharq_op op,
				const void *src, uint32_t len)
{
	struct sharq_desc *desc = sharq_sqe_desc(sqe);

	*desc = (struct sharq_desc){ .op = op, .src = addr(src), .len = len };
	sharq_sqe_set_data64(sqe, 0);
	return desc;
}

void sharq_prep_fill(struct sharq_sqe *sqe, void *dst, uint32_t len,
		     const void *pattern, unsigned int pattern_len)
{
	struct sharq_desc *desc = start(sqe, SHARQ_OP_FILL, NULL, len);

	desc->dst = addr(dst);
	/* A wrong length must stay wrong: 256 must not turn into 0 or 1. */
	desc->param = pattern_len < UINT8_MAX ? pattern_len : UINT8_MAX;
	if (pattern_len <= SHARQ_MAX_PATTERN)
		memcpy(&desc->pattern, pattern, pattern_len);
}

void sharq_prep_compare(struct sharq_sqe *sqe, const void *a, const void *b,
			uint32_t len)
{
	start(sqe, SHARQ_OP_COMPARE, a, len)->src2 = addr(b);
}

void sharq_prep_crc32c(struct sharq_sqe *sqe, const void *src, uint32_t len,
		       uint32_t seed)
{
	start(sqe, SHARQ_OP_CRC32C, src, len)->seed = seed;
}

void sharq_prep_copy_crc32c(struct sharq_sqe *sqe, void *dst, const void *src,
			    uint32_t len, uint32_t seed)
{
	struct sharq_desc *desc = start(sqe, SHARQ_OP_COPY_CRC32C, src, len);

	desc->dst = addr(dst);
	desc->seed = seed;
}

void sharq_prep_dualcast(struct sharq_sqe *sqe, void *dst1, void *dst2,
			 const void *src, uint32_t len)
{
	struct sharq_desc *desc = start(sqe, SHARQ_OP_DUALCAST, src, len);

	desc->dst = addr(dst1);
	desc->dst2 = addr(dst2);
}

static struct sharq_desc *prep_codec(struct sharq_sqe *sqe, enum sharq_op op,
				     void *dst, uint32_t dst_len,
				     const void *src, uint32_t len,
				     unsigned int format)
{
	struct sharq_desc *desc = start(sqe, op, src, len);

	desc->dst = addr(dst);
	desc->dst_len = dst_len;
	desc->param = format < UINT8_MAX ? format : UINT8_MAX;
	return desc;
}

void sharq_prep_compress(struct sharq_sqe *sqe, void *dst, uint32_t dst_len,
			 const void *src, uint32_t len, unsigned int format,
			 unsigned int level)
{
	prep_codec(sqe, SHARQ_OP_COMPRESS, dst, dst_len, src, len, format)
		->level = level < UINT8_MAX ? level : UINT8_MAX;
}

void sharq_prep_decompress(struct sharq_sqe *sqe, void *dst, uint32_t dst_len,
			   const void *src, uint32_t len, unsigned int format)
{
	prep_codec(sqe, SHARQ_OP_DECOMPRESS, dst, dst_len, src, len, format);
}

void sharq_prep_raw(struct sharq_sqe *sqe, const struct sharq_desc *desc)
{
	*sharq_sqe_desc(sqe) = *desc;
	sharq_sqe_set_data64(sqe, desc->user_data);
}
