// SPDX-License-Identifier: MIT
/*
 * Shadow queues: binding one to this process, mapping its rings.
 */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "reason.h"
#include "sharq_ioctl.h"

static void say_reason(const struct sharq_bind *b, char *buf, size_t size)
{
	const char *reason = sharq_reason_text(b->reason);

	if (b->reason_errno)
		snprintf(buf, size, "%s: %s", reason,
			 strerror(abs(b->reason_errno)));
	else
		snprintf(buf, size, "%s", reason);
}

static int refused(struct sharq *s, int err, const struct sharq_bind *b)
{
	char reason[160];

	switch (err) {
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

/* Does the kernel's answer fit what was asked, and itself? */
static bool answer_fits(const struct sharq_queue *q, const struct sharq_bind *b)
{
	return b->path == SHARQ_BIND_SHADOW && b->depth == q->depth &&
	       b->sqe_shift == SHARQ_SQE_SHIFT &&
	       b->cqe_shift == SHARQ_CQE_SHIFT &&
	       sharq_layout_valid(b->depth, b->sq_offset, b->cq_offset,
				  b->map_size);
}

/* The kernel sees to it that a child doesn't inherit the mapping. */
static int map_rings(struct sharq_queue *q, const struct sharq_bind *b)
{
	void *at = mmap64(NULL, b->map_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  q->fd, (off64_t)b->map_offset);

	if (at == MAP_FAILED)
		return fail(q->s, -errno, "can't map the queue's rings: %s",
			    strerror(errno));
	q->map_size = b->map_size;
	q->ring = at;
	q->sq = (void *)((uint8_t *)at + b->sq_offset);
	q->cq = (void *)((uint8_t *)at + b->cq_offset);
	return 0;
}

static void take_info(struct sharq_queue *q, const struct sharq_bind *b,
		      const Sharq__Pb__QueueCreated *c)
{
	q->info = (struct sharq_queue_info){
		.id = c->queue,
		.device = c->device,
		.path = SHARQ_PATH_SHADOW,
		.depth = b->depth,
		.ops = b->ops,
		.max_transfer = b->max_transfer,
		.flags = b->flags & SHARQ_BOUND_SYNC_ONLY ? SHARQ_INFO_SYNC_ONLY
							  : 0,
	};
	say_reason(b, q->info.reason, sizeof(q->info.reason));
}

int shadow_open(struct sharq_queue *q, uint32_t path,
		const Sharq__Pb__QueueCreated *c)
{
	/* The paths that the module knows have the same numbers here. */
	struct sharq_bind b = { .size = sizeof(b), .path = path };
	int rc = kicker_new(&q->kicker);

	if (rc)
		return fail(q->s, rc, "out of memory");
	if (ioctl(q->fd, SHARQ_BIND, &b))
		return refused(q->s, errno, &b);
	if (!answer_fits(q, &b))
		return fail(q->s, -EPROTO,
			    "the module bound another queue than was asked "
			    "for");
	rc = map_rings(q, &b);
	if (!rc)
		take_info(q, &b, c);
	return rc;
}
