// SPDX-License-Identifier: MIT
#include "json.h"

#include <stdint.h>
#include <stdio.h>

size_t utf8_length(const char *text)
{
	const uint8_t *s = (const uint8_t *)text;
	size_t n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4, i;
	uint32_t c = s[0] & (0x7f >> n);

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	/* Longer than need be, half of a UTF-16 pair, beyond Unicode. */
	if (c < 1U << (5 * n - 4) || (c >= 0xd800 && c < 0xe000) ||
	    c > 0x10ffff)
		return 0;
	return n;
}

void json_string(const char *text)
{
	size_t n;

	putchar('"');
	for (; *text; text += n ? n : 1) {
		n = utf8_length(text);
		if (!n)
			fputs("\\ufffd", stdout);
		else if (*text == '"' || *text == '\\')
			printf("\\%c", *text);
		else if (n == 1 && *text < 0x20)
			printf("\\u%04x", *text);
		else
			fwrite(text, n, 1, stdout);
	}
	putchar('"');
}
