// SPDX-License-Identifier: MIT
#include "trace.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

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

const char *trace_text(void)
{
	static char text[256 * KIB];
	int fd = trace_open();
	size_t n = 0;
	ssize_t r;

	while ((r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	close(fd);
	text[n] = 0;
	return text;
}

int trace_marker(void)
{
	return open_file(TRACING "trace_marker", O_WRONLY);
}
