//! A coordinator's decisions, carried out: records into the log, answers to whoever asked.

use std::rc::Rc;

use ringlog_core::group::decision::{Decision, GroupTicket, Moment, Reply, When};
use ringlog_core::group::message::{Answer, Request};
use ringlog_core::group::record::GroupRecord;
use ringlog_core::ids::{TopicId, TopicName, TopicPartition};
use ringlog_core::refusal::Refusal;
use ringlog_replication::leader::Acks;
use ringlog_replication::pending_acks::Ticket;
use ringlog_runtime::environment::{Environment, TaskClass};

use crate::broker::calls::ReplyTo;
use crate::broker::groups::Due;
use crate::broker::groups::seat::{Asker, Seat, Work};
use crate::broker::message;
use crate::broker::own_records::{OwnRecord, batches};
use crate::broker::partition::Partition;
use crate::broker::refusals::append_refusal;
use crate::broker::shard::Shard;

/// The ticket of requests that nobody waits for; the coordinator does not answer them.
const NOBODY: GroupTicket = GroupTicket(u64::MAX);

impl<E: Environment> Shard<E> {
    /// Takes a request to the groups of one partition of `__consumer_offsets`.
    pub(in crate::broker) fn ask_group(
        self: &Rc<Self>,
        partition: &TopicPartition,
        request: Request,
        reply_to: ReplyTo,
    ) {
        let Some(seat) = self.groups.seat(partition) else {
            let answer = request.refused(&Refusal::NotCoordinator);
            return self.answer(reply_to, message::Answer::Group(answer));
        };
        let ticket = self.groups.ask(reply_to);
        self.coordinate(&seat, Work::Request(request, Asker::Waits(ticket)));
    }

    /// A topic is gone: no group keeps an offset of it.
    pub(in crate::broker) fn forget_topic(self: &Rc<Self>, topic: &TopicName, id: TopicId) {
        for seat in self.groups.seats() {
            let deleted = Request::TopicDeleted(topic.clone(), Some(id));
            self.coordinate(&seat, Work::Request(deleted, Asker::Nobody));
        }
    }

    /// The partition is lost, or the shard stops: whoever waits is told to look for the coordinator again.
    pub(in crate::broker) fn leave_seat(self: &Rc<Self>, partition: &TopicPartition) {
        let seat = self.groups.seats.borrow_mut().remove(partition);
        if let Some(seat) = seat {
            self.vacate(&seat);
        }
    }

    /// As [`Shard::leave_seat`], for all.
    pub(in crate::broker) fn leave_all_seats(self: &Rc<Self>) {
        for seat in self.groups.seats() {
            self.leave_seat(&seat.partition);
        }
    }

    /// Batches of records are committed: what they unlock leaves.
    pub(in crate::broker) fn group_records_committed(
        self: &Rc<Self>,
        partition: &TopicPartition,
        ticket: Ticket,
    ) {
        self.end_append(partition, ticket);
        for (reply_to, answer) in self.groups.appends.end(ticket) {
            self.answer(reply_to, message::Answer::Group(answer));
        }
    }

    /// Batches of records may never be committed: what they would have unlocked is refused.
    pub(in crate::broker) fn group_records_abandoned(
        self: &Rc<Self>,
        partition: &TopicPartition,
        ticket: Ticket,
    ) {
        self.end_append(partition, ticket);
        for (reply_to, answer) in self.groups.appends.end(ticket) {
            self.answer(reply_to, message::Answer::Group(answer.refused(&Refusal::NotCoordinator)));
        }
    }

    fn end_append(&self, partition: &TopicPartition, ticket: Ticket) {
        if let Some(seat) = self.groups.seat(partition)
            && seat.pending.get() == Some(ticket)
        {
            seat.pending.set(None);
        }
    }

    /// Does work at once if its log can take records now, else when it can.
    pub(super) fn coordinate(self: &Rc<Self>, seat: &Rc<Seat>, work: Work) {
        let Ok(partition) = self.leading(&seat.partition) else {
            return self.refuse_work(work, &Refusal::NotCoordinator);
        };
        if seat.is_idle() && partition.log.is_ready() {
            self.decide(seat, &partition, work);
        } else if seat.queue(work) {
            self.env.spawn(TaskClass::Network, self.clone().empty_seat_queue(seat.clone(), partition));
        }
    }

    async fn empty_seat_queue(self: Rc<Self>, seat: Rc<Seat>, partition: Rc<Partition<E>>) {
        loop {
            let ready = partition.log.ready().await;
            let Some(work) = seat.take_queued() else { return };
            match ready {
                Ok(()) => self.decide(&seat, &partition, work),
                Err(_) => self.refuse_work(work, &Refusal::NotCoordinator),
            }
        }
    }

    pub(super) fn decide(self: &Rc<Self>, seat: &Rc<Seat>, partition: &Rc<Partition<E>>, work: Work) {
        let moment = self.moment();
        let decision = match (seat.coordinator.borrow_mut().as_mut(), work) {
            (None, work) => return self.refuse_work(work, &Refusal::NotCoordinator),
            (Some(_), work @ Work::Request(..)) if partition.may_accept(Acks::All).is_err() => {
                return self.refuse_work(work, &Refusal::CoordinatorNotAvailable);
            }
            (Some(coordinator), Work::Request(request, asker)) => {
                let ticket = match asker {
                    Asker::Waits(ticket) => ticket,
                    Asker::Nobody => NOBODY,
                };
                self.groups.weighed(coordinator, |coordinator| coordinator.handle(request, ticket, moment))
            }
            (Some(coordinator), Work::Tick) => {
                self.groups.weighed(coordinator, |coordinator| coordinator.tick(moment))
            }
            (Some(coordinator), Work::Activate) => {
                self.groups.weighed(coordinator, |coordinator| coordinator.become_active(moment))
            }
        };
        self.carry_out_decision(seat, partition, decision);
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.env.now(),
            wall: self.env.wall_clock(),
            random: (u128::from(self.env.random()) << 64) | u128::from(self.env.random()),
        }
    }

    fn carry_out_decision(
        self: &Rc<Self>,
        seat: &Rc<Seat>,
        partition: &Rc<Partition<E>>,
        decision: Decision,
    ) {
        let mut at_once = Vec::new();
        let mut later = Vec::new();
        for Reply { ticket, answer, when } in decision.replies {
            let due = (self.groups.asked_by(ticket), answer);
            match when {
                When::Now => at_once.push(due),
                When::Committed => later.push(due),
            }
        }
        if let Err(refusal) = self.write_and_unlock(seat, partition, &decision.records, later) {
            tracing::error!(
                topic = %partition.topic, partition = partition.id.partition.0, %refusal,
                "records of groups cannot be written; the coordinator begins anew from its log"
            );
            self.leave_seat(&seat.partition);
            self.take_seat(partition);
        }
        for (reply_to, answer) in at_once {
            self.answer(reply_to, message::Answer::Group(answer));
        }
        self.groups.timer.note(seat.next_deadline());
        self.renew_if_due(seat, partition);
    }

    /// Appends records; the answers leave when these, and all before them, are committed.
    fn write_and_unlock(
        self: &Rc<Self>,
        seat: &Seat,
        partition: &Partition<E>,
        records: &[GroupRecord],
        answers: Vec<Due>,
    ) -> Result<(), Refusal> {
        let records: Vec<_> = records.iter().map(own_record).collect();
        let batches = batches(&records, self.env.wall_clock());
        let Some((last, before)) = batches.split_last() else {
            self.unlock(seat, answers);
            return Ok(());
        };
        let bytes: usize = batches.iter().map(Vec::len).sum();
        seat.log_bytes.set(seat.log_bytes.get() + bytes as u64);
        let refused = |answers: Vec<Due>, refusal: Refusal| {
            for (reply_to, answer) in answers {
                self.answer(
                    reply_to,
                    message::Answer::Group(answer.refused(&Refusal::CoordinatorNotAvailable)),
                );
            }
            Err(refusal)
        };
        for batch in before {
            // Nobody waits for these: the last one comes after them.
            if let Err(error) = partition.append_own(batch, Acks::None, Ticket(0)) {
                return refused(answers, append_refusal(error));
            }
        }
        let ticket = self.groups.appends.begin(answers);
        match partition.append_own(last, Acks::All, ticket) {
            Ok(()) => {
                seat.pending.set(Some(ticket));
                Ok(())
            }
            Err(error) => refused(self.groups.appends.end(ticket), append_refusal(error)),
        }
    }

    /// No new records: the answers wait for earlier ones that they may tell of, if there are any.
    fn unlock(self: &Rc<Self>, seat: &Seat, answers: Vec<Due>) {
        match seat.pending.get() {
            Some(ticket) => self.groups.appends.add(ticket, answers),
            None => {
                for (reply_to, answer) in answers {
                    self.answer(reply_to, message::Answer::Group(answer));
                }
            }
        }
    }

    fn vacate(self: &Rc<Self>, seat: &Seat) {
        let coordinator = seat.coordinator.borrow_mut().take();
        coordinator.iter().for_each(|coordinator| self.groups.unweigh(coordinator));
        for Reply { ticket, answer, .. } in coordinator.into_iter().flat_map(|coordinator| coordinator.lose())
        {
            self.answer_group(ticket, answer);
        }
    }

    fn refuse_work(self: &Rc<Self>, work: Work, refusal: &Refusal) {
        if let Work::Request(request, Asker::Waits(ticket)) = work {
            self.answer_group(ticket, request.refused(refusal));
        }
    }

    fn answer_group(self: &Rc<Self>, ticket: GroupTicket, answer: Answer) {
        let reply_to = self.groups.asked_by(ticket);
        self.answer(reply_to, message::Answer::Group(answer));
    }
}

pub(super) fn own_record(record: &GroupRecord) -> OwnRecord {
    OwnRecord { key: record.key_bytes(), value: record.value_bytes() }
}
