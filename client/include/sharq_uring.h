/* SPDX-License-Identifier: MIT */
/*
 * Shadow queues in an application's own io_uring: the kick is one more entry
 * among its reads and writes, so that one io_uring_enter carries them all.
 *
 *   sharq_get_sqe, sharq_prep_*()   as ever
 *   sharq_prep_kick(q, sqe)         instead of sharq_submit()
 *   io_uring_submit(ring)
 *   sharq_kicked(q, cqe->res)       when the kick's completion comes
 *   sharq_peek_cqe(q, ...)          the commands' own completions
 *
 * A kick completes when the queue's entries are consumed, not when they are
 * done. To hear of that in the same ring, poll sharq_queue_fd() there
 * (IORING_OP_POLL_ADD), or use sharq_prep_kick_wait().
 *
 * Rings with SQPOLL, DEFER_TASKRUN, SQE128 and registered files will do. Only
 * for queues whose path is SHARQ_PATH_SHADOW (sharq_queue_info()).
 */
#ifndef SHARQ_URING_H
#define SHARQ_URING_H

#include "sharq.h"

#ifdef __cplusplus
extern "C" {
#endif

struct io_uring_sqe;

/*
 * sharq_prep_kick - hand all prepared entries over by a kick in @sqe
 * @sqe: an entry of a ring of the caller's own; user_data is left alone
 *
 * Return: how many entries were prepared, as sharq_submit(): none is fine, the
 * kick then asks again for what an earlier one left. With an error @sqe isn't
 * touched: -EOPNOTSUPP (not a shadow queue), -ESHUTDOWN, -EPERM.
 */
int sharq_prep_kick(struct sharq_queue *q, struct io_uring_sqe *sqe);

/*
 * sharq_prep_kick_wait - the same, but its completion comes when the commands
 * that it consumed have completed; on kernels that can't cancel such a kick
 * (6.1) its result is -EOPNOTSUPP, and then nothing was consumed
 */
int sharq_prep_kick_wait(struct sharq_queue *q, struct io_uring_sqe *sqe);

/*
 * sharq_kicked - tell the result of a kick; for each one that was prepared, with
 * -ECANCELED for one that was never submitted
 * @res: cqe->res
 *
 * Return: 0; -EAGAIN: some entries are left (a limit, a pause, an error of the
 * ring): the library goes on with them in sharq_peek_cqe() or sharq_wait_cqe(),
 * unless another sharq_prep_kick() does it before; -EOPNOTSUPP (a kick that
 * waits, see there), -ESHUTDOWN (the queue is dead; what was accepted
 * completes), -EPERM.
 */
int sharq_kicked(struct sharq_queue *q, int res);

/*
 * sharq_kick_fd - the file that sharq_prep_kick() names, to register it with a
 * ring: then set IOSQE_FIXED_FILE and the index as fd in the filled entry
 *
 * The library's own: don't close it. Return: the fd, or -errno as above.
 */
int sharq_kick_fd(struct sharq_queue *q);

#ifdef __cplusplus
}
#endif

#endif /* SHARQ_URING_H */
