/* SPDX-License-Identifier: MIT */
#include "unit.h"

void unit_add(Suite *suite, const char *name, const TTest *test)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, 120);
	tcase_add_test(c, test);
	suite_add_tcase(suite, c);
}

int main(void)
{
	SRunner *runner = srunner_create(unit_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	if (!srunner_ntests_run(runner))
		failed = 1;
	srunner_free(runner);
	return failed ? 1 : 0;
}
