//! A coordinator with a clock of its own, a log, and members that remember what they were told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_core::group::GroupCoordinator;
use ringlog_core::group::decision::{Decision, GroupTicket, Moment, Reply, When};
use ringlog_core::group::message::*;
use ringlog_core::group::record::{GroupMetadata, GroupRecord};
use ringlog_core::group::settings::GroupSettings;
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use ringlog_core::refusal::Refusal;
use ringlog_core::time::{Instant, Timestamp};

pub const GROUP: &str = "orders";

/// A coordinator and what came of it so far.
pub struct World {
    pub coordinator: GroupCoordinator,
    pub settings: GroupSettings,
    pub log: Vec<GroupRecord>,
    pub records_per_tick_max: usize,
    now_ms: u64,
    asked: u64,
    replies: BTreeMap<GroupTicket, Reply>,
}

/// What a member knows after it has joined and synced.
#[derive(Clone, Debug)]
pub struct Joiner {
    pub member: MemberId,
    pub instance: Option<InstanceId>,
    pub generation: GroupGeneration,
}

impl World {
    /// Kafka's defaults, but no wait for a first generation.
    pub fn new() -> World {
        World::with(GroupSettings { initial_rebalance_delay: Duration::ZERO, ..GroupSettings::default() })
    }

    pub fn with(settings: GroupSettings) -> World {
        let mut world = World {
            coordinator: GroupCoordinator::loading(settings),
            settings,
            log: Vec::new(),
            records_per_tick_max: 0,
            now_ms: 1_000,
            asked: 0,
            replies: BTreeMap::new(),
        };
        let decision = world.coordinator.become_active(world.moment());
        world.take(decision);
        world
    }

    pub fn moment(&self) -> Moment {
        let now = Instant(self.now_ms * 1_000_000);
        let random = u128::from(self.asked).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Moment { now, wall: Timestamp(self.now_ms as i64), random }
    }

    pub fn wall(&self) -> i64 {
        self.now_ms as i64
    }

    /// Asks, and returns the ticket.
    pub fn ask(&mut self, request: Request) -> GroupTicket {
        self.asked += 1;
        let ticket = GroupTicket(self.asked);
        let decision = self.coordinator.handle(request, ticket, self.moment());
        self.take(decision);
        ticket
    }

    fn take(&mut self, decision: Decision) {
        self.log.extend(decision.records);
        for reply in decision.replies {
            let earlier = self.replies.insert(reply.ticket, reply);
            assert_eq!(earlier, None, "answered twice");
        }
    }

    /// Lets time pass, and what is due happen when it is due.
    pub fn pass(&mut self, seconds: u64) {
        let end_ms = self.now_ms + seconds * 1_000;
        while let Some(due) = self.coordinator.next_deadline()
            && due.0 <= end_ms * 1_000_000
        {
            self.now_ms = self.now_ms.max(due.0.div_ceil(1_000_000));
            let decision = self.coordinator.tick(self.moment());
            self.records_per_tick_max = self.records_per_tick_max.max(decision.records.len());
            self.take(decision);
        }
        self.now_ms = end_ms;
    }

    /// Another broker takes over: all it has is the log.
    pub fn fail_over(&mut self) {
        let fresh = GroupCoordinator::loading(self.settings);
        for reply in std::mem::replace(&mut self.coordinator, fresh).lose() {
            self.take(Decision { records: Vec::new(), replies: vec![reply] });
        }
        self.log.iter().for_each(|record| self.coordinator.replay(record));
        let decision = self.coordinator.become_active(self.moment());
        self.take(decision);
    }

    pub fn waits(&self, ticket: GroupTicket) -> bool {
        !self.replies.contains_key(&ticket)
    }

    pub fn reply(&self, ticket: GroupTicket) -> &Reply {
        self.replies.get(&ticket).expect("an answer")
    }

    pub fn when(&self, ticket: GroupTicket) -> When {
        self.reply(ticket).when
    }

    /// The last generation written.
    pub fn written(&self) -> Option<GroupMetadata> {
        let written = self.log.iter().rev().find_map(|record| match record {
            GroupRecord::Group { value, .. } => Some(value.clone()),
            GroupRecord::Offset { .. } => None,
        });
        written.flatten()
    }

    // --- joins ---

    pub fn join(&mut self, join: Join) -> GroupTicket {
        self.ask(Request::Join(join))
    }

    pub fn join_answer(&self, ticket: GroupTicket) -> &JoinAnswer {
        match &self.reply(ticket).answer {
            Answer::Join(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    pub fn joined(&self, ticket: GroupTicket) -> &Joined {
        self.join_answer(ticket).outcome.as_ref().expect("a generation")
    }

    pub fn join_refusal(&self, ticket: GroupTicket) -> &Refusal {
        self.join_answer(ticket).outcome.as_ref().expect_err("a refusal")
    }

    pub fn member(&self, ticket: GroupTicket) -> MemberId {
        self.join_answer(ticket).member.clone()
    }

    // --- syncs ---

    pub fn sync(&mut self, joiner: &Joiner, assignments: &[(&str, &str)]) -> GroupTicket {
        let assignments = assignments.iter().map(|(member, bytes)| ((*member).into(), opaque(bytes)));
        self.ask(Request::Sync(Sync { assignments: assignments.collect(), ..sync_of(joiner) }))
    }

    pub fn synced(&self, ticket: GroupTicket) -> Result<Synced, Refusal> {
        match &self.reply(ticket).answer {
            Answer::Sync(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn assignment(&self, ticket: GroupTicket) -> String {
        text(&self.synced(ticket).expect("an assignment").assignment)
    }

    // --- all together ---

    /// A stable group of these members, the first of which leads. Each is assigned its own client id.
    pub fn stable(&mut self, joins: &[Join]) -> Vec<Joiner> {
        let tickets: Vec<GroupTicket> = joins.iter().map(|join| self.join(join.clone())).collect();
        self.pass(0);
        let joiners: Vec<Joiner> =
            tickets.iter().zip(joins).map(|(&ticket, join)| self.joiner(ticket, join)).collect();
        let assignments: Vec<(MemberId, Opaque)> = joiners
            .iter()
            .zip(joins)
            .map(|(joiner, join)| (joiner.member.clone(), opaque(&join.client_id)))
            .collect();
        let leader = self.joined(tickets[0]).leader.clone();
        for joiner in &joiners {
            let is_leader = joiner.member == leader;
            let assignments = if is_leader { assignments.clone() } else { Vec::new() };
            self.ask(Request::Sync(Sync { assignments, ..sync_of(joiner) }));
        }
        assert_eq!(self.state(), GroupState::Stable);
        joiners
    }

    pub fn joiner(&self, ticket: GroupTicket, join: &Join) -> Joiner {
        Joiner {
            member: self.member(ticket),
            instance: join.instance.clone(),
            generation: self.joined(ticket).generation,
        }
    }

    // --- signs of life ---

    pub fn heartbeat(&mut self, joiner: &Joiner) -> Result<(), Refusal> {
        let Joiner { member, instance, generation } = joiner.clone();
        let ticket =
            self.ask(Request::Heartbeat(Heartbeat { group: GROUP.into(), member, instance, generation }));
        match &self.reply(ticket).answer {
            Answer::Heartbeat(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Result<(), Refusal>> {
        let members = members.iter().map(|(member, instance)| LeavingMember {
            member: (*member).into(),
            instance: instance.map(Into::into),
            reason: None,
        });
        let ticket = self.ask(Request::Leave(Leave { group: GROUP.into(), members: members.collect() }));
        match &self.reply(ticket).answer {
            Answer::Leave(Ok(left)) => left.iter().map(|left| left.result.clone()).collect(),
            other => panic!("{other:?}"),
        }
    }

    // --- offsets ---

    pub fn commit(&mut self, commit: Commit) -> Vec<Result<(), Refusal>> {
        let ticket = self.ask(Request::Commit(commit));
        match &self.reply(ticket).answer {
            Answer::Commit(results) => results.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn fetch(&mut self, fetch: FetchOffsets) -> Result<Vec<FetchedOffset>, Refusal> {
        let ticket = self.ask(Request::FetchOffsets(fetch));
        assert_eq!(self.when(ticket), When::Committed);
        match &self.reply(ticket).answer {
            Answer::FetchOffsets(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// All offsets as `topic-partition=offset`.
    pub fn stored(&mut self) -> Vec<String> {
        let all = self.fetch(fetch_all()).expect("offsets");
        let shown = all.iter().map(|fetched| {
            let stored = fetched.stored.as_ref().expect("a stored offset");
            format!("{}-{}={}", fetched.topic, fetched.partition, stored.offset)
        });
        shown.collect()
    }

    pub fn delete_offsets(
        &mut self,
        partitions: &[(&str, i32)],
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let partitions = partitions.iter().map(|(topic, index)| ((*topic).into(), PartitionIndex(*index)));
        let delete = DeleteOffsets { group: GROUP.into(), partitions: partitions.collect() };
        let ticket = self.ask(Request::DeleteOffsets(delete));
        match &self.reply(ticket).answer {
            Answer::DeleteOffsets(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    // --- what tools ask ---

    pub fn describe(&mut self) -> Result<GroupDescription, Refusal> {
        let ticket = self.ask(Request::Describe(GROUP.into()));
        match &self.reply(ticket).answer {
            Answer::Describe(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn state(&mut self) -> GroupState {
        self.describe().map_or(GroupState::Dead, |description| description.state)
    }

    pub fn delete_group(&mut self) -> Result<(), Refusal> {
        let ticket = self.ask(Request::DeleteGroup(GROUP.into()));
        match &self.reply(ticket).answer {
            Answer::DeleteGroup(answer) => answer.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// A new consumer that reads `events` and knows one assignor.
pub fn consumer(client_id: &str) -> Join {
    Join {
        group: GROUP.into(),
        member: "".into(),
        instance: None,
        client_id: client_id.into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", &["events"])],
        requires_known_member: false,
        supports_skipping_assignment: true,
        reason: None,
    }
}

/// A new static consumer.
pub fn static_consumer(instance: &str) -> Join {
    Join { instance: Some(instance.into()), requires_known_member: true, ..consumer(instance) }
}

/// The same consumer again, with the id it was given.
pub fn again(join: &Join, member: &MemberId) -> Join {
    Join { member: member.clone(), ..join.clone() }
}

/// An assignor and a subscription as Kafka's clients write it.
pub fn protocol(name: &str, topics: &[&str]) -> Protocol {
    let mut bytes = vec![0, 0];
    bytes.extend((topics.len() as i32).to_be_bytes());
    for topic in topics {
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
    }
    bytes.extend((-1i32).to_be_bytes());
    Protocol { name: name.into(), metadata: bytes.into() }
}

pub fn sync_of(joiner: &Joiner) -> Sync {
    Sync {
        group: GROUP.into(),
        member: joiner.member.clone(),
        instance: joiner.instance.clone(),
        generation: joiner.generation,
        protocol_type: Some("consumer".into()),
        protocol: None,
        assignments: Vec::new(),
    }
}

/// The id of a topic that was never made anew.
pub fn topic_id_of(topic: &str) -> TopicId {
    let mut id = [1; 16];
    id.iter_mut().zip(topic.bytes()).for_each(|(to, from)| *to = from);
    TopicId(id)
}

/// A commit by nobody's member.
pub fn simple_commit(offsets: &[(&str, i32, i64)]) -> Commit {
    let offsets = offsets.iter().map(|(topic, partition, offset)| CommitOffset {
        topic: TopicName::from(*topic),
        topic_id: topic_id_of(topic),
        partition: PartitionIndex(*partition),
        offset: Offset(*offset),
        leader_epoch: LeaderEpoch(3),
        metadata: "".into(),
    });
    Commit {
        group: GROUP.into(),
        member: "".into(),
        instance: None,
        generation: GroupGeneration::NONE,
        retention: None,
        offsets: offsets.collect(),
    }
}

/// A commit by a member.
pub fn commit_of(joiner: &Joiner, offsets: &[(&str, i32, i64)]) -> Commit {
    Commit {
        member: joiner.member.clone(),
        instance: joiner.instance.clone(),
        generation: joiner.generation,
        ..simple_commit(offsets)
    }
}

pub fn fetch_all() -> FetchOffsets {
    FetchOffsets { group: GROUP.into(), partitions: None, count_max: usize::MAX, require_stable: false }
}

pub fn opaque(text: &str) -> Opaque {
    Arc::from(text.as_bytes())
}

pub fn text(bytes: &Opaque) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
