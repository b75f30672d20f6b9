// SPDX-License-Identifier: MIT
/* BAR4: misbehaviour on command. */
#include "model.h"
#include "test_block.h"
#include <string.h>

static uint64_t test_read(void *opaque, hwaddr addr, unsigned size)
{
	const struct function *fn = opaque;
	uint64_t phase = (addr - SDXI_TEST_REG_PHASE) / 8;
	uint64_t number = (addr - SDXI_TEST_REG_PASID) / 8;

	(void)size;
	if (addr >= SDXI_TEST_REG_PASID && number < SDXI_TEST_PASIDS)
		return number <= fn->options.max_cxt
			       ? fn->contexts[number].last_pasid
			       : SDXI_TEST_NO_PASID;
	if (addr >= SDXI_TEST_REG_PHASE && phase < SDXI_TEST_PHASES)
		return try_phase(fn, phase);
	switch (addr) {
	case SDXI_TEST_REG_ID:
		return SDXI_TEST_ID;
	case SDXI_TEST_REG_CXT:
		return fn->test_cxt;
	case SDXI_TEST_REG_ARG:
		return fn->test_arg;
	case SDXI_TEST_REG_DESCRIPTORS:
		return fn->counters.descriptors;
	case SDXI_TEST_REG_TRANSLATIONS:
		return fn->counters.translations;
	case SDXI_TEST_REG_ATC_HITS:
		return fn->counters.atc_hits;
	case SDXI_TEST_REG_PAGE_REQUESTS:
		return fn->counters.page_requests;
	case SDXI_TEST_REG_PAGE_RESPONSES:
		return fn->counters.page_responses;
	case SDXI_TEST_REG_INVALIDATIONS:
		return fn->counters.invalidations;
	case SDXI_TEST_REG_ERRORS:
		return fn->counters.errors;
	case SDXI_TEST_REG_LIVE:
		return fn->live;
	default:
		return 0;
	}
}

static void behave_alone(struct context *cxt)
{
	memset(&cxt->wrong, 0, sizeof(cxt->wrong));
	context_wake(cxt);
}

static void behave(struct function *fn)
{
	unsigned number;

	for (number = 0; number <= fn->options.max_cxt; number++)
		behave_alone(&fn->contexts[number]);
	/* What it should have forgotten is not to be found later. */
	if (fn->stale_atc)
		memset(fn->atc, 0, sizeof(fn->atc));
	fn->stale_atc = false;
	fn->vanished = false;
	fn->tries.on = false;
}

static void misbehave(struct function *fn, enum sdxi_test_cmd cmd)
{
	struct misbehaviour *wrong;

	if (fn->test_cxt > fn->options.max_cxt)
		return;
	wrong = &fn->contexts[fn->test_cxt].wrong;
	switch (cmd) {
	case SDXI_TEST_BEHAVE:
		behave(fn);
		break;
	case SDXI_TEST_BEHAVE_ALONE:
		behave_alone(&fn->contexts[fn->test_cxt]);
		break;
	case SDXI_TEST_HANG:
		wrong->hang = true;
		break;
	case SDXI_TEST_IGNORE_STOP:
		wrong->ignore_stop = true;
		break;
	case SDXI_TEST_DELAY:
		wrong->delay_ms = fn->test_arg;
		break;
	case SDXI_TEST_DROP:
		wrong->drops = fn->test_arg;
		break;
	case SDXI_TEST_FAIL_COPY:
	case SDXI_TEST_FAIL_READ:
		wrong->fail_copy = true;
		wrong->fail_buffer = cmd == SDXI_TEST_FAIL_COPY;
		wrong->fail_after = fn->test_arg;
		break;
	case SDXI_TEST_CORRUPT_INDEX:
		wrong->corrupt_index = true;
		wrong->index = fn->test_arg;
		break;
	case SDXI_TEST_STALE:
		fn->stale_atc = true;
		fn->stale_pasid = fn->contexts[fn->test_cxt].last_pasid;
		break;
	case SDXI_TEST_FATAL:
		function_fail(fn);
		break;
	case SDXI_TEST_VANISH:
		function_reset(fn);
		fn->vanished = true;
		break;
	case SDXI_TEST_TRY_READ:
	case SDXI_TEST_TRY_WRITE:
		try_begin(fn, cmd == SDXI_TEST_TRY_WRITE, fn->test_arg);
		break;
	}
}

static void test_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
	struct function *fn = opaque;

	(void)size;
	if (addr == SDXI_TEST_REG_CXT)
		fn->test_cxt = value;
	else if (addr == SDXI_TEST_REG_ARG)
		fn->test_arg = value;
	else if (addr == SDXI_TEST_REG_CMD)
		misbehave(fn, value);
}

const MemoryRegionOps test_ops = {
	.read = test_read,
	.write = test_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 8, .max_access_size = 8 },
	.impl = { .min_access_size = 8, .max_access_size = 8 },
};
