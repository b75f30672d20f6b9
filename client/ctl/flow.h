/* SPDX-License-Identifier: MIT */
/*
 * A flow: pieces of data on their way through a queue, many in flight, taken
 * out in the order in which they were put in. One thread.
 */
#ifndef SHARQ_CTL_FLOW_H
#define SHARQ_CTL_FLOW_H

#include "ctl.h"
#include "sharq.h"

#define FLOW_PIECE (1U << 20)
#define FLOW_MAX_SLOTS 64U

struct flow;

/*
 * struct flow_slot - one piece
 * @buf: the flow's buffers, in memory that the device reaches
 * @desc: the command; its user_data is the flow's
 * @cqe:  its completion, once flow_take() gave the slot
 * @tag, @plain: the user's
 */
struct flow_slot {
	uint8_t *buf[2];
	struct sharq_desc desc;
	struct sharq_cqe cqe;
	uint64_t tag;
	uint32_t plain;
	bool done;
	unsigned int tries;
};

/*
 * struct flow_opts - as on the command line
 * @path:  enum sharq_path
 * @depth: pieces in flight, if there is memory for them
 * @ops:   operations wanted
 * @size:  of a slot's two buffers
 */
struct flow_opts {
	const char *socket;
	uint32_t path;
	uint32_t depth;
	uint32_t ops;
	size_t size[2];
};

int flow_new(struct flow **flow, const struct flow_opts *opts,
	     struct failure *f);
struct flow *flow_free(struct flow *flow);

/* Longest len and dst_len of a command. */
uint32_t flow_max_transfer(const struct flow *flow);

/* The slot to put the next piece in, NULL while all are in flight. */
struct flow_slot *flow_next(struct flow *flow);

/* Hand over the slot that flow_next() gave, its desc filled in. */
int flow_put(struct flow *flow, struct failure *f);

/*
 * flow_take - the oldest piece, when it is complete
 * @slot: set to NULL when nothing is in flight, or without @wait when the
 *        oldest isn't complete yet. Good until flow_drop()
 */
int flow_take(struct flow *flow, bool wait, struct flow_slot **slot,
	      struct failure *f);
/* The piece that flow_take() gave is done with. */
void flow_drop(struct flow *flow);

/* Is any piece in flight, or complete but not dropped? */
bool flow_busy(const struct flow *flow);

/* Commands handed over so far, and the path that they took. */
uint64_t flow_commands(const struct flow *flow);
const char *flow_path(const struct flow *flow);

/* A completion that isn't OK, in words: "@name: ...". Return: -errno. */
int flow_status(const char *name, const struct flow_slot *slot,
		struct failure *f);

#endif /* SHARQ_CTL_FLOW_H */
