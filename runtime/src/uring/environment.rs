//! The environment on the rings: one per shard, on the shard's own thread.

use std::fs;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::{Latency, Shares, TaskQueueHandle};
use ringlog_core::ids::ShardIndex;
use ringlog_core::time::{Instant, Timestamp};

use super::blocking::Blocking;
use super::driver::Driver;
use super::features::Feature;
use super::file::UringFile;
use super::random::Random;
use super::readiness::Readiness;
use super::socket::{UringAccepted, UringConnection, UringListener};
use super::{clock, stop};
use crate::buffer::Arena;
use crate::environment::{
    DirectoryEntry, DiskFailure, EntryKind, Environment, ListenFailure, OpenMode, RingStatistics, TaskClass,
};
use crate::host::{free_bytes, total_bytes};
use crate::mesh::MeshMailbox;

/// A shard's view of the real world. Clones are handles to the same shard.
#[derive(Clone)]
pub struct UringEnvironment {
    shard: Rc<Shard>,
}

struct Shard {
    index: ShardIndex,
    count: u16,
    driver: Rc<Driver>,
    blocking: Blocking,
    random: Random,
    queues: Queues,
    readiness: Readiness,
}

/// The executor's queues, by class of task.
struct Queues {
    network: TaskQueueHandle,
    replication: TaskQueueHandle,
    storage: TaskQueueHandle,
    compaction: TaskQueueHandle,
    admin: TaskQueueHandle,
}

impl Queues {
    /// Shares say who goes first when the core is full: clients, then followers, then what may wait.
    fn create() -> Queues {
        let queue = |shares, name| {
            glommio::executor().create_task_queue(Shares::Static(shares), Latency::NotImportant, name)
        };
        Queues {
            network: queue(1000, "network"),
            replication: queue(500, "replication"),
            storage: queue(400, "storage"),
            compaction: queue(100, "compaction"),
            admin: queue(50, "admin"),
        }
    }

    fn of(&self, class: TaskClass) -> TaskQueueHandle {
        match class {
            TaskClass::Network => self.network,
            TaskClass::Replication => self.replication,
            TaskClass::Storage => self.storage,
            TaskClass::Compaction => self.compaction,
            TaskClass::Admin => self.admin,
        }
    }
}

impl UringEnvironment {
    /// Must be called inside the shard's executor.
    pub(super) fn new(
        index: ShardIndex,
        count: u16,
        driver: Rc<Driver>,
        readiness: Readiness,
    ) -> io::Result<UringEnvironment> {
        let random = Random::from_kernel()?;
        let blocking = Blocking::start(&driver)?;
        let shard = Shard { index, count, driver, blocking, random, queues: Queues::create(), readiness };
        Ok(UringEnvironment { shard: Rc::new(shard) })
    }

    /// Completes when the process is asked to stop (SIGTERM or SIGINT). The first call takes these signals over;
    /// a second signal ends the process at once.
    pub fn stop_requested(&self) -> impl Future<Output = ()> + 'static {
        stop::requested(self.shard.driver.clone())
    }

    /// What this host (or a test's pretence) lacks.
    pub fn absent_features(&self) -> Vec<Feature> {
        Feature::ALL.into_iter().filter(|feature| self.shard.driver.lacks(*feature)).collect()
    }

    /// Runs a task and waits for it.
    pub(super) async fn run(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        self.spawn_into(class, task).await;
    }

    fn spawn_into(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) -> glommio::Task<()> {
        let queue = self.shard.queues.of(class);
        let task = self.shard.readiness.track(task);
        glommio::spawn_local_into(task, queue).expect("the queues live as long as the executor")
    }

    async fn on_path<T: Send + 'static>(
        &self,
        operation: &'static str,
        path: &Path,
        call: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, DiskFailure> {
        let owned_path = path.to_owned();
        let result = self.shard.blocking.run(move || call(&owned_path)).await;
        result.map_err(|error| DiskFailure { operation, path: path.to_owned(), position: None, error })
    }
}

impl Environment for UringEnvironment {
    type File = UringFile;
    type Listener = UringListener;
    type Accepted = UringAccepted;
    type Connection = UringConnection;
    type Mailbox<M: Send + 'static> = MeshMailbox<M>;

    fn shard(&self) -> ShardIndex {
        self.shard.index
    }

    fn shard_count(&self) -> u16 {
        self.shard.count
    }

    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall_clock(&self) -> Timestamp {
        clock::wall_clock()
    }

    fn random(&self) -> u64 {
        self.shard.random.next()
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + 'static {
        self.shard.driver.timers().sleep_until(deadline)
    }

    fn yield_now(&self) -> impl Future<Output = ()> + 'static {
        let driver = self.shard.driver.clone();
        async move {
            // What still runs on a shard that has ended does not go on.
            if driver.is_closed() {
                std::future::pending::<()>().await;
            }
            glommio::executor().yield_task_queue_now().await;
        }
    }

    fn spawn(&self, class: TaskClass, task: impl Future<Output = ()> + 'static) {
        self.spawn_into(class, task).detach();
    }

    fn arena(&self) -> &Arena {
        self.shard.driver.arena()
    }

    fn ring_statistics(&self) -> Option<RingStatistics> {
        Some(self.shard.driver.statistics())
    }

    async fn open(&self, path: &Path, mode: OpenMode) -> Result<UringFile, DiskFailure> {
        let raw = self.on_path("open", path, move |path| open(path, mode)).await?;
        Ok(UringFile::new(&self.shard.driver, self.shard.blocking.clone(), raw, path, mode))
    }

    async fn create_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.on_path("create directory", path, |path| fs::create_dir_all(path)).await
    }

    async fn list_directory(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskFailure> {
        self.on_path("list", path, list).await
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskFailure> {
        let to: PathBuf = to.to_owned();
        self.on_path("rename", from, move |from| fs::rename(from, to)).await
    }

    async fn remove_file(&self, path: &Path) -> Result<(), DiskFailure> {
        self.on_path("remove", path, |path| fs::remove_file(path)).await
    }

    async fn remove_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.on_path("remove directory", path, |path| fs::remove_dir(path)).await
    }

    async fn sync_directory(&self, path: &Path) -> Result<(), DiskFailure> {
        self.on_path("sync directory", path, |path| fs::File::open(path)?.sync_all()).await
    }

    async fn modified_at(&self, path: &Path) -> Result<Timestamp, DiskFailure> {
        self.on_path("stat", path, modified_at).await
    }

    async fn free_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        self.on_path("stat file system of", path, free_bytes).await
    }

    async fn total_bytes(&self, path: &Path) -> Result<u64, DiskFailure> {
        self.on_path("stat file system of", path, total_bytes).await
    }

    async fn listen(&self, address: SocketAddr) -> Result<UringListener, ListenFailure> {
        UringListener::bind(&self.shard.driver, address)
    }

    fn adopt(&self, accepted: UringAccepted) -> UringConnection {
        UringConnection::adopt(&self.shard.driver, accepted)
    }
}

fn open(path: &Path, mode: OpenMode) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    if matches!(mode, OpenMode::DirectWrite | OpenMode::BufferedWrite) {
        options.write(true).create(true);
    }
    if matches!(mode, OpenMode::DirectRead | OpenMode::DirectWrite) {
        options.custom_flags(libc::O_DIRECT);
    }
    options.open(path).map(OwnedFd::from)
}

fn list(path: &Path) -> io::Result<Vec<DirectoryEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Removed since it was listed: as if it had never been there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let kind = match metadata.file_type() {
            kind if kind.is_file() => EntryKind::File,
            kind if kind.is_dir() => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let length = if kind == EntryKind::File { metadata.len() } else { 0 };
        entries.push(DirectoryEntry { name: entry.file_name().to_string_lossy().into_owned(), kind, length });
    }
    entries.sort_by(|first, second| first.name.cmp(&second.name));
    Ok(entries)
}

fn modified_at(path: &Path) -> io::Result<Timestamp> {
    let metadata = fs::metadata(path)?;
    Ok(Timestamp(metadata.mtime().saturating_mul(1_000).saturating_add(metadata.mtime_nsec() / 1_000_000)))
}
