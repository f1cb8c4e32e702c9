#!/usr/bin/env bash
# How long do a broker's threads wait for a core after they were woken, and who is in the way?
#
#   perf-scripts/run-queue.sh PID [SECONDS]
#
# Needs perf (Debian: linux-perf) and the kernel's scheduler tracepoints (root). Sample answer (5 s of produce):
#
#   thread            runs        on core    waited: mean        max
#   shard-0[4712]   24,118     2,911.4 ms       0.009 ms    3.812 ms
#   shard-1[4713]   23,907     2,876.0 ms       0.008 ms    4.102 ms
#   ring workers      8,206       101.2 ms       0.051 ms    7.950 ms
#
# Ring workers are the kernel's threads that finish writes for a ring (iou-wrk-*). A shard that waits for milliseconds shares its core: see pin_check.sh. The
# kernel's own wait of one slice (4 ms at 250 Hz) shows up as a max of about that.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,17p' "$0"; exit 2; }
pid=$1 seconds=${2:-5}
[ -d "/proc/$pid" ] || { echo "no process $pid"; exit 1; }
command -v perf >/dev/null || { echo "this host lacks perf: apt install linux-perf"; exit 1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if ! perf sched record -q -m 16M -o "$folder/perf.data" -- sleep "$seconds" >"$folder/said" 2>&1; then
    echo "this host does not let perf trace its scheduler: $(tail -1 "$folder/said")"
    exit 1
fi
printf '%-18s %8s %14s %15s %10s\n' thread runs "on core" "waited: mean" max
# Columns of `perf sched timehist`: time, [core], name[thread/process], pause, wait for the core after the wake-up, time on it; in milliseconds.
perf sched timehist -i "$folder/perf.data" --pid "$pid" 2>/dev/null | awk '
    $2 ~ /^\[[0-9]+\]$/ && NF >= 6 {
        # A name may have blanks; the last three fields are the times.
        name = $3; for (field = 4; field <= NF - 3; field++) name = name " " $field
        if (name ~ /^iou-wrk/) name = "ring workers"; else sub(/\/.*/, "]", name)
        runs[name]++; time[name] += $NF; wait[name] += $(NF - 1); if ($(NF - 1) > max[name]) max[name] = $(NF - 1)
    }
    END { for (name in runs) printf "%-18s %8d %11.1f ms %12.3f ms %7.3f ms\n", name, runs[name], time[name], wait[name] / runs[name], max[name] }' | sort
