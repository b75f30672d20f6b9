// SPDX-License-Identifier: MIT
#include "closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct closing {
	STAILQ_ENTRY(closing) link;
	int fd;
};

/*
 * @lock:  of all that follows
 * @fds:   what waits
 * @count: of these, and the one that is being closed
 * @runs:  there is a thread; it ends when there is nothing left
 * @freed: nobody but the thread has it any more
 */
struct closer {
	pthread_mutex_t lock;
	STAILQ_HEAD(, closing) fds;
	unsigned int count;
	bool runs;
	bool freed;
};

struct closer *closer_new(void)
{
	struct closer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	STAILQ_INIT(&c->fds);
	return c;
}

static void destroy(struct closer *c)
{
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
	}
	c->runs = false;
	freed = c->freed;
	pthread_mutex_unlock(&c->lock);
	if (freed)
		destroy(c);
	return NULL;
}

/* Signals are the event loop's. */
static bool start_thread(struct closer *c)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int ret;

	if (pthread_attr_init(&attr))
		return false;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&thread, &attr, run, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return !ret;
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
