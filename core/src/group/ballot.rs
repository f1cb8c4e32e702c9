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
