//! The error codes of Kafka's protocol, as of 4.3: number, name, whether a client should try again, and a
//! sentence in our words.
//!
//! ```text
//! Refusal (why, with data) ──error_code_for──► ErrorCode ──number()──► i16 on the wire
//! ```
//!
//! Always true: numbers and names are exactly those of Kafka's own client library, which a test compares with
//! a table made from it (`kafka_4_3_1.tsv`). Which refusal gets which code is decided in
//! [`refusal`](crate::refusal), and only there.

use std::fmt;

/// Whether the same request may succeed when sent again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Retry {
    /// It may: clients do so by themselves.
    Retriable,
    /// It will not, unless something changes.
    Final,
}

macro_rules! error_codes {
    ($($variant:ident = $number:literal, $name:literal, $retry:ident, $message:literal;)*) => {
        /// An error code of Kafka's protocol.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $message] $variant = $number,)*
        }

        impl ErrorCode {
            /// Every code, by growing number.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The code's name in Kafka's documentation and tools.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// What it means, for the error message of a response that has no better one.
            pub const fn message(self) -> &'static str {
                match self { $(ErrorCode::$variant => $message,)* }
            }

            const fn retry(self) -> Retry {
                match self { $(ErrorCode::$variant => Retry::$retry,)* }
            }
        }
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", Final, "The server met a problem it did not expect.";
    None = 0, "NONE", Final, "No error.";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", Final, "The offset lies outside the partition's log.";
    CorruptMessage = 2, "CORRUPT_MESSAGE", Retriable, "The batch fails its checksum, has an impossible size or is damaged in another way.";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", Retriable, "This broker has no such topic or partition.";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", Final, "The fetch size is not valid.";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", Retriable, "The partition has no leader at the moment.";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", Retriable, "This broker is not the leader of the partition, or not a replica of it.";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", Retriable, "The request was not completed in time.";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", Final, "The broker is not available.";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", Retriable, "The replica is not available on this broker.";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", Final, "The batch is larger than the topic allows.";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", Final, "Another controller has taken over.";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", Final, "The metadata string of a committed offset is too long.";
    NetworkException = 13, "NETWORK_EXCEPTION", Retriable, "The connection ended before the answer came.";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", Retriable, "The coordinator is still loading its state.";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", Retriable, "No coordinator is available.";
    NotCoordinator = 16, "NOT_COORDINATOR", Retriable, "This broker is not the coordinator asked for.";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", Final, "The topic name is not valid, or the operation is not allowed on this topic.";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", Final, "The batch is larger than a segment of the log.";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", Retriable, "Too few replicas are in sync to accept the write.";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retriable, "The write is in the log, but too few replicas were in sync to confirm it.";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", Final, "The acks value must be -1, 0 or 1.";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", Final, "The group generation is not the current one.";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", Final, "The member shares no assignment protocol with its group, or named none.";
    InvalidGroupId = 24, "INVALID_GROUP_ID", Final, "The group id is not valid.";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", Final, "The group has no such member.";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", Final, "The session timeout lies outside the range the broker allows.";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", Final, "The group is rebalancing; join again.";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", Final, "The committed offset data has an invalid size.";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", Final, "Not authorized for the topic.";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", Final, "Not authorized for the group.";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", Final, "Not authorized for this operation on the cluster.";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", Final, "A record's timestamp lies outside the accepted range.";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", Final, "The broker does not offer this SASL mechanism.";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", Final, "The request is not valid in the present state of authentication.";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", Final, "The broker does not serve this version of the request.";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", Final, "A topic of this name exists.";
    InvalidPartitions = 37, "INVALID_PARTITIONS", Final, "The number of partitions is not valid.";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", Final, "The replication factor is below one or above the number of brokers.";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", Final, "The replica assignment is not valid.";
    InvalidConfig = 40, "INVALID_CONFIG", Final, "The configuration is not valid.";
    NotController = 41, "NOT_CONTROLLER", Retriable, "This node is not the active controller.";
    InvalidRequest = 42, "INVALID_REQUEST", Final, "The request is malformed or contradicts itself.";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Final, "The message format of the topic does not support the request.";
    PolicyViolation = 44, "POLICY_VIOLATION", Final, "The request violates a policy of this broker.";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", Final, "The sequence number does not follow the last one of this producer.";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", Final, "The sequence number was seen before.";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", Final, "The producer's epoch is older than the one the broker knows.";
    InvalidTxnState = 48, "INVALID_TXN_STATE", Final, "The operation is not possible in the transaction's present state.";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", Final, "The producer id does not belong to this transactional id.";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", Final, "The transaction timeout is above the maximum the broker allows.";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", Retriable, "Another operation on the same transaction is under way.";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", Final, "The sender is no longer the coordinator of this transaction.";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Final, "Not authorized for the transactional id.";
    SecurityDisabled = 54, "SECURITY_DISABLED", Final, "Security features are switched off.";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", Final, "The operation was not tried because another one of the request failed.";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", Retriable, "The broker cannot use the disk that holds the partition.";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", Final, "The broker has no such log directory.";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", Final, "Authentication failed.";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", Final, "The broker holds nothing about this producer id any more.";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", Final, "A reassignment of the partition is under way.";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", Final, "Delegation tokens are switched off.";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", Final, "No such delegation token.";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", Final, "The principal is neither owner nor renewer of the delegation token.";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Final, "Delegation tokens cannot be asked for over this kind of connection.";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", Final, "Not authorized for the delegation token.";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", Final, "The delegation token has expired.";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", Final, "The principal type is not supported.";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", Final, "The group still has members.";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", Final, "No such group.";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", Retriable, "No such fetch session.";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", Retriable, "The fetch session is at another epoch.";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", Retriable, "The leader has no listener of the name this request came in through.";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", Final, "Topics cannot be deleted: deletion is switched off.";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", Retriable, "The leader epoch of the request is older than the broker's.";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", Retriable, "The leader epoch of the request is newer than the broker's.";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", Final, "The partition uses a compression the request's version cannot carry.";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", Final, "The broker epoch is not the current one.";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", Retriable, "After an election the leader does not know yet which offsets are committed.";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", Final, "Join again with the member id given in the answer.";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", Retriable, "The preferred leader is not available.";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", Final, "The group has as many members as it may.";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", Final, "Another member with the same group instance id took this one's place.";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", Retriable, "No replica that may become leader is available.";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", Retriable, "The partition needs no election.";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", Final, "No reassignment of the partition is under way.";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", Final, "The group is subscribed to the topic.";
    InvalidRecord = 87, "INVALID_RECORD", Final, "The batch breaks a rule for records, so nothing of it was written.";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", Retriable, "Offsets of an open transaction are not decided yet.";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", Retriable, "The quota for this kind of operation is used up; try again later.";
    ProducerFenced = 90, "PRODUCER_FENCED", Final, "A newer producer with the same transactional id fences this one.";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", Final, "The request names something that does not exist.";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", Final, "The request names the same thing twice.";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", Final, "The credential does not meet the requirements.";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", Final, "Sender and receiver do not agree on who votes.";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", Final, "The update is based on another version of the state.";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", Final, "The feature levels could not be updated.";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", Final, "The principal of a forwarded request could not be read.";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", Final, "No such snapshot.";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", Final, "The position lies outside the snapshot.";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", Retriable, "This broker has no topic of this id.";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", Final, "Another live broker uses this id.";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", Final, "No broker of this id is registered.";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", Retriable, "The log belongs to another topic id than the request names.";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", Final, "The request is meant for another cluster.";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", Final, "No such transactional id.";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", Retriable, "The fetch session mixes requests with and without topic ids.";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", Final, "A proposed in-sync replica may not be one.";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", Final, "The change was made, but the partition has another leader now.";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", Final, "The offset has moved to tiered storage.";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", Final, "The member epoch is fenced; give up all partitions and join again.";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", Final, "Another member still holds this instance id.";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", Final, "The group does not support this assignor.";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", Final, "The member epoch is stale; take the new one from the next heartbeat.";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", Final, "The request went to the wrong type of endpoint.";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", Final, "This type of endpoint is not supported.";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", Final, "No controller of this id is known.";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", Final, "The telemetry subscription is unknown or outdated.";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", Final, "The telemetry message is larger than allowed.";
    InvalidRegistration = 119, "INVALID_REGISTRATION", Final, "The registration of the broker is not valid.";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", Final, "The transaction cannot go on, but it can be aborted.";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", Final, "The records are not in a state that can be acknowledged.";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", Retriable, "No such share session.";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", Retriable, "The share session is at another epoch.";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", Final, "The state epoch of the share group is fenced.";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", Final, "The voter's key does not match that of the receiver.";
    DuplicateVoter = 126, "DUPLICATE_VOTER", Final, "The voter is already part of the quorum.";
    VoterNotFound = 127, "VOTER_NOT_FOUND", Final, "The voter is not part of the quorum.";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", Final, "The regular expression is not valid.";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", Final, "The client's view of the cluster is outdated: bootstrap again.";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", Final, "The topology is not valid.";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", Final, "The topology epoch is not valid.";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", Final, "The topology epoch is outdated.";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", Retriable, "The broker has as many share sessions as it may.";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn number(self) -> i16 {
        self as i16
    }

    /// The code of a number from the wire; `None` for one that Kafka 4.3 does not have.
    pub fn from_number(number: i16) -> Option<ErrorCode> {
        let index = usize::try_from(i32::from(number) + 1).ok()?;
        ErrorCode::ALL.get(index).copied()
    }

    /// Whether clients try again by themselves.
    pub fn is_retriable(self) -> bool {
        self.retry() == Retry::Retriable
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.name(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, name and retriability of each constant of `org.apache.kafka.common.protocol.Errors` in
    /// `kafka-clients` 4.3.1, printed as `code() TAB name() TAB exception() instanceof RetriableException`.
    const KAFKA: &str = include_str!("kafka_4_3_1.tsv");

    #[test]
    fn every_number_name_and_retriability_is_that_of_kafka_4_3_1() {
        let ours: String = ErrorCode::ALL
            .iter()
            .map(|code| format!("{}\t{}\t{}\n", code.number(), code.name(), code.is_retriable()))
            .collect();
        assert_eq!(ours, KAFKA);
    }

    #[test]
    fn every_number_on_the_wire_finds_its_code_and_no_other_number_does() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_number(code.number()), Some(code));
        }
        for number in [-2, 134, i16::MIN, i16::MAX] {
            assert_eq!(ErrorCode::from_number(number), None);
        }
    }

    #[test]
    fn a_code_prints_its_name_and_number() {
        assert_eq!(ErrorCode::NotLeaderOrFollower.to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
    }
}
