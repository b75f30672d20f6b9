/* SPDX-License-Identifier: MIT */
/* What all guest tests share: main() is in guest.c, the suite is the program's. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* libcheck's: proto/ has a check.h of its own. */
#include LIBCHECK_H

/* The lab's directories for the tests' user, on ext4 and on tmpfs. */
#define DISK_DIR "/disk/sharq-test"
#define TMPFS_DIR "/tmp/sharq-test"

Suite *guest_suite(void);
/* A case of its own for each test: a process, @seconds, its name. */
void guest_add(Suite *suite, const char *name, const TTest *test, int seconds);
#define GUEST_ADD(suite, test, seconds) guest_add(suite, #test, test, seconds)

/*
 * The program runs itself again, by exec: guest_exec() in a child never
 * returns; guest_execed() is what it then does, as no test but a plain process.
 * Its result is the exit code. Programs that have more to do than "nothing" with
 * no file (-1) define it.
 */
void guest_exec(const char *what, int fd) __attribute__((noreturn));
int guest_execed(const char *what, int fd);

/* Words after the program's name that aren't ours, as NAME=NUMBER. */
unsigned int guest_parameter(const char *name, unsigned int otherwise);

uint64_t now_ms(void);
/* Seconds, to measure with. */
double now_s(void);
/* An assertion where Check's would count: these write to a file each. */
void expect(bool good, const char *what);
/* Kernels from 6.7 on tell a driver to cancel. */
bool kernel_cancels(void);

struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
void rng_fill(struct rng *r, void *p, size_t size);

/* Anonymous memory, present; or ends the test. */
void *memory(size_t size);
/* In one go: an assertion for each byte would take for ever. */
bool filled_with(const void *p, uint8_t byte, size_t size);
uint32_t crc32c(const void *p, size_t size);

/* fork() that ends the test when it fails; a child dies with its parent. */
pid_t spawn(void);
/* Its wait status; ends the test if it isn't gone in time. */
int reap(pid_t pid);
/* It exited with 0. */
void reap_well(pid_t pid);
/* How a process may end: as its files are, or with @fd closed before. */
enum end {
	BY_KILL,
	BY_EXEC,
	BY_EXIT,
	BY_EXIT_WITHOUT_FILE,
	ENDS
};
void end_by(enum end how, int fd) __attribute__((noreturn));
/* It did, as reap() says. */
void reap_end(pid_t pid, enum end how);
/* In a child: its next system call kills it. */
void forbid_calls(void);
/* A byte, by pipes between parent and child, who hears in time; or ends both. */
void peer_tell(int fd);
void peer_hear(int fd);
/* EXPECT in a child of a test: say it and exit with 1. */
#define CHILD_EXPECT(cond)                                                     \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "%s:%d: child: %s (errno %d)\n",       \
				__FILE__, __LINE__, #cond, errno);             \
			_exit(1);                                              \
		}                                                              \
	} while (0)

#endif /* GUEST_H */
