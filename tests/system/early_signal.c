// SPDX-License-Identifier: MIT
/* For LD_PRELOAD: a Ctrl-C right after connecting, before anything is awaited. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	int ret = (int)syscall(SYS_connect, fd, addr, len);

	raise(SIGINT);
	return ret;
}
