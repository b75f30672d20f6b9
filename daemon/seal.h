/* SPDX-License-Identifier: MIT */
/*
 * What sharqd leaves with an engine about its sessions and queues is sealed: an
 * engine that is in the hands of its user can't claim another user's ids from the
 * next sharqd. The key outlives the daemon in a file that only root can read. Pure.
 */
#ifndef SHARQD_SEAL_H
#define SHARQD_SEAL_H

#include <stddef.h>
#include <stdint.h>

struct seal_key {
	uint64_t word[2];
};

enum seal_kind {
	SEAL_SESSION = 1,
	SEAL_QUEUE
};

/* SipHash-2-4: no library that sharqd links has a keyed hash. */
uint64_t seal_hash(const struct seal_key *key, const void *data, size_t len);
/* The seal of @id as a session's or queue's of @uid. */
uint64_t seal_id(const struct seal_key *key, enum seal_kind kind, uint32_t uid,
		 uint64_t id);

#endif /* SHARQD_SEAL_H */
