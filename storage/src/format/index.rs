//! Kafka's two sparse indexes of a segment, as files and as what the active segment still has to write.
//!
//! ```text
//!   .index       8 bytes big-endian: last offset of a batch - base offset (4) | the batch's position (4)
//!   .timeindex  12 bytes big-endian: largest timestamp so far (8) | last offset of its batch - base offset (4)
//! ```
//!
//! Always true: entries grow in both columns. A lost or wrong index changes only speed: whoever follows an entry
//! checks what it finds there.

use ringlog_core::ids::Offset;
use ringlog_core::time::Timestamp;

/// No index is larger that belongs to a segment of at most 2 GiB, unless its topic is configured so.
pub const INDEX_BYTES_MAX: usize = 64 << 20;

/// One entry of an index file.
pub trait IndexEntry: Copy {
    /// Its size in the file.
    const BYTES: usize;
    /// Appends its bytes for a segment that begins at `base_offset`.
    fn write(&self, base_offset: Offset, target: &mut Vec<u8>);
    /// Reads exactly [`IndexEntry::BYTES`] bytes.
    fn read(base_offset: Offset, bytes: &[u8]) -> Self;
    /// Whether it may stand right behind `earlier`.
    fn follows(&self, earlier: &Self) -> bool;
}

/// A batch's last offset and where the batch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OffsetEntry {
    /// The offset of the batch's last record.
    pub last_offset: Offset,
    /// Where the batch begins in the segment file.
    pub position: u32,
}

/// The largest timestamp up to a batch, and that batch's last offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeEntry {
    /// The largest timestamp so far.
    pub timestamp: Timestamp,
    /// The last offset of the batch that brought it.
    pub last_offset: Offset,
}

fn relative(offset: Offset, base_offset: Offset) -> u32 {
    u32::try_from(offset.0 - base_offset.0).expect("a segment rolls before its offsets outgrow 31 bits")
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;

    fn write(&self, base_offset: Offset, target: &mut Vec<u8>) {
        target.extend_from_slice(&relative(self.last_offset, base_offset).to_be_bytes());
        target.extend_from_slice(&self.position.to_be_bytes());
    }

    fn read(base_offset: Offset, bytes: &[u8]) -> OffsetEntry {
        OffsetEntry {
            last_offset: Offset(base_offset.0.saturating_add(i64::from(number(&bytes[..4])))),
            position: number(&bytes[4..8]),
        }
    }

    fn follows(&self, earlier: &OffsetEntry) -> bool {
        self.last_offset > earlier.last_offset && self.position > earlier.position
    }
}

impl IndexEntry for TimeEntry {
    const BYTES: usize = 12;

    fn write(&self, base_offset: Offset, target: &mut Vec<u8>) {
        target.extend_from_slice(&self.timestamp.0.to_be_bytes());
        target.extend_from_slice(&relative(self.last_offset, base_offset).to_be_bytes());
    }

    fn read(base_offset: Offset, bytes: &[u8]) -> TimeEntry {
        TimeEntry {
            timestamp: Timestamp(i64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"))),
            last_offset: Offset(base_offset.0.saturating_add(i64::from(number(&bytes[8..12])))),
        }
    }

    fn follows(&self, earlier: &TimeEntry) -> bool {
        self.timestamp > earlier.timestamp && self.last_offset > earlier.last_offset
    }
}

/// Reads a whole index file; `None` if its entries cannot be true. Zeros behind the last entry are what a file
/// allocated ahead ends with.
pub fn parse_index<T: IndexEntry>(base_offset: Offset, bytes: &[u8]) -> Option<Vec<T>> {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let count = used.div_ceil(T::BYTES);
    if bytes.len() < count * T::BYTES {
        return None;
    }
    let entries: Vec<T> =
        bytes[..count * T::BYTES].chunks_exact(T::BYTES).map(|entry| T::read(base_offset, entry)).collect();
    entries.windows(2).all(|pair| pair[1].follows(&pair[0])).then_some(entries)
}

/// The bytes of entries.
pub fn index_bytes<T: IndexEntry>(base_offset: Offset, entries: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * T::BYTES);
    entries.iter().for_each(|entry| entry.write(base_offset, &mut bytes));
    bytes
}

/// Where to begin to look for `offset`: the position of the last batch known to end at or before it.
pub fn position_for(entries: &[OffsetEntry], offset: Offset) -> Option<OffsetEntry> {
    let after = entries.partition_point(|entry| entry.last_offset <= offset);
    after.checked_sub(1).map(|index| entries[index])
}

/// The last entry whose timestamp is smaller than `timestamp`: no record up to it is as young.
pub fn time_before(entries: &[TimeEntry], timestamp: Timestamp) -> Option<TimeEntry> {
    let after = entries.partition_point(|entry| entry.timestamp < timestamp);
    after.checked_sub(1).map(|index| entries[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(last_offset: i64, position: u32) -> OffsetEntry {
        OffsetEntry { last_offset: Offset(last_offset), position }
    }

    #[test]
    fn entries_are_kafkas_bytes_and_read_back() {
        let base = Offset(1000);
        let entries = [entry(1041, 4100), entry(1100, 8310)];
        let bytes = index_bytes(base, &entries);
        assert_eq!(bytes[..8], [0, 0, 0, 41, 0, 0, 0x10, 0x04]);
        assert_eq!(parse_index::<OffsetEntry>(base, &bytes), Some(entries.to_vec()));
        let times = [TimeEntry { timestamp: Timestamp(0x0102), last_offset: Offset(1041) }];
        let bytes = index_bytes(base, &times);
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 41]);
        assert_eq!(parse_index::<TimeEntry>(base, &bytes), Some(times.to_vec()));
    }

    #[test]
    fn zeros_behind_the_entries_are_space_and_anything_else_is_refused() {
        let base = Offset(0);
        let mut bytes = index_bytes(base, &[entry(5, 4100), entry(9, 8200)]);
        bytes.extend([0; 80]);
        assert_eq!(parse_index::<OffsetEntry>(base, &bytes).unwrap().len(), 2);
        assert_eq!(parse_index::<OffsetEntry>(base, &[]), Some(vec![]));
        let unordered = index_bytes(base, &[entry(9, 4100), entry(5, 8200)]);
        assert!(parse_index::<OffsetEntry>(base, &unordered).is_none());
        let torn = index_bytes(base, &[entry(9, 4100), entry(0, 0), entry(12, 9000)]);
        assert!(parse_index::<OffsetEntry>(base, &torn).is_none());
        assert!(parse_index::<OffsetEntry>(base, &bytes[..12]).is_none(), "a file cut within an entry");
    }

    #[test]
    fn lookups_begin_at_or_before_what_is_looked_for() {
        let entries = [entry(41, 4100), entry(100, 8310)];
        assert_eq!(position_for(&entries, Offset(40)), None);
        assert_eq!(position_for(&entries, Offset(41)), Some(entries[0]));
        assert_eq!(position_for(&entries, Offset(500)), Some(entries[1]));
        let times = [10, 20].map(|at| TimeEntry { timestamp: Timestamp(at), last_offset: Offset(at) });
        assert_eq!(time_before(&times, Timestamp(10)), None);
        assert_eq!(time_before(&times, Timestamp(15)), Some(times[0]));
        assert_eq!(time_before(&times, Timestamp(20)), Some(times[0]));
    }
}
