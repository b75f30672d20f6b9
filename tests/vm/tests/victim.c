// SPDX-License-Identifier: MIT
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define DISK_FILE DISK_DIR "/victim"

void victim_file_new(void)
{
	int fd = open(DISK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert(fd >= 0 && !ftruncate(fd, MIB));
	close(fd);
}

void victim_file_remove(void)
{
	ck_assert(!unlink(DISK_FILE));
}

void victim_put_mix(struct queue *q, unsigned int seed)
{
	static uint8_t buf[2 * MIB];
	struct rng r = { seed };
	int fd = open(DISK_FILE, O_RDWR | O_CLOEXEC);
	uint8_t *map =
		mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	ck_assert(fd >= 0 && map != MAP_FAILED);
	close(fd);
	for (int i = 0; i < 16; i++) {
		uint32_t len = (uint32_t)(1 + rng_next(&r) % (256 * KIB));
		struct sharq_desc d = desc_copy(buf + MIB, buf, len);

		switch (rng_next(&r) % 5) {
		case 0:
			d = desc_copy(map, buf, len);
			break;
		case 1:
			d = desc_crc(map, len);
			break;
		case 2:
			d = desc_compress(buf + MIB, MIB, buf, len);
			break;
		case 3:
			d = desc_copy(buf + MIB, buf, 100);
			break;
		}
		if (rng_next(&r) % 4 == 0)
			d.flags |= SHARQ_DESC_LINK;
		if (rng_next(&r) % 4 == 0)
			d.flags |= SHARQ_DESC_FENCE;
		queue_put(q, &d);
	}
	queue_publish(q);
}

static unsigned int ring_flags(unsigned int seed)
{
	switch (seed >> 4 & 3) {
	case 0:
		return IORING_SETUP_SQPOLL;
	case 1:
		return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
	default:
		return 0;
	}
}

static void uring_kicks(const struct queue *q, unsigned int seed)
{
	uint32_t flags = seed & 8 && kernel_cancels() ? SHARQ_KICK_WAIT : 0;
	struct io_uring ring;

	CHILD_EXPECT(!io_uring_queue_init(8, &ring, ring_flags(seed)));
	uring_prep(&ring, q->fd, 16, flags);
	if (seed & 4)
		uring_prep(&ring, q->fd, 16, flags)->flags |= IOSQE_ASYNC;
	CHILD_EXPECT(io_uring_submit(&ring) > 0);
}

static void kick(struct queue *q, unsigned int seed)
{
	if (q->bell) {
		queue_ring(q);
	} else if (seed & 2) {
		uring_kicks(q, seed);
	} else {
		CHILD_EXPECT(queue_ioctl_kick(q->fd, 16) >= 0);
	}
}

/* Odd ones die in the kick, or near it; even ones with all in flight. */
static void victim(unsigned int seed, struct queue q, int say)
{
	victim_put_mix(&q, seed);
	if (seed & 1)
		CHILD_EXPECT(write(say, "", 1) == 1);
	kick(&q, seed);
	if (!(seed & 1))
		CHILD_EXPECT(write(say, "", 1) == 1);
	for (;;)
		pause();
}

void victim_kill(unsigned int seed, struct queue (*make)(unsigned int depth))
{
	int say[2], status;
	char byte;
	pid_t pid;

	ck_assert(!pipe2(say, O_CLOEXEC));
	pid = spawn();
	if (!pid)
		victim(seed, make(16), say[1]);
	close(say[1]);
	ck_assert_msg(read(say[0], &byte, 1) == 1, "no victim");
	close(say[0]);
	ck_assert(!kill(pid, SIGKILL));
	status = reap(pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
