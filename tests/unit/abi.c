/* SPDX-License-Identifier: MIT */
/* The layout, in numbers that never change, for any word size. */
#include "sharq_abi.h"

#define AT(type, field, offset)                                                \
	_Static_assert(__builtin_offsetof(struct type, field) == offset,       \
		       #type "." #field)

AT(sharq_desc, op, 0);
AT(sharq_desc, param, 1);
AT(sharq_desc, flags, 2);
AT(sharq_desc, len, 4);
AT(sharq_desc, user_data, 8);
AT(sharq_desc, src, 16);
AT(sharq_desc, dst, 24);
AT(sharq_desc, src2, 32);
AT(sharq_desc, dst2, 32);
AT(sharq_desc, pattern, 32);
AT(sharq_desc, dst_len, 40);
AT(sharq_desc, seed, 44);
AT(sharq_desc, ext, 48);
AT(sharq_desc, session, 56);
AT(sharq_desc, level, 60);
AT(sharq_desc, reserved, 61);
AT(sharq_cqe, user_data, 0);
AT(sharq_cqe, status, 8);
AT(sharq_cqe, flags, 10);
AT(sharq_cqe, crc, 12);
AT(sharq_cqe, consumed, 16);
AT(sharq_cqe, produced, 20);
AT(sharq_cqe, addr, 24);
AT(sharq_ring, sq_tail, 0);
AT(sharq_ring, client_flags, 64);
AT(sharq_ring, cq_head, 128);
AT(sharq_ring, sq_head, 192);
AT(sharq_ring, cq_tail, 256);
AT(sharq_ring, device_flags, 320);

_Static_assert(sizeof(struct sharq_desc) == 64, "desc");
_Static_assert(sizeof(struct sharq_cqe) == 32, "cqe");
_Static_assert(sizeof(struct sharq_ring) == 384, "ring");
_Static_assert(SHARQ_OP_DECOMPRESS == 8 && SHARQ_OP_COUNT == 9, "ops");
_Static_assert(SHARQ_CANCELED == 11 && SHARQ_STATUS_COUNT == 12, "statuses");
_Static_assert(SHARQ_FIELD_RESERVED == 15 && SHARQ_FIELD_COUNT == 16, "fields");
