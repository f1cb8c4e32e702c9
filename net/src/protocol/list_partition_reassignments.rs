//! ListPartitionReassignments (API key 46): which replicas are moving.

use super::prelude::*;

message! {
    /// Asks about partitions; null asks about all.
    request ListPartitionReassignmentsRequest<'a> of ListPartitionReassignments, versions 0..=0, flexible 0.. {
        timeout_ms: i32 = 60000,
        topics: Option<Vec<ListPartitionReassignmentsTopics<'a>>>,
    }

    /// The partitions of one topic.
    part ListPartitionReassignmentsTopics<'a> {
        name: &'a str,
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The moves under way.
    response ListPartitionReassignmentsResponse<'a> of ListPartitionReassignments, versions 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<&'a str>,
        topics: Vec<OngoingTopicReassignment<'a>>,
    }

    /// The moves of one topic.
    part OngoingTopicReassignment<'a> {
        name: &'a str,
        partitions: Vec<OngoingPartitionReassignment>,
    }

    /// One partition's move.
    part OngoingPartitionReassignment {
        partition_index: i32,
        replicas: Vec<i32>,
        adding_replicas: Vec<i32>,
        removing_replicas: Vec<i32>,
    }
}
