/* SPDX-License-Identifier: MIT */
/* Swap, which the guests have none of otherwise. */
#ifndef SWAP_H
#define SWAP_H

/* Room for 4 MiB, until it ends. */
void swap_begin(void);
void swap_end(void);
/* How many of the @n pages at @p are in swap. */
unsigned int swapped(const void *p, unsigned int n);
/* All of them, of a mapping of small pages. */
void swap_out(void *p, unsigned int n);

#endif /* SWAP_H */
