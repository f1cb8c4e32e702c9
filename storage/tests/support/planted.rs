//! Mistakes planted on purpose, below the seam: tests that find none of them prove nothing.
//!
//! ```text
//!   store ──► Planted<bug> ──► memory environment
//! ```
//!
//! Always true: with `Bug::None` every call goes through unchanged.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};
use ringlog_runtime::buffer::{Arena, BufMut, Slice};
use ringlog_runtime::environment::{
    DirectoryEntry, DiskFailure, Environment, File, ListenFailure, OpenMode, TaskClass, WriteSync,
};
use ringlog_runtime::memory::{
    MemoryAccepted, MemoryConnection, MemoryEnvironment, MemoryFile, MemoryListener, MemoryMailbox,
};

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
    /// The random source always says the same: lives of a journal cannot be told apart.
    RepeatRandom,
}

/// An environment that makes a mistake.
#[derive(Clone)]
pub struct Planted {
    sound: MemoryEnvironment,
    bug: Bug,
}

impl Planted {
    /// Plants a bug between a store and its environment.
    pub fn new(sound: MemoryEnvironment, bug: Bug) -> Planted {
        Planted { sound, bug }
    }
}

/// A file of an environment that makes a mistake.
#[derive(Clone)]
pub struct PlantedFile {
    sound: MemoryFile,
    bug: Bug,
}

impl Environment for Planted {
    type File = PlantedFile;
    type Listener = MemoryListener;
    type Accepted = MemoryAccepted;
    type Connection = MemoryConnection;
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
        if self.bug == Bug::RepeatRandom { 7 } else { self.sound.random() }
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        self.sound.sleep_until(deadline)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        self.sound.yield_now()
    }

    #[track_caller]
    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        self.sound.spawn(class, task);
    }

    fn arena(&self) -> &Arena {
        self.sound.arena()
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<PlantedFile, DiskFailure> {
        Ok(PlantedFile { sound: self.sound.open(path, mode).await?, bug: self.bug })
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
        match self.bug {
            Bug::ForgetDirectorySync => Ok(()),
            _ => self.sound.sync_directory(path).await,
        }
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

    fn adopt(&self, accepted: MemoryAccepted) -> MemoryConnection {
        self.sound.adopt(accepted)
    }
}

impl File for PlantedFile {
    async fn read_at(&self, position: u64, buffer: BufMut) -> Result<BufMut, DiskFailure> {
        self.sound.read_at(position, buffer).await
    }

    async fn write_at(&self, position: u64, slices: Vec<Slice>, sync: WriteSync) -> Result<(), DiskFailure> {
        let sync = match self.bug {
            Bug::AcknowledgeBeforeSync => WriteSync::Later,
            _ => sync,
        };
        self.sound.write_at(position, slices, sync).await
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        match self.bug {
            Bug::ForgetFileSync => Ok(()),
            _ => self.sound.sync().await,
        }
    }

    async fn allocate(&self, length: u64) -> Result<(), DiskFailure> {
        self.sound.allocate(length).await
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskFailure> {
        self.sound.truncate(length).await
    }

    async fn length(&self) -> Result<u64, DiskFailure> {
        self.sound.length().await
    }
}
