// SPDX-License-Identifier: MIT
/* The error log in the guest's memory. */
#include "model.h"

static uint64_t append(struct function *fn, const struct fault *fault)
{
	struct registers *reg = &fn->reg;
	uint64_t entries =
		SDXI_ERRLOG_ENTRIES(FIELD_GET(SDXI_ERR_CFG_SZ, reg->err_cfg));
	struct sdxi_errlog_ent entry;

	if (reg->err_wrt - reg->err_rd >= entries)
		return SDXI_ERR_STS_OVF;
	errlog_encode(&entry, fault);
	if (memory_write(fn, NULL, memory_function_space(fn),
			 (reg->err_cfg & SDXI_ERR_CFG_PTR) +
				 reg->err_wrt % entries * sizeof(entry),
			 &entry, sizeof(entry)) != 0)
		return SDXI_ERR_STS_ERR;
	reg->err_wrt++;
	return 0;
}

/* The reader clears the status before it reads the index: this after that. */
void log_fault(struct function *fn, const struct fault *fault)
{
	struct registers *reg = &fn->reg;
	uint64_t before;

	fn->counters.errors++;
	if (!(reg->err_cfg & SDXI_ERR_CFG_EN))
		return;
	before = reg->err_sts;
	reg->err_sts |= append(fn, fault) | SDXI_ERR_STS_STS;
	if (!(before & SDXI_ERR_STS_STS) && reg->err_ctl & SDXI_ERR_CTL_INTR_EN)
		msix_notify(fn->pci, SDXI_VECTOR_ERROR);
}
