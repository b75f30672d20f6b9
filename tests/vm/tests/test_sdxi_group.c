// SPDX-License-Identifier: MIT
/*
 * What the SDXI function reaches by DMA, shown by its trying at each access to it:
 * from the claim of its IOMMU group until that is given back no more than what the
 * driver has mapped, and of a shadow client's memory what a command of his names, while
 * it is in the function.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "sdxi_function.h"
#include "sdxi_load.h"
#include "trace.h"

#define KERNELS_PAGE "/sys/kernel/debug/dmapage"
#define IOVA_BASE "/sys/module/sharq/parameters/iova_base"

/* ---- memory that it reaches ---- */

/* In the kernel's own domain: the first word of a page, by ../dmapage. */
struct word {
	uint64_t address;
	uint64_t value;
};

static int map_word(void)
{
	int r = broker_load("dmapage", ""), fd;

	ck_assert_msg(!r, "dmapage: %s", strerror(-r));
	fd = broker_open(KERNELS_PAGE, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert(write(fd, SDXI_ADDRESS, strlen(SDXI_ADDRESS)) ==
		  (ssize_t)strlen(SDXI_ADDRESS));
	return fd;
}

static struct word word(int fd)
{
	char text[64] = "", *end;
	struct word w;

	ck_assert(pread(fd, text, sizeof(text) - 1, 0) > 0);
	w.address = strtoull(text, &end, 10);
	w.value = strtoull(end, NULL, 10);
	ck_assert(w.address);
	return w;
}

static void unmap_word(int fd)
{
	close(fd);
	ck_assert(!broker_unload("dmapage"));
}

/* Where the driver maps its first table, in a domain of its own. */
static uint64_t first_table(void)
{
	char line[32];
	FILE *f = fopen(IOVA_BASE, "re");

	ck_assert(f && fgets(line, sizeof(line), f));
	fclose(f);
	return strtoull(line, NULL, 0);
}

/* ---- its tries ---- */

#define PHASES 3

struct tries {
	struct phase {
		bool reached;
		uint64_t registers;
		uint64_t configs;
	} phases[PHASES];
};

static bool take_phase(struct phase *p, unsigned int i)
{
	uint64_t value = sdxi_counter(SDXI_TEST_REG_PHASE + 8 * i);

	p->reached = value & SDXI_TEST_PHASE_REACHED;
	p->registers = (value & SDXI_TEST_PHASE_REGISTERS) >> 32;
	p->configs = value & SDXI_TEST_PHASE_CONFIGS;
	return value;
}

static struct tries take_tries(void)
{
	struct tries t = { 0 };
	struct phase p;

	sdxi_behave();
	for (unsigned int i = 0; i < SDXI_TEST_PHASES && take_phase(&p, i);
	     i++) {
		printf("phase %u: %s, %lu accesses to registers, %lu to "
		       "configuration space\n",
		       i, p.reached ? "reached" : "refused", p.registers,
		       p.configs);
		ck_assert_uint_lt(i, PHASES);
		t.phases[i] = p;
		ck_assert_int_eq(p.reached, t.phases[0].reached ^ i % 2);
	}
	ck_assert(p.registers == 0 && p.configs == 0);
	return t;
}

/* While no driver has it. */
static void access_it(void)
{
	int fd = open(PCI_DEVICES SDXI_ADDRESS "/config", O_RDONLY);
	uint32_t class;

	ck_assert_int_ge(fd, 0);
	ck_assert(pread(fd, &class, sizeof(class), 8) == sizeof(class));
	close(fd);
}

/* The driver, which doesn't have it, takes it, uses it, and lets go of it. */
static struct tries try_throughout(enum sdxi_test_cmd cmd, uint64_t address)
{
	sdxi_misbehave(0, cmd, address);
	access_it();
	sdxi_bind_again();
	load_works();
	sdxi_unbind();
	access_it();
	return take_tries();
}

static const struct phase *expect_phases(const struct tries *t, bool reached)
{
	for (unsigned int i = 0; i < PHASES; i++) {
		ck_assert(t->phases[i].registers || t->phases[i].configs);
		ck_assert_int_eq(t->phases[i].reached, reached ^ i % 2);
	}
	return t->phases;
}

START_TEST(p10_dma_is_blocked_from_claim_to_attach_and_from_detach_to_release)
{
	const struct phase *kernels, *own;
	struct tries t, u;
	int fd;

	sdxi_unbind();
	fd = map_word();
	t = try_throughout(SDXI_TEST_TRY_READ, word(fd).address);
	u = try_throughout(SDXI_TEST_TRY_READ, first_table());
	kernels = expect_phases(&t, true);
	own = expect_phases(&u, false);
	/* Not touched but while it is claimed. */
	ck_assert(!kernels[0].registers && !kernels[2].registers);
	/* Claimed, but not yet, or not any more, attached. */
	ck_assert_uint_gt(own[0].registers, kernels[0].registers);
	ck_assert_uint_gt(own[2].configs, kernels[2].configs);
	unmap_word(fd);
	sdxi_bind_again();
}
END_TEST

/* Not by the model's word alone. */
START_TEST(p10_what_the_function_writes_arrives_only_in_the_kernels_hands)
{
	uint64_t before;
	struct tries t;
	int fd;

	sdxi_unbind();
	fd = map_word();
	sdxi_misbehave(0, SDXI_TEST_TRY_WRITE, word(fd).address);
	access_it();
	sdxi_bind_again();
	before = word(fd).value;
	ck_assert_uint_ne(before, 0);
	load_works();
	ck_assert_uint_eq(word(fd).value, before);
	sdxi_unbind();
	access_it();
	ck_assert_uint_gt(word(fd).value, before);
	t = take_tries();
	expect_phases(&t, true);
	unmap_word(fd);
	sdxi_bind_again();
	load_works();
}
END_TEST

/* ---- a client's memory ---- */

#define SHADOW_CONTEXT 1

/* How many were mapped, and where the function sees the last of them. */
static unsigned int traced_mappings(uint64_t *last)
{
	FILE *f = fdopen(trace_open(), "r");
	unsigned int n = 0;
	char line[256];

	ck_assert(f);
	while (fgets(line, sizeof(line), f)) {
		const char *at = strstr(line, " map: IOMMU: iova=");

		if (at && sscanf(at, " map: IOMMU: iova=%lx", last) == 1)
			n++;
	}
	fclose(f);
	return n;
}

/* A source and a destination. */
static uint64_t wait_for_destination(void)
{
	uint64_t end = now_ms() + PATIENCE_MS, address;

	while (traced_mappings(&address) < 2) {
		ck_assert_msg(now_ms() < end, "nothing is mapped");
		poll(NULL, 0, 1);
	}
	return address;
}

static void trace_mappings(const char *on)
{
	trace_write("trace", "");
	trace_write("tracing_on", "1");
	trace_write("events/iommu/map/enable", on);
}

static void try_to_write(uint64_t address)
{
	sdxi_misbehave(0, SDXI_TEST_TRY_WRITE, address);
	access_it();
}

/* Each try, or none. */
static bool has_reached_it(void)
{
	struct tries t = take_tries();

	ck_assert(!t.phases[1].registers && !t.phases[1].configs);
	return t.phases[0].reached;
}

/* By an address that it has kept, that is: as long as it hangs it may. */
START_TEST(p10_function_reaches_a_clients_page_only_until_its_completion)
{
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);
	struct sharq_desc d = desc_copy(dst, src, PAGE);
	struct queue q = sdxi_queue(4);
	uint64_t address;

	memset(src, 0x5a, PAGE);
	trace_mappings("1");
	sdxi_misbehave(SHADOW_CONTEXT, SDXI_TEST_HANG, 0);
	queue_put(&q, &d);
	queue_kick(&q);
	address = wait_for_destination();
	trace_mappings("0");
	try_to_write(address);
	ck_assert_uint_ne(dst[0], 0);
	ck_assert(has_reached_it());
	queue_wait(&q, 1);
	ck_assert_uint_eq(queue_take(&q).status, SHARQ_OK);
	ck_assert(filled_with(dst, 0x5a, PAGE));
	try_to_write(address);
	ck_assert(!has_reached_it());
	ck_assert(filled_with(dst, 0x5a, PAGE));
	queue_free(&q);
	load_works();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi group");

	GUEST_ADD(
		s,
		p10_dma_is_blocked_from_claim_to_attach_and_from_detach_to_release,
		60);
	GUEST_ADD(
		s,
		p10_what_the_function_writes_arrives_only_in_the_kernels_hands,
		60);
	GUEST_ADD(s,
		  p10_function_reaches_a_clients_page_only_until_its_completion,
		  60);
	return s;
}
