// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "progress.h"
#include "table.h"

#define FIRST_MS 1000
#define EVERY_MS 200
#define BAR 30

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void progress_start(struct progress *p, const char *what, int64_t total)
{
	memset(p, 0, sizeof(*p));
	p->what = what;
	p->total = total;
	p->tty = isatty(STDERR_FILENO);
	p->started_ms = now_ms();
}

void progress_update(struct progress *p, uint64_t done)
{
	char bar[BAR + 1], amount[16], rate[16];
	int64_t now, ms;
	unsigned int n;

	if (!p->tty)
		return;
	now = now_ms();
	ms = now - p->started_ms;
	if (ms < FIRST_MS || now - p->shown_ms < EVERY_MS)
		return;
	p->shown_ms = now;
	p->shown = true;
	human_bytes(done, amount);
	human_bytes(done * 1000 / ms, rate);
	if (p->total > 0) {
		/* A file may grow while it is read. */
		if (done > (uint64_t)p->total)
			done = p->total;
		n = (unsigned int)((double)done / p->total * BAR);
		memset(bar, '#', n);
		memset(bar + n, '.', BAR - n);
		bar[BAR] = '\0';
		fprintf(stderr, "\r%-10s [%s] %3u%% %7s %7s/s\033[K", p->what,
			bar, (unsigned int)((double)done / p->total * 100),
			amount, rate);
	} else {
		fprintf(stderr, "\r%-10s %7s %7s/s\033[K", p->what, amount,
			rate);
	}
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
