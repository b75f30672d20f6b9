/* SPDX-License-Identifier: MIT */
/*
 * Values of options that run and bench have both. Return: 0, or CTL_USAGE when
 * it was said what is wrong with @text and what was expected.
 */
#ifndef SHARQ_CTL_OPTIONS_H
#define SHARQ_CTL_OPTIONS_H

#include <stdint.h>

int option_number(const char *command, const char *option, const char *text,
		  uint64_t min, uint64_t max, uint64_t *value);
int option_u32(const char *command, const char *option, const char *text,
	       uint32_t min, uint32_t max, uint32_t *value);
/* A queue's: a power of two. */
int option_depth(const char *command, const char *text, uint32_t *depth);
int option_path(const char *command, const char *text, uint32_t *path);
int option_format(const char *command, const char *text, unsigned int *format);

#endif /* SHARQ_CTL_OPTIONS_H */
