/* SPDX-License-Identifier: MIT */
/*
 * libsharq's inside. Nothing here is visible to applications.
 *
 * Locks of a connection, in the order in which they may be held together:
 *   grow_lock   one thread at a time asks the daemon for memory
 *   wire_lock   the socket to the daemon: one request at a time
 *   heap_lock   what of the regions is taken
 *   error_lock  the latest error's sentence
 * A queue has no lock: it belongs to one thread at a time.
 */
#ifndef SHARQ_CLIENT_H
#define SHARQ_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#pragma GCC visibility push(default)
#include "sharq.h"
#pragma GCC visibility pop

#include "check.h"
#include "exec.h"
#include "frame.h"
#include "ring.h"
#include "sdxi.h"
#include "sharq.pb-c.h"

/* What stands in a connection's guard page; a fork wipes it in the child. */
#define GUARD_WHOLE UINT32_MAX
/* Regions that a connection can have. */
#define MAX_REGIONS 512
#define REQUEST_TIMEOUT_MS 10000
/* Longest that closing a queue of the module's waits for what is in the device. */
#define QUIESCE_MS 10000

struct region;
struct kicker;
struct io_uring_sqe;

/*
 * struct sharq - a connection
 * @guard:   page that is wiped on fork (MADV_WIPEONFORK)
 * @path:    the daemon's socket; NULL: connected to nothing
 * @sock:    -1 while the daemon is away (wire_lock)
 * @queues:  queues that the daemon made for us and that are open (wire_lock)
 * @paths:   1 << enum sharq_path of every queue that was ever open
 * @frame:   where replies are received (wire_lock)
 * @map:     where the regions lie, for lookups without a lock: one word each,
 *           see region.c
 * @map_used: words of @map that were ever used
 * @regions: their owners, by the same index (heap_lock)
 */
struct sharq {
	uint32_t *guard;
	char *path;

	pthread_mutex_t wire_lock;
	int sock;
	uint64_t next_id, session, token;
	unsigned int queues;
	_Atomic unsigned int paths;
	struct sharq_frame *frame;

	pthread_mutex_t grow_lock, heap_lock;
	_Atomic uint64_t map[MAX_REGIONS];
	_Atomic unsigned int map_used;
	struct region *regions[MAX_REGIONS];

	pthread_mutex_t error_lock;
	char error[512];
};

/* A copy of caller memory that stands in for it while a command runs. */
struct stage {
	uint64_t user;
	uint8_t *copy;
	uint32_t len;
	bool write;
};

/*
 * struct record - a command in the ring; its index is the ring's user_data
 * @busy:   published and not completed
 * @orders: has FENCE or LINK: what stands behind it may have to wait
 * @failed: SHARQ_OK, or the status with which the library had replaced the
 *          command by one that the device refuses (see push.c)
 * @addr:   with @failed FAULT_*: the address
 */
struct record {
	uint64_t user_data, addr;
	uint16_t failed, flags;
	uint8_t staged;
	bool busy, writes;
	bool link : 1, orders : 1;
};

struct sharq_sqe {
	struct sharq_desc desc;
};

/* Why a queue is dead, beside SHARQ_DEVICE_DEAD: nobody is at the other end. */
#define QUEUE_GONE (1U << 31)

/*
 * struct sharq_queue - a queue
 *
 * Entries go through @sqes in order: prepared up to @front.prep_tail, accepted by
 * sharq_submit() up to @front.submit_tail, and of these published in the ring (or
 * run inline) up to @push_tail; what lies between the two last is held back,
 * see push.c.
 *
 * @in_place:    of a direct queue, entries are prepared in the ring, and published
 *               as soon as they are accepted: nothing is held back, replaced or
 *               staged, and there are no records. Without INLINE only
 * @in_ring:     records that are busy
 * @staged_writes: of these, with results that must still be copied out
 * @ordering:    of these, with FENCE or LINK: nothing runs inline meanwhile
 * @prev_link:   the last entry pushed has LINK
 * @cancel_next: and failed after the device had called it OK
 * @starved:     the last try to get more staging memory failed
 * @slots:       SQ slot -> record, to know what a dead device never took
 * @done:        completions that the caller hasn't seen, a ring
 * @ring:        NULL: inline queue
 * @kicker:      of the module's queues, shadow and direct; else NULL
 * @sdxi:        of a direct queue on an SDXI context: between @ring and @area,
 *               which is mapped, behind its notes; else NULL
 * @fd:          the module's: the queue's file; embedded: the socket to its engine
 */
struct sharq_queue {
	struct sharq_front front;
	struct sharq *s __attribute__((aligned(SHARQ_CACHE_LINE)));
	struct sharq_sqe *sqes;
	uint32_t depth;
	uint32_t push_tail;
	uint32_t in_ring, staged_writes, ordering;
	bool in_place, prev_link, cancel_next, starved, armed;
	uint32_t dead;
	uint32_t flags, inline_max;

	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	uint32_t sq_tail, sq_head, cq_head;
	uint32_t idle_peeks;
	unsigned int region_hint;

	struct record *records;
	struct stage (*stages)[SHARQ_MAX_OPERANDS];
	uint16_t *slots, *free;
	uint32_t nfree;
	struct sharq_cqe *done;
	uint32_t done_head, done_tail;

	struct sharq_caps caps;
	struct sharq_codec *codec;
	/* Inline: a LINK of the chain that runs now has failed. */
	bool chain_failed;
	struct kicker *kicker;
	struct sdxi *sdxi;
	void *area;
	size_t area_size;
	int fd, epoll, event;
	size_t map_size;
	struct sharq_queue_counts counts;
	struct sharq_queue_info info;
} __attribute__((aligned(SHARQ_CACHE_LINE)));

_Static_assert(offsetof(struct sharq_queue, front) == 0, "the ABI's");
_Static_assert(offsetof(struct sharq_queue, s) == SHARQ_CACHE_LINE,
	       "what a fork wipes ends there: see queue_alloc()");

static inline bool guarded(const struct sharq *s)
{
	return __atomic_load_n(s->guard, __ATOMIC_RELAXED) == GUARD_WHOLE;
}

/* Entries prepared or in flight or not yet seen. */
static inline uint32_t outstanding(const struct sharq_queue *q)
{
	return (uint32_t)(q->front.prep_tail + q->depth - q->front.limit);
}

/* What the ring's sq_tail is. */
static inline uint32_t published(const struct sharq_queue *q)
{
	return q->in_place ? (uint32_t)q->front.submit_tail : q->sq_tail;
}

/* How much of that the device has taken. */
static inline uint32_t consumed(const struct sharq_queue *q)
{
	return q->sdxi ? sdxi_consumed(q->sdxi)
		       : __atomic_load_n(&q->ring->sq_head, __ATOMIC_ACQUIRE);
}

/* Submitted, and not pushed. */
static inline uint32_t not_pushed(const struct sharq_queue *q)
{
	return (uint32_t)q->front.submit_tail - q->push_tail;
}

/* Published, and not completed. */
static inline uint32_t in_flight(const struct sharq_queue *q)
{
	uint32_t prepared =
		(uint32_t)(q->front.prep_tail - q->front.submit_tail);

	return q->in_place ? outstanding(q) - prepared -
				     (q->done_tail - q->done_head)
			   : q->in_ring;
}

/* connection.c */
int fail(struct sharq *s, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * request.c
 *
 * request - send @req, wait for its reply
 * @want_fds: how many descriptors must come with it; of the two of a queue, 1
 *            if the reply says bind
 * @fds:      set to them; the caller's then
 * @msg:      set to the message, to be freed with reply_free(); with an error
 *            it is NULL and sharq_error() has the sentence
 */
int request(struct sharq *s, Sharq__Pb__Request *req, unsigned int want_fds,
	    int *fds, Sharq__Pb__ServerMessage **msg);
void reply_free(Sharq__Pb__ServerMessage *msg);
/* Connect and say hello; wire_lock held or nobody else there yet. */
int wire_connect(struct sharq *s);

/* region.c. region_holds: is all of this inside one shared region? */
bool region_holds(struct sharq *s, unsigned int *hint, uint64_t addr,
		  uint32_t len);
/* @local: need not be shared with an engine */
void *heap_alloc(struct sharq *s, size_t size, bool grow, bool local);
void heap_free(struct sharq *s, void *p);
void regions_free(struct sharq *s, bool mapped);

/*
 * stage.c
 *
 * stage_in - replace operands of a checked descriptor by copies
 * @desc:   its addresses are rewritten
 * @shared: copies must be in regions (else: private memory, every operand)
 * @grow:   more memory may be asked for
 *
 * Return: how many copies there are, or -ENOMEM, or -EFAULT and *@addr; then
 * nothing stays allocated.
 */
int stage_in(struct sharq_queue *q, struct sharq_desc *desc,
	     struct stage stages[SHARQ_MAX_OPERANDS], bool shared, bool grow,
	     uint64_t *addr);
/* Copy results out, as the completion says; @cqe changes if that faults. */
void stage_out(struct sharq_queue *q, const struct stage *stages,
	       unsigned int n, struct sharq_cqe *cqe);
void stage_free(struct sharq_queue *q, const struct stage *stages,
		unsigned int n, bool shared);

/* inline.c */
void run_inline(struct sharq_queue *q, const struct sharq_desc *desc);

/*
 * push.c
 *
 * accept_prepared - take over what is prepared. Return: how much, or -errno
 * fill_ring - publish what may be published. Return: whether there was some
 * push - the same, and knock if the device wants that
 * push_in_place - of a direct queue, if it can be. @bell: its doorbell
 * submit_by_call - submission goes through sharq_submit_any()
 * push_by_call - and entries are prepared in none of the device's memory
 */
int accept_prepared(struct sharq_queue *q);
bool fill_ring(struct sharq_queue *q);
void push(struct sharq_queue *q);
void knock(struct sharq_queue *q);
void push_in_place(struct sharq_queue *q, void *bell);
void submit_by_call(struct sharq_front *front);
void push_by_call(struct sharq_queue *q);

/* bind.c: bind q->fd to this process, as @path. With an error the caller frees
 * @q. */
int bind_queue(struct sharq_queue *q, uint32_t path,
	       const Sharq__Pb__QueueCreated *c);

/*
 * kick.c: all but the first two for queues with a kicker only
 *
 * kicker_new - @bell: the mapped doorbell of a direct queue, the kicker's then;
 *   NULL: a shadow queue
 * kick - ask for what is published, unless a kick is out; ring the doorbell
 * kick_wanted - is there something to ask for, and nobody who does?
 * kick_again - kick, if what made the last one short has changed
 * kick_reap - look for the result of one that went on without us
 * kick_look - ask the file what has changed
 * kick_sleep - until something changes, at most @ms. Return: 0 or -errno
 * kick_watch - let q->epoll wait for the same
 * kick_arm - the file of a context tells of one completion, when it has been asked
 *   to. Return: there is one already, of which q->epoll may not hear
 * kick_quiesce - wait until the device leaves the caller's memory alone; the queue is
 *   dead then
 * kick_fill, kick_lend, kick_lent - for a ring of the application's: the entry,
 *   that it has one, and its result. Return: 0 or -EAGAIN: something is left
 */
int kicker_new(struct kicker **k, uint32_t *bell);
struct kicker *kicker_free(struct kicker *k, bool ours);
void kick(struct sharq_queue *q);
bool kick_wanted(const struct sharq_queue *q);
bool kick_pending(const struct sharq_queue *q);
void kick_again(struct sharq_queue *q);
void kick_reap(struct sharq_queue *q);
void kick_look(struct sharq_queue *q);
int kick_sleep(struct sharq_queue *q, int ms);
int kick_watch(struct sharq_queue *q);
bool kick_arm(struct sharq_queue *q);
void kick_quiesce(struct sharq_queue *q);
void kick_fill(const struct sharq_queue *q, struct io_uring_sqe *sqe,
	       uint32_t flags);
void kick_lend(struct sharq_queue *q);
int kick_lent(struct sharq_queue *q, int res);

/* complete.c. take_completions: whether there were some. */
bool take_completions(struct sharq_queue *q);
void complete_local(struct sharq_queue *q, const struct sharq_cqe *cqe);
void queue_dead(struct sharq_queue *q, uint32_t why);

#endif /* SHARQ_CLIENT_H */
