// SPDX-License-Identifier: MIT
/*
 * Kicks in an application's own io_uring.
 */
#include "client.h"

#include <errno.h>

#include "sharq_ioctl.h"
#pragma GCC visibility push(default)
#include "sharq_uring.h"
#pragma GCC visibility pop

static bool takes_kicks(const struct sharq_queue *q)
{
	return q->info.path == SHARQ_PATH_SHADOW;
}

static int not_shadow(struct sharq_queue *q)
{
	return fail(q->s, -EOPNOTSUPP,
		    "queue %llu is on the %s path, which takes no kicks: use "
		    "sharq_submit()",
		    (unsigned long long)q->info.id,
		    sharq_path_name(q->info.path));
}

static int prep(struct sharq_queue *q, struct io_uring_sqe *sqe, uint32_t flags)
{
	int n;

	if (!guarded(q->s))
		return -EPERM;
	if (!takes_kicks(q))
		return not_shadow(q);
	n = accept_prepared(q);
	if (n < 0)
		return n;
	fill_ring(q);
	kick_lend(q);
	kick_fill(q, sqe, flags);
	return n;
}

int sharq_prep_kick(struct sharq_queue *q, struct io_uring_sqe *sqe)
{
	return prep(q, sqe, 0);
}

int sharq_prep_kick_wait(struct sharq_queue *q, struct io_uring_sqe *sqe)
{
	return prep(q, sqe, SHARQ_KICK_WAIT);
}

int sharq_kicked(struct sharq_queue *q, int res)
{
	int rc;

	if (!guarded(q->s))
		return -EPERM;
	if (!takes_kicks(q))
		return not_shadow(q);
	rc = kick_lent(q, res);
	if (res == -EOPNOTSUPP)
		return fail(q->s, res,
			    "this kernel offers no kick that waits: use "
			    "sharq_prep_kick()");
	return res == -ESHUTDOWN ? res : rc;
}

int sharq_kick_fd(struct sharq_queue *q)
{
	if (!guarded(q->s))
		return -EPERM;
	return takes_kicks(q) ? q->fd : not_shadow(q);
}
