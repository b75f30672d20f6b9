/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: what every path must do alike, shown through the
 * public interface only.
 *
 * Each test runs in a process of its own, so that one that crashes or hangs
 * costs the others nothing, and starts without a connection. Inside a test a
 * failed expectation ends that process.
 */
#ifndef SUITE_H
#define SUITE_H

#include <sharq.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB 1024U
#define MIB (1024U * KIB)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Longest that any single wait may take; generous for loaded machines. */
#define WAIT_MS 60000

/*
 * @path:   enum sharq_path to open
 * @socket: of the daemon, NULL: the default
 * @device: how the name of the only device to use begins, NULL: any
 * @jobs:   tests to run at once
 */
struct suite {
	unsigned int path;
	const char *socket;
	const char *device;
	unsigned int jobs;
};
extern struct suite suite;

/* BESIDE: needs a device that works beside the caller. */
#define BESIDE 1U
/* ALONE: takes what others would miss, queues or memory. */
#define ALONE 2U

/*
 * @seconds: bound on the test's time, before sanitizers' slowness
 */
struct test {
	const char *name;
	void (*run)(void);
	unsigned int seconds;
	unsigned int flags;
};

/* One table a file, ended by an empty entry. */
extern const struct test data_tests[], edge_tests[], codec_tests[],
	stream_tests[], desc_tests[], order_tests[], ring_tests[],
	multi_tests[], fault_tests[], fork_tests[], helper_tests[], api_tests[],
	uring_tests[], silent_tests[], prefetch_tests[], syscall_tests[];

void suite_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void suite_skip(const char *fmt, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

#define EXPECT(cond, ...)                                                      \
	do {                                                                   \
		if (!(cond))                                                   \
			suite_fail(__FILE__, __LINE__, __VA_ARGS__);           \
	} while (0)
#define EXPECT_EQ(is, want, what)                                              \
	do {                                                                   \
		long long is_ = (long long)(is), want_ = (long long)(want);    \
		EXPECT(is_ == want_, "%s is %lld, expected %lld", what, is_,   \
		       want_);                                                 \
	} while (0)

/* ---- connections and commands; none returns on failure ---- */

struct sharq *suite_connect(void);
/* With suite.device: its id, once connected. Else 0. */
extern uint32_t suite_device_id;
bool suite_has(unsigned int op);
bool suite_has_all(void);
/* The test isn't for a device that lacks the operation: end it, as no skip. */
void suite_needs(unsigned int op);
/* The same, for a queue that @is on another path than the one it's about. */
void suite_needs_path(unsigned int is, unsigned int path);
struct sharq_queue *suite_open(struct sharq *s, unsigned int depth,
			       unsigned int flags);
/* Both, and the device's largest transfer. */
struct session {
	struct sharq *s;
	struct sharq_queue *q;
	struct sharq_queue_info info;
};
void session_open(struct session *c, unsigned int depth, unsigned int flags);
void session_close(struct session *c);
/* Does its device's name begin with this? */
bool session_is_on(const struct session *c, const char *name);

struct sharq_sqe *sqe_get(struct sharq_queue *q);
/* Submit until all prepared entries, @n, are accepted. */
void submit_all(struct sharq_queue *q, unsigned int n);
/* The next completion, copied and seen. */
struct sharq_cqe cqe_take(struct sharq_queue *q);
/* Submit the one prepared entry and take its completion. */
struct sharq_cqe run_one(struct sharq_queue *q);
struct sharq_cqe run_desc(struct sharq_queue *q, const struct sharq_desc *d);
void expect_status(const struct sharq_cqe *cqe, unsigned int status,
		   const char *what);

/* ---- reference.c: independent of what is tested ---- */

struct rng {
	uint64_t state;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);
void rng_fill(struct rng *r, void *p, size_t len);
/* Words and runs: what deflate can do something with. */
void rng_text(struct rng *r, void *p, size_t len);

uint32_t ref_crc32c(uint32_t seed, const void *p, size_t len);
/* zlib's. Return: bytes written; fail the test if that can't be. */
size_t ref_deflate(void *dst, size_t room, const void *src, size_t len,
		   unsigned int format, int level);
/* Must end exactly at the end of @src. Return: bytes written. */
size_t ref_inflate(void *dst, size_t room, const void *src, size_t len,
		   unsigned int format);
size_t ref_deflate_bound(size_t len);

void *xmalloc(size_t size);
void *xalloc(struct sharq *s, size_t size);

/*
 * A test that goes on to what the device lacks isn't for that device. That it is
 * refused is for verify() to see. SUITE_ASKS_FOR_ALL: the file's tests ask for
 * what isn't done anyway.
 */
#ifndef SUITE_ASKS_FOR_ALL
/* clang-format off */
#define sharq_prep_fill(...)                                                   \
	(suite_needs(SHARQ_OP_FILL), sharq_prep_fill(__VA_ARGS__))
#define sharq_prep_compare(...)                                                \
	(suite_needs(SHARQ_OP_COMPARE), sharq_prep_compare(__VA_ARGS__))
#define sharq_prep_crc32c(...)                                                 \
	(suite_needs(SHARQ_OP_CRC32C), sharq_prep_crc32c(__VA_ARGS__))
#define sharq_prep_copy_crc32c(...)                                            \
	(suite_needs(SHARQ_OP_COPY_CRC32C), sharq_prep_copy_crc32c(__VA_ARGS__))
#define sharq_prep_dualcast(...)                                               \
	(suite_needs(SHARQ_OP_DUALCAST), sharq_prep_dualcast(__VA_ARGS__))
#define sharq_prep_compress(...)                                               \
	(suite_needs(SHARQ_OP_COMPRESS), sharq_prep_compress(__VA_ARGS__))
#define sharq_prep_decompress(...)                                             \
	(suite_needs(SHARQ_OP_DECOMPRESS), sharq_prep_decompress(__VA_ARGS__))
#define sharq_fill(...)                                                        \
	(suite_needs(SHARQ_OP_FILL), sharq_fill(__VA_ARGS__))
#define sharq_compare(...)                                                     \
	(suite_needs(SHARQ_OP_COMPARE), sharq_compare(__VA_ARGS__))
#define sharq_crc32c(...)                                                      \
	(suite_needs(SHARQ_OP_CRC32C), sharq_crc32c(__VA_ARGS__))
#define sharq_copy_crc32c(...)                                                 \
	(suite_needs(SHARQ_OP_COPY_CRC32C), sharq_copy_crc32c(__VA_ARGS__))
#define sharq_dualcast(...)                                                    \
	(suite_needs(SHARQ_OP_DUALCAST), sharq_dualcast(__VA_ARGS__))
#define sharq_compress(...)                                                    \
	(suite_needs(SHARQ_OP_COMPRESS), sharq_compress(__VA_ARGS__))
#define sharq_decompress(...)                                                  \
	(suite_needs(SHARQ_OP_DECOMPRESS), sharq_decompress(__VA_ARGS__))
/* clang-format on */
#endif

#endif /* SUITE_H */
