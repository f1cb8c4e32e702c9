//! A coordinator with its log, of which only a part is committed.

use std::collections::{BTreeMap, BTreeSet};

use ringlog_core::group::GroupCoordinator;
use ringlog_core::group::decision::{Decision, GroupTicket, Moment, Reply, When};
use ringlog_core::group::message::{Answer, GroupId, GroupState, Request};
use ringlog_core::group::record::GroupRecord;
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::{PartitionIndex, TopicName};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::{Instant, Timestamp};

/// Splitmix64: the same numbers for the same seed.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Which key of the compacted log a record is of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    Group(String),
    Offset(String, TopicName, PartitionIndex),
}

pub fn key_of(record: &GroupRecord) -> Key {
    match record {
        GroupRecord::Group { group, .. } => Key::Group(group.to_string()),
        GroupRecord::Offset { group, topic, partition, .. } => {
            Key::Offset(group.to_string(), topic.clone(), *partition)
        }
    }
}

fn group_of(record: &GroupRecord) -> &GroupId {
    let (GroupRecord::Group { group, .. } | GroupRecord::Offset { group, .. }) = record;
    group
}

fn is_tombstone(record: &GroupRecord) -> bool {
    matches!(record, GroupRecord::Group { value: None, .. } | GroupRecord::Offset { value: None, .. })
}

pub struct Broker {
    pub coordinator: GroupCoordinator,
    pub settings: GroupSettings,
    pub log: Vec<GroupRecord>,
    pub now_ms: u64,
    committed: usize,
    /// Answers that wait for the log to be committed up to somewhere.
    held: BTreeMap<GroupTicket, (usize, Reply)>,
}

impl Broker {
    pub fn new(settings: GroupSettings) -> Broker {
        let mut coordinator = GroupCoordinator::loading(settings);
        let moment = Moment { now: Instant(0), wall: Timestamp(0), random: 0 };
        assert_eq!(coordinator.become_active(moment), Decision::default());
        Broker { coordinator, settings, log: Vec::new(), now_ms: 0, committed: 0, held: BTreeMap::new() }
    }

    fn moment(&self, random: &mut Random) -> Moment {
        let random = u128::from(random.next()) << 64 | u128::from(random.next());
        Moment { now: Instant(self.now_ms * 1_000_000), wall: Timestamp(self.now_ms as i64), random }
    }

    /// Hands in a request; what is answered at once is returned.
    pub fn handle(&mut self, request: Request, ticket: GroupTicket, random: &mut Random) -> Vec<Reply> {
        let decision = self.coordinator.handle(request, ticket, self.moment(random));
        self.take(decision)
    }

    /// Does what is due now.
    pub fn tick(&mut self, random: &mut Random) -> Vec<Reply> {
        let decision = self.coordinator.tick(self.moment(random));
        self.take(decision)
    }

    /// When the coordinator wants to be woken, rounded up to a millisecond.
    pub fn due_ms(&self) -> u64 {
        let due = self.coordinator.next_deadline().expect("an active coordinator always waits for something");
        due.0.div_ceil(1_000_000)
    }

    fn take(&mut self, decision: Decision) -> Vec<Reply> {
        self.log.extend(decision.records);
        let (now, later): (Vec<_>, Vec<_>) =
            decision.replies.into_iter().partition(|reply| reply.when == When::Now);
        self.held.extend(later.into_iter().map(|reply| (reply.ticket, (self.log.len(), reply))));
        now
    }

    /// More of the log is committed; what waited for it is returned.
    pub fn commit_up_to(&mut self, end: usize) -> Vec<Reply> {
        self.committed = self.committed.max(end.min(self.log.len()));
        let ready = |_: &GroupTicket, held: &mut (usize, Reply)| held.0 <= self.committed;
        self.held.extract_if(.., ready).map(|(_, (_, reply))| reply).collect()
    }

    pub fn uncommitted(&self) -> usize {
        self.log.len() - self.committed
    }

    pub fn committed(&self) -> usize {
        self.committed
    }

    pub fn is_held(&self, ticket: GroupTicket) -> bool {
        self.held.contains_key(&ticket)
    }

    /// The coordinator is lost, and a part of the log that was not committed. Another one goes on with the rest, of
    /// which it may see all or what compaction leaves.
    pub fn fail_over(&mut self, random: &mut Random) -> Vec<Reply> {
        self.assert_rebuilt_is_the_living_one();
        let kept = self.committed + random.below(self.uncommitted() + 1);
        self.log.truncate(kept);
        self.committed = kept;
        let fresh = GroupCoordinator::loading(self.settings);
        let mut replies = std::mem::replace(&mut self.coordinator, fresh).lose();
        for (_, held) in std::mem::take(&mut self.held).into_values() {
            let answer = held.answer.refused(&Refusal::NotCoordinator);
            replies.push(Reply { answer, ..held });
        }
        if random.one_in(2) {
            self.log = compacted(&self.log);
            self.committed = self.log.len();
        }
        self.log.iter().for_each(|record| self.coordinator.replay(record));
        let decision = self.coordinator.become_active(self.moment(random));
        replies.extend(self.take(decision));
        replies
    }

    /// What records carry is in the living coordinator exactly as in one rebuilt from them, compacted or not.
    pub fn assert_rebuilt_is_the_living_one(&self) {
        let living = by_key(self.coordinator.records());
        for log in [&self.log, &compacted(&self.log)] {
            let mut rebuilt = GroupCoordinator::loading(self.settings);
            log.iter().for_each(|record| rebuilt.replay(record));
            assert_eq!(by_key(rebuilt.records()), living);
        }
        self.assert_some_at_a_time_are_all();
        self.assert_what_is_at_rest_stays_so();
    }

    /// Records told some groups at a time are all of them, in order, each once.
    fn assert_some_at_a_time_are_all(&self) {
        let (mut told, mut last) = (Vec::new(), None);
        while let Some((records, group)) = self.coordinator.records_behind(last.as_ref(), 3) {
            told.extend(records);
            last = Some(group);
        }
        assert_eq!(told, self.coordinator.records().collect::<Vec<_>>());
    }

    /// Groups which have no rebalance in flight look the same to tools after a fail-over.
    fn assert_what_is_at_rest_stays_so(&self) {
        let moment = Moment { now: Instant(u64::MAX / 2), wall: Timestamp(0), random: 0 };
        let mut living = self.coordinator.clone();
        let mut rebuilt = GroupCoordinator::loading(self.settings);
        self.log.iter().for_each(|record| rebuilt.replay(record));
        rebuilt.become_active(moment);
        let groups: Vec<GroupId> = self.log.iter().map(|record| group_of(record).clone()).collect();
        for group in groups.into_iter().collect::<BTreeSet<_>>() {
            let describe = |coordinator: &mut GroupCoordinator| {
                let request = Request::Describe(group.clone());
                coordinator.handle(request, GroupTicket(0), moment).replies.remove(0).answer
            };
            let (before, after) = (describe(&mut living), describe(&mut rebuilt));
            let in_flight = |answer: &Answer| match answer {
                Answer::Describe(Ok(group)) => !matches!(group.state, GroupState::Stable | GroupState::Empty),
                _ => true,
            };
            if !in_flight(&before) && !in_flight(&after) {
                assert_eq!(before, after);
            }
        }
    }
}

fn by_key(records: impl Iterator<Item = GroupRecord>) -> BTreeMap<Key, GroupRecord> {
    records.map(|record| (key_of(&record), record)).collect()
}

/// The last record of each key, in the order of the log.
fn compacted(log: &[GroupRecord]) -> Vec<GroupRecord> {
    let last: BTreeMap<Key, usize> =
        log.iter().enumerate().map(|(index, record)| (key_of(record), index)).collect();
    let is_kept = |(index, record): &(usize, &GroupRecord)| {
        last.get(&key_of(record)) == Some(index) && !is_tombstone(record)
    };
    log.iter().enumerate().filter(is_kept).map(|(_, record)| record.clone()).collect()
}
