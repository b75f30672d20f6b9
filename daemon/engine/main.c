// SPDX-License-Identifier: MIT
/*
 * sharq-engine: started by sharqd, one for each user that has queues.
 * fd 3: the control socket; fd 4: a listening socket for the next sharqd.
 */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

#define CONTROL_FD 3
#define LISTEN_FD 4
#define LISTEN_BACKLOG 4

#ifdef SHARQ_SANITIZE
/* Leak detection traces the process, which this one doesn't allow. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int usage(FILE *out)
{
	fprintf(out,
		"usage: sharq-engine --uid UID --gid GID [--owner-uid UID]\n"
		"Started by sharqd(8); not meant to be run by hand.\n");
	return out == stderr ? 2 : 0;
}

static int parse_id(const char *text, uint32_t *id)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || v >= UINT32_MAX)
		return -EINVAL;
	*id = (uint32_t)v;
	return 0;
}

static int parse(int argc, char **argv, uint32_t *uid, uint32_t *gid,
		 uint32_t *owner)
{
	static const struct option options[] = {
		{ "uid", required_argument, NULL, 'u' },
		{ "gid", required_argument, NULL, 'g' },
		{ "owner-uid", required_argument, NULL, 'o' },
		{ 0 }
	};
	bool have_uid = false, have_gid = false;
	int c;

	*owner = geteuid();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		uint32_t *to = c == 'u' ? uid : c == 'g' ? gid : owner;

		if (c == '?' || parse_id(optarg, to))
			return -EINVAL;
		have_uid |= c == 'u';
		have_gid |= c == 'g';
	}
	return have_uid && have_gid && optind == argc ? 0 : -EINVAL;
}

static int engine_setup(struct engine *e)
{
	struct rlimit files;

	e->ctl = CONTROL_FD;
	e->listener = LISTEN_FD;
	/* It listens already, but as sharqd's: the next one asks whose it is. */
	if (listen(e->listener, LISTEN_BACKLOG))
		return -errno;
	e->run_tail = &e->run;
	pthread_mutex_init(&e->active_lock, NULL);
	pthread_mutex_init(&e->jobs_lock, NULL);
	pthread_mutex_init(&e->park_lock, NULL);
	pthread_cond_init(&e->park_cond, NULL);
	e->epfd = epoll_create1(EPOLL_CLOEXEC);
	e->worker_epfd = epoll_create1(EPOLL_CLOEXEC);
	e->main_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->wake_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->epfd < 0 || e->worker_epfd < 0 || e->main_event < 0 ||
	    e->wake_event < 0)
		return -errno;
	/* Three descriptors a queue. */
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct engine engine;
	uint32_t uid = 0, gid = 0;
	int r;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (parse(argc, argv, &uid, &gid, &engine.owner_uid))
		return usage(stderr);
	/* sharqd's signals (a terminal's ^C) are not the engine's. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	/* What is freed goes back: codecs and tables are large, idling is long. */
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_ARENA_MAX, 1);
	r = sandbox_drop(uid, gid);
	if (r) {
		fprintf(stderr, "sharq-engine: can't become uid %u: %s\n", uid,
			r == -EPERM ? "not permitted, or it is root"
				    : strerror(-r));
		return 1;
	}
	r = engine_setup(&engine);
	if (!r)
		r = control_start(&engine);
	if (r) {
		fprintf(stderr, "sharq-engine: uid %u: can't start: %s\n", uid,
			strerror(-r));
		return 1;
	}
	return control_run(&engine);
}
