// SPDX-License-Identifier: MIT
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define BIND_MS 60000

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void store(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/* ---- to have one ---- */

struct sharq_ctl_device queue_device(void)
{
	struct sharq_ctl_device d = { .size = sizeof(d) };
	int r = broker_ctl(SHARQ_CTL_DEVICE, &d);

	ck_assert_msg(!r, "no device: %s", strerror(-r));
	return d;
}

static uint32_t first_device(void)
{
	static uint32_t id;

	if (!id)
		id = queue_device().id;
	return id;
}

struct sharq_ctl_create queue_request(unsigned int depth)
{
	return (struct sharq_ctl_create){
		.size = sizeof(struct sharq_ctl_create),
		.device = first_device(),
		.depth = depth,
		.sqe_shift = SHARQ_SQE_SHIFT,
		.cqe_shift = SHARQ_CQE_SHIFT,
		.uid = getuid(),
		.bind_ms = BIND_MS,
		.label = "guest test",
	};
}

int queue_file(struct sharq_ctl_create *request)
{
	int fd = broker_create(request);

	ck_assert_msg(fd >= 0, "no queue: %s", strerror(-fd));
	return fd;
}

struct sharq_bind queue_bind_request(void)
{
	return (struct sharq_bind){
		.size = sizeof(struct sharq_bind),
		.path = guest_parameter("path", SHARQ_BIND_SHADOW),
	};
}

int queue_bind(int fd, struct sharq_bind *bind)
{
	return ioctl(fd, SHARQ_BIND, bind) ? -errno : 0;
}

static void *map_at(int fd, size_t size, uint64_t offset)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       (off_t)offset);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

static void map(struct queue *q)
{
	uint8_t *p = map_at(q->fd, q->bind.map_size, q->bind.map_offset);

	q->map = p;
	if (q->bind.path == SHARQ_BIND_DIRECT)
		q->bell = map_at(q->fd, PAGE, q->bind.bell_offset);
	q->ring = (void *)p;
	q->sq = (void *)(p + q->bind.sq_offset);
	q->cq = (void *)(p + q->bind.cq_offset);
}

static struct queue make(struct sharq_ctl_create *request, uint32_t path)
{
	struct queue q = { .fd = queue_file(request),
			   .bind = queue_bind_request() };
	int r;

	q.bind.path = path;
	r = queue_bind(q.fd, &q.bind);
	ck_assert_msg(!r, "BIND: %s", strerror(-r));
	ck_assert_uint_eq(q.bind.path, path);
	ck_assert_uint_eq(q.bind.id, request->id);
	q.id = q.bind.id;
	q.depth = q.bind.depth;
	map(&q);
	return q;
}

struct queue queue_make(struct sharq_ctl_create *request)
{
	return make(request, queue_bind_request().path);
}

struct queue queue_new_direct(unsigned int depth)
{
	struct sharq_ctl_create request = queue_request(depth);

	return make(&request, SHARQ_BIND_DIRECT);
}

struct queue queue_new(unsigned int depth)
{
	struct sharq_ctl_create request = queue_request(depth);

	return queue_make(&request);
}

void queue_free(struct queue *q)
{
	ck_assert(!munmap(q->map, q->bind.map_size));
	if (q->bell)
		ck_assert(!munmap((void *)q->bell, PAGE));
	ck_assert(!close(q->fd));
}

/* ---- to use it ---- */

struct sharq_desc *queue_next(struct queue *q)
{
	return &q->sq[q->tail++ & (q->depth - 1)];
}

void queue_put(struct queue *q, const struct sharq_desc *desc)
{
	*queue_next(q) = *desc;
}

void queue_publish(struct queue *q)
{
	store(&q->ring->sq_tail, q->tail);
}

void queue_ring(struct queue *q)
{
	__atomic_store_n(q->bell, q->tail, __ATOMIC_RELEASE);
}

int queue_ioctl_kick(int fd, uint32_t count)
{
	struct sharq_kick kick = { .size = sizeof(kick), .count = count };
	int r = ioctl(fd, SHARQ_KICK, &kick);

	return r < 0 ? -errno : r;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r = poll(&p, 1, PATIENCE_MS);

	ck_assert_msg(r == 1, "poll for %#x: %s", events,
		      r ? strerror(errno) : "nothing in time");
	ck_assert_msg(!(p.revents & ~events), "poll for %#x: %#x", events,
		      p.revents);
}

static void wait_consumed(const struct queue *q)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (load(&q->ring->sq_head) != q->tail)
		ck_assert_msg(now_ms() < end, "the device doesn't take it");
}

void queue_kick(struct queue *q)
{
	uint32_t todo;
	int r;

	queue_publish(q);
	if (q->bell) {
		queue_ring(q);
		wait_consumed(q);
		return;
	}
	while ((todo = q->tail - load(&q->ring->sq_head))) {
		r = queue_ioctl_kick(q->fd, todo);
		ck_assert_msg(r >= 0, "kick: %s", strerror(-r));
		if ((uint32_t)r < todo)
			wait_for(q->fd, POLLOUT);
	}
}

unsigned int queue_completed(const struct queue *q)
{
	return load(&q->ring->cq_tail) - q->head;
}

/* Readable says that there is one; the others follow without further notice
 * while it isn't taken, so their number is asked for in between. */
void queue_wait(struct queue *q, unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	wait_for(q->fd, POLLIN);
	while (queue_completed(q) < n) {
		ck_assert_msg(now_ms() < end, "%u of %u completions",
			      queue_completed(q), n);
		poll(NULL, 0, 1);
	}
}

struct sharq_cqe queue_take(struct queue *q)
{
	struct sharq_cqe cqe = q->cq[q->head & (q->depth - 1)];

	store(&q->ring->cq_head, ++q->head);
	return cqe;
}

struct sharq_cqe queue_run(struct queue *q, const struct sharq_desc *desc)
{
	queue_put(q, desc);
	queue_kick(q);
	queue_wait(q, 1);
	return queue_take(q);
}

short queue_poll(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	ck_assert(poll(&p, 1, 0) >= 0);
	return p.revents;
}

/* ---- commands ---- */

static uint64_t address(const void *p)
{
	return (uintptr_t)p;
}

struct sharq_desc desc_nop(void)
{
	return (struct sharq_desc){ .op = SHARQ_OP_NOP };
}

struct sharq_desc desc_copy(const void *dst, const void *src, uint32_t len)
{
	return (struct sharq_desc){ .op = SHARQ_OP_COPY,
				    .len = len,
				    .src = address(src),
				    .dst = address(dst) };
}

struct sharq_desc desc_fill(const void *dst, uint8_t byte, uint32_t len)
{
	return (struct sharq_desc){ .op = SHARQ_OP_FILL,
				    .param = 1,
				    .len = len,
				    .dst = address(dst),
				    .pattern = byte };
}

struct sharq_desc desc_crc(const void *src, uint32_t len)
{
	return (struct sharq_desc){ .op = SHARQ_OP_CRC32C,
				    .len = len,
				    .src = address(src) };
}

struct sharq_desc desc_compress(const void *dst, uint32_t room, const void *src,
				uint32_t len)
{
	return (struct sharq_desc){ .op = SHARQ_OP_COMPRESS,
				    .level = SHARQ_MAX_LEVEL,
				    .len = len,
				    .dst_len = room,
				    .src = address(src),
				    .dst = address(dst) };
}

/* ---- what the controller sees ---- */

unsigned int queues_alive(void)
{
	struct sharq_ctl_info info = { .size = sizeof(info) };
	int r = broker_ctl(SHARQ_CTL_INFO, &info);

	ck_assert_msg(!r, "INFO: %s", strerror(-r));
	return info.queues;
}

void queues_left(unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	unsigned int alive;

	while ((alive = queues_alive()) > n) {
		ck_assert_msg(now_ms() < end, "%u queues are left, not %u",
			      alive, n);
		poll(NULL, 0, 5);
	}
}

struct sharq_ctl_stats queue_stats(uint64_t id)
{
	struct sharq_ctl_stats stats = { .size = sizeof(stats), .id = id };
	int r = broker_ctl(SHARQ_CTL_STATS, &stats);

	ck_assert_msg(!r, "STATS: %s", strerror(-r));
	return stats;
}

struct sharq_ctl_queue queue_seen(uint64_t id)
{
	struct sharq_ctl_queue seen = { .size = sizeof(seen), .id = id };
	int r = broker_ctl(SHARQ_CTL_QUEUE, &seen);

	ck_assert_msg(!r, "QUEUE: %s", strerror(-r));
	ck_assert_uint_eq(seen.id, id);
	return seen;
}

bool queue_event(struct sharq_ctl_event *e)
{
	int r;

	*e = (struct sharq_ctl_event){ .size = sizeof(*e) };
	r = broker_ctl(SHARQ_CTL_EVENT, e);
	ck_assert_msg(!r || r == -EAGAIN, "EVENT: %s", strerror(-r));
	return !r;
}

void queue_control(uint64_t id, enum sharq_ctl_action action)
{
	struct sharq_ctl_control c = { .size = sizeof(c),
				       .action = action,
				       .id = id };
	int r = broker_ctl(SHARQ_CTL_CONTROL, &c);

	ck_assert_msg(!r, "CONTROL %u: %s", action, strerror(-r));
}

/* ---- io_uring ---- */

struct io_uring_sqe *uring_prep(struct io_uring *ring, int fd, uint32_t count,
				uint32_t flags)
{
	struct sharq_uring_kick kick = { .count = count, .flags = flags };
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	ck_assert(sqe);
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	sqe->cmd_op = SHARQ_URING_KICK;
	memcpy(sqe->cmd, &kick, sizeof(kick));
	return sqe;
}

int uring_result(struct io_uring *ring)
{
	struct __kernel_timespec t = { .tv_sec = PATIENCE_MS / 1000 };
	struct io_uring_cqe *cqe;
	int r = io_uring_wait_cqe_timeout(ring, &cqe, &t);

	ck_assert_msg(!r, "no CQE: %s", strerror(-r));
	r = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return r;
}

int uring_kick(struct io_uring *ring, struct queue *q, uint32_t flags)
{
	int r;

	queue_publish(q);
	uring_prep(ring, q->fd, q->tail - load(&q->ring->sq_head), flags);
	r = io_uring_submit(ring);
	ck_assert_msg(r == 1, "io_uring_enter: %s", strerror(-r));
	return uring_result(ring);
}
