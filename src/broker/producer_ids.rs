//! Ids for idempotent producers, handed out from blocks that the controller allots.

use std::cell::Cell;
use std::rc::Rc;

use ringlog_core::ids::ProducerId;
use ringlog_core::metadata::{Command, CommandReply};
use ringlog_core::refusal::Refusal;
use ringlog_runtime::environment::Environment;

use crate::broker::message::{Answer, Call};
use crate::broker::shard::{FIRST_SHARD, Shard};

/// The rest of this shard's block. A block lost in a crash leaves a gap, never a repeated id.
#[derive(Default)]
pub struct ProducerIds {
    next: Cell<i64>,
    end: Cell<i64>,
}

impl ProducerIds {
    fn take(&self) -> Option<ProducerId> {
        let id = self.next.get();
        (id < self.end.get()).then(|| {
            self.next.set(id + 1);
            ProducerId(id)
        })
    }

    fn refill(&self, first: i64, count: i64) {
        self.next.set(first);
        self.end.set(first + count);
    }
}

impl<E: Environment> Shard<E> {
    /// An id nobody else has or will have.
    ///
    /// # Errors
    /// The controller could not allot a block.
    pub async fn allocate_producer_id(self: &Rc<Self>) -> Result<ProducerId, Refusal> {
        loop {
            if let Some(id) = self.producer_ids.take() {
                return Ok(id);
            }
            let answer = self
                .call(FIRST_SHARD, Call::Command(Command::AllocateProducerIds(self.config.node_id)))
                .await;
            match answer {
                Answer::Commanded(CommandReply::ProducerIds { first, count }) => {
                    self.producer_ids.refill(first.0, count);
                }
                Answer::Commanded(CommandReply::Refused(refusal)) => return Err(refusal),
                _ => unreachable!("an allocation is answered with a block or a refusal"),
            }
        }
    }
}
