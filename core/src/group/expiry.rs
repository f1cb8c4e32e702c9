//! Offsets that nobody needs any more (KIP-211).
//!
//! ```text
//!   a group without members         since it is empty      + offsets.retention.minutes
//!   offsets without a group         since the commit       + offsets.retention.minutes
//!   consumers, at work              since the commit, topics that nobody subscribes to any more
//!   the client said when (v2..4)    then, and never earlier or later
//! ```
//!
//! Always true: a topic somebody reads loses no offset; an empty group without offsets goes when it is looked at next, however it
//! lost them.

use std::time::Duration;

use crate::group::classic_group::{Group, Phase};
use crate::group::record::CommittedOffset;
use crate::group::turn::Turn;
use crate::ids::{PartitionIndex, TopicName};
use crate::time::Timestamp;

/// Since when an offset counts as not needed.
enum Unneeded {
    /// Since it was committed.
    SinceCommit,
    /// Since the group is empty, unless that was not written.
    SinceEmpty(Timestamp),
}

impl Group {
    /// Takes away offsets that are due, and the group if it has nothing left, with up to `count_max` records.
    /// Whether it is done with: if not, more may be due.
    pub fn expire(&mut self, count_max: usize, turn: &mut Turn) -> bool {
        let due = self.expired_offsets(count_max, turn);
        let is_done = due.len() < count_max;
        for (topic, partition) in due {
            self.write_offset(&topic, partition, None, turn);
        }
        let is_left_alone = self.phase == Phase::Empty && self.roster.pending_count() == 0;
        if is_done && self.offsets.is_empty() && is_left_alone && !self.is_vacant() {
            self.bury(turn);
        }
        is_done
    }

    fn expired_offsets(&self, count_max: usize, turn: &Turn) -> Vec<(TopicName, PartitionIndex)> {
        let Some(unneeded) = self.unneeded() else { return Vec::new() };
        let (wall, retention) = (turn.moment.wall, turn.settings.offsets_retention);
        self.offsets
            .iter()
            .filter(|(topic, _, _)| !self.is_subscribed_to(topic))
            .filter(|(_, _, value)| is_expired(value, &unneeded, retention, wall))
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .take(count_max)
            .collect()
    }

    fn unneeded(&self) -> Option<Unneeded> {
        match self.phase {
            _ if self.protocol_type.is_none() => Some(Unneeded::SinceCommit),
            Phase::Empty => {
                let since = self.written.as_ref().map_or(Timestamp::NONE, |written| written.state_since);
                Some(Unneeded::SinceEmpty(since))
            }
            Phase::Stable { .. } if self.subscribed.is_some() => Some(Unneeded::SinceCommit),
            _ => None,
        }
    }
}

fn is_expired(value: &CommittedOffset, unneeded: &Unneeded, retention: Duration, wall: Timestamp) -> bool {
    if let Some(expires_at) = value.expires_at {
        return wall >= expires_at;
    }
    let since = match unneeded {
        Unneeded::SinceEmpty(since) if *since != Timestamp::NONE => *since,
        Unneeded::SinceEmpty(_) | Unneeded::SinceCommit => value.committed_at,
    };
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    wall.0.saturating_sub(since.0) >= retention_ms
}
