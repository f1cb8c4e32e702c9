//! One partition's log on the shard that owns it.
//!
//! ```text
//!   append ──► state (memory) ──► journal queue ──► durable
//!                  │  └──► writer: segment files
//!   plan_read ──► memory, or cold: index, direct reads, checksums
//! ```
//!
//! Reading order:
//! - [`PartitionLog`]: what the broker holds
//! - `state`: what a log is at one moment; `segment`, `tail`: its growing segment and its bytes in memory
//! - `writer`: from memory into files; [`read`], `cold`, `blocks`, `lookup`, `largest_timestamp`: back out
//! - `scrubbing`: looking at segments again
//! - `retiring`: giving up the oldest segments, as `retention` plans it

mod blocks;
mod cold;
mod largest_timestamp;
mod lookup;
pub mod read;
mod retiring;
mod scrubbing;
pub(crate) mod segment;
pub(crate) mod state;
pub(crate) mod tail;
pub(crate) mod writer;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use ringlog_core::ids::{LeaderEpoch, Offset, TopicName, TopicPartition};
use ringlog_core::producer_state::ProducerStates;
use ringlog_core::record_batch::AssignedBatch;
use ringlog_core::time::Timestamp;
use ringlog_runtime::buffer::ArenaFull;
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode};

use crate::config::{Durability, LogConfig};
use crate::disk::{block_floor, buffer};
use crate::failure::{AppendError, Damage, ReadError};
use crate::format::names::{SegmentFile, segment_path};
use crate::log::state::{Appended, LogState};
use crate::log::tail::Tail;
use crate::signal::Signal;
use crate::store::StoreShared;

pub use retiring::RetiredSegment;

/// Whose log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogIdentity {
    /// The topic's name: what the directory is called.
    pub topic: TopicName,
    /// The partition, by topic id: what the log is.
    pub id: TopicPartition,
}

/// One segment, for whoever decides what to delete or compact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSummary {
    /// The offset it is named for.
    pub base_offset: Offset,
    /// Its size.
    pub size_bytes: u64,
    /// Its largest timestamp; `None` for a sealed segment of an earlier start that was not looked into yet.
    pub max_timestamp: Option<Timestamp>,
    /// When it was last written to, as far as that is known: what ages a segment whose records have no timestamps.
    pub written_at: Option<Timestamp>,
}

impl SegmentSummary {
    /// A sealed segment as a start finds it: nothing is known but its name and its length.
    pub(crate) fn found(base_offset: Offset, size_bytes: u64) -> SegmentSummary {
        SegmentSummary { base_offset, size_bytes, max_timestamp: None, written_at: None }
    }
}

/// A record found by time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimestampOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its own timestamp.
    pub timestamp: Timestamp,
    /// The epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

pub(crate) struct LogShared {
    pub identity: LogIdentity,
    pub directory: PathBuf,
    pub state: RefCell<LogState>,
    /// The writer did something, the log was loaded, or all is over.
    pub changed: Signal,
}

/// One partition's log. Clones are handles to the same log; they stay on its shard.
pub struct PartitionLog<E: Environment> {
    pub(crate) store: Rc<StoreShared<E>>,
    pub(crate) log: Rc<LogShared>,
}

impl<E: Environment> Clone for PartitionLog<E> {
    fn clone(&self) -> PartitionLog<E> {
        PartitionLog { store: self.store.clone(), log: self.log.clone() }
    }
}

/// A log being loaded; whoever waits for it looks again when this ends, however it ends.
struct Loading<'l>(&'l LogShared);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.state.borrow_mut().is_loading = false;
        self.0.changed.notify();
    }
}

/// The partly filled block that a log ends in, as it was read.
enum Prefix {
    Whole(Vec<u8>),
    Damaged(Damage),
}

impl<E: Environment> PartitionLog<E> {
    /// Appends a leader's next batch: into memory and on its way to stable storage. Synchronous; call it after
    /// [`PartitionLog::ready`] returned.
    ///
    /// # Errors
    /// The log is as before.
    ///
    /// # Panics
    /// If the batch does not continue exactly where the log ends.
    pub fn append(&self, batch: &AssignedBatch<'_>) -> Result<(), AppendError> {
        assert_eq!(
            batch.header().base_offset(),
            self.log_end_offset(),
            "a leader's next batch starts where its log ends"
        );
        self.append_given(batch)
    }

    /// Appends a batch that has its offsets already: they grow, and may leave some out.
    ///
    /// # Errors
    /// As [`PartitionLog::append`]; also offsets or epochs that go back.
    pub fn append_given(&self, batch: &AssignedBatch<'_>) -> Result<(), AppendError> {
        self.check_open()?;
        let appended = match self.append_in_memory(batch)? {
            Ok(appended) => appended,
            Err(full) => {
                // Caches give way to what comes in.
                self.store.make_memory_for(full.requested_bytes);
                self.append_in_memory(batch)?.map_err(|_| AppendError::NoRoom)?
            }
        };
        self.store.appended(&self.log, &appended);
        Ok(())
    }

    /// Puts a batch behind the others, if there is memory for it.
    fn append_in_memory(
        &self,
        batch: &AssignedBatch<'_>,
    ) -> Result<Result<Appended, ArenaFull>, AppendError> {
        let mut state = self.log.state.borrow_mut();
        check_order(&state, batch)?;
        if !state.is_loaded {
            return Err(AppendError::NoRoom);
        }
        let bytes = [batch.header_bytes().as_slice(), batch.body()];
        let (arena, chunk_bytes_max) = (self.store.env.arena(), self.store.config.chunk_bytes_max);
        Ok(state.append(arena, chunk_bytes_max, batch.header(), bytes, self.store.env.wall_clock()))
    }

    /// Whether another batch can be appended now: what [`PartitionLog::ready`] waits for.
    pub fn is_ready(&self) -> bool {
        self.check_open().is_ok() && self.log.state.borrow().is_loaded && self.store.has_room()
    }

    /// Waits until another batch can be appended: the log is loaded, and not too much waits for the disk.
    /// Returns at once if so.
    ///
    /// # Errors
    /// It will never be.
    pub async fn ready(&self) -> Result<(), AppendError> {
        loop {
            self.check_open()?;
            if !self.log.state.borrow().is_loaded {
                self.load().await?;
                continue;
            }
            if self.store.has_room() {
                return Ok(());
            }
            self.store.make_room();
            self.store.room.when(|| self.store.has_room() || self.check_open().is_err()).await;
        }
    }

    /// Waits until the log can be read.
    ///
    /// # Errors
    /// It is damaged, deleted or closed.
    pub async fn ready_to_read(&self) -> Result<(), ReadError> {
        let state = self.log.state.borrow();
        match &state.damage {
            Some(damage) => Err(ReadError::Damaged(damage.clone())),
            None if state.is_closed => Err(ReadError::Closed),
            None => Ok(()),
        }
    }

    /// Why the data directory it lies in takes nothing any more.
    pub fn failure(&self) -> Option<Rc<DiskFailure>> {
        self.store.failure()
    }

    /// Whether the disk it lies on has too little room for batches of clients.
    pub fn is_short_of_space(&self) -> bool {
        self.store.space.is_short()
    }

    fn check_open(&self) -> Result<(), AppendError> {
        if let Some(failure) = self.store.failure() {
            return Err(AppendError::Failed(failure));
        }
        let state = self.log.state.borrow();
        match &state.damage {
            Some(damage) => Err(AppendError::Damaged(damage.clone())),
            None if state.is_closed || self.store.is_closing() => Err(AppendError::Closed),
            None => Ok(()),
        }
    }

    /// Reads the last, partly filled block of the active segment: what the next append continues.
    async fn load(&self) -> Result<(), AppendError> {
        if std::mem::replace(&mut self.log.state.borrow_mut().is_loading, true) {
            let log = &self.log;
            log.changed.when(|| !log.state.borrow().is_loading).await;
            return Ok(());
        }
        // Also where this future is dropped on the way: others who wait then load themselves.
        let _loading = Loading(&self.log);
        let loaded = self.read_partial_block().await;
        let mut state = self.log.state.borrow_mut();
        let result = match loaded {
            // Begun anew in another segment meanwhile: the block read belongs to the old one.
            _ if state.is_loaded => Ok(()),
            // What came of the block is none to go on in: what is there stays, and what comes begins behind it.
            Ok(Prefix::Damaged(damage)) => {
                tracing::error!(%damage, "the last block of a log is damaged; it goes on in another segment");
                state.roll_behind_end(self.store.env.wall_clock());
                drop(state);
                writer::kick(&self.store, &self.log);
                return Ok(());
            }
            Ok(Prefix::Whole(prefix)) => {
                state.tail = Tail::with_prefix(prefix);
                state.is_loaded = true;
                Ok(())
            }
            Err(AppendError::Damaged(damage)) => {
                // Checkpoints rely on it: nothing of a damaged log is in the journal alone.
                assert!(state.pending.is_empty(), "a log takes no batch before it was loaded");
                state.damage = Some(damage.clone());
                Err(AppendError::Damaged(damage))
            }
            Err(other) => Err(other),
        };
        drop(state);
        result
    }

    async fn read_partial_block(&self) -> Result<Prefix, AppendError> {
        let (segment, size) = {
            let state = self.log.state.borrow();
            (state.active().base_offset(), state.active().size())
        };
        let (env, start) = (&self.store.env, block_floor(size));
        let path = segment_path(&self.log.directory, segment, SegmentFile::Log);
        let failed = |failure| AppendError::Failed(Rc::new(failure));
        let file = self.store.files.open(env, &path, OpenMode::DirectWrite).await.map_err(failed)?;
        let block = match file.read_at(start, buffer(env, crate::disk::BLOCK as usize).await).await {
            Err(failure) if failure.is_unreadable() => {
                let reason = "the disk cannot read the block".to_owned();
                return Ok(Prefix::Damaged(Damage { path, bytes: start..size, offsets: None, reason }));
            }
            read => read.map_err(failed)?,
        };
        let wanted = (size - start) as usize;
        match block.as_slice().get(..wanted) {
            Some(prefix) if self.is_open_block_whole(size, prefix) => Ok(Prefix::Whole(prefix.to_vec())),
            Some(_) => {
                let reason = "the block is not what was written".to_owned();
                Ok(Prefix::Damaged(Damage { path, bytes: start..size, offsets: None, reason }))
            }
            None => {
                let reason = format!("the file ends at {}", start + block.len() as u64);
                Err(AppendError::Damaged(std::sync::Arc::new(Damage {
                    path,
                    bytes: start..size,
                    offsets: None,
                    reason,
                })))
            }
        }
    }

    /// Deletes the records below an offset: durable, and true for every reader, when this returns. Files of segments
    /// that lie below as a whole are removed soon after. An offset below the start changes nothing.
    ///
    /// # Errors
    /// The log is closed, damaged, or its disk has failed; a start may find the old log start or the new one.
    ///
    /// # Panics
    /// If the offset is behind the log's end.
    pub async fn advance_log_start(&self, log_start_offset: Offset) -> Result<(), AppendError> {
        self.check_open()?;
        if log_start_offset <= self.log_start_offset() {
            return Ok(());
        }
        let log_end_offset = self.log_end_offset();
        assert!(log_start_offset <= log_end_offset, "{log_start_offset} is behind the end {log_end_offset}");
        self.log.state.borrow_mut().queue_log_start(log_start_offset);
        self.store.note_queued(&self.log);
        let is_there = || self.log_start_offset() >= log_start_offset;
        self.log.changed.when(|| is_there() || self.is_over()).await;
        match is_there() {
            true => Ok(()),
            false => Err(self.check_open().err().unwrap_or(AppendError::Closed)),
        }
    }

    /// Whether no note will reach the journal any more.
    fn is_over(&self) -> bool {
        self.store.is_over() || self.log.state.borrow().is_closed
    }

    /// Whose log it is.
    pub fn identity(&self) -> &LogIdentity {
        &self.log.identity
    }

    /// The first offset readers may have.
    pub fn log_start_offset(&self) -> Offset {
        self.log.state.borrow().log_start_offset
    }

    /// The offset the next batch gets.
    pub fn log_end_offset(&self) -> Offset {
        self.log.state.borrow().log_end_offset
    }

    /// Everything below may be acknowledged: it is on stable storage, or the log is relaxed.
    pub fn durable_end_offset(&self) -> Offset {
        self.log.state.borrow().promised_end_offset()
    }

    /// Everything below is on stable storage, whatever the log promises.
    pub fn stable_end_offset(&self) -> Offset {
        self.log.state.borrow().stable_end_offset
    }

    /// Looks at or changes what is known of producers. [`PartitionLog::append`] records batches itself.
    pub fn with_producers<T>(&self, access: impl FnOnce(&mut ProducerStates) -> T) -> T {
        access(&mut self.log.state.borrow_mut().producers)
    }

    /// The largest epoch not newer than `epoch`, and where it ends in this log.
    pub fn epoch_end_offset(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.log.state.borrow();
        state.epochs.end_offset_for(epoch, state.log_end_offset)
    }

    /// The epoch of the batch at `offset`, or of the last batch before it.
    pub fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.log.state.borrow().epochs.epoch_of(offset).unwrap_or(LeaderEpoch::UNKNOWN)
    }

    /// Every segment, oldest first; the last one is active.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        self.log.state.borrow().segments()
    }

    /// Why the log is refused as a whole, if it is.
    pub fn damage(&self) -> Option<std::sync::Arc<Damage>> {
        self.log.state.borrow().damage.clone()
    }

    /// Begins another segment with the next batch, if there may be one. An empty active segment stays.
    pub fn roll(&self) {
        if self.check_open().is_err() {
            return;
        }
        {
            let mut state = self.log.state.borrow_mut();
            if state.active().size() == 0 {
                return;
            }
            state.roll_behind_end(self.store.env.wall_clock());
        }
        writer::kick(&self.store, &self.log);
    }

    /// Follows a change of the topic's configuration. A log that becomes durable first makes stable what was
    /// acknowledged while it was relaxed.
    pub fn set_config(&self, config: LogConfig) {
        let becomes_durable = {
            let mut state = self.log.state.borrow_mut();
            state.reported_end_offset = state.promised_end_offset();
            let was_relaxed = state.config.durability == Durability::Relaxed;
            let becomes_durable = was_relaxed && config.durability == Durability::Durable;
            state.config = config;
            if becomes_durable {
                // Promises wait for it from now on.
                state.write_stable();
            }
            becomes_durable
        };
        if becomes_durable {
            self.store.flush_soon();
            writer::kick(&self.store, &self.log);
        }
    }
}

fn check_order(state: &LogState, batch: &AssignedBatch<'_>) -> Result<(), AppendError> {
    let header = batch.header();
    if header.base_offset() < state.log_end_offset {
        let (log_end_offset, found) = (state.log_end_offset, header.base_offset());
        return Err(AppendError::OffsetWentBack { log_end_offset, found });
    }
    let latest = state.epochs.latest().map(|entry| entry.epoch);
    if segment::epoch_goes_back(latest, header.leader_epoch()) {
        let latest = latest.expect("it went back from one");
        return Err(AppendError::EpochWentBack { latest, found: header.leader_epoch() });
    }
    Ok(())
}
