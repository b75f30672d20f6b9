/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The provider of SDXI functions.
 *
 *   sdxi.c        PCI: probe, remove
 *   sdxi_fn.c     the function: its states, its admin context, its error log
 *   sdxi_cxt.c    a context: its memory, its ring, starting and stopping it
 *   sdxi_shadow.c the device that the core sees: slices of requests, all in one
 *                 context of the kernel's own; what happens when it fails
 *   sdxi_direct.h contexts of clients, and what there is to them
 *   sdxi_pace.h   how much of that may happen, how often
 *   proto/sdxi_hw.h  the standard's layouts
 *
 * After probe, one thread does all that the shadow context is about: it takes what
 * was pushed, maps it, writes descriptors, answers what was completed, and stops
 * and starts things when they fail. It alone reads the error log, resets the
 * function, and watches over clients' contexts. Of what it deals with others touch
 * @todo, under @lock, and what is under @admin_lock: they may start and stop contexts
 * of their own meanwhile.
 *
 * Lifetime: the PCI driver's remove() takes the hardware down. struct sdxi stays
 * until no queue holds its device.
 */
#ifndef SHARQ_SDXI_H
#define SHARQ_SDXI_H

#include <linux/bitfield.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "iommu.h"
#include "provider.h"
#include "sdxi_bond.h"
#include "sdxi_hw.h"

#define SDXI_CXT_SHADOW 1
#define SDXI_VECTOR_SHADOW 1
#define SDXI_VECTORS 2
/* Keys of the shadow context. */
#define SDXI_AKEY_DATA 0
#define SDXI_AKEY_INTR 1

/* Of @events. */
#define SDXI_EVENT_DONE 0
#define SDXI_EVENT_ERROR 1

#define SDXI_SLOTS 16

/*
 * struct sdxi_cxt - a context, whose owner alone writes to its ring
 * @mem:     struct sdxi_cxt_mem, then the ring, then a completion block for each
 *           of the ring's slots: a late one harms nobody
 * @entries: of the ring
 * @tail:    what Write_Index is or will be; never read back
 */
struct sdxi_cxt {
	u16 num;
	u32 entries;
	struct sharq_shared mem;
	struct sdxi_cxt_mem *ctl;
	union sdxi_dsc *ring;
	struct sdxi_cst_blk *blocks;
	void __iomem *doorbell;
	u64 tail;
};

/*
 * struct sdxi_slot - a slice in the function
 * @node:   in @flight, in the ring's order, or @idle
 * @r:      whose; NULL when idle
 * @copied: where the function sees @copy, which holds a source of kind COPY
 * @first, @end: of its descriptors in the ring; the last one is the interrupt
 * @bytes:  how much of @r it does
 * @fault:  the status that the error log gives it, or OK
 * @tries:  how often all stood still while it was the oldest
 */
struct sdxi_slot {
	struct list_head node;
	struct sharq_request *r;
	struct sharq_map src;
	struct sharq_map dst;
	void *copy;
	dma_addr_t copied;
	u64 first;
	u64 end;
	u32 bytes;
	enum sharq_status fault;
	unsigned int tries;
};

struct sdxi_direct;

/*
 * struct sdxi - one function
 * @burial:   unregisters @dev, once; queued when the function is found dead
 * @l2 to @errlog: tables
 * @log_read: what ERR_RD is
 * @log_asked: calls of sdxi_fn_settle_log(); @log_told: up to which its entries were
 *            given out, or ~0: there will be no more
 * @told:     sdxi_fn_settle_log() waits for that
 * @admin_lock: held for one command of @admin, or a change of the function's
 *            state; protects @admin and, as a whole, @l1
 * @reset_wanted: the thread is to reset the function; until then it takes no
 *            command
 * @events:   bits that interrupts set
 * @lock:     taken under dev->lock in push(); protects @todo and @unanswered
 * @todo:     pushed, not yet taken by the thread
 * @unanswered: pushed, and sharq_slice_done() hasn't returned
 * @wake:     the thread waits for something to do
 * @answered: drain waits for @unanswered to be 0
 * @moved:    jiffies when something was last completed, or begun with nothing
 *            before it
 * @blocked:  what is in @todo can't begin until something is completed
 * @looked:   jiffies when sdxi_watch() last did
 * @blamed:   slots that it stood still at for the last time since it did one
 * @give_up:  reset() was called: end it all
 * @dead:     answers all with RESET; set under @admin_lock
 * @direct:   clients' contexts by their numbers, those that may be started yet; who
 *            finds one here, under @direct_lock, may use it while he holds that, and
 *            queue its work
 * @direct_mem: kernel memory of these contexts, made at their first use, and kept;
 *            made under @direct_mem_lock, until @direct_closed
 */
struct sdxi {
	struct sharq_device dev;
	struct pci_dev *pdev;
	void __iomem *regs;
	void __iomem *doorbells;
	u64 cap0;
	u64 cap1;
	struct sharq_space *space;
	struct work_struct burial;
	bool registered;

	struct sharq_shared l2;
	struct sharq_shared l1;
	struct sharq_shared errlog;
	u64 log_read;
	atomic64_t log_asked;
	u64 log_told;
	wait_queue_head_t told;
	struct mutex admin_lock; /* innermost mutex */
	bool reset_wanted;
	struct sdxi_cxt admin;
	struct sdxi_cxt shadow;

	struct task_struct *thread;
	unsigned long events;
	spinlock_t lock; /* innermost */
	struct list_head todo;
	unsigned int unanswered;
	wait_queue_head_t wake;
	wait_queue_head_t answered;

	struct sdxi_slot slots[SDXI_SLOTS];
	struct sharq_shared copies;
	struct list_head idle;
	struct list_head flight;
	unsigned long moved;
	unsigned long looked;
	bool blocked;
	unsigned int blamed;
	bool give_up;
	bool dead;

	spinlock_t direct_lock; /* q->cq_lock is taken under it */
	struct sdxi_direct *direct[SDXI_L1_ENTRIES];
	struct mutex direct_mem_lock; /* nothing is taken under it */
	struct sharq_shared direct_mem[SDXI_L1_ENTRIES];
	bool direct_closed;
	struct sdxi_bonds bonds;
};

static inline u64 sdxi_doorbell_stride(u64 cap0)
{
	return SDXI_DB_STRIDE_BYTES(FIELD_GET(SDXI_CAP0_DB_STRIDE, cap0));
}

static inline __le32 sdxi_opcode(u64 type, u64 subtype, u64 flags)
{
	return cpu_to_le32(FIELD_PREP(SDXI_DSC_TYPE, type) |
			   FIELD_PREP(SDXI_DSC_SUBTYPE, subtype) | flags);
}

/* ---- sdxi_fn.c ---- */

/* Read what the function is, make its tables. */
int sdxi_fn_init(struct sdxi *s);
void sdxi_fn_exit(struct sdxi *s);
/* From STOP to ACTIVE, with the admin context running. */
int sdxi_fn_start(struct sdxi *s);
/*
 * To STOP, from wherever it is: nothing is accessed any more. -ENODEV: it
 * vanished; -ETIMEDOUT.
 */
int sdxi_fn_stop(struct sdxi *s);
/*
 * Both, in the thread, which gives up if that fails. The log is read, and direct
 * contexts know that they were stopped, before anything can be started.
 */
int sdxi_fn_reset(struct sdxi *s);
/* In the thread: it takes no command any more, and does no DMA. */
void sdxi_fn_give_up(struct sdxi *s);
/* Have the thread reset it; doesn't wait. Anywhere. */
void sdxi_fn_want_reset(struct sdxi *s);
bool sdxi_fn_is_active(const struct sdxi *s);
/* How long an admin command may take. */
#define SDXI_ADMIN_TIMEOUT_US (1000 * USEC_PER_MSEC)
/*
 * Do these n commands in the admin context, in this order; their opcodes lack VL.
 * Whoever wants to, so they shall not be such that take long. -EIO: the function says
 * so of one; -ESHUTDOWN: it is to be reset, or is dead; -ETIMEDOUT: it will be reset
 * for that.
 */
int sdxi_fn_admin_within(struct sdxi *s, const union sdxi_dsc *dsc,
			 unsigned int n, u64 patience_us);

static inline int sdxi_fn_admin(struct sdxi *s, const union sdxi_dsc *dsc,
				unsigned int n)
{
	return sdxi_fn_admin_within(s, dsc, n, SDXI_ADMIN_TIMEOUT_US);
}

/* The L1 entry of a context. */
struct sdxi_l1_ent *sdxi_fn_l1(const struct sdxi *s, u16 cxt);
/* In the thread: give each new entry of the error log to whom it concerns. */
void sdxi_fn_read_log(struct sdxi *s);
/* In the thread: it won't any more. */
void sdxi_fn_end_log(struct sdxi *s);
/*
 * Not in the thread: when it returns, what was in the log at the call was given out,
 * or is lost with the function.
 */
void sdxi_fn_settle_log(struct sdxi *s);

/* ---- sdxi_cxt.c ---- */

/*
 * Any context: the function begins to serve it, as its L1 entry says; nothing of it
 * is accessed any more until it is started. @sts: its status, of which a client may
 * make what it likes, or NULL if the function can't write it; @ctl: its control block
 * if the function shall forget it, so that nothing its owner does starts it, or NULL.
 * Both have bounds; others' starts and stops go on while a context says that it hasn't
 * stopped yet.
 */
int sdxi_cxt_run(struct sdxi *s, u16 num);
int sdxi_cxt_halt(struct sdxi *s, u16 num, const struct sdxi_cxt_sts *sts,
		  struct sdxi_cxt_ctl *ctl);
/*
 * Does the function drop what it may have kept of a context's tables? Of one that
 * nobody has. As sdxi_fn_admin().
 */
int sdxi_cxt_try_updates(struct sdxi *s, u16 num);
int sdxi_cxt_init(struct sdxi *s, struct sdxi_cxt *c, u16 num, u32 entries);
void sdxi_cxt_exit(struct sdxi *s, struct sdxi_cxt *c);
/* As new, and known to the function; it isn't running. */
void sdxi_cxt_publish(struct sdxi *s, struct sdxi_cxt *c);
int sdxi_cxt_start(struct sdxi *s, struct sdxi_cxt *c);
/* Nothing of it is accessed any more, and the function doesn't know it. */
int sdxi_cxt_stop(struct sdxi *s, struct sdxi_cxt *c);
/* Free slots of the ring; -EIO: the function's index makes no sense. */
int sdxi_cxt_room(const struct sdxi_cxt *c);
/*
 * Write a descriptor to the ring, where there is room; @block: it shall report
 * its completion. Return: its index.
 */
u64 sdxi_cxt_put(struct sdxi_cxt *c, const union sdxi_dsc *dsc, bool block);
/* Let the function see what was put. */
void sdxi_cxt_ring(struct sdxi_cxt *c);
/* 0: not yet; 1: completed; -EIO: with an error. */
int sdxi_cxt_done(const struct sdxi_cxt *c, u64 index);
/* Has the function begun with it? */
bool sdxi_cxt_begun(const struct sdxi_cxt *c, u64 index);
bool sdxi_cxt_runs(const struct sdxi_cxt *c);

/* ---- sdxi_shadow.c ---- */

int sdxi_shadow_init(struct sdxi *s);
void sdxi_shadow_exit(struct sdxi *s);
/* The function is up: serve. */
int sdxi_shadow_start(struct sdxi *s);
/* After the device was unregistered. */
void sdxi_shadow_stop(struct sdxi *s);
void sdxi_shadow_error(struct sdxi *s, const struct sdxi_errlog_ent *e);

/* ---- sdxi_direct.c; see sdxi_direct.h ---- */

/* After sdxi_shadow_init(). */
void sdxi_direct_init(struct sdxi *s);
/*
 * Offer direct queues, or say why not. The function is up and does nothing yet; not 0
 * if it isn't any more.
 */
int sdxi_direct_offer(struct sdxi *s);
/* The function has stopped for good: no bond is left afterwards. */
void sdxi_direct_exit(struct sdxi *s);
/* The thread, admin_lock held: the function has stopped, and all contexts with it. */
void sdxi_direct_stopped(struct sdxi *s);

/* ---- sdxi_watch.c ---- */

/*
 * In the thread: look after direct contexts, if it is time. Return: when it is time
 * again, in jiffies from now.
 */
long sdxi_watch(struct sdxi *s);

/* ---- sdxi.c ---- */

int sharq_sdxi_init(void);
void sharq_sdxi_exit(void);

#endif /* SHARQ_SDXI_H */
