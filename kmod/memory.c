// SPDX-License-Identifier: GPL-2.0-only
/*
 * Client memory, for the length of one command: small sources are copied, the
 * rest is pinned, and what may not be pinned is staged in pages of ours.
 */
#include <linux/backing-dev.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "sharq.h"
#include "trace.h"

/* Pages are reached in the linear mapping; they lie there as their structs do. */
static_assert(BITS_PER_LONG == 64 && !IS_ENABLED(CONFIG_HIGHMEM) &&
	      IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP));

/* So often a fault may succeed at one address and leave nothing to pin there. */
#define FAULTS_MAX 8

/* With fewer pages a second look at the VMAs isn't worth it. */
#define FAST_MIN 16

/* What sharq_mem_get()'s steps return when they find that it takes staging. */
#define STAGE 1

/*
 * struct reach - an operand on its way to being reachable
 * @addr:  of its first byte
 * @done:  bytes that are reached; addr + done begins a page, but at 0
 * @fault: with -EFAULT: the first address that can't be
 * @anonymous: all VMAs that check_vmas() saw
 */
struct reach {
	struct mm_struct *mm;
	struct sharq_buf *buf;
	unsigned long addr;
	u32 done;
	unsigned long fault;
	bool anonymous;
};

static unsigned int operand_pages(const struct sharq_operand *op)
{
	return DIV_ROUND_UP_ULL(offset_in_page(op->addr) + (u64)op->len,
				PAGE_SIZE);
}

u64 sharq_mem_size(const struct sharq_operand *op)
{
	return (u64)operand_pages(op) << PAGE_SHIFT;
}

/*
 * A filesystem that writes back wants to be told before a page of a shared
 * mapping is written: a pin would get round that, and for how long nobody knows.
 * Nor is one pinned for reading, through whatever mapping: it would be in the way
 * of truncation and direct I/O. Written private ones are the client's own.
 */
static bool vma_needs_staging(const struct vm_area_struct *vma, bool write)
{
	const unsigned long shared = VM_SHARED | VM_MAYWRITE;
	const struct vm_operations_struct *ops = vma->vm_ops;

	if (write && (vma->vm_flags & shared) != shared)
		return false;
	if (ops && (ops->page_mkwrite || ops->pfn_mkwrite))
		return true;
	return vma->vm_file && mapping_can_writeback(vma->vm_file->f_mapping);
}

/* Look at the VMAs of what isn't reached yet; mmap_lock is held. */
static int check_vmas(struct reach *r)
{
	unsigned long want = r->buf->op.write ? VM_WRITE : VM_READ;
	unsigned long addr = r->addr + r->done;
	unsigned long end = r->addr + r->buf->op.len;
	int ret = 0;

	r->anonymous = true;
	while (addr < end) {
		struct vm_area_struct *vma = find_vma(r->mm, addr);

		if (!vma || vma->vm_start > addr || !(vma->vm_flags & want) ||
		    vma->vm_flags & (VM_IO | VM_PFNMAP)) {
			r->fault = addr;
			return -EFAULT;
		}
		if (vma_needs_staging(vma, r->buf->op.write))
			ret = STAGE;
		r->anonymous &= vma_is_anonymous(vma);
		addr = vma->vm_end;
	}
	return ret;
}

/* Copy as far as it goes without a fault. */
static void copy_present(struct reach *r)
{
	u32 len = r->buf->op.len;

	while (r->done < len) {
		unsigned long addr = r->addr + r->done;
		u32 n = min_t(u32, len - r->done,
			      PAGE_SIZE - offset_in_page(addr));

		if (copy_from_user_nofault(r->buf->data + r->done,
					   (const void __user *)addr, n))
			return;
		r->done += n;
	}
}

static unsigned int pages_reached(const struct reach *r)
{
	if (!r->done)
		return 0;
	return DIV_ROUND_UP_ULL(r->buf->offset + (u64)r->done, PAGE_SIZE);
}

static void set_pages_reached(struct reach *r, unsigned int n)
{
	if (n)
		r->done = min_t(u64, r->buf->op.len,
				((u64)n << PAGE_SHIFT) - r->buf->offset);
}

static unsigned int pin_flags(const struct sharq_buf *buf)
{
	return FOLL_NOFAULT | (buf->op.write ? FOLL_WRITE : 0);
}

/*
 * Pin as far as it goes without a fault. Why it went no further is for
 * fixup_user_fault() to say.
 */
static void pin_present(struct reach *r)
{
	struct sharq_buf *buf = r->buf;
	unsigned int have = pages_reached(r);
	long n;

	n = compat_pin_user_pages((r->addr + r->done) & PAGE_MASK,
				  buf->nr - have, pin_flags(buf),
				  buf->pages + have);
	if (n > 0)
		set_pages_reached(r, have + n);
}

/* Have the next page made present. May let go of mmap_lock and take it again. */
static int fault_in(struct reach *r)
{
	unsigned int flags = r->buf->op.write ? FAULT_FLAG_WRITE
					      : FAULT_FLAG_UNSHARE;
	bool unlocked = false;
	int ret;

	r->fault = r->addr + r->done;
	ret = fixup_user_fault(r->mm, r->fault, flags, &unlocked);
	if (fatal_signal_pending(current))
		return -EINTR;
	return ret && ret != -ENOMEM ? -EFAULT : ret;
}

static bool is_anonymous(struct reach *r)
{
	int ret;

	if (!mmap_read_trylock(r->mm))
		return false;
	ret = check_vmas(r);
	mmap_read_unlock(r->mm);
	return !ret && r->anonymous;
}

/*
 * Pin what is present of anonymous memory without mmap_lock: with it, each page
 * takes a walk and a lock of its own, in all longer than copying it. Another thread
 * of the client may put a file there meanwhile: what turns out not to be
 * anonymous is let go at once. Nothing is faulted in. For what isn't present the
 * kernel takes mmap_lock, without a way for SIGKILL on 6.1: no longer than exit
 * itself would wait for it.
 */
static void pin_fast(struct reach *r)
{
	struct sharq_buf *buf = r->buf;
	int n, i;

	if (buf->nr < FAST_MIN || !is_anonymous(r))
		return;
	n = pin_user_pages_fast(r->addr & PAGE_MASK, buf->nr, pin_flags(buf),
				buf->pages);
	if (n <= 0)
		return;
	for (i = 0; i < n && PageAnon(buf->pages[i]); i++)
		;
	unpin_user_pages(buf->pages + i, n - i);
	set_pages_reached(r, i);
}

/*
 * Copy or pin all of it under mmap_lock, so that what the VMAs say holds. What
 * can be faulted in and still not be pinned (secret memory) is staged, too.
 */
static int reach_locked(struct reach *r, bool nonblock)
{
	unsigned int faults = 0;
	int ret;

	for (;;) {
		u32 before = r->done;

		ret = check_vmas(r);
		if (ret < 0 || (ret && r->buf->kind == SHARQ_BUF_PINNED))
			return ret;
		if (r->buf->kind == SHARQ_BUF_COPY)
			copy_present(r);
		else
			pin_present(r);
		if (r->done == r->buf->op.len)
			return 0;
		if (nonblock)
			return -EAGAIN;
		faults = r->done == before ? faults + 1 : 1;
		if (faults > FAULTS_MAX)
			return STAGE;
		ret = fault_in(r);
		if (ret)
			return ret;
	}
}

static int reach(struct reach *r, bool nonblock)
{
	int ret;

	if (nonblock) {
		if (!mmap_read_trylock(r->mm))
			return -EAGAIN;
	} else if (mmap_read_lock_killable(r->mm)) {
		return -EINTR;
	}
	ret = reach_locked(r, nonblock);
	mmap_read_unlock(r->mm);
	return ret;
}

static int get_copy(struct reach *r, bool nonblock)
{
	struct sharq_buf *buf = r->buf;
	int ret;

	buf->kind = SHARQ_BUF_COPY;
	buf->data = kmalloc(buf->op.len, GFP_KERNEL_ACCOUNT);
	if (!buf->data)
		return -ENOMEM;
	ret = reach(r, nonblock);
	if (ret)
		kfree(buf->data);
	return ret;
}

static int alloc_page_array(struct sharq_buf *buf)
{
	buf->offset = offset_in_page(buf->op.addr);
	buf->nr = operand_pages(&buf->op);
	buf->pages = buf->few;
	if (buf->nr > ARRAY_SIZE(buf->few))
		buf->pages = kvmalloc_array(buf->nr, sizeof(*buf->pages),
					    GFP_KERNEL_ACCOUNT);
	return buf->pages ? 0 : -ENOMEM;
}

static void free_page_array(struct sharq_buf *buf)
{
	if (buf->pages != buf->few)
		kvfree(buf->pages);
}

static int get_pinned(struct reach *r, bool nonblock)
{
	struct sharq_buf *buf = r->buf;
	int ret;

	buf->kind = SHARQ_BUF_PINNED;
	ret = alloc_page_array(buf);
	if (ret)
		return ret;
	pin_fast(r);
	if (r->done < buf->op.len)
		ret = reach(r, nonblock);
	if (!ret)
		return 0;
	unpin_user_pages(buf->pages, pages_reached(r));
	free_page_array(buf);
	return ret;
}

static void free_staging(struct sharq_buf *buf, unsigned int nr)
{
	while (nr)
		__free_page(buf->pages[--nr]);
	free_page_array(buf);
}

static int get_staging(struct sharq_buf *buf)
{
	/* What a device claims to have written and hasn't must be no leak. */
	gfp_t gfp = GFP_KERNEL_ACCOUNT | (buf->op.write ? __GFP_ZERO : 0);
	int ret;

	buf->kind = SHARQ_BUF_STAGED;
	ret = alloc_page_array(buf);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < buf->nr; i++) {
		buf->pages[i] = alloc_page(gfp);
		if (!buf->pages[i]) {
			free_staging(buf, i);
			return -ENOMEM;
		}
	}
	return 0;
}

/* What is held, against the queue's limit and for the client's own figures. */
static void account(struct sharq_queue *q, const struct sharq_buf *buf, s64 nr)
{
	if (buf->kind != SHARQ_BUF_PINNED && buf->kind != SHARQ_BUF_STAGED)
		return;
	atomic64_add(nr * (s64)PAGE_SIZE, &q->pinned);
	if (buf->kind == SHARQ_BUF_PINNED)
		atomic64_add(nr, &q->mm->pinned_vm);
}

int sharq_mem_get(struct sharq_queue *q, struct sharq_buf *buf, bool may_copy,
		  bool nonblock, u64 *fault)
{
	struct reach r = { .mm = q->mm, .buf = buf };
	int ret;

	r.addr = untagged_addr((unsigned long)buf->op.addr);
	if (may_copy && !buf->op.write && buf->op.len <= SHARQ_COPY_MAX)
		ret = get_copy(&r, nonblock);
	else
		ret = get_pinned(&r, nonblock);
	if (ret == STAGE)
		ret = get_staging(buf);
	if (!ret)
		account(q, buf, buf->nr);
	else
		buf->kind = SHARQ_BUF_NONE;
	*fault = r.fault;
	trace_sharq_map(q, buf, ret);
	return ret;
}

void sharq_mem_put(struct sharq_queue *q, struct sharq_buf *buf, bool written)
{
	account(q, buf, -(s64)buf->nr);
	switch (buf->kind) {
	case SHARQ_BUF_NONE:
	case SHARQ_BUF_WINDOW:
		break;
	case SHARQ_BUF_COPY:
		kfree(buf->data);
		break;
	case SHARQ_BUF_PINNED:
		unpin_user_pages_dirty_lock(buf->pages, buf->nr,
					    buf->op.write && written);
		free_page_array(buf);
		break;
	case SHARQ_BUF_STAGED:
		free_staging(buf, buf->nr);
		break;
	}
	buf->kind = SHARQ_BUF_NONE;
}

void *sharq_mem_at(const struct sharq_buf *buf, u32 at, u32 *len)
{
	size_t from = (size_t)buf->offset + at;
	struct page **page = &buf->pages[from >> PAGE_SHIFT];
	u32 run = PAGE_SIZE - offset_in_page(from);
	void *p;

	if (buf->kind == SHARQ_BUF_COPY)
		return buf->data + at;
	p = page_address(*page) + offset_in_page(from);
	for (; run < *len && page[1] == page[0] + 1; page++)
		run += PAGE_SIZE;
	*len = min(run, *len);
	return p;
}
