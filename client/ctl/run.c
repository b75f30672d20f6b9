// SPDX-License-Identifier: MIT
/* sharqctl run: operations on files. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec.h"
#include "crc.h"
#include "run.h"

#define DEFAULT_DEPTH 16

/*
 * struct run - one `run`, its options and what it found
 * @files, @nfiles: arguments
 * @bytes_in, @bytes_out, @differ: the result
 */
struct run {
	const struct ctl *c;
	const char *op;
	struct flow_opts opts;
	struct flow *flow;
	char **files;
	int nfiles;
	unsigned int format;
	unsigned int level;
	uint64_t size;
	bool has_size;
	uint8_t pattern[SHARQ_MAX_PATTERN];
	unsigned int pattern_len;
	uint64_t bytes_in;
	uint64_t bytes_out;
	struct progress progress;
};

/*
 * @options: letters of the long options that it takes, besides path and depth
 * @args:    how many files; -1: one or more
 * @sizes:   of a slot's buffers
 */
struct run_op {
	const char *name;
	int (*run)(struct run *r, struct failure *f);
	uint32_t ops;
	const char *options;
	int args;
	size_t sizes[2];
	const char *help;
};

static uint32_t piece_size(const struct run *r)
{
	uint32_t max = flow_max_transfer(r->flow);

	return max < FLOW_PIECE ? max : FLOW_PIECE;
}

/*
 * The loop that the simple operations share: @put puts the next piece in and
 * sets *end when there is none; @take gets each completed piece, in order, and
 * may set *end as well.
 */
struct steps {
	int (*put)(void *arg, struct flow_slot *s, bool *end,
		   struct failure *f);
	int (*take)(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f);
	void *arg;
};

static int loop(struct run *r, const struct steps *st, struct failure *f)
{
	struct flow_slot *s;
	bool end = false;
	int err = 0;

	while (!err) {
		s = end ? NULL : flow_next(r->flow);
		if (s)
			err = st->put(st->arg, s, &end, f);
		if (!err)
			err = flow_take(r->flow, !s, &s, f);
		if (err || (!s && end && !flow_busy(r->flow)))
			break;
		if (!s)
			continue;
		err = st->take(st->arg, s, &end, f);
		flow_drop(r->flow);
	}
	/* What an error left in flight is for nobody. */
	while (err && err != -EINTR && flow_busy(r->flow)) {
		struct failure ignored;

		if (flow_take(r->flow, true, &s, &ignored))
			break;
		flow_drop(r->flow);
	}
	return err;
}

/* ---- crc32c ---- */

struct crc_job {
	struct run *r;
	struct input in;
	uint32_t crc;
};

static int crc_put(void *arg, struct flow_slot *s, bool *end,
		   struct failure *f)
{
	struct crc_job *j = arg;
	size_t got;
	int err = input_read(&j->in, s->buf[0], piece_size(j->r), &got, f);

	*end = !got;
	if (err || !got)
		return err;
	s->desc.op = SHARQ_OP_CRC32C;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.len = got;
	return flow_put(j->r->flow, f);
}

static int crc_take(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct crc_job *j = arg;

	(void)end;
	if (s->cqe.status != SHARQ_OK)
		return flow_status(j->in.name, s, f);
	j->crc = crc32c_combine(j->crc, s->cqe.crc, s->desc.len);
	progress_update(&j->r->progress, j->in.offset);
	return 0;
}

static int crc_file(struct run *r, const char *name, uint32_t *crc,
		    struct failure *f)
{
	struct crc_job j = { .r = r };
	struct steps st = { crc_put, crc_take, &j };
	int err = input_open(&j.in, name, 0, f);

	if (err)
		return err;
	progress_start(&r->progress, r->op, j.in.size);
	err = loop(r, &st, f);
	progress_end(&r->progress);
	r->bytes_in += j.in.offset;
	*crc = j.crc;
	input_close(&j.in);
	return err;
}

/* A file that can't be read doesn't keep the others from their sums. */
static int run_crc(struct run *r, struct failure *f)
{
	struct failure one;
	uint32_t crc;
	int i, err, ret = 0;
	bool first = true;

	if (r->c->json)
		printf("{\"files\":[");
	for (i = 0; i < r->nfiles; i++) {
		err = crc_file(r, r->files[i], &crc, &one);
		if (err) {
			if (ret)
				ctl_failed(f);
			*f = one;
			ret = err;
			if (err == -EINTR || err == -ESHUTDOWN)
				break;
			continue;
		}
		if (r->c->json) {
			printf("%s{\"name\":", first ? "" : ",");
			ctl_json_string(r->files[i]);
			printf(",\"crc32c\":\"%08x\"}", crc);
		} else {
			printf("%08x  %s\n", crc, r->files[i]);
		}
		first = false;
	}
	if (r->c->json)
		printf("],");
	return ret;
}

/* ---- copy, fill ---- */

struct copy_job {
	struct run *r;
	struct input in;
	struct output *out;
	uint64_t left;
};

static int copy_put(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct copy_job *j = arg;
	size_t got;
	int err = input_read(&j->in, s->buf[0], piece_size(j->r), &got, f);

	*end = !got;
	if (err || !got)
		return err;
	s->desc.op = SHARQ_OP_COPY;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.dst = (uintptr_t)s->buf[1];
	s->desc.len = got;
	return flow_put(j->r->flow, f);
}

static int copy_take(void *arg, struct flow_slot *s, bool *end,
		     struct failure *f)
{
	struct copy_job *j = arg;
	const char *name = j->r->files[j->r->nfiles - 1];

	(void)end;
	if (s->cqe.status != SHARQ_OK)
		return flow_status(name, s, f);
	progress_update(&j->r->progress, output_bytes(j->out));
	return output_write(j->out, s->buf[1], s->desc.len, f);
}

static int fill_put(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct copy_job *j = arg;
	uint32_t piece = piece_size(j->r);

	/* Each piece starts with the pattern's first byte. */
	piece -= piece % j->r->pattern_len;
	if (piece > j->left)
		piece = j->left;
	*end = !piece;
	if (!piece)
		return 0;
	j->left -= piece;
	s->desc.op = SHARQ_OP_FILL;
	s->desc.param = j->r->pattern_len;
	memcpy(&s->desc.pattern, j->r->pattern, sizeof(s->desc.pattern));
	s->desc.dst = (uintptr_t)s->buf[1];
	s->desc.len = piece;
	return flow_put(j->r->flow, f);
}

static int finish_output(struct run *r, struct output *out, int err,
			 struct failure *f)
{
	progress_end(&r->progress);
	if (!err)
		err = output_commit(out, f);
	r->bytes_out = output_bytes(out);
	output_free(out);
	return err;
}

static int run_copy(struct run *r, struct failure *f)
{
	struct copy_job j = { .r = r };
	struct steps st = { copy_put, copy_take, &j };
	int err = input_open(&j.in, r->files[0], 0, f);

	if (err)
		return err;
	err = output_open(&j.out, r->files[1], j.in.mode, f);
	if (!err) {
		progress_start(&r->progress, r->op, j.in.size);
		err = finish_output(r, j.out, loop(r, &st, f), f);
	}
	r->bytes_in = j.in.offset;
	input_close(&j.in);
	return err;
}

static int run_fill(struct run *r, struct failure *f)
{
	struct copy_job j = { .r = r, .left = r->size };
	struct steps st = { fill_put, copy_take, &j };
	int err = output_open(&j.out, r->files[0], 0666, f);

	if (err)
		return err;
	progress_start(&r->progress, r->op, r->size);
	return finish_output(r, j.out, loop(r, &st, f), f);
}

/* ---- compare ---- */

struct compare_job {
	struct run *r;
	struct input in[2];
	uint64_t checked;
	int shorter;
	bool differ;
};

static int compare_put(void *arg, struct flow_slot *s, bool *end,
		       struct failure *f)
{
	struct compare_job *j = arg;
	size_t got[2];
	int i, err;

	if (j->shorter >= 0) {
		*end = true;
		return 0;
	}
	for (i = 0; i < 2; i++) {
		err = input_read(&j->in[i], s->buf[i], piece_size(j->r),
				 &got[i], f);
		if (err)
			return err;
	}
	if (got[0] != got[1])
		j->shorter = got[0] > got[1];
	s->desc.len = got[j->shorter == 1];
	*end = !s->desc.len;
	if (*end)
		return 0;
	s->desc.op = SHARQ_OP_COMPARE;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.src2 = (uintptr_t)s->buf[1];
	return flow_put(j->r->flow, f);
}

static int compare_take(void *arg, struct flow_slot *s, bool *end,
			struct failure *f)
{
	struct compare_job *j = arg;

	/* Behind the first difference nothing matters. */
	if (j->differ)
		return 0;
	if (s->cqe.status == SHARQ_MISMATCH) {
		j->differ = true;
		j->checked += s->cqe.consumed;
		*end = true;
		return 0;
	}
	if (s->cqe.status != SHARQ_OK)
		return flow_status(j->in[0].name, s, f);
	j->checked += s->desc.len;
	progress_update(&j->r->progress, j->checked);
	return 0;
}

static int run_compare(struct run *r, struct failure *f)
{
	struct compare_job j = { .r = r, .shorter = -1 };
	struct steps st = { compare_put, compare_take, &j };
	int err = input_open(&j.in[0], r->files[0], 0, f);

	if (err)
		return err;
	err = input_open(&j.in[1], r->files[1], 0, f);
	if (!err) {
		progress_start(&r->progress, r->op, j.in[0].size);
		err = loop(r, &st, f);
		progress_end(&r->progress);
		r->bytes_in = j.in[0].offset + j.in[1].offset;
		input_close(&j.in[1]);
	}
	input_close(&j.in[0]);
	if (err)
		return err;
	if (!j.differ && j.shorter < 0) {
		if (r->c->json)
			printf("{\"differ\":false,");
		return 0;
	}
	if (r->c->json)
		printf("{\"differ\":true,\"offset\":%" PRIu64 ",", j.checked);
	else if (j.differ)
		printf("%s %s differ at offset %" PRIu64 "\n", r->files[0],
		       r->files[1], j.checked);
	else
		printf("%s %s differ at offset %" PRIu64 ": %s ends there\n",
		       r->files[0], r->files[1], j.checked,
		       j.in[j.shorter].name);
	return RUN_DIFFERENT;
}

/* ---- compress, decompress ---- */

static int run_codec(struct run *r, bool packing, struct failure *f)
{
	struct input in;
	struct output *out;
	int err = input_open(&in, r->files[0], packing ? 0 : INFLATE_WINDOW, f);

	if (err)
		return err;
	err = output_open(&out, r->files[1], in.mode, f);
	if (!err) {
		progress_start(&r->progress, r->op, in.size);
		err = packing ? deflate_file(r->flow, &in, out, r->format,
					     r->level, &r->progress, f) :
				inflate_file(r->flow, &in, out, r->format,
					     &r->progress, f);
		err = finish_output(r, out, err, f);
	}
	r->bytes_in = in.offset;
	input_close(&in);
	return err;
}

static int run_compress(struct run *r, struct failure *f)
{
	return run_codec(r, true, f);
}

static int run_decompress(struct run *r, struct failure *f)
{
	return run_codec(r, false, f);
}

static const struct run_op ops[] = {
	{ "crc32c", run_crc, SHARQ_OP_BIT(SHARQ_OP_CRC32C), "", -1,
	  { FLOW_PIECE, 0 },
	  "FILE...\n\nPrints the CRC32C of each file: 8 hex digits, two "
	  "spaces, the name." },
	{ "copy", run_copy, SHARQ_OP_BIT(SHARQ_OP_COPY), "", 2,
	  { FLOW_PIECE, FLOW_PIECE },
	  "IN OUT\n\nCopies a file." },
	{ "fill", run_fill, SHARQ_OP_BIT(SHARQ_OP_FILL), "sn", 1,
	  { 0, FLOW_PIECE },
	  "OUT --size N --pattern HEX\n\nWrites N bytes (K, M, G, T: powers of "
	  "1024) of a pattern of 1 to 8 bytes, two\nhex digits each." },
	{ "compare", run_compare, SHARQ_OP_BIT(SHARQ_OP_COMPARE), "", 2,
	  { FLOW_PIECE, FLOW_PIECE },
	  "A B\n\nSays nothing and exits with 0 if both files are the same; "
	  "else prints the offset\nof the first difference, counted from 0, "
	  "and exits with 1 (as after an error,\nwhich is told on standard "
	  "error)." },
	{ "compress", run_compress, SHARQ_OP_BIT(SHARQ_OP_COMPRESS), "fl", 2,
	  { CODEC_PLAIN_SIZE, CODEC_PACKED_SIZE },
	  "IN OUT [--level N] [--format gzip|zlib|raw]\n\nCompresses a file. "
	  "Levels: 1 fastest to 9 smallest, 0 the device's choice." },
	{ "decompress", run_decompress, SHARQ_OP_BIT(SHARQ_OP_DECOMPRESS), "f",
	  2, { CODEC_PACKED_SIZE, CODEC_PLAIN_SIZE },
	  "IN OUT [--format gzip|zlib|raw]\n\nDecompresses a file. What 'run "
	  "compress' wrote as gzip is done by the device, many\nmembers at "
	  "once; larger streams of others on this CPU." },
};

static const char common_help[] =
	"\nOptions:\n"
	"  --path PATH   any, direct, shadow, embedded, or inline (this CPU, no"
	"\n                daemon needed); default any\n"
	"  --depth N     commands in flight, a power of two; default 16\n\n"
	"'-' is standard input or output. An output file appears, or is "
	"replaced, only when\ncomplete.";

static const char *const format_names[] = { "raw", "zlib", "gzip" };

static int parse_pattern(struct run *r, const char *text)
{
	size_t n = strlen(text), i;
	char hex[3] = { 0 };

	if (!n || n % 2 || n > 2 * SHARQ_MAX_PATTERN)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!isxdigit((unsigned char)text[i]))
			return -EINVAL;
	for (i = 0; i < n; i += 2) {
		memcpy(hex, text + i, 2);
		r->pattern[i / 2] = strtoul(hex, NULL, 16);
	}
	r->pattern_len = n / 2;
	return 0;
}

int run_parse_path(const char *text, uint32_t *path)
{
	static const char *const names[] = { "any", "direct", "shadow",
					     "embedded", "inline" };
	uint32_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(text, names[i])) {
			*path = i;
			return 0;
		}
	}
	return -EINVAL;
}

int run_parse_format(const char *text, unsigned int *format)
{
	unsigned int i;

	for (i = 0; i < SHARQ_FORMAT_COUNT; i++) {
		if (!strcmp(text, format_names[i])) {
			*format = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_option(struct run *r, int opt)
{
	uint64_t v;

	switch (opt) {
	case 'p':
		if (run_parse_path(optarg, &r->opts.path))
			return ctl_usage("run", "--path is '%s', expected any, "
					 "direct, shadow, embedded or inline",
					 optarg);
		return 0;
	case 'd':
		if (ctl_parse_size(optarg, &v) || v < SHARQ_MIN_DEPTH ||
		    v > SHARQ_MAX_DEPTH || v & (v - 1))
			return ctl_usage("run", "--depth is '%s', expected a "
					 "power of two from %d to %d", optarg,
					 SHARQ_MIN_DEPTH, SHARQ_MAX_DEPTH);
		r->opts.depth = v;
		return 0;
	case 'f':
		if (run_parse_format(optarg, &r->format))
			return ctl_usage("run", "--format is '%s', expected "
					 "gzip, zlib or raw", optarg);
		return 0;
	case 'l':
		if (ctl_parse_size(optarg, &v) || v > SHARQ_MAX_LEVEL)
			return ctl_usage("run", "--level is '%s', expected 0 "
					 "to %d", optarg, SHARQ_MAX_LEVEL);
		r->level = v;
		return 0;
	case 's':
		if (ctl_parse_size(optarg, &r->size) || r->size > INT64_MAX)
			return ctl_usage("run", "--size is '%s', expected "
					 "bytes, as 4096 or 10M", optarg);
		r->has_size = true;
		return 0;
	default:
		if (parse_pattern(r, optarg))
			return ctl_usage("run", "--pattern is '%s', expected 1 "
					 "to %d bytes of two hex digits each",
					 optarg, SHARQ_MAX_PATTERN);
		return 0;
	}
}

static int check_args(const struct run *r, const struct run_op *op)
{
	bool out = op->run != run_crc && op->run != run_compare;
	int i, dashes = 0;

	if (op->args < 0 ? r->nfiles < 1 : r->nfiles != op->args)
		return ctl_usage("run", "'run %s' got %d file name%s, expected "
				 "%s%d", op->name, r->nfiles,
				 r->nfiles == 1 ? "" : "s",
				 op->args < 0 ? "at least " : "",
				 op->args < 0 ? 1 : op->args);
	if (op->run == run_fill && (!r->has_size || !r->pattern_len))
		return ctl_usage("run", "'run fill' needs --size and "
				 "--pattern");
	if (out && r->c->json && !strcmp(r->files[r->nfiles - 1], "-"))
		return ctl_usage("run", "--json and the result can't both go "
				 "to standard output");
	for (i = 0; i < r->nfiles - out; i++)
		dashes += !strcmp(r->files[i], "-");
	if (dashes > 1)
		return ctl_usage("run", "'-' can be read only once");
	return 0;
}

/* Return: 0, -1 when help was asked for and printed, or CTL_USAGE. */
static int parse(struct run *r, const struct run_op *op, int argc, char **argv)
{
	static const struct option options[] = {
		{ "path", required_argument, NULL, 'p' },
		{ "depth", required_argument, NULL, 'd' },
		{ "format", required_argument, NULL, 'f' },
		{ "level", required_argument, NULL, 'l' },
		{ "size", required_argument, NULL, 's' },
		{ "pattern", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int opt, ret;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == 'h') {
			printf("Usage: sharqctl run %s %s\n%s\n", op->name,
			       op->help, common_help);
			return -1;
		}
		if (opt == ':')
			return ctl_usage("run", "'%s' needs a value",
					 argv[optind - 1]);
		if (opt == '?' ||
		    (opt != 'p' && opt != 'd' && !strchr(op->options, opt)))
			return ctl_usage("run", "'run %s' has no option '%s'",
					 op->name,
					 opt == '?' || !optarg ||
					 optarg != argv[optind - 1] ?
						 argv[optind - 1] :
						 argv[optind - 2]);
		ret = parse_option(r, opt);
		if (ret)
			return ret;
	}
	r->files = argv + optind;
	r->nfiles = argc - optind;
	return check_args(r, op);
}

static void help(void)
{
	size_t i;

	puts("Usage: sharqctl run OPERATION ... [--path PATH] [--depth N]\n");
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		printf("  %-11s%.*s\n", ops[i].name,
		       (int)strcspn(ops[i].help, "\n"), ops[i].help);
	puts("\n'sharqctl run OPERATION --help' tells more.");
}

static void print_json(const struct run *r, int err, double seconds)
{
	/* crc32c and compare have begun the object; after an error there is
	 * only standard error, but for crc32c's other files. */
	if (r->opts.ops != SHARQ_OP_BIT(SHARQ_OP_CRC32C)) {
		if (err && err != RUN_DIFFERENT)
			return;
		if (r->opts.ops != SHARQ_OP_BIT(SHARQ_OP_COMPARE))
			putchar('{');
	}
	printf("\"operation\":\"%s\",\"path\":\"%s\",\"bytes_in\":%" PRIu64
	       ",\"bytes_out\":%" PRIu64 ",\"commands\":%" PRIu64
	       ",\"seconds\":%.6f}\n", r->op, flow_path(r->flow), r->bytes_in,
	       r->bytes_out, flow_commands(r->flow), seconds);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int cmd_run(struct ctl *c, int argc, char **argv)
{
	struct run r = { .c = c, .format = SHARQ_FORMAT_GZIP };
	const struct run_op *op = NULL;
	struct failure f;
	double start;
	size_t i;
	int ret, err;

	if (argc < 2)
		return ctl_usage("run", "no operation");
	if (!strcmp(argv[1], "--help")) {
		help();
		return CTL_OK;
	}
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (!strcmp(argv[1], ops[i].name))
			op = &ops[i];
	if (!op)
		return ctl_usage("run", "'%s' is no operation", argv[1]);
	r.op = op->name;
	r.opts = (struct flow_opts){ .socket = c->socket, .ops = op->ops,
				     .depth = DEFAULT_DEPTH };
	memcpy(r.opts.size, op->sizes, sizeof(r.opts.size));
	ret = parse(&r, op, argc - 1, argv + 1);
	if (ret)
		return ret < 0 ? CTL_OK : ret;
	ctl_catch_signals();
	if (flow_new(&r.flow, &r.opts, &f))
		return ctl_failed(&f);
	start = now();
	err = op->run(&r, &f);
	if (c->json)
		print_json(&r, err, now() - start);
	flow_free(r.flow);
	if (err == RUN_DIFFERENT)
		return CTL_FAILED;
	return err ? ctl_failed(&f) : CTL_OK;
}
