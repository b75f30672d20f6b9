// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients' contexts. A client writes to its ring and its doorbell, and the function
 * reaches its memory by its own page tables; the kernel starts and stops the context.
 *
 * What the client owns is the ring, its companions and their addresses. So all that
 * the function does for a context carries the client's PASID: there is no address
 * that it could name which isn't its own.
 */
#include "sdxi_direct.h"

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

/* The thread takes less for a reset. */
#define RESET_TIMEOUT (5 * HZ)

/*
 * struct sdxi_direct_mem - what the function reads of a context and its client
 * can't touch
 */
struct sdxi_direct_mem {
	struct sdxi_akey_ent akeys[SDXI_AKEYS(0)];
	struct sdxi_cxt_ctl ctl;
};

static_assert(offsetof(struct sdxi_direct_mem, ctl) == 4096);

/* ---- the context ---- */

static struct sdxi_direct_mem *memory(const struct sdxi_direct *d)
{
	return d->s->direct_mem[d->num].cpu;
}

static void fill_ctl(struct sdxi_direct *d, u64 addr)
{
	struct sdxi_direct_mem *m = memory(d);
	struct sdxi_cxt_ctl *ctl = &m->ctl;

	memset(m, 0, sizeof(*m));
	m->akeys[SHARQ_SDXI_AKEY].flags =
		cpu_to_le16(SDXI_AKEY_VL | SDXI_AKEY_PV);
	m->akeys[SHARQ_SDXI_AKEY].pasid = cpu_to_le32(d->pasid);
	ctl->ds_ring_sz = cpu_to_le32(d->entries);
	ctl->cxt_sts = cpu_to_le64(addr + offsetof(struct sharq_sdxi, status));
	ctl->write_index =
		cpu_to_le64(addr + offsetof(struct sharq_sdxi, write_index));
	ctl->ds_ring = cpu_to_le64((addr + SHARQ_SDXI_RING) | SDXI_CXT_CTL_CSA |
				   SDXI_CXT_CTL_SE | SDXI_CXT_CTL_VL);
}

/*
 * The function refuses longer ones than its queue's: who stops the context may have
 * to wait for one.
 */
static u64 longest_copy(const struct sdxi_direct *d)
{
	u64 value = FIELD_GET(SDXI_CAP1_MAX_BUFFER, d->s->cap1);

	while (value && SDXI_BUFFER_BYTES(value - 1) >= d->q->caps.max_transfer)
		value--;
	return value;
}

/* No group of operations but what every context has: it needs no other. */
static void write_l1(struct sdxi_direct *d)
{
	u64 buffer = longest_copy(d);
	u64 at = d->s->direct_mem[d->num].dma;
	struct sdxi_l1_ent *l1 = sdxi_fn_l1(d->s, d->num);

	l1->akey = cpu_to_le64(at);
	l1->misc0 = cpu_to_le32(FIELD_PREP(SDXI_L1_MISC0_PASID, d->pasid) |
				FIELD_PREP(SDXI_L1_MISC0_MAX_BUFFER, buffer));
	l1->opb_000_enb = 0;
	dma_wmb();
	at += offsetof(struct sdxi_direct_mem, ctl);
	WRITE_ONCE(l1->cxt_ctl,
		   cpu_to_le64(at | SDXI_L1_CXT_CTL_PV | SDXI_L1_CXT_CTL_VL));
	dma_wmb();
}

/* A reset that comes after this clears the entry: the context won't start. */
static int make_known(struct sdxi_direct *d)
{
	int ret = -ESHUTDOWN;

	mutex_lock(&d->s->admin_lock);
	/* Of one that is dead nobody would say that the context has stopped. */
	if (!READ_ONCE(d->over) && !d->s->dead) {
		write_l1(d);
		ret = 0;
	}
	mutex_unlock(&d->s->admin_lock);
	return ret;
}

/*
 * life is held. The thread resets what won't stop, or gives up the function: both
 * stop the context.
 */
static void stop_context(struct sdxi_direct *d)
{
	int ret;

	/* By a reset, after which the function may not know it any more. */
	if (completion_done(&d->stopped))
		return;
	ret = sdxi_cxt_halt(d->s, d->num, sdxi_direct_status(d),
			    &memory(d)->ctl);
	if (ret == -EIO && !completion_done(&d->stopped))
		sdxi_fn_want_reset(d->s);
	/* With other errors it does so by itself, as soon as it finds out. */
	while (ret && !wait_for_completion_timeout(&d->stopped, RESET_TIMEOUT))
		sdxi_fn_want_reset(d->s);
}

/* life is held. */
static int start_context(struct sdxi_direct *d, u64 addr)
{
	int ret;

	if (d->started)
		return -EBUSY;
	/* kill() was there: what is written to now may be gone. */
	if (READ_ONCE(d->over))
		return -ESHUTDOWN;
	memset(d->area->status, 0, sizeof(d->area->status));
	fill_ctl(d, addr);
	ret = make_known(d);
	if (ret)
		return ret;
	if (sdxi_cxt_run(d->s, d->num)) {
		/* Nor begins later. */
		stop_context(d);
		return -EIO;
	}
	mutex_lock(&d->bell_lock);
	WRITE_ONCE(d->started, true);
	mutex_unlock(&d->bell_lock);
	return 0;
}

static int direct_run(struct sharq_queue *q, u64 addr)
{
	struct sdxi_direct *d = q->direct;
	int ret;

	mutex_lock(&d->life);
	ret = start_context(d, addr);
	mutex_unlock(&d->life);
	return ret;
}

/* ---- the doorbell ---- */

static vm_fault_t show_bell(struct sdxi_direct *d, struct vm_fault *vmf)
{
	enum sharq_queue_state state = READ_ONCE(d->q->state);
	struct vm_area_struct *vma = vmf->vma;
	pgprot_t prot = pgprot_noncached(vma->vm_page_prot);
	phys_addr_t at;

	if (!sharq_state_dead(state) && !d->started)
		return VM_FAULT_SIGBUS;
	if (state != SHARQ_QUEUE_RUNNING)
		return vmf_insert_pfn(vma, vmf->address, page_to_pfn(d->dummy));
	at = pci_resource_start(d->s->pdev, SDXI_BAR_DOORBELLS) +
	     d->num * sdxi_doorbell_stride(d->s->cap0);
	return vmf_insert_pfn_prot(vma, vmf->address, PHYS_PFN(at),
				   pgprot_decrypted(prot));
}

static vm_fault_t direct_bell(struct sharq_queue *q, struct vm_fault *vmf)
{
	struct sdxi_direct *d = q->direct;
	vm_fault_t ret;

	mutex_lock(&d->bell_lock);
	ret = show_bell(d, vmf);
	mutex_unlock(&d->bell_lock);
	sdxi_waker_bell(d);
	return ret;
}

/* The next store is a fault. After q->state has changed. */
static void hide_bell(struct sdxi_direct *d)
{
	mutex_lock(&d->bell_lock);
	unmap_mapping_range(d->q->inode->i_mapping, sharq_bell_offset(d->q),
			    PAGE_SIZE, 1);
	mutex_unlock(&d->bell_lock);
}

/* Under the lock: kill() hasn't begun, so the device is there. */
void sdxi_direct_ring(struct sdxi_direct *d)
{
	mutex_lock(&d->bell_lock);
	if (d->started && READ_ONCE(d->q->state) == SHARQ_QUEUE_RUNNING)
		writeq(READ_ONCE(d->area->write_index), d->doorbell);
	mutex_unlock(&d->bell_lock);
}

static void direct_pause(struct sharq_queue *q)
{
	struct sdxi_direct *d = q->direct;

	hide_bell(d);
	sdxi_direct_ring(d);
}

/* ---- for the core ---- */

/* What the client makes of these words misleads nobody but who looks at it. */
static void direct_stats(const struct sharq_queue *q,
			 struct sharq_ctl_stats *stats)
{
	const struct sdxi_direct *d = q->direct;
	const struct sdxi_cxt_sts *sts = (const void *)d->area->status;
	u64 done = le64_to_cpu(READ_ONCE(sts->read_index));
	u64 left = READ_ONCE(d->area->write_index) - done;

	stats->commands = done;
	stats->in_flight = sharq_state_dead(q->state) ? 0
						      : min(left, d->entries);
}

/* Its context is nobody's. Not in the thread. */
static void give_number(struct sdxi_direct *d)
{
	struct sdxi *s = d->s;

	/* What the log has on this context shall not be said of the next one. */
	sdxi_fn_settle_log(s);
	spin_lock(&s->direct_lock);
	if (s->direct[d->num] == d)
		s->direct[d->num] = NULL;
	spin_unlock(&s->direct_lock);
}

/*
 * The client, and with it the queue, may stay for as long as a page fault of its
 * takes; the context doesn't.
 */
static void direct_kill(struct sharq_queue *q)
{
	struct sdxi_direct *d = q->direct;

	if (test_and_set_bit(0, &d->killed)) {
		wait_for_completion(&d->settled);
		return;
	}
	hide_bell(d);
	mutex_lock(&d->life);
	WRITE_ONCE(d->over, true);
	if (d->started)
		stop_context(d);
	mutex_unlock(&d->life);
	give_number(d);
	sharq_context_done(q);
	sharq_queue_settled(q);
	complete_all(&d->settled);
}

void sdxi_direct_stopped(struct sdxi *s)
{
	spin_lock(&s->direct_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->direct); i++) {
		struct sdxi_direct *d = s->direct[i];

		if (!d)
			continue;
		WRITE_ONCE(d->over, true);
		complete_all(&d->stopped);
		sharq_queue_end_soon(d->q, SHARQ_QUEUE_GONE);
	}
	spin_unlock(&s->direct_lock);
}

/* ---- its life ---- */

static int make_area(struct sdxi_direct *d)
{
	struct sharq_queue *q = d->q;
	u64 most = FIELD_GET(SDXI_CAP0_MAX_DS_RING_SZ, d->s->cap0);
	u32 n;

	/* As many as the queue has, and no fewer or more than there may be. */
	n = clamp_t(u64, q->depth, SDXI_RING_ENTRIES_MIN,
		    SDXI_RING_ENTRIES(most));

	q->area_entries = n;
	q->area_size = PAGE_ALIGN(SHARQ_SDXI_RING +
				  n * (sizeof(*d->ring) + sizeof(*d->blocks) +
				       sizeof(*d->words)));
	q->area = vmalloc_user(q->area_size);
	if (!q->area)
		return -ENOMEM;
	d->entries = n;
	d->area = q->area;
	d->ring = q->area + SHARQ_SDXI_RING;
	d->blocks = (void *)(d->ring + n);
	d->words = (void *)(d->blocks + n);
	return 0;
}

/* The core has counted: one is free. */
static void take_number(struct sdxi_direct *d)
{
	struct sdxi *s = d->s;
	u16 num = SDXI_CXT_SHADOW + 1;

	spin_lock(&s->direct_lock);
	while (s->direct[num])
		num++;
	d->num = num;
	s->direct[num] = d;
	spin_unlock(&s->direct_lock);
	d->doorbell = s->doorbells + num * sdxi_doorbell_stride(s->cap0);
}

static int make_memory(struct sdxi_direct *d)
{
	struct sdxi *s = d->s;
	struct sharq_shared *mem = &s->direct_mem[d->num];
	int ret = 0;

	mutex_lock(&s->direct_mem_lock);
	if (s->direct_closed)
		ret = -ENODEV;
	else if (!mem->cpu)
		ret = sharq_space_alloc(s->space,
					sizeof(struct sdxi_direct_mem), mem);
	mutex_unlock(&s->direct_mem_lock);
	return ret;
}

static struct sdxi_direct *direct_new(struct sharq_queue *q)
{
	struct sdxi_direct *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);

	if (!d)
		return NULL;
	d->s = container_of(q->dev, struct sdxi, dev);
	d->q = q;
	mutex_init(&d->life);
	mutex_init(&d->bell_lock);
	init_completion(&d->stopped);
	init_completion(&d->settled);
	sdxi_faults_init(d);
	sdxi_watch_init(d);
	sdxi_waker_init(d);
	return d;
}

/* What was queued while its number was its own. */
static void end_works(struct sdxi_direct *d)
{
	sdxi_faults_exit(d);
	sdxi_watch_exit(d);
}

static struct sdxi_direct *direct_free(struct sdxi_direct *d)
{
	if (d->dummy)
		__free_page(d->dummy);
	kfree(d);
	return NULL;
}

static u64 longest_buffer(const struct sdxi *s)
{
	return SDXI_BUFFER_BYTES(FIELD_GET(SDXI_CAP1_MAX_BUFFER, s->cap1));
}

/* What it isn't allowed to do it mustn't be able to do. */
static int check_policy(struct sharq_queue *q, enum sharq_reason *reason)
{
	if (q->caps.ops & SHARQ_OP_BIT(SHARQ_OP_COPY))
		return 0;
	*reason = SHARQ_REASON_DEVICE;
	return -EOPNOTSUPP;
}

/* Too many others have bonds, PASIDs, or are about to: another time it may do. */
static bool not_now(int err)
{
	return err == -EBUSY || err == -ENOSPC;
}

static int bind(struct sdxi_direct *d, enum sharq_reason *reason)
{
	int ret = sdxi_bond_new(&d->s->bonds, &d->bond, &d->pasid);

	if (ret && ret != -ENOMEM && ret != -EINTR)
		*reason = not_now(ret) ? SHARQ_REASON_NOT_NOW
				       : SHARQ_REASON_NO_SVA;
	return ret;
}

static int direct_start(struct sharq_queue *q, enum sharq_reason *reason)
{
	struct sdxi_direct *d;
	int ret = check_policy(q, reason);

	if (ret)
		return ret;
	d = direct_new(q);
	if (!d)
		return -ENOMEM;
	ret = -ENOMEM;
	d->dummy = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!d->dummy)
		goto err_direct;
	ret = make_area(d);
	if (ret)
		goto err_direct;
	take_number(d);
	ret = make_memory(d);
	if (ret)
		goto err_number;
	ret = bind(d, reason);
	if (ret)
		goto err_number;
	q->caps.max_transfer =
		min_t(u64, q->caps.max_transfer, longest_buffer(d->s));
	q->direct = d;
	return 0;

err_number:
	give_number(d);
	end_works(d);
	vfree(q->area);
	q->area = NULL;
err_direct:
	direct_free(d);
	return ret;
}

/* The bond last: the rest waits for nobody. */
static void direct_stop(struct sharq_queue *q)
{
	struct sdxi_direct *d = q->direct;

	/* BIND may have failed, and nobody killed it. */
	if (!test_bit(0, &d->killed))
		give_number(d);
	end_works(d);
	sdxi_waker_exit(d);
	sdxi_bond_end(&d->s->bonds, d->bond);
	direct_free(d);
}

static const struct sharq_direct_ops direct_ops = {
	.ring = SHARQ_RING_SDXI,
	.start = direct_start,
	.kill = direct_kill,
	.stop = direct_stop,
	.bell = direct_bell,
	.run = direct_run,
	.pause = direct_pause,
	.ready = sdxi_waker_ready,
	.stats = direct_stats,
};

/* ---- the function ---- */

/* One page each: no client's doorbell is in another's mapping. */
static unsigned int count_contexts(const struct sdxi *s)
{
	u64 stride = sdxi_doorbell_stride(s->cap0);
	u64 contexts = FIELD_GET(SDXI_CAP1_MAX_CXT, s->cap1) + 1;

	if (stride < PAGE_SIZE)
		return 0;
	contexts = min3(contexts, (u64)SDXI_L1_ENTRIES,
			pci_resource_len(s->pdev, SDXI_BAR_DOORBELLS) / stride);
	return contexts - (SDXI_CXT_SHADOW + 1);
}

static enum sharq_reason why_not(const struct sdxi *s)
{
	const struct sharq_ctl_dma *dma = &s->dev.dma;

	if (!count_contexts(s))
		return SHARQ_REASON_DEVICE;
	if (!(dma->flags & SHARQ_DMA_GROUP))
		return SHARQ_REASON_NO_IOMMU;
	if (!dma->pasids || !(dma->flags & SHARQ_DMA_ATS) ||
	    !(dma->flags & SHARQ_DMA_PRI))
		return SHARQ_REASON_NO_PASID;
	return SHARQ_REASON_NONE;
}

/* What the kernel says to a bond with whoever loads the driver. */
static int try_bond(struct sdxi *s)
{
	struct sdxi_bond *bond;
	u32 pasid;
	int ret;

	/* Then each BIND finds out. */
	if (!current->mm)
		return 0;
	ret = sdxi_bond_new(&s->bonds, &bond, &pasid);
	if (!ret)
		sdxi_bond_end(&s->bonds, bond);
	return ret == -EINTR || ret == -ENOMEM || not_now(ret) ? 0 : ret;
}

void sdxi_direct_init(struct sdxi *s)
{
	spin_lock_init(&s->direct_lock);
	s->looked = jiffies;
	mutex_init(&s->direct_mem_lock);
	sdxi_bonds_init(&s->bonds, &s->pdev->dev);
}

int sdxi_direct_offer(struct sdxi *s)
{
	s->dev.no_direct = why_not(s);
	if (s->dev.no_direct != SHARQ_REASON_NONE)
		return 0;
	s->dev.no_direct_errno = try_bond(s);
	if (s->dev.no_direct_errno) {
		s->dev.no_direct = SHARQ_REASON_NO_SVA;
		return 0;
	}
	/* A context's next client needs that. Its number is nobody's yet. */
	s->dev.no_direct_errno = sdxi_cxt_try_updates(s, SDXI_CXT_SHADOW + 1);
	if (s->dev.no_direct_errno) {
		s->dev.no_direct = SHARQ_REASON_DEVICE;
		/* That may have been the end of its admin context. */
		return sdxi_fn_stop(s) ?: sdxi_fn_start(s);
	}
	s->dev.direct = &direct_ops;
	s->dev.direct_max = count_contexts(s);
	return 0;
}

void sdxi_direct_exit(struct sdxi *s)
{
	sdxi_bonds_close(&s->bonds);
	mutex_lock(&s->direct_mem_lock);
	s->direct_closed = true;
	mutex_unlock(&s->direct_mem_lock);
	for (unsigned int i = 0; i < ARRAY_SIZE(s->direct_mem); i++)
		sharq_space_unalloc(s->space, &s->direct_mem[i]);
}
