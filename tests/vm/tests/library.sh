#!/bin/sh
# SPDX-License-Identifier: MIT
# libsharq on the module's queues: what a pause and a kill do to a program that
# waits or polls, and the example. Runs as a user, beside sharqd.
set -u
passed=0 failed=0
dir=$(mktemp -d /disk/sharq-test/library-XXXXXX)
trap 'rm -rf "$dir"' EXIT

check()
{
	what=$1
	shift
	if "$@"; then
		echo "ok   $what"
		passed=$((passed + 1))
	else
		echo "FAIL $what"
		failed=$((failed + 1))
	fi
}

# The only queue there is.
queue_id()
{
	sharqctl queues | awk 'NR > 1 && $1 ~ /^[0-9]+$/ { print $1; exit }'
}

wait_for_queue()
{
	tries=0
	until id=$(queue_id) && [ -n "$id" ]; do
		tries=$((tries + 1))
		[ $tries -lt 300 ] || return 1
		usleep 100000
	done
}

# Clock ticks that a process has used.
ticks()
{
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

commands()
{
	sharqctl --json show queue "$id" | sed -n 's/.*"commands": *\([0-9]*\).*/\1/p' |
		head -n 1
}

# While it is paused nothing moves, and who sleeps costs nothing.
paused()
{
	sharqctl pause "$id" && sharqctl drain "$id" || return 1
	before=$(commands) begin=$(ticks "$1")
	usleep 1000000
	[ "$(commands)" = "$before" ] || return 1
	end=$(ticks "$1")
	echo "1 s of a pause cost $((end - begin)) ticks"
	[ "$2" = polling ] || [ $((end - begin)) -lt 10 ]
}

goes_on()
{
	sharqctl resume "$id" || return 1
	tries=0
	until [ "$(commands)" -gt "$before" ]; do
		tries=$((tries + 1))
		[ $tries -lt 100 ] || return 1
		usleep 100000
	done
}

program()
{
	set -- "$1" --path "$2" --device "$3" --size 64K --depth 8 --seconds 60
	case $1 in
	events) exec guest-poller "$3" "$5" ;;
	polling) set -- "$@" --poll ;;
	esac
	shift
	exec sharqctl bench copy "$@"
}

# one_program sleeping|polling|events PATH DEVICE; SHARQ_NO_URING: how it kicks
one_program()
{
	name="$2 on device $3, $1"
	program "$@" >"$dir/bench" 2>&1 &
	bench=$!
	check "$name: a queue is there" wait_for_queue
	check "$name: a pause stops it" paused $bench "$1"
	check "$name: a resume lets it go on" goes_on
	check "$name: a kill" sharqctl kill "$id"
	wait $bench
	check "$name: the killed queue's program ends" test $? -ne 0
	check "$name: and says why: $(cat "$dir/bench")" \
		grep -q "killed\|CANCELED" "$dir/bench"
}

# device NAME PATH: its number, if it offers that path.
device()
{
	sharqctl --json devices |
		awk -F '"' -v n="^$1" -v p="$2" '
			$2 == "id" { id = $3; gsub(/[^0-9]/, "", id) }
			$2 == "name" { name = $4 }
			$2 == "paths" && name ~ n && " "$4" " ~ " "p" " { print id }'
}

# What the function's DMA goes through; soft0 does none.
devices()
{
	sharqctl show device "$(device sdxi shadow)" >"$dir/devices" &&
		grep -q '^claimed by  *sharq' "$dir/devices" &&
		grep -q '^IOMMU group  *[0-9]' "$dir/devices" &&
		grep -q '^address bits  *[0-9]' "$dir/devices" &&
		grep -q '^ATS  *yes' "$dir/devices" &&
		sharqctl show device "$(device soft shadow)" >"$dir/devices" &&
		! grep -q ATS "$dir/devices" &&
		sharqctl --json devices >"$dir/devices" &&
		grep -q '"iommu_owner": *"sharq"' "$dir/devices" &&
		sharqctl devices >"$dir/devices" &&
		grep -Eq '^ *[0-9]+ sdxi-[^ ]+ sdxi +[0-9]+ sharq +[0-9]+ (yes|no) +[0-9]+ yes (yes|no)' "$dir/devices" &&
		! grep -Eq '^ *[0-9]+ soft0 +soft ' "$dir/devices" &&
		! grep -q '.\{81\}' "$dir/devices"
}
check "devices say what their DMA goes through" devices

# Why it isn't direct, where the kernel refuses that.
told_why()
{
	sharqctl queues >"$dir/queues" &&
		grep -q "^ *$id shadow  *this kernel refuses" "$dir/queues" &&
		grep -q 'Operation not supported$' "$dir/queues" &&
		sharqctl --json queues |
		grep -q '"reason": *"this kernel refuses .*: Operation not supported"' &&
		sharqctl show queue "$id" >"$dir/queue" &&
		grep -q '^why not a better path  *this kernel refuses' "$dir/queue" &&
		grep -q 'Operation not supported$' "$dir/queue"
}

is_direct()
{
	sharqctl queues >"$dir/queues" && grep -q ' direct ' "$dir/queues" &&
		! grep -q REASON "$dir/queues"
}

program sleeping any "$(device sdxi shadow)" >"$dir/bench" 2>&1 &
bench=$!
check "any path on the function: a queue is there" wait_for_queue
if [ -n "$(device sdxi direct)" ]; then
	check "it is direct, and there is nothing to explain" is_direct
else
	check "the reason why it isn't direct is told" told_why
fi
check "it is killed" sharqctl kill "$id"
wait $bench

soft=$(device soft shadow)
one_program sleeping shadow "$soft"
one_program polling shadow "$soft"
export SHARQ_NO_URING=1
one_program sleeping shadow "$soft"
unset SHARQ_NO_URING
one_program sleeping direct "$soft"
one_program events direct "$soft"
# On 7.2, with an IOMMU.
sdxi=$(device sdxi direct)
if [ -n "$sdxi" ]; then
	one_program sleeping direct "$sdxi"
	one_program polling direct "$sdxi"
	one_program events direct "$sdxi"
fi

# The example, of a file with a short last block and of an empty one.
for size in 1234567 0; do
	head -c $size /dev/urandom >"$dir/in"
	crc_uring "$dir/in" "$dir/out" >"$dir/crcs"
	check "crc_uring: $size bytes" test $? -eq 0
	check "crc_uring: the copy is right" cmp "$dir/in" "$dir/out"
	check "crc_uring: a CRC for each block" \
		test "$(wc -l <"$dir/crcs")" -eq $(((size + 65535) / 65536))
	while read -r at crc; do
		tail -c +$((at + 1)) "$dir/in" | head -c 65536 >"$dir/block"
		crc_file "$dir/block" | grep -q "^$crc .*OK$" || echo "$at"
	done <"$dir/crcs" >"$dir/wrong"
	check "crc_uring: each is right" test ! -s "$dir/wrong"
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
