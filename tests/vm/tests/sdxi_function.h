/* SPDX-License-Identifier: MIT */
/*
 * The guests' SDXI function (tests/vm/device), as the module's controller and as
 * root see it. It misbehaves by its test block, which root opened for the tests.
 */
#ifndef SDXI_FUNCTION_H
#define SDXI_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

#include "../device/test_block.h"
#include "sharq_ioctl.h"

/* Where it is in the guest; without an IOMMU another one is served, too. */
#define SDXI_ADDRESS "0000:00:02.0"
#define SDXI_DRIVER "/sys/bus/pci/drivers/sharq-sdxi/"
#define PCI_DEVICES "/sys/bus/pci/devices/"

/*
 * What follows, in this process, is about the function at @address, which may have
 * come back since it was chosen before. SDXI_ADDRESS until then.
 */
void sdxi_choose(const char *address);
/* False: it isn't served. */
bool sdxi_find(struct sharq_ctl_device *d);
/* Ends the test if it isn't. */
struct sharq_ctl_device sdxi_device(void);
/* Ends the test unless @n contexts are free in time, or all, and no queue lives. */
void sdxi_wait_free(unsigned int n);
void sdxi_all_gone(void);
void sdxi_unbind(void);
void sdxi_bind_again(void);
/* The number of its IOMMU group, as the system has it. */
unsigned int sdxi_group(void);

/*
 * Give the function, or a context, @ms before it counts as hung: one of the module's
 * parameters. sdxi_be_patient(): as many as before.
 */
#define SDXI_HANG "sdxi_hang_ms"
#define SDXI_DIRECT_HANG "sdxi_direct_hang_ms"
void sdxi_lose_patience(const char *parameter, unsigned int ms);
void sdxi_be_patient(void);

/* @cxt is the context's number. */
void sdxi_misbehave(unsigned int cxt, enum sdxi_test_cmd cmd, uint64_t arg);
void sdxi_behave(void);
/* The test block, to be mapped; ends the test if it can't. */
int sdxi_open_test_block(void);
/* One of the test block's registers. */
uint64_t sdxi_counter(unsigned int reg);

#endif /* SDXI_FUNCTION_H */
