//! Whether what lies in the log is what was sent: each record once, in order, undamaged.
//!
//! ```text
//!   the log of a partition    p0:0 p1:0 p0:1 p0:3 p0:2 ...      each producer's numbers must come as 0, 1, 2 ...
//!                                            ^    ^ was missing: reordered
//!                                            ' 2 is missing
//! ```
//!
//! A number that comes twice is a duplicate. What is missing at the end is lost if it was acknowledged; what nobody
//! acknowledged may be missing. Always true: a record counts in one of read, duplicated, damaged and foreign.

use std::collections::BTreeSet;

use ringlog_core::compression::DecompressionBudget;
use ringlog_core::record_batch::{BatchHeader, RawBatch, RecordRef};
use rustc_hash::FxHashMap;

use crate::filler::Filler;
use crate::ledger::Ledger;
use crate::limits::{EXAMPLES_MAX, MISSING_MAX};
use crate::payload::{PRODUCER_IN_HEADER, Payload};
use crate::result::Verification;
use crate::template::{KEY_BYTES, base_sequence, key_of};

/// What records must look like.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Bytes of each value, where that is known.
    pub record_bytes: Option<usize>,
    /// Different keys, where that is known; 0 for none.
    pub keys: Option<u32>,
    /// Producers by id, with idempotence; a batch with another id is foreign.
    pub identities: FxHashMap<i64, u32>,
    /// How many producers there are, where that is known.
    pub producers: Option<u32>,
    /// Whether the first records may be gone: each producer may begin with any number.
    pub begun_late: bool,
}

/// Reads logs and keeps account.
pub struct Verifier {
    filler: Filler,
    expected: Expected,
    progress: FxHashMap<(u32, i32), Progress>,
    report: Verification,
}

/// How far a producer has been read in a partition.
#[derive(Default)]
struct Progress {
    next: u64,
    missing: BTreeSet<u64>,
}

impl Progress {
    fn from(first: u64) -> Progress {
        Progress { next: first, missing: BTreeSet::new() }
    }
}

impl Verifier {
    /// Has read nothing.
    pub fn new(expected: Expected) -> Verifier {
        Verifier {
            filler: Filler::new(),
            expected,
            progress: FxHashMap::default(),
            report: Verification::default(),
        }
    }

    /// Records found so far, right or wrong.
    pub fn seen(&self) -> u64 {
        self.report.read + self.report.duplicated + self.report.damaged + self.report.foreign
    }

    /// Reads a batch as it lies in the log.
    pub fn batch(&mut self, partition: i32, batch: &RawBatch<'_>) {
        let header = batch.header();
        let count = header.record_count().max(0) as u64;
        if let Err(fault) = batch.verify_checksum() {
            return self.damaged(partition, header.base_offset().0, count, &fault.to_string());
        }
        let records = match batch.records(&mut DecompressionBudget::default()) {
            Ok(records) => records,
            Err(fault) => return self.damaged(partition, header.base_offset().0, count, &fault.to_string()),
        };
        let mut left = count;
        for record in records.iter() {
            match record {
                Ok(record) => self.record(partition, header, &record),
                Err(fault) => {
                    return self.damaged(partition, header.base_offset().0, left, &fault.to_string());
                }
            }
            left -= 1;
        }
    }

    fn record(&mut self, partition: i32, header: &BatchHeader, record: &RecordRef<'_>) {
        let offset = header.base_offset().0 + i64::from(record.offset_delta);
        let value = record.value.unwrap_or_default();
        let Some(payload) = Payload::read(value, &self.filler) else {
            return self.damaged(partition, offset, 1, "the value is not one that was sent");
        };
        if self.expected.record_bytes.is_some_and(|bytes| bytes != value.len())
            || !self.key_is_right(&payload, record)
        {
            return self.damaged(partition, offset, 1, "the value's length or the key is another");
        }
        let Some((producer, sequence)) = self.place(&payload, header, partition) else {
            self.report.foreign += 1;
            return self.example(partition, offset, "a record that this run did not send");
        };
        self.note(producer, partition, sequence, offset);
    }

    fn key_is_right(&self, payload: &Payload, record: &RecordRef<'_>) -> bool {
        let source = match payload.producer {
            PRODUCER_IN_HEADER => payload.filler_start,
            producer => producer,
        };
        match self.expected.keys {
            None => record.key.is_none_or(|key| key.len() == KEY_BYTES),
            Some(0) => record.key.is_none(),
            Some(keys) => record.key == Some(&key_of(source, payload.sequence, keys)[..]),
        }
    }

    /// Who sent it and as which; `None` if it was none of ours.
    fn place(&self, payload: &Payload, header: &BatchHeader, partition: i32) -> Option<(u32, u64)> {
        let in_header = match header.has_producer_id() {
            true => self.expected.identities.get(&header.producer_id().0).copied(),
            false => u32::try_from(header.producer_epoch().0).ok(),
        };
        let known = |producer: &u32| self.expected.producers.is_none_or(|count| *producer < count);
        if payload.producer != PRODUCER_IN_HEADER {
            return Some((payload.producer, payload.sequence)).filter(|(producer, _)| known(producer));
        }
        let producer = in_header.filter(known)?;
        let next = self.progress.get(&(producer, partition)).map_or(0, |progress| progress.next);
        Some((producer, full_sequence(header.base_sequence().0, next) + payload.sequence))
    }

    fn note(&mut self, producer: u32, partition: i32, sequence: u64, offset: i64) {
        let first = if self.expected.begun_late { sequence } else { 0 };
        let progress = self.progress.entry((producer, partition)).or_insert(Progress::from(first));
        if sequence >= progress.next {
            let room = MISSING_MAX.saturating_sub(progress.missing.len()) as u64;
            progress.missing.extend((progress.next..sequence).take(usize::try_from(room).unwrap_or(0)));
            progress.next = sequence + 1;
            self.report.read += 1;
            return;
        }
        if progress.missing.remove(&sequence) {
            self.report.read += 1;
            self.report.reordered += 1;
            return self.example(
                partition,
                offset,
                &format!("record {sequence} of producer {producer} is out of order"),
            );
        }
        self.report.duplicated += 1;
        self.example(partition, offset, &format!("record {sequence} of producer {producer} is there twice"));
    }

    fn damaged(&mut self, partition: i32, offset: i64, records: u64, why: &str) {
        self.report.damaged += records.max(1);
        self.example(partition, offset, why);
    }

    fn example(&mut self, partition: i32, offset: i64, what: &str) {
        if self.report.examples.len() < EXAMPLES_MAX {
            self.report.examples.push(format!("partition {partition}, offset {offset}: {what}"));
        }
    }

    /// Compares what was read with what was sent.
    pub fn finish(mut self, ledger: &Ledger) -> Verification {
        for (producer, partition, account) in ledger.accounts() {
            let progress = self.progress.remove(&(producer, partition)).unwrap_or_default();
            let tail = progress.next..account.sent.max(progress.next);
            for sequence in progress.missing.iter().copied().chain(tail) {
                if account.was_acknowledged(sequence) {
                    self.report.lost += 1;
                    if self.report.examples.len() < EXAMPLES_MAX {
                        let example = format!(
                            "partition {partition}: record {sequence} of producer {producer} is lost"
                        );
                        self.report.examples.push(example);
                    }
                } else {
                    self.report.unacknowledged_missing += 1;
                }
            }
            self.report.sent += account.sent;
            self.report.acknowledged += account.acknowledged();
        }
        self.report
    }

    /// The report where nobody knows what was sent: a gap is a loss.
    pub fn finish_alone(mut self) -> Verification {
        self.report.lost = self.progress.values().map(|progress| progress.missing.len() as u64).sum();
        self.report.sent = self.report.read + self.report.lost;
        self.report.acknowledged = self.report.sent;
        self.report
    }
}

/// The number whose lowest 31 bits these are and that is nearest to the one expected.
fn full_sequence(low: i32, expected: u64) -> u64 {
    const WRAP: u64 = 1 << 31;
    let low = u64::from(low.max(0).unsigned_abs());
    let ahead = low.wrapping_sub(u64::from(base_sequence(expected).unsigned_abs())) & (WRAP - 1);
    let forward = expected + ahead;
    if ahead > WRAP / 2 && forward >= WRAP { forward - WRAP } else { forward }
}

#[cfg(test)]
mod tests {
    use ringlog_core::compression::Codec;

    use super::*;
    use crate::template::{PRODUCE_VERSION, Shape, Stamp, Template};

    const RECORDS: usize = 4;

    /// A log of batches that one producer of two sent to partition 7.
    struct Fixture {
        template: Template,
        ledger: Ledger,
        codec: Codec,
    }

    impl Fixture {
        fn new(codec: Codec) -> Fixture {
            let shape = Shape {
                topic: "t",
                batch_records: RECORDS,
                record_bytes: 64,
                keys: 5,
                codec,
                acks: -1,
                timeout_ms: 1,
                version: PRODUCE_VERSION,
            };
            let mut ledger = Ledger::default();
            ledger.sent(1, 7, 3 * RECORDS as u64);
            Fixture { template: Template::new(0, &shape, &Filler::new()), ledger, codec }
        }

        /// The batch with these numbers.
        fn batch(&self, producer: u32, round: u64) -> Vec<u8> {
            let mut frame = vec![0; self.template.frame_bytes()];
            let sequence = round * RECORDS as u64;
            let stamp = Stamp {
                correlation_id: 1,
                partition: 7,
                producer,
                sequence,
                planned_ns: 9,
                timestamp_ms: 1,
                identity: None,
            };
            self.template.write(&stamp, &mut frame);
            let end = frame.len() - 3;
            frame[end - self.template.batch_bytes()..end].to_vec()
        }

        fn verify(&self, batches: &[Vec<u8>]) -> Verification {
            let expected =
                Expected { record_bytes: Some(64), keys: Some(5), producers: Some(2), ..Expected::default() };
            let mut verifier = Verifier::new(expected);
            for bytes in batches {
                verifier.batch(7, &RawBatch::split_first(bytes).unwrap().0);
            }
            verifier.finish(&self.ledger)
        }
    }

    fn in_both_forms(look: impl Fn(&Fixture)) {
        for codec in [Codec::None, Codec::Lz4] {
            look(&Fixture::new(codec));
        }
    }

    #[test]
    fn a_log_as_it_was_sent_is_clean() {
        in_both_forms(|log| {
            let found = log.verify(&[log.batch(1, 0), log.batch(1, 1), log.batch(1, 2)]);
            assert_eq!((found.read, found.sent, found.acknowledged), (12, 12, 12));
            assert!(found.is_clean() && found.examples.is_empty(), "{found:?}");
        });
    }

    #[test]
    fn an_acknowledged_batch_that_is_not_there_is_lost_wherever_it_should_have_been() {
        in_both_forms(|log| {
            for rounds in [[0, 1], [0, 2], [1, 2]] {
                let found = log.verify(&rounds.map(|round| log.batch(1, round)));
                assert_eq!((found.lost, found.read), (4, 8), "{rounds:?}: {found:?}");
                assert!(!found.is_clean());
            }
            assert_eq!(log.verify(&[]).lost, 12);
        });
    }

    #[test]
    fn a_batch_nobody_acknowledged_may_be_missing_and_may_be_there() {
        in_both_forms(|log| {
            let mut doubtful = Fixture::new(log.codec);
            doubtful.ledger.unacknowledged(1, 7, 4..8);
            let found = doubtful.verify(&[log.batch(1, 0), log.batch(1, 2)]);
            assert_eq!((found.lost, found.unacknowledged_missing, found.acknowledged), (0, 4, 8));
            assert!(found.is_clean());
            assert!(doubtful.verify(&[log.batch(1, 0), log.batch(1, 1), log.batch(1, 2)]).is_clean());
        });
    }

    #[test]
    fn a_batch_that_is_there_twice_is_noticed() {
        in_both_forms(|log| {
            let found = log.verify(&[log.batch(1, 0), log.batch(1, 1), log.batch(1, 1), log.batch(1, 2)]);
            assert_eq!((found.duplicated, found.read, found.lost), (4, 12, 0), "{found:?}");
            assert!(found.examples[0].contains("twice"), "{found:?}");
        });
    }

    #[test]
    fn batches_in_another_order_are_noticed() {
        in_both_forms(|log| {
            let found = log.verify(&[log.batch(1, 0), log.batch(1, 2), log.batch(1, 1)]);
            assert_eq!((found.reordered, found.read, found.lost), (4, 12, 0), "{found:?}");
            assert!(!found.is_clean());
        });
    }

    #[test]
    fn a_changed_byte_is_noticed_even_under_a_right_checksum() {
        in_both_forms(|log| {
            let mut batch = log.batch(1, 1);
            let last = batch.len() - 9;
            batch[last] ^= 1;
            let found = log.verify(&[log.batch(1, 0), batch.clone(), log.batch(1, 2)]);
            assert_eq!((found.damaged, found.lost), (4, 4), "a checksum covers the batch: {found:?}");
            if log.codec == Codec::None {
                let crc = ringlog_core::checksum::crc32c(&batch[21..]);
                batch[17..21].copy_from_slice(&crc.to_be_bytes());
                let found = log.verify(&[log.batch(1, 0), batch, log.batch(1, 2)]);
                assert_eq!((found.damaged, found.lost), (1, 1), "the value tells: {found:?}");
            }
        });
    }

    #[test]
    fn records_of_somebody_else_are_noticed() {
        in_both_forms(|log| {
            let found = log.verify(&[log.batch(1, 0), log.batch(2, 0), log.batch(1, 1), log.batch(1, 2)]);
            assert_eq!((found.foreign, found.read), (4, 12), "{found:?}");
        });
    }

    #[test]
    fn numbers_of_31_bits_are_followed_beyond_their_end() {
        let wrap = 1u64 << 31;
        assert_eq!(full_sequence(5, wrap + 5), wrap + 5);
        assert_eq!(full_sequence(0, wrap - 1), wrap);
        assert_eq!(full_sequence(9, wrap + 12), wrap + 9);
        assert_eq!(full_sequence(0, 3 * wrap), 3 * wrap);
    }
}
