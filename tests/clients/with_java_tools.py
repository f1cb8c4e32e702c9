"""Kafka's own administration tools, as they come: kafka-topics, -configs, -delete-records, -log-dirs, -get-offsets, -broker-api-versions,
-leader-election, -reassign-partitions."""

import json
import pathlib
import re
import subprocess
import tempfile

from support import Checks, Difference, arguments, expect, expect_that, java_command

TOOLS = "org.apache.kafka.tools."
CONFIGS = "kafka.admin.ConfigCommand"
BOOTSTRAP = "--bootstrap-server"
# What these tools and the Java admin client need of a broker.
APIS = ["Produce", "Fetch", "ListOffsets", "Metadata", "ApiVersions", "CreateTopics", "DeleteTopics", "DeleteRecords", "DescribeConfigs",
        "AlterConfigs", "DescribeLogDirs", "CreatePartitions", "ElectLeaders", "IncrementalAlterConfigs", "AlterPartitionReassignments",
        "ListPartitionReassignments", "DescribeCluster", "ListConfigResources", "DescribeTopicPartitions"]


class Tools:
    """Runs tools against one broker."""

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def try_to(self, tool, *options, stdin=b""):
        """Exit code and everything said. kafka-configs is in the jar of the broker, so all tools run with its jars."""
        command = [str(part) for part in java_command(tool, BOOTSTRAP, self.bootstrap, *options, jars="java-reference")]
        done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180)
        lines = done.stdout.decode().splitlines()
        return done.returncode, "\n".join(line for line in lines if " INFO " not in line and not line.startswith(("\t", "SLF4J")) or "Topic: " in line)

    def run(self, tool, *options, stdin=b""):
        code, said = self.try_to(tool, *options, stdin=stdin)
        expect_that(code == 0, f"`{tool} {' '.join(map(str, options))}` ended with {code}: {said[-2000:]}")
        return said

    def refused(self, reason, tool, *options):
        """A command that must fail for a reason, by the name of the Java client's exception."""
        code, said = self.try_to(tool, *options)
        expect_that(code != 0 and reason in said, f"`{tool} {' '.join(map(str, options))}`: expected {reason}, got {code}: {said[-2000:]}")

    def topics(self, *options):
        return self.run(TOOLS + "TopicCommand", *options)

    def described(self, topic):
        """Partition count, replication factor, configs of a topic."""
        said = self.topics("--describe", "--topic", topic)
        found = re.search(r"PartitionCount: (\d+)\s+ReplicationFactor: (\d+)\s+Configs: (\S*)", said)
        expect_that(found, f"the description of {topic}: {said}")
        leaders = re.findall(r"Partition: (\d+)\s+Leader: (\d+)\s+Replicas: (\S+)\s+Isr: (\S+)", said)
        expect(len(leaders), int(found[1]), f"partitions described of {topic}")
        return int(found[1]), int(found[2]), dict(re.findall(r"([a-z.]+)=([^=]*?)(?=,[a-z.]+=|$)", found[3]))

    def configs(self, *options):
        return self.run(CONFIGS, *options)

    def offsets(self, topic, when):
        said = self.run(TOOLS + "GetOffsetShell", "--topic", topic, "--time", when)
        return {int(partition): int(offset) for partition, offset in re.findall(rf"^{topic}:(\d+):(-?\d+)$", said, re.MULTILINE)}

    def produce(self, topic, count):
        lines = "".join(f"value {number}\n" for number in range(count))
        self.run(TOOLS + "ConsoleProducer", "--topic", topic, stdin=lines.encode())


def json_file(folder, name, content):
    path = pathlib.Path(folder) / name
    path.write_text(json.dumps(content))
    return path


def topics(tools):
    topic = "tools-topics"
    tools.topics("--create", "--topic", topic, "--partitions", 3, "--config", "retention.ms=100000")
    partitions, replicas, configs = tools.described(topic)
    expect((partitions, replicas, configs["retention.ms"]), (3, 1, "100000"), "the new topic")
    tools.refused("TopicExistsException", TOOLS + "TopicCommand", "--create", "--topic", topic)
    tools.topics("--create", "--if-not-exists", "--topic", topic)
    tools.topics("--alter", "--topic", topic, "--partitions", 5)
    expect(tools.described(topic)[0], 5, "partitions after --alter")
    tools.refused("InvalidPartitionsException", TOOLS + "TopicCommand", "--alter", "--topic", topic, "--partitions", 4)
    tools.topics("--create", "--topic", "tools-placed", "--replica-assignment", "1,1")
    expect(tools.described("tools-placed")[:2], (2, 1), "a topic with replicas placed by hand")
    listed = tools.topics("--list").splitlines()
    expect_that(topic in listed and "tools-placed" in listed, f"listed: {listed}")
    for name in (topic, "tools-placed"):
        tools.topics("--delete", "--topic", name)
    expect_that(topic not in tools.topics("--list").splitlines(), "a deleted topic is listed")


def topic_configs(tools):
    topic, of_topic = "tools-configs", ("--entity-type", "topics", "--entity-name", "tools-configs")
    tools.topics("--create", "--topic", topic, "--partitions", 1)
    tools.configs("--alter", *of_topic, "--add-config", "retention.ms=5000,cleanup.policy=[compact,delete]")
    expect(tools.described(topic)[2]["retention.ms"], "5000", "retention.ms as kafka-topics sees it")
    said = tools.configs("--describe", *of_topic)
    expect_that("cleanup.policy=compact,delete" in said, f"described: {said}")
    tools.configs("--alter", *of_topic, "--delete-config", "cleanup.policy")
    said = tools.configs("--describe", *of_topic)
    expect_that("cleanup.policy" not in said and "retention.ms=5000" in said, f"after --delete-config: {said}")
    everything = tools.configs("--describe", "--all", *of_topic)
    expect_that("segment.bytes=" in everything and "max.message.bytes=" in everything, f"with --all: {everything}")
    tools.refused("InvalidConfigurationException", CONFIGS, "--alter", *of_topic, "--add-config", "no.such.key=1")
    tools.refused("InvalidConfigurationException", CONFIGS, "--alter", *of_topic, "--add-config", "retention.ms=never")


def broker_configs(tools):
    one, all_of_them = ("--entity-type", "brokers", "--entity-name", 1), ("--entity-type", "brokers", "--entity-default")
    tools.configs("--alter", *all_of_them, "--add-config", "log.retention.ms=7000001")
    tools.configs("--alter", *one, "--add-config", "log.retention.ms=7000002")
    # Kafka applies them a moment after it answered.
    wait_for(lambda: "log.retention.ms=7000001" in tools.configs("--describe", *all_of_them), "the default of all brokers")
    wait_for(lambda: "DYNAMIC_BROKER_CONFIG:log.retention.ms=7000002" in tools.configs("--describe", *one), "the broker's own value")
    tools.topics("--create", "--topic", "tools-inherits")
    said = tools.configs("--describe", "--all", "--entity-type", "topics", "--entity-name", "tools-inherits")
    expect_that("retention.ms=7000002" in said, f"what a topic inherits: {said}")
    for entity in (one, all_of_them):
        tools.configs("--alter", *entity, "--delete-config", "log.retention.ms")
    wait_for(lambda: "log.retention.ms" not in tools.configs("--describe", *one), "the broker without its own value")
    tools.refused("InvalidRequestException", CONFIGS, "--alter", *one, "--add-config", "num.partitions=4")


def wait_for(holds, what):
    for _ in range(10):
        if holds():
            return
    raise Difference(f"not seen: {what}")


def delete_records(tools):
    topic = "tools-deleted"
    tools.topics("--create", "--topic", topic, "--partitions", 1)
    tools.produce(topic, 20)
    expect(tools.offsets(topic, "latest"), {0: 20}, "the end")
    with tempfile.TemporaryDirectory() as folder:
        def delete(offset):
            asked = {"partitions": [{"topic": topic, "partition": 0, "offset": offset}], "version": 1}
            return tools.run(TOOLS + "DeleteRecordsCommand", "--offset-json-file", json_file(folder, "offsets.json", asked))

        said = delete(7)
        expect_that(re.search(rf"partition: {topic}-0\s+low_watermark: 7", said), f"deleted below 7: {said}")
        expect(tools.offsets(topic, "earliest"), {0: 7}, "the start")
        read = tools.run(TOOLS + "consumer.ConsoleConsumer", "--topic", topic, "--partition", 0, "--offset", "earliest", "--max-messages", 13)
        values = [line for line in read.splitlines() if line.startswith("value ")]
        expect(values, [f"value {number}" for number in range(7, 20)], "what is left")
        expect_that("OffsetOutOfRangeException" in delete(21), "an offset behind the end is refused")
        said = delete(-1)
        expect_that(re.search(rf"partition: {topic}-0\s+low_watermark: 20", said), f"deleted all: {said}")
        expect((tools.offsets(topic, "earliest"), tools.offsets(topic, "latest")), ({0: 20}, {0: 20}), "start and end of the emptied log")


def log_dirs(tools):
    topic = "tools-sizes"
    tools.topics("--create", "--topic", topic, "--partitions", 2)
    tools.produce(topic, 50)
    said = tools.run(TOOLS + "LogDirsCommand", "--describe", "--topic-list", topic)
    brokers = json.loads(next(line for line in said.splitlines() if line.startswith("{")))["brokers"]
    expect([(broker["broker"], len(broker["logDirs"])) for broker in brokers], [(1, 1)], "brokers and directories")
    directory = brokers[0]["logDirs"][0]
    sizes = {entry["partition"]: entry["size"] for entry in directory["partitions"]}
    expect((directory["error"], set(sizes)), (None, {f"{topic}-0", f"{topic}-1"}), "what the directory holds")
    expect_that(sum(sizes.values()) > 50 * len("value 0"), f"sizes: {sizes}")


def api_versions(tools):
    said = subprocess.run([str(part) for part in java_command(TOOLS + "BrokerApiVersionsCommand", BOOTSTRAP, tools.bootstrap)],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=180, check=True).stdout.decode()
    usable = re.findall(r"^\t(\w+)\(\d+\): .*\[usable: \d+\]", said, re.MULTILINE)
    expect([api for api in APIS if api not in usable], [], "APIs that are missing")


def features(tools):
    said = tools.run(TOOLS + "FeatureCommand", "describe")
    found = re.findall(r"Feature: (\S+)\s.*FinalizedVersionLevel: (\S+)\s+Epoch: (\d+)", said)
    expect_that(("metadata.version", "4.3-IV0") in [(name, level) for name, level, _ in found], f"features: {said}")
    expect_that(len({epoch for *_, epoch in found}) == 1, f"one epoch for all features: {said}")


def elections_and_moves(tools):
    topic = "tools-replicas"
    tools.topics("--create", "--topic", topic, "--partitions", 2)
    said = tools.run(TOOLS + "LeaderElectionCommand", "--election-type", "preferred", "--topic", topic, "--partition", 0)
    expect_that(f"Valid replica already elected for partitions {topic}-0" in said, f"an election: {said}")
    tools.run(TOOLS + "LeaderElectionCommand", "--election-type", "unclean", "--all-topic-partitions")
    reassign = TOOLS + "reassign.ReassignPartitionsCommand"
    expect_that("No partition reassignments found." in tools.run(reassign, "--list"), "nothing moves")
    with tempfile.TemporaryDirectory() as folder:
        stay = {"version": 1, "partitions": [{"topic": topic, "partition": partition, "replicas": [1]} for partition in (0, 1)]}
        stay = json_file(folder, "stay.json", stay)
        tools.run(reassign, "--execute", "--reassignment-json-file", stay)
        said = tools.run(reassign, "--verify", "--reassignment-json-file", stay)
        expect(said.count("is completed."), 2, f"partitions that are where they should be: {said}")
        move = {"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [2]}]}
        code, said = tools.try_to(reassign, "--execute", "--reassignment-json-file", json_file(folder, "move.json", move))
        expect_that(code != 0, f"a move to a broker that is not there: {said}")


def main():
    tools, checks = Tools(arguments(__doc__).bootstrap), Checks("java-tools")
    for title, case in [
        ("kafka-topics: create, describe, alter, list, delete", topics),
        ("kafka-configs of topics", topic_configs),
        ("kafka-configs of a broker and of all", broker_configs),
        ("kafka-delete-records", delete_records),
        ("kafka-log-dirs", log_dirs),
        ("kafka-broker-api-versions", api_versions),
        ("kafka-features", features),
        ("kafka-leader-election and kafka-reassign-partitions", elections_and_moves),
    ]:
        with checks.case(title):
            case(tools)
    checks.finish()


main()
