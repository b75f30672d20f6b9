/* SPDX-License-Identifier: MIT */
/* A PCI function in the hands of this process: vfio-pci drives it. */
#ifndef SDXI_VFIO_H
#define SDXI_VFIO_H

#include <stddef.h>
#include <stdint.h>

struct vfio {
	int container;
	int group;
	int device;
	void *bars[6];
};

/* slot as in 0000:00:02.0; ends the test when it can't be had. */
void vfio_open(struct vfio *vfio, const char *slot);
void vfio_close(struct vfio *vfio);
/* The function may access this memory, by the same addresses as we. */
void vfio_map(struct vfio *vfio, void *memory, size_t size);
/* fds[i] is written for vector i. */
void vfio_vectors(struct vfio *vfio, const int *fds, unsigned count);
void vfio_bus_master(struct vfio *vfio, int on);
void vfio_reset(struct vfio *vfio);

#endif
