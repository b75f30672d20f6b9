/* SPDX-License-Identifier: MIT */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "peer.h"

static const char *engine = "embedded";

void daemon_engine(const char *type)
{
	engine = type;
}

void daemon_config(struct daemon *d, const char *conf)
{
	char text[4096];

	snprintf(text, sizeof(text), "[daemon]\nsocket-mode = 0666\n%s",
		 conf ? conf : "");
	file_write(d->config, text);
}

void daemon_spawn(struct daemon *d)
{
	struct peer p;

	d->pid = fork();
	CHECK(d->pid >= 0, "fork: %s", strerror(errno));
	if (d->pid == 0) {
		int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		int null = open("/dev/null", O_RDONLY);

		dup2(null, 0);
		dup2(log, 1);
		dup2(log, 2);
		close_range(3, ~0U, 0);
		execl(bin_path("sharqd"), "sharqd", "--foreground", "--socket",
		      d->socket, "--config", d->config, "--engine", engine,
		      (char *)NULL);
		_exit(127);
	}
	EVENTUALLY(!pid_alive(d->pid) || peer_try(&p, d->socket), 10000);
	CHECK(pid_alive(d->pid), "sharqd did not start");
	/* Until it has let go of this one too: tests count its descriptors. */
	shutdown(p.sock, SHUT_WR);
	CHECK(peer_ended(p.sock, 5000), "sharqd keeps an ended connection");
	peer_close(&p);
}

void daemon_start(struct daemon *d, const char *conf)
{
	snprintf(d->socket, sizeof(d->socket), "%s", tmp_path("s"));
	snprintf(d->config, sizeof(d->config), "%s", tmp_path("sharqd.conf"));
	snprintf(d->log, sizeof(d->log), "%s", tmp_path("sharqd.log"));
	daemon_config(d, conf);
	daemon_spawn(d);
}

void daemon_kill(struct daemon *d)
{
	kill(d->pid, SIGKILL);
	CHECK_EQ(daemon_wait(d, 5000), 128 + SIGKILL);
}

int daemon_wait(struct daemon *d, int timeout_ms)
{
	int status;

	EVENTUALLY(waitpid(d->pid, &status, WNOHANG) == d->pid, timeout_ms);
	d->pid = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void daemon_stop(struct daemon *d)
{
	kill(d->pid, SIGTERM);
	CHECK_EQ(daemon_wait(d, 15000), 0);
	CHECK(access(d->socket, F_OK) != 0, "%s is still there", d->socket);
	CHECK(!file_has(d->log, "Sanitizer") &&
		      !file_has(d->log, "runtime error"),
	      "a sanitizer complained");
}

void daemon_serves(const struct daemon *d)
{
	int64_t began = now_ms();
	struct peer p;

	CHECK(pid_alive(d->pid), "the daemon died");
	peer_open(&p, d->socket);
	peer_stats(&p);
	peer_close(&p);
	CHECK(now_ms() - began < 2000 * SCALE, "others waited %lld ms",
	      (long long)(now_ms() - began));
}

void daemon_unharmed(const struct daemon *d, unsigned int fds)
{
	daemon_serves(d);
	EVENTUALLY(proc_fds(d->pid) == fds, 5000);
}

const char *daemon_engines_dir(const struct daemon *d)
{
	(void)d;
	return tmp_path("engines-s");
}
