/* SPDX-License-Identifier: MIT */
/* SDXI's layouts outside the kernel: what kmod/sdxi_hw.h asks of its includer. */
#ifndef SDXI_LAYOUT_H
#define SDXI_LAYOUT_H

#include <endian.h>
#include <stdint.h>

#define BIT_ULL(n) (1ULL << (n))
#define GENMASK_ULL(high, low) ((~0ULL >> (63 - (high))) & (~0ULL << (low)))
#define FIELD_GET(mask, value) (((value) & (mask)) >> __builtin_ctzll(mask))
#define FIELD_PREP(mask, value)                                                \
	(((uint64_t)(value) << __builtin_ctzll(mask)) & (mask))

#include "sdxi_hw.h"

#endif
