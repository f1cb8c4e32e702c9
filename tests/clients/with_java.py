"""Kafka's own Java clients and tools, as they come: console producer and consumer, VerifiableProducer, GetOffsetShell."""

import json

from support import Checks, arguments, expect, expect_that, java

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOOLS = "org.apache.kafka.tools."


def console_consumer(bootstrap, topic, partition, offset, count, *more):
    return java(TOOLS + "consumer.ConsoleConsumer", "--bootstrap-server", bootstrap, "--topic", topic, "--partition", partition,
                "--offset", offset, "--max-messages", count, "--timeout-ms", 30000, *more).decode().splitlines()


def get_offsets(bootstrap, topic, when):
    """{partition: offset} as GetOffsetShell prints it."""
    lines = java(TOOLS + "GetOffsetShell", "--bootstrap-server", bootstrap, "--topic", topic, "--time", when).decode().split()
    return {int(line.split(":")[1]): int(line.split(":")[2]) for line in lines}


def console(bootstrap, codec):
    topic, count = f"java-console-{codec}", 500
    lines = [f"key {n % 7}\tvalue {n} " + "w" * n for n in range(count)]
    java(TOOLS + "ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", topic, "--compression-codec", codec,
         "--reader-property", "parse.key=true", stdin="\n".join(lines).encode())
    ends = get_offsets(bootstrap, topic, "latest")
    expect(sum(ends.values()), count, "sum of the end offsets")
    partition, end = max(ends.items(), key=lambda entry: entry[1])
    found = console_consumer(bootstrap, topic, partition, "earliest", end, "--formatter-property", "print.key=true")
    keys = {line.split("\t")[0] for line in found}
    expect(found, [line for line in lines if line.split("\t")[0] in keys], f"records of the keys {sorted(keys)} in order")
    middle = console_consumer(bootstrap, topic, partition, end // 2, 1, "--formatter-property", "print.key=true",
                              "--formatter-property", "print.offset=true")
    expect(middle, [f"Offset:{end // 2}\t{found[end // 2]}"], "one record from the middle of the log")


def verifiable_producer(bootstrap, acks):
    topic, count = f"java-verifiable-{acks}".replace("-1", "all"), 20000
    output = java(TOOLS + "VerifiableProducer", "--bootstrap-server", bootstrap, "--topic", topic, "--max-messages", count, "--acks", acks,
                  "--repeating-keys", 101)
    events = [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]
    failures = [event for event in events if event["name"] == "producer_send_error"]
    expect(failures, [], "send errors")
    acknowledged = [event for event in events if event["name"] == "producer_send_success"]
    expect(len(acknowledged), count, "acknowledged records")
    places = {(event["partition"], event["offset"]): event["value"] for event in acknowledged}
    if acks != 0:  # without acknowledgements the producer does not learn offsets
        expect(len(places), count, "distinct places among the acknowledged records")
    ends = get_offsets(bootstrap, topic, "latest")
    expect(sum(ends.values()), count, "sum of the end offsets")
    partition, end = max(ends.items(), key=lambda entry: entry[1])
    values = console_consumer(bootstrap, topic, partition, 0, end)
    sent = [event["value"] for event in sorted(acknowledged, key=lambda event: int(event["value"])) if event["partition"] == partition]
    expect(sorted(values, key=int), sent, f"values in partition {partition}")
    if acks != 0:
        expect(values, [places[partition, offset] for offset in range(end)], f"values by offset in partition {partition}")


def offsets(bootstrap):
    topic = "java-console-none"
    earliest, latest = get_offsets(bootstrap, topic, "earliest"), get_offsets(bootstrap, topic, "latest")
    expect(earliest, {partition: 0 for partition in range(12)}, "earliest offsets")
    newest = get_offsets(bootstrap, topic, "max-timestamp")
    for partition, end in latest.items():
        if end:
            expect_that(0 <= newest[partition] < end, f"record with the largest timestamp: {newest[partition]} of {end}")


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("java")
    for codec in CODECS:
        with checks.case(f"console producer and consumer with {codec}"):
            console(bootstrap, codec)
    for acks in (0, 1, -1):
        with checks.case(f"VerifiableProducer with acks={acks}"):
            verifiable_producer(bootstrap, acks)
    with checks.case("GetOffsetShell: earliest, latest, largest timestamp"):
        offsets(bootstrap)
    checks.finish()


main()
