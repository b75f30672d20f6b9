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

static int open_file(const char *path, int flags)
{
	int fd = broker_open(path, flags);

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(-fd));
	return fd;
}

int trace_open(void)
{
	return open_file(TRACING "trace", O_RDONLY);
}

int trace_marker(void)
{
	return open_file(TRACING "trace_marker", O_WRONLY);
}
