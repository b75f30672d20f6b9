/* SPDX-License-Identifier: MIT */
/*
 * Runner of the system tests: each test is a process of its own with a fresh
 * directory and a time limit; whatever it started and left is found, ended and
 * counted against it.
 */
#ifndef SYSTEM_HARNESS_H
#define SYSTEM_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Sanitized programs are several times slower; every bound scales alike. */
#ifdef SHARQ_SANITIZE
#define SCALE 6
#else
#define SCALE 1
#endif

/* Other users' ids, for tests that run as root. They need no account. */
#define UID_A 61001
#define UID_B 61002

struct test {
	const char *name;
	void (*run)(void);
	unsigned int seconds;
};

int harness_main(int argc, char **argv, const struct test *tests, size_t n);

/* Ends the calling process (a test or one of its helpers) as failed. */
_Noreturn void fail_at(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends the test as skipped; the reason is printed and the skip counted. */
_Noreturn void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void need_root(void);

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "  expected: %s\n", #cond);            \
			FAIL(__VA_ARGS__);                                     \
		}                                                              \
	} while (0)
#define CHECK_EQ(got, want)                                                    \
	do {                                                                   \
		long long got_ = (long long)(got);                             \
		long long want_ = (long long)(want);                           \
		if (got_ != want_)                                             \
			FAIL("%s is %lld, expected %s (%lld)", #got, got_,     \
			     #want, want_);                                    \
	} while (0)

/* Poll a condition until it holds; the pause only spares the machine. */
#define EVENTUALLY(cond, ms)                                                   \
	do {                                                                   \
		int64_t until_ = now_ms() + (int64_t)(ms)*SCALE;               \
		while (!(cond)) {                                              \
			if (now_ms() > until_)                                 \
				FAIL("within %d ms: %s", (int)(ms), #cond);    \
			usleep(2000);                                          \
		}                                                              \
	} while (0)

int64_t now_ms(void);
const char *tmp_path(const char *name); /* in the test's directory */
const char *bin_path(const char *name); /* a program of this build */
void *shared_alloc(size_t size);	/* zeroed, shared with forked helpers */

/* A file's text (NUL-terminated, cut at 64 KiB); NULL if unreadable. free(). */
char *file_text(const char *path);
void file_write(const char *path, const char *text);
bool file_has(const char *path, const char *needle);

/* Run a program to its end: its status code, 128 + signal if killed. */
int run_program(char *const argv[], const char *stdout_path,
		const char *stderr_path, int timeout_ms);

bool pid_alive(pid_t pid); /* zombies count as gone */
/* A number behind @key in /proc/PID/status, in the given base; -1: none. */
long long proc_status(pid_t pid, const char *key, int base);
unsigned long long proc_switches(pid_t pid); /* voluntary, all threads */
unsigned long long proc_cpu_ticks(pid_t pid);
unsigned int proc_fds(pid_t pid);

/* Become another user for good (root only). */
void become(uid_t uid);
/* Wait for a forked helper; it must exit 0. */
void join(pid_t pid, int timeout_ms);

/* Cheap repeatable random numbers. */
uint64_t rnd(uint64_t *state);
void rnd_fill(void *p, size_t n, uint64_t seed);

#endif /* SYSTEM_HARNESS_H */
