// SPDX-License-Identifier: MIT
/*
 * Direct queues on the SDXI function and their client's process: fork, exec, exit,
 * SIGKILL at any time; and what others see of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "guest.h"
#include "handover.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"
#include "sdxi_slot.h"

#define KILLS 50
#define NEIGHBOURS 8

static struct rng rng = { .state = 21 };

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
	CHILD_EXPECT(ioctl(r->fd, SHARQ_STOP, 0) && errno == EPERM);
	CHILD_EXPECT(!can_map(r->fd, b->map_size, b->map_offset));
	CHILD_EXPECT(!can_map(r->fd, PAGE, b->bell_offset));
	CHILD_EXPECT(!can_map(r->fd, b->area_size, b->area_offset));
}

START_TEST(p4_fork_with_commands_in_flight)
{
	uint8_t *src = memory(COMMANDS * PAGE), *dst = memory(COMMANDS * PAGE);
	struct sdxi_ring r;
	pid_t pid;

	rng_fill(&rng, src, COMMANDS * PAGE);
	r = ring_new_hung(dst, src, PAGE);
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
		ring_load_works();
		CHILD_EXPECT(filled_with(dst, 0, COMMANDS * PAGE));
		_exit(0);
	}
	reap_well(pid);
	for (int i = 0; i < COMMANDS; i++)
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	ck_assert(!memcmp(dst, src, COMMANDS * PAGE));
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

/* In mid-command, in each way. */
START_TEST(p5_process_ends_while_its_context_hangs)
{
	struct neighbour other = sdxi_neighbour_start();

	for (enum end how = 0; how < ENDS; how++) {
		pid_t pid = spawn();

		if (!pid) {
			uint8_t *buf = memory(2 * COMMANDS * PAGE);
			struct sdxi_ring r =
				ring_new_hung(buf, buf + COMMANDS * PAGE, PAGE);

			CHILD_EXPECT(!sdxi_done(&r));
			end_by(how, r.fd);
		}
		reap_end(pid, how);
		queues_left(1);
		sdxi_behave();
		neighbour_advances(&other, 5);
	}
	neighbour_stop(&other);
	ring_load_works();
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
	peer_hear(down);
	CHILD_EXPECT(!sdxi_done(&r[0]) && !sdxi_done(&r[1]));
	end_by(how, r[0].fd);
}

/* A client whose queues wait so: @ids. */
struct hanging {
	struct fuse fuse;
	enum end how;
	pid_t pid;
	int up[2], down[2];
	uint64_t ids[HANGING];
};

static struct hanging hanging_start(int flags, enum end how)
{
	struct hanging h = { .fuse = fuse_new(FUSE_READ), .how = how };

	ck_assert(!pipe2(h.up, O_CLOEXEC) && !pipe2(h.down, O_CLOEXEC));
	h.pid = spawn();
	if (!h.pid)
		client_in_fuse(&h.fuse, flags, how, h.up[1], h.down[0]);
	for (int i = 0; i < HANGING; i++) {
		fuse_wait(&h.fuse);
		ck_assert(read(h.up[0], &h.ids[i], 8) == 8);
	}
	return h;
}

static void hanging_end(struct hanging *h)
{
	peer_tell(h->down[1]);
	reap_end(h->pid, h->how);
	for (int i = 0; i < 2; i++) {
		close(h->up[i]);
		close(h->down[i]);
	}
}

/*
 * It is gone, and its queues are dead, though its memory, and with that they, stay
 * until the file system answers. Their contexts are free.
 */
static void hang_in_fuse(int flags, enum end how)
{
	struct neighbour other = sdxi_neighbour_start();
	struct neighbour shadow = sdxi_neighbour_start_shadow();
	unsigned int kept = how == BY_EXIT_WITHOUT_FILE, all;
	struct hanging h;

	neighbour_advances(&other, 20);
	all = sdxi_device().direct_free;
	h = hanging_start(flags, how);
	neighbour_advances(&other, 20);
	/* Others come and go. */
	ring_load_works();
	hanging_end(&h);
	/* Of the first nobody but the mapping knows, if its file was closed. */
	for (unsigned int i = kept; i < HANGING; i++)
		ck_assert_msg(queue_seen(h.ids[i]).state == SHARQ_QUEUE_GONE,
			      "queue %u: state %u", i,
			      queue_seen(h.ids[i]).state);
	sdxi_wait_free(all - kept);
	neighbour_advances(&other, 20);
	neighbour_advances(&shadow, 5);
	ring_load_works();
	ring_load_works();
	fuse_free(&h.fuse);
	neighbour_stop(&other);
	neighbour_stop(&shadow);
	sdxi_all_gone();
}

/* The module's limit of bonds that wait to be undone, in sdxi_bond.c, and more. */
#define MANY_BONDS 300

/* No bond is undone meanwhile: so those there are have to be taken again. */
START_TEST(p13_fuse_never_answers_and_another_comes_and_goes)
{
	struct hanging h = hanging_start(MAP_SHARED, BY_KILL);

	for (int i = 0; i < MANY_BONDS; i++) {
		struct sdxi_ring r = sdxi_ring_new();

		ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
		sdxi_ring_free(&r);
	}
	hanging_end(&h);
	fuse_free(&h.fuse);
	sdxi_all_gone();
}
END_TEST

/* 0: the next process that comes has a direct queue; else why not. */
static unsigned int refused_to_another(void)
{
	struct sharq_bind bind = queue_bind_request();
	int fd, status;
	uint64_t id;
	pid_t pid = spawn();

	if (!pid) {
		bind.path = SHARQ_BIND_ANY;
		fd = sdxi_ring_file(&id);
		CHILD_EXPECT(!queue_bind(fd, &bind));
		_exit(bind.path == SHARQ_BIND_DIRECT ? 0 : (int)bind.reason);
	}
	status = reap(pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Bonds and PASIDs have an end then, and that is said. */
START_TEST(p2_fuse_never_answers_and_too_many_others_come_and_go)
{
	struct hanging h = hanging_start(MAP_SHARED, BY_KILL);
	unsigned int n = 0, reason;

	do
		reason = refused_to_another();
	while (!reason && ++n < MANY_BONDS);
	printf("after %u others: reason %u\n", n, reason);
	ck_assert_uint_eq(reason, SHARQ_REASON_NOT_NOW);
	ck_assert_uint_ge(n, 100);
	hanging_end(&h);
	fuse_free(&h.fuse);
	while (refused_to_another())
		;
	sdxi_all_gone();
	/* Undoes all at once: the next test takes some, and stops their undoing. */
	sdxi_unbind();
	sdxi_bind_again();
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
}

/* The first of its process. Signals interrupt it, and the kernel begins anew. */
static void bind_among_signals(void)
{
	struct sharq_bind bind = queue_bind_request();
	pid_t self = getpid(), other;
	uint64_t id;
	int fd = sdxi_ring_file(&id), e;

	bind.path = SHARQ_BIND_DIRECT;
	signal(SIGUSR1, on_signal);
	other = fork();
	if (!other)
		while (!kill(self, SIGUSR1))
			;
	e = queue_bind(fd, &bind);
	kill(other, SIGKILL);
	_exit(-e);
}

/* Nothing is left of it then whose end would take as long as the server does. */
START_TEST(p13_fuse_never_answers_and_signals_interrupt_a_bind)
{
	struct hanging h = hanging_start(MAP_SHARED, BY_KILL);

	for (int i = 0; i < 20; i++) {
		pid_t pid = spawn();

		if (!pid)
			bind_among_signals();
		reap_well(pid);
	}
	ring_load_works();
	hanging_end(&h);
	fuse_free(&h.fuse);
	sdxi_all_gone();
}
END_TEST

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

/*
 * A function that can't give up the wait for a page has to be reset: all its direct
 * queues go, and it serves again.
 */
START_TEST(p13_fuse_never_answers_and_the_function_stops_softly_only)
{
	struct neighbour shadow;
	struct sdxi_ring other;
	struct hanging h;

	sdxi_slot_plug("\"hard-stop\": 0");
	shadow = sdxi_neighbour_start_shadow();
	other = sdxi_ring_new();
	h = hanging_start(MAP_SHARED, BY_KILL);
	ck_assert_uint_eq(sdxi_run(&other, sdxi_nop()), SHARQ_OK);
	hanging_end(&h);
	sdxi_wait_settled(&other);
	ck_assert_uint_eq(queue_seen(other.id).state, SHARQ_QUEUE_GONE);
	ck_assert_uint_eq(sdxi_run(&other, sdxi_nop()), SHARQ_RESET);
	ring_load_works();
	neighbour_advances(&shadow, 5);
	neighbour_stop(&shadow);
	fuse_free(&h.fuse);
	sdxi_ring_free(&other);
	sdxi_all_gone();
	sdxi_slot_unplug();
}
END_TEST

/* ---- PASIDs ---- */

#define SPACES 8
#define CHANGES 20
#define DEAD 12

static uint64_t pasid_of(struct sdxi_ring *r)
{
	unsigned int cxt = sdxi_context(r);
	uint64_t pasid;

	/* What was tried on others' contexts. */
	sdxi_behave();
	CHILD_EXPECT(cxt < SDXI_TEST_PASIDS);
	pasid = sdxi_counter(SDXI_TEST_REG_PASID + cxt * 8);
	CHILD_EXPECT(pasid != SDXI_TEST_NO_PASID);
	return pasid;
}

/* It binds anew each time that it is told, and says what PASID it has. */
static void live_bound(int down, int up)
{
	for (;;) {
		struct sdxi_ring a = sdxi_ring_new(), b = sdxi_ring_new();
		uint64_t pasid = pasid_of(&a);

		CHILD_EXPECT(pasid_of(&b) == pasid);
		CHILD_EXPECT(write(up, &pasid, 8) == 8);
		peer_hear(down);
		sdxi_ring_free(&a);
		sdxi_ring_free(&b);
	}
}

/* struct space - the address space of a process that has queues: its @pasid */
struct space {
	pid_t pid;
	int down[2], up[2];
	uint64_t pasid;
};

static void space_hear(struct space *s)
{
	ck_assert(read(s->up[0], &s->pasid, 8) == 8);
}

static struct space space_new(void)
{
	struct space s;

	ck_assert(!pipe2(s.down, O_CLOEXEC) && !pipe2(s.up, O_CLOEXEC));
	s.pid = spawn();
	if (!s.pid)
		live_bound(s.down[0], s.up[1]);
	close(s.up[1]);
	space_hear(&s);
	return s;
}

static void space_bind_again(struct space *s)
{
	peer_tell(s->down[1]);
	space_hear(s);
}

static void space_kill(struct space *s)
{
	ck_assert(!kill(s->pid, SIGKILL));
	reap_end(s->pid, BY_KILL);
	close(s->down[0]);
	close(s->down[1]);
	close(s->up[0]);
}

static void none_has(const struct space *s, unsigned int n, uint64_t pasid)
{
	for (unsigned int i = 0; i < n; i++)
		ck_assert_msg(s[i].pasid != pasid,
			      "PASID %lu is of two address spaces", pasid);
}

START_TEST(p11_living_address_spaces_share_no_pasid)
{
	struct space s[SPACES];

	for (unsigned int i = 0; i < SPACES; i++) {
		s[i] = space_new();
		none_has(s, i, s[i].pasid);
	}
	for (unsigned int n = 0; n < CHANGES; n++) {
		struct space *any = &s[rng_next(&rng) % (SPACES - 1)];
		struct space *last = &s[SPACES - 1];

		if (n & 1) {
			space_kill(any);
			*any = *last;
			*last = space_new();
		} else {
			space_bind_again(any);
			for (struct space *t = s; t < s + SPACES; t++)
				ck_assert(t == any || t->pasid != any->pasid);
		}
		none_has(s, SPACES - 1, last->pasid);
	}
	for (unsigned int i = 0; i < SPACES; i++)
		space_kill(&s[i]);
	sdxi_all_gone();
}
END_TEST

/* The first queues' contexts. */
static uint64_t pasid_of_hanging(void)
{
	return sdxi_counter(SDXI_TEST_REG_PASID + 2 * 8);
}

/* No bond is undone meanwhile: the function may still use what the dead had. */
START_TEST(p11_fuse_never_answers_and_no_pasid_is_used_again)
{
	struct hanging h = hanging_start(MAP_SHARED, BY_KILL);
	struct space s[DEAD + 1] = { { .pasid = pasid_of_hanging() } };

	for (unsigned int i = 1; i <= DEAD; i++) {
		if (i == DEAD / 2)
			hanging_end(&h);
		s[i] = space_new();
		none_has(s, i, s[i].pasid);
		space_bind_again(&s[i]);
		none_has(s, i, s[i].pasid);
		space_kill(&s[i]);
	}
	fuse_free(&h.fuse);
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
	/* Huge ones are few, and asked for at once. */
	if (kind == COLD)
		ck_assert(!madvise(room, 18 * MIB, MADV_NOHUGEPAGE));
	if (kind == BINDING) {
		peer_tell(up);
		bind_for_ever();
	}
	for (int i = 0; i < (kind == TWO_QUEUES ? 2 : 1); i++) {
		r[i] = sdxi_ring_new();
		ring_fill(&r[i], &rng, room, room + 9 * MIB);
		if (kind == SLOW)
			sdxi_misbehave(2 + seed / VICTIMS % NEIGHBOURS,
				       SDXI_TEST_DELAY, 5);
		sdxi_bell(&r[i]);
	}
	peer_tell(up);
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
	peer_hear(up[0]);
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

	for (int i = 0; i < NEIGHBOURS; i++) {
		others[i] = start[i]();
		/* They work in what time the clients leave. */
		ck_assert(!setpriority(PRIO_PROCESS, (id_t)others[i].pid, 10));
	}
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

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi process");

	GUEST_ADD(s, p4_fork_with_commands_in_flight, 30);
	GUEST_ADD(s, p4_who_is_handed_the_file_is_refused, 30);
	GUEST_ADD(s, p5_process_ends_while_its_context_hangs, 30);
	GUEST_ADD(s, p13_fuse_never_answers_and_another_comes_and_goes, 60);
	GUEST_ADD(s, p2_fuse_never_answers_and_too_many_others_come_and_go, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_signals_interrupt_a_bind, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_is_killed, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_execs, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_client_exits, 60);
	GUEST_ADD(s, p13_fuse_never_answers_and_the_function_stops_softly_only,
		  60);
	GUEST_ADD(s, p11_living_address_spaces_share_no_pasid, 60);
	GUEST_ADD(s, p11_fuse_never_answers_and_no_pasid_is_used_again, 60);
	GUEST_ADD(s, p5_killed_at_any_time_beside_8_others, 300);
	return s;
}
