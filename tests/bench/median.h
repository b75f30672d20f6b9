/* SPDX-License-Identifier: MIT */
#ifndef MEDIAN_H
#define MEDIAN_H

/* Sorts them. */
double median(double *v, unsigned int n);

#endif /* MEDIAN_H */
