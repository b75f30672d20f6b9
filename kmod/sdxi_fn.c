// SPDX-License-Identifier: GPL-2.0-only
/* An SDXI function as a whole; numbers in brackets are the notes' sections. */
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/sizes.h>

#include "sdxi.h"
#include "sdxi_faults.h"
#include "trace.h"

/* How long a change of the function's state may take. */
#define STATE_TIMEOUT_US (1000 * USEC_PER_MSEC)
#define POLL_US 100
/* Who goes from the worst state to STOP takes no more steps. */
#define STOP_STEPS 4

/* The least that there is; the memory is for all that the size may mean [15]. */
#define ERRLOG_SZ 1
#define ERRLOG_BYTES SZ_8K
#define ERRLOG_ENTRIES SDXI_ERRLOG_ENTRIES(ERRLOG_SZ)
#define ERRLOG_ALL_STS (SDXI_ERR_STS_STS | SDXI_ERR_STS_OVF | SDXI_ERR_STS_ERR)

static u64 get(const struct sdxi *s, unsigned int reg)
{
	return readq(s->regs + reg);
}

static void set(const struct sdxi *s, unsigned int reg, u64 value)
{
	writeq(value, s->regs + reg);
}

static unsigned int state(const struct sdxi *s)
{
	return FIELD_GET(SDXI_STS0_FN_GSV, get(s, SDXI_REG_STS0));
}

bool sdxi_fn_is_active(const struct sdxi *s)
{
	return state(s) == SDXI_GSV_ACTIVE;
}

static void request(const struct sdxi *s, enum sdxi_gsr gsr)
{
	u64 ctl0 = get(s, SDXI_REG_CTL0);

	ctl0 &= ~(SDXI_CTL0_FN_GSR | SDXI_CTL0_FN_PASID_VL |
		  SDXI_CTL0_FN_PASID);
	ctl0 |= FIELD_PREP(SDXI_CTL0_FN_GSR, gsr) | SDXI_CTL0_FN_ERR_INTR_EN;
	set(s, SDXI_REG_CTL0, ctl0);
}

static int stop(struct sdxi *s)
{
	static const u8 way[] = {
		[SDXI_GSV_INIT] = SDXI_GSR_STOP_SF,
		[SDXI_GSV_ACTIVE] = SDXI_GSR_STOP_SF,
		[SDXI_GSV_STOPG_SF] = SDXI_GSR_STOP_HD,
		[SDXI_GSV_STOPG_HD] = SDXI_GSR_RESET,
		[SDXI_GSV_ERROR] = SDXI_GSR_RESET,
	};
	unsigned int now;

	for (unsigned int i = 0; i < STOP_STEPS; i++) {
		now = state(s);
		if (now == SDXI_GSV_STOP)
			return 0;
		if (now >= ARRAY_SIZE(way))
			return -ENODEV;
		request(s, way[now]);
		read_poll_timeout(state, now, now == SDXI_GSV_STOP, POLL_US,
				  STATE_TIMEOUT_US, false, s);
	}
	return state(s) == SDXI_GSV_STOP ? 0 : -ETIMEDOUT;
}

struct sdxi_l1_ent *sdxi_fn_l1(const struct sdxi *s, u16 cxt)
{
	return (struct sdxi_l1_ent *)s->l1.cpu + cxt;
}

int sdxi_fn_init(struct sdxi *s)
{
	u64 version = get(s, SDXI_REG_VERSION);
	int ret;

	mutex_init(&s->admin_lock);
	init_waitqueue_head(&s->told);
	s->cap0 = get(s, SDXI_REG_CAP0);
	s->cap1 = get(s, SDXI_REG_CAP1);
	if (FIELD_GET(SDXI_VERSION_MAJOR, version) != 1 ||
	    FIELD_GET(SDXI_CAP1_MAX_CXT, s->cap1) < SDXI_CXT_SHADOW ||
	    !(FIELD_GET(SDXI_CAP1_OPB_000_CAP, s->cap1) & SDXI_OPB_INTR)) {
		pci_err(s->pdev,
			"version %#llx, capabilities %#llx %#llx: not for us\n",
			version, s->cap0, s->cap1);
		return -ENODEV;
	}
	ret = sharq_space_alloc(s->space, PAGE_SIZE, &s->l2);
	if (!ret)
		ret = sharq_space_alloc(s->space, PAGE_SIZE, &s->l1);
	if (!ret)
		ret = sharq_space_alloc(s->space, ERRLOG_BYTES, &s->errlog);
	if (!ret)
		ret = sdxi_cxt_init(s, &s->admin, SDXI_ADMIN_CXT,
				    SDXI_RING_ENTRIES_MIN);
	if (ret)
		sdxi_fn_exit(s);
	return ret;
}

void sdxi_fn_exit(struct sdxi *s)
{
	sdxi_cxt_exit(s, &s->admin);
	sharq_space_unalloc(s->space, &s->errlog);
	sharq_space_unalloc(s->space, &s->l1);
	sharq_space_unalloc(s->space, &s->l2);
}

static void write_tables(struct sdxi *s)
{
	u64 max_cxt = min_t(u64, FIELD_GET(SDXI_CAP1_MAX_CXT, s->cap1),
			    SDXI_L1_ENTRIES - 1);
	__le64 *l2 = s->l2.cpu;

	set(s, SDXI_REG_CTL2,
	    FIELD_PREP(SDXI_CTL2_MAX_BUFFER,
		       FIELD_GET(SDXI_CAP1_MAX_BUFFER, s->cap1)) |
		    FIELD_PREP(SDXI_CTL2_MAX_CXT, max_cxt) |
		    FIELD_PREP(SDXI_CTL2_OPB_000_AVL, SDXI_OPB_INTR));
	memset(s->l1.cpu, 0, s->l1.size);
	*l2 = cpu_to_le64(s->l1.dma | SDXI_L2_ENT_VL);
	dma_wmb();
	set(s, SDXI_REG_CXT_L2, s->l2.dma);
}

static void start_log(struct sdxi *s)
{
	set(s, SDXI_REG_ERR_CFG, 0);
	set(s, SDXI_REG_ERR_STS, ERRLOG_ALL_STS);
	memset(s->errlog.cpu, 0, s->errlog.size);
	s->log_read = 0;
	dma_wmb();
	set(s, SDXI_REG_ERR_CTL, SDXI_ERR_CTL_INTR_EN);
	set(s, SDXI_REG_ERR_WRT, 0);
	set(s, SDXI_REG_ERR_RD, 0);
	set(s, SDXI_REG_ERR_CFG,
	    s->errlog.dma | FIELD_PREP(SDXI_ERR_CFG_SZ, ERRLOG_SZ) |
		    SDXI_ERR_CFG_EN);
}

static int start(struct sdxi *s)
{
	unsigned int now;

	WRITE_ONCE(s->reset_wanted, false);
	write_tables(s);
	sdxi_cxt_publish(s, &s->admin);
	start_log(s);
	request(s, SDXI_GSR_ACTIVE);
	read_poll_timeout(state, now,
			  now != SDXI_GSV_STOP && now != SDXI_GSV_INIT, POLL_US,
			  STATE_TIMEOUT_US, false, s);
	if (now != SDXI_GSV_ACTIVE) {
		pci_err(s->pdev, "isn't active but in state %u\n", now);
		return -EIO;
	}
	sdxi_cxt_ring(&s->admin);
	return 0;
}

int sdxi_fn_start(struct sdxi *s)
{
	int ret;

	mutex_lock(&s->admin_lock);
	ret = start(s);
	mutex_unlock(&s->admin_lock);
	return ret;
}

int sdxi_fn_stop(struct sdxi *s)
{
	int ret;

	mutex_lock(&s->admin_lock);
	ret = stop(s);
	mutex_unlock(&s->admin_lock);
	return ret;
}

int sdxi_fn_reset(struct sdxi *s)
{
	int ret;

	pci_warn(s->pdev, "is reset\n");
	trace_sharq_reset(&s->dev, READ_ONCE(s->unanswered));
	mutex_lock(&s->admin_lock);
	ret = stop(s);
	if (!ret) {
		/* A new life begins with an empty log. */
		sdxi_fn_read_log(s);
		sdxi_direct_stopped(s);
		ret = start(s);
	}
	mutex_unlock(&s->admin_lock);
	return ret;
}

void sdxi_fn_give_up(struct sdxi *s)
{
	mutex_lock(&s->admin_lock);
	WRITE_ONCE(s->dead, true);
	/* Without an IOMMU nothing else would keep it from what it was given. */
	pci_clear_master(s->pdev);
	sdxi_direct_stopped(s);
	mutex_unlock(&s->admin_lock);
}

void sdxi_fn_want_reset(struct sdxi *s)
{
	WRITE_ONCE(s->reset_wanted, true);
	wake_up(&s->wake);
}

/* As sdxi_cxt_done(), of the n last. */
static int all_done(const struct sdxi_cxt *c, unsigned int n)
{
	int done = 1;

	for (u64 index = c->tail - n; index != c->tail && done == 1; index++)
		done = sdxi_cxt_done(c, index);
	return done;
}

static int commands(struct sdxi *s, const union sdxi_dsc *dsc, unsigned int n,
		    u64 patience_us)
{
	struct sdxi_cxt *c = &s->admin;
	int done;

	if (s->dead || s->reset_wanted || !sdxi_fn_is_active(s))
		return -ESHUTDOWN;
	/* All that came before is done: there is room, or the index is wrong. */
	if (sdxi_cxt_room(c) < (int)n) {
		sdxi_fn_want_reset(s);
		return -ESHUTDOWN;
	}
	for (unsigned int i = 0; i < n; i++)
		sdxi_cxt_put(c, &dsc[i], true);
	sdxi_cxt_ring(c);
	if (!read_poll_timeout(all_done, done, done, POLL_US, patience_us,
			       false, c, n))
		return min(done, 0);
	/* It blocks those that come after it. */
	sdxi_fn_want_reset(s);
	return -ETIMEDOUT;
}

int sdxi_fn_admin_within(struct sdxi *s, const union sdxi_dsc *dsc,
			 unsigned int n, u64 patience_us)
{
	int ret;

	mutex_lock(&s->admin_lock);
	ret = commands(s, dsc, n, patience_us);
	mutex_unlock(&s->admin_lock);
	return ret;
}

static void give_out(struct sdxi *s, const struct sdxi_errlog_ent *e)
{
	if (le16_to_cpu(e->flags) & SDXI_ERRLOG_CV &&
	    le16_to_cpu(e->cxt_num) > SDXI_CXT_SHADOW)
		sdxi_faults_error(s, e);
	else
		sdxi_shadow_error(s, e);
}

static void read_entries(struct sdxi *s, u64 end)
{
	struct sdxi_errlog_ent *log = s->errlog.cpu;

	/* Its index is the function's word: not for more than there is. */
	if (end - s->log_read > ERRLOG_ENTRIES)
		s->log_read = end - ERRLOG_ENTRIES;
	for (; s->log_read != end; s->log_read++) {
		struct sdxi_errlog_ent *e = &log[s->log_read % ERRLOG_ENTRIES];

		if (le32_to_cpu(READ_ONCE(e->head)) & SDXI_ERRLOG_VL)
			give_out(s, e);
		WRITE_ONCE(e->head, 0);
	}
}

static void read_log(struct sdxi *s)
{
	u64 sts = get(s, SDXI_REG_ERR_STS);

	if (sts == U64_MAX || !(sts & ERRLOG_ALL_STS))
		return;
	/* What comes after it raises the status again. */
	set(s, SDXI_REG_ERR_STS, ERRLOG_ALL_STS);
	read_entries(s, get(s, SDXI_REG_ERR_WRT));
	set(s, SDXI_REG_ERR_RD, s->log_read);
	if (!(sts & (SDXI_ERR_STS_OVF | SDXI_ERR_STS_ERR)))
		return;
	/* Clients may bring that about. */
	dev_warn_ratelimited(&s->pdev->dev, "errors were lost, status %#llx\n",
			     sts);
	sdxi_faults_lost(s);
}

static void tell(struct sdxi *s, u64 asked)
{
	WRITE_ONCE(s->log_told, asked);
	wake_up_all(&s->told);
}

void sdxi_fn_read_log(struct sdxi *s)
{
	u64 asked = atomic64_read(&s->log_asked);

	/* What they ask for was there before they asked. */
	smp_mb();
	read_log(s);
	tell(s, asked);
}

void sdxi_fn_end_log(struct sdxi *s)
{
	tell(s, U64_MAX);
}

void sdxi_fn_settle_log(struct sdxi *s)
{
	u64 ask = atomic64_inc_return(&s->log_asked);

	set_bit(SDXI_EVENT_ERROR, &s->events);
	wake_up(&s->wake);
	wait_event(s->told, READ_ONCE(s->log_told) >= ask);
}
