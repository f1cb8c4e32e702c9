"""Two data directories on two disks, one of which is lost: a broker of its own on a plain directory and on a small ext4 file system in a loop
device, which needs root.

   run ringlog directories                a few seconds

The second disk becomes read-only under the broker, then it is not mounted at a start, then it is back. Partitions on the other disk are
served all the time; those on the lost one are offline, never empty; in the end everything acknowledged is there.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from kafka import KafkaProducer

from support import Checks, expect, expect_that, java_command
from with_full_disk import SmallBroker, small_disk

TOPIC, PARTITIONS, RECORDS = "spread", 4, 50
# The first directory has the fewest partitions when the first one is made, then the second, and so on.
ON_FIRST, ON_SECOND = [0, 2], [1, 3]
LEADER_NOT_AVAILABLE, KAFKA_STORAGE_ERROR = KafkaError.LEADER_NOT_AVAILABLE, 56


class BrokerOnTwoDisks(SmallBroker):
    def __init__(self, folder, disk):
        super().__init__(folder, disk)
        self.directories = [folder / "first", disk.mount / "second"]
        self.data = ",".join(map(str, self.directories))
        self.config.write_text(self._properties())

    def leaders(self):
        partitions = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(TOPIC, timeout=10).topics[TOPIC].partitions
        return {number: (partition.leader, partition.error and partition.error.code()) for number, partition in partitions.items()}


def produce(one, partitions, round_number):
    """Records to each of these partitions; all must be acknowledged. Returns their places."""
    places = {}

    def delivered(error, message):
        if error is not None:
            raise KafkaException(error)
        places[message.partition(), message.offset()] = message.value()

    producer = Producer({"bootstrap.servers": one.bootstrap, "linger.ms": 2, "log_level": 0})
    for partition in partitions:
        for number in range(RECORDS):
            producer.produce(TOPIC, f"{round_number} {partition} {number}", partition=partition, on_delivery=delivered)
    expect(producer.flush(20), 0, "records without an answer")
    return places


def read(one, partitions):
    found, ended = {}, set()
    consumer = Consumer({"bootstrap.servers": one.bootstrap, "group.id": "reader", "enable.partition.eof": True, "check.crcs": True,
                         "enable.auto.commit": False, "fetch.wait.max.ms": 50, "log_level": 0})
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])
    deadline = time.monotonic() + 30
    while len(ended) < len(partitions):
        expect_that(time.monotonic() < deadline, f"no end after 30 s; {len(found)} records came")
        for message in consumer.consume(500, 0.2):
            if message.error() is None:
                found[message.partition(), message.offset()] = message.value()
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    consumer.close()
    return found


def expect_there(one, partitions, places):
    found = read(one, partitions)
    missing = [place for place, value in places.items() if place[0] in partitions and found.get(place) != value]
    expect(missing[:10], [], "acknowledged records that are not where they were")


def expect_offline(one, how):
    leaders = one.leaders()
    for partition in ON_FIRST:
        expect(leaders[partition], (1, None), f"{how}: leader and error of partition {partition}")
    for partition in ON_SECOND:
        expect(leaders[partition], (-1, LEADER_NOT_AVAILABLE), f"{how}: leader and error of partition {partition}")


def log_dirs(one):
    """What kafka-log-dirs says of each directory: error and partitions."""
    command = java_command("org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server", one.bootstrap, "--describe", jars="java-reference")
    said = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60).stdout
    [broker] = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["brokers"]
    return {directory["logDir"]: (directory["error"], sorted(entry["partition"] for entry in directory["partitions"]))
            for directory in broker["logDirs"]}


def lose_a_disk(checks, one, disk):
    first, second = map(str, one.directories)
    with checks.case("partitions are spread over two disks"):
        one.start()
        admin = AdminClient({"bootstrap.servers": one.bootstrap})
        admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
        places = produce(one, range(PARTITIONS), 0)
        for directory, partitions in zip(one.directories, [ON_FIRST, ON_SECOND]):
            made = sorted(path.name for path in directory.glob(f"{TOPIC}-*"))
            expect(made, [f"{TOPIC}-{partition}" for partition in partitions], f"partitions in {directory}")
    with checks.case("a disk that becomes read-only takes its own partitions offline, and kafka-log-dirs says so"):
        disk.become_read_only()
        with contextlib.suppress(Exception):
            KafkaProducer(bootstrap_servers=one.bootstrap, retries=0).send(TOPIC, b"lost", partition=1).get(2)
        one.wait_for_metric("ringlog_disk_failed", 1, 10)
        expect_offline(one, "a failed disk")
        places |= produce(one, ON_FIRST, 1)
        expect_there(one, ON_FIRST, places)
        told = log_dirs(one)
        expect_that(told[second][0] is not None and not told[second][1], f"the lost one: {told[second]}")
        expect_that(told[first][0] is None and f"{TOPIC}-0" in told[first][1], f"the other one: {told[first]}")
        expect_that(one.page("ready")[0] == 200 and f"{second} is offline" in one.page("ready")[1], f"/ready: {one.page('ready')}")
    with checks.case("producers without keys go round partitions that are offline"):
        producer = KafkaProducer(bootstrap_servers=one.bootstrap, acks="all")
        sent = [producer.send(TOPIC, b"anywhere") for _ in range(20)]
        expect_that({answer.get(10).partition for answer in sent} <= set(ON_FIRST), "where records without keys went")
        producer.close()
    with checks.case("told to stop it ends with 1"):
        one.process.terminate()
        expect(one.process.wait(60), 1, f"exit code; {one.log_tail()}")
        one.process = None
    return places


def start_without_it(checks, one, disk, places):
    with checks.case("a disk that is not mounted when the broker starts is missed, and nothing of it comes back empty"):
        disk.detach()
        one.start()
        expect_offline(one, "not mounted")
        places |= produce(one, ON_FIRST, 2)
        expect_there(one, ON_FIRST, places)
        expect(list(one.directories[1].glob(f"{TOPIC}-*")), [], "partitions made anew on the mount point")
        one.stop()
    with checks.case("once it is back everything acknowledged is there"):
        shutil.rmtree(one.directories[1], ignore_errors=True)
        disk.check()
        disk.attach()
        one.start()
        expect(set(one.leaders().values()), {(1, None)}, "leaders and errors")
        places |= produce(one, range(PARTITIONS), 3)
        expect_there(one, range(PARTITIONS), places)
        one.stop()


def main():
    checks = Checks("directories")
    with small_disk(checks) as (folder, disk):
        if disk is not None:
            one = BrokerOnTwoDisks(folder / "broker", disk)
            try:
                places = lose_a_disk(checks, one, disk)
                start_without_it(checks, one, disk, places)
            finally:
                one.end()
    checks.finish()


if __name__ == "__main__":
    sys.exit(main())
