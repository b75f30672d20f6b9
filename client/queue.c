// SPDX-License-Identifier: MIT
/*
 * Opening and closing queues.
 */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_DEPTH 64

static int check_opts(struct sharq *s, const struct sharq_queue_opts *o)
{
	if (!sharq_depth_valid(o->depth))
		return fail(s, -EINVAL,
			    "depth is %u, expected a power of two from %d to "
			    "%d, or 0 for %d",
			    o->depth, SHARQ_MIN_DEPTH, SHARQ_MAX_DEPTH,
			    DEFAULT_DEPTH);
	if (o->path > SHARQ_PATH_INLINE)
		return fail(s, -EINVAL,
			    "path is %u, expected an enum sharq_path, %d to %d",
			    o->path, SHARQ_PATH_ANY, SHARQ_PATH_INLINE);
	if (o->flags & ~SHARQ_QUEUE_FLAGS)
		return fail(s, -EINVAL,
			    "flags are 0x%x, of which 0x%x are unknown",
			    o->flags, o->flags & ~SHARQ_QUEUE_FLAGS);
	if (o->inline_max && !(o->flags & SHARQ_QUEUE_INLINE))
		return fail(s, -EINVAL,
			    "inline_max is %u without SHARQ_QUEUE_INLINE: set "
			    "the flag, or 0",
			    o->inline_max);
	if (o->ops & ~SHARQ_OPS_ALL)
		return fail(s, -ENODEV,
			    "no device has the operations 0x%x, which this "
			    "version doesn't know",
			    o->ops & ~SHARQ_OPS_ALL);
	if (o->path == SHARQ_PATH_INLINE && o->device)
		return fail(s, -ENODEV,
			    "there is no inline device %u, expected 0",
			    o->device);
	if (!s->path && o->path && o->path != SHARQ_PATH_INLINE)
		return fail(s, -EOPNOTSUPP,
			    "there is no %s path without a daemon "
			    "(sharq_connect_none): only inline",
			    sharq_path_name(o->path));
	return 0;
}

static int alloc_tables(struct sharq_queue *q)
{
	uint32_t n = q->depth;

	q->sqes = aligned_alloc(SHARQ_CACHE_LINE, n * sizeof(*q->sqes));
	q->done = aligned_alloc(SHARQ_CACHE_LINE, n * sizeof(*q->done));
	q->records = calloc(n, sizeof(*q->records));
	q->stages = calloc(n, sizeof(*q->stages));
	q->slots = calloc(n, sizeof(*q->slots));
	q->free = calloc(n, sizeof(*q->free));
	if (!q->sqes || !q->done || !q->records || !q->stages || !q->slots ||
	    !q->free)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		q->free[i] = (uint16_t)(n - 1 - i);
	q->nfree = n;
	q->front.limit = n;
	push_by_call(q);
	return 0;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/*
 * Its front is at the end of a page that a fork wipes in the child, who so can prepare
 * and submit nothing; the rest is behind that.
 */
static struct sharq_queue *queue_alloc(void)
{
	size_t front_at = page_size() - SHARQ_CACHE_LINE;
	size_t size = front_at + sizeof(struct sharq_queue);
	void *page;

	if (posix_memalign(&page, page_size(), size))
		return NULL;
	memset(page, 0, size);
	if (!madvise(page, page_size(), MADV_WIPEONFORK))
		return (void *)((uint8_t *)page + front_at);
	free(page);
	return NULL;
}

static void queue_release(struct sharq_queue *q)
{
	void *page = (uint8_t *)q + SHARQ_CACHE_LINE - page_size();

	/* Others may have that memory then. */
	if (!madvise(page, page_size(), MADV_KEEPONFORK))
		free(page);
}

static struct sharq_queue *queue_free(struct sharq_queue *q, bool ours)
{
	/* A child's rings aren't mapped: others' memory may lie there now. */
	if (q->ring && ours)
		munmap(q->ring, q->map_size);
	if (q->area && ours)
		munmap((uint8_t *)q->area - SDXI_NOTES_SIZE,
		       SDXI_NOTES_SIZE + q->area_size);
	sdxi_free(q->sdxi);
	if (q->epoll >= 0)
		close(q->epoll);
	if (q->event >= 0)
		close(q->event);
	q->kicker = kicker_free(q->kicker, ours);
	if (q->fd >= 0)
		close(q->fd);
	sharq_codec_free(q->codec);
	free(q->sqes);
	free(q->done);
	free(q->records);
	free(q->stages);
	free(q->slots);
	free(q->free);
	queue_release(q);
	return NULL;
}

static int queue_new(struct sharq *s, const struct sharq_queue_opts *opts,
		     struct sharq_queue **out)
{
	struct sharq_queue *q = queue_alloc();
	int rc;

	if (!q)
		return fail(s, -ENOMEM, "out of memory");
	q->s = s;
	q->fd = q->epoll = q->event = -1;
	q->flags = opts->flags;
	q->inline_max = opts->inline_max ? opts->inline_max
					 : SHARQ_INLINE_MAX_DEFAULT;
	q->depth = opts->depth;
	rc = alloc_tables(q);
	if (rc) {
		queue_free(q, true);
		return fail(s, rc, "out of memory for a queue of depth %u",
			    opts->depth);
	}
	*out = q;
	return 0;
}

/* Does the daemon's answer fit what was asked, and itself? */
static bool answer_fits(const struct sharq_queue *q,
			const Sharq__Pb__QueueCreated *c)
{
	return c->depth == q->depth && c->sqe_shift == SHARQ_SQE_SHIFT &&
	       c->cqe_shift == SHARQ_CQE_SHIFT &&
	       sharq_layout_valid(c->depth, c->sq_offset, c->cq_offset,
				  c->size);
}

static int map_rings(struct sharq_queue *q, int fd,
		     const Sharq__Pb__QueueCreated *c)
{
	void *at;

	q->map_size = c->size;
	at = mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	q->ring = at;
	q->sq = (void *)((uint8_t *)at + c->sq_offset);
	q->cq = (void *)((uint8_t *)at + c->cq_offset);
	return madvise(at, c->size, MADV_DONTFORK) ? -errno : 0;
}

static void take_info(struct sharq_queue *q, const Sharq__Pb__QueueCreated *c)
{
	q->info = (struct sharq_queue_info){
		.id = c->queue,
		.device = c->device,
		.path = (uint32_t)c->path,
		.depth = c->depth,
		.ops = c->ops,
		.max_transfer = c->max_transfer,
	};
	snprintf(q->info.reason, sizeof(q->info.reason), "%s",
		 c->reason ? c->reason : "");
}

static int queue_destroy(struct sharq *s, uint64_t id)
{
	Sharq__Pb__QueueDestroy destroy = SHARQ__PB__QUEUE_DESTROY__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg;
	int rc;

	destroy.queue = id;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_DESTROY;
	req.queue_destroy = &destroy;
	rc = request(s, &req, 0, NULL, &msg);
	reply_free(msg);
	return rc;
}

static void count_queues(struct sharq *s, int n)
{
	pthread_mutex_lock(&s->wire_lock);
	s->queues += n;
	pthread_mutex_unlock(&s->wire_lock);
}

/* The engine's: @fd is the rings' memory. */
static int embedded_open(struct sharq_queue *q, int fd,
			 const Sharq__Pb__QueueCreated *c)
{
	int rc;

	if (!answer_fits(q, c))
		return fail(q->s, -EPROTO,
			    "sharqd made another queue than was asked for");
	take_info(q, c);
	rc = map_rings(q, fd, c);
	if (!rc)
		return 0;
	queue_destroy(q->s, c->queue);
	return fail(q->s, rc, "can't map the queue's rings: %s", strerror(-rc));
}

/* @fds are ours to close. */
static int take_queue(struct sharq_queue *q, uint32_t path,
		      const Sharq__Pb__QueueCreated *c, const int fds[2])
{
	int rc;

	if (c->bind) {
		q->fd = fds[0];
		rc = bind_queue(q, path, c);
	} else {
		q->fd = fds[1];
		rc = embedded_open(q, fds[0], c);
		close(fds[0]);
	}
	if (!rc) {
		count_queues(q->s, 1);
		atomic_fetch_or(&q->s->paths, 1U << q->info.path);
	}
	return rc;
}

static int open_remote(struct sharq_queue *q,
		       const struct sharq_queue_opts *opts)
{
	Sharq__Pb__QueueCreate create = SHARQ__PB__QUEUE_CREATE__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg;
	int fds[2] = { -1, -1 }, rc;

	create.has_device = create.has_ops = create.has_path = 1;
	create.device = opts->device;
	create.ops = opts->ops;
	create.path = (Sharq__Pb__Path)opts->path;
	create.depth = opts->depth;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CREATE;
	req.queue_create = &create;
	rc = request(q->s, &req, 2, fds, &msg);
	if (rc)
		return rc;
	if (msg->reply->body_case != SHARQ__PB__REPLY__BODY_QUEUE_CREATED) {
		rc = fail(q->s, -EPROTO,
			  "sharqd answered a request for a queue with "
			  "something else");
		close(fds[0]);
		close(fds[1]);
	} else {
		rc = take_queue(q, opts->path, msg->reply->queue_created, fds);
	}
	reply_free(msg);
	return rc;
}

static void open_inline(struct sharq_queue *q)
{
	q->info = (struct sharq_queue_info){
		.path = SHARQ_PATH_INLINE,
		.depth = q->depth,
		.ops = SHARQ_OPS_ALL,
		.max_transfer = SHARQ_MAX_TRANSFER,
	};
}

int sharq_queue_open(struct sharq *s, const struct sharq_queue_opts *opts,
		     struct sharq_queue **out)
{
	struct sharq_queue_opts o = { .depth = DEFAULT_DEPTH };
	struct sharq_queue *q = NULL;
	int rc;

	*out = NULL;
	if (!guarded(s))
		return -EPERM;
	if (opts) {
		o = *opts;
		if (!o.depth)
			o.depth = DEFAULT_DEPTH;
	}
	rc = check_opts(s, &o);
	if (!rc)
		rc = queue_new(s, &o, &q);
	if (rc)
		return rc;
	if (o.path == SHARQ_PATH_INLINE)
		open_inline(q);
	else
		rc = open_remote(q, &o);
	if (rc) {
		queue_free(q, true);
		return rc;
	}
	q->caps.ops = q->info.ops;
	q->caps.max_transfer = q->info.max_transfer;
	*out = q;
	return 0;
}

/*
 * Staging memory of abandoned commands is given back only when it is sure that
 * no engine writes there any more: the daemon says that the queue is gone, or
 * nobody is left. Otherwise it stays taken until the connection ends.
 */
static void give_back_stages(struct sharq_queue *q)
{
	for (uint32_t i = 0; i < q->depth; i++)
		if (q->records[i].busy)
			stage_free(q, q->stages[i], q->records[i].staged, true);
}

struct sharq_queue *sharq_queue_close(struct sharq_queue *q)
{
	struct sharq *s;
	uint64_t id;
	bool ours, module;

	if (!q)
		return NULL;
	s = q->s;
	id = q->info.id;
	ours = guarded(s);
	module = q->kicker;
	if (ours && module)
		kick_quiesce(q);
	else if (ours && q->ring &&
		 (!queue_destroy(s, id) || q->dead & QUEUE_GONE))
		give_back_stages(q);
	if (ours && q->ring)
		count_queues(s, -1);
	queue_free(q, ours);
	/* Once the file is closed, and the quota free when it has answered. */
	if (ours && module)
		queue_destroy(s, id);
	return NULL;
}

int sharq_queue_info(struct sharq_queue *q, struct sharq_queue_info *info)
{
	if (!guarded(q->s))
		return -EPERM;
	*info = q->info;
	return 0;
}

int sharq_queue_counts(struct sharq_queue *q, struct sharq_queue_counts *c)
{
	if (!guarded(q->s))
		return -EPERM;
	*c = q->counts;
	if (q->in_place)
		c->submitted = c->completed + in_flight(q);
	return 0;
}

unsigned int sharq_queue_outstanding(struct sharq_queue *q)
{
	return guarded(q->s) ? outstanding(q) : 0;
}
