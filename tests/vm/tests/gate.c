// SPDX-License-Identifier: MIT
#include "gate.h"

#include <sys/mman.h>

#include "guest.h"

/* Too much to be copied in the kick, which would wait itself. */
#define GATE_SIZE 5000

struct gate gate_new(void)
{
	struct gate g = { .fuse = fuse_new(FUSE_READ) };

	g.map = fuse_map(&g.fuse, MAP_SHARED);
	return g;
}

void gate_put(const struct gate *g, struct queue *q)
{
	struct sharq_desc d = desc_crc(g->map, GATE_SIZE);

	queue_put(q, &d);
}

void gate_free(struct gate *g)
{
	fuse_free(&g->fuse);
	ck_assert(!munmap(g->map, FUSE_FILE_SIZE));
}

/* The server's death makes the source one that can't be read. */
void gate_open(struct gate *g, struct queue *q)
{
	fuse_wait(&g->fuse);
	ck_assert_uint_eq(queue_completed(q), 0);
	gate_free(g);
}

void gate_take(struct queue *q)
{
	queue_wait(q, 1);
	ck_assert_uint_eq(queue_take(q).status, SHARQ_FAULT_READ);
}
