//! The largest timestamp of a segment, and what makes its time index believed.
//!
//! ```text
//!   time index   .. | 1700 at 41 | 1800 at 57 |             entries lost? a flipped bit?
//!   segment      .. [38..41: 1700] [42..49] [50..57: 1800] [58..63: 1750]
//!                                            ▲ the same      ▲ none behind is larger
//! ```
//!
//! Always true: an entry is a hint. The batch that it names must have that timestamp, before anything is passed over on its word.
//! Of the last entry none behind may have a larger one: none of the last batches before a look-up passes over the whole segment,
//! and none at all before retention gives the segment up for its age. An index that does not agree with the records is built anew from
//! them. Records that cannot be read say nothing against it: a look-up goes by the index then, and retention by the last write.

use ringlog_core::ids::Offset;
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::time::Timestamp;
use ringlog_runtime::environment::{Environment, File, OpenMode};

use crate::disk::read_bytes;
use crate::failure::ReadError;
use crate::format::index::{IndexEntry, OffsetEntry, TimeEntry, parse_index, position_for};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::cold::verified_bytes;
use crate::log::lookup::{LOOK_BYTES, batches, joined};
use crate::log::read::{AtLeastOne, FileExtent, LastBlock};
use crate::log::{PartitionLog, SegmentSummary};

/// Where the last batches begin: so many entries of the offset index, some 2 MiB, before the end.
const LAST_ENTRIES: usize = 512;

/// Which records behind the batch that an index names last are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// The last ones: in most logs the youngest, while a segment may hold a gigabyte.
    LastBatches,
    /// All.
    ToTheEnd,
}

/// What some batches of a segment say of its index's last entry.
struct Seen {
    largest: Timestamp,
    /// Whether the batch that the entry names is among them and has the timestamp.
    agrees: bool,
}

impl<E: Environment> PartitionLog<E> {
    /// Every segment, with its largest timestamp as far as that can be known.
    pub(super) async fn segments_by_time(&self) -> Result<Vec<SegmentSummary>, ReadError> {
        let unknown = self.segments().into_iter().filter(|segment| segment.max_timestamp.is_none());
        for segment in unknown {
            match self.load_largest_timestamp(segment.base_offset).await {
                Err(error) if are_out_of_reach(&error) => {}
                loaded => loaded?,
            }
        }
        let mut segments = self.segments();
        for segment in segments.iter_mut().filter(|segment| segment.max_timestamp.is_none()) {
            let last = self.last_entry(segment.base_offset).await?;
            segment.max_timestamp = last.map(|entry| entry.timestamp);
        }
        Ok(segments)
    }

    /// Finds out the largest timestamp of a sealed segment that an earlier start wrote.
    pub(super) async fn load_largest_timestamp(&self, segment: Offset) -> Result<(), ReadError> {
        let largest = self.find_largest_timestamp(segment, Look::LastBatches).await?;
        let is_known = |known: &SegmentSummary| known.base_offset == segment && known.max_timestamp.is_some();
        // What was found meanwhile may have been proven.
        if !self.log.state.borrow().sealed.iter().any(is_known) {
            self.note_largest_timestamp(segment, Some(largest));
        }
        Ok(())
    }

    /// Makes certain of the largest timestamp of a sealed segment, before it is given up because of it.
    pub(super) async fn prove_largest_timestamp(&self, segment: Offset) -> Result<Timestamp, ReadError> {
        let largest = self.find_largest_timestamp(segment, Look::ToTheEnd).await?;
        self.note_largest_timestamp(segment, Some(largest));
        Ok(largest)
    }

    async fn find_largest_timestamp(&self, segment: Offset, look: Look) -> Result<Timestamp, ReadError> {
        if let Some(entry) = self.last_entry(segment).await?
            && self.is_largest(segment, entry, look).await?
        {
            return Ok(entry.timestamp);
        }
        Ok(self.rebuild_indexes(segment).await?.max_timestamp)
    }

    pub(super) fn note_largest_timestamp(&self, segment: Offset, largest: Option<Timestamp>) {
        let mut state = self.log.state.borrow_mut();
        if let Some(summary) = state.sealed.iter_mut().find(|summary| summary.base_offset == segment) {
            summary.max_timestamp = largest;
        }
    }

    /// What the time index of a sealed segment says last; `None` if the index is lost.
    async fn last_entry(&self, segment: Offset) -> Result<Option<TimeEntry>, ReadError> {
        let last = self.last_in_file::<TimeEntry>(segment, SegmentFile::TimeIndex, 2).await?;
        if let Some(entry) = last.as_ref().and_then(|entries| entries.last()) {
            return Ok(Some(*entry));
        }
        // Empty, or allocated ahead: the whole of it says.
        let none = TimeEntry { timestamp: Timestamp::NONE, last_offset: Offset(segment.0 - 1) };
        let entries = self.time_entries(segment).await?;
        Ok(entries.map(|entries| entries.last().copied().unwrap_or(none)))
    }

    /// The last entries of a sealed segment's index, which follow each other, read without those before; `None` where that does not do.
    async fn last_in_file<T: IndexEntry>(
        &self,
        segment: Offset,
        kind: SegmentFile,
        count_max: usize,
    ) -> Result<Option<Vec<T>>, ReadError> {
        let env = &self.store.env;
        let path = segment_path(&self.log.directory, segment, kind);
        let file = match env.open(&path, OpenMode::BufferedRead).await {
            Ok(file) => file,
            Err(failure) if failure.is_not_found() => return Ok(None),
            Err(failure) => return Err(failure.into()),
        };
        let length = file.length().await?;
        if !length.is_multiple_of(T::BYTES as u64) {
            return Ok(None);
        }
        let bytes = length.min((count_max * T::BYTES) as u64);
        match read_bytes::<E>(env, &file, length - bytes, bytes as usize).await {
            Err(failure) if failure.is_unreadable() => Ok(None),
            read => Ok(parse_index(segment, &read?)),
        }
    }

    /// Whether the records agree that no timestamp of a sealed segment is larger than its time index says last.
    async fn is_largest(&self, segment: Offset, entry: TimeEntry, look: Look) -> Result<bool, ReadError> {
        let Some(extent) = self.sealed_extent(segment) else {
            // It left the log meanwhile.
            return Ok(true);
        };
        let last = self.last_in_file::<OffsetEntry>(segment, SegmentFile::OffsetIndex, LAST_ENTRIES).await?;
        let known = match last.as_ref().map(|last| (last, position_for(last, entry.last_offset))) {
            Some((_, Some(known))) => Some(known),
            // The batch that is named lies before all of them.
            Some((last, None)) if last.len() < LAST_ENTRIES => None,
            Some((last, None)) if look == Look::LastBatches => last.first().copied(),
            Some((_, None)) | None => self.offset_entry_for(segment, entry.last_offset).await?,
        };
        let position = known.map_or(0, |known| u64::from(known.position));
        let position = if position < extent.limit { position } else { 0 };
        let seen = match self.look_behind(extent, position, entry).await {
            // Perhaps only the entry leads astray: whoever builds the indexes anew begins at the first batch, and finds what is damaged.
            Err(error) if position > 0 && error.is_of_the_bytes() => return Ok(false),
            seen => seen?,
        };
        let agrees = match look {
            _ if seen.agrees || entry.timestamp == Timestamp::NONE => true,
            Look::LastBatches => self.is_true(segment, entry).await?,
            Look::ToTheEnd => false,
        };
        Ok(agrees && seen.largest <= entry.timestamp)
    }

    /// Looks at the batches of a sealed segment from a position on, where one begins.
    async fn look_behind(
        &self,
        extent: FileExtent,
        mut position: u64,
        entry: TimeEntry,
    ) -> Result<Seen, ReadError> {
        let mut seen = Seen { largest: Timestamp::NONE, agrees: false };
        while position < extent.limit {
            let bytes = verified_bytes(self, extent, position, LOOK_BYTES).await?;
            for batch in batches(&bytes) {
                seen.largest = seen.largest.max(batch.header().max_timestamp());
                seen.agrees |= is_named(batch.header(), entry);
            }
            position += bytes.len() as u64;
            self.store.env.yield_now().await;
        }
        Ok(seen)
    }

    /// Whether the batch that an entry names has the timestamp that the entry says. To go unnoticed, a wrong entry has to name another
    /// batch with the very same one.
    pub(super) async fn is_true(&self, segment: Offset, entry: TimeEntry) -> Result<bool, ReadError> {
        if entry.last_offset < self.log_start_offset() {
            // Nothing is passed over on its word that is still there.
            return Ok(true);
        }
        let end = self.end_of_segment(segment);
        if entry.last_offset >= end {
            return Ok(false);
        }
        match self.plan_read(entry.last_offset, end, 1, AtLeastOne::Batch)?.execute().await {
            Ok(read) => {
                let bytes = joined(&read.slices);
                Ok(batches(&bytes).next().is_some_and(|batch| is_named(batch.header(), entry)))
            }
            // Deleted from the front meanwhile, as above.
            Err(ReadError::OffsetOutOfRange { .. }) => Ok(true),
            Err(error) if are_out_of_reach(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// A sealed segment as a whole; `None` if it is none of the log's.
    pub(super) fn sealed_extent(&self, segment: Offset) -> Option<FileExtent> {
        let limit_offset = self.end_of_segment(segment);
        let state = self.log.state.borrow();
        let summary = state.sealed.iter().find(|summary| summary.base_offset == segment)?;
        Some(FileExtent { segment, limit: summary.size_bytes, limit_offset, last_block: LastBlock::InFile })
    }
}

/// Whether a batch is the one that an index entry names, and has its timestamp.
fn is_named(header: &BatchHeader, entry: TimeEntry) -> bool {
    (header.base_offset()..=header.last_offset()).contains(&entry.last_offset)
        && header.max_timestamp() == entry.timestamp
}

/// Whether records cannot be read at all, so that an index has nothing to be compared with.
pub(super) fn are_out_of_reach(error: &ReadError) -> bool {
    error.is_of_the_bytes() || matches!(error, ReadError::Disk(failure) if failure.is_not_found())
}
