#!/usr/bin/env bash
# Where does a live broker spend its time?
#
#   perf-scripts/flame.sh PID [SECONDS] [OUTPUT-FOLDER]
#
# Needs `perf` (Debian: linux-perf) and permission to sample (root, or kernel.perf_event_paranoid <= 1). Writes perf.data and a table of
# the functions that took most; if inferno or FlameGraph is on the PATH, also flame.svg. Sample answer (10 s of produce, 1 KiB records):
#
#   13.1 %  ringlog_core::record_batch::validate
#    9.8 %  [kernel] copy_user_generic
#    7.2 %  ringlog_storage::journal::pack
#   ...
#   written: flame/perf.data flame/functions.txt flame/flame.svg
#
# What a host lacks is said: many virtual machines offer no hardware counters; then the processor clock is sampled instead.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,16p' "$0"; exit 2; }
pid=$1 seconds=${2:-10} folder=${3:-flame}
[ -d "/proc/$pid" ] || { echo "no process $pid"; exit 1; }
command -v perf >/dev/null || { echo "this host lacks perf: apt install linux-perf"; exit 1; }
mkdir -p "$folder"

event=cycles
if ! perf stat -e cycles -p "$pid" -- sleep 0.1 2>&1 | grep -Eq '[0-9]+ +cycles'; then
    echo "this host offers no hardware counters: sampling the processor clock instead"
    event=cpu-clock
fi
if ! perf record -q -e "$event" -F 499 --call-graph dwarf,16384 -o "$folder/perf.data" -p "$pid" -- sleep "$seconds"; then
    echo "perf may not sample here: be root, or sysctl -w kernel.perf_event_paranoid=1"
    exit 1
fi

perf report -i "$folder/perf.data" --no-children --stdio -g none --percent-limit 0.5 2>/dev/null |
    awk '!/^#/ && NF {percent = $1; $1 = $2 = $3 = $4 = ""; sub(/^ +/, ""); printf "%7s  %s\n", percent, $0}' >"$folder/functions.txt"
head -30 "$folder/functions.txt"

written="$folder/perf.data $folder/functions.txt"
if command -v inferno-collapse-perf >/dev/null; then
    perf script -i "$folder/perf.data" 2>/dev/null | inferno-collapse-perf | inferno-flamegraph >"$folder/flame.svg"
    written+=" $folder/flame.svg"
elif command -v stackcollapse-perf.pl >/dev/null; then
    perf script -i "$folder/perf.data" 2>/dev/null | stackcollapse-perf.pl | flamegraph.pl >"$folder/flame.svg"
    written+=" $folder/flame.svg"
else
    echo "no flame.svg: neither inferno (cargo install inferno) nor FlameGraph is on the PATH"
fi
echo "written: $written"
