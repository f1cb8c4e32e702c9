//! A log that Kafka wrote, taken over: its batches stay as they are, everything beside them is made anew.
//!
//! ```text
//!   Kafka's segments   [ 0 .......... ][ 500 ....... ][ 900 .. ]         each batch judged once, in order
//!                            │ copied, or linked          │
//!   ours, all sealed   [ 0 .......... ][ 500 ....... ][ 900 .. ][ 950    an empty one to go on in
//!                        .index .timeindex .checksums                    made from the batches
//!                                                   ──► PartitionRecord ──► the checkpoint a first start begins from
//! ```
//!
//! Why all of Kafka's segments are sealed: nothing of ours is ever written into one of them, so they stay Kafka's byte for byte,
//! and a sealed one may be a second name of the same file.
//!
//! Transactions: there are none here, so readers would get what was rolled back. Such batches are left out, as Kafka's own
//! compaction leaves them out; their offsets stay unused. Whose batches they were is known only from the marker behind them:
//! a log with rolled back transactions is walked twice ([`LogImport::aborted`]).
//!
//! Always true: no I/O; a batch is taken only if it is whole and continues the log: offsets grow, with gaps where compaction left
//! some, and epochs do not go back. What is made is what appending the same batches would have made.
//!
//! Reading order: this file; [`transactions`]: what is still open, and what was rolled back; [`data_directory`]: the files of a directory
//! as a whole.

pub mod data_directory;
mod transactions;

use ringlog_core::ids::{LeaderEpoch, Offset, ProducerId};
use ringlog_core::leader_epochs::LeaderEpochs;
use ringlog_core::limits::Limits;
use ringlog_core::producer_state::ProducerStates;
use ringlog_core::record_batch::{RawBatch, validate_stored};

use crate::config::LogConfig;
use crate::format::checkpoint::{PartitionRecord, plain_epochs};
use crate::format::index::index_bytes;
use crate::log::segment::{GrowingSegment, IndexFiles, epoch_goes_back, passed_count};
use crate::log::state::sealed_digest;
use crate::log::writer::pending_checksums;
use crate::log::{LogIdentity, SegmentSummary};
use crate::store::directories::empty_record;
pub use transactions::AbortedTransaction;
use transactions::Transactions;

/// Positions in an index and in Kafka's tools are signed 32-bit numbers, relative offsets as well.
const NUMBER_MAX: i64 = i32::MAX as i64;

/// What becomes of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It is part of the log.
    Copied,
    /// It was rolled back.
    LeftOut,
}

/// The files beside a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedSegment {
    /// Its name.
    pub base_offset: Offset,
    /// Its length.
    pub size_bytes: u64,
    /// `.index`.
    pub offset_index: Vec<u8>,
    /// `.timeindex`.
    pub time_index: Vec<u8>,
    /// `.checksums`.
    pub checksums: Vec<u8>,
}

/// A log as it was taken over.
#[derive(Clone, PartialEq, Debug)]
pub struct ImportedLog {
    /// For the checkpoint.
    pub record: PartitionRecord,
    /// `leader-epoch-checkpoint`.
    pub leader_epochs: String,
    /// The newest leader epoch of its batches.
    pub latest_epoch: Option<LeaderEpoch>,
    /// The first producer id above all of its batches.
    pub next_producer_id: i64,
    /// The producer and the first offset of each transaction that no marker ends.
    pub open_transactions: Vec<(ProducerId, Offset)>,
    /// Batches that were left out.
    pub left_out_count: u64,
}

/// A log on its way.
pub struct LogImport {
    identity: LogIdentity,
    log_start_offset: Offset,
    growing: GrowingSegment,
    sealed: Vec<SegmentSummary>,
    end_offset: Offset,
    latest_epoch: Option<LeaderEpoch>,
    epochs: LeaderEpochs,
    known_epochs: LeaderEpochs,
    producers: ProducerStates,
    next_producer_id: i64,
    transactions: Transactions,
    left_out_count: u64,
}

impl LogImport {
    /// Begins with the first segment's name. `known_epochs` are those of Kafka's checkpoint: of an epoch whose batches are gone
    /// nothing else tells. `rolled_back` is what an earlier walk over the same log found.
    pub fn new(
        identity: LogIdentity,
        first_segment: Offset,
        log_start_offset: Offset,
        known_epochs: LeaderEpochs,
        rolled_back: Vec<AbortedTransaction>,
    ) -> LogImport {
        LogImport {
            growing: GrowingSegment::new(identity.id, first_segment),
            identity,
            log_start_offset,
            sealed: Vec::new(),
            end_offset: first_segment,
            latest_epoch: None,
            epochs: LeaderEpochs::new(),
            known_epochs,
            producers: ProducerStates::new(Limits::production().state.producers_per_partition_max),
            next_producer_id: 0,
            transactions: Transactions::new(rolled_back),
            left_out_count: 0,
        }
    }

    /// Where the log ends so far.
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Transactions that were rolled back, as far as their markers have been met.
    pub fn aborted(&self) -> &[AbortedTransaction] {
        self.transactions.aborted()
    }

    /// Whether something was kept that turned out to be rolled back: the log must be walked again.
    pub fn must_walk_again(&self) -> bool {
        self.transactions.has_news()
    }

    /// Goes on in another segment.
    ///
    /// # Errors
    /// A sentence, if the log goes on behind its name.
    pub fn begin_segment(&mut self, base_offset: Offset) -> Result<(), String> {
        if base_offset < self.end_offset {
            return Err(format!(
                "it is named for an offset below {}, where the log goes on",
                self.end_offset
            ));
        }
        self.growing = GrowingSegment::new(self.identity.id, base_offset);
        self.end_offset = base_offset;
        Ok(())
    }

    /// Takes the next batch of the segment, exactly as many bytes as it has.
    ///
    /// # Errors
    /// A sentence that says why it is none, or does not continue the log.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Kept, String> {
        let batch = validate_stored(bytes).map_err(|fault| fault.to_string())?;
        let header = *batch.header();
        let base = self.growing.base_offset;
        if header.base_offset() < self.end_offset {
            let (found, end) = (header.base_offset(), self.end_offset);
            return Err(format!("offset {found} comes where {end} or a later one is next"));
        }
        if header.last_offset().0 - base.0 > NUMBER_MAX
            || self.growing.size + bytes.len() as u64 > NUMBER_MAX as u64
        {
            return Err(format!("offset {} is too far from where the segment begins", header.last_offset()));
        }
        if epoch_goes_back(self.latest_epoch, header.leader_epoch()) {
            return Err(format!("leader epoch {} comes behind a later one", header.leader_epoch()));
        }
        let (raw, _) = RawBatch::split_first(bytes).map_err(|fault| fault.to_string())?;
        let kept = self.transactions.pass(&raw)?;
        match kept {
            Kept::Copied => {
                self.growing.sum([bytes, &[]]);
                self.growing.add(&header, LogConfig::default().index_interval_bytes);
            }
            Kept::LeftOut => self.left_out_count += 1,
        }
        self.note_epoch(header.leader_epoch(), header.base_offset());
        self.producers.record(&header, header.max_timestamp());
        self.next_producer_id = self.next_producer_id.max(header.producer_id().0.saturating_add(1));
        self.end_offset = header.next_offset();
        Ok(kept)
    }

    fn note_epoch(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if epoch.0 < 0 {
            return;
        }
        self.latest_epoch = self.latest_epoch.max(Some(epoch));
        if self.epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
            self.epochs.assign(epoch, offset);
        }
    }

    /// Ends the segment; `None` if nothing is in it.
    pub fn seal(&mut self) -> Option<SealedSegment> {
        if self.growing.size == 0 {
            return None;
        }
        self.growing.note_timestamp();
        let GrowingSegment { base_offset, size, .. } = self.growing;
        let checksums = pending_checksums(self.identity.id, &self.growing, size, true)
            .expect("a segment that is read from its beginning has checksums");
        self.sealed.push(SegmentSummary::found(base_offset, size));
        Some(SealedSegment {
            base_offset,
            size_bytes: size,
            offset_index: index_bytes(base_offset, &self.growing.offsets.pending),
            time_index: index_bytes(base_offset, &self.growing.times.pending),
            checksums: checksums.to_bytes(),
        })
    }

    /// The log as a whole. Its next segment is named for where it ends.
    pub fn finish(self) -> ImportedLog {
        let end_offset = self.end_offset.max(self.log_start_offset);
        let log_start_offset = self.log_start_offset;
        let mut epochs = self.known_epochs;
        epochs.truncate_from_end(end_offset);
        for entry in self.epochs.entries() {
            if epochs.latest().is_none_or(|latest| latest.epoch < entry.epoch) {
                epochs.assign(entry.epoch, entry.start_offset);
            }
        }
        epochs.truncate_from_start(log_start_offset);
        let passed = passed_count(&self.sealed, end_offset, log_start_offset);
        let sealed = &self.sealed[passed..];
        let mut record = PartitionRecord {
            log_start_offset: log_start_offset.0,
            end_offset: end_offset.0,
            durable_end_offset: end_offset.0,
            sealed_digest: sealed_digest(sealed),
            checksums_from: sealed.first().map_or(end_offset, |first| first.base_offset).0,
            epochs: plain_epochs(&epochs),
            producers: self.producers.to_snapshot(),
            ..empty_record(&self.identity)
        };
        GrowingSegment::new(self.identity.id, end_offset).fill_record(&mut record, IndexFiles::AreCompleted);
        ImportedLog {
            record,
            leader_epochs: epochs.to_checkpoint(),
            latest_epoch: epochs.latest().map(|latest| latest.epoch),
            next_producer_id: self.next_producer_id,
            open_transactions: self.transactions.open(),
            left_out_count: self.left_out_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlog_core::ids::{PartitionIndex, ProducerEpoch, SequenceNumber, TopicId, TopicPartition};
    use ringlog_core::record_batch::BatchBuilder;

    use super::*;

    fn identity() -> LogIdentity {
        let topic = TopicId::from_random(1, 2);
        LogIdentity { topic: "orders".into(), id: TopicPartition { topic, partition: PartitionIndex(0) } }
    }

    fn import(log_start: i64, rolled_back: Vec<AbortedTransaction>) -> LogImport {
        LogImport::new(identity(), Offset::ZERO, Offset(log_start), LeaderEpochs::new(), rolled_back)
    }

    fn batch(base_offset: i64, epoch: i32) -> Vec<u8> {
        BatchBuilder::new()
            .at(Offset(base_offset))
            .leader_epoch(LeaderEpoch(epoch))
            .record(None, Some(&b"value"[..]))
            .build()
    }

    fn of_transaction(base_offset: i64, producer: i64, sequence: i32) -> Vec<u8> {
        BatchBuilder::new()
            .at(Offset(base_offset))
            .producer(ProducerId(producer), ProducerEpoch(0), SequenceNumber(sequence))
            .transactional()
            .record(None, Some(&b"value"[..]))
            .build()
    }

    /// The marker that ends a transaction: 0 rolls it back, 1 commits it.
    fn marker(base_offset: i64, producer: i64, kind: u8) -> Vec<u8> {
        BatchBuilder::new()
            .at(Offset(base_offset))
            .producer(ProducerId(producer), ProducerEpoch(0), SequenceNumber(-1))
            .transactional()
            .control()
            .record(Some(&[0, 0, 0, kind][..]), Some(&[0; 6][..]))
            .build()
    }

    #[test]
    fn offsets_may_have_gaps_and_never_go_back() {
        let mut log = import(0, Vec::new());
        assert_eq!(log.take(&batch(0, 0)), Ok(Kept::Copied));
        assert_eq!(log.take(&batch(9, 0)), Ok(Kept::Copied));
        assert!(log.take(&batch(9, 0)).unwrap_err().contains("offset 9 comes where 10"));
        assert!(log.begin_segment(Offset(9)).is_err());
        log.begin_segment(Offset(12)).unwrap();
        assert!(log.take(&batch(11, 0)).is_err(), "below the name of its segment");
        assert_eq!(log.take(&batch(13, 0)), Ok(Kept::Copied));
        assert_eq!(log.end_offset(), Offset(14));
    }

    #[test]
    fn epochs_do_not_go_back_and_those_without_batches_are_kept() {
        let mut known = LeaderEpochs::new();
        for (epoch, offset) in [(0, 0), (2, 1), (3, 4), (8, 90)] {
            known.assign(LeaderEpoch(epoch), Offset(offset));
        }
        let mut log = LogImport::new(identity(), Offset::ZERO, Offset::ZERO, known, Vec::new());
        log.take(&batch(0, 0)).unwrap();
        log.take(&batch(5, 3)).unwrap();
        assert!(log.take(&batch(6, 2)).unwrap_err().contains("leader epoch 2"));
        log.take(&batch(6, 5)).unwrap();
        let taken = log.finish();
        assert_eq!(taken.record.epochs, [(0, 0), (2, 1), (3, 4), (5, 6)], "8 begins behind the end");
        assert_eq!(taken.latest_epoch, Some(LeaderEpoch(5)));
    }

    #[test]
    fn a_batch_with_a_changed_byte_is_refused() {
        let whole = batch(0, 0);
        for position in 8..whole.len() {
            // The leader epoch may be anything: no checksum covers it.
            if (12..16).contains(&position) {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[position] ^= 0x40;
            assert!(import(0, Vec::new()).take(&bytes).is_err(), "byte {position}");
        }
    }

    #[test]
    fn what_was_rolled_back_is_left_out_in_a_second_walk() {
        let batches = [
            of_transaction(0, 7, 0),
            of_transaction(1, 8, 0),
            marker(2, 7, 0),
            of_transaction(3, 7, 1),
            marker(4, 8, 1),
            marker(5, 7, 1),
        ];
        let mut first = import(0, Vec::new());
        batches.iter().for_each(|batch| assert_eq!(first.take(batch), Ok(Kept::Copied)));
        assert!(first.must_walk_again());
        let mut second = import(0, first.aborted().to_vec());
        let kept: Vec<_> = batches.iter().map(|batch| second.take(batch).unwrap()).collect();
        let left_out: Vec<_> = (0..6).filter(|index| kept[*index] == Kept::LeftOut).collect();
        assert_eq!((left_out, second.must_walk_again()), (vec![0], false));
        let taken = second.finish();
        assert_eq!((taken.left_out_count, taken.record.end_offset, taken.next_producer_id), (1, 6, 9));
        assert_eq!(taken.open_transactions, []);
    }

    #[test]
    fn a_transaction_without_a_marker_is_told() {
        let mut log = import(0, Vec::new());
        log.take(&of_transaction(0, 7, 0)).unwrap();
        log.take(&of_transaction(1, 7, 1)).unwrap();
        assert_eq!(log.finish().open_transactions, [(ProducerId(7), Offset(0))]);
    }

    #[test]
    fn a_segment_without_batches_is_none() {
        let mut log = import(3, Vec::new());
        assert_eq!(log.seal(), None);
        let taken = log.finish();
        assert_eq!((taken.record.log_start_offset, taken.record.end_offset), (3, 3));
        assert_eq!(taken.record.segment_base_offset, 3);
    }
}
