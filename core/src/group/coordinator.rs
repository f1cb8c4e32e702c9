//! The coordinator of the groups whose records one partition of `__consumer_offsets` holds.
//!
//! ```text
//!   loading ── replay, replay, ... ──► become_active ──► handle, tick ──► lose
//!                                                        │ each: a Decision
//!                                                        ▼ its records are replayed already
//! ```
//!
//! Always true: each request gets exactly one answer, at once, later, or from [`GroupCoordinator::lose`]; a
//! deadline is set whenever a request waits; nothing grows beyond
//! [`GroupLimits`](crate::limits::GroupLimits), which it shares with the coordinators beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::group::bounds::{limit, no_bytes_left};
use crate::group::classic_group::Group;
use crate::group::deadlines::{Alarm, Deadlines};
use crate::group::decision::{Decision, GroupTicket, Moment, Reply, When};
use crate::group::message::{Commit, DeleteOffsets, FetchOffsets, GroupId, Join, Leave, Request};
use crate::group::record::GroupRecord;
use crate::group::settings::GroupSettings;
use crate::group::turn::Turn;
use crate::group::weight::Weight;
use crate::ids::{Offset, PartitionIndex, TopicId, TopicName};
use crate::refusal::Refusal;
use crate::time::Instant;

/// Alarms of one tick; what is due beyond these is due at once again. A shard has other things to do as well.
const ALARMS_PER_TICK: usize = 1_000;

/// Groups and offsets one tick looks at, or takes away, for having expired.
const EXPIRED_PER_TICK: usize = 1_000;

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct GroupCoordinator {
    pub(super) settings: GroupSettings,
    // Ordered, because clients choose the names.
    pub(super) groups: BTreeMap<GroupId, Group>,
    held: Weight,
    held_beside: Weight,
    deadlines: Deadlines,
    expiry: Option<ExpiryRound>,
}

/// Where the search for expired offsets stands. There is one once the coordinator is active.
#[derive(Clone, Debug)]
struct ExpiryRound {
    next_at: Instant,
    done_up_to: Option<GroupId>,
}

impl GroupCoordinator {
    /// One that has read nothing yet, and says so to whoever asks.
    pub fn loading(settings: GroupSettings) -> GroupCoordinator {
        GroupCoordinator {
            settings,
            groups: BTreeMap::new(),
            held: Weight::default(),
            held_beside: Weight::default(),
            deadlines: Deadlines::default(),
            expiry: None,
        }
    }

    /// What its groups hold of the bounds.
    pub fn held(&self) -> Weight {
        self.held
    }

    /// What other coordinators hold of the same bounds: this one has what they leave, from its next decision on.
    pub fn beside(&mut self, held: Weight) {
        self.held_beside = held;
    }

    /// Takes over what a record of the partition says.
    pub fn replay(&mut self, record: &GroupRecord) {
        let (GroupRecord::Offset { group: id, .. } | GroupRecord::Group { group: id, .. }) = record;
        let is_new = !self.groups.contains_key(id);
        let group = self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone()));
        let before = if is_new { Weight::default() } else { group.weight() };
        group.replay(record);
        self.held = self.held + group.weight() - before;
        self.forget_if_vacant(id);
    }

    /// All records are replayed: begins to answer. Sessions start now, whenever the last heartbeat was (G16).
    /// Changes nothing where that has happened.
    pub fn become_active(&mut self, moment: Moment) -> Decision {
        if self.is_active() {
            return Decision::default();
        }
        let next_at = moment.now + self.settings.offsets_retention_check_interval;
        self.expiry = Some(ExpiryRound { next_at, done_up_to: None });
        let mut decision = Decision::default();
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for id in ids {
            self.with_group(&id, moment, &mut decision, |group, turn| group.resume(turn));
        }
        decision
    }

    /// Whether it answers.
    pub fn is_active(&self) -> bool {
        self.expiry.is_some()
    }

    /// Decides on a request. The records are replayed already.
    pub fn handle(&mut self, request: Request, ticket: GroupTicket, moment: Moment) -> Decision {
        let mut decision = Decision::default();
        if let Err(refusal) = self.admit(&request) {
            if !matches!(request, Request::TopicDeleted(..)) {
                let answer = request.refused(&refusal);
                decision.replies.push(Reply { ticket, answer, when: When::Now });
            }
            return decision;
        }
        let answer = self.decide(request, ticket, moment, &mut decision);
        decision.replies.extend(answer.map(|(answer, when)| Reply { ticket, answer, when }));
        decision
    }

    /// Whether a request can be looked at: somebody is here to do so, and names are names.
    fn admit(&self, request: &Request) -> Result<(), Refusal> {
        if !self.is_active() {
            return Err(Refusal::CoordinatorLoading);
        }
        let (group, may_be_empty) = match request {
            Request::Join(Join { group, .. }) | Request::Leave(Leave { group, .. }) => (group, false),
            Request::Sync(sync) => (&sync.group, false),
            Request::Heartbeat(heartbeat) => (&heartbeat.group, false),
            Request::DeleteOffsets(DeleteOffsets { group, .. }) => (group, false),
            // Consumers from before groups keep their offsets under the empty name.
            Request::Commit(Commit { group, .. }) | Request::FetchOffsets(FetchOffsets { group, .. }) => {
                (group, true)
            }
            Request::Describe(group) | Request::DeleteGroup(group) => (group, true),
            Request::List(_) | Request::TopicDeleted(..) => return Ok(()),
        };
        let is_name =
            group.len() <= self.settings.limits.name_bytes_max && (may_be_empty || !group.is_empty());
        if is_name { Ok(()) } else { Err(Refusal::InvalidGroupId) }
    }

    /// Makes sure that there is such a group, for now: it goes again if nothing comes of it.
    pub(super) fn found(&mut self, id: &GroupId) -> Result<(), Refusal> {
        if self.groups.contains_key(id) {
            return Ok(());
        }
        let group = Group::new(id.clone());
        let held = self.held + group.weight();
        let of_all = held + self.held_beside;
        let count_max = self.settings.limits.groups_max;
        if of_all.group_count > count_max {
            return Err(limit(format!("the shard of this group has {count_max} groups")));
        }
        if of_all.bytes > self.settings.limits.bytes_max {
            return Err(no_bytes_left(&self.settings));
        }
        self.held = held;
        self.groups.insert(id.clone(), group);
        Ok(())
    }

    /// Does what is due. What does not fit into one tick is due at once again.
    pub fn tick(&mut self, moment: Moment) -> Decision {
        let mut decision = Decision::default();
        for _ in 0..ALARMS_PER_TICK {
            let Some((id, alarm)) = self.deadlines.pop_due(moment.now) else { break };
            self.with_group(&id, moment, &mut decision, |group, turn| match &alarm {
                Alarm::JoinPhase => group.join_phase_timed_out(turn),
                Alarm::SyncPhase => group.sync_phase_timed_out(turn),
                Alarm::Session(member) => group.session_timed_out(member, turn),
                Alarm::PendingMember(member) => group.pending_member_timed_out(member, turn),
            });
        }
        self.expire(moment, &mut decision);
        decision
    }

    /// Looks for expired offsets, some groups at a time.
    fn expire(&mut self, moment: Moment, decision: &mut Decision) {
        let Some(round) = self.expiry.clone().filter(|round| round.next_at <= moment.now) else { return };
        let from = round.done_up_to.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<GroupId> = self
            .groups
            .range::<GroupId, _>((from, Bound::Unbounded))
            .map(|(id, _)| id.clone())
            .take(EXPIRED_PER_TICK)
            .collect();
        let mut done_up_to = round.done_up_to;
        for id in &ids {
            let room = EXPIRED_PER_TICK.saturating_sub(decision.records.len());
            let is_done = room > 0
                && self.with_group(id, moment, decision, |group, turn| group.expire(room, turn))
                    == Some(true);
            if !is_done {
                self.expiry = Some(ExpiryRound { next_at: round.next_at, done_up_to });
                return;
            }
            done_up_to = Some(id.clone());
        }
        let is_round_over = ids.len() < EXPIRED_PER_TICK;
        self.expiry = Some(match is_round_over {
            true => ExpiryRound {
                next_at: moment.now + self.settings.offsets_retention_check_interval,
                done_up_to: None,
            },
            false => ExpiryRound { next_at: round.next_at, done_up_to },
        });
    }

    /// When to tick next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let expiry = self.expiry.as_ref()?.next_at;
        Some(self.deadlines.next().map_or(expiry, |alarm| alarm.min(expiry)))
    }

    /// Another broker coordinates now, or the log is lost: tells whoever waits.
    pub fn lose(self) -> Vec<Reply> {
        let mut replies = Vec::new();
        for member in self.groups.values().flat_map(|group| group.roster.members()) {
            if let Some(waiting) = member.waiting {
                let (ticket, answer) = waiting.refused(&member.id, Refusal::NotCoordinator);
                replies.push(Reply { ticket, answer, when: When::Now });
            }
        }
        replies
    }

    /// All committed offsets: how far groups have read.
    pub fn offsets(&self) -> impl Iterator<Item = (&GroupId, &TopicName, PartitionIndex, Offset)> {
        self.groups.values().flat_map(|group| {
            let offsets = group.offsets.iter();
            offsets.map(|(topic, partition, value)| (&group.id, topic, partition, value.offset))
        })
    }

    /// Of which topics there are offsets, by name and id; the id is not known of all.
    pub fn topics_with_offsets(&self) -> BTreeSet<(TopicName, Option<TopicId>)> {
        let offsets = self.groups.values().flat_map(|group| group.offsets.iter());
        offsets.map(|(topic, _, value)| (topic.clone(), value.topic_id)).collect()
    }

    /// How many groups there are.
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The records that make a coordinator what this one is, one a key: what a compacted log would hold.
    pub fn records(&self) -> impl Iterator<Item = GroupRecord> {
        self.groups.values().flat_map(Group::records)
    }

    /// The same, some groups at a time, by name: whole groups behind `after` until there are `count_min` records, and the
    /// last group they tell of; `None` where there is none behind it.
    pub fn records_behind(
        &self,
        after: Option<&GroupId>,
        count_min: usize,
    ) -> Option<(Vec<GroupRecord>, GroupId)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut records, mut last) = (Vec::new(), None);
        for (id, group) in self.groups.range::<GroupId, _>((from, Bound::Unbounded)) {
            records.extend(group.records());
            last = Some(id.clone());
            if records.len() >= count_min {
                break;
            }
        }
        last.map(|last| (records, last))
    }

    /// Lets a group decide, if it is there, and keeps count of what it holds.
    pub(super) fn with_group<R>(
        &mut self,
        id: &GroupId,
        moment: Moment,
        decision: &mut Decision,
        act: impl FnOnce(&mut Group, &mut Turn) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let before = group.weight();
        let limits = &self.settings.limits;
        let most = Weight {
            group_count: limits.groups_max,
            offset_count: limits.offsets_max,
            waiting_count: limits.waiting_max,
            bytes: limits.bytes_max,
        };
        let mut turn = Turn {
            settings: &self.settings,
            moment,
            deadlines: &mut self.deadlines,
            room: most - self.held - self.held_beside,
            decision: std::mem::take(decision),
        };
        let result = act(group, &mut turn);
        *decision = turn.decision;
        self.held = self.held + group.weight() - before;
        self.forget_if_vacant(id);
        Some(result)
    }

    fn forget_if_vacant(&mut self, id: &GroupId) {
        if let Some(group) = self.groups.get(id).filter(|group| group.is_vacant()) {
            self.held = self.held - group.weight();
            self.groups.remove(id);
        }
    }
}
