/* SPDX-License-Identifier: MIT */
/*
 * A queue of sharq.ko used bare, without libsharq: what a client that means
 * harm would write. What fails that should not ends the test.
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "sharq_abi.h"
#include "sharq_ioctl.h"

#define KIB 1024U
#define MIB (1024U * KIB)
#define PAGE 4096U
/* Nothing that a test waits for takes longer unless it hangs. Less than the
 * module gives a copy to or from a file. */
#define PATIENCE_MS 20000

/*
 * struct queue - a bound and mapped queue
 * @bell: of a direct queue, else NULL
 * @tail, @head: what this side wrote to sq_tail and cq_head last
 */
struct queue {
	int fd;
	uint64_t id;
	struct sharq_bind bind;
	void *map;
	struct sharq_ring *ring;
	struct sharq_desc *sq;
	struct sharq_cqe *cq;
	volatile uint32_t *bell;
	uint32_t depth;
	uint32_t tail;
	uint32_t head;
};

/* What queue_new() asks for, to be changed and given to queue_make(). */
struct sharq_ctl_create queue_request(unsigned int depth);
/* The file of a queue that isn't bound yet. */
int queue_file(struct sharq_ctl_create *request);
/* Shadow, unless the program is told path=1: direct. */
struct sharq_bind queue_bind_request(void);
/* 0 or -errno, as the kernel said. */
int queue_bind(int fd, struct sharq_bind *bind);
struct queue queue_make(struct sharq_ctl_create *request);
struct queue queue_new(unsigned int depth);
struct queue queue_new_direct(unsigned int depth);
/* Unmap, close. */
void queue_free(struct queue *q);

/* Put into the ring; publish with the next kick. */
struct sharq_desc *queue_next(struct queue *q);
void queue_put(struct queue *q, const struct sharq_desc *desc);
void queue_publish(struct queue *q);
void queue_ring(struct queue *q);
/* By ioctl: what the kernel answered; -errno. */
int queue_ioctl_kick(int fd, uint32_t count);
/* Publish and kick until all is consumed, waiting where a kick is short; ring
 * and wait, if it is a direct queue. */
void queue_kick(struct queue *q);
unsigned int queue_completed(const struct queue *q);
/* Wait for at least @n completions that weren't taken. */
void queue_wait(struct queue *q, unsigned int n);
struct sharq_cqe queue_take(struct queue *q);
/* One command from the ring to its completion. */
struct sharq_cqe queue_run(struct queue *q, const struct sharq_desc *desc);
/* poll() of a queue's file, without waiting. */
short queue_poll(int fd, short events);

struct sharq_desc desc_nop(void);
struct sharq_desc desc_copy(const void *dst, const void *src, uint32_t len);
struct sharq_desc desc_fill(const void *dst, uint8_t byte, uint32_t len);
struct sharq_desc desc_crc(const void *src, uint32_t len);
struct sharq_desc desc_compress(const void *dst, uint32_t room, const void *src,
				uint32_t len);

/* What the controller sees. */
unsigned int queues_alive(void);
/* Ends the test if there are more than @n after a time. */
void queues_left(unsigned int n);
struct sharq_ctl_device queue_device(void);
struct sharq_ctl_stats queue_stats(uint64_t id);
struct sharq_ctl_queue queue_seen(uint64_t id);
/* The controller's next event; false: there is none. */
bool queue_event(struct sharq_ctl_event *e);
void queue_control(uint64_t id, enum sharq_ctl_action action);

/*
 * A kick as an SQE of @ring, and its result. uring_prep() takes @fd as it is:
 * set IOSQE_FIXED_FILE for a registered one.
 */
struct io_uring_sqe *uring_prep(struct io_uring *ring, int fd, uint32_t count,
				uint32_t flags);
int uring_result(struct io_uring *ring);
int uring_kick(struct io_uring *ring, struct queue *q, uint32_t flags);

#endif /* QUEUE_H */
