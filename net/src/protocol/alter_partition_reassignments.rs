//! AlterPartitionReassignments (API key 45): move replicas.

use super::prelude::*;

message! {
    /// The replicas partitions shall have; null cancels a move.
    request AlterPartitionReassignmentsRequest<'a> of AlterPartitionReassignments, versions 0..=1, flexible 0.. {
        timeout_ms: i32 = 60000,
        allow_replication_factor_change: bool [1..] = true,
        topics: Vec<ReassignableTopic<'a>>,
    }

    /// The partitions of one topic.
    part ReassignableTopic<'a> {
        name: &'a str,
        partitions: Vec<ReassignablePartition>,
    }

    /// The replicas of one partition.
    part ReassignablePartition {
        partition_index: i32,
        replicas: Option<Vec<i32>>,
    }
}

message! {
    /// What became of each partition.
    response AlterPartitionReassignmentsResponse<'a> of AlterPartitionReassignments, versions 0..=1, flexible 0.. {
        throttle_time_ms: i32,
        allow_replication_factor_change: bool [1..] = true,
        error_code: i16,
        error_message: Option<&'a str>,
        responses: Vec<ReassignableTopicResponse<'a>>,
    }

    /// The results for one topic.
    part ReassignableTopicResponse<'a> {
        name: &'a str,
        partitions: Vec<ReassignablePartitionResponse<'a>>,
    }

    /// The result for one partition.
    part ReassignablePartitionResponse<'a> {
        partition_index: i32,
        error_code: i16,
        error_message: Option<&'a str>,
    }
}
