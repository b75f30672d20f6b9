/* SPDX-License-Identifier: MIT */
/* The engine's side of the talk with sharqd. Main thread only. */
#ifndef SHARQ_ENGINE_CONTROL_H
#define SHARQ_ENGINE_CONTROL_H

#include "engine.h"
#include "engine.pb-c.h"
#include "frame.h"

/* Send to sharqd, if there is one; a daemon that can't take it is dropped. */
void control_send(struct engine *e, Sharq__Engine__EngineMessage *msg,
		  const int *fds, unsigned int nfds);
void control_reply(struct engine *e, uint64_t id, int code, const char *text);
/* A queue ended by itself: tell, and forget it. World stopped. */
void control_queue_gone(struct engine *e, struct queue *q);

/* requests.c: obey one request whose descriptors are in @frame. */
void request_handle(struct engine *e, const Sharq__Engine__Request *req,
		    struct sharq_frame *frame);
/* Take a queue out and free it. World stopped. */
void queue_remove(struct engine *e, struct queue *q);
/* Take a session out, with all it has. World stopped. */
void session_remove(struct engine *e, struct session *s);
bool engine_busy(const struct engine *e);

#endif /* SHARQ_ENGINE_CONTROL_H */
