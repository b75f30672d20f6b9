/* SPDX-License-Identifier: MIT */
/*
 * Engines that are in the hands of their users and tell a new daemon what isn't so.
 * Each has begun as sharqd's: it has the socket in sharqd's directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon.h"
#include "engine.pb-c.h"
#include "neighbour.h"
#include "peer.h"
#include "seal.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SESSION 7
#define QUEUE 9
#define PIECE 65536

/*
 * @tell: what it says when it is asked; NULL: it doesn't even say who it is
 * @log:  why the daemon kills it
 */
struct lie {
	const char *name;
	void (*tell)(int sock);
	const char *log;
};

/* The daemon's; the fakes have what it would have sealed for them. */
static struct seal_key key;

struct fake {
	int listener;
	const struct lie *lie;
	uint32_t *ready;
	pid_t other; /* of the same user, and innocent */
};

static void say(int sock, Sharq__Engine__EngineMessage *msg, const int *fds,
		unsigned int nfds)
{
	/* It may be dead by now. */
	sharq_frame_send_msg(sock, &msg->base, fds, nfds, false);
}

static void adopted(int sock, Sharq__Engine__Adopted *adopted, const int *fds,
		    unsigned int nfds)
{
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;

	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_ADOPTED;
	msg.adopted = adopted;
	say(sock, &msg, fds, nfds);
}

/* A session of this process; the information is the daemon's own info.proto. */
static void sealed_session(int sock, uint64_t id, int pidfd, uint64_t seal)
{
	Sharq__Engine__SessionAdd m = SHARQ__ENGINE__SESSION_ADD__INIT;
	Sharq__Engine__Adopted a = SHARQ__ENGINE__ADOPTED__INIT;
	uint8_t info[32], *p = info;
	uint32_t numbers[] = { 1, getuid(), 3, getpid() };

	for (int i = 0; i < 4; i += 2) {
		uint32_t n = numbers[i + 1];

		*p++ = numbers[i] << 3;
		for (; n > 0x7f; n >>= 7)
			*p++ = n | 0x80;
		*p++ = n;
	}
	*p++ = 4 << 3 | 1;
	memset(p, 5, 8);
	p += 8;
	*p++ = 8 << 3 | 1;
	memcpy(p, &seal, 8);
	m.session = id;
	m.has_info = 1;
	m.info.data = info;
	m.info.len = p + 8 - info;
	a.session = &m;
	adopted(sock, &a, &pidfd, pidfd >= 0);
}

static void session(int sock, uint64_t id, int pidfd)
{
	sealed_session(sock, id, pidfd,
		       seal_id(&key, SEAL_SESSION, getuid(), id));
}

static int memory(uint64_t size, int seals)
{
	int fd = memfd_create("lie", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0 && !ftruncate(fd, size) &&
		      (!seals || !fcntl(fd, F_ADD_SEALS, seals)),
	      "memfd: %s", strerror(errno));
	return fd;
}

static void region(int sock, uint64_t address, uint64_t size, int fd)
{
	Sharq__Engine__RegionAdd m = SHARQ__ENGINE__REGION_ADD__INIT;
	Sharq__Engine__Adopted a = SHARQ__ENGINE__ADOPTED__INIT;
	static uint64_t id;

	m.session = SESSION;
	m.region = ++id;
	m.address = address;
	m.size = size;
	a.region = &m;
	adopted(sock, &a, &fd, 1);
}

static void queue(int sock, int fd, uint64_t seal)
{
	Sharq__Engine__QueueAdd m = SHARQ__ENGINE__QUEUE_ADD__INIT;
	Sharq__Engine__Adopted a = SHARQ__ENGINE__ADOPTED__INIT;
	int fds[] = { fd, fd, fd };
	uint8_t info[9] = { 2 << 3 | 1 };

	memcpy(info + 1, &seal, 8);
	m.has_info = 1;
	m.info.data = info;
	m.info.len = sizeof(info);
	m.session = SESSION;
	m.queue = QUEUE;
	m.depth = 8;
	a.queue = &m;
	adopted(sock, &a, fds, 3);
}

static void tell_no_pidfd(int sock)
{
	session(sock, SESSION, open("/dev/null", O_RDONLY));
}

static void tell_same_session_twice(int sock)
{
	session(sock, SESSION, -1);
	session(sock, SESSION, -1);
}

static void tell_many_sessions(int sock)
{
	for (uint64_t id = 1; id <= 2 * 65536 + 1; id++)
		session(sock, id, -1);
}

static void tell_no_memfd(int sock)
{
	int ends[2];

	session(sock, SESSION, -1);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair: %s",
	      strerror(errno));
	region(sock, PIECE, PIECE, ends[0]);
}

static void tell_unsealed(int sock)
{
	session(sock, SESSION, -1);
	region(sock, PIECE, PIECE, memory(PIECE, 0));
}

static void tell_short(int sock)
{
	session(sock, SESSION, -1);
	region(sock, PIECE, 2 * PIECE, memory(PIECE, SEALS));
}

static void tell_odd_address(int sock)
{
	session(sock, SESSION, -1);
	region(sock, PIECE + 1, PIECE, memory(PIECE, SEALS));
}

/* Larger than arena-per-user can be set to. */
static void tell_large(int sock)
{
	const uint64_t size = (UINT64_C(1) << 46) + PIECE;

	session(sock, SESSION, -1);
	region(sock, PIECE, size, memory(size, SEALS));
}

static void tell_many_regions(int sock)
{
	session(sock, SESSION, -1);
	for (int i = 1; i <= 257; i++)
		region(sock, (uint64_t)i * PIECE, PIECE, memory(PIECE, SEALS));
}

static void tell_queue_of_anything(int sock)
{
	session(sock, SESSION, -1);
	queue(sock, memory(PIECE, SEALS),
	      seal_id(&key, SEAL_QUEUE, getuid(), QUEUE));
}

static void tell_others_session(int sock)
{
	sealed_session(sock, SESSION, -1,
		       seal_id(&key, SEAL_SESSION, getuid() + 1, SESSION));
}

static void tell_others_queue(int sock)
{
	session(sock, SESSION, -1);
	queue(sock, memory(PIECE, SEALS),
	      seal_id(&key, SEAL_QUEUE, getuid() + 1, QUEUE));
}

static void tell_others_pid(int sock)
{
	(void)sock;
}

static const struct lie lies[] = {
	{ "nothing at all", NULL, "it doesn't say what it holds" },
	{ "another's pid", tell_others_pid, "isn't its own" },
	{ "another's session", tell_others_session, "no sharqd gave it" },
	{ "another's queue", tell_others_queue, "no sharqd gave it" },
	{ "no pidfd", tell_no_pidfd, "makes no sense" },
	{ "session twice", tell_same_session_twice, "makes no sense" },
	{ "many sessions", tell_many_sessions, "more than 131072 sessions" },
	{ "no memfd", tell_no_memfd, "makes no sense" },
	{ "unsealed memfd", tell_unsealed, "makes no sense" },
	{ "short memfd", tell_short, "makes no sense" },
	{ "odd address", tell_odd_address, "the region's address" },
	{ "large region", tell_large, "arena-per-user" },
	{ "many regions", tell_many_regions, "regions-per-client" },
	{ "queue of anything", tell_queue_of_anything, "makes no sense" },
};

static void greet(int sock, pid_t pid)
{
	Sharq__Engine__EngineMessage msg = SHARQ__ENGINE__ENGINE_MESSAGE__INIT;
	Sharq__Engine__Hello hello = SHARQ__ENGINE__HELLO__INIT;
	static struct sharq_frame frame;
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	const char *why;

	hello.version = 1;
	hello.pid = pid;
	hello.uid = getuid();
	msg.body_case = SHARQ__ENGINE__ENGINE_MESSAGE__BODY_HELLO;
	msg.hello = &hello;
	say(sock, &msg, &pidfd, 1);
	/* It asks for one thing only, or hangs up. */
	sharq_frame_recv(sock, &frame, 4, false, &why);
}

static void others_main(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void fake_main(void *arg)
{
	struct fake *fake = arg;
	int sock;

	/* As an engine does. */
	CHECK_EQ(listen(fake->listener, 4), 0);
	__atomic_store_n(fake->ready, 1, __ATOMIC_RELEASE);
	sock = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK(sock >= 0, "accept: %s", strerror(errno));
	if (fake->lie->tell) {
		greet(sock, fake->lie->tell == tell_others_pid ? fake->other
							       : getpid());
		fake->lie->tell(sock);
	}
	for (;;)
		pause();
}

static void read_key(const struct daemon *d)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", daemon_engines_dir(d));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(read(fd, &key, sizeof(key)) == sizeof(key), "%s: %s", path,
	      strerror(errno));
	close(fd);
}

static int listen_as_engine(const struct daemon *d, uid_t uid)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/engine-%u.sock",
		 daemon_engines_dir(d), uid);
	CHECK(!bind(sock, (struct sockaddr *)&addr, sizeof(addr)) &&
		      !listen(sock, 4),
	      "%s: %s", addr.sun_path, strerror(errno));
	return sock;
}

static void lie_is_found_out(const struct lie *lie, uid_t uid)
{
	struct daemon d;
	struct fake fake = { .lie = lie, .ready = shared_alloc(4096) };
	char line[64];
	int status;
	pid_t pid;

	printf("  %s\n", lie->name);
	daemon_start(&d, NULL);
	daemon_kill(&d);
	unlink(d.log);
	read_key(&d);
	fake.listener = listen_as_engine(&d, uid);
	fake.other = spawn(uid, others_main, NULL);
	pid = spawn(uid, fake_main, &fake);
	close(fake.listener);
	EVENTUALLY(__atomic_load_n(fake.ready, __ATOMIC_ACQUIRE), 5000);
	daemon_spawn(&d);
	EVENTUALLY(waitpid(pid, &status, WNOHANG) == pid, 10000);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	      "%s: it ended with status %d", lie->name, status);
	CHECK(pid_alive(fake.other), "%s: another process was killed",
	      lie->name);
	kill(fake.other, SIGKILL);
	waitpid(fake.other, NULL, 0);
	snprintf(line, sizeof(line), "killing the engine of uid %u, pid %d",
		 uid, pid);
	CHECK(file_has(d.log, line) && file_has(d.log, lie->log),
	      "%s: the log says something else", lie->name);
	daemon_stop(&d);
}

static void p13_engine_that_lies_is_killed(void)
{
	uid_t uid = geteuid() ? geteuid() : UID_A;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		lie_is_found_out(&lies[i], uid);
}

static void one_more_main(void *socket)
{
	struct peer p;

	CHECK(!peer_try(&p, socket), "a client above the limit is served");
}

/* What there is goes on, above all of them; nothing new is had. */
static void p14_limits_lowered_harm_no_engine(void)
{
	struct neighbour n[3];
	struct daemon d;

	need_root();
	daemon_start(&d, NULL);
	for (int i = 0; i < 3; i++)
		neighbour_start(&n[i], d.socket, UID_A);
	daemon_kill(&d);
	daemon_config(&d, "[limits]\nclients-per-user = 1\nqueues = 1\n"
			  "queues-per-user = 1\narena-per-user = 4096\n"
			  "regions-per-client = 1\n");
	daemon_spawn(&d);
	join(spawn(UID_A, one_more_main, d.socket), 10000);
	for (int i = 0; i < 3; i++) {
		neighbour_advances(&n[i], 20, 5000);
		neighbour_stop(&n[i], false);
	}
	daemon_stop(&d);
}

int main(int argc, char **argv)
{
	static const struct test tests[] = {
		{ "p13_engine_that_lies_is_killed",
		  p13_engine_that_lies_is_killed, 120 },
		{ "p14_limits_lowered_harm_no_engine",
		  p14_limits_lowered_harm_no_engine, 60 },
	};

	return harness_main(argc, argv, tests,
			    sizeof(tests) / sizeof(tests[0]));
}
