//! What is asked of a group coordinator, and what it answers. Names and bytes are counted pointers: a message
//! crosses shards, and one member's bytes go to many answers.
//!
//! ```text
//!   Request ──► GroupCoordinator ──► Answer of the same name
//! ```
//!
//! Always true: [`Request::refused`] and [`Answer::refused`] give the answer of the same kind which says no.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicName};
use crate::refusal::Refusal;

/// A group's name, `group.id`.
pub type GroupId = Arc<str>;
/// A member's name: the coordinator gives it, or an older client made it.
pub type MemberId = Arc<str>;
/// A static member's own name, `group.instance.id` (KIP-345).
pub type InstanceId = Arc<str>;
/// Bytes that only clients understand: subscriptions and assignments are never parsed to be passed on (KIP-429).
pub type Opaque = Arc<[u8]>;

/// How often a group has completed the join phase; -1 means "not in a generation".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct GroupGeneration(pub i32);

impl GroupGeneration {
    /// A consumer that only commits, without being a member.
    pub const NONE: GroupGeneration = GroupGeneration(-1);
}

/// A question to a coordinator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Leave),
    /// OffsetCommit.
    Commit(Commit),
    /// OffsetFetch of one group.
    FetchOffsets(FetchOffsets),
    /// OffsetDelete (KIP-496).
    DeleteOffsets(DeleteOffsets),
    /// DescribeGroups of one group.
    Describe(GroupId),
    /// ListGroups: of the groups this coordinator has.
    List(ListFilter),
    /// DeleteGroups of one group.
    DeleteGroup(GroupId),
    /// A topic is gone: its offsets go too, and those of the same name whose topic is not known, not those of a topic that was
    /// made anew under the name. Nobody waits for the answer.
    TopicDeleted(TopicName, Option<TopicId>),
}

/// An answer to the request of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Request::Join`].
    Join(JoinAnswer),
    /// To [`Request::Sync`].
    Sync(Result<Synced, Refusal>),
    /// To [`Request::Heartbeat`].
    Heartbeat(Result<(), Refusal>),
    /// To [`Request::Leave`]: one result a member, in the order asked.
    Leave(Result<Vec<LeftMember>, Refusal>),
    /// To [`Request::Commit`]: one result a partition, in the order asked.
    Commit(Vec<Result<(), Refusal>>),
    /// To [`Request::FetchOffsets`].
    FetchOffsets(Result<Vec<FetchedOffset>, Refusal>),
    /// To [`Request::DeleteOffsets`]: the group's error, else one result a partition, in the order asked.
    DeleteOffsets(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// To [`Request::Describe`]. A group that is not there is [`Refusal::GroupIdNotFound`], whatever the version.
    Describe(Result<GroupDescription, Refusal>),
    /// To [`Request::List`].
    List(Result<Vec<GroupListing>, Refusal>),
    /// To [`Request::DeleteGroup`].
    DeleteGroup(Result<(), Refusal>),
    /// To [`Request::TopicDeleted`].
    TopicDeleted,
}

/// Joins a group, or joins it again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// Which group.
    pub group: GroupId,
    /// Empty for a member that has no id yet.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// `client.id`, for a new member's id and for descriptions.
    pub client_id: Arc<str>,
    /// Where the client is, in Java's form: `/127.0.0.1`.
    pub client_host: Arc<str>,
    /// Without a heartbeat for this long the member is out.
    pub session_timeout: Duration,
    /// How long a rebalance waits for the member to join again; version 0 has none and means the session timeout.
    pub rebalance_timeout: Duration,
    /// `consumer`, `connect` and so on.
    pub protocol_type: Arc<str>,
    /// Assignors the member knows, best first, and what it tells each.
    pub protocols: Vec<Protocol>,
    /// Version 4 and later: an unknown member is first given an id and must join again with it (KIP-394).
    pub requires_known_member: bool,
    /// Version 9 and later: the leader may be told to skip the assignment (KIP-814).
    pub supports_skipping_assignment: bool,
    /// Why, for the log (KIP-800).
    pub reason: Option<Arc<str>>,
}

/// An assignor and what a member tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    /// Its name.
    pub name: Arc<str>,
    /// The member's subscription, opaque.
    pub metadata: Opaque,
}

/// What came of a join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinAnswer {
    /// The member's id: as given, or the new one, also with [`Refusal::MemberIdRequired`].
    pub member: MemberId,
    /// The generation, or why not.
    pub outcome: Result<Joined, Refusal>,
}

/// A member of a new generation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// Which.
    pub generation: GroupGeneration,
    /// What kind of group.
    pub protocol_type: Arc<str>,
    /// The assignor chosen.
    pub protocol: Arc<str>,
    /// Who assigns.
    pub leader: MemberId,
    /// A leader that came back and need not assign (KIP-814).
    pub skip_assignment: bool,
    /// For the leader: everybody; for others: nobody.
    pub members: Vec<MemberMetadata>,
}

/// A member, as its leader sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberMetadata {
    /// Who.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// What it told the chosen assignor.
    pub metadata: Opaque,
}

/// Gives, as the leader, and takes, as a member, an assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sync {
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// The generation the member believes current.
    pub generation: GroupGeneration,
    /// Version 5 and later (KIP-559); checked if given.
    pub protocol_type: Option<Arc<str>>,
    /// Version 5 and later (KIP-559); checked if given.
    pub protocol: Option<Arc<str>>,
    /// From the leader: what each member shall do; from others nothing.
    pub assignments: Vec<(MemberId, Opaque)>,
}

/// A member's assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Synced {
    /// What kind of group.
    pub protocol_type: Arc<str>,
    /// The assignor that made it.
    pub protocol: Arc<str>,
    /// The assignment, opaque.
    pub assignment: Opaque,
}

/// A member is alive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// The generation the member believes current.
    pub generation: GroupGeneration,
}

/// Members leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leave {
    /// Which group.
    pub group: GroupId,
    /// Who; one before version 3.
    pub members: Vec<LeavingMember>,
}

/// Who leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeavingMember {
    /// Its id; empty for a static member removed by its own name.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// Why, for the log (KIP-800).
    pub reason: Option<Arc<str>>,
}

/// What came of one member's leaving.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftMember {
    /// As asked.
    pub member: MemberId,
    /// As asked.
    pub instance: Option<InstanceId>,
    /// Whether it left.
    pub result: Result<(), Refusal>,
}

/// Stores how far a group has read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// Which group.
    pub group: GroupId,
    /// Who; empty for a consumer without membership.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// The member's generation, or [`GroupGeneration::NONE`].
    pub generation: GroupGeneration,
    /// How long to keep them, where the client says (versions 2 to 4).
    pub retention: Option<Duration>,
    /// Partitions that exist; the caller has refused others.
    pub offsets: Vec<CommitOffset>,
}

/// How far one partition was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitOffset {
    /// Which topic.
    pub topic: TopicName,
    /// Which topic of this name.
    pub topic_id: TopicId,
    /// Which partition of it.
    pub partition: PartitionIndex,
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch of the last record read, if the client says (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// The client's own text; null becomes empty.
    pub metadata: Arc<str>,
}

/// Asks how far a group has read. Anybody may: the member and its epoch, which version 9 and later give, are checked for the
/// newer kind of group alone (KIP-848).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchOffsets {
    /// Which group.
    pub group: GroupId,
    /// Which partitions; `None` for all that have an offset.
    pub partitions: Option<Vec<(TopicName, PartitionIndex)>>,
    /// How many offsets may be told: more are refused before any is copied.
    pub count_max: usize,
    /// Refuse what a transaction may yet change (KIP-447); without transactions nothing is.
    pub require_stable: bool,
}

/// How far one partition was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchedOffset {
    /// Which topic.
    pub topic: TopicName,
    /// Which partition of it.
    pub partition: PartitionIndex,
    /// `None` where nothing is stored: no error.
    pub stored: Option<StoredOffset>,
}

/// A committed offset as clients read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The epoch of the last record read, or unknown.
    pub leader_epoch: LeaderEpoch,
    /// The client's own text.
    pub metadata: Arc<str>,
}

/// Removes some of a group's offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteOffsets {
    /// Which group.
    pub group: GroupId,
    /// Which partitions.
    pub partitions: Vec<(TopicName, PartitionIndex)>,
}

/// A group with its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupDescription {
    /// What it is doing.
    pub state: GroupState,
    /// `consumer`, `connect` and so on; empty where it only holds offsets.
    pub protocol_type: Arc<str>,
    /// The assignor of a stable group, else empty.
    pub protocol: Arc<str>,
    /// Who is in it.
    pub members: Vec<MemberDescription>,
}

/// A member, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberDescription {
    /// Its id.
    pub member: MemberId,
    /// A static member's own name.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// What it told the assignor; empty unless the group is stable.
    pub metadata: Opaque,
    /// What it was given.
    pub assignment: Opaque,
}

/// Which groups to list; empty lists match all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListFilter {
    /// States by name, in any case (KIP-518).
    pub states: Vec<Arc<str>>,
    /// Types by name, in any case; these are all `classic` (KIP-848).
    pub types: Vec<Arc<str>>,
}

/// A group in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupListing {
    /// Its name.
    pub group: GroupId,
    /// `consumer`, `connect` and so on; empty where it only holds offsets.
    pub protocol_type: Arc<str>,
    /// What it is doing.
    pub state: GroupState,
}

/// What a group is doing or waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GroupState {
    /// It has no members; it may have offsets.
    Empty,
    /// Members are to join again.
    PreparingRebalance,
    /// The leader's assignment is awaited.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// It is gone.
    Dead,
}

impl GroupState {
    /// The name Kafka's tools print.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

impl Request {
    /// The answer which says no to all of this request.
    pub fn refused(&self, refusal: &Refusal) -> Answer {
        let no = || refusal.clone();
        match self {
            Request::Join(join) => {
                Answer::Join(JoinAnswer { member: join.member.clone(), outcome: Err(no()) })
            }
            Request::Sync(_) => Answer::Sync(Err(no())),
            Request::Heartbeat(_) => Answer::Heartbeat(Err(no())),
            Request::Leave(_) => Answer::Leave(Err(no())),
            Request::Commit(commit) => Answer::Commit(vec![Err(no()); commit.offsets.len()]),
            Request::FetchOffsets(_) => Answer::FetchOffsets(Err(no())),
            Request::DeleteOffsets(_) => Answer::DeleteOffsets(Err(no())),
            Request::Describe(_) => Answer::Describe(Err(no())),
            Request::List(_) => Answer::List(Err(no())),
            Request::DeleteGroup(_) => Answer::DeleteGroup(Err(no())),
            Request::TopicDeleted(..) => Answer::TopicDeleted,
        }
    }
}

impl Answer {
    /// The answer which says no instead of this one, whose records never became durable.
    pub fn refused(&self, refusal: &Refusal) -> Answer {
        let no = || refusal.clone();
        match self {
            Answer::Join(answer) => {
                Answer::Join(JoinAnswer { member: answer.member.clone(), outcome: Err(no()) })
            }
            Answer::Sync(_) => Answer::Sync(Err(no())),
            Answer::Heartbeat(_) => Answer::Heartbeat(Err(no())),
            Answer::Leave(_) => Answer::Leave(Err(no())),
            Answer::Commit(results) => Answer::Commit(vec![Err(no()); results.len()]),
            Answer::FetchOffsets(_) => Answer::FetchOffsets(Err(no())),
            Answer::DeleteOffsets(_) => Answer::DeleteOffsets(Err(no())),
            Answer::Describe(_) => Answer::Describe(Err(no())),
            Answer::List(_) => Answer::List(Err(no())),
            Answer::DeleteGroup(_) => Answer::DeleteGroup(Err(no())),
            Answer::TopicDeleted => Answer::TopicDeleted,
        }
    }
}
