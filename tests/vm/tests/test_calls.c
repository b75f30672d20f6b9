// SPDX-License-Identifier: MIT
/* P6, P13: the arguments of a queue's calls, and the limit on its memory. */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "gate.h"
#include "guest.h"
#include "queue.h"

static int call(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) < 0 ? -errno : 0;
}

START_TEST(p6_kick_s_argument_is_checked)
{
	struct queue q = queue_new(4);
	struct {
		struct sharq_kick kick;
		uint64_t more;
	} k = { .kick = { .size = sizeof(k), .count = 0 } };
	struct sharq_desc nop = desc_nop();

	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), 0);
	k.more = 1;
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), -E2BIG);
	k.kick.size = sizeof(k.kick);
	k.kick.flags = 0x100;
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), -EINVAL);
	k.kick.flags = SHARQ_KICK_WAIT;
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), -EINVAL);
	k.kick.flags = 0;
	k.kick.reserved = 1;
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), -EINVAL);
	k.kick.reserved = 0;
	k.kick.size = 2;
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, &k), -EINVAL);
	k.kick.size = UINT32_MAX;
	ck_assert_int_lt(call(q.fd, SHARQ_KICK, &k), 0);
	ck_assert_int_eq(call(q.fd, SHARQ_KICK, (void *)8), -EFAULT);
	ck_assert_int_eq(call(q.fd, _IO(SHARQ_IOC_MAGIC, 0x7f), &k), -ENOTTY);
	ck_assert_int_eq(call(q.fd, SHARQ_CTL_CREATE, &k), -ENOTTY);
	/* More than there are: what there is. */
	queue_put(&q, &nop);
	queue_publish(&q);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, UINT32_MAX), 1);
	queue_free(&q);
}
END_TEST

START_TEST(p6_uring_kick_s_argument_is_checked)
{
	struct queue q = queue_new(4);
	struct io_uring ring;
	struct io_uring_sqe *sqe;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	uring_prep(&ring, q.fd, 0, 0x100);
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(uring_result(&ring), -EINVAL);
	sqe = uring_prep(&ring, q.fd, 0, 0);
	sqe->cmd_op = 77;
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(uring_result(&ring), -ENOTTY);
	sqe = uring_prep(&ring, q.fd, 0, 0);
	((struct sharq_uring_kick *)sqe->cmd)->reserved = 1;
	ck_assert_int_eq(io_uring_submit(&ring), 1);
	ck_assert_int_eq(uring_result(&ring), -EINVAL);
	io_uring_queue_exit(&ring);
	queue_free(&q);
}
END_TEST

START_TEST(p6_only_the_whole_ring_can_be_mapped)
{
	struct queue q = queue_new(64);
	off_t at = (off_t)q.bind.map_offset;
	size_t size = q.bind.map_size;
	const int rw = PROT_READ | PROT_WRITE;

	ck_assert(mmap(NULL, size, rw, MAP_PRIVATE, q.fd, at) == MAP_FAILED);
	ck_assert(mmap(NULL, PAGE, rw, MAP_SHARED, q.fd, at) == MAP_FAILED);
	ck_assert(mmap(NULL, size + PAGE, rw, MAP_SHARED, q.fd, at) ==
		  MAP_FAILED);
	ck_assert(mmap(NULL, size, rw, MAP_SHARED, q.fd, at + PAGE) ==
		  MAP_FAILED);
	ck_assert_int_eq(mprotect(q.map, size, PROT_READ | PROT_EXEC), -1);
	ck_assert_int_eq(errno, EACCES);
	queue_free(&q);
}
END_TEST

static int create_with(const struct sharq_ctl_create *request)
{
	struct sharq_ctl_create copy = *request;
	int fd = broker_create(&copy);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

#define REFUSED(f, v, error)                                                   \
	do {                                                                   \
		struct sharq_ctl_create c_ = queue_request(8);                 \
                                                                               \
		c_.f = (v);                                                    \
		ck_assert_int_eq(create_with(&c_), error);                     \
	} while (0)

START_TEST(create_s_fields_are_checked)
{
	struct sharq_ctl_create good = queue_request(8);

	ck_assert_int_eq(create_with(&good), 0);
	REFUSED(device, 4711, -ENODEV);
	REFUSED(ops, 1U << 31, -EINVAL);
	REFUSED(depth, 0, -EINVAL);
	REFUSED(depth, 1, -EINVAL);
	REFUSED(depth, 48, -EINVAL);
	REFUSED(depth, 2 * SHARQ_MAX_DEPTH, -EINVAL);
	REFUSED(sqe_shift, SHARQ_SQE_SHIFT + 1, -EINVAL);
	REFUSED(cqe_shift, 0, -EINVAL);
	REFUSED(weight, SHARQ_WEIGHT_MAX + 1, -EINVAL);
	REFUSED(uid, UINT32_MAX, -EINVAL);
	REFUSED(bind_ms, 0, -EINVAL);
	REFUSED(bind_ms, 600001, -EINVAL);
	REFUSED(reserved, 1, -EINVAL);
}
END_TEST

START_TEST(p13_memory_over_the_limit_is_denied)
{
	struct sharq_ctl_create request = queue_request(8);
	uint8_t *src = memory(MIB), *dst = memory(MIB);
	struct sharq_desc big = desc_copy(dst, src, MIB);
	struct sharq_desc small = desc_copy(dst, src, 32 * KIB);
	struct queue q;

	request.pin_bytes = 128 * KIB;
	q = queue_make(&request);
	ck_assert_uint_eq(queue_run(&q, &big).status, SHARQ_DENIED);
	/* More at once than fit: kicks are short, all come through. */
	for (int i = 0; i < 8; i++)
		queue_put(&q, &small);
	queue_kick(&q);
	queue_wait(&q, 8);
	for (int i = 0; i < 8; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert_uint_eq(queue_stats(q.id).pinned, 0);
	queue_free(&q);
}
END_TEST

START_TEST(p13_memory_in_flight_is_within_the_limit)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_desc copy =
		desc_copy(memory(32 * KIB), memory(32 * KIB), 32 * KIB);
	struct gate g = gate_new();
	struct queue q;

	request.pin_bytes = 128 * KIB;
	q = queue_make(&request);
	copy.flags = SHARQ_DESC_FENCE;
	gate_put(&g, &q);
	for (int i = 0; i < 3; i++)
		queue_put(&q, &copy);
	queue_publish(&q);
	/* The gate takes two pages, each copy 16. */
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 4), 2);
	ck_assert_uint_eq(queue_stats(q.id).pinned, 72 * KIB);
	/* Not before something has completed is it worth another kick. */
	ck_assert(!(queue_poll(q.fd, POLLOUT) & POLLOUT));
	gate_open(&g, &q);
	gate_take(&q);
	queue_kick(&q);
	queue_wait(&q, 3);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("calls");

	GUEST_ADD(s, p6_kick_s_argument_is_checked, 60);
	GUEST_ADD(s, p6_uring_kick_s_argument_is_checked, 60);
	GUEST_ADD(s, p6_only_the_whole_ring_can_be_mapped, 60);
	GUEST_ADD(s, create_s_fields_are_checked, 60);
	GUEST_ADD(s, p13_memory_in_flight_is_within_the_limit, 60);
	GUEST_ADD(s, p13_memory_over_the_limit_is_denied, 60);
	return s;
}
