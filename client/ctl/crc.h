/* SPDX-License-Identifier: MIT */
#ifndef SHARQ_CTL_CRC_H
#define SHARQ_CTL_CRC_H

#include <stdint.h>

/* CRC32C of A followed by B, from theirs alone; @len_b in bytes. */
uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b);

#endif /* SHARQ_CTL_CRC_H */
