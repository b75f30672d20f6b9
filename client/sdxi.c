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

/* What a context can do. */
#define OPS (SHARQ_OP_BIT(SHARQ_OP_NOP) | SHARQ_OP_BIT(SHARQ_OP_COPY))
/* Of the buffer for copies onto themselves. */
#define BUFFER_SIZE (256U << 10)

/*
 * struct slot - what a descriptor in the context's ring stands for. Its command is in
 * the SQ, where each stays until it completes: the next to complete, when the
 * descriptor's turn has come
 * @status: that the command has when the descriptor went well
 * @field:  in it, what @status complains of
 * @more:   a further step follows
 */
struct slot {
	uint8_t status, field;
	bool more;
};

/*
 * struct sdxi - an SDXI context as a queue's device
 * @blocks, @words: behind the descriptors @dscs in the area
 * @put, @taken:    descriptors put, and ended
 * @put_at, @taken_at: the slots of the next of each
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
	uint32_t put_at, taken_at;
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

/* Aligned, which its type doesn't say to a 32-bit program. */
static __aligned_u64 *signal_of(struct sdxi_cst_blk *block)
{
	return (void *)&block->signal;
}

/*
 * A free slot stands ready for a command of one descriptor: all of that stands there
 * but the opcode, a COPY's size and addresses.
 */
static void clear_slot(struct sdxi *s, uint32_t at)
{
	struct sdxi_cst_blk *block = &s->blocks[at];
	union sdxi_dsc *dsc = &s->dscs[at];

	s->slots[at] = (struct slot){ .status = SHARQ_OK };
	block->flags = 0;
	/* After what the caller has said of the one before: see sdxi_take(). */
	__atomic_store_n(signal_of(block), htole64(1), __ATOMIC_RELEASE);
	*dsc = (union sdxi_dsc){ 0 };
	dsc->copy.akey_src = htole16(SHARQ_SDXI_AKEY);
	dsc->copy.akey_dst = htole16(SHARQ_SDXI_AKEY);
	dsc->copy.csb_ptr = htole64((uintptr_t)block);
}

int sdxi_new(struct sdxi **out, const struct sdxi_memory *memory)
{
	struct sdxi *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->m = *memory;
	s->m.caps.ops &= OPS;
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
	for (uint32_t i = 0; i < s->m.entries; i++)
		clear_slot(s, i);
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

/* By a division it would take longer than all the rest. */
static uint32_t next_slot(const struct sdxi *s, uint32_t at)
{
	return at + 1 == s->m.entries ? 0 : at + 1;
}

static void write_copy(union sdxi_dsc *dsc, uint64_t dst, uint64_t src,
		       uint32_t len)
{
	dsc->copy.size = htole32(len - 1);
	dsc->copy.addr_src = htole64(src);
	dsc->copy.addr_dst = htole64(dst);
}

/* It is the function's then. */
static void give(union sdxi_dsc *dsc, enum sdxi_dma_op op, uint32_t flags)
{
	uint32_t opcode = flags | SDXI_DSC_VL |
			  FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA) |
			  FIELD_PREP(SDXI_DSC_SUBTYPE, op);

	__atomic_store_n(&dsc->generic.opcode, htole32(opcode),
			 __ATOMIC_RELEASE);
}

static void put_dsc(struct sdxi *s, enum sdxi_dma_op op, uint32_t flags)
{
	give(&s->dscs[s->put_at], op, flags);
	s->put++;
	s->put_at = next_slot(s, s->put_at);
}

static uint32_t fence(const struct sharq_desc *d)
{
	return d->flags & SHARQ_DESC_FENCE ? SDXI_DSC_FE : 0;
}

static void put_copy(struct sdxi *s, uint64_t dst, uint64_t src, uint32_t len,
		     uint32_t flags)
{
	write_copy(&s->dscs[s->put_at], dst, src, len);
	put_dsc(s, SDXI_DMA_COPY, flags);
}

/* Source to buffer, and then from there to the destination. */
static void put_step(struct sdxi *s)
{
	const struct sharq_desc *d = &s->steps;
	uint32_t n = s->left < BUFFER_SIZE ? s->left : BUFFER_SIZE;
	/* What is read later mustn't have been written. */
	uint32_t at = d->dst > d->src ? s->left - n : d->len - s->left;
	uint64_t buffer = (uintptr_t)s->buffer;
	struct slot *slot = &s->slots[s->put_at];

	s->held = true;
	if (!s->in_buffer) {
		s->in_buffer = n;
		slot->more = true;
		put_copy(s, buffer, d->src + at, n, fence(d));
		return;
	}
	s->in_buffer = 0;
	s->left -= n;
	slot->more = s->left;
	put_copy(s, d->dst + at, buffer, n, 0);
}

static bool onto_itself(const struct sharq_desc *d)
{
	return d->src < d->dst ? d->dst - d->src < d->len
			       : d->src - d->dst < d->len;
}

/*
 * Is it, at first sight, a COPY or NOP that one descriptor does, with no word on its
 * order? Others are for put_command() to judge, and so is what ends in the upper
 * half of all addresses, where it might wrap.
 */
static bool is_plain(const struct sdxi *s, const struct sharq_desc *d)
{
	typedef uint64_t __attribute__((may_alias)) word;
	const word *rest = (const void *)&d->src2;

	if (d->param | d->flags | rest[0] | rest[1] | rest[2] | rest[3])
		return false;
	if (d->op == SHARQ_OP_NOP)
		return !(d->len | d->src | d->dst);
	return d->op == SHARQ_OP_COPY && d->len &&
	       d->len <= s->m.caps.max_transfer && !onto_itself(d) &&
	       !((d->src | d->dst) >> 63);
}

/* May what comes next be put as it comes? While steps are left, or the next command
 * is canceled, @held is true. */
static bool all_clear(const struct sdxi *s)
{
	return !s->held && s->m.caps.ops == OPS &&
	       !(device_flags(s) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD));
}

/* Plain ones up to @tail, until another comes. Indices are in registers: this is
 * what submission costs. */
static void put_plain(struct sdxi *s, uint32_t tail)
{
	const struct sharq_desc *sq = s->m.sq;
	union sdxi_dsc *dscs = s->dscs;
	uint32_t depth = s->m.depth, head = s->sq_head, at = s->put_at;
	uint32_t entries = s->m.entries;
	uint32_t room = entries - (uint32_t)(s->put - s->taken);

	for (; head != tail && room; head++, room--) {
		const struct sharq_desc *d = &sq[sharq_ring_slot(head, depth)];

		if (!is_plain(s, d))
			break;
		if (d->op == SHARQ_OP_COPY) {
			write_copy(&dscs[at], d->dst, d->src, d->len);
			give(&dscs[at], SDXI_DMA_COPY, 0);
		} else {
			give(&dscs[at], SDXI_DMA_NOP, 0);
		}
		at = at + 1 == entries ? 0 : at + 1;
	}
	s->put += head - s->sq_head;
	s->put_at = at;
	s->sq_head = head;
}

static void put_command(struct sdxi *s, const struct sharq_desc *d)
{
	struct slot *slot = &s->slots[s->put_at];
	enum sharq_field field = SHARQ_FIELD_NONE;

	slot->status = s->canceled ? SHARQ_CANCELED
				   : sharq_check(d, &s->m.caps, &field);
	slot->field = field;
	s->canceled = false;
	s->held = d->flags & SHARQ_DESC_LINK;
	if (slot->status || d->op != SHARQ_OP_COPY || !d->len) {
		put_dsc(s, SDXI_DMA_NOP, fence(d));
	} else if (onto_itself(d)) {
		s->steps = *d;
		s->left = d->len;
		put_step(s);
	} else {
		put_copy(s, d->dst, d->src, d->len, fence(d));
	}
}

/* What was begun goes on whatever the queue's state: it ends once. */
static bool put_next(struct sdxi *s)
{
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
	put_command(s, &s->m.sq[sharq_ring_slot(s->sq_head++, s->m.depth)]);
	return true;
}

void sdxi_put(struct sdxi *s)
{
	uint64_t before = s->put;

	if (all_clear(s))
		put_plain(s, __atomic_load_n(&s->m.ring->sq_tail,
					     __ATOMIC_ACQUIRE));
	while (put_next(s))
		;
	if (s->put == before)
		return;
	__atomic_store_n(&s->m.ring->sq_head, s->sq_head, __ATOMIC_RELEASE);
	__atomic_store_n(&s->area->write_index, htole64(s->put),
			 __ATOMIC_RELEASE);
	__atomic_store_n(s->m.bell, htole64(s->put), __ATOMIC_RELEASE);
}

static bool ended(struct sdxi_cst_blk *block)
{
	return !__atomic_load_n(signal_of(block), __ATOMIC_ACQUIRE);
}

/* Return: the status of the oldest, or -EAGAIN: not known yet. */
static int outcome(const struct sdxi *s)
{
	uint64_t word, index = s->taken;
	uint32_t at = s->taken_at;

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

/* The same when nothing will come any more. */
static int last_outcome(struct sdxi *s)
{
	uint32_t at = s->taken_at;
	uint32_t opcode =
		__atomic_load_n(&s->dscs[at].generic.opcode, __ATOMIC_RELAXED);
	bool untouched = s->stopped && le32toh(opcode) & SDXI_DSC_VL;
	int rc = outcome(s);

	if (rc >= 0)
		return rc;
	if (ended(&s->blocks[at]))
		return SHARQ_RESET;
	s->stopped = true;
	return untouched ? SHARQ_CANCELED : SHARQ_RESET;
}

/* Its descriptor has ended so; the command may go on. */
static void end_one(struct sdxi *s, int status)
{
	const struct slot *slot = &s->slots[s->taken_at];
	const struct sharq_desc *d =
		&s->m.sq[sharq_ring_slot(s->cq_tail, s->m.depth)];
	struct sharq_cqe c = { .user_data = d->user_data };

	if (status == SHARQ_OK && slot->more)
		return;
	c.status = status == SHARQ_OK ? slot->status : status;
	if (c.status == SHARQ_OK)
		c.consumed = c.produced = d->len;
	else if (status == SHARQ_OK)
		c.consumed = slot->field;
	if (slot->more)
		s->left = s->in_buffer = 0;
	/* Nothing was put behind it. */
	s->canceled |= d->flags & SHARQ_DESC_LINK && c.status != SHARQ_OK;
	s->m.cq[sharq_ring_slot(s->cq_tail++, s->m.depth)] = c;
}

void sdxi_take(struct sdxi *s)
{
	uint64_t before = s->taken;
	uint32_t at = s->taken_at;

	while (s->taken != s->put) {
		int status = outcome(s);

		/* Once more after that flag: what came before it counts. */
		if (status < 0 && device_flags(s) & SHARQ_DEVICE_SETTLED)
			status = last_outcome(s);
		if (status < 0)
			break;
		end_one(s, status);
		s->taken++;
		s->taken_at = next_slot(s, s->taken_at);
	}
	if (s->taken == before)
		return;
	__atomic_store_n(&s->area->taken, s->taken, __ATOMIC_RELEASE);
	__atomic_store_n(&s->m.ring->cq_tail, s->cq_tail, __ATOMIC_RELEASE);
	/* The kernel looks at the block of the oldest, whether it is done: so that
	 * becomes new when it is the oldest no more. */
	for (; before != s->taken; before++, at = next_slot(s, at))
		clear_slot(s, at);
}
