/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sharq.ko's inside: queues, requests, and who does what with them.
 *
 *   main.c     module: starts the core, then the providers
 *   control.c  /dev/sharq: the controller's commands, events
 *   device.c   the list of devices
 *   queue.c    a queue's life: made, bound, dead, freed; its mmu notifier
 *   file.c     a queue's file operations; one validity check at the top of each
 *   uring.c    the kick as URING_CMD
 *   kick.c     consuming descriptors: copy, check, resolve, hand over
 *   memory.c   client memory: copying, pinning, bounce memory, accounting
 *   borrow.c   taking on a client's address space
 *   stager.c   a client's own thread, which copies to and from what can't be pinned
 *   request.c  requests: allocation, completion, posting to the CQ
 *   sched.c    order within a queue (FENCE, LINK), shares between queues
 *   soft.c     provider: kernel threads; exec.c, codec.c: the operations;
 *              soft_direct.c, soft_user.c: its direct path
 *   sdxi.c     provider: SDXI functions (sdxi_*.c); iommu.c: what their DMA
 *              goes through; sdxi_direct.c: its direct path
 *   ../proto/check.c: what a descriptor may say
 *
 * A request's way: kick.c makes it and gives it to sharq_sched_add(). When order
 * allows, sched.c hands it to the stager if it needs copying in, then makes it
 * ready; pushes slices of it to the device; when the last is done, hands it to
 * the stager if it needs copying out; then sharq_request_complete() posts its
 * completion and sharq_sched_done() lets go what waited for it.
 *
 * A direct queue has no requests: what the provider started at BIND takes its
 * descriptors from the ring and posts their completions, by sharq_reserve() and
 * sharq_post() as kick.c does; or the hardware does, in q->area, and nobody here
 * sees the one or the other.
 *
 * Locks, outermost first:
 *   q->bind_lock (mutex)  binding; mmap_lock is taken under it, to register the
 *                         notifier, so mmap() can't take it
 *   q->kick_lock (mutex)  consuming; user memory is touched under it
 *   mmap_lock             of the client
 *   dev->lock (spinlock)  scheduling: see struct sharq_device
 *   q->cq_lock (spinlock) the CQ, the state
 *   q->event_lock (mutex) the eventfd; only its waiters' locks are taken under it
 *   events.lock (spinlock, control.c) what the controller hasn't fetched
 * bind_lock and kick_lock are never held together. All spinlocks are taken from
 * process context only. The doorbell's fault handler, under mmap_lock, takes none
 * of these; who takes the doorbell's mapping away holds none of these.
 *
 * Lifetimes: a queue is held by its file (one reference) and by each request;
 * its stager and what serves its direct path go when it is freed. The file's
 * release ends it (GONE); the last put has it freed by a work item, as that waits
 * for the mmu notifier, which may be what did the last put. A queue holds its
 * device; its client's mm is held by mmgrab() only: mm_users never longer than one
 * access, or one burst of a direct queue's commands.
 */
#ifndef SHARQ_H
#define SHARQ_H

#include <linux/completion.h>
#include <linux/eventfd.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pid.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "check.h"
#include "ring.h"
#include "sharq_abi.h"
#include "sharq_ioctl.h"

struct sharq_device;
struct sharq_stager;
struct inode;
struct io_uring_cmd;

/* Sources up to this are copied at the kick instead of pinned. */
#define SHARQ_COPY_MAX 512
/* Completions that a kick posts together. */
#define SHARQ_POSTS 32

/*
 * struct sharq_batch - a kick that waits for what it consumed (KICK_WAIT)
 * @refs: one for the kick while it consumes, one for each request; the last put
 *        completes @cmd, a request's by way of @queue's @answers
 * @life: one for @refs, one for the URING_CMD, which may be canceled any time
 *        until it is answered; the last put frees
 * @cmd:  taken out, under @lock, by whoever completes it
 * @queue: no reference; the kick's file and the requests have theirs
 * @node: in @queue's @answers
 */
struct sharq_batch {
	struct kref refs;
	struct kref life;
	spinlock_t lock; /* innermost */
	struct io_uring_cmd *cmd;
	int consumed;
	struct sharq_queue *queue;
	struct llist_node node;
};

enum sharq_buf_kind {
	SHARQ_BUF_NONE = 0,
	SHARQ_BUF_COPY,	  /* of a source, taken at the kick: @data */
	SHARQ_BUF_PINNED, /* the client's pages */
	SHARQ_BUF_STAGED, /* pages of ours; the stager copies */
	SHARQ_BUF_WINDOW, /* the soft provider's own */
};

/*
 * struct sharq_buf - where the bytes of an operand are for the device
 * @op:     the operand, as sharq_operands() gave it
 * @offset: of the first byte in @pages[0]
 * @pages:  @nr of them; == @few when they fit there
 * @data:   COPY: kernel memory, not pages; WINDOW: the provider's
 */
struct sharq_buf {
	struct sharq_operand op;
	enum sharq_buf_kind kind;
	unsigned int offset;
	unsigned int nr;
	struct page **pages;
	struct page *few[2];
	void *data;
};

/*
 * struct sharq_borrow - a thread of ours that acts as a client at times
 * @task:     the thread; it has allowed SIGKILL
 * @client:   its process; @cred: its credentials; @mm: its memory (mmgrab)
 * @watchdog: runs meanwhile: the client may be gone but for our hold on @mm, or
 *            @limit (jiffies; 0: none) be over, counted from @since
 * @ours:     the thread's own credentials meanwhile
 * @killed:   never again
 */
struct sharq_borrow {
	struct task_struct *task;
	struct pid *client;
	const struct cred *cred;
	const struct cred *ours;
	struct mm_struct *mm;
	struct timer_list watchdog;
	unsigned long since;
	unsigned long limit;
	bool killed;
};

/*
 * struct sharq_request - an accepted command
 * @node:     in one list: q->pending, q->ready, q->ended, the stager's, the
 *            provider's
 * @desc:     the copy that was checked; never looked at in the ring again
 * @cqe:      its completion in the making; user_data is set from the start
 * @buf:      its operands, in sharq_operands()'s order
 * @settled:  done already (at the kick: refused, fault): @cqe is final and only
 *            waits for its turn in the queue's order
 * @staged:   some buf is STAGED
 * @served:   bytes served by the device so far; the provider's to read
 * @begun:    was pushed before
 * @has_slot: of the device, though that has answered: until it is posted
 * @budget:   how much the device is asked to do in the push that is unanswered
 * @priv:     the provider's: sharq_device_ops.extra bytes, or NULL
 * @extra:    how many
 * @cost:     a byte of it counts as so many in the queue's share
 * @batch:    the kick that waits for it, or NULL
 * @accepted_ns, @device_ns: when it was accepted; when first pushed, or 0
 */
struct sharq_request {
	struct list_head node;
	struct sharq_queue *queue;
	struct sharq_desc desc;
	struct sharq_cqe cqe;
	struct sharq_buf buf[SHARQ_MAX_OPERANDS];
	unsigned int nbufs;
	bool settled;
	bool staged;
	bool begun;
	bool has_slot;
	u32 served;
	u32 budget;
	void *priv;
	u32 extra;
	u32 cost;
	struct sharq_batch *batch;
	u64 accepted_ns;
	u64 device_ns;
};

/*
 * struct sharq_queue - a client's queue
 *
 * Baked in at creation: @id to @label.
 * @inode:     its file's mapping is this one's, which is no other file's
 * @rings:     vmalloc_user(): struct sharq_ring, SQ, CQ; mapped by the client.
 *             All in it is the client's to change at any time
 * @state:     enum sharq_queue_state; written under @cq_lock, read anywhere
 * @mm:        whose it is, once bound (mmgrab); set once, before RUNNING
 * @tgid:      who bound it
 * @bound:     attached to the device, and @mn registered with @mm: to be undone
 * @direct:    the provider's, of a direct queue; set before @mn is registered.
 *             Others than BIND may use it only if @path is DIRECT: else BIND may
 *             yet fail, and free it
 * @area:      vmalloc_user(), @area_size, for @area_entries: what a direct queue
 *             of another kind than SHARQ_RING_SHARQ has, mapped by the client; made
 *             and let go as @direct is. All in it is the client's to change at any
 *             time. @area_mapped: how often it is
 * @has_context: counted in the device's direct_used; under dev->lock
 * @sleeps, @asleep: how often what serves the direct path fell asleep, and whether
 *             it is; its to write
 * @unbound_until: jiffies64 until which BIND is accepted
 *
 * kick_lock: @sq_head, @posts; @stats.kicks, .short_kicks, .copied, .staged
 * event_lock: @event
 * cq_lock:   @cq_tail, @in_flight, @short_kick, @stats' completion part
 *   @in_flight: accepted and not posted; in_flight + (cq_tail - cq_head) is
 *               never over depth
 *   @short_kick: the last kick was short for a reason that a completion ends (a
 *             limit): EPOLLOUT is withheld until the next one. Not for a full CQ
 *             or a pause: poll sees these itself
 * dev->lock: @active to @ordered; @stats.served
 *   @pending: accepted, in order, not yet allowed to start
 *   @ready:   may go to the device; a request between two slices is at the end
 *   @ended:   to be completed by @later_work; unless they are settled, as those
 *             of a dead queue
 *   @in_device: requests that are pushed and unanswered
 *   @unfinished: left @pending, and not completed: what a FENCE waits for
 *   @deficit: what it may still have in this round, or (negative) owes
 *   @link_wait: the last one that left @pending has LINK and isn't completed
 *   @link_failed: and failed: the next is CANCELED
 *   @canceled: sharq_sched_cancel() was called: nothing more is pushed
 *   @releasing: somebody is emptying @pending
 *   @rest:    and has left it to @later_work
 *   @ordered: requests with FENCE or LINK that aren't completed (an atomic: kick.c
 *             reads it without the lock, and only its own kicks raise it)
 * @answers:   batches that are done, for @later_work to complete their kicks
 * @pinned:    bytes held by requests, against @pin_bytes
 *
 * Of a direct queue @sq_head, @cq_tail and @stats are written by what serves it
 * alone, @cq_tail and @stats' counts under cq_lock.
 */
struct sharq_queue {
	u64 id;
	struct sharq_device *dev;
	struct sharq_caps caps;
	u32 depth;
	u16 weight;
	u32 max_in_device;
	kuid_t uid;
	u64 pin_bytes;
	u64 cookie[SHARQ_COOKIES];
	char label[SHARQ_LABEL_LEN];

	struct kref refs;
	struct work_struct free_work;
	struct work_struct later_work;
	struct work_struct end_work;
	struct sharq_notice *notice; /* control.c's */

	struct inode *inode;
	struct sharq_ring *rings;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	u32 map_size;

	enum sharq_queue_state state;
	enum sharq_bind_path path;
	enum sharq_reason reason;
	int reason_errno;
	struct mutex bind_lock; /* BIND */
	struct mm_struct *mm;
	struct pid *tgid;
	struct mmu_notifier mn;
	bool bound; /* bind_lock */
	void *direct;
	void *area;
	u32 area_size;
	u32 area_entries;
	atomic_t area_mapped;
	bool has_context;
	u64 sleeps;
	bool asleep;
	u64 unbound_until;

	struct mutex kick_lock; /* consuming */
	u32 sq_head;
	struct sharq_cqe posts[SHARQ_POSTS];

	struct mutex event_lock; /* the eventfd */
	struct eventfd_ctx *event;

	spinlock_t cq_lock ____cacheline_aligned_in_smp;
	u32 cq_tail;
	u32 in_flight;
	bool short_kick;
	wait_queue_head_t wait;
	struct sharq_ctl_stats stats;

	struct list_head active ____cacheline_aligned_in_smp;
	struct list_head pending;
	struct list_head ready;
	struct list_head ended;
	unsigned int in_device;
	unsigned int unfinished;
	s64 deficit;
	bool link_wait;
	bool link_failed;
	bool canceled;
	bool releasing;
	bool rest;
	atomic_t ordered;
	struct llist_head answers;
	atomic64_t pinned;

	struct sharq_stager
		*stager; /* kick_lock; made for the first that needs it */
};

/* In its file's mapping, where the doorbell's page lies: behind the rings. */
static inline u64 sharq_bell_offset(const struct sharq_queue *q)
{
	return q->map_size;
}

/* And its area. */
static inline u64 sharq_area_offset(const struct sharq_queue *q)
{
	return sharq_bell_offset(q) + PAGE_SIZE;
}

static inline bool sharq_state_dead(enum sharq_queue_state s)
{
	return s >= SHARQ_QUEUE_BROKEN;
}

/* Which of struct sharq_ctl_stats' buckets. */
static inline unsigned int sharq_hist_bucket(u64 ns)
{
	return min(fls64(ns / NSEC_PER_USEC), SHARQ_HIST_BUCKETS - 1);
}

/* ---- control.c ---- */

int sharq_control_init(void);
void sharq_control_exit(void);
/*
 * A queue begins (sets q->id; allocates q->notice), changed, ended (gives its
 * last figures to the controller if there is one). Changed: no lock inside
 * cq_lock held; the others may sleep.
 */
int sharq_control_add(struct sharq_queue *q);
void sharq_control_changed(struct sharq_queue *q);
void sharq_control_remove(struct sharq_queue *q);
/* End every queue on a device that goes away. */
void sharq_control_end_device(struct sharq_device *dev);

/* ---- device.c ---- */

/*
 * The device @id, or the one with the lowest id that is at least @id: a
 * reference, or NULL.
 */
struct sharq_device *sharq_device_get(u32 id);
struct sharq_device *sharq_device_next(u32 id);
void sharq_device_put(struct sharq_device *dev);
unsigned int sharq_device_count(void);

/* ---- queue.c ---- */

int sharq_queue_init(void);
/* Waits for the last queue to be freed; nothing may hold one any more. */
void sharq_queue_exit(void);
/* Make a queue as a checked @c says; the reference is the caller's. */
int sharq_queue_new(const struct sharq_ctl_create *c, kuid_t uid,
		    struct sharq_queue **q);
struct sharq_queue *sharq_queue_get(struct sharq_queue *q);
/* Never sleeps. */
void sharq_queue_put(struct sharq_queue *q);
/*
 * Have sharq_sched_go_on() and sharq_tell_all() called where it keeps nobody else
 * waiting: how long they take is in the client's hands. Never sleeps. Nothing is
 * done for a queue that nobody holds any more.
 */
void sharq_queue_later(struct sharq_queue *q);
/* BIND, in the client's context; fills in @b's answers. */
int sharq_queue_bind(struct sharq_queue *q, struct sharq_bind *b);
/* 0 if a caller may act on the queue now, else the errno that says why not. */
int sharq_queue_enter(const struct sharq_queue *q);
int sharq_queue_pause(struct sharq_queue *q);
int sharq_queue_resume(struct sharq_queue *q);
/* Its figures now; all of @stats but size. */
void sharq_queue_stats(struct sharq_queue *q, struct sharq_ctl_stats *stats);
/*
 * End it: @state is one of the dead ones; the first to end it wins, to others
 * it returns -ESHUTDOWN, but does what their @state asks for too. Cancels what
 * isn't in the device (not for BROKEN: what was accepted completes), wakes
 * everybody. Process context, kick_lock may be held; may be called from the mmu
 * notifier's release and from a completion. Who accepts or adds requests looks at
 * the state under cq_lock or dev->lock, so nothing slips by behind the cancelling.
 * It waits, of a direct queue, for what its kill() waits for.
 */
int sharq_queue_end(struct sharq_queue *q, enum sharq_queue_state state);
/*
 * The same for those who can't wait for hardware; @state isn't BROKEN. From here on
 * the queue is dead, and what is to be cancelled, ended and woken soon is. Never
 * sleeps. Of a queue that nobody holds any more only the state changes.
 */
int sharq_queue_end_soon(struct sharq_queue *q, enum sharq_queue_state state);
/* It is dead, and its hardware writes nothing to its area any more. */
void sharq_queue_settled(struct sharq_queue *q);
/* Its device's direct path has room for another instead. Process context. */
void sharq_context_done(struct sharq_queue *q);
/* The operations of a direct queue, else NULL. */
const struct sharq_direct_ops *sharq_queue_direct(const struct sharq_queue *q);

/* ---- file.c ---- */

/*
 * A file for @q, which takes over the caller's reference. Return: fd, or -errno
 * and the reference is gone. Not installed: for fd_install().
 */
int sharq_file_new(struct sharq_queue *q, struct file **file);

/* ---- uring.c ---- */

int sharq_uring_cmd(struct io_uring_cmd *cmd, unsigned int issue_flags);
/* A request of the batch was completed, or its kick has ended. */
void sharq_batch_put(struct sharq_batch *batch);
/* Complete the kicks whose batches are done. */
void sharq_batch_answer(struct sharq_queue *q);

/* ---- kick.c ---- */

/*
 * Consume up to @count descriptors; sharq_queue_enter() was passed. @nonblock:
 * -EAGAIN if it would sleep before the first. @batch: gets a reference for each
 * one accepted, or NULL. Return: how many, or -errno and then none was consumed.
 */
int sharq_kick(struct sharq_queue *q, u32 count, bool nonblock,
	       struct sharq_batch *batch);

/*
 * Count in in_flight what may be consumed now: what is there, at most *@wanted,
 * and as much as the CQ will hold. Return: how many; 0 also in a pause; or
 * -EPROTO: the client's indices are nonsense; -ESHUTDOWN. *@wanted becomes what
 * could have been consumed with more room. The caller is the only consumer.
 */
int sharq_reserve(struct sharq_queue *q, u32 *wanted);

/* ---- memory.c ---- */

/*
 * sharq_mem_get - make one operand reachable: fills in @buf, of which @op is set
 * @may_copy: a small source may be copied now (nothing before it in the queue's
 *            order can still write to it)
 * Return: 0; -EFAULT and *@fault, the first address that can't be reached so;
 * -EAGAIN: would sleep, and @nonblock; -ENOMEM; -EINTR: a fatal signal. After an
 * error nothing is held. Client's context, kick_lock held. Counts what it pins
 * and stages in q->pinned; the limit is the caller's to keep.
 */
int sharq_mem_get(struct sharq_queue *q, struct sharq_buf *buf, bool may_copy,
		  bool nonblock, u64 *fault);
/* What pinning or staging @op counts in q->pinned. */
u64 sharq_mem_size(const struct sharq_operand *op);
/* Let go; @written: mark pages that the device may have written dirty. */
void sharq_mem_put(struct sharq_queue *q, struct sharq_buf *buf, bool written);
/*
 * The kernel's address of @buf's bytes from @at; @len: how many are wanted (and
 * there), becomes how many of them lie together.
 */
void *sharq_mem_at(const struct sharq_buf *buf, u32 at, u32 *len);

/* ---- borrow.c ---- */

/* Client's context. @client, @limit: see struct sharq_borrow. Then set @task. */
void sharq_borrow_init(struct sharq_borrow *b, struct pid *client,
		       unsigned long limit);
/* After the thread has ended. */
void sharq_borrow_fini(struct sharq_borrow *b);
/*
 * In the thread, from begin to end (none after an error): user memory is the
 * client's; a fatal signal may come, and copying fail for it. -ESHUTDOWN: the
 * client is gone.
 */
int sharq_borrow_begin(struct sharq_borrow *b);
void sharq_borrow_end(struct sharq_borrow *b);
/* Any process context: interrupt it now, refuse to begin again. */
void sharq_borrow_kill(struct sharq_borrow *b);

/* ---- stager.c ---- */

/* Client's context, kick_lock held: have one. */
int sharq_stager_need(struct sharq_queue *q);
/*
 * Copy in (then sharq_sched_staged()), copy out (then sharq_request_complete()).
 * Any process context, no lock held; always answers.
 */
void sharq_stager_in(struct sharq_request *r);
void sharq_stager_out(struct sharq_request *r);
/*
 * The queue is dead (and not just BROKEN): give up copying; what is queued is
 * answered with RESET. Doesn't wait.
 */
void sharq_stager_kill(struct sharq_queue *q);
/* After the last request. NULL is fine. */
void sharq_stager_free(struct sharq_queue *q);

/* ---- request.c ---- */

int sharq_request_init(void);
void sharq_request_exit(void);
/* kick_lock held. Holds the queue. NULL: no memory. */
struct sharq_request *sharq_request_new(struct sharq_queue *q,
					const struct sharq_desc *desc);
/* What a request for @desc will count in q->pinned besides its operands. */
u32 sharq_request_extra(const struct sharq_queue *q,
			const struct sharq_desc *desc);
/*
 * Before a request that the device is to execute is given to sharq_sched_add():
 * makes r->priv, counts it in q->pinned, sets r->cost. 0 or -ENOMEM.
 */
int sharq_request_arm(struct sharq_request *r);
/* Not accepted after all; its operands were let go. Lets go of r->priv. */
void sharq_request_cancel(struct sharq_request *r);
/*
 * Post r->cqe, let go of its memory, its batch, the queue; then
 * sharq_sched_done(). Process context, no lock held. For requests that were
 * given to sharq_sched_add(). Unless @tell, sharq_tell() is to follow.
 */
void sharq_request_complete(struct sharq_request *r, bool tell);
/*
 * Those who wait for the queue that something happened. A client may have many wait,
 * and in ways that take long to tell: of few sharq_tell() wakes them itself, else it
 * leaves that to sharq_tell_all(). So it does for the eventfd, always.
 */
void sharq_tell(struct sharq_queue *q);
void sharq_tell_all(struct sharq_queue *q);
/*
 * Post completions of descriptors that never became requests (cq_lock is taken
 * once for all), and wake who waits. They must have been counted in in_flight.
 */
void sharq_post(struct sharq_queue *q, const struct sharq_cqe *cqes,
		unsigned int n);

/* ---- sched.c ---- */

/*
 * Take over a kick's accepted requests, in order (linked by node). Process
 * context, no lock but kick_lock held.
 */
void sharq_sched_add(struct sharq_queue *q, struct list_head *requests);
/* The stager has copied in; or failed: then r->settled and r->cqe says so. */
void sharq_sched_staged(struct sharq_request *r);
/* It was posted: what waited for it may go on, and its slot is free. */
void sharq_sched_done(const struct sharq_request *r);
/* Let go what sharq_queue_later() was called for. sharq_tell_all() is to follow. */
void sharq_sched_go_on(struct sharq_queue *q);
/*
 * The queue is dead: complete as CANCELED all that isn't in the device, most of it
 * later.
 */
void sharq_sched_cancel(struct sharq_queue *q);
/*
 * Would a NOP or a refused descriptor that comes now be next, with nothing to
 * wait for? Then it can be completed at once. kick_lock held, nothing of this
 * kick left to add.
 */
bool sharq_sched_idle_order(const struct sharq_queue *q, u16 flags);

#endif /* SHARQ_H */
