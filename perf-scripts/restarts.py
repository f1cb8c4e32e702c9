#!/usr/bin/env python3
"""How long after kill -9 does a broker take records again, and what do many partitions cost?

   perf-scripts/restarts.py log --gigabytes 1 target/release/ringlog
   perf-scripts/restarts.py log --gigabytes 20 --kafka tests/clients/.cache/java-reference
   perf-scripts/restarts.py partitions --count 10000 target/release/ringlog

`log` fills 16 partitions with durably acknowledged batches of 512 KB, kills the broker within a request, starts it again and sends a record until one
is acknowledged; three times, of which only the first has something to bring into order. `partitions` makes topics of 1,000 partitions each within 20,000 descriptors and 65,530 maps, then looks at memory and CPU
while nothing happens, and starts it again after a kill and after a stop. The page cache stays warm, as it does when a process dies. Sample answer:

   ringlog, 1.0 GB in 16 partitions: written at 431 MB/s; killed; first record taken after 3.12 s, 0.07 s, 0.07 s

With --kafka the folder holds Kafka's jars (`tests/clients/run reference` puts them there); its heap is 1 GB, as its own start script says.
The data lies below --folder and is removed afterwards.
"""

import argparse
import os
import pathlib
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

PARTITIONS, BATCH_BYTES, IN_FLIGHT = 16, 512 << 10, 4
PARTITIONS_PER_TOPIC = 1000
DESCRIPTORS_MAX, IDLE_SECONDS = 20_000, 20
START_SECONDS_MAX = 1800
PRODUCE, API_VERSIONS, CREATE_TOPICS = 0, 18, 19


def crc32c(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(number):
    number, out = number << 1, bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out) + bytes([number])


def batch(value):
    """A record batch of one record."""
    record = b"\0\0\0\1" + varint(len(value)) + value + b"\0"
    now = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + varint(len(record)) + record
    return struct.pack(">qiibI", 0, 9 + len(rest), 0, 2, crc32c(rest)) + rest


def text(words):
    return struct.pack(">h", len(words)) + words.encode()


def produce_body(topic, partition, records):
    return struct.pack(">hhi", -1, -1, 30_000) + struct.pack(">i", 1) + text(topic) + struct.pack(">iii", 1, partition, len(records)) + records


class Connection:
    def __init__(self, port, timeout):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)

    def send(self, api, version, body):
        head = struct.pack(">hhi", api, version, 1) + text("restarts")
        self.socket.sendall(struct.pack(">i", len(head) + len(body)) + head + body)

    def receive(self):
        length, = struct.unpack(">i", self._bytes(4))
        return self._bytes(length)[4:]

    def _bytes(self, count):
        found = self.socket.recv(count, socket.MSG_WAITALL)
        if len(found) < count:
            raise ConnectionError("the broker closed the connection")
        return found

    def produced(self, topic):
        """The error code of one partition's answer."""
        return struct.unpack_from(">h", self.receive(), 4 + 2 + len(topic) + 4 + 4)[0]


class Broker:
    """A broker on a directory of its own."""

    def __init__(self, options, folder):
        self.kafka, self.binary, self.port = options.kafka, options.binary, options.port
        self.folder, self.data, self.process = folder, folder / "data", None
        config = folder / "server.properties"
        config.write_text("\n".join([
            "process.roles=broker,controller", "node.id=1", f"controller.quorum.voters=1@127.0.0.1:{self.port + 1}",
            f"listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.port + 1}",
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self.port}", "controller.listener.names=CONTROLLER",
            f"inter.broker.listener.name=PLAINTEXT", f"log.dirs={self.data}", "offsets.topic.replication.factor=1"]) + "\n")
        if self.kafka:
            subprocess.run(self.java("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", config), check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.command = self.java("kafka.Kafka", config)
        else:
            self.command = [self.binary, "start", "--config", config, "--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}"]

    def java(self, *rest):
        return ["java", "-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-cp", f"{self.kafka}/*", *rest]

    @property
    def name(self):
        return "kafka" if self.kafka else "ringlog"

    def start(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS_MAX, DESCRIPTORS_MAX))
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=log, stderr=log, cwd=self.folder, preexec_fn=limit)

    def until(self, try_once):
        """Tries until it works; how many seconds since the start of the process that took."""
        started = time.monotonic()
        while True:
            try:
                if try_once():
                    return time.monotonic() - started
            except OSError:
                pass
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}: {self.last_words()}")
            if time.monotonic() - started > START_SECONDS_MAX:
                raise SystemExit(f"{self.name} takes no record after {START_SECONDS_MAX} s: {self.last_words()}")
            time.sleep(0.005)

    def until_it_answers(self):
        def ask():
            Connection(self.port, 5).send(API_VERSIONS, 0, b"")
            return True
        return self.until(ask)

    def until_it_takes(self, topic, records):
        """Until a record is acknowledged."""
        def send():
            one = Connection(self.port, 30)
            one.send(PRODUCE, 3, produce_body(topic, 0, records))
            return one.produced(topic) == 0
        return self.until(send)

    def end(self, how):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def last_words(self):
        return (self.folder / "log").read_bytes()[-1500:].decode(errors="replace")

    def make_topic(self, name, partitions):
        body = struct.pack(">i", 1) + text(name) + struct.pack(">ihii", partitions, 1, 0, 0) + struct.pack(">ib", 120_000, 0)
        one = Connection(self.port, 300)
        one.send(CREATE_TOPICS, 2, body)
        code, = struct.unpack_from(">h", one.receive(), 4 + 4 + 2 + len(name))
        if code != 0:
            raise SystemExit(f"{self.name}: {name} cannot be made: error {code}; {self.last_words()}")

    def resident_kib(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def opened(self):
        """Descriptors and maps."""
        own = pathlib.Path(f"/proc/{self.process.pid}")
        return len(list((own / "fd").iterdir())), len((own / "maps").read_text().splitlines())


def fill(broker, topic, total_bytes):
    """Keeps a few requests under way until so much is acknowledged; how long it took."""
    records, started = batch(os.urandom(BATCH_BYTES)), time.monotonic()
    one = Connection(broker.port, 120)
    sent = answered = 0
    while answered * BATCH_BYTES < total_bytes:
        while sent - answered < IN_FLIGHT and sent * BATCH_BYTES < total_bytes:
            one.send(PRODUCE, 3, produce_body(topic, sent % PARTITIONS, records))
            sent += 1
        if (code := one.produced(topic)) != 0:
            raise SystemExit(f"{broker.name} refuses a batch with error {code}")
        answered += 1
    seconds = time.monotonic() - started
    # The kill comes within a request.
    one.send(PRODUCE, 3, produce_body(topic, 0, records))
    return seconds


def measure_log(broker, options):
    small, total_bytes = batch(b"x" * 100), int(options.gigabytes * 1e9)
    broker.start()
    broker.until_it_answers()
    broker.until(lambda: broker.make_topic("filled", PARTITIONS) is None)
    broker.until_it_takes("filled", small)
    seconds = fill(broker, "filled", total_bytes)
    taken = []
    for _ in range(3):
        broker.end(signal.SIGKILL)
        broker.start()
        taken.append(broker.until_it_takes("filled", small))
    print(f"{broker.name}, {options.gigabytes:.1f} GB in {PARTITIONS} partitions: written at {total_bytes / seconds / 1e6:.0f} MB/s; killed; "
          f"first record taken after {', '.join(f'{each:.2f} s' for each in taken)}", flush=True)


def measure_partitions(broker, options):
    small = batch(b"x" * 100)
    broker.start()
    broker.until_it_answers()
    broker.until(lambda: broker.make_topic("first", 1) is None)
    broker.until_it_takes("first", small)
    time.sleep(2)
    before, started = broker.resident_kib(), time.monotonic()
    for number in range(options.count // PARTITIONS_PER_TOPIC):
        broker.make_topic(f"many-{number}", PARTITIONS_PER_TOPIC)
    broker.until_it_takes(f"many-{number}", small)
    created = time.monotonic() - started
    time.sleep(5)
    cpu = broker.cpu_seconds()
    time.sleep(IDLE_SECONDS)
    cpu, after, (descriptors, maps) = broker.cpu_seconds() - cpu, broker.resident_kib(), broker.opened()
    print(f"{broker.name}, {options.count} partitions: made in {created:.1f} s; {(after - before) / options.count:.1f} KiB of memory for each idle one "
          f"({after / 1024:.0f} MiB in all), {descriptors} descriptors and {maps} maps; {cpu / IDLE_SECONDS * 1000:.1f} ms of CPU a second while idle",
          flush=True)
    for how, words in ((signal.SIGKILL, "kill -9"), (signal.SIGKILL, "kill -9"), (signal.SIGTERM, "a stop")):
        stopping = time.monotonic()
        broker.end(how)
        stopping = time.monotonic() - stopping
        broker.start()
        took = broker.until_it_takes("many-0", small)
        print(f"   first record after {words}: {took:.2f} s" + (f" (it took {stopping:.2f} s to stop)" if how == signal.SIGTERM else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("log", "partitions"))
    parser.add_argument("binary", nargs="?", help="Ringlog's")
    parser.add_argument("--kafka", type=pathlib.Path, help="a folder with Kafka's jars, instead")
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=19592, help="this one and the next")
    parser.add_argument("--folder", type=pathlib.Path, help="where the data lies meanwhile")
    options = parser.parse_intermixed_args()
    if (options.binary is None) == (options.kafka is None):
        parser.error("either a binary or --kafka")
    options.binary, options.kafka = (path and pathlib.Path(path).resolve() for path in (options.binary, options.kafka))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="restarts-", dir=options.folder))
    broker = Broker(options, folder)
    try:
        (measure_log if options.what == "log" else measure_partitions)(broker, options)
    finally:
        broker.end(signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
