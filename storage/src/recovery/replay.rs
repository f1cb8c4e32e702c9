//! One log brought forward from its checkpoint: batches from the journal, batches found in the segments.
//!
//! ```text
//!   checkpoint at (segment, position, end offset)
//!     journal has the batch for exactly this place? ──► write it there again
//!     the file has a whole batch that continues?     ──► keep it
//!     a segment is named for this very offset?       ──► go on in it
//!     none of these                                  ──► the end: below the known durable end it is damage
//! ```
//!
//! What was found in a file is written again before it counts as stable. A sync that failed in an earlier life may
//! have left it readable and clean in memory: another sync would succeed without writing it, and a loss of power
//! would take it away.
//!
//! Always true: the cursor moves only over batches that verify and continue: offset by offset, except where the
//! journal says that offsets were left out and the batch behind them is there; epoch not going back. Nothing is cut before everything was looked at,
//! and nothing of a damaged log is cut at all. Batches that the journal holds for places behind a hole are
//! written there too: if the hole is damage they would otherwise be lost with the journal; if it is the torn tail
//! they are cut with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringlog_core::checksum::{crc32c, crc32c_append};
use ringlog_core::ids::Offset;
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::producer_state::ProducerStates;
use ringlog_core::record_batch::{BatchHeader, HEADER_BYTES, validate_stored};
use ringlog_runtime::environment::{DiskFailure, Environment, File, OpenMode, WriteSync};

use super::directories::PartitionDirectory;
use super::{RecoveredPartition, Repair};
use crate::config::{LogConfig, StoreConfig};
use crate::disk::{
    BLOCK, block_ceil, block_floor, buffer, padded_slice_of, read_file, read_helping_file,
    remove_file_if_present, replace_file, write_buffered,
};
use crate::failure::Damage;
use crate::format::checkpoint::{PartitionRecord, plain_epochs};
use crate::format::checksums::{self, ChecksumFile, ChecksumHeader, checksum_count, checksum_position};
use crate::format::commit::{CommitEntry, EntryKind};
use crate::format::index::{INDEX_BYTES_MAX, IndexEntry, OffsetEntry, index_bytes, parse_index};
use crate::format::names::{SegmentFile, leader_epoch_checkpoint, segment_path};
use crate::log::segment::{
    GrowingChecksums, GrowingIndex, GrowingSegment, IndexFiles, checksums_from_after, epoch_goes_back,
    passed_count,
};
use crate::log::state::sealed_digest;
use crate::log::writer::{pending_checksums, write_checksums};
use crate::log::{LogIdentity, SegmentSummary};
use crate::store::directories::empty_record;
use crate::store::passed_segments::SEGMENT_FILES;

/// One read while scanning.
const SCAN_BYTES: usize = 128 << 10;
/// Journaled bytes collected before they are written.
const RUN_BYTES_MAX: usize = 128 << 10;

/// One log on its way.
pub(super) struct Replay<'a, E: Environment> {
    env: &'a E,
    path: PathBuf,
    /// What the checkpoint says; kept as it is if the log proves damaged.
    base: PartitionRecord,
    must_scan: bool,
    /// Whether a checkpoint or a journal knows the log, so that this broker wrote it.
    is_known: bool,
    segments: BTreeMap<Offset, u64>,
    /// Checksum files, with their length.
    checksums: BTreeMap<Offset, u64>,
    /// Checksum files that a checkpoint knows and that are gone.
    lost_checksums: Vec<PathBuf>,
    sealed: Vec<SegmentSummary>,
    /// The cursor: the segment being brought forward, its size the position, and the offset to go on with.
    growing: GrowingSegment,
    end_offset: Offset,
    epochs: LeaderEpochs,
    producers: ProducerStates,
    /// Where the log begins.
    log_start_offset: Offset,
    /// Segments below the log's start that were left out already.
    passed: Vec<Offset>,
    /// Whether the segments before the active one are those the checkpoint names.
    is_base_sound: bool,
    /// Nothing below may be missing.
    durable_end_offset: Offset,
    run: Run,
    /// From where on the segment at the cursor has batches that were found there.
    found_from: Option<u64>,
    window: Option<(Offset, u64, Vec<u8>)>,
    /// How much is read at a time: little first, because most logs end where they are known to.
    scan_bytes: usize,
    has_hole: bool,
    damage: Option<Damage>,
    has_changed: bool,
    batches_replayed: u64,
    batches_scanned: u64,
}

/// Journaled bytes that lie one behind the other and are not written yet.
#[derive(Default)]
struct Run {
    segment: Offset,
    position: u64,
    bytes: Vec<u8>,
}

impl<'a, E: Environment> Replay<'a, E> {
    pub fn new(
        env: &'a E,
        config: &StoreConfig,
        path: PathBuf,
        directory: PartitionDirectory,
        record: Option<PartitionRecord>,
        must_scan: bool,
    ) -> Replay<'a, E> {
        let is_known = record.is_some();
        let PartitionDirectory { topic, id, segments, checksums, .. } = directory;
        let mut base = record.unwrap_or_else(|| empty_record(&LogIdentity { topic: topic.into(), id }));
        if let (false, Some(first)) = (is_known, segments.keys().next()) {
            // A directory no checkpoint knows: made after the last one, or brought from elsewhere. It is read
            // whole, from its first segment.
            (base.segment_base_offset, base.log_start_offset, base.end_offset) = (first.0, first.0, first.0);
            (base.durable_end_offset, base.checksums_from) = (first.0, first.0);
        }
        let active = Offset(base.segment_base_offset);
        let mut sealed: Vec<SegmentSummary> = segments
            .range(..active)
            .map(|(base_offset, length)| SegmentSummary::found(*base_offset, *length))
            .collect();
        // A start that was cut short, or the broker before it, had no time to remove them.
        let log_start_offset = Offset(base.log_start_offset);
        let passed = passed_count(&sealed, active, log_start_offset);
        let passed = sealed.drain(..passed).map(|segment| segment.base_offset).collect();
        let mut replay = Replay {
            env,
            path,
            must_scan,
            is_known,
            log_start_offset,
            passed,
            is_base_sound: true,
            segments,
            checksums,
            lost_checksums: Vec::new(),
            growing: GrowingSegment::of_record(&base),
            end_offset: Offset(base.end_offset),
            epochs: base.leader_epochs(),
            producers: ProducerStates::from_snapshot(&base.producers, config.producers_max),
            durable_end_offset: Offset(base.durable_end_offset.max(base.end_offset)),
            run: Run::default(),
            found_from: None,
            window: None,
            scan_bytes: 2 * BLOCK as usize,
            has_hole: false,
            damage: None,
            has_changed: false,
            batches_replayed: 0,
            batches_scanned: 0,
            sealed,
            base,
        };
        replay.check_base(is_known);
        replay.miss_checksums(is_known);
        replay
    }

    /// Notes which checksum files are gone that the checkpoint knows. Nothing is refused for want of them.
    fn miss_checksums(&mut self, is_known: bool) {
        let path = |base_offset| segment_path(&self.path, base_offset, SegmentFile::Checksums);
        let from = Offset(self.base.checksums_from);
        let sealed = self.sealed.iter().map(|segment| segment.base_offset).filter(|base| *base >= from);
        let gone = |base_offset: &Offset| !self.checksums.contains_key(base_offset);
        let mut lost: Vec<PathBuf> = sealed.filter(gone).map(path).collect();
        if !is_known {
            return;
        }
        let active = self.growing.base_offset;
        let length = self.checksums.get(&active).copied().unwrap_or(0);
        let written = self.growing.checksums.as_ref().map_or(0, |checksums| u64::from(checksums.written));
        if written > 0 && length < checksum_position(written) {
            lost.push(path(active));
            self.growing.checksums = None;
            self.has_changed = true;
        }
        self.lost_checksums = lost;
    }

    /// Compares the files with what the checkpoint claims of them.
    fn check_base(&mut self, is_known: bool) {
        let (segment, position) = (self.growing.base_offset, self.growing.size);
        let length = self.segments.get(&segment).copied().unwrap_or(0);
        if length < position {
            let reason = format!("the file has {length} bytes of at least {position}");
            self.damage = Some(self.damage_at(segment, length..position, reason));
        }
        if is_known && sealed_digest(&self.sealed) != self.base.sealed_digest {
            let reason =
                "a segment before the active one is missing, strange, or has another length".to_owned();
            self.is_base_sound = false;
            let offsets = Some(self.base.log_start_offset..self.base.segment_base_offset);
            self.damage = Some(Damage { path: self.path.clone(), bytes: 0..0, offsets, reason });
        }
    }

    fn damage_at(&self, segment: Offset, bytes: std::ops::Range<u64>, reason: String) -> Damage {
        let path = segment_path(&self.path, segment, SegmentFile::Log);
        let offsets = Some(self.end_offset.0..self.durable_end_offset.0);
        Damage { path, bytes, offsets, reason }
    }

    /// Takes one entry of a commit.
    pub async fn apply(&mut self, entry: &CommitEntry, payload: &[u8]) -> Result<(), DiskFailure> {
        self.is_known = true;
        self.durable_end_offset = self.durable_end_offset.max(entry.durable_end_offset);
        if entry.kind == EntryKind::LogStart {
            self.log_start_offset = self.log_start_offset.max(entry.base_offset);
            return Ok(());
        }
        // The checkpoint knows it, or this is a note and nothing more.
        if entry.kind == EntryKind::DurableEnd || entry.base_offset < self.end_offset {
            return Ok(());
        }
        if self.has_hole || !self.go_to(entry).await? {
            self.has_hole = true;
            return self.write_again(entry, payload).await;
        }
        if entry.kind == EntryKind::Gap {
            match self.batch_after_gap(entry).await? {
                Some(found) => self.pass_scanned(found),
                None => self.has_hole = true,
            }
            return Ok(());
        }
        self.end_offset = entry.base_offset;
        let Ok(batch) = validate_stored(payload) else {
            // The commit verified, so these very bytes were packed: our own mistake, not the disk's.
            let bytes = u64::from(entry.position)..u64::from(entry.position) + payload.len() as u64;
            let reason = "the journal holds a batch that is none".to_owned();
            self.damage.get_or_insert(self.damage_at(entry.segment_base_offset, bytes, reason));
            self.has_hole = true;
            return Ok(());
        };
        self.write_again(entry, payload).await?;
        self.batches_replayed += 1;
        self.growing.sum([payload, &[]]);
        self.pass(batch.header());
        Ok(())
    }

    /// Moves the cursor to an entry's place, over batches in the files; false if it does not come there.
    async fn go_to(&mut self, entry: &CommitEntry) -> Result<bool, DiskFailure> {
        loop {
            let here = (self.growing.base_offset, self.growing.size);
            let there = (entry.segment_base_offset, u64::from(entry.position));
            let continues = self.end_offset == entry.previous_end_offset;
            if here == there {
                // Many logs are on their way at once: none keeps what it read.
                self.window = None;
                return Ok(continues);
            }
            if here > there {
                return Ok(false);
            }
            if continues && there.0 > here.0 && there.1 == 0 {
                // A segment named for an offset behind a gap begins only with the batch that stands there.
                if entry.kind == EntryKind::Gap && self.batch_after_gap(entry).await?.is_none() {
                    return Ok(false);
                }
                self.roll_to(entry.segment_base_offset).await?;
            } else if !self.scan_one().await? {
                return Ok(false);
            }
        }
    }

    /// The batch behind left-out offsets, which lies in its file if it was written in time. If it was not, the log
    /// ends before the gap.
    async fn batch_after_gap(&mut self, entry: &CommitEntry) -> Result<Option<FoundBatch>, DiskFailure> {
        let before = std::mem::replace(&mut self.end_offset, entry.base_offset);
        let found = self.batch_at(entry.segment_base_offset, u64::from(entry.position)).await;
        self.end_offset = before;
        // Many logs are on their way at once: none keeps what it read.
        self.window = None;
        found
    }

    fn pass_scanned(&mut self, found: FoundBatch) {
        self.batches_scanned += 1;
        self.found_from.get_or_insert(self.growing.size);
        if let (Some(checksums), Some(fork)) = (&mut self.growing.checksums, found.checksums) {
            checksums.join(fork);
        }
        self.pass(&found.header);
    }

    /// Counts a batch at the cursor as part of the log.
    fn pass(&mut self, header: &BatchHeader) {
        self.has_changed = true;
        self.growing.add(header, LogConfig::default().index_interval_bytes);
        if header.leader_epoch().0 >= 0 {
            self.epochs.assign(header.leader_epoch(), header.base_offset());
        }
        self.producers.record(header, header.max_timestamp());
        self.end_offset = header.next_offset();
    }

    /// Moves the cursor over one batch in the files; false where none continues.
    async fn scan_one(&mut self) -> Result<bool, DiskFailure> {
        loop {
            let (segment, position) = (self.growing.base_offset, self.growing.size);
            if let Some(found) = self.batch_at(segment, position).await? {
                self.pass_scanned(found);
                return Ok(true);
            }
            let next = self.end_offset;
            if next <= segment || !self.segments.contains_key(&next) {
                return Ok(false);
            }
            self.roll_to(next).await?;
        }
    }

    /// The batch at a place of a file, if it is whole and continues the log.
    async fn batch_at(&mut self, segment: Offset, position: u64) -> Result<Option<FoundBatch>, DiskFailure> {
        let length = self.segments.get(&segment).copied().unwrap_or(0);
        let Some(bytes) = self.bytes_at(segment, position, HEADER_BYTES, length).await? else {
            return Ok(None);
        };
        let Ok(header) = BatchHeader::parse(bytes) else { return Ok(None) };
        let latest = self.epochs.latest().map(|entry| entry.epoch);
        let continues = header.base_offset() == self.end_offset
            && position + header.size_bytes() as u64 <= length
            && !epoch_goes_back(latest, header.leader_epoch());
        if !continues {
            return Ok(None);
        }
        let mut checksums = self.growing.checksums.as_ref().map(GrowingChecksums::fork);
        let mut sum = |position: u64, bytes: &[u8]| {
            if let Some(checksums) = &mut checksums {
                checksums.extend(position, bytes);
            }
        };
        sum(position, header.as_bytes());
        let mut checksum = crc32c(&header.as_bytes()[21..]);
        let (mut done, size) = (HEADER_BYTES, header.size_bytes());
        while done < size {
            let count = (size - done).min(SCAN_BYTES - BLOCK as usize);
            let Some(bytes) = self.bytes_at(segment, position + done as u64, count, length).await? else {
                return Ok(None);
            };
            checksum = crc32c_append(checksum, bytes);
            sum(position + done as u64, bytes);
            done += count;
        }
        Ok((checksum == header.crc()).then_some(FoundBatch { header, checksums }))
    }

    /// `count` bytes of a file, from a window that moves forward.
    async fn bytes_at(
        &mut self,
        segment: Offset,
        position: u64,
        count: usize,
        length: u64,
    ) -> Result<Option<&[u8]>, DiskFailure> {
        if position + count as u64 > length {
            return Ok(None);
        }
        let is_here = |window: &(Offset, u64, Vec<u8>)| {
            let (of, start, bytes) = window;
            *of == segment && position >= *start && position + count as u64 <= start + bytes.len() as u64
        };
        if !self.window.as_ref().is_some_and(is_here) {
            let file = self
                .env
                .open(&segment_path(&self.path, segment, SegmentFile::Log), OpenMode::DirectRead)
                .await?;
            let start = block_floor(position);
            let wanted = block_ceil(position - start + count as u64) as usize;
            let mut read = file.read_at(start, buffer(self.env, wanted.max(self.scan_bytes)).await).await;
            if read.as_ref().is_err_and(DiskFailure::is_unreadable) {
                // Perhaps for the sake of what is not wanted yet; and one refusal is not damage.
                read = file.read_at(start, buffer(self.env, wanted).await).await;
            }
            let read = match read {
                Err(failure) if failure.is_unreadable() => {
                    self.note_unreadable(segment, start..start + wanted as u64, &failure);
                    return Ok(None);
                }
                read => read?,
            };
            self.scan_bytes = (self.scan_bytes * 2).min(SCAN_BYTES);
            self.window = Some((segment, start, read.as_slice().to_vec()));
        }
        let (_, start, bytes) = self.window.as_ref().expect("just read");
        let from = (position - start) as usize;
        Ok(bytes.get(from..from + count))
    }

    /// What the disk cannot read is damage, and never a torn tail: nobody knows what stands there.
    fn note_unreadable(&mut self, segment: Offset, bytes: std::ops::Range<u64>, failure: &DiskFailure) {
        let damage = self.damage_at(segment, bytes, failure.to_string());
        self.damage.get_or_insert(damage);
        self.has_hole = true;
    }

    /// Puts journaled bytes where they belong.
    async fn write_again(&mut self, entry: &CommitEntry, payload: &[u8]) -> Result<(), DiskFailure> {
        if entry.kind != EntryKind::Batch {
            return Ok(());
        }
        let (segment, position) = (entry.segment_base_offset, u64::from(entry.position));
        let joins = self.run.segment == segment
            && self.run.position + self.run.bytes.len() as u64 == position
            && self.run.bytes.len() < RUN_BYTES_MAX;
        if !joins {
            self.write_run().await?;
            self.run = Run { segment, position, bytes: Vec::new() };
        }
        self.run.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// Writes the run, keeping what stands around it in its first and last block.
    async fn write_run(&mut self) -> Result<(), DiskFailure> {
        let Run { segment, position, bytes } = std::mem::take(&mut self.run);
        if bytes.is_empty() {
            return Ok(());
        }
        let path = segment_path(&self.path, segment, SegmentFile::Log);
        let file = self.env.open(&path, OpenMode::DirectWrite).await?;
        let (start, end) = (block_floor(position), position + bytes.len() as u64);
        let mut blocks = self.block_of(&file, segment, start).await?;
        blocks.resize((position - start) as usize, 0);
        blocks.extend_from_slice(&bytes);
        let last = self.block_of(&file, segment, block_floor(end)).await?;
        blocks.extend(last.iter().skip((end - block_floor(end)) as usize));
        for (index, piece) in blocks.chunks(SCAN_BYTES).enumerate() {
            let slice = padded_slice_of(self.env, piece).await;
            file.write_at(start + (index * SCAN_BYTES) as u64, vec![slice], WriteSync::Later).await?;
        }
        // Stable before the journal is given up, also where the log proves damaged and is left as it is.
        file.sync().await?;
        if !self.segments.contains_key(&segment) {
            self.env.sync_directory(&self.path).await?;
        }
        let length = self.segments.entry(segment).or_insert(0);
        *length = (*length).max(block_ceil(end));
        self.window = None;
        self.has_changed = true;
        Ok(())
    }

    /// One block of a segment, shorter where the file ends, and empty where the disk cannot read it: what stood there is lost, and
    /// what the journal has for it is not.
    async fn block_of(
        &mut self,
        file: &E::File,
        segment: Offset,
        start: u64,
    ) -> Result<Vec<u8>, DiskFailure> {
        let mut block = file.read_at(start, buffer(self.env, BLOCK as usize).await).await;
        if block.as_ref().is_err_and(DiskFailure::is_unreadable) {
            // One refusal is not damage: a sector that is lost is refused again.
            block = file.read_at(start, buffer(self.env, BLOCK as usize).await).await;
        }
        match block {
            Err(failure) if failure.is_unreadable() => {
                self.note_unreadable(segment, start..start + BLOCK, &failure);
                Ok(Vec::new())
            }
            read => read.map(|block| block.as_slice()[..block.len().min(BLOCK as usize)].to_vec()),
        }
    }

    /// Writes again, for the sync that follows, what was found in the segment at the cursor.
    async fn write_found(&mut self) -> Result<(), DiskFailure> {
        let Some(from) = self.found_from.take() else { return Ok(()) };
        let path = segment_path(&self.path, self.growing.base_offset, SegmentFile::Log);
        let file = self.env.open(&path, OpenMode::DirectWrite).await?;
        let (mut position, end) = (block_floor(from), block_ceil(self.growing.size));
        while position < end {
            let count = (end - position).min(SCAN_BYTES as u64);
            let mut blocks = file.read_at(position, buffer(self.env, count as usize).await).await?;
            // A file that was cut ends within a block; it is cut again.
            blocks.pad_to_multiple_of(BLOCK as usize);
            file.write_at(position, vec![blocks.freeze()], WriteSync::Later).await?;
            position += count;
        }
        Ok(())
    }

    /// Ends the segment at the cursor and goes on in the one named `base_offset`.
    async fn roll_to(&mut self, base_offset: Offset) -> Result<(), DiskFailure> {
        self.write_run().await?;
        self.write_found().await?;
        self.growing.note_timestamp();
        let begun = GrowingSegment::new(self.base.partition(), base_offset);
        let sealed = std::mem::replace(&mut self.growing, begun);
        self.cut_segment(&sealed, true).await?;
        let from = checksums_from_after(Offset(self.base.checksums_from), &sealed, base_offset);
        self.base.checksums_from = from.0;
        self.sealed.push(SegmentSummary {
            base_offset: sealed.base_offset,
            size_bytes: sealed.size,
            max_timestamp: Some(sealed.max_timestamp),
            written_at: None,
        });
        self.has_changed = true;
        Ok(())
    }

    /// Cuts a segment, its indexes and its checksums to what they hold, stable.
    async fn cut_segment(&mut self, segment: &GrowingSegment, is_sealed: bool) -> Result<(), DiskFailure> {
        let path = segment_path(&self.path, segment.base_offset, SegmentFile::Log);
        let file = self.env.open(&path, OpenMode::DirectWrite).await?;
        file.truncate(segment.size).await?;
        file.sync().await?;
        self.segments.insert(segment.base_offset, segment.size);
        self.write_index(segment.base_offset, SegmentFile::OffsetIndex, &segment.offsets).await?;
        self.write_index(segment.base_offset, SegmentFile::TimeIndex, &segment.times).await?;
        self.write_checksums(segment, is_sealed).await
    }

    async fn write_checksums(&self, segment: &GrowingSegment, is_sealed: bool) -> Result<(), DiskFailure> {
        let path = segment_path(&self.path, segment.base_offset, SegmentFile::Checksums);
        let Some(known) = &segment.checksums else { return Ok(()) };
        // Of a segment that was read from its beginning, a file that is there was made from better bytes than a disk's.
        if known.written == 0
            && is_sealed
            && let Some(bytes) = self.whole_checksums(&path, segment).await?
        {
            return self.settle_checksums(&path, &bytes).await;
        }
        let is_there = self.checksums.contains_key(&segment.base_offset);
        let partition = self.base.partition();
        let Some(pending) = pending_checksums(partition, segment, segment.size, is_sealed) else {
            if is_there && known.written == 0 {
                // Of an end that was cut.
                return remove_file_if_present(self.env, &path).await;
            }
            return Ok(());
        };
        let file = self.env.open(&path, OpenMode::BufferedWrite).await?;
        file.truncate(checksum_position(u64::from(known.written))).await?;
        write_checksums(self.env, &path, &file, &pending).await
    }

    /// The content of a checksum file that is there for exactly this segment as a whole.
    async fn whole_checksums(
        &self,
        path: &Path,
        segment: &GrowingSegment,
    ) -> Result<Option<Vec<u8>>, DiskFailure> {
        let bytes_max = checksum_position(checksum_count(segment.size)) as usize + 1;
        let Some(bytes) = read_helping_file(self.env, path, bytes_max).await? else { return Ok(None) };
        let read = ChecksumFile::parse(&bytes, self.base.partition(), segment.base_offset);
        let sealed = read.ok().and_then(|file| file.header.sealed);
        Ok(sealed.is_some_and(|sealed| sealed.segment_bytes == segment.size).then_some(bytes))
    }

    /// Makes a checksum file stable that is kept as it is. A process may have left it in the page cache that was killed before its
    /// sync, or whose sync failed: then it is clean in memory only, and only a write brings it to the disk.
    async fn settle_checksums(&self, path: &Path, bytes: &[u8]) -> Result<(), DiskFailure> {
        let file = self.env.open(path, OpenMode::BufferedWrite).await?;
        write_buffered(self.env, &file, 0, bytes).await?;
        file.sync().await?;
        self.env.sync_directory(&self.path).await
    }

    async fn write_index<T: IndexEntry>(
        &self,
        segment: Offset,
        kind: SegmentFile,
        index: &GrowingIndex<T>,
    ) -> Result<(), DiskFailure> {
        let file = self.env.open(&segment_path(&self.path, segment, kind), OpenMode::BufferedWrite).await?;
        let position = u64::from(index.written) * T::BYTES as u64;
        // What stands behind the checkpoint's count may be torn; it is written anew.
        file.truncate(position).await?;
        write_buffered(self.env, &file, position, &index_bytes(segment, &index.pending)).await?;
        file.sync().await
    }

    /// Scans what is left, and settles where the log ends.
    pub async fn finish(mut self) -> Result<RecoveredPartition, DiskFailure> {
        if self.must_scan && self.damage.is_none() && !self.has_hole {
            while self.scan_one().await? {}
        }
        self.write_run().await?;
        if !self.is_known && self.damage.is_none() {
            self.judge().await?;
        }
        if self.damage.is_none() && self.end_offset < self.durable_end_offset {
            let segment = self.growing.base_offset;
            let length = self.segments.get(&segment).copied().unwrap_or(0);
            let reason = "no whole batch continues here, and what follows was acknowledged".to_owned();
            self.damage =
                Some(self.damage_at(segment, self.growing.size..length.max(self.growing.size), reason));
        }
        match self.damage.take() {
            Some(damage) => Ok(self.refuse(damage)),
            None => self.settle().await,
        }
    }

    /// Looks at a log that somebody else wrote before its end is cut. A crash leaves nothing whole where a torn batch ends or where an index
    /// leads to, which is written behind a sync, and nothing in segments behind: each is begun when the one before it is stable. Where there
    /// is something, offsets were left out, as compaction does, or a batch is damaged.
    async fn judge(&mut self) -> Result<(), DiskFailure> {
        let (active, size) = (self.growing.base_offset, self.growing.size);
        let mut places = vec![(active, size)];
        match self.indexed_behind(active, size).await {
            // Nobody knows whether something lies behind: it is not cut.
            Err(failure) if failure.is_unreadable() => {
                self.durable_end_offset =
                    self.durable_end_offset.max(Offset(self.end_offset.0.saturating_add(1)));
                self.note_unreadable(active, size..size, &failure);
                return Ok(());
            }
            positions => places.extend(positions?.into_iter().map(|position| (active, position))),
        }
        places.extend(self.segments.keys().filter(|base| **base > active).map(|base| (*base, 0)));
        for (segment, position) in places {
            let Some(offset) = self.whole_batch_at(segment, position).await? else { continue };
            // So it stays refused until it can be followed so far, or its files are gone.
            let behind = Offset(offset.max(self.end_offset).0.saturating_add(1));
            self.durable_end_offset = self.durable_end_offset.max(behind);
            let reason = format!(
                "no checkpoint knows this log, and it does not go on here, while {} holds batches behind it",
                segment_path(&self.path, segment, SegmentFile::Log).display()
            );
            let length = self.segments.get(&active).copied().unwrap_or(0);
            self.damage = Some(self.damage_at(active, size..length.max(size), reason));
            return Ok(());
        }
        Ok(())
    }

    /// Where batches stand behind a place of a segment, as its index says.
    async fn indexed_behind(&self, segment: Offset, position: u64) -> Result<Vec<u64>, DiskFailure> {
        let path = segment_path(&self.path, segment, SegmentFile::OffsetIndex);
        let bytes = read_file(self.env, &path, INDEX_BYTES_MAX).await?.unwrap_or_default();
        let entries = parse_index::<OffsetEntry>(segment, &bytes).unwrap_or_default();
        let positions = entries.iter().map(|entry| u64::from(entry.position));
        Ok(positions.filter(|known| *known > position).collect())
    }

    /// The offset of a whole batch that stands at a place, whether or not it continues the log.
    async fn whole_batch_at(
        &mut self,
        segment: Offset,
        position: u64,
    ) -> Result<Option<Offset>, DiskFailure> {
        let length = self.segments.get(&segment).copied().unwrap_or(0);
        let Some(bytes) = self.bytes_at(segment, position, HEADER_BYTES, length).await? else {
            return Ok(None);
        };
        let Ok(header) = BatchHeader::parse(bytes) else { return Ok(None) };
        let before = std::mem::replace(&mut self.end_offset, header.base_offset());
        let found = self.batch_at(segment, position).await;
        self.end_offset = before;
        Ok(found?.map(|found| found.header.base_offset()))
    }

    /// Leaves a damaged log as it is, and remembers how far it must reach.
    fn refuse(self, damage: Damage) -> RecoveredPartition {
        let mut record =
            PartitionRecord { durable_end_offset: self.durable_end_offset.0, ..self.base.clone() };
        if self.is_base_sound {
            // What was deleted stays deleted, also if the log is restored. Its files stay, as everything of it.
            let active = Offset(self.base.segment_base_offset);
            let base = self.sealed.partition_point(|segment| segment.base_offset < active);
            let passed = passed_count(&self.sealed[..base], active, self.log_start_offset);
            record.log_start_offset = self.log_start_offset.0;
            record.sealed_digest = sealed_digest(&self.sealed[passed..base]);
        }
        RecoveredPartition {
            record,
            sealed: self.sealed,
            damage: Some(Arc::new(damage)),
            repair: None,
            lost_checksums: self.lost_checksums,
            leftovers: Vec::new(),
        }
    }

    /// Lets the log begin where it was told to, if it reaches so far: a relaxed log may have lost its end.
    fn settle_log_start(&mut self) {
        self.log_start_offset = self.log_start_offset.min(self.end_offset);
        self.epochs.truncate_from_start(self.log_start_offset);
        let passed = passed_count(&self.sealed, self.growing.base_offset, self.log_start_offset);
        self.passed.extend(self.sealed.drain(..passed).map(|segment| segment.base_offset));
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let files =
            |base_offset: &Offset| SEGMENT_FILES.map(|kind| segment_path(&self.path, *base_offset, kind));
        self.passed.iter().flat_map(files).collect()
    }

    async fn settle(mut self) -> Result<RecoveredPartition, DiskFailure> {
        self.settle_log_start();
        let (active, size) = (self.growing.base_offset, self.growing.size);
        let length = self.segments.get(&active).copied();
        let beyond: Vec<Offset> = self
            .segments
            .range(active..)
            .skip_while(|(base, _)| **base == active)
            .map(|(base, _)| *base)
            .collect();
        let (mut repair, mut index_files) = (None, IndexFiles::StayBehind);
        if self.has_changed || length != Some(size) || !beyond.is_empty() {
            let bytes_cut = length.unwrap_or(0).saturating_sub(size)
                + beyond.iter().map(|base_offset| self.segments[base_offset]).sum::<u64>();
            self.remove_segments(&beyond).await?;
            self.write_found().await?;
            let growing = self.growing.clone();
            self.cut_segment(&growing, false).await?;
            index_files = IndexFiles::AreCompleted;
            self.env.sync_directory(&self.path).await?;
            repair = Some(Repair {
                directory: self.path.clone(),
                batches_replayed: self.batches_replayed,
                batches_scanned: self.batches_scanned,
                bytes_cut,
            });
        }
        // Also those of records that were deleted from the front since the checkpoint.
        if repair.is_some() || plain_epochs(&self.epochs) != self.base.epochs {
            let text = self.epochs.to_checkpoint();
            replace_file(self.env, &leader_epoch_checkpoint(&self.path), text.as_bytes()).await?;
        }
        if self.must_scan {
            self.unseal_checksums().await?;
        }
        let (record, leftovers) = (self.record(index_files), self.leftovers());
        let (sealed, lost_checksums) = (self.sealed, self.lost_checksums);
        Ok(RecoveredPartition { record, sealed, damage: None, repair, lost_checksums, leftovers })
    }

    /// Takes back the seal of the active segment's checksum file: it was sealed, and what began behind it is gone.
    async fn unseal_checksums(&self) -> Result<(), DiskFailure> {
        let (segment, partition) = (&self.growing, self.base.partition());
        if segment.checksums.is_none() || !self.checksums.contains_key(&segment.base_offset) {
            return Ok(());
        }
        let path = segment_path(&self.path, segment.base_offset, SegmentFile::Checksums);
        let header = read_helping_file(self.env, &path, checksums::HEADER_BYTES).await?;
        let header = ChecksumHeader::parse(&header.unwrap_or_default()).ok();
        let Some(header) = header.filter(|header| header.partition == partition && header.sealed.is_some())
        else {
            return Ok(());
        };
        let header = ChecksumHeader { sealed: None, ..header };
        let file = self.env.open(&path, OpenMode::BufferedWrite).await?;
        file.truncate(checksum_position(segment.size / BLOCK)).await?;
        write_buffered(self.env, &file, 0, &header.to_bytes()).await?;
        file.sync().await
    }

    /// Removes segments behind the end, the last one first: a crash in between leaves a row without a hole.
    async fn remove_segments(&mut self, beyond: &[Offset]) -> Result<(), DiskFailure> {
        for base_offset in beyond.iter().rev() {
            for kind in SEGMENT_FILES {
                remove_file_if_present(self.env, &segment_path(&self.path, *base_offset, kind)).await?;
            }
            self.segments.remove(base_offset);
            self.checksums.remove(base_offset);
            self.env.sync_directory(&self.path).await?;
        }
        Ok(())
    }

    fn record(&self, files: IndexFiles) -> PartitionRecord {
        let mut record = PartitionRecord {
            log_start_offset: self.log_start_offset.0,
            end_offset: self.end_offset.0,
            durable_end_offset: self.end_offset.0,
            sealed_digest: sealed_digest(&self.sealed),
            epochs: plain_epochs(&self.epochs),
            producers: self.producers.to_snapshot(),
            ..self.base.clone()
        };
        self.growing.fill_record(&mut record, files);
        record
    }
}

/// A whole batch that was found in a file, and what the segment's checksums are behind it.
struct FoundBatch {
    header: BatchHeader,
    checksums: Option<GrowingChecksums>,
}
