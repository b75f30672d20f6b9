// SPDX-License-Identifier: MIT
#include "descriptor.h"
#include <errno.h>
#include <string.h>

static bool is_zero(const void *data, size_t size)
{
	const uint8_t *byte = data;

	while (size-- > 0)
		if (byte[size] != 0)
			return false;
	return true;
}

static int decode_copy(struct op *op, const struct sdxi_dsc_copy *dsc,
		       const struct op_limits *limits)
{
	op->kind = OP_COPY;
	op->len = 1 + (uint64_t)le32toh(dsc->size);
	op->akey[0] = le16toh(dsc->akey_src);
	op->akey[1] = le16toh(dsc->akey_dst);
	op->addr[0] = le64toh(dsc->addr_src);
	op->addr[1] = le64toh(dsc->addr_dst);
	if (op->len > limits->max_buffer ||
	    op->addr[0] + op->len - 1 < op->addr[0] ||
	    op->addr[1] + op->len - 1 < op->addr[1])
		return -EINVAL;
	return is_zero(dsc->rsvd0, sizeof(dsc->rsvd0)) &&
			       is_zero(dsc->rsvd1, sizeof(dsc->rsvd1))
		       ? 0
		       : -EINVAL;
}

/* WRT_IMM's and REPCOPY's layouts are not known: they are refused. */
static int decode_dma(struct op *op, const union sdxi_dsc *dsc, uint8_t subtype,
		      const struct op_limits *limits)
{
	switch (subtype) {
	case SDXI_DMA_NOP:
		op->kind = OP_NOP;
		return is_zero(dsc->generic.operation,
			       sizeof(dsc->generic.operation))
			       ? 0
			       : -EINVAL;
	case SDXI_DMA_COPY:
		return decode_copy(op, &dsc->copy, limits);
	default:
		return -EINVAL;
	}
}

static int decode_intr(struct op *op, const struct sdxi_dsc_intr *dsc,
		       uint8_t subtype, const struct op_limits *limits)
{
	if (!(limits->groups & SDXI_OPB_INTR) || subtype != SDXI_INTR_INTR ||
	    !is_zero(dsc->rsvd0, sizeof(dsc->rsvd0)) ||
	    !is_zero(dsc->rsvd1, sizeof(dsc->rsvd1)))
		return -EINVAL;
	op->kind = OP_INTR;
	op->akey[0] = le16toh(dsc->akey);
	return 0;
}

/* A fence before START and STOP is part of what they are. */
static int decode_admin(struct op *op, const struct sdxi_dsc_admin *dsc,
			uint8_t subtype, const struct op_limits *limits)
{
	bool fence = le32toh(dsc->opcode) & SDXI_DSC_FE;

	op->first = le16toh(dsc->cxt_start);
	op->last = le16toh(dsc->cxt_end);
	op->hard = dsc->vflags & SDXI_VFLAGS_HS;
	op->has_doorbell = dsc->vflags & SDXI_VFLAGS_DV;
	op->doorbell = le64toh(dsc->db_value);
	op->filter = FIELD_GET(SDXI_SYNC_FILTER, dsc->flags);
	op->first_key = le16toh(dsc->key_start);
	op->last_key = le16toh(dsc->key_end);
	/* There are no virtual functions to act for. */
	if (!limits->admin || dsc->vflags & SDXI_VFLAGS_VF ||
	    op->first > op->last)
		return -EINVAL;

	switch (subtype) {
	case SDXI_ADMIN_CXT_START_NM:
	case SDXI_ADMIN_CXT_START_RS:
		op->kind = OP_START;
		return fence ? 0 : -EINVAL;
	case SDXI_ADMIN_CXT_STOP:
		op->kind = OP_STOP;
		return fence ? 0 : -EINVAL;
	case SDXI_ADMIN_SYNC:
		op->kind = OP_SYNC;
		return op->filter <= SDXI_SYNC_FN ? 0 : -EINVAL;
	case SDXI_ADMIN_CXT_UPD:
		op->kind = dsc->flags & SDXI_CXT_UPD_L1 ? OP_UPDATE
							: OP_UPDATE_OTHER;
		return limits->no_updates ? -EINVAL : 0;
	case SDXI_ADMIN_AKEY_UPD:
		op->kind = OP_UPDATE_AKEYS;
		return limits->no_updates ? -EINVAL : 0;
	case SDXI_ADMIN_FN_UPD:
	case SDXI_ADMIN_RKEY_UPD:
		op->kind = OP_UPDATE_OTHER;
		return 0;
	default:
		return -EINVAL;
	}
}

int op_decode(struct op *op, const union sdxi_dsc *dsc,
	      const struct op_limits *limits)
{
	uint32_t opcode = le32toh(dsc->generic.opcode);
	uint64_t csb = le64toh(dsc->generic.csb_ptr);
	uint8_t subtype = FIELD_GET(SDXI_DSC_SUBTYPE, opcode);

	memset(op, 0, sizeof(*op));
	op->has_csb = !(csb & SDXI_DSC_NP);
	op->simple_csb = opcode & SDXI_DSC_CSR;
	op->csb = csb & SDXI_DSC_CSB_PTR;
	if (opcode & (SDXI_DSC_RSVD | SDXI_DSC_CH) || csb & SDXI_DSC_CSB_RSVD)
		return -EINVAL;

	switch (FIELD_GET(SDXI_DSC_TYPE, opcode)) {
	case SDXI_TYPE_DMA:
		return decode_dma(op, dsc, subtype, limits);
	case SDXI_TYPE_INTR:
		return decode_intr(op, &dsc->intr, subtype, limits);
	case SDXI_TYPE_ADMIN:
		return decode_admin(op, &dsc->admin, subtype, limits);
	default:
		return -EINVAL;
	}
}
