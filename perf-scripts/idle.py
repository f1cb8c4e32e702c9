#!/usr/bin/env python3
"""What does a broker cost that has nothing to do, and how soon does it answer?

   perf-scripts/idle.py target/release/ringlog [SECONDS]

Starts the binary on a free port with a directory of its own, six times on the same directory, asks ApiVersions as soon as it can
connect, then watches the last one for 20 seconds. Needs Linux and nothing else. Sample answer:

   first answer, new directory        28 ms
   first answer, directory there      41 to 82 ms
   resident                           12.6 MB
   CPU, of one core                   0.01 %
   binary                             9.7 MB
"""

import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

API_VERSIONS = 18


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def started(binary, port, data):
    """A broker, and how long it took until it had answered a request."""
    began = time.monotonic()
    broker = subprocess.Popen([binary, "start", "--listen", f"127.0.0.1:{port}", "--data-dir", data], stdout=subprocess.DEVNULL)
    request = struct.pack(">hhih", API_VERSIONS, 0, 1, -1)
    while broker.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(struct.pack(">i", len(request)) + request)
                if connection.recv(4):
                    return broker, time.monotonic() - began
        except OSError:
            time.sleep(0.0005)
    sys.exit(f"the broker ended with {broker.returncode}")


def stopped(broker):
    broker.terminate()
    if broker.wait() != 0:
        sys.exit(f"the broker ended with {broker.returncode}")


def cpu_seconds(pid):
    """Time on a core of every thread so far."""
    return sum(int(task.read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    binary, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 20
    folder = tempfile.mkdtemp(prefix="ringlog-idle-")
    try:
        data, port, times = os.path.join(folder, "data"), free_port(), []
        for _ in range(6):
            if times:
                stopped(broker)
            broker, took = started(binary, port, data)
            times.append(took * 1000)
        time.sleep(3)
        status = pathlib.Path(f"/proc/{broker.pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        before = cpu_seconds(broker.pid)
        time.sleep(seconds)
        share = (cpu_seconds(broker.pid) - before) / seconds
        stopped(broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"first answer, new directory        {times[0]:.0f} ms")
    print(f"first answer, directory there      {min(times[1:]):.0f} to {max(times[1:]):.0f} ms")
    print(f"resident                           {resident / 1024:.1f} MB")
    print(f"CPU, of one core                   {100 * share:.2f} %")
    print(f"binary                             {os.path.getsize(binary) / 1e6:.1f} MB")


main()
