//! The checker on small histories of groups.

use super::*;
use crate::group_history::{Found, GroupHistory};

const GROUP: GroupNumber = GroupNumber(0);

/// What the checker says of what happens to one group.
fn violations(happen: impl FnOnce(&mut GroupHistory)) -> Vec<Violation> {
    let mut history = History::default();
    happen(&mut history.groups);
    check(&history)
}

/// Commits the next offset of partition 0.
fn commit(groups: &mut GroupHistory) -> CommitNumber {
    let number = groups.commit_asked(GROUP, 0);
    groups.commit_granted(number);
    number
}

fn tell(groups: &mut GroupHistory, found: Found) {
    let asked = groups.tick();
    groups.offset_told(GROUP, 0, asked, found);
}

#[test]
fn the_offset_granted_last_is_told() {
    let said = violations(|groups| {
        tell(groups, Found::Nothing);
        commit(groups);
        let last = commit(groups);
        tell(groups, Found::Commit(last));
    });
    assert_eq!(said, []);
}

#[test]
fn a_granted_commit_neither_goes_nor_goes_back() {
    let lost = violations(|groups| {
        commit(groups);
        tell(groups, Found::Nothing);
    });
    assert_eq!(lost, [Violation::CommitLost { group: GROUP, partition: 0, commit: CommitNumber(0) }]);
    let back = violations(|groups| {
        let first = commit(groups);
        commit(groups);
        tell(groups, Found::Commit(first));
    });
    let (expected, found) = (CommitNumber(1), CommitNumber(0));
    assert_eq!(back, [Violation::CommitWentBack { group: GROUP, partition: 0, expected, found }]);
}

#[test]
fn an_unanswered_commit_may_be_there_at_any_time_and_once_told_it_stays() {
    let open = violations(|groups| {
        let unanswered = groups.commit_asked(GROUP, 0);
        let granted = commit(groups);
        tell(groups, Found::Commit(granted));
        tell(groups, Found::Commit(unanswered));
    });
    assert_eq!(open, [], "it was late");
    let lost = violations(|groups| {
        let unanswered = groups.commit_asked(GROUP, 0);
        tell(groups, Found::Nothing);
        tell(groups, Found::Commit(unanswered));
        tell(groups, Found::Nothing);
    });
    assert!(matches!(lost[..], [Violation::CommitLost { .. }]), "{lost:?}");
}

#[test]
fn a_question_asked_before_the_grant_may_be_answered_with_what_was_before() {
    let said = violations(|groups| {
        let asked = groups.tick();
        commit(groups);
        groups.offset_told(GROUP, 0, asked, Found::Nothing);
    });
    assert_eq!(said, []);
}

#[test]
fn what_nobody_committed_or_was_refused_is_never_told() {
    let strange = violations(|groups| tell(groups, Found::Strange("7".to_owned())));
    assert!(matches!(strange[..], [Violation::NeverCommitted { .. }]), "{strange:?}");
    let elsewhere = violations(|groups| {
        let other = groups.commit_asked(GROUP, 1);
        tell(groups, Found::Commit(other));
    });
    assert!(matches!(elsewhere[..], [Violation::NeverCommitted { .. }]), "{elsewhere:?}");
    let refused = violations(|groups| {
        let refused = groups.commit_asked(GROUP, 0);
        groups.commit_refused(refused);
        tell(groups, Found::Commit(refused));
    });
    let commit = CommitNumber(0);
    assert_eq!(refused, [Violation::RefusedCommitThere { group: GROUP, partition: 0, commit }]);
}

#[test]
fn what_was_removed_stays_away() {
    for partition in [None, Some(0)] {
        let said = violations(|groups| {
            let gone = commit(groups);
            let removal = groups.removal_asked(GROUP, partition);
            tell(groups, Found::Commit(gone));
            groups.removal_granted(removal);
            tell(groups, Found::Nothing);
            tell(groups, Found::Commit(gone));
        });
        let commit = CommitNumber(0);
        assert_eq!(said, [Violation::RemovedCommitThere { group: GROUP, partition: 0, commit }]);
    }
}

#[test]
fn a_refused_removal_removes_nothing_and_an_unanswered_one_may() {
    for (is_refused, expected) in [(true, 1), (false, 0)] {
        let said = violations(|groups| {
            commit(groups);
            let removal = groups.removal_asked(GROUP, Some(0));
            if is_refused {
                groups.removal_refused(removal);
            }
            tell(groups, Found::Nothing);
        });
        assert_eq!(said.len(), expected, "{said:?}");
    }
    let after = violations(|groups| {
        let removal = groups.removal_asked(GROUP, Some(0));
        groups.removal_settled(removal);
        commit(groups);
        tell(groups, Found::Nothing);
    });
    assert!(matches!(after[..], [Violation::CommitLost { .. }]), "too late to remove it: {after:?}");
}

/// Gives a member partitions in a generation.
fn give(groups: &mut GroupHistory, generation: i32, owner: &str, partitions: &[i32]) {
    let asked = groups.join_asked(GROUP);
    groups.joined(asked, generation);
    groups.owned(asked, generation, owner.to_owned(), partitions.to_vec());
}

#[test]
fn a_partition_has_one_owner_in_a_generation() {
    let said = violations(|groups| {
        give(groups, 1, "a", &[0, 1]);
        give(groups, 1, "a", &[0, 1]);
        give(groups, 2, "b", &[0, 1]);
    });
    assert_eq!(said, []);
    let two = violations(|groups| {
        give(groups, 1, "a", &[0, 1]);
        give(groups, 1, "b", &[1]);
    });
    let owners = ["a", "b"].map(str::to_owned);
    assert_eq!(two, [Violation::DoubleOwner { group: GROUP, generation: 1, partition: 1, owners }]);
    let changed = violations(|groups| {
        give(groups, 1, "a", &[0]);
        give(groups, 1, "a", &[1]);
    });
    assert!(matches!(changed[..], [Violation::ReassignedInGeneration { .. }]), "{changed:?}");
}

#[test]
fn a_generation_that_was_granted_is_never_gone_back_behind() {
    let back = violations(|groups| {
        give(groups, 4, "a", &[0]);
        give(groups, 3, "a", &[0]);
    });
    assert_eq!(back, [Violation::GenerationWentBack { group: GROUP, seen: 4, found: 3 }]);
    let announced = violations(|groups| {
        let asked = groups.join_asked(GROUP);
        groups.joined(asked, 4);
        give(groups, 3, "a", &[0]);
    });
    assert_eq!(announced, [], "what was only announced may be announced again");
}

#[test]
fn a_group_that_was_deleted_begins_anew_and_while_nobody_knows_nothing_is_judged() {
    let said = violations(|groups| {
        give(groups, 4, "a", &[0]);
        let removal = groups.removal_asked(GROUP, None);
        give(groups, 2, "a", &[0]);
        give(groups, 2, "b", &[0]);
        groups.removal_granted(removal);
        give(groups, 1, "a", &[0]);
    });
    assert_eq!(said, []);
}
