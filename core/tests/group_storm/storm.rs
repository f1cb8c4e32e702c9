//! One storm: who does what when, and what must be true all the while.

use std::collections::BTreeMap;
use std::time::Duration;

use ringlog_core::group::decision::{GroupTicket, Reply, When};
use ringlog_core::group::message::*;
use ringlog_core::group::record::GroupRecord;
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::PartitionIndex;
use ringlog_core::limits::GroupLimits;
use ringlog_core::refusal::Refusal;

use crate::broker::{Broker, Key, Random, key_of};
use crate::clients::{Client, Doing, PARTITIONS, REBALANCE_SECONDS_MAX, TOPIC, static_name};

/// From a few, which soon have agreed, to so many that somebody always comes or goes.
const CLIENTS: [usize; 4] = [6, 15, 40, 200];
const GROUPS: usize = 5;
const STEPS: usize = 2_000;
const RETENTION: Duration = Duration::from_secs(3_600);

/// An answer may be later than its deadline by as much as a tick is late.
const TICK_LATE_MS_MAX: u64 = 20_000;

/// Whose request is not answered.
#[derive(Clone, Debug)]
struct Open {
    client: Option<usize>,
    request: Request,
    asked_ms: u64,
    /// How often groups had ended by then.
    ends: u64,
}

pub struct Storm {
    random: Random,
    broker: Broker,
    clients: Vec<Client>,
    open: BTreeMap<GroupTicket, Open>,
    tickets: u64,
    is_tight: bool,
    /// Whether everybody does at once what is asked of it.
    is_calm: bool,
    /// How seldom the log is committed, and the coordinator lost.
    commits_one_in: usize,
    fails_one_in: usize,
    /// How often each group has ended; one of the same name later begins anew.
    ends: BTreeMap<String, u64>,
    /// The largest generation heard of, by group.
    generations: BTreeMap<String, GroupGeneration>,
    /// The round of the assignment each generation has, and who owns each partition of it.
    owners: BTreeMap<(String, GroupGeneration), (String, BTreeMap<String, String>)>,
    /// The largest offset acknowledged.
    acknowledged: BTreeMap<(String, usize), i64>,
    /// Offsets up to this one were taken away, maybe before their commit was acknowledged.
    gone: BTreeMap<(String, usize), i64>,
    next_offset: i64,
    rounds: u64,
    seen: Seen,
}

/// What happened: a storm in which nothing does shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    generations: u64,
    assignments: u64,
    fenced: u64,
    skipped_assignments: u64,
    commits: u64,
    fail_overs: u64,
    expired: u64,
    full: u64,
    rests: u64,
}

impl Seen {
    pub fn add(&mut self, other: &Seen) {
        self.generations += other.generations;
        self.assignments += other.assignments;
        self.fenced += other.fenced;
        self.skipped_assignments += other.skipped_assignments;
        self.commits += other.commits;
        self.fail_overs += other.fail_overs;
        self.expired += other.expired;
        self.full += other.full;
        self.rests += other.rests;
    }

    pub fn assert_all_happened(&self) {
        let Seen { generations, assignments, fenced, skipped_assignments, .. } = *self;
        let Seen { commits, fail_overs, expired, full, rests, .. } = *self;
        let all = [
            generations,
            assignments,
            fenced,
            skipped_assignments,
            commits,
            fail_overs,
            expired,
            full,
            rests,
        ];
        assert!(all.iter().all(|count| *count > 0), "{self:?}");
    }
}

impl Storm {
    pub fn new(seed: u64) -> Storm {
        let mut random = Random(seed);
        let is_tight = random.one_in(4);
        let roomy = GroupLimits { waiting_max: 400, groups_max: 16, ..GroupLimits::PRODUCTION };
        let tight = GroupLimits {
            groups_max: 3,
            members_per_group_max: 25,
            waiting_max: 40,
            offsets_max: 20,
            ..GroupLimits::PRODUCTION
        };
        let settings = GroupSettings {
            initial_rebalance_delay: Duration::from_secs([0, 3][random.below(2)]),
            offsets_retention: RETENTION,
            offsets_retention_check_interval: Duration::from_secs(300),
            limits: if is_tight { tight } else { roomy },
            ..GroupSettings::default()
        };
        let client_count = CLIENTS[random.below(CLIENTS.len())];
        let clients = (0..client_count).map(|index| Client::new(index, GROUPS, &mut random)).collect();
        Storm {
            broker: Broker::new(settings),
            commits_one_in: [1, 1, 4, 12][random.below(4)],
            fails_one_in: [1, 2, 4, 8][random.below(4)],
            random,
            clients,
            open: BTreeMap::new(),
            tickets: 0,
            is_tight,
            is_calm: false,
            ends: BTreeMap::new(),
            generations: BTreeMap::new(),
            owners: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            gone: BTreeMap::new(),
            next_offset: 0,
            rounds: 0,
            seen: Seen::default(),
        }
    }

    pub fn run(mut self) -> Seen {
        for _ in 0..STEPS {
            self.step();
            self.assert_bounds_hold();
        }
        self.broker.assert_rebuilt_is_the_living_one();
        if !self.is_tight {
            self.come_to_rest();
        }
        self.fall_silent();
        self.seen
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..70 => {
                let client = self.random.below(self.clients.len());
                self.act(client);
            }
            70..85 if self.random.one_in(self.commits_one_in) => self.commit_some(),
            70..96 => self.time_passes(),
            96..98 => self.an_operator_acts(),
            98 if self.random.one_in(self.fails_one_in) => self.fail_over(),
            99 if self.random.one_in(20) => {
                let hours = 1 + self.random.below(3) as u64;
                self.pass(hours * 3_600_000);
            }
            _ => self.lose_an_answer(),
        }
    }

    /// One client does something that fits what it is doing.
    fn act(&mut self, index: usize) {
        let client = &mut self.clients[index];
        match client.doing.clone() {
            Doing::Asking => {}
            Doing::Dead => client.start(),
            Doing::Outside => {
                let request = client.join();
                self.ask(Some(index), request);
            }
            // Alive, and busy with something else than its assignment.
            Doing::Joined(_) if !self.is_calm && self.random.one_in(5) => {
                let request = client.heartbeat();
                self.ask(Some(index), request);
            }
            Doing::Joined(joined) => {
                self.rounds += 1;
                let request = self.clients[index].sync(&joined, self.rounds);
                self.ask(Some(index), request);
            }
            Doing::Working => self.work(index),
        }
    }

    fn work(&mut self, index: usize) {
        let dice = self.random.below(20);
        let client = &mut self.clients[index];
        let request = match dice {
            0 => {
                client.doing = Doing::Dead;
                return;
            }
            1 => client.leave(),
            2 => {
                client.change_subscription(&mut self.random);
                client.join()
            }
            3 => client.join(),
            4..9 => {
                self.next_offset += 1;
                client.commit(self.random.below(PARTITIONS), self.next_offset)
            }
            9..11 => fetch_all(client.group_id()),
            _ => client.heartbeat(),
        };
        self.ask(Some(index), request);
    }

    fn an_operator_acts(&mut self) {
        let group: GroupId = format!("group-{}", self.random.below(GROUPS)).into();
        let partitions = vec![(TOPIC.into(), PartitionIndex(self.random.below(PARTITIONS) as i32))];
        let request = match self.random.below(7) {
            0 => Request::Describe(group),
            1 => Request::List(ListFilter::default()),
            2 => Request::DeleteGroup(group),
            3 => Request::DeleteOffsets(DeleteOffsets { group, partitions }),
            4 if self.random.one_in(4) => Request::TopicDeleted(TOPIC.into(), None),
            5 => leave_by_name(group, &mut self.random),
            _ => fetch_all(group),
        };
        self.ask(None, request);
    }

    fn ask(&mut self, client: Option<usize>, request: Request) {
        self.tickets += 1;
        let ticket = GroupTicket(self.tickets);
        if let Some(client) = client.map(|index| &mut self.clients[index]) {
            client.before = std::mem::replace(&mut client.doing, Doing::Asking);
        }
        if !matches!(request, Request::TopicDeleted(..)) {
            let (asked_ms, ends) = (self.broker.now_ms, self.ends_of(&request));
            let open = Open { client, request: request.clone(), asked_ms, ends };
            self.open.insert(ticket, open);
        }
        let written = self.broker.log.len();
        let replies = self.broker.handle(request, ticket, &mut self.random);
        self.look_at_records(written, false);
        self.deliver(replies);
    }

    /// How often the group that a request joins or works in has ended.
    fn ends_of(&self, request: &Request) -> u64 {
        let (Request::Join(Join { group, .. }) | Request::Sync(Sync { group, .. })) = request else {
            return 0;
        };
        self.ends.get(&**group).copied().unwrap_or(0)
    }

    fn commit_some(&mut self) {
        let end = self.broker.committed() + 1 + self.random.below(self.broker.uncommitted() + 1);
        let replies = self.broker.commit_up_to(end);
        self.deliver(replies);
    }

    fn time_passes(&mut self) {
        let ms = match self.random.below(8) {
            0 => self.random.below(20_000),
            1..3 => self.random.below(3_000),
            _ => self.random.below(300),
        };
        // So that each of many clients has its say before its session ends.
        self.pass((ms * 15 / self.clients.len().max(15)) as u64);
    }

    /// Time passes; the coordinator is woken when it wants to be, or too late.
    fn pass(&mut self, ms: u64) {
        let end_ms = self.broker.now_ms + ms;
        let is_late = ms < TICK_LATE_MS_MAX && self.random.one_in(2);
        while self.broker.due_ms() <= end_ms {
            let due_ms = if is_late { end_ms } else { self.broker.due_ms() };
            self.broker.now_ms = self.broker.now_ms.max(due_ms);
            let written = self.broker.log.len();
            let replies = self.broker.tick(&mut self.random);
            self.look_at_records(written, true);
            self.deliver(replies);
        }
        self.broker.now_ms = end_ms;
        self.assert_nobody_waits_too_long();
    }

    fn fail_over(&mut self) {
        self.seen.fail_overs += 1;
        let replies = self.broker.fail_over(&mut self.random);
        self.assert_acknowledged_offsets_are_there();
        // A generation that was not written may be agreed once more.
        self.generations = self.broker.coordinator.records().filter_map(generation_of).collect();
        self.deliver(replies);
        assert!(self.open.is_empty(), "lost with their coordinator: {:?}", self.open);
    }

    /// A client does not hear of the answer, and tries again or for good.
    fn lose_an_answer(&mut self) {
        let waiting: Vec<GroupTicket> =
            self.open.iter().filter(|(_, open)| open.client.is_some()).map(|(ticket, _)| *ticket).collect();
        if waiting.is_empty() {
            return;
        }
        let ticket = waiting[self.random.below(waiting.len())];
        let open = self.open.get_mut(&ticket).expect("chosen among them");
        let Some(index) = open.client.take() else { return };
        let client = &mut self.clients[index];
        match self.random.below(3) {
            0 => client.doing = Doing::Outside,
            1 => client.doing = Doing::Dead,
            _ => {
                let leave = client.leave();
                self.ask(Some(index), leave);
            }
        }
    }

    // --- answers ---

    fn deliver(&mut self, replies: Vec<Reply>) {
        for reply in replies {
            let open = self.open.remove(&reply.ticket).expect("every request is answered once");
            self.check_answer(&open, &reply);
            if let Some(index) = open.client {
                self.hear(index, &reply.answer);
            }
        }
    }

    fn hear(&mut self, index: usize, answer: &Answer) {
        let client = &mut self.clients[index];
        let goes_on = client.before.clone();
        let refusal = match answer {
            Answer::Join(JoinAnswer { member, outcome: Ok(joined) }) => {
                client.member = member.clone();
                client.generation = joined.generation;
                client.doing = Doing::Joined(joined.clone());
                return;
            }
            Answer::Join(JoinAnswer { member, outcome: Err(Refusal::MemberIdRequired) }) => {
                client.member = member.clone();
                client.doing = Doing::Outside;
                return;
            }
            Answer::Leave(Ok(_)) => {
                client.doing = Doing::Dead;
                return;
            }
            Answer::Sync(Ok(_)) => {
                client.doing = Doing::Working;
                return;
            }
            // Alive, and busy with what it has read: it will join later.
            Answer::Heartbeat(Err(Refusal::RebalanceInProgress))
                if !self.is_calm && self.random.one_in(2) =>
            {
                client.doing = goes_on;
                return;
            }
            Answer::Join(JoinAnswer { outcome: Err(refusal), .. })
            | Answer::Sync(Err(refusal))
            | Answer::Heartbeat(Err(refusal))
            | Answer::Leave(Err(refusal))
            | Answer::FetchOffsets(Err(refusal)) => refusal,
            Answer::Commit(results) => match &results[0] {
                Err(refusal) => refusal,
                Ok(()) => {
                    client.doing = goes_on;
                    return;
                }
            },
            _ => {
                client.doing = goes_on;
                return;
            }
        };
        self.seen.fenced += u64::from(*refusal == Refusal::FencedInstanceId);
        self.seen.full +=
            u64::from(matches!(refusal, Refusal::GroupMaxSizeReached | Refusal::LimitReached { .. }));
        client.refused(refusal);
    }

    /// What must be true of an answer, whether its client hears it or not.
    fn check_answer(&mut self, open: &Open, reply: &Reply) {
        if open.ends < self.ends_of(&open.request) {
            return;
        }
        match (&open.request, &reply.answer) {
            // One that waited to be committed may come after news of a later generation.
            (Request::Join(_), Answer::Join(JoinAnswer { outcome: Ok(joined), .. }))
                if reply.when == When::Committed =>
            {
                self.seen.skipped_assignments += u64::from(joined.skip_assignment);
            }
            (Request::Join(join), Answer::Join(JoinAnswer { outcome: Ok(joined), .. })) => {
                let known = self.generations.entry(join.group.to_string()).or_insert(GroupGeneration(0));
                assert!(joined.generation >= *known, "{} after {known:?}: {joined:?}", join.group);
                *known = joined.generation;
                self.seen.generations += u64::from(!joined.members.is_empty());
            }
            (Request::Sync(sync), Answer::Sync(Ok(synced))) => self.check_assignment(sync, synced),
            (Request::Commit(commit), Answer::Commit(results)) if results == &[Ok(())] => {
                self.seen.commits += 1;
                let offset = &commit.offsets[0];
                let key = (commit.group.to_string(), offset.partition.0 as usize);
                if self.gone.get(&key).is_none_or(|gone| *gone < offset.offset.0) {
                    let acknowledged = self.acknowledged.entry(key).or_insert(offset.offset.0);
                    *acknowledged = (*acknowledged).max(offset.offset.0);
                }
            }
            (Request::FetchOffsets(fetch), Answer::FetchOffsets(Ok(fetched))) => {
                for offset in fetched {
                    let key = (fetch.group.to_string(), offset.partition.0 as usize);
                    let stored = offset.stored.as_ref().expect("all that are stored").offset.0;
                    assert!(self.acknowledged.get(&key).is_none_or(|offset| *offset <= stored));
                    // What was told must not be lost either.
                    if self.gone.get(&key).is_none_or(|gone| *gone < stored) {
                        self.acknowledged.insert(key, stored);
                    }
                }
            }
            _ => {}
        }
    }

    /// All who hear of a generation hear of the same assignment, and no partition has two owners in it.
    fn check_assignment(&mut self, sync: &Sync, synced: &Synced) {
        let text = String::from_utf8(synced.assignment.to_vec()).expect("what a leader wrote");
        let Some((round, share)) = text.split_once('/') else {
            assert_eq!(text, "", "a leader that skipped the assignment of a member that is gone");
            return;
        };
        self.seen.assignments += 1;
        let key = (sync.group.to_string(), sync.generation);
        let (known_round, owners) = self.owners.entry(key).or_insert((round.into(), BTreeMap::new()));
        assert_eq!(known_round, round, "two assignments of one generation: {sync:?}");
        // A static member is the same owner under each of its ids.
        let owner = sync.instance.as_ref().unwrap_or(&sync.member);
        for partition in share.split(',').filter(|partition| !partition.is_empty()) {
            let known = owners.entry(partition.into()).or_insert(owner.to_string());
            assert_eq!(*known, **owner, "partition {partition} has two owners: {sync:?}");
        }
    }

    // --- what must be true ---

    /// Offsets go only when somebody wants them gone, or when nobody has needed them for long.
    fn look_at_records(&mut self, from: usize, is_tick: bool) {
        for record in &self.broker.log[from..] {
            match record {
                GroupRecord::Offset { group, partition, value: None, .. } => {
                    let key = (group.to_string(), partition.0 as usize);
                    self.acknowledged.remove(&key);
                    self.gone.insert(key, self.next_offset);
                    if is_tick {
                        self.seen.expired += 1;
                        let committed_ms = last_commit_ms(&self.broker.log[..from], &key_of(record));
                        let age_ms = self.broker.now_ms - committed_ms;
                        assert!(u128::from(age_ms) >= RETENTION.as_millis(), "expired after {age_ms} ms");
                    }
                }
                GroupRecord::Group { group, value: None } => {
                    *self.ends.entry(group.to_string()).or_default() += 1;
                    self.generations.remove(&**group);
                    self.owners.retain(|(of, _), _| **of != **group);
                }
                GroupRecord::Offset { .. } | GroupRecord::Group { .. } => {}
            }
        }
    }

    fn assert_acknowledged_offsets_are_there(&self) {
        for ((group, partition), offset) in &self.acknowledged {
            let mut offsets = self.broker.coordinator.offsets();
            let found = offsets.find(|(of, _, index, _)| ***of == **group && index.0 as usize == *partition);
            let stored = found.map(|(_, _, _, stored)| stored.0);
            assert!(
                stored.is_some_and(|stored| stored >= *offset),
                "{group}-{partition}: {offset} was acknowledged, {stored:?} is there"
            );
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|(ticket, _)| !self.broker.is_held(**ticket)).map(|(_, open)| open)
    }

    fn assert_nobody_waits_too_long(&self) {
        for open in self.waiting() {
            let waited_ms = self.broker.now_ms - open.asked_ms;
            let waited_ms_max = REBALANCE_SECONDS_MAX * 1_000 + TICK_LATE_MS_MAX;
            assert!(waited_ms <= waited_ms_max, "waits for {waited_ms} ms: {:?}", open.request);
        }
    }

    fn assert_bounds_hold(&self) {
        let (coordinator, limits) = (&self.broker.coordinator, &self.broker.settings.limits);
        assert!(coordinator.group_count() <= limits.groups_max);
        assert!(coordinator.offsets().count() <= limits.offsets_max);
        assert!(self.waiting().count() <= limits.waiting_max);
    }

    // --- the end ---

    /// No more deaths, no more lost answers: every group agrees on one generation with everybody who is alive.
    fn come_to_rest(&mut self) {
        self.is_calm = true;
        for round in 0..120 {
            for index in 0..self.clients.len() {
                match self.clients[index].doing {
                    Doing::Dead | Doing::Asking => {}
                    Doing::Working => {
                        let request = self.clients[index].heartbeat();
                        self.ask(Some(index), request);
                    }
                    Doing::Outside | Doing::Joined(_) => self.act(index),
                }
            }
            let replies = self.broker.commit_up_to(usize::MAX);
            self.deliver(replies);
            // So often that even the least patient group hears of a rebalance and joins in time.
            self.pass(2_000);
            if round > 45 && self.is_at_rest() {
                self.seen.rests += 1;
                return;
            }
        }
        panic!("groups that nobody disturbs do not come to rest");
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(|client| match client.doing {
            Doing::Dead => true,
            Doing::Working => self.generations.get(&*client.group_id()) == Some(&client.generation),
            Doing::Outside | Doing::Asking | Doing::Joined(_) => false,
        })
    }

    /// Nobody says anything any more: everybody who waits is answered, every member is forgotten.
    fn fall_silent(&mut self) {
        self.pass(REBALANCE_SECONDS_MAX * 1_000 * 4);
        let replies = self.broker.commit_up_to(usize::MAX);
        self.deliver(replies);
        assert!(self.open.is_empty(), "never answered: {:?}", self.open);
        self.ask(None, Request::List(ListFilter { states: vec!["Empty".into()], types: Vec::new() }));
        let replies = self.broker.commit_up_to(usize::MAX);
        let Answer::List(Ok(groups)) = &replies[0].answer else { panic!("not a list") };
        assert_eq!(groups.len(), self.broker.coordinator.group_count(), "a group that is not empty");
        self.deliver(replies);
        self.pass(2 * RETENTION.as_millis() as u64);
        assert_eq!(self.broker.coordinator.group_count(), 0, "nothing is left of anybody");
    }
}

fn fetch_all(group: GroupId) -> Request {
    Request::FetchOffsets(FetchOffsets {
        group,
        partitions: None,
        count_max: usize::MAX,
        require_stable: false,
    })
}

/// An operator removes a static member, whatever it is doing.
fn leave_by_name(group: GroupId, random: &mut Random) -> Request {
    let instance = Some(static_name(random));
    let leaving = LeavingMember { member: "".into(), instance, reason: None };
    Request::Leave(Leave { group, members: vec![leaving] })
}

fn generation_of(record: GroupRecord) -> Option<(String, GroupGeneration)> {
    match record {
        GroupRecord::Group { group, value } => value.map(|value| (group.to_string(), value.generation)),
        GroupRecord::Offset { .. } => None,
    }
}

fn last_commit_ms(log: &[GroupRecord], key: &Key) -> u64 {
    let mut earlier = log.iter().rev().filter(|record| key_of(record) == *key);
    match earlier.next() {
        Some(GroupRecord::Offset { value: Some(value), .. }) => value.committed_at.0 as u64,
        other => panic!("{key:?} had no offset to expire: {other:?}"),
    }
}
