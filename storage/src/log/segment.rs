//! What is known of a segment while it grows: its size, its largest timestamp, the index entries it has earned.
//! Shared by appending and by recovery, so that both index the same way.
//!
//! Always true: entries are added by Kafka's rule (one when more than `index_interval_bytes` came since the
//! last), so its tools find in our indexes what they would have written.

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::{LeaderEpoch, Offset, TopicPartition};
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::time::Timestamp;

use crate::config::LogConfig;
use crate::format::checkpoint::{PartitionRecord, Unwritten};
use crate::format::checksums::{CHECKSUM_BYTES, SegmentSeed, digest_append};
use crate::format::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::log::SegmentSummary;

/// Relative offsets in an index have 31 bits.
const RELATIVE_OFFSET_MAX: i64 = i32::MAX as i64;
/// Positions in an index and in Kafka's tools are signed 32-bit numbers.
const SEGMENT_BYTES_MAX: u64 = i32::MAX as u64;

/// An index of a growing segment: how much of it is in its file, and the rest.
#[derive(Clone, Debug)]
pub(crate) struct GrowingIndex<T> {
    /// Entries in the file.
    pub written: u32,
    /// Entries still to be written.
    pub pending: Vec<T>,
    /// The newest entry, wherever it is, where that matters.
    pub last: Option<T>,
}

impl<T: IndexEntry> GrowingIndex<T> {
    fn new(written: u32, pending: Vec<T>, last: Option<T>) -> GrowingIndex<T> {
        GrowingIndex { written, pending, last }
    }

    fn push(&mut self, entry: T) {
        self.pending.push(entry);
        self.last = Some(entry);
    }

    /// Bytes of the whole index.
    pub fn bytes(&self) -> u64 {
        (u64::from(self.written) + self.pending.len() as u64) * T::BYTES as u64
    }

    /// The first `count` of what was to be written is in the file.
    pub fn note_written(&mut self, count: usize) {
        self.written += count as u32;
        self.pending.drain(..count);
    }
}

/// The checksums of a growing segment: how many are in their file, the rest, and the block they have come to.
#[derive(Clone, Debug)]
pub(crate) struct GrowingChecksums {
    seed: SegmentSeed,
    /// Checksums in the file.
    pub written: u32,
    /// Those of whole blocks still to be written.
    pub pending: Vec<u32>,
    /// That of the open block; means nothing at a block's boundary.
    pub open: u32,
    /// Vouches for those of all whole blocks, written or pending.
    pub digest: u32,
}

impl GrowingChecksums {
    pub fn new(partition: TopicPartition, base_offset: Offset) -> GrowingChecksums {
        let seed = SegmentSeed::new(partition, base_offset);
        GrowingChecksums { seed, written: 0, pending: Vec::new(), open: 0, digest: 0 }
    }

    /// Goes on over bytes that come to stand at `position`.
    pub fn extend(&mut self, position: u64, bytes: &[u8]) {
        let GrowingChecksums { seed, pending, open, digest, .. } = self;
        *open = seed.extend(position, *open, bytes, |checksum| {
            pending.push(checksum);
            *digest = digest_append(*digest, checksum);
        });
    }

    /// As they are at their end, with nothing pending: what bytes are tried on that may prove to be none of the log's.
    pub fn fork(&self) -> GrowingChecksums {
        GrowingChecksums { pending: Vec::new(), ..*self }
    }

    /// Takes over what was tried on a fork.
    pub fn join(&mut self, fork: GrowingChecksums) {
        self.pending.extend_from_slice(&fork.pending);
        (self.open, self.digest) = (fork.open, fork.digest);
    }

    /// Their seed.
    pub fn seed(&self) -> SegmentSeed {
        self.seed
    }
}

/// Whose entries a record counts that are not in their files yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IndexFiles {
    /// They are written before the record is believed.
    AreCompleted,
    /// They are kept in the record.
    StayBehind,
}

/// What decides about a segment by time, besides its records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentAge {
    /// How long this start has had it.
    pub existed_ms: i64,
    /// By how much it rolls earlier than `segment.ms` says.
    pub jitter_ms: i64,
}

/// A segment's share of `segment.jitter.ms`: partitions that began together shall not roll together. Drawn from the
/// segment's name, so that it is the same after a restart.
pub(crate) fn segment_jitter_ms(partition: TopicPartition, base_offset: Offset, config: &LogConfig) -> i64 {
    let bound = config.segment_jitter_ms.min(config.segment_ms);
    if bound <= 0 {
        return 0;
    }
    let drawn = crc32c(&partition.topic.0);
    let drawn = crc32c_append(drawn, &partition.partition.0.to_le_bytes());
    i64::from(crc32c_append(drawn, &base_offset.0.to_le_bytes())) % bound
}

/// A segment that batches are added to.
#[derive(Clone, Debug)]
pub(crate) struct GrowingSegment {
    pub base_offset: Offset,
    pub size: u64,
    pub max_timestamp: Timestamp,
    /// The last offset of the batch that brought the largest timestamp.
    pub max_timestamp_last_offset: Offset,
    /// The largest timestamp of the first batch.
    pub first_timestamp: Option<Timestamp>,
    pub bytes_since_index_entry: u64,
    pub offsets: GrowingIndex<OffsetEntry>,
    pub times: GrowingIndex<TimeEntry>,
    /// `None` where the segment was begun by a build without them, or where they were lost.
    pub checksums: Option<GrowingChecksums>,
}

impl GrowingSegment {
    /// An empty segment.
    pub fn new(partition: TopicPartition, base_offset: Offset) -> GrowingSegment {
        GrowingSegment {
            base_offset,
            size: 0,
            max_timestamp: Timestamp::NONE,
            max_timestamp_last_offset: base_offset,
            first_timestamp: None,
            bytes_since_index_entry: 0,
            offsets: GrowingIndex::new(0, Vec::new(), None),
            times: GrowingIndex::new(0, Vec::new(), None),
            checksums: Some(GrowingChecksums::new(partition, base_offset)),
        }
    }

    /// The segment as a checkpoint left it.
    pub fn of_record(record: &PartitionRecord) -> GrowingSegment {
        let time_entry = |(timestamp, offset): (i64, i64)| TimeEntry {
            timestamp: Timestamp(timestamp),
            last_offset: Offset(offset),
        };
        let offset_entry =
            |(offset, position): (i64, u32)| OffsetEntry { last_offset: Offset(offset), position };
        let Unwritten { offsets, times, checksums } = &record.unwritten;
        let (offsets, times) = (offsets.iter().copied(), times.iter().copied());
        let offsets = GrowingIndex::new(record.offset_index_count, offsets.map(offset_entry).collect(), None);
        let last_time = record.last_time_entry.map(time_entry);
        let times = GrowingIndex::new(record.time_index_count, times.map(time_entry).collect(), last_time);
        let checksums = record.open_checksums.map(|(open, digest)| GrowingChecksums {
            written: record.checksums_written(),
            pending: checksums.clone(),
            open,
            digest,
            ..GrowingChecksums::new(record.partition(), Offset(record.segment_base_offset))
        });
        GrowingSegment {
            checksums,
            base_offset: Offset(record.segment_base_offset),
            size: record.position,
            max_timestamp: Timestamp(record.max_timestamp),
            max_timestamp_last_offset: Offset(record.max_timestamp_last_offset),
            first_timestamp: record.first_timestamp.map(Timestamp),
            bytes_since_index_entry: record.bytes_since_index_entry,
            offsets,
            times,
        }
    }

    /// Bytes of index entries and checksums that are not in their files.
    pub fn unwritten_bytes(&self) -> usize {
        let checksums = self.checksums.as_ref().map_or(0, |checksums| checksums.pending.len());
        self.offsets.pending.len() * OffsetEntry::BYTES
            + self.times.pending.len() * TimeEntry::BYTES
            + checksums * CHECKSUM_BYTES
    }

    /// Puts what a checkpoint must remember of the segment into `record`.
    pub fn fill_record(&self, record: &mut PartitionRecord, files: IndexFiles) {
        record.segment_base_offset = self.base_offset.0;
        record.position = self.size;
        record.max_timestamp = self.max_timestamp.0;
        record.max_timestamp_last_offset = self.max_timestamp_last_offset.0;
        record.first_timestamp = self.first_timestamp.map(|timestamp| timestamp.0);
        record.bytes_since_index_entry = self.bytes_since_index_entry;
        (record.offset_index_count, record.time_index_count) = (self.offsets.written, self.times.written);
        record.unwritten = Unwritten::default();
        match files {
            IndexFiles::AreCompleted => {
                record.offset_index_count += self.offsets.pending.len() as u32;
                record.time_index_count += self.times.pending.len() as u32;
            }
            IndexFiles::StayBehind => {
                let (offsets, times) = (self.offsets.pending.iter(), self.times.pending.iter());
                let checksums = self.checksums.as_ref();
                record.unwritten = Unwritten {
                    offsets: offsets.map(|entry| (entry.last_offset.0, entry.position)).collect(),
                    times: times.map(|entry| (entry.timestamp.0, entry.last_offset.0)).collect(),
                    checksums: checksums.map_or(Vec::new(), |checksums| checksums.pending.clone()),
                };
            }
        }
        record.open_checksums = self.checksums.as_ref().map(|checksums| (checksums.open, checksums.digest));
        record.last_time_entry = self.times.last.map(|entry| (entry.timestamp.0, entry.last_offset.0));
    }

    /// Whether this batch must begin another segment (C3).
    pub fn must_roll_before(&self, batch: &BatchHeader, config: &LogConfig, age: SegmentAge) -> bool {
        if self.size == 0 {
            // An empty segment can still be named for an offset too far away for 31 bits.
            return !self.holds_offset(batch.last_offset());
        }
        let size_after = self.size + batch.size_bytes() as u64;
        size_after > config.segment_bytes.min(SEGMENT_BYTES_MAX)
            || self.waited_ms(batch, age) > config.segment_ms.saturating_sub(age.jitter_ms)
            || self.offsets.bytes() + OffsetEntry::BYTES as u64 > config.index_bytes_max
            // One entry is kept free for the last timestamp, written when the segment is sealed.
            || self.times.bytes() + 2 * TimeEntry::BYTES as u64 > config.index_bytes_max
            || !self.holds_offset(batch.last_offset())
    }

    /// How long the segment has waited to roll when `batch` comes: by its records, or by the clock if the first of
    /// them has no timestamp.
    fn waited_ms(&self, batch: &BatchHeader, age: SegmentAge) -> i64 {
        match self.first_timestamp {
            Some(first) if first >= Timestamp(0) => batch.max_timestamp().0.saturating_sub(first.0),
            _ => age.existed_ms,
        }
    }

    fn holds_offset(&self, offset: Offset) -> bool {
        offset.0 - self.base_offset.0 <= RELATIVE_OFFSET_MAX
    }

    /// Sums the next batch's bytes, before it is added.
    pub fn sum(&mut self, bytes: [&[u8]; 2]) {
        if let Some(checksums) = &mut self.checksums {
            checksums.extend(self.size, bytes[0]);
            checksums.extend(self.size + bytes[0].len() as u64, bytes[1]);
        }
    }

    /// Adds a batch at the end.
    pub fn add(&mut self, batch: &BatchHeader, index_interval_bytes: u64) {
        let position = u32::try_from(self.size).expect("a segment rolls before 2 GiB");
        if batch.max_timestamp() > self.max_timestamp {
            self.max_timestamp = batch.max_timestamp();
            self.max_timestamp_last_offset = batch.last_offset();
        }
        self.first_timestamp.get_or_insert(batch.max_timestamp());
        if self.bytes_since_index_entry > index_interval_bytes {
            self.offsets.push(OffsetEntry { last_offset: batch.last_offset(), position });
            self.note_timestamp();
            self.bytes_since_index_entry = 0;
        }
        self.size += batch.size_bytes() as u64;
        self.bytes_since_index_entry += batch.size_bytes() as u64;
    }

    /// Adds the last entry of the time index: the largest timestamp, so that whole segments can be passed over.
    pub fn note_timestamp(&mut self) {
        let entry = TimeEntry { timestamp: self.max_timestamp, last_offset: self.max_timestamp_last_offset };
        let last = self
            .times
            .last
            .unwrap_or(TimeEntry { timestamp: Timestamp::NONE, last_offset: Offset(self.base_offset.0 - 1) });
        if entry.follows(&last) {
            self.times.push(entry);
        }
    }
}

/// From where on sealed segments have a checksum file, once `sealing` is sealed and `next` begins.
pub(crate) fn checksums_from_after(from: Offset, sealing: &GrowingSegment, next: Offset) -> Offset {
    match &sealing.checksums {
        // Known to have some already: the one being sealed too, or it lost them and is to be missed.
        _ if from <= sealing.base_offset => from,
        Some(_) => sealing.base_offset,
        // Begun by an earlier build.
        None => next,
    }
}

/// How many of a log's first segments lie below its start as a whole. `next` is where the segment behind the last
/// of them begins.
pub(crate) fn passed_count(sealed: &[SegmentSummary], next: Offset, log_start_offset: Offset) -> usize {
    let ends = sealed.iter().skip(1).map(|segment| segment.base_offset).chain([next]);
    ends.take(sealed.len()).take_while(|end| *end <= log_start_offset).count()
}

/// Leader epochs only grow along a log; a batch without one (a mirror of an older log) says nothing.
pub(crate) fn epoch_goes_back(latest: Option<LeaderEpoch>, found: LeaderEpoch) -> bool {
    found.0 >= 0 && latest.is_some_and(|latest| found < latest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_core::ids::{PartitionIndex, TopicId};
    use ringlog_core::record_batch::BatchBuilder;

    fn header(base_offset: i64, timestamp: i64, value_bytes: usize) -> BatchHeader {
        let value = vec![0; value_bytes];
        let batch = BatchBuilder::new()
            .at(Offset(base_offset))
            .record_with(Timestamp(timestamp), None, Some(&value), &[])
            .build();
        BatchHeader::parse(&batch).unwrap()
    }

    #[test]
    fn an_index_entry_is_earned_when_more_than_the_interval_came_since_the_last() {
        let mut segment = empty(Offset(10));
        for offset in 10..14 {
            segment.add(&header(offset, offset * 100, 1000 - 70), 1500);
        }
        let size = segment.size / 4;
        let entry = OffsetEntry { last_offset: Offset(12), position: (size * 2) as u32 };
        assert_eq!(segment.offsets.pending, [entry]);
        assert_eq!(segment.times.pending[0].timestamp, Timestamp(1200));
        segment.note_timestamp();
        segment.note_timestamp();
        assert_eq!(segment.times.pending.len(), 2, "the largest timestamp is noted once");
    }

    #[test]
    fn a_segment_is_passed_when_the_next_one_begins_at_the_logs_start_or_below() {
        let sealed: Vec<_> = [0, 10, 25].map(|base| SegmentSummary::found(Offset(base), 1)).to_vec();
        let count = |log_start| passed_count(&sealed, Offset(30), Offset(log_start));
        assert_eq!([0, 9, 10, 24, 25, 29, 30, 99].map(count), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(passed_count(&[], Offset(30), Offset(99)), 0);
    }

    #[test]
    fn an_equal_or_older_timestamp_earns_no_entry() {
        let mut segment = empty(Offset(0));
        segment.add(&header(0, 50, 2000), 0);
        segment.add(&header(1, 50, 2000), 0);
        segment.add(&header(2, 40, 2000), 0);
        assert_eq!(segment.offsets.pending.len(), 2);
        assert_eq!(segment.times.pending, [TimeEntry { timestamp: Timestamp(50), last_offset: Offset(0) }]);
    }

    fn empty(base_offset: Offset) -> GrowingSegment {
        let partition = TopicPartition { topic: TopicId::from_random(1, 2), partition: PartitionIndex(0) };
        GrowingSegment::new(partition, base_offset)
    }

    const YOUNG: SegmentAge = SegmentAge { existed_ms: 0, jitter_ms: 0 };

    #[test]
    fn a_segment_without_timestamps_rolls_by_the_clock() {
        let config = LogConfig { segment_ms: 10, ..LogConfig::default() };
        let mut segment = empty(Offset(0));
        let old = SegmentAge { existed_ms: 11, ..YOUNG };
        assert!(
            !segment.must_roll_before(&header(0, -1, 100), &config, old),
            "an empty one waits for nothing"
        );
        segment.add(&header(0, -1, 100), 4096);
        assert!(!segment.must_roll_before(&header(1, 5_000, 100), &config, YOUNG));
        assert!(!segment.must_roll_before(
            &header(1, 5_000, 100),
            &config,
            SegmentAge { existed_ms: 10, ..old }
        ));
        assert!(segment.must_roll_before(&header(1, 5_000, 100), &config, old));
        let mut stamped = empty(Offset(0));
        stamped.add(&header(0, 5_000, 100), 4096);
        assert!(!stamped.must_roll_before(&header(1, 5_000, 100), &config, old), "records before the clock");
        assert!(!stamped.must_roll_before(&header(1, -1, 100), &config, old));
    }

    #[test]
    fn jitter_makes_a_segment_roll_earlier_by_its_own_share() {
        let config = LogConfig { segment_ms: 1_000, segment_jitter_ms: 400, ..LogConfig::default() };
        let share = |partition, base| {
            let topic = TopicId::from_random(1, 2);
            let partition = TopicPartition { topic, partition: PartitionIndex(partition) };
            segment_jitter_ms(partition, Offset(base), &config)
        };
        let shares: Vec<i64> =
            (0..200).flat_map(|partition| [share(partition, 0), share(partition, 9)]).collect();
        assert!(shares.iter().all(|share| (0..400).contains(share)), "{shares:?}");
        for quarter in 0..4 {
            let range = quarter * 100..(quarter + 1) * 100;
            let count = shares.iter().filter(|share| range.contains(*share)).count();
            assert!((60..140).contains(&count), "{count} of 400 in {range:?}");
        }
        assert_eq!(share(3, 7), share(3, 7));
        let mut segment = empty(Offset(0));
        segment.add(&header(0, 100, 10), 4096);
        let rolls = |timestamp, jitter_ms| {
            segment.must_roll_before(&header(1, timestamp, 10), &config, SegmentAge { jitter_ms, ..YOUNG })
        };
        assert!(!rolls(1_100, 0) && rolls(1_101, 0));
        assert!(!rolls(800, 300) && rolls(801, 300));
    }

    #[test]
    fn a_segment_rolls_on_size_time_full_index_and_far_offsets() {
        let mut segment = empty(Offset(0));
        let config = LogConfig { segment_bytes: 1000, segment_ms: 10, ..LogConfig::default() };
        assert!(
            !segment.must_roll_before(&header(0, 1, 5000), &config, YOUNG),
            "an empty segment takes any size"
        );
        segment.add(&header(0, 100, 500), 4096);
        assert!(!segment.must_roll_before(&header(1, 110, 100), &config, YOUNG));
        assert!(segment.must_roll_before(&header(1, 111, 100), &config, YOUNG), "segment.ms");
        assert!(segment.must_roll_before(&header(1, 100, 500), &config, YOUNG), "segment.bytes");
        let far = header(i64::from(i32::MAX) + 1, 100, 10);
        assert!(segment.must_roll_before(&far, &config, YOUNG), "relative offsets");
        let full = LogConfig { index_bytes_max: 7, ..LogConfig::default() };
        assert!(segment.must_roll_before(&header(1, 100, 10), &full, YOUNG), "index");
        assert!(empty(Offset(0)).must_roll_before(&far, &config, YOUNG));
    }
}
