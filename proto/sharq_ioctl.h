/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * sharq.ko's files: /dev/sharq, for the controller (sharqd, root), and a
 * queue's file, for the client that binds it.
 *
 * Every struct begins with its size, set by the caller to the sizeof() that it
 * was built with: a shorter one is taken as if zeros followed, a longer one is
 * taken if what the kernel doesn't know is zero (else -E2BIG). Of an answer, as
 * much is written as the caller has room for. Reserved fields and unknown flags
 * must be zero.
 *
 * Errors that every call can give:
 *   -ENOTTY      no such command on this file
 *   -EFAULT      @arg can't be read or written
 *   -E2BIG       the struct is longer than known, and not with zeros
 *   -EINVAL      too short, or a field is out of its range
 *   -EPERM       a queue's file: not the address space that bound it (a child
 *                after fork, another process that was given the file)
 *   -ENOTCONN    a queue's file: not bound yet
 *   -ESHUTDOWN   a queue's file: dead (killed, broken, quarantined, its client or
 *                its device gone)
 *   -EINTR       a fatal signal came
 *   -ENOMEM
 */
#ifndef SHARQ_IOCTL_H
#define SHARQ_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#include "sharq_abi.h"

#define SHARQ_CONTROL_PATH "/dev/sharq"
#define SHARQ_IOC_MAGIC 0xb7

#define SHARQ_NAME_LEN 32
#define SHARQ_LABEL_LEN 64
#define SHARQ_COOKIES 4

/* How a queue reaches its device: numbers of sharq.proto's Path. */
enum sharq_bind_path {
	SHARQ_BIND_ANY = 0,
	SHARQ_BIND_DIRECT = 1,
	SHARQ_BIND_SHADOW = 2,
};

/* Why a queue has no direct path; sharq_reason_text() has the sentences. */
enum sharq_reason {
	SHARQ_REASON_NONE = 0,	   /* it has one, or it wasn't asked for */
	SHARQ_REASON_DEVICE = 1,   /* the device offers none */
	SHARQ_REASON_NO_IOMMU = 2, /* no IOMMU that could tell clients apart */
	SHARQ_REASON_NO_PASID = 3, /* device or IOMMU lacks PASID, ATS or PRI */
	SHARQ_REASON_NO_SVA =
		4,	       /* this kernel refuses SVA (on x86 6.1, 6.12) */
	SHARQ_REASON_BUSY = 5, /* every hardware queue is taken */
	SHARQ_REASON_REQUESTED = 6, /* shadow was asked for */
	SHARQ_REASON_NOT_NOW = 7,   /* the kernel binds no more clients now */
	SHARQ_REASON_COUNT
};

/* What the device of a direct queue reads: how its client writes commands. */
enum sharq_ring_kind {
	SHARQ_RING_SHARQ =
		0, /* struct sharq_ring and its arrays, as all others */
	SHARQ_RING_SDXI = 1, /* an SDXI context: struct sharq_sdxi */
};

/* States of a queue. One that is dead (BROKEN and above) stays so. */
enum sharq_queue_state {
	SHARQ_QUEUE_UNBOUND = 0,
	SHARQ_QUEUE_RUNNING = 1,
	SHARQ_QUEUE_PAUSED = 2,	     /* by the controller */
	SHARQ_QUEUE_BROKEN = 3,	     /* its client's indices were out of step */
	SHARQ_QUEUE_QUARANTINED = 4, /* its commands hang the device */
	SHARQ_QUEUE_CLOSED = 5,	     /* killed by the controller */
	SHARQ_QUEUE_GONE = 6,	     /* its client or its device is gone */
	SHARQ_QUEUE_STATE_COUNT
};

/* ---- /dev/sharq ----
 *
 * For root (CAP_SYS_ADMIN in the initial namespaces), one opener at a time
 * (-EBUSY). Closing it disturbs no queue; the next opener finds them by
 * SHARQ_CTL_QUEUE. poll(): readable when SHARQ_CTL_EVENT has something.
 */

/*
 * struct sharq_ctl_info - SHARQ_CTL_INFO
 * @abi:      out: SHARQ_ABI_VERSION of the module
 * @devices:  out: how many there are
 * @queues:   out: how many live
 * @max_depth: out: of a queue
 * @version:  out: of the module, text
 */
struct sharq_ctl_info {
	__u32 size;
	__u32 abi;
	__u32 devices;
	__u32 queues;
	__u32 max_depth;
	__u32 reserved;
	char version[SHARQ_NAME_LEN];
};

/*
 * struct sharq_ctl_device - SHARQ_CTL_DEVICE: the device with the lowest id
 * that is at least @id; -ENOENT: none
 * @id:       in and out; ids begin with 1 and aren't used again
 * @paths:    out: bit 1 << SHARQ_BIND_DIRECT, 1 << SHARQ_BIND_SHADOW
 * @reason:   out: enum sharq_reason, why there is no direct path
 * @ops, @max_transfer: out: as struct sharq_caps
 * @queues:   out: queues on it
 * @direct_used, @direct_free: out: hardware queues for direct clients
 * @name, @provider: out: "soft0", "soft"
 */
struct sharq_ctl_device {
	__u32 size;
	__u32 id;
	__u32 paths;
	__u32 reason;
	__u32 ops;
	__u32 max_transfer;
	__u32 queues;
	__u32 direct_used;
	__u32 direct_free;
	__u32 reserved;
	char name[SHARQ_NAME_LEN];
	char provider[SHARQ_NAME_LEN];
};

/* sharq_ctl_dma.flags: none of them for a device that does no DMA. */
#define SHARQ_DMA_ADDRESSES (1U << 0) /* it reaches memory by addresses */
#define SHARQ_DMA_GROUP (1U << 1)     /* its IOMMU group is claimed */
#define SHARQ_DMA_COHERENT (1U << 2)
#define SHARQ_DMA_ATS (1U << 3)
#define SHARQ_DMA_PRI (1U << 4)

/*
 * struct sharq_ctl_dma - SHARQ_CTL_DMA: what the DMA of device @id goes through;
 * -ENOENT: no such device
 * @group:  out: the number of its IOMMU group, @owner: who claimed it
 * @address_bits: out: of addresses in its address space
 * @pasids: out: how many it can tell apart, 0: none
 */
struct sharq_ctl_dma {
	__u32 size;
	__u32 id;
	__u32 flags;
	__u32 group;
	__u32 address_bits;
	__u32 pasids;
	char owner[SHARQ_NAME_LEN];
};

/* Limits of struct sharq_ctl_create. */
#define SHARQ_WEIGHT_MIN 1
#define SHARQ_WEIGHT_DEFAULT 64
#define SHARQ_WEIGHT_MAX 256
#define SHARQ_IN_DEVICE_DEFAULT 8

/*
 * struct sharq_ctl_create - SHARQ_CTL_CREATE: make a queue
 * @device:      which; -ENODEV
 * @ops:         operations allowed, of the device's; 0: all that it has
 * @depth:       a power of two, SHARQ_MIN_DEPTH to SHARQ_MAX_DEPTH
 * @sqe_shift, @cqe_shift: SHARQ_SQE_SHIFT, SHARQ_CQE_SHIFT
 * @weight:      share of the device, SHARQ_WEIGHT_MIN to _MAX; 0: the default
 * @in_device:   most commands that it may have in the device at once, 0: the
 *               default
 * @uid:         whose effective uid may bind it, as the controller sees it
 * @bind_ms:     how long it may stay unbound, 1 to 600000
 * @pin_bytes:   most client memory that its commands may hold, pinned or copied,
 *               0: 64 MiB
 * @cookie, @label: the controller's own, handed back by SHARQ_CTL_QUEUE
 *               (and @label, NUL-terminated, shown in fdinfo)
 * @id:          out: the queue's; never used again
 * @fd:          out: its file, close-on-exec
 *
 * The queue lives until its last file and mapping are gone.
 */
struct sharq_ctl_create {
	__u32 size;
	__u32 device;
	__u32 ops;
	__u32 depth;
	__u8 sqe_shift;
	__u8 cqe_shift;
	__u16 weight;
	__u32 in_device;
	__u32 uid;
	__u32 bind_ms;
	__aligned_u64 pin_bytes;
	__aligned_u64 cookie[SHARQ_COOKIES];
	char label[SHARQ_LABEL_LEN];
	__aligned_u64 id;
	__s32 fd;
	__u32 reserved;
};

/*
 * struct sharq_ctl_queue - SHARQ_CTL_QUEUE: the queue with the lowest id that
 * is at least @id; -ENOENT: none
 * @pid:    out: who bound it, as the controller sees it; 0: nobody, or unknown
 * @path:   out: enum sharq_bind_path; 0 until bound
 * @reason, @reason_errno: out: as in struct sharq_bind
 * Others: out, as in struct sharq_ctl_create.
 */
struct sharq_ctl_queue {
	__u32 size;
	__u32 state;
	__aligned_u64 id;
	__u32 device;
	__u32 depth;
	__u32 ops;
	__u32 uid;
	__s32 pid;
	__u32 path;
	__u32 reason;
	__u32 weight;
	__aligned_u64 cookie[SHARQ_COOKIES];
	char label[SHARQ_LABEL_LEN];
	__s32 reason_errno;
	__u32 reserved;
};

/* As long as it was in its first version. */
#define SHARQ_CTL_QUEUE_SIZE_FIRST 144

/* Buckets of a histogram: [0] below 1 us, [i] below 1 us << i, last: beyond. */
#define SHARQ_HIST_BUCKETS 24

/*
 * struct sharq_ctl_stats - SHARQ_CTL_STATS of the queue @id; -ENOENT
 * @commands:  completed, whatever their status
 * @bytes:     moved or read by commands that were OK or MISMATCH
 * @by_status: commands by enum sharq_status
 * @kicks, @short_kicks: and of these, consumed fewer than were asked and there
 * @in_flight: accepted and not completed
 * @pinned:    bytes of client memory held now
 * @copied:    source bytes that were copied at the kick
 * @staged:    bytes that went through bounce memory
 * @served:    bytes that the device was asked to do, in slices
 * @wait_hist: time from acceptance to the device
 * @device_hist: time from there to the end. Of direct queues nobody measures these
 */
struct sharq_ctl_stats {
	__u32 size;
	__u32 reserved;
	__aligned_u64 id;
	__aligned_u64 commands;
	__aligned_u64 bytes;
	__aligned_u64 by_status[16];
	__aligned_u64 kicks;
	__aligned_u64 short_kicks;
	__aligned_u64 in_flight;
	__aligned_u64 pinned;
	__aligned_u64 copied;
	__aligned_u64 staged;
	__aligned_u64 served;
	__aligned_u64 wait_hist[SHARQ_HIST_BUCKETS];
	__aligned_u64 device_hist[SHARQ_HIST_BUCKETS];
};

enum sharq_ctl_action {
	SHARQ_CTL_PAUSE = 0, /* consume nothing more */
	SHARQ_CTL_RESUME = 1,
	SHARQ_CTL_KILL = 2, /* cancel what isn't in the device; for good */
};

/*
 * struct sharq_ctl_control - SHARQ_CTL_CONTROL of the queue @id
 * -ENOENT: none; -ESHUTDOWN: dead already; PAUSE, RESUME: -ENOTCONN: not bound.
 * To drain: pause, then wait until in_flight is 0.
 */
struct sharq_ctl_control {
	__u32 size;
	__u32 action;
	__aligned_u64 id;
};

/*
 * struct sharq_ctl_event - SHARQ_CTL_EVENT: the next queue that was bound,
 * changed its state or ended since; -EAGAIN: none
 * @ended:    out: it is no more; @commands to @by_status and @kicks to @staged are
 *            its last, as in struct sharq_ctl_stats
 * Changes of one queue that weren't fetched become one event.
 */
struct sharq_ctl_event {
	__u32 size;
	__u32 ended;
	__aligned_u64 id;
	__u32 state;
	__u32 uid;
	__aligned_u64 cookie[SHARQ_COOKIES];
	__aligned_u64 commands;
	__aligned_u64 bytes;
	__aligned_u64 by_status[16];
	__aligned_u64 kicks;
	__aligned_u64 short_kicks;
	__aligned_u64 copied;
	__aligned_u64 staged;
};

/* As long as it was in its first version. */
#define SHARQ_CTL_EVENT_SIZE_FIRST 200

#define SHARQ_CTL_INFO _IO(SHARQ_IOC_MAGIC, 0x00)
#define SHARQ_CTL_DEVICE _IO(SHARQ_IOC_MAGIC, 0x01)
#define SHARQ_CTL_CREATE _IO(SHARQ_IOC_MAGIC, 0x02)
#define SHARQ_CTL_QUEUE _IO(SHARQ_IOC_MAGIC, 0x03)
#define SHARQ_CTL_STATS _IO(SHARQ_IOC_MAGIC, 0x04)
#define SHARQ_CTL_CONTROL _IO(SHARQ_IOC_MAGIC, 0x05)
#define SHARQ_CTL_EVENT _IO(SHARQ_IOC_MAGIC, 0x06)
#define SHARQ_CTL_DMA _IO(SHARQ_IOC_MAGIC, 0x07)

/* ---- a queue's file ----
 *
 * poll():
 *   EPOLLIN   completions that the client hasn't taken (cq_tail != cq_head)
 *   EPOLLOUT  the last kick wasn't short, or what made it short has changed:
 *             kick (again)
 *   EPOLLHUP  the queue is dead; EPOLLERR: no answer for this process
 * mmap(): all of the rings, shared, at BIND's offset; of a direct queue also the
 * page of its doorbell. The mappings aren't inherited by fork, whatever madvise()
 * says, and can't be moved or cut.
 *
 * A direct queue takes no kicks (-EOPNOTSUPP). The client fills descriptors, stores
 * sq_tail, then anything to the doorbell's page (release, both): 4 bytes or 8, at
 * its beginning. That may be a page fault, when the device sleeps, and is no system
 * call. It stores there, too, when it has taken completions while the CQ was full,
 * if descriptors were left.
 *
 * A direct queue of kind SHARQ_RING_SDXI is a context of an SDXI function: see
 * struct sharq_sdxi.
 */

/* sharq_bind.flags, out. SYNC_ONLY: each batch takes a kick (not direct). */
#define SHARQ_BOUND_SYNC_ONLY (1U << 0)

/*
 * struct sharq_bind - SHARQ_BIND: tie the queue to the caller's address space
 * @flags:   in: 0; out: SHARQ_BOUND_*
 * @path:    in: enum sharq_bind_path wanted (-EOPNOTSUPP, with @reason written,
 *           if DIRECT can't be had, and -EBUSY if all that the device has for
 *           that is taken); out: which it is
 * @reason:  out: enum sharq_reason
 * @reason_errno: out: what the kernel said when direct was tried, or 0
 * @depth, @sqe_shift, @cqe_shift, @ops, @max_transfer, @id: out
 * @sq_offset, @cq_offset: out: of the arrays in the mapping, which begins with
 *           struct sharq_ring
 * @map_size, @map_offset: out: for mmap()
 * @bell_offset: out: of the doorbell's page, of a direct queue; else 0
 * @ring:    out: enum sharq_ring_kind
 * @entries, @area_offset, @area_size: out: SHARQ_RING_SDXI: of its ring, and for
 *           mmap() of struct sharq_sdxi and what follows; else 0
 *
 * -EPERM: the caller's effective uid isn't the one that was baked in;
 * -EBUSY: bound already; -ETIMEDOUT: too late.
 *
 * To a caller that doesn't know @bell_offset, or not @ring where that wouldn't be
 * SHARQ_RING_SHARQ, ANY means SHADOW, and DIRECT is -EINVAL.
 */
struct sharq_bind {
	__u32 size;
	__u32 flags;
	__u32 path;
	__u32 reason;
	__s32 reason_errno;
	__u32 depth;
	__u8 sqe_shift;
	__u8 cqe_shift;
	__u16 reserved;
	__u32 ops;
	__u32 max_transfer;
	__u32 sq_offset;
	__u32 cq_offset;
	__u32 map_size;
	__aligned_u64 map_offset;
	__aligned_u64 id;
	__aligned_u64 bell_offset;
	__u32 ring;
	__u32 entries;
	__aligned_u64 area_offset;
	__aligned_u64 area_size;
};

/* As long as it was before there was a direct path. */
#define SHARQ_BIND_SIZE_SHADOW 64

/*
 * struct sharq_start - SHARQ_START of a direct queue of kind SHARQ_RING_SDXI: its
 * area is mapped; begin to serve it
 * @addr: where, in the caller's address space; a multiple of the page size
 *
 * Until then the doorbell's page can't be touched (SIGBUS). -EOPNOTSUPP: another
 * kind of queue; -EBUSY: started already; -EIO: the function refuses.
 */
struct sharq_start {
	__u32 size;
	__u32 reserved;
	__aligned_u64 addr;
};

/*
 * struct sharq_sdxi - the area of a queue of kind SHARQ_RING_SDXI
 * @status:      the context's status (struct sdxi_cxt_sts); the function's
 * @write_index: descriptors published; the client's
 * @taken:       completions that the client has taken, counted as descriptors are;
 *               the client's
 *
 * It is followed by, at SHARQ_SDXI_RING, @entries descriptors of 64 bytes; then as
 * many completion blocks of 32 bytes (struct sdxi_cst_blk); then as many words
 * __u64. Descriptor number i, counted from 0 and for ever, has slot i % entries in
 * each. The layouts are the standard's, little-endian: proto/sdxi_hw.h.
 *
 * The client puts descriptor i once i - taken < entries: its block (signal 1, flags
 * 0) and the descriptor with SDXI_DSC_VL, at neither of which the function looks yet;
 * then, release, write_index; then write_index again as 8 bytes to the beginning of
 * the doorbell's page. SHARQ_SDXI_AKEY is the key of its memory; there is no other.
 * Block and descriptor are addressed as they are mapped. Where it puts another
 * block, or none, is its own affair, and so is what becomes of its sleep.
 *
 * It is done when the block's signal is 0; with SDXI_CST_BLK_ER it failed, and its
 * word says how, when that is SHARQ_SDXI_FAULT(i, status) for one of enum
 * sharq_status: FAULT_READ, FAULT_WRITE, or RESET where nobody knows. The word may
 * come later than the block. What is wrong with a descriptor otherwise than by its
 * operands' addresses ends the queue as BROKEN; more faults than SHARQ_SDXI_FAULTS
 * at once and SHARQ_SDXI_FAULTS_PER_S for ever end it as QUARANTINED.
 *
 * While the queue runs, descriptor @taken, once it is published, shall be done, or
 * @taken move on, in the time that the module's sdxi_direct_hang_ms gives it (60 s;
 * pages that it needs have to come meanwhile). Else the queue ends as QUARANTINED.
 *
 * To sleep: set SHARQ_CLIENT_WANT_EVENT in the rings' client_flags, look once more
 * whether @taken is done, then poll(). The file is readable, and the eventfd
 * signalled, when descriptor @taken is done. Each poll() of the file while
 * WANT_EVENT is set makes that so for once.
 *
 * When the queue is dead, what becomes of its commands is final once SETTLED is set
 * in device_flags: one whose block has signal 0 is done; the first that isn't, and
 * those without SDXI_DSC_VL, may have been begun; others weren't.
 *
 * What is stored to the doorbell in a pause is heard when that ends. sharq_ring's
 * indices and arrays aren't used by the device.
 */
struct sharq_sdxi {
	__u8 __attribute__((aligned(SHARQ_CACHE_LINE))) status[16];
	__u64 write_index __attribute__((aligned(SHARQ_CACHE_LINE)));
	__u64 taken __attribute__((aligned(SHARQ_CACHE_LINE)));
};

#define SHARQ_SDXI_RING 4096
#define SHARQ_SDXI_AKEY 0
#define SHARQ_SDXI_FAULT(index, status) ((__u64)(index) << 8 | 0x80 | (status))
#define SHARQ_SDXI_FAULTS 1024
#define SHARQ_SDXI_FAULTS_PER_S 64

/*
 * Kick flags. WAIT (URING_CMD only): completes when the commands that it
 * consumed have completed. -EOPNOTSUPP where the kernel can't cancel that.
 */
#define SHARQ_KICK_WAIT (1U << 0)

/*
 * struct sharq_kick - SHARQ_KICK: consume up to @count descriptors
 *
 * Return: how many were consumed. Fewer than there are is normal: the queue is
 * paused (0), the CQ or a limit is full, memory is short. EPOLLOUT says when to
 * go on. Each one consumed gets exactly one completion.
 */
struct sharq_kick {
	__u32 size;
	__u32 count;
	__u32 flags;
	__u32 reserved;
};

/*
 * struct sharq_uring_kick - the same as IORING_OP_URING_CMD
 *
 * sqe->cmd_op = SHARQ_URING_KICK, sqe->cmd = this. cqe->res = what SHARQ_KICK
 * returns. A kick that would sleep goes on in io-wq if it has consumed nothing;
 * else it is short.
 */
struct sharq_uring_kick {
	__u32 count;
	__u32 flags;
	__aligned_u64 reserved;
};

/* struct sharq_eventfd - SHARQ_EVENTFD: signal it with completions; fd -1: none */
struct sharq_eventfd {
	__u32 size;
	__s32 fd;
};

#define SHARQ_BIND _IO(SHARQ_IOC_MAGIC, 0x40)
#define SHARQ_KICK _IO(SHARQ_IOC_MAGIC, 0x41)
#define SHARQ_EVENTFD _IO(SHARQ_IOC_MAGIC, 0x42)
#define SHARQ_START _IO(SHARQ_IOC_MAGIC, 0x43)
/*
 * The queue ends (SHARQ_DEVICE_CLOSED), as with the last close of its file, but while its area is
 * still mapped: an SDXI context that can't write its status takes 100 ms longer to be
 * believed that it has stopped. Argument 0, else -EINVAL; -ESHUTDOWN: it was dead.
 */
#define SHARQ_STOP _IO(SHARQ_IOC_MAGIC, 0x44)
#define SHARQ_URING_KICK 1

SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_info) == 56, "info");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_device) == 104, "device");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_dma) == 56, "dma");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_create) == 152, "create");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_queue) == 152, "queue");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_stats) == 600, "stats");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_control) == 16, "control");
SHARQ_ABI_ASSERT(sizeof(struct sharq_ctl_event) == 232, "event");
SHARQ_ABI_ASSERT(sizeof(struct sharq_bind) == 96, "bind");
SHARQ_ABI_ASSERT(sizeof(struct sharq_start) == 16, "start");
SHARQ_ABI_ASSERT(sizeof(struct sharq_sdxi) == 3 * SHARQ_CACHE_LINE, "sdxi");
SHARQ_ABI_ASSERT(sizeof(struct sharq_kick) == 16, "kick");
SHARQ_ABI_ASSERT(sizeof(struct sharq_uring_kick) == 16, "uring kick");
SHARQ_ABI_ASSERT(sizeof(struct sharq_eventfd) == 8, "eventfd");

#endif /* SHARQ_IOCTL_H */
