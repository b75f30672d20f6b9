// SPDX-License-Identifier: MIT
/* The admin context's commands on other contexts. */
#include "model.h"
#include <errno.h>

static uint16_t max_context(const struct function *fn)
{
	return FIELD_GET(SDXI_CTL2_MAX_CXT, fn->reg.ctl2);
}

/* The status is the owner's memory: not waited for while its page is away. */
static int start_one(struct context *admin, struct context *target,
		     const struct op *op, struct fault *fault)
{
	int ret;

	ret = tables_load(admin, target, fault);
	if (ret != 0)
		return ret == -ECANCELED ? ret : -EIO;
	context_start(target, op->has_doorbell, op->doorbell);
	while (target->state == CONTEXT_STARTING && !target->waits_for_page) {
		if (context_told(admin) >= CONTEXT_STOP_HARD)
			return -ECANCELED;
		context_wait(admin);
	}
	if (target->state != CONTEXT_IDLE)
		return 0;
	fault->step = SDXI_STEP_CXT_STS;
	return -EIO;
}

/* That others can't be started is no reason to stop the admin context. */
static int start(struct context *admin, const struct op *op,
		 struct fault *fault)
{
	struct function *fn = admin->fn;
	unsigned number;
	int ret;

	fault->reaction = SDXI_RE_INFORMATIVE;
	if (op->last > max_context(fn))
		return -EIO;
	for (number = op->first; number <= op->last; number++) {
		ret = start_one(admin, &fn->contexts[number], op, fault);
		if (ret != 0) {
			fault->context = number;
			fault->has_index = false;
			return ret;
		}
	}
	return 0;
}

static void stop(struct context *admin, const struct op *op)
{
	struct function *fn = admin->fn;
	unsigned number;

	for (number = op->first;
	     number <= op->last && number <= max_context(fn); number++)
		context_stop(&fn->contexts[number],
			     op->hard && fn->options.hard_stop
				     ? CONTEXT_STOP_HARD
				     : CONTEXT_STOP_SOFT,
			     false);
}

static bool is_stopping(const struct context *admin, const struct op *op)
{
	struct function *fn = admin->fn;
	unsigned number;

	for (number = op->first;
	     number <= op->last && number <= max_context(fn); number++)
		if (fn->contexts[number].stop != CONTEXT_GO &&
		    &fn->contexts[number] != admin)
			return true;
	return false;
}

static void update(struct context *target, const struct op *op)
{
	if (op->kind == OP_UPDATE)
		tables_outdate(target);
	else if (op->kind == OP_UPDATE_AKEYS)
		tables_outdate_akeys(target, op->first_key, op->last_key);
	else if (op->filter == SDXI_SYNC_CXT)
		tables_sync(target);
	else if (op->filter == SDXI_SYNC_AKEY)
		tables_sync_akeys(target);
}

static void update_all(struct context *admin, const struct op *op)
{
	struct function *fn = admin->fn;
	unsigned number;

	for (number = op->first;
	     number <= op->last && number <= max_context(fn); number++)
		update(&fn->contexts[number], op);
}

/* Only stops take time. */
static int synchronise(struct context *admin, const struct op *op)
{
	update_all(admin, op);
	while (op->filter == SDXI_SYNC_STOP && is_stopping(admin, op)) {
		if (context_told(admin) >= CONTEXT_STOP_HARD)
			return -ECANCELED;
		context_wait(admin);
	}
	return 0;
}

int admin_execute(struct context *cxt, const struct op *op, struct fault *fault)
{
	switch (op->kind) {
	case OP_START:
		return start(cxt, op, fault);
	case OP_STOP:
		stop(cxt, op);
		return 0;
	case OP_SYNC:
		return synchronise(cxt, op);
	case OP_UPDATE:
	case OP_UPDATE_AKEYS:
		update_all(cxt, op);
		return 0;
	default:
		return 0;
	}
}
