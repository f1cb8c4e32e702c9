"""Records what Kafka's own broker writes to __consumer_offsets while clients of every kind of group work with it.

   tests/clients/run reference package-index     once, for the jars
   python3 record_consumer_offsets.py            writes core/tests/golden_data/consumer_offsets.log, one segment

Names, times and ids differ from one recording to the next; core/tests/recorded_consumer_offsets.rs asks for none of them.
"""

import pathlib
import shutil
import socket
import struct
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

from support import broker, expect, java_command, run  # noqa: E402  (found by the line above)

TARGET = HERE.parent.parent / "core/tests/golden_data/consumer_offsets.log"
TOOLS = "org.apache.kafka.tools"
GROUPS = f"{TOOLS}.consumer.group.ConsumerGroupCommand"
TOPIC = "orders"
RECORDS = 30


def tool(bootstrap, main_class, *rest, stdin=b""):
    return run(java_command(main_class, "--bootstrap-server", bootstrap, *rest, jars="java-reference"), stdin, seconds=180)


def consume(bootstrap, group, *properties):
    """A consumer that reads everything, commits, and leaves."""
    given = [part for one in properties for part in ("--command-property", one)]
    output = tool(bootstrap, f"{TOOLS}.consumer.ConsoleConsumer", "--topic", TOPIC, "--group", group, "--from-beginning",
                  "--max-messages", str(RECORDS), *given)
    expect(len(output.split()), RECORDS, f"records that {group} read")


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def commit(port, version, group, offset, retention_ms=None):
    """One OffsetCommit of a client that is no member; versions 2 to 4 say how long to keep the offset."""
    body = text(group) + struct.pack(">i", -1) + text("")
    body += struct.pack(">q", retention_ms) if version <= 4 else b""
    epoch = struct.pack(">i", 0) if version >= 6 else b""
    body += struct.pack(">i", 1) + text(TOPIC) + struct.pack(">iiq", 1, 0, offset) + epoch + text("by hand")
    request = struct.pack(">hhi", 8, version, 1) + text("recorder") + body
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
        answer = connection.recv(size, socket.MSG_WAITALL)
    expect(struct.unpack(">h", answer[-2:])[0], 0, f"error code of OffsetCommit version {version}")


def record(one):
    bootstrap = one.bootstrap
    tool(bootstrap, f"{TOOLS}.TopicCommand", "--create", "--topic", TOPIC, "--partitions", "3")
    tool(bootstrap, f"{TOOLS}.ConsoleProducer", "--topic", TOPIC, stdin=b"".join(b"%d\n" % n for n in range(RECORDS)))
    consume(bootstrap, "classic")
    consume(bootstrap, "static", "group.instance.id=one")
    consume(bootstrap, "modern", "group.protocol=consumer")
    tool(bootstrap, f"{TOOLS}.consumer.ConsoleShareConsumer", "--topic", TOPIC, "--group", "share", "--timeout-ms", "5000")
    tool(bootstrap, GROUPS, "--reset-offsets", "--to-earliest", "--execute", "--group", "reset", "--topic", TOPIC)
    tool(bootstrap, GROUPS, "--delete-offsets", "--group", "reset", "--topic", f"{TOPIC}:1")
    for version, retention_ms in ((2, 3_600_000), (4, -1), (5, None), (6, None)):
        commit(one.port, version, f"version-{version}", 7, retention_ms)
    tool(bootstrap, GROUPS, "--delete", "--group", "classic")


def main():
    with broker("reference", pathlib.Path(tempfile.gettempdir()) / "ringlog-consumer-offsets") as one:
        one.config.write_text(one.config.read_text() + "offsets.topic.num.partitions=1\n")
        one.start()
        record(one)
        one.stop()
        shutil.copy(one.data / "__consumer_offsets-0/00000000000000000000.log", TARGET)
    print(f"{TARGET.stat().st_size} bytes in {TARGET}")


if __name__ == "__main__":
    main()
