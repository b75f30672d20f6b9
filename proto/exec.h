/* SPDX-License-Identifier: MIT */
/*
 * Executing a checked descriptor on memory of this process: what the embedded
 * engine does in slices and the library does inline, so that both give the
 * same results. CRC32C and deflate are ISA-L's.
 */
#ifndef SHARQ_EXEC_H
#define SHARQ_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"

/*
 * struct sharq_mem - where a descriptor's operands lie in this process
 * @src, @src2: sources (COMPARE has two)
 * @dst, @dst2: destinations (DUALCAST has two)
 *
 * May differ from one slice to the next (a region mapped elsewhere), but must
 * name the same bytes. What an operation doesn't use is ignored.
 */
struct sharq_mem {
	const uint8_t *src;
	const uint8_t *src2;
	uint8_t *dst;
	uint8_t *dst2;
};

/* Opaque deflate/inflate state, some 300 KiB; made for the first that needs it
 * and used again. One user at a time. */
struct sharq_codec;

/*
 * sharq_codec_new - make one; Return: 0 or -ENOMEM
 * sharq_codec_free - accepts NULL, returns NULL
 */
int sharq_codec_new(struct sharq_codec **codec);
struct sharq_codec *sharq_codec_free(struct sharq_codec *codec);

/* Does this descriptor need a codec? */
bool sharq_exec_needs_codec(const struct sharq_desc *desc);

/*
 * struct sharq_exec - progress of one command
 * @codec:  set by the caller before the first step when needed; stays the
 *          caller's, who may take it back when the command is done
 * @cqe:    the result: complete (user_data included) when a step returns true
 * @done:   bytes done so far: internal
 * @started, @backward: internal
 */
struct sharq_exec {
	struct sharq_codec *codec;
	struct sharq_cqe cqe;
	uint32_t done;
	bool started;
	bool backward;
};

/* Start over with a command that sharq_check() accepted. Does not touch memory. */
void sharq_exec_init(struct sharq_exec *x, const struct sharq_desc *desc,
		     struct sharq_codec *codec);

/*
 * sharq_exec_step - go on for about @slice bytes
 * @desc: the same private copy each time
 *
 * Return: true when the command is done and x->cqe its completion.
 * With slice SHARQ_MAX_TRANSFER one step does all.
 */
bool sharq_exec_step(struct sharq_exec *x, const struct sharq_desc *desc,
		     const struct sharq_mem *mem, uint32_t slice);

/* All at once. @codec may be NULL for what needs none. */
void sharq_exec_run(const struct sharq_desc *desc, const struct sharq_mem *mem,
		    struct sharq_codec *codec, struct sharq_cqe *cqe);

/* CRC32C of @len bytes going on from @seed (0 to start); any length. */
uint32_t sharq_crc32c_raw(uint32_t seed, const void *data, size_t len);

/*
 * Streaming decompression of streams of any length on this CPU, for what
 * doesn't fit one command: feed input, take output.
 *
 * sharq_inflate_init - @format: enum sharq_format
 * sharq_inflate - @in_used, @out_used are set. Return: SHARQ_OK and *@end when
 * the stream ended; SHARQ_OK without it: more input or room is wanted;
 * SHARQ_BAD_DATA. A RAW stream has no trailer: up to eight bytes that follow it in
 * an earlier call's input may be lost.
 */
void sharq_inflate_init(struct sharq_codec *codec, unsigned int format);
enum sharq_status sharq_inflate(struct sharq_codec *codec, const void *in,
				size_t in_len, size_t *in_used, void *out,
				size_t out_len, size_t *out_used, bool *end);

#endif /* SHARQ_EXEC_H */
