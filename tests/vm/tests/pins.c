// SPDX-License-Identifier: MIT
#include "pins.h"

#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "guest.h"

static void set_sysctl(const char *path, const char *value)
{
	int r = broker_write(path, value);

	ck_assert_msg(!r, "%s: %s", path, strerror(-r));
}

/* The number behind @name, in a file of such lines. */
static long value_of(const char *path, const char *name)
{
	size_t len = strlen(name);
	long value, found = -1;
	FILE *f = fopen(path, "r");
	char line[128];

	ck_assert(f);
	while (found < 0 && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) &&
		    sscanf(line + len, "%*[: ]%ld", &value) == 1)
			found = value;
	fclose(f);
	ck_assert_msg(found >= 0, "%s has no %s", path, name);
	return found;
}

/* Each CPU counts for itself until it is told to hand that in. */
long pins_held(void)
{
	const char *vmstat = "/proc/vmstat";

	set_sysctl("/proc/sys/vm/stat_refresh", "1");
	return value_of(vmstat, "nr_foll_pin_acquired") -
	       value_of(vmstat, "nr_foll_pin_released");
}

long meminfo(const char *name)
{
	return value_of("/proc/meminfo", name);
}

long memory_available(void)
{
	set_sysctl("/proc/sys/vm/drop_caches", "3");
	return meminfo("MemAvailable");
}
