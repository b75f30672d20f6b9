/* SPDX-License-Identifier: MIT */
/*
 * An honest client in a process of its own, that works and verifies while
 * something else goes wrong; and helpers for honest clients in the test.
 */
#ifndef SYSTEM_NEIGHBOUR_H
#define SYSTEM_NEIGHBOUR_H

#include "harness.h"
#include "sharq.h"

/* What is shared with the neighbour's process. */
struct neighbour_state {
	uint64_t rounds;   /* verified so far */
	uint64_t queue;	   /* its id, once open */
	uint64_t resets;   /* commands that completed with RESET */
	uint32_t worst_ms; /* slowest round */
	uint32_t stop;
};

struct neighbour {
	pid_t pid;
	struct neighbour_state *state;
};

/* Returns once it verified its first round. */
void neighbour_start(struct neighbour *n, const char *socket, uid_t uid);
/* It must get @rounds more done, right, within @ms. */
void neighbour_advances(struct neighbour *n, unsigned int rounds, int ms);
/* It must have been right all the time, and (unless @resets_ok) untouched. */
void neighbour_stop(struct neighbour *n, bool resets_ok);

/* Run @fn as @uid in a process of its own. */
pid_t spawn(uid_t uid, void (*fn)(void *), void *arg);

struct sharq *must_connect(const char *socket);
struct sharq_queue *must_open(struct sharq *s, uint32_t depth);
uint64_t queue_id(struct sharq_queue *q);
struct sharq_sqe *must_sqe(struct sharq_queue *q);
/* Submit all that is prepared. */
void must_submit(struct sharq_queue *q, unsigned int n);
/* One completion, seen. */
struct sharq_cqe must_reap(struct sharq_queue *q, int ms);
void *must_alloc(struct sharq *s, size_t size);
/* A round trip with data, verified; the queue must be empty. */
void must_work(struct sharq *s, struct sharq_queue *q);

#endif /* SYSTEM_NEIGHBOUR_H */
