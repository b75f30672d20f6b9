/* SPDX-License-Identifier: MIT */
/* What the kernel holds of memory: pins and free pages, in all of the system. */
#ifndef PINS_H
#define PINS_H

/* Pages that are pinned now, whoever did it. */
long pins_held(void);
/* A line of /proc/meminfo, in KiB. */
long meminfo(const char *name);
/* KiB that could be had, with what the kernel could let go at once let go. */
long memory_available(void);

#endif /* PINS_H */
