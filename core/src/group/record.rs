//! What a coordinator writes to `__consumer_offsets`, before it is bytes.
//!
//! ```text
//!   key: group, topic, partition   ->  the offset          (a null value takes it away)
//!   key: group                     ->  its generation      (a null value: the group is gone)
//! ```
//!
//! Always true: the latest record of a key is all that matters, so the topic may be compacted.

use std::time::Duration;

use crate::group::message::{GroupGeneration, GroupId, InstanceId, MemberId, Opaque};
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use crate::time::Timestamp;
use std::sync::Arc;

/// One change of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupRecord {
    /// An offset was committed, or taken away.
    Offset {
        /// Of which group.
        group: GroupId,
        /// Of which topic.
        topic: TopicName,
        /// Of which partition.
        partition: PartitionIndex,
        /// `None` takes it away.
        value: Option<CommittedOffset>,
    },
    /// A group changed, or is gone.
    Group {
        /// Which.
        group: GroupId,
        /// `None`: it is gone.
        value: Option<GroupMetadata>,
    },
}

/// `OffsetCommitValue`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch of the last record read, or unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// When the client wants it gone (OffsetCommit 2 to 4), if it says.
    pub expires_at: Option<Timestamp>,
    /// Of which topic of this name; unknown in records of older brokers, and of offsets that expire when the client says.
    pub topic_id: Option<TopicId>,
}

/// `GroupMetadataValue`: a generation as it was agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMetadata {
    /// `consumer`, `connect` and so on.
    pub protocol_type: Arc<str>,
    /// Which generation.
    pub generation: GroupGeneration,
    /// The assignor; `None` for an empty group.
    pub protocol: Option<Arc<str>>,
    /// Who assigns; `None` for an empty group.
    pub leader: Option<MemberId>,
    /// Since when the group is in this state.
    pub state_since: Timestamp,
    /// Who is in it.
    pub members: Vec<GroupMemberMetadata>,
}

/// A member of a written generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupMemberMetadata {
    /// Its id.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it was.
    pub client_host: Arc<str>,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// What it told the chosen assignor.
    pub subscription: Opaque,
    /// What it was given.
    pub assignment: Opaque,
}
