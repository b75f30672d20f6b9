/* SPDX-License-Identifier: MIT */
/* Fault injection into the calling thread: its @nth possible failure happens. */
#ifndef FAILNTH_H
#define FAILNTH_H

/* Does this kernel have it? */
int fail_nth_available(void);
void fail_nth_begin(unsigned int nth);
/* Return: whether it happened; if not, there were fewer than @nth. */
int fail_nth_end(void);

#endif /* FAILNTH_H */
