// SPDX-License-Identifier: MIT
/*
 * The function, by its registers and memory alone: no driver of ours is
 * involved, and what fails here is the model's fault.
 */
#include "sdxi.h"
#include <sched.h>
#include <string.h>

#define PAGE 4096UL

static struct sdxi sdxi;
static struct cxt *admin = &sdxi.cxts[SDXI_ADMIN_CXT];
static struct cxt *client = &sdxi.cxts[1];

static void open_function(void)
{
	sdxi_open(&sdxi);
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
}

static void close_function(void)
{
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
	sdxi_close(&sdxi);
}

static void up(void)
{
	sdxi_up(&sdxi);
	cxt_start(client);
}

static char *pattern(size_t len)
{
	char *memory = sdxi_memory(&sdxi, len);
	size_t i;

	for (i = 0; i < len; i++)
		memory[i] = i * 7 + i / 251;
	return memory;
}

struct entry {
	unsigned step;
	unsigned sub_step;
	unsigned reaction;
	int cxt;
	int64_t index;
	int buffer;
};

/* The log's entry; -1 for what it says nothing of. */
static struct entry entry_at(unsigned i)
{
	const struct sdxi_errlog_ent *e = &sdxi.log[i % ERROR_ENTRIES];
	uint32_t head = le32toh(e->head);
	uint16_t flags = le16toh(e->flags);

	ck_assert(head & SDXI_ERRLOG_VL);
	ck_assert_uint_eq(FIELD_GET(SDXI_ERRLOG_TYPE, head),
			  SDXI_TYPE_ERROR_LOG);
	return (struct entry){
		.step = FIELD_GET(SDXI_ERRLOG_STEP, head),
		.sub_step = FIELD_GET(SDXI_ERRLOG_SUB_STEP, flags),
		.reaction = FIELD_GET(SDXI_ERRLOG_RE, flags),
		.cxt = flags & SDXI_ERRLOG_CV ? le16toh(e->cxt_num) : -1,
		.index = flags & SDXI_ERRLOG_DIV
				 ? (int64_t)le64toh(e->dsc_index)
				 : -1,
		.buffer = flags & SDXI_ERRLOG_BV
				  ? (int)FIELD_GET(SDXI_ERRLOG_BUF, flags)
				  : -1,
	};
}

#define ASSERT_ENTRY(i, ...)                                                   \
	do {                                                                   \
		struct entry e_ = entry_at(i), want_ = { __VA_ARGS__ };        \
		ck_assert_uint_eq(e_.step, want_.step);                        \
		ck_assert_uint_eq(e_.sub_step, want_.sub_step);                \
		ck_assert_uint_eq(e_.reaction, want_.reaction);                \
		ck_assert_int_eq(e_.cxt, want_.cxt);                           \
		ck_assert_int_eq(e_.index, want_.index);                       \
		ck_assert_int_eq(e_.buffer, want_.buffer);                     \
	} while (0)

static void assert_runs(struct cxt *cxt)
{
	char *src = pattern(PAGE), *dst = sdxi_memory(&sdxi, PAGE);

	ck_assert(!cxt_do(cxt, dsc_copy(src, dst, PAGE)));
	ck_assert(!memcmp(src, dst, PAGE));
}

START_TEST(version_and_limits_are_those_of_1_0)
{
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_VERSION), 0x10000);
	ck_assert_uint_ge(
		FIELD_GET(SDXI_CAP1_MAX_CXT, sdxi_read(&sdxi, SDXI_REG_CAP1)),
		CONTEXTS - 1);
	/* What isn't there reads 0, and more than there is can't be had. */
	ck_assert_uint_eq(sdxi_read(&sdxi, 0x8), 0);
	sdxi_write(&sdxi, SDXI_REG_CTL2, ~0ULL);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_CTL2),
			  sdxi_read(&sdxi, SDXI_REG_CAP1) &
				  (SDXI_CTL2_MAX_BUFFER |
				   SDXI_CTL2_MAX_AKEY_SZ | SDXI_CTL2_MAX_CXT |
				   SDXI_CTL2_OPB_000_AVL));
}
END_TEST

START_TEST(function_goes_from_stop_to_active_and_back)
{
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_STOP);
	sdxi_request(&sdxi, SDXI_GSR_RESET);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_STOP);
	sdxi_request(&sdxi, SDXI_GSR_STOP_SF);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_STOP);
	up();
	assert_runs(client);
	/* Nothing for this state. */
	sdxi_request(&sdxi, SDXI_GSR_RESET);
	sdxi_write(&sdxi, SDXI_REG_CXT_L2, 0);
	assert_runs(client);
	sdxi_request(&sdxi, SDXI_GSR_STOP_SF);
	sdxi_await_state(&sdxi, SDXI_GSV_STOP);
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_STOP_FN);
	ck_assert_uint_eq(cxt_state(admin), SDXI_CXT_STOP_FN);
	up();
	assert_runs(client);
	sdxi_request(&sdxi, SDXI_GSR_STOP_HD);
	sdxi_await_state(&sdxi, SDXI_GSV_STOP);
}
END_TEST

START_TEST(function_that_finds_no_tables_fails_and_recovers)
{
	sdxi_prepare(&sdxi);
	sdxi_write(&sdxi, SDXI_REG_CXT_L2, 0);
	sdxi_request(&sdxi, SDXI_GSR_ACTIVE);
	sdxi_await_state(&sdxi, SDXI_GSV_ERROR);
	sdxi_await_event(&sdxi, SDXI_VECTOR_ERROR);
	ASSERT_ENTRY(0, SDXI_STEP_CXT_L2, SDXI_SUB_TRANSLATION,
		     SDXI_RE_FN_STOPPED, -1, -1, -1);
	sdxi_request(&sdxi, SDXI_GSR_ACTIVE);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_ERROR);
	sdxi_request(&sdxi, SDXI_GSR_RESET);
	sdxi_await_state(&sdxi, SDXI_GSV_STOP);
	up();
	assert_runs(client);
}
END_TEST

START_TEST(reset_ends_all_dma)
{
	struct sdxi_cst_blk *block;

	up();
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_DELAY, 200);
	block = cxt_send(client, dsc_nop());
	vfio_reset(&sdxi.vfio);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_STOP);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_CXT_L2), 0);
	vfio_bus_master(&sdxi.vfio, 1);
	AWAIT(sdxi_counter(&sdxi, SDXI_TEST_REG_LIVE) == 0);
	ck_assert(!block_done(block));
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_RUN);
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_BEHAVE, 0);
	up();
	assert_runs(client);
}
END_TEST

START_TEST(no_dma_without_bus_mastering)
{
	struct sdxi_cst_blk *block;

	up();
	vfio_bus_master(&sdxi.vfio, 0);
	block = cxt_send(client, dsc_nop());
	AWAIT(sdxi_counter(&sdxi, SDXI_TEST_REG_LIVE) < 2);
	ck_assert(!block_done(block));
	vfio_bus_master(&sdxi.vfio, 1);
	let_pass(&sdxi);
	ck_assert(!block_done(block));
}
END_TEST

START_TEST(copies_of_all_lengths_are_right)
{
	static const size_t lens[] = { 1,    2,	   63,	 64,	65,
				       4095, 4096, 4097, 70000, 1 << 20 };
	char *src, *dst;
	size_t i, len;

	up();
	src = pattern(1 << 20);
	dst = sdxi_memory(&sdxi, (1 << 20) + 64);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		len = lens[i];
		memset(dst, 0x55, (1 << 20) + 64);
		ck_assert(!cxt_do(client, dsc_copy(src, dst + 3, len)));
		ck_assert(!memcmp(dst + 3, src, len));
		ck_assert_int_eq(dst[2], 0x55);
		ck_assert_int_eq(dst[3 + len], 0x55);
	}
}
END_TEST

START_TEST(slot_is_given_back_when_it_was_executed)
{
	up();
	ck_assert(!cxt_do(client, dsc_nop()));
	AWAIT(le64toh(LOAD(client->sts->read_index)) == 1);
	ck_assert(!(le64toh(client->ring[0].qw[0]) & SDXI_DSC_VL));
}
END_TEST

START_TEST(ring_wraps)
{
	struct sdxi_cst_blk *block;
	int i;

	up();
	block = block_new(&sdxi, 3000);
	for (i = 0; i < 3000; i++) {
		cxt_put(client, dsc_nop(), block);
		cxt_ring(client);
	}
	ck_assert(!block_await(block));
	AWAIT(le64toh(LOAD(client->sts->read_index)) == 3000);
}
END_TEST

START_TEST(shared_block_counts_and_simple_one_is_cleared)
{
	struct sdxi_cst_blk *block;
	union sdxi_dsc simple = dsc_nop();

	up();
	block = block_new(&sdxi, 3);
	cxt_put(client, dsc_nop(), block);
	cxt_put(client, dsc_nop(), block);
	cxt_ring(client);
	AWAIT(le64toh(LOAD(block->signal)) == 1);
	simple.generic.opcode |= htole32(SDXI_DSC_CSR);
	block->signal = htole64(3);
	cxt_put(client, simple, block);
	cxt_ring(client);
	ck_assert(!block_await(block));
}
END_TEST

START_TEST(reserved_slot_is_waited_for)
{
	struct sdxi_cst_blk *first, *second;

	up();
	/* The second one first: the first is a hole so far. */
	client->next = 1;
	second = block_new(&sdxi, 1);
	cxt_put(client, dsc_nop(), second);
	cxt_ring(client);
	let_pass(&sdxi);
	ck_assert(!block_done(second));
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_RUN);
	/* And no doorbell. */
	client->next = 0;
	first = block_new(&sdxi, 1);
	cxt_put(client, dsc_nop(), first);
	ck_assert(!block_await(first));
	ck_assert(!block_await(second));
}
END_TEST

START_TEST(doorbells_may_come_in_any_order)
{
	struct sdxi_cst_blk *block;

	up();
	block = block_new(&sdxi, 2);
	cxt_put(client, dsc_nop(), block);
	cxt_put(client, dsc_nop(), block);
	STORE(*client->write_index, htole64(2));
	cxt_doorbell(client, 2);
	cxt_doorbell(client, 1);
	ck_assert(!block_await(block));
	/* No more than the ring has, whatever the doorbell says. */
	cxt_doorbell(client, ~0ULL);
	assert_runs(client);
}
END_TEST

START_TEST(write_index_behind_the_read_index_ends_the_context)
{
	up();
	assert_runs(client);
	AWAIT(le64toh(LOAD(client->sts->read_index)) == 1);
	STORE(*client->write_index, 0);
	cxt_doorbell(client, 2);
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(0, SDXI_STEP_WRT_IDX, SDXI_SUB_VALIDATION,
		     SDXI_RE_CXT_STOPPED, 1, -1, -1);
	let_pass(&sdxi);
}
END_TEST

START_TEST(doorbell_of_a_stopped_context_is_ignored)
{
	struct sdxi_cst_blk *block;

	up();
	cxt_stop(client, false);
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_STOP_SW);
	block = cxt_send(client, dsc_nop());
	/* Never started. */
	cxt_send(&sdxi.cxts[2], dsc_nop());
	let_pass(&sdxi);
	ck_assert(!block_done(block));
	cxt_start(client);
	cxt_ring(client);
	ck_assert(!block_await(block));
}
END_TEST

START_TEST(status_run_and_a_doorbell_start_a_context)
{
	sdxi_up(&sdxi);
	client->sts->state = SDXI_CXT_RUN;
	assert_runs(client);
	cxt_stop(client, false);
	/* Its owner may do so again, until its tables are gone. */
	STORE(client->sts->state, SDXI_CXT_RUN);
	assert_runs(client);
	cxt_stop(client, false);
	STORE(client->l1->cxt_ctl, 0);
	cxt_update(client);
	STORE(client->sts->state, SDXI_CXT_RUN);
	cxt_send(client, dsc_nop());
	let_pass(&sdxi);
	ck_assert_uint_eq(le64toh(LOAD(client->sts->read_index)), 2);
}
END_TEST

START_TEST(start_can_ring_the_doorbell)
{
	union sdxi_dsc start = dsc_start(1, 1);
	struct sdxi_cst_blk *block;

	sdxi_up(&sdxi);
	block = block_new(&sdxi, 1);
	cxt_put(client, dsc_nop(), block);
	STORE(*client->write_index, htole64(1));
	start.admin.vflags = SDXI_VFLAGS_DV;
	start.admin.db_value = htole64(1);
	ck_assert(!cxt_do(admin, start));
	ck_assert(!block_await(block));
}
END_TEST

START_TEST(start_of_what_is_invalid_fails_and_does_no_harm)
{
	sdxi_up(&sdxi);
	sdxi.cxts[2].l1->cxt_ctl &= ~htole64(SDXI_L1_CXT_CTL_VL);
	ck_assert(cxt_do(admin, dsc_start(2, 2)));
	ASSERT_ENTRY(0, SDXI_STEP_CXT_L1, SDXI_SUB_VALIDATION,
		     SDXI_RE_INFORMATIVE, 2, -1, -1);
	sdxi.cxts[3].ctl->ds_ring_sz = htole32(1023);
	ck_assert(cxt_do(admin, dsc_start(3, 3)));
	ASSERT_ENTRY(1, SDXI_STEP_CXT_CTL, SDXI_SUB_VALIDATION,
		     SDXI_RE_INFORMATIVE, 3, -1, -1);
	ck_assert(cxt_do(admin, dsc_start(200, 200)));
	cxt_start(client);
	assert_runs(client);
}
END_TEST

static void assert_refused(struct cxt *cxt, union sdxi_dsc dsc)
{
	uint64_t before = sdxi_read(&sdxi, SDXI_REG_ERR_WRT);
	uint64_t index = cxt->next;

	ck_assert(cxt_do(cxt, dsc));
	cxt_await_state(cxt, SDXI_CXT_ERR_FN);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_ERR_WRT), before + 1);
	ASSERT_ENTRY(before, SDXI_STEP_DSC_GEN, SDXI_SUB_VALIDATION,
		     SDXI_RE_CXT_STOPPED, (int)cxt->number, (int64_t)index, -1);
}

static void assert_client_refused(union sdxi_dsc dsc)
{
	assert_refused(client, dsc);
	cxt_start(client);
	assert_runs(client);
}

START_TEST(what_is_not_known_ends_the_context_and_is_logged)
{
	union sdxi_dsc dsc;
	unsigned bit;

	up();
	/* Opcode bits that are reserved, or CH. */
	for (bit = 0; bit < 32; bit++) {
		if (!(bit == 3 || bit == 6 || bit == 7 || bit >= 27))
			continue;
		dsc = dsc_nop();
		dsc.generic.opcode |= htole32(1U << bit);
		assert_client_refused(dsc);
	}
	dsc = dsc_nop();
	dsc.generic.operation[51] = 1;
	assert_client_refused(dsc);
	dsc = dsc_nop();
	dsc.generic.opcode = htole32(FIELD_PREP(SDXI_DSC_TYPE, 0x3ff));
	assert_client_refused(dsc);
	dsc.generic.opcode =
		htole32(FIELD_PREP(SDXI_DSC_TYPE, SDXI_TYPE_DMA) |
			FIELD_PREP(SDXI_DSC_SUBTYPE, SDXI_DMA_WRT_IMM));
	assert_client_refused(dsc);
}
END_TEST

START_TEST(only_context_0_may_command)
{
	union sdxi_dsc dsc = dsc_start(2, 2);

	up();
	assert_client_refused(dsc);
	assert_client_refused(dsc_stop(0, 5, true));
	ck_assert_uint_eq(cxt_state(admin), SDXI_CXT_RUN);
	dsc.generic.opcode &= ~htole32(SDXI_DSC_FE);
	assert_refused(admin, dsc);
}
END_TEST

START_TEST(operation_group_must_be_enabled)
{
	up();
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	cxt_stop(client, false);
	client->l1->opb_000_enb = 0;
	cxt_update(client);
	cxt_start(client);
	assert_refused(client, dsc_intr(INTR_KEY(3)));
}
END_TEST

START_TEST(interrupt_comes_on_the_vector_of_its_key)
{
	up();
	ck_assert(!sdxi_event(&sdxi, 3));
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	sdxi_await_event(&sdxi, 3);
	ck_assert(!sdxi_event(&sdxi, 4));
	/* A key for data is none for interrupts. */
	ck_assert(cxt_do(client, dsc_intr(DATA_KEY)));
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(0, SDXI_STEP_DSC_AKEY, SDXI_SUB_VALIDATION,
		     SDXI_RE_CXT_STOPPED, 1, 1, -1);
}
END_TEST

START_TEST(key_must_be_valid_local_and_in_the_table)
{
	char *buffer;
	union sdxi_dsc dsc;
	unsigned i;

	up();
	buffer = sdxi_memory(&sdxi, PAGE);
	client->akeys[2].flags = htole16(SDXI_AKEY_VL);
	client->akeys[2].tgt_sfunc = htole16(1);
	for (i = 0; i < 3; i++) {
		dsc = dsc_copy(buffer, buffer + 64, 64);
		dsc.copy.akey_dst = htole16(i == 0 ? 1 : i == 1 ? KEYS : 2);
		ck_assert(cxt_do(client, dsc));
		cxt_await_state(client, SDXI_CXT_ERR_FN);
		ASSERT_ENTRY(i, i == 2 ? SDXI_STEP_FN_RKEY : SDXI_STEP_DSC_AKEY,
			     SDXI_SUB_VALIDATION, SDXI_RE_CXT_STOPPED, 1, i,
			     -1);
		cxt_start(client);
	}
	assert_runs(client);
}
END_TEST

/* Neither UPD nor SYNC alone has it read them again. */
START_TEST(context_tables_are_kept_until_update_and_sync)
{
	up();
	assert_runs(client);
	cxt_stop(client, false);
	STORE(client->l1->cxt_ctl, 0);
	cxt_start(client);
	assert_runs(client);
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_CXT, 1, 1)));
	assert_runs(client);
	ck_assert(!cxt_do(admin, dsc_update(2, 5)));
	ck_assert(!cxt_do(admin, dsc_update(1, 1)));
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_AKEY, 1, 1)));
	assert_runs(client);
	cxt_stop(client, false);
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_CXT, 1, 1)));
	ck_assert(cxt_do(admin, dsc_start(1, 1)));
}
END_TEST

START_TEST(akeys_are_kept_until_update_and_sync)
{
	up();
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	client->akeys[INTR_KEY(3)].flags = 0;
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	ck_assert(!cxt_do(admin, dsc_update_akeys(1, 0, INTR_KEY(2))));
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_AKEY, 1, 1)));
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	ck_assert(!cxt_do(admin, dsc_update_akeys(1, INTR_KEY(3), KEYS - 1)));
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_CXT, 1, 1)));
	ck_assert(!cxt_do(client, dsc_intr(INTR_KEY(3))));
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_AKEY, 1, 1)));
	ck_assert(cxt_do(client, dsc_intr(INTR_KEY(3))));
}
END_TEST

START_TEST(copy_larger_than_the_limit_is_refused)
{
	char *buffer;

	up();
	buffer = sdxi_memory(&sdxi, PAGE);
	cxt_stop(client, false);
	client->l1->misc0 = 0;
	cxt_update(client);
	cxt_start(client);
	assert_refused(client, dsc_copy(buffer, buffer, (2 << 20) + 1));
}
END_TEST

START_TEST(unmapped_memory_fails_and_the_buffer_is_named)
{
	char *good, *bad = (char *)0x10000;

	up();
	good = sdxi_memory(&sdxi, PAGE);
	ck_assert(cxt_do(client, dsc_copy(bad, good, 64)));
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(0, SDXI_STEP_DSC_BUF, SDXI_SUB_TRANSLATION,
		     SDXI_RE_CXT_STOPPED, 1, 0, 0);
	cxt_start(client);
	ck_assert(cxt_do(client, dsc_copy(good, bad, 64)));
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(1, SDXI_STEP_DSC_BUF, SDXI_SUB_TRANSLATION,
		     SDXI_RE_CXT_STOPPED, 1, 1, 1);
	sdxi_await_event(&sdxi, SDXI_VECTOR_ERROR);
}
END_TEST

START_TEST(block_that_can_not_be_written_ends_the_context)
{
	up();
	cxt_put(client, dsc_nop(), (void *)0x10000);
	cxt_ring(client);
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(0, SDXI_STEP_DSC_CSB, SDXI_SUB_TRANSLATION,
		     SDXI_RE_CXT_STOPPED, 1, 0, -1);
	let_pass(&sdxi);
}
END_TEST

START_TEST(status_that_can_not_be_read_ends_the_start)
{
	sdxi_up(&sdxi);
	client->ctl->cxt_sts = htole64(0x10000);
	ck_assert(cxt_do(admin, dsc_start(1, 1)));
	ASSERT_ENTRY(0, SDXI_STEP_CXT_STS, SDXI_SUB_TRANSLATION,
		     SDXI_RE_CXT_STOPPED, 1, -1, -1);
	let_pass(&sdxi);
}
END_TEST

START_TEST(full_log_overflows_and_goes_on_when_read)
{
	union sdxi_dsc bad = dsc_nop();
	unsigned i;

	bad.generic.opcode |= htole32(SDXI_DSC_CH);
	up();
	for (i = 0; i < ERROR_ENTRIES + 1; i++) {
		ck_assert(cxt_do(client, bad));
		cxt_await_state(client, SDXI_CXT_ERR_FN);
		cxt_start(client);
	}
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_ERR_WRT), ERROR_ENTRIES);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_ERR_STS),
			  SDXI_ERR_STS_STS | SDXI_ERR_STS_OVF);
	sdxi_await_event(&sdxi, SDXI_VECTOR_ERROR);
	sdxi_write(&sdxi, SDXI_REG_ERR_STS, SDXI_ERR_STS_STS);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_ERR_STS), SDXI_ERR_STS_OVF);
	sdxi_write(&sdxi, SDXI_REG_ERR_STS, SDXI_ERR_STS_OVF);
	sdxi_write(&sdxi, SDXI_REG_ERR_RD, ERROR_ENTRIES);
	ck_assert(cxt_do(client, bad));
	AWAIT(sdxi_read(&sdxi, SDXI_REG_ERR_WRT) == ERROR_ENTRIES + 1);
	sdxi_await_event(&sdxi, SDXI_VECTOR_ERROR);
	ck_assert_uint_eq(entry_at(0).index, ERROR_ENTRIES + 1);
}
END_TEST

START_TEST(stop_leaves_what_was_not_begun)
{
	struct sdxi_cst_blk *block;
	uint64_t index;
	int i;

	up();
	block = block_new(&sdxi, 1000);
	for (i = 0; i < 1000; i++)
		cxt_put(client, dsc_nop(), block);
	cxt_ring(client);
	cxt_stop(client, false);
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_STOP_SW);
	index = le64toh(client->sts->read_index);
	ck_assert_uint_eq(le64toh(block->signal), 1000 - index);
	let_pass(&sdxi);
	ck_assert_uint_eq(le64toh(client->sts->read_index), index);
	cxt_start(client);
	cxt_doorbell(client, 1000);
	ck_assert(!block_await(block));
}
END_TEST

START_TEST(hung_context_disturbs_no_other)
{
	struct sdxi_cst_blk *block;
	unsigned i;

	sdxi_up(&sdxi);
	ck_assert(!cxt_do(admin, dsc_start(1, CONTEXTS - 1)));
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_HANG, 0);
	block = cxt_send(client, dsc_nop());
	for (i = 2; i < CONTEXTS; i++)
		assert_runs(&sdxi.cxts[i]);
	ck_assert(!block_done(block));
	/* A soft stop waits for the descriptor; a hard one doesn't. */
	cxt_send(admin, dsc_stop(1, 1, false));
	let_pass(&sdxi);
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_RUN);
	cxt_stop(client, true);
	ck_assert_uint_eq(cxt_state(client), SDXI_CXT_STOP_SW);
	ck_assert(!block_done(block));
	ck_assert_uint_eq(le64toh(client->sts->read_index), 0);
}
END_TEST

START_TEST(context_that_ignores_stops_ends_with_the_function)
{
	struct sdxi_cst_blk *sync;

	up();
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_IGNORE_STOP, 0);
	cxt_send(admin, dsc_stop(1, 1, true));
	sync = cxt_send(admin, dsc_sync_stop(1, 1));
	assert_runs(client);
	ck_assert(!block_done(sync));
	sdxi_request(&sdxi, SDXI_GSR_STOP_SF);
	/* The admin context waits too: its SYNC isn't done. */
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_STOPG_SF);
	ck_assert_uint_eq(sdxi_counter(&sdxi, SDXI_TEST_REG_LIVE), 2);
	sdxi_request(&sdxi, SDXI_GSR_STOP_HD);
	sdxi_await_state(&sdxi, SDXI_GSV_STOP);
}
END_TEST

START_TEST(completions_come_late_or_never_on_command)
{
	struct sdxi_cst_blk *dropped;
	uint64_t begin;

	up();
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_DELAY, 300);
	begin = now_ms();
	ck_assert(!cxt_do(client, dsc_nop()));
	ck_assert_uint_ge(now_ms() - begin, 250);
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_BEHAVE, 0);
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_DROP, 1);
	dropped = cxt_send(client, dsc_nop());
	ck_assert(!cxt_do(client, dsc_nop()));
	ck_assert(!block_done(dropped));
}
END_TEST

START_TEST(copy_fails_half_way_on_command)
{
	char *src, *dst;

	up();
	src = pattern(3 * PAGE);
	dst = sdxi_memory(&sdxi, 3 * PAGE);
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_FAIL_COPY, 5000);
	ck_assert(cxt_do(client, dsc_copy(src, dst, 3 * PAGE)));
	ck_assert(!memcmp(src, dst, 5000));
	ck_assert_int_eq(dst[5000], 0);
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ASSERT_ENTRY(0, SDXI_STEP_DSC_BUF, SDXI_SUB_ACCESS, SDXI_RE_CXT_STOPPED,
		     1, 0, 1);
	cxt_start(client);
	assert_runs(client);
}
END_TEST

START_TEST(index_is_corrupted_on_command)
{
	up();
	sdxi_misbehave(&sdxi, 1, SDXI_TEST_CORRUPT_INDEX, 12345);
	ck_assert(!cxt_do(client, dsc_nop()));
	AWAIT(le64toh(LOAD(client->sts->read_index)) == 12345);
}
END_TEST

START_TEST(function_fails_on_command)
{
	up();
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_FATAL, 0);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), SDXI_GSV_ERROR);
	sdxi_await_event(&sdxi, SDXI_VECTOR_ERROR);
	sdxi_request(&sdxi, SDXI_GSR_RESET);
	sdxi_await_state(&sdxi, SDXI_GSV_STOP);
	up();
	assert_runs(client);
}
END_TEST

START_TEST(function_vanishes_on_command_and_comes_back)
{
	struct sdxi_cst_blk *block;

	up();
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_VANISH, 0);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_STS0), ~0ULL);
	ck_assert_uint_eq(sdxi_read(&sdxi, SDXI_REG_VERSION), ~0ULL);
	block = block_new(&sdxi, 1);
	cxt_put(client, dsc_nop(), block);
	STORE(*client->write_index, htole64(1));
	cxt_doorbell(client, 1);
	AWAIT(sdxi_counter(&sdxi, SDXI_TEST_REG_LIVE) == 0);
	ck_assert(!block_done(block));
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
	up();
	assert_runs(client);
}
END_TEST

#define ADD(test) sdxi_add(suite, #test, test, open_function, close_function)

Suite *unit_suite(void)
{
	Suite *suite = suite_create("sdxi");

	ADD(version_and_limits_are_those_of_1_0);
	ADD(function_goes_from_stop_to_active_and_back);
	ADD(function_that_finds_no_tables_fails_and_recovers);
	ADD(reset_ends_all_dma);
	ADD(no_dma_without_bus_mastering);
	ADD(copies_of_all_lengths_are_right);
	ADD(slot_is_given_back_when_it_was_executed);
	ADD(ring_wraps);
	ADD(shared_block_counts_and_simple_one_is_cleared);
	ADD(reserved_slot_is_waited_for);
	ADD(doorbells_may_come_in_any_order);
	ADD(write_index_behind_the_read_index_ends_the_context);
	ADD(doorbell_of_a_stopped_context_is_ignored);
	ADD(status_run_and_a_doorbell_start_a_context);
	ADD(start_can_ring_the_doorbell);
	ADD(start_of_what_is_invalid_fails_and_does_no_harm);
	ADD(what_is_not_known_ends_the_context_and_is_logged);
	ADD(only_context_0_may_command);
	ADD(operation_group_must_be_enabled);
	ADD(interrupt_comes_on_the_vector_of_its_key);
	ADD(key_must_be_valid_local_and_in_the_table);
	ADD(context_tables_are_kept_until_update_and_sync);
	ADD(akeys_are_kept_until_update_and_sync);
	ADD(copy_larger_than_the_limit_is_refused);
	ADD(unmapped_memory_fails_and_the_buffer_is_named);
	ADD(block_that_can_not_be_written_ends_the_context);
	ADD(status_that_can_not_be_read_ends_the_start);
	ADD(full_log_overflows_and_goes_on_when_read);
	ADD(stop_leaves_what_was_not_begun);
	ADD(hung_context_disturbs_no_other);
	ADD(context_that_ignores_stops_ends_with_the_function);
	ADD(completions_come_late_or_never_on_command);
	ADD(copy_fails_half_way_on_command);
	ADD(index_is_corrupted_on_command);
	ADD(function_fails_on_command);
	ADD(function_vanishes_on_command_and_comes_back);
	return suite;
}
