//! The leader of one partition: decides what is committed and whom to tell.
//!
//! ```text
//!   propose ──► log end grows ──► journal ──► batches_durable ──► high watermark = min durable end
//!      │                                            │                 over the in-sync replicas
//!      └ acks=0: told nothing   acks=1: told here ◄─┘                  │
//!                                                     acks=all: told here ◄┘
//! ```
//!
//! Always true: `high_watermark <= durable_end_offset <= log_end_offset`; none of the three ever shrinks while
//! this broker leads; a batch is acknowledged at most once, and only after it is durable here (acks=1) or on
//! every in-sync replica (acks=all). The broker promises more than Kafka's acks=1, which tells before the disk.

use std::collections::BTreeMap;

use ringlog_core::ids::{BrokerId, LeaderEpoch, Offset};
use ringlog_core::refusal::Refusal;

use crate::pending_acks::{PendingAcks, Ticket};

/// How much a producer wants to know before it is answered (`acks` on the wire).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acks {
    /// 0: never answered.
    None,
    /// 1: durable on the leader.
    Leader,
    /// -1: durable on every in-sync replica.
    All,
}

impl Acks {
    /// Reads the wire's number; `None` for any but -1, 0 and 1 (INVALID_REQUIRED_ACKS).
    pub fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            -1 => Some(Acks::All),
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            _ => None,
        }
    }
}

/// What the shard is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Tell this producer that its batch is as safe as it asked for.
    Acknowledge(Ticket),
    /// Tell this producer that its batch is in the log, but with too few replicas (NOT_ENOUGH_REPLICAS_AFTER_APPEND).
    AcknowledgeUnderReplicated(Ticket),
    /// Tell this producer that nobody knows: leadership or the disk was lost before its batch was safe.
    Abandon(Ticket),
    /// Consumers may read up to `to` now.
    HighWatermarkAdvanced {
        /// Where it was.
        from: Offset,
        /// Where it is.
        to: Offset,
    },
}

/// Too few in-sync replicas to accept a write that wants all of them (NOT_ENOUGH_REPLICAS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotEnoughReplicas {
    /// Replicas in sync now, the leader among them.
    pub in_sync_count: usize,
    /// `min.insync.replicas`.
    pub required_count: usize,
}

impl From<NotEnoughReplicas> for Refusal {
    fn from(too_few: NotEnoughReplicas) -> Refusal {
        Refusal::NotEnoughReplicas { in_sync: too_few.in_sync_count, required: too_few.required_count }
    }
}

/// A partition this broker leads, in one leader epoch.
#[derive(Debug)]
pub struct PartitionLeader {
    leader_epoch: LeaderEpoch,
    epoch_start_offset: Offset,
    log_end_offset: Offset,
    durable_end_offset: Offset,
    high_watermark: Offset,
    followers_in_sync: BTreeMap<BrokerId, Offset>,
    in_sync_count_min: usize,
    waiting_for_leader: PendingAcks,
    waiting_for_all: PendingAcks,
}

impl PartitionLeader {
    /// Starts to lead in `leader_epoch`, with a log that ends at `log_end_offset` and is durable to
    /// `durable_end_offset`. `in_sync_count_min` is `min.insync.replicas`.
    pub fn new(
        leader_epoch: LeaderEpoch,
        log_end_offset: Offset,
        durable_end_offset: Offset,
        in_sync_count_min: usize,
    ) -> PartitionLeader {
        assert!(durable_end_offset <= log_end_offset, "{durable_end_offset} durable of {log_end_offset}");
        let mut leader = PartitionLeader {
            leader_epoch,
            epoch_start_offset: log_end_offset,
            log_end_offset,
            durable_end_offset,
            high_watermark: Offset::ZERO,
            followers_in_sync: BTreeMap::new(),
            in_sync_count_min,
            waiting_for_leader: PendingAcks::default(),
            waiting_for_all: PendingAcks::default(),
        };
        leader.high_watermark = leader.committed_end();
        leader
    }

    /// The epoch this broker leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The first offset this leadership appended at.
    pub fn epoch_start_offset(&self) -> Offset {
        self.epoch_start_offset
    }

    /// The first offset consumers may not read yet.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Changes `min.insync.replicas`.
    pub fn set_in_sync_count_min(&mut self, count: usize) {
        self.in_sync_count_min = count;
    }

    /// Whether a write with these acks may be appended now (P3, P5).
    ///
    /// # Errors
    /// [`NotEnoughReplicas`] for acks=all while too few replicas are in sync; nothing may be appended then.
    pub fn may_accept(&self, acks: Acks) -> Result<(), NotEnoughReplicas> {
        if acks == Acks::All && self.in_sync_count() < self.in_sync_count_min {
            return Err(NotEnoughReplicas {
                in_sync_count: self.in_sync_count(),
                required_count: self.in_sync_count_min,
            });
        }
        Ok(())
    }

    /// Takes note of a batch just appended that ends at `end_offset` (exclusive).
    pub fn propose(&mut self, end_offset: Offset, acks: Acks, ticket: Ticket) {
        assert!(
            end_offset > self.log_end_offset,
            "a batch up to {end_offset} behind {}",
            self.log_end_offset
        );
        self.log_end_offset = end_offset;
        self.wait(end_offset, acks, ticket);
    }

    /// Answers the retry of a batch the log already holds: at once if it is safe, else together with it (P21).
    pub fn propose_again(
        &mut self,
        end_offset: Offset,
        acks: Acks,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) {
        assert!(
            end_offset <= self.log_end_offset,
            "a retry up to {end_offset} beyond {}",
            self.log_end_offset
        );
        self.wait(end_offset, acks, ticket);
        self.release(effects);
    }

    /// The journal made everything below `durable_end_offset` durable on this broker.
    pub fn batches_durable(&mut self, durable_end_offset: Offset, effects: &mut Vec<Effect>) {
        assert!(
            durable_end_offset <= self.log_end_offset,
            "{durable_end_offset} durable of a log that ends at {}",
            self.log_end_offset
        );
        if durable_end_offset > self.durable_end_offset {
            self.durable_end_offset = durable_end_offset;
            self.advance(effects);
        }
    }

    /// An in-sync follower has made everything below `durable_end_offset` durable: the next offset it fetches.
    pub fn follower_fetched(
        &mut self,
        follower: BrokerId,
        durable_end_offset: Offset,
        effects: &mut Vec<Effect>,
    ) {
        let reached = durable_end_offset.min(self.log_end_offset);
        if let Some(known) = self.followers_in_sync.get_mut(&follower)
            && *known < reached
        {
            *known = reached;
            self.advance(effects);
        }
    }

    /// The in-sync replicas besides the leader, with what each is known to hold.
    pub fn set_followers_in_sync(
        &mut self,
        followers: BTreeMap<BrokerId, Offset>,
        effects: &mut Vec<Effect>,
    ) {
        self.followers_in_sync = followers;
        self.advance(effects);
    }

    /// Leadership or the disk is lost: everyone who waits is told that the outcome is unknown.
    pub fn abandon(&mut self, effects: &mut Vec<Effect>) {
        effects.extend(self.waiting_for_leader.abandon().map(Effect::Abandon));
        effects.extend(self.waiting_for_all.abandon().map(Effect::Abandon));
    }

    /// How many producers wait.
    pub fn waiting_count(&self) -> usize {
        self.waiting_for_leader.count() + self.waiting_for_all.count()
    }

    fn in_sync_count(&self) -> usize {
        1 + self.followers_in_sync.len()
    }

    fn wait(&mut self, end_offset: Offset, acks: Acks, ticket: Ticket) {
        match acks {
            Acks::None => {}
            Acks::Leader => self.waiting_for_leader.wait(end_offset, ticket),
            Acks::All => self.waiting_for_all.wait(end_offset, ticket),
        }
    }

    fn committed_end(&self) -> Offset {
        self.followers_in_sync.values().copied().fold(self.durable_end_offset, Offset::min)
    }

    fn advance(&mut self, effects: &mut Vec<Effect>) {
        let committed = self.committed_end();
        // KIP-966: with fewer replicas than min.insync.replicas nothing new becomes visible, even to acks=1.
        if committed > self.high_watermark && self.in_sync_count() >= self.in_sync_count_min {
            effects.push(Effect::HighWatermarkAdvanced { from: self.high_watermark, to: committed });
            self.high_watermark = committed;
        }
        self.release(effects);
    }

    fn release(&mut self, effects: &mut Vec<Effect>) {
        let durable = self.durable_end_offset;
        effects.extend(self.waiting_for_leader.release(durable).map(Effect::Acknowledge));
        if self.in_sync_count() >= self.in_sync_count_min {
            effects.extend(self.waiting_for_all.release(self.high_watermark).map(Effect::Acknowledge));
        } else {
            let committed = self.committed_end();
            effects.extend(self.waiting_for_all.release(committed).map(Effect::AcknowledgeUnderReplicated));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader() -> PartitionLeader {
        PartitionLeader::new(LeaderEpoch(3), Offset(100), Offset(100), 1)
    }

    #[test]
    fn nobody_is_told_before_the_batch_is_durable() {
        let mut leader = leader();
        let mut effects = Vec::new();
        leader.propose(Offset(105), Acks::Leader, Ticket(1));
        leader.propose(Offset(110), Acks::All, Ticket(2));
        leader.batches_durable(Offset(100), &mut effects);
        assert_eq!(effects, []);
        leader.batches_durable(Offset(105), &mut effects);
        assert_eq!(
            effects,
            [
                Effect::HighWatermarkAdvanced { from: Offset(100), to: Offset(105) },
                Effect::Acknowledge(Ticket(1))
            ]
        );
    }

    #[test]
    fn acks_none_is_never_told() {
        let mut leader = leader();
        let mut effects = Vec::new();
        leader.propose(Offset(105), Acks::None, Ticket(1));
        leader.batches_durable(Offset(105), &mut effects);
        assert_eq!(effects, [Effect::HighWatermarkAdvanced { from: Offset(100), to: Offset(105) }]);
    }

    #[test]
    fn acks_all_waits_for_the_slowest_in_sync_replica() {
        let mut leader = leader();
        let mut effects = Vec::new();
        leader.set_followers_in_sync(BTreeMap::from([(BrokerId(2), Offset(100))]), &mut effects);
        leader.propose(Offset(105), Acks::All, Ticket(1));
        leader.batches_durable(Offset(105), &mut effects);
        assert_eq!(effects, []);
        leader.follower_fetched(BrokerId(2), Offset(105), &mut effects);
        assert_eq!(
            effects,
            [
                Effect::HighWatermarkAdvanced { from: Offset(100), to: Offset(105) },
                Effect::Acknowledge(Ticket(1))
            ]
        );
    }

    #[test]
    fn p3_acks_all_is_refused_before_the_append_while_too_few_replicas_are_in_sync() {
        let leader = PartitionLeader::new(LeaderEpoch(0), Offset(0), Offset(0), 2);
        assert_eq!(
            leader.may_accept(Acks::All),
            Err(NotEnoughReplicas { in_sync_count: 1, required_count: 2 })
        );
        assert_eq!(leader.may_accept(Acks::Leader), Ok(()));
    }

    #[test]
    fn p5_acks_one_is_told_but_stays_invisible_while_too_few_replicas_are_in_sync() {
        let mut leader = PartitionLeader::new(LeaderEpoch(0), Offset(0), Offset(0), 2);
        let mut effects = Vec::new();
        leader.propose(Offset(1), Acks::Leader, Ticket(1));
        leader.batches_durable(Offset(1), &mut effects);
        assert_eq!(effects, [Effect::Acknowledge(Ticket(1))]);
        assert_eq!(leader.high_watermark(), Offset(0));
    }

    #[test]
    fn p21_a_retry_of_a_batch_still_in_the_journal_is_told_together_with_it() {
        let mut leader = leader();
        let mut effects = Vec::new();
        leader.propose(Offset(105), Acks::All, Ticket(1));
        leader.propose_again(Offset(105), Acks::All, Ticket(2), &mut effects);
        assert_eq!(effects, []);
        leader.batches_durable(Offset(105), &mut effects);
        assert_eq!(
            effects[1..],
            [Effect::Acknowledge(Ticket(1)), Effect::Acknowledge(Ticket(2))],
            "both, in order"
        );
        effects.clear();
        leader.propose_again(Offset(105), Acks::Leader, Ticket(3), &mut effects);
        assert_eq!(effects, [Effect::Acknowledge(Ticket(3))]);
    }

    #[test]
    fn a_lost_disk_leaves_nobody_waiting() {
        let mut leader = leader();
        let mut effects = Vec::new();
        leader.propose(Offset(105), Acks::Leader, Ticket(1));
        leader.propose(Offset(106), Acks::All, Ticket(2));
        leader.abandon(&mut effects);
        assert_eq!(effects, [Effect::Abandon(Ticket(1)), Effect::Abandon(Ticket(2))]);
        assert_eq!(leader.waiting_count(), 0);
    }
}
