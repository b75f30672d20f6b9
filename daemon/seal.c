// SPDX-License-Identifier: MIT
#include "seal.h"

#include <endian.h>
#include <string.h>

static uint64_t rotl(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static void rounds(uint64_t v[4], unsigned int n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] = rotl(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] = rotl(v[2], 32);
	}
}

uint64_t seal_hash(const struct seal_key *key, const void *data, size_t len)
{
	const uint64_t k0 = le64toh(key->word[0]), k1 = le64toh(key->word[1]);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
			  k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
	const char *p = data;

	for (size_t done = 0; done <= len; done += 8) {
		size_t left = len - done;
		uint64_t word = 0;

		memcpy(&word, p + done, left < 8 ? left : 8);
		word = le64toh(word);
		if (left < 8)
			word |= (uint64_t)len << 56;
		v[3] ^= word;
		rounds(v, 2);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t seal_id(const struct seal_key *key, enum seal_kind kind, uint32_t uid,
		 uint64_t id)
{
	const uint64_t what[] = { kind, uid, id };

	return seal_hash(key, what, sizeof(what));
}
