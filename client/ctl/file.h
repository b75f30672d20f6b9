/* SPDX-License-Identifier: MIT */
/* Files that `run` reads and writes. "-" is standard input or output. */
#ifndef SHARQ_CTL_FILE_H
#define SHARQ_CTL_FILE_H

#include <sys/types.h>

#include "ctl.h"

/*
 * struct input - a file that is read from its beginning to its end
 * @size:   -1 when it can't be known beforehand (pipes, devices)
 * @mode:   permission bits for a copy of it
 * @offset: bytes handed out
 * @buf, @start, @end, @room: bytes that were looked at but not taken
 * @eof:    a read found the end; a terminal isn't asked again
 */
struct input {
	int fd;
	const char *name;
	int64_t size;
	mode_t mode;
	uint64_t offset;
	uint8_t *buf;
	size_t start;
	size_t end;
	size_t room;
	bool eof;
};

/* @window: how far input_peek() will have to see, 0 if it isn't used */
int input_open(struct input *in, const char *name, size_t window,
	       struct failure *f);
void input_close(struct input *in);

/* Read @len bytes, fewer only at the end. Return: 0 or -errno; *got is set. */
int input_read(struct input *in, void *data, size_t len, size_t *got,
	       struct failure *f);

/* See up to @len bytes (at most the window) without taking them; fewer only at
 * the end. *data is good until the next call. */
int input_peek(struct input *in, size_t len, const uint8_t **data, size_t *got,
	       struct failure *f);
/* Take @len of the bytes that were seen. */
void input_skip(struct input *in, size_t len);

/*
 * struct output - a file that appears, or is replaced, only when complete
 *
 * A regular file is written without a name (or under a temporary one where
 * the filesystem can't) and gets its name in output_commit(). Devices, pipes
 * and "-" are written as they are.
 */
struct output;

/* @mode: permissions of a new file, before the umask; one that is replaced
 * hands its own on */
int output_open(struct output **o, const char *name, mode_t mode,
		struct failure *f);
int output_write(struct output *o, const void *data, size_t len,
		 struct failure *f);
/* Put it in place, on the disk. */
int output_commit(struct output *o, struct failure *f);
/* Without a commit before it nothing remains. NULL is fine. Return: NULL. */
struct output *output_free(struct output *o);
uint64_t output_bytes(const struct output *o);

#endif /* SHARQ_CTL_FILE_H */
