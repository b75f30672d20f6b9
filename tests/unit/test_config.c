/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "config.h"
#include "unit.h"

static struct config config;
static char err[512];

static int parse(const char *text)
{
	/* fmemopen() doesn't open what is empty. */
	FILE *f = *text ? fmemopen((void *)text, strlen(text), "r")
			: fopen("/dev/null", "r");
	int r;

	ck_assert_ptr_nonnull(f);
	err[0] = 0;
	config_defaults(&config);
	r = config_parse(f, "test.conf", &config, err, sizeof(err));
	fclose(f);
	return r;
}

START_TEST(defaults)
{
	ck_assert_int_eq(parse(""), 0);
	ck_assert_str_eq(config.socket, "/run/sharq/sharqd.sock");
	ck_assert_uint_eq(config.max_transfer, 1U << 30);
	ck_assert_uint_ge(config.workers, 1);
	ck_assert_uint_eq(config.depth, 4096);
}
END_TEST

START_TEST(engine_types)
{
	ck_assert_int_eq(parse("[engine]\ntype = module\n"), 0);
	ck_assert_int_eq(config.engine, CONFIG_ENGINE_MODULE);
	ck_assert_int_eq(parse("[engine]\ntype = auto\n"), 0);
	ck_assert_int_eq(config.engine, CONFIG_ENGINE_AUTO);
}
END_TEST

START_TEST(every_key)
{
	static const char text[] = "; a comment\n"
				   "[daemon]\n"
				   "socket = /tmp/x.sock\n"
				   "socket-mode = 0600\n"
				   "socket-group = users\n"
				   "log-level = debug\n"
				   "drain-ms = 1234\n"
				   "\n"
				   "[limits]\n"
				   "clients = 10\n"
				   "clients-per-user = 9\n"
				   "queues = 8\n"
				   "queues-per-user = 7\n"
				   "depth = 512\n"
				   "arena-per-user = 3G\n"
				   "regions-per-client = 6\n"
				   "[engine]\n"
				   "type = embedded\n"
				   "workers = 5\n"
				   "slice = 64K\n"
				   "spin-us = 11\n"
				   "max-transfer = 16M\n"
				   "[module]\n"
				   "weight = 200\n"
				   "pin-per-queue = 5M\n";

	ck_assert_msg(!parse(text), "%s", err);
	ck_assert_str_eq(config.socket, "/tmp/x.sock");
	ck_assert_uint_eq(config.socket_mode, 0600);
	ck_assert_str_eq(config.socket_group, "users");
	ck_assert_int_eq(config.log_level, LOG_DEBUG);
	ck_assert_uint_eq(config.drain_ms, 1234);
	ck_assert_uint_eq(config.clients, 10);
	ck_assert_uint_eq(config.clients_per_user, 9);
	ck_assert_uint_eq(config.queues, 8);
	ck_assert_uint_eq(config.queues_per_user, 7);
	ck_assert_uint_eq(config.depth, 512);
	ck_assert_uint_eq(config.arena_per_user, 3ULL << 30);
	ck_assert_uint_eq(config.regions_per_client, 6);
	ck_assert_int_eq(config.engine, CONFIG_ENGINE_EMBEDDED);
	ck_assert_uint_eq(config.workers, 5);
	ck_assert_uint_eq(config.slice, 65536);
	ck_assert_uint_eq(config.spin_us, 11);
	ck_assert_uint_eq(config.max_transfer, 16U << 20);
	ck_assert_uint_eq(config.weight, 200);
	ck_assert_uint_eq(config.pin_per_queue, 5U << 20);
}
END_TEST

/* The file and line, and each of @words, must be in the sentence. */
static void wrong(const char *text, unsigned int line, const char *key,
		  const char *expected)
{
	struct config before;
	char where[32];

	config_defaults(&before);
	ck_assert_msg(parse(text) == -EINVAL, "accepted: %s", text);
	snprintf(where, sizeof(where), "test.conf:%u: ", line);
	ck_assert_msg(!strncmp(err, where, strlen(where)), "'%s' isn't at '%s'",
		      err, where);
	ck_assert_msg(strstr(err, key) && strstr(err, expected),
		      "'%s' lacks '%s' or '%s'", err, key, expected);
	ck_assert_msg(!memcmp(&before, &config, sizeof(config)),
		      "changed by: %s", text);
}

START_TEST(wrong_values)
{
	static const struct {
		const char *section, *key, *value, *expected;
	} bad[] = {
		{ "daemon", "socket", "relative", "absolute path" },
		{ "daemon", "socket", "/dir/", "absolute path" },
		{ "daemon", "socket-mode", "0888", "octal" },
		{ "daemon", "socket-mode", "1777", "0777" },
		{ "daemon", "socket-group", "a b", "group" },
		{ "daemon", "log-level", "loud", "debug" },
		{ "daemon", "drain-ms", "600001", "600000" },
		{ "daemon", "drain-ms", "-1", "number" },
		{ "daemon", "drain-ms", "1 s", "number" },
		{ "limits", "clients", "0", "number" },
		{ "limits", "clients", "65537", "65536" },
		{ "limits", "clients", "ten", "number" },
		{ "limits", "clients", "", "number" },
		{ "limits", "clients", "18446744073709551617", "number" },
		{ "limits", "depth", "3", "power of two" },
		{ "limits", "depth", "1", "power of two" },
		{ "limits", "depth", "8192", "4096" },
		{ "limits", "arena-per-user", "1T", "K, M or G" },
		{ "limits", "arena-per-user", "4095", "4096" },
		{ "limits", "arena-per-user", "17179869184G", "number" },
		{ "engine", "type", "quantum", "embedded or module" },
		{ "engine", "workers", "65", "64" },
		{ "engine", "slice", "4095", "4096" },
		{ "engine", "max-transfer", "4G", "4294967295" },
		{ "engine", "max-transfer", "16MB", "number" },
		{ "module", "weight", "0", "number" },
		{ "module", "weight", "257", "256" },
		{ "module", "pin-per-queue", "1023K", "1048576" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[256];

		snprintf(text, sizeof(text), "# a line\n[%s]\n\n%s = %s\n",
			 bad[i].section, bad[i].key, bad[i].value);
		wrong(text, 4, bad[i].key, bad[i].expected);
		/* What stands behind it doesn't hide it. */
		snprintf(text, sizeof(text),
			 "[%s]\n%s = %s\n[nonsense]\nx = y\n", bad[i].section,
			 bad[i].key, bad[i].value);
		wrong(text, 2, bad[i].key, bad[i].expected);
	}
}
END_TEST

START_TEST(wrong_structure)
{
	wrong("[engine]\nworkrs = 2\n", 2, "workrs", "keys");
	wrong("[engines]\nworkers = 2\n", 2, "engines", "[engine]");
	wrong("workers = 2\n", 1, "workers", "[engine]");
	wrong("[engine]\nworkers = 2\nworkers = 2\n", 3, "workers", "once");
	wrong("[engine]\nworkers\n", 2, "", "key = value");
	wrong("[engine\nworkers = 2\n", 1, "", "[section]");
}
END_TEST

/* Too long for the parser's line: named, not cut. */
START_TEST(long_line)
{
	char *text = malloc(100000);

	memset(text, 'x', 99999);
	memcpy(text, "[daemon]\nsocket = /", 19);
	text[99999] = 0;
	wrong(text, 2, "", "");
	free(text);
}
END_TEST

START_TEST(load)
{
	char path[] = "/tmp/sharq-unit-config-XXXXXX";
	int fd = mkstemp(path);

	config_defaults(&config);
	ck_assert_int_eq(
		config_load("/nowhere/sharqd.conf", &config, err, sizeof(err)),
		-ENOENT);
	ck_assert_ptr_nonnull(strstr(err, "/nowhere/sharqd.conf"));
	ck_assert_int_lt(config_load("/tmp", &config, err, sizeof(err)), 0);
	ck_assert_ptr_nonnull(strstr(err, "directory"));
	ck_assert_int_eq(write(fd, "[limits]\nclients = x\n", 21), 21);
	close(fd);
	ck_assert_int_eq(config_load(path, &config, err, sizeof(err)), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err, path));
	ck_assert_ptr_nonnull(strstr(err, ":2: "));
	unlink(path);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *s = suite_create("config");

	UNIT_ADD(s, defaults);
	UNIT_ADD(s, engine_types);
	UNIT_ADD(s, every_key);
	UNIT_ADD(s, wrong_values);
	UNIT_ADD(s, wrong_structure);
	UNIT_ADD(s, long_line);
	UNIT_ADD(s, load);
	return s;
}
