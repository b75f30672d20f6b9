// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>

#include "sdxi.h"
#include "sharq.h"
#include "soft.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/* /dev/sharq comes last and goes first: with it come users. */
static int __init sharq_init(void)
{
	int ret;

	ret = sharq_request_init();
	if (ret)
		return ret;
	ret = sharq_queue_init();
	if (ret)
		goto err_request;
	ret = sharq_soft_init();
	if (ret)
		goto err_queue;
	ret = sharq_sdxi_init();
	if (ret)
		goto err_soft;
	ret = sharq_control_init();
	if (ret)
		goto err_sdxi;
	return 0;

err_sdxi:
	sharq_sdxi_exit();
err_soft:
	sharq_soft_exit();
err_queue:
	sharq_queue_exit();
err_request:
	sharq_request_exit();
	return ret;
}

static void __exit sharq_exit(void)
{
	sharq_control_exit();
	sharq_sdxi_exit();
	sharq_soft_exit();
	sharq_queue_exit();
	sharq_request_exit();
}

module_init(sharq_init);
module_exit(sharq_exit);

MODULE_DESCRIPTION("Shared-memory accelerator queues");
MODULE_AUTHOR("The sharq authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
