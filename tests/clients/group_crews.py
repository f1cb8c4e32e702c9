"""Processes with members of groups, and a look at the groups from outside: for with_group_storm.py and with_crash_commits.py."""

import argparse
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import urllib.request

from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from group_judge import GroupJudge, expect_judges_see
from support import HERE, Checks, expect, expect_that

SETTLE_SECONDS_MAX = 120
GO_ON_SECONDS_MAX = 60
# Sessions shorter than Kafka's shortest, so that those who fall silent are missed soon.
PROPERTIES = ["group.min.session.timeout.ms=1000", "group.initial.rebalance.delay.ms=500"]


class Crew:
    """A process with members of one group."""

    def __init__(self, crews, topic, group, strategy, client, places, instances=None, work="read"):
        self.crews, self.topic, self.group, self.strategy = crews, topic, group, strategy
        self.client, self.places, self.instances, self.work = client, places, instances, work
        self.process = None

    def start(self):
        command = [sys.executable, HERE / "group_members.py", "--bootstrap", self.crews.bootstrap, "--group", self.group, "--topic", self.topic,
                   "--strategy", self.strategy, "--client", self.client, "--seed", self.crews.chance.random(), "--places", self.places,
                   "--work", self.work]
        if self.instances:
            command += ["--instances", self.instances]
        with open(self.crews.folder / "members.log", "ab") as log:
            self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        threading.Thread(target=self.crews.listen, args=(self.process.stdout,), daemon=True).start()

    def order(self, **order):
        # A process that is dead is found by the next who looks; a frozen one reads this later.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()


class Crews:
    """Everybody, and what they tell."""

    def __init__(self, bootstrap, folder, seed):
        self.bootstrap, self.folder = bootstrap, folder
        self.chance, self.judge = random.Random(seed), GroupJudge()
        self.crews, self.zombies = [], []

    def listen(self, lines):
        for line in lines:
            # The last line of a killed process may be cut short.
            if line.endswith(b"\n"):
                self.judge.take(json.loads(line))

    def start(self):
        for crew in self.crews:
            crew.start()

    def end(self):
        for crew in self.crews + self.zombies:
            if crew.process is not None and crew.process.poll() is None:
                crew.kill()

    def leave_in_order(self):
        for crew in self.crews:
            crew.order(order="end")
        for crew in self.crews:
            expect(crew.process.wait(timeout=60), 0, f"exit code of members of {crew.group}")

    def members(self):
        found = {}
        for crew in self.crews:
            found[crew.group] = found.get(crew.group, 0) + crew.places
        return found

    def accepted(self):
        """How many commits of each group were acknowledged."""
        with self.judge.lock:
            return {group: self.judge.accepted[group] for group in self.members()}

    def wait_until_all_go_on(self, before):
        deadline = time.monotonic() + GO_ON_SECONDS_MAX
        while stuck := [group for group, count in self.accepted().items() if count <= before[group]]:
            expect_that(time.monotonic() < deadline, f"no commit of {stuck} was acknowledged for {GO_ON_SECONDS_MAX} s")
            time.sleep(0.02)

    def judge_groups(self, checks):
        """What holds whatever members do."""
        judge = self.judge
        with judge.lock:
            print(f"        generations {judge.generations()}", flush=True)
            print(f"        {dict(sorted(judge.counts.items()))}", flush=True)
            with checks.case("in no generation has a partition two owners"):
                judge.expect_one_owner()
            with checks.case("generations do not go back"):
                judge.expect_rising_generations()
            with checks.case("no commit of an earlier generation is accepted, nor one by a static member's former id"):
                judge.expect_fenced()
                judge.expect_former_ids_fenced()
            with checks.case("what was acknowledged or told once is never told lower, and new owners begin there"):
                judge.expect_no_way_back()


def patiently_committed(consumer, wanted, seconds=30):
    """(when it was asked, what is committed, when that was told). Where a broker that has just started does not coordinate the group yet,
    librdkafka tells its caller so instead of looking again, as its own group members do."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        try:
            return asked, consumer.committed(wanted, timeout=seconds), time.monotonic()
        except KafkaException as problem:
            if problem.args[0].code() != KafkaError.NOT_COORDINATOR or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class Watch:
    """Looks at the groups from outside, as a tool does."""

    def __init__(self, crews, topic, partitions, metrics_port):
        self.crews, self.topic, self.partitions, self.metrics_port = crews, topic, partitions, metrics_port
        self.admin = AdminClient({"bootstrap.servers": crews.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 500})
        self.groups = sorted(crews.members())
        # Not the admin client, which dies of a group that is not coordinated yet (librdkafka 2.16). These never join.
        self.consumers = {group: Consumer({"bootstrap.servers": crews.bootstrap, "group.id": group, "log_level": 0,
                                           "reconnect.backoff.max.ms": 500}) for group in self.groups}

    def committed(self):
        """{group: {partition: offset}}; told to the judge."""
        wanted, found = [TopicPartition(self.topic, partition) for partition in range(self.partitions)], {}
        for group, consumer in self.consumers.items():
            asked, places, told = patiently_committed(consumer, wanted)
            found[group] = {one.partition: one.offset for one in places if one.offset >= 0}
            for partition, offset in found[group].items():
                self.crews.judge.take(["seen", group, partition, asked, told, offset])
        return found

    def expect_nothing_lost(self):
        """Every offset acknowledged up to now is there."""
        with self.crews.judge.lock:
            acknowledged = dict(self.crews.judge.acknowledged)
        found = self.committed()
        for (group, partition), offset in acknowledged.items():
            there = found[group].get(partition)
            expect_that(there is not None and there >= offset, f"{group}, partition {partition}: {offset} was acknowledged, {there} is told")

    def ends(self):
        asked = self.admin.list_offsets({TopicPartition(self.topic, partition): OffsetSpec.latest() for partition in range(self.partitions)})
        return {place.partition: future.result(30).offset for place, future in asked.items()}

    def metrics_page(self):
        """A page that tells of every shard: one that does not answer in time is left out, and the page says that it is."""
        deadline = time.monotonic() + GO_ON_SECONDS_MAX
        while True:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
            if "ringlog_shards_silent 0" in lines:
                return lines
            expect_that(time.monotonic() < deadline, f"a shard is silent for {GO_ON_SECONDS_MAX} s")

    def lag_metrics(self):
        lines = self.metrics_page()
        found = {}
        for line in lines:
            if line.startswith("ringlog_group_lag{"):
                labels, value = line.removeprefix("ringlog_group_lag{").rsplit("} ", 1)
                labels = dict(one.split("=", 1) for one in labels.split(","))
                if labels["topic"] == f'"{self.topic}"':
                    found[labels["group"].strip('"'), int(labels["partition"].strip('"'))] = float(value)
        return found

    def expect_lag(self, is_quiet):
        """The metric lies between what was true before and after it; how many there are. When nothing moves, all is read, and it is zero."""
        ends, committed = self.ends(), self.committed()
        lags = self.lag_metrics()
        ends_after, committed_after = self.ends(), self.committed()
        for group in self.groups:
            for partition, offset in committed[group].items():
                least = ends[partition] - committed_after[group][partition]
                most = ends_after[partition] - offset
                expect_that(not is_quiet or least == most == 0, f"{group}, partition {partition}: lag {least} to {most} at the end")
                lag = lags.get((group, partition))
                expect_that(lag is not None and max(least, 0) <= lag <= most,
                            f"{group}, partition {partition}: the metric says {lag}, clients see {least} to {most}")
        return len(lags)

    def trouble_of_groups(self):
        """None once all groups have all members, and every partition one owner."""
        for group, future in self.admin.describe_consumer_groups(self.groups).items():
            told, expected = future.result(30), self.crews.members()[group]
            owned = sorted(place.partition for member in told.members for place in member.assignment.topic_partitions)
            if told.state != ConsumerGroupState.STABLE or len(told.members) != expected:
                return f"{group} is {told.state.name} with {len(told.members)} members, not {expected}"
            if owned != list(range(self.partitions)):
                return f"{group}: {owned} are owned"
        return None

    def trouble_of_readers(self):
        """None once everything is committed as well."""
        ends, committed = self.ends(), self.committed()
        for group in self.groups:
            behind = {partition: end - committed[group].get(partition, 0) for partition, end in ends.items()}
            if behind := {partition: lag for partition, lag in behind.items() if lag != 0}:
                return f"{group}: behind in {behind}"
        return self.trouble_of_groups()

    def wait_until_settled(self, trouble_of):
        started = time.monotonic()
        while trouble := trouble_of():
            expect_that(time.monotonic() < started + SETTLE_SECONDS_MAX, f"after {SETTLE_SECONDS_MAX} s: {trouble}")
            time.sleep(0.5)
        print(f"        settled in {time.monotonic() - started:.1f} s", flush=True)


@contextlib.contextmanager
def ended(crews, checks, one):
    """Ends everybody, whatever happened; where a case failed, says what the broker said last."""
    try:
        yield
    finally:
        crews.end()
        if checks.failed:
            print(f"the broker's last words:\n{one.log_tail()}", flush=True)


def play(name, words, run, how_much):
    """What both scripts are told on the command line, then the judges' own trial, then `run(checks, options)`. `how_much` is the option that
    says how long it goes on: (its name, the variable of the environment that sets it too, its default)."""
    option, variable, default = how_much
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["ringlog", "reference"], default="ringlog")
    parser.add_argument("--folder", required=True, type=pathlib.Path, help="an empty place for data, removed afterwards")
    parser.add_argument(option, type=int, default=int(os.environ.get(variable, default)))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("RINGLOG_STORM_SEED", time.time_ns() % 1_000_000)))
    options, checks = parser.parse_args(), Checks(name)
    with checks.case("the judges see what is wrong"):
        expect_judges_see()
    run(checks, options)
    checks.finish()
