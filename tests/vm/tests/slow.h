/* SPDX-License-Identifier: MIT */
/*
 * Commands that are certainly in flight: behind a FENCE, they wait for one that
 * takes the device long.
 */
#ifndef SLOW_H
#define SLOW_H

#include "queue.h"

/* Put a slow command, to be followed by ones with SHARQ_DESC_FENCE. */
void slow_put(struct queue *q);
/* Is the slow one, the first that @q has in flight, still at it? */
bool slow_works(const struct queue *q);
/* Its completion. */
void slow_take(struct queue *q);

#endif /* SLOW_H */
