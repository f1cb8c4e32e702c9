"""confluent-kafka (a current librdkafka): producers, consumers by manual assignment, and the admin client."""

import time

from confluent_kafka import (Consumer, IsolationLevel, KafkaError, KafkaException, Producer, TopicCollection,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from support import AN_HOUR_AGO_MS, IN_A_DAY_MS, Checks, Difference, arguments, expect, expect_that

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def consumer(bootstrap, **more):
    settings = {"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False,
                "enable.auto.offset.store": False, "enable.partition.eof": True, "check.crcs": True}
    return Consumer(settings | {name.replace("_", "."): value for name, value in more.items()})


def read_until_end(reader, partition_count=1, seconds=30):
    """All records up to the end of each assigned partition."""
    records, ended, deadline = [], set(), time.monotonic() + seconds
    while len(ended) < partition_count:
        expect_that(time.monotonic() < deadline, f"no end of partition in {seconds} s; {len(records)} records came")
        message = reader.poll(1.0)
        if message is None:
            continue
        if message.error() is None:
            records.append(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            ended.add((message.topic(), message.partition()))
        else:
            raise KafkaException(message.error())
    return records


def make_topic(bootstrap, topic):
    """A topic that is led: with acks=0 nobody says that records came before there was a leader."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    expect(error_of(client.create_topics([NewTopic(topic, 12, 1)])), None, "creating a topic")
    reader, deadline = consumer(bootstrap), time.monotonic() + 30
    while True:
        try:
            reader.get_watermark_offsets(TopicPartition(topic, 1), timeout=10)
            break
        except KafkaException as problem:
            expect_that(time.monotonic() < deadline, f"a topic that was made is not led: {problem}")
    reader.close()


def wait_for_end(reader, partition, end, seconds=30):
    """Records sent with acks=0 arrive when they arrive."""
    deadline = time.monotonic() + seconds
    while (found := reader.get_watermark_offsets(partition, timeout=10)[1]) < end:
        expect_that(time.monotonic() < deadline, f"the partition ends at {found}, not {end}")


def produce(bootstrap, topic, count, partition=1, **settings):
    """Produces and returns the acknowledged offsets in the order of the records."""
    offsets, problems = {}, []

    def delivered(error, message, n):
        if error is None:
            offsets[n] = message.offset()
        else:
            problems.append(str(error))

    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5} | settings)
    for n in range(count):
        producer.produce(topic, key=b"k%d" % n, value=b"value %d " % n + b"z" * (n % 100), partition=partition,
                         headers=[("n", b"%d" % n), ("none", None)], timestamp=AN_HOUR_AGO_MS + n,
                         on_delivery=lambda error, message, n=n: delivered(error, message, n))
        producer.poll(0)
    expect(producer.flush(60), 0, "records without an answer after 60 s")
    expect(problems, [], "delivery failures")
    return [offsets[n] for n in range(count)]


def produce_and_consume(bootstrap, name, count=1000, **settings):
    topic = f"confluent-{name}"
    settings = {key.replace("_", "."): value for key, value in settings.items()}
    make_topic(bootstrap, topic)
    offsets = produce(bootstrap, topic, count, **settings)
    if settings.get("acks") != 0:
        expect(offsets, list(range(count)), "acknowledged offsets")
    reader = consumer(bootstrap)
    wait_for_end(reader, TopicPartition(topic, 1), count)
    reader.assign([TopicPartition(topic, 1, 0)])
    records = read_until_end(reader)
    found = [(m.offset(), m.key(), m.value(), m.headers(), m.timestamp()[1]) for m in records]
    wanted = [(n, b"k%d" % n, b"value %d " % n + b"z" * (n % 100), [("n", b"%d" % n), ("none", None)], AN_HOUR_AGO_MS + n)
              for n in range(count)]
    expect(found, wanted, "records")
    reader.close()


def seeking(bootstrap):
    topic = "confluent-seek"
    produce(bootstrap, topic, 100, partition=0)
    reader = consumer(bootstrap)
    partition = lambda offset: TopicPartition(topic, 0, offset)
    reader.assign([partition(40)])
    expect([m.offset() for m in read_until_end(reader)], list(range(40, 100)), "assigned at offset 40")
    reader.seek(partition(97))
    expect([m.offset() for m in read_until_end(reader)], [97, 98, 99], "after a seek to 97")
    reader.assign([partition(-2)])
    expect(len(read_until_end(reader)), 100, "records from the beginning")
    reader.assign([partition(-1)])
    expect(read_until_end(reader), [], "records from the end")
    at = lambda when: reader.offsets_for_times([partition(when)], timeout=10)[0].offset
    expect(at(AN_HOUR_AGO_MS + 42), 42, "first record at a time")
    expect(at(IN_A_DAY_MS), -1, "offset for a time after the last record")
    expect(reader.get_watermark_offsets(partition(0), timeout=10), (0, 100), "first and next offset")
    reader.close()


def many_partitions(bootstrap):
    topic, count = "confluent-many", 6000
    acknowledged = {}
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2})

    def delivered(error, message):
        expect(error, None, "delivery")
        acknowledged[(message.partition(), message.offset())] = message.value()

    for n in range(count):
        producer.produce(topic, value=b"%d" % n, key=b"%d" % (n % 97), on_delivery=delivered)
        producer.poll(0)
    expect(producer.flush(60), 0, "records without an answer")
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(topic, p, 0) for p in range(12)])
    found = {(m.partition(), m.offset()): m.value() for m in read_until_end(reader, 12)}
    expect(len(acknowledged), count, "acknowledged places")
    expect_that(found == acknowledged, "what was read is not what was acknowledged, place by place")
    reader.close()


def large_records(bootstrap):
    topic = "confluent-large"
    values = [bytes([n]) * 900_000 for n in range(8)]
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value=value, partition=0)
    expect(producer.flush(60), 0, "records without an answer")
    reader = consumer(bootstrap)
    reader.assign([TopicPartition(topic, 0, 0)])
    found = [m.value() for m in read_until_end(reader)]
    expect([(v[:1], len(v)) for v in found], [(v[:1], len(v)) for v in values], "first bytes and lengths of large records")
    expect_that(found == values, "large records came back changed")
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 3_000_000})
    producer.produce(topic, value=b"a" * 2_000_000, partition=0, on_delivery=lambda error, _: errors.append(error.code() if error else None))
    producer.flush(30)
    expect(errors, [KafkaError.MSG_SIZE_TOO_LARGE], "answer to a record above max.message.bytes")
    reader.close()


def error_of(futures):
    (future,) = futures.values()
    try:
        future.result(timeout=30)
    except KafkaException as problem:
        return problem.args[0].name()
    return None


def admin(bootstrap):
    client, topic = AdminClient({"bootstrap.servers": bootstrap}), "confluent-admin"
    create = lambda name, partitions=3, replicas=1, **more: error_of(client.create_topics([NewTopic(name, partitions, replicas, **more)]))
    expect(create(topic, config={"retention.ms": "3600000"}), None, "creating a topic")
    expect(create(topic), "TOPIC_ALREADY_EXISTS", "creating it again")
    expect(create("bad name"), "TOPIC_EXCEPTION", "a blank in a topic's name")
    expect(create("confluent-three", replicas=3), "INVALID_REPLICATION_FACTOR", "three replicas on one broker")
    expect(create("confluent-odd", config={"no.such.key": "1"}), "INVALID_CONFIG", "an unknown configuration key")
    expect(create("confluent-bad-value", config={"retention.ms": "soon"}), "INVALID_CONFIG", "a value that is no number")
    described = client.describe_topics(TopicCollection([topic]))[topic].result(timeout=30)
    expect([(p.id, p.leader.id, [r.id for r in p.replicas], [i.id for i in p.isr]) for p in described.partitions],
           [(n, 1, [1], [1]) for n in range(3)], "partitions, leader, replicas, in sync")
    expect_that(str(described.topic_id) != "AAAAAAAAAAAAAAAAAAAAAA", "the topic has no id")
    ends = client.list_offsets({TopicPartition(topic, 0): OffsetSpec.latest()}, isolation_level=IsolationLevel.READ_UNCOMMITTED)
    (end,) = ends.values()
    expect(end.result(timeout=30).offset, 0, "end of an empty partition")
    expect(error_of(client.delete_topics([topic])), None, "deleting a topic")
    deadline = time.monotonic() + 20
    while topic in client.list_topics(timeout=10).topics:
        expect_that(time.monotonic() < deadline, "a deleted topic is still listed")
    expect(error_of(client.delete_topics([topic])), "UNKNOWN_TOPIC_OR_PART", "deleting it again")


def configs(bootstrap):
    client, topic = AdminClient({"bootstrap.servers": bootstrap}), "confluent-configs"
    expect(error_of(client.create_topics([NewTopic(topic, 1, 1, config={"segment.bytes": "2097152"})])), None, "creating a topic")
    describe = lambda kind, name: client.describe_configs([ConfigResource(kind, name)])
    (future,) = describe(ConfigResource.Type.TOPIC, topic).values()
    found = future.result(timeout=30)
    row = lambda name: (found[name].value, found[name].is_default, found[name].is_read_only, found[name].is_sensitive)
    expect(row("segment.bytes"), ("2097152", False, False, False), "segment.bytes")
    expect(row("compression.type"), ("producer", True, False, False), "compression.type")
    expect(row("cleanup.policy"), ("delete", True, False, False), "cleanup.policy")
    (future,) = describe(ConfigResource.Type.BROKER, "1").values()
    broker = future.result(timeout=30)
    expect((broker["num.partitions"].value, broker["node.id"].value), ("12", "1"), "the broker's num.partitions and node.id")
    expect(error_of(describe(ConfigResource.Type.TOPIC, "confluent-nowhere")), "UNKNOWN_TOPIC_OR_PART", "a topic that does not exist")


def cluster(bootstrap):
    client = AdminClient({"bootstrap.servers": bootstrap})
    described = client.describe_cluster().result(timeout=30)
    expect([(n.id, f"{n.host}:{n.port}") for n in described.nodes], [(1, bootstrap)], "nodes")
    expect_that(len(described.cluster_id) == 22, f"a cluster id of 22 characters was expected, got {described.cluster_id!r}")


def unknown_topic(bootstrap):
    client = AdminClient({"bootstrap.servers": bootstrap, "allow.auto.create.topics": False})
    found = client.list_topics("confluent-nothing-here", timeout=10).topics["confluent-nothing-here"]
    expect(found.error and found.error.name(), "UNKNOWN_TOPIC_OR_PART", "error of a topic asked for without making it")
    expect_that("confluent-nothing-here" not in client.list_topics(timeout=10).topics, "asking for a topic made it")


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("confluent-kafka")
    for codec in CODECS:
        with checks.case(f"records compressed with {codec} come back whole, with keys, headers and timestamps"):
            produce_and_consume(bootstrap, f"codec-{codec}", compression_type=codec)
    for acks in (0, 1, "all"):
        with checks.case(f"acks={acks}"):
            produce_and_consume(bootstrap, f"acks-{acks}", acks=acks)
    with checks.case("an idempotent producer"):
        produce_and_consume(bootstrap, "idempotent", count=5000, enable_idempotence=True, compression_type="zstd")
    with checks.case("twelve partitions hold every record at the place that was acknowledged"):
        many_partitions(bootstrap)
    with checks.case("large records come back, larger ones than allowed are refused"):
        large_records(bootstrap)
    with checks.case("seek to an offset, the beginning, the end and a time"):
        seeking(bootstrap)
    with checks.case("a topic that does not exist is refused"):
        unknown_topic(bootstrap)
    with checks.case("topics are created, described, refused and deleted"):
        admin(bootstrap)
    with checks.case("configurations of topics and of the broker are described"):
        configs(bootstrap)
    with checks.case("the cluster is described"):
        cluster(bootstrap)
    checks.finish()


main()
