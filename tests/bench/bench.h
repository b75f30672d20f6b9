/* SPDX-License-Identifier: MIT */
/*
 * What the comparisons share. Each has a bare side (as fast as we can write it
 * without sharq) and a sharq side, both working on the same memory for about
 * the same time. Results are rates: more is better.
 */
#ifndef BENCH_H
#define BENCH_H

#include <sharq.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define DEPTH 64
#define KIB 1024U
#define MIB (1024U * 1024U)

/* CRC32C and COMPRESS: pieces of a set. */
#define CRC_SET (256U * MIB)
#define CRC_PIECE (1U * MIB)
#define DEFLATE_SET (32U * MIB)
#define DEFLATE_PIECE (256U * KIB)
#define DEFLATE_ROOM (2 * DEFLATE_PIECE)
#define DEFLATE_DEPTH 8U
#define DEFLATE_LEVEL 1

/*
 * struct bench - one run
 * @set:     CRC_SET bytes of sharq_alloc(), filled
 * @room:    where COMPRESS and COPY write: DEFLATE_DEPTH * DEFLATE_ROOM bytes
 * @seconds: how long one side of one round takes
 */
struct bench {
	struct sharq *s;
	uint8_t *set;
	uint8_t *room;
	double seconds;
};

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* A message and out. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* bare.c, ring.c; operations or bytes per second */
double bare_pingpong(struct bench *b);
double bare_ring(struct bench *b, uint32_t size, uint32_t chunk);
double bare_crc(struct bench *b);
double bare_deflate(struct bench *b);
double bare_deflate_two(struct bench *b);

/* work.c */
double sharq_nop(struct bench *b);
double sharq_copies(struct bench *b, uint32_t size);
double sharq_crcs(struct bench *b);
double sharq_deflates(struct bench *b);

/* daemon.c: a private daemon with two workers, and what /proc says of it. */
struct proc_counts {
	uint64_t switches; /* of all threads, voluntary and not */
	uint64_t waits;	   /* voluntary ones: the process slept */
	uint64_t rss_kib;
};
void daemon_start(void);
void daemon_stop(void);
const char *daemon_socket(void);
pid_t daemon_pid(void);
pid_t daemon_engine(void);
void proc_counts(pid_t pid, struct proc_counts *counts);
/* A number of a queue, as sharqctl shows it. */
uint64_t daemon_queue_stat(uint64_t queue, const char *key);

#endif /* BENCH_H */
