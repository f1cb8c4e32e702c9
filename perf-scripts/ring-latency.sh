#!/usr/bin/env bash
# How long do a broker's ring requests take inside the kernel, how many go through a worker thread, and how long does the device take to write and flush?
#
#   perf-scripts/ring-latency.sh PID [SECONDS]
#
# Needs bpftrace (Debian: bpftrace), root, and a kernel with BPF tracing; says which of these is missing. Prints histograms in microseconds:
#
#   @ring_us[WRITE]:  ...   from submission to completion, by kind of request
#   @punted:          ...   requests that a worker thread carried out
#   @device_us[WS], @device_us[FF]: ...   of the whole device, whoever asked: synchronous writes, flushes
#
# Without bpftrace, `ringlog-bench disk` measures the device from outside, and /metrics has what the broker's rings have done.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,13p' "$0"; exit 2; }
pid=$1 seconds=${2:-10}
[ -d "/proc/$pid" ] || { echo "no process $pid"; exit 1; }
[ "$(id -u)" = 0 ] || { echo "tracing needs root"; exit 1; }
command -v bpftrace >/dev/null || { echo "this host lacks bpftrace: apt install bpftrace"; exit 1; }
if ! bpftrace -e 'BEGIN { exit(); }' >/dev/null 2>&1; then
    echo "this host's kernel refuses BPF programs (a container or a locked-down kernel)"
    exit 1
fi
# What a request was is told by rwbs: R read, W write, FF flush, S synchronous, M metadata (include/trace/events/block.h).
bpftrace -e "
tracepoint:io_uring:io_uring_submit_req /pid == $pid/ { @begun[args->req] = nsecs; @kind[args->req] = str(args->op_str); }
tracepoint:io_uring:io_uring_complete /@begun[args->req]/ {
    @ring_us[@kind[args->req]] = hist((nsecs - @begun[args->req]) / 1000);
    delete(@begun[args->req]); delete(@kind[args->req]);
}
tracepoint:io_uring:io_uring_queue_async_work /pid == $pid/ { @punted = count(); }
tracepoint:block:block_rq_issue /args->sector > 0/ { @issued[args->dev, args->sector] = nsecs; }
tracepoint:block:block_rq_complete /@issued[args->dev, args->sector]/ {
    @device_us[args->rwbs] = hist((nsecs - @issued[args->dev, args->sector]) / 1000);
    delete(@issued[args->dev, args->sector]);
}
// A flush has no sector, and the device carries out one at a time.
tracepoint:block:block_rq_issue /args->rwbs == \"FF\"/ { @flushing[args->dev] = nsecs; }
tracepoint:block:block_rq_complete /args->rwbs == \"FF\" && @flushing[args->dev]/ {
    @device_us[args->rwbs] = hist((nsecs - @flushing[args->dev]) / 1000);
    delete(@flushing[args->dev]);
}
interval:s:$seconds { clear(@begun); clear(@kind); clear(@issued); clear(@flushing); exit(); }
" 2>&1 | grep -v RLIMIT_MEMLOCK
