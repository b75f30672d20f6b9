// SPDX-License-Identifier: MIT
/* sharqctl bench: options, the course of it, the report. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "daemon.h"
#include "options.h"

#define MAX_THREADS 256
#define MAX_SECONDS 86400.0

/* What the engine did for the threads' queues: only the daemon can tell. */
struct engine_counts {
	uint64_t knocks;
	uint64_t events;
};

/* @sum: all threads together */
struct report {
	struct hist hist;
	struct sharq_queue_counts counts;
	struct engine_counts engine;
	uint64_t errors;
	unsigned int status;
	double seconds;
};

static const char help_text[] =
	"Usage: sharqctl bench OPERATION [options]\n\n"
	"OPERATION: nop, copy, fill, compare, crc32c, copy-crc32c, dualcast, "
	"compress,\ndecompress.\n\n"
	"  --size N      bytes of a command (4096; K, M, G: powers of 1024)\n"
	"  --depth N     commands in flight, a power of two (64)\n"
	"  --batch N     commands submitted at once, up to depth (1)\n"
	"  --threads N   threads, each with a queue of its own (1)\n"
	"  --seconds S   how long (2)\n"
	"  --path PATH   any, direct, shadow, embedded, inline (any)\n"
	"  --device N    by number, as sharqctl devices shows it (any)\n"
	"  --set N       bytes of memory that the sources of all threads cover "
	"in turn\n"
	"                (as much as is in flight)\n"
	"  --poll        look for completions all the time, never sleep\n"
	"  --level N     of compress: 0 to 9 (0: the device's choice)\n"
	"  --format F    of compress and decompress: gzip, zlib, raw (raw)\n"
	"  --json        the result as JSON\n\n"
	"All memory is shared with the device (sharq_alloc). Latency is from "
	"the call\nthat submits a batch to the moment when its completion is "
	"taken, the clock being\nread once for each batch and each handful of "
	"completions. GB/s counts SIZE bytes\n(of 10^9) for each command. "
	"System calls: those of libsharq in submit, peek and\nwait, and of "
	"the engine the knocks that it received and the events that it sent.";

static int parse_op(const char *text, unsigned int *op)
{
	char name[32];
	size_t i;

	/* Names of the ABI in lower case, with dashes. */
	for (i = 0; text[i] && i < sizeof(name) - 1; i++)
		name[i] = text[i] == '-' ? '_'
					 : toupper((unsigned char)text[i]);
	name[i] = '\0';
	for (*op = 0; *op < SHARQ_OP_COUNT; (*op)++)
		if (!strcmp(name, sharq_op_name(*op)))
			return 0;
	return -EINVAL;
}

struct params {
	uint64_t threads;
	double seconds;
};

static int parse_option(struct bench *b, struct params *p, int opt)
{
	char *end;

	switch (opt) {
	case 's':
		return option_u32("bench", "size", optarg, 0, 1U << 30,
				  &b->size);
	case 'd':
		return option_depth("bench", optarg, &b->depth);
	case 'b':
		return option_u32("bench", "batch", optarg, 1, SHARQ_MAX_DEPTH,
				  &b->batch);
	case 't':
		return option_number("bench", "threads", optarg, 1, MAX_THREADS,
				     &p->threads);
	case 'S':
		p->seconds = strtod(optarg, &end);
		if (end == optarg || *end ||
		    !(p->seconds > 0 && p->seconds <= MAX_SECONDS))
			return ctl_usage("bench",
					 "--seconds is '%s', expected more "
					 "than 0, up to %.0f",
					 optarg, MAX_SECONDS);
		return 0;
	case 'p':
		return option_path("bench", optarg, &b->queue.path);
	case 'D':
		return option_u32("bench", "device", optarg, 0, UINT32_MAX,
				  &b->queue.device);
	case 'w':
		return option_number("bench", "set", optarg, 0, 1ULL << 40,
				     &b->set);
	case 'P':
		b->poll = true;
		return 0;
	case 'l':
		return option_u32("bench", "level", optarg, 0, SHARQ_MAX_LEVEL,
				  &b->level);
	default:
		return option_format("bench", optarg, &b->format);
	}
}

/* Return: 0 or CTL_USAGE. */
static int parse(struct bench *b, struct params *p, int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "depth", required_argument, NULL, 'd' },
		{ "batch", required_argument, NULL, 'b' },
		{ "threads", required_argument, NULL, 't' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "path", required_argument, NULL, 'p' },
		{ "device", required_argument, NULL, 'D' },
		{ "set", required_argument, NULL, 'w' },
		{ "poll", no_argument, NULL, 'P' },
		{ "level", required_argument, NULL, 'l' },
		{ "format", required_argument, NULL, 'f' },
		{ NULL, 0, NULL, 0 }
	};
	int opt, ret;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == ':' || opt == '?')
			return ctl_bad_option("bench", opt, argv[optind - 1]);
		ret = parse_option(b, p, opt);
		if (ret)
			return ret;
	}
	if (argc - optind != 1)
		return ctl_usage("bench", "expected one operation");
	if (parse_op(argv[optind], &b->op))
		return ctl_usage("bench", "'%s' is no operation", argv[optind]);
	if (b->batch > b->depth)
		return ctl_usage("bench",
				 "--batch is %u, expected at most the "
				 "depth, %u",
				 b->batch, b->depth);
	if (b->op == SHARQ_OP_NOP)
		b->size = 0;
	b->queue.depth = b->depth;
	b->queue.ops = SHARQ_OP_BIT(b->op);
	b->set /= p->threads;
	return 0;
}

static int read_engine(struct daemon *d, struct bench_thread *t, uint64_t n,
		       struct engine_counts *c, struct failure *f)
{
	Sharq__Pb__ServerMessage *m;
	Sharq__Pb__QueueStats *s;
	uint64_t i;
	int err;

	memset(c, 0, sizeof(*c));
	for (i = 0; d && i < n; i++) {
		err = daemon_queue(d, t[i].info.id, &m, f);
		if (err)
			return err;
		s = m->reply->queues->queue[0]->stats;
		c->knocks += s ? s->knocks : 0;
		c->events += s ? s->events : 0;
		daemon_free(m);
	}
	return 0;
}

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, set, NULL);
}

/* Until the time is over, somebody wants an end, or a thread has failed. */
static void wait_end(const sigset_t *set, double seconds)
{
	struct timespec now, end, left;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)seconds;
	end.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	for (;;) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left.tv_sec = end.tv_sec - now.tv_sec;
		left.tv_nsec = end.tv_nsec - now.tv_nsec;
		while (left.tv_nsec < 0) {
			left.tv_nsec += 1000000000L;
			left.tv_sec--;
		}
		left.tv_sec += left.tv_nsec / 1000000000L;
		left.tv_nsec %= 1000000000L;
		if (left.tv_sec < 0 || sigtimedwait(set, NULL, &left) > 0 ||
		    errno != EINTR)
			return;
	}
}

/*
 * When all threads have warmed up, and none runs yet, the engine's counts are
 * read.
 */
static int measure(struct bench *b, struct bench_thread *t, uint64_t n,
		   double seconds, struct daemon *d, struct report *r,
		   struct failure *f)
{
	struct engine_counts before = { 0 }, after = { 0 };
	sigset_t set;
	uint64_t i, started;
	int err = 0;

	block_signals(&set);
	b->main = pthread_self();
	sem_init(&b->ready, 0, 0);
	sem_init(&b->go, 0, 0);
	for (started = 0; started < n; started++) {
		err = -pthread_create(&t[started].thread, NULL,
				      bench_thread_main, &t[started]);
		if (err) {
			fail(f, err, "starting thread %" PRIu64 ": %s",
			     started + 1, strerror(-err));
			break;
		}
	}
	for (i = 0; i < started; i++)
		while (sem_wait(&b->ready))
			;
	if (!err)
		err = read_engine(d, t, n, &before, f);
	if (err)
		atomic_store(&b->stop, true);
	for (i = 0; i < started; i++)
		sem_post(&b->go);
	progress_end(&b->progress);
	if (!err) {
		progress_wait(&b->progress, "bench", (int64_t)(seconds * 1000));
		wait_end(&set, seconds);
	}
	atomic_store(&b->stop, true);
	for (i = 0; i < started; i++)
		pthread_join(t[i].thread, NULL);
	sem_destroy(&b->ready);
	sem_destroy(&b->go);
	if (!err)
		err = read_engine(d, t, n, &after, f);
	for (i = 0; i < n && !err; i++)
		if (t[i].err)
			err = fail(f, t[i].err, "%s", t[i].failure.text);
	r->engine.knocks = after.knocks - before.knocks;
	r->engine.events = after.events - before.events;
	return err;
}

static void sum_up(struct report *r, const struct bench_thread *t, uint64_t n)
{
	uint64_t i;

	for (i = 0; i < n; i++) {
		hist_merge(&r->hist, &t[i].hist);
		r->counts.syscalls += t[i].counts.syscalls;
		r->counts.staged += t[i].counts.staged;
		r->counts.inlined += t[i].counts.inlined;
		if (t[i].errors && !r->errors)
			r->status = t[i].status;
		r->errors += t[i].errors;
		if (t[i].seconds > r->seconds)
			r->seconds = t[i].seconds;
	}
}

static void print_report(const struct bench *b, const struct bench_thread *t,
			 uint64_t threads, const struct report *r, bool json)
{
	uint64_t ops = r->hist.count;
	double rate = r->seconds > 0 ? (double)ops / r->seconds : 0;
	double gbs = rate * b->size / 1e9;
	double p50 = hist_percentile(&r->hist, 50);
	double p99 = hist_percentile(&r->hist, 99);
	double p999 = hist_percentile(&r->hist, 99.9);
	uint64_t calls =
		r->counts.syscalls + r->engine.knocks + r->engine.events;
	double per_op = ops ? (double)calls / (double)ops : 0;
	const char *op = sharq_op_name(b->op);
	const char *path = sharq_path_name(t->info.path);

	if (json) {
		printf("{\"operation\":\"%s\",\"path\":\"%s\",\"size\":%u,"
		       "\"depth\":%u,\"batch\":%u,\"threads\":%" PRIu64
		       ",\"set\":%" PRIu64 ",\"poll\":%s,\"seconds\":%.6f,",
		       op, path, b->size, b->depth, b->batch, threads,
		       b->set * threads, b->poll ? "true" : "false",
		       r->seconds);
		printf("\"ops\":%" PRIu64 ",\"errors\":%" PRIu64
		       ",\"ops_per_second\":%.1f,\"gb_per_second\":%.6f,"
		       "\"p50_ns\":%.1f,\"p99_ns\":%.1f,\"p999_ns\":%.1f,",
		       ops, r->errors, rate, gbs, p50, p99, p999);
		printf("\"client_syscalls\":%" PRIu64
		       ",\"engine_knocks\":%" PRIu64
		       ",\"engine_events\":%" PRIu64
		       ",\"syscalls_per_op\":%.6f,\"staged\":%" PRIu64
		       ",\"inlined\":%" PRIu64 "}\n",
		       r->counts.syscalls, r->engine.knocks, r->engine.events,
		       per_op, r->counts.staged, r->counts.inlined);
		return;
	}
	printf("%s of %u bytes, path %s, %s, %.2f s\n", op, b->size, path,
	       b->poll ? "polled" : "sleeping", r->seconds);
	printf("  queues        %" PRIu64 " of depth %u, batch %u\n", threads,
	       b->depth, b->batch);
	printf("  operations/s  %.0f (%" PRIu64 " in all)\n", rate, ops);
	printf("  GB/s          %.3f\n", gbs);
	printf("  latency       p50 %.2f us, p99 %.2f us, p99.9 %.2f us\n",
	       p50 / 1000, p99 / 1000, p999 / 1000);
	printf("  system calls  %.4f per operation\n", per_op);
	printf("    libsharq    %" PRIu64 "\n", r->counts.syscalls);
	printf("    engine      %" PRIu64 " knocks received, %" PRIu64
	       " events sent\n",
	       r->engine.knocks, r->engine.events);
	if (r->errors)
		printf("  errors        %" PRIu64 ", the first %s\n", r->errors,
		       sharq_status_name(r->status));
}

static int connect_both(struct bench *b, const struct ctl *c, struct daemon **d,
			struct failure *f)
{
	int err;

	if (b->queue.path == SHARQ_PATH_INLINE) {
		err = sharq_connect_none(&b->s);
		return err ? fail(f, err, "%s", strerror(-err)) : 0;
	}
	err = sharq_connect(&b->s, c->socket);
	if (err)
		return ctl_connect_fail(f, err, c->socket);
	return daemon_open(d, c->socket, f);
}

int cmd_bench(struct ctl *c, int argc, char **argv)
{
	struct bench b = { .size = 4096,
			   .depth = 64,
			   .batch = 1,
			   .format = SHARQ_FORMAT_RAW };
	struct params p = { .threads = 1, .seconds = 2 };
	struct bench_thread *t = NULL;
	struct daemon *d = NULL;
	struct report *r = NULL;
	struct failure f;
	uint64_t i;
	int err;

	if (c->help) {
		puts(help_text);
		return CTL_OK;
	}
	err = parse(&b, &p, argc, argv);
	if (err)
		return err;
	err = connect_both(&b, c, &d, &f);
	if (!err) {
		t = calloc(p.threads, sizeof(*t));
		r = calloc(1, sizeof(*r));
		if (!t || !r)
			err = fail(&f, -ENOMEM, "out of memory");
	}
	progress_wait(&b.progress, "preparing", -1);
	for (i = 0; !err && i < p.threads; i++) {
		t[i].b = &b;
		err = bench_thread_prepare(&t[i]);
		if (err)
			f = t[i].failure;
	}
	if (!err)
		err = measure(&b, t, p.threads, p.seconds, d, r, &f);
	progress_end(&b.progress);
	if (!err) {
		sum_up(r, t, p.threads);
		print_report(&b, t, p.threads, r, c->json);
	}
	for (i = 0; t && i < p.threads && t[i].b; i++)
		bench_thread_release(&t[i]);
	free(t);
	if (!err && r->errors)
		err = fail(&f, -EIO, "%" PRIu64 " commands failed", r->errors);
	free(r);
	sharq_disconnect(b.s);
	daemon_close(d);
	return err ? ctl_failed(&f) : CTL_OK;
}
