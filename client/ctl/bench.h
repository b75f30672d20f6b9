/* SPDX-License-Identifier: MIT */
/* What sharqctl bench and its threads share. */
#ifndef SHARQ_CTL_BENCH_H
#define SHARQ_CTL_BENCH_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "ctl.h"
#include "hist.h"
#include "progress.h"
#include "sharq.h"

/*
 * struct bench - what all threads do
 * @set:   bytes that each thread's pieces cycle through
 * @poll:  wait by looking, never by sleeping
 * @ready: posted by each thread when it has warmed up
 * @go:    posted to each thread when all may run
 * @stop:  no new commands
 * @main:  gets SIGALRM from a thread that fails
 */
struct bench {
	unsigned int op;
	uint32_t size;
	uint32_t depth;
	uint32_t batch;
	unsigned int format;
	unsigned int level;
	uint64_t set;
	bool poll;
	struct sharq *s;
	struct sharq_queue_opts queue;
	sem_t ready;
	sem_t go;
	atomic_bool stop;
	pthread_t main;
	struct progress progress;
};

/*
 * struct bench_thread - one thread, its queue, and what it measured
 * @pieces, @next:  buffers cycle: piece next % pieces
 * @src, @dst, @dst2: pieces of src_step and dst_step bytes each
 * @packed:   DECOMPRESS: length of each source piece
 * @began:    by entry in flight, when it was submitted
 * @free:     stack of entries not in flight
 * @counts:   the library's, over the measured time
 * @status:   the first status that isn't OK, @errors how many
 * @err:      0 or -errno with @failure
 */
struct bench_thread {
	struct bench *b;
	pthread_t thread;
	struct sharq_queue *q;
	struct sharq_queue_info info;
	uint64_t pieces;
	uint64_t next;
	uint8_t *src;
	uint8_t *dst;
	uint8_t *dst2;
	size_t src_step;
	size_t dst_step;
	uint32_t *packed;
	uint64_t *began;
	uint16_t *free;
	unsigned int nfree;
	struct hist hist;
	struct sharq_queue_counts counts;
	uint64_t errors;
	unsigned int status;
	double seconds;
	int err;
	struct failure failure;
};

/* Open the queue and fill the buffers. */
int bench_thread_prepare(struct bench_thread *t);
/* Thread function: the measurement. */
void *bench_thread_main(void *arg);
/* After the thread has ended. */
void bench_thread_release(struct bench_thread *t);

#endif /* SHARQ_CTL_BENCH_H */
