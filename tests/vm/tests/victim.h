/* SPDX-License-Identifier: MIT */
/* Clients that are killed with commands at every stage. */
#ifndef VICTIM_H
#define VICTIM_H

#include "queue.h"

/* The file that victims copy to and from, until it is removed. */
void victim_file_new(void);
void victim_file_remove(void);
/* 16 commands, put and published, not kicked. */
void victim_put_mix(struct queue *q, unsigned int seed);
/* A client with a queue that @make makes begins, and is killed. */
void victim_kill(unsigned int seed, struct queue (*make)(unsigned int depth));

#endif /* VICTIM_H */
