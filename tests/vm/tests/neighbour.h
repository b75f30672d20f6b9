/* SPDX-License-Identifier: MIT */
/*
 * Another client, a process with a queue of its own, whose commands go on all
 * the time and are verified, whatever the test does beside it.
 */
#ifndef NEIGHBOUR_H
#define NEIGHBOUR_H

#include <stdbool.h>
#include <sys/types.h>

struct neighbour_page;

struct neighbour {
	pid_t pid;
	struct neighbour_page *page;
};

struct neighbour neighbour_start(void);
/* One with a direct queue. */
struct neighbour neighbour_start_direct(void);
/* One that lives in its own way: rounds, until neighbour_again() says no. */
struct neighbour neighbour_start_as(void (*life)(struct neighbour_page *page));
bool neighbour_again(struct neighbour_page *page);
/* Ends the test unless it does @rounds more in time. */
void neighbour_advances(const struct neighbour *n, unsigned int rounds);
/* All that it did was right. */
void neighbour_stop(struct neighbour *n);

#endif /* NEIGHBOUR_H */
