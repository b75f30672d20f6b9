// SPDX-License-Identifier: MIT
/* For LD_PRELOAD: a disk that has written only once there is a file "written". */
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd)
{
	int i;

	for (i = 0; i < 6000 && access("written", F_OK); i++)
		usleep(10000);
	return fdatasync(fd);
}
