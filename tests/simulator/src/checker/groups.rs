//! What must hold of groups: whom partitions belong to, in which generation.

use std::collections::BTreeMap;

use super::Violation;
use crate::group_history::{Owned, WentBack};
use crate::history::History;

/// A partition has one owner in a generation, an owner one assignment; generations of a life only grow; every group comes
/// to rest.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let groups = &history.groups;
    let mut owners = BTreeMap::new();
    let mut assigned = BTreeMap::new();
    for owned in groups.assignments() {
        let Owned { group, life, generation, owner, partitions } = owned;
        let (group, generation) = (*group, *generation);
        let earlier = assigned.insert((group, *life, generation, owner), partitions);
        if earlier.is_some_and(|earlier| earlier != partitions) {
            violations.push(Violation::ReassignedInGeneration { group, generation, owner: owner.clone() });
        }
        for partition in partitions {
            let first = *owners.entry((group, *life, generation, *partition)).or_insert(owner);
            if first != owner {
                let (partition, owners) = (*partition, [first.clone(), owner.clone()]);
                violations.push(Violation::DoubleOwner { group, generation, partition, owners });
            }
        }
    }
    for WentBack { group, seen, found } in groups.went_back().iter().copied() {
        violations.push(Violation::GenerationWentBack { group, seen, found });
    }
    for (group, members) in groups.unsettled() {
        violations.push(Violation::NotSettled { group: *group, members: members.clone() });
    }
}
