// SPDX-License-Identifier: MIT
#include "plain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../client/client.h"

#define PAGE 4096U

/* As the library maps a queue's parts: below another, if there is one. */
static void *pages(size_t size, void *above)
{
	void *wish = above ? (uint8_t *)above - size : NULL;
	void *p = mmap(wish, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int make_context(struct plain *p)
{
	struct sdxi_memory m = {
		.ring = p->ring,
		.sq = p->sq,
		.cq = p->cq,
		.depth = PLAIN_DEPTH,
		.entries = PLAIN_DEPTH,
		.caps = p->q->caps,
		.bell = p->bell,
	};
	uint8_t *notes;

	p->q->area_size = (sdxi_area_size(PLAIN_DEPTH) + PAGE - 1) &
			  ~(PAGE - 1ULL);
	notes = pages(SDXI_NOTES_SIZE + p->q->area_size, p->bell);
	if (!notes)
		return -ENOMEM;
	m.area = p->area = p->q->area = notes + SDXI_NOTES_SIZE;
	p->dscs = (void *)((uint8_t *)m.area + SHARQ_SDXI_RING);
	p->blocks = (void *)(p->dscs + PLAIN_DEPTH);
	return sdxi_new(&p->q->sdxi, &m);
}

/* An inline queue becomes one of the module's, without the module. */
static int make_direct(struct plain *p)
{
	struct sharq_ring_layout l = sharq_ring_layout(PLAIN_DEPTH);
	struct sharq_queue *q = p->q;

	q->map_size = (l.size + PAGE - 1) & ~(PAGE - 1);
	q->ring = p->ring = pages(q->map_size, NULL);
	p->bell = pages(PAGE, p->ring);
	if (!p->ring || !p->bell)
		return -ENOMEM;
	/* As the module's device has it, always. */
	p->ring->device_flags = SHARQ_DEVICE_NEED_KNOCK;
	q->sq = p->sq = (void *)((uint8_t *)p->ring + l.sq_offset);
	q->cq = p->cq = (void *)((uint8_t *)p->ring + l.cq_offset);
	q->info.path = SHARQ_PATH_DIRECT;
	return kicker_new(&q->kicker, p->bell);
}

int plain_new(struct plain *p, bool sdxi)
{
	const struct sharq_queue_opts opts = { .path = SHARQ_PATH_INLINE,
					       .depth = PLAIN_DEPTH };
	int rc;

	memset(p, 0, sizeof(*p));
	rc = sharq_connect_none(&p->s);
	if (!rc)
		rc = sharq_queue_open(p->s, &opts, &p->q);
	if (!rc)
		rc = make_direct(p);
	if (!rc && sdxi)
		rc = make_context(p);
	if (!rc)
		push_in_place(p->q, p->bell);
	return rc;
}

void plain_free(struct plain *p)
{
	sharq_queue_close(p->q);
	sharq_disconnect(p->s);
}

void plain_hang_up(struct plain *p)
{
	int fds[2];

	if (pipe(fds))
		abort();
	close(fds[1]);
	p->q->fd = fds[0];
}

static void complete_block(struct plain *p)
{
	uint64_t at = p->taken % PLAIN_DEPTH;

	__atomic_store_n(&p->dscs[at].generic.opcode,
			 p->dscs[at].generic.opcode & ~(__u32)SDXI_DSC_VL,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&p->blocks[at].signal, 0, __ATOMIC_RELEASE);
}

static void complete_command(struct plain *p)
{
	uint32_t at = p->taken % PLAIN_DEPTH;

	p->cq[at] = (struct sharq_cqe){ .user_data = p->sq[at].user_data,
					.status = SHARQ_OK };
}

void plain_complete(struct plain *p, unsigned int n)
{
	for (; n--; p->taken++) {
		if (p->area)
			complete_block(p);
		else
			complete_command(p);
	}
	if (p->area)
		return;
	__atomic_store_n(&p->ring->sq_head, (uint32_t)p->taken,
			 __ATOMIC_RELEASE);
	__atomic_store_n(&p->ring->cq_tail, (uint32_t)p->taken,
			 __ATOMIC_RELEASE);
}
