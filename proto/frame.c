// SPDX-License-Identifier: MIT
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct header {
	uint32_t magic;
	uint16_t version;
	uint16_t fds;
	uint32_t length;
};

_Static_assert(sizeof(struct header) == SHARQ_FRAME_HEADER, "frame header");

size_t sharq_frame_size(const ProtobufCMessage *msg)
{
	return SHARQ_FRAME_HEADER + protobuf_c_message_get_packed_size(msg);
}

int sharq_frame_pack(const ProtobufCMessage *msg, unsigned int nfds,
		     uint8_t *buf, size_t size)
{
	size_t total = sharq_frame_size(msg);
	struct header h = {
		.magic = SHARQ_FRAME_MAGIC,
		.version = SHARQ_FRAME_VERSION,
		.fds = (uint16_t)nfds,
		.length = (uint32_t)(total - SHARQ_FRAME_HEADER),
	};

	if (total > size || total > SHARQ_FRAME_MAX ||
	    nfds > SHARQ_FRAME_MAX_FDS)
		return -EMSGSIZE;
	memcpy(buf, &h, sizeof(h));
	protobuf_c_message_pack(msg, buf + SHARQ_FRAME_HEADER);
	return (int)total;
}

int sharq_frame_parse(const uint8_t *data, size_t len, unsigned int nfds,
		      const uint8_t **body, size_t *body_len, const char **why)
{
	struct header h;

	if (len < sizeof(h)) {
		*why = "the packet is shorter than a sharq header";
		return -EPROTO;
	}
	memcpy(&h, data, sizeof(h));
	if (h.magic != SHARQ_FRAME_MAGIC) {
		*why = "the packet doesn't start as a sharq message does";
		return -EPROTO;
	}
	if (h.version != SHARQ_FRAME_VERSION) {
		*why = "the packet has another version of sharq's framing";
		return -EPROTONOSUPPORT;
	}
	if (h.length != len - sizeof(h)) {
		*why = "the packet's length isn't what its header says";
		return -EPROTO;
	}
	if (h.fds != nfds) {
		*why = "the packet's descriptors aren't as many as its header "
		       "says";
		return -EPROTO;
	}
	*body = data + sizeof(h);
	*body_len = h.length;
	return 0;
}

int sharq_frame_send(int sock, const uint8_t *data, size_t len, const int *fds,
		     unsigned int nfds, bool dontwait)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * SHARQ_FRAME_MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (nfds > SHARQ_FRAME_MAX_FDS)
		return -EMSGSIZE;
	if (nfds) {
		struct cmsghdr *c;

		memset(&control, 0, sizeof(control));
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	do
		n = sendmsg(sock, &msg,
			    MSG_NOSIGNAL | (dontwait ? MSG_DONTWAIT : 0));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int sharq_frame_send_msg(int sock, const ProtobufCMessage *msg, const int *fds,
			 unsigned int nfds, bool dontwait)
{
	size_t size = sharq_frame_size(msg);
	uint8_t *buf;
	int r;

	if (size > SHARQ_FRAME_MAX)
		return -EMSGSIZE;
	buf = malloc(size);
	if (!buf)
		return -ENOMEM;
	r = sharq_frame_pack(msg, nfds, buf, size);
	if (r > 0)
		r = sharq_frame_send(sock, buf, (size_t)r, fds, nfds, dontwait);
	free(buf);
	return r;
}

static void take_fds(struct msghdr *msg, struct sharq_frame *frame)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR(msg, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			frame->fds[frame->nfds++] = fd;
		}
	}
}

static ssize_t receive_once(int sock, struct msghdr *msg, size_t room,
			    int flags)
{
	ssize_t n;

	do {
		msg->msg_controllen = room;
		n = recvmsg(sock, msg, MSG_CMSG_CLOEXEC | flags);
	} while (n < 0 && errno == EINTR);
	return n;
}

/*
 * The kernel looks for packets first and whether the peer is gone then: it says
 * the end, too, when a last packet and the end come in between. When it has said
 * so, all that will ever come is there. And before it looks for packets it says,
 * once, that the peer went without reading what it was sent.
 */
static ssize_t receive(int sock, struct msghdr *msg, size_t room, bool dontwait,
		       int peek)
{
	ssize_t n = receive_once(sock, msg, room,
				 peek | (dontwait ? MSG_DONTWAIT : 0));

	if (n < 0 && errno == ECONNRESET)
		n = receive_once(sock, msg, room, peek | MSG_DONTWAIT);
	/* An empty packet that has descriptors is no end. */
	if (n || msg->msg_controllen || msg->msg_flags & MSG_CTRUNC)
		return n;
	n = receive_once(sock, msg, room, peek | MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		errno = EPIPE;
	return n;
}

/*
 * A packet that is taken without room for its descriptors has the kernel let go of
 * them in our name: where ours is their last holder that is their close, however
 * long it takes. One that is only looked at keeps them.
 */
static int look_for_fds(int sock, bool dontwait, const char **why)
{
	char first;
	struct iovec iov = { .iov_base = &first, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = receive(sock, &msg, 0, dontwait, MSG_PEEK);

	if (n < 0)
		return -errno;
	/* An empty packet isn't taken either: there may be others behind it. */
	if (!(msg.msg_flags & MSG_CTRUNC))
		return n ? 0 : -EPIPE;
	*why = "descriptors came where none may";
	return -ETOOMANYREFS;
}

int sharq_frame_take(int sock, struct sharq_frame *frame, unsigned int max_fds,
		     bool dontwait, const char **why)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * SHARQ_FRAME_ANY_FDS)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = frame->data,
			     .iov_len = sizeof(frame->data) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = max_fds ? control.buf : NULL };
	ssize_t n;
	int r;

	frame->nfds = 0;
	r = max_fds ? 0 : look_for_fds(sock, dontwait, why);
	if (r)
		return r;
	n = receive(sock, &msg, max_fds ? sizeof(control.buf) : 0, dontwait, 0);
	if (n < 0)
		return -errno;
	take_fds(&msg, frame);
	if (msg.msg_flags & MSG_CTRUNC || frame->nfds > max_fds) {
		*why = "more descriptors came than this message may carry";
		r = -ETOOMANYREFS;
	} else if (n == 0) {
		r = -EPIPE;
	} else if (msg.msg_flags & MSG_TRUNC) {
		*why = "the packet is larger than a sharq message may be";
		r = -EMSGSIZE;
	} else {
		r = sharq_frame_parse(frame->data, (size_t)n, frame->nfds,
				      &frame->body, &frame->body_len, why);
	}
	return r;
}

int sharq_frame_recv(int sock, struct sharq_frame *frame, unsigned int max_fds,
		     bool dontwait, const char **why)
{
	int r = sharq_frame_take(sock, frame, max_fds, dontwait, why);

	if (r)
		sharq_frame_close_fds(frame);
	return r;
}

void sharq_frame_close_fds(struct sharq_frame *frame)
{
	for (unsigned int i = 0; i < frame->nfds; i++)
		if (frame->fds[i] >= 0)
			close(frame->fds[i]);
	frame->nfds = 0;
}
