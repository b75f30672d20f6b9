/* SPDX-License-Identifier: MIT */
/* Why a queue has no direct path, for people. */
#ifndef SHARQ_REASON_H
#define SHARQ_REASON_H

#include <stddef.h>

/* @reason: enum sharq_reason, or anything that a newer module may say. */
const char *sharq_reason_text(unsigned int reason);
/* With what the kernel said, if it did: @err, or 0. */
void sharq_reason_say(const char *text, int err, char *buf, size_t size);

#endif /* SHARQ_REASON_H */
