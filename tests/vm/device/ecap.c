// SPDX-License-Identifier: MIT
/*
 * QEMU's VT-d offers page walks that don't snoop the caches (ECAP.SMPWC is 0),
 * though all of its accesses are coherent; from 6.19 on Linux takes that for a
 * reason to refuse SVA. One register of it is covered by another here.
 */
#include "model.h"

#define VTD_ECAP 0xfed90010ULL
#define VTD_ECAP_SMPWC BIT_ULL(48)
#define VTD_ECAP_PASID BIT_ULL(40)

static uint64_t ecap;
static MemoryRegion region;

static uint64_t ecap_read(void *opaque, hwaddr addr, unsigned size)
{
	(void)opaque;
	return size == 8 ? ecap : (uint32_t)(ecap >> addr * 8);
}

static void ecap_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)addr;
	(void)value;
	(void)size;
}

static const MemoryRegionOps ops = {
	.read = ecap_read,
	.write = ecap_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 4, .max_access_size = 8 },
	.impl = { .min_access_size = 4, .max_access_size = 8 },
};

/* Once, and only over an IOMMU that has PASIDs. */
void ecap_overlay(void)
{
	uint64_t value;

	if (ecap != 0 ||
	    address_space_rw(&address_space_memory, VTD_ECAP,
			     (MemTxAttrs){ .unspecified = true }, &value,
			     sizeof(value), false) != MEMTX_OK ||
	    !(value & VTD_ECAP_PASID))
		return;
	ecap = value | VTD_ECAP_SMPWC;
	memory_region_init_io(&region, NULL, &ops, NULL, "vtd-ecap",
			      sizeof(ecap));
	memory_region_add_subregion_overlap(get_system_memory(), VTD_ECAP,
					    &region, 100);
}
