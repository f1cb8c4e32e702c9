//! ElectLeaders (API key 43): choose leaders anew.

use super::prelude::*;

message! {
    /// Asks for elections; null partitions mean all. Type 0 prefers the first replica, 1 allows any.
    request ElectLeadersRequest<'a> of ElectLeaders, versions 0..=2, flexible 2.. {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<TopicPartitions<'a>>> = Some(Vec::new()),
        timeout_ms: i32 = 60000,
    }

    /// The partitions of one topic.
    part TopicPartitions<'a> {
        topic: &'a str,
        partitions: Vec<i32>,
    }
}

message! {
    /// What became of each partition.
    response ElectLeadersResponse<'a> of ElectLeaders, versions 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult<'a>>,
    }

    /// The results for one topic.
    part ReplicaElectionResult<'a> {
        topic: &'a str,
        partition_result: Vec<PartitionResult<'a>>,
    }

    /// The result for one partition.
    part PartitionResult<'a> {
        partition_id: i32,
        error_code: i16,
        error_message: Option<&'a str>,
    }
}
