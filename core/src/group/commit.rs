//! Offsets committed, read and removed.
//!
//! ```text
//!   OffsetCommit ──► may this member, in this generation? ──► one record a partition ──► answered when committed
//!   OffsetFetch  ──► what is stored ──► answered when that is committed
//! ```
//!
//! Always true: nothing is told that could be lost again (O8).

use crate::group::bounds::{limit, no_bytes_left};
use crate::group::classic_group::{Group, Phase};
use crate::group::decision::GroupTicket;
use crate::group::message::{
    Answer, Commit, CommitOffset, DeleteOffsets, FetchOffsets, FetchedOffset, StoredOffset,
};
use crate::group::record::{CommittedOffset, GroupRecord};
use crate::group::turn::Turn;
use crate::ids::{PartitionIndex, TopicId, TopicName};
use crate::refusal::Refusal;
use crate::time::Timestamp;

impl Group {
    /// Stores offsets.
    pub fn commit(&mut self, commit: &Commit, ticket: GroupTicket, turn: &mut Turn) {
        if let Err(refusal) = self.check_commit(commit) {
            turn.reply_now(ticket, Answer::Commit(vec![Err(refusal); commit.offsets.len()]));
            return;
        }
        if matches!(self.phase, Phase::Gathering { .. } | Phase::Preparing | Phase::Stable { .. }) {
            self.restart_session(&commit.member, turn);
        }
        let wall = turn.moment.wall;
        let expires_at = commit.retention.map(|kept| {
            Timestamp(wall.0.saturating_add(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)))
        });
        let results = commit.offsets.iter().map(|offset| self.commit_one(offset, expires_at, turn)).collect();
        turn.reply_committed(ticket, Answer::Commit(results));
    }

    /// Whether the one who commits may (O1, O2): nobody's member may while nobody is in the group.
    fn check_commit(&self, commit: &Commit) -> Result<(), Refusal> {
        let has_generation = commit.generation.0 >= 0;
        if !has_generation && self.phase == Phase::Empty {
            return Ok(());
        }
        if !has_generation && commit.member.is_empty() && commit.instance.is_none() {
            return Err(Refusal::UnknownMember);
        }
        self.check_member(&commit.member, commit.instance.as_deref())?;
        if commit.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        match self.phase {
            // It has heard of the generation and not yet of its assignment: it cannot have read anything.
            Phase::Completing { .. } => Err(Refusal::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn commit_one(
        &mut self,
        commit: &CommitOffset,
        expires_at: Option<Timestamp>,
        turn: &mut Turn,
    ) -> Result<(), Refusal> {
        let bytes_max = turn.settings.offset_metadata_bytes_max;
        if commit.metadata.len() > bytes_max {
            return Err(Refusal::OffsetMetadataTooLarge { bytes_max });
        }
        self.take_room(commit, turn)?;
        let value = CommittedOffset {
            offset: commit.offset,
            leader_epoch: commit.leader_epoch,
            metadata: commit.metadata.clone(),
            committed_at: turn.moment.wall,
            expires_at,
            topic_id: Some(commit.topic_id),
        };
        self.write_offset(&commit.topic, commit.partition, Some(value), turn);
        Ok(())
    }

    /// What is stored already takes no more room than before.
    fn take_room(&self, commit: &CommitOffset, turn: &mut Turn) -> Result<(), Refusal> {
        let bytes = commit.topic.len() + commit.metadata.len();
        let earlier = self.offsets.get(&commit.topic, commit.partition);
        let earlier_bytes = earlier.map_or(0, |earlier| commit.topic.len() + earlier.metadata.len());
        let more = bytes.saturating_sub(earlier_bytes);
        if more > turn.room.bytes {
            return Err(no_bytes_left(turn.settings));
        }
        if earlier.is_none() && turn.room.offset_count == 0 {
            let count_max = turn.settings.limits.offsets_max;
            return Err(limit(format!("the shard of this group keeps {count_max} offsets")));
        }
        turn.room.bytes -= more;
        turn.room.offset_count -= usize::from(earlier.is_none());
        Ok(())
    }

    /// Writes an offset, or takes it away.
    pub fn write_offset(
        &mut self,
        topic: &TopicName,
        partition: PartitionIndex,
        value: Option<CommittedOffset>,
        turn: &mut Turn,
    ) {
        let (group, topic) = (self.id.clone(), topic.clone());
        self.write(GroupRecord::Offset { group, topic, partition, value }, turn);
    }

    /// Reads offsets (O4).
    pub fn fetch_offsets(&self, fetch: &FetchOffsets) -> Result<Vec<FetchedOffset>, Refusal> {
        let Some(wanted) = &fetch.partitions else {
            if self.offsets.len() > fetch.count_max {
                let (count, count_max) = (self.offsets.len(), fetch.count_max);
                return Err(limit(format!(
                    "{count} offsets do not fit in an answer that has room for {count_max}"
                )));
            }
            let all = self.offsets.iter();
            return Ok(all.map(|(topic, partition, value)| fetched(topic, partition, Some(value))).collect());
        };
        let stored = |(topic, partition): &(TopicName, PartitionIndex)| {
            fetched(topic, *partition, self.offsets.get(topic, *partition))
        };
        Ok(wanted.iter().map(stored).collect())
    }

    /// Removes offsets of topics that nobody reads (O6).
    pub fn delete_offsets(
        &mut self,
        delete: &DeleteOffsets,
        turn: &mut Turn,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        if self.phase != Phase::Empty && !self.is_of_consumers() {
            return Err(Refusal::NonEmptyGroup);
        }
        let mut results = Vec::with_capacity(delete.partitions.len());
        for (topic, partition) in &delete.partitions {
            if self.is_subscribed_to(topic) {
                results.push(Err(Refusal::GroupSubscribedToTopic));
                continue;
            }
            if self.offsets.get(topic, *partition).is_some() {
                self.write_offset(topic, *partition, None, turn);
            }
            results.push(Ok(()));
        }
        Ok(results)
    }

    /// A topic is gone: so are its offsets.
    pub fn topic_deleted(&mut self, topic: &TopicName, id: Option<TopicId>, turn: &mut Turn) {
        for partition in self.offsets.of_deleted(topic, id) {
            self.write_offset(topic, partition, None, turn);
        }
    }
}

/// What to tell of a partition.
pub(super) fn fetched(
    topic: &TopicName,
    partition: PartitionIndex,
    value: Option<&CommittedOffset>,
) -> FetchedOffset {
    let stored = value.map(|value| StoredOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
    });
    FetchedOffset { topic: topic.clone(), partition, stored }
}
