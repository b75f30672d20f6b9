/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bonds of a device with clients' address spaces: leases of their PASIDs.
 *
 * To undo the last bond with an address space the kernel waits for all page faults
 * of the device's IOMMU that are under way, whosever they are, and lets nobody bind
 * meanwhile. One that a file system's server doesn't answer would stall everybody.
 * So a worker undoes them, and not while it can see that there is such a fault; when
 * it is stuck nevertheless, who wants a bond waits for a second only.
 */
#ifndef SHARQ_SDXI_BOND_H
#define SHARQ_SDXI_BOND_H

#include <linux/list.h>
#include <linux/semaphore.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct device;
struct sdxi_bond;

/*
 * struct sdxi_bonds
 * @binding: held while one is made or undone
 * @lock:    protects what follows
 * @all:     bonds
 * @ended:   how many of them wait for @worker, which looks again in @retry jiffies if
 *           it can't go on
 * @closed:  no more
 */
struct sdxi_bonds {
	struct device *dev;
	struct delayed_work worker;
	struct semaphore binding;
	spinlock_t lock; /* innermost */
	struct list_head all;
	unsigned int ended;
	unsigned int retry;
	bool closed;
};

void sdxi_bonds_init(struct sdxi_bonds *b, struct device *dev);
/* Undoes all, and waits for that. The device does nothing any more. */
void sdxi_bonds_close(struct sdxi_bonds *b);

/*
 * sdxi_bond_new - with the caller's address space; one that has ended is taken again
 *
 * -EBUSY: not now; -EINTR: a signal came; -ENOMEM; else what the kernel says. The
 * device may use *@pasid until sdxi_bond_end(), or sdxi_bonds_close().
 */
int sdxi_bond_new(struct sdxi_bonds *b, struct sdxi_bond **bond, u32 *pasid);
/* The device uses it no more. Doesn't wait. */
void sdxi_bond_end(struct sdxi_bonds *b, struct sdxi_bond *bond);

#endif /* SHARQ_SDXI_BOND_H */
