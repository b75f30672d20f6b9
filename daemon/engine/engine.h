/* SPDX-License-Identifier: MIT */
/*
 * The embedded engine: a process that executes the commands of one user's
 * queues on the CPU.
 *
 * Threads: the main thread talks to sharqd (control.c) and owns every list;
 * workers (worker.c) serve rings and run commands. The main thread changes
 * what workers look at only while the world is stopped (world_stop()), so
 * workers need no lock to look. A worker stops between two slices.
 *
 * What a client can write (rings, regions) is read once, checked, and never
 * believed again; what must survive this process is in the journals.
 *
 * Locks: jobs_lock, queue.cq_lock, active_lock > queue.flags_lock. No other nests.
 */
#ifndef SHARQ_ENGINE_H
#define SHARQ_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "exec.h"
#include "journal.h"
#include "ring.h"

#define ENGINE_MAX_WORKERS 64
#define ENGINE_MAX_REGIONS 256
/* Descriptors taken from a ring in one go. */
#define ENGINE_BATCH 16
/* Commands up to this many bytes run at once; longer ones become jobs. */
#define ENGINE_SMALL (32U * 1024)

struct region {
	uint64_t id, base, size;
	uint8_t *map;
	int fd;
};

/* A client's process: its regions and queues. */
struct session {
	struct session *next; /* engine.sessions */
	uint64_t id;
	int pidfd; /* -1: none */
	uint8_t *info;
	size_t info_len;
	/* Changed with the world stopped. */
	unsigned int region_count;
	struct region regions[ENGINE_MAX_REGIONS];
};

/* One accepted command; its descriptor lies in the journal slot. */
struct command {
	struct command *next; /* queue.jobs or queue.free_* */
	struct sharq_exec exec;
};

struct queue {
	struct queue *next; /* engine.queues */
	struct session *session;
	uint64_t id;
	uint32_t depth;
	int ring_fd, journal_fd, sock;
	uint8_t *info;
	size_t info_len;

	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	size_t ring_size, journal_size;
	struct sharq_journal *journal;
	struct command *commands; /* depth of them, index = journal slot */

	/* Of whoever holds engine.poller. */
	uint64_t sq_seq;
	uint32_t seen_cq_head;
	uint64_t last_work_ns;
	struct command *free_local;

	/*
	 * Under cq_lock; the poller does without while jobs_out is 0: only it
	 * makes jobs, and nobody else completes commands.
	 */
	pthread_mutex_t cq_lock;
	struct command *free_shared;
	_Atomic uint64_t cq_seq;   /* read without the lock by the poller */
	_Atomic uint32_t jobs_out; /* jobs made and not yet completed */
	bool event_due; /* poller: posted; WANT_EVENT to be looked at again */

	/* The ring waits for something in flight: who completes it activates. */
	_Atomic bool stalled;
	/* A LINK in flight holds the ring back until its outcome is known. */
	_Atomic bool link_wait;
	_Atomic bool link_failed;

	pthread_mutex_t flags_lock; /* for changing flags; a leaf */
	_Atomic uint32_t flags; /* SHARQ_DEVICE_*: ours, mirrored in the ring */
	_Atomic unsigned int active; /* position in engine.active + 1; 0: idle */
	_Atomic bool hup;	     /* the client closed its end */
	_Atomic bool draining;	     /* a Drain waits for in_flight 0 */
	uint64_t drain_request;
	bool told; /* main thread: that it is BROKEN */

	/* Under engine.jobs_lock. */
	struct command *jobs, **jobs_tail;
	struct queue *run_next; /* engine.run */
	bool queued;
};

enum worker_state {
	WORKER_RUNNING,
	WORKER_ASLEEP,
	WORKER_PARKED
};

/*
 * @marked: the slot in which this worker says that it executes, or said so. None
 *          while it sleeps or is parked: then slots may be unmapped
 */
struct worker {
	_Alignas(64) _Atomic int state;
	pthread_t thread;
	struct engine *engine;
	struct sharq_journal_slot *marked;
};

struct engine {
	struct sharq_caps caps;
	uint32_t slice;
	uint64_t spin_ns;
	unsigned int worker_count;
	struct worker workers[ENGINE_MAX_WORKERS];

	/* Main thread only. */
	struct session *sessions;
	struct queue *queues;
	int ctl, listener;
	int epfd;	/* main's */
	int main_event; /* eventfd: a worker has news (hup, drained, state) */
	uint32_t owner_uid;
	_Atomic bool
		stopping; /* Shutdown was asked: workers tell of completions */
	uint64_t stop_request, stop_deadline_ns;

	/* Workers sleep on this: queues' sockets and wake_event. */
	int worker_epfd;
	int wake_event;

	_Atomic bool stop; /* the world is to stop */
	_Atomic bool news; /* main_event was raised and not yet read */
	_Atomic uint32_t
		world; /* counts stops: what epoll said before is void */
	pthread_mutex_t park_lock;
	pthread_cond_t park_cond;

	_Alignas(64) _Atomic bool poller; /* who holds it polls the rings */
	_Atomic uint32_t sleepers;

	/* Queues that are polled. Written under active_lock, read without. */
	pthread_mutex_t active_lock;
	_Alignas(64) _Atomic uint32_t active_count;
	uint32_t active_cap; /* grows with the world stopped */
	struct queue *_Atomic *active;

	pthread_mutex_t jobs_lock;
	_Alignas(64) _Atomic uint32_t jobs_count;
	struct queue *run, **run_tail;
	struct sharq_codec *codecs[ENGINE_MAX_WORKERS];
	unsigned int codec_count;
};

static inline uint32_t worker_number(const struct worker *w)
{
	return (uint32_t)(w - w->engine->workers) + 1;
}

static inline uint64_t queue_in_flight(const struct queue *q)
{
	return q->sq_seq -
	       atomic_load_explicit(&q->cq_seq, memory_order_acquire);
}

uint64_t engine_now_ns(void);
/* Tell the main thread to look at its queues. */
void engine_notify_main(struct engine *e);

/* ---- session.c: main thread, world stopped for changes of regions ---- */
int session_new(struct session **s, uint64_t id, int pidfd, const void *info,
		size_t info_len);
struct session *session_free(struct session *s);
/* Takes @fd with success. -EINVAL: the memory isn't as sharqd makes it. */
int session_add_region(struct session *s, uint64_t id, uint64_t base,
		       uint64_t size, int fd);
int session_remove_region(struct session *s, uint64_t id);
/*
 * session_resolve - where a client's range lies here (workers)
 *
 * Return: the pointer, or NULL with *@fault the first address that is in no
 * region. A range must lie in one region.
 */
uint8_t *session_resolve(const struct session *s, uint64_t addr, uint32_t len,
			 uint64_t *fault);
/* Is the fd a sealed memfd of at least @size? */
int memory_check(int fd, uint64_t size);

/* ---- queue.c ---- */
/*
 * queue_new - take over a queue, recovering from its journal
 *
 * Takes the fds with success. World stopped or queue not yet published.
 */
int queue_new(struct queue **q, struct session *session, uint64_t id,
	      uint32_t depth, int ring_fd, int journal_fd, int sock,
	      const void *info, size_t info_len);
struct queue *queue_free(struct queue *q);
/* Change flags (ours and the ring's). */
void queue_set_flags(struct queue *q, uint32_t set, uint32_t clear);
/* Publish completions. The poller while jobs_out is 0, or with cq_lock held. */
void queue_post(struct queue *q, struct command *const *commands,
		const struct sharq_cqe *cqes, unsigned int n);
/*
 * Notify the client if it wants that. Just after a post the answer may be
 * stale; the poller, which can't afford a full barrier for each batch, asks
 * again, surely, within some rounds of finding nothing (queue.event_due).
 */
void queue_notify(struct queue *q);
void queue_notify_surely(struct queue *q);
/* Cancel all that is in flight, close for good. World stopped, and the queue's
 * jobs taken out. */
void queue_kill(struct queue *q);
static inline struct sharq_journal_slot *queue_slot(const struct queue *q,
						    const struct command *c)
{
	return &q->journal->slots[c - q->commands];
}

/* ---- serve.c: workers ---- */
/* Take descriptors from the ring. Poller only. Return: how many. */
unsigned int queue_serve(struct worker *w, struct queue *q);
/* Run one slice of a job. */
void job_run(struct worker *w, struct queue *q, struct command *c);
/* It turns to something else than what it executed. */
void worker_unmark(struct worker *w);

/* ---- worker.c ---- */
int workers_start(struct engine *e);
void world_stop(struct engine *e);
void world_go(struct engine *e);
void worker_wake(struct engine *e);
/* Poll this queue from now on. */
void queue_activate(struct engine *e, struct queue *q);
void queue_deactivate(struct engine *e, struct queue *q);
void job_push(struct engine *e, struct queue *q, struct command *c, bool front);
/* Take all jobs of a queue out. World stopped. */
void jobs_drop(struct engine *e, struct queue *q);
struct sharq_codec *codec_get(struct engine *e);
void codec_put(struct engine *e, struct sharq_codec *codec);

/* ---- control.c: main thread ---- */
/* Serve until told to stop, or until nobody is left. Return: exit code. */
int control_run(struct engine *e);
/* Receive Start from @fd and obey it. Return: 0 or -errno. */
int control_start(struct engine *e);

/* ---- sandbox.c ---- */
/* Become @uid/@gid for good: no capabilities, no new privileges. */
int sandbox_drop(uint32_t uid, uint32_t gid);
/* Allow only the system calls that the engine needs, in all threads. */
int sandbox_filter(void);

#endif /* SHARQ_ENGINE_H */
