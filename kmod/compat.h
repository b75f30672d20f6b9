/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All that differs between the kernels that this builds for. SHARQ_HAS_*: found
 * in the kernel's headers by Kbuild.
 */
#ifndef SHARQ_COMPAT_H
#define SHARQ_COMPAT_H

#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#ifdef SHARQ_HAS_URING_CMD_H
#include <linux/io_uring/cmd.h>
#else
#include <linux/io_uring.h>
#endif

#ifdef SHARQ_HAS_VM_FLAGS_MOD
#define compat_vm_flags_mod vm_flags_mod
#else
static inline void compat_vm_flags_mod(struct vm_area_struct *vma,
				       unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* Where it isn't said, that is what is meant. */
#ifdef SHARQ_HAS_WQ_PERCPU
#define COMPAT_WQ_PERCPU WQ_PERCPU
#else
#define COMPAT_WQ_PERCPU 0
#endif

static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef SHARQ_HAS_EVENTFD_COUNT
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/* Call with mmap_lock held, as pin_user_pages() wants it. */
static inline long compat_pin_user_pages(unsigned long start, unsigned long n,
					 unsigned int flags,
					 struct page **pages)
{
#ifdef SHARQ_HAS_GUP_VMAS
	return pin_user_pages(start, n, flags, pages, NULL);
#else
	return pin_user_pages(start, n, flags, pages);
#endif
}

/* Made for what @dev is behind; or an ERR_PTR(). */
static inline struct iommu_domain *
compat_paging_domain_alloc(struct device *dev)
{
#ifdef SHARQ_HAS_PAGING_DOMAIN
	return iommu_paging_domain_alloc(dev);
#else
	struct iommu_domain *domain = iommu_domain_alloc(dev->bus);

	return domain ?: ERR_PTR(-ENOMEM);
#endif
}

static inline int compat_iommu_map(struct iommu_domain *domain, u64 iova,
				   phys_addr_t phys, size_t size, int prot)
{
#ifdef SHARQ_HAS_IOMMU_MAP_ATOMIC
	return iommu_map(domain, iova, phys, size, prot);
#else
	return iommu_map(domain, iova, phys, size, prot, GFP_KERNEL);
#endif
}

static inline void
compat_hrtimer_setup(struct hrtimer *timer,
		     enum hrtimer_restart (*function)(struct hrtimer *),
		     clockid_t clock, enum hrtimer_mode mode)
{
#ifdef SHARQ_HAS_HRTIMER_SETUP
	hrtimer_setup(timer, function, clock, mode);
#else
	hrtimer_init(timer, clock, mode);
	timer->function = function;
#endif
}

/* Before the first bond; where it is refused, so are bonds. */
static inline void compat_sva_enable(struct device *dev)
{
#ifdef SHARQ_HAS_SVA_FEATURES
	if (!iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_IOPF))
		iommu_dev_enable_feature(dev, IOMMU_DEV_FEAT_SVA);
#endif
}

static inline void compat_sva_disable(struct device *dev)
{
#ifdef SHARQ_HAS_SVA_FEATURES
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_SVA);
	iommu_dev_disable_feature(dev, IOMMU_DEV_FEAT_IOPF);
#endif
}

static inline struct iommu_sva *compat_sva_bind(struct device *dev,
						struct mm_struct *mm)
{
#ifdef SHARQ_HAS_SVA_DRVDATA
	return iommu_sva_bind_device(dev, mm, NULL);
#else
	return iommu_sva_bind_device(dev, mm);
#endif
}

/* The 16 bytes of a URING_CMD; they may lie in memory shared with the client. */
static inline const void *compat_uring_payload(const struct io_uring_cmd *cmd)
{
#ifdef SHARQ_HAS_URING_CMD_H
	return cmd->sqe->cmd;
#else
	return cmd->cmd;
#endif
}

/*
 * Where a command that waits can be canceled, it may wait. Its answer goes by
 * task work: COMPAT_URING_ANSWER() makes a callback for
 * io_uring_cmd_complete_in_task() of an @answer(cmd, issue_flags).
 */
#ifdef IORING_URING_CMD_CANCELABLE
#define COMPAT_URING_CANCEL 1
#endif

#ifdef IO_URING_CMD_TASK_WORK_ISSUE_FLAGS
#define COMPAT_URING_ANSWER(name, answer)                                      \
	static void name(struct io_tw_req req, io_tw_token_t tw)               \
	{                                                                      \
		answer(io_uring_cmd_from_tw(req),                              \
		       IO_URING_CMD_TASK_WORK_ISSUE_FLAGS);                    \
	}
#define compat_uring_done(cmd, ret, issue_flags)                               \
	io_uring_cmd_done(cmd, ret, issue_flags)
#else
#define COMPAT_URING_ANSWER(name, answer)                                      \
	static void name(struct io_uring_cmd *cmd, unsigned int issue_flags)   \
	{                                                                      \
		answer(cmd, issue_flags);                                      \
	}
#define compat_uring_done(cmd, ret, issue_flags)                               \
	io_uring_cmd_done(cmd, ret, 0, issue_flags)
#endif

#endif /* SHARQ_COMPAT_H */
