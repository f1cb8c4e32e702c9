//! What a start makes of the files it finds.
//!
//! ```text
//!   checkpoints ──► what each log's segments hold for certain, and which journals live
//!   journals    ──► batches above that: written to their places again
//!   segments    ──► scanned forward from there: checksum, offsets, epochs; what does not continue is the torn tail
//!   ──► new checkpoint (recovered-0, recovered-1): from here on the old journals are void, at once
//! ```
//!
//! Always true: run twice, or cut short anywhere and run again, recovery comes to the same logs. Everything below
//! a known durable end is kept or reported as damage with file and range; that log is then refused and nothing of
//! it is cut. A log that this broker did not write is judged before it is cut: one without a topic is passed over, and one that goes on
//! behind the place where it cannot be followed is refused. Time is bounded by the journals and by what was written since the last checkpoint.

pub(crate) mod checkpoints;
mod directories;
mod journals;
mod replay;
mod replays;
mod survey;
mod unclaimed;

pub use survey::{count_logs, survey};
pub use unclaimed::{Standing, Unclaimed, settle_unclaimed};

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::{DiskFailure, Environment};

use crate::config::StoreConfig;
use crate::disk::{remove_file_if_present, replace_file};
use crate::failure::{Damage, StoreFailure};
use crate::format::checkpoint::{CheckpointBody, PartitionRecord};
use crate::format::names::{checkpoint_directory, journal_root, recovered_checkpoint};
use crate::log::SegmentSummary;
use crate::store::space;
use checkpoints::Lives;
use directories::PartitionDirectory;
use replays::{Finished, Replays};

/// What recovery found. One per broker, shared by all shards.
#[derive(Debug)]
pub struct Recovered {
    start: u64,
    is_clean: bool,
    partitions: BTreeMap<TopicPartition, RecoveredPartition>,
    /// Directories of logs that no topic, no checkpoint and no journal knows. They are as they were found.
    passed_over: BTreeMap<TopicPartition, PathBuf>,
    files: BTreeSet<String>,
}

/// One partition's log as recovery leaves it.
#[derive(Clone, Debug)]
pub(crate) struct RecoveredPartition {
    pub record: PartitionRecord,
    pub sealed: Vec<SegmentSummary>,
    pub damage: Option<Arc<Damage>>,
    pub repair: Option<Repair>,
    /// Checksum files that a checkpoint knows and that are gone.
    pub lost_checksums: Vec<PathBuf>,
    /// Files below the log's start, to be removed.
    leftovers: Vec<PathBuf>,
}

/// What recovery had to do to one log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repair {
    /// The directory.
    pub directory: PathBuf,
    /// Batches written again from the journal.
    pub batches_replayed: u64,
    /// Batches found in the segments above the checkpoint.
    pub batches_scanned: u64,
    /// Bytes behind the last whole batch that were cut off: zeros, or a tail that nobody was told of.
    pub bytes_cut: u64,
}

impl Recovered {
    /// Which start of the broker this is.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Whether the broker had closed its logs: nothing was scanned.
    pub fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Which partitions there are.
    pub fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.partitions.keys().copied()
    }

    /// Logs that are damaged below their durable end, and how.
    pub fn damaged(&self) -> impl Iterator<Item = (TopicPartition, &Damage)> {
        self.partitions.iter().filter_map(|(id, found)| found.damage.as_deref().map(|damage| (*id, damage)))
    }

    /// Checksum files that a checkpoint knows and that are gone. Their segments are served by the checksums of their
    /// batches alone.
    pub fn lost_checksums(&self) -> impl Iterator<Item = &Path> {
        self.partitions.values().flat_map(|found| found.lost_checksums.iter().map(PathBuf::as_path))
    }

    /// What was done to logs.
    pub fn repairs(&self) -> impl Iterator<Item = &Repair> {
        self.partitions.values().filter_map(|found| found.repair.as_ref())
    }

    /// Whether a file of this name lies in the data directory itself.
    pub fn holds_file(&self, name: &str) -> bool {
        self.files.contains(name)
    }

    fn forget(&mut self, id: TopicPartition) {
        self.partitions.remove(&id);
        self.passed_over.remove(&id);
    }

    pub(crate) fn partition(&self, id: TopicPartition) -> Option<&RecoveredPartition> {
        self.partitions.get(&id)
    }
}

/// Brings a data directory into order. Run once, by one shard, before any shard opens its store.
///
/// # Errors
/// The disk refuses, or a file of the broker's own is damaged so that it cannot tell what was durable: then
/// nothing was changed.
pub async fn recover<E: Environment>(
    env: &E,
    data_dir: &Path,
    config: &StoreConfig,
) -> Result<Recovered, StoreFailure> {
    recover_claimed(env, data_dir, config, |_| true).await
}

/// As [`recover`], by whoever knows which logs have a topic: one that has none, and that this broker knows nothing of, is not touched.
///
/// # Errors
/// As [`recover`].
pub async fn recover_claimed<E: Environment>(
    env: &E,
    data_dir: &Path,
    config: &StoreConfig,
    is_claimed: impl Fn(TopicPartition) -> bool,
) -> Result<Recovered, StoreFailure> {
    loop {
        match recover_once(env, data_dir, config, &is_claimed).await {
            Err(StoreFailure::Disk(failure)) if failure.is_out_of_space() => {
                if !space::give_back(env, data_dir).await? {
                    return Err(failure.into());
                }
            }
            recovered => return recovered,
        }
    }
}

async fn recover_once<E: Environment>(
    env: &E,
    data_dir: &Path,
    config: &StoreConfig,
    is_claimed: impl Fn(TopicPartition) -> bool,
) -> Result<Recovered, StoreFailure> {
    prepare(env, data_dir).await?;
    let lives = checkpoints::read(env, data_dir).await?;
    let found = directories::list(env, data_dir).await?;
    settle_names(env, data_dir, &lives, &found.partitions).await?;
    let journals = journals::read(env, data_dir, &lives).await?;
    let mut replays = Replays::begin(env, data_dir, config, &lives, found.partitions, is_claimed);
    journals::replay(env, data_dir, &journals, &mut replays).await?;
    let Finished { mut partitions, passed_over } = replays.finish().await?;
    add_missing(data_dir, &lives, &found.deleted, &mut partitions);
    let leftovers: Vec<PathBuf> =
        partitions.values_mut().flat_map(|found| std::mem::take(&mut found.leftovers)).collect();
    let (start, is_clean) = (lives.start + 1, lives.is_clean());
    let recovered = Recovered { start, is_clean, partitions, passed_over, files: found.files };
    write(env, data_dir, &recovered).await?;
    // From here on the old journals and checkpoints mean nothing.
    checkpoints::remove_obsolete(env, data_dir, env.shard_count()).await?;
    directories::remove_deleted(env, data_dir, &found.leftovers).await?;
    for path in &leftovers {
        remove_file_if_present(env, path).await?;
    }
    report(&recovered);
    Ok(recovered)
}

async fn prepare<E: Environment>(env: &E, data_dir: &Path) -> Result<(), DiskFailure> {
    for directory in [checkpoint_directory(data_dir), journal_root(data_dir)] {
        env.create_directory(&directory).await?;
    }
    env.sync_directory(data_dir).await?;
    match data_dir.parent() {
        // The parent may not be ours to open; losing a data directory that was made just now loses nothing.
        Some(parent) if !parent.as_os_str().is_empty() => env.sync_directory(parent).await.or(Ok(())),
        _ => Ok(()),
    }
}

/// Makes the names in directories stable that no checkpoint knows. Whoever made them may have ended before it did: they can be
/// read, and a loss of power would take them away, the one that says whose the directory is among them. From the checkpoint that
/// is written below on, the log counts as made. The directories' own names are stable: [`prepare`] has seen to it.
async fn settle_names<E: Environment>(
    env: &E,
    data_dir: &Path,
    lives: &Lives,
    directories: &[PartitionDirectory],
) -> Result<(), DiskFailure> {
    for directory in directories.iter().filter(|directory| lives.record(directory.id).is_none()) {
        env.sync_directory(&data_dir.join(&directory.name)).await?;
    }
    Ok(())
}

/// Logs that a checkpoint knows and that have no directory: not empty, lost.
fn add_missing(
    data_dir: &Path,
    lives: &Lives,
    deleted: &[TopicPartition],
    partitions: &mut BTreeMap<TopicPartition, RecoveredPartition>,
) {
    for record in lives.records() {
        let id = record.partition();
        if partitions.contains_key(&id)
            || deleted.contains(&id)
            || record.end_offset == record.log_start_offset
        {
            continue;
        }
        let path = crate::format::names::partition_directory(data_dir, &record.topic, id.partition);
        let damage = Damage {
            path,
            bytes: 0..0,
            offsets: Some(record.log_start_offset..record.end_offset),
            reason: "the directory is gone".to_owned(),
        };
        let damage = Some(Arc::new(damage));
        partitions.insert(
            id,
            RecoveredPartition {
                record: record.clone(),
                sealed: Vec::new(),
                damage,
                repair: None,
                lost_checksums: Vec::new(),
                leftovers: Vec::new(),
            },
        );
    }
}

/// Writes what was found, twice. The first of the two makes all earlier checkpoints and journals void.
async fn write<E: Environment>(env: &E, data_dir: &Path, recovered: &Recovered) -> Result<(), DiskFailure> {
    let body = CheckpointBody {
        start: recovered.start,
        shard_count: env.shard_count(),
        partitions: recovered.partitions.values().map(|found| found.record.clone()).collect(),
        ..CheckpointBody::default()
    };
    let bytes = body.to_bytes();
    for copy in [0, 1] {
        replace_file(env, &recovered_checkpoint(data_dir, copy), &bytes).await?;
    }
    Ok(())
}

fn report(recovered: &Recovered) {
    for repair in recovered.repairs() {
        tracing::info!(
            directory = %repair.directory.display(),
            replayed = repair.batches_replayed,
            scanned = repair.batches_scanned,
            cut_bytes = repair.bytes_cut,
            "a log was brought into order"
        );
    }
    for path in recovered.lost_checksums() {
        tracing::warn!(path = %path.display(), "a segment's checksums are gone; only those of its batches protect it");
    }
    for (_, damage) in recovered.damaged() {
        tracing::error!(%damage, "a log is damaged and refused");
    }
}
