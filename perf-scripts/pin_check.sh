#!/usr/bin/env bash
# Is each shard's thread pinned to one core, and does it have that core to itself?
#
#   perf-scripts/pin_check.sh PID [SECONDS]
#
# Sample answer (a broker with two shards, watched for 5 seconds):
#
#   thread 4711 ringlog          may run on 0-1   used  0.0 % of a core   switched away by others    0 times
#   thread 4712 unnamed-0        may run on 0     used 61.2 % of a core   switched away by others    3 times
#   thread 4713 unnamed-1        may run on 1     used 58.9 % of a core   switched away by others  411 times   <- shares core 1
#
# "Switched away by others" counts involuntary context switches: more than 20 a second on a pinned thread means that something else wants its core.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,14p' "$0"; exit 2; }
pid=$1 seconds=${2:-5}
[ -d "/proc/$pid/task" ] || { echo "no process $pid"; exit 1; }
ticks_a_second=$(getconf CLK_TCK)

# thread, processor ticks, involuntary switches
snapshot() {
    local task stat
    for task in /proc/"$pid"/task/*; do
        stat=$(cat "$task/stat" 2>/dev/null) || continue
        stat=${stat##*) }
        # shellcheck disable=SC2086
        set -- $stat
        echo "$(basename "$task") $((${12} + ${13})) $(awk '/^nonvoluntary/ {print $2}' "$task/status")"
    done
}

before=$(snapshot)
sleep "$seconds"
snapshot | while read -r thread ticks switches; do
    read -r _ ticks_before switches_before < <(awk -v t="$thread" '$1 == t' <<<"$before"; echo "$thread $ticks $switches")
    allowed=$(awk '/^Cpus_allowed_list/ {print $2}' "/proc/$pid/task/$thread/status")
    used=$(awk -v t=$((ticks - ticks_before)) -v s="$seconds" -v h="$ticks_a_second" 'BEGIN {printf "%5.1f", 100 * t / h / s}')
    lost=$((switches - switches_before)) note=""
    if [[ $allowed =~ ^[0-9]+$ ]] && [ "$lost" -gt $((20 * seconds)) ]; then note="   <- shares core $allowed"; fi
    printf 'thread %-7s %-16s may run on %-6s used %s %% of a core   switched away by others %4d times%s\n' \
        "$thread" "$(cat "/proc/$pid/task/$thread/comm")" "$allowed" "$used" "$lost" "$note"
done
