// SPDX-License-Identifier: MIT
/*
 * Each allocation and each copy from or to user space fails once, one after the
 * other, in creating, binding, mapping, kicking: what fails is undone, what is
 * accepted completes. KASAN and kmemleak watch: needs the debug kernel.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "direct.h"
#include "failnth.h"
#include "files.h"
#include "guest.h"
#include "pins.h"
#include "queue.h"

/* More points of failure than any call has. */
#define MAX_POINTS 500U

static void set_fault(const char *file, const char *value)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s", file);
	ck_assert_int_eq(broker_write(path, value), 0);
}

/* Allocations that may sleep fail too, those of single pages, and a client's own. */
static void inject(void)
{
	ck_assert_msg(fail_nth_available(), "no fault injection");
	set_fault("failslab/ignore-gfp-wait", "N");
	set_fault("fail_page_alloc/ignore-gfp-wait", "N");
	set_fault("fail_page_alloc/ignore-gfp-highmem", "N");
	set_fault("fail_page_alloc/min-order", "0");
}

/* The errors that a call may give because something in it failed. */
static void expect_failure(int r)
{
	ck_assert_msg(r == -ENOMEM || r == -EFAULT || r == -EAGAIN ||
			      r == -ENFILE || r == -EINTR,
		      "failed with %s", strerror(-r));
}

static void report(const char *what, unsigned int points)
{
	printf("%s: %u points of failure\n", what, points);
	ck_assert_msg(points > 0, "nothing could fail in %s", what);
	ck_assert_uint_lt(points, MAX_POINTS);
}

START_TEST(create_unwinds)
{
	unsigned int n;
	int done = 0;

	inject();
	for (n = 1; n < MAX_POINTS && !done; n++) {
		struct sharq_ctl_create request = queue_request(64);
		int fd = broker_create_nth(&request, n, &done);

		if (fd < 0)
			expect_failure(fd);
		else
			close(fd);
		queues_left(0);
	}
	report("CREATE", n - 2);
}
END_TEST

static void bind_sweep(const char *what, enum sharq_bind_path path)
{
	int kick = path == SHARQ_BIND_DIRECT ? -EOPNOTSUPP : 0;
	unsigned int n;
	int done = 0;

	inject();
	for (n = 1; n < MAX_POINTS && !done; n++) {
		struct sharq_ctl_create request = queue_request(64);
		struct sharq_bind bind = queue_bind_request(), again;
		int fd = queue_file(&request), r;

		bind.path = path;
		again = bind;
		fail_nth_begin(n);
		r = queue_bind(fd, &bind);
		done = !fail_nth_end();
		if (r) {
			expect_failure(r);
			/* Not bound, or bound and only the answer was lost. */
			r = queue_bind(fd, &again);
			ck_assert_msg(!r || r == -EBUSY, "then %s",
				      strerror(-r));
		}
		ck_assert_int_eq(queue_ioctl_kick(fd, 0), kick);
		close(fd);
		direct_all_gone();
	}
	report(what, n - 2);
}

START_TEST(bind_unwinds)
{
	bind_sweep("BIND", SHARQ_BIND_SHADOW);
}
END_TEST

START_TEST(direct_bind_unwinds)
{
	bind_sweep("BIND to the direct path", SHARQ_BIND_DIRECT);
}
END_TEST

START_TEST(mmap_unwinds)
{
	unsigned int n;
	int done = 0;

	inject();
	for (n = 1; n < MAX_POINTS && !done; n++) {
		struct sharq_ctl_create request = queue_request(4096);
		int fd = queue_file(&request);
		struct sharq_bind bind = queue_bind_request();
		void *map;
		int error;

		ck_assert(!queue_bind(fd, &bind));
		fail_nth_begin(n);
		map = mmap(NULL, bind.map_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, (off_t)bind.map_offset);
		error = errno;
		done = !fail_nth_end();
		if (map == MAP_FAILED)
			expect_failure(-error);
		else
			ck_assert(!munmap(map, bind.map_size));
		map = mmap(NULL, bind.map_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, (off_t)bind.map_offset);
		ck_assert(map != MAP_FAILED);
		ck_assert(!munmap(map, bind.map_size));
		close(fd);
		queues_left(0);
	}
	report("mmap", n - 2);
}
END_TEST

/* Mapping it, and the first store. */
START_TEST(doorbell_unwinds)
{
	unsigned int n;
	int done = 0;

	inject();
	for (n = 1; n < MAX_POINTS && !done; n++) {
		struct queue q = queue_new_direct(4);
		struct sharq_desc nop = desc_nop();
		volatile uint32_t *bell;
		int error;

		fail_nth_begin(n);
		bell = direct_map_bell(&q);
		error = errno;
		if (bell != MAP_FAILED)
			*bell = 0;
		done = !fail_nth_end();
		if (bell == MAP_FAILED)
			expect_failure(-error);
		else
			direct_unmap_bell(bell);
		direct_wait_asleep(getpid(), q.fd);
		ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
		queue_free(&q);
		direct_all_gone();
	}
	report("the doorbell", n - 2);
}
END_TEST

START_TEST(eventfd_unwinds)
{
	unsigned int n;
	int done = 0;

	inject();
	for (n = 1; n < MAX_POINTS && !done; n++) {
		struct queue q = queue_new(4);
		struct sharq_eventfd event = { .size = sizeof(event),
					       .fd = eventfd(0, EFD_CLOEXEC) };
		struct sharq_desc nop = desc_nop();
		int r;

		fail_nth_begin(n);
		r = ioctl(q.fd, SHARQ_EVENTFD, &event) ? -errno : 0;
		done = !fail_nth_end();
		if (r)
			expect_failure(r);
		ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
		close(event.fd);
		queue_free(&q);
	}
	report("EVENTFD", n - 2);
}
END_TEST

/*
 * One of each kind: copied, few pages, many pages, to be staged, to compress. Of the
 * many one isn't there, when those before it can be pinned, unless @present.
 */
static unsigned int put_kinds(struct queue *q, uint8_t *shared, bool present)
{
	static _Alignas(PAGE) uint8_t src[256 * KIB], dst[512 * KIB];
	struct sharq_desc d[] = {
		desc_nop(),
		desc_crc(src, 100),
		desc_copy(dst, src, 100),
		desc_copy(dst, src, PAGE),
		desc_copy(dst, src, 256 * KIB),
		desc_copy(shared, src, 5000),
		desc_copy(dst, shared, 5000),
		desc_compress(dst, 512 * KIB, src, 64 * KIB),
	};
	unsigned int n = sizeof(d) / sizeof(*d);

	if (!present)
		ck_assert(!madvise(dst + 252 * KIB, PAGE, MADV_DONTNEED));
	for (unsigned int i = 0; i < n; i++) {
		d[i].user_data = i;
		d[i].flags = i == 4 ? SHARQ_DESC_FENCE : 0;
		queue_put(q, &d[i]);
	}
	return n;
}

/* Statuses that say: no memory, or a page that wasn't had. */
static void take_all(struct queue *q, unsigned int n)
{
	uint32_t seen = 0;

	queue_wait(q, n);
	while (n--) {
		struct sharq_cqe cqe = queue_take(q);

		ck_assert_uint_lt(cqe.user_data, 32);
		ck_assert_msg(!(seen & 1U << cqe.user_data), "twice");
		seen |= 1U << cqe.user_data;
		ck_assert_msg(cqe.status == SHARQ_OK ||
				      cqe.status == SHARQ_FAULT_READ ||
				      cqe.status == SHARQ_FAULT_WRITE ||
				      cqe.status == SHARQ_RESET ||
				      cqe.status == SHARQ_DENIED,
			      "status %u", cqe.status);
	}
}

enum way {
	BY_IOCTL,
	BY_URING,
	BY_URING_AND_WAIT
};

/* Anew for each point: a queue keeps what it once allocated. */
static void kick_fails(unsigned int n, enum way way, uint8_t *shared, int *done)
{
	struct queue q = queue_new(16);
	struct io_uring ring;
	/* A kick that may not sleep would stop there. */
	unsigned int total = put_kinds(&q, shared, way != BY_IOCTL);
	int r;

	ck_assert(!io_uring_queue_init(4, &ring, 0));
	queue_publish(&q);
	if (way != BY_IOCTL) {
		uring_prep(&ring, q.fd, total,
			   way == BY_URING ? 0 : SHARQ_KICK_WAIT);
		fail_nth_begin(n);
		r = io_uring_submit(&ring);
		*done = !fail_nth_end();
		if (r == 1)
			r = uring_result(&ring);
	} else {
		fail_nth_begin(n);
		r = queue_ioctl_kick(q.fd, total);
		*done = !fail_nth_end();
	}
	if (r < 0)
		expect_failure(r);
	else
		ck_assert_int_eq((unsigned int)r, q.ring->sq_head);
	/* What is left goes with the next kick. */
	queue_kick(&q);
	take_all(&q, total);
	ck_assert_uint_eq(queue_stats(q.id).pinned, 0);
	io_uring_queue_exit(&ring);
	queue_free(&q);
	queues_left(0);
}

static void kick_sweep(const char *what, enum way way)
{
	int fd = file_new(DISK_FILE, MIB), done = 0;
	uint8_t *shared = file_map(fd, MIB, MAP_SHARED);
	long pinned = pins_held();
	unsigned int n;

	inject();
	memset(shared, 1, MIB);
	for (n = 1; n < MAX_POINTS && !done; n++) {
		kick_fails(n, way, shared, &done);
		ck_assert_msg(pins_held() == pinned,
			      "failing at point %u left pages pinned", n);
	}
	report(what, n - 2);
	ck_assert(!munmap(shared, MIB));
	close(fd);
	unlink(DISK_FILE);
}

START_TEST(ioctl_kick_unwinds)
{
	kick_sweep("kick by ioctl", BY_IOCTL);
}
END_TEST

START_TEST(uring_kick_unwinds)
{
	kick_sweep("kick by io_uring", BY_URING);
}
END_TEST

START_TEST(waiting_uring_kick_unwinds)
{
	ck_assert(kernel_cancels());
	kick_sweep("waiting kick by io_uring", BY_URING_AND_WAIT);
}
END_TEST

/* The points in the middle of allocating so much to stage in. */
#define STAGED (2 * MIB)
#define STAGED_FROM 300U
#define STAGED_POINTS 100U

/* Each time so many pages were had already. */
START_TEST(staging_unwinds)
{
	int fd = file_new(DISK_FILE, STAGED);
	uint8_t *shared = file_map(fd, STAGED, MAP_SHARED);
	struct sharq_desc d = desc_copy(memory(STAGED), shared, STAGED);
	struct queue q = queue_new(4);
	long before, gone;

	inject();
	ck_assert_uint_eq(queue_run(&q, &d).status, SHARQ_OK);
	queue_put(&q, &d);
	queue_publish(&q);
	before = memory_available();
	for (unsigned int i = 0; i < STAGED_POINTS; i++) {
		fail_nth_begin(STAGED_FROM + i);
		ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), -ENOMEM);
		ck_assert(fail_nth_end());
	}
	gone = before - memory_available();
	printf("%u kicks failed while staging: %ld KiB less\n", STAGED_POINTS,
	       gone);
	ck_assert_msg(gone < STAGED_POINTS * STAGED_FROM, "%ld KiB are gone",
		      gone);
	queue_kick(&q);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
	munmap(shared, STAGED);
	close(fd);
	unlink(DISK_FILE);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("failnth");

	GUEST_ADD(s, create_unwinds, 300);
	GUEST_ADD(s, bind_unwinds, 300);
	GUEST_ADD(s, direct_bind_unwinds, 300);
	GUEST_ADD(s, mmap_unwinds, 300);
	GUEST_ADD(s, doorbell_unwinds, 300);
	GUEST_ADD(s, eventfd_unwinds, 300);
	GUEST_ADD(s, ioctl_kick_unwinds, 600);
	GUEST_ADD(s, uring_kick_unwinds, 600);
	GUEST_ADD(s, waiting_uring_kick_unwinds, 600);
	GUEST_ADD(s, staging_unwinds, 300);
	return s;
}
