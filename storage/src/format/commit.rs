//! One write of the journal: every batch that waited on a shard, packed, checksummed, chained.
//!
//! ```text
//!   | header 64 | entry 64 | entry 64 | ... | batch | batch | ... | zeros to 4096 |
//!   header: magic 8 | version 2 | shard 2 | entries 4 | generation 8 | sequence 8 | length 4
//!           | checksum of the commit before 4 | checksum 4 | zeros 20                     (little-endian)
//! ```
//!
//! The checksum covers header (with zeros in its own place), entries and batches; because the header names the
//! checksum of the commit before, each one vouches for all that went before it.
//!
//! Always true: a commit is either what was written or does not verify. The generation is drawn at random when
//! a start begins its journal, so that neither commits of an earlier life nor bytes a client placed verify.

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::{Offset, PartitionIndex, TopicId, TopicPartition};
use zerocopy::byteorder::little_endian::{I32, I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::disk::block_ceil;

/// The size of a commit's header.
pub const HEADER_BYTES: usize = 64;
/// The size of one entry.
pub const ENTRY_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"RLCOMMIT";
const VERSION: u16 = 1;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    version: U16,
    shard: U16,
    entry_count: U32,
    generation: U64,
    sequence: U64,
    length: U32,
    previous_checksum: U32,
    checksum: U32,
    reserved: [u8; 20],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    topic: [u8; 16],
    partition: I32,
    kind: u8,
    reserved: [u8; 3],
    base_offset: I64,
    previous_end_offset: I64,
    segment_base_offset: I64,
    durable_end_offset: I64,
    position: U32,
    length: U32,
}

const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES && size_of::<RawEntry>() == ENTRY_BYTES);

/// Where a commit stands in its journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitPlace {
    /// Which shard's journal.
    pub shard: u16,
    /// Which life of the journal.
    pub generation: u64,
    /// Grows by one with each commit of a generation; the first is 1.
    pub sequence: u64,
    /// The checksum of the commit before.
    pub previous_checksum: u32,
}

/// What an entry stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A batch, whose bytes the commit holds.
    Batch,
    /// Only the note how far the log was durable: the bytes before it were written to their segment directly.
    DurableEnd,
    /// Only the note that offsets were left out before the batch at this place, whose bytes were written to its
    /// segment directly.
    Gap,
    /// Only the note that the log begins here now: what lies below was deleted.
    LogStart,
}

impl EntryKind {
    /// For tools that show commits.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Batch => "batch",
            EntryKind::DurableEnd => "durable-end",
            EntryKind::Gap => "gap",
            EntryKind::LogStart => "log-start",
        }
    }
}

/// One batch of a commit, and its place in its log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitEntry {
    /// Whose.
    pub partition: TopicPartition,
    /// What.
    pub kind: EntryKind,
    /// The batch's first offset; for a note, the durable end or the log's start.
    pub base_offset: Offset,
    /// Where the log ended before: the same as `base_offset` unless offsets were given with a gap.
    pub previous_end_offset: Offset,
    /// Which segment it lies in.
    pub segment_base_offset: Offset,
    /// How far the log was durable when the commit was packed: nothing below may ever be taken for a torn tail.
    pub durable_end_offset: Offset,
    /// Where in the segment file it begins.
    pub position: u32,
    /// Its size; zero for a note.
    pub length: u32,
}

impl CommitEntry {
    fn to_raw(self) -> RawEntry {
        RawEntry {
            topic: self.partition.topic.0,
            partition: I32::new(self.partition.partition.0),
            kind: match self.kind {
                EntryKind::Batch => 1,
                EntryKind::DurableEnd => 2,
                EntryKind::Gap => 3,
                EntryKind::LogStart => 4,
            },
            reserved: [0; 3],
            base_offset: I64::new(self.base_offset.0),
            previous_end_offset: I64::new(self.previous_end_offset.0),
            segment_base_offset: I64::new(self.segment_base_offset.0),
            durable_end_offset: I64::new(self.durable_end_offset.0),
            position: U32::new(self.position),
            length: U32::new(self.length),
        }
    }

    fn from_raw(raw: &RawEntry) -> Option<CommitEntry> {
        Some(CommitEntry {
            partition: TopicPartition {
                topic: TopicId(raw.topic),
                partition: PartitionIndex(raw.partition.get()),
            },
            kind: match raw.kind {
                1 => EntryKind::Batch,
                2 => EntryKind::DurableEnd,
                3 => EntryKind::Gap,
                4 => EntryKind::LogStart,
                _ => return None,
            },
            base_offset: Offset(raw.base_offset.get()),
            previous_end_offset: Offset(raw.previous_end_offset.get()),
            segment_base_offset: Offset(raw.segment_base_offset.get()),
            durable_end_offset: Offset(raw.durable_end_offset.get()),
            position: raw.position.get(),
            length: raw.length.get(),
        })
    }
}

/// How large a commit of so many entries with so many bytes of batches is, padding included.
pub fn padded_bytes(entry_count: usize, payload_bytes: usize) -> usize {
    block_ceil((HEADER_BYTES + entry_count * ENTRY_BYTES + payload_bytes) as u64) as usize
}

/// Writes a commit into `target`, which is exactly as large as [`padded_bytes`] says. Returns its checksum.
///
/// # Panics
/// If sizes do not add up.
pub fn write_commit<'a>(
    place: CommitPlace,
    entries: &[CommitEntry],
    payload: impl Iterator<Item = &'a [u8]>,
    target: &mut [u8],
) -> u32 {
    let mut end = HEADER_BYTES;
    for entry in entries {
        target[end..end + ENTRY_BYTES].copy_from_slice(entry.to_raw().as_bytes());
        end += ENTRY_BYTES;
    }
    for bytes in payload {
        target[end..end + bytes.len()].copy_from_slice(bytes);
        end += bytes.len();
    }
    let announced: usize = entries.iter().map(|entry| entry.length as usize).sum();
    assert_eq!(end, HEADER_BYTES + entries.len() * ENTRY_BYTES + announced, "entries announce their bytes");
    assert_eq!(block_ceil(end as u64) as usize, target.len(), "a commit fills its blocks");
    target[end..].fill(0);
    let mut header = RawHeader {
        magic: MAGIC,
        version: U16::new(VERSION),
        shard: U16::new(place.shard),
        entry_count: U32::new(entries.len() as u32),
        generation: U64::new(place.generation),
        sequence: U64::new(place.sequence),
        length: U32::new(end as u32),
        previous_checksum: U32::new(place.previous_checksum),
        checksum: U32::ZERO,
        reserved: [0; 20],
    };
    let checksum = crc32c_append(crc32c(header.as_bytes()), &target[HEADER_BYTES..end]);
    header.checksum = U32::new(checksum);
    target[..HEADER_BYTES].copy_from_slice(header.as_bytes());
    checksum
}

/// A commit's header, looked at before its length is known to be there. Nothing is verified yet.
#[derive(Clone, Copy, Debug)]
pub struct CommitHeader {
    raw: RawHeader,
}

impl CommitHeader {
    /// Reads the start of a block; `None` if no commit of this shard and generation begins here.
    pub fn peek(bytes: &[u8], shard: u16, generation: u64) -> Option<CommitHeader> {
        let header = CommitHeader::peek_any(bytes)?;
        let is_ours = header.raw.shard.get() == shard && header.raw.generation.get() == generation;
        is_ours.then_some(header)
    }

    /// As [`CommitHeader::peek`], of any shard and generation.
    pub fn peek_any(bytes: &[u8]) -> Option<CommitHeader> {
        let (raw, _) = RawHeader::read_from_prefix(bytes).ok()?;
        let sane =
            raw.magic == MAGIC && raw.version.get() == VERSION && raw.length.get() as usize >= HEADER_BYTES;
        sane.then_some(CommitHeader { raw })
    }

    /// The commit's number.
    pub fn sequence(&self) -> u64 {
        self.raw.sequence.get()
    }

    /// The life of the journal it belongs to.
    pub fn generation(&self) -> u64 {
        self.raw.generation.get()
    }

    /// Its bytes without padding.
    pub fn length(&self) -> usize {
        self.raw.length.get() as usize
    }

    /// Its bytes with padding.
    pub fn padded_length(&self) -> usize {
        block_ceil(self.length() as u64) as usize
    }

    /// The checksum of the commit before.
    pub fn previous_checksum(&self) -> u32 {
        self.raw.previous_checksum.get()
    }

    /// Its own checksum, which the next commit names.
    pub fn checksum(&self) -> u32 {
        self.raw.checksum.get()
    }
}

/// A commit whose checksum is right.
#[derive(Debug)]
pub struct Commit<'a> {
    /// Its header.
    pub header: CommitHeader,
    entries: Vec<CommitEntry>,
    payload: &'a [u8],
}

impl<'a> Commit<'a> {
    /// Verifies the commit at the start of `bytes`; `None` if it is torn, damaged or none.
    pub fn verify(header: CommitHeader, bytes: &'a [u8]) -> Option<Commit<'a>> {
        let bytes = bytes.get(..header.length())?;
        let unsummed = RawHeader { checksum: U32::ZERO, ..header.raw };
        let computed = crc32c_append(crc32c(unsummed.as_bytes()), &bytes[HEADER_BYTES..]);
        if computed != header.checksum() {
            return None;
        }
        let entries_end = HEADER_BYTES.checked_add(header.raw.entry_count.get() as usize * ENTRY_BYTES)?;
        let table = bytes.get(HEADER_BYTES..entries_end)?;
        let entries: Option<Vec<CommitEntry>> = table
            .chunks_exact(ENTRY_BYTES)
            .map(|bytes| CommitEntry::from_raw(&RawEntry::read_from_bytes(bytes).ok()?))
            .collect();
        let (entries, payload) = (entries?, &bytes[entries_end..]);
        let announced: usize = entries.iter().map(|entry| entry.length as usize).sum();
        (announced == payload.len()).then_some(Commit { header, entries, payload })
    }

    /// Entries with their bytes, in the order they were packed.
    pub fn entries(&self) -> impl Iterator<Item = (CommitEntry, &'a [u8])> + '_ {
        let mut start = 0;
        self.entries.iter().map(move |entry| {
            let bytes = &self.payload[start..start + entry.length as usize];
            start += entry.length as usize;
            (*entry, bytes)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> CommitPlace {
        CommitPlace { shard: 1, generation: 0x1122_3344, sequence: 9, previous_checksum: 77 }
    }

    fn entry(base_offset: i64, length: u32) -> CommitEntry {
        CommitEntry {
            partition: TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(3) },
            kind: EntryKind::Batch,
            base_offset: Offset(base_offset),
            previous_end_offset: Offset(base_offset),
            segment_base_offset: Offset(0),
            durable_end_offset: Offset(1),
            position: 100,
            length,
        }
    }

    fn commit() -> Vec<u8> {
        let payload: [&[u8]; 2] = [&[7; 3000], &[8; 2000]];
        let mut bytes = vec![0xff; padded_bytes(2, 5000)];
        write_commit(place(), &[entry(4, 3000), entry(9, 2000)], payload.into_iter(), &mut bytes);
        bytes
    }

    fn verify(bytes: &[u8]) -> Option<Vec<(CommitEntry, Vec<u8>)>> {
        let header = CommitHeader::peek(bytes, 1, 0x1122_3344)?;
        let commit = Commit::verify(header, bytes)?;
        Some(commit.entries().map(|(entry, bytes)| (entry, bytes.to_vec())).collect())
    }

    #[test]
    fn a_commit_reads_back_as_it_was_written() {
        let bytes = commit();
        assert_eq!(bytes.len(), 8192);
        let expected = vec![(entry(4, 3000), vec![7; 3000]), (entry(9, 2000), vec![8; 2000])];
        assert_eq!(verify(&bytes), Some(expected));
        let header = CommitHeader::peek(&bytes, 1, 0x1122_3344).unwrap();
        assert_eq!((header.sequence(), header.previous_checksum(), header.length()), (9, 77, 5192));
    }

    #[test]
    fn no_bit_of_a_commit_changes_unnoticed() {
        let whole = commit();
        for position in (0..5192).step_by(7) {
            let mut bytes = whole.clone();
            bytes[position] ^= 1 << (position % 8);
            assert_eq!(verify(&bytes), None, "byte {position}");
        }
    }

    #[test]
    fn a_torn_commit_never_verifies() {
        let whole = commit();
        for sector in 0..11 {
            let mut bytes = whole.clone();
            bytes[sector * 512..(sector + 1) * 512].fill(0);
            assert_eq!(verify(&bytes), None, "sector {sector}");
        }
    }

    #[test]
    fn a_commit_of_another_life_or_shard_is_none() {
        let bytes = commit();
        assert!(CommitHeader::peek(&bytes, 1, 0x1122_3345).is_none());
        assert!(CommitHeader::peek(&bytes, 2, 0x1122_3344).is_none());
        assert!(CommitHeader::peek(&bytes[..20], 1, 0x1122_3344).is_none());
    }

    #[test]
    fn swapped_blocks_are_noticed() {
        let mut bytes = commit();
        let (first, second) = bytes.split_at_mut(4096);
        first[64..].swap_with_slice(&mut second[64..]);
        assert_eq!(verify(&bytes), None);
    }
}
