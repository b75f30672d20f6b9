// SPDX-License-Identifier: MIT
/* For LD_PRELOAD: a disk that takes its time. */
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd)
{
	sleep(3);
	return fdatasync(fd);
}
