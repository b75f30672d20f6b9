// SPDX-License-Identifier: MIT
#include "closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Interrupts a close; nobody else here uses it. */
#define HURRY SIGURG
/* So often at most for what is one too many, and so long each time. */
#define HURRIES 16
#define HURRY_NS 250000

struct closing {
	STAILQ_ENTRY(closing) link;
	int fd;
};

/*
 * @lock:  of all that follows
 * @fds:   what waits
 * @count: of these, and the one that is being closed
 * @runs:  there is a @thread; it ends when there is nothing left
 * @freed: nobody but the thread has it any more
 */
struct closer {
	pthread_mutex_t lock;
	pthread_cond_t closed;
	pthread_t thread;
	unsigned int max;
	STAILQ_HEAD(, closing) fds;
	unsigned int count;
	bool runs;
	bool freed;
};

static void on_hurry(int sig)
{
	(void)sig;
}

struct closer *closer_new(unsigned int max)
{
	/* A signal that is ignored would interrupt nothing. */
	const struct sigaction hurry = { .sa_handler = on_hurry };
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	sigaction(HURRY, &hurry, NULL);
	c->max = max;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->closed, NULL);
	STAILQ_INIT(&c->fds);
	return c;
}

static void destroy(struct closer *c)
{
	pthread_cond_destroy(&c->closed);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct closer *closer_free(struct closer *c)
{
	bool runs;

	pthread_mutex_lock(&c->lock);
	runs = c->runs;
	c->freed = true;
	pthread_mutex_unlock(&c->lock);
	if (!runs)
		destroy(c);
	return NULL;
}

static void *run(void *arg)
{
	struct closer *c = arg;
	struct closing *next;
	bool freed;

	pthread_mutex_lock(&c->lock);
	while ((next = STAILQ_FIRST(&c->fds))) {
		STAILQ_REMOVE_HEAD(&c->fds, link);
		pthread_mutex_unlock(&c->lock);
		close(next->fd);
		free(next);
		pthread_mutex_lock(&c->lock);
		c->count--;
		pthread_cond_signal(&c->closed);
	}
	c->runs = false;
	freed = c->freed;
	pthread_mutex_unlock(&c->lock);
	if (freed)
		destroy(c);
	return NULL;
}

/* All signals but one are the event loop's. */
static bool start_thread(struct closer *c)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int ret;

	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	sigdelset(&all, HURRY);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&c->thread, &attr, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return !ret;
}

static void add_ns(struct timespec *ts, long ns)
{
	ts->tv_nsec += ns;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_nsec -= 1000000000;
		ts->tv_sec++;
	}
}

/*
 * What lingers ends when it is interrupted. The thread is waited for until no more
 * is left than may be, or more could come than go; not for long, as there may be
 * what can't be interrupted. What is late is made up for by the next. It is
 * interrupted anew all the time: a signal between two closes is lost.
 */
static void hurry(struct closer *c)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	for (int i = 0; i < HURRIES && c->count > c->max; i++) {
		pthread_kill(c->thread, HURRY);
		add_ns(&until, HURRY_NS);
		pthread_cond_clockwait(&c->closed, &c->lock, CLOCK_MONOTONIC,
				       &until);
	}
}

/* Without memory or a thread it stays open, and counted. */
void closer_close(struct closer *c, int fd)
{
	struct closing *closing = malloc(sizeof(*closing));

	pthread_mutex_lock(&c->lock);
	c->count++;
	if (closing) {
		closing->fd = fd;
		STAILQ_INSERT_TAIL(&c->fds, closing, link);
	}
	if (!c->runs)
		c->runs = start_thread(c);
	if (c->runs)
		hurry(c);
	pthread_mutex_unlock(&c->lock);
}

/* Are there descriptors in what was sent to it? If nobody can say: perhaps. */
static bool holds_fds(int sock)
{
	char path[64], line[256];
	unsigned int n = 1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", sock);
	f = fopen(path, "re");
	if (!f)
		return true;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "scm_fds: %u", &n) == 1)
			break;
	fclose(f);
	return n;
}

void closer_close_socket(struct closer *c, int sock)
{
	/* First: from then on nothing can be sent to it. */
	if (!shutdown(sock, SHUT_RD) && !holds_fds(sock)) {
		close(sock);
		return;
	}
	/* Its peer is to see the end now, whatever waits in front of it. */
	shutdown(sock, SHUT_RDWR);
	closer_close(c, sock);
}

unsigned int closer_count(struct closer *c)
{
	unsigned int n;

	pthread_mutex_lock(&c->lock);
	n = c->count;
	pthread_mutex_unlock(&c->lock);
	return n;
}
