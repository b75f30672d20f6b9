// SPDX-License-Identifier: MIT
#include "config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "sharq_ioctl.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define MAX_WORKERS 64

/* One run of the parser. inih doesn't tell the handler the line: count. */
struct parser {
	FILE *f;
	const char *name;
	struct config config;
	unsigned int line;
	uint64_t seen; /* bit i: keys[i] was set */
	char *err;
	size_t err_size;
	bool failed;
};

enum kind {
	KIND_UINT, /* a plain number, field is unsigned int */
	KIND_SIZE, /* with K, M or G, field is unsigned int */
	KIND_SIZE64,
	KIND_OCTAL,
	KIND_SOCKET,
	KIND_GROUP,
	KIND_LEVEL,
	KIND_ENGINE,
	KIND_DEPTH,
};

struct key {
	const char *section;
	const char *name;
	enum kind kind;
	size_t offset;
	uint64_t min;
	uint64_t max;
};

#define KEY(section, name, kind, field, min, max)                              \
	{                                                                      \
		section, name, kind, offsetof(struct config, field), min, max  \
	}

static const struct key keys[] = {
	KEY("daemon", "socket", KIND_SOCKET, socket, 0, 0),
	KEY("daemon", "socket-mode", KIND_OCTAL, socket_mode, 0, 0777),
	KEY("daemon", "socket-group", KIND_GROUP, socket_group, 0, 0),
	KEY("daemon", "log-level", KIND_LEVEL, log_level, 0, 0),
	KEY("daemon", "drain-ms", KIND_UINT, drain_ms, 0, 600000),
	KEY("limits", "clients", KIND_UINT, clients, 1, 65536),
	KEY("limits", "clients-per-user", KIND_UINT, clients_per_user, 1,
	    CONFIG_CLIENTS_PER_USER_MAX),
	KEY("limits", "queues", KIND_UINT, queues, 1, 65536),
	KEY("limits", "queues-per-user", KIND_UINT, queues_per_user, 1,
	    CONFIG_QUEUES_PER_USER_MAX),
	KEY("limits", "depth", KIND_DEPTH, depth, SHARQ_MIN_DEPTH,
	    SHARQ_MAX_DEPTH),
	KEY("limits", "arena-per-user", KIND_SIZE64, arena_per_user, 4096,
	    CONFIG_ARENA_PER_USER_MAX),
	KEY("limits", "regions-per-client", KIND_UINT, regions_per_client, 1,
	    CONFIG_REGIONS_PER_CLIENT_MAX),
	KEY("engine", "type", KIND_ENGINE, engine, 0, 0),
	KEY("engine", "workers", KIND_UINT, workers, 0, MAX_WORKERS),
	KEY("engine", "slice", KIND_SIZE, slice, 4096, GIB),
	KEY("engine", "spin-us", KIND_UINT, spin_us, 0, 1000000),
	KEY("engine", "max-transfer", KIND_SIZE, max_transfer, 4096,
	    SHARQ_MAX_TRANSFER),
	KEY("module", "weight", KIND_UINT, weight, SHARQ_WEIGHT_MIN,
	    SHARQ_WEIGHT_MAX),
	KEY("module", "pin-per-queue", KIND_SIZE64, pin_per_queue, MIB,
	    UINT64_C(1) << 46),
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

static unsigned int default_workers(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned int)cpus;
}

void config_defaults(struct config *config)
{
	*config = (struct config){
		.socket = "/run/sharq/sharqd.sock",
		.socket_mode = 0660,
		.log_level = LOG_INFO,
		.drain_ms = 5000,
		.clients = 1024,
		.clients_per_user = 256,
		.queues = 16384,
		.queues_per_user = 4096,
		.depth = SHARQ_MAX_DEPTH,
		.regions_per_client = 64,
		.arena_per_user = 4 * GIB,
		.engine = CONFIG_ENGINE_AUTO,
		.workers = default_workers(),
		.slice = 256 * KIB,
		.spin_us = 50,
		.max_transfer = GIB,
		.weight = SHARQ_WEIGHT_DEFAULT,
		.pin_per_queue = 64 * MIB,
	};
}

/* Keep the first error: later ones often follow from it. */
static int fail(struct parser *p, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(struct parser *p, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (p->failed)
		return 0;
	p->failed = true;
	n = snprintf(p->err, p->err_size, "%s:%u: ", p->name, p->line);
	if (n < 0 || (size_t)n >= p->err_size)
		return 0;
	va_start(ap, fmt);
	vsnprintf(p->err + n, p->err_size - n, fmt, ap);
	va_end(ap);
	return 0;
}

/* Digits in @base and, if @suffix, one of K, M, G. Nothing else. */
static bool parse_number(const char *s, unsigned int base, bool suffix,
			 uint64_t *out)
{
	uint64_t v = 0, unit = 1;

	if (!*s)
		return false;
	for (; *s >= '0' && *s < (char)('0' + base); s++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	if (suffix && *s) {
		switch (*s++) {
		case 'K':
			unit = KIB;
			break;
		case 'M':
			unit = MIB;
			break;
		case 'G':
			unit = GIB;
			break;
		default:
			return false;
		}
	}
	return !*s && !__builtin_mul_overflow(v, unit, out);
}

static int set_number(struct parser *p, const struct key *k, const char *value)
{
	bool suffix = k->kind == KIND_SIZE || k->kind == KIND_SIZE64;
	char *field = (char *)&p->config + k->offset;
	unsigned int base = k->kind == KIND_OCTAL ? 8 : 10;
	bool digit = value[0] >= '0' && value[0] <= '9';
	uint64_t v = 0;
	bool ok;

	ok = digit && parse_number(value, base, suffix, &v) && v >= k->min &&
	     v <= k->max;
	if (ok && k->kind == KIND_DEPTH)
		ok = !(v & (v - 1));
	if (!ok && k->kind == KIND_OCTAL)
		return fail(p,
			    "[%s] %s is '%s', expected octal permissions from "
			    "0 to 0777, such as 0660",
			    k->section, k->name, value);
	if (!ok)
		return fail(p,
			    "[%s] %s is '%s', expected a %s from %" PRIu64
			    " to %" PRIu64 "%s",
			    k->section, k->name, value,
			    k->kind == KIND_DEPTH ? "power of two" : "number",
			    k->min, k->max,
			    suffix ? ", with K, M or G after it if you like"
				   : "");
	if (k->kind == KIND_SIZE64)
		memcpy(field, &v, sizeof(v));
	else
		*(unsigned int *)field = v;
	return 1;
}

static int set_socket(struct parser *p, const struct key *k, const char *value)
{
	size_t len = strlen(value);

	if (value[0] != '/' || len >= CONFIG_SOCKET_MAX ||
	    value[len - 1] == '/')
		return fail(p,
			    "[%s] %s is '%s', expected an absolute path of at "
			    "most %d bytes",
			    k->section, k->name, value, CONFIG_SOCKET_MAX - 1);
	memcpy((char *)&p->config + k->offset, value, len + 1);
	return 1;
}

static int set_group(struct parser *p, const struct key *k, const char *value)
{
	size_t len = strlen(value);

	if (!len || len >= CONFIG_GROUP_MAX || strpbrk(value, " \t:/,"))
		return fail(p,
			    "[%s] %s is '%s', expected the name of a group, at "
			    "most %d bytes",
			    k->section, k->name, value, CONFIG_GROUP_MAX - 1);
	memcpy((char *)&p->config + k->offset, value, len + 1);
	return 1;
}

static int set_level(struct parser *p, const struct key *k, const char *value)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{ "error", LOG_ERR },	  { "warning", LOG_WARNING },
		{ "notice", LOG_NOTICE }, { "info", LOG_INFO },
		{ "debug", LOG_DEBUG },
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(value, levels[i].name)) {
			p->config.log_level = levels[i].level;
			return 1;
		}
	}
	return fail(p,
		    "[%s] %s is '%s', expected error, warning, notice, info or "
		    "debug",
		    k->section, k->name, value);
}

static int set_engine(struct parser *p, const struct key *k, const char *value)
{
	if (!strcmp(value, "auto"))
		p->config.engine = CONFIG_ENGINE_AUTO;
	else if (!strcmp(value, "embedded"))
		p->config.engine = CONFIG_ENGINE_EMBEDDED;
	else if (!strcmp(value, "module"))
		p->config.engine = CONFIG_ENGINE_MODULE;
	else
		return fail(p,
			    "[%s] %s is '%s', expected auto, embedded or "
			    "module",
			    k->section, k->name, value);
	return 1;
}

static int set_key(struct parser *p, const struct key *k, const char *value)
{
	switch (k->kind) {
	case KIND_SOCKET:
		return set_socket(p, k, value);
	case KIND_GROUP:
		return set_group(p, k, value);
	case KIND_LEVEL:
		return set_level(p, k, value);
	case KIND_ENGINE:
		return set_engine(p, k, value);
	default:
		return set_number(p, k, value);
	}
}

/* Called by inih for each key; 0 means that it is wrong. */
static int handle(void *user, const char *section, const char *name,
		  const char *value)
{
	struct parser *p = user;
	bool known = false;

	for (size_t i = 0; i < NKEYS; i++) {
		if (strcmp(section, keys[i].section))
			continue;
		known = true;
		if (strcmp(name, keys[i].name))
			continue;
		if (p->seen & (UINT64_C(1) << i))
			return fail(p, "[%s] %s is set twice, expected once",
				    section, name);
		p->seen |= UINT64_C(1) << i;
		return set_key(p, &keys[i], value);
	}
	if (known)
		return fail(p,
			    "[%s] has no key '%s', see sharqd(8) for its keys",
			    section, name);
	if (!*section)
		return fail(p,
			    "key '%s' stands before any section, expected it "
			    "below [daemon], [limits], [engine] or [module]",
			    name);
	return fail(p,
		    "unknown section [%s], expected [daemon], [limits], "
		    "[engine] or [module]",
		    section);
}

static char *read_line(char *buf, int size, void *stream)
{
	struct parser *p = stream;
	size_t len;

	if (p->failed || !fgets(buf, size, p->f))
		return NULL;
	p->line++;
	len = strlen(buf);
	if (len == (size_t)size - 1 && buf[len - 1] != '\n') {
		fail(p, "the line is too long, expected at most %d bytes",
		     size - 2);
		return NULL;
	}
	return buf;
}

int config_parse(FILE *f, const char *name, struct config *config, char *err,
		 size_t size)
{
	struct parser p = {
		.f = f,
		.name = name,
		.config = *config,
		.err = err,
		.err_size = size,
	};
	int line = ini_parse_stream(read_line, &p, handle, &p);

	/* inih goes on after a malformed line: what it then meets follows. */
	if (p.failed && line > 0 && (unsigned int)line < p.line)
		p.failed = false;
	if (p.failed)
		return -EINVAL;
	if (ferror(f)) {
		snprintf(err, size, "%s: can't be read", name);
		return -EIO;
	}
	if (line) {
		if (line > 0)
			p.line = line;
		fail(&p, "expected '[section]' or 'key = value'");
		return -EINVAL;
	}
	if (!p.config.workers)
		p.config.workers = default_workers();
	if (p.config.slice > p.config.max_transfer)
		p.config.slice = p.config.max_transfer;
	*config = p.config;
	return 0;
}

int config_load(const char *path, struct config *config, char *err, size_t size)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	int ret;

	if (!f) {
		ret = -errno;
		snprintf(err, size, "%s: can't be opened: %s", path,
			 strerror(-ret));
		return ret;
	}
	if (!fstat(fileno(f), &st) && S_ISDIR(st.st_mode)) {
		snprintf(err, size, "%s: is a directory, expected a file",
			 path);
		ret = -EISDIR;
	} else {
		ret = config_parse(f, path, config, err, size);
	}
	fclose(f);
	return ret;
}
