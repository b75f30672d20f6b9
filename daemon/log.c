// SPDX-License-Identifier: MIT
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	int level;
	bool to_syslog;
	bool journal;
} logger = { .level = LOG_INFO };

/* systemd says which stream the journal reads: is it ours still? */
static bool stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return s && sscanf(s, "%llu:%llu", &dev, &ino) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == dev &&
	       st.st_ino == ino;
}

void log_init(bool to_syslog)
{
	logger.to_syslog = to_syslog;
	logger.journal = !to_syslog && stderr_is_journal();
	if (to_syslog)
		openlog("sharqd", LOG_PID, LOG_DAEMON);
}

void log_set_level(int level)
{
	logger.level = level;
}

void log_msg(int level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (level > logger.level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* Peers choose some of the words: one entry is one line. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (logger.to_syslog)
		syslog(level, "%s", line);
	else if (logger.journal)
		fprintf(stderr, "<%d>%s\n", level, line);
	else
		fprintf(stderr, "sharqd: %s\n", line);
}
