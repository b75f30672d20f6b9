/* SPDX-License-Identifier: MIT */
/* Connecting, devices, opening queues, names: with right and wrong options. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "suite.h"

static void devices(void)
{
	struct sharq_device dev[16], none;
	struct sharq *s = suite_connect();
	int n = sharq_devices(s, dev, ARRAY_SIZE(dev));

	EXPECT(n > 0 && n <= 16, "sharq_devices: %d", n);
	EXPECT_EQ(sharq_devices(s, NULL, 0), n, "count alone");
	EXPECT_EQ(sharq_devices(s, &none, 0), n, "no room");
	for (int i = 0; i < n; i++) {
		EXPECT(dev[i].name[0] && dev[i].provider[0], "no name");
		EXPECT(dev[i].paths, "%s offers no path", dev[i].name);
		EXPECT(dev[i].max_transfer >= 4096, "max_transfer");
		EXPECT(dev[i].max_depth >= SHARQ_MIN_DEPTH &&
			       dev[i].max_depth <= SHARQ_MAX_DEPTH,
		       "max_depth");
		EXPECT(strlen(dev[i].note) < sizeof(dev[i].note), "note");
	}
	sharq_disconnect(s);
}

static void queue_info(void)
{
	struct sharq *s = suite_connect();
	struct sharq_queue_info info;
	struct sharq_queue *q;

	EXPECT_EQ(sharq_queue_open(
			  s,
			  &(struct sharq_queue_opts){ .device = suite_device_id,
						      .path = suite.path },
			  &q),
		  0, "sharq_queue_open");
	EXPECT_EQ(sharq_queue_info(q, &info), 0, "sharq_queue_info");
	EXPECT_EQ(info.depth, 64, "the default depth");
	EXPECT(info.path == suite.path || suite.path == SHARQ_PATH_ANY,
	       "got path %s", sharq_path_name(info.path));
	for (unsigned int op = 0; op < SHARQ_OP_COUNT; op++)
		EXPECT_EQ(!!(info.ops & SHARQ_OP_BIT(op)), suite_has(op),
			  sharq_op_name(op));
	EXPECT((info.id == 0) == (info.path == SHARQ_PATH_INLINE), "id");
	EXPECT(info.max_transfer >= 4096, "max_transfer");
	/* Not the best path: it must say why. */
	EXPECT((info.path != SHARQ_PATH_EMBEDDED &&
		info.path != SHARQ_PATH_SHADOW) ||
		       info.reason[0],
	       "no reason for the %s path", sharq_path_name(info.path));
	EXPECT_EQ(!!(info.flags & SHARQ_INFO_SYNC_ONLY),
		  info.path == SHARQ_PATH_SHADOW, "SYNC_ONLY");
	sharq_queue_close(q);
	sharq_disconnect(s);
}

struct wrong {
	const char *what;
	struct sharq_queue_opts opts;
	int err;
	const char *word; /* that the sentence must have */
};

static void wrong_options(void)
{
	const uint32_t p = suite.path;
	const struct wrong wrongs[] = {
		{ "depth 1", { .path = p, .depth = 1 }, -EINVAL, "depth" },
		{ "depth 3", { .path = p, .depth = 3 }, -EINVAL, "depth" },
		{ "depth 63", { .path = p, .depth = 63 }, -EINVAL, "depth" },
		{ "depth 8192", { .path = p, .depth = 8192 }, -EINVAL, "depth" },
		{ "depth 2^31",
		  { .path = p, .depth = 1U << 31 },
		  -EINVAL,
		  "depth" },
		{ "path 9", { .path = 9 }, -EINVAL, "path" },
		{ "flags", { .path = p, .flags = 1U << 7 }, -EINVAL, "flag" },
		{ "device 999",
		  { .path = p, .device = 999 },
		  -ENODEV,
		  "device" },
		{ "operation 31",
		  { .path = p, .ops = 1U << 31 },
		  -ENODEV,
		  "operation" },
	};
	struct sharq *s = suite_connect();
	struct sharq_queue *q;
	char text[512];
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		const struct wrong *w = &wrongs[i];

		r = sharq_queue_open(s, &w->opts, &q);
		EXPECT(r == w->err, "%s: %d", w->what, r);
		sharq_error(s, text, sizeof(text));
		EXPECT(strstr(text, w->word), "%s: '%s' doesn't name it",
		       w->what, text);
		q = suite_open(s, 8, 0);
		sharq_queue_close(q);
	}
	sharq_disconnect(s);
}

/* Who asks @device, or any, for @ops gets all of them, or -ENODEV. */
static int ask_for(struct sharq *s, uint32_t device, uint32_t ops)
{
	const struct sharq_queue_opts o = { .device = device,
					    .ops = ops,
					    .path = suite.path };
	struct sharq_queue_info info;
	struct sharq_queue *q;
	int r = sharq_queue_open(s, &o, &q);

	if (r)
		return r;
	EXPECT_EQ(sharq_queue_info(q, &info), 0, "sharq_queue_info");
	EXPECT((info.ops & ops) == ops, "asked for %#x, got %#x", ops,
	       info.ops);
	sharq_queue_close(q);
	return 0;
}

static void operations_choose_the_device(void)
{
	struct sharq *s = suite_connect();
	struct sharq_device dev[16];
	int n = sharq_devices(s, dev, ARRAY_SIZE(dev));

	EXPECT(n > 0 && n <= 16, "%d devices", n);
	for (unsigned int op = SHARQ_OP_FILL; op < SHARQ_OP_COUNT; op++) {
		uint32_t ops = SHARQ_OP_BIT(SHARQ_OP_COPY) | SHARQ_OP_BIT(op);
		bool any = false;

		for (int i = 0; i < n; i++) {
			bool has = (dev[i].ops & ops) == ops;

			if (!dev[i].id || !(dev[i].paths & 1U << suite.path))
				continue;
			any |= has;
			EXPECT_EQ(ask_for(s, dev[i].id, ops), has ? 0 : -ENODEV,
				  dev[i].name);
		}
		if (any)
			EXPECT_EQ(ask_for(s, 0, ops), 0, sharq_op_name(op));
	}
	sharq_disconnect(s);
}

/* No path that isn't there is given another name. */
static void path_not_here(void)
{
	static const uint32_t paths[] = { SHARQ_PATH_DIRECT,
					  SHARQ_PATH_SHADOW };
	struct sharq *s = suite_connect();
	struct sharq_device dev[16];
	int n = sharq_devices(s, dev, ARRAY_SIZE(dev)), r;
	uint32_t offered = 0;
	char text[512];

	for (int i = 0; i < n && i < 16; i++)
		offered |= dev[i].paths;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		const struct sharq_queue_opts opts = { .path = paths[i] };
		struct sharq_queue *q;

		if (offered & 1U << paths[i])
			continue;
		r = sharq_queue_open(s, &opts, &q);
		EXPECT(r == -EOPNOTSUPP, "path %s: %d",
		       sharq_path_name(paths[i]), r);
		sharq_error(s, text, sizeof(text));
		EXPECT(strstr(text, sharq_path_name(paths[i])),
		       "'%s' doesn't say what is missing", text);
	}
	sharq_disconnect(s);
}

/* On a connection to a daemon too, inline is there when asked for by name. */
static void inline_beside(void)
{
	const struct sharq_queue_opts opts = { .path = SHARQ_PATH_INLINE };
	struct sharq *s = suite_connect();
	struct sharq_queue *q;
	unsigned int status;
	uint32_t crc;

	EXPECT_EQ(sharq_queue_open(s, &opts, &q), 0, "an inline queue");
	EXPECT_EQ(sharq_crc32c(q, "123456789", 9, 0, &crc, &status), 0, "crc");
	EXPECT_EQ(crc, 0xe3069283, "the check value");
	sharq_queue_close(q);
	sharq_disconnect(s);
}

/* Small commands on the caller's CPU: same results, and counted. */
static void inline_small(void)
{
	struct sharq_queue_counts n;
	struct session c;
	uint8_t src[4096], dst[4096];
	struct rng r = { 6 };

	session_open(&c, 8, SHARQ_QUEUE_INLINE);
	rng_fill(&r, src, sizeof(src));
	for (uint32_t len = 0; len <= 4096; len += 128) {
		struct sharq_cqe cqe;

		memset(dst, 0, sizeof(dst));
		sharq_prep_copy_crc32c(sqe_get(c.q), dst, src, len, 0);
		cqe = run_one(c.q);
		expect_status(&cqe, SHARQ_OK, "COPY_CRC32C");
		EXPECT_EQ(cqe.crc, ref_crc32c(0, src, len), "crc");
		EXPECT(!memcmp(src, dst, len), "other data");
	}
	EXPECT_EQ(sharq_queue_counts(c.q, &n), 0, "sharq_queue_counts");
	EXPECT_EQ(n.submitted, 33, "submitted");
	EXPECT_EQ(n.completed, 33, "completed");
	EXPECT_EQ(n.inlined, suite.path == SHARQ_PATH_INLINE ? 33 : 5,
		  "inlined");
	session_close(&c);
}

static void staged_is_counted(void)
{
	uint8_t heap[64] = { 0 }, *shared;
	struct sharq_queue_counts n;
	struct session c;

	session_open(&c, 8, 0);
	shared = xalloc(c.s, 128);
	memset(shared, 0, 128);
	sharq_prep_copy(sqe_get(c.q), shared, shared + 64, 64);
	run_one(c.q);
	EXPECT_EQ(sharq_queue_counts(c.q, &n), 0, "sharq_queue_counts");
	EXPECT_EQ(n.staged, 0, "staged with shared memory alone");
	sharq_prep_copy(sqe_get(c.q), heap, shared, 64);
	run_one(c.q);
	EXPECT_EQ(sharq_queue_counts(c.q, &n), 0, "sharq_queue_counts");
	EXPECT_EQ(n.staged, suite.path == SHARQ_PATH_EMBEDDED, "staged");
	sharq_free(c.s, shared);
	session_close(&c);
}

static void names(void)
{
	EXPECT(!strcmp(sharq_op_name(SHARQ_OP_COPY_CRC32C), "COPY_CRC32C"),
	       "op");
	EXPECT(!strcmp(sharq_status_name(SHARQ_FAULT_READ), "FAULT_READ"),
	       "status");
	EXPECT(!strcmp(sharq_field_name(SHARQ_FIELD_DST_LEN), "dst_len"),
	       "field");
	EXPECT(!strcmp(sharq_path_name(SHARQ_PATH_EMBEDDED), "embedded"),
	       "path");
	for (unsigned int i = 0; i < 300; i++) {
		EXPECT(!strcmp(sharq_op_name(i), "?") == (i >= SHARQ_OP_COUNT),
		       "op %u", i);
		EXPECT(!strcmp(sharq_status_name(i), "?") ==
			       (i >= SHARQ_STATUS_COUNT),
		       "status %u", i);
		EXPECT(!strcmp(sharq_field_name(i), "?") ==
			       (i >= SHARQ_FIELD_COUNT),
		       "field %u", i);
		EXPECT(!strcmp(sharq_path_name(i), "?") ==
			       (i > SHARQ_PATH_INLINE),
		       "path %u", i);
	}
}

/* Each way in which a daemon isn't there has its code and its sentence. */
static void no_daemon(void)
{
	char dir[] = "/tmp/sharq-conf-XXXXXX", path[64], text[512];
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct sharq *s;
	int fd, r;

	EXPECT(mkdtemp(dir), "mkdtemp");
	snprintf(path, sizeof(path), "%s/sock", dir);
	EXPECT_EQ(sharq_connect(&s, path), -ENOENT, "no such file");
	sharq_connect_strerror(-ENOENT, path, text, sizeof(text));
	EXPECT(strstr(text, path) && strstr(text, "sharqd"),
	       "'%s' doesn't say what to do", text);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	memcpy(addr.sun_path, path, strlen(path));
	EXPECT(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr)),
	       "bind");
	r = sharq_connect(&s, path);
	EXPECT_EQ(r, -ECONNREFUSED, "nobody listens");
	sharq_connect_strerror(r, path, text, sizeof(text));
	EXPECT(strstr(text, path), "'%s' doesn't name the socket", text);
	close(fd);
	unlink(path);
	rmdir(dir);
}

const struct test api_tests[] = {
	{ "p1_devices", devices, 10, 0 },
	{ "p1_queue_info", queue_info, 10, 0 },
	{ "open_wrong_options", wrong_options, 30, 0 },
	{ "open_path_not_here", path_not_here, 30, 0 },
	{ "operations_choose_the_device", operations_choose_the_device, 60, 0 },
	{ "inline_beside_daemon", inline_beside, 10, 0 },
	{ "inline_small_commands", inline_small, 10, 0 },
	{ "staged_is_counted", staged_is_counted, 10, 0 },
	{ "names", names, 10, 0 },
	{ "connect_no_daemon", no_daemon, 10, 0 },
	{ NULL, NULL, 0, 0 },
};
