/* SPDX-License-Identifier: MIT */
/*
 * BAR4 of the model, with test=1: it misbehaves on command and counts what it
 * does. Real functions have no such thing, and no driver may touch it. 64-bit
 * accesses only.
 */
#ifndef SDXI_TEST_BLOCK_H
#define SDXI_TEST_BLOCK_H

#define SDXI_TEST_BAR 4
#define SDXI_TEST_SIZE 4096

/* Reads as SDXI_TEST_ID. */
#define SDXI_TEST_REG_ID 0x00
#define SDXI_TEST_ID 0x5453455449584453ULL
/* The context that the next command is about, and a number for it. */
#define SDXI_TEST_REG_CXT 0x08
#define SDXI_TEST_REG_ARG 0x10
#define SDXI_TEST_REG_CMD 0x18
/* Counters, read-only. */
#define SDXI_TEST_REG_DESCRIPTORS 0x40
#define SDXI_TEST_REG_TRANSLATIONS 0x48
#define SDXI_TEST_REG_ATC_HITS 0x50
#define SDXI_TEST_REG_PAGE_REQUESTS 0x58
#define SDXI_TEST_REG_PAGE_RESPONSES 0x60
#define SDXI_TEST_REG_INVALIDATIONS 0x68
#define SDXI_TEST_REG_ERRORS 0x70
/* How many contexts run now. */
#define SDXI_TEST_REG_LIVE 0x78
/*
 * What became of SDXI_TEST_TRY_*, in order: a phase for as long as they all reached
 * memory, or none did. 0: there was no such phase.
 */
#define SDXI_TEST_REG_PHASE 0x100
#define SDXI_TEST_PHASES 16
#define SDXI_TEST_PHASE_REACHED (1ULL << 63)
/* At how many accesses: to registers and doorbells; to configuration space. */
#define SDXI_TEST_PHASE_REGISTERS (0x7fffffffULL << 32)
#define SDXI_TEST_PHASE_CONFIGS 0xffffffffULL
/* Of each of the first contexts: the PASID that it last used. */
#define SDXI_TEST_REG_PASID 0x200
#define SDXI_TEST_PASIDS 64
#define SDXI_TEST_NO_PASID (~0ULL)

enum sdxi_test_cmd {
	/* All is well again, but for what was done. */
	SDXI_TEST_BEHAVE = 0,
	/* The context takes no further descriptor; only hard stops end it. */
	SDXI_TEST_HANG = 1,
	/* It hears no stop but the function's own hard one. */
	SDXI_TEST_IGNORE_STOP = 2,
	/* Each of its completions comes ARG ms late. */
	SDXI_TEST_DELAY = 3,
	/* Its next ARG completion blocks aren't written. */
	SDXI_TEST_DROP = 4,
	/* Its next longer COPY fails after ARG bytes. */
	SDXI_TEST_FAIL_COPY = 5,
	/* It writes ARG as its read index, once. */
	SDXI_TEST_CORRUPT_INDEX = 6,
	/*
	 * The function forgets no translation of the PASID that the context last
	 * used, or if it used none, of any, though it is told to.
	 */
	SDXI_TEST_STALE = 7,
	/* It goes to its error state. */
	SDXI_TEST_FATAL = 8,
	/* As if unplugged: all reads are ones. BEHAVE brings it back, reset. */
	SDXI_TEST_VANISH = 9,
	/*
	 * At each access to its registers, its doorbells, or the first 256 bytes of
	 * its configuration space but its identity, just before it, it reads 8 bytes
	 * at ARG: by plain DMA, mastering the bus even if it may not. BEHAVE ends
	 * that.
	 */
	SDXI_TEST_TRY_READ = 10,
	/* It writes there how often it has tried. */
	SDXI_TEST_TRY_WRITE = 11,
	/* As FAIL_COPY, which says that it can't write: it says it can't read. */
	SDXI_TEST_FAIL_READ = 12,
	/* All is well again with this context. */
	SDXI_TEST_BEHAVE_ALONE = 13,
};

#endif
