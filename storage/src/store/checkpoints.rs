//! Flushing and checkpoints: what moves the journal's worth into the segments and frees it.
//!
//! ```text
//!   journal a quarter full, much written to segments, too long ago, asked for, or closing
//!     ──► note the last stable commit ──► flush dirty logs, some at a time ──► write the checkpoint
//!     ──► the checkpoint before it becomes the older of two ──► free the journal up to the older one
//! ```
//!
//! Always true: a checkpoint claims of a log only what was stable in its segments before the checkpoint was
//! written; it names a commit whose batches, and those of all commits before it, are among that. Either of the
//! two kept checkpoints is enough to recover from. Each names every log of the shard, damaged ones included.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;
use ringlog_core::time::Instant;
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode};

use crate::config::StoreConfig;
use crate::disk::{replace_file, write_buffered};
use crate::format::checkpoint::CheckpointBody;
use crate::format::index::{IndexEntry, index_bytes};
use crate::format::names::{SegmentFile, segment_path, shard_checkpoint};
use crate::log::LogShared;
use crate::log::segment::{GrowingIndex, IndexFiles};
use crate::log::writer::{flush, kick, pending_checksums, write_checksums};
use crate::signal::Signal;
use crate::store::journal::JournalMark;
use crate::store::space::WhenSpent;
use crate::store::{Phase, StoreShared};

/// Logs that a checkpoint flushes at the same time: a file system shares one commit of its own among syncs that
/// come together.
const FLUSHES_AT_ONCE: usize = 16;

/// When to do what.
#[derive(Default)]
pub(crate) struct Housekeeping {
    signal: Signal,
    /// Checkpoints asked for and finished, counted.
    wanted: Cell<u64>,
    done: Cell<u64>,
    flush_wanted: Cell<bool>,
    /// Since when something is not in a checkpoint.
    dirty_since: Cell<Option<Instant>>,
    /// Since when something of a relaxed log is not stable in its file, and will not be in the journal.
    handed_over_since: Cell<Option<Instant>>,
    /// Written to segments since the last checkpoint began.
    segment_bytes: Cell<u64>,
    number: Cell<u64>,
    /// What the newest checkpoint on disk says of the journal.
    newest: Cell<JournalMark>,
}

impl Housekeeping {
    pub fn notify(&self) {
        self.signal.notify();
    }

    /// A batch was appended at `now`.
    pub fn note_append(&self, now: impl FnOnce() -> Instant) {
        self.note_since(&self.dirty_since, now);
    }

    /// Batches of a relaxed log go to its file only, since `now`.
    pub fn note_handed_over(&self, now: impl FnOnce() -> Instant) {
        self.note_since(&self.handed_over_since, now);
    }

    fn note_since(&self, since: &Cell<Option<Instant>>, now: impl FnOnce() -> Instant) {
        if since.get().is_none() {
            since.set(Some(now()));
            self.signal.notify();
        }
    }

    /// So much was written to a segment.
    pub fn note_written(&self, bytes: u64, config: &StoreConfig) {
        self.segment_bytes.set(self.segment_bytes.get() + bytes);
        if self.has_much_to_scan(config) {
            self.signal.notify();
        }
    }

    /// Whether a start after a crash would read longer than it should.
    fn has_much_to_scan(&self, config: &StoreConfig) -> bool {
        self.segment_bytes.get() > config.checkpoint_bytes
    }

    /// Writes every log that waits for its file soon.
    pub fn flush_soon(&self) {
        self.flush_wanted.set(true);
        self.signal.notify();
    }

    /// Asks for a checkpoint and waits until one that began later is done.
    pub async fn checkpoint<E: Environment>(&self, store: &StoreShared<E>) {
        self.wanted.set(self.wanted.get() + 1);
        let wanted = self.wanted.get();
        self.signal.notify();
        self.signal.when(|| self.done.get() >= wanted || store.is_over()).await;
    }
}

/// Writes both checkpoint files anew, so that this start's generation is known twice before its first commit.
pub(crate) async fn begin<E: Environment>(store: &Rc<StoreShared<E>>) -> Result<(), DiskFailure> {
    for _ in 0..2 {
        write(store, JournalMark::default(), false).await?;
    }
    Ok(())
}

/// Runs until the store is closed or fails.
pub(crate) async fn run<E: Environment>(store: Rc<StoreShared<E>>) {
    while !store.is_over() {
        wait(&store).await;
        if let Err(failure) = work(&store).await {
            store.fail(failure);
        }
    }
}

async fn wait<E: Environment>(store: &Rc<StoreShared<E>>) {
    let keeping = &store.housekeeping;
    let due = || next_due(store);
    let before = due();
    let has_work = || is_due(store) || store.is_over() || due() != before;
    match before {
        None => keeping.signal.when(has_work).await,
        Some(at) => {
            let asked = std::pin::pin!(keeping.signal.when(has_work));
            let timer = std::pin::pin!(store.env.sleep_until(at));
            match select(asked, timer).await {
                Either::Left(_) | Either::Right(_) => {}
            }
        }
    }
}

fn next_due<E: Environment>(store: &StoreShared<E>) -> Option<Instant> {
    let keeping = &store.housekeeping;
    let checkpoint = keeping.dirty_since.get().map(|since| since + store.config.checkpoint_interval);
    let flush = keeping.handed_over_since.get().map(|since| since + store.config.relaxed_flush_interval);
    [checkpoint, flush].into_iter().flatten().min()
}

/// Whether something is to be done without waiting for a time.
fn is_due<E: Environment>(store: &StoreShared<E>) -> bool {
    let keeping = &store.housekeeping;
    keeping.wanted.get() > keeping.done.get()
        || keeping.flush_wanted.get()
        || store.journal.wants_checkpoint(&store.config)
        || keeping.has_much_to_scan(&store.config)
        || (store.phase() == Phase::Closing && store.journal.is_idle())
}

async fn work<E: Environment>(store: &Rc<StoreShared<E>>) -> Result<(), DiskFailure> {
    let keeping = &store.housekeeping;
    if store.is_over() {
        return Ok(());
    }
    if store.phase() == Phase::Closing && store.journal.is_idle() {
        return close(store).await;
    }
    let now = store.env.now();
    let is_past = |since: Option<Instant>, after| since.is_some_and(|since| since + after <= now);
    let checkpoint_due = keeping.wanted.get() > keeping.done.get()
        || store.journal.wants_checkpoint(&store.config)
        || keeping.has_much_to_scan(&store.config)
        || is_past(keeping.dirty_since.get(), store.config.checkpoint_interval);
    if checkpoint_due {
        return checkpoint(store).await;
    }
    let is_wanted = keeping.flush_wanted.replace(false);
    if is_wanted || is_past(keeping.handed_over_since.get(), store.config.relaxed_flush_interval) {
        keeping.handed_over_since.set(None);
        write_handed_over(store).await;
    }
    Ok(())
}

/// Makes stable in their files what does not go by the journal.
async fn write_handed_over<E: Environment>(store: &Rc<StoreShared<E>>) {
    let write_if_waiting = |log: Rc<LogShared>| async move {
        let end_offset = log.state.borrow().log_end_offset;
        let is_waiting = || {
            let state = log.state.borrow();
            state.waits_for_file_below(end_offset) && !state.is_closed && store.failure().is_none()
        };
        if is_waiting() {
            log.state.borrow_mut().write_stable();
            log.state.borrow_mut().writer.is_catching_up = true;
            kick(store, &log);
            log.changed.when(|| !is_waiting()).await;
            log.state.borrow_mut().writer.is_catching_up = false;
        }
    };
    stream::iter(store.all_logs()).for_each_concurrent(FLUSHES_AT_ONCE, write_if_waiting).await;
}

async fn checkpoint<E: Environment>(store: &Rc<StoreShared<E>>) -> Result<(), DiskFailure> {
    let keeping = &store.housekeeping;
    let answers = keeping.wanted.get();
    let began = store.env.now();
    keeping.dirty_since.set(None);
    keeping.segment_bytes.set(0);
    store.journal.checkpoint_begins();
    // Every batch of this commit and those before was appended before now, so the flushes below cover it.
    let mark = store.journal.committed();
    flush_dirty(store).await;
    if store.failure().is_some() {
        return Ok(());
    }
    write(store, mark, false).await?;
    store.counts.checkpointed(store.env.now().since(began));
    keeping.done.set(answers);
    keeping.signal.notify();
    Ok(())
}

async fn flush_dirty<E: Environment>(store: &Rc<StoreShared<E>>) {
    let flush_if_dirty = |log: Rc<LogShared>| async move {
        let is_dirty = log.state.borrow().is_dirty();
        if is_dirty && store.failure().is_none() {
            flush(store, &log).await;
        }
    };
    stream::iter(store.all_logs()).for_each_concurrent(FLUSHES_AT_ONCE, flush_if_dirty).await;
}

/// Replaces the older of the two checkpoint files, then frees the journal up to the other one.
async fn write<E: Environment>(
    store: &Rc<StoreShared<E>>,
    mark: JournalMark,
    is_clean: bool,
) -> Result<(), DiskFailure> {
    let keeping = &store.housekeeping;
    let number = keeping.number.get() + 1;
    let logs = store.all_logs();
    // A damaged log is among them, with what is true of it since before: without that a start would go by the record of
    // the start before, which knows nothing of records deleted since, while their files are gone. The journal need not be
    // kept for it: a log takes no batch before the block that it ends in was read, and it is then that damage is found.
    let records = logs.iter().filter_map(|log| {
        let state = log.state.borrow();
        (!state.is_closed).then(|| state.checkpointed.clone())
    });
    let body = CheckpointBody {
        start: store.start,
        number,
        shard_count: store.env.shard_count(),
        is_clean,
        generation: store.journal.generation(),
        sequence: mark.sequence,
        checksum: mark.checksum,
        partitions: records.collect(),
        deleted: store.deleted(),
    };
    let path = shard_checkpoint(&store.data_dir, store.env.shard().0, number);
    // A crash here, or while the file is replaced: the other file, which is newer than what is replaced, stays
    // valid, and the journal still holds everything since.
    let bytes = body.to_bytes();
    store.with_room(WhenSpent::Wait, async || replace_file(&store.env, &path, &bytes).await).await?;
    keeping.number.set(number);
    let older = keeping.newest.replace(mark);
    store.journal.free_up_to(older.sequence);
    Ok(())
}

/// The last thing a store does: afterwards the segments alone hold everything, at their exact lengths.
async fn close<E: Environment>(store: &Rc<StoreShared<E>>) -> Result<(), DiskFailure> {
    flush_dirty(store).await;
    if store.failure().is_some() {
        return Ok(());
    }
    for log in store.all_logs() {
        log.changed.when(|| !log.state.borrow().writer.is_running).await;
        store.with_room(WhenSpent::Wait, async || finish(store, &log).await).await?;
    }
    // A crash here: not clean, so the next start scans; it finds the same ends.
    write(store, store.journal.committed(), true).await?;
    store.set_closed();
    Ok(())
}

/// Cuts a log's active segment to its length and completes its indexes.
async fn finish<E: Environment>(store: &Rc<StoreShared<E>>, log: &Rc<LogShared>) -> Result<(), DiskFailure> {
    let (segment, size, offsets, times, checksums) = {
        let mut state = log.state.borrow_mut();
        let active = state.active();
        // A segment begun and still empty has no file yet.
        let is_exact =
            active.is_created && active.allocated == active.size() && active.growing.unwritten_bytes() == 0;
        if state.damage.is_some() || state.is_closed || is_exact {
            return Ok(());
        }
        assert!(state.open.len() == 1 && state.pending.is_empty(), "a closing log was flushed");
        let active = state.active_mut();
        active.growing.note_timestamp();
        let (partition, growing) = (log.identity.id, &state.active().growing);
        let checksums = pending_checksums(partition, growing, growing.size, false);
        (growing.base_offset, growing.size, growing.offsets.clone(), growing.times.clone(), checksums)
    };
    let path = segment_path(&log.directory, segment, SegmentFile::Log);
    let file = store.files.open(&store.env, &path, OpenMode::DirectWrite).await?;
    file.truncate(size).await?;
    file.sync().await?;
    write_index(store, log, segment, SegmentFile::OffsetIndex, &offsets).await?;
    write_index(store, log, segment, SegmentFile::TimeIndex, &times).await?;
    if let Some(checksums) = checksums {
        let path = segment_path(&log.directory, segment, SegmentFile::Checksums);
        let file = store.files.open(&store.env, &path, OpenMode::BufferedWrite).await?;
        write_checksums(&store.env, &path, &file, &checksums).await?;
    }
    store.env.sync_directory(&log.directory).await?;
    let mut state = log.state.borrow_mut();
    let active = state.active_mut();
    active.allocated = size;
    state.checkpointed = state.record(IndexFiles::AreCompleted);
    Ok(())
}

async fn write_index<E: Environment, T: IndexEntry>(
    store: &StoreShared<E>,
    log: &LogShared,
    segment: ringlog_core::ids::Offset,
    kind: SegmentFile,
    index: &GrowingIndex<T>,
) -> Result<(), DiskFailure> {
    let path = segment_path(&log.directory, segment, kind);
    // Created even if it stays empty: Kafka's tools expect both.
    let file = store.files.open(&store.env, &path, OpenMode::BufferedWrite).await?;
    let position = u64::from(index.written) * T::BYTES as u64;
    write_buffered(&store.env, &file, position, &index_bytes(segment, &index.pending)).await?;
    file.truncate(position + (index.pending.len() * T::BYTES) as u64).await?;
    file.sync().await
}
