/* SPDX-License-Identifier: MIT */
/*
 * The guest's slot for one more SDXI function, worked by the emulator's monitor:
 * what a person would do to the machine from outside.
 */
#ifndef SDXI_SLOT_H
#define SDXI_SLOT_H

/* Behind the root port, where the firmware has put it. */
#define SDXI_SLOT "0000:02:00.0"

/*
 * Until it is served; from here on it is the one that sdxi_function.h is about.
 * @option: one of the model's, as JSON, or NULL.
 */
void sdxi_slot_plug(const char *option);
/* Asks the guest for it, and waits until it was let go and is gone. */
void sdxi_slot_unplug(void);

#endif /* SDXI_SLOT_H */
