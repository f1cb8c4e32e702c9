//! What is known of a segment while it grows: its size, its largest timestamp, the index entries it has earned.
//! Shared by appending and by recovery, so that both index the same way.
//!
//! Always true: entries are added by Kafka's rule (one when more than `index_interval_bytes` came since the
//! last), so its tools find in our indexes what they would have written.

use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::time::Timestamp;

use crate::config::LogConfig;
use crate::format::checkpoint::PartitionRecord;
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
    fn new(written: u32, last: Option<T>) -> GrowingIndex<T> {
        GrowingIndex { written, pending: Vec::new(), last }
    }

    fn push(&mut self, entry: T) {
        self.pending.push(entry);
        self.last = Some(entry);
    }

    /// Bytes of the whole index.
    pub fn bytes(&self) -> u64 {
        (u64::from(self.written) + self.pending.len() as u64) * T::BYTES as u64
    }
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
}

impl GrowingSegment {
    /// An empty segment.
    pub fn new(base_offset: Offset) -> GrowingSegment {
        GrowingSegment {
            base_offset,
            size: 0,
            max_timestamp: Timestamp::NONE,
            max_timestamp_last_offset: base_offset,
            first_timestamp: None,
            bytes_since_index_entry: 0,
            offsets: GrowingIndex::new(0, None),
            times: GrowingIndex::new(0, None),
        }
    }

    /// The segment as a checkpoint left it.
    pub fn of_record(record: &PartitionRecord) -> GrowingSegment {
        let last_time = record.last_time_entry.map(|(timestamp, offset)| TimeEntry {
            timestamp: Timestamp(timestamp),
            last_offset: Offset(offset),
        });
        GrowingSegment {
            base_offset: Offset(record.segment_base_offset),
            size: record.position,
            max_timestamp: Timestamp(record.max_timestamp),
            max_timestamp_last_offset: Offset(record.max_timestamp_last_offset),
            first_timestamp: record.first_timestamp.map(Timestamp),
            bytes_since_index_entry: record.bytes_since_index_entry,
            offsets: GrowingIndex::new(record.offset_index_count, None),
            times: GrowingIndex::new(record.time_index_count, last_time),
        }
    }

    /// Puts what a checkpoint must remember of the segment into `record`, all pending index entries counted.
    pub fn fill_record(&self, record: &mut PartitionRecord) {
        record.segment_base_offset = self.base_offset.0;
        record.position = self.size;
        record.max_timestamp = self.max_timestamp.0;
        record.max_timestamp_last_offset = self.max_timestamp_last_offset.0;
        record.first_timestamp = self.first_timestamp.map(|timestamp| timestamp.0);
        record.bytes_since_index_entry = self.bytes_since_index_entry;
        record.offset_index_count = self.offsets.written + self.offsets.pending.len() as u32;
        record.time_index_count = self.times.written + self.times.pending.len() as u32;
        record.last_time_entry = self.times.last.map(|entry| (entry.timestamp.0, entry.last_offset.0));
    }

    /// Whether this batch must begin another segment (C3).
    pub fn must_roll_before(&self, batch: &BatchHeader, config: &LogConfig) -> bool {
        if self.size == 0 {
            // An empty segment can still be named for an offset too far away for 31 bits.
            return !self.holds_offset(batch.last_offset());
        }
        let size_after = self.size + batch.size_bytes() as u64;
        let span =
            batch.max_timestamp().0.saturating_sub(self.first_timestamp.map_or(i64::MAX, |first| first.0));
        size_after > config.segment_bytes.min(SEGMENT_BYTES_MAX)
            || span > config.segment_ms
            || self.offsets.bytes() + OffsetEntry::BYTES as u64 > config.index_bytes_max
            // One entry is kept free for the last timestamp, written when the segment is sealed.
            || self.times.bytes() + 2 * TimeEntry::BYTES as u64 > config.index_bytes_max
            || !self.holds_offset(batch.last_offset())
    }

    fn holds_offset(&self, offset: Offset) -> bool {
        offset.0 - self.base_offset.0 <= RELATIVE_OFFSET_MAX
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
        let mut segment = GrowingSegment::new(Offset(10));
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
        let sealed: Vec<_> = [0, 10, 25]
            .map(|base| SegmentSummary { base_offset: Offset(base), size_bytes: 1, max_timestamp: None })
            .to_vec();
        let count = |log_start| passed_count(&sealed, Offset(30), Offset(log_start));
        assert_eq!([0, 9, 10, 24, 25, 29, 30, 99].map(count), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(passed_count(&[], Offset(30), Offset(99)), 0);
    }

    #[test]
    fn an_equal_or_older_timestamp_earns_no_entry() {
        let mut segment = GrowingSegment::new(Offset(0));
        segment.add(&header(0, 50, 2000), 0);
        segment.add(&header(1, 50, 2000), 0);
        segment.add(&header(2, 40, 2000), 0);
        assert_eq!(segment.offsets.pending.len(), 2);
        assert_eq!(segment.times.pending, [TimeEntry { timestamp: Timestamp(50), last_offset: Offset(0) }]);
    }

    #[test]
    fn a_segment_rolls_on_size_time_full_index_and_far_offsets() {
        let mut segment = GrowingSegment::new(Offset(0));
        let config = LogConfig { segment_bytes: 1000, segment_ms: 10, ..LogConfig::default() };
        assert!(!segment.must_roll_before(&header(0, 1, 5000), &config), "an empty segment takes any size");
        segment.add(&header(0, 100, 500), 4096);
        assert!(!segment.must_roll_before(&header(1, 110, 100), &config));
        assert!(segment.must_roll_before(&header(1, 111, 100), &config), "segment.ms");
        assert!(segment.must_roll_before(&header(1, 100, 500), &config), "segment.bytes");
        let far = header(i64::from(i32::MAX) + 1, 100, 10);
        assert!(segment.must_roll_before(&far, &config), "relative offsets");
        let full = LogConfig { index_bytes_max: 7, ..LogConfig::default() };
        assert!(segment.must_roll_before(&header(1, 100, 10), &full), "index");
        assert!(GrowingSegment::new(Offset(0)).must_roll_before(&far, &config));
    }
}
