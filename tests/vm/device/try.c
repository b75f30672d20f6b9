// SPDX-License-Identifier: MIT
/*
 * A function that does DMA though nobody asked it to: what it can reach then is what
 * the IOMMU lets it.
 */
#include "model.h"
#include <string.h>

void try_begin(struct function *fn, bool write, uint64_t addr)
{
	memset(&fn->tries, 0, sizeof(fn->tries));
	fn->tries.on = true;
	fn->tries.write = write;
	fn->tries.addr = addr;
}

/* Neither a driver's nor the bus's permission is asked for. */
static bool reaches(struct tries *tries, PCIDevice *pci)
{
	struct place place = {
		.as = pci_device_iommu_address_space(pci),
		.addr = tries->addr,
	};
	uint64_t data = htole64(++tries->count);

	return memory_access(&place, &data, sizeof(data), tries->write) == 0;
}

void try_access(struct function *fn, bool config)
{
	struct tries *tries = &fn->tries;
	struct phase *phase = &tries->phases[tries->last];
	bool reached;

	if (!tries->on)
		return;
	reached = reaches(tries, fn->pci);
	if (tries->count > 1 && phase->reached != reached) {
		if (tries->last == SDXI_TEST_PHASES - 1)
			return;
		tries->last++;
		phase++;
	}
	phase->reached = reached;
	if (config)
		phase->configs++;
	else
		phase->registers++;
}

uint64_t try_phase(const struct function *fn, unsigned i)
{
	const struct phase *phase = &fn->tries.phases[i];

	return (phase->reached ? SDXI_TEST_PHASE_REACHED : 0) |
	       FIELD_PREP(SDXI_TEST_PHASE_CONFIGS, phase->configs) |
	       FIELD_PREP(SDXI_TEST_PHASE_REGISTERS, phase->registers);
}
