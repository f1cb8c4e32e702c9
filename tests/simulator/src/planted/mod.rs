//! Mistakes planted on purpose, below the seam: a simulator that finds none of them proves nothing.
//!
//! ```text
//!   broker ──► Planted<bug> ──► memory environment
//! ```
//!
//! | planted | what the broker then is like |
//! |---|---|
//! | `AcknowledgeBeforeSync` | one that acknowledges what is only in the page cache |
//! | `BelieveTornCommits` | one whose recovery skips the checksums of its journal |
//! | `ForgetFileSync` | one that frees its journal before the segments are stable |
//! | `ForgetDirectorySync`, `LoseDirectorySyncs` | one whose new files vanish with the power: all, or one in three |
//! | `ForgetProducers` | one that appends a retried batch again |
//! | `SwapRequests` | one that works on two requests of a connection in the other order |
//! | `ForgetDeletions` | one that grants a DeleteRecords that only the page cache knows |
//! | `ForgetConfigChanges` | one that grants a change of configuration that only the page cache knows |
//! | `ForgetGroups` | one that grants commits and generations that only the page cache knows |
//! | `GiveToTwo` | one that gives a member's partitions to another one too |
//! | `AnswerFailedAsEmpty` | one that answers a read of a failed directory as if the partition were empty |
//! | `GrantConfigsInVain` | one that grants a change of configuration and does not make it |
//! | `DeleteOneMore` | one that deletes a record more than it was asked to |
//! | `IgnoreBatchSizes` | one that tells how large a batch may be and takes larger ones |
//! | `ScrubHalf` | one whose scrubber passes over the first block of a segment and what follows it |
//! | `IgnoreChecksums` | one whose reads compare no block with its checksum |
//!
//! The mistakes are made between the broker and its world because the broker itself has no switch for them: what
//! is tried is the very code that is served.
//!
//! Reading order: this file has the switch and the environment; `file`, `connection` and `frame` what is done wrong there.
//!
//! Always true: with `Bug::None` every call goes through unchanged.

mod connection;
mod file;
mod frame;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};
use ringlog_runtime::buffer::Arena;
use ringlog_runtime::environment::{
    DirectoryEntry, DiskFailure, Environment, ListenFailure, OpenMode, TaskClass,
};
use ringlog_runtime::memory::{MemoryAccepted, MemoryEnvironment, MemoryListener, MemoryMailbox};

pub use connection::PlantedConnection;
pub use file::PlantedFile;

/// What is done wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Nothing.
    None,
    /// Writes that must be stable when they complete are not: records are acknowledged before they are synced.
    AcknowledgeBeforeSync,
    /// Files are never synced: a checkpoint frees journal space whose records are nowhere stable.
    ForgetFileSync,
    /// Directories are never synced: new files vanish with the power.
    ForgetDirectorySync,
    /// One directory sync in three does nothing.
    LoseDirectorySyncs,
    /// A commit of the journal has the right checksum, whatever its bytes are: torn ones are replayed.
    BelieveTornCommits,
    /// Batches arrive without their producer's id: a retry cannot be told from a new batch.
    ForgetProducers,
    /// Two produce requests that arrive together on one connection change places.
    SwapRequests,
    /// Commits of the journal that note a log's new begin are not stable when they complete.
    ForgetDeletions,
    /// Frames of the metadata log that change a configuration are not stable when they complete.
    ForgetConfigChanges,
    /// Commits of the journal that name a group are not stable when they complete.
    ForgetGroups,
    /// Of assignments of the same size the first arrives twice.
    GiveToTwo,
    /// Fetches that are refused because of the disk are answered as those of an empty log.
    AnswerFailedAsEmpty,
    /// Changes of configurations arrive as if they were to be checked only.
    GrantConfigsInVain,
    /// Deletions of records arrive with an offset that is one too large.
    DeleteOneMore,
    /// Batches that may be too large for their topic arrive as small ones.
    IgnoreBatchSizes,
    /// The scrubber cannot read where a segment begins, for a reason that says nothing of the disk, and passes over the segment.
    ScrubHalf,
    /// Checksums of blocks are not there when they are looked for.
    IgnoreChecksums,
}

impl Bug {
    /// Whether it takes a second disk that fails to show it: every world has one then, so that a few hundred seeds are
    /// enough.
    pub fn shows_on_a_failing_disk(self) -> bool {
        self == Bug::AnswerFailedAsEmpty
    }
}

/// An environment that makes a mistake.
#[derive(Clone)]
pub struct Planted {
    sound: MemoryEnvironment,
    bug: Bug,
    directory_syncs: Rc<Cell<u64>>,
    /// Whether a task of the scrubber's class has its turn.
    is_scrubbing: Rc<Cell<bool>>,
}

impl Planted {
    /// Plants a bug between the broker and its environment.
    pub fn new(sound: MemoryEnvironment, bug: Bug) -> Planted {
        Planted { sound, bug, directory_syncs: Rc::default(), is_scrubbing: Rc::default() }
    }

    fn loses_directory_sync(&self) -> bool {
        let count = self.directory_syncs.get() + 1;
        self.directory_syncs.set(count);
        match self.bug {
            Bug::ForgetDirectorySync => true,
            Bug::LoseDirectorySyncs => count.is_multiple_of(3),
            _ => false,
        }
    }
}

impl Environment for Planted {
    type File = PlantedFile;
    type Listener = MemoryListener;
    type Accepted = MemoryAccepted;
    type Connection = PlantedConnection;
    type Mailbox<M: Send + 'static> = MemoryMailbox<M>;

    fn shard(&self) -> ShardIndex {
        self.sound.shard()
    }

    fn shard_count(&self) -> u16 {
        self.sound.shard_count()
    }

    fn now(&self) -> Instant {
        self.sound.now()
    }

    fn wall_clock(&self) -> Timestamp {
        self.sound.wall_clock()
    }

    fn random(&self) -> u64 {
        self.sound.random()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        self.sound.sleep_until(deadline)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        self.sound.yield_now()
    }

    #[track_caller]
    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        if class != TaskClass::Compaction {
            return self.sound.spawn(class, task);
        }
        let is_scrubbing = self.is_scrubbing.clone();
        let mut task = Box::pin(task);
        self.sound.spawn(
            class,
            poll_fn(move |context| {
                is_scrubbing.set(true);
                let poll = task.as_mut().poll(context);
                is_scrubbing.set(false);
                poll
            }),
        );
    }

    fn arena(&self) -> &Arena {
        self.sound.arena()
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<PlantedFile, DiskFailure> {
        let is_checksums = path.extension().is_some_and(|extension| extension == "checksums");
        if self.bug == Bug::IgnoreChecksums && is_checksums && mode == OpenMode::BufferedRead {
            let error = io::ErrorKind::NotFound.into();
            return Err(DiskFailure { operation: "open", path: path.to_owned(), position: None, error });
        }
        let sound = self.sound.open(path, mode).await?;
        Ok(PlantedFile::new(sound, path, self.bug, self.is_scrubbing.clone()))
    }

    async fn create_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.sound.create_directory(path).await
    }

    async fn list_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskFailure> {
        self.sound.list_directory(path).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskFailure> {
        self.sound.rename(from, to).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskFailure> {
        self.sound.remove_file(path).await
    }

    async fn remove_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.sound.remove_directory(path).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        if self.loses_directory_sync() { Ok(()) } else { self.sound.sync_directory(path).await }
    }

    async fn modified_at(&self, path: &Path) -> Result<Timestamp, DiskFailure> {
        self.sound.modified_at(path).await
    }

    async fn free_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        self.sound.free_bytes(path).await
    }

    async fn total_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        self.sound.total_bytes(path).await
    }

    async fn listen(&self, address: SocketAddr) -> Result<MemoryListener, ListenFailure> {
        self.sound.listen(address).await
    }

    fn adopt(&self, accepted: MemoryAccepted) -> PlantedConnection {
        PlantedConnection::new(self.sound.adopt(accepted), self.arena().clone(), self.bug)
    }
}
