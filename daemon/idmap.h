/* SPDX-License-Identifier: MIT */
/*
 * A set of objects by their 64-bit ids, in order of id. Ids mostly grow, so
 * that adding is mostly appending.
 */
#ifndef SHARQD_IDMAP_H
#define SHARQD_IDMAP_H

#include <stddef.h>
#include <stdint.h>

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
void idmap_fini(struct idmap *map);

#endif /* SHARQD_IDMAP_H */
