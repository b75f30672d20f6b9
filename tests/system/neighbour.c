/* SPDX-License-Identifier: MIT */
#include "neighbour.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>

/* Bitwise CRC32C, on purpose not the one under test. */
static uint32_t crc32c_bitwise(const unsigned char *p, size_t n)
{
	uint32_t crc = ~0U;
	int k;

	while (n--) {
		crc ^= *p++;
		for (k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
	}
	return ~crc;
}

pid_t spawn(uid_t uid, void (*fn)(void *), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid)
		return pid;
	become(uid);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fn(arg);
	fflush(NULL);
	_exit(0);
}

struct sharq *must_connect(const char *socket)
{
	struct sharq *s;
	int r = sharq_connect(&s, socket);

	CHECK(r == 0, "connecting to %s: %s", socket, strerror(-r));
	return s;
}

struct sharq_queue *must_open(struct sharq *s, uint32_t depth)
{
	struct sharq_queue_opts opts = { .depth = depth,
					 .path = SHARQ_PATH_EMBEDDED };
	struct sharq_queue *q;
	char buf[256];
	int r = sharq_queue_open(s, &opts, &q);

	CHECK(r == 0, "opening a queue: %d, %s", r,
	      sharq_error(s, buf, sizeof(buf)));
	return q;
}

uint64_t queue_id(struct sharq_queue *q)
{
	struct sharq_queue_info info;

	CHECK_EQ(sharq_queue_info(q, &info), 0);
	return info.id;
}

struct sharq_sqe *must_sqe(struct sharq_queue *q)
{
	struct sharq_sqe *sqe = sharq_get_sqe(q);

	CHECK(sqe, "no free entry with %u outstanding",
	      sharq_queue_outstanding(q));
	return sqe;
}

void must_submit(struct sharq_queue *q, unsigned int n)
{
	CHECK_EQ(sharq_submit(q), n);
}

struct sharq_cqe must_reap(struct sharq_queue *q, int ms)
{
	const struct sharq_cqe *cqe;
	struct sharq_cqe copy;
	int r = sharq_wait_cqe(q, &cqe, ms * SCALE);

	CHECK(r == 0, "no completion within %d ms: %s (%u outstanding)", ms,
	      strerror(-r), sharq_queue_outstanding(q));
	copy = *cqe;
	sharq_cqe_seen(q, cqe);
	return copy;
}

void *must_alloc(struct sharq *s, size_t size)
{
	void *p = sharq_alloc(s, size);
	char buf[256];

	CHECK(p, "sharq_alloc(%zu): %s", size,
	      sharq_error(s, buf, sizeof(buf)));
	return p;
}

void must_work(struct sharq *s, struct sharq_queue *q)
{
	unsigned char *mem = must_alloc(s, 16384);
	struct sharq_cqe cqe;

	rnd_fill(mem, 8192, (uint64_t)now_ms());
	memset(mem + 8192, 0, 8192);
	sharq_prep_copy_crc32c(must_sqe(q), mem + 8192, mem, 8192, 0);
	must_submit(q, 1);
	cqe = must_reap(q, 10000);
	CHECK_EQ(cqe.status, SHARQ_OK);
	CHECK_EQ(cqe.crc, crc32c_bitwise(mem, 8192));
	CHECK(memcmp(mem, mem + 8192, 8192) == 0, "the copy is wrong");
	sharq_free(s, mem);
}

struct work {
	const char *socket;
	struct neighbour_state *state;
};

/* Eight copies with CRC at a time, half of them of staged memory. */
static void neighbour_main(void *arg)
{
	struct work *w = arg;
	struct neighbour_state *st = w->state;
	struct sharq *s = must_connect(w->socket);
	struct sharq_queue *q = must_open(s, 16);
	unsigned char *shared = must_alloc(s, 16 * 4096);
	static unsigned char heap[16 * 4096];
	uint32_t crc[8];
	uint64_t seed = (uint64_t)getpid();
	unsigned int i;

	st->queue = queue_id(q);
	while (!__atomic_load_n(&st->stop, __ATOMIC_RELAXED)) {
		int64_t began = now_ms(), took;
		unsigned int reset = 0;

		for (i = 0; i < 8; i++) {
			unsigned char *m = (i & 1 ? heap : shared) + i * 8192;
			struct sharq_sqe *sqe = must_sqe(q);

			rnd_fill(m, 4096, rnd(&seed));
			memset(m + 4096, 0, 4096);
			crc[i] = crc32c_bitwise(m, 4096);
			sharq_prep_copy_crc32c(sqe, m + 4096, m, 4096, 0);
			sharq_sqe_set_data64(sqe, i);
		}
		must_submit(q, 8);
		for (i = 0; i < 8; i++) {
			struct sharq_cqe cqe = must_reap(q, 30000);
			unsigned char *m;

			CHECK(cqe.user_data < 8, "a strange completion");
			if (cqe.status == SHARQ_RESET) {
				reset++;
				continue;
			}
			CHECK_EQ(cqe.status, SHARQ_OK);
			CHECK_EQ(cqe.crc, crc[cqe.user_data]);
			m = (cqe.user_data & 1 ? heap : shared) +
			    cqe.user_data * 8192;
			CHECK(memcmp(m, m + 4096, 4096) == 0,
			      "the neighbour's copy is wrong");
		}
		took = now_ms() - began;
		if (took > st->worst_ms)
			st->worst_ms = (uint32_t)took;
		st->resets += reset;
		__atomic_fetch_add(&st->rounds, 1, __ATOMIC_RELEASE);
		/* Leave the machine's few cores to what is being tested. */
		usleep(500);
	}
	sharq_free(s, shared);
	sharq_queue_close(q);
	sharq_disconnect(s);
}

void neighbour_start(struct neighbour *n, const char *socket, uid_t uid)
{
	struct work w = { .socket = socket };

	n->state = shared_alloc(sizeof(*n->state));
	w.state = n->state;
	n->pid = spawn(uid, neighbour_main, &w);
	neighbour_advances(n, 1, 10000);
}

void neighbour_advances(struct neighbour *n, unsigned int rounds, int ms)
{
	uint64_t want =
		__atomic_load_n(&n->state->rounds, __ATOMIC_ACQUIRE) + rounds;

	EVENTUALLY(!pid_alive(n->pid) ||
			   __atomic_load_n(&n->state->rounds,
					   __ATOMIC_ACQUIRE) >= want,
		   ms);
	CHECK(pid_alive(n->pid), "the neighbour died");
}

void neighbour_stop(struct neighbour *n, bool resets_ok)
{
	__atomic_store_n(&n->state->stop, 1, __ATOMIC_RELAXED);
	join(n->pid, 30000);
	if (!resets_ok)
		CHECK_EQ(n->state->resets, 0);
}
