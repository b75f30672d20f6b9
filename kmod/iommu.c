// SPDX-License-Identifier: GPL-2.0-only
/* Groups, domains and what is mapped in them; see iommu.h. */
#include "iommu.h"

#include <linux/dma-mapping.h>
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat.h"

/*
 * Low, and far below the addresses that host bridges take for devices: what a
 * switch would route to a neighbour never gets to the IOMMU.
 */
static ulong iova_base = SZ_16M;
module_param(iova_base, ulong, 0644);
MODULE_PARM_DESC(iova_base, "first I/O virtual address that is handed out");

/*
 * struct sharq_space
 * @group:    NULL without an IOMMU, and then so is what follows
 * @reserved: the group's regions that have a meaning of their own, the window
 *            of MSIs among them
 * @next:     addresses below it were handed out
 */
struct sharq_space {
	struct device *dev;
	struct iommu_group *group;
	struct iommu_domain *domain;
	struct list_head reserved;
	u64 next;
};

/* The one owner of all groups that sharq has claimed. */
static const char owner[] = "sharq";

static int print_member(struct device *member, void *dev)
{
	dev_err(dev, "in its IOMMU group: %s, driver %s\n", dev_name(member),
		dev_driver_string(member));
	return 0;
}

static int count_member(struct device *member, void *n)
{
	++*(unsigned int *)n;
	return 0;
}

static int claim_group(struct sharq_space *s)
{
	unsigned int members = 0;
	int ret = -EBUSY;

	iommu_group_for_each_dev(s->group, &members, count_member);
	if (members == 1)
		ret = iommu_group_claim_dma_owner(s->group, (void *)owner);
	if (!ret)
		return 0;
	dev_err(s->dev, "IOMMU group %d is %s, not for %s: %pe\n",
		iommu_group_id(s->group),
		members == 1 ? "somebody else's" : "shared", owner,
		ERR_PTR(ret));
	iommu_group_for_each_dev(s->group, s->dev, print_member);
	return -EBUSY;
}

/* Interrupts that are themselves translated would need a mapping of theirs. */
static int check_reserved(const struct sharq_space *s)
{
	const struct iommu_resv_region *r;

	list_for_each_entry(r, &s->reserved, list)
		if (r->type == IOMMU_RESV_SW_MSI)
			return -EOPNOTSUPP;
	return 0;
}

static int make_domain(struct sharq_space *s)
{
	int ret;

	if (!device_iommu_capable(s->dev, IOMMU_CAP_CACHE_COHERENCY))
		return -EOPNOTSUPP;
	ret = iommu_get_group_resv_regions(s->group, &s->reserved);
	if (!ret)
		ret = check_reserved(s);
	if (ret)
		return ret;
	s->domain = compat_paging_domain_alloc(s->dev);
	if (IS_ERR(s->domain))
		return PTR_ERR(s->domain);
	s->next = max_t(u64, PAGE_ALIGN(iova_base),
			s->domain->geometry.aperture_start);
	ret = iommu_attach_device(s->domain, s->dev);
	if (ret)
		iommu_domain_free(s->domain);
	return ret;
}

/* From here to the attaching, and after the detaching, the group is blocked. */
int sharq_space_new(struct device *dev, struct sharq_space **space)
{
	struct sharq_space *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return -ENOMEM;
	s->dev = dev;
	INIT_LIST_HEAD(&s->reserved);
	s->group = iommu_group_get(dev);
	ret = s->group ? claim_group(s)
		       : dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret) {
		iommu_group_put(s->group);
		kfree(s);
		return ret;
	}
	*space = s;
	return 0;
}

int sharq_space_attach(struct sharq_space *s)
{
	int ret;

	if (!s->group)
		return 0;
	ret = make_domain(s);
	if (!ret)
		return 0;
	dev_err(s->dev, "no address space of its own: %pe\n", ERR_PTR(ret));
	iommu_put_resv_regions(s->dev, &s->reserved);
	return ret;
}

void sharq_space_detach(struct sharq_space *s)
{
	if (!s->group)
		return;
	iommu_detach_device(s->domain, s->dev);
	iommu_domain_free(s->domain);
	iommu_put_resv_regions(s->dev, &s->reserved);
}

struct sharq_space *sharq_space_free(struct sharq_space *s)
{
	if (s->group) {
		iommu_group_release_dma_owner(s->group);
		iommu_group_put(s->group);
	}
	kfree(s);
	return NULL;
}

void sharq_space_describe(const struct sharq_space *s,
			  struct sharq_ctl_dma *dma)
{
	dma->flags |= SHARQ_DMA_ADDRESSES;
	if (!s->group)
		return;
	dma->flags |= SHARQ_DMA_GROUP | SHARQ_DMA_COHERENT;
	dma->group = iommu_group_id(s->group);
	dma->address_bits = fls64(s->domain->geometry.aperture_end);
	strscpy(dma->owner, owner, sizeof(dma->owner));
}

/* The end of the first reserved region that [at, at + size) runs into, or 0. */
static u64 reserved_end(const struct sharq_space *s, u64 at, u64 size)
{
	const struct iommu_resv_region *r;

	list_for_each_entry(r, &s->reserved, list)
		if (at < r->start + r->length && r->start < at + size)
			return r->start + r->length;
	return 0;
}

/*
 * Addresses are plenty and never come back. Each range is aligned to its size,
 * rounded up: Linux 6.1 invalidates, in first-stage tables on VT-d, as if all were,
 * and else leaves out the end of it.
 */
static int hand_out(struct sharq_space *s, size_t size, u64 *iova)
{
	u64 at, end;

	size = roundup_pow_of_two(PAGE_ALIGN(size));
	at = ALIGN(s->next, size);
	while ((end = reserved_end(s, at, size)))
		at = ALIGN(end, size);
	if (at + size - 1 > s->domain->geometry.aperture_end)
		return -ENOSPC;
	s->next = at + size;
	*iova = at;
	return 0;
}

static int map_pages(struct sharq_space *s, u64 iova, phys_addr_t phys,
		     size_t size, enum dma_data_direction dir)
{
	int prot = IOMMU_CACHE;

	if (dir != DMA_FROM_DEVICE)
		prot |= IOMMU_READ;
	if (dir != DMA_TO_DEVICE)
		prot |= IOMMU_WRITE;
	return compat_iommu_map(s->domain, iova, phys, size, prot);
}

static int alloc_in_domain(struct sharq_space *s, struct sharq_shared *mem)
{
	u64 iova;
	int ret;

	mem->cpu = alloc_pages_exact(mem->size, GFP_KERNEL | __GFP_ZERO);
	if (!mem->cpu)
		return -ENOMEM;
	ret = hand_out(s, mem->size, &iova);
	if (!ret)
		ret = map_pages(s, iova, virt_to_phys(mem->cpu),
				PAGE_ALIGN(mem->size), DMA_BIDIRECTIONAL);
	if (ret) {
		free_pages_exact(mem->cpu, mem->size);
		mem->cpu = NULL;
		return ret;
	}
	mem->dma = iova;
	return 0;
}

int sharq_space_alloc(struct sharq_space *s, size_t size,
		      struct sharq_shared *mem)
{
	mem->size = size;
	if (s->group)
		return alloc_in_domain(s, mem);
	mem->cpu = dma_alloc_coherent(s->dev, size, &mem->dma, GFP_KERNEL);
	return mem->cpu ? 0 : -ENOMEM;
}

void sharq_space_unalloc(struct sharq_space *s, struct sharq_shared *mem)
{
	if (!mem->cpu)
		return;
	if (s->group) {
		iommu_unmap(s->domain, mem->dma, PAGE_ALIGN(mem->size));
		free_pages_exact(mem->cpu, mem->size);
	} else {
		dma_free_coherent(s->dev, mem->size, mem->cpu, mem->dma);
	}
	mem->cpu = NULL;
}

int sharq_space_window(struct sharq_space *s, struct sharq_map *map)
{
	if (!s->group)
		return 0;
	return hand_out(s, SHARQ_SLICE_PAGES * PAGE_SIZE, &map->window);
}

/* All in one run, which begins in the window's first page. */
static int map_in_window(struct sharq_space *s, struct sharq_map *map,
			 const struct sharq_buf *buf, u32 at, u32 len)
{
	struct sharq_run *to = &map->runs[0];

	while (len) {
		u64 iova = map->window;
		u32 run = len;
		void *p = sharq_mem_at(buf, at, &run);
		int ret;

		if (to->len)
			iova = to->addr + to->len;
		else
			to->addr = iova + offset_in_page(p);
		ret = map_pages(s, iova, virt_to_phys(p) & PAGE_MASK,
				PAGE_ALIGN(offset_in_page(p) + run), map->dir);
		if (ret)
			return ret;
		map->nr = 1;
		to->len += run;
		at += run;
		len -= run;
	}
	return 0;
}

static int map_runs(struct sharq_space *s, struct sharq_map *map,
		    const struct sharq_buf *buf, u32 at, u32 len)
{
	while (len) {
		struct sharq_run *to = &map->runs[map->nr];
		/* Bounce buffers, where the DMA API uses them, have a limit. */
		u32 run = min_t(size_t, len, dma_max_mapping_size(s->dev));
		void *p = sharq_mem_at(buf, at, &run);

		to->addr = dma_map_single(s->dev, p, run, map->dir);
		if (dma_mapping_error(s->dev, to->addr))
			return -ENOMEM;
		to->len = run;
		map->nr++;
		at += run;
		len -= run;
	}
	return 0;
}

int sharq_space_map(struct sharq_space *s, struct sharq_map *map,
		    const struct sharq_buf *buf, u32 at, u32 len)
{
	int ret;

	map->dir = buf->op.write ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	map->runs[0].len = 0;
	ret = s->group ? map_in_window(s, map, buf, at, len)
		       : map_runs(s, map, buf, at, len);
	if (ret)
		sharq_space_unmap(s, map);
	return ret;
}

/* iommu_unmap() invalidates and waits for it. */
void sharq_space_unmap(struct sharq_space *s, struct sharq_map *map)
{
	const struct sharq_run *first = &map->runs[0];

	if (s->group && map->nr)
		iommu_unmap(s->domain, map->window,
			    PAGE_ALIGN(offset_in_page(first->addr) +
				       (size_t)first->len));
	if (!s->group)
		for (unsigned int i = 0; i < map->nr; i++)
			dma_unmap_single(s->dev, map->runs[i].addr,
					 map->runs[i].len, map->dir);
	map->nr = 0;
}
