//! Which logs a data directory has, before anything in it is changed: of several directories, no two may have the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringlog_core::ids::TopicPartition;
use ringlog_runtime::environment::{DiskFailure, Environment};

use super::{checkpoints, directories};
use crate::failure::StoreFailure;
use crate::format::names::partition_directory;

/// The directory of each log that lies in a data directory, or should: one that a checkpoint knows and that is gone was moved
/// away by somebody.
///
/// # Errors
/// The disk refuses, or checkpoints are damaged.
pub async fn survey<E: Environment>(
    env: &E,
    data_dir: &Path,
) -> Result<BTreeMap<TopicPartition, PathBuf>, StoreFailure> {
    let found = directories::list(env, data_dir).await?;
    let lives = match checkpoints::read(env, data_dir).await {
        // A first start.
        Err(StoreFailure::Disk(failure)) if failure.is_not_found() => checkpoints::Lives::default(),
        lives => lives?,
    };
    let recorded = lives.records().filter(|record| record.end_offset != record.log_start_offset);
    let recorded = recorded.map(|record| {
        let id = record.partition();
        (id, partition_directory(data_dir, &record.topic, id.partition))
    });
    let mut logs: BTreeMap<_, _> = recorded.filter(|(id, _)| !found.deleted.contains(id)).collect();
    logs.extend(found.partitions.iter().map(|directory| (directory.id, data_dir.join(&directory.name))));
    Ok(logs)
}

/// How many logs lie in a data directory; none if it is not there. Nothing is changed.
///
/// # Errors
/// The disk refuses.
pub async fn count_logs<E: Environment>(env: &E, data_dir: &Path) -> Result<usize, DiskFailure> {
    match directories::list(env, data_dir).await {
        Ok(found) => Ok(found.partitions.len()),
        Err(failure) if failure.is_not_found() => Ok(0),
        Err(failure) => Err(failure),
    }
}
