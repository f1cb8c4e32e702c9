//! A checkpoint: what segments hold for certain, and from where the journal must be replayed.
//!
//! ```text
//!   | magic 8 "RLCHKPT3" | length 8 | checksum 4 | zeros 12 | CheckpointBody, rkyv |      (little-endian)
//! ```
//!
//! Always true: everything a checkpoint claims was stable before it was written, and it replaces its file at
//! once. So a checkpoint that does not verify is damage, never a torn write.

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::producer_state::ProducerSnapshot;
use rkyv::rancor::Error;
use rkyv::util::AlignedVec;

use crate::format::checksums::BLOCK_BYTES;
use crate::format::earlier_checkpoint;

const MAGIC: [u8; 8] = *b"RLCHKPT3";
const HEADER_BYTES: usize = 32;
/// The largest checkpoint that is read: far above what a shard's partitions take.
pub const BYTES_MAX: usize = 1 << 30;

/// A checkpoint's content.
#[derive(Clone, PartialEq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct CheckpointBody {
    /// Which start of the broker wrote it; recovery adds one.
    pub start: u64,
    /// The how-manieth of this start and shard; recovery's own is 0.
    pub number: u64,
    /// How many shards this start has.
    pub shard_count: u16,
    /// Whether the shard closed: nothing follows.
    pub is_clean: bool,
    /// The journal's life.
    pub generation: u64,
    /// The last commit whose batches are all in segments.
    pub sequence: u64,
    /// That commit's checksum.
    pub checksum: u32,
    /// What each partition's segments hold.
    pub partitions: Vec<PartitionRecord>,
    /// Logs that recovery's record knows and that were deleted since: topic id and partition.
    pub deleted: Vec<([u8; 16], i32)>,
}

/// What one partition's segments hold for certain.
#[derive(Clone, PartialEq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PartitionRecord {
    /// The topic's id.
    pub topic_id: [u8; 16],
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset readers may have.
    pub log_start_offset: i64,
    /// Everything below is in the segments, stable.
    pub end_offset: i64,
    /// Nothing below may ever be missing: the same as `end_offset`, unless the log is damaged.
    pub durable_end_offset: i64,
    /// The names and lengths of the segments before the active one, as one number.
    pub sealed_digest: u32,
    /// Which segment was active.
    pub segment_base_offset: i64,
    /// How far it was stable: where `end_offset` begins.
    pub position: u64,
    /// The largest timestamp in the active segment, -1 if it is empty.
    pub max_timestamp: i64,
    /// The last offset of the batch that brought it.
    pub max_timestamp_last_offset: i64,
    /// The largest timestamp of the active segment's first batch: what `segment.ms` counts from.
    pub first_timestamp: Option<i64>,
    /// Bytes since the last entry of the offset index.
    pub bytes_since_index_entry: u64,
    /// Entries of the active segment's offset index that are stable in its file.
    pub offset_index_count: u32,
    /// Entries of its time index that are stable in its file.
    pub time_index_count: u32,
    /// What the files beside the active segment are still to be given, behind what is counted.
    pub unwritten: Unwritten,
    /// The last entry of the time index.
    pub last_time_entry: Option<(i64, i64)>,
    /// Sealed segments that begin here or above have a checksum file.
    pub checksums_from: i64,
    /// Of the active segment, if it has checksums: that of its open block, and what vouches for those of its whole blocks.
    pub open_checksums: Option<(u32, u32)>,
    /// The leader epochs and where they began.
    pub epochs: Vec<(i32, i64)>,
    /// The idempotent producers, as of `end_offset`.
    pub producers: ProducerSnapshot,
}

/// What belongs into the files beside an active segment and is kept here for a while: a few entries are not worth a
/// write and a sync of each file.
#[derive(Clone, PartialEq, Eq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Unwritten {
    /// Entries of the offset index: last offset and position of a batch.
    pub offsets: Vec<(i64, u32)>,
    /// Entries of the time index: timestamp and last offset.
    pub times: Vec<(i64, i64)>,
    /// Checksums of whole blocks; those of the blocks before are in their file.
    pub checksums: Vec<u32>,
}

impl PartitionRecord {
    /// Whose it is.
    pub fn partition(&self) -> TopicPartition {
        TopicPartition { topic: TopicId(self.topic_id), partition: PartitionIndex(self.partition) }
    }

    /// How many checksums of whole blocks are in the active segment's checksum file.
    pub fn checksums_written(&self) -> u32 {
        let whole = self.position / BLOCK_BYTES;
        whole.saturating_sub(self.unwritten.checksums.len() as u64) as u32
    }

    /// The epochs as a log keeps them.
    pub fn leader_epochs(&self) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::new();
        for (epoch, start_offset) in &self.epochs {
            epochs.assign(LeaderEpoch(*epoch), Offset(*start_offset));
        }
        epochs
    }
}

/// The epochs as a checkpoint keeps them.
pub fn plain_epochs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
}

impl CheckpointBody {
    /// The file's content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = rkyv::to_bytes::<Error>(self).expect("plain values always serialise");
        with_header(MAGIC, &body)
    }

    /// Reads a file's content; the reason if it cannot be believed.
    pub fn parse(bytes: &[u8]) -> Result<CheckpointBody, String> {
        let (header, body) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or_else(|| format!("it has only {} bytes", bytes.len()))?;
        let parse_body: fn(&AlignedVec) -> Result<CheckpointBody, Error> =
            match header[..8].try_into().expect("eight bytes") {
                MAGIC => |body| rkyv::from_bytes::<CheckpointBody, Error>(body),
                earlier_checkpoint::MAGIC_2 => earlier_checkpoint::parse_2,
                earlier_checkpoint::MAGIC_1 => earlier_checkpoint::parse_1,
                _ => return Err("it does not begin like a checkpoint".to_owned()),
            };
        let length = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
        if length != body.len() as u64 {
            return Err(format!("it announces {length} bytes and has {}", body.len()));
        }
        let stored = u32::from_le_bytes(header[16..20].try_into().expect("four bytes"));
        let computed = crc32c_append(crc32c(&header[..16]), body);
        if stored != computed || header[20..].iter().any(|byte| *byte != 0) {
            return Err(format!("its checksum says {stored:#010x}, the bytes give {computed:#010x}"));
        }
        let mut aligned = AlignedVec::<16>::with_capacity(body.len());
        aligned.extend_from_slice(body);
        parse_body(&aligned).map_err(|error| format!("its structure is wrong: {error}"))
    }
}

/// A file's content around an archived body.
pub(super) fn with_header(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&magic);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    let checksum = crc32c_append(crc32c(&bytes), body);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> CheckpointBody {
        let partition = PartitionRecord {
            topic: "orders".to_owned(),
            end_offset: 12,
            position: 900,
            epochs: vec![(0, 0), (2, 7)],
            last_time_entry: Some((5, 6)),
            unwritten: Unwritten { offsets: vec![(3, 17)], times: vec![(5, 6)], checksums: vec![7] },
            ..PartitionRecord::default()
        };
        CheckpointBody {
            start: 3,
            number: 8,
            sequence: 41,
            partitions: vec![partition],
            ..Default::default()
        }
    }

    #[test]
    fn a_checkpoint_reads_back_as_it_was_written() {
        assert_eq!(CheckpointBody::parse(&body().to_bytes()), Ok(body()));
        assert_eq!(plain_epochs(&body().partitions[0].leader_epochs()), [(0, 0), (2, 7)]);
    }

    #[test]
    fn no_bit_of_a_checkpoint_changes_unnoticed() {
        let whole = body().to_bytes();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            assert!(CheckpointBody::parse(&bytes).is_err(), "byte {position}");
        }
        assert!(CheckpointBody::parse(&whole[..whole.len() - 1]).is_err());
        assert!(CheckpointBody::parse(&[]).is_err());
    }
}
