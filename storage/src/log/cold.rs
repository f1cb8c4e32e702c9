//! Reading from segment files: find the batch, read blocks around it, verify, hand out.
//!
//! ```text
//!   where the last read stopped, or the index ──► position ──► window of blocks ──► headers up to `from`
//!                                                              ──► whole, verified batches
//! ```
//!
//! Always true: an index entry is a hint; what is found at its position must prove itself. A header in a damaged block is
//! a hint too: it may lead to batches behind the damage, which prove themselves, and is never served. Damage is reported
//! with the exact range and never skipped: where offsets are left out, as compaction does, they are known to be left out only
//! behind a whole batch that stands behind the damage.
//!
//! ```text
//!   offsets   10..12  12..14  ? damaged ?  30..32      40..42
//!             served  served  14 to 29     served  32 to 39: none there, so 40..42
//!                             are refused
//! ```

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES, RawBatch};
use ringlog_runtime::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{Environment, File, OpenMode, TaskClass};

use crate::disk::{BLOCK, block_ceil, block_floor};
use crate::failure::{Damage, ReadError};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::PartitionLog;
use crate::log::read::{AtLeastOne, FileExtent, ReadBounds, ReadRecords, store_of};
use crate::store::read_ahead::{Place, Window};

/// Where the checksum of a batch begins to count.
const CHECKSUM_START: usize = 21;
/// Where a batch says how much follows.
const LENGTH_BYTES: Range<usize> = 8..12;

/// One read from one segment file.
pub(super) struct ColdRead<'a, E: Environment> {
    pub log: &'a PartitionLog<E>,
    pub bounds: ReadBounds,
    pub extent: FileExtent,
}

/// A batch found in a window.
struct Found {
    window: Window,
    position: u64,
    header: BatchHeader,
}

enum Search {
    Found(Found),
    /// All batches end at or before `from`.
    Passed,
    /// What stands at the position that the index named does not fit: it named a wrong one.
    WrongStart(Damage),
}

impl<E: Environment> ColdRead<'_, E> {
    /// Reads; `None` if this part of the segment holds no batch at or above `from`.
    pub async fn read(&self) -> Result<Option<ReadRecords>, ReadError> {
        if self.extent.limit == 0 {
            return Ok(None);
        }
        let place = Place { partition: self.log.log.identity.id, segment: self.extent.segment };
        let continued = self.log.store.read_ahead.continued(place, self.bounds.from);
        let is_sequential = continued.is_some();
        let start = match continued {
            Some(position) if position < self.extent.limit => position,
            _ => self.indexed_position().await?,
        };
        let search = match self.search(start, is_sequential).await? {
            Search::WrongStart(_) if start > 0 && !is_sequential => self.search(0, false).await?,
            search => search,
        };
        match search {
            Search::Passed => Ok(None),
            Search::WrongStart(damage) => Err(damage.into()),
            Search::Found(found) => self.take(found, is_sequential).await.map(Some),
        }
    }

    async fn indexed_position(&self) -> Result<u64, ReadError> {
        let entry = self.log.offset_entry_for(self.extent.segment, self.bounds.from).await?;
        let position = entry.map_or(0, |entry| u64::from(entry.position));
        Ok(if position < self.extent.limit { position } else { 0 })
    }

    /// Walks headers from `start` to the batch that holds `from`, or the first one after it.
    async fn search(&self, start: u64, is_sequential: bool) -> Result<Search, ReadError> {
        let mut position = start;
        let mut expected = if start == 0 { self.extent.segment } else { Offset(0) };
        let mut window: Option<Window> = None;
        let mut passed_damage: Option<Arc<Damage>> = None;
        while position < self.extent.limit {
            let here = match window.take().filter(|window| window.bytes_from(position).len() >= HEADER_BYTES)
            {
                Some(window) => Ok(window),
                None => self.window(position, self.wanted_bytes(is_sequential)).await,
            };
            let here = match here {
                Err(ReadError::Damaged(damage)) => {
                    let Some(next) = self.place_behind(position, damage.bytes.end).await? else {
                        let is_wrong_start = position == start && start > 0;
                        let damage = Damage { offsets: self.offsets_from(expected), ..(*damage).clone() };
                        return if is_wrong_start {
                            Ok(Search::WrongStart(damage))
                        } else {
                            Err(damage.into())
                        };
                    };
                    position = next;
                    passed_damage = Some(damage);
                    continue;
                }
                here => here?,
            };
            let header = match self.header_at(&here, position, expected) {
                Ok(header) => header,
                Err(damage) if position == start => return Ok(Search::WrongStart(damage)),
                Err(damage) => return Err(damage.into()),
            };
            if header.last_offset() >= self.bounds.from {
                let is_behind = header.base_offset() > self.bounds.from;
                if let Some(damage) = passed_damage.filter(|_| is_behind) {
                    // Nobody knows what the damaged header should have said: what is asked for may have been there.
                    return Err(ReadError::Damaged(damage));
                }
                if position == start && start > 0 && is_behind && !is_sequential {
                    let reason = "the index leads past the offset".to_owned();
                    return Ok(Search::WrongStart(self.damage(position, &header, reason)));
                }
                return Ok(Search::Found(Found { window: here, position, header }));
            }
            if passed_damage.is_some() && self.is_whole(position, &header).await? {
                // Offsets grow along a segment: what is asked for lies behind this batch, and so behind the damage.
                passed_damage = None;
            }
            expected = header.next_offset();
            position += header.size_bytes() as u64;
            window = Some(here);
        }
        match passed_damage {
            Some(damage) => Err(ReadError::Damaged(damage)),
            None => Ok(Search::Passed),
        }
    }

    /// Where the next batch may begin behind one whose header lies in blocks that are damaged up to `damage_end`: as far on as
    /// the header says, if that is in them too or a batch stands there, else where the index knows of one.
    pub(super) async fn place_behind(
        &self,
        position: u64,
        damage_end: u64,
    ) -> Result<Option<u64>, ReadError> {
        let window = self.hint_at(position, HEADER_BYTES).await?;
        let announced = window.bytes_from(position).get(LENGTH_BYTES).map_or(0, |length| {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            LENGTH_BYTES.end as u64 + u64::from(length)
        });
        let next = position + announced;
        if announced >= HEADER_BYTES as u64 && next < self.extent.limit {
            let window = self.hint_at(next, HEADER_BYTES).await?;
            if next < damage_end || self.header_at(&window, next, Offset(0)).is_ok() {
                return Ok(Some(next));
            }
        }
        let known = self.log.offset_entry_behind(self.extent.segment, position).await?;
        Ok(known.map(|entry| u64::from(entry.position)).filter(|position| *position < self.extent.limit))
    }

    fn offsets_from(&self, expected: Offset) -> Option<Range<i64>> {
        Some(expected.max(self.extent.segment).0..self.extent.limit_offset.0)
    }

    /// Parses the header at `position` and checks what its bytes alone can tell.
    fn header_at(&self, window: &Window, position: u64, expected: Offset) -> Result<BatchHeader, Damage> {
        let bytes = window.bytes_from(position);
        let header = BatchHeader::parse(bytes).map_err(|fault| Damage {
            path: self.path(),
            bytes: position..(position + HEADER_BYTES as u64).min(self.extent.limit),
            offsets: Some(expected.0..self.extent.limit_offset.0),
            reason: fault.to_string(),
        })?;
        if position + header.size_bytes() as u64 > self.extent.limit {
            let reason =
                format!("a batch of {} bytes reaches over {}", header.size_bytes(), self.extent.limit);
            return Err(self.damage(position, &header, reason));
        }
        if header.base_offset() < expected || header.next_offset() > self.extent.limit_offset {
            let reason = format!("a batch of offset {} where {expected} should be", header.base_offset());
            return Err(self.damage(position, &header, reason));
        }
        Ok(header)
    }

    /// Takes whole batches from the one found on.
    async fn take(&self, found: Found, is_sequential: bool) -> Result<ReadRecords, ReadError> {
        let Found { window, position, header } = found;
        let size = header.size_bytes();
        if header.next_offset() > self.bounds.end
            || (size > self.bounds.bytes_max && self.bounds.at_least_one == AtLeastOne::Nothing)
        {
            return Ok(ReadRecords::default());
        }
        if window.bytes_from(position).len() < size {
            return self.take_large(position, &header).await;
        }
        let (end, next_offset) = self.verified_end(&window, position)?;
        let slice = window.slice(position, end);
        self.remember(next_offset, end, window, is_sequential);
        Ok(ReadRecords { bytes: slice.len(), slices: vec![slice], end_offset: next_offset })
    }

    /// Where the verified batches end that may be returned from this window.
    fn verified_end(&self, window: &Window, start: u64) -> Result<(u64, Offset), Damage> {
        let (mut position, mut expected) = (start, Offset(0));
        while position < self.extent.limit {
            let bytes = window.bytes_from(position);
            if bytes.len() < HEADER_BYTES {
                break;
            }
            let header = match self.header_at(window, position, expected) {
                // Damage behind whole batches is reported to whoever asks for it.
                Err(_) if position > start => break,
                header => header?,
            };
            let next = position + header.size_bytes() as u64;
            let is_too_much = next - start > self.bounds.bytes_max as u64 && position > start;
            if is_too_much || header.next_offset() > self.bounds.end || bytes.len() < header.size_bytes() {
                break;
            }
            let (batch, _) =
                RawBatch::split_first(bytes).expect("its header was parsed and its bytes are there");
            match batch.verify_checksum() {
                Err(_) if position > start => break,
                verdict => verdict.map_err(|fault| self.damage(position, &header, fault.to_string()))?,
            }
            (position, expected) = (next, header.next_offset());
        }
        Ok((position, expected))
    }

    /// Takes one batch larger than a window, in several buffers.
    async fn take_large(&self, position: u64, header: &BatchHeader) -> Result<ReadRecords, ReadError> {
        let slices = self.verified_parts(position, header).await?;
        let end = position + header.size_bytes() as u64;
        let place = Place { partition: self.log.log.identity.id, segment: self.extent.segment };
        store_of(self.log).read_ahead.note(place, header.next_offset(), end);
        Ok(ReadRecords { bytes: header.size_bytes(), slices, end_offset: header.next_offset() })
    }

    /// Whether a batch is what was written, from its first byte to its last.
    async fn is_whole(&self, position: u64, header: &BatchHeader) -> Result<bool, ReadError> {
        match self.verified_parts(position, header).await {
            Ok(_) => Ok(true),
            Err(ReadError::Damaged(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// The bytes of one batch, in as many pieces as it takes.
    async fn verified_parts(&self, position: u64, header: &BatchHeader) -> Result<Vec<Slice>, ReadError> {
        let end = position + header.size_bytes() as u64;
        let mut slices: Vec<Slice> = Vec::new();
        let mut next = position;
        while next < end {
            let bytes = (end - next) as usize;
            let window =
                self.read_window(next, bytes, bytes).await.map_err(|error| self.naming(header, error))?;
            let part_end = window.end().min(end);
            if part_end <= next {
                let reason = format!("the file ends at {next}");
                return Err(self.damage(position, header, reason).into());
            }
            slices.push(window.slice(next, part_end));
            next = part_end;
        }
        verify_parts(header, &slices).map_err(|reason| self.damage(position, header, reason))?;
        Ok(slices)
    }

    /// Notes where this reader will go on, keeps what was read too much, and reads ahead.
    fn remember(&self, next_offset: Offset, next: u64, window: Window, is_sequential: bool) {
        let store = store_of(self.log);
        let place = Place { partition: self.log.log.identity.id, segment: self.extent.segment };
        store.read_ahead.note(place, next_offset, next);
        let left = window.end().min(self.extent.limit).saturating_sub(next);
        if left > 0 {
            store.read_ahead.keep(place, window.clone());
        }
        let ahead = block_floor(window.end());
        let wanted = store.config.read_ahead_bytes;
        if !is_sequential || left as usize >= wanted || ahead >= self.extent.limit {
            return;
        }
        let Some(permit) = store.read_ahead.begin(place, ahead) else { return };
        let (log, extent, bounds) = (self.log.clone(), self.extent, self.bounds);
        store.env.spawn(TaskClass::Storage, async move {
            let read = ColdRead { log: &log, bounds, extent };
            // What cannot be read ahead is read, and reported, when it is asked for.
            if let Ok(window) = read.read_window(ahead, wanted, HEADER_BYTES).await {
                store_of(&log).read_ahead.keep(place, window);
            }
            store_of(&log).read_ahead.end(permit);
        });
    }

    fn wanted_bytes(&self, is_sequential: bool) -> usize {
        let ahead = if is_sequential { self.log.store.config.read_ahead_bytes } else { 0 };
        // One index interval and a header more, to find the batch within.
        (self.bounds.bytes_max + 2 * DIRECT_ALIGNMENT).max(ahead)
    }

    async fn window(&self, position: u64, wanted: usize) -> Result<Window, ReadError> {
        let place = Place { partition: self.log.log.identity.id, segment: self.extent.segment };
        match self.log.store.read_ahead.window(place, position) {
            Some(window) => Ok(window),
            None => self.read_window(position, wanted, HEADER_BYTES).await,
        }
    }

    /// Reads at least one block from the one that holds `position` on, and compares them with their checksums. The window
    /// ends before a block that is damaged or cannot be read; within the first `needed` bytes that is damage.
    async fn read_window(&self, position: u64, wanted: usize, needed: usize) -> Result<Window, ReadError> {
        let (start, buffer, unreadable) = self.read_readable_blocks(position, wanted).await?;
        let damaged = self.log.first_damaged(&self.extent, start, buffer.as_slice()).await?;
        let damaged = damaged.map(|bytes| (bytes, "the blocks are not what was written"));
        // Behind what could be read nothing was compared.
        let damaged = damaged.or(unreadable.map(|bytes| (bytes, "the disk cannot read the block")));
        let limit = match damaged {
            Some((bytes, reason)) if bytes.start < position + needed as u64 => {
                let reason = reason.to_owned();
                return Err(Damage { path: self.path(), bytes, offsets: None, reason }.into());
            }
            Some((bytes, _)) => bytes.start,
            None => self.extent.limit,
        };
        Ok(Window::new(start, buffer.freeze(), limit))
    }

    /// As [`ColdRead::read_blocks`], up to a block that the disk cannot read, with where that lies.
    async fn read_readable_blocks(
        &self,
        position: u64,
        wanted: usize,
    ) -> Result<(u64, BufMut, Option<Range<u64>>), ReadError> {
        match self.read_blocks(position, wanted).await {
            Err(ReadError::Disk(failure)) if failure.is_unreadable() => {}
            read => return read.map(|(start, buffer)| (start, buffer, None)),
        }
        // One sector is enough to fail a read of many blocks: each alone.
        let (start, capacity) = self.blocks_to_read(position, wanted);
        let mut whole = self.room_for(capacity)?;
        while whole.len() < capacity {
            let next = start + whole.len() as u64;
            let (_, block) = match self.read_blocks(next, BLOCK as usize).await {
                Err(ReadError::Disk(failure)) if failure.is_unreadable() => {
                    let end = (next + BLOCK).min(self.extent.limit);
                    return Ok((start, whole, Some(next..end)));
                }
                read => read?,
            };
            whole.extend_from_slice(block.as_slice());
            if block.len() < BLOCK as usize {
                break;
            }
        }
        Ok((start, whole, None))
    }

    /// Bytes that nothing vouches for, empty where the disk cannot read them: a hint and nothing more.
    async fn hint_at(&self, position: u64, count: usize) -> Result<Window, ReadError> {
        let (start, buffer, _) = self.read_readable_blocks(position, count).await?;
        Ok(Window::new(start, buffer.freeze(), self.extent.limit))
    }

    pub(super) async fn read_blocks(&self, position: u64, wanted: usize) -> Result<(u64, BufMut), ReadError> {
        let store = store_of(self.log);
        let (start, capacity) = self.blocks_to_read(position, wanted);
        let buffer = self.room_for(capacity)?;
        let file = store.files.open(&store.env, &self.path(), OpenMode::DirectRead).await?;
        Ok((start, file.read_at(start, buffer).await?))
    }

    /// Memory for blocks: if there is little, that of what was read ahead and of batches that are in their files is given up for it.
    fn room_for(&self, capacity: usize) -> Result<BufMut, ReadError> {
        let store = store_of(self.log);
        if !store.make_memory_for(capacity) {
            return Err(ReadError::NoRoom);
        }
        store.env.arena().allocate(capacity).map_err(|_| ReadError::NoRoom)
    }

    /// Where to begin, and how many bytes to read at once.
    fn blocks_to_read(&self, position: u64, wanted: usize) -> (u64, usize) {
        let start = block_floor(position);
        let wanted = (position - start) + wanted as u64;
        let bytes_max = self.log.store.config.read_bytes_max as u64;
        let most = bytes_max.min(block_ceil(self.extent.limit) - start);
        (start, block_ceil(wanted.min(most)) as usize)
    }

    /// Damaged blocks, with the offsets of the batch that lies in them.
    fn naming(&self, header: &BatchHeader, error: ReadError) -> ReadError {
        match error {
            ReadError::Damaged(damage) => {
                let offsets = Some(header.base_offset().0..header.next_offset().0);
                Damage { offsets, ..(*damage).clone() }.into()
            }
            other => other,
        }
    }

    fn path(&self) -> PathBuf {
        segment_path(&self.log.log.directory, self.extent.segment, SegmentFile::Log)
    }

    fn damage(&self, position: u64, header: &BatchHeader, reason: String) -> Damage {
        Damage {
            path: self.path(),
            bytes: position..position + header.size_bytes() as u64,
            offsets: Some(header.base_offset().0..header.next_offset().0),
            reason,
        }
    }
}

/// Whole, verified batches of a segment from `position` on, which must be the start of one: at least one.
pub(super) async fn verified_bytes<E: Environment>(
    log: &PartitionLog<E>,
    extent: FileExtent,
    position: u64,
    bytes_max: usize,
) -> Result<Vec<u8>, ReadError> {
    let (from, end) = (Offset(0), extent.limit_offset);
    let bounds = ReadBounds { from, end, bytes_max, at_least_one: AtLeastOne::Batch };
    let read = ColdRead { log, bounds, extent };
    let window = read.read_window(position, bytes_max + DIRECT_ALIGNMENT, HEADER_BYTES).await?;
    let header = read.header_at(&window, position, Offset(0))?;
    let records = read.take(Found { window, position, header }, false).await?;
    Ok(records.slices.iter().flat_map(|slice| slice.iter().copied()).collect())
}

/// Verifies a batch that lies in several pieces.
fn verify_parts(header: &BatchHeader, parts: &[Slice]) -> Result<(), String> {
    let mut skipped = CHECKSUM_START;
    let mut computed = crc32c(b"");
    for part in parts {
        let skip = skipped.min(part.len());
        skipped -= skip;
        computed = crc32c_append(computed, &part[skip..]);
    }
    if computed != header.crc() {
        return Err(format!("the checksum says {:#010x}, the bytes give {computed:#010x}", header.crc()));
    }
    Ok(())
}
