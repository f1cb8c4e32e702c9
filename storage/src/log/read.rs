//! Reading records: planned under the borrow, executed after it.
//!
//! ```text
//!   plan_read(from, end, bytes_max) ──► in memory: slices, done
//!                                   └─► cold: which segment, how far its file may be read ──► execute
//! ```
//!
//! Always true: whole batches only, all of one segment; the first may begin below `from`, none reaches `end`.
//! Bytes from disk are served only after the checksums of their blocks and of their batches were verified.

use std::rc::Rc;

use ringlog_core::ids::Offset;
use ringlog_runtime::buffer::Slice;
use ringlog_runtime::environment::Environment;

use crate::disk::block_floor;
use crate::failure::ReadError;
use crate::log::cold::ColdRead;
use crate::log::state::LogState;
use crate::log::tail::Mark;
use crate::log::{LogShared, PartitionLog};
use crate::store::StoreShared;

/// What to do when the first batch alone is larger than was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AtLeastOne {
    /// Return it: a consumer must get on.
    Batch,
    /// Return nothing: others were served already.
    Nothing,
}

/// Records read.
#[derive(Clone, Debug, Default)]
pub struct ReadRecords {
    /// Whole batches, one behind the other.
    pub slices: Vec<Slice>,
    /// Bytes of all slices.
    pub bytes: usize,
    /// The first offset behind the records read; means nothing if there are none.
    pub end_offset: Offset,
}

/// A read that was planned. Holds nothing of the log borrowed.
pub struct ReadPlan<E: Environment> {
    log: PartitionLog<E>,
    bounds: ReadBounds,
    source: Source,
}

/// What a reader asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadBounds {
    pub from: Offset,
    pub end: Offset,
    pub bytes_max: usize,
    pub at_least_one: AtLeastOne,
}

enum Source {
    Memory(ReadRecords),
    File(FileExtent),
}

/// How far a segment's file may be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileExtent {
    pub segment: Offset,
    /// Batches end here: the rest is in memory, or the segment ends.
    pub limit: u64,
    /// The first offset that is not in this part of the file.
    pub limit_offset: Offset,
    /// The checksum of the block that is cut by the limit.
    pub last_block: LastBlock,
}

/// What is known of a block that may be read in part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LastBlock {
    /// Nothing.
    Unknown,
    /// The checksum of its bytes below the limit.
    Is(u32),
    /// The segment is sealed: the last in its checksum file.
    InFile,
}

impl<E: Environment> PartitionLog<E> {
    /// Plans to read whole batches from the one that holds `from` on, below `end`, up to `bytes_max` bytes.
    ///
    /// # Errors
    /// The log does not hold `from`, or is refused as a whole.
    pub fn plan_read(
        &self,
        from: Offset,
        end: Offset,
        bytes_max: usize,
        at_least_one: AtLeastOne,
    ) -> Result<ReadPlan<E>, ReadError> {
        let bounds = ReadBounds { from, end, bytes_max, at_least_one };
        let source = plan(&self.log, &bounds)?;
        Ok(ReadPlan { log: self.clone(), bounds, source })
    }

    /// About how many bytes `from..end` take; exact where they are in memory, and at least one where there is a
    /// record.
    pub fn readable_bytes(&self, from: Offset, end: Offset) -> usize {
        let state = self.log.state.borrow();
        let end = end.min(state.log_end_offset);
        if from >= end {
            return 0;
        }
        let (start, stop) = (place(&state, from), place(&state, end));
        let bytes = match start.0 == stop.0 {
            true => stop.2.saturating_sub(start.2),
            // Over segments: the rest of the first, all between, the begin of the last.
            false => stop.2 + (start.1 - start.2) + bytes_between(&state, start.0, stop.0),
        };
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }
}

/// The segment that holds an offset, its size, and about where in it the offset's batch begins.
fn place(state: &LogState, offset: Offset) -> (Offset, u64, u64) {
    let active = state.active();
    if offset >= state.log_end_offset {
        return (active.base_offset(), active.size(), active.size());
    }
    let is_in_memory = state.first_in_memory().is_some_and(|first| offset >= first.base_offset);
    if let Some((mark, _)) = state.tail.locate(offset).filter(|_| is_in_memory) {
        let size = state.open_segment(mark.segment).map_or(mark.position, |open| open.size());
        return (mark.segment, size, mark.position);
    }
    let (segment, next) = state.segment_of(offset);
    let (passed, span) = (offset.0 - segment.base_offset.0, next.0 - segment.base_offset.0);
    let share = passed.max(0) as f64 / span.max(1) as f64;
    (segment.base_offset, segment.size_bytes, (segment.size_bytes as f64 * share) as u64)
}

/// Bytes of all segments between two.
fn bytes_between(state: &LogState, after: Offset, before: Offset) -> u64 {
    let sealed = state.sealed.iter().map(|segment| (segment.base_offset, segment.size_bytes));
    let open = state.open.iter().map(|segment| (segment.base_offset(), segment.size()));
    sealed.chain(open).filter(|(base, _)| *base > after && *base < before).map(|(_, size)| size).sum()
}

fn plan(log: &LogShared, bounds: &ReadBounds) -> Result<Source, ReadError> {
    let state = log.state.borrow();
    if let Some(damage) = &state.damage {
        return Err(ReadError::Damaged(damage.clone()));
    }
    if state.is_closed {
        return Err(ReadError::Closed);
    }
    let (log_start_offset, log_end_offset) = (state.log_start_offset, state.log_end_offset);
    if bounds.from < log_start_offset || bounds.from > log_end_offset {
        return Err(ReadError::OffsetOutOfRange { asked: bounds.from, log_start_offset, log_end_offset });
    }
    let end = bounds.end.min(log_end_offset);
    if bounds.from >= end {
        return Ok(Source::Memory(ReadRecords::default()));
    }
    let first = state.first_in_memory();
    if first.is_some_and(|first| bounds.from >= first.base_offset) {
        let takes_first = bounds.at_least_one == AtLeastOne::Batch;
        let read = state.tail.read(bounds.from, end, bounds.bytes_max, takes_first);
        return Ok(Source::Memory(ReadRecords {
            slices: read.slices,
            bytes: read.bytes,
            end_offset: read.end_offset,
        }));
    }
    let (segment, next) = state.segment_of(bounds.from);
    let extent = match first.filter(|first| first.segment == segment.base_offset) {
        Some(first) => FileExtent {
            segment: segment.base_offset,
            limit: first.position,
            limit_offset: first.base_offset,
            last_block: last_block_in_memory(&state, first),
        },
        None => FileExtent {
            segment: segment.base_offset,
            limit: segment.size_bytes,
            limit_offset: next,
            last_block: last_block(&state, segment.base_offset),
        },
    };
    Ok(Source::File(extent))
}

/// The checksum of the block that the first batch in memory begins in, up to that batch.
fn last_block_in_memory(state: &LogState, first: Mark) -> LastBlock {
    let checksums = state.open_segment(first.segment).and_then(|open| open.growing.checksums.as_ref());
    let (Some(checksums), start) = (checksums, block_floor(first.position)) else {
        return LastBlock::Unknown;
    };
    if start == first.position {
        return LastBlock::Unknown;
    }
    let (mut position, mut checksum) = (start, 0);
    for part in state.tail.slices(first.segment, start, first.position) {
        checksum = checksums.seed().extend(position, checksum, &part, |_| {});
        position += part.len() as u64;
    }
    LastBlock::Is(checksum)
}

/// The checksum of the last, partial block of a segment.
fn last_block(state: &LogState, segment: Offset) -> LastBlock {
    match state.open_segment(segment) {
        None => LastBlock::InFile,
        Some(open) => {
            open.growing.checksums.as_ref().map_or(LastBlock::Unknown, |known| LastBlock::Is(known.open))
        }
    }
}

impl<E: Environment> ReadPlan<E> {
    /// Carries the plan out.
    ///
    /// # Errors
    /// Bytes on disk are damaged (then none of them is returned), the disk or memory refuses, or the log was
    /// deleted meanwhile.
    pub async fn execute(self) -> Result<ReadRecords, ReadError> {
        let ReadPlan { log, mut bounds, mut source } = self;
        loop {
            let extent = match source {
                Source::Memory(records) => return Ok(records),
                Source::File(extent) => extent,
            };
            let cold = ColdRead { log: &log, bounds, extent };
            match cold.read().await {
                // By now its files may have the names of another log's.
                _ if log.log.state.borrow().is_closed => return Err(ReadError::Closed),
                Ok(Some(records)) => return Ok(records),
                // Nothing at or above `from` in this segment: the offsets up to the next one were left out.
                Ok(None) => bounds.from = bounds.from.max(extent.limit_offset),
                Err(error) => return Err(deleted_meanwhile(&log.log, bounds.from, error)),
            }
            source = plan(&log.log, &bounds)?;
        }
    }
}

fn deleted_meanwhile(log: &LogShared, asked: Offset, error: ReadError) -> ReadError {
    let state = log.state.borrow();
    let (log_start_offset, log_end_offset) = (state.log_start_offset, state.log_end_offset);
    match error {
        _ if state.is_closed => ReadError::Closed,
        _ if asked < log_start_offset => {
            ReadError::OffsetOutOfRange { asked, log_start_offset, log_end_offset }
        }
        error => error,
    }
}

/// Names the store a plan belongs to, for tasks that outlive it.
pub(crate) fn store_of<E: Environment>(log: &PartitionLog<E>) -> &Rc<StoreShared<E>> {
    &log.store
}
