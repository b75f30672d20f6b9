// SPDX-License-Identifier: GPL-2.0-only
/*
 * For the benchmark: write a number to /sys/kernel/debug/membench, and the
 * kernel's memcpy() copies 1 MiB so often. GAP: as in ../tests/bench.c.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

#define GAP (68 * PAGE_SIZE)

static struct dentry *entry;
static void *from, *to;

static ssize_t membench_write(struct file *file, const char __user *text,
			      size_t size, loff_t *pos)
{
	unsigned int times;
	int ret = kstrtouint_from_user(text, size, 10, &times);

	if (ret)
		return ret;
	while (times--) {
		memcpy(to + GAP, from, SZ_1M);
		cond_resched();
	}
	return size;
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
