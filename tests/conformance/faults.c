/* SPDX-License-Identifier: MIT */
/*
 * Bad pointers: on a CHECKED queue a status with the address; on another the
 * caller's SIGSEGV, or, where only the kernel touches the memory, that status.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"

#define PAGE 4096U
#define KERNEL_ADDRESS 0xffff888000000000ULL

/* One page that is there, then one that isn't: unmapped, none, read-only. */
struct cliff {
	uint8_t *page;
	uint8_t *edge;
	size_t size;
};

static struct cliff cliff_new(size_t pages, int prot)
{
	struct cliff k = { .size = (pages + 1) * PAGE };

	k.page = mmap(NULL, k.size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(k.page != MAP_FAILED, "no memory");
	memset(k.page, 0x11, k.size);
	k.edge = k.page + pages * PAGE;
	if (prot < 0)
		EXPECT(!munmap(k.edge, PAGE), "munmap");
	else
		EXPECT(!mprotect(k.edge, PAGE, prot), "mprotect");
	return k;
}

static void cliff_free(struct cliff *k)
{
	munmap(k->page, k->size);
}

/* The standard's error log has no addresses. */
static bool addr_fits(const struct session *c, const struct sharq_cqe *cqe,
		      uint64_t addr)
{
	if (c->info.path == SHARQ_PATH_DIRECT && session_is_on(c, "sdxi"))
		return !cqe->flags && !cqe->addr;
	return cqe->flags & SHARQ_CQE_ADDR_VALID && cqe->addr == addr;
}

static void faults(struct session *c, unsigned int status, uint64_t addr,
		   const char *what)
{
	struct sharq_cqe cqe = run_one(c->q);

	expect_status(&cqe, status, what);
	EXPECT(addr_fits(c, &cqe, addr),
	       "%s: address %#llx, flags %#x, expected %#llx", what,
	       (unsigned long long)cqe.addr, cqe.flags,
	       (unsigned long long)addr);
	/* And the queue serves the next. */
	sharq_prep_nop(sqe_get(c->q));
	cqe = run_one(c->q);
	expect_status(&cqe, SHARQ_OK, "NOP after a fault");
}

static void copies(struct session *c, struct cliff *k, bool readable)
{
	uint8_t *bad = k->edge - 100, out[200] = { 0 };
	uint64_t at = (uintptr_t)k->edge;
	struct sharq_queue *q = c->q;

	sharq_prep_copy(sqe_get(q), bad, out, 200);
	faults(c, SHARQ_FAULT_WRITE, at, "COPY");
	if (readable)
		return;
	sharq_prep_copy(sqe_get(q), out, bad, 200);
	faults(c, SHARQ_FAULT_READ, at, "COPY from it");
	sharq_prep_copy(sqe_get(q), out, k->edge, 200);
	faults(c, SHARQ_FAULT_READ, at, "COPY from its first byte");
}

/* @k's edge can't be read: every other operation that has a source. */
static void sources(struct session *c, struct cliff *k)
{
	uint8_t *good = k->page, *bad = k->edge - 100;
	uint64_t at = (uintptr_t)k->edge;
	static uint8_t out[4 * PAGE], out2[4 * PAGE];
	/* Raw deflate's last block: 195 bytes as they are. */
	static const uint8_t stored[] = { 1, 195, 0, 255 - 195, 255 };
	struct sharq_queue *q = c->q;

	/* A copy to it that failed may have begun. */
	memset(bad, 0x11, 100);
	sharq_prep_crc32c(sqe_get(q), bad, 200, 0);
	faults(c, SHARQ_FAULT_READ, at, "CRC32C");
	sharq_prep_copy_crc32c(sqe_get(q), out, bad, 200, 0);
	faults(c, SHARQ_FAULT_READ, at, "COPY_CRC32C");
	sharq_prep_dualcast(sqe_get(q), out, out2, bad, 200);
	faults(c, SHARQ_FAULT_READ, at, "DUALCAST");
	sharq_prep_compare(sqe_get(q), bad, good, 200);
	faults(c, SHARQ_FAULT_READ, at, "COMPARE, first source");
	sharq_prep_compare(sqe_get(q), good, bad, 200);
	faults(c, SHARQ_FAULT_READ, at, "COMPARE, second source");
	sharq_prep_compress(sqe_get(q), out, sizeof(out), bad, 200, 0, 1);
	faults(c, SHARQ_FAULT_READ, at, "COMPRESS");
	/* A stream that goes on there: what is no stream needn't be read on. */
	memcpy(bad, stored, sizeof(stored));
	sharq_prep_decompress(sqe_get(q), out, sizeof(out), bad, 200, 0);
	faults(c, SHARQ_FAULT_READ, at, "DECOMPRESS");
}

/* @k's edge can't be written: every other operation that has a destination. */
static void destinations(struct session *c, struct cliff *k)
{
	uint8_t *bad = k->edge - 100;
	uint64_t at = (uintptr_t)k->edge;
	static uint8_t in[4 * PAGE], out[4 * PAGE], packed[256];
	uint32_t n;
	struct sharq_queue *q = c->q;
	struct rng r = { 1 };

	memset(in, 0, sizeof(in));
	n = (uint32_t)ref_deflate(packed, sizeof(packed), in, PAGE, 0, 6);
	sharq_prep_decompress(sqe_get(q), bad, PAGE, packed, n, 0);
	faults(c, SHARQ_FAULT_WRITE, at, "DECOMPRESS");
	rng_fill(&r, in, sizeof(in));
	sharq_prep_fill(sqe_get(q), bad, 200, "abc", 3);
	faults(c, SHARQ_FAULT_WRITE, at, "FILL");
	sharq_prep_fill(sqe_get(q), k->edge, 200, "abc", 3);
	faults(c, SHARQ_FAULT_WRITE, at, "FILL of its first byte");
	sharq_prep_copy_crc32c(sqe_get(q), bad, in, 200, 0);
	faults(c, SHARQ_FAULT_WRITE, at, "COPY_CRC32C");
	sharq_prep_dualcast(sqe_get(q), bad, out, in, 200);
	faults(c, SHARQ_FAULT_WRITE, at, "DUALCAST, first");
	sharq_prep_dualcast(sqe_get(q), out, bad, in, 200);
	faults(c, SHARQ_FAULT_WRITE, at, "DUALCAST, second");
	sharq_prep_compress(sqe_get(q), bad, 2 * PAGE, in, PAGE, 0, 1);
	faults(c, SHARQ_FAULT_WRITE, at, "COMPRESS");
}

static void over_the_edge(int prot, bool readable)
{
	struct session c;

	session_open(&c, 8, SHARQ_QUEUE_CHECKED);
	for (size_t pages = 1; pages <= 5; pages += 4) {
		struct cliff k = cliff_new(pages, prot);

		copies(&c, &k, readable);
		if (!readable && suite_has_all())
			sources(&c, &k);
		if (suite_has_all())
			destinations(&c, &k);
		cliff_free(&k);
	}
	session_close(&c);
}

static void unmapped(void)
{
	over_the_edge(-1, false);
}

static void no_access(void)
{
	over_the_edge(PROT_NONE, false);
}

static void read_only(void)
{
	struct cliff k = cliff_new(1, PROT_READ);
	struct sharq_cqe cqe;
	struct session c;
	uint8_t out[200];

	over_the_edge(PROT_READ, true);
	session_open(&c, 8, SHARQ_QUEUE_CHECKED);
	sharq_prep_copy(sqe_get(c.q), out, k.edge - 100, 200);
	cqe = run_one(c.q);
	expect_status(&cqe, SHARQ_OK, "COPY from read-only memory");
	EXPECT_EQ(out[199], 0x11, "the last byte");
	cliff_free(&k);
	session_close(&c);
}

static void kernel_and_null(void)
{
	static const uint64_t addresses[] = { 8,
					      0x1000,
					      0x7ffffffff000ULL,
					      0x800000000000ULL,
					      KERNEL_ADDRESS,
					      0xffffffff80000000ULL };
	struct sharq_desc d = { .op = SHARQ_OP_COPY, .len = 64 };
	uint8_t good[64];
	struct session c;

	session_open(&c, 8, SHARQ_QUEUE_CHECKED);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		d.src = addresses[i];
		d.dst = (uintptr_t)good;
		sharq_prep_raw(sqe_get(c.q), &d);
		faults(&c, SHARQ_FAULT_READ, addresses[i], "COPY from it");
		d.src = (uintptr_t)good;
		d.dst = addresses[i];
		sharq_prep_raw(sqe_get(c.q), &d);
		faults(&c, SHARQ_FAULT_WRITE, addresses[i], "COPY to it");
	}
	session_close(&c);
}

/* Length 0 touches nothing, wherever it points. */
static void nothing_to_touch(void)
{
	const struct sharq_desc d = { .op = SHARQ_OP_COPY,
				      .src = 8,
				      .dst = KERNEL_ADDRESS };
	static const unsigned int flags[] = { 0, SHARQ_QUEUE_CHECKED };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct sharq_cqe cqe;
		struct session c;

		session_open(&c, 8, flags[i]);
		cqe = run_desc(c.q, &d);
		expect_status(&cqe, SHARQ_OK, "COPY of 0 bytes");
		session_close(&c);
	}
}

/* CHECKED queues do right what is right, small and large. */
static void checked_works(void)
{
	static const uint32_t lens[] = { 0, 1, 4095, 4097, 3 * MIB + 1 };
	struct rng r = { 12 };
	struct session c;
	uint8_t *src = xmalloc(4 * MIB), *dst = xmalloc(4 * MIB);

	session_open(&c, 8, SHARQ_QUEUE_CHECKED);
	rng_fill(&r, src, 4 * MIB);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct sharq_cqe cqe;

		memset(dst, 0, 4 * MIB);
		sharq_prep_copy_crc32c(sqe_get(c.q), dst, src, lens[i], 0);
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "COPY_CRC32C");
		EXPECT_EQ(cqe.crc, ref_crc32c(0, src, lens[i]), "crc");
		EXPECT(!memcmp(src, dst, lens[i]) && !dst[lens[i]],
		       "other data came");
		/* Overlapping, as memmove. */
		memcpy(dst, src, 4 * MIB);
		sharq_prep_copy(sqe_get(c.q), dst + 77, dst, lens[i]);
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "overlapping COPY");
		EXPECT(!memcmp(dst + 77, src, lens[i]), "other data came");
	}
	free(src);
	free(dst);
	session_close(&c);
}

/* A fault in one of many in flight is that one's alone. */
static void fault_among_others(void)
{
	struct cliff k = cliff_new(1, PROT_NONE);
	uint8_t *dst = xmalloc(64 * 64);
	struct session c;

	session_open(&c, 64, SHARQ_QUEUE_CHECKED);
	memset(dst, 0, 64 * 64);
	for (uint64_t i = 0; i < 64; i++) {
		struct sharq_sqe *sqe = sqe_get(c.q);

		sharq_prep_copy(sqe, dst + i * 64, i % 5 ? k.page : k.edge, 64);
		sharq_sqe_set_data64(sqe, i);
	}
	submit_all(c.q, 64);
	for (int n = 0; n < 64; n++) {
		struct sharq_cqe cqe = cqe_take(c.q);

		expect_status(&cqe,
			      cqe.user_data % 5 ? SHARQ_OK : SHARQ_FAULT_READ,
			      "COPY");
	}
	for (int i = 0; i < 64; i++)
		EXPECT_EQ(dst[i * 64 + 63], i % 5 ? 0x11 : 0, "a byte copied");
	free(dst);
	cliff_free(&k);
	session_close(&c);
}

static void crash(bool writes)
{
	const struct rlimit no_core = { 0, 0 };
	struct cliff k = cliff_new(1, PROT_NONE);
	uint8_t buf[64];
	struct session c;
	struct sharq_cqe cqe;

	setrlimit(RLIMIT_CORE, &no_core);
	/* A sanitizer would report it and exit: the signal is what counts. */
	signal(SIGSEGV, SIG_DFL);
	session_open(&c, 8, 0);
	if (writes)
		sharq_prep_copy(sqe_get(c.q), k.edge, buf, 64);
	else
		sharq_prep_copy(sqe_get(c.q), buf, k.edge, 64);
	cqe = run_one(c.q);
	if (cqe.status == (writes ? SHARQ_FAULT_WRITE : SHARQ_FAULT_READ) &&
	    addr_fits(&c, &cqe, (uintptr_t)k.edge) &&
	    (c.info.path == SHARQ_PATH_DIRECT ||
	     c.info.path == SHARQ_PATH_SHADOW))
		raise(SIGSEGV);
	_exit(0);
}

static void unchecked_is_sigsegv(void)
{
	for (int writes = 0; writes < 2; writes++) {
		pid_t pid = fork();
		int status;

		EXPECT(pid >= 0, "fork");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			crash(writes);
		}
		EXPECT(waitpid(pid, &status, 0) == pid, "waitpid");
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV,
		       "a bad %s ended with status %#x, expected SIGSEGV",
		       writes ? "destination" : "source", status);
	}
}

const struct test fault_tests[] = {
	{ "checked_works", checked_works, 30, 0 },
	{ "checked_unmapped", unmapped, 30, 0 },
	{ "checked_no_access", no_access, 30, 0 },
	{ "checked_read_only", read_only, 30, 0 },
	{ "checked_kernel_and_null", kernel_and_null, 30, 0 },
	{ "checked_among_others", fault_among_others, 30, 0 },
	{ "zero_length_touches_nothing", nothing_to_touch, 30, 0 },
	{ "unchecked_is_sigsegv", unchecked_is_sigsegv, 30, 0 },
	{ NULL, NULL, 0, 0 },
};
