#!/usr/bin/env bash
# What can be set on this machine so that figures repeat, and how is it undone?
#
#   perf-scripts/machine-tune.sh show  [DATA-DIR]     what is set, and what would be
#   perf-scripts/machine-tune.sh apply [DATA-DIR]     sets it (root); writes ./machine-tune.undo
#   perf-scripts/machine-tune.sh undo                 sets everything back from ./machine-tune.undo
#
# Sample answer of `show`:
#
#   governor             powersave      -> performance
#   transparent pages    always         -> madvise
#   scheduler of vda     mq-deadline    -> none
#   merges of vda        0              -> 2
#   swappiness           60             -> 1
#   dirty background     10             -> 5
#   somaxconn            4096           -> 4096   as it should be
#   interrupts of vda    0-7            -> 0      (the cores behind it are the shards')
#   turbo                not offered here
#
# vm.max_map_count and the limit of open files are left alone on purpose: what a broker can do with a system's defaults is part of what is measured.
set -euo pipefail
verb=${1:-} data=${2:-.}
undo=./machine-tune.undo
case $verb in show | apply | undo) ;; *) sed -n '2,20p' "$0"; exit 2 ;; esac

# The value between brackets where the kernel marks one of several, else all of it.
value_of() { sed -n 's/.*\[\(.*\)\].*/\1/p;t;s/[[:space:]]*$//p' "$1" | head -1; }

# $1 words, $2 file, $3 what it should be, $4 remark
setting() {
    local words=$1 file=$2 wanted=$3 remark=${4:-} now
    if [ ! -r "$file" ]; then
        printf '%-20s not offered here\n' "$words"
        return
    fi
    now=$(value_of "$file")
    if [ "$now" = "$wanted" ]; then
        printf '%-20s %-14s -> %-8s as it should be\n' "$words" "$now" "$wanted"
        return
    fi
    printf '%-20s %-14s -> %-8s %s\n' "$words" "$now" "$wanted" "$remark"
    [ "$verb" = apply ] || return 0
    if echo "$wanted" 2>/dev/null >"$file"; then
        printf '%s\t%s\n' "$file" "$now" >>"$undo"
    else
        printf '%-20s the host refuses it\n' "$words"
    fi
}

if [ "$verb" = undo ]; then
    [ -r "$undo" ] || { echo "nothing to undo: $undo is not there"; exit 1; }
    # The last first, in case one was set twice.
    tac "$undo" | while IFS=$'\t' read -r file before; do
        if echo "$before" >"$file"; then echo "$file: $before"; else echo "$file: could not be set back to $before"; fi
    done
    rm "$undo"
    exit
fi
if [ "$verb" = apply ]; then
    [ "$(id -u)" = 0 ] || { echo "apply needs root"; exit 1; }
    [ ! -e "$undo" ] || { echo "$undo is there: undo first"; exit 1; }
    : >"$undo"
fi

source=$(df --output=source "$data" | tail -1)
device=$(lsblk -no pkname "$source" 2>/dev/null | head -1 || true)
device=${device:-$(basename "$source")}
queue=/sys/block/$device/queue

governors=(/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor)
for governor in "${governors[@]}"; do setting governor "$governor" performance; done
setting turbo /sys/devices/system/cpu/intel_pstate/no_turbo 1 "(steadier, not faster)"
setting "transparent pages" /sys/kernel/mm/transparent_hugepage/enabled madvise
setting "scheduler of $device" "$queue/scheduler" none
setting "merges of $device" "$queue/nomerges" 2 "(what is counted is what was sent)"
setting swappiness /proc/sys/vm/swappiness 1
setting "dirty background" /proc/sys/vm/dirty_background_ratio 5
setting somaxconn /proc/sys/net/core/somaxconn 4096
# Interrupts of the disk go to the first core, where the load generator is not.
awk -v device="${device%%[0-9]*}" '$0 ~ device {sub(":", "", $1); print $1}' /proc/interrupts | while read -r number; do
    setting "interrupt $number" "/proc/irq/$number/smp_affinity_list" 0
done
if [ "$verb" = apply ]; then echo "written: $undo"; fi
