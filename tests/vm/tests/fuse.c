// SPDX-License-Identifier: MIT
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define FILE_NODE 2
/* More than max_write, and than FUSE's smallest. */
#define REQUEST_SIZE (256 * KIB)

struct server {
	int channel;
	int hung;
	enum fuse_opcode hangs;
	char request[REQUEST_SIZE];
};

static void reply(const struct server *s, const void *body, size_t size,
		  int error)
{
	const struct fuse_in_header *in = (const void *)s->request;
	struct fuse_out_header out = { .len = (uint32_t)(sizeof(out) + size),
				       .error = error,
				       .unique = in->unique };
	struct iovec iov[2] = { { &out, sizeof(out) }, { (void *)body, size } };

	CHILD_EXPECT(writev(s->channel, iov, 2) == (ssize_t)out.len);
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node,
		.size = node == FILE_NODE ? FUSE_FILE_SIZE : 0,
		.mode = node == FILE_NODE ? S_IFREG | 0600 : S_IFDIR | 0700,
		.nlink = 1,
		.uid = getuid(),
		.gid = getgid(),
		.blksize = PAGE,
	};
}

/* Asynchronous reads: who faults waits for the page, killably. */
static void answer_init(const struct server *s)
{
	const struct fuse_init_in *in =
		(const void *)(s->request + sizeof(struct fuse_in_header));
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in->max_readahead,
		.flags = in->flags & FUSE_ASYNC_READ,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = PAGE,
	};

	reply(s, &out, sizeof(out), 0);
}

static void answer_lookup(const struct server *s)
{
	struct fuse_entry_out out = { .nodeid = FILE_NODE,
				      .entry_valid = 3600,
				      .attr_valid = 3600,
				      .attr = attributes(FILE_NODE) };

	reply(s, &out, sizeof(out), 0);
}

static void answer_getattr(const struct server *s, uint64_t node)
{
	struct fuse_attr_out out = { .attr_valid = 3600,
				     .attr = attributes(node) };

	reply(s, &out, sizeof(out), 0);
}

static void answer_read(const struct server *s)
{
	const struct fuse_read_in *in =
		(const void *)(s->request + sizeof(struct fuse_in_header));
	static const char zeros[FUSE_FILE_SIZE];

	reply(s, zeros, in->size, 0);
}

static void answer(const struct server *s)
{
	const struct fuse_in_header *in = (const void *)s->request;
	struct fuse_open_out opened = { .fh = 1 };

	if (in->opcode == s->hangs) {
		CHILD_EXPECT(write(s->hung, "", 1) == 1);
		return;
	}
	switch (in->opcode) {
	case FUSE_INIT:
		return answer_init(s);
	case FUSE_LOOKUP:
		return answer_lookup(s);
	case FUSE_GETATTR:
		return answer_getattr(s, in->nodeid);
	case FUSE_OPEN:
		return reply(s, &opened, sizeof(opened), 0);
	case FUSE_READ:
		return answer_read(s);
	case FUSE_INTERRUPT:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
		return reply(s, NULL, 0, 0);
	default:
		return reply(s, NULL, 0, -ENOSYS);
	}
}

static void serve(struct server *s)
{
	for (;;) {
		ssize_t n = read(s->channel, s->request, REQUEST_SIZE);

		if (n < 0 && (errno == EINTR || errno == ENOENT))
			continue;
		CHILD_EXPECT(n > 0);
		answer(s);
	}
}

struct fuse fuse_new(enum fuse_opcode hangs)
{
	static struct server s;
	struct fuse f;
	char name[96];
	int fds[2];

	snprintf(f.path, sizeof(f.path), "/tmp/sharq-fuse-%d", getpid());
	s.channel = broker_mount_fuse(f.path);
	ck_assert_msg(s.channel >= 0, "no FUSE: %s", strerror(-s.channel));
	ck_assert(!pipe2(fds, O_CLOEXEC));
	s.hung = fds[1];
	s.hangs = hangs;
	f.hung = fds[0];
	f.pid = spawn();
	if (!f.pid)
		serve(&s);
	close(s.channel);
	close(s.hung);
	snprintf(name, sizeof(name), "%s/file", f.path);
	f.file = open(name, O_RDWR | O_CLOEXEC);
	ck_assert_msg(f.file >= 0, "%s: %s", name, strerror(errno));
	return f;
}

uint8_t *fuse_map(const struct fuse *f, int flags)
{
	uint8_t *p = mmap(NULL, FUSE_FILE_SIZE, PROT_READ | PROT_WRITE, flags,
			  f->file, 0);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

void fuse_wait(const struct fuse *f)
{
	struct pollfd p = { .fd = f->hung, .events = POLLIN };
	char byte;

	ck_assert_msg(poll(&p, 1, PATIENCE_MS) == 1, "nothing hangs");
	ck_assert(read(f->hung, &byte, 1) == 1);
}

/* Its channel goes with the server: what hangs ends with an error. */
void fuse_free(struct fuse *f)
{
	ck_assert(!kill(f->pid, SIGKILL));
	reap(f->pid);
	close(f->file);
	close(f->hung);
	ck_assert_int_eq(broker_umount(f->path), 0);
}
