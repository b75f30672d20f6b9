/* SPDX-License-Identifier: MIT */
/* Entries of the error log. Nothing here knows of QEMU. */
#ifndef SDXI_ERRLOG_H
#define SDXI_ERRLOG_H

#include "sdxi_hw.h"
#include <stdbool.h>

/* What went wrong, where. */
struct fault {
	enum sdxi_err_step step;
	enum sdxi_err_sub_step sub_step;
	enum sdxi_err_reaction reaction;
	bool has_context;
	uint16_t context;
	bool has_index;
	uint64_t index;
	/* 0 is the source. */
	bool has_buffer;
	uint8_t buffer;
};

void errlog_encode(struct sdxi_errlog_ent *entry, const struct fault *fault);

#endif
