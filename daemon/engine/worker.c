// SPDX-License-Identifier: MIT
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

/* How often a busy worker looks for knocks on queues that sleep. */
#define KNOCK_POLL_NS 200000
/*
 * A ring whose queue has jobs running is polled this much longer: its client is
 * about to follow one long command with the next, and busy workers would hear
 * its knock late.
 */
#define SPIN_WITH_JOBS 20
/* The clock is read once in so many empty rounds. */
#define ROUNDS_PER_CLOCK 32

uint64_t engine_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static void raise_event(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: it is raised already. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void engine_notify_main(struct engine *e)
{
	if (!atomic_exchange(&e->news, true))
		raise_event(e->main_event);
}

void worker_wake(struct engine *e)
{
	if (atomic_load(&e->sleepers))
		raise_event(e->wake_event);
}

/* ---- which queues are polled ---- */

void queue_activate(struct engine *e, struct queue *q)
{
	uint32_t n;

	pthread_mutex_lock(&e->active_lock);
	if (!atomic_load(&q->active)) {
		n = atomic_load(&e->active_count);
		atomic_store(&e->active[n], q);
		atomic_store(&q->active, n + 1);
		atomic_store(&e->active_count, n + 1);
		queue_set_flags(q, 0, SHARQ_DEVICE_NEED_KNOCK);
	}
	pthread_mutex_unlock(&e->active_lock);
	worker_wake(e);
}

void queue_deactivate(struct engine *e, struct queue *q)
{
	uint32_t at, last;

	pthread_mutex_lock(&e->active_lock);
	at = atomic_load(&q->active);
	if (at) {
		struct queue *moved;

		last = atomic_load(&e->active_count) - 1;
		moved = atomic_load(&e->active[last]);
		atomic_store(&e->active[at - 1], moved);
		atomic_store(&moved->active, at);
		atomic_store(&q->active, 0);
		atomic_store(&e->active_count, last);
	}
	queue_set_flags(q, SHARQ_DEVICE_NEED_KNOCK, 0);
	pthread_mutex_unlock(&e->active_lock);
}

/*
 * Is there something in the ring that could be taken now? Looks at the client's
 * memory only to decide whether to look again.
 */
static bool queue_ready(struct queue *q)
{
	uint32_t head = (uint32_t)q->sq_seq;
	const struct sharq_desc *next = &q->sq[sharq_ring_slot(head, q->depth)];

	if (__atomic_load_n(&q->ring->sq_tail, __ATOMIC_SEQ_CST) == head ||
	    atomic_load(&q->flags) & (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD))
		return false;
	if (atomic_load(&q->link_wait) ||
	    (__atomic_load_n(&next->flags, __ATOMIC_RELAXED) &
		     SHARQ_DESC_FENCE &&
	     queue_in_flight(q)))
		return false;
	return head - __atomic_load_n(&q->ring->cq_head, __ATOMIC_SEQ_CST) <
	       q->depth;
}

/* Nothing came for a while: let it sleep, unless something comes just now. */
static void queue_rest(struct engine *e, struct queue *q)
{
	queue_deactivate(e, q);
	/* Before the look: whoever completes after it activates. */
	atomic_store(&q->stalled, true);
	if (queue_ready(q))
		queue_activate(e, q);
}

/* ---- jobs: queues take turns, a queue's jobs go in order ---- */

static void run_append(struct engine *e, struct queue *q)
{
	q->queued = true;
	q->run_next = NULL;
	*e->run_tail = q;
	e->run_tail = &q->run_next;
}

void job_push(struct engine *e, struct queue *q, struct command *c, bool front)
{
	uint32_t jobs;

	pthread_mutex_lock(&e->jobs_lock);
	if (front) {
		c->next = q->jobs;
		q->jobs = c;
		if (!c->next)
			q->jobs_tail = &c->next;
	} else {
		c->next = NULL;
		*q->jobs_tail = c;
		q->jobs_tail = &c->next;
	}
	if (!q->queued)
		run_append(e, q);
	jobs = atomic_fetch_add(&e->jobs_count, 1) + 1;
	pthread_mutex_unlock(&e->jobs_lock);
	/* One the pusher will run itself. */
	if (jobs > 1)
		worker_wake(e);
}

static struct command *job_pop(struct engine *e, struct queue **queue)
{
	struct command *c = NULL;
	struct queue *q;

	if (!atomic_load(&e->jobs_count))
		return NULL;
	pthread_mutex_lock(&e->jobs_lock);
	q = e->run;
	if (q) {
		e->run = q->run_next;
		if (!e->run)
			e->run_tail = &e->run;
		q->queued = false;
		c = q->jobs;
		q->jobs = c->next;
		if (!q->jobs)
			q->jobs_tail = &q->jobs;
		else
			run_append(e, q);
		atomic_fetch_sub(&e->jobs_count, 1);
		*queue = q;
	}
	pthread_mutex_unlock(&e->jobs_lock);
	return c;
}

void jobs_drop(struct engine *e, struct queue *q)
{
	pthread_mutex_lock(&e->jobs_lock);
	for (struct queue **at = &e->run; *at; at = &(*at)->run_next) {
		if (*at != q)
			continue;
		*at = q->run_next;
		if (!*at)
			e->run_tail = at;
		break;
	}
	q->queued = false;
	for (struct command *c = q->jobs; c; c = c->next) {
		atomic_fetch_sub(&e->jobs_count, 1);
		if (c->exec.codec) {
			if (e->codec_count < e->worker_count)
				e->codecs[e->codec_count++] = c->exec.codec;
			else
				sharq_codec_free(c->exec.codec);
			c->exec.codec = NULL;
		}
	}
	q->jobs = NULL;
	q->jobs_tail = &q->jobs;
	pthread_mutex_unlock(&e->jobs_lock);
}

/* As many as there are workers are kept for the next that needs one. */
struct sharq_codec *codec_get(struct engine *e)
{
	struct sharq_codec *codec = NULL;

	pthread_mutex_lock(&e->jobs_lock);
	if (e->codec_count)
		codec = e->codecs[--e->codec_count];
	pthread_mutex_unlock(&e->jobs_lock);
	if (!codec && sharq_codec_new(&codec))
		return NULL;
	return codec;
}

void codec_put(struct engine *e, struct sharq_codec *codec)
{
	pthread_mutex_lock(&e->jobs_lock);
	if (e->codec_count < e->worker_count) {
		e->codecs[e->codec_count++] = codec;
		codec = NULL;
	}
	pthread_mutex_unlock(&e->jobs_lock);
	sharq_codec_free(codec);
}

/* ---- stopping the world ---- */

static void park(struct worker *w)
{
	struct engine *e = w->engine;

	worker_unmark(w);
	pthread_mutex_lock(&e->park_lock);
	atomic_store(&w->state, WORKER_PARKED);
	while (atomic_load(&e->stop))
		pthread_cond_wait(&e->park_cond, &e->park_lock);
	atomic_store(&w->state, WORKER_RUNNING);
	pthread_mutex_unlock(&e->park_lock);
}

void world_stop(struct engine *e)
{
	/* Locked: or a worker that leaves park() just now is taken for parked. */
	pthread_mutex_lock(&e->park_lock);
	atomic_store(&e->stop, true);
	pthread_mutex_unlock(&e->park_lock);
	for (unsigned int i = 0; i < e->worker_count; i++)
		while (atomic_load(&e->workers[i].state) == WORKER_RUNNING)
			sched_yield();
	/* After the last worker stopped: no event from before is believed. */
	atomic_fetch_add(&e->world, 1);
}

void world_go(struct engine *e)
{
	pthread_mutex_lock(&e->park_lock);
	atomic_store(&e->stop, false);
	pthread_cond_broadcast(&e->park_cond);
	pthread_mutex_unlock(&e->park_lock);
}

/* ---- the worker ---- */

static void knocked(struct engine *e, struct queue *q)
{
	char bytes[256];
	ssize_t n = recv(q->sock, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (!n || (n < 0 && errno != EAGAIN)) {
		epoll_ctl(e->worker_epfd, EPOLL_CTL_DEL, q->sock, NULL);
		atomic_store(&q->hup, true);
		engine_notify_main(e);
		return;
	}
	__atomic_fetch_add(&q->journal->stats.knocks, 1, __ATOMIC_RELAXED);
	queue_activate(e, q);
}

static void take_events(struct worker *w, int timeout)
{
	struct engine *e = w->engine;
	uint32_t world = atomic_load(&e->world);
	struct epoll_event events[16];
	uint64_t count;
	int n;

	if (timeout) {
		worker_unmark(w);
		atomic_fetch_add(&e->sleepers, 1);
		/* Between this and the sleep: who pushes now sees a sleeper. */
		if (atomic_load(&e->jobs_count) ||
		    (atomic_load(&e->active_count) && !atomic_load(&e->poller)))
			timeout = 0;
		atomic_store(&w->state, WORKER_ASLEEP);
	}
	n = epoll_wait(e->worker_epfd, events, 16, timeout);
	if (atomic_exchange(&w->state, WORKER_RUNNING) == WORKER_ASLEEP)
		atomic_fetch_sub(&e->sleepers, 1);
	/* Queues that events name may be gone: level-triggered, they come anew. */
	if (atomic_load(&e->stop)) {
		park(w);
		return;
	}
	if (atomic_load(&e->world) != world)
		return;
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			knocked(e, events[i].data.ptr);
		else if (read(e->wake_event, &count, sizeof(count)) < 0)
			continue; /* another worker took it */
	}
}

/*
 * The right to poll is kept from round to round, so that a round costs no
 * locked instruction, and given up for the time of a job.
 */
static bool take_poller(struct engine *e)
{
	return !atomic_load_explicit(&e->poller, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&e->poller, true,
					 memory_order_acquire);
}

static void give_poller(struct engine *e, bool *poller)
{
	if (*poller)
		atomic_store_explicit(&e->poller, false, memory_order_release);
	*poller = false;
}

static bool queue_tired(struct engine *e, struct queue *q, uint64_t now)
{
	uint64_t spin = e->spin_ns;

	if (atomic_load_explicit(&q->jobs_out, memory_order_relaxed))
		spin *= SPIN_WITH_JOBS;
	return now - q->last_work_ns > spin;
}

/* One look at each polled queue. Return: descriptors taken. */
static unsigned int poll_round(struct worker *w, bool clock, uint64_t now)
{
	struct engine *e = w->engine;
	unsigned int taken = 0;

	for (uint32_t i = 0;
	     i < atomic_load_explicit(&e->active_count, memory_order_acquire);
	     i++) {
		struct queue *q = atomic_load_explicit(&e->active[i],
						       memory_order_acquire);
		unsigned int n = queue_serve(w, q);

		if (clock && q->event_due && !n) {
			q->event_due = false;
			queue_notify_surely(q);
		}
		if (n)
			q->last_work_ns = 0;
		else if (clock && !q->last_work_ns)
			q->last_work_ns = now;
		else if (clock && queue_tired(e, q, now))
			queue_rest(e, q);
		taken += n;
	}
	return taken;
}

static bool run_one_job(struct worker *w)
{
	struct queue *q;
	struct command *c = job_pop(w->engine, &q);

	if (!c)
		return false;
	job_run(w, q, c);
	return true;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct engine *e = w->engine;
	uint64_t idle_since = 0, knock_poll = engine_now_ns(), now = 0;
	unsigned int rounds = 0;
	bool poller = false;

	for (;;) {
		bool clock = ++rounds % ROUNDS_PER_CLOCK == 0;
		bool worked = false, polled = false;

		if (atomic_load_explicit(&e->stop, memory_order_relaxed)) {
			give_poller(e, &poller);
			park(w);
		}
		if (clock)
			now = engine_now_ns();
		poller = poller || take_poller(e);
		if (poller) {
			polled = atomic_load(&e->active_count);
			worked = poll_round(w, clock, now);
		}
		if (atomic_load_explicit(&e->jobs_count,
					 memory_order_relaxed)) {
			give_poller(e, &poller);
			if (run_one_job(w))
				worked = true;
			/* A slice is long: the clock is due. */
			rounds = ROUNDS_PER_CLOCK - 1;
		}
		if (clock && now - knock_poll > KNOCK_POLL_NS) {
			knock_poll = now;
			give_poller(e, &poller);
			take_events(w, 0);
		}
		if (worked || polled) {
			idle_since = 0;
			continue;
		}
		cpu_relax();
		if (!clock)
			continue;
		if (!idle_since)
			idle_since = now;
		else if (now - idle_since > e->spin_ns / 2) {
			give_poller(e, &poller);
			take_events(w, -1);
			idle_since = 0;
			rounds = 0;
		}
	}
	return NULL;
}

int workers_start(struct engine *e)
{
	pthread_attr_t attr;
	int r;

	r = -pthread_attr_init(&attr);
	if (r)
		return r;
	pthread_attr_setstacksize(&attr, 256 * 1024);
	for (unsigned int i = 0; i < e->worker_count && !r; i++) {
		e->workers[i].engine = e;
		r = -pthread_create(&e->workers[i].thread, &attr, worker_main,
				    &e->workers[i]);
	}
	pthread_attr_destroy(&attr);
	return r;
}
