// SPDX-License-Identifier: MIT
#include "device.h"

#include <errno.h>
#include <stdio.h>

#include "sharq.pb-c.h"
#include "sharq_abi.h"

#define ANY SHARQ__PB__PATH__PATH_ANY
#define DIRECT SHARQ__PB__PATH__PATH_DIRECT
#define EMBEDDED SHARQ__PB__PATH__PATH_EMBEDDED

static bool has_path(const struct device *d, uint32_t path)
{
	return d->paths & 1U << path;
}

static bool serves(const struct device *d, uint32_t device, uint32_t ops)
{
	return (!device || d->id == device) && !(ops & ~d->ops);
}

/* The best path of @d that fits @wanted, ANY if none. */
static uint32_t best_path(const struct device *d, uint32_t wanted)
{
	for (uint32_t path = DIRECT; path <= EMBEDDED; path++) {
		if (!has_path(d, path) || (wanted != ANY && wanted != path) ||
		    (path == DIRECT && !d->direct_free))
			continue;
		return path;
	}
	return ANY;
}

/*
 * The lower the better. Who names no operations may want any: a device that lacks
 * some comes behind all that don't.
 */
static uint32_t rank(const struct device *d, uint32_t path, uint32_t ops)
{
	return path + (!ops && ~d->ops & SHARQ_OPS_ALL ? EMBEDDED : 0);
}

static int no_device(const struct device *list, unsigned int n, uint32_t device,
		     uint32_t ops, char *err, size_t size)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!device || list[i].id != device)
			continue;
		snprintf(err, size,
			 "device %u (%s) has the operations 0x%x, not all of "
			 "0x%x",
			 device, list[i].name, list[i].ops, ops);
		return -ENODEV;
	}
	if (device)
		snprintf(err, size,
			 "there is no device %u, 'sharqctl devices' lists them",
			 device);
	else if (n)
		snprintf(err, size, "no device has all of the operations 0x%x",
			 ops);
	else
		snprintf(err, size, "there is no device");
	return -ENODEV;
}

/* @d has what was asked for, but not the path. */
static int no_path(const struct device *d, uint32_t path, char *err,
		   size_t size)
{
	static const char *const names[] = { "any", "direct", "shadow",
					     "embedded" };

	if (path == ANY || has_path(d, path)) {
		snprintf(err, size, "every hardware queue of %s is taken",
			 d->name);
		return -EBUSY;
	}
	snprintf(err, size, "there is no %s path to %s%s%s", names[path],
		 d->name, path < EMBEDDED && d->note ? ": " : "",
		 path < EMBEDDED && d->note ? d->note : "");
	return -EOPNOTSUPP;
}

int device_choose(const struct device *list, unsigned int n, uint32_t device,
		  uint32_t ops, uint32_t *path, char *err, size_t size)
{
	const struct device *near = NULL;
	uint32_t best = UINT32_MAX, wanted = *path;
	int chosen = -1;

	if (*path > EMBEDDED) {
		snprintf(err, size,
			 "path is %u, expected 0 (any) to 3 (embedded)", *path);
		return -EINVAL;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint32_t p;

		if (!serves(&list[i], device, ops))
			continue;
		/* One that has the path, if it is taken, says more than one
		 * that hasn't. */
		if (!near ||
		    (!has_path(near, wanted) && has_path(&list[i], wanted)))
			near = &list[i];
		p = best_path(&list[i], wanted);
		if (p == ANY || rank(&list[i], p, ops) >= best)
			continue;
		best = rank(&list[i], p, ops);
		*path = p;
		chosen = (int)i;
	}
	if (!near)
		return no_device(list, n, device, ops, err, size);
	if (chosen < 0)
		return no_path(near, wanted, err, size);
	return chosen;
}
