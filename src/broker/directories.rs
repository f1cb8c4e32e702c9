//! A shard's part of each data directory: a store of its own, with a journal, a reserve, and failures of its own.
//!
//! Always true: what fails or fills up in one directory changes nothing in another. When one fails on a shard, every shard writes
//! nothing there any more.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;
use ringlog_core::error_code::ErrorCode;
use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::{DiskFailure, Environment};
use ringlog_storage::{LogStore, StoreConfig, StoreFailure};

use crate::broker::opening::OpenedDirectory;
use crate::broker::places::{DirectoryIndex, Places};

/// A shard's part of a data directory.
pub struct Directory<E: Environment> {
    /// Where it is.
    pub path: PathBuf,
    /// The same, for metrics.
    pub name: Arc<str>,
    /// Its logs; `None` if the directory could not be used when the broker started.
    pub store: Option<LogStore<E>>,
}

impl<E: Environment> Directory<E> {
    /// Whether nothing is written there.
    pub fn is_offline(&self) -> bool {
        self.store.as_ref().is_none_or(|store| store.failure().is_some())
    }

    /// Whether there is too little room to take batches of clients.
    pub fn is_short_of_space(&self) -> bool {
        self.store.as_ref().is_some_and(LogStore::is_short_of_space)
    }
}

/// All of them, as they are configured.
pub struct Directories<E: Environment> {
    all: Vec<Directory<E>>,
}

/// A directory that was in order and is not on this shard.
pub struct Unopened {
    /// Which.
    pub directory: DirectoryIndex,
    /// Why.
    pub failure: DiskFailure,
}

impl<E: Environment> Directories<E> {
    /// Opens this shard's store in each; the others are to be told of those that cannot be opened.
    ///
    /// # Errors
    /// The first cannot be opened.
    pub async fn open(
        env: &E,
        config: &StoreConfig,
        directories: &[OpenedDirectory],
    ) -> Result<(Directories<E>, Vec<Unopened>), StoreFailure> {
        let config = config.of_one_directory(directories.len());
        let opening = directories.iter().map(|directory| async {
            let recovered = directory.found.as_ref().ok()?;
            Some(LogStore::open(env.clone(), &directory.path, config.clone(), recovered.clone()).await)
        });
        let (mut all, mut unopened) = (Vec::with_capacity(directories.len()), Vec::new());
        for (index, (opened, directory)) in join_all(opening).await.into_iter().zip(directories).enumerate() {
            let store = match opened {
                Some(Err(failure)) if index == 0 => return Err(failure),
                Some(Err(failure)) => {
                    tracing::error!(directory = %directory.path.display(), %failure, shard = env.shard().0,
                        "a data directory cannot be opened: its partitions are offline, and the others are served");
                    let directory = DirectoryIndex(index.try_into().expect("directories are bounded"));
                    unopened
                        .push(Unopened { directory, failure: disk_failure(failure, &directories[index]) });
                    None
                }
                Some(Ok(store)) => Some(store),
                None => None,
            };
            let name = directory.path.to_string_lossy().into();
            all.push(Directory { path: directory.path.clone(), name, store });
        }
        Ok((Directories { all }, unopened))
    }

    /// The store of the directory that holds the metadata log.
    pub fn first(&self) -> &LogStore<E> {
        self.all[0].store.as_ref().expect("without its first directory a broker does not start")
    }

    /// The store of a directory, if it could be opened.
    pub fn store(&self, directory: DirectoryIndex) -> Option<&LogStore<E>> {
        self.all[usize::from(directory.0)].store.as_ref()
    }

    /// Every directory.
    pub fn iter(&self) -> impl Iterator<Item = &Directory<E>> {
        self.all.iter()
    }

    /// Every directory that could be opened, with its store.
    pub fn stores(&self) -> impl Iterator<Item = (DirectoryIndex, &LogStore<E>)> {
        (0..)
            .map(DirectoryIndex)
            .zip(&self.all)
            .filter_map(|(index, directory)| Some((index, directory.store.as_ref()?)))
    }

    /// Lets the stores give up cached memory, one after the other, until so many bytes of I/O memory are free.
    pub fn make_memory_for(&self, bytes: usize) {
        self.stores().for_each(|(_, store)| store.make_memory_for(bytes));
    }

    /// The first failure since the start.
    pub fn failure(&self) -> Option<Rc<DiskFailure>> {
        self.stores().find_map(|(_, store)| store.failure())
    }

    /// Which of them new partitions may have.
    pub fn with_room(&self) -> Vec<bool> {
        self.all.iter().map(|directory| !directory.is_offline() && !directory.is_short_of_space()).collect()
    }

    /// Which partitions are offline; `None` for none, at next to no cost.
    pub fn outage(&self, places: &Places) -> Option<Outage> {
        let is_offline = self.all.iter().any(Directory::is_offline);
        (is_offline || places.has_lost()).then(|| {
            let offline: Vec<bool> = self.all.iter().map(Directory::is_offline).collect();
            Outage { is_total: offline.iter().all(|offline| *offline), offline, places: places.clone() }
        })
    }
}

fn disk_failure(failure: StoreFailure, directory: &OpenedDirectory) -> DiskFailure {
    match failure {
        StoreFailure::Disk(failure) => failure,
        other => DiskFailure {
            operation: "open",
            path: directory.path.clone(),
            position: None,
            error: io::Error::other(other.to_string()),
        },
    }
}

/// Which partitions are offline, at one moment.
pub struct Outage {
    offline: Vec<bool>,
    is_total: bool,
    places: Places,
}

/// How a partition is offline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Offline {
    /// As in Kafka it has no leader, so that producers choose other partitions.
    Leaderless,
    /// Nothing is left to write to. It is led on, so that whoever reads finds it.
    ReadOnly,
}

impl Outage {
    /// Whether and how a partition is offline.
    pub fn of(&self, id: &TopicPartition) -> Option<Offline> {
        match self.places.of(id) {
            None => Some(Offline::Leaderless),
            Some(directory) if !self.offline[usize::from(directory.0)] => None,
            Some(_) if self.is_total => Some(Offline::ReadOnly),
            Some(_) => Some(Offline::Leaderless),
        }
    }

    /// Changes what an answer says of a partition that is offline.
    pub fn mark(&self, id: &TopicPartition, told: ToldPartition<'_>) {
        let Some(offline) = self.of(id) else { return };
        told.offline_replicas.clone_from(told.replica_nodes);
        if offline == Offline::Leaderless {
            *told.leader_id = -1;
            *told.error_code = ErrorCode::LeaderNotAvailable.number();
        }
    }
}

/// What an answer says of a partition.
pub struct ToldPartition<'t> {
    /// Where its replicas are.
    pub replica_nodes: &'t Vec<i32>,
    /// Which of them are offline.
    pub offline_replicas: &'t mut Vec<i32>,
    /// Who leads it.
    pub leader_id: &'t mut i32,
    /// Why it cannot be used.
    pub error_code: &'t mut i16,
}
