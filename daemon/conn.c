// SPDX-License-Identifier: MIT
/*
 * Connections: who the peer is, what comes in, what goes out. A peer that
 * breaks the rules loses its own connection.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "server.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

int peer_pidfd(int sock, pid_t pid)
{
	socklen_t len = sizeof(int);
	int fd;

	if (!getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &fd, &len))
		return fd;
	/* Before 6.5. By number: good for noticing the end, for no grant. */
	return pid > 0 ? pidfd_open(pid, 0) : -1;
}

void conn_doom(struct conn *conn, const char *why)
{
	struct server *server = conn->server;

	if (conn->doomed)
		return;
	if (why) {
		server->peers_dropped++;
		conn->user->peers_dropped++;
		if (user_may_log(conn->user))
			log_notice("connection of uid %u, pid %d ended: %s",
				   conn->user->uid, conn->pid, why);
	}
	conn->doomed = true;
	event_del(conn->read);
	event_del(conn->hello);
	event_del(conn->out.write);
	server_reap_later(server);
}

void conn_send(struct conn *conn, const Sharq__Pb__ServerMessage *msg,
	       const int *fds, unsigned int nfds)
{
	int ret;

	if (conn->doomed)
		return;
	ret = outq_send(&conn->out, &msg->base, fds, nfds);
	if (ret == -EPIPE || ret == -ECONNRESET)
		conn_doom(conn, NULL);
	else if (ret)
		conn_doom(conn, strerror(-ret));
	else if (conn->out.bytes > CONN_OUT_MAX ||
		 conn->out.fds > CONN_OUT_FDS_MAX)
		conn_doom(conn, "it doesn't read its replies");
}

void conn_reply(struct conn *conn, Sharq__Pb__Reply *reply, const int *fds,
		unsigned int nfds)
{
	Sharq__Pb__ServerMessage msg = SHARQ__PB__SERVER_MESSAGE__INIT;

	msg.body_case = SHARQ__PB__SERVER_MESSAGE__BODY_REPLY;
	msg.reply = reply;
	conn_send(conn, &msg, fds, nfds);
	/* 0: said without having been asked. */
	if (!reply->id || !conn->unanswered)
		return;
	if (conn->unanswered-- == CONN_UNANSWERED_MAX && !conn->doomed &&
	    event_add(conn->read, NULL))
		conn_doom(conn, strerror(ENOMEM));
}

static void reply_code(struct conn *conn, uint64_t request, int code,
		       const char *text)
{
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;

	reply.id = request;
	reply.code = code;
	reply.text = code ? (char *)text : NULL;
	conn_reply(conn, &reply, NULL, 0);
}

void conn_error(struct conn *conn, uint64_t request, int code, const char *fmt,
		...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_code(conn, request, code, text);
}

struct conn *conn_find(struct server *server, uint64_t id)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &server->conns, link)
	if (conn->id == id)
		return conn->doomed ? NULL : conn;
	return NULL;
}

void answer_reply(struct server *server, struct answer *answer,
		  Sharq__Pb__Reply *reply, const int *fds, unsigned int nfds)
{
	struct conn *conn = answer->conn ? conn_find(server, answer->conn)
					 : NULL;

	reply->id = answer->request;
	*answer = (struct answer){ 0 };
	if (conn)
		conn_reply(conn, reply, fds, nfds);
}

void answer_code(struct server *server, struct answer *answer, int code,
		 const char *text)
{
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;

	reply.code = code;
	reply.text = code ? (char *)text : NULL;
	answer_reply(server, answer, &reply, NULL, 0);
}

/* One: the others get their turn, however fast this one talks. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	struct sharq_frame *frame = &conn->server->frame;
	const char *why = NULL;
	Sharq__Pb__Request *req;
	int ret;

	(void)fd;
	(void)what;
	ret = sharq_frame_recv(conn->sock, frame, 0, true, &why);
	if (ret == -EAGAIN || ret == -EINTR)
		return;
	if (ret == -EPIPE || ret == -ECONNRESET) {
		conn_doom(conn, NULL);
		return;
	}
	if (ret) {
		why = why ? why : strerror(-ret);
		conn_error(conn, 0, ret, "%s", why);
		conn_doom(conn, why);
		return;
	}
	req = sharq__pb__request__unpack(NULL, frame->body_len, frame->body);
	if (!req) {
		why = "the packet doesn't hold a request of sharq.proto";
		conn_error(conn, 0, -EPROTO, "%s", why);
		conn_doom(conn, why);
		return;
	}
	/* Before: the answer may come at once, and have it read on. */
	if (++conn->unanswered == CONN_UNANSWERED_MAX)
		event_del(conn->read);
	request_handle(conn, req);
	sharq__pb__request__free_unpacked(req, NULL);
}

static void on_no_hello(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	conn_error(conn, 0, -ETIMEDOUT, "no hello within %d s of connecting",
		   CONN_HELLO_SECONDS);
	conn_doom(conn, "it said no hello");
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct conn *conn = arg;
	int ret;

	(void)fd;
	(void)what;
	ret = outq_flush(&conn->out);
	if (ret)
		conn_doom(conn, ret == -EPIPE || ret == -ECONNRESET
					? NULL
					: strerror(-ret));
	else
		event_caught_up(conn);
}

/* Say why, in a reply to nothing, to a peer that gets no connection. */
static int refuse(int sock, int code, const char *fmt, unsigned int limit)
{
	Sharq__Pb__ServerMessage msg = SHARQ__PB__SERVER_MESSAGE__INIT;
	Sharq__Pb__Reply reply = SHARQ__PB__REPLY__INIT;
	char text[160];

	snprintf(text, sizeof(text), "%s: the limit is %u", fmt, limit);
	reply.code = code;
	reply.text = text;
	msg.body_case = SHARQ__PB__SERVER_MESSAGE__BODY_REPLY;
	msg.reply = &reply;
	sharq_frame_send_msg(sock, &msg.base, NULL, 0, true);
	return code;
}

static int check_limits(struct server *server, struct user *user, int sock)
{
	const struct config *c = &server->config;

	if (server->conn_count >= c->clients)
		return refuse(sock, -EUSERS, "sharqd has too many clients",
			      c->clients);
	if (closer_count(user->closer) >= USER_CLOSING_MAX)
		return refuse(sock, -EDQUOT,
			      "too much that your user sent to sharqd can't be "
			      "closed",
			      USER_CLOSING_MAX);
	if (user->ending >= c->clients_per_user)
		return refuse(
			sock, -EDQUOT,
			"too many clients of your user's are gone and not "
			"yet done with",
			c->clients_per_user);
	if (user->conns >= c->clients_per_user)
		return refuse(sock, -EDQUOT,
			      "your user has too many connections to sharqd",
			      c->clients_per_user);
	return 0;
}

static int watch(struct conn *conn)
{
	const struct timeval hello = { .tv_sec = CONN_HELLO_SECONDS };
	struct event_base *base = conn->server->base;

	conn->read = event_new(base, conn->sock, EV_READ | EV_PERSIST,
			       on_readable, conn);
	conn->hello = evtimer_new(base, on_no_hello, conn);
	if (!conn->read || !conn->hello ||
	    outq_init(&conn->out, base, conn->sock, conn->user->closer,
		      on_writable, conn) ||
	    event_add(conn->read, NULL) || event_add(conn->hello, &hello))
		return -ENOMEM;
	return 0;
}

static void unwatch(struct conn *conn)
{
	if (conn->read)
		event_free(conn->read);
	if (conn->hello)
		event_free(conn->hello);
	outq_fini(&conn->out);
}

int conn_new(struct server *server, int sock)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct user *user;
	struct conn *conn;
	int ret;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		ret = -errno;
	else
		ret = user_get(server, cred.uid, &user);
	if (ret) {
		close(sock);
		return ret;
	}
	ret = check_limits(server, user, sock);
	conn = ret ? NULL : calloc(1, sizeof(*conn));
	if (!conn) {
		closer_close_socket(user->closer, sock);
		return ret ? ret : -ENOMEM;
	}
	conn->server = server;
	conn->sock = sock;
	conn->user = user;
	ret = watch(conn);
	if (ret) {
		unwatch(conn);
		closer_close_socket(user->closer, sock);
		free(conn);
		return ret;
	}
	user->gid = cred.gid;
	user->conns++;
	conn->id = server->next_conn++;
	conn->pid = cred.pid;
	conn->pidfd = peer_pidfd(sock, cred.pid);
	TAILQ_INSERT_TAIL(&server->conns, conn, link);
	server->conn_count++;
	return 0;
}

struct conn *conn_free(struct conn *conn)
{
	struct server *server = conn->server;

	TAILQ_REMOVE(&server->conns, conn, link);
	server->conn_count--;
	server->subscribers -= conn->subscribed;
	conn->user->conns--;
	unwatch(conn);
	if (conn->pidfd >= 0)
		close(conn->pidfd);
	if (conn->session)
		session_end(conn->session);
	/* Last: a peer that sees the end may count on the rest. */
	closer_close_socket(conn->user->closer, conn->sock);
	free(conn);
	return NULL;
}
