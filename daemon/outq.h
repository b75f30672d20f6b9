/* SPDX-License-Identifier: MIT */
/*
 * Packets that wait for a socket to take them, with the descriptors that
 * travel beside them.
 */
#ifndef SHARQD_OUTQ_H
#define SHARQD_OUTQ_H

#include <event2/event.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <sys/queue.h>

#include "closer.h"

struct outq_packet;

/*
 * @sock:  stays the owner's
 * @closer: for the duplicates: one of a socket may be its last when it is closed
 * @bytes: what waits, packets' own cost included; with @fds descriptors
 * @write: pending while anything waits
 */
struct outq {
	int sock;
	struct closer *closer;
	size_t bytes;
	unsigned int fds;
	struct event *write;
	STAILQ_HEAD(, outq_packet) packets;
};

/*
 * outq_init - ready an empty queue
 * @writable: called when the socket takes more; must call outq_flush()
 *
 * Return: 0 or -ENOMEM.
 */
int outq_init(struct outq *q, struct event_base *base, int sock,
	      struct closer *closer, event_callback_fn writable, void *arg);
/* Drops what waits, closes its descriptors. Fine on a zeroed queue. */
void outq_fini(struct outq *q);

/*
 * outq_send - send now or keep for later
 * @fds: duplicated if they have to wait; stay the caller's
 *
 * Return: 0, or -errno: the socket or the message is no good.
 */
int outq_send(struct outq *q, const ProtobufCMessage *msg, const int *fds,
	      unsigned int nfds);

/* Return: 0 or -errno: the socket is no good any more. */
int outq_flush(struct outq *q);

#endif /* SHARQD_OUTQ_H */
