// SPDX-License-Identifier: MIT
/* Page requests. A context has one under way at most, and waits for it. */
#include "model.h"
#include <errno.h>
#include <string.h>

#define PAGE_MASK 4095ULL

/* What the guest granted, at most. */
static struct pri_slot *get_slot(struct function *fn)
{
	uint32_t limit = pcie_pri_get_req_alloc(fn->pci);
	uint32_t i;

	for (i = 0; i < limit && i < PRI_SLOTS; i++)
		if (!fn->pri[i].busy)
			return &fn->pri[i];
	return NULL;
}

/* 0, -EAGAIN when there is no room now, -EFAULT. */
static int send(struct context *cxt, uint32_t pasid, uint64_t addr, bool write,
		struct pri_slot **slot)
{
	struct function *fn = cxt->fn;
	int ret;

	if (!pcie_pri_enabled(fn->pci))
		return -EFAULT;
	*slot = get_slot(fn);
	if (!*slot)
		return -EAGAIN;
	**slot = (struct pri_slot){ .busy = true, .owner = cxt };
	ret = pci_pri_request_page(fn->pci, pasid, false, false,
				   addr & ~PAGE_MASK, true, *slot - fn->pri,
				   !write, write);
	if (ret != 0)
		(*slot)->busy = false;
	/* The queue in the guest's memory overflowed. */
	if (ret == -ENOSPC)
		return -EAGAIN;
	if (ret != 0)
		return -EFAULT;
	fn->counters.page_requests++;
	return 0;
}

static int request(struct context *cxt, uint32_t pasid, uint64_t addr,
		   bool write)
{
	struct pri_slot *slot;
	int ret;

	while ((ret = send(cxt, pasid, addr, write, &slot)) == -EAGAIN) {
		if (cxt->stop >= CONTEXT_STOP_HARD)
			return -ECANCELED;
		context_wait_tick(cxt);
	}
	if (ret != 0)
		return ret;
	while (!slot->answered && cxt->stop < CONTEXT_STOP_HARD)
		context_wait(cxt);
	if (!slot->answered) {
		/* Its number is free again once the answer comes. */
		slot->owner = NULL;
		return -ECANCELED;
	}
	slot->busy = false;
	return slot->granted ? 0 : -EFAULT;
}

int pri_request(struct context *cxt, uint32_t pasid, uint64_t addr, bool write)
{
	struct function *fn = cxt->fn;
	int ret;

	cxt->waits_for_page = true;
	/* The admin context doesn't wait for one that waits for a page. */
	context_wake(&fn->contexts[SDXI_ADMIN_CXT]);
	ret = request(cxt, pasid, addr, write);
	cxt->waits_for_page = false;
	return ret;
}

/* Called from within the IOMMU's register write: nothing is done here. */
void pri_response(struct function *fn, const IOMMUPRIResponse *response)
{
	struct pri_slot *slot;

	fn->counters.page_responses++;
	if (response->prgi >= PRI_SLOTS)
		return;
	slot = &fn->pri[response->prgi];
	if (!slot->busy || slot->answered)
		return;
	if (!slot->owner) {
		slot->busy = false;
		return;
	}
	slot->answered = true;
	slot->granted = response->response_code == IOMMU_PRI_RESP_SUCCESS;
	context_wake(slot->owner);
}

/* The guest switched page requests off: none will be answered. */
void pri_forget(struct function *fn)
{
	struct pri_slot *slot;

	for (slot = fn->pri; slot < fn->pri + PRI_SLOTS; slot++) {
		if (!slot->busy || slot->answered)
			continue;
		slot->answered = true;
		slot->granted = false;
		if (slot->owner)
			context_wake(slot->owner);
		else
			slot->busy = false;
	}
}
