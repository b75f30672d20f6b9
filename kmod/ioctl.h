/* SPDX-License-Identifier: GPL-2.0-only */
/* Structs that begin with their size: see ../proto/sharq_ioctl.h. */
#ifndef SHARQ_KMOD_IOCTL_H
#define SHARQ_KMOD_IOCTL_H

#include <linux/sizes.h>
#include <linux/uaccess.h>

/*
 * Copy @user in; what the caller doesn't know is zero. @size: of the struct; @min:
 * what it had in its first version. Its first __u32 is set to what the caller said
 * when that was read first.
 */
static inline int sharq_arg_get(void *arg, u32 size, u32 min,
				const void __user *user)
{
	u32 user_size;
	int ret;

	if (get_user(user_size, (const u32 __user *)user))
		return -EFAULT;
	if (user_size < min)
		return -EINVAL;
	if (user_size > SZ_4K)
		return -E2BIG;
	ret = copy_struct_from_user(arg, size, user, user_size);
	if (ret)
		return ret;
	*(u32 *)arg = user_size;
	return 0;
}

/* Copy the answer out, as far as the caller knows it. */
static inline int sharq_arg_put(void __user *user, const void *arg, u32 size)
{
	if (copy_to_user(user, arg, min(size, *(const u32 *)arg)))
		return -EFAULT;
	return 0;
}

#endif /* SHARQ_KMOD_IOCTL_H */
