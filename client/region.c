// SPDX-License-Identifier: MIT
/*
 * Regions: memory that the engine maps too, and the allocator in it.
 *
 * The allocator is a buddy system in each region. What it knows stands in
 * private memory: the engine, or whoever else might write to a region, can't
 * lead it astray. An allocation too large for the common regions gets one of
 * its own, which goes back to the daemon when it is freed.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ULL
#define UNIT_SHIFT 8 /* smallest block: 256 bytes */
#define MIN_REGION (4ULL << 20)
#define MAX_COMMON (64ULL << 20)
#define MAX_SHARED_ALLOC (16ULL << 20)
#define MAX_ORDERS 24
#define NIL UINT32_MAX

/* Block headers, in private memory, one for each unit. */
#define BLOCK_FREE 0x80
#define BLOCK_USED 0x40
#define BLOCK_ORDER 0x3f

/*
 * What becomes of a region of one allocation.
 * IDLE:     freed, but the daemon couldn't be told: may be taken again
 * LEAVING:  the daemon is being told
 * IN_DOUBT: it was told and didn't answer: it may yet take the region away
 */
enum region_use {
	REGION_IDLE,
	REGION_TAKEN,
	REGION_LEAVING,
	REGION_IN_DOUBT
};

/*
 * @alone: the whole region is one allocation
 * @use:   with @alone (heap_lock)
 * @local: memory of this process alone, which the daemon doesn't know
 * @order: the whole region's
 */
struct region {
	uint64_t id;
	uint8_t *base;
	size_t size;
	bool alone, local;
	enum region_use use;
	unsigned int order;
	uint8_t *block;
	uint32_t *next, *prev;
	uint32_t free[MAX_ORDERS];
};

/*
 * A word of the map is page number << 28 | pages: one load gives both, so that
 * a reader without a lock never sees half of a region that comes or goes.
 */
#define MAP_PAGES_BITS 28

static uint64_t map_word(const struct region *r)
{
	return (uintptr_t)r->base / PAGE << MAP_PAGES_BITS | r->size / PAGE;
}

static bool word_holds(uint64_t word, uint64_t addr, uint32_t len)
{
	uint64_t base = (word >> MAP_PAGES_BITS) * PAGE;
	uint64_t size = (word & ((1ULL << MAP_PAGES_BITS) - 1)) * PAGE;

	return addr - base < size && len <= size - (addr - base);
}

bool region_holds(struct sharq *s, unsigned int *hint, uint64_t addr,
		  uint32_t len)
{
	unsigned int n;

	if (word_holds(
		    atomic_load_explicit(&s->map[*hint], memory_order_relaxed),
		    addr, len))
		return true;
	n = atomic_load_explicit(&s->map_used, memory_order_acquire);
	for (unsigned int i = 0; i < n; i++) {
		if (!word_holds(atomic_load_explicit(&s->map[i],
						     memory_order_relaxed),
				addr, len))
			continue;
		*hint = i;
		return true;
	}
	return false;
}

static struct region *region_free(struct region *r, bool mapped)
{
	if (!r)
		return NULL;
	if (mapped && r->base)
		munmap(r->base, r->size);
	free(r->block);
	free(r->next);
	free(r->prev);
	free(r);
	return NULL;
}

void regions_free(struct sharq *s, bool mapped)
{
	for (unsigned int i = 0; i < MAX_REGIONS; i++)
		s->regions[i] = region_free(s->regions[i], mapped);
}

static void list_push(struct region *r, uint32_t unit, unsigned int order)
{
	r->block[unit] = BLOCK_FREE | order;
	r->prev[unit] = NIL;
	r->next[unit] = r->free[order];
	if (r->free[order] != NIL)
		r->prev[r->free[order]] = unit;
	r->free[order] = unit;
}

static void list_remove(struct region *r, uint32_t unit, unsigned int order)
{
	if (r->prev[unit] != NIL)
		r->next[r->prev[unit]] = r->next[unit];
	else
		r->free[order] = r->next[unit];
	if (r->next[unit] != NIL)
		r->prev[r->next[unit]] = r->prev[unit];
	r->block[unit] = 0;
}

static unsigned int order_of(size_t size)
{
	unsigned int order = 0;

	while ((1ULL << (UNIT_SHIFT + order)) < size)
		order++;
	return order;
}

static void *block_take(struct region *r, unsigned int order)
{
	unsigned int o = order;
	uint32_t unit;

	while (o <= r->order && r->free[o] == NIL)
		o++;
	if (o > r->order)
		return NULL;
	unit = r->free[o];
	list_remove(r, unit, o);
	while (o > order) {
		o--;
		list_push(r, unit + (1U << o), o);
	}
	r->block[unit] = BLOCK_USED | order;
	return r->base + ((size_t)unit << UNIT_SHIFT);
}

static void block_give(struct region *r, uint32_t unit)
{
	unsigned int order = r->block[unit] & BLOCK_ORDER;

	r->block[unit] = 0;
	while (order < r->order) {
		uint32_t buddy = unit ^ (1U << order);

		if (r->block[buddy] != (BLOCK_FREE | order))
			break;
		list_remove(r, buddy, order);
		unit &= ~(1U << order);
		order++;
	}
	list_push(r, unit, order);
}

static int region_tell(struct sharq *s, struct region *r, int *fd)
{
	Sharq__Pb__RegionCreate create = SHARQ__PB__REGION_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg;
	int rc;

	create.address = (uintptr_t)r->base;
	create.size = r->size;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_CREATE;
	req.region_create = &create;
	rc = request(s, &req, 1, fd, &msg);
	if (rc)
		return rc;
	if (msg->reply->body_case != SHARQ__PB__REPLY__BODY_REGION_CREATED) {
		close(*fd);
		rc = fail(s, -EPROTO,
			  "sharqd answered a request for memory "
			  "with something else");
	} else {
		r->id = msg->reply->region_created->region;
	}
	reply_free(msg);
	return rc;
}

static int region_untell(struct sharq *s, uint64_t id)
{
	Sharq__Pb__RegionDestroy destroy = SHARQ__PB__REGION_DESTROY__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg;
	int rc;

	destroy.region = id;
	req.body_case = SHARQ__PB__REQUEST__BODY_REGION_DESTROY;
	req.region_destroy = &destroy;
	rc = request(s, &req, 0, NULL, &msg);
	reply_free(msg);
	/* It wasn't sure of an earlier answer, and it was done. */
	return rc == -ENOENT ? 0 : rc;
}

static int region_map_local(struct sharq *s, struct region *r)
{
	void *at = mmap(NULL, r->size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return fail(s, -ENOMEM, "no memory for %zu bytes", r->size);
	r->base = at;
	if (madvise(at, r->size, MADV_DONTFORK))
		return fail(s, -errno, "can't keep memory from children: %s",
			    strerror(errno));
	return 0;
}

static int region_map(struct sharq *s, struct region *r)
{
	void *at;
	int fd, rc;

	/* The daemon must know the address: take it before asking. */
	at = mmap(NULL, r->size, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return fail(s, -ENOMEM, "no address space for %zu bytes",
			    r->size);
	r->base = at;
	rc = region_tell(s, r, &fd);
	if (rc)
		return rc;
	at = mmap(r->base, r->size, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	if (at == MAP_FAILED || madvise(r->base, r->size, MADV_DONTFORK)) {
		region_untell(s, r->id);
		return fail(s, -ENOMEM, "can't map %zu bytes that sharqd gave",
			    r->size);
	}
	return 0;
}

static int region_new(struct sharq *s, struct region **out, size_t size,
		      bool alone, bool local)
{
	struct region *r = calloc(1, sizeof(*r));
	size_t units = alone ? 0 : size >> UNIT_SHIFT;
	int rc;

	if (!r)
		return fail(s, -ENOMEM, "out of memory");
	r->size = size;
	r->alone = alone;
	r->local = local;
	for (unsigned int i = 0; i < MAX_ORDERS; i++)
		r->free[i] = NIL;
	if (!alone) {
		r->order = order_of(size);
		r->block = calloc(units, 1);
		r->next = calloc(units, sizeof(*r->next));
		r->prev = calloc(units, sizeof(*r->prev));
		if (!r->block || !r->next || !r->prev) {
			region_free(r, true);
			return fail(s, -ENOMEM, "out of memory");
		}
		list_push(r, 0, r->order);
	}
	rc = local ? region_map_local(s, r) : region_map(s, r);
	if (rc)
		r = region_free(r, true);
	*out = r;
	return rc;
}

/* heap_lock held. */
static int region_add(struct sharq *s, struct region *r)
{
	unsigned int i = 0;

	while (i < MAX_REGIONS && s->regions[i])
		i++;
	if (i == MAX_REGIONS)
		return -ENOSPC;
	s->regions[i] = r;
	atomic_store_explicit(&s->map[i], r->local ? 0 : map_word(r),
			      memory_order_relaxed);
	if (i >= atomic_load_explicit(&s->map_used, memory_order_relaxed))
		atomic_store_explicit(&s->map_used, i + 1,
				      memory_order_release);
	return 0;
}

/* heap_lock held. */
static void *take(struct sharq *s, size_t size, bool local)
{
	unsigned int n = atomic_load(&s->map_used);
	unsigned int order = order_of(size);
	void *p = NULL;

	for (unsigned int i = 0; i < n && !p; i++) {
		struct region *r = s->regions[i];

		if (!r || r->local != local)
			continue;
		if (!r->alone && size <= MAX_SHARED_ALLOC) {
			p = block_take(r, order);
		} else if (r->alone && r->use == REGION_IDLE &&
			   size <= r->size && size + PAGE > r->size / 2) {
			/* Not a large one for a small piece. */
			r->use = REGION_TAKEN;
			p = r->base;
		}
	}
	return p;
}

static void *take_locked(struct sharq *s, size_t size, bool local)
{
	void *p;

	pthread_mutex_lock(&s->heap_lock);
	p = take(s, size, local);
	pthread_mutex_unlock(&s->heap_lock);
	return p;
}

/* Common regions double, so that a small client costs little. */
static size_t next_common(struct sharq *s, size_t size)
{
	unsigned int n = atomic_load(&s->map_used);
	size_t want = MIN_REGION << (n < 4 ? n : 4);

	want = want < MAX_COMMON ? want : MAX_COMMON;
	while (want < size)
		want <<= 1;
	return want;
}

/* A new region with room for @size: smaller than we like if a limit says so. */
static int grow_by(struct sharq *s, size_t size, bool local, struct region **r)
{
	size_t want;
	int rc;

	if (size > MAX_SHARED_ALLOC)
		return region_new(s, r, (size + PAGE - 1) & ~(PAGE - 1), true,
				  local);
	want = next_common(s, size);
	do {
		rc = region_new(s, r, want, false, local);
		want >>= 1;
	} while (rc == -EDQUOT && want >= size && want >= MIN_REGION);
	/* Nearly at the limit: a region that has just what is needed. */
	if (rc == -EDQUOT)
		rc = region_new(s, r, (size + PAGE - 1) & ~(PAGE - 1), true,
				local);
	return rc;
}

/*
 * An allocation of its own goes back to the daemon. While the daemon is asked
 * the region is LEAVING, so that nobody else has it; unmapped only after the
 * map's word is gone, so that nothing new at that address is taken for it.
 */
static void give_back(struct sharq *s, struct region *r, unsigned int at,
		      enum region_use before)
{
	int rc = r->local ? 0 : region_untell(s, r->id);

	pthread_mutex_lock(&s->heap_lock);
	if (!rc) {
		atomic_store_explicit(&s->map[at], 0, memory_order_relaxed);
		s->regions[at] = NULL;
	} else if (rc == -ENOTCONN && before == REGION_TAKEN) {
		r->use = REGION_IDLE;
	} else {
		r->use = REGION_IN_DOUBT;
	}
	pthread_mutex_unlock(&s->heap_lock);
	if (!rc)
		region_free(r, true);
}

/* Ask again for those that are in doubt. */
static void settle_doubts(struct sharq *s)
{
	unsigned int n = atomic_load(&s->map_used);

	for (unsigned int i = 0; i < n; i++) {
		struct region *r;

		pthread_mutex_lock(&s->heap_lock);
		r = s->regions[i];
		if (r && r->use == REGION_IN_DOUBT)
			r->use = REGION_LEAVING;
		else
			r = NULL;
		pthread_mutex_unlock(&s->heap_lock);
		if (r)
			give_back(s, r, i, REGION_IN_DOUBT);
	}
}

/* Memory from a new region. grow_lock held. */
static void *grow_take(struct sharq *s, size_t size, bool local)
{
	struct region *r = NULL;
	void *p = NULL;
	int rc;

	settle_doubts(s);
	if (grow_by(s, size, local, &r))
		return NULL;
	pthread_mutex_lock(&s->heap_lock);
	rc = region_add(s, r);
	if (!rc)
		p = take(s, size, local);
	pthread_mutex_unlock(&s->heap_lock);
	if (rc) {
		if (!local)
			region_untell(s, r->id);
		region_free(r, true);
		fail(s, rc,
		     "this connection has %d regions already, the most "
		     "that it can have",
		     MAX_REGIONS);
	}
	return p;
}

void *heap_alloc(struct sharq *s, size_t size, bool grow, bool local)
{
	void *p;

	if (!size)
		size = 1;
	if ((uint64_t)size >> 40)
		return NULL;
	p = take_locked(s, size, local);
	if (p || !grow)
		return p;
	pthread_mutex_lock(&s->grow_lock);
	/* Another thread may have brought what we need. */
	p = take_locked(s, size, local);
	if (!p)
		p = grow_take(s, size, local);
	pthread_mutex_unlock(&s->grow_lock);
	return p;
}

static struct region *find(struct sharq *s, const uint8_t *p, unsigned int *at)
{
	unsigned int n = atomic_load(&s->map_used);

	for (unsigned int i = 0; i < n; i++) {
		struct region *r = s->regions[i];

		if (r && p >= r->base && p < r->base + r->size) {
			*at = i;
			return r;
		}
	}
	return NULL;
}

void heap_free(struct sharq *s, void *p)
{
	struct region *r;
	unsigned int at;
	uint32_t unit;
	bool alone = false;

	pthread_mutex_lock(&s->heap_lock);
	r = find(s, p, &at);
	if (r && r->alone) {
		alone = r->use == REGION_TAKEN && p == r->base;
		if (alone)
			r->use = REGION_LEAVING;
	} else if (r) {
		unit = (uint32_t)(((uint8_t *)p - r->base) >> UNIT_SHIFT);
		/* What was never given, or is freed already, is left alone. */
		if (r->block[unit] & BLOCK_USED)
			block_give(r, unit);
	}
	pthread_mutex_unlock(&s->heap_lock);
	if (alone)
		give_back(s, r, at, REGION_TAKEN);
}

void *sharq_alloc(struct sharq *s, size_t size)
{
	const unsigned int module = 1U << SHARQ_PATH_DIRECT |
				    1U << SHARQ_PATH_SHADOW;
	unsigned int paths;
	bool local;

	/* Rounding it up shall not wrap. */
	if (!guarded(s) || size > PTRDIFF_MAX - PAGE)
		return NULL;
	if (!s->path)
		return aligned_alloc(size < PAGE ? 64 : PAGE,
				     size ? (size + PAGE - 1) & ~(PAGE - 1)
					  : 64);
	/* Where the kernel serves, it reaches any memory of ours. */
	paths = atomic_load(&s->paths);
	local = paths && !(paths & ~module);
	return heap_alloc(s, size, true, local);
}

void sharq_free(struct sharq *s, void *p)
{
	if (!p || !guarded(s))
		return;
	if (!s->path)
		free(p);
	else
		heap_free(s, p);
}
