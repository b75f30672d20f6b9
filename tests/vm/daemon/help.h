/* SPDX-License-Identifier: MIT */
/* What tests of sharqd with the module share. */
#ifndef DAEMON_HELP_H
#define DAEMON_HELP_H

#include <stddef.h>
#include <stdint.h>

#include "sharq.h"

struct daemon;

/* With the module and the embedded engine beside it. */
void daemon_start_auto(struct daemon *d, const char *conf);
/* The queue is on that path; SHARQ_PATH_ANY: on the direct one. */
struct sharq_queue *open_path(struct sharq *s, uint32_t depth, uint32_t path);
void open_fails(struct sharq *s, const struct sharq_queue_opts *opts, int code,
		const char *says);

/* Work that is in flight for a while: compressions, which take their time, and
 * copies. It takes a depth of 64. */
struct load {
	unsigned char *src;
	unsigned char *dst;
	unsigned char *packed;
	size_t room;
};

void load_make(struct load *l, struct sharq *s);
void load_free(struct load *l, struct sharq *s);
void load_submit(struct load *l, struct sharq_queue *q);
/* Each exactly once, and right. */
void load_reap(struct load *l, struct sharq_queue *q);
/*
 * Each exactly once; what was never accepted, because the queue died before, is
 * CANCELED. Return: how many are OK, and right.
 */
unsigned int load_reap_some(struct load *l, struct sharq_queue *q);

/* sharqctl's words for a queue, and for all. */
void shows_queue(const struct daemon *d, uint64_t queue,
		 const char *const *words);
void shows_stats(const struct daemon *d, const char *const *words);

#endif /* DAEMON_HELP_H */
