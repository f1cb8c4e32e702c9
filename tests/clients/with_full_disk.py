"""A full disk and a failing one: a broker of its own on a small ext4 file system in a loop device, which needs root.

   run ringlog full-disk                  fills the disk 10 times at random moments (half a minute), then makes it read-only
   with_full_disk.py --fills 100          more of them

While the disk is full records are refused, and reading, metadata and commits of offsets go on. Records are taken again within
five seconds of there being room. Now and then the broker is killed while the disk is full, and starts there. In the end everything
acknowledged is there, once and in order. Where no such file system can be made the script says so and fails: nothing was tested.
"""

import argparse
import contextlib
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from support import Broker, Checks, Difference, expect, expect_that, free_port

DISK_MIB = 256
TOPIC, PARTITIONS, GROUP = "ledger", 3, "readers"
RESUME_SECONDS_MAX = 5.0
KILL_EVERY = 7


class SmallDisk:
    """An ext4 file system in a file, mounted for as long as this lives."""

    def __init__(self, folder):
        self.image, self.mount, self.filler = folder / "disk.img", folder / "disk", folder / "disk" / "filler"
        self.mount.mkdir(parents=True)
        with open(self.image, "wb") as image:
            image.truncate(DISK_MIB << 20)
        self._run("mkfs.ext4", "-q", "-m", "0", self.image)
        self.attach()

    def _run(self, *command):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise Difference(f"`{' '.join(map(str, command))}`: {done.stderr.strip()}")

    def attach(self):
        self._run("mount", "-o", "loop", self.image, self.mount)

    def detach(self):
        # The kernel lets go of a ring's files a moment after its process has ended.
        deadline = time.monotonic() + 10
        while True:
            try:
                return self._run("umount", self.mount)
            except Difference:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def free_bytes(self):
        status = os.statvfs(self.mount)
        return status.f_bavail * status.f_frsize

    def check(self):
        # 1: errors were corrected, as after any loss of power.
        code = subprocess.run(["e2fsck", "-f", "-y", str(self.image)], capture_output=True).returncode
        expect_that(code in (0, 1), f"e2fsck ended with {code}")

    def become_read_only(self):
        """As after an error of the device: files that are open for writing stay open, and every write fails."""
        self._run("mount", "-o", "remount,abort", self.mount)

    def fill(self):
        """Takes everything that is free."""
        with open(self.filler, "ab") as filler:
            piece = 64 << 20
            while piece >= 4096:
                try:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), piece)
                except OSError:
                    piece //= 2
        return self.filler.stat().st_size

    def make_room(self):
        self.filler.unlink(missing_ok=True)


class SmallBroker(Broker):
    """A broker with one core on a small disk."""

    def __init__(self, folder, disk):
        self.metrics_port = free_port()
        super().__init__("ringlog", folder)
        self.data = disk.mount / "data"
        self.config.write_text(self._properties())

    def _properties(self):
        own = [f"ringlog.metrics.listen=127.0.0.1:{self.metrics_port}", "ringlog.cores=1", "group.initial.rebalance.delay.ms=0",
               "offsets.topic.num.partitions=4", f"num.partitions={PARTITIONS}"]
        return super()._properties() + "\n".join(own) + "\n"

    def start(self):
        # Another port each time: one that is not free yet is tried again ten seconds later.
        self.metrics_port = free_port()
        self.config.write_text(self._properties())
        return super().start()

    def page(self, name):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/{name}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, name):
        values = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", self.page("metrics")[1], re.MULTILINE)
        return sum(map(float, values))

    def wait_for_metric(self, name, value, seconds):
        deadline = time.monotonic() + seconds
        while (found := self.metric(name)) != value:
            expect_that(time.monotonic() < deadline, f"{name} is {found} and not {value} after {seconds} s; {self.log_tail()}")
            time.sleep(0.05)


class Ledger:
    """Writes without a pause, and keeps what was acknowledged: number, partition and offset."""

    def __init__(self, bootstrap):
        self.acknowledged, self.given_up = {}, 0
        self.last_acknowledgement = 0.0
        self._next, self._ends = 0, threading.Event()
        # Refusals are repeated by the client itself, until it gives a record up.
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2,
                                   "delivery.timeout.ms": 60_000, "retry.backoff.max.ms": 500, "reconnect.backoff.max.ms": 500,
                                   "log_level": 0})
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self):
        while not self._ends.is_set():
            number = self._next
            value = b"%d " % number + b"x" * (number % 1500)
            with contextlib.suppress(BufferError):
                self._producer.produce(TOPIC, value, partition=number % PARTITIONS,
                                       on_delivery=lambda error, message, number=number: self._delivered(error, message, number))
                self._next += 1
            self._producer.poll(0.002)

    def _delivered(self, error, message, number):
        if error is not None:
            self.given_up += 1
            return
        self.last_acknowledgement = time.monotonic()
        self.acknowledged[number] = (message.partition(), message.offset())

    def wait_for_acknowledgement(self, after, seconds, what):
        while self.last_acknowledgement <= after:
            expect_that(time.monotonic() - after < seconds, what())
            time.sleep(0.01)
        return self.last_acknowledgement - after

    def end(self):
        self._ends.set()
        self._thread.join()
        expect(self._producer.flush(60), 0, "records without an answer")


def reader(bootstrap):
    return Consumer({"bootstrap.servers": bootstrap, "group.id": GROUP, "enable.auto.commit": False, "enable.partition.eof": True,
                     "check.crcs": True, "log_level": 0, "fetch.wait.max.ms": 50})


def make_topic(bootstrap):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)


def read_everything(bootstrap):
    """Every record: number by partition and offset."""
    found, ended, consumer = {}, set(), reader(bootstrap)
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(PARTITIONS)])
    deadline = time.monotonic() + 120
    while len(ended) < PARTITIONS:
        expect_that(time.monotonic() < deadline, f"no end after 120 s; {len(found)} records came")
        for message in consumer.consume(1000, 0.5):
            if message.error() is None:
                found[message.partition(), message.offset()] = int(message.value().split(b" ", 1)[0])
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
            else:
                raise KafkaException(message.error())
    consumer.close()
    return found


def expect_everything(bootstrap, acknowledged):
    found = read_everything(bootstrap)
    missing = [number for number, place in acknowledged.items() if found.get(place) != number]
    expect(missing[:10], [], f"of {len(acknowledged)} acknowledged records {len(missing)} are not where they were; the first")
    numbers = sorted(found.values())
    twice = [number for number, next_one in zip(numbers, numbers[1:]) if number == next_one]
    expect(twice[:10], [], "records that are there twice")
    for partition in range(PARTITIONS):
        row = [number for (of, _), number in sorted(found.items()) if of == partition]
        expect_that(row == sorted(row), f"the records of partition {partition} are in order")
    return len(found)


def expect_served(one, admin, consumer, committed):
    """What goes on while the disk is full."""
    expect(sorted(admin.list_topics(TOPIC, timeout=5).topics[TOPIC].partitions), list(range(PARTITIONS)), "partitions in metadata")
    partition = TopicPartition(TOPIC, 0, random.randrange(max(1, consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=5)[1])))
    consumer.assign([partition])
    message = consumer.poll(5)
    expect_that(message is not None and (message.error() is None or message.error().code() == KafkaError._PARTITION_EOF),
                f"a record is read: {message and message.error()}")
    for offset in range(committed, committed + 20):
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, offset)], asynchronous=False)
    expect(consumer.committed([TopicPartition(TOPIC, 0)], timeout=5)[0].offset, committed + 19, "the offset committed")
    expect(one.page("ready")[0], 200, "readiness while the disk is full")


def fill_again_and_again(one, disk, ledger, fills):
    admin, consumer = AdminClient({"bootstrap.servers": one.bootstrap, "log_level": 0}), reader(one.bootstrap)
    slowest = 0.0
    for fill in range(1, fills + 1):
        time.sleep(random.uniform(0.05, 1.0))
        disk.fill()
        one.wait_for_metric("ringlog_disk_full", 1, 5)
        time.sleep(random.uniform(0.0, 1.0))
        expect_served(one, admin, consumer, committed=fill * 20)
        if is_killed := fill % KILL_EVERY == 0:
            one.kill()
            one.start()
            consumer.close()
            # Clients that saw the broker go come back in their own time.
            admin, consumer = AdminClient({"bootstrap.servers": one.bootstrap, "log_level": 0}), reader(one.bootstrap)
            expect_served(one, admin, consumer, committed=fill * 20)
        disk.make_room()
        began = time.monotonic()
        limit = RESUME_SECONDS_MAX + (5 if is_killed else 0)  # a client that lost its connection comes back in its own time
        slowest = max(slowest, ledger.wait_for_acknowledgement(
            began, limit, lambda: f"fill {fill}: no record is taken {limit} s after there is room; {one.log_tail()}"))
        expect_that(one.process.poll() is None, f"the broker goes on; {one.log_tail()}")
    consumer.close()
    print(f"        {fills} fills, the slowest record after {slowest:.2f} s, {len(ledger.acknowledged)} acknowledged, "
          f"{ledger.given_up} given up", flush=True)


def full(checks, one, disk, fills):
    with checks.case(f"a disk that is filled {fills} times refuses records, serves everything else, and takes records again"):
        one.start()
        make_topic(one.bootstrap)
        consumer = reader(one.bootstrap)
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 1)], asynchronous=False)
        consumer.close()
        ledger = Ledger(one.bootstrap)
        try:
            fill_again_and_again(one, disk, ledger, fills)
        except Exception:
            print(f"the broker's last words:\n{one.log_tail()}", flush=True)
            raise
        finally:
            disk.make_room()
            ledger.end()
        refused = one.metric("ringlog_disk_full_refused_batches_total")
        expect_that(refused > 0, "records were refused")
    with checks.case("everything acknowledged is there, once and in order, also after kill -9"):
        expect_everything(one.bootstrap, ledger.acknowledged)
        one.kill()
        one.start()
        expect_everything(one.bootstrap, ledger.acknowledged)
    with checks.case("a full disk is one line in the log each time, no flood"):
        told = one.log.read_text(errors="replace").count("the disk is full: batches of clients are refused")
        expect_that(fills <= told <= 2 * fills, f"{told} lines for {fills} fills")
    with checks.case("a topic is deleted on a full disk and leaves its room"):
        consumer = reader(one.bootstrap)
        disk.fill()
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 1)], asynchronous=False)
        one.wait_for_metric("ringlog_disk_full", 1, 5)
        topic_bytes = sum(file.stat().st_blocks * 512 for file in one.data.glob(f"{TOPIC}-*/*"))
        free_bytes = disk.free_bytes()
        admin = AdminClient({"bootstrap.servers": one.bootstrap})
        admin.delete_topics([TOPIC])[TOPIC].result(30)
        deadline = time.monotonic() + 10
        while list(one.data.glob(f"{TOPIC}-*")):
            expect_that(time.monotonic() < deadline, f"files remain: {list(one.data.glob(TOPIC + '-*'))}")
            time.sleep(0.1)
        consumer.close()
        freed = disk.free_bytes() - free_bytes
        expect_that(freed > topic_bytes * 0.8, f"{freed} bytes are free again of {topic_bytes}")
        disk.make_room()
        one.wait_for_metric("ringlog_disk_full", 0, RESUME_SECONDS_MAX)
        one.stop()


def read_only(checks, one, disk):
    with checks.case("a file system that becomes read-only is read on and written no more"):
        one.start()
        make_topic(one.bootstrap)
        ledger = Ledger(one.bootstrap)
        try:
            ledger.wait_for_acknowledgement(time.monotonic(), 10, lambda: "records are taken")
            time.sleep(1)
            disk.become_read_only()
            one.wait_for_metric("ringlog_disk_failed", 1, 15)
            time.sleep(0.5)  # answers under way
            failed_at = time.monotonic()
            expect_everything(one.bootstrap, dict(ledger.acknowledged))
            time.sleep(2)
            expect_that(ledger.last_acknowledgement < failed_at, "nothing is acknowledged on a failed disk")
            expect(one.page("ready")[0], 503, "readiness")
            expect(one.page("health")[0], 200, "health")
        finally:
            ledger._producer.purge()
            ledger.end()
        words = re.sub(r"\x1b\[[0-9;]*m", "", one.log.read_text(errors="replace"))
        told = [line for line in words.splitlines() if "the data directory failed; nothing is written any more" in line]
        expect(len(told), 1, f"lines about it; {one.log_tail()}")
        expect_that("ERROR" in told[0] and "operation=" in told[0] and f"path={one.data}" in told[0], f"it names operation and path: {told[0]}")
    with checks.case("told to stop it says so and ends with 1"):
        one.process.terminate()
        expect(one.process.wait(60), 1, f"exit code; {one.log_tail()}")
        one.process = None
        expect_that("the data directory failed while the broker ran" in one.log_tail(), one.log_tail())
    with checks.case("once it can be written again everything acknowledged is there"):
        disk.detach()
        disk.check()
        disk.attach()
        one.start()
        expect_everything(one.bootstrap, ledger.acknowledged)
        one.stop()


@contextlib.contextmanager
def small_disk(checks):
    """A folder and a small file system mounted in it, None if that cannot be; both are gone afterwards."""
    folder, disk = pathlib.Path(tempfile.mkdtemp(prefix="ringlog-small-disk-")), None
    try:
        with checks.case("a small file system can be mounted (needs root and loop devices)"):
            disk = SmallDisk(folder)
        yield folder, disk
    finally:
        if os.path.ismount(folder / "disk"):
            disk.detach()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description="a full disk and a failing one")
    parser.add_argument("--fills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    random.seed(given.seed)
    print(f"        seed {given.seed}", flush=True)
    checks = Checks("full-disk")
    with small_disk(checks) as (folder, disk):
        if disk is not None:
            one = SmallBroker(folder / "broker", disk)
            try:
                full(checks, one, disk, given.fills)
                one.end()
                read_only(checks, one, disk)
            finally:
                one.end()
    checks.finish()


if __name__ == "__main__":
    sys.exit(main())
