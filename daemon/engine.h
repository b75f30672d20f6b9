/* SPDX-License-Identifier: MIT */
/*
 * An engine process of one user: started, talked to, replaced when it dies,
 * stopped when nobody needs it, adopted when it outlived its daemon.
 */
#ifndef SHARQD_ENGINE_H
#define SHARQD_ENGINE_H

#include "server.h"

enum engine_state {
	ENGINE_DOWN,	 /* no process; perhaps a restart is due */
	ENGINE_STARTING, /* has not yet answered Start */
	ENGINE_ADOPTING, /* has not yet told us all it holds */
	ENGINE_RUNNING,
	ENGINE_STOPPING, /* was told to finish */
	ENGINE_DYING,	 /* killed, not yet dead */
};

/* No packet for so long with a request waiting: the engine hangs. */
#define ENGINE_HUNG_MS 5000
/* An engine that nobody uses is kept for so long. */
#define ENGINE_IDLE_MS 5000
/* So many deaths within the window are answered at once, then it waits. */
#define ENGINE_DEATHS 5
#define ENGINE_DEATHS_WINDOW_MS 10000
#define ENGINE_BACKOFF_MS 1000

struct engine;
struct call;

/*
 * What to do when a request to an engine is answered, or when the engine died
 * before (@code -ECONNRESET). The engine may be in any state.
 */
typedef void (*call_fn)(struct engine *engine, struct call *call, int code,
			const char *text);

/*
 * @object:  id of what the call is about
 * @answer:  whose request caused it
 * @soft_ms: not zero: take this long at most, then -ETIMEDOUT, and don't
 *           take the engine for hung
 */
struct call {
	TAILQ_ENTRY(call) link;
	uint64_t id;
	call_fn done;
	uint64_t object;
	uint64_t session;
	Sharq__Engine__Action action;
	struct answer answer;
	uint64_t sent_ms;
	uint64_t soft_ms;
};

struct engine {
	struct user *user;
	enum engine_state state;
	pid_t pid;
	int pidfd;
	int sock;
	uint32_t max_transfer;
	struct event *read;
	struct event *exited; /* on pidfd */
	struct event *timer;  /* the earliest of the deadlines */
	struct event *later;  /* restart, or stop for idleness */
	struct outq out;
	TAILQ_HEAD(, call) calls;
	uint64_t next_call;
	uint64_t heard_ms;
	uint64_t stop_by_ms; /* STOPPING, ADOPTING: kill it then */
	uint64_t deaths[ENGINE_DEATHS];
	unsigned int death_count;
	bool told_to_stop; /* its end is no death */
	bool fresh;	   /* has never answered */
};

/* ---- engine.c: life and death ---- */

/* The user's engine, started if need be. */
int engine_need(struct user *user);
struct engine *engine_free(struct engine *engine);
int engine_new(struct user *user);
/* Does the engine's process take requests about sessions now? */
bool engine_running(const struct user *user);
/* Is there a process that may still use what it was given? */
bool engine_holds(const struct user *user);
/* SIGKILL; what follows happens when it is dead. */
void engine_kill(struct engine *engine, const char *why);
/* Finish within @drain_ms, then exit. */
void engine_stop(struct engine *engine, unsigned int drain_ms);
/* Stop it by and by if nobody needs it. */
void engine_check_idle(struct user *user);
/* It is down, and how often it died lately doesn't matter any more. */
bool engine_forgettable(const struct engine *e);
/* It serves. @replay: it knows nothing yet, give it what is wanted. */
void engine_up(struct engine *engine, bool replay);
/* Talk over @sock, which is the engine's even if it fails. */
int engine_watch(struct engine *engine, int sock);
/* Notice the end of a process; @pidfd is the engine's even if it fails. */
int engine_watch_pid(struct engine *engine, int pidfd);
/* Its process is no more, or can't be known: what next? */
void engine_ended(struct engine *engine, const char *how);
uid_t engine_uid(const struct user *user);
gid_t engine_gid(const struct user *user);

/* ---- channel.c: the control protocol ---- */

void channel_readable(evutil_socket_t fd, short what, void *arg);
void channel_writable(evutil_socket_t fd, short what, void *arg);
void channel_timer(evutil_socket_t fd, short what, void *arg);
void channel_arm(struct engine *engine);
/* End every call with @code. */
void channel_fail_calls(struct engine *engine, int code, const char *text);
void channel_start(struct engine *engine);
void channel_shutdown(struct engine *engine, unsigned int drain_ms);
void channel_adopt(struct engine *engine);

/* What is wanted: said now if the engine runs, else when it does. */
void channel_session_add(struct session *session);
void channel_region_add(struct region *region);
void channel_queue_add(struct queue *queue);
/* Return: false if the engine has none of it, and no answer will come. */
bool channel_session_remove(struct session *session);
bool channel_region_remove(struct region *region, const struct answer *answer);
bool channel_queue_remove(struct queue *queue, const struct answer *answer);
void channel_queue_control(struct queue *queue, Sharq__Engine__Action action,
			   const struct answer *answer);

/* ---- adopt.c: engines that outlived their daemon ---- */

/* Connect to those that answer; the rest happens in the loop. */
int adopt_scan(struct server *server);
void adopt_hello(struct engine *engine, const Sharq__Engine__Hello *hello);
void adopt_one(struct engine *engine, const Sharq__Engine__Adopted *adopted);
/* Adoption ended, well or not. */
void adopt_finished(struct engine *engine);

/* ---- spawn.c: sockets and processes ---- */

/* Open and lock the directory of the engines' sockets. Errors are logged. */
int spawn_open_dir(struct server *server);
/* Remove it again, if no engine is left in it. */
void spawn_remove_dir(struct server *server);
/*
 * An id from *@next on that isn't in the map, and that no sharqd gave before with
 * the key: what has a seal of an id had the id itself. Moves *@next.
 */
uint64_t spawn_fresh_id(struct server *server, const struct idmap *map,
			uint64_t *next);
/* Start a process; @sock and @pidfd are the caller's. */
int spawn_engine(struct engine *engine, int *sock, int *pidfd);
void spawn_unlink(struct server *server, uid_t uid);
int spawn_connect(struct server *server, uid_t uid, int *sock);

#endif /* SHARQD_ENGINE_H */
