// SPDX-License-Identifier: MIT
#include "client.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* In kernels since 5.14, and in later headers of C libraries. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

int sharq_prefetch(struct sharq *s, const void *p, size_t len, bool write)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)p & ~(page - 1);
	uintptr_t end = (uintptr_t)p + len;
	int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;

	if (!guarded(s))
		return -EPERM;
	if (!len)
		return 0;
	if (end < (uintptr_t)p)
		return fail(s, -ENOMEM,
			    "memory to prefetch ends beyond the "
			    "last address");
	if (!madvise((void *)first, end - first, advice))
		return 0;
	return fail(s, -errno, "can't prefetch memory to be %s: %s",
		    write ? "written" : "read", strerror(errno));
}
