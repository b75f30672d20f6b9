// SPDX-License-Identifier: MIT
/* The function's own translations of PASIDs' addresses, got by ATS. */
#include "model.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MASK 4095ULL
/* How often a page may be granted and be gone again. */
#define MAX_TRIES 64

static struct atc_entry *find(struct function *fn, uint32_t pasid,
			      uint64_t addr)
{
	struct atc_entry *entry;

	for (entry = fn->atc; entry < fn->atc + ATC_ENTRIES; entry++)
		if (entry->valid && entry->pasid == pasid &&
		    (addr & ~entry->mask) == entry->base)
			return entry;
	return NULL;
}

static struct atc_entry *insert(struct function *fn, uint32_t pasid,
				uint64_t addr, const IOMMUTLBEntry *result)
{
	struct atc_entry *entry = find(fn, pasid, addr);

	/* One with less permission gives way. */
	if (!entry)
		entry = &fn->atc[fn->atc_next++ % ATC_ENTRIES];
	*entry = (struct atc_entry){
		.valid = true,
		.pasid = pasid,
		.base = addr & ~result->addr_mask,
		.mask = result->addr_mask,
		.target = result->translated_addr & ~result->addr_mask,
		.permission = result->perm,
	};
	return entry;
}

/* The test block may have it so. */
static bool is_kept(const struct function *fn, const struct atc_entry *entry)
{
	return fn->stale_atc && (fn->stale_pasid == SDXI_TEST_NO_PASID ||
				 fn->stale_pasid == entry->pasid);
}

/* Two naturally aligned ranges overlap if they agree above the larger one. */
static void invalidate(struct function *fn, const IOMMUTLBEntry *range)
{
	struct atc_entry *entry;
	uint64_t mask;

	for (entry = fn->atc; entry < fn->atc + ATC_ENTRIES; entry++) {
		mask = entry->mask | range->addr_mask;
		if (entry->valid && !is_kept(fn, entry) &&
		    (range->pasid == PCI_NO_PASID ||
		     range->pasid == entry->pasid) &&
		    (entry->base & ~mask) == (range->iova & ~mask))
			entry->valid = false;
	}
}

static void on_invalidation(IOMMUNotifier *notifier, IOMMUTLBEntry *range)
{
	struct pasid *pasid = (struct pasid *)notifier;

	if (!pasid->fn)
		return;
	pasid->fn->counters.invalidations++;
	invalidate(pasid->fn, range);
}

static void on_response(IOMMUPRINotifier *notifier, IOMMUPRIResponse *response)
{
	struct pasid *pasid =
		(void *)((char *)notifier - offsetof(struct pasid, response));

	if (pasid->fn)
		pri_response(pasid->fn, response);
}

/* QEMU tells of invalidations and responses PASID by PASID. */
static int attend(struct function *fn, uint32_t number)
{
	struct pasid *pasid;

	if (number >> fn->options.pasid_bits)
		return -EFAULT;
	if (fn->pasids[number])
		return 0;
	pasid = calloc(1, sizeof(*pasid));
	if (!pasid)
		return -EFAULT;
	pasid->fn = fn;
	pasid->number = number;
	pasid->response.notify = on_response;
	if (pci_pri_register_notifier(fn->pci, number, &pasid->response) != 0)
		goto err_free;
	if (pci_iommu_init_iotlb_notifier(fn->pci, &pasid->invalidation,
					  on_invalidation, NULL) != 0 ||
	    pci_iommu_register_iotlb_notifier(fn->pci, number,
					      &pasid->invalidation) != 0)
		goto err_unregister;
	fn->pasids[number] = pasid;
	return 0;

err_unregister:
	pci_pri_unregister_notifier(fn->pci, number);
err_free:
	free(pasid);
	return -EFAULT;
}

/* Driver and IOMMU may have been switched off: what QEMU keeps must live. */
static void ignore(struct function *fn, struct pasid *pasid)
{
	pasid->fn = NULL;
	if (!pcie_pri_enabled(fn->pci))
		return;
	pci_pri_unregister_notifier(fn->pci, pasid->number);
	if (pci_iommu_unregister_iotlb_notifier(fn->pci, pasid->number,
						&pasid->invalidation) == 0)
		free(pasid);
}

void atc_exit(struct function *fn)
{
	uint32_t number;

	for (number = 0; number >> fn->options.pasid_bits == 0; number++)
		if (fn->pasids[number])
			ignore(fn, fn->pasids[number]);
	free(fn->pasids);
}

/* 0, -EFAULT, or -EAGAIN when the page has to be asked for. */
static int ask(struct function *fn, uint32_t pasid, uint64_t addr, bool write,
	       struct atc_entry **entry)
{
	uint32_t need = write ? IOMMU_WO : IOMMU_RO;
	IOMMUTLBEntry result = { 0 };
	uint32_t errors = 0;
	ssize_t ret;

	fn->counters.translations++;
	ret = pci_ats_request_translation(fn->pci, pasid, false, false,
					  addr & ~PAGE_MASK, PAGE_MASK + 1,
					  !write, &result, 1, &errors);
	if (ret < 0 && ret != -ENOMEM)
		return -EFAULT;
	if (!(result.perm & need))
		return -EAGAIN;
	*entry = insert(fn, pasid, addr, &result);
	return 0;
}

static int fill(struct function *fn, struct context *cxt, uint32_t pasid,
		uint64_t addr, bool write, struct atc_entry **entry)
{
	int tries, ret;

	ret = attend(fn, pasid);
	if (ret != 0)
		return ret;
	for (tries = 0; tries < MAX_TRIES; tries++) {
		ret = ask(fn, pasid, addr, write, entry);
		if (ret != -EAGAIN)
			return ret;
		if (!cxt)
			return -EFAULT;
		ret = pri_request(cxt, pasid, addr, write);
		if (ret != 0)
			return ret;
	}
	return -EFAULT;
}

int atc_translate(struct function *fn, struct context *cxt, uint32_t pasid,
		  uint64_t addr, bool write, uint64_t *target, uint64_t *left)
{
	struct atc_entry *entry = find(fn, pasid, addr);
	int ret;

	if (cxt)
		cxt->last_pasid = pasid;
	if (entry && entry->permission & (write ? IOMMU_WO : IOMMU_RO)) {
		fn->counters.atc_hits++;
	} else {
		ret = fill(fn, cxt, pasid, addr, write, &entry);
		if (ret != 0)
			return ret;
	}
	*target = entry->target + (addr & entry->mask);
	*left = entry->mask + 1 - (addr & entry->mask);
	return 0;
}
