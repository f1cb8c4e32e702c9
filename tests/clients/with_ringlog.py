"""Our own commands: do they work against Apache Kafka as well, and do they agree with Kafka's tools?"""

import json
import os

from support import ROOT, Checks, arguments, expect, expect_that, java, run

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
BINARY = os.environ.get("RINGLOG_BINARY") or str(ROOT / "target/release/ringlog")


def ringlog(bootstrap, line, stdin=b""):
    return run([BINARY, *line.split(" "), "--bootstrap-server", bootstrap], stdin).decode()


def as_json(bootstrap, line, stdin=b""):
    return json.loads(ringlog(bootstrap, f"{line} --json", stdin))


def consumed(bootstrap, line):
    return [json.loads(record) for record in ringlog(bootstrap, f"consume {line} --json").splitlines()]


def topics(bootstrap):
    ringlog(bootstrap, "topic create cli-made --partitions 5 --config retention.ms=60000")
    described = as_json(bootstrap, "topic describe cli-made")["topics"][0]
    expect(len(described["partitions"]), 5, "partitions")
    expect(described["configs"].get("retention.ms"), "60000", "what was set")
    names = [topic["name"] for topic in as_json(bootstrap, "topic list")["topics"]]
    expect_that("cli-made" in names, f"cli-made is not among {names}")
    ringlog(bootstrap, "topic delete cli-made")


def every_codec(bootstrap):
    ringlog(bootstrap, "topic create cli-codecs --partitions 3")
    for codec in CODECS:
        lines = "".join(f"{codec} {n % 7}:value {n}\n" for n in range(2000)).encode()
        sent = as_json(bootstrap, f"produce cli-codecs -K : -H codec={codec} --compression {codec}", lines)
        expect(sent["records"], 2000, "records sent")
    records = consumed(bootstrap, "cli-codecs --from-beginning --exit")
    for codec in CODECS:
        for key in range(7):
            found = [record["value"] for record in records if record["key"] == f"{codec} {key}"]
            expect(found, [f"value {n}" for n in range(2000) if n % 7 == key], f"values of {codec} {key}")
    expect({record["headers"][0]["value"] for record in records}, set(CODECS), "headers")


def partitions_of_keys(bootstrap):
    lines = "".join(f"key {n}\tx\n" for n in range(500)).encode()
    for topic in ["cli-keys-java", "cli-keys-ours"]:
        ringlog(bootstrap, f"topic create {topic} --partitions 12")
    java("org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", bootstrap, "--topic", "cli-keys-java",
         "--reader-property", "parse.key=true", stdin=lines)
    ringlog(bootstrap, "produce cli-keys-ours --property parse.key=true", lines)
    placed = lambda topic: {r["key"]: r["partition"] for r in consumed(bootstrap, f"{topic} --from-beginning --exit")}
    expect(placed("cli-keys-ours"), placed("cli-keys-java"), "partitions of keys")


def printed_as_kafka_prints(bootstrap):
    ringlog(bootstrap, "topic create cli-printed --partitions 1")
    ringlog(bootstrap, "produce cli-printed -K : -Z NULL -H a=1 -H b=2", b"k:v\nNULL:v\nk:NULL\n")
    ringlog(bootstrap, "produce cli-printed", b"plain\n")
    wanted = [f"print.{what}=true" for what in ["key", "headers", "timestamp", "partition", "offset"]]
    ours = ringlog(bootstrap, "consume cli-printed --from-beginning --exit " + " ".join(f"--property {w}" for w in wanted))
    kafkas = java("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", bootstrap, "--topic", "cli-printed",
                  "--partition", "0", "--offset", "earliest", "--max-messages", "4", "--timeout-ms", 30000,
                  *[part for what in wanted for part in ("--formatter-property", what)])
    expect(ours, kafkas.decode(), "the same records")


def configurations(bootstrap):
    ringlog(bootstrap, "topic create cli-tuned")
    ringlog(bootstrap, "config alter -t cli-tuned --set retention.ms=5000 --set max.message.bytes=2000")
    ringlog(bootstrap, "config alter -t cli-tuned --unset retention.ms")
    configs = {c["key"]: c for c in as_json(bootstrap, "config describe -t cli-tuned --all")["configs"]}
    expect((configs["max.message.bytes"]["value"], configs["max.message.bytes"]["source"]), ("2000", "topic"), "what was set")
    expect(configs["retention.ms"]["source"], "default", "what was unset")


def groups(bootstrap):
    ringlog(bootstrap, "topic create cli-read --partitions 2")
    ringlog(bootstrap, "produce cli-read --partition 0", "".join(f"{n}\n" for n in range(100)).encode())
    first = consumed(bootstrap, "cli-read --from-beginning --group cli-group -n 40")
    rest = consumed(bootstrap, "cli-read --group cli-group --exit")
    expect([int(record["value"]) for record in first + rest], list(range(100)), "each record once")
    ringlog(bootstrap, "group reset-offsets cli-group --topic cli-read:0 --to-offset 90 --execute")
    (group,) = as_json(bootstrap, "group describe cli-group")["groups"]
    found = [(offset["partition"], offset["committed_offset"], offset["lag"]) for offset in group["offsets"]]
    expect_that((0, 90, 10) in found, f"offset 90 and lag 10 of partition 0 are not in {found}")
    expect((group["state"], group["members"]), ("Empty", []), "a group without members")
    ringlog(bootstrap, "group reset-offsets cli-group --topic cli-read:0 --shift-by -50 --execute")
    expect(len(consumed(bootstrap, "cli-read --group cli-group --exit")), 60, "records behind the shift")
    ringlog(bootstrap, "group reset-offsets cli-group --topic cli-read --to-earliest --execute")
    ringlog(bootstrap, "group delete-offsets cli-group --topic cli-read:0")
    (group,) = as_json(bootstrap, "group describe cli-group")["groups"]
    expect([offset["partition"] for offset in group["offsets"]], [1], "partitions with an offset")
    ringlog(bootstrap, "group delete cli-group")
    names = [group["group"] for group in as_json(bootstrap, "group list")["groups"]]
    expect_that("cli-group" not in names, f"cli-group is still among {names}")


def main():
    bootstrap = arguments(__doc__).bootstrap
    checks = Checks("ringlog-commands")
    cases = [
        ("topics are made, described and deleted", topics),
        ("every codec, keys and headers", every_codec),
        ("keys go where Java's producer puts them", partitions_of_keys),
        ("records are printed as Kafka's console consumer prints them", printed_as_kafka_prints),
        ("configurations are told and changed", configurations),
        ("groups: offsets committed, moved, deleted", groups),
    ]
    for title, case in cases:
        with checks.case(title):
            case(bootstrap)
    checks.finish()


main()
