# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the guest's scripts share.
export SHARQ_SOCKET=/run/sharq/sharqd.sock HOME=/tmp

# start_daemon CONFIG: as root; it answers when this returns 0.
start_daemon()
{
	sharqd --foreground --socket "$SHARQ_SOCKET" --config "/lab/$1" \
		2>/run/lab/daemon.log &
	daemon=$!
	tries=0
	until sharqctl stats >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 300 ] || ! kill -0 $daemon 2>/dev/null; then
			echo "sharqd does not answer:"
			cat /run/lab/daemon.log
			sharqctl stats
			kill -KILL $daemon
			return 1
		fi
		usleep 100000
	done
}

# stop_daemon: it ends by itself, with exit code 0.
stop_daemon()
{
	tries=0
	kill -TERM "$daemon"
	while kill -0 "$daemon" 2>/dev/null; do
		tries=$((tries + 1))
		if [ $tries -gt 300 ]; then
			echo "sharqd does not stop within 30 s"
			kill -KILL "$daemon"
		fi
		usleep 100000
	done
	wait "$daemon" && return
	echo "sharqd's exit code is $?:"
	tail -n 50 /run/lab/daemon.log
	return 1
}
