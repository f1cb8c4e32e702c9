//! The one seam between the broker and the world: clock, randomness, tasks, disk, network and other shards.
//!
//! ```text
//!            broker code (storage, net, src), written once, generic over E: Environment
//!                    │                                   │
//!        uring: rings, real clock             memory: one thread, virtual clock, from a seed
//! ```
//!
//! Always true: broker code reaches time, randomness, files, sockets and other shards through this trait only,
//! so the same seed in the memory environment gives the same run. An environment belongs to one shard and is
//! not `Send`; clones are handles to the same shard.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};

use crate::buffer::{Arena, BufMut, Slice};

/// A shard's view of the world.
pub trait Environment: Clone + 'static {
    /// An open file.
    type File: File;
    /// A bound, listening socket.
    type Listener: Listener<Accepted = Self::Accepted>;
    /// A connection just accepted: may move to another shard, which then [`adopt`](Environment::adopt)s it.
    type Accepted: Send + 'static;
    /// A connection in use by this shard.
    type Connection: Connection;
    /// This shard's end of the mesh that carries `M` between shards.
    type Mailbox<M: Send + 'static>: Mailbox<M>;

    /// Which shard this is.
    fn shard(&self) -> ShardIndex;
    /// How many shards the process has.
    fn shard_count(&self) -> u16;

    /// The monotonic clock.
    fn now(&self) -> Instant;
    /// The wall clock, for record timestamps and retention.
    fn wall_clock(&self) -> Timestamp;
    /// 64 random bits: for ids and jitter, never for secrets.
    fn random(&self) -> u64;
    /// Completes at `deadline`, or at once if that has passed.
    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static;
    /// Lets every other ready task of this shard run once.
    fn yield_now(&self) -> impl Future<Output = ()> + 'static;
    /// Starts a task on this shard; it runs until it ends or the shard stops.
    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static);

    /// This shard's I/O memory.
    fn arena(&self) -> &Arena;
    /// What this shard's ring has done; `None` where there is no ring.
    fn ring_statistics(&self) -> Option<RingStatistics> {
        None
    }

    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> impl Future<Output = Result<Self::File, DiskFailure>>;
    /// Creates a directory and its missing parents. Durable after [`Environment::sync_directory`] of each parent.
    fn create_directory(&self, path: &Path) -> impl Future<Output = Result<(), DiskFailure>>;
    /// Names of what lies in a directory, sorted.
    fn list_directory(&self, path: &Path) -> impl Future<Output = Result<Vec<DirectoryEntry>, DiskFailure>>;
    /// Renames a file or directory, replacing a file at `to`. Durable after syncing both directories.
    fn rename(&self, from: &Path, to: &Path) -> impl Future<Output = Result<(), DiskFailure>>;
    /// Removes a file. An absent one is a failure of kind `NotFound`.
    fn remove_file(&self, path: &Path) -> impl Future<Output = Result<(), DiskFailure>>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> impl Future<Output = Result<(), DiskFailure>>;
    /// Makes creations, renames and removals inside a directory durable.
    fn sync_directory(&self, path: &Path) -> impl Future<Output = Result<(), DiskFailure>>;
    /// When a file was last written or cut, by the wall clock. An absent one is a failure of kind `NotFound`.
    fn modified_at(&self, path: &Path) -> impl Future<Output = Result<Timestamp, DiskFailure>>;
    /// Bytes free for this process on the file system holding `path`; none if it can hardly hold another file.
    fn free_bytes(&self, path: &Path) -> impl Future<Output = Result<u64, DiskFailure>>;
    /// Bytes of the file system holding `path`, free or not.
    fn total_bytes(&self, path: &Path) -> impl Future<Output = Result<u64, DiskFailure>>;

    /// Binds and listens.
    fn listen(&self, address: SocketAddr) -> impl Future<Output = Result<Self::Listener, ListenFailure>>;
    /// Takes a connection that some shard accepted.
    fn adopt(&self, accepted: Self::Accepted) -> Self::Connection;
}

/// What a shard's ring has done since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RingStatistics {
    /// Looks at the ring for completions.
    pub turns: u64,
    /// System calls that entered the kernel for the ring.
    pub enters: u64,
    /// Operations queued.
    pub submitted: u64,
    /// Completions taken, messages of other shards' rings included.
    pub completed: u64,
    /// Times the shard went to sleep for want of work.
    pub sleeps: u64,
    /// Times another shard was woken.
    pub wakes_sent: u64,
}

/// Which queue a task runs in. Shares decide who goes first when a core is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskClass {
    /// Requests: receiving, deciding, answering, journal commits.
    Network,
    /// Following leaders and serving followers.
    Replication,
    /// Write-behind, checkpoints, retention: must go on, may wait.
    Storage,
    /// Rewriting segments, scrubbing.
    Compaction,
    /// Administration, metrics.
    Admin,
}

/// How to open a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Past the page cache (O_DIRECT), to read. Positions, lengths and addresses are multiples of
    /// [`DIRECT_ALIGNMENT`](crate::buffer::DIRECT_ALIGNMENT); a read at the end of the file may be short.
    DirectRead,
    /// As [`OpenMode::DirectRead`], to read and write; created if absent.
    DirectWrite,
    /// Through the page cache, any position and length, to read.
    BufferedRead,
    /// As [`OpenMode::BufferedRead`], to read and write; created if absent.
    BufferedWrite,
}

/// Whether a write is on stable storage when it completes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteSync {
    /// It may be lost by a crash until [`File::sync`].
    Later,
    /// Data, and the metadata needed to read it back, are stable (`RWF_DSYNC`).
    BeforeCompletion,
}

/// An open file. Clones share it; it closes after the last clone is dropped and the last operation ended.
pub trait File: Clone + 'static {
    /// Reads into the buffer's capacity from `position` on. The buffer comes back with `len` set to what was
    /// read; fewer bytes than its capacity mean the end of the file.
    fn read_at(&self, position: u64, buffer: BufMut) -> impl Future<Output = Result<BufMut, DiskFailure>>;

    /// Writes all slices one behind the other from `position` on. A dropped future does not stop the write.
    ///
    /// # Errors
    /// After a failure any part may have been written: the outcome is unknown.
    fn write_at(
        &self,
        position: u64,
        slices: Vec<Slice>,
        sync: WriteSync,
    ) -> impl Future<Output = Result<(), DiskFailure>>;

    /// Makes all completed writes stable (`fdatasync`). After a failure the file must not be trusted again.
    fn sync(&self) -> impl Future<Output = Result<(), DiskFailure>>;

    /// Reserves space for `length` bytes from the start and grows the file to it; new space reads as zeros.
    fn allocate(&self, length: u64) -> impl Future<Output = Result<(), DiskFailure>>;

    /// Cuts or extends the file to exactly `length` bytes.
    fn truncate(&self, length: u64) -> impl Future<Output = Result<(), DiskFailure>>;

    /// The file's length in bytes.
    fn length(&self) -> impl Future<Output = Result<u64, DiskFailure>>;
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectoryEntry {
    /// Its last path component.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
    /// A file's length in bytes; zero for a directory.
    pub length: u64,
}

/// What a name in a directory stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: links, sockets, devices.
    Other,
}

/// A listening socket.
pub trait Listener: 'static {
    /// A connection that may still move to another shard.
    type Accepted: Send + 'static;
    /// The address it is bound to, with the port that was chosen if none was asked for.
    fn local_address(&self) -> SocketAddr;
    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = Result<Self::Accepted, io::Error>>;
}

/// A byte stream with a client. Clones share it; it closes after the last clone is dropped.
pub trait Connection: Clone + 'static {
    /// The other end.
    fn peer_address(&self) -> SocketAddr;
    /// Waits for bytes and returns what has come, in a buffer of the environment's choosing; an empty buffer
    /// is the end of the stream. A dropped future closes the stream: received bytes cannot be put back.
    fn receive(&self) -> impl Future<Output = Result<BufMut, io::Error>>;
    /// Waits for bytes and appends them in the buffer's free space; an unchanged `len` is the end of the
    /// stream.
    fn receive_into(&self, buffer: BufMut) -> impl Future<Output = Result<BufMut, io::Error>>;
    /// Sends all slices, in order. One send at a time.
    fn send(&self, slices: Vec<Slice>) -> impl Future<Output = Result<(), io::Error>>;
    /// Ends both directions: receives and sends under way return.
    fn shutdown(&self);
}

/// One shard's end of the mesh.
pub trait Mailbox<M>: Clone + 'static {
    /// Puts a message into the bounded queue to another shard and wakes that shard if it sleeps. A message to
    /// the own shard is allowed.
    ///
    /// # Errors
    /// [`MailboxFull`] gives the message back: wait and try again, or refuse the request.
    fn send(&self, to: ShardIndex, message: M) -> Result<(), MailboxFull<M>>;
    /// Waits for the next message from any shard. Messages of one sender arrive in the order sent.
    fn receive(&self) -> impl Future<Output = (ShardIndex, M)>;
}

/// The queue to another shard has no room.
#[derive(Debug)]
pub struct MailboxFull<M>(pub M);

/// A disk operation that failed: which, where, why.
#[derive(Debug)]
pub struct DiskFailure {
    /// What was tried, as a verb: "write", "sync", "open".
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The byte place in the file, where there is one.
    pub position: Option<u64>,
    /// What the system said.
    pub error: io::Error,
}

impl DiskFailure {
    /// Whether the file or directory is simply not there.
    pub fn is_not_found(&self) -> bool {
        self.error.kind() == io::ErrorKind::NotFound
    }

    /// Whether the medium does not give back what it was given, there: other places and other operations may do well.
    pub fn is_unreadable(&self) -> bool {
        self.operation == "read" && self.error.raw_os_error() == Some(libc::EIO)
    }

    /// The same failure, to tell somebody else of.
    pub fn copy(&self) -> DiskFailure {
        let DiskFailure { operation, path, position, error } = self;
        let error = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        DiskFailure { operation, path: path.clone(), position: *position, error }
    }

    /// Whether there was no room for it. The disk is sound, and the same may be tried again. Never true of a sync:
    /// after a failed one nobody knows what is stable, whatever the reason.
    pub fn is_out_of_space(&self) -> bool {
        let is_full = matches!(self.error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        is_full && !self.operation.starts_with("sync")
    }
}

impl fmt::Display for DiskFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot {} {}", self.operation, self.path.display())?;
        if let Some(position) = self.position {
            write!(formatter, " at byte {position}")?;
        }
        write!(formatter, ": {}", self.error)
    }
}

impl std::error::Error for DiskFailure {}

/// A listener that could not be made.
#[derive(Debug)]
pub struct ListenFailure {
    /// Where it should have listened.
    pub address: SocketAddr,
    /// What the system said.
    pub error: io::Error,
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot listen on {}: {}", self.address, self.error)
    }
}

impl std::error::Error for ListenFailure {}
