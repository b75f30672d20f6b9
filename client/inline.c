// SPDX-License-Identifier: MIT
/*
 * Commands on the caller's own CPU, with the engine's own code.
 */
#include "client.h"

#include <errno.h>

static struct sharq_mem memory_of(const struct sharq_desc *desc)
{
	return (struct sharq_mem){
		.src = (const uint8_t *)(uintptr_t)desc->src,
		.src2 = (const uint8_t *)(uintptr_t)desc->src2,
		.dst = (uint8_t *)(uintptr_t)desc->dst,
		.dst2 = (uint8_t *)(uintptr_t)desc->dst2,
	};
}

static void execute(struct sharq_queue *q, const struct sharq_desc *desc,
		    struct sharq_cqe *cqe)
{
	struct sharq_mem mem = memory_of(desc);

	if (sharq_exec_needs_codec(desc) && !q->codec &&
	    sharq_codec_new(&q->codec)) {
		cqe->status = SHARQ_DENIED;
		return;
	}
	sharq_exec_run(desc, &mem, q->codec, cqe);
}

static void execute_checked(struct sharq_queue *q,
			    const struct sharq_desc *desc,
			    struct sharq_cqe *cqe)
{
	struct stage stages[SHARQ_MAX_OPERANDS];
	struct sharq_desc copy = *desc;
	uint64_t bad;
	int n = stage_in(q, &copy, stages, false, false, &bad);

	if (n == -EFAULT) {
		cqe->status = SHARQ_FAULT_READ;
		cqe->flags = SHARQ_CQE_ADDR_VALID;
		cqe->addr = bad;
	} else if (n < 0) {
		cqe->status = SHARQ_DENIED;
	} else {
		execute(q, &copy, cqe);
		stage_out(q, stages, n, cqe);
		stage_free(q, stages, n, false);
	}
}

void run_inline(struct sharq_queue *q, const struct sharq_desc *desc)
{
	struct sharq_cqe cqe = { .user_data = desc->user_data };
	enum sharq_field field;

	q->counts.inlined++;
	if (q->chain_failed) {
		cqe.status = SHARQ_CANCELED;
	} else {
		cqe.status = sharq_check(desc, &q->caps, &field);
		if (cqe.status != SHARQ_OK)
			cqe.consumed = field;
		else if (q->flags & SHARQ_QUEUE_CHECKED)
			execute_checked(q, desc, &cqe);
		else
			execute(q, desc, &cqe);
	}
	q->chain_failed = (desc->flags & SHARQ_DESC_LINK) &&
			  cqe.status != SHARQ_OK;
	complete_local(q, &cqe);
}
