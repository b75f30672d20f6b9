// SPDX-License-Identifier: GPL-2.0-only
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "ioctl.h"
#include "provider.h"

static int file_release(struct inode *inode, struct file *file)
{
	struct sharq_queue *q = file->private_data;

	/*
	 * When its client's close() returns, hardware of its own writes to nothing
	 * of his; of a shadow queue what the device has under way ends soon.
	 */
	if (current->mm == READ_ONCE(q->mm))
		sharq_queue_end(q, SHARQ_QUEUE_GONE);
	else
		sharq_queue_end_soon(q, SHARQ_QUEUE_GONE);
	sharq_queue_put(q);
	return 0;
}

/*
 * Does the client close this because it execs, or exits with its last thread?
 * The notifier would say so, too, but not while a thread of ours, in a page fault
 * that doesn't end, keeps the mm from going.
 */
static bool client_leaves(const struct sharq_queue *q)
{
	const struct mm_struct *mm = READ_ONCE(q->mm);

	if (!mm || task_tgid(current) != q->tgid)
		return false;
	/* Some kernels take the new mm before they close, some after. */
	if (current->in_execve)
		return true;
	if (mm == current->mm)
		return false;
	return current->mm || !atomic_read(&current->signal->live);
}

static int file_flush(struct file *file, fl_owner_t id)
{
	struct sharq_queue *q = file->private_data;

	if (client_leaves(q))
		sharq_queue_end(q, SHARQ_QUEUE_GONE);
	return 0;
}

/* Of a direct queue whose completions aren't posted here. */
static __poll_t direct_readiness(struct sharq_queue *q)
{
	enum sharq_queue_state state;
	__poll_t mask = 0;

	/* Pairs with sharq_tell(): it sees us wait, or we see what has changed. */
	smp_mb();
	state = READ_ONCE(q->state);
	if (sharq_state_dead(state))
		mask = EPOLLHUP;
	else if (state == SHARQ_QUEUE_RUNNING)
		mask = EPOLLOUT | EPOLLWRNORM;
	if (sharq_queue_direct(q)->ready(q))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}

static __poll_t readiness(struct sharq_queue *q)
{
	const struct sharq_direct_ops *direct = sharq_queue_direct(q);
	__poll_t mask = 0;
	u32 used;

	if (direct && direct->ring != SHARQ_RING_SHARQ)
		return direct_readiness(q);
	/*
	 * The lock orders this with who posts: either it sees us wait, or we
	 * see what it posted.
	 */
	spin_lock(&q->cq_lock);
	used = q->cq_tail - READ_ONCE(q->rings->cq_head);
	if (used)
		mask |= EPOLLIN | EPOLLRDNORM;
	if (sharq_state_dead(q->state))
		mask |= EPOLLHUP;
	else if (q->state == SHARQ_QUEUE_RUNNING && !q->short_kick &&
		 used + q->in_flight < q->depth)
		mask |= EPOLLOUT | EPOLLWRNORM;
	spin_unlock(&q->cq_lock);
	return mask;
}

static __poll_t file_poll(struct file *file, poll_table *wait)
{
	struct sharq_queue *q = file->private_data;
	int ret = sharq_queue_enter(q);

	if (ret && ret != -ESHUTDOWN && ret != -ENOTCONN)
		return EPOLLERR;
	poll_wait(file, &q->wait, wait);
	return readiness(q);
}

static long bind(struct sharq_queue *q, void __user *user)
{
	struct sharq_bind b;
	int ret;

	ret = sharq_arg_get(&b, sizeof(b), SHARQ_BIND_SIZE_SHADOW, user);
	if (ret)
		return ret;
	ret = sharq_queue_bind(q, &b);
	if (ret && ret != -EOPNOTSUPP && ret != -EBUSY)
		return ret;
	return sharq_arg_put(user, &b, sizeof(b)) ?: ret;
}

static long kick(struct sharq_queue *q, const void __user *user)
{
	struct sharq_kick k;
	int ret;

	ret = sharq_arg_get(&k, sizeof(k), sizeof(k), user);
	if (ret)
		return ret;
	if (k.flags || k.reserved)
		return -EINVAL;
	return sharq_kick(q, k.count, false, NULL);
}

static long start(struct sharq_queue *q, const void __user *user)
{
	const struct sharq_direct_ops *direct = sharq_queue_direct(q);
	struct sharq_start s;
	int ret;

	ret = sharq_arg_get(&s, sizeof(s), sizeof(s), user);
	if (ret)
		return ret;
	if (!direct || !direct->run)
		return -EOPNOTSUPP;
	if (s.reserved || !PAGE_ALIGNED(s.addr) || s.addr > TASK_SIZE ||
	    TASK_SIZE - s.addr < q->area_size)
		return -EINVAL;
	return direct->run(q, s.addr);
}

static long stop(struct sharq_queue *q, unsigned long arg)
{
	return arg ? -EINVAL : sharq_queue_end(q, SHARQ_QUEUE_GONE);
}

static long set_eventfd(struct sharq_queue *q, const void __user *user)
{
	struct eventfd_ctx *event = NULL;
	struct sharq_eventfd e;
	int ret;

	ret = sharq_arg_get(&e, sizeof(e), sizeof(e), user);
	if (ret)
		return ret;
	if (e.fd != -1)
		event = eventfd_ctx_fdget(e.fd);
	if (IS_ERR(event))
		return PTR_ERR(event);
	mutex_lock(&q->event_lock);
	swap(q->event, event);
	mutex_unlock(&q->event_lock);
	/* Pairs with sharq_tell(): the client looks at its CQ after this. */
	smp_mb();
	if (event)
		eventfd_ctx_put(event);
	return 0;
}

static long file_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sharq_queue *q = file->private_data;
	void __user *user = (void __user *)arg;
	int ret = sharq_queue_enter(q);

	switch (cmd) {
	case SHARQ_BIND:
		return bind(q, user);
	case SHARQ_KICK:
		return ret ?: kick(q, user);
	case SHARQ_EVENTFD:
		return ret ?: set_eventfd(q, user);
	case SHARQ_START:
		return ret ?: start(q, user);
	case SHARQ_STOP:
		/* What is dead already may be on its way to an end. */
		return ret && ret != -ESHUTDOWN ? ret : stop(q, arg);
	default:
		return -ENOTTY;
	}
}

static int no_vma_change(struct vm_area_struct *vma)
{
	return -EINVAL;
}

static int no_vma_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static const struct vm_operations_struct vm_ops = {
	.may_split = no_vma_split,
	.mremap = no_vma_change,
};

/* Of a copy that the kernel makes to move it, and unmaps when it hears that it may not. */
static void area_open(struct vm_area_struct *vma)
{
	struct sharq_queue *q = vma->vm_file->private_data;

	atomic_inc(&q->area_mapped);
}

static void area_close(struct vm_area_struct *vma)
{
	struct sharq_queue *q = vma->vm_file->private_data;

	atomic_dec(&q->area_mapped);
}

static const struct vm_operations_struct area_ops = {
	.may_split = no_vma_split,
	.mremap = no_vma_change,
	.open = area_open,
	.close = area_close,
};

static vm_fault_t bell_fault(struct vm_fault *vmf)
{
	struct sharq_queue *q = vmf->vma->vm_file->private_data;

	return q->dev->direct->bell(q, vmf);
}

static const struct vm_operations_struct bell_ops = {
	.may_split = no_vma_split,
	.mremap = no_vma_change,
	.fault = bell_fault,
};

/* VM_IO: MADV_DOFORK and get_user_pages() leave it alone. */
static void set_flags(struct vm_area_struct *vma, unsigned long flags)
{
	flags |= VM_IO | VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP;
	compat_vm_flags_mod(vma, flags, VM_MAYEXEC);
}

static int map_bell(struct vm_area_struct *vma)
{
	set_flags(vma, VM_PFNMAP);
	vma->vm_ops = &bell_ops;
	return 0;
}

static int map_memory(struct vm_area_struct *vma, void *memory)
{
	set_flags(vma, 0);
	vma->vm_ops = &vm_ops;
	return remap_vmalloc_range(vma, memory, 0);
}

static int map_area(struct sharq_queue *q, struct vm_area_struct *vma)
{
	int ret = map_memory(vma, q->area);

	if (ret)
		return ret;
	vma->vm_ops = &area_ops;
	atomic_inc(&q->area_mapped);
	return 0;
}

/* All of the rings, of the area, or the doorbell's page. */
static int file_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct sharq_queue *q = file->private_data;
	unsigned long size = vma->vm_end - vma->vm_start;
	u64 at = (u64)vma->vm_pgoff << PAGE_SHIFT;
	int ret = sharq_queue_enter(q);

	if (ret)
		return ret;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (!at && size == q->map_size)
		return map_memory(vma, q->rings);
	if (q->direct && at == sharq_bell_offset(q) && size == PAGE_SIZE)
		return map_bell(vma);
	if (q->area && at == sharq_area_offset(q) && size == q->area_size)
		return map_area(q, vma);
	return -EINVAL;
}

/* Anybody's who may look at the client; acts on nothing of it. */
static void file_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct sharq_queue *q = file->private_data;
	struct sharq_ctl_stats s;

	sharq_queue_stats(q, &s);
	seq_printf(m, "sharq-queue:\t%llu\n", q->id);
	seq_puts(m, "sharq-label:\t");
	seq_escape(m, q->label, "\n\\");
	seq_printf(m, "\nsharq-device:\t%s\n", q->dev->name);
	seq_printf(m, "sharq-state:\t%u\n", READ_ONCE(q->state));
	seq_printf(m, "sharq-path:\t%u\n", READ_ONCE(q->path));
	seq_printf(m, "sharq-depth:\t%u\n", q->depth);
	seq_printf(m, "sharq-commands:\t%llu\n", s.commands);
	seq_printf(m, "sharq-bytes:\t%llu\n", s.bytes);
	seq_printf(m, "sharq-in-flight:\t%llu\n", s.in_flight);
	seq_printf(m, "sharq-pinned:\t%llu\n", s.pinned);
	if (READ_ONCE(q->path) != SHARQ_BIND_DIRECT)
		return;
	seq_printf(m, "sharq-sleeps:\t%llu\n", READ_ONCE(q->sleeps));
	seq_printf(m, "sharq-asleep:\t%u\n", READ_ONCE(q->asleep));
}

static const struct file_operations file_ops = {
	.owner = THIS_MODULE,
	.release = file_release,
	.flush = file_flush,
	.poll = file_poll,
	.unlocked_ioctl = file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = file_mmap,
	.uring_cmd = sharq_uring_cmd,
	.show_fdinfo = file_show_fdinfo,
};

/*
 * A mapping of the file's own, so that taking the doorbell's away touches nobody
 * else's: anonymous inodes share one.
 */
static int own_mapping(struct sharq_queue *q, struct file *file)
{
	struct inode *inode = alloc_anon_inode(file_inode(file)->i_sb);

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	q->inode = inode;
	file->f_mapping = inode->i_mapping;
	return 0;
}

int sharq_file_new(struct sharq_queue *q, struct file **file)
{
	int fd = get_unused_fd_flags(O_CLOEXEC), ret;

	if (fd < 0)
		goto err_queue;
	*file = anon_inode_getfile("[sharq]", &file_ops, q, O_RDWR | O_CLOEXEC);
	ret = PTR_ERR_OR_ZERO(*file);
	if (ret)
		goto err_fd;
	ret = own_mapping(q, *file);
	if (!ret)
		return fd;
	/* The queue goes with it. */
	fput(*file);
	put_unused_fd(fd);
	return ret;

err_fd:
	put_unused_fd(fd);
	fd = ret;
err_queue:
	sharq_queue_put(q);
	return fd;
}
