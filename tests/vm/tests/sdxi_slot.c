// SPDX-License-Identifier: MIT
#include "sdxi_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"
#include "sdxi_function.h"

/* lib/qemu has the monitor there: a line of JSON for each command and answer. */
#define MONITOR "/dev/ttyS2"
/* Ends what somebody else may have begun to say; no JSON has it. */
#define START_ANEW "\xff"

static int monitor = -1;

static void say(const char *line)
{
	ck_assert(write(monitor, line, strlen(line)) == (ssize_t)strlen(line));
}

static char hear_char(uint64_t end)
{
	struct pollfd p = { .fd = monitor, .events = POLLIN };
	uint64_t now = now_ms();
	char c;

	ck_assert_msg(now < end && poll(&p, 1, (int)(end - now)) == 1,
		      "the emulator says nothing");
	ck_assert(read(monitor, &c, 1) == 1);
	return c;
}

static const char *hear(uint64_t end)
{
	static char line[4096];
	size_t n = 0;

	do {
		ck_assert_uint_lt(n, sizeof(line) - 1);
		line[n] = hear_char(end);
	} while (line[n++] != '\n');
	line[n] = 0;
	return line;
}

/* Until a line has both words; an answer among them must be no error. */
static void hear_of(const char *a, const char *b)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	const char *line;

	do {
		line = hear(end);
		ck_assert_msg(!strstr(line, "\"id\"") ||
				      strstr(line, "\"return\""),
			      "the emulator: %s", line);
	} while (!strstr(line, a) || !strstr(line, b));
}

static void greet(void)
{
	char id[32];

	snprintf(id, sizeof(id), "\"id\": %d", getpid());
	say(START_ANEW "{ \"execute\": \"qmp_capabilities\", ");
	say(id);
	say(" }\n");
	/* It may be an error: it was asked before. */
	while (!strstr(hear(now_ms() + PATIENCE_MS), id))
		;
}

static void open_monitor(void)
{
	struct termios t;

	if (monitor >= 0)
		return;
	monitor = broker_open(MONITOR, O_RDWR | O_NOCTTY);
	ck_assert_msg(monitor >= 0, MONITOR ": %s", strerror(-monitor));
	ck_assert(!tcgetattr(monitor, &t));
	cfmakeraw(&t);
	ck_assert(!tcsetattr(monitor, TCSANOW, &t));
	greet();
}

void sdxi_slot_plug(const char *option)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	struct sharq_ctl_device d;

	open_monitor();
	say("{ \"execute\": \"device_add\", \"id\": 1, \"arguments\": { "
	    "\"driver\": \"sdxi\", \"id\": \"plugged\", \"bus\": \"spare\", "
	    "\"test\": 1");
	if (option) {
		say(", ");
		say(option);
	}
	say(" } }\n");
	hear_of("\"id\": 1", "\"return\"");
	sdxi_choose(SDXI_SLOT);
	while (!sdxi_find(&d)) {
		ck_assert_msg(now_ms() < end, "what is plugged isn't served");
		poll(NULL, 0, 1);
	}
}

void sdxi_slot_unplug(void)
{
	open_monitor();
	say("{ \"execute\": \"device_del\", \"id\": 2, \"arguments\": { "
	    "\"id\": \"plugged\" } }\n");
	hear_of("\"id\": 2", "\"return\"");
	hear_of("\"DEVICE_DELETED\"", "\"plugged\"");
}
