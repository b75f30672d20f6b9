/* SPDX-License-Identifier: MIT */
#ifndef SVABIND_H
#define SVABIND_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SVABIND_MEMORY 0x200000UL

/* Where the memory that mmap() shows is for the function. */
#define SVABIND_ADDRESS _IOR('s', 1, __u64)
/* Bind the calling process: the result is its PASID. Once for each file. */
#define SVABIND_BIND _IO('s', 2)
#define SVABIND_UNBIND _IO('s', 3)

#endif
