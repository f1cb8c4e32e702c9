//! Brings one log's bytes from memory into its segment files: one task per log while there is something to do,
//! one operation at a time, so that writes to a file never overlap.
//!
//! ```text
//!   oldest open segment ──► sealed? write all, cut to length, sync, index ──► summary
//!                      └──► active? direct write asked for ──► one stable write
//!                                   flush asked for        ──► write all, sync, index if there is much
//!                                                              ──► checkpoint may claim it, and keeps the little
//!                                   many whole blocks      ──► one large write, not synced
//! ```
//!
//! Always true: a step is planned under the borrow and executed after it; a failed step fences the store, and
//! nothing is reported of it. A step that found no room on the disk left the state as it was, and is planned anew. A crash between any two steps finds in the files a prefix of the truth plus
//! garbage behind it, and the checkpoint and journal know where the prefix ends.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, TaskClass, WriteSync};

use crate::disk::{block_ceil, block_floor, padded_slice_of, parent, replace_file, write_buffered};
use crate::format::checksums::{
    BLOCK_BYTES, CHECKSUM_BYTES, ChecksumHeader, Sealed, checksum_bytes, checksum_position, digest_append,
};
use crate::format::index::{IndexEntry, OffsetEntry, TimeEntry, index_bytes};
use crate::format::names::{SegmentFile, leader_epoch_checkpoint, segment_path};
use crate::log::LogShared;
use crate::log::segment::{GrowingSegment, IndexFiles};
use crate::log::state::{FlushTarget, LogState};
use crate::log::tail::Parts;
use crate::store::space::WhenSpent;
use crate::store::{StoreShared, passed_segments};

/// The next operation for a log.
enum Step {
    Idle,
    Create { segment: Offset },
    Allocate { segment: Offset, length: u64 },
    Write { segment: Offset, start: u64, end: u64, parts: Parts, rest: Vec<u8>, sync: WriteSync },
    Cut { segment: Offset, length: u64 },
    Sync { segment: Offset, end: u64 },
    Indexes { segment: Offset, offsets: Pending<OffsetEntry>, times: Pending<TimeEntry>, is_sealed: bool },
    Checksums { segment: Offset, checksums: PendingChecksums },
    Epochs { text: String },
    Sealed,
    Flushed,
}

/// Index entries to write and how many are in the file already.
struct Pending<T> {
    written: u32,
    entries: Vec<T>,
}

/// Checksums to write, how many are in the file already, and the header of a file that ends with them.
pub(crate) struct PendingChecksums {
    written: u32,
    checksums: Vec<u32>,
    header: ChecksumHeader,
}

/// Starts the log's writer if it has something to do and does not run.
pub(crate) fn kick<E: Environment>(store: &Rc<StoreShared<E>>, log: &Rc<LogShared>) {
    if std::mem::replace(&mut log.state.borrow_mut().writer.is_running, true) {
        return;
    }
    let (task_store, task_log) = (store.clone(), log.clone());
    store.env.spawn(TaskClass::Storage, async move { run(task_store, task_log).await });
}

/// Makes everything appended so far stable in the segment files; returns when it is, or when the store failed
/// or the log was deleted.
pub(crate) async fn flush<E: Environment>(store: &Rc<StoreShared<E>>, log: &Rc<LogShared>) {
    let wanted = {
        let mut state = log.state.borrow_mut();
        // A flush under way answers only what had asked before it reached the active segment.
        state.writer.flushes_wanted += 1;
        state.writer.flushes_wanted
    };
    kick(store, log);
    let is_over = || {
        let state = log.state.borrow();
        state.writer.flushes_done >= wanted || state.is_closed || store.failure().is_some()
    };
    log.changed.when(is_over).await;
}

async fn run<E: Environment>(store: Rc<StoreShared<E>>, log: Rc<LogShared>) {
    loop {
        if store.failure().is_some() {
            break;
        }
        let step = plan(&mut log.state.borrow_mut(), &store);
        if matches!(step, Step::Idle) {
            break;
        }
        match execute(&store, &log, step).await {
            Err(failure) if failure.is_out_of_space() => {
                if let Err(failure) = store.make_disk_room(WhenSpent::Wait, failure).await {
                    store.fail(failure);
                    break;
                }
                continue;
            }
            Err(failure) => {
                store.fail(failure);
                break;
            }
            Ok(()) => {}
        }
        store.progressed(&log);
        passed_segments::remove_soon(&store, &log);
        store.evict_if_crowded();
    }
    log.state.borrow_mut().writer.is_running = false;
    log.changed.notify();
}

fn plan<E: Environment>(state: &mut LogState, store: &StoreShared<E>) -> Step {
    if state.is_closed {
        return Step::Idle;
    }
    if state.open.len() > 1 { plan_sealed(state, store) } else { plan_active(state, store) }
}

/// A segment that takes no more batches: everything goes to its file, then it leaves memory.
fn plan_sealed<E: Environment>(state: &mut LogState, store: &StoreShared<E>) -> Step {
    let front = &state.open[0];
    let (segment, size) = (front.base_offset(), front.size());
    if front.written < size {
        return plan_write(state, store, 0, size, WriteSync::Later);
    }
    if !front.is_created {
        return Step::Create { segment };
    }
    if !front.is_cut {
        // A crash here: the file is longer than the segment. Recovery stops at the zeros behind it and goes on
        // in the next segment, whose name is the offset it stopped at.
        return Step::Cut { segment, length: size };
    }
    if front.synced < size {
        return Step::Sync { segment, end: size };
    }
    plan_indexes(state, 0, None).or_else(|| plan_checksums(state, 0, size)).unwrap_or(Step::Sealed)
}

fn plan_active<E: Environment>(state: &mut LogState, store: &StoreShared<E>) -> Step {
    let (segment, written) = (state.active().base_offset(), state.active().written);
    if std::mem::take(&mut state.writer.is_flush_next)
        && let Some(step) = plan_flush(state, store)
    {
        return step;
    }
    if let Some((wanted, until)) = state.writer.direct_until {
        if wanted == segment && until > written {
            state.writer.is_flush_next = true;
            // What was written behind before it waits for a sync in any case, which then covers this as well.
            let sync = if state.waits_for_sync() { WriteSync::Later } else { WriteSync::BeforeCompletion };
            return plan_write(state, store, 0, until, sync);
        }
        // Its segment was sealed and is drained, or all is written: partly perhaps without being stable, by a
        // flush that was under way.
        state.writer.direct_until = None;
        if state.waits_for_sync() {
            return Step::Sync { segment, end: written };
        }
    }
    if let Some(step) = plan_flush(state, store) {
        return step;
    }
    let limit = state.write_behind_limit();
    if limit.saturating_sub(block_floor(written)) >= store.write_behind_bytes() {
        return plan_write(state, store, 0, limit, WriteSync::Later);
    }
    Step::Idle
}

fn plan_flush<E: Environment>(state: &mut LogState, store: &StoreShared<E>) -> Option<Step> {
    if state.writer.flush.is_none() {
        if state.writer.flushes_wanted == state.writer.flushes_done {
            return None;
        }
        let files = match state.active().growing.unwritten_bytes() > store.unwritten_bytes_max() {
            true => IndexFiles::AreCompleted,
            false => IndexFiles::StayBehind,
        };
        let (answers, size, record) =
            (state.writer.flushes_wanted, state.active().size(), state.record(files));
        state.writer.flush = Some(FlushTarget { answers, size, record, files });
    }
    let target = state.writer.flush.as_ref().expect("just set");
    let (size, files, active) = (target.size, target.files, state.active());
    let counts = (target.record.offset_index_count, target.record.time_index_count);
    if active.base_offset().0 != target.record.segment_base_offset {
        // The segment was rolled while the flush was under way and is drained by now: begin anew.
        state.writer.flush = None;
        return plan_flush(state, store);
    }
    if active.written < size {
        return Some(plan_write(state, store, 0, size, WriteSync::Later));
    }
    if active.synced < size {
        return Some(Step::Sync { segment: active.base_offset(), end: active.written });
    }
    if files == IndexFiles::AreCompleted
        && let Some(step) = plan_indexes(state, 0, Some(counts)).or_else(|| plan_checksums(state, 0, size))
    {
        return Some(step);
    }
    if std::mem::take(&mut state.epochs_changed) {
        return Some(Step::Epochs { text: state.epochs.to_checkpoint() });
    }
    Some(Step::Flushed)
}

/// Writes an open segment up to `end`, from the start of the block that was last written in part.
fn plan_write<E: Environment>(
    state: &LogState,
    store: &StoreShared<E>,
    index: usize,
    end: u64,
    sync: WriteSync,
) -> Step {
    let open = &state.open[index];
    let segment = open.base_offset();
    if !open.is_created {
        return Step::Create { segment };
    }
    if block_ceil(end) > open.allocated {
        let step = store.allocate_step_bytes_max();
        return Step::Allocate { segment, length: state.allocation_for(open, end, step) };
    }
    let start = block_floor(open.written);
    let end = end.min(start + store.write_bytes_max());
    let (parts, rest) = state.blocks(segment, start, end);
    Step::Write { segment, start, end, parts, rest, sync }
}

/// Writes index entries that are not in their files yet, up to `counts` if a flush is limited to them.
fn plan_indexes(state: &LogState, index: usize, counts: Option<(u32, u32)>) -> Option<Step> {
    let open = &state.open[index];
    let growing = &open.growing;
    let offsets = pending(&growing.offsets, counts.map(|counts| counts.0));
    let times = pending(&growing.times, counts.map(|counts| counts.1));
    let is_complete = !open.is_sealed || open.is_indexed;
    if offsets.entries.is_empty() && times.entries.is_empty() && is_complete {
        return None;
    }
    Some(Step::Indexes { segment: open.base_offset(), offsets, times, is_sealed: open.is_sealed })
}

/// Writes the checksums of whole blocks below `size` that are not in their file yet; of a sealed segment all that is left.
fn plan_checksums(state: &LogState, index: usize, size: u64) -> Option<Step> {
    let open = &state.open[index];
    if open.is_summed {
        return None;
    }
    let checksums = pending_checksums(state.partition, &open.growing, size, open.is_sealed)?;
    Some(Step::Checksums { segment: open.base_offset(), checksums })
}

impl PendingChecksums {
    /// The content of a file that is written as a whole.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header.to_bytes()[..], &checksum_bytes(&self.checksums)].concat()
    }
}

/// The checksums of a segment that are to be written; `None` if there are none.
pub(crate) fn pending_checksums(
    partition: TopicPartition,
    growing: &GrowingSegment,
    size: u64,
    is_sealed: bool,
) -> Option<PendingChecksums> {
    let known = growing.checksums.as_ref()?;
    let whole = (size / BLOCK_BYTES).saturating_sub(u64::from(known.written)) as usize;
    let mut checksums = known.pending[..whole.min(known.pending.len())].to_vec();
    let mut header = ChecksumHeader { partition, base_offset: growing.base_offset, sealed: None };
    if is_sealed {
        let mut digest = known.digest;
        if !size.is_multiple_of(BLOCK_BYTES) {
            checksums.push(known.open);
            digest = digest_append(digest, known.open);
        }
        header.sealed = Some(Sealed { segment_bytes: size, digest });
    }
    let is_due = is_sealed || !checksums.is_empty();
    is_due.then_some(PendingChecksums { written: known.written, checksums, header })
}

fn pending<T: IndexEntry>(index: &super::segment::GrowingIndex<T>, count: Option<u32>) -> Pending<T> {
    let all = index.pending.len();
    let taken = count.map_or(all, |count| (count.saturating_sub(index.written) as usize).min(all));
    Pending { written: index.written, entries: index.pending[..taken].to_vec() }
}

async fn execute<E: Environment>(
    store: &Rc<StoreShared<E>>,
    log: &Rc<LogShared>,
    step: Step,
) -> Result<(), DiskFailure> {
    match step {
        Step::Idle => {}
        Step::Create { segment } => {
            let path = log_path(log, segment);
            store.files.open(&store.env, &path, OpenMode::DirectWrite).await?;
            // A crash here loses the name, and nothing was acknowledged that needs it.
            store.env.sync_directory(parent(&path)).await?;
            change(log, segment, |open| open.is_created = true);
        }
        Step::Allocate { segment, length } => {
            let file = store.files.open(&store.env, &log_path(log, segment), OpenMode::DirectWrite).await?;
            file.allocate(length).await?;
            change(log, segment, |open| {
                store.space.took(length.saturating_sub(open.allocated));
                open.allocated = length;
            });
        }
        Step::Write { segment, start, end, parts, rest, sync } => {
            let file = store.files.open(&store.env, &log_path(log, segment), OpenMode::DirectWrite).await?;
            let mut slices = parts.into_vec();
            if !rest.is_empty() {
                slices.push(padded_slice_of(&store.env, &rest).await);
            }
            file.write_at(start, slices, sync).await?;
            written(log, segment, start, end, sync);
            store.housekeeping.note_written(end - start, &store.config);
        }
        Step::Cut { segment, length } => {
            let file = store.files.open(&store.env, &log_path(log, segment), OpenMode::DirectWrite).await?;
            file.truncate(length).await?;
            change(log, segment, |open| {
                (open.is_cut, open.allocated) = (true, length);
                // The new length is not stable yet, whatever the bytes are.
                open.synced = open.synced.min(length.saturating_sub(1));
            });
        }
        Step::Sync { segment, end } => {
            let file = store.files.open(&store.env, &log_path(log, segment), OpenMode::DirectWrite).await?;
            file.sync().await?;
            change(log, segment, |open| open.synced = open.synced.max(end));
            log.state.borrow_mut().synced(segment, end);
        }
        Step::Indexes { segment, offsets, times, is_sealed } => {
            write_index(store, log, segment, SegmentFile::OffsetIndex, &offsets, is_sealed).await?;
            write_index(store, log, segment, SegmentFile::TimeIndex, &times, is_sealed).await?;
            change(log, segment, |open| {
                open.is_indexed |= is_sealed;
                open.growing.offsets.note_written(offsets.entries.len());
                open.growing.times.note_written(times.entries.len());
            });
        }
        Step::Checksums { segment, checksums } => {
            let path = segment_path(&log.directory, segment, SegmentFile::Checksums);
            let file = store.files.open(&store.env, &path, OpenMode::BufferedWrite).await?;
            write_checksums(&store.env, &path, &file, &checksums).await?;
            change(log, segment, |open| {
                // As it was when this was planned: of a segment that was sealed meanwhile the last checksum is still to come.
                open.is_summed |= checksums.header.sealed.is_some();
                note_written(&mut open.growing, &checksums);
            });
        }
        Step::Epochs { text } => {
            let path = leader_epoch_checkpoint(&log.directory);
            let replaced = replace_file(&store.env, &path, text.as_bytes()).await;
            replaced.inspect_err(|_| log.state.borrow_mut().epochs_changed = true)?;
        }
        Step::Sealed => {
            let mut state = log.state.borrow_mut();
            let open = state.open.pop_front().expect("it was planned for the front");
            state.sealed.push(open.summary());
            state.pass_segments();
        }
        Step::Flushed => {
            let mut state = log.state.borrow_mut();
            let flush = state.writer.flush.take().expect("it was under way");
            state.writer.flushes_done = flush.answers;
            state.checkpointed = flush.record;
        }
    }
    Ok(())
}

fn log_path(log: &LogShared, segment: Offset) -> PathBuf {
    segment_path(&log.directory, segment, SegmentFile::Log)
}

fn change(log: &LogShared, segment: Offset, change: impl FnOnce(&mut super::state::OpenSegment)) {
    if let Some(open) = log.state.borrow_mut().open_segment_mut(segment) {
        change(open);
    }
}

fn written(log: &LogShared, segment: Offset, start: u64, end: u64, sync: WriteSync) {
    let mut state = log.state.borrow_mut();
    let Some(open) = state.open_segment_mut(segment) else { return };
    open.written = open.written.max(end);
    if sync == WriteSync::BeforeCompletion {
        let run = open.note_stable_write(start, end);
        state.written_stable(segment, run.start, run.end);
    }
}

async fn write_index<E: Environment, T: IndexEntry>(
    store: &StoreShared<E>,
    log: &LogShared,
    segment: Offset,
    kind: SegmentFile,
    pending: &Pending<T>,
    is_sealed: bool,
) -> Result<(), DiskFailure> {
    let path = segment_path(&log.directory, segment, kind);
    // A sealed segment has both, even if one stays empty: Kafka's tools expect them, and a lost one is told from it.
    if pending.entries.is_empty() && !is_sealed {
        return Ok(());
    }
    let file = store.files.open(&store.env, &path, OpenMode::BufferedWrite).await?;
    let position = u64::from(pending.written) * T::BYTES as u64;
    write_buffered(&store.env, &file, position, &index_bytes(segment, &pending.entries)).await?;
    if is_sealed {
        file.truncate(position + (pending.entries.len() * T::BYTES) as u64).await?;
    }
    // Entries that a checkpoint counts are stable; a crash before leaves bytes that recovery writes over.
    file.sync().await?;
    if pending.written == 0 { store.env.sync_directory(&log.directory).await } else { Ok(()) }
}

/// Puts checksums into their file, stable.
pub(crate) async fn write_checksums<E: Environment>(
    env: &E,
    path: &Path,
    file: &E::File,
    pending: &PendingChecksums,
) -> Result<(), DiskFailure> {
    let PendingChecksums { written, checksums, header } = pending;
    let position = checksum_position(u64::from(*written));
    write_buffered(env, file, position, &checksum_bytes(checksums)).await?;
    if header.sealed.is_some() {
        file.truncate(position + (checksums.len() * CHECKSUM_BYTES) as u64).await?;
    }
    if *written == 0 || header.sealed.is_some() {
        write_buffered(env, file, 0, &header.to_bytes()).await?;
    }
    // As with the indexes: those that a checkpoint counts are stable, and what a crash leaves behind them is written over.
    file.sync().await?;
    if *written == 0 { env.sync_directory(parent(path)).await } else { Ok(()) }
}

/// These checksums are in their file.
pub(crate) fn note_written(growing: &mut GrowingSegment, pending: &PendingChecksums) {
    let Some(known) = &mut growing.checksums else { return };
    // That of a partial block is written only once a segment is sealed, and is none of these.
    let whole = pending.checksums.len().min(known.pending.len());
    known.written += whole as u32;
    known.pending.drain(..whole);
    if known.pending.is_empty() {
        known.pending = Vec::new();
    }
}
