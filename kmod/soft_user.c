// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands executed through the client's own page tables, by a thread that has
 * taken on its address space: page by page through pages of ours, so that a
 * fault's address is exact. The statuses and the data are those of exec.c.
 */
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "soft.h"
#include "trace.h"

/* A codec looks up so often: was it killed, has a page faulted? */
#define CODEC_SLICE 16384

/*
 * struct soft_window - the part of an operand that a codec works on; it goes
 * forward only
 * @base, @len: which part; in one page of the client's
 */
struct soft_window {
	struct soft_user *user;
	struct sharq_operand op;
	u32 base;
	u32 len;
};

/*
 * struct soft_user
 * @page:    what is read, and the second that is read or what a codec writes
 * @request: a codec's command
 * @window:  its source, its destination
 * @faulted: at @fault, which was to be written or not
 */
struct soft_user {
	u8 *page[2];
	struct sharq_request request;
	struct soft_window window[2];
	bool faulted;
	bool fault_write;
	u64 fault;
};

/* The first fault is what counts. */
static void note_fault(struct soft_user *u, u64 addr, bool write)
{
	if (u->faulted)
		return;
	u->faulted = true;
	u->fault = addr;
	u->fault_write = write;
}

/* @addr to @addr + @n lie in one page. Return: whether that went well. */
static bool read_user(struct soft_user *u, u8 *to, u64 addr, u32 n)
{
	if (!copy_from_user(to, u64_to_user_ptr(addr), n))
		return true;
	note_fault(u, addr, false);
	return false;
}

static bool write_user(struct soft_user *u, u64 addr, const u8 *from, u32 n)
{
	if (!copy_to_user(u64_to_user_ptr(addr), from, n))
		return true;
	note_fault(u, addr, true);
	return false;
}

/* ---- operations on bytes ---- */

struct bytes {
	struct sharq_operand op[SHARQ_MAX_OPERANDS];
	unsigned int ops;
	bool backward;
	u32 crc;
};

/* How many of the @left bytes are in one page of each operand's. */
static u32 piece(const struct bytes *b, u32 done, u32 left)
{
	u32 n = left;

	for (unsigned int i = 0; i < b->ops; i++) {
		u64 addr = b->op[i].addr;
		u32 run = b->backward ? offset_in_page(addr + left - 1) + 1
				      : PAGE_SIZE - offset_in_page(addr + done);

		n = min(n, run);
	}
	return n;
}

/* Return: as run_bytes() in exec.c. What is written then is in page[0]. */
static u32 run_piece(struct soft_user *u, const struct sharq_desc *desc,
		     struct bytes *b, u32 at, u32 n)
{
	switch (desc->op) {
	case SHARQ_OP_FILL:
		soft_fill(u->page[0], n, (const u8 *)&desc->pattern,
			  desc->param, at % desc->param);
		break;
	case SHARQ_OP_COMPARE:
		return soft_first_difference(u->page[0], u->page[1], n);
	case SHARQ_OP_CRC32C:
	case SHARQ_OP_COPY_CRC32C:
		b->crc = soft_crc32c(b->crc, u->page[0], n);
		break;
	}
	return n;
}

/* Return: how many of the @n bytes were done; 0 also after a fault. */
static u32 do_piece(struct soft_user *u, const struct sharq_desc *desc,
		    struct bytes *b, u32 at, u32 n)
{
	unsigned int i = 0;
	u32 done;

	/* Sources come first. */
	for (; i < b->ops && !b->op[i].write; i++)
		if (!read_user(u, u->page[i], b->op[i].addr + at, n))
			return 0;
	done = run_piece(u, desc, b, at, n);
	for (; i < b->ops; i++)
		if (!write_user(u, b->op[i].addr + at, u->page[0], n))
			return 0;
	return done;
}

static bool exec_bytes(struct soft_user *u, const struct sharq_desc *desc,
		       struct sharq_cqe *cqe)
{
	struct bytes b = { .crc = desc->seed };
	u32 done = 0, n, ok;

	b.ops = sharq_operands(desc, b.op);
	b.backward = desc->op == SHARQ_OP_COPY &&
		     desc->dst - desc->src < desc->len;
	while (done < desc->len) {
		u32 left = desc->len - done;

		n = piece(&b, done, left);
		ok = do_piece(u, desc, &b, b.backward ? left - n : done, n);
		done += ok;
		if (u->faulted || fatal_signal_pending(current))
			return false;
		if (ok < n)
			break;
		cond_resched();
	}
	cqe->crc = b.crc;
	soft_bytes_result(desc, done, cqe);
	return true;
}

/* ---- codecs ---- */

/* Write what lies in a window before @end. */
static void flush(struct soft_window *w, u32 end)
{
	struct soft_user *u = w->user;

	if (w->op.write && end > w->base && !u->faulted)
		write_user(u, w->op.addr + w->base, u->page[1], end - w->base);
	w->base = end;
}

void *soft_window_at(struct soft_window *w, u32 at, u32 *len)
{
	struct soft_user *u = w->user;
	u8 *page = u->page[w->op.write];

	if (at - w->base >= w->len) {
		flush(w, at);
		w->len = min_t(u32, w->op.len - at,
			       PAGE_SIZE - offset_in_page(w->op.addr + at));
		/* After a fault it may have anything: it goes nowhere. */
		if (!w->op.write &&
		    !read_user(u, page, w->op.addr + at, w->len))
			memset(page, 0, w->len);
	}
	*len = min(*len, w->base + w->len - at);
	return page + (at - w->base);
}

static bool exec_codec(struct soft_user *u, const struct sharq_desc *desc,
		       struct sharq_cqe *cqe)
{
	struct sharq_operand ops[SHARQ_MAX_OPERANDS];
	struct sharq_request *r = &u->request;
	void *workspace = r->priv;
	bool done;
	u32 bytes;

	*r = (struct sharq_request){ .desc = *desc,
				     .cqe.user_data = desc->user_data,
				     .nbufs = sharq_operands(desc, ops),
				     .budget = CODEC_SLICE,
				     .priv = workspace };
	for (unsigned int i = 0; i < r->nbufs; i++) {
		struct soft_window *w = &u->window[i];

		*w = (struct soft_window){ .user = u, .op = ops[i] };
		r->buf[i].op = ops[i];
		r->buf[i].kind = SHARQ_BUF_WINDOW;
		r->buf[i].data = w;
	}
	do {
		done = soft_exec(r, &bytes);
		r->begun = true;
		cond_resched();
	} while (!done && !u->faulted && !fatal_signal_pending(current));
	if (r->nbufs)
		flush(&u->window[r->nbufs - 1], r->cqe.produced);
	*cqe = r->cqe;
	return done && !u->faulted;
}

/* ---- all ---- */

static void set_failed(const struct soft_user *u, const struct sharq_desc *desc,
		       struct sharq_cqe *cqe)
{
	*cqe = (struct sharq_cqe){ .user_data = desc->user_data,
				   .status = SHARQ_RESET };
	/* A page that was waited for when the thread was killed is no fault. */
	if (!u->faulted || fatal_signal_pending(current))
		return;
	cqe->status = u->fault_write ? SHARQ_FAULT_WRITE : SHARQ_FAULT_READ;
	cqe->flags = SHARQ_CQE_ADDR_VALID;
	cqe->addr = u->fault;
}

void soft_user_exec(struct soft_user *u, const struct sharq_desc *desc,
		    struct sharq_cqe *cqe)
{
	bool codec = desc->op == SHARQ_OP_COMPRESS ||
		     desc->op == SHARQ_OP_DECOMPRESS;

	u->faulted = false;
	*cqe = (struct sharq_cqe){ .user_data = desc->user_data };
	if (!(codec ? exec_codec : exec_bytes)(u, desc, cqe))
		set_failed(u, desc, cqe);
}

struct soft_user *soft_user_free(struct soft_user *u)
{
	if (!u)
		return NULL;
	vfree(u->request.priv);
	free_page((unsigned long)u->page[0]);
	free_page((unsigned long)u->page[1]);
	kfree(u);
	return NULL;
}

int soft_user_new(struct soft_user **out)
{
	static const struct sharq_desc compress = { .op = SHARQ_OP_COMPRESS };
	static const struct sharq_desc inflate = { .op = SHARQ_OP_DECOMPRESS };
	u32 workspace =
		max(soft_codec_size(&compress), soft_codec_size(&inflate));
	struct soft_user *u = kzalloc(sizeof(*u), GFP_KERNEL_ACCOUNT);

	if (!u)
		return -ENOMEM;
	u->page[0] = (u8 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	u->page[1] = (u8 *)__get_free_page(GFP_KERNEL_ACCOUNT);
	u->request.priv = __vmalloc(workspace, GFP_KERNEL_ACCOUNT);
	if (!u->page[0] || !u->page[1] || !u->request.priv) {
		soft_user_free(u);
		return -ENOMEM;
	}
	*out = u;
	return 0;
}
