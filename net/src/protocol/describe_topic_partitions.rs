//! DescribeTopicPartitions (API key 75): the partitions of topics, page by page.

use super::prelude::*;

message! {
    /// Asks about topics by name, from a cursor.
    request DescribeTopicPartitionsRequest<'a> of DescribeTopicPartitions, versions 0..=0, flexible 0.. {
        topics: Vec<TopicRequest<'a>>,
        response_partition_limit: i32 = 2000,
        cursor: Option<Cursor<'a>>,
    }

    /// A topic by name.
    part TopicRequest<'a> {
        name: &'a str,
    }

    /// Where a page starts.
    part Cursor<'a> {
        topic_name: &'a str,
        partition_index: i32,
    }
}

message! {
    /// A page, and where the next one starts.
    response DescribeTopicPartitionsResponse<'a> of DescribeTopicPartitions, versions 0..=0, flexible 0.. {
        throttle_time_ms: i32,
        topics: Vec<DescribeTopicPartitionsResponseTopic<'a>>,
        next_cursor: Option<Cursor<'a>>,
    }

    /// One topic and its partitions.
    part DescribeTopicPartitionsResponseTopic<'a> {
        error_code: i16,
        name: Option<&'a str> = Some(""),
        topic_id: Uuid,
        is_internal: bool,
        partitions: Vec<DescribeTopicPartitionsResponsePartition>,
        topic_authorized_operations: i32 = i32::MIN,
    }

    /// A partition's leader and replicas.
    part DescribeTopicPartitionsResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        eligible_leader_replicas: Option<Vec<i32>>,
        last_known_elr: Option<Vec<i32>>,
        offline_replicas: Vec<i32>,
    }
}
