/* SPDX-License-Identifier: MIT */
/* Tests that aren't in test_daemon.c, by file. */
#ifndef DAEMON_CASES_H
#define DAEMON_CASES_H

/* restart.c */
void p14_controller_killed(void);
void p5_clients_end_without_daemon(void);
void p14_sigterm_drains_and_ends(void);
void sigusr2_leaves_queues(void);

/* queues.c */
void control(void);
void p14_control_of_a_direct_queue(void);
void quota_follows_the_file(void);
void p4_queue_is_not_bound_after_its_deadline(void);
void totals_keep_what_ended_queues_did(void);

#endif /* DAEMON_CASES_H */
