"""Kafka Connect: FileStream source and sink, standalone and distributed, through the REST interface, a worker killed."""

import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from confluent_kafka.admin import AdminClient, NewTopic

from support import ROOT, Checks, arguments, expect, expect_that, free_port, java_command

SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
WORKER = {
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "offset.flush.interval.ms": "500",
    # The sink's own consumer: how long its group waits for one that was killed.
    "consumer.session.timeout.ms": "6000", "consumer.heartbeat.interval.ms": "1000",
}
DISTRIBUTED = {
    "group.id": "connect-cluster",
    "offset.storage.topic": "connect-offsets", "offset.storage.replication.factor": "1", "offset.storage.partitions": "5",
    "config.storage.topic": "connect-configs", "config.storage.replication.factor": "1",
    "status.storage.topic": "connect-status", "status.storage.replication.factor": "1", "status.storage.partitions": "5",
    "session.timeout.ms": "10000", "heartbeat.interval.ms": "1000", "scheduled.rebalance.max.delay.ms": "1000",
}


def properties(path, entries):
    path.write_text("".join(f"{key}={value}\n" for key, value in entries.items()))
    return str(path)


class Worker:
    """A Connect worker process with its REST interface."""

    def __init__(self, folder, name, main_class, bootstrap, more, connectors=()):
        self.port, self.log = free_port(), folder / f"{name}.log"
        settings = WORKER | {"bootstrap.servers": bootstrap, "listeners": f"http://127.0.0.1:{self.port}"} | more
        command = java_command(main_class, properties(folder / f"{name}.properties", settings), *connectors, heap="384m")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def rest(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def wait_for(self, path, holds, words, seconds=90):
        deadline, found = time.monotonic() + seconds, None
        while True:
            with contextlib.suppress(OSError, urllib.error.HTTPError):
                found = self.rest("GET", path)
                if holds(found):
                    return found
            last_words = self.log.read_text(errors="replace")[-1500:] if self.process.poll() is not None else ""
            expect_that(self.process.poll() is None and time.monotonic() < deadline, f"{words}: {found}; {last_words}")
            time.sleep(0.2)

    def end(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(timeout=40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def is_running(status):
    return status["connector"]["state"] == "RUNNING" and status["tasks"] and all(task["state"] == "RUNNING" for task in status["tasks"])


def wait_for_lines(path, lines, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= len(lines):
            break
        expect_that(time.monotonic() < deadline, f"{len(found)} of {len(lines)} lines came through after {seconds} s")
        time.sleep(0.1)
    return found


def connector(kind, file, topic):
    topics = "topic" if kind == SOURCE else "topics"
    return {"connector.class": kind, "tasks.max": "1", "file": str(file), topics: topic}


def standalone(bootstrap, folder):
    lines = (ROOT / "LICENSE").read_text().splitlines()
    source, sink = folder / "standalone-in.txt", folder / "standalone-out.txt"
    source.write_text("\n".join(lines) + "\n")
    files = [properties(folder / f"standalone-{name}.properties", {"name": f"standalone-{name}"} | connector(kind, file, "connect-standalone"))
             for name, kind, file in (("source", SOURCE, source), ("sink", SINK, sink))]
    more = {"offset.storage.file.filename": str(folder / "standalone.offsets")}
    worker = Worker(folder, "standalone", "org.apache.kafka.connect.cli.ConnectStandalone", bootstrap, more, files)
    try:
        for name in ("source", "sink"):
            worker.wait_for(f"/connectors/standalone-{name}/status", is_running, f"{name} does not run")
        expect(wait_for_lines(sink, lines), lines, "lines that came through")
    finally:
        worker.end()


def distributed(bootstrap, folder):
    """Two workers; the one is killed, the other takes over: every line comes through, in order, at least once."""
    lines = (ROOT / "LICENSE").read_text().splitlines()
    source, sink = folder / "distributed-in.txt", folder / "distributed-out.txt"
    source.write_text("\n".join(lines) + "\n")
    workers = [Worker(folder, name, "org.apache.kafka.connect.cli.ConnectDistributed", bootstrap, DISTRIBUTED) for name in ("one", "two")]
    try:
        for worker in workers:
            worker.wait_for("/connectors", lambda found: found == [], "a worker does not serve its REST interface")
        one, two = workers
        one.rest("PUT", "/connectors/far-source/config", connector(SOURCE, source, "connect-distributed"))
        two.rest("PUT", "/connectors/far-sink/config", connector(SINK, sink, "connect-distributed"))
        for name in ("far-source", "far-sink"):
            two.wait_for(f"/connectors/{name}/status", is_running, f"{name} does not run")
        expect(wait_for_lines(sink, lines), lines, "lines that came through")
        one.end(signal.SIGKILL)
        alive = f"127.0.0.1:{two.port}"

        def has_moved(status):
            return is_running(status) and all(part["worker_id"] == alive for part in [status["connector"], *status["tasks"]])

        for name in ("far-source", "far-sink"):
            two.wait_for(f"/connectors/{name}/status", has_moved, f"{name} was not taken over")
        more = [f"after the kill {n}" for n in range(500)]
        with open(source, "a") as file:
            file.write("\n".join(more) + "\n")
        deadline = time.monotonic() + 60
        while (found := sink.read_text().splitlines())[-1:] != more[-1:]:
            expect_that(time.monotonic() < deadline, f"the last line is {found[-1:]}")
            time.sleep(0.1)
        # At least once: a task that moved may repeat lines, never leave one out.
        first_seen = list(dict.fromkeys(line for line in found if line.startswith("after the kill")))
        expect(first_seen, more, "lines written after the kill, repetitions left out")
        expect_that(all(line in set(found) for line in lines), "a line of before the kill is gone")
        two.rest("DELETE", "/connectors/far-source")
        two.rest("DELETE", "/connectors/far-sink")
        two.wait_for("/connectors", lambda names: names == [], "deleted connectors are still there")
    finally:
        for worker in workers:
            worker.end()


def create_topics(bootstrap):
    """Lines have an order within a partition only, and whoever asks for a topic first makes it with the broker's number of partitions."""
    topics = [NewTopic(name, num_partitions=1, replication_factor=1) for name in ("connect-standalone", "connect-distributed")]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics(topics).values():
        created.result(timeout=60)


def main():
    bootstrap, checks = arguments(__doc__).bootstrap, Checks("connect")
    create_topics(bootstrap)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringlog-connect-"))
    try:
        with checks.case("standalone: a file through a topic into a file"):
            standalone(bootstrap, folder)
        with checks.case("distributed: two workers, one killed, nothing lost"):
            distributed(bootstrap, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    checks.finish()


main()
