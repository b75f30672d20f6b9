#!/bin/bash
# SPDX-License-Identifier: MIT
# sharqctl as people use it: files, pipes, errors, tables, JSON.
# Usage: test_ctl.sh DIRECTORY_OF_THE_PROGRAMS
set -u
bin=$(cd "$1" && pwd) || exit 1
dir=$(mktemp -d /tmp/sharq-test-ctl.XXXXXX) || exit 1
cd "$dir" || exit 1
export SHARQ_SOCKET=$dir/s LC_ALL=C
export ASAN_OPTIONS="${ASAN_OPTIONS-}:verify_asan_link_order=0"
passed=0 failed=0 skipped=0

finish() {
	jobs -p | xargs -r kill -9 2>/dev/null
	cd / && rm -rf "$dir"
}
trap finish EXIT

ctl() { timeout 300 "$bin/sharqctl" "$@"; }

# terminal FILE ARGUMENTS...: sharqctl in the background, on a terminal that
# FILE records; FILE.pid tells whom to signal.
terminal() {
	script -qefc "echo \$\$ >$1.pid; exec '$bin/sharqctl' ${*:2}" "$1" \
		>/dev/null </dev/null &
}

# check NAME COMMAND...: the command must succeed.
check() {
	local name=$1
	shift
	if "$@" >"$dir/.out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $name: $*"
		head -c 600 "$dir/.out" | sed 's/^/  /'
	fi
}

# refused NAME CODE WORD COMMAND...: must exit with CODE, name WORD on stderr,
# print nothing on stdout.
refused() {
	local name=$1 code=$2 word=$3 got
	shift 3
	"$@" >"$dir/.out" 2>"$dir/.err" </dev/null
	got=$?
	if [ $got -ne "$code" ]; then
		echo "FAIL $name: exit code $got, expected $code"
	elif ! grep -qF -- "$word" "$dir/.err"; then
		echo "FAIL $name: '$word' isn't in: $(cat "$dir/.err")"
	elif [ -s "$dir/.out" ]; then
		echo "FAIL $name: prints $(head -c 100 "$dir/.out")"
	else
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
}

# absent NAME FILE...: nothing was left there, nor any temporary file.
absent() {
	local name=$1 f
	shift
	for f in "$@"; do
		if [ -e "$f" ]; then
			failed=$((failed + 1))
			echo "FAIL $name: $f was left"
			return
		fi
	done
	if [ -n "$(find "$dir/out" -mindepth 1 -print -quit)" ]; then
		failed=$((failed + 1))
		echo "FAIL $name: left $(find "$dir/out" -mindepth 1)"
		rm -rf "$dir/out" && mkdir "$dir/out"
		return
	fi
	passed=$((passed + 1))
}

# until_true SECONDS COMMAND...: poll for a condition.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -ge $end ] && return 1
		sleep 0.02
	done
}

# json NAME ARGUMENTS...: prints JSON (to the file document), which is checked
# when all was printed.
json() {
	ctl --json "${@:2}" >document
	cp document "json/$1"
}

mkdir json
mkdir out
# ---- without a daemon ----
refused "no daemon: queues" 1 "$SHARQ_SOCKET" ctl queues
refused "no daemon: how to start one" 1 "sharqd" ctl devices
refused "no daemon: run" 1 "$SHARQ_SOCKET" ctl run crc32c --path embedded /bin/sh
: >plain
refused "a socket that isn't one" 1 "plain: this is no socket" \
	ctl --socket "$dir/plain" queues
refused "a socket that isn't one: run" 1 "plain: this is no socket" \
	ctl --socket "$dir/plain" run crc32c --path embedded /bin/sh
check "inline needs no daemon" ctl run crc32c --path inline /bin/sh
refused "no command" 2 "sharqctl" ctl
refused "unknown command" 2 "frobnicate" ctl frobnicate

start_daemon() {
	"$bin/sharqd" --foreground --socket "$SHARQ_SOCKET" 2>>log </dev/null &
	daemon=$!
	until_true 10 ctl stats && return
	echo "FAIL sharqd does not serve"
	cat log
	exit 1
}
start_daemon

# ---- files ----
head -c 2500000 /dev/urandom >random
for i in 1 2 3 4 5 6 7 8 9; do
	seq $((i * 100000)) $((i * 100000 + 60000))
done >text
: >empty
printf x >one
head -c 1048576 text >mib
head -c 1048577 text >mib1
head -c 18000000 /dev/zero >zeros
files="random text empty one mib mib1 zeros"

for f in $files; do
	gzips=
	for l in 1 2 3 4 5 6 7 8 9; do
		gzip -c "-$l" "$f" >"real.$l" &
		gzips="$gzips $!"
	done
	check "copy $f" ctl run copy "$f" "copied.$f"
	check "copy $f is right" cmp "$f" "copied.$f"
	check "compare $f" ctl run compare "$f" "copied.$f"
	check "compress $f" ctl run compress "$f" "$f.gz"
	check "gzip reads $f" gzip -t "$f.gz"
	check "gzip restores $f" bash -c "gzip -dc '$f.gz' | cmp - '$f'"
	check "decompress $f" ctl run decompress "$f.gz" "back.$f"
	check "decompress $f is right" cmp "$f" "back.$f"
	# shellcheck disable=SC2086
	wait $gzips
	for l in 1 2 3 4 5 6 7 8 9; do
		check "reads gzip -$l $f" ctl run decompress "real.$l" real
		check "reads gzip -$l $f right" cmp "$f" real
	done
	for format in zlib raw; do
		check "$format $f" ctl run compress --format $format "$f" z
		check "$format $f back" ctl run decompress --format $format z zb
		check "$format $f is right" cmp "$f" zb
	done
done
for l in 0 1 5 9; do
	check "level $l" ctl run compress --level $l text "l$l.gz"
	check "level $l is right" bash -c "gzip -dc l$l.gz | cmp - text"
done
gzip -c text >two.gz
gzip -c mib1 >>two.gz
cat text mib1 >two.want
check "two members" ctl run decompress two.gz two
check "two members are right" cmp two two.want
check "path inline" ctl run compress --path inline text inline.gz
check "path inline is right" bash -c "gzip -dc inline.gz | cmp - text"

# RFC 3720 B.4: 32 zeros, 32 ones, 0 to 31; and the usual check string.
head -c 32 /dev/zero >v1
head -c 32 /dev/zero | tr '\0' '\377' >v2
printf "$(printf '\\%03o' $(seq 0 31))" >v3
printf 123456789 >v4
ctl run crc32c v1 v2 v3 v4 >crcs
cat >crcs.want <<-END
	8a9136aa  v1
	62a8ab43  v2
	46dd794e  v3
	e3069283  v4
END
check "crc32c of the RFC's vectors" diff crcs crcs.want
check "crc32c goes on after a missing file" bash -c \
	"'$bin/sharqctl' run crc32c v1 missing v2 >c 2>e; [ \$? = 1 ] &&
	 [ \$(wc -l <c) = 2 ] && grep -q missing e"
# Each of these but the first is no UTF-8, for a reason of its own.
names=("$(printf '\303\251 \342\202\254 \360\237\230\200 "\\\t')" $'\377' $'\303'
	$'\303(' $'\200' $'\300\257' $'\340\200\257' $'\355\240\200'
	$'\364\220\200\200' $'\365\200\200\200')
for name in "${names[@]}"; do printf 123456789 >"./$name"; done
json "names of files" run crc32c --path inline "${names[@]}"
check "the names that are UTF-8 stay" grep -qF "$(printf \
	'"\303\251 \342\202\254 \360\237\230\200 \\"\\\\\\u0009"')" document
check "fill" ctl run fill --size 100001 --pattern deadbe filled
yes "$(printf '\xde\xad\xbe')" | tr -d '\n' | head -c 100001 >fill.want
check "fill is right" cmp filled fill.want

# ---- differences ----
cp text text2
printf X | dd of=text2 bs=1 seek=2345678 conv=notrunc status=none
ctl run compare text text2 >cmp.out 2>cmp.err
check "compare differs: exit 1" test $? -eq 1
check "compare tells where" grep -q 2345678 cmp.out cmp.err

# ---- pipes ----
check "crc32c of a pipe" bash -c \
	"cat v4 | '$bin/sharqctl' run crc32c - | grep -q '^e3069283  -'"
check "compress to a pipe" bash -c \
	"'$bin/sharqctl' run compress text - | gzip -dc | cmp - text"
check "compress from a pipe" bash -c \
	"cat text | '$bin/sharqctl' run compress - - | gzip -dc | cmp - text"
check "decompress through pipes" bash -c \
	"gzip -c text | '$bin/sharqctl' run decompress - - | cmp - text"
check "a reader that leaves" bash -c \
	"timeout 20 '$bin/sharqctl' run copy zeros - 2>/dev/null | head -c 10 |
	 wc -c | grep -qx 10; [ \${PIPESTATUS[0]} != 124 ]"

# ---- errors: named, coded, nothing left ----
for op in copy compress decompress; do
	refused "$op: missing" 1 missing.in ctl run $op missing.in out/x
	absent "$op: missing" out/x
	refused "$op: directory" 1 out ctl run $op "$dir/out" out/x
	absent "$op: directory" out/x
	refused "$op: into a directory" 1 out ctl run $op text.gz "$dir/out"
	absent "$op: into a directory"
	refused "$op: no such directory" 1 nowhere ctl run $op text.gz nowhere/x
	refused "$op: disk full" 1 /dev/full ctl run $op text.gz /dev/full
done
refused "crc32c: missing" 1 missing.in ctl run crc32c missing.in
refused "crc32c: directory" 1 out ctl run crc32c "$dir/out"
refused "compare: missing" 1 missing.in ctl run compare text missing.in
refused "fill: disk full" 1 /dev/full ctl run fill --size 1M --pattern 00 /dev/full
size=$(stat -c %s text.gz)
for at in 5 17 1000 $((size / 2)) $((size - 4)) $((size - 1)); do
	head -c "$at" text.gz >cut.gz
	refused "ours cut at $at" 1 cut.gz ctl run decompress cut.gz out/x
	absent "ours cut at $at" out/x
done
refused "bench: one letter" 2 "no option '-d'" ctl bench copy -d64
refused "run: letters" 2 "no option '-x'" ctl run copy text out/x -xy
refused "bench: a value too many" 2 "poll=3" ctl bench copy --poll=3
cp text group
chmod 640 group
# Only root may give it to any group.
if chgrp 1 group 2>/dev/null; then
	check "run replaces a file of another group" ctl run copy text.gz group
	check "and hands the group on" test "$(stat -c %g:%a group)" = 1:640
fi
gzip -c text >real.gz
size=$(stat -c %s real.gz)
for at in 5 17 1000 $((size / 2)) $((size - 4)) $((size - 1)); do
	head -c "$at" real.gz >cut.gz
	refused "gzip's cut at $at" 1 cut.gz ctl run decompress cut.gz out/x
	absent "gzip's cut at $at" out/x
done
for f in text.gz real.gz; do
	size=$(stat -c %s $f)
	for at in 0 2 $((size / 3)) $((size - 6)) $((size - 2)); do
		cp $f bad.gz
		byte=$(od -An -tu1 -j "$at" -N1 bad.gz)
		printf "$(printf '\\%03o' $((byte ^ 255)))" |
			dd of=bad.gz bs=1 seek="$at" conv=notrunc status=none
		refused "$f bad at $at" 1 bad.gz ctl run decompress bad.gz out/x
		absent "$f bad at $at" out/x
	done
done
refused "not gzip" 1 random ctl run decompress random out/x
absent "not gzip" out/x
cp text keep
refused "a failure keeps the old file" 1 cut.gz ctl run decompress cut.gz keep
check "the old file is as it was" cmp text keep
refused "level 10" 2 10 ctl run compress --level 10 text out/x
refused "level none" 2 abc ctl run compress --level abc text out/x
refused "format" 2 bzip ctl run compress --format bzip text out/x
refused "path" 2 sideways ctl run copy --path sideways text out/x
refused "path direct" 1 direct ctl run copy --path direct text out/x
refused "depth 3" 2 3 ctl run copy --depth 3 text out/x
refused "depth 0" 2 0 ctl run copy --depth 0 text out/x
refused "size" 2 12q ctl run fill --size 12q --pattern 00 out/x
refused "pattern" 2 xyz ctl run fill --size 12 --pattern xyz out/x
refused "pattern too long" 2 112233445566778899 \
	ctl run fill --size 12 --pattern 112233445566778899 out/x
refused "unknown run" 2 munge ctl run munge a b
refused "unknown option" 2 --munge ctl run copy --munge a b
absent "usage errors"
for op in pause resume drain kill; do
	refused "$op: unknown queue" 1 987654 ctl $op 987654
	refused "$op: bad number" 2 12x ctl $op 12x
	refused "$op: negative" 2 -- ctl $op -- -1
done
refused "show: unknown device" 1 987654 ctl show device 987654
refused "show: neither" 2 device ctl show engine 1
refused "show: unknown queue" 1 987654 ctl show queue 987654
refused "show: bad number" 2 abc ctl show queue abc
refused "bench: size" 2 hello ctl bench copy --size hello
refused "bench: unknown" 2 juggle ctl bench juggle
refused "bench: seconds" 2 never ctl bench nop --seconds never

# ---- lists ----
terminal benches bench copy --size 4096 --seconds 60
worker=$!
has_queue() { ctl --json queues | grep -q '"id"'; }
check "the bench's queue is listed" until_true 10 has_queue
id=$(ctl --json queues | sed -n 's/.*"id": *"\?\([0-9]*\).*/\1/p' | head -1)
narrow() {
	COLUMNS=80 ctl "$@" >table || return 1
	[ -s table ] && ! grep -qE '^.{81}' table
}
for what in devices queues clients stats "show queue $id" "show device 1"; do
	check "$what fits 80 columns" narrow $what
	json "$what" $what
done
# Devices and a queue as the module has them.
"$bin/system-pretend" "$dir/p" &
pretend=$!
pretended() { ctl --socket "$dir/p" "$@"; }
check "a daemon that pretends" until_true 10 pretended devices
for what in devices "show device 64" queues "show queue 1"; do
	check "$what of hardware fits 80 columns" narrow --socket "$dir/p" $what
done
# shows REGULAR_EXPRESSION ARGUMENTS...: it is in what's printed.
shows() {
	ctl "${@:2}" >table && grep -qE -- "$1" table
}
check "what the hardware's memory accesses go through" shows \
	'^64 sdxi-10000:e1:00.0 sdxi +12345 sharq +64 no +1048576 no +no$' \
	--socket "$dir/p" devices
check "and of no other device" bash -c \
	"'$bin/sharqctl' devices | grep embedded0 && ! '$bin/sharqctl' devices | grep ATS"
check "why a queue has no better path" shows '^1234567 shadow this kernel refuses' \
	--socket "$dir/p" queues
check "not of one whose path was asked for" bash -c \
	"grep -q '^1234568 ' table && ! grep 'asked for' table"
check "nor of any that has none" bash -c \
	"'$bin/sharqctl' queues | grep 'ID USER' && ! '$bin/sharqctl' queues | grep REASON"
json "queues of hardware" --socket "$dir/p" queues
check "JSON has every reason" bash -c \
	"grep -q '\"reason\": *\"this kernel.*: Operation not supported' document &&
	 grep -q '\"reason\": *\"the shadow path was asked for' document"
json "a program's name that isn't UTF-8" --socket "$dir/p" show queue 1
check "replaces what isn't and keeps what is" \
	grep -qF "$(printf '"caf? caf\303\251"')" document
pretended --json show queue 1 >queue.json
for time in wait_p50_us:8 wait_p99_us:4194304 device_p50_us:null; do
	check "times are numbers: $time" grep -qE "\"${time/:/\": *}"',?$' queue.json
done
if command -v python3 >/dev/null; then
	check "it is JSON" python3 -c 'import json, sys
for name in sys.argv[1:]:
	print(name, flush=True)
	json.load(open(name, encoding="utf-8"))' json/*
else
	skipped=$((skipped + 1))
	echo "skip it is JSON: no python3 to check it"
fi

# ---- Ctrl-C while the daemon works, and before that ----
LD_PRELOAD=$bin/early_signal.so refused "a signal before it waits" 1 interrupted \
	timeout 20 "$bin/sharqctl" --socket "$dir/p" drain 1
terminal stopped --socket "$dir/p" drain 1
stopped=$!
drains() { grep -qE 'drain +[0-9]+ s' "$1"; }
check "a drain shows the time" until_true 20 drains stopped
kill -INT "$(cat stopped.pid)"
wait "$stopped"
check "a drain that is stopped fails" test $? -eq 1
check "and says why, where the time was" \
	grep -q "$(printf '\r\033\\[K')sharqctl: interrupted" stopped
kill -USR1 "$pretend"

# ---- control ----
check "a bench shows the time and its end" until_true 30 grep -qE \
	'bench +\[#+\.+\] +[0-9]+% +[0-9]+ s' benches
state_is() { ctl show queue "$id" | grep -qi "$1"; }
check "pause" ctl pause "$id"
check "shown as paused" until_true 5 state_is paused
check "resume" ctl resume "$id"
check "shown as running" until_true 5 state_is running
check "drain" ctl drain "$id"
check "resume again" ctl resume "$id"
check "kill" ctl kill "$id"
worker_gone() { ! kill -0 "$worker"; }
check "the killed queue's program ends" until_true 20 worker_gone
wait "$worker"
check "and says that it failed" test $? -eq 1
check "where the time was" grep -q "$(printf '\r\033\\[K')sharqctl:" benches
# helps WORD ARGUMENTS...: the help that has WORD, with --help wherever it stands.
helps() {
	local word=$1
	shift
	ctl "$@" >help 2>help.err && [ ! -s help.err ] &&
		grep -qF -- "$word" help && ! grep -E '^.{81}' help
}
for what in devices queues clients stats show pause resume drain kill events run \
	bench "run crc32c" "run copy" "run fill" "run compare" "run compress" \
	"run decompress"; do
	check "help of $what" helps "Usage: sharqctl $what" $what --help
done
check "help" helps "--watch [SECS]" --help
check "help behind an option of all" helps "sharqctl devices" --json devices --help
check "help before the command" helps "sharqctl devices" --help devices
check "help behind arguments" helps "sharqctl pause ID" pause 1 --help
check "help behind what is wrong" helps "sharqctl bench" bench --depth 3 --help
check "help of one operation" helps "sharqctl run fill" run fill --size 1 --help
check "help of what can't be watched" helps "sharqctl kill" kill --watch --help
check "help behind a wrong id" helps "sharqctl show" show queue x --help
check "version" helps "sharqctl 0." --version
check "version behind a command" helps "sharqctl 0." devices --version
refused "-- ends the options" 1 "--help: No such file" \
	ctl run crc32c --path inline -- --help
check "bench's report fits 80 columns" narrow bench copy_crc32c --size 1K \
	--depth 4096 --batch 4096 --seconds 0.1 --path inline
bench_json() { ctl bench nop --seconds 0.3 --json >bench.json; }
check "bench" bench_json
check "bench prints JSON" grep -q '{' bench.json

# ---- progress: for a terminal, and nobody else ----
# Far more than can be read before both have been seen for long enough.
truncate -s 1T huge
"$bin/sharqctl" run crc32c huge >/dev/null 2>quiet &
worker=$!
ctl bench nop --path inline --seconds 1.5 >/dev/null 2>quiet.bench &
waiting=$!
terminal reads run crc32c huge
reads=$!
terminal drains --socket "$dir/p" drain 1
waiting="$waiting $!"
LD_PRELOAD=$bin/slow_fsync.so terminal syncs run copy --path inline v1 synced
waiting="$waiting $!"
check "a bar on a terminal" until_true 20 grep -qE \
	'crc32c +\[#*\.+\] +[0-9]+% +[0-9.]+[MG] +[0-9.]+[KMG]/s' reads
check "no bar in a file" test ! -s quiet
kill -INT "$(cat reads.pid)" "$worker"
wait "$reads" "$worker"
erased() { tail -c 200 reads | grep -q "$(printf '\r\033\\[K')sharqctl:"; }
check "the bar is erased at the end" erased
rm huge
# What only takes time shows that.
check "a drain that ends shows the time" until_true 20 drains drains
kill -USR1 "$pretend"
check "a slow disk shows the time" until_true 20 grep -qE 'to disk +[0-9]+ s' syncs
: >written
for pid in $waiting; do
	check "what was waited for ends well" wait "$pid"
done
check "no time in a file" test ! -s quiet.bench
{ kill -KILL "$pretend" && wait "$pretend"; } 2>/dev/null

# ---- watching goes on when another daemon takes over ----
"$bin/sharqctl" --json --watch 0.1 stats >watch 2>watch.err &
worker=$!
shown() { [ "$(grep -c uptime watch)" -gt "$1" ]; }
check "watch shows, again and again" until_true 10 shown 2
{ kill -KILL "$daemon" && wait "$daemon"; } 2>/dev/null
check "watch tells that the daemon is away" until_true 10 grep -q sharqd watch.err
start_daemon
check "watch shows the next one" until_true 10 shown "$(grep -c uptime watch)"
kill -TERM "$worker"
wait "$worker"
check "watch ends without an error" test $? -eq 0

# ---- the end ----
kill -TERM "$daemon"
wait "$daemon"
check "sharqd exits 0" test $? -eq 0
check "no sanitizer complained" bash -c \
	"! grep -E 'Sanitizer|runtime error' log"
check "nothing is left of the daemon" test ! -e "$SHARQ_SOCKET"

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
