// SPDX-License-Identifier: MIT
#include "idmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t idmap_after(const struct idmap *map, uint64_t id)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (map->entries[mid].id > id)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

void *idmap_find(const struct idmap *map, uint64_t id)
{
	size_t i = idmap_after(map, id);

	if (!i || map->entries[i - 1].id != id)
		return NULL;
	return map->entries[i - 1].object;
}

uint64_t idmap_fresh(const struct idmap *map, uint64_t from)
{
	if (!from || from > ID_MAX)
		from = 1;
	while (idmap_find(map, from))
		from = from < ID_MAX ? from + 1 : 1;
	return from;
}

int idmap_add(struct idmap *map, uint64_t id, void *object)
{
	size_t i = idmap_after(map, id);

	if (i && map->entries[i - 1].id == id)
		return -EEXIST;
	if (map->count == map->room) {
		size_t room = map->room ? map->room * 2 : 16;
		void *p = reallocarray(map->entries, room,
				       sizeof(map->entries[0]));

		if (!p)
			return -ENOMEM;
		map->entries = p;
		map->room = room;
	}
	memmove(map->entries + i + 1, map->entries + i,
		(map->count - i) * sizeof(map->entries[0]));
	map->entries[i] = (struct idmap_entry){ id, object };
	map->count++;
	return 0;
}

void idmap_remove(struct idmap *map, uint64_t id)
{
	size_t i = idmap_after(map, id);

	if (!i || map->entries[i - 1].id != id)
		return;
	map->count--;
	memmove(map->entries + i - 1, map->entries + i,
		(map->count - i + 1) * sizeof(map->entries[0]));
}

void idmap_fini(struct idmap *map)
{
	free(map->entries);
	*map = (struct idmap){ 0 };
}
