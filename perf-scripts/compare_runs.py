#!/usr/bin/env python3
"""Did anything get slower between two runs of `ringlog-bench run`?

   perf-scripts/compare_runs.py results/before results/after [--side ours]

Compares, scenario by scenario, one side of the second run with the same side of the first: latencies, CPU and throughput that both
measured. A figure is worse where all its values are worse than all of before and its median is by more than a tenth; then this ends with 1.
Sample answer:

   scenario                         figure                   before      after   after/before
   synced-16-partitions             publish p99             1,912 us   1,870 us   0.98
   capacity-1k-synced               cpu us per record           1.31       1.72   1.31   WORSE

Runs of two machines, or of a quiet and a busy hour, say nothing about the code: the first lines name both.
"""

import argparse
import json
import pathlib
import statistics
import sys

TENTH = 1.1
FIGURES = {
    "publish p50": lambda result: result["latencies"]["publish"]["p50_us"],
    "publish p99": lambda result: result["latencies"]["publish"]["p99_us"],
    "end to end p99": lambda result: result["latencies"]["end_to_end"]["p99_us"],
    "request p99": lambda result: result["latencies"]["request"]["p99_us"],
    "cpu us per record": lambda result: result["cpu"]["broker_cpu_us_per_record"],
    "seconds per GB": lambda result: 1e3 / result["throughput"]["megabytes_per_second"],
}


def read(folder, side):
    """{(scenario, point): {figure: [values]}} of what counts; smaller is better in all of them."""
    run = json.loads((folder / "run.json").read_text())
    host = run["host"]
    print(f"{folder}: {host['revision']}, {host['processor']}, load before {host['load_before']:.2f}")
    found = {}
    for scenario in run["scenarios"]:
        for one in scenario["measurements"]:
            path = folder / one["folder"] / "result.json"
            if one["void"] or one["side"] != side or not path.exists():
                continue
            result, point = json.loads(path.read_text()), "" if one["point"] is None else f" {one['point']:g}"
            for name, figure in FIGURES.items():
                try:
                    value = figure(result)
                except (TypeError, ZeroDivisionError):  # this command has no such figure
                    continue
                if value is not None:
                    found.setdefault(scenario["name"] + point, {}).setdefault(name, []).append(value)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--side", choices=("ours", "theirs"), default="ours")
    asked = parser.parse_args()
    before, after = read(asked.before, asked.side), read(asked.after, asked.side)
    common = [name for name in before if name in after]
    if not common:
        sys.exit("the two runs have no scenario in common")
    print(f"\n{'scenario':32} {'figure':20} {'before':>12} {'after':>12}   after/before")
    worse = 0
    for name in common:
        for figure in (figure for figure in before[name] if figure in after[name]):
            old, new = before[name][figure], after[name][figure]
            ratio = statistics.median(new) / statistics.median(old)
            is_worse = min(new) > max(old) and ratio > TENTH
            worse += is_worse
            print(f"{name:32} {figure:20} {statistics.median(old):12,.2f} {statistics.median(new):12,.2f}   {ratio:.2f}"
                  f"{'   WORSE' if is_worse else ''}")
    sys.exit(1 if worse else 0)


main()
