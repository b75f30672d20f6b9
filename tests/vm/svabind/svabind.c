// SPDX-License-Identifier: GPL-2.0-only
/*
 * For tests of the SDXI model with PASIDs, which vfio-pci doesn't give: memory
 * for the function's own tables, and a bond between function and process. A
 * function is given to it by driver_override; one at a time.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "svabind.h"

static struct pci_dev *function;
static void *memory;
static dma_addr_t memory_addr;

static long bind(struct file *file)
{
	struct iommu_sva *bond;

	if (file->private_data)
		return -EBUSY;
#if KERNEL_VERSION(6, 2, 0) > LINUX_VERSION_CODE
	bond = iommu_sva_bind_device(&function->dev, current->mm, NULL);
#else
	bond = iommu_sva_bind_device(&function->dev, current->mm);
#endif
	if (IS_ERR(bond))
		return PTR_ERR(bond);
	file->private_data = bond;
	return iommu_sva_get_pasid(bond);
}

static void unbind(struct file *file)
{
	if (file->private_data)
		iommu_sva_unbind_device(file->private_data);
	file->private_data = NULL;
}

static long svabind_ioctl(struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	switch (cmd) {
	case SVABIND_ADDRESS:
		return put_user((u64)memory_addr, (u64 __user *)arg);
	case SVABIND_BIND:
		return bind(file);
	case SVABIND_UNBIND:
		unbind(file);
		return 0;
	default:
		return -ENOTTY;
	}
}

static int svabind_mmap(struct file *file, struct vm_area_struct *vma)
{
	return dma_mmap_coherent(&function->dev, vma, memory, memory_addr,
				 SVABIND_MEMORY);
}

/* Misc devices store themselves there. */
static int svabind_open(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static int svabind_release(struct inode *inode, struct file *file)
{
	unbind(file);
	return 0;
}

static const struct file_operations svabind_fops = {
	.owner = THIS_MODULE,
	.open = svabind_open,
	.release = svabind_release,
	.unlocked_ioctl = svabind_ioctl,
	.mmap = svabind_mmap,
};

static struct miscdevice svabind_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "svabind",
	.fops = &svabind_fops,
};

static void enable_sva(struct device *dev)
{
#if KERNEL_VERSION(6, 16, 0) > LINUX_VERSION_CODE
	/* Where they are refused, so is the bond. */
	if (!iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF))
		iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_SVA);
#endif
}

static void disable_sva(struct device *dev)
{
#if KERNEL_VERSION(6, 16, 0) > LINUX_VERSION_CODE
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_SVA);
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
#endif
}

static int svabind_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int ret;

	if (function)
		return -EBUSY;
	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	pci_set_master(pdev);
	memory = dmam_alloc_coherent(&pdev->dev, SVABIND_MEMORY, &memory_addr,
				     GFP_KERNEL);
	if (!memory)
		return -ENOMEM;
	enable_sva(&pdev->dev);
	function = pdev;
	ret = misc_register(&svabind_misc);
	if (ret) {
		function = NULL;
		disable_sva(&pdev->dev);
	}
	return ret;
}

/* The test is over, and its file closed. */
static void svabind_remove(struct pci_dev *pdev)
{
	misc_deregister(&svabind_misc);
	disable_sva(&pdev->dev);
	pci_clear_master(pdev);
	function = NULL;
}

static const struct pci_device_id svabind_ids[] = { {} };

static struct pci_driver svabind_driver = {
	.name = "svabind",
	.id_table = svabind_ids,
	.probe = svabind_probe,
	.remove = svabind_remove,
};
module_pci_driver(svabind_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Binds an SDXI function and a process, for tests");
