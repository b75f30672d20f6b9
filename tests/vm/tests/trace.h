/* SPDX-License-Identifier: MIT */
/* The kernel's tracing. */
#ifndef TRACE_H
#define TRACE_H

/* To @file in tracefs; both end the test when they can't. */
void trace_write(const char *file, const char *text);
/* The trace, to be read and closed. */
int trace_open(void);
/* All of it, as text, until it is asked for again. */
const char *trace_text(void);
/* Where a line of the test's own for it may be written, without delay. */
int trace_marker(void);

#endif /* TRACE_H */
