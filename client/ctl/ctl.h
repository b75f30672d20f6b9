/* SPDX-License-Identifier: MIT */
/*
 * What sharqctl's commands share. A command is the outermost layer: it prints
 * and returns an exit code. What lies below returns 0 or -errno and leaves a
 * sentence in a struct failure.
 */
#ifndef SHARQ_CTL_H
#define SHARQ_CTL_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ctl_exit {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2
};

/*
 * struct ctl - the options that all commands know
 * @socket:   NULL: libsharq's default
 * @watch_ms: 0: once
 * @help:     print the command's help and do nothing
 */
struct ctl {
	const char *socket;
	bool json;
	bool help;
	bool version;
	int watch_ms;
};

struct failure {
	char text[1024];
};

/* Note a sentence, without the final stop. Return: @err. */
int fail(struct failure *f, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Print "sharqctl: SENTENCE" and return CTL_FAILED. */
int ctl_failed(const struct failure *f);

/* Print what is wrong with the arguments and where help is: CTL_USAGE. */
int ctl_usage(const char *command, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for what getopt_long() refused with ':' or '?'. */
int ctl_bad_option(const char *command, int opt, const char *arg);

/* Note why the daemon can't be reached, and how to start one. */
int ctl_connect_fail(struct failure *f, int err, const char *socket);

/* "64", "1M", "0x10", with K, M, G, T as powers of 1024. 0 or -EINVAL. */
int ctl_parse_size(const char *text, uint64_t *value);

/* Print text that came from elsewhere, control characters replaced by '?'. */
void ctl_print_text(const char *text);

/* SIGINT, SIGTERM or SIGHUP came (once ctl_catch_signals() was called). */
extern volatile sig_atomic_t ctl_stop;
void ctl_catch_signals(void);

int cmd_devices(struct ctl *c, int argc, char **argv);
int cmd_queues(struct ctl *c, int argc, char **argv);
int cmd_clients(struct ctl *c, int argc, char **argv);
int cmd_stats(struct ctl *c, int argc, char **argv);
int cmd_show(struct ctl *c, int argc, char **argv);
int cmd_control(struct ctl *c, int argc, char **argv);
int cmd_events(struct ctl *c, int argc, char **argv);
int cmd_run(struct ctl *c, int argc, char **argv);
int cmd_bench(struct ctl *c, int argc, char **argv);

#endif /* SHARQ_CTL_H */
