// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the tests: write a PCI device's address to /sys/kernel/debug/dmapage, and a
 * page is mapped for its DMA, as a driver of its own would, in the domain that the
 * kernel gives it: until the next write, or the end. Read where, and the page's
 * first word. One asker at a time.
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>

static struct dentry *entry;
/* Held while @page is there. */
static struct device *device;
static u64 *page;
static dma_addr_t address;

static void let_go(void)
{
	if (page)
		dma_free_coherent(device, PAGE_SIZE, page, address);
	page = NULL;
	put_device(device);
	device = NULL;
}

static ssize_t dmapage_write(struct file *file, const char __user *from,
			     size_t size, loff_t *pos)
{
	char *name;

	if (size >= NAME_MAX)
		return -ENAMETOOLONG;
	name = memdup_user_nul(from, size);
	if (IS_ERR(name))
		return PTR_ERR(name);
	let_go();
	device = bus_find_device_by_name(&pci_bus_type, NULL, name);
	kfree(name);
	if (!device)
		return -ENODEV;
	page = dma_alloc_coherent(device, PAGE_SIZE, &address, GFP_KERNEL);
	return page ? size : -ENOMEM;
}

static ssize_t dmapage_read(struct file *file, char __user *to, size_t size,
			    loff_t *pos)
{
	char text[64];
	int n;

	if (!page)
		return -ENODEV;
	n = scnprintf(text, sizeof(text), "%llu %llu\n", (u64)address,
		      READ_ONCE(*page));
	return simple_read_from_buffer(to, size, pos, text, n);
}

static const struct file_operations dmapage_fops = {
	.owner = THIS_MODULE,
	.write = dmapage_write,
	.read = dmapage_read,
};

static int __init dmapage_init(void)
{
	entry = debugfs_create_file("dmapage", 0600, NULL, NULL, &dmapage_fops);
	return PTR_ERR_OR_ZERO(entry);
}
module_init(dmapage_init);

static void __exit dmapage_exit(void)
{
	debugfs_remove(entry);
	let_go();
}
module_exit(dmapage_exit);

MODULE_DESCRIPTION("sharq's tests: a page that a device reaches by DMA");
MODULE_LICENSE("GPL");
