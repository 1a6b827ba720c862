#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Time on a machine what 'kpkeys bench' counts in an emulator; see README.rst.

export LC_ALL=C
usage="usage: run.sh measure NAME [RUNS] | run.sh table NAME NAME..."

die()
{
	echo "run.sh: $*" >&2
	exit 2
}

# What the rows of a file took, "<column> <workload> <ns per operation>" each, less that of the row
# with the same name and '-' in front
per_operation()
{
	awk -v column="$1" '
	$2 != "row" { next }
	$3 ~ /^-/ { less[substr($3, 2)] = $6; next }
	{ printf "%d %s %.1f\n", column, $3, ($6 - less[$3]) / $4 }' "$2"
}

# The table, of the sorted times of all files
print_table()
{
	awk -v names="$*" '
	function finish()
	{
		if (!n)
			return
		median[c, w] = (t[int((n + 1) / 2)] + t[int(n / 2) + 1]) / 2
		quarter = int((n + 3) / 4)
		spread[c, w] = (t[n + 1 - quarter] - t[quarter]) / 2
		n = 0
	}
	$1 != c || $2 != w {
		finish()
		c = $1
		w = $2
		if (c == 1)
			workload[++workloads] = w
	}
	{ t[++n] = $3 }
	END {
		finish()
		columns = split(names, name, " ")
		printf "%-18s %21s", "ns per operation", name[1]
		for (c = 2; c <= columns; c++)
			printf "  | %30s", name[c]
		printf "\n"
		for (i = 1; i <= workloads; i++) {
			w = workload[i]
			printf "%-18s %12.0f  +-%4.1f%%", w, median[1, w],
			       100 * spread[1, w] / median[1, w]
			for (c = 2; c <= columns; c++)
				printf "  | %12.0f %+7.1f%%  +-%4.1f%%", median[c, w],
				       100 * (median[c, w] / median[1, w] - 1),
				       100 * spread[c, w] / median[c, w]
			printf "\n"
		}
	}'
}

workloads()
{
	awk '$2 == "row" { print $3, $4 }' "$1" | sort -u
}

measure()
{
	name=$1 runs=${2:-10}
	here=$(dirname "$0")
	module=${MODULE-/lib/modules/$(uname -r)/kernel/lib/test_vmalloc.ko}

	case $name in ""|*/*) die "'$name' is no name for a file" ;; esac
	case $runs in ""|0*|*[!0-9]*) die "'$runs' is not a number of runs" ;; esac
	[ "$(uname -m)" = aarch64 ] || die "this is $(uname -m), not an aarch64 machine"
	[ ! -e "$name.times" ] || die "there is a $name.times already"
	[ -z "$module" ] || [ -r "$module" ] ||
		die "no $module: CONFIG_TEST_VMALLOC=m; or MODULE=<path>, or MODULE= for without"
	[ -z "$module" ] || [ "$(id -u)" = 0 ] || die "only root may load $module"

	tmp=$(mktemp -d) || exit 2
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 2' HUP INT TERM
	program=$PROGRAM
	if [ -z "$program" ]; then
		program=$tmp/workloads
		${CC:-cc} -O2 -static -o "$program" "$here/../workloads.c" 2> "$tmp/errors" ||
			die "cannot build workloads.c: $(head -n 1 "$tmp/errors")"
	fi

	{
		echo "# $(uname -srv)"
		echo "# $(cat /proc/cmdline)"
		dmesg 2> /dev/null | sed -n 's/.*\(kpkeys.*: \)/# \1/p'
	} > "$tmp/times"
	run=0
	while [ $run -lt "$runs" ]; do
		run=$((run + 1))
		echo "run $run of $runs" >&2
		"$program" native ${module:+"$module"} > "$tmp/run" ||
			die "run $run: $(tail -n 1 "$tmp/run")"
		cat "$tmp/run" >> "$tmp/times"
	done
	cp "$tmp/times" "$name.times" || exit 2
}

table()
{
	for name; do
		[ -r "$name.times" ] || die "no $name.times: run.sh measure $name"
		[ "$(workloads "$1.times")" = "$(workloads "$name.times")" ] ||
			die "$name.times has other workloads than $1.times"
	done
	[ -n "$(workloads "$1.times")" ] || die "$1.times has no rows"

	for name; do
		sed -n "s/^# /$name: /p" "$name.times"
	done
	echo
	column=0
	for name; do
		column=$((column + 1))
		per_operation $column "$name.times"
	done | sort -k 1,1n -k 2,2 -k 3,3n | print_table "$@"
	echo
	echo "Medians; in % more than $1; +-: half the distance between the quartiles, in % of the median"
}

case $1 in
measure)
	[ $# -ge 2 ] && [ $# -le 3 ] || die "$usage"
	shift
	measure "$@"
	;;
table)
	[ $# -ge 3 ] || die "$usage"
	shift
	table "$@"
	;;
*)
	die "$usage"
	;;
esac
