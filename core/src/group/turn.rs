//! One decision while it is made: what it may use, what it has come to so far.

use std::time::Duration;

use crate::group::deadlines::{Alarm, Deadlines};
use crate::group::decision::{Decision, GroupTicket, Moment, Reply, When};
use crate::group::message::{Answer, GroupId};
use crate::group::settings::GroupSettings;
use crate::group::weight::Weight;

/// One decision while it is made.
pub(super) struct Turn<'a> {
    /// What the operator said.
    pub settings: &'a GroupSettings,
    /// When it is.
    pub moment: Moment,
    /// What the coordinator waits for.
    pub deadlines: &'a mut Deadlines,
    /// What the coordinator can still take.
    pub room: Weight,
    /// What was decided so far.
    pub decision: Decision,
}

impl Turn<'_> {
    /// Answers at once: with what no record carries.
    pub fn reply_now(&mut self, ticket: GroupTicket, answer: Answer) {
        self.decision.replies.push(Reply { ticket, answer, when: When::Now });
    }

    /// Answers with what records carry, these or earlier ones.
    pub fn reply_committed(&mut self, ticket: GroupTicket, answer: Answer) {
        self.decision.replies.push(Reply { ticket, answer, when: When::Committed });
    }

    /// Sets an alarm of a group.
    pub fn arm(&mut self, group: &GroupId, alarm: Alarm, after: Duration) {
        self.deadlines.arm(group, alarm, self.moment.now + after);
    }

    /// Takes an alarm of a group back.
    pub fn disarm(&mut self, group: &GroupId, alarm: Alarm) {
        self.deadlines.disarm(group, alarm);
    }
}
