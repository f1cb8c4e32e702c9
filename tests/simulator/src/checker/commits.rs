//! What must hold of committed offsets. An offset that is told is that of a commit which nothing has surely replaced.
//!
//! ```text
//!   commit a ────asked──────granted                            a surely came before b: b was asked for when a was known
//!   commit b                         ──asked──granted          b surely came before the question: it was known before
//!   question                                          ──asked──told   so a would have gone back
//! ```
//!
//! Always true: a commit is known from its grant on, or from the first time its offset was told; so what was told once is
//! held to as what was granted.

use std::collections::BTreeSet;

use super::Violation;
use crate::group_history::{CommitNumber, Fate, Found, GroupHistory, GroupNumber, Moment, Told};
use crate::history::History;

/// Something that an offset can be since.
#[derive(Clone, Copy)]
struct Change {
    commit: Option<CommitNumber>,
    asked: Moment,
    /// From when on it is surely so, or surely never; none if nobody can tell.
    known: Option<Moment>,
    /// Whether it is surely so.
    is_sure: bool,
}

/// One partition's offset in one group.
struct Register<'h> {
    groups: &'h GroupHistory,
    group: GroupNumber,
    partition: i32,
    changes: Vec<Change>,
}

pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let groups = &history.groups;
    let told: BTreeSet<_> = groups.told().iter().map(|told| (told.group, told.partition)).collect();
    for (group, partition) in told {
        Register::new(groups, group, partition).check(violations);
    }
}

impl<'h> Register<'h> {
    fn new(groups: &'h GroupHistory, group: GroupNumber, partition: i32) -> Register<'h> {
        let nothing = Change { commit: None, asked: 0, known: Some(0), is_sure: true };
        let mut register = Register { groups, group, partition, changes: vec![nothing] };
        let commits = groups.commits().iter().enumerate();
        for (number, commit) in
            commits.filter(|(_, commit)| commit.group == group && commit.partition == partition)
        {
            let number = CommitNumber(number);
            let granted = match commit.fate {
                Fate::Granted(at) => Some(at),
                Fate::Refused => continue,
                Fate::Unknown => None,
            };
            let known = register.first_told(number).into_iter().chain(granted).min();
            let is_sure = known.is_some();
            register.changes.push(Change { commit: Some(number), asked: commit.asked, known, is_sure });
        }
        let removals = groups.removals().iter().filter(|removal| removal.concerns(group, partition));
        register.changes.extend(removals.map(|removal| {
            let is_sure = matches!(removal.fate, Fate::Granted(_));
            Change { commit: None, asked: removal.asked, known: removal.done_by, is_sure }
        }));
        register
    }

    fn told(&self) -> impl Iterator<Item = &'h Told> {
        let (group, partition) = (self.group, self.partition);
        self.groups.told().iter().filter(move |told| told.group == group && told.partition == partition)
    }

    fn first_told(&self, number: CommitNumber) -> Option<Moment> {
        self.told().find(|told| told.found == Found::Commit(number)).map(|told| told.answered)
    }

    fn check(&self, violations: &mut Vec<Violation>) {
        for told in self.told() {
            violations.extend(match &told.found {
                Found::Nothing => self.check_nothing(told),
                Found::Commit(number) => self.check_commit(told, *number),
                Found::Strange(what) => Some(self.never_committed(what.clone())),
            });
        }
    }

    fn check_commit(&self, told: &Told, number: CommitNumber) -> Option<Violation> {
        let (group, partition) = (self.group, self.partition);
        let Some(change) = self.changes.iter().find(|change| change.commit == Some(number)) else {
            let is_refused =
                self.groups.commits().get(number.0).is_some_and(|commit| commit.fate == Fate::Refused);
            return Some(match is_refused {
                true => Violation::RefusedCommitThere { group, partition, commit: number },
                false => self.never_committed(format!("{number:?}")),
            });
        };
        let replaced = self.replaced(change, told.asked)?;
        Some(match replaced.commit {
            Some(expected) => Violation::CommitWentBack { group, partition, expected, found: number },
            None => Violation::RemovedCommitThere { group, partition, commit: number },
        })
    }

    /// There was no offset at first, and there is none after a removal.
    fn check_nothing(&self, told: &Told) -> Option<Violation> {
        let mut expected = None;
        for nothing in
            self.changes.iter().filter(|change| change.commit.is_none() && change.asked < told.answered)
        {
            expected = Some(self.replaced(nothing, told.asked)?);
        }
        let commit = expected?.commit?;
        Some(Violation::CommitLost { group: self.group, partition: self.partition, commit })
    }

    /// What surely came after a change and before a question; of a removal only commits count.
    fn replaced(&self, change: &Change, asked: Moment) -> Option<&Change> {
        let known = change.known?;
        let later = self.changes.iter().filter(|later| later.is_sure && later.asked > known);
        let mut later = later.filter(|later| later.known.is_some_and(|known| known < asked));
        later.rfind(|later| change.commit.is_some() || later.commit.is_some())
    }

    fn never_committed(&self, what: String) -> Violation {
        Violation::NeverCommitted { group: self.group, partition: self.partition, what }
    }
}
