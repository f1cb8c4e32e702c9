#!/usr/bin/env bash
# What is this machine, and what of it shapes a figure?
#
#   perf-scripts/machine-report.sh [DATA-DIR]
#
# Every published figure is printed with this report. Sample answer:
#
#   kernel          6.18.0-x86_64
#   processor       AMD EPYC, 2 cores, governor: not offered here
#   memory          24054 MB, RLIMIT_MEMLOCK 8192 kB, huge pages 0 free
#   io_uring        allowed (io_uring_disabled=0)
#   data directory  /srv/ringlog: ext4 on /dev/vda, scheduler none, write cache: write back
#   clock           tsc
#   load            0.42
#
# A line says "not offered here" where the host does not tell.
set -euo pipefail
data=${1:-.}

tell() { printf '%-15s %s\n' "$1" "$2"; }
read_or() { if [ -r "$1" ]; then tr -d '\n' <"$1"; else printf 'not offered here'; fi; }

device_line() {
    local source type device queue
    source=$(df --output=source "$data" | tail -1)
    type=$(df --output=fstype "$data" | tail -1)
    device=$(lsblk -no pkname "$source" 2>/dev/null | head -1 || true)
    device=${device:-$(basename "$source")}
    queue=/sys/block/$device/queue
    printf '%s: %s on %s, scheduler %s, write cache: %s' "$(realpath "$data")" "$type" "$source" \
        "$(read_or "$queue/scheduler")" "$(read_or "$queue/write_cache")"
}

tell kernel "$(uname -r)-$(uname -m)"
tell processor "$(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -1), $(nproc) cores, governor: $(
    read_or /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor)"
tell memory "$(awk '/MemTotal/ {printf "%d MB", $2 / 1024}' /proc/meminfo), RLIMIT_MEMLOCK $(ulimit -l) kB, huge pages $(
    awk '/HugePages_Free/ {print $2}' /proc/meminfo) free"
disabled=$(read_or /proc/sys/kernel/io_uring_disabled)
case $disabled in
    0) tell io_uring "allowed (io_uring_disabled=0)" ;;
    1) tell io_uring "for privileged processes only (io_uring_disabled=1): sysctl -w kernel.io_uring_disabled=0" ;;
    2) tell io_uring "disabled (io_uring_disabled=2): sysctl -w kernel.io_uring_disabled=0" ;;
    *) tell io_uring "io_uring_disabled: $disabled" ;;
esac
tell "data directory" "$(device_line)"
tell clock "$(read_or /sys/devices/system/clocksource/clocksource0/current_clocksource)"
tell load "$(cut -d' ' -f1 /proc/loadavg)"
