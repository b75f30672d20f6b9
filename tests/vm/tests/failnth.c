// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "failnth.h"

#define FAIL_NTH "/proc/thread-self/fail-nth"

static int file = -1;

int fail_nth_available(void)
{
	return !access(FAIL_NTH, F_OK);
}

/* What the kernel allocates for opening comes before, not into the count. */
void fail_nth_begin(unsigned int nth)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", nth);

	file = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (file < 0 || pwrite(file, text, (size_t)n, 0) != n) {
		perror(FAIL_NTH);
		abort();
	}
}

/*
 * Reading and writing the file copy from and to user space, which counts: when
 * that is the nth, the caller's work had fewer.
 */
int fail_nth_end(void)
{
	char text[16] = "";
	int happened = pread(file, text, sizeof(text) - 1, 0) > 0 &&
		       atoi(text) == 0;

	while (pwrite(file, "0", 1, 0) != 1)
		if (errno != EFAULT) {
			perror(FAIL_NTH);
			abort();
		}
	close(file);
	file = -1;
	return happened;
}
