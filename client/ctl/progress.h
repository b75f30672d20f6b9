/* SPDX-License-Identifier: MIT */
/* A progress bar on standard error, if that is a terminal and it takes long. */
#ifndef SHARQ_CTL_PROGRESS_H
#define SHARQ_CTL_PROGRESS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * @total:  -1: unknown
 * @waits:  a thread shows the time, until @over
 */
struct progress {
	int64_t total;
	int64_t started_ms;
	int64_t shown_ms;
	const char *what;
	bool tty;
	bool shown;
	bool waits;
	pthread_t thread;
	sem_t over;
};

void progress_start(struct progress *p, const char *what, int64_t total);
void progress_update(struct progress *p, uint64_t done);
/* The same for what takes time and can't tell how far it is. @ms: -1: unknown */
void progress_wait(struct progress *p, const char *what, int64_t ms);
/* Wipe it off. Does nothing again. */
void progress_end(struct progress *p);

#endif /* SHARQ_CTL_PROGRESS_H */
