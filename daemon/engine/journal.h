/* SPDX-License-Identifier: MIT */
/*
 * A queue's journal: what its engine has consumed, has in flight and has
 * completed, in memory that only the daemon and the engine map. An engine that
 * takes over from a dead one trusts this and nothing in the client's memory.
 *
 * Written by the engine alone; sequence numbers are 64 bits and never wrap.
 * Order of stores (release), for a crash between any two of them:
 *   accept:   slot.desc, slot.accepted, slot.done = 0, link_open; then
 *             header.sq_seq
 *   complete: the CQE in the ring, slot.done; then header.cq_seq
 * A slot is in flight when accepted <= sq_seq and not (0 < done <= cq_seq).
 */
#ifndef SHARQ_JOURNAL_H
#define SHARQ_JOURNAL_H

#include <stdint.h>

#include "../../proto/sharq_abi.h"

#define SHARQ_JOURNAL_MAGIC 0x31304a51524853ULL /* "SHRQJ01" */
/* Descriptors remembered as having been executing when an engine died. */
#define SHARQ_JOURNAL_SUSPECTS 16

/* Statistics: written relaxed by the engine, read by the daemon, for people. */
struct sharq_journal_stats {
	uint64_t commands, bytes, faults, refused, failed, resets;
	uint64_t knocks, events;
};

struct sharq_journal_slot {
	struct sharq_desc desc;
	uint64_t accepted;  /* sequence + 1 of the descriptor; 0: never used */
	uint64_t done;	    /* CQ sequence + 1; 0: not completed */
	uint32_t executing; /* number of the worker that is at it, or 0 */
	uint32_t started;   /* non-zero once a worker was at it */
	uint64_t reserved[5];
};

/*
 * @sq_seq, @cq_seq: descriptors accepted, completions published
 * @link_open:  by parity of the sequence: sequence + 1 of the latest descriptor
 *              with LINK. Two, so that accepting one doesn't touch the other
 * @link_done:  (sequence + 1) << 1 | failed: of the last LINK completed
 * @state:      device flags that outlive an engine (SHARQ_DEVICE_*)
 * @engines:    how many engines have taken this queue
 * @suspects:   descriptors that were executing at the latest crash that
 *              touched this queue, user_data cleared
 */
struct sharq_journal {
	uint64_t magic;
	uint32_t depth;
	uint32_t state;
	uint64_t sq_seq;
	uint64_t cq_seq;
	uint64_t link_open[2];
	uint64_t link_done;
	uint32_t engines;
	uint32_t suspect_count;
	struct sharq_journal_stats stats __attribute__((aligned(64)));
	struct sharq_desc suspects[SHARQ_JOURNAL_SUSPECTS]
		__attribute__((aligned(64)));
	struct sharq_journal_slot slots[] __attribute__((aligned(64)));
};

_Static_assert(sizeof(struct sharq_journal_slot) == 128, "journal slot");

static inline uint64_t sharq_journal_size(uint32_t depth)
{
	return sizeof(struct sharq_journal) +
	       (uint64_t)depth * sizeof(struct sharq_journal_slot);
}

#endif /* SHARQ_JOURNAL_H */
