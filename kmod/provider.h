/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the core and a provider know of each other. A provider has devices; a
 * device executes requests. The core decides which request goes next and how
 * much of it; it knows no provider by name.
 */
#ifndef SHARQ_PROVIDER_H
#define SHARQ_PROVIDER_H

#include "sharq.h"

/*
 * struct sharq_direct_ops - hardware queues that clients drive themselves
 * @ring:  what they read
 * @start: give @q one of the device's, in q->direct. In the client's context, at
 *         BIND; the queue isn't RUNNING yet. 0, or -errno; with *@reason set when
 *         this client can't have one
 * @kill:  the client is gone, or the controller wants an end: what is being done
 *         ends soon. May be called again, and from the mmu notifier's release
 * @stop:  after it nothing of the client is touched and @bell isn't called; what
 *         was accepted is posted. @kill was called, if the queue ever was
 *         RUNNING, and isn't any more. May sleep
 * @bell:  a fault in the doorbell's mapping, at sharq_bell_offset() of q->inode;
 *         at any time between @start and @stop. mmap_lock or the VMA's is held
 *
 * One that reads SHARQ_RING_SHARQ posts with sharq_post(), reserves with
 * sharq_reserve(), and keeps to q->state; its @kill doesn't wait. Of another kind
 * the core knows nothing but q->area, which @start makes, and q->caps, which it may
 * lower; after its @kill the hardware reaches nothing of the client's any more, and
 * sharq_queue_settled() was called, and sharq_context_done() if another may have what
 * @start took: that has a bound. It has beside these:
 *
 * @run:   SHARQ_START. In the client's context, the queue is bound
 * @pause: q->state has become PAUSED, or RUNNING again. Not at the same time as
 *         @stop
 * @ready: poll(), in the client's context: is there something for it to take? If
 *         it wants to hear of that, sharq_tell() it when there is
 * @stats: what is known of its commands; cq_lock is held
 */
struct sharq_direct_ops {
	enum sharq_ring_kind ring;
	int (*start)(struct sharq_queue *q, enum sharq_reason *reason);
	void (*kill)(struct sharq_queue *q);
	void (*stop)(struct sharq_queue *q);
	vm_fault_t (*bell)(struct sharq_queue *q, struct vm_fault *vmf);
	int (*run)(struct sharq_queue *q, u64 addr);
	void (*pause)(struct sharq_queue *q);
	bool (*ready)(struct sharq_queue *q);
	void (*stats)(const struct sharq_queue *q,
		      struct sharq_ctl_stats *stats);
};

/*
 * struct sharq_device_ops
 * @attach: a queue was bound to the device (process context, may sleep); 0 or
 *          -errno. May be NULL
 * @detach: its last request is done; the reverse. May be NULL
 * @extra:  bytes of memory that it wants for itself, in r->priv, for as long as
 *          it has to do with a command such as @desc (checked). The core makes
 *          it in the client's context and counts it as the client's; it isn't
 *          cleared. May be NULL: none
 * @cost:   how many bytes of copying take as long as one byte of @desc (checked), 1
 *          to 64: what shares are counted in. May be NULL: 1
 * @push:   do about r->budget bytes of @r, going on where it stopped; on a request
 *          whose @begun is false, begin. Called with dev->lock held: may not
 *          sleep, and may not complete in the call. Answer with
 *          sharq_slice_done(). A request may get no further push (its queue was
 *          killed between two slices) and isn't told
 * @drain:  wait, at most @timeout jiffies, until nothing that was pushed is
 *          unanswered; 0 or -ETIMEDOUT. NULL: it is unregistered only when it has
 *          no queues
 * @reset:  answer all that is unanswered with SHARQ_RESET. As @drain
 * @release: nobody holds the unregistered device any more: free it. May be NULL:
 *          sharq_device_unregister() waits for that
 */
struct sharq_device_ops {
	int (*attach)(struct sharq_device *dev, struct sharq_queue *q);
	void (*detach)(struct sharq_device *dev, struct sharq_queue *q);
	u32 (*extra)(const struct sharq_desc *desc);
	u32 (*cost)(const struct sharq_desc *desc);
	void (*push)(struct sharq_device *dev, struct sharq_request *r);
	int (*drain)(struct sharq_device *dev, unsigned long timeout);
	void (*reset)(struct sharq_device *dev);
	void (*release)(struct sharq_device *dev);
};

/*
 * struct sharq_device - filled in by its provider up to @direct_max, the rest is
 * the core's (sched.c, device.c, queue.c)
 * @direct:  NULL: no direct path, and @no_direct says why, @no_direct_errno what the
 *           kernel said, or 0
 * @dma:     what its DMA goes through, to be shown; zeros: it does none
 * @slots:   requests that it takes at once
 * @direct_max: hardware queues for direct clients
 * @id:      set by sharq_device_register()
 * @refs:    one for the registration, one for each queue
 * @lock:    protects what follows, and of every queue on it what struct
 *           sharq_queue says. Taken from process context only; innermost but
 *           for the provider's own lock in push(), and for cq_lock
 * @busy:    slots taken
 * @active:  queues with ready requests, in round-robin order
 * @queues:  how many are attached
 * @direct_used: of @direct_max
 * @gone:    unregistered: accepts nothing
 */
struct sharq_device {
	char name[SHARQ_NAME_LEN];
	const char *provider;
	const struct sharq_device_ops *ops;
	struct sharq_caps caps;
	const struct sharq_direct_ops *direct;
	enum sharq_reason no_direct;
	int no_direct_errno;
	struct sharq_ctl_dma dma;
	unsigned int slots;
	unsigned int direct_max;

	u32 id;
	struct list_head node;
	struct kref refs;
	spinlock_t lock; /* scheduling */
	unsigned int busy;
	struct list_head active;
	unsigned int queues;
	unsigned int direct_used;
	bool gone;
	struct completion released;
};

/*
 * sharq_device_register - from now on queues can be made on it; sets @dev->id
 * sharq_device_unregister - no more queues; ends the ones there are (GONE), waits
 * until the device is idle: nothing is pushed any more. A device without release
 * isn't held by anybody then. Process context.
 */
int sharq_device_register(struct sharq_device *dev);
void sharq_device_unregister(struct sharq_device *dev);

/*
 * sharq_slice_done - the answer to push()
 * @bytes:    how much was served: added to r->served. What codecs read and what
 *            they write both count
 * @finished: the request is done and r->cqe says how (status, crc, consumed,
 *            produced); else it wants another push
 * Process context, no lock held; may push again from within.
 */
void sharq_slice_done(struct sharq_request *r, u32 bytes, bool finished);

#endif /* SHARQ_PROVIDER_H */
