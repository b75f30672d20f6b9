// SPDX-License-Identifier: MIT
#include "check.h"

/* What each operation may use; a field that it doesn't use must be zero. */
struct op_rule {
	__u16 flags;
	__u8 src : 1, dst : 1, arg : 1, len : 1, dst_len : 1, seed : 1;
	__u8 param_min, param_max;
	__u8 level_max;
	__u8 arg_field;
	__u8 disjoint;
};

#define ANY_OP_FLAGS (SHARQ_DESC_FENCE | SHARQ_DESC_LINK)

static const struct op_rule rules[SHARQ_OP_COUNT] = {
	[SHARQ_OP_NOP] = { .flags = ANY_OP_FLAGS,
			   .arg_field = SHARQ_FIELD_PATTERN },
	[SHARQ_OP_COPY] = { .flags = ANY_OP_FLAGS,
			    .src = 1,
			    .dst = 1,
			    .len = 1,
			    .arg_field = SHARQ_FIELD_SRC2 },
	[SHARQ_OP_FILL] = { .flags = ANY_OP_FLAGS,
			    .dst = 1,
			    .arg = 1,
			    .len = 1,
			    .param_min = 1,
			    .param_max = SHARQ_MAX_PATTERN,
			    .arg_field = SHARQ_FIELD_PATTERN },
	[SHARQ_OP_COMPARE] = { .flags = ANY_OP_FLAGS,
			       .src = 1,
			       .arg = 1,
			       .len = 1,
			       .arg_field = SHARQ_FIELD_SRC2 },
	[SHARQ_OP_CRC32C] = { .flags = ANY_OP_FLAGS,
			      .src = 1,
			      .len = 1,
			      .seed = 1,
			      .arg_field = SHARQ_FIELD_SRC2 },
	[SHARQ_OP_COPY_CRC32C] = { .flags = ANY_OP_FLAGS,
				   .src = 1,
				   .dst = 1,
				   .len = 1,
				   .seed = 1,
				   .arg_field = SHARQ_FIELD_SRC2,
				   .disjoint = 1 },
	[SHARQ_OP_DUALCAST] = { .flags = ANY_OP_FLAGS,
				.src = 1,
				.dst = 1,
				.arg = 1,
				.len = 1,
				.arg_field = SHARQ_FIELD_DST2,
				.disjoint = 1 },
	[SHARQ_OP_COMPRESS] = { .flags = ANY_OP_FLAGS | SHARQ_DESC_MORE,
				.src = 1,
				.dst = 1,
				.len = 1,
				.dst_len = 1,
				.param_max = SHARQ_FORMAT_COUNT - 1,
				.level_max = SHARQ_MAX_LEVEL,
				.arg_field = SHARQ_FIELD_DST2,
				.disjoint = 1 },
	[SHARQ_OP_DECOMPRESS] = { .flags = ANY_OP_FLAGS,
				  .src = 1,
				  .dst = 1,
				  .len = 1,
				  .dst_len = 1,
				  .param_max = SHARQ_FORMAT_COUNT - 1,
				  .arg_field = SHARQ_FIELD_DST2,
				  .disjoint = 1 },
};

static int wraps(__u64 addr, __u32 len)
{
	return addr + len < addr;
}

static int overlap(__u64 a, __u32 a_len, __u64 b, __u32 b_len)
{
	return a_len && b_len && a < b + b_len && b < a + a_len;
}

static int pattern_has_tail(__u64 pattern, unsigned int len)
{
	const unsigned char *bytes = (const unsigned char *)&pattern;

	for (unsigned int i = len; i < SHARQ_MAX_PATTERN; i++)
		if (bytes[i])
			return 1;
	return 0;
}

static enum sharq_field check_addresses(const struct sharq_desc *desc,
					const struct op_rule *rule)
{
	__u32 dst_len = rule->dst_len ? desc->dst_len : desc->len;
	int second = rule->arg && rule->arg_field != SHARQ_FIELD_PATTERN;

	if (rule->src ? wraps(desc->src, desc->len) : desc->src != 0)
		return SHARQ_FIELD_SRC;
	if (rule->dst ? wraps(desc->dst, dst_len) : desc->dst != 0)
		return SHARQ_FIELD_DST;
	if (second ? wraps(desc->src2, desc->len)
		   : !rule->arg && desc->src2 != 0)
		return rule->arg_field;
	if (!rule->disjoint)
		return SHARQ_FIELD_NONE;
	if (overlap(desc->src, desc->len, desc->dst, dst_len))
		return SHARQ_FIELD_DST;
	if (second && (overlap(desc->src, desc->len, desc->dst2, desc->len) ||
		       overlap(desc->dst, desc->len, desc->dst2, desc->len)))
		return SHARQ_FIELD_DST2;
	return SHARQ_FIELD_NONE;
}

static enum sharq_field check_fields(const struct sharq_desc *desc,
				     const struct op_rule *rule)
{
	if (desc->param < rule->param_min || desc->param > rule->param_max)
		return SHARQ_FIELD_PARAM;
	if (desc->flags & ~rule->flags)
		return SHARQ_FIELD_FLAGS;
	if ((desc->flags & SHARQ_DESC_MORE) && desc->param != SHARQ_FORMAT_RAW)
		return SHARQ_FIELD_FLAGS;
	if (!rule->len && desc->len)
		return SHARQ_FIELD_LEN;
	if (!rule->dst_len && desc->dst_len)
		return SHARQ_FIELD_DST_LEN;
	if (!rule->seed && desc->seed)
		return SHARQ_FIELD_SEED;
	if (desc->ext)
		return SHARQ_FIELD_EXT;
	if (desc->session)
		return SHARQ_FIELD_SESSION;
	if (desc->level > rule->level_max)
		return SHARQ_FIELD_LEVEL;
	if (desc->reserved[0] | desc->reserved[1] | desc->reserved[2])
		return SHARQ_FIELD_RESERVED;
	if (rule->arg && rule->arg_field == SHARQ_FIELD_PATTERN &&
	    pattern_has_tail(desc->pattern, desc->param))
		return SHARQ_FIELD_PATTERN;
	return check_addresses(desc, rule);
}

enum sharq_status sharq_check_rules(const struct sharq_desc *desc,
				    const struct sharq_caps *caps,
				    enum sharq_field *field)
{
	if (desc->op >= SHARQ_OP_COUNT ||
	    !(caps->ops & SHARQ_OP_BIT(desc->op))) {
		*field = SHARQ_FIELD_OP;
		return SHARQ_UNSUPPORTED;
	}
	*field = check_fields(desc, &rules[desc->op]);
	if (*field != SHARQ_FIELD_NONE)
		return SHARQ_BAD_DESCRIPTOR;
	if (desc->len > caps->max_transfer)
		*field = SHARQ_FIELD_LEN;
	else if (desc->dst_len > caps->max_transfer)
		*field = SHARQ_FIELD_DST_LEN;
	return *field == SHARQ_FIELD_NONE ? SHARQ_OK : SHARQ_UNSUPPORTED;
}

static unsigned int add(struct sharq_operand *out, unsigned int n, __u64 addr,
			__u32 len, int write, enum sharq_field field)
{
	if (!len)
		return n;
	out[n] = (struct sharq_operand){
		.addr = addr, .len = len, .write = write, .field = field
	};
	return n + 1;
}

unsigned int sharq_operands(const struct sharq_desc *desc,
			    struct sharq_operand out[SHARQ_MAX_OPERANDS])
{
	const struct op_rule *rule = &rules[desc->op];
	unsigned int n = 0;

	if (rule->src)
		n = add(out, n, desc->src, desc->len, 0, SHARQ_FIELD_SRC);
	if (rule->arg && rule->arg_field == SHARQ_FIELD_SRC2)
		n = add(out, n, desc->src2, desc->len, 0, SHARQ_FIELD_SRC2);
	if (rule->dst)
		n = add(out, n, desc->dst,
			rule->dst_len ? desc->dst_len : desc->len, 1,
			SHARQ_FIELD_DST);
	if (rule->arg && rule->arg_field == SHARQ_FIELD_DST2)
		n = add(out, n, desc->dst2, desc->len, 1, SHARQ_FIELD_DST2);
	return n;
}
