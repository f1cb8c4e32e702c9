"""Records the metadata log (KRaft) of Kafka's own broker: a snapshot, and the segment it was made from and went on in.

   tests/clients/run reference package-index     once, for the jars
   python3 record_metadata_log.py                writes core/tests/golden_data/metadata.checkpoint and metadata.log

Ids and times differ from one recording to the next; core/tests/recorded_metadata_log.rs asks for none of them but the offset that the
snapshot ends at, which is printed.
"""

import pathlib
import re
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

from support import broker, expect_that, java_command, run  # noqa: E402  (found by the line above)

TARGET = HERE.parent.parent / "core/tests/golden_data"
TOOLS = "org.apache.kafka.tools"
TOPICS, CONFIGS = f"{TOOLS}.TopicCommand", "kafka.admin.ConfigCommand"
ACLS = "org.apache.kafka.tools.AclCommand"
MORE = ["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true",
        "metadata.log.max.record.bytes.between.snapshots=1500"]


def record(one):
    def tool(main_class, *rest, stdin=b""):
        return run(java_command(main_class, "--bootstrap-server", one.bootstrap, *rest, jars="java-reference"), stdin, seconds=180)

    tool(TOPICS, "--create", "--topic", "orders", "--partitions", "3", "--config", "retention.ms=100000", "--config", "segment.bytes=1048576")
    tool(TOPICS, "--create", "--topic", "gone", "--partitions", "2", "--config", "retention.ms=5")
    tool(TOPICS, "--delete", "--topic", "gone")
    tool(TOPICS, "--alter", "--topic", "orders", "--partitions", "4")
    tool(TOPICS, "--create", "--topic", "clicks", "--partitions", "1", "--config", "cleanup.policy=compact")
    topic = ("--entity-type", "topics", "--entity-name", "orders")
    tool(CONFIGS, "--alter", *topic, "--delete-config", "segment.bytes")
    tool(CONFIGS, "--alter", "--entity-type", "brokers", "--entity-default", "--add-config", "log.retention.ms=7000001")
    tool(CONFIGS, "--alter", "--entity-type", "users", "--entity-name", "alice", "--add-config", "SCRAM-SHA-256=[password=secret]")
    tool(CONFIGS, "--alter", "--entity-type", "users", "--entity-name", "bob", "--add-config", "SCRAM-SHA-512=[password=secret]")
    tool(CONFIGS, "--alter", "--entity-type", "users", "--entity-name", "bob", "--delete-config", "SCRAM-SHA-512")
    tool(CONFIGS, "--alter", "--entity-type", "clients", "--entity-default", "--add-config", "producer_byte_rate=1048576")
    tool(CONFIGS, "--alter", "--entity-type", "groups", "--entity-name", "billing", "--add-config", "consumer.session.timeout.ms=50000")
    tool(ACLS, "--add", "--allow-principal", "User:alice", "--operation", "read", "--topic", "orders")
    tool(f"{TOOLS}.ConsoleProducer", "--topic", "orders", stdin=b"one\n")


def main():
    with broker("reference", pathlib.Path(tempfile.gettempdir()) / "ringlog-metadata-log", MORE) as one:
        one.start()
        record(one)
        one.stop()
        log = one.data / "__cluster_metadata-0"
        snapshots = sorted(path for path in log.iterdir() if re.fullmatch(r"\d{20}-\d{10}\.checkpoint", path.name))
        expect_that(len(snapshots) > 1, f"snapshots: {snapshots}")
        # One in the middle: the segment goes on behind it.
        snapshot = snapshots[len(snapshots) // 2]
        shutil.copy(snapshot, TARGET / "metadata.checkpoint")
        shutil.copy(log / "00000000000000000000.log", TARGET / "metadata.log")
    print(f"a snapshot that ends at offset {int(snapshot.name[:20])} in {TARGET}")


if __name__ == "__main__":
    main()
