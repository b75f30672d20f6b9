// SPDX-License-Identifier: MIT
/*
 * A CRC is a remainder of polynomials over GF(2): appending n zero bits
 * multiplies by x^n, and the CRC of a sum is the sum of the CRCs. The inversion
 * before and after cancels out between the two. Bit 31 stands for x^0.
 */
#include "crc.h"

#define POLY 0x82f63b78U
#define X_POW_0 0x80000000U
#define X_POW_8 0x00800000U

static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0, bit;

	for (bit = X_POW_0; bit; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = b & 1 ? b >> 1 ^ POLY : b >> 1;
	}
	return product;
}

uint32_t crc32c_combine(uint32_t a, uint32_t b, uint64_t len_b)
{
	uint32_t shift = X_POW_0, square = X_POW_8;

	for (; len_b; len_b >>= 1) {
		if (len_b & 1)
			shift = multiply(shift, square);
		square = multiply(square, square);
	}
	return multiply(shift, a) ^ b;
}
