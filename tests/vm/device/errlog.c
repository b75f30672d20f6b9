// SPDX-License-Identifier: MIT
#include "errlog.h"
#include <string.h>

void errlog_encode(struct sdxi_errlog_ent *entry, const struct fault *fault)
{
	memset(entry, 0, sizeof(*entry));
	entry->head = htole32(
		SDXI_ERRLOG_VL | FIELD_PREP(SDXI_ERRLOG_STEP, fault->step) |
		FIELD_PREP(SDXI_ERRLOG_TYPE, SDXI_TYPE_ERROR_LOG));
	entry->flags =
		htole16(FIELD_PREP(SDXI_ERRLOG_CV, fault->has_context) |
			FIELD_PREP(SDXI_ERRLOG_DIV, fault->has_index) |
			FIELD_PREP(SDXI_ERRLOG_BV, fault->has_buffer) |
			FIELD_PREP(SDXI_ERRLOG_BUF, fault->buffer) |
			FIELD_PREP(SDXI_ERRLOG_SUB_STEP, fault->sub_step) |
			FIELD_PREP(SDXI_ERRLOG_RE, fault->reaction));
	entry->cxt_num = htole16(fault->context);
	entry->dsc_index = htole64(fault->index);
}
