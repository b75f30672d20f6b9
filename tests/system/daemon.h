/* SPDX-License-Identifier: MIT */
/*
 * A private sharqd in the test's directory.
 */
#ifndef SYSTEM_DAEMON_H
#define SYSTEM_DAEMON_H

#include "harness.h"

struct daemon {
	pid_t pid;
	char socket[104];
	char config[128];
	char log[128];
};

/* --engine of daemons that are started from now on; embedded at first. */
void daemon_engine(const char *type);
/* Write the configuration (@conf may be NULL) and start; returns once it
 * serves. Any user may connect. */
void daemon_start(struct daemon *d, const char *conf);
/* Start it again on the same socket and configuration. */
void daemon_spawn(struct daemon *d);
void daemon_config(struct daemon *d, const char *conf);
/* SIGKILL, and gone. */
void daemon_kill(struct daemon *d);
/* Exit status once it ended by itself, 128 + signal if killed. */
int daemon_wait(struct daemon *d, int timeout_ms);
/* SIGTERM; it must exit 0, leave no socket, and have logged no sanitizer's
 * report. */
void daemon_stop(struct daemon *d);
/* Another client is served, and doesn't wait long for it. */
void daemon_serves(const struct daemon *d);
/* And the daemon holds no more descriptors than it did. */
void daemon_unharmed(const struct daemon *d, unsigned int fds);
/* Where the engines of this daemon listen. */
const char *daemon_engines_dir(const struct daemon *d);

#endif /* SYSTEM_DAEMON_H */
