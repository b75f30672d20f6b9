// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

/* After the end, what is in flight has this long. */
#define DRAIN_NS (10 * 1000000000ULL)
#define WAIT_MS 200

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int library_error(struct bench_thread *t, int err, const char *what)
{
	char text[512] = "";

	if (err != -ETIME)
		sharq_error(t->b->s, text, sizeof(text));
	t->err = fail(&t->failure, err, "%s: %s", what,
		      *text ? text : strerror(-err));
	return err;
}

/* Words of a small vocabulary: COMPRESS has its usual work with it. */
static void fill_text(uint8_t *p, size_t len, uint64_t seed)
{
	static const char words[] = "queue ring accelerator descriptor memory "
				    "completion the a of and to in is copies "
				    "kernel 0x7f 4096 latency\n";
	uint64_t r = seed * 0x9e3779b97f4a7c15ULL + 1;
	size_t i = 0, at;

	while (i < len) {
		r = r * 6364136223846793005ULL + 1442695040888963407ULL;
		at = (r >> 33) % (sizeof(words) - 1);
		do
			p[i++] = words[at++];
		while (i < len && at < sizeof(words) - 1 && words[at] != ' ');
		if (i < len && (r >> 60) == 0)
			p[i++] = r >> 40;
	}
}

static int pack_pieces(struct bench_thread *t)
{
	uint8_t *plain;
	unsigned int status = SHARQ_OK;
	size_t len;
	uint64_t i;
	int err = 0;

	t->packed = calloc(t->pieces, sizeof(*t->packed));
	plain = malloc(t->b->size ? t->b->size : 1);
	if (!t->packed || !plain)
		err = library_error(t, -ENOMEM, "getting memory");
	for (i = 0; !err && i < t->pieces; i++) {
		fill_text(plain, t->b->size, i);
		len = t->src_step;
		err = sharq_compress(t->q, t->src + i * t->src_step, &len,
				     plain, t->b->size, t->b->format,
				     t->b->level, &status);
		if (!err && status != SHARQ_OK)
			err = -EIO;
		if (err)
			library_error(t, err,
				      "compressing what is to be "
				      "decompressed");
		t->packed[i] = len;
	}
	free(plain);
	return err;
}

static uint8_t *get_buffer(struct bench_thread *t, size_t step)
{
	uint8_t *p;

	/* A byte at least, so that NULL means failure. */
	if (step > SIZE_MAX / t->pieces)
		p = NULL;
	else
		p = sharq_alloc(t->b->s, step * t->pieces + 1);
	if (!p)
		library_error(t, -ENOMEM,
			      "getting shared memory (--set and "
			      "--depth say how much)");
	else
		memset(p, 0, step * t->pieces + 1);
	return p;
}

static int get_buffers(struct bench_thread *t)
{
	const struct bench *b = t->b;
	size_t step = ((size_t)b->size + 63) / 64 * 64;
	size_t bound = (sharq_compress_bound(b->size) + 63) / 64 * 64;
	bool compare = b->op == SHARQ_OP_COMPARE;
	uint64_t i;

	/* What is in flight together must not overlap. */
	t->pieces = step ? b->set / step : 1;
	if (t->pieces < b->depth)
		t->pieces = b->depth;
	t->src_step = b->op == SHARQ_OP_DECOMPRESS ? bound : step;
	t->dst_step = b->op == SHARQ_OP_COMPRESS ? bound : step;
	if (b->op == SHARQ_OP_NOP)
		return 0;
	if (b->op != SHARQ_OP_FILL)
		t->src = get_buffer(t, t->src_step);
	if (!t->err && b->op != SHARQ_OP_CRC32C)
		t->dst = get_buffer(t, t->dst_step);
	if (!t->err && b->op == SHARQ_OP_DUALCAST)
		t->dst2 = get_buffer(t, t->dst_step);
	if (t->err)
		return t->err;
	if (b->op == SHARQ_OP_DECOMPRESS)
		return pack_pieces(t);
	for (i = 0; t->src && i < t->pieces; i++) {
		fill_text(t->src + i * step, b->size, i);
		if (compare)
			memcpy(t->dst + i * step, t->src + i * step, b->size);
	}
	return 0;
}

int bench_thread_prepare(struct bench_thread *t)
{
	struct bench *b = t->b;
	unsigned int i;
	int err;

	err = sharq_queue_open(b->s, &b->queue, &t->q);
	if (err)
		return library_error(t, err, "opening a queue");
	sharq_queue_info(t->q, &t->info);
	t->began = calloc(b->depth, sizeof(*t->began));
	t->free = calloc(b->depth, sizeof(*t->free));
	if (!t->began || !t->free)
		return library_error(t, -ENOMEM, "getting memory");
	for (i = 0; i < b->depth; i++)
		t->free[t->nfree++] = i;
	return get_buffers(t);
}

void bench_thread_release(struct bench_thread *t)
{
	/* The queue first: until then the device may use the memory. */
	t->q = sharq_queue_close(t->q);
	sharq_free(t->b->s, t->src);
	sharq_free(t->b->s, t->dst);
	sharq_free(t->b->s, t->dst2);
	free(t->packed);
	free(t->began);
	free(t->free);
}

static void prep(struct bench_thread *t, struct sharq_sqe *sqe)
{
	static const uint64_t pattern = 0x1122334455667788ULL;
	const struct bench *b = t->b;
	uint64_t i = t->next;
	uint8_t *src = t->src + i * t->src_step;
	uint8_t *dst = t->dst + i * t->dst_step;

	t->next = i + 1 == t->pieces ? 0 : i + 1;
	switch (b->op) {
	case SHARQ_OP_COPY:
		sharq_prep_copy(sqe, dst, src, b->size);
		break;
	case SHARQ_OP_FILL:
		sharq_prep_fill(sqe, dst, b->size, &pattern, sizeof(pattern));
		break;
	case SHARQ_OP_COMPARE:
		sharq_prep_compare(sqe, src, dst, b->size);
		break;
	case SHARQ_OP_CRC32C:
		sharq_prep_crc32c(sqe, src, b->size, 0);
		break;
	case SHARQ_OP_COPY_CRC32C:
		sharq_prep_copy_crc32c(sqe, dst, src, b->size, 0);
		break;
	case SHARQ_OP_DUALCAST:
		sharq_prep_dualcast(sqe, dst, t->dst2 + i * t->dst_step, src,
				    b->size);
		break;
	case SHARQ_OP_COMPRESS:
		sharq_prep_compress(sqe, dst, t->dst_step, src, b->size,
				    b->format, b->level);
		break;
	case SHARQ_OP_DECOMPRESS:
		sharq_prep_decompress(sqe, dst, t->dst_step, src, t->packed[i],
				      b->format);
		break;
	default:
		sharq_prep_nop(sqe);
		break;
	}
}

/* One batch, of what isn't in flight. */
static int submit(struct bench_thread *t, unsigned int n)
{
	struct sharq_sqe *sqe;
	unsigned int i, entry;
	uint64_t now;
	int sent;

	if (n > t->nfree)
		n = t->nfree;
	now = now_ns();
	for (i = 0; i < n; i++) {
		sqe = sharq_get_sqe(t->q);
		if (!sqe)
			return library_error(t, -EIO, "getting an entry");
		entry = t->free[--t->nfree];
		prep(t, sqe);
		sharq_sqe_set_data64(sqe, entry);
		t->began[entry] = now;
	}
	while (n) {
		sent = sharq_submit(t->q);
		if (sent < 0)
			return library_error(t, sent, "submitting");
		/* All memory is shared, so nothing has to be staged. */
		if (!sent)
			return library_error(t, -EIO, "submitting");
		n -= sent;
	}
	return 0;
}

/*
 * Take completions, at least @want of them (0: what there is). Bounded once
 * the end has come, or at once with @bounded: a queue that somebody has paused
 * must not keep us for ever.
 */
static int reap(struct bench_thread *t, unsigned int want, bool bounded)
{
	const struct sharq_cqe *cqe;
	unsigned int got = 0;
	uint64_t now = 0, deadline = 0;
	int err;

	for (;;) {
		err = sharq_peek_cqe(t->q, &cqe);
		if (err == -EAGAIN) {
			if (got >= want)
				return 0;
			now = 0;
			if (!t->b->poll)
				err = sharq_wait_cqe(t->q, &cqe, WAIT_MS);
		}
		if (err == -EAGAIN || err == -ETIME || err == -EINTR) {
			if (!bounded &&
			    !atomic_load_explicit(&t->b->stop,
						  memory_order_relaxed))
				continue;
			if (!deadline)
				deadline = now_ns() + DRAIN_NS;
			else if (now_ns() > deadline)
				return library_error(t, -ETIME,
						     "commands "
						     "didn't complete within "
						     "10 seconds: is the queue "
						     "paused?");
			continue;
		}
		if (err)
			return library_error(t, err, "waiting");
		/* One look at the clock for all that came together. */
		if (!now)
			now = now_ns();
		hist_add(&t->hist, now - t->began[cqe->user_data]);
		if (cqe->status != SHARQ_OK) {
			if (!t->errors++)
				t->status = cqe->status;
		}
		t->free[t->nfree++] = cqe->user_data;
		sharq_cqe_seen(t->q, cqe);
		got++;
	}
}

static int run(struct bench_thread *t)
{
	const struct bench *b = t->b;
	int err = 0;

	while (!err && !atomic_load_explicit(&b->stop, memory_order_relaxed)) {
		err = submit(t, b->batch);
		/* Full: wait until another whole batch fits. */
		if (!err)
			err = reap(t,
				   t->nfree < b->batch ? b->batch - t->nfree
						       : 0,
				   false);
	}
	if (!err && t->nfree < b->depth)
		err = reap(t, b->depth - t->nfree, true);
	return err;
}

/* Each piece in flight once: the engine is awake, what is needed is mapped. */
static int warm_up(struct bench_thread *t)
{
	unsigned int n = t->nfree;
	int err = submit(t, n);

	return err ? err : reap(t, n, true);
}

static void fail_all(struct bench_thread *t)
{
	atomic_store(&t->b->stop, true);
	pthread_kill(t->b->main, SIGALRM);
}

void *bench_thread_main(void *arg)
{
	struct bench_thread *t = arg;
	struct sharq_queue_counts before, after;
	uint64_t start;

	if (warm_up(t))
		fail_all(t);
	sem_post(&t->b->ready);
	while (sem_wait(&t->b->go))
		;
	if (t->err)
		return NULL;
	memset(&t->hist, 0, sizeof(t->hist));
	t->errors = 0;
	sharq_queue_counts(t->q, &before);
	start = now_ns();
	if (run(t))
		fail_all(t);
	t->seconds = (double)(now_ns() - start) / 1e9;
	sharq_queue_counts(t->q, &after);
	t->counts.submitted = after.submitted - before.submitted;
	t->counts.completed = after.completed - before.completed;
	t->counts.syscalls = after.syscalls - before.syscalls;
	t->counts.staged = after.staged - before.staged;
	t->counts.inlined = after.inlined - before.inlined;
	return NULL;
}
