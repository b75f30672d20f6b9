// SPDX-License-Identifier: MIT
/* pause, resume, drain, kill; events. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon.h"
#include "json.h"
#include "progress.h"

/* The daemon's drain-ms decides, which is at most 10 minutes. */
#define DRAIN_TIMEOUT_MS (600000 + DAEMON_TIMEOUT_MS)

static const struct action {
	const char *name;
	Sharq__Pb__QueueAction action;
	int timeout_ms;
	const char *help;
} actions[] = {
	{ "pause", SHARQ__PB__QUEUE_ACTION__ACTION_PAUSE, DAEMON_TIMEOUT_MS,
	  "The queue's device takes no more commands; what it has taken "
	  "completes." },
	{ "resume", SHARQ__PB__QUEUE_ACTION__ACTION_RESUME, DAEMON_TIMEOUT_MS,
	  "A paused or drained queue goes on." },
	{ "drain", SHARQ__PB__QUEUE_ACTION__ACTION_DRAIN, DRAIN_TIMEOUT_MS,
	  "Pauses the queue and returns when nothing is in flight, or fails\n"
	  "after sharqd's drain-ms (5 seconds, if nobody changed that)." },
	{ "kill", SHARQ__PB__QUEUE_ACTION__ACTION_KILL, DAEMON_TIMEOUT_MS,
	  "Cancels what the queue's device has taken, and closes it for "
	  "good." },
};

int cmd_control(struct ctl *c, int argc, char **argv)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__QueueControl control = SHARQ__PB__QUEUE_CONTROL__INIT;
	const struct action *a = actions;
	struct progress p;
	struct failure f;
	struct daemon *d;
	uint64_t id;
	int err;

	while (strcmp(a->name, argv[0]))
		a++;
	if (c->help) {
		printf("Usage: sharqctl %s ID [--socket PATH] [--json]\n\n%s\n",
		       a->name, a->help);
		return CTL_OK;
	}
	if (argc != 2)
		return ctl_usage(a->name, "expected '%s ID'", a->name);
	if (ctl_parse_size(argv[1], &id))
		return ctl_usage(a->name,
				 "'%s' is no queue's id, expected a "
				 "number",
				 argv[1]);
	ctl_catch_signals();
	if (daemon_open(&d, c->socket, &f))
		return ctl_failed(&f);
	control.queue = id;
	control.action = a->action;
	req.body_case = SHARQ__PB__REQUEST__BODY_QUEUE_CONTROL;
	req.queue_control = &control;
	progress_wait(&p, a->name, -1);
	err = daemon_call(d, &req, a->timeout_ms, NULL, &f);
	progress_end(&p);
	daemon_close(d);
	if (err)
		return ctl_failed(&f);
	if (c->json)
		printf("{\"queue\":%" PRIu64 ",\"action\":\"%s\"}\n", id,
		       a->name);
	return CTL_OK;
}

static const char *const kinds[] = { "queue-created",  "queue-gone",
				     "queue-state",    "engine-died",
				     "engine-started", "client-connected",
				     "client-gone",    "lost" };

static void print_event(const Sharq__Pb__Event *e, bool json)
{
	const char *kind = e->kind < sizeof(kinds) / sizeof(kinds[0])
				   ? kinds[e->kind]
				   : "unknown";
	const char *state = daemon_state_name(e->state);

	if (json) {
		printf("{\"event\":\"%s\"", kind);
		if (e->has_queue)
			printf(",\"queue\":%" PRIu64, e->queue);
		if (e->has_session)
			printf(",\"session\":%" PRIu64, e->session);
		if (e->has_uid)
			printf(",\"uid\":%u", e->uid);
		if (e->has_state)
			printf(",\"state\":\"%s\"", state);
		if (e->text) {
			printf(",\"text\":");
			json_string(e->text);
		}
		puts("}");
		return;
	}
	printf("%-16s", kind);
	if (e->has_queue)
		printf(" queue %" PRIu64, e->queue);
	if (e->has_session)
		printf(" session %" PRIu64, e->session);
	if (e->has_uid)
		printf(" uid %u", e->uid);
	if (e->has_state)
		printf(" %s", state);
	if (e->text && *e->text) {
		printf(": ");
		ctl_print_text(e->text);
	}
	putchar('\n');
}

int cmd_events(struct ctl *c, int argc, char **argv)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__Subscribe subscribe = SHARQ__PB__SUBSCRIBE__INIT;
	Sharq__Pb__ServerMessage *m;
	struct failure f;
	struct daemon *d;
	int err;

	if (c->help) {
		puts("Usage: sharqctl events [--socket PATH] [--json]\n\n"
		     "Prints what happens to your queues and clients (root: "
		     "all), a line each\n(--json: an object each), until "
		     "Ctrl-C.");
		return CTL_OK;
	}
	if (argc > 1)
		return ctl_usage("events", "'events' takes no argument '%s'",
				 argv[1]);
	ctl_catch_signals();
	if (daemon_open(&d, c->socket, &f))
		return ctl_failed(&f);
	req.body_case = SHARQ__PB__REQUEST__BODY_SUBSCRIBE;
	req.subscribe = &subscribe;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, NULL, &f);
	while (!err && !ctl_stop) {
		err = daemon_event(d, &m, &f);
		if (err)
			break;
		print_event(m->event, c->json);
		daemon_free(m);
		/* Whoever reads a pipe wants each event as it happens. */
		if (fflush(stdout))
			err = fail(&f, -EIO,
				   "standard output can't be "
				   "written");
	}
	daemon_close(d);
	return err && !ctl_stop ? ctl_failed(&f) : CTL_OK;
}
