#!/usr/bin/env python3
"""How many instructions does each hot step take, and is that more than it was?

   perf-scripts/instructions.py              compares with bench/instructions.json; ends with 1 if a step takes over 3 % more
   perf-scripts/instructions.py --keep       writes what it found there

Needs valgrind (Debian: valgrind) and the Rust toolchain. Each step runs under callgrind with a count and with twice that count: the
difference, by the count, is what one step takes. Counts repeat on a noisy machine where times do not; they say nothing about waiting, caches
or the kernel. The processor matters a little: code that looks for its features takes another path. Sample answer:

   step                                           now      kept
   decode produce, 1 partition of 1 KiB           781       781
   validate 1 record of 1 KiB                   1,164     1,031   12.9 % MORE
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
KEPT = ROOT / "bench" / "instructions.json"
COUNT = 200
MORE = 1.03


def binary():
    build = ["cargo", "bench", "-q", "-p", "ringlog-bench", "--bench", "instructions", "--no-run", "--message-format=json"]
    said = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = [json.loads(line) for line in said.splitlines()]
    return next(artifact["executable"] for artifact in artifacts
                if artifact.get("executable") and artifact["target"]["name"] == "instructions")


def instructions(program, step, count):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, step, str(count)]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"Collected : (\d+)", said.stdout)
    if said.returncode or not found:
        sys.exit(f"{step}: valgrind ended with {said.returncode}:\n{said.stdout[-2000:]}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("this host lacks valgrind: apt install valgrind")
    program = binary()
    steps = subprocess.run([program, "list"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    print(f"{'step':42} {'now':>9} {'kept':>9}")
    found, worse = {}, 0
    for step in steps:
        found[step] = round((instructions(program, step, 2 * COUNT) - instructions(program, step, COUNT)) / COUNT)
        before = kept.get(step)
        ratio = found[step] / before if before else 1
        worse += ratio > MORE
        remark = f"   {100 * (ratio - 1):.1f} % MORE" if ratio > MORE else ""
        print(f"{step:42} {found[step]:9,} {f'{before:,}' if before else '–':>9}{remark}")
    if asked.keep:
        KEPT.write_text(json.dumps(found, indent=2) + "\n")
        print(f"kept in {KEPT.relative_to(ROOT)}")
    sys.exit(1 if worse and not asked.keep else 0)


main()
