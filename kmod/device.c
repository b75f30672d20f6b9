// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

#include "provider.h"
#include "trace.h"

/* How long what is in a device may take to end by itself when it goes away. */
#define DRAIN_TIMEOUT (5 * HZ)

static DEFINE_MUTEX(devices_lock);
static LIST_HEAD(devices); /* by id */
static u32 last_id;

static void device_released(struct kref *refs)
{
	struct sharq_device *dev =
		container_of(refs, struct sharq_device, refs);

	if (dev->ops->release)
		dev->ops->release(dev);
	else
		complete(&dev->released);
}

void sharq_device_put(struct sharq_device *dev)
{
	kref_put(&dev->refs, device_released);
}

struct sharq_device *sharq_device_next(u32 id)
{
	struct sharq_device *dev;

	guard(mutex)(&devices_lock);
	list_for_each_entry(dev, &devices, node) {
		if (dev->id >= id) {
			kref_get(&dev->refs);
			return dev;
		}
	}
	return NULL;
}

struct sharq_device *sharq_device_get(u32 id)
{
	struct sharq_device *dev = sharq_device_next(id);

	if (!dev || dev->id == id)
		return dev;
	sharq_device_put(dev);
	return NULL;
}

unsigned int sharq_device_count(void)
{
	struct sharq_device *dev;
	unsigned int n = 0;

	guard(mutex)(&devices_lock);
	list_for_each_entry(dev, &devices, node)
		n++;
	return n;
}

int sharq_device_register(struct sharq_device *dev)
{
	kref_init(&dev->refs);
	spin_lock_init(&dev->lock);
	INIT_LIST_HEAD(&dev->active);
	init_completion(&dev->released);
	dev->busy = 0;
	dev->queues = 0;
	dev->direct_used = 0;
	dev->gone = false;

	guard(mutex)(&devices_lock);
	if (last_id == U32_MAX)
		return -ENOSPC;
	dev->id = ++last_id;
	list_add_tail(&dev->node, &devices);
	return 0;
}

void sharq_device_unregister(struct sharq_device *dev)
{
	bool wait;

	mutex_lock(&devices_lock);
	list_del(&dev->node);
	mutex_unlock(&devices_lock);
	/*
	 * A queue that is being made is in the list before it looks at @gone
	 * (both take the list's lock): it sees it, or is ended with the others.
	 */
	spin_lock(&dev->lock);
	WRITE_ONCE(dev->gone, true);
	spin_unlock(&dev->lock);
	sharq_control_end_device(dev);
	if (dev->ops->drain && dev->ops->drain(dev, DRAIN_TIMEOUT)) {
		trace_sharq_reset(dev, dev->busy);
		dev->ops->reset(dev);
	}
	wait = !dev->ops->release;
	sharq_device_put(dev);
	if (wait)
		wait_for_completion(&dev->released);
}
