//! ListOffsets (API key 2): find offsets by time.

use super::prelude::*;

message! {
    /// Asks for the offset of a timestamp, or of a special one: -1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest local, -5 latest tiered, -6 earliest pending upload.
    request ListOffsetsRequest<'a> of ListOffsets, versions 1..=11, flexible 6.. {
        replica_id: i32,
        isolation_level: i8 [2..],
        topics: Vec<ListOffsetsTopic<'a>>,
        timeout_ms: i32 [10..],
    }

    /// The partitions of one topic.
    part ListOffsetsTopic<'a> {
        name: &'a str,
        partitions: Vec<ListOffsetsPartition>,
    }

    /// Which timestamp to look for.
    part ListOffsetsPartition {
        partition_index: i32,
        current_leader_epoch: i32 [4..] = -1,
        timestamp: i64,
    }
}

message! {
    /// The offsets found; -1 where there is none.
    response ListOffsetsResponse<'a> of ListOffsets, versions 1..=11, flexible 6.. {
        throttle_time_ms: i32 [2..],
        topics: Vec<ListOffsetsTopicResponse<'a>>,
    }

    /// The results for one topic.
    part ListOffsetsTopicResponse<'a> {
        name: &'a str,
        partitions: Vec<ListOffsetsPartitionResponse>,
    }

    /// The result for one partition.
    part ListOffsetsPartitionResponse {
        partition_index: i32,
        error_code: i16,
        timestamp: i64 = -1,
        offset: i64 = -1,
        leader_epoch: i32 [4..] = -1,
    }
}
