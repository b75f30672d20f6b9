// SPDX-License-Identifier: MIT
#include "sdxi.h"
#include "../../svabind/svabind.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ARENA (8UL << 20)
#define SMALL_ARENA SVABIND_MEMORY
#define PAGE 4096UL
#define RING 1024

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void sdxi_add(Suite *suite, const char *name, const TTest *test, SFun open,
	      SFun close)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, open, close);
	tcase_add_test(c, test);
	suite_add_tcase(suite, c);
}

static const char *slot(void)
{
	const char *slot = getenv("SDXI_SLOT");

	ck_assert_msg(slot, "SDXI_SLOT isn't set: sdxi.sh starts this");
	return slot;
}

void sdxi_open(struct sdxi *sdxi)
{
	unsigned i;

	memset(sdxi, 0, sizeof(*sdxi));
	vfio_open(&sdxi->vfio, slot());
	memcpy(sdxi->bars, sdxi->vfio.bars, sizeof(sdxi->bars));
	sdxi->size = ARENA;
	sdxi->arena = mmap(NULL, sdxi->size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(sdxi->arena != MAP_FAILED);
	vfio_map(&sdxi->vfio, sdxi->arena, sdxi->size);
	for (i = 0; i < VECTORS; i++)
		sdxi->events[i] = eventfd(0, EFD_NONBLOCK);
	vfio_vectors(&sdxi->vfio, sdxi->events, VECTORS);
}

void sdxi_close(struct sdxi *sdxi)
{
	vfio_close(&sdxi->vfio);
}

static void *map_resource(unsigned bar)
{
	struct stat status;
	char path[128];
	void *memory;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u",
		 slot(), bar);
	fd = open(path, O_RDWR);
	ck_assert_msg(fd >= 0, "%s: %m", path);
	ck_assert(!fstat(fd, &status));
	memory = mmap(NULL, status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	ck_assert_msg(memory != MAP_FAILED, "%s: %m", path);
	close(fd);
	return memory;
}

static void stop_function(struct sdxi *sdxi)
{
	sdxi_request(sdxi, SDXI_GSR_STOP_HD);
	AWAIT(sdxi_counter(sdxi, SDXI_TEST_REG_LIVE) == 0);
	sdxi_request(sdxi, SDXI_GSR_RESET);
	sdxi_await_state(sdxi, SDXI_GSV_STOP);
}

void sdxi_open_bound(struct sdxi *sdxi)
{
	uint64_t address;

	memset(sdxi, 0, sizeof(*sdxi));
	sdxi->bond = open("/dev/svabind", O_RDWR);
	ck_assert_msg(sdxi->bond >= 0, "/dev/svabind: %m");
	sdxi->size = SMALL_ARENA;
	sdxi->arena = mmap(NULL, sdxi->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			   sdxi->bond, 0);
	ck_assert_msg(sdxi->arena != MAP_FAILED, "/dev/svabind: %m");
	ck_assert(!ioctl(sdxi->bond, SVABIND_ADDRESS, &address));
	sdxi->offset = address - (uintptr_t)sdxi->arena;
	sdxi->bars[SDXI_BAR_REGS] = map_resource(SDXI_BAR_REGS);
	sdxi->bars[SDXI_BAR_DOORBELLS] = map_resource(SDXI_BAR_DOORBELLS);
	sdxi->bars[SDXI_TEST_BAR] = map_resource(SDXI_TEST_BAR);
	/* No driver knows of a test that was killed. */
	stop_function(sdxi);
	sdxi->pasid = ioctl(sdxi->bond, SVABIND_BIND);
	if (sdxi->pasid < 0)
		sdxi->pasid = -errno;
}

void sdxi_close_bound(struct sdxi *sdxi)
{
	stop_function(sdxi);
	close(sdxi->bond);
}

void *sdxi_memory(struct sdxi *sdxi, size_t size)
{
	void *memory = sdxi->arena + sdxi->used;

	sdxi->used += (size + PAGE - 1) & ~(PAGE - 1);
	ck_assert_uint_le(sdxi->used, sdxi->size);
	return memory;
}

static volatile uint64_t *word(const struct sdxi *sdxi, int bar,
			       uint64_t offset)
{
	ck_assert_ptr_nonnull(sdxi->bars[bar]);
	return (volatile uint64_t *)((char *)sdxi->bars[bar] + offset);
}

uint64_t sdxi_read(const struct sdxi *sdxi, unsigned reg)
{
	return *word(sdxi, SDXI_BAR_REGS, reg);
}

void sdxi_write(struct sdxi *sdxi, unsigned reg, uint64_t value)
{
	*word(sdxi, SDXI_BAR_REGS, reg) = value;
}

uint64_t sdxi_counter(const struct sdxi *sdxi, unsigned reg)
{
	return *word(sdxi, SDXI_TEST_BAR, reg);
}

void sdxi_misbehave(struct sdxi *sdxi, unsigned cxt, enum sdxi_test_cmd cmd,
		    uint64_t arg)
{
	*word(sdxi, SDXI_TEST_BAR, SDXI_TEST_REG_CXT) = cxt;
	*word(sdxi, SDXI_TEST_BAR, SDXI_TEST_REG_ARG) = arg;
	*word(sdxi, SDXI_TEST_BAR, SDXI_TEST_REG_CMD) = cmd;
}

void sdxi_request(struct sdxi *sdxi, enum sdxi_gsr request)
{
	sdxi_write(sdxi, SDXI_REG_CTL0,
		   FIELD_PREP(SDXI_CTL0_FN_GSR, request) |
			   SDXI_CTL0_FN_ERR_INTR_EN);
}

void sdxi_await_state(const struct sdxi *sdxi, enum sdxi_gsv state)
{
	AWAIT(sdxi_read(sdxi, SDXI_REG_STS0) == state);
}

bool sdxi_event(struct sdxi *sdxi, unsigned vector)
{
	uint64_t count;

	return read(sdxi->events[vector], &count, sizeof(count)) ==
	       sizeof(count);
}

void sdxi_await_event(struct sdxi *sdxi, unsigned vector)
{
	AWAIT(sdxi_event(sdxi, vector));
}

/* As the function sees it without a PASID: what isn't ours is taken as it is. */
static uint64_t addr(const struct sdxi *sdxi, const void *memory)
{
	const char *byte = memory;

	if (byte < sdxi->arena || byte >= sdxi->arena + sdxi->size)
		return (uintptr_t)memory;
	return (uintptr_t)memory + sdxi->offset;
}

static void make_keys(struct cxt *cxt)
{
	unsigned vector;

	cxt->akeys[DATA_KEY].flags = htole16(SDXI_AKEY_VL);
	for (vector = 0; vector < VECTORS; vector++)
		cxt->akeys[INTR_KEY(vector)].flags =
			htole16(SDXI_AKEY_VL | SDXI_AKEY_IV |
				FIELD_PREP(SDXI_AKEY_INTR_NUM, vector));
}

static void make_context(struct sdxi *sdxi, unsigned number,
			 struct sdxi_l1_ent *l1)
{
	struct cxt *cxt = &sdxi->cxts[number];

	cxt->sdxi = sdxi;
	cxt->number = number;
	cxt->size = RING;
	cxt->l1 = &l1[number];
	cxt->ring = sdxi_memory(sdxi, RING * sizeof(*cxt->ring));
	cxt->ctl = sdxi_memory(sdxi, sizeof(*cxt->ctl));
	cxt->sts = sdxi_memory(sdxi, sizeof(*cxt->sts));
	cxt->write_index = sdxi_memory(sdxi, sizeof(*cxt->write_index));
	cxt->akeys = sdxi_memory(sdxi, KEYS * sizeof(*cxt->akeys));
	make_keys(cxt);
	cxt->ctl->ds_ring = htole64(addr(sdxi, cxt->ring) | SDXI_CXT_CTL_VL |
				    SDXI_CXT_CTL_SE | SDXI_CXT_CTL_CSA);
	cxt->ctl->ds_ring_sz = htole32(RING);
	cxt->ctl->cxt_sts = htole64(addr(sdxi, cxt->sts));
	cxt->ctl->write_index = htole64(addr(sdxi, cxt->write_index));
	cxt->l1->akey = htole64(addr(sdxi, cxt->akeys));
	cxt->l1->misc0 = htole32(FIELD_PREP(SDXI_L1_MISC0_MAX_BUFFER, 11));
	cxt->l1->opb_000_enb = htole32(SDXI_OPB_INTR);
	cxt->l1->cxt_ctl = htole64(addr(sdxi, cxt->ctl) | SDXI_L1_CXT_CTL_VL);
}

void sdxi_prepare(struct sdxi *sdxi)
{
	uint64_t cap = sdxi_read(sdxi, SDXI_REG_CAP1);
	struct sdxi_l1_ent *l1;
	unsigned number;

	sdxi->used = 0;
	memset(sdxi->arena, 0, sdxi->size);
	memset(sdxi->cxts, 0, sizeof(sdxi->cxts));
	sdxi->l2 = sdxi_memory(sdxi, PAGE);
	l1 = sdxi_memory(sdxi, PAGE);
	sdxi->log = sdxi_memory(sdxi, 2 * PAGE);
	for (number = 0; number < CONTEXTS; number++)
		make_context(sdxi, number, l1);
	sdxi->l2[0] = htole64(addr(sdxi, l1) | SDXI_L2_ENT_VL);
	sdxi->cxts[SDXI_ADMIN_CXT].sts->state = SDXI_CXT_RUN;

	/* CTL2's fields lie where CAP1's do. */
	sdxi_write(sdxi, SDXI_REG_CTL2,
		   cap & (SDXI_CTL2_MAX_BUFFER | SDXI_CTL2_MAX_AKEY_SZ |
			  SDXI_CTL2_MAX_CXT | SDXI_CTL2_OPB_000_AVL));
	sdxi_write(sdxi, SDXI_REG_CXT_L2, addr(sdxi, sdxi->l2));
	sdxi_write(sdxi, SDXI_REG_ERR_STS,
		   SDXI_ERR_STS_STS | SDXI_ERR_STS_OVF | SDXI_ERR_STS_ERR);
	sdxi_write(sdxi, SDXI_REG_ERR_CTL, SDXI_ERR_CTL_INTR_EN);
	sdxi_write(sdxi, SDXI_REG_ERR_WRT, 0);
	sdxi_write(sdxi, SDXI_REG_ERR_RD, 0);
	sdxi_write(sdxi, SDXI_REG_ERR_CFG,
		   addr(sdxi, sdxi->log) | FIELD_PREP(SDXI_ERR_CFG_SZ, 1) |
			   SDXI_ERR_CFG_EN);
}

void sdxi_up(struct sdxi *sdxi)
{
	sdxi_prepare(sdxi);
	sdxi_request(sdxi, SDXI_GSR_ACTIVE);
	sdxi_await_state(sdxi, SDXI_GSV_ACTIVE);
	cxt_doorbell(&sdxi->cxts[SDXI_ADMIN_CXT], 0);
}

static union sdxi_dsc dsc_new(unsigned type, unsigned subtype, uint32_t flags)
{
	union sdxi_dsc dsc = { 0 };

	dsc.generic.opcode =
		htole32(FIELD_PREP(SDXI_DSC_TYPE, type) |
			FIELD_PREP(SDXI_DSC_SUBTYPE, subtype) | flags);
	return dsc;
}

union sdxi_dsc dsc_nop(void)
{
	return dsc_new(SDXI_TYPE_DMA, SDXI_DMA_NOP, 0);
}

union sdxi_dsc dsc_copy(const void *src, void *dst, uint64_t len)
{
	union sdxi_dsc dsc = dsc_new(SDXI_TYPE_DMA, SDXI_DMA_COPY, 0);

	dsc.copy.size = htole32(len - 1);
	dsc.copy.akey_src = htole16(DATA_KEY);
	dsc.copy.akey_dst = htole16(DATA_KEY);
	dsc.copy.addr_src = htole64((uintptr_t)src);
	dsc.copy.addr_dst = htole64((uintptr_t)dst);
	return dsc;
}

union sdxi_dsc dsc_intr(uint16_t key)
{
	union sdxi_dsc dsc =
		dsc_new(SDXI_TYPE_INTR, SDXI_INTR_INTR, SDXI_DSC_FE);

	dsc.intr.akey = htole16(key);
	return dsc;
}

static union sdxi_dsc dsc_admin(enum sdxi_admin_op op, uint32_t flags,
				unsigned first, unsigned last)
{
	union sdxi_dsc dsc = dsc_new(SDXI_TYPE_ADMIN, op, flags);

	dsc.admin.cxt_start = htole16(first);
	dsc.admin.cxt_end = htole16(last);
	return dsc;
}

union sdxi_dsc dsc_start(unsigned first, unsigned last)
{
	return dsc_admin(SDXI_ADMIN_CXT_START_NM, SDXI_DSC_FE, first, last);
}

union sdxi_dsc dsc_stop(unsigned first, unsigned last, bool hard)
{
	union sdxi_dsc dsc =
		dsc_admin(SDXI_ADMIN_CXT_STOP, SDXI_DSC_FE, first, last);

	dsc.admin.vflags = hard ? SDXI_VFLAGS_HS : 0;
	return dsc;
}

union sdxi_dsc dsc_sync(enum sdxi_sync_filter filter, unsigned first,
			unsigned last)
{
	union sdxi_dsc dsc = dsc_admin(SDXI_ADMIN_SYNC, 0, first, last);

	dsc.admin.flags = filter;
	dsc.admin.key_end = htole16(KEYS - 1);
	return dsc;
}

union sdxi_dsc dsc_sync_stop(unsigned first, unsigned last)
{
	return dsc_sync(SDXI_SYNC_STOP, first, last);
}

union sdxi_dsc dsc_update(unsigned first, unsigned last)
{
	union sdxi_dsc dsc = dsc_admin(SDXI_ADMIN_CXT_UPD, 0, first, last);

	dsc.admin.flags = SDXI_CXT_UPD_L1;
	return dsc;
}

union sdxi_dsc dsc_update_akeys(unsigned cxt, unsigned first, unsigned last)
{
	union sdxi_dsc dsc = dsc_admin(SDXI_ADMIN_AKEY_UPD, 0, cxt, cxt);

	dsc.admin.key_start = htole16(first);
	dsc.admin.key_end = htole16(last);
	return dsc;
}

/* Never used again: late writes harm nobody. */
struct sdxi_cst_blk *block_new(struct sdxi *sdxi, uint64_t count)
{
	struct sdxi_cst_blk *block = (void *)(sdxi->arena + sdxi->used);

	sdxi->used += sizeof(*block);
	ck_assert_uint_le(sdxi->used, sdxi->size);
	memset(block, 0, sizeof(*block));
	block->signal = htole64(count);
	return block;
}

bool block_done(const struct sdxi_cst_blk *block)
{
	return LOAD(block->signal) == 0;
}

bool block_await(const struct sdxi_cst_blk *block)
{
	AWAIT(block_done(block));
	return le32toh(block->flags) & SDXI_CST_BLK_ER;
}

void cxt_bind(struct cxt *cxt)
{
	size_t size = cxt->size * sizeof(*cxt->ring);
	char *memory = mmap(NULL, size + 2 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t flags = le64toh(cxt->ctl->ds_ring) & ~SDXI_CXT_CTL_RING;

	ck_assert(memory != MAP_FAILED);
	cxt->bound = true;
	cxt->ring = (void *)memory;
	cxt->sts = (void *)(memory + size);
	cxt->write_index = (void *)(memory + size + PAGE);
	cxt->ctl->ds_ring = htole64((uintptr_t)cxt->ring | flags);
	cxt->ctl->cxt_sts = htole64((uintptr_t)cxt->sts);
	cxt->ctl->write_index = htole64((uintptr_t)cxt->write_index);
	cxt->akeys[DATA_KEY].flags = htole16(SDXI_AKEY_VL | SDXI_AKEY_PV);
	cxt->akeys[DATA_KEY].pasid = htole32(cxt->sdxi->pasid);
	cxt->l1->misc0 |=
		htole32(FIELD_PREP(SDXI_L1_MISC0_PASID, cxt->sdxi->pasid));
	cxt->l1->cxt_ctl |= htole64(SDXI_L1_CXT_CTL_PV);
}

void cxt_put(struct cxt *cxt, union sdxi_dsc dsc,
	     const struct sdxi_cst_blk *block)
{
	union sdxi_dsc *slot = &cxt->ring[cxt->next % cxt->size];
	int i;

	AWAIT(cxt->next - le64toh(LOAD(cxt->sts->read_index)) < cxt->size);
	dsc.generic.csb_ptr = SDXI_DSC_NP;
	if (block)
		dsc.generic.csb_ptr = htole64(
			cxt->bound ? (uintptr_t)block : addr(cxt->sdxi, block));
	for (i = 1; i < 8; i++)
		slot->qw[i] = dsc.qw[i];
	STORE(slot->qw[0], dsc.qw[0] | htole64(SDXI_DSC_VL));
	cxt->next++;
}

void cxt_doorbell(struct cxt *cxt, uint64_t value)
{
	uint64_t stride = SDXI_DB_STRIDE_BYTES(FIELD_GET(
		SDXI_CAP0_DB_STRIDE, sdxi_read(cxt->sdxi, SDXI_REG_CAP0)));

	*word(cxt->sdxi, SDXI_BAR_DOORBELLS, cxt->number * stride) = value;
}

void cxt_ring(struct cxt *cxt)
{
	STORE(*cxt->write_index, htole64(cxt->next));
	cxt_doorbell(cxt, cxt->next);
}

struct sdxi_cst_blk *cxt_send(struct cxt *cxt, union sdxi_dsc dsc)
{
	struct sdxi_cst_blk *block = block_new(cxt->sdxi, 1);

	cxt_put(cxt, dsc, block);
	cxt_ring(cxt);
	return block;
}

bool cxt_do(struct cxt *cxt, union sdxi_dsc dsc)
{
	return block_await(cxt_send(cxt, dsc));
}

unsigned cxt_state(const struct cxt *cxt)
{
	return FIELD_GET(SDXI_CXT_STS_STATE, LOAD(cxt->sts->state));
}

void cxt_await_state(const struct cxt *cxt, enum sdxi_cxt_state state)
{
	AWAIT(cxt_state(cxt) == state);
}

void cxt_start(struct cxt *cxt)
{
	struct cxt *admin = &cxt->sdxi->cxts[SDXI_ADMIN_CXT];

	ck_assert(!cxt_do(admin, dsc_start(cxt->number, cxt->number)));
	/* START doesn't wait for the page that the status is on. */
	if (cxt->bound)
		cxt_await_state(cxt, SDXI_CXT_RUN);
	ck_assert_uint_eq(cxt_state(cxt), SDXI_CXT_RUN);
}

void cxt_stop(struct cxt *cxt, bool hard)
{
	struct cxt *admin = &cxt->sdxi->cxts[SDXI_ADMIN_CXT];

	cxt_send(admin, dsc_stop(cxt->number, cxt->number, hard));
	ck_assert(!cxt_do(admin, dsc_sync_stop(cxt->number, cxt->number)));
}

void cxt_update(struct cxt *cxt)
{
	struct cxt *admin = &cxt->sdxi->cxts[SDXI_ADMIN_CXT];
	unsigned n = cxt->number;

	cxt_send(admin, dsc_update(n, n));
	ck_assert(!cxt_do(admin, dsc_sync(SDXI_SYNC_CXT, n, n)));
}

void let_pass(struct sdxi *sdxi)
{
	int i;

	for (i = 0; i < 100; i++)
		ck_assert(!cxt_do(&sdxi->cxts[SDXI_ADMIN_CXT], dsc_nop()));
}
