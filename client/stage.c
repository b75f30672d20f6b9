// SPDX-License-Identifier: MIT
/*
 * Staging: copies of operands that the device can't reach, or that may be bad.
 *
 * A plain queue copies with memcpy: a bad pointer is the caller's SIGSEGV. A
 * CHECKED one copies through process_vm_readv() and process_vm_writev() on
 * this very process, which report what they couldn't reach.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t to_page_end(uint64_t addr)
{
	return 4096 - (addr & 4095);
}

/*
 * Copy between caller memory and ours. The kernel says how far it came, but
 * may refuse a piece whole: then go on to the end of the page, so that the
 * address in @bad is exact.
 *
 * Return: 0 or -EFAULT.
 */
static int copy_checked(struct sharq_queue *q, uint64_t user, uint8_t *copy,
			size_t len, bool write, uint64_t *bad)
{
	size_t try = len, done = 0;

	while (done < len) {
		struct iovec here = { copy + done, try };
		struct iovec there = { (void *)(uintptr_t)(user + done), try };
		ssize_t n;

		q->counts.syscalls++;
		n = write ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
			  : process_vm_readv(getpid(), &here, 1, &there, 1, 0);
		if (n > 0) {
			done += n;
			try = len - done;
		} else if (n < 0 && errno == EFAULT) {
			if (try <= to_page_end(user + done)) {
				*bad = user + done;
				return -EFAULT;
			}
			try = to_page_end(user + done);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else {
			/* Forbidden here (a seccomp filter): as if unchecked. */
			if (write)
				memcpy(there.iov_base, here.iov_base, try);
			else
				memcpy(here.iov_base, there.iov_base, try);
			done += try;
			try = len - done;
		}
	}
	return 0;
}

static int copy_in(struct sharq_queue *q, const struct stage *st, uint64_t *bad)
{
	if (q->flags & SHARQ_QUEUE_CHECKED)
		return copy_checked(q, st->user, st->copy, st->len, false, bad);
	memcpy(st->copy, (const void *)(uintptr_t)st->user, st->len);
	return 0;
}

static int copy_out(struct sharq_queue *q, const struct stage *st, size_t len,
		    uint64_t *bad)
{
	if (q->flags & SHARQ_QUEUE_CHECKED)
		return copy_checked(q, st->user, st->copy, len, true, bad);
	memcpy((void *)(uintptr_t)st->user, st->copy, len);
	return 0;
}

static void set_operand(struct sharq_desc *desc, unsigned int field,
			uint64_t addr)
{
	switch (field) {
	case SHARQ_FIELD_SRC:
		desc->src = addr;
		break;
	case SHARQ_FIELD_DST:
		desc->dst = addr;
		break;
	default:
		desc->src2 = addr; /* and dst2: the same place */
		break;
	}
}

void stage_free(struct sharq_queue *q, const struct stage *stages,
		unsigned int n, bool shared)
{
	for (unsigned int i = 0; i < n; i++) {
		if (shared)
			heap_free(q->s, stages[i].copy);
		else
			free(stages[i].copy);
	}
}

int stage_in(struct sharq_queue *q, struct sharq_desc *desc,
	     struct stage stages[SHARQ_MAX_OPERANDS], bool shared, bool grow,
	     uint64_t *addr)
{
	struct sharq_operand ops[SHARQ_MAX_OPERANDS];
	unsigned int n = sharq_operands(desc, ops), used = 0;
	int rc = 0;

	for (unsigned int i = 0; i < n && !rc; i++) {
		struct stage *st = &stages[used];

		if (shared && region_holds(q->s, &q->region_hint, ops[i].addr,
					   ops[i].len))
			continue;
		st->user = ops[i].addr;
		st->len = ops[i].len;
		st->write = ops[i].write;
		st->copy = shared ? heap_alloc(q->s, st->len, grow, false)
				  : malloc(st->len);
		if (!st->copy) {
			rc = -ENOMEM;
			break;
		}
		used++;
		if (!st->write)
			rc = copy_in(q, st, addr);
		set_operand(desc, ops[i].field, (uintptr_t)st->copy);
	}
	if (!rc)
		return (int)used;
	stage_free(q, stages, used, shared);
	return rc;
}

void stage_out(struct sharq_queue *q, const struct stage *stages,
	       unsigned int n, struct sharq_cqe *cqe)
{
	uint64_t bad;

	for (unsigned int i = 0; i < n; i++) {
		const struct stage *st = &stages[i];
		uint64_t copy = (uintptr_t)st->copy;

		if (cqe->flags & SHARQ_CQE_ADDR_VALID &&
		    cqe->addr - copy < st->len) {
			cqe->addr = st->user + (cqe->addr - copy);
			return;
		}
		if (!st->write || cqe->status != SHARQ_OK)
			continue;
		if (copy_out(q, st,
			     cqe->produced < st->len ? cqe->produced : st->len,
			     &bad))
			*cqe = (struct sharq_cqe){
				.user_data = cqe->user_data,
				.status = SHARQ_FAULT_WRITE,
				.flags = SHARQ_CQE_ADDR_VALID,
				.addr = bad,
			};
	}
}
