#!/usr/bin/env python3
"""Do Kafka's own clients put the two brokers into the same order as ringlog-bench does?

   tests/clients/run ringlog kcat                                 # once: fetches the jars
   perf-scripts/cross_check.py [--results results/today] [--pairs 3]

Starts Ringlog and Apache Kafka on directories of their own and lets kafka-producer-perf-test and kafka-consumer-perf-test (Kafka's own
classes, unchanged) measure both in turn. With --results it reads what `ringlog-bench run` wrote there and says for every row whether the
order is the same. Ends with 1 if one differs. Needs Java, the jars, and target/release/ringlog. Sample answer:

   row                                          Ringlog            Kafka    better     ringlog-bench says
   synced, 1,000/s, p99                          3.0 ms          21.0 ms    Ringlog    Ringlog: agrees
   synced, 64 KiB batches                     178 MB/s          41 MB/s    Ringlog    Ringlog: agrees
   read it again                              310 MB/s         290 MB/s    neither    neither: agrees

A pair counts where every one of its measurements lies on the same side; else neither is better.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "clients"))
import support  # noqa: E402  (the folder has to be on the path first)

PRODUCER = "org.apache.kafka.tools.ProducerPerformance"
CONSUMER = "org.apache.kafka.tools.ConsumerPerformance"
PARTITIONS = 16
RECORDS_AT_A_RATE, RECORDS_AT_ONCE = 10_000, 300_000
SYNCED = {"ringlog": None, "reference": "flush.messages=1"}
UNSYNCED = {"ringlog": "ringlog.durability=relaxed", "reference": None}
# Our scenario for each row, and what of its result.json is compared.
SCENARIOS = {
    "synced, 1,000/s, p99": ("synced-16-partitions", lambda result: result["latencies"]["publish"]["p99_us"]),
    "unsynced, 1,000/s, p99": ("unsynced-16-partitions", lambda result: result["latencies"]["publish"]["p99_us"]),
    "synced, 64 KiB batches": ("capacity-1k-synced", lambda result: result["throughput"]["megabytes_per_second"]),
    "unsynced, 64 KiB batches": ("capacity-1k-unsynced", lambda result: result["throughput"]["megabytes_per_second"]),
    "read it again": ("fetch-tail", lambda result: result["throughput"]["megabytes_per_second"]),
}


def make(broker, topic, config):
    """By our own command, on both: kafka-topics takes no key that Kafka does not know."""
    more = ["--config", config] if config else []
    binary = os.environ.get("RINGLOG_BINARY", ROOT / "target" / "release" / "ringlog")
    support.run([binary, "topic", "create", topic, "--bootstrap-server", broker.bootstrap, "--partitions", PARTITIONS, *more])


def produced(broker, topic, count, rate, *properties):
    """(MB/s, p99 in milliseconds) as kafka-producer-perf-test says it."""
    said = support.java(PRODUCER, "--topic", topic, "--num-records", count, "--record-size", 1024, "--throughput", rate,
                        "--producer-props", f"bootstrap.servers={broker.bootstrap}", "acks=all", *properties, seconds=600).decode()
    last = said.strip().splitlines()[-1]
    found = re.search(r"\(([\d.]+) MB/sec\).*?([\d.]+) ms 99th", last)
    support.expect_that(found, f"kafka-producer-perf-test says: {last}")
    return float(found[1]), float(found[2])


def consumed(broker, topic, count):
    said = support.java(CONSUMER, "--bootstrap-server", broker.bootstrap, "--topic", topic, "--messages", count, "--timeout", 60000,
                        seconds=600).decode()
    names, values = [line.split(", ") for line in said.strip().splitlines()[-2:]]
    return float(values[names.index("fetch.MB.sec")])


def measured(broker, kind, pair):
    """Every row of one broker."""
    rows = {}
    for name, configs in (("synced", SYNCED), ("unsynced", UNSYNCED)):
        topic = f"{name}-{pair}"
        make(broker, topic, configs[kind])
        rows[f"{name}, 1,000/s, p99"] = produced(broker, topic, RECORDS_AT_A_RATE, 1000, "linger.ms=0")[1]
        rows[f"{name}, 64 KiB batches"] = produced(broker, topic, RECORDS_AT_ONCE, -1, "batch.size=65536", "linger.ms=5")[0]
    rows["read it again"] = consumed(broker, topic, RECORDS_AT_ONCE)
    return rows


def better(row, ours, theirs):
    smaller_is_better = row.endswith("p99")
    if max(ours) < min(theirs):
        return "Ringlog" if smaller_is_better else "Kafka"
    if min(ours) > max(theirs):
        return "Kafka" if smaller_is_better else "Ringlog"
    return "neither"


def as_ringlog_bench_says(results, row):
    """Who is better in the comparison that was made before, or why that is not known."""
    name, figure = SCENARIOS[row]
    run = json.loads((results / "run.json").read_text())
    found = {"ours": [], "theirs": []}
    for scenario in run["scenarios"]:
        for one in scenario["measurements"] if scenario["name"] == name else []:
            if not one["void"]:
                found[one["side"]].append(figure(json.loads((results / one["folder"] / "result.json").read_text())))
    return better(row, found["ours"], found["theirs"]) if all(found.values()) else "not measured"


def shown(row, values):
    middle = statistics.median(values)
    return f"{middle:.1f} ms" if row.endswith("p99") else f"{middle:.0f} MB/s"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=3)
    asked = parser.parse_args()
    found = {"ringlog": [], "reference": []}
    with tempfile.TemporaryDirectory(prefix="ringlog-cross-check-") as folder:
        with support.broker("ringlog", f"{folder}/ringlog") as ours, support.broker("reference", f"{folder}/kafka") as theirs:
            ours.start(), theirs.start()
            for pair in range(asked.pairs + 1):
                for kind, broker in (("ringlog", ours), ("reference", theirs)):
                    rows = measured(broker, kind, pair)
                    # The first warms up.
                    found[kind] += [rows] if pair else []
                    print(f"pair {pair} of {asked.pairs}: {kind} done", file=sys.stderr)
    print(f"{'row':36} {'Ringlog':>15} {'Kafka':>16}    {'better':10} ringlog-bench says")
    differ = 0
    for row in SCENARIOS:
        ours, theirs = ([rows[row] for rows in found[kind]] for kind in ("ringlog", "reference"))
        here = better(row, ours, theirs)
        said = "–"
        if asked.results:
            there = as_ringlog_bench_says(asked.results, row)
            # Neither is no order: only the opposite order contradicts.
            opposite = {here, there} == {"Ringlog", "Kafka"}
            differ += opposite
            said = there if there == "not measured" else f"{there}: {'DIFFERS' if opposite else 'agrees'}"
        print(f"{row:36} {shown(row, ours):>15} {shown(row, theirs):>16}    {here:10} {said}")
    sys.exit(1 if differ else 0)


main()
