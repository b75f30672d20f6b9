/* SPDX-License-Identifier: MIT */
/*
 * libsharq: accelerator queues for every process.
 *
 *   connect -> open a queue -> get a submission entry -> prep -> submit ->
 *   wait for a completion -> seen
 *
 * Errors: functions return 0 (or a count) or -errno; none prints. What went
 * wrong in words: sharq_error().
 *
 * Threads: a struct sharq may be used by any number of threads at once. A
 * struct sharq_queue belongs to one thread at a time; different queues of one
 * connection may be used by different threads at once.
 *
 * fork: connections and queues stay the parent's. In the child every call on
 * them returns -EPERM (sharq_get_sqe and sharq_alloc: NULL), entries that the
 * parent got are not to be prepared (they may not be mapped), memory from
 * sharq_alloc() isn't mapped (after sharq_connect_none() it is the child's own
 * copy, as any memory), and only sharq_queue_close(), sharq_disconnect()
 * may be called, which free the child's copies and disturb nothing. The child
 * may connect afresh. exec closes all.
 *
 * No global state: several users in one process don't notice each other.
 */
#ifndef SHARQ_H
#define SHARQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sharq_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sharq;	    /* a connection to sharqd, or none (inline only) */
struct sharq_queue; /* a queue */
struct sharq_sqe;   /* a submission entry: opaque, filled by sharq_prep_*() */

/* Where sharqd listens unless $SHARQ_SOCKET or the caller says otherwise. */
#define SHARQ_DEFAULT_SOCKET "/run/sharq/sharqd.sock"

enum sharq_path {
	SHARQ_PATH_ANY = 0,
	SHARQ_PATH_DIRECT = 1,
	SHARQ_PATH_SHADOW = 2,
	SHARQ_PATH_EMBEDDED = 3,
	SHARQ_PATH_INLINE = 4 /* on the caller's CPU, no daemon needed */
};

/*
 * sharq_connect - connect to sharqd
 * @s:      set to the connection
 * @socket: path; NULL: $SHARQ_SOCKET, else SHARQ_DEFAULT_SOCKET
 *
 * Return: 0; -ENOENT or -ECONNREFUSED (no daemon), -EACCES, -EPROTO (what
 * answers is no sharqd), -EPROTONOSUPPORT (it speaks no version that we
 * speak), -EDQUOT or -EUSERS (it has as many clients as it allows of this user,
 * or of all), -ENAMETOOLONG (the socket's path), -EINTR, -ETIMEDOUT, -ENOMEM.
 */
int sharq_connect(struct sharq **s, const char *socket);

/*
 * sharq_connect_none - a connection to nothing: inline queues only
 */
int sharq_connect_none(struct sharq **s);

/*
 * sharq_disconnect - close a connection; its queues must be closed before
 *
 * Memory from sharq_alloc() is gone with it. NULL is fine. Return: NULL.
 */
struct sharq *sharq_disconnect(struct sharq *s);

/*
 * sharq_error - the latest error of this connection in words
 *
 * Never NULL. Return: a copy in @buf.
 */
const char *sharq_error(struct sharq *s, char *buf, size_t size);

/* What sharq_connect() would say of @err (0 or -errno) for @socket, in words. */
const char *sharq_connect_strerror(int err, const char *socket, char *buf,
				   size_t size);

/*
 * struct sharq_device - what a device is and can
 * @id:           non-zero; 0 is the inline device
 * @ops:          SHARQ_OP_BIT() of each operation
 * @paths:        1 << enum sharq_path of each path that it offers
 * @note:         why a better path isn't offered, or ""
 */
struct sharq_device {
	uint32_t id;
	char name[32];
	char provider[32];
	uint32_t ops;
	uint32_t max_transfer;
	uint32_t max_depth;
	uint32_t paths;
	uint64_t queues_used;
	uint64_t queues_free;
	char note[160];
};

/*
 * sharq_devices - list devices
 * @devices: room for @n; may be NULL with @n 0
 *
 * Return: how many there are (perhaps more than @n), or -errno.
 */
int sharq_devices(struct sharq *s, struct sharq_device *devices,
		  unsigned int n);

/*
 * CHECKED: bad pointers in descriptors become FAULT statuses with their
 *          address (checked copies, slower). Without it they are the caller's
 *          SIGSEGV, as with memcpy, where the library touches the memory: on
 *          embedded and inline queues, and for what INLINE runs. The direct and
 *          the shadow path always report FAULT, at no cost; direct queues of SDXI
 *          functions without the address.
 * INLINE:  small commands (up to inline_max bytes) may run on the caller's CPU
 *          within sharq_submit(), unless they or the one before them carry
 *          FENCE or LINK.
 */
#define SHARQ_QUEUE_CHECKED (1U << 0)
#define SHARQ_QUEUE_INLINE (1U << 1)
#define SHARQ_QUEUE_FLAGS (SHARQ_QUEUE_CHECKED | SHARQ_QUEUE_INLINE)
#define SHARQ_INLINE_MAX_DEFAULT 512

/*
 * struct sharq_queue_opts - what queue is wanted; zero-fill what you don't set
 * @device:     0: any that has @ops
 * @ops:        SHARQ_OP_BIT()s that the device must have; 0: none in particular,
 *              but one that has all comes before one that lacks some
 * @path:       enum sharq_path; ANY takes the best. ANY never means inline
 * @depth:      commands in flight: a power of two, SHARQ_MIN_DEPTH to
 *              SHARQ_MAX_DEPTH; 0: 64
 * @flags:      SHARQ_QUEUE_*
 * @inline_max: with INLINE: largest len to run inline; 0: the default
 */
struct sharq_queue_opts {
	uint32_t device;
	uint32_t ops;
	uint32_t path;
	uint32_t depth;
	uint32_t flags;
	uint32_t inline_max;
};

/*
 * sharq_queue_open - open a queue
 * @opts: NULL: all zero
 *
 * Return: 0; -EINVAL (an option is wrong: sharq_error() names it), -EDQUOT (a
 * limit of the user's), -ENODEV (no such device, or none has the operations),
 * -EOPNOTSUPP (no such path here), -EBUSY (DIRECT, and every hardware queue is
 * taken; or sharqd's limit), -ENOTCONN (the daemon is away),
 * -ECONNRESET (it went away before it answered), -ETIMEDOUT, -ESHUTDOWN (it
 * stops, or somebody killed the queue already), -EIO (its engine, or the hardware
 * queue, can't be started), -EPROTO (its answer makes no sense), -EPERM (after
 * fork; or sharqd doesn't serve this user, or this process acts with another user
 * id than it connected with), -ENOMEM.
 */
int sharq_queue_open(struct sharq *s, const struct sharq_queue_opts *opts,
		     struct sharq_queue **q);

/*
 * sharq_queue_close - close a queue; what is in flight is abandoned
 *
 * What a device does already it is given time to end: its memory is the
 * caller's again.
 *
 * NULL is fine. Return: NULL.
 */
struct sharq_queue *sharq_queue_close(struct sharq_queue *q);

/*
 * struct sharq_queue_info - what was opened
 * @id:     as sharqctl shows it; 0 for inline queues
 * @path:   the path that it got
 * @reason: why not a better one, or ""
 * @flags:  SHARQ_INFO_*. SYNC_ONLY: each sharq_submit() is a system call
 */
#define SHARQ_INFO_SYNC_ONLY (1U << 0)

struct sharq_queue_info {
	uint64_t id;
	uint32_t device;
	uint32_t path;
	uint32_t depth;
	uint32_t ops;
	uint32_t max_transfer;
	char reason[160];
	uint32_t flags;
};
int sharq_queue_info(struct sharq_queue *q, struct sharq_queue_info *info);

/*
 * struct sharq_queue_counts - what the library did for a queue so far
 * @syscalls: system calls made by submit, peek and wait (knocks, kicks, sleeps,
 *            what makes sharq_queue_fd() tell)
 * @staged:   commands with memory that wasn't from sharq_alloc()
 * @inlined:  commands run on the caller's CPU
 */
struct sharq_queue_counts {
	uint64_t submitted;
	uint64_t completed;
	uint64_t syscalls;
	uint64_t staged;
	uint64_t inlined;
};
int sharq_queue_counts(struct sharq_queue *q, struct sharq_queue_counts *c);

/*
 * sharq_alloc - memory that the device reaches without copying
 *
 * Page-aligned from 4096 bytes on, 64-byte-aligned below; contents undefined.
 * Any thread. Return: NULL when out of memory or of the user's limit.
 */
void *sharq_alloc(struct sharq *s, size_t size);
void sharq_free(struct sharq *s, void *p); /* NULL is fine */

/*
 * sharq_prefetch - have the pages of memory present before a device needs them
 * @write: to be written, else to be read
 *
 * For buffers that are new, or were swapped out, and go to a device on the direct
 * path: a device waits for each page that isn't there, for as many as it asks for
 * at once, and one CPU has them there for less. Elsewhere, and for memory that was
 * used a moment ago, it is a system call for nothing. Contents stay as they are,
 * whatever others do to them meanwhile. Pages may go again at any time: what is
 * right doesn't depend on it. It needs Linux 5.14.
 *
 * Any thread. Return: 0; -ENOMEM (some of it isn't mapped, or memory is short),
 * -EFAULT (beyond the end of a file), -EINVAL (it may not be accessed so; it is no
 * ordinary memory, as a device's; an older kernel), -EHWPOISON, -EPERM (after
 * fork). With an error a part may be present.
 */
int sharq_prefetch(struct sharq *s, const void *p, size_t len, bool write);

/*
 * sharq_get_sqe - the next free submission entry, cleared
 *
 * Return: NULL when as many as the queue is deep are prepared, in flight or
 * not yet seen.
 */
struct sharq_sqe *sharq_get_sqe(struct sharq_queue *q);

/*
 * Fill an entry. Memory must stay as it is until the completion. Wrong values
 * are not refused here but by the command's status.
 */
void sharq_prep_nop(struct sharq_sqe *sqe);
void sharq_prep_copy(struct sharq_sqe *sqe, void *dst, const void *src,
		     uint32_t len);
void sharq_prep_fill(struct sharq_sqe *sqe, void *dst, uint32_t len,
		     const void *pattern, unsigned int pattern_len);
void sharq_prep_compare(struct sharq_sqe *sqe, const void *a, const void *b,
			uint32_t len);
void sharq_prep_crc32c(struct sharq_sqe *sqe, const void *src, uint32_t len,
		       uint32_t seed);
void sharq_prep_copy_crc32c(struct sharq_sqe *sqe, void *dst, const void *src,
			    uint32_t len, uint32_t seed);
void sharq_prep_dualcast(struct sharq_sqe *sqe, void *dst1, void *dst2,
			 const void *src, uint32_t len);
void sharq_prep_compress(struct sharq_sqe *sqe, void *dst, uint32_t dst_len,
			 const void *src, uint32_t len, unsigned int format,
			 unsigned int level);
void sharq_prep_decompress(struct sharq_sqe *sqe, void *dst, uint32_t dst_len,
			   const void *src, uint32_t len, unsigned int format);
/* A descriptor as it stands, for tools and tests; nothing is filled in. */
void sharq_prep_raw(struct sharq_sqe *sqe, const struct sharq_desc *desc);

void sharq_sqe_set_flags(struct sharq_sqe *sqe, unsigned int flags);
void sharq_sqe_set_data64(struct sharq_sqe *sqe, uint64_t data);
void sharq_sqe_set_data(struct sharq_sqe *sqe, void *data);

/*
 * sharq_submit - hand all prepared entries over
 *
 * On the direct path this is stores to memory, no system call. On an SDXI function
 * what follows a LINK, and the parts of a copy onto itself, are then begun when the
 * caller looks for completions. On the shadow path it is one system call, of
 * io_uring or, where that can't be had or $SHARQ_NO_URING is set when the queue is
 * opened, an ioctl. See sharq_uring.h for a ring of the application's own.
 *
 * Return: how many were accepted: fewer than prepared is normal (staging
 * memory is short: take completions, then call again); -EPERM after fork;
 * -ESHUTDOWN: the queue was killed, broken or quarantined, or daemon and engine
 * are gone (sharq_error() says which): entries that weren't accepted are
 * dropped, those that were all complete.
 */
int sharq_submit(struct sharq_queue *q);

/*
 * sharq_peek_cqe - the oldest completion that wasn't seen, without waiting
 * @cqe: points into the library's memory until sharq_cqe_seen()
 *
 * Each command that was submitted completes exactly once.
 * Return: 0, -EAGAIN (none now), -EPERM.
 */
int sharq_peek_cqe(struct sharq_queue *q, const struct sharq_cqe **cqe);

/*
 * sharq_wait_cqe - wait for it
 * @timeout_ms: -1: for ever
 *
 * Polls for a moment, then sleeps. Return: 0, -ETIME, -EINTR (a signal came),
 * -ENOENT (nothing is in flight: it would wait for ever), -EPERM.
 */
int sharq_wait_cqe(struct sharq_queue *q, const struct sharq_cqe **cqe,
		   int timeout_ms);

/* Done with the completion that peek or wait gave. */
void sharq_cqe_seen(struct sharq_queue *q, const struct sharq_cqe *cqe);

/*
 * sharq_queue_fd - for poll, select, epoll: readable when there are completions
 *
 * The library's own: don't read or close it. Take completions until -EAGAIN
 * before you poll again: that arms it. Return: the fd or -errno.
 */
int sharq_queue_fd(struct sharq_queue *q);

/* Entries prepared or in flight or not yet seen. */
unsigned int sharq_queue_outstanding(struct sharq_queue *q);

/*
 * One-call synchronous helpers. They cut what exceeds the device's largest
 * transfer, and want a queue with nothing outstanding (-EBUSY otherwise).
 * Return: 0 (look at *status), or -errno as above.
 *
 * @status: enum sharq_status of the whole
 */
int sharq_copy(struct sharq_queue *q, void *dst, const void *src, size_t len,
	       unsigned int *status);
int sharq_fill(struct sharq_queue *q, void *dst, size_t len,
	       const void *pattern, unsigned int pattern_len,
	       unsigned int *status);
/* @offset: with MISMATCH: of the first difference */
int sharq_compare(struct sharq_queue *q, const void *a, const void *b,
		  size_t len, size_t *offset, unsigned int *status);
int sharq_crc32c(struct sharq_queue *q, const void *src, size_t len,
		 uint32_t seed, uint32_t *crc, unsigned int *status);
int sharq_copy_crc32c(struct sharq_queue *q, void *dst, const void *src,
		      size_t len, uint32_t seed, uint32_t *crc,
		      unsigned int *status);
int sharq_dualcast(struct sharq_queue *q, void *dst1, void *dst2,
		   const void *src, size_t len, unsigned int *status);
/* Beyond the largest transfer: GZIP becomes several members, RAW and ZLIB one
 * stream of several pieces. @out_len: in: room; out: bytes written. */
int sharq_compress(struct sharq_queue *q, void *dst, size_t *out_len,
		   const void *src, size_t len, unsigned int format,
		   unsigned int level, unsigned int *status);
/* One stream (GZIP: member). Beyond the largest transfer it can't be cut and
 * runs on the caller's CPU. @consumed (may be NULL): source bytes it took. */
int sharq_decompress(struct sharq_queue *q, void *dst, size_t *out_len,
		     const void *src, size_t len, size_t *consumed,
		     unsigned int format, unsigned int *status);
/* Room that COMPRESS of @len bytes needs at most, in any format, also when a
 * helper cuts it. */
size_t sharq_compress_bound(size_t len);

/* Names for people: "COPY", "FAULT_READ", "dst_len", "embedded"; "?" if unknown. */
const char *sharq_op_name(unsigned int op);
const char *sharq_status_name(unsigned int status);
const char *sharq_field_name(unsigned int field);
const char *sharq_path_name(unsigned int path);

#include "sharq_inline.h"

#ifdef __cplusplus
}
#endif

#endif /* SHARQ_H */
