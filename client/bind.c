// SPDX-License-Identifier: MIT
/*
 * The module's queues: binding one to this process, mapping its rings and, of a
 * direct one, its doorbell and what an SDXI context needs.
 */
#include "client.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reason.h"
#include "sharq_ioctl.h"

static void say_reason(const struct sharq_bind *b, char *buf, size_t size)
{
	sharq_reason_say(sharq_reason_text(b->reason), b->reason_errno, buf,
			 size);
}

static int refused(struct sharq *s, int err, const struct sharq_bind *b)
{
	char reason[160];

	switch (err) {
	case EBUSY:
	case EOPNOTSUPP:
		say_reason(b, reason, sizeof(reason));
		return fail(s, -err, "no %s path: %s", sharq_path_name(b->path),
			    reason);
	case EPERM:
		return fail(s, -err,
			    "the module refuses the queue that sharqd made: it "
			    "was made for another user id than this process "
			    "acts with");
	case ETIMEDOUT:
		return fail(s, -err,
			    "the queue that sharqd made wasn't bound in time");
	case ESHUTDOWN:
		return fail(s, -err,
			    "the queue that sharqd made was killed before it "
			    "was bound");
	default:
		return fail(s, -err, "can't bind the queue: %s", strerror(err));
	}
}

static bool ring_fits(const struct sharq_bind *b)
{
	if (b->ring == SHARQ_RING_SHARQ)
		return true;
	return b->ring == SHARQ_RING_SDXI && b->path == SHARQ_BIND_DIRECT &&
	       b->entries && b->entries <= SHARQ_MAX_DEPTH &&
	       b->area_size <= SIZE_MAX &&
	       b->area_size >= sdxi_area_size(b->entries);
}

/* Does the kernel's answer fit what was asked, and itself? */
static bool answer_fits(const struct sharq_queue *q, const struct sharq_bind *b)
{
	return (b->path == SHARQ_BIND_SHADOW ||
		(b->path == SHARQ_BIND_DIRECT && b->bell_offset)) &&
	       ring_fits(b) && b->depth == q->depth &&
	       b->sqe_shift == SHARQ_SQE_SHIFT &&
	       b->cqe_shift == SHARQ_CQE_SHIFT &&
	       sharq_layout_valid(b->depth, b->sq_offset, b->cq_offset,
				  b->map_size);
}

/*
 * The kernel sees to it that a child doesn't inherit the mapping. @wish: NULL, or where
 * it is to lie: with MAP_FIXED that is ours already, else if there is room. The parts
 * begin with what each submission stores to: side by side, for a cache that looks
 * lines up by a hash of their address (AMD's) keeps only one of two with the same
 * hash, and pages that lie anywhere may have that.
 */
static int map_part(struct sharq_queue *q, const char *what, size_t size,
		    uint64_t offset, void *wish, int flags, void **at)
{
	*at = mmap64(wish, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags,
		     q->fd, (off64_t)offset);
	if (*at == MAP_FAILED)
		return fail(q->s, -errno, "can't map the queue's %s: %s", what,
			    strerror(errno));
	return 0;
}

static int map_rings(struct sharq_queue *q, const struct sharq_bind *b)
{
	void *at;
	int rc = map_part(q, "rings", b->map_size, b->map_offset, NULL, 0, &at);

	if (rc)
		return rc;
	q->map_size = b->map_size;
	q->ring = at;
	q->sq = (void *)((uint8_t *)at + b->sq_offset);
	q->cq = (void *)((uint8_t *)at + b->cq_offset);
	return 0;
}

/* Below @above, if there is room; behind the notes, which a child hasn't either. */
static int map_area(struct sharq_queue *q, const struct sharq_bind *b,
		    void *above)
{
	size_t size = SDXI_NOTES_SIZE + b->area_size;
	uint8_t *at = mmap((uint8_t *)above - size, size,
			   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	void *area;
	int rc;

	if (at == MAP_FAILED || madvise(at, size, MADV_DONTFORK)) {
		rc = fail(q->s, -errno, "can't map the queue's notes: %s",
			  strerror(errno));
		if (at != MAP_FAILED)
			munmap(at, size);
		return rc;
	}
	q->area = at + SDXI_NOTES_SIZE;
	rc = map_part(q, "context", b->area_size, b->area_offset, q->area,
		      MAP_FIXED, &area);
	/* Else nobody knows what lies there. */
	if (!rc)
		q->area_size = b->area_size;
	return rc;
}

/* The context isn't started before it can be put to use. */
static int start_context(struct sharq_queue *q, const struct sharq_bind *b,
			 void *bell)
{
	struct sharq_start start = { .size = sizeof(start) };
	struct sdxi_memory m = {
		.ring = q->ring,
		.sq = q->sq,
		.cq = q->cq,
		.depth = b->depth,
		.entries = b->entries,
		.caps = { .ops = b->ops, .max_transfer = b->max_transfer },
		.bell = bell,
	};
	int rc = map_area(q, b, bell);

	if (rc)
		return rc;
	m.area = q->area;
	rc = sdxi_new(&q->sdxi, &m);
	if (rc)
		return fail(q->s, rc, "out of memory");
	start.addr = (uintptr_t)m.area;
	if (ioctl(q->fd, SHARQ_START, &start))
		return fail(q->s, -errno, "can't start the queue's context: %s",
			    strerror(errno));
	return 0;
}

/* How what is published is told: by the doorbell, else by kicks. */
static int make_kicker(struct sharq_queue *q, const struct sharq_bind *b)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *bell = NULL;
	int rc = 0;

	if (b->path == SHARQ_BIND_DIRECT)
		rc = map_part(q, "doorbell", page, b->bell_offset,
			      (uint8_t *)q->ring - page, 0, &bell);
	if (rc)
		return rc;
	rc = kicker_new(&q->kicker, bell);
	if (rc && bell)
		munmap(bell, page);
	if (rc)
		return fail(q->s, rc, "out of memory");
	if (b->ring == SHARQ_RING_SDXI)
		rc = start_context(q, b, bell);
	if (!rc && bell)
		push_in_place(q, bell);
	return rc;
}

static void take_info(struct sharq_queue *q, const struct sharq_bind *b,
		      const Sharq__Pb__QueueCreated *c)
{
	q->info = (struct sharq_queue_info){
		.id = c->queue,
		.device = c->device,
		.path = b->path, /* its numbers are those here */
		.depth = b->depth,
		.ops = b->ops,
		.max_transfer = b->max_transfer,
		.flags = b->flags & SHARQ_BOUND_SYNC_ONLY ? SHARQ_INFO_SYNC_ONLY
							  : 0,
	};
	say_reason(b, q->info.reason, sizeof(q->info.reason));
}

int bind_queue(struct sharq_queue *q, uint32_t path,
	       const Sharq__Pb__QueueCreated *c)
{
	/* The paths that the module knows have the same numbers here. */
	struct sharq_bind b = { .size = sizeof(b), .path = path };
	int rc;

	if (ioctl(q->fd, SHARQ_BIND, &b))
		return refused(q->s, errno, &b);
	if (!answer_fits(q, &b))
		return fail(q->s, -EPROTO,
			    "the module bound another queue than was asked "
			    "for");
	rc = map_rings(q, &b);
	if (!rc)
		rc = make_kicker(q, &b);
	if (!rc)
		take_info(q, &b, c);
	return rc;
}
