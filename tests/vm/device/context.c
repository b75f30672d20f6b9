// SPDX-License-Identifier: MIT
/* A context's life, and the loop over its ring. */
#include "model.h"
#include "ring.h"
#include <errno.h>

/* Descriptors until the tables are read anew and others have their turn. */
#define SLICE 16

void context_wake(struct context *cxt)
{
	if (cxt->is_ready)
		return;
	cxt->is_ready = true;
	STAILQ_INSERT_TAIL(&cxt->fn->ready, cxt, ready);
	qemu_bh_schedule(cxt->fn->bh);
}

void context_wait(struct context *cxt)
{
	(void)cxt;
	qemu_coroutine_yield();
}

void context_wait_tick(struct context *cxt)
{
	cxt->ticks = true;
	function_tick(cxt->fn);
	context_wait(cxt);
	cxt->ticks = false;
}

static void context_doorbell(struct context *cxt, uint64_t doorbell)
{
	if (doorbell > cxt->doorbell)
		cxt->doorbell = doorbell;
	cxt->rung = true;
	context_wake(cxt);
}

static void context_begin(struct context *cxt)
{
	cxt->state = CONTEXT_STARTING;
	cxt->started = false;
	cxt->rung = false;
	cxt->doorbell = 0;
	cxt->fn->live++;
	context_wake(cxt);
}

/* A doorbell may have woken it just before, to see that it must not run. */
void context_start(struct context *cxt, bool has_doorbell, uint64_t doorbell)
{
	if (cxt->state == CONTEXT_IDLE)
		context_begin(cxt);
	cxt->started = true;
	if (has_doorbell)
		context_doorbell(cxt, doorbell);
}

/* One that doesn't run may have been told to by its status in memory. */
void context_ring(struct context *cxt, uint64_t doorbell)
{
	if (cxt->state == CONTEXT_IDLE)
		context_begin(cxt);
	context_doorbell(cxt, doorbell);
}

void context_stop(struct context *cxt, enum context_stop how, bool by_function)
{
	if (cxt->state == CONTEXT_IDLE)
		return;
	if (how > cxt->stop)
		cxt->stop = how;
	if (by_function && how > cxt->function_stop)
		cxt->function_stop = how;
	context_wake(cxt);
}

enum context_stop context_told(const struct context *cxt)
{
	bool must = cxt->function_stop >= CONTEXT_STOP_HARD;

	return cxt->wrong.ignore_stop && !must ? CONTEXT_GO : cxt->stop;
}

/* Failures here have no descriptor to be reported by. */
static int fail(struct context *cxt, enum sdxi_err_step step,
		enum sdxi_err_sub_step sub_step)
{
	struct fault fault = {
		.step = step,
		.sub_step = sub_step,
		.reaction = SDXI_RE_CXT_STOPPED,
		.has_context = true,
		.context = cxt->number,
	};

	log_fault(cxt->fn, &fault);
	return -EIO;
}

static int access_failed(struct context *cxt, enum sdxi_err_step step,
			 int error)
{
	if (error == -ECANCELED)
		return error;
	return fail(cxt, step, memory_sub_step(error));
}

static int load(struct context *cxt)
{
	struct fault fault;
	int ret = tables_load(cxt, cxt, &fault);

	return ret == -EIO ? fail(cxt, fault.step, fault.sub_step) : ret;
}

static int write_state(struct context *cxt, uint8_t state)
{
	return memory_write(cxt->fn, cxt, cxt->tables.space, cxt->tables.status,
			    &state, sizeof(state));
}

static int write_read_index(struct context *cxt)
{
	uint64_t index = htole64(cxt->read_index);

	if (cxt->wrong.corrupt_index) {
		cxt->wrong.corrupt_index = false;
		index = htole64(cxt->wrong.index);
	}
	return memory_write(cxt->fn, cxt, cxt->tables.space,
			    cxt->tables.status +
				    offsetof(struct sdxi_cxt_sts, read_index),
			    &index, sizeof(index));
}

static int begin(struct context *cxt)
{
	struct sdxi_cxt_sts status;
	int ret;

	ret = load(cxt);
	if (ret != 0)
		return ret;
	ret = memory_read(cxt->fn, cxt, cxt->tables.space, cxt->tables.status,
			  &status, sizeof(status));
	if (ret == 0 && cxt->started)
		ret = write_state(cxt, SDXI_CXT_RUN);
	if (ret != 0)
		return access_failed(cxt, SDXI_STEP_CXT_STS, ret);
	if (!cxt->started &&
	    FIELD_GET(SDXI_CXT_STS_STATE, status.state) != SDXI_CXT_RUN)
		return -ENOENT;
	cxt->read_index = le64toh(status.read_index);
	cxt->state = CONTEXT_RUNNING;
	context_wake(&cxt->fn->contexts[SDXI_ADMIN_CXT]);
	return 0;
}

/* 1 with a valid descriptor; 0 when there is none yet; or -errno. */
static int fetch(struct context *cxt, union sdxi_dsc *dsc)
{
	struct tables *tables = &cxt->tables;
	uint64_t write, slot;
	int ret;

	ret = memory_read(cxt->fn, cxt, tables->space, tables->write_index,
			  &write, sizeof(write));
	if (ret != 0)
		return access_failed(cxt, SDXI_STEP_WRT_IDX, ret);
	write = le64toh(write);
	if (write < cxt->read_index)
		return fail(cxt, SDXI_STEP_WRT_IDX, SDXI_SUB_VALIDATION);
	if (ring_limit(cxt->read_index, write, cxt->doorbell,
		       tables->ring_size) == cxt->read_index)
		return 0;

	/* The first word vouches for the others: it is read before them. */
	slot = ring_slot(tables->ring, cxt->read_index, tables->ring_size);
	ret = memory_read(cxt->fn, cxt, tables->space, slot, &dsc->qw[0],
			  sizeof(dsc->qw[0]));
	if (ret == 0 && !(le64toh(dsc->qw[0]) & SDXI_DSC_VL)) {
		/* Its owner may set VL without a further doorbell. */
		context_wait_tick(cxt);
		cxt->rung = true;
		return 0;
	}
	if (ret == 0)
		ret = memory_read(cxt->fn, cxt, tables->space, slot, dsc,
				  sizeof(*dsc));
	return ret == 0 ? 1 : access_failed(cxt, SDXI_STEP_DSC_GEN, ret);
}

static int run_one(struct context *cxt, const union sdxi_dsc *dsc)
{
	int ret, result;

	while (cxt->wrong.hang && context_told(cxt) < CONTEXT_STOP_HARD)
		context_wait(cxt);
	if (context_told(cxt) >= CONTEXT_STOP_HARD)
		return -ECANCELED;
	result = execute(cxt, dsc);
	if (result == -ECANCELED)
		return result;
	cxt->read_index++;
	ret = write_read_index(cxt);
	if (ret != 0)
		return access_failed(cxt, SDXI_STEP_CXT_STS, ret);
	return result;
}

static int drain(struct context *cxt)
{
	union sdxi_dsc dsc;
	int count, ret;

	for (count = 0; context_told(cxt) == CONTEXT_GO; count++) {
		if (count % SLICE == 0) {
			if (count > 0) {
				context_wake(cxt);
				context_wait(cxt);
			}
			ret = load(cxt);
			if (ret != 0)
				return ret;
		}
		ret = fetch(cxt, &dsc);
		if (ret <= 0)
			return ret;
		ret = run_one(cxt, &dsc);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int loop(struct context *cxt)
{
	int ret = 0;

	while (ret == 0 && context_told(cxt) == CONTEXT_GO) {
		if (!cxt->rung) {
			context_wait(cxt);
			continue;
		}
		cxt->rung = false;
		ret = drain(cxt);
	}
	return ret;
}

/* Where its tables vanished, nobody wants to know its state any more. */
static void end(struct context *cxt, int result)
{
	uint8_t state;

	if (cxt->state != CONTEXT_RUNNING || result == -ENOENT)
		return;
	if (result == -EIO)
		state = SDXI_CXT_ERR_FN;
	else if (cxt->function_stop != CONTEXT_GO)
		state = SDXI_CXT_STOP_FN;
	else
		state = SDXI_CXT_STOP_SW;
	/* The owner may have taken that memory away. */
	write_state(cxt, state);
}

void context_main(void *context)
{
	struct context *cxt = context;
	int ret = begin(cxt);

	if (ret == 0)
		ret = loop(cxt);
	end(cxt, ret);
	cxt->coroutine = NULL;
	cxt->state = CONTEXT_IDLE;
	cxt->stop = CONTEXT_GO;
	cxt->function_stop = CONTEXT_GO;
	cxt->fn->live--;
	context_wake(&cxt->fn->contexts[SDXI_ADMIN_CXT]);
}
