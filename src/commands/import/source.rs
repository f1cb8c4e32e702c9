//! Kafka's log directories: whose they are, that no broker uses them, what lies in them, and the metadata of their cluster.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ringlog_core::ids::{Offset, TopicId};
use ringlog_core::kraft::{KraftImage, KraftReplay};
use ringlog_core::metadata::topic_name::CLUSTER_METADATA_TOPIC;
use ringlog_runtime::host::{RecordLock, RecordLocking, lock_record};
use ringlog_storage::format::names::{SegmentFile, parse_partition_directory, parse_segment_name};
use ringlog_storage::metadata_log;

use crate::commands::failure::CommandFailure;
use crate::commands::import::text_files::{KafkaProperties, parse_offsets};

/// The largest file of metadata that is read.
const METADATA_BYTES_MAX: u64 = 512 << 20;
/// Written by Kafka at the end of an orderly stop, removed when it starts.
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";

/// Everything of a stopped broker.
pub(super) struct Source {
    pub cluster_id: String,
    pub node_id: i32,
    pub directories: Vec<KafkaDirectory>,
    pub image: KraftImage,
    /// Things to tell that are no reason to refuse.
    pub notices: Vec<(PathBuf, String)>,
    _locks: Vec<RecordLock>,
}

/// One of its log directories.
pub(super) struct KafkaDirectory {
    pub path: PathBuf,
    pub id: Option<TopicId>,
    /// Whether Kafka stopped in order: nothing may be torn.
    pub is_clean: bool,
    pub log_starts: BTreeMap<(String, i32), i64>,
    recovery_points: BTreeMap<(String, i32), i64>,
    /// Directories of partitions, by topic and number.
    pub partitions: BTreeMap<(String, i32), PathBuf>,
}

impl KafkaDirectory {
    /// Everything of a partition below was synced.
    pub fn recovery_point(&self, partition: &(String, i32)) -> Offset {
        Offset(self.recovery_points.get(partition).copied().unwrap_or(0))
    }
}

pub(super) fn refused(words: String) -> CommandFailure {
    CommandFailure::Input(words)
}

pub(super) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> CommandFailure + '_ {
    move |error| refused(format!("{} cannot be read: {error}", path.display()))
}

impl Source {
    /// Looks at the directories, and keeps Kafka away from them from now on.
    pub fn open(from: &[PathBuf], metadata_dir: Option<&Path>) -> Result<Source, CommandFailure> {
        let (mut locks, mut notices, mut directories) = (Vec::new(), Vec::new(), Vec::new());
        let mut owner: Option<(PathBuf, KafkaProperties)> = None;
        let beside = metadata_dir.filter(|path| !from.iter().any(|from| from == path));
        for path in from.iter().map(PathBuf::as_path).chain(beside) {
            let properties = whose(path)?;
            locks.extend(lock(path)?);
            match &owner {
                Some((other, first))
                    if (&first.cluster_id, first.node_id) != (&properties.cluster_id, properties.node_id) =>
                {
                    return Err(refused(format!(
                        "{} belongs to node {} of cluster {}, and {} to node {} of cluster {}",
                        other.display(),
                        first.node_id,
                        first.cluster_id,
                        path.display(),
                        properties.node_id,
                        properties.cluster_id
                    )));
                }
                Some(_) => {}
                None => owner = Some((path.to_owned(), properties.clone())),
            }
            if Some(path) != beside {
                directories.push(look_into(path, properties.directory_id, &mut notices)?);
            }
        }
        let (_, owner) =
            owner.ok_or_else(|| CommandFailure::Usage("--from names no directory".to_owned()))?;
        let metadata = metadata_log_of(from, metadata_dir)?;
        let is_clean = metadata.parent().is_some_and(|parent| parent.join(CLEAN_SHUTDOWN).exists());
        let image = read_metadata(&metadata, is_clean, &mut notices)?;
        let KafkaProperties { cluster_id, node_id, .. } = owner;
        Ok(Source { cluster_id, node_id, directories, image, notices, _locks: locks })
    }
}

/// Whose a directory is, if it is one of a Kafka that can be taken over.
fn whose(path: &Path) -> Result<KafkaProperties, CommandFailure> {
    let shown = path.display();
    if path.join(metadata_log::FILE_NAME).exists() || path.join("journal").is_dir() {
        return Err(refused(format!("{shown} is a data directory of Ringlog, not of Kafka")));
    }
    let text = match fs::read_to_string(path.join("meta.properties")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_dir() => {
            return Err(refused(format!(
                "{shown} holds no meta.properties: it is no log directory of a Kafka broker"
            )));
        }
        read => read.map_err(unreadable(path))?,
    };
    KafkaProperties::parse(&text)
        .map_err(|reason| refused(format!("{shown}/meta.properties cannot be used: {reason}")))
}

/// A copy of a directory may have no such file: nobody can use that one.
fn lock(path: &Path) -> Result<Option<RecordLock>, CommandFailure> {
    match lock_record(&path.join(".lock")) {
        Ok(RecordLocking::Held(lock)) => Ok(Some(lock)),
        Ok(RecordLocking::Free) => Ok(None),
        Ok(RecordLocking::Taken) => Err(refused(format!(
            "a Kafka broker runs on {}: stop it first; what it is just writing cannot be taken over",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path)(error)),
    }
}

fn look_into(
    path: &Path,
    id: Option<TopicId>,
    notices: &mut Vec<(PathBuf, String)>,
) -> Result<KafkaDirectory, CommandFailure> {
    let mut partitions = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(unreadable(path))? {
        let entry = entry.map_err(unreadable(path))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let found = entry.path();
        if !found.is_dir() || name == "lost+found" {
            continue;
        }
        match parse_partition_directory(&name) {
            Some((CLUSTER_METADATA_TOPIC, _)) => {}
            Some((topic, partition)) => {
                partitions.insert((topic.to_owned(), partition.0), found);
            }
            None => notices.push((found, "passed over: it is no partition's, or not any more".to_owned())),
        }
    }
    Ok(KafkaDirectory {
        id,
        is_clean: path.join(CLEAN_SHUTDOWN).exists(),
        log_starts: offsets(&path.join("log-start-offset-checkpoint"))?,
        recovery_points: offsets(&path.join("recovery-point-offset-checkpoint"))?,
        partitions,
        path: path.to_owned(),
    })
}

fn offsets(path: &Path) -> Result<BTreeMap<(String, i32), i64>, CommandFailure> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        read => parse_offsets(&read.map_err(unreadable(path))?)
            .map_err(|reason| refused(format!("{} cannot be used: {reason}", path.display()))),
    }
}

/// Where the metadata log is.
fn metadata_log_of(from: &[PathBuf], metadata_dir: Option<&Path>) -> Result<PathBuf, CommandFailure> {
    let name = format!("{CLUSTER_METADATA_TOPIC}-0");
    let places = metadata_dir.map_or_else(|| from.to_vec(), |path| vec![path.to_owned()]);
    let mut found = places.iter().map(|place| place.join(&name)).filter(|path| path.is_dir());
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(refused(format!(
            "there are two metadata logs, {} and {}: say with --metadata-dir which one counts",
            one.display(),
            other.display()
        ))),
        (None, _) => Err(refused(format!(
            "no {name} in {}: name the directory that holds it (metadata.log.dir) with --metadata-dir",
            places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The newest snapshot, and the segments behind it.
fn read_metadata(
    directory: &Path,
    is_clean: bool,
    notices: &mut Vec<(PathBuf, String)>,
) -> Result<KraftImage, CommandFailure> {
    let (mut snapshots, mut segments) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(at) = parse_snapshot_name(&name) {
            snapshots.insert(at, path);
        } else if let Some((base_offset, SegmentFile::Log)) = parse_segment_name(&name) {
            segments.insert(base_offset, path);
        }
    }
    let unusable =
        |path: &Path, fault: &dyn std::fmt::Display| refused(format!("{}: {fault}", path.display()));
    let mut replay = KraftReplay::default();
    if let Some(((end_offset, _), path)) = snapshots.last_key_value() {
        let bytes = read_whole(path)?;
        replay = KraftReplay::snapshot(&bytes, *end_offset).map_err(|fault| unusable(path, &fault))?;
    }
    for path in segments.values() {
        replay.segment(&read_whole(path)?).map_err(|fault| unusable(path, &fault))?;
    }
    if replay.is_torn() {
        let words = format!("the metadata log is torn behind offset {}", replay.next_offset());
        match is_clean {
            true => return Err(unusable(directory, &format!("{words}, though Kafka stopped in order"))),
            false => {
                notices.push((directory.to_owned(), format!("{words}; what came there was never acted by")));
            }
        }
    }
    Ok(replay.finish())
}

/// End offset and epoch of a snapshot.
fn parse_snapshot_name(name: &str) -> Option<(Offset, u32)> {
    let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    if offset.len() != 20 || epoch.len() != 10 {
        return None;
    }
    Some((Offset(offset.parse().ok()?), epoch.parse().ok()?))
}

fn read_whole(path: &Path) -> Result<Vec<u8>, CommandFailure> {
    let length = fs::metadata(path).map_err(unreadable(path))?.len();
    if length > METADATA_BYTES_MAX {
        return Err(refused(format!("{} has {length} bytes, more than is read", path.display())));
    }
    fs::read(path).map_err(unreadable(path))
}
