// SPDX-License-Identifier: GPL-2.0-only
/* SDXI functions on PCI. */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci-ats.h>
#include <linux/slab.h>

#include "sdxi.h"

/* What else a function may have isn't the standard's. */
#define BARS (BIT(SDXI_BAR_REGS) | BIT(SDXI_BAR_DOORBELLS))

static void __iomem *map_bar(struct pci_dev *pdev, int bar, resource_size_t min)
{
	if (pci_resource_len(pdev, bar) < min)
		return NULL;
	return pci_iomap(pdev, bar, 0);
}

static int map_bars(struct sdxi *s)
{
	struct pci_dev *pdev = s->pdev;
	u64 cap0;

	s->regs = map_bar(pdev, SDXI_BAR_REGS, SDXI_REG_ERR_RD + sizeof(u64));
	if (!s->regs)
		return -ENODEV;
	cap0 = readq(s->regs + SDXI_REG_CAP0);
	s->doorbells =
		map_bar(pdev, SDXI_BAR_DOORBELLS,
			(SDXI_CXT_SHADOW + 1) * sdxi_doorbell_stride(cap0));
	if (s->doorbells)
		return 0;
	pci_iounmap(pdev, s->regs);
	return -ENODEV;
}

static void unmap_bars(struct sdxi *s)
{
	pci_iounmap(s->pdev, s->doorbells);
	pci_iounmap(s->pdev, s->regs);
}

static int enable(struct sdxi *s)
{
	struct pci_dev *pdev = s->pdev;
	int ret = pci_enable_device(pdev);

	if (ret)
		return ret;
	ret = pci_request_selected_regions(pdev, BARS, "sharq");
	if (ret)
		goto err_enable;
	ret = map_bars(s);
	if (ret)
		goto err_regions;
	ret = pci_alloc_irq_vectors(pdev, SDXI_VECTORS, SDXI_VECTORS,
				    PCI_IRQ_MSIX | PCI_IRQ_MSI);
	if (ret < 0)
		goto err_map;
	return 0;

err_map:
	unmap_bars(s);
err_regions:
	pci_release_selected_regions(pdev, BARS);
err_enable:
	pci_disable_device(pdev);
	return ret;
}

static void disable(struct sdxi *s)
{
	pci_free_irq_vectors(s->pdev);
	unmap_bars(s);
	pci_release_selected_regions(s->pdev, BARS);
	pci_disable_device(s->pdev);
}

/* What it did before anybody asked it to ends before it may master the bus. */
static int start(struct sdxi *s)
{
	int ret = sdxi_fn_stop(s);

	if (ret)
		return ret;
	pci_set_master(s->pdev);
	ret = sdxi_fn_start(s);
	if (ret)
		goto err_master;
	ret = sdxi_direct_offer(s);
	if (ret)
		goto err_master;
	ret = sdxi_shadow_start(s);
	if (!ret)
		return 0;
err_master:
	sdxi_fn_stop(s);
	pci_clear_master(s->pdev);
	return ret;
}

static void stop(struct sdxi *s)
{
	int ret;

	sdxi_shadow_stop(s);
	ret = sdxi_fn_stop(s);
	if (ret)
		pci_warn(s->pdev, "goes on: %pe\n", ERR_PTR(ret));
	pci_clear_master(s->pdev);
	/* The thread may have asked for it. */
	cancel_work_sync(&s->burial);
}

/* In the work item, so that it is done once, whoever wants it first. */
static void bury(struct work_struct *work)
{
	struct sdxi *s = container_of(work, struct sdxi, burial);

	/* Pairs with probe(): then the device is registered. */
	if (!smp_load_acquire(&s->registered))
		return;
	s->registered = false;
	sharq_device_unregister(&s->dev);
}

static void describe(struct sdxi *s)
{
	struct sharq_ctl_dma *dma = &s->dev.dma;
	struct pci_dev *pdev = s->pdev;

	sharq_space_describe(s->space, dma);
	dma->pasids = max(pci_max_pasids(pdev), 0);
	if (pci_ats_supported(pdev))
		dma->flags |= SHARQ_DMA_ATS;
	if (pci_pri_supported(pdev))
		dma->flags |= SHARQ_DMA_PRI;
}

static int bring_up(struct sdxi *s)
{
	int ret = sharq_space_new(&s->pdev->dev, &s->space);

	if (ret)
		return ret;
	ret = enable(s);
	if (ret)
		goto err_space;
	ret = sharq_space_attach(s->space);
	if (ret)
		goto err_enable;
	describe(s);
	ret = sdxi_fn_init(s);
	if (ret)
		goto err_attach;
	ret = sdxi_shadow_init(s);
	if (ret)
		goto err_fn;
	sdxi_direct_init(s);
	ret = start(s);
	if (!ret)
		return 0;
	sdxi_direct_exit(s);
	sdxi_shadow_exit(s);
err_fn:
	sdxi_fn_exit(s);
err_attach:
	sharq_space_detach(s->space);
err_enable:
	disable(s);
err_space:
	sharq_space_free(s->space);
	return ret;
}

static void take_down(struct sdxi *s)
{
	stop(s);
	sdxi_direct_exit(s);
	sdxi_shadow_exit(s);
	sdxi_fn_exit(s);
	sharq_space_detach(s->space);
	disable(s);
	sharq_space_free(s->space);
}

static int sdxi_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct sdxi *s = kzalloc(sizeof(*s), GFP_KERNEL);
	int ret;

	if (!s)
		return -ENOMEM;
	/* What ends a queue late may have something to log. */
	s->pdev = pci_dev_get(pdev);
	INIT_WORK(&s->burial, bury);
	ret = bring_up(s);
	if (ret)
		goto err_free;
	ret = sharq_device_register(&s->dev);
	if (ret)
		goto err_up;
	/* Ours until remove(): queues may outlive that, or all end before. */
	kref_get(&s->dev.refs);
	pci_set_drvdata(pdev, s);
	/* From here on the work item has something to do; who dies looks, too. */
	smp_store_mb(s->registered, true);
	if (READ_ONCE(s->dead))
		schedule_work(&s->burial);
	pci_info(pdev, "serves as %s, %u slices at once\n", s->dev.name,
		 s->dev.slots);
	return 0;

err_up:
	take_down(s);
err_free:
	pci_dev_put(pdev);
	kfree(s);
	return ret;
}

static void sdxi_remove(struct pci_dev *pdev)
{
	struct sdxi *s = pci_get_drvdata(pdev);

	schedule_work(&s->burial);
	flush_work(&s->burial);
	take_down(s);
	sharq_device_put(&s->dev);
}

static const struct pci_device_id sdxi_ids[] = {
	{ PCI_DEVICE_CLASS(SDXI_PCI_CLASS, 0xffffff) }, {}
};
MODULE_DEVICE_TABLE(pci, sdxi_ids);

/* Behind an IOMMU the group is claimed: see iommu.c. */
static struct pci_driver sdxi_driver = {
	.name = "sharq-sdxi",
	.id_table = sdxi_ids,
	.probe = sdxi_probe,
	.remove = sdxi_remove,
	.driver_managed_dma = true,
};

int sharq_sdxi_init(void)
{
	return pci_register_driver(&sdxi_driver);
}

void sharq_sdxi_exit(void)
{
	pci_unregister_driver(&sdxi_driver);
}
