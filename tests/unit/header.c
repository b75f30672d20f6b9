/* SPDX-License-Identifier: MIT */
/* Compiled, never run: sharq.h alone must do, in C and in C++. */
#include <sharq.h>

int main(void)
{
	struct sharq_queue_opts opts = { 0, 0, SHARQ_PATH_ANY, 8, 0, 0 };
	struct sharq_queue *q;
	struct sharq *s;

	if (sharq_connect(&s, NULL))
		return 1;
	if (!sharq_queue_open(s, &opts, &q))
		sharq_queue_close(q);
	sharq_disconnect(s);
	return 0;
}
