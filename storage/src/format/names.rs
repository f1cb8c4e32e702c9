//! What files and directories are called: Kafka's names for what Kafka knows, our own beside them.
//!
//! ```text
//!   DIR/orders-0/00000000000000000000.log  .index  .timeindex  .checksums   leader-epoch-checkpoint   partition.metadata
//!   DIR/journal/shard-0/00000001.journal   reserve   DIR/checkpoint/shard-0-1.checkpoint   recovered-0.checkpoint
//!   DIR/orders-0.3f..e1-delete (being removed)   DIR/orders-0.3f..e1-stray (of no topic, or of another than it is named for)
//! ```

use std::path::{Path, PathBuf};

use ringlog_core::ids::{Offset, PartitionIndex};

/// A segment's files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentFile {
    /// The batches.
    Log,
    /// Offset to position.
    OffsetIndex,
    /// Timestamp to offset.
    TimeIndex,
    /// A checksum for each block: our own.
    Checksums,
}

impl SegmentFile {
    fn extension(self) -> &'static str {
        match self {
            SegmentFile::Log => "log",
            SegmentFile::OffsetIndex => "index",
            SegmentFile::TimeIndex => "timeindex",
            SegmentFile::Checksums => "checksums",
        }
    }
}

/// The path of a segment's file.
pub fn segment_path(directory: &Path, base_offset: Offset, file: SegmentFile) -> PathBuf {
    directory.join(format!("{:020}.{}", base_offset.0, file.extension()))
}

/// Which segment file a name stands for.
pub fn parse_segment_name(name: &str) -> Option<(Offset, SegmentFile)> {
    let (stem, extension) = name.split_once('.')?;
    if stem.len() != 20 || !stem.bytes().all(|symbol| symbol.is_ascii_digit()) {
        return None;
    }
    let file = [SegmentFile::Log, SegmentFile::OffsetIndex, SegmentFile::TimeIndex, SegmentFile::Checksums]
        .into_iter()
        .find(|file| file.extension() == extension)?;
    Some((Offset(stem.parse().ok()?), file))
}

/// A partition's directory.
pub fn partition_directory(data_dir: &Path, topic: &str, partition: PartitionIndex) -> PathBuf {
    data_dir.join(format!("{topic}-{partition}"))
}

/// Topic and partition of a directory's name. Names of directories being deleted are none.
pub fn parse_partition_directory(name: &str) -> Option<(&str, PartitionIndex)> {
    let (topic, partition) = name.rsplit_once('-')?;
    if topic.is_empty() || !partition.bytes().all(|symbol| symbol.is_ascii_digit()) {
        return None;
    }
    Some((topic, PartitionIndex(partition.parse().ok()?)))
}

/// What a directory is renamed to before it is removed.
pub fn deleted_directory(directory: &Path, random: u64) -> PathBuf {
    crate::disk::with_suffix(directory, &format!(".{random:016x}-delete"))
}

/// What a directory is renamed to whose topic nobody knows, or whose name belongs to another one by now.
pub fn stray_directory(directory: &Path, random: u64) -> PathBuf {
    crate::disk::with_suffix(directory, &format!(".{random:016x}-stray"))
}

/// Whether a directory is one that was being deleted.
pub fn is_deleted_directory(name: &str) -> bool {
    is_renamed(name, "-delete")
}

/// Whether a directory was moved aside.
pub fn is_stray_directory(name: &str) -> bool {
    is_renamed(name, "-stray")
}

fn is_renamed(name: &str, suffix: &str) -> bool {
    let Some((rest, renamed)) = name.rsplit_once('.') else { return false };
    let is_ours = renamed
        .strip_suffix(suffix)
        .is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|symbol| symbol.is_ascii_hexdigit()));
    is_ours && parse_partition_directory(rest).is_some()
}

/// Where all shards' journals lie.
pub fn journal_root(data_dir: &Path) -> PathBuf {
    data_dir.join("journal")
}

/// Where one shard's journal lies.
pub fn journal_directory(data_dir: &Path, shard: u16) -> PathBuf {
    journal_root(data_dir).join(format!("shard-{shard}"))
}

/// The path of a journal file; the first has number 1.
pub fn journal_file(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:08}.journal"))
}

/// A journal file's number.
pub fn parse_journal_file(name: &str) -> Option<u32> {
    let number = name.strip_suffix(".journal")?;
    if number.len() != 8 {
        return None;
    }
    number.parse().ok()
}

/// The file beside a journal that holds room for when the disk is full.
pub fn reserve_file(directory: &Path) -> PathBuf {
    directory.join("reserve")
}

/// Where checkpoints lie.
pub fn checkpoint_directory(data_dir: &Path) -> PathBuf {
    data_dir.join("checkpoint")
}

/// One of the two files a shard's checkpoints alternate between.
pub fn shard_checkpoint(data_dir: &Path, shard: u16, number: u64) -> PathBuf {
    checkpoint_directory(data_dir).join(format!("shard-{shard}-{}.checkpoint", number % 2))
}

/// One of the two copies of what the last recovery found.
pub fn recovered_checkpoint(data_dir: &Path, copy: u8) -> PathBuf {
    checkpoint_directory(data_dir).join(format!("recovered-{copy}.checkpoint"))
}

/// Whose checkpoint a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CheckpointOwner {
    /// The last recovery.
    Recovery,
    /// A shard.
    Shard(u16),
}

/// Whose checkpoint a name stands for.
pub fn parse_checkpoint_name(name: &str) -> Option<CheckpointOwner> {
    let (owner, copy) = name.strip_suffix(".checkpoint")?.rsplit_once('-')?;
    if !matches!(copy, "0" | "1") {
        return None;
    }
    match owner.strip_prefix("shard-") {
        Some(shard) => Some(CheckpointOwner::Shard(shard.parse().ok()?)),
        None => (owner == "recovered").then_some(CheckpointOwner::Recovery),
    }
}

/// Kafka's file with the leader epochs of a partition.
pub fn leader_epoch_checkpoint(directory: &Path) -> PathBuf {
    directory.join("leader-epoch-checkpoint")
}

/// Kafka's file that says whose directory it is.
pub fn partition_metadata(directory: &Path) -> PathBuf {
    directory.join("partition.metadata")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_names_are_kafkas_and_read_back() {
        let path = segment_path(Path::new("/d/t-0"), Offset(368_769), SegmentFile::TimeIndex);
        assert_eq!(path, Path::new("/d/t-0/00000000000000368769.timeindex"));
        assert_eq!(parse_segment_name("00000000000000368769.log"), Some((Offset(368_769), SegmentFile::Log)));
        for name in ["368769.log", "00000000000000368769.snapshot", "0000000000000036876x.log", "a.log"] {
            assert_eq!(parse_segment_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_partition_directory_is_split_at_its_last_dash() {
        assert_eq!(parse_partition_directory("my-topic-12"), Some(("my-topic", PartitionIndex(12))));
        for name in ["journal", "-3", "topic-", "topic-0.00000000000000ff-delete", "topic--1x"] {
            assert_eq!(parse_partition_directory(name), None, "{name}");
        }
        let deleted = deleted_directory(Path::new("/d/my-topic-12"), 255);
        assert_eq!(deleted, Path::new("/d/my-topic-12.00000000000000ff-delete"));
        assert!(is_deleted_directory("my-topic-12.00000000000000ff-delete"));
        assert!(!is_deleted_directory("my-delete-12"));
        let stray = stray_directory(Path::new("/d/my-topic-12"), 255);
        assert_eq!(stray, Path::new("/d/my-topic-12.00000000000000ff-stray"));
        assert!(is_stray_directory("my-topic-12.00000000000000ff-stray"));
        assert!(!is_stray_directory("my-topic-12.00000000000000ff-delete"));
    }

    #[test]
    fn checkpoints_name_their_owner() {
        let shard = shard_checkpoint(Path::new("/d"), 3, 7);
        assert_eq!(shard, Path::new("/d/checkpoint/shard-3-1.checkpoint"));
        assert_eq!(parse_checkpoint_name("shard-3-1.checkpoint"), Some(CheckpointOwner::Shard(3)));
        assert_eq!(parse_checkpoint_name("recovered-0.checkpoint"), Some(CheckpointOwner::Recovery));
        for name in ["shard-3-2.checkpoint", "shard-x-1.checkpoint", "recovered-0.checkpoint.tmp"] {
            assert_eq!(parse_checkpoint_name(name), None, "{name}");
        }
    }
}
