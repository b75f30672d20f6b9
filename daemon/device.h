/* SPDX-License-Identifier: MIT */
/* Devices as clients see them, and which of them serves a wish. Pure. */
#ifndef SHARQD_DEVICE_H
#define SHARQD_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sharq_ioctl.h"

#define DEVICE_NAME_MAX 32

/*
 * @paths:       bit 1 << enum Sharq__Pb__Path
 * @direct_used, @direct_free: hardware queues for direct clients
 * @dma:         what its DMA goes through; no flags: it does none, or nobody says
 * @note:        why there is no better path; NULL: there is none
 */
struct device {
	uint32_t id;
	uint32_t paths;
	uint32_t ops;
	uint32_t max_transfer;
	uint32_t max_depth;
	uint32_t direct_used;
	uint32_t direct_free;
	char name[DEVICE_NAME_MAX];
	char provider[DEVICE_NAME_MAX];
	struct sharq_ctl_dma dma;
	const char *note;
};

/*
 * device_choose - the best device and path for what a client asks for
 * @list, @n:      the better ones of equal paths first
 * @device, @ops:  0: any; of several the ones that have all operations first
 * @path:          in: wanted; out: the one to expect
 * @err:           set to a sentence if there is none
 *
 * Return: the device's index; -EINVAL, -ENODEV (no such device, or none with
 * @ops), -EOPNOTSUPP (no such path), -EBUSY (every hardware queue is taken).
 */
int device_choose(const struct device *list, unsigned int n, uint32_t device,
		  uint32_t ops, uint32_t *path, char *err, size_t size);

#endif /* SHARQD_DEVICE_H */
