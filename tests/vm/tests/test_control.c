// SPDX-License-Identifier: MIT
/* P14: the controller comes and goes, the module stays while it is needed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "gate.h"
#include "guest.h"
#include "neighbour.h"
#include "queue.h"
#include "slow.h"

#define MODULE "sharq"
#define DISK_FILE DISK_DIR "/control"
#define LARGE (16 * MIB)

START_TEST(control_is_root_s_and_held_once)
{
	ck_assert_int_eq(open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC), -1);
	ck_assert_int_eq(errno, EACCES);
	ck_assert_int_eq(broker_try_open_incapable(), -EPERM);
	ck_assert_int_eq(broker_try_open(), -EBUSY);
	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(broker_try_open(), 0);
	ck_assert_int_eq(broker_take(), 0);
}
END_TEST

START_TEST(module_says_what_it_is)
{
	struct sharq_ctl_info info = { .size = sizeof(info) };
	struct sharq_ctl_device d = { .size = sizeof(d) };

	ck_assert_int_eq(broker_ctl(SHARQ_CTL_INFO, &info), 0);
	ck_assert_uint_eq(info.abi, SHARQ_ABI_VERSION);
	ck_assert_uint_ge(info.devices, 1);
	ck_assert_uint_eq(info.queues, 0);
	ck_assert_int_eq(broker_ctl(SHARQ_CTL_DEVICE, &d), 0);
	ck_assert_str_eq(d.provider, "soft");
	ck_assert_uint_eq(d.ops, SHARQ_OPS_ALL);
	ck_assert_uint_eq(d.paths,
			  1U << SHARQ_BIND_DIRECT | 1U << SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(d.reason, SHARQ_REASON_NONE);
	d.id = 4711;
	ck_assert_int_eq(broker_ctl(SHARQ_CTL_DEVICE, &d), -ENOENT);
}
END_TEST

/* ---- a controller that dies ---- */

/*
 * Keep @q's device busy with commands that are told apart, @*next the next
 * one's number. Return: how many completions came; each is marked in @done.
 */
static unsigned int work(struct queue *q, uint32_t *next, uint32_t until,
			 uint8_t *done)
{
	static uint8_t src[64 * KIB], dst[64 * KIB];
	unsigned int came = 0;

	while (*next < until && q->tail - q->head < q->depth) {
		struct sharq_desc d = desc_copy(dst, src, sizeof(src));

		d.user_data = (*next)++;
		queue_put(q, &d);
	}
	queue_publish(q);
	ck_assert_int_ge(queue_ioctl_kick(q->fd, UINT32_MAX), 0);
	while (queue_completed(q)) {
		struct sharq_cqe cqe = queue_take(q);

		ck_assert_uint_lt(cqe.user_data, until);
		ck_assert_msg(!done[cqe.user_data]++, "completed twice");
		ck_assert_uint_eq(cqe.status, SHARQ_OK);
		came++;
	}
	return came;
}

START_TEST(p14_controller_killed_with_kicks_in_flight)
{
	const uint32_t total = 3000, each = 100;
	uint8_t *done = memory(total);
	struct sharq_ctl_create request = queue_request(64);
	struct neighbour other = neighbour_start();
	struct sharq_ctl_queue before, after;
	uint64_t end = now_ms() + 4 * PATIENCE_MS;
	uint32_t next = 0, came = 0, deaths = 0;
	struct queue q;

	for (unsigned int i = 0; i < SHARQ_COOKIES; i++)
		request.cookie[i] = 0x1111111111111111ULL * (i + 1);
	strcpy(request.label, "survives");
	q = queue_make(&request);
	before = queue_seen(q.id);
	while (came < total) {
		ck_assert_msg(now_ms() < end, "%u of %u came", came, total);
		came += work(&q, &next, total, done);
		if (came / each > deaths) {
			deaths = came / each;
			ck_assert_int_eq(broker_die(), 0);
		}
	}
	ck_assert_uint_eq(next, total);
	/* The next controller finds all as the first one left it. */
	after = queue_seen(q.id);
	ck_assert(!memcmp(&before, &after, sizeof(before)));
	ck_assert_int_eq(after.pid, getpid());
	ck_assert_uint_eq(after.state, SHARQ_QUEUE_RUNNING);
	ck_assert_str_eq(after.label, "survives");
	ck_assert_uint_eq(queue_stats(q.id).commands, total);
	ck_assert_uint_eq(queues_alive(), 2);
	queue_free(&q);
	neighbour_stop(&other);
	queues_left(0);
}
END_TEST

/* Made by a controller that is no more, bound while there is none. */
START_TEST(p14_queue_is_bound_while_there_is_no_controller)
{
	struct sharq_ctl_create request = queue_request(8);
	struct queue q = { .fd = queue_file(&request) };
	struct sharq_bind bind = queue_bind_request();

	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(queue_bind(q.fd, &bind), 0);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), 0);
	ck_assert_int_eq(broker_take(), 0);
	ck_assert_uint_eq(queue_seen(request.id).state, SHARQ_QUEUE_RUNNING);
	close(q.fd);
	queues_left(0);
}
END_TEST

/* ---- what a controller may do ---- */

START_TEST(p14_pause_and_resume_lose_nothing)
{
	struct queue q = queue_new(8);
	struct sharq_desc nop = desc_nop();

	slow_put(&q);
	queue_kick(&q);
	queue_control(q.id, SHARQ_CTL_PAUSE);
	queue_put(&q, &nop);
	queue_publish(&q);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), 0);
	ck_assert(q.ring->device_flags & SHARQ_DEVICE_PAUSED);
	ck_assert(!(queue_poll(q.fd, POLLOUT) & POLLOUT));
	/* What was accepted goes on. */
	slow_take(&q);
	queue_control(q.id, SHARQ_CTL_RESUME);
	ck_assert(!(q.ring->device_flags & SHARQ_DEVICE_PAUSED));
	ck_assert(queue_poll(q.fd, POLLOUT) & POLLOUT);
	queue_kick(&q);
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

/* Not by poll(), which also says that the queue is dead. */
static void wait_completed(const struct queue *q, unsigned int n)
{
	for (uint64_t end = now_ms() + PATIENCE_MS; queue_completed(q) < n;)
		ck_assert_msg(now_ms() < end, "%u of %u completions",
			      queue_completed(q), n);
}

static void kill_queue(const struct queue *q)
{
	queue_control(q->id, SHARQ_CTL_KILL);
}

static void stop_queue(const struct queue *q)
{
	ck_assert(ioctl(q->fd, SHARQ_STOP, 8) && errno == EINVAL);
	ck_assert(!ioctl(q->fd, SHARQ_STOP, 0));
	ck_assert(ioctl(q->fd, SHARQ_STOP, 0) && errno == ESHUTDOWN);
}

static void completes_each_command_once(void (*end)(const struct queue *q))
{
	struct queue q = queue_new(16);
	struct sharq_desc d = desc_fill(memory(PAGE), 1, PAGE);
	unsigned int cancelled = 0;
	bool seen[16] = { false };

	slow_put(&q);
	d.flags = SHARQ_DESC_FENCE;
	for (uint64_t i = 1; i < 16; i++) {
		d.user_data = i;
		queue_put(&q, &d);
	}
	queue_kick(&q);
	end(&q);
	wait_completed(&q, 16);
	for (int i = 0; i < 16; i++) {
		struct sharq_cqe cqe = queue_take(&q);

		ck_assert_uint_lt(cqe.user_data, 16);
		ck_assert(!seen[cqe.user_data]);
		seen[cqe.user_data] = true;
		cancelled += cqe.status == SHARQ_CANCELED;
	}
	ck_assert_uint_ge(cancelled, 15);
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), -ESHUTDOWN);
	ck_assert(queue_poll(q.fd, POLLIN) & POLLHUP);
	ck_assert(q.ring->device_flags & SHARQ_DEVICE_CLOSED);
	queue_free(&q);
	queues_left(0);
}

START_TEST(p14_kill_completes_each_command_once)
{
	completes_each_command_once(kill_queue);
}
END_TEST

/* By its client. */
START_TEST(p14_stop_completes_each_command_once)
{
	completes_each_command_once(stop_queue);
}
END_TEST

/* Slices as short as can be. */
static struct queue slow_queue(void)
{
	struct sharq_ctl_create request = queue_request(8);

	request.weight = SHARQ_WEIGHT_MIN;
	return queue_make(&request);
}

/* The device is one thread: that has answered what it did before @other's. */
static void wait_done_by_device(const struct queue *q, struct queue *other)
{
	struct sharq_desc crc = desc_crc(memory(PAGE), PAGE);
	uint64_t end = now_ms() + PATIENCE_MS;

	while (queue_stats(q->id).served < LARGE)
		ck_assert_msg(now_ms() < end, "a copy is never done");
	ck_assert_uint_eq(queue_run(other, &crc).status, SHARQ_OK);
}

/*
 * The client's thread hangs copying in from a file while one command's result
 * waits to be copied out, and another command to be copied in.
 */
START_TEST(p14_kill_ends_copying_at_once)
{
	const unsigned int expected[] = { SHARQ_RESET, SHARQ_RESET,
					  SHARQ_CANCELED };
	int fd = open(DISK_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t *src = memory(LARGE), *map, *got = memory(LARGE);
	struct gate g = gate_new();
	struct queue q = slow_queue(), other = queue_new(8);
	struct sharq_desc d;

	ck_assert(fd >= 0 && !ftruncate(fd, LARGE));
	map = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(map != MAP_FAILED);
	memset(src, 0x33, LARGE);
	d = desc_copy(map, src, LARGE);
	d.user_data = 1;
	queue_put(&q, &d);
	gate_put(&g, &q);
	d = desc_crc(map, PAGE);
	d.user_data = 2;
	queue_put(&q, &d);
	queue_kick(&q);
	fuse_wait(&g.fuse);
	wait_done_by_device(&q, &other);
	ck_assert_uint_eq(queue_completed(&q), 0);
	queue_control(q.id, SHARQ_CTL_KILL);
	wait_completed(&q, 3);
	for (int i = 0; i < 3; i++) {
		struct sharq_cqe cqe = queue_take(&q);

		ck_assert_uint_lt(cqe.user_data, 3);
		ck_assert_msg(cqe.status == expected[cqe.user_data],
			      "command %llu: status %u", cqe.user_data,
			      cqe.status);
	}
	ck_assert(pread(fd, got, LARGE, 0) == LARGE);
	ck_assert(filled_with(got, 0, LARGE));
	gate_free(&g);
	munmap(map, LARGE);
	close(fd);
	unlink(DISK_FILE);
	queue_free(&other);
	queue_free(&q);
	queues_left(0);
}
END_TEST

START_TEST(controller_hears_of_a_queue_s_end)
{
	struct sharq_ctl_create request = queue_request(8);
	struct sharq_desc nop = desc_nop();
	struct sharq_ctl_event e;
	bool bound = false, ended = false;
	struct queue q;
	uint64_t kicks;

	while (queue_event(&e))
		;
	request.cookie[2] = 77;
	q = queue_make(&request);
	ck_assert(queue_event(&e));
	bound = e.id == q.id && e.state == SHARQ_QUEUE_RUNNING && !e.ended;
	ck_assert(bound);
	ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
	kicks = queue_stats(q.id).kicks;
	queue_free(&q);
	queues_left(0);
	while (queue_event(&e))
		if (e.id == q.id && e.ended) {
			ck_assert_msg(!ended, "it ended twice");
			ended = true;
			ck_assert_uint_eq(e.commands, 1);
			ck_assert_uint_eq(e.by_status[SHARQ_OK], 1);
			ck_assert_uint_eq(e.kicks, kicks);
			ck_assert_uint_eq(e.cookie[2], 77);
		}
	ck_assert(ended);
	ck_assert_uint_gt(kicks, 0);
}
END_TEST

/* One that was built with a struct that has grown since. */
START_TEST(older_controller_hears_events)
{
	struct sharq_ctl_event e;
	struct queue q;

	while (queue_event(&e))
		;
	q = queue_new(8);
	e = (struct sharq_ctl_event){ .size = SHARQ_CTL_EVENT_SIZE_FIRST - 1 };
	ck_assert_int_eq(broker_ctl(SHARQ_CTL_EVENT, &e), -EINVAL);
	e = (struct sharq_ctl_event){ .size = SHARQ_CTL_EVENT_SIZE_FIRST };
	ck_assert_int_eq(broker_ctl(SHARQ_CTL_EVENT, &e), 0);
	ck_assert_uint_eq(e.id, q.id);
	queue_free(&q);
}
END_TEST

START_TEST(older_controller_finds_queues)
{
	struct queue q = queue_new(8);
	struct sharq_ctl_queue seen = {
		.size = SHARQ_CTL_QUEUE_SIZE_FIRST - 1,
		.id = q.id,
	};

	ck_assert_int_eq(broker_ctl(SHARQ_CTL_QUEUE, &seen), -EINVAL);
	seen.size = SHARQ_CTL_QUEUE_SIZE_FIRST;
	seen.reason_errno = 1;
	ck_assert_int_eq(broker_ctl(SHARQ_CTL_QUEUE, &seen), 0);
	ck_assert_uint_eq(seen.id, q.id);
	ck_assert_int_eq(seen.reason_errno, 1);
	queue_free(&q);
}
END_TEST

START_TEST(statistics_add_up)
{
	struct queue q = queue_new(8);
	struct sharq_desc good = desc_copy(memory(PAGE), memory(PAGE), PAGE);
	struct sharq_desc bad = desc_copy(NULL, memory(PAGE), PAGE);
	struct sharq_desc wrong = desc_nop();
	struct sharq_ctl_stats s;
	uint64_t waited = 0, worked = 0;

	wrong.len = 1;
	for (int i = 0; i < 5; i++)
		queue_run(&q, &good);
	queue_run(&q, &bad);
	queue_run(&q, &wrong);
	s = queue_stats(q.id);
	ck_assert_uint_eq(s.commands, 7);
	ck_assert_uint_eq(s.bytes, 5 * PAGE);
	ck_assert_uint_eq(s.by_status[SHARQ_OK], 5);
	ck_assert_uint_eq(s.by_status[SHARQ_FAULT_WRITE], 1);
	ck_assert_uint_eq(s.by_status[SHARQ_BAD_DESCRIPTOR], 1);
	ck_assert_uint_eq(s.kicks, 7);
	ck_assert_uint_eq(s.in_flight, 0);
	ck_assert_uint_eq(s.pinned, 0);
	ck_assert_uint_ge(s.served, 5 * PAGE);
	for (int i = 0; i < SHARQ_HIST_BUCKETS; i++) {
		waited += s.wait_hist[i];
		worked += s.device_hist[i];
	}
	ck_assert_uint_ge(waited, 5);
	ck_assert_uint_ge(worked, 5);
	queue_free(&q);
}
END_TEST

START_TEST(fdinfo_names_the_queue)
{
	struct sharq_ctl_create request = queue_request(8);
	char path[64], text[2048] = "";
	struct queue q;
	ssize_t n;
	int fd;

	strcpy(request.label, "named in fdinfo");
	q = queue_make(&request);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", q.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	ck_assert_msg(strstr(text, "named in fdinfo"), "fdinfo: %s", text);
	close(fd);
	queue_free(&q);
}
END_TEST

/* ---- unloading ---- */

START_TEST(p5_module_stays_while_a_queue_lives)
{
	struct queue q = queue_new(8);
	struct sharq_desc nop = desc_nop();

	/* The queue's file alone keeps it. */
	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(broker_unload(MODULE), -EAGAIN);
	ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
	/* So does its mapping, when the file is closed. */
	ck_assert(!close(q.fd));
	ck_assert_int_eq(broker_unload(MODULE), -EAGAIN);
	ck_assert(!munmap(q.map, q.bind.map_size));
	ck_assert_int_eq(broker_take(), 0);
	queues_left(0);
	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(broker_unload(MODULE), 0);
	ck_assert_int_eq(broker_unload(MODULE), -ENOENT);
	ck_assert_int_eq(broker_load(MODULE, ""), 0);
	ck_assert_int_eq(broker_take(), 0);
	q = queue_new(8);
	ck_assert_uint_eq(queue_run(&q, &nop).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

/* Without any file or mapping: all is closed, the copying can't be ended. */
START_TEST(p5_module_stays_while_a_request_lives)
{
	struct fuse f = fuse_new(FUSE_READ);
	struct queue q = queue_new(8);
	uint8_t *map = fuse_map(&f, MAP_SHARED);
	struct sharq_desc d = desc_copy(map, memory(PAGE), PAGE);

	/* Without read-ahead who faults reads, and no signal ends that. */
	ck_assert(!madvise(map, FUSE_FILE_SIZE, MADV_RANDOM));
	queue_put(&q, &d);
	queue_publish(&q);
	/* Later it would wait for the page fault. */
	ck_assert(!munmap(q.map, q.bind.map_size));
	ck_assert_int_eq(queue_ioctl_kick(q.fd, 1), 1);
	fuse_wait(&f);
	ck_assert(!close(q.fd));
	ck_assert_int_eq(broker_let_go(), 0);
	ck_assert_int_eq(broker_unload(MODULE), -EAGAIN);
	ck_assert_int_eq(broker_take(), 0);
	ck_assert_uint_eq(queues_alive(), 1);
	fuse_free(&f);
	munmap(map, FUSE_FILE_SIZE);
	queues_left(0);
}
END_TEST

/* In flight when all that user space has is closed: unloading waits or is
 * refused, and never pulls the code away under them. */
START_TEST(p5_module_is_unloaded_right_after_its_last_client)
{
	for (int i = 0; i < 5; i++) {
		uint64_t end = now_ms() + PATIENCE_MS;
		struct queue q = queue_new(16);
		int r;

		for (int n = 0; n < 2; n++)
			slow_put(&q);
		queue_kick(&q);
		queue_free(&q);
		ck_assert_int_eq(broker_let_go(), 0);
		while ((r = broker_unload(MODULE)) == -EAGAIN)
			ck_assert_msg(now_ms() < end, "it is never let go");
		ck_assert_int_eq(r, 0);
		ck_assert_int_eq(broker_load(MODULE, ""), 0);
		ck_assert_int_eq(broker_take(), 0);
	}
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("control");

	GUEST_ADD(s, module_says_what_it_is, 60);
	GUEST_ADD(s, control_is_root_s_and_held_once, 60);
	GUEST_ADD(s, p14_controller_killed_with_kicks_in_flight, 180);
	GUEST_ADD(s, p14_queue_is_bound_while_there_is_no_controller, 60);
	GUEST_ADD(s, p14_pause_and_resume_lose_nothing, 60);
	GUEST_ADD(s, p14_kill_completes_each_command_once, 60);
	GUEST_ADD(s, p14_stop_completes_each_command_once, 60);
	GUEST_ADD(s, p14_kill_ends_copying_at_once, 60);
	GUEST_ADD(s, older_controller_hears_events, 60);
	GUEST_ADD(s, older_controller_finds_queues, 30);
	GUEST_ADD(s, controller_hears_of_a_queue_s_end, 60);
	GUEST_ADD(s, statistics_add_up, 60);
	GUEST_ADD(s, fdinfo_names_the_queue, 60);
	GUEST_ADD(s, p5_module_stays_while_a_queue_lives, 120);
	GUEST_ADD(s, p5_module_stays_while_a_request_lives, 60);
	GUEST_ADD(s, p5_module_is_unloaded_right_after_its_last_client, 180);
	return s;
}
