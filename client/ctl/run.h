/* SPDX-License-Identifier: MIT */
/* What run and bench share: the values of their options. */
#ifndef SHARQ_CTL_RUN_H
#define SHARQ_CTL_RUN_H

#include <stdint.h>

/* Files differ: exit code 1 without a sentence. */
#define RUN_DIFFERENT 1

/* Return: 0 or -EINVAL. */
int run_parse_path(const char *text, uint32_t *path);
int run_parse_format(const char *text, unsigned int *format);

#endif /* SHARQ_CTL_RUN_H */
