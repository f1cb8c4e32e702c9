//! What a partition remembers of its idempotent producers, so that a batch sent twice is stored once (KIP-98).
//!
//! ```text
//!   producer 7, epoch 0:   the last five batches     [10..19] [20..24] [25..25] [26..40] [41..50]
//!   next batch [51..60]  -> append
//!   batch [26..40] again -> duplicate: answered with the offset it got the first time
//!   batch [53..60]       -> out of order: [51..52] is missing
//! ```
//!
//! Always true: the state is a fold of the log (`record` for every appended batch, in order), so that followers
//! and recovery arrive at the same one; at most `producers_max` producers are remembered, and which are
//! forgotten depends on the log alone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::ids::{Offset, ProducerEpoch, ProducerId, SequenceNumber};
use crate::record_batch::BatchHeader;
use crate::time::Timestamp;

/// How many batches of one producer are remembered: as many as a client may have in flight.
pub const BATCHES_REMEMBERED: usize = 5;

/// The idempotent producers of one partition.
#[derive(Clone, Debug)]
pub struct ProducerStates {
    // Ordered, because clients choose the ids.
    producers: BTreeMap<ProducerId, ProducerState>,
    producers_max: usize,
}

/// What is known of one producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerState {
    epoch: ProducerEpoch,
    /// Oldest first.
    batches: Window,
    last_written: Timestamp,
    last_offset: Offset,
    open_transaction: Option<Offset>,
}

/// One remembered batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SequencedBatch {
    /// The sequence number of its first record.
    pub base_sequence: SequenceNumber,
    /// The sequence number of its last record.
    pub last_sequence: SequenceNumber,
    /// The offset of its first record.
    pub base_offset: Offset,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// Its max timestamp.
    pub timestamp: Timestamp,
}

/// What to do with a batch that may be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Append it.
    Append,
    /// It is in the log already: answer as the first time.
    Duplicate {
        /// The offset its first record got.
        base_offset: Offset,
        /// The offset its last record got.
        last_offset: Offset,
        /// Its max timestamp.
        timestamp: Timestamp,
    },
}

/// Why a batch may not be appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProducerRefusal {
    /// A gap, or a duplicate older than what is remembered (OUT_OF_ORDER_SEQUENCE_NUMBER).
    OutOfOrderSequence {
        /// Who.
        producer_id: ProducerId,
        /// The sequence number that would continue.
        expected: SequenceNumber,
        /// The one that came.
        found: SequenceNumber,
    },
    /// A newer incarnation of the producer has written already (INVALID_PRODUCER_EPOCH).
    StaleEpoch {
        /// Who.
        producer_id: ProducerId,
        /// The incarnation known.
        current: ProducerEpoch,
        /// The one that came.
        found: ProducerEpoch,
    },
    /// A batch outside any transaction while the producer has one open here (INVALID_TXN_STATE).
    TransactionOpen {
        /// Who.
        producer_id: ProducerId,
        /// Where the transaction began.
        first_offset: Offset,
    },
}

impl fmt::Display for ProducerRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProducerRefusal::OutOfOrderSequence { producer_id, expected, found } => {
                write!(formatter, "producer {producer_id} should continue with {expected}, not with {found}")
            }
            ProducerRefusal::StaleEpoch { producer_id, current, found } => {
                write!(formatter, "producer {producer_id} is at epoch {current}, {found} is over")
            }
            ProducerRefusal::TransactionOpen { producer_id, first_offset } => {
                write!(formatter, "producer {producer_id} has a transaction open since offset {first_offset}")
            }
        }
    }
}

impl std::error::Error for ProducerRefusal {}

impl ProducerStates {
    /// Nobody yet; at most `producers_max` are remembered at a time.
    ///
    /// # Panics
    /// If that is none at all.
    pub fn new(producers_max: usize) -> ProducerStates {
        assert!(producers_max > 0, "remembering no producer makes every retry a second copy");
        ProducerStates { producers: BTreeMap::new(), producers_max }
    }

    /// Judges a client's batch before it is appended. Changes nothing: [`ProducerStates::record`] does, once the
    /// batch is in the log.
    pub fn admit(&self, batch: &BatchHeader) -> Result<Admission, ProducerRefusal> {
        if !batch.has_producer_id() {
            return Ok(Admission::Append);
        }
        let Some(state) = self.producers.get(&batch.producer_id()) else {
            // Expired, trimmed or new: which of them cannot be told, so any first sequence is taken.
            return Ok(Admission::Append);
        };
        state.admit(batch)
    }

    /// Notes a batch that was appended, at wall-clock time `now` (when replaying: the batch's own max
    /// timestamp). Batches without a producer id are passed over.
    pub fn record(&mut self, batch: &BatchHeader, now: Timestamp) {
        if !batch.has_producer_id() {
            return;
        }
        let id = batch.producer_id();
        if !self.producers.contains_key(&id) && self.producers.len() >= self.producers_max {
            self.forget_the_longest_silent();
        }
        self.producers
            .entry(id)
            .or_insert_with(|| ProducerState::new(batch.producer_epoch()))
            .record(batch, now);
    }

    /// Forgets producers that have not written for `after` and have no transaction open; returns how many.
    pub fn expire(&mut self, now: Timestamp, after: Duration) -> usize {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        let before = self.producers.len();
        self.producers.retain(|_, state| {
            state.open_transaction.is_some() || now.0.saturating_sub(state.last_written.0) < after_ms
        });
        before - self.producers.len()
    }

    /// Forgets everyone, as before replaying a truncated log.
    pub fn clear(&mut self) {
        self.producers.clear();
    }

    /// How many producers are remembered.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// What is known of a producer.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerState> {
        self.producers.get(&id)
    }

    /// Everyone, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(&id, state)| (id, state))
    }

    /// Everything as plain values, for a file.
    pub fn to_snapshot(&self) -> ProducerSnapshot {
        ProducerSnapshot { producers: self.producers.iter().map(|(id, state)| state.to_plain(*id)).collect() }
    }

    /// Reads a snapshot back.
    pub fn from_snapshot(snapshot: &ProducerSnapshot, producers_max: usize) -> ProducerStates {
        let mut states = ProducerStates::new(producers_max);
        for plain in &snapshot.producers {
            states.producers.insert(ProducerId(plain.producer_id), ProducerState::from_plain(plain));
        }
        while states.producers.len() > producers_max {
            states.forget_the_longest_silent();
        }
        states
    }

    /// Makes room for a new producer: an eighth of all goes at once, so that a crowd of new ids costs a scan
    /// every so often rather than each time. By offset, not by time: every replica forgets the same ones. Those with
    /// an open transaction go last.
    fn forget_the_longest_silent(&mut self) {
        let mut by_offset: Vec<(bool, Offset, ProducerId)> = Vec::with_capacity(self.producers.len());
        by_offset.extend(
            self.producers
                .iter()
                .map(|(&id, state)| (state.open_transaction.is_some(), state.last_offset, id)),
        );
        let count = (by_offset.len() / 8).max(1);
        by_offset.select_nth_unstable(count - 1);
        for (_, _, id) in &by_offset[..count] {
            self.producers.remove(id);
        }
    }
}

impl ProducerState {
    fn new(epoch: ProducerEpoch) -> ProducerState {
        ProducerState {
            epoch,
            batches: Window::default(),
            last_written: Timestamp::NONE,
            last_offset: Offset::ZERO,
            open_transaction: None,
        }
    }

    /// The incarnation that wrote last.
    pub fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// The remembered batches, oldest first.
    pub fn batches(&self) -> &[SequencedBatch] {
        self.batches.as_slice()
    }

    /// When it wrote last.
    pub fn last_written(&self) -> Timestamp {
        self.last_written
    }

    /// Where its open transaction began.
    pub fn open_transaction(&self) -> Option<Offset> {
        self.open_transaction
    }

    /// The sequence number that continues what is remembered: 0 if the epoch has no batch yet.
    fn next_sequence(&self) -> SequenceNumber {
        self.batches().last().map_or(SequenceNumber(0), |batch| batch.last_sequence.wrapping_advance(1))
    }

    fn admit(&self, batch: &BatchHeader) -> Result<Admission, ProducerRefusal> {
        if let Some(duplicate) = self.duplicate_of(batch) {
            let SequencedBatch { base_offset, last_offset, timestamp, .. } = *duplicate;
            return Ok(Admission::Duplicate { base_offset, last_offset, timestamp });
        }
        let (producer_id, found) = (batch.producer_id(), batch.producer_epoch());
        if found < self.epoch {
            return Err(ProducerRefusal::StaleEpoch { producer_id, current: self.epoch, found });
        }
        let expected = if found == self.epoch { self.next_sequence() } else { SequenceNumber(0) };
        if batch.base_sequence() != expected {
            let found = batch.base_sequence();
            return Err(ProducerRefusal::OutOfOrderSequence { producer_id, expected, found });
        }
        match self.open_transaction {
            Some(first_offset) if !batch.attributes().is_transactional() => {
                Err(ProducerRefusal::TransactionOpen { producer_id, first_offset })
            }
            _ => Ok(Admission::Append),
        }
    }

    fn duplicate_of(&self, batch: &BatchHeader) -> Option<&SequencedBatch> {
        let range = (batch.base_sequence(), batch.last_sequence());
        let same_range = |known: &&SequencedBatch| (known.base_sequence, known.last_sequence) == range;
        if batch.producer_epoch() != self.epoch {
            return None;
        }
        self.batches().iter().find(same_range)
    }

    fn record(&mut self, batch: &BatchHeader, now: Timestamp) {
        if batch.producer_epoch() != self.epoch {
            self.epoch = batch.producer_epoch();
            self.batches = Window::default();
        }
        self.last_written = now;
        self.last_offset = batch.last_offset();
        if batch.attributes().is_control() {
            self.open_transaction = None;
            return;
        }
        self.batches.push(SequencedBatch {
            base_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            timestamp: batch.max_timestamp(),
        });
        if batch.attributes().is_transactional() {
            self.open_transaction.get_or_insert(batch.base_offset());
        }
    }

    fn to_plain(&self, id: ProducerId) -> PlainProducer {
        PlainProducer {
            producer_id: id.0,
            epoch: self.epoch.0,
            last_written: self.last_written.0,
            last_offset: self.last_offset.0,
            open_transaction: self.open_transaction.map(|offset| offset.0),
            batches: self.batches().iter().map(PlainBatch::of).collect(),
        }
    }

    fn from_plain(plain: &PlainProducer) -> ProducerState {
        let mut batches = Window::default();
        plain.batches.iter().for_each(|batch| batches.push(batch.to_batch()));
        ProducerState {
            epoch: ProducerEpoch(plain.epoch),
            batches,
            last_written: Timestamp(plain.last_written),
            last_offset: Offset(plain.last_offset),
            open_transaction: plain.open_transaction.map(Offset),
        }
    }
}

/// The last few batches of a producer, oldest first.
#[derive(Clone, Default)]
struct Window {
    batches: [SequencedBatch; BATCHES_REMEMBERED],
    count: usize,
}

impl Window {
    fn as_slice(&self) -> &[SequencedBatch] {
        &self.batches[..self.count]
    }

    fn push(&mut self, batch: SequencedBatch) {
        if self.count == BATCHES_REMEMBERED {
            self.batches.rotate_left(1);
            self.count -= 1;
        }
        self.batches[self.count] = batch;
        self.count += 1;
    }
}

impl PartialEq for Window {
    fn eq(&self, other: &Window) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Window {}

impl fmt::Debug for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.as_slice()).finish()
    }
}

/// All producers of a partition as plain values.
#[derive(Clone, PartialEq, Eq, Debug, Default, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ProducerSnapshot {
    /// By id.
    pub producers: Vec<PlainProducer>,
}

/// One producer as plain values.
#[derive(Clone, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PlainProducer {
    /// Its id.
    pub producer_id: i64,
    /// The incarnation that wrote last.
    pub epoch: i16,
    /// When it wrote last, in milliseconds since 1970.
    pub last_written: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// Where its open transaction began.
    pub open_transaction: Option<i64>,
    /// The remembered batches, oldest first.
    pub batches: Vec<PlainBatch>,
}

/// One remembered batch as plain values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PlainBatch {
    /// The sequence number of its first record.
    pub base_sequence: i32,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// The offset of its first record.
    pub base_offset: i64,
    /// The offset of its last record.
    pub last_offset: i64,
    /// Its max timestamp.
    pub timestamp: i64,
}

impl PlainBatch {
    fn of(batch: &SequencedBatch) -> PlainBatch {
        PlainBatch {
            base_sequence: batch.base_sequence.0,
            last_sequence: batch.last_sequence.0,
            base_offset: batch.base_offset.0,
            last_offset: batch.last_offset.0,
            timestamp: batch.timestamp.0,
        }
    }

    fn to_batch(self) -> SequencedBatch {
        SequencedBatch {
            base_sequence: SequenceNumber(self.base_sequence),
            last_sequence: SequenceNumber(self.last_sequence),
            base_offset: Offset(self.base_offset),
            last_offset: Offset(self.last_offset),
            timestamp: Timestamp(self.timestamp),
        }
    }
}
