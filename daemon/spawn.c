// SPDX-License-Identifier: MIT
/* Engines' processes and the sockets that they can be found by. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"

#define CONTROL_FD 3
#define LISTEN_FD 4
#define ENGINE_NAME "sharq-engine"

/*
 * What the lock has in it; it stays as long as there are engines.
 *
 * @next_id: no session or queue had this id or a later one under the key
 */
struct lock {
	struct seal_key key;
	uint64_t next_id;
};

#define IDS_AT_ONCE (UINT64_C(1) << 32)

/* Ids from @from on are this daemon's to give, and never another's. */
static int reserve_ids(struct server *server, uint64_t from)
{
	const struct lock lock = { server->seal_key, from + IDS_AT_ONCE };
	ssize_t n = pwrite(server->lock_fd, &lock, sizeof(lock), 0);

	if (n != (ssize_t)sizeof(lock))
		return n < 0 ? -errno : -EIO;
	server->ids_end = lock.next_id;
	return 0;
}

/* A new key if there is none, or if all ids were used with it. */
static int read_lock(struct server *server)
{
	struct lock lock;
	ssize_t n = pread(server->lock_fd, &lock, sizeof(lock), 0);

	if (n < 0)
		return -errno;
	if (n != (ssize_t)sizeof(lock) || lock.next_id > ID_MAX) {
		lock.next_id = 1;
		if (getrandom(&lock.key, sizeof(lock.key), 0) !=
		    (ssize_t)sizeof(lock.key))
			return -EIO;
	}
	server->seal_key = lock.key;
	server->next_session = server->next_queue = lock.next_id;
	return reserve_ids(server, lock.next_id);
}

uint64_t spawn_fresh_id(struct server *server, const struct idmap *map,
			uint64_t *next)
{
	uint64_t id = idmap_fresh(map, *next);
	int ret = id < server->ids_end ? 0 : reserve_ids(server, id);

	if (ret)
		log_err("%s/lock: %s", server->engines_dir, strerror(-ret));
	*next = id + 1;
	return id;
}

static int lock_dir(struct server *server)
{
	int fd = openat(server->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC,
			0600);
	struct stat st;
	int ret;

	if (fd < 0)
		return -errno;
	ret = flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &st) ? -errno : 0;
	/* Locked, but its last owner has removed it on the way out. */
	if (!ret && !st.st_nlink)
		ret = -ESTALE;
	if (ret) {
		close(fd);
		return ret;
	}
	server->lock_fd = fd;
	return read_lock(server);
}

int spawn_open_dir(struct server *server)
{
	const char *socket = server->config.socket;
	const char *slash = strrchr(socket, '/');
	struct stat st;
	int ret;

	snprintf(server->engines_dir, sizeof(server->engines_dir),
		 "%.*s/engines-%s", (int)(slash - socket), socket, slash + 1);
	if (mkdir(server->engines_dir, 0700) && errno != EEXIST)
		goto fail;
	server->dir_fd = open(server->engines_dir,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (server->dir_fd < 0 || fstat(server->dir_fd, &st))
		goto fail;
	if (st.st_uid != server->uid || st.st_mode & 077) {
		log_err("%s belongs to uid %u with mode %04o, expected uid %u "
			"and mode 0700",
			server->engines_dir, st.st_uid, st.st_mode & 07777,
			server->uid);
		return -EPERM;
	}
	ret = lock_dir(server);
	if (ret == -EWOULDBLOCK) {
		log_err("another sharqd serves %s already", socket);
		ret = -EADDRINUSE;
	} else if (ret) {
		log_err("%s/lock: %s", server->engines_dir, strerror(-ret));
	}
	return ret;
fail:
	ret = -errno;
	log_err("can't use the directory %s for the engines' sockets: %s",
		server->engines_dir, strerror(-ret));
	return ret;
}

void spawn_remove_dir(struct server *server)
{
	unlinkat(server->dir_fd, "lock", 0);
	rmdir(server->engines_dir);
}

/* By way of /proc: the directory's own path may be too long for a socket. */
static void engine_address(const struct server *server, uid_t uid,
			   struct sockaddr_un *addr)
{
	addr->sun_family = AF_UNIX;
	snprintf(addr->sun_path, sizeof(addr->sun_path),
		 "/proc/self/fd/%d/engine-%u.sock", server->dir_fd, uid);
}

void spawn_unlink(struct server *server, uid_t uid)
{
	char name[32];

	snprintf(name, sizeof(name), "engine-%u.sock", uid);
	unlinkat(server->dir_fd, name, 0);
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);

	return fd < 0 ? -errno : fd;
}

int spawn_connect(struct server *server, uid_t uid, int *out)
{
	struct sockaddr_un addr;
	int sock = new_socket();

	if (sock < 0)
		return sock;
	engine_address(server, uid, &addr);
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		int ret = -errno;

		close(sock);
		return ret;
	}
	*out = sock;
	return 0;
}

static int listen_for(struct server *server, uid_t uid)
{
	struct sockaddr_un addr;
	int sock = new_socket();

	if (sock < 0)
		return sock;
	spawn_unlink(server, uid);
	engine_address(server, uid, &addr);
	if (bind(sock, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(sock, 4)) {
		int ret = -errno;

		close(sock);
		return ret;
	}
	return sock;
}

/* Beside ourselves, as in a build tree, or where it was installed. */
static void engine_path(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n > 0) {
		path[n] = 0;
		slash = strrchr(path, '/');
		if (slash &&
		    (size_t)(slash - path) + sizeof("/" ENGINE_NAME) <= size) {
			strcpy(slash + 1, ENGINE_NAME);
			if (!access(path, X_OK))
				return;
		}
	}
	snprintf(path, size, "%s", SHARQ_LIBEXECDIR "/" ENGINE_NAME);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/*
 * Of what some user made, the child's copy may by now be the last: it may linger,
 * and not at this user's expense. An interrupted close doesn't.
 */
static int close_others(void)
{
	const struct sigaction hurry = { .sa_handler = on_alarm };
	int ret;

	sigaction(SIGALRM, &hurry, NULL);
	ualarm(1000, 1000);
	ret = close_range(LISTEN_FD + 1, ~0U, 0);
	ualarm(0, 0);
	return ret;
}

/* In the child. The two may stand where the other has to go: move both. */
static void become_engine(const char *path, const char *uid, const char *gid,
			  int control, int listener)
{
	int c = fcntl(control, F_DUPFD, LISTEN_FD + 1);
	int l = fcntl(listener, F_DUPFD, LISTEN_FD + 1);

	/* A terminal's ^C is for the daemon, which then stops its engines. */
	setsid();
	if (c < 0 || l < 0 || dup2(c, CONTROL_FD) < 0 ||
	    dup2(l, LISTEN_FD) < 0 || close_others())
		_exit(126);
	execl(path, ENGINE_NAME, "--uid", uid, "--gid", gid, (char *)NULL);
	dprintf(STDERR_FILENO, "sharqd: can't run %s: %s\n", path,
		strerror(errno));
	_exit(127);
}

static int fork_engine(struct engine *e, int control, int listener, int *pidfd)
{
	char path[4096], uid[16], gid[16];
	pid_t pid;

	engine_path(path, sizeof(path));
	snprintf(uid, sizeof(uid), "%u", engine_uid(e->user));
	snprintf(gid, sizeof(gid), "%u", engine_gid(e->user));
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		become_engine(path, uid, gid, control, listener);
	*pidfd = pidfd_open(pid, 0);
	if (*pidfd < 0) {
		int ret = -errno;

		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return ret;
	}
	e->pid = pid;
	return 0;
}

int spawn_engine(struct engine *e, int *sock, int *pidfd)
{
	struct server *server = e->user->server;
	int listener, ends[2];
	int ret;

	listener = listen_for(server, e->user->uid);
	if (listener < 0)
		return listener;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		ret = -errno;
		close(listener);
		return ret;
	}
	ret = evutil_make_socket_nonblocking(ends[0]) ? -errno : 0;
	if (!ret)
		ret = fork_engine(e, ends[1], listener, pidfd);
	close(listener);
	close(ends[1]);
	if (ret)
		close(ends[0]);
	else
		*sock = ends[0];
	return ret;
}
