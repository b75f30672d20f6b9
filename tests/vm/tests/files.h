/* SPDX-License-Identifier: MIT */
/* Files to map. */
#ifndef FILES_H
#define FILES_H

#include <stddef.h>
#include <stdint.h>

#include "guest.h"

#define DISK_FILE DISK_DIR "/file"
#define TMPFS_FILE TMPFS_DIR "/file"

/* Both end the test when they can't. */
int file_new(const char *path, size_t size);
uint8_t *file_map(int fd, size_t size, int flags);

#endif /* FILES_H */
