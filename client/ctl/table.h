/* SPDX-License-Identifier: MIT */
/*
 * Tables for people, by libsmartcols, or the same as JSON. JSON has numbers
 * where people get rounded ones with units. Running out of memory while a
 * table is made is noticed once, by table_print().
 */
#ifndef SHARQ_CTL_TABLE_H
#define SHARQ_CTL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum column_kind {
	COLUMN_TEXT,
	COLUMN_NUMBER,
	COLUMN_BYTES,
	COLUMN_AGE, /* milliseconds */
	COLUMN_FLAG /* yes or no */
};

/*
 * struct column - @head for people, @key for JSON
 * @head: NULL: only in JSON
 * @wrap: 0: one line; WRAP_CUT: cut when there is no room; else wrapped between
 *        words at that width
 */
struct column {
	const char *key;
	const char *head;
	enum column_kind kind;
	int wrap;
};

#define WRAP_CUT (-1)

struct table;

/*
 * table_new - @columns must outlive the table
 * @upright: people see one field a line (for a single row)
 */
int table_new(struct table **t, const char *name, const struct column *columns,
	      unsigned int n, bool json, bool upright);
/* For people, another table: printed below @t if it has rows, freed with it. */
void table_add_below(struct table *t, const struct column *columns,
		     unsigned int n);
/* NULL: there is none. */
struct table *table_below(const struct table *t);
struct table *table_free(struct table *t);
void table_row(struct table *t);
void table_text(struct table *t, unsigned int column, const char *text);
void table_value(struct table *t, unsigned int column, uint64_t value);
int table_print(struct table *t);

/* "1.5G" of 1024s. */
const char *human_bytes(uint64_t n, char buf[16]);

#endif /* SHARQ_CTL_TABLE_H */
