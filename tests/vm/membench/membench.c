// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the benchmark: write a number to /sys/kernel/debug/membench, and the
 * kernel's memcpy() copies 1 MiB so often: of memory that lies together, GAP as in
 * ../tests/bench.c; or, with two addresses behind the number, to the first of them
 * from the second, whose pages are pinned once for that.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define GAP (68 * PAGE_SIZE)
#define PAGES (SZ_1M / PAGE_SIZE)

static struct dentry *entry;
static void *from, *to;

static void copy_together(unsigned int times)
{
	while (times--) {
		memcpy(to + GAP, from, SZ_1M);
		cond_resched();
	}
}

static int pin(unsigned long addr, unsigned int flags, struct page **pages)
{
	int n = pin_user_pages_fast(addr, PAGES, flags, pages);

	if (n > 0 && n < PAGES)
		unpin_user_pages(pages, n);
	return n == PAGES ? 0 : -EFAULT;
}

static int copy_pages(unsigned int times, unsigned long dst, unsigned long src)
{
	static struct page *dsts[PAGES], *srcs[PAGES];
	int ret = pin(src, 0, srcs);

	if (ret)
		return ret;
	ret = pin(dst, FOLL_WRITE, dsts);
	if (ret)
		goto unpin;
	while (times--) {
		for (unsigned int i = 0; i < PAGES; i++)
			memcpy(page_address(dsts[i]), page_address(srcs[i]),
			       PAGE_SIZE);
		cond_resched();
	}
	unpin_user_pages_dirty_lock(dsts, PAGES, true);
unpin:
	unpin_user_pages(srcs, PAGES);
	return ret;
}

/* One writer at a time. */
static ssize_t membench_write(struct file *file, const char __user *from_user,
			      size_t size, loff_t *pos)
{
	unsigned long dst, src;
	unsigned int times;
	char text[80] = {};
	int n, ret = 0;

	if (size >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from_user, size))
		return -EFAULT;
	n = sscanf(text, "%u %lu %lu", &times, &dst, &src);
	if (n == 1)
		copy_together(times);
	else
		ret = n == 3 ? copy_pages(times, dst, src) : -EINVAL;
	return ret ? ret : size;
}

static const struct file_operations membench_fops = {
	.owner = THIS_MODULE,
	.write = membench_write,
};

static int __init membench_init(void)
{
	int ret = -ENOMEM;

	from = kzalloc(SZ_1M, GFP_KERNEL);
	to = kzalloc(SZ_1M + GAP, GFP_KERNEL);
	if (!from || !to)
		goto err;
	entry = debugfs_create_file("membench", 0600, NULL, NULL,
				    &membench_fops);
	ret = PTR_ERR_OR_ZERO(entry);
	if (!ret)
		return 0;
err:
	kfree(to);
	kfree(from);
	return ret;
}
module_init(membench_init);

static void __exit membench_exit(void)
{
	debugfs_remove(entry);
	kfree(to);
	kfree(from);
}
module_exit(membench_exit);

MODULE_DESCRIPTION("sharq's benchmark: the kernel's memcpy()");
MODULE_LICENSE("GPL");
