// SPDX-License-Identifier: MIT
#include "outq.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"

struct outq_packet {
	STAILQ_ENTRY(outq_packet) link;
	int fds[SHARQ_FRAME_MAX_FDS];
	unsigned int nfds;
	size_t len;
	uint8_t data[];
};

/* Messages are packed here first: one thread, one message at a time. */
static uint8_t scratch[SHARQ_FRAME_MAX];

static struct outq_packet *packet_free(struct outq *q, struct outq_packet *p)
{
	if (!p)
		return NULL;
	for (unsigned int i = 0; i < p->nfds; i++)
		closer_close(q->closer, p->fds[i]);
	free(p);
	return NULL;
}

static int packet_new(struct outq *q, struct outq_packet **out,
		      const uint8_t *data, size_t len, const int *fds,
		      unsigned int nfds)
{
	struct outq_packet *p = malloc(sizeof(*p) + len);

	if (!p)
		return -ENOMEM;
	p->nfds = 0;
	p->len = len;
	memcpy(p->data, data, len);
	for (; p->nfds < nfds; p->nfds++) {
		int fd = fcntl(fds[p->nfds], F_DUPFD_CLOEXEC, 0);

		if (fd < 0) {
			int ret = -errno;

			packet_free(q, p);
			return ret;
		}
		p->fds[p->nfds] = fd;
	}
	*out = p;
	return 0;
}

int outq_init(struct outq *q, struct event_base *base, int sock,
	      struct closer *closer, event_callback_fn writable, void *arg)
{
	q->sock = sock;
	q->closer = closer;
	q->bytes = 0;
	q->fds = 0;
	STAILQ_INIT(&q->packets);
	q->write = event_new(base, sock, EV_WRITE | EV_PERSIST, writable, arg);
	return q->write ? 0 : -ENOMEM;
}

void outq_fini(struct outq *q)
{
	if (!q->write)
		return;
	event_free(q->write);
	q->write = NULL;
	while (!STAILQ_EMPTY(&q->packets)) {
		struct outq_packet *p = STAILQ_FIRST(&q->packets);

		STAILQ_REMOVE_HEAD(&q->packets, link);
		packet_free(q, p);
	}
}

int outq_flush(struct outq *q)
{
	while (!STAILQ_EMPTY(&q->packets)) {
		struct outq_packet *p = STAILQ_FIRST(&q->packets);
		int ret = sharq_frame_send(q->sock, p->data, p->len, p->fds,
					   p->nfds, true);

		if (ret == -EAGAIN)
			return 0;
		if (ret)
			return ret;
		STAILQ_REMOVE_HEAD(&q->packets, link);
		q->bytes -= sizeof(*p) + p->len;
		q->fds -= p->nfds;
		packet_free(q, p);
	}
	event_del(q->write);
	return 0;
}

int outq_send(struct outq *q, const ProtobufCMessage *msg, const int *fds,
	      unsigned int nfds)
{
	int len = sharq_frame_pack(msg, nfds, scratch, sizeof(scratch));
	struct outq_packet *p = NULL;
	int ret;

	if (len < 0)
		return len;
	if (STAILQ_EMPTY(&q->packets)) {
		ret = sharq_frame_send(q->sock, scratch, len, fds, nfds, true);
		if (ret != -EAGAIN)
			return ret;
	}
	ret = packet_new(q, &p, scratch, len, fds, nfds);
	if (ret)
		return ret;
	if (STAILQ_EMPTY(&q->packets) && event_add(q->write, NULL)) {
		packet_free(q, p);
		return -ENOMEM;
	}
	STAILQ_INSERT_TAIL(&q->packets, p, link);
	q->bytes += sizeof(*p) + p->len;
	q->fds += p->nfds;
	return 0;
}
