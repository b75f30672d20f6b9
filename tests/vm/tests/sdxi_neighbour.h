/* SPDX-License-Identifier: MIT */
/* Neighbours on the SDXI function: see neighbour.h. */
#ifndef SDXI_NEIGHBOUR_H
#define SDXI_NEIGHBOUR_H

#include "neighbour.h"

/* With a direct queue. */
struct neighbour sdxi_neighbour_start(void);
/* The same, with a fault of its own in each round, as often as it may. */
struct neighbour sdxi_neighbour_start_faulting(void);
/* With a shadow queue. */
struct neighbour sdxi_neighbour_start_shadow(void);

#endif /* SDXI_NEIGHBOUR_H */
