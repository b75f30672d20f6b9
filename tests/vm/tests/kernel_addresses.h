/* SPDX-License-Identifier: MIT */
/* Where the kernel has memory, by what root can read of it. */
#ifndef KERNEL_ADDRESSES_H
#define KERNEL_ADDRESSES_H

#include <stdint.h>

uint64_t kernel_symbol(const char *name);
/*
 * An address of each of its mappings (linear, vmalloc, its own text), of some of
 * its variables and of the code of the module sharq; @n: how many. To be freed.
 */
uint64_t *kernel_addresses(unsigned int *n);

#endif /* KERNEL_ADDRESSES_H */
