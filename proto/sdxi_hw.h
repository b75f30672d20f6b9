/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The layouts that an SDXI 1.0 function and its software share: registers,
 * context structures, descriptors, completion blocks and the error log. The
 * module, the library and the device model of tests/vm take it from here. Numbers
 * in brackets are sections of the project's notes on SDXI, whose marks of
 * confidence apply.
 *
 * All is little-endian. Fields are masks for FIELD_GET() and FIELD_PREP().
 */
#ifndef SHARQ_SDXI_HW_H
#define SHARQ_SDXI_HW_H

#ifdef __KERNEL__
#include <linux/bits.h>
#include <linux/build_bug.h>
#else
#include <assert.h>
#include <endian.h>
#include <stdint.h>

#define BIT_ULL(n) (1ULL << (n))
#define GENMASK_ULL(high, low) ((~0ULL >> (63 - (high))) & (~0ULL << (low)))
#define FIELD_GET(mask, value) (((value) & (mask)) >> __builtin_ctzll(mask))
#define FIELD_PREP(mask, value)                                                \
	(((uint64_t)(value) << __builtin_ctzll(mask)) & (mask))
#endif
#include <linux/types.h>

/* PCI identity [1]: the driver takes a function by its class alone. */
#define SDXI_PCI_CLASS 0x120100
#define SDXI_BAR_REGS 0
#define SDXI_BAR_DOORBELLS 2
#define SDXI_VECTOR_ERROR 0

/* Registers in BAR0 [2]. */
#define SDXI_REG_CTL0 0x00000
#define SDXI_REG_CTL2 0x00010
#define SDXI_REG_STS0 0x00100
#define SDXI_REG_CAP0 0x00200
#define SDXI_REG_CAP1 0x00208
#define SDXI_REG_VERSION 0x00210
#define SDXI_REG_CXT_L2 0x10000
#define SDXI_REG_RKEY 0x10100
#define SDXI_REG_ERR_CTL 0x20000
#define SDXI_REG_ERR_STS 0x20008
#define SDXI_REG_ERR_CFG 0x20010
#define SDXI_REG_ERR_WRT 0x20020
#define SDXI_REG_ERR_RD 0x20028
#define SDXI_REGS_SIZE 0x40000

/* Register fields [2]. */
#define SDXI_CTL0_FN_GSR GENMASK_ULL(1, 0)
#define SDXI_CTL0_FN_PASID_VL BIT_ULL(2)
#define SDXI_CTL0_FN_ERR_INTR_EN BIT_ULL(4)
#define SDXI_CTL0_FN_PASID GENMASK_ULL(27, 8)
#define SDXI_CTL0_FN_GRP_ID GENMASK_ULL(63, 32)

#define SDXI_CTL2_MAX_BUFFER GENMASK_ULL(3, 0)
#define SDXI_CTL2_MAX_AKEY_SZ GENMASK_ULL(15, 12)
#define SDXI_CTL2_MAX_CXT GENMASK_ULL(31, 16)
#define SDXI_CTL2_OPB_000_AVL GENMASK_ULL(63, 32)

#define SDXI_STS0_FN_GSV GENMASK_ULL(2, 0)

#define SDXI_CAP0_SFUNC GENMASK_ULL(15, 0)
#define SDXI_CAP0_DB_STRIDE GENMASK_ULL(22, 20)
#define SDXI_CAP0_MAX_DS_RING_SZ GENMASK_ULL(28, 24)

#define SDXI_CAP1_MAX_BUFFER GENMASK_ULL(3, 0)
#define SDXI_CAP1_RKEY_CAP BIT_ULL(4)
#define SDXI_CAP1_MAX_ERRLOG_SZ GENMASK_ULL(11, 8)
#define SDXI_CAP1_MAX_AKEY_SZ GENMASK_ULL(15, 12)
#define SDXI_CAP1_MAX_CXT GENMASK_ULL(31, 16)
#define SDXI_CAP1_OPB_000_CAP GENMASK_ULL(63, 32)

#define SDXI_VERSION_MINOR GENMASK_ULL(7, 0)
#define SDXI_VERSION_MAJOR GENMASK_ULL(23, 16)

#define SDXI_CXT_L2_PTR GENMASK_ULL(63, 12)

#define SDXI_ERR_CTL_INTR_EN BIT_ULL(0)

#define SDXI_ERR_STS_STS BIT_ULL(0)
#define SDXI_ERR_STS_OVF BIT_ULL(1)
#define SDXI_ERR_STS_ERR BIT_ULL(3)

#define SDXI_ERR_CFG_EN BIT_ULL(0)
#define SDXI_ERR_CFG_SZ GENMASK_ULL(5, 1)
#define SDXI_ERR_CFG_PTR GENMASK_ULL(63, 12)

/* What the fields count [2, 12]; the caller bounds the encoded value. */
#define SDXI_BUFFER_BYTES(value) (1ULL << ((value) + 21))
#define SDXI_AKEYS(value) (256UL << (value))
#define SDXI_DB_STRIDE_BYTES(value) (4096ULL << (value))
#define SDXI_RING_ENTRIES(value) (1024ULL << (value))
#define SDXI_RING_ENTRIES_MIN 1024

/* Function states, asked for by CTL0 and shown by STS0 [3]. */
enum sdxi_gsr {
	SDXI_GSR_RESET = 0,
	SDXI_GSR_STOP_SF = 1,
	SDXI_GSR_STOP_HD = 2,
	SDXI_GSR_ACTIVE = 3,
};

enum sdxi_gsv {
	SDXI_GSV_STOP = 0,
	SDXI_GSV_INIT = 1,
	SDXI_GSV_ACTIVE = 2,
	SDXI_GSV_STOPG_SF = 3,
	SDXI_GSV_STOPG_HD = 4,
	SDXI_GSV_ERROR = 5,
};

/* Context tables [4]. */
#define SDXI_L2_ENTRIES 512
#define SDXI_L1_ENTRIES 128
#define SDXI_L2_INDEX GENMASK_ULL(15, 7)
#define SDXI_L1_INDEX GENMASK_ULL(6, 0)
#define SDXI_ADMIN_CXT 0

#define SDXI_L2_ENT_VL BIT_ULL(0)
#define SDXI_L2_ENT_PTR GENMASK_ULL(63, 12)

struct sdxi_l1_ent {
	__le64 cxt_ctl;
	__le64 akey;
	__le32 misc0;
	__le32 opb_000_enb;
	__le64 rsvd;
};

#define SDXI_L1_CXT_CTL_VL BIT_ULL(0)
#define SDXI_L1_CXT_CTL_KA BIT_ULL(1)
#define SDXI_L1_CXT_CTL_PV BIT_ULL(2)
#define SDXI_L1_CXT_CTL_PTR GENMASK_ULL(63, 6)
#define SDXI_L1_AKEY_SZ GENMASK_ULL(3, 0)
#define SDXI_L1_AKEY_PTR GENMASK_ULL(63, 12)
#define SDXI_L1_MISC0_PASID GENMASK_ULL(19, 0)
#define SDXI_L1_MISC0_MAX_BUFFER GENMASK_ULL(23, 20)

struct sdxi_cxt_ctl {
	__le64 ds_ring;
	__le32 ds_ring_sz;
	__le32 rsvd0;
	__le64 cxt_sts;
	__le64 write_index;
	__le64 rsvd1[4];
};

#define SDXI_CXT_CTL_VL BIT_ULL(0)
#define SDXI_CXT_CTL_QOS GENMASK_ULL(3, 2)
#define SDXI_CXT_CTL_SE BIT_ULL(4)
#define SDXI_CXT_CTL_CSA BIT_ULL(5)
#define SDXI_CXT_CTL_RING GENMASK_ULL(63, 6)
#define SDXI_CXT_CTL_STS GENMASK_ULL(63, 4)
#define SDXI_CXT_CTL_WRITE_INDEX GENMASK_ULL(63, 3)

struct sdxi_cxt_sts {
	__u8 state;
	__u8 misc;
	__u8 rsvd[6];
	__le64 read_index;
};

#define SDXI_CXT_STS_STATE GENMASK_ULL(3, 0)

enum sdxi_cxt_state {
	SDXI_CXT_STOP_SW = 0x0,
	SDXI_CXT_RUN = 0x1,
	SDXI_CXT_STOPG_SW = 0x2,
	SDXI_CXT_STOP_FN = 0x4,
	SDXI_CXT_STOPG_FN = 0x6,
	SDXI_CXT_ERR_FN = 0xf,
};

/* Access keys [7]. */
struct sdxi_akey_ent {
	__le16 flags;
	__le16 tgt_sfunc;
	__le32 pasid;
	__le16 stag;
	__le16 rsvd0;
	__le16 rkey;
	__le16 rsvd1;
};

#define SDXI_AKEY_VL BIT_ULL(0)
#define SDXI_AKEY_IV BIT_ULL(1)
#define SDXI_AKEY_PV BIT_ULL(2)
#define SDXI_AKEY_INTR_NUM GENMASK_ULL(14, 4)
#define SDXI_AKEY_PASID GENMASK_ULL(19, 0)

/* Descriptors [6]. The function clears VL as it executes one [5]. */
struct sdxi_dsc_generic {
	__le32 opcode;
	__u8 operation[52];
	__le64 csb_ptr;
};

/* COPY [6.3]; a size is the length less 1. */
struct sdxi_dsc_copy {
	__le32 opcode;
	__le32 size;
	__u8 attr;
	__u8 rsvd0[3];
	__le16 akey_src;
	__le16 akey_dst;
	__le64 addr_src;
	__le64 addr_dst;
	__u8 rsvd1[24];
	__le64 csb_ptr;
};

/* INTR [6.3]. */
struct sdxi_dsc_intr {
	__le32 opcode;
	__u8 rsvd0[8];
	__le16 akey;
	__u8 rsvd1[42];
	__le64 csb_ptr;
};

/*
 * All of the admin group [6.3]. The context range includes its end. flags are
 * SYNC's filter, or CXT_UPD's levels; keys belong to SYNC and the key updates;
 * db_value to the starts.
 */
struct sdxi_dsc_admin {
	__le32 opcode;
	__u8 flags;
	__u8 vflags;
	__le16 vf_num;
	__le16 cxt_start;
	__le16 cxt_end;
	__le16 key_start;
	__le16 key_end;
	__le64 db_value;
	__u8 rsvd[32];
	__le64 csb_ptr;
};

union sdxi_dsc {
	struct sdxi_dsc_generic generic;
	struct sdxi_dsc_copy copy;
	struct sdxi_dsc_intr intr;
	struct sdxi_dsc_admin admin;
	__le64 qw[8];
};

#define SDXI_DSC_VL BIT_ULL(0)
#define SDXI_DSC_SE BIT_ULL(1)
#define SDXI_DSC_FE BIT_ULL(2)
#define SDXI_DSC_CH BIT_ULL(3)
#define SDXI_DSC_CSR BIT_ULL(4)
#define SDXI_DSC_RB BIT_ULL(5)
#define SDXI_DSC_SUBTYPE GENMASK_ULL(15, 8)
#define SDXI_DSC_TYPE GENMASK_ULL(26, 16)
#define SDXI_DSC_RSVD (GENMASK_ULL(31, 27) | GENMASK_ULL(7, 6))
#define SDXI_DSC_NP BIT_ULL(0)
#define SDXI_DSC_CSB_RSVD GENMASK_ULL(4, 1)
#define SDXI_DSC_CSB_PTR GENMASK_ULL(63, 5)

/* Operation groups [6.1]; an optional one's bit in opb_000 is its type. */
enum sdxi_type {
	SDXI_TYPE_DMA = 0x001,
	SDXI_TYPE_ADMIN = 0x002,
	SDXI_TYPE_ATOMIC = 0x003,
	SDXI_TYPE_INTR = 0x004,
	SDXI_TYPE_ERROR_LOG = 0x7f7,
};

#define SDXI_OPB_ATOMIC BIT_ULL(SDXI_TYPE_ATOMIC)
#define SDXI_OPB_INTR BIT_ULL(SDXI_TYPE_INTR)

/* Subtypes [6.2]. */
enum sdxi_dma_op {
	SDXI_DMA_NOP = 0x01,
	SDXI_DMA_WRT_IMM = 0x02,
	SDXI_DMA_COPY = 0x03,
	SDXI_DMA_REPCOPY = 0x04,
};

enum sdxi_admin_op {
	SDXI_ADMIN_FN_UPD = 0x00,
	SDXI_ADMIN_CXT_UPD = 0x01,
	SDXI_ADMIN_AKEY_UPD = 0x02,
	SDXI_ADMIN_CXT_START_NM = 0x03,
	SDXI_ADMIN_CXT_STOP = 0x04,
	SDXI_ADMIN_INTR = 0x05,
	SDXI_ADMIN_SYNC = 0x06,
	SDXI_ADMIN_RKEY_UPD = 0x07,
	SDXI_ADMIN_CXT_START_RS = 0x08,
};

enum sdxi_intr_op {
	SDXI_INTR_INTR = 0x00,
};

#define SDXI_VFLAGS_HS BIT_ULL(5)
#define SDXI_VFLAGS_DV BIT_ULL(6)
#define SDXI_VFLAGS_VF BIT_ULL(7)

#define SDXI_CXT_UPD_L2 BIT_ULL(0)
#define SDXI_CXT_UPD_L1 BIT_ULL(1)
#define SDXI_CXT_UPD_CTL BIT_ULL(2)

#define SDXI_SYNC_FILTER GENMASK_ULL(2, 0)

enum sdxi_sync_filter {
	SDXI_SYNC_CXT = 0,
	SDXI_SYNC_STOP = 1,
	SDXI_SYNC_AKEY = 2,
	SDXI_SYNC_RKEY = 3,
	SDXI_SYNC_FN = 4,
};

/* Completion status block [8]: the signal counts down to 0, ER sticks. */
struct sdxi_cst_blk {
	__le64 signal;
	__le32 flags;
	__u8 rsvd[20];
};

#define SDXI_CST_BLK_ER BIT_ULL(31)

/* Error log entry [11]. */
struct sdxi_errlog_ent {
	__le32 head;
	__le16 flags;
	__le16 cxt_num;
	__le64 dsc_index;
	__u8 rsvd0[28];
	__le16 err_class;
	__u8 rsvd1[2];
	__u8 vendor[16];
};

#define SDXI_ERRLOG_VL BIT_ULL(0)
#define SDXI_ERRLOG_STEP GENMASK_ULL(13, 8)
#define SDXI_ERRLOG_TYPE GENMASK_ULL(26, 16)
#define SDXI_ERRLOG_CV BIT_ULL(0)
#define SDXI_ERRLOG_DIV BIT_ULL(1)
#define SDXI_ERRLOG_BV BIT_ULL(2)
#define SDXI_ERRLOG_BUF GENMASK_ULL(6, 4)
#define SDXI_ERRLOG_SUB_STEP GENMASK_ULL(11, 8)
#define SDXI_ERRLOG_RE GENMASK_ULL(14, 12)
/* ERR_CFG's sz = n is taken for 64 x n entries [15, question 5]. */
#define SDXI_ERRLOG_ENTRIES(value) (64UL * (value))

enum sdxi_err_step {
	SDXI_STEP_INTERNAL = 1,
	SDXI_STEP_CXT_L2 = 2,
	SDXI_STEP_CXT_L1 = 3,
	SDXI_STEP_CXT_CTL = 4,
	SDXI_STEP_CXT_STS = 5,
	SDXI_STEP_WRT_IDX = 6,
	SDXI_STEP_DSC_GEN = 7,
	SDXI_STEP_DSC_CSB = 8,
	SDXI_STEP_ATOMIC = 9,
	SDXI_STEP_DSC_BUF = 10,
	SDXI_STEP_DSC_AKEY = 11,
	SDXI_STEP_FN_RKEY = 12,
};

enum sdxi_err_sub_step {
	SDXI_SUB_OTHER = 0,
	SDXI_SUB_TRANSLATION = 1,
	SDXI_SUB_ACCESS = 2,
	SDXI_SUB_VALIDATION = 3,
};

enum sdxi_err_reaction {
	SDXI_RE_INFORMATIVE = 0,
	SDXI_RE_CXT_STOPPED = 1,
	SDXI_RE_FN_STOPPED = 2,
};

static_assert(sizeof(struct sdxi_l1_ent) == 32, "L1 entry");
static_assert(sizeof(struct sdxi_cxt_ctl) == 64, "context control block");
static_assert(sizeof(struct sdxi_cxt_sts) == 16, "context status");
static_assert(sizeof(struct sdxi_akey_ent) == 16, "AKey entry");
static_assert(sizeof(union sdxi_dsc) == 64, "descriptor");
static_assert(sizeof(struct sdxi_dsc_copy) == 64, "COPY");
static_assert(sizeof(struct sdxi_dsc_intr) == 64, "INTR");
static_assert(sizeof(struct sdxi_dsc_admin) == 64, "admin descriptor");
static_assert(sizeof(struct sdxi_cst_blk) == 32, "completion block");
static_assert(sizeof(struct sdxi_errlog_ent) == 64, "error log entry");

#endif
