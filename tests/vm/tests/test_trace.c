// SPDX-License-Identifier: MIT
/* What the module's tracepoints say of commands on the soft device. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "guest.h"
#include "queue.h"
#include "trace.h"

#define LEN (64 * KIB)
/* user_data */
#define COPY 0x51U
#define BAD 0x52U
#define FAULT 0x53U

typedef unsigned long long ull;

static unsigned int occurrences(const char *text, const char *what)
{
	unsigned int n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

/* The queue's events of this name say this, so often. */
__attribute__((format(printf, 5, 6))) static void
says(const char *text, const struct queue *q, unsigned int times,
     const char *event, const char *fields, ...)
{
	char line[256];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "sharq_%s: queue=%llu ", event,
		     (ull)q->id);
	va_start(ap, fields);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fields, ap);
	va_end(ap);
	ck_assert_msg(occurrences(text, line) == times,
		      "not %u times: %s; but: %s", times, line, text);
}

static const void *beyond;

/* A copy, a descriptor that is wrong, a source that isn't there: a kick each. */
static void run_all(struct queue *q, uint8_t *dst, const uint8_t *src)
{
	struct sharq_desc d[] = {
		desc_copy(dst, src, LEN),
		desc_nop(),
		desc_copy(dst, beyond, 5000),
	};
	const enum sharq_status status[] = {
		SHARQ_OK,
		SHARQ_BAD_DESCRIPTOR,
		SHARQ_FAULT_READ,
	};

	d[0].flags = SHARQ_DESC_FENCE;
	d[1].len = 1;
	for (unsigned int i = 0; i < 3; i++) {
		d[i].user_data = COPY + i;
		ck_assert_uint_eq(queue_run(q, &d[i]).status, status[i]);
	}
}

static const char *traced(struct queue *q, uint8_t *dst, const uint8_t *src)
{
	trace_write("trace", "");
	trace_write("tracing_on", "1");
	trace_write("events/sharq/enable", "1");
	run_all(q, dst, src);
	trace_write("events/sharq/enable", "0");
	return trace_text();
}

START_TEST(each_step_of_a_command_is_traced)
{
	struct queue q = queue_new(8);
	uint8_t *src = memory(2 * LEN), *dst = memory(LEN);
	const char *text;

	beyond = src + LEN;
	ck_assert(!munmap(src + LEN, LEN));
	text = traced(&q, dst, src);

	says(text, &q, 3, "kick", "asked=1 consumed=1\n");
	says(text, &q, 1, "check",
	     "user_data=%#x op=%u flags=%#x len=%u status=0 field=0\n", COPY,
	     SHARQ_OP_COPY, SHARQ_DESC_FENCE, LEN);
	says(text, &q, 1, "check",
	     "user_data=%#x op=0 flags=0x0 len=1 status=%u field=%u\n", BAD,
	     SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	says(text, &q, 1, "map",
	     "addr=%#llx len=%u write=0 kind=pinned ret=0\n",
	     (ull)(uintptr_t)src, LEN);
	says(text, &q, 1, "map",
	     "addr=%#llx len=%u write=1 kind=pinned ret=0\n",
	     (ull)(uintptr_t)dst, LEN);
	says(text, &q, 1, "map",
	     "addr=%#llx len=5000 write=0 kind=none ret=-14\n",
	     (ull)(uintptr_t)beyond);
	says(text, &q, 1, "fault", "user_data=%#x addr=%#llx write=0\n", FAULT,
	     (ull)(uintptr_t)beyond);
	says(text, &q, 1, "accept", "user_data=%#x\n", COPY);
	says(text, &q, 1, "push",
	     "user_data=%#x device=%u served=0 budget=", COPY,
	     queue_device().id);
	says(text, &q, 1, "complete",
	     "user_data=%#x status=0 consumed=%u produced=%u\n", COPY, LEN,
	     LEN);
	says(text, &q, 1, "complete", "user_data=%#x status=%u consumed=%u",
	     BAD, SHARQ_BAD_DESCRIPTOR, SHARQ_FIELD_LEN);
	says(text, &q, 1, "complete", "user_data=%#x status=%u", FAULT,
	     SHARQ_FAULT_READ);
	queue_free(&q);
}
END_TEST

Suite *guest_suite(void)
{
	Suite *s = suite_create("trace");

	GUEST_ADD(s, each_step_of_a_command_is_traced, 60);
	return s;
}
