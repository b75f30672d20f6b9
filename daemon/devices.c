// SPDX-License-Identifier: MIT
/* The devices that there are: the module's, then the embedded engine. */
#include <stdio.h>

#include "module_queue.h"
#include "reason.h"
#include "server.h"

static void take_module(struct device *to, const struct sharq_ctl_device *from,
			uint32_t max_depth)
{
	*to = (struct device){
		.id = DEVICE_EMBEDDED + from->id,
		.ops = from->ops,
		.max_transfer = from->max_transfer,
		.max_depth = max_depth,
		.direct_used = from->direct_used,
		.direct_free = from->direct_free,
	};
	if (from->paths & 1U << SHARQ_BIND_DIRECT)
		to->paths |= 1U << SHARQ__PB__PATH__PATH_DIRECT;
	else
		to->note = sharq_reason_text(from->reason);
	if (from->paths & 1U << SHARQ_BIND_SHADOW)
		to->paths |= 1U << SHARQ__PB__PATH__PATH_SHADOW;
	snprintf(to->name, sizeof(to->name), "%.*s", SHARQ_NAME_LEN - 1,
		 from->name);
	snprintf(to->provider, sizeof(to->provider), "%.*s", SHARQ_NAME_LEN - 1,
		 from->provider);
}

const char *embedded_note(const struct server *server)
{
	return server->module ? "the module's devices have the better paths"
			      : server->note;
}

unsigned int devices_list(const struct server *server, struct device *list)
{
	const struct config *c = &server->config;
	const struct module *m = server->module;
	struct sharq_ctl_device d = { .id = 0 };
	unsigned int n = 0;

	while (m && c->engine != CONFIG_ENGINE_EMBEDDED &&
	       n < DEVICES_MAX - 1 && !module_device(m->fd, d.id + 1, &d)) {
		take_module(&list[n], &d,
			    m->max_depth < c->depth ? m->max_depth : c->depth);
		if (module_dma(m->fd, d.id, &list[n].dma))
			list[n].dma.flags = 0;
		list[n].dma.owner[SHARQ_NAME_LEN - 1] = '\0';
		n++;
	}
	if (c->engine != CONFIG_ENGINE_MODULE)
		list[n++] = (struct device){
			.id = DEVICE_EMBEDDED,
			.paths = 1U << SHARQ__PB__PATH__PATH_EMBEDDED,
			.ops = SHARQ_OPS_ALL,
			.max_transfer = c->max_transfer,
			.max_depth = c->depth,
			.name = "embedded0",
			.provider = "embedded",
			.note = embedded_note(server),
		};
	return n;
}
