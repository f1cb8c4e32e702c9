"""Moving from Kafka: a real Kafka broker is filled and stopped, its directory imported, and Ringlog started in its place, on its port.

   Kafka: topics of every kind ── what kcat and the admin client see ──┐
     stop ── ringlog import ── start Ringlog ── the same ──────────────┴─ compared record for record
                                             └─ clients that were connected to Kafka go on

RINGLOG_IMPORT_RECORDS=1000000 fills the largest topic with so many records (6000 without it).
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic,
                                   OffsetSpec)
from confluent_kafka import ConsumerGroupTopicPartitions, TopicCollection

from support import AN_HOUR_AGO_MS, ROOT, Broker, Checks, expect, expect_that, run

RECORDS = int(os.environ.get("RINGLOG_IMPORT_RECORDS", "6000"))
CODECS = ["lz4", "zstd", "gzip", "snappy"]
GROUPS = ["group-a", "group-b", "group-c"]
COMPACTION_SECONDS_MAX = 15
KAFKA = ["offsets.topic.num.partitions=5", "transaction.state.log.num.partitions=2", "group.initial.rebalance.delay.ms=0",
         # A snapshot of the metadata with a log behind it, and a cleaner that does not sleep long.
         "metadata.log.max.record.bytes.between.snapshots=1500", "log.cleaner.backoff.ms=100", "log.initial.task.delay.ms=100"]


def ringlog(*words):
    """A command: its exit code, its standard output and its complaint."""
    binary = os.environ.get("RINGLOG_BINARY") or str(ROOT / "target/release/ringlog")
    done = subprocess.run([binary, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def each(futures):
    return {key: future.result() for key, future in futures.items()}


class Seen:
    """What clients see of a broker."""

    def __init__(self, one):
        self.bootstrap = one.bootstrap
        self.admin = AdminClient({"bootstrap.servers": one.bootstrap})
        metadata = self.admin.list_topics(timeout=30)
        self.cluster_id = metadata.cluster_id
        self.partitions = {name: sorted(topic.partitions) for name, topic in metadata.topics.items() if not name.startswith("__")}

    def topic_ids(self):
        described = each(self.admin.describe_topics(TopicCollection(list(self.partitions))))
        return {name: str(topic.topic_id) for name, topic in described.items()}

    def configs(self):
        """What was set of each topic and of the broker, and nothing else."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in self.partitions]
        # 1: set for this topic; 2: for this broker, while it ran.
        return {name: {key: entry.value for key, entry in self.described(resource).items() if entry.source in (1, 2)}
                for name, resource in [("broker", ConfigResource(ConfigResource.Type.BROKER, "1")),
                                       *((resource.name, resource) for resource in resources)]}

    def described(self, resource):
        return each(self.admin.describe_configs([resource]))[resource]

    def offsets(self, spec):
        asked = {TopicPartition(name, index): spec for name, indexes in self.partitions.items() for index in indexes}
        found = each(self.admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED))
        return {(place.topic, place.partition): result.offset for place, result in found.items()}

    def committed(self):
        found = {}
        for group in GROUPS:
            result = self.admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result()
            found[group] = sorted((place.topic, place.partition, place.offset, place.metadata) for place in result.topic_partitions)
        return found

    def records(self, topic):
        """Every record of a topic with key, value, headers, offset and timestamp, as kcat prints them."""
        read = run(["kcat", "-C", "-q", "-J", "-e", "-b", self.bootstrap, "-t", topic, "-o", "beginning",
                    "-X", "check.crcs=true", "-X", "fetch.wait.max.ms=20"])
        place = re.compile(rb'"partition":(\d+),"offset":(\d+)')
        return sorted(read.splitlines(), key=lambda line: tuple(map(int, place.search(line).groups())))

    def all_records(self):
        return {topic: self.records(topic) for topic in self.partitions}


def make_topics(admin):
    small = {"segment.bytes": "1048576"}
    compacted = {"cleanup.policy": "compact", "segment.ms": "400", "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "100"}
    new = [NewTopic("orders", 3, 1, config={"retention.ms": "-1", **small}), NewTopic("cut", 1, 1, config=small),
           NewTopic("empty", 2, 1), NewTopic("emptied", 1, 1), NewTopic("gone", 1, 1), NewTopic("transactions", 1, 1),
           NewTopic("compacted", 1, 1, config=compacted), *(NewTopic(f"codec.{codec}", 2, 1) for codec in CODECS)]
    each(admin.create_topics(new))
    each(admin.delete_topics(["gone"]))
    each(admin.create_partitions([NewPartitions("empty", 3)]))
    set_to = AlterConfigOpType.SET
    changes = [(ConfigResource.Type.TOPIC, "codec.lz4", "max.message.bytes", "2000000"),
               (ConfigResource.Type.BROKER, "1", "log.retention.ms", "700000001")]
    each(admin.incremental_alter_configs([
        ConfigResource(kind, name, incremental_configs=[ConfigEntry(key, value, incremental_operation=set_to)])
        for kind, name, key, value in changes]))


def fill(one, admin, producer):
    for number in range(RECORDS):
        producer.produce("orders", key=b"k%d" % (number % 50), value=b"v%d-" % number + b"x" * 500, timestamp=AN_HOUR_AGO_MS + number,
                         headers=[("number", b"%d" % number), ("none", None)])
        if number % 500 == 0:
            producer.poll(0)
    for number in range(4000):
        producer.produce("cut", value=b"%d-" % number + b"y" * 800)
    for number in range(20):
        producer.produce("emptied", value=b"%d" % number)
    expect(producer.flush(60), 0, "records that were not sent")
    for codec in CODECS:
        other = Producer({"bootstrap.servers": one.bootstrap, "compression.type": codec, "linger.ms": 20})
        for number in range(500):
            other.produce(f"codec.{codec}", key=b"%d" % number, value=b"value %d " % number * 10)
        expect(other.flush(60), 0, "records that were not sent")
    transactions(one)
    each(admin.delete_records([TopicPartition("cut", 0, 2500), TopicPartition("emptied", 0, 20)]))
    for number, group in enumerate(GROUPS):
        consumer = Consumer({"bootstrap.servers": one.bootstrap, "group.id": group, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition("orders", index, 100 * number + index) for index in range(3)], asynchronous=False)
        consumer.close()
    compact(one, producer)


def transactions(one):
    """Committed, rolled back, committed; the offsets of a group in a transaction each."""
    producer = Producer({"bootstrap.servers": one.bootstrap, "transactional.id": "mover"})
    consumer = Consumer({"bootstrap.servers": one.bootstrap, "group.id": GROUPS[0]})
    producer.init_transactions(60)
    for number, is_kept in enumerate([True, False, True]):
        producer.begin_transaction()
        for index in range(10):
            producer.produce("transactions", value=b"%s %d" % (b"kept" if is_kept else b"rolled back", index))
        offsets = [TopicPartition("transactions", 0, 10 * number + 1 if is_kept else 999)]
        producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), 60)
        producer.flush(60)
        producer.commit_transaction(60) if is_kept else producer.abort_transaction(60)
    consumer.close()


def compact(one, producer):
    """Gaps: waits until the cleaner has been at work."""
    segment = one.data / "compacted-0/00000000000000000000.log"
    started = time.monotonic()
    for number in range(10_000):
        producer.produce("compacted", key=b"k%d" % (number % 7), value=b"%d" % number)
        if number % 100 == 99:
            producer.flush(60)
            time.sleep(0.25)
            if number > 300 and segment.stat().st_size < 600:
                return
        expect_that(time.monotonic() - started < COMPACTION_SECONDS_MAX, "Kafka did not compact")


def in_place_of(kafka, folder, data):
    """A Ringlog broker on Kafka's port."""
    one = Broker("ringlog", folder)
    one.port, one.data = kafka.port, data
    one.config.write_text(one._properties())
    return one


def import_kinds(kafka, folder, checks):
    """Imports the directory as a copy and with links; returns the copy."""
    source, copied, linked = kafka.data, folder / "copied", folder / "linked"
    with checks.case("a dry run tells the same and writes nothing"):
        code, said, problem = ringlog("import", "--from", source, "--data-dir", copied, "--dry-run", "--json")
        expect((code, problem, copied.exists()), (0, "", False), "exit code, complaint, directory")
        would = [json.loads(line) for line in said.splitlines()]
    with checks.case("the import"):
        started = time.monotonic()
        code, said, problem = ringlog("import", "--from", source, "--data-dir", copied, "--json")
        took = time.monotonic() - started
        expect((code, problem), (0, ""), "exit code and complaint")
        lines = [json.loads(line) for line in said.splitlines()]
        topics = lambda found: sorted(line["topic"] for line in found if line["type"] == "topic")
        expect(topics(lines), topics(would), "topics imported, and those announced")
        summary = lines[-1]
        print(f"        {summary['bytes']} bytes in {summary['segments']} segments in {took:.2f} s", flush=True)
        told = " ".join(line["about"] for line in lines if line["type"] == "notice")
        for name in ["__transaction_state", "transactions-0", "gone-0."]:
            expect_that(name in told, f"nothing is told of {name}: {told}")
    with checks.case("an import with links"):
        code, said, problem = ringlog("import", "--from", source, "--data-dir", linked, "--link", "--json")
        expect((code, problem), (0, ""), "exit code and complaint")
        expect_that(json.loads(said.splitlines()[-1])["linked_bytes"] > 1_000_000, f"linked: {said}")
        same = [path for path in linked.glob("orders-*/*.log") if path.stat().st_size
                and path.stat().st_ino == (source / path.parent.name / path.name).stat().st_ino]
        last = [sorted(path for path in directory.glob("*.log") if path.stat().st_size)[-1] for directory in linked.glob("orders-*")]
        expect_that(same and not set(same) & set(last), f"linked: {same}, last segments: {last}")
    for one in (copied, linked):
        with checks.case(f"verify finds {one.name} whole, and it is not imported into again"):
            code, said, _ = ringlog("verify", one)
            expect((code, "notice" in said), (0, False), f"exit code, notices: {said}")
            code, _, problem = ringlog("import", "--from", source, "--data-dir", one)
            expect((code, "is not empty" in problem), (1, True), f"exit code, complaint: {problem}")
    return copied


def goes_on(one, producer, seen, checks):
    """Clients that were connected to Kafka, and new ones."""
    ends = seen.offsets(OffsetSpec.latest())
    with checks.case("an idempotent producer goes on with its id and its sequence"):
        delivered = []
        for index in range(3):
            producer.produce("orders", partition=index, value=b"after the move", on_delivery=lambda *told: delivered.append(told))
        expect(producer.flush(60), 0, "records that were not sent")
        expect([str(error) for error, _ in delivered if error], [], "errors")
        offsets = {message.partition(): message.offset() for _, message in delivered}
        expect(offsets, {index: ends["orders", index] for index in range(3)}, "offsets")
    with checks.case("a group reads on from where it was"):
        consumer = Consumer({"bootstrap.servers": one.bootstrap, "group.id": GROUPS[1], "auto.offset.reset": "error"})
        consumer.subscribe(["orders"])
        first, deadline = {}, time.monotonic() + 60
        while len(first) < 3 and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                first.setdefault(message.partition(), message.offset())
        consumer.close()
        expect(first, {index: 100 + index for index in range(3)}, "first offsets read")


def move(folder, checks):
    kafka = Broker("reference", folder / "kafka", KAFKA)
    moved = None
    try:
        with checks.case("Kafka is filled"):
            kafka.start()
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
            make_topics(admin)
            fill(kafka, admin, producer)
            before = Seen(kafka)
            records, configs, ids, committed = before.all_records(), before.configs(), before.topic_ids(), before.committed()
            starts, ends = before.offsets(OffsetSpec.earliest()), before.offsets(OffsetSpec.latest())
        with checks.case("a running Kafka is refused"):
            code, _, problem = ringlog("import", "--from", kafka.data, "--data-dir", folder / "never")
            expect((code, "a Kafka broker runs on" in problem), (1, True), f"exit code, complaint: {problem}")
        with checks.case("Kafka stops"):
            kafka.stop()
        moved = in_place_of(kafka, folder / "ringlog", import_kinds(kafka, folder, checks))
        with checks.case("Ringlog starts in its place"):
            print(f"        first answer after {moved.start():.3f} s", flush=True)
        after = Seen(moved)
        for what, expected, found in [("the cluster's id", before.cluster_id, after.cluster_id),
                                      ("topics and partitions", before.partitions, after.partitions),
                                      ("topic ids", ids, after.topic_ids()), ("configurations", configs, after.configs()),
                                      ("committed offsets", committed, after.committed()),
                                      ("first offsets", starts, after.offsets(OffsetSpec.earliest())),
                                      ("end offsets", ends, after.offsets(OffsetSpec.latest()))]:
            with checks.case(f"{what}: the same"):
                expect(found, expected, what)
        with checks.case("every record is the same"):
            compare(after.all_records(), records)
        goes_on(moved, producer, after, checks)
        with checks.case("after kill -9 all of it is there, and what was written since"):
            moved.kill()
            moved.start()
            again = Seen(moved)
            found = again.all_records()
            orders = [line for line in found["orders"] if b"after the move" in line]
            expect(len(orders), 3, "records written since")
            found["orders"] = [line for line in found["orders"] if line not in orders]
            compare(found, records)
        with checks.case("Ringlog stops in order"):
            moved.stop()
    finally:
        kafka.end()
        if moved is not None:
            moved.end()


def compare(found, expected):
    expect(sorted(found), sorted(expected), "topics")
    for topic, lines in expected.items():
        expect(len(found[topic]), len(lines), f"records of {topic}")
        for one, other in zip(found[topic], lines):
            expect(one, other, f"a record of {topic}")
    expect_that(len(expected["orders"]) == RECORDS and len(expected["transactions"]) == 20, "Kafka was not filled")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="made, and removed afterwards")
    folder = parser.parse_args().folder
    checks = Checks("import")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        move(folder, checks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


if __name__ == "__main__":
    main()
