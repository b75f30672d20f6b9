/* SPDX-License-Identifier: MIT */
/*
 * A client made by hand: speaks the protocol and maps rings without libsharq,
 * so that it can do what the library never would.
 */
#ifndef SYSTEM_PEER_H
#define SYSTEM_PEER_H

#include "frame.h"
#include "harness.h"
#include "ring.h"
#include "sharq.pb-c.h"

struct peer {
	int sock;
	uint64_t next_id;
	uint64_t session;
	uint64_t token;
};

/* A bare connection that said nothing yet; -errno if refused. Sends and
 * receives on it end after 10 s. */
int peer_socket(const char *socket);
/* Connect and say hello; false if no daemon serves. */
bool peer_try(struct peer *p, const char *socket);
void peer_open(struct peer *p, const char *socket);
void peer_close(struct peer *p);

/* A packet, with at most 64 descriptors beside it. */
void peer_send_fds(int sock, const void *data, size_t len, const int *fds,
		   unsigned int n);

/* Is the connection ended by the other side within @ms? Reads what comes. */
bool peer_ended(int sock, int ms);

/*
 * Send a request and wait for its reply; fds beside it go to @fds (room for
 * SHARQ_FRAME_MAX_FDS) or are closed when @fds is NULL. Return: to be freed
 * with sharq__pb__server_message__free_unpacked(), NULL: the connection ended.
 */
Sharq__Pb__ServerMessage *peer_call(struct peer *p, Sharq__Pb__Request *req,
				    int *fds, unsigned int *nfds);
/* The same for requests of which only the reply's code matters. */
int peer_code(struct peer *p, Sharq__Pb__Request *req);
int peer_control(struct peer *p, uint64_t queue, Sharq__Pb__QueueAction action);
int peer_destroy(struct peer *p, uint64_t queue);

/* What the daemon says of a queue. */
struct queue_seen {
	uint64_t id, session, in_flight, bytes, commands;
	uint32_t uid;
	int state, path, pid, engine_pid;
	char reason[200];
};
bool peer_queue(struct peer *p, uint64_t id, struct queue_seen *out);
/* Fills up to @n, in order of id; returns how many queues are listed. */
unsigned int peer_queues(struct peer *p, struct queue_seen *out,
			 unsigned int n);
struct stats_seen {
	uint64_t queues, clients, engines, engine_deaths, arena_bytes;
	uint64_t peers_dropped, commands;
};
struct stats_seen peer_stats(struct peer *p);
/* The engine that serves a queue; waits until the daemon knows one. */
pid_t peer_engine(struct peer *p, uint64_t queue);

struct rawq {
	uint64_t id;
	uint32_t depth;
	size_t size;
	int rings_fd, sock;
	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
};
void rawq_open(struct peer *p, uint32_t depth, struct rawq *q);
void rawq_close(struct rawq *q);
/* Put descriptors at the tail and knock if asked to. Needs room. */
void rawq_push(struct rawq *q, const struct sharq_desc *d, unsigned int n);
void rawq_knock(struct rawq *q);
/* Take the next completion; false: none within @ms. */
bool rawq_reap(struct rawq *q, struct sharq_cqe *cqe, int ms);
uint32_t rawq_flags(const struct rawq *q); /* the device's */

/* A region of the session's, mapped where it was announced. */
void *peer_region(struct peer *p, size_t size, int *fd, uint64_t *id);

#endif /* SYSTEM_PEER_H */
