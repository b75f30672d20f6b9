/* SPDX-License-Identifier: MIT */
/* sharqctl run: what its operations get and give. */
#ifndef SHARQ_CTL_RUN_H
#define SHARQ_CTL_RUN_H

#include "ctl.h"
#include "flow.h"
#include "progress.h"

/* Files differ: exit code 1 without a sentence. */
#define RUN_DIFFERENT 1
#define RUN_OPS 6

/*
 * struct run - one `run`, its options and what it found
 * @files, @nfiles: arguments
 * @bytes_in, @bytes_out: the result
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
 * @writes:  the last file is an output
 * @sizes:   of a slot's buffers
 */
struct run_op {
	const char *name;
	int (*run)(struct run *r, struct failure *f);
	uint32_t ops;
	const char *options;
	int args;
	bool writes;
	size_t sizes[2];
	const char *help;
};

extern const struct run_op run_ops[RUN_OPS];

#endif /* SHARQ_CTL_RUN_H */
