// SPDX-License-Identifier: MIT
#include "client.h"

static const char *const ops[SHARQ_OP_COUNT] = {
	[SHARQ_OP_NOP] = "NOP",
	[SHARQ_OP_COPY] = "COPY",
	[SHARQ_OP_FILL] = "FILL",
	[SHARQ_OP_COMPARE] = "COMPARE",
	[SHARQ_OP_CRC32C] = "CRC32C",
	[SHARQ_OP_COPY_CRC32C] = "COPY_CRC32C",
	[SHARQ_OP_DUALCAST] = "DUALCAST",
	[SHARQ_OP_COMPRESS] = "COMPRESS",
	[SHARQ_OP_DECOMPRESS] = "DECOMPRESS",
};

static const char *const statuses[SHARQ_STATUS_COUNT] = {
	[SHARQ_OK] = "OK",
	[SHARQ_MISMATCH] = "MISMATCH",
	[SHARQ_BAD_DESCRIPTOR] = "BAD_DESCRIPTOR",
	[SHARQ_UNSUPPORTED] = "UNSUPPORTED",
	[SHARQ_FAULT_READ] = "FAULT_READ",
	[SHARQ_FAULT_WRITE] = "FAULT_WRITE",
	[SHARQ_DENIED] = "DENIED",
	[SHARQ_NO_SPACE] = "NO_SPACE",
	[SHARQ_BAD_DATA] = "BAD_DATA",
	[SHARQ_TIMEOUT] = "TIMEOUT",
	[SHARQ_RESET] = "RESET",
	[SHARQ_CANCELED] = "CANCELED",
};

static const char *const fields[SHARQ_FIELD_COUNT] = {
	[SHARQ_FIELD_NONE] = "none",	   [SHARQ_FIELD_OP] = "op",
	[SHARQ_FIELD_PARAM] = "param",	   [SHARQ_FIELD_FLAGS] = "flags",
	[SHARQ_FIELD_LEN] = "len",	   [SHARQ_FIELD_SRC] = "src",
	[SHARQ_FIELD_DST] = "dst",	   [SHARQ_FIELD_SRC2] = "src2",
	[SHARQ_FIELD_DST2] = "dst2",	   [SHARQ_FIELD_PATTERN] = "pattern",
	[SHARQ_FIELD_DST_LEN] = "dst_len", [SHARQ_FIELD_SEED] = "seed",
	[SHARQ_FIELD_EXT] = "ext",	   [SHARQ_FIELD_SESSION] = "session",
	[SHARQ_FIELD_LEVEL] = "level",	   [SHARQ_FIELD_RESERVED] = "reserved",
};

static const char *const paths[] = {
	[SHARQ_PATH_ANY] = "any",	[SHARQ_PATH_DIRECT] = "direct",
	[SHARQ_PATH_SHADOW] = "shadow", [SHARQ_PATH_EMBEDDED] = "embedded",
	[SHARQ_PATH_INLINE] = "inline",
};

static const char *name(const char *const *names, unsigned int n,
			unsigned int i)
{
	return i < n ? names[i] : "?";
}

const char *sharq_op_name(unsigned int op)
{
	return name(ops, SHARQ_OP_COUNT, op);
}

const char *sharq_status_name(unsigned int status)
{
	return name(statuses, SHARQ_STATUS_COUNT, status);
}

const char *sharq_field_name(unsigned int field)
{
	return name(fields, SHARQ_FIELD_COUNT, field);
}

const char *sharq_path_name(unsigned int path)
{
	return name(paths, sizeof(paths) / sizeof(paths[0]), path);
}
