"""kill -9 under load, again and again, while three clients write down what was acknowledged.

    tests/clients/run ringlog kills                         twenty-five times; RINGLOG_KILLS=1000 for a thousand

   kafka-python, librdkafka (both idempotent), Kafka's VerifiableProducer ──► broker ──► ledgers: number, partition, offset
                                                                               └─ killed at a random moment, started again

Every record has a number and content of its own, most are small, some are large enough to be written beside the journal. Nobody helps
the clients to find the broker again. After the last kill they come to their end and everything is read: what was acknowledged is at its
offset, byte for byte and in order, nothing is there that was never sent, and what an idempotent producer sent is there once. Then Kafka's
DumpLogSegments reads some of the segments.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer

from dump_segments import dump_some
from package_index import read_back
from support import HERE, Checks, broker, expect, expect_that, java_command

PARTITIONS = 6
RECORDS_PER_SECOND = 400
LARGE_EVERY, LARGE_BYTES = 500, 300_000
# Longer than any number of restarts takes: clients must go on trying.
PATIENCE_MS = 3_600_000
PYTHON_CLIENTS = ["kafka-python", "confluent-kafka"]
JAVA_CLIENT = "java"


def content(number):
    """What a record holds: its number, and bytes that no other record has."""
    chance = random.Random(number)
    length = LARGE_BYTES if number % LARGE_EVERY == LARGE_EVERY - 1 else chance.randrange(800)
    # read_back separates records by bytes below 16.
    return b"%d " % number + chance.randbytes(length // 2).hex().encode()


class Writer:
    """One client in a process of its own, and the file it writes down acknowledgements in."""

    def __init__(self, one, client):
        self.client, self.topic, self.ledger = client, f"kills-{client}", one.folder / f"{client}.ledger"
        command = [sys.executable, HERE / "with_kills.py", "--write", client, "--bootstrap", one.bootstrap, "--folder", self.ledger]
        if client == JAVA_CLIENT:
            settings = one.folder / "java.properties"
            settings.write_text(f"retries=2147483647\ndelivery.timeout.ms={PATIENCE_MS}\nenable.idempotence=true\n"
                                "reconnect.backoff.max.ms=200\nlinger.ms=5\n")
            command = java_command("org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", one.bootstrap, "--topic", self.topic,
                                   "--throughput", RECORDS_PER_SECOND, "--acks", -1, "--command-config", settings)
        words = open(self.ledger.with_suffix(".words"), "wb")
        output = open(self.ledger, "wb") if client == JAVA_CLIENT else subprocess.DEVNULL
        self.process = subprocess.Popen([str(part) for part in command], stdout=output, stderr=words, cwd=HERE)

    def finish(self):
        """Has it send what it has, and end."""
        self.process.terminate()
        code = self.process.wait(timeout=120)
        expect_that(code in (0, 143), f"{self.client} ended with {code}: {self.ledger.with_suffix('.words').read_bytes()[-1500:]}")

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def acknowledged(self):
        """{(partition, offset): number}"""
        found = {}
        for line in self.ledger.read_text().splitlines():
            if self.client == JAVA_CLIENT:
                event = json.loads(line) if line.startswith("{") else {}
                if event.get("name") == "producer_send_error":
                    raise AssertionError(f"{self.client}: {line}")
                if event.get("name") != "producer_send_success":
                    continue
                number, place = int(event["value"]), (event["partition"], event["offset"])
            else:
                number, *place = map(int, line.split())
                place = tuple(place)
            expect_that(place not in found, f"{self.client}: {place} was acknowledged for {found.get(place)} and for {number}")
            found[place] = number
        return found

    def content(self, number):
        return b"%d" % number if self.client == JAVA_CLIENT else content(number)


def write(client, bootstrap, ledger):
    """Sends numbered records until told to end; a line for every acknowledgement."""
    import signal
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    topic, problems, lines = f"kills-{client}", [], open(ledger, "w", encoding="ascii")

    def acknowledged(number, partition, offset):
        lines.write(f"{number} {partition} {offset}\n")

    send, poll, flush = (send_with_kafka_python if client == "kafka-python" else send_with_librdkafka)(bootstrap, topic, acknowledged, problems)
    number, started = 0, time.monotonic()
    while not stopped and not problems:
        while number < (time.monotonic() - started) * RECORDS_PER_SECOND and not stopped:
            send(number, content(number))
            number += 1
        poll(0.01)
    flush(100)
    lines.close()
    sys.exit(f"{client}: {problems[0]}" if problems else 0)


def send_with_kafka_python(bootstrap, topic, acknowledged, problems):
    producer = KafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", linger_ms=5, delivery_timeout_ms=PATIENCE_MS,
                             max_block_ms=PATIENCE_MS, reconnect_backoff_max_ms=200, compression_type="lz4")

    def send(number, value):
        future = producer.send(topic, value=value)
        future.add_callback(lambda told: acknowledged(number, told.partition, told.offset))
        future.add_errback(problems.append)

    return send, time.sleep, lambda seconds: producer.flush(timeout=seconds)


def send_with_librdkafka(bootstrap, topic, acknowledged, problems):
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5, "message.timeout.ms": PATIENCE_MS,
                         "retry.backoff.ms": 50, "reconnect.backoff.max.ms": 200, "log_level": 2, "compression.type": "zstd"})

    def delivered(error, message, number):
        if error is not None:
            problems.append(error)
        else:
            acknowledged(number, message.partition(), message.offset())

    def send(number, value):
        while True:
            try:
                return producer.produce(topic, value=value, on_delivery=lambda error, message: delivered(error, message, number))
            except BufferError:
                producer.poll(0.1)

    return send, producer.poll, lambda seconds: expect(producer.flush(seconds), 0, "records without an answer")


def numbers_in(found, content_of):
    """{partition: [(offset, number)]}: every record is one that was sent, whole."""
    numbers = {}
    for partition, records in found.items():
        numbers[partition] = []
        for offset, _, value in records:
            number = int(value.split(b" ", 1)[0])
            expect_that(value == content_of(number), f"partition {partition} offset {offset} holds {value[:100]!r}..., {len(value)} bytes")
            numbers[partition].append((offset, number))
    return numbers


def judge(numbers, ledger):
    """What an idempotent producer was told is there, in order, and nothing is there twice."""
    seen = set()
    for partition, records in numbers.items():
        expect([offset for offset, _ in records], list(range(len(records))), f"offsets of partition {partition}")
        here = [number for _, number in records]
        expect_that(here == sorted(here), f"partition {partition}: records are out of order")
        expect_that(not seen & set(here) and len(set(here)) == len(here), f"partition {partition}: records are there twice")
        seen |= set(here)
    held = {(partition, offset): number for partition, records in numbers.items() for offset, number in records}
    for place, number in ledger.items():
        expect_that(held.get(place) == number, f"partition and offset {place}: acknowledged was {number}, there is {held.get(place)}")


def kill_again_and_again(one, writers, kills):
    chance, start_seconds = random.Random(), []
    for _ in range(kills):
        time.sleep(chance.choice([chance.uniform(0, 0.1), chance.uniform(0, 1.5)]))
        one.kill()
        start_seconds.append(one.start())
        for writer in writers:
            expect(writer.process.poll(), None, f"exit code of {writer.client} while the broker was killed")
    print(f"        killed {kills} times; first answers after {min(start_seconds):.2f} to {max(start_seconds):.2f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ringlog", "reference"], default="ringlog")
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="an empty place for data, removed afterwards")
    parser.add_argument("--kills", type=int, default=int(os.environ.get("RINGLOG_KILLS", 25)))
    parser.add_argument("--write", choices=PYTHON_CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--bootstrap", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write, options.bootstrap, options.folder)
    checks, writers = Checks("kills"), []
    with broker(options.kind, options.folder) as one:
        try:
            with checks.case(f"{options.kills} times kill -9 under load: the broker answers again each time, clients go on without help"):
                one.start()
                topics = [NewTopic(f"kills-{client}", PARTITIONS, 1, config={"segment.bytes": "1048576"})
                          for client in [*PYTHON_CLIENTS, JAVA_CLIENT]]
                admin = AdminClient({"bootstrap.servers": one.bootstrap, "log_level": 2})
                for future in admin.create_topics(topics).values():
                    future.result(30)
                writers += [Writer(one, client) for client in [*PYTHON_CLIENTS, JAVA_CLIENT]]
                kill_again_and_again(one, writers, options.kills)
            for writer in writers:
                with checks.case(f"{writer.client}: everything acknowledged is in its place, in order and once"):
                    writer.finish()
                    ledger = writer.acknowledged()
                    expect_that(len(ledger) > 20 * options.kills, f"only {len(ledger)} records were acknowledged")
                    numbers = numbers_in(read_back(one, writer.topic), writer.content)
                    judge(numbers, ledger)
                    print(f"        {len(ledger)} acknowledged, {sum(map(len, numbers.values()))} there", flush=True)
            with checks.case("SIGTERM ends the broker in order"):
                one.stop()
            with checks.case("DumpLogSegments reads segments of every topic"):
                dump_some(one.data)
        finally:
            for writer in writers:
                writer.end()
            if checks.failed:
                print(f"the broker's last words:\n{one.log_tail()}", flush=True)
    checks.finish()


if __name__ == "__main__":
    main()
