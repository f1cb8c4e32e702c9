//! What a store has done and holds, for whoever watches the broker.
//!
//! Always true: counting costs an addition where the work is done; nothing here decides anything.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ringlog_core::latency::{LatencyHistogram, LatencySummary};
use ringlog_runtime::environment::Environment;

use crate::store::{LogStore, StoreShared};

/// A store at one moment. Counts are since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StoreStatistics {
    /// Commits written to the journal.
    pub journal_commit_count: u64,
    /// Bytes of these commits, headers and padding included.
    pub journal_commit_bytes: u64,
    /// Batches and notes in these commits.
    pub journal_entry_count: u64,
    /// How long the commits took, from the first byte packed to stable storage.
    pub journal_commits: LatencySummary,
    /// Commits that found no room and waited for a checkpoint.
    pub journal_starved_count: u64,
    /// Whether one does now.
    pub journal_is_starving: bool,
    /// All journal files together.
    pub journal_file_bytes: u64,
    /// Of them, what can be written without a checkpoint.
    pub journal_free_bytes: u64,
    /// How long checkpoints took; those of the start are not counted.
    pub checkpoints: LatencySummary,
    /// Appended bytes that are not stable yet.
    pub undurable_bytes: usize,
    /// Appended bytes kept in memory for readers, by the memory they take.
    pub tail_cache_bytes: usize,
    /// Loaded indexes.
    pub index_cache_bytes: usize,
    /// Loaded checksums of blocks.
    pub checksum_cache_bytes: usize,
    /// Bytes of segments that were read again to find damage.
    pub scrubbed_bytes: u64,
    /// How often everything was.
    pub scrub_rounds: u64,
    /// Checksum files made of segments that had none.
    pub checksum_files_made: u64,
    /// Damaged places known, of segments that are there.
    pub damaged_places: usize,
    /// Segment files held open.
    pub open_file_count: usize,
    /// Logs there are.
    pub log_count: usize,
    /// Whether the disk has too little room for batches of clients.
    pub is_short_of_space: bool,
    /// With less free there is too little.
    pub free_bytes_min: u64,
    /// Room kept for what must be written then.
    pub reserve_bytes: u64,
}

/// What only counting can tell.
#[derive(Default)]
pub(crate) struct StoreCounts {
    commit_count: Cell<u64>,
    commit_bytes: Cell<u64>,
    entry_count: Cell<u64>,
    starved_count: Cell<u64>,
    commits: RefCell<LatencyHistogram>,
    checkpoints: RefCell<LatencyHistogram>,
}

impl StoreCounts {
    /// A commit is stable.
    pub fn committed(&self, bytes: usize, entry_count: usize, took: Duration) {
        self.commit_count.set(self.commit_count.get() + 1);
        self.commit_bytes.set(self.commit_bytes.get() + bytes as u64);
        self.entry_count.set(self.entry_count.get() + entry_count as u64);
        self.commits.borrow_mut().record(took);
    }

    /// A commit has to wait for room.
    pub fn starved(&self) {
        self.starved_count.set(self.starved_count.get() + 1);
    }

    /// A checkpoint is written.
    pub fn checkpointed(&self, took: Duration) {
        self.checkpoints.borrow_mut().record(took);
    }
}

impl<E: Environment> LogStore<E> {
    /// What the store has done and holds.
    pub fn statistics(&self) -> StoreStatistics {
        let store: &StoreShared<E> = &self.shared;
        let counts = &store.counts;
        StoreStatistics {
            journal_commit_count: counts.commit_count.get(),
            journal_commit_bytes: counts.commit_bytes.get(),
            journal_entry_count: counts.entry_count.get(),
            journal_commits: counts.commits.borrow().summary(),
            journal_starved_count: counts.starved_count.get(),
            journal_is_starving: store.journal.is_starving(),
            journal_file_bytes: store.journal.file_bytes(),
            journal_free_bytes: store.journal.free_bytes(),
            checkpoints: counts.checkpoints.borrow().summary(),
            undurable_bytes: store.undurable_bytes.get(),
            tail_cache_bytes: store.cache_bytes.get(),
            index_cache_bytes: store.indexes.bytes(),
            checksum_cache_bytes: store.checksums.bytes(),
            scrubbed_bytes: store.scrubber.bytes(),
            scrub_rounds: store.scrubber.rounds(),
            checksum_files_made: store.scrubber.files_made(),
            damaged_places: store.damaged_places(),
            open_file_count: store.files.count(),
            log_count: store.logs.borrow().len(),
            is_short_of_space: store.space.is_short(),
            free_bytes_min: store.space.free_bytes_min(),
            reserve_bytes: store.space.held_bytes(),
        }
    }
}
