"""Runs every client script against one broker each, and says what passed. Called by `run`, which installs what is needed.

   run                       Ringlog's release binary
   run reference             Apache Kafka itself: are the scripts right?
   run ringlog kcat java     only these
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from dump_segments import dump_all, expect_damage_is_seen
from support import HERE, Checks, broker

SMALL = {"kcat": "with_kcat.py", "kafka-python": "with_kafka_python.py", "confluent-kafka": "with_confluent.py", "java": "with_java.py",
         "groups": "with_groups.py", "streams": "with_streams.py", "connect": "with_connect.py", "ringlog-commands": "with_ringlog.py",
         "java-tools": "with_java_tools.py"}
PACKAGE_INDEX = "package-index"
# On small disks of their own, with Ringlog's own answers: there is no reference for it.
DISKS = {"full-disk": "with_full_disk.py", "directories": "with_directories.py"}
# Scripts with a broker of their own, which they kill or which must not be in others' way.
BROKERS_OF_THEIR_OWN = {"group-storm": "with_group_storm.py", "crash-commits": "with_crash_commits.py", "kills": "with_kills.py"}
# Brokers of their own, Kafka's and Ringlog's, one after the other.
MOVES = {"import": "with_import.py"}
# Suites of other projects; those of the second list need Go or Rust and are run when asked for by name.
OTHERS, OTHERS_BY_NAME = ["kafka-python-suite"], ["franz-go-suite", "rdkafka-suite"]


def run_script(*command):
    """Runs one script, passing its words on; returns its counts. A script that dies counts as a failure of its own."""
    passed = failed = 0
    with subprocess.Popen([sys.executable, *map(str, command)], stdout=subprocess.PIPE, text=True, cwd=HERE) as script:
        for line in script.stdout:
            print(line, end="", flush=True)
            if closing := re.fullmatch(r"\S+: (\d+) passed, (\d+) failed\n", line):
                passed, failed = int(closing[1]), int(closing[2])
    if script.returncode != 0 and failed == 0 or passed + failed == 0:
        print(f"FAILED  {command[0]} ended with {script.returncode} and without counts", flush=True)
        failed += 1
    return passed, failed


def small_scripts(kind, folder, names):
    """The small scripts one after the other on one broker, then its end in order, then what it left on disk."""
    totals, checks = [], Checks("broker")
    with broker(kind, folder) as one:
        with checks.case("start"):
            print(f"        first answer after {one.start():.3f} s", flush=True)
        if checks.failed == 0:
            totals = [run_script(HERE / SMALL[name], "--bootstrap", one.bootstrap) for name in names]
            with checks.case("SIGTERM ends it in order"):
                one.stop()
            with checks.case("DumpLogSegments reads every segment and index that is left"):
                dump_all(one.data)
            with checks.case("DumpLogSegments sees a changed byte"):
                expect_damage_is_seen(one.data)
        if checks.failed or any(failed for _, failed in totals):
            print(f"the broker's last words:\n{one.log_tail()}", flush=True)
    return totals + [(checks.passed, checks.failed)]


def main():
    kind, *names = sys.argv[1:] or ["ringlog"]
    names = names or [*SMALL, *BROKERS_OF_THEIR_OWN, *([*DISKS, *MOVES] if kind == "ringlog" else []), PACKAGE_INDEX, *OTHERS]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringlog-clients-"))
    totals, started = [], time.monotonic()
    try:
        if small := [name for name in names if name in SMALL]:
            totals += small_scripts(kind, folder / "small", small)
        if others := [name.removesuffix("-suite") for name in names if name in OTHERS + OTHERS_BY_NAME]:
            totals.append(run_script(HERE / "others.py", "--kind", kind, "--folder", folder / "others", *others))
        for name in names:
            if name in DISKS:
                totals.append(run_script(HERE / DISKS[name]))
            if name in MOVES:
                totals.append(run_script(HERE / MOVES[name], "--folder", folder / name))
            if name in BROKERS_OF_THEIR_OWN:
                totals.append(run_script(HERE / BROKERS_OF_THEIR_OWN[name], "--kind", kind, "--folder", folder / name))
        if PACKAGE_INDEX in names:
            limit = ["--megabytes", megabytes] if (megabytes := os.environ.get("RINGLOG_INDEX_MEGABYTES")) else []
            totals.append(run_script(HERE / "judges.py"))
            totals.append(run_script(HERE / "package_index.py", "--kind", kind, "--folder", folder / "index", *limit))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    passed, failed = (sum(column) for column in zip(*totals))
    print(f"clients against {kind}, {time.monotonic() - started:.0f} s:\n{passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


main()
