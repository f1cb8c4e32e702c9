//! The files of a data directory that was made from other logs, as the first start finds them.

use std::path::{Path, PathBuf};

use ringlog_core::metadata::MetadataRecord;

use crate::format::checkpoint::{CheckpointBody, PartitionRecord};
use crate::format::names::{checkpoint_directory, recovered_checkpoint};
use crate::metadata_log::{self, MetadataLogFailure};

/// While this file is in a data directory, it is not all there: a broker does not start on it.
pub const UNFINISHED_NAME: &str = "import.unfinished";

/// Whether a data directory is being made, or its making was cut short.
pub fn is_unfinished(data_dir: &Path) -> bool {
    data_dir.join(UNFINISHED_NAME).exists()
}

/// Directories that must be there beside those of partitions.
pub fn directories(data_dir: &Path) -> Vec<PathBuf> {
    vec![checkpoint_directory(data_dir)]
}

/// The files beside the partitions' directories, with their content.
///
/// # Errors
/// Records that no frame takes.
pub fn files(
    data_dir: &Path,
    logs: Vec<PartitionRecord>,
    records: &[Vec<MetadataRecord>],
) -> Result<Vec<(PathBuf, Vec<u8>)>, MetadataLogFailure> {
    let body = CheckpointBody { start: 1, shard_count: 1, partitions: logs, ..CheckpointBody::default() };
    let checkpoint = body.to_bytes();
    Ok(vec![
        (recovered_checkpoint(data_dir, 0), checkpoint.clone()),
        (recovered_checkpoint(data_dir, 1), checkpoint),
        (data_dir.join(metadata_log::FILE_NAME), metadata_log::initial_bytes(records)?),
    ])
}
