// SPDX-License-Identifier: MIT
#include "reason.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sharq_ioctl.h"

static const char *const texts[SHARQ_REASON_COUNT] = {
	[SHARQ_REASON_NONE] = "",
	[SHARQ_REASON_DEVICE] = "the device offers no direct path",
	[SHARQ_REASON_NO_IOMMU] =
		"no IOMMU stands between the device and memory, so it can't "
		"tell clients apart",
	[SHARQ_REASON_NO_PASID] =
		"the device or its IOMMU lacks PASID, ATS or page requests",
	[SHARQ_REASON_NO_SVA] =
		"this kernel refuses to share address spaces with devices "
		"(SVA); on x86 Linux 7.2 allows it, 6.1 and 6.12 don't",
	[SHARQ_REASON_BUSY] = "every hardware queue of the device is taken",
	[SHARQ_REASON_REQUESTED] = "the shadow path was asked for",
	[SHARQ_REASON_NOT_NOW] =
		"the kernel can share no more address spaces with the device "
		"now; later it may",
};

const char *sharq_reason_text(unsigned int reason)
{
	return reason < SHARQ_REASON_COUNT
		       ? texts[reason]
		       : "a reason that this version doesn't know";
}

void sharq_reason_say(const char *text, int err, char *buf, size_t size)
{
	if (err)
		snprintf(buf, size, "%s: %s", text, strerror(abs(err)));
	else
		snprintf(buf, size, "%s", text);
}
