/* SPDX-License-Identifier: MIT */
/*
 * Files through COMPRESS and DECOMPRESS.
 *
 * What `run compress` writes as gzip is a sequence of members, each with an
 * extra field "SQ" that tells its own size and that of its contents: any
 * gunzip reads it, and `run decompress` can have many members in flight.
 */
#ifndef SHARQ_CTL_CODEC_H
#define SHARQ_CTL_CODEC_H

#include "file.h"
#include "flow.h"
#include "progress.h"

/* A flow's buffers: for compressed data, which may be longer than the plain
 * (sharq_compress_bound() says how much), and for plain data. */
#define CODEC_PACKED_SIZE (FLOW_PIECE + FLOW_PIECE / 8 + 8192)
#define CODEC_PLAIN_SIZE FLOW_PIECE

/* Offsets and sizes of our gzip header; all numbers are little-endian. */
#define SQ_HEADER_SIZE 24U
#define SQ_FIELD_AT 10U

static inline void put_le32(uint8_t *p, uint32_t v)
{
	p[0] = v;
	p[1] = v >> 8;
	p[2] = v >> 16;
	p[3] = v >> 24;
}

static inline uint32_t get_le32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

/* XLEN 12; "SQ", 8 bytes: member's size, contents' size. */
extern const uint8_t sq_field[6];

/* @flow: buf[0] plain, buf[1] packed. @in needs no window. */
int deflate_file(struct flow *flow, struct input *in, struct output *out,
		 unsigned int format, unsigned int level, struct progress *p,
		 struct failure *f);

/* @flow: buf[0] packed, buf[1] plain. @in: window of INFLATE_WINDOW. */
#define INFLATE_WINDOW (CODEC_PACKED_SIZE + 1)
int inflate_file(struct flow *flow, struct input *in, struct output *out,
		 unsigned int format, struct progress *p, struct failure *f);

#endif /* SHARQ_CTL_CODEC_H */
