// SPDX-License-Identifier: MIT
#include <errno.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "table.h"

#define TABLE_WIDTH 80

/* @lines: of an upright table, one for each column; else [0] is the row. */
struct table {
	struct libscols_table *tb;
	const struct column *columns;
	unsigned int n;
	bool json;
	bool upright;
	bool failed;
	struct table *below;
	struct libscols_line *lines[];
};

static int column_flags(const struct column *c)
{
	if (!c->head)
		return SCOLS_FL_HIDDEN;
	if (c->wrap)
		return c->wrap == WRAP_CUT ? SCOLS_FL_TRUNC : SCOLS_FL_WRAP;
	return c->kind == COLUMN_TEXT || c->kind == COLUMN_FLAG
		       ? 0
		       : SCOLS_FL_RIGHT;
}

static void wrap_at_newlines(struct libscols_column *cl)
{
	scols_column_set_wrapfunc(cl, scols_wrapnl_chunksize,
				  scols_wrapnl_nextchunk, NULL);
	scols_column_set_safechars(cl, "\n");
}

static void add_columns(struct table *t)
{
	const struct column *c;
	struct libscols_column *cl;
	unsigned int i;

	for (i = 0; i < t->n; i++) {
		c = &t->columns[i];
		cl = scols_table_new_column(
			t->tb, t->json || !c->head ? c->key : c->head, 0,
			t->json ? 0 : column_flags(c));
		if (!cl) {
			t->failed = true;
			return;
		}
		if (c->wrap > 0 && !t->json)
			wrap_at_newlines(cl);
		scols_column_set_json_type(
			cl, c->kind == COLUMN_TEXT   ? SCOLS_JSON_STRING
			    : c->kind == COLUMN_FLAG ? SCOLS_JSON_BOOLEAN
						     : SCOLS_JSON_NUMBER);
	}
}

int table_new(struct table **out, const char *name,
	      const struct column *columns, unsigned int n, bool json,
	      bool upright)
{
	struct libscols_column *cl;
	struct table *t;

	t = calloc(1, sizeof(*t) + n * sizeof(t->lines[0]));
	if (!t)
		return -ENOMEM;
	t->columns = columns;
	t->n = n;
	t->json = json;
	t->upright = upright && !json;
	t->tb = scols_new_table();
	if (!t->tb) {
		free(t);
		return -ENOMEM;
	}
	scols_table_set_name(t->tb, name);
	scols_table_enable_json(t->tb, json);
	/* Programs have JSON; whoever pipes a table wants to read it. */
	if (!isatty(STDOUT_FILENO)) {
		scols_table_set_termforce(t->tb, SCOLS_TERMFORCE_ALWAYS);
		scols_table_set_termwidth(t->tb, TABLE_WIDTH);
	}
	if (t->upright) {
		scols_table_enable_noheadings(t->tb, 1);
		cl = scols_table_new_column(t->tb, "name", 0, 0);
		if (cl)
			cl = scols_table_new_column(t->tb, "value", 0,
						    SCOLS_FL_WRAP);
		if (cl)
			wrap_at_newlines(cl);
		else
			t->failed = true;
	} else {
		add_columns(t);
	}
	*out = t;
	return 0;
}

void table_add_below(struct table *t, const struct column *columns,
		     unsigned int n)
{
	if (!t->json && table_new(&t->below, "", columns, n, false, false))
		t->failed = true;
}

struct table *table_below(const struct table *t)
{
	return t->below;
}

struct table *table_free(struct table *t)
{
	if (t) {
		table_free(t->below);
		scols_unref_table(t->tb);
		free(t);
	}
	return NULL;
}

void table_row(struct table *t)
{
	unsigned int i, n = t->upright ? t->n : 1;

	for (i = 0; i < n; i++) {
		t->lines[i] = scols_table_new_line(t->tb, NULL);
		if (!t->lines[i] ||
		    (t->upright &&
		     scols_line_set_data(t->lines[i], 0, t->columns[i].head)))
			t->failed = true;
	}
}

/* Break lines between words, where they would be longer than @width. */
static void wrap_words(char *text, size_t width)
{
	char *line = text, *space = NULL, *p;

	for (p = text; *p; p++) {
		if (*p == ' ')
			space = p;
		if ((size_t)(p - line) >= width && space) {
			*space = '\n';
			line = space + 1;
			space = NULL;
		}
	}
}

void table_text(struct table *t, unsigned int column, const char *text)
{
	struct libscols_line *line = t->lines[t->upright ? column : 0];
	char *copy, *p;

	if (t->failed)
		return;
	copy = strdup(text);
	/* libsmartcols' JSON has bytes as they are. */
	for (p = copy; p && *p && t->json; p += utf8_length(p))
		if (!utf8_length(p))
			*p = '?';
	if (copy && t->columns[column].wrap > 0 && !t->json)
		wrap_words(copy, t->columns[column].wrap);
	if (!copy || scols_line_set_data(line, t->upright ? 1 : column, copy))
		t->failed = true;
	free(copy);
}

const char *human_bytes(uint64_t n, char buf[16])
{
	static const char units[] = "BKMGTPE";
	double v = n;
	int u = 0;

	while (v >= 1024 && units[u + 1]) {
		v /= 1024;
		u++;
	}
	snprintf(buf, 16, u && v < 99.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
	return buf;
}

static void human_age(uint64_t ms, char buf[32])
{
	uint64_t s = ms / 1000;

	if (s < 100)
		snprintf(buf, 32, "%" PRIu64 "s", s);
	else if (s < 100 * 60)
		snprintf(buf, 32, "%" PRIu64 "m", s / 60);
	else if (s < 100 * 3600)
		snprintf(buf, 32, "%" PRIu64 "h", s / 3600);
	else
		snprintf(buf, 32, "%" PRIu64 "d", s / 86400);
}

void table_value(struct table *t, unsigned int column, uint64_t value)
{
	enum column_kind kind = t->columns[column].kind;
	char buf[32];

	if (kind == COLUMN_FLAG)
		snprintf(buf, sizeof(buf), "%s",
			 t->json ? value ? "1" : "0"
			 : value ? "yes"
				 : "no");
	else if (kind == COLUMN_BYTES && !t->json)
		human_bytes(value, buf);
	else if (kind == COLUMN_AGE && !t->json)
		human_age(value, buf);
	else
		snprintf(buf, sizeof(buf), "%" PRIu64, value);
	table_text(t, column, buf);
}

int table_print(struct table *t)
{
	int err;

	if (t->failed)
		return -ENOMEM;
	err = scols_print_table(t->tb);
	if (err < 0)
		return err;
	if (!t->below || scols_table_is_empty(t->below->tb))
		return 0;
	putchar('\n');
	return table_print(t->below);
}
