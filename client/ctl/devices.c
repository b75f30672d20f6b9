// SPDX-License-Identifier: MIT
/* The commands that show devices. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "sharq.h"
#include "view.h"

static void op_names(uint32_t ops, char *buf, size_t size)
{
	size_t n = 0;
	unsigned int op;
	char *p;

	buf[0] = '\0';
	for (op = 0; op < SHARQ_OP_COUNT && n < size; op++)
		if (ops & SHARQ_OP_BIT(op))
			n += snprintf(buf + n, size - n, "%s%s", n ? " " : "",
				      sharq_op_name(op));
	for (p = buf; *p; p++)
		*p = *p >= 'A' && *p <= 'Z' ? *p + 32 : *p;
}

static void path_names(const Sharq__Pb__Device *e, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < e->n_paths && n < size; i++)
		n += snprintf(buf + n, size - n, "%s%s", n ? " " : "",
			      sharq_path_name(e->paths[i]));
}

/* From here on of hardware only. */
#define DMA_COLUMN 12

/* As wide as a terminal with a function's name and numbers of 5 digits. */
static const struct column device_columns[] = {
	{ "id", "ID", COLUMN_NUMBER, 0 },
	{ "name", "NAME", COLUMN_TEXT, 0 },
	{ "provider", NULL, COLUMN_TEXT, 0 },
	{ "paths", "PATHS", COLUMN_TEXT, 8 },
	{ "max_depth", NULL, COLUMN_NUMBER, 0 },
	{ "max_transfer", NULL, COLUMN_BYTES, 0 },
	{ "queues_used", "USED", COLUMN_NUMBER, 0 },
	{ "queues_free", "FREE", COLUMN_NUMBER, 0 },
	{ "direct_used", "DIRECT", COLUMN_NUMBER, 0 },
	{ "direct_free", "LEFT", COLUMN_NUMBER, 0 },
	{ "operations", "OPERATIONS", COLUMN_TEXT, 11 },
	{ "note", "NOTE", COLUMN_TEXT, 12 },
	{ "iommu_group", NULL, COLUMN_NUMBER, 0 },
	{ "iommu_owner", NULL, COLUMN_TEXT, 0 },
	{ "address_bits", NULL, COLUMN_NUMBER, 0 },
	{ "coherent", NULL, COLUMN_FLAG, 0 },
	{ "pasids", NULL, COLUMN_NUMBER, 0 },
	{ "ats", NULL, COLUMN_FLAG, 0 },
	{ "pri", NULL, COLUMN_FLAG, 0 },
};

/* For people: one device, its fields below each other. */
static const struct column one_columns[N(device_columns)] = {
	{ "id", "device", COLUMN_NUMBER, 0 },
	{ "name", "name", COLUMN_TEXT, 0 },
	{ "provider", "provider", COLUMN_TEXT, 0 },
	{ "paths", "paths", COLUMN_TEXT, 0 },
	{ "max_depth", "deepest queue", COLUMN_NUMBER, 0 },
	{ "max_transfer", "largest transfer", COLUMN_BYTES, 0 },
	{ "queues_used", "queues in use", COLUMN_NUMBER, 0 },
	{ "queues_free", "queues free for you", COLUMN_NUMBER, 0 },
	{ "direct_used", "direct queues in use", COLUMN_NUMBER, 0 },
	{ "direct_free", "direct queues free", COLUMN_NUMBER, 0 },
	{ "operations", "operations", COLUMN_TEXT, 50 },
	{ "note", "note", COLUMN_TEXT, 50 },
	{ "iommu_group", "IOMMU group", COLUMN_NUMBER, 0 },
	{ "iommu_owner", "claimed by", COLUMN_TEXT, 0 },
	{ "address_bits", "address bits", COLUMN_NUMBER, 0 },
	{ "coherent", "coherent", COLUMN_FLAG, 0 },
	{ "pasids", "PASIDs", COLUMN_NUMBER, 0 },
	{ "ats", "ATS", COLUMN_FLAG, 0 },
	{ "pri", "PRI", COLUMN_FLAG, 0 },
};

/* For people, below the list: what the rows of hardware have no room for. */
static const struct column dma_columns[] = {
	{ "id", "ID", COLUMN_NUMBER, 0 },
	{ "name", "NAME", COLUMN_TEXT, 0 },
	{ "provider", "PROVIDER", COLUMN_TEXT, 0 },
	{ "iommu_group", "GROUP", COLUMN_NUMBER, 0 },
	{ "iommu_owner", "OWNER", COLUMN_TEXT, WRAP_CUT },
	{ "address_bits", "BITS", COLUMN_NUMBER, 0 },
	{ "coherent", "COHERENT", COLUMN_FLAG, 0 },
	{ "pasids", "PASIDS", COLUMN_NUMBER, 0 },
	{ "ats", "ATS", COLUMN_FLAG, 0 },
	{ "pri", "PRI", COLUMN_FLAG, 0 },
};

static void put_dma(struct table *t, unsigned int column,
		    const Sharq__Pb__Dma *d)
{
	if (d->has_group)
		table_value(t, column, d->group);
	table_text(t, column + 1, d->owner ? d->owner : "");
	if (d->has_address_bits)
		table_value(t, column + 2, d->address_bits);
	table_value(t, column + 3, d->coherent);
	table_value(t, column + 4, d->pasids);
	table_value(t, column + 5, d->ats);
	table_value(t, column + 6, d->pri);
}

static void device_row(struct table *t, const Sharq__Pb__Device *e)
{
	char text[200];

	table_row(t);
	table_value(t, 0, e->id);
	table_text(t, 1, e->name);
	table_text(t, 2, e->provider);
	path_names(e, text, sizeof(text));
	table_text(t, 3, text);
	table_value(t, 4, e->max_depth);
	table_value(t, 5, e->max_transfer);
	table_value(t, 6, e->queues_used);
	table_value(t, 7, e->queues_free);
	if (e->has_direct_used)
		table_value(t, 8, e->direct_used);
	if (e->has_direct_free)
		table_value(t, 9, e->direct_free);
	op_names(e->ops, text, sizeof(text));
	table_text(t, 10, text);
	table_text(t, 11, e->note ? e->note : "");
	if (e->dma)
		put_dma(t, DMA_COLUMN, e->dma);
}

static void dma_row(struct table *t, const Sharq__Pb__Device *e)
{
	table_row(t);
	table_value(t, 0, e->id);
	table_text(t, 1, e->name);
	table_text(t, 2, e->provider);
	put_dma(t, 3, e->dma);
}

static void list_devices(struct table *t, const Sharq__Pb__Devices *list)
{
	struct table *below;

	table_add_below(t, dma_columns, N(dma_columns));
	below = table_below(t);
	for (size_t i = 0; i < list->n_device; i++) {
		device_row(t, list->device[i]);
		if (below && list->device[i]->dma)
			dma_row(below, list->device[i]);
	}
}

static int get_devices(struct daemon *d, Sharq__Pb__ServerMessage **m,
		       struct failure *f)
{
	Sharq__Pb__Request req = SHARQ__PB__REQUEST__INIT;
	Sharq__Pb__DevicesGet get = SHARQ__PB__DEVICES_GET__INIT;
	int err;

	req.body_case = SHARQ__PB__REQUEST__BODY_DEVICES;
	req.devices = &get;
	err = daemon_call(d, &req, DAEMON_TIMEOUT_MS, m, f);
	if (err)
		return err;
	if ((*m)->reply->body_case != SHARQ__PB__REPLY__BODY_DEVICES)
		return view_odd_reply(*m, f);
	return 0;
}

static int show_devices(const struct view *v, struct daemon *d,
			struct failure *f)
{
	Sharq__Pb__ServerMessage *m;
	struct table *t;
	int err = get_devices(d, &m, f);

	if (err)
		return err;
	err = view_begin(&t, "devices", device_columns, N(device_columns),
			 v->json, false, f);
	if (!err)
		list_devices(t, m->reply->devices);
	daemon_free(m);
	return err ? err : view_finish(t, f);
}

int view_device(const struct view *v, struct daemon *d, struct failure *f)
{
	const Sharq__Pb__Device *e = NULL;
	Sharq__Pb__ServerMessage *m;
	struct table *t;
	int err = get_devices(d, &m, f);

	if (err)
		return err;
	for (size_t i = 0; i < m->reply->devices->n_device; i++)
		if (m->reply->devices->device[i]->id == v->id)
			e = m->reply->devices->device[i];
	if (e)
		err = view_begin(&t, "device", one_columns,
				 e->dma ? N(one_columns) : DMA_COLUMN, v->json,
				 true, f);
	else
		err = fail(f, -ENODEV,
			   "there is no device %" PRIu64
			   "; 'sharqctl devices' lists them",
			   v->id);
	if (!err)
		device_row(t, e);
	daemon_free(m);
	return err ? err : view_finish(t, f);
}

int cmd_devices(struct ctl *c, int argc, char **argv)
{
	return view_simple(c, argc, argv, show_devices,
			   "Lists devices: their paths, queues in use and free "
			   "for you, hardware queues of\ndirect clients and "
			   "those left, operations, and why a better path "
			   "isn't offered.\nBelow, of hardware: what its "
			   "memory accesses go through. 'sharqctl show "
			   "device\nID' has the rest.");
}
