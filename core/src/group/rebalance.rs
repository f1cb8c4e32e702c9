//! The join phase: from "something changed" to a new generation.
//!
//! ```text
//!   prepare_rebalance ──► members join again ──► all are here, or time is up ──► complete_join_phase
//!                                                                                 │ absent members go
//!                                                                                 │ generation + 1, assignor by vote
//!                                                                                 ▼ everybody who waits is answered
//! ```
//!
//! Always true: while a group is in the join phase its alarm is set, so nobody waits for ever.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::group::classic_group::{Group, Phase};
use crate::group::deadlines::Alarm;
use crate::group::member::Waiting;
use crate::group::message::{Answer, GroupGeneration, JoinAnswer, MemberId};
use crate::group::turn::Turn;
use crate::refusal::Refusal;

/// How long a rebalance that only lacks static members waits at least before it looks again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Group {
    /// Somebody came, went or changed: a group with a generation prepares another one, one in the join phase may
    /// have become complete.
    pub fn membership_changed(&mut self, turn: &mut Turn) {
        match self.phase {
            Phase::Completing { .. } | Phase::Stable { .. } => self.prepare_rebalance(turn),
            Phase::Empty if !self.roster.is_empty() => self.prepare_rebalance(turn),
            Phase::Preparing if self.roster.is_complete() => self.complete_join_phase(turn),
            Phase::Empty | Phase::Gathering { .. } | Phase::Preparing => {}
        }
    }

    /// Begins the join phase.
    pub fn prepare_rebalance(&mut self, turn: &mut Turn) {
        if matches!(self.phase, Phase::Completing { .. }) {
            self.cancel_assignment(turn);
        }
        turn.disarm(&self.id, Alarm::SyncPhase);
        if self.phase == Phase::Empty {
            self.gather(turn);
            return;
        }
        self.phase = Phase::Preparing;
        if self.roster.is_complete() {
            self.complete_join_phase(turn);
        } else {
            turn.arm(&self.id, Alarm::JoinPhase, self.roster.rebalance_timeout());
        }
    }

    /// The first generation waits for more members than the first one.
    fn gather(&mut self, turn: &mut Turn) {
        let delay = turn.settings.initial_rebalance_delay;
        let ends_at = turn.moment.now + self.roster.rebalance_timeout().max(delay);
        self.phase = Phase::Gathering { has_newcomers: false, ends_at };
        turn.arm(&self.id, Alarm::JoinPhase, delay);
    }

    /// The alarm of the join phase.
    pub fn join_phase_timed_out(&mut self, turn: &mut Turn) {
        let (now, delay) = (turn.moment.now, turn.settings.initial_rebalance_delay);
        match &mut self.phase {
            Phase::Gathering { has_newcomers: has_newcomers @ true, ends_at } if now < *ends_at => {
                *has_newcomers = false;
                turn.arm(&self.id, Alarm::JoinPhase, delay.min(ends_at.since(now)));
            }
            Phase::Gathering { .. } | Phase::Preparing => self.complete_join_phase(turn),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable { .. } => {}
        }
    }

    /// Ends the join phase with those who are there.
    fn complete_join_phase(&mut self, turn: &mut Turn) {
        turn.disarm(&self.id, Alarm::JoinPhase);
        for absent in self.roster.absent_dynamic_members() {
            self.remove_member(&absent, turn);
        }
        if !self.roster.is_empty() && !self.roster.elect_leader_who_joins() {
            // Only static members are left and none of them came: they have their place until their sessions end.
            let patience = self.roster.rebalance_timeout().max(LOOK_AGAIN_AFTER);
            turn.arm(&self.id, Alarm::JoinPhase, patience);
            return;
        }
        self.generation = next(self.generation);
        if self.roster.is_empty() {
            self.become_empty(turn);
        } else {
            self.begin_generation(turn);
        }
    }

    fn become_empty(&mut self, turn: &mut Turn) {
        self.phase = Phase::Empty;
        self.protocol = None;
        self.subscribed = self.topics_read();
        self.write_generation(turn);
    }

    fn begin_generation(&mut self, turn: &mut Turn) {
        self.protocol = self.roster.choose_protocol();
        self.subscribed = self.topics_read();
        let members: BTreeSet<MemberId> = self.roster.ids().cloned().collect();
        for id in &members {
            self.roster.welcome(id);
            self.restart_session(id, turn);
            if let Some(Waiting::Join(ticket)) = self.roster.stop_waiting(id) {
                let answer = JoinAnswer { member: id.clone(), outcome: Ok(self.joined(id)) };
                turn.reply_now(ticket, Answer::Join(answer));
            }
        }
        self.phase = Phase::Completing { unsynced: members };
        turn.arm(&self.id, Alarm::SyncPhase, self.roster.rebalance_timeout());
    }

    /// Who waits for the assignment that will not come is to join again.
    fn cancel_assignment(&mut self, turn: &mut Turn) {
        let members: Vec<MemberId> = self.roster.ids().cloned().collect();
        for id in members {
            self.roster.assign(&id, Default::default());
            let is_syncing =
                matches!(self.roster.get(&id).and_then(|member| member.waiting), Some(Waiting::Sync(_)));
            if is_syncing && let Some(waiting) = self.roster.stop_waiting(&id) {
                let (ticket, answer) = waiting.refused(&id, Refusal::RebalanceInProgress);
                turn.reply_now(ticket, answer);
                self.restart_session(&id, turn);
            }
        }
    }
}

/// The generation after this one; after the largest comes zero.
fn next(generation: GroupGeneration) -> GroupGeneration {
    GroupGeneration(generation.0.checked_add(1).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g5_after_the_largest_generation_comes_zero_and_never_a_negative_one() {
        assert_eq!(next(GroupGeneration(7)), GroupGeneration(8));
        assert_eq!(next(GroupGeneration(i32::MAX)), GroupGeneration(0));
    }
}
