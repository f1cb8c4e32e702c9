//! What tools ask of groups: lists, descriptions, and that one goes.
//!
//! Always true: answers wait until what they tell is committed; a group with members is never deleted.

use std::sync::Arc;

use crate::group::classic_group::{Group, Phase};
use crate::group::message::{GroupDescription, GroupListing, GroupState, ListFilter, MemberId};
use crate::group::record::GroupRecord;
use crate::group::turn::Turn;
use crate::refusal::Refusal;

/// All groups here are of the classic protocol (KIP-848).
const TYPE: &str = "classic";

impl Group {
    /// The group and its members (G14).
    pub fn describe(&self) -> GroupDescription {
        let stable_protocol = self.protocol.as_deref().filter(|_| self.state() == GroupState::Stable);
        GroupDescription {
            state: self.state(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: stable_protocol.unwrap_or_default().into(),
            members: self.roster.members().map(|member| member.for_people(stable_protocol)).collect(),
        }
    }

    /// The group in a list, if the filter lets it through (G15).
    pub fn list(&self, filter: &ListFilter) -> Option<GroupListing> {
        let state = self.state();
        let lets_through = |names: &[Arc<str>], name: &str| {
            names.is_empty() || names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        if !lets_through(&filter.states, state.name()) || !lets_through(&filter.types, TYPE) {
            return None;
        }
        let protocol_type = self.protocol_type.clone().unwrap_or_default();
        Some(GroupListing { group: self.id.clone(), protocol_type, state })
    }

    /// Removes the group with all its offsets.
    pub fn delete(&mut self, turn: &mut Turn) -> Result<(), Refusal> {
        if self.phase != Phase::Empty {
            return Err(Refusal::NonEmptyGroup);
        }
        let offsets: Vec<_> =
            self.offsets.iter().map(|(topic, partition, _)| (topic.clone(), partition)).collect();
        for (topic, partition) in offsets {
            self.write_offset(&topic, partition, None, turn);
        }
        self.bury(turn);
        Ok(())
    }

    /// The end of an empty group without offsets. Who was given an id will be given another.
    pub fn bury(&mut self, turn: &mut Turn) {
        let pending: Vec<MemberId> = self.roster.pending().cloned().collect();
        for id in pending {
            self.remove_pending(&id, turn);
        }
        // Also of a group that only ever held offsets, as Kafka does: a reader of the topic learns that it is gone.
        self.write(GroupRecord::Group { group: self.id.clone(), value: None }, turn);
    }
}
