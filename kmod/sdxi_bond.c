// SPDX-License-Identifier: GPL-2.0-only
/* Bonds with address spaces; see sdxi_bond.h. */
#include "sdxi_bond.h"

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"

/*
 * When to look again whether a fault has ended: soon, for who has the lock may have it
 * for a moment only; then less and less often, to this.
 */
#define RETRY_MAX (HZ / 10)
/*
 * How long an ended one is kept. Where the address space went first, Linux 7.2, as we
 * read its patches, drains no page requests when the bond is undone: it cleared the
 * PASID's entry without the mark (FPD) that would tell it to. A request that the
 * function sent before it stopped may be in the IOMMU's queue then, and its handler
 * used what was freed: seen once, in a run of 1,000 kills. That handler is a
 * real-time thread, for which this is long; a bound it is not.
 */
#define LINGER (HZ / 4)
/* So many may wait to be undone; they hold little memory, but PASIDs. */
#define ENDED_MAX 256
/* How long who wants one waits for others that are made or undone. */
#define BINDING_TIMEOUT HZ

/*
 * struct sdxi_bond
 * @sva:   NULL once undone
 * @pasid: kept, as @sva may be undone by sdxi_bonds_close() any time
 * @mn:    holds the address space
 * @released: that is going, and others hear of it now
 * @ended: nobody but the worker, or sdxi_bonds_close(), knows it any more, since
 *         @ended_at; or whoever takes it again
 */
struct sdxi_bond {
	struct list_head node;
	struct iommu_sva *sva;
	u32 pasid;
	struct mmu_notifier mn;
	struct completion released;
	bool ended;
	unsigned long ended_at;
};

static void space_goes(struct mmu_notifier *mn, struct mm_struct *mm)
{
	complete_all(&container_of(mn, struct sdxi_bond, mn)->released);
}

static const struct mmu_notifier_ops notifier_ops = {
	.release = space_goes,
};

static void bond_free(struct sdxi_bond *bond)
{
	mmu_notifier_unregister(&bond->mn, bond->mn.mm);
	kfree(bond);
}

static int count_threads(const struct mm_struct *mm)
{
	const struct task_struct *p, *t;
	int n = 0;

	rcu_read_lock();
	for_each_process(p) {
		for_each_thread(p, t)
			n += READ_ONCE(t->mm) == mm && !(t->flags & PF_KTHREAD);
	}
	rcu_read_unlock();
	return n;
}

/*
 * Every thread that has it counts as a user once, and so does a fault that the IOMMU
 * asked for: are there more users? A thread of ours is one too, or whoever looks at
 * the memory from outside, and they may be for long; but they don't keep its lock,
 * which such a fault holds, or waits for, until it is over.
 */
static bool is_stuck(const struct sdxi_bond *bond)
{
	struct mm_struct *mm = bond->mn.mm;

	return rwsem_is_locked(&mm->mmap_lock) &&
	       atomic_read(&mm->mm_users) > count_threads(mm);
}

/* One to be undone; NULL: none, or not now. */
static struct sdxi_bond *next_ended(struct sdxi_bonds *b)
{
	struct sdxi_bond *bond, *next = NULL;

	spin_lock(&b->lock);
	list_for_each_entry(bond, &b->all, node) {
		if (is_stuck(bond)) {
			next = NULL;
			break;
		}
		if (bond->ended && !next &&
		    time_after_eq(jiffies, bond->ended_at + LINGER))
			next = bond;
	}
	if (next) {
		list_del(&next->node);
		b->ended--;
		b->retry = 1;
	} else if (b->ended && !b->closed) {
		schedule_delayed_work(&b->worker, b->retry);
		b->retry = min_t(unsigned int, 2 * b->retry, RETRY_MAX);
	}
	spin_unlock(&b->lock);
	return next;
}

/*
 * Not while the address space goes: then the IOMMU's driver undoes the same, and
 * expects nobody else to (7.2 warns of it).
 */
static void undo(struct sdxi_bonds *b, struct sdxi_bond *bond)
{
	struct mm_struct *mm = bond->mn.mm;
	bool held = mmget_not_zero(mm);

	if (!held) {
		wait_for_completion(&bond->released);
		mmu_notifier_synchronize();
	}
	down(&b->binding);
	iommu_sva_unbind_device(bond->sva);
	up(&b->binding);
	if (held)
		mmput(mm);
}

static void undo_ended(struct work_struct *work)
{
	struct sdxi_bonds *b =
		container_of(work, struct sdxi_bonds, worker.work);
	struct sdxi_bond *bond;

	while ((bond = next_ended(b))) {
		undo(b, bond);
		bond_free(bond);
	}
}

void sdxi_bonds_init(struct sdxi_bonds *b, struct device *dev)
{
	b->dev = dev;
	INIT_DELAYED_WORK(&b->worker, undo_ended);
	b->retry = 1;
	sema_init(&b->binding, 1);
	spin_lock_init(&b->lock);
	INIT_LIST_HEAD(&b->all);
	compat_sva_enable(dev);
}

static struct sdxi_bond *next_bound(struct sdxi_bonds *b)
{
	struct sdxi_bond *bond, *next = NULL;

	spin_lock(&b->lock);
	list_for_each_entry(bond, &b->all, node) {
		if (bond->sva) {
			next = bond;
			break;
		}
	}
	spin_unlock(&b->lock);
	return next;
}

static void free_ended(struct sdxi_bonds *b)
{
	struct sdxi_bond *bond, *next;
	LIST_HEAD(ended);

	spin_lock(&b->lock);
	list_for_each_entry_safe(bond, next, &b->all, node)
		if (bond->ended)
			list_move(&bond->node, &ended);
	spin_unlock(&b->lock);
	list_for_each_entry_safe(bond, next, &ended, node)
		bond_free(bond);
}

void sdxi_bonds_close(struct sdxi_bonds *b)
{
	struct sdxi_bond *bond;

	/* Who makes one has finished, or sees it. */
	down(&b->binding);
	spin_lock(&b->lock);
	b->closed = true;
	spin_unlock(&b->lock);
	up(&b->binding);
	cancel_delayed_work_sync(&b->worker);
	schedule_timeout_uninterruptible(LINGER);
	/* One that is bound isn't freed, ended or not. */
	while ((bond = next_bound(b))) {
		undo(b, bond);
		spin_lock(&b->lock);
		bond->sva = NULL;
		spin_unlock(&b->lock);
	}
	free_ended(b);
	compat_sva_disable(b->dev);
}

/* The notifier first: a signal ends that, and here a bond can't be undone. */
static int make(struct sdxi_bonds *b, struct sdxi_bond *bond)
{
	int ret;

	bond->mn.ops = &notifier_ops;
	init_completion(&bond->released);
	ret = mmu_notifier_register(&bond->mn, current->mm);
	if (ret)
		return ret;
	bond->sva = compat_sva_bind(b->dev, current->mm);
	if (IS_ERR(bond->sva)) {
		mmu_notifier_unregister(&bond->mn, current->mm);
		return PTR_ERR(bond->sva);
	}
	bond->pasid = iommu_sva_get_pasid(bond->sva);
	return 0;
}

/*
 * What has ended and isn't undone yet is as good as new, for the same address space:
 * so who opens and closes queues in a row makes no more of them than it has.
 */
static struct sdxi_bond *take_again(struct sdxi_bonds *b)
{
	struct sdxi_bond *bond, *found = NULL;

	spin_lock(&b->lock);
	list_for_each_entry(bond, &b->all, node) {
		if (bond->ended && !b->closed && bond->mn.mm == current->mm) {
			bond->ended = false;
			b->ended--;
			found = bond;
			break;
		}
	}
	spin_unlock(&b->lock);
	return found;
}

/* binding is held. */
static int bind(struct sdxi_bonds *b, struct sdxi_bond **out)
{
	struct sdxi_bond *bond;
	int ret;

	/* Written under both. */
	if (b->closed)
		return -ENODEV;
	if (READ_ONCE(b->ended) >= ENDED_MAX)
		return -EBUSY;
	bond = kzalloc(sizeof(*bond), GFP_KERNEL_ACCOUNT);
	if (!bond)
		return -ENOMEM;
	ret = make(b, bond);
	if (ret) {
		kfree(bond);
		return ret;
	}
	spin_lock(&b->lock);
	list_add_tail(&bond->node, &b->all);
	spin_unlock(&b->lock);
	*out = bond;
	return 0;
}

int sdxi_bond_new(struct sdxi_bonds *b, struct sdxi_bond **out, u32 *pasid)
{
	int ret = 0;

	*out = take_again(b);
	if (!*out) {
		if (down_timeout(&b->binding, BINDING_TIMEOUT))
			return -EBUSY;
		ret = bind(b, out);
		up(&b->binding);
	}
	if (!ret)
		*pasid = (*out)->pasid;
	return ret;
}

void sdxi_bond_end(struct sdxi_bonds *b, struct sdxi_bond *bond)
{
	bool closed;

	spin_lock(&b->lock);
	closed = b->closed && !bond->sva;
	if (closed) {
		list_del(&bond->node);
	} else {
		bond->ended = true;
		bond->ended_at = jiffies;
		b->ended++;
		if (!b->closed)
			schedule_delayed_work(&b->worker, LINGER);
	}
	spin_unlock(&b->lock);
	if (closed)
		bond_free(bond);
}
