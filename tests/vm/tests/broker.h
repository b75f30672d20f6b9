/* SPDX-License-Identifier: MIT */
/*
 * A test program's root half. It holds /dev/sharq as sharqd would, and does
 * what else only root may; the tests, as an ordinary user, ask it by a socket.
 * Any process of the program may ask, at any time.
 */
#ifndef BROKER_H
#define BROKER_H

/* As root: start it. It ends with broker_stop(), or with its parent. */
void broker_start(void);
void broker_stop(void);

/*
 * All return 0 (or what is said) or -errno.
 *
 * broker_ctl - an ioctl of /dev/sharq. @arg begins with its size
 * broker_create - SHARQ_CTL_CREATE; the fd, which isn't in @arg
 * broker_create_nth - its @nth possible failure happens; *@done: there were
 *                     fewer
 */
struct sharq_ctl_create;
int broker_ctl(unsigned long cmd, void *arg);
int broker_create(struct sharq_ctl_create *arg);
int broker_create_nth(struct sharq_ctl_create *arg, unsigned int nth,
		      int *done);
/* What open(/dev/sharq) gives now; it is closed again. */
int broker_try_open(void);
/* The same by a root that has no capability. */
int broker_try_open_incapable(void);
/* The controller lets go of /dev/sharq, and takes it again. */
int broker_let_go(void);
int broker_take(void);
/* The controller is killed; the next one begins with the next request. */
int broker_die(void);
/* By name: delete_module(); finit_module(), of what was never compressed. */
int broker_unload(const char *module);
int broker_load(const char *module, const char *options);
/* Write @text to a file, as root does it; the file, opened by root. */
int broker_write(const char *path, const char *text);
int broker_open(const char *path, int flags);
/* Make a directory and mount there what the returned FUSE channel serves; undo
 * it, lazily. */
int broker_mount_fuse(const char *path);
int broker_umount(const char *path);
int broker_swap_on(const char *path);
int broker_swap_off(const char *path);

#endif /* BROKER_H */
