// SPDX-License-Identifier: MIT
/* The operations of sharqctl run. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec.h"
#include "crc.h"
#include "json.h"
#include "run.h"

static uint32_t piece_size(const struct run *r)
{
	uint32_t max = flow_max_transfer(r->flow);

	return max < FLOW_PIECE ? max : FLOW_PIECE;
}

/*
 * The loop that the simple operations share: @put puts the next piece in and
 * sets *end when there is none; @take gets each completed piece, in order, and
 * may set *end as well.
 */
struct steps {
	int (*put)(void *arg, struct flow_slot *s, bool *end,
		   struct failure *f);
	int (*take)(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f);
	void *arg;
};

static int loop(struct run *r, const struct steps *st, struct failure *f)
{
	struct flow_slot *s;
	bool end = false;
	int err = 0;

	while (!err) {
		s = end ? NULL : flow_next(r->flow);
		if (s)
			err = st->put(st->arg, s, &end, f);
		if (!err)
			err = flow_take(r->flow, !s, &s, f);
		if (err || (!s && end && !flow_busy(r->flow)))
			break;
		if (!s)
			continue;
		err = st->take(st->arg, s, &end, f);
		flow_drop(r->flow);
	}
	/* What an error left in flight is for nobody. */
	while (err && err != -EINTR && flow_busy(r->flow)) {
		struct failure ignored;

		if (flow_take(r->flow, true, &s, &ignored))
			break;
		flow_drop(r->flow);
	}
	return err;
}

/* ---- crc32c ---- */

struct crc_job {
	struct run *r;
	struct input in;
	uint32_t crc;
};

static int crc_put(void *arg, struct flow_slot *s, bool *end, struct failure *f)
{
	struct crc_job *j = arg;
	size_t got;
	int err = input_read(&j->in, s->buf[0], piece_size(j->r), &got, f);

	*end = !got;
	if (err || !got)
		return err;
	s->desc.op = SHARQ_OP_CRC32C;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.len = got;
	return flow_put(j->r->flow, f);
}

static int crc_take(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct crc_job *j = arg;

	(void)end;
	if (s->cqe.status != SHARQ_OK)
		return flow_status(j->in.name, s, f);
	j->crc = crc32c_combine(j->crc, s->cqe.crc, s->desc.len);
	progress_update(&j->r->progress, j->in.offset);
	return 0;
}

static int crc_file(struct run *r, const char *name, uint32_t *crc,
		    struct failure *f)
{
	struct crc_job j = { .r = r };
	struct steps st = { crc_put, crc_take, &j };
	int err = input_open(&j.in, name, 0, f);

	if (err)
		return err;
	progress_start(&r->progress, r->op, j.in.size);
	err = loop(r, &st, f);
	progress_end(&r->progress);
	r->bytes_in += j.in.offset;
	*crc = j.crc;
	input_close(&j.in);
	return err;
}

/* A file that can't be read doesn't keep the others from their sums. */
static int run_crc(struct run *r, struct failure *f)
{
	struct failure one;
	uint32_t crc;
	int i, err, ret = 0;
	bool first = true;

	if (r->c->json)
		printf("{\"files\":[");
	for (i = 0; i < r->nfiles; i++) {
		err = crc_file(r, r->files[i], &crc, &one);
		if (err) {
			if (ret)
				ctl_failed(f);
			*f = one;
			ret = err;
			if (err == -EINTR || err == -ESHUTDOWN)
				break;
			continue;
		}
		if (r->c->json) {
			printf("%s{\"name\":", first ? "" : ",");
			json_string(r->files[i]);
			printf(",\"crc32c\":\"%08x\"}", crc);
		} else {
			printf("%08x  %s\n", crc, r->files[i]);
		}
		first = false;
	}
	if (r->c->json)
		printf("],");
	return ret;
}

/* ---- copy, fill ---- */

struct copy_job {
	struct run *r;
	struct input in;
	struct output *out;
	uint64_t left;
};

static int copy_put(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct copy_job *j = arg;
	size_t got;
	int err = input_read(&j->in, s->buf[0], piece_size(j->r), &got, f);

	*end = !got;
	if (err || !got)
		return err;
	s->desc.op = SHARQ_OP_COPY;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.dst = (uintptr_t)s->buf[1];
	s->desc.len = got;
	return flow_put(j->r->flow, f);
}

static int copy_take(void *arg, struct flow_slot *s, bool *end,
		     struct failure *f)
{
	struct copy_job *j = arg;
	const char *name = j->r->files[j->r->nfiles - 1];

	(void)end;
	if (s->cqe.status != SHARQ_OK)
		return flow_status(name, s, f);
	progress_update(&j->r->progress, output_bytes(j->out));
	return output_write(j->out, s->buf[1], s->desc.len, f);
}

static int fill_put(void *arg, struct flow_slot *s, bool *end,
		    struct failure *f)
{
	struct copy_job *j = arg;
	uint32_t piece = piece_size(j->r);

	/* Each piece starts with the pattern's first byte. */
	piece -= piece % j->r->pattern_len;
	if (piece > j->left)
		piece = j->left;
	*end = !piece;
	if (!piece)
		return 0;
	j->left -= piece;
	s->desc.op = SHARQ_OP_FILL;
	s->desc.param = j->r->pattern_len;
	memcpy(&s->desc.pattern, j->r->pattern, sizeof(s->desc.pattern));
	s->desc.dst = (uintptr_t)s->buf[1];
	s->desc.len = piece;
	return flow_put(j->r->flow, f);
}

static int finish_output(struct run *r, struct output *out, int err,
			 struct failure *f)
{
	progress_end(&r->progress);
	progress_wait(&r->progress, "to disk", -1);
	if (!err)
		err = output_commit(out, f);
	progress_end(&r->progress);
	r->bytes_out = output_bytes(out);
	output_free(out);
	return err;
}

static int run_copy(struct run *r, struct failure *f)
{
	struct copy_job j = { .r = r };
	struct steps st = { copy_put, copy_take, &j };
	int err = input_open(&j.in, r->files[0], 0, f);

	if (err)
		return err;
	err = output_open(&j.out, r->files[1], j.in.mode, f);
	if (!err) {
		progress_start(&r->progress, r->op, j.in.size);
		err = finish_output(r, j.out, loop(r, &st, f), f);
	}
	r->bytes_in = j.in.offset;
	input_close(&j.in);
	return err;
}

static int run_fill(struct run *r, struct failure *f)
{
	struct copy_job j = { .r = r, .left = r->size };
	struct steps st = { fill_put, copy_take, &j };
	int err = output_open(&j.out, r->files[0], 0666, f);

	if (err)
		return err;
	progress_start(&r->progress, r->op, r->size);
	return finish_output(r, j.out, loop(r, &st, f), f);
}

/* ---- compare ---- */

struct compare_job {
	struct run *r;
	struct input in[2];
	uint64_t checked;
	int shorter;
	bool differ;
};

static int compare_put(void *arg, struct flow_slot *s, bool *end,
		       struct failure *f)
{
	struct compare_job *j = arg;
	size_t got[2];
	int i, err;

	if (j->shorter >= 0) {
		*end = true;
		return 0;
	}
	for (i = 0; i < 2; i++) {
		err = input_read(&j->in[i], s->buf[i], piece_size(j->r),
				 &got[i], f);
		if (err)
			return err;
	}
	if (got[0] != got[1])
		j->shorter = got[0] > got[1];
	s->desc.len = got[j->shorter == 1];
	*end = !s->desc.len;
	if (*end)
		return 0;
	s->desc.op = SHARQ_OP_COMPARE;
	s->desc.src = (uintptr_t)s->buf[0];
	s->desc.src2 = (uintptr_t)s->buf[1];
	return flow_put(j->r->flow, f);
}

static int compare_take(void *arg, struct flow_slot *s, bool *end,
			struct failure *f)
{
	struct compare_job *j = arg;

	/* Behind the first difference nothing matters. */
	if (j->differ)
		return 0;
	if (s->cqe.status == SHARQ_MISMATCH) {
		j->differ = true;
		j->checked += s->cqe.consumed;
		*end = true;
		return 0;
	}
	if (s->cqe.status != SHARQ_OK)
		return flow_status(j->in[0].name, s, f);
	j->checked += s->desc.len;
	progress_update(&j->r->progress, j->checked);
	return 0;
}

static int run_compare(struct run *r, struct failure *f)
{
	struct compare_job j = { .r = r, .shorter = -1 };
	struct steps st = { compare_put, compare_take, &j };
	int err = input_open(&j.in[0], r->files[0], 0, f);

	if (err)
		return err;
	err = input_open(&j.in[1], r->files[1], 0, f);
	if (!err) {
		progress_start(&r->progress, r->op, j.in[0].size);
		err = loop(r, &st, f);
		progress_end(&r->progress);
		r->bytes_in = j.in[0].offset + j.in[1].offset;
		input_close(&j.in[1]);
	}
	input_close(&j.in[0]);
	if (err)
		return err;
	if (!j.differ && j.shorter < 0) {
		if (r->c->json)
			printf("{\"differ\":false,");
		return 0;
	}
	if (r->c->json)
		printf("{\"differ\":true,\"offset\":%" PRIu64 ",", j.checked);
	else if (j.differ)
		printf("%s %s differ at offset %" PRIu64 "\n", r->files[0],
		       r->files[1], j.checked);
	else
		printf("%s %s differ at offset %" PRIu64 ": %s ends there\n",
		       r->files[0], r->files[1], j.checked,
		       j.in[j.shorter].name);
	return RUN_DIFFERENT;
}

/* ---- compress, decompress ---- */

static int run_codec(struct run *r, bool packing, struct failure *f)
{
	struct input in;
	struct output *out;
	int err = input_open(&in, r->files[0], packing ? 0 : INFLATE_WINDOW, f);

	if (err)
		return err;
	err = output_open(&out, r->files[1], in.mode, f);
	if (!err) {
		progress_start(&r->progress, r->op, in.size);
		err = packing ? deflate_file(r->flow, &in, out, r->format,
					     r->level, &r->progress, f)
			      : inflate_file(r->flow, &in, out, r->format,
					     &r->progress, f);
		err = finish_output(r, out, err, f);
	}
	r->bytes_in = in.offset;
	input_close(&in);
	return err;
}

static int run_compress(struct run *r, struct failure *f)
{
	return run_codec(r, true, f);
}

static int run_decompress(struct run *r, struct failure *f)
{
	return run_codec(r, false, f);
}

const struct run_op run_ops[RUN_OPS] = {
	{ "crc32c",
	  run_crc,
	  SHARQ_OP_BIT(SHARQ_OP_CRC32C),
	  "",
	  -1,
	  false,
	  { FLOW_PIECE, 0 },
	  "FILE...\n\nPrints the CRC32C of each file: 8 hex digits, two "
	  "spaces, the name." },
	{ "copy",
	  run_copy,
	  SHARQ_OP_BIT(SHARQ_OP_COPY),
	  "",
	  2,
	  true,
	  { FLOW_PIECE, FLOW_PIECE },
	  "IN OUT\n\nCopies a file." },
	{ "fill",
	  run_fill,
	  SHARQ_OP_BIT(SHARQ_OP_FILL),
	  "sn",
	  1,
	  true,
	  { 0, FLOW_PIECE },
	  "OUT --size N --pattern HEX\n\nWrites N bytes (K, M, G, T: powers of "
	  "1024) of a pattern of 1 to 8 bytes, two\nhex digits each." },
	{ "compare",
	  run_compare,
	  SHARQ_OP_BIT(SHARQ_OP_COMPARE),
	  "",
	  2,
	  false,
	  { FLOW_PIECE, FLOW_PIECE },
	  "A B\n\nSays nothing and exits with 0 if both files are the same; "
	  "else prints the offset\nof the first difference, counted from 0, "
	  "and exits with 1 (as after an error,\nwhich is told on standard "
	  "error)." },
	{ "compress",
	  run_compress,
	  SHARQ_OP_BIT(SHARQ_OP_COMPRESS),
	  "fl",
	  2,
	  true,
	  { CODEC_PLAIN_SIZE, CODEC_PACKED_SIZE },
	  "IN OUT [--level N] [--format gzip|zlib|raw]\n\nCompresses a file. "
	  "Levels: 1 fastest to 9 smallest, 0 the device's choice." },
	{ "decompress",
	  run_decompress,
	  SHARQ_OP_BIT(SHARQ_OP_DECOMPRESS),
	  "f",
	  2,
	  true,
	  { CODEC_PACKED_SIZE, CODEC_PLAIN_SIZE },
	  "IN OUT [--format gzip|zlib|raw]\n\nDecompresses a file. What 'run "
	  "compress' wrote as gzip is done by the device,\nmany members at "
	  "once; larger streams of others on this CPU." },
};
