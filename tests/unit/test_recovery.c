/* SPDX-License-Identifier: MIT */
/* queue_new() on journals as an engine that was killed leaves them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../daemon/engine/engine.h"
#include "unit.h"

#define DEPTH 8
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* What outlives an engine, and how many completions each user_data got. */
struct left {
	int ring_fd, journal_fd, sock[2];
	struct sharq_ring *ring;
	struct sharq_cqe *cq;
	struct sharq_journal *j;
	uint64_t seen; /* completions counted so far */
	unsigned int got[64];
	uint16_t status[64];
};

static void *memory(int *fd, uint64_t size)
{
	void *p;

	*fd = memfd_create("unit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_ge(*fd, 0);
	ck_assert_int_eq(ftruncate(*fd, (off_t)size), 0);
	ck_assert_int_eq(fcntl(*fd, F_ADD_SEALS, SEALS), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

/* A queue that accepted and completed @seq descriptors, one slot after the
 * other, and has nothing in flight. */
static void left_new(struct left *l, uint64_t seq)
{
	struct sharq_ring_layout layout = sharq_ring_layout(DEPTH);

	memset(l, 0, sizeof(*l));
	l->ring = memory(&l->ring_fd, layout.size);
	l->cq = (void *)((uint8_t *)l->ring + layout.cq_offset);
	l->j = memory(&l->journal_fd, sharq_journal_size(DEPTH));
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, l->sock), 0);
	l->j->magic = SHARQ_JOURNAL_MAGIC;
	l->j->depth = DEPTH;
	l->j->engines = 1;
	l->j->sq_seq = l->j->cq_seq = l->seen = seq;
	for (uint64_t s = seq > DEPTH ? seq - DEPTH : 0; s < seq; s++) {
		struct sharq_journal_slot *slot = &l->j->slots[s % DEPTH];

		slot->desc.user_data = 63;
		slot->accepted = slot->done = s + 1;
	}
}

static void left_free(struct left *l)
{
	munmap(l->ring, sharq_ring_layout(DEPTH).size);
	munmap(l->j, sharq_journal_size(DEPTH));
	close(l->ring_fd);
	close(l->journal_fd);
	close(l->sock[0]);
	close(l->sock[1]);
}

/* The stores of an acceptance before the one that publishes it. */
static void prepare(struct left *l, unsigned int slot, uint64_t seq,
		    uint64_t user_data, uint16_t flags)
{
	struct sharq_journal_slot *s = &l->j->slots[slot];

	s->desc = (struct sharq_desc){ .op = SHARQ_OP_NOP,
				       .flags = flags,
				       .user_data = user_data };
	s->accepted = seq + 1;
	s->done = 0;
	s->executing = s->started = 0;
	if (flags & SHARQ_DESC_LINK)
		l->j->link_open[seq & 1] = seq + 1;
}

static void accept_one(struct left *l, unsigned int slot, uint64_t user_data,
		       uint16_t flags)
{
	prepare(l, slot, l->j->sq_seq, user_data, flags);
	l->j->sq_seq++;
}

/* The stores of a completion before the one that publishes it. */
static void finish(struct left *l, unsigned int slot, uint64_t cq_seq,
		   uint16_t status)
{
	struct sharq_journal_slot *s = &l->j->slots[slot];

	l->cq[cq_seq % DEPTH] =
		(struct sharq_cqe){ .user_data = s->desc.user_data,
				    .status = status };
	if (s->desc.flags & SHARQ_DESC_LINK)
		l->j->link_done = s->accepted << 1 | (status != SHARQ_OK);
	s->done = cq_seq + 1;
}

/* Take what was completed since, as a client does. */
static void take(struct left *l)
{
	uint32_t tail = l->ring->cq_tail;

	ck_assert_uint_eq(tail, (uint32_t)l->j->cq_seq);
	ck_assert_uint_le(tail - (uint32_t)l->seen, DEPTH);
	for (; (uint32_t)l->seen != tail; l->seen++) {
		const struct sharq_cqe *cqe = &l->cq[l->seen % DEPTH];

		ck_assert_uint_lt(cqe->user_data, 64);
		l->got[cqe->user_data]++;
		l->status[cqe->user_data] = cqe->status;
	}
}

static struct queue *engine_new(struct left *l)
{
	struct queue *q;
	int ring = dup(l->ring_fd), journal = dup(l->journal_fd);
	int sock = dup(l->sock[1]);

	ck_assert_int_eq(
		queue_new(&q, NULL, 7, DEPTH, ring, journal, sock, "x", 1), 0);
	take(l);
	return q;
}

/* A new engine takes over; it holds nothing in flight and every slot free. */
static struct queue *take_over(struct left *l)
{
	struct queue *q = engine_new(l);
	bool is_free[DEPTH] = { false };
	unsigned int n = 0;

	ck_assert_uint_eq(queue_in_flight(q), 0);
	ck_assert_uint_eq(l->j->cq_seq, l->j->sq_seq);
	ck_assert_uint_eq(l->ring->sq_head, (uint32_t)l->j->sq_seq);
	for (struct command *c = q->free_shared; c; c = c->next) {
		ck_assert(!is_free[c - q->commands]);
		is_free[c - q->commands] = true;
		n++;
	}
	ck_assert_uint_eq(n, DEPTH);
	return q;
}

static void crash_again(struct left *l)
{
	queue_free(take_over(l));
}

/* The user_data from 0 to @n - 1 were completed once each, nothing else was. */
static void once_each(const struct left *l, unsigned int n)
{
	for (unsigned int i = 0; i < 64; i++)
		ck_assert_msg(l->got[i] == (i < n),
			      "user_data %u completed %u times", i, l->got[i]);
}

static const uint64_t starts[] = { 0,
				   3,
				   8,
				   0xfffffffdULL,
				   0xffffffffULL,
				   0x100000000ULL,
				   0x7fffffffffffffULL };
#define FOR_EACH_START                                                         \
	for (unsigned int at = 0; at < sizeof(starts) / sizeof(starts[0]); at++)

START_TEST(p14_in_flight_is_reset_once)
{
	static const unsigned int slots[] = { 6, 1, 7, 2 };

	FOR_EACH_START
	{
		struct left l;

		left_new(&l, starts[at]);
		for (unsigned int i = 0; i < 4; i++)
			accept_one(&l, slots[i], i, 0);
		crash_again(&l);
		once_each(&l, 4);
		for (unsigned int i = 0; i < 4; i++)
			ck_assert_uint_eq(l.status[i], SHARQ_RESET);
		ck_assert_uint_eq(l.j->stats.resets, 4);
		crash_again(&l);
		crash_again(&l);
		once_each(&l, 4);
		left_free(&l);
	}
}
END_TEST

START_TEST(p14_full_queue_is_reset_once)
{
	FOR_EACH_START
	{
		struct left l;

		left_new(&l, starts[at]);
		for (unsigned int i = 0; i < DEPTH; i++)
			accept_one(&l, DEPTH - 1 - i, i, 0);
		crash_again(&l);
		crash_again(&l);
		once_each(&l, DEPTH);
		left_free(&l);
	}
}
END_TEST

START_TEST(p14_completed_is_not_repeated)
{
	struct left l;

	left_new(&l, 5);
	for (unsigned int i = 0; i < 4; i++)
		accept_one(&l, i, i, 0);
	finish(&l, 1, 5, SHARQ_OK);
	finish(&l, 3, 6, SHARQ_MISMATCH);
	l.j->cq_seq = 7;
	crash_again(&l);
	once_each(&l, 4);
	ck_assert_uint_eq(l.status[0], SHARQ_RESET);
	ck_assert_uint_eq(l.status[1], SHARQ_OK);
	ck_assert_uint_eq(l.status[2], SHARQ_RESET);
	ck_assert_uint_eq(l.status[3], SHARQ_MISMATCH);
	left_free(&l);
}
END_TEST

/* Killed between slot.done and header.cq_seq, beside commands in flight that
 * lie in slots before and behind it. */
START_TEST(p14_unpublished_completion_is_made_once)
{
	for (unsigned int first = 0; first < 4; first++) {
		for (unsigned int n = 1; first + n <= 4; n++) {
			struct left l;

			left_new(&l, 16);
			for (unsigned int i = 0; i < 4; i++)
				accept_one(&l, i, i, 0);
			for (unsigned int i = 0; i < n; i++)
				finish(&l, first + i, 16 + i, SHARQ_OK);
			crash_again(&l);
			crash_again(&l);
			once_each(&l, 4);
			left_free(&l);
		}
	}
}
END_TEST

/* Killed before header.sq_seq: still the client's, to be read once more. */
START_TEST(p14_unpublished_acceptance_is_discarded)
{
	FOR_EACH_START
	{
		struct left l;

		left_new(&l, starts[at]);
		prepare(&l, 2, starts[at], 0, 0);
		crash_again(&l);
		once_each(&l, 0);
		ck_assert_uint_eq(l.j->sq_seq, starts[at]);
		left_free(&l);
	}
}
END_TEST

/* What was discarded must not come back when its number is given anew, in
 * whichever slot the next engine puts it. */
START_TEST(p14_discarded_acceptance_stays_discarded)
{
	for (unsigned int slot = 0; slot < DEPTH; slot++) {
		struct left l;
		struct queue *q;

		left_new(&l, 16);
		prepare(&l, slot, 16, 62, 0);
		q = take_over(&l);
		accept_one(&l, (unsigned int)(q->free_shared - q->commands), 0,
			   0);
		queue_free(q);
		take(&l);
		crash_again(&l);
		once_each(&l, 1);
		left_free(&l);
	}
}
END_TEST

static bool guilty(const struct left *l)
{
	uint32_t flags = l->ring->device_flags;

	ck_assert_uint_eq(l->j->state, flags);
	return flags & SHARQ_DEVICE_QUARANTINED;
}

/* An engine dies while @op of @len, sent with @user_data, executes. */
static bool dies_of(struct left *l, uint8_t op, uint32_t len,
		    uint64_t user_data)
{
	struct sharq_journal_slot *s = &l->j->slots[user_data % DEPTH];

	accept_one(l, (unsigned int)(user_data % DEPTH), user_data, 0);
	s->desc.op = op;
	s->desc.len = len;
	s->executing = s->started = 1;
	crash_again(l);
	return guilty(l);
}

START_TEST(p14_executing_twice_is_quarantined)
{
	struct left l;

	left_new(&l, 0);
	ck_assert(!dies_of(&l, SHARQ_OP_COPY, 100, 0));
	ck_assert_uint_eq(l.j->suspect_count, 1);
	ck_assert_uint_eq(l.j->suspects[0].len, 100);
	ck_assert_uint_eq(l.j->suspects[0].user_data, 0);
	ck_assert(dies_of(&l, SHARQ_OP_COPY, 100, 5));
	ck_assert_uint_eq(l.got[0], 1);
	ck_assert_uint_eq(l.got[5], 1);
	ck_assert_uint_eq(l.status[5], SHARQ_RESET);
	/* For good: the next engine doesn't let it go. */
	crash_again(&l);
	ck_assert(guilty(&l));
	left_free(&l);
}
END_TEST

START_TEST(others_are_not_quarantined)
{
	struct left l;

	left_new(&l, 0);
	ck_assert(!dies_of(&l, SHARQ_OP_COPY, 100, 0));
	ck_assert(!dies_of(&l, SHARQ_OP_COPY, 101, 1));
	ck_assert(!dies_of(&l, SHARQ_OP_FILL, 101, 2));
	/* In flight twice, but neither time was a worker at it. */
	for (unsigned int i = 3; i < 5; i++) {
		accept_one(&l, i, i, SHARQ_DESC_FENCE);
		crash_again(&l);
		ck_assert(!guilty(&l));
	}
	/* A mark that a completed command left behind. */
	for (unsigned int i = 5; i < 7; i++) {
		accept_one(&l, i, i, 0);
		l.j->slots[i].executing = 1;
		finish(&l, i, l.j->cq_seq, SHARQ_OK);
		l.j->cq_seq++;
		crash_again(&l);
		ck_assert(!guilty(&l));
	}
	once_each(&l, 7);
	left_free(&l);
}
END_TEST

/* A deeper queue than there is room for suspects, all of them executing. */
START_TEST(suspects_are_bounded)
{
	const uint32_t depth = 4 * SHARQ_JOURNAL_SUSPECTS;
	struct sharq_journal *j;
	struct queue *q;
	int ring, journal;
	void *r = memory(&ring, sharq_ring_layout(depth).size);

	j = memory(&journal, sharq_journal_size(depth));
	j->magic = SHARQ_JOURNAL_MAGIC;
	j->depth = depth;
	j->sq_seq = depth;
	for (uint32_t i = 0; i < depth; i++) {
		j->slots[i].desc.len = i;
		j->slots[i].accepted = i + 1;
		j->slots[i].executing = 1;
	}
	ck_assert_int_eq(
		queue_new(&q, NULL, 1, depth, ring, journal, -1, "", 0), 0);
	ck_assert_uint_eq(j->suspect_count, SHARQ_JOURNAL_SUSPECTS);
	ck_assert_uint_eq(j->cq_seq, depth);
	queue_free(q);
	munmap(r, sharq_ring_layout(depth).size);
	munmap(j, sharq_journal_size(depth));
}
END_TEST

/* Refused: nothing is written, and the fds stay the caller's. */
static void refused(struct left *l, uint32_t depth, int ring, int journal)
{
	static uint8_t before[sizeof(struct sharq_journal) + DEPTH * 128];
	struct queue *q = NULL;

	memcpy(before, l->j, sizeof(before));
	ck_assert_int_eq(queue_new(&q, NULL, 7, depth, ring, journal,
				   l->sock[1], "x", 1),
			 -EINVAL);
	ck_assert_ptr_null(q);
	ck_assert_mem_eq(before, l->j, sizeof(before));
	ck_assert_int_ge(fcntl(l->ring_fd, F_GETFD), 0);
	ck_assert_int_ge(fcntl(l->journal_fd, F_GETFD), 0);
	ck_assert_int_ge(fcntl(l->sock[1], F_GETFD), 0);
	ck_assert_uint_eq(l->ring->cq_tail, 0);
}

#define REFUSED(set)                                                           \
	do {                                                                   \
		struct left l;                                                 \
		left_new(&l, 16);                                              \
		set;                                                           \
		refused(&l, DEPTH, l.ring_fd, l.journal_fd);                   \
		left_free(&l);                                                 \
	} while (0)

START_TEST(corrupt_journal_is_refused)
{
	REFUSED(l.j->magic++);
	REFUSED(l.j->magic = 0);
	REFUSED(l.j->depth = DEPTH * 2);
	REFUSED(l.j->depth = 0);
	REFUSED(l.j->cq_seq = l.j->sq_seq + 1);
	REFUSED(l.j->sq_seq = l.j->cq_seq + DEPTH + 1);
	REFUSED(l.j->sq_seq = ~0ULL);
	REFUSED(l.j->suspect_count = SHARQ_JOURNAL_SUSPECTS + 1);
	REFUSED(l.j->suspect_count = ~0U);
}
END_TEST

START_TEST(p6_memory_not_as_made_is_refused)
{
	static const uint32_t depths[] = {
		0, 1, 3, DEPTH - 1, 2 * DEPTH, 2 * SHARQ_MAX_DEPTH, 1U << 31
	};
	const uint32_t ring_size = sharq_ring_layout(DEPTH).size;
	const uint64_t size = sharq_journal_size(DEPTH);
	struct left l;
	int fd;

	left_new(&l, 16);
	for (unsigned int i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
		refused(&l, depths[i], l.ring_fd, l.journal_fd);
	/* Any of the seals is missing. */
	for (int seals = 0; seals < SEALS; seals++) {
		fd = memfd_create("unit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
		ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
		refused(&l, DEPTH, fd, l.journal_fd);
		refused(&l, DEPTH, l.ring_fd, fd);
		close(fd);
	}
	munmap(memory(&fd, ring_size - 1), ring_size - 1);
	refused(&l, DEPTH, fd, l.journal_fd);
	close(fd);
	munmap(memory(&fd, size - 1), size - 1);
	refused(&l, DEPTH, l.ring_fd, fd);
	close(fd);
	refused(&l, DEPTH, l.sock[0], l.journal_fd);
	refused(&l, DEPTH, -1, l.journal_fd);
	left_free(&l);
}
END_TEST

/* What the client wrote over the device's words and the rest of its ring. */
START_TEST(p6_ring_is_not_believed)
{
	struct left l;

	left_new(&l, 16);
	accept_one(&l, 3, 0, 0);
	memset(l.ring, 0xff, sharq_ring_layout(DEPTH).size);
	crash_again(&l);
	once_each(&l, 1);
	ck_assert_uint_eq(l.ring->sq_head, 17);
	ck_assert_uint_eq(l.ring->cq_tail, 17);
	ck_assert_uint_eq(l.ring->device_flags, 0);
	left_free(&l);
}
END_TEST

START_TEST(state_is_carried_over)
{
	static const uint32_t states[] = { 0,
					   SHARQ_DEVICE_PAUSED,
					   SHARQ_DEVICE_BROKEN,
					   SHARQ_DEVICE_QUARANTINED,
					   SHARQ_DEVICE_CLOSED,
					   SHARQ_DEVICE_PAUSED |
						   SHARQ_DEVICE_CLOSED };

	for (unsigned int i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct left l;
		struct queue *q;

		left_new(&l, 4);
		l.j->state = states[i] | SHARQ_DEVICE_NEED_KNOCK | 1U << 30;
		q = take_over(&l);
		ck_assert_uint_eq(atomic_load(&q->flags), states[i]);
		ck_assert_uint_eq(l.ring->device_flags, states[i]);
		ck_assert_uint_eq(l.j->state, states[i]);
		queue_free(q);
		left_free(&l);
	}
}
END_TEST

/* Does the next descriptor find its predecessor's link failed? */
static bool link_failed(struct left *l)
{
	struct queue *q = take_over(l);
	bool failed = atomic_load(&q->link_failed);

	queue_free(q);
	return failed;
}

START_TEST(link_is_carried_over)
{
	for (uint64_t seq = 16; seq < 18; seq++) {
		struct left l;

		left_new(&l, seq);
		ck_assert(!link_failed(&l));

		accept_one(&l, 0, 0, SHARQ_DESC_LINK);
		finish(&l, 0, l.j->cq_seq++, SHARQ_OK);
		ck_assert(!link_failed(&l));

		accept_one(&l, 1, 1, SHARQ_DESC_LINK);
		finish(&l, 1, l.j->cq_seq++, SHARQ_MISMATCH);
		ck_assert(link_failed(&l));
		/* The next is the chain's end, then one of no chain. */
		accept_one(&l, 2, 2, 0);
		finish(&l, 2, l.j->cq_seq++, SHARQ_CANCELED);
		ck_assert(!link_failed(&l));

		/* In flight: RESET, which isn't OK. */
		accept_one(&l, 3, 3, SHARQ_DESC_LINK);
		ck_assert(link_failed(&l));
		/* Done well, but that was never published. */
		accept_one(&l, 4, 4, SHARQ_DESC_LINK);
		finish(&l, 4, l.j->cq_seq, SHARQ_OK);
		ck_assert(link_failed(&l));
		/* One that fails stands before one that was discarded. */
		prepare(&l, 5, l.j->sq_seq, 62, SHARQ_DESC_LINK);
		ck_assert(link_failed(&l));
		once_each(&l, 5);
		left_free(&l);
	}
}
END_TEST

START_TEST(client_is_told_of_a_takeover)
{
	struct left l;
	char byte[4];

	left_new(&l, 0);
	l.j->engines = 0;
	crash_again(&l);
	ck_assert_int_eq(recv(l.sock[0], byte, 4, MSG_DONTWAIT), -1);
	ck_assert_uint_eq(l.j->engines, 1);
	crash_again(&l);
	ck_assert_int_eq(recv(l.sock[0], byte, 4, MSG_DONTWAIT), 1);
	ck_assert_uint_eq(l.j->engines, 2);
	left_free(&l);
}
END_TEST

START_TEST(p14_kill_completes_each_once)
{
	struct left l;
	struct queue *q;

	left_new(&l, 16);
	q = take_over(&l);
	q->free_shared = NULL;
	for (unsigned int i = 0; i < 4; i++)
		accept_one(&l, i, i, 0);
	l.j->slots[2].started = 1;
	queue_kill(q);
	take(&l);
	once_each(&l, 4);
	for (unsigned int i = 0; i < 4; i++)
		ck_assert_uint_eq(l.status[i],
				  i == 2 ? SHARQ_RESET : SHARQ_CANCELED);
	ck_assert_uint_eq(l.ring->device_flags, SHARQ_DEVICE_CLOSED);
	queue_free(q);
	crash_again(&l);
	once_each(&l, 4);
	ck_assert_uint_eq(l.ring->device_flags, SHARQ_DEVICE_CLOSED);
	left_free(&l);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("recovery");

	UNIT_ADD(s, p14_in_flight_is_reset_once);
	UNIT_ADD(s, p14_full_queue_is_reset_once);
	UNIT_ADD(s, p14_completed_is_not_repeated);
	UNIT_ADD(s, p14_unpublished_completion_is_made_once);
	UNIT_ADD(s, p14_unpublished_acceptance_is_discarded);
	UNIT_ADD(s, p14_discarded_acceptance_stays_discarded);
	UNIT_ADD(s, p14_executing_twice_is_quarantined);
	UNIT_ADD(s, others_are_not_quarantined);
	UNIT_ADD(s, suspects_are_bounded);
	UNIT_ADD(s, corrupt_journal_is_refused);
	UNIT_ADD(s, p6_memory_not_as_made_is_refused);
	UNIT_ADD(s, p6_ring_is_not_believed);
	UNIT_ADD(s, state_is_carried_over);
	UNIT_ADD(s, link_is_carried_over);
	UNIT_ADD(s, client_is_told_of_a_takeover);
	UNIT_ADD(s, p14_kill_completes_each_once);
	return s;
}
