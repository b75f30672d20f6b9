// SPDX-License-Identifier: MIT
/*
 * An SDXI context as a queue's device. A context knows NOP and COPY, no chains,
 * and no copy onto itself; the rest of what a device owes is done here, by the
 * client: commands are taken from the SQ, checked, written as the standard's
 * descriptors, and their completion blocks become completions, in order.
 *
 * What the context can't do, or needn't, is a NOP that ends with a status of ours.
 *
 * Plain commands stand in the context's slots from the beginning, and none of this is
 * needed to submit them: see sharq_inline.h.
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
/* Of a descriptor that the function may take. */
#define OPCODE(op)                                                             \
	(SDXI_DSC_VL | FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA) |              \
	 FIELD_PREP(SDXI_DSC_SUBTYPE, op))
/* Of the buffer for copies onto themselves. */
#define BUFFER_SIZE (256U << 10)

/*
 * struct slot - what a descriptor in the context's ring stands for, beside its
 * command's note
 * @status: that the command has when the descriptor went well
 * @field:  in it, what @status complains of
 * @more:   a further step follows
 * @link:   the command has LINK
 */
struct slot {
	uint8_t status, field;
	bool more, link;
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
 * @over:           the queue is dead: nothing is begun any more
 * @front:          the queue's; NULL: entries are prepared in the SQ only
 * @in_slots:       they are prepared in the context's: then @front has what @put and
 *                  @sq_head are, which are the same, see catch_up()
 * @descs:          of entries there that aren't plain
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
	bool held, canceled, stopped, over, in_slots;
	struct sharq_front *front;
	struct sharq_desc *descs;

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

static struct sharq_note *note_of(const struct sdxi *s, uint32_t at)
{
	return (void *)((uint8_t *)&s->dscs[at] - SHARQ_NOTES);
}

/*
 * A free slot stands ready for a command of one descriptor: all of that stands there
 * but the opcode, a COPY's size and addresses.
 */
static void clear_slot(struct sdxi *s, uint32_t at)
{
	struct sdxi_cst_blk *block = &s->blocks[at];
	union sdxi_dsc *dsc = &s->dscs[at];
	struct sharq_note *note = note_of(s, at);

	note->op = SHARQ_OP_NOP;
	note->len = 0;
	note->user_data = 0;
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
	s->descs = calloc(s->m.entries, sizeof(*s->descs));
	s->buffer = malloc(BUFFER_SIZE);
	if (!s->slots || !s->descs || !s->buffer) {
		sdxi_free(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < s->m.entries; i++) {
		clear_slot(s, i);
		note_of(s, i)->desc = &s->descs[i];
	}
	*out = s;
	return 0;
}

/* Descriptors put, and submitted in the slots themselves. */
static uint64_t put_index(const struct sdxi *s)
{
	return s->in_slots ? s->front->submit_tail : s->put;
}

bool sdxi_idle(const struct sdxi *s)
{
	return s->taken == put_index(s);
}

struct sdxi *sdxi_free(struct sdxi *s)
{
	if (!s)
		return NULL;
	free(s->slots);
	free(s->descs);
	/* Else the function may yet write there, if others have the file. Nothing in
	 * slots needs it; and of these a child doesn't know. */
	if (s->in_slots || sdxi_idle(s))
		free(s->buffer);
	free(s);
	return NULL;
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

/* ---- entries that are prepared in the slots ---- */

_Static_assert(SHARQ_NOTES == SHARQ_MAX_DEPTH * sizeof(union sdxi_dsc) +
				      SHARQ_SDXI_RING,
	       "a note for each slot");
_Static_assert(sizeof(struct sharq_note) <= sizeof(union sdxi_dsc),
	       "as far apart as the slots");
_Static_assert(offsetof(struct sharq_slot, src) ==
			       offsetof(struct sdxi_dsc_copy, addr_src) &&
		       offsetof(struct sharq_slot, dst) ==
			       offsetof(struct sdxi_dsc_copy, addr_dst),
	       "a COPY's addresses");

/* What was submitted there. */
static void catch_up(struct sdxi *s)
{
	if (!s->in_slots)
		return;
	s->put = put_index(s);
	s->put_at = s->put & (s->m.entries - 1);
	s->sq_head = (uint32_t)s->put;
}

uint32_t sdxi_consumed(const struct sdxi *s)
{
	return s->in_slots ? (uint32_t)s->front->submit_tail : s->sq_head;
}

/*
 * Entries are counted as the context's descriptors from then on. Each of those that is
 * put stands for a command that the caller hasn't seen completed: there are slots for
 * as many as he may prepare.
 */
static void enter_slots(struct sdxi *s)
{
	struct sharq_front *f = s->front;
	uint64_t drift;

	if (!f || s->in_slots || (s->held && !sdxi_idle(s)) || s->canceled ||
	    s->sq_head != (uint32_t)f->prep_tail ||
	    device_flags(s) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD))
		return;
	s->held = false;
	s->in_slots = true;
	f->entries = (char *)s->dscs + SHARQ_IN_SLOT;
	f->mask = s->m.entries - 1;
	f->ring = s->m.ring;
	f->index = &s->area->write_index;
	drift = s->put - f->prep_tail;
	f->prep_tail += drift;
	f->submit_tail += drift;
	f->limit += drift;
}

void sdxi_serve(struct sdxi *s, struct sharq_front *front)
{
	uint32_t n = s->m.entries;

	_Static_assert(SHARQ_SLOT_NOP == OPCODE(SDXI_DMA_NOP) &&
			       SHARQ_SLOT_COPY == OPCODE(SDXI_DMA_COPY),
		       "opcodes");
	if (s->m.caps.ops != OPS ||
	    s->m.caps.max_transfer < SHARQ_SLOT_COPY_MAX || n & (n - 1) ||
	    n < s->m.depth || !SHARQ_SLOTS)
		return;
	for (uint32_t i = 0; i < n; i++)
		note_of(s, i)->front = front;
	s->front = front;
	enter_slots(s);
}

static void read_slot(const struct sdxi *s, uint32_t at, struct sharq_desc *d)
{
	const struct sharq_slot *slot = (const void *)&s->dscs[at];
	const struct sharq_note *note = note_of(s, at);

	if (slot->head)
		*d = (struct sharq_desc){ .op = note->op,
					  .len = note->len,
					  .src = slot->src,
					  .dst = slot->dst };
	else
		*d = s->descs[at];
	d->user_data = note->user_data;
}

bool sdxi_leave_slots(struct sdxi *s, bool for_good)
{
	uint32_t at, i;

	catch_up(s);
	if (for_good) {
		s->over = true;
		s->front = NULL;
	}
	if (!s->in_slots)
		return false;
	s->in_slots = false;
	if (for_good)
		return true;
	for (i = s->sq_head, at = s->put_at; i != (uint32_t)s->front->prep_tail;
	     i++, at = next_slot(s, at)) {
		read_slot(s, at, &s->m.sq[sharq_ring_slot(i, s->m.depth)]);
		clear_slot(s, at);
	}
	return true;
}

/* The slot is the function's then. @d: what it is for. */
static void put_dsc(struct sdxi *s, const struct sharq_desc *d,
		    enum sdxi_dma_op op, uint32_t flags)
{
	struct sharq_note *note = note_of(s, s->put_at);

	note->user_data = d->user_data;
	note->len = d->len;
	s->slots[s->put_at].link = d->flags & SHARQ_DESC_LINK;
	__atomic_store_n(&s->dscs[s->put_at].generic.opcode,
			 htole32(flags | OPCODE(op)), __ATOMIC_RELEASE);
	s->put++;
	s->put_at = next_slot(s, s->put_at);
}

static uint32_t fence(const struct sharq_desc *d)
{
	return d->flags & SHARQ_DESC_FENCE ? SDXI_DSC_FE : 0;
}

/* @d, or a step of it. */
static void put_copy(struct sdxi *s, const struct sharq_desc *d, uint64_t dst,
		     uint64_t src, uint32_t len, uint32_t flags)
{
	union sdxi_dsc *dsc = &s->dscs[s->put_at];

	dsc->copy.size = htole32(len - 1);
	dsc->copy.addr_src = htole64(src);
	dsc->copy.addr_dst = htole64(dst);
	put_dsc(s, d, SDXI_DMA_COPY, flags);
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
		put_copy(s, d, buffer, d->src + at, n, fence(d));
		return;
	}
	s->in_buffer = 0;
	s->left -= n;
	slot->more = s->left;
	put_copy(s, d, d->dst + at, buffer, n, 0);
}

static bool onto_itself(const struct sharq_desc *d)
{
	return d->src < d->dst ? d->dst - d->src < d->len
			       : d->src - d->dst < d->len;
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
		put_dsc(s, d, SDXI_DMA_NOP, fence(d));
	} else if (onto_itself(d)) {
		s->steps = *d;
		s->left = d->len;
		put_step(s);
	} else {
		put_copy(s, d, d->dst, d->src, d->len, fence(d));
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
	if (s->over ||
	    s->sq_head ==
		    __atomic_load_n(&s->m.ring->sq_tail, __ATOMIC_ACQUIRE) ||
	    device_flags(s) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD))
		return false;
	put_command(s, &s->m.sq[sharq_ring_slot(s->sq_head++, s->m.depth)]);
	return true;
}

void sdxi_put(struct sdxi *s)
{
	uint64_t before;

	catch_up(s);
	before = s->put;
	while (!s->in_slots && put_next(s))
		;
	if (s->put != before) {
		__atomic_store_n(&s->m.ring->sq_head, s->sq_head,
				 __ATOMIC_RELEASE);
		__atomic_store_n(&s->area->write_index, htole64(s->put),
				 __ATOMIC_RELEASE);
		__atomic_store_n(s->m.bell, htole64(s->put), __ATOMIC_RELEASE);
	}
	enter_slots(s);
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
	const struct sharq_note *note = note_of(s, s->taken_at);
	struct sharq_cqe c = { .user_data = note->user_data };

	if (status == SHARQ_OK && slot->more)
		return;
	c.status = status == SHARQ_OK ? slot->status : status;
	if (c.status == SHARQ_OK)
		c.consumed = c.produced = note->len;
	else if (status == SHARQ_OK)
		c.consumed = slot->field;
	if (slot->more)
		s->left = s->in_buffer = 0;
	/* Nothing was put behind it. */
	s->canceled |= slot->link && c.status != SHARQ_OK;
	s->m.cq[sharq_ring_slot(s->cq_tail++, s->m.depth)] = c;
}

void sdxi_take(struct sdxi *s)
{
	uint64_t before = s->taken;
	uint32_t at = s->taken_at;

	catch_up(s);
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
