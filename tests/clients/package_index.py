"""Real text: the Debian package index, a record a line, through kill -9.

   package list ──► kcat, every codec, keyed by package and unkeyed ──► 12 partitions ──► kcat ──► the same lines?
               └──► kcat, idempotent, broker killed (kill -9) half way and started again on its directory ──► none lost, none twice
               └──► confluent-kafka with a ledger: what was acknowledged, at which partition and offset ──► there, byte for byte?

Unkeyed records carry their line number, so that order within a partition can be judged although the partitioner chose the
partition. Keyed records are the bare lines: the values of one key lie in one partition and must come back in order.
Starts brokers of its own; afterwards each is stopped in order. Of the one that was killed Kafka's DumpLogSegments reads a partition of
every topic, so every codec.

With --megabytes N only the first N MB of the index are used.
"""

import argparse
import collections
import glob
import pathlib
import subprocess
import tempfile
import threading
import time

from confluent_kafka import Producer

from dump_segments import dump_some
from support import Broker, Checks, Difference, broker, expect, expect_that, run

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# kcat and confluent-kafka are both librdkafka: one of them is enough for a codec.
KCAT_CODECS = ["none", "zstd"]
PARTITIONS = 12
# Long enough for a restart: librdkafka must go on trying.
PATIENT = {"message.timeout.ms": "180000", "retry.backoff.ms": "100", "reconnect.backoff.max.ms": "500"}


def package_index(megabytes):
    """(package, line) for every line of the package lists that apt keeps, up to a size."""
    lists = sorted(glob.glob("/var/lib/apt/lists/*_Packages*"), key=lambda name: -pathlib.Path(name).stat().st_size)
    expect_that(lists, "no package list in /var/lib/apt/lists: run apt-get update (this test needs a Debian or Ubuntu machine)")
    text = b"".join(run(["/usr/lib/apt/apt-helper", "cat-file", name]) for name in lists)
    text = text[: megabytes * 1_000_000]
    records, package = [], b"?"
    for line in text.split(b"\n"):
        if line.startswith(b"Package: "):
            package = line[9:]
        if line:
            records.append((package, line))
    return records


def kcat_command(one, *rest, **settings):
    options = [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]
    return ["kcat", "-b", one.bootstrap, *rest, *options]


def numbered(records):
    return [b"%d\t%s" % (n, line) for n, (_, line) in enumerate(records)]


def read_back(one, topic):
    """{partition: [(offset, key, value)]}, in the order kcat got them."""
    # The separators are bytes that no line of the index holds.
    command = kcat_command(one, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p\x01%o\x01%k\x01%s\x02")
    found = collections.defaultdict(list)
    for record in run(command, seconds=300).split(b"\x02")[:-1]:
        partition, offset, key, value = record.split(b"\x01")
        found[int(partition)].append((int(offset), key, value))
    return found


def expect_dense(found):
    """Every partition's offsets are 0, 1, 2, ... in the order they were read."""
    for partition, records in found.items():
        offsets = [offset for offset, _, _ in records]
        expect_that(offsets == list(range(len(offsets))), f"offsets of partition {partition} are not dense: {first_gap(offsets)}")


def first_gap(offsets):
    return next((f"{offset} at place {n}" for n, offset in enumerate(offsets) if offset != n), "none")


def expect_keyed(found, records):
    """The values of every key: all, in order, none twice, in one partition."""
    sent, got, places = collections.defaultdict(list), collections.defaultdict(list), collections.defaultdict(set)
    for key, line in records:
        sent[key].append(line)
    for partition, some in found.items():
        for _, key, value in some:
            got[key].append(value)
            places[key].add(partition)
    expect(sum(map(len, got.values())), len(records), "records read back")
    for key, lines in sent.items():
        if got[key] != lines:
            raise Difference(f"lines of package {key.decode()}: sent {len(lines)}, got {len(got[key])}; first difference: "
                             f"{next(((a, b) for a, b in zip(lines, got[key]) if a != b), 'in length only')}")
        expect(len(places[key]), 1, f"partitions of package {key.decode()}")
    expect_that(len(found) == PARTITIONS, f"only {len(found)} of {PARTITIONS} partitions were used")


def expect_numbered(found, records):
    """Every line at most and at least once; line numbers grow within each partition."""
    lines, seen = numbered(records), set()
    for partition, some in found.items():
        last = -1
        for offset, _, value in some:
            number = int(value.split(b"\t", 1)[0])
            expect_that(value == lines[number], f"partition {partition} offset {offset} holds {value!r}, sent was {lines[number]!r}")
            expect_that(number > last, f"partition {partition}: line {number} at offset {offset} comes after line {last}")
            seen.add(number)
            last = number
    expect(len(seen), len(lines), "lines read back")


class Feeder(threading.Thread):
    """Writes to a program's input; tells when half of it is gone."""

    def __init__(self, pipe, data):
        super().__init__(daemon=True)
        self.pipe, self.data, self.half, self.problem = pipe, data, threading.Event(), None
        self.start()

    def run(self):
        try:
            middle = len(self.data) // 2
            self.pipe.write(self.data[:middle])
            self.half.set()
            self.pipe.write(self.data[middle:])
            self.pipe.close()
        except OSError as problem:
            self.problem = problem
        finally:
            self.half.set()


def produce_with_kcat(one, topic, data, *rest, at_half=None, **settings):
    """kcat's queue is small: when half of the input is taken, most of that half was acknowledged. -E: it goes on when the
    broker is gone."""
    settings |= PATIENT | {"queue.buffering.max.messages": "20000"}
    command = kcat_command(one, "-E", "-P", "-t", topic, *rest, **settings)
    with tempfile.TemporaryFile() as errors:
        kcat = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
        feeder = Feeder(kcat.stdin, data)
        try:
            if at_half:
                expect_that(feeder.half.wait(300), "half of the input was not taken in 300 s")
                at_half()
            code = kcat.wait(timeout=400)
        finally:
            if kcat.poll() is None:
                kcat.kill()
                kcat.wait()
        feeder.join(timeout=10)
        errors.seek(0)
        words = errors.read()[-2000:].decode(errors="replace")
        expect((code, feeder.problem), (0, None), f"kcat's exit code, and trouble with its input ({words})")
        expect_that("Delivery failed" not in words, f"kcat: {words}")


def kill_and_restart(one):
    one.kill()
    print(f"        killed, and answering again {one.start():.2f} s after the new start", flush=True)


def plain_run(one, records, codec, keyed):
    topic = f"index-{'keyed' if keyed else 'unkeyed'}-{codec}"
    if keyed:
        produce_with_kcat(one, topic, b"\n".join(b"\t".join(pair) for pair in records), "-K", "\t", "-z", codec)
    else:
        produce_with_kcat(one, topic, b"\n".join(numbered(records)), "-z", codec)
    found = read_back(one, topic)
    expect_dense(found)
    (expect_keyed if keyed else expect_numbered)(found, records)


def killed_run(one, records, codec):
    topic, data = f"index-killed-{codec}", b"\n".join(b"\t".join(pair) for pair in records)
    produce_with_kcat(one, topic, data, "-K", "\t", "-z", codec, at_half=lambda: kill_and_restart(one), **{"enable.idempotence": "true"})
    found = read_back(one, topic)
    expect_dense(found)
    expect_keyed(found, records)


def ledger_run(one, records, codec, idempotent):
    """Every acknowledgement is written down as it comes, and all of them are looked up afterwards."""
    topic = f"index-ledger-{codec}-{'idempotent' if idempotent else 'plain'}"
    ledger, problems = {}, []
    # Without idempotence a retry may overtake what follows unless only one request is in flight.
    order = {"enable.idempotence": "true"} if idempotent else {"max.in.flight": "1", "acks": "all"}
    producer = Producer({"bootstrap.servers": one.bootstrap, "compression.type": codec, "log_level": 2, **PATIENT, **order})

    def delivered(error, message, number):
        if error is not None:
            problems.append(f"line {number}: {error}")
        else:
            place = (message.partition(), message.offset())
            expect_that(place not in ledger, f"{place} was acknowledged for lines {ledger.get(place)} and {number}")
            ledger[place] = number

    for number, (key, line) in enumerate(records):
        if number == len(records) // 2:
            wait_for_some(producer, ledger, len(records) // 4)
            kill_and_restart(one)
        while True:
            try:
                producer.produce(topic, value=line, key=key, on_delivery=lambda e, m, n=number: delivered(e, m, n))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    expect(producer.flush(240), 0, "records without an answer after 240 s")
    expect(problems[:3], [], "delivery failures")
    expect(len(ledger), len(records), "acknowledged records")
    judge_ledger(read_back(one, topic), records, ledger, idempotent)


def wait_for_some(producer, ledger, count, seconds=60):
    """Until there is something acknowledged to lose."""
    deadline = time.monotonic() + seconds
    while len(ledger) < count:
        expect_that(time.monotonic() < deadline, f"{len(ledger)} records, not {count}, were acknowledged in {seconds} s")
        producer.poll(0.1)


def judge_ledger(found, records, ledger, idempotent):
    expect_dense(found)
    held = {(p, offset): (key, value) for p, some in found.items() for offset, key, value in some}
    for place, number in ledger.items():
        expect_that(held.get(place) == records[number],
                    f"partition and offset {place}: acknowledged was {records[number]}, there is {held.get(place)}")
    if idempotent:
        expect(len(held), len(ledger), "records in the log (more than acknowledged: some are there twice)")
    for partition in found:
        numbers = [ledger[place] for place in sorted(place for place in ledger if place[0] == partition)]
        expect_that(numbers == sorted(numbers), f"partition {partition}: acknowledged lines are out of order")


def index_runs(checks, kind, folder, records):
    with broker(kind, folder) as one:
        one.start()
        for codec in CODECS:
            for keyed in (True, False) if codec in KCAT_CODECS else (False,):
                with checks.case(f"the package index, {'keyed' if keyed else 'unkeyed'}, with {codec}"):
                    plain_run(one, records, codec, keyed)
        with checks.case("SIGTERM ends the broker in order"):
            one.stop()


def kill_runs(checks, kind, folder, records):
    with broker(kind, folder) as one:
        one.start()
        for codec in CODECS:
            if codec in KCAT_CODECS:
                with checks.case(f"kcat, idempotent, {codec}: killed half way, nothing lost, nothing twice"):
                    killed_run(alive(one), records, codec)
            else:
                with checks.case(f"ledger, idempotent, {codec}: killed half way, everything acknowledged is in its place"):
                    ledger_run(alive(one), records, codec, idempotent=True)
        with checks.case("ledger, not idempotent, none: killed half way, everything acknowledged is in its place"):
            ledger_run(alive(one), records, "none", idempotent=False)
        with checks.case("SIGTERM ends the broker in order"):
            alive(one).stop()
        with checks.case("DumpLogSegments reads segments and indexes of every topic"):
            dump_some(one.data)


def alive(one: Broker):
    """A broker that a failed case left dead must not fail the next."""
    if one.process is None or one.process.poll() is not None:
        one.process = None
        one.start()
    return one


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ringlog", "reference"], default="ringlog")
    parser.add_argument("--folder", required=True, help="an empty place for data, removed afterwards")
    parser.add_argument("--megabytes", type=int, default=1000)
    options = parser.parse_args()
    checks, records = Checks("package-index"), package_index(options.megabytes)
    print(f"        {len(records)} lines, {sum(len(line) for _, line in records) / 1e6:.0f} MB, {len({k for k, _ in records})} packages", flush=True)
    index_runs(checks, options.kind, pathlib.Path(options.folder) / "plain", records)
    kill_runs(checks, options.kind, pathlib.Path(options.folder) / "killed", records)
    checks.finish()


if __name__ == "__main__":
    main()
