/* SPDX-License-Identifier: MIT */
/*
 * Asking sharqd what libsharq doesn't tell: queues, clients, statistics,
 * events; and controlling queues. One request at a time, every wait bounded.
 */
#ifndef SHARQ_CTL_DAEMON_H
#define SHARQ_CTL_DAEMON_H

#include "ctl.h"
#include "sharq.pb-c.h"

#define DAEMON_TIMEOUT_MS 10000

struct daemon;

int daemon_open(struct daemon **d, const char *socket, struct failure *f);
struct daemon *daemon_close(struct daemon *d);

/*
 * daemon_call - send @req (its id is filled in) and wait for the reply to it
 * @reply: set to the message whose reply has code 0; free with daemon_free().
 *         NULL: not wanted
 *
 * Return: 0, -EINTR (a signal that ctl_catch_signals() catches came, even before
 * the call), or another -errno.
 */
int daemon_call(struct daemon *d, Sharq__Pb__Request *req, int timeout_ms,
		Sharq__Pb__ServerMessage **reply, struct failure *f);

/*
 * daemon_event - wait for the next event, which may be one that came while a
 * reply was awaited
 *
 * Return: 0, -EINTR (a signal came), or another -errno.
 */
int daemon_event(struct daemon *d, Sharq__Pb__ServerMessage **event,
		 struct failure *f);

void daemon_free(Sharq__Pb__ServerMessage *msg); /* NULL is fine */

/* One queue, or -ENOENT. */
int daemon_queue(struct daemon *d, uint64_t id,
		 Sharq__Pb__ServerMessage **reply, struct failure *f);

/* Of a Sharq__Pb__QueueState: "running". */
const char *daemon_state_name(unsigned int state);

#endif /* SHARQ_CTL_DAEMON_H */
