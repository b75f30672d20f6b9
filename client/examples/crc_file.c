// SPDX-License-Identifier: MIT
#include <sharq.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct sharq *s = NULL;
	struct sharq_queue *q = NULL;
	FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
	unsigned int status = SHARQ_OK;
	uint32_t crc = 0;
	char *buf, why[256];
	size_t n;
	int err = file ? sharq_connect(&s, NULL) : -1;

	if (!file || err)
		return fprintf(stderr, "%s\n",
			       file ? sharq_connect_strerror(err, NULL, why,
							     sizeof(why))
				    : "give me a file");
	if (sharq_queue_open(s, NULL, &q) || !(buf = sharq_alloc(s, 1 << 20)))
		return fprintf(stderr, "%s\n",
			       sharq_error(s, why, sizeof(why)));
	while (!err && status == SHARQ_OK && (n = fread(buf, 1, 1 << 20, file)))
		err = sharq_crc32c(q, buf, n, crc, &crc, &status);
	printf("%08x  %s  %s\n", crc, argv[1], sharq_status_name(status));
	sharq_queue_close(q);
	sharq_disconnect(s);
	return err || status != SHARQ_OK || ferror(file);
}
