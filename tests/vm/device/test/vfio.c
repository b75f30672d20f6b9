// SPDX-License-Identifier: MIT
#include "vfio.h"
#include "../../../unit/unit.h"
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int open_group(const char *slot)
{
	char path[128], link[128], group[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 slot);
	len = readlink(path, link, sizeof(link) - 1);
	ck_assert_int_gt(len, 0);
	link[len] = '\0';
	snprintf(group, sizeof(group), "/dev/vfio/%s", strrchr(link, '/') + 1);
	fd = open(group, O_RDWR);
	ck_assert_msg(fd >= 0, "%s: %m", group);
	return fd;
}

static void map_bar(struct vfio *vfio, unsigned bar)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .index = bar };

	ck_assert(!ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &info));
	if (!(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return;
	vfio->bars[bar] = mmap(NULL, info.size, PROT_READ | PROT_WRITE,
			       MAP_SHARED, vfio->device, info.offset);
	ck_assert(vfio->bars[bar] != MAP_FAILED);
}

void vfio_open(struct vfio *vfio, const char *slot)
{
	unsigned bar;

	memset(vfio, 0, sizeof(*vfio));
	vfio->container = open("/dev/vfio/vfio", O_RDWR);
	ck_assert_msg(vfio->container >= 0, "/dev/vfio/vfio: %m");
	vfio->group = open_group(slot);
	ck_assert(!ioctl(vfio->group, VFIO_GROUP_SET_CONTAINER,
			 &vfio->container));
	ck_assert(!ioctl(vfio->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	vfio->device = ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD, slot);
	ck_assert_msg(vfio->device >= 0, "%s: %m", slot);
	for (bar = 0; bar < 6; bar++)
		map_bar(vfio, bar);
	vfio_bus_master(vfio, 1);
}

void vfio_close(struct vfio *vfio)
{
	close(vfio->device);
	close(vfio->group);
	close(vfio->container);
}

void vfio_map(struct vfio *vfio, void *memory, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)memory,
		.iova = (uintptr_t)memory,
		.size = size,
	};

	ck_assert_msg(!ioctl(vfio->container, VFIO_IOMMU_MAP_DMA, &map),
		      "map %p: %m", memory);
}

void vfio_vectors(struct vfio *vfio, const int *fds, unsigned count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(*fds);
	struct vfio_irq_set *set = calloc(1, size);

	ck_assert_ptr_nonnull(set);
	set->argsz = size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->count = count;
	memcpy(set->data, fds, count * sizeof(*fds));
	ck_assert_msg(!ioctl(vfio->device, VFIO_DEVICE_SET_IRQS, set),
		      "vectors: %m");
	free(set);
}

void vfio_bus_master(struct vfio *vfio, int on)
{
	struct vfio_region_info info = {
		.argsz = sizeof(info), .index = VFIO_PCI_CONFIG_REGION_INDEX
	};
	uint16_t command;

	ck_assert(!ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &info));
	ck_assert_int_eq(pread(vfio->device, &command, sizeof(command),
			       info.offset + PCI_COMMAND),
			 sizeof(command));
	command &= ~PCI_COMMAND_MASTER;
	if (on)
		command |= PCI_COMMAND_MASTER;
	ck_assert_int_eq(pwrite(vfio->device, &command, sizeof(command),
				info.offset + PCI_COMMAND),
			 sizeof(command));
}

void vfio_reset(struct vfio *vfio)
{
	ck_assert_msg(!ioctl(vfio->device, VFIO_DEVICE_RESET), "reset: %m");
}
