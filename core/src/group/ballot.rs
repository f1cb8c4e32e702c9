//! Which assignor a group uses: one that all members know, by vote.
//!
//! ```text
//!   a: cooperative, range        b: range, cooperative        c: range
//!   known to all: range  ──►  every member votes for the best it knows of these  ──►  range
//! ```
//!
//! Always true: `support` counts for each name how many members know it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::group::member::Member;
use crate::group::message::Protocol;

/// How many members know each assignor.
#[derive(Clone, Debug, Default)]
pub(super) struct Ballot {
    support: BTreeMap<Arc<str>, usize>,
}

impl Ballot {
    /// Counts somebody's assignors.
    pub fn add(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            *self.support.entry(protocol.name.clone()).or_default() += 1;
        }
    }

    /// Takes somebody's assignors out of the count.
    pub fn remove(&mut self, protocols: &[Protocol]) {
        for protocol in protocols {
            if let Some(count) = self.support.get_mut(&protocol.name) {
                *count -= 1;
                if *count == 0 {
                    self.support.remove(&protocol.name);
                }
            }
        }
    }

    /// Whether one of these is known to all `member_count` members.
    pub fn has_one_known_to_all(&self, protocols: &[Protocol], member_count: usize) -> bool {
        protocols.iter().any(|protocol| self.is_known_to_all(&protocol.name, member_count))
    }

    /// The assignor with most votes. Among equals the leader's best wins, which is the one that has to run it.
    pub fn choose<'a>(
        &self,
        leader: Option<&Member>,
        members: impl ExactSizeIterator<Item = &'a Member>,
    ) -> Option<Arc<str>> {
        let member_count = members.len();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in members {
            if let Some(best) = self.best_known_to_all(member, member_count) {
                *votes.entry(best).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        let is_first = |name: &str| votes.get(name) == Some(most);
        let of_leader = leader.and_then(|leader| leader.protocols.iter().find(|known| is_first(&known.name)));
        match of_leader {
            Some(protocol) => Some(protocol.name.clone()),
            None => votes.keys().find(|name| is_first(name)).map(|name| Arc::from(*name)),
        }
    }

    fn best_known_to_all<'a>(&self, member: &'a Member, member_count: usize) -> Option<&'a str> {
        let mut names = member.protocols.iter().map(|protocol| &*protocol.name);
        names.find(|name| self.is_known_to_all(name, member_count))
    }

    fn is_known_to_all(&self, name: &str, member_count: usize) -> bool {
        self.support.get(name).copied().unwrap_or(0) == member_count
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::group::message::{Join, Opaque};

    fn member(id: &str, names: &[&str]) -> Member {
        let protocol = |name: &&str| Protocol { name: (*name).into(), metadata: Opaque::default() };
        let join = Join {
            group: "group".into(),
            member: id.into(),
            instance: None,
            client_id: id.into(),
            client_host: "".into(),
            session_timeout: Duration::ZERO,
            rebalance_timeout: Duration::ZERO,
            protocol_type: "consumer".into(),
            protocols: names.iter().map(protocol).collect(),
            requires_known_member: false,
            supports_skipping_assignment: false,
            reason: None,
        };
        Member::joining(id.into(), &join)
    }

    fn chosen(members: &[Member], leader: usize) -> Option<Arc<str>> {
        let mut ballot = Ballot::default();
        members.iter().for_each(|member| ballot.add(&member.protocols));
        ballot.choose(Some(&members[leader]), members.iter())
    }

    #[test]
    fn g5_every_member_votes_for_the_best_it_knows_of_those_known_to_all() {
        let members = [
            member("a", &["cooperative", "range", "sticky"]),
            member("b", &["sticky", "range"]),
            member("c", &["sticky", "range"]),
        ];
        assert_eq!(chosen(&members, 0).as_deref(), Some("sticky"));
    }

    #[test]
    fn g5_among_equals_the_leaders_best_wins() {
        let members = [member("a", &["range", "sticky"]), member("b", &["sticky", "range"])];
        assert_eq!(chosen(&members, 0).as_deref(), Some("range"));
        assert_eq!(chosen(&members, 1).as_deref(), Some("sticky"));
    }

    #[test]
    fn g5_who_names_an_assignor_twice_is_counted_once() {
        let members = [member("a", &["range", "range"]), member("b", &["sticky"])];
        assert_eq!(chosen(&members, 0), None);
    }

    #[test]
    fn who_goes_no_longer_stands_in_the_way_of_the_others() {
        let mut ballot = Ballot::default();
        let [old, new] = [member("old", &["range"]), member("new", &["sticky", "range"])];
        ballot.add(&old.protocols);
        ballot.add(&new.protocols);
        assert!(!ballot.has_one_known_to_all(&new.protocols[..1], 2));
        ballot.remove(&old.protocols);
        assert!(ballot.has_one_known_to_all(&new.protocols[..1], 1));
    }
}
