"""Two hundred members of seven groups, which come, leave, fall silent, freeze and are killed at random, on a broker of their own.

    tests/clients/run ringlog group-storm                              half a minute; RINGLOG_STORM_SECONDS=300 for five
    tests/clients/run reference group-storm                            the same with Apache Kafka
    RINGLOG_STORM_SEED=7 tests/clients/run ringlog group-storm         the same choices again; times and the order of threads are the machine's

Members live in processes of five to ten (group_members.py): librdkafka's and kafka-python's consumers; range, round robin and cooperative
sticky; static members. What befalls them is chosen here, from a seed:

    leave, and another one comes        a member stops polling for longer than it may
    SIGKILL of a process                SIGSTOP, longer or shorter than a session
    every connection of a process cut   a process frozen, replaced, and let go again: its members still believe that they are members

Members tell what they see; what can be proved from that, and how, is said in group_judge.py. Meanwhile a producer writes, OffsetFetch is asked for
every group again and again, and /metrics is compared with what clients see.
"""

import signal
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from group_crews import PROPERTIES, Crew, Crews, Watch, ended, play
from support import broker, expect

TOPIC, PARTITIONS = "storm", 48
RECORDS_A_SECOND = 200
LAG_LOOKS = 3
# group, strategy, static, [(client, processes, members each)]
GROUPS = [
    ("range", "range", False, [("confluent", 3, 10)]),
    ("roundrobin", "roundrobin", False, [("confluent", 3, 10)]),
    ("cooperative", "cooperative-sticky", False, [("confluent", 4, 10)]),
    ("static-range", "range", True, [("confluent", 2, 10)]),
    ("static-cooperative", "cooperative-sticky", True, [("confluent", 3, 10)]),
    ("mixed-range", "range", False, [("confluent", 1, 10), ("kafka-python", 3, 5)]),
    ("mixed-roundrobin", "roundrobin", False, [("confluent", 1, 10), ("kafka-python", 3, 5)]),
]


class Storm(Crews):
    """Everybody, and what befalls them. What comes of it later stands in `later`: when, to whom, what."""

    def __init__(self, bootstrap, folder, seed):
        super().__init__(bootstrap, folder, seed)
        self.later, self.deeds = [], {}
        for group, strategy, is_static, clients in GROUPS:
            for client, processes, places in clients:
                for number in range(processes):
                    instances = f"{group}-{number}" if is_static else None
                    self.crews.append(Crew(self, TOPIC, f"storm-{group}", strategy, client, places, instances))

    def strike(self):
        free = [crew for crew in self.crews if not any(busy is crew for _, busy, _ in self.later)]
        if not free:
            return
        crew = self.chance.choice(free)
        names = ["leave", "mute", "kill", "freeze", "cut", "usurp"]
        name = self.chance.choices(names, [35, 10, 15, 15, 10, 15])[0]
        self.deeds[name] = self.deeds.get(name, 0) + 1
        getattr(self, name)(crew)

    def leave(self, crew):
        for place in self.chance.sample(range(crew.places), self.chance.randint(1, 3)):
            crew.order(order="leave", place=place, pause=self.chance.choice([0, 0.5, 3]))

    def mute(self, crew):
        crew.order(order="mute", place=self.chance.randrange(crew.places), pause=self.chance.choice([3, 10]))

    def cut(self, crew):
        crew.order(order="cut")

    def kill(self, crew):
        crew.kill()
        self.at(self.chance.uniform(0, 6), crew, crew.start)

    def freeze(self, crew):
        crew.send(signal.SIGSTOP)
        self.at(self.chance.choice([0.5, 2, 6, 10]), crew, lambda: crew.send(signal.SIGCONT))

    def usurp(self, crew):
        """The process is frozen and another takes its places; then it goes on and does not know."""
        zombie = Crew(self, TOPIC, crew.group, crew.strategy, crew.client, crew.places, crew.instances)
        zombie.process = crew.process
        self.zombies.append(zombie)
        zombie.send(signal.SIGSTOP)
        crew.start()
        thawed = self.chance.uniform(0.5, 7)
        self.at(thawed, zombie, lambda: zombie.send(signal.SIGCONT))
        self.at(thawed + self.chance.uniform(1, 4), zombie, zombie.kill)

    def at(self, seconds, crew, act):
        self.later.append((time.monotonic() + seconds, crew, act))

    def catch_up(self, until=None):
        due = [one for one in self.later if one[0] <= (until or time.monotonic())]
        for one in sorted(due, key=lambda one: one[0]):
            self.later.remove(one)
            time.sleep(max(0, one[0] - time.monotonic()))
            one[2]()


class Writer(threading.Thread):
    """A steady trickle of records, so that there is something to read and to commit."""

    def __init__(self, bootstrap):
        super().__init__(daemon=True)
        self.producer, self.ends, self.problems = Producer({"bootstrap.servers": bootstrap, "log_level": 0, "linger.ms": 50}), threading.Event(), []

    def run(self):
        number = 0
        while not self.ends.wait(0.1):
            for _ in range(RECORDS_A_SECOND // 10):
                self.producer.produce(TOPIC, value=b"record %d" % number, partition=number % PARTITIONS, on_delivery=self.delivered)
                number += 1
            self.producer.poll(0)
        self.producer.flush(60)

    def delivered(self, error, _message):
        if error is not None:
            self.problems.append(error.str())

    def stop(self):
        self.ends.set()
        self.join(timeout=90)
        expect(self.problems[:3], [], "records that were not delivered")


def rage(storm, watch, seconds, has_metrics):
    """The storm itself, with looks from outside within it."""
    ends_at = time.monotonic() + seconds
    strike_at = look_at = time.monotonic()
    lag_times = [ends_at - seconds * part / (LAG_LOOKS + 1) for part in range(LAG_LOOKS, 0, -1)]
    while time.monotonic() < ends_at:
        storm.catch_up()
        if time.monotonic() >= strike_at:
            storm.strike()
            strike_at = time.monotonic() + storm.chance.expovariate(1 / 0.8)
        if time.monotonic() >= look_at:
            watch.expect_nothing_lost()
            look_at = time.monotonic() + 2
        if has_metrics and lag_times and time.monotonic() >= lag_times[0]:
            lag_times.pop(0)
            watch.expect_lag(is_quiet=False)
        time.sleep(0.05)
    storm.catch_up(until=float("inf"))


def run(checks, options):
    with broker(options.kind, options.folder, PROPERTIES) as one:
        one.start()
        storm = Storm(one.bootstrap, one.folder, options.seed)
        watch = Watch(storm, TOPIC, PARTITIONS, one.metrics_port)
        watch.admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
        writer = Writer(one.bootstrap)
        with ended(storm, checks, one):
            with checks.case(f"{sum(storm.members().values())} members, {options.seconds} s, seed {options.seed}: no acknowledged offset is missing meanwhile"):
                writer.start()
                storm.start()
                try:
                    # A broker that has just made the topic of groups may not coordinate all of them yet.
                    storm.wait_until_all_go_on(storm.accepted())
                    rage(storm, watch, options.seconds, one.metrics_port is not None)
                finally:
                    storm.catch_up(until=float("inf"))
                    writer.stop()
            with checks.case("afterwards every group is stable, every partition has an owner, everything is committed"):
                watch.wait_until_settled(watch.trouble_of_readers)
            print(f"        {storm.deeds}", flush=True)
            storm.judge_groups(checks)
            with checks.case("every record was read in every group"):
                ends = watch.ends()
                with storm.judge.lock:
                    storm.judge.expect_whole(watch.groups, ends)
            if one.metrics_port is not None:
                with checks.case("the lag metrics are what clients see"):
                    expect(watch.expect_lag(is_quiet=True), len(GROUPS) * PARTITIONS, "lag metrics")
            with checks.case("all members leave in order"):
                storm.leave_in_order()
            with checks.case("SIGTERM ends the broker in order"):
                one.stop()


if __name__ == "__main__":
    play("group-storm", __doc__, run, ("--seconds", "RINGLOG_STORM_SECONDS", "30"))
