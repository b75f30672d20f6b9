/* SPDX-License-Identifier: MIT */
/*
 * /dev/sharq: the kernel module's commands, and what the daemon leaves with it.
 * Every function returns 0 or -errno as sharq_ioctl.h says.
 */
#ifndef SHARQD_MODULE_H
#define SHARQD_MODULE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/journal.h"
#include "sharq_ioctl.h"

/* Give up CAP_SYS_ADMIN: only module_open() has a use for it. 0 or -errno. */
int module_drop_privilege(void);
/*
 * module_open - become the controller
 *
 * Return: 0, or -errno for module_why(); -EPROTO: the module has another ABI.
 */
int module_open(int *fd, struct sharq_ctl_info *info);
/* Why module_open() failed, in words. */
const char *module_why(int err);
/* The device or queue with the lowest id that is at least @id. */
int module_device(int fd, uint32_t id, struct sharq_ctl_device *d);
/* An older module doesn't say: -ENOTTY. */
int module_dma(int fd, uint32_t id, struct sharq_ctl_dma *d);
int module_queue(int fd, uint64_t id, struct sharq_ctl_queue *q);
/* @c: without its size. */
int module_create(int fd, struct sharq_ctl_create *c);
int module_stats(int fd, uint64_t id, struct sharq_ctl_stats *s);
int module_control(int fd, uint64_t id, enum sharq_ctl_action action);
int module_event(int fd, struct sharq_ctl_event *e);

/* The module's counts in the terms of sharq.proto. */
void module_sum(struct sharq_journal_stats *to, uint64_t commands,
		uint64_t bytes, const __u64 by_status[16]);

/* Whose a queue is: all that the next daemon needs to go on with it. */
struct module_cookie {
	uint64_t session;
	uint64_t token;
	uint64_t queue;
	uint64_t born_ms;
	pid_t pid;
};

/* For ids up to ID_MAX. */
void module_cookie_pack(const struct module_cookie *c,
			__u64 cookie[SHARQ_COOKIES]);
/* Return: false if no sharqd made it. */
bool module_cookie_unpack(struct module_cookie *c,
			  const __u64 cookie[SHARQ_COOKIES]);

#endif /* SHARQD_MODULE_H */
