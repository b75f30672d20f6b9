// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <signal.h>
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

/* Milliseconds since the start, 0 while there is nothing new to show. */
static int64_t due(struct progress *p)
{
	int64_t now, ms;

	if (!p->tty)
		return 0;
	now = now_ms();
	ms = now - p->started_ms;
	if (ms < FIRST_MS || now - p->shown_ms < EVERY_MS)
		return 0;
	p->shown_ms = now;
	p->shown = true;
	return ms;
}

static void show(const struct progress *p, uint64_t done, const char *amount)
{
	char bar[BAR + 1];
	unsigned int n;

	if (p->total <= 0) {
		fprintf(stderr, "\r%-10s %s\033[K", p->what, amount);
		return;
	}
	/* A file may grow while it is read. */
	if (done > (uint64_t)p->total)
		done = p->total;
	n = (unsigned int)((double)done / p->total * BAR);
	memset(bar, '#', n);
	memset(bar + n, '.', BAR - n);
	bar[BAR] = '\0';
	fprintf(stderr, "\r%-10s [%s] %3u%% %s\033[K", p->what, bar,
		(unsigned int)((double)done / p->total * 100), amount);
}

void progress_update(struct progress *p, uint64_t done)
{
	char bytes[16], rate[16], amount[40];
	int64_t ms = due(p);

	if (!ms)
		return;
	human_bytes(done, bytes);
	human_bytes(done * 1000 / ms, rate);
	snprintf(amount, sizeof(amount), "%7s %7s/s", bytes, rate);
	show(p, done, amount);
}

static void *show_time(void *arg)
{
	struct progress *p = arg;
	struct timespec t;
	char amount[40];
	int64_t ms;

	do {
		ms = due(p);
		if (ms) {
			snprintf(amount, sizeof(amount), "%5" PRId64 " s",
				 ms / 1000);
			show(p, ms, amount);
		}
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += EVERY_MS * 1000000L;
		t.tv_sec += t.tv_nsec / 1000000000L;
		t.tv_nsec %= 1000000000L;
	} while (sem_timedwait(&p->over, &t));
	return NULL;
}

void progress_wait(struct progress *p, const char *what, int64_t ms)
{
	sigset_t all, old;

	progress_start(p, what, ms);
	if (!p->tty)
		return;
	sem_init(&p->over, 0, 0);
	/* Signals are for who waits. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	p->waits = !pthread_create(&p->thread, NULL, show_time, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void progress_end(struct progress *p)
{
	if (p->waits) {
		sem_post(&p->over);
		pthread_join(p->thread, NULL);
		sem_destroy(&p->over);
		p->waits = false;
	}
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
