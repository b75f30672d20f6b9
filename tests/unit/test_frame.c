/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frame.h"
#include "sharq.pb-c.h"
#include "unit.h"

static struct sharq_frame frame;
static int pair[2];

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void make_pair(void)
{
	ck_assert_int_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static void close_pair(void)
{
	close(pair[0]);
	close(pair[1]);
}

/* Where what was refused stayed in the way. */
static void renew_pair(bool refused)
{
	if (!refused)
		return;
	close_pair();
	make_pair();
}

static void request_init(Sharq__Pb__Request *r, Sharq__Pb__DevicesGet *d)
{
	sharq__pb__request__init(r);
	sharq__pb__devices_get__init(d);
	r->id = 77;
	r->body_case = SHARQ__PB__REQUEST__BODY_DEVICES;
	r->devices = d;
}

static int pack(uint8_t *buf, size_t size, unsigned int nfds)
{
	Sharq__Pb__DevicesGet d;
	Sharq__Pb__Request r;

	request_init(&r, &d);
	return sharq_frame_pack(&r.base, nfds, buf, size);
}

static int send_request(int sock, const int *fds, unsigned int n)
{
	Sharq__Pb__DevicesGet d;
	Sharq__Pb__Request r;

	request_init(&r, &d);
	return sharq_frame_send_msg(sock, &r.base, fds, n, true);
}

static void expect_request(const uint8_t *body, size_t len)
{
	Sharq__Pb__Request *r = sharq__pb__request__unpack(NULL, len, body);

	ck_assert_ptr_nonnull(r);
	ck_assert_uint_eq(r->id, 77);
	ck_assert_int_eq(r->body_case, SHARQ__PB__REQUEST__BODY_DEVICES);
	sharq__pb__request__free_unpacked(r, NULL);
}

START_TEST(pack_and_parse)
{
	uint8_t buf[256];
	const uint8_t *body;
	const char *why = NULL;
	size_t len;
	int n = pack(buf, sizeof(buf), 2);

	ck_assert_int_gt(n, SHARQ_FRAME_HEADER);
	ck_assert_int_eq(
		sharq_frame_parse(buf, (size_t)n, 2, &body, &len, &why), 0);
	ck_assert_uint_eq(len, (size_t)n - SHARQ_FRAME_HEADER);
	expect_request(body, len);
	ck_assert_int_eq(pack(buf, (size_t)n - 1, 0), -EMSGSIZE);
	ck_assert_int_eq(pack(buf, (size_t)n, 0), n);
	ck_assert_int_eq(pack(buf, sizeof(buf), SHARQ_FRAME_MAX_FDS + 1),
			 -EMSGSIZE);
}
END_TEST

static void refused(const uint8_t *buf, size_t len, unsigned int nfds, int want)
{
	const uint8_t *body;
	const char *why = NULL;
	size_t body_len;
	/* A copy of that size, so that a sanitizer sees what is read beyond. */
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, buf, len);
	ck_assert_int_eq(
		sharq_frame_parse(copy, len, nfds, &body, &body_len, &why),
		want);
	ck_assert_ptr_nonnull(why);
	ck_assert_uint_gt(strlen(why), 10);
	free(copy);
}

START_TEST(parse_refuses)
{
	uint8_t buf[256], bad[256];
	size_t n = (size_t)pack(buf, sizeof(buf), 1);

	for (size_t len = 0; len < n; len++)
		refused(buf, len, 1, -EPROTO);
	refused(buf, n + 1, 1, -EPROTO);
	for (unsigned int fds = 0; fds <= SHARQ_FRAME_MAX_FDS; fds++)
		if (fds != 1)
			refused(buf, n, fds, -EPROTO);
	/* Each bit of the header counts. */
	for (size_t bit = 0; bit < SHARQ_FRAME_HEADER * 8; bit++) {
		memcpy(bad, buf, n);
		bad[bit / 8] ^= 1U << bit % 8;
		refused(bad, n, 1,
			bit / 8 == 4 || bit / 8 == 5 ? -EPROTONOSUPPORT
						     : -EPROTO);
	}
}
END_TEST

START_TEST(no_body)
{
	uint8_t buf[256];
	const uint8_t *body;
	const char *why;
	uint32_t none = 0;
	size_t len = 9;

	pack(buf, sizeof(buf), 0);
	memcpy(buf + 8, &none, sizeof(none));
	ck_assert_int_eq(sharq_frame_parse(buf, SHARQ_FRAME_HEADER, 0, &body,
					   &len, &why),
			 0);
	ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(over_a_socket)
{
	const char *why = NULL;
	int before, fds[SHARQ_FRAME_MAX_FDS];

	make_pair();
	before = open_fds();
	for (unsigned int n = 0; n <= SHARQ_FRAME_MAX_FDS; n++) {
		for (unsigned int i = 0; i < n; i++)
			fds[i] = pair[i % 2];
		ck_assert_int_eq(send_request(pair[0], fds, n), 0);
		ck_assert_int_eq(sharq_frame_recv(pair[1], &frame,
						  SHARQ_FRAME_MAX_FDS, true,
						  &why),
				 0);
		ck_assert_uint_eq(frame.nfds, n);
		expect_request(frame.body, frame.body_len);
		for (unsigned int i = 0; i < n; i++)
			ck_assert_int_eq(fcntl(frame.fds[i], F_GETFD),
					 FD_CLOEXEC);
		sharq_frame_close_fds(&frame);
		ck_assert_uint_eq(frame.nfds, 0);
		ck_assert_int_eq(open_fds(), before);
	}
	ck_assert_int_eq(send_request(pair[0], fds, SHARQ_FRAME_MAX_FDS + 1),
			 -EMSGSIZE);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why),
			 -EAGAIN);
	close(pair[0]);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why),
			 -EPIPE);
	ck_assert_int_eq(send_request(pair[1], NULL, 0), -EPIPE);
	close(pair[1]);
}
END_TEST

/* Called by recvmsg() when the kernel has found no packet, once. */
static void (*between)(void);

/*
 * The kernel looks for a packet, then whether the peer is gone; this has something
 * happen between the two.
 */
ssize_t recvmsg(int sock, struct msghdr *msg, int flags)
{
	void (*now)(void) = between;

	between = NULL;
	if (!now)
		return syscall(SYS_recvmsg, sock, msg, flags);
	now();
	msg->msg_controllen = 0;
	msg->msg_flags = 0;
	return 0;
}

static void send_and_close(void)
{
	ck_assert_int_eq(send_request(pair[0], pair, 2), 0);
	close(pair[0]);
}

static void just_close(void)
{
	close(pair[0]);
}

/* Its descriptors come with it. */
START_TEST(last_packet_is_read_before_the_end)
{
	const char *why = NULL;

	for (int dontwait = 0; dontwait < 2; dontwait++) {
		make_pair();
		between = send_and_close;
		ck_assert_int_eq(
			sharq_frame_recv(pair[1], &frame, 2, dontwait, &why),
			0);
		expect_request(frame.body, frame.body_len);
		ck_assert_uint_eq(frame.nfds, 2);
		sharq_frame_close_fds(&frame);
		ck_assert_int_eq(
			sharq_frame_recv(pair[1], &frame, 2, dontwait, &why),
			-EPIPE);
		close(pair[1]);
	}
}
END_TEST

START_TEST(end_is_said_by_the_kernel_once_or_twice)
{
	const char *why = NULL;

	make_pair();
	between = just_close;
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 2, true, &why),
			 -EPIPE);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 2, false, &why),
			 -EPIPE);
	close(pair[1]);
}
END_TEST

/* An empty packet ends the connection, and none of its descriptors stays. */
START_TEST(empty_packets)
{
	const char *why = NULL;
	int before;

	make_pair();
	before = open_fds();
	for (unsigned int max = 0; max <= 2; max += 2)
		for (unsigned int n = 0; n <= 2; n++) {
			int r;

			ck_assert_int_eq(sharq_frame_send(pair[0], NULL, 0,
							  pair, n, true),
					 0);
			r = sharq_frame_recv(pair[1], &frame, max, true, &why);
			ck_assert_int_eq(r, n > max ? -ETOOMANYREFS : -EPIPE);
			ck_assert_uint_eq(frame.nfds, 0);
			ck_assert_int_eq(open_fds(), before);
			renew_pair(!max);
		}
	close_pair();
}
END_TEST

/* More descriptors than allowed: refused, and none stays open. */
START_TEST(too_many_fds)
{
	int fds[SHARQ_FRAME_MAX_FDS], before;

	make_pair();
	before = open_fds();
	for (unsigned int i = 0; i < SHARQ_FRAME_MAX_FDS; i++)
		fds[i] = pair[0];
	for (unsigned int max = 0; max < SHARQ_FRAME_MAX_FDS; max++) {
		for (unsigned int n = max + 1; n <= SHARQ_FRAME_MAX_FDS; n++) {
			const char *why = NULL;
			int r;

			ck_assert_int_eq(send_request(pair[0], fds, n), 0);
			r = sharq_frame_recv(pair[1], &frame, max, true, &why);
			/* The kernel may have padded: then the count is off. */
			ck_assert_msg(r == -ETOOMANYREFS || r == -EPROTO,
				      "%u of %u: %d", n, max, r);
			if (!max)
				ck_assert_int_eq(r, -ETOOMANYREFS);
			ck_assert_ptr_nonnull(why);
			ck_assert_int_eq(open_fds(), before);
			renew_pair(!max);
		}
	}
	/* And the connection's next packet is read as ever. */
	ck_assert_int_eq(send_request(pair[0], NULL, 0), 0);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true,
					  &(const char *){ NULL }),
			 0);
	close_pair();
}
END_TEST

/* Who is refused has often sent something by then. */
START_TEST(last_words_of_who_went_without_reading)
{
	const char *why = NULL;

	make_pair();
	ck_assert_int_eq(send_request(pair[1], NULL, 0), 0);
	ck_assert_int_eq(send_request(pair[0], NULL, 0), 0);
	close(pair[0]);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why), 0);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why),
			 -EPIPE);
	close(pair[1]);
}
END_TEST

/* Descriptors that the header doesn't announce are closed too. */
START_TEST(unannounced_fd)
{
	const char *why = NULL;
	uint8_t buf[256];
	int before, n;

	make_pair();
	before = open_fds();
	n = pack(buf, sizeof(buf), 0);
	ck_assert_int_eq(
		sharq_frame_send(pair[0], buf, (size_t)n, pair, 2, true), 0);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 4, true, &why),
			 -EPROTO);
	ck_assert_int_eq(open_fds(), before);
	close_pair();
}
END_TEST

START_TEST(largest)
{
	static uint8_t big[SHARQ_FRAME_MAX + 1];
	static char text[SHARQ_FRAME_MAX];
	Sharq__Pb__Reply r = SHARQ__PB__REPLY__INIT;
	const char *why = NULL;
	int size = 2 * SHARQ_FRAME_MAX;

	make_pair();
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	memset(text, 'x', sizeof(text) - 1);
	r.text = text;
	ck_assert_uint_gt(sharq_frame_size(&r.base), SHARQ_FRAME_MAX);
	ck_assert_int_eq(sharq_frame_pack(&r.base, 0, big, sizeof(big)),
			 -EMSGSIZE);
	ck_assert_int_eq(sharq_frame_send_msg(pair[0], &r.base, NULL, 0, true),
			 -EMSGSIZE);
	text[sizeof(text) - 1 - (sharq_frame_size(&r.base) - SHARQ_FRAME_MAX)] =
		0;
	ck_assert_uint_eq(sharq_frame_size(&r.base), SHARQ_FRAME_MAX);
	ck_assert_int_eq(sharq_frame_send_msg(pair[0], &r.base, NULL, 0, true),
			 0);
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why), 0);
	ck_assert_uint_eq(frame.body_len, SHARQ_FRAME_MAX - SHARQ_FRAME_HEADER);
	ck_assert_int_eq(send(pair[0], big, sizeof(big), MSG_DONTWAIT),
			 (int)sizeof(big));
	ck_assert_int_eq(sharq_frame_recv(pair[1], &frame, 0, true, &why),
			 -EMSGSIZE);
	close_pair();
}
END_TEST

/* A peer that doesn't read: -EAGAIN, never a wait. */
START_TEST(full_socket)
{
	int r = 0;

	make_pair();
	for (int i = 0; i < 1000000 && !r; i++)
		r = send_request(pair[0], NULL, 0);
	ck_assert_int_eq(r, -EAGAIN);
	close_pair();
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("frame");

	UNIT_ADD(s, pack_and_parse);
	UNIT_ADD(s, parse_refuses);
	UNIT_ADD(s, no_body);
	UNIT_ADD(s, over_a_socket);
	UNIT_ADD(s, last_packet_is_read_before_the_end);
	UNIT_ADD(s, end_is_said_by_the_kernel_once_or_twice);
	UNIT_ADD(s, empty_packets);
	UNIT_ADD(s, too_many_fds);
	UNIT_ADD(s, last_words_of_who_went_without_reading);
	UNIT_ADD(s, unannounced_fd);
	UNIT_ADD(s, largest);
	UNIT_ADD(s, full_socket);
	return s;
}
