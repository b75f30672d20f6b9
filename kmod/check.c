// SPDX-License-Identifier: GPL-2.0-only
/* The same check as everywhere; see ../proto/check.h. */
#include "../proto/check.c"
