// SPDX-License-Identifier: MIT
#include "slow.h"

#include "guest.h"

#define SLOW_SIZE (4 * MIB)

/* Compressing noise as small as can be: a second or so. */
void slow_put(struct queue *q)
{
	static uint8_t *noise, *out;
	struct sharq_desc d;
	struct rng r = { 3 };

	if (!noise) {
		noise = memory(SLOW_SIZE);
		out = memory(SLOW_SIZE + MIB);
		rng_fill(&r, noise, SLOW_SIZE);
	}
	d = desc_compress(out, SLOW_SIZE + MIB, noise, SLOW_SIZE);
	queue_put(q, &d);
}

bool slow_works(const struct queue *q)
{
	return !queue_completed(q);
}

void slow_take(struct queue *q)
{
	queue_wait(q, 1);
	ck_assert_uint_eq(queue_take(q).status, SHARQ_OK);
}
