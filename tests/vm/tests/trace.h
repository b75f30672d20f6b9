/* SPDX-License-Identifier: MIT */
/* The kernel's tracing. */
#ifndef TRACE_H
#define TRACE_H

/* To @file in tracefs; both end the test when they can't. */
void trace_write(const char *file, const char *text);
/* The trace, to be read and closed. */
int trace_open(void);

#endif /* TRACE_H */
