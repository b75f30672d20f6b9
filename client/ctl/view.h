/* SPDX-License-Identifier: MIT */
/* What the commands that show have in common. */
#ifndef SHARQ_CTL_VIEW_H
#define SHARQ_CTL_VIEW_H

#include "daemon.h"
#include "table.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

/*
 * struct view - what to show, once or again and again
 * @id: show queue, show device: which
 */
struct view {
	int (*show)(const struct view *v, struct daemon *d, struct failure *f);
	bool json;
	uint64_t id;
};

/* Show once, or until a signal. A daemon that goes away may come back. */
int view_run(struct ctl *c, struct view *v);
/* A command without arguments. */
int view_simple(struct ctl *c, int argc, char **argv,
		int (*show)(const struct view *, struct daemon *,
			    struct failure *),
		const char *help);

/* table_new(), or the failure. */
int view_begin(struct table **t, const char *name, const struct column *columns,
	       unsigned int n, bool json, bool upright, struct failure *f);
/* Print and free. */
int view_finish(struct table *t, struct failure *f);
/* A reply of another kind than was asked for; frees it. */
int view_odd_reply(Sharq__Pb__ServerMessage *m, struct failure *f);

/* struct view's @show: all about one device. */
int view_device(const struct view *v, struct daemon *d, struct failure *f);

#endif /* SHARQ_CTL_VIEW_H */
