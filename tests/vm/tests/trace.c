// SPDX-License-Identifier: MIT
#include "trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "guest.h"

#define TRACING "/sys/kernel/tracing/"

void trace_write(const char *file, const char *text)
{
	char path[128];
	int r;

	snprintf(path, sizeof(path), TRACING "%s", file);
	r = broker_write(path, text);
	ck_assert_msg(!r, "%s: %s", path, strerror(-r));
}

int trace_open(void)
{
	int fd = broker_open(TRACING "trace", O_RDONLY);

	ck_assert_msg(fd >= 0, "trace: %s", strerror(-fd));
	return fd;
}
