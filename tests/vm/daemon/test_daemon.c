/* SPDX-License-Identifier: MIT */
/*
 * sharqd as the module's controller, in the guest, as root; clients are
 * ordinary users. Here: what serves, devices and paths.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cases.h"
#include "daemon.h"
#include "help.h"
#include "neighbour.h"
#include "peer.h"
#include "sharq_ioctl.h"

#define CAP_SYS_ADMIN_BIT (1LL << 21)
#define MODULE_DEVICE 2 /* the first of the module's */

/* ---- what serves, and why not the better ---- */

struct insist {
	char dir[128];
	const char *says;
};

/* A sharqd that insists on the module says why it can't have it, and ends. */
static void insist_main(void *arg)
{
	const struct insist *in = arg;
	char socket[160], err[160];
	char *const argv[] = { (char *)bin_path("sharqd"),
			       "--foreground",
			       "--socket",
			       socket,
			       "--engine",
			       "module",
			       NULL };

	snprintf(socket, sizeof(socket), "%s/s", in->dir);
	snprintf(err, sizeof(err), "%s/err", in->dir);
	CHECK_EQ(run_program(argv, NULL, err, 10000), 1);
	CHECK(file_has(err, in->says), "it doesn't say '%s' but: %s", in->says,
	      file_text(err));
}

static void insisting_fails(uid_t uid, const char *says)
{
	static unsigned int n;
	struct insist in = { .says = says };
	char name[16];

	snprintf(name, sizeof(name), "insist%u", n++);
	snprintf(in.dir, sizeof(in.dir), "%s", tmp_path(name));
	CHECK(!mkdir(in.dir, 0700) && !chown(in.dir, uid, uid), "%s: %s",
	      in.dir, strerror(errno));
	join(spawn(uid, insist_main, &in), 20000);
}

/* sharqd's devices; the library's own comes first in its list. */
static int devices(struct sharq *s, struct sharq_device dev[8])
{
	struct sharq_device all[9];
	int n = sharq_devices(s, all, 9);

	CHECK(n >= 2 && n <= 9 && !all[0].id, "%d devices", n);
	memcpy(dev, all + 1, sizeof(all) - sizeof(all[0]));
	return n - 1;
}

/* One that doesn't tells its log and its clients, and serves. */
static void embedded_because(const char *says)
{
	struct sharq_device dev[8];
	struct sharq_queue *q;
	struct daemon d;
	struct sharq *s;

	daemon_start_auto(&d, NULL);
	CHECK(file_has(d.log, says), "the log lacks '%s'", says);
	s = must_connect(d.socket);
	CHECK_EQ(devices(s, dev), 1);
	CHECK(strstr(dev[0].note, says), "the note is '%s'", dev[0].note);
	open_fails(s, &(struct sharq_queue_opts){ .path = SHARQ_PATH_SHADOW },
		   -EOPNOTSUPP, says);
	q = must_open(s, 8);
	must_work(s, q);
	sharq_queue_close(q);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* A /dev without it, in a mount namespace that ends with the test. */
static void module_not_loaded(void)
{
	static const char says[] = "no /dev/sharq: the module isn't loaded";

	CHECK(!unshare(CLONE_NEWNS) &&
		      !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
		      !mount("none", "/dev", "tmpfs", 0, NULL) &&
		      !mknod("/dev/null", S_IFCHR | 0666, makedev(1, 3)) &&
		      !chmod("/dev/null", 0666),
	      "an empty /dev: %s", strerror(errno));
	insisting_fails(0, says);
	embedded_because(says);
}

static void module_held_by_another(void)
{
	static const char says[] = "another program controls the module";
	int fd = open(SHARQ_CONTROL_PATH, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0, "%s: %s", SHARQ_CONTROL_PATH, strerror(errno));
	insisting_fails(0, says);
	embedded_because(says);
	close(fd);
}

static void module_is_for_root(void)
{
	insisting_fails(UID_A, "is for root with CAP_SYS_ADMIN");
}

/* What it needs to open /dev/sharq, and nothing after that. */
static void capability_is_given_up(void)
{
	struct daemon d;

	daemon_start_auto(&d, NULL);
	CHECK(proc_status(getpid(), "CapPrm", 16) & CAP_SYS_ADMIN_BIT,
	      "it had none to give up");
	CHECK_EQ(proc_status(d.pid, "CapPrm", 16) & CAP_SYS_ADMIN_BIT, 0);
	CHECK_EQ(proc_status(d.pid, "CapEff", 16) & CAP_SYS_ADMIN_BIT, 0);
	daemon_stop(&d);
}

/* ---- devices and paths ---- */

static void devices_and_paths(void)
{
	const uint32_t all = SHARQ_OP_BIT(SHARQ_OP_COPY) |
			     SHARQ_OP_BIT(SHARQ_OP_CRC32C);
	struct sharq_queue *q, *e;
	struct sharq_device dev[8];
	struct queue_seen seen;
	struct daemon d;
	struct sharq *s;
	struct peer p;
	int n;

	daemon_start_auto(&d, NULL);
	peer_open(&p, d.socket);
	s = must_connect(d.socket);
	n = devices(s, dev);
	CHECK(n >= 2, "%d devices", n);
	CHECK_EQ(dev[0].id, MODULE_DEVICE);
	CHECK(!strcmp(dev[0].provider, "soft"), "'%s'", dev[0].provider);
	CHECK_EQ(dev[0].paths,
		 1U << SHARQ_PATH_DIRECT | 1U << SHARQ_PATH_SHADOW);
	CHECK(!dev[0].note[0], "why no better path than the best: '%s'",
	      dev[0].note);
	CHECK_EQ(dev[n - 1].id, 1);
	CHECK_EQ(dev[n - 1].paths, 1U << SHARQ_PATH_EMBEDDED);

	/* The best path, unless another one or a device is named. */
	q = open_path(s, 8, SHARQ_PATH_ANY);
	e = open_path(s, 8, SHARQ_PATH_EMBEDDED);
	must_work(s, q);
	must_work(s, e);
	CHECK_EQ(devices(s, dev), n);
	CHECK_EQ(dev[0].queues_used, 1);
	CHECK_EQ(dev[n - 1].queues_used, 1);
	CHECK(peer_queue(&p, queue_id(q), &seen), "not listed");
	CHECK_EQ(seen.path, SHARQ_PATH_DIRECT);
	CHECK(!seen.reason[0], "a reason why it isn't direct: '%s'",
	      seen.reason);
	CHECK_EQ(seen.commands, 1);
	open_fails(s,
		   &(struct sharq_queue_opts){ .device = 1,
					       .path = SHARQ_PATH_DIRECT },
		   -EOPNOTSUPP, "embedded0");
	open_fails(s,
		   &(struct sharq_queue_opts){ .device = 1,
					       .path = SHARQ_PATH_SHADOW },
		   -EOPNOTSUPP, "embedded0");
	open_fails(s, &(struct sharq_queue_opts){ .device = 99 }, -ENODEV,
		   "no device 99");
	sharq_queue_close(q);
	CHECK(!sharq_queue_open(s,
				&(struct sharq_queue_opts){
					.device = MODULE_DEVICE, .ops = all },
				&q),
	      "the module's device, by its id and operations");
	sharq_queue_close(q);
	sharq_queue_close(e);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static void sharqctl_shows_path(void)
{
	struct sharq_queue *direct, *shadow;
	struct daemon d;
	struct sharq *s;

	daemon_start_auto(&d, NULL);
	s = must_connect(d.socket);
	direct = open_path(s, 8, SHARQ_PATH_DIRECT);
	must_work(s, direct);
	shows_queue(&d, queue_id(direct), (const char *[]){ "direct", NULL });
	shadow = open_path(s, 8, SHARQ_PATH_SHADOW);
	must_work(s, shadow);
	shows_queue(&d, queue_id(shadow),
		    (const char *[]){ "shadow", "the shadow path was asked for",
				      "time in the device, p50 <", NULL });
	sharq_queue_close(shadow);
	sharq_queue_close(direct);
	sharq_disconnect(s);
	daemon_stop(&d);
}

/* Every hardware queue is taken, however many there are. */
static void direct_is_busy(void)
{
	const struct sharq_queue_opts insist = { .depth = 8,
						 .path = SHARQ_PATH_DIRECT };
	static const char says[] = "every hardware queue";
	struct sharq_queue *q[128], *more;
	struct sharq_queue_info info;
	unsigned int n = 0;
	struct daemon d;
	struct sharq *s;
	int r;

	daemon_start_auto(&d, NULL);
	s = must_connect(d.socket);
	while (!(r = sharq_queue_open(s, &insist, &q[n])))
		CHECK(++n < 128, "no end of hardware queues");
	CHECK_EQ(r, -EBUSY);
	CHECK(n >= 2, "%u hardware queues", n);
	open_fails(s, &insist, -EBUSY, says);
	CHECK(!sharq_queue_open(s, NULL, &more), "nor a shadow queue");
	CHECK_EQ(sharq_queue_info(more, &info), 0);
	CHECK_EQ(info.path, SHARQ_PATH_SHADOW);
	CHECK(strstr(info.reason, says), "'%s' lacks '%s'", info.reason, says);
	CHECK(info.flags & SHARQ_INFO_SYNC_ONLY, "no SYNC_ONLY");
	shows_queue(&d, queue_id(more),
		    (const char *[]){ "shadow", says, NULL });
	must_work(s, more);
	sharq_queue_close(more);
	/* One is free as soon as it is closed. */
	for (int i = 0; i < 20; i++) {
		sharq_queue_close(q[n - 1]);
		q[n - 1] = open_path(s, 8, SHARQ_PATH_DIRECT);
	}
	while (n)
		sharq_queue_close(q[--n]);
	sharq_disconnect(s);
	daemon_stop(&d);
}

static const struct test tests[] = {
	{ "module_not_loaded", module_not_loaded, 60 },
	{ "module_held_by_another", module_held_by_another, 60 },
	{ "module_is_for_root", module_is_for_root, 60 },
	{ "capability_is_given_up", capability_is_given_up, 60 },
	{ "devices_and_paths", devices_and_paths, 60 },
	{ "p3_sharqctl_shows_path", sharqctl_shows_path, 60 },
	{ "p2_direct_is_busy", direct_is_busy, 60 },
	{ "p14_controller_killed", p14_controller_killed, 120 },
	{ "p5_clients_end_without_daemon", p5_clients_end_without_daemon, 60 },
	{ "p14_sigterm_drains_and_ends", p14_sigterm_drains_and_ends, 120 },
	{ "sigusr2_leaves_queues", sigusr2_leaves_queues, 60 },
	{ "control", control, 120 },
	{ "p14_control_of_a_direct_queue", p14_control_of_a_direct_queue, 60 },
	{ "quota_follows_the_file", quota_follows_the_file, 120 },
	{ "p4_queue_is_not_bound_after_its_deadline",
	  p4_queue_is_not_bound_after_its_deadline, 60 },
	{ "totals_keep_what_ended_queues_did",
	  totals_keep_what_ended_queues_did, 60 },
};

int main(int argc, char **argv)
{
	return harness_main(argc, argv, tests, sizeof(tests) / sizeof(*tests));
}
