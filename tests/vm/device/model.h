/* SPDX-License-Identifier: MIT */
/*
 * An SDXI 1.0 function in QEMU.
 *
 * All runs under QEMU's big lock: register writes on the processors' threads
 * only note what is wanted and schedule function_run(), which does the work in
 * the main loop. Each running context is a coroutine; what has to wait (for a
 * doorbell, a page, time) yields in context_wait(), and the others go on.
 */
#ifndef SDXI_MODEL_H
#define SDXI_MODEL_H

#include "descriptor.h"
#include "errlog.h"
#include "qemu.h"
#include "sdxi_hw.h"
#include "test_block.h"
#include <sys/queue.h>

#define ATC_ENTRIES 256
#define PRI_SLOTS 64

/* Which memory an address is of. */
struct space {
	bool has_pasid;
	uint32_t pasid;
};

enum context_state {
	CONTEXT_IDLE,
	/* Its tables and its status are being read. */
	CONTEXT_STARTING,
	CONTEXT_RUNNING,
};

enum context_stop {
	CONTEXT_GO,
	CONTEXT_STOP_SOFT,
	/* Waits for pages are given up, and the descriptor with them. */
	CONTEXT_STOP_HARD,
	/* As hard, and no more DMA: the function is gone. */
	CONTEXT_ABANDON,
};

/* A copy of what the context's tables say. */
struct tables {
	struct space space;
	uint64_t akeys;
	uint32_t akey_count;
	uint64_t ring;
	uint32_t ring_size;
	uint64_t status;
	uint64_t write_index;
	struct op_limits limits;
};

/*
 * How much of what software's tables said is kept: until software says that it
 * has changed (UPD), and then asks for the effect of that (SYNC).
 */
enum kept {
	KEPT_NOT,
	KEPT,
	KEPT_OUTDATED,
};

#define KEPT_AKEYS 16

/* At its number's remainder. */
struct kept_akey {
	enum kept kept;
	uint16_t key;
	struct sdxi_akey_ent akey;
};

/* What the test block has a context do wrong. */
struct misbehaviour {
	bool hang;
	bool ignore_stop;
	uint64_t delay_ms;
	uint64_t drops;
	bool fail_copy;
	uint64_t fail_after;
	int fail_buffer;
	bool corrupt_index;
	uint64_t index;
};

struct context {
	struct function *fn;
	STAILQ_ENTRY(context) ready;
	bool is_ready;
	uint16_t number;
	Coroutine *coroutine;
	enum context_state state;
	enum context_stop stop;
	/* What of that came from the function, not from a STOP. */
	enum context_stop function_stop;
	/* Software's START, rather than a doorbell, began it. */
	bool started;
	bool rung;
	/* The largest value rung since it runs. */
	uint64_t doorbell;
	uint64_t read_index;
	bool waits_for_page;
	/* Wants context_wait() to end at the next tick. */
	bool ticks;
	struct tables tables;
	enum kept kept;
	struct kept_akey akeys[KEPT_AKEYS];
	struct misbehaviour wrong;
	/* SDXI_TEST_NO_PASID, until it uses one. */
	uint64_t last_pasid;
};

struct atc_entry {
	bool valid;
	uint32_t pasid;
	uint64_t base;
	uint64_t mask;
	uint64_t target;
	uint32_t permission;
};

/* A page request: its number is the index. owner is NULL once nobody waits. */
struct pri_slot {
	bool busy;
	bool answered;
	bool granted;
	struct context *owner;
};

/*
 * What QEMU tells of one PASID. Made at its first use; freed with the function
 * unless QEMU still holds the notifiers.
 */
struct pasid {
	IOMMUNotifier invalidation;
	IOMMUPRINotifier response;
	struct function *fn;
	uint32_t number;
};

/* -device sdxi,NAME=VALUE. README.md says what they mean. */
struct options {
	uint32_t max_cxt;
	uint32_t vectors;
	uint32_t db_stride;
	uint32_t max_ring;
	uint32_t max_buffer;
	uint32_t max_akey;
	uint32_t intr;
	uint32_t ats;
	uint32_t pasid_bits;
	uint32_t page_requests;
	uint32_t stop_on_error;
	uint32_t hard_stop;
	uint32_t keep_tables;
	uint32_t updates;
	uint32_t test;
};

struct counters {
	uint64_t descriptors;
	uint64_t translations;
	uint64_t atc_hits;
	uint64_t page_requests;
	uint64_t page_responses;
	uint64_t invalidations;
	uint64_t errors;
};

/* See test_block.h. */
struct phase {
	bool reached;
	uint32_t configs;
	uint32_t registers;
};

struct tries {
	bool on;
	bool write;
	uint64_t addr;
	uint64_t count;
	unsigned last;
	struct phase phases[SDXI_TEST_PHASES];
};

struct registers {
	uint64_t ctl0;
	uint64_t ctl2;
	uint64_t cxt_l2;
	uint64_t err_ctl;
	uint64_t err_sts;
	uint64_t err_cfg;
	uint64_t err_wrt;
	uint64_t err_rd;
	enum sdxi_gsv state;
};

struct function {
	PCIDevice *pci;
	struct options options;
	struct registers reg;
	/* The lower half of a register that is written in halves. */
	uint64_t half_addr;
	uint32_t half;

	/* By number, options.max_cxt + 1 of them. */
	struct context *contexts;
	STAILQ_HEAD(, context) ready;
	/* How many aren't idle. */
	unsigned live;
	QEMUBH *bh;
	QEMUTimer timer;
	bool timer_runs;

	struct atc_entry atc[ATC_ENTRIES];
	unsigned atc_next;
	struct pri_slot pri[PRI_SLOTS];
	/* By PASID, 2^pasid_bits of them. */
	struct pasid **pasids;

	bool vanished;
	bool stale_atc;
	/* Of which PASID; SDXI_TEST_NO_PASID: of any. */
	uint64_t stale_pasid;
	uint64_t test_cxt;
	uint64_t test_arg;
	struct counters counters;
	struct tries tries;

	MemoryRegion bar_regs;
	MemoryRegion regs;
	MemoryRegion doorbells;
	MemoryRegion test;
};

/* function.c: states, and the loop of all work. */
void function_init(struct function *fn);
void function_exit(struct function *fn);
void function_reset(struct function *fn);
void function_request(struct function *fn, enum sdxi_gsr request);
void function_fail(struct function *fn);
/* No more DMA from here on; the contexts end at the next run. */
void function_abandon(struct function *fn);
/* Wake those who wait for it, a millisecond from now. */
void function_tick(struct function *fn);

/* context.c */
void context_start(struct context *cxt, bool has_doorbell, uint64_t doorbell);
void context_ring(struct context *cxt, uint64_t doorbell);
void context_stop(struct context *cxt, enum context_stop how, bool by_function);
/* What it was told, unless it is to ignore that. */
enum context_stop context_told(const struct context *cxt);
void context_wake(struct context *cxt);
/* Only in a context's own coroutine. They end for no reason at times. */
void context_wait(struct context *cxt);
void context_wait_tick(struct context *cxt);
/* The coroutine's body. */
void context_main(void *context);

/*
 * tables.c: what the tables say of target, read in cxt's coroutine. 0, -ENOENT
 * when there is no valid entry, -EIO; then *fault tells. -ECANCELED.
 */
int tables_load(struct context *cxt, struct context *target,
		struct fault *fault);
int tables_akey(struct context *cxt, uint16_t key, struct sdxi_akey_ent *akey,
		struct fault *fault);
/* Of target: what is kept was said to be outdated; that isn't used any more. */
void tables_outdate(struct context *target);
void tables_outdate_akeys(struct context *target, uint16_t first,
			  uint16_t last);
void tables_sync(struct context *target);
void tables_sync_akeys(struct context *target);
/* Nothing is kept. */
void tables_forget(struct context *target);

/*
 * execute.c: the descriptor at the read index, up to its completion. 0 to go
 * on, -EIO for an error that ends the context, -ECANCELED.
 */
int execute(struct context *cxt, const union sdxi_dsc *dsc);

/* admin.c: 0, -ECANCELED, or -EIO; then *fault tells. */
int admin_execute(struct context *cxt, const struct op *op,
		  struct fault *fault);

/*
 * memory.c: 0, -EFAULT without a translation, -EIO when the access failed,
 * -ECANCELED when the context was to stop. They may yield; without a context
 * they don't, and no page is asked for.
 */
int memory_read(struct function *fn, struct context *cxt, struct space space,
		uint64_t addr, void *data, uint64_t len);
int memory_write(struct function *fn, struct context *cxt, struct space space,
		 uint64_t addr, const void *data, uint64_t len);
/*
 * For what must not be torn by a wait: the address to pass to memory_access().
 * Good until the next wait. *left bytes from there may be used.
 */
struct place {
	AddressSpace *as;
	hwaddr addr;
	uint64_t left;
};
int memory_translate(struct function *fn, struct context *cxt,
		     struct space space, uint64_t addr, bool write,
		     struct place *place);
int memory_access(const struct place *place, void *data, uint64_t len,
		  bool write);
struct space memory_function_space(const struct function *fn);
enum sdxi_err_sub_step memory_sub_step(int error);

/* atc.c: as memory_translate(), for a PASID. */
int atc_translate(struct function *fn, struct context *cxt, uint32_t pasid,
		  uint64_t addr, bool write, uint64_t *target, uint64_t *left);
void atc_exit(struct function *fn);

/* pri.c: 0 when the page was said to be there, -EFAULT, -ECANCELED. */
int pri_request(struct context *cxt, uint32_t pasid, uint64_t addr, bool write);
void pri_response(struct function *fn, const IOMMUPRIResponse *response);
void pri_forget(struct function *fn);

/* log.c: put it into the log in the guest's memory. */
void log_fault(struct function *fn, const struct fault *fault);

/* try.c */
void try_begin(struct function *fn, bool write, uint64_t addr);
/* Software is about to access it. */
void try_access(struct function *fn, bool config);
uint64_t try_phase(const struct function *fn, unsigned i);

/* registers.c and test.c: BARs. */
extern const MemoryRegionOps registers_ops;
extern const MemoryRegionOps doorbell_ops;
extern const MemoryRegionOps test_ops;

/* ecap.c */
void ecap_overlay(void);

#endif
