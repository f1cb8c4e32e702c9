//! CreateTopics (API key 19): create topics.

use super::prelude::*;

message! {
    /// Describes topics to create, or to check only.
    request CreateTopicsRequest<'a> of CreateTopics, versions 2..=7, flexible 5.. {
        topics: Vec<CreatableTopic<'a>>,
        timeout_ms: i32 = 60000,
        validate_only: bool,
    }

    /// One topic.
    part CreatableTopic<'a> {
        name: &'a str,
        num_partitions: i32,
        replication_factor: i16,
        assignments: Vec<CreatableReplicaAssignment>,
        configs: Vec<CreatableTopicConfig<'a>>,
    }

    /// Where one partition's replicas go.
    part CreatableReplicaAssignment {
        partition_index: i32,
        broker_ids: Vec<i32>,
    }

    /// One configured value.
    part CreatableTopicConfig<'a> {
        name: &'a str,
        value: Option<&'a str>,
    }
}

message! {
    /// What became of each.
    response CreateTopicsResponse<'a> of CreateTopics, versions 2..=7, flexible 5.. {
        throttle_time_ms: i32,
        topics: Vec<CreatableTopicResult<'a>>,
    }

    /// The result for one topic.
    part CreatableTopicResult<'a> {
        name: &'a str,
        topic_id: Uuid [7..],
        error_code: i16,
        error_message: Option<&'a str>,
        num_partitions: i32 [5..] = -1,
        replication_factor: i16 [5..] = -1,
        configs: Option<Vec<CreatableTopicConfigs<'a>>> [5..] = Some(Vec::new()),
    } tagged {
        0 => topic_config_error_code: i16 [5..],
    }

    /// One configured value in force.
    part CreatableTopicConfigs<'a> {
        name: &'a str,
        value: Option<&'a str>,
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
    }
}
