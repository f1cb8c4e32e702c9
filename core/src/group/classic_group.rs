//! One group: what its records say, and what lives only as long as its coordinator.
//!
//! ```text
//!           first join            all joined, or time is up           leader's assignment
//!   Empty ────────────► Gathering ───────────────┐                 (written: a generation)
//!     ▲                                          ▼                          │
//!     │ nobody joined      Preparing ──────► Completing ────────────────────┴──► Stable
//!     └──────────────────────┘ ▲                 │ members come, go or are silent  │
//!                              └─────────────────┴─────────────────────────────────┘
//! ```
//!
//! Always true: `written`, `offsets` and `has_had_offsets` change by replay alone. While Empty, and while Stable, what is
//! written is what is living; a rebalance in flight is not written, so a coordinator that takes over goes on
//! with the last generation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::group::bounds::members_max;
use crate::group::deadlines::Alarm;
use crate::group::member::Member;
use crate::group::message::{GroupGeneration, GroupId, GroupState, Joined, MemberId};
use crate::group::offsets::GroupOffsets;
use crate::group::record::{GroupMetadata, GroupRecord};
use crate::group::roster::Roster;
use crate::group::subscription;
use crate::group::turn::Turn;
use crate::group::weight::Weight;
use crate::ids::TopicName;
use crate::refusal::Refusal;
use crate::time::Instant;

/// One group of the classic protocol.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Its name.
    pub id: GroupId,
    /// The last record of its generation.
    pub written: Option<GroupMetadata>,
    /// How far it has read.
    pub offsets: GroupOffsets,
    /// Whether it had an offset since it was last written that it is gone: it is then listed until that is written again.
    pub has_had_offsets: bool,
    /// The generation agreed last.
    pub generation: GroupGeneration,
    /// What kind of group: `None` until somebody joins.
    pub protocol_type: Option<Arc<str>>,
    /// The assignor of the generation.
    pub protocol: Option<Arc<str>>,
    /// Who is in it.
    pub roster: Roster,
    /// What it does or waits for.
    pub phase: Phase,
    /// Which topics its generation reads; `None` if that cannot be told.
    pub subscribed: Option<BTreeSet<TopicName>>,
}

/// How long a new member's first join is kept: a client that has not heard by then is gone, and would
/// otherwise leave one defunct member for each time it tried.
const NEW_MEMBER_JOIN_MAX: Duration = Duration::from_secs(5 * 60);

/// What a group does or waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nobody is in it.
    Empty,
    /// Members join for the first time: a little longer is waited for more of them (KIP-134).
    Gathering {
        /// Whether somebody came since the wait was last extended.
        has_newcomers: bool,
        /// Until when it may be extended.
        ends_at: Instant,
    },
    /// Members are to join again.
    Preparing,
    /// The leader's assignment is awaited.
    Completing {
        /// Who has not asked for its assignment.
        unsynced: BTreeSet<MemberId>,
    },
    /// Everybody has an assignment.
    Stable {
        /// Who has not asked for its assignment.
        unsynced: BTreeSet<MemberId>,
    },
}

impl Group {
    /// A group nobody has heard of.
    pub fn new(id: GroupId) -> Group {
        Group {
            id,
            written: None,
            offsets: GroupOffsets::default(),
            has_had_offsets: false,
            generation: GroupGeneration(0),
            protocol_type: None,
            protocol: None,
            roster: Roster::default(),
            phase: Phase::Empty,
            subscribed: None,
        }
    }

    /// Takes over what a record says. The only change of what records carry.
    pub fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { topic, partition, value, .. } => {
                self.offsets.set(topic, *partition, value.clone());
                self.has_had_offsets |= value.is_some();
            }
            GroupRecord::Group { value, .. } => {
                self.written = value.clone();
                self.has_had_offsets = value.is_some() || !self.offsets.is_empty();
            }
        }
    }

    /// Decides on a record: it is part of the state at once, and answers wait for it.
    pub fn write(&mut self, record: GroupRecord, turn: &mut Turn) {
        self.replay(&record);
        turn.decision.records.push(record);
    }

    /// Writes the generation as it lives now.
    pub fn write_generation(&mut self, turn: &mut Turn) {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let value = GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.roster.leader().cloned(),
            state_since: turn.moment.wall,
            members: self.roster.members().map(|member| member.for_record(protocol)).collect(),
        };
        self.write(GroupRecord::Group { group: self.id.clone(), value: Some(value) }, turn);
    }

    /// The records that say what is written of it.
    pub fn records(&self) -> impl Iterator<Item = GroupRecord> {
        let group = || self.id.clone();
        let generation = self.written.iter().cloned();
        let generation =
            generation.map(move |value| GroupRecord::Group { group: group(), value: Some(value) });
        let offsets = self.offsets.iter().map(move |(topic, partition, value)| GroupRecord::Offset {
            group: group(),
            topic: topic.clone(),
            partition,
            value: Some(value.clone()),
        });
        generation.chain(offsets)
    }

    /// Begins to live from what is written: members keep ids and generation, and their sessions start now (G16).
    pub fn resume(&mut self, turn: &mut Turn) {
        let Some(written) = self.written.clone() else { return };
        self.generation = written.generation;
        self.protocol_type = Some(written.protocol_type);
        self.protocol = written.protocol.filter(|_| !written.members.is_empty());
        let protocol = self.protocol.clone().unwrap_or_default();
        for member in &written.members {
            self.roster.add(Member::written(member, &protocol));
        }
        if let Some(leader) = &written.leader {
            self.roster.set_leader(leader);
        }
        self.subscribed = self.topics_read();
        let members: Vec<MemberId> = self.roster.ids().cloned().collect();
        if members.is_empty() {
            return;
        }
        self.phase = Phase::Stable { unsynced: BTreeSet::new() };
        members.iter().for_each(|member| self.restart_session(member, turn));
        if self.roster.len() > members_max(turn.settings) {
            self.prepare_rebalance(turn);
        }
    }

    /// A member has shown that it is alive. A new one has yet to hear of its id: it has longer than a session.
    pub fn restart_session(&mut self, id: &MemberId, turn: &mut Turn) {
        let Some(member) = self.roster.get(id) else { return };
        let patience = if member.is_new { NEW_MEMBER_JOIN_MAX } else { member.session_timeout };
        turn.arm(&self.id, Alarm::Session(id.clone()), patience);
    }

    /// Takes somebody out and answers its request that waited. What follows for the others is up to the caller.
    pub fn remove_member(&mut self, id: &MemberId, turn: &mut Turn) {
        turn.disarm(&self.id, Alarm::Session(id.clone()));
        let Some(member) = self.roster.remove(id) else { return };
        if let Some(waiting) = member.waiting {
            let (ticket, answer) = waiting.refused(id, Refusal::UnknownMember);
            turn.reply_now(ticket, answer);
        }
        if let Phase::Completing { unsynced } | Phase::Stable { unsynced } = &mut self.phase {
            unsynced.remove(id);
        }
    }

    /// Forgets an id that was given and not come back; whether it was given.
    pub fn remove_pending(&mut self, id: &MemberId, turn: &mut Turn) -> bool {
        turn.disarm(&self.id, Alarm::PendingMember(id.clone()));
        self.roster.pending_removed(id)
    }

    /// Is this who it says it is? A static name belongs to the member that joined with it last (KIP-345).
    pub fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), Refusal> {
        if let Some(instance) = instance {
            match self.roster.holder_of(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(holder) if **holder != *id => return Err(Refusal::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.roster.get(id).map(|_| ()).ok_or(Refusal::UnknownMember)
    }

    /// The current generation, as one of its members is told of it. The leader gets to know everybody.
    pub fn joined(&self, member: &str) -> Joined {
        let protocol = self.protocol.clone().unwrap_or_default();
        let is_leader = self.roster.is_leader(member);
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            leader: self.roster.leader().cloned().unwrap_or_default(),
            skip_assignment: false,
            members: if is_leader { self.roster.for_leader(&protocol) } else { Vec::new() },
            protocol,
        }
    }

    /// The topics of all subscriptions to the chosen assignor. Other kinds of groups do not say.
    pub fn topics_read(&self) -> Option<BTreeSet<TopicName>> {
        self.protocol_type.as_ref()?;
        if self.roster.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_ref().filter(|_| self.is_of_consumers())?;
        let mut topics = BTreeSet::new();
        for member in self.roster.members() {
            topics.extend(subscription::topics_of(&member.subscription(protocol))?);
        }
        Some(topics)
    }

    /// Whether members speak the protocol of consumers, as far as subscriptions go.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some("consumer")
    }

    /// Whether somebody reads the topic. Consumers whose subscription cannot be read may read anything.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or(self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// The state in Kafka's words.
    pub fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Gathering { .. } | Phase::Preparing => GroupState::PreparingRebalance,
            Phase::Completing { .. } => GroupState::CompletingRebalance,
            Phase::Stable { .. } => GroupState::Stable,
        }
    }

    /// Whether nothing would be lost by forgetting it.
    pub fn is_vacant(&self) -> bool {
        let is_written = self.written.is_some() || self.has_had_offsets;
        let is_living =
            self.phase != Phase::Empty || !self.roster.is_empty() || self.roster.pending_count() > 0;
        !is_written && !is_living
    }

    /// What it takes of the bounds over all groups.
    pub fn weight(&self) -> Weight {
        Weight {
            group_count: 1,
            offset_count: self.offsets.len(),
            waiting_count: self.roster.waiting_count(),
            bytes: self.id.len() + self.roster.bytes() + self.offsets.bytes(),
        }
    }
}
