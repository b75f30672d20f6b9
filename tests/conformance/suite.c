/* SPDX-License-Identifier: MIT */
#include "suite.h"

#include <errno.h>
#include <string.h>

#define DEVICES 16

uint32_t suite_device_id;
static uint32_t suite_ops = SHARQ_OPS_ALL;

static void find_device(struct sharq *s)
{
	struct sharq_device list[DEVICES];
	int n = sharq_devices(s, list, DEVICES);

	for (int i = 0; i < n && i < DEVICES; i++) {
		if (strncmp(list[i].name, suite.device, strlen(suite.device)))
			continue;
		suite_device_id = list[i].id;
		suite_ops = list[i].ops;
		return;
	}
	EXPECT(false, "no device's name begins with %s", suite.device);
}

bool suite_has(unsigned int op)
{
	return suite_ops & SHARQ_OP_BIT(op);
}

bool suite_has_all(void)
{
	return suite_ops == SHARQ_OPS_ALL;
}

struct sharq *suite_connect(void)
{
	char text[512];
	struct sharq *s;
	int r;

	r = suite.path == SHARQ_PATH_INLINE ? sharq_connect_none(&s)
					    : sharq_connect(&s, suite.socket);
	EXPECT(!r, "%s",
	       sharq_connect_strerror(r, suite.socket, text, sizeof(text)));
	if (suite.device)
		find_device(s);
	return s;
}

struct sharq_queue *suite_open(struct sharq *s, unsigned int depth,
			       unsigned int flags)
{
	const struct sharq_queue_opts opts = { .device = suite_device_id,
					       .path = suite.path,
					       .depth = depth,
					       .flags = flags };
	struct sharq_queue *q;
	char text[512];
	int r = sharq_queue_open(s, &opts, &q);

	EXPECT(!r, "sharq_queue_open: %s: %s", strerror(-r),
	       sharq_error(s, text, sizeof(text)));
	return q;
}

void session_open(struct session *c, unsigned int depth, unsigned int flags)
{
	c->s = suite_connect();
	c->q = suite_open(c->s, depth, flags);
	EXPECT_EQ(sharq_queue_info(c->q, &c->info), 0, "sharq_queue_info");
}

bool session_is_on(const struct session *c, const char *name)
{
	struct sharq_device list[DEVICES];
	int n = sharq_devices(c->s, list, DEVICES);

	for (int i = 0; i < n && i < DEVICES; i++)
		if (list[i].id == c->info.device)
			return !strncmp(list[i].name, name, strlen(name));
	return false;
}

void session_close(struct session *c)
{
	c->q = sharq_queue_close(c->q);
	c->s = sharq_disconnect(c->s);
	EXPECT(!c->q && !c->s, "close and disconnect don't return NULL");
}

struct sharq_sqe *sqe_get(struct sharq_queue *q)
{
	struct sharq_sqe *sqe = sharq_get_sqe(q);

	EXPECT(sqe, "sharq_get_sqe gave no entry with %u outstanding",
	       sharq_queue_outstanding(q));
	return sqe;
}

void submit_all(struct sharq_queue *q, unsigned int n)
{
	while (n) {
		int r = sharq_submit(q);

		EXPECT(r > 0, "sharq_submit returned %d with %u to go", r, n);
		EXPECT((unsigned int)r <= n, "sharq_submit took %d of %u", r,
		       n);
		n -= (unsigned int)r;
	}
}

struct sharq_cqe cqe_take(struct sharq_queue *q)
{
	const struct sharq_cqe *cqe;
	struct sharq_cqe copy;
	int r;

	do
		r = sharq_wait_cqe(q, &cqe, WAIT_MS);
	while (r == -EINTR);
	EXPECT(!r, "sharq_wait_cqe: %s", strerror(-r));
	copy = *cqe;
	sharq_cqe_seen(q, cqe);
	return copy;
}

struct sharq_cqe run_one(struct sharq_queue *q)
{
	submit_all(q, 1);
	return cqe_take(q);
}

struct sharq_cqe run_desc(struct sharq_queue *q, const struct sharq_desc *d)
{
	sharq_prep_raw(sqe_get(q), d);
	return run_one(q);
}

void expect_status(const struct sharq_cqe *cqe, unsigned int status,
		   const char *what)
{
	EXPECT(cqe->status == status,
	       "%s: status %s, expected %s (consumed %u, produced %u, "
	       "flags %#x, addr %#llx)",
	       what, sharq_status_name(cqe->status), sharq_status_name(status),
	       cqe->consumed, cqe->produced, cqe->flags,
	       (unsigned long long)cqe->addr);
	EXPECT_EQ(cqe->flags & ~SHARQ_CQE_ADDR_VALID, 0, "unknown CQE flags");
	EXPECT(cqe->flags || !cqe->addr, "%s: an address without ADDR_VALID",
	       what);
}
