// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the tests: write a file's path to /sys/kernel/debug/pincheck, read how
 * many of its cached pages may be pinned. One asker at a time.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static struct dentry *entry;
static unsigned int cached, pinned;

static void count(struct address_space *mapping)
{
	pgoff_t end = DIV_ROUND_UP(i_size_read(mapping->host), PAGE_SIZE);
	struct page *page;

	cached = 0;
	pinned = 0;
	for (pgoff_t i = 0; i < end; i++) {
		page = find_get_page(mapping, i);
		if (!page)
			continue;
		cached++;
		pinned += folio_maybe_dma_pinned(page_folio(page));
		put_page(page);
		cond_resched();
	}
}

static ssize_t pincheck_write(struct file *file, const char __user *from,
			      size_t size, loff_t *pos)
{
	struct file *subject;
	char *path;

	if (size >= PATH_MAX)
		return -ENAMETOOLONG;
	path = memdup_user_nul(from, size);
	if (IS_ERR(path))
		return PTR_ERR(path);
	subject = filp_open(path, O_RDONLY, 0);
	kfree(path);
	if (IS_ERR(subject))
		return PTR_ERR(subject);
	count(subject->f_mapping);
	filp_close(subject, NULL);
	/* The answer is read from its beginning. */
	*pos = 0;
	return size;
}

static ssize_t pincheck_read(struct file *file, char __user *to, size_t size,
			     loff_t *pos)
{
	char text[64];
	int n = scnprintf(text, sizeof(text), "cached %u pinned %u\n", cached,
			  pinned);

	return simple_read_from_buffer(to, size, pos, text, n);
}

static const struct file_operations pincheck_fops = {
	.owner = THIS_MODULE,
	.write = pincheck_write,
	.read = pincheck_read,
};

static int __init pincheck_init(void)
{
	entry = debugfs_create_file("pincheck", 0600, NULL, NULL,
				    &pincheck_fops);
	return PTR_ERR_OR_ZERO(entry);
}
module_init(pincheck_init);

static void __exit pincheck_exit(void)
{
	debugfs_remove(entry);
}
module_exit(pincheck_exit);

MODULE_DESCRIPTION("sharq's tests: which cached pages of a file are pinned");
MODULE_LICENSE("GPL");
