//! What a partition's log is at one moment, and how appending changes it. No I/O: the journal, the writer and
//! readers take from here what they need and report what they did.
//!
//! ```text
//!   sealed segments | draining (sealed, not all in their file) | active
//!   passed | log_start ................ stable_end ......... log_end
//!                                       '-- pending: waits for the journal, its file, or both --'
//! ```
//!
//! Always true: `stable_end` is a contiguous prefix: it passes a batch only when that batch and all before it
//! are on stable storage. What waits for its file only ever stops waiting by a completed stable write that
//! covered all of it, or a completed sync issued after its writes completed.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use ringlog_core::checksum::crc32c_append;
use ringlog_core::ids::{Offset, TopicPartition};
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::producer_state::ProducerStates;
use ringlog_core::record_batch::BatchHeader;
use ringlog_core::time::Timestamp;

use crate::config::{Durability, LogConfig};
use crate::disk::{block_ceil, block_floor};
use crate::failure::Damage;
use crate::format::checkpoint::{PartitionRecord, plain_epochs};
use crate::format::commit::{CommitEntry, EntryKind};
use crate::log::SegmentSummary;
use crate::log::segment::{
    GrowingSegment, IndexFiles, SegmentAge, checksums_from_after, passed_count, segment_jitter_ms,
};
use crate::log::tail::{Mark, Parts, SegmentWritten, Tail, Taken};

/// A segment whose bytes are not all in their file.
pub(crate) struct OpenSegment {
    pub growing: GrowingSegment,
    /// Bytes whose write completed.
    pub written: u64,
    /// Bytes that are stable, counted from the start of the file.
    pub synced: u64,
    /// What the latest stable writes covered, one joining the other.
    pub stable_run: Range<u64>,
    /// The file's length.
    pub allocated: u64,
    /// Whether the file's name is stable.
    pub is_created: bool,
    pub is_sealed: bool,
    /// Sealing: whether the file was cut to its exact length.
    pub is_cut: bool,
    /// Sealing: whether both indexes are there as a whole, even if they are empty.
    pub is_indexed: bool,
    /// Sealing: whether all checksums are in their file, if there are any.
    pub is_summed: bool,
    /// Since when this start has it.
    pub created_at: Timestamp,
    /// When a batch was last added; `None` until this start adds one or looks at the file.
    pub written_at: Option<Timestamp>,
}

impl OpenSegment {
    fn new(partition: TopicPartition, base_offset: Offset, now: Timestamp) -> OpenSegment {
        OpenSegment {
            created_at: now,
            written_at: Some(now),
            growing: GrowingSegment::new(partition, base_offset),
            written: 0,
            synced: 0,
            stable_run: 0..0,
            allocated: 0,
            is_created: false,
            is_sealed: false,
            is_cut: false,
            is_indexed: false,
            is_summed: false,
        }
    }

    pub fn base_offset(&self) -> Offset {
        self.growing.base_offset
    }

    pub fn size(&self) -> u64 {
        self.growing.size
    }

    /// A stable write of `start..end` completed. Returns the range that such writes cover without a hole.
    pub fn note_stable_write(&mut self, start: u64, end: u64) -> Range<u64> {
        if (self.stable_run.start..=self.stable_run.end).contains(&start) {
            self.stable_run.end = self.stable_run.end.max(end);
        } else {
            self.stable_run = start..end;
        }
        if self.synced >= self.stable_run.start {
            self.synced = self.synced.max(self.stable_run.end);
        }
        self.stable_run.clone()
    }

    pub fn summary(&self) -> SegmentSummary {
        SegmentSummary {
            base_offset: self.base_offset(),
            size_bytes: self.size(),
            max_timestamp: Some(self.growing.max_timestamp),
            written_at: self.written_at,
        }
    }

    pub fn written_state(&self) -> SegmentWritten {
        SegmentWritten { size: self.size(), written: self.written, is_sealed: self.is_sealed }
    }
}

/// An appended batch that is not stable yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingBatch {
    pub end_offset: Offset,
    pub segment: Offset,
    pub position: u64,
    pub end_position: u64,
    /// The journal has not taken it, or the note of its gap, yet.
    pub waits_for_journal: bool,
    /// Its segment file does not hold it stable yet, and is what it becomes stable by.
    pub waits_for_file: bool,
    /// Its segment file holds it stable, whether that was waited for or not.
    pub is_in_file: bool,
    /// Offsets were left out before it: only the journal says so.
    pub has_gap: bool,
}

/// A batch waiting to be packed into a commit.
pub(crate) struct QueuedBatch {
    pub entry: CommitEntry,
    pub end_offset: Offset,
    pub parts: Parts,
}

impl QueuedBatch {
    fn is_log_start(&self) -> bool {
        self.entry.kind == EntryKind::LogStart
    }

    fn has_gap(&self) -> bool {
        self.entry.base_offset != self.entry.previous_end_offset
    }
}

/// What the writer is asked to do.
#[derive(Default)]
pub(crate) struct WriterDemand {
    /// Whether the writer's task runs.
    pub is_running: bool,
    /// Write stable up to here: segment and position.
    pub direct_until: Option<(Offset, u64)>,
    /// Whether that is under way for all that a relaxed log was given until it began: it will not be longer.
    pub is_catching_up: bool,
    /// Flushes asked for, counted.
    pub flushes_wanted: u64,
    /// Flushes finished, counted.
    pub flushes_done: u64,
    /// The flush under way.
    pub flush: Option<FlushTarget>,
    /// Whether it is a flush's turn: those who write much take turns with it, or it would never end.
    pub is_flush_next: bool,
}

/// What a flush makes stable, as of the moment it reached the active segment.
pub(crate) struct FlushTarget {
    pub answers: u64,
    pub size: u64,
    pub record: PartitionRecord,
    /// Whether the record waits for the files beside the segment.
    pub files: IndexFiles,
}

/// A partition's log at one moment.
pub(crate) struct LogState {
    pub partition: TopicPartition,
    pub config: LogConfig,
    pub damage: Option<Arc<Damage>>,
    pub is_closed: bool,
    /// Whether the partial last block is at hand, so that batches can be appended.
    pub is_loaded: bool,
    pub is_loading: bool,
    pub sealed: Vec<SegmentSummary>,
    /// Sealed segments that begin below were sealed by an earlier start: what is known of their records is what files say.
    pub opened_in: Offset,
    /// Sealed segments that begin here or above have a checksum file.
    pub checksums_from: Offset,
    /// Segments below the log's start, whose files are still to be removed.
    pub passed: Vec<Offset>,
    /// Draining segments and, last, the active one.
    pub open: VecDeque<OpenSegment>,
    pub tail: Tail,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    pub stable_end_offset: Offset,
    pub reported_end_offset: Offset,
    pub pending: VecDeque<PendingBatch>,
    pub queued: VecDeque<QueuedBatch>,
    pub queued_bytes: usize,
    pub is_in_journal_queue: bool,
    pub is_announced: bool,
    /// Became stable by its file since the journal last noted how far.
    pub note_wanted: bool,
    pub is_note_queued: bool,
    pub producers: ProducerStates,
    pub epochs: LeaderEpochs,
    pub epochs_changed: bool,
    /// What the next checkpoint may claim.
    pub checkpointed: PartitionRecord,
    pub writer: WriterDemand,
}

/// What an append did.
pub(crate) struct Appended {
    pub taken: Taken,
    pub size: usize,
}

impl LogState {
    /// The state a log starts from.
    pub fn new(
        record: PartitionRecord,
        sealed: Vec<SegmentSummary>,
        config: LogConfig,
        producers_max: usize,
        now: Timestamp,
    ) -> LogState {
        let growing = GrowingSegment::of_record(&record);
        let size = growing.size;
        let active = OpenSegment {
            growing,
            written: size,
            synced: size,
            stable_run: 0..size,
            allocated: size,
            is_created: true,
            is_sealed: false,
            is_cut: false,
            is_indexed: false,
            is_summed: false,
            created_at: now,
            written_at: None,
        };
        let end_offset = Offset(record.end_offset);
        LogState {
            partition: record.partition(),
            config,
            damage: None,
            is_closed: false,
            is_loaded: size.is_multiple_of(crate::disk::BLOCK),
            is_loading: false,
            sealed,
            opened_in: Offset(record.segment_base_offset),
            checksums_from: Offset(record.checksums_from),
            passed: Vec::new(),
            open: VecDeque::from([active]),
            tail: Tail::default(),
            log_start_offset: Offset(record.log_start_offset),
            log_end_offset: end_offset,
            stable_end_offset: end_offset,
            reported_end_offset: end_offset,
            pending: VecDeque::new(),
            queued: VecDeque::new(),
            queued_bytes: 0,
            is_in_journal_queue: false,
            is_announced: false,
            note_wanted: false,
            is_note_queued: false,
            producers: ProducerStates::from_snapshot(&record.producers, producers_max),
            epochs: record.leader_epochs(),
            epochs_changed: false,
            checkpointed: record,
            writer: WriterDemand::default(),
        }
    }

    pub fn active(&self) -> &OpenSegment {
        self.open.back().expect("a log has an active segment")
    }

    pub fn active_mut(&mut self) -> &mut OpenSegment {
        self.open.back_mut().expect("a log has an active segment")
    }

    pub fn open_segment(&self, base_offset: Offset) -> Option<&OpenSegment> {
        self.open.iter().find(|segment| segment.base_offset() == base_offset)
    }

    pub fn open_segment_mut(&mut self, base_offset: Offset) -> Option<&mut OpenSegment> {
        self.open.iter_mut().find(|segment| segment.base_offset() == base_offset)
    }

    /// Adds a batch to memory and puts it on its way to stable storage. The caller has checked that it may.
    ///
    /// # Errors
    /// There is no memory; nothing was changed.
    pub fn append(
        &mut self,
        arena: &ringlog_runtime::buffer::Arena,
        chunk_bytes_max: usize,
        header: &BatchHeader,
        bytes: [&[u8]; 2],
        now: Timestamp,
    ) -> Result<Appended, ringlog_runtime::buffer::ArenaFull> {
        let rolls = self.must_roll_before(header, now);
        let (segment, position) = match rolls {
            true => (header.base_offset(), 0),
            false => (self.active().base_offset(), self.active().size()),
        };
        let (parts, taken) = self.tail.append(arena, chunk_bytes_max, segment, position, header, bytes)?;
        if rolls {
            self.roll(segment, now);
        }
        let interval = self.config.index_interval_bytes;
        self.active_mut().written_at = Some(now);
        self.active_mut().growing.sum(bytes);
        self.active_mut().growing.add(header, interval);
        self.enqueue(header, segment, position, parts);
        if header.leader_epoch().0 >= 0 {
            self.epochs_changed |= self.epochs.assign(header.leader_epoch(), header.base_offset());
        }
        self.producers.record(header, now);
        self.log_end_offset = header.next_offset();
        Ok(Appended { taken, size: header.size_bytes() })
    }

    fn must_roll_before(&self, header: &BatchHeader, now: Timestamp) -> bool {
        let active = self.active();
        let (partition, base_offset) = (self.partition, active.base_offset());
        let jitter_ms = segment_jitter_ms(partition, base_offset, &self.config);
        let age = SegmentAge { existed_ms: now.0.saturating_sub(active.created_at.0), jitter_ms };
        active.growing.must_roll_before(header, &self.config, age)
    }

    /// Seals the active segment, empty or not, and begins another where the log ends.
    pub fn roll_behind_end(&mut self, now: Timestamp) {
        self.roll(self.log_end_offset, now);
        // Nothing of the block that the old segment ends in is needed any more.
        self.is_loaded = true;
    }

    /// Seals the active segment and begins another. An active segment that is empty gives way without trace
    /// only if it has the same name.
    fn roll(&mut self, base_offset: Offset, now: Timestamp) {
        if self.active().base_offset() == base_offset {
            return;
        }
        let active = self.active_mut();
        active.growing.note_timestamp();
        active.is_sealed = true;
        let from = checksums_from_after(self.checksums_from, &self.active().growing, base_offset);
        self.checksums_from = from;
        self.open.push_back(OpenSegment::new(self.partition, base_offset, now));
    }

    fn enqueue(&mut self, header: &BatchHeader, segment: Offset, position: u64, parts: Parts) {
        let size = header.size_bytes();
        let entry = CommitEntry {
            partition: self.partition,
            kind: EntryKind::Batch,
            base_offset: header.base_offset(),
            previous_end_offset: self.log_end_offset,
            segment_base_offset: segment,
            durable_end_offset: self.stable_end_offset,
            position: u32::try_from(position).expect("a segment rolls before 2 GiB"),
            length: u32::try_from(size).expect("a batch is below 2 GiB"),
        };
        self.pending.push_back(PendingBatch {
            end_offset: header.next_offset(),
            segment,
            position,
            end_position: position + size as u64,
            waits_for_journal: true,
            waits_for_file: false,
            is_in_file: false,
            has_gap: header.base_offset() != self.log_end_offset,
        });
        self.queued_bytes += size;
        self.queued.push_back(QueuedBatch { entry, end_offset: header.next_offset(), parts });
    }

    /// Takes what is queued away from the journal: it will be written to its segment, for a durable log by a stable
    /// write of its own. Gaps still go to the journal, as notes without bytes: a scan of the file could not tell them
    /// from lost batches.
    pub fn hand_over_to_writer(&mut self) {
        let first = self.queued.iter().find(|queued| !queued.is_log_start()).map(|batch| batch.end_offset);
        let Some(first) = first else { return };
        let queued = std::mem::take(&mut self.queued);
        for pending in self.pending.iter_mut().rev().take_while(|pending| pending.end_offset >= first) {
            // What its file holds already waits for nothing there: its segment may be gone from here.
            pending.waits_for_file = !pending.is_in_file;
            pending.waits_for_journal = pending.has_gap;
        }
        let note = |queued: QueuedBatch| match queued.is_log_start() {
            true => Some(queued),
            false => queued.has_gap().then(|| gap_note(queued)),
        };
        self.queued = queued.into_iter().filter_map(note).collect();
        self.queued_bytes = 0;
        if self.config.durability == Durability::Durable {
            self.write_stable();
        }
    }

    /// Asks the writer to make the active segment stable up to here. Indexes and checksums wait for a checkpoint.
    pub fn write_stable(&mut self) {
        let active = self.active();
        self.writer.direct_until = Some((active.base_offset(), active.size()));
    }

    /// Whether the next batch to become stable becomes so by its file.
    pub fn waits_for_file(&self) -> bool {
        self.pending.front().is_some_and(|pending| pending.waits_for_file)
    }

    /// Whether any batch up to there does.
    pub fn waits_for_file_below(&self, end_offset: Offset) -> bool {
        let mut pending = self.pending.iter().take_while(|pending| pending.end_offset <= end_offset);
        pending.any(|pending| pending.waits_for_file)
    }

    /// Puts the note that the log begins at `log_start_offset` on its way to the journal.
    pub fn queue_log_start(&mut self, log_start_offset: Offset) {
        let entry = CommitEntry {
            partition: self.partition,
            kind: EntryKind::LogStart,
            base_offset: log_start_offset,
            previous_end_offset: log_start_offset,
            segment_base_offset: self.active().base_offset(),
            durable_end_offset: self.stable_end_offset,
            position: 0,
            length: 0,
        };
        self.queued.push_back(QueuedBatch { entry, end_offset: self.log_end_offset, parts: Parts::new() });
    }

    /// The journal holds the note that the log begins here.
    pub fn log_start_committed(&mut self, log_start_offset: Offset) {
        if log_start_offset <= self.log_start_offset {
            return;
        }
        assert!(
            log_start_offset <= self.log_end_offset,
            "a log begins at {log_start_offset} at most where it ends"
        );
        self.log_start_offset = log_start_offset;
        self.epochs.truncate_from_start(log_start_offset);
        self.epochs_changed = true;
        self.pass_segments();
    }

    /// Leaves out sealed segments that lie below the log's start: in the same breath, so that no record of this log
    /// names a start and segments below it.
    pub fn pass_segments(&mut self) {
        let next = self.open[0].base_offset();
        let count = passed_count(&self.sealed, next, self.log_start_offset);
        self.passed.extend(self.sealed.drain(..count).map(|segment| segment.base_offset));
    }

    /// The journal took everything queued up to `end_offset`.
    pub fn journal_committed(&mut self, end_offset: Offset) {
        for pending in &mut self.pending {
            if pending.end_offset > end_offset {
                break;
            }
            pending.waits_for_journal = false;
        }
    }

    /// A stable write covered `start..end` of a segment.
    pub fn written_stable(&mut self, segment: Offset, start: u64, end: u64) {
        self.file_covered(|pending| {
            pending.segment == segment && pending.position >= start && pending.end_position <= end
        });
    }

    /// A sync made a segment stable up to `end`.
    pub fn synced(&mut self, segment: Offset, end: u64) {
        self.file_covered(|pending| pending.segment == segment && pending.end_position <= end);
    }

    fn file_covered(&mut self, is_covered: impl Fn(&PendingBatch) -> bool) {
        for pending in self.pending.iter_mut().filter(|pending| is_covered(pending)) {
            // In its file and stable: the journal is no longer needed to find it, unless a gap lies before it.
            self.note_wanted |= pending.waits_for_file;
            (pending.waits_for_file, pending.is_in_file) = (false, true);
            pending.waits_for_journal &= pending.has_gap;
        }
    }

    /// Whether a batch that is written in the active segment was not made stable by its write.
    pub fn waits_for_sync(&self) -> bool {
        let active = self.active();
        let (segment, written) = (active.base_offset(), active.written);
        self.pending.iter().any(|pending| {
            pending.waits_for_file && pending.segment == segment && pending.end_position <= written
        })
    }

    /// Moves the stable end over what no longer waits; returns how many bytes became stable.
    pub fn release(&mut self) -> u64 {
        let mut bytes = 0;
        while let Some(pending) =
            self.pending.pop_front_if(|pending| !pending.waits_for_journal && !pending.waits_for_file)
        {
            self.stable_end_offset = pending.end_offset;
            // The commit that told of its gap knew of no batch behind it.
            self.note_wanted |= pending.is_in_file && pending.has_gap;
            bytes += pending.end_position - pending.position;
        }
        bytes
    }

    /// The end that acknowledgements may rely on. Never goes back.
    pub fn promised_end_offset(&self) -> Offset {
        match self.config.durability {
            Durability::Durable => self.reported_end_offset.max(self.stable_end_offset),
            Durability::Relaxed => self.log_end_offset,
        }
    }

    /// How far whole blocks may be written behind: a durable log's bytes follow the journal, never lead it.
    pub fn write_behind_limit(&self) -> u64 {
        let active = self.active();
        match (self.config.durability, self.pending.front()) {
            (Durability::Relaxed, _) | (_, None) => block_floor(active.size()),
            (_, Some(pending)) if pending.segment == active.base_offset() => block_floor(pending.position),
            _ => 0,
        }
    }

    /// Whether the log holds anything a checkpoint could not claim yet.
    pub fn is_dirty(&self) -> bool {
        self.open.len() > 1
            || self.checkpointed.end_offset != self.log_end_offset.0
            || self.checkpointed.log_start_offset != self.log_start_offset.0
            || self.checkpointed.segment_base_offset != self.active().base_offset().0
            || self.epochs_changed
    }

    /// What a checkpoint may claim once everything appended so far is stable.
    pub fn record(&self, files: IndexFiles) -> PartitionRecord {
        let mut record = PartitionRecord {
            topic_id: self.partition.topic.0,
            topic: self.checkpointed.topic.clone(),
            partition: self.partition.partition.0,
            log_start_offset: self.log_start_offset.0,
            end_offset: self.log_end_offset.0,
            durable_end_offset: self.log_end_offset.0,
            sealed_digest: sealed_digest(&self.sealed),
            checksums_from: self.checksums_from.0,
            epochs: plain_epochs(&self.epochs),
            producers: self.producers.to_snapshot(),
            ..PartitionRecord::default()
        };
        self.active().growing.fill_record(&mut record, files);
        record
    }

    /// The first batch that readers find in memory, with everything behind it.
    pub fn first_in_memory(&self) -> Option<Mark> {
        self.tail.first()
    }

    /// Gives up the oldest chunk if it is in its file.
    pub fn evict_oldest_chunk(&mut self) -> Option<usize> {
        let gone = |segment: Offset| self.open.iter().find(|open| open.base_offset() == segment);
        let everything = SegmentWritten { size: 0, written: u64::MAX, is_sealed: true };
        self.tail.evict_oldest(|segment| gone(segment).map_or(everything, OpenSegment::written_state))
    }

    /// The segment in which an offset is to be looked for, and where the one behind it begins. Offsets may be
    /// left out before the first.
    pub fn segment_of(&self, offset: Offset) -> (SegmentSummary, Offset) {
        let open = self.open.partition_point(|segment| segment.base_offset() <= offset);
        if let Some(index) = open.checked_sub(1) {
            let next = self.open.get(index + 1).map_or(self.log_end_offset, OpenSegment::base_offset);
            return (self.open[index].summary(), next);
        }
        let sealed = self.sealed.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1);
        let first_open = &self.open[0];
        match self.sealed.get(sealed) {
            Some(segment) => {
                let next =
                    self.sealed.get(sealed + 1).map_or(first_open.base_offset(), |next| next.base_offset);
                (*segment, next)
            }
            None => {
                (first_open.summary(), self.open.get(1).map_or(self.log_end_offset, OpenSegment::base_offset))
            }
        }
    }

    /// Whether a segment is part of the log.
    pub fn has_segment(&self, base_offset: Offset) -> bool {
        self.open_segment(base_offset).is_some()
            || self.sealed.binary_search_by_key(&base_offset, |segment| segment.base_offset).is_ok()
    }

    /// The bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        let open = self.open.iter().map(OpenSegment::size);
        self.sealed.iter().map(|segment| segment.size_bytes).chain(open).sum()
    }

    /// Every segment, oldest first.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        let open = self.open.iter().map(OpenSegment::summary);
        self.sealed.iter().copied().chain(open).collect()
    }

    /// The bytes to write for `from..to` of an open segment: whole blocks from where they lie, and the rest of
    /// the last block.
    pub fn blocks(&self, segment: Offset, from: u64, to: u64) -> (Parts, Vec<u8>) {
        let whole_end = block_floor(to).max(from);
        let parts = if from < whole_end { self.tail.slices(segment, from, whole_end) } else { Parts::new() };
        let rest = if whole_end < to { self.tail.slices(segment, whole_end, to) } else { Parts::new() };
        (parts, rest.iter().flat_map(|part| part.iter().copied()).collect())
    }

    /// How long the active file should become to hold `end` bytes.
    pub fn allocation_for(&self, segment: &OpenSegment, end: u64, step_bytes_max: u64) -> u64 {
        let step = segment.allocated.clamp(64 << 10, step_bytes_max.max(64 << 10)).min(step_bytes_max);
        let ahead = (block_ceil(segment.allocated) + step).min(block_ceil(self.config.segment_bytes));
        block_ceil(end).max(ahead)
    }
}

fn gap_note(batch: QueuedBatch) -> QueuedBatch {
    let entry = CommitEntry { kind: EntryKind::Gap, length: 0, ..batch.entry };
    QueuedBatch { entry, parts: Parts::new(), ..batch }
}

/// One number for the names and lengths of sealed segments: a missing or strange one changes it.
pub(crate) fn sealed_digest(sealed: &[SegmentSummary]) -> u32 {
    sealed.iter().fold(0, |digest, segment| {
        let digest = crc32c_append(digest, &segment.base_offset.0.to_le_bytes());
        crc32c_append(digest, &segment.size_bytes.to_le_bytes())
    })
}
