//! One piece of a segment looked at again, for the scrubber; and a checksum file for a segment that has none.

use std::ops::Range;

use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_runtime::environment::{Environment, OpenMode};

use crate::disk::{BLOCK, block_floor, read_bytes, remove_file_if_present, replace_file, with_suffix};
use crate::failure::{Damage, ReadError};
use crate::format::checksums::{self, ChecksumHeader};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::PartitionLog;
use crate::log::cold::{ColdRead, verified_bytes};
use crate::log::read::{AtLeastOne, FileExtent, LastBlock, ReadBounds};
use crate::log::segment::GrowingSegment;
use crate::log::writer::pending_checksums;
use crate::store::directories::claim;
use crate::store::read_ahead::Place;
use crate::store::scrub::{PIECE_BYTES, Round};

/// How many batches are looked at to tell which offsets are damaged.
const HEADERS_MAX: usize = 4096;

impl<E: Environment> PartitionLog<E> {
    /// Looks at a piece of a segment from `position` on; where it ends, or `None` if nothing is left to look at.
    pub(crate) async fn scrub_piece(&self, segment: Offset, position: u64) -> Result<Option<u64>, ReadError> {
        let Some(extent) = self.extent_in_file(segment).filter(|extent| position < extent.limit) else {
            return Ok(None);
        };
        let bounds = ReadBounds {
            from: segment,
            end: extent.limit_offset,
            bytes_max: PIECE_BYTES,
            at_least_one: AtLeastOne::Batch,
        };
        let read = ColdRead { log: self, bounds, extent };
        let piece_end = (position + PIECE_BYTES as u64).min(extent.limit);
        let (start, bytes) = match read.read_blocks(position, PIECE_BYTES).await {
            // Only these say that something is wrong with the file.
            Err(ReadError::Disk(failure)) if failure.is_not_found() => {
                self.tell_damage(&read, position..extent.limit, failure.to_string()).await;
                return Ok(None);
            }
            Err(ReadError::Disk(failure)) if failure.is_unreadable() => {
                self.tell_damage(&read, position..piece_end, failure.to_string()).await;
                return Ok(Some(piece_end));
            }
            // No memory now: the piece is passed over.
            Err(ReadError::NoRoom) => return Ok(Some(piece_end)),
            read => read?,
        };
        let next = (start + bytes.len() as u64).min(extent.limit);
        match self.first_damaged(&extent, start, bytes.as_slice()).await? {
            Some(damaged) => {
                let next = damaged.end.next_multiple_of(BLOCK).min(extent.limit);
                self.tell_damage(&read, damaged, "the blocks are not what was written".to_owned()).await;
                Ok(Some(next))
            }
            None if next <= position => {
                self.tell_damage(&read, position..extent.limit, format!("the file ends at {next}")).await;
                Ok(None)
            }
            None => {
                let place = Place { partition: self.log.identity.id, segment };
                self.store.scrubber.note_sound(place, &(start..next));
                Ok(Some(next))
            }
        }
    }

    /// As far as a segment is in its file, by whole blocks while it grows.
    fn extent_in_file(&self, segment: Offset) -> Option<FileExtent> {
        let state = self.log.state.borrow();
        if state.is_closed || state.damage.is_some() || !state.has_segment(segment) {
            return None;
        }
        let (summary, next) = state.segment_of(segment);
        let (limit, last_block) = match state.open_segment(segment) {
            Some(open) => (block_floor(open.written), LastBlock::Unknown),
            None => (summary.size_bytes, LastBlock::InFile),
        };
        Some(FileExtent { segment, limit, limit_offset: next, last_block })
    }

    /// Verifies every batch of a sealed segment that has no finished checksum file, and makes the file of them; false if it has
    /// one, or if none can be made now. The first damage leaves it without.
    pub(crate) async fn make_checksums_if_none(
        &self,
        segment: Offset,
        round: Round,
    ) -> Result<bool, ReadError> {
        if self.store.space.is_short() || !self.lacks_checksums(segment).await? {
            return Ok(false);
        }
        let partition = self.log.identity.id;
        let mut growing = GrowingSegment::new(partition, segment);
        while let Some(extent) = self.extent_in_file(segment).filter(|extent| growing.size < extent.limit) {
            if !self.store.goes_on_scrubbing() {
                return Ok(true);
            }
            let bytes = match verified_bytes(self, extent, growing.size, PIECE_BYTES).await {
                Err(ReadError::Damaged(damage)) => {
                    self.tell(segment, &damage);
                    return Ok(true);
                }
                bytes => bytes?,
            };
            growing.sum([&bytes, &[]]);
            growing.size += bytes.len() as u64;
            self.store.scrubber.note_bytes(bytes.len() as u64);
            self.store.wait_scrubbing(round, bytes.len() as u64).await;
        }
        self.write_new_checksums(&growing).await?;
        Ok(true)
    }

    /// Whether a sealed segment has no checksum file, or one that was never finished.
    async fn lacks_checksums(&self, segment: Offset) -> Result<bool, ReadError> {
        let is_sealed =
            |extent: FileExtent| matches!(extent.last_block, LastBlock::InFile) && extent.limit > 0;
        if !self.extent_in_file(segment).is_some_and(is_sealed) {
            return Ok(false);
        }
        let path = segment_path(&self.log.directory, segment, SegmentFile::Checksums);
        let env = &self.store.env;
        let file = match self.store.files.open(env, &path, OpenMode::BufferedRead).await {
            Ok(file) => file,
            Err(failure) if failure.is_not_found() => return Ok(true),
            Err(failure) => return Err(failure.into()),
        };
        let header = match read_bytes::<E>(env, &file, 0, checksums::HEADER_BYTES).await {
            // Whoever reads the segment distrusts it; what it holds may be better than what can be made now.
            Err(failure) if failure.is_unreadable() => return Ok(false),
            read => read?,
        };
        let is_finished = ChecksumHeader::parse(&header).is_ok_and(|header| header.sealed.is_some());
        Ok(!is_finished)
    }

    async fn write_new_checksums(&self, growing: &GrowingSegment) -> Result<(), ReadError> {
        let (segment, partition) = (growing.base_offset, self.log.identity.id);
        let Some(pending) = pending_checksums(partition, growing, growing.size, true) else { return Ok(()) };
        // While this is held nobody renames the directory, or removes segments from it.
        let _claim = claim(&self.store.claimed_directories, &self.log.directory).await;
        if self.extent_in_file(segment).is_none() || !self.store.goes_on_scrubbing() {
            return Ok(());
        }
        let path = segment_path(&self.log.directory, segment, SegmentFile::Checksums);
        let env = &self.store.env;
        // The whole file or none: half of one would be believed.
        if let Err(failure) = replace_file(env, &path, &pending.to_bytes()).await {
            remove_file_if_present(env, &with_suffix(&path, ".tmp")).await?;
            return Err(failure.into());
        }
        self.store.files.forget(&path);
        self.store.checksums.trust(Place { partition, segment });
        self.store.scrubber.note_file_made();
        Ok(())
    }

    /// Tells of damaged blocks with the offsets of the batches in them.
    async fn tell_damage(&self, read: &ColdRead<'_, E>, bytes: Range<u64>, reason: String) {
        let offsets = read.offsets_in(&bytes).await.ok().flatten();
        let path = segment_path(&self.log.directory, read.extent.segment, SegmentFile::Log);
        self.tell(read.extent.segment, &Damage { path, bytes, offsets, reason });
    }

    /// Tells of damage, once, and only if the segment was not given up meanwhile.
    fn tell(&self, segment: Offset, damage: &Damage) {
        let place = Place { partition: self.log.identity.id, segment };
        if self.extent_in_file(segment).is_none() || !self.store.scrubber.note_damage(place, &damage.bytes) {
            return;
        }
        let (topic, partition) = (&self.log.identity.topic, self.log.identity.id.partition);
        tracing::error!(%topic, %partition, %damage, "scrubbing found damaged records; they are not served");
    }
}

impl<E: Environment> ColdRead<'_, E> {
    /// The offsets of the batches that lie in damaged blocks: from the end of the last batch before them to the begin of the first
    /// one behind. `None` if that takes too long to find.
    async fn offsets_in(&self, bytes: &Range<u64>) -> Result<Option<Range<i64>>, ReadError> {
        // A batch whose header reaches into the damage cannot say what it begins with: the one before it tells where it ends.
        let known = match bytes.start.checked_sub(HEADER_BYTES as u64) {
            Some(before) => self.log.offset_entry_at_or_before(self.extent.segment, before).await?,
            None => None,
        };
        let (mut position, mut first) =
            (known.map_or(0, |entry| u64::from(entry.position)), self.extent.segment);
        for _ in 0..HEADERS_MAX {
            if position >= bytes.end {
                let behind = self.unverified_header(position).await?;
                let end = behind.map_or(self.extent.limit_offset, |header| header.base_offset());
                return Ok(Some(first.0..end.0));
            }
            let is_sound = position + HEADER_BYTES as u64 <= bytes.start;
            match self.unverified_header(position).await?.filter(|_| is_sound) {
                Some(header) => {
                    let next = position + header.size_bytes() as u64;
                    first = if next > bytes.start { header.base_offset() } else { header.next_offset() };
                    position = next;
                }
                None => match self.place_behind(position, bytes.end).await? {
                    Some(next) => position = next,
                    None => return Ok(Some(first.0..self.extent.limit_offset.0)),
                },
            }
        }
        Ok(None)
    }

    async fn unverified_header(&self, position: u64) -> Result<Option<BatchHeader>, ReadError> {
        // A length that is damaged leads anywhere.
        if position >= self.extent.limit {
            return Ok(None);
        }
        let (start, buffer) = self.read_blocks(position, HEADER_BYTES).await?;
        let bytes = buffer.as_slice();
        Ok(BatchHeader::parse(bytes.get((position - start) as usize..).unwrap_or_default()).ok())
    }
}
