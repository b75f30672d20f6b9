// SPDX-License-Identifier: MIT
/*
 * Engines that outlived their daemon. What they say is checked: an engine runs
 * as its user and may be in the hands of its user. But what was within the limits
 * of the last daemon stays when those of this one are lower: nothing new is had
 * above them, and here only what no limit ever allowed is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"
#include "info.pb-c.h"
#include "log.h"

/*
 * Is it a pidfd? Asked in a way that waits for no file's server. @pid: what it stands
 * for, -1 if that is no more.
 */
static bool is_pidfd(int pidfd, pid_t *pid)
{
	char path[64], line[256];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "Pid: %d", pid) == 1;
	fclose(f);
	return found;
}

/*
 * Does the process belong to the user that the engine ran for? We are about to
 * take a pidfd from it that we may send SIGKILL to. And by what group, which the
 * next engine is to have, too: of that nobody's word will do.
 */
static bool pidfd_is_of(int pidfd, uid_t uid, pid_t *pid, gid_t *gid)
{
	unsigned int real_uid, real_gid;
	char path[64], line[256];
	int found = 0;
	FILE *f;

	if (!is_pidfd(pidfd, pid) || *pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/status", *pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (found < 2 && fgets(line, sizeof(line), f))
		found += sscanf(line, "Uid: %u", &real_uid) == 1 ||
			 sscanf(line, "Gid: %u", &real_gid) == 1;
	fclose(f);
	if (found < 2 || real_uid != uid)
		return false;
	*gid = real_gid;
	return true;
}

/*
 * The @n descriptors that came beside the message, or false. Those that turn out to be
 * something else than they should go to the user's closer.
 */
static bool take_fds(struct engine *e, int *fds, unsigned int n)
{
	struct sharq_frame *frame = &e->user->server->frame;

	if (frame->nfds != n)
		return false;
	memcpy(fds, frame->fds, n * sizeof(*fds));
	frame->nfds = 0;
	return true;
}

static int refuse_fds(struct engine *e, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		closer_close(e->user->closer, fds[i]);
	return -EPROTO;
}

void adopt_hello(struct engine *e, const Sharq__Engine__Hello *hello)
{
	pid_t pid;
	gid_t gid;
	int pidfd;

	/* One that we started is known already; and once is enough. */
	if (e->state != ENGINE_ADOPTING || !TAILQ_EMPTY(&e->calls))
		return;
	if (hello->version < SHARQ_PROTOCOL_MIN ||
	    hello->version > SHARQ_PROTOCOL_MAX ||
	    hello->uid != engine_uid(e->user) || !take_fds(e, &pidfd, 1)) {
		engine_kill(e, "its hello isn't that of an engine that this "
			       "sharqd can talk to");
		return;
	}
	if (!pidfd_is_of(pidfd, engine_uid(e->user), &pid, &gid) ||
	    (e->pidfd >= 0 && pid != e->pid)) {
		refuse_fds(e, &pidfd, 1);
		engine_kill(e, "the process that it names isn't its own");
		return;
	}
	if (e->pidfd >= 0) {
		close(pidfd);
	} else {
		e->pid = pid;
		if (engine_watch_pid(e, pidfd)) {
			engine_kill(e, "out of memory");
			return;
		}
	}
	e->user->gid = gid;
	channel_adopt(e);
}

static bool id_is_good(uint64_t id)
{
	return id && id <= ID_MAX;
}

/* The module may have had queues of it, and so be known already. */
static int get_session(struct user *user, uint64_t id, uint64_t token,
		       struct session **out)
{
	struct session *s = idmap_find(&user->server->sessions, id);

	if (!s)
		return session_new(user, out, id);
	*out = s;
	return s->user == user && s->token == token && !s->attached ? 0
								    : -EEXIST;
}

static int take_pidfd(struct engine *e, struct session *s)
{
	pid_t pid;
	int fd;

	if (s->pidfd >= 0 || !take_fds(e, &fd, 1))
		return -EPROTO;
	if (!is_pidfd(fd, &pid))
		return refuse_fds(e, &fd, 1);
	s->pidfd = fd;
	return 0;
}

static const char not_sealed[] = "it claims an id that no sharqd gave it";

static int adopt_session(struct engine *e, const Sharq__Engine__SessionAdd *m,
			 char *why, size_t size)
{
	struct server *server = e->user->server;
	/* Those that have a client, and those that were being done with. */
	const unsigned int max = 2 * CONFIG_CLIENTS_PER_USER_MAX;
	Sharqd__SessionInfo *info;
	struct session *s;
	int ret = -EPROTO;

	if (e->user->session_count >= max) {
		snprintf(why, size, "it has more than %u sessions", max);
		return -EDQUOT;
	}
	info = m->has_info ? sharqd__session_info__unpack(NULL, m->info.len,
							  m->info.data)
			   : NULL;
	if (!info)
		return -EPROTO;
	if (!info->has_seal ||
	    info->seal != seal_id(&server->seal_key, SEAL_SESSION, e->user->uid,
				  m->session))
		snprintf(why, size, "%s", not_sealed);
	else if (id_is_good(m->session) && info->uid == e->user->uid)
		ret = get_session(e->user, m->session, info->token, &s);
	if (!ret) {
		s->pid = info->pid;
		s->token = info->token;
		s->attached = true;
		copy_program(s->program, info->program);
		if (info->has_born_ms && info->born_ms < s->born_ms)
			s->born_ms = info->born_ms;
		if (info->has_max_transfer)
			e->max_transfer = info->max_transfer;
		if (server->frame.nfds)
			ret = take_pidfd(e, s);
	}
	sharqd__session_info__free_unpacked(info, NULL);
	return ret;
}

static struct session *session_of(struct engine *e, uint64_t id)
{
	struct session *s = idmap_find(&e->user->server->sessions, id);

	return s && s->user == e->user ? s : NULL;
}

static int adopt_region(struct engine *e, const Sharq__Engine__RegionAdd *m,
			char *why, size_t size)
{
	struct server *server = e->user->server;
	struct session *s = session_of(e, m->session);
	struct region *r;
	int fd, ret;

	if (!s || !id_is_good(m->region) || region_find(s, m->region))
		return -EPROTO;
	ret = region_check_place(s, m->address, m->size, why, size);
	if (!ret)
		ret = region_check_quota(s, m->size,
					 CONFIG_REGIONS_PER_CLIENT_MAX,
					 CONFIG_ARENA_PER_USER_MAX, why, size);
	if (ret)
		return ret;
	if (!take_fds(e, &fd, 1))
		return -EPROTO;
	if (!memfd_fits(fd, m->size))
		return refuse_fds(e, &fd, 1);
	ret = region_new(s, &r, m->region, m->address, m->size, fd);
	if (ret) {
		close(fd);
		return ret;
	}
	r->adopted = true;
	if (m->region >= server->next_region)
		server->next_region = m->region + 1;
	return 0;
}

/* @born_ms: when it was made. -EPROTO: the engine never had it from a sharqd. */
static int read_queue_info(struct engine *e, const Sharq__Engine__QueueAdd *m,
			   uint64_t *born_ms)
{
	Sharqd__QueueInfo *info;
	bool sealed;

	info = m->has_info ? sharqd__queue_info__unpack(NULL, m->info.len,
							m->info.data)
			   : NULL;
	if (!info)
		return -EPROTO;
	sealed = info->has_seal &&
		 info->seal == seal_id(&e->user->server->seal_key, SEAL_QUEUE,
				       e->user->uid, m->queue);
	*born_ms = info->has_born_ms ? info->born_ms : UINT64_MAX;
	sharqd__queue_info__free_unpacked(info, NULL);
	return sealed ? 0 : -EPROTO;
}

static int adopt_queue(struct engine *e, const Sharq__Engine__QueueAdd *m,
		       char *why, size_t size)
{
	struct session *s = session_of(e, m->session);
	uint64_t born_ms;
	struct queue *q;
	int fds[3], ret;

	if (!s || !id_is_good(m->queue))
		return -EPROTO;
	if (read_queue_info(e, m, &born_ms)) {
		snprintf(why, size, "%s", not_sealed);
		return -EPROTO;
	}
	if (e->user->queues >= CONFIG_QUEUES_PER_USER_MAX) {
		snprintf(why, size, "it has more than %u queues",
			 CONFIG_QUEUES_PER_USER_MAX);
		return -EDQUOT;
	}
	if (!take_fds(e, fds, 3))
		return -EPROTO;
	ret = embedded_adopt(s, m->queue, m->depth, fds, &q);
	if (ret) {
		refuse_fds(e, fds, 3);
		return ret;
	}
	if (m->has_paused && m->paused &&
	    q->state == SHARQ__PB__QUEUE_STATE__QUEUE_RUNNING)
		q->state = SHARQ__PB__QUEUE_STATE__QUEUE_PAUSED;
	if (born_ms < q->born_ms)
		q->born_ms = born_ms;
	return 0;
}

void adopt_one(struct engine *e, const Sharq__Engine__Adopted *m)
{
	char why[256] = "what it says of its queues makes no sense";
	int ret = -EPROTO;

	if (e->state == ENGINE_ADOPTING && m->session)
		ret = adopt_session(e, m->session, why, sizeof(why));
	else if (e->state == ENGINE_ADOPTING && m->region)
		ret = adopt_region(e, m->region, why, sizeof(why));
	else if (e->state == ENGINE_ADOPTING && m->queue)
		ret = adopt_queue(e, m->queue, why, sizeof(why));
	if (ret)
		engine_kill(e, why);
}

void adopt_finished(struct engine *e)
{
	struct server *server = e->user->server;

	if (--server->adopting || server->stopping)
		return;
	if (server_accept_start(server)) {
		log_err("out of memory");
		event_base_loopexit(server->base, NULL);
	}
}

/*
 * Whose socket it is the kernel says, before the engine says anything: enough to kill
 * one that then says nothing, or what isn't so. Of an engine of before it asked the
 * kernel to, we know no more than its hello.
 */
static int watch_listener(struct engine *e, int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	gid_t gid;
	pid_t pid;
	int pidfd;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    cred.uid != engine_uid(e->user))
		return 0;
	pidfd = peer_pidfd(sock, cred.pid);
	if (pidfd < 0)
		return 0;
	if (!pidfd_is_of(pidfd, cred.uid, &pid, &gid)) {
		close(pidfd);
		return 0;
	}
	e->pid = pid;
	return engine_watch_pid(e, pidfd);
}

static int adopt_uid(struct server *server, uid_t uid)
{
	struct engine *e;
	struct user *user;
	int sock, ret;

	ret = spawn_connect(server, uid, &sock);
	if (ret == -ECONNREFUSED) {
		spawn_unlink(server, uid);
		return 0;
	}
	if (ret) {
		log_warning("can't reach the engine of uid %u: %s", uid,
			    strerror(-ret));
		return 0;
	}
	ret = user_get(server, uid, &user);
	if (!ret)
		ret = engine_new(user);
	if (ret) {
		close(sock);
		return ret;
	}
	e = user->engine;
	e->state = ENGINE_ADOPTING;
	e->fresh = true;
	e->max_transfer = server->config.max_transfer;
	e->stop_by_ms = now_ms() + ENGINE_HUNG_MS;
	server->adopting++;
	ret = engine_watch(e, sock);
	if (!ret)
		ret = watch_listener(e, sock);
	if (!ret)
		channel_arm(e);
	return ret;
}

int adopt_scan(struct server *server)
{
	int fd =
		openat(server->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;
	int ret = 0;

	if (!dir) {
		ret = -errno;
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && (d = readdir(dir))) {
		unsigned int uid;
		char canonical[32];

		if (sscanf(d->d_name, "engine-%u.sock", &uid) != 1)
			continue;
		snprintf(canonical, sizeof(canonical), "engine-%u.sock", uid);
		if (!strcmp(canonical, d->d_name))
			ret = adopt_uid(server, uid);
	}
	closedir(dir);
	return ret;
}
