/* SPDX-License-Identifier: MIT */
/*
 * Direct queues whose rings, index and doorbell are plain memory. The library's
 * own sources are beside it, in a library that shows their names to nobody else.
 */
#ifndef PLAIN_H
#define PLAIN_H

#include <sharq.h>

#include "sdxi_hw.h"
#include "sharq_ioctl.h"

#define PLAIN_DEPTH 256U

/*
 * struct plain - such a queue
 * @ring, @sq, @cq: its rings; @bell: its doorbell
 * @area: of an SDXI context; else NULL; in it @dscs and @blocks
 * @taken: what plain_complete() has done
 */
struct plain {
	struct sharq *s;
	struct sharq_queue *q;
	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	void *bell;
	struct sharq_sdxi *area;
	union sdxi_dsc *dscs;
	struct sdxi_cst_blk *blocks;
	uint64_t taken;
};

#pragma GCC visibility push(default)
/* Return: 0 or -errno */
int plain_new(struct plain *p, bool sdxi);
void plain_free(struct plain *p);
/* Its file tells that it is dead, before its rings do. */
void plain_hang_up(struct plain *p);
/* As a device: complete the next @n commands, in the ring or its context. */
void plain_complete(struct plain *p, unsigned int n);
#pragma GCC visibility pop

#endif /* PLAIN_H */
