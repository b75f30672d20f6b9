/* SPDX-License-Identifier: MIT */
/*
 * Descriptor check: the one place that says which descriptors are well formed.
 * Pure; compiles in the kernel, the engine, the library and the tests.
 */
#ifndef SHARQ_CHECK_H
#define SHARQ_CHECK_H

#include "sharq_abi.h"

/*
 * struct sharq_caps - what a device can do
 * @ops:          SHARQ_OP_BIT() of each operation that it has
 * @max_transfer: longest len and dst_len, in bytes
 */
struct sharq_caps {
	__u32 ops;
	__u32 max_transfer;
};

/* Up to three memory operands of a descriptor. */
#define SHARQ_MAX_OPERANDS 3

/*
 * struct sharq_operand - a piece of client memory that a command touches
 * @addr:  client address
 * @len:   bytes
 * @write: non-zero when the device writes it
 * @field: which descriptor field named it
 */
struct sharq_operand {
	__u64 addr;
	__u32 len;
	__u16 write;
	__u16 field;
};

/* Every rule, one by one: sharq_check() of what isn't a bare NOP. */
enum sharq_status sharq_check_rules(const struct sharq_desc *desc,
				    const struct sharq_caps *caps,
				    enum sharq_field *field);

static inline __u64 sharq_desc_word(const struct sharq_desc *desc,
				    unsigned int i)
{
	__u64 word;

	__builtin_memcpy(&word, (const char *)desc + i * sizeof(word),
			 sizeof(word));
	return word;
}

/*
 * A NOP with nothing but user_data (word 1) breaks no rule, which is seen in few
 * steps: what a queue costs for each descriptor is measured by such.
 */
static inline int sharq_is_bare_nop(const struct sharq_desc *desc)
{
	return !sharq_desc_word(desc, 0) &&
	       !(sharq_desc_word(desc, 2) | sharq_desc_word(desc, 3) |
		 sharq_desc_word(desc, 4) | sharq_desc_word(desc, 5) |
		 sharq_desc_word(desc, 6) | sharq_desc_word(desc, 7));
}

/*
 * sharq_check - is this descriptor well formed, for this device?
 * @desc:  a private copy: the caller copied it out of shared memory once
 * @caps:  the device
 * @field: set to the first offending field, SHARQ_FIELD_NONE with OK
 *
 * Return: SHARQ_OK, SHARQ_BAD_DESCRIPTOR (wrong on any device) or
 * SHARQ_UNSUPPORTED (unknown operation, or fine elsewhere but beyond this
 * device). Memory is not looked at.
 */
static inline enum sharq_status sharq_check(const struct sharq_desc *desc,
					    const struct sharq_caps *caps,
					    enum sharq_field *field)
{
	if (!sharq_is_bare_nop(desc) ||
	    !(caps->ops & SHARQ_OP_BIT(SHARQ_OP_NOP)))
		return sharq_check_rules(desc, caps, field);
	*field = SHARQ_FIELD_NONE;
	return SHARQ_OK;
}

/*
 * sharq_operands - list the memory that a checked descriptor touches
 *
 * Sources come first. Operands of length 0 are left out. Return: how many.
 */
unsigned int sharq_operands(const struct sharq_desc *desc,
			    struct sharq_operand out[SHARQ_MAX_OPERANDS]);

#endif /* SHARQ_CHECK_H */
