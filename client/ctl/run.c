// SPDX-License-Identifier: MIT
/* sharqctl run: its options, its report. */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "run.h"

#define DEFAULT_DEPTH 16

static const char common_help[] =
	"\nOptions:\n"
	"  --path PATH   any, direct, shadow, embedded, or inline (this CPU, no"
	"\n                daemon needed); default any\n"
	"  --depth N     commands in flight, a power of two; default 16\n\n"
	"'-' is standard input or output. An output file appears, or is "
	"replaced, only\nwhen complete.";

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

static int parse_option(struct run *r, int opt)
{
	switch (opt) {
	case 'p':
		return option_path("run", optarg, &r->opts.path);
	case 'd':
		return option_depth("run", optarg, &r->opts.depth);
	case 'f':
		return option_format("run", optarg, &r->format);
	case 'l':
		return option_u32("run", "level", optarg, 0, SHARQ_MAX_LEVEL,
				  &r->level);
	case 's':
		if (ctl_parse_size(optarg, &r->size) || r->size > INT64_MAX)
			return ctl_usage("run",
					 "--size is '%s', expected "
					 "bytes, as 4096 or 10M",
					 optarg);
		r->has_size = true;
		return 0;
	default:
		if (parse_pattern(r, optarg))
			return ctl_usage("run",
					 "--pattern is '%s', expected 1 "
					 "to %d bytes of two hex digits each",
					 optarg, SHARQ_MAX_PATTERN);
		return 0;
	}
}

static int check_args(const struct run *r, const struct run_op *op)
{
	bool out = op->writes;
	int i, dashes = 0;

	if (op->args < 0 ? r->nfiles < 1 : r->nfiles != op->args)
		return ctl_usage("run",
				 "'run %s' got %d file name%s, expected "
				 "%s%d",
				 op->name, r->nfiles, r->nfiles == 1 ? "" : "s",
				 op->args < 0 ? "at least " : "",
				 op->args < 0 ? 1 : op->args);
	if (strchr(op->options, 'n') && (!r->has_size || !r->pattern_len))
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

/* Return: 0 or CTL_USAGE. */
static int parse(struct run *r, const struct run_op *op, int argc, char **argv)
{
	static const struct option options[] = {
		{ "path", required_argument, NULL, 'p' },
		{ "depth", required_argument, NULL, 'd' },
		{ "format", required_argument, NULL, 'f' },
		{ "level", required_argument, NULL, 'l' },
		{ "size", required_argument, NULL, 's' },
		{ "pattern", required_argument, NULL, 'n' },
		{ NULL, 0, NULL, 0 }
	};
	int opt, ret;

	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == ':' || opt == '?')
			return ctl_bad_option("run", opt, argv[optind - 1]);
		if (opt != 'p' && opt != 'd' && !strchr(op->options, opt))
			return ctl_usage(
				"run", "'run %s' has no option '%s'", op->name,
				argv[optind - 1 - (optarg == argv[optind - 1])]);
		ret = parse_option(r, opt);
		if (ret)
			return ret;
	}
	r->files = argv + optind;
	r->nfiles = argc - optind;
	return check_args(r, op);
}

static void help(const struct run_op *op)
{
	size_t i;

	if (op) {
		printf("Usage: sharqctl run %s %s\n%s\n", op->name, op->help,
		       common_help);
		return;
	}
	puts("Usage: sharqctl run OPERATION ... [--path PATH] [--depth N]\n");
	for (i = 0; i < RUN_OPS; i++)
		printf("  %-11s%.*s\n", run_ops[i].name,
		       (int)strcspn(run_ops[i].help, "\n"), run_ops[i].help);
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
	       ",\"seconds\":%.6f}\n",
	       r->op, flow_path(r->flow), r->bytes_in, r->bytes_out,
	       flow_commands(r->flow), seconds);
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

	for (i = 0; argc > 1 && i < RUN_OPS; i++)
		if (!strcmp(argv[1], run_ops[i].name))
			op = &run_ops[i];
	if (c->help) {
		help(op);
		return CTL_OK;
	}
	if (argc < 2)
		return ctl_usage("run", "no operation");
	if (!op)
		return ctl_usage("run", "'%s' is no operation", argv[1]);
	r.op = op->name;
	r.opts = (struct flow_opts){ .socket = c->socket,
				     .ops = op->ops,
				     .depth = DEFAULT_DEPTH };
	memcpy(r.opts.size, op->sizes, sizeof(r.opts.size));
	ret = parse(&r, op, argc - 1, argv + 1);
	if (ret)
		return ret;
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
