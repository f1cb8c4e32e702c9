//! How far a group has read.
//!
//! ```text
//!   topic ──► partition ──► offset, the epoch it was read in, the client's text, when
//! ```
//!
//! Always true: changed by replayed records only; no topic is kept without a partition that has an offset.

use std::collections::BTreeMap;

use crate::group::record::CommittedOffset;
use crate::ids::{PartitionIndex, TopicId, TopicName};

/// The offsets of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupOffsets {
    by_topic: BTreeMap<TopicName, BTreeMap<PartitionIndex, CommittedOffset>>,
    count: usize,
    bytes: usize,
}

impl GroupOffsets {
    /// Stores an offset in place of an earlier one, or takes it away.
    pub fn set(&mut self, topic: &TopicName, partition: PartitionIndex, value: Option<CommittedOffset>) {
        match value {
            Some(value) => self.store(topic, partition, value),
            None => self.take_away(topic, partition),
        }
    }

    fn store(&mut self, topic: &TopicName, partition: PartitionIndex, value: CommittedOffset) {
        let bytes = value.metadata.len();
        if !self.by_topic.contains_key(topic) {
            self.bytes += topic.len();
            self.by_topic.insert(topic.clone(), BTreeMap::new());
        }
        let earlier = self.by_topic.get_mut(topic).and_then(|partitions| partitions.insert(partition, value));
        self.bytes += bytes;
        match earlier {
            Some(earlier) => self.bytes -= earlier.metadata.len(),
            None => self.count += 1,
        }
    }

    fn take_away(&mut self, topic: &TopicName, partition: PartitionIndex) {
        let Some(partitions) = self.by_topic.get_mut(topic) else { return };
        let Some(earlier) = partitions.remove(&partition) else { return };
        self.count -= 1;
        self.bytes -= earlier.metadata.len();
        if partitions.is_empty() {
            self.by_topic.remove(topic);
            self.bytes -= topic.len();
        }
    }

    /// The offset of one partition.
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.by_topic.get(topic)?.get(&partition)
    }

    /// All, by topic and partition.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, PartitionIndex, &CommittedOffset)> {
        self.by_topic.iter().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(&partition, value)| (topic, partition, value))
        })
    }

    /// The partitions of a deleted topic, and of one of its name that nobody knows which it was.
    pub fn of_deleted(&self, topic: &str, id: Option<TopicId>) -> Vec<PartitionIndex> {
        let partitions = self.by_topic.get(topic).into_iter().flatten();
        let of_it = partitions.filter(|(_, value)| value.topic_id.is_none() || value.topic_id == id);
        of_it.map(|(&partition, _)| partition).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of topics' names and clients' texts.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaderEpoch, Offset};
    use crate::time::Timestamp;

    fn offset(offset: i64, text: &str) -> Option<CommittedOffset> {
        Some(CommittedOffset {
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::UNKNOWN,
            metadata: text.into(),
            committed_at: Timestamp(0),
            expires_at: None,
            topic_id: None,
        })
    }

    #[test]
    fn counts_follow_what_is_stored_and_taken_away() {
        let (mut offsets, topic) = (GroupOffsets::default(), TopicName::from("orders"));
        offsets.set(&topic, PartitionIndex(0), offset(1, "abc"));
        offsets.set(&topic, PartitionIndex(0), offset(2, "a"));
        offsets.set(&topic, PartitionIndex(1), offset(9, ""));
        assert_eq!((offsets.len(), offsets.bytes()), (2, "orders".len() + 1));
        assert_eq!(offsets.get("orders", PartitionIndex(0)).map(|stored| stored.offset), Some(Offset(2)));
        offsets.set(&topic, PartitionIndex(7), None);
        offsets.set(&topic, PartitionIndex(0), None);
        offsets.set(&topic, PartitionIndex(1), None);
        assert_eq!(offsets, GroupOffsets::default());
    }
}
