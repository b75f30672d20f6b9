/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * sharq ABI: what a client and a device share in memory.
 *
 * One layout for every path (direct, shadow, embedded, inline), for kernel and
 * user space, for 32-bit and 64-bit programs. Native endianness. Once released,
 * a field keeps its place and meaning: what is reserved must be zero and is
 * refused otherwise, so that it can get a meaning later.
 *
 * Addresses in a descriptor are addresses of the client: what its own pointers
 * hold. How a device reaches them is the device's business.
 */
#ifndef SHARQ_ABI_H
#define SHARQ_ABI_H

#include <linux/types.h>

/* Version of this file's layouts. A change that old code can't read raises it. */
#define SHARQ_ABI_VERSION 1

/*
 * Limits. A queue's depth is a power of two between these, and at most what
 * its device and the daemon's policy allow.
 */
#define SHARQ_MIN_DEPTH 2
#define SHARQ_MAX_DEPTH 4096
#define SHARQ_CACHE_LINE 64

/* Sizes of ring entries, as shifts; agreed when a queue is made. */
#define SHARQ_SQE_SHIFT 6
#define SHARQ_CQE_SHIFT 5

/* No transfer is longer than this, whatever the device: lengths are 32 bits. */
#define SHARQ_MAX_TRANSFER 0xffffffffU

/* FILL: longest pattern, in bytes. COMPRESS: highest level. */
#define SHARQ_MAX_PATTERN 8
#define SHARQ_MAX_LEVEL 9

/* Operations. Their numbers are bit numbers in a device's set of operations. */
enum sharq_op {
	SHARQ_OP_NOP = 0,
	SHARQ_OP_COPY = 1, /* dst = src, memmove semantics */
	SHARQ_OP_FILL = 2, /* dst = pattern, repeated from its first byte */
	SHARQ_OP_COMPARE =
		3,	     /* src against src2; MISMATCH: consumed = offset */
	SHARQ_OP_CRC32C = 4, /* crc = crc32c(seed, src); RFC 3720 */
	SHARQ_OP_COPY_CRC32C = 5, /* both in one pass; src and dst disjoint */
	SHARQ_OP_DUALCAST = 6,	  /* dst = dst2 = src; all three disjoint */
	SHARQ_OP_COMPRESS = 7,	  /* deflate; src and dst disjoint */
	SHARQ_OP_DECOMPRESS = 8,  /* inflate; src and dst disjoint */
	SHARQ_OP_COUNT
};

#define SHARQ_OP_BIT(op) (1U << (op))
#define SHARQ_OPS_ALL (SHARQ_OP_BIT(SHARQ_OP_COUNT) - 1)

/*
 * Descriptor flags.
 *
 * FENCE: starts only when every earlier descriptor of its queue has completed.
 * LINK:  the next descriptor of the queue starts only when this one has
 *        completed; if its status is not OK (MISMATCH included), the next one
 *        completes as CANCELED, and so on to the chain's end. The chain ends
 *        with the first descriptor without LINK, in this batch or a later one.
 * EXT:   sharq_desc.ext names an extension block. None is defined yet: refused.
 * MORE:  COMPRESS to SHARQ_FORMAT_RAW only: the stream goes on in another
 *        command. The output ends on a byte boundary (RFC 1951 3.2.4, an empty
 *        stored block) without a final block, so that outputs can be joined.
 *
 * A ring is read in order: what stands behind a FENCE or a LINK that waits,
 * waits too.
 */
#define SHARQ_DESC_FENCE (1U << 0)
#define SHARQ_DESC_LINK (1U << 1)
#define SHARQ_DESC_EXT (1U << 2)
#define SHARQ_DESC_MORE (1U << 3)
#define SHARQ_DESC_FLAGS                                                       \
	(SHARQ_DESC_FENCE | SHARQ_DESC_LINK | SHARQ_DESC_EXT | SHARQ_DESC_MORE)

/* Formats of COMPRESS and DECOMPRESS (sharq_desc.param). */
enum sharq_format {
	SHARQ_FORMAT_RAW = 0,  /* RFC 1951 */
	SHARQ_FORMAT_ZLIB = 1, /* RFC 1950 */
	SHARQ_FORMAT_GZIP = 2, /* RFC 1952, one member */
	SHARQ_FORMAT_COUNT
};

/*
 * struct sharq_desc - one command, 64 bytes
 * @op:        enum sharq_op
 * @param:     FILL: length of the pattern, 1 to 8. (DE)COMPRESS: enum
 *             sharq_format. Else 0.
 * @flags:     SHARQ_DESC_*
 * @len:       bytes at @src (COMPARE: at both sources; FILL: at @dst)
 * @user_data: handed back in the completion, never looked at
 * @src:       source. FILL, NOP: 0
 * @dst:       destination. NOP, COMPARE, CRC32C: 0
 * @src2:      COMPARE: the second source
 * @dst2:      DUALCAST: the second destination
 * @pattern:   FILL: the pattern, as it lies in memory; bytes beyond param: 0
 * @dst_len:   (DE)COMPRESS: room at @dst. Else 0 (@len holds)
 * @seed:      CRC32C, COPY_CRC32C: the CRC of what came before, 0 to start
 * @ext:       address of an extension block when EXT is set, else 0
 * @session:   session or key handle; none is defined yet: 0
 * @level:     COMPRESS: 0 the device's choice, 1 fastest to 9 smallest. Else 0
 * @reserved:  0
 */
struct sharq_desc {
	__u8 op;
	__u8 param;
	__u16 flags;
	__u32 len;
	__aligned_u64 user_data;
	__aligned_u64 src;
	__aligned_u64 dst;
	union {
		__aligned_u64 src2;
		__aligned_u64 dst2;
		__aligned_u64 pattern;
	};
	__u32 dst_len;
	__u32 seed;
	__aligned_u64 ext;
	__u32 session;
	__u8 level;
	__u8 reserved[3];
};

/*
 * Statuses of a completion: what happened, not only that it failed. A device may,
 * but need not, look at memory that the result doesn't depend on: behind what
 * differs (COMPARE), behind a stream's end or what is no stream (DECOMPRESS),
 * behind what was written (COMPRESS, DECOMPRESS). So there it may report a FAULT
 * instead.
 */
enum sharq_status {
	SHARQ_OK = 0,
	SHARQ_MISMATCH = 1, /* COMPARE: differs; consumed = first offset */
	SHARQ_BAD_DESCRIPTOR = 2, /* consumed = enum sharq_field: which one */
	SHARQ_UNSUPPORTED = 3, /* this device lacks the operation or length */
	SHARQ_FAULT_READ = 4,  /* a source can't be read */
	SHARQ_FAULT_WRITE = 5, /* a destination can't be written */
	SHARQ_DENIED = 6,      /* policy or a limit forbids it */
	SHARQ_NO_SPACE = 7,    /* the result doesn't fit dst_len */
	SHARQ_BAD_DATA = 8,    /* DECOMPRESS: not a stream of that format */
	SHARQ_TIMEOUT = 9,
	SHARQ_RESET = 10,    /* device or engine died: may be done or not */
	SHARQ_CANCELED = 11, /* never started */
	SHARQ_STATUS_COUNT
};

/* Fields of a descriptor: what BAD_DESCRIPTOR and UNSUPPORTED complain of. */
enum sharq_field {
	SHARQ_FIELD_NONE = 0,
	SHARQ_FIELD_OP = 1,
	SHARQ_FIELD_PARAM = 2,
	SHARQ_FIELD_FLAGS = 3,
	SHARQ_FIELD_LEN = 4,
	SHARQ_FIELD_SRC = 5,
	SHARQ_FIELD_DST = 6,
	SHARQ_FIELD_SRC2 = 7,
	SHARQ_FIELD_DST2 = 8,
	SHARQ_FIELD_PATTERN = 9,
	SHARQ_FIELD_DST_LEN = 10,
	SHARQ_FIELD_SEED = 11,
	SHARQ_FIELD_EXT = 12,
	SHARQ_FIELD_SESSION = 13,
	SHARQ_FIELD_LEVEL = 14,
	SHARQ_FIELD_RESERVED = 15,
	SHARQ_FIELD_COUNT
};

/* Completion flags. ADDR_VALID: @addr is the first address that faulted. */
#define SHARQ_CQE_ADDR_VALID (1U << 0)

/*
 * struct sharq_cqe - one completion, 32 bytes
 * @user_data: the descriptor's
 * @status:    enum sharq_status
 * @flags:     SHARQ_CQE_*
 * @crc:       CRC32C, COPY_CRC32C with OK: the CRC. Else 0
 * @consumed:  source bytes used (DECOMPRESS: up to the stream's end, which may
 *             lie before len). MISMATCH: offset of the first difference.
 *             BAD_DESCRIPTOR, UNSUPPORTED: enum sharq_field
 * @produced:  bytes written at the destination (with DUALCAST: at each)
 * @addr:      with ADDR_VALID: the address that faulted. Else 0
 *
 * With a status other than OK and MISMATCH, what is at the destination is
 * undefined within its bounds.
 */
struct sharq_cqe {
	__aligned_u64 user_data;
	__u16 status;
	__u16 flags;
	__u32 crc;
	__u32 consumed;
	__u32 produced;
	__aligned_u64 addr;
};

/*
 * struct sharq_ring - indices and flags that a client and a device share
 *
 * Indices run freely over 32 bits; the entry is index & (depth - 1). Each has
 * one writer and a cache line of its own. Where the arrays lie is said when
 * the queue is made, never here.
 *
 * @sq_tail:      client: descriptors published. Store-release after filling; it may
 *                store 8 bytes, of which the upper half is nothing
 * @client_flags: client: SHARQ_CLIENT_*
 * @cq_head:      client: completions taken
 * @sq_head:      device: descriptors consumed; their slots may be reused
 * @cq_tail:      device: completions published. Load-acquire before reading
 * @device_flags: device: SHARQ_DEVICE_*
 *
 * The device keeps its own copies of what it wrote and never reads them back.
 */
struct sharq_ring {
	__u32 sq_tail __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u32 client_flags __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u32 cq_head __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u32 sq_head __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u32 cq_tail __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u32 device_flags __attribute__((aligned(SHARQ_CACHE_LINE)));
} __attribute__((aligned(SHARQ_CACHE_LINE)));

/*
 * sharq_ring.client_flags
 * WANT_EVENT: the client sleeps (or will): notify with the next completion.
 *             Set it, then (full barrier) look at cq_tail once more.
 */
#define SHARQ_CLIENT_WANT_EVENT (1U << 0)

/*
 * sharq_ring.device_flags
 * NEED_KNOCK:  the device sleeps: after publishing (full barrier), knock.
 * PAUSED:      by order of its owner: nothing is consumed.
 * BROKEN:      the client's indices were out of step: nothing is consumed any
 *              more; what was accepted completes.
 * QUARANTINED: its commands hung the device or took it down, or faulted too often:
 *              as BROKEN.
 * CLOSED:      killed or drained for good: as BROKEN.
 * SETTLED:     beside these, and where the client itself finds out what was done
 *              (SHARQ_RING_SDXI): nothing more will be.
 */
#define SHARQ_DEVICE_NEED_KNOCK (1U << 0)
#define SHARQ_DEVICE_PAUSED (1U << 1)
#define SHARQ_DEVICE_BROKEN (1U << 2)
#define SHARQ_DEVICE_QUARANTINED (1U << 3)
#define SHARQ_DEVICE_CLOSED (1U << 4)
#define SHARQ_DEVICE_SETTLED (1U << 5)
#define SHARQ_DEVICE_DEAD                                                      \
	(SHARQ_DEVICE_BROKEN | SHARQ_DEVICE_QUARANTINED | SHARQ_DEVICE_CLOSED)

#ifdef __cplusplus
#define SHARQ_ABI_ASSERT(cond, text) static_assert(cond, text)
#else
#define SHARQ_ABI_ASSERT(cond, text) _Static_assert(cond, text)
#endif
SHARQ_ABI_ASSERT(sizeof(struct sharq_desc) == 1 << SHARQ_SQE_SHIFT, "desc");
SHARQ_ABI_ASSERT(sizeof(struct sharq_cqe) == 1 << SHARQ_CQE_SHIFT, "cqe");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ring) == 6 * SHARQ_CACHE_LINE, "ring");

#endif /* SHARQ_ABI_H */
