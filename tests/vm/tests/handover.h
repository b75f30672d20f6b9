/* SPDX-License-Identifier: MIT */
/* Passing a descriptor to another process over a socket. */
#ifndef HANDOVER_H
#define HANDOVER_H

/* A connected pair; ends the test when there is none. */
void handover_pair(int pair[2]);
void handover_send(int sock, int fd);
int handover_receive(int sock);

#endif /* HANDOVER_H */
