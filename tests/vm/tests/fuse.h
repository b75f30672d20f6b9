/* SPDX-License-Identifier: MIT */
/*
 * A filesystem with one file of zeros, "file". One kind of request is taken and
 * never answered, until the server dies: READ, so that the content never comes,
 * or WRITE, so that it never goes. Served by a process of its own, by hand.
 */
#ifndef FUSE_H
#define FUSE_H

#include <linux/fuse.h>
#include <stdint.h>
#include <sys/types.h>

#define FUSE_FILE_SIZE (1024U * 1024)

/*
 * @pid:  the server
 * @path: where it is mounted
 * @hung: a byte comes for each request that hangs
 * @file: the file, open
 */
struct fuse {
	pid_t pid;
	char path[64];
	int hung;
	int file;
};

struct fuse fuse_new(enum fuse_opcode hangs);
uint8_t *fuse_map(const struct fuse *f, int flags);
/* Until a request hangs. */
void fuse_wait(const struct fuse *f);
/* Nobody may be hanging in it. */
void fuse_free(struct fuse *f);

#endif /* FUSE_H */
