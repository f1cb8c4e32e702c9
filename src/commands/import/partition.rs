//! One partition taken over: its segments read once, batch by batch, and copied or given a second name.
//!
//! ```text
//!   Kafka's segment ──► batch ──► LogImport: is it whole, does it continue? ──► our copy      (or: nothing, and a link at the end)
//!                         │ no
//!                         ├─ Kafka was killed, and had not synced this far: the torn tail, cut as Kafka itself does
//!                         └─ else: damage
//!   the last one ends below what Kafka had synced: segments are missing, which is damage as well
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ringlog_core::ids::Offset;
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES};
use ringlog_storage::format::names::{
    SegmentFile, leader_epoch_checkpoint, partition_directory, partition_metadata, segment_path,
};
use ringlog_storage::format::partition_metadata as metadata_text;
use ringlog_storage::import::{AbortedTransaction, ImportedLog, Kept, LogImport, SealedSegment};

use crate::commands::failure::CommandFailure;
use crate::commands::import::plan::PlannedPartition;
use crate::commands::import::source::{refused, unreadable};
use crate::commands::import::target::{Target, sync_directory, unwritable};

/// Read at once, and written.
const WINDOW_BYTES: usize = 1 << 20;

/// How a segment comes into the new directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transfer {
    /// As a copy.
    Copy,
    /// As a second name of the same file, unless Kafka may go on writing to it.
    Link,
}

/// What became of a partition.
pub(super) struct Taken {
    pub log: ImportedLog,
    pub segment_count: u64,
    pub linked_bytes: u64,
    pub copied_bytes: u64,
    /// What was cut.
    pub torn: Option<Torn>,
    pub rolled_back_count: usize,
    /// From where to where nothing is, between segments of a log that is not compacted.
    pub gaps: Vec<Range<Offset>>,
}

/// Where batches end before the files do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Torn {
    pub file: PathBuf,
    pub position: u64,
    pub offset: Offset,
    pub reason: String,
}

/// How taking a partition over ended.
pub(super) enum Ended {
    Taken(Box<Taken>),
    Damaged(Torn),
}

/// Takes a partition over. `read` is told of every byte looked at.
pub(super) fn take_over(
    plan: &PlannedPartition,
    target: &Target,
    transfer: Transfer,
    read: &mut dyn FnMut(u64),
) -> Result<Ended, CommandFailure> {
    let mut rolled_back = Vec::new();
    loop {
        let walk = Walk::begin(plan, target, transfer, std::mem::take(&mut rolled_back))?;
        match walk.run(read)? {
            Walked::Again(found) => rolled_back = found,
            Walked::Ended(ended) => return Ok(ended),
        }
    }
}

enum Walked {
    /// These transactions were rolled back, and some of their batches were taken.
    Again(Vec<AbortedTransaction>),
    Ended(Ended),
}

/// One walk over a partition's segments.
struct Walk<'w> {
    plan: &'w PlannedPartition,
    target: &'w Target,
    transfer: Transfer,
    directory: PathBuf,
    import: LogImport,
    segment_count: u64,
    linked_bytes: u64,
    copied_bytes: u64,
    gaps: Vec<Range<Offset>>,
}

impl<'w> Walk<'w> {
    fn begin(
        plan: &'w PlannedPartition,
        target: &'w Target,
        transfer: Transfer,
        rolled_back: Vec<AbortedTransaction>,
    ) -> Result<Walk<'w>, CommandFailure> {
        let identity = plan.identity.clone();
        let directory = partition_directory(&target.path, &identity.topic, identity.id.partition);
        if directory.exists() {
            // Of the walk before.
            fs::remove_dir_all(&directory).map_err(unwritable(&directory))?;
        }
        fs::create_dir(&directory).map_err(unwritable(&directory))?;
        target
            .write(&partition_metadata(&directory), metadata_text::to_text(identity.id.topic).as_bytes())?;
        let first = plan.segments.keys().next().copied().unwrap_or(plan.log_start_offset);
        let epochs = known_epochs(plan)?;
        let import = LogImport::new(identity, first, plan.log_start_offset, epochs, rolled_back);
        Ok(Walk {
            plan,
            target,
            transfer,
            directory,
            import,
            segment_count: 0,
            linked_bytes: 0,
            copied_bytes: 0,
            gaps: Vec::new(),
        })
    }

    fn run(mut self, read: &mut dyn FnMut(u64)) -> Result<Walked, CommandFailure> {
        let last = self.plan.segments.keys().next_back().copied();
        let mut torn = None;
        for (base_offset, length) in &self.plan.segments {
            torn = self.segment(*base_offset, *length, Some(*base_offset) == last, read)?;
            if let Some(torn) = &torn {
                if torn.offset < self.plan.durable_end_offset {
                    return Ok(Walked::Ended(Ended::Damaged(torn.clone())));
                }
                break;
            }
        }
        if torn.is_none()
            && let Some(lost) = self.lost_end()
        {
            return Ok(Walked::Ended(Ended::Damaged(lost)));
        }
        if self.import.must_walk_again() {
            return Ok(Walked::Again(self.import.aborted().to_vec()));
        }
        self.finish(torn).map(Walked::Ended)
    }

    /// What was synced and is not there, though every batch is whole: a segment, or its end, is missing.
    fn lost_end(&self) -> Option<Torn> {
        // What Kafka was asked to delete may be gone, whether it had come to that or not.
        let end_offset = self.import.end_offset().max(self.plan.log_start_offset);
        let directory = self.plan.directory.as_ref().filter(|_| end_offset < self.plan.recovery_point)?;
        let last = self.plan.segments.last_key_value();
        Some(Torn {
            file: last
                .map_or(directory.clone(), |(base, _)| segment_path(directory, *base, SegmentFile::Log)),
            position: last.map_or(0, |(_, length)| *length),
            offset: end_offset,
            reason: format!(
                "nothing follows, and Kafka had synced everything below {}",
                self.plan.recovery_point
            ),
        })
    }

    fn finish(self, torn: Option<Torn>) -> Result<Ended, CommandFailure> {
        let rolled_back_count = self.import.aborted().len();
        let log = self.import.finish();
        if let Some((producer, offset)) = log.open_transactions.first() {
            let id = &self.plan.identity;
            return Err(refused(format!(
                "partition {}-{} has a transaction of producer {producer} open since offset {offset}: whether it is to be \
                 committed is not decided. Start Kafka once more, let the transaction end (or time out), and stop it",
                id.topic, id.id.partition
            )));
        }
        self.target.write(&leader_epoch_checkpoint(&self.directory), log.leader_epochs.as_bytes())?;
        let active = segment_path(&self.directory, Offset(log.record.end_offset), SegmentFile::Log);
        self.target.write(&active, &[])?;
        sync_directory(&self.directory)?;
        let Walk { segment_count, linked_bytes, copied_bytes, gaps, .. } = self;
        let taken = Taken { log, segment_count, linked_bytes, copied_bytes, torn, rolled_back_count, gaps };
        Ok(Ended::Taken(Box::new(taken)))
    }

    /// Takes a segment over; where its batches end before it does is told.
    fn segment(
        &mut self,
        base_offset: Offset,
        length: u64,
        is_last: bool,
        read: &mut dyn FnMut(u64),
    ) -> Result<Option<Torn>, CommandFailure> {
        let from = self.plan.directory.as_ref().expect("a partition with segments has a directory");
        let source_path = segment_path(from, base_offset, SegmentFile::Log);
        let path = segment_path(&self.directory, base_offset, SegmentFile::Log);
        let torn_at = |position, offset, reason| Torn { file: source_path.clone(), position, offset, reason };
        let end_offset = self.import.end_offset();
        if let Err(reason) = self.import.begin_segment(base_offset) {
            return Ok(Some(torn_at(0, end_offset, reason)));
        }
        if end_offset < base_offset && !self.plan.is_compacted {
            self.gaps.push(end_offset..base_offset);
        }
        let mut source = Source::open(&source_path, length)?;
        // Kafka may go on in its last segment, if it is ever started again.
        let may_link = self.transfer == Transfer::Link && !is_last;
        let mut copy = match may_link {
            true => None,
            false => Some(Copy::begin(&path)?),
        };
        let (mut position, mut kept_bytes, mut torn) = (0, 0, None);
        while position < length {
            let taken = match source.batch_at(position)? {
                Ok(batch) => self.import.take(batch).map(|kept| (kept, batch)),
                Err(reason) => Err(reason),
            };
            let (kept, batch) = match taken {
                Ok(taken) => taken,
                Err(reason) => {
                    torn = Some(torn_at(position, self.import.end_offset(), reason));
                    break;
                }
            };
            if kept == Kept::Copied {
                kept_bytes += batch.len() as u64;
            }
            let is_whole = kept_bytes == position + batch.len() as u64;
            match &mut copy {
                Some(copy) if kept == Kept::Copied => copy.write(batch)?,
                // What was passed over so far must be copied after all.
                None if !is_whole => {
                    let mut late = Copy::begin(&path)?;
                    late.write_range(&source_path, position)?;
                    copy = Some(late);
                }
                Some(_) | None => {}
            }
            position += batch.len() as u64;
            read(batch.len() as u64);
        }
        read(length - position);
        let sealed = self.import.seal();
        match copy {
            Some(copy) => {
                copy.finish(kept_bytes)?;
                self.copied_bytes += kept_bytes;
            }
            None if kept_bytes == length => {
                link(&source_path, &path)?;
                self.linked_bytes += length;
            }
            None => {
                let mut copy = Copy::begin(&path)?;
                copy.write_range(&source_path, kept_bytes)?;
                copy.finish(kept_bytes)?;
                self.copied_bytes += kept_bytes;
            }
        }
        self.write_beside(&path, sealed)?;
        Ok(torn)
    }

    fn write_beside(&mut self, path: &Path, sealed: Option<SealedSegment>) -> Result<(), CommandFailure> {
        let Some(sealed) = sealed else {
            // A segment without batches is none.
            return fs::remove_file(path).map_err(unwritable(path));
        };
        self.segment_count += 1;
        let files = [
            (SegmentFile::OffsetIndex, &sealed.offset_index),
            (SegmentFile::TimeIndex, &sealed.time_index),
            (SegmentFile::Checksums, &sealed.checksums),
        ];
        for (kind, bytes) in files {
            self.target.write(&segment_path(&self.directory, sealed.base_offset, kind), bytes)?;
        }
        Ok(())
    }
}

/// The epochs that Kafka knows of; a file that cannot be read is no reason to refuse: batches tell nearly all of them.
fn known_epochs(plan: &PlannedPartition) -> Result<LeaderEpochs, CommandFailure> {
    let Some(directory) = &plan.directory else { return Ok(LeaderEpochs::new()) };
    let path = leader_epoch_checkpoint(directory);
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(LeaderEpochs::new()),
        read => {
            let text = read.map_err(unreadable(&path))?;
            Ok(LeaderEpochs::from_checkpoint(&text).unwrap_or_default())
        }
    }
}

/// A second name, and the file's bytes stable: Kafka may not have seen to that.
fn link(source: &Path, path: &Path) -> Result<(), CommandFailure> {
    fs::hard_link(source, path).map_err(unwritable(path))?;
    File::open(path).and_then(|file| file.sync_all()).map_err(unwritable(path))
}

/// A segment of Kafka, read front to back.
struct Source {
    path: PathBuf,
    file: File,
    length: u64,
    /// Where `held` begins in the file.
    start: u64,
    held: Vec<u8>,
}

impl Source {
    fn open(path: &Path, length: u64) -> Result<Source, CommandFailure> {
        let file = File::open(path).map_err(unreadable(path))?;
        Ok(Source { path: path.to_owned(), file, length, start: 0, held: Vec::new() })
    }

    /// The bytes of the batch at a position; the reason if there is none.
    fn batch_at(&mut self, position: u64) -> Result<Result<&[u8], String>, CommandFailure> {
        let left = self.length - position;
        if left < HEADER_BYTES as u64 {
            return Ok(Err(format!("{left} bytes are no batch")));
        }
        self.hold(position, HEADER_BYTES)?;
        let header = match BatchHeader::parse(self.from(position)) {
            Ok(header) => header,
            Err(fault) => return Ok(Err(fault.to_string())),
        };
        let size = header.size_bytes();
        if size as u64 > left {
            return Ok(Err(format!("a batch of {size} bytes reaches over the end of the file")));
        }
        self.hold(position, size)?;
        Ok(Ok(&self.from(position)[..size]))
    }

    fn from(&self, position: u64) -> &[u8] {
        &self.held[(position - self.start) as usize..]
    }

    /// Holds so many bytes from a position on, and nothing before.
    fn hold(&mut self, position: u64, count: usize) -> Result<(), CommandFailure> {
        let held_end = self.start + self.held.len() as u64;
        if position + count as u64 <= held_end {
            return Ok(());
        }
        self.held.drain(..(position - self.start).min(self.held.len() as u64) as usize);
        self.start = position;
        let known = self.held.len();
        let wanted = count.max(WINDOW_BYTES).min((self.length - position) as usize);
        self.held.resize(wanted, 0);
        self.file
            .read_exact_at(&mut self.held[known..], position + known as u64)
            .map_err(unreadable(&self.path))
    }
}

/// A segment being written.
struct Copy {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Copy {
    fn begin(path: &Path) -> Result<Copy, CommandFailure> {
        let file = File::create(path).map_err(unwritable(path))?;
        Ok(Copy { path: path.to_owned(), file: BufWriter::with_capacity(WINDOW_BYTES, file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CommandFailure> {
        self.file.write_all(bytes).map_err(unwritable(&self.path))
    }

    /// The first bytes of another file.
    fn write_range(&mut self, source: &Path, length: u64) -> Result<(), CommandFailure> {
        let file = File::open(source).map_err(unreadable(source))?;
        let copied = std::io::copy(&mut std::io::Read::take(file, length), &mut self.file);
        match copied.map_err(unwritable(&self.path))? {
            copied if copied == length => Ok(()),
            copied => Err(refused(format!("{} ended at {copied} while it was copied", source.display()))),
        }
    }

    fn finish(self, length: u64) -> Result<(), CommandFailure> {
        let Copy { path, file } = self;
        let file = file.into_inner().map_err(|error| unwritable(&path)(error.into_error()))?;
        let written = file.metadata().map_err(unwritable(&path))?.len();
        assert_eq!(written, length, "a copy has the batches that were taken and nothing else");
        file.sync_all().map_err(unwritable(&path))
    }
}
