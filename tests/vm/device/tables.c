// SPDX-License-Identifier: MIT
/* The walk from a context's number to what software says of it. */
#include "model.h"
#include <errno.h>
#include <string.h>

/* Tables are in the function's memory. */
static int fetch(struct context *cxt, uint64_t addr, void *data, uint64_t len,
		 enum sdxi_err_step step, struct fault *fault)
{
	struct function *fn = cxt->fn;
	int ret = memory_read(fn, cxt, memory_function_space(fn), addr, data,
			      len);

	fault->step = step;
	if (ret == 0 || ret == -ECANCELED)
		return ret;
	fault->sub_step = memory_sub_step(ret);
	return -EIO;
}

static int invalid(struct fault *fault, int error)
{
	fault->sub_step = SDXI_SUB_VALIDATION;
	return error;
}

static void use_l1(struct tables *tables, const struct function *fn,
		   const struct sdxi_l1_ent *l1)
{
	uint64_t misc = le32toh(l1->misc0);
	uint64_t ctl2 = fn->reg.ctl2;
	uint64_t max = FIELD_GET(SDXI_CTL2_MAX_BUFFER, ctl2);
	uint64_t own = FIELD_GET(SDXI_L1_MISC0_MAX_BUFFER, misc);

	tables->space.has_pasid = le64toh(l1->cxt_ctl) & SDXI_L1_CXT_CTL_PV;
	tables->space.pasid = FIELD_GET(SDXI_L1_MISC0_PASID, misc);
	tables->akeys = le64toh(l1->akey) & SDXI_L1_AKEY_PTR;
	tables->akey_count =
		SDXI_AKEYS(FIELD_GET(SDXI_L1_AKEY_SZ, le64toh(l1->akey)));
	tables->limits.groups = FIELD_GET(SDXI_CTL2_OPB_000_AVL, ctl2) &
				le32toh(l1->opb_000_enb);
	tables->limits.max_buffer = SDXI_BUFFER_BYTES(own < max ? own : max);
}

static bool use_ctl(struct tables *tables, const struct function *fn,
		    const struct sdxi_cxt_ctl *ctl)
{
	tables->ring = le64toh(ctl->ds_ring) & SDXI_CXT_CTL_RING;
	tables->ring_size = le32toh(ctl->ds_ring_sz);
	tables->status = le64toh(ctl->cxt_sts) & SDXI_CXT_CTL_STS;
	tables->write_index = le64toh(ctl->write_index) &
			      SDXI_CXT_CTL_WRITE_INDEX;
	return tables->ring_size >= SDXI_RING_ENTRIES_MIN &&
	       tables->ring_size <= SDXI_RING_ENTRIES(fn->options.max_ring);
}

static int walk(struct context *cxt, struct context *target,
		struct fault *fault)
{
	struct function *fn = cxt->fn;
	struct tables *tables = &target->tables;
	struct sdxi_cxt_ctl ctl;
	struct sdxi_l1_ent l1;
	uint64_t l2;
	int ret;

	ret = fetch(cxt,
		    fn->reg.cxt_l2 +
			    8 * FIELD_GET(SDXI_L2_INDEX, target->number),
		    &l2, sizeof(l2), SDXI_STEP_CXT_L2, fault);
	if (ret != 0)
		return ret;
	l2 = le64toh(l2);
	if (!(l2 & SDXI_L2_ENT_VL))
		return invalid(fault, -ENOENT);

	ret = fetch(cxt,
		    (l2 & SDXI_L2_ENT_PTR) +
			    sizeof(l1) *
				    FIELD_GET(SDXI_L1_INDEX, target->number),
		    &l1, sizeof(l1), SDXI_STEP_CXT_L1, fault);
	if (ret != 0)
		return ret;
	if (!(le64toh(l1.cxt_ctl) & SDXI_L1_CXT_CTL_VL))
		return invalid(fault, -ENOENT);
	if (FIELD_GET(SDXI_L1_AKEY_SZ, le64toh(l1.akey)) >
	    FIELD_GET(SDXI_CTL2_MAX_AKEY_SZ, fn->reg.ctl2))
		return invalid(fault, -EIO);
	use_l1(tables, fn, &l1);
	tables->limits.admin = target->number == SDXI_ADMIN_CXT;
	tables->limits.no_updates = !fn->options.updates;

	ret = fetch(cxt, le64toh(l1.cxt_ctl) & SDXI_L1_CXT_CTL_PTR, &ctl,
		    sizeof(ctl), SDXI_STEP_CXT_CTL, fault);
	if (ret != 0)
		return ret;
	if (!(le64toh(ctl.ds_ring) & SDXI_CXT_CTL_VL))
		return invalid(fault, -ENOENT);
	return use_ctl(tables, fn, &ctl) ? 0 : invalid(fault, -EIO);
}

int tables_load(struct context *cxt, struct context *target,
		struct fault *fault)
{
	int ret;

	if (target->kept != KEPT_NOT)
		return 0;
	ret = walk(cxt, target, fault);
	if (ret == 0 && cxt->fn->options.keep_tables)
		target->kept = KEPT;
	return ret;
}

static int fetch_akey(struct context *cxt, uint16_t key,
		      struct sdxi_akey_ent *akey, struct fault *fault)
{
	struct kept_akey *kept = &cxt->akeys[key % KEPT_AKEYS];
	int ret;

	if (kept->kept != KEPT_NOT && kept->key == key) {
		*akey = kept->akey;
		return 0;
	}
	ret = fetch(cxt, cxt->tables.akeys + key * sizeof(*akey), akey,
		    sizeof(*akey), SDXI_STEP_DSC_AKEY, fault);
	if (ret == 0 && cxt->fn->options.keep_tables &&
	    le16toh(akey->flags) & SDXI_AKEY_VL)
		*kept = (struct kept_akey){ KEPT, key, *akey };
	return ret;
}

void tables_outdate(struct context *target)
{
	if (target->kept == KEPT)
		target->kept = KEPT_OUTDATED;
}

void tables_outdate_akeys(struct context *target, uint16_t first, uint16_t last)
{
	unsigned i;

	for (i = 0; i < KEPT_AKEYS; i++) {
		struct kept_akey *kept = &target->akeys[i];

		if (kept->kept == KEPT && kept->key >= first &&
		    kept->key <= last)
			kept->kept = KEPT_OUTDATED;
	}
}

void tables_sync(struct context *target)
{
	if (target->kept == KEPT_OUTDATED)
		target->kept = KEPT_NOT;
}

void tables_sync_akeys(struct context *target)
{
	unsigned i;

	for (i = 0; i < KEPT_AKEYS; i++)
		if (target->akeys[i].kept == KEPT_OUTDATED)
			target->akeys[i].kept = KEPT_NOT;
}

void tables_forget(struct context *target)
{
	target->kept = KEPT_NOT;
	memset(target->akeys, 0, sizeof(target->akeys));
}

int tables_akey(struct context *cxt, uint16_t key, struct sdxi_akey_ent *akey,
		struct fault *fault)
{
	int ret;

	fault->step = SDXI_STEP_DSC_AKEY;
	if (key >= cxt->tables.akey_count)
		return invalid(fault, -EIO);
	ret = fetch_akey(cxt, key, akey, fault);
	if (ret != 0)
		return ret;
	if (!(le16toh(akey->flags) & SDXI_AKEY_VL))
		return invalid(fault, -EIO);
	/* There are no RKeys: no other function's memory can be reached. */
	if (akey->tgt_sfunc != 0) {
		fault->step = SDXI_STEP_FN_RKEY;
		return invalid(fault, -EIO);
	}
	return 0;
}
