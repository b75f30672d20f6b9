/* SPDX-License-Identifier: MIT */
/*
 * sharqd's configuration: an INI file, every key optional. Pure: nothing but
 * the stream is read, nothing is printed.
 */
#ifndef SHARQD_CONFIG_H
#define SHARQD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SHARQD_DEFAULT_CONFIG "/etc/sharq/sharqd.conf"
/* Long enough for the longest path that fits a sockaddr_un. */
#define CONFIG_SOCKET_MAX 108
#define CONFIG_GROUP_MAX 33
/* What no limit can be set above. */
#define CONFIG_CLIENTS_PER_USER_MAX 65536
#define CONFIG_QUEUES_PER_USER_MAX 65536
#define CONFIG_ARENA_PER_USER_MAX (UINT64_C(1) << 46)
/* As many as an engine takes (ENGINE_MAX_REGIONS). */
#define CONFIG_REGIONS_PER_CLIENT_MAX 256

enum config_engine {
	CONFIG_ENGINE_AUTO,
	CONFIG_ENGINE_EMBEDDED,
	CONFIG_ENGINE_MODULE,
};

/*
 * struct config - what sharqd can be told
 * @socket:       where to listen
 * @socket_mode:  permission bits of the socket
 * @socket_group: group of the socket; "": the daemon's
 * @log_level:    LOG_ERR to LOG_DEBUG, as in syslog.h
 * @drain_ms:     how long SIGTERM and a drain wait for what is in flight
 * @workers:      threads of an engine, already resolved: never 0
 * @slice:        bytes that a command may hold a worker for
 * @spin_us:      how long an idle worker polls before it sleeps
 * @max_transfer: longest transfer of the embedded engine
 * @weight:       share that a module's queue has of its device
 * @pin_per_queue: client memory that the commands of one may hold
 */
struct config {
	char socket[CONFIG_SOCKET_MAX];
	unsigned int socket_mode;
	char socket_group[CONFIG_GROUP_MAX];
	int log_level;
	unsigned int drain_ms;

	unsigned int clients;
	unsigned int clients_per_user;
	unsigned int queues;
	unsigned int queues_per_user;
	unsigned int depth;
	unsigned int regions_per_client;
	uint64_t arena_per_user;

	enum config_engine engine;
	unsigned int workers;
	unsigned int slice;
	unsigned int spin_us;
	unsigned int max_transfer;

	unsigned int weight;
	uint64_t pin_per_queue;
};

/*
 * config_defaults - what holds where the file says nothing
 */
void config_defaults(struct config *config);

/*
 * config_parse - read a configuration
 * @f:      the stream; stays the caller's
 * @name:   what to call it in error messages
 * @config: holds the defaults; changed only if all of the file is right
 * @err:    set to a sentence that names file, line, key and what was expected
 *
 * Return: 0, -EINVAL (@err says what is wrong), -EIO.
 */
int config_parse(FILE *f, const char *name, struct config *config, char *err,
		 size_t size);

/*
 * config_load - as config_parse, from a file
 *
 * Return: 0, -ENOENT and the like (@err says so), -EINVAL.
 */
int config_load(const char *path, struct config *config, char *err,
		size_t size);

#endif /* SHARQD_CONFIG_H */
