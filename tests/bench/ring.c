// SPDX-License-Identifier: MIT
/*
 * The baseline for COPY: one producer, one memcpy worker, between them a ring
 * of 64-byte descriptors and one of 32-byte completions. It checks nothing,
 * keeps nothing, survives nothing; each side looks at the other's index
 * only when its own copy says there is nothing to do. A completion is handed
 * over when it is there, or, for comparison, with up to 15 others: then its line
 * crosses between the processors less often, and 64 bytes are copied four times
 * as fast.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct desc {
	uint8_t *dst;
	const uint8_t *src;
	uint64_t user_data;
	uint32_t len;
	uint32_t stop;
	uint64_t rest[4];
};

struct cqe {
	uint64_t user_data;
	uint32_t status;
	uint32_t produced;
	uint64_t rest[2];
};

_Static_assert(sizeof(struct desc) == 64, "descriptor");
_Static_assert(sizeof(struct cqe) == 32, "completion");

struct ring {
	_Alignas(64) _Atomic uint32_t sq_tail;
	_Alignas(64) _Atomic uint32_t cq_tail;
	_Alignas(64) struct desc sq[DEPTH];
	_Alignas(64) struct cqe cq[DEPTH];
	_Alignas(64) uint32_t chunk; /* completions published at once, at most */
};

static void *worker(void *arg)
{
	struct ring *r = arg;
	uint32_t head = 0, tail;

	for (;;) {
		while ((tail = atomic_load_explicit(
				&r->sq_tail, memory_order_acquire)) == head)
			__builtin_ia32_pause();
		while (head != tail) {
			const struct desc *d = &r->sq[head % DEPTH];
			struct cqe *c = &r->cq[head % DEPTH];

			if (d->stop)
				return NULL;
			memcpy(d->dst, d->src, d->len);
			c->user_data = d->user_data;
			c->status = 0;
			c->produced = d->len;
			if (++head == tail || head % r->chunk == 0)
				atomic_store_explicit(&r->cq_tail, head,
						      memory_order_release);
		}
	}
}

/* At most DEPTH in flight; as many as there is room for at once. */
static uint64_t produce(struct ring *r, struct bench *b, uint32_t size,
			double *seconds)
{
	uint8_t *src = b->set, *dst = b->room;
	uint32_t tail = 0, head = 0, done;
	uint64_t sum = 0, ops = 0;
	double begin = now(), end = begin;

	for (uint32_t turn = 1;; turn++) {
		while (tail - head < DEPTH) {
			struct desc *d = &r->sq[tail % DEPTH];
			uint32_t slot = tail % DEPTH;

			*d = (struct desc){ .src = src + slot * size,
					    .dst = dst + slot * size,
					    .len = size,
					    .user_data = tail };
			tail++;
		}
		atomic_store_explicit(&r->sq_tail, tail, memory_order_release);
		while ((done = atomic_load_explicit(
				&r->cq_tail, memory_order_acquire)) == head)
			__builtin_ia32_pause();
		for (; head != done; head++, ops++)
			sum += r->cq[head % DEPTH].status;
		if (turn % 1024 == 0) {
			end = now();
			if (end - begin >= b->seconds)
				break;
		}
	}
	while (atomic_load_explicit(&r->cq_tail, memory_order_acquire) != tail)
		__builtin_ia32_pause();
	r->sq[tail % DEPTH].stop = 1;
	atomic_store_explicit(&r->sq_tail, tail + 1, memory_order_release);
	*seconds = end - begin;
	if (sum)
		die("the bare ring failed");
	return ops;
}

double bare_ring(struct bench *b, uint32_t size, uint32_t chunk)
{
	struct ring *r = aligned_alloc(64, sizeof(*r));
	double seconds;
	uint64_t ops;
	pthread_t t;

	if (!r)
		die("out of memory");
	memset(r, 0, sizeof(*r));
	r->chunk = chunk;
	if (pthread_create(&t, NULL, worker, r))
		die("no thread could be started");
	ops = produce(r, b, size, &seconds);
	pthread_join(t, NULL);
	free(r);
	return ops / seconds;
}
