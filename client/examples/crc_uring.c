// SPDX-License-Identifier: MIT
/*
 * Copy a file and print each block's offset and CRC-32C: read, checksum on a
 * shadow queue, write, all in one io_uring loop. The kick is one of its entries,
 * and so is the wait for the device.
 * Usage: crc_uring FROM TO
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <poll.h>
#include <sharq.h>
#include <sharq_uring.h>
#include <stdio.h>
#include <string.h>

#define BLOCKS 16
#define BLOCK_LEN 65536

enum event {
	READ,
	KICK,
	DEVICE,
	WRITE
};

struct block {
	char *data;
	uint64_t at;
	unsigned int len;
};

struct copy {
	struct io_uring ring;
	struct sharq *s;
	struct sharq_queue *q;
	int from, to;
	uint64_t next;
	struct block blocks[BLOCKS];
	unsigned int busy, prepared;
	bool polling;
};

static struct io_uring_sqe *entry(struct copy *c, enum event event,
				  unsigned int block)
{
	/* There is room: at most one for each block, a kick and a poll. */
	struct io_uring_sqe *sqe = io_uring_get_sqe(&c->ring);

	io_uring_sqe_set_data64(sqe, block << 8 | event);
	return sqe;
}

static void start_read(struct copy *c, unsigned int i)
{
	struct block *b = &c->blocks[i];

	b->at = c->next;
	c->next += BLOCK_LEN;
	io_uring_prep_read(entry(c, READ, i), c->from, b->data, BLOCK_LEN,
			   b->at);
	c->busy++;
}

static int was_read(struct copy *c, unsigned int i, int res)
{
	struct block *b = &c->blocks[i];
	struct sharq_sqe *sqe;

	if (res <= 0) {
		c->busy--;
		return res;
	}
	b->len = res;
	sqe = sharq_get_sqe(c->q);
	sharq_prep_crc32c(sqe, b->data, b->len, 0);
	sharq_sqe_set_data64(sqe, i);
	c->prepared++;
	return 0;
}

static int was_written(struct copy *c, unsigned int i, int res)
{
	c->busy--;
	if (res != (int)c->blocks[i].len)
		return res < 0 ? res : -EIO;
	/* Only the last block is short. */
	if (res == BLOCK_LEN)
		start_read(c, i);
	return 0;
}

/* Checksummed: print and write. */
static int take_completions(struct copy *c)
{
	const struct sharq_cqe *cqe;

	while (!sharq_peek_cqe(c->q, &cqe)) {
		unsigned int i = cqe->user_data;
		struct block *b = &c->blocks[i];

		if (cqe->status != SHARQ_OK) {
			fprintf(stderr, "block at %" PRIu64 ": %s\n", b->at,
				sharq_status_name(cqe->status));
			return -EIO;
		}
		printf("%" PRIu64 " %08x\n", b->at, cqe->crc);
		io_uring_prep_write(entry(c, WRITE, i), c->to, b->data, b->len,
				    b->at);
		sharq_cqe_seen(c->q, cqe);
	}
	return 0;
}

static int handle(struct copy *c, uint64_t data, int res)
{
	switch ((enum event)(data & 0xff)) {
	case READ:
		return was_read(c, data >> 8, res);
	case WRITE:
		return was_written(c, data >> 8, res);
	case KICK:
		res = sharq_kicked(c->q, res);
		return res == -EAGAIN ? 0 : res;
	default:
		c->polling = false;
		return res < 0 ? res : 0;
	}
}

static int handle_all(struct copy *c)
{
	struct io_uring_cqe *cqe;
	int rc = 0;

	while (!rc && !io_uring_peek_cqe(&c->ring, &cqe)) {
		uint64_t data = io_uring_cqe_get_data64(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&c->ring, cqe);
		rc = handle(c, data, res);
	}
	return rc ? rc : take_completions(c);
}

static int copy(struct copy *c)
{
	int rc = 0;

	for (unsigned int i = 0; i < BLOCKS; i++)
		start_read(c, i);
	while (c->busy && !rc) {
		if (c->prepared) {
			rc = sharq_prep_kick(c->q, entry(c, KICK, 0));
			c->prepared = 0;
		}
		if (sharq_queue_outstanding(c->q) && !c->polling) {
			io_uring_prep_poll_add(entry(c, DEVICE, 0),
					       sharq_queue_fd(c->q), POLLIN);
			c->polling = true;
		}
		if (rc >= 0)
			rc = io_uring_submit_and_wait(&c->ring, 1);
		if (rc >= 0 || rc == -EINTR)
			rc = handle_all(c);
	}
	return rc;
}

static int fail(struct copy *c, const char *what, int rc)
{
	char why[256];

	fprintf(stderr, "crc_uring: %s: %s\n", what,
		c->s ? sharq_error(c->s, why, sizeof(why)) : strerror(-rc));
	return 1;
}

int main(int argc, char **argv)
{
	const struct sharq_queue_opts opts = { .path = SHARQ_PATH_SHADOW,
					       .depth = BLOCKS };
	static char data[BLOCKS][BLOCK_LEN];
	struct copy c = { .from = -1, .to = -1 };
	int rc;

	if (argc == 3) {
		c.from = open(argv[1], O_RDONLY);
		c.to = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666);
	}
	if (c.from < 0 || c.to < 0)
		return fail(&c, "FROM TO", argc == 3 ? -errno : -EINVAL);
	rc = io_uring_queue_init(2 * BLOCKS + 2, &c.ring, 0);
	if (rc)
		return fail(&c, "io_uring", rc);
	rc = sharq_connect(&c.s, NULL);
	if (rc)
		return fail(&c, "sharqd", rc);
	if (sharq_queue_open(c.s, &opts, &c.q))
		return fail(&c, "queue", 0);
	for (unsigned int i = 0; i < BLOCKS; i++)
		c.blocks[i].data = data[i];
	rc = copy(&c);
	if (rc)
		fprintf(stderr, "crc_uring: %s\n", strerror(-rc));
	sharq_queue_close(c.q);
	sharq_disconnect(c.s);
	io_uring_queue_exit(&c.ring);
	return rc != 0;
}
