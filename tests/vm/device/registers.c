// SPDX-License-Identifier: MIT
/* BAR0's registers and BAR2's doorbells. */
#include "model.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t cap0(const struct function *fn)
{
	return FIELD_PREP(SDXI_CAP0_DB_STRIDE, fn->options.db_stride) |
	       FIELD_PREP(SDXI_CAP0_MAX_DS_RING_SZ, fn->options.max_ring);
}

static uint64_t cap1(const struct function *fn)
{
	return FIELD_PREP(SDXI_CAP1_MAX_BUFFER, fn->options.max_buffer) |
	       FIELD_PREP(SDXI_CAP1_MAX_ERRLOG_SZ, 1) |
	       FIELD_PREP(SDXI_CAP1_MAX_AKEY_SZ, fn->options.max_akey) |
	       FIELD_PREP(SDXI_CAP1_MAX_CXT, fn->options.max_cxt) |
	       FIELD_PREP(SDXI_CAP1_OPB_000_CAP,
			  fn->options.intr ? SDXI_OPB_INTR : 0);
}

static uint64_t read_register(const struct function *fn, hwaddr addr)
{
	switch (addr) {
	case SDXI_REG_CTL0:
		return fn->reg.ctl0;
	case SDXI_REG_CTL2:
		return fn->reg.ctl2;
	case SDXI_REG_STS0:
		return fn->reg.state;
	case SDXI_REG_CAP0:
		return cap0(fn);
	case SDXI_REG_CAP1:
		return cap1(fn);
	case SDXI_REG_VERSION:
		return FIELD_PREP(SDXI_VERSION_MAJOR, 1);
	case SDXI_REG_CXT_L2:
		return fn->reg.cxt_l2;
	case SDXI_REG_ERR_CTL:
		return fn->reg.err_ctl;
	case SDXI_REG_ERR_STS:
		return fn->reg.err_sts;
	case SDXI_REG_ERR_CFG:
		return fn->reg.err_cfg;
	case SDXI_REG_ERR_WRT:
		return fn->reg.err_wrt;
	case SDXI_REG_ERR_RD:
		return fn->reg.err_rd;
	default:
		return 0;
	}
}

/* More than the capabilities offer can't be asked for. */
static uint64_t clamp_ctl2(const struct function *fn, uint64_t value)
{
	uint64_t cap = cap1(fn);

	return FIELD_PREP(SDXI_CTL2_MAX_BUFFER,
			  least(FIELD_GET(SDXI_CTL2_MAX_BUFFER, value),
				FIELD_GET(SDXI_CAP1_MAX_BUFFER, cap))) |
	       FIELD_PREP(SDXI_CTL2_MAX_AKEY_SZ,
			  least(FIELD_GET(SDXI_CTL2_MAX_AKEY_SZ, value),
				FIELD_GET(SDXI_CAP1_MAX_AKEY_SZ, cap))) |
	       FIELD_PREP(SDXI_CTL2_MAX_CXT,
			  least(FIELD_GET(SDXI_CTL2_MAX_CXT, value),
				FIELD_GET(SDXI_CAP1_MAX_CXT, cap))) |
	       (value & cap & SDXI_CTL2_OPB_000_AVL);
}

static void write_register(struct function *fn, hwaddr addr, uint64_t value)
{
	struct registers *reg = &fn->reg;
	bool stopped = reg->state == SDXI_GSV_STOP;

	switch (addr) {
	case SDXI_REG_CTL0:
		reg->ctl0 = value & (SDXI_CTL0_FN_GSR | SDXI_CTL0_FN_PASID_VL |
				     SDXI_CTL0_FN_ERR_INTR_EN |
				     SDXI_CTL0_FN_PASID | SDXI_CTL0_FN_GRP_ID);
		function_request(fn, FIELD_GET(SDXI_CTL0_FN_GSR, value));
		break;
	case SDXI_REG_CTL2:
		if (stopped)
			reg->ctl2 = clamp_ctl2(fn, value);
		break;
	case SDXI_REG_CXT_L2:
		if (stopped)
			reg->cxt_l2 = value & SDXI_CXT_L2_PTR;
		break;
	case SDXI_REG_ERR_CTL:
		reg->err_ctl = value & SDXI_ERR_CTL_INTR_EN;
		break;
	case SDXI_REG_ERR_STS:
		reg->err_sts &= ~value;
		break;
	case SDXI_REG_ERR_CFG:
		reg->err_cfg = value & (SDXI_ERR_CFG_EN | SDXI_ERR_CFG_SZ |
					SDXI_ERR_CFG_PTR);
		break;
	case SDXI_REG_ERR_WRT:
		reg->err_wrt = value;
		break;
	case SDXI_REG_ERR_RD:
		reg->err_rd = value;
		break;
	}
}

/* Halves count once the upper one is there. False: not yet. */
static bool whole(struct function *fn, hwaddr *addr, uint64_t *value,
		  unsigned size)
{
	if (size == 8)
		return true;
	if (*addr % 8 == 0) {
		fn->half_addr = *addr;
		fn->half = *value;
		return false;
	}
	*addr -= 4;
	*value = *value << 32 | (fn->half_addr == *addr ? fn->half : 0);
	return true;
}

static uint64_t part(uint64_t value, hwaddr addr, unsigned size)
{
	return size == 8 ? value : (uint32_t)(value >> addr % 8 * 8);
}

static uint64_t registers_read(void *opaque, hwaddr addr, unsigned size)
{
	struct function *fn = opaque;

	try_access(fn, false);
	return part(fn->vanished ? ~0ULL : read_register(fn, addr & ~7ULL),
		    addr, size);
}

static void registers_write(void *opaque, hwaddr addr, uint64_t value,
			    unsigned size)
{
	struct function *fn = opaque;

	try_access(fn, false);
	if (!fn->vanished && whole(fn, &addr, &value, size))
		write_register(fn, addr, value);
}

static uint64_t doorbell_read(void *opaque, hwaddr addr, unsigned size)
{
	struct function *fn = opaque;

	try_access(fn, false);
	return part(fn->vanished ? ~0ULL : 0, addr, size);
}

/* Only the first word of a stride is a doorbell. */
static void doorbell_write(void *opaque, hwaddr addr, uint64_t value,
			   unsigned size)
{
	struct function *fn = opaque;
	uint64_t stride = SDXI_DB_STRIDE_BYTES(fn->options.db_stride);

	try_access(fn, false);
	if (fn->vanished || !whole(fn, &addr, &value, size))
		return;
	if (fn->reg.state != SDXI_GSV_ACTIVE || addr % stride != 0 ||
	    addr / stride > FIELD_GET(SDXI_CTL2_MAX_CXT, fn->reg.ctl2))
		return;
	context_ring(&fn->contexts[addr / stride], value);
}

const MemoryRegionOps registers_ops = {
	.read = registers_read,
	.write = registers_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 4, .max_access_size = 8 },
	.impl = { .min_access_size = 4, .max_access_size = 8 },
};

const MemoryRegionOps doorbell_ops = {
	.read = doorbell_read,
	.write = doorbell_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 4, .max_access_size = 8 },
	.impl = { .min_access_size = 4, .max_access_size = 8 },
};
