// SPDX-License-Identifier: MIT
#include "sdxi_function.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

static const char *address = SDXI_ADDRESS;
static volatile uint64_t *block;

void sdxi_choose(const char *other)
{
	if (block)
		ck_assert(!munmap((void *)block, SDXI_TEST_SIZE));
	block = NULL;
	address = other;
}

bool sdxi_find(struct sharq_ctl_device *d)
{
	char name[sizeof(d->name)];

	snprintf(name, sizeof(name), "sdxi-%s", address);
	*d = (struct sharq_ctl_device){ .size = sizeof(*d) };
	while (!broker_ctl(SHARQ_CTL_DEVICE, d)) {
		if (!strcmp(d->name, name))
			return true;
		d->id++;
	}
	return false;
}

struct sharq_ctl_device sdxi_device(void)
{
	struct sharq_ctl_device d;

	ck_assert_msg(sdxi_find(&d), "the SDXI function isn't served");
	return d;
}

void sdxi_wait_free(unsigned int n)
{
	uint64_t end = now_ms() + PATIENCE_MS;

	while (sdxi_device().direct_free != n) {
		ck_assert_msg(now_ms() < end, "%u contexts are free, not %u",
			      sdxi_device().direct_free, n);
		poll(NULL, 0, 1);
	}
}

void sdxi_all_gone(void)
{
	struct sharq_ctl_device d = sdxi_device();

	queues_left(0);
	sdxi_wait_free(d.direct_used + d.direct_free);
}

void sdxi_unbind(void)
{
	int r = broker_write(SDXI_DRIVER "unbind", address);

	ck_assert_msg(!r, "unbind: %s", strerror(-r));
}

void sdxi_bind_again(void)
{
	int r = broker_write(SDXI_DRIVER "bind", address);

	ck_assert_msg(!r, "bind: %s", strerror(-r));
}

unsigned int sdxi_group(void)
{
	char path[128], to[128] = "";

	snprintf(path, sizeof(path), PCI_DEVICES "%s/iommu_group", address);
	ck_assert_int_gt(readlink(path, to, sizeof(to) - 1), 0);
	return (unsigned int)atoi(strrchr(to, '/') + 1);
}

int sdxi_open_test_block(void)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/resource%d", address,
		 SDXI_TEST_BAR);
	fd = broker_open(path, O_RDWR);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(-fd));
	return fd;
}

static volatile uint64_t *test_block(void)
{
	void *p;
	int fd;

	if (block)
		return block;
	fd = sdxi_open_test_block();
	p = mmap(NULL, SDXI_TEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 0);
	ck_assert_msg(p != MAP_FAILED, "the test block: %s", strerror(errno));
	close(fd);
	block = p;
	ck_assert_uint_eq(block[SDXI_TEST_REG_ID / 8], SDXI_TEST_ID);
	return block;
}

void sdxi_misbehave(unsigned int cxt, enum sdxi_test_cmd cmd, uint64_t arg)
{
	volatile uint64_t *block = test_block();

	block[SDXI_TEST_REG_CXT / 8] = cxt;
	block[SDXI_TEST_REG_ARG / 8] = arg;
	block[SDXI_TEST_REG_CMD / 8] = cmd;
}

void sdxi_behave(void)
{
	sdxi_misbehave(0, SDXI_TEST_BEHAVE, 0);
}

uint64_t sdxi_counter(unsigned int reg)
{
	return test_block()[reg / 8];
}

/* What was changed, and what it was. */
static char parameter_path[80], parameter_before[16];

void sdxi_lose_patience(const char *parameter, unsigned int ms)
{
	char text[16];
	FILE *f;

	snprintf(parameter_path, sizeof(parameter_path),
		 "/sys/module/sharq/parameters/%s", parameter);
	f = fopen(parameter_path, "re");
	ck_assert(f && fgets(parameter_before, sizeof(parameter_before), f));
	fclose(f);
	snprintf(text, sizeof(text), "%u", ms);
	ck_assert(!broker_write(parameter_path, text));
}

void sdxi_be_patient(void)
{
	ck_assert(!broker_write(parameter_path, parameter_before));
}
