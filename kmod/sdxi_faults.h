/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Errors of direct contexts. The function's thread finds them in the log and tells
 * the client by a word of its area; what takes longer is done by a work item of the
 * context's own, so that nobody waits for another's.
 */
#ifndef SHARQ_SDXI_FAULTS_H
#define SHARQ_SDXI_FAULTS_H

#include <linux/types.h>
#include <linux/workqueue.h>

struct sdxi;
struct sdxi_direct;
struct sdxi_errlog_ent;

/*
 * struct sdxi_faults - in struct sdxi_direct
 * @todo: bits, what @work is to do
 * @paid: see sdxi_pace_fault(); under s->direct_lock
 */
struct sdxi_faults {
	struct work_struct work;
	unsigned long todo;
	u64 paid;
};

void sdxi_faults_init(struct sdxi_direct *d);
/* It is in s->direct no more: waits. */
void sdxi_faults_exit(struct sdxi_direct *d);
/* The thread: an entry of the log, which is about a context. */
void sdxi_faults_error(struct sdxi *s, const struct sdxi_errlog_ent *e);
/* The thread: entries were lost; others were given out. */
void sdxi_faults_lost(struct sdxi *s);

#endif /* SHARQ_SDXI_FAULTS_H */
