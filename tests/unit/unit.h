/* SPDX-License-Identifier: MIT */
#ifndef UNIT_H
#define UNIT_H

/* libcheck's: proto/ has a check.h of its own. */
#include LIBCHECK_H

/* Each program's one suite; main() is in unit.c. */
Suite *unit_suite(void);
/* A case of @suite with @test, by its function's name. */
void unit_add(Suite *suite, const char *name, const TTest *test);
#define UNIT_ADD(suite, test) unit_add(suite, #test, test)

#endif /* UNIT_H */
