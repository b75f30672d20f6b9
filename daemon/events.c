// SPDX-License-Identifier: MIT
/* Events for subscribers; a slow one misses some and is told so. */
#include "server.h"

static void send_event(struct conn *conn, Sharq__Pb__Event *event)
{
	Sharq__Pb__ServerMessage msg = SHARQ__PB__SERVER_MESSAGE__INIT;

	msg.body_case = SHARQ__PB__SERVER_MESSAGE__BODY_EVENT;
	msg.event = event;
	conn_send(conn, &msg, NULL, 0);
}

static void emit(struct user *user, Sharq__Pb__Event *event)
{
	struct conn *conn;

	TAILQ_FOREACH(conn, &user->server->conns, link)
	{
		if (!conn->subscribed || conn->doomed ||
		    !conn_may_see(conn, user))
			continue;
		if (conn->lost || conn->out.bytes > CONN_EVENTS_MAX)
			conn->lost = true;
		else
			send_event(conn, event);
	}
}

static void fill(Sharq__Pb__Event *event, struct user *user,
		 Sharq__Pb__EventKind kind, uint64_t queue, uint64_t session)
{
	event->kind = kind;
	event->has_uid = true;
	event->uid = user->uid;
	event->has_queue = queue != 0;
	event->queue = queue;
	event->has_session = session != 0;
	event->session = session;
}

void event_emit(struct user *user, Sharq__Pb__EventKind kind, uint64_t queue,
		uint64_t session, const char *text)
{
	Sharq__Pb__Event event = SHARQ__PB__EVENT__INIT;

	if (!user->server->subscribers)
		return;
	fill(&event, user, kind, queue, session);
	event.text = (char *)text;
	emit(user, &event);
}

void event_queue_state(const struct queue *queue)
{
	struct user *user = queue->session->user;
	Sharq__Pb__Event event = SHARQ__PB__EVENT__INIT;

	if (!user->server->subscribers)
		return;
	fill(&event, user, SHARQ__PB__EVENT_KIND__EVENT_QUEUE_STATE, queue->id,
	     queue->session->id);
	event.has_state = true;
	event.state = queue->provider->state(queue);
	emit(user, &event);
}

void event_caught_up(struct conn *conn)
{
	Sharq__Pb__Event event = SHARQ__PB__EVENT__INIT;

	if (!conn->lost || conn->out.bytes)
		return;
	conn->lost = false;
	event.kind = SHARQ__PB__EVENT_KIND__EVENT_LOST;
	event.text = (char *)"events came faster than they were read";
	send_event(conn, &event);
}
