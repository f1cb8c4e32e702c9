//! Idempotent producers whose batch was refused for want of room, where their partition knows nothing of them.
//!
//! ```text
//!   sent in a row      sequence 0 ──► refused, the disk is full
//!                      sequence 5 ──► the disk has room again: refused too, or it would be the first one known,
//!                      sequence 0 ──► taken                      and 0 out of order for ever after
//!                      sequence 5 ──► taken
//! ```
//!
//! Of a producer that the log knows its own sequences say what comes next; of an unknown one any first sequence is taken.
//!
//! Always true: a bounded number is remembered, the longest waiting given up first. A restart remembers none, and leaves
//! no request under way either.

use std::cell::RefCell;
use std::collections::VecDeque;

use ringlog_core::ids::{ProducerEpoch, ProducerId, SequenceNumber};
use ringlog_core::record_batch::BatchHeader;

/// Producers remembered per partition.
const PRODUCERS_MAX: usize = 256;

/// What a producer must send next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Awaited {
    producer: ProducerId,
    epoch: ProducerEpoch,
    sequence: SequenceNumber,
}

/// The producers of one partition that must send a refused batch again.
#[derive(Default)]
pub struct RefusedProducers {
    awaited: RefCell<VecDeque<Awaited>>,
}

impl RefusedProducers {
    /// A batch was refused of a producer the log does not know.
    pub fn note(&self, batch: &BatchHeader) {
        if !batch.has_producer_id() {
            return;
        }
        let mut awaited = self.awaited.borrow_mut();
        let refused = Awaited {
            producer: batch.producer_id(),
            epoch: batch.producer_epoch(),
            sequence: batch.base_sequence(),
        };
        let is_of_it = |known: &Awaited| known.producer == refused.producer;
        match awaited.iter().position(is_of_it) {
            // The first one refused is the one to come first.
            Some(place) if awaited[place].epoch == refused.epoch => return,
            Some(place) => drop(awaited.remove(place)),
            None if awaited.len() == PRODUCERS_MAX => drop(awaited.pop_front()),
            None => {}
        }
        awaited.push_back(refused);
    }

    /// Whether another batch must come before this one. One that need not wait, waits for nothing any more.
    pub fn must_wait(&self, batch: &BatchHeader) -> bool {
        let mut awaited = self.awaited.borrow_mut();
        let Some(place) = awaited.iter().position(|known| known.producer == batch.producer_id()) else {
            return false;
        };
        let Awaited { epoch, sequence, .. } = awaited[place];
        if epoch == batch.producer_epoch() && sequence != batch.base_sequence() {
            return true;
        }
        awaited.remove(place);
        false
    }
}

#[cfg(test)]
mod tests {
    use ringlog_core::record_batch::BatchBuilder;

    use super::*;

    fn batch(producer: i64, epoch: i16, sequence: i32) -> BatchHeader {
        let (producer, epoch) = (ProducerId(producer), ProducerEpoch(epoch));
        let builder = BatchBuilder::new().producer(producer, epoch, SequenceNumber(sequence));
        BatchHeader::parse(&builder.record(None, b"value".as_slice()).build()).expect("a batch")
    }

    #[test]
    fn what_follows_a_refused_batch_waits_until_that_came_again() {
        let refused = RefusedProducers::default();
        refused.note(&batch(7, 0, 0));
        refused.note(&batch(7, 0, 5));
        assert!(refused.must_wait(&batch(7, 0, 5)) && refused.must_wait(&batch(7, 0, 9)));
        assert!(!refused.must_wait(&batch(8, 0, 5)), "another producer");
        assert!(!refused.must_wait(&batch(7, 0, 0)));
        assert!(!refused.must_wait(&batch(7, 0, 5)), "nothing is awaited any more");
    }

    #[test]
    fn a_producer_that_begins_anew_waits_for_nothing_of_its_life_before() {
        let refused = RefusedProducers::default();
        refused.note(&batch(7, 0, 5));
        assert!(!refused.must_wait(&batch(7, 1, 0)));
        refused.note(&batch(7, 0, 5));
        refused.note(&batch(7, 1, 0));
        assert!(refused.must_wait(&batch(7, 1, 4)) && !refused.must_wait(&batch(7, 1, 0)));
    }

    #[test]
    fn producers_without_an_id_are_not_remembered_and_others_up_to_a_bound() {
        let refused = RefusedProducers::default();
        refused.note(
            &BatchHeader::parse(&BatchBuilder::new().record(None, b"value".as_slice()).build())
                .expect("a batch"),
        );
        for producer in 0..1_000 {
            refused.note(&batch(producer, 0, 3));
        }
        assert_eq!(refused.awaited.borrow().len(), PRODUCERS_MAX);
        assert!(!refused.must_wait(&batch(0, 0, 9)) && refused.must_wait(&batch(999, 0, 9)));
    }
}
