"""Kafka Streams: its own word count, at least once, over real text, through a restart of the application."""

import collections
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from support import ROOT, Checks, arguments, expect_that, java_command

INPUT, OUTPUT = "streams-plaintext-input", "streams-wordcount-output"
TEXTS = ["LICENSE", "README.md", "docs/architecture-tour.md", "docs/data-paths.md"]


def lines_of(names):
    return [line for name in names for line in (ROOT / name).read_text().splitlines() if line.strip()]


def words_of(lines):
    """As the demo splits them: lower case, at anything but letters, digits and underscores of ASCII."""
    counts = collections.Counter()
    for line in lines:
        # Java's split drops empty words at the end only.
        parts = re.split(r"[^a-zA-Z0-9_]+", line.lower())
        while parts and not parts[-1]:
            parts.pop()
        counts.update(parts)
    return counts


class Demo:
    """The demo that comes with Kafka Streams, as a process."""

    def __init__(self, bootstrap, folder):
        self.config = folder / "streams.properties"
        self.config.write_text(f"bootstrap.servers={bootstrap}\nstate.dir={folder / 'state'}\ncommit.interval.ms=200\n"
                               "statestore.cache.max.bytes=0\nsession.timeout.ms=10000\n")
        self.log = folder / "streams.log"

    def __enter__(self):
        command = java_command("org.apache.kafka.streams.examples.wordcount.WordCountDemo", str(self.config), heap="384m")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        return self

    def __exit__(self, *problem):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def send(bootstrap, lines):
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, acks="all")
    for line in lines:
        producer.send(INPUT, value=line.encode())
    producer.flush(timeout=60)
    producer.close()


def wait_for_counts(reader, latest, wanted, demo, seconds=90):
    deadline = time.monotonic() + seconds
    while latest != wanted:
        if time.monotonic() > deadline or demo.process.poll() is not None:
            differing = {word: (latest.get(word), count) for word, count in wanted.items() if latest.get(word) != count}
            log = demo.log.read_text(errors="replace")[-2000:]
            expect_that(False, f"{len(differing)} of {len(wanted)} words differ, such as {list(differing.items())[:5]}; {log}")
        for records in reader.poll(timeout_ms=500).values():
            for record in records:
                word, count = record.key.decode(), int.from_bytes(record.value, "big")
                latest[word] = count


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("streams")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringlog-streams-"))
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(INPUT, 3, 1), NewTopic(OUTPUT, 3, 1)])
        admin.close()
        reader = KafkaConsumer(OUTPUT, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
        first, second = lines_of(TEXTS[:2]), lines_of(TEXTS[2:])
        latest = {}
        with checks.case("word count of two files"):
            with Demo(bootstrap, folder) as demo:
                send(bootstrap, first)
                wait_for_counts(reader, latest, dict(words_of(first)), demo)
        with checks.case("and of two more after a restart, the counts going on"):
            shutil.rmtree(folder / "state", ignore_errors=True)
            with Demo(bootstrap, folder) as demo:
                send(bootstrap, second)
                wait_for_counts(reader, latest, dict(words_of(first + second)), demo)
        reader.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


main()
