//! Who is alive, and who goes.
//!
//! ```text
//!   heartbeat, sync, commit ──► the session starts again
//!   LeaveGroup, or silence for a session ──► out, and the others agree on another generation
//! ```
//!
//! Always true: every member has a session running or a request waiting; a request that waits keeps its
//! member alive.

use crate::group::classic_group::{Group, Phase};
use crate::group::decision::GroupTicket;
use crate::group::message::{Answer, Heartbeat, Leave, LeavingMember, LeftMember, MemberId};
use crate::group::turn::Turn;
use crate::refusal::Refusal;

impl Group {
    /// Takes a sign of life. In the join phase the member is told to join again, and is alive all the same.
    pub fn heartbeat(&mut self, heartbeat: &Heartbeat, turn: &mut Turn) -> Result<(), Refusal> {
        self.check_member(&heartbeat.member, heartbeat.instance.as_deref())?;
        if heartbeat.generation != self.generation {
            return Err(Refusal::IllegalGeneration);
        }
        if self.phase == Phase::Empty {
            return Err(Refusal::UnknownMember);
        }
        self.restart_session(&heartbeat.member, turn);
        match self.phase {
            Phase::Gathering { .. } | Phase::Preparing => Err(Refusal::RebalanceInProgress),
            Phase::Empty | Phase::Completing { .. } | Phase::Stable { .. } => Ok(()),
        }
    }

    /// Lets members go, each for itself.
    pub fn leave(&mut self, leave: &Leave, ticket: GroupTicket, turn: &mut Turn) {
        let (mut left, mut has_changed) = (Vec::with_capacity(leave.members.len()), false);
        for leaving in &leave.members {
            let result = self.let_go(leaving, turn);
            has_changed |= result == Ok(Standing::Member);
            left.push(answer_to(leaving, result.map(|_| ())));
        }
        if has_changed {
            self.membership_changed(turn);
        } else {
            self.membership_changed_by_pending(turn);
        }
        turn.reply_committed(ticket, Answer::Leave(Ok(left)));
    }

    fn let_go(&mut self, leaving: &LeavingMember, turn: &mut Turn) -> Result<Standing, Refusal> {
        if self.remove_pending(&leaving.member, turn) {
            return Ok(Standing::Pending);
        }
        let member = match &leaving.instance {
            // An operator removes a static member by its own name.
            Some(instance) if leaving.member.is_empty() => {
                self.roster.holder_of(instance).cloned().ok_or(Refusal::UnknownMember)?
            }
            instance => {
                self.check_member(&leaving.member, instance.as_deref())?;
                leaving.member.clone()
            }
        };
        self.remove_member(&member, turn);
        Ok(Standing::Member)
    }

    /// A session has ended.
    pub fn session_timed_out(&mut self, id: &MemberId, turn: &mut Turn) {
        let Some(member) = self.roster.get(id) else { return };
        // What it waits for restarts its session, or ends with its removal.
        if member.waiting.is_some() && !member.is_new {
            return;
        }
        self.remove_member(id, turn);
        self.membership_changed(turn);
    }
}

/// What somebody who leaves was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    Member,
    Pending,
}

/// What to tell those who leave a group that is not there.
pub(super) fn left_nothing(leave: &Leave) -> Vec<LeftMember> {
    leave.members.iter().map(|leaving| answer_to(leaving, Err(Refusal::UnknownMember))).collect()
}

fn answer_to(leaving: &LeavingMember, result: Result<(), Refusal>) -> LeftMember {
    LeftMember { member: leaving.member.clone(), instance: leaving.instance.clone(), result }
}
