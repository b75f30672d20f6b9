// SPDX-License-Identifier: MIT
#include "view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int view_begin(struct table **t, const char *name, const struct column *columns,
	       unsigned int n, bool json, bool upright, struct failure *f)
{
	int err = table_new(t, name, columns, n, json, upright);

	return err ? fail(f, err, "out of memory") : 0;
}

int view_finish(struct table *t, struct failure *f)
{
	int err = table_print(t);

	table_free(t);
	return err ? fail(f, err, "printing: %s", strerror(-err)) : 0;
}

int view_odd_reply(Sharq__Pb__ServerMessage *m, struct failure *f)
{
	daemon_free(m);
	return fail(f, -EPROTO,
		    "sharqd answered something else than was "
		    "asked: is it another version?");
}

int view_run(struct ctl *c, struct view *v)
{
	struct failure f;
	struct daemon *d = NULL;
	struct timespec pause = { c->watch_ms / 1000,
				  c->watch_ms % 1000 * 1000000L };
	bool clear = c->watch_ms && !c->json && isatty(STDOUT_FILENO);
	int ret, err;

	v->json = c->json;
	ret = daemon_open(&d, c->socket, &f);
	if (ret)
		return ctl_failed(&f);
	if (c->watch_ms)
		ctl_catch_signals();
	do {
		ret = 0;
		if (clear)
			fputs("\033[H\033[2J", stdout);
		err = d ? 0 : daemon_open(&d, c->socket, &f);
		if (!err)
			err = v->show(v, d, &f);
		if (err && err != -EINTR)
			ret = ctl_failed(&f);
		if (err == -ENOTCONN || err == -EPROTO || err == -ETIMEDOUT)
			d = daemon_close(d);
		if (fflush(stdout))
			break;
		if (c->watch_ms && !ctl_stop)
			nanosleep(&pause, NULL);
	} while (c->watch_ms && !ctl_stop);
	daemon_close(d);
	return ret;
}

int view_simple(struct ctl *c, int argc, char **argv,
		int (*show)(const struct view *, struct daemon *,
			    struct failure *),
		const char *help)
{
	struct view v = { .show = show };

	if (c->help) {
		printf("Usage: sharqctl %s [--socket PATH] [--json] "
		       "[--watch [SECS]]\n\n%s\n",
		       argv[0], help);
		return CTL_OK;
	}
	if (argc > 1)
		return ctl_usage(argv[0], "'%s' takes no argument '%s'",
				 argv[0], argv[1]);
	return view_run(c, &v);
}
