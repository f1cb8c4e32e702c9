//! Who is in a group, who was given an id and is yet to join, and who waits.
//!
//! ```text
//!   join without an id ──► pending ──► join with it ──► member ──► leaves, is silent, is replaced
//! ```
//!
//! Always true: the leader is a member, unless there is none; every static name belongs to the member that
//! has it; the counts and the ballot are those of the members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::group::ballot::Ballot;
use crate::group::member::{Member, Waiting};
use crate::group::message::{InstanceId, Join, MemberId, MemberMetadata, Opaque, Protocol};

/// Who is in a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    // Ordered, because clients choose the ids.
    members: BTreeMap<MemberId, Member>,
    statics: BTreeMap<InstanceId, MemberId>,
    pending: BTreeSet<MemberId>,
    leader: Option<MemberId>,
    ballot: Ballot,
    joining_count: usize,
    waiting_count: usize,
    bytes: usize,
}

impl Roster {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is a member; some may be pending.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Somebody.
    pub fn get(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    /// Everybody, by id.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.values()
    }

    /// Everybody's id.
    pub fn ids(&self) -> impl Iterator<Item = &MemberId> {
        self.members.keys()
    }

    /// Who assigns.
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// Whether this one assigns.
    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Who has a static name now.
    pub fn holder_of(&self, instance: &str) -> Option<&MemberId> {
        self.statics.get(instance)
    }

    /// How many wait for all to join.
    pub fn joining_count(&self) -> usize {
        self.joining_count
    }

    /// How many wait for anything.
    pub fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Bytes of what clients chose.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of all assignments.
    pub fn assigned_bytes(&self) -> usize {
        self.members.values().map(|member| member.assignment.len()).sum()
    }

    /// Whether all members wait in the join phase and nobody is pending.
    pub fn is_complete(&self) -> bool {
        self.joining_count == self.members.len() && self.pending.is_empty()
    }

    /// The longest that a rebalance waits for any member.
    pub fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    /// Whether somebody with these assignors could be a member besides all others.
    pub fn has_assignor_in_common(&self, protocols: &[Protocol]) -> bool {
        self.ballot.has_one_known_to_all(protocols, self.members.len())
    }

    /// The assignor by vote.
    pub fn choose_protocol(&self) -> Option<Arc<str>> {
        let leader = self.leader.as_ref().and_then(|leader| self.members.get(leader));
        self.ballot.choose(leader, self.members.values())
    }

    /// Everybody, as a leader sees them.
    pub fn for_leader(&self, protocol: &str) -> Vec<MemberMetadata> {
        self.members.values().map(|member| member.for_leader(protocol)).collect()
    }

    /// Takes somebody in; the first becomes leader.
    pub fn add(&mut self, member: Member) {
        let id = member.id.clone();
        self.pending_removed(&id);
        if let Some(instance) = &member.instance {
            self.statics.insert(instance.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.ballot.add(&member.protocols);
        self.bytes += member.bytes();
        self.members.insert(id, member);
    }

    /// Takes somebody out. Whether its request waited is in what is returned.
    pub fn remove(&mut self, id: &str) -> Option<Member> {
        self.stop_waiting_uncounted(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance
            && self.statics.get(instance) == Some(&member.id)
        {
            self.statics.remove(instance);
        }
        self.ballot.remove(&member.protocols);
        self.bytes -= member.bytes();
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a static member another id. Whether a request under the old one waited is returned.
    pub fn replace_static(&mut self, instance: &InstanceId, new_id: &MemberId) -> Option<Waiting> {
        let old_id = self.statics.get(instance)?.clone();
        let waiting = self.stop_waiting(&old_id);
        let mut member = self.members.remove(&old_id)?;
        self.bytes -= member.bytes();
        member.id = new_id.clone();
        self.bytes += member.bytes();
        if self.leader.as_ref() == Some(&old_id) {
            self.leader = Some(new_id.clone());
        }
        self.statics.insert(instance.clone(), new_id.clone());
        self.members.insert(new_id.clone(), member);
        waiting
    }

    /// Takes over what a member says as it joins again.
    pub fn update(&mut self, id: &str, join: &Join) {
        let Some(member) = self.members.get_mut(id) else { return };
        self.bytes -= member.bytes();
        self.ballot.remove(&member.protocols);
        let said = Member::joining(member.id.clone(), join);
        member.protocols = said.protocols;
        member.rebalance_timeout = said.rebalance_timeout;
        member.session_timeout = said.session_timeout;
        member.client_id = said.client_id;
        member.client_host = said.client_host;
        self.ballot.add(&member.protocols);
        self.bytes += member.bytes();
    }

    /// Lets a member wait. An earlier request of it that waited is returned: its client has given it up.
    pub fn wait(&mut self, id: &str, waiting: Waiting) -> Option<Waiting> {
        let earlier = self.stop_waiting(id);
        let Some(member) = self.members.get_mut(id) else { return earlier };
        member.waiting = Some(waiting);
        self.waiting_count += 1;
        self.joining_count += usize::from(member.is_joining());
        earlier
    }

    /// Ends a member's waiting.
    pub fn stop_waiting(&mut self, id: &str) -> Option<Waiting> {
        let waiting = self.stop_waiting_uncounted(id)?;
        if let Some(member) = self.members.get_mut(id) {
            member.waiting = None;
        }
        Some(waiting)
    }

    /// Takes a member's waiting out of the counts and leaves it with the member.
    fn stop_waiting_uncounted(&mut self, id: &str) -> Option<Waiting> {
        let waiting = self.members.get(id)?.waiting?;
        self.waiting_count -= 1;
        self.joining_count -= usize::from(matches!(waiting, Waiting::Join(_)));
        Some(waiting)
    }

    /// A member's first join is answered: from now on its session counts.
    pub fn welcome(&mut self, id: &str) {
        if let Some(member) = self.members.get_mut(id) {
            member.is_new = false;
        }
    }

    /// Gives a member what it shall do.
    pub fn assign(&mut self, id: &str, assignment: Opaque) {
        let Some(member) = self.members.get_mut(id) else { return };
        self.bytes -= member.assignment.len();
        self.bytes += assignment.len();
        member.assignment = assignment;
    }

    /// Makes sure that the leader is one who joins; whether anybody does.
    pub fn elect_leader_who_joins(&mut self) -> bool {
        let joins = |id: &MemberId| self.members.get(id).is_some_and(Member::is_joining);
        if self.leader.as_ref().is_some_and(joins) {
            return true;
        }
        let successor = self.members.values().find(|member| member.is_joining());
        let Some(successor) = successor.map(|member| member.id.clone()) else { return false };
        self.leader = Some(successor);
        true
    }

    /// The leader of a written generation.
    pub fn set_leader(&mut self, leader: &MemberId) {
        if self.members.contains_key(leader) {
            self.leader = Some(leader.clone());
        }
    }

    /// Dynamic members that did not join: a rebalance goes on without them. Static ones keep their place
    /// until their session ends.
    pub fn absent_dynamic_members(&self) -> Vec<MemberId> {
        let is_absent = |member: &&Member| !member.is_joining() && member.instance.is_none();
        self.members.values().filter(is_absent).map(|member| member.id.clone()).collect()
    }

    /// How many were given an id and are yet to join with it.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Who was given an id and is yet to join with it.
    pub fn pending(&self) -> impl Iterator<Item = &MemberId> {
        self.pending.iter()
    }

    /// Whether this id was given and did not come back yet.
    pub fn is_pending(&self, id: &str) -> bool {
        self.pending.contains(id)
    }

    /// Remembers an id that was given.
    pub fn add_pending(&mut self, id: MemberId) {
        self.bytes += id.len();
        self.pending.insert(id);
    }

    /// Forgets an id that was given; whether it was.
    pub fn pending_removed(&mut self, id: &str) -> bool {
        let was_pending = self.pending.remove(id);
        self.bytes -= if was_pending { id.len() } else { 0 };
        was_pending
    }
}
