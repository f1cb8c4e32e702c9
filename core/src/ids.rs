//! A type for every identity and quantity that Kafka spells as a bare integer, so that none is passed in
//! another's place.
//!
//! ```text
//! log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset
//!                                           durable_end_offset <= log_end_offset
//! ```
//!
//! *Durable* means synced on this broker; *committed* means held by the in-sync replicas.

use std::fmt;
use std::sync::Arc;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

integer_id!(
    /// A broker's `node.id`; -1 on the wire means "none".
    BrokerId(i32)
);
integer_id!(
    /// Which shard (one per core) of this process, from zero.
    ShardIndex(u16)
);
integer_id!(
    /// A partition's number within its topic, from zero.
    PartitionIndex(i32)
);
integer_id!(
    /// A record's logical place in its partition's log. Never a byte place: that is [`FilePosition`].
    Offset(i64)
);
integer_id!(
    /// A byte place in one file.
    FilePosition(u64)
);
integer_id!(
    /// Grows with each change of a partition's leader (KIP-101); -1 on the wire means "unknown".
    LeaderEpoch(i32)
);
integer_id!(
    /// Given to an idempotent or transactional producer by InitProducerId (KIP-98); -1 means "none".
    ProducerId(i64)
);
integer_id!(
    /// Fences earlier incarnations of one producer id (KIP-98); -1 means "none".
    ProducerEpoch(i16)
);
integer_id!(
    /// A producer's per-partition record counter; after `i32::MAX` comes 0 (KIP-98).
    SequenceNumber(i32)
);

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);

    /// The offset `count` records further; `None` where 63 bits do not hold it.
    pub fn checked_add(self, count: i64) -> Option<Offset> {
        self.0.checked_add(count).map(Offset)
    }

    /// The next offset.
    ///
    /// # Panics
    /// At `i64::MAX`, which validation never lets a log reach.
    pub fn next(self) -> Offset {
        Offset(self.0 + 1)
    }
}

impl LeaderEpoch {
    /// "The client did not say", as in a Fetch before KIP-320.
    pub const UNKNOWN: LeaderEpoch = LeaderEpoch(-1);
}

impl ProducerId {
    /// A producer without idempotence.
    pub const NONE: ProducerId = ProducerId(-1);
}

impl ProducerEpoch {
    /// A producer without idempotence.
    pub const NONE: ProducerEpoch = ProducerEpoch(-1);
}

impl SequenceNumber {
    /// The number `count` records later, wrapping from `i32::MAX` to 0 (KIP-98).
    pub fn wrapping_advance(self, count: i32) -> SequenceNumber {
        let sum = i64::from(self.0) + i64::from(count);
        let period = i64::from(i32::MAX) + 1;
        SequenceNumber(i32::try_from(sum.rem_euclid(period)).expect("a remainder below 2^31 fits an i32"))
    }
}

/// A topic's identity for its whole life (KIP-516): a deleted and re-created topic gets another one.
///
/// Printed as Kafka prints it: 22 characters of URL-safe base 64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

impl TopicId {
    /// On the wire: "no topic id was given".
    pub const ZERO: TopicId = TopicId([0; 16]);

    /// Makes a version-4 UUID of 128 random bits; redraw while [`TopicId::is_reserved`].
    pub fn from_random(high: u64, low: u64) -> TopicId {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_be_bytes());
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        TopicId(bytes)
    }

    /// Whether Kafka keeps this id for itself, or prints it with a leading dash, which tools take for a flag.
    pub fn is_reserved(self) -> bool {
        let number = u128::from_be_bytes(self.0);
        number <= 100 || self.to_string().starts_with('-')
    }

    /// Reads the 22-character form; `None` if it is not one.
    pub fn parse(text: &str) -> Option<TopicId> {
        if text.len() != 22 {
            return None;
        }
        let mut number: u128 = 0;
        for (index, symbol) in text.bytes().enumerate() {
            let digit = BASE64_URL.iter().position(|&candidate| candidate == symbol)? as u128;
            if index < 21 {
                number = (number << 6) | digit;
            } else if digit & 0xf == 0 {
                number = (number << 2) | (digit >> 4);
            } else {
                return None;
            }
        }
        Some(TopicId(number.to_be_bytes()))
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        for index in 0..22u32 {
            let digit = if index < 21 { number >> (122 - 6 * index) } else { number << 4 } & 0x3f;
            let symbol = BASE64_URL[usize::try_from(digit).expect("six bits index the alphabet")];
            fmt::Write::write_char(formatter, char::from(symbol))?;
        }
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TopicId({self})")
    }
}

/// One partition of one topic, by id: what logs, journals and shards key on. A name may be reused, an id never.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition within it.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// Which of `shard_count` shards owns this partition: the same answer on every shard, for as long as the
    /// process runs. Neighbouring partitions of one topic go to neighbouring shards, so that one topic's load
    /// spreads evenly.
    ///
    /// # Panics
    /// If `shard_count` is zero.
    pub fn owner(&self, shard_count: u16) -> ShardIndex {
        let id = u128::from_be_bytes(self.topic.0);
        let spread = (id % u128::from(shard_count)) as u64 + u64::from(self.partition.0.unsigned_abs());
        ShardIndex((spread % u64::from(shard_count)) as u16)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// A topic's name: shared, immutable, cheap to clone across shards.
pub type TopicName = Arc<str>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_prints_as_kafka_prints_it_and_reads_back() {
        // Given Kafka's own example: Uuid(1, 2).toString() is "AAAAAAAAAAEAAAAAAAAAAg".
        let mut bytes = [0u8; 16];
        bytes[7] = 1;
        bytes[15] = 2;
        let id = TopicId(bytes);
        assert_eq!(id.to_string(), "AAAAAAAAAAEAAAAAAAAAAg");
        assert_eq!(TopicId::parse("AAAAAAAAAAEAAAAAAAAAAg"), Some(id));
        let random = TopicId::from_random(0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210);
        assert_eq!(TopicId::parse(&random.to_string()), Some(random));
    }

    #[test]
    fn a_text_that_is_no_topic_id_is_refused() {
        for text in
            ["", "AAAA", "AAAAAAAAAAEAAAAAAAAAA!", "AAAAAAAAAAEAAAAAAAAAAh", "AAAAAAAAAAEAAAAAAAAAAgg"]
        {
            assert_eq!(TopicId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_wraps_from_the_largest_number_to_zero() {
        assert_eq!(SequenceNumber(i32::MAX).wrapping_advance(1), SequenceNumber(0));
        assert_eq!(SequenceNumber(i32::MAX - 1).wrapping_advance(3), SequenceNumber(1));
        assert_eq!(SequenceNumber(5).wrapping_advance(i32::MAX), SequenceNumber(4));
    }

    #[test]
    fn partitions_of_one_topic_spread_over_all_shards() {
        let topic = TopicId::from_random(7, 9);
        let owner = |partition| TopicPartition { topic, partition: PartitionIndex(partition) }.owner(4);
        let mut owners: Vec<_> = (0..4).map(owner).collect();
        owners.sort();
        assert_eq!(owners, (0..4).map(ShardIndex).collect::<Vec<_>>());
    }
}
