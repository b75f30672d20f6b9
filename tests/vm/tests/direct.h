/* SPDX-License-Identifier: MIT */
/* What tests of direct queues share. */
#ifndef DIRECT_H
#define DIRECT_H

#include "queue.h"

/* How often what serves @pid's queue fell asleep. */
uint64_t direct_sleeps(pid_t pid, int fd);
/* Until it sleeps. Nobody may be ringing. */
void direct_wait_asleep(pid_t pid, int fd);
/* All queues went, and nothing of them is left. */
void direct_all_gone(void);
void direct_put_nops(struct queue *q, uint32_t n);
/* Publish and ring. */
void direct_submit(struct queue *q);
/*
 * Map the doorbell once more, where nothing else is near: its page table is made
 * by the first store. MAP_FAILED, and errno, if it can't be.
 */
volatile uint32_t *direct_map_bell(const struct queue *q);
void direct_unmap_bell(volatile uint32_t *bell);

#endif /* DIRECT_H */
