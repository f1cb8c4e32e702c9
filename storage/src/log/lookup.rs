//! Finding offsets by time, and the loaded index files that reads and look-ups begin with.
//!
//! ```text
//!   first segment whose largest timestamp reaches t ──► its time index: no record up to here is as young
//!     ──► batches from there, opened where they are compressed ──► first record with timestamp >= t
//! ```
//!
//! Always true: indexes only say where to begin, and the records have to agree (`largest_timestamp`); the answer comes from them.

use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::ids::Offset;
use ringlog_core::record_batch::{BatchHeader, RawBatch, TimestampType};
use ringlog_core::time::Timestamp;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::{DiskFailure, Environment, TaskClass};

use crate::disk::{read_helping_file, remove_file_if_present, replace_file, with_suffix};
use crate::failure::{Damage, ReadError};
use crate::format::index::{
    INDEX_BYTES_MAX, IndexEntry, OffsetEntry, TimeEntry, index_bytes, parse_index, position_for, time_before,
};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::largest_timestamp::are_out_of_reach;
use crate::log::read::AtLeastOne;
use crate::log::segment::GrowingSegment;
use crate::log::{PartitionLog, SegmentSummary, TimestampOffset};
use crate::store::directories::claim;

/// How much is read at a time while looking for a record.
pub(super) const LOOK_BYTES: usize = 64 << 10;
/// How often a log is looked through whose start is moved meanwhile.
const LOOKS_MAX: usize = 8;

/// Which segments' largest timestamps are taken as they are known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Also that of the segment whose front was deleted: cheap, and mostly right.
    SegmentsWithDeletedRecords,
    /// Only of segments that are there as a whole.
    WholeSegments,
}

impl<E: Environment> PartitionLog<E> {
    /// The first record, by offset, whose timestamp is at least `timestamp` and whose offset is below `end`
    /// (L2). Compressed batches are looked into.
    ///
    /// # Errors
    /// As reading.
    pub async fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
        end: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.while_start_moves(async || self.first_from(timestamp, end).await).await
    }

    /// Looks, and looks again where the log's start was moved over what was looked at: that is no error, and no answer either.
    async fn while_start_moves(
        &self,
        look: impl AsyncFn() -> Result<Option<TimestampOffset>, ReadError>,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        for _ in 1..LOOKS_MAX {
            let log_start_offset = self.log_start_offset();
            let found = look().await;
            let is_there = |found: &TimestampOffset| found.offset >= self.log_start_offset();
            let has_answer = matches!(&found, Ok(Some(found)) if is_there(found));
            if has_answer || self.log_start_offset() == log_start_offset {
                return found;
            }
        }
        look().await
    }

    async fn first_from(
        &self,
        timestamp: Timestamp,
        end: Offset,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let segments = self.segments_by_time().await?;
        let log_start_offset = self.log_start_offset();
        for (index, segment) in segments.iter().enumerate() {
            let next = segments.get(index + 1).map_or(end, |next| next.base_offset.min(end));
            // One that cannot be looked at may hold it.
            if segment.max_timestamp.is_some_and(|max| max < timestamp) || next <= log_start_offset {
                continue;
            }
            let from = self.first_candidate(segment, timestamp).await?.max(log_start_offset);
            if let Some(found) = self.search_records(from, next, timestamp).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first record with the largest timestamp below offset `end` (L1).
    ///
    /// # Errors
    /// As reading.
    pub async fn offset_of_max_timestamp(&self, end: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        self.while_start_moves(async || self.first_of_max_timestamp(end).await).await
    }

    async fn first_of_max_timestamp(&self, end: Offset) -> Result<Option<TimestampOffset>, ReadError> {
        for trust in [Trust::SegmentsWithDeletedRecords, Trust::WholeSegments] {
            let largest = self.largest_timestamp(end, trust).await?;
            if largest == Timestamp::NONE {
                return Ok(None);
            }
            if let Some(found) = self.first_from(largest, end).await? {
                return Ok(Some(found));
            }
            // The record that brought it was deleted from the front: once more, with a look at what is left.
        }
        Ok(None)
    }

    async fn largest_timestamp(&self, end: Offset, trust: Trust) -> Result<Timestamp, ReadError> {
        let (segments, log_start_offset) = (self.segments_by_time().await?, self.log_start_offset());
        let mut largest = Timestamp::NONE;
        for (index, segment) in segments.iter().enumerate() {
            let next = segments.get(index + 1).map_or(self.log_end_offset(), |next| next.base_offset);
            let is_whole = segment.base_offset >= log_start_offset;
            let max = match segment.max_timestamp {
                Some(max) if next <= end && (is_whole || trust == Trust::SegmentsWithDeletedRecords) => max,
                // The largest of this segment may lie at or above `end`, or be deleted: look at what lies between.
                _ => self.max_timestamp_of(segment.base_offset.max(log_start_offset), next.min(end)).await?,
            };
            largest = largest.max(max);
        }
        Ok(largest)
    }

    async fn max_timestamp_of(&self, from: Offset, end: Offset) -> Result<Timestamp, ReadError> {
        let (mut from, mut max) = (from, Timestamp::NONE);
        while let Some(bytes) = self.read_some(from, end).await? {
            for batch in batches(&bytes) {
                let header = batch.header();
                let of_batch = match header.base_offset() >= from {
                    true => header.max_timestamp(),
                    false => self.max_timestamp_in(&batch, from)?,
                };
                max = max.max(of_batch);
                from = header.next_offset();
            }
        }
        Ok(max)
    }

    /// The largest timestamp of a batch's records from an offset on.
    fn max_timestamp_in(&self, batch: &RawBatch<'_>, from: Offset) -> Result<Timestamp, ReadError> {
        let mut max = Timestamp::NONE;
        self.each_record(batch, |offset, timestamp| {
            if offset >= from {
                max = max.max(timestamp);
            }
            ControlFlow::Continue(())
        })?;
        Ok(max)
    }

    /// Where to begin in a segment: no record before it is as young as `timestamp`.
    async fn first_candidate(
        &self,
        segment: &SegmentSummary,
        timestamp: Timestamp,
    ) -> Result<Offset, ReadError> {
        let base_offset = segment.base_offset;
        let times = self.time_entries(base_offset).await?.unwrap_or_default();
        let Some(before) = time_before(&times, timestamp) else { return Ok(base_offset) };
        if self.is_true(base_offset, before).await? {
            return Ok(before.last_offset.next());
        }
        if self.sealed_extent(base_offset).is_none() {
            return Ok(base_offset);
        }
        match self.rebuild_indexes(base_offset).await {
            Err(error) if are_out_of_reach(&error) => Ok(base_offset),
            rebuilt => {
                let before = time_before(&rebuilt?.times.pending, timestamp);
                Ok(before.map_or(base_offset, |entry| entry.last_offset.next()))
            }
        }
    }

    async fn search_records(
        &self,
        from: Offset,
        end: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let start = from;
        let mut from = from;
        while let Some(bytes) = self.read_some(from, end).await? {
            for batch in batches(&bytes) {
                from = batch.header().next_offset();
                if batch.header().max_timestamp() < timestamp {
                    continue;
                }
                if let Some(found) = self.search_batch(&batch, start, timestamp)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn search_batch(
        &self,
        batch: &RawBatch<'_>,
        start: Offset,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let leader_epoch = batch.header().leader_epoch();
        let mut found = None;
        self.each_record(batch, |offset, own| {
            if own < timestamp || offset < start {
                return ControlFlow::Continue(());
            }
            found = Some(TimestampOffset { offset, timestamp: own, leader_epoch });
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Shows the offset and the timestamp of each record, as long as that is wanted.
    fn each_record(
        &self,
        batch: &RawBatch<'_>,
        mut look: impl FnMut(Offset, Timestamp) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        let header = batch.header();
        let records = batch
            .records(&mut DecompressionBudget::default())
            .map_err(|fault| self.unreadable(header, fault.to_string()))?;
        for record in records.iter() {
            let record = record.map_err(|fault| self.unreadable(header, fault.to_string()))?;
            let own = match header.attributes().timestamp_type() {
                TimestampType::LogAppendTime => header.max_timestamp(),
                TimestampType::CreateTime => {
                    Timestamp(header.base_timestamp().0.wrapping_add(record.timestamp_delta))
                }
            };
            let offset = Offset(header.base_offset().0 + i64::from(record.offset_delta));
            if look(offset, own).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A batch whose checksum is right and whose records cannot be read: it was accepted unopened.
    fn unreadable(&self, header: &BatchHeader, reason: String) -> Damage {
        Damage {
            path: self.log.directory.clone(),
            bytes: 0..0,
            offsets: Some(header.base_offset().0..header.next_offset().0),
            reason,
        }
    }

    /// The next batches as one piece of memory; `None` at the end.
    async fn read_some(&self, from: Offset, end: Offset) -> Result<Option<Vec<u8>>, ReadError> {
        if from >= end {
            return Ok(None);
        }
        let read = self.plan_read(from, end, LOOK_BYTES, AtLeastOne::Batch)?.execute().await?;
        Ok((read.bytes > 0).then(|| joined(&read.slices)))
    }

    /// Where the segment behind this one begins.
    pub(super) fn end_of_segment(&self, segment: Offset) -> Offset {
        let state = self.log.state.borrow();
        let segments = state.segments();
        let after = segments.partition_point(|summary| summary.base_offset <= segment);
        segments.get(after).map_or(state.log_end_offset, |next| next.base_offset)
    }

    /// A segment's time index; `None` if its file is lost.
    pub(super) async fn time_entries(&self, segment: Offset) -> Result<Option<Vec<TimeEntry>>, ReadError> {
        let (written, pending) = {
            let state = self.log.state.borrow();
            match state.open_segment(segment) {
                Some(open) => (Some(open.growing.times.written), open.growing.times.pending.clone()),
                None => (None, Vec::new()),
            }
        };
        let mut entries: Vec<TimeEntry> = match written {
            Some(0) => Vec::new(),
            _ => match self.index_file(segment, SegmentFile::TimeIndex, written).await? {
                Some(entries) => entries,
                None => return Ok(None),
            },
        };
        entries.extend(pending);
        Ok(Some(entries))
    }

    /// The last index entry of a segment at or before `offset`.
    pub(super) async fn offset_entry_for(
        &self,
        segment: Offset,
        offset: Offset,
    ) -> Result<Option<OffsetEntry>, ReadError> {
        let written = {
            let state = self.log.state.borrow();
            let open = state.open_segment(segment);
            if let Some(found) = open.and_then(|open| position_for(&open.growing.offsets.pending, offset)) {
                return Ok(Some(found));
            }
            open.map(|open| open.growing.offsets.written)
        };
        Ok(position_for(&self.offset_entries(segment, written).await?, offset))
    }

    /// The first index entry of a segment for a batch that begins behind `position`.
    pub(super) async fn offset_entry_behind(
        &self,
        segment: Offset,
        position: u64,
    ) -> Result<Option<OffsetEntry>, ReadError> {
        let is_behind = |entry: &&OffsetEntry| u64::from(entry.position) > position;
        let written = self.log.state.borrow().open_segment(segment).map(|open| open.growing.offsets.written);
        if let Some(entry) = self.offset_entries(segment, written).await?.iter().find(is_behind) {
            return Ok(Some(*entry));
        }
        let state = self.log.state.borrow();
        let pending = state.open_segment(segment).map_or(&[][..], |open| &open.growing.offsets.pending);
        Ok(pending.iter().find(is_behind).copied())
    }

    /// The last index entry of a segment for a batch that begins at `position` or before.
    pub(super) async fn offset_entry_at_or_before(
        &self,
        segment: Offset,
        position: u64,
    ) -> Result<Option<OffsetEntry>, ReadError> {
        let is_before = |entry: &&OffsetEntry| u64::from(entry.position) <= position;
        let written = self.log.state.borrow().open_segment(segment).map(|open| open.growing.offsets.written);
        let entries = self.offset_entries(segment, written).await?;
        let state = self.log.state.borrow();
        let pending = state.open_segment(segment).map_or(&[][..], |open| &open.growing.offsets.pending);
        Ok(pending.iter().rfind(is_before).or(entries.iter().rfind(is_before)).copied())
    }

    /// The entries in an offset index's file, `written` of them if the segment is still open.
    async fn offset_entries(
        &self,
        segment: Offset,
        written: Option<u32>,
    ) -> Result<Rc<Vec<OffsetEntry>>, ReadError> {
        if written == Some(0) {
            return Ok(Rc::default());
        }
        let path = segment_path(&self.log.directory, segment, SegmentFile::OffsetIndex);
        if let Some(entries) = self.store.indexes.get(&path, written) {
            return Ok(entries);
        }
        let loaded = self.index_file(segment, SegmentFile::OffsetIndex, written).await?;
        let entries = match (loaded, written) {
            (Some(entries), _) => entries,
            // Lost: a sealed segment gets it back, an active one is searched without.
            (None, None) => self.rebuild_indexes(segment).await?.offsets.pending,
            (None, Some(_)) => Vec::new(),
        };
        if self.log.state.borrow().is_closed {
            // The name may be another log's by now.
            return Err(ReadError::Closed);
        }
        Ok(self.store.indexes.put(path, written, Rc::new(entries)))
    }

    /// The entries of an index file, `written` of them if the segment is still open; `None` if it is lost, or cannot be read.
    async fn index_file<T: IndexEntry>(
        &self,
        segment: Offset,
        kind: SegmentFile,
        written: Option<u32>,
    ) -> Result<Option<Vec<T>>, ReadError> {
        let path = segment_path(&self.log.directory, segment, kind);
        let index_bytes_max =
            self.log.state.borrow().config.index_bytes_max.max(INDEX_BYTES_MAX as u64) as usize;
        let bytes_max = written.map_or(index_bytes_max, |count| count as usize * T::BYTES);
        let Some(bytes) = read_helping_file(&self.store.env, &path, bytes_max).await? else {
            return Ok(None);
        };
        if written.is_none() && !bytes.len().is_multiple_of(T::BYTES) {
            // A sealed segment's index was cut to whole entries: this one lost some.
            return Ok(None);
        }
        Ok(parse_index(segment, &bytes))
    }

    /// Reads a sealed segment whose index is lost, or wrong, and writes its indexes anew.
    pub(super) async fn rebuild_indexes(&self, segment: Offset) -> Result<GrowingSegment, ReadError> {
        let interval = self.log.state.borrow().config.index_interval_bytes;
        let mut growing = GrowingSegment::new(self.log.identity.id, segment);
        let Some(extent) = self.sealed_extent(segment) else { return Ok(growing) };
        tracing::warn!(path = %self.log.directory.display(), segment = segment.0,
            "an index is lost, or is not what its records say, and is built anew");
        let mut position = 0;
        while position < extent.limit {
            let bytes = super::cold::verified_bytes(self, extent, position, LOOK_BYTES).await?;
            for batch in batches(&bytes) {
                growing.add(batch.header(), interval);
            }
            position += bytes.len() as u64;
            self.store.env.yield_now().await;
        }
        growing.note_timestamp();
        self.write_indexes_behind(segment, &growing);
        Ok(growing)
    }

    fn write_indexes_behind(&self, segment: Offset, growing: &GrowingSegment) {
        let files = [
            (SegmentFile::OffsetIndex, index_bytes(segment, &growing.offsets.pending)),
            (SegmentFile::TimeIndex, index_bytes(segment, &growing.times.pending)),
        ];
        let log = self.clone();
        self.store.env.spawn(TaskClass::Storage, async move {
            for (kind, bytes) in files {
                let path = segment_path(&log.log.directory, segment, kind);
                if let Err(failure) = log.replace_index(segment, &path, &bytes).await {
                    // An index is a help: it is built again the next time it is missed.
                    tracing::warn!(%failure, "an index could not be written");
                }
            }
        });
    }

    async fn replace_index(&self, segment: Offset, path: &Path, bytes: &[u8]) -> Result<(), DiskFailure> {
        // While this is held nobody renames the directory, makes another of its name, or removes segments from it.
        let _claim = claim(&self.store.claimed_directories, &self.log.directory).await;
        let is_wanted = {
            let state = self.log.state.borrow();
            // Deleted meanwhile: its files shall not come back, least of all in the directory of a log made anew.
            !state.is_closed && state.has_segment(segment)
        };
        if !is_wanted || self.store.is_over() {
            return Ok(());
        }
        let env = &self.store.env;
        if let Err(failure) = replace_file(env, path, bytes).await {
            remove_file_if_present(env, &with_suffix(path, ".tmp")).await?;
            return Err(failure);
        }
        Ok(())
    }
}

pub(super) fn joined(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// The batches in bytes that a read returned.
pub(super) fn batches(mut bytes: &[u8]) -> impl Iterator<Item = RawBatch<'_>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (batch, rest) = RawBatch::split_first(bytes).expect("a read returns whole batches");
        bytes = rest;
        Some(batch)
    })
}
