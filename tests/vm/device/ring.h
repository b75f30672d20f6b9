/* SPDX-License-Identifier: MIT */
/* The arithmetic of a descriptor ring. */
#ifndef SDXI_RING_H
#define SDXI_RING_H

#include <stdint.h>

static inline uint64_t ring_slot(uint64_t base, uint64_t index, uint32_t size)
{
	return base + index % size * 64;
}

/*
 * Where the function must stop reading: doorbells may come out of order and
 * before the index in memory is seen, and neither is believed beyond the ring.
 */
static inline uint64_t ring_limit(uint64_t read, uint64_t write,
				  uint64_t doorbell, uint32_t size)
{
	uint64_t end = write > doorbell ? write : doorbell;

	if (end <= read)
		return read;
	return end - read > size ? read + size : end;
}

#endif
