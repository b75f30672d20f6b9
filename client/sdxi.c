// SPDX-License-Identifier: MIT
/*
 * An SDXI context as a queue's device. A context knows NOP and COPY, no chains,
 * and no copy onto itself; the rest of what a device owes is done here, by the
 * client: commands are taken from the SQ, checked, written as the standard's
 * descriptors, and their completion blocks become completions, in order.
 *
 * What the context can't do, or needn't, is a NOP that ends with a status of ours.
 *
 * Held back. What follows a LINK, and each step of a copy onto itself, which goes
 * through a buffer piece by piece, is put once all that stands before has ended.
 */
#include "sdxi.h"

#include <errno.h>
#include <stdlib.h>

#include "ring.h"
#include "sdxi_hw.h"
#include "sharq_ioctl.h"

/* Of the buffer for copies onto themselves. */
#define BUFFER_SIZE (256U << 10)

/*
 * struct slot - what a descriptor in the context's ring stands for
 * @status: that the command has when the descriptor went well
 * @len:    of the command; @field: in it, what @status complains of
 * @last:   no further step follows
 */
struct slot {
	uint64_t user_data;
	uint32_t len;
	uint8_t status, field;
	bool link, last;
};

/*
 * struct sdxi - an SDXI context as a queue's device
 * @blocks, @words: behind the descriptors @dscs in the area
 * @put, @taken:    descriptors put, and ended
 * @sq_head, @cq_tail: as in the rings, which are never read back
 * @held:           nothing is put before @taken has reached @put
 * @canceled:       the next command is, by a chain
 * @stopped:        one was seen that will never be done: it may have been begun
 * @steps:          the copy onto itself that is being done
 * @left:           bytes of it that aren't at their place, or on their way there
 * @in_buffer:      of these, in @buffer
 */
struct sdxi {
	struct sdxi_memory m;
	struct sharq_sdxi *area;
	union sdxi_dsc *dscs;
	struct sdxi_cst_blk *blocks;
	__aligned_u64 *words;
	struct slot *slots;

	uint64_t put, taken;
	uint32_t sq_head, cq_tail;
	bool held, canceled, stopped;

	struct sharq_desc steps;
	uint32_t left, in_buffer;
	uint8_t *buffer;
};

uint64_t sdxi_area_size(uint32_t entries)
{
	return SHARQ_SDXI_RING +
	       entries *
		       (uint64_t)(sizeof(union sdxi_dsc) +
				  sizeof(struct sdxi_cst_blk) + sizeof(__u64));
}

int sdxi_new(struct sdxi **out, const struct sdxi_memory *memory)
{
	struct sdxi *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->m = *memory;
	s->m.caps.ops &= SHARQ_OP_BIT(SHARQ_OP_NOP) |
			 SHARQ_OP_BIT(SHARQ_OP_COPY);
	s->area = s->m.area;
	s->dscs = (void *)((uint8_t *)s->m.area + SHARQ_SDXI_RING);
	s->blocks = (void *)(s->dscs + s->m.entries);
	s->words = (void *)(s->blocks + s->m.entries);
	s->slots = calloc(s->m.entries, sizeof(*s->slots));
	s->buffer = malloc(BUFFER_SIZE);
	if (!s->slots || !s->buffer) {
		sdxi_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

struct sdxi *sdxi_free(struct sdxi *s)
{
	if (!s)
		return NULL;
	free(s->slots);
	/* Else the function may yet write there, if others have the file. */
	if (sdxi_idle(s))
		free(s->buffer);
	free(s);
	return NULL;
}

bool sdxi_idle(const struct sdxi *s)
{
	return s->taken == s->put;
}

static uint32_t device_flags(const struct sdxi *s)
{
	return __atomic_load_n(&s->m.ring->device_flags, __ATOMIC_ACQUIRE);
}

/* A descriptor but for its operation, its block and VL: the function's then. */
static void put_dsc(struct sdxi *s, union sdxi_dsc *dsc, uint32_t opcode,
		    const struct slot *slot)
{
	uint32_t at = s->put++ % s->m.entries;
	struct sdxi_cst_blk *block = &s->blocks[at];

	s->slots[at] = *slot;
	*block = (struct sdxi_cst_blk){ .signal = htole64(1) };
	opcode |= FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA);
	dsc->generic.opcode = htole32(opcode);
	dsc->generic.csb_ptr = htole64((uintptr_t)block);
	s->dscs[at] = *dsc;
	__atomic_store_n(&s->dscs[at].generic.opcode,
			 htole32(opcode | SDXI_DSC_VL), __ATOMIC_RELEASE);
}

static uint32_t fence(const struct sharq_desc *d)
{
	return d->flags & SHARQ_DESC_FENCE ? SDXI_DSC_FE : 0;
}

static void put_copy(struct sdxi *s, uint64_t dst, uint64_t src, uint32_t len,
		     uint32_t flags, const struct slot *slot)
{
	union sdxi_dsc dsc = { .copy = {
				       .size = htole32(len - 1),
				       .akey_src = htole16(SHARQ_SDXI_AKEY),
				       .akey_dst = htole16(SHARQ_SDXI_AKEY),
				       .addr_src = htole64(src),
				       .addr_dst = htole64(dst),
			       } };

	put_dsc(s, &dsc, flags | FIELD_PREP(SDXI_DSC_SUBTYPE, SDXI_DMA_COPY),
		slot);
}

static void put_nop(struct sdxi *s, uint32_t flags, const struct slot *slot)
{
	union sdxi_dsc dsc = { 0 };

	put_dsc(s, &dsc, flags | FIELD_PREP(SDXI_DSC_SUBTYPE, SDXI_DMA_NOP),
		slot);
}

/* Source to buffer, and then from there to the destination. */
static void put_step(struct sdxi *s)
{
	const struct sharq_desc *d = &s->steps;
	uint32_t n = s->left < BUFFER_SIZE ? s->left : BUFFER_SIZE;
	/* What is read later mustn't have been written. */
	uint32_t at = d->dst > d->src ? s->left - n : d->len - s->left;
	uint64_t buffer = (uintptr_t)s->buffer;
	struct slot slot = {
		.user_data = d->user_data,
		.len = d->len,
		.link = d->flags & SHARQ_DESC_LINK,
	};

	s->held = true;
	if (!s->in_buffer) {
		s->in_buffer = n;
		put_copy(s, buffer, d->src + at, n, fence(d), &slot);
		return;
	}
	s->in_buffer = 0;
	s->left -= n;
	slot.last = !s->left;
	put_copy(s, d->dst + at, buffer, n, 0, &slot);
}

static bool onto_itself(const struct sharq_desc *d)
{
	return d->src < d->dst ? d->dst - d->src < d->len
			       : d->src - d->dst < d->len;
}

static void put_command(struct sdxi *s, const struct sharq_desc *d)
{
	struct slot slot = {
		.user_data = d->user_data,
		.len = d->len,
		.link = d->flags & SHARQ_DESC_LINK,
		.last = true,
	};
	enum sharq_field field = SHARQ_FIELD_NONE;

	slot.status = s->canceled ? SHARQ_CANCELED
				  : sharq_check(d, &s->m.caps, &field);
	slot.field = field;
	s->canceled = false;
	s->held = slot.link;
	if (slot.status || d->op != SHARQ_OP_COPY || !d->len) {
		put_nop(s, fence(d), &slot);
	} else if (onto_itself(d)) {
		s->steps = *d;
		s->left = d->len;
		put_step(s);
	} else {
		put_copy(s, d->dst, d->src, d->len, fence(d), &slot);
	}
}

/* What was begun goes on whatever the queue's state: it ends once. */
static bool put_next(struct sdxi *s)
{
	struct sharq_desc d;

	if (s->put - s->taken >= s->m.entries || (s->held && !sdxi_idle(s)))
		return false;
	if (s->left) {
		put_step(s);
		return true;
	}
	if (s->sq_head ==
		    __atomic_load_n(&s->m.ring->sq_tail, __ATOMIC_ACQUIRE) ||
	    device_flags(s) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD))
		return false;
	d = s->m.sq[sharq_ring_slot(s->sq_head++, s->m.depth)];
	put_command(s, &d);
	return true;
}

void sdxi_put(struct sdxi *s)
{
	uint64_t before = s->put;

	while (put_next(s))
		;
	if (s->put == before)
		return;
	__atomic_store_n(&s->m.ring->sq_head, s->sq_head, __ATOMIC_RELEASE);
	__atomic_store_n(&s->area->write_index, htole64(s->put),
			 __ATOMIC_RELEASE);
	__atomic_store_n(s->m.bell, htole64(s->put), __ATOMIC_RELEASE);
}

static bool ended(const struct sdxi_cst_blk *block)
{
	/* Aligned, which its type doesn't say to a 32-bit program. */
	const __aligned_u64 *signal = (const void *)&block->signal;

	return !__atomic_load_n(signal, __ATOMIC_ACQUIRE);
}

/* Return: its status, or -EAGAIN: not known yet. */
static int outcome(const struct sdxi *s, uint64_t index)
{
	uint32_t at = index % s->m.entries;
	uint64_t word;

	if (!ended(&s->blocks[at]))
		return -EAGAIN;
	if (!(le32toh(s->blocks[at].flags) & SDXI_CST_BLK_ER))
		return SHARQ_OK;
	word = __atomic_load_n(&s->words[at], __ATOMIC_ACQUIRE);
	if (word == SHARQ_SDXI_FAULT(index, SHARQ_FAULT_READ))
		return SHARQ_FAULT_READ;
	if (word == SHARQ_SDXI_FAULT(index, SHARQ_FAULT_WRITE))
		return SHARQ_FAULT_WRITE;
	return word == SHARQ_SDXI_FAULT(index, SHARQ_RESET) ? SHARQ_RESET
							    : -EAGAIN;
}

/* The same when nothing will come any more. It is asked in order. */
static int last_outcome(struct sdxi *s, uint64_t index)
{
	uint32_t at = index % s->m.entries;
	uint32_t opcode =
		__atomic_load_n(&s->dscs[at].generic.opcode, __ATOMIC_RELAXED);
	bool untouched = s->stopped && le32toh(opcode) & SDXI_DSC_VL;
	int rc = outcome(s, index);

	if (rc >= 0)
		return rc;
	if (ended(&s->blocks[at]))
		return SHARQ_RESET;
	s->stopped = true;
	return untouched ? SHARQ_CANCELED : SHARQ_RESET;
}

/* Its descriptor has ended so; the command may go on. */
static void end_one(struct sdxi *s, const struct slot *slot, int status)
{
	struct sharq_cqe c = { .user_data = slot->user_data };

	if (status == SHARQ_OK && !slot->last)
		return;
	c.status = status == SHARQ_OK ? slot->status : status;
	if (c.status == SHARQ_OK)
		c.consumed = c.produced = slot->len;
	else if (status == SHARQ_OK)
		c.consumed = slot->field;
	if (!slot->last)
		s->left = s->in_buffer = 0;
	/* Nothing was put behind it. */
	s->canceled |= slot->link && c.status != SHARQ_OK;
	s->m.cq[sharq_ring_slot(s->cq_tail++, s->m.depth)] = c;
}

void sdxi_take(struct sdxi *s)
{
	uint64_t before = s->taken;

	for (; s->taken != s->put; s->taken++) {
		int status = outcome(s, s->taken);

		/* Once more after that flag: what came before it counts. */
		if (status < 0 && device_flags(s) & SHARQ_DEVICE_SETTLED)
			status = last_outcome(s, s->taken);
		if (status < 0)
			break;
		end_one(s, &s->slots[s->taken % s->m.entries], status);
	}
	if (s->taken == before)
		return;
	__atomic_store_n(&s->area->taken, s->taken, __ATOMIC_RELEASE);
	__atomic_store_n(&s->m.ring->cq_tail, s->cq_tail, __ATOMIC_RELEASE);
}
