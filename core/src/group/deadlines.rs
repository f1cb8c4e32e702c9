//! What a coordinator waits for, in order of time.
//!
//! ```text
//!   armed:    (group, alarm) -> when         one entry an alarm: arming again moves it
//!   by time:  when, group, alarm             the first is the next deadline
//! ```
//!
//! Always true: both hold the same entries, so there are never more of them than there are groups and members.

use std::collections::{BTreeMap, BTreeSet};

use crate::group::message::{GroupId, MemberId};
use crate::time::Instant;

/// What is due.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Alarm {
    /// A join phase has lasted as long as it may.
    JoinPhase,
    /// Members have not asked for their assignment.
    SyncPhase,
    /// A member was silent.
    Session(MemberId),
    /// A member was given an id and did not come back with it (KIP-394).
    PendingMember(MemberId),
}

/// All that is due, by time.
#[derive(Clone, Debug, Default)]
pub(super) struct Deadlines {
    armed: BTreeMap<(GroupId, Alarm), Instant>,
    by_time: BTreeSet<(Instant, GroupId, Alarm)>,
}

impl Deadlines {
    /// Sets an alarm, in place of an earlier setting.
    pub fn arm(&mut self, group: &GroupId, alarm: Alarm, at: Instant) {
        if let Some(earlier) = self.armed.insert((group.clone(), alarm.clone()), at) {
            self.by_time.remove(&(earlier, group.clone(), alarm.clone()));
        }
        self.by_time.insert((at, group.clone(), alarm));
    }

    /// Takes an alarm back, if it is set.
    pub fn disarm(&mut self, group: &GroupId, alarm: Alarm) {
        if let Some((key, at)) = self.armed.remove_entry(&(group.clone(), alarm)) {
            self.by_time.remove(&(at, key.0, key.1));
        }
    }

    /// When the next alarm is due.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _, _)| *at)
    }

    /// Takes the first alarm that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<(GroupId, Alarm)> {
        if self.next()? > now {
            return None;
        }
        let (_, group, alarm) = self.by_time.pop_first()?;
        let key = (group, alarm);
        self.armed.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_armed_again_moves_and_alarms_come_in_order_of_time() {
        let (mut deadlines, group) = (Deadlines::default(), GroupId::from("group"));
        deadlines.arm(&group, Alarm::JoinPhase, Instant(10));
        deadlines.arm(&group, Alarm::Session("a".into()), Instant(5));
        deadlines.arm(&group, Alarm::Session("a".into()), Instant(20));
        assert_eq!(deadlines.next(), Some(Instant(10)));
        assert_eq!(deadlines.pop_due(Instant(9)), None);
        assert_eq!(deadlines.pop_due(Instant(30)), Some((group.clone(), Alarm::JoinPhase)));
        assert_eq!(deadlines.pop_due(Instant(30)), Some((group, Alarm::Session("a".into()))));
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn an_alarm_taken_back_never_comes() {
        let (mut deadlines, group) = (Deadlines::default(), GroupId::from("group"));
        deadlines.arm(&group, Alarm::SyncPhase, Instant(10));
        deadlines.disarm(&group, Alarm::SyncPhase);
        deadlines.disarm(&group, Alarm::JoinPhase);
        assert_eq!(deadlines.next(), None);
        assert_eq!(deadlines.pop_due(Instant(30)), None);
    }
}
