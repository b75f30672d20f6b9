/* SPDX-License-Identifier: MIT */
/* Text in JSON: file names and the like may be any bytes, JSON is UTF-8. */
#ifndef SHARQ_CTL_JSON_H
#define SHARQ_CTL_JSON_H

#include <stddef.h>

/* Bytes of the character that @text begins with, 0 if it isn't UTF-8. */
size_t utf8_length(const char *text);

/* Print a string with its quotes; U+FFFD for each byte that isn't UTF-8. */
void json_string(const char *text);

#endif /* SHARQ_CTL_JSON_H */
