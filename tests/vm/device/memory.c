// SPDX-License-Identifier: MIT
/* DMA: without a PASID through the IOMMU, with one to where the ATC says. */
#include "model.h"
#include <errno.h>
#include <string.h>

#define PCI_COMMAND 4
#define PCI_COMMAND_MASTER 4
#define PAGE 4096

static bool may_access(const struct function *fn, const struct context *cxt)
{
	if (fn->vanished || (cxt && cxt->stop == CONTEXT_ABANDON))
		return false;
	return pci_default_read_config(fn->pci, PCI_COMMAND, 2) &
	       PCI_COMMAND_MASTER;
}

struct space memory_function_space(const struct function *fn)
{
	return (struct space){
		.has_pasid = fn->reg.ctl0 & SDXI_CTL0_FN_PASID_VL,
		.pasid = FIELD_GET(SDXI_CTL0_FN_PASID, fn->reg.ctl0),
	};
}

enum sdxi_err_sub_step memory_sub_step(int error)
{
	return error == -EFAULT ? SDXI_SUB_TRANSLATION : SDXI_SUB_ACCESS;
}

int memory_translate(struct function *fn, struct context *cxt,
		     struct space space, uint64_t addr, bool write,
		     struct place *place)
{
	if (!may_access(fn, cxt))
		return -ECANCELED;
	if (space.has_pasid) {
		place->as = &address_space_memory;
		return atc_translate(fn, cxt, space.pasid, addr, write,
				     &place->addr, &place->left);
	}
	place->as = pci_device_iommu_address_space(fn->pci);
	place->addr = addr;
	place->left = PAGE - addr % PAGE;
	return 0;
}

/*
 * A word is stored once. QEMU copies it by memmove(), which may store it twice:
 * what its reader, who has seen the first, writes there before the second would be
 * lost.
 */
static int store(const struct place *place, const void *data, uint64_t len)
{
	const MemTxAttrs attributes = { .unspecified = true };
	uint32_t result = MEMTX_OK, word;
	uint64_t words;

	if (len == sizeof(words)) {
		memcpy(&words, data, len);
		address_space_stq_le(place->as, place->addr, le64toh(words),
				     attributes, &result);
	} else if (len == sizeof(word)) {
		memcpy(&word, data, len);
		address_space_stl_le(place->as, place->addr, le32toh(word),
				     attributes, &result);
	} else {
		return address_space_rw(place->as, place->addr, attributes,
					(void *)data, len, true);
	}
	return (int)result;
}

/* The IOMMU refuses an untranslated access only here. */
int memory_access(const struct place *place, void *data, uint64_t len,
		  bool write)
{
	const MemTxAttrs attributes = { .unspecified = true };
	int ret = write ? store(place, data, len)
			: address_space_rw(place->as, place->addr, attributes,
					   data, len, false);

	if (ret == MEMTX_OK)
		return 0;
	return place->as == &address_space_memory ? -EIO : -EFAULT;
}

static int transfer(struct function *fn, struct context *cxt,
		    struct space space, uint64_t addr, void *data, uint64_t len,
		    bool write)
{
	struct place place;
	uint64_t part;
	int ret;

	for (; len > 0; addr += part, data = (char *)data + part, len -= part) {
		ret = memory_translate(fn, cxt, space, addr, write, &place);
		if (ret != 0)
			return ret;
		part = len < place.left ? len : place.left;
		ret = memory_access(&place, data, part, write);
		if (ret != 0)
			return ret;
	}
	return 0;
}

int memory_read(struct function *fn, struct context *cxt, struct space space,
		uint64_t addr, void *data, uint64_t len)
{
	return transfer(fn, cxt, space, addr, data, len, false);
}

int memory_write(struct function *fn, struct context *cxt, struct space space,
		 uint64_t addr, const void *data, uint64_t len)
{
	return transfer(fn, cxt, space, addr, (void *)data, len, true);
}
