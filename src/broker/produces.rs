//! Produce calls of this shard that wait for their batches to be safe.
//!
//! A call's batches become safe one by one, in any order; its answer leaves when the last one is decided.

use std::cell::RefCell;

use ringlog_core::refusal::Refusal;
use ringlog_replication::pending_acks::Ticket;
use slab::Slab;

use crate::broker::calls::ReplyTo;
use crate::broker::message::{Appended, Produced};

/// The calls under way.
#[derive(Default)]
pub struct Produces {
    calls: RefCell<Slab<ProduceInProgress>>,
}

struct ProduceInProgress {
    reply_to: ReplyTo,
    partitions: Vec<PartitionState>,
    undecided_count: usize,
}

struct PartitionState {
    index: usize,
    result: Option<Result<Appended, Refusal>>,
    decided: bool,
}

/// A call whose batches are all decided.
pub struct Finished {
    /// Who asked.
    pub reply_to: ReplyTo,
    /// What became of each batch.
    pub produced: Vec<Produced>,
}

impl Produces {
    /// Begins a call; `indexes` are its batches' places in the client's request. The ticket of the n-th is
    /// [`ticket`]`(key, n)`.
    pub fn begin(&self, reply_to: ReplyTo, indexes: impl Iterator<Item = usize>) -> usize {
        let partitions: Vec<_> =
            indexes.map(|index| PartitionState { index, result: None, decided: false }).collect();
        let undecided_count = partitions.len();
        self.calls.borrow_mut().insert(ProduceInProgress { reply_to, partitions, undecided_count })
    }

    /// Notes where a batch was appended; it is decided later, when it is safe.
    pub fn appended(&self, ticket: Ticket, appended: Appended) {
        let (key, place) = parts(ticket);
        self.calls.borrow_mut()[key].partitions[place].result = Some(Ok(appended));
    }

    /// A batch is as safe as was asked for. Answers the finished call if it was the last.
    pub fn acknowledge(&self, ticket: Ticket) -> Option<Finished> {
        self.decide(ticket, None)
    }

    /// A batch was refused, or its fate is unknown.
    pub fn refuse(&self, ticket: Ticket, refusal: Refusal) -> Option<Finished> {
        self.decide(ticket, Some(refusal))
    }

    /// How many calls are under way.
    pub fn count(&self) -> usize {
        self.calls.borrow().len()
    }

    fn decide(&self, ticket: Ticket, refusal: Option<Refusal>) -> Option<Finished> {
        let (key, place) = parts(ticket);
        let mut calls = self.calls.borrow_mut();
        let call = &mut calls[key];
        let partition = &mut call.partitions[place];
        assert!(!partition.decided, "batch {place} of produce call {key} was decided twice");
        partition.decided = true;
        if let Some(refusal) = refusal {
            partition.result = Some(Err(refusal));
        }
        call.undecided_count -= 1;
        (call.undecided_count == 0).then(|| finish(calls.remove(key)))
    }
}

fn finish(call: ProduceInProgress) -> Finished {
    let produced = call
        .partitions
        .into_iter()
        .map(|partition| Produced {
            index: partition.index,
            result: partition.result.expect("a decided batch was appended or refused"),
        })
        .collect();
    Finished { reply_to: call.reply_to, produced }
}

/// The ticket of one batch of a call.
pub fn ticket(key: usize, place: usize) -> Ticket {
    let key = u32::try_from(key).expect("calls under way are bounded far below 2^32");
    let place = u32::try_from(place).expect("a frame holds far fewer than 2^32 batches");
    Ticket((u64::from(key) << 32) | u64::from(place))
}

fn parts(ticket: Ticket) -> (usize, usize) {
    ((ticket.0 >> 32) as usize, (ticket.0 & u64::from(u32::MAX)) as usize)
}
