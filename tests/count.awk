# SPDX-License-Identifier: MIT
# Count cases in ctest's JUnit file, or (plain=NAME, code=EXIT-CODE) in one
# test's output. Prints "passed failed skipped name" for each test, and
# "reason name: text" for each line of output that begins with SKIP.
#
# A test's own count is believed when it prints one ("N passed, N failed" or
# Check's summary), but never over its exit code.
function flush(    p, f, s)
{
	if (name == "")
		return
	if (status == "skip") {
		p = 0; f = 0; s = 1
	} else if (counted) {
		p = np; f = nf; s = ns
		if (status == "fail" && !f)
			f = 1
	} else {
		p = status == "run"; f = !p; s = 0
	}
	print p, f, s, name
	name = ""
}
function start(n, st)
{
	flush()
	name = n
	status = st
	counted = np = nf = ns = 0
}
function attribute(key,    t)
{
	if (!match($0, " " key "=\"[^\"]*\""))
		return ""
	t = substr($0, RSTART, RLENGTH)
	sub(/^[^"]*"/, "", t)
	sub(/"$/, "", t)
	return t
}
BEGIN {
	if (plain != "")
		start(plain, code == 0 ? "run" : "fail")
}
/<testcase / {
	start(attribute("name"), attribute("status"))
	if (status != "run")
		status = "fail"
}
/<skipped / { status = "skip" }
{
	sub(/^.*<system-out>/, "")
}
/^([A-Za-z0-9_-]+: )?[0-9]+ passed, [0-9]+ failed/ {
	n = split(substr($0, match($0, /[0-9]+ passed/)), part, ",")
	np += part[1]; nf += part[2]; ns += n > 2 ? part[3] : 0
	counted = 1
}
/%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
	split($0, part, /[:,] */)
	np += part[3] - part[5] - part[7]
	nf += part[5] + part[7]
	counted = 1
}
/^SKIP/ && name != "" {
	sub(/^SKIP(PED)?:? */, "")
	print "reason", name ":", $0
}
END { flush() }
