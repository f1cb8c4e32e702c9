//! Mistakes planted on purpose, below the seam: tests that find none of them prove nothing.
//!
//! ```text
//!   store ──► Planted<bug> ──► memory environment
//! ```
//!
//! Most were made once by somebody else's broker or database: `docs/simulator.md` has the table.
//!
//! Always true: with `Bug::None` every call goes through unchanged.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};
use ringlog_runtime::buffer::{Arena, BufMut, Slice};
use ringlog_runtime::environment::{
    DirectoryEntry, DiskFailure, Environment, File, ListenFailure, OpenMode, TaskClass, WriteSync,
};
use ringlog_runtime::memory::{
    MemoryAccepted, MemoryConnection, MemoryEnvironment, MemoryFile, MemoryListener, MemoryMailbox,
};
use ringlog_storage::format::checkpoint::CheckpointBody;

const BLOCK: usize = 4096;

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
    /// Files that are to replace others are not synced before they are renamed.
    RenameWithoutSync,
    /// Of a stable write that is longer than a block the last block is stable later: acknowledged before the last piece.
    ForgetLastBlock,
    /// A write that failed counts as one that did not.
    BelieveFailedWrites,
    /// A sync that failed is tried again, and the second one succeeds, as it does on Linux.
    RetryFailedSyncs,
    /// The buffer of a write is given to another before it is written: now and then one that is as long has its bytes.
    RecycleBuffers,
    /// Checkpoints know no producers: what a producer sent is known only as long as the journal has it.
    ForgetProducers,
    /// Checkpoints know one batch of each producer.
    RememberOneBatch,
    /// Checkpoints know no leader epochs.
    ForgetEpochs,
    /// Checkpoints say they hold what the journal has not yet brought into segments.
    AdvanceCheckpoint,
    /// Where checkpoints cannot be read a start begins with nothing.
    BeginAnew,
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

impl Planted {
    async fn cannot_read_checkpoints(&self) -> Result<bool, DiskFailure> {
        let directory = Path::new(super::DATA_DIR).join("checkpoint");
        let mut is_damaged = false;
        for entry in self.sound.list_directory(&directory).await? {
            let file = self.sound.open(&directory.join(&entry.name), OpenMode::BufferedRead).await?;
            let buffer = self.sound.arena().allocate(entry.length as usize).expect("memory");
            let bytes = file.read_at(0, buffer).await?;
            let is_copy = entry.name.ends_with(".checkpoint");
            is_damaged |=
                is_copy && CheckpointBody::parse(&bytes.as_slice()[..entry.length as usize]).is_err();
        }
        Ok(is_damaged)
    }
}

/// A file of an environment that makes a mistake.
#[derive(Clone)]
pub struct PlantedFile {
    sound: MemoryFile,
    bug: Bug,
    arena: Arena,
    path: PathBuf,
    /// What was written last.
    last: Rc<RefCell<Vec<u8>>>,
}

impl PlantedFile {
    fn is_named(&self, suffix: &str) -> bool {
        self.path.to_str().is_some_and(|path| path.ends_with(suffix))
    }

    fn slice_of(&self, bytes: &[u8]) -> Slice {
        let mut buffer = self.arena.allocate(bytes.len()).expect("memory");
        buffer.extend_from_slice(bytes);
        buffer.freeze()
    }

    /// A checkpoint with a part of it left out; other bytes as they are.
    fn spoiled(&self, slices: Vec<Slice>) -> Vec<Slice> {
        let Ok(mut body) = CheckpointBody::parse(&joined(&slices)) else { return slices };
        for record in &mut body.partitions {
            match self.bug {
                Bug::ForgetProducers => record.producers.producers.clear(),
                Bug::RememberOneBatch => record.producers.producers.iter_mut().for_each(|producer| {
                    producer.batches.drain(..producer.batches.len().saturating_sub(1));
                }),
                Bug::ForgetEpochs => record.epochs.clear(),
                _ => {}
            }
        }
        if self.bug == Bug::AdvanceCheckpoint && body.number > 0 && !body.is_clean {
            body.sequence += 1;
        }
        vec![self.slice_of(&body.to_bytes())]
    }

    /// Another write's bytes, if there was one as long.
    fn exchanged(&self, slices: Vec<Slice>) -> Vec<Slice> {
        let bytes = joined(&slices);
        let last = self.last.replace(bytes.clone());
        let is_taken = last.len() == bytes.len() && last != bytes;
        if is_taken { vec![self.slice_of(&last)] } else { slices }
    }

    /// Writes the last block in its own time.
    async fn write_but_last_block(&self, position: u64, slices: Vec<Slice>) -> Result<(), DiskFailure> {
        let bytes = joined(&slices);
        let (first, last) = bytes.split_at(bytes.len() - BLOCK);
        self.sound.write_at(position, vec![self.slice_of(first)], WriteSync::BeforeCompletion).await?;
        let place = position + first.len() as u64;
        self.sound.write_at(place, vec![self.slice_of(last)], WriteSync::Later).await
    }
}

fn joined(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter()).copied().collect()
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
        let sound = self.sound.open(path, mode).await?;
        let arena = self.sound.arena().clone();
        Ok(PlantedFile { sound, bug: self.bug, arena, path: path.to_owned(), last: Rc::default() })
    }

    async fn create_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.sound.create_directory(path).await
    }

    async fn list_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskFailure> {
        if self.bug == Bug::BeginAnew && self.cannot_read_checkpoints().await? {
            let is_forgotten = path.ends_with("checkpoint") || path.iter().any(|name| name == "journal");
            return if is_forgotten { Ok(Vec::new()) } else { self.sound.list_directory(path).await };
        }
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
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        match self.bug {
            Bug::AcknowledgeBeforeSync => self.sound.write_at(position, slices, WriteSync::Later).await,
            Bug::ForgetLastBlock if sync == WriteSync::BeforeCompletion && length > BLOCK => {
                self.write_but_last_block(position, slices).await
            }
            Bug::BelieveFailedWrites => {
                let _ = self.sound.write_at(position, slices, sync).await;
                Ok(())
            }
            Bug::RecycleBuffers => self.sound.write_at(position, self.exchanged(slices), sync).await,
            _ if self.is_named(".checkpoint.tmp") => {
                self.sound.write_at(position, self.spoiled(slices), sync).await
            }
            _ => self.sound.write_at(position, slices, sync).await,
        }
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        match self.bug {
            Bug::ForgetFileSync => Ok(()),
            Bug::RenameWithoutSync if self.is_named(".tmp") => Ok(()),
            Bug::RetryFailedSyncs => match self.sound.sync().await {
                Ok(()) => Ok(()),
                Err(_) => self.sound.sync().await,
            },
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
