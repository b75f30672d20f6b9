// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

/* A piece whose engine died under it is whole still, and is tried again. */
#define MAX_TRIES 3

/*
 * @head, @tail: slots in flight: slot[head % n] is the oldest
 * @unsent:      prepared, not yet accepted
 */
struct flow {
	struct sharq *s;
	struct sharq_queue *q;
	struct sharq_queue_info info;
	struct flow_slot slot[FLOW_MAX_SLOTS];
	unsigned int n;
	uint64_t head;
	uint64_t tail;
	unsigned int unsent;
	uint64_t commands;
};

static int library_error(struct flow *flow, int err, const char *what,
			 struct failure *f)
{
	char text[512];

	sharq_error(flow->s, text, sizeof(text));
	return fail(f, err, "%s: %s", what, *text ? text : strerror(-err));
}

static int open_queue(struct flow *flow, const struct flow_opts *opts,
		      struct failure *f)
{
	struct sharq_queue_opts q = { .ops = opts->ops,
				      .path = opts->path,
				      .depth = opts->depth };
	int err;

	err = opts->path == SHARQ_PATH_INLINE
		      ? sharq_connect_none(&flow->s)
		      : sharq_connect(&flow->s, opts->socket);
	if (err)
		return ctl_connect_fail(f, err, opts->socket);
	err = sharq_queue_open(flow->s, &q, &flow->q);
	if (err)
		return library_error(flow, err, "opening a queue", f);
	sharq_queue_info(flow->q, &flow->info);
	return 0;
}

static bool add_slot(struct flow *flow, const struct flow_opts *opts)
{
	struct flow_slot *s = &flow->slot[flow->n];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		if (!opts->size[i])
			continue;
		s->buf[i] = sharq_alloc(flow->s, opts->size[i]);
		if (!s->buf[i]) {
			sharq_free(flow->s, s->buf[0]);
			s->buf[0] = NULL;
			return false;
		}
	}
	flow->n++;
	return true;
}

int flow_new(struct flow **out, const struct flow_opts *opts, struct failure *f)
{
	unsigned int want = opts->depth < FLOW_MAX_SLOTS ? opts->depth
							 : FLOW_MAX_SLOTS;
	struct flow *flow;
	int err;

	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return fail(f, -ENOMEM, "out of memory");
	err = open_queue(flow, opts, f);
	while (!err && flow->n < want && add_slot(flow, opts))
		;
	/* With fewer than wanted it is only slower. */
	if (!err && !flow->n)
		err = library_error(flow, -ENOMEM, "getting shared memory", f);
	if (err) {
		flow_free(flow);
		return err;
	}
	*out = flow;
	return 0;
}

struct flow *flow_free(struct flow *flow)
{
	unsigned int i;

	if (flow) {
		/* The queue first: until then the device may use the memory. */
		sharq_queue_close(flow->q);
		for (i = 0; i < flow->n; i++) {
			sharq_free(flow->s, flow->slot[i].buf[0]);
			sharq_free(flow->s, flow->slot[i].buf[1]);
		}
		sharq_disconnect(flow->s);
		free(flow);
	}
	return NULL;
}

uint32_t flow_max_transfer(const struct flow *flow)
{
	return flow->info.max_transfer;
}

bool flow_busy(const struct flow *flow)
{
	return flow->head != flow->tail;
}

uint64_t flow_commands(const struct flow *flow)
{
	return flow->commands;
}

const char *flow_path(const struct flow *flow)
{
	return sharq_path_name(flow->info.path);
}

struct flow_slot *flow_next(struct flow *flow)
{
	struct flow_slot *s = &flow->slot[flow->tail % flow->n];

	if (flow->tail - flow->head == flow->n)
		return NULL;
	memset(&s->desc, 0, sizeof(s->desc));
	s->tag = 0;
	s->tries = 0;
	return s;
}

static int submit(struct flow *flow, struct failure *f)
{
	int n = sharq_submit(flow->q);

	if (n < 0)
		return library_error(flow, n, "submitting", f);
	flow->unsent -= n;
	return 0;
}

static int send_slot(struct flow *flow, struct flow_slot *s, struct failure *f)
{
	struct sharq_sqe *sqe = sharq_get_sqe(flow->q);

	/* Never more slots than the queue is deep. */
	if (!sqe)
		return library_error(flow, -EIO, "getting an entry", f);
	s->done = false;
	s->tries++;
	s->desc.user_data = s - flow->slot;
	sharq_prep_raw(sqe, &s->desc);
	flow->unsent++;
	flow->commands++;
	return submit(flow, f);
}

int flow_put(struct flow *flow, struct failure *f)
{
	struct flow_slot *s = &flow->slot[flow->tail % flow->n];

	flow->tail++;
	return send_slot(flow, s, f);
}

/* Take completions until there are none; with @wait wait for the first. */
static int reap(struct flow *flow, bool wait, struct failure *f)
{
	const struct sharq_cqe *cqe;
	struct flow_slot *s;
	int err;

	if (flow->unsent) {
		err = submit(flow, f);
		if (err)
			return err;
	}
	for (;; wait = false) {
		err = wait ? sharq_wait_cqe(flow->q, &cqe, 1000)
			   : sharq_peek_cqe(flow->q, &cqe);
		if (ctl_stop)
			return fail(f, -EINTR, "interrupted");
		if (err == -EAGAIN || err == -ETIME || err == -EINTR)
			return 0;
		if (err)
			return library_error(flow, err, "waiting", f);
		s = &flow->slot[cqe->user_data % flow->n];
		s->cqe = *cqe;
		sharq_cqe_seen(flow->q, cqe);
		if (s->cqe.status == SHARQ_RESET && s->tries < MAX_TRIES) {
			err = send_slot(flow, s, f);
			if (err)
				return err;
		} else {
			s->done = true;
		}
	}
}

int flow_take(struct flow *flow, bool wait, struct flow_slot **slot,
	      struct failure *f)
{
	struct flow_slot *s = &flow->slot[flow->head % flow->n];
	int err;

	*slot = NULL;
	if (flow->head == flow->tail)
		return 0;
	do {
		err = s->done ? 0 : reap(flow, wait, f);
		if (err)
			return err;
	} while (wait && !s->done);
	if (s->done)
		*slot = s;
	return 0;
}

void flow_drop(struct flow *flow)
{
	flow->head++;
}

int flow_status(const char *name, const struct flow_slot *slot,
		struct failure *f)
{
	const struct sharq_cqe *c = &slot->cqe;
	const char *op = sharq_op_name(slot->desc.op);

	if (c->status == SHARQ_BAD_DESCRIPTOR || c->status == SHARQ_UNSUPPORTED)
		return fail(f, -EIO,
			    "%s: the device refused %s: %s in field "
			    "%s",
			    name, op, sharq_status_name(c->status),
			    sharq_field_name(c->consumed));
	if (c->status == SHARQ_RESET || c->status == SHARQ_CANCELED)
		return fail(f, -EIO,
			    "%s: %s was not done: the queue was "
			    "killed or its engine died (%s)",
			    name, op, sharq_status_name(c->status));
	return fail(f, -EIO, "%s: %s failed: %s", name, op,
		    sharq_status_name(c->status));
}
