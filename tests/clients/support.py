"""What every client script here needs: cases that say what differed, a broker to talk to, a free port.

A script takes --bootstrap HOST:PORT, prints one line per case and then `N passed, M failed`, and exits non-zero if a case failed.
The broker is Ringlog's release binary, or (suite.py reference) Apache Kafka itself: what Kafka answers is what is expected here.
Every process is ended by its own id.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = HERE / ".cache"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
# Record times of our own making lie an hour back: far enough to be told from now, too young to be retention's.
AN_HOUR_AGO_MS = int(time.time()) * 1000 - 3_600_000
IN_A_DAY_MS = AN_HOUR_AGO_MS + 86_400_000


class Difference(Exception):
    """A case's own words for what differed from what Kafka does."""


class Checks:
    """Counts cases; a failed one is told and does not stop the next."""

    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0

    @contextlib.contextmanager
    def case(self, title):
        started = time.monotonic()
        try:
            yield
        except Exception as problem:  # a client library may raise anything: all of it is a failed case
            self.failed += 1
            words = str(problem) if isinstance(problem, Difference) else traceback.format_exc()
            print(f"FAILED  {self.name}: {title}: {words}", flush=True)
        else:
            self.passed += 1
            print(f"ok      {self.name}: {title} ({time.monotonic() - started:.1f} s)", flush=True)

    def finish(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def expect(found, expected, what):
    if found != expected:
        raise Difference(f"{what}: expected {shown(expected)}, got {shown(found)}")


def expect_that(holds, words):
    if not holds:
        raise Difference(words)


def shown(value):
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT of a running broker")
    return parser.parse_args()


def run(command, stdin=b"", seconds=120):
    """Output of a command that must succeed."""
    command = [str(part) for part in command]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds)
    if done.returncode != 0:
        raise Difference(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr[-2000:].decode(errors='replace')}")
    return done.stdout


def java(main_class, *rest, stdin=b"", seconds=180):
    return run(java_command(main_class, *rest), stdin, seconds)


def java_command(main_class, *rest, jars="java-tools", heap="256m"):
    """Tools live for a second: the quick compiler, and classes from the archive that `run` makes (without it they start slower)."""
    archive = CACHE / jars / "classes.jsa"
    return ["java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-XX:SharedArchiveFile={archive}", "-cp", f"{CACHE / jars}/*",
            main_class, *rest]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """A broker process on a directory: start, kill -9, start again on the same directory, stop."""

    def __init__(self, kind, folder, more=()):
        """`more`: lines of server.properties beside those that every test has."""
        self.kind, self.folder = kind, pathlib.Path(folder)
        self.port, self.controller_port = free_port(), free_port()
        self.metrics_port = free_port() if kind == "ringlog" else None
        self.data, self.log = self.folder / "data", self.folder / "broker.log"
        self.process = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = self.folder / "server.properties"
        self.config.write_text(self._properties() + "".join(f"{line}\n" for line in more))
        if kind == "reference":
            run(java_command("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", self.config,
                             jars="java-reference"))

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        """Starts the process and waits for its first answer; returns how long that took, in seconds."""
        expect_that(self.process is None, "the broker runs already")
        started = time.monotonic()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self._command(), stdout=log, stderr=log, cwd=self.folder)
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - started > START_SECONDS_MAX:
                code = self.process.poll()
                raise Difference(f"the broker did not start (exit {code}): {self.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - started

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self):
        """SIGTERM, which must end it in order and with 0 (Kafka ends with 143, as a JVM does)."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=STOP_SECONDS_MAX)
        self.process = None
        expect(code, 143 if self.kind == "reference" else 0, f"exit code after SIGTERM; {self.log_tail()}")

    def end(self):
        """Ends the process whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.process = None

    def log_tail(self):
        return self.log.read_bytes()[-3000:].decode(errors="replace")

    def _command(self):
        if self.kind == "reference":
            return java_command("kafka.Kafka", str(self.config), jars="java-reference", heap="512m")
        binary = os.environ.get("RINGLOG_BINARY", str(ROOT / "target/release/ringlog"))
        return [binary, "start", "--config", str(self.config), "--data-dir", str(self.data), "--listen", self.bootstrap]

    def _properties(self):
        lines = [
            "process.roles=broker,controller",
            "node.id=1",
            f"controller.quorum.voters=1@127.0.0.1:{self.controller_port}",
            f"listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port}",
            f"advertised.listeners=PLAINTEXT://{self.bootstrap}",
            "controller.listener.names=CONTROLLER",
            "inter.broker.listener.name=PLAINTEXT",
            f"log.dirs={self.data}",
            # Several shards, so that requests cross from one to another.
            f"ringlog.cores={len(os.sched_getaffinity(0))}",
            "num.partitions=12",
            "log.segment.bytes=67108864",
            "log.retention.check.interval.ms=1000",
            "offsets.topic.replication.factor=1",
            "transaction.state.log.replication.factor=1",
            "transaction.state.log.min.isr=1",
        ]
        if self.metrics_port is not None:
            lines.append(f"ringlog.metrics.listen=127.0.0.1:{self.metrics_port}")
        return "\n".join(lines) + "\n"

    def _answers(self):
        """One ApiVersions request, version 0: the first thing every client asks."""
        body = b"\x00\x12\x00\x00\x00\x00\x00\x07\x00\x05probe"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.settimeout(5)
                connection.sendall(len(body).to_bytes(4, "big") + body)
                answer = connection.recv(10, socket.MSG_WAITALL)
            return answer[4:10] == b"\x00\x00\x00\x07\x00\x00"
        except OSError:
            return False


@contextlib.contextmanager
def broker(kind, folder, more=()):
    """A broker on a fresh folder, ended and removed afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    one = Broker(kind, folder, more)
    try:
        yield one
    finally:
        one.end()
        shutil.rmtree(folder, ignore_errors=True)
