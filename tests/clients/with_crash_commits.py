"""kill -9 while members of eight groups commit as fast as they can; the broker starts again on the same directory each time.

    tests/clients/run ringlog crash-commits                            twenty-five times; RINGLOG_CRASHES=200 for two hundred
    RINGLOG_STORM_SEED=7 tests/clients/run ringlog crash-commits       the same choices again

Members (group_members.py) are librdkafka's, which wait for each answer or not, and kafka-python's, which send up to five commits without an answer.
They count: whatever is told must be what somebody wanted to commit, and never less than what was acknowledged. Members also leave and come, so that
generations change while the broker dies. Nobody helps the clients to find the broker again. What can be proved is said in group_judge.py.
"""

import time

from confluent_kafka.admin import NewTopic

from group_crews import PROPERTIES, Crew, Crews, Watch, ended, play
from support import broker

TOPIC, PARTITIONS = "commits", 12
# group, strategy, [(client, processes, members each)]
GROUPS = [(f"crash-{number}", ["range", "roundrobin", "cooperative-sticky"][number % 3], [("confluent", 1, 3)]) for number in range(6)]
GROUPS += [("crash-python", "range", [("kafka-python", 1, 2)]), ("crash-mixed", "range", [("kafka-python", 1, 1), ("confluent", 1, 2)])]


def crashes(crews, watch, one, count):
    start_seconds = []
    for _ in range(count):
        before = crews.accepted()
        if crews.chance.random() < 0.6:
            crews.wait_until_all_go_on(before)
        if crews.chance.random() < 0.5:
            crew = crews.chance.choice(crews.crews)
            crew.order(order="leave", place=crews.chance.randrange(crew.places), pause=crews.chance.choice([0, 1]))
        time.sleep(crews.chance.uniform(0, 0.5))
        one.kill()
        start_seconds.append(one.start())
        watch.expect_nothing_lost()
    crews.wait_until_all_go_on(crews.accepted())
    print(f"        killed {count} times; first answers after {min(start_seconds):.2f} to {max(start_seconds):.2f} s", flush=True)


def run(checks, options):
    with broker(options.kind, options.folder, PROPERTIES) as one:
        one.start()
        crews = Crews(one.bootstrap, one.folder, options.seed)
        for group, strategy, clients in GROUPS:
            for client, processes, places in clients:
                crews.crews += [Crew(crews, TOPIC, group, strategy, client, places, work="count") for _ in range(processes)]
        watch = Watch(crews, TOPIC, PARTITIONS, one.metrics_port)
        watch.admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])[TOPIC].result(30)
        with ended(crews, checks, one):
            with checks.case(f"{options.crashes} times kill -9, seed {options.seed}: every acknowledged offset is there, clients go on without help"):
                crews.start()
                crashes(crews, watch, one, options.crashes)
            with checks.case("afterwards every group is stable and every partition has an owner"):
                watch.wait_until_settled(watch.trouble_of_groups)
            with checks.case("all members leave in order"):
                crews.leave_in_order()
            watch.expect_nothing_lost()
            crews.judge_groups(checks)
            with checks.case("what is told was committed by somebody"), crews.judge.lock:
                crews.judge.expect_nothing_invented()
            with checks.case("SIGTERM ends the broker in order"):
                one.stop()


if __name__ == "__main__":
    play("crash-commits", __doc__, run, ("--crashes", "RINGLOG_CRASHES", "25"))
