//! Every reason the broker has for saying no to a client, and the one place where a reason becomes a code of
//! Kafka's.
//!
//! ```text
//! machines, handlers ──► Refusal (why, with data) ──error_code_for──► ErrorCode
//!                              │                                        │ error_code_at: W15, what a
//!                              └─ Display: the response's error_message ▼ version of an API can express
//! ```
//!
//! Always true: [`error_code_for`] has an arm for each reason and no wildcard, so a new reason cannot get a
//! code by accident. What the codes mean to a client's retry logic decides which one a reason gets.

use std::borrow::Cow;
use std::fmt;

use crate::error_code::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Offset, ProducerEpoch};
use crate::producer_state::ProducerRefusal;
use crate::record_batch::{BatchFault, FaultKind, RecordError};

/// Why the broker does not do what a client asked, from the client's point of view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The API exists; this version of it is not served.
    UnsupportedVersion {
        /// What is not supported, in words.
        reason: Cow<'static, str>,
    },
    /// The request can be read and contradicts itself or the protocol.
    InvalidRequest {
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// No topic of this name, or no such partition of it.
    UnknownTopicOrPartition,
    /// No topic of this id (KIP-516).
    UnknownTopicId,
    /// The log in place belongs to another topic id than the metadata says.
    InconsistentTopicId,
    /// The name breaks a rule for topic names, or means the same file as another topic's.
    InvalidTopicName {
        /// Which rule.
        reason: String,
    },
    /// Clients may not do this to an internal topic.
    InternalTopic,
    /// CreateTopics of a name in use.
    TopicAlreadyExists {
        /// The name.
        name: String,
    },
    /// The number of partitions is impossible or beyond a limit.
    InvalidPartitions {
        /// What is wrong with it.
        reason: String,
    },
    /// The replication factor is impossible or more than there are brokers.
    InvalidReplicationFactor {
        /// What is wrong with it.
        reason: String,
    },
    /// The manual assignment of replicas is impossible.
    InvalidReplicaAssignment {
        /// What is wrong with it.
        reason: String,
    },
    /// A configuration key or value is unknown or out of range.
    InvalidConfig {
        /// Which, and what would be right.
        reason: String,
    },
    /// The leader is already the one that an election would choose (KIP-460).
    ElectionNotNeeded,
    /// The preferred leader cannot lead now (KIP-460).
    PreferredLeaderNotAvailable,
    /// No replica can lead now, not even one that may miss records (KIP-460).
    EligibleLeadersNotAvailable,
    /// There is no reassignment to cancel (KIP-455).
    NoReassignmentInProgress,
    /// A bound of this broker (see [`limits`](crate::limits)) forbids it; the text names the bound.
    LimitReached {
        /// Which bound, and its value.
        reason: String,
    },
    /// Deleting topics is switched off.
    TopicDeletionDisabled,
    /// DeleteRecords of a topic that is compacted and nothing else (KIP-107).
    RecordsOnlyCompacted,
    /// Another broker, or nobody known, leads the partition.
    NotLeader {
        /// The leader, where one is known.
        leader: Option<BrokerId>,
        /// The leader's epoch.
        leader_epoch: LeaderEpoch,
    },
    /// The partition has no leader now.
    LeaderNotAvailable,
    /// The client's leader epoch is older than ours (KIP-320).
    FencedLeaderEpoch {
        /// The client's.
        requested: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// The client's leader epoch is newer than ours (KIP-320).
    UnknownLeaderEpoch {
        /// The client's.
        requested: LeaderEpoch,
        /// Ours.
        current: LeaderEpoch,
    },
    /// A new leader does not know yet up to where its log is committed (KIP-207).
    OffsetNotAvailable,
    /// The offset is not in the log.
    OffsetOutOfRange {
        /// What was asked for.
        offset: Offset,
        /// The first offset there is.
        log_start_offset: Offset,
        /// The first offset that is not there yet.
        log_end_offset: Offset,
    },
    /// Produce with acks other than -1, 0, 1.
    InvalidRequiredAcks {
        /// What was asked for.
        acks: i16,
    },
    /// Too few replicas in sync before the append: nothing was written.
    NotEnoughReplicas {
        /// In sync now.
        in_sync: usize,
        /// `min.insync.replicas`.
        required: usize,
    },
    /// Too few replicas in sync after the append: the data stays.
    NotEnoughReplicasAfterAppend,
    /// Not done in the time the client gave; it may be done later.
    RequestTimedOut,
    /// The batch itself is wrong.
    Batch(BatchFault),
    /// The partition's topic uses a codec the request's version cannot carry (KIP-110).
    UnsupportedCompression {
        /// Which.
        reason: Cow<'static, str>,
    },
    /// The producer's sequence does not continue its last batch.
    OutOfOrderSequence {
        /// The sequence that would continue.
        expected: i32,
        /// The one given.
        found: i32,
    },
    /// The producer's epoch is older than the newest one seen.
    InvalidProducerEpoch {
        /// The newest one seen.
        current: ProducerEpoch,
        /// The one given.
        found: ProducerEpoch,
    },
    /// A newer producer with the same transactional id took over.
    ProducerFenced,
    /// The operation does not fit the transaction's state.
    InvalidTransactionState {
        /// Why not.
        reason: Cow<'static, str>,
    },
    /// This broker does not run transactions.
    TransactionsUnavailable,
    /// The partition that holds the group has no leader yet, or its coordinator cannot write.
    CoordinatorNotAvailable,
    /// The coordinator still reads the group's records.
    CoordinatorLoading,
    /// This broker does not coordinate the group.
    NotCoordinator,
    /// The group's name is empty or otherwise impossible.
    InvalidGroupId,
    /// No group of this name.
    GroupIdNotFound,
    /// No member of this id.
    UnknownMember,
    /// A first join: the answer has an id to join again with (KIP-394).
    MemberIdRequired,
    /// The member's generation is not the current one.
    IllegalGeneration,
    /// The group is between two generations; the member is to join again.
    RebalanceInProgress,
    /// The member and its group have no protocol type or assignor in common.
    InconsistentGroupProtocol,
    /// A session timeout outside what the operator allows.
    InvalidSessionTimeout,
    /// The group has as many members as it may (KIP-389).
    GroupMaxSizeReached,
    /// Another member took over this static member's name (KIP-345).
    FencedInstanceId,
    /// The group has members.
    NonEmptyGroup,
    /// A member of the group reads the topic (KIP-496).
    GroupSubscribedToTopic,
    /// The text with a committed offset is too long.
    OffsetMetadataTooLarge {
        /// Most bytes of it.
        bytes_max: usize,
    },
    /// No fetch session of this id: it was evicted, or never existed (KIP-227).
    FetchSessionIdNotFound,
    /// A fetch session's request is out of turn (KIP-227).
    InvalidFetchSessionEpoch {
        /// The epoch whose turn it is.
        expected: i32,
        /// The one given.
        found: i32,
    },
    /// A fetch session made with topic ids was used with names, or the other way round.
    FetchSessionTopicIdMixed,
    /// DescribeConfigs and the like of something that is not there.
    ResourceNotFound {
        /// What.
        resource: String,
    },
    /// The disk of the partition failed; the log is fenced.
    Storage,
    /// The records asked for are damaged on disk; those before and behind them are served.
    DamagedRecords,
    /// The disk has too little room for more records; it may have more soon.
    DiskFull,
    /// The broker has no memory or queue space for this now; nothing was done.
    Overloaded,
    /// The broker is stopping; nothing was done.
    ShuttingDown,
    /// A broker's request for which it is not registered.
    BrokerNotRegistered {
        /// The broker.
        broker: BrokerId,
    },
    /// A broker's request of an earlier registration.
    StaleBrokerEpoch {
        /// The registration's epoch now.
        current: i64,
        /// The one given.
        found: i64,
    },
    /// The broker is registered, alive, as another incarnation.
    DuplicateBrokerRegistration {
        /// The broker.
        broker: BrokerId,
    },
    /// The request is meant for another cluster.
    InconsistentClusterId,
    /// A DescribeCluster for controllers asked a broker, or the other way round (KIP-919).
    MismatchedEndpointType,
    /// DescribeCluster of an endpoint type this broker does not have.
    UnsupportedEndpointType,
    /// Something that should not happen, did; the broker's log has the details.
    Unexpected {
        /// What a client may know about it.
        reason: Cow<'static, str>,
    },
}

impl Refusal {
    /// The records at fault, where single ones are (for `record_errors` of Produce 8 and later).
    pub fn record_errors(&self) -> &[RecordError] {
        match self {
            Refusal::Batch(fault) => fault.record_errors(),
            _ => &[],
        }
    }

    /// An [`Refusal::InvalidRequest`] with a fixed reason.
    pub const fn invalid_request(reason: &'static str) -> Refusal {
        Refusal::InvalidRequest { reason: Cow::Borrowed(reason) }
    }
}

/// The code of a reason, for the newest version of an API; older ones see [`error_code_at`].
pub fn error_code_for(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::UnsupportedVersion { .. } => ErrorCode::UnsupportedVersion,
        Refusal::InvalidRequest { .. } => ErrorCode::InvalidRequest,
        Refusal::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        Refusal::UnknownTopicId => ErrorCode::UnknownTopicId,
        Refusal::InconsistentTopicId => ErrorCode::InconsistentTopicId,
        Refusal::InvalidTopicName { .. } => ErrorCode::InvalidTopicException,
        Refusal::InternalTopic => ErrorCode::InvalidTopicException,
        Refusal::TopicAlreadyExists { .. } => ErrorCode::TopicAlreadyExists,
        Refusal::InvalidPartitions { .. } => ErrorCode::InvalidPartitions,
        Refusal::InvalidReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
        Refusal::InvalidReplicaAssignment { .. } => ErrorCode::InvalidReplicaAssignment,
        Refusal::InvalidConfig { .. } => ErrorCode::InvalidConfig,
        Refusal::LimitReached { .. } => ErrorCode::PolicyViolation,
        Refusal::TopicDeletionDisabled => ErrorCode::TopicDeletionDisabled,
        Refusal::RecordsOnlyCompacted => ErrorCode::PolicyViolation,
        Refusal::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
        Refusal::PreferredLeaderNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
        Refusal::EligibleLeadersNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
        Refusal::NoReassignmentInProgress => ErrorCode::NoReassignmentInProgress,
        Refusal::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
        Refusal::LeaderNotAvailable => ErrorCode::LeaderNotAvailable,
        Refusal::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        Refusal::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        Refusal::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
        Refusal::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        Refusal::InvalidRequiredAcks { .. } => ErrorCode::InvalidRequiredAcks,
        Refusal::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        Refusal::NotEnoughReplicasAfterAppend => ErrorCode::NotEnoughReplicasAfterAppend,
        Refusal::RequestTimedOut => ErrorCode::RequestTimedOut,
        Refusal::Batch(fault) => error_code_for_batch(fault.kind()),
        Refusal::UnsupportedCompression { .. } => ErrorCode::UnsupportedCompressionType,
        Refusal::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        Refusal::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        Refusal::ProducerFenced => ErrorCode::ProducerFenced,
        Refusal::InvalidTransactionState { .. } => ErrorCode::InvalidTxnState,
        // Final in every client: one that is told "try later" would do so for ever.
        Refusal::TransactionsUnavailable => ErrorCode::UnsupportedVersion,
        Refusal::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        Refusal::CoordinatorLoading => ErrorCode::CoordinatorLoadInProgress,
        Refusal::NotCoordinator => ErrorCode::NotCoordinator,
        Refusal::InvalidGroupId => ErrorCode::InvalidGroupId,
        Refusal::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        Refusal::UnknownMember => ErrorCode::UnknownMemberId,
        Refusal::MemberIdRequired => ErrorCode::MemberIdRequired,
        Refusal::IllegalGeneration => ErrorCode::IllegalGeneration,
        Refusal::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        Refusal::InconsistentGroupProtocol => ErrorCode::InconsistentGroupProtocol,
        Refusal::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        Refusal::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
        Refusal::FencedInstanceId => ErrorCode::FencedInstanceId,
        Refusal::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        Refusal::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        Refusal::OffsetMetadataTooLarge { .. } => ErrorCode::OffsetMetadataTooLarge,
        Refusal::FetchSessionIdNotFound => ErrorCode::FetchSessionIdNotFound,
        Refusal::InvalidFetchSessionEpoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
        Refusal::FetchSessionTopicIdMixed => ErrorCode::FetchSessionTopicIdError,
        Refusal::ResourceNotFound { .. } => ErrorCode::ResourceNotFound,
        Refusal::Storage | Refusal::DiskFull => ErrorCode::KafkaStorageError,
        // Clients tell their users, with the offset; after a storage error they would ask again for ever.
        Refusal::DamagedRecords => ErrorCode::CorruptMessage,
        // Retriable, and producers repeat the same batch under the same sequence number.
        Refusal::Overloaded => ErrorCode::RequestTimedOut,
        // Retriable, and makes clients ask who leads now.
        Refusal::ShuttingDown => ErrorCode::NotLeaderOrFollower,
        Refusal::BrokerNotRegistered { .. } => ErrorCode::BrokerIdNotRegistered,
        Refusal::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
        Refusal::DuplicateBrokerRegistration { .. } => ErrorCode::DuplicateBrokerRegistration,
        Refusal::InconsistentClusterId => ErrorCode::InconsistentClusterId,
        Refusal::MismatchedEndpointType => ErrorCode::MismatchedEndpointType,
        Refusal::UnsupportedEndpointType => ErrorCode::UnsupportedEndpointType,
        Refusal::Unexpected { .. } => ErrorCode::UnknownServerError,
    }
}

fn error_code_for_batch(kind: FaultKind) -> ErrorCode {
    match kind {
        FaultKind::Corrupt => ErrorCode::CorruptMessage,
        FaultKind::InvalidRecord => ErrorCode::InvalidRecord,
        FaultKind::InvalidTimestamp => ErrorCode::InvalidTimestamp,
        FaultKind::MessageTooLarge => ErrorCode::MessageTooLarge,
        FaultKind::RecordListTooLarge => ErrorCode::RecordListTooLarge,
        FaultKind::UnsupportedCompression => ErrorCode::UnsupportedCompressionType,
    }
}

impl From<BatchFault> for Refusal {
    fn from(fault: BatchFault) -> Refusal {
        Refusal::Batch(fault)
    }
}

impl From<ProducerRefusal> for Refusal {
    fn from(refusal: ProducerRefusal) -> Refusal {
        match refusal {
            ProducerRefusal::OutOfOrderSequence { expected, found, .. } => {
                Refusal::OutOfOrderSequence { expected: expected.0, found: found.0 }
            }
            ProducerRefusal::StaleEpoch { current, found, .. } => {
                Refusal::InvalidProducerEpoch { current, found }
            }
            ProducerRefusal::TransactionOpen { .. } => {
                Refusal::InvalidTransactionState { reason: Cow::Owned(refusal.to_string()) }
            }
        }
    }
}

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const DELETE_TOPICS: i16 = 20;
const INIT_PRODUCER_ID: i16 = 22;
const ADD_PARTITIONS_TO_TXN: i16 = 24;
const ADD_OFFSETS_TO_TXN: i16 = 25;
const END_TXN: i16 = 26;

/// The code an API's version can express (rule W15): some codes came later than the versions still served,
/// and an older client would take them for an unknown, final error.
pub fn error_code_at(code: ErrorCode, api_key: i16, version: i16) -> ErrorCode {
    match (code, api_key) {
        (ErrorCode::KafkaStorageError, FETCH) if version <= 5 => ErrorCode::NotLeaderOrFollower,
        (ErrorCode::OffsetNotAvailable, LIST_OFFSETS) if version < 5 => ErrorCode::LeaderNotAvailable,
        (ErrorCode::TopicDeletionDisabled, DELETE_TOPICS) if version < 3 => ErrorCode::InvalidRequest,
        // KIP-588: where the answer may be PRODUCER_FENCED; Produce never got it, at any version.
        (ErrorCode::ProducerFenced, PRODUCE) => ErrorCode::InvalidProducerEpoch,
        (ErrorCode::ProducerFenced, INIT_PRODUCER_ID) if version < 4 => ErrorCode::InvalidProducerEpoch,
        (ErrorCode::ProducerFenced, ADD_PARTITIONS_TO_TXN | ADD_OFFSETS_TO_TXN | END_TXN) if version < 2 => {
            ErrorCode::InvalidProducerEpoch
        }
        _ => code,
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnsupportedVersion { reason }
            | Refusal::InvalidRequest { reason }
            | Refusal::UnsupportedCompression { reason }
            | Refusal::InvalidTransactionState { reason }
            | Refusal::Unexpected { reason } => formatter.write_str(reason),
            Refusal::InvalidTopicName { reason }
            | Refusal::InvalidPartitions { reason }
            | Refusal::InvalidReplicationFactor { reason }
            | Refusal::InvalidReplicaAssignment { reason }
            | Refusal::InvalidConfig { reason }
            | Refusal::LimitReached { reason } => formatter.write_str(reason),
            Refusal::Batch(fault) => fault.fmt(formatter),
            Refusal::RecordsOnlyCompacted => {
                formatter.write_str("records of a topic that is only compacted cannot be deleted by offset")
            }
            Refusal::InternalTopic => formatter.write_str("clients may not do this to an internal topic"),
            Refusal::TopicAlreadyExists { name } => write!(formatter, "topic '{name}' already exists"),
            Refusal::NotLeader { leader: Some(leader), leader_epoch } => {
                write!(formatter, "broker {leader} leads the partition, in leader epoch {leader_epoch}")
            }
            Refusal::FencedLeaderEpoch { requested, current }
            | Refusal::UnknownLeaderEpoch { requested, current } => {
                write!(formatter, "leader epoch {requested} was given, the broker's is {current}")
            }
            Refusal::OffsetOutOfRange { offset, log_start_offset, log_end_offset } => write!(
                formatter,
                "offset {offset} is not in the log, which begins at {log_start_offset} and ends before \
                 {log_end_offset}"
            ),
            Refusal::InvalidRequiredAcks { acks } => {
                write!(formatter, "acks must be -1, 0 or 1, not {acks}")
            }
            Refusal::NotEnoughReplicas { in_sync, required } => {
                write!(formatter, "{in_sync} replicas are in sync, {required} are required")
            }
            Refusal::OutOfOrderSequence { expected, found } => {
                write!(formatter, "sequence {expected} would continue the producer's batches, not {found}")
            }
            Refusal::InvalidProducerEpoch { current, found } => {
                write!(formatter, "producer epoch {found} is older than {current}")
            }
            Refusal::TransactionsUnavailable => formatter
                .write_str("this broker does not run transactions; use a producer without transactional.id"),
            Refusal::OffsetMetadataTooLarge { bytes_max } => {
                write!(formatter, "the text with a committed offset may have {bytes_max} bytes")
            }
            Refusal::InvalidFetchSessionEpoch { expected, found } => {
                write!(formatter, "the fetch session is at epoch {expected}, not {found}")
            }
            Refusal::ResourceNotFound { resource } => write!(formatter, "there is no {resource}"),
            Refusal::DamagedRecords => formatter.write_str("the records are damaged on the broker's disk"),
            Refusal::DiskFull => formatter.write_str("the broker's disk is full"),
            Refusal::Overloaded => formatter.write_str("the broker has no room for this request now"),
            Refusal::ShuttingDown => formatter.write_str("the broker is shutting down"),
            Refusal::BrokerNotRegistered { broker } => write!(formatter, "broker {broker} is not registered"),
            Refusal::StaleBrokerEpoch { current, found } => {
                write!(formatter, "broker epoch {found} was given, the registration's is {current}")
            }
            Refusal::DuplicateBrokerRegistration { broker } => {
                write!(formatter, "broker {broker} is registered and alive as another process")
            }
            Refusal::UnknownTopicOrPartition
            | Refusal::UnknownTopicId
            | Refusal::InconsistentTopicId
            | Refusal::TopicDeletionDisabled
            | Refusal::ElectionNotNeeded
            | Refusal::PreferredLeaderNotAvailable
            | Refusal::EligibleLeadersNotAvailable
            | Refusal::NoReassignmentInProgress
            | Refusal::NotLeader { leader: None, .. }
            | Refusal::LeaderNotAvailable
            | Refusal::OffsetNotAvailable
            | Refusal::NotEnoughReplicasAfterAppend
            | Refusal::RequestTimedOut
            | Refusal::ProducerFenced
            | Refusal::CoordinatorNotAvailable
            | Refusal::CoordinatorLoading
            | Refusal::NotCoordinator
            | Refusal::InvalidGroupId
            | Refusal::GroupIdNotFound
            | Refusal::UnknownMember
            | Refusal::MemberIdRequired
            | Refusal::IllegalGeneration
            | Refusal::RebalanceInProgress
            | Refusal::InconsistentGroupProtocol
            | Refusal::InvalidSessionTimeout
            | Refusal::GroupMaxSizeReached
            | Refusal::FencedInstanceId
            | Refusal::NonEmptyGroup
            | Refusal::GroupSubscribedToTopic
            | Refusal::FetchSessionIdNotFound
            | Refusal::FetchSessionTopicIdMixed
            | Refusal::Storage
            | Refusal::InconsistentClusterId
            | Refusal::MismatchedEndpointType
            | Refusal::UnsupportedEndpointType => formatter.write_str(error_code_for(self).message()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_error_looks_like_a_lost_leader_to_a_fetch_that_knows_no_better() {
        let seen = |version| error_code_at(ErrorCode::KafkaStorageError, FETCH, version);
        assert_eq!((seen(4), seen(5)), (ErrorCode::NotLeaderOrFollower, ErrorCode::NotLeaderOrFollower));
        assert_eq!(seen(6), ErrorCode::KafkaStorageError);
        assert_eq!(error_code_at(ErrorCode::KafkaStorageError, PRODUCE, 3), ErrorCode::KafkaStorageError);
    }

    #[test]
    fn an_offset_not_yet_known_looks_like_an_election_to_an_old_list_offsets() {
        let seen = |version| error_code_at(ErrorCode::OffsetNotAvailable, LIST_OFFSETS, version);
        assert_eq!((seen(4), seen(5)), (ErrorCode::LeaderNotAvailable, ErrorCode::OffsetNotAvailable));
    }

    #[test]
    fn switched_off_deletion_is_a_bad_request_to_a_version_without_the_code() {
        let seen = |version| error_code_at(ErrorCode::TopicDeletionDisabled, DELETE_TOPICS, version);
        assert_eq!((seen(2), seen(3)), (ErrorCode::InvalidRequest, ErrorCode::TopicDeletionDisabled));
    }

    #[test]
    fn a_refused_batch_keeps_its_code_and_its_reason_in_words() {
        let refusal = Refusal::from(BatchFault::TooLarge { size_bytes: 9, size_bytes_max: 8 });
        assert_eq!(error_code_for(&refusal), ErrorCode::MessageTooLarge);
        assert_eq!(refusal.to_string(), "the batch has 9 bytes, the topic allows 8");
    }

    #[test]
    fn a_fenced_producer_is_told_so_only_where_its_version_has_the_code() {
        let seen = |api, version| error_code_at(ErrorCode::ProducerFenced, api, version);
        assert_eq!(seen(PRODUCE, 13), ErrorCode::InvalidProducerEpoch);
        for (api, first) in
            [(INIT_PRODUCER_ID, 4), (ADD_PARTITIONS_TO_TXN, 2), (ADD_OFFSETS_TO_TXN, 2), (END_TXN, 2)]
        {
            assert_eq!(seen(api, first - 1), ErrorCode::InvalidProducerEpoch, "api {api}");
            assert_eq!(seen(api, first), ErrorCode::ProducerFenced, "api {api}");
        }
    }

    #[test]
    fn what_may_succeed_when_repeated_gets_a_retriable_code_and_what_cannot_does_not() {
        for refusal in [
            Refusal::Overloaded,
            Refusal::ShuttingDown,
            Refusal::RequestTimedOut,
            Refusal::Storage,
            Refusal::DiskFull,
            Refusal::LeaderNotAvailable,
            Refusal::UnknownTopicOrPartition,
            Refusal::FetchSessionIdNotFound,
        ] {
            assert!(error_code_for(&refusal).is_retriable(), "{refusal:?}");
        }
        for refusal in [
            Refusal::TransactionsUnavailable,
            Refusal::InvalidRequiredAcks { acks: 7 },
            Refusal::invalid_request("twice the same topic"),
            Refusal::LimitReached { reason: "topics_max is 1".into() },
        ] {
            assert!(!error_code_for(&refusal).is_retriable(), "{refusal:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_asked_and_what_is_there() {
        let refusal = Refusal::OffsetOutOfRange {
            offset: Offset(7),
            log_start_offset: Offset(10),
            log_end_offset: Offset(20),
        };
        assert_eq!(refusal.to_string(), "offset 7 is not in the log, which begins at 10 and ends before 20");
        assert_eq!(Refusal::UnknownTopicId.to_string(), "This broker has no topic of this id.");
    }
}
