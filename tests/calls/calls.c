/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nobody makes it otherwise. */
#define MARK SYS_getppid

int calls_begin(void)
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return -1;
	return raise(SIGSTOP);
}

void calls_mark(void)
{
	syscall(MARK);
}

/* The next stop of a tracee, at a system call's begin or end; or it ended. */
static bool next_stop(pid_t pid, int *status)
{
	return !ptrace(PTRACE_SYSCALL, pid, NULL, NULL) &&
	       waitpid(pid, status, 0) == pid && WIFSTOPPED(*status);
}

int calls_follow(pid_t pid, unsigned int *calls)
{
	bool counting = false;
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (!WIFSTOPPED(status))
		return status;
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
		return -1;
	while (next_stop(pid, &status)) {
		struct __ptrace_syscall_info info;

		if (WSTOPSIG(status) != (SIGTRAP | 0x80) ||
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <=
			    0)
			return -1;
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY ||
		    info.entry.nr == SYS_restart_syscall)
			continue;
		if (info.entry.nr == MARK)
			counting = !counting;
		else
			*calls += counting;
	}
	return status;
}
