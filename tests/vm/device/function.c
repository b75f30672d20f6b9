// SPDX-License-Identifier: MIT
/* The function's states, and the one place from which all work is done. */
#include "model.h"
#include <stdlib.h>
#include <string.h>

static void run(void *opaque);
static void tick(void *opaque);

void function_init(struct function *fn)
{
	unsigned number;

	fn->contexts = calloc(fn->options.max_cxt + 1, sizeof(*fn->contexts));
	fn->pasids = calloc(1UL << fn->options.pasid_bits, sizeof(*fn->pasids));
	if (!fn->contexts || !fn->pasids)
		abort();
	for (number = 0; number <= fn->options.max_cxt; number++) {
		fn->contexts[number].fn = fn;
		fn->contexts[number].number = number;
		fn->contexts[number].last_pasid = SDXI_TEST_NO_PASID;
	}
	STAILQ_INIT(&fn->ready);
	fn->bh = qemu_bh_new_full(run, fn, "sdxi", NULL);
	timer_init_full(&fn->timer, NULL, QEMU_CLOCK_REALTIME, 1000000, 0, tick,
			fn);
}

static void for_all(struct function *fn, enum context_stop how)
{
	unsigned number;

	for (number = 0; number <= fn->options.max_cxt; number++)
		context_stop(&fn->contexts[number], how, true);
}

void function_abandon(struct function *fn)
{
	for_all(fn, CONTEXT_ABANDON);
}

void function_reset(struct function *fn)
{
	function_abandon(fn);
	memset(&fn->reg, 0, sizeof(fn->reg));
	memset(fn->atc, 0, sizeof(fn->atc));
	pri_forget(fn);
}

/* Abandoned contexts end as soon as they are entered. */
void function_exit(struct function *fn)
{
	function_reset(fn);
	while (!STAILQ_EMPTY(&fn->ready))
		run(fn);
	timer_del(&fn->timer);
	timer_deinit(&fn->timer);
	qemu_bh_delete(fn->bh);
	atc_exit(fn);
	free(fn->contexts);
}

void function_fail(struct function *fn)
{
	function_abandon(fn);
	fn->reg.state = SDXI_GSV_ERROR;
	if (fn->reg.ctl0 & SDXI_CTL0_FN_ERR_INTR_EN)
		msix_notify(fn->pci, SDXI_VECTOR_ERROR);
}

/* What isn't listed is no request, or not one for this state. */
void function_request(struct function *fn, enum sdxi_gsr request)
{
	enum sdxi_gsv *state = &fn->reg.state;

	if (request == SDXI_GSR_RESET && *state == SDXI_GSV_ERROR) {
		*state = SDXI_GSV_STOP;
	} else if (request == SDXI_GSR_ACTIVE && *state == SDXI_GSV_STOP) {
		*state = SDXI_GSV_INIT;
	} else if (request == SDXI_GSR_STOP_SF &&
		   (*state == SDXI_GSV_INIT || *state == SDXI_GSV_ACTIVE)) {
		*state = SDXI_GSV_STOPG_SF;
		for_all(fn, CONTEXT_STOP_SOFT);
	} else if (request == SDXI_GSR_STOP_HD &&
		   (*state == SDXI_GSV_INIT || *state == SDXI_GSV_ACTIVE ||
		    *state == SDXI_GSV_STOPG_SF)) {
		*state = SDXI_GSV_STOPG_HD;
		for_all(fn, CONTEXT_STOP_HARD);
	}
	qemu_bh_schedule(fn->bh);
}

/* A function that can't read its tables is told so at once. */
static void activate(struct function *fn)
{
	struct fault fault = {
		.step = SDXI_STEP_CXT_L2,
		.reaction = SDXI_RE_FN_STOPPED,
	};
	unsigned number;
	uint64_t entry;
	int ret;

	for (number = 0; number <= fn->options.max_cxt; number++)
		tables_forget(&fn->contexts[number]);
	ret = memory_read(fn, NULL, memory_function_space(fn), fn->reg.cxt_l2,
			  &entry, sizeof(entry));
	if (ret == 0) {
		fn->reg.state = SDXI_GSV_ACTIVE;
		return;
	}
	fault.sub_step = memory_sub_step(ret);
	log_fault(fn, &fault);
	function_fail(fn);
}

static void advance(struct function *fn)
{
	if (fn->live > 0)
		return;
	if (fn->reg.state == SDXI_GSV_INIT)
		activate(fn);
	else if (fn->reg.state == SDXI_GSV_STOPG_SF ||
		 fn->reg.state == SDXI_GSV_STOPG_HD)
		fn->reg.state = SDXI_GSV_STOP;
}

static void enter(struct context *cxt)
{
	if (!cxt->coroutine && cxt->state == CONTEXT_STARTING)
		cxt->coroutine = qemu_coroutine_create(context_main, cxt);
	if (cxt->coroutine)
		qemu_coroutine_enter(cxt->coroutine);
}

/* Each that is ready has one turn; who becomes ready then waits for the next. */
static void run(void *opaque)
{
	struct function *fn = opaque;
	STAILQ_HEAD(, context) turn = STAILQ_HEAD_INITIALIZER(turn);
	struct context *cxt;

	STAILQ_CONCAT(&turn, &fn->ready);
	while ((cxt = STAILQ_FIRST(&turn))) {
		STAILQ_REMOVE_HEAD(&turn, ready);
		cxt->is_ready = false;
		enter(cxt);
	}
	advance(fn);
}

static void tick(void *opaque)
{
	struct function *fn = opaque;
	unsigned number;

	fn->timer_runs = false;
	for (number = 0; number <= fn->options.max_cxt; number++)
		if (fn->contexts[number].ticks)
			context_wake(&fn->contexts[number]);
}

void function_tick(struct function *fn)
{
	if (fn->timer_runs)
		return;
	fn->timer_runs = true;
	timer_mod(&fn->timer,
		  qemu_clock_get_ns(QEMU_CLOCK_REALTIME) / 1000000 + 1);
}
