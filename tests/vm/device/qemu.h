/* SPDX-License-Identifier: MIT */
/*
 * The entry points of QEMU 11.1 that the model uses, declared by hand: neither
 * its source nor its headers are needed. Its own structures are opaque here,
 * with room to spare; MemoryRegion wants 16-byte alignment. What can be checked
 * is checked when the type is registered (device.c), and a mismatch ends QEMU.
 */
#ifndef SDXI_QEMU_H
#define SDXI_QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef uint64_t hwaddr;
typedef struct Error Error;
typedef struct Object Object;
typedef struct ObjectClass ObjectClass;
typedef struct AddressSpace AddressSpace;
typedef struct QEMUBH QEMUBH;
typedef struct Coroutine Coroutine;

#define QEMU_OPAQUE(name, size)                                                \
	typedef struct {                                                       \
		_Alignas(16) char opaque[size];                                \
	} name

QEMU_OPAQUE(PCIDevice, 8192);
QEMU_OPAQUE(MemoryRegion, 1024);
QEMU_OPAQUE(IOMMUNotifier, 256);
QEMU_OPAQUE(QEMUTimer, 256);

typedef struct {
	uint32_t bits;
	bool unspecified;
	uint8_t reserved1;
	uint16_t reserved2;
} MemTxAttrs;

#define MEMTX_OK 0
#define PCI_NO_PASID UINT32_MAX
#define IOMMU_RO 1
#define IOMMU_WO 2
#define IOMMU_PRI_RESP_SUCCESS 0
#define DEVICE_LITTLE_ENDIAN 2
#define PCI_BASE_ADDRESS_MEM_TYPE_64 4
#define PCI_VENDOR_ID_QEMU 0x1234
#define QEMU_CLOCK_REALTIME 0
#define OBJ_PROP_FLAG_READWRITE 3
#define MODULE_INIT_QOM 4

typedef struct {
	AddressSpace *target_as;
	hwaddr iova;
	hwaddr translated_addr;
	hwaddr addr_mask;
	uint32_t perm;
	uint32_t pasid;
} IOMMUTLBEntry;

typedef void IOMMUNotify(IOMMUNotifier *notifier, IOMMUTLBEntry *entry);

typedef struct {
	uint32_t response_code;
	uint16_t prgi;
} IOMMUPRIResponse;

typedef struct IOMMUPRINotifier {
	void (*notify)(struct IOMMUPRINotifier *, IOMMUPRIResponse *);
} IOMMUPRINotifier;

typedef struct {
	const char *type;
} InterfaceInfo;

typedef struct {
	const char *name;
	const char *parent;
	size_t instance_size;
	size_t instance_align;
	void (*instance_init)(Object *object);
	void (*instance_post_init)(Object *object);
	void (*instance_finalize)(Object *object);
	bool abstract;
	size_t class_size;
	void (*class_init)(ObjectClass *class, const void *data);
	void (*class_base_init)(ObjectClass *class, const void *data);
	const void *class_data;
	const InterfaceInfo *interfaces;
} TypeInfo;

typedef struct {
	uint64_t (*read)(void *opaque, hwaddr addr, unsigned size);
	void (*write)(void *opaque, hwaddr addr, uint64_t value, unsigned size);
	void *read_with_attrs;
	void *write_with_attrs;
	int endianness;
	struct {
		unsigned min_access_size;
		unsigned max_access_size;
		bool unaligned;
		void *accepts;
	} valid;
	struct {
		unsigned min_access_size;
		unsigned max_access_size;
		bool unaligned;
	} impl;
} MemoryRegionOps;

/* PCIDeviceClass from realize on; where it starts is found at run time. */
typedef struct {
	void (*realize)(PCIDevice *pci, Error **error);
	void (*exit)(PCIDevice *pci);
	uint32_t (*config_read)(PCIDevice *pci, uint32_t addr, int len);
	void (*config_write)(PCIDevice *pci, uint32_t addr, uint32_t value,
			     int len);
	uint16_t vendor_id;
	uint16_t device_id;
	uint8_t revision;
	uint16_t class_id;
} PCIClassTail;

void register_module_init(void (*init)(void), int type);
void *type_register_static(const TypeInfo *info);
ObjectClass *object_class_by_name(const char *name);
void *object_property_add_uint32_ptr(Object *object, const char *name,
				     const uint32_t *value, int flags);
void device_class_set_legacy_reset(ObjectClass *class,
				   void (*reset)(void *device));
void error_setg_internal(Error **error, const char *file, int line,
			 const char *function, const char *format, ...);

#define error_setg(error, ...)                                                 \
	error_setg_internal(error, __FILE__, __LINE__, __func__, __VA_ARGS__)

extern AddressSpace address_space_memory;
MemoryRegion *get_system_memory(void);
int address_space_rw(AddressSpace *space, hwaddr addr, MemTxAttrs attributes,
		     void *buffer, hwaddr len, bool write);
void address_space_stl_le(AddressSpace *space, hwaddr addr, uint32_t value,
			  MemTxAttrs attributes, uint32_t *result);
void address_space_stq_le(AddressSpace *space, hwaddr addr, uint64_t value,
			  MemTxAttrs attributes, uint32_t *result);
void memory_region_init(MemoryRegion *region, Object *owner, const char *name,
			uint64_t size);
void memory_region_init_io(MemoryRegion *region, Object *owner,
			   const MemoryRegionOps *ops, void *opaque,
			   const char *name, uint64_t size);
void memory_region_add_subregion(MemoryRegion *region, hwaddr offset,
				 MemoryRegion *child);
void memory_region_add_subregion_overlap(MemoryRegion *region, hwaddr offset,
					 MemoryRegion *child, int priority);

void pci_register_bar(PCIDevice *pci, int number, uint8_t type,
		      MemoryRegion *region);
uint32_t pci_default_read_config(PCIDevice *pci, uint32_t addr, int len);
void pci_default_write_config(PCIDevice *pci, uint32_t addr, uint32_t value,
			      int len);
AddressSpace *pci_device_iommu_address_space(PCIDevice *pci);
int pcie_endpoint_cap_init(PCIDevice *pci, uint8_t offset);
void pcie_cap_exit(PCIDevice *pci);
void pcie_cap_flr_init(PCIDevice *pci);
void pcie_cap_flr_write_config(PCIDevice *pci, uint32_t addr, uint32_t value,
			       int len);
void pcie_ats_init(PCIDevice *pci, uint16_t offset, bool aligned);
void pcie_pasid_init(PCIDevice *pci, uint16_t offset, uint8_t bits,
		     bool execute, bool privileged);
void pcie_pri_init(PCIDevice *pci, uint16_t offset, uint32_t outstanding,
		   bool pasid_in_response);
bool pcie_pri_enabled(const PCIDevice *pci);
uint32_t pcie_pri_get_req_alloc(const PCIDevice *pci);
int msix_init(PCIDevice *pci, uint32_t vectors, MemoryRegion *table,
	      uint8_t table_bar, unsigned table_offset, MemoryRegion *pending,
	      uint8_t pending_bar, unsigned pending_offset, uint8_t capability,
	      Error **error);
void msix_uninit(PCIDevice *pci, MemoryRegion *table, MemoryRegion *pending);
void msix_vector_use(PCIDevice *pci, unsigned vector);
void msix_unuse_all_vectors(PCIDevice *pci);
void msix_notify(PCIDevice *pci, unsigned vector);
ssize_t pci_ats_request_translation(PCIDevice *pci, uint32_t pasid,
				    bool privileged, bool execute, hwaddr addr,
				    size_t len, bool no_write,
				    IOMMUTLBEntry *result, size_t results,
				    uint32_t *errors);
int pci_pri_request_page(PCIDevice *pci, uint32_t pasid, bool privileged,
			 bool execute, hwaddr addr, bool last, uint16_t group,
			 bool read, bool write);
int pci_pri_register_notifier(PCIDevice *pci, uint32_t pasid,
			      IOMMUPRINotifier *notifier);
void pci_pri_unregister_notifier(PCIDevice *pci, uint32_t pasid);
int pci_iommu_init_iotlb_notifier(PCIDevice *pci, IOMMUNotifier *notifier,
				  IOMMUNotify *notify, void *opaque);
int pci_iommu_register_iotlb_notifier(PCIDevice *pci, uint32_t pasid,
				      IOMMUNotifier *notifier);
int pci_iommu_unregister_iotlb_notifier(PCIDevice *pci, uint32_t pasid,
					IOMMUNotifier *notifier);

QEMUBH *qemu_bh_new_full(void (*run)(void *opaque), void *opaque,
			 const char *name, void *guard);
void qemu_bh_schedule(QEMUBH *bh);
void qemu_bh_delete(QEMUBH *bh);
Coroutine *qemu_coroutine_create(void (*entry)(void *opaque), void *opaque);
void qemu_coroutine_enter(Coroutine *coroutine);
void qemu_coroutine_yield(void);
void timer_init_full(QEMUTimer *timer, void *group, int clock, int scale,
		     int attributes, void (*run)(void *opaque), void *opaque);
void timer_mod(QEMUTimer *timer, int64_t expires);
void timer_del(QEMUTimer *timer);
void timer_deinit(QEMUTimer *timer);
int64_t qemu_clock_get_ns(int clock);

#endif
