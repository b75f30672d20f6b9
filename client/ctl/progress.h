/* SPDX-License-Identifier: MIT */
/* A progress bar on standard error, if that is a terminal and it takes long. */
#ifndef SHARQ_CTL_PROGRESS_H
#define SHARQ_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* @total: -1: unknown */
struct progress {
	int64_t total;
	int64_t started_ms;
	int64_t shown_ms;
	const char *what;
	bool tty;
	bool shown;
};

void progress_start(struct progress *p, const char *what, int64_t total);
void progress_update(struct progress *p, uint64_t done);
/* Wipe it off. */
void progress_end(struct progress *p);

#endif /* SHARQ_CTL_PROGRESS_H */
