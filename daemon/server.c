// SPDX-License-Identifier: MIT
/* The listening socket, users, and the freeing of what is done with. */
#include "server.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"
#include "module_queue.h"

#define ACCEPTS_PER_TURN 16
#define NOBODY 65534
#define NOTICES_MAX 20
#define NOTICES_WINDOW_MS 10000

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int user_get(struct server *server, uid_t uid, struct user **out)
{
	struct user *user;

	LIST_FOREACH(user, &server->users, link)
	{
		if (user->uid == uid) {
			*out = user;
			return 0;
		}
	}
	user = calloc(1, sizeof(*user));
	if (!user)
		return -ENOMEM;
	user->closer = closer_new(2 * USER_CLOSING_MAX);
	if (!user->closer) {
		free(user);
		return -ENOMEM;
	}
	user->server = server;
	user->uid = uid;
	user->gid = uid;
	LIST_INIT(&user->sessions);
	LIST_INSERT_HEAD(&server->users, user, link);
	*out = user;
	return 0;
}

bool user_may_log(struct user *user)
{
	uint64_t now = now_ms();

	if (now - user->notices_since_ms >= NOTICES_WINDOW_MS) {
		if (user->notices > NOTICES_MAX)
			log_notice("uid %u: %u more such lines were left out",
				   user->uid, user->notices - NOTICES_MAX);
		user->notices_since_ms = now;
		user->notices = 0;
	}
	return ++user->notices <= NOTICES_MAX;
}

static void user_free(struct user *user)
{
	closer_free(user->closer);
	LIST_REMOVE(user, link);
	free(user);
}

void users_trim(struct server *server)
{
	struct user *user, *next;

	for (user = LIST_FIRST(&server->users); user; user = next) {
		next = LIST_NEXT(user, link);
		if (user->conns || !LIST_EMPTY(&user->sessions) ||
		    closer_count(user->closer))
			continue;
		if (user->engine && engine_forgettable(user->engine))
			user->engine = engine_free(user->engine);
		/* Totals are kept for those who had queues. */
		if (user->engine || user->ended.queues || user->engine_deaths ||
		    user->peers_dropped)
			continue;
		user_free(user);
	}
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;
	struct conn *conn, *next;

	(void)fd;
	(void)what;
	for (conn = TAILQ_FIRST(&server->conns); conn; conn = next) {
		next = TAILQ_NEXT(conn, link);
		if (conn->doomed)
			conn_free(conn);
	}
	users_trim(server);
	server_check_stopped(server);
}

void server_reap_later(struct server *server)
{
	event_active(server->reaper, EV_TIMEOUT, 0);
}

void server_check_stopped(struct server *server)
{
	struct user *user;

	if (!server->stopping || (server->module && !server->module->stopped))
		return;
	LIST_FOREACH(user, &server->users, link)
	if (user->engine && user->engine->state != ENGINE_DOWN)
		return;
	event_base_loopexit(server->base, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	static const struct timeval pause = { .tv_usec = 200000 };
	struct server *server = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int sock =
			accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (sock < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (sock < 0 && errno == EAGAIN)
			return;
		if (sock < 0) {
			/* It stays readable: look away for a moment. */
			if (!server->accept_failed)
				log_warning("can't accept connections for now: "
					    "%s",
					    strerror(errno));
			server->accept_failed = true;
			event_del(server->accept);
			event_add(server->accept_retry, &pause);
			return;
		}
		server->accept_failed = false;
		conn_new(server, sock);
	}
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
	struct server *server = arg;

	(void)fd;
	(void)what;
	if (server->accept)
		event_add(server->accept, NULL);
}

int server_accept_start(struct server *server)
{
	if (server->accept)
		return 0;
	server->accept = event_new(server->base, server->listen_fd,
				   EV_READ | EV_PERSIST, on_accept, server);
	if (!server->accept || event_add(server->accept, NULL))
		return -ENOMEM;
	server->ready();
	return 0;
}

/* Connections that nobody accepted end with it, and all that was sent to them. */
static void close_listener(int sock)
{
	struct closer *closer = closer_new(1);

	if (!closer) {
		close(sock);
		return;
	}
	closer_close(closer, sock);
	closer_free(closer);
}

void server_accept_stop(struct server *server)
{
	if (server->accept)
		event_free(server->accept);
	server->accept = NULL;
	if (server->accept_retry)
		event_del(server->accept_retry);
	if (server->listen_fd < 0)
		return;
	close_listener(server->listen_fd);
	server->listen_fd = -1;
	if (!server->listen_inherited)
		unlink(server->config.socket);
}

/* Whatever is in the way: a dead socket is removed, all else is an error. */
static int clear_path(const char *path, const struct sockaddr_un *addr)
{
	struct stat st;
	int probe, ret;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		log_err("%s is in the way: it is no socket", path);
		return -EEXIST;
	}
	probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		       0);
	if (probe < 0)
		return -errno;
	ret = connect(probe, (const struct sockaddr *)addr, sizeof(*addr))
		      ? -errno
		      : 0;
	close(probe);
	if (ret == -ECONNREFUSED)
		return unlink(path) ? -errno : 0;
	log_err("another program listens on %s already", path);
	return -EADDRINUSE;
}

static int set_group(const struct config *c)
{
	struct group *group;

	if (!c->socket_group[0])
		return 0;
	group = getgrnam(c->socket_group);
	if (!group) {
		log_err("there is no group '%s' (socket-group)",
			c->socket_group);
		return -EINVAL;
	}
	return lchown(c->socket, -1, group->gr_gid) ? -errno : 0;
}

static int bind_own(const struct config *c, int sock)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t mask;
	int ret;

	memcpy(addr.sun_path, c->socket, strlen(c->socket));
	ret = clear_path(c->socket, &addr);
	if (ret)
		return ret;
	/* Never open wider than it will be. */
	mask = umask(0777);
	ret = bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (!ret)
		ret = set_group(c);
	if (!ret && chmod(c->socket, c->socket_mode))
		ret = -errno;
	if (!ret && listen(sock, SOMAXCONN))
		ret = -errno;
	return ret;
}

static int check_inherited(int sock)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(sock, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len))
		return -errno;
	if (type != SOCK_SEQPACKET || !listens) {
		log_err("the socket that was passed is wrong, expected "
			"ListenSequentialPacket= in sharqd.socket");
		return -EINVAL;
	}
	return evutil_make_socket_nonblocking(sock) ? -errno : 0;
}

int server_listen(struct server *server, int inherited)
{
	const struct config *c = &server->config;
	int ret;

	server->listen_inherited = inherited >= 0;
	if (inherited >= 0) {
		server->listen_fd = inherited;
		return check_inherited(inherited);
	}
	server->listen_fd = socket(
		AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server->listen_fd < 0)
		return -errno;
	ret = bind_own(c, server->listen_fd);
	if (ret) {
		log_err("can't listen on %s: %s", c->socket, strerror(-ret));
		close(server->listen_fd);
		server->listen_fd = -1;
	}
	return ret;
}

static void find_root_engine_user(struct server *server)
{
	const struct passwd *pw = getpwnam("sharq");

	server->root_engine_uid = pw && pw->pw_uid ? pw->pw_uid : NOBODY;
	server->root_engine_gid = pw && pw->pw_uid ? pw->pw_gid : NOBODY;
}

int server_new(struct server **out, const struct config *config,
	       struct event_base *base)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->base = base;
	server->config = *config;
	server->dir_fd = server->lock_fd = server->listen_fd = -1;
	server->uid = geteuid();
	server->root = !server->uid;
	server->next_conn = server->next_session = 1;
	server->next_queue = server->next_region = 1;
	server->started_ms = now_ms();
	LIST_INIT(&server->users);
	TAILQ_INIT(&server->conns);
	server->reaper = event_new(base, -1, 0, on_reap, server);
	server->accept_retry = evtimer_new(base, on_accept_retry, server);
	if (!server->reaper || !server->accept_retry) {
		server_free(server);
		return -ENOMEM;
	}
	if (server->root)
		find_root_engine_user(server);
	*out = server;
	return 0;
}

struct server *server_free(struct server *server)
{
	struct user *user;

	if (!server)
		return NULL;
	server->leaving = true;
	/* Engines first: no session is to be removed from one that stays. */
	LIST_FOREACH(user, &server->users, link)
	if (user->engine)
		user->engine = engine_free(user->engine);
	server->module = module_free(server->module);
	while (!TAILQ_EMPTY(&server->conns))
		conn_free(TAILQ_FIRST(&server->conns));
	while (!LIST_EMPTY(&server->users)) {
		user = LIST_FIRST(&server->users);
		while (!LIST_EMPTY(&user->sessions))
			session_free(LIST_FIRST(&user->sessions));
		user_free(user);
	}
	server_accept_stop(server);
	if (server->lock_fd >= 0)
		close(server->lock_fd);
	if (server->dir_fd >= 0)
		close(server->dir_fd);
	if (server->accept_retry)
		event_free(server->accept_retry);
	if (server->reaper)
		event_free(server->reaper);
	idmap_fini(&server->sessions);
	idmap_fini(&server->queues);
	free(server);
	return NULL;
}
