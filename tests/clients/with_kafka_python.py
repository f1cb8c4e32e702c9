"""kafka-python: a client of its own making (no librdkafka, no Java), by manual assignment and without groups."""

import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import (InvalidPartitionsError, InvalidReplicationFactorError, InvalidTopicError, KafkaError,
                          OffsetOutOfRangeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError)

from support import AN_HOUR_AGO_MS, IN_A_DAY_MS, Checks, Difference, arguments, expect, expect_that

CODECS = [None, "gzip", "snappy", "lz4", "zstd"]


def consumer(bootstrap, **more):
    return KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, **more)


def read_until_end(reader, seconds=30):
    """All records of the assigned partitions from where the reader stands to the ends at the time of the call."""
    ends = reader.end_offsets(list(reader.assignment()))
    records, deadline = [], time.monotonic() + seconds
    while any(reader.position(partition) < end for partition, end in ends.items()):
        expect_that(time.monotonic() < deadline, f"the ends {ends} were not reached; {len(records)} records came")
        for batch in reader.poll(timeout_ms=500).values():
            records.extend(batch)
    return records


def produce_and_consume(bootstrap, name, count=1000, **settings):
    topic, partition = f"kafka-python-{name}", TopicPartition(f"kafka-python-{name}", 2)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, **settings)
    sent = [producer.send(topic, key=b"k%d" % n, value=b"value %d " % n + b"y" * (n % 100), partition=2,
                          headers=[("n", b"%d" % n)], timestamp_ms=AN_HOUR_AGO_MS + n) for n in range(count)]
    producer.flush(timeout=60)
    if settings.get("acks") != 0:
        expect([future.get(timeout=30).offset for future in sent], list(range(count)), "acknowledged offsets")
    producer.close()
    reader = consumer(bootstrap)
    reader.assign([partition])
    reader.seek_to_beginning(partition)
    if settings.get("acks") == 0:
        deadline = time.monotonic() + 30
        while reader.end_offsets([partition])[partition] < count:
            expect_that(time.monotonic() < deadline, "records sent with acks=0 did not arrive")
    found = [(r.offset, r.key, r.value, r.headers, r.timestamp, r.timestamp_type) for r in read_until_end(reader)]
    reader.close()
    wanted = [(n, b"k%d" % n, b"value %d " % n + b"y" * (n % 100), [("n", b"%d" % n)], AN_HOUR_AGO_MS + n, 0) for n in range(count)]
    expect([tuple(map(plain, r)) for r in found], [tuple(map(plain, r)) for r in wanted], "records")


def plain(value):
    return [tuple(pair) for pair in value] if isinstance(value, (list, tuple)) else value


def seeking(bootstrap):
    topic = "kafka-python-seek"
    partition = TopicPartition(topic, 0)
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for n in range(100):
        producer.send(topic, value=b"%d" % n, partition=0, timestamp_ms=AN_HOUR_AGO_MS + 1000 * n).get(timeout=30)
    producer.close()
    reader = consumer(bootstrap)
    reader.assign([partition])
    reader.seek(partition, 40)
    expect([r.offset for r in read_until_end(reader)], list(range(40, 100)), "after a seek to offset 40")
    reader.seek_to_beginning(partition)
    expect(len(read_until_end(reader)), 100, "records after a seek to the beginning")
    reader.seek_to_end(partition)
    expect(reader.position(partition), 100, "position after a seek to the end")
    at = lambda when: reader.offsets_for_times({partition: when})[partition]
    found = at(AN_HOUR_AGO_MS + 1000 * 41 + 1)
    expect((found.offset, found.timestamp), (42, AN_HOUR_AGO_MS + 42_000), "first record at or after a time")
    expect(at(IN_A_DAY_MS), None, "offset for a time after the last record")
    expect((reader.beginning_offsets([partition])[partition], reader.end_offsets([partition])[partition]), (0, 100), "ends")
    reader.close()


def out_of_range(bootstrap):
    topic = "kafka-python-seek"
    partition = TopicPartition(topic, 0)
    reader = consumer(bootstrap, auto_offset_reset="none")
    reader.assign([partition])
    reader.seek(partition, 101)
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            records = reader.poll(timeout_ms=500)
            expect(records, {}, "records beyond the end")
        raise Difference("reading beyond the end was not refused with OFFSET_OUT_OF_RANGE")
    except OffsetOutOfRangeError:
        pass
    finally:
        reader.close()


def retention(bootstrap):
    """Records older than retention.ms go, the partition becomes empty; who stood below is sent to where the log begins."""
    topic, client = "kafka-python-retention", KafkaAdminClient(bootstrap_servers=bootstrap)
    client.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "2000"})])
    partition, producer = TopicPartition(topic, 0), KafkaProducer(bootstrap_servers=bootstrap)
    send = lambda value: producer.send(topic, value=value, partition=0).get(timeout=30).offset
    expect([send(b"old %d" % n) for n in range(5)], list(range(5)), "offsets of the old records")
    reader = consumer(bootstrap, auto_offset_reset="earliest")
    reader.assign([partition])
    reader.seek(partition, 2)
    # Apache Kafka looks for the first time half a minute after its start.
    deadline = time.monotonic() + 60
    while reader.beginning_offsets([partition])[partition] < 5:
        expect_that(time.monotonic() < deadline, "old records are still there")
        time.sleep(0.2)
    expect(reader.end_offsets([partition])[partition], 5, "the end of the emptied partition")
    expect(reader.offsets_for_times({partition: 0})[partition], None, "an offset by time in an emptied partition")
    expect(send(b"new"), 5, "the offset of the next record")
    expect([(r.offset, r.value) for r in read_until_end(reader)], [(5, b"new")], "records for a reader that stood at 2")
    reader.close()
    strict = consumer(bootstrap, auto_offset_reset="none")
    strict.assign([partition])
    strict.seek(partition, 2)
    try:
        expect(strict.poll(timeout_ms=10_000), {}, "records below the begin of the log")
        raise Difference("reading below the begin of the log was not refused with OFFSET_OUT_OF_RANGE")
    except OffsetOutOfRangeError:
        pass
    finally:
        strict.close()
        producer.close()
        client.close()


def refused(call, error, what):
    try:
        call()
    except error:
        return
    except KafkaError as other:
        raise Difference(f"{what}: expected {error.__name__}, got {other!r}") from other
    raise Difference(f"{what}: expected {error.__name__}, but it was accepted")


def admin(bootstrap):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    topic = "kafka-python-admin"
    client.create_topics([NewTopic(topic, 5, 1, topic_configs={"retention.ms": "7200000"})])
    described = client.describe_topics([topic])
    described = described[topic] if isinstance(described, dict) else described[0]
    partitions = described["partitions"]
    expect(sorted((p["partition_index"], p["leader_id"]) for p in partitions), [(n, 1) for n in range(5)], "partitions and leaders")
    create = lambda name, partitions, replicas: lambda: client.create_topics([NewTopic(name, partitions, replicas)])
    refused(create(topic, 5, 1), TopicAlreadyExistsError, "a second topic of one name")
    refused(create("bad/name", 1, 1), InvalidTopicError, "a topic with a slash in its name")
    refused(create("kafka-python-two-replicas", 1, 2), InvalidReplicationFactorError, "two replicas on one broker")
    refused(create("kafka-python-no-partition", 0, 1), InvalidPartitionsError, "a topic without partitions")
    client.create_topics([NewTopic("kafka-python-dry", 1, 1)], validate_only=True)
    expect_that("kafka-python-dry" not in client.list_topics(), "validate_only made a topic")
    client.delete_topics([topic])
    deadline = time.monotonic() + 20
    while topic in client.list_topics():
        expect_that(time.monotonic() < deadline, "a deleted topic is still listed")
    refused(lambda: client.delete_topics([topic]), UnknownTopicOrPartitionError, "deleting a topic that is gone")
    client.close()


def configs(bootstrap):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    topic = "kafka-python-configs"
    client.create_topics([NewTopic(topic, 1, 1, topic_configs={"segment.bytes": "1048576", "max.message.bytes": "2000000"})])
    found, deadline = {}, time.monotonic() + 20
    while "segment.bytes" not in found:  # a new topic reaches the brokers' image in a moment
        answer = client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        collect(answer, found)
        expect_that(time.monotonic() < deadline, f"segment.bytes is not among {sorted(found)}: {answer}")
    value = lambda name: str(found[name]["value"] if isinstance(found[name], dict) else found[name])
    expect((value("segment.bytes"), value("max.message.bytes"), value("cleanup.policy")), ("1048576", "2000000", "delete"), "values")
    client.delete_topics([topic])
    client.close()


def collect(answer, found):
    """Configuration entries wherever this client version puts them: {name: value or {"value": ...}}."""
    if isinstance(answer, dict):
        for name, entry in answer.items():
            if "." in str(name) and not isinstance(entry, list):
                found[name] = entry
            else:
                collect(entry, found)
    elif isinstance(answer, (list, tuple)):
        for entry in answer:
            collect(entry, found)


def cluster(bootstrap):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    described = client.describe_cluster()
    expect([(b["broker_id"], f"{b['host']}:{b['port']}") for b in described["brokers"]], [(1, bootstrap)], "brokers")
    expect(described["controller_id"], 1, "controller")
    expect_that(len(described["cluster_id"]) == 22, f"a cluster id of 22 characters was expected, got {described['cluster_id']!r}")
    client.close()


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("kafka-python")
    for codec in CODECS:
        with checks.case(f"records compressed with {codec} come back whole, with keys, headers and timestamps"):
            produce_and_consume(bootstrap, f"codec-{codec}", compression_type=codec)
    for acks in (0, 1, "all"):
        with checks.case(f"acks={acks} without idempotence"):
            produce_and_consume(bootstrap, f"acks-{acks}", acks=acks, enable_idempotence=False)
    with checks.case("an idempotent producer"):
        produce_and_consume(bootstrap, "idempotent", count=5000, enable_idempotence=True, compression_type="lz4")
    with checks.case("seek to an offset, the beginning, the end and a time"):
        seeking(bootstrap)
    with checks.case("reading beyond the end is refused"):
        out_of_range(bootstrap)
    with checks.case("old records go, and a reader that stood below goes where it was told to"):
        retention(bootstrap)
    with checks.case("topics are created, described, refused and deleted"):
        admin(bootstrap)
    with checks.case("a topic's configuration is described"):
        configs(bootstrap)
    with checks.case("the cluster is described"):
        cluster(bootstrap)
    checks.finish()


main()
