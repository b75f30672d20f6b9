// SPDX-License-Identifier: MIT
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

int fail_nth_end(void)
{
	char text[16] = "";

	if (pread(file, text, sizeof(text) - 1, 0) <= 0 ||
	    pwrite(file, "0", 1, 0) != 1) {
		perror(FAIL_NTH);
		abort();
	}
	close(file);
	file = -1;
	return atoi(text) == 0;
}
