//! OffsetCommit (API key 8): store how far a group has read.

use super::prelude::*;

message! {
    /// Stores the offsets of a group.
    request OffsetCommitRequest<'a> of OffsetCommit, versions 2..=10, flexible 8.. {
        group_id: &'a str,
        generation_id_or_member_epoch: i32 = -1,
        member_id: &'a str,
        group_instance_id: Option<&'a str> [7..],
        retention_time_ms: i64 [..=4] = -1,
        topics: Vec<OffsetCommitRequestTopic<'a>>,
    }

    /// The partitions of one topic.
    part OffsetCommitRequestTopic<'a> {
        name: &'a str [..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetCommitRequestPartition<'a>>,
    }

    /// How far one partition was read.
    part OffsetCommitRequestPartition<'a> {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [6..] = -1,
        committed_metadata: Option<&'a str>,
    }
}

message! {
    /// Which offsets were stored.
    response OffsetCommitResponse<'a> of OffsetCommit, versions 2..=10, flexible 8.. {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetCommitResponseTopic<'a>>,
    }

    /// The results for one topic.
    part OffsetCommitResponseTopic<'a> {
        name: &'a str [..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetCommitResponsePartition>,
    }

    /// The result for one partition.
    part OffsetCommitResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
