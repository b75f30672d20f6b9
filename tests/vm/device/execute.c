// SPDX-License-Identifier: MIT
/* One descriptor: its operation, its slot, its completion block. */
#include "model.h"
#include "ring.h"
#include <errno.h>

#define CHUNK 4096

static int data_space(struct context *cxt, uint16_t key, struct space *space,
		      struct fault *fault)
{
	struct sdxi_akey_ent akey;
	int ret = tables_akey(cxt, key, &akey, fault);

	if (ret != 0)
		return ret;
	*space = cxt->tables.space;
	if (le16toh(akey.flags) & SDXI_AKEY_PV)
		*space = (struct space){
			.has_pasid = true,
			.pasid =
				FIELD_GET(SDXI_AKEY_PASID, le32toh(akey.pasid)),
		};
	return 0;
}

static int buffer_fault(struct fault *fault, int buffer, int error)
{
	if (error == 0 || error == -ECANCELED)
		return error;
	fault->step = SDXI_STEP_DSC_BUF;
	fault->sub_step = memory_sub_step(error);
	fault->has_buffer = true;
	fault->buffer = buffer;
	return -EIO;
}

static int copy(struct context *cxt, const struct op *op, struct fault *fault)
{
	struct misbehaviour *wrong = &cxt->wrong;
	struct space space[2];
	uint64_t done = 0, part;
	char data[CHUNK];
	int i, ret;

	for (i = 0; i < 2; i++) {
		ret = data_space(cxt, op->akey[i], &space[i], fault);
		if (ret != 0)
			return ret;
	}
	while (done < op->len) {
		part = op->len - done < CHUNK ? op->len - done : CHUNK;
		if (wrong->fail_copy && done + part > wrong->fail_after)
			part = wrong->fail_after - done;
		ret = memory_read(cxt->fn, cxt, space[0], op->addr[0] + done,
				  data, part);
		if (ret != 0)
			return buffer_fault(fault, 0, ret);
		ret = memory_write(cxt->fn, cxt, space[1], op->addr[1] + done,
				   data, part);
		if (ret != 0)
			return buffer_fault(fault, 1, ret);
		done += part;
		if (wrong->fail_copy && done == wrong->fail_after) {
			wrong->fail_copy = false;
			return buffer_fault(fault, wrong->fail_buffer, -EIO);
		}
		if (done % (16 * CHUNK) == 0) {
			context_wake(cxt);
			context_wait(cxt);
			if (context_told(cxt) >= CONTEXT_STOP_HARD)
				return -ECANCELED;
		}
	}
	return 0;
}

static int interrupt(struct context *cxt, const struct op *op,
		     struct fault *fault)
{
	struct sdxi_akey_ent akey;
	uint16_t flags;
	int ret = tables_akey(cxt, op->akey[0], &akey, fault);

	if (ret != 0)
		return ret;
	flags = le16toh(akey.flags);
	if (!(flags & SDXI_AKEY_IV) ||
	    FIELD_GET(SDXI_AKEY_INTR_NUM, flags) >= cxt->fn->options.vectors) {
		fault->sub_step = SDXI_SUB_VALIDATION;
		return -EIO;
	}
	msix_notify(cxt->fn->pci, FIELD_GET(SDXI_AKEY_INTR_NUM, flags));
	return 0;
}

static int operate(struct context *cxt, const struct op *op,
		   struct fault *fault)
{
	switch (op->kind) {
	case OP_NOP:
		return 0;
	case OP_COPY:
		return copy(cxt, op, fault);
	case OP_INTR:
		return interrupt(cxt, op, fault);
	default:
		return admin_execute(cxt, op, fault);
	}
}

/* Before the owner may reuse the slot: else it would be run again. */
static int clear_valid(struct context *cxt, const union sdxi_dsc *dsc)
{
	struct tables *tables = &cxt->tables;
	uint32_t opcode = le32toh(dsc->generic.opcode) & ~(uint32_t)SDXI_DSC_VL;

	opcode = htole32(opcode);
	return memory_write(
		cxt->fn, cxt, tables->space,
		ring_slot(tables->ring, cxt->read_index, tables->ring_size),
		&opcode, sizeof(opcode));
}

/* A sleep of the whole context: it works on one descriptor at a time. */
static void delay(struct context *cxt)
{
	int64_t end = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) +
		      (int64_t)cxt->wrong.delay_ms * 1000000;

	while (qemu_clock_get_ns(QEMU_CLOCK_REALTIME) < end &&
	       context_told(cxt) < CONTEXT_STOP_HARD)
		context_wait_tick(cxt);
}

/* Blocks may be shared: nothing may come between its reads and writes. */
static int update_block(struct context *cxt, const struct op *op, bool error)
{
	struct sdxi_cst_blk block;
	struct place place, flags, signal;
	int ret;

	ret = memory_translate(cxt->fn, cxt, cxt->tables.space, op->csb, true,
			       &place);
	if (ret == 0)
		ret = memory_access(&place, &block, sizeof(block), false);
	if (ret != 0)
		return ret;
	flags = signal = place;
	flags.addr += offsetof(struct sdxi_cst_blk, flags);
	signal.addr += offsetof(struct sdxi_cst_blk, signal);
	if (error) {
		block.flags = htole32(le32toh(block.flags) | SDXI_CST_BLK_ER);
		ret = memory_access(&flags, &block.flags, sizeof(block.flags),
				    true);
		if (ret != 0)
			return ret;
	}
	block.signal = op->simple_csb ? 0 : htole64(le64toh(block.signal) - 1);
	return memory_access(&signal, &block.signal, sizeof(block.signal),
			     true);
}

static int complete(struct context *cxt, const struct op *op, bool error)
{
	if (cxt->wrong.delay_ms > 0)
		delay(cxt);
	if (!op->has_csb)
		return 0;
	if (cxt->wrong.drops > 0) {
		cxt->wrong.drops--;
		return 0;
	}
	return update_block(cxt, op, error);
}

static struct fault new_fault(const struct context *cxt)
{
	return (struct fault){
		.step = SDXI_STEP_DSC_GEN,
		.sub_step = SDXI_SUB_VALIDATION,
		.reaction = cxt->fn->options.stop_on_error
				    ? SDXI_RE_CXT_STOPPED
				    : SDXI_RE_INFORMATIVE,
		.has_context = true,
		.context = cxt->number,
		.has_index = true,
		.index = cxt->read_index,
	};
}

/* A block or a slot that can't be written leaves no way to go on. */
static int finish(struct context *cxt, const union sdxi_dsc *dsc,
		  const struct op *op, bool error)
{
	struct fault fault = new_fault(cxt);
	int ret;

	fault.reaction = SDXI_RE_CXT_STOPPED;
	ret = clear_valid(cxt, dsc);
	if (ret == 0) {
		fault.step = SDXI_STEP_DSC_CSB;
		ret = complete(cxt, op, error);
	}
	if (ret == 0 || ret == -ECANCELED)
		return ret;
	fault.sub_step = memory_sub_step(ret);
	log_fault(cxt->fn, &fault);
	return -EIO;
}

int execute(struct context *cxt, const union sdxi_dsc *dsc)
{
	struct fault fault = new_fault(cxt);
	struct op op;
	int ret, error;

	error = op_decode(&op, dsc, &cxt->tables.limits);
	if (error == 0)
		error = operate(cxt, &op, &fault);
	if (error == -ECANCELED)
		return error;
	if (error != 0)
		log_fault(cxt->fn, &fault);
	ret = finish(cxt, dsc, &op, error != 0);
	if (ret != 0)
		return ret;
	cxt->fn->counters.descriptors++;
	return error != 0 && fault.reaction == SDXI_RE_CXT_STOPPED ? -EIO : 0;
}
