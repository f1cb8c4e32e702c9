//! Produce on the owning shard: from a client's bytes to a safe batch.
//!
//! ```text
//!   call ──► admit: validate, producer state, offsets, append ──► journal ──► batches_durable ──► answer
//!          │    └─ the log is closed or short of memory: the batch waits in its partition's queue, in order
//!          └─ the disk is full: refused before it is validated
//! ```

use std::rc::Rc;

use ringlog_core::ids::ShardIndex;
use ringlog_core::refusal::Refusal;
use ringlog_replication::leader::{Acks, Effect};
use ringlog_replication::pending_acks::Ticket;
use ringlog_runtime::environment::{DiskFailure, Environment, TaskClass};
use ringlog_storage::{DurableAdvance, LogStore};

use crate::broker::calls::ReplyTo;
use crate::broker::message::{Answer, Call, ProduceCall};
use crate::broker::own_records::is_own;
use crate::broker::partition::{Partition, WaitingBatch};
use crate::broker::places::DirectoryIndex;
use crate::broker::produces;
use crate::broker::refusals::append_refusal;
use crate::broker::shard::Shard;

impl<E: Environment> Shard<E> {
    /// Takes batches for partitions of this shard. The answer leaves when each is as safe as was asked for.
    pub(super) fn produce(self: &Rc<Self>, call: ProduceCall, reply_to: ReplyTo) {
        let key = self.produces.begin(reply_to, call.partitions.iter().map(|partition| partition.index));
        for (place, item) in call.partitions.into_iter().enumerate() {
            let ticket = produces::ticket(key, place);
            match self.leading(&item.partition) {
                Ok(partition) if partition.log.is_short_of_space() => {
                    self.refuse_for_space(&partition, &item.records, ticket);
                }
                Ok(partition) => {
                    let batch = WaitingBatch {
                        records: item.records,
                        acks: call.acks,
                        privileges: call.privileges,
                        ticket,
                    };
                    self.offer(partition, batch);
                }
                Err(refusal) => self.refuse(ticket, refusal),
            }
        }
    }

    /// Carries out what the progress of a directory's journal allows, for as long as the shard runs.
    pub(super) async fn follow_the_journal(self: Rc<Self>, directory: DirectoryIndex, store: LogStore<E>) {
        loop {
            let advances = store.next_durable().await;
            if let Some(failure) = store.failure() {
                return self.directory_lost(directory, &failure).await;
            }
            for DurableAdvance { partition, durable_end_offset } in advances {
                if let Ok(partition) = self.leading(&partition) {
                    let effects = partition.batches_durable(durable_end_offset);
                    self.carry_out(&partition, effects);
                }
            }
        }
    }

    fn offer(self: &Rc<Self>, partition: Rc<Partition<E>>, batch: WaitingBatch) {
        let Err(batch) = partition.queue_behind_others(batch) else {
            return self.counts.batches_held.one();
        };
        if partition.log.is_ready() {
            self.admit(&partition, batch);
        } else if partition.queue(batch) {
            self.counts.batches_held.one();
            self.env.spawn(TaskClass::Network, self.clone().empty_queue(partition));
        }
    }

    async fn empty_queue(self: Rc<Self>, partition: Rc<Partition<E>>) {
        loop {
            let ready = partition.log.ready().await;
            let Some(batch) = partition.take_waiting() else { return };
            match ready {
                Ok(()) if partition.log.is_short_of_space() => {
                    self.refuse_for_space(&partition, &batch.records, batch.ticket);
                }
                Ok(()) => self.admit(&partition, batch),
                Err(error) => self.refuse(batch.ticket, append_refusal(error)),
            }
        }
    }

    fn admit(self: &Rc<Self>, partition: &Rc<Partition<E>>, batch: WaitingBatch) {
        let end_before = partition.log.log_end_offset();
        let admitted = partition.admit(&batch, &mut self.validator.borrow_mut(), self.env.wall_clock());
        match admitted {
            Ok(admitted) => {
                let record_count = partition.log.log_end_offset().0 - end_before.0;
                self.counts.produced(record_count.unsigned_abs(), batch.records.len());
                self.produces.appended(batch.ticket, admitted.appended);
                if batch.acks == Acks::None {
                    self.acknowledge(batch.ticket);
                }
                self.carry_out(partition, admitted.effects);
            }
            Err(refusal) => {
                if matches!(refusal, Refusal::Overloaded) {
                    partition.note_refused(&batch.records);
                }
                self.refuse(batch.ticket, refusal);
            }
        }
    }

    /// Executes what a partition's leader decided.
    pub(super) fn carry_out(self: &Rc<Self>, partition: &Partition<E>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Acknowledge(ticket) if is_own(ticket) => {
                    self.group_records_committed(&partition.id, ticket);
                }
                Effect::AcknowledgeUnderReplicated(ticket) | Effect::Abandon(ticket) if is_own(ticket) => {
                    self.group_records_abandoned(&partition.id, ticket);
                }
                Effect::Acknowledge(ticket) => self.acknowledge(ticket),
                Effect::AcknowledgeUnderReplicated(ticket) => {
                    self.refuse(ticket, Refusal::NotEnoughReplicasAfterAppend);
                }
                Effect::Abandon(ticket) => {
                    self.refuse(ticket, Refusal::Storage);
                }
                Effect::HighWatermarkAdvanced { from, to } => {
                    self.waiting_fetches.advanced(partition.id, || partition.log.readable_bytes(from, to));
                }
            }
        }
    }

    fn acknowledge(self: &Rc<Self>, ticket: Ticket) {
        if let Some(finished) = self.produces.acknowledge(ticket) {
            self.answer(finished.reply_to, Answer::Produced(finished.produced));
        }
    }

    fn refuse(self: &Rc<Self>, ticket: Ticket, refusal: Refusal) {
        self.counts.refused_batches.one();
        if let Some(finished) = self.produces.refuse(ticket, refusal) {
            self.answer(finished.reply_to, Answer::Produced(finished.produced));
        }
    }

    /// Refuses the batches that wait for their logs while a directory's disk has too little room, for as long as the shard runs.
    pub(super) async fn follow_the_disk(self: Rc<Self>, directory: DirectoryIndex, store: LogStore<E>) {
        loop {
            store.space_changed(false).await;
            for partition in self.partitions_in(directory) {
                for batch in partition.take_all_waiting() {
                    self.refuse_for_space(&partition, &batch.records, batch.ticket);
                }
            }
            self.ask_others(|| Call::LookAtDisk(directory)).await;
            store.space_changed(true).await;
        }
    }

    fn refuse_for_space(self: &Rc<Self>, partition: &Partition<E>, records: &[u8], ticket: Ticket) {
        partition.note_refused(records);
        self.counts.refused_for_space.one();
        self.refuse(ticket, Refusal::DiskFull);
    }

    /// A data directory failed: nothing in it is acknowledged any more, on no shard, and nobody is left waiting. What can
    /// still be read is read on.
    async fn directory_lost(self: &Rc<Self>, directory: DirectoryIndex, failure: &DiskFailure) {
        let lost = self.partitions_in(directory);
        for partition in &lost {
            let effects = partition.abandon();
            self.carry_out(partition, effects);
            self.waiting_fetches.disturbed(partition.id);
        }
        lost.iter().for_each(|partition| self.leave_seat(&partition.id));
        self.ask_others(|| Call::FenceDisk { directory, failure: failure.copy() }).await;
    }

    /// This shard could not open a data directory: no other writes there either.
    pub(super) async fn tell_failure(self: Rc<Self>, directory: DirectoryIndex, failure: DiskFailure) {
        self.ask_others(|| Call::FenceDisk { directory, failure: failure.copy() }).await;
    }

    fn partitions_in(&self, directory: DirectoryIndex) -> Vec<Rc<Partition<E>>> {
        let mut partitions = self.all_partitions();
        partitions.retain(|partition| partition.directory == directory);
        partitions
    }

    async fn ask_others(self: &Rc<Self>, call: impl Fn() -> Call) {
        let others = (0..self.env.shard_count()).map(ShardIndex).filter(|other| *other != self.env.shard());
        let asked: Vec<_> = others.map(|other| self.call(other, call())).collect();
        for answer in asked {
            answer.await;
        }
    }
}
