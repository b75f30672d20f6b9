// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "failnth.h"
#include "sharq_ioctl.h"

#define ORDINARY_USER 1000
#define PATH_SIZE 256
/* The longest control struct, and any text. */
#define DATA_SIZE 1024

enum what {
	ASK_CTL,
	ASK_CREATE,
	ASK_OPEN,
	ASK_OPEN_INCAPABLE,
	ASK_LET_GO,
	ASK_TAKE,
	ASK_DIE,
	ASK_STOP,
	ASK_UNLOAD,
	ASK_LOAD,
	ASK_WRITE,
	ASK_FILE,
	ASK_MOUNT_FUSE,
	ASK_UMOUNT,
	ASK_SWAP_ON,
	ASK_SWAP_OFF,
};

/*
 * Both ways; an answer has the result and what the ioctl wrote.
 * @nth: in: see broker_create_nth(); out: whether it was not reached
 * @cmd: of the ioctl; flags of open()
 */
struct message {
	unsigned int what;
	int result;
	unsigned int nth;
	unsigned long cmd;
	char path[PATH_SIZE];
	char data[DATA_SIZE];
};

static struct sockaddr_un address = { .sun_family = AF_UNIX };

/* ---- the root half ---- */

static int control = -1;

static int take(void)
{
	if (control < 0)
		control = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC);
	return control < 0 ? -errno : 0;
}

static int let_go(void)
{
	close(control);
	control = -1;
	return 0;
}

static int control_ioctl(struct message *m)
{
	int r;

	if (m->nth)
		fail_nth_begin(m->nth);
	r = ioctl(control, m->cmd, m->data) ? -errno : 0;
	if (m->nth)
		m->nth = !fail_nth_end();
	return r;
}

static int create(struct message *m, int *fd)
{
	struct sharq_ctl_create *c = (void *)m->data;
	int r = control_ioctl(m);

	if (!r) {
		*fd = c->fd;
		c->fd = -1;
	}
	return r;
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

static int try_open(void)
{
	int fd = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int try_open_incapable(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(syscall(SYS_capset, &head, none) ? ENOSYS : -try_open());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	return -WEXITSTATUS(status);
}

static int load(const char *name, const char *options)
{
	char path[PATH_SIZE];
	struct utsname u;
	int fd, r;

	uname(&u);
	snprintf(path, sizeof(path), "/lib/modules/%s/%s.ko", u.release, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = syscall(SYS_finit_module, fd, options, 0) ? -errno : 0;
	close(fd);
	return r;
}

static int mount_fuse(const char *path, int *channel)
{
	char options[128];
	int fd, r;

	if (mkdir(path, 0700))
		return -errno;
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", fd,
		 ORDINARY_USER, ORDINARY_USER);
	if (mount("sharq-test", path, "fuse", MS_NOSUID | MS_NODEV, options)) {
		r = -errno;
		close(fd);
		return r;
	}
	*channel = fd;
	return 0;
}

static int serve(struct message *m, int *fd)
{
	switch ((enum what)m->what) {
	case ASK_CTL:
		return control_ioctl(m);
	case ASK_CREATE:
		return create(m, fd);
	case ASK_OPEN:
		return try_open();
	case ASK_OPEN_INCAPABLE:
		return try_open_incapable();
	case ASK_LET_GO:
		return let_go();
	case ASK_TAKE:
		return take();
	case ASK_DIE:
		raise(SIGKILL);
		return -EIO;
	case ASK_STOP:
		exit(0);
	case ASK_UNLOAD:
		return syscall(SYS_delete_module, m->path, O_NONBLOCK) ? -errno
								       : 0;
	case ASK_LOAD:
		return load(m->path, m->data);
	case ASK_WRITE:
		return write_file(m->path, m->data);
	case ASK_FILE:
		*fd = open(m->path, (int)m->cmd | O_CLOEXEC);
		return *fd < 0 ? -errno : 0;
	case ASK_MOUNT_FUSE:
		return mount_fuse(m->path, fd);
	case ASK_UMOUNT:
		return umount2(m->path, MNT_DETACH) || rmdir(m->path) ? -errno
								      : 0;
	case ASK_SWAP_ON:
		return swapon(m->path, 0) ? -errno : 0;
	case ASK_SWAP_OFF:
		return swapoff(m->path) ? -errno : 0;
	}
	return -EINVAL;
}

/* One message, with at most one descriptor beside it. */
static int send_message(int sock, const struct message *m, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (void *)m, .iov_len = sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;

	if (fd >= 0) {
		h.msg_control = room;
		h.msg_controllen = sizeof(room);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &h, MSG_NOSIGNAL) == sizeof(*m) ? 0 : -EPIPE;
}

static int receive_message(int sock, struct message *m, int *fd)
{
	char room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { .iov_base = m, .iov_len = sizeof(*m) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = room };
	struct cmsghdr *c;
	ssize_t n = 0;

	/*
	 * The kernel looks for a message, then for an end: when both come in
	 * between, the end is told first (__skb_wait_for_more_packets()).
	 */
	for (int i = 0; i < 2 && !n; i++) {
		h.msg_controllen = sizeof(room);
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	}
	if (n < 0)
		return -errno;
	if (n != sizeof(*m))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&h);
	if (c)
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return 0;
}

static void answer(int sock, struct message *m)
{
	int fd = -1;

	if (!receive_message(sock, m, &fd)) {
		m->result = serve(m, &fd);
		send_message(sock, m, fd);
	}
	if (fd >= 0)
		close(fd);
	close(sock);
}

static void controller(int listener)
{
	static struct message m;
	int r = take();

	if (r) {
		fprintf(stderr, "%s: %s\n", SHARQ_CONTROL_PATH, strerror(-r));
		exit(1);
	}
	for (;;)
		answer(accept4(listener, NULL, NULL, SOCK_CLOEXEC), &m);
}

/* A controller that was killed is followed by the next. */
static void supervise(int listener)
{
	int status;
	pid_t pid;

	do {
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			controller(listener);
		}
		while (waitpid(pid, &status, 0) < 0)
			if (errno != EINTR)
				exit(1);
	} while (WIFSIGNALED(status));
	exit(WEXITSTATUS(status));
}

void broker_start(void)
{
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	pid_t parent = getpid();

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1,
		 "sharq-broker-%d", parent);
	if (listener < 0 ||
	    bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listener, 64)) {
		perror("broker");
		exit(1);
	}
	switch (fork()) {
	case -1:
		perror("broker");
		exit(1);
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		supervise(listener);
	}
	close(listener);
}

/* ---- the ordinary half ---- */

static int ask(struct message *m, int *fd)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), r;

	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&address, sizeof(address))) {
		r = -errno;
	} else {
		r = send_message(sock, m, -1);
		if (!r)
			r = receive_message(sock, m, fd);
		if (!r)
			r = m->result;
	}
	close(sock);
	return r;
}

/* Each process of a test is single-threaded when it asks, or asks alone. */
static struct message scratch;

static struct message *question(enum what what, const char *path)
{
	scratch.what = what;
	scratch.nth = 0;
	snprintf(scratch.path, sizeof(scratch.path), "%s", path ? path : "");
	return &scratch;
}

static int ask_path(enum what what, const char *path)
{
	return ask(question(what, path), NULL);
}

static int ask_control(enum what what, unsigned long cmd, void *arg,
		       unsigned int *nth, int *fd)
{
	struct message *m = question(what, NULL);
	unsigned int size;
	int r;

	memcpy(&size, arg, sizeof(size));
	memcpy(m->data, arg, size);
	m->cmd = cmd;
	m->nth = nth ? *nth : 0;
	r = ask(m, fd);
	memcpy(arg, m->data, size);
	if (nth)
		*nth = m->nth;
	return r;
}

int broker_ctl(unsigned long cmd, void *arg)
{
	return ask_control(ASK_CTL, cmd, arg, NULL, NULL);
}

int broker_create(struct sharq_ctl_create *arg)
{
	int fd = -1, r;

	r = ask_control(ASK_CREATE, SHARQ_CTL_CREATE, arg, NULL, &fd);
	return r ? r : fd;
}

int broker_create_nth(struct sharq_ctl_create *arg, unsigned int nth, int *done)
{
	int fd = -1, r;

	r = ask_control(ASK_CREATE, SHARQ_CTL_CREATE, arg, &nth, &fd);
	*done = (int)nth;
	return r ? r : fd;
}

int broker_try_open(void)
{
	return ask_path(ASK_OPEN, NULL);
}

int broker_try_open_incapable(void)
{
	return ask_path(ASK_OPEN_INCAPABLE, NULL);
}

int broker_let_go(void)
{
	return ask_path(ASK_LET_GO, NULL);
}

int broker_take(void)
{
	return ask_path(ASK_TAKE, NULL);
}

int broker_die(void)
{
	/* Instead of an answer the connection ends. */
	return ask_path(ASK_DIE, NULL) == -EPIPE ? 0 : -EIO;
}

void broker_stop(void)
{
	ask_path(ASK_STOP, NULL);
}

int broker_unload(const char *module)
{
	return ask_path(ASK_UNLOAD, module);
}

int broker_load(const char *module, const char *options)
{
	struct message *m = question(ASK_LOAD, module);

	snprintf(m->data, sizeof(m->data), "%s", options);
	return ask(m, NULL);
}

int broker_write(const char *path, const char *text)
{
	struct message *m = question(ASK_WRITE, path);

	snprintf(m->data, sizeof(m->data), "%s", text);
	return ask(m, NULL);
}

int broker_open(const char *path, int flags)
{
	struct message *m = question(ASK_FILE, path);
	int fd = -1, r;

	m->cmd = (unsigned int)flags;
	r = ask(m, &fd);
	return r ? r : fd;
}

int broker_mount_fuse(const char *path)
{
	int fd = -1, r = ask(question(ASK_MOUNT_FUSE, path), &fd);

	return r ? r : fd;
}

int broker_umount(const char *path)
{
	return ask_path(ASK_UMOUNT, path);
}

int broker_swap_on(const char *path)
{
	return ask_path(ASK_SWAP_ON, path);
}

int broker_swap_off(const char *path)
{
	return ask_path(ASK_SWAP_OFF, path);
}
