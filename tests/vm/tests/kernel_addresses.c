/* SPDX-License-Identifier: MIT */
#include "kernel_addresses.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "guest.h"
#include "queue.h"

#define MOST 256

struct list {
	uint64_t *at;
	unsigned int n;
};

static void add(struct list *l, uint64_t at)
{
	ck_assert_uint_lt(l->n, MOST);
	ck_assert(at);
	l->at[l->n++] = at;
}

static FILE *open_file(const char *path)
{
	int fd = broker_open(path, O_RDONLY);
	FILE *f;

	ck_assert_int_ge(fd, 0);
	f = fdopen(fd, "r");
	ck_assert(f);
	return f;
}

uint64_t kernel_symbol(const char *name)
{
	FILE *f = open_file("/proc/kallsyms");
	char line[512], symbol[256], type;
	unsigned long at, value = 0;

	while (!value && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx %c %255s", &at, &type, symbol) == 3 &&
		    !strcmp(symbol, name))
			value = at;
	fclose(f);
	ck_assert_msg(value, "the kernel has no %s", name);
	return value;
}

static void add_module(struct list *l, const char *name)
{
	FILE *f = open_file("/proc/modules");
	char line[512], its[64];
	unsigned long at, value = 0;

	while (!value && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %*s %*s %*s %*s %lx", its, &at) == 2 &&
		    !strcmp(its, name))
			value = at;
	fclose(f);
	ck_assert_msg(value, "there is no module %s", name);
	add(l, value);
}

/* proc_kcore(5): a core file, whose segments are the kernel's mappings. */
static void add_maps(struct list *l)
{
	int fd = broker_open("/proc/kcore", O_RDONLY);
	unsigned int before = l->n;
	Elf64_Ehdr head;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, &head, sizeof(head), 0), sizeof(head));
	for (unsigned int i = 0; i < head.e_phnum; i++) {
		off_t at = (off_t)(head.e_phoff + i * sizeof(Elf64_Phdr));
		Elf64_Phdr map;

		ck_assert_int_eq(pread(fd, &map, sizeof(map), at), sizeof(map));
		if (map.p_type != PT_LOAD)
			continue;
		add(l, map.p_vaddr);
		add(l, map.p_vaddr + map.p_memsz / 2 / PAGE * PAGE);
	}
	close(fd);
	ck_assert_uint_ge(l->n - before, 6);
}

uint64_t *kernel_addresses(unsigned int *n)
{
	static const char *const symbols[] = {
		"init_task", "linux_banner", "_text",	      "sys_call_table",
		"init_cred", "jiffies",	     "modprobe_path",
	};
	struct list l = { .at = calloc(MOST, sizeof(*l.at)) };

	ck_assert(l.at);
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
		add(&l, kernel_symbol(symbols[i]));
	add_maps(&l);
	add_module(&l, "sharq");
	*n = l.n;
	return l.at;
}
