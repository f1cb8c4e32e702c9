//! From data directories as they are found to the state a broker starts from.
//!
//! ```text
//!   meta.properties: whose are they? no partition in two of them? ──► read the metadata log of the first: is it lost? ──► recover all
//!     ──► settle: new ones get meta.properties, all are known beside the metadata log ──► places of all partitions
//! ```
//!
//! Each directory is a failure domain: one that is missing, unmounted or broken is left out alone. Only the first, which holds the metadata
//! log, must be there.
//!
//! Always true: nothing is changed in a directory before it is known to be this broker's, or nobody's. A partition that is found nowhere is
//! made anew only if every directory that may hold it was found. With one directory, and never another, none of this writes anything.
//! Partitions where the metadata log holds nothing are not begun over: the start ends, and so does the one after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ringlog_core::ids::{BrokerId, TopicId, TopicPartition};
use ringlog_core::metadata::{MetadataImage, MetadataRecord};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode};
use ringlog_storage::metadata_log::known_directories::{self, KnownDirectories};
use ringlog_storage::metadata_log::meta_properties::{MetaProperties, MetaPropertiesFailure};
use ringlog_storage::metadata_log::{self, MetadataLog};
use ringlog_storage::{
    Recovered, Standing, StoreFailure, Unclaimed, count_logs, recover_claimed, settle_unclaimed, survey,
};

use crate::broker::places::{DirectoryIndex, Places, partitions_of};
use crate::broker::{BrokerFailure, BrokerStart};

/// The state a broker starts from. One per broker, shared by all shards.
pub struct Opening {
    /// Its data directories, as they are configured.
    pub directories: Vec<OpenedDirectory>,
    /// Which of them each partition lies in.
    pub places: Places,
    /// The topics there are.
    pub image: Arc<MetadataImage>,
}

/// A data directory when the broker starts.
#[derive(Clone, Debug)]
pub struct OpenedDirectory {
    /// Where it is.
    pub path: PathBuf,
    /// What lies in it, or why it is left out.
    pub found: Result<Arc<Recovered>, String>,
}

/// What recovery did in all directories together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecoverySummary {
    /// Whether nothing had to be done: every directory was closed in order.
    pub is_clean: bool,
    /// Batches written again from journals.
    pub replayed_batches: u64,
    /// Batches found in segments above checkpoints.
    pub scanned_batches: u64,
    /// Bytes behind the last whole batch that were cut off.
    pub cut_bytes: u64,
    /// Logs damaged below their durable end.
    pub damaged_logs: usize,
    /// How long it took.
    pub took: Duration,
}

impl RecoverySummary {
    /// Adds the directories up.
    pub fn of(directories: &[OpenedDirectory], took: Duration) -> RecoverySummary {
        let mut summary = RecoverySummary { is_clean: true, took, ..RecoverySummary::default() };
        for recovered in directories.iter().filter_map(|directory| directory.found.as_deref().ok()) {
            summary.is_clean &= recovered.is_clean();
            summary.damaged_logs += recovered.damaged().count();
            for repair in recovered.repairs() {
                summary.replayed_batches += repair.batches_replayed;
                summary.scanned_batches += repair.batches_scanned;
                summary.cut_bytes += repair.bytes_cut;
            }
        }
        summary
    }
}

/// Why data directories cannot be used together, or not by this broker.
#[derive(Debug)]
pub enum DirectoryRefusal {
    /// Another broker's.
    OtherBroker {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: BrokerId,
        /// Who asks.
        wanted: BrokerId,
    },
    /// Another cluster's.
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// Which cluster it belongs to.
        found: String,
        /// The cluster of the metadata log; empty if that is new.
        wanted: String,
        /// Where the metadata log is.
        first: PathBuf,
    },
    /// A directory with a metadata log is not the first.
    SecondMetadataLog {
        /// The directory.
        path: PathBuf,
        /// The first.
        first: PathBuf,
    },
    /// One is a copy of another.
    Copied {
        /// One.
        path: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A partition lies in two directories.
    TwoPlaces {
        /// The partition's directory in one.
        path: PathBuf,
        /// And in the other.
        other: PathBuf,
    },
    /// Partitions lie in a directory, and the metadata log holds nothing.
    MetadataLost {
        /// Where the metadata log should be.
        first: PathBuf,
        /// The directory with partitions.
        path: PathBuf,
        /// How many they are.
        partition_count: usize,
    },
    /// What says whose a directory is cannot be read.
    Unreadable(MetaPropertiesFailure),
}

impl fmt::Display for DirectoryRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectoryRefusal::OtherBroker { path, found, wanted } => write!(
                formatter,
                "the data directory {} belongs to broker {found}, and this is broker {wanted}: correct log.dirs or node.id",
                path.display()
            ),
            DirectoryRefusal::OtherCluster { path, found, wanted, first } => {
                write!(formatter, "the data directory {} belongs to the cluster {found}, ", path.display())?;
                match wanted.is_empty() {
                    true => write!(
                        formatter,
                        "and {}, where the metadata log should be, holds none: correct log.dirs or metadata.log.dir, or \
                         mount its disk",
                        first.display()
                    ),
                    false => {
                        write!(formatter, "and {} to the cluster {wanted}: correct log.dirs", first.display())
                    }
                }
            }
            DirectoryRefusal::SecondMetadataLog { path, first } => write!(
                formatter,
                "the data directory {} holds a metadata log, and {} comes first: name it with metadata.log.dir, or take \
                 it out of log.dirs",
                path.display(),
                first.display()
            ),
            DirectoryRefusal::Copied { path, other } => write!(
                formatter,
                "the data directories {} and {} have the same directory.id, so one is a copy of the other: take it out of \
                 log.dirs",
                path.display(),
                other.display()
            ),
            DirectoryRefusal::TwoPlaces { path, other } => write!(
                formatter,
                "one partition lies in {} and in {}: nobody can tell which counts. Move one of them out of its data \
                 directory, or back to where it was; nothing was changed",
                path.display(),
                other.display()
            ),
            DirectoryRefusal::MetadataLost { first, path, partition_count } => write!(
                formatter,
                "{} is missing or empty, and {} holds partitions ({partition_count}): nothing says which topics they belong to. \
                 Restore the metadata log from a backup, or move the partitions out of the data directory to begin anew \
                 without them; none of them was touched",
                first.join(metadata_log::FILE_NAME).display(),
                path.display()
            ),
            DirectoryRefusal::Unreadable(failure) => failure.fmt(formatter),
        }
    }
}

impl std::error::Error for DirectoryRefusal {}

/// Whose a directory says it is.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Claim {
    Ours(MetaProperties),
    /// It was never one of several.
    Nobodys,
    Unusable(String),
}

/// Directories found and recovered, with the metadata log of the first.
pub(super) struct FoundDirectories<E: Environment> {
    pub log: MetadataLog<E>,
    /// As the log has it.
    pub image: MetadataImage,
    pub directories: Vec<OpenedDirectory>,
    claims: Vec<Claim>,
    known: KnownDirectories,
}

impl<E: Environment> FoundDirectories<E> {
    /// Recovers every directory that can be, and reads the metadata log.
    pub async fn find(env: &E, start: &BrokerStart) -> Result<FoundDirectories<E>, BrokerFailure> {
        let paths = &start.config.log_dirs;
        let first = &paths[0];
        let mut claims = read_claims(env, start).await?;
        if paths.len() > 1 {
            refuse_two_places(env, paths, &claims).await.map_err(BrokerFailure::Directories)?;
        }
        env.create_directory(first).await.map_err(disk_failure)?;
        let (log, records) = MetadataLog::open(env, first).await.map_err(BrokerFailure::Metadata)?;
        let image = MetadataImage::from_records(&records).map_err(BrokerFailure::Replay)?;
        check_claims(&claims, start, image.cluster_id()).map_err(BrokerFailure::Directories)?;
        check_broker(&image, start).map_err(BrokerFailure::Directories)?;
        if records.is_empty() {
            refuse_lost_metadata(env, paths, &claims).await?;
        }
        let is_claimed = |id: TopicPartition| image.topic_by_id(id.topic).is_some();
        let recovered = recover_claimed(env, first, &start.store, is_claimed).await;
        let recovered = recovered.map_err(BrokerFailure::Store)?;
        let known = match recovered.holds_file(known_directories::FILE_NAME) {
            true => KnownDirectories::read(env, first).await.map_err(unreadable)?,
            false => KnownDirectories::default(),
        };
        leave_unmounted_out(&mut claims, &known, paths);
        let others = paths.iter().zip(&claims).skip(1);
        let others =
            join_all(others.map(|(path, claim)| recover_other(env, path, claim, start, is_claimed))).await;
        let first = OpenedDirectory { path: first.clone(), found: Ok(Arc::new(recovered)) };
        let mut directories: Vec<_> = std::iter::once(first).chain(others).collect();
        settle_unclaimed_logs(env, &mut directories, &image, &records).await?;
        Ok(FoundDirectories { log, image, directories, claims, known })
    }

    /// Makes the directories known, new ones with a `meta.properties` of their own; then says where each partition lies.
    pub async fn settle(
        &mut self,
        env: &E,
        start: &BrokerStart,
        image: &MetadataImage,
    ) -> Result<Places, BrokerFailure> {
        if self.directories.len() == 1 && self.known.paths.is_empty() {
            return Ok(Places::in_one());
        }
        let known_before = self.known.clone();
        for index in 0..self.directories.len() {
            let made = self.make_known(env, index, start.config.node_id, image.cluster_id()).await;
            match made {
                Err(failure) if index == 0 => return Err(unreadable(failure)),
                Err(failure) => self.directories[index].found = Err(failure.to_string()),
                Ok(()) => {}
            }
        }
        if self.known != known_before {
            let first = &self.directories[0].path;
            self.known.write(env, first).await.map_err(disk_failure)?;
        }
        self.tell_missing();
        Ok(self.places(image))
    }

    async fn make_known(
        &mut self,
        env: &E,
        index: usize,
        node_id: BrokerId,
        cluster_id: &str,
    ) -> Result<(), MetaPropertiesFailure> {
        let OpenedDirectory { path, found } = &self.directories[index];
        if found.is_err() {
            return Ok(());
        }
        if self.claims[index] == Claim::Nobodys {
            let meta = MetaProperties {
                cluster_id: cluster_id.to_owned(),
                node_id,
                directory_id: TopicId::from_random(env.random(), env.random()),
            };
            meta.write(env, path).await?;
            self.claims[index] = Claim::Ours(meta);
        }
        if let Claim::Ours(meta) = &self.claims[index] {
            self.known.paths.insert(meta.directory_id, path.clone());
        }
        Ok(())
    }

    /// Known directories that were not found, or not recovered.
    fn missing(&self) -> impl Iterator<Item = (&TopicId, &PathBuf)> {
        let found = self.claims.iter().zip(&self.directories).filter_map(|(claim, directory)| match claim {
            Claim::Ours(meta) if directory.found.is_ok() => Some(meta.directory_id),
            _ => None,
        });
        let found: BTreeSet<TopicId> = found.collect();
        self.known.paths.iter().filter(move |(id, _)| !found.contains(id))
    }

    fn tell_missing(&self) {
        for directory in &self.directories {
            if let Err(reason) = &directory.found {
                tracing::error!(directory = %directory.path.display(), %reason,
                    "a data directory cannot be used: its partitions are offline, and the others are served");
            }
        }
        for (id, path) in self.missing() {
            tracing::warn!(directory_id = %id, was = %path.display(),
                "a data directory is missing: partitions that are found nowhere stay offline until it is back");
        }
    }

    /// Where each partition of the image lies.
    fn places(&self, image: &MetadataImage) -> Places {
        let mut places = Places::in_several(self.directories.len());
        let found = self.found_partitions();
        let all = || image.topics().flat_map(|topic| partitions_of(topic));
        for id in all() {
            if let Some(directory) = found.get(&id) {
                places.put(id, *directory);
            }
        }
        if self.missing().next().is_some() {
            places.note_lost();
            return places;
        }
        // Their directories were not made before the last stop.
        let may_have: Vec<bool> = self.directories.iter().map(|directory| directory.found.is_ok()).collect();
        for id in all().filter(|id| !found.contains_key(id)) {
            places.give(id, &may_have);
        }
        places
    }

    fn found_partitions(&self) -> BTreeMap<TopicPartition, DirectoryIndex> {
        let directories = (0..).map(DirectoryIndex).zip(&self.directories);
        let found =
            directories.filter_map(|(index, directory)| Some((index, directory.found.as_ref().ok()?)));
        found.flat_map(|(index, recovered)| recovered.partitions().map(move |id| (id, index))).collect()
    }
}

fn disk_failure(failure: DiskFailure) -> BrokerFailure {
    BrokerFailure::Store(StoreFailure::Disk(failure))
}

fn unreadable(failure: MetaPropertiesFailure) -> BrokerFailure {
    BrokerFailure::Directories(DirectoryRefusal::Unreadable(failure))
}

/// Asks every directory whose it is, changing nothing.
async fn read_claims<E: Environment>(env: &E, start: &BrokerStart) -> Result<Vec<Claim>, BrokerFailure> {
    let paths = &start.config.log_dirs;
    let mut claims = Vec::with_capacity(paths.len());
    for (index, path) in paths.iter().enumerate() {
        let claim = match start.unusable.get(path) {
            Some(reason) => Claim::Unusable(reason.clone()),
            None => read_claim(env, path).await.map_err(unreadable)?,
        };
        match claim {
            Claim::Unusable(reason) if index == 0 => {
                let error = std::io::Error::other(reason);
                let failure = DiskFailure { operation: "open", path: path.clone(), position: None, error };
                return Err(disk_failure(failure));
            }
            claim => claims.push(claim),
        }
        if index > 0 && holds_metadata_log(env, path).await {
            let refusal = DirectoryRefusal::SecondMetadataLog { path: path.clone(), first: paths[0].clone() };
            return Err(BrokerFailure::Directories(refusal));
        }
    }
    Ok(claims)
}

async fn read_claim<E: Environment>(env: &E, path: &Path) -> Result<Claim, MetaPropertiesFailure> {
    match MetaProperties::read(env, path).await {
        Ok(Some(meta)) => Ok(Claim::Ours(meta)),
        Ok(None) => Ok(Claim::Nobodys),
        Err(MetaPropertiesFailure::Disk(failure)) => Ok(Claim::Unusable(failure.to_string())),
        Err(failure) => Err(failure),
    }
}

/// One that cannot be read is found to be unusable elsewhere; a start that was refused may have left an empty one.
async fn holds_metadata_log<E: Environment>(env: &E, path: &Path) -> bool {
    match env.open(&path.join(metadata_log::FILE_NAME), OpenMode::BufferedRead).await {
        Ok(file) => file.length().await.is_ok_and(|length| length > 0),
        Err(_) => false,
    }
}

/// Looks before recovery writes down that a directory has what it was found to have. A directory that cannot be looked at is left to that.
async fn refuse_two_places<E: Environment>(
    env: &E,
    paths: &[PathBuf],
    claims: &[Claim],
) -> Result<(), DirectoryRefusal> {
    let mut places = BTreeMap::<TopicPartition, PathBuf>::new();
    for (path, claim) in paths.iter().zip(claims) {
        if matches!(claim, Claim::Unusable(_)) {
            continue;
        }
        for (id, path) in survey(env, path).await.unwrap_or_default() {
            if let Some(other) = places.insert(id, path.clone()) {
                return Err(DirectoryRefusal::TwoPlaces { path: other, other: path });
            }
        }
    }
    Ok(())
}

/// A metadata log without a record is a new broker's, or lost. To go on as a new one would give every partition up: the next start would
/// know topics, and these are not among them.
async fn refuse_lost_metadata<E: Environment>(
    env: &E,
    paths: &[PathBuf],
    claims: &[Claim],
) -> Result<(), BrokerFailure> {
    for (index, (path, claim)) in paths.iter().zip(claims).enumerate() {
        if matches!(claim, Claim::Unusable(_)) {
            continue;
        }
        let partition_count = match count_logs(env, path).await {
            Err(failure) if index == 0 => return Err(disk_failure(failure)),
            // It fails alone, when it is recovered.
            counted => counted.unwrap_or(0),
        };
        if partition_count > 0 {
            let (first, path) = (paths[0].clone(), path.clone());
            let refusal = DirectoryRefusal::MetadataLost { first, path, partition_count };
            return Err(BrokerFailure::Directories(refusal));
        }
    }
    Ok(())
}

fn check_claims(claims: &[Claim], start: &BrokerStart, cluster_id: &str) -> Result<(), DirectoryRefusal> {
    let (paths, wanted) = (&start.config.log_dirs, start.config.node_id);
    let mut seen = BTreeMap::<TopicId, &PathBuf>::new();
    for (place, claim) in paths.iter().zip(claims) {
        let Claim::Ours(meta) = claim else { continue };
        let path = place.clone();
        if meta.node_id != wanted {
            return Err(DirectoryRefusal::OtherBroker { path, found: meta.node_id, wanted });
        }
        if meta.cluster_id != cluster_id {
            let (found, wanted) = (meta.cluster_id.clone(), cluster_id.to_owned());
            return Err(DirectoryRefusal::OtherCluster { path, found, wanted, first: paths[0].clone() });
        }
        if let Some(other) = seen.insert(meta.directory_id, place) {
            return Err(DirectoryRefusal::Copied { path, other: other.clone() });
        }
    }
    Ok(())
}

/// A directory without a `meta.properties` says whose it is by its metadata: of a broker with another id its partitions would have no
/// leader.
fn check_broker(image: &MetadataImage, start: &BrokerStart) -> Result<(), DirectoryRefusal> {
    let wanted = start.config.node_id;
    match image.brokers().map(|broker| broker.id).find(|id| *id != wanted) {
        Some(found) => {
            Err(DirectoryRefusal::OtherBroker { path: start.config.log_dirs[0].clone(), found, wanted })
        }
        None => Ok(()),
    }
}

/// An empty directory where a known one was is its mount point, or another disk: either way not what it should be.
fn leave_unmounted_out(claims: &mut [Claim], known: &KnownDirectories, paths: &[PathBuf]) {
    let found: BTreeSet<TopicId> = claims
        .iter()
        .filter_map(|claim| match claim {
            Claim::Ours(meta) => Some(meta.directory_id),
            _ => None,
        })
        .collect();
    for (path, claim) in paths.iter().zip(claims).skip(1) {
        let was = known.paths.iter().find(|(id, was)| *was == path && !found.contains(*id));
        if let (Claim::Nobodys, Some((id, _))) = (&*claim, was) {
            *claim = Claim::Unusable(format!(
                "it is empty, where the directory {id} was: mount its disk. To give up what that one held for ever, remove its \
                 line from {}",
                paths[0].join(known_directories::FILE_NAME).display()
            ));
        }
    }
}

/// Brings deletions to their end that a crash cut short, and moves aside what belongs to no topic.
async fn settle_unclaimed_logs<E: Environment>(
    env: &E,
    directories: &mut [OpenedDirectory],
    image: &MetadataImage,
    records: &[MetadataRecord],
) -> Result<(), BrokerFailure> {
    let deleted: BTreeSet<TopicId> = records
        .iter()
        .filter_map(|record| match record {
            MetadataRecord::TopicDeleted { id } => Some(TopicId(*id)),
            _ => None,
        })
        .collect();
    let standing = |id: TopicPartition| match image.topic_by_id(id.topic) {
        Some(_) => Standing::Claimed,
        None if deleted.contains(&id.topic) => Standing::Deleted,
        None => Standing::Unknown,
    };
    for (index, directory) in directories.iter_mut().enumerate() {
        let (path, Ok(recovered)) = (&directory.path, &mut directory.found) else { continue };
        match settle_unclaimed(env, path, recovered, standing).await {
            Ok(unclaimed) => tell_unclaimed(&unclaimed),
            Err(failure) if failure.is_out_of_space() => {
                tracing::warn!(%failure, "directories that no topic has stay until there is room to rename them");
            }
            Err(failure) if index == 0 => return Err(disk_failure(failure)),
            Err(failure) => directory.found = Err(failure.to_string()),
        }
    }
    Ok(())
}

fn tell_unclaimed(unclaimed: &Unclaimed) {
    for directory in &unclaimed.removed {
        tracing::info!(directory = %directory.display(), "the deletion of a topic was cut short and is done now");
    }
    for (directory, aside) in &unclaimed.aside {
        tracing::warn!(directory = %directory.display(), aside = %aside.display(),
            "a directory belongs to no topic and was moved aside; nothing removes it");
    }
}

async fn recover_other<E: Environment>(
    env: &E,
    path: &Path,
    claim: &Claim,
    start: &BrokerStart,
    is_claimed: impl Fn(TopicPartition) -> bool,
) -> OpenedDirectory {
    let found = match claim {
        Claim::Unusable(reason) => Err(reason.clone()),
        Claim::Ours(_) | Claim::Nobodys => {
            let recovered = recover_claimed(env, path, &start.store, is_claimed).await;
            recovered.map(Arc::new).map_err(|failure| failure.to_string())
        }
    };
    OpenedDirectory { path: path.to_owned(), found }
}
