/* SPDX-License-Identifier: MIT */
/*
 * The daemon's log: stderr, with <N> before each line when that is systemd's
 * journal, or syslog once the daemon has left its terminal.
 */
#ifndef SHARQD_LOG_H
#define SHARQD_LOG_H

#include <stdbool.h>
#include <syslog.h>

/* @to_syslog: there is no stderr to write to. */
void log_init(bool to_syslog);
/* LOG_ERR to LOG_DEBUG: what is less important than @level isn't logged. */
void log_set_level(int level);
void log_msg(int level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_err(...) log_msg(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_msg(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_msg(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)

#endif /* SHARQD_LOG_H */
