// SPDX-License-Identifier: GPL-2.0-only
/* A context of an SDXI function. */
#include <linux/io.h>
#include <linux/iopoll.h>

#include "sdxi.h"

/*
 * How long who stops a context waits for it to say so, and then for the function to
 * say it, during which nobody else gets an answer from it.
 */
#define STOP_TIMEOUT_US (900 * USEC_PER_MSEC)
#define STOP_LAST_WORD_US (100 * USEC_PER_MSEC)
#define POLL_US 100

/*
 * struct sdxi_cxt_mem - what belongs to a context beside its ring
 * What the function writes and what the kernel writes have cache lines of their
 * own.
 */
struct sdxi_cxt_mem {
	struct sdxi_akey_ent akeys[SDXI_AKEYS(0)];
	struct sdxi_cxt_ctl ctl;
	struct sdxi_cxt_sts sts __aligned(64);
	__le64 write_index __aligned(64);
} __aligned(64);
static_assert(offsetof(struct sdxi_cxt_mem, ctl) == 4096);

static dma_addr_t seen_at(const struct sdxi_cxt *c, const void *p)
{
	return c->mem.dma + (p - c->mem.cpu);
}

int sdxi_cxt_init(struct sdxi *s, struct sdxi_cxt *c, u16 num, u32 entries)
{
	size_t size = sizeof(*c->ctl) +
		      entries * (sizeof(*c->ring) + sizeof(*c->blocks));
	int ret = sharq_space_alloc(s->space, size, &c->mem);

	if (ret)
		return ret;
	c->num = num;
	c->entries = entries;
	c->ctl = c->mem.cpu;
	c->ring = (void *)(c->ctl + 1);
	c->blocks = (void *)(c->ring + entries);
	c->doorbell = s->doorbells + num * sdxi_doorbell_stride(s->cap0);
	return 0;
}

void sdxi_cxt_exit(struct sdxi *s, struct sdxi_cxt *c)
{
	sharq_space_unalloc(s->space, &c->mem);
}

static void fill_akeys(struct sdxi_cxt_mem *ctl)
{
	u64 intr = SDXI_AKEY_VL | SDXI_AKEY_IV |
		   FIELD_PREP(SDXI_AKEY_INTR_NUM, SDXI_VECTOR_SHADOW);

	ctl->akeys[SDXI_AKEY_DATA].flags = cpu_to_le16(SDXI_AKEY_VL);
	ctl->akeys[SDXI_AKEY_INTR].flags = cpu_to_le16(intr);
}

static void fill_ctl(struct sdxi_cxt *c)
{
	struct sdxi_cxt_ctl *ctl = &c->ctl->ctl;

	ctl->ds_ring_sz = cpu_to_le32(c->entries);
	ctl->cxt_sts = cpu_to_le64(seen_at(c, &c->ctl->sts));
	ctl->write_index = cpu_to_le64(seen_at(c, &c->ctl->write_index));
	/* Valid is what is complete. */
	dma_wmb();
	ctl->ds_ring = cpu_to_le64(seen_at(c, c->ring) | SDXI_CXT_CTL_CSA |
				   SDXI_CXT_CTL_SE | SDXI_CXT_CTL_VL);
}

void sdxi_cxt_publish(struct sdxi *s, struct sdxi_cxt *c)
{
	u64 buffer = FIELD_GET(SDXI_CAP1_MAX_BUFFER, s->cap1);
	struct sdxi_l1_ent *l1 = sdxi_fn_l1(s, c->num);

	memset(c->mem.cpu, 0, c->mem.size);
	c->tail = 0;
	if (c->num != SDXI_ADMIN_CXT)
		fill_akeys(c->ctl);
	fill_ctl(c);
	l1->akey = cpu_to_le64(seen_at(c, c->ctl->akeys));
	l1->misc0 = cpu_to_le32(FIELD_PREP(SDXI_L1_MISC0_MAX_BUFFER, buffer));
	l1->opb_000_enb = cpu_to_le32(SDXI_OPB_INTR);
	dma_wmb();
	l1->cxt_ctl =
		cpu_to_le64(seen_at(c, &c->ctl->ctl) | SDXI_L1_CXT_CTL_VL);
	/* Nobody starts software's own context but software. */
	if (c->num == SDXI_ADMIN_CXT)
		WRITE_ONCE(c->ctl->sts.state, SDXI_CXT_RUN);
	dma_wmb();
}

static union sdxi_dsc admin_dsc(u16 num, u8 op, u64 flags)
{
	union sdxi_dsc dsc = {};

	dsc.admin.opcode = sdxi_opcode(SDXI_TYPE_ADMIN, op, flags);
	dsc.admin.cxt_start = cpu_to_le16(num);
	dsc.admin.cxt_end = cpu_to_le16(num);
	return dsc;
}

int sdxi_cxt_run(struct sdxi *s, u16 num)
{
	union sdxi_dsc dsc;

	dsc = admin_dsc(num, SDXI_ADMIN_CXT_START_NM, SDXI_DSC_FE);
	return sdxi_fn_admin(s, &dsc, 1);
}

static union sdxi_dsc sync_dsc(u16 num, enum sdxi_sync_filter filter)
{
	union sdxi_dsc dsc = admin_dsc(num, SDXI_ADMIN_SYNC, 0);

	dsc.admin.flags = FIELD_PREP(SDXI_SYNC_FILTER, filter);
	return dsc;
}

static int update_tables(struct sdxi *s, u16 num)
{
	union sdxi_dsc dsc[] = {
		admin_dsc(num, SDXI_ADMIN_CXT_UPD, 0),
		sync_dsc(num, SDXI_SYNC_CXT),
	};

	/* The control block with it. */
	dsc[0].admin.flags = SDXI_CXT_UPD_L1;
	return sdxi_fn_admin(s, dsc, ARRAY_SIZE(dsc));
}

static int update_keys(struct sdxi *s, u16 num)
{
	union sdxi_dsc dsc[] = {
		admin_dsc(num, SDXI_ADMIN_AKEY_UPD, 0),
		sync_dsc(num, SDXI_SYNC_AKEY),
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(dsc); i++)
		dsc[i].admin.key_end = cpu_to_le16(SDXI_AKEYS(0) - 1);
	return sdxi_fn_admin(s, dsc, ARRAY_SIZE(dsc));
}

int sdxi_cxt_try_updates(struct sdxi *s, u16 num)
{
	return update_tables(s, num) ?: update_keys(s, num);
}

static bool has_stopped(const struct sdxi_cxt_sts *sts)
{
	switch (FIELD_GET(SDXI_CXT_STS_STATE, READ_ONCE(sts->state))) {
	case SDXI_CXT_STOP_SW:
	case SDXI_CXT_STOP_FN:
	case SDXI_CXT_ERR_FN:
		return true;
	default:
		return false;
	}
}

/* Nor does it run for a status that its owner makes up. */
static void forget(struct sdxi *s, u16 num, struct sdxi_cxt_ctl *ctl)
{
	WRITE_ONCE(sdxi_fn_l1(s, num)->cxt_ctl, 0);
	WRITE_ONCE(ctl->ds_ring, 0);
	dma_wmb();
}

int sdxi_cxt_halt(struct sdxi *s, u16 num, const struct sdxi_cxt_sts *sts,
		  struct sdxi_cxt_ctl *ctl)
{
	union sdxi_dsc stop = admin_dsc(num, SDXI_ADMIN_CXT_STOP, SDXI_DSC_FE);
	union sdxi_dsc sync = sync_dsc(num, SDXI_SYNC_STOP);
	u64 patience = SDXI_ADMIN_TIMEOUT_US;
	bool stopped;
	int ret;

	/* Who wants it stopped has waited for what it may still do. */
	stop.admin.vflags = SDXI_VFLAGS_HS;
	ret = sdxi_fn_admin(s, &stop, 1);
	if (ret)
		return ret;
	/*
	 * SYNC keeps the admin context from others until it has. But it has the
	 * last word: the function may not be able to write the status.
	 */
	if (sts && read_poll_timeout(has_stopped, stopped, stopped, POLL_US,
				     STOP_TIMEOUT_US, false, sts))
		patience = STOP_LAST_WORD_US;
	if (ctl)
		forget(s, num, ctl);
	/* The kernel's own context always has the same tables. */
	if (ctl && num != SDXI_CXT_SHADOW)
		ret = update_tables(s, num);
	ret = ret ?: sdxi_fn_admin_within(s, &sync, 1, patience);
	/* Up to here what was under way may have looked up a key. */
	if (ctl && num != SDXI_CXT_SHADOW)
		ret = ret ?: update_keys(s, num);
	return ret;
}

int sdxi_cxt_start(struct sdxi *s, struct sdxi_cxt *c)
{
	return sdxi_cxt_run(s, c->num);
}

int sdxi_cxt_stop(struct sdxi *s, struct sdxi_cxt *c)
{
	return sdxi_cxt_halt(s, c->num, &c->ctl->sts, &c->ctl->ctl);
}

int sdxi_cxt_room(const struct sdxi_cxt *c)
{
	u64 used = c->tail - le64_to_cpu(READ_ONCE(c->ctl->sts.read_index));

	return used <= c->entries ? c->entries - used : -EIO;
}

u64 sdxi_cxt_put(struct sdxi_cxt *c, const union sdxi_dsc *dsc, bool block)
{
	u64 index = c->tail++;
	u32 slot = index % c->entries;
	struct sdxi_cst_blk *b = &c->blocks[slot];
	union sdxi_dsc *to = &c->ring[slot];

	*to = *dsc;
	to->generic.csb_ptr = cpu_to_le64(block ? seen_at(c, b) : SDXI_DSC_NP);
	b->flags = 0;
	WRITE_ONCE(b->signal, cpu_to_le64(1));
	dma_wmb();
	WRITE_ONCE(to->generic.opcode,
		   dsc->generic.opcode | cpu_to_le32(SDXI_DSC_VL));
	return index;
}

void sdxi_cxt_ring(struct sdxi_cxt *c)
{
	dma_wmb();
	WRITE_ONCE(c->ctl->write_index, cpu_to_le64(c->tail));
	/* Ordered after that by writeq() itself. */
	writeq(c->tail, c->doorbell);
}

int sdxi_cxt_done(const struct sdxi_cxt *c, u64 index)
{
	const struct sdxi_cst_blk *b = &c->blocks[index % c->entries];

	if (READ_ONCE(b->signal))
		return 0;
	/* What it says, and what the command wrote, is good from here on. */
	dma_rmb();
	return le32_to_cpu(b->flags) & SDXI_CST_BLK_ER ? -EIO : 1;
}

bool sdxi_cxt_begun(const struct sdxi_cxt *c, u64 index)
{
	const union sdxi_dsc *dsc = &c->ring[index % c->entries];

	return !(le32_to_cpu(READ_ONCE(dsc->generic.opcode)) & SDXI_DSC_VL);
}

bool sdxi_cxt_runs(const struct sdxi_cxt *c)
{
	return FIELD_GET(SDXI_CXT_STS_STATE, READ_ONCE(c->ctl->sts.state)) ==
	       SDXI_CXT_RUN;
}
