/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The provider of kernel threads: soft.c is its device, exec.c and codec.c are
 * what the threads do.
 */
#ifndef SHARQ_SOFT_H
#define SHARQ_SOFT_H

#include "sharq.h"

int sharq_soft_init(void);
void sharq_soft_exit(void);

/*
 * soft_exec - do about r->budget bytes of @r, going on where it stopped
 *
 * @bytes: how many it was. Return: true when it is done and r->cqe says how.
 */
bool soft_exec(struct sharq_request *r, u32 *bytes);

/* The operand that a field of the descriptor names, NULL if it is empty. */
const struct sharq_buf *soft_operand(const struct sharq_request *r,
				     enum sharq_field field);

/* ---- codec.c: COMPRESS and DECOMPRESS ---- */

/* sharq_device_ops.extra: the workspace. */
u32 soft_codec_size(const struct sharq_desc *desc);
/* sharq_device_ops.cost. */
u32 soft_codec_cost(const struct sharq_desc *desc);
bool soft_compress(struct sharq_request *r, u32 *bytes);
bool soft_decompress(struct sharq_request *r, u32 *bytes);

#endif /* SHARQ_SOFT_H */
