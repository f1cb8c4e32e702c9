"""Consumer groups, with three clients of different making, and Kafka's own kafka-consumer-groups."""

import csv
import io
import json
import re
import subprocess
import tempfile
import threading
import time

import confluent_kafka
from confluent_kafka import TopicPartition as ConfluentPartition
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from support import Checks, arguments, expect, expect_that, java, java_command

PARTITIONS = 12
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
CONSOLE_CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"


def fill(bootstrap, topic, count):
    """Puts records into the topic, a twelfth into each partition; what was put where."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    values = [b"%s %d" % (topic.encode(), n) for n in range(count)]
    for n, value in enumerate(values):
        producer.send(topic, value=value, partition=n % PARTITIONS)
    producer.flush(timeout=60)
    producer.close()
    return values


class Member(threading.Thread):
    """A member that polls until it is stopped, and keeps what it read and what it owned."""

    def __init__(self, poll, close):
        super().__init__(daemon=True)
        self.poll, self.close_consumer = poll, close
        self.values, self.assigned, self.problem, self.ends = [], set(), None, threading.Event()

    def run(self):
        try:
            while not self.ends.is_set():
                self.values += self.poll(self)
            self.close_consumer()
        except Exception as problem:  # told by the case that looks at it
            self.problem = problem

    def stop(self):
        self.ends.set()
        self.join(timeout=60)
        expect_that(not self.is_alive(), "a member does not end")
        expect(self.problem, None, "a member's problem")


def python_member(bootstrap, topic, group, **more):
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset="earliest",
                             session_timeout_ms=10000, heartbeat_interval_ms=500, **more)

    def poll(member):
        polled = consumer.poll(timeout_ms=200)
        member.assigned = {partition.partition for partition in consumer.assignment()}
        return [record.value for records in polled.values() for record in records]

    return Member(poll, consumer.close)


def confluent_member(bootstrap, topic, group, **more):
    settings = {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest", "session.timeout.ms": 10000,
                "heartbeat.interval.ms": 500} | {name.replace("_", "."): value for name, value in more.items()}
    consumer = confluent_kafka.Consumer(settings)
    consumer.subscribe([topic])

    def poll(member):
        messages = consumer.consume(500, timeout=0.2)
        member.assigned = {partition.partition for partition in consumer.assignment()}
        for message in messages:
            expect(message.error(), None, "a message's error")
        return [message.value() for message in messages]

    return Member(poll, consumer.close)


def wait_for(holds, words, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        expect_that(time.monotonic() < deadline, f"{words() if callable(words) else words} after {seconds} s")
        time.sleep(0.05)


def shared(bootstrap, make_member, name, **more):
    """Two members share the partitions; a third joins, one leaves; nothing is lost and little is read twice."""
    topic = f"groups-{name}"
    values = fill(bootstrap, topic, 1200)
    members = [make_member(bootstrap, topic, topic, **more) for _ in range(2)]
    for member in members:
        member.start()

    def is_shared():
        owned = [member.assigned for member in members]
        return all(owned) and sorted(partition for one in owned for partition in one) == list(range(PARTITIONS))

    wait_for(is_shared, lambda: f"the partitions are shared as {[sorted(member.assigned) for member in members]}")
    third = make_member(bootstrap, topic, topic, **more)
    third.start()
    members.append(third)
    wait_for(is_shared, lambda: f"the partitions are shared as {[sorted(member.assigned) for member in members]}")
    first = members.pop(0)
    first.stop()
    wait_for(is_shared, lambda: f"the partitions are shared as {[sorted(member.assigned) for member in members]}")
    everyone = [first, *members]
    wait_for(lambda: {value for member in everyone for value in member.values} == set(values),
             lambda: f"{len({value for member in everyone for value in member.values})} of {len(values)} records were read")
    for member in members:
        member.stop()


def committed_offsets_are_kept(bootstrap):
    topic, group = "groups-committed", "groups-committed"
    fill(bootstrap, topic, 120)
    partitions = [TopicPartition(topic, n) for n in range(PARTITIONS)]
    first = KafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    first.assign(partitions)
    expect(first.committed(partitions[0]), None, "an offset never committed")
    first.commit({partition: OffsetAndMetadata(n, f"note {n}", -1) for n, partition in enumerate(partitions)})
    first.close()
    again = confluent_kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    found = again.committed([ConfluentPartition(topic, n) for n in range(PARTITIONS)], timeout=20)
    expect([(one.partition, one.offset, one.metadata) for one in found], [(n, n, f"note {n}") for n in range(PARTITIONS)],
           "committed offsets and their notes, read by another client")
    again.close()


def static_members_keep_their_partitions(bootstrap):
    topic = "groups-static"
    fill(bootstrap, topic, 120)
    make = lambda name: confluent_member(bootstrap, topic, topic, group_instance_id=name)  # noqa: E731
    first, second = make("one"), make("two")
    for member in (first, second):
        member.start()
    wait_for(lambda: first.assigned and second.assigned and len(first.assigned | second.assigned) == PARTITIONS
             and not first.assigned & second.assigned, "two static members do not share the partitions")
    kept, others = set(first.assigned), set(second.assigned)
    first.stop()
    first = make("one")
    first.start()
    wait_for(lambda: first.assigned == kept, lambda: f"{sorted(first.assigned)} were assigned again, not {sorted(kept)}", 30)
    expect(second.assigned, others, "the other member's partitions")
    first.stop()
    second.stop()


def groups_tool(bootstrap, *rest):
    return java(GROUPS, "--bootstrap-server", bootstrap, *rest).decode()


def rows(text):
    """A table of the tool: a dict for each line under the header."""
    lines = [line for line in text.splitlines() if line.strip()]
    start = next(index for index, line in enumerate(lines) if line.startswith("GROUP"))
    names = lines[start].split()
    return [dict(zip(names, re.split(r"\s+", line.strip()))) for line in lines[start + 1:]]


def kafkas_tool(bootstrap):
    topic = group = "groups-tool"
    fill(bootstrap, topic, 240)
    read = java(CONSOLE_CONSUMER, "--bootstrap-server", bootstrap, "--topic", topic, "--group", group, "--from-beginning",
                "--max-messages", 240, "--timeout-ms", 30000).decode().splitlines()
    expect(len(read), 240, "records of the console consumer")
    expect_that(group in groups_tool(bootstrap, "--list").split(), "the group is not listed")
    described = rows(groups_tool(bootstrap, "--describe", "--group", group))
    expect(sorted((int(row["PARTITION"]), int(row["CURRENT-OFFSET"]), int(row["LOG-END-OFFSET"]), int(row["LAG"]))
                  for row in described), [(n, 20, 20, 0) for n in range(PARTITIONS)], "describe")
    state = groups_tool(bootstrap, "--describe", "--group", group, "--state")
    expect_that(re.search(rf"^{group}\s.*\sEmpty\s+0", state, re.M), f"--describe --state said {state!r}")


def resets(bootstrap):
    """Every way to reset offsets, each on paper and for real."""
    topic = group = "groups-tool"
    start = int(time.time() * 1000)

    def reset(*how):
        base = ["--group", group, "--reset-offsets", *(["--topic", topic] if "--from-file" not in how else [])]
        planned = groups_tool(bootstrap, *base, *how, "--dry-run")
        done = groups_tool(bootstrap, *base, *how, "--execute")
        expect(sorted(planned.split()), sorted(done.split()), f"plan and deed of {how}")
        found = rows(groups_tool(bootstrap, "--describe", "--group", group))
        return {int(row["PARTITION"]): int(row["CURRENT-OFFSET"]) for row in found}

    everywhere = lambda offset: {n: offset for n in range(PARTITIONS)}  # noqa: E731
    expect(reset("--to-earliest"), everywhere(0), "--to-earliest")
    expect(reset("--to-latest"), everywhere(20), "--to-latest")
    expect(reset("--to-offset", 7), everywhere(7), "--to-offset 7")
    expect(reset("--shift-by", -3), everywhere(4), "--shift-by -3")
    expect(reset("--to-current"), everywhere(4), "--to-current")
    expect(reset("--by-duration", "P1D"), everywhere(0), "--by-duration P1D")
    later = time.strftime("%Y-%m-%dT%H:%M:%S.000", time.gmtime(start / 1000 + 3600))
    expect(reset("--to-datetime", later), everywhere(20), "--to-datetime an hour ahead")
    plan = "\n".join(f"{topic},{n},{n}" for n in range(PARTITIONS))
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write(plan + "\n")
        file.flush()
        expect(reset("--from-file", file.name), {n: n for n in range(PARTITIONS)}, "--from-file")
    exported = groups_tool(bootstrap, "--group", group, "--reset-offsets", "--topic", topic, "--to-offset", 5, "--dry-run", "--export")
    found = sorted(tuple(row) for row in csv.reader(io.StringIO(exported)) if row and row[0] in (topic, f'"{topic}"'))
    expect(len(found), PARTITIONS, f"lines of an exported plan: {exported!r}")


def deletions(bootstrap):
    topic = group = "groups-tool"
    told = groups_tool(bootstrap, "--delete-offsets", "--group", group, "--topic", f"{topic}:0,1")
    expect_that("Successful" in told, f"--delete-offsets said {told!r}")
    left = {int(row["PARTITION"]) for row in rows(groups_tool(bootstrap, "--describe", "--group", group)) if row["CURRENT-OFFSET"] != "-"}
    expect(left, set(range(2, PARTITIONS)), "partitions with offsets after --delete-offsets")
    told = groups_tool(bootstrap, "--delete", "--group", group)
    expect_that("was successful" in told, f"--delete said {told!r}")
    expect_that(group not in groups_tool(bootstrap, "--list").split(), "a deleted group is still listed")


def members_and_states(bootstrap):
    topic = group = "groups-members"
    fill(bootstrap, topic, 12)
    member = confluent_member(bootstrap, topic, group, client_id="the-client")
    member.start()
    wait_for(lambda: len(member.assigned) == PARTITIONS, "a lone member does not get every partition")
    listed = rows(groups_tool(bootstrap, "--describe", "--group", group, "--members", "--verbose"))
    expect([(row["CLIENT-ID"], row["#PARTITIONS"]) for row in listed], [("the-client", str(PARTITIONS))], "members")
    states = groups_tool(bootstrap, "--list", "--state", "Stable")
    expect_that(re.search(rf"^{group}\s.*Stable", states, re.M), f"--list --state Stable said {states!r}")
    expect_that(group not in groups_tool(bootstrap, "--list", "--state", "Empty").split(), "a group with a member is listed as empty")
    member.stop()


def verifiable_consumers(bootstrap):
    """Kafka's own system-test consumer: what it says it read and committed is whole and in order."""
    topic = group = "groups-verifiable"
    fill(bootstrap, topic, 2400)
    command = java_command("org.apache.kafka.tools.VerifiableConsumer", "--bootstrap-server", bootstrap, "--topic", topic, "--group-id", group,
                           "--max-messages", "2400", "--enable-autocommit", "--reset-policy", "earliest", "--session-timeout", "10000")
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    consumed = [event for event in events if event["name"] == "records_consumed"]
    expect(sum(event["count"] for event in consumed), 2400, "records consumed")
    ends = {}
    for event in consumed:
        for part in event["partitions"]:
            expect(part["minOffset"], ends.get(part["partition"], -1) + 1, f"first offset after the last in partition {part['partition']}")
            ends[part["partition"]] = part["maxOffset"]
    expect(ends, {n: 199 for n in range(PARTITIONS)}, "last offsets")


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("groups")
    with checks.case("kafka-python: members come and go, the partitions are shared, nothing is lost"):
        shared(bootstrap, python_member, "python")
    for strategy in ("range", "roundrobin", "cooperative-sticky"):
        with checks.case(f"librdkafka, {strategy}: members come and go, the partitions are shared, nothing is lost"):
            shared(bootstrap, confluent_member, strategy, partition_assignment_strategy=strategy)
    with checks.case("offsets committed by one client are read by another, notes included"):
        committed_offsets_are_kept(bootstrap)
    with checks.case("static members keep their partitions over a restart"):
        static_members_keep_their_partitions(bootstrap)
    with checks.case("VerifiableConsumer reads everything in order"):
        verifiable_consumers(bootstrap)
    with checks.case("kafka-consumer-groups lists and describes"):
        kafkas_tool(bootstrap)
    with checks.case("kafka-consumer-groups resets offsets in every way"):
        resets(bootstrap)
    with checks.case("kafka-consumer-groups deletes offsets and groups"):
        deletions(bootstrap)
    with checks.case("kafka-consumer-groups shows members and states"):
        members_and_states(bootstrap)
    checks.finish()


main()
