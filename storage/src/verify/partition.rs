//! One log's directory: whose it is, which segments lie in it, and how far they must reach.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use ringlog_core::ids::{LeaderEpoch, Offset, TopicPartition};
use ringlog_core::leader_epochs::LeaderEpochs;

use super::own::{Journaled, JournaledLog};
use super::segment::{self, Checksums, Expected, Index, Walked};
use super::{Files, Level, Look};
use crate::disk::BLOCK;
use crate::format::checkpoint::PartitionRecord;
use crate::format::checksums::{
    ChecksumFile, SegmentSeed, checksum_count, checksum_position, digest_append, digest_of,
};
use crate::format::index::IndexEntry;
use crate::format::names::{
    SegmentFile, is_deleted_directory, is_stray_directory, leader_epoch_checkpoint,
    parse_partition_directory, parse_segment_name, partition_directory, partition_metadata, segment_path,
};
use crate::format::partition_metadata as metadata_text;
use crate::log::SegmentSummary;
use crate::log::segment::{epoch_goes_back, passed_count};
use crate::log::state::sealed_digest;
use crate::recovery::checkpoints::Lives;

const RESTORE_LOG: &str =
    "restore the directory from a copy or a replica: a broker refuses this log and serves the others";
const BY_ITSELF: &str = "nothing: the next start sees to it";
const CHECKSUMS: &str = "nothing is refused for want of it: a broker serves the segment by the checksums of its batches; restore it from a copy if \
                         there is one, else remove it";
const STRAY: &str = "remove it once nobody misses its records; a broker does not read it";
/// The largest index that is read.
const INDEX_BYTES_MAX: usize = 1 << 30;

/// Looks at every log.
pub(super) fn all<F: Files>(
    look: &mut Look<'_, F>,
    data_dir: &Path,
    lives: &Lives,
    journaled: &Journaled,
) -> io::Result<()> {
    let mut seen = BTreeSet::new();
    for file in look.list(data_dir)?.into_iter().filter(|file| file.is_directory) {
        let directory = data_dir.join(&file.name);
        if is_stray_directory(&file.name) {
            look.notice(&directory, "it was moved aside, for it belongs to no topic", STRAY);
            continue;
        }
        let is_deleted = is_deleted_directory(&file.name);
        let name =
            if is_deleted { file.name.rsplit_once('.').map_or("", |parts| parts.0) } else { &file.name };
        let Some((_, partition)) = parse_partition_directory(name) else { continue };
        let path = partition_metadata(&directory);
        let metadata = look.read_whole(&path, 4096)?.unwrap_or_default();
        let Some(topic) = metadata_text::parse(&metadata) else {
            let is_empty = look.list(&directory)?.iter().all(|file| parse_segment_name(&file.name).is_none());
            match is_empty {
                true => look.notice(&path, "the directory belongs to nobody and is empty", BY_ITSELF),
                false => look.damage(
                    &path,
                    0..metadata.len() as u64,
                    "it does not say whose the directory is",
                    RESTORE_LOG,
                ),
            }
            continue;
        };
        let id = TopicPartition { topic, partition };
        seen.insert(id);
        if is_deleted {
            continue;
        }
        if metadata != metadata_text::to_text(topic).as_bytes() {
            look.notice(&path, "it is not as it was written", "nothing, if it was edited on purpose");
        }
        look.totals.logs += 1;
        let default = JournaledLog::default();
        let record = lives.record(id);
        let log = LogLook {
            id,
            record,
            journaled: journaled.get(&id).unwrap_or(&default),
            is_closed: lives.is_closed(id)
                && record.is_none_or(|record| record.end_offset >= record.durable_end_offset),
            files: look.list(&directory)?.into_iter().map(|file| (file.name, file.length)).collect(),
            directory,
        };
        log.verify(look)?;
    }
    for record in lives.records().filter(|record| !seen.contains(&record.partition())) {
        if record.end_offset != record.log_start_offset {
            let path = partition_directory(data_dir, &record.topic, record.partition().partition);
            let offsets = Some(record.log_start_offset..record.end_offset);
            look.found(Level::Damage, &path, 0..0, offsets, "the directory is gone".to_owned(), RESTORE_LOG);
        }
    }
    Ok(())
}

struct LogLook<'l> {
    id: TopicPartition,
    directory: PathBuf,
    record: Option<&'l PartitionRecord>,
    journaled: &'l JournaledLog,
    /// Whether a start looks at nothing above the checkpoint.
    is_closed: bool,
    /// Every file, with its length.
    files: BTreeMap<String, u64>,
}

impl LogLook<'_> {
    fn verify<F: Files>(&self, look: &mut Look<'_, F>) -> io::Result<()> {
        let lengths: BTreeMap<Offset, u64> = self
            .files
            .iter()
            .filter_map(|(name, length)| match parse_segment_name(name)? {
                (base_offset, SegmentFile::Log) => Some((base_offset, *length)),
                _ => None,
            })
            .collect();
        self.find_orphans(look, &lengths);
        let first = lengths.keys().next().copied().unwrap_or_default();
        let unknown =
            PartitionRecord { log_start_offset: first.0, end_offset: first.0, ..PartitionRecord::default() };
        let record = self.record.unwrap_or(&unknown);
        let active = if self.record.is_some() { Offset(record.segment_base_offset) } else { first };
        if self.record.is_none() && !lengths.is_empty() {
            look.notice(&self.directory, "no checkpoint knows it: a start reads it whole", BY_ITSELF);
        }
        let mut sealed: Vec<SegmentSummary> =
            lengths.range(..active).map(|(base, length)| SegmentSummary::found(*base, *length)).collect();
        sealed.drain(..passed_count(&sealed, active, Offset(record.log_start_offset)));
        if self.record.is_some() && sealed_digest(&sealed) != record.sealed_digest {
            let offsets = Some(record.log_start_offset..record.segment_base_offset);
            let words =
                "a segment before the active one is missing, strange, or has another length".to_owned();
            look.found(Level::Damage, &self.directory, 0..0, offsets, words, RESTORE_LOG);
        }
        sealed.drain(..passed_count(&sealed, active, self.journaled.log_start_offset));
        let mut epoch = None;
        for (index, summary) in sealed.iter().enumerate() {
            let end = sealed.get(index + 1).map_or(active, |next| next.base_offset);
            epoch = self.sealed(look, summary, end, epoch)?.epoch;
        }
        let walked = self.active(look, record, active, &lengths, epoch)?;
        self.epochs(look, record)?;
        self.tail(look, record, active, &lengths, walked)
    }

    fn find_orphans<F: Files>(&self, look: &mut Look<'_, F>, lengths: &BTreeMap<Offset, u64>) {
        for name in self.files.keys() {
            if parse_segment_name(name).is_some_and(|(base_offset, _)| !lengths.contains_key(&base_offset)) {
                let path = self.directory.join(name);
                look.notice(
                    &path,
                    "it belongs to a segment that is not there",
                    "remove it, unless the segment is to be restored",
                );
            }
        }
    }

    fn path(&self, base_offset: Offset, file: SegmentFile) -> PathBuf {
        segment_path(&self.directory, base_offset, file)
    }

    fn has(&self, path: &Path) -> bool {
        path.file_name().is_some_and(|name| self.files.contains_key(&*name.to_string_lossy()))
    }

    fn sealed<F: Files>(
        &self,
        look: &mut Look<'_, F>,
        summary: &SegmentSummary,
        end: Offset,
        epoch: Option<LeaderEpoch>,
    ) -> io::Result<Walked> {
        let base_offset = summary.base_offset;
        let expected = Expected {
            path: self.path(base_offset, SegmentFile::Log),
            length: summary.size_bytes,
            from: base_offset,
            end,
            epoch,
            checksums: self.sealed_checksums(look, summary)?,
            offsets: self.index(look, base_offset, SegmentFile::OffsetIndex, None)?,
            times: self.index(look, base_offset, SegmentFile::TimeIndex, None)?,
        };
        segment::verify(look, &expected)
    }

    fn sealed_checksums<F: Files>(
        &self,
        look: &mut Look<'_, F>,
        summary: &SegmentSummary,
    ) -> io::Result<Option<Checksums>> {
        let (base_offset, length) = (summary.base_offset, summary.size_bytes);
        let path = self.path(base_offset, SegmentFile::Checksums);
        if !self.has(&path) {
            match self.record.is_some_and(|record| base_offset.0 >= record.checksums_from) {
                true => look.damage(&path, 0..0, "it is gone", CHECKSUMS),
                false => look.notice(
                    &path,
                    "there is none: an earlier build, or Kafka, wrote the segment",
                    CHECKSUMS,
                ),
            }
            return Ok(None);
        }
        let bytes = look.read(&path, 0, checksum_position(checksum_count(length)) as usize + 1)?;
        let file =
            ChecksumFile::parse(&bytes, self.id, base_offset).and_then(|file| match file.header.sealed {
                None => Err("it was never finished".to_owned()),
                Some(sealed) if sealed.segment_bytes != length => Err(format!(
                    "it is for a segment of {} bytes, and that has {length}",
                    sealed.segment_bytes
                )),
                Some(_) => Ok(file),
            });
        match file {
            Ok(file) => Ok(Some(self.checksums(base_offset, file.checksums))),
            Err(reason) => {
                look.damage(&path, 0..bytes.len() as u64, reason, CHECKSUMS);
                Ok(None)
            }
        }
    }

    fn checksums(&self, base_offset: Offset, of_blocks: Vec<u32>) -> Checksums {
        Checksums { seed: SegmentSeed::new(self.id, base_offset), of_blocks }
    }

    /// The active segment, up to where the checkpoint calls it stable.
    fn active<F: Files>(
        &self,
        look: &mut Look<'_, F>,
        record: &PartitionRecord,
        base_offset: Offset,
        lengths: &BTreeMap<Offset, u64>,
        epoch: Option<LeaderEpoch>,
    ) -> io::Result<Walked> {
        let path = self.path(base_offset, SegmentFile::Log);
        let length = lengths.get(&base_offset).copied().unwrap_or(0);
        if length < record.position {
            let words = format!("the file has {length} bytes of at least {}", record.position);
            let offsets = Some(record.segment_base_offset..record.end_offset);
            look.found(Level::Damage, &path, length..record.position, offsets, words, RESTORE_LOG);
        }
        let (from, end) = (base_offset, Offset(record.end_offset));
        if record.position == 0 {
            return Ok(Walked { end_offset: end, epoch });
        }
        let expected = Expected {
            path: path.clone(),
            length: record.position.min(length),
            from,
            end,
            epoch,
            checksums: self.open_checksums(look, record, base_offset)?,
            offsets: self.index(
                look,
                base_offset,
                SegmentFile::OffsetIndex,
                Some(record.offset_index_count),
            )?,
            times: self.index(look, base_offset, SegmentFile::TimeIndex, Some(record.time_index_count))?,
        };
        let walked = segment::verify(look, &expected)?;
        if walked.end_offset != end {
            let words = format!("its batches end at offset {}, the checkpoint says {end}", walked.end_offset);
            let lost = Some(walked.end_offset.0..end.0);
            look.found(Level::Damage, &path, 0..record.position, lost, words, RESTORE_LOG);
        }
        Ok(Walked { end_offset: end, ..walked })
    }

    fn open_checksums<F: Files>(
        &self,
        look: &mut Look<'_, F>,
        record: &PartitionRecord,
        base_offset: Offset,
    ) -> io::Result<Option<Checksums>> {
        let path = self.path(base_offset, SegmentFile::Checksums);
        let Some((open, digest)) = record.open_checksums else {
            look.notice(&path, "there is none until the segment is sealed", CHECKSUMS);
            return Ok(None);
        };
        let count = record.checksums_written() as usize;
        let unwritten = &record.unwritten.checksums;
        let digest_with = |written: &[u32]| {
            unwritten.iter().fold(digest_of(written), |digest, next| digest_append(digest, *next))
        };
        let mut checksums = Vec::new();
        if count > 0 {
            let bytes = match self.has(&path) {
                true => look.read(&path, 0, checksum_position(checksum_count(i32::MAX as u64)) as usize)?,
                false => Vec::new(),
            };
            let reason = match ChecksumFile::parse_open(&bytes, self.id, base_offset) {
                _ if bytes.is_empty() => Some("it is gone".to_owned()),
                Err(reason) => Some(reason),
                Ok(file) if file.checksums.len() < count => {
                    Some(format!("it has {} checksums of {count}", file.checksums.len()))
                }
                Ok(file) if digest_with(&file.checksums[..count]) != digest => {
                    Some("its checksums are not those that the checkpoint knows".to_owned())
                }
                Ok(file) => {
                    checksums = file.checksums;
                    checksums.truncate(count);
                    None
                }
            };
            if let Some(reason) = reason {
                look.damage(&path, 0..bytes.len() as u64, reason, CHECKSUMS);
                return Ok(None);
            }
        }
        checksums.extend_from_slice(unwritten);
        if !record.position.is_multiple_of(BLOCK) {
            checksums.push(open);
        }
        Ok(Some(self.checksums(base_offset, checksums)))
    }

    /// The entries of an index; of the active segment those that the checkpoint counts.
    fn index<F: Files, T: IndexEntry>(
        &self,
        look: &mut Look<'_, F>,
        base_offset: Offset,
        kind: SegmentFile,
        count: Option<u32>,
    ) -> io::Result<Option<Index<T>>> {
        const MISSING: &str = "nothing: it is built anew when it is missed";
        let path = self.path(base_offset, kind);
        if !self.has(&path) {
            if count != Some(0) {
                look.damage(&path, 0..0, "it is gone", MISSING);
            }
            return Ok(None);
        }
        let bytes = look.read(&path, 0, INDEX_BYTES_MAX)?;
        let bytes = match count {
            Some(count) if bytes.len() < count as usize * T::BYTES => {
                let words = format!("it has {} bytes for {count} entries", bytes.len());
                look.damage(&path, 0..bytes.len() as u64, words, MISSING);
                return Ok(None);
            }
            Some(count) => &bytes[..count as usize * T::BYTES],
            // A file that Kafka allocated ahead ends with zeros.
            None => {
                &bytes[..bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1)
                    .next_multiple_of(T::BYTES)
                    .min(bytes.len())]
            }
        };
        if !bytes.len().is_multiple_of(T::BYTES) {
            look.damage(&path, 0..bytes.len() as u64, "it ends within an entry", MISSING);
        }
        let entries: Vec<T> = bytes.chunks_exact(T::BYTES).map(|entry| T::read(base_offset, entry)).collect();
        let grows = entries.windows(2).position(|pair| !pair[1].follows(&pair[0]));
        if let Some(at) = grows {
            let place = ((at + 1) * T::BYTES) as u64;
            look.damage(
                &path,
                place..place + T::BYTES as u64,
                "it does not grow from the entry before",
                MISSING,
            );
            return Ok(None);
        }
        Ok(Some(Index { path, entries }))
    }

    /// Kafka's file of leader epochs says what the checkpoint says; it is for Kafka's tools.
    fn epochs<F: Files>(&self, look: &mut Look<'_, F>, record: &PartitionRecord) -> io::Result<()> {
        let path = leader_epoch_checkpoint(&self.directory);
        if !self.has(&path) || self.record.is_none() || !self.is_closed {
            return Ok(());
        }
        let bytes = look.read_whole(&path, 16 << 20)?.unwrap_or_default();
        let known: LeaderEpochs = record.leader_epochs();
        if bytes != known.to_checkpoint().as_bytes() {
            let words = "its epochs are not those that the checkpoint knows";
            look.damage(
                &path,
                0..bytes.len() as u64,
                words,
                "remove the file: it is for Kafka's tools, and written anew with the next epoch",
            );
        }
        Ok(())
    }

    /// What a start finds above the checkpoint: in the journal or in the files.
    fn tail<F: Files>(
        &self,
        look: &mut Look<'_, F>,
        record: &PartitionRecord,
        active: Offset,
        lengths: &BTreeMap<Offset, u64>,
        walked: Walked,
    ) -> io::Result<()> {
        let (mut segment, mut position) = (active, record.position);
        let Walked { mut end_offset, mut epoch } = walked;
        let length_of = |segment: Offset| lengths.get(&segment).copied().unwrap_or(0);
        loop {
            if self.is_closed {
                break;
            }
            let place = (segment, position);
            if let Some(batch) =
                self.journaled.batches.get(&place).filter(|batch| batch.previous_end_offset == end_offset)
            {
                (position, end_offset) = (position + batch.size, batch.end_offset);
                continue;
            }
            let gap = self.journaled.gaps.get(&place).filter(|(_, previous)| *previous == end_offset);
            let next = gap.map_or(end_offset, |(next, _)| *next);
            let path = self.path(segment, SegmentFile::Log);
            let found = match position < length_of(segment) {
                true => segment::batch_at(look, &path, position, length_of(segment))?,
                false => None,
            };
            let continues = found.filter(|header| {
                header.base_offset() == next && !epoch_goes_back(epoch, header.leader_epoch())
            });
            if let Some(header) = continues {
                (position, end_offset) = (position + header.size_bytes() as u64, header.next_offset());
                epoch = epoch.max(Some(header.leader_epoch()));
                continue;
            }
            let in_journal = self.journaled.batches.iter().find(|((base, at), batch)| {
                *base > segment && *at == 0 && batch.previous_end_offset == end_offset
            });
            let behind_gap =
                self.journaled.gaps.iter().find(|((base, at), (_, previous))| {
                    *base > segment && *at == 0 && *previous == end_offset
                });
            let next_segment = in_journal.map(|(place, _)| place.0).or(behind_gap.map(|(place, _)| place.0));
            let named = (end_offset > segment && lengths.contains_key(&end_offset)).then_some(end_offset);
            match next_segment.or(named) {
                Some(next) => (segment, position) = (next, 0),
                None => break,
            }
        }
        let durable = Offset(record.durable_end_offset).max(self.journaled.durable_end_offset);
        let path = self.path(segment, SegmentFile::Log);
        let length = length_of(segment);
        if end_offset < durable {
            let words = "no whole batch continues here, and what follows was acknowledged".to_owned();
            let offsets = Some(end_offset.0..durable.0);
            look.found(Level::Damage, &path, position..length.max(position), offsets, words, RESTORE_LOG);
        } else if length > position && self.is_closed {
            look.notice(&path, format!("{} bytes behind its end", length - position), BY_ITSELF);
        }
        Ok(())
    }
}
