//! A file of an environment that makes a mistake.

use std::path::Path;

use ringlog_core::checksum::crc32c;
use ringlog_runtime::buffer::{BufMut, DIRECT_ALIGNMENT, Slice};
use ringlog_runtime::environment::{DiskFailure, File, WriteSync};
use ringlog_runtime::memory::MemoryFile;
use ringlog_storage::format::commit::CommitHeader;
use ringlog_storage::format::names::parse_journal_file;

use super::Bug;

/// Where a commit's own checksum stands; see `docs/on-disk-format.md`.
const COMMIT_CHECKSUM: std::ops::Range<usize> = 40..44;

/// A file; clones share it.
#[derive(Clone)]
pub struct PlantedFile {
    sound: MemoryFile,
    bug: Bug,
    is_journal: bool,
}

impl PlantedFile {
    pub(super) fn new(sound: MemoryFile, path: &Path, bug: Bug) -> PlantedFile {
        let name = path.file_name().and_then(|name| name.to_str());
        PlantedFile { sound, bug, is_journal: name.and_then(parse_journal_file).is_some() }
    }
}

impl File for PlantedFile {
    async fn read_at(&self, position: u64, buffer: BufMut) -> Result<BufMut, DiskFailure> {
        let mut buffer = self.sound.read_at(position, buffer).await?;
        if self.bug == Bug::BelieveTornCommits && self.is_journal {
            sign_commits(buffer.as_mut_slice());
        }
        Ok(buffer)
    }

    async fn write_at(&self, position: u64, slices: Vec<Slice>, sync: WriteSync) -> Result<(), DiskFailure> {
        let sync = match self.bug {
            Bug::AcknowledgeBeforeSync => WriteSync::Later,
            _ => sync,
        };
        self.sound.write_at(position, slices, sync).await
    }

    async fn sync(&self) -> Result<(), DiskFailure> {
        match self.bug {
            Bug::ForgetFileSync => Ok(()),
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
