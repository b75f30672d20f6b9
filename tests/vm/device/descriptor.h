/* SPDX-License-Identifier: MIT */
/* A descriptor, checked and taken apart. Nothing here knows of QEMU. */
#ifndef SDXI_DESCRIPTOR_H
#define SDXI_DESCRIPTOR_H

#include "sdxi_hw.h"
#include <stdbool.h>

enum op_kind {
	OP_NOP,
	OP_COPY,
	OP_INTR,
	OP_START,
	OP_STOP,
	OP_SYNC,
	/* Of what it may keep of a context's tables: all, or some of the keys. */
	OP_UPDATE,
	OP_UPDATE_AKEYS,
	/* Of what it doesn't keep. */
	OP_UPDATE_OTHER,
};

/* What the context may do. */
struct op_limits {
	bool admin;
	bool no_updates;
	uint32_t groups;
	uint64_t max_buffer;
};

struct op {
	enum op_kind kind;

	bool has_csb;
	/* The signal is set to 0 rather than counted down. */
	bool simple_csb;
	uint64_t csb;

	/* COPY: [0] is the source. INTR: akey[0]. */
	uint64_t len;
	uint16_t akey[2];
	uint64_t addr[2];

	/* The admin group: contexts first to last. */
	uint16_t first;
	uint16_t last;
	bool hard;
	bool has_doorbell;
	uint64_t doorbell;
	enum sdxi_sync_filter filter;
	/* And in these their keys first_key to last_key. */
	uint16_t first_key;
	uint16_t last_key;
};

/*
 * 0, or -EINVAL. Then too the fields of the completion block are good: the
 * failure is told by it.
 */
int op_decode(struct op *op, const union sdxi_dsc *dsc,
	      const struct op_limits *limits);

#endif
