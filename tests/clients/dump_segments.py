"""What Kafka's own DumpLogSegments says of the segments and indexes a stopped broker left.

   dump_segments.py DATA-DIR
"""

import pathlib
import re
import subprocess
import sys

from support import Difference, expect, expect_that, java_command

# What the tool of Kafka 4.3.1 can say when something is wrong; it ends with 0 all the same.
TROUBLE = re.compile("|".join([
    "isvalid: false", "Mismatches in", "Found timestamp mismatch", "Found out of order timestamp",
    # Of every segment but a log's first it says that -1 is followed by its first offset: that is no gap.
    r"^ +\d+ is followed by",
    "indexed offsets are not found", "invalid bytes at the end", "Error at", "Failed to", "Ignoring unknown", "Exception"]))
# In the first batch, behind the length and the checksum: covered by the checksum.
COVERED_POSITION = 40


def dump(files):
    """Runs the tool over files; returns {file name: batches seen} and raises at the first trouble it tells."""
    command = java_command("org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", ",".join(map(str, files)))
    batches, current = {}, None
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as tool:
        for line in tool.stdout:
            if line.startswith("Dumping "):
                current = line.split(maxsplit=1)[1].strip()
                batches[current] = 0
            elif TROUBLE.search(line):
                tool.kill()
                raise Difference(f"{current}: {line.strip()}")
            elif line.startswith("baseOffset:"):
                batches[current] += 1
    expect(tool.returncode, 0, "exit code of DumpLogSegments")
    return batches


def dump_all(data):
    """Every .log, .index and .timeindex of every partition."""
    dump_partitions(data, partitions_in(data))


def dump_some(data):
    """Those of one partition of each topic: the one that holds most. Where topics differ in their codec, every codec is among them."""
    fullest = {}
    for folder in partitions_in(data):
        topic, size = folder.name.rsplit("-", 1)[0], sum(file.stat().st_size for file in folder.glob("*.log"))
        fullest[topic] = max(fullest.get(topic, (-1, folder)), (size, folder))
    dump_partitions(data, [folder for _, folder in fullest.values()])


def partitions_in(data):
    return [folder for folder in pathlib.Path(data).iterdir() if folder.is_dir() and re.search(r"-\d+$", folder.name)]


def dump_partitions(data, partitions):
    files = sorted(file for folder in partitions for file in folder.iterdir()
                   if file.suffix in (".log", ".index", ".timeindex") and not folder.name.startswith("__"))
    logs = [file for file in files if file.suffix == ".log"]
    expect_that(logs, f"no segment in {data}")
    seen = {}
    for start in range(0, len(files), 200):
        seen |= dump(files[start:start + 200])
    for file in logs:
        expect_that(str(file) in seen, f"{file} was not dumped")
        expect_that((seen[str(file)] > 0) == (file.stat().st_size > 0), f"{file}: {file.stat().st_size} bytes, {seen[str(file)]} batches")
    print(f"        {len(logs)} segments with {sum(seen.values())} batches, {len(files) - len(logs)} indexes", flush=True)


def expect_damage_is_seen(data):
    """Changes one byte of a segment, then a batch's offset: the tool must tell, or its silence elsewhere means nothing."""
    segment = max(pathlib.Path(data).glob("*-*/*.log"), key=lambda file: file.stat().st_size)
    whole = segment.read_bytes()
    for position in (COVERED_POSITION, 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        segment.write_bytes(damaged)
        try:
            dump([segment])
        except Difference:
            continue
        raise Difference(f"DumpLogSegments did not notice a changed byte at {position} in {segment}")


if __name__ == "__main__":
    dump_all(sys.argv[1])
