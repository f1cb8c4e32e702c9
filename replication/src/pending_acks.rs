//! Producers that wait to be told, in the order of the offsets they wait for.
//!
//! ```text
//!   reached 107 ──►  [.. 103] [.. 107] │ [.. 110] [.. 131]
//!                     released         │  still waiting
//! ```
//!
//! Always true: end offsets never shrink from front to back.

use std::collections::VecDeque;

use ringlog_core::ids::Offset;

/// What the shard needs to find the waiting request again. Opaque here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticket(pub u64);

/// Requests waiting until an offset is reached.
#[derive(Default, Debug)]
pub struct PendingAcks {
    waiting: VecDeque<(Offset, Ticket)>,
}

impl PendingAcks {
    /// Waits until everything below `end_offset` is reached.
    ///
    /// New batches come in offset order and go to the back; the retry of an earlier batch finds its place.
    pub fn wait(&mut self, end_offset: Offset, ticket: Ticket) {
        let place = match self.waiting.back() {
            Some(&(last, _)) if last > end_offset => {
                self.waiting.partition_point(|&(end, _)| end <= end_offset)
            }
            _ => self.waiting.len(),
        };
        self.waiting.insert(place, (end_offset, ticket));
    }

    /// Takes out everyone whose offsets all lie below `reached`, in offset order.
    pub fn release(&mut self, reached: Offset) -> impl Iterator<Item = Ticket> + '_ {
        let count = self.waiting.partition_point(|&(end, _)| end <= reached);
        self.waiting.drain(..count).map(|(_, ticket)| ticket)
    }

    /// Takes out everyone, in offset order: leadership or the log is lost.
    pub fn abandon(&mut self) -> impl Iterator<Item = Ticket> + '_ {
        self.waiting.drain(..).map(|(_, ticket)| ticket)
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_of_an_earlier_batch_is_released_before_later_ones() {
        let mut acks = PendingAcks::default();
        acks.wait(Offset(10), Ticket(1));
        acks.wait(Offset(20), Ticket(2));
        acks.wait(Offset(10), Ticket(3));
        assert_eq!(acks.release(Offset(19)).collect::<Vec<_>>(), [Ticket(1), Ticket(3)]);
        assert_eq!(acks.release(Offset(20)).collect::<Vec<_>>(), [Ticket(2)]);
        assert_eq!(acks.count(), 0);
    }
}
