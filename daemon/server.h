/* SPDX-License-Identifier: MIT */
/*
 * sharqd's objects and how they hold each other. One thread has them: no locks.
 *
 *   server -> users -> sessions -> regions, queues
 *                   -> engine
 *          -> conns -> session (the one that the connection speaks for)
 *          -> module -> queues (those that the kernel has)
 *
 * Of embedded queues, the daemon's objects are what is wanted; an engine is
 * told of them when it is running and again by its successor when it died.
 * Of the module's queues they are what was last heard: such a queue lives as
 * long as its file, which is the client's alone.
 *
 * Nothing is freed under a caller's feet: a connection or an engine that must
 * go is marked, and freed from the event loop.
 *
 * Nor does the one thread close what a client or an engine may have made: that is
 * for their user's closer, which knows nothing of all this.
 */
#ifndef SHARQD_SERVER_H
#define SHARQD_SERVER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "closer.h"
#include "config.h"
#include "device.h"
#include "engine.pb-c.h"
#include "engine/journal.h"
#include "frame.h"
#include "idmap.h"
#include "module.h"
#include "outq.h"
#include "seal.h"
#include "sharq.pb-c.h"

/* The embedded engine's; the module's devices follow. */
#define DEVICE_EMBEDDED 1
#define DEVICES_MAX 64
#define PROGRAM_MAX 64
/* A connection that lets more than this wait for it is ended. */
#define CONN_OUT_MAX (256 * 1024)
#define CONN_OUT_FDS_MAX 64
/* Beyond this, a subscriber loses events instead. */
#define CONN_EVENTS_MAX (64 * 1024)
/* So many requests may wait for an engine before more are read. */
#define CONN_UNANSWERED_MAX 64
#define CONN_HELLO_SECONDS 5

/*
 * What queues have done. @module: more of it, of the module's queues, if
 * @has_module; of a sum no times.
 */
struct figures {
	struct sharq_journal_stats stats;
	uint64_t in_flight;
	bool has_module;
	struct sharq_ctl_stats module;
};

/*
 * So many descriptors of a user's may wait to be closed; then nothing new is served.
 * Beyond twice as many, which are of connections that were refused, no close may
 * linger.
 */
#define USER_CLOSING_MAX 1024

/* What became of queues that ended. */
struct ended {
	struct figures sum;
	uint64_t queues;
};

struct user {
	LIST_ENTRY(user) link;
	struct server *server;
	uid_t uid;
	gid_t gid; /* of the latest connection: what its engine runs as */
	LIST_HEAD(, session) sessions;
	struct engine *engine; /* NULL until one was needed */
	struct closer *closer;
	unsigned int conns;
	unsigned int session_count;
	unsigned int ending; /* sessions that their clients have left */
	unsigned int queues;
	uint64_t arena;
	struct ended ended;
	uint64_t engine_deaths;
	uint64_t peers_dropped;
	uint64_t notices_since_ms;
	unsigned int notices; /* see user_may_log() */
};

/* Whom to answer when something asynchronous is done. conn 0: nobody. */
struct answer {
	uint64_t conn;
	uint64_t request;
};

/*
 * @session: NULL until Hello
 * @doomed:  to be freed by the reaper; nothing is read or written any more
 * @lost:    a subscriber that missed events
 */
struct conn {
	TAILQ_ENTRY(conn) link;
	struct server *server;
	uint64_t id;
	int sock;
	int pidfd; /* -1 where the kernel gave none */
	pid_t pid;
	struct user *user;
	struct session *session;
	struct event *read;
	struct event *hello; /* the deadline for it */
	struct outq out;
	unsigned int unanswered; /* requests; each gets one reply */
	bool subscribed;
	bool lost;
	bool doomed;
};

/*
 * struct session - what a client owns
 *
 * Outlives its connection across daemons, and as long as the module has queues
 * of it.
 *
 * @conn:     NULL: adopted, or ending
 * @attached: has, or had, something for an engine
 * @ending:   its connection is gone: nobody can go on with it
 */
struct session {
	LIST_ENTRY(session) link;
	struct user *user;
	struct conn *conn;
	uint64_t id;
	uint64_t token;
	pid_t pid;
	int pidfd;
	char program[PROGRAM_MAX + 1];
	uint64_t born_ms;
	LIST_HEAD(, region) regions;
	LIST_HEAD(, queue) queues;
	unsigned int region_count;
	bool attached;
	bool ending;
};

struct region {
	LIST_ENTRY(region) link;
	struct session *session;
	uint64_t id;
	uint64_t base;
	uint64_t size;
	int fd;
	bool removing;
	bool uncounted;	       /* no quota has it any more */
	bool adopted;	       /* its client may not have heard of it */
	struct answer created; /* who waits for the engine to have it */
};

/*
 * struct provider - how queues of one kind are made, controlled and ended
 * @create:   on a device and path that were chosen; answers, or returns -errno
 * @destroy:  its client doesn't want it any more; answers, perhaps later
 * @control:  likewise
 * @state:    as it is now
 * @describe: fill in path, state, reason, engine_pid
 * @figures:  0 or -errno
 */
struct provider {
	int (*create)(struct session *session, const struct device *device,
		      Sharq__Pb__Path path, uint32_t depth,
		      const struct answer *answer);
	void (*destroy)(struct queue *q, const struct answer *answer);
	void (*control)(struct queue *q, Sharq__Pb__QueueAction action,
			const struct answer *answer);
	Sharq__Pb__QueueState (*state)(const struct queue *q);
	void (*describe)(const struct queue *q, Sharq__Pb__Queue *to);
	int (*figures)(const struct queue *q, struct figures *f);
};

extern const struct provider provider_embedded, provider_module;

/*
 * @module_id: the module's own id of it
 * Embedded queues only:
 * @rings, @journal, @engine_end: for the engine and its successors
 * @client_end: for the client; -1 once it was handed over
 */
struct queue {
	LIST_ENTRY(queue) link;
	struct session *session;
	const struct provider *provider;
	uint64_t id;
	uint64_t module_id;
	uint32_t device;
	uint32_t depth;
	int rings;
	int journal;
	int engine_end;
	int client_end;
	Sharq__Pb__QueueState state;
	uint64_t born_ms;
	bool removing;
	struct answer created;
};

/*
 * @dir_fd:    directory of the engines' sockets; the lock is in it
 * @reaper:    frees what is doomed, from the event loop
 * @module:    NULL: not there, or not to be used
 * @note:      what serves, and why not the better
 */
struct server {
	struct event_base *base;
	struct config config;
	struct sharq_frame frame; /* what is being received */
	char engines_dir[CONFIG_SOCKET_MAX + 16];
	int dir_fd;
	int lock_fd;
	struct seal_key seal_key; /* what the lock has in it */
	uint64_t ids_end;	  /* and up to where it has ids as given */
	int listen_fd;
	bool listen_inherited;
	struct event *accept;
	struct event *accept_retry;
	bool accept_failed; /* and was logged */
	struct event *reaper;
	uid_t uid;
	bool root;
	bool stopping;
	bool leaving;	       /* nobody is to notice: engines may go on */
	void (*ready)(void);   /* connections are accepted from now on */
	uid_t root_engine_uid; /* whom root's own engine runs as */
	gid_t root_engine_gid;

	struct module *module;
	char note[256];

	LIST_HEAD(, user) users;
	TAILQ_HEAD(, conn) conns;
	unsigned int conn_count;
	unsigned int adopting;
	unsigned int subscribers;
	struct idmap sessions;
	struct idmap queues;
	uint64_t next_conn;
	uint64_t next_session;
	uint64_t next_queue;
	uint64_t next_region;

	struct ended ended;
	uint64_t engine_deaths;
	uint64_t peers_dropped;
	uint64_t started_ms;
};

/* ---- server.c ---- */

int server_new(struct server **out, const struct config *config,
	       struct event_base *base);
struct server *server_free(struct server *server);
/* Listen at config.socket, or on @inherited (-1: none). Errors are logged. */
int server_listen(struct server *server, int inherited);
/* Begin to accept, once what earlier engines hold is known. */
int server_accept_start(struct server *server);
/* Accept no more and let go of the socket's name. */
void server_accept_stop(struct server *server);
/* End the loop if the daemon is stopping and no engine is left. */
void server_check_stopped(struct server *server);
void server_reap_later(struct server *server);
uint64_t now_ms(void); /* CLOCK_MONOTONIC: while suspended nobody hangs */

int user_get(struct server *server, uid_t uid, struct user **out);
/*
 * May a line be logged of what @user's programs do, as often as they like? Of what
 * may not, it is said later how much it was.
 */
bool user_may_log(struct user *user);
/* Free users that nothing refers to. */
void users_trim(struct server *server);

/* ---- conn.c ---- */

/* Of whom the socket is connected with, @pid by number; -1: there is none. */
int peer_pidfd(int sock, pid_t pid);
/* @sock is the connection's even if it fails. */
int conn_new(struct server *server, int sock);
struct conn *conn_free(struct conn *conn);
struct conn *conn_find(struct server *server, uint64_t id);
/* Mark for the reaper. @why: NULL for an orderly end, else it misbehaved. */
void conn_doom(struct conn *conn, const char *why);
void conn_send(struct conn *conn, const Sharq__Pb__ServerMessage *msg,
	       const int *fds, unsigned int nfds);
void conn_reply(struct conn *conn, Sharq__Pb__Reply *reply, const int *fds,
		unsigned int nfds);
/* An error in words. @request 0: about none in particular. */
void conn_error(struct conn *conn, uint64_t request, int code, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));
/* Answer whoever waits, if they still do, and forget them. */
void answer_code(struct server *server, struct answer *answer, int code,
		 const char *text);
void answer_reply(struct server *server, struct answer *answer,
		  Sharq__Pb__Reply *reply, const int *fds, unsigned int nfds);

/* ---- session.c ---- */

int session_new(struct user *user, struct session **out, uint64_t id);
struct session *session_free(struct session *session);
/* Its client is gone: tell the engine, then go on with session_gone(). */
void session_end(struct session *session);
/* No engine has anything of it any more. Frees it, unless the module has. */
void session_gone(struct session *session);
/* Free it if nobody can come back to it and nothing of it is left. */
void session_put(struct session *session);
int region_new(struct session *session, struct region **out, uint64_t id,
	       uint64_t base, uint64_t size, int fd);
struct region *region_free(struct region *region);
/* Its client has let go of it; the engine may still have to. */
void region_uncount(struct region *region);
struct region *region_find(struct session *session, uint64_t id);

/* ---- queue.c ---- */

int queue_new(struct session *session, const struct provider *provider,
	      uint64_t id, uint32_t depth, struct queue **out);
struct queue *queue_free(struct queue *queue);
/* Count what it did among what the queues that ended did. */
void queue_account(const struct queue *queue, const struct figures *last);
void queue_set_state(struct queue *queue, Sharq__Pb__QueueState state);
void figures_add(struct figures *sum, const struct figures *more);

/* ---- embedded.c ---- */

/* Have an engine started that will learn of the session when it is up. */
int embedded_attach(struct session *session);
/* Take over a queue that an engine has; owns @fds if it succeeds. */
int embedded_adopt(struct session *session, uint64_t id, uint32_t depth,
		   const int fds[3], struct queue **out);
/* Its engine took it over: did that put it out of service? */
void embedded_refresh_state(struct queue *queue);
uint32_t embedded_ring_bytes(uint32_t depth);
int memfd_sealed(const char *name, uint64_t size, int *out);
/* Is it, whoever made it, a memfd of this size that stays so? */
bool memfd_fits(int fd, uint64_t size);

/* ---- devices.c ---- */

/* Return: how many there are now, of at most DEVICES_MAX. */
unsigned int devices_list(const struct server *server, struct device *list);
/* Why an embedded queue has no better path. */
const char *embedded_note(const struct server *server);

/* ---- requests.c, lists.c ---- */

void request_handle(struct conn *conn, const Sharq__Pb__Request *req);
/* May @session have such a region there? 0, or -errno and @err says why not. */
int region_check_place(const struct session *session, uint64_t address,
		       uint64_t size, char *err, size_t len);
/* And one more of that size, with so many @regions and bytes of @arena at most? */
int region_check_quota(const struct session *session, uint64_t size,
		       unsigned int regions, uint64_t arena, char *err,
		       size_t len);
/* Whoever chose it, people read it: printable, and no longer than it may. */
void copy_program(char to[PROGRAM_MAX + 1], const char *from);
bool conn_may_see(const struct conn *conn, const struct user *user);
/* A queue that @conn's user may see, or NULL and the error was sent. */
struct queue *request_queue(struct conn *conn, uint64_t request, uint64_t id);
/* How many queues @user may still make. */
uint64_t user_queues_free(const struct user *user);
void lists_devices(struct conn *conn, const Sharq__Pb__Request *req);
void lists_queues(struct conn *conn, const Sharq__Pb__Request *req);
void lists_clients(struct conn *conn, const Sharq__Pb__Request *req);
void lists_stats(struct conn *conn, const Sharq__Pb__Request *req);

/* ---- events.c ---- */

/* Tell subscribers who may know. @user: whose; @queue, @session: 0 if none. */
void event_emit(struct user *user, Sharq__Pb__EventKind kind, uint64_t queue,
		uint64_t session, const char *text);
void event_queue_state(const struct queue *queue);
/* Room again: say that some are missing, if some are. */
void event_caught_up(struct conn *conn);

#endif /* SHARQD_SERVER_H */
