"""kcat (librdkafka): does the oldest of the small tools find everything it writes, with every codec, keyed and unkeyed?"""

import json
import time

from support import Checks, arguments, expect, expect_that, run

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def kcat(bootstrap, *rest, stdin=b"", seconds=120):
    return run(["kcat", "-b", bootstrap, *rest], stdin, seconds)


def consume(bootstrap, topic, *rest):
    """(partition, offset, key, value, timestamp) of each record, ordered by partition and offset."""
    lines = kcat(bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J", *rest).splitlines()
    records = [json.loads(line) for line in lines]
    return sorted((r["partition"], r["offset"], r.get("key"), r["payload"], r["ts"]) for r in records)


def unkeyed(bootstrap, codec):
    topic, values = f"kcat-unkeyed-{codec}", [f"value {n} " + "x" * (n % 300) for n in range(2000)]
    kcat(bootstrap, "-P", "-t", topic, "-p", "3", "-z", codec, stdin="\n".join(values).encode())
    records = consume(bootstrap, topic)
    expect([r[3] for r in records], values, "values in order")
    expect([(r[0], r[1]) for r in records], [(3, n) for n in range(2000)], "partitions and offsets")


def keyed(bootstrap, codec):
    topic, pairs = f"kcat-keyed-{codec}", [(f"key {n % 50}", f"value {n}") for n in range(3000)]
    kcat(bootstrap, "-P", "-t", topic, "-K", "\t", "-z", codec, stdin="\n".join("\t".join(p) for p in pairs).encode())
    records = consume(bootstrap, topic)
    expect_that(len({r[0] for r in records}) > 6, "50 keys fell on fewer than 7 of 12 partitions")
    for key in {key for key, _ in pairs}:
        expect([r[3] for r in records if r[2] == key], [v for k, v in pairs if k == key], f"values of {key} in order")
        expect(len({r[0] for r in records if r[2] == key}), 1, f"partitions of {key}")


def metadata(bootstrap):
    kcat(bootstrap, "-P", "-t", "kcat-listed", stdin=b"one")
    listing = json.loads(kcat(bootstrap, "-L", "-J"))
    expect([b["name"] for b in listing["brokers"]], [bootstrap], "brokers")
    topics = {topic["topic"]: topic for topic in listing["topics"]}
    expect_that("kcat-listed" in topics, f"kcat-listed is not among {sorted(topics)}")
    expect(len(topics["kcat-listed"]["partitions"]), 12, "partitions of a topic made by asking for it (num.partitions)")
    for partition in topics["kcat-listed"]["partitions"]:
        expect((partition["leader"], partition["replicas"], partition["isrs"]), (1, [{"id": 1}], [{"id": 1}]), "leader, replicas, in sync")


def offsets_by_time(bootstrap):
    topic = "kcat-times"
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", stdin=b"a\nb\nc")
    after_first = int(time.time() * 1000) + 1
    while int(time.time() * 1000) <= after_first:
        time.sleep(0.001)
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", stdin=b"d\ne")
    query = lambda when: kcat(bootstrap, "-Q", "-t", f"{topic}:0:{when}").decode().strip()
    expect(query(-2), f"{topic} [0] offset 0", "earliest")
    expect(query(-1), f"{topic} [0] offset 5", "latest")
    expect(query(after_first), f"{topic} [0] offset 3", "first record at or after a time")
    expect(query(0), f"{topic} [0] offset 0", "first record after 1970")
    in_an_hour = int(time.time() * 1000) + 3_600_000
    expect(query(in_an_hour), f"{topic} [0] offset -1", "no record after this time")


def by_offset(bootstrap):
    topic = "kcat-offsets"
    kcat(bootstrap, "-P", "-t", topic, "-p", "1", stdin="\n".join(str(n) for n in range(100)).encode())
    read = lambda start, *more: kcat(bootstrap, "-C", "-t", topic, "-p", "1", "-o", start, "-e", "-q", *more).decode().split()
    expect(read("97"), ["97", "98", "99"], "from an offset in the middle of a batch")
    expect(read("-2"), ["98", "99"], "the last two")
    expect(read("10", "-c", "3"), ["10", "11", "12"], "three from offset 10")


def empty_values(bootstrap):
    topic = "kcat-empty"
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-K", ":", "-Z", "-H", "colour=red", "-H", "empty=", stdin=b"gone:\n:named by nobody\nkey:value")
    found = kcat(bootstrap, "-C", "-t", topic, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%K %k %S %s %h|").decode()
    expect(found, "4 gone -1  colour=red,empty=|-1  15 named by nobody colour=red,empty=|3 key 5 value colour=red,empty=|", "null keys, null values and headers")


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("kcat")
    for codec in CODECS:
        with checks.case(f"unkeyed records compressed with {codec} come back in order"):
            unkeyed(bootstrap, codec)
        with checks.case(f"keyed records compressed with {codec} come back in order per key"):
            keyed(bootstrap, codec)
    with checks.case("metadata lists the broker, the topic and its partitions"):
        metadata(bootstrap)
    with checks.case("offsets are found by time"):
        offsets_by_time(bootstrap)
    with checks.case("reading starts at any offset and counts back from the end"):
        by_offset(bootstrap)
    with checks.case("null keys, null values and headers come back as they were"):
        empty_values(bootstrap)
    checks.finish()


main()
