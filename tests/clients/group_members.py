"""A process with members of one group, which do as they are told: the cheap end of with_group_storm.py.

Each place in the group has a thread with one consumer after the other. A member reads, and commits where it is, one commit after the other,
with and without waiting for the answer. With --work count it reads nothing and commits ever larger numbers as fast as it can (with_crash_commits.py).
What happens to it is told on standard output (group_judge.py says what and why). On standard
input come orders, a line of JSON each:

    {"order": "leave", "place": 3, "pause": 0.5}   closes the consumer; another one takes the place after the pause
    {"order": "mute", "place": 3, "pause": 9}      does not poll for so long: the client itself leaves the group then
    {"order": "cut"}                               shuts every connection of this process
    {"order": "end"}                               every member leaves, then the process ends
"""

import argparse
import contextlib
import json
import logging
import os
import queue
import random
import socket
import stat
import struct
import sys
import threading
import time

# What says for certain that a commit was not stored.
REFUSED = {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "FENCED_INSTANCE_ID", "_NO_OFFSET", "_FENCED", "_STATE", "_DESTROY",
           "CommitFailedError", "RebalanceInProgressError", "FencedInstanceIdError", "IllegalGenerationError", "UnknownMemberIdError"}
SESSION_MS, HEARTBEAT_MS, POLL_INTERVAL_MS = 4000, 500, 8000
READ_AT_ONCE = 200
FENCED_PAUSE_SECONDS = 2


class Fenced(Exception):
    """Another one has this member's static name."""


class Journal:
    """Tells what happens, a line each; whole lines, whichever thread."""

    def __init__(self, group):
        self.group, self.lock = group, threading.Lock()

    def tell(self, kind, *rest):
        line = json.dumps([kind, self.group, *rest], separators=(",", ":")).encode() + b"\n"
        with self.lock:
            while line:
                line = line[os.write(1, line):]


class Member:
    """What is the same for every client. `owned`: what it has; `positions`: the next offset to read of it, None before the first record."""

    def __init__(self, options, place, journal, chance):
        self.options, self.place, self.journal, self.chance = options, place, journal, chance
        self.instance = f"{options.instances}-{place}" if options.instances else None
        self.owned, self.positions, self.assigned_at, self.unread, self.committed = set(), {}, {}, {}, {}
        self.commit_at, self.cuts, self.is_unsure, self.is_closing = 0, CUTS.count, False, False

    def has_been_given(self, partitions, is_all):
        """In the callback: whose is this, and in which generation?"""
        generation, member = self.generation()
        now = time.monotonic()
        self.tell_read()
        self.owned = set(partitions) if is_all else self.owned | set(partitions)
        for partition in partitions:
            self.positions[partition], self.assigned_at[partition] = None, now
            self.committed.pop(partition, None)
        self.positions = {partition: self.positions[partition] for partition in self.owned}
        if generation >= 0:
            self.journal.tell("owned", now, self.instance or member, member, generation, sorted(self.owned))

    def has_lost(self, partitions):
        self.owned -= set(partitions)
        self.tell_read()
        for partition in partitions:
            self.positions.pop(partition, None)

    def takes(self, partition, offset):
        if partition not in self.positions:
            return
        if self.positions[partition] is None:
            self.journal.tell("start", partition, self.assigned_at[partition], offset)
        if self.positions[partition] != offset:
            # A gap, if this is one, is left in what is told as read.
            self.tell_read()
            self.unread[partition] = [offset, offset]
        self.positions[partition] = offset + 1
        self.unread[partition][1] = offset + 1

    def tell_read(self):
        ranges = [[partition, first, end] for partition, (first, end) in self.unread.items() if end > first]
        for partition, _, end in ranges:
            self.unread[partition][0] = end
        if ranges:
            self.journal.tell("read", ranges)

    def next_numbers(self):
        """Counting: larger ones than ever before, for all partitions whose offset is known."""
        step = self.chance.randint(1, 5)
        self.positions.update({partition: at + step for partition, at in self.positions.items() if at is not None})

    def unknown(self):
        """Counting: partitions that were given and whose offset is to be asked for."""
        return [partition for partition in self.owned if self.positions[partition] is None]

    def to_commit(self):
        at = {partition: self.positions[partition] for partition in self.owned if self.positions.get(partition) is not None}
        return {partition: offset for partition, offset in at.items() if self.committed.get(partition) != offset}

    def is_due(self):
        return time.monotonic() >= self.commit_at

    def begins_commit(self, offsets):
        self.tell_read()
        self.journal.tell("try", offsets)
        self.commit_at = time.monotonic() + self.chance.uniform(0.2, 0.8)
        self.cuts = CUTS.count
        return self.generation(), time.monotonic()

    def ends_commit(self, begun, offsets, problem):
        """`problem`: the name of an error, or None."""
        ((before, member), sent), answered = begun, time.monotonic()
        after, member_after = self.generation()
        outcome = "ok" if problem is None else "refused" if problem in REFUSED else "unsure"
        if outcome == "ok":
            self.committed.update(offsets)
        # A commit may have gone out on a connection that was cut, and again on another.
        self.is_unsure |= outcome == "unsure" or self.cuts != CUTS.count
        is_same = member == member_after or after < 0
        generations = [before, after if after >= 0 and is_same else before if is_same else 2**31 - 1]
        self.journal.tell("commit", self.instance or member, member, generations, sent, answered, outcome, offsets)
        if outcome == "unsure":
            self.journal.tell("trouble", f"commit: {problem}")

    def commit_now(self):
        offsets = self.to_commit()
        if offsets:
            begun = self.begins_commit(offsets)
            self.ends_commit(begun, offsets, self.problem_of_commit(self.places(offsets)))


class ConfluentMember(Member):
    def __init__(self, options, place, journal, chance):
        super().__init__(options, place, journal, chance)
        import confluent_kafka
        self.api = confluent_kafka
        settings = {"bootstrap.servers": options.bootstrap, "group.id": options.group, "partition.assignment.strategy": options.strategy,
                    "session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS, "max.poll.interval.ms": POLL_INTERVAL_MS,
                    "auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 0, "on_commit": self.answered,
                    "queued.min.messages": 1000, "reconnect.backoff.max.ms": 500}
        if self.instance:
            settings["group.instance.id"] = self.instance
        self.is_cooperative = options.strategy.startswith("cooperative")
        self.waits = None
        self.consumer = confluent_kafka.Consumer(settings)
        self.consumer.subscribe([options.topic], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def generation(self):
        """From librdkafka's own serialized form: CGMDv2:, the generation, group and member with a zero behind each.

        While it closes there may be nobody left to answer that, and librdkafka would wait, with Python's lock, for ever.
        """
        if self.is_closing:
            return -1, ""
        words = self.consumer.consumer_group_metadata()
        if not words or not words.startswith(b"CGMDv2:"):
            return -1, ""
        (generation,) = struct.unpack_from("=i", words, 7)
        return generation, words[11:].split(b"\0")[1].decode()

    def assigned(self, _consumer, partitions):
        self.has_been_given([one.partition for one in partitions], not self.is_cooperative)

    def revoked(self, _consumer, partitions):
        if self.waits is None and not self.is_closing and self.chance.random() < 0.5:
            self.commit_now()
        self.has_lost([one.partition for one in partitions])

    def lost(self, _consumer, partitions):
        self.has_lost([one.partition for one in partitions])

    def turn(self):
        for number in range(READ_AT_ONCE):
            message = self.consumer.poll(0 if number else 0.1)
            if message is None:
                break
            if message.error() is None:
                self.takes(message.partition(), message.offset())
            else:
                self.hears_of(message.error())
        if self.waits is None and self.is_due():
            self.commit_now() if self.chance.random() < 0.3 else self.commit_later()

    def hears_of(self, error):
        # A fatal error is told as an event that is not fatal itself; the consumer does nothing any more.
        if error.fatal() or error.code() == self.api.KafkaError._FATAL:
            raise Fenced(error.str())
        self.journal.tell("trouble", f"told: {error.name()}")

    def places(self, offsets):
        return [self.api.TopicPartition(self.options.topic, partition, offset) for partition, offset in offsets.items()]

    def problem_of_commit(self, places):
        try:
            stored = self.consumer.commit(offsets=places, asynchronous=False)
        except self.api.KafkaException as error:
            return error.args[0].name()
        return next((one.error.name() for one in stored if one.error is not None), None)

    def commit_later(self):
        offsets = self.to_commit()
        if offsets:
            self.waits = (self.begins_commit(offsets), offsets)
            try:
                self.consumer.commit(offsets=self.places(offsets), asynchronous=True)
            except self.api.KafkaException as error:
                self.answered(error.args[0], [])

    def answered(self, error, partitions):
        if self.waits is None:
            return
        (begun, offsets), self.waits = self.waits, None
        failed = next((one.error for one in partitions if one.error is not None), None)
        error = error or failed
        self.ends_commit(begun, offsets, None if error is None else error.name())

    def close(self):
        self.is_closing = True
        self.consumer.close()


class ConfluentCounter(ConfluentMember):
    """Every other place waits for each answer."""

    def turn(self):
        message = self.consumer.poll(0 if self.waits is None else 0.05)
        if message is not None and message.error() is not None:
            self.hears_of(message.error())
        if not self.owned:
            time.sleep(0.02)
        elif unknown := self.unknown():
            self.ask(unknown)
        elif self.waits is None:
            self.next_numbers()
            self.commit_now() if self.place % 2 else self.commit_later()

    def ask(self, partitions):
        try:
            for one in self.consumer.committed(self.places(dict.fromkeys(partitions, 0)), timeout=5):
                self.positions[one.partition] = max(one.offset, 0)
        except self.api.KafkaException as error:
            self.journal.tell("trouble", f"committed: {error.args[0].name()}")


class PythonMember(Member):
    """Seeks what it was given: this client may go on where it was, though others have read on while it was put out of the group."""

    def __init__(self, options, place, journal, chance):
        super().__init__(options, place, journal, chance)
        import kafka
        from kafka.coordinator.assignors.range import RangePartitionAssignor
        from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        self.api = kafka
        self.consumer = kafka.KafkaConsumer(
            bootstrap_servers=options.bootstrap, group_id=options.group, session_timeout_ms=SESSION_MS, heartbeat_interval_ms=HEARTBEAT_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS, auto_offset_reset="earliest", enable_auto_commit=False, group_instance_id=self.instance, reconnect_backoff_max_ms=500,
            partition_assignment_strategy=[{"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}[options.strategy]])
        listener = type("Listener", (kafka.ConsumerRebalanceListener,), {
            "on_partitions_assigned": lambda _, some: self.assigned([one.partition for one in some]),
            "on_partitions_revoked": lambda _, some: self.has_lost([one.partition for one in some]),
            "on_partitions_lost": lambda _, some: self.has_lost([one.partition for one in some])})
        self.to_seek = frozenset()
        self.consumer.subscribe([options.topic], listener=listener())

    def generation(self):
        own = self.consumer.group_metadata()
        return own.generation_id, own.member_id

    def assigned(self, partitions):
        self.to_seek = frozenset(partitions)
        self.has_been_given(partitions, True)

    def begin_where_the_group_is(self):
        given = self.to_seek
        try:
            for partition in sorted(given & self.owned):
                place = self.api.TopicPartition(self.options.topic, partition)
                self.consumer.seek(place, self.consumer.committed(place, timeout_ms=5000) or 0)
            if self.to_seek is given:
                self.to_seek = frozenset()
        except (self.api.errors.KafkaError, ValueError) as error:
            # Asked again; or the partition was taken away meanwhile.
            self.journal.tell("trouble", f"seek: {type(error).__name__}")

    def turn(self):
        polled = self.polled(100)
        if self.to_seek:
            return self.begin_where_the_group_is()
        for some in polled.values():
            for record in some:
                self.takes(record.partition, record.offset)
        if self.is_due():
            self.commit_now()

    def polled(self, timeout_ms):
        try:
            return self.consumer.poll(timeout_ms=timeout_ms, max_records=READ_AT_ONCE)
        except self.api.errors.FencedInstanceIdError as error:
            raise Fenced(str(error)) from error

    def problem_of_commit(self, places):
        try:
            self.consumer.commit(places)
        except self.api.errors.KafkaError as error:
            return type(error).__name__
        return None

    def places(self, offsets):
        return {self.api.TopicPartition(self.options.topic, partition): self.api.structs.OffsetAndMetadata(offset, "", -1)
                for partition, offset in offsets.items()}

    def close(self):
        self.consumer.close()


class PythonCounter(PythonMember):
    """Sends commits without waiting for those before; this client does not send a failed one again."""

    under_way_max = 5

    def __init__(self, *rest):
        super().__init__(*rest)
        self.under_way = 0

    def turn(self):
        self.polled(0 if self.under_way < self.under_way_max else 20)
        if not self.owned:
            time.sleep(0.02)
        elif unknown := self.unknown():
            for partition in unknown:
                told = self.consumer.committed(self.api.TopicPartition(self.options.topic, partition), timeout_ms=5000)
                self.positions[partition] = told or 0
        elif self.under_way < self.under_way_max:
            self.next_numbers()
            self.commit_later()

    def commit_later(self):
        offsets = self.to_commit()
        if offsets:
            begun = self.begins_commit(offsets)
            self.under_way += 1
            self.consumer.commit_async(self.places(offsets), callback=lambda _, told: self.answered(begun, offsets, told))

    def answered(self, begun, offsets, told):
        self.under_way -= 1
        self.ends_commit(begun, offsets, type(told).__name__ if isinstance(told, Exception) else None)


class Cuts:
    """How often this process's connections were cut."""

    def __init__(self):
        self.count = 0

    def cut(self, port):
        self.count += 1
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    with socket.socket(fileno=os.dup(int(name))) as one:
                        if one.family == socket.AF_INET and one.getpeername()[1] == port:
                            one.shutdown(socket.SHUT_RDWR)


CUTS = Cuts()


MEMBERS = {("confluent", "read"): ConfluentMember, ("kafka-python", "read"): PythonMember,
           ("confluent", "count"): ConfluentCounter, ("kafka-python", "count"): PythonCounter}


class Place(threading.Thread):
    """One member after the other."""

    def __init__(self, options, number, journal):
        super().__init__(daemon=True)
        self.options, self.number, self.journal = options, number, journal
        self.chance = random.Random(f"{options.seed} {number}")
        self.orders, self.ends = queue.SimpleQueue(), False

    def run(self):
        make = MEMBERS[self.options.client, self.options.work]
        while not self.ends:
            member, pause = make(self.options, self.number, self.journal, self.chance), 0
            try:
                pause = self.live(member)
            except Fenced as words:
                # A zombie may have taken the name: it is taken back when that is dead, and fought over until then.
                self.journal.tell("trouble", f"fenced: {str(words)[:40]}")
                pause = FENCED_PAUSE_SECONDS
            except Exception as problem:  # whatever a client library raises: told, counted, and the next member takes over
                self.journal.tell("trouble", f"{type(problem).__name__}: {str(problem)[:80]}")
            with contextlib.suppress(Exception):
                member.close()
            time.sleep(pause)

    def live(self, member):
        """Until the member is to leave; how long the place stays empty."""
        # Who counts goes on: what was under way died with the broker.
        while not member.is_unsure or self.options.work == "count":
            member.turn()
            with contextlib.suppress(queue.Empty):
                order = self.orders.get_nowait()
                if order["order"] == "end":
                    self.ends = True
                    return 0
                if order["order"] == "leave":
                    return order["pause"]
                if order["order"] == "mute":
                    time.sleep(order["pause"])
        return 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bootstrap", "group", "topic", "strategy", "client", "seed"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--places", type=int, required=True)
    parser.add_argument("--work", choices=["read", "count"], default="read")
    parser.add_argument("--instances", help="static members, with names that begin so")
    options = parser.parse_args()
    journal = Journal(options.group)
    places = [Place(options, number, journal) for number in range(options.places)]
    for place in places:
        place.start()
    for line in sys.stdin:
        order = json.loads(line)
        if order["order"] == "cut":
            CUTS.cut(int(options.bootstrap.rsplit(":", 1)[1]))
        elif order["order"] == "end":
            break
        else:
            places[order["place"]].orders.put(order)
    for place in places:
        place.orders.put({"order": "end"})
    for place in places:
        place.join(timeout=20)
    os._exit(0)


if __name__ == "__main__":
    main()
