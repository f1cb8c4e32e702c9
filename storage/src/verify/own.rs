//! What belongs to no log: `meta.properties`, the metadata log, checkpoints, journals.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_core::metadata::MetadataRecord;

use super::{Files, Look};
use crate::disk::BLOCK;
use crate::failure::{Damage, StoreFailure};
use crate::format::checkpoint::{BYTES_MAX, CheckpointBody};
use crate::format::commit::{Commit, CommitEntry, CommitHeader, EntryKind};
use crate::format::names::{
    CheckpointOwner, checkpoint_directory, journal_directory, parse_checkpoint_name, parse_journal_file,
};
use crate::metadata_log::{a_frame_follows, each_frame, meta_properties};
use crate::recovery::checkpoints::{Lives, choose};

const RESTORE: &str = "restore the file from a copy: a broker refuses to start with it";
const BY_ITSELF: &str = "nothing: the next start sees to it";

/// The largest metadata log or journal file that is read: far above what is written.
const WHOLE_FILE_BYTES_MAX: usize = 1 << 30;

/// `meta.properties` and the metadata log, which name the same cluster; whether the log names one.
pub(super) fn identity<F: Files>(look: &mut Look<'_, F>, data_dir: &Path) -> io::Result<bool> {
    let named = metadata_log(look, data_dir)?;
    let is_named = named.is_some();
    let path = data_dir.join("meta.properties");
    let Some(bytes) = look.read_whole(&path, 16 << 10)? else { return Ok(is_named) };
    let all = 0..bytes.len() as u64;
    match meta_properties::parse(&bytes) {
        Err(reason) => look.damage(&path, all, reason, RESTORE),
        Ok(properties) => {
            let found = &properties.cluster_id;
            if let Some(named) = named.filter(|named| named != found) {
                look.damage(
                    &path,
                    all,
                    format!("it names cluster {found}, the metadata log {named}"),
                    RESTORE,
                );
            } else if bytes != properties.to_text().as_bytes() {
                look.notice(&path, "it is not as it was written", "nothing, if it was edited on purpose");
            }
        }
    }
    Ok(is_named)
}

/// A metadata log that tells of nothing, where there are logs.
pub(super) fn metadata_is_lost<F: Files>(look: &mut Look<'_, F>, data_dir: &Path) {
    look.damage(&data_dir.join("metadata.log"), 0..0, "it names no cluster, and there are logs", RESTORE);
}

/// Reads the metadata log; the cluster it names.
fn metadata_log<F: Files>(look: &mut Look<'_, F>, data_dir: &Path) -> io::Result<Option<String>> {
    let path = data_dir.join("metadata.log");
    let Some(bytes) = look.read_whole(&path, WHOLE_FILE_BYTES_MAX)? else { return Ok(None) };
    let mut named = None;
    for frame in each_frame(&bytes) {
        match frame {
            Ok(frame) => named = frame.records.iter().rev().find_map(cluster_named).or(named),
            Err(fault) if a_frame_follows(&bytes[fault.position as usize..]) => {
                look.damage(&path, fault.position..bytes.len() as u64, fault.reason, RESTORE);
            }
            Err(fault) => {
                let words = format!(
                    "at byte {}: {}; nobody has acted by what stands there",
                    fault.position, fault.reason
                );
                look.notice(&path, words, BY_ITSELF);
            }
        }
    }
    Ok(named)
}

fn cluster_named(record: &MetadataRecord) -> Option<String> {
    match record {
        MetadataRecord::ClusterNamed { cluster_id } => Some(cluster_id.clone()),
        _ => None,
    }
}

/// Reads all checkpoints and chooses as a start would; `None` if it would refuse.
pub(super) fn checkpoints<F: Files>(look: &mut Look<'_, F>, data_dir: &Path) -> io::Result<Option<Lives>> {
    let directory = checkpoint_directory(data_dir);
    let (mut found, mut damaged) = (Vec::new(), BTreeMap::<CheckpointOwner, Damage>::new());
    for file in look.list(&directory)? {
        let Some(owner) = parse_checkpoint_name(&file.name) else { continue };
        let path = directory.join(&file.name);
        let bytes = look.read_whole(&path, BYTES_MAX)?.unwrap_or_default();
        match CheckpointBody::parse(&bytes) {
            Ok(body) => found.push((owner, body)),
            Err(reason) => {
                let all = 0..bytes.len() as u64;
                look.damage(
                    &path,
                    all.clone(),
                    reason.clone(),
                    "nothing, if its twin is whole: the next start makes it anew",
                );
                damaged.insert(owner, Damage { path, bytes: all, offsets: None, reason });
            }
        }
    }
    match choose(found, damaged) {
        Ok(lives) => Ok(Some(lives)),
        Err(StoreFailure::Damaged(damage)) => {
            let words = format!("a broker would refuse to start: {}", damage.reason);
            look.damage(&damage.path, damage.bytes, words, RESTORE);
            Ok(None)
        }
        Err(other) => Err(io::Error::other(other.to_string())),
    }
}

/// What the journals hold above the checkpoints, by log.
pub(super) type Journaled = BTreeMap<TopicPartition, JournaledLog>;

/// What they hold of one log.
#[derive(Debug, Default)]
pub(super) struct JournaledLog {
    /// Batches a start would write to their places: segment and position, the offset before, that behind the batch, and its size.
    pub batches: BTreeMap<(Offset, u64), JournaledBatch>,
    /// Offsets left out: the batch at this place begins at this offset, behind that one.
    pub gaps: BTreeMap<(Offset, u64), (Offset, Offset)>,
    /// Nothing below may be missing.
    pub durable_end_offset: Offset,
    /// Where the log begins at least.
    pub log_start_offset: Offset,
}

/// A batch in a journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct JournaledBatch {
    pub previous_end_offset: Offset,
    pub end_offset: Offset,
    pub size: u64,
}

/// Reads the journals that a start would replay.
pub(super) fn journals<F: Files>(
    look: &mut Look<'_, F>,
    data_dir: &Path,
    lives: &Lives,
) -> io::Result<Journaled> {
    let mut journaled = Journaled::new();
    for (shard, checkpoint) in lives.shards.iter().filter(|(_, checkpoint)| !checkpoint.is_clean) {
        let directory = journal_directory(data_dir, *shard);
        let mut commits = BTreeMap::new();
        for file in look.list(&directory)?.into_iter().filter(|file| parse_journal_file(&file.name).is_some())
        {
            let path = directory.join(&file.name);
            let bytes = look.read(&path, 0, WHOLE_FILE_BYTES_MAX)?;
            for position in (0..bytes.len()).step_by(BLOCK as usize) {
                let rest = &bytes[position..];
                let header = CommitHeader::peek(rest, *shard, checkpoint.generation);
                let header = header.filter(|header| header.sequence() > checkpoint.sequence);
                if let Some(commit) = header.and_then(|header| Commit::verify(header, rest)) {
                    let entries: Vec<(CommitEntry, Option<Offset>)> =
                        commit.entries().map(|(entry, payload)| (entry, end_of(payload))).collect();
                    commits.insert(
                        commit.header.sequence(),
                        (path.clone(), position as u64, commit.header, entries),
                    );
                }
            }
        }
        let (mut sequence, mut checksum) = (checkpoint.sequence, checkpoint.checksum);
        for (path, position, header, entries) in commits.into_values() {
            if header.sequence() != sequence + 1 || header.previous_checksum() != checksum {
                let words = format!(
                    "commit {} does not follow commit {sequence}, and commit {} proves that it was written",
                    sequence + 1,
                    header.sequence()
                );
                look.damage(&path, position..position + header.length() as u64, words, RESTORE);
            }
            (sequence, checksum) = (header.sequence(), header.checksum());
            entries.into_iter().for_each(|(entry, end)| note(&mut journaled, entry, end));
        }
    }
    Ok(journaled)
}

fn end_of(payload: &[u8]) -> Option<Offset> {
    ringlog_core::record_batch::BatchHeader::parse(payload).ok().map(|header| header.next_offset())
}

fn note(journaled: &mut Journaled, entry: CommitEntry, end: Option<Offset>) {
    let log = journaled.entry(entry.partition).or_default();
    log.durable_end_offset = log.durable_end_offset.max(entry.durable_end_offset);
    let place = (entry.segment_base_offset, u64::from(entry.position));
    match (entry.kind, end) {
        (EntryKind::Batch, Some(end_offset)) => {
            let size = u64::from(entry.length);
            let previous_end_offset = entry.previous_end_offset;
            log.batches.insert(place, JournaledBatch { previous_end_offset, end_offset, size });
        }
        (EntryKind::Gap, _) => {
            log.gaps.insert(place, (entry.base_offset, entry.previous_end_offset));
        }
        (EntryKind::LogStart, _) => log.log_start_offset = log.log_start_offset.max(entry.base_offset),
        (EntryKind::Batch | EntryKind::DurableEnd, _) => {}
    }
}
