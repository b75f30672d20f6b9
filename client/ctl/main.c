// SPDX-License-Identifier: MIT
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "sharq.h"

static const struct command {
	const char *name;
	int (*run)(struct ctl *c, int argc, char **argv);
	const char *what;
	bool watch;
} commands[] = {
	{ "devices", cmd_devices, "list devices and what they can", true },
	{ "queues", cmd_queues, "list queues", true },
	{ "clients", cmd_clients, "list clients", true },
	{ "stats", cmd_stats, "show totals", true },
	{ "show", cmd_show, "show queue|device ID: all about one of them",
	  true },
	{ "pause", cmd_control, "pause ID: let a queue take nothing more",
	  false },
	{ "resume", cmd_control, "resume ID: let it go on", false },
	{ "drain", cmd_control, "drain ID: pause, wait until it is idle",
	  false },
	{ "kill", cmd_control, "kill ID: cancel and close it for good", false },
	{ "events", cmd_events, "print what happens as it happens", false },
	{ "run", cmd_run, "run an operation on files", false },
	{ "bench", cmd_bench, "measure", false },
};

volatile sig_atomic_t ctl_stop;

static void on_signal(int sig)
{
	ctl_stop = sig;
}

void ctl_catch_signals(void)
{
	/* No SA_RESTART: what waits returns and sees ctl_stop. */
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

int fail(struct failure *f, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return err;
}

static void put_text(FILE *out, const char *text)
{
	for (; *text; text++)
		putc(iscntrl((unsigned char)*text) ? '?' : *text, out);
}

void ctl_print_text(const char *text)
{
	put_text(stdout, text);
}

int ctl_failed(const struct failure *f)
{
	fflush(stdout);
	fputs("sharqctl: ", stderr);
	put_text(stderr, f->text);
	putc('\n', stderr);
	return CTL_FAILED;
}

int ctl_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fputs("sharqctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see 'sharqctl %s%s--help'\n", command,
		*command ? " " : "");
	return CTL_USAGE;
}

int ctl_bad_option(const char *command, int opt, const char *arg)
{
	/* There are no short ones; where getopt() is in a word of them it hasn't
	 * gone on to the next argument. */
	if (opt == '?' && optopt && !strchr(arg, '='))
		return ctl_usage(command, "there is no option '-%c'", optopt);
	return ctl_usage(command,
			 opt == ':' ? "'%s' needs a value"
				    : "there is no option '%s'",
			 arg);
}

int ctl_connect_fail(struct failure *f, int err, const char *socket)
{
	char text[512];

	sharq_connect_strerror(err, socket, text, sizeof(text));
	return fail(f, err, "%s", text);
}

int ctl_parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	const char *u;
	char *end;
	unsigned int shift = 0;
	unsigned long long v;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno)
		return -EINVAL;
	if (*end) {
		u = strchr(units, toupper((unsigned char)*end));
		if (!u || end[1])
			return -EINVAL;
		shift = 10 * (u - units + 1);
	}
	if (v << shift >> shift != v)
		return -EINVAL;
	*value = v << shift;
	return 0;
}

static void help(void)
{
	size_t i;

	puts("Usage: sharqctl [--socket PATH] [--json] COMMAND ...\n\n"
	     "Shows, controls and uses sharq's accelerator queues.\n");
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].what);
	puts("\nOptions, before or after the command:\n"
	     "  --socket PATH   the daemon's socket (else $SHARQ_SOCKET, else\n"
	     "                  " SHARQ_DEFAULT_SOCKET ")\n"
	     "  --json          JSON on standard output\n"
	     "  --watch [SECS]  of devices, queues, clients, stats, show: "
	     "print\n"
	     "                  again every SECS seconds (2), until Ctrl-C\n"
	     "  --help          help, also on each command\n"
	     "  --version       print the version\n\n"
	     "Exit code: 0 done, 1 failed (compare: different), 2 wrong "
	     "usage.");
}

static int parse_watch(struct ctl *c, const char *text)
{
	char *end;
	double s = 2;

	if (text) {
		s = strtod(text, &end);
		if (end == text || *end || !(s >= 0.1 && s <= 86400))
			return ctl_usage("",
					 "--watch is '%s', expected seconds "
					 "from 0.1 to 86400",
					 text);
	}
	c->watch_ms = (int)(s * 1000);
	return 0;
}

/*
 * Take the options that every command knows out of argv, wherever they stand
 * before a "--". Return: 0 or CTL_USAGE; *argc is what remains.
 */
static int take_globals(struct ctl *c, int *argc, char **argv)
{
	int in, out = 1, ret = 0;
	char *a;

	for (in = 1; in < *argc && !ret; in++) {
		a = argv[in];
		if (!strcmp(a, "--"))
			break;
		if (!strcmp(a, "--json")) {
			c->json = true;
		} else if (!strcmp(a, "--help")) {
			c->help = true;
		} else if (!strcmp(a, "--version")) {
			c->version = true;
		} else if (!strncmp(a, "--socket=", 9)) {
			c->socket = a + 9;
		} else if (!strcmp(a, "--socket")) {
			if (++in == *argc)
				return ctl_usage("", "--socket needs a path");
			c->socket = argv[in];
		} else if (!strncmp(a, "--watch=", 8)) {
			ret = parse_watch(c, a + 8);
		} else if (!strcmp(a, "--watch")) {
			if (in + 1 < *argc &&
			    isdigit((unsigned char)argv[in + 1][0]))
				ret = parse_watch(c, argv[++in]);
			else
				ret = parse_watch(c, NULL);
		} else {
			argv[out++] = a;
		}
	}
	if (ret)
		return ret;
	if (c->socket && !*c->socket)
		return ctl_usage("", "--socket is empty, expected a path");
	while (in < *argc)
		argv[out++] = argv[in++];
	argv[out] = NULL;
	*argc = out;
	return 0;
}

int main(int argc, char **argv)
{
	struct ctl c = { 0 };
	const struct command *cmd = NULL;
	size_t i;
	int ret;

	ret = take_globals(&c, &argc, argv);
	if (ret)
		return ret;
	if (argc < 2 && !c.help && !c.version)
		return ctl_usage("", "no command");
	if (c.version) {
		puts("sharqctl " SHARQ_VERSION);
	} else if (argc < 2 || !strcmp(argv[1], "-h") ||
		   !strcmp(argv[1], "help")) {
		help();
	} else {
		for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
			if (!strcmp(argv[1], commands[i].name))
				cmd = &commands[i];
		if (!cmd)
			return ctl_usage("", "'%s' is no %s", argv[1],
					 *argv[1] == '-' ? "option"
							 : "command");
		if (c.watch_ms && !cmd->watch && !c.help)
			return ctl_usage(argv[1], "'%s' can't be watched",
					 argv[1]);
		ret = cmd->run(&c, argc - 1, argv + 1);
	}
	/* A full disk shows only when the last of the output is written. */
	if ((fflush(stdout) || ferror(stdout)) && !ret) {
		fprintf(stderr, "sharqctl: standard output: %s\n",
			strerror(errno));
		ret = CTL_FAILED;
	}
	return ret;
}
