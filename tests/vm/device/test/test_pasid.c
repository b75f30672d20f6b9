// SPDX-License-Identifier: MIT
/*
 * A context whose ring, status and data are this process's memory, by PASID:
 * nothing is pinned, and what isn't there is asked for.
 */
#include "sdxi.h"
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096UL

static struct sdxi sdxi;
static struct cxt *client = &sdxi.cxts[1];

static void open_function(void)
{
	sdxi_open_bound(&sdxi);
	ck_assert_msg(sdxi.pasid > 0, "no bond: %s", strerror(-sdxi.pasid));
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
	sdxi_up(&sdxi);
	cxt_bind(client);
	cxt_start(client);
}

static void close_function(void)
{
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
	sdxi_close_bound(&sdxi);
}

/* Never touched. */
static char *pages(void *where, size_t count, int protection)
{
	char *memory = mmap(
		where, count * PAGE, protection,
		MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED : 0), -1, 0);

	ck_assert(memory != MAP_FAILED);
	return memory;
}

static uint64_t counter(unsigned reg)
{
	return sdxi_counter(&sdxi, reg);
}

START_TEST(untouched_pages_are_asked_for)
{
	char *src = pages(NULL, 64, PROT_READ | PROT_WRITE);
	char *dst = pages(NULL, 64, PROT_READ | PROT_WRITE);
	uint64_t before = counter(SDXI_TEST_REG_PAGE_REQUESTS);

	memset(src, 0x5a, 64 * PAGE);
	ck_assert(!cxt_do(client, dsc_copy(src + 5, dst + 7, 63 * PAGE)));
	ck_assert(!memcmp(src + 5, dst + 7, 63 * PAGE));
	ck_assert_uint_ge(counter(SDXI_TEST_REG_PAGE_REQUESTS), before + 63);
	ck_assert_uint_eq(counter(SDXI_TEST_REG_PAGE_REQUESTS),
			  counter(SDXI_TEST_REG_PAGE_RESPONSES));
}
END_TEST

START_TEST(translations_are_kept_and_used_again)
{
	char *src = pages(NULL, 1, PROT_READ | PROT_WRITE);
	char *dst = pages(NULL, 1, PROT_READ | PROT_WRITE);
	uint64_t translations;

	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	translations = counter(SDXI_TEST_REG_TRANSLATIONS);
	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	ck_assert_uint_eq(counter(SDXI_TEST_REG_TRANSLATIONS), translations);
}
END_TEST

static void assert_fails(union sdxi_dsc dsc, unsigned buffer)
{
	uint64_t entry = sdxi_read(&sdxi, SDXI_REG_ERR_WRT);
	uint16_t flags;

	ck_assert(cxt_do(client, dsc));
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	flags = le16toh(sdxi.log[entry].flags);
	ck_assert_uint_eq(
		FIELD_GET(SDXI_ERRLOG_STEP, le32toh(sdxi.log[entry].head)),
		SDXI_STEP_DSC_BUF);
	ck_assert_uint_eq(FIELD_GET(SDXI_ERRLOG_SUB_STEP, flags),
			  SDXI_SUB_TRANSLATION);
	ck_assert_uint_eq(FIELD_GET(SDXI_ERRLOG_BUF, flags), buffer);
	cxt_start(client);
}

START_TEST(what_may_not_be_accessed_fails_and_the_buffer_is_named)
{
	char *good = pages(NULL, 1, PROT_READ | PROT_WRITE);
	char *constant = pages(NULL, 1, PROT_READ);
	char *gone = pages(NULL, 1, PROT_READ);

	ck_assert(!munmap(gone, PAGE));
	assert_fails(dsc_copy(good, constant, 64), 1);
	assert_fails(dsc_copy(gone, good, 64), 0);
	/* The kernel's. */
	assert_fails(dsc_copy((void *)0xffffffff81000000UL, good, 64), 0);
	ck_assert(!cxt_do(client, dsc_copy(constant, good, 64)));
}
END_TEST

/* Map anew what the function has a translation of. */
static char *renewed(char *src, char *dst)
{
	memset(src, 'o', PAGE);
	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	ck_assert_int_eq(dst[0], 'o');
	pages(src, 1, PROT_READ | PROT_WRITE);
	memset(src, 'n', PAGE);
	return src;
}

START_TEST(invalidations_are_obeyed)
{
	char *src = pages(NULL, 1, PROT_READ | PROT_WRITE);
	char *dst = pages(NULL, 1, PROT_READ | PROT_WRITE);
	uint64_t before = counter(SDXI_TEST_REG_INVALIDATIONS);

	renewed(src, dst);
	ck_assert_uint_gt(counter(SDXI_TEST_REG_INVALIDATIONS), before);
	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	ck_assert_int_eq(dst[0], 'n');
	/* To less rights than the translation had. */
	ck_assert(!mprotect(dst, PAGE, PROT_READ));
	assert_fails(dsc_copy(src, dst, 64), 1);
}
END_TEST

START_TEST(stale_translation_is_used_on_command)
{
	char *src = pages(NULL, 1, PROT_READ | PROT_WRITE);
	char *dst = pages(NULL, 1, PROT_READ | PROT_WRITE);
	uint64_t translations;

	sdxi_misbehave(&sdxi, 0, SDXI_TEST_STALE, 0);
	renewed(src, dst);
	translations = counter(SDXI_TEST_REG_TRANSLATIONS);
	ck_assert(!cxt_do(client, dsc_copy(src, dst, 64)));
	ck_assert_uint_eq(counter(SDXI_TEST_REG_TRANSLATIONS), translations);
	sdxi_misbehave(&sdxi, 0, SDXI_TEST_BEHAVE, 0);
	ck_assert(!cxt_do(client, dsc_copy(src, dst, PAGE)));
	ck_assert_int_eq(dst[0], 'n');
}
END_TEST

START_TEST(ring_that_is_unmapped_ends_its_context_alone)
{
	struct cxt *other = &sdxi.cxts[2];
	char *src = pages(NULL, 1, PROT_READ | PROT_WRITE);
	char *dst = pages(NULL, 1, PROT_READ | PROT_WRITE);

	cxt_bind(other);
	cxt_start(other);
	ck_assert(!munmap(client->ring, client->size * sizeof(*client->ring)));
	STORE(*client->write_index, htole64(1));
	cxt_doorbell(client, 1);
	cxt_await_state(client, SDXI_CXT_ERR_FN);
	ck_assert(!cxt_do(other, dsc_copy(src, dst, PAGE)));
}
END_TEST

START_TEST(pasid_that_is_nobodys_reaches_nothing)
{
	struct cxt *other = &sdxi.cxts[2];
	char *src = pages(NULL, 1, PROT_READ | PROT_WRITE);
	struct sdxi_cst_blk *block = block_new(&sdxi, 1);

	memset(src, 1, PAGE);
	cxt_bind(other);
	other->akeys[DATA_KEY].pasid = htole32(sdxi.pasid + 1);
	cxt_start(other);
	cxt_put(other, dsc_copy(src, src + 64, 64), block);
	cxt_ring(other);
	ck_assert(block_await(block));
	cxt_await_state(other, SDXI_CXT_ERR_FN);
}
END_TEST

#define ADD(test) sdxi_add(suite, #test, test, open_function, close_function)

Suite *unit_suite(void)
{
	Suite *suite = suite_create("pasid");

	ADD(untouched_pages_are_asked_for);
	ADD(translations_are_kept_and_used_again);
	ADD(what_may_not_be_accessed_fails_and_the_buffer_is_named);
	ADD(invalidations_are_obeyed);
	ADD(stale_translation_is_used_on_command);
	ADD(ring_that_is_unmapped_ends_its_context_alone);
	ADD(pasid_that_is_nobodys_reaches_nothing);
	return suite;
}
