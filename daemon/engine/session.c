// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

int memory_check(int fd, uint64_t size)
{
	const int want = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & want) != want)
		return -EINVAL;
	if (fstat(fd, &st) || st.st_size < 0 || (uint64_t)st.st_size < size)
		return -EINVAL;
	return 0;
}

int session_new(struct session **sp, uint64_t id, int pidfd, const void *info,
		size_t info_len)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->info = malloc(info_len + 1);
	if (!s->info) {
		free(s);
		return -ENOMEM;
	}
	memcpy(s->info, info, info_len);
	s->info_len = info_len;
	s->id = id;
	s->pidfd = pidfd;
	*sp = s;
	return 0;
}

static void region_release(struct region *r)
{
	munmap(r->map, r->size);
	close(r->fd);
}

struct session *session_free(struct session *s)
{
	if (!s)
		return NULL;
	for (unsigned int i = 0; i < s->region_count; i++)
		region_release(&s->regions[i]);
	if (s->pidfd >= 0)
		close(s->pidfd);
	free(s->info);
	free(s);
	return NULL;
}

int session_add_region(struct session *s, uint64_t id, uint64_t base,
		       uint64_t size, int fd)
{
	struct region *r = &s->regions[s->region_count];
	void *map;

	if (s->region_count == ENGINE_MAX_REGIONS)
		return -ENOSPC;
	if (!size || size > SIZE_MAX || base + size < base ||
	    memory_check(fd, size))
		return -EINVAL;
	map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*r = (struct region){
		.id = id, .base = base, .size = size, .map = map, .fd = fd
	};
	s->region_count++;
	return 0;
}

int session_remove_region(struct session *s, uint64_t id)
{
	for (unsigned int i = 0; i < s->region_count; i++) {
		if (s->regions[i].id != id)
			continue;
		region_release(&s->regions[i]);
		s->regions[i] = s->regions[--s->region_count];
		return 0;
	}
	return -ENOENT;
}

uint8_t *session_resolve(const struct session *s, uint64_t addr, uint32_t len,
			 uint64_t *fault)
{
	*fault = addr;
	for (unsigned int i = 0; i < s->region_count; i++) {
		const struct region *r = &s->regions[i];

		if (addr - r->base >= r->size)
			continue;
		if (len <= r->size - (addr - r->base))
			return r->map + (addr - r->base);
		*fault = r->base + r->size;
		return NULL;
	}
	return NULL;
}
