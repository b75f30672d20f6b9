// SPDX-License-Identifier: MIT
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "idmap.h"
#define OPEN_TRIES 50
#define OPEN_PAUSE_US 10000
#define COOKIE_MAGIC UINT64_C(0x5351) /* "SQ" */

static int call(int fd, unsigned long command, void *arg)
{
	return ioctl(fd, command, arg) < 0 ? -errno : 0;
}

/* What open() asked for is no use afterwards, but to somebody who breaks in. */
int module_drop_privilege(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	const uint32_t bit = CAP_TO_MASK(CAP_SYS_ADMIN);

	if (syscall(SYS_capget, &head, caps))
		return -errno;
	caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~bit;
	caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted &= ~bit;
	caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].inheritable &= ~bit;
	return syscall(SYS_capset, &head, caps) ? -errno : 0;
}

/* A controller that has just died may hold it for a moment. */
static int open_control(void)
{
	int fd, tries = 0;

	while ((fd = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC)) < 0 &&
	       errno == EBUSY && tries++ < OPEN_TRIES)
		usleep(OPEN_PAUSE_US);
	return fd < 0 ? -errno : fd;
}

int module_open(int *out, struct sharq_ctl_info *info)
{
	int fd = open_control();
	int ret;

	if (fd < 0)
		return fd;
	*info = (struct sharq_ctl_info){ .size = sizeof(*info) };
	ret = call(fd, SHARQ_CTL_INFO, info);
	if (!ret && info->abi != SHARQ_ABI_VERSION)
		ret = -EPROTO;
	if (ret) {
		close(fd);
		return ret;
	}
	info->version[sizeof(info->version) - 1] = 0;
	*out = fd;
	return 0;
}

const char *module_why(int err)
{
	switch (-err) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return "no " SHARQ_CONTROL_PATH
		       ": the module isn't loaded (modprobe sharq, then "
		       "restart sharqd)";
	case EBUSY:
		return "another program controls the module (it holds "
		       "" SHARQ_CONTROL_PATH ")";
	case EPERM:
	case EACCES:
		return SHARQ_CONTROL_PATH
			" is for root with CAP_SYS_ADMIN, and this sharqd "
			"isn't that";
	case EPROTO:
		return "the module that is loaded is of another version than "
		       "this sharqd";
	default:
		return strerror(-err);
	}
}

int module_device(int fd, uint32_t id, struct sharq_ctl_device *d)
{
	*d = (struct sharq_ctl_device){ .size = sizeof(*d), .id = id };
	return call(fd, SHARQ_CTL_DEVICE, d);
}

int module_dma(int fd, uint32_t id, struct sharq_ctl_dma *d)
{
	*d = (struct sharq_ctl_dma){ .size = sizeof(*d), .id = id };
	return call(fd, SHARQ_CTL_DMA, d);
}

int module_queue(int fd, uint64_t id, struct sharq_ctl_queue *q)
{
	*q = (struct sharq_ctl_queue){ .size = sizeof(*q), .id = id };
	return call(fd, SHARQ_CTL_QUEUE, q);
}

int module_create(int fd, struct sharq_ctl_create *c)
{
	c->size = sizeof(*c);
	return call(fd, SHARQ_CTL_CREATE, c);
}

int module_stats(int fd, uint64_t id, struct sharq_ctl_stats *s)
{
	*s = (struct sharq_ctl_stats){ .size = sizeof(*s), .id = id };
	return call(fd, SHARQ_CTL_STATS, s);
}

int module_control(int fd, uint64_t id, enum sharq_ctl_action action)
{
	struct sharq_ctl_control c = {
		.size = sizeof(c),
		.action = action,
		.id = id,
	};

	return call(fd, SHARQ_CTL_CONTROL, &c);
}

int module_event(int fd, struct sharq_ctl_event *e)
{
	*e = (struct sharq_ctl_event){ .size = sizeof(*e) };
	return call(fd, SHARQ_CTL_EVENT, e);
}

void module_sum(struct sharq_journal_stats *to, uint64_t commands,
		uint64_t bytes, const __u64 by_status[16])
{
	*to = (struct sharq_journal_stats){
		.commands = commands,
		.bytes = bytes,
		.faults = by_status[SHARQ_FAULT_READ] +
			  by_status[SHARQ_FAULT_WRITE],
		.refused = by_status[SHARQ_BAD_DESCRIPTOR] +
			   by_status[SHARQ_UNSUPPORTED] +
			   by_status[SHARQ_DENIED],
		.resets = by_status[SHARQ_RESET],
	};
	/* The rest, also of statuses that are newer than we are. */
	for (unsigned int i = 0; i < 16; i++)
		to->failed += by_status[i];
	to->failed -= by_status[SHARQ_OK] + by_status[SHARQ_MISMATCH] +
		      to->faults + to->refused;
}

void module_cookie_pack(const struct module_cookie *c,
			__u64 cookie[SHARQ_COOKIES])
{
	cookie[0] = c->session;
	cookie[1] = c->token;
	cookie[2] = COOKIE_MAGIC << 48 | c->queue;
	cookie[3] = c->born_ms / 1000 << 32 | (uint32_t)c->pid;
}

bool module_cookie_unpack(struct module_cookie *c,
			  const __u64 cookie[SHARQ_COOKIES])
{
	*c = (struct module_cookie){
		.session = cookie[0],
		.token = cookie[1],
		.queue = cookie[2] & ID_MAX,
		.born_ms = (cookie[3] >> 32) * 1000,
		.pid = (pid_t)(uint32_t)cookie[3],
	};
	return cookie[2] >> 48 == COOKIE_MAGIC && c->queue && c->session &&
	       c->session < UINT64_MAX;
}
