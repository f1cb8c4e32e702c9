"""Do the judges of the package index and of the kills find what they are there to find? Each is shown a log with one fault."""

import contextlib

from package_index import expect_dense, expect_keyed, expect_numbered, judge_ledger, numbered
from support import Checks, Difference
from with_kills import content, judge, numbers_in

RECORDS = [(b"package %d" % (n // 7), b"line %d" % n) for n in range(700)]
LINES = numbered(RECORDS)


def keyed_log():
    """A right answer: {partition: [(offset, key, value)]}, a package's lines in one partition."""
    found = {partition: [] for partition in range(12)}
    for key, line in RECORDS:
        partition = found[int(key.split()[1]) % 12]
        partition.append((len(partition), key, line))
    return found


def numbered_log():
    found = {partition: [] for partition in range(12)}
    for number, line in enumerate(LINES):
        found[number // 5 % 12].append((len(found[number // 5 % 12]), b"", line))
    return found


def killed_log():
    """As numbered_log, of records as the kills have them."""
    found = {partition: [] for partition in range(12)}
    for number in range(400):
        found[number % 12].append((len(found[number % 12]), b"", content(number)))
    return found


def judge_kills(found, ledger):
    judge(numbers_in(found, content), ledger)


def ledger_of(found):
    numbers = {(key, value): number for number, (key, value) in enumerate(RECORDS)}
    return {(p, offset): numbers[key, value] for p, some in found.items() for offset, key, value in some}


def kills_ledger_of(found):
    return {(p, offset): number for p, some in numbers_in(found, content).items() for offset, number in some}


def renumbered(some):
    return [(offset, key, value) for offset, (_, key, value) in enumerate(some)]


def lose(found):
    found[3] = renumbered(found[3][:5] + found[3][6:])


def double(found):
    found[3] = renumbered(found[3][:5] + found[3][4:])


def swap(found):
    found[3] = renumbered(found[3][:4] + [found[3][5], found[3][4]] + found[3][6:])


def change(found):
    offset, key, value = found[3][5]
    found[3][5] = (offset, key, value[:-1] + b"?")


def gap(found):
    found[3] = [(offset + (offset > 5), key, value) for offset, key, value in found[3]]


@contextlib.contextmanager
def must_differ(what):
    try:
        yield
    except (Difference, ValueError):
        return
    raise Difference(f"the judge did not see {what}")


def main():
    checks = Checks("judges")
    with checks.case("a right log is accepted"):
        expect_keyed(keyed_log(), RECORDS)
        expect_numbered(numbered_log(), RECORDS)
        expect_dense(keyed_log())
        judge_ledger(keyed_log(), RECORDS, ledger_of(keyed_log()), idempotent=True)
        judge_kills(killed_log(), kills_ledger_of(killed_log()))
    for fault in (lose, double, swap, change):
        with checks.case(f"{fault.__name__}: found by every judge"):
            for make, judge in ((keyed_log, expect_keyed), (numbered_log, expect_numbered)):
                found = make()
                fault(found)
                with must_differ(f"{fault.__name__} ({judge.__name__})"):
                    judge(found, RECORDS)
            found, ledger = keyed_log(), ledger_of(keyed_log())
            fault(found)
            with must_differ(f"{fault.__name__} (judge_ledger)"):
                judge_ledger(found, RECORDS, ledger, idempotent=True)
            found, ledger = killed_log(), kills_ledger_of(killed_log())
            fault(found)
            with must_differ(f"{fault.__name__} (judge of the kills)"):
                judge_kills(found, ledger)
    with checks.case("a gap in the offsets is found"):
        found = keyed_log()
        gap(found)
        with must_differ("a gap"):
            expect_dense(found)
    with checks.case("a record twice is told from a retry that is allowed without idempotence"):
        found = keyed_log()
        found[3].append((len(found[3]), *found[3][-1][1:]))
        judge_ledger(found, RECORDS, ledger_of(keyed_log()), idempotent=False)
        with must_differ("a record that was never acknowledged"):
            judge_ledger(found, RECORDS, ledger_of(keyed_log()), idempotent=True)
    checks.finish()


main()
