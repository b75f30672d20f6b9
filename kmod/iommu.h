/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a device's DMA goes through: its space.
 *
 * Behind an IOMMU that is a domain of ours. The device's group is claimed, which
 * blocks all its DMA, and leaves that state only into the domain; addresses in
 * it are handed out once and for all, as windows, and what a window shows is
 * mapped for the length of one slice. Without an IOMMU it is the DMA API.
 *
 * A provider makes one before it touches its device, attaches it before the device
 * masters the bus, detaches it when the device has stopped, and frees it when it
 * touches the device no more. Callers see to it that a window has one user at a
 * time; nothing else needs a lock.
 */
#ifndef SHARQ_IOMMU_H
#define SHARQ_IOMMU_H

#include <linux/dma-direction.h>

#include "drr.h"
#include "sharq.h"

struct device;
struct sharq_space;

/* Pages that a slice of an operand may touch. */
#define SHARQ_SLICE_PAGES (SHARQ_SLICE_MAX / PAGE_SIZE + 1)

/*
 * sharq_space_new - claim the group of @dev, which is blocked then
 *
 * The caller's driver has driver_managed_dma. -EBUSY: somebody else has the
 * group, or part of it; the kernel's log has the names.
 */
int sharq_space_new(struct device *dev, struct sharq_space **space);
/* From here on the device reaches what is mapped below. */
int sharq_space_attach(struct sharq_space *space);
/* What was lent must be back. The group is blocked again. */
void sharq_space_detach(struct sharq_space *space);
/* The group is the kernel's again. */
struct sharq_space *sharq_space_free(struct sharq_space *space);
/* Fill in what is to be shown of it. */
void sharq_space_describe(const struct sharq_space *space,
			  struct sharq_ctl_dma *dma);

/* Memory that kernel and device share; page aligned, zeroed. */
struct sharq_shared {
	void *cpu;
	dma_addr_t dma;
	size_t size;
};

int sharq_space_alloc(struct sharq_space *space, size_t size,
		      struct sharq_shared *mem);
/* Once more, or of what was never allocated, does nothing. */
void sharq_space_unalloc(struct sharq_space *space, struct sharq_shared *mem);

/*
 * struct sharq_map - part of an operand as its device sees it
 * @window: where, once and for all; 0 without an IOMMU
 * @runs:   @nr of them, in order
 */
struct sharq_map {
	u64 window;
	enum dma_data_direction dir;
	unsigned int nr;
	struct sharq_run {
		dma_addr_t addr;
		u32 len;
	} runs[SHARQ_SLICE_PAGES];
};

/* Room for a slice; it goes with the space. */
int sharq_space_window(struct sharq_space *space, struct sharq_map *map);
/*
 * @len bytes of @buf from @at, at most SHARQ_SLICE_MAX; not of kind COPY. May
 * sleep. After an error nothing is mapped.
 */
int sharq_space_map(struct sharq_space *space, struct sharq_map *map,
		    const struct sharq_buf *buf, u32 at, u32 len);
/*
 * When it returns, the device can't reach the pages any more, whatever it does.
 * (Without an IOMMU: unless it misbehaves.) Of what isn't mapped: does nothing.
 */
void sharq_space_unmap(struct sharq_space *space, struct sharq_map *map);

#endif /* SHARQ_IOMMU_H */
