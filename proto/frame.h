/* SPDX-License-Identifier: MIT */
/*
 * Framing: one message a packet on a SOCK_SEQPACKET unix socket, with file
 * descriptors beside it.
 *
 *   offset 0  u32 magic    SHARQ_FRAME_MAGIC
 *   offset 4  u16 version  SHARQ_FRAME_VERSION
 *   offset 6  u16 fds      how many descriptors travel beside it
 *   offset 8  u32 length   of the protobuf message that follows
 *
 * All in the machine's own byte order: the socket never leaves the machine.
 */
#ifndef SHARQ_FRAME_H
#define SHARQ_FRAME_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARQ_FRAME_MAGIC 0x51524853U /* "SHRQ" */
#define SHARQ_FRAME_VERSION 1
#define SHARQ_FRAME_HEADER 12
/* Hard limits; a packet beyond them is refused, whoever sent it. */
#define SHARQ_FRAME_MAX (64 * 1024) /* header included */
#define SHARQ_FRAME_MAX_FDS 4
/* What the kernel lets a packet have (SCM_MAX_FD). */
#define SHARQ_FRAME_ANY_FDS 253
/* Range of protocol versions that this code speaks (Hello). */
#define SHARQ_PROTOCOL_MIN 1
#define SHARQ_PROTOCOL_MAX 1

/* A received packet. The fds are the holder's to take or close. */
struct sharq_frame {
	uint8_t data[SHARQ_FRAME_MAX];
	const uint8_t *body;
	size_t body_len;
	int fds[SHARQ_FRAME_ANY_FDS];
	unsigned int nfds;
};

/*
 * sharq_frame_size - bytes that @msg needs as a packet, header included
 */
size_t sharq_frame_size(const ProtobufCMessage *msg);

/*
 * sharq_frame_pack - write header and message to @buf
 * @nfds: how many descriptors will travel beside it
 *
 * Return: the packet's size, -EMSGSIZE if it exceeds @size or the limits.
 */
int sharq_frame_pack(const ProtobufCMessage *msg, unsigned int nfds,
		     uint8_t *buf, size_t size);

/*
 * sharq_frame_parse - check a packet's header
 * @data, @len: what was received, of which the header is checked whole
 * @nfds:       how many descriptors came beside it
 * @body, @body_len: set to the message's bytes
 * @why:        set to a sentence when the packet is refused
 *
 * Pure. Return: 0, -EPROTO (not ours or malformed), -EPROTONOSUPPORT (another
 * version of the framing).
 */
int sharq_frame_parse(const uint8_t *data, size_t len, unsigned int nfds,
		      const uint8_t **body, size_t *body_len, const char **why);

/*
 * sharq_frame_send - send a packet that sharq_frame_pack made
 *
 * Never blocks if @dontwait, never raises SIGPIPE; the fds stay the caller's.
 * Return: 0 or -errno (-EAGAIN: the peer's buffer is full).
 */
int sharq_frame_send(int sock, const uint8_t *data, size_t len, const int *fds,
		     unsigned int nfds, bool dontwait);

/*
 * sharq_frame_send_msg - pack and send in one go
 */
int sharq_frame_send_msg(int sock, const ProtobufCMessage *msg, const int *fds,
			 unsigned int nfds, bool dontwait);

/*
 * sharq_frame_recv - receive one packet and check its header
 * @max_fds:  so many descriptors may come, at most SHARQ_FRAME_MAX_FDS; with 0
 *            a packet that has any stays unread: nothing more can be received,
 *            and nothing is closed, which could take as long as its sender likes
 * @why:      set to a sentence when the result is -EPROTO or alike
 *
 * Descriptors arrive close-on-exec. On error none is left open.
 * Return: 0, -EAGAIN, -EPIPE (the peer is gone), -EPROTO, -EPROTONOSUPPORT,
 * -EMSGSIZE (packet too large), -ETOOMANYREFS (more descriptors than allowed),
 * or another -errno.
 */
int sharq_frame_recv(int sock, struct sharq_frame *frame, unsigned int max_fds,
		     bool dontwait, const char **why);

/*
 * sharq_frame_take - the same, but on error too the descriptors that came are in
 * the frame, for a caller that may not wait until they are closed
 */
int sharq_frame_take(int sock, struct sharq_frame *frame, unsigned int max_fds,
		     bool dontwait, const char **why);

/* Close what descriptors a frame still holds. */
void sharq_frame_close_fds(struct sharq_frame *frame);

#endif /* SHARQ_FRAME_H */
