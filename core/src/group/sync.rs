//! SyncGroup: the leader gives the assignment, everybody takes its part.
//!
//! ```text
//!   members' syncs wait ──► the leader's sync: the generation is written ──► all are answered once it is committed
//!   members that do not sync in time ──► are out, and another generation is prepared
//! ```
//!
//! Always true: an assignment is told only once its record is committed, so that no two coordinators tell
//! different ones for one generation.

use std::collections::BTreeMap;

use crate::group::bounds::{NO_ROOM_TO_WAIT, limit};
use crate::group::classic_group::{Group, Phase};
use crate::group::deadlines::Alarm;
use crate::group::decision::GroupTicket;
use crate::group::member::Waiting;
use crate::group::message::{Answer, MemberId, Opaque, Sync, Synced};
use crate::group::turn::Turn;
use crate::refusal::Refusal;

impl Group {
    /// Takes a member's sync.
    pub fn sync(&mut self, sync: Sync, ticket: GroupTicket, turn: &mut Turn) {
        if let Err(refusal) = self.check_sync(&sync, turn) {
            turn.reply_now(ticket, Answer::Sync(Err(refusal)));
            return;
        }
        self.has_synced(&sync.member, turn);
        if let Phase::Stable { .. } = self.phase {
            self.restart_session(&sync.member, turn);
            turn.reply_committed(ticket, Answer::Sync(Ok(self.synced(&sync.member))));
            return;
        }
        self.let_wait(&sync.member, Waiting::Sync(ticket), turn);
        if self.roster.is_leader(&sync.member) {
            self.complete_generation(sync.assignments, turn);
        }
    }

    fn check_sync(&self, sync: &Sync, turn: &Turn) -> Result<(), Refusal> {
        self.check_member(&sync.member, sync.instance.as_deref())?;
        if sync.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        let differs = |given: &Option<_>, known: &Option<_>| given.is_some() && given != known;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(Refusal::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => Err(Refusal::UnknownMember),
            Phase::Gathering { .. } | Phase::Preparing => Err(Refusal::RebalanceInProgress),
            Phase::Stable { .. } => Ok(()),
            Phase::Completing { .. } if turn.room.waiting_count == 0 => Err(NO_ROOM_TO_WAIT),
            Phase::Completing { .. } => self.check_assignments(sync, turn),
        }
    }

    fn check_assignments(&self, sync: &Sync, turn: &Turn) -> Result<(), Refusal> {
        if !self.roster.is_leader(&sync.member) {
            return Ok(());
        }
        let (limits, mut bytes) = (&turn.settings.limits, 0);
        for (_, assignment) in &sync.assignments {
            if assignment.len() > limits.member_bytes_max {
                let (given, bytes_max) = (assignment.len(), limits.member_bytes_max);
                return Err(limit(format!("a member may be assigned {bytes_max} bytes, not {given}")));
            }
            bytes += assignment.len();
        }
        // What the last generation assigned goes.
        self.check_bytes(bytes.saturating_sub(self.roster.assigned_bytes()), turn)
    }

    fn has_synced(&mut self, id: &MemberId, turn: &mut Turn) {
        let (Phase::Completing { unsynced } | Phase::Stable { unsynced }) = &mut self.phase else { return };
        if unsynced.remove(id) && unsynced.is_empty() && matches!(self.phase, Phase::Stable { .. }) {
            turn.disarm(&self.id, Alarm::SyncPhase);
        }
    }

    /// The assignment is here: writes it and tells who waits for it.
    fn complete_generation(&mut self, assignments: Vec<(MemberId, Opaque)>, turn: &mut Turn) {
        let Phase::Completing { unsynced } = &mut self.phase else { return };
        let unsynced = std::mem::take(unsynced);
        if unsynced.is_empty() {
            turn.disarm(&self.id, Alarm::SyncPhase);
        }
        self.phase = Phase::Stable { unsynced };
        let mut assignments: BTreeMap<MemberId, Opaque> = assignments.into_iter().collect();
        let members: Vec<MemberId> = self.roster.ids().cloned().collect();
        for id in &members {
            self.roster.assign(id, assignments.remove(id).unwrap_or_default());
        }
        self.write_generation(turn);
        for id in &members {
            if let Some(Waiting::Sync(ticket)) = self.roster.stop_waiting(id) {
                turn.reply_committed(ticket, Answer::Sync(Ok(self.synced(id))));
                self.restart_session(id, turn);
            }
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            assignment: self.roster.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    /// The alarm of the sync phase: who has not asked for its assignment is out.
    pub fn sync_phase_timed_out(&mut self, turn: &mut Turn) {
        let (Phase::Completing { unsynced } | Phase::Stable { unsynced }) = &self.phase else { return };
        let silent: Vec<MemberId> = unsynced.iter().cloned().collect();
        for id in &silent {
            self.remove_member(id, turn);
        }
        self.prepare_rebalance(turn);
    }
}
