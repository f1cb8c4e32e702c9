//! Which group a request goes to, and what is said where there is no such group.
//!
//! ```text
//!   join without an id, commit without a generation ──► the group, founded if need be
//!   other work of members ──► the group, else: unknown member
//!   queries ──► the group, else: not found; ListGroups and deleted topics ──► all groups
//! ```
//!
//! Always true: a request is answered here or by its group, never by both.

use crate::group::classic_group::Group;
use crate::group::commit::fetched;
use crate::group::coordinator::GroupCoordinator;
use crate::group::decision::{Decision, GroupTicket, Moment, When};
use crate::group::join::check_join;
use crate::group::message::{
    Answer, Commit, FetchOffsets, FetchedOffset, GroupId, GroupListing, Join, JoinAnswer, ListFilter, Request,
};
use crate::group::session::left_nothing;
use crate::group::turn::Turn;
use crate::ids::{TopicId, TopicName};
use crate::refusal::Refusal;

impl GroupCoordinator {
    /// Hands a request to its group. What the group does not answer itself is returned.
    pub(super) fn decide(
        &mut self,
        request: Request,
        ticket: GroupTicket,
        moment: Moment,
        decision: &mut Decision,
    ) -> Option<(Answer, When)> {
        match request {
            Request::Join(join) => self.join(&join, ticket, moment, decision),
            Request::Commit(commit) => self.commit(&commit, ticket, moment, decision),
            Request::Sync(sync) => {
                let id = sync.group.clone();
                let found =
                    self.with_group(&id, moment, decision, |group, turn| group.sync(sync, ticket, turn));
                found.is_none().then_some((Answer::Sync(Err(Refusal::UnknownMember)), When::Now))
            }
            Request::Heartbeat(heartbeat) => {
                let beat = |group: &mut Group, turn: &mut Turn| group.heartbeat(&heartbeat, turn);
                let found = self.with_group(&heartbeat.group, moment, decision, beat);
                Some((Answer::Heartbeat(found.unwrap_or(Err(Refusal::UnknownMember))), When::Now))
            }
            Request::Leave(leave) => {
                let go = |group: &mut Group, turn: &mut Turn| group.leave(&leave, ticket, turn);
                let found = self.with_group(&leave.group, moment, decision, go);
                found.is_none().then(|| (Answer::Leave(Ok(left_nothing(&leave))), When::Now))
            }
            Request::DeleteOffsets(delete) => {
                let remove = |group: &mut Group, turn: &mut Turn| group.delete_offsets(&delete, turn);
                let found = self.with_group(&delete.group, moment, decision, remove);
                let answer = found.unwrap_or(Err(Refusal::GroupIdNotFound));
                Some((Answer::DeleteOffsets(answer), When::Committed))
            }
            Request::DeleteGroup(id) => {
                let found = self.with_group(&id, moment, decision, |group, turn| group.delete(turn));
                let answer = found.unwrap_or(Err(Refusal::GroupIdNotFound));
                Some((Answer::DeleteGroup(answer), When::Committed))
            }
            Request::TopicDeleted(topic, id) => {
                self.topic_deleted(&topic, id, moment, decision);
                None
            }
            Request::FetchOffsets(fetch) => {
                Some((Answer::FetchOffsets(self.fetch_offsets(&fetch)), When::Committed))
            }
            Request::Describe(id) => {
                let description = self.groups.get(&id).map(Group::describe);
                Some((Answer::Describe(description.ok_or(Refusal::GroupIdNotFound)), When::Committed))
            }
            Request::List(filter) => Some((Answer::List(Ok(self.list(&filter))), When::Committed)),
        }
    }

    fn join(
        &mut self,
        join: &Join,
        ticket: GroupTicket,
        moment: Moment,
        decision: &mut Decision,
    ) -> Option<(Answer, When)> {
        // Only who has no id yet founds a group.
        let is_there = if join.member.is_empty() {
            check_join(join, &self.settings).and_then(|()| self.found(&join.group))
        } else {
            check_join(join, &self.settings)
        };
        let joined = is_there.and_then(|()| {
            let found =
                self.with_group(&join.group, moment, decision, |group, turn| group.join(join, ticket, turn));
            found.ok_or(Refusal::UnknownMember)
        });
        let refusal = joined.err()?;
        let answer = JoinAnswer { member: join.member.clone(), outcome: Err(refusal) };
        Some((Answer::Join(answer), When::Now))
    }

    fn commit(
        &mut self,
        commit: &Commit,
        ticket: GroupTicket,
        moment: Moment,
        decision: &mut Decision,
    ) -> Option<(Answer, When)> {
        // Nobody's member may commit to a group that is not there yet.
        let is_there = match commit.generation.0 {
            ..0 => self.found(&commit.group),
            _ if self.groups.contains_key(&commit.group) => Ok(()),
            _ => Err(Refusal::GroupIdNotFound),
        };
        let refusal = match is_there {
            Ok(()) => {
                let act = |group: &mut Group, turn: &mut Turn| group.commit(commit, ticket, turn);
                self.with_group(&commit.group, moment, decision, act);
                return None;
            }
            Err(refusal) => refusal,
        };
        Some((Answer::Commit(vec![Err(refusal); commit.offsets.len()]), When::Now))
    }

    fn fetch_offsets(&self, fetch: &FetchOffsets) -> Result<Vec<FetchedOffset>, Refusal> {
        let wanted = || fetch.partitions.iter().flatten();
        match self.groups.get(&fetch.group) {
            Some(group) => group.fetch_offsets(fetch),
            None => Ok(wanted().map(|(topic, partition)| fetched(topic, *partition, None)).collect()),
        }
    }

    fn list(&self, filter: &ListFilter) -> Vec<GroupListing> {
        self.groups.values().filter_map(|group| group.list(filter)).collect()
    }

    fn topic_deleted(
        &mut self,
        topic: &TopicName,
        id: Option<TopicId>,
        moment: Moment,
        decision: &mut Decision,
    ) {
        let has_offsets = |group: &&Group| !group.offsets.of_deleted(topic, id).is_empty();
        let groups: Vec<GroupId> =
            self.groups.values().filter(has_offsets).map(|group| group.id.clone()).collect();
        for group in groups {
            self.with_group(&group, moment, decision, |group, turn| group.topic_deleted(topic, id, turn));
        }
    }
}
