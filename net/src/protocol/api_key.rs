//! The APIs this codec knows, and all their messages as one type each way.

use crate::protocol::message::{Message, VersionRange};
use crate::protocol::*;
use crate::wire::decoder::{DecodeError, Decoder};

macro_rules! apis {
    ($($name:ident = $key:literal: $module:ident, $request:ident $(<$request_lifetime:lifetime>)?, $response:ident $(<$response_lifetime:lifetime>)?;)*) => {
        /// What a request asks for, by Kafka's number.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs, reason = "each is described in its own module")]
        #[repr(i16)]
        pub enum ApiKey {
            $($name = $key,)*
        }

        impl ApiKey {
            /// Every API the codec knows, by number.
            pub const ALL: &[ApiKey] = &[$(ApiKey::$name,)*];

            /// The API of a number, if the codec knows it.
            pub const fn from_wire(api_key: i16) -> Option<ApiKey> {
                match api_key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            /// The versions the codec knows; what a broker advertises is the broker's decision.
            pub const fn versions(self) -> VersionRange {
                match self {
                    $(ApiKey::$name => $module::$request::VERSIONS,)*
                }
            }

            const fn flexible_from(self) -> i16 {
                match self {
                    $(ApiKey::$name => $module::$request::FLEXIBLE_FROM,)*
                }
            }
        }

        /// A request of any API.
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs, reason = "each is described in its own module")]
        pub enum AnyRequest<'a> {
            $($name($module::$request $(<$request_lifetime>)?),)*
        }

        /// A response of any API.
        #[derive(Clone, PartialEq, Debug)]
        #[allow(missing_docs, reason = "each is described in its own module")]
        pub enum AnyResponse<'a> {
            $($name($module::$response $(<$response_lifetime>)?),)*
        }

        impl<'a> AnyRequest<'a> {
            /// Reads the body of a request.
            pub fn decode(api: ApiKey, decoder: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
                Ok(match api {
                    $(ApiKey::$name => AnyRequest::$name($module::$request::decode(decoder, version)?),)*
                })
            }

            /// The body's bytes.
            pub fn encode_body(&self, version: i16) -> Vec<u8> {
                match self {
                    $(AnyRequest::$name(message) => framing::encode_body(message, version),)*
                }
            }
        }

        impl<'a> AnyResponse<'a> {
            /// Reads the body of a response.
            pub fn decode(api: ApiKey, decoder: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError> {
                Ok(match api {
                    $(ApiKey::$name => AnyResponse::$name($module::$response::decode(decoder, version)?),)*
                })
            }

            /// The body's bytes.
            pub fn encode_body(&self, version: i16) -> Vec<u8> {
                match self {
                    $(AnyResponse::$name(message) => framing::encode_body(message, version),)*
                }
            }
        }
    };
}

apis! {
    Produce = 0: produce, ProduceRequest<'a>, ProduceResponse<'a>;
    Fetch = 1: fetch, FetchRequest<'a>, FetchResponse<'a>;
    ListOffsets = 2: list_offsets, ListOffsetsRequest<'a>, ListOffsetsResponse<'a>;
    Metadata = 3: metadata, MetadataRequest<'a>, MetadataResponse<'a>;
    OffsetCommit = 8: offset_commit, OffsetCommitRequest<'a>, OffsetCommitResponse<'a>;
    OffsetFetch = 9: offset_fetch, OffsetFetchRequest<'a>, OffsetFetchResponse<'a>;
    FindCoordinator = 10: find_coordinator, FindCoordinatorRequest<'a>, FindCoordinatorResponse<'a>;
    JoinGroup = 11: join_group, JoinGroupRequest<'a>, JoinGroupResponse<'a>;
    Heartbeat = 12: heartbeat, HeartbeatRequest<'a>, HeartbeatResponse;
    LeaveGroup = 13: leave_group, LeaveGroupRequest<'a>, LeaveGroupResponse<'a>;
    SyncGroup = 14: sync_group, SyncGroupRequest<'a>, SyncGroupResponse<'a>;
    DescribeGroups = 15: describe_groups, DescribeGroupsRequest<'a>, DescribeGroupsResponse<'a>;
    ListGroups = 16: list_groups, ListGroupsRequest<'a>, ListGroupsResponse<'a>;
    SaslHandshake = 17: sasl_handshake, SaslHandshakeRequest<'a>, SaslHandshakeResponse<'a>;
    ApiVersions = 18: api_versions, ApiVersionsRequest<'a>, ApiVersionsResponse<'a>;
    CreateTopics = 19: create_topics, CreateTopicsRequest<'a>, CreateTopicsResponse<'a>;
    DeleteTopics = 20: delete_topics, DeleteTopicsRequest<'a>, DeleteTopicsResponse<'a>;
    DeleteRecords = 21: delete_records, DeleteRecordsRequest<'a>, DeleteRecordsResponse<'a>;
    InitProducerId = 22: init_producer_id, InitProducerIdRequest<'a>, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23: offset_for_leader_epoch, OffsetForLeaderEpochRequest<'a>, OffsetForLeaderEpochResponse<'a>;
    DescribeConfigs = 32: describe_configs, DescribeConfigsRequest<'a>, DescribeConfigsResponse<'a>;
    AlterConfigs = 33: alter_configs, AlterConfigsRequest<'a>, AlterConfigsResponse<'a>;
    DescribeLogDirs = 35: describe_log_dirs, DescribeLogDirsRequest<'a>, DescribeLogDirsResponse<'a>;
    SaslAuthenticate = 36: sasl_authenticate, SaslAuthenticateRequest<'a>, SaslAuthenticateResponse<'a>;
    CreatePartitions = 37: create_partitions, CreatePartitionsRequest<'a>, CreatePartitionsResponse<'a>;
    DeleteGroups = 42: delete_groups, DeleteGroupsRequest<'a>, DeleteGroupsResponse<'a>;
    ElectLeaders = 43: elect_leaders, ElectLeadersRequest<'a>, ElectLeadersResponse<'a>;
    IncrementalAlterConfigs = 44: incremental_alter_configs, IncrementalAlterConfigsRequest<'a>, IncrementalAlterConfigsResponse<'a>;
    AlterPartitionReassignments = 45: alter_partition_reassignments, AlterPartitionReassignmentsRequest<'a>, AlterPartitionReassignmentsResponse<'a>;
    ListPartitionReassignments = 46: list_partition_reassignments, ListPartitionReassignmentsRequest<'a>, ListPartitionReassignmentsResponse<'a>;
    OffsetDelete = 47: offset_delete, OffsetDeleteRequest<'a>, OffsetDeleteResponse<'a>;
    DescribeCluster = 60: describe_cluster, DescribeClusterRequest, DescribeClusterResponse<'a>;
    ListConfigResources = 74: list_config_resources, ListConfigResourcesRequest, ListConfigResourcesResponse<'a>;
    DescribeTopicPartitions = 75: describe_topic_partitions, DescribeTopicPartitionsRequest<'a>, DescribeTopicPartitionsResponse<'a>;
}

impl ApiKey {
    /// The API's name as Kafka writes it.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// 1, or 2 where the version is flexible.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if version >= self.flexible_from() { 2 } else { 1 }
    }

    /// 0, or 1 where the version is flexible. ApiVersions stays at 0: whoever asks does not know yet what the
    /// broker speaks.
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if version >= self.flexible_from() => 1,
            _ => 0,
        }
    }
}
