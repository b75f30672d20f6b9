// SPDX-License-Identifier: MIT
#include "options.h"

#include <inttypes.h>
#include <string.h>

#include "ctl.h"
#include "sharq.h"

int option_number(const char *command, const char *option, const char *text,
		  uint64_t min, uint64_t max, uint64_t *value)
{
	if (ctl_parse_size(text, value) || *value < min || *value > max)
		return ctl_usage(command,
				 "--%s is '%s', expected %" PRIu64
				 " to %" PRIu64,
				 option, text, min, max);
	return 0;
}

int option_u32(const char *command, const char *option, const char *text,
	       uint32_t min, uint32_t max, uint32_t *value)
{
	uint64_t v;
	int ret = option_number(command, option, text, min, max, &v);

	if (!ret)
		*value = v;
	return ret;
}

int option_depth(const char *command, const char *text, uint32_t *depth)
{
	uint64_t v;

	if (ctl_parse_size(text, &v) || v < SHARQ_MIN_DEPTH ||
	    v > SHARQ_MAX_DEPTH || v & (v - 1))
		return ctl_usage(command,
				 "--depth is '%s', expected a power of two "
				 "from %d to %d",
				 text, SHARQ_MIN_DEPTH, SHARQ_MAX_DEPTH);
	*depth = v;
	return 0;
}

/* Where @text stands in @names, or -1. */
static int find(const char *text, const char *const *names, int n)
{
	int i;

	for (i = n - 1; i >= 0; i--)
		if (!strcmp(text, names[i]))
			break;
	return i;
}

int option_path(const char *command, const char *text, uint32_t *path)
{
	static const char *const names[] = { "any", "direct", "shadow",
					     "embedded", "inline" };
	int i = find(text, names, sizeof(names) / sizeof(names[0]));

	if (i < 0)
		return ctl_usage(command,
				 "--path is '%s', expected any, direct, "
				 "shadow, embedded or inline",
				 text);
	*path = i;
	return 0;
}

int option_format(const char *command, const char *text, unsigned int *format)
{
	static const char *const names[SHARQ_FORMAT_COUNT] = { "raw", "zlib",
							       "gzip" };
	int i = find(text, names, SHARQ_FORMAT_COUNT);

	if (i < 0)
		return ctl_usage(command,
				 "--format is '%s', expected gzip, zlib or raw",
				 text);
	*format = i;
	return 0;
}
