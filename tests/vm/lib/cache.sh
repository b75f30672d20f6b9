# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The cache outside the checkout, and an apt of our own that fills it.
PATH=$PATH:/usr/sbin:/sbin
cache=${SHARQ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sharq}/vm

# Exit code 77, with the reason as the last line, is a skip to whoever called.
skip()
{
	echo "SKIP: $*" >&2
	exit 77
}

# mirror debian|debian-security: where this machine gets that archive from.
mirror()
{
	local uri

	uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} \
		2>/dev/null | sed -nE "/^(URIs:|deb )/s,.*[ =](https?://[^ ]*/$1)/?( .*)?\$,\1,p" |
		head -n 1) || true
	echo "${uri:-http://deb.debian.org/$1}"
}

# use_suites NAME SUITE...: apt sees these suites and an empty machine from here
# on. Its index is read anew twice a day, so that a run costs no network.
use_suites()
{
	local dir=$cache/apt-$1 suite archive
	shift

	command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
		skip "no apt-get: kernel packages can't be fetched"
	mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,parts}
	export APT_CONFIG=$dir/apt.conf
	exec {apt_lock}>"$dir/lock"
	flock "$apt_lock"
	if [ -z "$(find "$dir/fresh" -mmin -720 2>/dev/null)" ]; then
		: >"$dir/state/status"
		for suite; do
			archive=debian
			[ "${suite%-security}" = "$suite" ] ||
				archive=debian-security
			echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
				"$(mirror $archive) $suite main"
		done >"$dir/sources.list"
		cat >"$APT_CONFIG" <<-END
		Dir::State "$dir/state";
		Dir::State::status "$dir/state/status";
		Dir::Cache "$dir/cache";
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "$dir/parts";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Debug::NoLocking "true";
		END
		if apt-get -q update -o APT::Update::Error-Mode=any >&2; then
			: >"$dir/fresh"
		else
			echo "no fresh index of $*: going by an older one" >&2
		fi
	fi
	flock -u "$apt_lock"
}

# An index that names packages which the archive no longer has is stale.
forget_index()
{
	rm -f "${APT_CONFIG%/*}/fresh"
}

# cached NAME KEY COMMAND...: print the directory of what COMMAND made in its
# working directory. Another run may want the same at the same time: one makes
# it. What nobody looked at for a month goes.
cached()
{
	local dir=$cache/$1-$2 lock code=0
	shift 2

	mkdir -p "$cache"
	exec {lock}>"${dir%-*}.lock"
	flock "$lock"
	if [ ! -d "$dir" ]; then
		echo "making $dir; the log is $dir.log" >&2
		rm -rf "$dir.tmp"
		mkdir "$dir.tmp"
		# A child that outlives its maker must not hold the lock.
		(cd "$dir.tmp" && exec "$@") {lock}>&- >"$dir.log" 2>&1 || code=$?
		if [ "$code" -ne 0 ]; then
			tail -n 30 "$dir.log" >&2
			rm -rf "$dir.tmp"
			return "$code"
		fi
		mv "$dir.tmp" "$dir"
	fi
	touch "$dir"
	find "$cache" -maxdepth 1 -name "$(basename "${dir%-*}")-*" \
		-mtime +30 -exec rm -rf {} +
	exec {lock}>&-
	echo "$dir"
}

# key: a short name for what is read.
key()
{
	sha256sum | cut -c 1-16
}
