/* SPDX-License-Identifier: MIT */
/*
 * The smallest software for an SDXI function, with a fault for each taste. It
 * shares the layouts with the model, and nothing else.
 */
#ifndef SDXI_TEST_H
#define SDXI_TEST_H

#include "../../../unit/unit.h"
#include "../test_block.h"
#include "sdxi_hw.h"
#include "vfio.h"
#include <stdbool.h>

#define CONTEXTS 16
#define VECTORS 8
#define KEYS 256
/* In each AKey table. */
#define DATA_KEY 0
#define INTR_KEY(vector) (16 + (vector))
#define ERROR_ENTRIES 64

struct cxt {
	struct sdxi *sdxi;
	unsigned number;
	/* Its addresses are this process's, with its PASID. */
	bool bound;
	uint32_t size;
	struct sdxi_l1_ent *l1;
	struct sdxi_cxt_ctl *ctl;
	struct sdxi_akey_ent *akeys;
	union sdxi_dsc *ring;
	struct sdxi_cxt_sts *sts;
	uint64_t *write_index;
	/* The software's own count. */
	uint64_t next;
};

struct sdxi {
	struct vfio vfio;
	/* svabind's file, and the PASID. */
	int bond;
	int pasid;
	/* Memory for the function, at arena + offset as the function sees it. */
	char *arena;
	size_t size;
	uint64_t offset;
	void *bars[6];
	size_t used;
	uint64_t *l2;
	struct sdxi_errlog_ent *log;
	int events[VECTORS];
	struct cxt cxts[CONTEXTS];
};

/* A case of @suite with @test, between @open and @close. */
void sdxi_add(Suite *suite, const char *name, const TTest *test, SFun open,
	      SFun close);

/* By vfio-pci. */
void sdxi_open(struct sdxi *sdxi);
void sdxi_close(struct sdxi *sdxi);
/* By svabind: no vectors, less memory; pasid is -errno if it was refused. */
void sdxi_open_bound(struct sdxi *sdxi);
void sdxi_close_bound(struct sdxi *sdxi);
/* Zeroed memory of the function's. */
void *sdxi_memory(struct sdxi *sdxi, size_t size);

uint64_t sdxi_read(const struct sdxi *sdxi, unsigned reg);
void sdxi_write(struct sdxi *sdxi, unsigned reg, uint64_t value);
void sdxi_request(struct sdxi *sdxi, enum sdxi_gsr request);
/* Ends the test if the state doesn't come. */
void sdxi_await_state(const struct sdxi *sdxi, enum sdxi_gsv state);
/* CTL2, L2, error log, contexts' tables; then ACTIVE, admin context runs. */
void sdxi_up(struct sdxi *sdxi);
void sdxi_prepare(struct sdxi *sdxi);
uint64_t sdxi_counter(const struct sdxi *sdxi, unsigned reg);
void sdxi_misbehave(struct sdxi *sdxi, unsigned cxt, enum sdxi_test_cmd cmd,
		    uint64_t arg);
/* Its vector came, once or more; ends the test if it doesn't. */
void sdxi_await_event(struct sdxi *sdxi, unsigned vector);
bool sdxi_event(struct sdxi *sdxi, unsigned vector);

/* Descriptors, without VL and completion block. */
union sdxi_dsc dsc_nop(void);
union sdxi_dsc dsc_copy(const void *src, void *dst, uint64_t len);
union sdxi_dsc dsc_intr(uint16_t key);
union sdxi_dsc dsc_start(unsigned first, unsigned last);
union sdxi_dsc dsc_stop(unsigned first, unsigned last, bool hard);
union sdxi_dsc dsc_sync_stop(unsigned first, unsigned last);
/* CXT_UPD of L1 entries, AKEY_UPD of some keys, and SYNC that waits for those. */
union sdxi_dsc dsc_update(unsigned first, unsigned last);
union sdxi_dsc dsc_update_akeys(unsigned cxt, unsigned first, unsigned last);
union sdxi_dsc dsc_sync(enum sdxi_sync_filter filter, unsigned first,
			unsigned last);

/* A block that waits for count completions. */
struct sdxi_cst_blk *block_new(struct sdxi *sdxi, uint64_t count);
bool block_done(const struct sdxi_cst_blk *block);
/* In time; true with ER. */
bool block_await(const struct sdxi_cst_blk *block);

/* Before its start: ring, status, indices and data are at our addresses. */
void cxt_bind(struct cxt *cxt);
/* Into the next slot, with VL last; block may be NULL. */
void cxt_put(struct cxt *cxt, union sdxi_dsc dsc,
	     const struct sdxi_cst_blk *block);
/* Write index and doorbell. */
void cxt_ring(struct cxt *cxt);
void cxt_doorbell(struct cxt *cxt, uint64_t value);
/* All of it: true with ER. */
bool cxt_do(struct cxt *cxt, union sdxi_dsc dsc);
struct sdxi_cst_blk *cxt_send(struct cxt *cxt, union sdxi_dsc dsc);
unsigned cxt_state(const struct cxt *cxt);
void cxt_await_state(const struct cxt *cxt, enum sdxi_cxt_state state);
void cxt_start(struct cxt *cxt);
void cxt_stop(struct cxt *cxt, bool hard);
/* Its L1 entry or its control block has changed. */
void cxt_update(struct cxt *cxt);

/* Some 100 commands of the admin context: time for what mustn't happen. */
void let_pass(struct sdxi *sdxi);

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, value) __atomic_store_n(&(x), value, __ATOMIC_RELEASE)
/* Wait for it, and end the test when it doesn't come in 10 s. */
#define AWAIT(condition)                                                       \
	do {                                                                   \
		uint64_t end_ = now_ms() + 10000;                              \
		while (!(condition)) {                                         \
			ck_assert_msg(now_ms() < end_, "never: " #condition);  \
			sched_yield();                                         \
		}                                                              \
	} while (0)
uint64_t now_ms(void);

#endif
