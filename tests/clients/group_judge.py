"""What can be proved about consumer groups from what their members saw, whoever coordinates them.

Members tell what happens to them as it happens, in lines of JSON, with the machine's monotonic clock, which all processes share:

    owned    in this generation this member has these partitions     (told in its assignment callback)
    start    the first record read of a partition after it was assigned
    try      these offsets are about to be committed
    read     records [from, to) were read; told before a commit of them is sent
    commit   what was sent when, answered when, how: ok, refused, or unsure (no answer: it may or may not be stored)
    seen     what an OffsetFetch told, asked when, told when

What follows from these, and why it is sound:

- One owner. `owned` carries the generation that the client itself is in: librdkafka's consumer_group_metadata() and kafka-python's
  group_metadata(). Within the callback the client cannot join again, so generation and assignment belong together, or the generation is
  -1 because the member was put out meanwhile; that is not told. A static member is the same owner under every member id it is given.
- Fencing. The classic protocol lets any member commit any partition, so a commit by somebody who is not the owner proves nothing. A commit
  by a member of an *earlier generation* does: one sent after somebody was told of a later generation must be refused. So must
  one by a static member's former id, sent after its successor was given an assignment. The generation of a commit is asked for before it is sent and
  after it was answered; it never falls, so the answer lies between, and the later one is judged.
- No way back. A member commits ever larger offsets, one commit after the other, starts where the group stands, and gives up a commit
  without an answer together with its membership. So what is told by an OffsetFetch, or committed, after a commit was acknowledged is not below it.
- Nothing invented. What an OffsetFetch tells was to be committed by somebody.
- Whole. Every record was read by somebody: the ranges told leave no gap up to the end of the partition. A member that dies has told first.
"""

import bisect
import collections
import threading

from support import Difference, expect_that

SHOWN_MAX = 5


class GroupJudge:
    """Takes what members tell, from many threads; judges at the end."""

    def __init__(self):
        self.lock = threading.Lock()
        self.owned, self.starts, self.commits, self.seen = [], [], [], []
        self.reads = collections.defaultdict(list)
        self.counts = collections.Counter()
        self.acknowledged, self.accepted, self.tried = {}, collections.Counter(), collections.defaultdict(set)

    def take(self, event):
        kind, *rest = event
        with self.lock:
            self.counts[kind] += 1
            getattr(self, f"_take_{kind}")(*rest)

    def _take_owned(self, group, at, who, member, generation, partitions):
        self.owned.append((group, at, who, member, generation, partitions))

    def _take_start(self, group, partition, assigned_at, offset):
        self.starts.append((group, partition, assigned_at, offset))

    def _take_read(self, group, ranges):
        for partition, first, end in ranges:
            self.reads[group, partition].append((first, end))

    def _take_try(self, group, offsets):
        for partition, offset in offsets.items():
            self.tried[group, int(partition)].add(offset)

    def _take_commit(self, group, who, member, generations, sent, answered, outcome, offsets):
        self.counts[f"commits {outcome}"] += 1
        if outcome == "ok":
            self.accepted[group] += 1
            offsets = {int(partition): offset for partition, offset in offsets.items()}
            self.commits.append((group, who, member, generations, sent, answered, offsets))
            for partition, offset in offsets.items():
                known = self.acknowledged.get((group, partition), -1)
                self.acknowledged[group, partition] = max(known, offset)

    def _take_seen(self, group, partition, asked, told, offset):
        self.seen.append((group, partition, asked, told, offset))

    def _take_trouble(self, group, words):
        self.counts[f"trouble: {words}"] += 1

    def generations(self):
        return {group: len({one[4] for one in self.owned if one[0] == group}) for group in sorted({one[0] for one in self.owned})}

    def expect_one_owner(self):
        owners, faults = collections.defaultdict(set), []
        for group, _, who, _, generation, partitions in self.owned:
            for partition in partitions:
                owners[group, generation, partition].add(who)
        for (group, generation, partition), whose in sorted(owners.items()):
            if len(whose) > 1:
                faults.append(f"partition {partition} in generation {generation} of {group} belongs to {sorted(whose)}")
        tell(faults)

    def expect_rising_generations(self):
        """Whoever is given an assignment after another was, is in no earlier generation."""
        faults, newest = [], {}
        joined = {}
        for group, at, who, member, generation, _ in sorted(self.owned, key=lambda one: one[1]):
            if generation < joined.get((group, member), -1):
                faults.append(f"{member} of {group} came from generation {joined[group, member]} to {generation}")
            joined[group, member] = generation
            newest[group] = max(newest.get(group, -1), generation)
        tell(faults)

    def expect_fenced(self):
        faults = []
        for group in {one[0] for one in self.commits}:
            heard = Bound((at, generation) for name, at, _, _, generation, _ in self.owned if name == group)
            accepted = Bound((answered, generations[0]) for name, _, _, generations, _, answered, _ in self.commits if name == group)
            for name, who, member, generations, sent, _, _ in self.commits:
                newest = max(heard.before(sent), accepted.before(sent))
                if name == group and 0 <= generations[1] < newest:
                    faults.append(f"{who} of {group} committed in generation {generations[1]}, {newest} was known before")
        tell(faults)

    def expect_former_ids_fenced(self):
        """A static member's former id is nobody's once its successor has an assignment."""
        first = {}
        for group, at, who, member, _, _ in self.owned:
            first[group, who, member] = min(at, first.get((group, who, member), at))
        ids = collections.defaultdict(list)
        for (group, who, member), at in first.items():
            ids[group, who].append((at, member))
        faults = []
        for group, who, member, _, sent, _, _ in self.commits:
            since = first.get((group, who, member))
            later = [one for one in ids[group, who] if since is not None and since < one[0] < sent]
            if later:
                faults.append(f"{who} of {group} committed as {member} after it was {later[0][1]}")
        tell(faults)

    def expect_no_way_back(self):
        acknowledged, told = collections.defaultdict(list), collections.defaultdict(list)
        for group, _, _, _, _, answered, offsets in self.commits:
            for partition, offset in offsets.items():
                acknowledged[group, partition].append((answered, offset))
        for group, partition, _, at, offset in self.seen:
            told[group, partition].append((at, offset))
        bounds = {key: Bound(acknowledged[key] + told[key]) for key in acknowledged.keys() | told.keys()}
        faults = []

        def look(group, partition, at, offset, what):
            bound = bounds[group, partition].before(at) if (group, partition) in bounds else -1
            if offset < bound:
                faults.append(f"{group}, partition {partition}: {what} {offset} after {bound} was acknowledged or told")

        for group, who, _, _, sent, _, offsets in self.commits:
            for partition, offset in offsets.items():
                look(group, partition, sent, offset, f"{who} committed")
        for group, partition, assigned_at, offset in self.starts:
            look(group, partition, assigned_at, offset, "a new owner began at")
        for group, partition, asked, _, offset in self.seen:
            look(group, partition, asked, offset, "OffsetFetch told")
        tell(faults)

    def expect_nothing_invented(self):
        tell([f"{group}, partition {partition}: {offset} was told, and nobody was to commit that"
              for group, partition, _, _, offset in self.seen if offset not in self.tried[group, partition]])

    def expect_whole(self, groups, ends):
        """Everything up to `ends`, {partition: offset}, was read in every group."""
        faults = []
        for group in groups:
            for partition, end in sorted(ends.items()):
                reached = 0
                for first, behind in sorted(self.reads[group, partition]):
                    if first > reached:
                        break
                    reached = max(reached, behind)
                if reached < end:
                    faults.append(f"{group}, partition {partition}: nobody read {reached}, of {end} records")
        tell(faults)


class Bound:
    """The largest value that was known before a time."""

    def __init__(self, known):
        known = sorted(known)
        self.times, self.largest, most = [at for at, _ in known], [], -1
        for _, value in known:
            most = max(most, value)
            self.largest.append(most)

    def before(self, at):
        index = bisect.bisect_left(self.times, at)
        return self.largest[index - 1] if index else -1


def tell(faults):
    if faults:
        raise Difference("; ".join(faults[:SHOWN_MAX]) + (f"; and {len(faults) - SHOWN_MAX} more" if len(faults) > SHOWN_MAX else ""))


def right_story():
    """Two generations of a group of two, and what a right broker lets happen in them."""
    commit = lambda who, generation, sent, offset: ["commit", "g", who, who, [generation, generation], sent, sent + 1, "ok", {"0": offset}]  # noqa: E731
    return [["try", "g", {"0": 50}], ["try", "g", {"0": 80}], ["owned", "g", 10, "a", "a", 1, [0]], ["owned", "g", 10, "b", "b", 1, [1]], ["start", "g", 0, 10, 0], ["read", "g", [[0, 0, 50]]],
            commit("a", 1, 20, 50), ["seen", "g", 0, 22, 23, 50], commit("a", 1, 29, 50), ["owned", "g", 30, "b", "b", 2, [0, 1]],
            ["start", "g", 0, 30, 50], ["read", "g", [[0, 50, 80]]], commit("b", 2, 40, 80), ["seen", "g", 0, 42, 43, 80]]


# What a broker that is wrong would let happen, and which judge must see it.
WRONG = {
    "two owners in one generation": (["owned", "g", 31, "c", "c", 2, [1]], "expect_one_owner"),
    "a generation that goes back": (["owned", "g", 50, "b", "b", 1, []], "expect_rising_generations"),
    "a commit of an earlier generation": (["commit", "g", "a", "a", [1, 1], 41, 42, "ok", {"0": 90}], "expect_fenced"),
    "a commit below an acknowledged one": (["commit", "g", "b", "b", [2, 2], 44, 45, "ok", {"0": 79}], "expect_no_way_back"),
    "an owner that begins too early": (["start", "g", 0, 50, 50], "expect_no_way_back"),
    "an acknowledged offset that is lost": (["seen", "g", 0, 50, 51, 50], "expect_no_way_back"),
    "an offset that nobody committed": (["seen", "g", 0, 50, 51, 81], "expect_nothing_invented"),
}


def judge_of(events):
    judge = GroupJudge()
    for event in events:
        judge.take(event)
    return judge


def expect_judges_see():
    """Shows the judge a right story, and the same with one fault each."""
    right = judge_of(right_story())
    for name in ("one_owner", "rising_generations", "fenced", "former_ids_fenced", "no_way_back", "nothing_invented"):
        getattr(right, f"expect_{name}")()
    right.expect_whole(["g"], {0: 80})
    wrong = {what: (judge_of(right_story() + [event]), judge, ()) for what, (event, judge) in WRONG.items()}
    wrong["a record that nobody read"] = (judge_of(right_story()), "expect_whole", (["g"], {0: 81}))
    static = [["owned", "g", 10, "s", "s-1", 1, [0]], ["owned", "g", 20, "s", "s-2", 1, [0]]]
    former = ["commit", "g", "s", "s-1", [1, 1], 30, 31, "ok", {"0": 1}]
    wrong["a static member's former id that commits"] = (judge_of(static + [former]), "expect_former_ids_fenced", ())
    for what, (judge, name, arguments) in wrong.items():
        try:
            getattr(judge, name)(*arguments)
        except Difference:
            continue
        expect_that(False, f"{name} did not see {what}")
