//! A file of an environment that makes a mistake.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringlog_core::checksum::crc32c;
use ringlog_runtime::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{DiskFailure, File, WriteSync};
use ringlog_runtime::memory::MemoryFile;
use ringlog_storage::format::commit::{CommitHeader, ENTRY_BYTES, HEADER_BYTES};
use ringlog_storage::format::names::parse_journal_file;

use super::Bug;
use crate::group::NAMES;

/// Where a commit's own checksum stands; see `docs/on-disk-format.md`.
const COMMIT_CHECKSUM: std::ops::Range<usize> = 40..44;
/// Where a commit says how many entries it has, where an entry says its kind, and which kind is a log's new begin.
const COMMIT_ENTRY_COUNT: std::ops::Range<usize> = 12..16;
const ENTRY_KIND: usize = 20;
const LOG_START: u8 = 4;

/// The metadata log, the size of its frames' headers, and keys that no topic of the simulator is created with.
const METADATA_LOG: &str = "metadata.log";
const FRAME_HEADER_BYTES: usize = 32;
const CHANGED_KEYS: [&[u8]; 5] =
    [b"max.message", b"timestamp.type", b"ringlog.durability", b"segment.bytes", b"log.retention"];

/// A file; clones share it.
#[derive(Clone)]
pub struct PlantedFile {
    sound: MemoryFile,
    bug: Bug,
    path: PathBuf,
    is_journal: bool,
    is_metadata_log: bool,
    /// Whether the frame before was one to forget: an empty one that ends it goes with it.
    forgets: Rc<Cell<bool>>,
    is_scrubbing: Rc<Cell<bool>>,
}

impl PlantedFile {
    pub(super) fn new(sound: MemoryFile, path: &Path, bug: Bug, is_scrubbing: Rc<Cell<bool>>) -> PlantedFile {
        let name = path.file_name().and_then(|name| name.to_str());
        PlantedFile {
            sound,
            bug,
            is_journal: name.and_then(parse_journal_file).is_some(),
            is_metadata_log: name == Some(METADATA_LOG),
            forgets: Rc::default(),
            is_scrubbing,
            path: path.to_owned(),
        }
    }

    /// Whether a write is left to the page cache.
    fn is_forgotten(&self, slices: &[Slice]) -> bool {
        match self.bug {
            Bug::AcknowledgeBeforeSync => true,
            Bug::ForgetDeletions if self.is_journal => notes_log_start(&joined(slices)),
            Bug::ForgetGroups if self.is_journal => {
                let bytes = joined(slices);
                NAMES.iter().any(|name| contains(&bytes, name.as_bytes()))
            }
            Bug::ForgetConfigChanges if self.is_metadata_log => {
                let bytes = joined(slices);
                if bytes.len() > FRAME_HEADER_BYTES {
                    self.forgets.set(CHANGED_KEYS.iter().any(|key| contains(&bytes, key)));
                }
                self.forgets.get()
            }
            _ => false,
        }
    }
}

impl File for PlantedFile {
    async fn read_at(&self, position: u64, buffer: BufMut) -> Result<BufMut, DiskFailure> {
        if self.bug == Bug::ScrubHalf && self.is_scrubbing.get() && position == 0 {
            let error = io::ErrorKind::WouldBlock.into();
            return Err(DiskFailure {
                operation: "read",
                path: self.path.clone(),
                position: Some(position),
                error,
            });
        }
        let mut buffer = self.sound.read_at(position, buffer).await?;
        if self.bug == Bug::BelieveTornCommits && self.is_journal {
            sign_commits(buffer.as_mut_slice());
        }
        Ok(buffer)
    }

    async fn write_at(&self, position: u64, slices: Vec<Slice>, sync: WriteSync) -> Result<(), DiskFailure> {
        let sync = if self.is_forgotten(&slices) { WriteSync::Later } else { sync };
        self.sound.write_at(position, slices, sync).await
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        match self.bug {
            Bug::ForgetFileSync => Ok(()),
            Bug::ForgetConfigChanges if self.forgets.get() => Ok(()),
            _ => self.sound.sync().await,
        }
    }

    async fn allocate(&self, length: u64) -> Result<(), DiskFailure> {
        self.sound.allocate(length).await
    }

    async fn truncate(&self, length: u64) -> Result<(), DiskFailure> {
        self.sound.truncate(length).await
    }

    async fn length(&self) -> Result<u64, DiskFailure> {
        self.sound.length().await
    }
}

fn joined(slices: &[Slice]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter()).copied().collect()
}

/// Whether a commit lets a log begin later.
fn notes_log_start(commit: &[u8]) -> bool {
    let Some(count) = commit.get(COMMIT_ENTRY_COUNT) else { return false };
    let count = u32::from_le_bytes(count.try_into().expect("four bytes")) as usize;
    let entries = commit.get(HEADER_BYTES..).unwrap_or_default().chunks_exact(ENTRY_BYTES);
    entries.take(count).any(|entry| entry[ENTRY_KIND] == LOG_START)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Gives every commit that begins in these bytes, and ends there, the checksum its bytes have.
fn sign_commits(bytes: &mut [u8]) {
    for start in (0..bytes.len()).step_by(DIRECT_ALIGNMENT) {
        let rest = &mut bytes[start..];
        let length = CommitHeader::peek_any(rest).map(|header| header.length());
        let Some(commit) = length.and_then(|length| rest.get_mut(..length)) else { continue };
        commit[COMMIT_CHECKSUM].fill(0);
        let checksum = crc32c(commit);
        commit[COMMIT_CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::format::commit::{Commit, CommitPlace, padded_bytes, write_commit};

    #[test]
    fn a_torn_commit_verifies_once_it_is_signed() {
        let place = CommitPlace { shard: 0, generation: 7, sequence: 1, previous_checksum: 0 };
        let mut bytes = vec![0; padded_bytes(0, 0)];
        let checksum = write_commit(place, &[], std::iter::empty(), &mut bytes);
        sign_commits(&mut bytes);
        assert_eq!(
            CommitHeader::peek_any(&bytes).unwrap().checksum(),
            checksum,
            "a sound one stays as it is"
        );
        // Another predecessor: the bytes are no longer what was summed.
        bytes[36] ^= 1;
        let verifies = |bytes: &[u8]| Commit::verify(CommitHeader::peek_any(bytes).unwrap(), bytes).is_some();
        assert!(!verifies(&bytes));
        sign_commits(&mut bytes);
        assert!(verifies(&bytes));
    }
}
