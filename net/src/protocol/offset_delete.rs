//! OffsetDelete (API key 47): forget how far a group has read.

use super::prelude::*;

message! {
    /// Names offsets of a group to delete.
    request OffsetDeleteRequest<'a> of OffsetDelete, versions 0..=0, flexible never {
        group_id: &'a str,
        topics: Vec<OffsetDeleteRequestTopic<'a>>,
    }

    /// The partitions of one topic.
    part OffsetDeleteRequestTopic<'a> {
        name: &'a str,
        partitions: Vec<OffsetDeleteRequestPartition>,
    }

    /// One partition.
    part OffsetDeleteRequestPartition {
        partition_index: i32,
    }
}

message! {
    /// What became of each.
    response OffsetDeleteResponse<'a> of OffsetDelete, versions 0..=0, flexible never {
        error_code: i16,
        throttle_time_ms: i32,
        topics: Vec<OffsetDeleteResponseTopic<'a>>,
    }

    /// The results for one topic.
    part OffsetDeleteResponseTopic<'a> {
        name: &'a str,
        partitions: Vec<OffsetDeleteResponsePartition>,
    }

    /// The result for one partition.
    part OffsetDeleteResponsePartition {
        partition_index: i32,
        error_code: i16,
    }
}
