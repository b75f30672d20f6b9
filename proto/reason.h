/* SPDX-License-Identifier: MIT */
/* Why a queue has no direct path, for people. */
#ifndef SHARQ_REASON_H
#define SHARQ_REASON_H

/* @reason: enum sharq_reason, or anything that a newer module may say. */
const char *sharq_reason_text(unsigned int reason);

#endif /* SHARQ_REASON_H */
