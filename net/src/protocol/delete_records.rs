//! DeleteRecords (API key 21): move the start of partitions.

use super::prelude::*;

message! {
    /// Deletes the records below given offsets.
    request DeleteRecordsRequest<'a> of DeleteRecords, versions 0..=2, flexible 2.. {
        topics: Vec<DeleteRecordsTopic<'a>>,
        timeout_ms: i32,
    }

    /// The partitions of one topic.
    part DeleteRecordsTopic<'a> {
        name: &'a str,
        partitions: Vec<DeleteRecordsPartition>,
    }

    /// Below which offset to delete; -1 is the high watermark.
    part DeleteRecordsPartition {
        partition_index: i32,
        offset: i64,
    }
}

message! {
    /// Where the partitions start now.
    response DeleteRecordsResponse<'a> of DeleteRecords, versions 0..=2, flexible 2.. {
        throttle_time_ms: i32,
        topics: Vec<DeleteRecordsTopicResult<'a>>,
    }

    /// The results for one topic.
    part DeleteRecordsTopicResult<'a> {
        name: &'a str,
        partitions: Vec<DeleteRecordsPartitionResult>,
    }

    /// The result for one partition.
    part DeleteRecordsPartitionResult {
        partition_index: i32,
        low_watermark: i64,
        error_code: i16,
    }
}
