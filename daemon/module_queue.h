/* SPDX-License-Identifier: MIT */
/*
 * The kernel module's queues. sharqd is their controller: it makes them, hands
 * their files over, and hears what becomes of them. It keeps no copy of a file,
 * so that a queue's end is its client's end.
 */
#ifndef SHARQD_MODULE_QUEUE_H
#define SHARQD_MODULE_QUEUE_H

#include "server.h"

/* A queue that its client doesn't close is killed after so long. */
#define MODULE_DESTROY_MS 1000

struct module_wait;

/*
 * @queues:     by the module's ids
 * @waits:      what is looked at again with @tick
 * @stop_by_ms: stopping: kill what isn't done by then
 */
struct module {
	struct server *server;
	int fd;
	uint32_t max_depth;
	struct event *events;
	struct event *tick;
	struct idmap queues;
	TAILQ_HEAD(, module_wait) waits;
	uint64_t stop_by_ms;
	bool stopping;
	bool stopped;
};

/* ---- module_queue.c ---- */

/*
 * module_start - become the module's controller, take over its queues
 *
 * Sets server->note, whatever comes of it.
 * Return: 0, also when the embedded engine has to do; -errno and it was logged.
 */
int module_start(struct server *server);
/* Let go; the queues live on. NULL is fine. */
struct module *module_free(struct module *m);
/* Take in what has happened. Frees queues that ended. */
void module_catch_up(struct module *m);

/* ---- module_wait.c: what takes time ---- */

/* Answer when the queue has nothing in flight. */
void module_wait_drained(struct module *m, struct queue *q,
			 const struct answer *answer);
/* Answer when it has ended. */
void module_wait_ended(struct module *m, struct queue *q,
		       const struct answer *answer);
/* The queue has ended: answer who waits for it. */
void module_wait_over(struct module *m, uint64_t queue);
/* Pause all queues; kill them when nothing is in flight, at most @ms later. */
void module_stop(struct module *m, unsigned int ms);
void module_tick(evutil_socket_t fd, short what, void *arg);
void module_waits_free(struct module *m);

#endif /* SHARQD_MODULE_QUEUE_H */
