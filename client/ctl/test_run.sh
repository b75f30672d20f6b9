#!/bin/bash
# SPDX-License-Identifier: MIT
# `sharqctl run` against independent programs: gzip, zlib (by Python), cmp.
# usage: test_run.sh SHARQCTL "options for each run" [SHARQD]
# With SHARQD a daemon of the test's own serves.
set -u
ctl=$1
opts=$2
daemon=
dir=$(mktemp -d) || exit 1
trap '[ -z "$daemon" ] || kill "$daemon"; wait; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
if [ $# -gt 2 ]; then
	export SHARQ_SOCKET=$dir/socket
	"$3" --foreground --socket "$SHARQ_SOCKET" 2>daemon.log &
	daemon=$!
	for i in $(seq 2000); do
		"$ctl" stats >/dev/null 2>&1 && break
	done
	"$ctl" stats >/dev/null || { cat daemon.log; exit 1; }
fi
failures=0

run() { # run ARGUMENTS...
	# shellcheck disable=SC2086
	"$ctl" run "$@" $opts
}

check() { # check SHELL-CODE: must succeed
	if ! eval "$1" >output 2>stderr; then
		echo "FAILED: $1"; cat stderr; failures=$((failures + 1))
	fi
}

refuse() { # refuse EXIT-CODE SENTENCE SHELL-CODE
	eval "$3" >stdout 2>stderr
	local code=$?
	if [ $code -ne "$1" ] || ! grep -qF -- "$2" stderr &&
		{ [ -n "$2" ] || [ -s stderr ]; }; then
		echo "FAILED: exit code $code, expected $1 and '$2': $3"
		cat stderr; failures=$((failures + 1))
	fi
}

zlib_reads() { # zlib_reads PLAIN...: what we wrote of each as zlib and raw
	python3 - "$@" <<'P'
import sys, zlib
for name in sys.argv[1:]:
    for kind, wbits in ('zlib', 15), ('raw', -15):
        d = zlib.decompressobj(wbits)
        out = d.decompress(open(name + '.our.' + kind, 'rb').read())
        assert d.eof and not d.unused_data, (name, kind)
        assert out == open(name, 'rb').read(), (name, kind)
P
}

# 8 MiB of a binary, not a whole number of pieces; a whole number of them.
while [ ! -s big ] || [ "$(stat -c %s big)" -lt 9000000 ]; do
	cat "$ctl" /bin/bash /proc/self/exe >> big
done
truncate -s 8388609 big
head -c 2097152 big > exact
: > empty
printf x > one
printf 123456789 > nine
# What zlib writes of them: its raw format is the other without its frame.
python3 - <<'P'
import zlib
for name in ('big', 'exact', 'empty', 'one'):
    data = zlib.compress(open(name, 'rb').read())
    open(name + '.zlib', 'wb').write(data)
    open(name + '.raw', 'wb').write(data[2:-4])
P

for f in big exact empty one; do
	check "run copy $f out && cmp $f out"
	check "run compare $f $f"
	for level in 0 1 5 9; do
		check "run compress $f packed --level $level"
		check "gzip -dc < packed > plain && cmp plain $f"
		check "run decompress packed out && cmp out $f"
	done
	for format in zlib raw; do
		check "run compress $f $f.our.$format --format $format"
		check "run decompress $f.our.$format out --format $format"
		check "cmp out $f"
		check "run decompress $f.$format out --format $format"
		check "cmp out $f"
	done
	check "cat $f | run compress - - | run decompress - - | cmp - $f"
done
check "zlib_reads big exact empty one"
for level in 1 2 3 4 5 6 7 8 9; do
	gzip -$level < exact > packed
	check "run decompress packed out && cmp out exact"
	gzip -$level < one > packed
	check "run decompress packed out && cmp out one"
done

# RFC 3720 B.4 (as numbers, not as bytes on the wire), and the usual one.
check "run crc32c nine | grep -qx 'e3069283  nine'"
check "head -c 32 /dev/zero | run crc32c - | grep -qx '8a9136aa  -'"
check "head -c 32 /dev/zero | tr '\0' '\377' | run crc32c - | grep -q ^62a8ab43"
check "[ \$(run crc32c big | cut -c1-8) = \$(cat big | run crc32c - | cut -c1-8) ]"
check "[ \$(run crc32c big exact | wc -l) = 2 ]"

check "run fill out --size 5M --pattern 010203"
check "python3 -c 'assert open(\"out\",\"rb\").read()==(b\"\\1\\2\\3\"*1747627)[:5<<20]'"
check "run fill out --size 0 --pattern ff && [ ! -s out ]"

# gzip of others: several members, names, padding, many small ones, ours mixed.
{ gzip -c one; gzip -1 -c big; gzip -c nine; head -c 1000 /dev/zero; } > multi
check "run decompress multi out && cat one big nine | cmp - out"
for i in $(seq 60); do head -c $((i * 700)) big | gzip -c; done > many
check "run decompress many out && gzip -dc < many | cmp - out"
check "run compress big packed && cat packed multi > mixed"
check "run decompress mixed out && cat big one big nine | cmp - out"

# Differences.
cp big other
printf Q | dd of=other bs=1 seek=7654321 conv=notrunc status=none
refuse 1 "" "run compare big other"
check "grep -qx 'big other differ at offset 7654321' stdout"
refuse 1 "" "run compare exact big"
check "grep -qx 'exact big differ at offset 2097152: exact ends there' stdout"

# What is wrong is named, and nothing is left.
run compress big packed
head -c 1000000 packed > cut
gzip -c big > tail
head -c 2000000 tail > cut2
echo garbage >> tail
python3 - <<'P'
d = bytearray(open('packed', 'rb').read())
d[len(d) // 2] ^= 0x55
open('bad', 'wb').write(d)
d = bytearray(open('packed', 'rb').read())
d[22] = 8  # half of the size that is true
open('lie', 'wb').write(d)
P
refuse 1 "cut: truncated" "run decompress cut new"
refuse 1 "cut2: truncated" "run decompress cut2 new"
refuse 1 "bad: corrupt" "run decompress bad new"
refuse 1 "lie: corrupt" "run decompress lie new"
refuse 1 "tail: garbage after the end" "run decompress tail new"
refuse 1 "big: is not in gzip format" "run decompress big new"
refuse 1 "empty: is empty" "run decompress empty new"
refuse 1 "absent: No such file" "run copy absent new"
refuse 1 "/: is a directory" "run copy / new"
refuse 1 "/: is a directory" "run copy one /"
refuse 1 "sub: No such file" "run copy one sub/new"
refuse 1 "/dev/full: writing at byte 0: No space left" "run copy big /dev/full"
refuse 1 "No space left" "run compress big /dev/full"
refuse 1 "absent: No such file" "run crc32c absent nine"
check "grep -qx 'e3069283  nine' stdout"
check "[ ! -e new ] && ! ls -A | grep '^\.sharq'"

# A file is replaced whole or not at all; links stay, so do permissions.
echo keep > keep
chmod 640 keep
ln -s keep link
refuse 1 "bad: corrupt" "run decompress bad link"
check "[ \$(cat keep) = keep ]"
check "run copy one link && [ -L link ] && cmp one keep"
check "[ \$(stat -c %a keep) = 640 ]"
check "run copy one one && [ \$(cat one) = x ]"

# Wrong usage.
for args in "" nope "copy a" "copy a b c" "fill x" "copy a b --level 3" \
	"fill x --size z --pattern 00" "fill x --size 1 --pattern 0" crc32c \
	"compress a b --level 10" "compress a b --format x" "crc32c - -" \
	"copy a b --depth 3" "copy a b --path no" "copy a b --bogus" \
	"copy a - --json"; do
	refuse 2 "--help" "\"\$ctl\" run $args"
done
check "run crc32c nine one --json > 1.json"
check "run compare nine nine --json > 2.json"
check "run compress nine out --json > 3.json"
check "python3 -c 'import json; [json.load(open(f\"{i}.json\")) for i in (1, 2, 3)]'"

[ $failures -eq 0 ] && echo "all of run does what it says"
exit $((failures > 0))
