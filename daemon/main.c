// SPDX-License-Identifier: MIT
/* sharqd: options, signals, systemd, and the beginning and end of it all. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"
#include "module_queue.h"

#define EXIT_USAGE 2

/* What the command line says; it goes over what the file says. */
struct options {
	char socket[CONFIG_SOCKET_MAX];
	char absolute[PATH_MAX];
	const char *config_path; /* NULL: the default, which need not be there */
	bool has_engine;
	enum config_engine engine;
	bool foreground;
	bool check;
};

/* What signals and timers work on. */
struct daemon {
	const struct options *options;
	struct server *server;
	struct event *stop_timer;
	struct event *watchdog;
	bool keep_engines;
};

/* Whoever started us waits at the other end until we serve. -1: nobody. */
static int ready_pipe = -1;

static void usage(FILE *out)
{
	fputs("usage: sharqd [options]\n"
	      "Serves accelerator queues; see sharqd(8).\n"
	      "  --socket PATH    listen there\n"
	      "  --config FILE    read this instead of " SHARQD_DEFAULT_CONFIG
	      "\n"
	      "  --engine TYPE    auto, embedded or module\n"
	      "  --foreground     stay with the terminal, log to stderr\n"
	      "  --check          check the configuration and exit\n"
	      "  --help, --version\n",
	      out);
}

/* Absolute: the daemon leaves its directory. */
static bool take_socket(struct options *o, const char *path)
{
	char cwd[CONFIG_SOCKET_MAX] = "";
	int n;

	if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		cwd[0] = 0;
	n = snprintf(o->socket, sizeof(o->socket), "%s%s%s", cwd,
		     path[0] == '/' ? "" : "/", path);
	if (*path && path[strlen(path) - 1] != '/' && n > 0 &&
	    n < (int)sizeof(o->socket))
		return true;
	fprintf(stderr,
		"sharqd: --socket is '%s', expected a path of at most %d "
		"bytes\n",
		path, CONFIG_SOCKET_MAX - 1);
	return false;
}

static bool take_engine(struct options *o, const char *type)
{
	o->has_engine = true;
	o->engine = CONFIG_ENGINE_AUTO;
	if (!strcmp(type, "auto"))
		return true;
	o->engine = CONFIG_ENGINE_EMBEDDED;
	if (!strcmp(type, "embedded"))
		return true;
	o->engine = CONFIG_ENGINE_MODULE;
	if (!strcmp(type, "module"))
		return true;
	fprintf(stderr,
		"sharqd: --engine is '%s', expected auto, embedded or module\n",
		type);
	return false;
}

/* Return: -1 to go on, else the exit code. */
static int parse_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "config", required_argument, NULL, 'c' },
		{ "engine", required_argument, NULL, 'e' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "check", no_argument, NULL, 'k' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	bool ok = true;
	int c;

	while (ok && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 's':
			ok = take_socket(o, optarg);
			break;
		case 'c':
			o->config_path = optarg;
			break;
		case 'e':
			ok = take_engine(o, optarg);
			break;
		case 'f':
			o->foreground = true;
			break;
		case 'k':
			o->check = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("sharqd " SHARQ_VERSION);
			return EXIT_SUCCESS;
		default:
			ok = false;
		}
	}
	if (ok && optind < argc) {
		fprintf(stderr, "sharqd: '%s' is too much, expected options\n",
			argv[optind]);
		ok = false;
	}
	if (!ok)
		usage(stderr);
	return ok ? -1 : EXIT_USAGE;
}

static int read_config(const struct options *o, struct config *config,
		       char *err, size_t size)
{
	int ret;

	config_defaults(config);
	ret = config_load(o->config_path ? o->config_path
					 : SHARQD_DEFAULT_CONFIG,
			  config, err, size);
	if (ret == -ENOENT && !o->config_path)
		ret = 0;
	if (o->socket[0])
		memcpy(config->socket, o->socket, sizeof(config->socket));
	if (o->has_engine)
		config->engine = o->engine;
	return ret;
}

/* ---- the way to a daemon ---- */

static void open_null(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i <= STDERR_FILENO; i++)
		dup2(fd, i);
	if (fd > STDERR_FILENO)
		close(fd);
}

/*
 * Leave the terminal. The one who called returns from it when we serve, with
 * our success or failure as the exit code.
 */
static int daemonize(void)
{
	int fds[2];
	pid_t pid;
	char ok;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(fds[1]);
		_exit(read(fds[0], &ok, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(fds[0]);
	ready_pipe = fds[1];
	setsid();
	return chdir("/") ? -errno : 0;
}

static void raise_file_limit(void)
{
	struct rlimit lim;

	/* Three descriptors and more for each queue. */
	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
}

static void on_ready(void)
{
	log_info("sharqd " SHARQ_VERSION " serves");
	sd_notify(0, "READY=1\nSTATUS=Serving.");
	if (ready_pipe < 0)
		return;
	log_init(true);
	open_null();
	if (write(ready_pipe, "", 1) != 1)
		log_warning("nobody waits for sharqd to start");
	close(ready_pipe);
	ready_pipe = -1;
}

/* ---- while it runs ---- */

static void reload(struct daemon *d)
{
	struct server *server = d->server;
	struct config next;
	struct timespec ts;
	char err[512];

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		   (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	if (read_config(d->options, &next, err, sizeof(err))) {
		log_err("%s", err);
		log_err("the configuration stays as it was");
	} else {
		if (strcmp(next.socket, server->config.socket) ||
		    next.socket_mode != server->config.socket_mode ||
		    strcmp(next.socket_group, server->config.socket_group))
			log_warning("changes of socket, socket-mode and "
				    "socket-group take a restart");
		if (next.engine != server->config.engine)
			log_warning("a change of the engine's type takes a "
				    "restart");
		/* What stops must find the socket that it made. */
		memcpy(next.socket, server->config.socket, sizeof(next.socket));
		next.engine = server->config.engine;
		server->config = next;
		log_set_level(next.log_level);
		log_info("configuration read again");
	}
	sd_notify(0, "READY=1");
}

static void stop(struct daemon *d)
{
	struct server *server = d->server;
	unsigned int ms = server->stopping ? 0 : server->config.drain_ms;
	/* Engines are killed a second after their time; then there is no more
	 * to wait for but the kernel. */
	const struct timeval limit = { .tv_sec = ms / 1000 + 3,
				       .tv_usec = ms % 1000 * 1000 };
	struct user *user;

	log_info("stopping%s", server->stopping ? " now" : "");
	sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
		   (unsigned long long)ms * 1000 + 5000000);
	server->stopping = true;
	event_add(d->stop_timer, &limit);
	LIST_FOREACH(user, &server->users, link)
	if (user->engine)
		engine_stop(user->engine, ms);
	if (server->module)
		module_stop(server->module, ms);
	server_accept_stop(server);
	server_reap_later(server);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)what;
	if (sig == SIGHUP) {
		reload(d);
	} else if (sig == SIGUSR2) {
		log_info("leaving engines and queues to the next sharqd");
		d->keep_engines = true;
		event_base_loopexit(d->server->base, NULL);
	} else {
		stop(d);
	}
}

static void on_stop_timer(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *d = arg;

	(void)fd;
	(void)what;
	log_warning("not all ended in time");
	event_base_loopexit(d->server->base, NULL);
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	sd_notify(0, "WATCHDOG=1");
}

static int add_watchdog(struct daemon *d, struct event_base *base)
{
	struct timeval tv;
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return 0;
	tv.tv_sec = usec / 2 / 1000000;
	tv.tv_usec = usec / 2 % 1000000;
	d->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, d);
	return d->watchdog && !event_add(d->watchdog, &tv) ? 0 : -ENOMEM;
}

static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR2 };
#define NSIGNALS (sizeof(signals) / sizeof(signals[0]))

/* Serve until told to stop. */
static int run(struct daemon *d, struct event_base *base)
{
	struct event *events[NSIGNALS] = { NULL };
	int ret;

	d->stop_timer = evtimer_new(base, on_stop_timer, d);
	ret = d->stop_timer ? add_watchdog(d, base) : -ENOMEM;
	for (size_t i = 0; i < NSIGNALS && !ret; i++) {
		events[i] = evsignal_new(base, signals[i], on_signal, d);
		if (!events[i] || event_add(events[i], NULL))
			ret = -ENOMEM;
	}
	if (!ret)
		ret = adopt_scan(d->server);
	if (!ret && !d->server->adopting)
		ret = server_accept_start(d->server);
	if (!ret && event_base_dispatch(base) < 0)
		ret = -EIO;
	for (size_t i = 0; i < NSIGNALS; i++)
		if (events[i])
			event_free(events[i]);
	if (d->stop_timer)
		event_free(d->stop_timer);
	if (d->watchdog)
		event_free(d->watchdog);
	return ret;
}

static int serve(struct daemon *d, const struct config *config, int inherited)
{
	struct event_base *base = event_base_new();
	int ret, dropped;

	if (!base)
		return -ENOMEM;
	ret = server_new(&d->server, config, base);
	if (!ret) {
		d->server->ready = on_ready;
		ret = spawn_open_dir(d->server);
	}
	if (!ret)
		ret = module_start(d->server);
	dropped = module_drop_privilege();
	if (dropped)
		log_warning("can't give up CAP_SYS_ADMIN: %s",
			    strerror(-dropped));
	if (!ret)
		log_info("%s", d->server->note);
	if (!ret)
		ret = server_listen(d->server, inherited);
	if (!ret)
		ret = run(d, base);
	if (d->server && !ret && !d->keep_engines)
		spawn_remove_dir(d->server);
	d->server = server_free(d->server);
	event_base_free(base);
	return ret;
}

static int inherited_socket(void)
{
	int n = sd_listen_fds(1);

	return n == 1 ? SD_LISTEN_FDS_START : n > 1 ? -EINVAL : -ENOTSOCK;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct daemon d = { .options = &options };
	struct config config;
	char err[512];
	int ret, sock;

	/* One thread, small and long-lived objects: give back what is free. */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024);
	ret = parse_options(&options, argc, argv);
	if (ret >= 0)
		return ret;
	log_init(false);
	ret = read_config(&options, &config, err, sizeof(err));
	if (ret) {
		log_err("%s", err);
		return EXIT_FAILURE;
	}
	if (options.check) {
		puts("the configuration is right");
		return EXIT_SUCCESS;
	}
	/* Absolute: it is read again after leaving the directory. */
	if (options.config_path &&
	    realpath(options.config_path, options.absolute))
		options.config_path = options.absolute;
	log_set_level(config.log_level);
	sock = inherited_socket();
	if (sock == -EINVAL) {
		log_err("more than one socket was passed, expected one");
		return EXIT_FAILURE;
	}
	if (!options.foreground && !getenv("NOTIFY_SOCKET"))
		ret = daemonize();
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	if (!ret)
		ret = serve(&d, &config, sock < 0 ? -1 : sock);
	if (!ret)
		return EXIT_SUCCESS;
	log_err("sharqd gives up: %s", strerror(-ret));
	return EXIT_FAILURE;
}
