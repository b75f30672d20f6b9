// SPDX-License-Identifier: MIT
/* A daemon of the benchmark's own, from the directory of its own program. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static char bin[PATH_MAX];
static char dir[] = "/tmp/sharq-bench.XXXXXX";
static char socket_path[sizeof(dir) + 16];
static char config_path[sizeof(dir) + 16];
static pid_t pid = -1;

const char *daemon_socket(void)
{
	return socket_path;
}

pid_t daemon_pid(void)
{
	return pid;
}

static void run_daemon(void)
{
	char program[PATH_MAX + 16];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	snprintf(program, sizeof(program), "%s/sharqd", bin);
	dup2(null, STDOUT_FILENO);
	execl(program, "sharqd", "--foreground", "--socket", socket_path,
	      "--config", config_path, NULL);
	_exit(127);
}

void daemon_start(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	double begin = now();
	struct sharq *s;
	FILE *config;

	if (n < 0)
		die("/proc is not mounted");
	self[n] = '\0';
	snprintf(bin, sizeof(bin), "%s", dirname(self));
	if (!mkdtemp(dir))
		die("no directory could be made in /tmp: %s", strerror(errno));
	snprintf(socket_path, sizeof(socket_path), "%s/sock", dir);
	snprintf(config_path, sizeof(config_path), "%s/conf", dir);
	config = fopen(config_path, "w");
	if (!config ||
	    fputs("[daemon]\nlog-level = warning\n"
		  "[engine]\nworkers = 2\n",
		  config) < 0 ||
	    fclose(config))
		die("%s could not be written", config_path);
	pid = fork();
	if (pid == 0)
		run_daemon();
	while (sharq_connect(&s, socket_path)) {
		if (waitpid(pid, NULL, WNOHANG) || now() - begin > 10) {
			pid = -1;
			die("sharqd did not start");
		}
		usleep(10000);
	}
	sharq_disconnect(s);
}

void daemon_stop(void)
{
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
		pid = -1;
	}
	unlink(socket_path);
	unlink(config_path);
	rmdir(dir);
}

pid_t daemon_engine(void)
{
	char path[64];
	FILE *f;
	int child = -1;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%d", &child) != 1)
		die("sharqd has no engine (%s)", path);
	fclose(f);
	return child;
}

static void add_status(const char *path, struct proc_counts *counts)
{
	char line[128];
	uint64_t v;
	FILE *f = fopen(path, "r");

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &v) ==
		    1) {
			counts->switches += v;
			counts->waits += v;
		} else if (sscanf(line, "nonvoluntary_ctxt_switches: %" SCNu64,
				  &v) == 1) {
			counts->switches += v;
		} else if (sscanf(line, "VmRSS: %" SCNu64, &v) == 1) {
			counts->rss_kib = v;
		}
	}
	fclose(f);
}

void proc_counts(pid_t of, struct proc_counts *counts)
{
	char path[300];
	struct dirent *entry;
	DIR *tasks;

	memset(counts, 0, sizeof(*counts));
	snprintf(path, sizeof(path), "/proc/%d/task", of);
	tasks = opendir(path);
	if (!tasks)
		die("%s: %s", path, strerror(errno));
	while ((entry = readdir(tasks))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", of,
			 entry->d_name);
		add_status(path, counts);
	}
	closedir(tasks);
}

uint64_t daemon_queue_stat(uint64_t queue, const char *key)
{
	char command[PATH_MAX + 128], text[4096], want[64];
	const char *at;
	uint64_t v;
	size_t n;
	FILE *f;

	snprintf(command, sizeof(command),
		 "%s/sharqctl --socket %s --json show queue %" PRIu64, bin,
		 socket_path, queue);
	f = popen(command, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = '\0';
	if (!f || pclose(f))
		die("failed: %s", command);
	snprintf(want, sizeof(want), "\"%s\"", key);
	at = strstr(text, want);
	if (!at || sscanf(at + strlen(want), " : %" SCNu64, &v) != 1)
		die("no %s in: %s", want, text);
	return v;
}
