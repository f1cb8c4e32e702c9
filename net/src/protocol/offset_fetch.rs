//! OffsetFetch (API key 9): how far a group has read.

use super::prelude::*;

message! {
    /// Asks for stored offsets; null topics ask for all. From version 8 of several groups at once.
    request OffsetFetchRequest<'a> of OffsetFetch, versions 1..=10, flexible 6.. {
        group_id: &'a str [..=7],
        topics: Option<Vec<OffsetFetchRequestTopic<'a>>> [..=7; null 2..] = Some(Vec::new()),
        groups: Vec<OffsetFetchRequestGroup<'a>> [8..],
        require_stable: bool [7..],
    }

    /// The partitions of one topic, before version 8.
    part OffsetFetchRequestTopic<'a> {
        name: &'a str,
        partition_indexes: Vec<i32>,
    }

    /// A group and what is asked of it.
    part OffsetFetchRequestGroup<'a> {
        group_id: &'a str,
        member_id: Option<&'a str> [9..],
        member_epoch: i32 [9..] = -1,
        topics: Option<Vec<OffsetFetchRequestTopics<'a>>> = Some(Vec::new()),
    }

    /// The partitions of one topic.
    part OffsetFetchRequestTopics<'a> {
        name: &'a str [..=9],
        topic_id: Uuid [10..],
        partition_indexes: Vec<i32>,
    }
}

message! {
    /// The stored offsets; -1 where there is none.
    response OffsetFetchResponse<'a> of OffsetFetch, versions 1..=10, flexible 6.. {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetFetchResponseTopic<'a>> [..=7],
        error_code: i16 [2..=7],
        groups: Vec<OffsetFetchResponseGroup<'a>> [8..],
    }

    /// The results for one topic, before version 8.
    part OffsetFetchResponseTopic<'a> {
        name: &'a str,
        partitions: Vec<OffsetFetchResponsePartition<'a>>,
    }

    /// One partition's stored offset, before version 8.
    part OffsetFetchResponsePartition<'a> {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 [5..] = -1,
        metadata: Option<&'a str>,
        error_code: i16,
    }

    /// The results for one group.
    part OffsetFetchResponseGroup<'a> {
        group_id: &'a str,
        topics: Vec<OffsetFetchResponseTopics<'a>>,
        error_code: i16,
    }

    /// The results for one topic.
    part OffsetFetchResponseTopics<'a> {
        name: &'a str [..=9],
        topic_id: Uuid [10..],
        partitions: Vec<OffsetFetchResponsePartitions<'a>>,
    }

    /// One partition's stored offset.
    part OffsetFetchResponsePartitions<'a> {
        partition_index: i32,
        committed_offset: i64,
        committed_leader_epoch: i32 = -1,
        metadata: Option<&'a str>,
        error_code: i16,
    }
}
