//! Which partition directories there are, whose they are and which segments lie in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_runtime::environment::{DiskFailure, EntryKind, Environment};

use crate::format::names::{
    SegmentFile, is_deleted_directory, parse_partition_directory, parse_segment_name,
};
use crate::store::directories::{is_unfinished, owner, remove_directory};

/// A partition's directory.
#[derive(Clone, Debug)]
pub(super) struct PartitionDirectory {
    pub name: String,
    pub topic: String,
    pub id: TopicPartition,
    /// Log files by base offset, with their length.
    pub segments: BTreeMap<Offset, u64>,
    /// The lengths of checksum files.
    pub checksums: BTreeMap<Offset, u64>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub partitions: Vec<PartitionDirectory>,
    /// Logs whose deletion had begun.
    pub deleted: Vec<TopicPartition>,
    /// Directories being deleted, and those that nothing lies in yet.
    pub leftovers: Vec<String>,
    /// Files beside the directories.
    pub files: BTreeSet<String>,
}

/// Lists the data directory.
pub(super) async fn list<E: Environment>(env: &E, data_dir: &Path) -> Result<Found, DiskFailure> {
    let mut found = Found::default();
    for entry in env.list_directory(data_dir).await? {
        if entry.kind != EntryKind::Directory {
            found.files.insert(entry.name);
            continue;
        }
        let is_deleted = is_deleted_directory(&entry.name);
        let name =
            if is_deleted { entry.name.rsplit_once('.').map_or("", |parts| parts.0) } else { &entry.name };
        let Some((topic, partition)) = parse_partition_directory(name) else { continue };
        let owner = owner(env, &data_dir.join(&entry.name)).await?;
        let id = owner.map(|topic| TopicPartition { topic, partition });
        match id {
            Some(id) if is_deleted => found.deleted.push(id),
            Some(id) => {
                let topic = topic.to_owned();
                found.partitions.push(list_partition(env, data_dir, entry.name.clone(), topic, id).await?);
            }
            // Its making was cut short. Its topic has it made again, if it is not deleted by now.
            None if is_unfinished(env, &data_dir.join(&entry.name)).await? => {
                found.leftovers.push(entry.name);
                continue;
            }
            // Empty, or not ours: making the log will tell.
            None => {}
        }
        if is_deleted {
            found.leftovers.push(entry.name);
        }
    }
    Ok(found)
}

async fn list_partition<E: Environment>(
    env: &E,
    data_dir: &Path,
    name: String,
    topic: String,
    id: TopicPartition,
) -> Result<PartitionDirectory, DiskFailure> {
    let (mut segments, mut checksums) = (BTreeMap::new(), BTreeMap::new());
    for entry in env.list_directory(&data_dir.join(&name)).await? {
        match parse_segment_name(&entry.name) {
            Some((base_offset, SegmentFile::Log)) => {
                segments.insert(base_offset, entry.length);
            }
            Some((base_offset, SegmentFile::Checksums)) => {
                checksums.insert(base_offset, entry.length);
            }
            Some((_, SegmentFile::OffsetIndex | SegmentFile::TimeIndex)) | None => {}
        }
    }
    Ok(PartitionDirectory { name, topic, id, segments, checksums })
}

/// Removes what deletions left.
pub(super) async fn remove_deleted<E: Environment>(
    env: &E,
    data_dir: &Path,
    leftovers: &[String],
) -> Result<(), DiskFailure> {
    for name in leftovers {
        remove_directory(env, &data_dir.join(name)).await?;
    }
    if leftovers.is_empty() { Ok(()) } else { env.sync_directory(data_dir).await }
}
