//! Members as unmodified clients behave: they join, sync, work, and do what an error tells them.

use std::time::Duration;

use ringlog_core::group::message::*;
use ringlog_core::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use ringlog_core::refusal::Refusal;

use crate::broker::Random;

pub const TOPIC: &str = "events";
pub const PARTITIONS: usize = 12;
pub const REBALANCE_SECONDS_MAX: u64 = 60;

/// What a client does or waits for.
#[derive(Clone, PartialEq, Debug)]
pub enum Doing {
    /// Its process is not running.
    Dead,
    /// Will join.
    Outside,
    /// Waits for an answer.
    Asking,
    /// Has a generation; will sync.
    Joined(Joined),
    /// Has an assignment.
    Working,
}

#[derive(Clone, Debug)]
pub struct Client {
    pub group: usize,
    pub name: String,
    pub instance: Option<InstanceId>,
    pub member: MemberId,
    pub generation: GroupGeneration,
    pub doing: Doing,
    /// What to go on with if an answer says nothing new.
    pub before: Doing,
    protocols: Vec<Protocol>,
    session_seconds: u64,
    rebalance_seconds: u64,
    version: i16,
}

impl Client {
    pub fn new(index: usize, group_count: usize, random: &mut Random) -> Client {
        let is_static = random.one_in(4);
        Client {
            group: random.below(group_count),
            name: format!("client-{index}"),
            instance: is_static.then(|| static_name(random)),
            member: "".into(),
            generation: GroupGeneration::NONE,
            doing: Doing::Dead,
            before: Doing::Dead,
            protocols: protocols(random),
            session_seconds: 6 + random.below(20) as u64,
            rebalance_seconds: 5 + random.below(REBALANCE_SECONDS_MAX as usize - 4) as u64,
            version: [2, 4, 9][random.below(3)],
        }
    }

    pub fn group_id(&self) -> GroupId {
        format!("group-{}", self.group).into()
    }

    /// A new process has forgotten its id; one that is only confused has not.
    pub fn start(&mut self) {
        self.member = "".into();
        self.generation = GroupGeneration::NONE;
        self.doing = Doing::Outside;
    }

    pub fn change_subscription(&mut self, random: &mut Random) {
        self.protocols = protocols(random);
    }

    pub fn join(&self) -> Request {
        Request::Join(Join {
            group: self.group_id(),
            member: self.member.clone(),
            instance: self.instance.clone(),
            client_id: self.name.as_str().into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: Duration::from_secs(self.session_seconds),
            rebalance_timeout: Duration::from_secs(self.rebalance_seconds),
            protocol_type: "consumer".into(),
            protocols: self.protocols.clone(),
            requires_known_member: self.version >= 4,
            supports_skipping_assignment: self.version >= 9,
            reason: None,
        })
    }

    /// A leader gives every partition to one member. The text tells the round, so that two of them can be
    /// told apart.
    pub fn sync(&self, joined: &Joined, round: u64) -> Request {
        let is_leader = joined.leader == self.member && !joined.skip_assignment;
        let members = if is_leader { &joined.members[..] } else { &[] };
        let mut shares = vec![Vec::new(); members.len()];
        for partition in 0..PARTITIONS {
            if !shares.is_empty() {
                let index = partition % shares.len();
                shares[index].push(partition.to_string());
            }
        }
        let assignments = members.iter().zip(shares).map(|(member, share)| {
            let text = format!("{round}/{}", share.join(","));
            (member.member.clone(), Opaque::from(text.as_bytes()))
        });
        Request::Sync(Sync {
            group: self.group_id(),
            member: self.member.clone(),
            instance: self.instance.clone(),
            generation: self.generation,
            protocol_type: Some(joined.protocol_type.clone()),
            protocol: Some(joined.protocol.clone()),
            assignments: assignments.collect(),
        })
    }

    pub fn heartbeat(&self) -> Request {
        Request::Heartbeat(Heartbeat {
            group: self.group_id(),
            member: self.member.clone(),
            instance: self.instance.clone(),
            generation: self.generation,
        })
    }

    pub fn leave(&self) -> Request {
        let leaving =
            LeavingMember { member: self.member.clone(), instance: self.instance.clone(), reason: None };
        Request::Leave(Leave { group: self.group_id(), members: vec![leaving] })
    }

    pub fn commit(&self, partition: usize, offset: i64) -> Request {
        Request::Commit(Commit {
            group: self.group_id(),
            member: self.member.clone(),
            instance: self.instance.clone(),
            generation: self.generation,
            retention: None,
            offsets: vec![CommitOffset {
                topic: TOPIC.into(),
                topic_id: TopicId([1; 16]),
                partition: PartitionIndex(partition as i32),
                offset: Offset(offset),
                leader_epoch: LeaderEpoch::UNKNOWN,
                metadata: "".into(),
            }],
        })
    }

    /// What an error makes of a client.
    pub fn refused(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::UnknownMember => self.start(),
            // Of members loaded from a log only the chosen assignor is known: others than that are refused.
            Refusal::FencedInstanceId
            | Refusal::InconsistentGroupProtocol
            | Refusal::GroupMaxSizeReached
            | Refusal::LimitReached { .. } => {
                self.doing = Doing::Dead;
            }
            Refusal::IllegalGeneration
            | Refusal::GroupIdNotFound
            | Refusal::RebalanceInProgress
            | Refusal::NotCoordinator
            | Refusal::CoordinatorNotAvailable => self.doing = Doing::Outside,
            other => panic!("{} does not expect {other:?}", self.name),
        }
    }
}

/// A static member's name. Several clients may have the same: they fence each other.
pub fn static_name(random: &mut Random) -> InstanceId {
    format!("box-{}", random.below(20)).into()
}

/// All know `range`; who knows what besides, and what it says, is chance.
fn protocols(random: &mut Random) -> Vec<Protocol> {
    let mut names = vec!["range"];
    for name in ["sticky", "cooperative"] {
        if random.one_in(2) {
            names.insert(random.below(names.len() + 1), name);
        }
    }
    let mut subscription = vec![0, 1, 0, 0, 0, 1, 0, TOPIC.len() as u8];
    subscription.extend(TOPIC.as_bytes());
    subscription.push(random.below(3) as u8);
    let metadata = Opaque::from(subscription);
    names.iter().map(|name| Protocol { name: (*name).into(), metadata: metadata.clone() }).collect()
}
