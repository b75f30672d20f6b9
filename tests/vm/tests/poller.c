/* SPDX-License-Identifier: MIT */
/*
 * Usage: guest-poller PATH DEVICE. One NOP after the other, waiting by
 * sharq_queue_fd() only, until the queue takes no more; says why.
 */
#include <poll.h>
#include <sharq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int say(const char *what, int rc, struct sharq *s)
{
	char text[512] = "";

	if (s)
		sharq_error(s, text, sizeof(text));
	fprintf(stderr, "%s: %s: %s\n", what, strerror(-rc), text);
	return 1;
}

/* Return: its status. */
static unsigned int wait_for_one(struct sharq_queue *q, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const struct sharq_cqe *cqe;
	unsigned int status;

	while (sharq_peek_cqe(q, &cqe))
		poll(&p, 1, -1);
	status = cqe->status;
	sharq_cqe_seen(q, cqe);
	return status;
}

int main(int argc, char **argv)
{
	struct sharq_queue_opts opts = { .depth = 8 };
	unsigned int status = SHARQ_OK;
	struct sharq_queue *q = NULL;
	struct sharq *s;
	int rc, fd;

	if (argc != 3)
		return 2;
	while (strcmp(sharq_path_name(opts.path), argv[1]))
		if (++opts.path > SHARQ_PATH_INLINE)
			return 2;
	opts.device = (uint32_t)strtoul(argv[2], NULL, 10);
	rc = sharq_connect(&s, NULL);
	if (rc)
		return say("connect", rc, NULL);
	rc = sharq_queue_open(s, &opts, &q);
	if (rc)
		return say("open", rc, s);
	fd = sharq_queue_fd(q);
	if (fd < 0)
		return say("fd", fd, s);
	while (status == SHARQ_OK) {
		sharq_prep_nop(sharq_get_sqe(q));
		rc = sharq_submit(q);
		if (rc < 0)
			break;
		status = wait_for_one(q, fd);
	}
	fprintf(stderr, "%s, ", sharq_status_name(status));
	return say("submit", rc < 0 ? rc : 0, s);
}
