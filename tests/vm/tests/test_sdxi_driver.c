// SPDX-License-Identifier: MIT
/*
 * The sdxi provider on the device model of tests/vm/device: what it serves, and
 * what becomes of commands when the function, or the driver, goes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "fuse.h"
#include "guest.h"
#include "queue.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "trace.h"

#define VIRTIO "/sys/bus/pci/drivers/virtio-pci/"
#define IOVA_BASE "/sys/module/sharq/parameters/iova_base"
/* Beside an MSI's: a little less than what the driver takes for its tables. */
#define BEFORE_MSIS "0xfedf0000"
#define ONE_SHADOW_CONTEXT 1

static struct rng rng = { .state = 4 };

/* ---- the device ---- */

static void command(enum sdxi_test_cmd cmd, uint64_t arg)
{
	sdxi_misbehave(ONE_SHADOW_CONTEXT, cmd, arg);
}

static uint64_t executed(void)
{
	return sdxi_counter(SDXI_TEST_REG_DESCRIPTORS);
}

/* Only the driver's own commands come through while the context hangs. */
static void wait_executed(uint64_t n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (executed() < n) {
		ck_assert_msg(now_ms() < end, "nothing is done about it");
		poll(NULL, 0, 1);
	}
}

/* ---- what it serves ---- */

START_TEST(p1_device_says_what_it_has)
{
	struct sharq_ctl_device d = sdxi_device();
	struct queue q = sdxi_queue(4);
	struct sharq_desc crc = desc_crc(memory(PAGE), PAGE);
	struct sharq_cqe cqe;

	ck_assert_uint_eq(d.ops, SHARQ_OP_BIT(SHARQ_OP_NOP) |
					 SHARQ_OP_BIT(SHARQ_OP_COPY));
	if (d.reason == SHARQ_REASON_NONE) {
		ck_assert_uint_eq(d.paths, 1U << SHARQ_BIND_SHADOW |
						   1U << SHARQ_BIND_DIRECT);
	} else {
		ck_assert_uint_eq(d.reason, SHARQ_REASON_NO_SVA);
		ck_assert_uint_eq(d.paths, 1U << SHARQ_BIND_SHADOW);
		ck_assert_uint_eq(d.direct_free, 0);
	}
	cqe = queue_run(&q, &crc);
	ck_assert_uint_eq(cqe.status, SHARQ_UNSUPPORTED);
	ck_assert_uint_eq(cqe.consumed, SHARQ_FIELD_OP);
	queue_free(&q);
}
END_TEST

START_TEST(p1_device_says_what_its_dma_goes_through)
{
	struct sharq_ctl_dma dma = { .size = sizeof(dma),
				     .id = sdxi_device().id };

	ck_assert(!broker_ctl(SHARQ_CTL_DMA, &dma));
	ck_assert_uint_eq(dma.id, sdxi_device().id);
	ck_assert_uint_eq(dma.flags, SHARQ_DMA_ADDRESSES | SHARQ_DMA_GROUP |
					     SHARQ_DMA_COHERENT |
					     SHARQ_DMA_ATS | SHARQ_DMA_PRI);
	ck_assert_uint_eq(dma.group, sdxi_group());
	ck_assert_str_eq(dma.owner, "sharq");
	ck_assert_uint_ge(dma.address_bits, 39);
	/* The model's pasid-bits. */
	ck_assert_uint_eq(dma.pasids, 256);
}
END_TEST

/* By Debian's 6.1 and 6.12, that is; guest-sdxi-direct has what 7.2 does. */
START_TEST(p3_direct_is_refused_with_the_reason)
{
	struct sharq_ctl_create c = queue_request(8);
	struct sharq_bind bind = queue_bind_request();
	int fd;

	if (sdxi_device().reason == SHARQ_REASON_NONE)
		return;
	c.device = sdxi_device().id;
	fd = queue_file(&c);
	bind.path = SHARQ_BIND_DIRECT;
	ck_assert_int_eq(queue_bind(fd, &bind), -EOPNOTSUPP);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_NO_SVA);
	ck_assert_int_eq(bind.reason_errno, -EOPNOTSUPP);
	/* That wasn't the one time. */
	bind = queue_bind_request();
	bind.path = SHARQ_BIND_ANY;
	ck_assert_int_eq(queue_bind(fd, &bind), 0);
	ck_assert_uint_eq(bind.path, SHARQ_BIND_SHADOW);
	ck_assert_uint_eq(bind.reason, SHARQ_REASON_NO_SVA);
	ck_assert(bind.flags & SHARQ_BOUND_SYNC_ONLY);
	ck_assert_uint_eq(queue_seen(c.id).reason, SHARQ_REASON_NO_SVA);
	ck_assert_int_eq(queue_seen(c.id).reason_errno, -EOPNOTSUPP);
	close(fd);
}
END_TEST

/* All of a slice's borders; what lies around stays as it is. */
static void copy_and_compare(struct queue *q, uint8_t *dst, uint8_t *want,
			     uint8_t *src, uint32_t to, uint32_t from,
			     uint32_t len)
{
	const size_t size = 3 * MIB;
	struct sharq_desc d = desc_copy(dst + to, src + from, len);
	struct sharq_cqe cqe;

	rng_fill(&rng, dst, size);
	memcpy(want, dst, size);
	memcpy(want + to, src + from, len);
	cqe = queue_run(q, &d);
	ck_assert_msg(cqe.status == SHARQ_OK && cqe.consumed == len &&
			      cqe.produced == len,
		      "%u bytes: status %u, %u, %u", len, cqe.status,
		      cqe.consumed, cqe.produced);
	ck_assert_msg(!memcmp(dst, want, size), "%u bytes from %u to %u", len,
		      from, to);
}

START_TEST(copies_as_memcpy)
{
	static const uint32_t lens[] = {
		0,	 1,	   511,		  512,	     513,
		PAGE,	 PAGE + 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1,
		MIB + 3, 2 * MIB,
	};
	uint8_t *src = memory(3 * MIB), *dst = memory(3 * MIB);
	uint8_t *want = memory(3 * MIB);
	struct queue q = sdxi_queue(4);

	rng_fill(&rng, src, 3 * MIB);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++)
		for (unsigned int n = 0; n < 4; n++)
			copy_and_compare(&q, dst, want, src,
					 (uint32_t)(rng_next(&rng) % MIB),
					 (uint32_t)(rng_next(&rng) % MIB),
					 lens[i]);
	queue_free(&q);
}
END_TEST

START_TEST(copies_of_many_at_once)
{
	struct load loads[4];

	for (int i = 0; i < 4; i++)
		loads[i] = load_new(100000 + (uint32_t)i);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 4; i++)
			load_kick(&loads[i]);
		for (int i = 0; i < 4; i++)
			load_take_all_ok(&loads[i]);
	}
	for (int i = 0; i < 4; i++)
		load_free(&loads[i]);
}
END_TEST

/* ---- its memory ---- */

static unsigned int count(const char *text, const char *end, const char *word)
{
	unsigned int n = 0;

	while ((text = strstr(text, word)) && text < end) {
		text += strlen(word);
		n++;
	}
	return n;
}

/* Not before a completion only: before the page is unpinned, which it follows. */
START_TEST(p9_pages_are_unmapped_before_the_completion)
{
	uint8_t *src = memory(64 * KIB), *dst = memory(64 * KIB);
	struct sharq_desc d = desc_copy(dst, src, 64 * KIB);
	struct queue q = sdxi_queue(4);
	const char *text, *end;

	trace_write("trace", "");
	trace_write("tracing_on", "1");
	trace_write("events/iommu/map/enable", "1");
	trace_write("events/iommu/unmap/enable", "1");
	trace_write("events/sharq/sharq_complete/enable", "1");
	for (int i = 0; i < 20; i++)
		ck_assert_uint_eq(queue_run(&q, &d).status, SHARQ_OK);
	trace_write("events/enable", "0");
	text = trace_text();
	for (int i = 0; i < 20; i++) {
		end = strstr(text, "sharq_complete:");
		ck_assert_msg(end, "%d completions were traced; then: %s", i,
			      text);
		ck_assert_uint_ge(count(text, end, " map:"), 2);
		ck_assert_msg(count(text, end, " unmap:") == 2,
			      "%u of 2 operands were unmapped",
			      count(text, end, " unmap:"));
		text = strchr(end, '\n');
	}
	queue_free(&q);
}
END_TEST

/* Written there, bytes would be interrupts, and not arrive. */
START_TEST(p10_reserved_regions_are_left_out)
{
	ck_assert(!broker_write(IOVA_BASE, BEFORE_MSIS));
	sdxi_unbind();
	sdxi_bind_again();
	load_works();
	sdxi_unbind();
	ck_assert(!broker_write(IOVA_BASE, "0x1000000"));
	sdxi_bind_again();
	load_works();
}
END_TEST

/* The other function, whose group has more devices than one. */
static const char *shared_function(void)
{
	static char slot[32];
	glob_t files;

	ck_assert(!glob("/sys/bus/pci/devices/*/class", 0, NULL, &files));
	for (size_t i = 0; i < files.gl_pathc && !*slot; i++) {
		const char *at = files.gl_pathv[i] + strlen(PCI_DEVICES);
		char class[16] = "";
		FILE *f = fopen(files.gl_pathv[i], "r");

		ck_assert(f && fgets(class, sizeof(class), f));
		fclose(f);
		if (!strcmp(class, "0x120100\n") &&
		    strncmp(at, SDXI_ADDRESS, strlen(SDXI_ADDRESS)))
			snprintf(slot, sizeof(slot), "%.*s",
				 (int)strcspn(at, "/"), at);
	}
	globfree(&files);
	ck_assert_msg(*slot, "there is no second function");
	return slot;
}

/* Does the kernel's log, from where @fd is, have a line with @word? */
static bool logged(int fd, const char *word)
{
	char line[1024];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		line[n > 0 ? n : 0] = 0;
		if (strstr(line, word))
			return true;
	}
	return false;
}

/* The other device in its group. */
static void neighbour(const char *file)
{
	char slot[32];
	int r;

	strcpy(slot, shared_function());
	slot[strlen("0000:00:0")] = '2';
	r = broker_write(file, slot);
	ck_assert_msg(!r, "%s: %s: %s", file, slot, strerror(-r));
}

START_TEST(p10_shared_group_is_refused_and_named)
{
	const char *slot = shared_function();
	int log = broker_open("/dev/kmsg", O_RDONLY | O_NONBLOCK);

	ck_assert_int_ge(log, 0);
	ck_assert_int_ge(lseek(log, 0, SEEK_END), 0);
	ck_assert_int_eq(broker_write(SDXI_DRIVER "bind", slot), -EBUSY);
	ck_assert(logged(log, "is shared"));
	ck_assert(logged(log, "driver virtio-pci"));
	/* Nor while nobody has the other. */
	neighbour(VIRTIO "unbind");
	ck_assert_int_eq(broker_write(SDXI_DRIVER "bind", slot), -EBUSY);
	ck_assert(logged(log, "is shared"));
	neighbour(VIRTIO "bind");
	close(log);
	load_works();
}
END_TEST

/* ---- going away ---- */

/* The clients' files stay open meanwhile, and don't hold it up. */
START_TEST(p14_unbind_under_load_answers_all)
{
	for (int round = 0; round < 10; round++) {
		struct load a = load_new(256 * KIB), b = load_new(3000);
		struct sharq_ctl_device before = sdxi_device(), after;

		load_kick(&a);
		load_kick(&b);
		sdxi_unbind();
		ck_assert(!sdxi_find(&after));
		load_is_gone(&a);
		load_is_gone(&b);
		sdxi_bind_again();
		after = sdxi_device();
		ck_assert_uint_ne(before.id, after.id);
		ck_assert_str_eq(before.name, after.name);
		load_works();
		load_free(&a);
		load_free(&b);
	}
	queues_left(0);
}
END_TEST

/* As hot-unplug ends. What comes back is another device, in another group. */
START_TEST(p14_removal_under_load_answers_all)
{
	char path[128];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/remove", SDXI_ADDRESS);
	for (int round = 0; round < 3; round++) {
		struct load l = load_new(64 * KIB);
		struct sharq_ctl_device gone;

		load_kick(&l);
		ck_assert(!broker_write(path, "1"));
		ck_assert(!sdxi_find(&gone));
		load_is_gone(&l);
		load_free(&l);
		ck_assert(!broker_write("/sys/bus/pci/rescan", "1"));
		load_works();
	}
}
END_TEST

START_TEST(p14_unbind_of_a_hanging_function_answers_all)
{
	struct load l = load_new(4096);
	char reset[64];

	snprintf(reset, sizeof(reset),
		 "sharq_reset: device=%u busy=", sdxi_device().id);
	trace_write("trace", "");
	trace_write("tracing_on", "1");
	trace_write("events/sharq/sharq_reset/enable", "1");
	command(SDXI_TEST_HANG, 0);
	command(SDXI_TEST_IGNORE_STOP, 0);
	load_kick(&l);
	sdxi_unbind();
	trace_write("events/enable", "0");
	ck_assert_msg(strstr(trace_text(), reset), "no %s", reset);
	load_take(&l);
	ck_assert_uint_eq(l.by_status[SHARQ_OK], 0);
	sdxi_queue_is_dead(&l.q);
	load_free(&l);
	command(SDXI_TEST_BEHAVE, 0);
	sdxi_bind_again();
	load_works();
}
END_TEST

START_TEST(p14_vanished_function_answers_all)
{
	struct load l = load_new(4096);
	struct sharq_ctl_device d;
	uint64_t end = now_ms() + PATIENCE_MS;

	command(SDXI_TEST_HANG, 0);
	load_kick(&l);
	command(SDXI_TEST_VANISH, 0);
	/* Nobody is sent there any more, though the driver is still bound. */
	while (sdxi_find(&d) || !(queue_poll(l.q.fd, 0) & POLLHUP)) {
		ck_assert(now_ms() < end);
		poll(NULL, 0, 1);
	}
	load_is_gone(&l);
	ck_assert_uint_eq(l.by_status[SHARQ_OK], 0);
	load_free(&l);
	command(SDXI_TEST_BEHAVE, 0);
	sdxi_unbind();
	sdxi_bind_again();
	load_works();
}
END_TEST

/* ---- misbehaving ---- */

/* Less than a real function is given, more than this one ever takes. */
#define HANG_MS 700

/* The context hangs until the driver's own @commands came through. */
static void hangs_for_a_while(uint64_t commands)
{
	struct load a = load_new(4096), b = load_new(300000);
	uint64_t before;

	sdxi_lose_patience(SDXI_HANG, HANG_MS);
	command(SDXI_TEST_HANG, 0);
	before = executed();
	load_kick(&a);
	load_kick(&b);
	wait_executed(before + commands);
	command(SDXI_TEST_BEHAVE, 0);
	load_take_all_ok(&a);
	load_take_all_ok(&b);
	load_free(&a);
	load_free(&b);
	sdxi_be_patient();
}

START_TEST(p13_hung_context_is_stopped_and_all_run_again)
{
	/* STOP, SYNC, START: the function itself goes on. */
	hangs_for_a_while(3);
}
END_TEST

START_TEST(p13_unstoppable_context_resets_and_all_run_again)
{
	command(SDXI_TEST_IGNORE_STOP, 0);
	/* STOP, after which SYNC waits; START in the function's new life. */
	hangs_for_a_while(2);
}
END_TEST

START_TEST(p13_who_hangs_it_twice_is_quarantined)
{
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc d = desc_copy(dst, src, PAGE);
	struct queue q = sdxi_queue(4);

	sdxi_lose_patience(SDXI_HANG, HANG_MS);
	command(SDXI_TEST_HANG, 0);
	queue_put(&q, &d);
	queue_kick(&q);
	while (!queue_completed(&q))
		poll(NULL, 0, 1);
	sdxi_be_patient();
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_TIMEOUT);
	ck_assert_uint_eq(queue_seen(q.id).state, SHARQ_QUEUE_QUARANTINED);
	sdxi_queue_is_dead(&q);
	command(SDXI_TEST_BEHAVE, 0);
	load_works();
	queue_free(&q);
}
END_TEST

/* One queue after the other is blamed: at last it isn't they. */
START_TEST(p13_function_that_always_hangs_is_given_up)
{
	enum {
		QUEUES = 5,
		BLAMED = 3
	};
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc d = desc_copy(dst, src, PAGE);
	unsigned int by_status[SHARQ_STATUS_COUNT] = { 0 };
	struct queue q[QUEUES];
	struct sharq_ctl_device gone;

	sdxi_lose_patience(SDXI_HANG, HANG_MS);
	command(SDXI_TEST_HANG, 0);
	for (int i = 0; i < QUEUES; i++) {
		q[i] = sdxi_queue(4);
		queue_put(&q[i], &d);
		queue_kick(&q[i]);
	}
	for (int i = 0; i < QUEUES; i++) {
		while (!queue_completed(&q[i]))
			poll(NULL, 0, 1);
		by_status[queue_take(&q[i]).status]++;
	}
	sdxi_be_patient();
	ck_assert_uint_eq(by_status[SHARQ_TIMEOUT], BLAMED);
	ck_assert_uint_eq(by_status[SHARQ_RESET], QUEUES - BLAMED);
	while (sdxi_find(&gone))
		poll(NULL, 0, 1);
	for (int i = 0; i < QUEUES; i++) {
		sdxi_queue_is_dead(&q[i]);
		queue_free(&q[i]);
	}
	command(SDXI_TEST_BEHAVE, 0);
	sdxi_unbind();
	sdxi_bind_again();
	load_works();
}
END_TEST

static void survives(enum sdxi_test_cmd cmd, uint64_t arg)
{
	struct load l = load_new(5000);

	command(cmd, arg);
	load_kick(&l);
	load_take_all_ok(&l);
	command(SDXI_TEST_BEHAVE, 0);
	load_kick(&l);
	load_take_all_ok(&l);
	load_free(&l);
}

START_TEST(p14_lost_completion_costs_time_only)
{
	sdxi_lose_patience(SDXI_HANG, HANG_MS);
	survives(SDXI_TEST_DROP, 1);
	sdxi_be_patient();
}
END_TEST

START_TEST(p14_late_completions_cost_time_only)
{
	survives(SDXI_TEST_DELAY, 20);
}
END_TEST

START_TEST(p14_corrupt_index_costs_time_only)
{
	survives(SDXI_TEST_CORRUPT_INDEX, 1000000);
}
END_TEST

START_TEST(p14_function_in_error_state_is_started_again)
{
	survives(SDXI_TEST_FATAL, 0);
}
END_TEST

static void names(enum sdxi_test_cmd cmd, enum sharq_status status)
{
	struct load l = load_new(5000);

	command(cmd, 1000);
	load_kick(&l);
	load_take(&l);
	ck_assert_uint_eq(l.by_status[status], 1);
	ck_assert_uint_eq(l.by_status[SHARQ_OK], COMMANDS - 1);
	load_free(&l);
	load_works();
}

START_TEST(p13_error_is_its_owners_and_names_the_operand)
{
	names(SDXI_TEST_FAIL_COPY, SHARQ_FAULT_WRITE);
	names(SDXI_TEST_FAIL_READ, SHARQ_FAULT_READ);
}
END_TEST

#define LIMIT 2U
#define LATE_MS 10

/* How many of @id's there were at most in the device, as the trace has it. */
static unsigned int most_in_device(const char *text, uint64_t id)
{
	char push[48], complete[48];
	unsigned int now = 0, most = 0;

	snprintf(push, sizeof(push), "sharq_push: queue=%llu ",
		 (unsigned long long)id);
	snprintf(complete, sizeof(complete), "sharq_complete: queue=%llu ",
		 (unsigned long long)id);
	for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
		now += count(text, end, push);
		now -= count(text, end, complete);
		if (now > most)
			most = now;
	}
	ck_assert_uint_eq(now, 0);
	return most;
}

/* One kick hands over all; each is one slice; one thread answers. */
START_TEST(p13_queue_has_no_more_commands_in_the_device_than_its_limit)
{
	struct sharq_ctl_create c = queue_request(COMMANDS);
	struct sharq_desc d = desc_copy(memory(PAGE), memory(PAGE), PAGE);
	struct queue q;

	c.device = sdxi_device().id;
	c.in_device = LIMIT;
	q = queue_make(&c);
	trace_write("trace", "");
	trace_write("trace_clock", "counter");
	trace_write("tracing_on", "1");
	trace_write("events/sharq/sharq_push/enable", "1");
	trace_write("events/sharq/sharq_complete/enable", "1");
	command(SDXI_TEST_DELAY, LATE_MS);
	for (int i = 0; i < COMMANDS; i++)
		queue_put(&q, &d);
	queue_kick(&q);
	queue_wait(&q, COMMANDS);
	command(SDXI_TEST_BEHAVE, 0);
	trace_write("events/enable", "0");
	ck_assert_uint_eq(most_in_device(trace_text(), q.id), LIMIT);
	/* That empties it. */
	trace_write("trace_clock", "global");
	for (int i = 0; i < COMMANDS; i++)
		ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	queue_free(&q);
}
END_TEST

#define ONTO_ITSELF (8 * MIB)

/* Copies onto themselves, which the CPU does, all at once; then the function's. */
START_TEST(p13_what_the_cpu_does_keeps_nobody_else_waiting)
{
	struct sharq_ctl_create c = queue_request(2 * COMMANDS);
	uint8_t *p = memory(ONTO_ITSELF + PAGE);
	struct fuse f = fuse_new(FUSE_READ);
	uint8_t *away = fuse_map(&f, MAP_SHARED);
	struct queue greedy, other = sdxi_queue(4);
	struct sharq_desc d = desc_copy(memory(PAGE), away, PAGE);

	c.device = sdxi_device().id;
	c.pin_bytes = 1024 * MIB;
	c.in_device = COMMANDS;
	greedy = queue_make(&c);
	queue_put(&greedy, &d);
	d = desc_copy(p + 1, p, ONTO_ITSELF);
	for (int i = 0; i < COMMANDS; i++) {
		/* All are pinned while the first waits for a page. */
		d.flags = i ? 0 : SHARQ_DESC_FENCE;
		queue_put(&greedy, &d);
	}
	queue_kick(&greedy);
	fuse_wait(&f);
	fuse_free(&f);
	queue_wait(&greedy, 1);
	d = desc_copy(p + 1, p + PAGE, PAGE - 1);
	ck_assert_uint_eq(queue_run(&other, &d).status, SHARQ_OK);
	ck_assert_uint_lt(queue_completed(&greedy), COMMANDS / 2);
	queue_wait(&greedy, 1 + COMMANDS);
	ck_assert_uint_eq(queue_take(&greedy).status, SHARQ_FAULT_READ);
	for (int i = 0; i < COMMANDS; i++)
		ck_assert_uint_eq(queue_take(&greedy).status, SHARQ_OK);
	queue_free(&greedy);
	queue_free(&other);
	ck_assert(!munmap(away, FUSE_FILE_SIZE));
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi");

	GUEST_ADD(s, p1_device_says_what_it_has, 30);
	GUEST_ADD(s, p3_direct_is_refused_with_the_reason, 30);
	GUEST_ADD(s, copies_as_memcpy, 60);
	GUEST_ADD(s, copies_of_many_at_once, 60);
	if (access("/sys/kernel/iommu_groups/0", F_OK)) {
		puts("SKIP: there is no IOMMU: no P9, no P10");
	} else {
		GUEST_ADD(s, p1_device_says_what_its_dma_goes_through, 30);
		GUEST_ADD(s, p9_pages_are_unmapped_before_the_completion, 60);
		GUEST_ADD(s, p10_reserved_regions_are_left_out, 60);
		GUEST_ADD(s, p10_shared_group_is_refused_and_named, 30);
	}
	GUEST_ADD(s, p14_unbind_under_load_answers_all, 90);
	GUEST_ADD(s, p14_removal_under_load_answers_all, 60);
	GUEST_ADD(s, p14_unbind_of_a_hanging_function_answers_all, 60);
	GUEST_ADD(s, p14_vanished_function_answers_all, 60);
	GUEST_ADD(s, p13_hung_context_is_stopped_and_all_run_again, 60);
	GUEST_ADD(s, p13_unstoppable_context_resets_and_all_run_again, 60);
	GUEST_ADD(s, p13_who_hangs_it_twice_is_quarantined, 60);
	GUEST_ADD(s, p13_function_that_always_hangs_is_given_up, 60);
	GUEST_ADD(s, p13_what_the_cpu_does_keeps_nobody_else_waiting, 60);
	GUEST_ADD(s,
		  p13_queue_has_no_more_commands_in_the_device_than_its_limit,
		  30);
	GUEST_ADD(s, p13_error_is_its_owners_and_names_the_operand, 30);
	GUEST_ADD(s, p14_lost_completion_costs_time_only, 30);
	GUEST_ADD(s, p14_late_completions_cost_time_only, 30);
	GUEST_ADD(s, p14_corrupt_index_costs_time_only, 30);
	GUEST_ADD(s, p14_function_in_error_state_is_started_again, 30);
	return s;
}
