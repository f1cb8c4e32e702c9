//! What a partition answers its idempotent producers: the rules P21 to P27, then a simple model under random
//! schedules of sends, retries, losses and new incarnations.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use ringlog_core::ids::{Offset, ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::producer_state::{Admission, ProducerRefusal, ProducerSnapshot, ProducerStates};
use ringlog_core::record_batch::{BatchBuilder, BatchHeader};
use ringlog_core::time::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A log that keeps only what producers did to it.
struct Log {
    producers: ProducerStates,
    end: i64,
}

impl Log {
    fn new() -> Log {
        Log { producers: ProducerStates::new(100), end: 0 }
    }

    /// Judges and, if it may be appended, appends.
    fn produce(&mut self, batch: BatchBuilder) -> Result<Admission, ProducerRefusal> {
        self.produce_at(batch, Timestamp(0))
    }

    fn produce_at(&mut self, batch: BatchBuilder, now: Timestamp) -> Result<Admission, ProducerRefusal> {
        let admission = self.producers.admit(&header(batch.clone()))?;
        if admission == Admission::Append {
            self.append(batch, now);
        }
        Ok(admission)
    }

    fn append(&mut self, batch: BatchBuilder, now: Timestamp) {
        let header = header(batch.at(Offset(self.end)));
        self.end = header.next_offset().0;
        self.producers.record(&header, now);
    }
}

fn header(batch: BatchBuilder) -> BatchHeader {
    BatchHeader::parse(&batch.build()).expect("a batch")
}

fn batch_of(producer: i64, epoch: i16, first: i32, count: i32) -> BatchBuilder {
    let builder =
        BatchBuilder::new().producer(ProducerId(producer), ProducerEpoch(epoch), SequenceNumber(first));
    (0..count).fold(builder, |builder, index| {
        builder.record_with(Timestamp(i64::from(first) + i64::from(index)), None, Some(b"v"), &[])
    })
}

fn out_of_order(expected: i32, found: i32) -> Result<Admission, ProducerRefusal> {
    Err(ProducerRefusal::OutOfOrderSequence {
        producer_id: ProducerId(7),
        expected: SequenceNumber(expected),
        found: SequenceNumber(found),
    })
}

// P21
#[test]
fn a_retry_among_the_last_five_batches_is_answered_with_its_first_offset_and_timestamp() {
    let mut log = Log::new();
    for first in [0, 10, 20, 30, 40] {
        assert_eq!(log.produce(batch_of(7, 0, first, 10)), Ok(Admission::Append));
    }
    for first in [0, 10, 20, 30, 40] {
        let (base_offset, last_offset) = (Offset(i64::from(first)), Offset(i64::from(first) + 9));
        let timestamp = Timestamp(i64::from(first) + 9);
        let duplicate = Admission::Duplicate { base_offset, last_offset, timestamp };
        assert_eq!(log.produce(batch_of(7, 0, first, 10)), Ok(duplicate));
    }
    assert_eq!(log.end, 50, "nothing was appended twice");
}

// P22
#[test]
fn a_retry_older_than_five_batches_is_out_of_order() {
    let mut log = Log::new();
    for first in 0..6 {
        assert_eq!(log.produce(batch_of(7, 0, first, 1)), Ok(Admission::Append));
    }
    assert_eq!(log.produce(batch_of(7, 0, 0, 1)), out_of_order(6, 0));
    assert!(matches!(log.produce(batch_of(7, 0, 1, 1)), Ok(Admission::Duplicate { .. })));
}

// P22
#[test]
fn a_gap_in_the_sequence_is_out_of_order() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 0, 0, 3)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 0, 4, 1)), out_of_order(3, 4));
    assert_eq!(log.produce(batch_of(7, 0, 3, 1)), Ok(Admission::Append));
}

// P22
#[test]
fn a_retry_that_is_cut_differently_is_not_a_duplicate() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 0, 0, 3)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 0, 0, 2)), out_of_order(3, 0));
    assert_eq!(log.produce(batch_of(7, 0, 0, 4)), out_of_order(3, 0));
}

// P23
#[test]
fn the_sequence_wraps_to_zero_even_within_a_batch() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 0, i32::MAX - 1, 3)), Ok(Admission::Append), "an unknown producer");
    assert!(matches!(log.produce(batch_of(7, 0, i32::MAX - 1, 3)), Ok(Admission::Duplicate { .. })));
    assert_eq!(log.produce(batch_of(7, 0, 2, 1)), out_of_order(1, 2));
    assert_eq!(log.produce(batch_of(7, 0, 1, 1)), Ok(Admission::Append));

    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 0, i32::MAX, 1)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 0, 0, 1)), Ok(Admission::Append), "0 follows the largest number");
}

// P24
#[test]
fn a_new_epoch_starts_at_sequence_zero() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 0, 0, 3)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 1, 3, 1)), out_of_order(0, 3));
    assert_eq!(log.produce(batch_of(7, 1, 0, 3)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 1, 3, 1)), Ok(Admission::Append));
}

// P24
#[test]
fn a_stale_epoch_is_refused_even_for_a_batch_that_was_appended() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 3, 0, 3)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 4, 0, 1)), Ok(Admission::Append));
    let (current, found) = (ProducerEpoch(4), ProducerEpoch(3));
    let stale = Err(ProducerRefusal::StaleEpoch { producer_id: ProducerId(7), current, found });
    assert_eq!(log.produce(batch_of(7, 3, 0, 3)), stale);
    assert_eq!(log.produce(batch_of(7, 3, 3, 3)), stale);
}

// P25
#[test]
fn an_unknown_producer_may_start_at_any_sequence() {
    let mut log = Log::new();
    assert_eq!(log.produce(batch_of(7, 5, 123, 1)), Ok(Admission::Append));
    assert_eq!(log.produce(batch_of(7, 5, 125, 1)), out_of_order(124, 125));
}

// P26
#[test]
fn a_producer_is_forgotten_a_day_after_it_wrote_last() {
    let mut log = Log::new();
    let day_ms = 24 * 3_600_000;
    log.produce_at(batch_of(7, 0, 0, 1), Timestamp(1000)).expect("appended");
    log.produce_at(batch_of(8, 0, 0, 1), Timestamp(5000)).expect("appended");
    assert_eq!(log.producers.expire(Timestamp(1000 + day_ms - 1), DAY), 0);
    assert_eq!(log.producers.expire(Timestamp(1000 + day_ms), DAY), 1);
    assert!(log.producers.get(ProducerId(7)).is_none());
    assert!(log.producers.get(ProducerId(8)).is_some());
}

// P26
#[test]
fn a_producer_with_an_open_transaction_is_not_forgotten_until_a_marker_ends_it() {
    let mut log = Log::new();
    log.produce(batch_of(7, 0, 0, 1).transactional()).expect("appended");
    assert_eq!(log.producers.expire(Timestamp(i64::MAX), DAY), 0);
    log.append(batch_of(7, 0, -1, 1).transactional().control(), Timestamp(0));
    assert_eq!(log.producers.get(ProducerId(7)).and_then(|state| state.open_transaction()), None);
    assert_eq!(log.producers.expire(Timestamp(i64::MAX), DAY), 1);
}

// P26
#[test]
fn a_snapshot_answers_as_the_state_it_was_made_of() {
    let mut log = Log::new();
    for first in 0..7 {
        log.produce(batch_of(7, 2, first, 1)).expect("appended");
    }
    log.produce(batch_of(9, 0, 0, 2).transactional()).expect("appended");
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&log.producers.to_snapshot()).expect("serialised");
    let snapshot = rkyv::from_bytes::<ProducerSnapshot, rkyv::rancor::Error>(&bytes).expect("validated");
    let restored = ProducerStates::from_snapshot(&snapshot, 100);
    let everyone = |states: &ProducerStates| states.iter().map(|(id, s)| (id, s.clone())).collect::<Vec<_>>();
    assert_eq!(everyone(&restored), everyone(&log.producers));
    assert_eq!(restored.to_snapshot(), snapshot);
}

// P27
#[test]
fn a_batch_outside_the_producers_open_transaction_is_refused() {
    let mut log = Log::new();
    log.produce(batch_of(7, 0, 0, 2).transactional()).expect("appended");
    log.produce(batch_of(7, 0, 2, 2).transactional()).expect("appended");
    let open = Err(ProducerRefusal::TransactionOpen { producer_id: ProducerId(7), first_offset: Offset(0) });
    assert_eq!(log.produce(batch_of(7, 0, 4, 1)), open);
    log.append(batch_of(7, 0, -1, 1).transactional().control(), Timestamp(0));
    assert_eq!(log.produce(batch_of(7, 0, 4, 1)), Ok(Admission::Append), "the sequence goes on");
}

#[test]
fn a_marker_of_a_newer_epoch_restarts_the_sequence() {
    // As transactions of version 2 end (KIP-890).
    let mut log = Log::new();
    log.produce(batch_of(7, 0, 0, 2).transactional()).expect("appended");
    log.append(batch_of(7, 1, -1, 1).transactional().control(), Timestamp(0));
    assert_eq!(log.produce(batch_of(7, 1, 2, 1)), out_of_order(0, 2));
    assert_eq!(log.produce(batch_of(7, 1, 0, 1)), Ok(Admission::Append));
}

#[test]
fn batches_without_a_producer_id_leave_no_trace() {
    let mut log = Log::new();
    for _ in 0..3 {
        assert_eq!(log.produce(batch_of(-1, -1, -1, 1)), Ok(Admission::Append));
    }
    assert!(log.producers.is_empty());
}

#[test]
fn a_crowd_of_producers_pushes_out_the_longest_silent_and_never_an_open_transaction() {
    let mut producers = ProducerStates::new(16);
    for id in 0..40 {
        let batch = batch_of(id, 0, 0, 1).at(Offset(id));
        let batch = if id == 3 { batch.transactional() } else { batch };
        producers.record(&header(batch), Timestamp(0));
        assert!(producers.len() <= 16);
    }
    let known: Vec<_> = producers.iter().map(|(id, _)| id.0).collect();
    assert_eq!(known[0], 3, "its transaction is open");
    assert_eq!(known[1..], (25..40).collect::<Vec<_>>(), "the others are the latest");
}

#[derive(Clone, Debug)]
enum Step {
    /// Send the next batch of this many records; the answer arrives or is lost.
    Send { producer: i64, count: i32 },
    /// Send again the batch that was sent this many sends ago.
    Retry { producer: i64, back: usize },
    /// Skip some sequence numbers.
    Skip { producer: i64, count: i32 },
    /// Start anew with a higher epoch.
    Restart { producer: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    let producer = 0i64..3;
    prop_oneof![
        4 => (producer.clone(), 1i32..5).prop_map(|(producer, count)| Step::Send { producer, count }),
        3 => (producer.clone(), 0usize..8).prop_map(|(producer, back)| Step::Retry { producer, back }),
        1 => (producer.clone(), 1i32..3).prop_map(|(producer, count)| Step::Skip { producer, count }),
        1 => producer.prop_map(|producer| Step::Restart { producer }),
    ]
}

/// What the model knows of a producer: everything it ever appended in its epoch.
#[derive(Default)]
struct Model {
    epoch: i16,
    known: bool,
    /// First sequence, count, base offset.
    appended: Vec<(i32, i32, i64)>,
    /// What the client sent, for retries: epoch, first sequence, count.
    sent: Vec<(i16, i32, i32)>,
    next: i32,
}

impl Model {
    /// What the rules say, straight from the whole history.
    fn expected(&self, (epoch, first, count): (i16, i32, i32)) -> &'static str {
        let end = |&(first, count, _): &(i32, i32, i64)| SequenceNumber(first).wrapping_advance(count).0;
        let remembered = self.appended.iter().rev().take(5);
        if !self.known {
            "append"
        } else if epoch == self.epoch && remembered.clone().any(|batch| (batch.0, batch.1) == (first, count))
        {
            "duplicate"
        } else if epoch < self.epoch {
            "stale"
        } else if first == if epoch == self.epoch { self.appended.last().map_or(0, end) } else { 0 } {
            "append"
        } else {
            "out of order"
        }
    }
}

proptest! {
    #[test]
    fn random_schedules_are_answered_as_the_whole_history_says(
        start in prop_oneof![Just(0i32), Just(i32::MAX - 4)],
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut log = Log::new();
        let mut models: BTreeMap<i64, Model> = BTreeMap::new();
        for step in steps {
            let (producer, sent) = match step {
                Step::Send { producer, count } => {
                    let model = models.entry(producer).or_insert_with(|| Model { next: start, ..Model::default() });
                    let sent = (model.epoch, model.next, count);
                    model.next = SequenceNumber(model.next).wrapping_advance(count).0;
                    model.sent.push(sent);
                    (producer, sent)
                }
                Step::Retry { producer, back } => {
                    let Some(model) = models.get(&producer) else { continue };
                    let Some(&sent) = model.sent.iter().rev().nth(back) else { continue };
                    (producer, sent)
                }
                Step::Skip { producer, count } => {
                    let Some(model) = models.get_mut(&producer) else { continue };
                    model.next = SequenceNumber(model.next).wrapping_advance(count).0;
                    continue;
                }
                Step::Restart { producer } => {
                    let Some(model) = models.get_mut(&producer) else { continue };
                    (model.sent, model.next) = (Vec::new(), 0);
                    let sent = (model.epoch + 1, 0, 1);
                    model.next = 1;
                    model.sent.push(sent);
                    (producer, sent)
                }
            };
            let model = models.get_mut(&producer).expect("it has sent");
            let expected = model.expected(sent);
            let base = log.end;
            let answer = log.produce(batch_of(producer, sent.0, sent.1, sent.2));
            let answered = match answer {
                Ok(Admission::Append) => "append",
                Ok(Admission::Duplicate { base_offset, last_offset, .. }) => {
                    let original = model.appended.iter().rev().find(|batch| (batch.0, batch.1) == (sent.1, sent.2));
                    let &(_, count, offset) = original.expect("it was appended");
                    prop_assert_eq!((base_offset.0, last_offset.0), (offset, offset + i64::from(count) - 1));
                    "duplicate"
                }
                Err(ProducerRefusal::StaleEpoch { .. }) => "stale",
                Err(ProducerRefusal::OutOfOrderSequence { .. }) => "out of order",
                Err(ProducerRefusal::TransactionOpen { .. }) => "transaction",
            };
            prop_assert_eq!(answered, expected, "producer {} sent {:?}", producer, sent);
            if answered == "append" {
                if sent.0 != model.epoch {
                    model.appended.clear();
                }
                (model.epoch, model.known) = (sent.0, true);
                model.appended.push((sent.1, sent.2, base));
            }
        }
    }
}
