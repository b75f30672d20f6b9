// SPDX-License-Identifier: MIT
/*
 * Connections: making and ending them, what they say about errors.
 */
#include "client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORKED                                                                 \
	"this connection was made before fork and is the parent's: "           \
	"connect afresh with sharq_connect()"

int fail(struct sharq *s, int err, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	pthread_mutex_lock(&s->error_lock);
	vsnprintf(s->error, sizeof(s->error), fmt, args);
	pthread_mutex_unlock(&s->error_lock);
	va_end(args);
	return err;
}

const char *sharq_error(struct sharq *s, char *buf, size_t size)
{
	if (!size)
		return "";
	if (!guarded(s)) {
		/* Another thread may have held the lock at the fork. */
		snprintf(buf, size, "%s", FORKED);
		return buf;
	}
	pthread_mutex_lock(&s->error_lock);
	snprintf(buf, size, "%s", s->error);
	pthread_mutex_unlock(&s->error_lock);
	return buf;
}

static const char *socket_path(const char *path)
{
	const char *env = path ? NULL : getenv("SHARQ_SOCKET");

	if (path)
		return path;
	return env && *env ? env : SHARQ_DEFAULT_SOCKET;
}

/* connect() says ECONNREFUSED of a file, too. */
static bool is_no_socket(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !S_ISSOCK(st.st_mode);
}

const char *sharq_connect_strerror(int err, const char *socket, char *buf,
				   size_t size)
{
	const char *path = socket_path(socket);

	switch (-err) {
	case 0:
		snprintf(buf, size, "%s: connected", path);
		break;
	case ENOENT:
		snprintf(buf, size,
			 "%s: no such socket: sharqd isn't running, or listens "
			 "elsewhere ($SHARQ_SOCKET); start it with "
			 "'systemctl start sharqd.socket' or 'sharqd "
			 "--foreground --socket PATH'",
			 path);
		break;
	case ECONNREFUSED:
		if (is_no_socket(path)) {
			snprintf(buf, size, "%s: this is no socket", path);
			break;
		}
		snprintf(buf, size,
			 "%s: nobody listens there: sharqd isn't running; "
			 "start it with 'systemctl start sharqd.socket' or "
			 "'sharqd --foreground --socket %s'",
			 path, path);
		break;
	case EACCES:
	case EPERM:
		snprintf(buf, size,
			 "%s: permission denied: to use sharqd, be in the "
			 "group of its socket (usually 'sharq')",
			 path);
		break;
	case EPROTO:
		snprintf(buf, size,
			 "%s: this is not sharqd's socket: what answers there "
			 "doesn't speak its protocol",
			 path);
		break;
	case EPROTONOSUPPORT:
		snprintf(buf, size,
			 "%s: this sharqd speaks another version of the "
			 "protocol than this library (%u to %u): use sharqd "
			 "and libsharq of the same release",
			 path, SHARQ_PROTOCOL_MIN, SHARQ_PROTOCOL_MAX);
		break;
	case ETIMEDOUT:
		snprintf(buf, size, "%s: no answer within %d s", path,
			 REQUEST_TIMEOUT_MS / 1000);
		break;
	case EDQUOT:
		snprintf(buf, size,
			 "%s: your user has as many connections as sharqd "
			 "allows (clients-per-user), or has left it too much "
			 "to clear up: close some",
			 path);
		break;
	case EUSERS:
		snprintf(buf, size,
			 "%s: sharqd has as many clients as it allows "
			 "(clients): try again when some have ended",
			 path);
		break;
	case ENAMETOOLONG:
		snprintf(buf, size,
			 "%s: too long for a socket's path (107 bytes at most)",
			 path);
		break;
	default:
		snprintf(buf, size, "%s: %s", path, strerror(-err));
		break;
	}
	return buf;
}

/*
 * Where the guard stands in its page: not at the begin, where rings and doorbells
 * have what each submission stores to. Lines at the same place of several pages
 * drive each other out of caches that look them up by a hash.
 */
#define GUARD_AT 2048

static uint32_t *guard_new(void)
{
	long size = sysconf(_SC_PAGESIZE);
	uint8_t *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint32_t *guard;

	if (page == MAP_FAILED)
		return NULL;
	if (madvise(page, size, MADV_WIPEONFORK)) {
		munmap(page, size);
		return NULL;
	}
	guard = (void *)(page + GUARD_AT);
	*guard = GUARD_WHOLE;
	return guard;
}

static void guard_free(uint32_t *guard)
{
	munmap((uint8_t *)guard - GUARD_AT, sysconf(_SC_PAGESIZE));
}

int sharq_connect_none(struct sharq **out)
{
	struct sharq *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->sock = -1;
	s->guard = guard_new();
	if (!s->guard) {
		free(s);
		return -ENOMEM;
	}
	pthread_mutex_init(&s->wire_lock, NULL);
	pthread_mutex_init(&s->grow_lock, NULL);
	pthread_mutex_init(&s->heap_lock, NULL);
	pthread_mutex_init(&s->error_lock, NULL);
	strcpy(s->error, "no error");
	*out = s;
	return 0;
}

int sharq_connect(struct sharq **out, const char *socket)
{
	struct sharq *s;
	int rc = sharq_connect_none(out);

	if (rc)
		return rc;
	s = *out;
	s->path = strdup(socket_path(socket));
	s->frame = malloc(sizeof(*s->frame));
	rc = s->path && s->frame ? wire_connect(s) : -ENOMEM;
	if (rc)
		*out = sharq_disconnect(s);
	return rc;
}

struct sharq *sharq_disconnect(struct sharq *s)
{
	bool ours;

	if (!s)
		return NULL;
	ours = guarded(s);
	if (s->sock >= 0)
		close(s->sock);
	/* A child's regions aren't mapped: others' memory may lie there now. */
	regions_free(s, ours);
	if (ours) {
		pthread_mutex_destroy(&s->wire_lock);
		pthread_mutex_destroy(&s->grow_lock);
		pthread_mutex_destroy(&s->heap_lock);
		pthread_mutex_destroy(&s->error_lock);
	}
	guard_free(s->guard);
	free(s->frame);
	free(s->path);
	free(s);
	return NULL;
}

static void inline_device(struct sharq_device *d)
{
	*d = (struct sharq_device){
		.ops = SHARQ_OPS_ALL,
		.max_transfer = SHARQ_MAX_TRANSFER,
		.max_depth = SHARQ_MAX_DEPTH,
		.paths = 1U << SHARQ_PATH_INLINE,
		.queues_free = UINT32_MAX,
		.note = "the library, on the caller's own CPU",
	};
	strcpy(d->name, "inline");
	strcpy(d->provider, "libsharq");
}

static void take_device(struct sharq_device *d, const Sharq__Pb__Device *pb)
{
	*d = (struct sharq_device){
		.id = pb->id,
		.ops = pb->ops,
		.max_transfer = pb->max_transfer,
		.max_depth = pb->max_depth,
		.queues_used = pb->queues_used,
		.queues_free = pb->queues_free,
	};
	for (size_t i = 0; i < pb->n_paths; i++)
		if (pb->paths[i] >= 0 && pb->paths[i] < 32)
			d->paths |= 1U << pb->paths[i];
	snprintf(d->name, sizeof(d->name), "%s", pb->name);
	snprintf(d->provider, sizeof(d->provider), "%s", pb->provider);
	snprintf(d->note, sizeof(d->note), "%s", pb->note ? pb->note : "");
}

int sharq_devices(struct sharq *s, struct sharq_device *devices, unsigned int n)
{
	Sharq__Pb__DevicesGet get = SHARQ__PB__DEVICES_GET__INIT;
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__ServerMessage *msg;
	Sharq__Pb__Devices *list;
	size_t count;
	int rc;

	if (!guarded(s))
		return -EPERM;
	if (n)
		inline_device(&devices[0]);
	if (!s->path)
		return 1;
	req.body_case = SHARQ__PB__REQUEST__BODY_DEVICES;
	req.devices = &get;
	rc = request(s, &req, 0, NULL, &msg);
	if (rc)
		return rc;
	if (msg->reply->body_case != SHARQ__PB__REPLY__BODY_DEVICES) {
		reply_free(msg);
		return fail(s, -EPROTO,
			    "sharqd answered a request for devices with "
			    "something else");
	}
	list = msg->reply->devices;
	count = list->n_device;
	for (size_t i = 0; i < count && i + 1 < n; i++)
		take_device(&devices[i + 1], list->device[i]);
	reply_free(msg);
	return (int)count + 1;
}
