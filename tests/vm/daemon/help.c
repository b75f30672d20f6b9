/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <errno.h>

#include "daemon.h"
#include "neighbour.h"

#define PIECE (1U << 20)
#define COPIES 32
#define PACKS 4

struct sharq_queue *open_path(struct sharq *s, uint32_t depth, uint32_t path)
{
	struct sharq_queue_opts opts = { .depth = depth, .path = path };
	struct sharq_queue_info info;
	struct sharq_queue *q;
	char why[256];
	int r = sharq_queue_open(s, &opts, &q);

	CHECK(!r, "opening a queue: %d, %s", r,
	      sharq_error(s, why, sizeof(why)));
	CHECK_EQ(sharq_queue_info(q, &info), 0);
	CHECK_EQ(info.path, path ? path : SHARQ_PATH_DIRECT);
	return q;
}

void open_fails(struct sharq *s, const struct sharq_queue_opts *opts, int code,
		const char *says)
{
	struct sharq_queue *q;
	char why[256];

	CHECK_EQ(sharq_queue_open(s, opts, &q), code);
	sharq_error(s, why, sizeof(why));
	CHECK(strstr(why, says), "'%s' lacks '%s'", why, says);
}

void daemon_start_auto(struct daemon *d, const char *conf)
{
	daemon_engine("auto");
	daemon_start(d, conf);
}

/* ---- work in flight ---- */

void load_make(struct load *l, struct sharq *s)
{
	l->room = sharq_compress_bound(PIECE);
	l->src = must_alloc(s, PIECE);
	l->dst = must_alloc(s, (size_t)COPIES * PIECE);
	l->packed = must_alloc(s, PACKS * l->room);
	rnd_fill(l->src, PIECE, 5);
}

void load_free(struct load *l, struct sharq *s)
{
	sharq_free(s, l->src);
	sharq_free(s, l->dst);
	sharq_free(s, l->packed);
}

void load_submit(struct load *l, struct sharq_queue *q)
{
	memset(l->dst, 0, (size_t)COPIES * PIECE);
	for (unsigned int i = 0; i < PACKS + COPIES; i++) {
		struct sharq_sqe *sqe = must_sqe(q);

		if (i < PACKS)
			sharq_prep_compress(sqe, l->packed + i * l->room,
					    (uint32_t)l->room, l->src, PIECE,
					    SHARQ_FORMAT_RAW, 9);
		else
			sharq_prep_copy(sqe, l->dst + (i - PACKS) * PIECE,
					l->src, PIECE);
		sharq_sqe_set_data64(sqe, i);
	}
	must_submit(q, PACKS + COPIES);
}

unsigned int load_reap_some(struct load *l, struct sharq_queue *q)
{
	unsigned char seen[PACKS + COPIES] = { 0 };
	const struct sharq_cqe *more;
	unsigned int ok = 0;

	for (unsigned int i = 0; i < PACKS + COPIES; i++) {
		struct sharq_cqe c = must_reap(q, 60000);

		CHECK(c.user_data < sizeof(seen) && !seen[c.user_data],
		      "command %llu: strange, or twice",
		      (unsigned long long)c.user_data);
		seen[c.user_data] = 1;
		if (c.status == SHARQ_CANCELED)
			continue;
		CHECK_EQ(c.status, SHARQ_OK);
		ok++;
		CHECK(c.user_data < PACKS ||
			      !memcmp(l->dst + (c.user_data - PACKS) * PIECE,
				      l->src, PIECE),
		      "data of command %llu is wrong",
		      (unsigned long long)c.user_data);
	}
	CHECK(sharq_peek_cqe(q, &more) == -EAGAIN, "one completion too many");
	return ok;
}

void load_reap(struct load *l, struct sharq_queue *q)
{
	CHECK_EQ(load_reap_some(l, q), PACKS + COPIES);
}

/* ---- sharqctl ---- */

static void shows(char *const *args, const char *const *words)
{
	char *text;

	CHECK_EQ(run_program(args, tmp_path("shown"), NULL, 10000), 0);
	text = file_text(tmp_path("shown"));
	for (; *words; words++)
		CHECK(strstr(text, *words), "no '%s' in:\n%s", *words, text);
	free(text);
}

void shows_queue(const struct daemon *d, uint64_t queue,
		 const char *const *words)
{
	char id[24];

	snprintf(id, sizeof(id), "%llu", (unsigned long long)queue);
	shows((char *[]){ (char *)bin_path("sharqctl"), "--socket",
			  (char *)d->socket, "show", "queue", id, NULL },
	      words);
}

void shows_stats(const struct daemon *d, const char *const *words)
{
	shows((char *[]){ (char *)bin_path("sharqctl"), "--socket",
			  (char *)d->socket, "stats", NULL },
	      words);
}
