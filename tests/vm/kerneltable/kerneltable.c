// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the tests: a page table of the kernel's own that is freed, and whose page is
 * used anew. Load it, read an address of the kernel's from
 * /sys/kernel/debug/kerneltable, which that page table maps. Write a page frame's
 * number, and the page table is freed by the kernel itself; then its page is
 * allocated, and full of entries with which a client could reach that frame. It
 * stays so until the module is unloaded. Nobody ever touches what is mapped.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pgtable.h>
#include <linux/vmalloc.h>

/* Far above the guest's memory. */
#define NOWHERE BIT_ULL(38)
/* What is looked through for one page, and how often. */
#define PAGES_MAX 4096
#define TRIES_MAX 100
#define MAPPINGS_MAX 64

static struct dentry *entry;
/* Of PMD_SIZE: by a page table; later by an entry for all of it. */
static void __iomem *mapping;
static struct page *table;
/* The table's page, ours. */
static struct page *anew;

static unsigned int level_of(const void __iomem *p)
{
	unsigned int level = 0;
	pte_t *pte = lookup_address((unsigned long)p, &level);

	if (pte && level == PG_LEVEL_4K)
		table = virt_to_page(pte);
	return level;
}

/* What is no huge page's address is mapped by a page table. */
static int make_table(void)
{
	mapping = ioremap(NOWHERE + PAGE_SIZE, PMD_SIZE);
	if (!mapping)
		return -ENOMEM;
	return level_of(mapping) == PG_LEVEL_4K ? 0 : -EIO;
}

/* A huge page in the place of what was mapped by it: the kernel frees it then. */
static int free_table(void)
{
	void __iomem *others[MAPPINGS_MAX];
	const void __iomem *was = mapping;
	unsigned int n = 0;
	int ret = -EBUSY;

	iounmap(mapping);
	mapping = NULL;
	vm_unmap_aliases();
	while (n < MAPPINGS_MAX) {
		void __iomem *p =
			ioremap(NOWHERE + (n + 1) * PMD_SIZE, PMD_SIZE);

		if (p == was) {
			mapping = p;
			ret = 0;
			break;
		}
		if (!p)
			break;
		others[n++] = p;
	}
	while (n)
		iounmap(others[--n]);
	if (!ret && level_of(mapping) != PG_LEVEL_2M)
		ret = -EIO;
	return ret;
}

/* Is it among all that can be had? It comes from a work item of the kernel's. */
static bool find_page(const struct page *wanted)
{
	struct page *page, *next;
	LIST_HEAD(pages);

	for (unsigned int i = 0; i < PAGES_MAX && !anew; i++) {
		page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
		if (!page)
			break;
		if (page == wanted)
			anew = page;
		else
			list_add(&page->lru, &pages);
	}
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
	return anew;
}

static int use_anew(unsigned long frame)
{
	const u64 value = (u64)frame << PAGE_SHIFT | _PAGE_PRESENT | _PAGE_RW |
			  _PAGE_USER | _PAGE_ACCESSED | _PAGE_DIRTY;
	unsigned int tries = 0;
	u64 *entries;

	while (!find_page(table)) {
		if (++tries == TRIES_MAX)
			return -ETIMEDOUT;
		msleep(20);
	}
	entries = page_address(anew);
	for (unsigned int i = 0; i < PTRS_PER_PTE; i++)
		WRITE_ONCE(entries[i], value);
	return 0;
}

static ssize_t kerneltable_write(struct file *file, const char __user *from,
				 size_t size, loff_t *pos)
{
	unsigned long frame;
	int ret = kstrtoul_from_user(from, size, 0, &frame);

	if (ret)
		return ret;
	if (anew || !mapping)
		return -EBUSY;
	ret = free_table();
	if (!ret)
		ret = use_anew(frame);
	return ret ? ret : size;
}

static ssize_t kerneltable_read(struct file *file, char __user *to, size_t size,
				loff_t *pos)
{
	char text[32];
	int n = scnprintf(text, sizeof(text), "%lu\n", (unsigned long)mapping);

	return simple_read_from_buffer(to, size, pos, text, n);
}

static const struct file_operations kerneltable_fops = {
	.owner = THIS_MODULE,
	.write = kerneltable_write,
	.read = kerneltable_read,
};

static void let_go(void)
{
	if (mapping)
		iounmap(mapping);
	if (anew)
		__free_page(anew);
}

static int __init kerneltable_init(void)
{
	int ret = make_table();

	if (!ret) {
		entry = debugfs_create_file("kerneltable", 0600, NULL, NULL,
					    &kerneltable_fops);
		ret = PTR_ERR_OR_ZERO(entry);
	}
	if (ret)
		let_go();
	return ret;
}
module_init(kerneltable_init);

static void __exit kerneltable_exit(void)
{
	debugfs_remove(entry);
	let_go();
}
module_exit(kerneltable_exit);

MODULE_DESCRIPTION("sharq's tests: a page table of the kernel's, used anew");
MODULE_LICENSE("GPL");
