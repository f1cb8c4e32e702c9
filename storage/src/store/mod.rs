//! All logs of one shard, with the journal and the checkpoints they share.
//!
//! ```text
//!   LogStore ─┬─ logs, by topic id and partition
//!             ├─ journal: one commit loop          (task, class Network)
//!             ├─ housekeeping: flushes, checkpoints (task, class Storage)
//!             ├─ scrubber: reads everything again    (task, class Compaction)
//!             └─ open files, loaded indexes, read-ahead: bounded, given up oldest first
//! ```
//!
//! Reading order: this file, `journal`, `checkpoints`; then `directories` (making and deleting logs),
//! `passed_segments` (removing what lies below a log's start), `space` (a full disk), `files`, `read_ahead`, `checksum_pages`,
//! `scrub`, `statistics`.
//!
//! Always true: after the first failed write or sync nothing is acknowledged, nothing is written, nothing is
//! tried again; reading goes on. A full disk is no failure. No borrow of a log's state lives across an await.

mod checkpoints;
pub(crate) mod checksum_pages;
pub(crate) mod directories;
mod files;
mod journal;
pub(crate) mod passed_segments;
pub(crate) mod read_ahead;
pub(crate) mod scrub;
pub(crate) mod space;
pub(crate) mod statistics;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_runtime::environment::{DiskFailure, Environment, TaskClass};

use crate::config::{Durability, StoreConfig};
use crate::failure::StoreFailure;
use crate::log::state::Appended;
use crate::log::{LogShared, PartitionLog, writer};
use crate::recovery::Recovered;
use crate::signal::Signal;
use checkpoints::Housekeeping;
use checksum_pages::ChecksumPages;
use directories::ClaimedDirectories;
use files::{FileCache, IndexCache};
use journal::Journal;
use read_ahead::ReadAhead;
use scrub::Scrubber;
use space::{Space, WhenSpent};
use statistics::StoreCounts;

/// I/O memory that cold reads leave free: some look-ups of indexes and checksums at the same time, which a read waits for while
/// it holds its blocks.
const LOOK_UP_BYTES: usize = 2 << 20;

/// A log's promise moved on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DurableAdvance {
    /// Whose.
    pub partition: TopicPartition,
    /// Everything below may be acknowledged.
    pub durable_end_offset: Offset,
}

/// Whether a store takes batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Open,
    Closing,
    Closed,
}

pub(crate) struct StoreShared<E: Environment> {
    pub env: E,
    pub data_dir: PathBuf,
    pub config: StoreConfig,
    /// Which start of the broker this is.
    pub start: u64,
    recovered: Arc<Recovered>,
    logs: RefCell<BTreeMap<TopicPartition, Rc<LogShared>>>,
    /// Directories being made or renamed.
    pub(crate) claimed_directories: ClaimedDirectories,
    /// Deleted logs that recovery's record still knows.
    deleted: RefCell<Vec<TopicPartition>>,
    failure: RefCell<Option<Rc<DiskFailure>>>,
    phase: Cell<Phase>,
    advances: RefCell<Vec<Rc<LogShared>>>,
    advanced: Signal,
    /// There may be room for another batch.
    pub room: Signal,
    undurable_bytes: Cell<usize>,
    cache_bytes: Cell<usize>,
    /// The log of each chunk in memory, in the order they were taken.
    cache_order: RefCell<VecDeque<Rc<LogShared>>>,
    pub files: FileCache<E>,
    pub indexes: IndexCache,
    pub read_ahead: ReadAhead,
    pub checksums: ChecksumPages,
    pub scrubber: Scrubber,
    pub(crate) journal: Journal<E>,
    pub(crate) space: Space<E>,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) counts: StoreCounts,
}

/// All logs of one shard. Clones are handles to the same store.
pub struct LogStore<E: Environment> {
    shared: Rc<StoreShared<E>>,
}

impl<E: Environment> Clone for LogStore<E> {
    fn clone(&self) -> LogStore<E> {
        LogStore { shared: self.shared.clone() }
    }
}

impl<E: Environment> LogStore<E> {
    /// Opens this shard's store in a data directory that was [recovered](crate::recover).
    ///
    /// # Errors
    /// The disk refuses.
    ///
    /// # Panics
    /// If the sizes in `config` contradict each other.
    pub async fn open(
        env: E,
        data_dir: &Path,
        config: StoreConfig,
        recovered: Arc<Recovered>,
    ) -> Result<LogStore<E>, StoreFailure> {
        config.expect_consistent();
        let journal = Journal::open(&env, data_dir, &config).await?;
        let space = Space::open(&env, data_dir, &config).await?;
        let shared = Rc::new(StoreShared {
            data_dir: data_dir.to_owned(),
            start: recovered.start(),
            recovered,
            logs: RefCell::default(),
            claimed_directories: ClaimedDirectories::default(),
            deleted: RefCell::default(),
            failure: RefCell::default(),
            phase: Cell::new(Phase::Open),
            advances: RefCell::default(),
            advanced: Signal::default(),
            room: Signal::default(),
            undurable_bytes: Cell::new(0),
            cache_bytes: Cell::new(0),
            cache_order: RefCell::default(),
            files: FileCache::new(config.open_files_max),
            indexes: IndexCache::new(config.index_cache_bytes_max),
            read_ahead: ReadAhead::new(config.read_ahead_windows_max),
            checksums: ChecksumPages::new(config.checksum_cache_bytes_max),
            scrubber: Scrubber::default(),
            journal,
            space,
            housekeeping: Housekeeping::default(),
            counts: StoreCounts::default(),
            env,
            config,
        });
        // No commit of this generation before the generation is on disk, twice.
        checkpoints::begin(&shared).await?;
        shared.env.spawn(TaskClass::Network, journal::run(shared.clone()));
        shared.env.spawn(TaskClass::Storage, journal::run_unhurried(shared.clone()));
        shared.env.spawn(TaskClass::Storage, checkpoints::run(shared.clone()));
        shared.env.spawn(TaskClass::Storage, space::run(shared.clone()));
        shared.env.spawn(TaskClass::Compaction, scrub::run(shared.clone()));
        shared.space.begin_waiting();
        Ok(LogStore { shared })
    }

    /// Opens the log of a partition, making its directory if there is none. Opening touches no file of a log
    /// that exists: what it holds is known from recovery.
    ///
    /// # Errors
    /// The disk refuses, or the store has failed or is closing.
    pub async fn create_log(
        &self,
        identity: crate::log::LogIdentity,
        config: crate::config::LogConfig,
    ) -> Result<PartitionLog<E>, StoreFailure> {
        let log = directories::create(&self.shared, identity, config).await?;
        Ok(PartitionLog { store: self.shared.clone(), log })
    }

    /// Deletes a log: it is gone when this returns, its files soon after.
    ///
    /// # Errors
    /// The disk refuses; the log takes no batches any more all the same.
    pub async fn delete_log(&self, log: &PartitionLog<E>) -> Result<(), StoreFailure> {
        directories::delete(&self.shared, &log.log).await
    }

    /// Waits until promises of logs moved on. Returns nothing as soon as the store failed; see
    /// [`LogStore::failure`]. For one task.
    pub async fn next_durable(&self) -> Vec<DurableAdvance> {
        let store = &self.shared;
        store
            .advanced
            .until(|| {
                if store.failure().is_some() {
                    return Some(Vec::new());
                }
                let logs = std::mem::take(&mut *store.advances.borrow_mut());
                (!logs.is_empty()).then(|| logs.iter().map(|log| take_advance(log)).collect())
            })
            .await
    }

    /// Brings everything appended so far into the segments, stable, and says so in a checkpoint.
    ///
    /// # Errors
    /// The store failed.
    pub async fn checkpoint(&self) -> Result<(), StoreFailure> {
        self.shared.housekeeping.checkpoint(&self.shared).await;
        self.shared.check()
    }

    /// Closes: takes no more batches, makes everything stable, cuts segments to their exact lengths and leaves a
    /// mark that lets the next start trust them.
    ///
    /// # Errors
    /// The store failed; the next start recovers.
    pub async fn close(&self) -> Result<(), StoreFailure> {
        let store = &self.shared;
        if store.phase.get() == Phase::Open {
            store.phase.set(Phase::Closing);
        }
        store.room.notify();
        store.journal.hurry();
        store.housekeeping.notify();
        store.scrubber.notify();
        store.advanced.when(|| store.is_over()).await;
        match store.failure() {
            Some(failure) => Err(StoreFailure::Fenced(failure)),
            None => Ok(()),
        }
    }

    /// Whether the disk has too little room for batches of clients. Everything else goes on: what a log is given it
    /// takes, and what must be written has a reserve.
    pub fn is_short_of_space(&self) -> bool {
        self.shared.space.is_short()
    }

    /// Gives up cached memory, as far as there is any, until so many bytes of I/O memory are free. What cannot go yet is written,
    /// to go when it is asked for again.
    pub fn make_memory_for(&self, bytes: usize) {
        self.shared.make_memory_for(bytes);
    }

    /// Looks at the disk soon, though nothing may be written here.
    pub fn look_at_disk(&self) {
        self.shared.space.note_use();
    }

    /// Completes when [`LogStore::is_short_of_space`] is no longer what it was.
    pub async fn space_changed(&self, was_short: bool) {
        self.shared.space.until_changed(was_short).await;
    }

    /// After an operation beside the logs found no room: gives a piece of the reserve back for it.
    ///
    /// # Errors
    /// There is none, or the disk refuses: it is not to be tried again.
    pub async fn make_disk_room(&self, failure: DiskFailure) -> Result<(), DiskFailure> {
        self.shared.make_disk_room(WhenSpent::GiveUp, failure).await
    }

    /// Something else in the data directory failed: nothing is written any more. Told here, unless another shard did.
    pub fn fail(&self, failure: DiskFailure) {
        self.shared.fail(failure);
    }

    /// Another shard's part of the data directory failed, and it told so.
    pub fn fence(&self, failure: DiskFailure) {
        self.shared.fence(failure);
    }

    /// Why the store takes nothing any more.
    pub fn failure(&self) -> Option<Rc<DiskFailure>> {
        self.shared.failure()
    }

    /// What all journal files may have together.
    pub fn journal_bytes_max(&self) -> u64 {
        self.shared.config.journal_bytes_max
    }
}

fn take_advance(log: &LogShared) -> DurableAdvance {
    let mut state = log.state.borrow_mut();
    state.is_announced = false;
    state.reported_end_offset = state.promised_end_offset();
    DurableAdvance { partition: state.partition, durable_end_offset: state.reported_end_offset }
}

impl<E: Environment> StoreShared<E> {
    pub fn failure(&self) -> Option<Rc<DiskFailure>> {
        self.failure.borrow().clone()
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn is_closing(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    /// Closed or failed: every task of the store ends.
    pub fn is_over(&self) -> bool {
        self.phase.get() == Phase::Closed || self.failure.borrow().is_some()
    }

    fn check(&self) -> Result<(), StoreFailure> {
        match self.failure() {
            Some(failure) => Err(StoreFailure::Fenced(failure)),
            None if self.phase() == Phase::Closed => Err(StoreFailure::Closed),
            None => Ok(()),
        }
    }

    /// Fences the store: the first failure is kept and told, everyone who waits is woken to see it.
    pub fn fail(&self, failure: DiskFailure) {
        if self.fence(failure) {
            let failure = self.failure().expect("just fenced");
            tracing::error!(%failure, operation = failure.operation, path = %failure.path.display(), shard = self.env.shard().0,
                "the data directory failed; nothing is written any more");
        }
    }

    /// As [`StoreShared::fail`], without a word; false if the store was fenced before.
    fn fence(&self, failure: DiskFailure) -> bool {
        let is_first = self.failure.borrow().is_none();
        if is_first {
            *self.failure.borrow_mut() = Some(Rc::new(failure));
        }
        self.wake_everyone();
        is_first
    }

    fn set_closed(&self) {
        self.phase.set(Phase::Closed);
        self.files.clear();
        self.wake_everyone();
    }

    fn wake_everyone(&self) {
        self.advanced.notify();
        self.room.notify();
        self.journal.notify();
        self.housekeeping.notify();
        self.space.notify();
        self.scrubber.notify();
        for log in self.all_logs() {
            log.changed.notify();
        }
    }

    pub fn all_logs(&self) -> Vec<Rc<LogShared>> {
        self.logs.borrow().values().cloned().collect()
    }

    /// Makes stable soon what nobody waits for.
    pub fn flush_soon(&self) {
        self.journal.hurry();
        self.housekeeping.flush_soon();
    }

    /// How many bytes of whole blocks make a write behind worth while.
    pub fn write_behind_bytes(&self) -> u64 {
        // Close to the bound of memory, anything is: only written bytes can be given up.
        if self.cache_bytes.get() * 4 > self.config.tail_cache_bytes_max * 3 {
            return crate::disk::BLOCK;
        }
        self.config.write_behind_bytes
    }

    /// How much of a log's index entries and checksums may stand in checkpoints instead of their files.
    pub fn unwritten_bytes_max(&self) -> usize {
        let share = self.config.unwritten_bytes_max / self.logs.borrow().len().max(1);
        share.min(self.config.unwritten_bytes_of_log_max)
    }

    /// By how much a segment file grows at most: where there is little room, by no more than it needs.
    pub fn allocate_step_bytes_max(&self) -> u64 {
        match self.space.is_short() {
            true => crate::disk::BLOCK,
            false => self.config.allocate_step_bytes_max,
        }
    }

    /// The largest single write to a segment.
    pub fn write_bytes_max(&self) -> u64 {
        (self.config.commit_bytes_max as u64).max(1 << 20)
    }

    /// Whether another batch may come: neither the disk nor memory is too far behind.
    pub fn has_room(&self) -> bool {
        self.undurable_bytes.get() < self.config.undurable_bytes_max
            && self.cache_bytes.get() < self.config.tail_cache_bytes_max
    }

    /// Starts whatever will make room.
    pub fn make_room(self: &Rc<Self>) {
        self.evict();
        if !self.has_room() {
            self.flush_oldest();
        }
    }

    /// Gives up what was read ahead and batches that are in their files until so many bytes of I/O memory are free besides those
    /// for look-ups, and writes what is in no file yet so that it can go later. Whether they are free now.
    pub fn make_memory_for(self: &Rc<Self>, bytes: usize) -> bool {
        if self.missing_memory(bytes) > 0 {
            self.read_ahead.give_up_windows();
            self.evict();
        }
        if self.missing_memory(bytes) > 0 {
            let target = self.cache_bytes.get().saturating_sub(self.missing_memory(bytes));
            self.evict_to(target);
            if self.cache_bytes.get() > target {
                self.flush_oldest();
            }
        }
        self.missing_memory(bytes) == 0
    }

    fn missing_memory(&self, bytes: usize) -> usize {
        let arena = self.env.arena();
        (arena.used_bytes() + bytes + LOOK_UP_BYTES).saturating_sub(arena.bytes_max())
    }

    fn flush_oldest(self: &Rc<Self>) {
        self.flush_soon();
        let oldest = self.cache_order.borrow().front().cloned();
        if let Some(log) = oldest {
            // The oldest memory may be a partial block, which only a flush brings into its file.
            log.state.borrow_mut().writer.flushes_wanted += 1;
            writer::kick(self, &log);
        }
    }

    /// A batch is in memory: put it on its way.
    pub fn appended(self: &Rc<Self>, log: &Rc<LogShared>, appended: &Appended) {
        self.undurable_bytes.set(self.undurable_bytes.get() + appended.size);
        self.cache_bytes.set(self.cache_bytes.get() + appended.taken.bytes);
        let chunks = std::iter::repeat_n(log.clone(), appended.taken.chunks);
        self.cache_order.borrow_mut().extend(chunks);
        self.hand_over_if_large(log);
        let (is_first_queued, durability, writes_behind) = {
            let mut state = log.state.borrow_mut();
            let is_first =
                !state.queued.is_empty() && !std::mem::replace(&mut state.is_in_journal_queue, true);
            let unwritten = state.write_behind_limit().saturating_sub(state.active().written);
            (
                is_first,
                state.config.durability,
                unwritten >= self.write_behind_bytes() || state.open.len() > 1,
            )
        };
        if is_first_queued {
            match durability {
                Durability::Durable => self.journal.enqueue(log),
                Durability::Relaxed => self.journal.enqueue_unhurried(log),
            }
        }
        if writes_behind {
            writer::kick(self, log);
        }
        self.housekeeping.note_append(|| self.env.now());
        self.space.note_use();
        self.announce(log);
        if self.cache_bytes.get() > self.config.tail_cache_bytes_max {
            self.evict();
        }
    }

    /// A note is queued: put it on its way to the journal.
    pub fn note_queued(&self, log: &Rc<LogShared>) {
        match std::mem::replace(&mut log.state.borrow_mut().is_in_journal_queue, true) {
            true => self.journal.hurry(),
            false => self.journal.enqueue(log),
        }
        self.housekeeping.note_append(|| self.env.now());
        self.space.note_use();
    }

    /// Sends a log to write its queued batches to its segment itself, if they are many. A relaxed log does so in its own
    /// time; until it begins, what comes behind them would not be stable any sooner by being in the journal.
    pub fn hand_over_if_large(self: &Rc<Self>, log: &Rc<LogShared>) {
        let durability = {
            let mut state = log.state.borrow_mut();
            let durability = state.config.durability;
            let is_large = state.queued_bytes >= self.config.direct_bytes_min;
            let goes_by_journal =
                durability == Durability::Durable || !state.waits_for_file() || state.writer.is_catching_up;
            if !is_large && goes_by_journal {
                return;
            }
            state.hand_over_to_writer();
            durability
        };
        match durability {
            Durability::Durable => writer::kick(self, log),
            Durability::Relaxed => self.housekeeping.note_handed_over(|| self.env.now()),
        }
    }

    /// The journal or the log's writer got on: move the stable end, tell.
    pub fn progressed(self: &Rc<Self>, log: &Rc<LogShared>) {
        let (released, note_wanted, writes_behind) = {
            let mut state = log.state.borrow_mut();
            let released = state.release() as usize;
            let unwritten = state.write_behind_limit().saturating_sub(state.active().written);
            (released, state.note_wanted, unwritten >= self.write_behind_bytes())
        };
        self.undurable_bytes.set(self.undurable_bytes.get() - released);
        if note_wanted {
            self.note_durable_end(log);
        }
        self.announce(log);
        if writes_behind {
            writer::kick(self, log);
        }
        log.changed.notify();
        self.room.notify();
    }

    /// Gives up memory if half of the bound is in use. Once for many logs that got on: where most of it cannot
    /// go yet, each look passes over the same ones.
    pub fn evict_if_crowded(&self) {
        if self.cache_bytes.get() > self.config.tail_cache_bytes_max / 2 {
            self.evict();
        }
    }

    fn note_durable_end(&self, log: &Rc<LogShared>) {
        if !std::mem::replace(&mut log.state.borrow_mut().is_note_queued, true) {
            self.journal.note_durable_end(log);
        }
    }

    fn announce(&self, log: &Rc<LogShared>) {
        {
            let mut state = log.state.borrow_mut();
            if state.promised_end_offset() <= state.reported_end_offset || state.is_announced {
                return;
            }
            state.is_announced = true;
        }
        self.advances.borrow_mut().push(log.clone());
        self.advanced.notify();
    }

    /// Gives up the oldest memory that is in files already, until half of the bound is in use. Memory that
    /// cannot go yet is passed over, a few times.
    pub fn evict(&self) {
        self.evict_to(self.config.tail_cache_bytes_max / 2);
    }

    fn evict_to(&self, target: usize) {
        let mut order = self.cache_order.borrow_mut();
        let mut kept: Vec<Rc<LogShared>> = Vec::new();
        while self.cache_bytes.get() > target && kept.len() < 64 {
            let Some(log) = order.pop_front() else { break };
            let given_back = log.state.borrow_mut().evict_oldest_chunk();
            match given_back {
                Some(bytes) => self.cache_bytes.set(self.cache_bytes.get() - bytes),
                None if log.state.borrow().tail.oldest_segment().is_some() => kept.push(log),
                None => {}
            }
        }
        kept.into_iter().rev().for_each(|log| order.push_front(log));
    }

    fn deleted(&self) -> Vec<([u8; 16], i32)> {
        self.deleted.borrow().iter().map(|id| (id.topic.0, id.partition.0)).collect()
    }

    /// Another file may come to have the name of a file, or of one in a directory.
    pub(crate) fn forget_files(&self, path: &Path) {
        self.files.forget(path);
        self.indexes.forget(path);
    }

    /// A deleted log gives everything back.
    fn forget(&self, log: &Rc<LogShared>) {
        let memory = {
            let mut state = log.state.borrow_mut();
            let undurable: u64 =
                state.pending.iter().map(|pending| pending.end_position - pending.position).sum();
            self.undurable_bytes.set(self.undurable_bytes.get() - undurable as usize);
            state.pending.clear();
            state.queued.clear();
            state.queued_bytes = 0;
            state.tail.clear()
        };
        self.cache_bytes.set(self.cache_bytes.get() - memory);
        self.cache_order.borrow_mut().retain(|other| !Rc::ptr_eq(other, log));
        self.logs.borrow_mut().remove(&log.identity.id);
        if self.recovered.partition(log.identity.id).is_some() {
            self.deleted.borrow_mut().push(log.identity.id);
        }
        self.forget_files(&log.directory);
        self.read_ahead.forget(log.identity.id);
        self.checksums.forget(log.identity.id);
        // Whoever waited for its batches waits for none now, and a failure would not be told to it any more.
        log.changed.notify();
        self.room.notify();
    }
}
