//! What clients asked of the broker and what it told them, each with the position of the disk at that time.
//!
//! ```text
//!   changes of the disk:  0 ... 17 | 18 ... 25 | 26 ...
//!                            asked ┘      told ┘          power lost at 30: it holds; at 20: it may; at 10: it does not
//! ```
//!
//! Always true: what was told at a position was told after all changes before it; power that goes at a later change must not take
//! it away. What was asked at a position can be in no earlier change.
//!
//! Record number n of a partition has offset n: each partition has one producer, which sends a batch again until it is
//! acknowledged. Bytes of a record follow from its place, so the ledger holds no records.

use std::collections::BTreeMap;

use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchBuilder;
use ringlog_runtime::memory::Random;

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Topics, by the time they were asked for.
    pub topics: Vec<TopicStory>,
    /// Offsets that groups committed, by group, topic and partition.
    pub commits: BTreeMap<(String, String, i32), Growing>,
}

/// A topic from its creation to its deletion.
#[derive(Clone, Debug)]
pub struct TopicStory {
    /// Its name, which no other topic ever had.
    pub name: String,
    /// When it was asked for.
    pub creation_asked: usize,
    /// When it was said to be there.
    pub created: Option<usize>,
    /// When its deletion was asked for.
    pub deletion_asked: Option<usize>,
    /// When it was said to be gone.
    pub deleted: Option<usize>,
    /// How large its records are.
    pub records: RecordSize,
    /// What was written to it.
    pub partitions: Vec<PartitionStory>,
}

/// How large records are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordSize {
    /// Mostly some hundred bytes, sometimes thousands.
    Small,
    /// Two thousand.
    Large,
}

/// One partition's writes.
#[derive(Clone, Debug)]
pub struct PartitionStory {
    /// Its number.
    pub index: i32,
    /// Who writes to it.
    pub producer: (i64, i16),
    /// Where each batch that was sent ends.
    pub batch_ends: Vec<i64>,
    /// Where its log ends.
    pub end: Growing,
    /// Where its log begins.
    pub start: Growing,
}

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub struct Growing {
    asked: Vec<(usize, i64)>,
    told: Vec<(usize, i64)>,
}

impl Growing {
    /// It was asked to become this.
    pub fn ask(&mut self, position: usize, value: i64) {
        self.asked.push((position, value));
    }

    /// It was said to be this.
    pub fn tell(&mut self, position: usize, value: i64) {
        self.told.push((position, value));
    }

    /// The least it may be when power went at this change.
    pub fn least(&self, moment: usize) -> i64 {
        greatest_until(&self.told, moment)
    }

    /// The most it may be.
    pub fn most(&self, moment: usize) -> i64 {
        greatest_until(&self.asked, moment)
    }

    /// The most it was ever said to be.
    pub fn told(&self) -> i64 {
        self.least(usize::MAX)
    }

    /// As it is to a disk whose power went then: what came later never was.
    fn seen_at(&self, moment: usize) -> Growing {
        Growing { asked: vec![(0, self.most(moment))], told: vec![(0, self.least(moment))] }
    }
}

/// The greatest value whose position is not behind the moment, or zero.
fn greatest_until(values: &[(usize, i64)], moment: usize) -> i64 {
    let until = values.iter().filter(|(position, _)| *position <= moment).map(|(_, value)| *value);
    until.max().unwrap_or(0)
}

impl Ledger {
    /// What is left to hold when power goes at this change; positions begin anew.
    pub fn seen_at(&self, moment: usize) -> Ledger {
        let is_past = |position: usize| position <= moment;
        let asked_for = self.topics.iter().filter(|topic| is_past(topic.creation_asked));
        let topics = asked_for.map(|topic| TopicStory {
            creation_asked: 0,
            created: topic.created.filter(|at| is_past(*at)).map(|_| 0),
            deletion_asked: topic.deletion_asked.filter(|at| is_past(*at)).map(|_| 0),
            deleted: topic.deleted.filter(|at| is_past(*at)).map(|_| 0),
            partitions: topic.partitions.iter().map(|partition| partition.seen_at(moment)).collect(),
            ..topic.clone()
        });
        let commits = self.commits.iter().map(|(place, offset)| (place.clone(), offset.seen_at(moment)));
        Ledger { topics: topics.collect(), commits: commits.collect() }
    }

    /// The topic of this name.
    pub fn topic(&mut self, name: &str) -> &mut TopicStory {
        self.topics.iter_mut().find(|topic| topic.name == name).expect("it was asked for")
    }
}

impl TopicStory {
    /// A topic that is asked for.
    pub fn asked_for(
        name: &str,
        records: RecordSize,
        producers: &[(i64, i16)],
        position: usize,
    ) -> TopicStory {
        let partitions = producers.iter().enumerate().map(|(index, producer)| PartitionStory {
            index: index as i32,
            producer: *producer,
            batch_ends: Vec::new(),
            end: Growing::default(),
            start: Growing::default(),
        });
        TopicStory {
            name: name.to_owned(),
            creation_asked: position,
            created: None,
            deletion_asked: None,
            deleted: None,
            records,
            partitions: partitions.collect(),
        }
    }

    /// A batch of one of its partitions, as it is sent, and again, and again.
    pub fn batch(&self, partition: &PartitionStory, base_offset: i64, end_offset: i64) -> Vec<u8> {
        let (id, epoch) = partition.producer;
        let sequence = SequenceNumber(base_offset as i32);
        let mut batch = BatchBuilder::new().producer(ProducerId(id), ProducerEpoch(epoch), sequence);
        for offset in base_offset..end_offset {
            batch = batch.record(None, self.value(partition.index, offset).as_slice());
        }
        batch.build()
    }

    /// The value of a record: its place in words, and bytes that follow from it.
    pub fn value(&self, partition: i32, offset: i64) -> Vec<u8> {
        let mut value = format!("{} {partition} {offset} ", self.name).into_bytes();
        let seed = value.iter().fold(0u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        let mut random = Random::from_seed(seed);
        let number = random.next_u64();
        let length = match self.records {
            RecordSize::Large => 2000,
            RecordSize::Small if number.is_multiple_of(20) => 6000,
            RecordSize::Small => 20 + (number % 600) as usize,
        };
        while value.len() < length {
            value.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        value
    }
}

impl PartitionStory {
    /// The batch that was sent and not acknowledged: from where to where.
    pub fn unacknowledged(&self) -> Option<(i64, i64)> {
        let (base, end) = (self.end.told(), self.batch_ends.last().copied().unwrap_or(0));
        (base < end).then_some((base, end))
    }

    /// Where the batch begins that ends here.
    pub fn base_of_batch(&self, end_offset: i64) -> Option<i64> {
        let index = self.batch_ends.iter().position(|end| *end == end_offset)?;
        Some(if index == 0 { 0 } else { self.batch_ends[index - 1] })
    }

    fn seen_at(&self, moment: usize) -> PartitionStory {
        PartitionStory { end: self.end.seen_at(moment), start: self.start.seen_at(moment), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_the_moment_must_be_there_and_what_was_asked_may() {
        let mut end = Growing::default();
        end.ask(10, 5);
        end.tell(20, 5);
        end.ask(21, 9);
        assert_eq!(
            [9, 10, 19, 20].map(|moment| (end.least(moment), end.most(moment))),
            [(0, 0), (0, 5), (0, 5), (5, 5)]
        );
        let seen = end.seen_at(25);
        assert_eq!((seen.least(0), seen.most(0)), (5, 9));
    }

    #[test]
    fn a_batch_is_the_same_whenever_it_is_sent_and_values_differ() {
        let topic = TopicStory::asked_for("t", RecordSize::Small, &[(1, 0), (2, 0)], 0);
        assert_eq!(topic.batch(&topic.partitions[0], 3, 6), topic.batch(&topic.partitions[0], 3, 6));
        assert_ne!(topic.value(0, 3), topic.value(1, 3));
        assert_ne!(topic.value(0, 3), topic.value(0, 4));
    }
}
