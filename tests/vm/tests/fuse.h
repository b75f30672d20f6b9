/* SPDX-License-Identifier: MIT */
/*
 * A filesystem with one file, "file", whose content never comes: a READ of it
 * is taken and not answered, until the server dies. Served by a process of its own, by hand.
 */
#ifndef FUSE_H
#define FUSE_H

#include <stdint.h>
#include <sys/types.h>

#define FUSE_FILE_SIZE (1024U * 1024)

/*
 * @pid:  the server
 * @path: where it is mounted
 * @read: a byte comes for each READ
 * @file: the file, open
 */
struct fuse {
	pid_t pid;
	char path[64];
	int read;
	int file;
};

struct fuse fuse_new(void);
uint8_t *fuse_map(const struct fuse *f, int flags);
/* Until a READ hangs. */
void fuse_wait_read(const struct fuse *f);
/* Nobody may be hanging in it. */
void fuse_free(struct fuse *f);

#endif /* FUSE_H */
