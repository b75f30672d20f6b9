/* SPDX-License-Identifier: MIT */
/*
 * Commands that are in flight for as long as a test wants: behind a FENCE, they
 * wait for one whose source is in a file that nobody delivers.
 */
#ifndef GATE_H
#define GATE_H

#include "fuse.h"
#include "queue.h"

struct gate {
	struct fuse fuse;
	uint8_t *map;
};

struct gate gate_new(void);
/* Put the first command, to be followed by ones with SHARQ_DESC_FENCE. */
void gate_put(const struct gate *g, struct queue *q);
/* After the kick: nothing of @q has completed. Now all that wait here may. */
void gate_open(struct gate *g, struct queue *q);
/* The same without a look at a queue. */
void gate_free(struct gate *g);
/* The first command's completion. */
void gate_take(struct queue *q);

#endif /* GATE_H */
