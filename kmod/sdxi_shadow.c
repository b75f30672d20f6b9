// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device that the core sees in an SDXI function. All shadow queues share one
 * context, in kernel memory that nobody maps.
 *
 * What is in the function and unanswered can be run again: a COPY whose source
 * and destination are apart gives the same however often it is begun. Where they
 * overlap the standard promises nothing: those are done by the CPU.
 */
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/module.h>

#include "sdxi.h"
#include "soft.h"

static unsigned int sdxi_hang_ms = 2000;
module_param(sdxi_hang_ms, uint, 0644);
MODULE_PARM_DESC(sdxi_hang_ms, "for so long an SDXI function may stand still");

/* All may stand still so often with the same command at the head. */
#define TRIES 2
/* So many were blamed for that, and nothing was done in between: it wasn't they. */
#define BLAMED_MAX 3
/* Runs of a source and of a destination, cut at each other's ends; INTR. */
#define SLICE_DSCS (2 * SHARQ_SLICE_PAGES)
#define RING_ENTRIES_MAX 2048
/* As the other providers. */
#define MAX_TRANSFER (16 << 20)

static struct sdxi *to_sdxi(struct sharq_device *dev)
{
	return container_of(dev, struct sdxi, dev);
}

/* ---- answers ---- */

static void answered(struct sdxi *s)
{
	bool last;

	spin_lock(&s->lock);
	last = !--s->unanswered;
	spin_unlock(&s->lock);
	if (last)
		wake_up(&s->answered);
}

static void answer_failed(struct sdxi *s, struct sharq_request *r,
			  enum sharq_status status)
{
	r->cqe = (struct sharq_cqe){ .user_data = r->desc.user_data,
				     .status = status };
	sharq_slice_done(r, 0, true);
	answered(s);
}

static void answer_copied(struct sdxi *s, struct sharq_request *r, u32 bytes)
{
	u32 done = r->served + bytes;
	bool finished = done == r->desc.len;

	if (finished) {
		r->cqe.status = SHARQ_OK;
		r->cqe.consumed = done;
		r->cqe.produced = done;
	}
	sharq_slice_done(r, bytes, finished);
	answered(s);
}

/* The slot is free again before the answer, which may bring the next push. */
static struct sharq_request *empty(struct sdxi *s, struct sdxi_slot *slot)
{
	struct sharq_request *r = slot->r;

	if (list_is_first(&slot->node, &s->flight))
		s->moved = jiffies;
	sharq_space_unmap(s->space, &slot->src);
	sharq_space_unmap(s->space, &slot->dst);
	slot->r = NULL;
	list_move(&slot->node, &s->idle);
	s->blocked = false;
	return r;
}

static void finish(struct sdxi *s, struct sdxi_slot *slot,
		   enum sharq_status status)
{
	u32 bytes = slot->bytes;
	struct sharq_request *r = empty(s, slot);

	if (status == SHARQ_OK) {
		s->blamed = 0;
		answer_copied(s, r, bytes);
	} else {
		answer_failed(s, r, status);
	}
}

/* ---- into the ring ---- */

static union sdxi_dsc copy_dsc(dma_addr_t dst, dma_addr_t src, u32 len)
{
	union sdxi_dsc dsc = {};

	dsc.copy.opcode = sdxi_opcode(SDXI_TYPE_DMA, SDXI_DMA_COPY, 0);
	dsc.copy.size = cpu_to_le32(len - 1);
	dsc.copy.akey_src = cpu_to_le16(SDXI_AKEY_DATA);
	dsc.copy.akey_dst = cpu_to_le16(SDXI_AKEY_DATA);
	dsc.copy.addr_src = cpu_to_le64(src);
	dsc.copy.addr_dst = cpu_to_le64(dst);
	return dsc;
}

/* Once all before it has completed. */
static union sdxi_dsc intr_dsc(void)
{
	union sdxi_dsc dsc = {};

	dsc.intr.opcode =
		sdxi_opcode(SDXI_TYPE_INTR, SDXI_INTR_INTR, SDXI_DSC_FE);
	dsc.intr.akey = cpu_to_le16(SDXI_AKEY_INTR);
	return dsc;
}

static void put_slot(struct sdxi *s, struct sdxi_slot *slot)
{
	const struct sharq_run *src = slot->src.runs, *dst = slot->dst.runs;
	u32 src_at = 0, dst_at = 0, left = slot->bytes;
	union sdxi_dsc dsc;

	slot->first = s->shadow.tail;
	while (left) {
		u32 n = min(src->len - src_at, dst->len - dst_at);

		dsc = copy_dsc(dst->addr + dst_at, src->addr + src_at, n);
		sdxi_cxt_put(&s->shadow, &dsc, true);
		left -= n;
		src_at += n;
		dst_at += n;
		if (src_at == src->len) {
			src++;
			src_at = 0;
		}
		if (dst_at == dst->len) {
			dst++;
			dst_at = 0;
		}
	}
	dsc = intr_dsc();
	sdxi_cxt_put(&s->shadow, &dsc, false);
	slot->end = s->shadow.tail;
}

/* A source that was copied at the kick is in memory that holds other things. */
static int map_source(struct sdxi *s, struct sdxi_slot *slot,
		      const struct sharq_buf *buf, u32 at)
{
	if (buf->kind != SHARQ_BUF_COPY)
		return sharq_space_map(s->space, &slot->src, buf, at,
				       slot->bytes);
	memcpy(slot->copy, buf->data + at, slot->bytes);
	slot->src.runs[0].addr = slot->copied;
	slot->src.runs[0].len = slot->bytes;
	return 0;
}

static int fill(struct sdxi *s, struct sdxi_slot *slot, struct sharq_request *r)
{
	u32 at = r->served;
	int ret;

	slot->bytes = min(r->desc.len - at, r->budget);
	slot->fault = SHARQ_OK;
	slot->tries = 0;
	ret = map_source(s, slot, soft_operand(r, SHARQ_FIELD_SRC), at);
	if (ret)
		return ret;
	ret = sharq_space_map(s->space, &slot->dst,
			      soft_operand(r, SHARQ_FIELD_DST), at,
			      slot->bytes);
	if (ret)
		sharq_space_unmap(s->space, &slot->src);
	else
		slot->r = r;
	return ret;
}

/*
 * The function's index alone must not make us write over what is in flight, nor
 * may more be in flight than there is room for when all of it is run again.
 */
static int free_descriptors(const struct sdxi *s)
{
	int room = sdxi_cxt_room(&s->shadow);
	const struct sdxi_slot *oldest;

	if (room < 0 || list_empty(&s->flight))
		return room;
	oldest = list_first_entry(&s->flight, struct sdxi_slot, node);
	return min_t(s64, room,
		     s->shadow.entries - (s->shadow.tail - oldest->first));
}

/* 0, or why it can't be begun now. */
static int begin(struct sdxi *s, struct sharq_request *r)
{
	struct sdxi_slot *slot =
		list_first_entry(&s->idle, struct sdxi_slot, node);
	int room = free_descriptors(s);
	int ret;

	if (room < 0)
		return room;
	if (room < SLICE_DSCS)
		return -EAGAIN;
	ret = fill(s, slot, r);
	if (ret)
		return ret;
	if (list_empty(&s->flight))
		s->moved = jiffies;
	list_move_tail(&slot->node, &s->flight);
	put_slot(s, slot);
	return 0;
}

/* ---- what was pushed ---- */

/* What the function may not be asked to do. */
static bool for_cpu(const struct sharq_request *r)
{
	const struct sharq_desc *d = &r->desc;

	if (!d->len)
		return true;
	return soft_operand(r, SHARQ_FIELD_SRC)->kind != SHARQ_BUF_COPY &&
	       (d->dst - d->src < d->len || d->src - d->dst < d->len);
}

static void run_on_cpu(struct sdxi *s, struct sharq_request *r)
{
	u32 bytes = 0;
	bool finished = soft_exec(r, &bytes);

	sharq_slice_done(r, bytes, finished);
	answered(s);
	cond_resched();
}

static struct sharq_request *take(struct sdxi *s)
{
	struct sharq_request *r;

	spin_lock(&s->lock);
	r = list_first_entry_or_null(&s->todo, struct sharq_request, node);
	if (r)
		list_del_init(&r->node);
	spin_unlock(&s->lock);
	return r;
}

static void put_back(struct sdxi *s, struct sharq_request *r)
{
	spin_lock(&s->lock);
	list_add(&r->node, &s->todo);
	spin_unlock(&s->lock);
}

static void show(struct sdxi *s, u64 *shown)
{
	if (s->shadow.tail == *shown)
		return;
	*shown = s->shadow.tail;
	sdxi_cxt_ring(&s->shadow);
}

enum served {
	BEGUN,
	ANSWERED, /* which may have brought the next push */
	WAITS
};

/* The function goes on with what it was given before the CPU does something. */
static enum served serve(struct sdxi *s, struct sharq_request *r, u64 *shown)
{
	int ret;

	if (s->dead) {
		answer_failed(s, r, SHARQ_RESET);
		return ANSWERED;
	}
	if (for_cpu(r)) {
		show(s, shown);
		run_on_cpu(s, r);
		return ANSWERED;
	}
	ret = begin(s, r);
	if (!ret)
		return BEGUN;
	/* Nothing that is let go later would help. */
	if (ret != -EAGAIN && ret != -EIO && list_empty(&s->flight)) {
		run_on_cpu(s, r);
		return ANSWERED;
	}
	put_back(s, r);
	return WAITS;
}

/*
 * As far as it goes without an answer: the thread has others to look after, and who
 * has one command after the other done by the CPU could keep it from them.
 */
static void serve_all(struct sdxi *s)
{
	u64 shown = s->shadow.tail;
	enum served how = BEGUN;
	struct sharq_request *r;

	while (how == BEGUN && (r = take(s)))
		how = serve(s, r, &shown);
	s->blocked = how == WAITS;
	show(s, &shown);
}

/* ---- what was completed ---- */

/* As sdxi_cxt_done(), of all of its descriptors but the interrupt. */
static int slot_done(const struct sdxi *s, const struct sdxi_slot *slot)
{
	int ret = 1;

	for (u64 i = slot->first; i < slot->end - 1; i++) {
		int done = sdxi_cxt_done(&s->shadow, i);

		if (!done)
			return 0;
		if (done < 0)
			ret = done;
	}
	return ret;
}

/* Whose fault it was stands in the log, if anywhere. */
static enum sharq_status blame_operand(struct sdxi *s, struct sdxi_slot *slot)
{
	if (slot->fault == SHARQ_OK)
		sdxi_fn_read_log(s);
	return slot->fault == SHARQ_OK ? SHARQ_RESET : slot->fault;
}

static void reap(struct sdxi *s)
{
	struct sdxi_slot *slot, *next;

	list_for_each_entry_safe(slot, next, &s->flight, node) {
		int done = slot_done(s, slot);

		if (done > 0)
			finish(s, slot, SHARQ_OK);
		else if (done < 0)
			finish(s, slot, blame_operand(s, slot));
	}
}

void sdxi_shadow_error(struct sdxi *s, const struct sdxi_errlog_ent *e)
{
	u16 flags = le16_to_cpu(e->flags);
	u64 index = le64_to_cpu(e->dsc_index);
	struct sdxi_slot *slot;

	dev_warn_ratelimited(&s->pdev->dev, "error %#x %#x, index %llu\n",
			     le32_to_cpu(e->head), flags, index);
	if (!(flags & SDXI_ERRLOG_CV) || !(flags & SDXI_ERRLOG_DIV) ||
	    !(flags & SDXI_ERRLOG_BV) ||
	    le16_to_cpu(e->cxt_num) != s->shadow.num)
		return;
	list_for_each_entry(slot, &s->flight, node)
		if (slot->first <= index && index < slot->end)
			slot->fault = FIELD_GET(SDXI_ERRLOG_BUF, flags)
					      ? SHARQ_FAULT_WRITE
					      : SHARQ_FAULT_READ;
}

/* ---- when it fails ---- */

/* Answer all, serve nobody any more. */
static void die(struct sdxi *s)
{
	struct sdxi_slot *slot, *next;

	if (s->dead)
		return;
	pci_err(s->pdev, "is given up\n");
	sdxi_fn_give_up(s);
	sdxi_fn_end_log(s);
	list_for_each_entry_safe(slot, next, &s->flight, node)
		finish(s, slot, SHARQ_RESET);
	schedule_work(&s->burial);
}

/* The context, or if it won't, all of the function, which begins anew. */
static int stop(struct sdxi *s)
{
	if (READ_ONCE(s->reset_wanted) || sdxi_cxt_stop(s, &s->shadow))
		return sdxi_fn_reset(s);
	sdxi_fn_read_log(s);
	return 0;
}

static int start(struct sdxi *s)
{
	sdxi_cxt_publish(s, &s->shadow);
	return sdxi_cxt_start(s, &s->shadow);
}

/* Those that the log names; and the one at which it stood still again. */
static void single_out(struct sdxi *s)
{
	struct sdxi_slot *slot, *next;

	list_for_each_entry_safe(slot, next, &s->flight, node)
		if (slot->fault != SHARQ_OK)
			finish(s, slot, slot->fault);
	slot = list_first_entry_or_null(&s->flight, struct sdxi_slot, node);
	if (!slot || ++slot->tries < TRIES)
		return;
	s->blamed++;
	sharq_queue_end(slot->r->queue, SHARQ_QUEUE_QUARANTINED);
	finish(s, slot, SHARQ_TIMEOUT);
}

static void recover(struct sdxi *s)
{
	/* Then it wasn't those in the shadow context that stood still. */
	bool others = READ_ONCE(s->reset_wanted);
	struct sdxi_slot *slot;

	if (!others)
		pci_warn(s->pdev, "stands still\n");
	if (stop(s)) {
		die(s);
		return;
	}
	reap(s);
	if (!others)
		single_out(s);
	if (s->blamed == BLAMED_MAX ||
	    (start(s) && (sdxi_fn_reset(s) || start(s)))) {
		die(s);
		return;
	}
	s->moved = jiffies;
	list_for_each_entry(slot, &s->flight, node)
		put_slot(s, slot);
	sdxi_cxt_ring(&s->shadow);
}

/* It has hung if nothing moves until then. */
static unsigned long hung_at(const struct sdxi *s)
{
	return s->moved + msecs_to_jiffies(READ_ONCE(sdxi_hang_ms));
}

static bool hangs(const struct sdxi *s)
{
	if (list_empty(&s->flight) && !s->blocked)
		return false;
	return time_after_eq(jiffies, hung_at(s));
}

/* An error may have stopped the context, or the function; or it vanished. */
static bool stopped(struct sdxi *s, bool error, bool idle)
{
	if (error)
		sdxi_fn_read_log(s);
	if ((error || idle) && !sdxi_fn_is_active(s))
		return true;
	return READ_ONCE(s->reset_wanted) || !sdxi_cxt_runs(&s->shadow) ||
	       sdxi_cxt_room(&s->shadow) < 0;
}

/* ---- the thread ---- */

static bool has_work(struct sdxi *s)
{
	return READ_ONCE(s->events) || READ_ONCE(s->give_up) ||
	       (READ_ONCE(s->reset_wanted) && !s->dead) ||
	       kthread_should_stop() ||
	       (!s->blocked && !list_empty_careful(&s->todo));
}

static long patience(const struct sdxi *s)
{
	if (s->blocked)
		return 1;
	if (list_empty(&s->flight))
		return MAX_SCHEDULE_TIMEOUT;
	return max_t(long, hung_at(s) - jiffies, 1);
}

static int run(void *data)
{
	struct sdxi *s = data;

	while (!kthread_should_stop()) {
		long most = min(patience(s), sdxi_watch(s));
		unsigned long events;
		bool idle;

		/* Direct contexts have nobody else to see that it is there. */
		idle = !wait_event_idle_timeout(s->wake, has_work(s), most);
		/* A full barrier: what they tell of is looked at after it. */
		events = xchg(&s->events, 0);
		if (!s->dead) {
			reap(s);
			if (READ_ONCE(s->give_up))
				die(s);
			else if (stopped(s, events & BIT(SDXI_EVENT_ERROR),
					 idle) ||
				 hangs(s))
				recover(s);
		}
		serve_all(s);
	}
	sdxi_fn_end_log(s);
	return 0;
}

static irqreturn_t done_irq(int irq, void *data)
{
	struct sdxi *s = data;

	set_bit(SDXI_EVENT_DONE, &s->events);
	wake_up(&s->wake);
	return IRQ_HANDLED;
}

static irqreturn_t error_irq(int irq, void *data)
{
	struct sdxi *s = data;

	set_bit(SDXI_EVENT_ERROR, &s->events);
	wake_up(&s->wake);
	return IRQ_HANDLED;
}

/* ---- for the core ---- */

static void sdxi_push(struct sharq_device *dev, struct sharq_request *r)
{
	struct sdxi *s = to_sdxi(dev);

	spin_lock(&s->lock);
	list_add_tail(&r->node, &s->todo);
	s->unanswered++;
	spin_unlock(&s->lock);
	wake_up(&s->wake);
}

static int sdxi_drain(struct sharq_device *dev, unsigned long timeout)
{
	struct sdxi *s = to_sdxi(dev);

	return wait_event_timeout(s->answered, !READ_ONCE(s->unanswered),
				  timeout)
		       ? 0
		       : -ETIMEDOUT;
}

/* The thread's steps have bounds, so this has. */
static void sdxi_reset(struct sharq_device *dev)
{
	struct sdxi *s = to_sdxi(dev);

	WRITE_ONCE(s->give_up, true);
	wake_up(&s->wake);
	wait_event(s->answered, !READ_ONCE(s->unanswered));
}

static void sdxi_release(struct sharq_device *dev)
{
	struct sdxi *s = to_sdxi(dev);

	pci_dev_put(s->pdev);
	kfree(s);
}

static const struct sharq_device_ops sdxi_ops = {
	.push = sdxi_push,
	.drain = sdxi_drain,
	.reset = sdxi_reset,
	.release = sdxi_release,
};

/* ---- up and down ---- */

static int init_slots(struct sdxi *s)
{
	int ret = sharq_space_alloc(s->space, SDXI_SLOTS * SHARQ_COPY_MAX,
				    &s->copies);

	for (unsigned int i = 0; i < s->dev.slots && !ret; i++) {
		struct sdxi_slot *slot = &s->slots[i];

		slot->copy = s->copies.cpu + i * SHARQ_COPY_MAX;
		slot->copied = s->copies.dma + i * SHARQ_COPY_MAX;
		list_add_tail(&slot->node, &s->idle);
		ret = sharq_space_window(s->space, &slot->src);
		if (!ret)
			ret = sharq_space_window(s->space, &slot->dst);
	}
	return ret;
}

int sdxi_shadow_init(struct sdxi *s)
{
	u64 most = FIELD_GET(SDXI_CAP0_MAX_DS_RING_SZ, s->cap0);
	u32 entries = min_t(u64, SDXI_RING_ENTRIES(most), RING_ENTRIES_MAX);
	int ret;

	s->dev.ops = &sdxi_ops;
	s->dev.provider = "sdxi";
	s->dev.caps = (struct sharq_caps){
		.ops = SHARQ_OP_BIT(SHARQ_OP_NOP) | SHARQ_OP_BIT(SHARQ_OP_COPY),
		.max_transfer = MAX_TRANSFER,
	};
	s->dev.slots = SDXI_SLOTS;
	snprintf(s->dev.name, sizeof(s->dev.name), "sdxi-%s",
		 pci_name(s->pdev));
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->todo);
	INIT_LIST_HEAD(&s->idle);
	INIT_LIST_HEAD(&s->flight);
	init_waitqueue_head(&s->wake);
	init_waitqueue_head(&s->answered);
	ret = sdxi_cxt_init(s, &s->shadow, SDXI_CXT_SHADOW, entries);
	if (!ret)
		ret = init_slots(s);
	if (ret)
		sdxi_shadow_exit(s);
	return ret;
}

void sdxi_shadow_exit(struct sdxi *s)
{
	sharq_space_unalloc(s->space, &s->copies);
	sdxi_cxt_exit(s, &s->shadow);
}

static int hook_interrupts(struct sdxi *s)
{
	int ret = pci_request_irq(s->pdev, SDXI_VECTOR_ERROR, error_irq, NULL,
				  s, "%s-errors", s->dev.name);

	if (ret)
		return ret;
	ret = pci_request_irq(s->pdev, SDXI_VECTOR_SHADOW, done_irq, NULL, s,
			      "%s", s->dev.name);
	if (ret)
		pci_free_irq(s->pdev, SDXI_VECTOR_ERROR, s);
	return ret;
}

static void unhook_interrupts(struct sdxi *s)
{
	pci_free_irq(s->pdev, SDXI_VECTOR_SHADOW, s);
	pci_free_irq(s->pdev, SDXI_VECTOR_ERROR, s);
}

int sdxi_shadow_start(struct sdxi *s)
{
	int ret = hook_interrupts(s);

	if (ret)
		return ret;
	sdxi_cxt_publish(s, &s->shadow);
	ret = sdxi_cxt_start(s, &s->shadow);
	if (ret)
		goto err_interrupts;
	s->thread = kthread_run(run, s, "sharq-%s", pci_name(s->pdev));
	if (!IS_ERR(s->thread))
		return 0;
	ret = PTR_ERR(s->thread);
err_interrupts:
	unhook_interrupts(s);
	return ret;
}

void sdxi_shadow_stop(struct sdxi *s)
{
	kthread_stop(s->thread);
	/* It does so at its end, but may never have begun. */
	sdxi_fn_end_log(s);
	if (!s->dead)
		sdxi_cxt_stop(s, &s->shadow);
	unhook_interrupts(s);
}
