// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "queue_stats.h"

/* What of the ring's flags outlives an engine. */
#define STATE_FLAGS (SHARQ_DEVICE_PAUSED | SHARQ_DEVICE_DEAD)

void queue_set_flags(struct queue *q, uint32_t set, uint32_t clear)
{
	uint32_t flags;

	pthread_mutex_lock(&q->flags_lock);
	flags = (atomic_load(&q->flags) | set) & ~clear;
	atomic_store(&q->flags, flags);
	__atomic_store_n(&q->journal->state, flags & STATE_FLAGS,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&q->ring->device_flags, flags, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&q->flags_lock);
}

static int map_queue(struct queue *q)
{
	struct sharq_ring_layout l = sharq_ring_layout(q->depth);
	void *p;

	q->ring_size = l.size;
	q->journal_size = sharq_journal_size(q->depth);
	if (memory_check(q->ring_fd, q->ring_size) ||
	    memory_check(q->journal_fd, q->journal_size))
		return -EINVAL;
	p = mmap(NULL, q->ring_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 q->ring_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	q->ring = p;
	q->sq = (void *)((uint8_t *)p + l.sq_offset);
	q->cq = (void *)((uint8_t *)p + l.cq_offset);
	p = mmap(NULL, q->journal_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		 q->journal_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	q->journal = p;
	return 0;
}

/* The journal was written by an engine that died: believe it, but not blindly. */
static bool journal_sane(const struct queue *q)
{
	const struct sharq_journal *j = q->journal;

	return j->magic == SHARQ_JOURNAL_MAGIC && j->depth == q->depth &&
	       j->sq_seq - j->cq_seq <= q->depth &&
	       j->suspect_count <= SHARQ_JOURNAL_SUSPECTS;
}

static bool slot_in_flight(const struct sharq_journal *j,
			   const struct sharq_journal_slot *s)
{
	return s->accepted && s->accepted <= j->sq_seq &&
	       !(s->done && s->done <= j->cq_seq);
}

static bool is_suspect(const struct sharq_journal *j,
		       const struct sharq_desc *desc)
{
	for (uint32_t i = 0; i < j->suspect_count; i++)
		if (!memcmp(&j->suspects[i], desc, sizeof(*desc)))
			return true;
	return false;
}

/*
 * Which descriptors were executing when the engine died? One that was so
 * before too is taken for the cause. The client may have sent it anew (with
 * other user_data): what counts is the command.
 */
static bool judge_suspects(struct queue *q)
{
	struct sharq_desc found[SHARQ_JOURNAL_SUSPECTS];
	struct sharq_journal *j = q->journal;
	uint32_t count = 0;
	bool guilty = false;

	for (uint32_t i = 0; i < q->depth; i++) {
		struct sharq_journal_slot *s = &j->slots[i];

		if (!slot_in_flight(j, s) || !s->executing)
			continue;
		if (count == SHARQ_JOURNAL_SUSPECTS)
			break;
		found[count] = s->desc;
		found[count].user_data = 0;
		guilty |= is_suspect(j, &found[count]);
		count++;
	}
	if (count) {
		memcpy(j->suspects, found, count * sizeof(found[0]));
		__atomic_store_n(&j->suspect_count, count, __ATOMIC_RELEASE);
	}
	return guilty;
}

static void free_command(struct queue *q, struct command *c)
{
	c->next = q->free_shared;
	q->free_shared = c;
}

/* By MSG_DONTWAIT, not by the socket's own flag, which the client shares. */
static void notify_client(struct queue *q)
{
	char byte = 1;

	send(q->sock, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	__atomic_fetch_add(&q->journal->stats.events, 1, __ATOMIC_RELAXED);
}

/*
 * Settle what is in flight before completing any of it: posting moves cq_seq,
 * accepting moves sq_seq, and either would reach numbers that the dead engine
 * left in slots and never published. May be cut off and done anew.
 */
static void settle_slots(struct queue *q)
{
	struct sharq_journal *j = q->journal;

	for (uint32_t i = 0; i < q->depth; i++) {
		struct sharq_journal_slot *s = &j->slots[i];

		if (slot_in_flight(j, s))
			__atomic_store_n(&s->done, 0, __ATOMIC_RELEASE);
		else
			__atomic_store_n(&s->accepted, 0, __ATOMIC_RELEASE);
		s->executing = 0;
	}
}

/* Complete what the dead engine had in flight, rebuild what it held in memory. */
static void recover(struct queue *q)
{
	struct sharq_journal *j = q->journal;
	bool guilty = judge_suspects(q);
	uint32_t state = j->state & STATE_FLAGS;

	settle_slots(q);
	q->sq_seq = j->sq_seq;
	atomic_store(&q->cq_seq, j->cq_seq);
	q->seen_cq_head = (uint32_t)q->sq_seq - q->depth;
	/* Whoever sees a RESET sees what became of the queue, too. */
	__atomic_store_n(&q->ring->sq_head, (uint32_t)q->sq_seq,
			 __ATOMIC_RELEASE);
	queue_set_flags(q, state | (guilty ? SHARQ_DEVICE_QUARANTINED : 0), 0);
	for (uint32_t i = 0; i < q->depth; i++) {
		struct command *c = &q->commands[i];

		if (slot_in_flight(j, &j->slots[i])) {
			struct sharq_cqe cqe = {
				.user_data = j->slots[i].desc.user_data,
				.status = SHARQ_RESET,
			};

			queue_post(q, &c, &cqe, 1);
		} else {
			free_command(q, c);
		}
	}
	if (q->sq_seq && j->link_open[(q->sq_seq - 1) & 1] == q->sq_seq)
		atomic_store(&q->link_failed, j->link_done & 1);
	__atomic_store_n(&q->ring->cq_tail, (uint32_t)atomic_load(&q->cq_seq),
			 __ATOMIC_RELEASE);
	/* It may have published without telling. */
	if (j->engines++)
		notify_client(q);
}

int queue_new(struct queue **qp, struct session *session, uint64_t id,
	      uint32_t depth, int ring_fd, int journal_fd, int sock,
	      const void *info, size_t info_len)
{
	struct queue *q;
	int r;

	if (!sharq_depth_valid(depth))
		return -EINVAL;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->session = session;
	q->id = id;
	q->depth = depth;
	q->ring_fd = q->journal_fd = q->sock = -1;
	q->jobs_tail = &q->jobs;
	pthread_mutex_init(&q->cq_lock, NULL);
	pthread_mutex_init(&q->flags_lock, NULL);
	q->ring_fd = ring_fd;
	q->journal_fd = journal_fd;
	r = map_queue(q);
	if (r)
		goto err;
	r = -EINVAL;
	if (!journal_sane(q))
		goto err;
	r = -ENOMEM;
	q->commands = calloc(depth, sizeof(*q->commands));
	q->info = malloc(info_len + 1);
	if (!q->commands || !q->info)
		goto err;
	memcpy(q->info, info, info_len);
	q->info_len = info_len;
	q->sock = sock;
	recover(q);
	*qp = q;
	return 0;
err:
	q->ring_fd = q->journal_fd = q->sock = -1;
	queue_free(q);
	return r;
}

struct queue *queue_free(struct queue *q)
{
	if (!q)
		return NULL;
	if (q->ring)
		munmap(q->ring, q->ring_size);
	if (q->journal)
		munmap(q->journal, q->journal_size);
	if (q->ring_fd >= 0)
		close(q->ring_fd);
	if (q->journal_fd >= 0)
		close(q->journal_fd);
	if (q->sock >= 0)
		close(q->sock);
	pthread_mutex_destroy(&q->cq_lock);
	pthread_mutex_destroy(&q->flags_lock);
	free(q->commands);
	free(q->info);
	free(q);
	return NULL;
}

void queue_post(struct queue *q, struct command *const *commands,
		const struct sharq_cqe *cqes, unsigned int n)
{
	struct sharq_journal *j = q->journal;
	uint64_t seq;

	seq = atomic_load_explicit(&q->cq_seq, memory_order_relaxed);
	for (unsigned int i = 0; i < n; i++) {
		struct sharq_journal_slot *slot = queue_slot(q, commands[i]);

		q->cq[sharq_ring_slot((uint32_t)seq, q->depth)] = cqes[i];
		seq++;
		if (slot->desc.flags & SHARQ_DESC_LINK)
			__atomic_store_n(&j->link_done,
					 slot->accepted << 1 |
						 (cqes[i].status != SHARQ_OK),
					 __ATOMIC_RELEASE);
		__atomic_store_n(&slot->done, seq, __ATOMIC_RELEASE);
		free_command(q, commands[i]);
		stats_count(&j->stats, &slot->desc, &cqes[i]);
	}
	__atomic_store_n(&j->cq_seq, seq, __ATOMIC_RELEASE);
	__atomic_store_n(&q->ring->cq_tail, (uint32_t)seq, __ATOMIC_RELEASE);
	atomic_store_explicit(&q->cq_seq, seq, memory_order_release);
}

void queue_notify(struct queue *q)
{
	if (__atomic_load_n(&q->ring->client_flags, __ATOMIC_SEQ_CST) &
	    SHARQ_CLIENT_WANT_EVENT)
		notify_client(q);
}

void queue_notify_surely(struct queue *q)
{
#ifdef __SANITIZE_THREAD__
	/* Which knows no fences; on x86 any locked instruction is one. */
	atomic_fetch_add(&q->jobs_out, 0);
#else
	atomic_thread_fence(memory_order_seq_cst);
#endif
	queue_notify(q);
}

void queue_kill(struct queue *q)
{
	struct sharq_journal *j = q->journal;

	for (uint32_t i = 0; i < q->depth; i++) {
		struct sharq_journal_slot *slot = &j->slots[i];
		struct command *c = &q->commands[i];
		struct sharq_cqe cqe = {
			.user_data = slot->desc.user_data,
			.status = slot->started ? SHARQ_RESET : SHARQ_CANCELED,
		};

		if (slot_in_flight(j, slot))
			queue_post(q, &c, &cqe, 1);
	}
	queue_set_flags(q, SHARQ_DEVICE_CLOSED, SHARQ_DEVICE_NEED_KNOCK);
	/* Whether it asked or not: there is no more to come. */
	notify_client(q);
}
