/* SPDX-License-Identifier: MIT */
/* The system calls that a child makes, counted by a tracer. */
#ifndef CALLS_H
#define CALLS_H

#include <sys/types.h>

/* In the child: be traced from here on. Return: 0 or -1. */
int calls_begin(void);
/* What is between two of these is counted: each other time it begins. */
void calls_mark(void);
/*
 * Follow a child that has begun or will, until it is gone, and add to @calls what it
 * made. Return: its wait status; -1 when it can't be traced.
 */
int calls_follow(pid_t pid, unsigned int *calls);

#endif /* CALLS_H */
