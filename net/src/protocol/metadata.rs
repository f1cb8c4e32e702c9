//! Metadata (API key 3): who leads which partition, and where the brokers are.

use super::prelude::*;

message! {
    /// Asks about topics by name or id; null (an empty list in version 0) asks about all.
    request MetadataRequest<'a> of Metadata, versions 0..=13, flexible 9.. {
        topics: Option<Vec<MetadataRequestTopic<'a>>> [..; null 1..] = Some(Vec::new()),
        allow_auto_topic_creation: bool [4..] = true,
        include_cluster_authorized_operations: bool [8..=10],
        include_topic_authorized_operations: bool [8..],
    }

    /// A topic by name or by id.
    part MetadataRequestTopic<'a> {
        topic_id: Uuid [10..],
        name: Option<&'a str> [..; null 10..] = Some(""),
    }
}

message! {
    /// The cluster as this broker sees it.
    response MetadataResponse<'a> of Metadata, versions 0..=13, flexible 9.. {
        throttle_time_ms: i32 [3..],
        brokers: Vec<MetadataResponseBroker<'a>>,
        cluster_id: Option<&'a str> [2..],
        controller_id: i32 [1..] = -1,
        topics: Vec<MetadataResponseTopic<'a>>,
        cluster_authorized_operations: i32 [8..=10] = i32::MIN,
        error_code: i16 [13..],
    }

    /// A broker and where it is reached.
    part MetadataResponseBroker<'a> {
        node_id: i32,
        host: &'a str,
        port: i32,
        rack: Option<&'a str> [1..],
    }

    /// A topic and its partitions.
    part MetadataResponseTopic<'a> {
        error_code: i16,
        name: Option<&'a str> [..; null 12..] = Some(""),
        topic_id: Uuid [10..],
        is_internal: bool [1..],
        partitions: Vec<MetadataResponsePartition>,
        topic_authorized_operations: i32 [8..] = i32::MIN,
    }

    /// A partition's leader and replicas.
    part MetadataResponsePartition {
        error_code: i16,
        partition_index: i32,
        leader_id: i32,
        leader_epoch: i32 [7..] = -1,
        replica_nodes: Vec<i32>,
        isr_nodes: Vec<i32>,
        offline_replicas: Vec<i32> [5..],
    }
}
