// SPDX-License-Identifier: MIT
/*
 * How direct queues on the SDXI function end: with their process, with their files
 * and mappings, by the controller, with the function; and what others see of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "fuse.h"
#include "guest.h"
#include "handover.h"
#include "sdxi_function.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

#define KILLS 50
#define NEIGHBOURS 8
#define BATCH 32

static struct rng rng = { .state = 21 };

/* A new queue works. */
static void works(void)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(5000), *dst = memory(5000);

	rng_fill(&rng, src, 5000);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(dst, src, 5000)), SHARQ_OK);
	ck_assert(!memcmp(dst, src, 5000));
	ck_assert(!munmap(src, 5000));
	ck_assert(!munmap(dst, 5000));
	sdxi_ring_free(&r);
}

static void put_copies(struct sdxi_ring *r, uint8_t *dst, const uint8_t *src,
		       uint32_t len)
{
	for (int i = 0; i < BATCH; i++)
		sdxi_put(r, sdxi_copy(dst + (size_t)i * len,
				      src + (size_t)i * len, len));
	sdxi_bell(r);
}

/* Commands are in flight, and stay so until the function behaves. */
static struct sdxi_ring hung_ring(uint8_t *dst, const uint8_t *src,
				  uint32_t len)
{
	struct sdxi_ring r = sdxi_ring_new();

	sdxi_misbehave(sdxi_context(&r), SDXI_TEST_HANG, 0);
	put_copies(&r, dst, src, len);
	return r;
}

static void tell(int fd)
{
	CHILD_EXPECT(write(fd, "", 1) == 1);
}

static void hear(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	CHILD_EXPECT(poll(&p, 1, PATIENCE_MS) == 1);
	CHILD_EXPECT(read(fd, &byte, 1) == 1);
}

/* ---- fork, exec, and who isn't the client ---- */

static bool mapped(const volatile void *p)
{
	unsigned char there;

	return !mincore((void *)p, PAGE, &there) || errno != ENOMEM;
}

static bool can_map(int fd, uint64_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)offset);

	return p != MAP_FAILED || errno != EPERM;
}

static void refused_everywhere(const struct sdxi_ring *r)
{
	struct sharq_bind bind = queue_bind_request();
	struct sharq_eventfd event = { .size = sizeof(event), .fd = -1 };
	const struct sharq_bind *b = &r->bind;

	CHILD_EXPECT(queue_poll(r->fd, POLLIN) & POLLERR);
	CHILD_EXPECT(queue_bind(r->fd, &bind) == -EPERM);
	CHILD_EXPECT(queue_ioctl_kick(r->fd, 1) == -EPERM);
	CHILD_EXPECT(sdxi_ring_start(r, r->area) == -EPERM);
	CHILD_EXPECT(ioctl(r->fd, SHARQ_EVENTFD, &event) && errno == EPERM);
	CHILD_EXPECT(!can_map(r->fd, b->map_size, b->map_offset));
	CHILD_EXPECT(!can_map(r->fd, PAGE, b->bell_offset));
	CHILD_EXPECT(!can_map(r->fd, b->area_size, b->area_offset));
}

START_TEST(p4_fork_with_commands_in_flight)
{
	uint8_t *src = memory(BATCH * PAGE), *dst = memory(BATCH * PAGE);
	struct sdxi_ring r;
	pid_t pid;

	rng_fill(&rng, src, BATCH * PAGE);
	r = hung_ring(dst, src, PAGE);
	ck_assert(madvise(r.area, r.bind.area_size, MADV_DOFORK));
	ck_assert(madvise((void *)r.bell, PAGE, MADV_DOFORK));
	pid = spawn();
	if (!pid) {
		CHILD_EXPECT(!mapped(r.area));
		CHILD_EXPECT(!mapped(r.bell));
		CHILD_EXPECT(!mapped(r.rings));
		refused_everywhere(&r);
		/* What it has is as it was when it was born. */
		sdxi_behave();
		works();
		CHILD_EXPECT(filled_with(dst, 0, BATCH * PAGE));
		_exit(0);
	}
	reap_well(pid);
	for (int i = 0; i < BATCH; i++)
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	ck_assert(!memcmp(dst, src, BATCH * PAGE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

START_TEST(p4_who_is_handed_the_file_is_refused)
{
	struct sdxi_ring r;
	int pair[2];
	pid_t pid;

	handover_pair(pair);
	/* No child of the client's. */
	pid = spawn();
	if (!pid) {
		r.bind = queue_bind_request();
		r.fd = handover_receive(pair[1]);
		CHILD_EXPECT(read(pair[1], &r.bind, sizeof(r.bind)) ==
			     sizeof(r.bind));
		refused_everywhere(&r);
		_exit(0);
	}
	r = sdxi_ring_new();
	handover_send(pair[0], r.fd);
	ck_assert(write(pair[0], &r.bind, sizeof(r.bind)) == sizeof(r.bind));
	reap_well(pid);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	close(pair[0]);
	close(pair[1]);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* ---- the end of a process ---- */

enum end {
	BY_KILL,
	BY_EXEC,
	BY_EXIT,
	BY_EXIT_WITHOUT_FILE,
	ENDS
};

int guest_execed(const char *what, int fd)
{
	return strcmp(what, "nothing") || fd != -1;
}

static void end(enum end how, int fd)
{
	if (how == BY_EXIT_WITHOUT_FILE)
		close(fd);
	if (how == BY_EXEC)
		guest_exec("nothing", -1);
	if (how == BY_KILL)
		raise(SIGKILL);
	_exit(0);
}

static void reap_end(pid_t pid, enum end how)
{
	int status = reap(pid);

	if (how == BY_KILL)
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		ck_assert_int_eq(status, 0);
}

/* In mid-command, in each way. */
START_TEST(p5_process_ends_while_its_context_hangs)
{
	struct neighbour other = sdxi_neighbour_start();

	for (enum end how = 0; how < ENDS; how++) {
		pid_t pid = spawn();

		if (!pid) {
			uint8_t *buf = memory(2 * BATCH * PAGE);
			struct sdxi_ring r =
				hung_ring(buf, buf + BATCH * PAGE, PAGE);

			CHILD_EXPECT(!sdxi_done(&r));
			end(how, r.fd);
		}
		reap_end(pid, how);
		queues_left(1);
		sdxi_behave();
		neighbour_advances(&other, 5);
	}
	neighbour_stop(&other);
	works();
	sdxi_all_gone();
}
END_TEST

#define HANGING 2

/*
 * Its device waits for pages that nobody delivers, to read and to write them. As
 * long as it does the kernel lets the client change none of its mappings.
 */
static void client_in_fuse(const struct fuse *f, int flags, enum end how,
			   int up, int down)
{
	uint8_t *map = fuse_map(f, flags), *mine = memory(64 * KIB);
	struct sdxi_ring r[HANGING];

	for (int i = 0; i < HANGING; i++)
		r[i] = sdxi_ring_new();
	for (int i = 0; i < HANGING; i++) {
		uint8_t *at = map + i * FUSE_FILE_SIZE / HANGING + 100;

		sdxi_put(&r[i], i ? sdxi_copy(at, mine, 5000)
				  : sdxi_copy(mine, at, 5000));
		sdxi_bell(&r[i]);
		CHILD_EXPECT(write(up, &r[i].id, 8) == 8);
	}
	hear(down);
	CHILD_EXPECT(!sdxi_done(&r[0]) && !sdxi_done(&r[1]));
	end(how, r[0].fd);
}

/*
 * It is gone, and its queues are dead, though its memory, and with that they, stay
 * until the file system answers.
 */
static void hang_in_fuse(int flags, enum end how)
{
	struct neighbour other = sdxi_neighbour_start();
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct fuse f = fuse_new(FUSE_READ);
	uint64_t ids[HANGING];
	int up[2], down[2];
	pid_t pid;

	ck_assert(!pipe2(up, O_CLOEXEC) && !pipe2(down, O_CLOEXEC));
	pid = spawn();
	if (!pid)
		client_in_fuse(&f, flags, how, up[1], down[0]);
	for (int i = 0; i < HANGING; i++) {
		fuse_wait(&f);
		ck_assert(read(up[0], &ids[i], 8) == 8);
	}
	neighbour_advances(&other, 20);
	/* Others come and go. */
	works();
	tell(down[1]);
	reap_end(pid, how);
	/* Of the first nobody but the mapping knows, if its file was closed. */
	for (int i = how == BY_EXIT_WITHOUT_FILE; i < HANGING; i++)
		ck_assert_msg(queue_seen(ids[i]).state == SHARQ_QUEUE_GONE,
			      "queue %d: state %u", i,
			      queue_seen(ids[i]).state);
	neighbour_advances(&other, 20);
	neighbour_advances(&shadow, 5);
	works();
	works();
	fuse_free(&f);
	neighbour_stop(&other);
	neighbour_stop(&shadow);
	for (int i = 0; i < 2; i++) {
		close(up[i]);
		close(down[i]);
	}
	sdxi_all_gone();
}

START_TEST(p13_fuse_never_answers_and_the_client_is_killed)
{
	hang_in_fuse(MAP_PRIVATE, BY_KILL);
	hang_in_fuse(MAP_SHARED, BY_KILL);
}
END_TEST

START_TEST(p13_fuse_never_answers_and_the_client_execs)
{
	hang_in_fuse(MAP_SHARED, BY_EXEC);
}
END_TEST

START_TEST(p13_fuse_never_answers_and_the_client_exits)
{
	hang_in_fuse(MAP_SHARED, BY_EXIT);
	hang_in_fuse(MAP_PRIVATE, BY_EXIT_WITHOUT_FILE);
}
END_TEST

START_TEST(p14_kill_settles_what_fuse_never_answers)
{
	struct fuse f = fuse_new(FUSE_READ);
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *map = fuse_map(&f, MAP_SHARED);

	sdxi_put(&r, sdxi_copy(map, memory(PAGE), PAGE));
	sdxi_put(&r, sdxi_nop());
	sdxi_bell(&r);
	fuse_wait(&f);
	queue_control(r.id, SHARQ_CTL_KILL);
	sdxi_wait_settled(&r);
	ck_assert_uint_eq(sdxi_take(&r), SHARQ_RESET);
	ck_assert_uint_eq(sdxi_take(&r), SHARQ_CANCELED);
	fuse_free(&f);
	ck_assert(!munmap(map, FUSE_FILE_SIZE));
	sdxi_ring_free(&r);
	works();
	sdxi_all_gone();
}
END_TEST

/* ---- killed at any time ---- */

enum victim {
	BUSY,
	COLD,
	SLOW,
	BINDING,
	TWO_QUEUES,
	VICTIMS
};

static void put_load(struct sdxi_ring *r, uint8_t *dst, uint8_t *src)
{
	for (unsigned int i = 0; i < r->entries; i++) {
		uint32_t at = (uint32_t)(rng_next(&rng) % (8 * MIB));

		sdxi_put(r, sdxi_copy(dst + at, src + at, 16 * KIB));
	}
}

static void bind_for_ever(void)
{
	for (;;) {
		struct sdxi_ring r = sdxi_ring_new();

		if (rng_next(&rng) & 1)
			sdxi_run(&r, sdxi_nop());
		sdxi_ring_free(&r);
	}
}

/* It says so when it is at it. */
static void victim(unsigned int seed, int up)
{
	uint8_t *room = mmap(NULL, 18 * MIB, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sdxi_ring r[2];
	enum victim kind = seed % VICTIMS;

	rng.state = seed;
	ck_assert(room != MAP_FAILED);
	if (kind == BUSY)
		memset(room, 1, 18 * MIB);
	if (kind == BINDING) {
		tell(up);
		bind_for_ever();
	}
	for (int i = 0; i < (kind == TWO_QUEUES ? 2 : 1); i++) {
		r[i] = sdxi_ring_new();
		put_load(&r[i], room, room + 9 * MIB);
		if (kind == SLOW)
			sdxi_misbehave(2 + seed / VICTIMS % NEIGHBOURS,
				       SDXI_TEST_DELAY, 5);
		sdxi_bell(&r[i]);
	}
	tell(up);
	for (;;)
		pause();
}

static void kill_one(unsigned int seed)
{
	int up[2], status;
	pid_t pid;

	ck_assert(!pipe2(up, O_CLOEXEC));
	pid = spawn();
	if (!pid)
		victim(seed, up[1]);
	hear(up[0]);
	/* Any time will do. */
	poll(NULL, 0, (int)(rng_next(&rng) % 20));
	ck_assert(!kill(pid, SIGKILL));
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(up[0]);
	close(up[1]);
}

START_TEST(p5_killed_at_any_time_beside_8_others)
{
	struct neighbour (*const start[])(void) = {
		sdxi_neighbour_start,	     sdxi_neighbour_start,
		sdxi_neighbour_start,	     sdxi_neighbour_start_faulting,
		sdxi_neighbour_start_shadow, sdxi_neighbour_start_shadow,
		neighbour_start_direct,	     neighbour_start,
	};
	unsigned int kills = guest_parameter("kills", KILLS);
	struct neighbour others[NEIGHBOURS];

	for (int i = 0; i < NEIGHBOURS; i++)
		others[i] = start[i]();
	for (unsigned int i = 0; i < kills; i++) {
		kill_one(i);
		sdxi_behave();
	}
	queues_left(NEIGHBOURS);
	for (int i = 0; i < NEIGHBOURS; i++) {
		neighbour_advances(&others[i], 1);
		neighbour_stop(&others[i]);
	}
	sdxi_all_gone();
	printf("%u clients killed\n", kills);
}
END_TEST

/* ---- the end of a queue ---- */

static void let_go(struct sdxi_ring *r, unsigned int which)
{
	switch (which) {
	case 0:
		ck_assert(!close(r->fd));
		break;
	case 1:
		ck_assert(!munmap(r->area, r->bind.area_size));
		break;
	case 2:
		ck_assert(!munmap((void *)r->bell, PAGE));
		break;
	case 3:
		ck_assert(!munmap(r->rings, r->bind.map_size));
	}
}

/* Under way, and hung. */
START_TEST(p5_files_and_mappings_are_let_go_in_each_order)
{
	uint8_t *src = memory(BATCH * PAGE), *dst = memory(BATCH * PAGE);
	struct neighbour other = sdxi_neighbour_start();
	unsigned int all = sdxi_device().direct_free;

	for (unsigned int code = 0; code < 2 * 256; code++) {
		unsigned int seen = 0;
		struct sdxi_ring r;

		for (int i = 0; i < 4; i++)
			seen |= 1U << (code >> 2 * i & 3);
		if (seen != 15)
			continue;
		if (code & 256) {
			r = hung_ring(dst, src, PAGE);
		} else {
			r = sdxi_ring_new();
			put_copies(&r, dst, src, PAGE);
		}
		for (int i = 0; i < 4; i++)
			let_go(&r, code >> 2 * i & 3);
		sdxi_wait_free(all);
		sdxi_behave();
	}
	neighbour_advances(&other, 5);
	neighbour_stop(&other);
	sdxi_all_gone();
}
END_TEST

START_TEST(p11_closing_one_of_two_queues_disturbs_nothing_in_the_other)
{
	const uint32_t len = 16 * KIB;
	struct sdxi_ring mine = sdxi_ring_new();
	uint8_t *src = memory(BATCH * len), *dst = memory(BATCH * len);
	uint8_t *load = memory(18 * MIB);

	for (unsigned int i = 0; i < 20; i++) {
		struct sdxi_ring other = sdxi_ring_new();

		rng_fill(&rng, src, BATCH * len);
		put_load(&other, load, load + 9 * MIB);
		sdxi_bell(&other);
		put_copies(&mine, dst, src, len);
		sdxi_ring_free(&other);
		for (int n = 0; n < BATCH; n++)
			ck_assert_uint_eq(sdxi_take(&mine), SHARQ_OK);
		ck_assert(!memcmp(src, dst, BATCH * len));
	}
	sdxi_ring_free(&mine);
	sdxi_all_gone();
}
END_TEST

/*
 * A batch into zeros: what is done comes first, then, if the queue died, one that
 * may be, then ones that never will. How many were done.
 */
static unsigned int take_batch(struct sdxi_ring *r, const uint8_t *dst,
			       const uint8_t *src, uint32_t len)
{
	unsigned int by_status[SHARQ_STATUS_COUNT] = { 0 };

	for (unsigned int i = 0; i < BATCH; i++) {
		enum sharq_status status = sdxi_take(r);
		const uint8_t *to = dst + (size_t)i * len;

		by_status[status]++;
		if (status == SHARQ_OK) {
			ck_assert_uint_eq(by_status[SHARQ_OK], i + 1);
			ck_assert(!memcmp(to, src + (size_t)i * len, len));
		} else if (status == SHARQ_CANCELED) {
			ck_assert(filled_with(to, 0, len));
		}
	}
	ck_assert_uint_le(by_status[SHARQ_RESET], 1);
	ck_assert_uint_eq(by_status[SHARQ_OK] + by_status[SHARQ_RESET] +
				  by_status[SHARQ_CANCELED],
			  BATCH);
	return by_status[SHARQ_OK];
}

static void expect_dead(struct sdxi_ring *r)
{
	ck_assert(queue_poll(r->fd, 0) & POLLHUP);
	ck_assert_int_eq(sdxi_ring_start(r, r->area), -ESHUTDOWN);
	/* A doorbell that nobody hears is harmless. */
	sdxi_bell(r);
}

START_TEST(p14_pause_stops_and_resume_needs_no_doorbell)
{
	uint8_t *src = memory(BATCH * PAGE), *dst = memory(BATCH * PAGE);
	struct sdxi_ring r = sdxi_ring_new(), other = sdxi_ring_new();

	rng_fill(&rng, src, BATCH * PAGE);
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	queue_control(r.id, SHARQ_CTL_PAUSE);
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_PAUSED);
	put_copies(&r, dst, src, PAGE);
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(sdxi_run(&other, sdxi_nop()), SHARQ_OK);
	ck_assert(!sdxi_done(&r));
	queue_control(r.id, SHARQ_CTL_RESUME);
	for (int i = 0; i < BATCH; i++)
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	ck_assert(!memcmp(src, dst, BATCH * PAGE));
	/* And it hears again. */
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_ring_free(&other);
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_kill_settles_what_hangs)
{
	uint8_t *src = memory(BATCH * PAGE), *dst = memory(BATCH * PAGE);
	struct sdxi_ring r;

	memset(src, 5, BATCH * PAGE);
	r = hung_ring(dst, src, PAGE);
	queue_control(r.id, SHARQ_CTL_KILL);
	sdxi_wait_settled(&r);
	ck_assert_uint_eq(take_batch(&r, dst, src, PAGE), 0);
	ck_assert(r.rings->device_flags & SHARQ_DEVICE_CLOSED);
	sdxi_behave();
	expect_dead(&r);
	works();
	ck_assert(filled_with(dst + PAGE, 0, (BATCH - 1) * PAGE));
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* ---- the end of the function ---- */

#define LOAD_LEN (64 * KIB)

struct load {
	struct sdxi_ring r;
	uint8_t *src;
	uint8_t *dst;
};

static struct load load_new(void)
{
	struct load l = { .r = sdxi_ring_new(),
			  .src = memory(BATCH * LOAD_LEN),
			  .dst = memory(BATCH * LOAD_LEN) };

	rng_fill(&rng, l.src, BATCH * LOAD_LEN);
	return l;
}

static void load_put(struct load *l)
{
	memset(l->dst, 0, BATCH * LOAD_LEN);
	put_copies(&l->r, l->dst, l->src, LOAD_LEN);
}

static unsigned int load_take(struct load *l)
{
	return take_batch(&l->r, l->dst, l->src, LOAD_LEN);
}

/* What was canceled or reset isn't done later either. */
static void load_free(struct load *l, unsigned int done)
{
	for (unsigned int i = done + 1; i < BATCH; i++)
		ck_assert(filled_with(l->dst + (size_t)i * LOAD_LEN, 0,
				      LOAD_LEN));
	sdxi_ring_free(&l->r);
	munmap(l->src, BATCH * LOAD_LEN);
	munmap(l->dst, BATCH * LOAD_LEN);
}

/* Its queue dies under load, before it is stopped. */
static void live_until_reset(struct neighbour_page *page)
{
	struct load l = load_new();
	unsigned int done;

	for (;;) {
		load_put(&l);
		done = load_take(&l);
		if (done < BATCH)
			break;
		CHILD_EXPECT(neighbour_again(page));
	}
	sdxi_wait_settled(&l.r);
	CHILD_EXPECT(queue_seen(l.r.id).state == SHARQ_QUEUE_GONE);
	expect_dead(&l.r);
	load_free(&l, done);
}

START_TEST(p13_context_that_ignores_its_stop_resets_the_function)
{
	unsigned int all = sdxi_device().direct_free;
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	struct neighbour direct[3];
	int up[2];
	pid_t pid;

	ck_assert(!pipe2(up, O_CLOEXEC));
	pid = spawn();
	if (!pid) {
		uint8_t *buf = memory(2 * BATCH * PAGE);
		struct sdxi_ring r = sdxi_ring_new();
		unsigned int cxt = sdxi_context(&r);

		sdxi_misbehave(cxt, SDXI_TEST_HANG, 0);
		sdxi_misbehave(cxt, SDXI_TEST_IGNORE_STOP, 0);
		put_copies(&r, buf, buf + BATCH * PAGE, PAGE);
		tell(up[1]);
		for (;;)
			pause();
	}
	hear(up[0]);
	for (int i = 0; i < 3; i++)
		direct[i] = neighbour_start_as(live_until_reset);
	ck_assert(!kill(pid, SIGKILL));
	reap(pid);
	sdxi_wait_free(all);
	sdxi_behave();
	for (int i = 0; i < 3; i++)
		neighbour_stop(&direct[i]);
	neighbour_advances(&shadow, 5);
	works();
	neighbour_stop(&shadow);
	close(up[0]);
	close(up[1]);
	sdxi_all_gone();
}
END_TEST

static void expect_gone(struct load *l)
{
	unsigned int done;

	sdxi_wait_settled(&l->r);
	done = load_take(l);
	expect_dead(&l->r);
	ck_assert_uint_eq(queue_seen(l->r.id).state, SHARQ_QUEUE_GONE);
	load_free(l, done);
}

/* Files and mappings stay meanwhile, and don't hold it up. */
START_TEST(p14_unbind_under_load_settles_all)
{
	for (int round = 0; round < 5; round++) {
		struct load a = load_new(), b = load_new();
		struct sharq_ctl_device gone;

		load_put(&a);
		load_put(&b);
		sdxi_unbind();
		ck_assert(!sdxi_find(&gone));
		sdxi_wait_settled(&a.r);
		sdxi_wait_settled(&b.r);
		sdxi_bind_again();
		works();
		expect_gone(&a);
		expect_gone(&b);
	}
	sdxi_all_gone();
}
END_TEST

/* As hot-unplug ends. */
START_TEST(p14_removal_under_load_settles_all)
{
	for (int round = 0; round < 3; round++) {
		struct load l = load_new();

		load_put(&l);
		ck_assert(
			!broker_write(PCI_DEVICES SDXI_ADDRESS "/remove", "1"));
		expect_gone(&l);
		ck_assert(!broker_write("/sys/bus/pci/rescan", "1"));
		works();
	}
	sdxi_all_gone();
}
END_TEST

START_TEST(p14_vanished_function_settles_all)
{
	struct load l = load_new();
	struct sharq_ctl_device d;
	uint64_t end = now_ms() + PATIENCE_MS;

	sdxi_misbehave(sdxi_context(&l.r), SDXI_TEST_HANG, 0);
	load_put(&l);
	sdxi_misbehave(0, SDXI_TEST_VANISH, 0);
	expect_gone(&l);
	while (sdxi_find(&d)) {
		ck_assert(now_ms() < end);
		poll(NULL, 0, 1);
	}
	sdxi_behave();
	sdxi_unbind();
	sdxi_bind_again();
	works();
	sdxi_all_gone();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi ends");

	GUEST_ADD(s, p4_fork_with_commands_in_flight, 30);
	GUEST_ADD(s, p4_who_is_handed_the_file_is_refused, 30);
	GUEST_ADD(s, p5_process_ends_while_its_context_hangs, 30);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_is_killed, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_execs, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_exits, 60);
	GUEST_ADD(s, p14_kill_settles_what_fuse_never_answers, 60);
	GUEST_ADD(s, p5_killed_at_any_time_beside_8_others, 300);
	GUEST_ADD(s, p5_files_and_mappings_are_let_go_in_each_order, 60);
	GUEST_ADD(s,
		  p11_closing_one_of_two_queues_disturbs_nothing_in_the_other,
		  60);
	GUEST_ADD(s, p14_pause_stops_and_resume_needs_no_doorbell, 30);
	GUEST_ADD(s, p14_kill_settles_what_hangs, 30);
	GUEST_ADD(s, p13_context_that_ignores_its_stop_resets_the_function, 60);
	GUEST_ADD(s, p14_unbind_under_load_settles_all, 60);
	GUEST_ADD(s, p14_removal_under_load_settles_all, 60);
	GUEST_ADD(s, p14_vanished_function_settles_all, 60);
	return s;
}
