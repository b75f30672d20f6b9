/* SPDX-License-Identifier: MIT */
/*
 * A set of objects by their 64-bit ids, in order of id. Ids mostly grow, so
 * that adding is mostly appending.
 */
#ifndef SHARQD_IDMAP_H
#define SHARQD_IDMAP_H

#include <stddef.h>
#include <stdint.h>

/* The largest id of a session, a region, a queue: what a queue of the module
 * remembers them by has so many bits. */
#define ID_MAX ((UINT64_C(1) << 48) - 1)

struct idmap_entry {
	uint64_t id;
	void *object;
};

struct idmap {
	struct idmap_entry *entries;
	size_t count;
	size_t room;
};

/* Return: 0, -EEXIST or -ENOMEM. The object stays the caller's. */
int idmap_add(struct idmap *map, uint64_t id, void *object);
void idmap_remove(struct idmap *map, uint64_t id);
/* Return: the object or NULL. */
void *idmap_find(const struct idmap *map, uint64_t id);
/* Return: the index of the first entry with an id > @id; count if none. */
size_t idmap_after(const struct idmap *map, uint64_t id);
/*
 * An id from 1 to ID_MAX that isn't in the map, the first from @from on, which may
 * be anything: it comes from who was adopted, and that may be in its user's hands.
 */
uint64_t idmap_fresh(const struct idmap *map, uint64_t from);
void idmap_fini(struct idmap *map);

#endif /* SHARQD_IDMAP_H */
