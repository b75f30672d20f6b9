// SPDX-License-Identifier: MIT
/* The type that QEMU sees, its options, its PCI side. */
#include "model.h"
#include "test_block.h"
#include <stdio.h>
#include <stdlib.h>

#define TYPE_NAME "sdxi"
#define PCI_DEVICE_ID 0x5d81
#define PCI_VENDOR_ID 0
#define PCI_CONFIG_EXTENDED 256

#define PCIE_OFFSET 0x80
#define ATS_OFFSET 0x100
#define PASID_OFFSET 0x110
#define PRI_OFFSET 0x120

#define MSIX_BAR_OFFSET SDXI_REGS_SIZE
#define MSIX_PENDING_OFFSET (MSIX_BAR_OFFSET + 0x8000)
#define BAR_REGS_SIZE (2 * SDXI_REGS_SIZE)
#define MSIX_CAPABILITY 0x40

static struct function *function_of(void *pci)
{
	return (struct function *)((char *)pci + sizeof(PCIDevice));
}

static const struct {
	const char *name;
	size_t offset;
	uint32_t value;
	uint32_t min;
	uint32_t max;
} option_list[] = {
#define OPTION(name, member, value, min, max)                                  \
	{                                                                      \
		name, offsetof(struct options, member), value, min, max        \
	}
	OPTION("max-cxt", max_cxt, 63, 1, 65535),
	OPTION("vectors", vectors, 64, 1, 2048),
	OPTION("db-stride", db_stride, 0, 0, 7),
	OPTION("max-ring", max_ring, 10, 0, 21),
	OPTION("max-buffer", max_buffer, 11, 0, 11),
	OPTION("max-akey", max_akey, 8, 0, 8),
	OPTION("intr", intr, 1, 0, 1),
	OPTION("ats", ats, 1, 0, 1),
	OPTION("pasid-bits", pasid_bits, 8, 1, 20),
	OPTION("page-requests", page_requests, 32, 1, PRI_SLOTS),
	OPTION("stop-on-error", stop_on_error, 1, 0, 1),
	OPTION("hard-stop", hard_stop, 1, 0, 1),
	OPTION("keep-tables", keep_tables, 1, 0, 1),
	OPTION("updates", updates, 1, 0, 1),
	OPTION("test", test, 0, 0, 1),
};

#define OPTIONS (sizeof(option_list) / sizeof(option_list[0]))

static uint32_t *option(struct function *fn, size_t i)
{
	return (uint32_t *)((char *)&fn->options + option_list[i].offset);
}

static void instance_init(Object *object)
{
	struct function *fn = function_of(object);
	size_t i;

	for (i = 0; i < OPTIONS; i++) {
		*option(fn, i) = option_list[i].value;
		object_property_add_uint32_ptr(object, option_list[i].name,
					       option(fn, i),
					       OBJ_PROP_FLAG_READWRITE);
	}
}

static bool check_options(struct function *fn, Error **error)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (*option(fn, i) < option_list[i].min ||
		    *option(fn, i) > option_list[i].max) {
			error_setg(error, "%s must be from %u to %u",
				   option_list[i].name, option_list[i].min,
				   option_list[i].max);
			return false;
		}
	return true;
}

static uint64_t doorbell_bar_size(const struct function *fn)
{
	uint64_t need = (fn->options.max_cxt + 1) *
			SDXI_DB_STRIDE_BYTES(fn->options.db_stride);
	uint64_t size = 4096;

	while (size < need)
		size *= 2;
	return size;
}

static void register_bars(struct function *fn)
{
	Object *owner = (Object *)fn->pci;

	memory_region_init(&fn->bar_regs, owner, "sdxi-bar0", BAR_REGS_SIZE);
	memory_region_init_io(&fn->regs, owner, &registers_ops, fn,
			      "sdxi-registers", SDXI_REGS_SIZE);
	memory_region_add_subregion(&fn->bar_regs, 0, &fn->regs);
	pci_register_bar(fn->pci, SDXI_BAR_REGS, PCI_BASE_ADDRESS_MEM_TYPE_64,
			 &fn->bar_regs);
	memory_region_init_io(&fn->doorbells, owner, &doorbell_ops, fn,
			      "sdxi-doorbells", doorbell_bar_size(fn));
	pci_register_bar(fn->pci, SDXI_BAR_DOORBELLS,
			 PCI_BASE_ADDRESS_MEM_TYPE_64, &fn->doorbells);
	if (!fn->options.test)
		return;
	memory_region_init_io(&fn->test, owner, &test_ops, fn, "sdxi-test",
			      SDXI_TEST_SIZE);
	pci_register_bar(fn->pci, SDXI_TEST_BAR, PCI_BASE_ADDRESS_MEM_TYPE_64,
			 &fn->test);
}

static void realize(PCIDevice *pci, Error **error)
{
	struct function *fn = function_of(pci);
	uint32_t vector;

	fn->pci = pci;
	if (!check_options(fn, error))
		return;
	if (pcie_endpoint_cap_init(pci, PCIE_OFFSET) < 0) {
		error_setg(error, "sdxi: no PCI Express here");
		return;
	}
	pcie_cap_flr_init(pci);
	if (fn->options.ats) {
		pcie_ats_init(pci, ATS_OFFSET, true);
		pcie_pasid_init(pci, PASID_OFFSET, fn->options.pasid_bits,
				false, false);
		pcie_pri_init(pci, PRI_OFFSET, fn->options.page_requests, true);
	}
	register_bars(fn);
	if (msix_init(pci, fn->options.vectors, &fn->bar_regs, SDXI_BAR_REGS,
		      MSIX_BAR_OFFSET, &fn->bar_regs, SDXI_BAR_REGS,
		      MSIX_PENDING_OFFSET, MSIX_CAPABILITY, error) != 0)
		return;
	for (vector = 0; vector < fn->options.vectors; vector++)
		msix_vector_use(pci, vector);
	function_init(fn);
	ecap_overlay();
}

static void unrealize(PCIDevice *pci)
{
	struct function *fn = function_of(pci);

	function_exit(fn);
	msix_unuse_all_vectors(pci);
	msix_uninit(pci, &fn->bar_regs, &fn->bar_regs);
	pcie_cap_exit(pci);
}

static void reset(void *device)
{
	function_reset(function_of(device));
}

/*
 * Tries are made at what drivers use. What is beyond that the kernel's own code for
 * the IOMMU uses. And Linux reads the identity to see whether the function is there,
 * also while it takes an entry away from the IOMMU that isn't present any more:
 * QEMU's IOMMU doesn't look at that bit, and would keep what was tried in its IOTLB.
 */
static void try_config(PCIDevice *pci, uint32_t addr)
{
	if (addr != PCI_VENDOR_ID && addr < PCI_CONFIG_EXTENDED)
		try_access(function_of(pci), true);
}

static uint32_t config_read(PCIDevice *pci, uint32_t addr, int len)
{
	try_config(pci, addr);
	if (function_of(pci)->vanished)
		return ~0U;
	return pci_default_read_config(pci, addr, len);
}

/* A function level reset comes by reset(). */
static void config_write(PCIDevice *pci, uint32_t addr, uint32_t value, int len)
{
	struct function *fn = function_of(pci);

	try_config(pci, addr);
	if (fn->vanished)
		return;
	pci_default_write_config(pci, addr, value, len);
	pcie_cap_flr_write_config(pci, addr, value, len);
	if (fn->options.ats && !pcie_pri_enabled(pci))
		pri_forget(fn);
}

/* PCIDeviceClass isn't known: one of QEMU's own shows where its fields are. */
static PCIClassTail *class_tail(ObjectClass *class)
{
	const char *edu = (const char *)object_class_by_name("edu");
	const PCIClassTail *tail;
	size_t offset;

	for (offset = 64; edu && offset < 1024; offset += 8) {
		tail = (const PCIClassTail *)(edu + offset);
		if (tail->vendor_id == PCI_VENDOR_ID_QEMU &&
		    tail->device_id == 0x11e8 && tail->class_id == 0x00ff &&
		    tail->realize)
			return (PCIClassTail *)((char *)class + offset);
	}
	fprintf(stderr, "sdxi: this QEMU's PCIDeviceClass isn't known\n");
	exit(1);
}

static void class_init(ObjectClass *class, const void *data)
{
	PCIClassTail *tail = class_tail(class);

	(void)data;
	tail->realize = realize;
	tail->exit = unrealize;
	tail->config_read = config_read;
	tail->config_write = config_write;
	tail->vendor_id = PCI_VENDOR_ID_QEMU;
	tail->device_id = PCI_DEVICE_ID;
	tail->revision = 1;
	tail->class_id = SDXI_PCI_CLASS >> 8;
	device_class_set_legacy_reset(class, reset);
}

static void register_type(void)
{
	static const InterfaceInfo interfaces[] = { { "pci-express-device" },
						    { NULL } };
	static const TypeInfo info = {
		.name = TYPE_NAME,
		.parent = "pci-device",
		.instance_size = sizeof(PCIDevice) + sizeof(struct function),
		.instance_init = instance_init,
		.class_init = class_init,
		.interfaces = interfaces,
	};

	type_register_static(&info);
}

/*
 * A preloaded object's constructors come before QEMU's: register once more, from
 * within the walk of the list, to come after all of its types.
 */
static void register_late(void)
{
	register_module_init(register_type, MODULE_INIT_QOM);
}

static void __attribute__((constructor)) construct(void)
{
	register_module_init(register_late, MODULE_INIT_QOM);
}
