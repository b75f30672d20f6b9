// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"

#define NAME_TRIES 100

/*
 * @target:  what will be replaced: symbolic links are followed, so that a link
 *           stays one and its file is replaced
 * @tmp:     temporary name, or "" while it has none
 * @replace: written aside and put in place at the end
 * @old:     of the file that is replaced, if @exists
 */
struct output {
	int fd;
	const char *name;
	char target[PATH_MAX];
	char dir[PATH_MAX];
	char tmp[PATH_MAX];
	mode_t mode;
	struct stat old;
	bool exists;
	bool replace;
	uint64_t bytes;
};

int input_open(struct input *in, const char *name, size_t window,
	       struct failure *f)
{
	struct stat st;
	int err;

	memset(in, 0, sizeof(*in));
	in->name = strcmp(name, "-") ? name : "standard input";
	in->fd = in->name == name ? open(name, O_RDONLY | O_CLOEXEC)
				  : STDIN_FILENO;
	if (in->fd < 0 || fstat(in->fd, &st)) {
		err = -errno;
		input_close(in);
		return fail(f, err, "%s: %s", in->name, strerror(-err));
	}
	if (S_ISDIR(st.st_mode)) {
		input_close(in);
		return fail(f, -EISDIR, "%s: is a directory, expected a file",
			    in->name);
	}
	/* A size of 0 may be one of those files of /proc that have more. */
	in->size = S_ISREG(st.st_mode) && st.st_size ? st.st_size : -1;
	in->mode = S_ISREG(st.st_mode) ? st.st_mode & 0777 : 0666;
	posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	/* Several windows, so that seeing rarely moves what was seen. */
	in->room = 4 * window;
	if (window) {
		in->buf = malloc(in->room);
		if (!in->buf) {
			input_close(in);
			return fail(f, -ENOMEM, "out of memory");
		}
	}
	return 0;
}

void input_close(struct input *in)
{
	if (in->fd > STDIN_FILENO)
		close(in->fd);
	in->fd = -1;
	free(in->buf);
	in->buf = NULL;
}

static int read_fully(struct input *in, uint8_t *data, size_t len, size_t *got,
		      struct failure *f)
{
	ssize_t n;

	for (*got = 0; *got < len; *got += n) {
		if (ctl_stop)
			return fail(f, -EINTR, "interrupted");
		n = read(in->fd, data + *got, len - *got);
		if (!n) {
			in->eof = true;
			break;
		}
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return fail(f, -errno,
				    "%s: reading at byte %" PRIu64 ": %s",
				    in->name, in->offset + *got,
				    strerror(errno));
	}
	return 0;
}

int input_read(struct input *in, void *data, size_t len, size_t *got,
	       struct failure *f)
{
	size_t have = in->end - in->start;
	int err = 0;

	if (have > len)
		have = len;
	if (have)
		memcpy(data, in->buf + in->start, have);
	in->start += have;
	in->offset += have;
	*got = 0;
	if (len > have && !in->eof)
		err = read_fully(in, (uint8_t *)data + have, len - have, got,
				 f);
	in->offset += *got;
	*got += have;
	return err;
}

int input_peek(struct input *in, size_t len, const uint8_t **data, size_t *got,
	       struct failure *f)
{
	size_t have = in->end - in->start, n = 0;
	int err = 0;

	if (have < len && !in->eof) {
		if (in->start + len > in->room) {
			memmove(in->buf, in->buf + in->start, have);
			in->start = 0;
			in->end = have;
		}
		err = read_fully(in, in->buf + in->end, len - have, &n, f);
		in->end += n;
	}
	*data = in->buf + in->start;
	*got = in->end - in->start < len ? in->end - in->start : len;
	return err;
}

void input_skip(struct input *in, size_t len)
{
	in->start += len;
	in->offset += len;
}

/* A name for a while beside the target. */
static void temporary_name(struct output *o)
{
	uint64_t r = 0;

	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) < 0)
		r = (uintptr_t)o ^ getpid();
	if (snprintf(o->tmp, sizeof(o->tmp), "%s/.sharq-%016" PRIx64, o->dir,
		     r) >= (int)sizeof(o->tmp))
		o->tmp[0] = '\0';
}

/* Without a name if the filesystem can: then even SIGKILL leaves nothing. */
static int open_temporary(struct output *o)
{
	int i;

	o->fd = open(o->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (o->fd >= 0 ||
	    (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return o->fd < 0 ? -errno : 0;
	for (i = 0; i < NAME_TRIES; i++) {
		temporary_name(o);
		o->fd = open(o->tmp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC,
			     0600);
		if (o->fd >= 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	o->tmp[0] = '\0';
	return -errno;
}

static int locate(struct output *o, struct failure *f)
{
	char copy[PATH_MAX];
	size_t len = strlen(o->name);
	int err;

	if (!len || len >= sizeof(o->target))
		return fail(f, -ENAMETOOLONG, "output '%s': the name is %s",
			    o->name, len ? "too long" : "empty");
	o->exists = !stat(o->name, &o->old);
	if (!o->exists && errno != ENOENT)
		return fail(f, -errno, "%s: %s", o->name, strerror(errno));
	if ((o->exists && S_ISDIR(o->old.st_mode)) || o->name[len - 1] == '/')
		return fail(f, -EISDIR,
			    "%s: is a directory, expected a file's "
			    "name",
			    o->name);
	if (o->exists && !S_ISREG(o->old.st_mode)) {
		o->fd = open(o->name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (o->fd < 0)
			return fail(f, -errno, "%s: %s", o->name,
				    strerror(errno));
		return 0;
	}
	if (!o->exists)
		strcpy(o->target, o->name);
	else if (!realpath(o->name, o->target))
		return fail(f, -errno, "%s: %s", o->name, strerror(errno));
	/* A file that may not be written isn't to be replaced either. */
	if (o->exists && access(o->target, W_OK))
		return fail(f, -errno, "%s: %s", o->name, strerror(errno));
	strcpy(copy, o->target);
	strcpy(o->dir, dirname(copy));
	o->replace = true;
	err = open_temporary(o);
	if (err)
		return fail(f, err, "%s: making a temporary file in %s: %s",
			    o->name, o->dir, strerror(-err));
	return 0;
}

int output_open(struct output **out, const char *name, mode_t mode,
		struct failure *f)
{
	struct output *o;
	mode_t mask;
	int err = 0;

	o = calloc(1, sizeof(*o));
	if (!o)
		return fail(f, -ENOMEM, "out of memory");
	mask = umask(0);
	umask(mask);
	o->mode = mode & ~mask;
	o->fd = -1;
	o->name = name;
	if (strcmp(name, "-")) {
		err = locate(o, f);
	} else {
		o->name = "standard output";
		o->fd = STDOUT_FILENO;
	}
	if (err) {
		output_free(o);
		return err;
	}
	*out = o;
	return 0;
}

int output_write(struct output *o, const void *data, size_t len,
		 struct failure *f)
{
	const uint8_t *p = data;
	ssize_t n;

	while (len) {
		if (ctl_stop)
			return fail(f, -EINTR, "interrupted");
		n = write(o->fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(f, -errno,
				    "%s: writing at byte %" PRIu64 ": %s",
				    o->name, o->bytes, strerror(errno));
		p += n;
		len -= n;
		o->bytes += n;
	}
	return 0;
}

static int give_name(struct output *o)
{
	char self[64];
	int i;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	for (i = 0; i < NAME_TRIES; i++) {
		temporary_name(o);
		if (!linkat(AT_FDCWD, self, AT_FDCWD, o->tmp,
			    AT_SYMLINK_FOLLOW))
			return 0;
		if (errno != EEXIST)
			break;
	}
	o->tmp[0] = '\0';
	return -errno;
}

/* The rename itself is on the disk only when its directory is. */
static void sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/*
 * It fails for those who may not give files away, which is no reason to fail; but
 * another group than it was shall not read it.
 */
static void hand_owner_on(struct output *o)
{
	if (fchown(o->fd, o->old.st_uid, o->old.st_gid) &&
	    fchown(o->fd, -1, o->old.st_gid))
		o->old.st_mode &= ~(mode_t)S_IRWXG;
}

static int put_in_place(struct output *o)
{
	int err;

	/* The owner first: chown takes permissions away. */
	if (o->exists)
		hand_owner_on(o);
	if (fchmod(o->fd, o->exists ? o->old.st_mode & 0777 : o->mode) ||
	    fsync(o->fd))
		return -errno;
	err = o->tmp[0] ? 0 : give_name(o);
	if (err)
		return err;
	if (rename(o->tmp, o->target))
		return -errno;
	o->tmp[0] = '\0';
	sync_dir(o->dir);
	return 0;
}

int output_commit(struct output *o, struct failure *f)
{
	int err = 0;

	if (ctl_stop)
		return fail(f, -EINTR, "interrupted");
	if (o->replace)
		err = put_in_place(o);
	else if (o->fd != STDOUT_FILENO && close(o->fd))
		err = -errno;
	if (!o->replace)
		o->fd = -1;
	return err ? fail(f, err, "%s: completing it: %s", o->name,
			  strerror(-err))
		   : 0;
}

struct output *output_free(struct output *o)
{
	if (o) {
		if (o->tmp[0])
			unlink(o->tmp);
		if (o->fd > STDOUT_FILENO)
			close(o->fd);
		free(o);
	}
	return NULL;
}

uint64_t output_bytes(const struct output *o)
{
	return o->bytes;
}
