/* SPDX-License-Identifier: MIT */
/*
 * The closing of what is not proven to be ours. close() takes as long as the
 * descriptor's maker likes if it is the last of it: a TCP socket that lingers, a
 * file whose FUSE server doesn't answer. And a socket's close is that of all
 * descriptors which were sent to it and not received.
 *
 * A thread of its user's own does nothing but close them, one after the other:
 * a user whose closes stand still waits for nobody else, and nobody for them.
 */
#ifndef SHARQD_CLOSER_H
#define SHARQD_CLOSER_H

struct closer;

/* @max: beyond so many, what lingers is cut short. */
struct closer *closer_new(unsigned int max);
/* What isn't closed yet still will be. */
struct closer *closer_free(struct closer *closer);
/* Close it in the thread. */
void closer_close(struct closer *closer, int fd);
/*
 * The same for a unix socket that nobody is to use any more; at once if nothing
 * in it can take long.
 */
void closer_close_socket(struct closer *closer, int sock);
/* How many descriptors aren't closed yet. */
unsigned int closer_count(struct closer *closer);

#endif /* SHARQD_CLOSER_H */
