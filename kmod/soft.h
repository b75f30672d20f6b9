/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The provider of kernel threads: soft.c is its device for shadow queues, exec.c
 * and codec.c are what its threads do; soft_direct.c is a direct queue's thread,
 * soft_user.c what that does.
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

/* Parts of operations; @seed and the CRC are as in descriptors. */
void soft_fill(u8 *dst, u32 len, const u8 *pattern, u32 pattern_len, u32 phase);
u32 soft_first_difference(const u8 *a, const u8 *b, u32 len);
u32 soft_crc32c(u32 seed, const u8 *p, u32 len);
/* Status and counts of one that did @done bytes, in @cqe. */
void soft_bytes_result(const struct sharq_desc *desc, u32 done,
		       struct sharq_cqe *cqe);

/* ---- codec.c: COMPRESS and DECOMPRESS ---- */

/* sharq_device_ops.extra: the workspace. */
u32 soft_codec_size(const struct sharq_desc *desc);
/* sharq_device_ops.cost. */
u32 soft_codec_cost(const struct sharq_desc *desc);
bool soft_compress(struct sharq_request *r, u32 *bytes);
bool soft_decompress(struct sharq_request *r, u32 *bytes);

/* ---- soft_user.c: with the client's page tables ---- */

struct soft_user;
struct soft_window;

/* Client's context. */
int soft_user_new(struct soft_user **u);
struct soft_user *soft_user_free(struct soft_user *u);
/*
 * Execute a checked @desc that isn't a NOP, as the client (sharq_borrow_begin());
 * a fatal signal ends it with RESET. Fills in @cqe.
 */
void soft_user_exec(struct soft_user *u, const struct sharq_desc *desc,
		    struct sharq_cqe *cqe);
/* sharq_mem_at() of a SHARQ_BUF_WINDOW: good until the next call. */
void *soft_window_at(struct soft_window *w, u32 at, u32 *len);

/* ---- soft_direct.c ---- */

#define SOFT_DIRECT_MAX 16

extern const struct sharq_direct_ops soft_direct_ops;

#endif /* SHARQ_SOFT_H */
