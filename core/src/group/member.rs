//! A member of a group, as the living coordinator knows it.

use std::sync::Arc;
use std::time::Duration;

use crate::group::decision::GroupTicket;
use crate::group::message::{
    Answer, InstanceId, Join, JoinAnswer, MemberDescription, MemberId, MemberMetadata, Opaque, Protocol,
};
use crate::group::record::GroupMemberMetadata;
use crate::refusal::Refusal;

/// Characters of a UUID and of the dash before it, in an id that a coordinator gives.
pub(super) const ID_SUFFIX_BYTES: usize = 37;

/// Who is in a group.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Its id.
    pub id: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Assignors it knows, best first, each named once.
    pub protocols: Vec<Protocol>,
    /// What it was given.
    pub assignment: Opaque,
    /// Which request of it waits for others.
    pub waiting: Option<Waiting>,
    /// Whether its first join is not answered yet: it cannot send heartbeats, so its first deadline is final.
    pub is_new: bool,
}

/// A request which waits for what others do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiting {
    /// For all members to join.
    Join(GroupTicket),
    /// For the leader's assignment.
    Sync(GroupTicket),
}

impl Waiting {
    /// The ticket, and the answer that says no.
    pub fn refused(self, member: &MemberId, refusal: Refusal) -> (GroupTicket, Answer) {
        match self {
            Waiting::Join(ticket) => {
                (ticket, Answer::Join(JoinAnswer { member: member.clone(), outcome: Err(refusal) }))
            }
            Waiting::Sync(ticket) => (ticket, Answer::Sync(Err(refusal))),
        }
    }
}

impl Member {
    /// Somebody who joins under this id.
    pub fn joining(id: MemberId, join: &Join) -> Member {
        Member {
            id,
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            rebalance_timeout: join.rebalance_timeout,
            session_timeout: join.session_timeout,
            protocols: named_once(&join.protocols),
            assignment: Opaque::default(),
            waiting: None,
            is_new: true,
        }
    }

    /// Somebody of a written generation. Of its assignors only the chosen one was written.
    pub fn written(written: &GroupMemberMetadata, protocol: &Arc<str>) -> Member {
        Member {
            id: written.member.clone(),
            instance: written.instance.clone(),
            client_id: written.client_id.clone(),
            client_host: written.client_host.clone(),
            rebalance_timeout: written.rebalance_timeout,
            session_timeout: written.session_timeout,
            protocols: vec![Protocol { name: protocol.clone(), metadata: written.subscription.clone() }],
            assignment: written.assignment.clone(),
            waiting: None,
            is_new: false,
        }
    }

    /// Whether it waits for all to join.
    pub fn is_joining(&self) -> bool {
        matches!(self.waiting, Some(Waiting::Join(_)))
    }

    /// Whether a join brings nothing new.
    pub fn knows_the_same(&self, protocols: &[Protocol]) -> bool {
        self.protocols == named_once(protocols)
    }

    /// What it told an assignor; empty if it does not know it.
    pub fn subscription(&self, protocol: &str) -> Opaque {
        let known = self.protocols.iter().find(|known| &*known.name == protocol);
        known.map(|known| known.metadata.clone()).unwrap_or_default()
    }

    /// As its leader sees it.
    pub fn for_leader(&self, protocol: &str) -> MemberMetadata {
        MemberMetadata {
            member: self.id.clone(),
            instance: self.instance.clone(),
            metadata: self.subscription(protocol),
        }
    }

    /// As it is written.
    pub fn for_record(&self, protocol: &str) -> GroupMemberMetadata {
        GroupMemberMetadata {
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            subscription: self.subscription(protocol),
            assignment: self.assignment.clone(),
        }
    }

    /// As people see it; what it told the assignor is shown of a stable group only.
    pub fn for_people(&self, stable_protocol: Option<&str>) -> MemberDescription {
        MemberDescription {
            member: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: stable_protocol.map(|protocol| self.subscription(protocol)).unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }

    /// Bytes that clients chose of somebody who joins, at most.
    pub fn joining_bytes(join: &Join) -> usize {
        let name = join.instance.as_ref().map_or(0, |instance| instance.len());
        let id = join.member.len().max(name.max(join.client_id.len()) + ID_SUFFIX_BYTES);
        id + name + join.client_id.len() + join.client_host.len() + protocols_bytes(&join.protocols)
    }

    /// Bytes of it that clients chose.
    pub fn bytes(&self) -> usize {
        let names = self.id.len() + self.instance.as_ref().map_or(0, |instance| instance.len());
        let client = self.client_id.len() + self.client_host.len();
        names + client + protocols_bytes(&self.protocols) + self.assignment.len()
    }
}

/// Bytes of what a member tells its assignors.
pub(super) fn protocols_bytes(protocols: &[Protocol]) -> usize {
    protocols.iter().map(|protocol| protocol.name.len() + protocol.metadata.len()).sum()
}

/// An assignor named twice has one vote, and the first text counts.
fn named_once(protocols: &[Protocol]) -> Vec<Protocol> {
    let mut known: Vec<Protocol> = Vec::with_capacity(protocols.len());
    for protocol in protocols {
        if !known.iter().any(|other| other.name == protocol.name) {
            known.push(protocol.clone());
        }
    }
    known
}
