/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Direct queues: contexts of clients, by their own addresses.
 *
 *   sdxi_direct.c a context's life, its doorbell
 *   sdxi_bond.c   bonds with address spaces
 *   sdxi_faults.c its errors
 *   sdxi_wake.c   waking who sleeps on it
 *   sdxi_watch.c  ending it when it stands still
 *
 * Locks, outermost first:
 *   q->bind_lock
 *   struct sdxi_bonds' semaphore; mmap_lock is taken under it
 *   s->direct_mem_lock (mutex)
 *   d->life (mutex)       a context is started, started again, stopped
 *   s->admin_lock (mutex) see struct sdxi
 *   mmap_lock, d->bell_lock (mutex), the mapping's locks: the doorbell's mapping.
 *                         Under d->life, too, but never under s->admin_lock
 *   s->direct_lock (spinlock)
 *   q->cq_lock, the waker's lock (spinlocks) innermost, not together
 * d->life and s->admin_lock are not taken with mmap_lock held.
 *
 * Who stops a context may have to wait for the function's thread, which resets the
 * function if there is no other way. So the thread takes no d->life and ends no
 * direct queue but by sharq_queue_end_soon().
 */
#ifndef SHARQ_SDXI_DIRECT_H
#define SHARQ_SDXI_DIRECT_H

#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/workqueue.h>

#include "sdxi.h"
#include "sdxi_faults.h"
#include "sdxi_wake.h"
#include "sdxi_watch.h"

/*
 * struct sdxi_direct - a client's context, in q->direct, from BIND until the queue
 * is freed
 * @num:     of the context, nobody else's until kill() is done
 * @bond:    with the client, whose @pasid it gives
 * @entries: of the ring; of @blocks and @words as many
 * @area:    q->area, with @ring, @blocks, @words behind it. All in it is the
 *           client's to change at any time
 * @doorbell: of the context, for the kernel
 *
 * @life:    held while something is done to the context
 * @started: by SHARQ_START; under @life and @bell_lock
 * @over:    it was stopped by a reset, or is about to be by kill(): nobody starts it
 *           any more. Set under s->admin_lock (reset) or @life (kill)
 * @killed:  bit 0: kill() began
 * @stopped: a reset has stopped it
 * @settled: kill() is done
 * @bell_lock: what the doorbell's page shows agrees with q->state and @started
 * @dummy:   it, when nobody listens
 */
struct sdxi_direct {
	struct sdxi *s;
	struct sharq_queue *q;
	u16 num;
	struct sdxi_bond *bond;
	u32 pasid;
	u32 entries;
	struct sharq_sdxi *area;
	union sdxi_dsc *ring;
	struct sdxi_cst_blk *blocks;
	u64 *words;
	void __iomem *doorbell;

	struct mutex life; /* starting and stopping */
	bool started;
	bool over;
	unsigned long killed;
	struct completion stopped;
	struct completion settled;

	struct sdxi_faults faults;
	struct sdxi_waker waker;
	struct sdxi_watch watch;

	struct mutex bell_lock; /* the doorbell's mapping */
	struct page *dummy;
};

/* NULL: it isn't mapped, so the function can't write it. */
static inline const struct sdxi_cxt_sts *
sdxi_direct_status(const struct sdxi_direct *d)
{
	return atomic_read(&d->q->area_mapped) ? (const void *)d->area->status
					       : NULL;
}

/* Nothing is in flight, as the client has it. */
static inline bool sdxi_direct_idle(const struct sdxi_direct *d)
{
	/* Blocks that were used before are new before the index says so. */
	return smp_load_acquire(&d->area->write_index) ==
	       READ_ONCE(d->area->taken);
}

/* Descriptor @taken is done, and the client hasn't seen it yet. */
static inline bool sdxi_direct_done(const struct sdxi_direct *d)
{
	u64 taken = READ_ONCE(d->area->taken);

	return !sdxi_direct_idle(d) &&
	       !READ_ONCE(d->blocks[taken % d->entries].signal);
}

/*
 * Tell the function how far the client has got, unless it isn't to know. Process
 * context.
 */
void sdxi_direct_ring(struct sdxi_direct *d);

#endif /* SHARQ_SDXI_DIRECT_H */
