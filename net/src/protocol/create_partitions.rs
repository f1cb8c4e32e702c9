//! CreatePartitions (API key 37): give topics more partitions.

use super::prelude::*;

message! {
    /// The new partition counts.
    request CreatePartitionsRequest<'a> of CreatePartitions, versions 0..=3, flexible 2.. {
        topics: Vec<CreatePartitionsTopic<'a>>,
        timeout_ms: i32,
        validate_only: bool,
    }

    /// One topic.
    part CreatePartitionsTopic<'a> {
        name: &'a str,
        count: i32,
        assignments: Option<Vec<CreatePartitionsAssignment>> = Some(Vec::new()),
    }

    /// Where one new partition's replicas go.
    part CreatePartitionsAssignment {
        broker_ids: Vec<i32>,
    }
}

message! {
    /// What became of each topic.
    response CreatePartitionsResponse<'a> of CreatePartitions, versions 0..=3, flexible 2.. {
        throttle_time_ms: i32,
        results: Vec<CreatePartitionsTopicResult<'a>>,
    }

    /// The result for one topic.
    part CreatePartitionsTopicResult<'a> {
        name: &'a str,
        error_code: i16,
        error_message: Option<&'a str>,
    }
}
