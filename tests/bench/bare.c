// SPDX-License-Identifier: MIT
/* Baselines on one thread, and the ping-pong between two. */
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <pthread.h>
#include <stdlib.h>

#include "bench.h"

struct pingpong {
	_Alignas(64) _Atomic uint32_t ping;
	_Alignas(64) _Atomic uint32_t pong;
	_Alignas(64) bool relax;
};

/* Which is faster depends on whether the threads share a core. */
static inline void relax(bool yes)
{
	if (yes)
		__builtin_ia32_pause();
}

#define STOP UINT32_MAX

static void *pong(void *arg)
{
	struct pingpong *p = arg;
	uint32_t last = 0, v;

	for (;;) {
		while ((v = atomic_load_explicit(&p->ping,
						 memory_order_acquire)) == last)
			relax(p->relax);
		if (v == STOP)
			return NULL;
		last = v;
		atomic_store_explicit(&p->pong, v, memory_order_release);
	}
}

static double pingpong(double seconds, bool relaxed)
{
	struct pingpong p = { .relax = relaxed };
	double begin, end;
	uint32_t n = 0;
	pthread_t t;

	if (pthread_create(&t, NULL, pong, &p))
		die("no thread could be started");
	begin = now();
	do {
		for (int i = 0; i < 1000; i++) {
			atomic_store_explicit(&p.ping, ++n,
					      memory_order_release);
			while (atomic_load_explicit(&p.pong,
						    memory_order_acquire) != n)
				relax(relaxed);
		}
		end = now();
	} while (end - begin < seconds);
	atomic_store(&p.ping, STOP);
	pthread_join(t, NULL);
	return n / (end - begin);
}

double bare_pingpong(struct bench *b)
{
	double plain = pingpong(b->seconds / 2, false);
	double relaxed = pingpong(b->seconds / 2, true);

	return plain > relaxed ? plain : relaxed;
}

double bare_crc(struct bench *b)
{
	double begin = now(), end;
	uint64_t bytes = 0;
	volatile uint32_t crc = 0;

	do {
		for (uint32_t at = 0; at < CRC_SET; at += CRC_PIECE) {
			crc = ~crc32_iscsi(b->set + at, CRC_PIECE, ~0U);
			bytes += CRC_PIECE;
		}
		end = now();
	} while (end - begin < b->seconds);
	(void)crc;
	return bytes / (end - begin);
}

struct deflate {
	struct bench *b;
	uint8_t *room;
	double rate;
	struct isal_zstream stream;
	uint8_t level_buf[ISAL_DEF_LVL1_LARGE];
};

/* The level and buffer that the engine gives ISA-L for DEFLATE_LEVEL. */
static void *deflate_pieces(void *arg)
{
	struct deflate *d = arg;
	struct isal_zstream *z = &d->stream;
	double begin = now(), end;
	uint64_t bytes = 0;

	do {
		for (uint32_t at = 0; at < DEFLATE_SET; at += DEFLATE_PIECE) {
			isal_deflate_init(z);
			z->level = 1;
			z->level_buf = d->level_buf;
			z->level_buf_size = sizeof(d->level_buf);
			z->end_of_stream = 1;
			z->flush = NO_FLUSH;
			z->next_in = d->b->set + at;
			z->avail_in = DEFLATE_PIECE;
			z->next_out = d->room;
			z->avail_out = DEFLATE_ROOM;
			if (isal_deflate(z) || z->avail_in)
				die("isal_deflate failed");
			bytes += DEFLATE_PIECE;
		}
		end = now();
	} while (end - begin < d->b->seconds);
	d->rate = bytes / (end - begin);
	return NULL;
}

static double deflate_threads(struct bench *b, unsigned int n)
{
	struct deflate *d[2];
	pthread_t t;
	double rate = 0;

	for (unsigned int i = 0; i < n; i++) {
		d[i] = calloc(1, sizeof(*d[i]));
		if (!d[i])
			die("out of memory");
		d[i]->b = b;
		d[i]->room = b->room + i * DEFLATE_ROOM;
	}
	if (n > 1 && pthread_create(&t, NULL, deflate_pieces, d[1]))
		die("no thread could be started");
	deflate_pieces(d[0]);
	if (n > 1)
		pthread_join(t, NULL);
	for (unsigned int i = 0; i < n; i++) {
		rate += d[i]->rate;
		free(d[i]);
	}
	return rate;
}

double bare_deflate(struct bench *b)
{
	return deflate_threads(b, 1);
}

double bare_deflate_two(struct bench *b)
{
	return deflate_threads(b, 2);
}
