//! One segment up to where it is stable: blocks against their checksums, batches, and both indexes against the batches.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::{LeaderEpoch, Offset};
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_core::time::Timestamp;

use super::{Files, Level, Look};
use crate::disk::BLOCK;
use crate::format::checksums::SegmentSeed;
use crate::format::index::{IndexEntry, OffsetEntry, TimeEntry};
use crate::log::segment::epoch_goes_back;

/// Read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// The largest batch that is read: more than any broker takes.
const BATCH_BYTES_MAX: u64 = 256 << 20;
/// Where the checksum of a batch begins to count.
const CHECKSUM_START: usize = 21;

const REPLACE: &str = "restore the file from a copy or a replica; a broker serves what lies before and behind, and refuses these records; \
                       or delete the records up to behind the damage (DeleteRecords)";
const INDEX: &str = "remove the file while no broker runs: it is built anew; readers are only slowed by it";

/// The checksums that a segment's blocks are compared with.
pub(super) struct Checksums {
    pub seed: SegmentSeed,
    /// Block by block; the last one may be partial.
    pub of_blocks: Vec<u32>,
}

/// What a segment must hold.
pub(super) struct Expected {
    pub path: PathBuf,
    /// How far it is looked at.
    pub length: u64,
    /// Its batches begin here or behind.
    pub from: Offset,
    /// And end here or before.
    pub end: Offset,
    /// The epoch before it.
    pub epoch: Option<LeaderEpoch>,
    pub checksums: Option<Checksums>,
    pub offsets: Option<Index<OffsetEntry>>,
    pub times: Option<Index<TimeEntry>>,
}

/// The entries of an index file.
pub(super) struct Index<T> {
    pub path: PathBuf,
    pub entries: Vec<T>,
}

/// Where a walk over batches came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walked {
    pub end_offset: Offset,
    pub epoch: Option<LeaderEpoch>,
}

/// Looks at a segment.
pub(super) fn verify<F: Files>(look: &mut Look<'_, F>, expected: &Expected) -> io::Result<Walked> {
    look.totals.segments += 1;
    look.totals.summed_segments += u64::from(expected.checksums.is_some());
    let mut walk = Walk {
        bytes: Bytes { start: 0, held: Vec::new(), damaged: Vec::new() },
        walked: Walked { end_offset: expected.from, epoch: expected.epoch },
        position: 0,
        offsets_seen: 0,
        times_seen: 0,
        max_timestamp: Timestamp::NONE,
        expected,
    };
    while walk.position < expected.length && walk.step(look)? {}
    // The rest of the blocks, where batches could not be followed to the end.
    walk.bytes.ensure(look, expected, expected.length.saturating_sub(1), 1)?;
    walk.finish(look);
    Ok(walk.walked)
}

struct Walk<'e> {
    expected: &'e Expected,
    bytes: Bytes,
    walked: Walked,
    position: u64,
    /// Entries of the indexes that lie behind the walk.
    offsets_seen: usize,
    times_seen: usize,
    max_timestamp: Timestamp,
}

impl Walk<'_> {
    /// Looks at the next batch; false where nothing leads on.
    fn step<F: Files>(&mut self, look: &mut Look<'_, F>) -> io::Result<bool> {
        let (expected, position) = (self.expected, self.position);
        let room = expected.length - position;
        let bytes = self.bytes.ensure(look, expected, position, (HEADER_BYTES as u64).min(room) as usize)?;
        let header = match BatchHeader::parse(bytes) {
            Ok(header) if header.size_bytes() as u64 <= room.min(BATCH_BYTES_MAX) => header,
            Ok(header) => {
                let words = format!(
                    "a batch of {} bytes reaches over the end at {}",
                    header.size_bytes(),
                    expected.length
                );
                return Ok(self.lose_way(look, words));
            }
            Err(fault) => return Ok(self.lose_way(look, fault.to_string())),
        };
        let size = header.size_bytes();
        let bytes = self.bytes.ensure(look, expected, position, size)?;
        let checksum = crc32c_append(crc32c(b""), &bytes[CHECKSUM_START.min(bytes.len())..]);
        let offsets = header.base_offset()..header.next_offset();
        let Walked { end_offset, epoch } = self.walked;
        let fault = if checksum != header.crc() {
            Some(format!("the batch's checksum says {:#010x}, its bytes give {checksum:#010x}", header.crc()))
        } else if offsets.start < end_offset || offsets.end > expected.end {
            Some(format!(
                "offsets {}..{} where {end_offset}..{} belong",
                offsets.start, offsets.end, expected.end
            ))
        } else if epoch_goes_back(epoch, header.leader_epoch()) {
            Some(format!("leader epoch {} behind a later one", header.leader_epoch()))
        } else {
            None
        };
        let place = position..position + size as u64;
        self.bytes.note_batch(&place, &(offsets.start.0..offsets.end.0));
        match fault {
            Some(reason) => {
                let lost = end_offset.0..offsets.end.0.max(end_offset.0 + 1).min(expected.end.0);
                look.found(Level::Damage, &expected.path, place.clone(), Some(lost), reason, REPLACE);
            }
            None => {
                self.walked.end_offset = offsets.end;
                self.walked.epoch = epoch.max(Some(header.leader_epoch()).filter(|epoch| epoch.0 >= 0));
                self.check_offset_entries(look, &header);
                self.check_time_entries(look, &header);
            }
        }
        self.position = place.end;
        Ok(true)
    }

    /// Where no batch begins: goes on where the index knows of one.
    fn lose_way<F: Files>(&mut self, look: &mut Look<'_, F>, reason: String) -> bool {
        let known = self.expected.offsets.as_ref().map_or(&[][..], |index| &index.entries);
        let next =
            known.iter().map(|entry| u64::from(entry.position)).find(|position| *position > self.position);
        let to = next.filter(|position| *position < self.expected.length);
        let place = self.position..to.unwrap_or(self.expected.length);
        let lost = self.walked.end_offset.0..self.expected.end.0;
        look.found(Level::Damage, &self.expected.path, place.clone(), Some(lost), reason, REPLACE);
        self.position = place.end;
        to.is_some()
    }

    /// The entry at this batch, if there is one, names its last offset; none points between batches.
    fn check_offset_entries<F: Files>(&mut self, look: &mut Look<'_, F>, header: &BatchHeader) {
        let Some(index) = &self.expected.offsets else { return };
        while let Some(entry) = index.entries.get(self.offsets_seen) {
            let place = u64::from(entry.position);
            if place > self.position {
                return;
            }
            if place < self.position || entry.last_offset != header.last_offset() {
                let words = format!("offset {} is not at byte {place} of the segment", entry.last_offset);
                look.damage(&index.path, entry_bytes::<OffsetEntry>(self.offsets_seen), words, INDEX);
            }
            self.offsets_seen += 1;
        }
    }

    /// An entry names a timestamp that was the largest, and the batch that brought it.
    fn check_time_entries<F: Files>(&mut self, look: &mut Look<'_, F>, header: &BatchHeader) {
        let Some(index) = &self.expected.times else { return };
        if header.max_timestamp() <= self.max_timestamp {
            return;
        }
        self.max_timestamp = header.max_timestamp();
        while let Some(entry) = index.entries.get(self.times_seen) {
            if entry.timestamp > self.max_timestamp {
                return;
            }
            if *entry != (TimeEntry { timestamp: self.max_timestamp, last_offset: header.last_offset() }) {
                let words = format!(
                    "timestamp {} was not brought by offset {}",
                    entry.timestamp.0, entry.last_offset
                );
                look.damage(&index.path, entry_bytes::<TimeEntry>(self.times_seen), words, INDEX);
            }
            self.times_seen += 1;
        }
    }

    fn finish<F: Files>(&mut self, look: &mut Look<'_, F>) {
        for (bytes, offsets) in std::mem::take(&mut self.bytes.damaged) {
            let words = "the blocks are not what was written".to_owned();
            look.found(Level::Damage, &self.expected.path, bytes, offsets, words, REPLACE);
        }
        let left = self.expected.offsets.as_ref().filter(|index| index.entries.len() > self.offsets_seen);
        if let Some(index) = left {
            let words = "it points behind the last batch".to_owned();
            look.damage(&index.path, entry_bytes::<OffsetEntry>(self.offsets_seen), words, INDEX);
        }
        let left = self.expected.times.as_ref().filter(|index| index.entries.len() > self.times_seen);
        if let Some(index) = left {
            let words = "no batch has such a timestamp".to_owned();
            look.damage(&index.path, entry_bytes::<TimeEntry>(self.times_seen), words, INDEX);
        }
    }
}

fn entry_bytes<T: IndexEntry>(index: usize) -> Range<u64> {
    let start = (index * T::BYTES) as u64;
    start..start + T::BYTES as u64
}

/// A segment's bytes, each read once, its blocks compared as they come.
struct Bytes {
    start: u64,
    held: Vec<u8>,
    /// Damaged blocks, and the offsets of the batches that touch them.
    damaged: Vec<(Range<u64>, Option<Range<i64>>)>,
}

impl Bytes {
    /// The bytes from `position` on, `count` of them unless the file ends before. Gives up what lies before.
    fn ensure<F: Files>(
        &mut self,
        look: &mut Look<'_, F>,
        expected: &Expected,
        position: u64,
        count: usize,
    ) -> io::Result<&[u8]> {
        while self.start + (self.held.len() as u64) < position + count as u64 {
            let gone = (position.saturating_sub(self.start) as usize).min(self.held.len());
            self.held.drain(..gone);
            self.start += gone as u64;
            let next = self.start + self.held.len() as u64;
            let wanted = WINDOW_BYTES.min((expected.length - next) as usize);
            let read = look.read(&expected.path, next, wanted)?;
            let is_end = read.len() < wanted || wanted == 0;
            self.compare(expected, next, &read);
            self.held.extend_from_slice(&read);
            if is_end {
                break;
            }
        }
        let from = (position.saturating_sub(self.start) as usize).min(self.held.len());
        Ok(&self.held[from..self.held.len().min(from + count)])
    }

    fn compare(&mut self, expected: &Expected, start: u64, bytes: &[u8]) {
        let Some(checksums) = &expected.checksums else { return };
        for (index, block) in bytes.chunks(BLOCK as usize).enumerate() {
            let position = start + index as u64 * BLOCK;
            let known = checksums.of_blocks.get((position / BLOCK) as usize);
            if known.is_none_or(|known| *known == checksums.seed.checksum_of(position, block)) {
                continue;
            }
            let end = position + block.len() as u64;
            match self.damaged.last_mut() {
                Some((range, _)) if range.end == position => range.end = end,
                _ => self.damaged.push((position..end, None)),
            }
        }
    }

    fn note_batch(&mut self, place: &Range<u64>, offsets: &Range<i64>) {
        for (bytes, known) in self.damaged.iter_mut().rev().take_while(|(bytes, _)| bytes.end > place.start) {
            if bytes.start < place.end {
                let before = known.clone().unwrap_or_else(|| offsets.clone());
                *known = Some(before.start.min(offsets.start)..before.end.max(offsets.end));
            }
        }
    }
}

/// A whole batch at a place of a file that may end anywhere behind it.
pub(super) fn batch_at<F: Files>(
    look: &mut Look<'_, F>,
    path: &Path,
    position: u64,
    length: u64,
) -> io::Result<Option<BatchHeader>> {
    let Ok(header) = BatchHeader::parse(&look.read(path, position, HEADER_BYTES)?) else { return Ok(None) };
    let size = header.size_bytes() as u64;
    if position + size > length || size > BATCH_BYTES_MAX {
        return Ok(None);
    }
    let bytes = look.read(path, position, size as usize)?;
    let is_whole = bytes.len() as u64 == size && crc32c(&bytes[CHECKSUM_START..]) == header.crc();
    Ok(is_whole.then_some(header))
}
