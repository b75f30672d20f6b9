// SPDX-License-Identifier: MIT
/*
 * A sharqd for sharqctl alone, of a machine that most don't have: with devices as
 * wide as they come, a queue of the module's, and no drain that ends before
 * SIGUSR1 comes.
 * Usage: system-pretend SOCKET
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"
#include "reason.h"
#include "sharq.pb-c.h"
#include "sharq_abi.h"
#include "sharq_ioctl.h"

static sigset_t drained;

static void answer_devices(Sharq__Pb__Reply *r)
{
	static Sharq__Pb__Path paths[] = { SHARQ__PB__PATH__PATH_DIRECT,
					   SHARQ__PB__PATH__PATH_SHADOW };
	static Sharq__Pb__Device sdxi = SHARQ__PB__DEVICE__INIT;
	static Sharq__Pb__Device *list[] = { &sdxi };
	static Sharq__Pb__Dma dma = SHARQ__PB__DMA__INIT;
	static Sharq__Pb__Devices devices = SHARQ__PB__DEVICES__INIT;

	dma.has_group = 1;
	dma.group = 12345;
	dma.owner = (char *)"sharq";
	dma.has_address_bits = 1;
	dma.address_bits = 64;
	dma.pasids = 1 << 20;
	sdxi.id = 64;
	sdxi.name = (char *)"sdxi-10000:e1:00.0";
	sdxi.provider = (char *)"sdxi";
	sdxi.ops = SHARQ_OPS_ALL;
	sdxi.max_transfer = UINT32_MAX;
	sdxi.max_depth = SHARQ_MAX_DEPTH;
	sdxi.paths = paths;
	sdxi.n_paths = 2;
	sdxi.has_queues_used = sdxi.has_queues_free = 1;
	sdxi.queues_used = sdxi.queues_free = 65536;
	sdxi.has_direct_used = sdxi.has_direct_free = 1;
	sdxi.direct_used = sdxi.direct_free = 65535;
	sdxi.note = (char *)"the device or its IOMMU lacks PASID, ATS or page "
			    "requests";
	sdxi.dma = &dma;
	devices.device = list;
	devices.n_device = 1;
	r->body_case = SHARQ__PB__REPLY__BODY_DEVICES;
	r->devices = &devices;
}

/*
 * Half of the commands waited less than 8 us, 2 % for ever; none has ended. Where
 * @all are asked for there is a second one, whose path was.
 */
static void answer_queue(Sharq__Pb__Reply *r, bool all)
{
	static uint64_t wait[SHARQ_HIST_BUCKETS] = {
		[3] = 60, [10] = 38, [SHARQ_HIST_BUCKETS - 1] = 2
	};
	static uint64_t device[SHARQ_HIST_BUCKETS];
	static Sharq__Pb__QueueStats stats = SHARQ__PB__QUEUE_STATS__INIT;
	static Sharq__Pb__Queue queue = SHARQ__PB__QUEUE__INIT;
	static Sharq__Pb__Queue asked = SHARQ__PB__QUEUE__INIT;
	static Sharq__Pb__Queue *list[] = { &queue, &asked };
	static Sharq__Pb__Queues queues = SHARQ__PB__QUEUES__INIT;

	stats.has_kicks = 1;
	stats.wait_hist = wait;
	stats.device_hist = device;
	stats.n_wait_hist = stats.n_device_hist = SHARQ_HIST_BUCKETS;
	queue.id = 1234567;
	queue.path = SHARQ__PB__PATH__PATH_SHADOW;
	queue.depth = 64;
	queue.program = (char *)"caf\xe9 caf\xc3\xa9";
	queue.stats = &stats;
	queue.reason = (char *)sharq_reason_text(SHARQ_REASON_NO_SVA);
	queue.has_reason_errno = 1;
	queue.reason_errno = -EOPNOTSUPP;
	asked.id = 1234568;
	asked.path = SHARQ__PB__PATH__PATH_SHADOW;
	asked.reason = (char *)sharq_reason_text(SHARQ_REASON_REQUESTED);
	queues.queue = list;
	queues.n_queue = all ? 2 : 1;
	r->body_case = SHARQ__PB__REPLY__BODY_QUEUES;
	r->queues = &queues;
}

static void answer(int sock, const Sharq__Pb__Request *req)
{
	Sharq__Pb__ServerMessage m = SHARQ__PB__SERVER_MESSAGE__INIT;
	Sharq__Pb__Reply r = SHARQ__PB__REPLY__INIT;
	Sharq__Pb__HelloReply hello = SHARQ__PB__HELLO_REPLY__INIT;
	int sig;

	switch (req->body_case) {
	case SHARQ__PB__REQUEST__BODY_HELLO:
		hello.version = SHARQ_PROTOCOL_MAX;
		hello.server = (char *)"pretend";
		r.body_case = SHARQ__PB__REPLY__BODY_HELLO;
		r.hello = &hello;
		break;
	case SHARQ__PB__REQUEST__BODY_DEVICES:
		answer_devices(&r);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUES:
		answer_queue(&r, !req->queues->has_queue);
		break;
	case SHARQ__PB__REQUEST__BODY_QUEUE_CONTROL:
		sigwait(&drained, &sig);
		break;
	default:
		r.code = -EOPNOTSUPP;
		break;
	}
	r.id = req->id;
	m.body_case = SHARQ__PB__SERVER_MESSAGE__BODY_REPLY;
	m.reply = &r;
	sharq_frame_send_msg(sock, &m.base, NULL, 0, false);
}

static void serve(int sock)
{
	static struct sharq_frame frame;
	const char *why;
	Sharq__Pb__Request *req;

	while (!sharq_frame_recv(sock, &frame, 0, false, &why)) {
		req = sharq__pb__request__unpack(NULL, frame.body_len,
						 frame.body);
		if (!req)
			break;
		answer(sock, req);
		sharq__pb__request__free_unpacked(req, NULL);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int sock;

	if (argc != 2 || strlen(argv[1]) >= sizeof(addr.sun_path)) {
		fputs("Usage: system-pretend SOCKET\n", stderr);
		return 2;
	}
	sigemptyset(&drained);
	sigaddset(&drained, SIGUSR1);
	sigprocmask(SIG_BLOCK, &drained, NULL);
	strcpy(addr.sun_path, argv[1]);
	if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(listener, 1)) {
		perror(argv[1]);
		return 1;
	}
	for (;;) {
		sock = accept(listener, NULL, NULL);
		if (sock < 0)
			return 1;
		serve(sock);
		close(sock);
	}
}
