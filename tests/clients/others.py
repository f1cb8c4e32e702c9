"""The test suites of other projects, as they are published, against one broker: what fails must be listed in `others_expected.json`.

   others.py --kind ringlog --folder F                   those that need nothing more than Python
   others.py --kind ringlog --folder F franz-go rdkafka  these (franz-go needs Go, rdkafka needs Rust and port 9092)

A suite is fetched from its registry into .cache when it is first run. A test that fails and is not listed, or is listed and does not fail, is a
failed case: the list is what docs/clients.md tells, no more and no less.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

from support import CACHE, HERE, Broker, Checks, expect_that

EXPECTED = json.loads((HERE / "others_expected.json").read_text())
SUITE_SECONDS_MAX = 900
# What these suites expect of a broker that their own scripts would start.
# Some write records of 1970, which retention must not find before they are read.
SETTINGS = {"num.partitions": "4", "group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "500",
            "log.retention.check.interval.ms": "300000"}
# rdkafka's tests count on the usual port and on three partitions.
OF_SUITE = {"rdkafka": (9092, {"num.partitions": "3"})}


class Told(Exception):
    """A suite that did not run at all."""


class BrokerZero(Broker):
    """A broker as a suite's own scripts start it; its id is 0."""

    def __init__(self, kind, folder, suite):
        port, more = OF_SUITE.get(suite, (None, {}))
        self.settings = SETTINGS | more
        super().__init__(kind, folder)
        if port:
            self.port = port
            self.config.write_text(self._properties())

    def _properties(self):
        lines = super()._properties().replace("node.id=1", "node.id=0").replace("=1@127", "=0@127").splitlines()
        kept = [line for line in lines if line.partition("=")[0] not in self.settings]
        return "\n".join(kept + [f"{key}={value}" for key, value in self.settings.items()]) + "\n"


def called(command, folder, **environment):
    """What a command says, whatever it ends with."""
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=SUITE_SECONDS_MAX)
    return done.stdout.decode(errors="replace")


def kafka_python(bootstrap):
    """Outcomes by test. The published tests lack one small module, which starts and stops brokers: ours does neither."""
    version = re.search(r"^kafka-python==(\S+)", (HERE / "requirements.txt").read_text(), re.MULTILINE)[1]
    folder = CACHE / "others" / f"kafka_python-{version}"
    if not (folder / "test" / "service.py").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:",
                        f"kafka-python=={version}", "-d", folder.parent], check=True)
        with tarfile.open(folder.with_suffix(folder.suffix + ".tar.gz")) as archive:
            archive.extractall(folder.parent, filter="data")
        (folder / "servers" / "4.3.1" / "kafka-bin").mkdir(parents=True)
        (folder / "test" / "__init__.py").touch()
        (folder / "test" / "service.py").write_text("class ExternalService:\n    def __init__(self, *address): pass\n    open = close = lambda self: None\n\n\n"
                                                    "class SpawnedService:\n    def __init__(self, *command): raise RuntimeError('starts no broker')\n")
    said = called([sys.executable, "-m", "pytest", "test/integration", "-q", "--tb=short", "--timeout", "60", "--timeout-method=signal",
                   "-p", "no:cacheprovider", "-p", "no:logging", "-W", "ignore", "-rA"], folder,
                  KAFKA_VERSION="4.3.1", KAFKA_URI=f"kafka://{bootstrap}")
    return outcomes(said, re.findall(r"^(PASSED|FAILED|ERROR) test/integration/\w+\.py::(\S+)", said, re.MULTILINE))


def franz_go(bootstrap):
    version = "v1.22.3"
    folder = CACHE / "others" / f"franz-go-{version}"
    if not folder.exists():
        known = json.loads(subprocess.run(["go", "mod", "download", "-json", f"github.com/twmb/franz-go@{version}"], check=True,
                                          stdout=subprocess.PIPE).stdout)
        shutil.copytree(known["Dir"], folder)
        subprocess.run(["chmod", "-R", "u+w", folder], check=True)
    said = called(["go", "test", "./pkg/kgo", "-run", "TestGroup", "-count=1", "-v"], folder, KGO_SEEDS=bootstrap, KGO_TEST_RF="1",
                  KGO_TEST_RECORDS="50000")
    return outcomes(said, re.findall(r"^\s*--- (PASS|FAIL): (\S+)", said, re.MULTILINE))


def crate(name, version):
    """A published crate's own folder: cargo fetches it for a project that depends on it."""
    folder, asking = CACHE / "others" / f"{name}-{version}", CACHE / "others" / f"asks-for-{name}"
    if not folder.exists():
        (asking / "src").mkdir(parents=True, exist_ok=True)
        (asking / "src" / "lib.rs").touch()
        (asking / "Cargo.toml").write_text(f'[package]\nname = "asking"\nedition = "2021"\n[dependencies]\n{name} = "={version}"\n[workspace]\n')
        said = subprocess.run(["cargo", "metadata", "--format-version", "1"], cwd=asking, check=True, stdout=subprocess.PIPE).stdout
        fetched = next(package["manifest_path"] for package in json.loads(said)["packages"] if package["name"] == name)
        shutil.copytree(pathlib.Path(fetched).parent, folder)
        # Its own workspace, whatever lies around it.
        with open(folder / "Cargo.toml", "a") as manifest:
            manifest.write("\n[workspace]\n")
    return folder


def cargo_tests(folder, **environment):
    said = called(["cargo", "test", "--tests", "--no-fail-fast", "--", "--test-threads=1"], folder, RUST_LOG="off", **environment)
    return outcomes(said, [(state, test) for test, state in re.findall(r"^test (\S+) \.\.\. (ok|FAILED)$", said, re.MULTILINE)])


def rdkafka(bootstrap):
    return cargo_tests(crate("rdkafka", "0.39.0"), KAFKA_HOST=bootstrap, KAFKA_VERSION="4.3.1")


def outcomes(said, found):
    if not found:
        raise Told(said[-3000:])
    # Of tests with one name all must have passed.
    return {test: all(state in ("PASSED", "PASS", "ok") for state, other in found if other == test) for _, test in found}


SUITES = {"kafka-python": kafka_python, "franz-go": franz_go, "rdkafka": rdkafka}
WITHOUT_MORE = ["kafka-python"]


def judge(kind, name, found):
    failed = {test for test, passed in found.items() if not passed}
    listed = EXPECTED[name]
    expected = set(listed["anywhere"]) | (set(listed["ringlog"]) if kind == "ringlog" else set())
    print(f"        {name}: {len(found) - len(failed)} of {len(found)} tests passed", flush=True)
    expect_that(failed <= expected, f"failed and is not listed: {sorted(failed - expected)}")
    expect_that(expected & set(found) <= failed, f"is listed and does not fail: {sorted(expected & set(found) - failed)}")
    expect_that(expected <= set(found), f"is listed and was not run: {sorted(expected - set(found))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", required=True, choices=["ringlog", "reference"])
    parser.add_argument("--folder", required=True, type=pathlib.Path)
    parser.add_argument("suites", nargs="*", default=WITHOUT_MORE)
    asked = parser.parse_args()
    checks = Checks("others")
    for name in asked.suites:
        with checks.case(f"the tests of {name}"):
            one = BrokerZero(asked.kind, asked.folder, name)
            try:
                one.start()
                judge(asked.kind, name, SUITES[name](one.bootstrap))
            finally:
                one.end()
                shutil.rmtree(asked.folder, ignore_errors=True)
    checks.finish()


main()
