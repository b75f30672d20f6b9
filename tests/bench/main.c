// SPDX-License-Identifier: MIT
/*
 * sharq-bench: sharq beside the same work without it. Both sides of each
 * comparison are run in turn, several rounds of it; a round's ratio compares
 * neighbours in time, and the median of the ratios is what counts.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "median.h"

#define MAX_ROUNDS 101
#define RSS_LIMIT_KIB 8192
#define IDLE_SECONDS 5

void die(const char *format, ...)
{
	va_list args;

	fputs("sharq-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	daemon_stop();
	exit(1);
}

static double bare_ring_64(struct bench *b)
{
	return bare_ring(b, 64, 1);
}

static double bare_ring_4k(struct bench *b)
{
	return bare_ring(b, 4096, 1);
}

/* Rings that hand over up to 16 completions at once, as sharq does, too. */
static double bare_ring_64_by_16(struct bench *b)
{
	return bare_ring(b, 64, 16);
}

static double bare_ring_4k_by_16(struct bench *b)
{
	return bare_ring(b, 4096, 16);
}

static double sharq_copies_64(struct bench *b)
{
	return sharq_copies(b, 64);
}

static double sharq_copies_4k(struct bench *b)
{
	return sharq_copies(b, 4096);
}

/*
 * struct comparison
 * @unit, @scale: rates are shown as rate / scale; scale 0: as ns per operation
 * @target:       sharq's rate over the bare one must reach this; 0: context
 */
struct comparison {
	const char *key;
	const char *name;
	const char *unit;
	double scale;
	double target;
	double (*bare)(struct bench *b);
	double (*sharq)(struct bench *b);
};

static const struct comparison comparisons[] = {
	{ "nop", "NOP round trip / ping-pong", "ns", 0, 0.5, bare_pingpong,
	  sharq_nop },
	{ "copy64", "COPY 64 B, depth 64 / bare ring", "Mop/s", 1e6, 0.8,
	  bare_ring_64, sharq_copies_64 },
	{ "copy64by16", "(the same, ring answering by 16)", "Mop/s", 1e6, 0,
	  bare_ring_64_by_16, sharq_copies_64 },
	{ "copy4k", "COPY 4 KiB, depth 64 / bare ring", "Mop/s", 1e6, 0.8,
	  bare_ring_4k, sharq_copies_4k },
	{ "copy4kby16", "(the same, ring answering by 16)", "Mop/s", 1e6, 0,
	  bare_ring_4k_by_16, sharq_copies_4k },
	{ "crc32c", "CRC32C 1 MiB of 256 / ISA-L", "GB/s", 1e9, 0.9, bare_crc,
	  sharq_crcs },
	{ "compress", "COMPRESS 256 KiB / ISA-L, 1 thread", "GB/s", 1e9, 1.6,
	  bare_deflate, sharq_deflates },
	{ "isal2", "(ISA-L on 2 threads / 1 thread)", "GB/s", 1e9, 0,
	  bare_deflate, bare_deflate_two },
};
#define COMPARISONS (sizeof(comparisons) / sizeof(*comparisons))

struct result {
	double bare[MAX_ROUNDS], sharq[MAX_ROUNDS], ratio[MAX_ROUNDS];
};

static double shown(const struct comparison *c, double rate)
{
	return c->scale > 0 ? rate / c->scale : 1e9 / rate;
}

/* A round trip's ratio is one of times, as people say it. */
static double shown_ratio(const struct comparison *c, double ratio)
{
	return c->scale > 0 ? ratio : 1 / ratio;
}

static bool print_comparison(const struct comparison *c, struct result *r,
			     unsigned int rounds, bool json)
{
	double ratio = median(r->ratio, rounds);
	double bare = shown(c, median(r->bare, rounds));
	double mine = shown(c, median(r->sharq, rounds));
	double low = shown_ratio(c, r->ratio[0]);
	double high = shown_ratio(c, r->ratio[rounds - 1]);
	bool met = ratio >= c->target;
	char want[16] = "";

	if (json) {
		printf("%s\"%s\":{\"unit\":\"%s\",\"bare\":%.4f,"
		       "\"sharq\":%.4f,\"ratio\":%.4f,\"first\":%.4f,"
		       "\"last\":%.4f,\"target\":%.2f,\"met\":%s}",
		       c == comparisons ? "" : ",", c->key, c->unit, bare, mine,
		       shown_ratio(c, ratio), low, high,
		       c->target > 0 ? shown_ratio(c, c->target) : 0,
		       met ? "true" : "false");
		return met;
	}
	if (c->target > 0)
		snprintf(want, sizeof(want), "%s %.1f %s",
			 c->scale > 0 ? ">=" : "<=", shown_ratio(c, c->target),
			 met ? "ok" : "NO");
	printf("%-34s %-5s %7.2f %7.2f %6.2f %s\n", c->name, c->unit, bare,
	       mine, shown_ratio(c, ratio), want);
	return met;
}

static bool compare(struct bench *b, unsigned int rounds, bool json)
{
	static struct result results[COMPARISONS];
	bool met = true;
	unsigned int i, round;

	/* Round 0 warms up: pages, clocks, the engine's threads. */
	for (round = 0; round <= rounds; round++) {
		for (i = 0; i < COMPARISONS; i++) {
			const struct comparison *c = &comparisons[i];
			struct result *r = &results[i];
			unsigned int at = round ? round - 1 : 0;

			r->bare[at] = c->bare(b);
			r->sharq[at] = c->sharq(b);
			r->ratio[at] = r->sharq[at] / r->bare[at];
		}
		if (isatty(STDERR_FILENO))
			fprintf(stderr, "\rround %u of %u ", round, rounds);
	}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (!json)
		printf("%-34s %-5s %7s %7s %6s %s\n", "", "", "bare", "sharq",
		       "ratio", "target");
	for (i = 0; i < COMPARISONS; i++)
		met &= print_comparison(&comparisons[i], &results[i], rounds,
					json);
	/* The last line is ISA-L alone: what two threads get from here. */
	if (!json && results[COMPARISONS - 1].ratio[rounds / 2] < 1.7)
		puts("This machine did not give two threads two processors: it "
		     "is "
		     "busy otherwise.\nMeasure again when it is quiet.");
	return met;
}

struct busy {
	double client; /* system calls per operation */
	double events; /* the engine's, to wake the client */
	double waits;  /* times that an engine's thread slept */
};

/* 4-KiB copies for two seconds; what both sides did in the meantime. */
static void measure_busy(struct bench *b, struct busy *busy)
{
	struct sharq_queue_opts opts = { .path = SHARQ_PATH_EMBEDDED,
					 .depth = DEPTH };
	struct sharq_queue_counts counts;
	struct sharq_queue_info info;
	struct proc_counts before, after;
	const struct sharq_cqe *cqe;
	struct sharq_queue *q;
	struct sharq_sqe *sqe;
	double begin = now();
	uint32_t next = 0;
	char text[256];

	if (sharq_queue_open(b->s, &opts, &q))
		die("%s", sharq_error(b->s, text, sizeof(text)));
	proc_counts(daemon_engine(), &before);
	while (now() - begin < 2) {
		while ((sqe = sharq_get_sqe(q))) {
			uint32_t at = next++ % DEPTH * 4096;

			sharq_prep_copy(sqe, b->room + at, b->set + at, 4096);
		}
		if (sharq_submit(q) < 0)
			die("submit failed");
		while (!sharq_peek_cqe(q, &cqe))
			sharq_cqe_seen(q, cqe);
	}
	proc_counts(daemon_engine(), &after);
	sharq_queue_info(q, &info);
	sharq_queue_counts(q, &counts);
	busy->client = (double)counts.syscalls / counts.completed;
	busy->events =
		(double)daemon_queue_stat(info.id, "events") / counts.completed;
	busy->waits = (double)(after.waits - before.waits) / counts.completed;
	sharq_queue_close(q);
}

struct idle {
	double wakes; /* per second */
	uint64_t rss_kib;
};

/* With a connection and a queue open that have nothing to do. */
static void measure_idle(pid_t daemon, pid_t engine, struct idle idle[2])
{
	struct proc_counts before[2], after[2];
	const pid_t of[2] = { daemon, engine };
	int i;

	sleep(1);
	for (i = 0; i < 2; i++)
		proc_counts(of[i], &before[i]);
	sleep(IDLE_SECONDS);
	for (i = 0; i < 2; i++) {
		proc_counts(of[i], &after[i]);
		idle[i].wakes =
			(double)(after[i].switches - before[i].switches) /
			IDLE_SECONDS;
		idle[i].rss_kib = after[i].rss_kib;
	}
}

static bool print_rest(const struct busy *busy, const struct idle idle[2],
		       bool json)
{
	static const char *const who[] = { "daemon", "engine" };
	/* A few calls at the start and whenever the machine takes a processor
	 * away are not calls per operation. */
	bool met = busy->client < 0.001 && busy->events < 0.001;
	int i;

	if (json)
		printf(",\"busy\":{\"client\":%.6f,\"events\":%.6f,"
		       "\"waits\":%.6f}",
		       busy->client, busy->events, busy->waits);
	else
		printf("\nBusy, 4-KiB COPY, per operation: %.6f system calls "
		       "by "
		       "the client,\n%.6f events by the engine, %.6f sleeps of "
		       "its threads (target: 0.000)  %s\n",
		       busy->client, busy->events, busy->waits,
		       met ? "ok" : "NO");
	for (i = 0; i < 2; i++) {
		bool good = idle[i].wakes < 0.5 &&
			    idle[i].rss_kib < RSS_LIMIT_KIB;

		if (json)
			printf(",\"idle_%s\":{\"wakes_per_s\":%.2f,"
			       "\"rss_kib\":%" PRIu64 "}",
			       who[i], idle[i].wakes, idle[i].rss_kib);
		else
			printf("Idle %s: %.2f wake-ups/s, %.1f MiB resident "
			       "(target: 0, below 8)  %s\n",
			       who[i], idle[i].wakes, idle[i].rss_kib / 1024.0,
			       good ? "ok" : "NO");
		met &= good;
	}
	return met;
}

/* Text of a small vocabulary with numbers in it: compresses as logs do. */
static void fill_text(uint8_t *p, size_t len)
{
	static const char words[] = "queue ring accelerator descriptor memory "
				    "completion the a of and to in is copies "
				    "kernel 0x7f 4096 latency\n";
	uint64_t r = 1;
	size_t i = 0, at;

	while (i < len) {
		r = r * 6364136223846793005ULL + 1442695040888963407ULL;
		at = (r >> 33) % (sizeof(words) - 1);
		do
			p[i++] = words[at++];
		while (i < len && words[at] && words[at] != ' ');
		if (i < len && r >> 61 == 0)
			p[i++] = r >> 40;
	}
}

static void connect_and_fill(struct bench *b)
{
	char text[256];
	int err = sharq_connect(&b->s, daemon_socket());

	if (err)
		die("%s", sharq_connect_strerror(err, daemon_socket(), text,
						 sizeof(text)));
	b->set = sharq_alloc(b->s, CRC_SET);
	b->room = sharq_alloc(b->s, DEFLATE_DEPTH * DEFLATE_ROOM);
	if (!b->set || !b->room)
		die("%s", sharq_error(b->s, text, sizeof(text)));
	fill_text(b->set, CRC_SET);
	memset(b->room, 0, DEFLATE_DEPTH * DEFLATE_ROOM);
}

static void disconnect(struct bench *b)
{
	sharq_free(b->s, b->room);
	sharq_free(b->s, b->set);
	b->s = sharq_disconnect(b->s);
}

/* Return: all targets met? */
static bool measure(struct bench *b, unsigned int rounds, bool json)
{
	struct sharq_queue *q;
	struct busy busy;
	struct idle idle[2];
	bool met;

	if (json)
		printf("{");
	connect_and_fill(b);
	met = compare(b, rounds, json);
	measure_busy(b, &busy);
	disconnect(b);

	/* The engine has served hundreds of MiB; only a queue is left now. */
	if (sharq_connect(&b->s, daemon_socket()) ||
	    sharq_queue_open(b->s, NULL, &q))
		die("no idle queue could be opened");
	measure_idle(daemon_pid(), daemon_engine(), idle);
	sharq_queue_close(q);
	sharq_disconnect(b->s);
	met &= print_rest(&busy, idle, json);
	if (json)
		printf(",\"met\":%s}\n", met ? "true" : "false");
	return met;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 's' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{}
	};
	struct bench b = { .seconds = 0.5 };
	long rounds = 7;
	bool json = false, met;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'r') {
			rounds = strtol(optarg, NULL, 10);
		} else if (opt == 's') {
			b.seconds = strtod(optarg, NULL);
		} else if (opt == 'j') {
			json = true;
		} else {
			printf("Usage: sharq-bench [--rounds N] [--seconds S] "
			       "[--json]\n"
			       "N rounds (7), S seconds for each side of each "
			       "comparison (0.5).\n"
			       "Exit code: 0 all targets met, 3 not all, 1 "
			       "error.\n");
			return opt == 'h' ? 0 : 2;
		}
	}
	if (rounds < 5 || rounds > MAX_ROUNDS || !(b.seconds >= 0.01) ||
	    b.seconds > 60) {
		fprintf(stderr,
			"sharq-bench: expected --rounds from 5 to %d "
			"and --seconds from 0.01 to 60\n",
			MAX_ROUNDS);
		return 2;
	}
	daemon_start();
	met = measure(&b, rounds, json);
	daemon_stop();
	return met ? 0 : 3;
}
