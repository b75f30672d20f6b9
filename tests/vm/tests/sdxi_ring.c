// SPDX-License-Identifier: MIT
#include "sdxi_ring.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "sdxi_function.h"

/* Looks for what mostly comes at once, before the processor is given up. */
#define SPINS 1000

/* ---- to have one ---- */

#define DEPTH 64

static int ring_file(uint32_t depth, uint64_t *id)
{
	struct sharq_ctl_create c = queue_request(depth);
	int fd;

	c.device = sdxi_device().id;
	fd = queue_file(&c);
	*id = c.id;
	return fd;
}

int sdxi_ring_file(uint64_t *id)
{
	return ring_file(DEPTH, id);
}

static void *map_at(int fd, size_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)offset);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

static void map(struct sdxi_ring *r)
{
	const struct sharq_bind *b = &r->bind;
	uint8_t *area = map_at(r->fd, b->area_size, b->area_offset);

	r->rings = map_at(r->fd, b->map_size, b->map_offset);
	r->bell = map_at(r->fd, PAGE, b->bell_offset);
	r->entries = b->entries;
	r->area = (void *)area;
	r->status = (void *)r->area->status;
	r->dsc = (void *)(area + SHARQ_SDXI_RING);
	r->block = (void *)(r->dsc + r->entries);
	r->word = (void *)(r->block + r->entries);
	ck_assert((uint8_t *)(r->word + r->entries) <= area + b->area_size);
}

static struct sdxi_ring ring_bound(uint32_t depth)
{
	struct sdxi_ring r = { .bind = queue_bind_request() };
	int e;

	r.fd = ring_file(depth, &r.id);
	r.bind.path = SHARQ_BIND_DIRECT;
	e = queue_bind(r.fd, &r.bind);
	ck_assert_msg(!e, "BIND: %s, reason %u, %s", strerror(-e),
		      r.bind.reason, strerror(-r.bind.reason_errno));
	ck_assert_uint_eq(r.bind.path, SHARQ_BIND_DIRECT);
	ck_assert_uint_eq(r.bind.ring, SHARQ_RING_SDXI);
	ck_assert_uint_eq(r.bind.id, r.id);
	map(&r);
	return r;
}

struct sdxi_ring sdxi_ring_bound(void)
{
	return ring_bound(DEPTH);
}

int sdxi_ring_start(const struct sdxi_ring *r, const void *addr)
{
	struct sharq_start start = { .size = sizeof(start),
				     .addr = (uintptr_t)addr };

	return ioctl(r->fd, SHARQ_START, &start) ? -errno : 0;
}

struct sdxi_ring sdxi_ring_new_deep(uint32_t depth)
{
	struct sdxi_ring r = ring_bound(depth);
	int e = sdxi_ring_start(&r, r.area);

	ck_assert_msg(!e, "START: %s", strerror(-e));
	return r;
}

struct sdxi_ring sdxi_ring_new(void)
{
	return sdxi_ring_new_deep(DEPTH);
}

void sdxi_ring_free(struct sdxi_ring *r)
{
	/* Of one that is dead it fails. */
	ioctl(r->fd, SHARQ_STOP, 0);
	ck_assert(!munmap((void *)r->bell, PAGE));
	ck_assert(!munmap(r->area, r->bind.area_size));
	ck_assert(!munmap(r->rings, r->bind.map_size));
	ck_assert(!close(r->fd));
}

/* ---- descriptors ---- */

static union sdxi_dsc dma(enum sdxi_dma_op op)
{
	union sdxi_dsc d = { 0 };

	d.generic.opcode = htole32(FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA) |
				   FIELD_PREP(SDXI_DSC_SUBTYPE, op));
	return d;
}

union sdxi_dsc sdxi_nop(void)
{
	return dma(SDXI_DMA_NOP);
}

union sdxi_dsc sdxi_copy(const void *dst, const void *src, uint32_t len)
{
	union sdxi_dsc d = dma(SDXI_DMA_COPY);

	d.copy.size = htole32(len - 1);
	d.copy.akey_src = htole16(SHARQ_SDXI_AKEY);
	d.copy.akey_dst = htole16(SHARQ_SDXI_AKEY);
	d.copy.addr_src = htole64((uintptr_t)src);
	d.copy.addr_dst = htole64((uintptr_t)dst);
	return d;
}

/* ---- to use it ---- */

/* No assertion that holds is a system call here, as libcheck's are. */

/* A csb_ptr that is set stays as it is. */
void sdxi_put(struct sdxi_ring *r, union sdxi_dsc dsc)
{
	uint64_t slot = r->next % r->entries;
	union sdxi_dsc *to = &r->dsc[slot];
	struct sdxi_cst_blk *block = &r->block[slot];

	if (r->next - r->taken >= r->entries)
		ck_abort_msg("the ring is full");
	*block = (struct sdxi_cst_blk){ .signal = htole64(1) };
	if (!dsc.generic.csb_ptr)
		dsc.generic.csb_ptr = htole64((uintptr_t)block);
	memcpy(&to->qw[1], &dsc.qw[1], sizeof(dsc) - sizeof(dsc.qw[0]));
	__atomic_store_n(&to->qw[0], dsc.qw[0] | htole64(SDXI_DSC_VL),
			 __ATOMIC_RELEASE);
	r->next++;
}

void sdxi_bell(struct sdxi_ring *r)
{
	__atomic_store_n(&r->area->write_index, r->next, __ATOMIC_RELEASE);
	__atomic_store_n(r->bell, r->next, __ATOMIC_RELEASE);
}

static bool is_done(const struct sdxi_ring *r, uint64_t i)
{
	return !__atomic_load_n(&r->block[i % r->entries].signal,
				__ATOMIC_ACQUIRE);
}

bool sdxi_done(const struct sdxi_ring *r)
{
	return is_done(r, r->taken);
}

static bool is_settled(const struct sdxi_ring *r)
{
	return __atomic_load_n(&r->rings->device_flags, __ATOMIC_ACQUIRE) &
	       SHARQ_DEVICE_SETTLED;
}

void sdxi_wait_settled(const struct sdxi_ring *r)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (!is_settled(r)) {
		ck_assert_msg(now_ms() < end, "the queue isn't settled");
		poll(NULL, 0, 1);
	}
	ck_assert(r->rings->device_flags & SHARQ_DEVICE_DEAD);
}

/* One that failed: once its word has come, or never will. */
static bool word_of(const struct sdxi_ring *r, uint64_t i,
		    enum sharq_status *status)
{
	bool settled = is_settled(r);
	uint64_t word =
		__atomic_load_n(&r->word[i % r->entries], __ATOMIC_ACQUIRE);

	*status = SHARQ_RESET;
	if (word >> 8 != i || !(word & 0x80))
		return settled;
	*status = word & 0x7f;
	ck_assert_msg(*status == SHARQ_FAULT_READ ||
			      *status == SHARQ_FAULT_WRITE ||
			      *status == SHARQ_RESET,
		      "descriptor %lu: the word is %#lx", i, word);
	return true;
}

/*
 * False: not yet. What a dead queue left behind is looked at when it is settled:
 * the first that isn't done may have been begun, of the others those are that have
 * no VL.
 */
static bool outcome(const struct sdxi_ring *r, uint64_t i,
		    enum sharq_status *status)
{
	uint64_t slot = i % r->entries;
	bool settled = is_settled(r);

	*status = SHARQ_OK;
	if (is_done(r, i))
		return !(le32toh(r->block[slot].flags) & SDXI_CST_BLK_ER) ||
		       word_of(r, i, status);
	*status = r->undone && le64toh(r->dsc[slot].qw[0]) & SDXI_DSC_VL
			  ? SHARQ_CANCELED
			  : SHARQ_RESET;
	return settled;
}

enum sharq_status sdxi_take(struct sdxi_ring *r)
{
	enum sharq_status status;
	uint64_t end = 0;

	if (r->taken == r->next)
		ck_abort_msg("nothing is in flight");
	for (unsigned int n = 0; !outcome(r, r->taken, &status); n++) {
		if (n < SPINS)
			continue;
		/* Not sooner: it may be a system call. */
		if (!end)
			end = now_ms() + PATIENCE_MS;
		ck_assert_msg(now_ms() < end,
			      "descriptor %lu isn't done: the context's "
			      "state is %u, its read index %llu",
			      r->taken, r->status->state,
			      r->status->read_index);
		poll(NULL, 0, 1);
	}
	if (!is_done(r, r->taken))
		r->undone = true;
	r->taken++;
	__atomic_store_n(&r->area->taken, r->taken, __ATOMIC_RELEASE);
	return status;
}

enum sharq_status sdxi_run(struct sdxi_ring *r, union sdxi_dsc dsc)
{
	sdxi_put(r, dsc);
	sdxi_bell(r);
	return sdxi_take(r);
}

void sdxi_unreachable(struct sdxi_ring *r, uint64_t addr)
{
	static uint8_t mine[PAGE];
	void *p = (void *)addr;
	enum sharq_status status;

	memset(mine, 0x3c, PAGE);
	status = sdxi_run(r, sdxi_copy(mine, p, 64));
	ck_assert_msg(status == SHARQ_FAULT_READ, "%#lx: read with status %u",
		      addr, status);
	ck_assert(filled_with(mine, 0x3c, PAGE));
	status = sdxi_run(r, sdxi_copy(p, mine, 64));
	ck_assert_msg(status == SHARQ_FAULT_WRITE,
		      "%#lx: written with status %u", addr, status);
}

/* A full barrier follows: the next look at a block comes after it. */
void sdxi_want_event(struct sdxi_ring *r, bool want)
{
	__atomic_store_n(&r->rings->client_flags,
			 want ? SHARQ_CLIENT_WANT_EVENT : 0, __ATOMIC_SEQ_CST);
}

/* ---- its context ---- */

/* After one command the function has written its read index: @index, or not. */
static bool writes_index(struct sdxi_ring *r, uint64_t index)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	uint64_t before = r->next, read;

	ck_assert_uint_eq(sdxi_run(r, sdxi_nop()), SHARQ_OK);
	do {
		ck_assert_msg(now_ms() < end, "no read index is written");
		read = le64toh(__atomic_load_n(&r->status->read_index,
					       __ATOMIC_ACQUIRE));
	} while (read == before);
	return read == index;
}

/* The one that writes a wrong read index when it is told to: harmless to others,
 * for nobody goes by that. */
unsigned int sdxi_context(struct sdxi_ring *r)
{
	struct sharq_ctl_device d = sdxi_device();
	unsigned int last = d.direct_used + d.direct_free + 1;
	const uint64_t wrong = 1ULL << 40;

	for (unsigned int cxt = 2; cxt <= last; cxt++) {
		sdxi_misbehave(cxt, SDXI_TEST_CORRUPT_INDEX, wrong + cxt);
		if (writes_index(r, wrong + cxt))
			return cxt;
	}
	ck_abort_msg("the queue's context isn't found");
}
