// SPDX-License-Identifier: MIT
/*
 * Clients that mean harm, with a context of the SDXI function each: what they can
 * end is their own queue. Neighbours verify all that they copy meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "kernel_addresses.h"
#include "sdxi_function.h"
#include "sdxi_neighbour.h"
#include "sdxi_ring.h"

/* Where the driver's own addresses for the function begin: its iova_base. */
#define IOVA_BASE (16UL * MIB)
#define KERNEL_HALF 0xffff800000000000UL
#define NOT_CANONICAL 0x0100000000000000UL
#define LAST_PAGE 0xfffffffffffff000UL

static struct rng rng = { .state = 31 };

/* ---- neighbours ---- */

#define NEIGHBOURS 3

static struct neighbour others[NEIGHBOURS];

static void begin(void)
{
	others[0] = sdxi_neighbour_start();
	others[1] = sdxi_neighbour_start_faulting();
	others[2] = sdxi_neighbour_start_shadow();
}

static void others_advance(unsigned int rounds)
{
	for (int i = 0; i < NEIGHBOURS; i++)
		neighbour_advances(&others[i], rounds);
}

static void finish(void)
{
	others_advance(3);
	for (int i = 0; i < NEIGHBOURS; i++)
		neighbour_stop(&others[i]);
	sdxi_all_gone();
}

/* ---- descriptors ---- */

static void expect_ended(const struct sdxi_ring *r,
			 enum sharq_queue_state state)
{
	sdxi_wait_settled(r);
	ck_assert_uint_eq(queue_seen(r->id).state, state);
	ck_assert(queue_poll(r->fd, 0) & POLLHUP);
}

/* Between two good ones; the last isn't done any more. */
static void breaks(const char *what, union sdxi_dsc dsc)
{
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(2 * PAGE);

	memset(src, 1, PAGE);
	sdxi_put(&r, sdxi_copy(dst, src, PAGE));
	sdxi_put(&r, dsc);
	sdxi_put(&r, sdxi_copy(dst + PAGE, src, PAGE));
	sdxi_bell(&r);
	sdxi_wait_settled(&r);
	ck_assert_msg(queue_seen(r.id).state == SHARQ_QUEUE_BROKEN,
		      "%s: the queue's state is %u", what,
		      queue_seen(r.id).state);
	ck_assert(queue_poll(r.fd, 0) & POLLHUP);
	ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
	ck_assert(filled_with(dst, 1, PAGE));
	ck_assert_msg(filled_with(dst + PAGE, 0, PAGE), "%s: it went on", what);
	sdxi_ring_free(&r);
	munmap(src, PAGE);
	munmap(dst, 2 * PAGE);
}

static union sdxi_dsc of_type(enum sdxi_type type, unsigned int subtype)
{
	union sdxi_dsc d = { 0 };

	d.generic.opcode = htole32(FIELD_PREP(SDXI_DSC_TYPE, type) |
				   FIELD_PREP(SDXI_DSC_SUBTYPE, subtype));
	return d;
}

static union sdxi_dsc with_opcode(uint32_t bits)
{
	union sdxi_dsc d = sdxi_nop();

	d.generic.opcode |= htole32(bits);
	return d;
}

START_TEST(p6_reserved_bits_end_the_queue)
{
	union sdxi_dsc nop = sdxi_nop(), copy = sdxi_copy(NULL, NULL, 1);

	begin();
	breaks("bit 6", with_opcode(1U << 6));
	breaks("bit 31", with_opcode(1U << 31));
	breaks("chain", with_opcode(SDXI_DSC_CH));
	nop.generic.operation[51] = 1;
	breaks("NOP", nop);
	copy.copy.rsvd0[2] = 1;
	breaks("COPY", copy);
	nop = sdxi_nop();
	nop.generic.csb_ptr = htole64(2);
	breaks("completion block", nop);
	breaks("type 0", of_type(0, 0));
	breaks("type 0x7ff", of_type(0x7ff, 0xff));
	breaks("immediate write", of_type(SDXI_TYPE_DMA, SDXI_DMA_WRT_IMM));
	breaks("repeated copy", of_type(SDXI_TYPE_DMA, SDXI_DMA_REPCOPY));
	breaks("atomic", of_type(SDXI_TYPE_ATOMIC, 0));
	copy = sdxi_copy((void *)LAST_PAGE, (void *)LAST_PAGE, 2 * PAGE);
	breaks("around the end of all addresses", copy);
	finish();
}
END_TEST

/* Who stops the context may have to wait for it. */
START_TEST(p13_copy_longer_than_a_queues_ends_the_queue)
{
	uint8_t *p = memory(17 * MIB);

	begin();
	breaks("COPY of more than 16 MiB", sdxi_copy(p, p, 16 * MIB + 1));
	breaks("COPY of 4 GiB", sdxi_copy(p, p, UINT32_MAX));
	munmap(p, 17 * MIB);
	finish();
}
END_TEST

static union sdxi_dsc interrupt_by(uint16_t key)
{
	union sdxi_dsc d = of_type(SDXI_TYPE_INTR, SDXI_INTR_INTR);

	d.intr.akey = htole16(key);
	return d;
}

/* Nobody's interrupts, and no other's context. */
START_TEST(p6_what_belongs_to_the_driver_ends_the_queue)
{
	begin();
	for (uint16_t key = 0; key < 3; key++)
		breaks("interrupt", interrupt_by(key));
	for (unsigned int op = 0; op <= SDXI_ADMIN_CXT_START_RS; op++) {
		union sdxi_dsc d = of_type(SDXI_TYPE_ADMIN, op);

		d.admin.opcode |= htole32(SDXI_DSC_FE);
		d.admin.vflags = SDXI_VFLAGS_HS;
		d.admin.cxt_start = 0;
		d.admin.cxt_end = htole16(63);
		breaks("admin", d);
	}
	finish();
}
END_TEST

START_TEST(p6_keys_that_it_has_not_end_the_queue)
{
	static const uint16_t keys[] = { 1, 2, 255, 256, 0x7fff, 0xffff };
	uint8_t *buf = memory(PAGE);

	begin();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		union sdxi_dsc d = sdxi_copy(buf, buf + 64, 64);

		d.copy.akey_src = htole16(keys[i]);
		breaks("source's key", d);
		d = sdxi_copy(buf, buf + 64, 64);
		d.copy.akey_dst = htole16(keys[i]);
		breaks("destination's key", d);
	}
	finish();
}
END_TEST

/* ---- addresses ---- */

/* What the driver has mapped for itself and for shadow queues. */
START_TEST(p10_no_other_mapping_of_the_function_is_reached)
{
	struct sdxi_ring r = sdxi_ring_new();

	begin();
	for (uint64_t i = 0; i < 128; i++)
		sdxi_unreachable(&r, IOVA_BASE + i * PAGE);
	for (uint64_t i = 0; i < 64; i++)
		sdxi_unreachable(&r, IOVA_BASE + i * MIB);
	sdxi_ring_free(&r);
	finish();
}
END_TEST

START_TEST(p10_kernel_memory_is_not_reached)
{
	unsigned int n;
	uint64_t *at = kernel_addresses(&n);
	struct sdxi_ring r = sdxi_ring_new();
	struct rng any = { 1 };

	begin();
	while (n)
		sdxi_unreachable(&r, at[--n]);
	free(at);
	for (int i = 0; i < 100; i++)
		sdxi_unreachable(&r, (KERNEL_HALF | rng_next(&any)) & ~0xfffUL);
	sdxi_unreachable(&r, KERNEL_HALF);
	sdxi_unreachable(&r, NOT_CANONICAL);
	sdxi_unreachable(&r, (KERNEL_HALF ^ 1UL << 63) & ~1UL);
	sdxi_ring_free(&r);
	finish();
}
END_TEST

/* A block there is no operand: its queue ends, and nothing is written. */
static void block_breaks(uint64_t addr)
{
	union sdxi_dsc d = sdxi_nop();

	d.generic.csb_ptr = htole64(addr);
	breaks("completion block", d);
}

START_TEST(p6_completion_blocks_out_of_reach_end_the_queue)
{
	/* Of what isn't mapped at all the next mapping could be made. */
	const uint8_t *none =
		mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint8_t *constant =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int n;
	uint64_t *at = kernel_addresses(&n);

	ck_assert(none != MAP_FAILED);
	ck_assert(constant != MAP_FAILED);
	begin();
	block_breaks((uintptr_t)none);
	block_breaks((uintptr_t)constant);
	for (int i = 0; i < 8; i++)
		block_breaks(IOVA_BASE + (uint64_t)i * PAGE);
	while (n)
		block_breaks(at[--n] & ~31UL);
	free(at);
	block_breaks(NOT_CANONICAL);
	ck_assert(filled_with(constant, 0, PAGE));
	finish();
}
END_TEST

/* Onto the ring, the status, the indices; the queue may end or go on. */
START_TEST(p6_completion_blocks_in_its_own_area_harm_nobody)
{
	begin();
	for (unsigned int i = 0; i < 12; i++) {
		struct sdxi_ring r = sdxi_ring_new();
		uint64_t at = (uintptr_t)r.area + i * 32;

		if (i > 6)
			at = (uintptr_t)&r.dsc[i] + i % 2 * 32;
		for (int n = 0; n < 64; n++) {
			union sdxi_dsc d = sdxi_nop();

			d.generic.csb_ptr = htole64(at);
			sdxi_put(&r, d);
		}
		sdxi_bell(&r);
		others_advance(1);
		sdxi_ring_free(&r);
	}
	finish();
}
END_TEST

/* Where it says that its area is. */
START_TEST(p6_start_anywhere_harms_nobody)
{
	uint8_t *constant =
		mmap(NULL, MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *gone = memory(PAGE), *mine = memory(MIB);
	const uint64_t refused[] = {
		KERNEL_HALF,	    NOT_CANONICAL,
		LAST_PAGE,	    kernel_symbol("_text") & ~(PAGE - 1UL),
		(1UL << 47) - PAGE,
	};
	const uint64_t accepted[] = {
		(uintptr_t)constant, (uintptr_t)gone, (uintptr_t)mine, 0,
		IOVA_BASE,
	};

	ck_assert(constant != MAP_FAILED);
	ck_assert(!munmap(gone, PAGE));
	begin();
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct sdxi_ring r = sdxi_ring_bound();

		ck_assert_int_eq(sdxi_ring_start(&r, (void *)refused[i]),
				 -EINVAL);
		ck_assert_int_eq(sdxi_ring_start(&r, r.area), 0);
		ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
		sdxi_ring_free(&r);
	}
	for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
		struct sdxi_ring r = sdxi_ring_bound();

		/* The function may refuse it, or end the queue later. */
		if (!sdxi_ring_start(&r, (void *)accepted[i])) {
			sdxi_put(&r, sdxi_nop());
			sdxi_bell(&r);
		}
		others_advance(1);
		sdxi_ring_free(&r);
	}
	finish();
}
END_TEST

/* ---- indices and states ---- */

START_TEST(p6_write_index_that_goes_back_ends_the_queue)
{
	struct sdxi_ring r = sdxi_ring_new();

	begin();
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	r.area->write_index = 5;
	*r.bell = 5;
	expect_ended(&r, SHARQ_QUEUE_BROKEN);
	sdxi_ring_free(&r);
	finish();
}
END_TEST

/* What nobody goes by, or no further than around the ring. */
START_TEST(p6_wild_indices_and_states_harm_nobody)
{
	static const uint64_t wild[] = { 0,	    1,	       1023,	 1024,
					 1UL << 32, 1UL << 63, ~0UL - 1, ~0UL };
	struct sdxi_ring r = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(PAGE);

	begin();
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		r.area->taken = wild[i];
		r.status->read_index = wild[i];
		r.status->state = (uint8_t)wild[i];
		if (wild[i] > r.next) {
			r.area->write_index = wild[i];
			*r.bell = wild[i];
		}
		sdxi_want_event(&r, true);
		queue_poll(r.fd, POLLIN);
		memset(src, (int)i, PAGE);
		ck_assert_uint_eq(sdxi_run(&r, sdxi_copy(dst, src, PAGE)),
				  SHARQ_OK);
		ck_assert(filled_with(dst, (uint8_t)i, PAGE));
		sdxi_want_event(&r, false);
	}
	sdxi_ring_free(&r);
	finish();
}
END_TEST

/* It sets itself going again. */
static void jump_start(struct sdxi_ring *r, uint8_t *dst, const uint8_t *src)
{
	r->status->read_index = htole64(r->next);
	r->taken = r->next;
	sdxi_put(r, sdxi_copy(dst, src, PAGE));
	for (unsigned int state = 0; state < 16; state++) {
		r->status->state =
			(uint8_t)(state == 15 ? SDXI_CXT_RUN : state);
		sdxi_bell(r);
	}
}

START_TEST(p6_dead_context_does_not_run_again)
{
	struct sdxi_ring killed = sdxi_ring_new(), broken = sdxi_ring_new();
	struct sdxi_ring other = sdxi_ring_new();
	uint8_t *src = memory(PAGE), *dst = memory(2 * PAGE);

	memset(src, 1, PAGE);
	begin();
	ck_assert_uint_eq(sdxi_run(&killed, sdxi_nop()), SHARQ_OK);
	queue_control(killed.id, SHARQ_CTL_KILL);
	expect_ended(&killed, SHARQ_QUEUE_CLOSED);
	sdxi_put(&broken, of_type(0, 0));
	sdxi_bell(&broken);
	expect_ended(&broken, SHARQ_QUEUE_BROKEN);
	for (int i = 0; i < 1000; i++) {
		if (i % 100 == 0) {
			jump_start(&killed, dst, src);
			jump_start(&broken, dst + PAGE, src);
		}
		ck_assert_uint_eq(sdxi_run(&other, sdxi_nop()), SHARQ_OK);
	}
	ck_assert(filled_with(dst, 0, 2 * PAGE));
	sdxi_ring_free(&killed);
	sdxi_ring_free(&broken);
	sdxi_ring_free(&other);
	finish();
}
END_TEST

START_TEST(p6_area_unmapped_mid_run_ends_nobody_else)
{
	uint8_t *src = memory(MIB), *dst = memory(MIB);

	begin();
	for (int i = 0; i < 24; i++) {
		struct sdxi_ring r = sdxi_ring_new();

		for (int n = 0; n < 200; n++)
			sdxi_put(&r, sdxi_copy(dst, src, 64 * KIB));
		sdxi_bell(&r);
		/* One that hasn't begun is as well off with an empty ring. */
		ck_assert_uint_eq(sdxi_take(&r), SHARQ_OK);
		ck_assert(!munmap(r.area, r.bind.area_size));
		/* Something else, or nothing, is there then. */
		if (i & 1)
			ck_assert(mmap(r.area, r.bind.area_size, PROT_READ,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				       -1, 0) == (void *)r.area);
		for (int n = 0; n < 10; n++)
			*r.bell = (uint64_t)n;
		/* It ends by itself when its context needs what is gone. */
		if (i & 2)
			expect_ended(&r, SHARQ_QUEUE_BROKEN);
		ck_assert(!munmap((void *)r.bell, PAGE));
		ck_assert(!munmap(r.rings, r.bind.map_size));
		ck_assert(!close(r.fd));
		if (i & 1)
			ck_assert(!munmap(r.area, r.bind.area_size));
	}
	finish();
}
END_TEST

/* A mapping that only looks like the area's. */
START_TEST(p6_area_and_doorbell_can_not_be_mapped_otherwise)
{
	struct sdxi_ring r = sdxi_ring_new();
	off_t bell = (off_t)r.bind.bell_offset, at = (off_t)r.bind.area_offset;
	const int rw = PROT_READ | PROT_WRITE;
	size_t size = r.bind.area_size;
	void *elsewhere = memory(size);

	ck_assert(mmap(NULL, PAGE, rw, MAP_PRIVATE, r.fd, bell) == MAP_FAILED);
	ck_assert(mmap(NULL, 2 * PAGE, rw, MAP_SHARED, r.fd, bell) ==
		  MAP_FAILED);
	ck_assert(mmap(NULL, PAGE, rw, MAP_SHARED, r.fd, bell + PAGE) ==
		  MAP_FAILED);
	ck_assert(mmap(NULL, size, rw, MAP_PRIVATE, r.fd, at) == MAP_FAILED);
	ck_assert(mmap(NULL, size + PAGE, rw, MAP_SHARED, r.fd, at) ==
		  MAP_FAILED);
	ck_assert(mmap(NULL, size, rw | PROT_EXEC, MAP_SHARED, r.fd, at) ==
		  MAP_FAILED);
	ck_assert(mremap(r.area, size, 2 * size, MREMAP_MAYMOVE) == MAP_FAILED);
	ck_assert(mremap(r.area, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
			 elsewhere) == MAP_FAILED);
	ck_assert(mremap((void *)r.bell, PAGE, 2 * PAGE, MREMAP_MAYMOVE) ==
		  MAP_FAILED);
	ck_assert(munmap((uint8_t *)r.area + PAGE, PAGE));
	ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
	sdxi_ring_free(&r);
	sdxi_all_gone();
}
END_TEST

/* ---- floods ---- */

START_TEST(p6_too_many_faults_quarantine_the_queue)
{
	struct sdxi_ring r = sdxi_ring_new();
	unsigned int n = 0;

	begin();
	/* What it has per second doesn't help one that goes on. */
	while (!(r.rings->device_flags & SHARQ_DEVICE_DEAD)) {
		ck_assert_uint_lt(n, 4 * SHARQ_SDXI_FAULTS);
		for (int i = 0; i < 100; i++)
			sdxi_put(&r, sdxi_copy(NULL, NULL, 1));
		sdxi_bell(&r);
		for (int i = 0; i < 100; i++) {
			enum sharq_status status = sdxi_take(&r);

			if (status == SHARQ_FAULT_READ)
				n++;
		}
	}
	expect_ended(&r, SHARQ_QUEUE_QUARANTINED);
	printf("quarantined after %u faults\n", n);
	ck_assert_uint_ge(n, SHARQ_SDXI_FAULTS);
	sdxi_ring_free(&r);
	finish();
}
END_TEST

/* Until it is killed. */
static void flood_with_faults(void)
{
	for (;;) {
		struct sdxi_ring r = sdxi_ring_new();

		while (!(r.rings->device_flags & SHARQ_DEVICE_DEAD)) {
			while (r.next - r.taken < r.entries)
				sdxi_put(&r, sdxi_copy(NULL, NULL, 1));
			sdxi_bell(&r);
			sdxi_take(&r);
		}
		sdxi_ring_free(&r);
	}
}

static void flood_with_page_requests(void)
{
	struct sdxi_ring r = sdxi_ring_new();
	const size_t size = 16 * MIB;

	for (;;) {
		uint8_t *cold = mmap(NULL, size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		CHILD_EXPECT(cold != MAP_FAILED);
		CHILD_EXPECT(!madvise(cold, size, MADV_NOHUGEPAGE));
		sdxi_put(&r, sdxi_copy(cold + size / 2, cold, size / 2));
		sdxi_bell(&r);
		CHILD_EXPECT(sdxi_take(&r) == SHARQ_OK);
		munmap(cold, size);
	}
}

static void others_live_beside(void (*flood)(void))
{
	pid_t pids[3];

	begin();
	for (int i = 0; i < 3; i++) {
		pids[i] = spawn();
		if (!pids[i])
			flood();
	}
	others_advance(20);
	for (int i = 0; i < 3; i++) {
		int status;

		ck_assert(!kill(pids[i], SIGKILL));
		status = reap(pids[i]);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	finish();
}

START_TEST(p6_floods_of_faults_hide_no_fault_of_others)
{
	others_live_beside(flood_with_faults);
}
END_TEST

START_TEST(p6_floods_of_page_requests_leave_room_for_others)
{
	others_live_beside(flood_with_page_requests);
}
END_TEST

/* Each context ends at the first of them; who has it next is served. */
static void flood_with_interrupts(struct neighbour_page *page)
{
	uint16_t key = 0;

	do {
		struct sdxi_ring r = sdxi_ring_new();

		ck_assert_uint_eq(sdxi_run(&r, sdxi_nop()), SHARQ_OK);
		while (r.next - r.taken < r.entries)
			sdxi_put(&r, interrupt_by(key));
		sdxi_bell(&r);
		expect_ended(&r, SHARQ_QUEUE_BROKEN);
		sdxi_ring_free(&r);
		key = (key + 1) % 3;
	} while (neighbour_again(page));
}

START_TEST(p6_floods_of_interrupts_reach_nobody)
{
	struct neighbour floods[3];

	begin();
	for (int i = 0; i < 3; i++)
		floods[i] = neighbour_start_as(flood_with_interrupts);
	others_advance(20);
	for (int i = 0; i < 3; i++) {
		neighbour_advances(&floods[i], 6);
		neighbour_stop(&floods[i]);
	}
	finish();
}
END_TEST

/* ---- anything ---- */

static union sdxi_dsc nearly_valid(uint8_t *mine)
{
	union sdxi_dsc d = sdxi_copy(mine + rng_next(&rng) % MIB,
				     mine + rng_next(&rng) % MIB,
				     (uint32_t)(1 + rng_next(&rng) % PAGE));

	while (rng_next(&rng) % 3 == 0)
		d.qw[rng_next(&rng) % 8] ^= htole64(1UL << rng_next(&rng) % 64);
	return d;
}

START_TEST(p6_random_rings_harm_nobody)
{
	uint8_t *mine = memory(2 * MIB);

	begin();
	for (int i = 0; i < 60; i++) {
		struct sdxi_ring r = sdxi_ring_new();

		for (int n = 0; n < 20; n++) {
			uint64_t *any = (void *)r.area;

			sdxi_put(&r, nearly_valid(mine));
			sdxi_bell(&r);
			if (rng_next(&rng) % 4 == 0)
				any[rng_next(&rng) % (PAGE / 8)] =
					rng_next(&rng) >> rng_next(&rng) % 64;
		}
		sdxi_want_event(&r, true);
		queue_poll(r.fd, POLLIN);
		sdxi_ring_free(&r);
	}
	finish();
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("sdxi hostile");

	GUEST_ADD(s, p6_reserved_bits_end_the_queue, 60);
	GUEST_ADD(s, p13_copy_longer_than_a_queues_ends_the_queue, 60);
	GUEST_ADD(s, p6_what_belongs_to_the_driver_ends_the_queue, 60);
	GUEST_ADD(s, p6_keys_that_it_has_not_end_the_queue, 60);
	GUEST_ADD(s, p10_no_other_mapping_of_the_function_is_reached, 60);
	GUEST_ADD(s, p10_kernel_memory_is_not_reached, 60);
	GUEST_ADD(s, p6_completion_blocks_out_of_reach_end_the_queue, 60);
	GUEST_ADD(s, p6_completion_blocks_in_its_own_area_harm_nobody, 60);
	GUEST_ADD(s, p6_start_anywhere_harms_nobody, 60);
	GUEST_ADD(s, p6_write_index_that_goes_back_ends_the_queue, 30);
	GUEST_ADD(s, p6_wild_indices_and_states_harm_nobody, 30);
	GUEST_ADD(s, p6_dead_context_does_not_run_again, 30);
	GUEST_ADD(s, p6_area_unmapped_mid_run_ends_nobody_else, 60);
	GUEST_ADD(s, p6_area_and_doorbell_can_not_be_mapped_otherwise, 30);
	GUEST_ADD(s, p6_too_many_faults_quarantine_the_queue, 60);
	GUEST_ADD(s, p6_floods_of_faults_hide_no_fault_of_others, 60);
	GUEST_ADD(s, p6_floods_of_page_requests_leave_room_for_others, 60);
	GUEST_ADD(s, p6_floods_of_interrupts_reach_nobody, 60);
	GUEST_ADD(s, p6_random_rings_harm_nobody, 60);
	return s;
}
