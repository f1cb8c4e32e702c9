//! Reading what the journals of the latest start hold above their checkpoints.
//!
//! ```text
//!   every block of every file: does a commit of this shard and generation begin here, and verify?
//!     ──► by sequence:  checkpoint 41 | 42 43 44 45 | (46 torn: nothing) ──► replay 42..45
//!                       checkpoint 41 | 42 43    45 |                    ──► 44 is damaged: refuse
//! ```
//!
//! Always true: commit n + 1 was submitted only after n was stable. So the last commit may be missing, and any
//! other that is missing was damaged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode};

use super::checkpoints::Lives;
use super::replays::Replays;
use crate::disk::{BLOCK, buffer};
use crate::failure::{Damage, StoreFailure};
use crate::format::checkpoint::CheckpointBody;
use crate::format::commit::{Commit, CommitHeader, HEADER_BYTES};
use crate::format::names::{journal_directory, journal_file, journal_root, parse_journal_file};

/// One read while looking for commits.
const READ_BYTES: usize = 256 << 10;
/// No commit is longer: a length beyond it is damage. Far above every configuration.
const COMMIT_BYTES_MAX: usize = 64 << 20;

/// Where a commit lies that is to be replayed.
#[derive(Clone, Debug)]
pub(super) struct FoundCommit {
    path: PathBuf,
    position: u64,
    header: CommitHeader,
    shard: u16,
}

/// Finds all commits to replay, by shard and sequence.
pub(super) async fn read<E: Environment>(
    env: &E,
    data_dir: &Path,
    lives: &Lives,
) -> Result<Vec<FoundCommit>, StoreFailure> {
    if lives.start == 0 {
        refuse_orphans(env, data_dir).await?;
    }
    let mut all = Vec::new();
    for (shard, checkpoint) in &lives.shards {
        if checkpoint.is_clean {
            continue;
        }
        let found = find_commits(env, data_dir, *shard, checkpoint).await?;
        all.extend(chain(data_dir, *shard, checkpoint, found)?);
    }
    Ok(all)
}

async fn find_commits<E: Environment>(
    env: &E,
    data_dir: &Path,
    shard: u16,
    checkpoint: &CheckpointBody,
) -> Result<BTreeMap<u64, FoundCommit>, DiskFailure> {
    let mut found = BTreeMap::new();
    for path in journal_files(env, &journal_directory(data_dir, shard)).await? {
        let mut bytes = JournalBytes::open(env, &path).await?;
        let mut position = 0;
        while let Some(block) = bytes.get(position, HEADER_BYTES).await? {
            position += match CommitHeader::peek(block, shard, checkpoint.generation) {
                Some(header) => {
                    let commit = FoundCommit { path: path.clone(), position, header, shard };
                    verified_bytes(&mut bytes, &commit).await?.map_or(BLOCK, |_| {
                        if header.sequence() > checkpoint.sequence {
                            found.insert(header.sequence(), commit);
                        }
                        header.padded_length() as u64
                    })
                }
                None => BLOCK,
            };
        }
    }
    Ok(found)
}

async fn journal_files<E: Environment>(env: &E, directory: &Path) -> Result<Vec<PathBuf>, DiskFailure> {
    let entries = match env.list_directory(directory).await {
        Err(failure) if failure.is_not_found() => return Ok(Vec::new()),
        other => other?,
    };
    let numbers = entries.iter().filter_map(|entry| parse_journal_file(&entry.name));
    Ok(numbers.map(|number| journal_file(directory, number)).collect())
}

async fn verified_bytes<E: Environment>(
    bytes: &mut JournalBytes<'_, E>,
    commit: &FoundCommit,
) -> Result<Option<Vec<u8>>, DiskFailure> {
    if commit.header.length() > COMMIT_BYTES_MAX {
        return Ok(None);
    }
    let Some(bytes) = bytes.get(commit.position, commit.header.length()).await? else { return Ok(None) };
    Ok(Commit::verify(commit.header, bytes).map(|_| bytes.to_vec()))
}

/// Checks that the commits follow the checkpoint and each other without a hole.
fn chain(
    data_dir: &Path,
    shard: u16,
    checkpoint: &CheckpointBody,
    found: BTreeMap<u64, FoundCommit>,
) -> Result<Vec<FoundCommit>, StoreFailure> {
    let (mut sequence, mut checksum) = (checkpoint.sequence, checkpoint.checksum);
    for commit in found.values() {
        if commit.header.sequence() != sequence + 1 || commit.header.previous_checksum() != checksum {
            let reason = format!(
                "commit {} does not follow commit {sequence}, and commit {} proves that it was written",
                sequence + 1,
                commit.header.sequence()
            );
            let bytes = commit.position..commit.position + commit.header.length() as u64;
            let path =
                if found.is_empty() { journal_directory(data_dir, shard) } else { commit.path.clone() };
            return Err(Damage { path, bytes, offsets: None, reason }.into());
        }
        (sequence, checksum) = (commit.header.sequence(), commit.header.checksum());
    }
    Ok(found.into_values().collect())
}

/// Writes the batches of all commits to their logs, in order.
pub(super) async fn replay<E: Environment>(
    env: &E,
    data_dir: &Path,
    commits: &[FoundCommit],
    replays: &mut Replays<'_, E>,
) -> Result<(), StoreFailure> {
    let mut open: Option<(PathBuf, JournalBytes<'_, E>)> = None;
    for commit in commits {
        if open.as_ref().is_none_or(|(path, _)| *path != commit.path) {
            open = Some((commit.path.clone(), JournalBytes::open(env, &commit.path).await?));
        }
        let (_, journal) = open.as_mut().expect("just opened");
        let Some(bytes) = verified_bytes(journal, commit).await? else {
            let path = journal_directory(data_dir, commit.shard);
            let reason = "a commit read well once and not twice".to_owned();
            let bytes = commit.position..commit.position + commit.header.length() as u64;
            return Err(Damage { path, bytes, offsets: None, reason }.into());
        };
        let verified = Commit::verify(commit.header, &bytes).expect("verified just now");
        for (entry, payload) in verified.entries() {
            // A log without a directory was deleted after this commit.
            if let Some(replay) = replays.named(entry.partition) {
                replay.apply(&entry, payload).await?;
            }
        }
    }
    Ok(())
}

/// A journal with commits and no checkpoint at all is not a first start.
async fn refuse_orphans<E: Environment>(env: &E, data_dir: &Path) -> Result<(), StoreFailure> {
    let root = journal_root(data_dir);
    for entry in env.list_directory(&root).await? {
        for path in journal_files(env, &root.join(&entry.name)).await? {
            let mut bytes = JournalBytes::open(env, &path).await?;
            let block = bytes.get(0, HEADER_BYTES).await?;
            if block.and_then(CommitHeader::peek_any).is_some() {
                let reason = "the journal holds commits and all checkpoints are gone".to_owned();
                return Err(Damage { path, bytes: 0..HEADER_BYTES as u64, offsets: None, reason }.into());
            }
        }
    }
    Ok(())
}

/// A journal file read front to back in pieces.
struct JournalBytes<'a, E: Environment> {
    env: &'a E,
    file: E::File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a, E: Environment> JournalBytes<'a, E> {
    async fn open(env: &'a E, path: &Path) -> Result<JournalBytes<'a, E>, DiskFailure> {
        let file = env.open(path, OpenMode::DirectRead).await?;
        let length = file.length().await?;
        Ok(JournalBytes { env, file, length, start: 0, bytes: Vec::new() })
    }

    /// `count` bytes from a block boundary on; `None` if the file ends before.
    async fn get(&mut self, position: u64, count: usize) -> Result<Option<&[u8]>, DiskFailure> {
        if position + count as u64 > self.length {
            return Ok(None);
        }
        let is_here =
            position >= self.start && position + count as u64 <= self.start + self.bytes.len() as u64;
        if !is_here {
            (self.start, self.bytes) = (position, Vec::new());
            while self.bytes.len() < count {
                let place = position + self.bytes.len() as u64;
                let piece = self.file.read_at(place, buffer(self.env, READ_BYTES).await).await?;
                if piece.is_empty() {
                    return Ok(None);
                }
                self.bytes.extend_from_slice(piece.as_slice());
            }
        }
        let from = (position - self.start) as usize;
        Ok(Some(&self.bytes[from..from + count]))
    }
}
